/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exFAT volumes that were not ejected: an image goes on where all is whole, and nothing is written where it is not. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bytes.h"
#include "fs/drivers.h"
#include "tests/support/exfat_lab.h"

#define MIB (1024u * 1024)
#define CLUSTER EXFAT_LAB_CLUSTER
#define ENTRY 32
#define FAT_END 0xffffffffu

/* --- volumes as bytes --- */

static uint8_t *fat_entry(struct test_volume *volume, uint32_t cluster)
{
    const uint8_t *boot = exfat_lab_boot_sector(volume);

    return volume->bytes + ((uint64_t)load_le32(boot + 80) << boot[108]) + 4 * cluster;
}

static void set_bit(struct test_volume *volume, uint32_t cluster, bool value)
{
    uint8_t *bitmap = exfat_lab_cluster(volume, load_le32(exfat_lab_entry(volume, 0x81) + 20));
    uint8_t mask = (uint8_t)(1u << (cluster - 2) % 8);

    bitmap += (cluster - 2) / 8;
    *bitmap = value ? *bitmap | mask : *bitmap & (uint8_t)~mask;
}

static bool bit_of(struct test_volume *volume, uint32_t cluster)
{
    const uint8_t *bitmap = exfat_lab_cluster(volume, load_le32(exfat_lab_entry(volume, 0x81) + 20));

    return bitmap[(cluster - 2) / 8] >> (cluster - 2) % 8 & 1;
}

static uint32_t last_cluster(struct test_volume *volume)
{
    return load_le32(exfat_lab_boot_sector(volume) + 92) + 1;
}

static void set_bytes(uint8_t *set, uint64_t bytes)
{
    store_le64(set + ENTRY + 8, bytes);
    store_le64(set + ENTRY + 24, bytes);
}

/* A file of one run gets a chain. */
static void chain(struct test_volume *volume, uint8_t *set)
{
    uint32_t first = exfat_lab_first(set), count = (uint32_t)((load_le64(set + ENTRY + 24) + CLUSTER - 1) / CLUSTER);

    set[ENTRY + 1] = 1;
    for (uint32_t i = 0; i < count; i++)
        store_le32(fat_entry(volume, first + i), i + 1 < count ? first + i + 1 : FAT_END);
    exfat_lab_seal(set);
}

/* --- a volume, and what may be wrong with it --- */

#define FILE_BYTES (10 * CLUSTER - 100)

static void write_path(struct test_volume *volume, const char *path, const uint8_t *bytes, size_t size)
{
    struct stream_store *store = exfat_lab_open_store(volume->device, path, true);

    exfat_lab_write_file(store, 0, bytes, size);
    store->close(store);
}

/* "image" and a folder "f" with files: a and b are chains, c is one run, e is empty; a folder is in it as well. Dirty. */
static void make_volume(struct test_volume *volume)
{
    static uint8_t bytes[FILE_BYTES];
    uint8_t *folder;

    exfat_lab_format(volume, 4 * MIB, "-c 4096 -b 4096");
    test_garbage(bytes, sizeof bytes, 1);
    write_path(volume, "image", bytes, sizeof bytes);
    write_path(volume, "f/a", bytes, sizeof bytes);
    write_path(volume, "f/b", bytes, sizeof bytes);
    write_path(volume, "f/c", bytes, sizeof bytes);
    write_path(volume, "f/e", bytes, 0);
    write_path(volume, "f/within/x", bytes, 1);
    folder = exfat_lab_cluster(volume, exfat_lab_first(exfat_lab_set(exfat_lab_root(volume), 'f')));
    chain(volume, exfat_lab_set(folder, 'a'));
    chain(volume, exfat_lab_set(folder, 'b'));
    exfat_lab_assert_clean(volume);
    exfat_lab_mark_dirty(volume);
}

static uint8_t *folder_f(struct test_volume *volume)
{
    return exfat_lab_cluster(volume, exfat_lab_first(exfat_lab_set(exfat_lab_root(volume), 'f')));
}

