/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware's block I/O (UEFI 2.10, section 13.9) as a block device: the way to every disk that no
 * driver of ours serves.
 *
 * Each call blocks until the disk has answered, so one bounded request is carried out per poll. Firmware
 * was seen to say success for reads that failed: every block of the target carries a random mark before the
 * call, and one that is still there was not read.
 */
#include <string.h>

#include "boot/efi_disk.h"

#define FIRMWARE_MAX_TRANSFER (1024u * 1024)
#define FIRMWARE_QUEUE 4
#define MARK_STEP 0x9e3779b97f4a7c15ULL /* odd, its bits well mixed */

static struct firmware_disk *disk_of(struct block_device *device)
{
    return (struct firmware_disk *)device;
}

static UINT8 *request_data(const struct block_request *request)
{
    return (UINT8 *)request->buffer->data + request->offset;
}

static size_t request_size(const struct block_request *request)
{
    return request->count * request->device->geometry.logical_block;
}

static int disk_submit(struct block_device *device, struct block_request *request)
{
    struct firmware_disk *disk = disk_of(device);

    if (disk->queued >= FIRMWARE_QUEUE)
        return -ERROR_FULL;
    request->driver_next = NULL;
    *disk->last = request;
    disk->last = &request->driver_next;
    disk->queued++;
    return 0;
}

static struct block_request *take_first(struct firmware_disk *disk)
{
    struct block_request *request = disk->first;

    if (!request)
        return NULL;
    disk->first = request->driver_next;
    if (!disk->first)
        disk->last = &disk->first;
    disk->queued--;
    return request;
}

/* --- marks --- */

/* A different mark in each block of each call, from a random start. */
static UINT64 mark_of(UINT64 seed, size_t block)
{
    UINT64 value = seed + block;

    value = (value ^ value >> 31) * MARK_STEP;
    return value ^ value >> 29;
}

/* At the start of every block. */
static void marks_set(UINT8 *data, size_t size, size_t block, UINT64 seed)
{
    for (size_t at = 0, i = 0; at < size; at += block, i++) {
        UINT64 mark = mark_of(seed, i);
        memcpy(data + at, &mark, sizeof(mark));
    }
}

/* Are all gone? The chance that a disk holds one is 2^-64 for each block. */
static bool marks_gone(const UINT8 *data, size_t size, size_t block, UINT64 seed)
{
    for (size_t at = 0, i = 0; at < size; at += block, i++) {
        UINT64 mark = mark_of(seed, i);
        if (memcmp(data + at, &mark, sizeof(mark)) == 0)
            return false;
    }
    return true;
}

static EFI_STATUS read_marked(struct firmware_disk *disk, const struct block_request *request, bool *believable)
{
    size_t size = request_size(request);
    UINT8 *data = request_data(request);
    UINT64 seed = disk->mark_seed;

    disk->mark_seed += MARK_STEP;
    marks_set(data, size, disk->device.geometry.logical_block, seed);
    EFI_STATUS status = disk->io->ReadBlocks(disk->io, disk->media_id, request->lba, size, data);
    *believable = EFI_ERROR(status) || marks_gone(data, size, disk->device.geometry.logical_block, seed);
    return status;
}

static int disk_read(struct firmware_disk *disk, struct block_request *request, EFI_STATUS *status)
{
    bool believable;

    *status = read_marked(disk, request, &believable);
    if (!believable) /* once more: a retry by the firmware may have ended half way */
        *status = read_marked(disk, request, &believable);
    if (!believable) {
        platform_log(&disk->firmware->platform, disk->lied ? LOG_DEBUG : LOG_WARNING,
                     "%s: the firmware says that blocks from %llu on were read, but left them as they were",
                     disk->device.name, (unsigned long long)request->lba);
        disk->lied = true;
        return -ERROR_MEDIUM;
    }
    return firmware_error(*status);
}

/* --- requests --- */

/* An unplugged disk takes its protocol along: never call through a pointer that may be stale. */
bool firmware_disk_is_there(struct firmware_disk *disk)
{
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;

    return firmware_handle_protocol(disk->firmware, disk->handle, &guid) == disk->io && disk->io->Media->MediaPresent &&
           disk->io->Media->MediaId == disk->media_id;
}

static int carry_out(struct firmware_disk *disk, struct block_request *request, EFI_STATUS *status)
{
    switch (request->operation) {
    case BLOCK_READ:
        return disk_read(disk, request, status);
    case BLOCK_WRITE:
        *status =
            disk->io->WriteBlocks(disk->io, disk->media_id, request->lba, request_size(request), request_data(request));
        return firmware_error(*status);
    case BLOCK_FLUSH:
        *status = disk->io->FlushBlocks(disk->io);
        return firmware_error(*status);
    default:
        return -ERROR_UNSUPPORTED;
    }
}

