/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * External hubs. USB 2.0, chapter 11; USB 3.2, chapter 10. A driver of interfaces like the others; what it finds on its ports is
 * handled by usb_port.c, as on root ports.
 */
#ifndef DRIVERS_USB_USB_HUB_H
#define DRIVERS_USB_USB_HUB_H

#include "drivers/usb/usb.h"

extern const struct usb_driver usb_hub_driver;

#endif
