/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `screen-test` at the prompt or as a command: a picture of every style, of frames, blocks and letters on every face of the machine, the
 * keys as they are pressed, until ESC. Afterwards how long each face took to draw. For those who bring a machine up.
 */
#ifndef BOOT_SCREEN_TEST_H
#define BOOT_SCREEN_TEST_H

#include "boot/machine.h"
#include "ui/output.h"

/* false: the machine has no face. */
bool screen_test(struct machine *machine, struct output *out);

#endif
