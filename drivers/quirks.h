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
};

struct quirk_entry {
    uint16_t vendor_id, device_id;
    uint32_t quirks; /* enum quirk, or-ed */
    const char *reason;
};

/* The quirks of a controller, or-ed; 0 for a well-behaved one. Logs the reasons when `log` is true. */
uint32_t quirks_find(const struct pci_device *device, bool log);

#endif
