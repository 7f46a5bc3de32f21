/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The volume's bytes for libraries that read and write them synchronously: see fs/volume.h. */
#include "fs/volume.h"

#include <string.h>

/* A device that has no room for a request for this long is as good as dead; policy. */
#define FULL_LIMIT (120 * NANOSECONDS_PER_SECOND)
#define FULL_PAUSE (1 * NANOSECONDS_PER_MILLISECOND)

void volume_io_init(struct volume_io *io, struct block_device *device)
{
    memset(io, 0, sizeof *io);
    io->device = device;
}

int volume_io_create(struct block_device *device, bool write, struct volume_io **result, struct error *error)
{
    struct platform *platform = device->loop->platform;
    struct volume_io *io = platform_allocate_zeroed(platform, sizeof *io);

    if (!io)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "no memory");
    io->device = device;
    io->writable = write;
    io->slot_bytes = VOLUME_SLOT_BYTES;
    if (io->slot_bytes > device->geometry.max_transfer)
        io->slot_bytes = device->geometry.max_transfer;
    io->slot_bytes -= io->slot_bytes % device->geometry.logical_block;
    while (io->slot_count < VOLUME_SLOTS) {
        if (buffer_allocate(platform, io->slot_bytes, &io->slots[io->slot_count].buffer) < 0)
            break;
        io->slot_count++;
    }
    if (!io->slot_count) {
        platform_release(platform, io);
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "no memory");
    }
    *result = io;
    return 0;
}

/* Keeps the first failure; a lost write stays. */
static int fail(struct volume_io *io, int status, enum error_operation operation, uint64_t offset, uint32_t raw_status)
{
    if (operation != OPERATION_READ)
        io->failed = true;
    if (io->error.code == ERROR_NONE) {
        error_set(&io->error, (enum error_code) - status, operation, io->device->name,
                  offset / io->device->geometry.logical_block, "%s", "");
        io->error.raw_status = raw_status;
    }
    return status;
}

/* The slot's request has ended: frees the slot. A read's status goes to its reader, a write's is kept. */
static int slot_retire(struct volume_io *io, struct volume_slot *slot)
{
    int status = slot->request.status;

    slot->busy = false;
    if (status < 0)
        fail(io, status, slot->writing ? OPERATION_WRITE : OPERATION_READ, slot->offset, slot->request.raw_status);
    return status;
}

static int slot_wait(struct volume_io *io, struct volume_slot *slot)
{
    /* block.c ends every request at its deadline, so this wait needs none of its own. */
    loop_wait_flag(io->device->loop, &slot->request.ended, UINT64_MAX);
    return slot_retire(io, slot);
}

static bool slot_overlaps(const struct volume_slot *slot, uint64_t offset, uint64_t length)
{
    return slot->busy && slot->offset < offset + length && offset < slot->offset + slot->length;
}

/* Writes that touch the range have ended. */
static void wait_for_range(struct volume_io *io, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < io->slot_count; i++)
        if (slot_overlaps(&io->slots[i], offset, length))
            slot_wait(io, &io->slots[i]);
}

static void wait_for_all(struct volume_io *io)
{
    for (unsigned i = 0; i < io->slot_count; i++)
        if (io->slots[i].busy)
            slot_wait(io, &io->slots[i]);
}

void volume_io_destroy(struct volume_io *io)
{
    if (!io)
        return;
    wait_for_all(io);
    for (unsigned i = 0; i < io->slot_count; i++)
        buffer_release(&io->slots[i].buffer);
    platform_release(io->device->loop->platform, io);
}

static struct volume_slot *idle_slot(struct volume_io *io)
{
    for (unsigned i = 0; i < io->slot_count; i++)
        if (!io->slots[i].busy)
            return &io->slots[i];
    return NULL;
}

static bool some_ended(void *context)
{
    struct volume_io *io = context;

    for (unsigned i = 0; i < io->slot_count; i++)
        if (io->slots[i].busy && io->slots[i].request.ended)
            return true;
    return false;
}

/* An idle slot, after waiting for a write to end if need be. No read is in flight then. */
static struct volume_slot *claim_slot(struct volume_io *io)
{
    struct volume_slot *slot;

    while (!(slot = idle_slot(io))) {
        loop_wait(io->device->loop, some_ended, io, UINT64_MAX);
        for (unsigned i = 0; i < io->slot_count; i++)
            if (io->slots[i].busy && io->slots[i].request.ended)
                slot_retire(io, &io->slots[i]);
    }
    return slot;
}

/* Sends a slot whose range is set. offset and length are multiples of the logical block. */
static int slot_submit(struct volume_io *io, struct volume_slot *slot, enum block_operation operation)
{
    struct block_device *device = io->device;
    uint64_t limit = deadline_after(device->loop->platform, FULL_LIMIT);
    int status;

    memset(&slot->request, 0, sizeof slot->request);
    slot->request.operation = operation;
    slot->request.lba = slot->offset / device->geometry.logical_block;
    slot->request.count = slot->length / device->geometry.logical_block;
    slot->request.buffer = &slot->buffer;
    slot->writing = operation == BLOCK_WRITE;
    while ((status = block_submit(device, &slot->request)) == -ERROR_FULL) {
        if (platform_now(device->loop->platform) > limit) {
            status = -ERROR_TIMEOUT;
            break;
        }
        loop_delay(device->loop, FULL_PAUSE);
    }
    if (status < 0)
        return fail(io, status, slot->writing ? OPERATION_WRITE : OPERATION_READ, slot->offset, 0);
    slot->busy = true;
    return 0;
}

