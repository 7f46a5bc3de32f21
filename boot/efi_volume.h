/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes of the firmware's file system driver (FAT): finding one by label, UUID or as the boot stick, and
 * its files as image stores and whole texts.
 */
#ifndef BOOT_EFI_VOLUME_H
#define BOOT_EFI_VOLUME_H

#include "boot/efi_firmware.h"
#include "core/filesystem.h"
#include "core/stream.h"

/* A volume by its handle. Valid until controllers change hands: look it up again afterwards. */
struct firmware_volume {
    EFI_HANDLE handle;
    EFI_FILE_IO_INTERFACE *file_system;
    char label[64]; /* UTF-8 */
    char uuid[16];  /* "1234-ABCD" as blkid prints it; empty: unknown */
    bool read_only;
    bool is_fat; /* by its boot sector, also when that cannot be read; other file systems are for the drivers of fs/ */
    uint64_t free_space, size; /* bytes */
};

/* Fills `volume` for a handle. false: it has no file system that can be opened. */
bool firmware_volume_read(struct firmware *firmware, EFI_HANDLE handle, struct firmware_volume *volume);
/* The first volume, of all handles, for which `wanted` says true. */
bool firmware_volume_find(struct firmware *firmware, struct firmware_volume *volume,
                          bool (*wanted)(const struct firmware_volume *volume, void *context), void *context);

/*
 * An image on a volume: `path` with backslashes, "\pc.eid"; volume 1 on is "\pc.eid.001". Takes nothing
 * over: handles are closed with the store. Folders on the way are made when writing. *store is freed by its
 * close. `users` (may be NULL) is counted up now and down when it is closed. If the
 * caller fills store->disk, it holds the disk, and the store lets go of it.
 */
int firmware_store_open(struct loop *loop, struct firmware *firmware, const struct firmware_volume *volume,
                        const char *path, const char *name, bool write, unsigned *users, struct stream_store **store,
                        struct error *error);

/*
 * A whole small file, zero-ended, platform_allocate()d. -ERROR_NOT_FOUND, -ERROR_OUT_OF_RANGE when above
 * `limit`.
 */
int firmware_file_read(struct firmware *firmware, const struct firmware_volume *volume, const char *path, size_t limit,
                       char **text, size_t *size);
/* As list_files in core/filesystem.h has it; `path` is a folder. */
int firmware_folder_list(struct firmware *firmware, const struct firmware_volume *volume, const char *path,
                         filesystem_found *found, void *context);
/* Appends and flushes, making the file and its folder if need be. */
int firmware_file_append(struct firmware *firmware, const struct firmware_volume *volume, const char *path,
                         const void *data, size_t size);

#endif
