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

static uint64_t larger_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Marks the pieces of a chunk at `start` that [from, to) touches. */
static void set_pieces(struct pipeline_slot *slot, uint64_t start, uint64_t from, uint64_t to)
{
    for (uint64_t piece = (from - start) / IMAGE_PIECE; piece * IMAGE_PIECE < to - start; piece++)
        slot->map[piece / 8] = (uint8_t)(slot->map[piece / 8] | 1u << (piece % 8));
}

/* Marks what of [start, start + length) is in use, or only what of it is to be read. */
static void build_map(const struct job *job, struct pipeline_slot *slot, uint64_t start, uint64_t length,
                      bool with_blank)
{
    const struct extent_list *used = &job->plan->used, *blank = &job->plan->blank;
    uint64_t end = start + length;

    memset(slot->map, 0, IMAGE_MAP_BYTES(job->chunk_size));
    for (size_t i = extent_list_find(used, start); i < used->count && used->extents[i].offset < end; i++) {
        uint64_t from = larger_of(used->extents[i].offset, start), to = smaller_of(extent_end(&used->extents[i]), end);
        size_t j = with_blank ? blank->count : extent_list_find(blank, from);

        for (; j < blank->count && blank->extents[j].offset < to; j++) {
            if (blank->extents[j].offset > from)
                set_pieces(slot, start, from, blank->extents[j].offset);
            from = extent_end(&blank->extents[j]);
        }
        if (from < to)
            set_pieces(slot, start, from, to);
    }
    slot->has_map = job_piece_bytes(slot->map, length) < length;
    slot->chunk.kind = slot->has_map ? IMAGE_PARTIAL : IMAGE_DATA;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Bytes of the whole chunks from `start` on in which all that is in use is blank, so that nothing has to be read. 0: none. */
static uint64_t blank_length(const struct job *job, uint64_t start, uint64_t end)
{
    const struct extent_list *used = &job->plan->used, *blank = &job->plan->blank;
    uint64_t chunk = job->chunk_size, done = 0;

    for (size_t i = job->cursor.extent; i < used->count && used->extents[i].offset < end; i++) {
        uint64_t from = used->extents[i].offset > start ? used->extents[i].offset - start : 0;
        uint64_t to = smaller_of(extent_end(&used->extents[i]), end) - start;
        size_t found = extent_list_find(blank, start + from);
        bool inside = found < blank->count && blank->extents[found].offset <= start + from;

        if (from / chunk * chunk > round_up(done, chunk))
            break; /* chunks without use are a run of their own */
        done = inside ? smaller_of(extent_end(&blank->extents[found]) - start, to) : from;
        if (done < to)
            return done / chunk * chunk;
    }
    return smaller_of(round_up(done, chunk), end - start);
}

/* Bytes in use of [start, start + length). */
static uint64_t used_bytes(const struct job *job, uint64_t start, uint64_t length)
{
    const struct extent_list *used = &job->plan->used;
    uint64_t bytes = 0, end = start + length;

    for (size_t i = job->cursor.extent; i < used->count && used->extents[i].offset < end; i++)
        bytes += smaller_of(extent_end(&used->extents[i]), end) - (larger_of(used->extents[i].offset, start));
    return bytes;
}

/*
 * Describes the next chunk, or run of unused or blank space, in the slot and moves the cursor on. The slot's chunk kind is UNUSED,
 * ZERO, PARTIAL or DATA. Only while at_end() is false.
 */
static void next_chunk(struct job *job, struct pipeline_slot *slot)
{
    const struct image_description *description = &job->plan->description;
    const struct extent_list *used = &job->plan->used;
    struct disk_cursor *cursor = &job->cursor;
    const struct image_region *region = &description->regions[cursor->region];
    uint64_t end = region->offset + region->bytes, chunk = job->chunk_size, start = cursor->position, next, grid, blank;

    while (cursor->extent < used->count && extent_end(&used->extents[cursor->extent]) <= start)
        cursor->extent++;
    next = cursor->extent < used->count ? used->extents[cursor->extent].offset : UINT64_MAX;
    if (next < start)
        next = start;
    job_slot(slot)->source_offset = start;
    job_slot(slot)->partition = region->partition;
    job_slot(slot)->unreadable_bytes = 0;
    job_slot(slot)->lost_pieces = 0;
    grid = next < end ? region->offset + (next - region->offset) / chunk * chunk : end;
    if (grid > start) {
        slot->chunk.kind = IMAGE_UNUSED;
        slot->chunk.length = grid - start;
        slot->has_map = false;
        job_slot(slot)->used_bytes = 0;
    } else if ((blank = blank_length(job, start, end)) != 0) {
        slot->chunk.kind = IMAGE_ZERO;
        slot->chunk.length = blank;
        slot->has_map = false;
        job_slot(slot)->used_bytes = used_bytes(job, start, blank);
    } else {
        slot->chunk.length = smaller_of(chunk, end - start);
        build_map(job, slot, start, slot->chunk.length, false);
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

/* What was not read because it is blank: zeroes from here on, and in use. */
static void fill_blank(struct job *job, struct pipeline_slot *slot)
{
    const struct extent_list *blank = &job->plan->blank;
    uint64_t start = job_slot(slot)->source_offset, end = start + slot->chunk.length;

    if (!extent_list_overlaps(blank, start, slot->chunk.length))
        return;
    for (size_t i = extent_list_find(blank, start); i < blank->count && blank->extents[i].offset < end; i++) {
        uint64_t from = larger_of(blank->extents[i].offset, start),
                 to = smaller_of(extent_end(&blank->extents[i]), end);

        memset((uint8_t *)slot->plain.data + (from - start), 0, (size_t)(to - from));
    }
    build_map(job, slot, start, slot->chunk.length, true);
    job_slot(slot)->used_bytes = job_map_bytes(slot);
}

/* Pieces of the chunk with blocks that could not be read. */
static unsigned lost_pieces(const struct job *job, struct pipeline_slot *slot)
{
    uint64_t start = job_slot(slot)->source_offset, end = start + slot->chunk.length, next = 0;
    unsigned pieces = 0;

    for (size_t i = extent_list_find(&job->unreadable, start); i < job->unreadable.count; i++) {
        const struct extent *extent = &job->unreadable.extents[i];
        uint64_t from = extent->offset > start ? extent->offset - start : 0;
        uint64_t to = smaller_of(extent_end(extent), end) - start;
        if (extent->offset >= end)
            break;
        from = from / IMAGE_PIECE > next ? from / IMAGE_PIECE : next;
        to = (to + IMAGE_PIECE - 1) / IMAGE_PIECE;
        pieces += to > from ? (unsigned)(to - from) : 0;
        next = to > next ? to : next;
    }
    return pieces;
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
    own->lost_pieces = own->unreadable_bytes ? lost_pieces(job, slot) : 0;
    fill_blank(job, slot);
    zero_unused_edges(job, slot);
    job_ready(job, slot, job->read_work);
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

    while (!job->source_ended && job_channel_idle(&job->reads) && !job_overlap_wants_slot(job)) {
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
        if (slot->chunk.kind == IMAGE_UNUSED || slot->chunk.kind == IMAGE_ZERO) {
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
