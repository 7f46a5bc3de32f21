/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The screens of ui/walk/ on the faces of the machine. */
#ifndef BOOT_MACHINE_SCREENS_H
#define BOOT_MACHINE_SCREENS_H

#include "boot/machine_session.h"
#include "ui/walk/walk.h"

struct machine_screens {
    struct walk_setup setup; /* first */
    struct screen screen;
    struct machine *machine;
};

/* Takes the consoles over. false: there are none that a screen fits on, or they are wanted for text (ui=text). */
bool machine_screens_open(struct machine_screens *screens, struct machine *machine);
/* The consoles are for text again. */
void machine_screens_close(struct machine_screens *screens);
/* The way through, until the person leaves it. */
enum walk_end machine_screens_walk(struct machine_screens *screens, struct machine_session *ours, enum exit_code *code);

#endif
