/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Free space of an ext volume that is written, and its metadata's way to the disk: see struct ext_volume in fs/ext.h.
 *
 * The journal is not used: it is empty (a volume that needs recovery is refused), and the valid bit is cleared on disk before the first
 * change, so that a power cut is seen and e2fsck looks at everything.
 */
#include "fs/ext.h"

#include "core/library.h"

#include <string.h>

/* Beyond what was asked for: extent blocks, directory blocks. Policy. */
#define MARGIN_BYTES (4u * 1024 * 1024)

int ext_error(struct ext_volume *volume, errcode_t status, enum error_operation operation, const char *what,
              struct error *error)
{
    const char *name = volume->io->device->name;

    if (volume->io->error.code != ERROR_NONE) {
        if (error)
            *error = volume->io->error;
        if (!volume->io->failed)
            volume->io->error.code = ERROR_NONE;
        return -(int)(error ? error->code : ERROR_IO);
    }
    switch (status) {
    case EXT2_ET_NO_MEMORY:
        return error_set(error, ERROR_NO_MEMORY, operation, name, ERROR_NO_BLOCK, "%s", what);
    case EXT2_ET_BLOCK_ALLOC_FAIL:
    case EXT2_ET_INODE_ALLOC_FAIL:
    case EXT2_ET_DIR_NO_SPACE:
        return error_set(error, ERROR_NO_SPACE, operation, name, ERROR_NO_BLOCK, "%s", what);
    case EXT2_ET_FILE_NOT_FOUND:
        return error_set(error, ERROR_NOT_FOUND, operation, name, ERROR_NO_BLOCK, "%s", what);
    default:
        return error_set(error, ERROR_CORRUPT, operation, name, ERROR_NO_BLOCK, "%s (libext2fs %ld)", what,
                         (long)status);
    }
}

static int refuse(struct ext_volume *volume, const char *why, struct error *error)
{
    return error_set(error, ERROR_REFUSED, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", why);
}

/* Features that the library knows and that this way of writing would break. */
#define REFUSED_RO_COMPAT                                                                                              \
    (EXT4_FEATURE_RO_COMPAT_QUOTA | EXT4_FEATURE_RO_COMPAT_PROJECT | EXT4_FEATURE_RO_COMPAT_READONLY |                 \
     EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS | EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT)

int ext_check_writable(struct ext_volume *volume, const struct ext2_super_block *super, struct error *error)
{
    if (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER)
        return refuse(volume, "its journal needs recovery; mount it under Linux once, then try again", error);
    if (super->s_state & EXT2_ERROR_FS)
        return refuse(volume, "it says of itself that it has errors; run e2fsck on it first", error);
    if (!(super->s_state & EXT2_VALID_FS))
        return refuse(volume, "it was not unmounted cleanly; run e2fsck on it first", error);
    if (super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_MMP)
        return refuse(volume, "it is shared with other machines (multi-mount protection)", error);
    if ((super->s_feature_ro_compat & ~EXT_KNOWN_RO_COMPAT) || (super->s_feature_compat & ~EXT_KNOWN_COMPAT) ||
        (super->s_feature_ro_compat & REFUSED_RO_COMPAT))
        return refuse(volume, "it has a feature that cannot be kept right from here", error);
    return 0;
}

static uint64_t free_blocks(const struct ext_volume *volume)
{
    return ext2fs_free_blocks_count(volume->fs->super);
}

/* Everything counts as used until its group is loaded. The range function takes 32-bit counts. */
static void mark_all(ext2fs_generic_bitmap map, uint64_t first, uint64_t end)
{
    const uint64_t step = 1u << 30;

    for (; first < end; first += step)
        ext2fs_mark_block_bitmap_range2(map, first, (unsigned)(end - first < step ? end - first : step));
}

int ext_prepare_writing(struct ext_volume *volume, struct error *error)
{
    ext2_filsys fs = volume->fs;
    errcode_t status;

    if (EXT2_CLUSTERS_PER_GROUP(fs->super) % 8 || EXT2_CLUSTERS_PER_GROUP(fs->super) / 8 > fs->blocksize ||
        EXT2_INODES_PER_GROUP(fs->super) % 8 || EXT2_INODES_PER_GROUP(fs->super) / 8 > fs->blocksize)
        return ext_error(volume, 0, OPERATION_OPEN, "superblock", error);
    volume->groups = library_calloc(fs->group_desc_count, sizeof *volume->groups);
    status = volume->groups ? 0 : EXT2_ET_NO_MEMORY;
    if (!status)
        status = ext2fs_allocate_block_bitmap(fs, "blocks", &fs->block_map);
    if (!status)
        status = ext2fs_allocate_inode_bitmap(fs, "inodes", &fs->inode_map);
    if (status)
        return ext_error(volume, status, OPERATION_OPEN, "bitmaps", error);
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        if (ext2fs_has_group_desc_csum(fs) && !ext2fs_group_desc_csum_verify(fs, group))
            return ext_error(volume, 0, OPERATION_OPEN, "checksum of a group descriptor", error);
        volume->groups[group].free_blocks = ext2fs_bg_free_blocks_count(fs, group);
        volume->groups[group].free_inodes = ext2fs_bg_free_inodes_count(fs, group);
    }
    mark_all(fs->block_map, fs->super->s_first_data_block, ext2fs_blocks_count(fs->super));
    mark_all(fs->inode_map, 1, (uint64_t)fs->super->s_inodes_count + 1);
    volume->free_at_mount = free_blocks(volume);
    return 0;
}

