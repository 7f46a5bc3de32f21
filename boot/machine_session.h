/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine as ui/ sees it. */
#ifndef BOOT_MACHINE_SESSION_H
#define BOOT_MACHINE_SESSION_H

#include "boot/machine.h"
#include "ui/session.h"

struct machine_output {
    struct output output; /* first */
    struct machine *machine;
};

struct machine_session {
    struct session session; /* first */
    struct machine *machine;
    struct machine_output console;
    bool unattended; /* a job file runs: nobody answers */
    bool shown;      /* rules have run on the screens, not in lines of text */
};

/* `ours` must stay where it is. */
void machine_session_init(struct machine_session *ours, struct machine *machine);

#endif
