/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files on ext2, ext3 and ext4 volumes.
 *
 * A file grows at its end only: space is taken in runs as long as the free space allows, mapped (extents, or indirect blocks on old
 * volumes), and data goes to the runs directly, past the library.
 */
#include "fs/ext.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXTENT_MAX 32768u                 /* blocks of an initialised extent (ext4: ee_len) */
#define LONG_RUN_BYTES (8u * 1024 * 1024) /* policy: a shorter run is taken only when no such is soon found */
#define FREE_RUN_LOOKS 4096               /* policy */

struct ext_file {
    ext2_ino_t number;
    struct ext2_inode inode;
    bool writing;
    uint64_t size;         /* bytes */
    uint64_t mapped;       /* blocks that have a place */
    uint64_t claimed;      /* blocks that are allocated: mapped, rounded up to a cluster */
    blk64_t next_physical; /* behind the last mapped block; 0: nothing mapped yet */
};

static int refuse(const struct ext_volume *volume, enum error_code code, const char *why, struct error *error)
{
    return error_set(error, code, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", why);
}

/* --- mount --- */

static int check_features(struct ext_volume *volume, const struct ext2_super_block *super, struct error *error)
{
    const char *name = volume->io->device->name;

    if (super->s_magic != EXT2_SUPER_MAGIC || (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV))
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no ext volume with files");
    if (super->s_feature_incompat & ~EXT_KNOWN_INCOMPAT)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "the volume has an unknown feature (0x%x)", super->s_feature_incompat & ~EXT_KNOWN_INCOMPAT);
    return volume->io->writable ? ext_check_writable(volume, super, error) : 0;
}

static int ext_mount(void *context, struct volume_io *io, struct error *error)
{
    struct ext_volume *volume = context;
    struct ext2_super_block super;
    errcode_t library_status;
    int status;

    volume->io = io;
    if (ext_read_superblock(io, &super) < 0)
        return ext_error(volume, 0, OPERATION_OPEN, "superblock", error);
    status = check_features(volume, &super, error);
    if (status < 0)
        return status;
    library_status = ext_open(io, &volume->fs);
    if (library_status)
        return ext_error(volume, library_status, OPERATION_OPEN, "superblock or group descriptors", error);
    volume->fs->priv_data = volume;
    return io->writable ? ext_prepare_writing(volume, error) : 0;
}

static int ext_unmount(void *context, struct error *error)
{
    struct ext_volume *volume = context;
    int status = volume->groups ? ext_end_change(volume, error) : 0;

    ext2fs_free(volume->fs);
    volume->fs = NULL;
    return status;
}

static uint64_t ext_free_space(void *context)
{
    struct ext_volume *volume = context;

    return ext2fs_free_blocks_count(volume->fs->super) * volume->fs->blocksize;
}

/* 32-bit block numbers in a file; without extents what three levels of indirect blocks reach, and 2^32 sectors in i_blocks. */
static uint64_t ext_max_file_bytes(void *context)
{
    struct ext_volume *volume = context;
    uint64_t size = volume->fs->blocksize, pointers = size / 4, most = 0xfffffffeull * size, reach;

    if (ext2fs_has_feature_extents(volume->fs->super))
        return most;
    reach = (12 + pointers + pointers * pointers + pointers * pointers * pointers) * size;
    if (reach > (1ull << 40))
        reach = 1ull << 40;
    return reach < most ? reach : most;
}

/* --- names --- */

/* Splits at the last '/': the directory's inode and the name in it. */
static int find_directory(struct ext_volume *volume, const char *path, ext2_ino_t *directory, const char **name,
                          struct error *error)
{
    const char *slash = strrchr(path, '/');
    char parent[512];
    errcode_t status;

    *name = slash ? slash + 1 : path;
    *directory = EXT2_ROOT_INO;
    if (strlen(*name) > EXT2_NAME_LEN)
        return refuse(volume, ERROR_USAGE, "the name is too long", error);
    if (!slash)
        return 0;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    status = ext2fs_namei_follow(volume->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, parent, directory);
    if (!status)
        status = ext2fs_check_directory(volume->fs, *directory);
    return status ? ext_error(volume, status == EXT2_ET_NO_DIRECTORY ? EXT2_ET_FILE_NOT_FOUND : status, OPERATION_OPEN,
                              "the folder of the image", error)
                  : 0;
}

