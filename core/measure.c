/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/measure.h"

#include <string.h>

#define DEPTH_MAX 64

struct measure_run {
    struct block_device *disk;
    enum block_operation operation; /* read or write */
    struct block_request requests[DEPTH_MAX];
    struct buffer buffer; /* one piece for each request */
    uint32_t request_bytes;
    unsigned depth, in_flight;
    uint64_t next_lba, end, bytes, count;
    int status;
    uint64_t failed_lba;
};

static void submit_next(struct measure_run *run, struct block_request *request);

static void request_done(struct block_request *request)
{
    struct measure_run *run = request->context;

    run->in_flight--;
    if (request->status) {
        run->status = request->status;
        run->failed_lba = request->lba;
        return;
    }
    run->bytes += run->request_bytes;
    run->count++;
    if (platform_now(run->disk->loop->platform) < run->end)
        submit_next(run, request);
}

static void submit_next(struct measure_run *run, struct block_request *request)
{
    uint64_t blocks = run->request_bytes / run->disk->geometry.logical_block;

    if (run->status)
        return;
    if (run->next_lba + blocks > run->disk->geometry.block_count)
        run->next_lba = 0;
    request->operation = run->operation;
    request->lba = run->next_lba;
    request->count = blocks;
    request->buffer = &run->buffer;
    request->offset = (size_t)(request - run->requests) * run->request_bytes;
    request->done = request_done;
    request->context = run;
    int status = block_submit(run->disk, request);
    if (status == -ERROR_FULL)
        return; /* the queue is shorter than it said: the others go on */
    if (status) {
        run->status = status;
        run->failed_lba = request->lba;
        return;
    }
    run->next_lba += blocks;
    run->in_flight++;
}

static bool run_is_over(void *context)
{
    return ((struct measure_run *)context)->in_flight == 0;
}

/* Bytes that a disk, or the file below an emulated one, cannot make less of (xorshift64). */
static void fill(struct buffer *buffer)
{
    uint64_t value = 0x9e3779b97f4a7c15ULL, *words = buffer->data;

    for (size_t i = 0; i < buffer->size / sizeof(*words); i++) {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        words[i] = value;
    }
}

static int fail(const struct measure_run *run, int status, uint64_t lba, const char *detail, struct error *error)
{
    return error_set(error, (enum error_code) - status,
                     run->operation == BLOCK_WRITE ? OPERATION_WRITE : OPERATION_READ, run->disk->name, lba, "%s",
                     detail);
}

static int prepare(struct measure_run *run, uint32_t request_bytes, unsigned depth, struct error *error)
{
    const struct block_geometry *geometry = &run->disk->geometry;

    if (depth > geometry->queue_depth)
        depth = geometry->queue_depth;
    if (request_bytes > geometry->max_transfer)
        request_bytes = geometry->max_transfer;
    run->depth = depth > DEPTH_MAX ? DEPTH_MAX : depth < 1 ? 1 : depth;
    run->request_bytes = request_bytes / geometry->logical_block * geometry->logical_block;
    if (!run->request_bytes || run->request_bytes > block_device_bytes(run->disk))
        return fail(run, -ERROR_OUT_OF_RANGE, ERROR_NO_BLOCK, "too small to measure", error);
    int status = buffer_allocate(run->disk->loop->platform, (size_t)run->request_bytes * run->depth, &run->buffer);
    if (status)
        return fail(run, status, ERROR_NO_BLOCK, "measuring", error);
    if (run->operation == BLOCK_WRITE)
        fill(&run->buffer);
    return 0;
}

static int measure(struct measure_run *run, uint64_t nanoseconds, struct measurement *result, struct error *error)
{
    struct platform *platform = run->disk->loop->platform;
    uint64_t started = platform_now(platform);

    run->end = started + nanoseconds;
    for (unsigned i = 0; i < run->depth; i++)
        submit_next(run, &run->requests[i]);
    /* Every request has a deadline of its own, so this wait ends. */
    loop_wait(run->disk->loop, run_is_over, run, UINT64_MAX);
    result->nanoseconds = platform_now(platform) - started;
    result->bytes = run->bytes;
    result->requests = run->count;
    if (run->status)
        return fail(run, run->status, run->failed_lba, "while measuring", error);
    return run->operation == BLOCK_WRITE ? block_flush(run->disk, error) : 0;
}

static int measure_operation(struct block_device *disk, enum block_operation operation, uint32_t request_bytes,
                             unsigned depth, uint64_t nanoseconds, struct measurement *result, struct error *error)
{
    struct platform *platform = disk->loop->platform;
    struct measure_run *run = platform_allocate_zeroed(platform, sizeof(*run));

    memset(result, 0, sizeof(*result));
    if (!run)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_READ, disk->name, ERROR_NO_BLOCK, "measuring");
    run->disk = disk;
    run->operation = operation;
    int status = prepare(run, request_bytes, depth, error);
    if (!status)
        status = measure(run, nanoseconds, result, error);
    buffer_release(&run->buffer);
    platform_release(platform, run);
    return status;
}

int measure_reads(struct block_device *disk, uint32_t request_bytes, unsigned depth, uint64_t nanoseconds,
                  struct measurement *result, struct error *error)
{
    return measure_operation(disk, BLOCK_READ, request_bytes, depth, nanoseconds, result, error);
}

int measure_writes(struct block_device *disk, uint32_t request_bytes, unsigned depth, uint64_t nanoseconds,
                   struct measurement *result, struct error *error)
{
    return measure_operation(disk, BLOCK_WRITE, request_bytes, depth, nanoseconds, result, error);
}
