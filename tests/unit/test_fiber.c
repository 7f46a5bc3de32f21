/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <xmmintrin.h>

#include <cmocka.h>

#include "core/error.h"
#include "core/fiber.h"
#include "core/library.h"
#include "tests/support/test_platform.h"

static struct test_platform test;
static struct loop loop;

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    assert_null(loop.fibers);
    assert_null(fiber_current());
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
    return 0;
}

static uint64_t after(uint64_t nanoseconds)
{
    return deadline_after(&test.platform, nanoseconds);
}

struct counter {
    unsigned turns, limit;
    bool go;
    uint32_t mxcsr;
    uint16_t control_word;
    bool stack_aligned;
};

static void count_and_yield(void *context)
{
    struct counter *counter = context;

    while (counter->turns < counter->limit) {
        counter->turns++;
        loop_delay(&loop, NANOSECONDS_PER_MILLISECOND);
    }
}

static void fibers_take_turns(void **unused)
{
    struct counter counters[3] = {{.limit = 5}, {.limit = 5}, {.limit = 9}};
    struct fiber *fibers[3];

    (void)unused;
    for (unsigned i = 0; i < 3; i++)
        fibers[i] = fiber_start(&loop, "counter", 0, 4096, count_and_yield, &counters[i]);
    assert_int_equal(counters[0].turns, 0);
    loop_step(&loop);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(counters[i].turns, 1);
    loop_delay(&loop, NANOSECONDS_PER_SECOND);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(counters[i].turns, counters[i].limit);
        assert_true(fiber_finished(fibers[i]));
        assert_false(fiber_abandoned(fibers[i]));
        fiber_destroy(fibers[i]);
    }
}

static void wait_for_go(void *context)
{
    struct counter *counter = context;

    if (!loop_wait_flag(&loop, &counter->go, after(NANOSECONDS_PER_SECOND)))
        counter->turns = 100;
    loop_wait_flag(&loop, &counter->go, UINT64_MAX);
    counter->turns++;
}

static void waits_on_a_fiber_have_deadlines(void **unused)
{
    struct counter counter = {0};
    struct fiber *fiber = fiber_start(&loop, "waiter", 0, 4096, wait_for_go, &counter);

    (void)unused;
    loop_delay(&loop, 2 * NANOSECONDS_PER_SECOND);
    assert_int_equal(counter.turns, 100);
    counter.go = true;
    loop_step(&loop);
    assert_int_equal(counter.turns, 101);
    assert_true(fiber_finished(fiber));
    fiber_destroy(fiber);
}

