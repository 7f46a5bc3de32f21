/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "tests/support/test_platform.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"

#define PAGE 4096u
#define HEAD_ROOM 16

static struct test_platform *test_of(struct platform *platform)
{
    return (struct test_platform *)(void *)platform;
}

/* --- time --- */

static uint64_t real_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t test_now(struct platform *platform)
{
    struct test_platform *test = test_of(platform);

    return test->real_time ? real_now() : atomic_fetch_add(&test->now, test->tick) + test->tick;
}

static int64_t test_wall_clock(struct platform *platform)
{
    return test_of(platform)->wall_clock;
}

static void sleep_until_woken(struct test_platform *test, uint64_t longest)
{
    uint64_t until = real_now() + longest;
    struct timespec time = {(time_t)(until / NANOSECONDS_PER_SECOND), (long)(until % NANOSECONDS_PER_SECOND)};

    pthread_mutex_lock(&test->mutex);
    while (!test->woken && pthread_cond_timedwait(&test->condition, &test->mutex, &time) == 0)
        ;
    test->woken = false;
    pthread_mutex_unlock(&test->mutex);
}

static void test_wait(struct platform *platform, uint64_t deadline)
{
    struct test_platform *test = test_of(platform);

    test->waits++;
    if (test->real_time || test->worker_count) {
        uint64_t now = test->real_time ? real_now() : atomic_load(&test->now);
        uint64_t longest = deadline > now ? deadline - now : 0;
        if (longest > NANOSECONDS_PER_MILLISECOND)
            longest = NANOSECONDS_PER_MILLISECOND;
        sleep_until_woken(test, longest);
        atomic_fetch_add(&test->now, longest);
        return;
    }
    if (deadline != UINT64_MAX && deadline > atomic_load(&test->now))
        atomic_store(&test->now, deadline);
}

static void test_wake(struct platform *platform)
{
    struct test_platform *test = test_of(platform);

    pthread_mutex_lock(&test->mutex);
    test->woken = true;
    pthread_cond_signal(&test->condition);
    pthread_mutex_unlock(&test->mutex);
}

/* --- memory --- */

static bool allocation_fails(struct test_platform *test)
{
    if (test->fail_after < 0)
        return false;
    if (test->fail_after == 0)
        return true;
    test->fail_after--;
    return false;
}

static void *test_allocate(struct platform *platform, size_t size)
{
    struct test_platform *test = test_of(platform);

    if (allocation_fails(test) || size > SIZE_MAX - HEAD_ROOM)
        return NULL;
    uint8_t *memory = malloc(size + HEAD_ROOM);
    if (!memory)
        return NULL;
    memcpy(memory, &size, sizeof(size));
    memset(memory + HEAD_ROOM, 0xdd, size < 65536 ? size : 65536);
    test->allocations++;
    test->bytes += size;
    if (test->bytes > test->peak_bytes)
        test->peak_bytes = test->bytes;
    return memory + HEAD_ROOM;
}

static void test_release(struct platform *platform, void *memory)
{
    struct test_platform *test = test_of(platform);
    size_t size;

    memcpy(&size, (uint8_t *)memory - HEAD_ROOM, sizeof(size));
    test->allocations--;
    test->bytes -= size;
    free((uint8_t *)memory - HEAD_ROOM);
}

static void *test_allocate_guarded(struct platform *platform, size_t size)
{
    struct test_platform *test = test_of(platform);

    size = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (allocation_fails(test))
        return NULL;
    uint8_t *memory = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    mprotect(memory, PAGE, PROT_NONE);
    test->allocations++;
    test->last_guarded = memory + PAGE;
    return memory + PAGE;
}

static void test_release_guarded(struct platform *platform, void *memory, size_t size)
{
    size = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    munmap((uint8_t *)memory - PAGE, size + PAGE);
    test_of(platform)->allocations--;
}

static int test_buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer)
{
    struct test_platform *test = test_of(platform);

    if (allocation_fails(test))
        return -ERROR_NO_MEMORY;
    buffer->size = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    buffer->data = aligned_alloc(PAGE, buffer->size);
    if (!buffer->data)
        return -ERROR_NO_MEMORY;
    test->buffers++;
    return 0;
}

