/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `conformance DISK... [--yes]`: core/block_conformance.h against disks of this machine, through the driver that serves them. For those
 * who bring a driver to a new controller, and for the tests on emulated machines. Without --yes it only reads; with --yes it
 * overwrites each disk from its first block to its last, and never the boot disk.
 */
#ifndef BOOT_CONFORMANCE_H
#define BOOT_CONFORMANCE_H

#include "boot/machine.h"
#include "ui/command.h"
#include "ui/output.h"

/* `words` is what follows the command's name; it is cut up. */
enum exit_code conformance(struct machine *machine, struct output *out, char *words);

#endif
