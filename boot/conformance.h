/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands for those who bring a driver to a new controller, and for the tests on emulated machines. Not for a person's disks: what
 * they write destroys what was there, and nobody is asked. They write only with --yes, and never to the boot disk.
 *
 * `conformance DISK... [--yes]`: core/block_conformance.h against disks of this machine, through the driver that serves them. Without
 * --yes it only reads; with --yes it overwrites each disk from its first block to its last.
 *
 * `conformance write-speed DISK... --yes`: how fast the disks are written to, by our drivers and then by the firmware's (write_speed.h).
 * Overwrites each disk from its first block on. Without --yes it is refused.
 */
#ifndef BOOT_CONFORMANCE_H
#define BOOT_CONFORMANCE_H

#include "ui/session.h"

/* `words` is what follows the command's name; it is cut up. */
enum exit_code conformance(struct session *session, char *words);
/* Opens a disk for one of these commands. write: -ERROR_REFUSED for the boot disk. Ends with session->ops->close_disk(). */
int conformance_open(struct session *session, const char *name, bool write, struct job_end *end, struct error *error);

#endif
