/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "core/error.h"
#include "core/fiber.h"
#include "core/library.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_MINIMUM 16384
#define CANARY_WORDS 16
#define CANARY 0x5ca1ab1e0ddba11ULL

struct fiber {
    struct loop *loop;
    const char *name;
    void (*entry)(void *context);
    void *context;
    struct fiber *next;

    bool finished, abandoned, overflown;
    struct arena *arena;
    struct fiber_cleanup *cleanups; /* newest first; they live on the fiber's stack */

    /* What it waits for. */
    bool (*done)(void *context);
    void *done_context;
    uint64_t deadline;
    bool done_result;

    uint8_t *stack;
    size_t stack_size;
    void *stack_pointer; /* while it does not run */
    void *fake_stack;    /* AddressSanitizer's */
};

/*
 * Which fiber runs is a property of the processor, not of a loop: the libraries' allocator has no argument to carry it. Only
 * the main processor runs fibers.
 */
static struct fiber *current;
static void *resumer_stack_pointer; /* where the loop goes on when `current` yields */
#ifdef __SANITIZE_ADDRESS__
static const void *resumer_stack;
static size_t resumer_stack_size;
#endif

void fiber_switch(void **save, void *load);
void fiber_begin(void);
_Noreturn void fiber_main(void);

/* --- switching --- */

static void switch_to_fiber(struct fiber *fiber)
{
    current = fiber;
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack = NULL;
    __sanitizer_start_switch_fiber(&fake_stack, fiber->stack, fiber->stack_size);
#endif
    fiber_switch(&resumer_stack_pointer, fiber->stack_pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
    current = NULL;
}

static void switch_to_resumer(struct fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fiber->finished ? NULL : &fiber->fake_stack, resumer_stack, resumer_stack_size);
#endif
    fiber_switch(&fiber->stack_pointer, resumer_stack_pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &resumer_stack, &resumer_stack_size);
#endif
}

_Noreturn void fiber_main(void)
{
    struct fiber *fiber = current;

#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &resumer_stack, &resumer_stack_size);
#endif
    fiber->entry(fiber->context);
    fiber->finished = true;
    switch_to_resumer(fiber);
    __builtin_trap();
}

_Noreturn void fiber_abandon(void)
{
    struct fiber *fiber = current;

    if (!fiber)
        __builtin_trap();
    fiber->abandoned = fiber->finished = true;
    switch_to_resumer(fiber);
    __builtin_trap();
}

/* --- life --- */

static void stack_prepare(struct fiber *fiber)
{
    uint64_t *canary = (uint64_t *)(void *)fiber->stack;
    for (unsigned i = 0; i < CANARY_WORDS; i++)
        canary[i] = CANARY;

    /* The frame that fiber_switch() pops: MXCSR and x87 control word, six registers, the address to return to. */
    uint64_t *top = (uint64_t *)(void *)(fiber->stack + fiber->stack_size);
    *--top = 0; /* so that fiber_begin() finds the stack aligned to 16 */
    *--top = 0;
    *--top = (uint64_t)(uintptr_t)fiber_begin;
    for (unsigned i = 0; i < 6; i++)
        *--top = 0;
    uint32_t mxcsr = 0;
    uint16_t control_word = 0;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(control_word));
    *--top = mxcsr | (uint64_t)control_word << 32;
    fiber->stack_pointer = top;
}

static bool stack_overflown(const struct fiber *fiber)
{
    const uint64_t *canary = (const uint64_t *)(const void *)fiber->stack;

    for (unsigned i = 0; i < CANARY_WORDS; i++)
        if (canary[i] != CANARY)
            return true;
    return false;
}

static bool always(void *context)
{
    (void)context;
    return true;
}

struct fiber *fiber_start(struct loop *loop, const char *name, size_t stack_size, size_t arena_limit,
                          void (*entry)(void *context), void *context)
{
    struct platform *platform = loop->platform;
    struct fiber *fiber = platform_allocate_zeroed(platform, sizeof(*fiber));

    if (!fiber)
        return NULL;
    if (stack_size < STACK_MINIMUM)
        stack_size = STACK_MINIMUM;
    fiber->loop = loop;
    fiber->name = name;
    fiber->entry = entry;
    fiber->context = context;
    fiber->done = always;
    fiber->deadline = UINT64_MAX;
    fiber->stack_size = (stack_size + 4095) & ~(size_t)4095;
    fiber->stack = platform->ops->allocate_guarded(platform, fiber->stack_size);
    if (!fiber->stack)
        goto no_stack;
    fiber->arena = arena_create(platform, arena_limit);
    if (!fiber->arena)
        goto no_arena;
    stack_prepare(fiber);

    /* In order of their start, so that none starves another. */
    struct fiber **link = &loop->fibers;
    while (*link)
        link = &(*link)->next;
    *link = fiber;
    return fiber;

no_arena:
    platform->ops->release_guarded(platform, fiber->stack, fiber->stack_size);
no_stack:
    platform_release(platform, fiber);
    return NULL;
}

