/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes: where they are cut, how they are named, what is missed when one is gone; and what stock zstd makes of them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/image_format.h"
#include "tests/support/image_maker.h"

#define DISK (24ULL * 1024 * 1024 + 512)
#define SPLIT 400000u

static struct memory_store store;
static struct image_maker maker;

static void make(uint64_t split, struct image_totals *totals)
{
    image_maker_init(&maker, DISK, 65536, 3);
    memory_store_init(&store, &maker.loop);
    for (unsigned i = 0; i <= DISK / 65536; i += 2)
        maker.cell[i] = IMAGE_DATA;
    assert_int_equal(image_maker_write(&maker, &store, split, totals, NULL), 0);
}

static void unmake(void)
{
    assert_int_equal(store.open_streams, 0);
    memory_store_free(&store);
    image_maker_free(&maker);
    assert_int_equal(memory_platform_in_use(), 0);
}

static int read_now(enum image_reader_mode mode, uint64_t *lost)
{
    uint8_t *disk = malloc(DISK);
    int status = image_maker_read(&maker, &store, mode, disk, lost, NULL);

    if (!status && !*lost)
        assert_memory_equal(disk, maker.disk, DISK);
    free(disk);
    return status;
}

static void test_split(void **state)
{
    struct image_totals totals;
    uint64_t lost, sum = 0;

    (void)state;
    make(SPLIT, &totals);
    assert_false(store.volumes[0].there);
    assert_true(totals.volumes > 8); /* more than are open at a time */
    for (unsigned i = 1; i <= totals.volumes; i++) {
        assert_true(store.volumes[i].there);
        assert_true(store.volumes[i].size <= SPLIT);
        sum += store.volumes[i].size;
    }
    assert_false(store.volumes[totals.volumes + 1].there);
    assert_int_equal(sum, totals.stored_bytes);
    assert_int_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
    assert_int_equal(read_now(IMAGE_READ_STREAM, &lost), 0);
    assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), 0);
    assert_int_equal(lost, 0);

    /* all in a row, as a file and as a pipe */
    size_t size;
    uint8_t *joined = memory_store_join(&store, &size);
    memory_store_free(&store);
    memory_store_set(&store, 0, joined, size);
    assert_int_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
    store.pipe = true;
    assert_int_equal(read_now(IMAGE_READ_STREAM, &lost), 0);
    free(joined);
    unmake();
}

static void test_missing_volumes(void **state)
{
    struct image_totals totals;
    uint64_t lost;

    (void)state;
    make(SPLIT, &totals);
    for (unsigned gone = 1; gone <= totals.volumes; gone += 3) {
        struct memory_volume *volume = &store.volumes[gone];
        volume->there = false;
        assert_int_not_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
        assert_int_not_equal(read_now(IMAGE_READ_STREAM, &lost), 0);
        assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), 0);
        assert_true(lost > 0 && lost < DISK / 4);
        volume->there = true;
        volume->size -= 1000; /* cut short */
        assert_int_not_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
        assert_int_not_equal(read_now(IMAGE_READ_STREAM, &lost), 0);
        assert_int_equal(read_now(IMAGE_READ_SALVAGE, &lost), 0);
        assert_true(lost < DISK / 4);
        volume->size += 1000;
    }
    /* exchanged */
    struct memory_volume second = store.volumes[2];
    store.volumes[2] = store.volumes[3];
    store.volumes[3] = second;
    assert_int_equal(read_now(IMAGE_READ_VERIFIED, &lost), -ERROR_CORRUPT);
    assert_int_equal(read_now(IMAGE_READ_STREAM, &lost), -ERROR_CORRUPT);
    unmake();
}

