/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's second half: volumes, headers, segments on their way to the stream, and the end of the image.
 *
 * Names: without a split the image is volume 0. With one, or when the store limits a volume and the planned contents might not fit
 * into it, volumes are numbered from 1.
 */
#include <string.h>

#include "core/image_writer.h"

/* Entries, maps and frames, even of chunks with one page in use: less than 1/16 of the bytes in use, and runs on top. */
#define OVERHEAD_DIVISOR 16
#define OVERHEAD_FIXED (2ULL * 1024 * 1024)

int writer_fail(struct image_writer *writer, enum error_code code, const char *detail)
{
    if (!writer->status)
        writer->status =
            error_set(&writer->error, code, OPERATION_WRITE, writer->store->name, writer->image_offset, "%s", detail);
    return writer->status;
}

int output_reserve_row(struct image_writer *writer)
{
    struct row_page *page = writer->last_rows;

    if (!page || page->count == TABLE_ROWS_MAX) {
        struct row_page *new = platform_allocate(writer->loop->platform, sizeof *new);
        if (!new)
            return writer_fail(writer, ERROR_NO_MEMORY, "segment table");
        new->next = NULL;
        new->count = 0;
        if (page)
            page->next = new;
        else
            writer->first_rows = new;
        writer->last_rows = page = new;
    }
    writer->tally.row = page->frame + TABLE_ROWS + (size_t)page->count++ * ROW_SIZE;
    return 0;
}

/* Writes and waits; for headers and the end. */
static int put(struct image_writer *writer, const void *data, size_t size)
{
    if (writer->status)
        return writer->status;
    writer->status = stream_write(writer->stream, writer->volume_bytes, data, size, &writer->error);
    writer->volume_bytes += size;
    writer->image_offset += size;
    return writer->status;
}

static int put_header(struct image_writer *writer, unsigned kind)
{
    size_t size = writer->head_size;

    header_repeat(writer->head, size, kind, writer->volume, writer->image_offset, &writer->chain);
    if (kind == HEAD_FIRST) {
        memcpy(writer->tally.head_hash, writer->chain.last, IMAGE_HASH_SIZE);
        tally_seek_frame(&writer->tally, size, 0);
    } else if (!output_reserve_row(writer)) {
        tally_header(&writer->tally, kind, writer->volume, size, writer->chain.last);
    }
    return put(writer, writer->head, size);
}

/* Opens the volume and begins it. */
static int begin_volume(struct image_writer *writer)
{
    if (writer->volume > VOLUMES_MAX)
        return writer_fail(writer, ERROR_NO_SPACE, "more than 999 volumes would be needed; make them bigger");
    struct stream_store *store = writer->store;
    bool begun = writer->volume && writer->volume == writer->begun_volume;
    writer->status = begun ? store->reopen(store, writer->volume, 0, &writer->stream, &writer->error)
                           : store->open(store, writer->volume, true, &writer->stream, &writer->error);
    if (writer->status)
        return writer->status;
    writer->volume_bytes = 0;
    if (writer->volume <= 1) { /* further ones are counted with their headers */
        writer->tally.totals.volumes = 1;
        tally_seek_frame(&writer->tally, LEAD_SIZE, 0);
    }
    put(writer, lead_frame, LEAD_SIZE);
    return writer->status ? writer->status : put_header(writer, writer->volume > 1 ? HEAD_VOLUME : HEAD_FIRST);
}

static int next_volume(struct image_writer *writer)
{
    int status = stream_flush(writer->stream, &writer->error);
    int closed = stream_close(writer->stream, status ? NULL : &writer->error);

    writer->stream = NULL;
    writer->status = status ? status : closed;
    if (writer->status)
        return writer->status;
    writer->volume++;
    return begin_volume(writer);
}

/* More than the image can come to. */
static uint64_t size_bound(const struct image_description *description)
{
    uint64_t used = description->planned_used_bytes;

    if (!used || used > description->disk_bytes)
        used = description->disk_bytes;
    return used + used / OVERHEAD_DIVISOR + zero_run_size(description->disk_bytes) + OVERHEAD_FIXED;
}

