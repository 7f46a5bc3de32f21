/* SPDX-License-Identifier: GPL-2.0-or-later */
/* USB Attached SCSI at high speed and at SuperSpeed: order, errors, recovery, devices that lie, and the way back to bulk-only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "drivers/usb/scsi_spec.h"
#include "tests/support/usb_model_host.h"

#define SECOND NANOSECONDS_PER_SECOND
#define MILLISECOND NANOSECONDS_PER_MILLISECOND
#define REQUESTS 48u
#define REQUEST_BYTES 16384u
#define BLOCKS (REQUEST_BYTES / 512)

struct uas_test {
    struct usb_model_bench *bench;
    struct usb_model_disk disk;
    struct block_device *device, *held;
    struct block_request requests[REQUESTS];
};

static const enum usb_speed speeds[] = {USB_SPEED_HIGH, USB_SPEED_SUPER};

/* --- a disk on a bench --- */

static void plug(struct uas_test *test, enum usb_speed speed)
{
    usb_model_plug(&test->bench->host.ports[speed == USB_SPEED_SUPER ? 1 : 0], &test->disk.device);
}

static struct uas_test *prepare(enum usb_speed speed, unsigned units)
{
    struct uas_test *test = calloc(1, sizeof(*test));
    void *bench = NULL;

    assert_non_null(test);
    assert_int_equal(usb_model_bench_setup(&bench), 0);
    test->bench = bench;
    usb_model_disk_init(&test->disk, speed, true, units);
    for (unsigned i = 0; i < units; i++)
        usb_model_unit_number(&test->disk.target.units[i]);
    return test;
}

static void let_go(struct uas_test *test)
{
    if (test->held)
        block_device_let_go(test->held);
    test->held = NULL;
}

/* Holds it, as a job does. */
static void find(struct uas_test *test, const char *driver)
{
    let_go(test);
    test->device = test->held = usb_model_bench_disk(test->bench, "usb:MODEL0001", 40);
    assert_non_null(test->device);
    block_device_hold(test->held);
    assert_string_equal(test->device->driver, driver);
}

static struct uas_test *start(enum usb_speed speed)
{
    struct uas_test *test = prepare(speed, 1);

    plug(test, speed);
    find(test, "uas");
    return test;
}

static void finish(struct uas_test *test)
{
    void *bench = test->bench;

    let_go(test);
    /* The bus stops before the model goes; violations of both are counted. */
    usb_model_host_stop(&test->bench->host);
    usb_model_disk_end(&test->disk);
    assert_int_equal(usb_model_bench_teardown(&bench), 0);
    free(test);
}

/* --- requests --- */

static bool submitted(void *context)
{
    struct block_request *request = context;

    request->status = block_submit(request->device, request);
    return request->status != -ERROR_FULL;
}

static void send(struct uas_test *test, unsigned index, enum block_operation operation, uint64_t timeout)
{
    struct block_request *request = &test->requests[index];
    struct loop *loop = &test->bench->loop;

    *request = (struct block_request){.operation = operation,
                                      .lba = (uint64_t)index * BLOCKS,
                                      .count = BLOCKS,
                                      .buffer = &test->bench->buffer,
                                      .offset = (size_t)index * REQUEST_BYTES,
                                      .timeout = timeout,
                                      .device = test->device};
    if (operation == BLOCK_READ)
        memset((uint8_t *)request->buffer->data + request->offset, 0xee, REQUEST_BYTES);
    assert_true(loop_wait(loop, submitted, request, deadline_after(loop->platform, 60 * SECOND)));
    if (request->status)
        request->ended = true;
}

static void send_all(struct uas_test *test, enum block_operation operation, uint64_t timeout)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        send(test, i, operation, timeout);
}

static bool all_ended(void *context)
{
    const struct uas_test *test = context;

    for (unsigned i = 0; i < REQUESTS; i++)
        if (test->requests[i].device && !test->requests[i].ended)
            return false;
    return true;
}

static void wait_all(struct uas_test *test, unsigned seconds)
{
    struct loop *loop = &test->bench->loop;

    assert_true(loop_wait(loop, all_ended, test, deadline_after(loop->platform, seconds * SECOND)));
}

static bool holds_numbers(const struct uas_test *test, unsigned index)
{
    const struct block_request *request = &test->requests[index];
    const uint8_t *contents = test->disk.target.units[0].data + request->lba * 512;

    return !memcmp((const uint8_t *)request->buffer->data + request->offset, contents, REQUEST_BYTES);
}

