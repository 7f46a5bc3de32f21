/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What musl finds where Linux would be: memory, and the few system calls that have an answer on the bare
 * machine. The program's own rooms use neither; this is for what third-party libraries reach by other ways
 * than core/library.h.
 */
#include "boot/libc_glue.h"

#include <eidolon_musl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "boot/machine.h"
#include "core/platform.h"

#define LINE_MAX_BYTES 200

/* The C library's interface has no place for a context. */
static struct platform *the_platform;
static char line[LINE_MAX_BYTES + 1];
static size_t line_used;

void libc_start(struct platform *platform)
{
    the_platform = platform;
}

/* --- memory: the size stands in front, a multiple of the alignment away --- */

#define HEAD 16

void *malloc(size_t size)
{
    unsigned char *memory = size > SIZE_MAX - HEAD ? NULL : platform_allocate(the_platform, size + HEAD);

    if (!memory) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(memory, &size, sizeof(size));
    return memory + HEAD;
}

void free(void *memory)
{
    if (memory)
        platform_release(the_platform, (unsigned char *)memory - HEAD);
}

void *calloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = malloc(total);
    if (memory)
        memset(memory, 0, total);
    return memory;
}

void *realloc(void *memory, size_t size)
{
    size_t old = 0;
    void *moved = malloc(size);

    if (memory)
        memcpy(&old, (unsigned char *)memory - HEAD, sizeof(old));
    if (!moved || !memory)
        return moved;
    memcpy(moved, memory, old < size ? old : size);
    free(memory);
    return moved;
}

/* Nothing here asks for more than 16, and what does must not get less. */
void *aligned_alloc(size_t alignment, size_t size)
{
    if (alignment <= 16)
        return malloc(size);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = aligned_alloc(alignment, size);
    return *memory ? 0 : ENOMEM;
}

/* --- ends --- */

void abort(void)
{
    machine_panic("abort() was called: a library found something impossible");
}

/* --- system calls --- */

/* What libraries print goes to the log, line by line. */
static void print(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n' && line_used < LINE_MAX_BYTES) {
            line[line_used++] = text[i];
            continue;
        }
        line[line_used] = 0;
        if (the_platform && line_used)
            platform_log(the_platform, LOG_INFO, "%s", line);
        line_used = 0;
        if (text[i] != '\n')
            line[line_used++] = text[i];
    }
}

static long print_vector(const struct iovec *vector, long count)
{
    long total = 0;

    for (long i = 0; i < count; i++) {
        print(vector[i].iov_base, vector[i].iov_len);
        total += (long)vector[i].iov_len;
    }
    return total;
}

static long read_clock(long clock, struct timespec *result)
{
    if (clock == CLOCK_REALTIME) {
        int64_t seconds = the_platform->ops->wall_clock(the_platform);
        result->tv_sec = seconds < 0 ? 0 : seconds;
        result->tv_nsec = 0;
        return 0;
    }
    uint64_t now = platform_now(the_platform);
    result->tv_sec = (time_t)(now / NANOSECONDS_PER_SECOND);
    result->tv_nsec = (long)(now % NANOSECONDS_PER_SECOND);
    return 0;
}

long musl_syscall(long number, long a1, long a2, long a3, long a4, long a5, long a6)
{
    (void)a4;
    (void)a5;
    (void)a6;
    switch (number) {
    case SYS_write:
        if (a1 != 1 && a1 != 2)
            return -EBADF;
        print((const char *)a2, (size_t)a3);
        return a3;
    case SYS_writev:
        return a1 == 1 || a1 == 2 ? print_vector((const struct iovec *)a2, a3) : -EBADF;
    case SYS_clock_gettime:
        return read_clock(a1, (struct timespec *)a2);
    case SYS_getpid:
    case SYS_gettid:
        return 1;
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
        return 0;
    case SYS_ioctl:
        return -ENOTTY;
    case SYS_open:
    case SYS_openat:
    case SYS_stat:
    case SYS_lstat:
        return -ENOENT;
    case SYS_exit:
    case SYS_exit_group:
        machine_panic("exit() was called by a library outside of its fiber");
    default:
        return -ENOSYS;
    }
}
