/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A platform, a loop, an emulated xHCI and the driver on it: what the tests of the driver stand on.
 *
 * For transfers by themselves there is a "probe": a scripted device with a bulk endpoint in each direction (0x81, 0x02), and a
 * driver of interfaces that opens them and does nothing else.
 */
#ifndef TESTS_SUPPORT_XHCI_BENCH_H
#define TESTS_SUPPORT_XHCI_BENCH_H

#include "core/block.h"
#include "drivers/usb/xhci.h"
#include "tests/support/xhci_model.h"

#define XHCI_PROBE_DATA (4u << 20)

struct xhci_probe {
    struct usb_model_device device; /* first */
    uint8_t *in_data;               /* what it sends, from in_at on: byte i is i * 7 + i >> 8 */
    size_t in_at, in_packet_ends;   /* in_packet_ends: it sends so much, then a short packet; 0: no end */
    uint8_t *out_data;              /* what it was sent */
    size_t out_at;
    int answer; /* instead of data, once `answer_at` bytes have moved: a stall, an error, NAK; 0: none */
    size_t answer_at;
    bool answer_for_ever;
};

struct xhci_bench {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct xhci_model model;
    struct xhci *xhci;
    struct error error;
    struct usb_keyboard_sink keys;
    unsigned typed_count;
    struct {
        int (*call)(void *context);
        void *context;
        int result;
        bool ended;
    } call;               /* xhci_bench_call() */
    struct buffer buffer; /* 4 MiB and a page */
    /* Devices for the tests' use: those that were initialized are ended by the teardown. */
    struct xhci_probe probe;
    struct usb_model_disk disk;
    struct usb_model_keyboard keyboard;
};

/* Of a cmocka test: *state is a struct xhci_bench with a good controller, not yet started. */
int xhci_bench_setup(void **state);
/* Starts the controller, attaches the driver and waits until the bus has settled. */
int xhci_bench_attach(struct xhci_bench *bench);
void xhci_bench_detach(struct xhci_bench *bench);
/* Detaches; fails on violations, of the controller and of devices that are plugged in or were. */
int xhci_bench_teardown(void **state);
void xhci_bench_run(struct xhci_bench *bench, uint64_t nanoseconds);
struct block_device *xhci_bench_disk(struct xhci_bench *bench, const char *name, unsigned seconds);

/* Speed full, high or super. */
void xhci_probe_init(struct xhci_probe *probe, enum usb_speed speed, uint8_t max_streams_log2);
void xhci_probe_end(struct xhci_probe *probe);
/* The bus serves the probe with a driver of its own. */
extern const struct usb_driver *const xhci_probe_drivers[];
/* The endpoints of a probe that is at work; NULL: none is. */
struct usb_endpoint *xhci_probe_in(struct xhci_bench *bench);
struct usb_endpoint *xhci_probe_out(struct xhci_bench *bench);
/* Calls call(context) on the probe's fiber, as what waits must be. Its result; -ERROR_TIMEOUT after 60 s. */
int xhci_bench_call(struct xhci_bench *bench, int (*call)(void *context), void *context);

#endif
