/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image files on exFAT volumes: what test_volume_store.c does not ask of every file system. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/library.h"
#include "fs/drivers.h"
#include "fs/exfat.h"
#include "tests/support/emulated_device.h"
#include "tests/support/test_platform.h"
#include "tests/support/volume_maker.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static void format(struct test_volume *volume, size_t size, const char *options)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "mkfs.exfat %s image", options), 0);
    test_volume_open(volume, 512);
}

static struct stream_store *open_store(struct block_device *device, const char *path, bool write)
{
    struct stream_store *store = NULL;
    struct error error = {0};

    if (exfat_filesystem.open_store(device, path, write, &store, &error) < 0)
        fail_msg("%s, %s", error_code_name(error.code), error.detail);
    return store;
}

static struct stream *open_file(struct stream_store *store, unsigned volume, bool write)
{
    struct stream *stream = NULL;
    struct error error = {0};

    if (store->open(store, volume, write, &stream, &error) < 0)
        fail_msg("%s, %s", error_code_name(error.code), error.detail);
    return stream;
}

static void write_file(struct stream_store *store, unsigned volume, const uint8_t *bytes, size_t size)
{
    struct stream *stream = open_file(store, volume, true);

    assert_int_equal(stream_write(stream, 0, bytes, size, NULL), 0);
    assert_int_equal(stream_close(stream, NULL), 0);
}

static void assert_clean(struct test_volume *volume)
{
    assert_int_equal(test_volume_run(volume, "fsck.exfat -n image && $TESTS/exfat_cat.py image"), 0);
}

/* Read by a program that knows nothing of ours. */
static void assert_file(struct test_volume *volume, const char *path, const uint8_t *bytes, size_t size)
{
    char name[128];
    FILE *file;

    snprintf(name, sizeof name, "%s/expected", volume->folder);
    file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    assert_int_equal(test_volume_run(volume, "$TESTS/exfat_cat.py image '%s' >out && cmp out expected", path), 0);
}

static uint8_t *boot_sector(struct test_volume *volume)
{
    return volume->bytes;
}

static uint32_t number_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint8_t *cluster_at(struct test_volume *volume, uint32_t cluster)
{
    const uint8_t *boot = boot_sector(volume);
    uint64_t heap = (uint64_t)number_at(boot + 88) << boot[108];

    return volume->bytes + heap + ((uint64_t)(cluster - 2) << (boot[108] + boot[109]));
}

static uint8_t *root_of(struct test_volume *volume)
{
    return cluster_at(volume, number_at(boot_sector(volume) + 96));
}

/* The root directory's first entry of a type. */
static uint8_t *entry_of(struct test_volume *volume, uint8_t type)
{
    uint8_t *entry = root_of(volume);

    while (*entry != type) {
        assert_int_not_equal(*entry, 0);
        entry += 32;
    }
    return entry;
}

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
    format(&volume, 4 * MIB, "-c 4096 -b 4096");
    store = open_store(volume.device, "piece", true);
    for (; store->free_space(store) >= piece; count++)
        write_file(store, count + 1, bytes, piece);
    assert_true(count > 60);
    for (unsigned i = 0; i < count; i += 2)
        assert_int_equal(store->remove(store, i + 1, NULL), 0);
    free_space = store->free_space(store);
    store->close(store);

    store = open_store(volume.device, "Größe/ε.eid", true);
    stream = open_file(store, 0, true);
    for (size_t at = 0; at < size; at += step) {
        assert_int_equal(stream_write(stream, at, bytes + at, size - at < step ? size - at : step, NULL), 0);
        assert_int_equal(stream_flush(stream, NULL), 0);
    }
    /* What is before the end can be written again. */
    test_garbage(bytes + 50 * KIB, 60 * KIB, 6);
    assert_int_equal(stream_write(stream, 50 * KIB, bytes + 50 * KIB, 60 * KIB, NULL), 0);
    assert_int_equal(stream_close(stream, NULL), 0);
    store->close(store);
    assert_clean(&volume);
    assert_file(&volume, "größe/Ε.EID", bytes, size);
    test_garbage(back, piece, 5);
    assert_file(&volume, "piece.002", back, piece);

    store = open_store(volume.device, "GRÖSSE/ε.eid", false);
    assert_int_equal(store->open(store, 0, false, &stream, NULL), -ERROR_NOT_FOUND);
    store->close(store);
    store = open_store(volume.device, "GRÖßE/Ε.eid", true);
    stream = open_file(store, 0, false);
    assert_int_equal(stream_read(stream, 0, back, size, &transferred, NULL), 0);
    assert_int_equal(transferred, size);
    assert_memory_equal(back, bytes, size);
    assert_int_equal(store->remove(store, 0, NULL), -ERROR_BUSY);
    assert_int_equal(stream_close(stream, NULL), 0);
    assert_int_equal(store->remove(store, 0, NULL), 0);
    /* The folder stays. */
    assert_int_equal(store->free_space(store), free_space - 4 * KIB);
    store->close(store);
    assert_clean(&volume);
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
    format(&volume, 64 * MIB, "-c 32K");
    store = open_store(volume.device, "big.eid", true);
    free_space = store->free_space(store);
    stream = open_file(store, 0, true);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(stream_write(stream, (uint64_t)i * MIB, bytes, MIB, NULL), 0);
        assert_int_equal(stream_flush(stream, NULL), 0);
    }
    assert_int_equal(stream_close(stream, NULL), 0);
    assert_int_equal(store->free_space(store), free_space - 40 * MIB);
    store->close(store);
    assert_clean(&volume);
    assert_int_equal(entry_of(&volume, 0x85)[32 + 1], 3); /* NoFatChain */
    test_volume_free(&volume);
    free(bytes);
}

