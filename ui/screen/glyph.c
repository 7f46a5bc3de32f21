/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/glyph.h"

#include <string.h>

/* Where larger pictures than these fit, they are taken only if the grid keeps this size. */
#define SCALE_ENOUGH 2
#define COLUMNS_WANTED 100
#define ROWS_WANTED 30

/*
 * Calm rather than pure. Black, blue, red, magenta, green and brown are dark, all others light enough to be read on them; cyan is
 * among the light ones, for it is written with and on.
 */
static const struct {
    uint8_t red, green, blue;
} palette[] = {
    [COLOUR_BLACK] = {0x10, 0x14, 0x1a},       [COLOUR_BLUE] = {0x18, 0x3a, 0x66},
    [COLOUR_GREEN] = {0x14, 0x50, 0x2c},       [COLOUR_CYAN] = {0x4c, 0xb8, 0xc8},
    [COLOUR_RED] = {0x96, 0x1c, 0x24},         [COLOUR_MAGENTA] = {0x5a, 0x2a, 0x66},
    [COLOUR_BROWN] = {0x5e, 0x40, 0x06},       [COLOUR_LIGHT_GRAY] = {0xd0, 0xd5, 0xda},
    [COLOUR_DARK_GRAY] = {0x97, 0xa1, 0xac},   [COLOUR_LIGHT_BLUE] = {0x8f, 0xba, 0xf8},
    [COLOUR_LIGHT_GREEN] = {0x86, 0xd9, 0x92}, [COLOUR_LIGHT_CYAN] = {0xa2, 0xec, 0xf4},
    [COLOUR_LIGHT_RED] = {0xff, 0xa1, 0x98},   [COLOUR_LIGHT_MAGENTA] = {0xe0, 0xae, 0xec},
    [COLOUR_YELLOW] = {0xf4, 0xd5, 0x76},      [COLOUR_WHITE] = {0xff, 0xff, 0xff},
};

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool fits(unsigned width, unsigned height, unsigned scale, unsigned columns, unsigned rows)
{
    return width / (FONT_WIDTH * scale) >= columns && height / (FONT_HEIGHT * scale) >= rows;
}

struct glyph_grid glyph_layout(unsigned panel_width, unsigned panel_height, unsigned columns_max, unsigned rows_max)
{
    struct glyph_grid grid = {.scale = 1};

    for (unsigned scale = 2; scale <= GLYPH_SCALE_MAX; scale++) {
        bool enough = scale <= SCALE_ENOUGH;
        if (fits(panel_width, panel_height, scale, least(enough ? SCREEN_COLUMNS_MIN : COLUMNS_WANTED, columns_max),
                 least(enough ? SCREEN_ROWS_MIN : ROWS_WANTED, rows_max)))
            grid.scale = scale;
    }
    grid.columns = least(panel_width / (FONT_WIDTH * grid.scale), columns_max);
    grid.rows = least(panel_height / (FONT_HEIGHT * grid.scale), rows_max);
    grid.left = (panel_width - grid.columns * FONT_WIDTH * grid.scale) / 2;
    grid.top = (panel_height - grid.rows * FONT_HEIGHT * grid.scale) / 2;
    return grid;
}

uint32_t glyph_pixel(enum colour colour, enum pixel_order order)
{
    const uint32_t red = palette[colour].red, green = palette[colour].green, blue = palette[colour].blue;

    return order == PIXEL_BGRX ? red << 16 | green << 8 | blue : blue << 16 | green << 8 | red;
}

/* Rows of a picture as bits, the left one the highest of `width` ones. */
struct picture {
    unsigned width;
    uint16_t rows[FONT_HEIGHT];
};

static void draw_box(struct picture *picture)
{
    const unsigned all = (1u << picture->width) - 1, edges = 1u << (picture->width - 2) | 2u;

    for (unsigned row = 2; row < FONT_HEIGHT - 2; row++)
        picture->rows[row] = (uint16_t)(row == 2 || row == FONT_HEIGHT - 3 ? all >> 2 << 1 : edges);
}

static void find_picture(const struct font *font, const struct cell *cell, struct picture *picture)
{
    const uint8_t *halves = NULL;
    const unsigned count = font_glyph(font, cell->character, &halves);

    *picture = (struct picture){.width = FONT_WIDTH * (count == 2 || cell->width == 2 ? 2u : 1u)};
    if (!count)
        draw_box(picture);
    for (unsigned row = 0; row < FONT_HEIGHT && count; row++) {
        if (count == 2)
            picture->rows[row] = (uint16_t)(halves[row] << 8 | halves[FONT_HEIGHT + row]);
        else if (cell->width == 2) /* a narrow picture in the middle of two cells */
            picture->rows[row] = (uint16_t)(halves[row] << 4);
        else
            picture->rows[row] = halves[row];
    }
}

/* A row of the picture over `width` pixels. A wide picture in a narrow cell is squeezed: a pixel is set if one of its columns is. */
static void make_line(const struct picture *picture, unsigned row, unsigned width, uint32_t fore, uint32_t back,
                      uint32_t *line)
{
    for (unsigned x = 0; x < width; x++) {
        const unsigned from = x * picture->width / width, to = (x + 1) * picture->width / width;
        const unsigned columns = to > from ? to - from : 1;
        const unsigned bits = picture->rows[row] >> (picture->width - from - columns);
        line[x] = bits & ((1u << columns) - 1) ? fore : back;
    }
}

static void draw_cell(const struct font *font, const struct glyph_target *target, unsigned x, unsigned y,
                      unsigned scale, const struct cell *cell, bool inverse)
{
    const enum colour fore = style_foreground(cell->style), back = style_background(cell->style);
    const unsigned width = cell->width * FONT_WIDTH * scale, shown = least(width, target->width - x);
    uint32_t line[2 * FONT_WIDTH * GLYPH_SCALE_MAX];
    struct picture picture;

    find_picture(font, cell, &picture);
    for (unsigned row = 0; row < FONT_HEIGHT; row++) {
        make_line(&picture, row, width, glyph_pixel(inverse ? back : fore, target->order),
                  glyph_pixel(inverse ? fore : back, target->order), line);
        for (unsigned i = 0; i < scale; i++) {
            const unsigned line_y = y + row * scale + i;
            if (line_y >= target->height)
                return;
            memcpy(target->pixels + line_y * target->stride + x, line, shown * sizeof(*line));
        }
    }
}

void glyph_draw(const struct font *font, const struct glyph_target *target, unsigned x, unsigned y, unsigned scale,
                const struct cell *cells, unsigned count, bool inverse)
{
    for (unsigned i = 0; i < count && x < target->width; i++) {
        if (cells[i].width)
            draw_cell(font, target, x, y, scale, &cells[i], inverse);
        x += FONT_WIDTH * scale; /* the right half of a wide one as well */
    }
}
