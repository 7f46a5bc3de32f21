/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A USB host without a controller: fills struct usb_host_operations and drives the scripted devices of usb_model.h, so that the bus and
 * the drivers of devices can be tested by themselves.
 *
 * Moves on in poll(): a few transfers each time, in order on one endpoint and stream, in any order across them; done() is
 * called there, as the seam says. Operations that wait let some time pass. What a caller must not do (submit to an endpoint that is not
 * open, transfers too long, stream IDs that are not there, addressing two devices at once, operations that wait called from done()) is
 * counted in `violations`; usb_model_bench_teardown() fails on any, those of devices included.
 */
#ifndef TESTS_SUPPORT_USB_MODEL_HOST_H
#define TESTS_SUPPORT_USB_MODEL_HOST_H

#include "tests/support/test_platform.h"
#include "tests/support/usb_model.h"

#define USB_MODEL_HOST_PORTS 8
#define USB_MODEL_HOST_DEVICES 64

enum usb_model_host_operation {
    USB_MODEL_DEVICE_OPEN,
    USB_MODEL_DEVICE_ADDRESS,
    USB_MODEL_CONTROL_UPDATE,
    USB_MODEL_HUB_UPDATE,
    USB_MODEL_ENDPOINTS_OPEN,
    USB_MODEL_ENDPOINTS_CLOSE,
    USB_MODEL_ENDPOINT_RESET,
    USB_MODEL_ENDPOINT_CANCEL,
    USB_MODEL_DEVICE_RESET,
    USB_MODEL_DEVICE_CLOSE,
    USB_MODEL_SUBMIT,
    USB_MODEL_OPERATIONS
};

struct usb_model_host {
    struct usb_bus bus; /* limits and name may be changed before usb_model_host_start() */
    struct usb_hub root;
    /* The root ports; ports[0] is port 1. Odd ones (1, 3, 5, 7) are USB 2, even ones (2, 4, 6, 8) USB 3. */
    struct usb_model_port ports[USB_MODEL_HOST_PORTS];
    uint64_t operation_time; /* nanoseconds that an operation that waits takes */
    unsigned pace;           /* transfers moved at each poll, at most */

    /* Faults, at any time */
    int results[USB_MODEL_OPERATIONS]; /* what the operation answers instead of working; 0: works */
    unsigned result_times;             /* how often; 0: always */
    bool frozen;                       /* no transfer moves */
    bool silent; /* transfers to a device that is gone do not end by themselves: the port tells, nothing else */

    /* What it saw */
    unsigned calls[USB_MODEL_OPERATIONS];
    unsigned transfers, most_queued; /* ended; on one endpoint at once */
    unsigned open_devices, open_endpoints;
    unsigned violations;
    const char *violation;
    struct usb_device *last_hub; /* of hub_update(), and what it said */
    unsigned last_hub_ports, last_hub_think_time;
    bool last_hub_multiple;

    /* Its own */
    struct loop *loop;
    struct pollable pollable;
    struct usb_model_slot *slots[USB_MODEL_HOST_DEVICES];
    struct usb_model_pipe *pipes; /* open endpoints of all devices */
    unsigned polling;
    uint64_t random;
    bool started, died;
};

void usb_model_host_init(struct usb_model_host *host, struct loop *loop, struct block_registry *registry,
                         const struct usb_keyboard_sink *keys);
/* usb_bus_start() */
int usb_model_host_start(struct usb_model_host *host, struct error *error);
/* usb_bus_stop(); counts what was left open as violations. */
void usb_model_host_stop(struct usb_model_host *host);
/* The controller fails: all transfers end with -ERROR_GONE, usb_bus_die(). */
void usb_model_host_die(struct usb_model_host *host);

/* --- a bench: platform, loop, registry and a host, for cmocka tests --- */

struct usb_model_bench {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct usb_model_host host;
    struct error error;
    struct usb_keyboard_sink keys; /* keeps what was typed below */
    struct usb_key typed[256];
    unsigned typed_count;
    struct buffer buffer; /* 4 MiB */
};

/* *state is a struct usb_model_bench whose host is not started yet. */
int usb_model_bench_setup(void **state);
/* Starts the host when it is not, and waits until the bus is settled, at most so many seconds of the platform's time. */
bool usb_model_bench_settle(struct usb_model_bench *bench, unsigned seconds);
/* Runs the loop for so long. */
void usb_model_bench_run(struct usb_model_bench *bench, uint64_t nanoseconds);
/* Until a disk with this name is (not) registered; NULL after `seconds`. An empty name: any. */
struct block_device *usb_model_bench_disk(struct usb_model_bench *bench, const char *name, unsigned seconds);
bool usb_model_bench_no_disk(struct usb_model_bench *bench, const char *name, unsigned seconds);
/* Stops; fails the test on violations of the host and of devices that are plugged in. */
int usb_model_bench_teardown(void **state);

#endif
