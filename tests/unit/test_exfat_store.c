/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image files on exFAT volumes: what test_volume_store.c does not ask of every file system. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bytes.h"
#include "core/library.h"
#include "fs/drivers.h"
#include "fs/exfat.h"
#include "tests/support/emulated_device.h"
#include "tests/support/exfat_lab.h"
#include "tests/support/test_platform.h"
#include "tests/support/volume_maker.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* Free space in small pieces: the file becomes a chain in the FAT, and the volume gets back what it had. */
static void test_fragments(void **state)
{
    const size_t piece = 24 * KIB, size = 700 * KIB + 17, step = 100 * KIB;
    uint8_t *bytes = malloc(size), *back = malloc(size);
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    uint64_t free_space;
    unsigned count = 0;
    size_t transferred;

    (void)state;
    test_garbage(bytes, size, 5);
    exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
    store = exfat_lab_open_store(volume.device, "piece", true);
    for (; store->free_space(store) >= piece; count++)
        exfat_lab_write_file(store, count + 1, bytes, piece);
    assert_true(count > 60);
    for (unsigned i = 0; i < count; i += 2)
        assert_int_equal(store->remove(store, i + 1, NULL), 0);
    free_space = store->free_space(store);
    store->close(store);

    store = exfat_lab_open_store(volume.device, "Größe/ε.eid", true);
    stream = exfat_lab_open_file(store, 0, true);
    for (size_t at = 0; at < size; at += step) {
        assert_int_equal(stream_write(stream, at, bytes + at, size - at < step ? size - at : step, NULL), 0);
        assert_int_equal(stream_flush(stream, NULL), 0);
    }
    /* What is before the end can be written again. */
    test_garbage(bytes + 50 * KIB, 60 * KIB, 6);
    assert_int_equal(stream_write(stream, 50 * KIB, bytes + 50 * KIB, 60 * KIB, NULL), 0);
    assert_int_equal(stream_close(stream, NULL), 0);
    store->close(store);
    exfat_lab_assert_clean(&volume);
    exfat_lab_assert_file(&volume, "größe/Ε.EID", bytes, size);
    test_garbage(back, piece, 5);
    exfat_lab_assert_file(&volume, "piece.002", back, piece);

    store = exfat_lab_open_store(volume.device, "GRÖSSE/ε.eid", false);
    assert_int_equal(store->open(store, 0, false, &stream, NULL), -ERROR_NOT_FOUND);
    store->close(store);
    store = exfat_lab_open_store(volume.device, "GRÖßE/Ε.eid", true);
    stream = exfat_lab_open_file(store, 0, false);
    assert_int_equal(stream_read(stream, 0, back, size, &transferred, NULL), 0);
    assert_int_equal(transferred, size);
    assert_memory_equal(back, bytes, size);
    assert_int_equal(store->remove(store, 0, NULL), -ERROR_BUSY);
    assert_int_equal(stream_close(stream, NULL), 0);
    assert_int_equal(store->remove(store, 0, NULL), 0);
    /* The folder stays. */
    assert_int_equal(store->free_space(store), free_space - 4 * KIB);
    store->close(store);
    exfat_lab_assert_clean(&volume);
    test_volume_free(&volume);
    free(bytes);
    free(back);
}

/* One run needs no chain, and is not made two by what is claimed ahead. */
static void test_contiguous(void **state)
{
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    uint8_t *bytes = calloc(1, MIB);
    uint64_t free_space;

    (void)state;
    exfat_lab_format(&volume, 64 * MIB, "-c 32K");
    store = exfat_lab_open_store(volume.device, "big.eid", true);
    free_space = store->free_space(store);
    stream = exfat_lab_open_file(store, 0, true);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(stream_write(stream, (uint64_t)i * MIB, bytes, MIB, NULL), 0);
        assert_int_equal(stream_flush(stream, NULL), 0);
    }
    assert_int_equal(stream_close(stream, NULL), 0);
    assert_int_equal(store->free_space(store), free_space - 40 * MIB);
    store->close(store);
    exfat_lab_assert_clean(&volume);
    assert_int_equal(exfat_lab_entry(&volume, 0x85)[32 + 1], 3); /* NoFatChain */
    test_volume_free(&volume);
    free(bytes);
}

/* The two entries that change with a file's size lie in one block, wherever the folder has room. */
static void test_entries_in_one_block(void **state)
{
    struct test_volume volume;
    unsigned files = 0;

    (void)state;
    exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
    for (unsigned i = 0; i < 30; i++) {
        char path[64];
        struct stream_store *store;

        snprintf(path, sizeof path, "%.*s%u", (int)(i % 7 * 5), "a name that becomes longer and longer", i);
        store = exfat_lab_open_store(volume.device, path, true);
        exfat_lab_write_file(store, 0, (const uint8_t *)path, i);
        store->close(store);
    }
    for (size_t at = 0; at + 32 <= 4096; at += 32) {
        if (exfat_lab_root(&volume)[at] != 0x85)
            continue;
        assert_int_not_equal(at % 512, 480);
        files++;
    }
    assert_int_equal(files, 30);
    exfat_lab_assert_clean(&volume);
    test_volume_free(&volume);
}

