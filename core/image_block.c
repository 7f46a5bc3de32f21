/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image as a read-only disk. Opening reads header, trailer and segment table; indexes and chunks are read, checked and decoded when
 * they are asked for, and the last few are kept.
 *
 * Blocks without data read as zeroes, as `zstd -dc` gives them. One request is worked on at a time, and one read of the
 * image is on its way at the most.
 */
#include <stdio.h>
#include <string.h>

#include "core/block.h"
#include "core/image_internal.h"

#define CACHED_INDEXES 8u
#define CACHED_CHUNKS 8u /* policy: of 1 MiB each by default */
#define TRANSFER_MAX (1024u * 1024)

struct cached_index {
    struct image_index *index; /* NULL: free */
    uint64_t row, used;
};

struct cached_chunk {
    uint8_t *plain;                     /* chunk_size bytes, from the first use on */
    uint64_t disk_offset, length, used; /* length 0: free */
};

/* What the read on its way will become. */
enum image_disk_read { READ_NOTHING, READ_INDEX, READ_CHUNK };

struct image_disk {
    struct block_device device;
    struct image_file file;
    struct stream_store *store;
    struct chunk_codec *codec;
    struct block_request *first, **last; /* accepted */
    size_t done_bytes;                   /* of the first */
    uint64_t clock;
    struct cached_index indexes[CACHED_INDEXES];
    struct cached_chunk chunks[CACHED_CHUNKS];

    enum image_disk_read reading;
    struct source_read read;
    struct image_index *new_index;
    uint64_t new_row, new_offset;
    struct image_chunk new_chunk; /* map points into pending_index */
    struct image_index *pending_index;
    uint8_t *stored;
};

static struct image_disk *disk_of(struct block_device *device)
{
    return (struct image_disk *)((char *)device - offsetof(struct image_disk, device));
}

