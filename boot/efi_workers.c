/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workers on application processors (MP services). A processor is started once, which costs the firmware
 * some 10 ms, and then stays in a mailbox loop on a stack of ours until the platform ends. Nothing there
 * calls the firmware.
 */
#include <cpuid.h>
#include <string.h>

#include "boot/efi_firmware.h"

#define WORKERS_MAX 63
#define WORKER_STACK (256u * 1024)
#define WORKER_START_TIMEOUT (2 * NANOSECONDS_PER_SECOND)
#define WORKER_STOP_TIMEOUT (5 * NANOSECONDS_PER_SECOND)
#define CPUID_MONITOR (1u << 3)

enum mail { MAIL_STARTING, MAIL_IDLE, MAIL_RUN, MAIL_QUIT, MAIL_GONE };

struct worker {
    /* A cache line of its own: an idle processor watches it. */
    _Atomic uint32_t mail __attribute__((aligned(64)));
    unsigned index;
    void (*entry)(void *context, unsigned index);
    void *context;
    UINT8 *stack; /* below: a guard */
    bool can_monitor;
    UINTN processor;
    EFI_EVENT event; /* signalled when the firmware has its processor back */
};

struct worker_pool {
    struct firmware *firmware;
    struct efi_mp_services *services;
    UINTN processors[WORKERS_MAX]; /* usable ones but the boot processor */
    unsigned available, started, running;
    struct worker *workers; /* `available` of them, in pages of their own */
    UINTN pages;
    bool lost;   /* one did not start: it may still look at its mail, so the memory stays */
    bool broken; /* one did not come back from its work: none is used again */
};

/* Sleeps until `mail` changes, lightly: a store wakes it, and so may anything else. */
static void watch_mail(struct worker *worker, uint32_t seen)
{
    if (worker->can_monitor) {
        __asm__ volatile("monitor" : : "a"(&worker->mail), "c"(0), "d"(0) : "memory");
        if (atomic_load_explicit(&worker->mail, memory_order_acquire) == seen)
            __asm__ volatile("mwait" : : "a"(0), "c"(0) : "memory");
    } else {
        processor_pause();
    }
}

/* The life of a worker, on its own stack. */
static void worker_live(void *argument)
{
    struct worker *worker = argument;
    struct processor_state saved;

    processor_prepare(&saved);
    atomic_store_explicit(&worker->mail, MAIL_IDLE, memory_order_release);
    for (;;) {
        uint32_t mail = atomic_load_explicit(&worker->mail, memory_order_acquire);
        if (mail == MAIL_QUIT)
            break;
        if (mail == MAIL_RUN) {
            worker->entry(worker->context, worker->index);
            /* Unless it was told to quit meanwhile. */
            atomic_compare_exchange_strong_explicit(&worker->mail, &mail, MAIL_IDLE, memory_order_acq_rel,
                                                    memory_order_acquire);
        } else {
            watch_mail(worker, mail);
        }
    }
    processor_restore(&saved);
    atomic_store_explicit(&worker->mail, MAIL_GONE, memory_order_release);
}

/* Where the firmware lets a processor in: on 32 KiB of stack, so change to our own at once. */
static VOID EFIAPI worker_procedure(VOID *argument)
{
    struct worker *worker = argument;

    processor_run_on_stack(worker->stack, WORKER_STACK, worker_live, worker);
}

static bool worker_mail_is(struct firmware *firmware, struct worker *worker, uint32_t mail, UINT64 timeout)
{
    UINT64 deadline = firmware_now(&firmware->platform) + timeout;

    while (atomic_load_explicit(&worker->mail, memory_order_acquire) != mail) {
        if (firmware_now(&firmware->platform) > deadline)
            return false;
        processor_pause();
    }
    return true;
}

void firmware_workers_count(struct firmware *firmware)
{
    EFI_GUID guid = EFI_MP_SERVICES_PROTOCOL_GUID;
    struct efi_mp_services *services = firmware_protocol(firmware, &guid);
    UINTN count = 0, enabled = 0, self = 0;

    firmware->platform.processors = 1;
    if (!services || EFI_ERROR(services->get_number_of_processors(services, &count, &enabled)) ||
        EFI_ERROR(services->who_am_i(services, &self)))
        return;
    struct worker_pool *pool = platform_allocate_zeroed(&firmware->platform, sizeof(*pool));
    if (!pool)
        return;
    pool->firmware = firmware;
    pool->services = services;
    for (UINTN i = 0; i < count && pool->available < WORKERS_MAX; i++) {
        struct efi_processor_information information;
        const UINT32 usable = PROCESSOR_ENABLED_BIT | PROCESSOR_HEALTH_STATUS_BIT;
        memset(&information, 0, sizeof(information));
        if (i == self || EFI_ERROR(services->get_processor_info(services, i, &information)))
            continue;
        if ((information.status_flag & usable) == usable && !(information.status_flag & PROCESSOR_AS_BSP_BIT))
            pool->processors[pool->available++] = i;
    }
    firmware->workers = pool;
    firmware->platform.processors = 1 + pool->available;
}

