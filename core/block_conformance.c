/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "core/block_conformance.h"

#define REQUESTS_MAX 256
#define TRANSFER_MAX (32u * 1024 * 1024)
#define GUARD 4096 /* bytes before and behind each transfer that must not change */
#define GUARD_BYTE 0xa5
#define DEADLINE (600 * NANOSECONDS_PER_SECOND)

struct tracked {
    struct block_request request;
    unsigned ended;
    bool *submitting;
    bool ended_inside;
};

struct conformance {
    struct block_device *device;
    const struct block_geometry *geometry;
    uint64_t first, last; /* window of blocks, inclusive */
    uint64_t most;        /* blocks of the largest transfer that is tried */
    uint64_t room;        /* blocks that a buffer holds: that, or what fills the queue */
    uint32_t seed;
    bool submitting;
    struct buffer a, b; /* GUARD, room, GUARD + 4096 */
    struct tracked tracked[REQUESTS_MAX];
};

/* --- one request --- */

static void tracked_done(struct block_request *request)
{
    struct tracked *tracked = request->context;

    tracked->ended++;
    if (*tracked->submitting)
        tracked->ended_inside = true;
}

static void prepare(struct conformance *run, unsigned index, enum block_operation operation, uint64_t lba,
                    uint64_t count, struct buffer *buffer, size_t offset)
{
    struct tracked *tracked = &run->tracked[index];

    memset(tracked, 0, sizeof(*tracked));
    tracked->submitting = &run->submitting;
    tracked->request = (struct block_request){.operation = operation,
                                              .lba = lba,
                                              .count = count,
                                              .buffer = buffer,
                                              .offset = offset,
                                              .done = tracked_done,
                                              .context = tracked};
}

static int submit(struct conformance *run, unsigned index)
{
    run->submitting = true;
    int status = block_submit(run->device, &run->tracked[index].request);
    run->submitting = false;
    return status;
}

static bool tracked_ended(void *context)
{
    return ((struct tracked *)context)->ended != 0;
}

/* Sends one and waits; true when it ended once, not within submit, and well. */
static bool run_one(struct conformance *run, enum block_operation operation, uint64_t lba, uint64_t count,
                    struct buffer *buffer, size_t offset)
{
    struct loop *loop = run->device->loop;
    uint64_t deadline = deadline_after(loop->platform, DEADLINE);
    struct tracked *tracked = &run->tracked[0];
    int status;

    prepare(run, 0, operation, lba, count, buffer, offset);
    while ((status = submit(run, 0)) == -ERROR_FULL && platform_now(loop->platform) < deadline)
        loop_delay(loop, NANOSECONDS_PER_MILLISECOND);
    if (status || !loop_wait(loop, tracked_ended, tracked, deadline))
        return false;
    loop_delay(loop, NANOSECONDS_PER_MILLISECOND);
    return tracked->ended == 1 && !tracked->ended_inside && tracked->request.ended && !tracked->request.status;
}

/* True when it is refused at once with `expected` and never ends. */
static bool refused(struct conformance *run, enum block_operation operation, uint64_t lba, uint64_t count,
                    struct buffer *buffer, size_t offset, enum error_code expected)
{
    prepare(run, 0, operation, lba, count, buffer, offset);
    int status = submit(run, 0);
    loop_delay(run->device->loop, 2 * NANOSECONDS_PER_MILLISECOND);
    return status == -(int)expected && run->tracked[0].ended == 0;
}

/* --- patterns --- */

static size_t bytes_of(const struct conformance *run, uint64_t count)
{
    return (size_t)count * run->geometry->logical_block;
}

/* Block `lba` in generation `salt`: every 8 bytes differ from those of any other place and generation. */
static void pattern(const struct conformance *run, void *to, uint64_t lba, uint64_t count, uint32_t salt)
{
    uint8_t *at = to;
    uint64_t words = bytes_of(run, count) / 8;
    uint64_t first = lba * (run->geometry->logical_block / 8);

    for (uint64_t i = 0; i < words; i++) {
        uint64_t value = (first + i) * 0x9e3779b97f4a7c15ULL ^ ((uint64_t)run->seed << 32 | salt);
        value ^= value >> 29;
        memcpy(at + i * 8, &value, 8);
    }
}