/* A volume holds its header and one segment at the least. */
static uint64_t least_volume(const struct image_writer *writer)
{
    return LEAD_SIZE + writer->head_size + INDEX_ROOM(writer->entries_limit) + writer->chunk_bound + ZERO_FRAME_SIZE;
}

static uint64_t store_limit(const struct image_writer *writer)
{
    return writer->store->max_volume_bytes ? writer->store->max_volume_bytes : UINT64_MAX;
}

/* split 0: one file, as large as it can be there. */
static int set_limits(struct image_writer *writer, uint64_t split)
{
    if (split && split < SMALL_VOLUME)
        writer->entries_limit = SEGMENT_ENTRIES_SMALL;
    uint64_t least = least_volume(writer);
    if (split && split < least) {
        writer->status =
            error_set(&writer->error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, writer->store->name, ERROR_NO_BLOCK,
                      "volumes of this image need %llu bytes at least", (unsigned long long)least);
        return writer->status;
    }
    writer->volume_limit = split ? split : store_limit(writer);
    /* What a volume can hold beside its header and an index. */
    uint64_t limit = writer->volume_limit - least + writer->chunk_bound + ZERO_FRAME_SIZE;
    if (limit < writer->segment_limit)
        writer->segment_limit = limit;
    return 0;
}

int output_start(struct image_writer *writer, uint64_t split)
{
    uint64_t most = store_limit(writer), bound = size_bound(&writer->description) + least_volume(writer);

    if (writer->head_size > HEAD_SIZE_MAX)
        return writer_fail(writer, ERROR_OUT_OF_RANGE, "the partition table is too big for the header");
    if ((!split && most < bound) || split > most)
        split = most;
    writer->volume = split ? 1 : 0;
    return set_limits(writer, split) ? writer->status : begin_volume(writer);
}

int output_continue(struct image_writer *writer, uint64_t split)
{
    struct stream_store *store = writer->store;
    struct platform *platform = writer->loop->platform;
    uint64_t most = store_limit(writer);

    /* Whether it is cut was decided when it began. */
    if (!writer->volume)
        split = 0;
    else if (!split || split > most)
        split = most;
    if (set_limits(writer, split))
        return writer->status;
    if (writer->begun_volume) {
        /* What the session before began comes out as it would have: the same bytes. */
        if (begin_volume(writer))
            return writer->status;
    } else {
        writer->status = store->reopen(store, writer->volume, writer->volume_bytes, &writer->stream, &writer->error);
        if (writer->status)
            return writer->status;
        if (writer->volume &&
            (writer->volume_bytes > writer->volume_limit ||
             writer->head_size > writer->volume_limit - writer->volume_bytes) &&
            next_volume(writer))
            return writer->status;
    }
    platform->ops->random(platform, writer->chain.session, sizeof writer->chain.session);
    if (!put_header(writer, HEAD_SESSION))
        writer->status = stream_flush(writer->stream, &writer->error);
    return writer->status;
}

/* --- a segment on its way --- */

static void seal_index(struct image_writer *writer, struct segment *segment)
{
    struct image_index *index = segment->index;
    size_t maps_at = INDEX_ENTRIES + (size_t)index->entries * ENTRY_SIZE;

    frame_begin(index->frame, TAG_INDEX, &writer->chain, writer->image_offset);
    store_le64(index->frame + INDEX_AT_DISK_OFFSET, index->disk_offset);
    store_le64(index->frame + INDEX_AT_PLAIN, index->plain);
    store_le64(index->frame + INDEX_AT_STORED, index->stored);
    store_le32(index->frame + INDEX_AT_REGION, index->region);
    store_le32(index->frame + INDEX_AT_ENTRIES, index->entries);
    store_le32(index->frame + INDEX_AT_MAP_BYTES, index->map_bytes);
    store_le32(index->frame + INDEX_AT_FLAGS, 0);
    store_le64(index->frame + INDEX_AT_RESERVED, 0);
    memcpy(index->frame + maps_at, segment->maps, index->map_bytes);
    frame_seal(index->frame, index->size, &writer->chain);
}

