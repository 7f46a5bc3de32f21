/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/usb_disk_bench.h"

#define READ_BLOCKS 8
#define READ_BYTES (READ_BLOCKS * 512)

int usb_disk_setup(void **state)
{
    struct usb_disk_bench *disk = calloc(1, sizeof(*disk));
    void *bench = NULL;

    if (!disk || usb_model_bench_setup(&bench))
        return -1;
    disk->bench = bench;
    *state = disk;
    return 0;
}

int usb_disk_teardown(void **state)
{
    struct usb_disk_bench *disk = *state;
    void *bench = disk->bench;
    int status = 0;

    /* The disk is plugged into the bench, which looks for violations of what is plugged in. */
    usb_model_host_stop(&disk->bench->host);
    if (disk->made) {
        if (disk->model.device.violations)
            print_error("%s\n", disk->model.device.violation);
        status = disk->model.device.violations ? -1 : 0;
        usb_model_disk_end(&disk->model);
    }
    if (usb_model_bench_teardown(&bench))
        status = -1;
    free(disk);
    return status;
}

void usb_disk_make(struct usb_disk_bench *disk, enum usb_speed speed, unsigned units)
{
    usb_model_disk_init(&disk->model, speed, false, units);
    disk->made = true;
}

void usb_disk_plug(struct usb_disk_bench *disk)
{
    bool super = disk->model.device.speed >= USB_SPEED_SUPER;

    usb_model_plug(&disk->bench->host.ports[super ? 1 : 0], &disk->model.device);
}

struct block_device *usb_disk_find(struct usb_disk_bench *disk, const char *name)
{
    assert_true(usb_model_bench_settle(disk->bench, 120));
    struct block_device *device = usb_model_bench_disk(disk->bench, name, 5);
    assert_non_null(device);
    return device;
}

struct block_device *usb_disk_plug_and_find(struct usb_disk_bench *disk)
{
    usb_disk_plug(disk);
    return usb_disk_find(disk, USB_DISK_NAME);
}

struct usb_model_unit *usb_disk_unit(struct usb_disk_bench *disk)
{
    return &disk->model.target.units[0];
}

/* --- requests --- */

int usb_disk_run(struct usb_disk_bench *disk, struct block_device *device, enum block_operation operation, uint64_t lba,
                 uint64_t count)
{
    struct block_request request = {.operation = operation, .lba = lba, .count = count, .buffer = &disk->bench->buffer};

    return block_run(device, &request, &disk->bench->error);
}

static void count_end(struct block_request *request)
{
    struct usb_disk_bench *disk = request->context;

    disk->ended++;
}

void usb_disk_submit_reads(struct usb_disk_bench *disk, struct block_device *device, unsigned count)
{
    disk->ended = 0;
    for (unsigned i = 0; i < count; i++) {
        disk->requests[i] = (struct block_request){.operation = BLOCK_READ,
                                                   .lba = i * READ_BLOCKS,
                                                   .count = READ_BLOCKS,
                                                   .buffer = &disk->bench->buffer,
                                                   .offset = (size_t)i * READ_BYTES,
                                                   .done = count_end,
                                                   .context = disk};
        assert_int_equal(block_submit(device, &disk->requests[i]), 0);
    }
}

static bool all_ended(void *context)
{
    const struct usb_disk_bench *disk = context;

    return disk->ended == disk->expected;
}

void usb_disk_wait_all(struct usb_disk_bench *disk, unsigned count)
{
    struct loop *loop = &disk->bench->loop;

    disk->expected = count;
    assert_true(loop_wait(loop, all_ended, disk, deadline_after(loop->platform, 300 * NANOSECONDS_PER_SECOND)));
}

void usb_disk_check_numbered(struct usb_disk_bench *disk, unsigned request)
{
    const uint8_t *data = (const uint8_t *)disk->bench->buffer.data + (size_t)request * READ_BYTES;

    for (unsigned i = 0; i < READ_BYTES; i += 8) {
        uint64_t value;
        memcpy(&value, data + i, 8);
        assert_int_equal(value, ((uint64_t)request * READ_BLOCKS + i / 512) << 16 | i % 512);
    }
}

void usb_disk_check_reads(struct usb_disk_bench *disk, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        assert_int_equal(disk->requests[i].status, 0);
        usb_disk_check_numbered(disk, i);
    }
}

uint64_t usb_disk_now(struct usb_disk_bench *disk)
{
    return platform_now(disk->bench->loop.platform);
}
