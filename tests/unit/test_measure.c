/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast a disk is: what is sent to it for that, and what is said when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/measure.h"
#include "tests/support/emulated_device.h"
#include "tests/support/test_platform.h"

#define KIB 1024
#define BLOCK 512
#define LATENCY NANOSECONDS_PER_MILLISECOND
#define TIME (100 * LATENCY)

static struct test_platform test;
static struct loop loop;
static struct emulated_device disk;
static struct measurement measured;
static struct error error;

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    memset(&disk, 0, sizeof(disk));
    memset(&error, 0, sizeof(error));
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    emulated_end(&disk);
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
    return 0;
}

static void start(struct emulated_options options)
{
    options.latency = LATENCY;
    emulated_start(&disk, &loop, &options);
    emulated_fill(&disk, 1);
}

/* One run of requests that follow each other and begin again at the start. Returns how often they did. */
static unsigned check_journal(enum block_operation operation, uint64_t count)
{
    uint64_t expected = 0;
    unsigned rounds = 0;

    for (size_t i = 0; i < measured.requests; i++) {
        if (expected + count > disk.device.geometry.block_count)
            expected = 0;
        rounds += expected == 0;
        assert_int_equal(disk.journal[i].operation, operation);
        assert_int_equal(disk.journal[i].lba, expected);
        assert_int_equal(disk.journal[i].count, count);
        expected += count;
    }
    return rounds;
}

static void reads_change_nothing(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = 4});
    assert_int_equal(measure_reads(&disk.device, 16 * KIB, 4, TIME, &measured, &error), 0);
    assert_true(emulated_untouched(&disk));
    assert_int_equal(disk.requests[BLOCK_FLUSH], 0);
    assert_int_equal(disk.most_in_flight, 4);
    check_journal(BLOCK_READ, 16 * KIB / BLOCK);
    assert_int_equal(measured.requests, disk.requests[BLOCK_READ]);
    assert_int_equal(measured.bytes, disk.bytes_read);
    assert_true(measured.nanoseconds >= TIME && measured.nanoseconds < TIME + 2 * LATENCY);
}

static void writes_fill_the_disk_again_and_again(void **unused)
{
    (void)unused;
    /* Nine requests and a half. */
    start((struct emulated_options){.queue_depth = 4, .block_count = 9 * 32 + 16});
    assert_int_equal(measure_writes(&disk.device, 16 * KIB, 4, TIME, &measured, &error), 0);
    assert_true(check_journal(BLOCK_WRITE, 16 * KIB / BLOCK) > 2);
    assert_int_equal(measured.bytes, disk.bytes_written);
    assert_int_equal(measured.bytes, measured.requests * 16 * KIB);
    assert_true(emulated_wrote_to(&disk, 9 * 32 - 1, 1));
    assert_false(emulated_wrote_to(&disk, 9 * 32, 16));
    /* One flush, at the very end: all that was written is safe. */
    assert_int_equal(disk.requests[BLOCK_FLUSH], 1);
    assert_int_equal(disk.journal[disk.journal_count - 1].operation, BLOCK_FLUSH);
    assert_memory_equal(disk.contents, disk.stable, 9 * 16 * KIB);
}

/* A disk that makes zeroes or repeated blocks cheap would be measured wrong. */
static void written_bytes_do_not_repeat(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = 2});
    assert_int_equal(measure_writes(&disk.device, 16 * KIB, 2, TIME, &measured, &error), 0);
    for (size_t i = 1; i < 32; i++)
        assert_memory_not_equal(disk.contents, disk.contents + i * BLOCK, BLOCK);
    assert_memory_not_equal(disk.contents, disk.contents + 16 * KIB, 16 * KIB);
}

static void requests_are_cut_to_what_the_disk_takes(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = 2, .max_transfer = 8 * KIB});
    assert_int_equal(measure_writes(&disk.device, 1 << 20, 32, TIME, &measured, &error), 0);
    assert_int_equal(disk.most_in_flight, 2);
    check_journal(BLOCK_WRITE, 8 * KIB / BLOCK);
}

static void an_error_ends_it_and_names_the_block(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = 1});
    emulated_add_fault(&disk, FAULT_ERROR, 70, 1)->operations = 1 << BLOCK_WRITE;
    assert_int_equal(measure_reads(&disk.device, 16 * KIB, 1, TIME, &measured, &error), 0);
    assert_int_equal(measure_writes(&disk.device, 16 * KIB, 1, TIME, &measured, &error), -ERROR_MEDIUM);
    assert_int_equal(error.code, ERROR_MEDIUM);
    assert_int_equal(error.operation, OPERATION_WRITE);
    assert_int_equal(error.block, 64);
    assert_int_equal(measured.requests, 2);
    assert_int_equal(disk.requests[BLOCK_FLUSH], 0);
}

static void a_failed_flush_is_an_error(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = 1});
    emulated_add_fault(&disk, FAULT_ERROR, 0, 0)->operations = 1 << BLOCK_FLUSH;
    assert_int_equal(measure_writes(&disk.device, 16 * KIB, 1, TIME, &measured, &error), -ERROR_MEDIUM);
    assert_int_equal(error.operation, OPERATION_FLUSH);
}

static void what_cannot_be_written_is_refused(void **unused)
{
    (void)unused;
    start((struct emulated_options){.read_only = true, .block_count = 64});
    assert_int_equal(measure_writes(&disk.device, 4 * KIB, 1, TIME, &measured, &error), -ERROR_WRITE_PROTECTED);
    assert_int_equal(error.operation, OPERATION_WRITE);
    assert_true(emulated_untouched(&disk));
    assert_int_equal(measure_reads(&disk.device, 64 * KIB, 1, TIME, &measured, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(disk.journal_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_fill_the_disk_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(written_bytes_do_not_repeat, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_are_cut_to_what_the_disk_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_ends_it_and_names_the_block, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_flush_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
