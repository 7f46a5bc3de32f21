/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine says it is (SMBIOS 3.6, sections 5.2 and 7.1 to 7.4), and its memory (7.18). The table is the firmware's, and not
 * trusted.
 */
#include <stdio.h>
#include <string.h>

#include "boot/efi_firmware.h"

#define SMBIOS3_GUID                                                                                                   \
    {                                                                                                                  \
        0xf2fd1544, 0x9794, 0x4a2c,                                                                                    \
        {                                                                                                              \
            0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94                                                             \
        }                                                                                                              \
    }
#define SMBIOS_GUID                                                                                                    \
    {                                                                                                                  \
        0xeb9d2d31, 0x2d88, 0x11d3,                                                                                    \
        {                                                                                                              \
            0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d                                                             \
        }                                                                                                              \
    }
#define TYPE_FIRMWARE 0
#define TYPE_SYSTEM 1
#define TYPE_BOARD 2
#define TYPE_CHASSIS 3
#define TYPE_MEMORY_DEVICE 17
#define TYPE_END 127
#define SYSTEM_UUID 8
#define TABLE_LIMIT (256u * 1024)

static const UINT8 *structure_table(struct firmware *firmware, size_t *size)
{
    UINT64 address = 0;
    UINT32 length = 0;
    const UINT8 *entry = firmware_table(firmware, (EFI_GUID)SMBIOS3_GUID);

    if (entry && memcmp(entry, "_SM3_", 5) == 0) {
        memcpy(&length, entry + 0xc, 4);
        memcpy(&address, entry + 0x10, 8);
    } else if ((entry = firmware_table(firmware, (EFI_GUID)SMBIOS_GUID)) && memcmp(entry, "_SM_", 4) == 0) {
        memcpy(&length, entry + 0x16, 2);
        memcpy(&address, entry + 0x18, 4);
    }
    *size = length < TABLE_LIMIT ? length : TABLE_LIMIT;
    return (const UINT8 *)address;
}

/* String `number` behind a structure's formatted area; NULL: none. */
static const UINT8 *structure_string(const UINT8 *strings, const UINT8 *end, unsigned number)
{
    while (number > 1 && strings < end && *strings) {
        const UINT8 *stop = memchr(strings, 0, (size_t)(end - strings));
        if (!stop)
            return NULL;
        strings = stop + 1;
        number--;
    }
    return number == 1 && strings < end && *strings && memchr(strings, 0, (size_t)(end - strings)) ? strings : NULL;
}

/* Behind the strings of a structure: two zeroes end them. */
static const UINT8 *strings_end(const UINT8 *strings, const UINT8 *end)
{
    while (strings + 1 < end && (strings[0] || strings[1]))
        strings++;
    return strings + 2;
}

/* The next structure of a type from `at` on, whole inside the table; NULL: none. */
static const UINT8 *find_structure(const UINT8 *at, const UINT8 *end, UINT8 type)
{
    while (at && at + 4 <= end && at[0] != TYPE_END && at[1] >= 4 && at + at[1] <= end) {
        if (at[0] == type)
            return at;
        at = strings_end(at + at[1], end);
    }
    return NULL;
}

/* The first three fields are little-endian; all zeroes or all ones mean that there is none. */
static bool uuid_text(const UINT8 *bytes, char *value, size_t size)
{
    static const UINT8 order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    UINT8 all = 0xff, any = 0;
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

bool machine_system_text(struct machine *machine, const char *what, char *value, size_t size)
{
    static const struct {
        const char *what;
        UINT8 type, field; /* where the number of the string stands */
    } texts[] = {{"serial", TYPE_SYSTEM, 7}, {"model", TYPE_SYSTEM, 5},      {"vendor", TYPE_SYSTEM, 4},
                 {"board", TYPE_BOARD, 5},   {"asset tag", TYPE_CHASSIS, 8}, {"firmware", TYPE_FIRMWARE, 5}};
    size_t table_size;
    const UINT8 *table = structure_table(machine->firmware, &table_size), *end = table + table_size, *at;

    if (strcmp(what, "uuid") == 0) {
        at = find_structure(table, end, TYPE_SYSTEM);
        return at && at[1] >= SYSTEM_UUID + 16 && uuid_text(at + SYSTEM_UUID, value, size);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].what, what) != 0)
            continue;
        at = find_structure(table, end, texts[i].type);
        const UINT8 *text = at && texts[i].field < at[1] ? structure_string(at + at[1], end, at[texts[i].field]) : NULL;
        if (text)
            block_text(value, size, text, strlen((const char *)text), false);
        return text && *value;
    }
    return false;
}

uint64_t machine_memory(struct machine *machine)
{
    size_t table_size;
    const UINT8 *table = structure_table(machine->firmware, &table_size), *end = table + table_size;
    uint64_t total = 0;

    for (const UINT8 *at = find_structure(table, end, TYPE_MEMORY_DEVICE); at;
         at = find_structure(strings_end(at + at[1], end), end, TYPE_MEMORY_DEVICE)) {
        UINT16 size;
        UINT32 extended = 0;
        if (at[1] < 0xe)
            continue;
        memcpy(&size, at + 0xc, 2);
        if (at[1] >= 0x20)
            memcpy(&extended, at + 0x1c, 4);
        if (size == 0x7fff)
            total += (uint64_t)(extended & 0x7fffffff) << 20;
        else if (size != 0xffff) /* not known */
            total += (uint64_t)(size & 0x7fff) << (size & 0x8000 ? 10 : 20);
    }
    return total;
}
