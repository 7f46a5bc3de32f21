/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/image_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Half text-like, half noise: compresses, but not to nothing. */
static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = i % 64 < 32 ? (uint8_t)('a' + i % 23) : (uint8_t)random_next(&seed);
}

static void make_regions(struct image_maker *maker, uint64_t bytes, unsigned count)
{
    struct image_region *regions = maker->regions;
    uint64_t first = count == 1 ? bytes : 1536, last = count == 1 ? 0 : 5 * 512;

    memset(regions, 0, sizeof maker->regions);
    regions[0] = (struct image_region){.bytes = first};
    if (count == 3) {
        regions[1] = (struct image_region){
            .partition = 1, .offset = first, .bytes = bytes - first - last, .used_bytes = bytes / 2};
        snprintf(regions[1].fs_type, sizeof regions[1].fs_type, "ext4");
        snprintf(regions[1].fs_label, sizeof regions[1].fs_label,
                 "r\xC3\xB6"
                 "ot");
        regions[2] = (struct image_region){.offset = bytes - last, .bytes = last};
    }
    maker->description.regions = regions;
    maker->description.region_count = count;
}

void image_maker_init(struct image_maker *maker, uint64_t bytes, uint32_t chunk_size, unsigned region_count)
{
    static const uint8_t table[512] = {1, 2, 3};
    uint32_t seed = 7;

    memset(maker, 0, sizeof *maker);
    loop_init(&maker->loop, memory_platform());
    maker->description = (struct image_description){
        .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        .created = 1700000000,
        .program = "eidolon test",
        .disk_bytes = bytes,
        .logical_block = 512,
        .physical_block = 4096,
        .chunk_size = chunk_size,
        .level = 3,
        .model = "MEMORY DISK",
        .serial = "M-1",
        .bus = "ram",
        .planned_used_bytes = bytes / 2,
        .table_head = (uint8_t *)table,
        .table_head_size = sizeof table,
    };
    make_regions(maker, bytes, region_count);
    maker->disk = calloc(1, bytes);
    maker->cell = calloc(1, bytes / chunk_size + 8);
    for (uint64_t offset = 0, i = 0; offset < bytes; offset += chunk_size, i++) {
        size_t size = bytes - offset < chunk_size ? (size_t)(bytes - offset) : chunk_size;
        uint32_t dice = random_next(&seed) % 8;
        maker->cell[i] = (uint8_t)(i == 0 || dice < 3 ? IMAGE_DATA
                                   : dice == 3        ? IMAGE_PARTIAL
                                   : dice == 4        ? IMAGE_ZERO
                                   : dice == 5        ? IMAGE_UNREADABLE
                                                      : IMAGE_UNUSED);
        if (maker->cell[i] <= IMAGE_PARTIAL)
            fill(maker->disk + offset, size, random_next(&seed));
    }
}

void image_maker_free(struct image_maker *maker)
{
    free(maker->disk);
    free(maker->cell);
}

/* Every third piece is in use. */
static void make_map(uint8_t *map, size_t size)
{
    memset(map, 0, IMAGE_MAP_BYTES_MAX);
    for (size_t piece = 0; piece * IMAGE_PIECE < size; piece += 3)
        map[piece / 8] |= (uint8_t)(1u << piece % 8);
}

static int write_chunk(struct image_maker *maker, struct image_writer *writer, struct chunk_codec *codec,
                       uint64_t offset, size_t size, uint8_t *stored, struct error *error)
{
    enum image_chunk_kind kind = maker->cell[offset / maker->description.chunk_size];
    struct image_chunk chunk = {.kind = kind, .length = size};
    uint8_t map[IMAGE_MAP_BYTES_MAX];
    int status = 0;

    make_map(map, size);
    if (kind <= IMAGE_PARTIAL)
        status = chunk_encode(codec, maker->disk + offset, size, kind == IMAGE_PARTIAL ? map : NULL, stored, &chunk);
    else
        memset(maker->disk + offset, 0, size);
    if (status)
        return status;
    while (!image_writer_ready(writer))
        loop_step(&maker->loop);
    status = image_writer_add(writer, &chunk, error);
    memset(stored, 0xEE, chunk_stored_bound(maker->description.chunk_size)); /* it was copied */
    return status;
}

int image_maker_write(struct image_maker *maker, struct memory_store *store, uint64_t split,
                      struct image_totals *totals, struct error *error)
{
    const struct image_description *description = &maker->description;
    uint32_t chunk_size = description->chunk_size;
    uint8_t *stored = malloc(chunk_stored_bound(chunk_size));
    struct image_writer *writer;
    struct chunk_codec *codec = chunk_codec_create(maker->loop.platform, chunk_size, description->level);
    int status = image_writer_create(&maker->loop, &store->store, description, split, &writer, error);

    for (unsigned i = 0; i < description->region_count && !status; i++) {
        const struct image_region *region = &description->regions[i];
        for (uint64_t inside = 0; inside < region->bytes && !status; inside += chunk_size) {
            uint64_t left = region->bytes - inside;
            status = write_chunk(maker, writer, codec, region->offset + inside,
                                 left < chunk_size ? (size_t)left : chunk_size, stored, error);
        }
    }
    if (!status)
        status = image_writer_finish(writer, totals, error);
    image_writer_destroy(writer);
    chunk_codec_destroy(codec);
    free(stored);
    return status;
}

int image_maker_read(struct image_maker *maker, struct memory_store *store, enum image_reader_mode mode, uint8_t *disk,
                     uint64_t *lost, struct error *error)
{
    struct image_reader *reader;
    struct chunk_codec *codec = NULL;
    int status = image_reader_open(&maker->loop, &store->store, mode, &reader, error);
    uint64_t expected = 0, disk_bytes = maker->description.disk_bytes;

    *lost = 0;
    if (status)
        return status;
    if (image_reader_description(reader)->disk_bytes != disk_bytes)
        status = -ERROR_MISMATCH;
    codec = chunk_codec_create(maker->loop.platform, image_reader_description(reader)->chunk_size, 0);
    while (!status) {
        struct image_chunk chunk;
        uint64_t offset;
        void *hold;
        status = image_reader_next(reader, &chunk, &offset, &hold, error);
        if (status == -ERROR_FULL) {
            loop_step(&maker->loop);
            status = 0;
            continue;
        }
        if (status)
            break;
        if (offset != expected || chunk.length > disk_bytes - offset) {
            status = -ERROR_MISMATCH;
        } else if (chunk.kind <= IMAGE_PARTIAL) {
            status = chunk_decode(codec, &chunk, disk + offset);
            if (status && mode == IMAGE_READ_SALVAGE) {
                memset(disk + offset, 0, (size_t)chunk.length);
                *lost += chunk.length;
                status = 0;
            } else if (!status && mode != IMAGE_READ_SALVAGE) {
                status = chunk_check_stored(&chunk);
            }
        } else {
            memset(disk + offset, 0, (size_t)chunk.length);
            *lost += chunk.lost ? chunk.length : 0;
        }
        expected = offset + chunk.length;
        image_reader_release(reader, hold);
    }
    if (status == -ERROR_END)
        status = expected == disk_bytes ? 0 : -ERROR_MISMATCH;
    chunk_codec_destroy(codec);
    image_reader_close(reader);
    return status;
}
