/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bulk-only devices whose residues are not true; recoveries that come a moment too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/usb/scsi_spec.h"
#include "tests/support/usb_model_host.h"

static struct usb_model_disk disk;

static struct usb_model_bench *start(enum usb_model_disk_fault fault, int opcode)
{
    void *state = NULL;

    assert_int_equal(usb_model_bench_setup(&state), 0);
    struct usb_model_bench *bench = state;
    usb_model_disk_init(&disk, USB_SPEED_HIGH, false, 1);
    usb_model_unit_number(&disk.target.units[0]);
    disk.fault = fault;
    disk.fault_opcode = opcode;
    usb_model_plug(&bench->host.ports[0], &disk.device);
    return bench;
}

static void finish(struct usb_model_bench *bench)
{
    void *state = bench;

    usb_model_host_stop(&bench->host);
    usb_model_disk_end(&disk);
    assert_int_equal(usb_model_bench_teardown(&state), 0);
}

static int run(struct usb_model_bench *bench, struct block_device *device, enum block_operation operation)
{
    struct block_request request = {.operation = operation, .lba = 8, .count = 8, .buffer = &bench->buffer};

    return block_run(device, &request, &bench->error);
}

/* "Nothing of it" behind all data of everything: known by its capacity, which no device pads. It works all the same. */
static void a_device_that_always_tells_a_full_residue(void **state)
{
    struct usb_model_bench *bench = start(USB_MODEL_FULL_RESIDUE, -1);
    (void)state;

    struct block_device *device = usb_model_bench_disk(bench, "usb:MODEL0001", 20);
    assert_non_null(device);
    assert_true(test_platform_logged(&bench->platform, "residues are not believed"));
    assert_int_equal(run(bench, device, BLOCK_READ), 0);
    assert_memory_equal(bench->buffer.data, usb_model_unit_data(&disk.target.units[0]) + 8 * 512, 8 * 512);
    assert_int_equal(run(bench, device, BLOCK_WRITE), 0);
    finish(bench);
}

/* An INQUIRY may be padded: its residue is no reason to doubt those that follow. */
static void a_padded_inquiry_proves_nothing(void **state)
{
    struct usb_model_bench *bench = start(USB_MODEL_FULL_RESIDUE, SCSI_INQUIRY);
    (void)state;

    struct block_device *device = usb_model_bench_disk(bench, "usb:MODEL0001", 20);
    assert_non_null(device);
    assert_int_equal(run(bench, device, BLOCK_READ), 0);
    disk.fault_opcode = SCSI_READ_10;
    assert_int_equal(run(bench, device, BLOCK_READ), -ERROR_IO);
    disk.fault_opcode = SCSI_WRITE_10;
    assert_int_equal(run(bench, device, BLOCK_WRITE), -ERROR_IO);
    finish(bench);
}

/* Sense data behind which a residue says that there is none: why a medium is not there is understood. */
static void sense_data_with_a_full_residue(void **state)
{
    struct usb_model_bench *bench = start(USB_MODEL_FULL_RESIDUE, SCSI_REQUEST_SENSE);
    (void)state;

    struct block_device *device = usb_model_bench_disk(bench, "usb:MODEL0001", 20);
    assert_non_null(device);
    disk.target.units[0].bad_lba = 9;
    disk.target.units[0].bad_count = 1;
    assert_int_equal(run(bench, device, BLOCK_READ), -ERROR_MEDIUM);
    finish(bench);
}

/*
 * A recovery is asked for, and the command on the wire comes back before it begins; the next one would hang. Those that are held
 * were promised a recovery: without it they would cost the disk.
 */
static void a_recovery_that_is_asked_for_comes(void **state)
{
    struct usb_model_bench *bench = start(USB_MODEL_NO_FAULT, -1);
    struct block_request requests[3];
    (void)state;

    struct block_device *device = usb_model_bench_disk(bench, "usb:MODEL0001", 20);
    assert_non_null(device);
    for (unsigned i = 0; i < 3; i++) {
        requests[i] = (struct block_request){
            .operation = BLOCK_READ, .lba = i, .count = 1, .buffer = &bench->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    usb_model_disk_fault_next(&disk, USB_MODEL_HANG, -1);
    disk.fault_at = 2;
    device->ops->reset(device);
    block_device_resetting(device);
    /* No fiber runs meanwhile. */
    for (unsigned i = 0; i < 1000 && !requests[0].ended; i++)
        bench->host.pollable.poll(&bench->host.pollable);
    assert_true(requests[0].ended);
    for (unsigned i = 0; i < 3; i++)
        assert_true(loop_wait_flag(&bench->loop, &requests[i].ended, UINT64_MAX));
    assert_false(device->dead);
    assert_false(bench->host.bus.dead);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(requests[i].status, 0);
    finish(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_that_always_tells_a_full_residue),
        cmocka_unit_test(a_padded_inquiry_proves_nothing),
        cmocka_unit_test(sense_data_with_a_full_residue),
        cmocka_unit_test(a_recovery_that_is_asked_for_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
