/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ext2, ext3 and ext4: who is it, and which blocks are in use.
 *
 * libext2fs opens the volume (superblock, descriptors, checksums, places); the block bitmaps pass group by group through one buffer
 * into the extent list, so that memory depends on the number of groups only (8 MiB at 16 TiB), not on fragmentation.
 *
 * When a volume is copied whole although it is understood:
 * - The journal needs recovery. Files written shortly before the crash have their data in place already (data=ordered), while the
 *   bitmap that says so may stand in the journal alone: the bitmaps in place are not to be trusted.
 * - It was not unmounted (no journal), or says of itself that it has errors.
 * - A feature bit that is not known here, a checksum that does not fit, a group whose count of free blocks is not what its bitmap
 *   says, a structure that is known and not marked as used.
 *
 * References: "ext4 Data Structures and Algorithms" of the Linux kernel's documentation.
 */
#include "fs/ext.h"
#include "fs/drivers.h"

#include <stdio.h>
#include <string.h>

#define BATCH_BYTES (256u * 1024) /* policy: adjacent bitmaps (flex_bg) are read together */

/* What a step of the reader returns when the volume must be copied whole; a message says why. Negative: error. */
#define DOUBT 1

struct ext_reader {
    struct volume_io io;
    struct allocation *allocation;
    const char *type;
    ext2_filsys fs;
    uint8_t *batch;
    unsigned batch_limit; /* bitmaps that fit into it */
    uint64_t end;         /* bytes */
};

/* --- recognition --- */

/* Bits that no ext3 has; what is left is ext4's (kernel: EXT3_FEATURE_*_SUPP). */
#define EXT3_INCOMPAT (EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER | EXT2_FEATURE_INCOMPAT_META_BG)
#define EXT3_RO_COMPAT (EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE | 0x0004)

static const char *type_name(const struct ext2_super_block *super)
{
    if (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV)
        return "jbd";
    if ((super->s_feature_incompat & ~EXT3_INCOMPAT) || (super->s_feature_ro_compat & ~EXT3_RO_COMPAT))
        return "ext4";
    return super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL ? "ext3" : "ext2";
}

static uint64_t block_count(const struct ext2_super_block *super)
{
    uint64_t high = super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT ? super->s_blocks_count_hi : 0;

    return high << 32 | super->s_blocks_count;
}

static uint64_t free_block_count(const struct ext2_super_block *super)
{
    uint64_t high = super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT ? super->s_free_blocks_hi : 0;

    return high << 32 | super->s_free_blocks_count;
}

static bool ext_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    struct ext2_super_block super;
    uint64_t blocks, free_blocks;

    (void)volume;
    if (head_size < SUPERBLOCK_OFFSET + sizeof super)
        return false;
    memcpy(&super, head + SUPERBLOCK_OFFSET, sizeof super);
    if (super.s_magic != EXT2_SUPER_MAGIC || super.s_log_block_size > EXT2_MAX_BLOCK_LOG_SIZE - EXT2_MIN_BLOCK_LOG_SIZE)
        return false;
    blocks = block_count(&super);
    free_blocks = free_block_count(&super);
    snprintf(info->type, sizeof info->type, "%s", type_name(&super));
    volume_text(info->label, sizeof info->label, (const uint8_t *)super.s_volume_name, sizeof super.s_volume_name);
    volume_uuid_text(info->uuid, super.s_uuid);
    info->block_size = 1024u << super.s_log_block_size;
    if (__builtin_mul_overflow(blocks, info->block_size, &info->total_bytes))
        info->total_bytes = UINT64_MAX;
    info->used_bytes = free_blocks > blocks || info->total_bytes == UINT64_MAX
                           ? UINT64_MAX
                           : (blocks - free_blocks) * info->block_size;
    return true;
}

/* --- doubts --- */

static int doubt(struct ext_reader *reader, enum message_id id, const char *what, uint64_t number0, uint64_t number1)
{
    message_add(&reader->allocation->messages, MESSAGE_WARNING, id, 0, reader->type, what, number0, number1);
    return DOUBT;
}

