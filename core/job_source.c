/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disk -> slots: what the plan says is in use, chunk by chunk on each region's grid. */
#include "core/job_internal.h"

#include <string.h>

static struct job *job_of(struct job_channel *channel)
{
    return channel->owner;
}

/* --- which chunk is next --- */

static uint64_t extent_end(const struct extent *extent)
{
    return extent->offset + extent->length;
}

static void set_piece(struct pipeline_slot *slot, uint64_t piece)
{
    slot->map[piece / 8] = (uint8_t)(slot->map[piece / 8] | 1u << (piece % 8));
}

/* Marks what of [start, start + length) is in use. Returns true when something is not. */
static bool build_map(struct job *job, struct pipeline_slot *slot, uint64_t start, uint64_t length)
{
    const struct extent_list *used = &job->plan->used;
    uint64_t pieces = (length + IMAGE_PIECE - 1) / IMAGE_PIECE, set = 0, next = 0;

    memset(slot->map, 0, IMAGE_MAP_BYTES(job->chunk_size));
    for (size_t i = job->cursor.extent; i < used->count && used->extents[i].offset < start + length; i++) {
        const struct extent *extent = &used->extents[i];
        uint64_t from = extent->offset > start ? extent->offset - start : 0;
        uint64_t to = smaller_of(extent_end(extent) - start, length);
        /* Two extents may share a piece: it is counted once. */
        uint64_t piece = from / IMAGE_PIECE > next ? from / IMAGE_PIECE : next;
        for (; piece < pieces && piece * IMAGE_PIECE < to; piece++, set++)
            set_piece(slot, piece);
        next = piece;
    }
    return set < pieces;
}

/*
 * Describes the next chunk, or run of unused space, in the slot and moves the cursor on. The slot's chunk kind is UNUSED, PARTIAL
 * or DATA. Only while at_end() is false.
 */
static void next_chunk(struct job *job, struct pipeline_slot *slot)
{
    const struct image_description *description = &job->plan->description;
    const struct extent_list *used = &job->plan->used;
    struct disk_cursor *cursor = &job->cursor;
    const struct image_region *region = &description->regions[cursor->region];
    uint64_t end = region->offset + region->bytes, chunk = job->chunk_size, start = cursor->position, next, grid;

    while (cursor->extent < used->count && extent_end(&used->extents[cursor->extent]) <= start)
        cursor->extent++;
    next = cursor->extent < used->count ? used->extents[cursor->extent].offset : UINT64_MAX;
    if (next < start)
        next = start;
    job_slot(slot)->source_offset = start;
    job_slot(slot)->partition = region->partition;
    job_slot(slot)->unreadable_bytes = 0;
    grid = next < end ? region->offset + (next - region->offset) / chunk * chunk : end;
    if (grid > start) {
        slot->chunk.kind = IMAGE_UNUSED;
        slot->chunk.length = grid - start;
        slot->has_map = false;
        job_slot(slot)->used_bytes = 0;
    } else {
        slot->chunk.length = smaller_of(chunk, end - start);
        slot->has_map = build_map(job, slot, start, slot->chunk.length);
        slot->chunk.kind = slot->has_map ? IMAGE_PARTIAL : IMAGE_DATA;
        job_slot(slot)->used_bytes = job_map_bytes(slot);
    }
    cursor->position = start + slot->chunk.length;
}

/* Steps over the ends of regions; true when nothing is left. */
static bool at_end(struct job *job)
{
    const struct image_description *description = &job->plan->description;
    struct disk_cursor *cursor = &job->cursor;

    while (cursor->region < description->region_count) {
        const struct image_region *region = &description->regions[cursor->region];
        if (cursor->position < region->offset + region->bytes)
            return false;
        cursor->region++;
    }
    return true;
}

/* --- reading --- */

/* Zeroes what of [from, to) of a chunk shares a piece with something in use; whole pieces without use go by the map. */
static void zero_beside(uint8_t *plain, uint64_t from, uint64_t to)
{
    uint64_t from_piece_end = smaller_of((from + IMAGE_PIECE - 1) / IMAGE_PIECE * IMAGE_PIECE, to);
    uint64_t to_piece = to / IMAGE_PIECE * IMAGE_PIECE;

    memset(plain + from, 0, (size_t)(from_piece_end - from));
    if (to_piece > from_piece_end)
        from_piece_end = to_piece;
    memset(plain + from_piece_end, 0, (size_t)(to - from_piece_end));
}

