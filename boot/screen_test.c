/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/screen_test.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ui/screen/screen.h"

#define KEYS_ROW 22
#define KEYS_COLUMN 9
#define KEYS_END (SCREEN_COLUMNS_MIN - 3)

static bool read_key(struct screen *screen, struct key *key)
{
    return machine_read_key(screen->keys, key);
}

/* Every style with its name, the maps' with a piece of a map. */
static void draw_styles(struct screen *screen)
{
    static const char *const names[STYLE_COUNT] = {"text",     "dim",         "strong",        "bar",       "bar key",
                                                   "selected", "field",       "command",       "good",      "warning",
                                                   "danger",   "dialog",      "dialog strong", "map empty", "map used",
                                                   "map read", "map written", "map verified",  "map bad"};

    for (unsigned style = 0; style < STYLE_COUNT; style++) {
        const unsigned row = 3 + style / 3, column = 3 + style % 3 * 25;
        screen_fill(screen, row, column, 24, (enum style)style, ' ');
        screen_text(screen, row, column + 1, 14, (enum style)style, names[style]);
        if (style >= STYLE_MAP_EMPTY)
            screen_fill(screen, row, column + 15, 8, (enum style)style, style == STYLE_MAP_EMPTY ? 0x2591 : 0x2588);
    }
}

static void draw_all(struct screen *screen)
{
    static const struct {
        unsigned row;
        const char *text;
    } lines[] = {
        {11, "░░▒▒▓▓██  ▁▂▃▄▅▆▇█  ▏▎▍▌▋▊▉█  ▀▄▌▐  ▖▗▘▙▚▛▜▝▞▟  ← ↑ → ↓  ✓ ● ■ ▲ ▼"},
        {12, "┌─┬─┐  ┏━┳━┓  ╔═╦═╗  ╭─╮"},
        {13, "├─┼─┤  ┣━╋━┫  ╠═╬═╣  │ │"},
        {14, "└─┴─┘  ┗━┻━┛  ╚═╩═╝  ╰─╯"},
        {16, "Choose the disk, then the place for its image. 0123456789 {}[]()<>|\\/@#$%&"},
        {17, "选择要备份的磁盘，然后选择映像的保存位置。"},
        {18, "백업할 디스크를 선택한 다음 이미지를 저장할 위치를 선택하십시오."},
        {19, "Выберите диск, а затем место, куда записать образ."},
    };
    const unsigned columns = screen->columns, rows = screen->rows;
    char text[40];

    screen_clear(screen);
    screen_text(screen, 0, 0, columns, STYLE_BAR, " Eidolon: what the screen shows");
    snprintf(text, sizeof(text), "%u x %u, faces: %u ", columns, rows, screen->face_count);
    screen_text_right(screen, 0, columns - 30, 30, STYLE_BAR, text);
    screen_frame(screen, 1, 0, rows - 2, columns, STYLE_DIM);
    draw_styles(screen);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        screen_text(screen, lines[i].row, 3, SCREEN_COLUMNS_MIN - 6, STYLE_TEXT, lines[i].text);
    screen_text(screen, KEYS_ROW, 3, 5, STYLE_STRONG, "Keys:");
    screen_text(screen, rows - 1, 0, columns, STYLE_BAR, "");
    screen_text(screen, rows - 1, 1, 3, STYLE_BAR_KEY, "ESC");
    screen_text(screen, rows - 1, 5, 10, STYLE_BAR, "ends");
}

