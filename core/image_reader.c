/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sequential reader: reads ahead, checks each index before its chunks, yields chunks in disk order. */
#include <string.h>

#include "core/image_reader.h"

static void produce(struct image_reader *reader);

int reader_fail(struct image_reader *reader, int status)
{
    if (!reader->status)
        reader->status = status;
    return reader->status;
}

/* --- batches --- */

/* Room for at least one chunk; no more than the whole disk can come to. */
static size_t batch_capacity(const struct image_reader *reader)
{
    const struct image_description *description = &reader->file.description;
    size_t chunk = chunk_stored_bound(description->chunk_size);
    uint64_t all = description->disk_bytes + description->disk_bytes / 16 + chunk;

    if (chunk > BATCH_SIZE)
        return chunk;
    return all < BATCH_SIZE ? (size_t)all : BATCH_SIZE;
}

static struct batch *take_batch(struct image_reader *reader)
{
    struct batch *batch = reader->free_batches;

    if (batch) {
        reader->free_batches = batch->next;
    } else {
        if (reader->batches == BATCHES_MAX)
            return NULL;
        size_t capacity = batch_capacity(reader);
        batch = platform_allocate(reader->loop->platform, sizeof *batch + capacity);
        if (!batch)
            return NULL;
        batch->capacity = capacity;
        reader->batches++;
    }
    batch->read = (struct source_read){0};
    batch->reader = reader;
    batch->next = NULL;
    batch->size = batch->at = 0;
    batch->holds = 1;
    batch->index = reader->index;
    index_hold(batch->index);
    return batch;
}

static void drop_batch(struct image_reader *reader, struct batch *batch)
{
    if (--batch->holds)
        return;
    index_release(batch->index);
    batch->index = NULL;
    batch->next = reader->free_batches;
    reader->free_batches = batch;
}

void image_reader_release(struct image_reader *reader, void *hold)
{
    if (!hold)
        return;
    drop_batch(reader, hold);
    produce(reader);
}

static void batch_done(struct source_read *read)
{
    struct batch *batch = read->context;

    produce(batch->reader);
}

/* How many of the next stored bytes fit into one batch: whole chunks, and any part of a run. Moves the walk. */
static size_t gather(struct image_reader *reader, size_t capacity)
{
    struct image_chunk chunk;
    size_t size = 0;

    while (size < capacity) {
        if (reader->run_left) {
            size_t part = reader->run_left < capacity - size ? (size_t)reader->run_left : capacity - size;
            size += part;
            reader->run_left -= part;
            continue;
        }
        if (!index_walk_peek(&reader->walk, &chunk))
            break;
        if (chunk_has_data(&chunk) && chunk.stored_size > capacity - size)
            break;
        index_walk_next(&reader->walk, &chunk);
        if (chunk_has_data(&chunk))
            size += chunk.stored_size;
        else
            reader->run_left = chunk.stored_size;
    }
    return size;
}

/* Asks for one batch. False: no memory free now, the stream is full, or all is asked for. */
static bool ask_for_batch(struct image_reader *reader)
{
    struct index_walk walk = reader->walk;
    uint64_t run_left = reader->run_left;
    struct batch *batch = take_batch(reader);

    if (!batch) {
        if (!reader->batches) {
            error_set(&reader->error, ERROR_NO_MEMORY, OPERATION_READ, reader->file.source.name, ERROR_NO_BLOCK,
                      "batch");
            reader_fail(reader, -ERROR_NO_MEMORY);
        }
        return false;
    }
    batch->size = gather(reader, batch->capacity);
    batch->offset = reader->batch_offset;
    batch->read.context = batch;
    int status = source_submit(&reader->file.source, &batch->read, batch->offset, batch->data, batch->size);
    if (status) {
        reader->walk = walk;
        reader->run_left = run_left;
        drop_batch(reader, batch);
        if (status != -ERROR_FULL) {
            error_set(&reader->error, (enum error_code) - status, OPERATION_READ, reader->file.source.name,
                      reader->batch_offset, "the image cannot be read");
            reader_fail(reader, status);
        }
        return false;
    }
    batch->read.done = batch_done;
    *reader->last = batch;
    reader->last = &batch->next;
    reader->batch_offset += batch->size;
    return true;
}

/* --- links --- */

