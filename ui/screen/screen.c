/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/screen.h"

#include <limits.h>
#include <string.h>

#include "core/error.h"

#define ELLIPSIS 0x2026
/* Cells that are right already, but cheaper to draw again than to move the cursor over. */
#define RUN_GAP 3
#define KEYS_DROPPED_MAX 256

static const struct {
    uint8_t foreground, background;
} style_colours[STYLE_COUNT] = {
    [STYLE_TEXT] = {COLOUR_LIGHT_GRAY, COLOUR_BLACK},
    [STYLE_DIM] = {COLOUR_DARK_GRAY, COLOUR_BLACK},
    [STYLE_STRONG] = {COLOUR_WHITE, COLOUR_BLACK},
    [STYLE_BAR] = {COLOUR_WHITE, COLOUR_BLUE},
    [STYLE_BAR_KEY] = {COLOUR_YELLOW, COLOUR_BLUE},
    [STYLE_SELECTED] = {COLOUR_BLACK, COLOUR_CYAN},
    [STYLE_FIELD] = {COLOUR_LIGHT_CYAN, COLOUR_BLACK},
    [STYLE_COMMAND] = {COLOUR_CYAN, COLOUR_BLACK},
    [STYLE_GOOD] = {COLOUR_LIGHT_GREEN, COLOUR_BLACK},
    [STYLE_WARNING] = {COLOUR_YELLOW, COLOUR_BLACK},
    [STYLE_DANGER] = {COLOUR_WHITE, COLOUR_RED},
    [STYLE_DIALOG] = {COLOUR_BLACK, COLOUR_LIGHT_GRAY},
    [STYLE_DIALOG_STRONG] = {COLOUR_RED, COLOUR_LIGHT_GRAY},
    [STYLE_MAP_EMPTY] = {COLOUR_DARK_GRAY, COLOUR_BLACK},
    [STYLE_MAP_USED] = {COLOUR_LIGHT_GRAY, COLOUR_BLACK},
    [STYLE_MAP_READ] = {COLOUR_LIGHT_BLUE, COLOUR_BLACK},
    [STYLE_MAP_WRITTEN] = {COLOUR_LIGHT_CYAN, COLOUR_BLACK},
    [STYLE_MAP_VERIFIED] = {COLOUR_LIGHT_GREEN, COLOUR_BLACK},
    [STYLE_MAP_BAD] = {COLOUR_WHITE, COLOUR_RED},
};

enum colour style_foreground(enum style style)
{
    return (enum colour)style_colours[style < STYLE_COUNT ? style : STYLE_TEXT].foreground;
}

enum colour style_background(enum style style)
{
    return (enum colour)style_colours[style < STYLE_COUNT ? style : STYLE_TEXT].background;
}

uint32_t character_plain(uint32_t character)
{
    static const struct {
        uint16_t first, last;
        char plain;
    } plain[] = {
        {0x00b7, 0x00b7, '.'}, {0x2010, 0x2015, '-'}, {0x2018, 0x2019, '\''}, {0x201c, 0x201e, '"'},
        {0x2022, 0x2022, '*'}, {0x2026, 0x2026, '~'}, {0x2190, 0x2190, '<'},  {0x2191, 0x2191, '^'},
        {0x2192, 0x2192, '>'}, {0x2193, 0x2193, 'v'}, {0x2500, 0x2501, '-'},  {0x2502, 0x2503, '|'},
        {0x250c, 0x254b, '+'}, {0x2550, 0x2550, '='}, {0x2551, 0x2551, '|'},  {0x2552, 0x256c, '+'},
        {0x2588, 0x2588, '#'}, {0x2591, 0x2591, ':'}, {0x2592, 0x2592, '+'},  {0x2593, 0x2593, '%'},
        {0x25a0, 0x25a0, '#'}, {0x25b2, 0x25b2, '^'}, {0x25ba, 0x25ba, '>'},  {0x25bc, 0x25bc, 'v'},
        {0x25c4, 0x25c4, '<'}, {0x25cf, 0x25cf, '*'}, {0x2713, 0x2713, 'v'},
    };

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (character >= plain[i].first && character <= plain[i].last)
            return (uint32_t)(unsigned char)plain[i].plain;
    return 0;
}

