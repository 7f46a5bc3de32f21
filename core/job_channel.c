/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/job_channel.h"

#include <string.h>

#define REQUESTS_MAX 64u
/* Gaps of unused pieces up to this many bytes are moved along: one bigger request beats two. Policy. */
#define GAP_BYTES (64u * 1024)
#define ZERO_BUFFER_BYTES (1024u * 1024)
/* A run of zeroes is cut into parts, several of which are under way at once. */
#define ZERO_PART_BYTES (16u * 1024 * 1024)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool piece_used(const struct pipeline_slot *slot, uint64_t piece)
{
    return slot->map[piece / 8] >> (piece % 8) & 1;
}

/* The next run of pieces in use from `cursor` on, small gaps included; false when there is none. */
static bool next_used_run(const struct pipeline_slot *slot, uint64_t cursor, uint64_t length, uint64_t *start,
                          uint64_t *end)
{
    uint64_t pieces = (length + IMAGE_PIECE - 1) / IMAGE_PIECE;
    uint64_t piece = cursor / IMAGE_PIECE;
    uint64_t last;

    if (cursor >= length)
        return false;
    if (!slot->has_map) {
        *start = cursor;
        *end = length;
        return true;
    }
    while (piece < pieces && !piece_used(slot, piece))
        piece++;
    if (piece == pieces)
        return false;
    *start = piece * IMAGE_PIECE > cursor ? piece * IMAGE_PIECE : cursor;
    last = piece;
    for (; piece < pieces && piece - last <= GAP_BYTES / IMAGE_PIECE; piece++)
        if (piece_used(slot, piece))
            last = piece;
    *end = smaller((last + 1) * IMAGE_PIECE, length);
    return true;
}

/* What the next request of the slot in hand covers. False: the slot is handed out whole. */
static bool next_piece(struct job_channel *channel, uint64_t *start, uint64_t *end)
{
    uint64_t block = channel->device->geometry.logical_block;

    if (channel->action == CHANNEL_ZERO || channel->action == CHANNEL_DISCARD) {
        /* One request goes through its part by itself; several discards at a time would bring nothing. */
        uint64_t part = channel->action == CHANNEL_ZERO ? ZERO_PART_BYTES : channel->length;
        *start = channel->cursor;
        *end = channel->length - *start < part ? channel->length : *start + part;
        return channel->cursor < channel->length;
    }
    if (!next_used_run(channel->slot, channel->cursor, channel->length, start, end))
        return false;
    /* Blocks bigger than a piece; the slot's first byte is at a block's start. */
    *start = *start / block * block;
    if (*start < channel->cursor)
        *start = channel->cursor;
    *end = smaller((*end + block - 1) / block * block, channel->length);
    *end = smaller(*end, *start + channel->transfer);
    return true;
}

static uint64_t step_limit(const struct job_channel *channel, const struct channel_request *request)
{
    const struct block_geometry *geometry = &channel->device->geometry;
    uint64_t block = geometry->logical_block;
    uint64_t limit = channel->transfer;

    if (request->request.operation == BLOCK_DISCARD)
        limit = geometry->max_discard / block * block;
    else if (request->request.operation == BLOCK_WRITE_ZEROES)
        limit = geometry->max_write_zeroes / block * block;
    else if (request->action == CHANNEL_ZERO)
        limit = smaller(channel->transfer, channel->zeroes.size);
    return limit < block ? block : limit;
}

static void put_back(struct job_channel *channel, struct channel_request *request)
{
    request->slot = NULL;
    request->next = channel->free;
    channel->free = request;
    channel->in_flight--;
}

static void slot_part_ended(struct job_channel *channel, struct pipeline_slot *slot)
{
    if (!--slot->outstanding && !channel->stopped)
        channel->finished(channel, slot);
}

static void fail(struct job_channel *channel, struct channel_request *request, int status)
{
    static const enum error_operation operations[] = {[BLOCK_READ] = OPERATION_READ,
                                                      [BLOCK_WRITE] = OPERATION_WRITE,
                                                      [BLOCK_FLUSH] = OPERATION_FLUSH,
                                                      [BLOCK_DISCARD] = OPERATION_DISCARD,
                                                      [BLOCK_WRITE_ZEROES] = OPERATION_WRITE_ZEROES};
    bool first = !channel->stopped;
    struct error error;

    job_channel_stop(channel);
    if (first) {
        error_set(&error, (enum error_code) - status, operations[request->request.operation], channel->device->name,
                  request->request.lba, "%llu blocks", (unsigned long long)request->request.count);
        error.raw_status = request->request.raw_status;
        error.side = channel->side;
        channel->failed(channel, &error);
    }
    put_back(channel, request);
}

