/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The language that the firmware is set to (UEFI 2.10, section 3.3: PlatformLang), or that an emulator was told to have. */
#include "boot/efi_emulator.h"
#include "boot/efi_firmware.h"

#define GLOBAL_VARIABLE_GUID                                                                                           \
    {                                                                                                                  \
        0x8be4df61, 0x93ca, 0x11d2,                                                                                    \
        {                                                                                                              \
            0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c                                                             \
        }                                                                                                              \
    }

bool machine_language(struct machine *machine, char *code, size_t size)
{
    EFI_GUID guid = GLOBAL_VARIABLE_GUID;
    CHAR16 name[] = u"PlatformLang";
    UINTN length = size - 1;

    if (emulator_text(machine->firmware, "opt/eidolon/language", code, size))
        return true;
    /* ASCII, with its zero; not trusted to have one. */
    if (EFI_ERROR(machine->firmware->system->RuntimeServices->GetVariable(name, &guid, NULL, &length, code)))
        return false;
    code[length] = 0;
    return length > 0;
}
