/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header and what it describes: docs/image-format.md, section 4. */
#include <stdio.h>
#include <string.h>

#include "core/image_internal.h"

#define CHUNKS_WANTED (1ULL << 23) /* policy: more than this, and the chunk size doubles */
#define TEXT_VALUE_MAX 700

void image_description_free(struct image_description *description)
{
    if (!description->platform)
        return;
    platform_release(description->platform, description->regions);
    platform_release(description->platform, description->table_head);
    platform_release(description->platform, description->table_tail);
    description->regions = NULL;
    description->table_head = description->table_tail = NULL;
    description->region_count = 0;
    description->table_head_size = description->table_tail_size = 0;
}

uint32_t image_chunk_size(uint64_t used_bytes, uint32_t wanted)
{
    uint32_t size = wanted ? wanted : IMAGE_CHUNK_DEFAULT;

    if (size < IMAGE_CHUNK_MIN)
        size = IMAGE_CHUNK_MIN;
    if (size > IMAGE_CHUNK_MAX)
        size = IMAGE_CHUNK_MAX;
    while (size & (size - 1)) /* down to a power of two */
        size &= size - 1;
    while (size < IMAGE_CHUNK_MAX && used_bytes / size > CHUNKS_WANTED)
        size *= 2;
    return size;
}

static bool power_of_two(uint32_t value)
{
    return value && !(value & (value - 1));
}

int description_check(const struct image_description *description, const char *name, struct error *error)
{
    uint64_t at = 0;

    if (!description->disk_bytes || description->disk_bytes > IMAGE_DISK_BYTES_MAX)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "a disk of %llu bytes cannot be",
                             (unsigned long long)description->disk_bytes);
    if (!power_of_two(description->logical_block) || description->logical_block < 512 ||
        description->logical_block > 65536 || description->disk_bytes % description->logical_block)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "logical blocks of %u bytes cannot be",
                             (unsigned)description->logical_block);
    if (!power_of_two(description->physical_block) || description->physical_block < description->logical_block)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "physical blocks of %u bytes cannot be",
                             (unsigned)description->physical_block);
    if (!power_of_two(description->chunk_size) || description->chunk_size < IMAGE_CHUNK_MIN ||
        description->chunk_size > IMAGE_CHUNK_MAX)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "chunks of %u bytes cannot be",
                             (unsigned)description->chunk_size);
    if (!description->region_count || description->region_count > IMAGE_REGIONS_MAX ||
        (description->is_partition && description->region_count != 1))
        return image_corrupt(error, name, ERROR_NO_BLOCK, "%u regions cannot be", description->region_count);
    for (unsigned i = 0; i < description->region_count; i++) {
        const struct image_region *region = &description->regions[i];
        if (region->offset != at || !region->bytes || region->bytes % description->logical_block ||
            region->bytes > description->disk_bytes - at)
            return image_corrupt(error, name, ERROR_NO_BLOCK, "region %u does not follow the one before", i);
        at += region->bytes;
    }
    if (at != description->disk_bytes)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "the regions do not cover the disk");
    return 0;
}

unsigned description_region(const struct image_description *description, uint64_t disk_offset)
{
    unsigned low = 0, high = description->region_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const struct image_region *region = &description->regions[middle];
        if (disk_offset < region->offset)
            high = middle;
        else if (disk_offset - region->offset >= region->bytes)
            low = middle + 1;
        else
            return middle;
    }
    return description->region_count;
}

