/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <blake3.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/posix.h"

#define QUEUE_DEPTH 16
#define MAX_TRANSFER (4u << 20)
#define OPTIMAL_TRANSFER (1u << 20)
#define PAGE 4096u

struct posix_block;

struct block_task {
    struct posix_task task; /* first */
    struct posix_block *owner;
    struct block_request *request; /* NULL: free */
};

struct posix_block {
    struct block_device device; /* first */
    int descriptor;             /* through the page cache */
    int direct;                 /* O_DIRECT, or -1; `direct_block` is what it must be aligned to */
    uint32_t direct_block;
    uint8_t *cached; /* a file that is only read: mapped, to see which pages the page cache holds; NULL: as if none */
    size_t cached_size;
    bool special; /* a block special file */
    dev_t file_system;
    ino_t inode;
    dev_t special_device;
    char path[512];
    struct block_device below; /* where the bytes really are, so that two names of one disk are seen to be one */
    struct posix_finished finished;
    struct block_task tasks[QUEUE_DEPTH];
};

static int discard_range(struct posix_block *block, uint64_t offset, uint64_t length)
{
    uint64_t range[2] = {offset, length};

    if (block->special)
        return ioctl(block->descriptor, BLKDISCARD, range) == 0 ? 0 : -errno;
    return fallocate(block->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0
               ? 0
               : -errno;
}

static int zero_range(struct posix_block *block, uint64_t offset, uint64_t length)
{
    uint64_t range[2] = {offset, length};

    if (block->special)
        return ioctl(block->descriptor, BLKZEROOUT, range) == 0 ? 0 : -errno;
    return discard_range(block, offset, length); /* holes of a file read as zeroes */
}

/*
 * Is a range of a file that is only read in the page cache? Then it comes from there: the disk below would be slower. The
 * first page stands for the range.
 */
static bool is_cached(const struct posix_block *block, uint64_t offset)
{
    unsigned char resident = 0;

    offset = offset / PAGE * PAGE;
    return offset < block->cached_size && mincore(block->cached + offset, PAGE, &resident) == 0 && (resident & 1);
}

/* Past the page cache or not: what is read of a target comes from the disk, also what was written a moment ago. */
static int drop_cached(const struct posix_block *block, uint64_t offset, uint64_t length)
{
    off_t start = (off_t)(offset / PAGE * PAGE), size = (off_t)((offset + length + PAGE - 1) / PAGE * PAGE) - start;

    if (sync_file_range(block->descriptor, start, size,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) != 0)
        return -errno; /* of a write that failed: nobody else will be told */
    posix_fadvise(block->descriptor, start, size, POSIX_FADV_DONTNEED);
    return 0;
}

/* Past the page cache where offset, length and memory allow it. */
static int transfer(const struct posix_block *block, const struct block_request *request, uint64_t offset,
                    uint64_t length, size_t *transferred)
{
    uint8_t *data = (uint8_t *)request->buffer->data + request->offset;
    bool write = request->operation == BLOCK_WRITE;
    int status = -EINVAL;

    if (block->direct >= 0 && ((offset | length | (uintptr_t)data) & (block->direct_block - 1)) == 0 &&
        !is_cached(block, offset))
        status = posix_transfer(block->direct, write, data, (size_t)length, (int64_t)offset, transferred);
    if (status == -EINVAL) { /* a file system may say so as well, which asks for more than is known of it */
        status = write || block->device.read_only ? 0 : drop_cached(block, offset, length);
        if (!status)
            status = posix_transfer(block->descriptor, write, data, (size_t)length, (int64_t)offset, transferred);
    }
    return !status && *transferred < length ? -EIO : status;
}

static void run_task(struct posix_task *task)
{
    struct block_task *block_task = (struct block_task *)task;
    struct posix_block *block = block_task->owner;
    struct block_request *request = block_task->request;
    uint64_t block_size = block->device.geometry.logical_block;
    uint64_t offset = request->lba * block_size, length = request->count * block_size;

    task->transferred = 0;
    switch (request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        task->status = transfer(block, request, offset, length, &task->transferred);
        break;
    case BLOCK_FLUSH:
        task->status = fdatasync(block->descriptor) == 0 ? 0 : -errno;
        /* What was written must come from the disk when it is read back. */
        if (!task->status)
            posix_fadvise(block->descriptor, 0, 0, POSIX_FADV_DONTNEED);
        break;
    case BLOCK_DISCARD:
        task->status = discard_range(block, offset, length);
        break;
    case BLOCK_WRITE_ZEROES:
        task->status = zero_range(block, offset, length);
        break;
    }
}

static int posix_submit(struct block_device *device, struct block_request *request)
{
    struct posix_block *block = (struct posix_block *)device;

    for (unsigned i = 0; i < QUEUE_DEPTH; i++) {
        struct block_task *task = &block->tasks[i];
        if (task->request)
            continue;
        task->request = request;
        task->owner = block;
        task->task.run = run_task;
        task->task.owner = &block->finished;
        posix_io_submit(device->loop->platform, &task->task);
        return 0;
    }
    return -ERROR_FULL;
}

static bool posix_poll(struct block_device *device)
{
    struct posix_block *block = (struct posix_block *)device;
    struct posix_task *task = posix_finished_take(&block->finished);
    bool any = task != NULL;

    while (task) {
        struct posix_task *next = task->next;
        struct block_task *block_task = (struct block_task *)task;
        struct block_request *request = block_task->request;
        block_task->request = NULL;
        block_complete(request, -(int)posix_error_code(-task->status), (uint32_t)-task->status);
        task = next;
    }
    return any;
}

static void forget_cached(struct posix_block *block)
{
    if (block->cached)
        munmap(block->cached, block->cached_size);
    block->cached = NULL;
    block->cached_size = 0;
}

static void posix_shutdown(struct block_device *device)
{
    struct posix_block *block = (struct posix_block *)device;

    forget_cached(block);
    if (block->direct >= 0)
        close(block->direct);
    close(block->descriptor);
    free(block);
}

/* No reset: the kernel has its own time-outs and resets, and a thread inside a system call cannot be called back. */
static const struct block_device_ops posix_block_ops = {
    .submit = posix_submit, .poll = posix_poll, .shutdown = posix_shutdown};

/* Does a GPT header stand at byte 4096 and none at byte 512? Then the file is the likeness of a 4Kn disk. */
static uint32_t sector_size_of_file(int descriptor)
{
    char at_512[8] = "", at_4096[8] = "";

    if (pread(descriptor, at_512, 8, 512) != 8 || pread(descriptor, at_4096, 8, 4096) != 8)
        return 512;
    return memcmp(at_512, "EFI PART", 8) != 0 && memcmp(at_4096, "EFI PART", 8) == 0 ? 4096 : 512;
}

static int special_geometry(struct posix_block *block, struct error *error)
{
    struct block_geometry *geometry = &block->device.geometry;
    int logical = 0;
    unsigned physical = 0;
    uint64_t bytes = 0;

    if (ioctl(block->descriptor, BLKSSZGET, &logical) != 0 || ioctl(block->descriptor, BLKPBSZGET, &physical) != 0 ||
        ioctl(block->descriptor, BLKGETSIZE64, &bytes) != 0 || logical <= 0)
        return error_set(error, posix_error_code(errno), OPERATION_IDENTIFY, block->path, ERROR_NO_BLOCK, "%s",
                         strerror(errno));
    geometry->logical_block = (uint32_t)logical;
    geometry->physical_block = physical;
    geometry->block_count = bytes / (uint32_t)logical;
    return 0;
}

static void open_direct(struct posix_block *block, bool write)
{
    block->direct = open(block->path, (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    block->direct_block = block->special ? block->device.geometry.logical_block : PAGE;
}

/* The mapping is never touched, only asked about. */
static void map_cached(struct posix_block *block, size_t size)
{
    void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, block->descriptor, 0);

    if (mapped == MAP_FAILED)
        return;
    block->cached = mapped;
    block->cached_size = size;
}

static int prepare(struct posix_block *block, bool write, struct error *error)
{
    struct block_device *device = &block->device;
    struct posix_place place;
    struct stat status;

    if (fstat(block->descriptor, &status) != 0)
        return error_set(error, posix_error_code(errno), OPERATION_OPEN, block->path, ERROR_NO_BLOCK, "%s",
                         strerror(errno));
    block->special = S_ISBLK(status.st_mode);
    if (!block->special && !S_ISREG(status.st_mode))
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, block->path, ERROR_NO_BLOCK,
                         "neither a disk nor a file");
    block->file_system = status.st_dev;
    block->inode = status.st_ino;
    block->special_device = status.st_rdev;
    device->geometry = (struct block_geometry){.max_transfer = MAX_TRANSFER,
                                               .optimal_transfer = OPTIMAL_TRANSFER,
                                               .queue_depth = QUEUE_DEPTH,
                                               .buffer_alignment = 512,
                                               .max_discard = 1ULL << 30,
                                               .max_write_zeroes = 1ULL << 30};
    if (block->special) {
        int result = special_geometry(block, error);
        if (result)
            return result;
        posix_disk_describe(device, &status);
    } else {
        uint32_t sector = sector_size_of_file(block->descriptor);
        device->geometry.logical_block = sector;
        device->geometry.physical_block = 4096;
        device->geometry.block_count = (uint64_t)status.st_size / sector;
        if (!write && status.st_size % sector)
            return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, block->path, ERROR_NO_BLOCK,
                             "its %lld bytes are no whole number of %u-byte sectors; 'truncate -s %%%u' adds the rest",
                             (long long)status.st_size, (unsigned)sector, (unsigned)sector);
    }
    if (device->geometry.block_count == 0)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, block->path, ERROR_NO_BLOCK,
                         "it is empty: no disk is in it");
    posix_place_of(&status, &place);
    posix_place_device(&place, &block->below);
    device->parent = &block->below;
    device->parent_lba = place.start / device->geometry.logical_block;
    /*
     * Past the page cache, which would only be filled with what is read or written once, and so that what is read back comes
     * from the disk below.
     */
    open_direct(block, write);
    if (block->direct >= 0 && !block->special && !write)
        map_cached(block, (size_t)status.st_size);
    /* Reading ahead into the page cache would make everything look as if it had been there. */
    posix_fadvise(block->descriptor, 0, 0, block->direct < 0 ? POSIX_FADV_SEQUENTIAL : POSIX_FADV_RANDOM);
    return 0;
}