static int damaged(struct ext_reader *reader, const char *what, uint64_t block)
{
    return doubt(reader, MESSAGE_FS_DAMAGED, what, block * reader->fs->blocksize, 0);
}

/* A failed call of the library: the device's fault, a wrong checksum, or nonsense. */
static int library_doubt(struct ext_reader *reader, errcode_t status, const char *what)
{
    const struct error *error = &reader->io.error;

    if (error->code == ERROR_CANCELLED)
        return -ERROR_CANCELLED;
    if (error->code != ERROR_NONE && error->code != ERROR_OUT_OF_RANGE)
        return doubt(reader, MESSAGE_FS_READER_FAILED, error_code_name(error->code), error->block, 0);
    if (status == EXT2_ET_NO_MEMORY)
        return doubt(reader, MESSAGE_FS_READER_FAILED, "not enough memory", 0, 0);
    return doubt(reader, MESSAGE_FS_DAMAGED, what, 0, 0);
}

static int check_features(struct ext_reader *reader, const struct ext2_super_block *super)
{
    uint32_t unknown;

    if ((unknown = super->s_feature_incompat & ~EXT_KNOWN_INCOMPAT) != 0)
        return doubt(reader, MESSAGE_FS_UNKNOWN_FEATURE, "incompatible", unknown, 0);
    if ((unknown = super->s_feature_ro_compat & ~EXT_KNOWN_RO_COMPAT) != 0)
        return doubt(reader, MESSAGE_FS_UNKNOWN_FEATURE, "read-only compatible", unknown, 0);
    if ((unknown = super->s_feature_compat & ~EXT_KNOWN_COMPAT) != 0)
        return doubt(reader, MESSAGE_FS_UNKNOWN_FEATURE, "compatible", unknown, 0);
    return 0;
}

/* What the superblock says of the volume's state. */
static int check_state(struct ext_reader *reader, const struct ext2_super_block *super)
{
    bool journal = super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL;

    if (journal && !super->s_journal_inum) {
        char uuid[37];

        volume_uuid_text(uuid, super->s_journal_uuid);
        doubt(reader, MESSAGE_FS_JOURNAL_EXTERNAL, uuid, 0, 0);
    }
    if (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER)
        return doubt(reader, MESSAGE_FS_JOURNAL_DIRTY, NULL, 0, 0);
    if (super->s_state & EXT2_ERROR_FS)
        return doubt(reader, MESSAGE_FS_HAS_ERRORS, NULL, 0, 0);
    if (!(super->s_state & EXT2_VALID_FS))
        return doubt(reader, MESSAGE_FS_NOT_CLEAN, NULL, 0, 0);
    return 0;
}

static int check_superblock(struct ext_reader *reader)
{
    struct ext2_super_block super;
    uint64_t bytes = block_device_bytes(reader->io.device), own;
    int status;

    if (ext_read_superblock(&reader->io, &super) < 0)
        return library_doubt(reader, 0, "superblock");
    reader->type = type_name(&super);
    if (super.s_magic != EXT2_SUPER_MAGIC || super.s_log_block_size > EXT2_MAX_BLOCK_LOG_SIZE - EXT2_MIN_BLOCK_LOG_SIZE)
        return doubt(reader, MESSAGE_FS_DAMAGED, "superblock", SUPERBLOCK_OFFSET, 0);
    if (super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV)
        return doubt(reader, MESSAGE_FS_READER_FAILED, "the journal of another volume", 0, 0);
    status = check_features(reader, &super);
    if (status)
        return status;
    if (__builtin_mul_overflow(block_count(&super), 1024u << super.s_log_block_size, &own) || own > bytes)
        return doubt(reader, MESSAGE_FS_BIGGER_THAN_VOLUME, NULL, own, bytes);
    reader->end = own;
    return check_state(reader, &super);
}