void reader_begin_segment(struct image_reader *reader, struct image_index *index)
{
    reader->index = index;
    index_walk_begin(&reader->walk, index);
    reader->run_left = 0;
    reader->batch_offset = index->data_offset;
    reader->link_offset = index->data_offset + index->stored;
    reader->index_disk_offset = index->disk_offset + index->plain;
    reader->phase = PRODUCER_BATCHES;
}

static void link_done(struct source_read *read)
{
    produce(read->context);
}

/* Reads into memory of the producer's. False: not now. */
static bool read_link(struct image_reader *reader, enum producer_phase phase, uint64_t offset, void *data, size_t size)
{
    reader->link_read = (struct source_read){.context = reader};
    int status = source_submit(&reader->file.source, &reader->link_read, offset, data, size);

    if (status == -ERROR_BUSY) {
        reader->phase = PRODUCER_PARKED; /* the volume is opened where waiting is allowed */
        return true;
    }
    if (status) {
        if (status == -ERROR_FULL)
            return false;
        error_set(&reader->error, (enum error_code) - status, OPERATION_READ, reader->file.source.name, offset,
                  "the image cannot be read");
        reader_fail(reader, status);
        return false;
    }
    reader->link_read.done = link_done;
    reader->phase = phase;
    return true;
}

static bool begin_link(struct image_reader *reader)
{
    if (!reader->file.rows)
        return read_link(reader, PRODUCER_FRONT, reader->link_offset, reader->front, sizeof reader->front);
    while (reader->row < reader->file.row_count && reader->file.rows[reader->row].kind != ROW_SEGMENT)
        reader->row++;
    if (reader->row == reader->file.row_count) {
        reader->phase = PRODUCER_PARKED;
        return true;
    }
    const struct table_row *row = &reader->file.rows[reader->row];
    reader->link_offset = row->image_offset;
    if (!reader->index)
        reader->index = index_allocate(reader->loop->platform, row->frame);
    if (!reader->index) {
        error_set(&reader->error, ERROR_NO_MEMORY, OPERATION_READ, reader->file.source.name, ERROR_NO_BLOCK, "index");
        reader_fail(reader, -ERROR_NO_MEMORY);
        return false;
    }
    return read_link(reader, PRODUCER_INDEX, row->image_offset, reader->index->frame, row->frame);
}

/* Keeps what was read of a link that is none, for the consumer to look at. */
static void park_with(struct image_reader *reader, const void *bytes, size_t size)
{
    if (source_keep(&reader->file.source, reader->link_offset, bytes, size)) {
        error_set(&reader->error, ERROR_NO_MEMORY, OPERATION_READ, reader->file.source.name, ERROR_NO_BLOCK, "link");
        reader_fail(reader, -ERROR_NO_MEMORY);
    }
    index_release(reader->index);
    reader->index = NULL;
    reader->phase = PRODUCER_PARKED;
}

/* Without a table: an index has shown its size. */
static bool front_arrived(struct image_reader *reader)
{
    const struct source_read *read = &reader->link_read;
    uint64_t size = frame_claimed_size(reader->front);

    if (read->status || read->transferred < sizeof reader->front || !frame_has_tag(reader->front, TAG_INDEX) ||
        size < INDEX_ENTRIES + FRAME_HASH_SIZE || size > INDEX_SIZE_MAX) {
        park_with(reader, reader->front, read->transferred);
        return true;
    }
    if (!reader->index) {
        reader->index = index_allocate(reader->loop->platform, (size_t)size);
        if (!reader->index) {
            park_with(reader, reader->front, read->transferred);
            return true;
        }
        memcpy(reader->index->frame, reader->front, sizeof reader->front);
    }
    return read_link(reader, PRODUCER_INDEX, reader->link_offset + sizeof reader->front,
                     reader->index->frame + sizeof reader->front, (size_t)size - sizeof reader->front);
}

/* Without a table: the index follows the chain, and the totals are counted on the way. */
static int check_streamed_index(struct image_reader *reader, struct image_index *index)
{
    const struct image_file *file = &reader->file;
    struct image_chain chain = reader->chain;
    int status = frame_check(index->frame, index->size, TAG_INDEX, &chain, reader->link_offset, file->source.name,
                             &reader->error);

    if (!status)
        status = index_check(index, &file->description, reader->index_disk_offset, file->source.name,
                             reader->link_offset, &reader->error);
    if (status)
        return status;
    reader->chain = chain;
    tally_index(&reader->tally, index);
    return 0;
}

