/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exFAT volumes that were not ejected, on disks that are slow, cannot be read, or lose power again and again. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/library.h"
#include "fs/drivers.h"
#include "tests/support/emulated_device.h"
#include "tests/support/exfat_lab.h"
#include "tests/support/test_platform.h"

#define KIB 1024u
#define MIB (1024u * KIB)

struct bench {
    struct test_platform test;
    struct loop loop;
    struct emulated_device emulated;
};

static void bench_start(struct bench *bench, const uint8_t *bytes, size_t size, struct emulated_options options)
{
    memset(bench, 0, sizeof *bench);
    options.block_count = size / 512;
    options.queue_depth = 4;
    test_platform_init(&bench->test);
    loop_init(&bench->loop, &bench->test.platform);
    library_init(&bench->test.platform);
    emulated_start(&bench->emulated, &bench->loop, &options);
    memcpy(bench->emulated.contents, bytes, size);
    memcpy(bench->emulated.stable, bytes, size);
}

static void bench_end(struct bench *bench)
{
    emulated_end(&bench->emulated);
    library_init(NULL);
}

/* A small image, and a folder of a megabyte in which no entry is in use. Dirty. */
static void make_large_folder(struct test_volume *volume)
{
    uint8_t *bytes = malloc(MIB), *set;
    struct stream_store *store;

    memset(bytes, 5, MIB);
    exfat_lab_format(volume, 4 * MIB, "-c 4096 -b 4096");
    store = exfat_lab_open_store(volume->device, "image", true);
    exfat_lab_write_file(store, 0, bytes, 100);
    store->close(store);
    store = exfat_lab_open_store(volume->device, "large", true);
    exfat_lab_write_file(store, 0, bytes, MIB);
    store->close(store);
    set = exfat_lab_set(exfat_lab_root(volume), 'l');
    set[4] |= 0x10;
    exfat_lab_seal(set);
    exfat_lab_mark_dirty(volume);
    free(bytes);
}

/* An audit ends at a time, and when a person wants it to. */
static void test_slow(void **state)
{
    struct test_volume volume;
    struct bench bench;
    struct stream_store *store;
    struct error error = {0};

    (void)state;
    make_large_folder(&volume);
    bench_start(&bench, volume.bytes, volume.size,
                (struct emulated_options){.latency = 10 * NANOSECONDS_PER_SECOND, .seed = 1});
    assert_int_equal(exfat_filesystem.open_store(&bench.emulated.device, "image", true, &store, &error),
                     -ERROR_REFUSED);
    assert_non_null(strstr(error.detail, "too much on it"));
    bench.test.cancel = true;
    assert_int_equal(exfat_filesystem.open_store(&bench.emulated.device, "image", true, &store, &error),
                     -ERROR_CANCELLED);
    assert_true(emulated_untouched(&bench.emulated));
    bench_end(&bench);
    store = exfat_lab_open_store(volume.device, "image", true);
    store->close(store);
    test_volume_free(&volume);
}

static void test_unreadable(void **state)
{
    struct test_volume volume;
    struct bench bench;
    struct stream_store *store;
    struct error error = {0};
    uint64_t at;

    (void)state;
    make_large_folder(&volume);
    at = (uint64_t)(exfat_lab_cluster(&volume, exfat_lab_first(exfat_lab_set(exfat_lab_root(&volume), 'l'))) -
                    volume.bytes) /
         512;
    bench_start(&bench, volume.bytes, volume.size, (struct emulated_options){.seed = 1});
    emulated_add_fault(&bench.emulated, FAULT_ERROR, at + 300, 1);
    assert_int_equal(exfat_filesystem.open_store(&bench.emulated.device, "image", true, &store, &error), -ERROR_MEDIUM);
    assert_in_range(error.block, at + 300 - 31, at + 300);
    assert_true(emulated_untouched(&bench.emulated));
    bench_end(&bench);
    test_volume_free(&volume);
}

#define SEGMENTS 5
#define SEGMENT (150 * KIB + 100)

/* Begins an image, or goes on with one that has `safe` segments; until the power fails. How many are safe. -1: it was refused. */
static int write_segments(struct block_device *device, const uint8_t *bytes, int safe)
{
    struct stream_store *store;
    struct stream *stream;
    int status;

    if (exfat_filesystem.open_store(device, "images/cut.eid", true, &store, NULL) < 0)
        return safe ? -1 : 0;
    status = safe ? store->reopen(store, 0, (uint64_t)safe * SEGMENT, &stream, NULL)
                  : store->open(store, 0, true, &stream, NULL);
    if (status == 0) {
        for (; safe < SEGMENTS; safe++)
            if (stream_write(stream, (uint64_t)safe * SEGMENT, bytes + (uint64_t)safe * SEGMENT, SEGMENT, NULL) < 0 ||
                stream_flush(stream, NULL) < 0)
                break;
        stream_close(stream, NULL);
    }
    store->close(store);
    return safe;
}