/* The row whose segment holds the byte: the last that begins at or before it (headers take no room on the disk). */
static uint64_t find_row(const struct image_file *file, uint64_t disk_offset)
{
    uint64_t low = 0, high = file->row_count;

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (file->rows[middle].disk_offset <= disk_offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static struct image_index *cached_index(struct image_disk *disk, uint64_t row)
{
    for (unsigned i = 0; i < CACHED_INDEXES; i++) {
        struct cached_index *cached = &disk->indexes[i];
        if (cached->index && cached->row == row) {
            cached->used = ++disk->clock;
            return cached->index;
        }
    }
    return NULL;
}

static void cache_index(struct image_disk *disk, uint64_t row, struct image_index *index)
{
    struct cached_index *oldest = &disk->indexes[0];

    for (unsigned i = 1; i < CACHED_INDEXES; i++)
        if (disk->indexes[i].used < oldest->used)
            oldest = &disk->indexes[i];
    index_release(oldest->index);
    *oldest = (struct cached_index){.index = index, .row = row, .used = ++disk->clock};
}

static struct cached_chunk *cached_chunk(struct image_disk *disk, uint64_t disk_offset)
{
    for (unsigned i = 0; i < CACHED_CHUNKS; i++) {
        struct cached_chunk *cached = &disk->chunks[i];
        if (cached->length && disk_offset >= cached->disk_offset &&
            disk_offset - cached->disk_offset < cached->length) {
            cached->used = ++disk->clock;
            return cached;
        }
    }
    return NULL;
}

/* --- reading the image --- */

/* Begins a read. -ERROR_FULL: the stream takes nothing now, try again at the next poll. */
static int begin_read(struct image_disk *disk, enum image_disk_read what, uint64_t offset, void *data, size_t size)
{
    disk->read = (struct source_read){0};
    int status = source_submit(&disk->file.source, &disk->read, offset, data, size);

    if (!status)
        disk->reading = what;
    return status;
}

static int begin_index(struct image_disk *disk, uint64_t row)
{
    const struct table_row *link = &disk->file.rows[row];

    disk->new_index = index_allocate(disk->file.platform, link->frame);
    if (!disk->new_index)
        return -ERROR_NO_MEMORY;
    disk->new_row = row;
    int status = begin_read(disk, READ_INDEX, link->image_offset, disk->new_index->frame, link->frame);
    if (status) {
        index_release(disk->new_index);
        disk->new_index = NULL;
    }
    return status;
}

static int begin_chunk(struct image_disk *disk, struct image_index *index, const struct image_chunk *chunk,
                       uint64_t disk_offset, uint64_t stored_offset)
{
    int status = begin_read(disk, READ_CHUNK, index->data_offset + stored_offset, disk->stored, chunk->stored_size);

    if (status)
        return status;
    disk->new_chunk = *chunk;
    disk->new_offset = disk_offset;
    disk->pending_index = index;
    index_hold(index);
    return 0;
}

static int index_arrived(struct image_disk *disk)
{
    struct image_index *index = disk->new_index;
    int status = disk->read.status;

    disk->new_index = NULL;
    if (!status && disk->read.transferred < index->size)
        status = -ERROR_INCOMPLETE;
    if (!status)
        status = file_check_index(&disk->file, disk->new_row, index, NULL);
    if (status)
        index_release(index);
    else
        cache_index(disk, disk->new_row, index);
    return status;
}

static int chunk_arrived(struct image_disk *disk)
{
    struct cached_chunk *oldest = &disk->chunks[0];
    int status = disk->read.status;

    for (unsigned i = 1; i < CACHED_CHUNKS; i++)
        if (disk->chunks[i].used < oldest->used)
            oldest = &disk->chunks[i];
    oldest->length = 0;
    if (!oldest->plain)
        oldest->plain = platform_allocate(disk->file.platform, disk->file.description.chunk_size);
    if (!oldest->plain)
        status = -ERROR_NO_MEMORY;
    if (!status && disk->read.transferred < disk->new_chunk.stored_size)
        status = -ERROR_INCOMPLETE;
    disk->new_chunk.stored = disk->stored;
    if (!status)
        status = chunk_decode(disk->codec, &disk->new_chunk, oldest->plain);
    index_release(disk->pending_index);
    disk->pending_index = NULL;
    if (status)
        return status;
    oldest->disk_offset = disk->new_offset;
    oldest->length = disk->new_chunk.length;
    oldest->used = ++disk->clock;
    return 0;
}

static int read_arrived(struct image_disk *disk)
{
    enum image_disk_read what = disk->reading;

    disk->reading = READ_NOTHING;
    return what == READ_INDEX ? index_arrived(disk) : chunk_arrived(disk);
}

/* --- requests --- */

/*
 * Copies from the disk offset what is at hand, at least one byte. The number of bytes; 0: a read was begun or must be begun later;
 * negative: an error.
 */
static int64_t copy_bytes(struct image_disk *disk, uint64_t disk_offset, uint8_t *to, size_t size)
{
    const struct cached_chunk *cached = cached_chunk(disk, disk_offset);
    struct image_chunk chunk;
    struct index_walk walk;
    int status;

    if (cached) {
        uint64_t inside = disk_offset - cached->disk_offset;
        size_t part = cached->length - inside < size ? (size_t)(cached->length - inside) : size;
        memcpy(to, cached->plain + inside, part);
        return (int64_t)part;
    }
    uint64_t row = find_row(&disk->file, disk_offset);
    struct image_index *index = cached_index(disk, row);
    if (!index) {
        status = begin_index(disk, row);
        return status == -ERROR_FULL ? 0 : status;
    }
    index_walk_begin(&walk, index);
    while (index_walk_peek(&walk, &chunk) && disk_offset - walk.disk_offset >= chunk.length)
        index_walk_next(&walk, &chunk);
    if (walk.entry == index->entries)
        return -ERROR_CORRUPT;
    if (chunk_has_data(&chunk)) {
        status = begin_chunk(disk, index, &chunk, walk.disk_offset, walk.stored_offset);
        return status == -ERROR_FULL ? 0 : status;
    }
    uint64_t left = chunk.length - (disk_offset - walk.disk_offset);
    size_t part = left < size ? (size_t)left : size;
    memset(to, 0, part);
    return (int64_t)part;
}

static void end_first(struct image_disk *disk, int status)
{
    struct block_request *request = disk->first;

    disk->first = request->driver_next;
    if (!disk->first)
        disk->last = &disk->first;
    disk->done_bytes = 0;
    block_complete(request, status, 0);
}

static int image_disk_submit(struct block_device *device, struct block_request *request)
{
    struct image_disk *disk = disk_of(device);

    *disk->last = request;
    disk->last = &request->driver_next;
    return 0;
}

static bool image_disk_poll(struct block_device *device)
{
    struct image_disk *disk = disk_of(device);
    bool happened = false;

    if (disk->reading) {
        if (!disk->read.ended)
            return false;
        int status = read_arrived(disk);
        happened = true;
        if (status && disk->first)
            end_first(disk, status);
    }
    while (disk->first && !disk->reading) {
        struct block_request *request = disk->first;
        uint32_t block = device->geometry.logical_block;
        size_t bytes = (size_t)(request->count * block);

        if (request->operation == BLOCK_FLUSH || disk->done_bytes == bytes) {
            end_first(disk, 0);
            happened = true;
            continue;
        }
        uint8_t *to = (uint8_t *)request->buffer->data + request->offset + disk->done_bytes;
        int64_t part = copy_bytes(disk, request->lba * block + disk->done_bytes, to, bytes - disk->done_bytes);
        if (part < 0)
            end_first(disk, (int)part);
        if (!part)
            break;
        disk->done_bytes += part < 0 ? 0 : (size_t)part;
        happened = true;
    }
    return happened;
}

/* The stream below does not answer. Its read goes on by itself; nobody waits for it any more. */
static void image_disk_reset(struct block_device *device)
{
    struct image_disk *disk = disk_of(device);

    while (disk->first)
        end_first(disk, -ERROR_ABORTED);
}

static bool nothing_on_its_way(void *context)
{
    struct image_disk *disk = context;

    return !disk->reading || disk->read.ended;
}

static void image_disk_free(struct image_disk *disk)
{
    struct platform *platform = disk->file.platform;

    loop_wait(disk->file.loop, nothing_on_its_way, disk, UINT64_MAX);
    for (unsigned i = 0; i < CACHED_INDEXES; i++)
        index_release(disk->indexes[i].index);
    for (unsigned i = 0; i < CACHED_CHUNKS; i++)
        platform_release(platform, disk->chunks[i].plain);
    index_release(disk->new_index);
    index_release(disk->pending_index);
    chunk_codec_destroy(disk->codec);
    platform_release(platform, disk->stored);
    file_close(&disk->file);
    if (disk->store && disk->store->close)
        disk->store->close(disk->store);
    platform_release(platform, disk);
}

static void image_disk_shutdown(struct block_device *device)
{
    image_disk_free(disk_of(device));
}

static void describe(struct image_disk *disk, struct loop *loop)
{
    static const struct block_device_ops ops = {
        .submit = image_disk_submit,
        .poll = image_disk_poll,
        .reset = image_disk_reset,
        .shutdown = image_disk_shutdown,
    };
    const struct image_description *description = &disk->file.description;
    struct block_device *device = &disk->device;

    device->ops = &ops;
    device->loop = loop;
    device->bus = BUS_IMAGE;
    device->read_only = true;
    device->geometry = (struct block_geometry){
        .logical_block = description->logical_block,
        .physical_block = description->physical_block,
        .block_count = description->disk_bytes / description->logical_block,
        .max_transfer = TRANSFER_MAX,
        .optimal_transfer = TRANSFER_MAX,
        .queue_depth = 4,
        .buffer_alignment = 2,
    };
    snprintf(device->name, sizeof device->name, "image:%.70s", disk->file.source.name);
    snprintf(device->driver, sizeof device->driver, "image");
    snprintf(device->model, sizeof device->model, "%s", description->model);
    snprintf(device->serial, sizeof device->serial, "%s", description->serial);
}

int image_block_open(struct loop *loop, struct stream_store *store, struct block_device **device, struct error *error)
{
    struct image_disk *disk = platform_allocate_zeroed(loop->platform, sizeof *disk);

    *device = NULL;
    if (!disk)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, store->name, ERROR_NO_BLOCK, "image");
    disk->last = &disk->first;
    int status = file_open(loop, store, SOURCE_KEEP_OPEN, &disk->file, error);
    if (status) {
        platform_release(loop->platform, disk);
        return status;
    }
    status = file_load_table(&disk->file, error);
    if (!status) {
        uint32_t chunk_size = disk->file.description.chunk_size;
        disk->codec = chunk_codec_create(loop->platform, chunk_size, 0);
        disk->stored = platform_allocate(loop->platform, chunk_stored_bound(chunk_size));
        if (!disk->codec || !disk->stored)
            status = error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, store->name, ERROR_NO_BLOCK, "image");
    }
    if (!status) {
        describe(disk, loop);
        status = block_device_start(&disk->device, error);
    }
    if (status) { /* the store stays the caller's */
        image_disk_free(disk);
        return status;
    }
    disk->store = store;
    *device = &disk->device;
    return 0;
}
