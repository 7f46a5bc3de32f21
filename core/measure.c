/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/measure.h"

#include <string.h>

#define DEPTH_MAX 64

struct measure_run {
    struct block_device *disk;
    struct block_request requests[DEPTH_MAX];
    struct buffer buffer; /* one piece for each request */
    uint32_t request_bytes;
    unsigned depth, in_flight;
    uint64_t next_lba, end, bytes, count;
    int status;
    uint64_t failed_lba;
};

static void submit_next(struct measure_run *run, struct block_request *request);

static void read_done(struct block_request *request)
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
    request->operation = BLOCK_READ;
    request->lba = run->next_lba;
    request->count = blocks;
    request->buffer = &run->buffer;
    request->offset = (size_t)(request - run->requests) * run->request_bytes;
    request->done = read_done;
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

int measure_reads(struct block_device *disk, uint32_t request_bytes, unsigned depth, uint64_t nanoseconds,
                  struct measurement *result, struct error *error)
{
    struct platform *platform = disk->loop->platform;
    struct measure_run *run = platform_allocate_zeroed(platform, sizeof(*run));

    memset(result, 0, sizeof(*result));
    if (!run)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_READ, disk->name, ERROR_NO_BLOCK, "measuring");
    if (depth > disk->geometry.queue_depth)
        depth = disk->geometry.queue_depth;
    if (request_bytes > disk->geometry.max_transfer)
        request_bytes = disk->geometry.max_transfer;
    run->disk = disk;
    run->depth = depth > DEPTH_MAX ? DEPTH_MAX : depth < 1 ? 1 : depth;
    run->request_bytes = request_bytes / disk->geometry.logical_block * disk->geometry.logical_block;
    int status = 0;
    if (!run->request_bytes || run->request_bytes > block_device_bytes(disk))
        status =
            error_set(error, ERROR_OUT_OF_RANGE, OPERATION_READ, disk->name, ERROR_NO_BLOCK, "too small to measure");
    if (!status)
        status = buffer_allocate(platform, (size_t)run->request_bytes * run->depth, &run->buffer);
    if (!status) {
        uint64_t started = platform_now(platform);
        run->end = started + nanoseconds;
        for (unsigned i = 0; i < run->depth; i++)
            submit_next(run, &run->requests[i]);
        /* Every request has a deadline of its own, so this wait ends. */
        loop_wait(disk->loop, run_is_over, run, UINT64_MAX);
        result->nanoseconds = platform_now(platform) - started;
        result->bytes = run->bytes;
        result->requests = run->count;
        status = run->status;
        if (status)
            error_set(error, (enum error_code) - status, OPERATION_READ, disk->name, run->failed_lba,
                      "while measuring");
        buffer_release(&run->buffer);
    }
    platform_release(platform, run);
    return status;
}