/* The two entries that change with a file's size lie in one block, wherever the folder has room. */
static void test_entries_in_one_block(void **state)
{
    struct test_volume volume;
    unsigned files = 0;

    (void)state;
    format(&volume, 4 * MIB, "-c 4096 -b 4096");
    for (unsigned i = 0; i < 30; i++) {
        char path[64];
        struct stream_store *store;

        snprintf(path, sizeof path, "%.*s%u", (int)(i % 7 * 5), "a name that becomes longer and longer", i);
        store = open_store(volume.device, path, true);
        write_file(store, 0, (const uint8_t *)path, i);
        store->close(store);
    }
    for (size_t at = 0; at + 32 <= 4096; at += 32) {
        if (root_of(&volume)[at] != 0x85)
            continue;
        assert_int_not_equal(at % 512, 480);
        files++;
    }
    assert_int_equal(files, 30);
    assert_clean(&volume);
    test_volume_free(&volume);
}

/* What the specification tells to pass over is passed over, and still there afterwards. */
static void test_benign_entry(void **state)
{
    struct test_volume volume;
    struct stream_store *store;
    uint8_t guid[32] = {0xa0, 0, 1, 2, 0, 0, 9, 9, 9, 9}, *place;

    (void)state;
    format(&volume, 4 * MIB, "-c 4096 -b 4096");
    place = entry_of(&volume, 0x82) + 32;
    assert_int_equal(*place, 0);
    memcpy(place, guid, sizeof guid);
    store = open_store(volume.device, "new.eid", true);
    write_file(store, 0, guid, sizeof guid);
    store->close(store);
    assert_memory_equal(place, guid, sizeof guid);
    assert_file(&volume, "new.eid", guid, sizeof guid);
    test_volume_free(&volume);
}

static void clear_bit(uint8_t *bitmap, uint32_t cluster)
{
    bitmap[(cluster - 2) / 8] &= (uint8_t) ~(1u << (cluster - 2) % 8);
}

static void mark_dirty(struct test_volume *volume)
{
    boot_sector(volume)[106] |= 2;
}

static void free_root(struct test_volume *volume)
{
    clear_bit(cluster_at(volume, number_at(entry_of(volume, 0x81) + 20)), number_at(boot_sector(volume) + 96));
}

static void free_bitmap(struct test_volume *volume)
{
    uint32_t cluster = number_at(entry_of(volume, 0x81) + 20);

    clear_bit(cluster_at(volume, cluster), cluster);
}

static void claim_texfat(struct test_volume *volume)
{
    boot_sector(volume)[110] = 2;
}

static void grow_heap(struct test_volume *volume)
{
    boot_sector(volume)[94] = 1; /* 65536 clusters more than there are */
}

static void add_critical_entry(struct test_volume *volume)
{
    entry_of(volume, 0x82)[32] = 0x86;
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

        format(&volume, 4 * MIB, "-c 4096 -b 4096");
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
    format(&volume, 4 * MIB, "-c 4096 -b 4096");
    memset(long_name, 'x', sizeof long_name);
    long_name[256] = 0;
    for (size_t i = 0; i <= sizeof names / sizeof names[0]; i++) {
        const char *name = i < sizeof names / sizeof names[0] ? names[i] : long_name;
        struct stream_store *store = open_store(volume.device, name, true);
        struct stream *stream;

        assert_int_equal(store->open(store, 0, true, &stream, NULL), -ERROR_USAGE);
        store->close(store);
    }
    assert_clean(&volume);
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
    struct stream_store *store = open_store(&emulated->device, "images/cut.eid", false);
    struct allocation allocation;
    struct stream *stream;
    uint8_t *back = malloc(SEGMENTS * SEGMENT);
    size_t transferred;

    if (safe) {
        stream = open_file(store, 0, false);
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
    format(&volume, 4 * MIB, "-c 4096 -b 4096");
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
    format(&volume, 4 * MIB, "-c 4096 -b 4096");
    store = open_store(volume.device, "fill.eid", true);
    free_space = store->free_space(store);
    stream = open_file(store, 0, true);
    assert_int_equal(stream_write(stream, 0, bytes, MIB, NULL), 0);
    assert_int_equal(stream_write(stream, MIB, bytes, MIB, NULL), 0);
    for (uint64_t at = 2 * MIB; (status = stream_write(stream, at, bytes, 4 * KIB, NULL)) == 0;)
        at += 4 * KIB;
    assert_int_equal(status, -ERROR_NO_SPACE);
    assert_int_equal(stream_close(stream, NULL), 0);
    assert_int_equal(store->free_space(store), 0);
    store->close(store);
    /* No room for a folder. */
    store = open_store(volume.device, "new/x.eid", true);
    assert_int_equal(store->open(store, 0, true, &stream, NULL), -ERROR_NO_SPACE);
    store->close(store);
    assert_clean(&volume);
    store = open_store(volume.device, "fill.eid", true);
    assert_int_equal(store->remove(store, 0, NULL), 0);
    assert_int_equal(store->free_space(store), free_space);
    store->close(store);
    assert_clean(&volume);
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
