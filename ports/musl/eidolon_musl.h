/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What musl on the bare machine asks of boot/, and offers to it.
 *
 * Boot processor only: no function of musl but the memory functions (memcpy, memset, memcmp...)
 * may run on an application processor.
 */
#ifndef EIDOLON_MUSL_H
#define EIDOLON_MUSL_H

/*
 * Makes musl usable; to be called once, before any other function of it. It makes no system call
 * and needs no memory.
 */
void musl_start(void);

/*
 * Defined by boot/: answers Linux system call `number` (SYS_* of <sys/syscall.h>) and returns its
 * result, or a negative errno value. What it does not know gets -ENOSYS. malloc, calloc, realloc,
 * free, aligned_alloc and posix_memalign are boot/'s own, so brk and mmap need no answer.
 */
long musl_syscall(long number, long a1, long a2, long a3, long a4, long a5, long a6);

#endif