/* Starts one processor and waits until it answers from its loop. */
static bool worker_start(struct worker_pool *pool, struct worker *worker, UINTN processor)
{
    struct firmware *firmware = pool->firmware;
    unsigned a, b, c, d;

    worker->processor = processor;
    worker->can_monitor = __get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_MONITOR);
    worker->stack = firmware_allocate_guarded(&firmware->platform, WORKER_STACK);
    if (!worker->stack)
        return false;
    if (EFI_ERROR(firmware->boot->CreateEvent(0, 0, NULL, NULL, &worker->event)))
        goto no_event;
    EFI_STATUS status =
        pool->services->startup_this_ap(pool->services, worker_procedure, processor, worker->event, 0, worker, NULL);
    if (EFI_ERROR(status)) {
        platform_log(&firmware->platform, LOG_WARNING, "processor %lu does not start: firmware status %lx",
                     (unsigned long)processor, (unsigned long)status);
        goto no_start;
    }
    /* A processor that got lost keeps its stack: it may still wake up on it. */
    if (!worker_mail_is(firmware, worker, MAIL_IDLE, WORKER_START_TIMEOUT)) {
        platform_log(&firmware->platform, LOG_WARNING, "processor %lu was started and does not answer",
                     (unsigned long)processor);
        return false;
    }
    return true;

no_start:
    firmware->boot->CloseEvent(worker->event);
no_event:
    firmware_release_guarded(&firmware->platform, worker->stack, WORKER_STACK);
    return false;
}

static bool workers_allocate(struct worker_pool *pool)
{
    EFI_PHYSICAL_ADDRESS address = 0;
    UINTN pages = (pool->available * sizeof(struct worker) + 4095) / 4096;

    if (pool->workers)
        return true;
    if (!pool->available ||
        EFI_ERROR(pool->firmware->boot->AllocatePages(AllocateAnyPages, EfiLoaderData, pages, &address)))
        return false;
    memset((void *)address, 0, pages * 4096);
    pool->workers = (struct worker *)address;
    pool->pages = pages;
    return true;
}

unsigned firmware_workers_start(struct platform *platform, unsigned count, void (*entry)(void *context, unsigned index),
                                void *context)
{
    struct worker_pool *pool = firmware_of(platform)->workers;

    if (!pool || pool->running || pool->broken || !workers_allocate(pool))
        return 0;
    /* The first that fails ends it: what is wrong with one is wrong with those behind it. */
    while (pool->started < count && pool->started < pool->available) {
        struct worker *worker = &pool->workers[pool->started];
        if (!worker_start(pool, worker, pool->processors[pool->started])) {
            pool->available = pool->started;
            pool->lost = true;
            break;
        }
        pool->started++;
    }
    pool->running = count < pool->started ? count : pool->started;
    for (unsigned i = 0; i < pool->running; i++) {
        struct worker *worker = &pool->workers[i];
        worker->entry = entry;
        worker->context = context;
        worker->index = i;
        atomic_store_explicit(&worker->mail, MAIL_RUN, memory_order_release);
    }
    return pool->running;
}

bool firmware_workers_join(struct platform *platform, uint64_t deadline)
{
    struct worker_pool *pool = firmware_of(platform)->workers;
    bool all = true;

    for (unsigned i = 0; pool && i < pool->running; i++) {
        struct worker *worker = &pool->workers[i];
        while (atomic_load_explicit(&worker->mail, memory_order_acquire) == MAIL_RUN &&
               firmware_now(platform) < deadline)
            processor_pause();
        if (atomic_load_explicit(&worker->mail, memory_order_acquire) != MAIL_RUN)
            continue;
        platform_log(platform, LOG_ERROR, "processor %lu hangs", (unsigned long)worker->processor);
        pool->broken = true;
        all = false;
    }
    if (pool)
        pool->running = 0;
    return all;
}

void firmware_worker_wait(struct platform *platform, _Atomic uint32_t *word, uint32_t value)
{
    (void)platform;
    for (unsigned i = 0; i < 256 && atomic_load_explicit(word, memory_order_acquire) == value; i++)
        processor_pause();
}

void firmware_worker_wake(struct platform *platform, _Atomic uint32_t *word)
{
    (void)platform; /* workers watch the word itself */
    (void)word;
}

/* The event comes when the firmware has its processor again, up to 100 ms after the procedure's end. */
static bool worker_give_back(struct firmware *firmware, struct worker *worker)
{
    UINT64 deadline = firmware_now(&firmware->platform) + WORKER_STOP_TIMEOUT;

    atomic_store_explicit(&worker->mail, MAIL_QUIT, memory_order_release);
    if (!worker_mail_is(firmware, worker, MAIL_GONE, WORKER_STOP_TIMEOUT))
        return false;
    while (EFI_ERROR(firmware->boot->CheckEvent(worker->event))) {
        if (firmware_now(&firmware->platform) > deadline)
            return false;
        processor_pause();
    }
    firmware->boot->CloseEvent(worker->event);
    firmware_release_guarded(&firmware->platform, worker->stack, WORKER_STACK);
    return true;
}

bool firmware_workers_stop(struct firmware *firmware)
{
    struct worker_pool *pool = firmware->workers;
    bool all = true;

    if (!pool)
        return true;
    firmware_workers_join(&firmware->platform, firmware_now(&firmware->platform) + WORKER_STOP_TIMEOUT);
    for (unsigned i = 0; i < pool->started; i++)
        all = worker_give_back(firmware, &pool->workers[i]) && all;
    if (!all)
        platform_log(&firmware->platform, LOG_ERROR, "a processor did not come back from its work");
    else if (pool->workers && !pool->lost)
        firmware->boot->FreePages((UINTN)pool->workers, pool->pages);
    platform_release(&firmware->platform, pool);
    firmware->workers = NULL;
    return all;
}
