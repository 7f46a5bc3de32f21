/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk in memory. Requests are carried out by poll(), in order. */
#include <stdio.h>
#include <string.h>

#include "core/block.h"

#define RAM_MAX_TRANSFER (1024u * 1024)
#define RAM_QUEUE_DEPTH 32

struct ram_disk {
    struct block_device device;
    uint8_t *contents;
    bool owned;
    struct block_request *first, **last; /* accepted, not yet carried out */
};

static struct ram_disk *ram_of(struct block_device *device)
{
    return (struct ram_disk *)((char *)device - offsetof(struct ram_disk, device));
}

static int ram_submit(struct block_device *device, struct block_request *request)
{
    struct ram_disk *ram = ram_of(device);

    request->driver_next = NULL;
    *ram->last = request;
    ram->last = &request->driver_next;
    return 0;
}

static void ram_carry_out(struct ram_disk *ram, const struct block_request *request)
{
    uint32_t logical_block = ram->device.geometry.logical_block;
    uint8_t *at = ram->contents + request->lba * logical_block;
    size_t bytes = (size_t)(request->count * logical_block);

    switch (request->operation) {
    case BLOCK_READ:
        memcpy((uint8_t *)request->buffer->data + request->offset, at, bytes);
        break;
    case BLOCK_WRITE:
        memcpy(at, (const uint8_t *)request->buffer->data + request->offset, bytes);
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        memset(at, 0, bytes);
        break;
    case BLOCK_FLUSH:
        break;
    }
}

static bool ram_poll(struct block_device *device)
{
    struct ram_disk *ram = ram_of(device);
    bool happened = false;

    while (ram->first) {
        struct block_request *request = ram->first;
        ram->first = request->driver_next;
        if (!ram->first)
            ram->last = &ram->first;
        ram_carry_out(ram, request);
        block_complete(request, 0, 0);
        happened = true;
    }
    return happened;
}

static void ram_shutdown(struct block_device *device)
{
    struct ram_disk *ram = ram_of(device);
    struct platform *platform = device->loop->platform;

    if (ram->owned)
        platform_release(platform, ram->contents);
    platform_release(platform, ram);
}

static const struct block_device_ops ram_ops = {
    .submit = ram_submit,
    .poll = ram_poll,
    .shutdown = ram_shutdown,
};

int block_ram_create(struct loop *loop, uint32_t logical_block, uint64_t count, void *contents,
                     struct block_device **device, struct error *error)
{
    struct platform *platform = loop->platform;
    uint64_t bytes;

    if (__builtin_mul_overflow(count, (uint64_t)logical_block, &bytes) || bytes > SIZE_MAX)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, "ram:", ERROR_NO_BLOCK, "too large");
    struct ram_disk *ram = platform_allocate_zeroed(platform, sizeof(*ram));
    if (!ram)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "ram:", ERROR_NO_BLOCK, NULL);

    ram->owned = !contents;
    ram->contents = contents ? contents : platform_allocate_zeroed(platform, (size_t)bytes);
    ram->last = &ram->first;
    ram->device.ops = &ram_ops;
    ram->device.loop = loop;
    ram->device.geometry = (struct block_geometry){
        .logical_block = logical_block,
        .physical_block = logical_block,
        .block_count = count,
        .max_transfer = RAM_MAX_TRANSFER,
        .optimal_transfer = RAM_MAX_TRANSFER,
        .queue_depth = RAM_QUEUE_DEPTH,
        .buffer_alignment = 2,
        .max_discard = bytes,
        .max_write_zeroes = bytes,
    };
    ram->device.bus = BUS_RAM;
    snprintf(ram->device.name, sizeof(ram->device.name), "ram:%llx", (unsigned long long)(uintptr_t)ram->contents);
    snprintf(ram->device.model, sizeof(ram->device.model), "RAM disk");
    snprintf(ram->device.driver, sizeof(ram->device.driver), "ram");

    int status = ram->contents ? block_device_start(&ram->device, error)
                               : error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "ram:", ERROR_NO_BLOCK, "%llu bytes",
                                           (unsigned long long)bytes);
    if (status) {
        if (ram->owned)
            platform_release(platform, ram->contents);
        platform_release(platform, ram);
        return status;
    }
    *device = &ram->device;
    return 0;
}