/* --- the bitmaps --- */

static bool has_uninitialised_bitmap(const struct ext_reader *reader, dgrp_t group)
{
    return ext2fs_has_group_desc_csum(reader->fs) && ext2fs_bg_flags_test(reader->fs, group, EXT2_BG_BLOCK_UNINIT);
}

static bool inside(const struct ext_reader *reader, blk64_t block, uint64_t count)
{
    uint64_t blocks = ext2fs_blocks_count(reader->fs->super);

    return block >= reader->fs->super->s_first_data_block && block < blocks && count <= blocks - block;
}

static int add_blocks(struct ext_reader *reader, blk64_t block, uint64_t count)
{
    return extent_list_add(&reader->allocation->used, block * reader->fs->blocksize, count * reader->fs->blocksize);
}

/*
 * Calls `visit` for each structure whose place the group's descriptor or the layout gives; stops at its first answer that is not 0.
 * (Super block and descriptors: "Block Groups" and "Meta Block Groups".)
 */
static int visit_group(struct ext_reader *reader, dgrp_t group,
                       int (*visit)(struct ext_reader *reader, const char *what, blk64_t block, uint64_t count))
{
    ext2_filsys fs = reader->fs;
    blk64_t super_block, old_descriptors, new_descriptors;
    uint64_t old_count = ext2fs_has_feature_meta_bg(fs->super)
                             ? fs->super->s_first_meta_bg
                             : (uint64_t)fs->desc_blocks + fs->super->s_reserved_gdt_blocks;
    int status = 0;

    ext2fs_super_and_bgd_loc2(fs, group, &super_block, &old_descriptors, &new_descriptors, NULL);
    if (super_block)
        status = visit(reader, "superblock", super_block, 1);
    if (!status && old_descriptors && old_count)
        status = visit(reader, "group descriptors", old_descriptors, old_count);
    if (!status && new_descriptors)
        status = visit(reader, "group descriptors", new_descriptors, 1);
    if (!status)
        status = visit(reader, "block bitmap", ext2fs_block_bitmap_loc(fs, group), 1);
    if (!status)
        status = visit(reader, "inode bitmap", ext2fs_inode_bitmap_loc(fs, group), 1);
    if (!status)
        status = visit(reader, "inode table", ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group);
    return status;
}

static int visit_add(struct ext_reader *reader, const char *what, blk64_t block, uint64_t count)
{
    return inside(reader, block, count) ? add_blocks(reader, block, count) : damaged(reader, what, block);
}

static int visit_audit(struct ext_reader *reader, const char *what, blk64_t block, uint64_t count)
{
    uint32_t size = reader->fs->blocksize;

    if (!inside(reader, block, count))
        return damaged(reader, what, block);
    if (!extent_list_contains(&reader->allocation->used, block * size, count * size))
        return doubt(reader, MESSAGE_FS_AUDIT_FAILED, what, block * size, 0);
    return 0;
}

/* One initialised bitmap: its checksum, its runs, and the descriptor's count of free clusters as a second opinion. */
static int add_bitmap(struct ext_reader *reader, dgrp_t group, uint8_t *bitmap)
{
    ext2_filsys fs = reader->fs;
    uint64_t clusters_per_group = EXT2_CLUSTERS_PER_GROUP(fs->super), set = 0;
    uint64_t clusters = EXT2FS_NUM_B2C(fs, (uint64_t)ext2fs_group_blocks_count(fs, group));
    uint64_t unit = (uint64_t)fs->blocksize << fs->cluster_ratio_bits;
    uint64_t offset = (uint64_t)fs->super->s_first_data_block * fs->blocksize + group * clusters_per_group * unit;
    int status;

    if (!ext2fs_block_bitmap_csum_verify(fs, group, (char *)bitmap, (int)(clusters_per_group / 8)))
        return damaged(reader, "checksum of a block bitmap", ext2fs_block_bitmap_loc(fs, group));
    status = volume_add_bitmap(&reader->allocation->used, bitmap, clusters, offset, unit, reader->end, &set);
    if (status < 0)
        return status;
    if (clusters - set != ext2fs_bg_free_blocks_count(fs, group))
        return damaged(reader, "count of free blocks", ext2fs_block_bitmap_loc(fs, group));
    return 0;
}

