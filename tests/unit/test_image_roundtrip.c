/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images written and read back: all modes, sizes of disks, splits, slow and failing streams. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/image_maker.h"

static void check_read(struct image_maker *maker, struct memory_store *store, enum image_reader_mode mode)
{
    struct error error = {0};
    uint8_t *disk = malloc(maker->description.disk_bytes);
    uint64_t lost;

    memset(disk, 0xAA, maker->description.disk_bytes);
    int status = image_maker_read(maker, store, mode, disk, &lost, &error);
    if (status)
        print_error("%d: %s at %llu (%s)\n", status, error.detail, (unsigned long long)error.block, error.origin);
    assert_int_equal(status, 0);
    assert_int_equal(lost, 0);
    assert_memory_equal(disk, maker->disk, maker->description.disk_bytes);
    free(disk);
}

static void check_round_trip(uint64_t bytes, uint32_t chunk_size, unsigned regions, unsigned delay)
{
    static struct memory_store store;
    struct image_maker maker;
    struct image_totals totals;
    struct error error = {0};
    unsigned long before = memory_platform_in_use();

    image_maker_init(&maker, bytes, chunk_size, regions);
    memory_store_init(&store, &maker.loop);
    store.delay = delay;
    store.queue_depth = delay ? 1 : 4;
    int status = image_maker_write(&maker, &store, 0, &totals, &error);
    if (status)
        print_error("%d: %s (%s)\n", status, error.detail, error.origin);
    assert_int_equal(status, 0);
    assert_int_equal(totals.stored_bytes, store.volumes[0].size);
    assert_int_equal(totals.data_bytes + totals.zero_bytes + totals.unused_bytes + totals.unreadable_bytes, bytes);
    check_read(&maker, &store, IMAGE_READ_VERIFIED);
    check_read(&maker, &store, IMAGE_READ_STREAM);
    store.pipe = true;
    check_read(&maker, &store, IMAGE_READ_STREAM);
    assert_int_equal(store.open_streams, 0);
    memory_store_free(&store);
    image_maker_free(&maker);
    assert_int_equal(memory_platform_in_use(), before);
}

static void test_sizes(void **state)
{
    (void)state;
    check_round_trip(512, 65536, 1, 0);
    check_round_trip(65536, 65536, 1, 0);
    check_round_trip(65536 * 3 + 512, 65536, 1, 0);
    check_round_trip(65536 * 40, 65536, 3, 0);
    check_round_trip(9 * 1024 * 1024 + 512, 1024 * 1024, 3, 0);
    check_round_trip(17 * 1024 * 1024, 4 * 1024 * 1024, 3, 0);
}

static void test_slow_stream(void **state)
{
    (void)state;
    check_round_trip(65536 * 100 + 1024, 65536, 3, 3);
}

static void test_many_segments(void **state)
{
    (void)state;
    check_round_trip(200ULL * 1024 * 1024, 1024 * 1024, 3, 0);
}

/* Reads on from where the reader stands to the disk's end; chunks are given back late and out of order. */
static void check_rest(struct image_maker *maker, struct image_reader *reader, uint64_t from)
{
    struct chunk_codec *codec = chunk_codec_create(maker->loop.platform, maker->description.chunk_size, 0);
    uint8_t *plain = malloc(maker->description.chunk_size);
    struct image_chunk chunk;
    void *holds[2] = {NULL, NULL}, *hold;
    uint64_t offset;
    int status;

    while ((status = image_reader_next(reader, &chunk, &offset, &hold, NULL)) != -ERROR_END) {
        if (status == -ERROR_FULL) {
            loop_step(&maker->loop);
            continue;
        }
        assert_int_equal(status, 0);
        assert_int_equal(offset, from);
        from += chunk.length;
        if (chunk.kind <= IMAGE_PARTIAL) {
            assert_int_equal(chunk_decode(codec, &chunk, plain), 0);
            assert_memory_equal(plain, maker->disk + offset, chunk.length);
        }
        unsigned keep = (unsigned)(offset / 65536) % 2;
        image_reader_release(reader, holds[keep]);
        holds[keep] = hold;
    }
    assert_int_equal(from, maker->description.disk_bytes);
    image_reader_release(reader, holds[1]);
    image_reader_release(reader, holds[0]);
    chunk_codec_destroy(codec);
    free(plain);
}

static void test_regions(void **state)
{
    static const unsigned order[] = {1, 2, 0, 1, 1};
    static struct memory_store store;
    struct image_maker maker;
    struct image_reader *reader;
    struct image_chunk chunk;
    uint64_t offset;
    void *hold;

    (void)state;
    image_maker_init(&maker, 65536 * 60 + 1024, 65536, 3);
    memory_store_init(&store, &maker.loop);
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, NULL), 0);
    assert_int_equal(image_reader_open(&maker.loop, &store.store, IMAGE_READ_VERIFIED, &reader, NULL), 0);
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_int_equal(image_reader_seek_region(reader, order[i], NULL), 0);
        if (i == 3) { /* leave in the middle, with reads on their way */
            image_reader_next(reader, &chunk, &offset, &hold, NULL);
            image_reader_release(reader, hold);
            continue;
        }
        check_rest(&maker, reader, maker.regions[order[i]].offset);
    }
    assert_int_equal(image_reader_seek_region(reader, 3, NULL), -ERROR_OUT_OF_RANGE);
    image_reader_close(reader);
    for (enum image_reader_mode mode = IMAGE_READ_STREAM; mode <= IMAGE_READ_SALVAGE; mode++) {
        assert_int_equal(image_reader_open(&maker.loop, &store.store, mode, &reader, NULL), 0);
        assert_int_equal(image_reader_seek_region(reader, 2, NULL), 0);
        check_rest(&maker, reader, maker.regions[2].offset);
        assert_int_equal(image_reader_seek_region(reader, 0, NULL), -ERROR_UNSUPPORTED);
        image_reader_close(reader);
    }
    assert_int_equal(store.open_streams, 0);
    memory_store_free(&store);
    image_maker_free(&maker);
    assert_int_equal(memory_platform_in_use(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_slow_stream),
        cmocka_unit_test(test_many_segments),
        cmocka_unit_test(test_regions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
