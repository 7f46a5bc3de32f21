/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI disks that tell of what went wrong before in the answer to something else: nobody may miss it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/scsi_bench.h"

static bool tells_once(struct scsi_target *target, struct scsi_command *command, uint8_t opcode, uint8_t format,
                       uint8_t key, uint8_t code)
{
    if (command->cdb[0] != opcode || target->step++)
        return false;
    scsi_target_refuse(command, key, code, 0);
    command->sense[0] = format;
    return true;
}

static bool deferred_at_a_look(struct scsi_target *target, struct scsi_command *command)
{
    return tells_once(target, command, SCSI_TEST_UNIT_READY, 0x71, SCSI_MEDIUM_ERROR, 0x0c);
}

static bool reset_at_a_look(struct scsi_target *target, struct scsi_command *command)
{
    return tells_once(target, command, SCSI_TEST_UNIT_READY, 0x70, SCSI_UNIT_ATTENTION, SCSI_ASC_RESET);
}

static bool deferred_at_the_start(struct scsi_target *target, struct scsi_command *command)
{
    return tells_once(target, command, SCSI_START_STOP_UNIT, 0x71, SCSI_MEDIUM_ERROR, 0x0c);
}

/* Somebody looks whether the medium is still there, between the write and the flush: the news is not lost. */
static void a_look_does_not_swallow_bad_news(void **state)
{
    bool (*const answers[])(struct scsi_target * target, struct scsi_command * command) = {deferred_at_a_look,
                                                                                           reset_at_a_look};
    struct scsi_bench *bench = *state;

    bench->target.inquiry[1] = 0x80;
    scsi_bench_disk(bench);
    for (unsigned i = 0; i < 2; i++) {
        bench->target.answer = NULL;
        assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
        bench->target.step = 0;
        bench->target.answer = answers[i];
        assert_true(scsi_disk_check(bench->disk));
        assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), -ERROR_IO);
        assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), 0);
    }
}

static bool stopped_once(struct scsi_target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_READ_10 || target->seen[SCSI_START_STOP_UNIT])
        return deferred_at_the_start(target, command);
    scsi_target_refuse(command, SCSI_NOT_READY, SCSI_ASC_NOT_READY, SCSI_ASCQ_START_NEEDED);
    return true;
}

static void a_start_does_not_swallow_bad_news(void **state)
{
    struct scsi_bench *bench = *state;

    scsi_bench_disk(bench);
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    bench->target.answer = stopped_once;
    assert_int_equal(scsi_bench_run(bench, BLOCK_READ, 0, 1), 0);
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), -ERROR_IO);
}

static bool changed_at_the_start(struct scsi_target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_READ_10 || target->seen[SCSI_START_STOP_UNIT])
        return tells_once(target, command, SCSI_START_STOP_UNIT, 0x70, SCSI_UNIT_ATTENTION, SCSI_ASC_MEDIUM_CHANGED);
    scsi_target_refuse(command, SCSI_NOT_READY, SCSI_ASC_NOT_READY, SCSI_ASCQ_START_NEEDED);
    return true;
}

static void a_start_does_not_swallow_a_change_of_the_medium(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.inquiry[1] = 0x80;
    struct block_device *device = scsi_bench_disk(bench);
    bench->target.answer = changed_at_the_start;
    assert_int_equal(scsi_bench_run(bench, BLOCK_READ, 0, 1), -ERROR_GONE);
    assert_true(device->dead);
    assert_int_equal(bench->target.seen[SCSI_READ_10], 1);
}

/* What went wrong before us is in the log, and no failure of our flush. */
static void news_from_before_us_are_not_ours(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.answer = deferred_at_a_look;
    scsi_bench_disk(bench);
    assert_true(test_platform_logged(&bench->platform, "an earlier write failed afterwards"));
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), 0);
}

static bool deferred_at_the_last_flush(struct scsi_target *target, struct scsi_command *command)
{
    return tells_once(target, command, SCSI_SYNCHRONIZE_CACHE_10, 0x71, SCSI_MEDIUM_ERROR, 0x0c);
}