static bool is_uninitialised(const struct ext_volume *volume, dgrp_t group, unsigned flag)
{
    return ext2fs_has_group_desc_csum(volume->fs) && ext2fs_bg_flags_test(volume->fs, group, (__u16)flag);
}

/* First cluster of a group and of the next, in the bitmap's numbers. */
static uint64_t first_cluster(const struct ext_volume *volume, uint64_t group)
{
    ext2_filsys fs = volume->fs;

    return EXT2FS_B2C(fs, fs->super->s_first_data_block) + group * EXT2_CLUSTERS_PER_GROUP(fs->super);
}

static errcode_t read_bitmap(struct ext_volume *volume, blk64_t block, char *bitmap)
{
    ext2_filsys fs = volume->fs;

    if (block < fs->super->s_first_data_block || block >= ext2fs_blocks_count(fs->super))
        return EXT2_ET_GDESC_BAD_BLOCK_MAP;
    return io_channel_read_blk64(fs->io, block, 1, bitmap);
}

/* A group whose bitmap was never written: only its own metadata is used. */
static void load_uninitialised_blocks(struct ext_volume *volume, dgrp_t group)
{
    ext2_filsys fs = volume->fs;

    ext2fs_reserve_super_and_bgd(fs, group, fs->block_map);
    ext2fs_mark_block_bitmap2(fs->block_map, ext2fs_block_bitmap_loc(fs, group));
    ext2fs_mark_block_bitmap2(fs->block_map, ext2fs_inode_bitmap_loc(fs, group));
    ext2fs_mark_block_bitmap_range2(fs->block_map, ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group);
}

