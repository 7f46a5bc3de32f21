/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/efi_firmware.h"

size_t ucs2_length(const CHAR16 *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length])
        length++;
    return length;
}

size_t text_from_ucs2(char *to, size_t to_size, const CHAR16 *from, size_t from_units)
{
    size_t used = 0;

    for (size_t i = 0; i < from_units && from[i]; i++) {
        unsigned unit = from[i];
        size_t need = unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
        if (used + need >= to_size)
            break;
        if (need == 1) {
            to[used] = (char)unit;
        } else if (need == 2) {
            to[used] = (char)(0xc0 | unit >> 6);
            to[used + 1] = (char)(0x80 | (unit & 0x3f));
        } else {
            to[used] = (char)(0xe0 | unit >> 12);
            to[used + 1] = (char)(0x80 | (unit >> 6 & 0x3f));
            to[used + 2] = (char)(0x80 | (unit & 0x3f));
        }
        used += need;
    }
    if (to_size)
        to[used] = 0;
    return used;
}

/* One code point; anything that is not well formed, or beyond the basic plane, becomes U+FFFD. */
static unsigned next_code_point(const char *from, size_t size, size_t *at)
{
    unsigned char lead = (unsigned char)from[(*at)++];
    unsigned more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : 3;
    unsigned value = more == 0 ? lead : more == 1 ? lead & 0x1fu : more == 2 ? lead & 0xfu : 0;
    bool valid = more < 3;

    while (more-- && *at < size && ((unsigned char)from[*at] & 0xc0) == 0x80)
        value = value << 6 | ((unsigned char)from[(*at)++] & 0x3fu);
    return valid && more == (unsigned)-1 ? value : 0xfffd;
}

size_t text_to_ucs2(CHAR16 *to, size_t to_units, const char *from, size_t from_size)
{
    size_t used = 0, at = 0;

    while (at < from_size && used + 1 < to_units)
        to[used++] = (CHAR16)next_code_point(from, from_size, &at);
    if (to_units)
        to[used] = 0;
    return used;
}
