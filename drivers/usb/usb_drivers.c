/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drivers of interfaces that there are. */
#include "drivers/usb/usb_hub.h"
#include "drivers/usb/usb_keyboard.h"
#include "drivers/usb/usb_storage.h"
#include "drivers/usb/usb_uas.h"

const struct usb_driver *const usb_drivers[] = {
    &usb_hub_driver, &usb_keyboard_driver, &usb_bulk_only_driver, &usb_uas_driver, NULL,
};