static void look_at_the_processor(void *context)
{
    struct counter *counter = context;
    char aligned[16] __attribute__((aligned(16)));
    uint16_t changed;

    counter->stack_aligned = ((uintptr_t)__builtin_frame_address(0) & 15) == 0 && ((uintptr_t)aligned & 15) == 0;
    counter->mxcsr = _mm_getcsr();
    __asm__ volatile("fnstcw %0" : "=m"(counter->control_word));
    _mm_setcsr(counter->mxcsr | 0x6000); /* round towards zero */
    changed = counter->control_word | 0x0c00;
    __asm__ volatile("fldcw %0" : : "m"(changed));
    loop_delay(&loop, NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(_mm_getcsr() & 0x6000, 0x6000);
    __asm__ volatile("fnstcw %0" : "=m"(changed));
    assert_int_equal(changed & 0x0c00, 0x0c00);
}

/* Rounding modes are a fiber's own, the loop's stay. */
static void floating_point_control_is_preserved(void **unused)
{
    struct counter counter = {0};
    uint32_t mxcsr = _mm_getcsr() & 0xffc0;
    uint16_t control_word, later;

    (void)unused;
    __asm__ volatile("fnstcw %0" : "=m"(control_word));
    struct fiber *fiber = fiber_start(&loop, "rounding", 0, 4096, look_at_the_processor, &counter);
    for (unsigned i = 0; i < 3; i++) {
        loop_delay(&loop, NANOSECONDS_PER_MILLISECOND);
        __asm__ volatile("fnstcw %0" : "=m"(later));
        assert_int_equal(_mm_getcsr() & 0xffc0, mxcsr);
        assert_int_equal(later, control_word);
    }
    assert_true(fiber_finished(fiber));
    assert_true(counter.stack_aligned);
    assert_int_equal(counter.mxcsr & 0xffc0, mxcsr);
    assert_int_equal(counter.control_word, control_word);
    fiber_destroy(fiber);
}

static int answer(void *context)
{
    void *memory = library_malloc(1000);

    assert_non_null(fiber_current());
    assert_non_null(memory);
    loop_delay(&loop, NANOSECONDS_PER_SECOND);
    return *(int *)context;
}

static int answer_from_inside(void *context)
{
    return 1 + fiber_call(&loop, "inner", 0, 4096, UINT64_MAX, answer, context);
}

static int hang(void *context)
{
    library_malloc(10000);
    loop_wait_flag(&loop, context, UINT64_MAX);
    return 0;
}

static int exits(void *context)
{
    (void)context;
    library_malloc(10000);
    library_exit(1);
}

/* Answers, hangs, exits: the caller gets a result, and all memory comes back. */
static void calls(void **unused)
{
    int value = 42;
    bool flag = false;

    (void)unused;
    assert_int_equal(fiber_call(&loop, "call", 0, 1 << 20, UINT64_MAX, answer, &value), 42);
    assert_int_equal(fiber_call(&loop, "call", 0, 1 << 20, UINT64_MAX, answer_from_inside, &value), 43);
    assert_int_equal(fiber_call(&loop, "call", 0, 1 << 20, after(NANOSECONDS_PER_SECOND), hang, &flag), -ERROR_TIMEOUT);
    assert_int_equal(fiber_call(&loop, "call", 0, 1 << 20, UINT64_MAX, exits, NULL), -ERROR_ABORTED);
    for (long i = 0; i < 3; i++) {
        test.fail_after = i;
        assert_int_equal(fiber_call(&loop, "call", 0, 1 << 20, UINT64_MAX, answer, &value), -ERROR_NO_MEMORY);
        assert_int_equal(test.allocations, 0);
    }
}

struct cleaning {
    struct fiber_cleanup first, second, gone;
    struct pollable pollable;
    bool ready;
    unsigned polls, order, first_at, second_at;
};

static bool cleaning_ready(void *context)
{
    return ((struct cleaning *)context)->ready;
}

static void cleaning_first(void *context)
{
    struct cleaning *cleaning = context;

    cleaning->first_at = ++cleaning->order;
}

static void cleaning_second(void *context)
{
    struct cleaning *cleaning = context;

    assert_true(cleaning->ready);
    cleaning->second_at = ++cleaning->order;
}

static bool cleaning_poll(struct pollable *pollable)
{
    struct cleaning *cleaning = (struct cleaning *)((char *)pollable - offsetof(struct cleaning, pollable));

    cleaning->ready = ++cleaning->polls > 20;
    return false;
}

static int leaves_things_behind(void *context)
{
    struct cleaning *cleaning = context;
    static const bool never;

    cleaning->first = (struct fiber_cleanup){.run = cleaning_first, .context = cleaning};
    cleaning->second = (struct fiber_cleanup){.ready = cleaning_ready, .run = cleaning_second, .context = cleaning};
    cleaning->gone = (struct fiber_cleanup){.run = cleaning_first, .context = cleaning};
    fiber_cleanup_push(&cleaning->first);
    fiber_cleanup_push(&cleaning->gone);
    fiber_cleanup_push(&cleaning->second);
    fiber_cleanup_pop(&cleaning->gone);
    loop_wait_flag(&loop, &never, UINT64_MAX);
    return 0;
}

/* The newest first, after the loop has run until it may be dropped. */
static void dropped_fibers_are_cleaned_up(void **unused)
{
    struct cleaning cleaning = {.pollable.poll = cleaning_poll};

    (void)unused;
    loop_add(&loop, &cleaning.pollable);
    assert_int_equal(
        fiber_call(&loop, "call", 0, 4096, after(50 * NANOSECONDS_PER_MILLISECOND), leaves_things_behind, &cleaning),
        -ERROR_TIMEOUT);
    assert_true(cleaning.ready);
    assert_int_equal(cleaning.second_at, 1);
    assert_int_equal(cleaning.first_at, 2);
}

static void smash_the_stack_end(void *context)
{
    memset(context, 0, 8);
    loop_delay(&loop, NANOSECONDS_PER_SECOND);
    fail_msg("a fiber that left its stack was resumed");
}

static void an_overflown_stack_is_noticed(void **unused)
{
    (void)unused;
    /* Where the stack will be is known only after the start; the platform remembers. */
    struct fiber *fiber = fiber_start(&loop, "deep", 65536, 4096, smash_the_stack_end, NULL);
    void *stack = test.last_guarded;
    fiber_destroy(fiber);
    fiber = fiber_start(&loop, "deep", 65536, 4096, smash_the_stack_end, stack);
    if (test.last_guarded != stack) {
        fiber_destroy(fiber);
        skip();
    }
    loop_step(&loop);
    assert_true(fiber_finished(fiber));
    assert_true(fiber_abandoned(fiber));
    assert_true(test_platform_logged(&test, "deep: ran out of its stack"));
    fiber_destroy(fiber);
    /* The stack is not used again: what a device may still hold could be on it. */
    assert_int_equal(test.allocations, 1);
    test.ops.release_guarded(&test.platform, stack, 65536);
}

struct destroyer {
    struct fiber *victim;
    bool done;
};

static void destroy_the_other(void *context)
{
    struct destroyer *destroyer = context;

    fiber_destroy(destroyer->victim);
    destroyer->done = true;
}

/* A fiber may drop the one that would be resumed next. */
static void fibers_destroy_fibers(void **unused)
{
    struct counter counter = {.limit = 100};
    struct destroyer destroyer = {0};

    (void)unused;
    struct fiber *fiber = fiber_start(&loop, "destroyer", 0, 4096, destroy_the_other, &destroyer);
    destroyer.victim = fiber_start(&loop, "victim", 0, 4096, count_and_yield, &counter);
    loop_step(&loop);
    loop_step(&loop);
    assert_true(destroyer.done);
    assert_int_equal(counter.turns, 0);
    fiber_destroy(fiber);
    fiber_destroy(NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fibers_take_turns),
        TEST(waits_on_a_fiber_have_deadlines),
        TEST(floating_point_control_is_preserved),
        TEST(calls),
        TEST(dropped_fibers_are_cleaned_up),
        TEST(an_overflown_stack_is_noticed),
        TEST(fibers_destroy_fibers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
