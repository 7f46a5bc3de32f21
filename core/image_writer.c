/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer's first half: chunks and runs become segments. */
#include <string.h>

#include "core/image_writer.h"

/* --- pieces --- */

static bool piece_at_hand(const struct image_writer *writer)
{
    return writer->pieces_free || writer->pieces < writer->pieces_max;
}

static struct piece *take_piece(struct image_writer *writer)
{
    struct piece *piece = writer->free_pieces;

    if (piece) {
        writer->free_pieces = piece->next;
        writer->pieces_free--;
    } else {
        piece = platform_allocate(writer->loop->platform, sizeof *piece);
        if (!piece)
            return NULL;
        writer->pieces++;
    }
    piece->writer = writer;
    piece->next = NULL;
    piece->used = 0;
    return piece;
}

/* Bytes that fit without waiting. */
static uint64_t room(const struct image_writer *writer)
{
    const struct piece *last = writer->filling->last;
    uint64_t pieces = writer->pieces_free + (uint64_t)(writer->pieces_max - writer->pieces);

    return pieces * PIECE_SIZE + (last ? PIECE_SIZE - last->used : 0);
}

struct event_wait {
    struct image_writer *writer;
    unsigned events;
};

static bool event_happened(void *context)
{
    struct event_wait *wait = context;

    output_pump(wait->writer);
    return wait->writer->events != wait->events || !wait->writer->sending;
}

static void wait_for_event(struct image_writer *writer)
{
    struct event_wait wait = {writer, writer->events};

    loop_wait(writer->loop, event_happened, &wait, UINT64_MAX);
}