static void check_reads(struct uas_test *test)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(test->requests[i].status, 0);
        assert_true(holds_numbers(test, i));
    }
}

static void read_all(struct uas_test *test)
{
    send_all(test, BLOCK_READ, 0);
    wait_all(test, 60);
    check_reads(test);
}

/* --- what works --- */

static void many_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        unsigned depth = test->device->geometry.queue_depth;
        assert_true(depth >= 15);
        test->disk.laziness = 3;
        read_all(test);
        assert_true(test->disk.most_tasks > 8);
        assert_true(test->disk.most_tasks <= depth);
        assert_int_equal(test->disk.managements, 0);
        finish(test);
    }
}

static void any_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        test->disk.reorder = true;
        test->disk.laziness = 5;
        read_all(test);
        /* Writes: turned around, so that a mix-up is seen. */
        uint8_t *bytes = test->bench->buffer.data;
        for (size_t at = 0; at < (size_t)REQUESTS * REQUEST_BYTES; at++)
            bytes[at] = (uint8_t)~bytes[at];
        send_all(test, BLOCK_WRITE, 0);
        wait_all(test, 60);
        check_reads(test);
        /* Both directions side by side. */
        for (unsigned k = 0; k < REQUESTS; k++)
            send(test, k, k % 2 ? BLOCK_READ : BLOCK_WRITE, 0);
        wait_all(test, 60);
        check_reads(test);
        assert_int_equal(test->disk.managements, 0);
        finish(test);
    }
}

static void several_units(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = prepare(speeds[i], 2);
        plug(test, speeds[i]);
        find(test, "uas");
        struct block_device *first = test->device;
        struct block_device *second = usb_model_bench_disk(test->bench, "usb:MODEL0001/lun1", 10);
        assert_non_null(second);
        usb_model_unit_data(&test->disk.target.units[1])[0] ^= 0xff;
        for (unsigned k = 0; k < REQUESTS; k++) {
            test->device = k % 2 ? second : first;
            send(test, k, BLOCK_READ, 0);
        }
        wait_all(test, 60);
        for (unsigned k = 0; k < REQUESTS; k++) {
            const struct block_request *request = &test->requests[k];
            const uint8_t *contents = test->disk.target.units[k % 2].data + request->lba * 512;
            assert_int_equal(request->status, 0);
            assert_memory_equal((uint8_t *)request->buffer->data + request->offset, contents, REQUEST_BYTES);
        }
        finish(test);
    }
}

static void conforms(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        struct block_conformance_options options = {.destructive = true};
        test->disk.reorder = true;
        const char *failed = block_conformance_run(test->device, &options);
        if (failed)
            print_error("%s\n", failed);
        assert_null(failed);
        finish(test);
    }
}

/* --- errors of single commands --- */

static void medium_error_hits_one_request(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        test->disk.target.units[0].bad_lba = 7 * BLOCKS + 3;
        test->disk.target.units[0].bad_count = 1;
        test->disk.reorder = true;
        for (unsigned round = 0; round < 5; round++) {
            send_all(test, BLOCK_READ, 0);
            wait_all(test, 60);
            for (unsigned k = 0; k < REQUESTS; k++) {
                assert_int_equal(test->requests[k].status, k == 7 ? -ERROR_MEDIUM : 0);
                assert_true(k == 7 || holds_numbers(test, k));
            }
        }
        /* No recovery: the data that never came is taken back by itself. */
        assert_int_equal(test->disk.managements, 0);
        assert_string_equal(test->device->driver, "uas");
        finish(test);
    }
}

static void full_task_set_is_waited_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        test->disk.max_tags = 4;
        read_all(test);
        assert_int_equal(test->disk.most_tasks, 4);
        assert_int_equal(test->disk.managements, 0);
        finish(test);
    }
}

/* --- recovery --- */

/* Reads all; the fault hits the first `late` ones, which have a short deadline. */
static void read_with_late(struct uas_test *test, enum usb_model_disk_fault fault, unsigned late)
{
    usb_model_disk_fault_next(&test->disk, fault, SCSI_READ_10);
    test->disk.fault_times = late;
    for (unsigned k = 0; k < REQUESTS; k++)
        send(test, k, BLOCK_READ, k < late ? 2 * SECOND : 20 * SECOND);
    wait_all(test, 30);
}

