/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of links, the trailer, the seek table: docs/image-format.md, sections 7, 8 and 10. */
#include <string.h>

#include "core/image_internal.h"

void row_store(uint8_t *bytes, const struct image_row *row)
{
    memcpy(bytes + ROW_AT_HASH, row->hash, IMAGE_HASH_SIZE);
    store_le64(bytes + ROW_AT_PLAIN, row->plain);
    store_le32(bytes + ROW_AT_STORED, row->stored);
    store_le32(bytes + ROW_AT_FRAME, row->frame);
    store_le32(bytes + ROW_AT_ENTRIES, row->entries);
    store_le32(bytes + ROW_AT_REGION, row->region);
    store_le32(bytes + ROW_AT_KIND, row->kind);
    store_le32(bytes + ROW_AT_RESERVED, 0);
}

int row_load(const uint8_t *bytes, struct image_row *row)
{
    memcpy(row->hash, bytes + ROW_AT_HASH, IMAGE_HASH_SIZE);
    row->plain = load_le64(bytes + ROW_AT_PLAIN);
    row->stored = load_le32(bytes + ROW_AT_STORED);
    row->frame = load_le32(bytes + ROW_AT_FRAME);
    row->entries = load_le32(bytes + ROW_AT_ENTRIES);
    row->region = load_le32(bytes + ROW_AT_REGION);
    row->kind = load_le32(bytes + ROW_AT_KIND);
    bool segment = row->kind == ROW_SEGMENT;
    bool header = row->kind >= HEAD_VOLUME && row->kind <= HEAD_CLOSING;
    uint32_t frame_max = segment ? INDEX_SIZE_MAX : HEAD_SIZE_MAX;

    if ((!segment && !header) || load_le32(bytes + ROW_AT_RESERVED) || row->frame < FRAME_SIZE_MIN ||
        row->frame > frame_max || row->stored < row->frame || (header && (row->plain || row->region)) ||
        (segment && (!row->plain || row->stored - row->frame > SEGMENT_STORED_BOUND)) ||
        (header && row->stored - row->frame != (row->kind == HEAD_VOLUME ? LEAD_SIZE : 0u)))
        return -ERROR_CORRUPT;
    return 0;
}

uint64_t table_bytes(uint64_t rows)
{
    uint64_t pages = (rows + TABLE_ROWS_MAX - 1) / TABLE_ROWS_MAX;

    return rows * ROW_SIZE + pages * TABLE_SIZE(0);
}

void tally_init(struct image_tally *tally, uint64_t disk_bytes)
{
    *tally = (struct image_tally){.totals = {.disk_bytes = disk_bytes}};
    blake3_hasher_init(&tally->table);
    blake3_hasher_init(&tally->seek);
}

static void tally_row(struct image_tally *tally, const struct image_row *row)
{
    uint8_t bytes[ROW_SIZE];

    row_store(bytes, row);
    if (tally->row)
        memcpy(tally->row, bytes, sizeof bytes);
    blake3_hasher_update(&tally->table, bytes, sizeof bytes);
    memcpy(tally->last_link, row->hash, IMAGE_HASH_SIZE);
    tally->rows++;
}

void seek_store_free(struct seek_store *store)
{
    while (store->first) {
        struct seek_page *page = store->first;
        store->first = page->next;
        platform_release(store->platform, page);
    }
    store->last = NULL;
    store->frames = 0;
}

static void seek_store_add(struct seek_store *store, const uint8_t bytes[SEEK_ENTRY_SIZE])
{
    if (store->dropped)
        return;
    if (!store->last || store->last->count == SEEK_PAGE_ENTRIES) {
        struct seek_page *page = NULL;
        if ((store->frames + SEEK_PAGE_ENTRIES) * SEEK_ENTRY_SIZE <= SEEK_STORE_MAX)
            page = platform_allocate(store->platform, sizeof *page);
        if (!page) {
            seek_store_free(store);
            store->dropped = true;
            return;
        }
        page->next = NULL;
        page->count = 0;
        if (store->last)
            store->last->next = page;
        else
            store->first = page;
        store->last = page;
    }
    memcpy(store->last->entries + store->last->count++ * SEEK_ENTRY_SIZE, bytes, SEEK_ENTRY_SIZE);
    store->frames++;
}

void tally_header(struct image_tally *tally, unsigned kind, unsigned volume, size_t size, const uint8_t *hash)
{
    struct image_row row = {.kind = kind, .frame = (uint32_t)size, .stored = (uint32_t)size, .entries = volume};

    if (kind == HEAD_VOLUME) {
        row.stored += LEAD_SIZE;
        tally_seek_frame(tally, LEAD_SIZE, 0);
        tally->totals.volumes++;
    }
    memcpy(row.hash, hash, IMAGE_HASH_SIZE);
    tally_row(tally, &row);
    tally_seek_frame(tally, size, 0);
}

