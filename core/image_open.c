/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an image: the header from the front, trailer and segment table from the end, and every link between them.
 *
 * docs/image-format.md, section 11, says in which order a reader checks what.
 */
#include <string.h>

#include "core/image_internal.h"

#define LINKS_AHEAD 8u /* indexes being read while one is checked */
#define SEEK_PIECE (64u * 1024)
#define FULL_LIMIT (120 * NANOSECONDS_PER_SECOND) /* policy: requests have deadlines that are shorter */
#define FULL_PAUSE NANOSECONDS_PER_MILLISECOND

int file_read_frame(struct image_file *file, uint64_t offset, uint8_t **frame, size_t *size, struct error *error)
{
    uint8_t front[FRAME_SIZE_MIN];
    int status = source_read_exactly(&file->source, offset, front, sizeof front, error);

    *frame = NULL;
    if (status)
        return status;
    uint64_t claimed = frame_claimed_size(front);
    if (claimed < FRAME_SIZE_MIN || claimed > INDEX_SIZE_MAX)
        return image_corrupt(error, file->source.name, offset, "no frame of an image here");
    uint8_t *whole = platform_allocate(file->platform, (size_t)claimed);
    if (!whole)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_READ, file->source.name, offset, "frame");
    memcpy(whole, front, sizeof front);
    status = source_read_exactly(&file->source, offset + sizeof front, whole + sizeof front,
                                 (size_t)claimed - sizeof front, error);
    if (status) {
        platform_release(file->platform, whole);
        return status;
    }
    *frame = whole;
    *size = (size_t)claimed;
    return 0;
}

int file_take_head(struct image_file *file, uint8_t *frame, size_t size, uint64_t offset, struct error *error)
{
    const char *name = file->source.name;

    /* The one before was whole, but not at its place. */
    image_description_free(&file->description);
    platform_release(file->platform, file->head);
    file->head = frame;
    file->head_size = size;
    memcpy(file->first_link.uuid, frame + FRAME_AT_UUID, 16);
    memcpy(file->first_link.session, frame + FRAME_AT_SESSION, 16);
    int status = frame_check(frame, size, TAG_HEAD, &file->first_link, offset, name, error);
    return status ? status : header_parse(file->platform, frame, size, &file->description, name, error);
}

/* The leading frame and the first header. */
static int read_head(struct image_file *file, struct error *error)
{
    const char *name = file->source.name;
    uint8_t lead[LEAD_SIZE], *frame;
    size_t size;
    int status = source_read_exactly(&file->source, 0, lead, sizeof lead, error);

    if (status == -ERROR_INCOMPLETE)
        return image_corrupt(error, name, 0, "this is no Eidolon image");
    if (status)
        return status;
    bool stopped = !memcmp(lead, stop_frame, LEAD_SIZE);
    if (!stopped && memcmp(lead, lead_frame, LEAD_SIZE))
        return image_corrupt(error, name, 0, "this is no Eidolon image");
    status = file_read_frame(file, LEAD_SIZE, &frame, &size, error);
    if (status)
        return status;
    status = file_take_head(file, frame, size, LEAD_SIZE, error);
    if (status)
        return status;
    if (load_le32(file->head + HEAD_AT_KIND) != HEAD_FIRST || load_le32(file->head + HEAD_AT_VOLUME) > 1 || stopped)
        return image_corrupt(error, name, LEAD_SIZE, "the image begins with the wrong frame");
    return 0;
}

int file_open(struct loop *loop, struct stream_store *store, unsigned flags, struct image_file *file,
              struct error *error)
{
    *file = (struct image_file){.loop = loop, .platform = loop->platform};
    int status = source_open(loop, store, flags, &file->source, error);

    if (!status)
        status = read_head(file, error);
    if (status && (flags & SOURCE_SALVAGE) && file->source.can_seek && status != -ERROR_UNSUPPORTED &&
        status != -ERROR_NO_MEMORY) {
        int found = salvage_find_head(file, error);
        if (found != -ERROR_NOT_FOUND)
            status = found;
    }
    if (status)
        file_close(file);
    return status;
}