/* The same, and nothing else comes to harm: the disk works on. */
static void check_late(struct uas_test *test, unsigned late)
{
    read_with_late(test, USB_MODEL_HANG, late);
    for (unsigned k = 0; k < REQUESTS; k++)
        assert_int_equal(test->requests[k].status, k < late ? -ERROR_TIMEOUT : 0);
    read_all(test);
    assert_string_equal(test->device->driver, "uas");
}

static void hang_ends_the_late_one_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        unsigned resets = test->disk.device.resets;
        check_late(test, 1);
        assert_true(test->disk.managements >= 1);
        assert_int_equal(test->disk.device.resets, resets);
        finish(test);
    }
}

static void management_refused_means_reset(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct uas_test *test = start(speeds[i % 2]);
        unsigned resets = test->disk.device.resets;
        test->disk.refuse_management = i < 2;
        test->disk.ignore_management = i >= 2;
        check_late(test, 1);
        /* Refused: ABORT TASK, the unit's reset, the nexus's. */
        assert_int_equal(test->disk.managements, i < 2 ? 3 : 1);
        assert_int_equal(test->disk.device.resets, resets + 1);
        finish(test);
    }
}

static void several_lost_commands_reset_the_unit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        unsigned resets = test->disk.device.resets;
        check_late(test, 3);
        assert_int_equal(test->disk.managements, 1);
        assert_int_equal(test->disk.device.resets, resets);
        finish(test);
    }
}

static void single_command_is_aborted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        usb_model_disk_fault_next(&test->disk, USB_MODEL_HANG, SCSI_WRITE_10);
        send(test, 0, BLOCK_WRITE, 2 * SECOND);
        wait_all(test, 30);
        assert_int_equal(test->requests[0].status, -ERROR_TIMEOUT);
        assert_int_equal(test->disk.managements, 1);
        /* ABORT TASK resets no unit. */
        assert_int_equal(test->disk.target.units[0].attention[0], 0);
        read_all(test);
        finish(test);
    }
}

static void hard_hang_is_reset(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        unsigned resets = test->disk.device.resets;
        read_with_late(test, USB_MODEL_HANG_HARD, 1);
        for (unsigned k = 1; k < REQUESTS; k++)
            assert_int_equal(test->requests[k].status, 0);
        assert_true(test->disk.device.resets > resets);
        read_all(test);
        finish(test);
    }
}

static void dead_device_costs_its_deadline(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        usb_model_disk_fault_next(&test->disk, USB_MODEL_HANG_FOR_EVER, SCSI_READ_10);
        send_all(test, BLOCK_READ, 2 * SECOND);
        wait_all(test, 120);
        for (unsigned k = 0; k < REQUESTS; k++)
            assert_int_not_equal(test->requests[k].status, 0);
        finish(test);
    }
}

/* Inside a call of the firmware, where fibers rest: what comes in late, but by itself, holds nothing up. */
static void late_without_fibers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        struct loop *loop = &test->bench->loop;
        test->bench->host.frozen = true;
        send(test, 0, BLOCK_READ, 2 * SECOND);
        test->bench->platform.now += 3 * SECOND;
        for (unsigned k = 0; k < 10; k++)
            loop_poll(loop);
        assert_false(test->requests[0].ended);
        test->bench->host.frozen = false;
        for (unsigned k = 0; k < 10000 && !test->requests[0].ended; k++)
            loop_poll(loop);
        assert_true(test->requests[0].ended);
        send(test, 1, BLOCK_READ, 2 * SECOND);
        for (unsigned k = 0; k < 10000 && !test->requests[1].ended; k++)
            loop_poll(loop);
        assert_true(test->requests[1].ended);
        assert_int_equal(test->requests[1].status, 0);
        assert_int_equal(test->disk.managements, 0);
        read_all(test);
        finish(test);
    }
}

/* --- devices that lie --- */

struct lie {
    enum usb_model_disk_fault fault;
    const char *name;
};

static const struct lie lies[] = {
    {USB_MODEL_STALL_DATA, "stalls data"},
    {USB_MODEL_SHORT_DATA, "gives less data, and good status"},
    {USB_MODEL_TRANSACTION_ERROR, "fails in the middle of the data"},
    {USB_MODEL_UAS_WRONG_TAG, "answers for another tag"},
    {USB_MODEL_UAS_SHORT_IU, "cuts its unit off"},
    {USB_MODEL_UAS_LONG_SENSE, "says more sense data than it gives"},
    {USB_MODEL_UAS_UNKNOWN_IU, "gives an unknown unit"},
    {USB_MODEL_UAS_STATUS_TWICE, "answers twice"},
    {USB_MODEL_UAS_READY_TWICE, "is ready twice"},
    {USB_MODEL_UAS_DATA_AFTER_STATUS, "answers before the data"},
    {USB_MODEL_UAS_RESPONSE, "gives a response for a command"},
};

