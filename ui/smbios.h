/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine says it is (SMBIOS 3.6, sections 7.1 to 7.4), and its memory (7.18), read from the structure table that the firmware
 * has made. The table is not trusted: whatever does not lie whole inside it is not there. `table` may be NULL with size 0.
 */
#ifndef UI_SMBIOS_H
#define UI_SMBIOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "serial", "model", "vendor", "board", "asset tag", "uuid" of the machine, or the version of its "firmware", as printable ASCII. False:
 * it does not say.
 */
bool smbios_text(const uint8_t *table, size_t size, const char *what, char *value, size_t room);
/* Bytes of memory that are plugged in; 0: not known. */
uint64_t smbios_memory(const uint8_t *table, size_t size);

#endif
