/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A platform under the test's control: time, memory, PCI functions and their registers, the person's wish to stop.
 *
 * Time is virtual unless `real_time` is set: each look at the clock costs `tick` nanoseconds and a wait jumps to its deadline,
 * so that a deadline of a minute costs a test nothing. While workers run, a wait also lets real time pass. Memory is malloc's,
 * so that the sanitizers see it. Workers are threads.
 */
#ifndef TESTS_SUPPORT_TEST_PLATFORM_H
#define TESTS_SUPPORT_TEST_PLATFORM_H

#include <pthread.h>

#include "core/platform.h"

#define TEST_WORKERS_MAX 16
#define TEST_PCI_FUNCTIONS 8
#define TEST_LOG_LINES 32

/* A scripted PCI function. Registers are answered by the two callbacks; configuration space is memory, 0 where not set. */
struct test_pci_function {
    struct pci_device pci;
    uint32_t configuration[64];
    uint64_t bar_size[6]; /* bytes; 0: no such BAR */
    uint64_t (*register_read)(struct test_pci_function *function, unsigned bar, uint64_t offset, unsigned width);
    void (*register_write)(struct test_pci_function *function, unsigned bar, uint64_t offset, unsigned width,
                           uint64_t value);
    void (*configuration_written)(struct test_pci_function *function, unsigned offset); /* may be NULL */
    void *context;
    int claim_status; /* what pci_claim answers: 0 or a negative error */
    /* What was seen */
    unsigned claims, releases, dma_stops;
    /* The platform's own: one per BAR, so that an access knows its own. */
    struct test_bar {
        struct test_pci_function *function;
        unsigned index;
    } bars[6];
};

struct test_platform {
    struct platform platform; /* first: a struct platform pointer is one to this */
    struct platform_ops ops;  /* may be changed after test_platform_init() */

    /* Time */
    bool real_time;
    _Atomic uint64_t now; /* nanoseconds */
    uint64_t tick;
    int64_t wall_clock;
    unsigned waits; /* calls of wait() */

    /* Memory. fail_after counts down with each allocation; the one that finds 0 fails, and all later ones. -1: never */
    long fail_after;
    size_t allocations, bytes, peak_bytes; /* live */
    size_t buffers, mappings;              /* live */
    void *last_guarded;                    /* what allocate_guarded() gave last */

    bool cancel;        /* what cancel_requested() answers */
    uint64_t cancel_at; /* answered with yes from this time on; UINT64_MAX: never */
    uint64_t random_state;

    struct test_pci_function *functions[TEST_PCI_FUNCTIONS];
    unsigned function_count;

    /* The latest lines of the log, the oldest overwritten. Printed too when TEST_LOG is in the environment. */
    char log[TEST_LOG_LINES][400];
    unsigned log_count;

    /* Its own */
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool woken;
    unsigned worker_count;
    struct test_worker {
        pthread_t thread;
        void (*entry)(void *context, unsigned index);
        void *context;
        unsigned index;
    } workers[TEST_WORKERS_MAX];
};

/* Virtual time from one second on, two processors, no PCI functions. */
void test_platform_init(struct test_platform *test);
/* Fails the test (abort) when buffers or mappings are left; plain memory is the leak sanitizer's. */
void test_platform_end(struct test_platform *test);

void test_platform_add_function(struct test_platform *test, struct test_pci_function *function);
/* Is `text` part of a line of the log that is still kept? */
bool test_platform_logged(const struct test_platform *test, const char *text);

#endif