/* A path that is longer than a name has a short form, "file:its-end~0123456789abcdef", that no other one has. */
static void name_by_path(const char *path, char name[BLOCK_NAME_MAX])
{
    blake3_hasher hasher;
    uint8_t hash[8];
    size_t length = strlen(path), room = BLOCK_NAME_MAX - 24;

    if (length < BLOCK_NAME_MAX) {
        memcpy(name, path, length + 1);
        return;
    }
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, path, length);
    blake3_hasher_finalize(&hasher, hash, sizeof(hash));
    const char *end = path + length - room;
    while ((*end & 0xc0) == 0x80) /* not in the middle of a character */
        end++;
    const char *slash = strrchr(end, '/');
    int used = snprintf(name, BLOCK_NAME_MAX, "file:%s~", slash ? slash + 1 : end);
    for (size_t i = 0; i < sizeof(hash); i++)
        used += snprintf(name + used, BLOCK_NAME_MAX - (size_t)used, "%02x", hash[i]);
}

int posix_block_open(struct loop *loop, const char *path, bool write, struct block_device **device, struct error *error)
{
    struct posix_block *block = calloc(1, sizeof(*block));
    struct stat status;

    if (!block || strlen(path) >= sizeof(block->path)) {
        free(block);
        return -ERROR_NO_MEMORY;
    }
    strcpy(block->path, path);
    /* O_EXCL on a disk: the kernel refuses when it is mounted or held. */
    bool exclusive = write && stat(path, &status) == 0 && S_ISBLK(status.st_mode);
    block->descriptor = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | (exclusive ? O_EXCL : 0));
    if (block->descriptor < 0) {
        int result =
            error_set(error, posix_error_code(errno), OPERATION_OPEN, path, ERROR_NO_BLOCK, "%s", strerror(errno));
        free(block);
        return result;
    }
    block->device.ops = &posix_block_ops;
    block->device.loop = loop;
    block->device.bus = BUS_FILE;
    block->device.read_only = !write;
    block->device.volatile_cache = true;
    name_by_path(path, block->device.name);
    snprintf(block->device.driver, sizeof(block->device.driver), "linux");
    int result = prepare(block, write, error);
    if (!result)
        result = block_device_start(&block->device, error);
    if (result) {
        posix_shutdown(&block->device);
        return result;
    }
    *device = &block->device;
    return 0;
}