static bool pattern_is(const struct conformance *run, const void *from, uint64_t lba, uint64_t count, uint32_t salt)
{
    uint8_t expected[512];
    const uint8_t *at = from;
    uint64_t first = lba * (run->geometry->logical_block / 8);

    for (size_t done = 0; done < bytes_of(run, count); done += sizeof(expected)) {
        for (size_t i = 0; i < sizeof(expected); i += 8) {
            uint64_t value = (first + (done + i) / 8) * 0x9e3779b97f4a7c15ULL ^ ((uint64_t)run->seed << 32 | salt);
            value ^= value >> 29;
            memcpy(expected + i, &value, 8);
        }
        if (memcmp(at + done, expected, sizeof(expected)) != 0)
            return false;
    }
    return true;
}

static uint8_t *data_of(const struct buffer *buffer)
{
    return (uint8_t *)buffer->data + GUARD;
}

static bool all_bytes_are(const uint8_t *bytes, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* Reads between two guards and sees that nothing beside the data has changed. */
static bool read_guarded(struct conformance *run, uint64_t lba, uint64_t count, struct buffer *buffer, size_t offset)
{
    size_t bytes = bytes_of(run, count);
    uint8_t *data = (uint8_t *)buffer->data + offset;

    memset(data - GUARD, GUARD_BYTE, GUARD + bytes + GUARD);
    return run_one(run, BLOCK_READ, lba, count, buffer, offset) && all_bytes_are(data - GUARD, GUARD, GUARD_BYTE) &&
           all_bytes_are(data + bytes, GUARD, GUARD_BYTE);
}

static bool write_pattern(struct conformance *run, uint64_t lba, uint64_t count, uint32_t salt, size_t offset)
{
    uint8_t *data = (uint8_t *)run->a.data + offset;

    pattern(run, data, lba, count, salt);
    return run_one(run, BLOCK_WRITE, lba, count, &run->a, offset) && pattern_is(run, data, lba, count, salt);
}

static bool reads_as(struct conformance *run, uint64_t lba, uint64_t count, uint32_t salt)
{
    return read_guarded(run, lba, count, &run->b, GUARD) && pattern_is(run, data_of(&run->b), lba, count, salt);
}

/* --- checks that only read --- */

static bool check_geometry(struct conformance *run)
{
    const struct block_geometry *g = run->geometry;

    return g->logical_block >= 512 && g->logical_block <= 65536 && !(g->logical_block & (g->logical_block - 1)) &&
           g->physical_block >= g->logical_block && g->block_count && g->max_transfer >= 4096 &&
           g->max_transfer >= g->logical_block && g->max_transfer % g->logical_block == 0 &&
           g->optimal_transfer >= g->logical_block && g->optimal_transfer <= g->max_transfer && g->queue_depth >= 1 &&
           g->buffer_alignment >= 2 && g->buffer_alignment <= 4096 && run->device->name[0] && run->device->driver[0];
}

static bool check_read_first(struct conformance *run)
{
    return read_guarded(run, 0, 1, &run->a, GUARD);
}

static bool check_read_last(struct conformance *run)
{
    return read_guarded(run, run->geometry->block_count - 1, 1, &run->a, GUARD);
}

/* The largest transfer at both ends of the device, and the same blocks one by one. */
static bool check_read_largest(struct conformance *run)
{
    uint64_t at = run->geometry->block_count - run->most;

    if (!read_guarded(run, at, run->most, &run->a, GUARD) || !read_guarded(run, 0, run->most, &run->a, GUARD))
        return false;
    uint64_t step = run->most > 16 ? run->most / 16 : 1;
    for (uint64_t i = 0; i < run->most; i += step)
        if (!read_guarded(run, i, 1, &run->b, GUARD) ||
            memcmp(data_of(&run->b), data_of(&run->a) + bytes_of(run, i), run->geometry->logical_block) != 0)
            return false;
    return true;
}

/* Data that begins at every 512 bytes of a page, as far as the device's alignment allows. */
static bool check_read_offsets(struct conformance *run)
{
    uint32_t alignment = run->geometry->buffer_alignment > 512 ? run->geometry->buffer_alignment : 512;
    uint64_t count = run->most < 9 ? run->most : 9;

    if (!read_guarded(run, 0, count, &run->a, GUARD))
        return false;
    for (size_t offset = GUARD + alignment; offset <= GUARD + 4096; offset += alignment)
        if (!read_guarded(run, 0, count, &run->b, offset) ||
            memcmp((uint8_t *)run->b.data + offset, data_of(&run->a), bytes_of(run, count)) != 0)
            return false;
    return true;
}

static bool check_refused_ranges(struct conformance *run)
{
    uint64_t blocks = run->geometry->block_count;
    uint64_t transfer = run->geometry->max_transfer / run->geometry->logical_block;

    return refused(run, BLOCK_READ, blocks, 1, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, blocks - 1, 2, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, UINT64_MAX, 1, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, UINT64_MAX, 2, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, 0, 0, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, 0, transfer + 1, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, 0, UINT64_MAX, &run->a, GUARD, ERROR_OUT_OF_RANGE);
}

static bool check_refused_buffers(struct conformance *run)
{
    size_t block = run->geometry->logical_block;

    return refused(run, BLOCK_READ, 0, 1, NULL, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, 0, 1, &run->a, GUARD + 1, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, 0, 1, &run->a, run->a.size - block + 512, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_READ, 0, 1, &run->a, SIZE_MAX & ~(size_t)511, ERROR_OUT_OF_RANGE);
}

static bool check_flush(struct conformance *run)
{
    return run_one(run, BLOCK_FLUSH, 0, 0, NULL, 0);
}

/* A request without a callback is seen to end by its flag. */
static bool check_without_callback(struct conformance *run)
{
    struct block_request request = {.operation = BLOCK_READ, .count = 1, .buffer = &run->a, .offset = GUARD};

    return block_run(run->device, &request, NULL) == 0 && request.ended && !request.status;
}

/* --- many at once --- */

struct batch {
    struct conformance *run;
    unsigned count;
};

static bool batch_ended(void *context)
{
    const struct batch *batch = context;

    for (unsigned i = 0; i < batch->count; i++)
        if (!batch->run->tracked[i].ended)
            return false;
    return true;
}

/*
 * More requests than the queue holds, each for its own blocks of the window and its own part of buffer a. Full is answered
 * by running the loop.
 */
static bool run_batch(struct conformance *run, enum block_operation operation, uint64_t first, uint64_t each,
                      unsigned count)
{
    struct loop *loop = run->device->loop;
    uint64_t deadline = deadline_after(loop->platform, DEADLINE);
    struct batch batch = {run, count};

    for (unsigned i = 0; i < count; i++) {
        int status;
        prepare(run, i, operation, first + i * each, each, &run->a, GUARD + bytes_of(run, i * each));
        while ((status = submit(run, i)) == -ERROR_FULL && platform_now(loop->platform) < deadline)
            loop_step(loop);
        if (status) {
            /* What is in flight must end before its memory is used again. */
            batch.count = i;
            loop_wait(loop, batch_ended, &batch, UINT64_MAX);
            return false;
        }
    }
    bool ended = loop_wait(loop, batch_ended, &batch, deadline);
    loop_delay(loop, NANOSECONDS_PER_MILLISECOND);
    for (unsigned i = 0; ended && i < count; i++)
        if (run->tracked[i].ended != 1 || run->tracked[i].ended_inside || run->tracked[i].request.status)
            return false;
    return ended;
}

/* Blocks that a request of a batch carries at the least, so that each has data that is aligned. */
static uint64_t batch_unit(const struct conformance *run)
{
    uint32_t alignment = run->geometry->buffer_alignment;

    return alignment > run->geometry->logical_block ? alignment / run->geometry->logical_block : 1;
}

static uint64_t batch_wanted(const struct conformance *run)
{
    uint64_t count = 2ULL * run->geometry->queue_depth + 1;

    return count < REQUESTS_MAX ? count : REQUESTS_MAX;
}

/* Blocks for each request of a batch and how many requests: twice the queue, as far as buffer and window go. */
static unsigned batch_size(const struct conformance *run, uint64_t *each)
{
    uint64_t room = run->last - run->first + 1 < run->room ? run->last - run->first + 1 : run->room;
    uint64_t count = batch_wanted(run);

    *each = batch_unit(run);
    if (*each > run->most)
        return 0;
    if (count > room / *each)
        count = room / *each;
    while (count && *each * 2 * count <= room && *each * 2 <= run->most && bytes_of(run, *each) < 8192)
        *each *= 2;
    return (unsigned)count;
}

static bool check_read_queue(struct conformance *run)
{
    uint64_t each;
    unsigned count = batch_size(run, &each);

    if (!count)
        return true;
    memset(data_of(&run->a), GUARD_BYTE, bytes_of(run, each * count));
    if (!run_batch(run, BLOCK_READ, run->first, each, count))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!read_guarded(run, run->first + i * each, each, &run->b, GUARD) ||
            memcmp(data_of(&run->b), data_of(&run->a) + bytes_of(run, i * each), bytes_of(run, each)) != 0)
            return false;
    return true;
}