static void test_names_and_limits(void **state)
{
    struct error error = {0};

    (void)state;
    image_maker_init(&maker, DISK, 65536, 3);
    memory_store_init(&store, &maker.loop);
    /* Might not fit: numbered without being asked. */
    store.store.max_volume_bytes = 8000000;
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, &error), 0);
    assert_false(store.volumes[0].there);
    assert_true(store.volumes[1].there && store.volumes[1].size <= 8000000);
    memory_store_free(&store);
    /* Will fit. */
    store.store.max_volume_bytes = 60000000;
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, &error), 0);
    assert_true(store.volumes[0].there && !store.volumes[1].there);
    /* Not over a file that is there. */
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, &error), -ERROR_EXISTS);
    memory_store_free(&store);
    /* Too small to hold anything. */
    assert_int_equal(image_maker_write(&maker, &store, 60000, NULL, &error), -ERROR_OUT_OF_RANGE);
    assert_non_null(strstr(error.detail, "at least"));
    unmake();
}

static void test_write_errors(void **state)
{
    uint64_t lost, all;

    (void)state;
    make(0, NULL);
    all = store.written;
    for (uint64_t at = 0; at < all; at += all / 9) {
        struct error error = {0};
        memory_store_free(&store);
        store.written = 0;
        store.fail_write_at = at;
        assert_int_equal(image_maker_write(&maker, &store, 0, NULL, &error), -ERROR_NO_SPACE);
        assert_int_equal(error.code, ERROR_NO_SPACE);
        assert_int_equal(error.operation, OPERATION_WRITE);
        assert_int_not_equal(read_now(IMAGE_READ_VERIFIED, &lost), 0);
    }
    unmake();
}

/* zstd of this machine decodes the volumes in a row to the very disk. */
static void test_stock_zstd(void **state)
{
    char image[] = "/tmp/eidolon-test-image-XXXXXX", command[200];
    uint8_t *disk = malloc(DISK + 1);
    size_t size;

    (void)state;
    if (system("command -v zstd >/dev/null"))
        skip();
    for (unsigned split = 0; split <= SPLIT; split += SPLIT) {
        make(split, NULL);
        uint8_t *joined = memory_store_join(&store, &size);
        int file = mkstemp(image);
        assert_int_equal(write(file, joined, size), size);
        snprintf(command, sizeof command, "zstd -qt %s && zstd -dc < %s", image, image);
        FILE *pipe = popen(command, "r");
        assert_int_equal(fread(disk, 1, DISK + 1, pipe), DISK);
        assert_int_equal(pclose(pipe), 0);
        assert_memory_equal(disk, maker.disk, DISK);
        close(file);
        unlink(image);
        memcpy(image + sizeof image - 7, "XXXXXX", 6);
        free(joined);
        unmake();
    }
    free(disk);
}

/* An empty disk of 16 TiB: seconds, and no memory to speak of. */
static void test_empty_giant(void **state)
{
    struct image_writer *writer;
    struct image_totals totals;
    struct image_chunk run = {.kind = IMAGE_UNUSED, .length = 16ULL << 40};

    (void)state;
    image_maker_init(&maker, 65536, 65536, 1);
    memory_store_init(&store, &maker.loop);
    store.discard = true;
    maker.description.disk_bytes = maker.regions[0].bytes = run.length;
    memory_platform_reset_peak();
    assert_int_equal(image_writer_create(&maker.loop, &store.store, &maker.description, 0, &writer, NULL), 0);
    assert_int_equal(image_writer_add(writer, &run, NULL), 0);
    assert_int_equal(image_writer_finish(writer, &totals, NULL), 0);
    assert_true(image_writer_memory(writer) > 1024 * 1024);
    assert_true(image_writer_memory(writer) <= memory_platform_peak());
    image_writer_destroy(writer);
    assert_int_equal(totals.unused_bytes, run.length);
    assert_int_equal(totals.stored_bytes, store.written);
    assert_true(totals.stored_bytes < 550000000);
    assert_true(memory_platform_peak() < 100 * 1024 * 1024);
    unmake();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_missing_volumes),
        cmocka_unit_test(test_names_and_limits),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_stock_zstd),
        cmocka_unit_test(test_empty_giant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