/* How many bitmaps from this group's on lie side by side, up to the last one that is needed. */
static unsigned adjacent_bitmaps(const struct ext_reader *reader, dgrp_t group)
{
    blk64_t first = ext2fs_block_bitmap_loc(reader->fs, group);
    unsigned count = 1;

    for (unsigned i = 1; i < reader->batch_limit && group + i < reader->fs->group_desc_count; i++) {
        if (ext2fs_block_bitmap_loc(reader->fs, group + i) != first + i)
            break;
        if (!has_uninitialised_bitmap(reader, group + i))
            count = i + 1;
    }
    return count;
}

static int read_batch(struct ext_reader *reader, dgrp_t group, unsigned count)
{
    blk64_t first = ext2fs_block_bitmap_loc(reader->fs, group);

    if (!inside(reader, first, count))
        return damaged(reader, "place of a block bitmap", first);
    if (volume_io_read(&reader->io, first * reader->fs->blocksize, reader->batch,
                       (size_t)count * reader->fs->blocksize) < 0)
        return library_doubt(reader, 0, "block bitmap");
    return 0;
}

static int read_bitmaps(struct ext_reader *reader)
{
    ext2_filsys fs = reader->fs;
    struct platform *platform = reader->io.device->loop->platform;
    dgrp_t batch_first = 0;
    unsigned batch_count = 0;

    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        int status = 0;

        if (platform->ops->cancel_requested(platform))
            return -ERROR_CANCELLED;
        if (ext2fs_has_group_desc_csum(fs) && !ext2fs_group_desc_csum_verify(fs, group))
            return damaged(reader, "checksum of a group descriptor", ext2fs_group_first_block2(fs, group));
        if (has_uninitialised_bitmap(reader, group)) {
            status = visit_group(reader, group, visit_add);
        } else {
            if (group >= batch_first + batch_count) {
                batch_first = group;
                batch_count = adjacent_bitmaps(reader, group);
                status = read_batch(reader, group, batch_count);
            }
            if (!status)
                status = add_bitmap(reader, group, reader->batch + (size_t)(group - batch_first) * fs->blocksize);
        }
        if (status)
            return status;
    }
    return 0;
}

/* --- the audit --- */

struct inode_audit {
    struct ext_reader *reader;
    const char *what;
    blk64_t first;   /* the run that is being gathered */
    uint64_t length; /* blocks */
    uint64_t visited;
    int status;
};

static void finish_run(struct inode_audit *audit)
{
    if (audit->length && !audit->status)
        audit->status = visit_audit(audit->reader, audit->what, audit->first, audit->length);
    audit->length = 0;
}

static int audit_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t index, blk64_t parent, int offset, void *context)
{
    struct inode_audit *audit = context;

    (void)index;
    (void)parent;
    (void)offset;
    /* An inode cannot have more blocks than its volume: indirect blocks that lead to themselves. */
    if (++audit->visited > ext2fs_blocks_count(fs->super))
        audit->status = damaged(audit->reader, audit->what, *block);
    if (audit->length && *block == audit->first + audit->length) {
        audit->length++;
    } else {
        finish_run(audit);
        audit->first = *block;
        audit->length = 1;
    }
    return audit->status ? BLOCK_ABORT : 0;
}