static const char *key_name(const struct key *key, char *character)
{
    static const char *const names[] = {[KEY_ENTER] = "Enter",
                                        [KEY_ESCAPE] = "ESC",
                                        [KEY_TAB] = "Tab",
                                        [KEY_BACK_TAB] = "Shift+Tab",
                                        [KEY_BACKSPACE] = "Backspace",
                                        [KEY_DELETE] = "Delete",
                                        [KEY_UP] = "Up",
                                        [KEY_DOWN] = "Down",
                                        [KEY_LEFT] = "Left",
                                        [KEY_RIGHT] = "Right",
                                        [KEY_HOME] = "Home",
                                        [KEY_END] = "End",
                                        [KEY_PAGE_UP] = "PageUp",
                                        [KEY_PAGE_DOWN] = "PageDown",
                                        [KEY_F1] = "F1",
                                        [KEY_F2] = "F2",
                                        [KEY_F5] = "F5",
                                        [KEY_F10] = "F10",
                                        [KEY_INTERRUPT] = "Ctrl+C"};

    if (key->code != KEY_CHARACTER)
        return names[key->code];
    character[text_encode(key->character, character)] = 0;
    return character;
}

/* One behind the other; at the end of the line it begins anew. */
static void show_key(struct screen *screen, const struct key *key, unsigned *column)
{
    char character[5];
    const char *name = key_name(key, character);

    if (*column + text_width(name) >= KEYS_END)
        *column = KEYS_COLUMN;
    if (*column == KEYS_COLUMN)
        screen_fill(screen, KEYS_ROW, KEYS_COLUMN, KEYS_END - KEYS_COLUMN, STYLE_TEXT, ' ');
    *column += 1 + screen_text(screen, KEYS_ROW, *column, text_width(name), STYLE_COMMAND, name);
    screen->cursor_row = KEYS_ROW;
    screen->cursor_column = *column;
    screen_update(screen);
    platform_log(screen->loop->platform, LOG_INFO, "screen-test: key %s", name);
}

/* --- how long each face takes, in microseconds --- */

struct times {
    unsigned columns, rows;
    unsigned long long all, one;
};

static unsigned long long time_of_draw(struct screen *screen, struct face *face, unsigned rows, unsigned columns)
{
    uint64_t begun = platform_now(screen->loop->platform);

    for (unsigned row = 0; row < rows; row++)
        face->ops->draw(face, row, 0, screen->cells + (size_t)row * screen->columns, columns);
    face->ops->flush(face, UINT_MAX, 0);
    return (platform_now(screen->loop->platform) - begun) / NANOSECONDS_PER_MICROSECOND;
}

static void measure(struct screen *screen, struct times *times)
{
    for (unsigned i = 0; i < screen->face_count; i++) {
        struct face *face = screen->faces[i];
        times[i] = (struct times){.columns = face->columns, .rows = face->rows};
        times[i].all = time_of_draw(screen, face, screen->rows, screen->columns);
        times[i].one = time_of_draw(screen, face, 1, 1);
    }
}

bool screen_test(struct machine *machine, struct output *out)
{
    struct face *faces[SCREEN_FACES_MAX];
    struct times times[SCREEN_FACES_MAX];
    struct screen screen;
    struct key key = {.code = KEY_CHARACTER};
    unsigned column = KEYS_COLUMN;

    if (screen_open(&screen, &machine->loop, faces, machine_faces(machine, faces, SCREEN_FACES_MAX)) != 0) {
        output_print(out, "screen-test: there is no panel and no console that a screen could be shown on\n");
        return false;
    }
    screen.read_key = read_key;
    screen.keys = machine;
    const unsigned count = screen.face_count, columns = screen.columns, rows = screen.rows;
    draw_all(&screen);
    screen_update(&screen);
    measure(&screen, times);
    platform_log(machine->platform, LOG_INFO, "screen-test: drawn, faces: %u", count);
    while (key.code != KEY_ESCAPE && screen_wait_key(&screen, &key, UINT64_MAX))
        show_key(&screen, &key, &column);
    screen_close(&screen);
    for (unsigned i = 0; i < count; i++)
        output_print(out, "screen-test: face %u has %u x %u cells; %u x %u took %llu us, one %llu us\n", i + 1,
                     times[i].columns, times[i].rows, columns, rows, times[i].all, times[i].one);
    return true;
}
