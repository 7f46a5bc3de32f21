/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a call that came in from outside (a published disk): only the host and the disk are polled, no fiber runs, and the disk
 * is brought back all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/usb_disk_bench.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, usb_disk_setup, usb_disk_teardown)

struct outside {
    struct pollable everything; /* first */
    struct usb_disk_bench *disk;
    struct block_device *device;
    bool fiber_ran;
};

/* What the machine polls for a published disk; time passes. */
static bool poll_everything(struct pollable *pollable)
{
    struct outside *outside = (struct outside *)pollable;
    struct platform *platform = &outside->disk->bench->platform.platform;
    struct pollable *host = &outside->disk->bench->host.pollable;

    outside->fiber_ran = outside->fiber_ran || fiber_current();
    host->poll(host);
    outside->device->pollable.poll(&outside->device->pollable);
    platform->ops->wait(platform, platform_now(platform) + 100 * NANOSECONDS_PER_MICROSECOND);
    return true;
}

static int run_inside(struct usb_disk_bench *disk, struct block_device *device, enum block_operation operation,
                      uint64_t lba, uint64_t count)
{
    struct outside outside = {{.poll = poll_everything}, disk, device, false};
    struct block_request request = {.operation = operation, .lba = lba, .count = count, .buffer = &disk->bench->buffer};

    int status = block_run_inside(device, &request, &outside.everything, 30 * NANOSECONDS_PER_SECOND);
    assert_false(outside.fiber_ran);
    assert_null(disk->bench->loop.inside);
    return status;
}

static struct block_device *plug_in_and_rest(struct usb_disk_bench *disk, enum usb_speed speed)
{
    usb_disk_make(disk, speed, 1);
    disk->model.stall_when_short = true;
    usb_disk_unit(disk)->no_mode_sense = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_bench_run(disk->bench, NANOSECONDS_PER_SECOND);
    usb_model_unit_number(usb_disk_unit(disk));
    return device;
}

static void a_bad_block_that_stalls(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct block_device *device = plug_in_and_rest(disk, USB_SPEED_HIGH);
    usb_disk_unit(disk)->bad_lba = 5;
    usb_disk_unit(disk)->bad_count = 1;
    uint64_t begun = usb_disk_now(disk);
    assert_int_equal(run_inside(disk, device, BLOCK_READ, 0, 16), -ERROR_MEDIUM);
    assert_int_equal(run_inside(disk, device, BLOCK_READ, 8, 16), 0);
    assert_true(usb_disk_now(disk) - begun < NANOSECONDS_PER_SECOND);
    assert_int_equal(disk->model.storage_resets, 0);
    /* And on in the usual way. */
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 16), -ERROR_MEDIUM);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 8, 16), 0);
}

static void faults_on_the_wire_pass_inside(void **state)
{
    static const enum usb_model_disk_fault faults[] = {
        USB_MODEL_STALL_DATA, USB_MODEL_STALL_COMMAND, USB_MODEL_STALL_STATUS,      USB_MODEL_STALL_STATUS_TWICE,
        USB_MODEL_BAD_TAG,    USB_MODEL_PHASE_ERROR,   USB_MODEL_TRANSACTION_ERROR,
    };
    struct usb_disk_bench *disk = *state;
    struct block_device *device = plug_in_and_rest(disk, USB_SPEED_SUPER);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        unsigned before = disk->model.faults;
        memset(disk->bench->buffer.data, (int)i, 4096);
        usb_model_disk_fault_next(&disk->model, faults[i], 0x2a);
        assert_int_equal(run_inside(disk, device, BLOCK_WRITE, 0, 8), 0);
        assert_memory_equal(usb_model_unit_data(usb_disk_unit(disk)), disk->bench->buffer.data, 4096);
        assert_int_equal(disk->model.faults, before + 1);
        usb_model_bench_run(disk->bench, NANOSECONDS_PER_SECOND);
    }
}

static void a_hang_costs_the_deadline_and_no_more(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct block_device *device = plug_in_and_rest(disk, USB_SPEED_HIGH);
    uint64_t begun = usb_disk_now(disk);
    usb_model_disk_fault_next(&disk->model, USB_MODEL_HANG, 0x28);
    assert_int_equal(run_inside(disk, device, BLOCK_READ, 0, 8), -ERROR_TIMEOUT);
    assert_true(usb_disk_now(disk) - begun < 40 * NANOSECONDS_PER_SECOND);
    assert_int_equal(run_inside(disk, device, BLOCK_READ, 0, 8), 0);
    usb_model_disk_fault_next(&disk->model, USB_MODEL_HANG_HARD, 0x28);
    assert_int_equal(run_inside(disk, device, BLOCK_READ, 0, 8), -ERROR_TIMEOUT);
    assert_int_equal(run_inside(disk, device, BLOCK_READ, 0, 8), 0);
    assert_false(device->dead);
}

/* The disk is lost, its controller and what else is on it are not. */
static void a_disk_that_never_comes_back(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct block_device *device = plug_in_and_rest(disk, USB_SPEED_HIGH);
    usb_model_disk_fault_next(&disk->model, USB_MODEL_HANG_FOR_EVER, 0x28);
    int status = run_inside(disk, device, BLOCK_READ, 0, 8);
    assert_true(status == -ERROR_GONE || status == -ERROR_TIMEOUT);
    while (!device->dead)
        run_inside(disk, device, BLOCK_READ, 0, 8);
    assert_false(disk->bench->host.bus.dead);
    assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_block_that_stalls),
        TEST(faults_on_the_wire_pass_inside),
        TEST(a_hang_costs_the_deadline_and_no_more),
        TEST(a_disk_that_never_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
