/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first light: says its version on the emulator's debug port and leaves through its exit port. */
#include <efi.h>

#include "version.h"

static void write_port8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void write_port32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const char banner[] = "Eidolon " EIDOLON_VERSION "\n";

    (void)image;
    (void)system;
    for (unsigned i = 0; banner[i]; i++) {
        write_port8(0x403, (uint8_t)banner[i]);
    }
    write_port32(0x501, 0);
    return EFI_SUCCESS;
}
