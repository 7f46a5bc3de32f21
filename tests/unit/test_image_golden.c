/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden images: files in tests/golden/ that every version has to read for ever, with the hashes that must come out.
 *
 * `test_image_golden --make FOLDER` makes the files anew, with expected.txt, for a new version of the format. Files of a released version
 * are never replaced.
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

#define GOLDEN "tests/golden/"
#define VOLUMES_MOST 16u

static struct memory_store store;
static struct image_maker maker;

static void hex(const uint8_t hash[IMAGE_HASH_SIZE], char text[2 * IMAGE_HASH_SIZE + 1])
{
    for (unsigned i = 0; i < IMAGE_HASH_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

/* --- reading --- */

static bool load_file(const char *path, unsigned volume)
{
    static uint8_t bytes[2 * 1024 * 1024];
    FILE *file = fopen(path, "rb");

    if (!file)
        return false;
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    memory_store_set(&store, volume, bytes, size);
    return true;
}

static void load_image(const char *name)
{
    char path[200];

    snprintf(path, sizeof path, GOLDEN "%s", name);
    if (load_file(path, 0))
        return;
    for (unsigned volume = 1; volume <= VOLUMES_MOST; volume++) {
        snprintf(path, sizeof path, GOLDEN "%s.%03u", name, volume);
        if (!load_file(path, volume))
            break;
    }
    assert_true(store.volumes[1].there);
}

static void check_image(const char *name, uint64_t disk_bytes, const char *disk_hash, const char *root)
{
    char text[2 * IMAGE_HASH_SIZE + 1];
    uint8_t hash[IMAGE_HASH_SIZE], *disk = malloc(disk_bytes);
    struct image_reader *reader;
    struct image_totals totals;
    uint64_t lost;

    memory_store_init(&store, &maker.loop);
    load_image(name);
    maker.description.disk_bytes = disk_bytes;
    for (enum image_reader_mode mode = IMAGE_READ_VERIFIED; mode <= IMAGE_READ_SALVAGE; mode++) {
        memset(disk, 0xAA, disk_bytes);
        assert_int_equal(image_maker_read(&maker, &store, mode, disk, &lost, NULL), 0);
        image_hash(disk, disk_bytes, hash);
        hex(hash, text);
        assert_string_equal(text, disk_hash);
    }
    assert_int_equal(image_reader_open(&maker.loop, &store.store, IMAGE_READ_VERIFIED, &reader, NULL), 0);
    assert_true(image_reader_totals(reader, &totals));
    hex(totals.root, text);
    assert_string_equal(text, root);
    image_reader_close(reader);
    memory_store_free(&store);
    free(disk);
}

static void test_golden(void **state)
{
    char name[64], disk_hash[80], root[80];
    unsigned long long disk_bytes;
    unsigned images = 0;
    FILE *list = fopen(GOLDEN "expected.txt", "r");

    (void)state;
    assert_non_null(list);
    loop_init(&maker.loop, memory_platform());
    while (fscanf(list, "%63s %llu %79s %79s", name, &disk_bytes, disk_hash, root) == 4) {
        check_image(name, disk_bytes, disk_hash, root);
        images++;
    }
    fclose(list);
    assert_true(images >= 4);
}

/* --- making --- */

static void save(const char *folder, const char *name)
{
    char path[400];

    for (unsigned volume = 0; volume <= VOLUMES_MOST; volume++) {
        if (!store.volumes[volume].there)
            continue;
        int length = snprintf(path, sizeof path, "%s/%s", folder, name);
        if (volume)
            snprintf(path + length, sizeof path - (size_t)length, ".%03u", volume);
        FILE *file = fopen(path, "wb");
        if (!file ||
            fwrite(store.volumes[volume].data, 1, store.volumes[volume].size, file) != store.volumes[volume].size)
            abort();
        fclose(file);
    }
}

static void make_one(const char *folder, FILE *list, const char *name, uint64_t split)
{
    char disk_text[2 * IMAGE_HASH_SIZE + 1], root_text[2 * IMAGE_HASH_SIZE + 1];
    uint8_t hash[IMAGE_HASH_SIZE];
    struct image_totals totals;

    memory_store_init(&store, &maker.loop);
    if (image_maker_write(&maker, &store, split, &totals, NULL))
        abort();
    image_hash(maker.disk, maker.description.disk_bytes, hash);
    hex(hash, disk_text);
    hex(totals.root, root_text);
    fprintf(list, "%s %llu %s %s\n", name, (unsigned long long)maker.description.disk_bytes, disk_text, root_text);
    save(folder, name);
    memory_store_free(&store);
    image_maker_free(&maker);
}

static int make_all(const char *folder)
{
    char path[400];

    snprintf(path, sizeof path, "%s/expected.txt", folder);
    FILE *list = fopen(path, "w");
    if (!list)
        return 1;
    /* One sector: the example of docs/image-format.md. */
    image_maker_init(&maker, 512, 65536, 1);
    memset(maker.disk, 'E', 512);
    maker.description.table_head = NULL;
    make_one(folder, list, "tiny.eid", 0);
    /* Three regions, every kind of chunk. */
    image_maker_init(&maker, 20 * 65536 + 512, 65536, 3);
    make_one(folder, list, "kinds.eid", 0);
    /* Runs of more than one frame, and a partition alone with sectors of 4 KiB. */
    image_maker_init(&maker, 150 * 1024 * 1024, 1024 * 1024, 1);
    memset(maker.cell, IMAGE_UNUSED, 150);
    maker.cell[3] = IMAGE_UNREADABLE;
    maker.cell[80] = IMAGE_ZERO;
    maker.cell[149] = IMAGE_DATA;
    memset(maker.disk, 0, maker.description.disk_bytes);
    memset(maker.disk + 149 * 1024 * 1024, 0x55, 5000);
    maker.description.logical_block = 4096;
    maker.description.is_partition = true;
    maker.regions[0].partition = 2;
    make_one(folder, list, "runs.eid", 0);
    image_maker_init(&maker, 14 * 65536, 65536, 3);
    make_one(folder, list, "split.eid", 110000);
    fclose(list);
    return 0;
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};

    if (count == 3 && !strcmp(arguments[1], "--make"))
        return make_all(arguments[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
