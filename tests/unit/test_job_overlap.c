/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading back while writing goes on: that it happens where it may, and never too early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (32u * 1024 * 1024)
#define DISTANCE (4u * 1024 * 1024)
#define IN_FLIGHT (512u * 1024) /* what the laboratory's disk may have written before the job hears of it */
#define BLOCKS (DISK_BYTES / 512)

static struct lab lab;
static struct lab_disk *source;
static struct job_result result;
static uint64_t ticks;

static uint64_t tick(struct platform *platform)
{
    (void)platform;
    return ++ticks * NANOSECONDS_PER_MILLISECOND;
}

/* A disk full of what does not compress, whose image comes slowly. */
static int set_up(void **state)
{
    (void)state;
    lab_init(&lab, 1);
    lab.ops.now = tick;
    source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    uint32_t seed = 7;
    for (uint64_t at = lab_second_offset(source) + LAB_SECOND_BYTES; at < DISK_BYTES - 65536; at++)
        source->contents[at] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    struct job_request request = lab_capture_request(&lab, source);
    int status = lab_run(&lab, &request, NULL);
    lab.store.delay = 400;
    return status;
}

static int tear_down(void **state)
{
    (void)state;
    lab_disk_free(source);
    lab_free(&lab);
    return 0;
}

static struct lab_disk *new_target(enum block_bus bus)
{
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);

    target->device.bus = bus;
    target->keep_events = true;
    return target;
}

static struct job_request new_request(struct lab_disk *target, enum job_kind kind)
{
    struct job_request request = lab_restore_request(&lab, target);

    request.kind = kind;
    if (kind == JOB_CLONE)
        request.source = (struct job_end){.disk = &source->device};
    request.options.chunk_size = kind == JOB_CLONE ? LAB_CHUNK : 0;
    request.options.read_back_distance = DISTANCE;
    return request;
}

struct history {
    size_t written[BLOCKS], read[BLOCKS]; /* the event after the last one of the block; 0: none */
    uint64_t written_bytes[BLOCKS];       /* in all when the block was written */
};

static size_t last_write(const struct lab_disk *disk)
{
    size_t last = 0;

    for (size_t i = 0; i < disk->event_count; i++)
        if (disk->events[i].operation == BLOCK_WRITE && disk->events[i].lba * 512 >= HALF_RESTORED_BYTES)
            last = i;
    return last;
}

/*
 * Goes through what the disk was asked: a block is read after a flush that began when it had been written, at the distance
 * while writing goes on, and is not written after that. Returns the bytes read back before the last write.
 */
static uint64_t check_order(const struct lab_disk *disk)
{
    struct history *history = calloc(1, sizeof(*history));
    size_t last = last_write(disk), flush_began = 0, flushed = 0;
    uint64_t early = 0, bytes = 0;

    for (size_t i = 0; i < disk->event_count; i++) {
        const struct lab_event *event = &disk->events[i];
        bool reads = event->operation == BLOCK_READ, first_block = event->lba * 512 < HALF_RESTORED_BYTES;
        if (event->operation == BLOCK_FLUSH && !event->ended)
            flush_began = i;
        else if (event->operation == BLOCK_FLUSH)
            flushed = flush_began;
        if (event->operation == BLOCK_WRITE && event->ended)
            bytes += event->count * 512;
        for (uint64_t at = event->lba; at < event->lba + event->count; at++) {
            if (!reads && !first_block) {
                assert_int_equal(history->read[at], 0);
                history->written[at] = event->ended ? i + 1 : SIZE_MAX;
                history->written_bytes[at] = bytes;
            } else if (reads && !event->ended && history->written[at]) {
                assert_true(history->written[at] <= flushed);
                if (i < last && !first_block)
                    assert_true(bytes - history->written_bytes[at] >= DISTANCE - IN_FLIGHT);
                history->read[at] = i + 1;
                early += i < last ? 512 : 0;
            }
        }
    }
    free(history);
    return early;
}

static void run(enum block_bus bus, enum job_kind kind, bool overlaps)
{
    struct lab_disk *target = new_target(bus);
    struct job_request request = new_request(target, kind);

    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.verification, VERIFIED_READ_BACK);
    assert_int_equal(result.verified_bytes, result.written_bytes);
    lab_assert_restored(source, target, target->contents);
    uint64_t early = check_order(target);
    print_message("%llu KiB read back before the last write\n", (unsigned long long)early / 1024);
    if (overlaps)
        assert_true(early > DISK_BYTES / 4);
    else
        assert_int_equal(early, 0);
    lab_disk_free(target);
}

static void test_slow_image(void **state)
{
    (void)state;
    run(BUS_NVME, JOB_RESTORE, true);
    run(BUS_USB, JOB_RESTORE, true);
}

static void test_slow_source(void **state)
{
    (void)state;
    source->delay = 200;
    run(BUS_NVME, JOB_CLONE, true);
}

/* A disk that is never idle, or whose heads would move: one sweep at the end. */
static void test_busy_disk(void **state)
{
    (void)state;
    lab.store.delay = 0;
    run(BUS_USB, JOB_RESTORE, false);
    run(BUS_USB, JOB_CLONE, false);
}

static void test_lie_found_early(void **state)
{
    enum block_bus buses[] = {BUS_NVME, BUS_USB};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct lab_disk *target = new_target(buses[i]);
        struct job_request request = new_request(target, JOB_RESTORE);
        target->lie_block = lab_second_offset(source) / 512 + 100;
        assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MISMATCH);
        assert_int_equal(result.error.side, SIDE_TARGET);
        assert_true(result.written_bytes < DISK_BYTES * 3 / 4);
        assert_true(job_is_half_restored(target->contents, 512, NULL));
        check_order(target);
        lab_disk_free(target);
    }
}

static void test_flush_fails(void **state)
{
    (void)state;
    struct lab_disk *target = new_target(BUS_NVME);
    struct job_request request = new_request(target, JOB_RESTORE);
    target->bad_flush = 3; /* two belong to the mark */
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_IO);
    assert_int_equal(result.error.side, SIDE_TARGET);
    assert_int_equal(result.error.operation, OPERATION_FLUSH);
    assert_true(result.written_bytes < DISK_BYTES / 2);
    assert_true(job_is_half_restored(target->contents, 512, NULL));
    lab_disk_free(target);
}

/* Cancel, and power cuts: nothing is left in flight, and what is there boots nothing. */
static void test_ends_early(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 12; i++) {
        struct lab_disk *target = new_target(i & 1 ? BUS_NVME : BUS_USB);
        struct job_request request = new_request(target, JOB_RESTORE);
        if (i & 2)
            target->power_cut = 60 * i;
        lab.cancel = false;
        lab.cancel_after = i & 2 ? LAB_NEVER : 100 * i;
        assert_int_equal(lab_run(&lab, &request, &result), i & 2 ? -ERROR_GONE : -ERROR_CANCELLED);
        struct lab_disk *after = lab_disk_reborn(target);
        assert_true(job_is_half_restored(after->contents, 512, NULL));
        lab_disk_free(after);
        lab_disk_free(target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slow_image, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_source, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_busy_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lie_found_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flush_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_early, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
