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
    _Atomic uint32_t main_state;      /* enum main_state; the main thread waits on it */
    _Atomic uint32_t waiting_workers; /* that sleep or are about to */
    unsigned worker_count;
    struct posix_worker workers[WORKERS_MAX];
    bool workers_lost; /* one did not come back: its entry here stays its own */
    volatile sig_atomic_t *cancelled;
} posix;

enum main_state { MAIN_RUNS, MAIN_SLEEPS, MAIN_WOKEN };

/* Sleeps while *word == value, at most until `deadline` on the monotonic clock. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline)
{
    struct timespec until = {(time_t)(deadline / NANOSECONDS_PER_SECOND), (long)(deadline % NANOSECONDS_PER_SECOND)};

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void futex_wake(_Atomic uint32_t *word, int waiters)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, NULL, NULL, 0);
}

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
    uint32_t runs = MAIN_RUNS;
    if (atomic_compare_exchange_strong(&posix.main_state, &runs, MAIN_SLEEPS))
        futex_wait(&posix.main_state, MAIN_SLEEPS, deadline);
    atomic_store(&posix.main_state, MAIN_RUNS);
}

/* Calls the kernel only for a main thread that sleeps: a wake may come with every request and every chunk. */
static void posix_wake(struct platform *platform)
{
    (void)platform;
    if (atomic_exchange(&posix.main_state, MAIN_WOKEN) == MAIN_SLEEPS)
        futex_wake(&posix.main_state, 1);
}

static bool log_quiet;

void posix_log_quiet(bool quiet)
{
    log_quiet = quiet;
}

static void posix_log(struct platform *platform, enum log_level level, const char *line)
{
    static const char *const names[] = {"debug", "note", "warning", "error"};

    (void)platform;
    if (!log_quiet && (level > LOG_DEBUG || getenv("EIDOLON_DEBUG")))
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
    /* Counted before the word is looked at, and looked at after the word has changed: one of the two sides sees the other. */
    atomic_fetch_add(&posix.waiting_workers, 1);
    /* Bounded, so that nothing depends on a wake that was lost. */
    futex_wait(word, value, posix_now(platform) + 100 * NANOSECONDS_PER_MILLISECOND);
    atomic_fetch_sub(&posix.waiting_workers, 1);
}

static void posix_worker_wake(struct platform *platform, _Atomic uint32_t *word)
{
    (void)platform;
    if (atomic_load(&posix.waiting_workers))
        futex_wake(word, INT32_MAX);
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
    cpu_set_t set;

    if (!posix.platform.ops) {
        posix.platform.ops = &posix_ops;
        posix.platform.processors = 1;
        if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1)
            posix.platform.processors = (unsigned)CPU_COUNT(&set);
    }
    posix.cancelled = cancelled;
    return &posix.platform;
}