static errcode_t load_blocks(struct ext_volume *volume, dgrp_t group)
{
    ext2_filsys fs = volume->fs;
    uint32_t clusters = EXT2_CLUSTERS_PER_GROUP(fs->super);
    bool initialised = !is_uninitialised(volume, group, EXT2_BG_BLOCK_UNINIT);
    char *bitmap = NULL;
    errcode_t status = 0;

    if (volume->groups[group].blocks_loaded)
        return 0;
    if (initialised) {
        status = ext2fs_get_mem(fs->blocksize, &bitmap);
        if (!status)
            status = read_bitmap(volume, ext2fs_block_bitmap_loc(fs, group), bitmap);
        if (!status && !ext2fs_block_bitmap_csum_verify(fs, group, bitmap, (int)(clusters / 8)))
            status = EXT2_ET_BLOCK_BITMAP_CSUM_INVALID;
    }
    if (!status) {
        ext2fs_unmark_block_bitmap_range2(fs->block_map, ext2fs_group_first_block2(fs, group),
                                          (unsigned)ext2fs_group_blocks_count(fs, group));
        if (initialised)
            status = ext2fs_set_block_bitmap_range2(fs->block_map, first_cluster(volume, group), clusters, bitmap);
        else
            load_uninitialised_blocks(volume, group);
    }
    if (!status) {
        volume->groups[group].blocks_loaded = true;
        volume->loaded_free += (uint64_t)volume->groups[group].free_blocks << fs->cluster_ratio_bits;
    }
    ext2fs_free_mem(&bitmap);
    return status;
}

static errcode_t load_inodes(struct ext_volume *volume, dgrp_t group)
{
    ext2_filsys fs = volume->fs;
    uint32_t inodes = EXT2_INODES_PER_GROUP(fs->super);
    ext2_ino_t first = group * inodes + 1;
    char *bitmap = NULL;
    errcode_t status;

    if (volume->groups[group].inodes_loaded)
        return 0;
    status = ext2fs_get_memzero(fs->blocksize, &bitmap);
    if (!status && !is_uninitialised(volume, group, EXT2_BG_INODE_UNINIT)) {
        status = read_bitmap(volume, ext2fs_inode_bitmap_loc(fs, group), bitmap);
        if (!status && !ext2fs_inode_bitmap_csum_verify(fs, group, bitmap, (int)(inodes / 8)))
            status = EXT2_ET_INODE_BITMAP_CSUM_INVALID;
    }
    if (!status) {
        ext2fs_unmark_block_bitmap_range2(fs->inode_map, first, inodes);
        status = ext2fs_set_inode_bitmap_range2(fs->inode_map, first, inodes, bitmap);
    }
    if (!status)
        volume->groups[group].inodes_loaded = true;
    ext2fs_free_mem(&bitmap);
    return status;
}

int ext_provide_group(struct ext_volume *volume, dgrp_t group, struct error *error)
{
    errcode_t status = group < volume->fs->group_desc_count ? load_blocks(volume, group) : EXT2_ET_BAD_BLOCK_NUM;

    if (!status)
        status = load_inodes(volume, group);
    if (!status)
        volume->groups[group].changed = true;
    return status ? ext_error(volume, status, OPERATION_READ, "bitmaps", error) : 0;
}

/* Blocks that the library can allocate now. All allocations since the mount came out of loaded groups. */
static uint64_t available(const struct ext_volume *volume)
{
    uint64_t now = free_blocks(volume), used = volume->free_at_mount > now ? volume->free_at_mount - now : 0;

    return volume->loaded_free > used ? volume->loaded_free - used : 0;
}

/* The first pass takes groups that are at least a quarter free, the second whatever there is. */
static bool worth_loading(const struct ext_volume *volume, dgrp_t group)
{
    const struct ext_group *own = &volume->groups[group];
    uint32_t least = volume->pass == 0 ? EXT2_CLUSTERS_PER_GROUP(volume->fs->super) / 4 : 1;

    return !own->blocks_loaded && own->free_blocks >= least;
}

int ext_provide_blocks(struct ext_volume *volume, uint64_t blocks, struct error *error)
{
    ext2_filsys fs = volume->fs;
    uint64_t wanted = blocks + MARGIN_BYTES / fs->blocksize;

    while (available(volume) < wanted && volume->pass < 2) {
        dgrp_t group = volume->next_group;
        errcode_t status = worth_loading(volume, group) ? load_blocks(volume, group) : 0;

        if (status)
            return ext_error(volume, status, OPERATION_READ, "block bitmap", error);
        volume->next_group = (group + 1) % fs->group_desc_count;
        if (++volume->groups_seen == fs->group_desc_count) {
            volume->groups_seen = 0;
            volume->pass++;
        }
    }
    if (available(volume) < blocks)
        return ext_error(volume, EXT2_ET_BLOCK_ALLOC_FAIL, OPERATION_WRITE, "the volume is full", error);
    return 0;
}

