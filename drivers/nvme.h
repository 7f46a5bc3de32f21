/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NVMe controllers: one I/O queue pair, polled, one block device per active namespace.
 *
 * Follows the NVM Express Base Specification 1.4c; works with 1.0 to 2.0 controllers. Main processor only.
 */
#ifndef DRIVERS_NVME_H
#define DRIVERS_NVME_H

#include "core/block.h"

struct nvme_controller;

/* Is this a function that nvme_attach() can drive (by class code)? */
bool nvme_matches(const struct pci_device *pci);

/*
 * Takes the controller from the firmware, brings it up and registers its namespaces: "nvme:SERIAL" for namespace 1,
 * "nvme:SERIAL/n2" for namespace 2 and so on; a controller with the serial number of another one is "nvme:SERIAL@" and
 * its place. Namespaces that cannot be copied (metadata in the blocks, zoned) are left out with a line in the log. Waits,
 * the loop running. On failure the function is the firmware's again.
 * Errors: what pci_claim says, ERROR_NO_MEMORY, ERROR_TIMEOUT, ERROR_GONE, ERROR_PROTOCOL, ERROR_UNSUPPORTED, ERROR_IO.
 */
int nvme_attach(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                struct nvme_controller **controller, struct error *error);

/*
 * The same in three parts, for several controllers side by side: begin takes the controller and starts its bring-up, which
 * nvme_attach_settled() moves on, bounded by deadlines of its own, until it is true. Then finish registers the namespaces; a
 * controller that it fails with is the firmware's again and freed. Names depend on the order of the finishes alone.
 */
int nvme_attach_begin(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                      struct nvme_controller **controller, struct error *error);
bool nvme_attach_settled(struct nvme_controller *controller);
int nvme_attach_finish(struct nvme_controller *controller, struct error *error);

/*
 * Stops and unregisters its block devices (flushed), shuts the controller down as the drive wants it before power-off,
 * and gives the function back to the firmware. Waits, bounded; a dead controller is only cut off. Frees the controller.
 */
void nvme_detach(struct nvme_controller *controller);

#endif
