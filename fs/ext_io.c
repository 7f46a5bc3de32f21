/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The io_manager through which libext2fs sees a volume (libext2fs, "The I/O manager").
 *
 * For a store, single blocks pass through a small write-back cache: the library reads and rewrites the same indirect and extent
 * blocks for every block that it maps. Everything else goes straight to the volume.
 */
#include "fs/ext.h"

#include <stdio.h>
#include <string.h>

#define CACHE_BLOCKS 64 /* policy */

struct ext_cached {
    unsigned long long block;
    uint64_t used; /* tick of the last use; 0: empty */
    bool dirty;
    uint8_t *data;
};

struct ext_channel {
    struct volume_io *io;
    uint64_t tick;
    unsigned cached_count; /* 0: no cache, an allocation reader's channel */
    struct ext_cached cached[CACHE_BLOCKS];
};

static struct struct_io_manager ext_io_manager;

static struct ext_channel *channel_of(io_channel channel)
{
    return channel->private_data;
}

static errcode_t read_through(io_channel channel, unsigned long long block, size_t size, void *data)
{
    unsigned long long offset;

    if (__builtin_mul_overflow(block, (unsigned)channel->block_size, &offset))
        return EXT2_ET_SHORT_READ;
    return volume_io_read(channel_of(channel)->io, offset, data, size) < 0 ? EXT2_ET_SHORT_READ : 0;
}

static errcode_t write_through(io_channel channel, unsigned long long block, size_t size, const void *data)
{
    unsigned long long offset;

    if (__builtin_mul_overflow(block, (unsigned)channel->block_size, &offset))
        return EXT2_ET_SHORT_WRITE;
    return volume_io_write(channel_of(channel)->io, offset, data, size) < 0 ? EXT2_ET_SHORT_WRITE : 0;
}

static errcode_t clean(io_channel channel, struct ext_cached *cached)
{
    errcode_t status = 0;

    if (cached->used && cached->dirty)
        status = write_through(channel, cached->block, (size_t)channel->block_size, cached->data);
    if (!status)
        cached->dirty = false;
    return status;
}

/* Writes what is dirty in [block, block + count); with `drop` the cache forgets the range as well. */
static errcode_t settle(io_channel channel, unsigned long long block, unsigned long long count, bool drop)
{
    struct ext_channel *own = channel_of(channel);
    errcode_t result = 0;

    for (unsigned i = 0; i < own->cached_count; i++) {
        struct ext_cached *cached = &own->cached[i];
        errcode_t status;

        if (!cached->used || cached->block < block || cached->block - block >= count)
            continue;
        status = clean(channel, cached);
        if (status)
            result = status;
        else if (drop)
            cached->used = 0;
    }
    return result;
}

/* The block's place in the cache, found or made; *found tells which. NULL: a dirty one could not be written. */
static struct ext_cached *look_up(io_channel channel, unsigned long long block, bool *found)
{
    struct ext_channel *own = channel_of(channel);
    struct ext_cached *oldest = &own->cached[0];

    for (unsigned i = 0; i < own->cached_count; i++) {
        struct ext_cached *cached = &own->cached[i];

        if (cached->used && cached->block == block) {
            cached->used = ++own->tick;
            *found = true;
            return cached;
        }
        if (cached->used < oldest->used)
            oldest = cached;
    }
    *found = false;
    if (clean(channel, oldest))
        return NULL;
    oldest->block = block;
    oldest->used = ++own->tick;
    return oldest;
}

/* libext2fs: a negative count is a number of bytes. */
static size_t transfer_size(io_channel channel, int count)
{
    return count < 0 ? (size_t) - (long)count : (size_t)count * (size_t)channel->block_size;
}

static errcode_t ext_io_read(io_channel channel, unsigned long long block, int count, void *data)
{
    size_t size = transfer_size(channel, count);
    struct ext_cached *cached;
    errcode_t status;
    bool found;

    if (!channel_of(channel)->cached_count)
        return read_through(channel, block, size, data);
    if (count != 1) {
        status = settle(channel, block, (size + (size_t)channel->block_size - 1) / (size_t)channel->block_size, false);
        return status ? status : read_through(channel, block, size, data);
    }
    cached = look_up(channel, block, &found);
    if (!cached)
        return EXT2_ET_SHORT_WRITE;
    if (!found) {
        status = read_through(channel, block, size, cached->data);
        if (status) {
            cached->used = 0;
            return status;
        }
    }
    memcpy(data, cached->data, size);
    return 0;
}

static errcode_t ext_io_write(io_channel channel, unsigned long long block, int count, const void *data)
{
    size_t size = transfer_size(channel, count);
    struct ext_cached *cached;
    errcode_t status;
    bool found;

    if (!channel_of(channel)->io->writable || !channel_of(channel)->cached_count)
        return EXT2_ET_RO_FILSYS;
    if (count != 1) {
        status = settle(channel, block, (size + (size_t)channel->block_size - 1) / (size_t)channel->block_size, true);
        return status ? status : write_through(channel, block, size, data);
    }
    cached = look_up(channel, block, &found);
    if (!cached)
        return EXT2_ET_SHORT_WRITE;
    memcpy(cached->data, data, size);
    cached->dirty = true;
    return 0;
}