/* Reads and writes with one lie each; afterwards all is as it was, with the same driver. */
static void one_lie_is_survived(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        for (unsigned k = 0; k < 4; k++) {
            bool write = k >= 2;
            /* UAS has no residue: data that is taken and dropped cannot be told from data that is written. */
            if (write && lies[i].fault == USB_MODEL_SHORT_DATA)
                continue;
            struct uas_test *test = start(speeds[k % 2]);
            if (write)
                memset(test->bench->buffer.data, 0x5a, test->bench->buffer.size);
            usb_model_disk_fault_next(&test->disk, lies[i].fault, write ? SCSI_WRITE_10 : SCSI_READ_10);
            send_all(test, write ? BLOCK_WRITE : BLOCK_READ, 3 * SECOND);
            wait_all(test, 60);
            assert_int_equal(test->disk.faults, 1);
            unsigned bad = 0;
            for (unsigned r = 0; r < REQUESTS; r++) {
                bad += test->requests[r].status != 0;
                if (!test->requests[r].status && !holds_numbers(test, r))
                    print_error("%s: wrong data without an error\n", lies[i].name);
                assert_true(test->requests[r].status || holds_numbers(test, r));
            }
            /*
             * A second status on a stream is taken for that of the stream's next command; a disk that works in order then
             * waits for its status to be fetched, and all that are behind it are late.
             */
            unsigned most = lies[i].fault == USB_MODEL_UAS_STATUS_TWICE && k % 2 ? REQUESTS : 1;
            if (bad > most)
                print_error("%s: %u requests failed\n", lies[i].name, bad);
            assert_true(bad <= most);
            read_all(test);
            assert_string_equal(test->device->driver, "uas");
            finish(test);
        }
    }
}

/* A device that lies all the time ends as bulk-only or not at all, in bounded time, and never with wrong data. */
static void endless_lies_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct uas_test *test = start(speeds[k]);
            test->disk.fault = lies[i].fault;
            test->disk.fault_at = 0;
            test->disk.fault_times = 0;
            test->disk.fault_opcode = SCSI_READ_10;
            send_all(test, BLOCK_READ, 3 * SECOND);
            wait_all(test, 200);
            for (unsigned r = 0; r < REQUESTS; r++)
                assert_true(test->requests[r].status || holds_numbers(test, r));
            test->disk.fault = USB_MODEL_NO_FAULT;
            finish(test);
        }
    }
}

static void falls_back_to_bulk_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct uas_test *test = start(speeds[i]);
        /* Three times in a row a command is lost. */
        for (unsigned round = 0; round < 3; round++) {
            usb_model_disk_fault_next(&test->disk, USB_MODEL_HANG, SCSI_READ_10);
            send(test, 0, BLOCK_READ, 2 * SECOND);
            wait_all(test, 30);
            assert_int_not_equal(test->requests[0].status, 0);
        }
        usb_model_bench_run(test->bench, 3 * SECOND);
        find(test, "usb");
        assert_int_equal(test->disk.device.alternates[0], 0);
        read_all(test);
        finish(test);
    }
}

/* --- unplugging --- */

static void unplug_ends_all_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct uas_test *test = start(speeds[i % 2]);
        struct platform *platform = &test->bench->platform.platform;
        test->disk.fault = i < 2 ? USB_MODEL_UNPLUG : USB_MODEL_UNPLUG_IN_DATA;
        test->disk.fault_at = 5;
        test->disk.fault_times = 1;
        test->disk.fault_opcode = SCSI_READ_10;
        uint64_t begin = platform_now(platform);
        send_all(test, BLOCK_READ, 0);
        wait_all(test, 10);
        assert_true(platform_now(platform) - begin < 2 * SECOND);
        unsigned gone = 0;
        for (unsigned r = 0; r < REQUESTS; r++)
            gone += test->requests[r].status == -ERROR_GONE;
        assert_true(gone > 0);
        assert_true(usb_model_bench_no_disk(test->bench, "usb:MODEL0001", 10));
        /* And plugged in again. */
        test->disk.fault = USB_MODEL_NO_FAULT;
        plug(test, speeds[i % 2]);
        find(test, "uas");
        read_all(test);
        finish(test);
    }
}

