/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe driver and controllers that hang, vanish, fail or lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/nvme_bench.h"

#define SECOND NANOSECONDS_PER_SECOND
#define REQUESTS NVME_BENCH_REQUESTS

/* ---- time-outs and resets ---- */

static void reset_ends_the_late_one_only(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    bench->model.deaf = true;
    bench->model.deaf_lba = 5 * 8;
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(nvme_bench_submit(bench, i, BLOCK_READ, i * 8, 8, (i == 5 ? 2 : 20) * SECOND), 0);
    nvme_bench_wait(bench, 10);
    assert_int_equal(bench->requests[5].status, -ERROR_TIMEOUT);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (i != 5)
            nvme_bench_check_read(bench, i);
    assert_int_equal(bench->model.resets, 1);
    assert_false(bench->device->dead);
    /* And it works on. */
    nvme_bench_submit_reads(bench, 0);
    nvme_bench_wait(bench, 5);
    nvme_bench_check_read(bench, 5);
}

static void aborted_ones_are_sent_again(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    bench->model.deaf = true;
    bench->model.ready_delay = SECOND / 2;
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(nvme_bench_submit(bench, i, BLOCK_READ, i * 8, 8, (i == 7 ? 2 : 30) * SECOND), 0);
    while (!bench->model.resets)
        loop_delay(&bench->loop, SECOND / 10);
    /* What arrives during the reset waits for its end. */
    struct block_request another = {.operation = BLOCK_READ, .count = 8, .buffer = &bench->buffer};
    assert_int_equal(block_submit(bench->device, &another), -ERROR_FULL);
    nvme_bench_wait(bench, 20);
    assert_int_equal(bench->requests[7].status, -ERROR_TIMEOUT);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (i != 7)
            nvme_bench_check_read(bench, i);
    assert_int_equal(bench->model.resets, 1);
}

static bool device_dead(void *context)
{
    return ((struct nvme_bench *)context)->device->dead;
}

static void assert_all_dead(struct nvme_bench *bench)
{
    uint64_t deadline = deadline_after(&bench->platform.platform, 30 * SECOND);
    assert_true(loop_wait(&bench->loop, device_dead, bench, deadline));
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_true(bench->requests[i].ended && bench->requests[i].status < 0);
    assert_true(bench->model.dma_stopped);
    memset(&bench->requests[0], 0, sizeof(bench->requests[0]));
    assert_int_equal(nvme_bench_submit(bench, 0, BLOCK_READ, 0, 8, 0), -ERROR_GONE);
}

static void deaf_for_ever(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.deaf_for_ever = true;
    nvme_bench_submit_reads(bench, 2 * SECOND);
    nvme_bench_wait(bench, 60);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_true(bench->requests[i].status < 0);
    assert_true(bench->model.resets <= 4);
}

static void reset_that_never_ends(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.deaf_for_ever = bench->model.never_disabled = true;
    nvme_bench_submit_reads(bench, 2 * SECOND);
    nvme_bench_wait(bench, 30); /* 2 s, and CAP.TO of 10 s */
    assert_all_dead(bench);
}

static void no_start_after_reset(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.deaf = bench->model.never_ready = true;
    nvme_bench_submit_reads(bench, 2 * SECOND);
    nvme_bench_wait(bench, 30);
    assert_all_dead(bench);
}

static void admin_queue_deaf_after_reset(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.deaf = true;
    bench->model.deaf_opcode = NVME_ADMIN_CREATE_SUBMISSION_QUEUE;
    nvme_bench_submit_reads(bench, 2 * SECOND);
    nvme_bench_wait(bench, 30);
    assert_all_dead(bench);
}

static void unplugged(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_submit_reads(bench, 0);
    bench->model.gone = true;
    nvme_bench_wait(bench, 1); /* not the deadline of a read */
    assert_all_dead(bench);
}

static void unplugged_during_a_reset(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.deaf = true;
    bench->model.ready_delay = SECOND;
    nvme_bench_submit_reads(bench, SECOND);
    while (!bench->model.resets)
        loop_delay(&bench->loop, SECOND / 10);
    bench->model.gone = true;
    nvme_bench_wait(bench, 1);
    assert_all_dead(bench);
}

static void fatal_status_is_reset_at_once(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    nvme_bench_submit_reads(bench, 0);
    bench->model.fatal = true;
    nvme_bench_wait(bench, 2);
    for (unsigned i = 0; i < REQUESTS; i++)
        nvme_bench_check_read(bench, i);
    assert_int_equal(bench->model.resets, 1);
}

