/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TOOLS_SCREENS_H
#define TOOLS_SCREENS_H

#include <signal.h>

#include "ui/session.h"

/*
 * The screens on standard input and output, until the person leaves. `files` are shown among the disks. Returns the exit code of the
 * last work.
 */
enum exit_code screens_run(struct session *session, char *const *files, unsigned count,
                           volatile sig_atomic_t *interrupted);

#endif