static void two_chains_meet(struct test_volume *volume)
{
    uint32_t a = exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')),
             b = exfat_lab_first(exfat_lab_set(folder_f(volume), 'b'));

    store_le32(fat_entry(volume, a + 4), b + 5);
}

static void runs_overlap(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    store_le32(c + ENTRY + 20, exfat_lab_first(exfat_lab_set(folder_f(volume), 'b')) + 3);
    exfat_lab_seal(c);
}

static void chain_is_a_loop(struct test_volume *volume)
{
    uint32_t a = exfat_lab_first(exfat_lab_set(folder_f(volume), 'a'));

    store_le32(fat_entry(volume, a + 8), a + 2);
}

static void chain_ends_early(struct test_volume *volume)
{
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 5), FAT_END);
}

static void chain_meets_free(struct test_volume *volume)
{
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 5), 0);
}

static void chain_meets_bad(struct test_volume *volume)
{
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 5), 0xfffffff7);
}

static void chain_ends_in_bad(struct test_volume *volume)
{
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 9), 0xfffffff7);
}

static void chain_leaves_heap(struct test_volume *volume)
{
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 5), last_cluster(volume) + 1);
}

static void two_chains_go_on(struct test_volume *volume)
{
    uint32_t last = last_cluster(volume);

    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 9), last);
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'b')) + 9), last - 1);
}

static void folder_goes_on(struct test_volume *volume)
{
    uint8_t *within = exfat_lab_set(folder_f(volume), 'w');

    chain(volume, within);
    store_le32(fat_entry(volume, exfat_lab_first(within)), last_cluster(volume));
}

static void run_leaves_heap(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    store_le32(c + ENTRY + 20, last_cluster(volume) - 8);
    for (uint32_t cluster = last_cluster(volume) - 8; cluster <= last_cluster(volume); cluster++)
        set_bit(volume, cluster, true);
    exfat_lab_seal(c);
}

static void larger_than_volume(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    set_bytes(c, UINT64_MAX - 5);
    exfat_lab_seal(c);
}

static void more_valid_than_there(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    store_le64(c + ENTRY + 8, FILE_BYTES + 1);
    exfat_lab_seal(c);
}

static void folder_less_valid(struct test_volume *volume)
{
    uint8_t *within = exfat_lab_set(folder_f(volume), 'w');

    store_le64(within + ENTRY + 8, 512);
    exfat_lab_seal(within);
}

static void empty_with_clusters(struct test_volume *volume)
{
    uint8_t *e = exfat_lab_set(folder_f(volume), 'e');

    store_le32(e + ENTRY + 20, last_cluster(volume));
    exfat_lab_seal(e);
}

static void checksum_wrong(struct test_volume *volume)
{
    exfat_lab_set(folder_f(volume), 'c')[ENTRY + 24] ^= 1; /* still as many clusters */
}

static void set_is_torn(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    c[2 * ENTRY] = 0x41; /* its name is not in use */
    exfat_lab_seal(c);
}

static void no_stream(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    c[ENTRY] = 0xc1;
    exfat_lab_seal(c);
}

static void name_too_long(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    c[ENTRY + 3] = 16;
    exfat_lab_seal(c);
}

static void set_leaves_folder(struct test_volume *volume)
{
    uint8_t *end = folder_f(volume) + CLUSTER - ENTRY, *c = exfat_lab_set(folder_f(volume), 'c');

    for (uint8_t *entry = c + 3 * ENTRY; entry < end; entry += ENTRY)
        if (!entry[0])
            entry[0] = 5;
    memcpy(end, c, ENTRY);
}

static void cluster_free(struct test_volume *volume)
{
    set_bit(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'c')) + 9, false);
}

static void folder_in_itself(struct test_volume *volume)
{
    uint8_t *within = exfat_lab_set(folder_f(volume), 'w');

    store_le32(within + ENTRY + 20, exfat_lab_first(exfat_lab_set(exfat_lab_root(volume), 'f')));
    exfat_lab_seal(within);
}

static void folder_is_root(struct test_volume *volume)
{
    uint8_t *within = exfat_lab_set(folder_f(volume), 'w');

    store_le32(within + ENTRY + 20, load_le32(exfat_lab_boot_sector(volume) + 96));
    exfat_lab_seal(within);
}

