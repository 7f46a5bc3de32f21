/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Media that are changed while requests are on their way: nothing of the old one's reaches the new one, nor memory given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/usb/scsi_spec.h"
#include "tests/support/usb_model_host.h"

#define REQUESTS 8u
#define BYTES 65536u
#define BLOCKS (BYTES / 512)
#define REUSED 0xaa

struct media_test {
    struct usb_model_bench *bench;
    struct usb_model_disk disk;
    struct block_device *device;
    struct block_request requests[REQUESTS];
    unsigned ended;
};

static uint8_t *bytes_of(struct media_test *test, unsigned index)
{
    return (uint8_t *)test->bench->buffer.data + (size_t)index * BYTES;
}

/* Whoever sent the request has another use for its memory at once. */
static void reuse(struct block_request *request)
{
    struct media_test *test = request->context;

    test->ended++;
    memset(bytes_of(test, (unsigned)(request - test->requests)), REUSED, BYTES);
}

static void start(struct media_test *test, enum usb_speed speed, bool uas, bool removable)
{
    void *bench = NULL;

    memset(test, 0, sizeof(*test));
    assert_int_equal(usb_model_bench_setup(&bench), 0);
    test->bench = bench;
    usb_model_disk_init(&test->disk, speed, uas, 1);
    test->disk.target.units[0].removable = removable;
    usb_model_unit_number(&test->disk.target.units[0]);
    usb_model_plug(&test->bench->host.ports[speed >= USB_SPEED_SUPER ? 1 : 0], &test->disk.device);
    test->device = usb_model_bench_disk(test->bench, "usb:MODEL0001", 10);
    assert_non_null(test->device);
    assert_string_equal(test->device->driver, uas ? "uas" : "usb");
}

static void finish(struct media_test *test)
{
    void *bench = test->bench;

    usb_model_host_stop(&test->bench->host);
    usb_model_disk_end(&test->disk);
    assert_int_equal(usb_model_bench_teardown(&bench), 0);
}

static bool all_ended(void *context)
{
    return ((struct media_test *)context)->ended == REQUESTS;
}

/* The medium is another one when the requests arrive. */
static void change_medium_under(struct media_test *test, enum block_operation operation)
{
    struct loop *loop = &test->bench->loop;
    unsigned gone = 0;

    block_device_hold(test->device);
    for (unsigned i = 0; i < REQUESTS; i++) {
        memset(bytes_of(test, i), (int)i + 1, BYTES);
        test->requests[i] = (struct block_request){.operation = operation,
                                                   .lba = (uint64_t)i * BLOCKS,
                                                   .count = BLOCKS,
                                                   .buffer = &test->bench->buffer,
                                                   .offset = (size_t)i * BYTES,
                                                   .done = reuse,
                                                   .context = test};
        assert_int_equal(block_submit(test->device, &test->requests[i]), 0);
    }
    test->disk.target.units[0].attention[0] = SCSI_ASC_MEDIUM_CHANGED;
    assert_true(loop_wait(loop, all_ended, test, deadline_after(loop->platform, 20 * NANOSECONDS_PER_SECOND)));
    /* UAS: some may have come back before the one that has to tell it. */
    for (unsigned i = 0; i < REQUESTS; i++) {
        gone += test->requests[i].status == -ERROR_GONE;
        assert_true(test->requests[i].status == -ERROR_GONE || (test->disk.uas && !test->requests[i].status));
    }
    assert_true(gone > 0);
    assert_true(test->device->dead);
    block_device_let_go(test->device);
    usb_model_bench_run(test->bench, 2 * NANOSECONDS_PER_SECOND);
    for (unsigned i = 0; i < REQUESTS; i++)
        for (unsigned j = 0; j < BYTES; j++)
            assert_int_equal(bytes_of(test, i)[j], REUSED);
    /* The other medium is a disk of its own. */
    assert_non_null(usb_model_bench_disk(test->bench, "usb:MODEL0001", 10));
}

static void assert_untouched(struct media_test *test)
{
    const struct usb_model_unit *unit = &test->disk.target.units[0];

    assert_int_equal(unit->writes, 0);
    assert_int_equal(unit->blocks_written, 0);
}

static void writes_of_bulk_only_stay_off_another_medium(void **state)
{
    struct media_test test;
    (void)state;

    for (enum usb_speed speed = USB_SPEED_HIGH; speed <= USB_SPEED_SUPER; speed++) {
        start(&test, speed, false, true);
        change_medium_under(&test, BLOCK_WRITE);
        assert_untouched(&test);
        finish(&test);
    }
}