int posix_block_make_writable(struct block_device *device, struct error *error)
{
    struct posix_block *block = (struct posix_block *)device;

    if (!device->read_only)
        return 0;
    int descriptor = open(block->path, O_RDWR | O_CLOEXEC | (block->special ? O_EXCL : 0));
    if (descriptor < 0)
        return error_set(error, posix_error_code(errno), OPERATION_OPEN, block->path, ERROR_NO_BLOCK, "%s",
                         strerror(errno));
    close(block->descriptor);
    block->descriptor = descriptor;
    forget_cached(block);
    if (block->direct >= 0)
        close(block->direct);
    open_direct(block, true);
    device->read_only = false;
    return 0;
}

bool posix_block_is(const struct block_device *device, const struct stat *status)
{
    const struct posix_block *block = (const struct posix_block *)device;

    if (device->ops != &posix_block_ops)
        return false;
    if (block->special)
        return S_ISBLK(status->st_mode) && status->st_rdev == block->special_device;
    return S_ISREG(status->st_mode) && status->st_dev == block->file_system && status->st_ino == block->inode;
}

bool posix_block_in_use(const struct block_device *device, unsigned partition, char *where, size_t size)
{
    const struct posix_block *block = (const struct posix_block *)device;
    struct stat status;

    return fstat(block->descriptor, &status) == 0 && posix_disk_in_use(&status, partition, where, size);
}

void posix_block_reread_table(struct block_device *device)
{
    struct posix_block *block = (struct posix_block *)device;

    if (block->special && !device->read_only)
        ioctl(block->descriptor, BLKRRPART);
}
