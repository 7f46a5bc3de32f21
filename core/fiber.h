/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fibers: synchronous libraries (libext2fs, libntfs-3g) in an asynchronous core.
 *
 * A fiber has its own guarded stack and its own memory arena. Code on it calls loop_wait() and friends, which yield to the loop.
 * What the libraries allocate (core/library.h) comes from the arena; a fiber that hangs, exits or eats memory is dropped
 * together with its stack and arena, and nothing else is lost.
 */
#ifndef CORE_FIBER_H
#define CORE_FIBER_H

#include "core/loop.h"

#define FIBER_STACK_DEFAULT (256 * 1024)

struct fiber;

/*
 * Starts `entry(context)` at the next loop step. stack_size and arena_limit in bytes (arena grows up to the limit). NULL: no
 * memory. `name` is for logs, static storage.
 */
struct fiber *fiber_start(struct loop *loop, const char *name, size_t stack_size, size_t arena_limit,
                          void (*entry)(void *context), void *context);
/* The fiber that runs now; NULL on the loop's own stack. */
struct fiber *fiber_current(void);
bool fiber_finished(const struct fiber *fiber);
/* True when the fiber ended through fiber_abandon() (a library called exit() or ran out of its arena fatally). */
bool fiber_abandoned(const struct fiber *fiber);
/* Ends the running fiber where it stands; does not return. */
_Noreturn void fiber_abandon(void);
/*
 * Frees stack and arena. The fiber need not be finished: an unfinished one is dropped, after what it left behind has been
 * cleaned up (below; may run the loop). Not from inside the fiber. NULL is fine.
 */
void fiber_destroy(struct fiber *fiber);

/*
 * What code on a fiber would leave behind if the fiber were dropped in the middle of it: a request in flight on the fiber's
 * stack, a buffer. Embedded in the code's frame. When the fiber is dropped or abandoned, the newest first: the loop
 * runs until ready(context) is true (NULL: at once; it must become true by itself, by polling alone), then run(context)
 * is called on the dropper's stack. Outside a fiber both calls do nothing.
 */
struct fiber_cleanup {
    bool (*ready)(void *context);
    void (*run)(void *context); /* may be NULL */
    void *context;
    struct fiber_cleanup *next;
};
void fiber_cleanup_push(struct fiber_cleanup *cleanup);
void fiber_cleanup_pop(struct fiber_cleanup *cleanup);

/* Yields until done(context), or the deadline; used by loop_wait(). */
bool fiber_wait(bool (*done)(void *context), void *context, uint64_t deadline);
/* Called by loop_step(): resumes fibers whose wait has ended. True when one ran. */
bool fibers_resume(struct loop *loop);

/*
 * Convenience for calls into a library: runs call(context) on a fresh fiber and waits for its end.
 * Returns call's result, or -ERROR_TIMEOUT at the deadline, -ERROR_ABORTED when it was abandoned, -ERROR_NO_MEMORY.
 * When already on a fiber, call runs there directly.
 */
int fiber_call(struct loop *loop, const char *name, size_t stack_size, size_t arena_limit, uint64_t deadline,
               int (*call)(void *context), void *context);

/* The arena of the running fiber, for core/library.c; NULL outside a fiber. */
struct arena *fiber_arena(void);

#endif
