/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `conformance write-speed`: writes by our drivers against writes by the firmware's, in one run on one machine.
 *
 * Each disk is overwritten from its first block on by our driver, at depth 1 and at depth 32; then the firmware has all disks back, and
 * those that it sees are overwritten by its block I/O, one request at a time; then ours come back. The firmware's
 * driver writes only to a disk that bears the mark our driver left: by its name alone it could be another one.
 * A disk that the firmware does not see (UAS alone) is compared with the fastest of the named ones that it does see.
 */
#ifndef BOOT_WRITE_SPEED_H
#define BOOT_WRITE_SPEED_H

#include "ui/session.h"

/* The person has agreed. Prints a line for each disk and size of request; 0 or the first error. */
int write_speed(struct session *session, const char *const *names, unsigned count, struct error *error);

#endif
