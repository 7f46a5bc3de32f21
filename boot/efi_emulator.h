/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOOT_EFI_EMULATOR_H
#define BOOT_EFI_EMULATOR_H

#include "boot/efi_firmware.h"

/*
 * The text that the emulator was started with under `name` (-fw_cfg name=...,string=...). false: none, or
 * no emulator.
 */
bool emulator_text(struct firmware *firmware, const char *name, char *text, size_t size);

#endif
