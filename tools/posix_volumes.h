/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes and folders of Linux, for the session's list_volumes() and list_files(). */
#ifndef TOOLS_POSIX_VOLUMES_H
#define TOOLS_POSIX_VOLUMES_H

#include "tools/posix.h"
#include "ui/session.h"

/* table: "/proc/self/mountinfo". */
int posix_volumes_list(struct platform *platform, const char *table, session_volume_found *found, void *context,
                       struct error *error);
/* Links are followed. */
int posix_files_list(const char *path, filesystem_found *found, void *context, struct error *error);

#endif