static void folder_of_odd_size(struct test_volume *volume)
{
    uint8_t *within = exfat_lab_set(folder_f(volume), 'w');

    set_bytes(within, 544);
    exfat_lab_seal(within);
}

static void something_behind_end(struct test_volume *volume)
{
    folder_f(volume)[CLUSTER - ENTRY] = 5;
}

static void bitmap_in_folder(struct test_volume *volume)
{
    memcpy(folder_f(volume) + 20 * ENTRY, exfat_lab_entry(volume, 0x81), ENTRY);
    for (uint8_t *entry = folder_f(volume); entry < folder_f(volume) + 20 * ENTRY; entry += ENTRY)
        if (!entry[0])
            entry[0] = 5;
}

static uint8_t *behind_root(struct test_volume *volume)
{
    uint8_t *entry = exfat_lab_root(volume);

    while (*entry)
        entry += ENTRY;
    return entry;
}

static void unknown_benign(struct test_volume *volume)
{
    behind_root(volume)[0] = 0xa2;
}

static void guid_with_clusters(struct test_volume *volume)
{
    uint8_t *entry = behind_root(volume);

    entry[0] = 0xa0;
    entry[4] = 1;
}

/* An entry of a vendor behind the name of f/within, which says that it has the cluster of another file. */
static void add_vendor_entry(struct test_volume *volume, uint32_t cluster)
{
    uint8_t *within = exfat_lab_set(folder_f(volume), 'w'), *entry = within + 3 * ENTRY;

    assert_int_equal(within[1], 2);
    assert_int_equal(entry[0], 0);
    within[1] = 3;
    entry[0] = 0xe1;
    entry[1] = 3;
    store_le32(entry + 20, cluster);
    store_le64(entry + 24, 100);
    exfat_lab_seal(within);
}

static void vendor_owns_the_same(struct test_volume *volume)
{
    add_vendor_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'c')) + 1);
}

static void up_case_in_file(struct test_volume *volume)
{
    uint8_t *c = exfat_lab_set(folder_f(volume), 'c');

    store_le32(c + ENTRY + 20, load_le32(exfat_lab_entry(volume, 0x82) + 20));
    set_bytes(c, 100);
    exfat_lab_seal(c);
}

static void disk_is_failing(struct test_volume *volume)
{
    exfat_lab_boot_sector(volume)[106] |= 4;
}

static void assert_refused(struct test_volume *volume, const char *path, const char *words)
{
    uint8_t *before = malloc(volume->size);
    struct stream_store *store;
    struct error error = {0};

    memcpy(before, volume->bytes, volume->size);
    assert_int_equal(exfat_filesystem.open_store(volume->device, path, true, &store, &error), -ERROR_REFUSED);
    assert_non_null(strstr(error.detail, "it was not ejected cleanly"));
    assert_non_null(strstr(error.detail, "let Windows check it (chkdsk), or fsck.exfat, first"));
    if (!strstr(error.detail, words))
        fail_msg("%s: %s", words, error.detail);
    assert_memory_equal(before, volume->bytes, volume->size);
    free(before);
}