/* The entry's inode; 0 in *number when there is no such entry. */
static int look_up(struct ext_volume *volume, ext2_ino_t directory, const char *name, ext2_ino_t *number,
                   struct error *error)
{
    errcode_t status = ext2fs_lookup(volume->fs, directory, name, (int)strlen(name), NULL, number);

    if (status == EXT2_ET_FILE_NOT_FOUND) {
        *number = 0;
        return 0;
    }
    return status ? ext_error(volume, status, OPERATION_OPEN, "folder", error) : 0;
}

static int open_existing(struct ext_volume *volume, struct ext_file *file, ext2_ino_t directory, const char *name,
                         struct error *error)
{
    errcode_t status;
    int result = look_up(volume, directory, name, &file->number, error);

    if (result < 0)
        return result;
    if (!file->number)
        return ext_error(volume, EXT2_ET_FILE_NOT_FOUND, OPERATION_OPEN, "no such file", error);
    status = ext2fs_read_inode(volume->fs, file->number, &file->inode);
    if (status)
        return ext_error(volume, status, OPERATION_OPEN, "inode", error);
    if (!LINUX_S_ISREG(file->inode.i_mode) || (file->inode.i_flags & (EXT4_ENCRYPT_FL | EXT4_INLINE_DATA_FL)))
        return refuse(volume, ERROR_UNSUPPORTED, "not a plain file", error);
    file->size = EXT2_I_SIZE(&file->inode);
    return 0;
}

/* --- creation --- */

/* What must be so of a directory in which something is made. */
static int check_directory(struct ext_volume *volume, ext2_ino_t directory, struct error *error)
{
    struct ext2_inode inode;
    errcode_t status = ext2fs_read_inode(volume->fs, directory, &inode);

    if (status)
        return ext_error(volume, status, OPERATION_OPEN, "folder", error);
    if (inode.i_flags & (EXT4_ENCRYPT_FL | EXT4_CASEFOLD_FL))
        return refuse(volume, ERROR_REFUSED, "the folder is encrypted or ignores case", error);
    return 0;
}

/* Room for a new inode and a few blocks, and the volume marked; *group is where the inode should be. */
static int prepare_creation(struct ext_volume *volume, ext2_ino_t directory, dgrp_t *group, struct error *error)
{
    int status;

    *group = ext2fs_group_of_ino(volume->fs, directory);
    if (!volume->loaded_free)
        volume->next_group = *group;
    status = ext_provide_blocks(volume, 1, error);
    if (status == 0)
        status = ext_provide_inode(volume, *group, group, error);
    return status == 0 ? ext_begin_change(volume, error) : status;
}

static int make_directory(struct ext_volume *volume, ext2_ino_t parent, const char *name, struct error *error)
{
    ext2_filsys fs = volume->fs;
    errcode_t library_status;
    dgrp_t group;
    int status = check_directory(volume, parent, error);

    if (status == 0)
        status = prepare_creation(volume, parent, &group, error);
    if (status < 0)
        return status;
    library_status = ext2fs_mkdir(fs, parent, 0, name);
    if (library_status == EXT2_ET_DIR_NO_SPACE) {
        library_status = ext2fs_expand_dir(fs, parent);
        if (!library_status)
            library_status = ext2fs_mkdir(fs, parent, 0, name);
    }
    if (!library_status)
        return 0;
    volume->failed = true;
    return ext_error(volume, library_status, OPERATION_OPEN, "new folder", error);
}

