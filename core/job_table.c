/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition table inside an image. The header carries the first and last blocks of the disk; a small read-only disk shows them
 * where they were, zeroes between, so that one parser reads all tables.
 */
#include "core/job_internal.h"

#include <string.h>

struct table_disk {
    struct block_device device;
    const struct image_description *description;
    struct block_request *first, **last;
};

/* Copies what [from, from + size) of the disk has in common with a piece of it. */
static void show(uint8_t *to, uint64_t from, uint64_t size, const uint8_t *piece, uint64_t piece_offset,
                 uint64_t piece_size)
{
    uint64_t start = from > piece_offset ? from : piece_offset;
    uint64_t end = smaller_of(from + size, piece_offset + piece_size);

    if (piece && start < end)
        memcpy(to + (start - from), piece + (start - piece_offset), (size_t)(end - start));
}

static int table_submit(struct block_device *device, struct block_request *request)
{
    struct table_disk *disk = (struct table_disk *)device;

    request->driver_next = NULL;
    *disk->last = request;
    disk->last = &request->driver_next;
    return 0;
}

static bool table_poll(struct block_device *device)
{
    struct table_disk *disk = (struct table_disk *)device;
    const struct image_description *description = disk->description;
    struct block_request *request = disk->first;

    disk->first = NULL;
    disk->last = &disk->first;
    if (!request)
        return false;
    while (request) {
        struct block_request *next = request->driver_next;
        if (request->operation == BLOCK_READ) {
            uint64_t offset = request->lba * device->geometry.logical_block;
            uint64_t size = request->count * device->geometry.logical_block;
            uint8_t *to = (uint8_t *)request->buffer->data + request->offset;
            memset(to, 0, (size_t)size);
            show(to, offset, size, description->table_head, 0, description->table_head_size);
            show(to, offset, size, description->table_tail, description->disk_bytes - description->table_tail_size,
                 description->table_tail_size);
            block_complete(request, 0, 0);
        } else {
            block_complete(request, request->operation == BLOCK_FLUSH ? 0 : -ERROR_WRITE_PROTECTED, 0);
        }
        request = next;
    }
    return true;
}

static void table_reset(struct block_device *device)
{
    block_device_die(device);
}

static void table_shutdown(struct block_device *device)
{
    platform_release(device->loop->platform, device);
}

static const struct block_device_ops table_ops = {
    .submit = table_submit, .poll = table_poll, .reset = table_reset, .shutdown = table_shutdown};

int plan_image_table(struct loop *loop, const struct image_description *description, struct partition_table *table,
                     struct error *error)
{
    struct table_disk *disk;
    int status;

    memset(table, 0, sizeof(*table));
    if (description->is_partition || !description->table_head || !description->logical_block ||
        description->table_tail_size > description->disk_bytes)
        return 0;
    disk = platform_allocate_zeroed(loop->platform, sizeof(*disk));
    if (!disk)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
    disk->description = description;
    disk->last = &disk->first;
    disk->device.ops = &table_ops;
    disk->device.loop = loop;
    disk->device.bus = BUS_IMAGE;
    disk->device.read_only = true;
    disk->device.geometry = (struct block_geometry){.logical_block = description->logical_block,
                                                    .physical_block = description->logical_block,
                                                    .block_count = description->disk_bytes / description->logical_block,
                                                    .max_transfer = 1024 * 1024,
                                                    .optimal_transfer = 1024 * 1024,
                                                    .queue_depth = 8,
                                                    .buffer_alignment = 2};
    memcpy(disk->device.name, "the image", sizeof("the image"));
    status = block_device_start(&disk->device, error);
    if (status) {
        platform_release(loop->platform, disk);
        return status;
    }
    status = partition_table_read(&disk->device, table, error);
    block_device_stop(&disk->device);
    return status;
}