/* --- opening and closing --- */

static void close_faces(struct face *const *faces, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        faces[i]->ops->close(faces[i]);
}

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static void take_faces(struct screen *screen, struct face *const *faces, unsigned count)
{
    screen->columns = SCREEN_COLUMNS_MAX;
    screen->rows = SCREEN_ROWS_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct face *face = faces[i];
        if (face->columns < SCREEN_COLUMNS_MIN || face->rows < SCREEN_ROWS_MIN ||
            screen->face_count == SCREEN_FACES_MAX) {
            face->ops->close(face);
            continue;
        }
        screen->columns = smaller(screen->columns, face->columns);
        screen->rows = smaller(screen->rows, face->rows);
        screen->faces[screen->face_count++] = face;
    }
}

int screen_open(struct screen *screen, struct loop *loop, struct face *const *faces, unsigned count)
{
    memset(screen, 0, sizeof(*screen));
    screen->loop = loop;
    take_faces(screen, faces, count);
    if (!screen->face_count)
        return -ERROR_UNSUPPORTED;
    /* The grid, and behind it what each face shows. */
    size_t cells = (size_t)screen->columns * screen->rows;
    screen->cells = platform_allocate_zeroed(loop->platform, cells * (1 + screen->face_count) * sizeof(struct cell));
    if (!screen->cells) {
        close_faces(screen->faces, screen->face_count);
        screen->face_count = 0;
        return -ERROR_NO_MEMORY;
    }
    for (unsigned i = 0; i < screen->face_count; i++)
        screen->faces[i]->shown = screen->cells + cells * (1 + i);
    screen_clear(screen);
    screen_forget(screen);
    return 0;
}

void screen_close(struct screen *screen)
{
    close_faces(screen->faces, screen->face_count);
    screen->face_count = 0;
    platform_release(screen->loop->platform, screen->cells);
    screen->cells = NULL;
}

/* --- drawing into the grid --- */

static struct cell *cell_at(struct screen *screen, unsigned row, unsigned column)
{
    return &screen->cells[(size_t)row * screen->columns + column];
}

/* What stands here is about to be overwritten: the other half of a wide character becomes a blank. */
static void leave_whole(struct screen *screen, unsigned row, unsigned column)
{
    struct cell *cell = cell_at(screen, row, column);

    if (cell->width == 0 && column > 0)
        cell[-1] = (struct cell){' ', cell[-1].style, 1};
    if (cell->width == 2 && column + 1 < screen->columns)
        cell[1] = (struct cell){' ', cell[1].style, 1};
}

static void put(struct screen *screen, unsigned row, unsigned column, uint32_t character, enum style style)
{
    unsigned width = character_width(character);

    leave_whole(screen, row, column);
    if (width == 2) {
        leave_whole(screen, row, column + 1);
        *cell_at(screen, row, column + 1) = (struct cell){0, (uint8_t)style, 0};
    }
    *cell_at(screen, row, column) = (struct cell){character, (uint8_t)style, (uint8_t)width};
}

void screen_fill(struct screen *screen, unsigned row, unsigned column, unsigned count, enum style style,
                 uint32_t character)
{
    if (row >= screen->rows)
        return;
    for (; count && column < screen->columns; count--, column++)
        put(screen, row, column, character, style);
}

void screen_clear(struct screen *screen)
{
    for (unsigned row = 0; row < screen->rows; row++)
        screen_fill(screen, row, 0, screen->columns, STYLE_TEXT, ' ');
    screen->cursor_row = UINT_MAX;
    screen->cursor_column = 0;
}

/* How much of the text fits into `width` cells: *end is set behind it. Whole characters; all of it, or with room for an ellipsis. */
static unsigned fit(const char *text, unsigned width, const char **end, bool *cut)
{
    const char *at = text, *last = text;
    unsigned used = 0, last_used = 0;
    uint32_t character;

    *cut = false;
    while (last = at, last_used = used, (character = text_next_shown(&at))) {
        used += character_width(character);
        if (used > width) {
            *cut = true;
            break;
        }
    }
    if (*cut) {
        /* Again from the start, one cell narrower. */
        at = text;
        used = 0;
        while (last = at, last_used = used, (character = text_next_shown(&at))) {
            used += character_width(character);
            if (used + 1 > width)
                break;
        }
    }
    *end = last;
    return last_used;
}

