/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/memory_face.h"

/* --- the face --- */

static void draw(struct face *face, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    struct memory_face *memory = (struct memory_face *)face;

    assert_true(count > 0 && row < face->rows && column + count <= face->columns);
    assert_int_not_equal(cells[0].width, 0);
    memory->draws++;
    memory->drawn_cells += count;
    memcpy(&memory->cells[row][column], cells, count * sizeof(*cells));
}

static void flush(struct face *face, unsigned cursor_row, unsigned cursor_column)
{
    struct memory_face *memory = (struct memory_face *)face;

    memory->cursor_row = cursor_row;
    memory->cursor_column = cursor_column;
    memory->flushes++;
    if (memory->flushed)
        memory->flushed();
}

static bool can_show(struct face *face, uint32_t character)
{
    return !((struct memory_face *)face)->plain || character < 0x7f;
}

static void clear(struct face *face)
{
    struct memory_face *memory = (struct memory_face *)face;

    memory->clears++;
    memset(memory->cells, 0, sizeof(memory->cells));
}

static void close_face(struct face *face)
{
    ((struct memory_face *)face)->closes++;
}

static const struct face_ops memory_face_ops = {
    .draw = draw, .flush = flush, .can_show = can_show, .clear = clear, .close = close_face};

void memory_face_init(struct memory_face *face, unsigned columns, unsigned rows)
{
    memset(face, 0, sizeof(*face));
    face->face = (struct face){.ops = &memory_face_ops, .columns = columns, .rows = rows};
}

const char *memory_face_text(const struct memory_face *face)
{
    static char text[SCREEN_ROWS_MAX * (SCREEN_COLUMNS_MAX * 4 + 1) + 1];
    size_t used = 0, last_line = 0;

    for (unsigned row = 0; row < face->face.rows && row < SCREEN_ROWS_MAX; row++) {
        size_t content = used;
        for (unsigned column = 0; column < face->face.columns && column < SCREEN_COLUMNS_MAX; column++) {
            const struct cell *cell = &face->cells[row][column];
            if (cell->width == 2)
                assert_true(column + 1 < face->face.columns && cell[1].width == 0 && cell[1].character == 0);
            if (cell->width == 0) {
                assert_true(!cell->character && (!column || cell[-1].width != 1 || !cell->style));
                continue;
            }
            used += text_encode(cell->character, text + used);
            if (cell->character != ' ')
                content = used;
        }
        used = content;
        text[used++] = '\n';
        if (content > (row ? last_line : 0) && text[content - 1] != '\n')
            last_line = used;
    }
    text[last_line] = 0;
    return text;
}

enum style memory_face_style(const struct memory_face *face, unsigned row, unsigned column)
{
    return (enum style)face->cells[row][column].style;
}

bool memory_face_shows(const struct memory_face *face, const char *text)
{
    return strstr(memory_face_text(face), text) != NULL;
}

/* --- keys --- */

static const struct {
    const char *name;
    enum key_code code;
} key_names[] = {
    {"<enter>", KEY_ENTER},
    {"<esc>", KEY_ESCAPE},
    {"<up>", KEY_UP},
    {"<down>", KEY_DOWN},
    {"<left>", KEY_LEFT},
    {"<right>", KEY_RIGHT},
    {"<tab>", KEY_TAB},
    {"<backtab>", KEY_BACK_TAB},
    {"<bs>", KEY_BACKSPACE},
    {"<del>", KEY_DELETE},
    {"<home>", KEY_HOME},
    {"<end>", KEY_END},
    {"<pgup>", KEY_PAGE_UP},
    {"<pgdn>", KEY_PAGE_DOWN},
    {"<f1>", KEY_F1},
    {"<f2>", KEY_F2},
    {"<f5>", KEY_F5},
    {"<f10>", KEY_F10},
    {"<ctrl-c>", KEY_INTERRUPT},
};

#define LOOKS_MAX 20000u /* with a rest between them: then it is never going to be shown */

/* true: there is something to wait for. */
static bool must_wait(struct key_script *script)
{
    char text[128];

    if (strncmp(script->rest, "<wait:", 6) != 0)
        return false;
    size_t length = strcspn(script->rest + 6, ">");
    snprintf(text, sizeof(text), "%.*s", (int)length, script->rest + 6);
    if (!memory_face_shows(script->face, text)) {
        if (++script->looks > LOOKS_MAX)
            fail_msg("\"%s\" is not shown; this is:\n%s", text, memory_face_text(script->face));
        return true;
    }
    script->looks = 0;
    script->rest += 6 + length + 1;
    return false;
}

static bool read_key(struct screen *screen, struct key *key)
{
    struct key_script *script = screen->keys;

    if (strncmp(script->rest, "<ahead>", 7) == 0) {
        script->rest += 7;
        script->rests = false;
    }
    if (script->rests) {
        script->rests = false;
        return false;
    }
    if (must_wait(script))
        return false;
    while (strncmp(script->rest, "<shot>", 6) == 0) {
        script->rest += 6;
        script->at_shot(script->context, script->shots++);
    }
    if (!*script->rest)
        fail_msg("a screen waits for a key, and the script has none left");
    *key = (struct key){.code = KEY_CHARACTER};
    script->rests = script->paced;
    for (size_t i = 0; i < sizeof(key_names) / sizeof(key_names[0]); i++) {
        size_t length = strlen(key_names[i].name);
        if (strncmp(script->rest, key_names[i].name, length) == 0) {
            key->code = key_names[i].code;
            script->rest += length;
            return true;
        }
    }
    key->character = text_next(&script->rest);
    return true;
}

void key_script_use(struct key_script *script, struct screen *screen, const char *keys)
{
    script->rest = keys;
    screen->read_key = read_key;
    screen->keys = script;
}

/* --- snapshots --- */

void snapshot_check(const char *name, const char *text)
{
    char path[256];
    static char expected[64 * 1024];
    const char *mode = getenv("SNAPSHOTS");

    snprintf(path, sizeof(path), "tests/snapshots/%s.txt", name);
    FILE *file = fopen(path, mode && strcmp(mode, "write") == 0 ? "w" : "r");
    if (!file)
        fail_msg("%s is missing; SNAPSHOTS=write makes it", path);
    if (mode && strcmp(mode, "write") == 0) {
        fputs(text, file);
        fclose(file);
        return;
    }
    size_t size = fread(expected, 1, sizeof(expected) - 1, file);
    fclose(file);
    expected[size] = 0;
    if (strcmp(expected, text) != 0)
        fail_msg("%s is not what is shown.\n--- expected\n%s--- shown\n%s---", path, expected, text);
}