static void submit(struct job_channel *channel, struct channel_request *request)
{
    uint64_t block = channel->device->geometry.logical_block;
    struct block_request *inner = &request->request;
    int status = -ERROR_FULL;

    inner->lba = (request->device_offset + request->position) / block;
    inner->count = request->step / block;
    inner->offset = request->action == CHANNEL_ZERO ? 0 : (size_t)request->position;
    inner->ended = false;
    inner->raw_status = 0;
    if (!channel->paused)
        status = block_submit(channel->device, inner);
    if (status == -ERROR_FULL) {
        request->next = NULL;
        *channel->again_last = request;
        channel->again_last = &request->next;
    } else if (status == -ERROR_UNSUPPORTED && request->action == CHANNEL_DISCARD) {
        struct pipeline_slot *slot = request->slot;
        channel->discard_failed = true;
        put_back(channel, request);
        slot_part_ended(channel, slot);
    } else if (status) {
        fail(channel, request, status);
    }
}

/* The device cannot make zeroes by itself (or says so only now): writes them. */
static bool use_zero_buffer(struct job_channel *channel, struct channel_request *request)
{
    channel->no_write_zeroes = true;
    if (!channel->zeroes.data) {
        if (buffer_allocate(channel->loop->platform, ZERO_BUFFER_BYTES, &channel->zeroes))
            return false;
        memset(channel->zeroes.data, 0, channel->zeroes.size);
    }
    request->request.operation = BLOCK_WRITE;
    request->request.buffer = &channel->zeroes;
    return true;
}

/* Returns true when the request goes on. */
static bool recover_read(struct job_channel *channel, struct channel_request *request, int status)
{
    uint64_t block = channel->device->geometry.logical_block;
    bool splits = status == -ERROR_MEDIUM || status == -ERROR_IO || (status == -ERROR_TIMEOUT && channel->salvage);

    if (!splits || channel->device->dead)
        return false;
    if (request->step > block) {
        request->step = request->step / 2 / block * block;
        return true;
    }
    if (!channel->salvage)
        return false;
    memset((uint8_t *)request->slot->plain.data + request->position, 0, (size_t)block);
    if (channel->unreadable)
        channel->unreadable(channel, request->slot, request->position, block);
    request->position += block;
    return true;
}

static bool recover(struct job_channel *channel, struct channel_request *request, int status)
{
    if (status == -ERROR_GONE || channel->device->dead)
        return false;
    switch (request->action) {
    case CHANNEL_READ:
        return recover_read(channel, request, status);
    case CHANNEL_ZERO:
        return request->request.operation == BLOCK_WRITE_ZEROES && use_zero_buffer(channel, request);
    case CHANNEL_DISCARD:
        /* Unused blocks may keep what they hold. */
        channel->discard_failed = true;
        request->position = request->end;
        return true;
    case CHANNEL_WRITE:
        return false;
    }
    return false;
}

static void request_done(struct block_request *inner)
{
    struct channel_request *request = (struct channel_request *)inner;
    struct job_channel *channel = request->channel;
    struct pipeline_slot *slot = request->slot;

    if (channel->stopped) {
        put_back(channel, request);
        return;
    }
    if (!inner->status) {
        request->position += request->step;
        channel->moved_bytes += request->step;
        request->step *= 2;
    } else if (!recover(channel, request, inner->status)) {
        fail(channel, request, inner->status);
        return;
    }
    if (request->position >= request->end) {
        put_back(channel, request);
        slot_part_ended(channel, slot);
        return;
    }
    request->step = smaller(smaller(request->step, step_limit(channel, request)), request->end - request->position);
    submit(channel, request);
}

static bool prepare(struct job_channel *channel, struct channel_request *request, uint64_t start, uint64_t end)
{
    static const enum block_operation operations[] = {[CHANNEL_READ] = BLOCK_READ,
                                                      [CHANNEL_WRITE] = BLOCK_WRITE,
                                                      [CHANNEL_ZERO] = BLOCK_WRITE_ZEROES,
                                                      [CHANNEL_DISCARD] = BLOCK_DISCARD};

    memset(&request->request, 0, sizeof(request->request));
    request->channel = channel;
    request->slot = channel->slot;
    request->action = channel->action;
    request->device_offset = channel->device_offset;
    request->position = start;
    request->end = end;
    request->request.operation = operations[channel->action];
    request->request.buffer = &channel->slot->plain;
    request->request.done = request_done;
    if (channel->action == CHANNEL_ZERO && channel->no_write_zeroes && !use_zero_buffer(channel, request))
        return false;
    request->step = smaller(step_limit(channel, request), end - start);
    return true;
}