static errcode_t ext_io_read32(io_channel channel, unsigned long block, int count, void *data)
{
    return ext_io_read(channel, block, count, data);
}

static errcode_t ext_io_write32(io_channel channel, unsigned long block, int count, const void *data)
{
    return ext_io_write(channel, block, count, data);
}

static errcode_t ext_io_flush(io_channel channel)
{
    struct ext_channel *own = channel_of(channel);
    errcode_t status = own->cached_count ? settle(channel, 0, UINT64_MAX, false) : 0;

    if (!status && own->io->slot_count && volume_io_flush(own->io) < 0)
        status = EXT2_ET_SHORT_WRITE;
    return status;
}

static errcode_t ext_io_set_block_size(io_channel channel, int block_size)
{
    struct ext_channel *own = channel_of(channel);
    errcode_t status = 0;

    if (block_size == channel->block_size && (own->cached_count || !own->io->slot_count))
        return 0;
    if (own->cached_count)
        status = settle(channel, 0, UINT64_MAX, true);
    if (status)
        return status;
    channel->block_size = block_size;
    if (!own->io->slot_count)
        return 0;
    own->cached_count = 0;
    for (unsigned i = 0; i < CACHE_BLOCKS; i++) {
        ext2fs_free_mem(&own->cached[i].data);
        memset(&own->cached[i], 0, sizeof own->cached[i]);
        status = ext2fs_get_mem((unsigned long)block_size, &own->cached[i].data);
        if (status)
            return status;
        own->cached_count++;
    }
    return 0;
}

static errcode_t ext_io_close(io_channel channel)
{
    struct ext_channel *own = channel_of(channel);
    errcode_t status = 0;

    if (--channel->refcount > 0)
        return 0;
    if (own->cached_count)
        status = settle(channel, 0, UINT64_MAX, true);
    for (unsigned i = 0; i < CACHE_BLOCKS; i++)
        ext2fs_free_mem(&own->cached[i].data);
    ext2fs_free_mem(&channel->private_data);
    ext2fs_free_mem(&channel);
    return status;
}

/* The library's open hands over a name and nothing else: ours is the address of the volume_io in hexadecimal. */
static struct volume_io *volume_of_name(const char *name)
{
    uintptr_t address = 0;

    for (; *name; name++)
        address = address << 4 | (uintptr_t)(*name >= 'a' ? *name - 'a' + 10 : *name - '0');
    return (struct volume_io *)address;
}

static errcode_t ext_io_open(const char *name, int flags, io_channel *result)
{
    struct ext_channel *own;
    io_channel channel;
    errcode_t status = ext2fs_get_memzero(sizeof *channel, &channel);

    (void)flags;
    if (status)
        return status;
    status = ext2fs_get_memzero(sizeof *own, &own);
    if (status) {
        ext2fs_free_mem(&channel);
        return status;
    }
    own->io = volume_of_name(name);
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = &ext_io_manager;
    channel->block_size = 1024;
    channel->refcount = 1;
    channel->private_data = own;
    *result = channel;
    return 0;
}

/* Constant; not declared so because the library's type is not. */
static struct struct_io_manager ext_io_manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "Eidolon block device",
    .open = ext_io_open,
    .close = ext_io_close,
    .set_blksize = ext_io_set_block_size,
    .read_blk = ext_io_read32,
    .write_blk = ext_io_write32,
    .read_blk64 = ext_io_read,
    .write_blk64 = ext_io_write,
    .flush = ext_io_flush,
};

errcode_t ext_open(struct volume_io *io, ext2_filsys *fs)
{
    char name[2 * sizeof(uintptr_t) + 1];
    int flags = EXT2_FLAG_64BITS | EXT2_FLAG_FORCE | EXT2_FLAG_SKIP_MMP | (io->writable ? EXT2_FLAG_RW : 0);
    errcode_t status;

    snprintf(name, sizeof name, "%llx", (unsigned long long)(uintptr_t)io);
    status = ext2fs_open2(name, NULL, flags, 0, 0, &ext_io_manager, fs);
    if (status)
        return status;
    (*fs)->mmp_fd = -1;
    (*fs)->default_bitmap_type = EXT2FS_BMAP64_RBTREE;
    return 0;
}

int ext_read_superblock(struct volume_io *io, struct ext2_super_block *super)
{
    _Static_assert(sizeof *super == SUPERBLOCK_SIZE, "libext2fs and its header disagree");
    return volume_io_read(io, SUPERBLOCK_OFFSET, super, sizeof *super);
}

int ext_write_data(ext2_filsys fs, uint64_t offset, const void *data, size_t size)
{
    unsigned long long first = offset / fs->blocksize, end = (offset + size + fs->blocksize - 1) / fs->blocksize;

    if (settle(fs->io, first, end - first, true))
        return -ERROR_IO;
    return volume_io_write(channel_of(fs->io)->io, offset, data, size);
}
