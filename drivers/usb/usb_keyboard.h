/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB keyboards by the boot protocol (Device Class Definition for Human Interface Devices 1.11, appendices B, C and F),
 * and what their keys mean to a program of the firmware.
 *
 * Main processor only.
 */
#ifndef DRIVERS_USB_USB_KEYBOARD_H
#define DRIVERS_USB_USB_KEYBOARD_H

#include "drivers/usb/usb.h"

/*
 * One binding for each boot keyboard interface. While it works it counts in bus->keyboards: it has answered control
 * requests, and a transfer waits for its reports. Keys go to bus->keys; keys held down are repeated (500 ms, then 30 times
 * a second).
 */
extern const struct usb_driver usb_keyboard_driver;

/* The modifiers of a boot report's first byte (HID 1.11, 8.3). */
enum usb_modifier {
    USB_MODIFIER_LEFT_CONTROL = 1 << 0,
    USB_MODIFIER_LEFT_SHIFT = 1 << 1,
    USB_MODIFIER_LEFT_ALT = 1 << 2,
    USB_MODIFIER_LEFT_LOGO = 1 << 3,
    USB_MODIFIER_RIGHT_CONTROL = 1 << 4,
    USB_MODIFIER_RIGHT_SHIFT = 1 << 5,
    USB_MODIFIER_RIGHT_ALT = 1 << 6,
    USB_MODIFIER_RIGHT_LOGO = 1 << 7,
};
#define USB_MODIFIERS_CONTROL (USB_MODIFIER_LEFT_CONTROL | USB_MODIFIER_RIGHT_CONTROL)
#define USB_MODIFIERS_SHIFT (USB_MODIFIER_LEFT_SHIFT | USB_MODIFIER_RIGHT_SHIFT)

/* --- usb_keyboard_layout.c: pure --- */

/*
 * A key as a text input of the firmware gives it: a scan code (UEFI 2.10, table 12.2) or a character of the US layout,
 * never both. Both zero: a modifier or a lock by itself.
 */
struct usb_keystroke {
    uint16_t scan_code, character;
    bool shift_used; /* shift has chosen the character, so that it is no longer a modifier of it (UEFI 2.10, 12.2.3) */
};

/* false: the key means nothing here. */
bool usb_keystroke_of(const struct usb_key *key, struct usb_keystroke *keystroke);
/* Control and a letter make a control character where there is no word about modifiers: 'c' becomes 3. */
uint16_t usb_keystroke_control(uint16_t character, uint8_t modifiers);

#endif
