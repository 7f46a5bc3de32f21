/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading without a table: what stands between the segments (headers of volumes and sessions), and the end of the image, which is
 * compared with everything that came before it.
 */
#include <string.h>

#include "core/image_reader.h"

static int take_page(struct image_reader *reader, uint64_t first_row, blake3_hasher *hasher, unsigned *rows)
{
    struct image_file *file = &reader->file;
    uint8_t *frame;
    size_t size;
    int status = file_read_frame(file, reader->link_offset, &frame, &size, &reader->error);

    if (status)
        return status;
    uint64_t left = reader->tally.rows - first_row;
    *rows = left < TABLE_ROWS_MAX ? (unsigned)left : TABLE_ROWS_MAX;
    status =
        frame_check(frame, size, TAG_TABLE, &reader->chain, reader->link_offset, file->source.name, &reader->error);
    if (!status && (size != TABLE_SIZE(*rows) || load_le64(frame + TABLE_AT_FIRST_ROW) != first_row ||
                    load_le32(frame + TABLE_AT_ROWS) != *rows ||
                    !memory_is_zero(frame + TABLE_AT_RESERVED, TABLE_ROWS - TABLE_AT_RESERVED)))
        status = image_corrupt(&reader->error, file->source.name, reader->link_offset,
                               "a page of the segment table is wrong");
    if (!status)
        blake3_hasher_update(hasher, frame + TABLE_ROWS, (size_t)*rows * ROW_SIZE);
    platform_release(file->platform, frame);
    tally_seek_frame(&reader->tally, size, 0);
    reader->link_offset += size;
    return status;
}

/* Behind the closing header: pages, trailer, seek table, nothing. */
static int take_end(struct image_reader *reader)
{
    struct image_file *file = &reader->file;
    const char *name = file->source.name;
    uint8_t trailer[TRAILER_SIZE], hash[IMAGE_HASH_SIZE];
    blake3_hasher hasher;
    unsigned rows;
    int status;

    blake3_hasher_init(&hasher);
    for (uint64_t row = 0; row < reader->tally.rows; row += rows) {
        status = take_page(reader, row, &hasher, &rows);
        if (status)
            return status;
    }
    uint64_t offset = reader->link_offset;
    status = source_read_exactly(&file->source, offset, trailer, sizeof trailer, &reader->error);
    if (!status)
        status = frame_check(trailer, sizeof trailer, TAG_TRAILER, &reader->chain, offset, name, &reader->error);
    if (!status)
        status = trailer_parse(trailer, &file->trailer, name, offset, &reader->error);
    if (!status)
        status = trailer_compare(&file->trailer, &reader->tally, name, offset, &reader->error);
    if (status)
        return status;
    blake3_hasher_finalize(&hasher, hash, sizeof hash);
    if (memcmp(hash, file->trailer.table_hash, sizeof hash))
        return image_corrupt(&reader->error, name, offset, "the segment table is not that of the trailer");
    tally_seek_frame(&reader->tally, TRAILER_SIZE, 0);
    status = file_check_seek_table(file, &file->trailer, offset, &reader->tally, &reader->error);
    if (status)
        return status;
    reader->totals = file->trailer.totals;
    reader->totals_known = true;
    return -ERROR_END;
}

/* The leading frame of a further volume, if there is one. */
static int skip_lead(struct image_reader *reader, bool *lead)
{
    uint8_t bytes[LEAD_SIZE];
    int status = source_read_exactly(&reader->file.source, reader->link_offset, bytes, sizeof bytes, &reader->error);

    *lead = !status && !memcmp(bytes, lead_frame, LEAD_SIZE);
    return status;
}

int reader_follow_link(struct image_reader *reader)
{
    struct image_file *file = &reader->file;
    const char *name = file->source.name;
    unsigned kind = 0;
    uint8_t *frame;
    size_t size;
    bool lead;
    int status = skip_lead(reader, &lead);

    if (status)
        return status;
    uint64_t offset = reader->link_offset + (lead ? LEAD_SIZE : 0);
    status = file_read_frame(file, offset, &frame, &size, &reader->error);
    if (status)
        return status;
    status = file_check_header(file, frame, size, offset, &reader->chain, &kind, &reader->error);
    if (!status && lead != (kind == HEAD_VOLUME))
        status = image_corrupt(&reader->error, name, offset, "a header of the wrong kind");
    if (!status) {
        tally_header(&reader->tally, kind, load_le32(frame + HEAD_AT_VOLUME), size, reader->chain.last);
        if (!file_volume_right(file, frame, reader->tally.totals.volumes))
            status = image_corrupt(&reader->error, name, offset, "a header of another volume");
    }
    platform_release(file->platform, frame);
    if (status)
        return status;
    if (kind == HEAD_CLOSING && reader->index_disk_offset != file->description.disk_bytes)
        return image_corrupt(&reader->error, name, offset, "the image ends before the disk does");
    reader->link_offset = offset + size;
    return kind == HEAD_CLOSING ? take_end(reader) : 0;
}
