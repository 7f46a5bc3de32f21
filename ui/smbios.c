/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/smbios.h"

#include <stdio.h>
#include <string.h>

#include "core/block.h"

#define TYPE_FIRMWARE 0
#define TYPE_SYSTEM 1
#define TYPE_BOARD 2
#define TYPE_CHASSIS 3
#define TYPE_MEMORY_DEVICE 17
#define TYPE_END 127
#define SYSTEM_UUID 8

/* String `number` behind a structure's formatted area; NULL: none. */
static const uint8_t *structure_string(const uint8_t *strings, const uint8_t *end, unsigned number)
{
    while (number > 1 && strings < end && *strings) {
        const uint8_t *stop = memchr(strings, 0, (size_t)(end - strings));
        if (!stop)
            return NULL;
        strings = stop + 1;
        number--;
    }
    return number == 1 && strings < end && *strings && memchr(strings, 0, (size_t)(end - strings)) ? strings : NULL;
}

/* Behind the strings of a structure: two zeroes end them. */
static const uint8_t *strings_end(const uint8_t *strings, const uint8_t *end)
{
    while (strings + 1 < end && (strings[0] || strings[1]))
        strings++;
    return strings + 2;
}

/* The next structure of a type from `at` on, whole inside the table; NULL: none. */
static const uint8_t *find_structure(const uint8_t *at, const uint8_t *end, uint8_t type)
{
    while (at && at + 4 <= end && at[0] != TYPE_END && at[1] >= 4 && at + at[1] <= end) {
        if (at[0] == type)
            return at;
        at = strings_end(at + at[1], end);
    }
    return NULL;
}

/* The first three fields are little-endian; all zeroes or all ones mean that there is none. */
static bool uuid_text(const uint8_t *bytes, char *value, size_t size)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t all = 0xff, any = 0;
    size_t used = 0;

    if (size < 37)
        return false;
    for (unsigned i = 0; i < 16; i++) {
        all &= bytes[i];
        any |= bytes[i];
        used += (size_t)snprintf(value + used, size - used, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                                 bytes[order[i]]);
    }
    return any && all != 0xff;
}

bool smbios_text(const uint8_t *table, size_t size, const char *what, char *value, size_t room)
{
    static const struct {
        const char *what;
        uint8_t type, field; /* where the number of the string stands */
    } texts[] = {{"serial", TYPE_SYSTEM, 7}, {"model", TYPE_SYSTEM, 5},      {"vendor", TYPE_SYSTEM, 4},
                 {"board", TYPE_BOARD, 5},   {"asset tag", TYPE_CHASSIS, 8}, {"firmware", TYPE_FIRMWARE, 5}};
    const uint8_t *end = table + size, *at;

    if (strcmp(what, "uuid") == 0) {
        at = find_structure(table, end, TYPE_SYSTEM);
        return at && at[1] >= SYSTEM_UUID + 16 && uuid_text(at + SYSTEM_UUID, value, room);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].what, what) != 0)
            continue;
        at = find_structure(table, end, texts[i].type);
        const uint8_t *text =
            at && texts[i].field < at[1] ? structure_string(at + at[1], end, at[texts[i].field]) : NULL;
        if (text)
            block_text(value, room, text, strlen((const char *)text), false);
        return text && *value;
    }
    return false;
}

uint64_t smbios_memory(const uint8_t *table, size_t size)
{
    const uint8_t *end = table + size;
    uint64_t total = 0;

    for (const uint8_t *at = find_structure(table, end, TYPE_MEMORY_DEVICE); at;
         at = find_structure(strings_end(at + at[1], end), end, TYPE_MEMORY_DEVICE)) {
        uint16_t units;
        uint32_t extended = 0;
        if (at[1] < 0xe)
            continue;
        memcpy(&units, at + 0xc, 2);
        if (at[1] >= 0x20)
            memcpy(&extended, at + 0x1c, 4);
        if (units == 0x7fff)
            total += (uint64_t)(extended & 0x7fffffff) << 20;
        else if (units != 0xffff) /* not known */
            total += (uint64_t)(units & 0x7fff) << (units & 0x8000 ? 10 : 20);
    }
    return total;
}
