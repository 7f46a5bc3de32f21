/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file systems of this room, as tables for core/filesystem.h. filesystem_register_all() registers them in the order in which
 * they are asked: containers first, then those with a strong signature.
 */
#ifndef FS_DRIVERS_H
#define FS_DRIVERS_H

#include "core/filesystem.h"

extern const struct filesystem_driver ext_filesystem;  /* ext2, ext3, ext4; files through libext2fs */
extern const struct filesystem_driver ntfs_filesystem; /* files through libntfs-3g */
extern const struct filesystem_driver fat_filesystem;  /* FAT12, FAT16, FAT32 */
extern const struct filesystem_driver exfat_filesystem;
extern const struct filesystem_driver swap_filesystem;
/* Recognised, always whole. */
extern const struct filesystem_driver bitlocker_filesystem, luks_filesystem, lvm_filesystem, raid_filesystem;
extern const struct filesystem_driver apfs_filesystem, refs_filesystem, xfs_filesystem, squashfs_filesystem;
extern const struct filesystem_driver btrfs_filesystem, hfsplus_filesystem, iso9660_filesystem;

#endif
