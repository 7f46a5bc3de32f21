/* SPDX-License-Identifier: GPL-2.0-or-later */
/* USB disks of all kinds on an emulated xHCI: the block device conformance suite, and cables that are pulled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "tests/support/xhci_bench.h"

#define SECOND NANOSECONDS_PER_SECOND
#define REQUESTS 24

static struct usb_model_port *port_for(struct xhci_bench *bench, enum usb_speed speed)
{
    return &bench->model.ports[speed >= USB_SPEED_SUPER ? 4 : 0];
}

static struct block_device *start(struct xhci_bench *bench, const char *driver)
{
    usb_model_plug(port_for(bench, bench->disk.device.speed), &bench->disk.device);
    assert_int_equal(xhci_bench_attach(bench), 0);
    struct block_device *device = xhci_bench_disk(bench, "usb:MODEL0001", 20);
    assert_non_null(device);
    assert_string_equal(device->driver, driver);
    return device;
}

static void conforms(struct xhci_bench *bench, const char *driver)
{
    const struct block_conformance_options options = {.destructive = true, .seed = 7};
    struct block_device *device = start(bench, driver);
    const char *failed = block_conformance_run(device, &options);

    if (failed)
        print_error("conformance: %s\n", failed);
    assert_null(failed);
    xhci_bench_detach(bench);
    assert_false(bench->disk.target.units[0].dirty);
}

static void test_bulk_only_high(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_HIGH, false, 1);
    conforms(bench, "usb");
}

static void test_bulk_only_super(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, false, 1);
    bench->disk.laziness = 3;
    bench->disk.stall_when_short = true;
    conforms(bench, "usb");
}

static void test_bulk_only_4kn(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, false, 1);
    bench->disk.target.units[0].block = 4096;
    bench->model.wide_contexts = true;
    conforms(bench, "usb");
}

static void test_bulk_only_full_speed(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_FULL, false, 1);
    bench->model.version = 0x096;
    conforms(bench, "usb");
}

static void test_uas_without_streams(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_HIGH, true, 1);
    bench->disk.reorder = true;
    bench->disk.laziness = 2;
    conforms(bench, "uas");
}

static void test_uas_with_streams(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, true, 1);
    bench->disk.reorder = true;
    bench->disk.laziness = 6;
    conforms(bench, "uas");
    assert_true(bench->disk.most_tasks > 4);
}

static void test_uas_with_streams_4kn(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, true, 1);
    bench->disk.target.units[0].block = 4096;
    bench->disk.laziness = 4;
    bench->model.wide_contexts = true;
    bench->model.stop_tells_idle = true;
    conforms(bench, "uas");
}

/* The transfer of the data fails at its end, the device knows nothing of it, and its good status follows: not a good request. */
static void data_that_failed(struct xhci_bench *bench, enum usb_speed speed)
{
    struct usb_model_unit *unit = &bench->disk.target.units[0];

    usb_model_disk_init(&bench->disk, speed, true, 1);
    struct block_device *device = start(bench, "uas");
    for (unsigned i = 0; i < 2; i++) {
        enum block_operation operation = i ? BLOCK_WRITE : BLOCK_READ;
        struct block_request request = {.operation = operation, .lba = 8, .count = 8, .buffer = &bench->buffer};
        unsigned before = i ? unit->writes : unit->reads;
        bench->model.soft_error = XHCI_DATA_BUFFER_ERROR;
        bench->model.soft_index = i ? 8 : 7;
        assert_int_equal(block_run(device, &request, &bench->error), 0);
        assert_int_equal(bench->model.soft_error, 0);
        assert_int_equal(i ? unit->writes : unit->reads, before + 2);
    }
}

static void test_data_that_failed_uas_streams(void **state)
{
    data_that_failed(*state, USB_SPEED_SUPER);
}

static void test_data_that_failed_uas(void **state)
{
    data_that_failed(*state, USB_SPEED_HIGH);
}

/* A controller without streams: UAS at SuperSpeed needs them, so the disk is served otherwise, or not at all but by bulk-only. */
static void test_no_streams_at_all(void **state)
{
    struct xhci_bench *bench = *state;

    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, true, 1);
    bench->model.stream_array = 0;
    conforms(bench, "usb");
}