static void unlink_fiber(struct fiber *fiber)
{
    struct loop *loop = fiber->loop;
    struct fiber **link = &loop->fibers;

    while (*link && *link != fiber)
        link = &(*link)->next;
    if (*link)
        *link = fiber->next;
    if (loop->fibers_next == fiber)
        loop->fibers_next = fiber->next;
}

void fiber_destroy(struct fiber *fiber)
{
    if (!fiber || fiber == current)
        return;
    struct platform *platform = fiber->loop->platform;

    /* From here on it is never resumed. */
    unlink_fiber(fiber);
    while (fiber->cleanups) {
        struct fiber_cleanup *cleanup = fiber->cleanups;
        fiber->cleanups = cleanup->next;
        if (cleanup->ready)
            loop_wait(fiber->loop, cleanup->ready, cleanup->context, UINT64_MAX);
        if (cleanup->run)
            cleanup->run(cleanup->context);
    }
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(fiber->stack, fiber->stack_size);
#endif
    arena_destroy(fiber->arena);
    if (!fiber->overflown)
        platform->ops->release_guarded(platform, fiber->stack, fiber->stack_size);
    platform_release(platform, fiber);
}

void fiber_cleanup_push(struct fiber_cleanup *cleanup)
{
    if (!current)
        return;
    cleanup->next = current->cleanups;
    current->cleanups = cleanup;
}

void fiber_cleanup_pop(struct fiber_cleanup *cleanup)
{
    if (!current)
        return;
    struct fiber_cleanup **link = &current->cleanups;
    while (*link && *link != cleanup)
        link = &(*link)->next;
    if (*link)
        *link = cleanup->next;
}

struct fiber *fiber_current(void)
{
    return current;
}

bool fiber_finished(const struct fiber *fiber)
{
    return fiber->finished;
}

bool fiber_abandoned(const struct fiber *fiber)
{
    return fiber->abandoned;
}

struct arena *fiber_arena(void)
{
    return current ? current->arena : NULL;
}

/* --- waiting --- */

bool fiber_wait(bool (*done)(void *context), void *context, uint64_t deadline)
{
    struct fiber *fiber = current;

    fiber->done = done;
    fiber->done_context = context;
    fiber->deadline = deadline;
    switch_to_resumer(fiber);
    return fiber->done_result;
}

static bool resume_if_due(struct fiber *fiber)
{
    if (fiber->finished)
        return false;
    fiber->done_result = fiber->done(fiber->done_context);
    if (!fiber->done_result && (fiber->deadline == UINT64_MAX || platform_now(fiber->loop->platform) < fiber->deadline))
        return false;

    switch_to_fiber(fiber);
    if (stack_overflown(fiber)) {
        /* What lies on it can no longer be trusted, its cleanups neither; a device may still hold a request that does. */
        platform_log(fiber->loop->platform, LOG_ERROR, "%s: ran out of its stack of %llu bytes and is dropped",
                     fiber->name, (unsigned long long)fiber->stack_size);
        fiber->cleanups = NULL;
        fiber->abandoned = fiber->finished = fiber->overflown = true;
    }
    return true;
}

bool fibers_resume(struct loop *loop)
{
    bool happened = false;

    /* Fibers do not run inside fibers; and an outer walk owns fibers_next. */
    if (current)
        return false;
    loop->fibers_next = loop->fibers;
    while (loop->fibers_next) {
        struct fiber *fiber = loop->fibers_next;
        loop->fibers_next = fiber->next;
        if (resume_if_due(fiber))
            happened = true;
    }
    return happened;
}

/* --- convenience --- */

struct call {
    int (*call)(void *context);
    void *context;
    int result;
    struct fiber *fiber;
};

static void call_entry(void *context)
{
    struct call *call = context;

    call->result = call->call(call->context);
}

static bool call_finished(void *context)
{
    return fiber_finished(((struct call *)context)->fiber);
}

int fiber_call(struct loop *loop, const char *name, size_t stack_size, size_t arena_limit, uint64_t deadline,
               int (*call)(void *context), void *context)
{
    struct call frame = {.call = call, .context = context};

    if (current)
        return call(context);
    frame.fiber = fiber_start(loop, name, stack_size, arena_limit, call_entry, &frame);
    if (!frame.fiber)
        return -ERROR_NO_MEMORY;
    int status = -ERROR_TIMEOUT;
    if (loop_wait(loop, call_finished, &frame, deadline))
        status = fiber_abandoned(frame.fiber) ? -ERROR_ABORTED : frame.result;
    fiber_destroy(frame.fiber);
    return status;
}
