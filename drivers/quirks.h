/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Controllers that need other treatment than their specification says: one table, each entry with its reason.
 * An entry without a reason is not taken.
 */
#ifndef DRIVERS_QUIRKS_H
#define DRIVERS_QUIRKS_H

#include "core/platform.h"

enum quirk {
    /* After CC.EN changed, CSTS must not be read for 2.3 s. */
    QUIRK_NVME_SLOW_READY = 1 << 0,
    /* Write Zeroes is announced, but fails, is very slow, or leaves old data. */
    QUIRK_NVME_NO_WRITE_ZEROES = 1 << 1,
    /* One command at a time. */
    QUIRK_NVME_DEPTH_ONE = 1 << 2,
    /* Not NVMe as specified: the firmware's driver knows it, ours does not. */
    QUIRK_NVME_FOREIGN = 1 << 3,
    /* The Identify command knows CNS 0 and 1 only. */
    QUIRK_NVME_OLD_IDENTIFY = 1 << 4,
    /* Addresses above 4 GiB do not work, whatever CAP.S64A says. */
    QUIRK_AHCI_32_BITS = 1 << 5,
    /* Queued commands do not work, whatever CAP.SNCQ says. */
    QUIRK_AHCI_NO_QUEUE = 1 << 6,
    /* Streams do not work, whatever HCCPARAMS1.MaxPSASize says. */
    QUIRK_XHCI_NO_STREAMS = 1 << 7,
    /* Addresses above 4 GiB do not work, whatever HCCPARAMS1.AC64 says. */
    QUIRK_XHCI_32_BITS = 1 << 8,
};

struct quirk_entry {
    uint16_t vendor_id, device_id;
    uint32_t quirks; /* enum quirk, or-ed */
    const char *reason;
};

/* USB devices, by vendor, product and release. */
enum usb_quirk {
    /* Bulk-only, although UAS is offered. */
    USB_QUIRK_NO_UAS = 1 << 0,
    /* Bulk-only when UAS offers 32 streams: two bridges share one identity, and only the newer one works. */
    USB_QUIRK_NO_UAS_32_STREAMS = 1 << 1,
    /* Transfers of at most 64 KiB, or 32 KiB. */
    USB_QUIRK_TRANSFER_64K = 1 << 2,
    USB_QUIRK_TRANSFER_32K = 1 << 3,
    /* READ CAPACITY (16) hangs the device or is answered with nonsense. */
    USB_QUIRK_NO_READ_CAPACITY_16 = 1 << 4,
    /* The capacity that is reported is the number of blocks, not the last block. */
    USB_QUIRK_CAPACITY_PLUS_ONE = 1 << 5,
    /* No vital product data pages. */
    USB_QUIRK_NO_VPD = 1 << 6,
    /* MODE SENSE hangs the device: write protection is not asked for. */
    USB_QUIRK_NO_MODE_SENSE = 1 << 7,
    /* SYNCHRONIZE CACHE hangs the device or fails. */
    USB_QUIRK_NO_SYNCHRONIZE_CACHE = 1 << 8,
    /* The residue in the status wrapper is wrong. */
    USB_QUIRK_IGNORE_RESIDUE = 1 << 9,
    /* Only logical unit 0 is there, whatever is said. */
    USB_QUIRK_ONE_LUN = 1 << 10,
    /* REPORT LUNS hangs the device. */
    USB_QUIRK_NO_REPORT_LUNS = 1 << 11,
    /* WRITE SAME hangs the device or fails in ways that cost a reset. */
    USB_QUIRK_NO_WRITE_SAME = 1 << 12,
    /* UNMAP leaves something else than it says. */
    USB_QUIRK_NO_UNMAP = 1 << 13,
    /* Requests for strings hang the device. */
    USB_QUIRK_NO_STRINGS = 1 << 14,
    /* One UAS command at a time. */
    USB_QUIRK_UAS_DEPTH_ONE = 1 << 15,
};

struct usb_quirk_entry {
    uint16_t vendor_id, product_id;
    uint16_t release_first, release_last; /* bcdDevice, both included */
    uint32_t quirks;                      /* enum usb_quirk, or-ed */
    const char *reason;
};

/* The quirks of a USB device, or-ed; 0 for a well-behaved one. Logs the reasons, with `name` in front, unless that is NULL. */
uint32_t usb_quirks_find(struct platform *platform, const char *name, uint16_t vendor_id, uint16_t product_id,
                         uint16_t release);

/* The quirks of a controller, or-ed; 0 for a well-behaved one. Logs the reasons when `log` is true. */
uint32_t quirks_find(const struct pci_device *device, bool log);

#endif