/* All blocks of an inode must have come out of the bitmaps. */
static int audit_inode(struct ext_reader *reader, ext2_ino_t number, const char *what)
{
    struct inode_audit audit = {.reader = reader, .what = what};
    struct ext2_inode inode;
    errcode_t status;

    if (!number)
        return 0;
    status = ext2fs_read_inode(reader->fs, number, &inode);
    if (status)
        return library_doubt(reader, status, what);
    if (inode.i_flags & EXT4_INLINE_DATA_FL)
        return 0;
    status = ext2fs_block_iterate3(reader->fs, number, BLOCK_FLAG_READ_ONLY, NULL, audit_block, &audit);
    finish_run(&audit);
    if (audit.status)
        return audit.status;
    if (!audit.visited && number != EXT2_RESIZE_INO)
        return damaged(reader, what, 0);
    return status ? library_doubt(reader, status, what) : 0;
}

static int audit_volume(struct ext_reader *reader)
{
    const struct ext2_super_block *super = reader->fs->super;
    const struct {
        ext2_ino_t number;
        const char *what;
    } inodes[] = {
        {EXT2_ROOT_INO, "root directory"},
        {ext2fs_has_feature_resize_inode(reader->fs->super) ? EXT2_RESIZE_INO : 0, "reserved descriptors"},
        {ext2fs_has_feature_journal(reader->fs->super) ? super->s_journal_inum : 0, "journal"},
        {ext2fs_has_feature_quota(reader->fs->super) ? super->s_usr_quota_inum : 0, "quota"},
        {ext2fs_has_feature_quota(reader->fs->super) ? super->s_grp_quota_inum : 0, "quota"},
        {ext2fs_has_feature_project(reader->fs->super) ? super->s_prj_quota_inum : 0, "quota"},
        {ext2fs_has_feature_orphan_file(reader->fs->super) ? super->s_orphan_file_inum : 0, "orphan file"},
    };
    int status = 0;

    for (dgrp_t group = 0; group < reader->fs->group_desc_count && !status; group++)
        status = visit_group(reader, group, visit_audit);
    for (size_t i = 0; i < sizeof inodes / sizeof inodes[0] && !status; i++)
        status = audit_inode(reader, inodes[i].number, inodes[i].what);
    if (!status && ext2fs_has_feature_mmp(reader->fs->super) && super->s_mmp_block)
        status = visit_audit(reader, "multi-mount protection", super->s_mmp_block, 1);
    return status;
}

/* --- what nobody reads --- */

/*
 * Descriptors with a checksum say more than the bitmaps ("ext4 Data Structures and Algorithms", block group descriptors): which bitmaps
 * were never written (EXT2_BG_BLOCK_UNINIT, EXT2_BG_INODE_UNINIT), so that whoever needs them makes them up, and from where on an inode
 * table holds no inode (bg_itable_unused). Together they are 65 GiB of an empty volume of 16 TiB.
 *
 * Such bitmaps, and ends of tables that nobody has zeroed yet, may have any content: they are dropped. Where the descriptor says that
 * the table was zeroed (EXT2_BG_INODE_ZEROED), zeroes must stand on the target, for Linux will not zero it again, and e2fsck looks for
 * inodes there when it works from a backup of the superblock. Such ends are blank: in use, but not read.
 */
static int find_needless(struct ext_reader *reader, dgrp_t group, struct extent_list *dropped)
{
    ext2_filsys fs = reader->fs;
    uint32_t inodes = EXT2_INODES_PER_GROUP(fs->super), unused = ext2fs_bg_itable_unused(fs, group);
    uint64_t used_blocks, table = ext2fs_inode_table_loc(fs, group), size = fs->blocksize;
    bool zeroed = ext2fs_bg_flags_test(fs, group, EXT2_BG_INODE_ZEROED);
    int status = 0;

    if (has_uninitialised_bitmap(reader, group))
        status = extent_list_add(dropped, ext2fs_block_bitmap_loc(fs, group) * size, size);
    if (ext2fs_bg_flags_test(fs, group, EXT2_BG_INODE_UNINIT)) {
        unused = inodes;
        if (!status)
            status = extent_list_add(dropped, ext2fs_inode_bitmap_loc(fs, group) * size, size);
    }
    if (unused > inodes)
        return damaged(reader, "count of unused inodes", table);
    used_blocks = ((uint64_t)(inodes - unused) * EXT2_INODE_SIZE(fs->super) + size - 1) / size;
    if (status || used_blocks >= fs->inode_blocks_per_group)
        return status;
    return extent_list_add(zeroed ? &reader->allocation->blank : dropped, (table + used_blocks) * size,
                           (fs->inode_blocks_per_group - used_blocks) * size);
}