/* The folders on the way to a file, made where they are missing. What is in the way of one is found by who looks for the file. */
static int make_directories(struct ext_volume *volume, const char *path, struct error *error)
{
    ext2_ino_t parent = EXT2_ROOT_INO, number;
    char part[512], name[EXT2_NAME_LEN + 1];
    int status = 0;

    for (size_t start = 0, length = strcspn(path, "/"); status == 0 && path[start + length];
         start += length + 1, length = strcspn(path + start, "/")) {
        errcode_t library_status;

        if (length > EXT2_NAME_LEN || start + length >= sizeof part)
            return refuse(volume, ERROR_USAGE, "the name is too long", error);
        snprintf(part, sizeof part, "%.*s", (int)(start + length), path);
        snprintf(name, sizeof name, "%.*s", (int)length, path + start);
        library_status = ext2fs_namei_follow(volume->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, part, &number);
        if (library_status == EXT2_ET_FILE_NOT_FOUND) {
            status = make_directory(volume, parent, name, error);
            if (status == 0)
                library_status = ext2fs_lookup(volume->fs, parent, name, (int)length, NULL, &number);
        }
        if (status == 0 && library_status)
            return library_status == EXT2_ET_NO_DIRECTORY
                       ? 0
                       : ext_error(volume, library_status, OPERATION_OPEN, "the folder of the image", error);
        parent = number;
    }
    return status;
}

/* A directory entry, the directory made longer if it must be. */
static errcode_t link_file(ext2_filsys fs, ext2_ino_t directory, const char *name, ext2_ino_t number)
{
    int type = ext2fs_has_feature_filetype(fs->super) ? EXT2_FT_REG_FILE : 0;
    errcode_t status = ext2fs_link(fs, directory, name, number, type);

    if (status == EXT2_ET_DIR_NO_SPACE) {
        status = ext2fs_expand_dir(fs, directory);
        if (!status)
            status = ext2fs_link(fs, directory, name, number, type);
    }
    return status;
}

static errcode_t touch_directory(ext2_filsys fs, ext2_ino_t directory)
{
    struct ext2_inode inode;
    errcode_t status = ext2fs_read_inode(fs, directory, &inode);

    if (status)
        return status;
    inode.i_mtime = inode.i_ctime = (__u32)time(NULL);
    return ext2fs_write_inode(fs, directory, &inode);
}

static errcode_t make_file(ext2_filsys fs, struct ext_file *file, ext2_ino_t directory, dgrp_t group, const char *name)
{
    ext2_ino_t near = group * EXT2_INODES_PER_GROUP(fs->super) + 1;
    errcode_t status = ext2fs_new_inode(fs, near, LINUX_S_IFREG, NULL, &file->number);

    if (status)
        return status;
    file->inode.i_mode = LINUX_S_IFREG | 0644;
    file->inode.i_links_count = 1;
    if (ext2fs_has_feature_extents(fs->super)) {
        ext2_extent_handle_t handle;

        file->inode.i_flags |= EXT4_EXTENTS_FL;
        status = ext2fs_extent_open2(fs, file->number, &file->inode, &handle);
        if (status)
            return status;
        ext2fs_extent_free(handle);
    }
    status = ext2fs_write_new_inode(fs, file->number, &file->inode);
    if (status)
        return status;
    ext2fs_inode_alloc_stats2(fs, file->number, +1, 0);
    status = link_file(fs, directory, name, file->number);
    return status ? status : touch_directory(fs, directory);
}

static int create(struct ext_volume *volume, struct ext_file *file, ext2_ino_t directory, const char *name,
                  struct error *error)
{
    errcode_t library_status;
    ext2_ino_t existing;
    dgrp_t group;
    int status = check_directory(volume, directory, error);

    if (status == 0)
        status = look_up(volume, directory, name, &existing, error);
    if (status < 0)
        return status;
    if (existing)
        return error_set(error, ERROR_EXISTS, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", name);
    status = prepare_creation(volume, directory, &group, error);
    if (status < 0)
        return status;
    file->writing = true;
    library_status = make_file(volume->fs, file, directory, group, name);
    if (library_status) {
        volume->failed = true;
        return ext_error(volume, library_status, OPERATION_OPEN, "new file", error);
    }
    return 0;
}

static int ext_open_file(void *context, void *file_context, const char *path, bool write, uint64_t *size,
                         struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file *file = file_context;
    ext2_ino_t directory;
    const char *name;
    int status = write ? make_directories(volume, path, error) : 0;

    if (status == 0)
        status = find_directory(volume, path, &directory, &name, error);
    if (status == 0)
        status =
            write ? create(volume, file, directory, name, error) : open_existing(volume, file, directory, name, error);
    *size = file->size;
    return status;
}

/* --- mapping --- */

/* Enters blocks at the file's end, growing the last extent where they follow it on the disk. */
static errcode_t map_extent(ext2_filsys fs, struct ext_file *file, blk64_t physical, uint64_t count)
{
    struct ext2fs_extent last = {0}, new = {.e_pblk = physical, .e_lblk = file->mapped, .e_len = (__u32)count};
    ext2_extent_handle_t handle;
    errcode_t status = ext2fs_extent_open2(fs, file->number, &file->inode, &handle);

    if (status)
        return status;
    if (file->mapped) {
        status = ext2fs_extent_goto(handle, file->mapped - 1);
        if (!status)
            status = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, &last);
    }
    if (!status && last.e_len && last.e_pblk + last.e_len == physical && last.e_len + count <= EXTENT_MAX) {
        last.e_len += (__u32)count;
        status = ext2fs_extent_replace(handle, 0, &last);
    } else if (!status) {
        status = ext2fs_extent_insert(handle, EXT2_EXTENT_INSERT_AFTER, &new);
    }
    if (!status)
        status = ext2fs_extent_fix_parents(handle);
    ext2fs_extent_free(handle);
    return status;
}

