/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Widgets: what they show, and what keys do to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/memory_face.h"
#include "tests/support/memory_store.h"
#include "ui/screen/widget.h"

static struct loop loop;
static struct screen screen;
static struct memory_face face;
static struct key_script script;

static int set_up(void **state)
{
    struct face *faces[] = {&face.face};

    (void)state;
    loop_init(&loop, memory_platform());
    memory_face_init(&face, 80, 25);
    return screen_open(&screen, &loop, faces, 1);
}

static int tear_down(void **state)
{
    (void)state;
    screen_close(&screen);
    return memory_platform_in_use() ? 1 : 0;
}

/* Feeds keys to a widget until the script ends. */
#define FEED(keys, call)                                                                                               \
    do {                                                                                                               \
        struct key key;                                                                                                \
        key_script_use(&script, &screen, keys);                                                                        \
        while (*script.rest && screen.read_key(&screen, &key))                                                         \
            call;                                                                                                      \
    } while (0)

static const char *shown(void)
{
    screen_update(&screen);
    return memory_face_text(&face);
}

/* --- lists --- */

static void item_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    (void)list;
    if (column)
        snprintf(text, LIST_CELL_MAX, "%u GiB", item * 10);
    else
        snprintf(text, LIST_CELL_MAX, "item %u", item);
}

static void test_list(void **state)
{
    struct list list = {
        .count = 6, .columns = {{"Name", 0, false}, {"Size", 8, true}}, .column_count = 2, .text = item_text};
    struct area area = {0, 0, 4, 30};

    (void)state;
    list_draw(&list, &screen, area);
    assert_string_equal(shown(),
                        "  Name                   Size\n► item 0                0 GiB\n  item 1               10 GiB\n"
                        "  item 2               20 GiB↓\n");
    assert_int_equal(memory_face_style(&face, 1, 5), STYLE_SELECTED);
    FEED("<down><down><down><up>", assert_true(list_key(&list, &key)));
    assert_int_equal(list.selected, 2);
    FEED("<end>", list_key(&list, &key));
    list_draw(&list, &screen, area);
    assert_string_equal(shown(),
                        "  Name                   Size\n  item 3               30 GiB↑\n  item 4               40 GiB\n"
                        "► item 5               50 GiB\n");
    FEED("<down><pgdn>", list_key(&list, &key));
    assert_int_equal(list.selected, 5);
    FEED("<pgup>", list_key(&list, &key));
    assert_int_equal(list.selected, 0);
    FEED("x<enter>", assert_false(list_key(&list, &key)));
    /* Fewer than before: the selection comes back into the list. */
    list.selected = 5;
    list.count = 2;
    list_draw(&list, &screen, area);
    assert_int_equal(list.selected, 1);
    list.count = 0;
    list_draw(&list, &screen, area);
    FEED("<down><end><home>", assert_false(list_key(&list, &key)));
}

/* --- typed text --- */

static void test_text_field(void **state)
{
    struct text_field field;

    (void)state;
    text_field_set(&field, "");
    FEED("pc7<left><left>X<end>.eid<bs>", assert_true(text_field_key(&field, &key)));
    assert_string_equal(field.text, "pXc7.ei");
    FEED("<home><del><del><bs>", text_field_key(&field, &key));
    assert_string_equal(field.text, "c7.ei");
    FEED("<end>中文<left>я<bs><bs>", text_field_key(&field, &key));
    assert_string_equal(field.text, "c7.ei文");
    assert_true(field.cursor == strlen("c7.ei"));
    FEED("<left><enter><up>", (void)text_field_key(&field, &key));
    text_field_draw(&field, &screen, 0, 0, 6, true);
    screen_update(&screen);
    assert_int_equal(face.cursor_column, 4);
    text_field_set(&field, "a name that is much longer than its place");
    text_field_draw(&field, &screen, 1, 0, 10, true);
    assert_true(memory_face_shows(&face, "c7.e") && strstr(shown(), "\n…ts place"));
    /* Full is full, and nothing is cut within a character. */
    for (unsigned i = 0; i < 300; i++)
        text_field_key(&field, &(struct key){.code = KEY_CHARACTER, .character = 0x4e2d});
    assert_true(strlen(field.text) < TEXT_FIELD_MAX);
    char longer[3 * TEXT_FIELD_MAX] = "";
    for (unsigned i = 0; i < 100; i++)
        strcat(longer, "中");
    text_field_set(&field, longer);
    assert_int_equal(strlen(field.text) % 3, 0);
}

/* --- forms --- */

static void describe(const struct form *form, const struct form_field *field, unsigned choice,
                     char text[FORM_VALUE_MAX])
{
    (void)form;
    (void)field;
    snprintf(text, FORM_VALUE_MAX, "choice %u", choice);
}

