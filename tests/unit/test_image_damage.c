/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged images. Whatever byte is changed and wherever the image is cut: what comes out is the disk, or there is an error.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/image_maker.h"

static struct memory_store store;
static struct image_maker maker;
static uint8_t *disk, *good;
static size_t good_size;

static void make(uint64_t bytes, unsigned regions)
{
    image_maker_init(&maker, bytes, 65536, regions);
    memory_store_init(&store, &maker.loop);
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, NULL), 0);
    good = memory_store_join(&store, &good_size);
    disk = malloc(bytes);
}

static void unmake(void)
{
    assert_int_equal(store.open_streams, 0);
    memory_store_free(&store);
    image_maker_free(&maker);
    free(good);
    free(disk);
}

/* Reads the image as it is in the store now. */
static int read_now(enum image_reader_mode mode, uint64_t *lost)
{
    uint64_t bytes = maker.description.disk_bytes;
    struct error error = {0};

    memset(disk, 0xAA, bytes);
    int status = image_maker_read(&maker, &store, mode, disk, lost, &error);
    if (!status && mode != IMAGE_READ_SALVAGE)
        assert_memory_equal(disk, maker.disk, bytes);
    return status;
}

/* Salvaged bytes are either right or counted as lost. */
static void check_salvaged(uint64_t lost)
{
    uint64_t wrong = 0;

    for (uint64_t i = 0; i < maker.description.disk_bytes; i++)
        if (disk[i] != maker.disk[i]) {
            assert_int_equal(disk[i], 0);
            wrong++;
        }
    assert_true(wrong <= lost);
}

static void test_every_byte(void **state)
{
    uint8_t *bytes;
    uint64_t lost;

    (void)state;
    make(3 * 65536 + 512, 3);
    bytes = store.volumes[0].data;
    /* All of the metadata; of the long stored chunks a sample, for they are all alike. */
    for (size_t i = 0; i < good_size; i++) {
        if (i > 2600 && i < good_size - 3500 && i % 997)
            continue;
        bytes[i] ^= (uint8_t)(1 + i % 255);
        int verified = read_now(IMAGE_READ_VERIFIED, &lost);
        int streamed = read_now(IMAGE_READ_STREAM, &lost);
        if (!verified || !streamed)
            print_message("byte %zu of %zu: %d %d\n", i, good_size, verified, streamed);
        assert_true(verified && streamed); /* every byte is accounted for */
        if (i % 17 == 0 && !read_now(IMAGE_READ_SALVAGE, &lost))
            check_salvaged(lost);
        bytes[i] = good[i];
    }
    assert_int_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
    unmake();
}

static void test_every_length(void **state)
{
    uint64_t lost;

    (void)state;
    make(4 * 65536, 3);
    for (size_t size = 0; size < good_size; size += size < 4000 || size > good_size - 3500 ? 7 : 499) {
        store.volumes[0].size = size;
        int status = read_now(IMAGE_READ_VERIFIED, &lost);
        assert_true(status == -ERROR_INCOMPLETE || status == -ERROR_CORRUPT);
        status = read_now(IMAGE_READ_STREAM, &lost);
        assert_true(status == -ERROR_INCOMPLETE || status == -ERROR_CORRUPT);
        store.pipe = true;
        assert_int_not_equal(read_now(IMAGE_READ_STREAM, &lost), 0);
        for (unsigned turn = 0; turn < 2 && size % 7 == 0; turn++, store.pipe = false)
            if (!read_now(IMAGE_READ_SALVAGE, &lost))
                check_salvaged(lost);
        store.pipe = false;
    }
    unmake();
}

static void test_bytes_behind(void **state)
{
    uint64_t lost;

    (void)state;
    make(65536, 1);
    good = realloc(good, good_size + 1);
    good[good_size] = 0;
    memory_store_set(&store, 0, good, good_size + 1);
    assert_int_not_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
    assert_int_equal(read_now(IMAGE_READ_STREAM, &lost), -ERROR_CORRUPT);
    unmake();
}