/*
 * The same through indirect blocks. ext2fs_bmap2 makes an indirect block only when it allocates the data block as well: then that one is
 * given back and the wanted one put in its place.
 */
static errcode_t map_indirect(ext2_filsys fs, struct ext_file *file, blk64_t physical, uint64_t count, char *buffer)
{
    for (uint64_t i = 0; i < count; i++) {
        blk64_t block = physical + i, other = 0;
        errcode_t status =
            ext2fs_bmap2(fs, file->number, &file->inode, buffer, BMAP_SET, file->mapped + i, NULL, &block);

        if (status == EXT2_ET_SET_BMAP_NO_IND) {
            status = ext2fs_bmap2(fs, file->number, &file->inode, buffer, BMAP_ALLOC, file->mapped + i, NULL, &other);
            if (status)
                return status;
            ext2fs_block_alloc_stats2(fs, other, -1);
            ext2fs_iblk_sub_blocks(fs, &file->inode, 1);
            status = ext2fs_bmap2(fs, file->number, &file->inode, buffer, BMAP_SET, file->mapped + i, NULL, &block);
        }
        if (status)
            return status;
    }
    return 0;
}

static errcode_t map_blocks(ext2_filsys fs, struct ext_file *file, blk64_t physical, uint64_t count)
{
    char *buffer = NULL;
    errcode_t status;

    if (file->inode.i_flags & EXT4_EXTENTS_FL) {
        status = map_extent(fs, file, physical, count);
    } else {
        status = ext2fs_get_array(2, fs->blocksize, &buffer);
        if (!status)
            status = map_indirect(fs, file, physical, count, buffer);
        ext2fs_free_mem(&buffer);
    }
    if (!status) {
        file->mapped += count;
        file->next_physical = physical + count;
    }
    return status;
}

/* Takes a run of whole clusters: right behind the file's last block, or a long one, or the longest that is soon found. */
static errcode_t claim_run(struct ext_volume *volume, struct ext_file *file, uint64_t wanted, blk64_t *physical,
                           uint64_t *count)
{
    ext2_filsys fs = volume->fs;
    uint64_t ratio = (uint64_t)EXT2FS_CLUSTER_RATIO(fs), least = LONG_RUN_BYTES / fs->blocksize;
    blk64_t goal = file->next_physical, end = ext2fs_blocks_count(fs->super) - 1, first = fs->super->s_first_data_block;
    struct ext_free_run run = {0};
    unsigned looks = FREE_RUN_LOOKS;

    wanted = (wanted + ratio - 1) / ratio * ratio;
    if (wanted > EXTENT_MAX)
        wanted = EXTENT_MAX;
    if (!goal || goal > end)
        goal = ext2fs_group_first_block2(fs, ext2fs_group_of_ino(fs, file->number));
    goal -= goal % ratio;
    if (least > wanted)
        least = wanted;
    if (!ext_find_free_run(fs, goal, end, least, wanted, &looks, &run) && goal > first)
        ext_find_free_run(fs, first, goal - 1, least, wanted, &looks, &run);
    run.length -= run.length % ratio;
    if (!run.length || run.start % ratio != first % ratio)
        return EXT2_ET_BLOCK_ALLOC_FAIL;
    ext2fs_block_alloc_stats_range(fs, run.start, (blk_t)run.length, +1);
    *physical = run.start;
    *count = run.length;
    return ext2fs_iblk_add_blocks(fs, &file->inode, run.length / ratio);
}