static void *duplicate(struct platform *platform, const void *data, size_t size)
{
    void *copy = platform_allocate(platform, size ? size : 1);

    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

int description_copy(struct platform *platform, const struct image_description *from, struct image_description *to)
{
    *to = *from;
    to->platform = platform;
    to->regions = duplicate(platform, from->regions, from->region_count * sizeof *from->regions);
    to->table_head = from->table_head ? duplicate(platform, from->table_head, from->table_head_size) : NULL;
    to->table_tail = from->table_tail ? duplicate(platform, from->table_tail, from->table_tail_size) : NULL;
    if (to->regions && !to->table_head == !from->table_head && !to->table_tail == !from->table_tail)
        return 0;
    image_description_free(to);
    return -ERROR_NO_MEMORY;
}

/* --- writing --- */

static size_t people_text(const struct image_description *description, char *text, size_t size)
{
    int length =
        snprintf(text, size,
                 "Eidolon disk image: a zstd stream of a whole disk or partition, %llu bytes when decoded.\n"
                 "Without Eidolon, with every volume in order:\n"
                 "    zstd -dc IMAGE > /dev/TARGET\n"
                 "Write it just so. -o, --sparse and conv=sparse would leave old data where the disk was empty.\n"
                 "Check that exactly %llu bytes came out: zstd does not notice a missing volume.\n",
                 (unsigned long long)description->disk_bytes, (unsigned long long)description->disk_bytes);

    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

/* Writes a value at *cursor, or counts only when `to` is NULL. */
static void put_value(uint8_t *to, size_t *cursor, unsigned type, unsigned flags, const void *data, size_t size)
{
    size_t padded = (size + 7) & ~(size_t)7;

    if (!size)
        return;
    if (to) {
        uint8_t *value = to + *cursor;
        store_le16(value + VALUE_AT_TYPE, (uint16_t)type);
        store_le16(value + VALUE_AT_FLAGS, (uint16_t)flags);
        store_le32(value + VALUE_AT_LENGTH, (uint32_t)size);
        memcpy(value + VALUE_HEADER, data, size);
        memset(value + VALUE_HEADER + size, 0, padded - size);
    }
    *cursor += VALUE_HEADER + padded;
}

static void put_text(uint8_t *to, size_t *cursor, unsigned type, const char *text, size_t size)
{
    put_value(to, cursor, type, 0, text, strnlen(text, size));
}

static void region_store(uint8_t bytes[REGION_SIZE], const struct image_region *region)
{
    memset(bytes, 0, REGION_SIZE);
    store_le64(bytes + REGION_AT_OFFSET, region->offset);
    store_le64(bytes + REGION_AT_BYTES, region->bytes);
    store_le64(bytes + REGION_AT_USED, region->used_bytes);
    store_le32(bytes + REGION_AT_PARTITION, region->partition);
    store_le32(bytes + REGION_AT_FLAGS, region->copied_whole ? REGION_FLAG_WHOLE : 0);
    memcpy(bytes + REGION_AT_TYPE, region->fs_type, strnlen(region->fs_type, sizeof region->fs_type));
    memcpy(bytes + REGION_AT_LABEL, region->fs_label, strnlen(region->fs_label, sizeof region->fs_label));
    memcpy(bytes + REGION_AT_UUID, region->fs_uuid, strnlen(region->fs_uuid, sizeof region->fs_uuid));
}

static size_t put_values(uint8_t *to, const struct image_description *description)
{
    char text[TEXT_VALUE_MAX];
    uint8_t region[REGION_SIZE];
    size_t cursor = 0;

    put_value(to, &cursor, VALUE_TEXT, 0, text, people_text(description, text, sizeof text));
    put_text(to, &cursor, VALUE_PROGRAM, description->program, sizeof description->program);
    put_text(to, &cursor, VALUE_MODEL, description->model, sizeof description->model);
    put_text(to, &cursor, VALUE_SERIAL, description->serial, sizeof description->serial);
    put_text(to, &cursor, VALUE_BUS, description->bus, sizeof description->bus);
    for (unsigned i = 0; i < description->region_count; i++) {
        region_store(region, &description->regions[i]);
        put_value(to, &cursor, VALUE_REGION, VALUE_FLAG_CRITICAL, region, sizeof region);
    }
    if (description->table_head)
        put_value(to, &cursor, VALUE_TABLE_HEAD, 0, description->table_head, description->table_head_size);
    if (description->table_tail)
        put_value(to, &cursor, VALUE_TABLE_TAIL, 0, description->table_tail, description->table_tail_size);
    return cursor;
}

size_t header_size(const struct image_description *description)
{
    return HEAD_AT_VALUES + put_values(NULL, description) + FRAME_HASH_SIZE;
}

void header_build(uint8_t *frame, const struct image_description *description)
{
    memset(frame, 0, HEAD_AT_VALUES);
    store_le64(frame + HEAD_AT_DISK_BYTES, description->disk_bytes);
    store_le32(frame + HEAD_AT_LOGICAL, description->logical_block);
    store_le32(frame + HEAD_AT_PHYSICAL, description->physical_block);
    store_le32(frame + HEAD_AT_CHUNK_SIZE, description->chunk_size);
    store_le32(frame + HEAD_AT_FLAGS, description->is_partition ? HEAD_FLAG_PARTITION : 0);
    store_le64(frame + HEAD_AT_PLANNED, description->planned_used_bytes);
    store_le64(frame + HEAD_AT_CREATED, (uint64_t)description->created);
    store_le32(frame + HEAD_AT_LEVEL, (uint32_t)description->level);
    store_le32(frame + HEAD_AT_REGIONS, description->region_count);
    memcpy(frame + HEAD_AT_MAP_HASH, description->map_hash, IMAGE_HASH_SIZE);
    size_t values = put_values(frame + HEAD_AT_VALUES, description);
    store_le32(frame + HEAD_AT_VALUES_SIZE, (uint32_t)values);
}

void header_repeat(uint8_t *frame, size_t size, unsigned kind, unsigned volume, uint64_t offset,
                   struct image_chain *chain)
{
    frame_begin(frame, TAG_HEAD, chain, offset);
    store_le32(frame + HEAD_AT_KIND, kind);
    store_le32(frame + HEAD_AT_VOLUME, volume);
    frame_seal(frame, size, chain);
}

/* --- reading --- */

/* Length of the UTF-8 character at `bytes`, 0 when it is none (overlong forms and surrogates included) or a control character. */
static size_t utf8_length(const uint8_t *bytes, size_t size)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code = bytes[0];
    size_t length = code < 0x80 ? 1 : code >= 0xC0 && code < 0xE0 ? 2 : code < 0xF0 ? 3 : 4;

    if (length == 1)
        return code >= 0x20 && code != 0x7F;
    if (code < 0xC0 || code > 0xF4 || length > size)
        return 0;
    code &= 0x7Fu >> length;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    bool bad =
        code < least[length] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF || (code >= 0x80 && code < 0xA0);
    return bad ? 0 : length;
}

/* Takes a text over; what would upset a terminal becomes a question mark. */
static void get_text(char *to, size_t to_size, const uint8_t *from, size_t size)
{
    size_t out = 0;

    for (size_t in = 0; in < size && from[in];) {
        size_t length = utf8_length(from + in, size - in);
        if (out + (length ? length : 1) >= to_size)
            break;
        if (length)
            memcpy(to + out, from + in, length);
        else
            to[out] = '?';
        out += length ? length : 1;
        in += length ? length : 1;
    }
    to[out] = 0;
}

static void region_load(const uint8_t *bytes, struct image_region *region)
{
    *region = (struct image_region){
        .offset = load_le64(bytes + REGION_AT_OFFSET),
        .bytes = load_le64(bytes + REGION_AT_BYTES),
        .used_bytes = load_le64(bytes + REGION_AT_USED),
        .partition = load_le32(bytes + REGION_AT_PARTITION),
        .copied_whole = load_le32(bytes + REGION_AT_FLAGS) & REGION_FLAG_WHOLE,
    };
    get_text(region->fs_type, sizeof region->fs_type, bytes + REGION_AT_TYPE, sizeof region->fs_type);
    get_text(region->fs_label, sizeof region->fs_label, bytes + REGION_AT_LABEL, sizeof region->fs_label);
    get_text(region->fs_uuid, sizeof region->fs_uuid, bytes + REGION_AT_UUID, sizeof region->fs_uuid);
}

static int get_table(struct image_description *description, uint8_t **to, size_t *to_size, const uint8_t *data,
                     size_t size)
{
    if (*to)
        return -ERROR_CORRUPT;
    *to = duplicate(description->platform, data, size);
    *to_size = size;
    return *to ? 0 : -ERROR_NO_MEMORY;
}

/* One value. `regions`: how many were taken so far. */
static int get_value(struct image_description *description, unsigned *regions, unsigned type, bool critical,
                     const uint8_t *data, size_t size)
{
    switch (type) {
    case VALUE_TEXT:
        return 0;
    case VALUE_REGION:
        if (size != REGION_SIZE || *regions >= description->region_count)
            return -ERROR_CORRUPT;
        region_load(data, &description->regions[(*regions)++]);
        return 0;
    case VALUE_TABLE_HEAD:
        return get_table(description, &description->table_head, &description->table_head_size, data, size);
    case VALUE_TABLE_TAIL:
        return get_table(description, &description->table_tail, &description->table_tail_size, data, size);
    case VALUE_PROGRAM:
        get_text(description->program, sizeof description->program, data, size);
        return 0;
    case VALUE_MODEL:
        get_text(description->model, sizeof description->model, data, size);
        return 0;
    case VALUE_SERIAL:
        get_text(description->serial, sizeof description->serial, data, size);
        return 0;
    case VALUE_BUS:
        get_text(description->bus, sizeof description->bus, data, size);
        return 0;
    default:
        return critical ? -ERROR_UNSUPPORTED : 0;
    }
}

static int get_values(struct image_description *description, const uint8_t *values, size_t size, const char *name,
                      struct error *error)
{
    unsigned regions = 0;
    size_t at = 0;

    while (at < size) {
        if (size - at < VALUE_HEADER)
            return image_corrupt(error, name, ERROR_NO_BLOCK, "a value of the header is cut off");
        unsigned type = load_le16(values + at + VALUE_AT_TYPE);
        unsigned flags = load_le16(values + at + VALUE_AT_FLAGS);
        uint64_t length = load_le32(values + at + VALUE_AT_LENGTH);
        uint64_t padded = (length + 7) & ~7ULL;
        if (padded > size - at - VALUE_HEADER)
            return image_corrupt(error, name, ERROR_NO_BLOCK, "a value of the header is cut off");
        int status = get_value(description, &regions, type, flags & VALUE_FLAG_CRITICAL, values + at + VALUE_HEADER,
                               (size_t)length);
        if (status == -ERROR_UNSUPPORTED)
            return error_set(error, ERROR_UNSUPPORTED, OPERATION_PARSE, name, ERROR_NO_BLOCK,
                             "the header holds value %u, which a newer program must read", type);
        if (status == -ERROR_NO_MEMORY)
            return error_set(error, ERROR_NO_MEMORY, OPERATION_PARSE, name, ERROR_NO_BLOCK, "header");
        if (status)
            return image_corrupt(error, name, ERROR_NO_BLOCK, "value %u of the header is wrong", type);
        at += VALUE_HEADER + (size_t)padded;
    }
    if (regions != description->region_count)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "the header lists %u regions, not %u", regions,
                             description->region_count);
    return 0;
}

