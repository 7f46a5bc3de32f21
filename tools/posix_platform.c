/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tools/posix.h"

#define WORKERS_MAX 64
#define PAGE 4096

struct posix_worker {
    pthread_t thread;
    void (*entry)(void *context, unsigned index);
    void *context;
    unsigned index;
};

/* The program's one platform: processes have one clock, one set of signals, one standard error. */
static struct {
    struct platform platform;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool woken;
    unsigned worker_count;
    struct posix_worker workers[WORKERS_MAX];
    bool workers_lost; /* one did not come back: its entry here stays its own */
    volatile sig_atomic_t *cancelled;
} posix = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t posix_now(struct platform *platform)
{
    struct timespec time;

    (void)platform;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static int64_t posix_wall_clock(struct platform *platform)
{
    (void)platform;
    return (int64_t)time(NULL);
}

static void posix_random(struct platform *platform, void *bytes, size_t size)
{
    uint8_t *at = bytes;

    (void)platform;
    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno != EINTR)
            abort();
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

static void *posix_allocate(struct platform *platform, size_t size)
{
    (void)platform;
    return malloc(size);
}

static void posix_release(struct platform *platform, void *memory)
{
    (void)platform;
    free(memory);
}

static void *posix_allocate_guarded(struct platform *platform, size_t size)
{
    (void)platform;
    size = (size + PAGE - 1) / PAGE * PAGE;
    uint8_t *memory = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (mprotect(memory + PAGE, size, PROT_READ | PROT_WRITE) != 0) {
        munmap(memory, size + PAGE);
        return NULL;
    }
    return memory + PAGE;
}

static void posix_release_guarded(struct platform *platform, void *memory, size_t size)
{
    (void)platform;
    size = (size + PAGE - 1) / PAGE * PAGE;
    if (memory)
        munmap((uint8_t *)memory - PAGE, size + PAGE);
}

static void posix_wait(struct platform *platform, uint64_t deadline)
{
    /* Never longer than this, so that a lost wake or a signal costs no more. */
    uint64_t latest = posix_now(platform) + 50 * NANOSECONDS_PER_MILLISECOND;

    if (deadline > latest)
        deadline = latest;
    struct timespec until = {(time_t)(deadline / NANOSECONDS_PER_SECOND), (long)(deadline % NANOSECONDS_PER_SECOND)};
    pthread_mutex_lock(&posix.mutex);
    while (!posix.woken && pthread_cond_timedwait(&posix.condition, &posix.mutex, &until) == 0)
        ;
    posix.woken = false;
    pthread_mutex_unlock(&posix.mutex);
}

static void posix_wake(struct platform *platform)
{
    (void)platform;
    pthread_mutex_lock(&posix.mutex);
    posix.woken = true;
    pthread_cond_signal(&posix.condition);
    pthread_mutex_unlock(&posix.mutex);
}

static void posix_log(struct platform *platform, enum log_level level, const char *line)
{
    static const char *const names[] = {"debug", "note", "warning", "error"};

    (void)platform;
    if (level > LOG_DEBUG || getenv("EIDOLON_DEBUG"))
        fprintf(stderr, "%s: %s\n", names[level], line);
}

static bool posix_cancel_requested(struct platform *platform)
{
    (void)platform;
    return posix.cancelled && *posix.cancelled;
}

static int posix_buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer)
{
    size = (size + PAGE - 1) / PAGE * PAGE;
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return -ERROR_NO_MEMORY;
    memset(buffer, 0, sizeof(*buffer));
    buffer->platform = platform;
    buffer->data = data;
    buffer->size = size;
    return 0;
}

static void posix_buffer_release(struct buffer *buffer)
{
    munmap(buffer->data, buffer->size);
}

static void *worker_main(void *argument)
{
    struct posix_worker *worker = argument;

    worker->entry(worker->context, worker->index);
    return NULL;
}

static unsigned posix_workers_start(struct platform *platform, unsigned count,
                                    void (*entry)(void *context, unsigned index), void *context)
{
    sigset_t all, before;

    (void)platform;
    if (posix.workers_lost)
        return 0;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    posix.worker_count = 0;
    while (posix.worker_count < count && posix.worker_count < WORKERS_MAX) {
        struct posix_worker *worker = &posix.workers[posix.worker_count];
        *worker = (struct posix_worker){.entry = entry, .context = context, .index = posix.worker_count};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            break;
        posix.worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return posix.worker_count;
}

static bool posix_workers_join(struct platform *platform, uint64_t deadline)
{
    struct timespec limit = {.tv_sec = (time_t)(deadline / NANOSECONDS_PER_SECOND),
                             .tv_nsec = (long)(deadline % NANOSECONDS_PER_SECOND)};

    (void)platform;
    for (unsigned i = 0; i < posix.worker_count; i++)
        if (pthread_clockjoin_np(posix.workers[i].thread, NULL, CLOCK_MONOTONIC, &limit) != 0)
            posix.workers_lost = true;
    posix.worker_count = 0;
    return !posix.workers_lost;
}

static void posix_worker_wait(struct platform *platform, _Atomic uint32_t *word, uint32_t value)
{
    /* Bounded, so that nothing depends on a wake that was lost. */
    struct timespec limit = {0, 100 * 1000 * 1000};

    (void)platform;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &limit, NULL, 0);
}

static void posix_worker_wake(struct platform *platform, _Atomic uint32_t *word)
{
    (void)platform;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static const struct platform_ops posix_ops = {
    .now = posix_now,
    .wall_clock = posix_wall_clock,
    .random = posix_random,
    .allocate = posix_allocate,
    .release = posix_release,
    .allocate_guarded = posix_allocate_guarded,
    .release_guarded = posix_release_guarded,
    .wait = posix_wait,
    .wake = posix_wake,
    .log = posix_log,
    .cancel_requested = posix_cancel_requested,
    .buffer_allocate = posix_buffer_allocate,
    .buffer_release = posix_buffer_release,
    .workers_start = posix_workers_start,
    .workers_join = posix_workers_join,
    .worker_wait = posix_worker_wait,
    .worker_wake = posix_worker_wake,
};

struct platform *posix_platform(volatile sig_atomic_t *cancelled)
{
    pthread_condattr_t attributes;
    cpu_set_t set;

    if (!posix.platform.ops) {
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&posix.condition, &attributes);
        pthread_condattr_destroy(&attributes);
        posix.platform.ops = &posix_ops;
        posix.platform.processors = 1;
        if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1)
            posix.platform.processors = (unsigned)CPU_COUNT(&set);
    }
    posix.cancelled = cancelled;
    return &posix.platform;
}