void file_close(struct image_file *file)
{
    if (!file->platform)
        return;
    source_close(&file->source);
    image_description_free(&file->description);
    platform_release(file->platform, file->head);
    platform_release(file->platform, file->rows);
    platform_release(file->platform, file->sessions);
    *file = (struct image_file){0};
}

/* --- the end: trailer and table --- */

/* Where the trailer begins: in front of the seek table if there is one, else at the very end. */
static int find_trailer(struct image_file *file, uint64_t *offset, struct error *error)
{
    uint64_t size = file->source.size;
    uint64_t least = LEAD_SIZE + file->head_size + TRAILER_SIZE;
    uint8_t footer[SEEK_FOOTER_SIZE];

    if (size >= least) {
        int status = source_read_exactly(&file->source, size - sizeof footer, footer, sizeof footer, error);
        if (status)
            return status;
        *offset = size - TRAILER_SIZE;
        uint64_t frames = load_le32(footer);
        if (load_le32(footer + 5) != SEEK_FOOTER_MAGIC)
            return 0;
        if (SEEK_TABLE_SIZE(frames) <= size - least) {
            *offset -= SEEK_TABLE_SIZE(frames);
            return 0;
        }
    }
    return error_set(error, ERROR_INCOMPLETE, OPERATION_OPEN, file->source.name, ERROR_NO_BLOCK,
                     "the image has no end (%llu bytes in %u volumes are there)", (unsigned long long)size,
                     file->source.count);
}

static int read_trailer(struct image_file *file, uint8_t frame[TRAILER_SIZE], struct error *error)
{
    struct image_chain any = file->first_link;
    const char *name = file->source.name;
    int status = find_trailer(file, &file->trailer_offset, error);

    if (!status)
        status = source_read_exactly(&file->source, file->trailer_offset, frame, TRAILER_SIZE, error);
    if (status)
        return status;
    if (frame_claimed_size(frame) != TRAILER_SIZE || !frame_has_tag(frame, TAG_TRAILER))
        return error_set(error, ERROR_INCOMPLETE, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "the image has no end (%llu bytes in %u volumes are there)",
                         (unsigned long long)file->source.size, file->source.count);
    any.free = true;
    memcpy(any.session, frame + FRAME_AT_SESSION, 16);
    status = frame_check(frame, TRAILER_SIZE, TAG_TRAILER, &any, file->trailer_offset, name, error);
    if (!status)
        status = trailer_parse(frame, &file->trailer, name, file->trailer_offset, error);
    if (status)
        return status;
    if (file->trailer.totals.stored_bytes != file->source.size ||
        file->trailer.totals.disk_bytes != file->description.disk_bytes ||
        memcmp(file->trailer.head_hash, file->first_link.last, IMAGE_HASH_SIZE))
        return image_corrupt(error, name, file->trailer_offset, "header and trailer do not belong together");
    return 0;
}

/* Takes the rows of one page; they have to tile image and disk. */
static int take_rows(struct image_file *file, const uint8_t *bytes, unsigned count, uint64_t *image_offset,
                     uint64_t *disk_offset, blake3_hasher *hasher)
{
    struct image_row row;

    blake3_hasher_update(hasher, bytes, (size_t)count * ROW_SIZE);
    for (; count; count--, bytes += ROW_SIZE) {
        if (row_load(bytes, &row))
            return -ERROR_CORRUPT;
        bool last = file->row_count + 1 == file->trailer.rows;
        if ((row.kind == HEAD_CLOSING) != last || row.plain > file->description.disk_bytes - *disk_offset ||
            (row.kind == ROW_SEGMENT && description_region(&file->description, *disk_offset) != row.region))
            return -ERROR_CORRUPT;
        struct table_row *to = &file->rows[file->row_count++];
        *to = (struct table_row){
            .disk_offset = *disk_offset,
            .image_offset = *image_offset,
            .stored = row.stored,
            .frame = row.frame,
            .region = row.region,
            .kind = (uint8_t)row.kind,
        };
        memcpy(to->hash, row.hash, IMAGE_HASH_SIZE);
        *disk_offset += row.plain;
        *image_offset += row.stored;
    }
    return 0;
}

