/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/screen.h"

#include "ui/screen/text_ranges.h"

#define REPLACEMENT 0xfffd
#define LAST_CHARACTER 0xffff

static bool within(const struct range *ranges, size_t count, uint32_t character)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (character < ranges[middle].first)
            high = middle;
        else if (character > ranges[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

#define WITHIN(ranges, character) within(ranges, sizeof(ranges) / sizeof((ranges)[0]), character)

uint32_t text_next(const char **text)
{
    /* The least that each length of a sequence may stand for: nothing is written longer than it must be. */
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const uint8_t *at = (const uint8_t *)*text;
    unsigned more = 0;
    uint32_t character = *at;

    if (!character)
        return 0;
    *text += 1;
    if (character < 0x80)
        return character;
    if ((character & 0xe0) == 0xc0)
        more = 1;
    else if ((character & 0xf0) == 0xe0)
        more = 2;
    else if ((character & 0xf8) == 0xf0)
        more = 3;
    else
        return REPLACEMENT;
    character &= 0x3fu >> more;
    for (unsigned i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return REPLACEMENT;
        character = character << 6 | (at[i] & 0x3f);
    }
    if (character < least[more] || (character >= 0xd800 && character < 0xe000))
        return REPLACEMENT;
    *text += more;
    return character <= LAST_CHARACTER ? character : REPLACEMENT;
}

unsigned text_encode(uint32_t character, char *to)
{
    if (character < 0x80) {
        to[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (char)(0xc0 | character >> 6);
        to[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character <= LAST_CHARACTER) {
        to[0] = (char)(0xe0 | character >> 12);
        to[1] = (char)(0x80 | (character >> 6 & 0x3f));
        to[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | (character >> 18 & 7));
    to[1] = (char)(0x80 | (character >> 12 & 0x3f));
    to[2] = (char)(0x80 | (character >> 6 & 0x3f));
    to[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

unsigned character_width(uint32_t character)
{
    if (character < 0x20 || (character >= 0x7f && WITHIN(format_ranges, character)) ||
        WITHIN(combining_ranges, character))
        return 0;
    return WITHIN(wide_ranges, character) ? 2 : 1;
}

uint32_t text_next_shown(const char **text)
{
    uint32_t character;

    do
        character = text_next(text);
    while (character >= 0x80 && WITHIN(combining_ranges, character));
    if (!character)
        return 0;
    return character < 0x20 || character == REPLACEMENT || !character_width(character) ? '?' : character;
}

unsigned text_width(const char *text)
{
    unsigned width = 0;
    uint32_t character;

    while ((character = text_next_shown(&text)))
        width += character_width(character);
    return width;
}