static void the_last_flush_hears_bad_news(void **state)
{
    struct scsi_bench *bench = *state;

    scsi_bench_disk(bench);
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    bench->target.answer = deferred_at_the_last_flush;
    scsi_disk_destroy(bench->disk);
    bench->disk = NULL;
    assert_int_equal(bench->target.seen[SCSI_SYNCHRONIZE_CACHE_10], 2);
    assert_true(test_platform_logged(&bench->platform, "an earlier write failed afterwards"));
}

static bool reset_at_a_write(struct scsi_target *target, struct scsi_command *command)
{
    return tells_once(target, command, SCSI_WRITE_10, 0x70, SCSI_UNIT_ATTENTION, SCSI_ASC_RESET);
}

/* A question of our own that was not answered had the device reset: that is no surprise. */
static void a_reset_for_a_question_of_our_own(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.inquiry[1] = 0x80;
    scsi_bench_disk(bench);
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    bench->target.silent = true;
    assert_true(scsi_disk_check(bench->disk));
    assert_int_equal(bench->target.recoveries, 1);
    bench->target.silent = false;
    bench->target.answer = reset_at_a_write;
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), 0);
}

static bool reset_at_a_flush(struct scsi_target *target, struct scsi_command *command)
{
    return tells_once(target, command, SCSI_SYNCHRONIZE_CACHE_10, 0x70, SCSI_UNIT_ATTENTION, SCSI_ASC_RESET);
}

/* Brought back by us without a word about it, it went on well. What it says much later is about something else. */
static void a_reset_long_after_ours(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_request requests[2];
    struct block_device *device = scsi_bench_disk(bench);

    bench->target.has_fiber = bench->target.silent = true;
    for (unsigned i = 0; i < 2; i++) {
        requests[i] = (struct block_request){.operation = BLOCK_WRITE,
                                             .lba = i,
                                             .count = 1,
                                             .buffer = &bench->buffer,
                                             .timeout = (i + 1) * NANOSECONDS_PER_SECOND};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    assert_true(loop_wait_flag(&bench->loop, &requests[0].ended, UINT64_MAX));
    assert_int_equal(requests[0].status, -ERROR_TIMEOUT);
    bench->target.silent = false;
    assert_true(loop_wait_flag(&bench->loop, &requests[1].ended, UINT64_MAX));
    assert_int_equal(requests[1].status, 0);
    bench->target.answer = reset_at_a_flush;
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), -ERROR_IO);
}

/* Said at once, it is our own reset, also where good answers from before it come in behind those that were taken back. */
static void our_own_reset_is_no_surprise(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_request requests[3];
    struct block_device *device = scsi_bench_disk(bench);

    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    bench->target.silent = true;
    for (unsigned i = 0; i < 3; i++) {
        requests[i] = (struct block_request){
            .operation = BLOCK_WRITE, .lba = i, .count = 1, .buffer = &bench->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct scsi_command *command = bench->target.held[i];
        command->status = i == 2 ? 0 : -ERROR_ABORTED;
        if (i == 2)
            scsi_target_good(command, NULL, command->length);
    }
    struct scsi_command *held[3] = {bench->target.held[0], bench->target.held[1], bench->target.held[2]};
    bench->target.count = 0;
    for (unsigned i = 0; i < 3; i++)
        held[i]->done(held[i]);
    bench->target.silent = false;
    bench->target.answer = reset_at_a_write;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(loop_wait_flag(&bench->loop, &requests[i].ended, UINT64_MAX));
        assert_int_equal(requests[i].status, 0);
    }
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scsi_bench_setup, scsi_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_look_does_not_swallow_bad_news),
        TEST(a_start_does_not_swallow_bad_news),
        TEST(a_start_does_not_swallow_a_change_of_the_medium),
        TEST(news_from_before_us_are_not_ours),
        TEST(the_last_flush_hears_bad_news),
        TEST(a_reset_for_a_question_of_our_own),
        TEST(a_reset_long_after_ours),
        TEST(our_own_reset_is_no_surprise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