static bool index_arrived(struct image_reader *reader)
{
    const struct source_read *read = &reader->link_read;
    struct image_index *index = reader->index;
    const char *name = reader->file.source.name;
    size_t before = reader->file.rows ? 0 : sizeof reader->front;
    int status = read->status;

    if (status)
        error_set(&reader->error, (enum error_code) - status, OPERATION_READ, name, reader->link_offset,
                  "the image cannot be read");
    else if (read->transferred + before < index->size)
        status = error_set(&reader->error, ERROR_INCOMPLETE, OPERATION_READ, name, reader->link_offset,
                           "the image ends in the middle of an index");
    else if (reader->file.rows)
        status = file_check_index(&reader->file, reader->row, index, &reader->error);
    else
        status = check_streamed_index(reader, index);
    if (!status) {
        reader->row++;
        reader_begin_segment(reader, index);
        return true;
    }
    if (reader->mode == IMAGE_READ_SALVAGE)
        park_with(reader, index->frame, before + read->transferred);
    else
        reader_fail(reader, status);
    return true;
}

/* Does all that can be done without waiting. */
static void produce(struct image_reader *reader)
{
    bool moved = true;

    while (moved && !reader->status && !reader->paused) {
        moved = false;
        switch (reader->phase) {
        case PRODUCER_LINK:
            moved = begin_link(reader);
            break;
        case PRODUCER_FRONT:
            moved = reader->link_read.ended && front_arrived(reader);
            break;
        case PRODUCER_INDEX:
            moved = reader->link_read.ended && index_arrived(reader);
            break;
        case PRODUCER_BATCHES:
            if (reader->walk.entry < reader->index->entries || reader->run_left) {
                moved = ask_for_batch(reader);
            } else {
                index_release(reader->index);
                reader->index = NULL;
                reader->phase = PRODUCER_LINK;
                moved = true;
            }
            break;
        case PRODUCER_PARKED:
            break;
        }
    }
}

void image_reader_pause(struct image_reader *reader, bool paused)
{
    reader->paused = paused;
    produce(reader);
}

/* --- the consumer --- */

/* The producer waits and every batch has been yielded: go on from here. */
static int unpark(struct image_reader *reader)
{
    struct image_file *file = &reader->file;

    if (file->rows && reader->row == file->row_count)
        return -ERROR_END;
    reader->phase = PRODUCER_LINK;
    int status = source_prepare(&file->source, reader->link_offset, &reader->error);
    if (status)
        return reader_fail(reader, status);
    if (file->rows)
        return 0;
    status = reader->mode == IMAGE_READ_SALVAGE ? reader_salvage(reader) : reader_follow_link(reader);
    if (status && status != -ERROR_END)
        reader_fail(reader, status);
    return status;
}

static void pop_batch(struct image_reader *reader)
{
    struct batch *batch = reader->first;

    reader->first = batch->next;
    if (!reader->first)
        reader->last = &reader->first;
    drop_batch(reader, batch);
}

static void begin_yielding(struct image_reader *reader, struct image_index *index)
{
    index_release(reader->yielding);
    reader->yielding = index;
    index_hold(index);
    index_walk_begin(&reader->yield_walk, index);
    reader->run_at = 0;
}

/* Whether the batch arrived whole. */
static int batch_status(struct image_reader *reader, const struct batch *batch)
{
    const char *name = reader->file.source.name;

    if (batch->read.status)
        return error_set(&reader->error, (enum error_code) - batch->read.status, OPERATION_READ, name, batch->offset,
                         "the image cannot be read");
    if (batch->read.transferred < batch->size)
        return error_set(&reader->error, ERROR_INCOMPLETE, OPERATION_READ, name,
                         batch->offset + batch->read.transferred, "the image ends here, too early");
    return 0;
}

/* Salvage: a bad sector in a batch costs its chunk alone. What cannot be read becomes zeroes; the chunk's hash will tell. */
static void read_again(struct image_reader *reader, struct batch *batch)
{
    struct image_source *source = &reader->file.source;

    if (!source->can_seek || source_prepare(source, batch->offset, NULL))
        return;
    batch->read.status = 0;
    batch->read.transferred = source_read_around(source, batch->offset, batch->data, batch->size);
}