void tally_seek_frame(struct image_tally *tally, uint64_t stored, uint64_t plain)
{
    uint8_t bytes[SEEK_ENTRY_SIZE];

    store_le32(bytes, (uint32_t)stored);
    store_le32(bytes + 4, (uint32_t)plain);
    blake3_hasher_update(&tally->seek, bytes, sizeof bytes);
    tally->seek_frames++;
    if (tally->store)
        seek_store_add(tally->store, bytes);
}

static void tally_run_frames(struct image_tally *tally, uint64_t length)
{
    for (; length >= ZERO_FRAME_PLAIN; length -= ZERO_FRAME_PLAIN)
        tally_seek_frame(tally, ZERO_FRAME_SIZE, ZERO_FRAME_PLAIN);
    if (length)
        tally_seek_frame(tally, zero_frame_size(length), length);
}

void tally_index(struct image_tally *tally, const struct image_index *index)
{
    struct image_totals *totals = &tally->totals;
    struct image_row row = {
        .kind = ROW_SEGMENT,
        .plain = index->plain,
        .stored = (uint32_t)(index->size + index->stored),
        .frame = (uint32_t)index->size,
        .entries = index->entries,
        .region = index->region,
    };
    struct index_walk walk;
    struct image_chunk chunk;

    memcpy(row.hash, index->frame + index->size - FRAME_HASH_SIZE, IMAGE_HASH_SIZE);
    tally_row(tally, &row);
    totals->segments++;
    tally_seek_frame(tally, index->size, 0);
    for (index_walk_begin(&walk, index); index_walk_next(&walk, &chunk);) {
        if (chunk_has_data(&chunk)) {
            totals->chunks++;
            totals->data_bytes += chunk.length;
            totals->lost_bytes += (uint64_t)chunk.lost_pieces * IMAGE_PIECE;
            tally_seek_frame(tally, chunk.stored_size, chunk.length);
            continue;
        }
        if (chunk.kind == IMAGE_ZERO)
            totals->zero_bytes += chunk.length;
        else if (chunk.kind == IMAGE_UNUSED)
            totals->unused_bytes += chunk.length;
        else
            totals->unreadable_bytes += chunk.length;
        tally_run_frames(tally, chunk.length);
    }
}

static void root_compute(const uint8_t *trailer, uint8_t root[IMAGE_HASH_SIZE])
{
    static const uint8_t domain[8] = "EIDROOT";
    blake3_hasher hasher;

    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, domain, sizeof domain);
    blake3_hasher_update(&hasher, trailer + TRAILER_AT_LAST_LINK, TRAILER_AT_ROOT - TRAILER_AT_LAST_LINK);
    blake3_hasher_finalize(&hasher, root, IMAGE_HASH_SIZE);
}

void trailer_build(uint8_t *frame, struct image_tally *tally, bool seek_table, uint64_t offset,
                   struct image_chain *chain)
{
    struct image_totals *totals = &tally->totals;
    uint64_t seek_frames = seek_table ? tally->seek_frames : 0;

    totals->stored_bytes = offset + TRAILER_SIZE + (seek_table ? SEEK_TABLE_SIZE(seek_frames) : 0);
    memset(frame, 0, TRAILER_SIZE);
    frame_begin(frame, TAG_TRAILER, chain, offset);
    memcpy(frame + TRAILER_AT_LAST_LINK, tally->last_link, IMAGE_HASH_SIZE);
    memcpy(frame + TRAILER_AT_HEAD_HASH, tally->head_hash, IMAGE_HASH_SIZE);
    blake3_hasher_finalize(&tally->table, frame + TRAILER_AT_TABLE_HASH, IMAGE_HASH_SIZE);
    store_le64(frame + TRAILER_AT_DISK, totals->disk_bytes);
    store_le64(frame + TRAILER_AT_DATA, totals->data_bytes);
    store_le64(frame + TRAILER_AT_ZERO, totals->zero_bytes);
    store_le64(frame + TRAILER_AT_UNUSED, totals->unused_bytes);
    store_le64(frame + TRAILER_AT_UNREADABLE, totals->unreadable_bytes);
    store_le64(frame + TRAILER_AT_IMAGE_BYTES, totals->stored_bytes);
    store_le64(frame + TRAILER_AT_CHUNKS, totals->chunks);
    store_le64(frame + TRAILER_AT_SEGMENTS, totals->segments);
    store_le64(frame + TRAILER_AT_ROWS, tally->rows);
    store_le64(frame + TRAILER_AT_TABLE_BYTES, table_bytes(tally->rows));
    store_le64(frame + TRAILER_AT_SEEK_FRAMES, seek_frames);
    store_le32(frame + TRAILER_AT_VOLUMES, totals->volumes);
    root_compute(frame, totals->root);
    memcpy(frame + TRAILER_AT_ROOT, totals->root, IMAGE_HASH_SIZE);
    frame_seal(frame, TRAILER_SIZE, chain);
}

