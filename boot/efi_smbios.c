/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model and serial number of the machine (SMBIOS 3.6, sections 5.2 and 7.2). The table is the firmware's,
 * and not trusted.
 */
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
#define TYPE_SYSTEM 1
#define TYPE_END 127
#define SYSTEM_PRODUCT 5
#define SYSTEM_SERIAL 7
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

bool machine_system_text(struct machine *machine, const char *what, char *value, size_t size)
{
    size_t table_size;
    const UINT8 *at = structure_table(machine->firmware, &table_size), *end = at + table_size;
    unsigned field = strcmp(what, "serial") == 0 ? SYSTEM_SERIAL : strcmp(what, "model") == 0 ? SYSTEM_PRODUCT : 0;

    while (at && field && at + 4 <= end && at[0] != TYPE_END && at[1] >= 4 && at + at[1] <= end) {
        const UINT8 *strings = at + at[1];
        if (at[0] == TYPE_SYSTEM && field < at[1]) {
            const UINT8 *text = structure_string(strings, end, at[field]);
            if (text)
                block_text(value, size, text, strlen((const char *)text), false);
            return text && *value;
        }
        at = strings_end(strings, end);
    }
    return false;
}
