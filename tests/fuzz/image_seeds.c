/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small images of every shape, made by the product's own writer, to begin with. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"
#include "tests/support/memory_store.h"

#define CHUNK (64u * 1024)
#define REPAIR_ALL 7u
#define SPLIT 8u

struct seed {
    const char *name;
    uint64_t regions[4]; /* bytes; 0: no more */
    uint64_t split;
    unsigned kinds; /* seed of the dice that choose a chunk's kind */
    bool runs;      /* a region of more than one chunk is a single run */
};

/* Compresses to a handful of bytes, so that inputs stay small. */
static void fill(uint8_t *plain, size_t size, unsigned salt)
{
    for (size_t i = 0; i < size; i++)
        plain[i] = (uint8_t)("seed"[i % 4] + (i % 512 == 0 ? salt : 0));
}

static void add_chunk(struct image_writer *writer, struct chunk_codec *codec, uint64_t length, unsigned dice)
{
    static uint8_t plain[CHUNK], stored[CHUNK * 2];
    uint8_t map[IMAGE_MAP_BYTES(CHUNK)];
    struct image_chunk chunk = {.kind = IMAGE_ZERO + dice % 3, .length = length};
    int status = 0;

    memset(map, 0x55, sizeof map);
    if (length <= CHUNK)
        fill(plain, (size_t)length, dice);
    if (dice % 5 > 1)
        status = chunk_encode(codec, plain, (size_t)length, dice % 5 == 2 ? map : NULL, stored, &chunk);
    if (status || image_writer_add(writer, &chunk, NULL))
        abort();
}

static void write_image(struct loop *loop, struct memory_store *store, const struct seed *seed)
{
    struct image_region regions[4];
    struct image_description description = {.uuid = "seed",
                                            .program = "eidolon seed",
                                            .logical_block = 512,
                                            .physical_block = 4096,
                                            .chunk_size = CHUNK,
                                            .level = 1,
                                            .model = "Model",
                                            .serial = "1",
                                            .bus = "ram",
                                            .regions = regions};
    struct chunk_codec *codec = chunk_codec_create(loop->platform, CHUNK, 1);
    struct image_writer *writer;
    unsigned dice = seed->kinds;

    memset(regions, 0, sizeof regions);
    for (unsigned i = 0; i < 4 && seed->regions[i]; i++) {
        regions[i] = (struct image_region){.partition = i, .offset = description.disk_bytes, .bytes = seed->regions[i]};
        snprintf(regions[i].fs_type, sizeof regions[i].fs_type, "%s", i ? "ext4" : "");
        description.disk_bytes += seed->regions[i];
        description.region_count++;
    }
    description.is_partition = description.region_count == 1;
    if (image_writer_create(loop, &store->store, &description, seed->split, &writer, NULL))
        abort();
    for (unsigned i = 0; i < description.region_count; i++)
        for (uint64_t at = 0, length; at < regions[i].bytes; at += length, dice = dice * 5 + 3) {
            length = regions[i].bytes - at < CHUNK || seed->runs ? regions[i].bytes - at : CHUNK;
            add_chunk(writer, codec, length, length > CHUNK ? 0 : dice);
        }
    if (image_writer_finish(writer, NULL, NULL))
        abort();
    image_writer_destroy(writer);
    chunk_codec_destroy(codec);
}

static void save(const char *folder, const struct seed *seed, const struct memory_store *store)
{
    uint8_t header[4] = {(uint8_t)(REPAIR_ALL | (seed->split ? SPLIT : 0)), 1};
    size_t size;
    uint8_t *bytes = memory_store_join(store, &size);
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, seed->name);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(header, 1, sizeof header, file) != sizeof header || fwrite(bytes, 1, size, file) != size ||
        fclose(file)) {
        perror(path);
        exit(1);
    }
    free(bytes);
}

void fuzz_image_seeds(const char *folder)
{
    static const struct seed seeds[] = {
        {"one-block", {512}, 0, 3, false},
        {"partition", {CHUNK * 2 + 512}, 0, 2, false},
        {"disk", {1536, CHUNK * 3, 4096}, 0, 7, false},
        {"all-zero", {CHUNK, CHUNK * 9}, 0, 0, false},
        {"long-run", {4096, 200ULL * 1024 * 1024, 512}, 0, 5, true},
        {"regions", {512, CHUNK - 512, CHUNK, 8192}, 0, 1, false},
    };

    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        static struct memory_store store;
        struct loop loop;

        loop_init(&loop, fuzz_begin());
        memory_store_init(&store, &loop);
        write_image(&loop, &store, &seeds[i]);
        save(folder, &seeds[i], &store);
        memory_store_free(&store);
        fuzz_end(SIZE_MAX);
    }
}
