/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/font.h"

#include <zstd.h>

#include "core/platform.h"

/* ui/screen/font_data.S */
extern const uint8_t font_packed[], font_packed_end[];

struct font {
    struct platform *platform;
    uint32_t half_count;
    struct font_block blocks[FONT_BLOCKS];
    uint8_t halves[][FONT_HEIGHT];
};

struct font *font_open(struct platform *platform)
{
    const size_t packed = (size_t)(font_packed_end - font_packed);
    const unsigned long long size = ZSTD_getFrameContentSize(font_packed, packed);

    if (size < sizeof(struct font_block) * FONT_BLOCKS || size > UINT32_MAX)
        return NULL;
    struct font *font = platform_allocate(platform, offsetof(struct font, blocks) + (size_t)size);
    if (!font)
        return NULL;
    font->platform = platform;
    font->half_count = (uint32_t)((size - sizeof(font->blocks)) / FONT_HEIGHT);
    if (ZSTD_decompress(font->blocks, (size_t)size, font_packed, packed) != size) {
        platform_release(platform, font);
        return NULL;
    }
    return font;
}

void font_close(struct font *font)
{
    if (font)
        platform_release(font->platform, font);
}

unsigned font_glyph(const struct font *font, uint32_t character, const uint8_t **halves)
{
    if (character / FONT_BLOCK_CHARACTERS >= FONT_BLOCKS)
        return 0;
    const struct font_block *block = &font->blocks[character / FONT_BLOCK_CHARACTERS];
    const uint64_t bit = 1ULL << character % FONT_BLOCK_CHARACTERS, before = bit - 1;
    if (!(block->present & bit))
        return 0;
    const unsigned count = block->wide & bit ? 2 : 1;
    const uint32_t at = block->first + (uint32_t)__builtin_popcountll(block->present & before) +
                        (uint32_t)__builtin_popcountll(block->wide & before);
    if (at > font->half_count || font->half_count - at < count)
        return 0;
    *halves = font->halves[at];
    return count;
}
