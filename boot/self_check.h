/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `self-check` at the prompt or as a command: does what this machine offers work as the program needs it?
 * Clock, memory, processors, reads from every disk by two ways, a file on the boot volume. Nothing but that
 * file (removed again) is written. For reports about new machines, and for the tests on emulated ones.
 */
#ifndef BOOT_SELF_CHECK_H
#define BOOT_SELF_CHECK_H

#include "boot/machine.h"
#include "ui/output.h"

/* Prints a line for each check; true when all went well. */
bool self_check(struct machine *machine, struct output *out);

#endif
