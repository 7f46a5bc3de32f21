/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SATA controllers with the AHCI interface: disks with native command queuing or without, and CD drives, polled; one block
 * device per disk.
 *
 * Follows Serial ATA AHCI 1.3.1 and ACS-4; works with 1.0 controllers. Main processor only.
 */
#ifndef DRIVERS_AHCI_H
#define DRIVERS_AHCI_H

#include "core/block.h"

struct ahci_controller;

/* Is this a function that ahci_attach() can drive (by class code)? */
bool ahci_matches(const struct pci_device *pci);

/*
 * Takes the controller from the firmware, brings it up and registers its disks: "sata:SERIAL". All ports come up side by
 * side: empty ones cost a quarter of a second together, dead ones their deadline together. Devices that cannot be copied
 * (no medium, port multipliers, too old) are left out with a line in the log; a controller without any disk is no error. Waits,
 * the loop running. On failure the function is the firmware's again.
 * Errors: what pci_claim says, ERROR_NO_MEMORY, ERROR_TIMEOUT, ERROR_GONE, ERROR_PROTOCOL, ERROR_UNSUPPORTED.
 */
int ahci_attach(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                struct ahci_controller **controller, struct error *error);

/*
 * The same in three parts, for several controllers side by side: begin takes the controller and starts its bring-up, which
 * ahci_attach_settled() moves on, bounded by deadlines of its own, until it is true. Then finish registers the disks; a
 * controller that it fails with is the firmware's again and freed. Names depend on the order of the finishes alone.
 */
int ahci_attach_begin(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                      struct ahci_controller **controller, struct error *error);
bool ahci_attach_settled(struct ahci_controller *controller);
int ahci_attach_finish(struct ahci_controller *controller, struct error *error);

/*
 * Stops and unregisters its block devices (flushed), stops all ports, and gives the function back to the firmware. Waits,
 * bounded; a dead controller is only cut off. Frees the controller.
 */
void ahci_detach(struct ahci_controller *controller);

#endif
