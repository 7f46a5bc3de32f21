/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image as a disk: any range reads as the disk was, and damage is an error where it is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/block.h"
#include "tests/support/image_maker.h"

#define DISK (12ULL * 1024 * 1024 + 512)

static struct memory_store store;
static struct image_maker maker;
static struct block_device *device;

static void make(uint64_t split)
{
    image_maker_init(&maker, DISK, 65536, 3);
    memory_store_init(&store, &maker.loop);
    assert_int_equal(image_maker_write(&maker, &store, split, NULL, NULL), 0);
}

static void unmake(void)
{
    block_device_stop(device);
    assert_int_equal(store.open_streams, 0);
    memory_store_free(&store);
    image_maker_free(&maker);
    assert_int_equal(memory_platform_in_use(), 0);
}

static void check_ranges(void)
{
    uint8_t *bytes = malloc(1024 * 1024);
    uint32_t seed = 11;

    assert_int_equal(block_device_bytes(device), DISK);
    for (unsigned i = 0; i < 300; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint64_t offset = (seed >> 3) % DISK;
        size_t size = 1 + (seed >> 5) % (i % 7 ? 9000 : 900000);
        if (offset + size > DISK)
            size = (size_t)(DISK - offset);
        memset(bytes, 0xAA, size);
        assert_int_equal(block_read_bytes(device, offset, bytes, size, NULL), 0);
        assert_memory_equal(bytes, maker.disk + offset, size);
    }
    free(bytes);
}

static void test_ranges(void **state)
{
    (void)state;
    make(0);
    assert_int_equal(image_block_open(&maker.loop, &store.store, &device, NULL), 0);
    assert_true(device->read_only);
    check_ranges();
    assert_int_equal(block_write_bytes(device, 0, "x", 1, NULL), -ERROR_WRITE_PROTECTED);
    unmake();
}

static void test_volumes(void **state)
{
    (void)state;
    make(800000);
    assert_int_equal(image_block_open(&maker.loop, &store.store, &device, NULL), 0);
    check_ranges();
    unmake();
}

static void test_slow_stream(void **state)
{
    (void)state;
    make(0);
    store.delay = 2;
    store.queue_depth = 1;
    assert_int_equal(image_block_open(&maker.loop, &store.store, &device, NULL), 0);
    check_ranges();
    unmake();
}

static void test_damage(void **state)
{
    uint8_t bytes[512];
    unsigned failed = 0, right = 0;

    (void)state;
    make(0);
    for (size_t at = 5000; at < store.volumes[0].size - 30000; at += store.volumes[0].size / 5)
        store.volumes[0].data[at] ^= 4;
    assert_int_equal(image_block_open(&maker.loop, &store.store, &device, NULL), 0);
    for (uint64_t offset = 0; offset < DISK; offset += 32768) {
        int status = block_read_bytes(device, offset, bytes, sizeof bytes, NULL);
        if (status) {
            assert_int_equal(status, -ERROR_CORRUPT);
            failed++;
        } else {
            assert_memory_equal(bytes, maker.disk + offset, sizeof bytes);
            right++;
        }
    }
    assert_true(failed > 0 && right > 0);
    unmake();
}

static void test_not_an_image(void **state)
{
    struct block_device *none;

    (void)state;
    make(0);
    store.volumes[0].size -= 100;
    assert_int_equal(image_block_open(&maker.loop, &store.store, &none, NULL), -ERROR_INCOMPLETE);
    store.volumes[0].size += 100;
    store.volumes[0].data[store.volumes[0].size - 40] ^= 1; /* inside the seek table: not looked at here */
    assert_int_equal(image_block_open(&maker.loop, &store.store, &device, NULL), 0);
    unmake();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges), cmocka_unit_test(test_volumes),      cmocka_unit_test(test_slow_stream),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_not_an_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
