/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the font that is compiled in: pack FONT.hex OUTPUT. The input has a line "XXXX:bitmap" for each character, in rising order, the
 * bitmap in hexadecimal digits: 32 of them for a picture of 8 x 16 pixels, 64 for one of 16 x 16.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "ui/screen/font.h"

#define HALVES_MAX (2 * 0x10000)
#define LEVEL 19

static struct {
    struct font_block blocks[FONT_BLOCKS];
    unsigned char halves[HALVES_MAX][FONT_HEIGHT];
} font;

static void fail(const char *what)
{
    fprintf(stderr, "unifont/pack: %s\n", what);
    exit(1);
}

static unsigned char byte_at(const char *digits)
{
    const char two[3] = {digits[0], digits[1], 0};
    char *end;
    unsigned long value = strtoul(two, &end, 16);

    if (end != two + 2)
        fail("a bitmap is not hexadecimal");
    return (unsigned char)value;
}

/* Rows follow each other in the input, halves here: they pack better so, and are what one cell shows. */
static void add_glyph(unsigned character, const char *bitmap, uint32_t *used)
{
    const unsigned count = strlen(bitmap) == 2 * FONT_HEIGHT ? 1 : 2;
    struct font_block *block = &font.blocks[character / FONT_BLOCK_CHARACTERS];
    const uint64_t bit = 1ULL << character % FONT_BLOCK_CHARACTERS;

    if (strlen(bitmap) != count * 2 * FONT_HEIGHT)
        fail("a bitmap has another size than 8 x 16 or 16 x 16");
    if (block->present >= bit)
        fail("the characters are not in order");
    if (!block->present)
        block->first = *used;
    block->present |= bit;
    if (count == 2)
        block->wide |= bit;
    for (unsigned row = 0; row < FONT_HEIGHT; row++)
        for (unsigned half = 0; half < count; half++)
            font.halves[*used + half][row] = byte_at(bitmap + 2 * (row * count + half));
    *used += count;
}

static uint32_t read_glyphs(FILE *from)
{
    char line[256];
    uint32_t used = 0;

    while (fgets(line, sizeof(line), from)) {
        char *bitmap;
        unsigned long character = strtoul(line, &bitmap, 16);
        if (*bitmap != ':' || character > 0xffff)
            fail("a line does not begin with a character of the Basic Multilingual Plane");
        bitmap[strcspn(bitmap, "\r\n")] = 0;
        add_glyph((unsigned)character, bitmap + 1, &used);
    }
    if (ferror(from) || !used)
        fail("the font cannot be read");
    return used;
}

int main(int count, char **arguments)
{
    FILE *from = count == 3 ? fopen(arguments[1], "r") : NULL;

    if (!from)
        fail("usage: pack FONT.hex OUTPUT");
    const size_t size = sizeof(font.blocks) + (size_t)read_glyphs(from) * FONT_HEIGHT, room = ZSTD_compressBound(size);
    void *packed = malloc(room);
    const size_t packed_size = packed ? ZSTD_compress(packed, room, &font, size, LEVEL) : 0;
    FILE *to = fopen(arguments[2], "w");
    if (!packed_size || ZSTD_isError(packed_size) || !to || fwrite(packed, 1, packed_size, to) != packed_size ||
        fclose(to) != 0)
        fail("the packed font cannot be written");
    printf("%zu bytes packed to %zu\n", size, packed_size);
    free(packed);
    fclose(from);
    return 0;
}
