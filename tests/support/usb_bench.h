/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benches of the scripted host (usb_model_host.h) and of the emulated xHCI (xhci_bench.h) share. */
#ifndef TESTS_SUPPORT_USB_BENCH_H
#define TESTS_SUPPORT_USB_BENCH_H

#include "tests/support/usb_model.h"

/* Until a disk with this name is registered; NULL: none after `seconds` of the platform's time. An empty name: any. */
struct block_device *usb_bench_disk(struct loop *loop, const struct block_registry *registry, const char *name,
                                    unsigned seconds);
/* Until none is. False: it is still there. */
bool usb_bench_no_disk(struct loop *loop, const struct block_registry *registry, const char *name, unsigned seconds);
/* Rules of the bus that were broken at these ports, behind hubs too; prints them. */
unsigned usb_bench_violations(const struct usb_model_port *ports, unsigned count);

#endif
