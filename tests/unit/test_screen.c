/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The grid: widths, cutting, wide characters, what faces are told. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "tests/support/memory_face.h"
#include "tests/support/memory_store.h"

struct lab {
    struct loop loop;
    struct screen screen;
    struct memory_face face;
};

static struct lab lab;

static int set_up(void **state)
{
    struct face *faces[] = {&lab.face.face};

    (void)state;
    loop_init(&lab.loop, memory_platform());
    memory_face_init(&lab.face, 80, 25);
    assert_int_equal(screen_open(&lab.screen, &lab.loop, faces, 1), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    screen_close(&lab.screen);
    assert_int_equal(lab.face.closes, 1);
    assert_int_equal(memory_platform_in_use(), 0);
    return 0;
}

static const char *first_line(void)
{
    static char line[1024];

    screen_update(&lab.screen);
    snprintf(line, sizeof(line), "%s", memory_face_text(&lab.face));
    line[strcspn(line, "\n")] = 0;
    return line;
}

static void test_utf8(void **state)
{
    static const struct {
        const char *text;
        uint32_t characters[4];
    } cases[] = {
        {"aä", {'a', 0xe4}},
        {"\xe4\xb8\xad", {0x4e2d}},
        {"\xff", {0xfffd}},
        {"\xe4\xb8", {0xfffd, 0xfffd}},             /* cut off */
        {"\xc0\xaf", {0xfffd, 0xfffd}},             /* longer than it must be */
        {"\xed\xa0\x80", {0xfffd, 0xfffd, 0xfffd}}, /* a surrogate */
        {"\xf0\x9f\x98\x80!", {0xfffd, '!'}},       /* beyond the Basic Multilingual Plane */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *at = cases[i].text;
        for (unsigned n = 0; n < 4 && cases[i].characters[n]; n++)
            assert_int_equal(text_next(&at), cases[i].characters[n]);
        assert_int_equal(text_next(&at), 0);
        assert_ptr_equal(at, cases[i].text + strlen(cases[i].text));
    }
}

static void test_widths(void **state)
{
    (void)state;
    assert_int_equal(character_width('a'), 1);
    assert_int_equal(character_width(0x42f), 1);  /* Cyrillic */
    assert_int_equal(character_width(0x4e2d), 2); /* CJK */
    assert_int_equal(character_width(0xd55c), 2); /* Hangul */
    assert_int_equal(character_width(0x301), 0);  /* combining acute accent */
    assert_int_equal(character_width(0x202e), 0); /* turns the direction of text round */
    assert_int_equal(character_width(0x1b), 0);
    assert_int_equal(character_width(0x2500), 1);
    assert_int_equal(text_width("e\xcc\x81t"), 2);
    assert_int_equal(text_width("\x1b[31m"), 5); /* '?' for the escape */
}

static void test_text_fits_its_place(void **state)
{
    (void)state;
    assert_int_equal(screen_text(&lab.screen, 0, 0, 5, STYLE_TEXT, "abc"), 3);
    screen_text(&lab.screen, 0, 5, 5, STYLE_TEXT, "abcdef");
    screen_text(&lab.screen, 0, 10, 5, STYLE_TEXT, "12345");
    screen_text_right(&lab.screen, 0, 15, 6, STYLE_TEXT, "end");
    assert_string_equal(first_line(), "abc  abcd…12345   end");
}

static void test_wide_text_is_never_cut_in_half(void **state)
{
    (void)state;
    screen_text(&lab.screen, 0, 0, 5, STYLE_TEXT, "中文字");
    assert_string_equal(first_line(), "中文…");
    screen_text(&lab.screen, 0, 0, 4, STYLE_TEXT, "中文字");
    screen_fill(&lab.screen, 0, 4, 1, STYLE_TEXT, ' ');
    assert_string_equal(first_line(), "中…");
    /* Over the left half, over the right half, and at the edge of the screen. */
    screen_text(&lab.screen, 0, 0, 8, STYLE_TEXT, "中文字");
    screen_fill(&lab.screen, 0, 1, 1, STYLE_TEXT, 'x');
    assert_string_equal(first_line(), " x文字");
    screen_fill(&lab.screen, 0, 2, 1, STYLE_TEXT, 'y');
    assert_string_equal(first_line(), " xy 字");
    screen_text(&lab.screen, 0, 79, 10, STYLE_TEXT, "中");
    assert_string_equal(first_line() + strlen(first_line()) - strlen("…"), "…");
}

static void test_hostile_text_stays_in_its_place(void **state)
{
    char text[4096];

    (void)state;
    for (unsigned seed = 1; seed < 200; seed++) {
        unsigned value = seed * 2654435761u;
        for (size_t i = 0; i + 1 < sizeof(text); i++) {
            value = value * 1103515245u + 12345u;
            text[i] = (char)(value >> 16 | 1);
        }
        text[sizeof(text) - 1] = 0;
        screen_text(&lab.screen, seed % 30, seed % 90, seed % 40, STYLE_TEXT, text);
        screen_paragraph(&lab.screen, seed % 30, seed % 90, 1 + seed % 40, 5, seed % 3, STYLE_TEXT, text);
        screen_update(&lab.screen);
        memory_face_text(&lab.face);
    }
    assert_int_equal(screen_text(&lab.screen, 25, 0, 10, STYLE_TEXT, "below"), 0);
    assert_int_equal(screen_text(&lab.screen, 0, 80, 10, STYLE_TEXT, "beside"), 0);
}

static void test_paragraphs_break_at_blanks(void **state)
{
    (void)state;
    assert_int_equal(screen_paragraph(&lab.screen, 0, 0, 10, 9, 0, STYLE_TEXT, "one two three\n\nincomprehensible"), 5);
    screen_update(&lab.screen);
    assert_string_equal(memory_face_text(&lab.face), "one two\nthree\n\nincomprehe\nnsible\n");
    screen_clear(&lab.screen);
    assert_int_equal(screen_paragraph(&lab.screen, 0, 0, 9, 2, 0, STYLE_TEXT, "没有找到磁盘请检查"), 3);
    screen_update(&lab.screen);
    assert_string_equal(memory_face_text(&lab.face), "没有找到\n磁盘请检…\n");
    /* Not 。 at the beginning of a line. */
    screen_clear(&lab.screen);
    screen_paragraph(&lab.screen, 0, 0, 6, 3, 0, STYLE_TEXT, "没有找到。好");
    screen_update(&lab.screen);
    assert_string_equal(memory_face_text(&lab.face), "没有找\n到。好\n");
    screen_clear(&lab.screen);
    screen_paragraph(&lab.screen, 0, 0, 8, 3, 0, STYLE_TEXT, "没有找到。好");
    screen_update(&lab.screen);
    assert_string_equal(memory_face_text(&lab.face), "没有找\n到。好\n");
    screen_clear(&lab.screen);
    screen_paragraph(&lab.screen, 0, 0, 10, 2, 1, STYLE_TEXT, "one two three four five");
    screen_update(&lab.screen);
    assert_string_equal(memory_face_text(&lab.face), "three four\nfive\n");
    assert_int_equal(screen_paragraph(&lab.screen, 0, 0, 10, 0, 0, STYLE_TEXT, "one two three"), 2);
}

static void test_faces_are_told_of_changes_alone(void **state)
{
    (void)state;
    screen_update(&lab.screen);
    lab.face.drawn_cells = 0;
    screen_update(&lab.screen);
    assert_int_equal(lab.face.drawn_cells, 0);
    screen_text(&lab.screen, 3, 10, 5, STYLE_TEXT, "abcde");
    screen_update(&lab.screen);
    assert_int_equal(lab.face.drawn_cells, 5);
    /* The whole page drawn anew, with one digit that is another. */
    lab.face.drawn_cells = lab.face.draws = 0;
    screen_clear(&lab.screen);
    screen_text(&lab.screen, 3, 10, 5, STYLE_TEXT, "abXde");
    screen_update(&lab.screen);
    assert_int_equal(lab.face.drawn_cells, 1);
    assert_int_equal(lab.face.draws, 1);
    /* A change of style alone is one. */
    screen_text(&lab.screen, 3, 10, 5, STYLE_SELECTED, "abXde");
    screen_update(&lab.screen);
    assert_int_equal(lab.face.drawn_cells, 6);
    screen_forget(&lab.screen);
    screen_update(&lab.screen);
    assert_int_equal(lab.face.drawn_cells, 6 + 80 * 25);
}

/* Random pages: what the face shows is always what the grid holds. */
static void test_updates_add_up(void **state)
{
    static const char *const texts[] = {"中文字符", "plain", "한국어 mixed", "", "я"};
    unsigned value = 7;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        value = value * 1103515245u + 12345u;
        unsigned row = value >> 8 & 1, column = value >> 10 & 31, width = 1 + (value >> 16 & 15);
        screen_text(&lab.screen, row, column, width, (value >> 20 & 1) ? STYLE_TEXT : STYLE_STRONG,
                    texts[(value >> 24) % 5]);
        screen_update(&lab.screen);
        for (unsigned r = 0; r < 2; r++)
            for (unsigned c = 0; c < 80; c++) {
                const struct cell *wanted = &lab.screen.cells[r * 80 + c], *shown = &lab.face.cells[r][c];
                assert_true(wanted->character == shown->character && wanted->width == shown->width &&
                            wanted->style == shown->style);
            }
        memory_face_text(&lab.face);
    }
}

