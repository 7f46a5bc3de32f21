/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After damage: finds the next whole segment.
 *
 * A frame is believed only when its hash is right, it bears the image's UUID and session, and it names the very place where it was found:
 * so neither an image stored inside the image nor the leftovers of an earlier attempt are taken for a part of this one.
 */
#include <string.h>

#include "core/image_reader.h"

#define SCAN_PIECE (256u * 1024)
#define SCAN_WINDOW ((size_t)INDEX_SIZE_MAX + 2 * SCAN_PIECE) /* any own frame fits into it whole */
#define SCAN_HEAD_AT_END (64ULL * 1024 * 1024)

/* A window that moves through the image. */
struct scan {
    struct image_source *source;
    uint8_t *window;
    uint64_t offset; /* image offset of the window's first byte */
    size_t capacity;
    size_t size, at; /* bytes in it; where the search stands, never behind them */
};

static int scan_begin(struct scan *scan, struct image_source *source, uint64_t offset, struct error *error)
{
    uint64_t all = source->size == UINT64_MAX ? SCAN_WINDOW : source->size + 2 * SCAN_PIECE;

    *scan = (struct scan){.source = source, .offset = offset};
    scan->capacity = all < SCAN_WINDOW ? (size_t)all : SCAN_WINDOW;
    scan->window = platform_allocate(source->loop->platform, scan->capacity);
    if (scan->window)
        return 0;
    return error_set(error, ERROR_NO_MEMORY, OPERATION_READ, source->name, offset, "search window");
}

static void scan_end(struct scan *scan)
{
    platform_release(scan->source->loop->platform, scan->window);
}

/* Reads a piece more; false at the end of the volume. Bytes that cannot be read count as zeroes. */
static bool scan_more(struct scan *scan)
{
    struct image_source *source = scan->source;
    uint64_t offset = scan->offset + scan->size;
    size_t transferred = 0;

    int status = source_read(source, offset, scan->window + scan->size, SCAN_PIECE, &transferred, NULL);
    if (status && source->can_seek)
        transferred = source_read_around(source, offset, scan->window + scan->size, SCAN_PIECE);
    scan->size += transferred;
    return transferred;
}

/* Makes `size` bytes at the search's place available, if the volume has them. */
static bool scan_have(struct scan *scan, size_t size)
{
    while (scan->size - scan->at < size) {
        if (scan->size + SCAN_PIECE > scan->capacity) {
            memmove(scan->window, scan->window + scan->at, scan->size - scan->at);
            scan->offset += scan->at;
            scan->size -= scan->at;
            scan->at = 0;
        }
        if (!scan_more(scan))
            return false;
    }
    return true;
}

/* Goes over a gap where volumes are missing or cut. */
static bool scan_jump(struct scan *scan)
{
    /* Reads go on from one volume into the next: where they give nothing at all, the volume that begins there is empty. */
    uint64_t from = scan->offset + scan->size + (scan->size == 0);
    uint64_t next = scan->source->can_seek ? source_next_volume(scan->source, from) : UINT64_MAX;

    if (next == UINT64_MAX)
        return false;
    scan->offset = next;
    scan->size = scan->at = 0;
    return true;
}

static bool frame_hash_right(const uint8_t *frame, size_t size)
{
    uint8_t hash[FRAME_HASH_SIZE];

    image_hash(frame, size - FRAME_HASH_SIZE, hash);
    return !memcmp(hash, frame + size - FRAME_HASH_SIZE, sizeof hash);
}

/* Whether a whole frame that names this very place, and (unless NULL) this image, stands where the search is. */
static bool frame_here(struct scan *scan, const uint8_t *uuid, size_t *size)
{
    const uint8_t *frame = scan->window + scan->at;
    uint64_t claimed = frame_claimed_size(frame);

    if (claimed < FRAME_SIZE_MIN || claimed > INDEX_SIZE_MAX ||
        load_le64(frame + FRAME_AT_OFFSET) != scan->offset + scan->at ||
        (uuid && memcmp(frame + FRAME_AT_UUID, uuid, 16)) || !scan_have(scan, (size_t)claimed))
        return false;
    *size = (size_t)claimed;
    return frame_hash_right(scan->window + scan->at, *size);
}

/* Finds the next such frame; the search stands on it then. */
static bool scan_next(struct scan *scan, const uint8_t *uuid, size_t *size)
{
    for (;;) {
        while (scan_have(scan, FRAME_SIZE_MIN)) {
            size_t last = scan->size - FRAME_SIZE_MIN; /* where a frame could begin at the latest */
            const uint8_t *found = memchr(scan->window + scan->at, FRAME_MAGIC & 0xFF, last - scan->at + 1);
            scan->at = found ? (size_t)(found - scan->window) : last + 1;
            if (found && frame_here(scan, uuid, size))
                return true;
            if (found)
                scan->at++;
        }
        if (!scan_jump(scan))
            return false;
    }
}