static void power_again(struct bench *bench)
{
    if (!bench->emulated.powered_off)
        emulated_power_cut(&bench->emulated);
    block_device_stop(&bench->emulated.device);
    emulated_power_on(&bench->emulated);
}

/* The image is whole, and no other program finds anything wrong but that a volume was not ejected. */
static bool judge(struct test_volume *volume, const struct bench *bench, const uint8_t *bytes)
{
    bool dirty;

    memcpy(volume->bytes, bench->emulated.stable, volume->size);
    dirty = exfat_lab_is_dirty(volume);
    exfat_lab_boot_sector(volume)[106] &= (uint8_t)~2;
    if (!dirty)
        exfat_lab_assert_clean(volume);
    exfat_lab_assert_file(volume, "images/cut.eid", bytes, SEGMENTS * SEGMENT);
    exfat_lab_mark_dirty(volume);
    test_volume_run(volume, "fsck.exfat -y image");
    exfat_lab_assert_clean(volume);
    exfat_lab_assert_file(volume, "images/cut.eid", bytes, SEGMENTS * SEGMENT);
    exfat_lab_assert_file(volume, "piece.002", bytes, 24 * KIB);
    return dirty;
}

static uint64_t all_requests(const struct emulated_device *emulated)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < 5; i++)
        count += emulated->requests[i];
    return count;
}

/* Cut off once more while it goes on. What is safe then. */
static int go_on_until_cut(struct bench *bench, const uint8_t *bytes, int safe, uint64_t requests)
{
    int more;

    bench->emulated.power_cut_at = all_requests(&bench->emulated) + requests;
    more = write_segments(&bench->emulated.device, bytes, safe);
    assert_true(more >= 0 || bench->emulated.powered_off); /* in the middle of the audit, that is */
    power_again(bench);
    return more < 0 ? safe : more;
}

/* A volume with files of 24 KiB and the room of every second one, on which the image will be one run or many. */
static uint8_t *make_pieces(struct test_volume *volume, unsigned most, const uint8_t *bytes)
{
    struct stream_store *store;
    uint8_t *copy;
    unsigned count = 0;

    exfat_lab_format(volume, 4 * MIB, "-c 4096 -b 4096");
    store = exfat_lab_open_store(volume->device, "piece", true);
    for (; store->free_space(store) >= 24 * KIB && count < most; count++)
        exfat_lab_write_file(store, count + 1, bytes, 24 * KIB);
    for (unsigned i = 0; i < count; i += 2)
        assert_int_equal(store->remove(store, i + 1, NULL), 0);
    store->close(store);
    copy = malloc(volume->size);
    memcpy(copy, volume->bytes, volume->size);
    return copy;
}

/*
 * Cut off at all kinds of requests, and in the middle of going on once more: from the first safe segment on it is never refused, and
 * what comes out is whole.
 */
static void test_power_cut(void **state)
{
    const unsigned *pieces = *state;
    uint8_t *bytes = malloc(SEGMENTS * SEGMENT), *begin;
    unsigned whole = 0, gone_on = 0, dirty = 0;
    struct test_volume volume;

    test_garbage(bytes, SEGMENTS * SEGMENT, 11);
    begin = make_pieces(&volume, *pieces, bytes);
    for (uint64_t at = 3; whole < 2; at++) {
        struct bench bench;
        int safe;

        bench_start(&bench, begin, volume.size, (struct emulated_options){.seed = (uint32_t)at});
        bench.emulated.power_cut_at = at;
        safe = write_segments(&bench.emulated.device, bytes, 0);
        whole += !bench.emulated.powered_off;
        power_again(&bench);
        if (safe > 0) {
            safe = go_on_until_cut(&bench, bytes, safe, 10 + at * 7 % 60);
            assert_int_equal(write_segments(&bench.emulated.device, bytes, safe), SEGMENTS);
            gone_on++;
            if (gone_on % 5 == 0)
                dirty += judge(&volume, &bench, bytes);
        }
        block_device_stop(&bench.emulated.device);
        bench_end(&bench);
    }
    assert_true(gone_on > 40);
    assert_true(dirty < gone_on / 8);
    free(begin);
    free(bytes);
    test_volume_free(&volume);
}

int main(void)
{
    static unsigned one_run = 3, many_runs = 1000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test_prestate(test_power_cut, &one_run),
        cmocka_unit_test_prestate(test_power_cut, &many_runs),
    };
    char folder[PATH_MAX];

    if (!realpath("tests/support", folder))
        return 2;
    setenv("TESTS", folder, 1);
    filesystem_register(&exfat_filesystem);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