/* What the specification tells to pass over is passed over, and still there afterwards. */
static void test_benign_entry(void **state)
{
    struct test_volume volume;
    struct stream_store *store;
    uint8_t guid[32] = {0xa0, 0, 1, 2, 0, 0, 9, 9, 9, 9}, *place;

    (void)state;
    exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
    place = exfat_lab_entry(&volume, 0x82) + 32;
    assert_int_equal(*place, 0);
    memcpy(place, guid, sizeof guid);
    store = exfat_lab_open_store(volume.device, "new.eid", true);
    exfat_lab_write_file(store, 0, guid, sizeof guid);
    store->close(store);
    assert_memory_equal(place, guid, sizeof guid);
    exfat_lab_assert_file(&volume, "new.eid", guid, sizeof guid);
    test_volume_free(&volume);
}

static void clear_bit(uint8_t *bitmap, uint32_t cluster)
{
    bitmap[(cluster - 2) / 8] &= (uint8_t) ~(1u << (cluster - 2) % 8);
}

static void mark_dirty(struct test_volume *volume)
{
    exfat_lab_boot_sector(volume)[106] |= 2;
}

static void free_root(struct test_volume *volume)
{
    clear_bit(exfat_lab_cluster(volume, load_le32(exfat_lab_entry(volume, 0x81) + 20)),
              load_le32(exfat_lab_boot_sector(volume) + 96));
}

static void free_bitmap(struct test_volume *volume)
{
    uint32_t cluster = load_le32(exfat_lab_entry(volume, 0x81) + 20);

    clear_bit(exfat_lab_cluster(volume, cluster), cluster);
}

static void claim_texfat(struct test_volume *volume)
{
    exfat_lab_boot_sector(volume)[110] = 2;
}

static void grow_heap(struct test_volume *volume)
{
    exfat_lab_boot_sector(volume)[94] = 1; /* 65536 clusters more than there are */
}

static void add_critical_entry(struct test_volume *volume)
{
    exfat_lab_entry(volume, 0x82)[32] = 0x86;
}