static void test_form(void **state)
{
    struct text_field name;
    unsigned level = 0, verify = 1;
    struct form form = {.fields = {{.label = "Name", .input = &name},
                                   {.label = "Level", .value = &level, .count = 3},
                                   {.label = "Verify", .value = &verify, .count = 2},
                                   {.label = "Go on"}},
                        .count = 4,
                        .describe = describe};

    (void)state;
    text_field_set(&name, "pc");
    FEED(" 7<tab><left><down> <down>", form_key(&form, &key));
    assert_string_equal(name.text, "pc 7");
    assert_int_equal(level, 2);
    assert_int_equal(verify, 0);
    assert_int_equal(form.selected, 3);
    form_draw(&form, &screen, (struct area){0, 0, 4, 40}, 10);
    assert_string_equal(shown(), "  Name       pc 7\n  Level      < choice 2 >\n  Verify     < choice 0 >\n► Go on\n");
    FEED("<down><backtab>", form_key(&form, &key));
    assert_int_equal(form.selected, 3);
    FEED("<enter>", assert_false(form_key(&form, &key)));
}

/* --- maps --- */

static void test_pieces(void **state)
{
    struct map_piece pieces[] = {{100, 50, "#1 ESP", false},
                                 {10000, 2500, "#2 ntfs Windows", false},
                                 {4000, UINT64_MAX, "#3 luks", false},
                                 {2000, UINT64_MAX, "free", true}};

    (void)state;
    piece_map_draw(&screen, (struct area){0, 0, 4, 50}, pieces, 4, 1);
    assert_string_equal(shown(), "┌──┬─────────────────────────┬───────────┬───────┐\n"
                                 "│#1│#2 ntfs Windows          │#3 luks    │free   │\n"
                                 "│█░│██████░░░░░░░░░░░░░░░░░░░│???????????│       │\n"
                                 "└──┴─────────────────────────┴───────────┴───────┘\n");
    assert_int_equal(memory_face_style(&face, 1, 5), STYLE_SELECTED);
    /* Sizes that would overflow, a disk of nothing, more pieces than places. */
    struct map_piece hostile[70];
    for (unsigned i = 0; i < 70; i++)
        hostile[i] = (struct map_piece){UINT64_MAX, UINT64_MAX - 1, "x", false};
    piece_map_draw(&screen, (struct area){5, 0, 3, 80}, hostile, 70, 3);
    for (unsigned i = 0; i < 70; i++)
        hostile[i] = (struct map_piece){0, 0, "x", false};
    piece_map_draw(&screen, (struct area){9, 0, 3, 80}, hostile, 70, 3);
    piece_map_draw(&screen, (struct area){13, 0, 3, 80}, NULL, 0, 0);
    screen_update(&screen);
}

static enum map_state half(void *context, uint64_t offset, uint64_t length)
{
    uint64_t *total = context;

    assert_true(length > 0);
    *total += length;
    return offset < 500 ? MAP_VERIFIED : offset < 800 ? MAP_READ : MAP_UNUSED;
}

static void test_states(void **state)
{
    uint64_t total = 0;

    (void)state;
    state_map_draw(&screen, (struct area){0, 0, 2, 10}, 1000, half, &total);
    assert_string_equal(shown(), "██████████\n▒▒▒▒▒▒····\n");
    assert_true(total == 1000);
    bar_draw(&screen, 3, 0, 10, 500);
    bar_draw(&screen, 4, 0, 10, 5000);
    assert_true(strstr(shown(), "\n█████░░░░░\n██████████\n"));
}

static void test_nothing_is_said_by_colour_alone(void **state)
{
    (void)state;
    for (unsigned a = 0; a < MAP_STATE_COUNT; a++)
        for (unsigned b = 0; b < a; b++) {
            assert_int_not_equal(map_state_character((enum map_state)a), map_state_character((enum map_state)b));
            /* On a console with ASCII alone, too. */
            uint32_t plain_a = character_plain(map_state_character((enum map_state)a));
            uint32_t plain_b = character_plain(map_state_character((enum map_state)b));
            if (plain_a && plain_b && plain_a == plain_b)
                fail_msg("states %u and %u both are '%c'", a, b, (int)plain_a);
        }
}

/* --- dialogs --- */

static void test_dialog(void **state)
{
    const char *choices[] = {"Go on", "Cancel the work"};

    (void)state;
    key_script_use(&script, &screen, "<enter>");
    assert_int_equal(dialog_ask(&screen, "Cancel?", "Really?", choices, 2), 0);
    key_script_use(&script, &screen, "<down><enter>");
    assert_int_equal(dialog_ask(&screen, "Cancel?", "Really?", choices, 2), 1);
    assert_true(memory_face_shows(&face, "► Cancel the work"));
    key_script_use(&script, &screen, "<down><esc>");
    assert_int_equal(dialog_ask(&screen, "Cancel?", "Really?", choices, 2), -1);
    /* A text that is longer than the screen can be read to its end. */
    static char text[4000];
    for (unsigned i = 0; i < 300; i++)
        sprintf(text + strlen(text), "word%u ", i);
    key_script_use(&script, &screen, "<enter>");
    dialog_ask(&screen, "Help", text, choices, 1);
    assert_true(memory_face_shows(&face, "word0"));
    assert_false(memory_face_shows(&face, "word299"));
    char keys[1000] = "";
    for (unsigned i = 0; i < 60; i++)
        strcat(keys, "<pgdn>");
    strcat(keys, "<enter>");
    key_script_use(&script, &screen, keys);
    dialog_ask(&screen, "Help", text, choices, 1);
    assert_true(memory_face_shows(&face, "word299"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_said_by_colour_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dialog, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