/* --- checks that write --- */

static bool check_read_only(struct conformance *run)
{
    return refused(run, BLOCK_WRITE, 0, 1, &run->a, GUARD, ERROR_WRITE_PROTECTED) &&
           refused(run, BLOCK_DISCARD, 0, 1, NULL, 0, ERROR_WRITE_PROTECTED) &&
           refused(run, BLOCK_WRITE_ZEROES, 0, 1, NULL, 0, ERROR_WRITE_PROTECTED);
}

static bool check_write_ends(struct conformance *run)
{
    return write_pattern(run, run->first, 1, 1, GUARD) && write_pattern(run, run->last, 1, 1, GUARD) &&
           check_flush(run) && reads_as(run, run->first, 1, 1) && reads_as(run, run->last, 1, 1);
}

static bool check_write_largest(struct conformance *run)
{
    uint64_t at = run->last + 1 - run->most;

    return write_pattern(run, run->first, run->most, 2, GUARD) && reads_as(run, run->first, run->most, 2) &&
           write_pattern(run, at, run->most, 3, GUARD) && check_flush(run) && reads_as(run, at, run->most, 3);
}

static bool check_write_offsets(struct conformance *run)
{
    uint32_t alignment = run->geometry->buffer_alignment > 512 ? run->geometry->buffer_alignment : 512;
    uint64_t count = run->most < 9 ? run->most : 9;

    for (size_t offset = GUARD + alignment; offset <= GUARD + 4096; offset += alignment)
        if (!write_pattern(run, run->first, count, (uint32_t)offset, offset) ||
            !reads_as(run, run->first, count, (uint32_t)offset))
            return false;
    return true;
}