/* Volumes that must not be written, or cannot be understood, are left as they are. */
static void test_refused(void **state)
{
    static const struct {
        void (*damage)(struct test_volume *volume);
        int status;
    } cases[] = {
        {mark_dirty, -ERROR_REFUSED},       {free_root, -ERROR_CORRUPT}, {free_bitmap, -ERROR_CORRUPT},
        {claim_texfat, -ERROR_UNSUPPORTED}, {grow_heap, -ERROR_CORRUPT}, {add_critical_entry, -ERROR_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;
        struct stream_store *store;
        struct error error = {0};
        uint8_t *before;

        exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
        cases[i].damage(&volume);
        before = malloc(volume.size);
        memcpy(before, volume.bytes, volume.size);
        assert_int_equal(exfat_filesystem.open_store(volume.device, "x.eid", true, &store, &error), cases[i].status);
        assert_int_not_equal(error.detail[0], 0);
        assert_memory_equal(before, volume.bytes, volume.size);
        free(before);
        test_volume_free(&volume);
    }
}

static void test_names(void **state)
{
    static const char *const names[] = {"a?b", "a:b", "bad\xffname", "surrogate\xed\xa0\x80",
                                        "too\xf5\x80\x80\x80"
                                        "far"};
    char long_name[300];
    struct test_volume volume;

    (void)state;
    exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
    memset(long_name, 'x', sizeof long_name);
    long_name[256] = 0;
    for (size_t i = 0; i <= sizeof names / sizeof names[0]; i++) {
        const char *name = i < sizeof names / sizeof names[0] ? names[i] : long_name;
        struct stream_store *store = exfat_lab_open_store(volume.device, name, true);
        struct stream *stream;

        assert_int_equal(store->open(store, 0, true, &stream, NULL), -ERROR_USAGE);
        store->close(store);
    }
    exfat_lab_assert_clean(&volume);
    test_volume_free(&volume);
}

/* --- power cuts --- */

#define SEGMENTS 5
#define SEGMENT (150 * KIB + 100)

/* Writes segments, flushing each, until the power fails; returns how many were safe. */
static unsigned write_until_cut(struct block_device *device, const uint8_t *bytes)
{
    struct stream_store *store;
    struct stream *stream;
    unsigned safe = 0;

    if (exfat_filesystem.open_store(device, "images/cut.eid", true, &store, NULL) < 0)
        return 0;
    if (store->open(store, 0, true, &stream, NULL) == 0) {
        for (; safe < SEGMENTS; safe++)
            if (stream_write(stream, safe * SEGMENT, bytes + safe * SEGMENT, SEGMENT, NULL) < 0 ||
                stream_flush(stream, NULL) < 0)
                break;
        stream_close(stream, NULL);
    }
    store->close(store);
    return safe;
}

/* What survived has the safe segments whole, says that it was not closed, and no cluster of the file is free. */
static void assert_survived(struct test_volume *volume, struct emulated_device *emulated, const uint8_t *bytes,
                            unsigned safe, bool ask_others)
{
    struct stream_store *store = exfat_lab_open_store(&emulated->device, "images/cut.eid", false);
    struct allocation allocation;
    struct stream *stream;
    uint8_t *back = malloc(SEGMENTS * SEGMENT);
    size_t transferred;

    if (safe) {
        stream = exfat_lab_open_file(store, 0, false);
        assert_true(stream->size >= safe * SEGMENT);
        assert_int_equal(stream_read(stream, 0, back, safe * SEGMENT, &transferred, NULL), 0);
        assert_int_equal(transferred, safe * SEGMENT);
        assert_memory_equal(back, bytes, safe * SEGMENT);
        stream_close(stream, NULL);
    }
    store->close(store);
    free(back);
    assert_int_equal(filesystem_allocation(&emulated->device, &allocation), 0);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    allocation_free(&allocation);
    if (!ask_others || !safe)
        return;
    memcpy(volume->bytes, emulated->stable, volume->size);
    assert_int_equal(test_volume_run(volume, "$TESTS/exfat_cat.py image images/cut.eid >out"), 0);
    assert_int_equal(test_volume_run(volume, "fsck.exfat -y image; fsck.exfat -n image"), 0);
    assert_int_equal(
        test_volume_run(volume, "$TESTS/exfat_cat.py image images/cut.eid | head -c %u >out", safe * SEGMENT), 0);
}

static void test_power_cut(void **state)
{
    uint8_t *bytes = malloc(SEGMENTS * SEGMENT), *empty;
    struct test_volume volume;
    unsigned cuts = 0, whole = 0;

    (void)state;
    test_garbage(bytes, SEGMENTS * SEGMENT, 11);
    exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
    empty = malloc(volume.size);
    memcpy(empty, volume.bytes, volume.size);
    for (uint64_t at = 3; whole < 2; at += 1 + at / 40, cuts++) {
        struct emulated_options options = {.block_count = volume.size / 512, .seed = (uint32_t)at, .queue_depth = 4};
        struct emulated_device emulated = {0};
        struct test_platform test;
        struct loop loop;
        unsigned safe;

        test_platform_init(&test);
        loop_init(&loop, &test.platform);
        library_init(&test.platform);
        emulated_start(&emulated, &loop, &options);
        memcpy(emulated.contents, empty, volume.size);
        memcpy(emulated.stable, empty, volume.size);
        emulated.power_cut_at = at;
        safe = write_until_cut(&emulated.device, bytes);
        if (!emulated.powered_off) {
            assert_int_equal(safe, SEGMENTS);
            whole++;
            emulated_power_cut(&emulated);
        }
        block_device_stop(&emulated.device);
        emulated_power_on(&emulated);
        assert_survived(&volume, &emulated, bytes, safe, cuts % 12 == 5);
        block_device_stop(&emulated.device);
        emulated_end(&emulated);
        library_init(NULL);
    }
    assert_true(cuts > 40);
    free(empty);
    free(bytes);
    test_volume_free(&volume);
}

/* Space is known before, shrinks with what is written, and its end is an error that harms nothing. */
static void test_full_with_folders(void **state)
{
    uint8_t *bytes = calloc(1, MIB);
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    uint64_t free_space;
    int status = 0;

    (void)state;
    exfat_lab_format(&volume, 4 * MIB, "-c 4096 -b 4096");
    store = exfat_lab_open_store(volume.device, "fill.eid", true);
    free_space = store->free_space(store);
    stream = exfat_lab_open_file(store, 0, true);
    assert_int_equal(stream_write(stream, 0, bytes, MIB, NULL), 0);
    assert_int_equal(stream_write(stream, MIB, bytes, MIB, NULL), 0);
    for (uint64_t at = 2 * MIB; (status = stream_write(stream, at, bytes, 4 * KIB, NULL)) == 0;)
        at += 4 * KIB;
    assert_int_equal(status, -ERROR_NO_SPACE);
    assert_int_equal(stream_close(stream, NULL), 0);
    assert_int_equal(store->free_space(store), 0);
    store->close(store);
    /* No room for a folder. */
    store = exfat_lab_open_store(volume.device, "new/x.eid", true);
    assert_int_equal(store->open(store, 0, true, &stream, NULL), -ERROR_NO_SPACE);
    store->close(store);
    exfat_lab_assert_clean(&volume);
    store = exfat_lab_open_store(volume.device, "fill.eid", true);
    assert_int_equal(store->remove(store, 0, NULL), 0);
    assert_int_equal(store->free_space(store), free_space);
    store->close(store);
    exfat_lab_assert_clean(&volume);
    test_volume_free(&volume);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_contiguous),
        cmocka_unit_test(test_entries_in_one_block),
        cmocka_unit_test(test_benign_entry),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_full_with_folders),
    };
    char folder[PATH_MAX];

    if (!realpath("tests/support", folder))
        return 2;
    setenv("TESTS", folder, 1);
    filesystem_register(&exfat_filesystem);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