/* Whether the next `size` bytes of the batch are there. */
static bool bytes_there(const struct batch *batch, size_t size)
{
    return !batch->read.status && batch->at + size <= batch->read.transferred;
}

/*
 * Takes the next entry, or a piece of a run, from the batch. 1: a chunk to yield; 0: go on; negative: a run that is not what it has to
 * be.
 */
static int take_entry(struct image_reader *reader, struct batch *batch, struct image_chunk *chunk, void **hold)
{
    bool salvage = reader->mode == IMAGE_READ_SALVAGE;

    if (!index_walk_peek(&reader->yield_walk, chunk))
        return image_corrupt(&reader->error, reader->file.source.name, batch->offset, "more bytes than entries");
    if (chunk_has_data(chunk)) {
        bool there = bytes_there(batch, chunk->stored_size);
        chunk->stored = batch->data + batch->at;
        batch->at += chunk->stored_size;
        index_walk_next(&reader->yield_walk, &(struct image_chunk){0});
        if (there) {
            batch->holds++;
            *hold = batch;
        } else { /* salvage only: others have looked at the whole batch before */
            *chunk = (struct image_chunk){.kind = IMAGE_UNREADABLE, .length = chunk->length, .lost = true};
        }
        return 1;
    }
    uint64_t left = chunk->stored_size - reader->run_at;
    size_t part = left < batch->size - batch->at ? (size_t)left : batch->size - batch->at;
    if (!salvage && !zero_run_matches(&reader->zero, chunk->length, reader->run_at, batch->data + batch->at, part))
        return image_corrupt(&reader->error, reader->file.source.name, batch->offset + batch->at,
                             "a run of empty blocks is stored in a wrong form");
    batch->at += part;
    reader->run_at += part;
    if (reader->run_at < chunk->stored_size)
        return 0;
    reader->run_at = 0;
    index_walk_next(&reader->yield_walk, &(struct image_chunk){0});
    chunk->stored_size = 0;
    return 1;
}

/* Salvage: what is missing comes as a run, cut at the ends of regions. */
static void yield_lost(struct image_reader *reader, struct image_chunk *chunk)
{
    const struct image_description *description = &reader->file.description;
    const struct image_region *region = &description->regions[description_region(description, reader->disk_offset)];
    uint64_t end = region->offset + region->bytes;

    if (end > reader->lost_until)
        end = reader->lost_until;
    *chunk = (struct image_chunk){.kind = IMAGE_UNREADABLE, .length = end - reader->disk_offset, .lost = true};
}

static int next(struct image_reader *reader, struct image_chunk *chunk, void **hold)
{
    for (;;) {
        struct batch *batch = reader->first;
        if (reader->disk_offset < reader->lost_until) {
            yield_lost(reader, chunk);
            return 0;
        }
        produce(reader);
        if (!batch && (batch = reader->first) == NULL) {
            if (reader->status)
                return reader->status;
            if (reader->phase != PRODUCER_PARKED)
                return -ERROR_FULL;
            int status = unpark(reader);
            if (status)
                return status;
            continue;
        }
        if (!batch->read.ended)
            return -ERROR_FULL;
        int status = reader->mode == IMAGE_READ_SALVAGE ? 0 : batch_status(reader, batch);
        if (status)
            return reader_fail(reader, status);
        if (batch->read.status) /* salvage */
            read_again(reader, batch);
        if (batch->at == batch->size) {
            pop_batch(reader);
            continue;
        }
        if (reader->yielding != batch->index)
            begin_yielding(reader, batch->index);
        status = take_entry(reader, batch, chunk, hold);
        if (status < 0)
            return reader_fail(reader, status);
        if (status)
            return 0;
    }
}

int image_reader_next(struct image_reader *reader, struct image_chunk *chunk, uint64_t *disk_offset, void **hold,
                      struct error *error)
{
    int status;

    do {
        *hold = NULL;
        status = reader->final ? reader->final : next(reader, chunk, hold);
        if (status)
            break;
        *disk_offset = reader->disk_offset;
        reader->disk_offset += chunk->length;
        if (*disk_offset >= reader->skip_until)
            return 0;
        image_reader_release(reader, *hold);
    } while (true);
    *hold = NULL;
    if (status != -ERROR_FULL)
        reader->final = status;
    if (status != -ERROR_FULL && status != -ERROR_END && error)
        *error = reader->error;
    return status;
}

