/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NTFS through libntfs-3g: what its reader (ntfs.c) and its store (ntfs_store.c) share. */
#ifndef FS_NTFS_H
#define FS_NTFS_H

#include "fs/volume.h"

/* The library's configuration comes first: its headers depend on it. */
#include <ntfs-3g/config.h>

#include <ntfs-3g/attrib.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/layout.h>
#include <ntfs-3g/logfile.h>
#include <ntfs-3g/mft.h>
#include <ntfs-3g/misc.h>
#include <ntfs-3g/runlist.h>
#include <ntfs-3g/types.h>
#include <ntfs-3g/unistr.h>
#include <ntfs-3g/volume.h>

/* A volume as the library's device: d_private of struct ntfs_device. */
struct ntfs_volume_device {
    struct volume_io *io;
    int64_t position; /* bytes, for seek and read */
};

/*
 * Mounts. `device` and its io outlive the volume; unmount with ntfs_umount(). NULL with errno set; a failure of the disk below is in
 * device->io->error. flags: NTFS_MNT_...
 */
ntfs_volume *ntfs_mount_device(struct ntfs_volume_device *device, ntfs_mount_flags flags);

/* What stands between a volume and trust in its $Bitmap. */
struct ntfs_state {
    bool hibernated; /* hiberfil.sys holds a sleeping Windows */
    bool dirty;      /* $Volume says so */
    bool log_open;   /* $LogFile was not closed, or its state cannot be told */
};
/* Looks at $Volume, $LogFile and hiberfil.sys of a mounted volume. */
void ntfs_examine_state(ntfs_volume *volume, struct ntfs_state *state);

/* Stream store over a volume; see core/filesystem.h. */
int ntfs_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                    struct error *error);
/* The other operations on its files. */
int ntfs_look(struct block_device *volume, struct filesystem_space *space, struct error *error);
int ntfs_list_files(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                    struct error *error);

#endif