/* --- who is served --- */

static void known_bad_ones_get_bulk_only(void **state)
{
    static const struct {
        enum usb_speed speed;
        uint16_t vendor, product;
        const char *driver;
    } cases[] = {
        {USB_SPEED_SUPER, 0x174c, 0x5106, "usb"}, {USB_SPEED_SUPER, 0x174c, 0x55aa, "usb"},
        {USB_SPEED_HIGH, 0x174c, 0x55aa, "usb"},  {USB_SPEED_HIGH, 0x4971, 0x1012, "usb"},
        {USB_SPEED_SUPER, 0x1234, 0x5678, "uas"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uas_test *test = prepare(cases[i].speed, 1);
        test->disk.device.descriptor.vendor_id = cases[i].vendor;
        test->disk.device.descriptor.product_id = cases[i].product;
        plug(test, cases[i].speed);
        find(test, cases[i].driver);
        finish(test);
    }
}

static void no_streams_means_bulk_only(void **state)
{
    (void)state;
    struct uas_test *test = prepare(USB_SPEED_SUPER, 1);
    test->bench->host.bus.limits.max_streams = 0;
    plug(test, USB_SPEED_SUPER);
    find(test, "usb");
    read_all(test);
    finish(test);
}

/* Takes the pipe usage descriptor number `index` away, or changes its pipe ID. */
static void spoil_pipe(struct usb_model_device *device, unsigned index, uint8_t id)
{
    for (size_t at = 0; at + 4 <= device->configuration_size && device->configuration[at];
         at += device->configuration[at])
        if (device->configuration[at + 1] == USB_DESCRIPTOR_PIPE_USAGE && !index--) {
            device->configuration[at + 2] = id;
            return;
        }
    fail();
}

static void wrong_pipes_mean_bulk_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct uas_test *test = prepare(speeds[i % 2], 1);
        /* Pipe i / 2 has no name, or (odd ones) the name of its neighbour. */
        spoil_pipe(&test->disk.device, i / 2, i < 4 ? 0 : (uint8_t)(1 + (i / 2 + 1) % 4));
        plug(test, speeds[i % 2]);
        find(test, "usb");
        finish(test);
    }
}

static void few_streams_are_enough(void **state)
{
    (void)state;
    static const unsigned counts[] = {2, 4, 16};
    for (unsigned i = 0; i < 3; i++) {
        struct uas_test *test = prepare(USB_SPEED_SUPER, 1);
        test->bench->host.bus.limits.max_streams = counts[i];
        plug(test, USB_SPEED_SUPER);
        find(test, "uas");
        assert_true(test->device->geometry.queue_depth < counts[i]);
        read_all(test);
        finish(test);
    }
}

static void stops_in_the_middle(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct uas_test *test = prepare(speeds[i % 2], 1);
        plug(test, speeds[i % 2]);
        assert_int_equal(usb_model_host_start(&test->bench->host, &test->bench->error), 0);
        usb_model_bench_run(test->bench, i * 10 * MILLISECOND);
        finish(test);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(any_order),
        cmocka_unit_test(several_units),
        cmocka_unit_test(conforms),
        cmocka_unit_test(medium_error_hits_one_request),
        cmocka_unit_test(full_task_set_is_waited_for),
        cmocka_unit_test(hang_ends_the_late_one_only),
        cmocka_unit_test(management_refused_means_reset),
        cmocka_unit_test(several_lost_commands_reset_the_unit),
        cmocka_unit_test(single_command_is_aborted),
        cmocka_unit_test(hard_hang_is_reset),
        cmocka_unit_test(dead_device_costs_its_deadline),
        cmocka_unit_test(late_without_fibers),
        cmocka_unit_test(one_lie_is_survived),
        cmocka_unit_test(endless_lies_end),
        cmocka_unit_test(falls_back_to_bulk_only),
        cmocka_unit_test(unplug_ends_all_at_once),
        cmocka_unit_test(known_bad_ones_get_bulk_only),
        cmocka_unit_test(no_streams_means_bulk_only),
        cmocka_unit_test(wrong_pipes_mean_bulk_only),
        cmocka_unit_test(few_streams_are_enough),
        cmocka_unit_test(stops_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