/* A write changes its own blocks and no others. */
static bool check_write_neighbours(struct conformance *run)
{
    uint64_t count = run->most < 3 ? run->most : 3;

    return write_pattern(run, run->first, count, 4, GUARD) &&
           (count < 3 || (write_pattern(run, run->first + 1, 1, 5, GUARD) && reads_as(run, run->first, 1, 4) &&
                          reads_as(run, run->first + 1, 1, 5) && reads_as(run, run->first + 2, 1, 4)));
}

static bool check_write_queue(struct conformance *run)
{
    uint64_t each;
    unsigned count = batch_size(run, &each);

    if (!count)
        return true;
    pattern(run, data_of(&run->a), run->first, each * count, 6);
    if (!run_batch(run, BLOCK_WRITE, run->first, each, count) || !check_flush(run))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!reads_as(run, run->first + i * each, each, 6))
            return false;
    return true;
}

static bool check_write_zeroes(struct conformance *run)
{
    uint64_t most = run->geometry->max_write_zeroes / run->geometry->logical_block;
    uint64_t room = run->most < most ? run->most : most;

    if (!most)
        return refused(run, BLOCK_WRITE_ZEROES, run->first, 1, NULL, 0, ERROR_UNSUPPORTED);
    if (room < 3)
        return true;
    return write_pattern(run, run->first, room, 7, GUARD) &&
           run_one(run, BLOCK_WRITE_ZEROES, run->first + 1, room - 2, NULL, 0) && reads_as(run, run->first, 1, 7) &&
           reads_as(run, run->first + room - 1, 1, 7) && read_guarded(run, run->first + 1, room - 2, &run->b, GUARD) &&
           all_bytes_are(data_of(&run->b), bytes_of(run, room - 2), 0) &&
           refused(run, BLOCK_WRITE_ZEROES, run->geometry->block_count, 1, NULL, 0, ERROR_OUT_OF_RANGE);
}