static int check_range(struct volume_io *io, enum error_operation operation, uint64_t offset, size_t size)
{
    uint64_t bytes = block_device_bytes(io->device);

    if (io->failed)
        return -(int)io->error.code;
    if (offset > bytes || size > bytes - offset) {
        if (io->error.code == ERROR_NONE)
            error_set(&io->error, ERROR_OUT_OF_RANGE, operation, io->device->name,
                      offset / io->device->geometry.logical_block, "the file system points outside of its volume");
        return -ERROR_OUT_OF_RANGE;
    }
    return 0;
}

/* Sends reads for [*next, end) while slots are idle, remembering their order. */
static int read_ahead(struct volume_io *io, uint64_t *next, uint64_t end, struct volume_slot **order, unsigned *count)
{
    while (*next < end && *count < VOLUME_SLOTS) {
        struct volume_slot *slot = *count ? idle_slot(io) : claim_slot(io);
        uint64_t length = end - *next < io->slot_bytes ? end - *next : io->slot_bytes;

        if (!slot)
            break;
        slot->offset = *next;
        slot->length = (size_t)length;
        if (slot_submit(io, slot, BLOCK_READ) < 0)
            return -(int)io->error.code;
        order[(*count)++] = slot;
        *next += length;
    }
    return 0;
}

/* The wanted part of a slot that has been read. */
static void copy_out(const struct volume_slot *slot, uint64_t offset, uint8_t *data, size_t size)
{
    uint64_t from = slot->offset > offset ? slot->offset : offset;
    uint64_t to = slot->offset + slot->length < offset + size ? slot->offset + slot->length : offset + size;

    memcpy(data + (from - offset), (const uint8_t *)slot->buffer.data + (from - slot->offset), (size_t)(to - from));
}

static int slots_read(struct volume_io *io, uint64_t offset, void *data, size_t size)
{
    uint32_t block = io->device->geometry.logical_block;
    uint64_t next = offset - offset % block, end = offset + size + (block - 1);
    struct volume_slot *order[VOLUME_SLOTS];
    unsigned count = 0;
    int status;

    end -= end % block;
    wait_for_range(io, next, end - next);
    status = io->failed ? -(int)io->error.code : read_ahead(io, &next, end, order, &count);
    while (count) {
        int ended = slot_wait(io, order[0]);

        if (ended < 0 && status == 0)
            status = ended;
        if (status == 0)
            copy_out(order[0], offset, data, size);
        count--;
        memmove(order, order + 1, count * sizeof *order);
        if (status == 0)
            status = read_ahead(io, &next, end, order, &count);
    }
    return status;
}

int volume_io_read(struct volume_io *io, uint64_t offset, void *data, size_t size)
{
    struct error error = {0};
    int status = check_range(io, OPERATION_READ, offset, size);

    if (status < 0 || !size)
        return status;
    if (io->slot_count)
        return slots_read(io, offset, data, size);
    status = block_read_bytes(io->device, offset, data, size, &error);
    if (status < 0 && io->error.code == ERROR_NONE)
        io->error = error;
    return status;
}

/* Part of one block: read, patched, written. */
static int write_within_block(struct volume_io *io, uint64_t offset, const void *data, size_t size)
{
    uint32_t block = io->device->geometry.logical_block;
    size_t skip = (size_t)(offset % block);
    struct volume_slot *slot;
    int status;

    wait_for_range(io, offset - skip, block);
    slot = claim_slot(io);
    slot->offset = offset - skip;
    slot->length = block;
    status = slot_submit(io, slot, BLOCK_READ);
    if (status == 0)
        status = slot_wait(io, slot);
    if (status < 0)
        return status;
    memcpy((uint8_t *)slot->buffer.data + skip, data, size);
    return slot_submit(io, slot, BLOCK_WRITE);
}

int volume_io_write(struct volume_io *io, uint64_t offset, const void *data, size_t size)
{
    uint32_t block = io->device->geometry.logical_block;
    const uint8_t *bytes = data;
    int status = check_range(io, OPERATION_WRITE, offset, size);

    if (status == 0 && !io->writable)
        status = -ERROR_WRITE_PROTECTED;
    while (status == 0 && size) {
        size_t skip = (size_t)(offset % block), length = size < io->slot_bytes ? size : io->slot_bytes;

        if (skip || size < block) {
            length = size < block - skip ? size : block - skip;
            status = write_within_block(io, offset, bytes, length);
        } else {
            struct volume_slot *slot;

            length -= length % block;
            wait_for_range(io, offset, length);
            slot = claim_slot(io);
            slot->offset = offset;
            slot->length = length;
            memcpy(slot->buffer.data, bytes, length);
            status = slot_submit(io, slot, BLOCK_WRITE);
        }
        offset += length;
        bytes += length;
        size -= length;
        if (status == 0 && io->failed)
            status = -(int)io->error.code;
    }
    return status;
}

int volume_io_flush(struct volume_io *io)
{
    struct error error = {0};
    int status;

    wait_for_all(io);
    if (io->failed)
        return -(int)io->error.code;
    if (!io->writable)
        return 0;
    status = block_flush(io->device, &error);
    if (status < 0) {
        io->failed = true;
        if (io->error.code == ERROR_NONE)
            io->error = error;
    }
    return status;
}