static int read_page(struct image_file *file, uint64_t offset, struct image_chain *chain, uint64_t first_row,
                     uint8_t *frame, struct error *error)
{
    const char *name = file->source.name;
    uint64_t left = file->trailer.rows - first_row;
    unsigned rows = left < TABLE_ROWS_MAX ? (unsigned)left : TABLE_ROWS_MAX;
    int status = source_read_exactly(&file->source, offset, frame, TABLE_SIZE(rows), error);

    if (!status)
        status = frame_check(frame, TABLE_SIZE(rows), TAG_TABLE, chain, offset, name, error);
    if (status)
        return status;
    if (load_le64(frame + TABLE_AT_FIRST_ROW) != first_row || load_le32(frame + TABLE_AT_ROWS) != rows ||
        !memory_is_zero(frame + TABLE_AT_RESERVED, TABLE_ROWS - TABLE_AT_RESERVED))
        return image_corrupt(error, name, offset, "a page of the segment table is wrong");
    return 0;
}

/* All pages, then the trailer once more as the link after them. */
static int read_pages(struct image_file *file, const uint8_t *trailer, uint8_t *page, struct error *error)
{
    const char *name = file->source.name;
    struct image_chain chain = file->first_link;
    uint64_t offset = file->trailer_offset - file->trailer.table_bytes;
    uint64_t image_offset = LEAD_SIZE + file->head_size, disk_offset = 0;
    uint8_t hash[IMAGE_HASH_SIZE];
    blake3_hasher hasher;

    blake3_hasher_init(&hasher);
    chain.sequence = (uint32_t)file->trailer.rows + 1;
    memcpy(chain.session, trailer + FRAME_AT_SESSION, 16);
    memcpy(chain.last, file->trailer.last_link, FRAME_HASH_SIZE);
    while (file->row_count < file->trailer.rows) {
        uint64_t first_row = file->row_count;
        int status = read_page(file, offset, &chain, first_row, page, error);
        if (status)
            return status;
        unsigned rows = load_le32(page + TABLE_AT_ROWS);
        if (take_rows(file, page + TABLE_ROWS, rows, &image_offset, &disk_offset, &hasher))
            return image_corrupt(error, name, offset, "a row of the segment table is wrong");
        offset += TABLE_SIZE(rows);
    }
    int status = frame_check(trailer, TRAILER_SIZE, TAG_TRAILER, &chain, file->trailer_offset, name, error);
    if (status)
        return status;
    blake3_hasher_finalize(&hasher, hash, sizeof hash);
    if (memcmp(hash, file->trailer.table_hash, sizeof hash) ||
        memcmp(file->rows[file->row_count - 1].hash, file->trailer.last_link, IMAGE_HASH_SIZE) ||
        image_offset != file->trailer_offset - file->trailer.table_bytes || disk_offset != file->description.disk_bytes)
        return image_corrupt(error, name, file->trailer_offset, "the segment table is not that of the trailer");
    return 0;
}

/* Headers of later sessions bring IDs of their own; the segments behind them bear these. */
static int load_sessions(struct image_file *file, const uint8_t *trailer, struct error *error)
{
    uint8_t front[FRAME_BODY];

    memcpy(file->sessions[0], file->first_link.session, 16);
    file->session_count = 1;
    for (uint64_t i = 0; i < file->row_count; i++) {
        struct table_row *row = &file->rows[i];
        if (row->kind == HEAD_SESSION) {
            if (file->session_count == SESSIONS_MAX)
                return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, file->source.name, row->image_offset,
                                 "the image was continued too often");
            int status = source_read_exactly(&file->source, row->image_offset, front, sizeof front, error);
            if (status)
                return status;
            memcpy(file->sessions[file->session_count++], front + FRAME_AT_SESSION, 16);
        }
        row->session = (uint16_t)(file->session_count - 1);
    }
    if (memcmp(file->sessions[file->session_count - 1], trailer + FRAME_AT_SESSION, 16))
        return image_corrupt(error, file->source.name, file->trailer_offset, "the trailer belongs to another session");
    return 0;
}