static void test_buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    test_of(buffer->platform)->buffers--;
}

/* A device sees the host's addresses, so that the sanitizers see what a scripted device does. */
static int test_buffer_map(struct buffer *buffer, struct pci_device *device, uint64_t *address, void **context)
{
    (void)device;
    *address = (uint64_t)(uintptr_t)buffer->data;
    *context = NULL;
    test_of(buffer->platform)->mappings++;
    return 0;
}

static void test_buffer_unmap(struct buffer *buffer, struct pci_device *device, void *context)
{
    (void)device;
    (void)context;
    test_of(buffer->platform)->mappings--;
}

/* --- PCI --- */

static struct test_pci_function *function_of(struct pci_device *device)
{
    return (struct test_pci_function *)(void *)((char *)device - offsetof(struct test_pci_function, pci));
}

static void test_pci_enumerate(struct platform *platform, bool (*found)(struct pci_device *device, void *context),
                               void *context)
{
    struct test_platform *test = test_of(platform);

    for (unsigned i = 0; i < test->function_count; i++)
        if (!found(&test->functions[i]->pci, context))
            return;
}

static int test_pci_claim(struct pci_device *device, struct error *error)
{
    struct test_pci_function *function = function_of(device);

    if (function->claim_status)
        return error_set(error, (enum error_code) - function->claim_status, OPERATION_OPEN, "pci", ERROR_NO_BLOCK,
                         NULL);
    function->claims++;
    device->claimed = true;
    return 0;
}

static void test_pci_release(struct pci_device *device)
{
    function_of(device)->releases++;
    device->claimed = false;
}

static void test_pci_stop_dma(struct pci_device *device)
{
    function_of(device)->dma_stops++;
}

static uint32_t test_pci_config_read32(struct pci_device *device, unsigned offset)
{
    return offset / 4 < 64 ? function_of(device)->configuration[offset / 4] : UINT32_MAX;
}

static void test_pci_config_write32(struct pci_device *device, unsigned offset, uint32_t value)
{
    struct test_pci_function *function = function_of(device);

    if (offset / 4 >= 64)
        return;
    function->configuration[offset / 4] = value;
    if (function->configuration_written)
        function->configuration_written(function, offset);
}

static int test_pci_map_registers(struct pci_device *device, unsigned bar, struct registers *registers)
{
    struct test_pci_function *function = function_of(device);

    if (bar > 5 || !function->bar_size[bar])
        return -ERROR_NOT_FOUND;
    function->bars[bar] = (struct test_bar){function, bar};
    *registers = (struct registers){
        .platform = device->platform, .size = function->bar_size[bar], .context = &function->bars[bar]};
    return 0;
}

static uint64_t test_register_read(struct registers *registers, uint64_t offset, unsigned width)
{
    const struct test_bar *bar = registers->context;

    return bar->function->register_read(bar->function, bar->index, offset, width);
}

static void test_register_write(struct registers *registers, uint64_t offset, unsigned width, uint64_t value)
{
    const struct test_bar *bar = registers->context;

    bar->function->register_write(bar->function, bar->index, offset, width, value);
}

void test_platform_add_function(struct test_platform *test, struct test_pci_function *function)
{
    if (test->function_count == TEST_PCI_FUNCTIONS)
        abort();
    function->pci.platform = &test->platform;
    test->functions[test->function_count++] = function;
}

/* --- workers --- */

static void *worker_main(void *argument)
{
    struct test_worker *worker = argument;

    worker->entry(worker->context, worker->index);
    return NULL;
}

static unsigned test_workers_start(struct platform *platform, unsigned count,
                                   void (*entry)(void *context, unsigned index), void *context)
{
    struct test_platform *test = test_of(platform);

    while (test->worker_count < count && test->worker_count < TEST_WORKERS_MAX) {
        struct test_worker *worker = &test->workers[test->worker_count];
        *worker = (struct test_worker){.entry = entry, .context = context, .index = test->worker_count};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            break;
        test->worker_count++;
    }
    return test->worker_count;
}

