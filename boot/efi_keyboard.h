/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keyboards that our own USB drivers serve, as a text input of the firmware: so the firmware's console, and through it
 * the prompt, go on getting keys after a controller was taken. No type of efi.h appears here. Boot processor only.
 *
 *     machine_keyboard_start(machine, &error);                       before the first xhci_attach()
 *     xhci_attach(..., machine_keyboard_sink(machine), ...);
 *     xhci_bus(xhci)->keyboards                                      how many have answered and are at work
 *     xhci_detach(xhci);
 *     machine_keyboard_stop(machine);                                after the last one, and before ConnectController
 *
 * Keys move when the loop is polled; reading a key from the firmware polls it too (loop_poll). Lamps, recovery and plugging
 * need the loop's steps (loop_step), for they are done on fibers.
 */
#ifndef BOOT_EFI_KEYBOARD_H
#define BOOT_EFI_KEYBOARD_H

#include <stdbool.h>

struct error;
struct machine;
struct usb_keyboard_sink;

/*
 * Installs EFI_SIMPLE_TEXT_INPUT(_EX)_PROTOCOL on a handle of its own and lets the firmware's console take it up. Started
 * already: nothing to do. 0, -ERROR_NO_MEMORY, or what the firmware says when it refuses the handle.
 */
int machine_keyboard_start(struct machine *machine, struct error *error);
/* Takes it back; keys that nobody has read are lost. Not started: nothing to do. No keyboard may use the sink any more. */
void machine_keyboard_stop(struct machine *machine);
/* Where keyboards send their keys, for xhci_attach(); NULL: not started. The same until machine_keyboard_stop(). */
const struct usb_keyboard_sink *machine_keyboard_sink(struct machine *machine);
/* Has a key come from any of our keyboards since the start? Then they certainly work. */
bool machine_keyboard_has_typed(struct machine *machine);

/*
 * For the self-check (efi_keyboard_check.c): what does not work, NULL when all does. *through_console: the firmware's console
 * has taken our keyboards up; otherwise only this program reads them.
 */
const char *machine_keyboard_check(struct machine *machine, bool *through_console);

#endif
