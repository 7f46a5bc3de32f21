/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of the scripted disk (bulk-only and UAS) share. */
#ifndef TESTS_SUPPORT_USB_MODEL_DISK_H
#define TESTS_SUPPORT_USB_MODEL_DISK_H

#include "tests/support/usb_model.h"

/* The fault for a command with this opcode that has just come. */
enum usb_model_disk_fault usb_model_disk_pick_fault(struct usb_model_disk *disk, uint8_t opcode);
uint64_t usb_model_disk_random(struct usb_model_disk *disk);
/* Not yet: NAK. */
bool usb_model_disk_lazy(struct usb_model_disk *disk);
/* Where the data of a command ends when a fault cuts it in the middle: whole packets. */
size_t usb_model_disk_half(const struct usb_model_disk *disk, uint8_t address, size_t length);
/*
 * What a fault that both kinds know changes before data moves through this endpoint: where the data ends, whether the command fails with
 * ABORTED COMMAND, whether the disk hangs until its port is reset, or for ever.
 */
void usb_model_disk_begin_fault(struct usb_model_disk *disk, enum usb_model_disk_fault fault, uint8_t address,
                                struct usb_model_task *task, size_t *limit);

int usb_model_uas_out(struct usb_model_disk *disk, uint8_t address, unsigned stream, const uint8_t *data,
                      size_t length);
int usb_model_uas_in(struct usb_model_disk *disk, uint8_t address, unsigned stream, uint8_t *data, size_t max);
void usb_model_uas_reset(struct usb_model_disk *disk);

#endif
