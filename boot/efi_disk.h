/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks between the firmware and the core, in both directions: the firmware's block I/O as a block device,
 * and our block devices as the firmware's block I/O.
 */
#ifndef BOOT_EFI_DISK_H
#define BOOT_EFI_DISK_H

#include "boot/efi_firmware.h"
#include "core/block.h"

/* A disk that the firmware drives (EFI_BLOCK_IO). */
struct firmware_disk {
    struct block_device device; /* first */
    struct firmware *firmware;
    EFI_HANDLE handle;
    EFI_BLOCK_IO *io;
    EFI_DEVICE_PATH *path; /* ours */
    UINT32 media_id;
    UINT64 mark_seed;                    /* of the marks that a read must overwrite */
    bool lied;                           /* it has said of a read that failed that it went well, and we have said so */
    bool busy;                           /* inside a call of the firmware */
    struct block_request *first, **last; /* accepted, not yet carried out */
    unsigned queued;
};

/*
 * Opens a handle's block I/O as a block device and starts it; the caller registers it. -ERROR_UNSUPPORTED:
 * a partition, no medium, or a geometry beyond what core/block.h allows.
 */
int firmware_disk_open(struct loop *loop, struct firmware *firmware, EFI_HANDLE handle, struct block_device **device);
/* Is this one of them? NULL: no. */
struct firmware_disk *firmware_disk_of(struct block_device *device);
/* Is it still plugged in, with the same medium? */
bool firmware_disk_is_there(struct firmware_disk *disk);
/* Fills bus, model, serial, firmware and name (efi_disk_identity.c). */
void firmware_disk_identify(struct firmware *firmware, struct firmware_disk *disk);

#endif