/* Gives the file blocks up to `end`. */
static int grow(struct ext_volume *volume, struct ext_file *file, uint64_t end, struct error *error)
{
    int status = file->claimed < end ? ext_provide_blocks(volume, end - file->claimed, error) : 0;

    if (status < 0)
        return status;
    while (file->mapped < end) {
        blk64_t physical = file->next_physical;
        uint64_t count = file->claimed - file->mapped;
        errcode_t library_status = 0;

        if (!count) {
            library_status = claim_run(volume, file, end - file->mapped, &physical, &count);
            if (!library_status)
                file->claimed += count;
        }
        if (count > end - file->mapped)
            count = end - file->mapped;
        if (!library_status) {
            library_status = map_blocks(volume->fs, file, physical, count);
            volume->failed = volume->failed || library_status;
        }
        if (library_status)
            return ext_error(volume, library_status, OPERATION_WRITE, "the volume is full or damaged", error);
    }
    return 0;
}

/* --- reading and writing --- */

static errcode_t find_in_extents(ext2_filsys fs, struct ext_file *file, uint64_t block, blk64_t *physical,
                                 uint64_t *count)
{
    struct ext2fs_extent extent;
    ext2_extent_handle_t handle;
    errcode_t status = ext2fs_extent_open2(fs, file->number, &file->inode, &handle);

    if (status)
        return status;
    *physical = 0;
    *count = 1;
    status = ext2fs_extent_goto(handle, block);
    if (!status)
        status = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, &extent);
    if (!status && block >= extent.e_lblk && block - extent.e_lblk < extent.e_len) {
        *count = extent.e_len - (block - extent.e_lblk);
        if (!(extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT))
            *physical = extent.e_pblk + (block - extent.e_lblk);
    }
    ext2fs_extent_free(handle);
    return status == EXT2_ET_EXTENT_NOT_FOUND ? 0 : status;
}

static errcode_t find_in_indirect(ext2_filsys fs, struct ext_file *file, uint64_t block, uint64_t most,
                                  blk64_t *physical, uint64_t *count)
{
    char *buffer = NULL;
    errcode_t status = ext2fs_get_array(2, fs->blocksize, &buffer);

    for (*count = 0; !status && *count < most; ++*count) {
        blk64_t next = 0;

        status = ext2fs_bmap2(fs, file->number, &file->inode, buffer, 0, block + *count, NULL, &next);
        if (status || (*count && next != (*physical ? *physical + *count : 0)))
            break;
        if (!*count)
            *physical = next;
    }
    ext2fs_free_mem(&buffer);
    return status;
}

/* Where a block of the file is and how many follow it (at most `most`, at least one). *physical 0: a hole, or never written. */
static errcode_t find_run(ext2_filsys fs, struct ext_file *file, uint64_t block, uint64_t most, blk64_t *physical,
                          uint64_t *count)
{
    errcode_t status;

    if (file->inode.i_flags & EXT4_EXTENTS_FL)
        status = find_in_extents(fs, file, block, physical, count);
    else
        status = find_in_indirect(fs, file, block, most, physical, count);
    if (!status && *count > most)
        *count = most;
    return status;
}

/* Carries a byte range, run by run. */
static int transfer(struct ext_volume *volume, struct ext_file *file, uint64_t offset, uint8_t *data, size_t size,
                    bool write, struct error *error)
{
    ext2_filsys fs = volume->fs;

    while (size) {
        uint64_t block = offset / fs->blocksize, skip = offset % fs->blocksize, count = 0;
        uint64_t most = (skip + size + fs->blocksize - 1) / fs->blocksize, length;
        blk64_t physical = 0;
        errcode_t library_status = find_run(fs, file, block, most, &physical, &count);
        int status = 0;

        if (library_status || (write && !physical))
            return ext_error(volume, library_status, write ? OPERATION_WRITE : OPERATION_READ, "map of the file",
                             error);
        length = count * fs->blocksize - skip;
        if (length > size)
            length = size;
        if (write)
            status = ext_write_data(fs, physical * fs->blocksize + skip, data, (size_t)length);
        else if (physical)
            status = volume_io_read(volume->io, physical * fs->blocksize + skip, data, (size_t)length);
        else
            memset(data, 0, (size_t)length);
        if (status < 0)
            return ext_error(volume, 0, write ? OPERATION_WRITE : OPERATION_READ, "data", error);
        offset += length;
        data += length;
        size -= (size_t)length;
    }
    return 0;
}

