/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way through: from "what would you like to do?" to a saved, restored, copied or checked disk, screen by screen.
 *
 * Each screen only gathers words of the command grammar and shows the command that it stands for; the plan and the work come from the
 * very command that a person could have typed. Knows no devices: disks, volumes and files come through struct session_ops.
 */
#ifndef UI_WALK_WALK_H
#define UI_WALK_WALK_H

#include "ui/catalogue/catalogue.h"
#include "ui/screen/screen.h"
#include "ui/session.h"

enum walk_end { WALK_LEAVE, WALK_PROMPT, WALK_REBOOT, WALK_POWER_OFF };

struct walk_setup {
    const struct language *language; /* to begin with; the person may choose another one */
    bool has_power;                  /* the machine can be restarted and powered off from here */
    bool has_prompt;                 /* there is a command line to go to */
};

/* Until the person leaves. *code: the exit code of the last work, EXIT_CODE_DONE when there was none. */
enum walk_end walk_run(struct session *session, struct screen *screen, struct walk_setup *setup, enum exit_code *code);

#endif
