/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a job says it stands on the disk: never further than it is, never backwards, and at the end when all is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (12u * 1024 * 1024)

static struct lab lab;
static struct lab_disk *source, *target;
static struct plan plan;
static struct job_result result;
static struct error error;

/* Fast, so that events come every few steps of the loop. */
static uint64_t clock_now;

static uint64_t now(struct platform *platform)
{
    (void)platform;
    return clock_now += 3 * NANOSECONDS_PER_MILLISECOND;
}

struct watcher {
    struct job_listener listener; /* first */
    const uint8_t *expected;      /* what the target holds in the end; NULL: not known */
    uint64_t distinct_written;    /* events at which written_position was another */
    unsigned phases[PHASE_FINISH + 1], first_partition[PHASE_FINISH + 1];
    struct job_progress last;
};

static void expect_position(const struct job_progress *progress, uint64_t position, uint64_t before)
{
    assert_true(position >= before);
    if (position)
        assert_in_range(position, progress->begin_position, progress->end_position);
}

static void see_progress(struct job_listener *listener, const struct job_progress *progress)
{
    struct watcher *watcher = (struct watcher *)listener;
    const struct job_progress *last = &watcher->last;
    uint64_t from = progress->begin_position + HALF_RESTORED_BYTES;

    expect_position(progress, progress->read_position, last->read_position);
    expect_position(progress, progress->written_position, last->written_position);
    expect_position(progress, progress->verified_position, last->verified_position);
    if (progress->written_position) {
        assert_true(progress->written_position <= progress->read_position);
        assert_true(progress->verified_position <= progress->written_position);
    }
    assert_true(progress->read_bytes >= last->read_bytes);
    assert_true(progress->processed_bytes >= last->processed_bytes);
    assert_true(progress->written_bytes >= last->written_bytes);
    assert_true(progress->verified_bytes >= last->verified_bytes);
    /* The tables at both ends are written last. */
    uint64_t to = progress->written_position, tail = progress->end_position - 33 * 512;
    to = to < tail ? to : tail;
    if (watcher->expected && to > from)
        assert_memory_equal(target->contents + from, watcher->expected + from, (size_t)(to - from));
    watcher->distinct_written += progress->written_position != last->written_position;
    if (!watcher->phases[progress->phase]++)
        watcher->first_partition[progress->phase] = progress->partition;
    watcher->last = *progress;
}

static int run(struct watcher *watcher, const struct job_request *request)
{
    watcher->listener = (struct job_listener){.progress = see_progress};
    assert_int_equal(job_plan(&lab.loop, request, &plan, &error), 0);
    int status = job_run(&lab.loop, &plan, &watcher->listener, &result);
    plan_free(&plan);
    return status;
}

static void expect_done(const struct job_progress *last, uint64_t begin, uint64_t end, bool written, bool verified)
{
    assert_int_equal(last->phase, PHASE_FINISH);
    assert_int_equal(last->begin_position, begin);
    assert_int_equal(last->end_position, end);
    assert_int_equal(last->read_position, end);
    assert_int_equal(last->written_position, written ? end : 0);
    assert_int_equal(last->verified_position, verified ? end : 0);
    assert_int_equal(last->written_bytes, result.written_bytes);
    assert_int_equal(last->verified_bytes, result.verified_bytes);
}

static int set_up(void **state)
{
    (void)state;
    int status = lab_begin_with_image(&lab, 1, DISK_BYTES, &source);

    lab.ops.now = now;
    target = NULL;
    return status;
}

static int tear_down(void **state)
{
    (void)state;
    lab_disk_free(source);
    lab_free(&lab);
    return 0;
}

static void test_capture(void **state)
{
    (void)state;
    for (unsigned partition = 0; partition < 3; partition++) {
        struct watcher watcher = {0};
        struct job_request request = lab_capture_request(&lab, source);
        uint64_t begin = partition == 0 ? 0 : partition == 1 ? LAB_FIRST_BLOCK * 512 : lab_second_offset(source);
        uint64_t bytes = partition == 0 ? DISK_BYTES : partition == 1 ? LAB_FIRST_BYTES : LAB_SECOND_BYTES;

        lab_new_store(&lab);
        request.source.partition = partition;
        assert_int_equal(run(&watcher, &request), 0);
        expect_done(&watcher.last, begin, begin + bytes, true, true);
        assert_int_equal(watcher.last.read_bytes, result.read_bytes);
        /* Compressed once, decoded once; zeroes are not decoded. */
        assert_in_range(watcher.last.processed_bytes, result.read_bytes, 2 * result.read_bytes);
        assert_true(watcher.distinct_written > (partition ? 2 : 10));
        assert_int_equal(watcher.first_partition[PHASE_COPY], partition);
        assert_int_equal(watcher.first_partition[PHASE_READ_BACK], partition);
        /* That image by itself, and of the whole disk's one partition. */
        for (unsigned only = 0; only < (partition ? 1 : 3); only++) {
            watcher = (struct watcher){0};
            request =
                (struct job_request){.kind = JOB_VERIFY, .source = {.store = &lab.store.store, .partition = only}};
            assert_int_equal(run(&watcher, &request), 0);
            uint64_t at = only == 2 ? lab_second_offset(source) : only ? LAB_FIRST_BLOCK * 512 : 0;
            uint64_t end = at + (only == 2 ? LAB_SECOND_BYTES : only ? LAB_FIRST_BYTES : bytes);
            expect_done(&watcher.last, at, end, false, true);
            assert_int_equal(watcher.first_partition[PHASE_READ_BACK], partition + only);
        }
    }
}

