/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replaces musl's arch/x86_64/pthread_arch.h: there is one thread, its descriptor is a static
 * array (ports/musl/start.c), and nothing touches %fs, which belongs to the firmware.
 */
extern char musl_thread_area[];

static inline uintptr_t __get_tp()
{
    return (uintptr_t)musl_thread_area;
}

#define MC_PC gregs[REG_RIP]
