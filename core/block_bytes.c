/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The waiting forms: one request at a time, and byte ranges through a bounce buffer. */
#include <string.h>

#include "core/block.h"
#include "core/fiber.h"

/* Policy: what one request of a byte range carries at the most. Bulk data goes other ways. */
#define BOUNCE_SIZE (128u * 1024)

static enum error_operation operation_of(const struct block_request *request)
{
    static const enum error_operation operations[] = {
        [BLOCK_READ] = OPERATION_READ,
        [BLOCK_WRITE] = OPERATION_WRITE,
        [BLOCK_FLUSH] = OPERATION_FLUSH,
        [BLOCK_DISCARD] = OPERATION_DISCARD,
        [BLOCK_WRITE_ZEROES] = OPERATION_WRITE_ZEROES,
    };
    return operations[request->operation];
}

struct submission {
    struct block_device *device;
    struct block_request *request;
    int status;
};

static bool try_submit(void *context)
{
    struct submission *submission = context;

    submission->status = block_submit(submission->device, submission->request);
    return submission->status != -ERROR_FULL;
}

static bool request_ended(void *context)
{
    return ((const volatile struct block_request *)context)->ended;
}

int block_run(struct block_device *device, struct block_request *request, struct error *error)
{
    uint64_t timeout = request->timeout ? request->timeout : block_timeout(request->operation);
    struct submission submission = {device, request, 0};
    struct fiber_cleanup cleanup = {.ready = request_ended, .context = request};

    request->done = NULL;
    request->raw_status = 0;
    if (!loop_wait(device->loop, try_submit, &submission, deadline_after(device->loop->platform, timeout)))
        submission.status = -ERROR_TIMEOUT;
    if (submission.status) {
        request->status = submission.status;
    } else {
        fiber_cleanup_push(&cleanup);
        loop_wait(device->loop, request_ended, request, UINT64_MAX);
        fiber_cleanup_pop(&cleanup);
    }
    if (!request->status)
        return 0;
    error_set(error, (enum error_code) - request->status, operation_of(request), device->name,
              request->operation == BLOCK_FLUSH ? ERROR_NO_BLOCK : request->lba, NULL);
    if (error)
        error->raw_status = request->raw_status;
    return request->status;
}

int block_flush(struct block_device *device, struct error *error)
{
    struct block_request request = {.operation = BLOCK_FLUSH};

    return block_run(device, &request, error);
}

/* --- the bounce buffer: one per device is kept, others on the way at the same time (fibers) make their own --- */

struct bounce {
    struct block_device *device;
    struct buffer *buffer, own;
    struct fiber_cleanup cleanup;
};

static void bounce_give_back(void *context)
{
    struct bounce *bounce = context;

    if (bounce->buffer == &bounce->own)
        buffer_release(&bounce->own);
    else
        bounce->device->bounce_busy = false;
}

static int bounce_take(struct bounce *bounce, struct block_device *device, struct error *error)
{
    uint32_t size = device->geometry.max_transfer < BOUNCE_SIZE ? device->geometry.max_transfer : BOUNCE_SIZE;

    bounce->device = device;
    bounce->buffer = device->bounce_busy ? &bounce->own : &device->bounce;
    if (bounce->buffer == &bounce->own || !device->bounce.data) {
        int status = buffer_allocate(device->loop->platform, size, bounce->buffer);
        if (status)
            return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, device->name, ERROR_NO_BLOCK, NULL);
    }
    if (bounce->buffer == &device->bounce)
        device->bounce_busy = true;
    bounce->cleanup = (struct fiber_cleanup){.run = bounce_give_back, .context = bounce};
    fiber_cleanup_push(&bounce->cleanup);
    return 0;
}

static void bounce_drop(struct bounce *bounce)
{
    fiber_cleanup_pop(&bounce->cleanup);
    bounce_give_back(bounce);
}

/* One request's share of a byte range: blocks, and where in them the bytes are. */
struct piece {
    uint64_t lba, count;
    size_t skip, bytes;
};

static struct piece next_piece(const struct block_device *device, uint64_t offset, size_t size)
{
    uint32_t logical_block = device->geometry.logical_block;
    uint32_t most = device->geometry.max_transfer < BOUNCE_SIZE ? device->geometry.max_transfer : BOUNCE_SIZE;
    struct piece piece = {.lba = offset / logical_block, .skip = (size_t)(offset % logical_block), .bytes = size};

    most -= most % logical_block;
    if (piece.bytes > most - piece.skip)
        piece.bytes = most - piece.skip;
    piece.count = (piece.skip + piece.bytes + logical_block - 1) / logical_block;
    return piece;
}

static int check_bytes(struct block_device *device, enum error_operation operation, uint64_t offset, size_t size,
                       struct error *error)
{
    uint64_t bytes = block_device_bytes(device);

    if (size <= bytes && offset <= bytes - size)
        return 0;
    return error_set(error, ERROR_OUT_OF_RANGE, operation, device->name, offset / device->geometry.logical_block,
                     "%llu bytes at byte %llu of %llu", (unsigned long long)size, (unsigned long long)offset,
                     (unsigned long long)bytes);
}

int block_read_bytes(struct block_device *device, uint64_t offset, void *data, size_t size, struct error *error)
{
    struct bounce bounce;
    uint8_t *to = data;
    int status = check_bytes(device, OPERATION_READ, offset, size, error);

    if (status || !size)
        return status;
    status = bounce_take(&bounce, device, error);
    if (status)
        return status;
    while (size && !status) {
        struct piece piece = next_piece(device, offset, size);
        struct block_request request = {
            .operation = BLOCK_READ, .lba = piece.lba, .count = piece.count, .buffer = bounce.buffer};
        status = block_run(device, &request, error);
        if (status)
            break;
        memcpy(to, (const uint8_t *)bounce.buffer->data + piece.skip, piece.bytes);
        to += piece.bytes;
        offset += piece.bytes;
        size -= piece.bytes;
    }
    bounce_drop(&bounce);
    return status;
}

/* Blocks that are only partly written are read first (with those between, which costs less than a second request). */
static int write_piece(struct block_device *device, const struct bounce *bounce, const struct piece *piece,
                       const uint8_t *from, struct error *error)
{
    struct block_request request = {.lba = piece->lba, .count = piece->count, .buffer = bounce->buffer};

    if (piece->skip || piece->bytes % device->geometry.logical_block) {
        request.operation = BLOCK_READ;
        int status = block_run(device, &request, error);
        if (status)
            return status;
    }
    memcpy((uint8_t *)bounce->buffer->data + piece->skip, from, piece->bytes);
    request.operation = BLOCK_WRITE;
    return block_run(device, &request, error);
}

int block_write_bytes(struct block_device *device, uint64_t offset, const void *data, size_t size, struct error *error)
{
    struct bounce bounce;
    const uint8_t *from = data;
    int status = check_bytes(device, OPERATION_WRITE, offset, size, error);

    if (status || !size)
        return status;
    if (device->read_only)
        return error_set(error, ERROR_WRITE_PROTECTED, OPERATION_WRITE, device->name,
                         offset / device->geometry.logical_block, NULL);
    status = bounce_take(&bounce, device, error);
    if (status)
        return status;
    while (size && !status) {
        struct piece piece = next_piece(device, offset, size);
        status = write_piece(device, &bounce, &piece, from, error);
        from += piece.bytes;
        offset += piece.bytes;
        size -= piece.bytes;
    }
    bounce_drop(&bounce);
    return status;
}
