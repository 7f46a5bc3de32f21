/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/widget.h"

#include <stdio.h>
#include <string.h>

#define BLOCK_FULL 0x2588
#define BLOCK_LIGHT 0x2591
#define PIECE_WIDTH_MIN 3 /* edge, one cell, and the next one's edge */
#define PIECES_MAX 64

/* --- pieces --- */

/*
 * Shares `width` cells among the pieces: each gets the least, the rest goes by size. Returns how many pieces are shown: those that
 * there is no room for are left out at the end.
 */
static unsigned share(const struct map_piece *pieces, unsigned count, unsigned width, unsigned widths[PIECES_MAX])
{
    uint64_t total = 0, seen = 0;
    unsigned given = 0;

    if (count > PIECES_MAX)
        count = PIECES_MAX;
    while (count && count * PIECE_WIDTH_MIN > width)
        count--;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].bytes;
    unsigned spare = width - count * PIECE_WIDTH_MIN;
    for (unsigned i = 0; i < count; i++) {
        /* The sum of all so far is rounded, so that the last piece ends at the edge. */
        seen += pieces[i].bytes;
        unsigned upto = total ? (unsigned)((unsigned __int128)seen * spare / total) : 0;
        widths[i] = PIECE_WIDTH_MIN + upto - given;
        given = upto;
    }
    return count;
}

static void draw_used(struct screen *screen, unsigned row, unsigned column, unsigned width,
                      const struct map_piece *piece)
{
    unsigned full = 0;

    if (piece->used_bytes == UINT64_MAX || piece->is_free || !piece->bytes) {
        screen_fill(screen, row, column, width, STYLE_MAP_EMPTY, piece->is_free ? ' ' : '?');
        return;
    }
    full = (unsigned)((unsigned __int128)piece->used_bytes * width / piece->bytes);
    if (!full && piece->used_bytes)
        full = 1;
    if (full > width)
        full = width;
    screen_fill(screen, row, column, full, STYLE_MAP_USED, BLOCK_FULL);
    screen_fill(screen, row, column + full, width - full, STYLE_MAP_EMPTY, BLOCK_LIGHT);
}

/* Where there is no room for more, what stands before the first blank ("#2") tells more than an ellipsis. */
static void draw_name(struct screen *screen, unsigned row, unsigned column, unsigned width, enum style style,
                      const char *name)
{
    const char *blank = strchr(name, ' ');
    char first[16];

    if (blank && text_width(name) > width && (size_t)(blank - name) < sizeof(first)) {
        snprintf(first, sizeof(first), "%.*s", (int)(blank - name), name);
        if (text_width(first) + 2 > width && text_width(first) <= width)
            name = first;
    }
    screen_text(screen, row, column, width, style, name);
}

void piece_map_draw(struct screen *screen, struct area area, const struct map_piece *pieces, unsigned count,
                    unsigned selected)
{
    const unsigned last = PIECE_MAP_ROWS - 1;
    unsigned widths[PIECES_MAX], column = area.column;

    if (area.columns < 2)
        return;
    unsigned shown = share(pieces, count, area.columns - 1, widths);
    for (unsigned row = 0; row < PIECE_MAP_ROWS; row++)
        screen_fill(screen, area.row + row, area.column, area.columns, STYLE_TEXT, ' ');
    for (unsigned i = 0; i < shown; i++) {
        unsigned inside = widths[i] - 1;
        enum style style = i == selected ? STYLE_SELECTED : pieces[i].is_free ? STYLE_DIM : STYLE_TEXT;
        screen_fill(screen, area.row, column, inside + 2, STYLE_DIM, 0x2500);
        screen_fill(screen, area.row + last, column, inside + 2, STYLE_DIM, 0x2500);
        screen_fill(screen, area.row, column, 1, STYLE_DIM, i ? 0x252c : 0x250c);
        for (unsigned row = 1; row < last; row++)
            screen_fill(screen, area.row + row, column, 1, STYLE_DIM, 0x2502);
        screen_fill(screen, area.row + last, column, 1, STYLE_DIM, i ? 0x2534 : 0x2514);
        draw_name(screen, area.row + 1, column + 1, inside, style, pieces[i].name);
        draw_used(screen, area.row + 2, column + 1, inside, &pieces[i]);
        column += widths[i];
    }
    for (unsigned row = 0; shown && row < PIECE_MAP_ROWS; row++)
        screen_fill(screen, area.row + row, column, 1, STYLE_DIM, !row ? 0x2510 : row < last ? 0x2502 : 0x2518);
}

/* --- states --- */

static const struct {
    uint16_t character;
    uint8_t style;
} states[MAP_STATE_COUNT] = {
    [MAP_UNUSED] = {0x00b7, STYLE_MAP_EMPTY},      [MAP_TO_DO] = {0x2591, STYLE_MAP_USED},
    [MAP_READ] = {0x2592, STYLE_MAP_READ},         [MAP_WRITTEN] = {0x2593, STYLE_MAP_WRITTEN},
    [MAP_VERIFIED] = {0x2588, STYLE_MAP_VERIFIED}, [MAP_BAD] = {'X', STYLE_MAP_BAD},
};

uint32_t map_state_character(enum map_state state)
{
    return states[state < MAP_STATE_COUNT ? state : MAP_UNUSED].character;
}

enum style map_state_style(enum map_state state)
{
    return (enum style)states[state < MAP_STATE_COUNT ? state : MAP_UNUSED].style;
}

void state_map_draw(struct screen *screen, struct area area, uint64_t bytes,
                    enum map_state (*state)(void *context, uint64_t offset, uint64_t length), void *context)
{
    uint64_t cells = (uint64_t)area.rows * area.columns;

    if (!cells || !bytes)
        return;
    for (uint64_t i = 0; i < cells; i++) {
        uint64_t start = (uint64_t)((unsigned __int128)bytes * i / cells);
        uint64_t end = (uint64_t)((unsigned __int128)bytes * (i + 1) / cells);
        enum map_state what = state(context, start, end > start ? end - start : 1);
        screen_fill(screen, area.row + (unsigned)(i / area.columns), area.column + (unsigned)(i % area.columns), 1,
                    map_state_style(what), map_state_character(what));
    }
}

void bar_draw(struct screen *screen, unsigned row, unsigned column, unsigned width, unsigned per_mille)
{
    unsigned full = per_mille >= 1000 ? width : width * per_mille / 1000;

    screen_fill(screen, row, column, full, STYLE_MAP_VERIFIED, BLOCK_FULL);
    screen_fill(screen, row, column + full, width - full, STYLE_MAP_EMPTY, BLOCK_LIGHT);
}