static size_t index_frame_size(const struct image_index *index)
{
    return INDEX_ENTRIES + (size_t)index->entries * ENTRY_SIZE + index->map_bytes + FRAME_HASH_SIZE;
}

void output_segment(struct image_writer *writer)
{
    struct segment *segment = writer->filling;
    struct image_index *index = segment->index;

    writer->filling = segment == &writer->segments[0] ? &writer->segments[1] : &writer->segments[0];
    index->size = index_frame_size(index);
    uint64_t total = index->size + index->stored;
    if (writer->volume_bytes > writer->volume_limit || total > writer->volume_limit - writer->volume_bytes) {
        if (!writer->volume) {
            writer_fail(writer, ERROR_NO_SPACE, "the file would become bigger than its volume allows; split the image");
            return;
        }
        if (next_volume(writer))
            return;
    }
    if (output_reserve_row(writer))
        return;
    seal_index(writer, segment);
    tally_index(&writer->tally, index);
    writer->sending = segment;
    writer->index_sent = writer->flush_sent = false;
    output_pump(writer);
}

static void request_ended(struct image_writer *writer, const struct stream_request *request)
{
    writer->in_flight--;
    writer->events++;
    if (request->status || (request->operation == STREAM_WRITE && request->transferred < request->size)) {
        enum error_code code = request->status ? (enum error_code) - request->status : ERROR_NO_SPACE;
        writer_fail(writer, code, "the image cannot be written");
        if (!writer->error.raw_status)
            writer->error.raw_status = request->raw_status;
    }
    if (!writer->in_flight && (writer->flush_sent || writer->status))
        writer->sending = NULL;
    output_pump(writer);
}

static void index_done(struct stream_request *request)
{
    request_ended(request->context, request);
}

static void piece_done(struct stream_request *request)
{
    struct piece *piece = request->context;
    struct image_writer *writer = piece->writer;

    piece->next = writer->free_pieces;
    writer->free_pieces = piece;
    writer->pieces_free++;
    request_ended(writer, request);
}

static void flush_done(struct stream_request *request)
{
    request_ended(request->context, request);
}

/* True when the stream took it. */
static bool submit(struct image_writer *writer, struct stream_request *request)
{
    int status = stream_submit(writer->stream, request);

    if (status == -ERROR_FULL)
        return false;
    if (status) {
        writer_fail(writer, (enum error_code) - status, "the image cannot be written");
        return false;
    }
    writer->in_flight++;
    writer->volume_bytes += request->size;
    writer->image_offset += request->size;
    return true;
}

void output_pump(struct image_writer *writer)
{
    struct segment *segment;

    while ((segment = writer->sending) != NULL && !writer->status && !writer->flush_sent && !writer->paused) {
        struct piece *piece = segment->first;

        if (!writer->index_sent) {
            segment->request = (struct stream_request){.operation = STREAM_WRITE,
                                                       .offset = writer->volume_bytes,
                                                       .data = segment->index->frame,
                                                       .size = segment->index->size,
                                                       .done = index_done,
                                                       .context = writer};
            if (!submit(writer, &segment->request))
                break;
            writer->index_sent = true;
        } else if (piece) {
            piece->request = (struct stream_request){.operation = STREAM_WRITE,
                                                     .offset = writer->volume_bytes,
                                                     .data = piece->data,
                                                     .size = piece->used,
                                                     .done = piece_done,
                                                     .context = piece};
            segment->first = piece->next;
            if (!submit(writer, &piece->request)) {
                segment->first = piece;
                break;
            }
        } else {
            writer->flush = (struct stream_request){.operation = STREAM_FLUSH, .done = flush_done, .context = writer};
            if (!submit(writer, &writer->flush))
                break;
            writer->flush_sent = true;
        }
    }
    if (writer->status && !writer->in_flight)
        writer->sending = NULL;
}

