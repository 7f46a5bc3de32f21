/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cells as pixels: where the grid stands on a panel, and what each cell looks like there. Knows memory alone; who owns the panel
 * brings the pixels to it (boot/efi_screen_graphics.c). Any processor.
 */
#ifndef UI_SCREEN_GLYPH_H
#define UI_SCREEN_GLYPH_H

#include "ui/screen/font.h"
#include "ui/screen/screen.h"

/* Lowest byte first: blue, green, red and a byte of no meaning, or red, green, blue. */
enum pixel_order { PIXEL_BGRX, PIXEL_RGBX };

#define GLYPH_SCALE_MAX 16

/* A grid in the middle of a panel; lengths in pixels. A cell is FONT_WIDTH * scale wide and FONT_HEIGHT * scale high. */
struct glyph_grid {
    unsigned scale, columns, rows, left, top;
};

/*
 * The grid for a panel, of not more than so many columns and rows. Policy: pictures of 32 pixels' height where 80 x 25 such cells fit
 * (1280 x 800, 1920 x 1080), larger ones where 100 x 30 of them do, so that more pixels than that become sharper, not smaller. On a
 * panel that is too small even for SCREEN_COLUMNS_MIN x SCREEN_ROWS_MIN at scale 1: what fits.
 */
struct glyph_grid glyph_layout(unsigned panel_width, unsigned panel_height, unsigned columns_max, unsigned rows_max);

/* Pixels in memory. */
struct glyph_target {
    uint32_t *pixels;
    unsigned width, height;
    size_t stride; /* pixels from one line to the next */
    enum pixel_order order;
};

uint32_t glyph_pixel(enum colour colour, enum pixel_order order);
/*
 * Draws `count` cells with their top left corner at (x, y); what lies outside of the target is left out. inverse: fore- and background
 * change places, for the text cursor. A character without a picture is an empty box.
 */
void glyph_draw(const struct font *font, const struct glyph_target *target, unsigned x, unsigned y, unsigned scale,
                const struct cell *cells, unsigned count, bool inverse);

#endif