/* Groups with an initialised inode table first: the others' would have to be zeroed one day. */
int ext_provide_inode(struct ext_volume *volume, dgrp_t group, dgrp_t *found, struct error *error)
{
    ext2_filsys fs = volume->fs;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (dgrp_t i = 0; i < fs->group_desc_count; i++) {
            *found = (group + i) % fs->group_desc_count;
            if (!ext2fs_bg_free_inodes_count(fs, *found) ||
                (pass == 0 && is_uninitialised(volume, *found, EXT2_BG_INODE_UNINIT)))
                continue;
            /* With its block bitmap: initialising a group's inodes initialises that as well (ext2fs_new_inode). */
            return ext_provide_group(volume, *found, error);
        }
    }
    return ext_error(volume, EXT2_ET_INODE_ALLOC_FAIL, OPERATION_WRITE, "no inode is free", error);
}

bool ext_find_free_run(ext2_filsys fs, blk64_t from, blk64_t end, uint64_t least, uint64_t wanted, unsigned *looks,
                       struct ext_free_run *longest)
{
    while (from <= end && *looks) {
        blk64_t start, after, last;

        --*looks;
        if (ext2fs_find_first_zero_block_bitmap2(fs->block_map, from, end, &start))
            return false;
        if (start < from)
            start = from;
        last = end - start >= wanted ? start + wanted - 1 : end;
        if (ext2fs_find_first_set_block_bitmap2(fs->block_map, start, last, &after))
            after = last + 1;
        if (after - start > longest->length)
            *longest = (struct ext_free_run){start, after - start};
        if (longest->length >= least)
            return true;
        from = after > start ? after : start + 1;
    }
    return false;
}

/* --- to the disk --- */

static bool has_changed(const struct ext_volume *volume, dgrp_t group)
{
    const struct ext_group *own = &volume->groups[group];

    return own->changed || own->free_blocks != ext2fs_bg_free_blocks_count(volume->fs, group) ||
           own->free_inodes != ext2fs_bg_free_inodes_count(volume->fs, group);
}

static errcode_t write_block_bitmap(struct ext_volume *volume, dgrp_t group, char *bitmap)
{
    ext2_filsys fs = volume->fs;
    uint32_t size = EXT2_CLUSTERS_PER_GROUP(fs->super) / 8;
    uint64_t clusters = EXT2FS_NUM_B2C(fs, (uint64_t)ext2fs_group_blocks_count(fs, group));
    errcode_t status;

    if (!volume->groups[group].blocks_loaded || is_uninitialised(volume, group, EXT2_BG_BLOCK_UNINIT))
        return 0;
    /* What is behind the last cluster of a group counts as used. */
    memset(bitmap, 0xff, fs->blocksize);
    memset(bitmap, 0, size);
    status = ext2fs_get_block_bitmap_range2(fs->block_map, first_cluster(volume, group), size * 8, bitmap);
    for (uint64_t i = clusters; i < size * 8ull; i++)
        ext2fs_set_bit((unsigned)i, bitmap);
    if (!status)
        status = ext2fs_block_bitmap_csum_set(fs, group, bitmap, (int)size);
    return status ? status : io_channel_write_blk64(fs->io, ext2fs_block_bitmap_loc(fs, group), 1, bitmap);
}