/* Five hubs in a row, the most that there may be, a disk behind the last. */
static void behind_hubs(struct xhci_bench *bench, enum usb_speed speed, bool uas)
{
    struct usb_model_hub *hubs = calloc(5, sizeof(*hubs));
    struct usb_model_port *port = port_for(bench, speed);

    assert_non_null(hubs);
    usb_model_disk_init(&bench->disk, speed, uas, 1);
    for (unsigned i = 0; i < 5; i++) {
        usb_model_hub_init(&hubs[i], &bench->platform.platform, speed, 4);
        usb_model_plug(port, &hubs[i].device);
        port = &hubs[i].ports[3 - i % 4];
    }
    usb_model_plug(port, &bench->disk.device);
    assert_int_equal(xhci_bench_attach(bench), 0);
    struct block_device *device = xhci_bench_disk(bench, "usb:MODEL0001", 30);
    assert_non_null(device);
    const struct block_conformance_options options = {.seed = 3};
    assert_null(block_conformance_run(device, &options));
    xhci_bench_detach(bench);
    usb_model_unplug(&bench->disk.device);
    for (unsigned i = 5; i-- > 0;)
        usb_model_hub_end(&hubs[i]);
    free(hubs);
}

static void test_behind_hubs_high(void **state)
{
    behind_hubs(*state, USB_SPEED_HIGH, false);
}

static void test_behind_hubs_super(void **state)
{
    behind_hubs(*state, USB_SPEED_SUPER, true);
}

/* --- errors and cables --- */

struct requests {
    struct block_request requests[REQUESTS];
    unsigned ended, good, gone, bad;
};

static void request_done(struct block_request *request)
{
    struct requests *all = request->context;

    all->ended++;
    all->good += !request->status;
    all->gone += request->status == -ERROR_GONE;
    all->bad += request->status && request->status != -ERROR_GONE;
}

static bool all_ended(void *context)
{
    return ((const struct requests *)context)->ended == REQUESTS;
}

/* Sends them all, 64 blocks each. */
static void send_all(struct xhci_bench *bench, struct block_device *device, struct requests *all,
                     enum block_operation operation)
{
    memset(all, 0, sizeof(*all));
    for (unsigned i = 0; i < REQUESTS; i++) {
        int status;
        all->requests[i] = (struct block_request){.operation = operation,
                                                  .lba = i * 64,
                                                  .count = 64,
                                                  .buffer = &bench->buffer,
                                                  .offset = i * 32768,
                                                  .done = request_done,
                                                  .context = all};
        while ((status = block_submit(device, &all->requests[i])) == -ERROR_FULL)
            xhci_bench_run(bench, NANOSECONDS_PER_MILLISECOND);
        if (status == -ERROR_GONE) {
            all->ended++;
            all->gone++;
        } else {
            assert_int_equal(status, 0);
        }
    }
}

/* Pulled at each of many moments while requests are under way: all of them end, at once, and the bus goes on. */
static void pulled(struct xhci_bench *bench, enum usb_speed speed, bool uas, enum block_operation operation)
{
    struct requests *all = calloc(1, sizeof(*all));

    assert_non_null(all);
    usb_model_disk_init(&bench->disk, speed, uas, 1);
    start(bench, uas ? "uas" : "usb");
    for (unsigned moment = 1; moment < 60; moment += 3) {
        struct block_device *device = xhci_bench_disk(bench, "usb:MODEL0001", 20);
        assert_non_null(device);
        bench->model.unplug_port = port_for(bench, speed)->number;
        bench->model.unplug_at_doorbell = moment;
        bench->model.silent = moment & 1;
        block_device_hold(device);
        send_all(bench, device, all, operation);
        uint64_t before = platform_now(&bench->platform.platform);
        assert_true(loop_wait(&bench->loop, all_ended, all, before + 2 * SECOND));
        assert_int_equal(all->bad, 0);
        bench->model.unplug_at_doorbell = 0;
        usb_model_unplug(&bench->disk.device);
        xhci_bench_run(bench, SECOND);
        assert_true(device->dead);
        block_device_let_go(device);
        assert_null(bench->registry.first);
        usb_model_plug(port_for(bench, speed), &bench->disk.device);
    }
    assert_non_null(xhci_bench_disk(bench, "usb:MODEL0001", 20));
    xhci_bench_detach(bench);
    free(all);
}

