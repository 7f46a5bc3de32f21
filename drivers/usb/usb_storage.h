/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What bulk-only and UAS share: from a transport to disks. Units and their names, media that come and go.
 *
 * Embedded in the driver's own struct, beside the transport. Main processor only.
 */
#ifndef DRIVERS_USB_USB_STORAGE_H
#define DRIVERS_USB_USB_STORAGE_H

#include "drivers/usb/scsi.h"
#include "drivers/usb/usb.h"

#define USB_STORAGE_UNITS_MAX 16u /* policy; bulk-only cannot name more */

enum usb_unit_state {
    USB_UNIT_NONE,  /* no disk: not looked at again */
    USB_UNIT_EMPTY, /* no medium there, or a bad one: looked at again and again */
    USB_UNIT_DISK
};

struct usb_storage {
    struct usb_device *device;
    struct scsi_transport *transport;
    const char *driver; /* "usb" or "uas" */
    struct usb_storage_unit {
        enum usb_unit_state state;
        uint8_t lun;
        struct scsi_disk *disk;
        uint64_t not_before; /* an empty one is looked at again */
    } units[USB_STORAGE_UNITS_MAX];
    unsigned unit_count;
    struct pollable pollable; /* asks for service() */
    uint64_t next_look;
};

extern const struct usb_driver usb_bulk_only_driver; /* usb_bulk_only.c */

/*
 * On the device's fiber, waits. The transport is at work; its device and quirks are filled in here. Logical units 0 to max_lun
 * become disks; max_lun UINT_MAX: the units that REPORT LUNS tells. -ERROR_UNSUPPORTED: nothing here is a disk or may become
 * one. After a failure nothing is left behind (no command is under way).
 */
int usb_storage_start(struct usb_storage *storage, struct usb_binding *binding, struct scsi_transport *transport,
                      unsigned max_lun, const char *driver, struct error *error);
/* On the device's fiber, from the driver's service() after the transport's own: media that came or went. */
void usb_storage_service(struct usb_storage *storage);
/* At any depth: all its disks die now. */
void usb_storage_gone(struct usb_storage *storage);
/*
 * On the device's fiber: disks are flushed, unless they are gone, and taken away. Commands of those that were gone may still be
 * under way; their memory is freed when the last has ended.
 */
void usb_storage_stop(struct usb_storage *storage);

/*
 * The name of the disk without "/lun1": "usb:SERIAL", or where it is plugged in, "usb:14.0-port3", ports counted from 0: as
 * boot/efi_disk_identity.c names the same disk.
 */
void usb_storage_name(const struct usb_device *device, char *name, size_t size);
/* The place alone: PCI functions from the root ("1c.0-0.0"), then ports. */
void usb_storage_place(const struct usb_device *device, char *text, size_t size);

#endif