int file_load_table(struct image_file *file, struct error *error)
{
    uint8_t trailer[TRAILER_SIZE];
    const char *name = file->source.name;

    if (!file->source.can_seek)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "a pipe cannot be read from its end");
    int status = read_trailer(file, trailer, error);
    if (status)
        return status;
    uint8_t *page = platform_allocate(file->platform, TABLE_SIZE(TABLE_ROWS_MAX));
    file->rows = platform_allocate(file->platform, (size_t)file->trailer.rows * sizeof *file->rows);
    file->sessions = platform_allocate(file->platform, SESSIONS_MAX * sizeof *file->sessions);
    if (page && file->rows && file->sessions)
        status = read_pages(file, trailer, page, error);
    else
        status = error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, name, ERROR_NO_BLOCK, "segment table");
    platform_release(file->platform, page);
    return status ? status : load_sessions(file, trailer, error);
}

/* --- everything in between --- */

/* The chain as it stands before the link of a row. */
static struct image_chain chain_before(const struct image_file *file, uint64_t row)
{
    struct image_chain chain = file->first_link;

    chain.sequence = (uint32_t)row + 1;
    memcpy(chain.session, file->sessions[file->rows[row].session], 16);
    if (row)
        memcpy(chain.last, file->rows[row - 1].hash, FRAME_HASH_SIZE);
    return chain;
}

int file_check_index(const struct image_file *file, uint64_t number, struct image_index *index, struct error *error)
{
    const struct table_row *row = &file->rows[number];
    struct image_chain chain = chain_before(file, number);
    const char *name = file->source.name;
    int status = frame_check(index->frame, index->size, TAG_INDEX, &chain, row->image_offset, name, error);

    if (status)
        return status;
    if (memcmp(chain.last, row->hash, IMAGE_HASH_SIZE))
        return image_corrupt(error, name, row->image_offset, "the index is not the one in the segment table");
    status = index_check(index, &file->description, row->disk_offset, name, row->image_offset, error);
    if (!status && (index->region != row->region || index->stored != row->stored - row->frame))
        status = image_corrupt(error, name, row->image_offset, "the index does not fit the segment table");
    return status;
}

int file_check_header(const struct image_file *file, const uint8_t *frame, size_t size, uint64_t offset,
                      struct image_chain *chain, unsigned *kind, struct error *error)
{
    const char *name = file->source.name;

    if (size < HEAD_AT_VALUES + FRAME_HASH_SIZE)
        return image_corrupt(error, name, offset, "a header is too short");
    *kind = load_le32(frame + HEAD_AT_KIND);
    if (*kind < HEAD_VOLUME || *kind > HEAD_CLOSING)
        return image_corrupt(error, name, offset, "a header of the wrong kind");
    if (*kind == HEAD_SESSION)
        memcpy(chain->session, frame + FRAME_AT_SESSION, 16);
    int status = frame_check(frame, size, TAG_HEAD, chain, offset, name, error);
    if (!status && !header_repeats(file->head, file->head_size, frame, size))
        status = image_corrupt(error, name, offset, "a header differs from the first");
    return status;
}

bool file_volume_right(const struct image_file *file, const uint8_t *frame, unsigned volumes)
{
    uint32_t first = load_le32(file->head + HEAD_AT_VOLUME);

    return first <= 1 && (first || volumes == 1) && load_le32(frame + HEAD_AT_VOLUME) == first + volumes - 1;
}

/* A header row, with the leading frame of a volume before it. */
static int check_header_row(struct image_file *file, uint64_t number, struct image_tally *tally, struct error *error)
{
    const struct table_row *row = &file->rows[number];
    struct image_chain chain = chain_before(file, number);
    uint64_t offset = row->image_offset;
    uint8_t lead[LEAD_SIZE], *frame;
    unsigned kind = 0;
    size_t size;

    if (row->kind == HEAD_VOLUME) {
        int status = source_read_exactly(&file->source, offset, lead, sizeof lead, error);
        if (status)
            return status;
        if (memcmp(lead, lead_frame, LEAD_SIZE))
            return image_corrupt(error, file->source.name, offset, "a volume begins with the wrong frame");
        offset += LEAD_SIZE;
    }
    int status = file_read_frame(file, offset, &frame, &size, error);
    if (status)
        return status;
    status = file_check_header(file, frame, size, offset, &chain, &kind, error);
    if (!status)
        tally_header(tally, kind, load_le32(frame + HEAD_AT_VOLUME), size, chain.last);
    if (!status && (kind != row->kind || size != row->frame || memcmp(chain.last, row->hash, IMAGE_HASH_SIZE) ||
                    !file_volume_right(file, frame, tally->totals.volumes)))
        status = image_corrupt(error, file->source.name, offset, "a header does not fit the segment table");
    platform_release(file->platform, frame);
    return status;
}

