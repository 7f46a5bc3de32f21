/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every PCI driver needs above the platform: names, capabilities, power, interrupts off.
 *
 * Register offsets are those of the PCI Local Bus Specification 3.0, section 6.1 (type 0 header), capabilities section 6.7.
 * Main processor only.
 */
#ifndef DRIVERS_PCI_H
#define DRIVERS_PCI_H

#include "core/loop.h"

#define PCI_NAME_MAX 16

enum pci_capability {
    PCI_CAPABILITY_POWER = 0x01,
    PCI_CAPABILITY_MSI = 0x05,
    PCI_CAPABILITY_VENDOR = 0x09,
    PCI_CAPABILITY_EXPRESS = 0x10,
    PCI_CAPABILITY_MSI_X = 0x11,
    PCI_CAPABILITY_SATA = 0x12,
};

#define PCI_CLASS_AHCI 0x010601u
#define PCI_CLASS_NVME 0x010802u
#define PCI_CLASS_XHCI 0x0c0330u

/* "0000:01:00.0" (segment, bus, device, function), for logs and errors until a disk's own name is known. */
void pci_name(const struct pci_device *device, char name[PCI_NAME_MAX]);

/*
 * Offset of the first capability with this ID in configuration space, or 0. Lists that loop or leave the configuration
 * space end the search.
 */
unsigned pci_find_capability(struct pci_device *device, enum pci_capability capability);

/* Wakes a function that was left in D1 to D3 (it loses its state then). Waits 10 ms in that case, the loop running. */
void pci_power_up(struct loop *loop, struct pci_device *device);

/* INTx, MSI and MSI-X off: all our drivers poll. */
void pci_disable_interrupts(struct pci_device *device);

#endif
