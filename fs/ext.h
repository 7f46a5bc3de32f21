/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ext2, ext3 and ext4 through libext2fs: what its reader (ext.c) and its store (ext_store.c) share. */
#ifndef FS_EXT_H
#define FS_EXT_H

#include "fs/volume.h"

/* The header's inline functions would call malloc here; those inside the library call what stands in for it. */
#define NO_INLINE_FUNCS
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

/* --- a volume that is written (ext_alloc.c) --- */

/*
 * The library's bitmaps are never read whole (512 MiB at 16 TiB). Its block and inode bitmap start with everything marked as used;
 * groups are loaded when space is needed, so its allocators see free space there and nowhere else. Only groups that changed are
 * written back.
 */
struct ext_group {
    bool blocks_loaded, inodes_loaded, changed;
    uint32_t free_blocks, free_inodes; /* of the descriptor, as last written or read */
};

struct ext_volume {
    struct volume_io *io;
    ext2_filsys fs;
    struct ext_group *groups; /* NULL: the volume is only read */
    dgrp_t next_group;        /* where loading goes on */
    dgrp_t groups_seen;       /* in this pass */
    unsigned pass;            /* 0: groups with much free space, 1: any, 2: none are left */
    uint64_t loaded_free;     /* blocks that were free in the loaded groups when they were loaded */
    uint64_t free_at_mount;   /* blocks, of the superblock */
    bool changed;             /* the superblock on disk is marked as not clean */
    bool failed;              /* something was left half done: stays marked */
};

/* Refuses what must not be written: -ERROR_REFUSED and words in error->detail. */
int ext_check_writable(struct ext_volume *volume, const struct ext2_super_block *super, struct error *error);
int ext_prepare_writing(struct ext_volume *volume, struct error *error);
/* Before the first change: clears EXT2_VALID_FS on disk, durable. */
int ext_begin_change(struct ext_volume *volume, struct error *error);
/* Loads groups until about `blocks` can be allocated, beginning near `group`. -ERROR_NO_SPACE: there are less. */
int ext_provide_blocks(struct ext_volume *volume, uint64_t blocks, struct error *error);
struct ext_free_run {
    blk64_t start;
    uint64_t length; /* blocks; 0: none found */
};
/*
 * The first run of at least `least` free blocks in [from, end], cut at `wanted`; *longest gathers the longest of those that are too
 * short. *looks bounds the search. (ext2fs_new_range() never returns when it looks for a length that nowhere is.)
 */
bool ext_find_free_run(ext2_filsys fs, blk64_t from, blk64_t end, uint64_t least, uint64_t wanted, unsigned *looks,
                       struct ext_free_run *longest);
/* Loads a group whose inodes can be allocated, looking from `group` on. */
int ext_provide_inode(struct ext_volume *volume, dgrp_t group, dgrp_t *found, struct error *error);
/* Loads the group of a block or inode that is about to be freed. */
int ext_provide_group(struct ext_volume *volume, dgrp_t group, struct error *error);
/* Writes what changed: bitmaps, descriptors, superblock; then flushes the disk. */
int ext_flush_volume(struct ext_volume *volume, struct error *error);
/* Marks the volume clean again, if all went well. */
int ext_end_change(struct ext_volume *volume, struct error *error);
/* The library's failure as ours: the disk's own error if it was the disk. */
int ext_error(struct ext_volume *volume, errcode_t status, enum error_operation operation, const char *what,
              struct error *error);

/* --- looking (ext_look.c); see struct volume_file_ops --- */

int ext_check_space(void *context, struct error *error);
int ext_list(void *context, const char *path, struct volume_list *list, struct error *error);

/* Stream store over a volume; see core/filesystem.h. */
int ext_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                   struct error *error);
/* The other operations on its files. */
int ext_look(struct block_device *volume, struct filesystem_space *space, struct error *error);
int ext_list_files(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                   struct error *error);

#endif