static bool test_workers_join(struct platform *platform, uint64_t deadline)
{
    struct test_platform *test = test_of(platform);

    for (unsigned i = 0; i < test->worker_count; i++)
        pthread_join(test->workers[i].thread, NULL);
    (void)deadline;
    test->worker_count = 0;
    return true;
}

static void test_worker_wait(struct platform *platform, _Atomic uint32_t *word, uint32_t value)
{
    struct timespec limit = {0, 20 * 1000 * 1000};

    (void)platform;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &limit, NULL, 0);
}

static void test_worker_wake(struct platform *platform, _Atomic uint32_t *word)
{
    (void)platform;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* --- the rest --- */

/* The same bytes in every run, so that a failing test fails again. */
static void test_random(struct platform *platform, void *bytes, size_t size)
{
    struct test_platform *test = test_of(platform);

    for (size_t i = 0; i < size; i++) {
        test->random_state = test->random_state * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)bytes)[i] = (uint8_t)(test->random_state >> 56);
    }
}

static void test_log(struct platform *platform, enum log_level level, const char *line)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct test_platform *test = test_of(platform);
    char *kept = test->log[test->log_count++ % TEST_LOG_LINES];

    snprintf(kept, sizeof(test->log[0]), "%s", line);
    if (getenv("TEST_LOG"))
        fprintf(stderr, "%s: %s\n", names[level], line);
}

bool test_platform_logged(const struct test_platform *test, const char *text)
{
    for (unsigned i = 0; i < test->log_count && i < TEST_LOG_LINES; i++)
        if (strstr(test->log[i], text))
            return true;
    return false;
}

static bool test_cancel_requested(struct platform *platform)
{
    struct test_platform *test = test_of(platform);

    return test->cancel || (test->cancel_at != UINT64_MAX && test_now(platform) >= test->cancel_at);
}

static const struct platform_ops test_ops = {
    .now = test_now,
    .wall_clock = test_wall_clock,
    .random = test_random,
    .allocate = test_allocate,
    .release = test_release,
    .allocate_guarded = test_allocate_guarded,
    .release_guarded = test_release_guarded,
    .wait = test_wait,
    .wake = test_wake,
    .log = test_log,
    .cancel_requested = test_cancel_requested,
    .buffer_allocate = test_buffer_allocate,
    .buffer_release = test_buffer_release,
    .buffer_map = test_buffer_map,
    .buffer_unmap = test_buffer_unmap,
    .pci_enumerate = test_pci_enumerate,
    .pci_claim = test_pci_claim,
    .pci_release = test_pci_release,
    .pci_stop_dma = test_pci_stop_dma,
    .pci_config_read32 = test_pci_config_read32,
    .pci_config_write32 = test_pci_config_write32,
    .pci_map_registers = test_pci_map_registers,
    .register_read = test_register_read,
    .register_write = test_register_write,
    .workers_start = test_workers_start,
    .workers_join = test_workers_join,
    .worker_wait = test_worker_wait,
    .worker_wake = test_worker_wake,
};

void test_platform_init(struct test_platform *test)
{
    pthread_condattr_t attributes;

    memset(test, 0, sizeof(*test));
    test->ops = test_ops;
    test->platform.ops = &test->ops;
    test->platform.processors = 2;
    test->now = NANOSECONDS_PER_SECOND;
    test->tick = 200;
    test->wall_clock = 1700000000;
    test->fail_after = -1;
    test->cancel_at = UINT64_MAX;
    test->random_state = 1;
    pthread_mutex_init(&test->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&test->condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void test_platform_end(struct test_platform *test)
{
    if (test->buffers || test->mappings) {
        fprintf(stderr, "test platform: %zu buffers and %zu mappings are left\n", test->buffers, test->mappings);
        abort();
    }
    pthread_cond_destroy(&test->condition);
    pthread_mutex_destroy(&test->mutex);
}