/* Indexes on their way, in order. */
struct link_ring {
    struct image_file *file;
    struct {
        struct source_read read;
        struct image_index *index;
    } slots[LINKS_AHEAD];
    uint64_t next, first; /* rows: to be read, to be checked */
};

/* Reads ahead as far as slots and open volumes allow. */
static int ring_fill(struct link_ring *ring, struct error *error)
{
    struct image_file *file = ring->file;

    for (; ring->next < file->row_count && ring->next - ring->first < LINKS_AHEAD; ring->next++) {
        const struct table_row *row = &file->rows[ring->next];
        unsigned slot = ring->next % LINKS_AHEAD;

        ring->slots[slot].index = NULL;
        if (row->kind != ROW_SEGMENT)
            continue;
        int status = source_prepare(&file->source, row->image_offset, error);
        if (status)
            return status;
        struct image_index *index = index_allocate(file->platform, row->frame);
        if (!index)
            return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, file->source.name, row->image_offset, "index");
        ring->slots[slot].read = (struct source_read){0};
        status = source_submit(&file->source, &ring->slots[slot].read, row->image_offset, index->frame, index->size);
        if (status) {
            index_release(index);
            return status == -ERROR_FULL ? 0
                                         : error_set(error, (enum error_code) - status, OPERATION_READ,
                                                     file->source.name, row->image_offset, "the image cannot be read");
        }
        ring->slots[slot].index = index;
    }
    return 0;
}

static int ring_take(struct link_ring *ring, struct image_index **index, struct error *error)
{
    struct image_file *file = ring->file;
    unsigned slot = ring->first % LINKS_AHEAD;
    const struct table_row *row = &file->rows[ring->first];
    struct source_read *read = &ring->slots[slot].read;

    *index = ring->slots[slot].index;
    ring->slots[slot].index = NULL;
    loop_wait_flag(file->loop, &read->ended, UINT64_MAX);
    if (read->status)
        return error_set(error, (enum error_code) - read->status, OPERATION_READ, file->source.name, row->image_offset,
                         "the image cannot be read");
    if (read->transferred != row->frame)
        return image_corrupt(error, file->source.name, row->image_offset, "a volume ends in the middle of a segment");
    return file_check_index(file, ring->first, *index, error);
}

/* The stream is full of other people's requests: they end, or it is dead. The loop runs meanwhile, on a fiber too. */
static int ring_wait(struct link_ring *ring, struct error *error)
{
    struct image_file *file = ring->file;
    uint64_t deadline = deadline_after(file->platform, FULL_LIMIT);

    while (ring->next <= ring->first) {
        if (platform_now(file->platform) > deadline)
            return error_set(error, ERROR_TIMEOUT, OPERATION_READ, file->source.name,
                             file->rows[ring->first].image_offset, "nothing of the image can be read");
        loop_delay(file->loop, FULL_PAUSE);
        int status = ring_fill(ring, error);
        if (status)
            return status;
    }
    return 0;
}

static int check_rows(struct image_file *file, struct link_ring *ring, struct image_tally *tally, struct error *error)
{
    int status = 0;

    for (; ring->first < file->row_count && !status; ring->first++) {
        const struct table_row *row = &file->rows[ring->first];
        struct image_index *index = NULL;

        status = ring_fill(ring, error);
        if (!status && ring->next <= ring->first)
            status = ring_wait(ring, error);
        if (status)
            break;
        if (row->kind == ROW_SEGMENT) {
            status = ring_take(ring, &index, error);
            if (!status)
                tally_index(tally, index);
            index_release(index);
        } else {
            status = check_header_row(file, ring->first, tally, error);
        }
    }
    return status;
}