static int refuse_features(uint64_t incompatible, const char *name, struct error *error)
{
    uint64_t unknown = incompatible & ~INCOMPATIBLE_KNOWN;

    if (!unknown)
        return 0;
    return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                     "this image %s (features 0x%llx); a newer program must read it",
                     unknown & INCOMPATIBLE_ENCRYPTED   ? "is encrypted"
                     : unknown & INCOMPATIBLE_DELTA     ? "holds only the changes since another image"
                     : unknown & INCOMPATIBLE_UNORDERED ? "is not in disk order"
                                                        : "uses features unknown to this program",
                     (unsigned long long)unknown);
}

int header_parse(struct platform *platform, const uint8_t *frame, size_t size, struct image_description *description,
                 const char *name, struct error *error)
{
    *description = (struct image_description){.platform = platform};
    if (size < HEAD_AT_VALUES + FRAME_HASH_SIZE ||
        load_le32(frame + HEAD_AT_VALUES_SIZE) != size - HEAD_AT_VALUES - FRAME_HASH_SIZE)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "the header's length is wrong");
    int status = refuse_features(load_le64(frame + HEAD_AT_INCOMPATIBLE), name, error);
    if (status)
        return status;
    memcpy(description->uuid, frame + FRAME_AT_UUID, sizeof description->uuid);
    memcpy(description->map_hash, frame + HEAD_AT_MAP_HASH, IMAGE_HASH_SIZE);
    description->created = (int64_t)load_le64(frame + HEAD_AT_CREATED);
    description->disk_bytes = load_le64(frame + HEAD_AT_DISK_BYTES);
    description->logical_block = load_le32(frame + HEAD_AT_LOGICAL);
    description->physical_block = load_le32(frame + HEAD_AT_PHYSICAL);
    description->chunk_size = load_le32(frame + HEAD_AT_CHUNK_SIZE);
    description->level = (int)load_le32(frame + HEAD_AT_LEVEL);
    description->is_partition = load_le32(frame + HEAD_AT_FLAGS) & HEAD_FLAG_PARTITION;
    description->planned_used_bytes = load_le64(frame + HEAD_AT_PLANNED);
    uint32_t regions = load_le32(frame + HEAD_AT_REGIONS);
    if (!regions || regions > IMAGE_REGIONS_MAX)
        return image_corrupt(error, name, ERROR_NO_BLOCK, "%u regions cannot be", (unsigned)regions);
    description->regions = platform_allocate_zeroed(platform, regions * sizeof *description->regions);
    if (!description->regions)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_PARSE, name, ERROR_NO_BLOCK, "header");
    description->region_count = regions;
    status = get_values(description, frame + HEAD_AT_VALUES, size - HEAD_AT_VALUES - FRAME_HASH_SIZE, name, error);
    if (!status)
        status = description_check(description, name, error);
    if (status)
        image_description_free(description);
    return status;
}

bool header_repeats(const uint8_t *first, size_t first_size, const uint8_t *other, size_t other_size)
{
    return first_size == other_size && !memcmp(first + HEAD_AT_INCOMPATIBLE, other + HEAD_AT_INCOMPATIBLE,
                                               first_size - HEAD_AT_INCOMPATIBLE - FRAME_HASH_SIZE);
}