static void reads_of_bulk_only_end_before_their_memory_is_given_back(void **state)
{
    struct media_test test;
    (void)state;

    start(&test, USB_SPEED_HIGH, false, true);
    change_medium_under(&test, BLOCK_READ);
    finish(&test);
}

/* All of them are at the device already: what it does is its own affair, what it gets is not. */
static void requests_of_uas_end_before_their_memory_is_given_back(void **state)
{
    static const enum block_operation operations[] = {BLOCK_READ, BLOCK_WRITE};
    struct media_test test;
    (void)state;

    for (unsigned round = 0; round < 4; round++) {
        start(&test, round & 1 ? USB_SPEED_SUPER : USB_SPEED_HIGH, true, true);
        test.disk.laziness = 6;
        change_medium_under(&test, operations[round / 2]);
        const uint8_t *data = usb_model_unit_data(&test.disk.target.units[0]);
        uint8_t reused[512];
        memset(reused, REUSED, sizeof(reused));
        for (unsigned i = 0; i < REQUESTS * BLOCKS; i++)
            assert_memory_not_equal(data + (size_t)i * 512, reused, 512);
        finish(&test);
    }
}

/* --- docks, which call their disks fixed --- */

static void start_fixed(struct media_test *test)
{
    start(test, USB_SPEED_SUPER, false, false);
    assert_false(test->device->removable);
}

static int run_one(struct media_test *test, enum block_operation operation)
{
    struct block_request request = {.operation = operation, .lba = 0, .count = 8, .buffer = &test->bench->buffer};

    return block_run(test->device, &request, &test->bench->error);
}

static void attend(struct media_test *test, uint8_t code, uint8_t qualifier)
{
    test->disk.target.units[0].attention[0] = code;
    test->disk.target.units[0].attention[1] = qualifier;
}

/* Exchanged between two jobs: nothing is written to the other disk under the name and size of the first. */
static void a_disk_that_was_exchanged_in_a_dock(void **unused)
{
    static const uint8_t codes[][2] = {{0x28, 0x00}, {0x29, 0x00}, {0x2a, 0x09}, {0x3f, 0x03}};

    (void)unused;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct media_test test;
        start_fixed(&test);
        assert_int_equal(run_one(&test, BLOCK_READ), 0);
        usb_model_bench_run(test.bench, 10 * NANOSECONDS_PER_SECOND);
        attend(&test, codes[i][0], codes[i][1]);
        test.disk.target.units[0].blocks /= 2;
        uint8_t before = usb_model_unit_data(&test.disk.target.units[0])[0];
        memset(test.bench->buffer.data, REUSED, BYTES);
        assert_int_equal(run_one(&test, BLOCK_WRITE), -ERROR_GONE);
        assert_int_equal(usb_model_unit_data(&test.disk.target.units[0])[0], before);
        /* And is looked at anew. */
        usb_model_bench_run(test.bench, 5 * NANOSECONDS_PER_SECOND);
        test.device = usb_model_bench_disk(test.bench, "usb:MODEL0001", 10);
        assert_non_null(test.device);
        assert_int_equal(test.device->geometry.block_count, test.disk.target.units[0].blocks);
        assert_int_equal(run_one(&test, BLOCK_WRITE), 0);
        finish(&test);
    }
}

/* In the middle of work it is one of the other reasons. */
static void a_fixed_disk_at_work_goes_on(void **unused)
{
    struct media_test test;

    (void)unused;
    start_fixed(&test);
    assert_int_equal(run_one(&test, BLOCK_WRITE), 0);
    attend(&test, 0x28, 0x00);
    assert_int_equal(run_one(&test, BLOCK_WRITE), 0);
    attend(&test, 0x2a, 0x01);
    assert_int_equal(run_one(&test, BLOCK_READ), 0);
    finish(&test);
}

/* The dock's lid is open: whatever it is called, there is no disk. */
static void an_empty_dock(void **unused)
{
    struct media_test test;

    (void)unused;
    start_fixed(&test);
    test.disk.target.units[0].no_medium = true;
    assert_int_equal(run_one(&test, BLOCK_READ), -ERROR_GONE);
    assert_true(usb_model_bench_no_disk(test.bench, "usb:MODEL0001", 10));
    test.disk.target.units[0].no_medium = false;
    assert_non_null(usb_model_bench_disk(test.bench, "usb:MODEL0001", 10));
    finish(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_was_exchanged_in_a_dock),
        cmocka_unit_test(a_fixed_disk_at_work_goes_on),
        cmocka_unit_test(an_empty_dock),
        cmocka_unit_test(writes_of_bulk_only_stay_off_another_medium),
        cmocka_unit_test(reads_of_bulk_only_end_before_their_memory_is_given_back),
        cmocka_unit_test(requests_of_uas_end_before_their_memory_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
