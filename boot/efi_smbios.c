/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the firmware has its table of what the machine is: SMBIOS 3.6, section 5.2. What stands in it: ui/smbios.h.
 */
#include <string.h>

#include "boot/efi_firmware.h"
#include "ui/smbios.h"

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

bool machine_system_text(struct machine *machine, const char *what, char *value, size_t size)
{
    size_t table_size;
    const UINT8 *table = structure_table(machine->firmware, &table_size);

    return smbios_text(table, table_size, what, value, size);
}

uint64_t machine_memory(struct machine *machine)
{
    size_t table_size;
    const UINT8 *table = structure_table(machine->firmware, &table_size);

    return smbios_memory(table, table_size);
}