static int ext_read(void *context, void *file_context, uint64_t offset, void *data, size_t size, size_t *transferred,
                    struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file *file = file_context;
    int status;

    if (offset >= file->size)
        return 0;
    if (size > file->size - offset)
        size = (size_t)(file->size - offset);
    status = transfer(volume, file, offset, data, size, false, error);
    *transferred = status < 0 ? 0 : size;
    return status;
}

static int ext_write(void *context, void *file_context, uint64_t offset, const void *data, size_t size,
                     struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file *file = file_context;
    uint32_t block = volume->fs->blocksize;
    int status;

    if (offset > file->size)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_WRITE, volume->io->device->name, ERROR_NO_BLOCK,
                         "a gap in the file");
    if (size > ext_max_file_bytes(volume) - offset)
        return ext_error(volume, EXT2_ET_BLOCK_ALLOC_FAIL, OPERATION_WRITE, "the file is too big for the volume",
                         error);
    if (!size)
        return 0;
    status = grow(volume, file, (offset + size + block - 1) / block, error);
    if (status == 0)
        status = transfer(volume, file, offset, (uint8_t *)data, size, true, error);
    if (status == 0 && offset + size > file->size)
        file->size = offset + size;
    return status;
}

static int ext_flush_file(void *context, void *file_context, struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file *file = file_context;
    errcode_t status;

    if (!file->writing)
        return 0;
    file->inode.i_mtime = file->inode.i_ctime = (__u32)time(NULL);
    status = ext2fs_inode_size_set(volume->fs, &file->inode, (ext2_off64_t)file->size);
    if (!status)
        status = ext2fs_write_inode(volume->fs, file->number, &file->inode);
    if (status) {
        volume->failed = true;
        return ext_error(volume, status, OPERATION_FLUSH, "inode", error);
    }
    return ext_flush_volume(volume, error);
}

static int provide_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t index, blk64_t parent, int offset, void *context)
{
    struct ext_volume *volume = fs->priv_data;

    (void)index;
    (void)parent;
    (void)offset;
    *(int *)context = ext_provide_group(volume, ext2fs_group_of_blk2(fs, *block), NULL);
    return *(int *)context < 0 ? BLOCK_ABORT : 0;
}

/* Gives back blocks from `start` on. */
static errcode_t truncate_blocks(ext2_filsys fs, struct ext_file *file, uint64_t start)
{
    int status = 0;
    errcode_t library_status = ext2fs_write_inode(fs, file->number, &file->inode);

    if (!library_status)
        library_status = ext2fs_block_iterate3(fs, file->number, BLOCK_FLAG_READ_ONLY, NULL, provide_block, &status);
    if (library_status || status < 0)
        return library_status ? library_status : EXT2_ET_BLOCK_BITMAP_READ;
    return ext2fs_punch(fs, file->number, &file->inode, NULL, start, ~0ULL);
}

/* What grow() goes by, of a file that is there: its last block and where that is. */
static int find_end(struct ext_volume *volume, struct ext_file *file, uint64_t blocks, struct error *error)
{
    uint64_t ratio = (uint64_t)EXT2FS_CLUSTER_RATIO(volume->fs), count;
    errcode_t status = 0;

    file->next_physical = 0;
    file->mapped = blocks;
    file->claimed = (blocks + ratio - 1) / ratio * ratio;
    if (!blocks)
        return 0;
    status = find_run(volume->fs, file, blocks - 1, 1, &file->next_physical, &count);
    if (status)
        return ext_error(volume, status, OPERATION_OPEN, "map of the file", error);
    return file->next_physical++ ? 0 : refuse(volume, ERROR_REFUSED, "the file has holes", error);
}