/* Twice on the same target: what the second run says it has written is compared with what the first one left. */
static void expect_target(struct job_request request, uint64_t bytes, unsigned partition, bool no_verify)
{
    uint64_t begin = partition == 2 ? lab_second_offset(source) : partition ? LAB_FIRST_BLOCK * 512 : 0;
    uint64_t end = partition == 2 ? begin + LAB_SECOND_BYTES : partition ? begin + LAB_FIRST_BYTES : bytes;
    uint8_t *expected = NULL;

    for (unsigned i = 0; i < 2; i++) {
        struct watcher watcher = {.expected = expected};
        target = partition ? lab_pc(&lab, "TARGET", bytes, 512) : lab_disk_create(&lab, "TARGET", bytes, 512, 0x5A);
        /* A run of zeroes takes many requests. */
        target->device.geometry.max_write_zeroes = 16 * 1024;
        request.target = (struct job_end){.disk = &target->device, .partition = partition};
        request.options.no_verify = no_verify;
        request.options.read_back_distance = 1024 * 1024;
        assert_int_equal(run(&watcher, &request), 0);
        expect_done(&watcher.last, begin, end, true, !no_verify);
        assert_true(watcher.distinct_written > (partition ? 2 : 10));
        assert_int_equal(watcher.first_partition[PHASE_COPY], partition);
        assert_int_equal(watcher.first_partition[PHASE_FINISH], 0);
        if (!expected)
            expected = memcpy(malloc(bytes), target->contents, bytes);
        lab_disk_free(target);
        target = NULL;
    }
    free(expected);
}

static void test_restore(void **state)
{
    (void)state;
    struct job_request request = {.kind = JOB_RESTORE, .source = {.store = &lab.store.store}};

    expect_target(request, DISK_BYTES, 0, false);
    expect_target(request, DISK_BYTES, 0, true);
    expect_target(request, DISK_BYTES + 5 * 1024 * 1024, 0, false);
    expect_target(request, DISK_BYTES - 64 * 1024, 0, false);
    for (unsigned partition = 1; partition < 3; partition++) {
        request.source.partition = partition;
        expect_target(request, DISK_BYTES, partition, false);
    }
}

static void test_clone(void **state)
{
    (void)state;
    struct job_request request = lab_capture_request(&lab, source);

    request.kind = JOB_CLONE;
    expect_target(request, DISK_BYTES, 0, false);
    expect_target(request, DISK_BYTES + 5 * 1024 * 1024, 0, false);
    request.source.partition = 2;
    expect_target(request, DISK_BYTES, 2, false);
}

/* A restore that goes on passes what it need not write. */
static void test_continue(void **state)
{
    (void)state;
    target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    struct watcher watcher = {0};

    target->lie_block = lab_second_offset(source) / 512 + 700;
    assert_int_equal(run(&watcher, &request), -ERROR_MISMATCH);
    target->lie_block = LAB_NEVER;
    request.options.resume = true;
    watcher = (struct watcher){0};
    assert_int_equal(run(&watcher, &request), 0);
    expect_done(&watcher.last, 0, DISK_BYTES, true, true);
    lab_disk_free(target);
    target = NULL;
}

static void test_verify_disk(void **state)
{
    (void)state;
    for (unsigned partition = 0; partition < 3; partition++) {
        struct watcher watcher = {0};
        struct job_request request = {.kind = JOB_VERIFY,
                                      .source = {.store = &lab.store.store, .partition = partition},
                                      .target = {.disk = &source->device, .partition = partition}};
        uint64_t begin = partition == 0 ? 0 : partition == 1 ? LAB_FIRST_BLOCK * 512 : lab_second_offset(source);
        uint64_t bytes = partition == 0 ? DISK_BYTES : partition == 1 ? LAB_FIRST_BYTES : LAB_SECOND_BYTES;

        assert_int_equal(run(&watcher, &request), 0);
        expect_done(&watcher.last, begin, begin + bytes, false, true);
        assert_int_equal(watcher.first_partition[PHASE_READ_BACK], partition);
    }
}

/* A job that fails at a block stands before it. */
static void test_failures(void **state)
{
    (void)state;
    const uint64_t block = lab_second_offset(source) / 512 + 700, at = block * 512;
    struct job_request request;

    for (unsigned which = 0; which < 3; which++) {
        struct watcher watcher = {0};
        target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
        request = lab_restore_request(&lab, target);
        if (which == 0) {
            target->bad_write = block;
            target->bad_write_count = 1;
        } else if (which == 1) {
            target->lie_block = block;
        } else {
            source->bad_read = block;
            source->bad_read_count = 1;
            request = lab_capture_request(&lab, source);
            lab_new_store(&lab);
        }
        assert_true(run(&watcher, &request) < 0);
        const uint64_t position = which == 0   ? watcher.last.written_position
                                  : which == 1 ? watcher.last.verified_position
                                               : watcher.last.read_position;
        assert_in_range(position, lab_second_offset(source) - 1024 * 1024, at);
        lab_disk_free(target);
        target = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_capture, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restore, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_continue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_verify_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
