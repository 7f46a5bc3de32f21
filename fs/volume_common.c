/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the readers of ext and NTFS volumes have in common: see fs/volume.h. */
#include "fs/volume.h"

#include <string.h>

#define TAIL_WHOLE (1024u * 1024) /* policy */
#define TAIL_START (64u * 1024)

int volume_add_tail(struct extent_list *used, uint64_t file_system_end, uint64_t volume_bytes)
{
    uint64_t tail;
    int status;

    if (file_system_end >= volume_bytes)
        return 0;
    tail = volume_bytes - file_system_end;
    if (tail <= TAIL_START + TAIL_WHOLE)
        return extent_list_add(used, file_system_end, tail);
    status = extent_list_add(used, file_system_end, TAIL_START);
    return status < 0 ? status : extent_list_add(used, volume_bytes - TAIL_WHOLE, TAIL_WHOLE);
}

/* First bit at or after `bit` that has the wanted value, or `bits`. */
static uint64_t find_bit(const uint8_t *bitmap, uint64_t bit, uint64_t bits, bool value)
{
    const uint8_t *end = bitmap + (bits + 7) / 8;

    while (bit < bits) {
        const uint8_t *at = bitmap + bit / 8;
        size_t left = (size_t)(end - at);
        uint64_t word = 0;

        memcpy(&word, at, left < sizeof word ? left : sizeof word);
        word = (value ? word : ~word) >> (bit % 8);
        if (word) {
            bit += (unsigned)__builtin_ctzll(word);
            break;
        }
        bit = (bit / 8 + sizeof word) * 8;
    }
    return bit < bits ? bit : bits;
}

int volume_add_bitmap(struct extent_list *used, const uint8_t *bitmap, uint64_t bits, uint64_t offset, uint64_t unit,
                      uint64_t end, uint64_t *set)
{
    uint64_t bit = 0;

    while ((bit = find_bit(bitmap, bit, bits, true)) < bits) {
        uint64_t last = find_bit(bitmap, bit, bits, false), start = offset + bit * unit, length = (last - bit) * unit;
        int status;

        if (set)
            *set += last - bit;
        bit = last;
        if (start >= end)
            continue;
        if (length > end - start)
            length = end - start;
        status = extent_list_add(used, start, length);
        if (status < 0)
            return status;
    }
    return 0;
}

/* Length of the valid UTF-8 sequence at `from` (RFC 3629, section 4), 0 when there is none. */
static size_t utf8_length(const uint8_t *from, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = from[0] < 0x80             ? 1
                    : (from[0] & 0xe0) == 0xc0 ? 2
                    : (from[0] & 0xf0) == 0xe0 ? 3
                    : (from[0] & 0xf8) == 0xf0 ? 4
                                               : 0;
    uint32_t code;

    if (!length || length > size)
        return 0;
    code = length == 1 ? from[0] : from[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((from[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (from[i] & 0x3f);
    }
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
}

void volume_text(char *to, size_t to_size, const uint8_t *from, size_t from_size)
{
    size_t used = 0;

    for (size_t i = 0, length; i < from_size && from[i]; i += length) {
        bool printable;

        length = utf8_length(from + i, from_size - i);
        printable = length > 1 || (length == 1 && from[i] >= 0x20 && from[i] != 0x7f);
        if (used + (printable ? length : 1) >= to_size)
            break;
        if (printable) {
            memcpy(to + used, from + i, length);
            used += length;
        } else {
            to[used++] = '_';
            length = 1;
        }
    }
    to[used] = 0;
}

void volume_utf16_text(char *to, size_t to_size, const uint8_t *from, size_t units)
{
    uint8_t text[4 * 64 + 4];
    size_t used = 0;

    for (size_t i = 0; i < units && used + 4 < sizeof text; i++) {
        uint32_t code = from[2 * i] | (uint32_t)from[2 * i + 1] << 8;

        if (code >= 0xd800 && code < 0xdc00 && i + 1 < units && (from[2 * i + 3] & 0xfc) == 0xdc) {
            uint32_t low = from[2 * i + 2] | (uint32_t)from[2 * i + 3] << 8;

            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            i++;
        }
        if (code == 0)
            break;
        if (code < 0x80) {
            text[used++] = (uint8_t)code;
        } else if (code < 0x800) {
            text[used++] = (uint8_t)(0xc0 | code >> 6);
            text[used++] = (uint8_t)(0x80 | (code & 0x3f));
        } else if (code < 0x10000) {
            text[used++] = (uint8_t)(0xe0 | code >> 12);
            text[used++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
            text[used++] = (uint8_t)(0x80 | (code & 0x3f));
        } else {
            text[used++] = (uint8_t)(0xf0 | code >> 18);
            text[used++] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
            text[used++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
            text[used++] = (uint8_t)(0x80 | (code & 0x3f));
        }
    }
    volume_text(to, to_size, text, used);
}

void volume_uuid_text(char text[37], const uint8_t uuid[16])
{
    size_t used = 0;

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[used++] = '-';
        text[used++] = "0123456789abcdef"[uuid[i] >> 4];
        text[used++] = "0123456789abcdef"[uuid[i] & 15];
    }
    text[used] = 0;
}