/* A deadline that passes while the controller restarts is not the command's fault. */
static void fatal_and_slow_to_reset(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    bench->model.frozen = true;
    bench->model.ready_delay = 4 * SECOND;
    nvme_bench_submit_reads(bench, 6 * SECOND);
    loop_delay(&bench->loop, 5 * SECOND);
    bench->model.fatal = true;
    bench->model.frozen = false;
    nvme_bench_wait(bench, 20);
    for (unsigned i = 0; i < REQUESTS; i++)
        nvme_bench_check_read(bench, i);
    assert_int_equal(bench->model.resets, 1);
}

/* block.c gives it up: no DMA when the requests end. */
static void abandoned(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.frozen = true;
    nvme_bench_submit_reads(bench, 0);
    bench->device->ops->abandon(bench->device);
    loop_step(&bench->loop);
    assert_all_dead(bench);
}

static void fatal_for_ever(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_submit_reads(bench, 0);
    bench->model.fatal_for_ever = true;
    nvme_bench_wait(bench, 2);
    assert_all_dead(bench);
}

/* Power was lost for a moment, or its own firmware began anew. */
static void controller_that_resets_itself(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    bench->model.frozen = true;
    nvme_bench_submit_reads(bench, 0);
    loop_step(&bench->loop);
    bench->model.frozen = false;
    bench->model.cc = bench->model.csts = bench->model.pending_count = 0;
    nvme_bench_wait(bench, 2);
    for (unsigned i = 0; i < REQUESTS; i++)
        nvme_bench_check_read(bench, i);
}

/* ---- lies ---- */

static void survives_a_lie(void **state)
{
    static const enum nvme_model_lie lies[] = {LIE_COMMAND_ID, LIE_SLOT,  LIE_SUBMISSION_ID,
                                               LIE_HEAD,       LIE_TWICE, LIE_FLOOD};
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        memset(bench->buffer.data, 0, bench->buffer.size);
        bench->model.lie = lies[i];
        nvme_bench_submit_reads(bench, 5 * SECOND);
        nvme_bench_wait(bench, 20);
        for (unsigned k = 0; k < REQUESTS; k++)
            nvme_bench_check_read(bench, k);
        assert_int_equal(bench->model.resets, i + 1);
    }
}

/* An answer without its phase bit is none: the deadline finds it. */
static void wrong_phase(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    bench->model.lie = LIE_PHASE;
    assert_int_equal(nvme_bench_submit(bench, 0, BLOCK_READ, 0, 8, 3 * SECOND), 0);
    nvme_bench_wait(bench, 10);
    assert_int_equal(bench->requests[0].status, -ERROR_TIMEOUT);
    assert_int_equal(bench->model.resets, 1);
    nvme_bench_submit_reads(bench, 0);
    nvme_bench_wait(bench, 5);
    nvme_bench_check_read(bench, 0);
}

static void liar_for_ever(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.lie_for_ever = true;
    bench->model.lie = LIE_FLOOD;
    nvme_bench_submit_reads(bench, 5 * SECOND);
    nvme_bench_wait(bench, 60);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_true(bench->requests[i].status < 0);
}

/* It never tells the truth: a few resets in a row, then it is given up. */
static void resets_do_not_help(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    bench->model.lie_for_ever = true;
    bench->model.lie = LIE_COMMAND_ID;
    nvme_bench_submit_reads(bench, 5 * SECOND);
    nvme_bench_wait(bench, 60);
    assert_false(bench->device->dead);
    nvme_bench_submit_reads(bench, 5 * SECOND);
    nvme_bench_wait(bench, 60);
    assert_all_dead(bench);
    assert_true(test_platform_logged(&bench->platform, "resets do not help"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, nvme_bench_setup, nvme_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_ends_the_late_one_only),
        TEST(aborted_ones_are_sent_again),
        TEST(deaf_for_ever),
        TEST(reset_that_never_ends),
        TEST(no_start_after_reset),
        TEST(admin_queue_deaf_after_reset),
        TEST(unplugged),
        TEST(unplugged_during_a_reset),
        TEST(fatal_status_is_reset_at_once),
        TEST(fatal_and_slow_to_reset),
        TEST(abandoned),
        TEST(fatal_for_ever),
        TEST(controller_that_resets_itself),
        TEST(survives_a_lie),
        TEST(wrong_phase),
        TEST(liar_for_ever),
        TEST(resets_do_not_help),
    };
    return cmocka_run_group_tests_name("nvme faults", tests, NULL, NULL);
}