int trailer_parse(const uint8_t *frame, struct image_trailer *trailer, const char *name, uint64_t offset,
                  struct error *error)
{
    uint8_t root[IMAGE_HASH_SIZE];

    *trailer = (struct image_trailer){
        .totals = {.disk_bytes = load_le64(frame + TRAILER_AT_DISK),
                   .data_bytes = load_le64(frame + TRAILER_AT_DATA),
                   .zero_bytes = load_le64(frame + TRAILER_AT_ZERO),
                   .unused_bytes = load_le64(frame + TRAILER_AT_UNUSED),
                   .unreadable_bytes = load_le64(frame + TRAILER_AT_UNREADABLE),
                   .stored_bytes = load_le64(frame + TRAILER_AT_IMAGE_BYTES),
                   .chunks = load_le64(frame + TRAILER_AT_CHUNKS),
                   .segments = load_le64(frame + TRAILER_AT_SEGMENTS),
                   .volumes = load_le32(frame + TRAILER_AT_VOLUMES)},
        .rows = load_le64(frame + TRAILER_AT_ROWS),
        .table_bytes = load_le64(frame + TRAILER_AT_TABLE_BYTES),
        .seek_frames = load_le64(frame + TRAILER_AT_SEEK_FRAMES),
    };
    memcpy(trailer->last_link, frame + TRAILER_AT_LAST_LINK, IMAGE_HASH_SIZE);
    memcpy(trailer->head_hash, frame + TRAILER_AT_HEAD_HASH, IMAGE_HASH_SIZE);
    memcpy(trailer->table_hash, frame + TRAILER_AT_TABLE_HASH, IMAGE_HASH_SIZE);
    memcpy(trailer->totals.root, frame + TRAILER_AT_ROOT, IMAGE_HASH_SIZE);
    root_compute(frame, root);
    if (memcmp(root, trailer->totals.root, sizeof root))
        return image_corrupt(error, name, offset, "the root hash is not that of the trailer");
    if (!trailer->rows || trailer->rows > ROWS_MAX || trailer->table_bytes != table_bytes(trailer->rows) ||
        trailer->seek_frames > SEEK_FRAMES_MAX || trailer->totals.volumes > VOLUMES_MAX ||
        load_le64(frame + TRAILER_AT_IN_PARENT) || load_le32(frame + TRAILER_AT_FLAGS) ||
        !memory_is_zero(frame + TRAILER_AT_RESERVED, TRAILER_SIZE - FRAME_HASH_SIZE - TRAILER_AT_RESERVED))
        return image_corrupt(error, name, offset, "the trailer is wrong");
    uint64_t after = offset + TRAILER_SIZE + (trailer->seek_frames ? SEEK_TABLE_SIZE(trailer->seek_frames) : 0);
    if (trailer->totals.stored_bytes != after || trailer->table_bytes > offset)
        return image_corrupt(error, name, offset, "the trailer's sizes are wrong");
    return 0;
}

int trailer_compare(const struct image_trailer *trailer, const struct image_tally *tally, const char *name,
                    uint64_t offset, struct error *error)
{
    const struct image_totals *said = &trailer->totals;
    const struct image_totals *seen = &tally->totals;
    uint8_t hash[IMAGE_HASH_SIZE];

    blake3_hasher_finalize(&tally->table, hash, sizeof hash);
    if (trailer->rows != tally->rows || memcmp(hash, trailer->table_hash, sizeof hash) ||
        memcmp(tally->last_link, trailer->last_link, IMAGE_HASH_SIZE) ||
        memcmp(tally->head_hash, trailer->head_hash, IMAGE_HASH_SIZE))
        return image_corrupt(error, name, offset, "the trailer belongs to other segments");
    if (said->disk_bytes != seen->disk_bytes || said->data_bytes != seen->data_bytes ||
        said->zero_bytes != seen->zero_bytes || said->unused_bytes != seen->unused_bytes ||
        said->unreadable_bytes != seen->unreadable_bytes || said->chunks != seen->chunks ||
        said->segments != seen->segments || said->volumes != seen->volumes)
        return image_corrupt(error, name, offset, "the trailer's totals are wrong");
    return 0;
}

void seek_table_ends(uint64_t frames, uint8_t header[FRAME_SKIP_HEADER], uint8_t footer[SEEK_FOOTER_SIZE])
{
    store_le32(header, SEEK_MAGIC);
    store_le32(header + 4, (uint32_t)(SEEK_TABLE_SIZE(frames) - FRAME_SKIP_HEADER));
    store_le32(footer, (uint32_t)frames);
    footer[4] = 0; /* no checksums */
    store_le32(footer + 5, SEEK_FOOTER_MAGIC);
}
