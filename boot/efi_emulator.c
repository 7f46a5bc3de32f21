/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests on an emulated machine say and hear: QEMU's firmware configuration device (docs/specs/fw_cfg
 * of QEMU) gives a command, the debug exit port takes the exit code. None of it is touched on a machine
 * without the debug console.
 */
#include <string.h>

#include "boot/efi_emulator.h"

#define PORT_SELECT 0x510
#define PORT_DATA 0x511
#define PORT_EXIT 0x501
#define KEY_SIGNATURE 0
#define KEY_DIRECTORY 0x19
#define DIRECTORY_LIMIT 1000

static void select_item(UINT16 key)
{
    __asm__ volatile("outw %0, %1" : : "a"(key), "Nd"((UINT16)PORT_SELECT));
}

static void read_item(void *to, size_t size)
{
    for (UINT8 *at = to; size--; at++)
        __asm__ volatile("inb %1, %0" : "=a"(*at) : "Nd"((UINT16)PORT_DATA));
}

static UINT32 big_endian32(const UINT8 *at)
{
    return (UINT32)at[0] << 24 | (UINT32)at[1] << 16 | (UINT32)at[2] << 8 | at[3];
}

bool emulator_text(struct firmware *firmware, const char *name, char *text, size_t size)
{
    UINT8 signature[4], count[4], entry[64]; /* size, key, reserved, name of 56 */

    if (!firmware->debug_console)
        return false;
    select_item(KEY_SIGNATURE);
    read_item(signature, sizeof(signature));
    if (memcmp(signature, "QEMU", 4) != 0)
        return false;
    select_item(KEY_DIRECTORY);
    read_item(count, sizeof(count));
    UINT32 entries = big_endian32(count);
    for (UINT32 i = 0; i < entries && i < DIRECTORY_LIMIT; i++) {
        read_item(entry, sizeof(entry));
        if (strncmp((const char *)entry + 8, name, 56) != 0)
            continue;
        size_t length = big_endian32(entry);
        if (length + 1 > size)
            length = size - 1;
        select_item((UINT16)(entry[4] << 8 | entry[5]));
        read_item(text, length);
        text[length] = 0;
        return true;
    }
    return false;
}

void machine_emulator_exit(int code)
{
    __asm__ volatile("outl %0, %1" : : "a"((UINT32)code), "Nd"((UINT16)PORT_EXIT));
}
