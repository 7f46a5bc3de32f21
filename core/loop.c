/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "core/fiber.h"
#include "core/loop.h"

/*
 * Policy: the longest a wait may last when nothing happens. Deadlines of requests and fibers are looked at by loop steps,
 * so they may be noticed this much late.
 */
#define WAIT_MAX (10 * NANOSECONDS_PER_MILLISECOND)

/* Where a walk over the pollables stands; loop_remove() moves those that stand on what it takes out. */
struct loop_cursor {
    struct pollable *next;
    struct loop_cursor *outer;
};

void loop_init(struct loop *loop, struct platform *platform)
{
    memset(loop, 0, sizeof(*loop));
    loop->platform = platform;
    loop->last = &loop->first;
}

void loop_add(struct loop *loop, struct pollable *pollable)
{
    struct pollable **link = &loop->pollables;

    while (*link) {
        if (*link == pollable)
            return;
        link = &(*link)->next;
    }
    /* At the end: a slice is added after its disk, so one step carries a completion through both. */
    pollable->next = NULL;
    *link = pollable;
}

void loop_remove(struct loop *loop, struct pollable *pollable)
{
    struct pollable **link = &loop->pollables;

    while (*link && *link != pollable)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = pollable->next;
    for (struct loop_cursor *cursor = loop->cursors; cursor; cursor = cursor->outer)
        if (cursor->next == pollable)
            cursor->next = pollable->next;
    pollable->next = NULL;
}

void loop_complete(struct loop *loop, struct completion *completion)
{
    if (completion->queued)
        return;
    platform_hold_events(loop->platform);
    completion->queued = true;
    completion->next = NULL;
    *loop->last = completion;
    loop->last = &completion->next;
    platform_release_events(loop->platform);
}

void loop_forget(struct loop *loop, struct completion *completion)
{
    struct completion **link = &loop->first;

    if (!completion->queued)
        return;
    platform_hold_events(loop->platform);
    while (*link && *link != completion)
        link = &(*link)->next;
    if (*link) {
        *link = completion->next;
        if (!*link)
            loop->last = link;
        completion->queued = false;
        completion->next = NULL;
    }
    platform_release_events(loop->platform);
}

bool loop_poll(struct loop *loop)
{
    struct loop_cursor cursor = {.next = loop->pollables, .outer = loop->cursors};
    bool happened = false, held = false;

    loop->cursors = &cursor;
    while (cursor.next) {
        struct pollable *pollable = cursor.next;
        cursor.next = pollable->next;
        /* Held once over a row of those that need it: this is what an idle turn costs. */
        if (pollable->hold_events && !held)
            platform_hold_events(loop->platform);
        else if (!pollable->hold_events && held)
            platform_release_events(loop->platform);
        held = pollable->hold_events;
        if (pollable->poll(pollable))
            happened = true;
    }
    if (held)
        platform_release_events(loop->platform);
    loop->cursors = cursor.outer;
    return happened;
}

static struct completion *take_completion(struct loop *loop)
{
    platform_hold_events(loop->platform);
    struct completion *completion = loop->first;
    loop->first = completion->next;
    if (!loop->first)
        loop->last = &loop->first;
    completion->next = NULL;
    completion->queued = false;
    platform_release_events(loop->platform);
    return completion;
}

static bool dispatch_all(struct loop *loop)
{
    bool happened = false;

    while (loop->first) {
        struct completion *completion = take_completion(loop);
        completion->dispatch(completion);
        happened = true;
    }
    return happened;
}

bool loop_step(struct loop *loop)
{
    loop->depth++;
    bool happened = loop_poll(loop);
    if (loop->depth == 1) {
        if (dispatch_all(loop))
            happened = true;
        if (loop->fibers && fibers_resume(loop))
            happened = true;
    }
    loop->depth--;
    return happened;
}

/* Time is looked at before the condition: what came true in time counts. */
static bool wait_inside(struct loop *loop, bool (*done)(void *context), void *context, uint64_t deadline)
{
    for (;;) {
        bool late = platform_now(loop->platform) >= deadline;
        loop->inside->poll(loop->inside);
        if (done(context))
            return true;
        if (late)
            return false;
    }
}

bool loop_wait(struct loop *loop, bool (*done)(void *context), void *context, uint64_t deadline)
{
    struct platform *platform = loop->platform;

    if (done(context))
        return true;
    if (loop->inside)
        return wait_inside(loop, done, context, deadline);
    if (fiber_current())
        return fiber_wait(done, context, deadline);

    for (;;) {
        bool happened = loop_step(loop);
        if (done(context))
            return true;
        uint64_t now = platform_now(platform);
        if (now >= deadline)
            return false;
        if (happened || (loop->depth == 0 && loop->idle && loop->idle(loop->idle_context)))
            continue;
        uint64_t latest = now + WAIT_MAX;
        platform->ops->wait(platform, deadline < latest ? deadline : latest);
    }
}

static bool flag_is_set(void *context)
{
    return *(const volatile bool *)context;
}

bool loop_wait_flag(struct loop *loop, const bool *flag, uint64_t deadline)
{
    return loop_wait(loop, flag_is_set, (void *)flag, deadline);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

void loop_delay(struct loop *loop, uint64_t nanoseconds)
{
    uint64_t deadline;

    if (__builtin_add_overflow(platform_now(loop->platform), nanoseconds, &deadline))
        deadline = UINT64_MAX;
    loop_wait(loop, never, NULL, deadline);
}