/* Blocks of file systems may be smaller than a piece: what was deleted beside them does not reach the image. */
static void zero_unused_edges(struct job *job, struct pipeline_slot *slot)
{
    const struct extent_list *used = &job->plan->used;
    uint64_t start = job_slot(slot)->source_offset, length = slot->chunk.length, position = 0;

    for (size_t i = extent_list_find(used, start); i < used->count && used->extents[i].offset < start + length; i++) {
        const struct extent *extent = &used->extents[i];
        uint64_t from = extent->offset > start ? extent->offset - start : 0;
        if (from > position)
            zero_beside(slot->plain.data, position, from);
        position = smaller_of(extent_end(extent) - start, length);
    }
    if (position < length)
        zero_beside(slot->plain.data, position, length);
}

static void slot_read(struct job_channel *channel, struct pipeline_slot *slot)
{
    struct job *job = job_of(channel);
    struct job_slot *own = job_slot(slot);

    job->result->read_bytes += own->used_bytes;
    if (own->unreadable_bytes >= own->used_bytes) {
        slot->chunk.kind = IMAGE_UNREADABLE;
        slot->has_map = false;
        pipeline_skip(job->pipeline, slot);
        return;
    }
    zero_unused_edges(job, slot);
    slot->work = job->read_work;
    pipeline_ready(job->pipeline, slot);
}

static void read_failed(struct job_channel *channel, const struct error *error)
{
    job_fail(job_of(channel), error);
}

static void block_unreadable(struct job_channel *channel, struct pipeline_slot *slot, uint64_t offset, uint64_t bytes)
{
    struct job *job = job_of(channel);
    struct job_slot *own = job_slot(slot);
    struct error error;

    /* A gap that was only read along does not matter. */
    if (slot->has_map && !(slot->map[offset / IMAGE_PIECE / 8] >> (offset / IMAGE_PIECE % 8) & 1))
        return;
    own->unreadable_bytes += bytes;
    if (extent_list_add(&job->unreadable, own->source_offset + offset, bytes)) {
        error_set(&error, ERROR_NO_MEMORY, OPERATION_READ, job->source->name, ERROR_NO_BLOCK,
                  "no memory to note unreadable blocks");
        job_fail(job, &error);
    }
}

void job_source_leave(struct job *job, struct pipeline_slot *slot)
{
    const struct job_slot *own = job_slot(slot);
    uint64_t start = own->source_offset, end = start + slot->chunk.length;

    if (!own->unreadable_bytes)
        return;
    job->result->unreadable_bytes += own->unreadable_bytes;
    for (size_t i = extent_list_find(&job->unreadable, start); i < job->unreadable.count; i++) {
        const struct extent *extent = &job->unreadable.extents[i];
        uint64_t from = extent->offset > start ? extent->offset : start;
        uint64_t to = smaller_of(extent_end(extent), end);
        if (from >= end)
            break;
        job_run_message(job, &job->unreadable_run, MESSAGE_UNREADABLE, own->partition, job->source->name, from,
                        to - from);
    }
}

bool job_source_pump(struct job *job)
{
    bool progressed = job_channel_pump(&job->reads);

    while (!job->source_ended && job_channel_idle(&job->reads)) {
        struct pipeline_slot *slot;
        if (at_end(job)) {
            job->source_ended = true;
            return true;
        }
        slot = job_claim(job);
        if (!slot)
            break;
        job_slot(slot)->role = ROLE_COPY;
        progressed = true;
        next_chunk(job, slot);
        if (slot->chunk.kind == IMAGE_UNUSED) {
            pipeline_skip(job->pipeline, slot);
            continue;
        }
        job_channel_start(&job->reads, slot, CHANNEL_READ, job_slot(slot)->source_offset, slot->chunk.length);
        job_channel_pump(&job->reads);
    }
    return progressed;
}

int job_source_open(struct job *job, enum pipeline_work work, struct error *error)
{
    struct job_channel *reads = &job->reads;

    extent_list_init(&job->unreadable, job->platform);
    job->read_work = work;
    reads->loop = job->loop;
    reads->device = job->source;
    reads->side = SIDE_SOURCE;
    reads->salvage = job->options->salvage;
    reads->owner = job;
    reads->finished = slot_read;
    reads->failed = read_failed;
    reads->unreadable = block_unreadable;
    return job_channel_open(reads, error);
}

void job_source_close(struct job *job)
{
    if (job->source)
        job_run_message(job, &job->unreadable_run, MESSAGE_UNREADABLE, 0, NULL, 0, 0);
    job->result->memory_bytes += job_channel_memory(&job->reads) + job->unreadable.capacity * sizeof(struct extent);
    job_channel_close(&job->reads);
    if (job->unreadable.platform)
        extent_list_free(&job->unreadable);
}