static void test_damage(void **state)
{
    static const struct {
        void (*damage)(struct test_volume *volume);
        const char *words;
    } cases[] = {
        {two_chains_meet, "a cluster belongs to two files"},
        {runs_overlap, "a cluster belongs to two files"},
        {chain_is_a_loop, "a cluster belongs to two files"},
        {chain_ends_early, "a chain of clusters is broken"},
        {chain_meets_free, "a chain of clusters is broken"},
        {chain_meets_bad, "a chain of clusters is broken"},
        {chain_ends_in_bad, "does not end where its file does"},
        {chain_leaves_heap, "a chain of clusters is broken"},
        {two_chains_go_on, "does not end where its file does"},
        {folder_goes_on, "does not end where its file does"},
        {run_leaves_heap, "a chain of clusters is broken"},
        {larger_than_volume, "a file is larger than the volume"},
        {more_valid_than_there, "contradicts itself"},
        {folder_less_valid, "contradicts itself"},
        {empty_with_clusters, "an empty file has clusters"},
        {checksum_wrong, "a folder entry is not whole"},
        {set_is_torn, "a folder entry is not whole"},
        {no_stream, "a folder entry is not whole"},
        {name_too_long, "a folder entry is not whole"},
        {set_leaves_folder, "a folder entry is not whole"},
        {cluster_free, "a cluster of a file is marked as free"},
        {folder_in_itself, "a cluster belongs to two files"},
        {folder_is_root, "a cluster belongs to two files"},
        {folder_of_odd_size, "a folder has a size that cannot be"},
        {something_behind_end, "behind the end of a folder"},
        {bitmap_in_folder, "a kind of folder entry that is not known"},
        {unknown_benign, "a kind of folder entry that is not known"},
        {guid_with_clusters, "a kind of folder entry that is not known"},
        {vendor_owns_the_same, "a cluster belongs to two files"},
        {up_case_in_file, "a cluster belongs to two files"},
        {disk_is_failing, "its disk is marked as failing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;

        make_volume(&volume);
        cases[i].damage(&volume);
        assert_refused(&volume, "image", cases[i].words);
        test_volume_free(&volume);
    }
}

/* The image goes on behind half of it, and is whole afterwards, as is what else is there. */
static void go_on(struct test_volume *volume)
{
    static uint8_t bytes[2 * FILE_BYTES];
    struct stream_store *store = exfat_lab_open_store(volume->device, "image", true);
    struct stream *stream;

    test_garbage(bytes, FILE_BYTES, 1);
    test_garbage(bytes + FILE_BYTES / 2, sizeof bytes - FILE_BYTES / 2, 2);
    assert_int_equal(store->reopen(store, 0, FILE_BYTES / 2, &stream, NULL), 0);
    assert_true(exfat_lab_is_dirty(volume));
    assert_int_equal(stream_write(stream, FILE_BYTES / 2, bytes + FILE_BYTES / 2, sizeof bytes - FILE_BYTES / 2, NULL),
                     0);
    assert_int_equal(stream_close(stream, NULL), 0);
    store->close(store);
    exfat_lab_assert_file(volume, "image", bytes, sizeof bytes);
    test_garbage(bytes, FILE_BYTES, 1);
    exfat_lab_assert_file(volume, "f/a", bytes, FILE_BYTES);
    exfat_lab_assert_file(volume, "f/b", bytes, FILE_BYTES);
    exfat_lab_assert_file(volume, "f/c", bytes, FILE_BYTES);
}

static void nothing(struct test_volume *volume)
{
    (void)volume;
}

static void room_behind_image(struct test_volume *volume)
{
    uint8_t *image = exfat_lab_set(exfat_lab_root(volume), 'i');

    /* As after a cut: there is more in use than the entry says. */
    set_bytes(image, 7 * CLUSTER + 1);
    exfat_lab_seal(image);
}

static void chain_goes_on(struct test_volume *volume)
{
    store_le32(fat_entry(volume, exfat_lab_first(exfat_lab_set(folder_f(volume), 'a')) + 9),
               exfat_lab_first(exfat_lab_set(folder_f(volume), 'b')) + 2);
}

static void image_goes_on(struct test_volume *volume)
{
    uint8_t *image = exfat_lab_set(exfat_lab_root(volume), 'i');

    chain(volume, image);
    room_behind_image(volume);
}

static void add_guid(struct test_volume *volume)
{
    behind_root(volume)[0] = 0xa0;
}

static void vendor_owns(struct test_volume *volume)
{
    set_bit(volume, last_cluster(volume), true);
    add_vendor_entry(volume, last_cluster(volume));
}

/* What is whole, and what a cut leaves, is marked as clean afterwards: nothing is left for a checker to do. */
static void test_sound(void **state)
{
    void (*const cases[])(struct test_volume * volume) = {
        nothing, room_behind_image, chain_goes_on, image_goes_on, add_guid, vendor_owns,
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;

        make_volume(&volume);
        cases[i](&volume);
        go_on(&volume);
        assert_false(exfat_lab_is_dirty(&volume));
        /* fsck.exfat knows no vendors. */
        if (cases[i] != vendor_owns)
            exfat_lab_assert_clean(&volume);
        test_volume_free(&volume);
    }
}

/* Lost clusters that are not the image's stay as they are, and so does the flag; a checker finds them and nothing else. */
static void test_lost_clusters(void **state)
{
    struct test_volume volume;
    uint32_t last;

    (void)state;
    make_volume(&volume);
    last = last_cluster(&volume);
    set_bit(&volume, last, true);
    set_bit(&volume, last - 70, true);
    go_on(&volume);
    assert_true(exfat_lab_is_dirty(&volume));
    assert_true(bit_of(&volume, last) && bit_of(&volume, last - 70) && !bit_of(&volume, last - 1));
    assert_refused(&volume, "new", "");
    assert_int_equal(test_volume_run(&volume, "fsck.exfat -n image && fsck.exfat -y image"), 0);
    exfat_lab_assert_clean(&volume);
    test_volume_free(&volume);
}

/* Nothing but an image that is there, and its further volumes. */
static void test_only_what_is_there(void **state)
{
    uint8_t bytes[FILE_BYTES];
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    struct error error = {0};
    uint8_t *before;

    (void)state;
    test_garbage(bytes, sizeof bytes, 1);
    make_volume(&volume);
    exfat_lab_boot_sector(&volume)[106] &= (uint8_t)~2;
    write_path(&volume, "cut.eid.001", bytes, sizeof bytes);
    exfat_lab_mark_dirty(&volume);
    before = malloc(volume.size);
    memcpy(before, volume.bytes, volume.size);
    assert_refused(&volume, "new", "");
    assert_refused(&volume, "nowhere/new", "");
    store = exfat_lab_open_store(volume.device, "cut.eid", true);
    assert_int_equal(store->open(store, 2, true, &stream, &error), -ERROR_REFUSED);
    assert_int_equal(store->remove(store, 1, &error), -ERROR_REFUSED);
    assert_int_equal(store->reopen(store, 3, 0, &stream, &error), -ERROR_NOT_FOUND);
    assert_int_equal(store->reopen(store, 1, FILE_BYTES + 1, &stream, &error), -ERROR_OUT_OF_RANGE);
    stream = exfat_lab_open_file(store, 1, false);
    assert_int_equal(stream_close(stream, NULL), 0);
    store->close(store);
    assert_memory_equal(before, volume.bytes, volume.size);
    free(before);

    store = exfat_lab_open_store(volume.device, "cut.eid", true);
    assert_int_equal(store->reopen(store, 1, FILE_BYTES, &stream, &error), 0);
    assert_int_equal(stream_close(stream, NULL), 0);
    exfat_lab_write_file(store, 2, bytes, 500);
    exfat_lab_write_file(store, 3, bytes, 500);
    assert_int_equal(store->remove(store, 3, &error), 0);
    store->close(store);
    exfat_lab_assert_clean(&volume);
    exfat_lab_assert_file(&volume, "cut.eid.001", bytes, FILE_BYTES);
    exfat_lab_assert_file(&volume, "cut.eid.002", bytes, 500);
    test_volume_free(&volume);
}

static void test_too_deep(void **state)
{
    struct test_volume volume;

    (void)state;
    for (unsigned depth = 126; depth <= 129; depth += 3) {
        char path[300] = "";

        make_volume(&volume);
        exfat_lab_boot_sector(&volume)[106] &= (uint8_t)~2;
        for (unsigned i = 0; i < depth; i++)
            strcat(path, "d/");
        strcat(path, "x");
        write_path(&volume, path, (const uint8_t *)path, 1);
        exfat_lab_mark_dirty(&volume);
        if (depth > 127)
            assert_refused(&volume, "image", "too deep");
        else
            go_on(&volume);
        test_volume_free(&volume);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_lost_clusters), cmocka_unit_test(test_only_what_is_there),
        cmocka_unit_test(test_too_deep),
    };
    char folder[PATH_MAX];

    if (!realpath("tests/support", folder))
        return 2;
    setenv("TESTS", folder, 1);
    filesystem_register(&exfat_filesystem);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