static unsigned draw_fitting(struct screen *screen, unsigned row, unsigned column, unsigned room, enum style style,
                             const char *text)
{
    const char *end;
    bool cut;
    unsigned start = column;

    fit(text, room, &end, &cut);
    while (text < end) {
        uint32_t character = text_next_shown(&text);
        if (!character)
            break;
        put(screen, row, column, character, style);
        column += character_width(character);
    }
    if (cut && room)
        put(screen, row, column++, ELLIPSIS, style);
    return column - start;
}

static unsigned room_for(const struct screen *screen, unsigned column, unsigned width)
{
    return column >= screen->columns ? 0 : smaller(width, screen->columns - column);
}

unsigned screen_text(struct screen *screen, unsigned row, unsigned column, unsigned width, enum style style,
                     const char *text)
{
    unsigned room = room_for(screen, column, width);

    if (row >= screen->rows || !room)
        return 0;
    unsigned used = draw_fitting(screen, row, column, room, style, text);
    screen_fill(screen, row, column + used, room - used, style, ' ');
    return used;
}

unsigned screen_text_right(struct screen *screen, unsigned row, unsigned column, unsigned width, enum style style,
                           const char *text)
{
    unsigned room = room_for(screen, column, width), needed = text_width(text);

    if (needed >= room)
        return screen_text(screen, row, column, room, style, text);
    if (row >= screen->rows)
        return 0;
    screen_fill(screen, row, column, room - needed, style, ' ');
    return draw_fitting(screen, row, column + room - needed, needed, style, text);
}

/* Chinese and Korean sentences: what closes something does not begin a line. */
static bool is_closing(const char *text)
{
    static const uint16_t closing[] = {0x3001, 0x3002, 0x300b, 0x300d, 0x300f, 0x3011,
                                       0xff01, 0xff09, 0xff0c, 0xff1a, 0xff1b, 0xff1f};
    uint32_t character = text_next_shown(&text);

    for (size_t i = 0; i < sizeof(closing) / sizeof(closing[0]); i++)
        if (character == closing[i])
            return true;
    return false;
}

/*
 * One line of a paragraph: from `text` on, what fits into `width`, broken behind the last blank or wide character. Returns where the
 * next line begins; NULL: there is none. *end: behind the last character of this line.
 */
static const char *break_line(const char *text, unsigned width, const char **end)
{
    const char *at = text, *last_break = NULL, *next = NULL;
    unsigned used = 0;

    for (;;) {
        const char *here = at;
        uint32_t character = text_next_shown(&at);
        /* text_next_shown() hides the line end, so it is looked for in the text itself. */
        if (*here == '\n') {
            *end = here;
            return here + 1;
        }
        if (!character) {
            *end = here;
            return NULL;
        }
        unsigned cells = character_width(character);
        if (used + cells > width) {
            if (character == ' ') {
                *end = here;
                return at;
            }
            *end = last_break ? last_break : here > text ? here : at;
            return next ? next : *end;
        }
        used += cells;
        if (character == ' ') {
            last_break = here;
            next = at;
        } else if (cells == 2 && !is_closing(at)) {
            last_break = next = at;
        }
    }
}

unsigned screen_paragraph(struct screen *screen, unsigned row, unsigned column, unsigned width, unsigned rows,
                          unsigned skip, enum style style, const char *text)
{
    char line[SCREEN_COLUMNS_MAX * 4 + 1];
    unsigned lines = 0;

    if (!width || !*text)
        return 0;
    while (text) {
        const char *end, *next = break_line(text, width, &end);
        if (lines >= skip && lines - skip < rows) {
            size_t size = (size_t)(end - text) < sizeof(line) - 1 ? (size_t)(end - text) : sizeof(line) - 1;
            bool last = lines - skip + 1 == rows && next;
            memcpy(line, text, size);
            line[size] = 0;
            /* The last line that there is room for shows that more would come. */
            screen_text(screen, row + lines - skip, column, width, style, line);
            if (last)
                screen_text(screen, row + lines - skip, column + width - 1, 1, style, "\xe2\x80\xa6");
        }
        lines++;
        text = next;
    }
    return lines;
}