/* --- the header --- */

static int find_head_from(struct image_file *file, uint64_t offset, struct error *error)
{
    struct scan scan;
    size_t size;
    int status = scan_begin(&scan, &file->source, offset, error);

    if (status)
        return status;
    status = -ERROR_NOT_FOUND;
    for (; status == -ERROR_NOT_FOUND && scan_next(&scan, NULL, &size); scan.at++) {
        const uint8_t *found = scan.window + scan.at;
        if (!frame_has_tag(found, TAG_HEAD))
            continue;
        uint8_t *frame = platform_allocate(file->platform, size);
        if (!frame) {
            status = -ERROR_NO_MEMORY;
            break;
        }
        memcpy(frame, found, size);
        file->first_link = (struct image_chain){.free = true};
        if (!file_take_head(file, frame, size, scan.offset + scan.at, error))
            status = 0;
    }
    scan_end(&scan);
    return status;
}

int salvage_find_head(struct image_file *file, struct error *error)
{
    uint64_t size = file->source.size;
    struct error ignored;
    int status = -ERROR_NOT_FOUND;

    /* The closing header stands near the end; else one of a volume may be anywhere. */
    if (size > SCAN_HEAD_AT_END)
        status = find_head_from(file, size - SCAN_HEAD_AT_END, &ignored);
    if (status)
        status = find_head_from(file, 0, &ignored);
    if (!status)
        file->first_link.free = true;
    if (!status || status == -ERROR_NOT_FOUND)
        return status;
    return error_set(error, (enum error_code) - status, OPERATION_OPEN, file->source.name, ERROR_NO_BLOCK, "header");
}

/* --- segments --- */

/* A whole index of this image, further on than what has been yielded: reading goes on with it. */
static bool take_index(struct image_reader *reader, struct scan *scan, size_t size)
{
    struct image_file *file = &reader->file;
    const uint8_t *frame = scan->window + scan->at;
    uint64_t offset = scan->offset + scan->at;
    struct image_chain chain = reader->chain;
    struct image_index *index = index_allocate(file->platform, size);

    if (!index)
        return false;
    memcpy(index->frame, frame, size);
    chain.free = true;
    if (frame_check(frame, size, TAG_INDEX, &chain, offset, file->source.name, NULL) ||
        index_check(index, &file->description, UINT64_MAX, file->source.name, offset, NULL) ||
        index->disk_offset < reader->index_disk_offset) {
        index_release(index);
        return false;
    }
    reader->chain = chain;
    reader->chain.free = true;
    reader->lost_until = index->disk_offset;
    reader_begin_segment(reader, index);
    return true;
}

/* Headers of further sessions say which frames belong to the image from here on. */
static void take_header(struct image_reader *reader, const uint8_t *frame, size_t size, uint64_t offset)
{
    struct image_chain chain = reader->chain;
    unsigned kind;

    chain.free = true;
    if (!file_check_header(&reader->file, frame, size, offset, &chain, &kind, NULL))
        reader->chain = chain;
    reader->chain.free = true;
}

int reader_salvage(struct image_reader *reader)
{
    struct image_file *file = &reader->file;
    struct scan scan;
    size_t size;

    if (reader->salvage_ended)
        return -ERROR_END;
    int status = scan_begin(&scan, &file->source, reader->link_offset, &reader->error);
    if (status)
        return status;
    bool found = false;
    for (; !found && scan_next(&scan, reader->chain.uuid, &size); scan.at += found ? size : 1) {
        const uint8_t *frame = scan.window + scan.at;
        if (frame_has_tag(frame, TAG_INDEX))
            found = take_index(reader, &scan, size);
        else if (frame_has_tag(frame, TAG_HEAD))
            take_header(reader, frame, size, scan.offset + scan.at);
    }
    if (found && !file->source.can_seek &&
        source_keep(&file->source, scan.offset + scan.at, scan.window + scan.at, scan.size - scan.at))
        status =
            error_set(&reader->error, ERROR_NO_MEMORY, OPERATION_READ, file->source.name, scan.offset, "kept bytes");
    if (!found) {
        reader->salvage_ended = true;
        reader->lost_until = file->description.disk_bytes;
        reader->phase = PRODUCER_PARKED;
    }
    scan_end(&scan);
    return status;
}