static bool submit_again(struct job_channel *channel)
{
    struct channel_request *request = channel->again;
    unsigned before = 0, after = 0;

    channel->again = NULL;
    channel->again_last = &channel->again;
    while (request) {
        struct channel_request *next = request->next;
        before++;
        if (channel->stopped)
            put_back(channel, request);
        else
            submit(channel, request);
        request = next;
    }
    for (request = channel->again; request; request = request->next)
        after++;
    return after < before;
}

bool job_channel_pump(struct job_channel *channel)
{
    bool progressed = channel->again && submit_again(channel);

    while (channel->slot && !channel->stopped && !channel->again) {
        struct pipeline_slot *slot = channel->slot;
        struct channel_request *request = channel->free;
        uint64_t start, end;
        if (!next_piece(channel, &start, &end)) {
            channel->slot = NULL;
            slot_part_ended(channel, slot);
            return true;
        }
        if (!request)
            break;
        channel->free = request->next;
        channel->in_flight++;
        if (!prepare(channel, request, start, end)) {
            fail(channel, request, -ERROR_NO_MEMORY);
            break;
        }
        channel->cursor = end;
        slot->outstanding++;
        progressed = true;
        submit(channel, request);
    }
    return progressed;
}

bool job_channel_idle(const struct job_channel *channel)
{
    return !channel->slot && !channel->stopped;
}

void job_channel_start(struct job_channel *channel, struct pipeline_slot *slot, enum channel_action action,
                       uint64_t device_offset, uint64_t length)
{
    channel->slot = slot;
    channel->action = action;
    channel->device_offset = device_offset;
    channel->length = length;
    channel->cursor = 0;
    slot->outstanding = 1; /* until all of it is handed out */
}

void job_channel_stop(struct job_channel *channel)
{
    channel->stopped = true;
    channel->slot = NULL;
}

bool job_channel_quiet(const struct job_channel *channel)
{
    return !channel->in_flight;
}

uint64_t job_channel_front(const struct job_channel *channel)
{
    uint64_t front = channel->slot ? channel->device_offset + channel->cursor : UINT64_MAX;

    for (unsigned i = 0; channel->requests && i < channel->request_count; i++) {
        const struct channel_request *request = &channel->requests[i];
        if (request->slot)
            front = smaller(front, request->device_offset + request->position);
    }
    return front;
}

size_t job_channel_memory(const struct job_channel *channel)
{
    return channel->request_count * sizeof(*channel->requests) + channel->zeroes.size;
}

int job_channel_open(struct job_channel *channel, struct error *error)
{
    const struct block_geometry *geometry = &channel->device->geometry;
    uint64_t unit = geometry->logical_block > IMAGE_PIECE ? geometry->logical_block : IMAGE_PIECE;
    uint64_t transfer = geometry->optimal_transfer && geometry->optimal_transfer < geometry->max_transfer
                            ? geometry->optimal_transfer
                            : geometry->max_transfer;

    channel->transfer = transfer / unit * unit;
    if (!channel->transfer)
        channel->transfer = unit;
    channel->no_write_zeroes = !geometry->max_write_zeroes;
    channel->again_last = &channel->again;
    channel->request_count = geometry->queue_depth < 1              ? 1
                             : geometry->queue_depth > REQUESTS_MAX ? REQUESTS_MAX
                                                                    : geometry->queue_depth;
    channel->requests =
        platform_allocate_zeroed(channel->loop->platform, channel->request_count * sizeof(*channel->requests));
    if (!channel->requests)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for requests");
    for (unsigned i = 0; i < channel->request_count; i++) {
        channel->requests[i].next = channel->free;
        channel->free = &channel->requests[i];
    }
    return 0;
}

static bool quiet(void *context)
{
    struct job_channel *channel = context;

    submit_again(channel); /* stopped: gives them back */
    return job_channel_quiet(channel);
}

void job_channel_close(struct job_channel *channel)
{
    if (!channel->requests)
        return;
    job_channel_stop(channel);
    loop_wait(channel->loop, quiet, channel, UINT64_MAX);
    buffer_release(&channel->zeroes);
    platform_release(channel->loop->platform, channel->requests);
    channel->requests = NULL;
}