static void test_the_grid_fits_every_face(void **state)
{
    struct memory_face large, small, tiny;
    struct face *faces[] = {&large.face, &tiny.face, &small.face};
    struct screen screen;

    (void)state;
    memory_face_init(&large, 132, 50);
    memory_face_init(&small, 100, 30);
    memory_face_init(&tiny, 40, 25);
    assert_int_equal(screen_open(&screen, &lab.loop, faces, 3), 0);
    assert_int_equal(screen.face_count, 2);
    assert_int_equal(tiny.closes, 1);
    assert_int_equal(screen.columns, 100);
    assert_int_equal(screen.rows, 30);
    screen_text(&screen, 0, 0, 10, STYLE_TEXT, "both");
    screen_update(&screen);
    assert_true(memory_face_shows(&large, "both"));
    assert_true(memory_face_shows(&small, "both"));
    small.plain = true;
    assert_true(screen_can_show(&screen, "plain → ─"));
    assert_false(screen_can_show(&screen, "中文"));
    screen_close(&screen);
    assert_int_equal(large.closes + small.closes, 2);
    memory_face_init(&tiny, 79, 25);
    faces[0] = &tiny.face;
    assert_int_equal(screen_open(&screen, &lab.loop, faces, 1), -ERROR_UNSUPPORTED);
    assert_int_equal(tiny.closes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_widths),
        cmocka_unit_test_setup_teardown(test_text_fits_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wide_text_is_never_cut_in_half, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_text_stays_in_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paragraphs_break_at_blanks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_faces_are_told_of_changes_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_updates_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_grid_fits_every_face, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