static errcode_t write_inode_bitmap(struct ext_volume *volume, dgrp_t group, char *bitmap)
{
    ext2_filsys fs = volume->fs;
    uint32_t inodes = EXT2_INODES_PER_GROUP(fs->super);
    errcode_t status;

    if (!volume->groups[group].inodes_loaded || is_uninitialised(volume, group, EXT2_BG_INODE_UNINIT))
        return 0;
    memset(bitmap, 0xff, fs->blocksize);
    memset(bitmap, 0, inodes / 8);
    status = ext2fs_get_inode_bitmap_range2(fs->inode_map, (uint64_t)group * inodes + 1, inodes, bitmap);
    if (!status)
        status = ext2fs_inode_bitmap_csum_set(fs, group, bitmap, (int)(inodes / 8));
    return status ? status : io_channel_write_blk64(fs->io, ext2fs_inode_bitmap_loc(fs, group), 1, bitmap);
}

/* The block of descriptors that holds the group's. Backups are e2fsck's and resize2fs's business, as under Linux. */
static errcode_t write_descriptors(struct ext_volume *volume, dgrp_t index)
{
    ext2_filsys fs = volume->fs;
    blk64_t block = ext2fs_descriptor_block_loc2(fs, fs->super->s_first_data_block, index);

    return io_channel_write_blk64(fs->io, block, 1, (char *)fs->group_desc + (size_t)index * fs->blocksize);
}

static errcode_t write_groups(struct ext_volume *volume)
{
    ext2_filsys fs = volume->fs;
    dgrp_t per_block = (dgrp_t)EXT2_DESC_PER_BLOCK(fs->super);
    char *bitmap = NULL;
    errcode_t status = ext2fs_get_mem(fs->blocksize, &bitmap);
    bool descriptors = false;

    for (dgrp_t group = 0; group < fs->group_desc_count && !status; group++) {
        struct ext_group *own = &volume->groups[group];

        if (has_changed(volume, group)) {
            status = write_block_bitmap(volume, group, bitmap);
            if (!status)
                status = write_inode_bitmap(volume, group, bitmap);
            ext2fs_group_desc_csum_set(fs, group);
            own->free_blocks = ext2fs_bg_free_blocks_count(fs, group);
            own->free_inodes = ext2fs_bg_free_inodes_count(fs, group);
            own->changed = false;
            descriptors = true;
        }
        if (descriptors && !status && ((group + 1) % per_block == 0 || group + 1 == fs->group_desc_count)) {
            status = write_descriptors(volume, group / per_block);
            descriptors = false;
        }
    }
    ext2fs_free_mem(&bitmap);
    return status;
}

static errcode_t write_superblock(struct ext_volume *volume)
{
    ext2_filsys fs = volume->fs;
    errcode_t status = ext2fs_superblock_csum_set(fs, fs->super);

    if (!status && ext_write_data(fs, SUPERBLOCK_OFFSET, fs->super, SUPERBLOCK_SIZE) < 0)
        status = EXT2_ET_SHORT_WRITE;
    return status ? status : io_channel_flush(fs->io);
}

int ext_begin_change(struct ext_volume *volume, struct error *error)
{
    errcode_t status;

    if (volume->changed)
        return 0;
    volume->fs->super->s_state &= (__u16)~EXT2_VALID_FS;
    status = write_superblock(volume);
    if (status)
        return ext_error(volume, status, OPERATION_WRITE, "superblock", error);
    volume->changed = true;
    return 0;
}

int ext_flush_volume(struct ext_volume *volume, struct error *error)
{
    errcode_t status = volume->changed ? write_groups(volume) : 0;

    if (!status && volume->changed)
        status = write_superblock(volume);
    if (status)
        volume->failed = true;
    return status ? ext_error(volume, status, OPERATION_FLUSH, "metadata", error) : 0;
}

int ext_end_change(struct ext_volume *volume, struct error *error)
{
    int status = ext_flush_volume(volume, error);
    errcode_t library_status;

    if (status < 0 || !volume->changed || volume->failed)
        return status;
    volume->fs->super->s_state |= EXT2_VALID_FS;
    library_status = write_superblock(volume);
    volume->changed = false;
    return library_status ? ext_error(volume, library_status, OPERATION_FLUSH, "superblock", error) : 0;
}
