/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xHCI host controllers: polled, one event ring, as many command and transfer rings as there are users.
 *
 * Follows the eXtensible Host Controller Interface 1.2; works with 0.96 to 1.2 controllers. Main processor only.
 */
#ifndef DRIVERS_USB_XHCI_H
#define DRIVERS_USB_XHCI_H

#include "drivers/usb/usb.h"

struct xhci;

bool xhci_matches(const struct pci_device *pci);

/*
 * Takes the controller from the firmware (its own driver, and its system management mode's hand on it), resets it and starts a bus
 * on it; devices appear while the loop runs (usb_bus_wait_settled()), disks in the registry as "usb:SERIAL". Waits, some milliseconds.
 * On failure the function is the firmware's again. Errors: what pci_claim says, ERROR_NO_MEMORY, ERROR_TIMEOUT, ERROR_GONE,
 * ERROR_PROTOCOL, ERROR_UNSUPPORTED.
 */
int xhci_attach(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                const struct usb_keyboard_sink *keys, struct xhci **xhci, struct error *error);
/* Stops the bus (disks flushed), resets the controller, gives the function back. Waits, bounded. Frees it. */
void xhci_detach(struct xhci *xhci);
/* Its bus, to count keyboards and disks. */
struct usb_bus *xhci_bus(struct xhci *xhci);

#endif