static void test_pulled_bulk_only_read(void **state)
{
    pulled(*state, USB_SPEED_HIGH, false, BLOCK_READ);
}

static void test_pulled_bulk_only_write(void **state)
{
    pulled(*state, USB_SPEED_SUPER, false, BLOCK_WRITE);
}

static void test_pulled_uas_read(void **state)
{
    pulled(*state, USB_SPEED_SUPER, true, BLOCK_READ);
}

static void test_pulled_uas_write(void **state)
{
    pulled(*state, USB_SPEED_HIGH, true, BLOCK_WRITE);
}

/* Each fault of the transport once, in the middle of reads: they all succeed in the end, or fail by themselves. */
static void recovers(struct xhci_bench *bench, enum usb_speed speed, bool uas, const enum usb_model_disk_fault *faults,
                     unsigned count)
{
    struct requests *all = calloc(1, sizeof(*all));

    assert_non_null(all);
    usb_model_disk_init(&bench->disk, speed, uas, 1);
    usb_model_unit_number(&bench->disk.target.units[0]);
    struct block_device *device = start(bench, uas ? "uas" : "usb");
    for (unsigned i = 0; i < count; i++) {
        usb_model_disk_fault_next(&bench->disk, faults[i], 0x28);
        bench->disk.fault_at = 5;
        memset(bench->buffer.data, 0, REQUESTS * 32768);
        send_all(bench, device, all, BLOCK_READ);
        assert_true(loop_wait(&bench->loop, all_ended, all, deadline_after(&bench->platform.platform, 120 * SECOND)));
        assert_int_equal(bench->disk.fault, USB_MODEL_NO_FAULT);
        assert_int_equal(all->gone, 0);
        /* What waits behind a command that hangs becomes late with it. */
        bool hangs = faults[i] == USB_MODEL_HANG || faults[i] == USB_MODEL_HANG_HARD;
        assert_true(all->bad <= (hangs ? device->geometry.queue_depth : 1));
        for (unsigned j = 0; j < REQUESTS; j++)
            if (!all->requests[j].status)
                assert_memory_equal((uint8_t *)bench->buffer.data + j * 32768,
                                    bench->disk.target.units[0].data + j * 32768, 32768);
    }
    free(all);
}

static void test_bulk_only_recovers(void **state)
{
    static const enum usb_model_disk_fault faults[] = {
        USB_MODEL_STALL_DATA,    USB_MODEL_SHORT_DATA,    USB_MODEL_STALL_STATUS,      USB_MODEL_STALL_STATUS_TWICE,
        USB_MODEL_STALL_COMMAND, USB_MODEL_BAD_SIGNATURE, USB_MODEL_BAD_TAG,           USB_MODEL_SHORT_STATUS,
        USB_MODEL_BAD_STATUS,    USB_MODEL_PHASE_ERROR,   USB_MODEL_TRANSACTION_ERROR, USB_MODEL_HANG,
        USB_MODEL_HANG_HARD};

    recovers(*state, USB_SPEED_HIGH, false, faults, sizeof(faults) / sizeof(faults[0]));
}

static void test_uas_recovers(void **state)
{
    static const enum usb_model_disk_fault faults[] = {USB_MODEL_SHORT_DATA, USB_MODEL_STALL_DATA, USB_MODEL_HANG,
                                                       USB_MODEL_UAS_TASK_SET_FULL};

    recovers(*state, USB_SPEED_SUPER, true, faults, sizeof(faults) / sizeof(faults[0]));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, xhci_bench_setup, xhci_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bulk_only_high),
        TEST(test_bulk_only_super),
        TEST(test_bulk_only_4kn),
        TEST(test_bulk_only_full_speed),
        TEST(test_uas_without_streams),
        TEST(test_uas_with_streams),
        TEST(test_data_that_failed_uas_streams),
        TEST(test_data_that_failed_uas),
        TEST(test_uas_with_streams_4kn),
        TEST(test_no_streams_at_all),
        TEST(test_behind_hubs_high),
        TEST(test_behind_hubs_super),
        TEST(test_pulled_bulk_only_read),
        TEST(test_pulled_bulk_only_write),
        TEST(test_pulled_uas_read),
        TEST(test_pulled_uas_write),
        TEST(test_bulk_only_recovers),
        TEST(test_uas_recovers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
