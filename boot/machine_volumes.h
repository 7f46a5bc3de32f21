/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All volumes that images can be kept on, for the session: the firmware's (FAT) and those of fs/, each once. */
#ifndef BOOT_MACHINE_VOLUMES_H
#define BOOT_MACHINE_VOLUMES_H

#include "boot/machine.h"
#include "ui/session.h"

/* The session's operations of these names, when the disks have been found. */
int machine_list_volumes(struct machine *machine, session_volume_found *found, void *context, struct error *error);
int machine_list_files(struct machine *machine, const char *volume, const char *folder, filesystem_found *found,
                       void *context, struct error *error);

#endif