static int append(struct image_writer *writer, const uint8_t *bytes, size_t size)
{
    struct segment *segment = writer->filling;

    segment->index->stored += size;
    while (size) {
        if (!segment->last || segment->last->used == PIECE_SIZE) {
            while (!piece_at_hand(writer) && writer->sending && !writer->status)
                wait_for_event(writer);
            struct piece *piece = writer->status ? NULL : take_piece(writer);
            if (!piece)
                return writer->status ? writer->status : writer_fail(writer, ERROR_NO_MEMORY, "segment buffer");
            if (segment->last)
                segment->last->next = piece;
            else
                segment->first = piece;
            segment->last = piece;
        }
        struct piece *piece = segment->last;
        size_t part = PIECE_SIZE - piece->used < size ? PIECE_SIZE - piece->used : size;
        memcpy(piece->data + piece->used, bytes, part);
        piece->used += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

/* --- entries --- */

static uint8_t *entry_at(const struct segment *segment, unsigned number)
{
    return segment->index->frame + INDEX_ENTRIES + (size_t)number * ENTRY_SIZE;
}

static void add_entry(struct segment *segment, const struct image_chunk *chunk)
{
    struct image_index *index = segment->index;
    uint8_t *entry = entry_at(segment, index->entries++);

    memset(entry, 0, ENTRY_SIZE);
    entry[ENTRY_AT_KIND] = (uint8_t)entry_kind(chunk->kind);
    store_le32(entry + ENTRY_AT_STORED, (uint32_t)chunk->stored_size);
    store_le64(entry + ENTRY_AT_LENGTH, chunk->length);
    index->plain += chunk->length;
    if (!chunk_has_data(chunk))
        return;
    store_le16(entry + ENTRY_AT_LOST_PIECES, (uint16_t)chunk->lost_pieces);
    memcpy(entry + ENTRY_AT_HASH, chunk->hash, IMAGE_HASH_SIZE);
    memcpy(entry + ENTRY_AT_STORED_HASH, chunk->stored_hash, IMAGE_HASH_SIZE);
    segment->data_plain += chunk->length;
    if (chunk->kind != IMAGE_PARTIAL)
        return;
    size_t bytes = entry_map_bytes(chunk->length);
    unsigned pieces = (unsigned)((chunk->length + IMAGE_PIECE - 1) / IMAGE_PIECE);
    uint8_t *map = segment->maps + index->map_bytes;
    memcpy(map, chunk->map, bytes);
    if (pieces % 8)
        map[bytes - 1] &= (uint8_t)((1u << pieces % 8) - 1);
    index->map_bytes += (uint32_t)bytes;
}

static void segment_reset(struct segment *segment, uint64_t disk_offset, unsigned region)
{
    struct image_index *index = segment->index;

    index->disk_offset = disk_offset;
    index->region = region;
    index->plain = index->stored = 0;
    index->entries = index->map_bytes = 0;
    segment->data_plain = 0;
    segment->first = segment->last = NULL;
}

/* --- runs --- */

/* The open entry gets its final length. */
static void close_entry(struct image_writer *writer)
{
    if (!writer->run_open)
        return;
    uint8_t *entry = entry_at(writer->filling, writer->filling->index->entries - 1);
    store_le64(entry + ENTRY_AT_LENGTH, writer->run_emitted);
    store_le32(entry + ENTRY_AT_STORED, (uint32_t)zero_run_size(writer->run_emitted));
    writer->filling->index->plain += writer->run_emitted;
    writer->run_open = false;
}

/* Sends the filling segment away; what comes next opens another. Nothing else is on its way. */
static void cut(struct image_writer *writer)
{
    struct segment *full = writer->filling;

    close_entry(writer);
    if (!full->index->entries)
        return;
    uint64_t next = full->index->disk_offset + full->index->plain;
    output_segment(writer);
    segment_reset(writer->filling, next, description_region(&writer->description, next));
}

static bool segment_takes(const struct image_writer *writer, uint64_t stored, uint64_t data_plain, bool new_entry)
{
    const struct segment *segment = writer->filling;

    return segment->index->stored + stored <= writer->segment_limit &&
           segment->data_plain + data_plain <= SEGMENT_PLAIN_MAX &&
           (!new_entry || segment->index->entries < writer->entries_limit);
}

/* Writes the frame of the next `length` bytes of the run. The segment takes it. */
static int emit_run_frame(struct image_writer *writer, uint64_t length)
{
    if (!writer->run_open) {
        add_entry(writer->filling, &(struct image_chunk){.kind = writer->run_kind});
        writer->run_open = true;
        writer->run_emitted = 0;
    }
    writer->run_emitted += length;
    writer->run_pending -= length;
    return append(writer, zero_frame(&writer->zero, length), zero_frame_size(length));
}

/* --- moving on --- */

/* Does the next step that can be done without waiting. False when there is none. */
static bool step(struct image_writer *writer)
{
    bool whole_frame = writer->run_pending >= ZERO_FRAME_PLAIN;
    uint64_t length = whole_frame ? ZERO_FRAME_PLAIN : writer->run_pending;

    if (writer->status)
        return false;
    if (whole_frame || (writer->cut_wanted && length)) {
        if (!segment_takes(writer, zero_frame_size(length), 0, !writer->run_open)) {
            if (writer->sending)
                return false;
            cut(writer);
            return true;
        }
        return room(writer) >= zero_frame_size(length) && !emit_run_frame(writer, length);
    }
    if (writer->cut_wanted) {
        if (writer->sending)
            return false;
        cut(writer);
        writer->cut_wanted = false;
        return true;
    }
    return false;
}

bool image_writer_ready(struct image_writer *writer)
{
    output_pump(writer);
    while (step(writer))
        ;
    if (writer->status)
        return true; /* the next call says so */
    if (writer->cut_wanted || writer->run_pending >= ZERO_FRAME_PLAIN)
        return false;
    uint64_t most = writer->chunk_bound + ZERO_FRAME_SIZE;
    if (room(writer) < most)
        return false;
    return !writer->sending || (segment_takes(writer, most, writer->description.chunk_size, true) &&
                                writer->filling->index->entries + 2 <= writer->entries_limit);
}

/* Until nothing of what was given stands in the way of what comes. */
static int settle(struct image_writer *writer)
{
    while (!writer->status) {
        while (step(writer))
            ;
        if (writer->status || (!writer->cut_wanted && writer->run_pending < ZERO_FRAME_PLAIN))
            break;
        wait_for_event(writer);
    }
    return writer->status;
}

/* Until the filling segment takes so much; may send it away. */
static int make_room(struct image_writer *writer, uint64_t stored, uint64_t data_plain)
{
    if (segment_takes(writer, stored, data_plain, true))
        return writer->status;
    while (writer->sending && !writer->status)
        wait_for_event(writer);
    if (!writer->status)
        cut(writer);
    return writer->status;
}

/* The rest of a run, less than a whole frame. */
static int close_run(struct image_writer *writer)
{
    int status = 0;

    if (writer->run_pending) {
        uint64_t length = writer->run_pending;
        if (!segment_takes(writer, zero_frame_size(length), 0, !writer->run_open))
            status = make_room(writer, SEGMENT_STORED_BOUND, 0);
        if (!status)
            status = emit_run_frame(writer, length);
    }
    close_entry(writer);
    return status;
}

static int check_chunk(struct image_writer *writer, const struct image_chunk *chunk)
{
    const struct image_region *region = &writer->description.regions[writer->region];

    if (writer->disk_offset >= writer->description.disk_bytes)
        return writer_fail(writer, ERROR_OUT_OF_RANGE, "more chunks than the disk has");
    uint64_t inside = writer->disk_offset - region->offset;
    uint64_t left = region->bytes - inside;
    uint64_t cell = left < writer->description.chunk_size ? left : writer->description.chunk_size;
    if (!chunk->length || chunk->length > left || chunk->length % writer->description.logical_block)
        return writer_fail(writer, ERROR_OUT_OF_RANGE, "a chunk reaches beyond its region");
    if (chunk_has_data(chunk) &&
        (inside % writer->description.chunk_size || chunk->length != cell || !chunk->stored || !chunk->stored_size ||
         chunk->stored_size > stored_size_bound(chunk->length) || (chunk->kind == IMAGE_PARTIAL && !chunk->map)))
        return writer_fail(writer, ERROR_OUT_OF_RANGE, "a data chunk is not one cell of the grid");
    return 0;
}

static int add_data(struct image_writer *writer, const struct image_chunk *chunk)
{
    int status = close_run(writer);

    if (!status)
        status = make_room(writer, chunk->stored_size, chunk->length);
    if (status)
        return status;
    add_entry(writer->filling, chunk);
    return append(writer, chunk->stored, chunk->stored_size);
}

static int add_run(struct image_writer *writer, const struct image_chunk *chunk)
{
    int status = 0;

    if ((writer->run_open || writer->run_pending) && writer->run_kind != chunk->kind)
        status = close_run(writer);
    writer->run_kind = chunk->kind;
    writer->run_pending += chunk->length;
    return status;
}

int image_writer_add(struct image_writer *writer, const struct image_chunk *chunk, struct error *error)
{
    int status = settle(writer);

    if (!status)
        status = check_chunk(writer, chunk);
    if (!status)
        status = chunk_has_data(chunk) ? add_data(writer, chunk) : add_run(writer, chunk);
    if (status) {
        if (error)
            *error = writer->error;
        return status;
    }
    const struct image_region *region = &writer->description.regions[writer->region];
    writer->disk_offset += chunk->length;
    if (writer->disk_offset - region->offset == region->bytes) {
        writer->cut_wanted = true;
        writer->region++;
    }
    while (step(writer))
        ;
    return 0;
}

/* --- life --- */

static void writer_free(struct image_writer *writer)
{
    struct platform *platform = writer->loop->platform;

    for (unsigned i = 0; i < 2; i++) {
        struct segment *segment = &writer->segments[i];
        while (segment->first) {
            struct piece *piece = segment->first;
            segment->first = piece->next;
            platform_release(platform, piece);
        }
        index_release(segment->index);
        platform_release(platform, segment->maps);
    }
    while (writer->free_pieces) {
        struct piece *piece = writer->free_pieces;
        writer->free_pieces = piece->next;
        platform_release(platform, piece);
    }
    while (writer->first_rows) {
        struct row_page *page = writer->first_rows;
        writer->first_rows = page->next;
        platform_release(platform, page);
    }
    seek_store_free(&writer->seek);
    image_description_free(&writer->description);
    platform_release(platform, writer->head);
    platform_release(platform, writer);
}

static int writer_init(struct image_writer *writer, const struct image_description *description)
{
    struct platform *platform = writer->loop->platform;
    int status = description_copy(platform, description, &writer->description);

    if (status)
        return status;
    for (unsigned i = 0; i < 2; i++) {
        writer->segments[i].index = index_allocate(platform, INDEX_ROOM(SEGMENT_ENTRIES_LIMIT));
        writer->segments[i].maps = platform_allocate(platform, SEGMENT_MAPS(SEGMENT_ENTRIES_LIMIT));
        if (!writer->segments[i].index || !writer->segments[i].maps)
            return -ERROR_NO_MEMORY;
    }
    writer->filling = &writer->segments[0];
    segment_reset(writer->filling, 0, 0);
    zero_frames_init(&writer->zero);
    writer->chunk_bound = chunk_stored_bound(description->chunk_size);
    writer->segment_limit = SEGMENT_STORED_MAX + writer->chunk_bound;
    writer->entries_limit = SEGMENT_ENTRIES_LIMIT;
    writer->pieces_max = (unsigned)(writer->segment_limit / PIECE_SIZE) + 2 + PIECES_AHEAD;
    if (memory_is_zero(writer->description.uuid, 16))
        platform->ops->random(platform, writer->description.uuid, 16);
    writer->head_size = header_size(&writer->description);
    writer->head = platform_allocate(platform, writer->head_size);
    if (!writer->head)
        return -ERROR_NO_MEMORY;
    header_build(writer->head, &writer->description);
    memcpy(writer->chain.uuid, writer->description.uuid, 16);
    platform->ops->random(platform, writer->chain.session, 16);
    tally_init(&writer->tally, description->disk_bytes);
    writer->seek.platform = platform;
    writer->tally.store = &writer->seek;
    return 0;
}

static int writer_new(struct loop *loop, struct stream_store *store, const struct image_description *description,
                      struct image_writer **writer, struct error *error)
{
    struct image_writer *new = platform_allocate_zeroed(loop->platform, sizeof *new);

    *writer = new;
    if (new) {
        new->loop = loop;
        new->store = store;
        if (!writer_init(new, description))
            return 0;
    }
    image_writer_destroy(new);
    *writer = NULL;
    return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, store->name, ERROR_NO_BLOCK, "image writer");
}

/* Hands a writer that could not begin back to nobody. */
static int writer_lost(struct image_writer **writer, int status, struct error *error)
{
    if (error && (*writer)->status)
        *error = (*writer)->error;
    image_writer_destroy(*writer);
    *writer = NULL;
    return status;
}

int image_writer_create(struct loop *loop, struct stream_store *store, const struct image_description *description,
                        uint64_t split, struct image_writer **writer, struct error *error)
{
    int status = description_check(description, store->name, error);

    *writer = NULL;
    if (!status)
        status = writer_new(loop, store, description, writer, error);
    if (status)
        return status;
    status = output_start(*writer, split);
    return status ? writer_lost(writer, status, error) : 0;
}

/* The links that are kept become the writer's, as if it had written them. */
static int adopt_links(struct image_writer *writer, struct image_trace *trace, uint64_t limit, struct error *error)
{
    struct trace_link link;
    int status;

    tally_begin(&writer->tally, &trace->file);
    while (!(status = trace_next(trace, limit, &link, error))) {
        status = output_reserve_row(writer);
        if (status) {
            index_release(link.index);
            return status;
        }
        trace_count(&link, trace, &writer->tally);
    }
    return status == -ERROR_END ? 0 : status;
}

static int adopt(struct image_writer *writer, struct image_trace *trace, uint64_t limit, struct error *error)
{
    bool begun;
    int status = adopt_links(writer, trace, limit, error);

    if (!status)
        status = trace_end(trace, &writer->volume, &writer->volume_bytes, &begun, error);
    if (status)
        return status;
    writer->begun_volume = begun ? 0 : writer->volume;
    writer->chain = trace->chain;
    writer->image_offset = trace->offset;
    writer->disk_offset = trace->disk_offset;
    writer->region = description_region(&writer->description, writer->disk_offset);
    segment_reset(writer->filling, writer->disk_offset, writer->region);
    return 0;
}

int image_writer_continue(struct loop *loop, struct stream_store *store, uint64_t split, uint64_t limit,
                          struct image_writer **writer, struct image_kept *kept, struct error *error)
{
    struct image_trace trace;
    int status = trace_open(loop, store, &trace, error);

    *writer = NULL;
    if (status)
        return status;
    status = writer_new(loop, store, &trace.file.description, writer, error);
    if (!status)
        status = adopt(*writer, &trace, limit, error);
    if (*writer) {
        /* What a newer program said in the header stands in the further ones, too. */
        platform_release(loop->platform, (*writer)->head);
        (*writer)->head = trace.file.head;
        (*writer)->head_size = trace.file.head_size;
        trace.file.head = NULL;
    }
    trace_close(&trace); /* no other stream is open when a volume is opened again */
    if (!*writer)
        return status;
    const struct image_totals *totals = &(*writer)->tally.totals;
    *kept = (struct image_kept){.disk_bytes = (*writer)->disk_offset,
                                .stored_bytes = (*writer)->image_offset,
                                .unreadable_bytes = totals->unreadable_bytes,
                                .volume = (*writer)->volume};
    if (!status)
        status = output_continue(*writer, split);
    return status ? writer_lost(writer, status, error) : 0;
}

int image_writer_finish(struct image_writer *writer, struct image_totals *totals, struct error *error)
{
    int status = settle(writer);

    if (!status && writer->disk_offset != writer->description.disk_bytes)
        status = writer_fail(writer, ERROR_OUT_OF_RANGE, "chunks are missing at the end");
    output_drain(writer);
    if (!status && !writer->finished)
        status = writer->status ? writer->status : output_end(writer);
    if (status) {
        if (error)
            *error = writer->error;
        return status;
    }
    writer->finished = true;
    if (totals)
        *totals = writer->tally.totals;
    return 0;
}

bool image_writer_idle(const struct image_writer *writer)
{
    return !writer->sending;
}

uint64_t image_writer_stored(const struct image_writer *writer)
{
    return writer->image_offset;
}

size_t image_writer_memory(const struct image_writer *writer)
{
    uint64_t pages = (writer->tally.rows + TABLE_ROWS_MAX - 1) / TABLE_ROWS_MAX;

    return sizeof *writer + writer->pieces * sizeof(struct piece) + (size_t)pages * sizeof(struct row_page) +
           2 * (INDEX_ROOM(SEGMENT_ENTRIES_LIMIT) + SEGMENT_MAPS(SEGMENT_ENTRIES_LIMIT)) +
           (size_t)(writer->seek.frames * SEEK_ENTRY_SIZE);
}

void image_writer_destroy(struct image_writer *writer)
{
    if (!writer)
        return;
    output_drain(writer);
    stream_close(writer->stream, NULL);
    writer_free(writer);
}
