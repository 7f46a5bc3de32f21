/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and their images for the tests of the image room. A disk is made from a recipe, so that the same image comes out each time.
 */
#ifndef TESTS_SUPPORT_IMAGE_MAKER_H
#define TESTS_SUPPORT_IMAGE_MAKER_H

#include "core/image.h"
#include "tests/support/memory_store.h"

struct image_maker {
    struct loop loop;
    struct image_description description;
    struct image_region regions[8];
    uint8_t *disk; /* as it has to come out: unused bytes are zero */
    uint8_t *cell; /* one byte per chunk: enum image_chunk_kind as asked for */
};

/* A disk of `bytes`, cut into `region_count` regions (1, or 3 with odd sizes), with a mix of all kinds of chunks. */
void image_maker_init(struct image_maker *maker, uint64_t bytes, uint32_t chunk_size, unsigned region_count);
void image_maker_free(struct image_maker *maker);
/* Writes the image; 0 or the first failure. */
int image_maker_write(struct image_maker *maker, struct memory_store *store, uint64_t split,
                      struct image_totals *totals, struct error *error);
/*
 * Reads all of an image into `disk` (disk_bytes). Returns 0 after a proper end, else the first failure. Runs of lost bytes
 * are counted; chunks that do not decode too when mode is SALVAGE.
 */
int image_maker_read(struct image_maker *maker, struct memory_store *store, enum image_reader_mode mode, uint8_t *disk,
                     uint64_t *lost, struct error *error);

#endif
