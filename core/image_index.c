/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The index of a segment: docs/image-format.md, section 5. */
#include <string.h>

#include "core/image_internal.h"

struct image_index *index_allocate(struct platform *platform, size_t size)
{
    struct image_index *index = platform_allocate(platform, sizeof *index + size);

    if (index)
        *index = (struct image_index){.platform = platform, .holds = 1, .size = size};
    return index;
}

void index_hold(struct image_index *index)
{
    index->holds++;
}

void index_release(struct image_index *index)
{
    if (index && !--index->holds)
        platform_release(index->platform, index);
}

unsigned entry_kind(enum image_chunk_kind kind)
{
    switch (kind) {
    case IMAGE_DATA:
        return ENTRY_DATA;
    case IMAGE_PARTIAL:
        return ENTRY_PARTIAL;
    case IMAGE_ZERO:
        return ENTRY_ZERO;
    case IMAGE_UNUSED:
        return ENTRY_UNUSED;
    default:
        return ENTRY_UNREADABLE;
    }
}

static bool kind_load(unsigned number, enum image_chunk_kind *kind)
{
    switch (number) {
    case ENTRY_DATA:
        *kind = IMAGE_DATA;
        return true;
    case ENTRY_PARTIAL:
        *kind = IMAGE_PARTIAL;
        return true;
    case ENTRY_ZERO:
        *kind = IMAGE_ZERO;
        return true;
    case ENTRY_UNUSED:
        *kind = IMAGE_UNUSED;
        return true;
    case ENTRY_UNREADABLE:
        *kind = IMAGE_UNREADABLE;
        return true;
    default:
        return false;
    }
}

void index_walk_begin(struct index_walk *walk, const struct image_index *index)
{
    *walk = (struct index_walk){.index = index, .disk_offset = index->disk_offset};
}

bool index_walk_peek(const struct index_walk *walk, struct image_chunk *chunk)
{
    const struct image_index *index = walk->index;

    if (walk->entry >= index->entries)
        return false;
    const uint8_t *entry = index->frame + INDEX_ENTRIES + (size_t)walk->entry * ENTRY_SIZE;
    const uint8_t *maps = index->frame + INDEX_ENTRIES + (size_t)index->entries * ENTRY_SIZE;
    *chunk = (struct image_chunk){
        .length = load_le64(entry + ENTRY_AT_LENGTH),
        .stored_size = load_le32(entry + ENTRY_AT_STORED),
        .lost_pieces = load_le16(entry + ENTRY_AT_LOST_PIECES),
    };
    if (!kind_load(entry[ENTRY_AT_KIND], &chunk->kind))
        return false;
    memcpy(chunk->hash, entry + ENTRY_AT_HASH, IMAGE_HASH_SIZE);
    memcpy(chunk->stored_hash, entry + ENTRY_AT_STORED_HASH, IMAGE_HASH_SIZE);
    if (chunk->kind == IMAGE_PARTIAL)
        chunk->map = maps + walk->map_offset;
    return true;
}

bool index_walk_next(struct index_walk *walk, struct image_chunk *chunk)
{
    if (!index_walk_peek(walk, chunk))
        return false;
    walk->entry++;
    walk->disk_offset += chunk->length;
    walk->stored_offset += chunk->stored_size;
    if (chunk->kind == IMAGE_PARTIAL)
        walk->map_offset += (uint32_t)entry_map_bytes(chunk->length);
    return true;
}

/* Bits behind the last piece are zero. */
static bool map_tail_is_zero(const uint8_t *map, uint64_t length)
{
    unsigned pieces = (unsigned)((length + IMAGE_PIECE - 1) / IMAGE_PIECE);

    return !(pieces % 8) || !(map[pieces / 8] >> (pieces % 8));
}

/* A data chunk is one cell of the region's grid. */
static bool data_entry_right(const struct image_chunk *chunk, const struct image_description *description,
                             const struct image_region *region, uint64_t inside)
{
    uint64_t left = region->bytes - inside;
    uint64_t cell = left < description->chunk_size ? left : description->chunk_size;

    return inside % description->chunk_size == 0 && chunk->length == cell && chunk->stored_size &&
           chunk->stored_size <= stored_size_bound(chunk->length) &&
           chunk->lost_pieces <= (chunk->length + IMAGE_PIECE - 1) / IMAGE_PIECE;
}

