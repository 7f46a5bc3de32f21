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
#include "ui/unattended.h"

enum walk_end { WALK_LEAVE, WALK_PROMPT, WALK_REBOOT, WALK_POWER_OFF };

struct walk_setup {
    const struct language *language;              /* to begin with; the person may choose another one */
    bool has_power;                               /* the machine can be restarted and powered off from here */
    bool has_prompt;                              /* there is a command line to go to */
    void (*work_ended)(struct walk_setup *setup); /* disks and images are closed, the report is written; may be NULL */
    const char *reports; /* a folder, as images are named, for reports of the work; NULL: none are kept */
};

/* Until the person leaves. *code: the exit code of the last work, EXIT_CODE_DONE when there was none. */
enum walk_end walk_run(struct session *session, struct screen *screen, struct walk_setup *setup, enum exit_code *code);

/*
 * Unattended work on the screen: the decision, the count-down, the work itself, the result. open: 0, or -ERROR_NO_MEMORY. The view goes to
 * unattended_run(); meanwhile the session's work is shown, too. close: wait: the result stays until a key.
 */
struct walk_unattended;
int walk_unattended_open(struct session *session, struct screen *screen, struct walk_setup *setup,
                         struct walk_unattended **unattended);
struct job_view *walk_unattended_view(struct walk_unattended *unattended);
void walk_unattended_close(struct walk_unattended *unattended, bool wait);

#endif
