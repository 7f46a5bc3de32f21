/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB Attached SCSI: several commands at once, and no waiting for a status before the next command goes out. UAS-3 (T10,
 * revision 04).
 *
 * Serves the interface setting with protocol 0x62 whose four pipes are named by pipe usage descriptors; at SuperSpeed only
 * with streams. Bridges that are known bad, and those that need recovery again and again, are left to bulk-only.
 */
#ifndef DRIVERS_USB_USB_UAS_H
#define DRIVERS_USB_USB_UAS_H

#include "drivers/usb/usb.h"

extern const struct usb_driver usb_uas_driver;

#endif