/* A hole of zeroes in the middle costs the segments that it touches, not more. */
static void test_salvage_hole(void **state)
{
    uint64_t lost, bytes = 12ULL * 1024 * 1024;

    (void)state;
    image_maker_init(&maker, bytes, 65536, 3);
    memory_store_init(&store, &maker.loop);
    for (unsigned i = 0; i <= bytes / 65536; i++)
        maker.cell[i] = i % 9 ? IMAGE_DATA : IMAGE_ZERO;
    /* Small volumes make small segments; in a row they are an image too. */
    assert_int_equal(image_maker_write(&maker, &store, 300000, NULL, NULL), 0);
    good = memory_store_join(&store, &good_size);
    disk = malloc(bytes);
    memory_store_free(&store);
    memory_store_set(&store, 0, good, good_size);
    assert_int_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
    for (unsigned i = 1; i < 12; i++) {
        size_t at = good_size / 12 * i;
        memset(store.volumes[0].data + at, 0, 3000);
        store.pipe = i % 2;
        assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), 0);
        check_salvaged(lost);
        assert_true(lost > 0 && lost < bytes / 3);
        assert_int_not_equal(read_now(IMAGE_READ_STREAM, &lost), 0);
        store.pipe = false;
        memcpy(store.volumes[0].data, good, good_size);
    }
    /* Sectors of the image that cannot be read. */
    store.fail_read_at = good_size / 2 + 60000; /* among chunks, not in an index */
    store.fail_read_size = 4096;
    assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), 0);
    check_salvaged(lost);
    assert_true(lost > 0 && lost <= 5 * 65536);
    assert_int_equal(read_now(IMAGE_READ_STREAM, &lost), -ERROR_MEDIUM);
    unmake();
}

/* The first header is gone: the closing one says the same. */
static void test_salvage_header(void **state)
{
    uint64_t lost;

    (void)state;
    make(40 * 65536, 3);
    memset(store.volumes[0].data, 0, 600);
    assert_int_equal(read_now(IMAGE_READ_VERIFIED, &lost), -ERROR_CORRUPT);
    assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), 0);
    assert_int_equal(lost, 0);
    check_salvaged(0);
    unmake();
}

/* An image stored inside the image is not taken for a part of it. */
static void test_salvage_nested(void **state)
{
    uint64_t lost;
    uint8_t *inner;
    size_t inner_size;

    (void)state;
    make(65536 * 8, 1);
    inner = memory_store_join(&store, &inner_size);
    unmake();
    make(65536 * 60, 1);
    memory_store_free(&store);
    for (unsigned i = 0; i < 60; i++)
        maker.cell[i] = IMAGE_DATA;
    memcpy(maker.disk + 65536 * 10, inner, inner_size); /* stored raw or nearly so */
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, NULL), 0);
    for (size_t at = 0; at < store.volumes[0].size; at += 200000) { /* all indexes but a few go */
        uint8_t *bytes = store.volumes[0].data + at;
        uint8_t before[64];
        size_t part = store.volumes[0].size - at < 64 ? store.volumes[0].size - at : 64;
        memcpy(before, bytes, part);
        memset(bytes, 0x5B, part);
        if (!read_now(IMAGE_READ_SALVAGE, &lost))
            check_salvaged(lost);
        memcpy(bytes, before, part);
    }
    free(inner);
    unmake();
}

static void test_garbage(void **state)
{
    uint32_t seed = 5;
    uint64_t lost;

    (void)state;
    make(5 * 65536, 3);
    for (unsigned round = 0; round < 150; round++) {
        uint8_t *bytes = store.volumes[0].data;
        for (unsigned change = 0; change < 1 + round % 9; change++) {
            seed = seed * 1664525u + 1013904223u;
            size_t at = round % 2 ? (seed >> 8) % good_size : (seed >> 8) % 2500;
            size_t size = (seed >> 4) % 40;
            for (size_t i = at; i < at + size && i < good_size; i++)
                bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        }
        read_now(IMAGE_READ_VERIFIED, &lost);
        read_now(IMAGE_READ_STREAM, &lost);
        if (!read_now(IMAGE_READ_SALVAGE, &lost))
            check_salvaged(lost);
        memcpy(bytes, good, good_size);
    }
    memset(store.volumes[0].data, 0x5B, good_size);
    assert_int_equal(read_now(IMAGE_READ_STREAM, &lost), -ERROR_CORRUPT);
    assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), -ERROR_CORRUPT);
    unmake();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),     cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_bytes_behind),   cmocka_unit_test(test_salvage_hole),
        cmocka_unit_test(test_salvage_header), cmocka_unit_test(test_salvage_nested),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
