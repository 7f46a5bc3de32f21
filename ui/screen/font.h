/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The font of graphical screens: GNU Unifont, the whole Basic Multilingual Plane, compiled in. Unpacked it takes 1.7 MB of memory.
 * Any processor, once opened.
 */
#ifndef UI_SCREEN_FONT_H
#define UI_SCREEN_FONT_H

#include <stdbool.h>
#include <stdint.h>

struct platform;
struct font;

#define FONT_WIDTH 8
#define FONT_HEIGHT 16

/* Unpacks it. NULL: no memory. */
struct font *font_open(struct platform *platform);
void font_close(struct font *font);
/*
 * The picture of a character: 0 (it has none), 1 or 2 halves side by side. A half is FONT_HEIGHT bytes, a row each from the top, the
 * highest bit at the left.
 */
unsigned font_glyph(const struct font *font, uint32_t character, const uint8_t **halves);

/*
 * What is compiled in, packed by zstd (ports/unifont/pack.c makes it): FONT_BLOCKS of these, then all halves in the order of the
 * characters.
 */
#define FONT_BLOCK_CHARACTERS 64
#define FONT_BLOCKS (0x10000 / FONT_BLOCK_CHARACTERS)
struct font_block {
    uint64_t present; /* bit n: the block's character n has a picture */
    uint64_t wide;    /* bit n: of two halves */
    uint32_t first;   /* number of the block's first half */
    uint32_t zero;
};

#endif
