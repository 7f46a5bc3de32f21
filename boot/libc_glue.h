/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BOOT_LIBC_GLUE_H
#define BOOT_LIBC_GLUE_H

struct platform;

/* Gives musl's memory functions and system calls a platform. Before any of them is called. */
void libc_start(struct platform *platform);

#endif
