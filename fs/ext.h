/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ext2, ext3 and ext4 through libext2fs: what its reader (ext.c) and its store (ext_store.c) share. */
#ifndef FS_EXT_H
#define FS_EXT_H

#include "fs/volume.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

/*
 * Feature bits whose meaning for allocation is known here ("ext4 Data Structures and Algorithms", super block, s_feature_*). The checks
 * are ours, the library's are passed over (EXT2_FLAG_FORCE): it knows fewer bits than it handles (multi-mount protection).
 */
#define EXT_KNOWN_COMPAT EXT2_LIB_FEATURE_COMPAT_SUPP
#define EXT_KNOWN_INCOMPAT (EXT2_LIB_FEATURE_INCOMPAT_SUPP | EXT4_FEATURE_INCOMPAT_MMP)
#define EXT_KNOWN_RO_COMPAT EXT2_LIB_FEATURE_RO_COMPAT_SUPP

/*
 * Opens with descriptors read and no bitmap; checksums are verified. `io` outlives the handle. Returns the library's error code; the
 * failure below it, if any, is in io->error.
 */
errcode_t ext_open(struct volume_io *io, ext2_filsys *fs);
/* Reads the superblock at byte 1024 with nothing of the library. */
int ext_read_superblock(struct volume_io *io, struct ext2_super_block *super);
/* Writes a run of bytes past the channel's cache, which forgets what it had of it. */
int ext_write_data(ext2_filsys fs, uint64_t offset, const void *data, size_t size);

/* Stream store over a volume; see core/filesystem.h. */
int ext_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                   struct error *error);

#endif