/* --- life --- */

static bool nothing_in_flight(void *context)
{
    struct image_reader *reader = context;

    for (struct batch *batch = reader->first; batch; batch = batch->next)
        if (!batch->read.ended)
            return false;
    return (reader->phase != PRODUCER_FRONT && reader->phase != PRODUCER_INDEX) || reader->link_read.ended;
}

/* Stops the producer where it is and drops what nobody holds. */
static void quiesce(struct image_reader *reader)
{
    for (struct batch *batch = reader->first; batch; batch = batch->next)
        batch->read.done = NULL;
    reader->link_read.done = NULL;
    loop_wait(reader->loop, nothing_in_flight, reader, UINT64_MAX);
    while (reader->first)
        pop_batch(reader);
    index_release(reader->yielding);
    index_release(reader->index);
    reader->yielding = reader->index = NULL;
}

int image_reader_open(struct loop *loop, struct stream_store *store, enum image_reader_mode mode,
                      struct image_reader **reader, struct error *error)
{
    *reader = NULL;
    struct image_reader *new = platform_allocate_zeroed(loop->platform, sizeof *new);

    if (!new)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, store->name, ERROR_NO_BLOCK, "image reader");
    new->loop = loop;
    new->mode = mode;
    new->last = &new->first;
    zero_frames_init(&new->zero);
    int status = file_open(loop, store, mode == IMAGE_READ_SALVAGE ? SOURCE_SALVAGE : 0, &new->file, error);
    if (!status && mode == IMAGE_READ_VERIFIED) {
        status = file_load_table(&new->file, error);
        if (!status)
            status = file_check_links(&new->file, error);
    }
    if (status) {
        image_reader_close(new);
        return status;
    }
    new->link_offset = LEAD_SIZE + new->file.head_size;
    new->chain = new->file.first_link;
    tally_init(&new->tally, new->file.description.disk_bytes);
    tally_begin(&new->tally, &new->file);
    if (mode == IMAGE_READ_VERIFIED) {
        new->totals = new->file.trailer.totals;
        new->totals_known = true;
    }
    *reader = new;
    return 0;
}

const struct image_description *image_reader_description(const struct image_reader *reader)
{
    return &reader->file.description;
}

bool image_reader_totals(const struct image_reader *reader, struct image_totals *totals)
{
    if (reader->totals_known)
        *totals = reader->totals;
    return reader->totals_known;
}

int image_reader_seek_region(struct image_reader *reader, unsigned region, struct error *error)
{
    const struct image_file *file = &reader->file;

    if (region >= file->description.region_count)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_READ, file->source.name, ERROR_NO_BLOCK, "no region %u",
                         region);
    if (!file->rows) {
        if (file->description.regions[region].offset < reader->disk_offset)
            return error_set(error, ERROR_UNSUPPORTED, OPERATION_READ, file->source.name, ERROR_NO_BLOCK,
                             "without its end, an image can only be read forwards");
        reader->skip_until = file->description.regions[region].offset;
        return 0;
    }
    quiesce(reader);
    reader->status = 0;
    reader->final = 0;
    reader->run_at = reader->run_left = 0;
    reader->phase = PRODUCER_LINK;
    for (reader->row = 0; reader->row < file->row_count; reader->row++)
        if (file->rows[reader->row].kind == ROW_SEGMENT && file->rows[reader->row].region >= region)
            break;
    reader->disk_offset = file->description.regions[region].offset;
    return 0;
}

uint64_t image_reader_consumed(const struct image_reader *reader)
{
    return reader->file.source.consumed;
}

size_t image_reader_memory(const struct image_reader *reader)
{
    return sizeof *reader + reader->batches * (sizeof(struct batch) + batch_capacity(reader)) +
           (size_t)reader->file.row_count * sizeof(struct table_row) + reader->file.source.kept_size;
}

void image_reader_close(struct image_reader *reader)
{
    if (!reader)
        return;
    quiesce(reader);
    while (reader->free_batches) {
        struct batch *batch = reader->free_batches;
        reader->free_batches = batch->next;
        platform_release(reader->loop->platform, batch);
    }
    file_close(&reader->file);
    platform_release(reader->loop->platform, reader);
}