static int ext_reopen_file(void *context, void *file_context, const char *path, uint64_t length, struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file *file = file_context;
    uint64_t size, blocks = (length + volume->fs->blocksize - 1) / volume->fs->blocksize;
    int status = ext_open_file(volume, file, path, false, &size, error);

    if (status == 0 && length > size)
        status = refuse(volume, ERROR_OUT_OF_RANGE, path, error);
    else if (status == 0 && (file->inode.i_flags & (EXT2_IMMUTABLE_FL | EXT4_VERITY_FL)))
        status = refuse(volume, ERROR_REFUSED, "the file must not be changed", error);
    if (status == 0)
        status = find_end(volume, file, blocks, error);
    if (status == 0)
        status = ext_provide_group(volume, ext2fs_group_of_ino(volume->fs, file->number), error);
    if (status == 0)
        status = ext_begin_change(volume, error);
    if (status < 0)
        return status;
    file->size = length;
    file->writing = true;
    /* Room that another program took ahead stands behind the end, too. */
    if (!ext2fs_inode_size_set(volume->fs, &file->inode, (ext2_off64_t)length) &&
        !truncate_blocks(volume->fs, file, blocks))
        return 0;
    volume->failed = true;
    return ext_error(volume, 0, OPERATION_WRITE, "end of the file", error);
}

/* A failed write may have left blocks behind the end. */
static int ext_close(void *context, void *file_context, struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file *file = file_context;
    uint64_t needed = (file->size + volume->fs->blocksize - 1) / volume->fs->blocksize;

    if (!file->writing)
        return 0;
    if (file->mapped > needed && truncate_blocks(volume->fs, file, needed))
        volume->failed = true;
    return ext_flush_file(context, file_context, error);
}

static errcode_t unlink_file(ext2_filsys fs, struct ext_file *file, ext2_ino_t directory, const char *name)
{
    errcode_t status = ext2fs_unlink(fs, directory, name, file->number, 0);

    if (!status)
        status = truncate_blocks(fs, file, 0);
    if (status)
        return status;
    file->inode.i_links_count = 0;
    file->inode.i_dtime = (__u32)time(NULL);
    status = ext2fs_inode_size_set(fs, &file->inode, 0);
    if (!status)
        status = ext2fs_write_inode(fs, file->number, &file->inode);
    if (!status)
        ext2fs_inode_alloc_stats2(fs, file->number, -1, 0);
    return status ? status : touch_directory(fs, directory);
}

static int ext_remove(void *context, const char *path, struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_file file = {0};
    ext2_ino_t directory;
    const char *name;
    errcode_t library_status;
    int status = find_directory(volume, path, &directory, &name, error);

    if (status == 0)
        status = open_existing(volume, &file, directory, name, error);
    if (status == 0 && file.inode.i_links_count != 1)
        status = refuse(volume, ERROR_REFUSED, "the file has several names", error);
    if (status == 0)
        status = ext_provide_group(volume, ext2fs_group_of_ino(volume->fs, file.number), error);
    if (status == 0)
        status = ext_begin_change(volume, error);
    if (status < 0)
        return status;
    library_status = unlink_file(volume->fs, &file, directory, name);
    if (library_status) {
        volume->failed = true;
        return ext_error(volume, library_status, OPERATION_WRITE, "removal", error);
    }
    return ext_flush_volume(volume, error);
}

static const struct volume_file_ops ext_files = {
    .name = "ext",
    .volume_size = sizeof(struct ext_volume),
    .file_size = sizeof(struct ext_file),
    .mount = ext_mount,
    .unmount = ext_unmount,
    .free_space = ext_free_space,
    .max_file_bytes = ext_max_file_bytes,
    .open = ext_open_file,
    .reopen = ext_reopen_file,
    .read = ext_read,
    .write = ext_write,
    .flush = ext_flush_file,
    .close = ext_close,
    .remove = ext_remove,
    .check_space = ext_check_space,
    .list = ext_list,
};

int ext_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                   struct error *error)
{
    return volume_store_open(volume, &ext_files, path, write, store, error);
}

int ext_look(struct block_device *volume, struct filesystem_space *space, struct error *error)
{
    return volume_read_space(volume, &ext_files, space, error);
}

int ext_list_files(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                   struct error *error)
{
    return volume_list_files(volume, &ext_files, folder, found, context, error);
}