/* What a discarded block reads as is nobody's promise; that it can be written again and its neighbours stand is. */
static bool check_discard(struct conformance *run)
{
    uint64_t most = run->geometry->max_discard / run->geometry->logical_block;
    uint64_t room = run->most < most ? run->most : most;

    if (!most)
        return refused(run, BLOCK_DISCARD, run->first, 1, NULL, 0, ERROR_UNSUPPORTED);
    if (room < 3)
        return true;
    return write_pattern(run, run->first, room, 8, GUARD) &&
           run_one(run, BLOCK_DISCARD, run->first + 1, room - 2, NULL, 0) && reads_as(run, run->first, 1, 8) &&
           reads_as(run, run->first + room - 1, 1, 8) && read_guarded(run, run->first + 1, room - 2, &run->b, GUARD) &&
           write_pattern(run, run->first, room, 9, GUARD) && reads_as(run, run->first, room, 9) &&
           refused(run, BLOCK_DISCARD, run->geometry->block_count, 1, NULL, 0, ERROR_OUT_OF_RANGE);
}

static bool check_write_ranges(struct conformance *run)
{
    uint64_t blocks = run->geometry->block_count;

    return refused(run, BLOCK_WRITE, blocks, 1, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_WRITE, blocks - 1, 2, &run->a, GUARD, ERROR_OUT_OF_RANGE) &&
           refused(run, BLOCK_WRITE, UINT64_MAX, 2, &run->a, GUARD, ERROR_OUT_OF_RANGE);
}

/* --- the suite --- */

static const struct check {
    const char *name;
    bool (*run)(struct conformance *run);
    enum { ALWAYS, READ_ONLY, DESTRUCTIVE } when;
} checks[] = {
    {"geometry", check_geometry, ALWAYS},
    {"read the first block", check_read_first, ALWAYS},
    {"read the last block", check_read_last, ALWAYS},
    {"read without a callback", check_without_callback, ALWAYS},
    {"largest reads", check_read_largest, ALWAYS},
    {"reads at any buffer offset", check_read_offsets, ALWAYS},
    {"reads that fill the queue", check_read_queue, ALWAYS},
    {"ranges that must be refused", check_refused_ranges, ALWAYS},
    {"buffers that must be refused", check_refused_buffers, ALWAYS},
    {"flush", check_flush, ALWAYS},
    {"a read-only device refuses writes", check_read_only, READ_ONLY},
    {"write the first and last block", check_write_ends, DESTRUCTIVE},
    {"largest writes", check_write_largest, DESTRUCTIVE},
    {"writes at any buffer offset", check_write_offsets, DESTRUCTIVE},
    {"writes leave neighbours alone", check_write_neighbours, DESTRUCTIVE},
    {"writes that fill the queue", check_write_queue, DESTRUCTIVE},
    {"write zeroes", check_write_zeroes, DESTRUCTIVE},
    {"discard", check_discard, DESTRUCTIVE},
    {"writes that must be refused", check_write_ranges, DESTRUCTIVE},
};

static const char *run_checks(struct conformance *run, bool destructive)
{
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if ((checks[i].when == READ_ONLY && !run->device->read_only) ||
            (checks[i].when == DESTRUCTIVE && (!destructive || run->device->read_only)))
            continue;
        if (!checks[i].run(run))
            return checks[i].name;
    }
    return NULL;
}

const char *block_conformance_run(struct block_device *device, const struct block_conformance_options *options)
{
    struct platform *platform = device->loop->platform;
    uint64_t blocks = device->geometry.block_count;
    const char *failed = "memory for the suite";

    if (!blocks || options->first >= blocks || options->count > blocks - options->first)
        return "the window";
    struct conformance *run = platform_allocate_zeroed(platform, sizeof(*run));
    if (!run)
        return failed;
    run->device = device;
    run->geometry = &device->geometry;
    run->first = options->first;
    run->last = options->count ? options->first + options->count - 1 : blocks - 1;
    run->seed = options->seed;
    uint32_t most = device->geometry.max_transfer < TRANSFER_MAX ? device->geometry.max_transfer : TRANSFER_MAX;
    run->most = most / device->geometry.logical_block;
    if (run->most > run->last - run->first + 1)
        run->most = run->last - run->first + 1;

    run->room = batch_wanted(run) * batch_unit(run);
    if (run->room > TRANSFER_MAX / device->geometry.logical_block)
        run->room = TRANSFER_MAX / device->geometry.logical_block;
    if (run->room < run->most)
        run->room = run->most;

    size_t size = bytes_of(run, run->room) + 2 * GUARD + 4096;
    if (buffer_allocate(platform, size, &run->a) == 0 && buffer_allocate(platform, size, &run->b) == 0)
        failed = run_checks(run, options->destructive);
    buffer_release(&run->a);
    buffer_release(&run->b);
    platform_release(platform, run);
    return failed;
}