static bool run_entry_right(const struct image_chunk *chunk, const struct image_description *description,
                            const struct image_region *region, uint64_t inside)
{
    return chunk->length && chunk->length <= region->bytes - inside && !chunk->lost_pieces &&
           chunk->length % description->logical_block == 0 && chunk->stored_size == zero_run_size(chunk->length) &&
           memory_is_zero(chunk->hash, IMAGE_HASH_SIZE) && memory_is_zero(chunk->stored_hash, IMAGE_HASH_SIZE);
}

/* Goes through the entries; false at the first that is wrong. */
static bool entries_right(const struct image_index *index, const struct image_description *description, unsigned *wrong)
{
    const struct image_region *region = &description->regions[index->region];
    struct index_walk walk;
    struct image_chunk chunk;
    uint64_t data_plain = 0;

    for (index_walk_begin(&walk, index); walk.entry < index->entries;) {
        uint64_t inside = walk.disk_offset - region->offset;
        const uint8_t *entry = index->frame + INDEX_ENTRIES + (size_t)walk.entry * ENTRY_SIZE;
        uint64_t length = load_le64(entry + ENTRY_AT_LENGTH);

        *wrong = walk.entry;
        if (entry[ENTRY_AT_RESERVED] || inside >= region->bytes || length > region->bytes - inside ||
            (entry[ENTRY_AT_KIND] == ENTRY_PARTIAL &&
             (length > description->chunk_size || entry_map_bytes(length) > index->map_bytes - walk.map_offset)))
            return false;
        if (!index_walk_next(&walk, &chunk))
            return false;
        if (chunk_has_data(&chunk) ? !data_entry_right(&chunk, description, region, inside)
                                   : !run_entry_right(&chunk, description, region, inside))
            return false;
        if (chunk.kind == IMAGE_PARTIAL && !map_tail_is_zero(chunk.map, chunk.length))
            return false;
        if (chunk_has_data(&chunk))
            data_plain += chunk.length;
        if (walk.stored_offset > SEGMENT_STORED_BOUND || data_plain > SEGMENT_PLAIN_MAX)
            return false;
    }
    return walk.disk_offset - index->disk_offset == index->plain && walk.stored_offset == index->stored &&
           walk.map_offset == index->map_bytes;
}

int index_check(struct image_index *index, const struct image_description *description, uint64_t disk_offset,
                const char *name, uint64_t offset, struct error *error)
{
    const uint8_t *frame = index->frame;
    unsigned wrong = 0;

    if (index->size < INDEX_ENTRIES + FRAME_HASH_SIZE)
        return image_corrupt(error, name, offset, "the index is too short");
    index->disk_offset = load_le64(frame + INDEX_AT_DISK_OFFSET);
    index->plain = load_le64(frame + INDEX_AT_PLAIN);
    index->stored = load_le64(frame + INDEX_AT_STORED);
    index->region = load_le32(frame + INDEX_AT_REGION);
    index->entries = load_le32(frame + INDEX_AT_ENTRIES);
    index->map_bytes = load_le32(frame + INDEX_AT_MAP_BYTES);
    index->data_offset = offset + index->size;
    if (!index->entries || index->entries > INDEX_ENTRIES_MAX || index->map_bytes > INDEX_MAP_BYTES_MAX ||
        index->size != INDEX_ENTRIES + (size_t)index->entries * ENTRY_SIZE + index->map_bytes + FRAME_HASH_SIZE ||
        load_le32(frame + INDEX_AT_FLAGS) || load_le64(frame + INDEX_AT_RESERVED))
        return image_corrupt(error, name, offset, "the index's length is wrong");
    if (disk_offset != UINT64_MAX && index->disk_offset != disk_offset)
        return image_corrupt(error, name, offset, "the index stands for another part of the disk");
    if (index->region >= description->region_count ||
        description_region(description, index->disk_offset) != index->region)
        return image_corrupt(error, name, offset, "the index names the wrong region");
    if (!entries_right(index, description, &wrong))
        return image_corrupt(error, name, offset, "entry %u of the index is wrong", wrong);
    return 0;
}
