/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of disks of this run, as efi_devices.c, efi_publish.c and efi_files.c share it. */
#ifndef BOOT_EFI_DEVICES_H
#define BOOT_EFI_DEVICES_H

#include "boot/efi_disk.h"

struct published;
struct native_controller;
struct usb_controller;

struct device_set {
    struct firmware *firmware;
    struct loop *loop;
    struct block_registry *registry;
    struct native_controller *controllers;
    struct usb_controller *usb; /* efi_usb.c: all of the machine, whoever has them */
    bool started;
    struct published *published;
    EFI_DEVICE_PATH *boot_path;       /* of the volume that the application came from; NULL: none that is a disk's */
    char boot_disk[BLOCK_NAME_MAX];   /* what its disk says it is; empty: none */
    char boot_place[BLOCK_PLACE_MAX]; /* where that is plugged in */
    struct block_device *store_disk;  /* where the open image stores lie; valid while store_users > 0 */
    EFI_HANDLE store_volume;
    struct block_device *target; /* the firmware's drivers have let go of it */
    unsigned store_users;
};

/*
 * The disk below a handle's device path: whose it is, ours (published) or the firmware's. NULL: not one of
 * ours.
 */
struct block_device *devices_disk_of_path(struct device_set *set, const EFI_DEVICE_PATH *path);

/* What a disk is and who drives it, into the log. */
void devices_log(struct machine *machine, struct block_device *device);

/*
 * Shows all disks of ours to the firmware but the target of a job; what is shown already stays as it is. Only who looks for the
 * firmware's volumes needs that: it reads every disk's tables and file systems, and is slow. Who looks for the boot volume shows the boot
 * disk alone: another one that hangs costs nothing then.
 */
void devices_publish(struct machine *machine, bool boot_disk_only);

/* --- efi_usb.c --- */
/* Takes the USB controllers that were ours before, with io=native all of them. */
void usb_start(struct machine *machine);
/* Until everything that is plugged into our controllers has been looked at; bounded. */
void usb_wait_settled(struct machine *machine);
/* Reaps what our controllers have done: their disks' requests end by that. At any depth, for calls that come from outside. */
void usb_poll(struct device_set *set);
/* Gives all controllers back to the firmware. */
void usb_stop(struct machine *machine);
void usb_forget(struct machine *machine);

/* --- efi_publish.c --- */
/*
 * Shows a disk of ours to the firmware, whose partition and file system drivers then find it. writable: its
 * volumes may be written to (the boot stick, an image's volume). Already published: changes writable if
 * need be. The firmware's calls may arrive at any depth and at raised TPL: they reap, never dispatch.
 */
int device_publish(struct device_set *set, struct block_device *device, bool writable, struct error *error);
/* Takes it back; the firmware's handles on it are gone then. Not published: nothing to do. */
void device_unpublish(struct device_set *set, struct block_device *device);
bool device_is_published(struct device_set *set, struct block_device *device);
/* The disk is gone and its memory goes: the firmware sees no medium any more. On any fiber; published_sweep() does the rest. */
void published_orphan(struct device_set *set, const struct block_device *device);
/* Takes back what belonged to disks that are gone, unless an image's files may be open there. */
void published_sweep(struct device_set *set);
/* Is this path one of a published disk, also of one that is gone? */
bool published_has_path(struct device_set *set, const EFI_DEVICE_PATH *path);
/* The published disk whose device path this one begins with; NULL: none. */
struct block_device *published_disk_of_path(struct device_set *set, const EFI_DEVICE_PATH *path);

#endif