static bool nothing_in_flight(void *context)
{
    struct image_writer *writer = context;

    output_pump(writer);
    return !writer->in_flight && !writer->sending;
}

void image_writer_pause(struct image_writer *writer, bool paused)
{
    writer->paused = paused;
    output_pump(writer);
}

void output_drain(struct image_writer *writer)
{
    writer->paused = false;
    loop_wait(writer->loop, nothing_in_flight, writer, UINT64_MAX);
}

/* --- the end --- */

static int put_table(struct image_writer *writer)
{
    uint64_t first_row = 0;

    for (struct row_page *page = writer->first_rows; page && !writer->status; page = page->next) {
        size_t size = TABLE_SIZE(page->count);

        memset(page->frame, 0, TABLE_ROWS);
        frame_begin(page->frame, TAG_TABLE, &writer->chain, writer->image_offset);
        store_le64(page->frame + TABLE_AT_FIRST_ROW, first_row);
        store_le32(page->frame + TABLE_AT_ROWS, page->count);
        frame_seal(page->frame, size, &writer->chain);
        tally_seek_frame(&writer->tally, size, 0);
        first_row += page->count;
        put(writer, page->frame, size);
    }
    return writer->status;
}

static int put_seek_table(struct image_writer *writer)
{
    uint8_t header[FRAME_SKIP_HEADER], footer[SEEK_FOOTER_SIZE];

    seek_table_ends(writer->seek.frames, header, footer);
    put(writer, header, sizeof header);
    for (struct seek_page *page = writer->seek.first; page && !writer->status; page = page->next)
        put(writer, page->entries, (size_t)page->count * SEEK_ENTRY_SIZE);
    return put(writer, footer, sizeof footer);
}

/* Closing header, table and trailer stand together in the last volume, with the seek table if it fits. */
static uint64_t end_size(const struct image_writer *writer, uint64_t more_rows, bool seek_table)
{
    uint64_t rows = writer->tally.rows + more_rows;
    uint64_t frames = writer->seek.frames + 4 + rows / TABLE_ROWS_MAX + 2 * more_rows;

    return writer->head_size + table_bytes(rows) + TRAILER_SIZE + (seek_table ? SEEK_TABLE_SIZE(frames) : 0);
}

static int place_end(struct image_writer *writer, bool *seek_table)
{
    uint64_t begin = LEAD_SIZE + writer->head_size;
    uint64_t left = writer->volume_limit > writer->volume_bytes ? writer->volume_limit - writer->volume_bytes : 0;

    *seek_table = !writer->seek.dropped;
    if (end_size(writer, 1, *seek_table) <= left)
        return 0;
    if (end_size(writer, 1, false) <= left) {
        *seek_table = false;
        return 0;
    }
    if (!writer->volume || end_size(writer, 2, false) > writer->volume_limit - begin)
        return writer_fail(writer, ERROR_NO_SPACE, "the segment table does not fit into a volume; make volumes bigger");
    if (end_size(writer, 2, *seek_table) > writer->volume_limit - begin)
        *seek_table = false;
    return next_volume(writer);
}

int output_end(struct image_writer *writer)
{
    uint8_t trailer[TRAILER_SIZE];
    bool seek_table;

    if (place_end(writer, &seek_table) || put_header(writer, HEAD_CLOSING) || put_table(writer))
        return writer->status;
    tally_seek_frame(&writer->tally, TRAILER_SIZE, 0);
    seek_table = seek_table && !writer->seek.dropped;
    trailer_build(trailer, &writer->tally, seek_table, writer->image_offset, &writer->chain);
    put(writer, trailer, sizeof trailer);
    if (seek_table)
        put_seek_table(writer);
    if (!writer->status)
        writer->status = stream_flush(writer->stream, &writer->error);
    if (!writer->status) {
        struct stream *stream = writer->stream;
        writer->stream = NULL;
        writer->status = stream_close(stream, &writer->error);
    }
    return writer->status;
}
