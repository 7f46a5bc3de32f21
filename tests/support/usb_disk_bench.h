/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scripted bulk-only disk beside the bench of usb_model_host.h, for cmocka tests of its driver: plugged in, found as a block device, read from.
 */
#ifndef TESTS_SUPPORT_USB_DISK_BENCH_H
#define TESTS_SUPPORT_USB_DISK_BENCH_H

#include "tests/support/usb_model_host.h"

/* What usb_disk_make()'s first unit is called. */
#define USB_DISK_NAME "usb:MODEL0001"
#define USB_DISK_REQUESTS 16u

struct usb_disk_bench {
    struct usb_model_bench *bench;
    struct usb_model_disk model;
    struct block_request requests[USB_DISK_REQUESTS]; /* of usb_disk_submit_reads(), or a test's own */
    unsigned ended;                                   /* of these */
    /* Its own */
    bool made;
    unsigned expected;
};

/* *state is a struct usb_disk_bench without a disk. The teardown fails the test on violations of the host and the disk. */
int usb_disk_setup(void **state);
int usb_disk_teardown(void **state);

/* Makes the disk, which may be changed before it is plugged in. */
void usb_disk_make(struct usb_disk_bench *disk, enum usb_speed speed, unsigned units);
/* The first unit. */
struct usb_model_unit *usb_disk_unit(struct usb_disk_bench *disk);
/* Into port 1, which is a USB 2 port, or port 2, a USB 3 port. */
void usb_disk_plug(struct usb_disk_bench *disk);
/* Waits until the bus is settled and a disk of this name is there; fails the test when none comes. */
struct block_device *usb_disk_find(struct usb_disk_bench *disk, const char *name);
struct block_device *usb_disk_plug_and_find(struct usb_disk_bench *disk);

/* One request with the bench's buffer, waited for. */
int usb_disk_run(struct usb_disk_bench *disk, struct block_device *device, enum block_operation operation, uint64_t lba,
                 uint64_t count);
/* Sends requests 0 to count - 1: 8 blocks each, one behind the other on the disk and in the bench's buffer. */
void usb_disk_submit_reads(struct usb_disk_bench *disk, struct block_device *device, unsigned count);
/* Until so many have ended. */
void usb_disk_wait_all(struct usb_disk_bench *disk, unsigned count);
/* Did this request read the blocks as usb_model_unit_number() left them? Fails the test when not. */
void usb_disk_check_numbered(struct usb_disk_bench *disk, unsigned request);
/* The same for requests `first` to end - 1, which must have ended well. */
void usb_disk_check_reads(struct usb_disk_bench *disk, unsigned first, unsigned end);
/* The platform's time. */
uint64_t usb_disk_now(struct usb_disk_bench *disk);

#endif