void screen_frame(struct screen *screen, unsigned row, unsigned column, unsigned rows, unsigned columns,
                  enum style style)
{
    if (rows < 2 || columns < 2)
        return;
    for (unsigned i = 0; i < rows; i++) {
        bool edge = i == 0 || i == rows - 1;
        screen_fill(screen, row + i, column, 1, style, i == 0 ? 0x250c : edge ? 0x2514 : 0x2502);
        screen_fill(screen, row + i, column + 1, columns - 2, style, edge ? 0x2500 : ' ');
        screen_fill(screen, row + i, column + columns - 1, 1, style, i == 0 ? 0x2510 : edge ? 0x2518 : 0x2502);
    }
}

/* --- showing --- */

static bool equal(const struct cell *a, const struct cell *b)
{
    return a->character == b->character && a->style == b->style && a->width == b->width;
}

/* Where the cells that must be drawn from `column` on end; cells that are right already are drawn along when they are few. */
static unsigned run_end(const struct cell *wanted, const struct cell *shown, unsigned column, unsigned columns)
{
    unsigned end = column + 1;

    for (unsigned i = end; i < columns && i - end <= RUN_GAP; i++)
        if (!equal(&wanted[i], &shown[i]))
            end = i + 1;
    /* Not within a character, neither the new nor the old one. */
    while (end < columns && (wanted[end].width == 0 || shown[end].width == 0))
        end++;
    return end;
}

static void update_row(struct screen *screen, struct face *face, unsigned row)
{
    const struct cell *wanted = screen->cells + (size_t)row * screen->columns;
    struct cell *shown = face->shown + (size_t)row * screen->columns;

    for (unsigned column = 0; column < screen->columns; column++) {
        if (equal(&wanted[column], &shown[column]))
            continue;
        while (column && (wanted[column].width == 0 || shown[column].width == 0))
            column--;
        unsigned end = run_end(wanted, shown, column, screen->columns);
        face->ops->draw(face, row, column, wanted + column, end - column);
        memcpy(shown + column, wanted + column, (end - column) * sizeof(*shown));
        column = end - 1;
    }
}

void screen_update(struct screen *screen)
{
    for (unsigned i = 0; i < screen->face_count; i++) {
        struct face *face = screen->faces[i];
        for (unsigned row = 0; row < screen->rows; row++)
            update_row(screen, face, row);
        if (face->ops->flush)
            face->ops->flush(face, screen->cursor_row, screen->cursor_column);
    }
}

void screen_forget(struct screen *screen)
{
    size_t cells = (size_t)screen->columns * screen->rows;

    for (unsigned i = 0; i < screen->face_count; i++) {
        struct face *face = screen->faces[i];
        if (face->ops->clear)
            face->ops->clear(face);
        /* Like no cell of the grid. */
        for (size_t cell = 0; cell < cells; cell++)
            face->shown[cell] = (struct cell){0, STYLE_COUNT, 1};
    }
}

bool screen_can_show(const struct screen *screen, const char *text)
{
    uint32_t character;

    while ((character = text_next_shown(&text)))
        for (unsigned i = 0; i < screen->face_count; i++)
            if (screen->faces[i]->ops->can_show && !screen->faces[i]->ops->can_show(screen->faces[i], character) &&
                !character_plain(character))
                return false;
    return true;
}

/* --- keys --- */

struct key_wait {
    struct screen *screen;
    struct key *key;
};

static bool key_pressed(void *context)
{
    struct key_wait *wait = context;

    return wait->screen->read_key(wait->screen, wait->key);
}

bool screen_wait_key(struct screen *screen, struct key *key, uint64_t deadline)
{
    struct key_wait wait = {screen, key};

    /* Keyboards do not wake the loop, but it never rests for long. */
    return loop_wait(screen->loop, key_pressed, &wait, deadline);
}

void screen_drop_keys(struct screen *screen)
{
    struct key key;

    /* A signal that asks to end is a key for ever. */
    for (unsigned i = 0; i < KEYS_DROPPED_MAX && screen->read_key(screen, &key); i++)
        ;
}