static bool disk_poll(struct block_device *device)
{
    struct firmware_disk *disk = disk_of(device);
    EFI_STATUS status = EFI_SUCCESS;

    if (disk->busy || !disk->first)
        return false;
    if (!firmware_disk_is_there(disk)) {
        struct block_request *request;
        while ((request = take_first(disk)))
            block_complete(request, -ERROR_GONE, 0);
        block_device_die(device);
        return true;
    }
    struct block_request *request = take_first(disk);
    disk->busy = true;
    int result = carry_out(disk, request, &status);
    disk->busy = false;
    /* The high bit is the error flag: what remains fits. */
    block_complete(request, result, (uint32_t)status);
    if (result == -ERROR_GONE)
        block_device_die(device);
    return true;
}

static void disk_reset(struct block_device *device)
{
    struct firmware_disk *disk = disk_of(device);
    UINT64 now = firmware_now(&disk->firmware->platform);
    struct block_request *request;

    while ((request = take_first(disk)))
        block_complete(request, request->deadline <= now ? -ERROR_TIMEOUT : -ERROR_ABORTED, 0);
    if (disk->busy)
        return;
    if (!firmware_disk_is_there(disk) || EFI_ERROR(disk->io->Reset(disk->io, FALSE)))
        block_device_die(device);
}

static void disk_shutdown(struct block_device *device)
{
    struct firmware_disk *disk = disk_of(device);

    if (firmware_disk_is_there(disk) && !device->read_only)
        disk->io->FlushBlocks(disk->io);
    platform_release(&disk->firmware->platform, disk->path);
    platform_release(&disk->firmware->platform, disk);
}

static const struct block_device_ops disk_ops = {
    .submit = disk_submit,
    .poll = disk_poll,
    .reset = disk_reset,
    .shutdown = disk_shutdown,
    .poll_blocks = true,
};

struct firmware_disk *firmware_disk_of(struct block_device *device)
{
    return device->ops == &disk_ops ? disk_of(device) : NULL;
}

static bool is_power_of_two(UINT64 value)
{
    return value && !(value & (value - 1));
}

static bool read_geometry(struct firmware_disk *disk)
{
    const EFI_BLOCK_IO_MEDIA *media = disk->io->Media;
    struct block_geometry *geometry = &disk->device.geometry;

    if (media->LogicalPartition || !media->MediaPresent || media->BlockSize < 512 || media->BlockSize > 65536 ||
        !is_power_of_two(media->BlockSize) || media->LastBlock == UINT64_MAX || media->LastBlock < 1 ||
        media->LastBlock >= INT64_MAX / media->BlockSize || (media->IoAlign > 1 && !is_power_of_two(media->IoAlign)) ||
        media->IoAlign > 4096)
        return false;
    geometry->logical_block = media->BlockSize;
    geometry->physical_block = media->BlockSize;
    if (disk->io->Revision >= EFI_BLOCK_IO_PROTOCOL_REVISION2 &&
        is_power_of_two(media->LogicalBlocksPerPhysicalBlock) && media->LogicalBlocksPerPhysicalBlock <= 4096)
        geometry->physical_block = media->BlockSize * media->LogicalBlocksPerPhysicalBlock;
    geometry->block_count = media->LastBlock + 1;
    geometry->max_transfer = FIRMWARE_MAX_TRANSFER;
    geometry->optimal_transfer = FIRMWARE_MAX_TRANSFER;
    geometry->queue_depth = 2;
    geometry->buffer_alignment = media->IoAlign < 2 ? 2 : media->IoAlign;
    disk->media_id = media->MediaId;
    disk->device.removable = media->RemovableMedia;
    disk->device.read_only = media->ReadOnly;
    disk->device.volatile_cache = true; /* WriteCaching is not to be trusted: a flush is cheap */
    return true;
}

int firmware_disk_open(struct loop *loop, struct firmware *firmware, EFI_HANDLE handle, struct block_device **device)
{
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;
    EFI_BLOCK_IO *io = firmware_handle_protocol(firmware, handle, &guid);
    EFI_DEVICE_PATH *path = path_of_handle(firmware, handle);
    struct error error = {0};

    if (!io || !io->Media || !path)
        return -ERROR_UNSUPPORTED;
    struct firmware_disk *disk = platform_allocate_zeroed(&firmware->platform, sizeof(*disk));
    if (!disk)
        return -ERROR_NO_MEMORY;
    disk->firmware = firmware;
    disk->handle = handle;
    disk->io = io;
    disk->last = &disk->first;
    firmware_random(&firmware->platform, &disk->mark_seed, sizeof(disk->mark_seed));
    disk->device.ops = &disk_ops;
    disk->device.loop = loop;
    disk->device.host = handle;
    memcpy(disk->device.driver, "firmware", 9);
    int status = -ERROR_UNSUPPORTED;
    if (!read_geometry(disk))
        goto no_disk;
    status = -ERROR_NO_MEMORY;
    if (!(disk->path = path_copy(firmware, path)))
        goto no_disk;
    firmware_disk_identify(firmware, disk);
    status = block_device_start(&disk->device, &error);
    if (status)
        goto no_start;
    *device = &disk->device;
    return 0;

no_start:
    platform_release(&firmware->platform, disk->path);
no_disk:
    platform_release(&firmware->platform, disk);
    return status;
}