/* Nothing here waits, so the two lists cannot be left behind. */
static int drop_needless(struct ext_reader *reader)
{
    struct extent_list *used = &reader->allocation->used, dropped, rest;
    int status = 0;

    if (!ext2fs_has_group_desc_csum(reader->fs))
        return 0;
    extent_list_init(&dropped, used->platform);
    extent_list_init(&rest, used->platform);
    for (dgrp_t group = 0; group < reader->fs->group_desc_count && !status; group++)
        status = find_needless(reader, group, &dropped);
    /* A list that had to close gaps would drop what is between them. */
    if (!status && dropped.count && !dropped.coarsened) {
        status = extent_list_subtract(&rest, used, &dropped);
        if (!status) {
            extent_list_free(used);
            *used = rest;
            extent_list_init(&rest, used->platform);
        }
    }
    extent_list_free(&rest);
    extent_list_free(&dropped);
    return status;
}

/* --- the whole --- */

/* What the library does not check and the reader relies on. */
static int check_geometry(struct ext_reader *reader)
{
    ext2_filsys fs = reader->fs;
    uint32_t clusters_per_group = EXT2_CLUSTERS_PER_GROUP(fs->super);

    if (clusters_per_group % 8 || clusters_per_group / 8 > fs->blocksize ||
        (fs->cluster_ratio_bits && fs->super->s_first_data_block) ||
        ext2fs_blocks_count(fs->super) * fs->blocksize != reader->end)
        return doubt(reader, MESSAGE_FS_DAMAGED, "superblock", SUPERBLOCK_OFFSET, 0);
    return 0;
}

static int read_volume(struct ext_reader *reader)
{
    struct extent_list *used = &reader->allocation->used;
    int status = check_geometry(reader);

    reader->batch_limit = BATCH_BYTES / reader->fs->blocksize;
    if (!status && ext2fs_get_array(reader->batch_limit, reader->fs->blocksize, &reader->batch))
        status = library_doubt(reader, EXT2_ET_NO_MEMORY, "");
    /* Boot block and superblock: block 0 is in no bitmap when blocks have 1 KiB. */
    if (!status)
        status = extent_list_add(used, 0, SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE);
    if (!status)
        status = read_bitmaps(reader);
    if (!status)
        status = audit_volume(reader);
    if (!status)
        status = drop_needless(reader);
    if (!status)
        status = volume_add_tail(used, reader->end, block_device_bytes(reader->io.device));
    ext2fs_free_mem(&reader->batch);
    return status;
}

static int ext_read_allocation(struct block_device *volume, struct allocation *allocation)
{
    struct ext_reader reader = {.allocation = allocation, .type = "ext"};
    errcode_t open_status;
    int status;

    allocation->verdict = ALLOCATION_WHOLE;
    volume_io_init(&reader.io, volume);
    status = check_superblock(&reader);
    if (!status) {
        open_status = ext_open(&reader.io, &reader.fs);
        if (open_status)
            status = library_doubt(&reader, open_status, "superblock or group descriptors");
    }
    if (!status) {
        status = read_volume(&reader);
        ext2fs_free(reader.fs);
    }
    if (status == 0)
        allocation->verdict = ALLOCATION_EXACT;
    return status < 0 ? status : 0;
}

const struct filesystem_driver ext_filesystem = {
    .name = "ext",
    .probe = ext_probe,
    .read_allocation = ext_read_allocation,
    .open_store = ext_open_store,
    .read_space = ext_look,
    .list_files = ext_list_files,
};
