/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/loop.h"
#include "tests/support/test_platform.h"

struct item {
    struct pollable pollable;
    struct completion completion;
    struct loop *loop;
    struct item *other;
    unsigned polled, dispatched, nested_dispatches, depth;
    bool flag;
};

static struct test_platform test;
static struct loop loop;
static struct item items[4];

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    memset(items, 0, sizeof(items));
    for (unsigned i = 0; i < 4; i++)
        items[i].loop = &loop;
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    test_platform_end(&test);
    return 0;
}

static struct item *item_of_pollable(struct pollable *pollable)
{
    return (struct item *)((char *)pollable - offsetof(struct item, pollable));
}

static struct item *item_of_completion(struct completion *completion)
{
    return (struct item *)((char *)completion - offsetof(struct item, completion));
}

static bool poll_counts(struct pollable *pollable)
{
    item_of_pollable(pollable)->polled++;
    return false;
}

static bool poll_removes_others(struct pollable *pollable)
{
    struct item *item = item_of_pollable(pollable);

    item->polled++;
    loop_remove(item->loop, &items[1].pollable);
    loop_remove(item->loop, &items[2].pollable);
    loop_remove(item->loop, pollable);
    return true;
}

/* Pollables may take any others, and themselves, out of the loop while it walks over them. */
static void removal_while_polling(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 4; i++) {
        items[i].pollable.poll = i ? poll_counts : poll_removes_others;
        loop_add(&loop, &items[i].pollable);
        loop_add(&loop, &items[i].pollable);
    }
    assert_true(loop_step(&loop));
    assert_false(loop_step(&loop));
    assert_int_equal(items[0].polled, 1);
    assert_int_equal(items[1].polled, 0);
    assert_int_equal(items[2].polled, 0);
    assert_int_equal(items[3].polled, 2);
    loop_remove(&loop, &items[1].pollable);
}

static bool poll_steps_the_loop(struct pollable *pollable)
{
    struct item *item = item_of_pollable(pollable);

    if (item->polled++)
        return false;
    loop_complete(item->loop, &item->completion);
    loop_step(item->loop);
    item->nested_dispatches = item->dispatched;
    return true;
}

static void dispatch_counts(struct completion *completion)
{
    struct item *item = item_of_completion(completion);

    item->dispatched++;
    item->depth = item->loop->depth;
}

/* A step inside a step polls and dispatches nothing. */
static void only_the_outermost_step_dispatches(void **unused)
{
    (void)unused;
    items[0].pollable.poll = poll_steps_the_loop;
    items[0].completion.dispatch = dispatch_counts;
    loop_add(&loop, &items[0].pollable);
    loop_step(&loop);
    assert_int_equal(items[0].polled, 2);
    assert_int_equal(items[0].nested_dispatches, 0);
    assert_int_equal(items[0].dispatched, 1);
    assert_int_equal(items[0].depth, 1);
}

static void polling_alone_dispatches_nothing(void **unused)
{
    (void)unused;
    items[0].completion.dispatch = dispatch_counts;
    loop_complete(&loop, &items[0].completion);
    loop_poll(&loop);
    assert_int_equal(items[0].dispatched, 0);
    loop_step(&loop);
    assert_int_equal(items[0].dispatched, 1);
}

static void dispatch_completes_another(struct completion *completion)
{
    struct item *item = item_of_completion(completion);

    dispatch_counts(completion);
    loop_complete(item->loop, &item->other->completion);
    loop_complete(item->loop, &item->other->completion);
}

static void completions_are_dispatched_once_in_order(void **unused)
{
    (void)unused;
    items[0].completion.dispatch = dispatch_completes_another;
    items[0].other = &items[1];
    items[1].completion.dispatch = items[2].completion.dispatch = dispatch_counts;
    loop_complete(&loop, &items[0].completion);
    loop_complete(&loop, &items[2].completion);
    loop_complete(&loop, &items[0].completion);
    loop_forget(&loop, &items[2].completion);
    loop_forget(&loop, &items[3].completion);
    assert_true(loop_step(&loop));
    assert_int_equal(items[0].dispatched, 1);
    assert_int_equal(items[1].dispatched, 1);
    assert_int_equal(items[2].dispatched, 0);
    assert_false(loop_step(&loop));
    loop_complete(&loop, &items[2].completion);
    assert_true(loop_step(&loop));
    assert_int_equal(items[2].dispatched, 1);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static void waits_end_at_their_deadline(void **unused)
{
    (void)unused;
    uint64_t before = platform_now(&test.platform);
    assert_false(loop_wait(&loop, never, NULL, before + 3 * NANOSECONDS_PER_SECOND));
    uint64_t after = platform_now(&test.platform);
    assert_true(after - before >= 3 * NANOSECONDS_PER_SECOND);
    assert_true(after - before < 3 * NANOSECONDS_PER_SECOND + 20 * NANOSECONDS_PER_MILLISECOND);
    assert_true(test.waits > 0);
    loop_delay(&loop, NANOSECONDS_PER_SECOND);
    assert_true(platform_now(&test.platform) - after >= NANOSECONDS_PER_SECOND);
}

static void dispatch_sets_flag(struct completion *completion)
{
    item_of_completion(completion)->flag = true;
}

static bool idle_finishes_work(void *context)
{
    struct item *item = context;

    if (item->polled++ < 10)
        return true;
    if (item->polled == 11)
        loop_complete(item->loop, &item->completion);
    return false;
}

/* The idle hook is called while nothing else happens; the platform waits only when it has nothing to do either. */
static void idle_computes(void **unused)
{
    (void)unused;
    items[0].completion.dispatch = dispatch_sets_flag;
    loop.idle = idle_finishes_work;
    loop.idle_context = &items[0];
    assert_true(loop_wait_flag(&loop, &items[0].flag, UINT64_MAX));
    assert_int_equal(items[0].polled, 11);
    assert_int_equal(test.waits, 1);
}

static void dispatch_waits(struct completion *completion)
{
    struct item *item = item_of_completion(completion);

    /* Nothing is dispatched in here, so the other one's flag cannot come true; the wait ends all the same. */
    loop_complete(item->loop, &item->other->completion);
    item->flag =
        loop_wait_flag(item->loop, &item->other->flag, deadline_after(item->loop->platform, NANOSECONDS_PER_SECOND));
    item->dispatched++;
}

static void a_wait_inside_a_callback_only_polls(void **unused)
{
    (void)unused;
    items[0].completion.dispatch = dispatch_waits;
    items[0].other = &items[1];
    items[1].completion.dispatch = dispatch_sets_flag;
    items[2].pollable.poll = poll_counts;
    loop_add(&loop, &items[2].pollable);
    loop_complete(&loop, &items[0].completion);
    loop_step(&loop);
    assert_int_equal(items[0].dispatched, 1);
    assert_false(items[0].flag);
    assert_true(items[1].flag);
    assert_true(items[2].polled > 10);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(removal_while_polling),
        TEST(only_the_outermost_step_dispatches),
        TEST(polling_alone_dispatches_nothing),
        TEST(completions_are_dispatched_once_in_order),
        TEST(waits_end_at_their_deadline),
        TEST(idle_computes),
        TEST(a_wait_inside_a_callback_only_polls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