static void ring_free(struct link_ring *ring)
{
    for (uint64_t i = ring->first; i < ring->next; i++) {
        unsigned slot = i % LINKS_AHEAD;
        if (!ring->slots[slot].index)
            continue;
        loop_wait_flag(ring->file->loop, &ring->slots[slot].read.ended, UINT64_MAX);
        index_release(ring->slots[slot].index);
    }
}

int file_check_seek_table(struct image_file *file, const struct image_trailer *trailer, uint64_t trailer_offset,
                          struct image_tally *tally, struct error *error)
{
    uint8_t header[FRAME_SKIP_HEADER], footer[SEEK_FOOTER_SIZE], said[SEEK_FOOTER_SIZE], hash[2][IMAGE_HASH_SIZE];
    uint64_t offset = trailer_offset + TRAILER_SIZE;
    uint64_t left = trailer->seek_frames * SEEK_ENTRY_SIZE;
    size_t transferred;
    blake3_hasher hasher;
    int status;

    if (trailer->seek_frames) {
        uint8_t *piece = platform_allocate(file->platform, SEEK_PIECE);
        if (!piece)
            return error_set(error, ERROR_NO_MEMORY, OPERATION_VERIFY, file->source.name, offset, "seek table");
        seek_table_ends(trailer->seek_frames, header, footer);
        blake3_hasher_init(&hasher);
        status = source_read_exactly(&file->source, offset, said, sizeof header, error);
        bool same = !status && !memcmp(said, header, sizeof header);
        offset += sizeof header;
        while (left && !status) {
            size_t part = left < SEEK_PIECE ? (size_t)left : SEEK_PIECE;
            status = source_read_exactly(&file->source, offset, piece, part, error);
            blake3_hasher_update(&hasher, piece, part);
            offset += part;
            left -= part;
        }
        platform_release(file->platform, piece);
        if (!status)
            status = source_read_exactly(&file->source, offset, said, sizeof footer, error);
        if (status)
            return status;
        offset += sizeof footer;
        blake3_hasher_finalize(&hasher, hash[0], IMAGE_HASH_SIZE);
        blake3_hasher_finalize(&tally->seek, hash[1], IMAGE_HASH_SIZE);
        if (!same || memcmp(said, footer, sizeof footer) || memcmp(hash[0], hash[1], IMAGE_HASH_SIZE) ||
            tally->seek_frames != trailer->seek_frames)
            return image_corrupt(error, file->source.name, offset, "the seek table does not tell where the frames are");
    }
    status = source_read(&file->source, offset, said, 1, &transferred, error);
    if (!status && transferred)
        status = image_corrupt(error, file->source.name, offset, "bytes follow the end of the image");
    return status;
}

/* The pages of the table, and the trailer, as frames. */
static void tally_end_frames(const struct image_file *file, struct image_tally *tally)
{
    for (uint64_t rows = file->row_count; rows;) {
        uint64_t page = rows < TABLE_ROWS_MAX ? rows : TABLE_ROWS_MAX;
        tally_seek_frame(tally, TABLE_SIZE(page), 0);
        rows -= page;
    }
    tally_seek_frame(tally, TRAILER_SIZE, 0);
}

void tally_begin(struct image_tally *tally, const struct image_file *file)
{
    tally->totals.volumes = 1;
    memcpy(tally->head_hash, file->first_link.last, IMAGE_HASH_SIZE);
    tally_seek_frame(tally, LEAD_SIZE, 0);
    tally_seek_frame(tally, file->head_size, 0);
}

int file_check_links(struct image_file *file, struct error *error)
{
    struct link_ring ring = {.file = file};
    struct image_tally tally;

    tally_init(&tally, file->description.disk_bytes);
    tally_begin(&tally, file);
    int status = check_rows(file, &ring, &tally, error);
    ring_free(&ring);
    if (status)
        return status;
    status = trailer_compare(&file->trailer, &tally, file->source.name, file->trailer_offset, error);
    if (status)
        return status;
    tally_end_frames(file, &tally);
    return file_check_seek_table(file, &file->trailer, file->trailer_offset, &tally, error);
}
