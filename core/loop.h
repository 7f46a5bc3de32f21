/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop: the one place where an asynchronous core moves on.
 *
 * Devices, streams and fibers register a pollable. loop_step() polls each once (that reaps completions), dispatches the
 * completions that were reaped, and resumes fibers whose wait has ended. Polling may happen at any depth (a firmware call
 * that arrives inside another); completion callbacks run only from the outermost step, never inside submit or poll.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include "core/platform.h"

struct loop;
struct fiber;

/* Something that is polled. Embedded in its owner. */
struct pollable {
    bool (*poll)(struct pollable *pollable); /* true when something happened; must not block or dispatch */
    bool hold_events; /* no call may come in from outside during poll(), which is short (platform_hold_events) */
    struct pollable *next;
};

/* A finished piece of work whose callback waits for the outermost step. Embedded in requests. */
struct completion {
    void (*dispatch)(struct completion *completion);
    struct completion *next;
    bool queued;
};

struct loop {
    struct platform *platform;
    struct pollable *pollables;
    struct completion *first, **last; /* reaped, not yet dispatched, in order */
    struct fiber *fibers;             /* all live fibers */
    struct fiber *fibers_next;        /* where fibers_resume() stands */
    struct loop_cursor *cursors;      /* walks over the pollables that are under way (loop.c's own) */
    unsigned depth;                   /* nested loop_step() calls */
    /*
     * Called when a step found nothing to do: a chance to compute (compress a chunk). Returns true if it did something.
     * NULL: none.
     */
    bool (*idle)(void *context);
    void *idle_context;
    /*
     * Set while a call that came in from outside (a published disk) waits for something, on whatever stack and in the middle of
     * whatever step: then waiting is polling this one pollable, and nothing else moves. NULL: no such call.
     */
    struct pollable *inside;
};

void loop_init(struct loop *loop, struct platform *platform);
void loop_add(struct loop *loop, struct pollable *pollable);
/* Safe from inside a poll or a dispatch. Unknown pollables are ignored. */
void loop_remove(struct loop *loop, struct pollable *pollable);
/* Queues a completion; each is dispatched exactly once. */
void loop_complete(struct loop *loop, struct completion *completion);
/* Takes a queued completion back (its owner goes away). */
void loop_forget(struct loop *loop, struct completion *completion);

/* Polls, dispatches, resumes. True when anything happened. Inside another step it only polls. */
bool loop_step(struct loop *loop);
/*
 * Only polls, also when no step is under way: for calls that come from outside (published disks). What has no callback
 * (a request with done NULL) is seen to end here; what has one is dispatched by the next outermost step.
 */
bool loop_poll(struct loop *loop);
/*
 * Runs until done(context) is true; returns true, or false at the deadline (UINT64_MAX: none). On a fiber it yields to the loop,
 * elsewhere it steps the loop itself, calls idle, and lets the platform wait when there is nothing to do. Inside another step
 * (from a completion callback) it only polls, so `done` must not depend on a callback there. In a call from outside it polls
 * loop->inside.
 */
bool loop_wait(struct loop *loop, bool (*done)(void *context), void *context, uint64_t deadline);
/* The same for a flag that a completion callback sets. */
bool loop_wait_flag(struct loop *loop, const bool *flag, uint64_t deadline);
/* Lets `nanoseconds` pass, the loop running. */
void loop_delay(struct loop *loop, uint64_t nanoseconds);

#endif
