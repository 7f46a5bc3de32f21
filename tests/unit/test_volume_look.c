/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folders and free space of ext, NTFS and exFAT volumes, as made by others and as damaged by us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/library.h"
#include "fs/drivers.h"
#include "tests/support/emulated_device.h"
#include "tests/support/volume_maker.h"

#define MIB (1024u * 1024)

struct kind {
    const char *name;
    const struct filesystem_driver *driver;
    const char *make;
};

static const struct kind kinds[] = {
    {"ext4", &ext_filesystem, "mkfs.ext4 -q -F image"},
    {"ext4, files in inodes", &ext_filesystem, "mkfs.ext4 -q -F -O inline_data image"},
    {"ext2", &ext_filesystem, "mkfs.ext2 -q -F -b 1024 image"},
    {"ntfs", &ntfs_filesystem, "mkntfs -q -F image"},
    {"exfat", &exfat_filesystem, "mkfs.exfat image"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void make(struct test_volume *volume, const struct kind *kind, size_t size)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "%s", kind->make), 0);
    test_volume_open(volume, 512);
}

static void write_file(struct block_device *device, const struct kind *kind, const char *path, size_t size)
{
    struct stream_store *store;
    struct stream *stream;
    struct error error = {0};
    uint8_t *bytes = calloc(1, size);

    if (kind->driver->open_store(device, path, true, &store, &error) < 0)
        fail_msg("%s: %s, %s", kind->name, path, error.detail);
    assert_int_equal(store->open(store, 0, true, &stream, &error), 0);
    assert_int_equal(stream_write(stream, 0, bytes, size, &error), 0);
    assert_int_equal(stream_close(stream, &error), 0);
    store->close(store);
    free(bytes);
}

/* --- what a listing gives --- */

struct listing {
    struct filesystem_file files[64];
    size_t count, most; /* most: when it says that it has enough; 0: never */
};

static bool found(void *context, const struct filesystem_file *file)
{
    struct listing *listing = context;

    if (listing->count < sizeof listing->files / sizeof listing->files[0])
        listing->files[listing->count] = *file;
    listing->count++;
    return listing->count != listing->most;
}

static int list(struct block_device *device, const struct kind *kind, const char *folder, struct listing *listing)
{
    struct error error = {0};
    int status;

    listing->count = 0;
    status = kind->driver->list_files(device, folder, found, listing, &error);
    assert_int_equal(status < 0 ? -status : 0, error.code);
    return status;
}

static const struct filesystem_file *named(const struct listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->files[i].name, name) == 0)
            return &listing->files[i];
    fail_msg("%s is missing", name);
    return NULL;
}

static void assert_space(struct block_device *device, const struct kind *kind, const char *why)
{
    struct filesystem_space space;
    struct error error = {0};

    if (kind->driver->read_space(device, &space, &error) != 0)
        fail_msg("%s: %s", kind->name, error.detail);
    assert_in_range(space.free_bytes, 8 * MIB, 48 * MIB);
    assert_true(space.max_file_bytes > 1ull << 33);
    assert_int_equal(space.can_write, !why);
    if (why && !strstr(space.why, why))
        fail_msg("%s: %s", kind->name, space.why);
}

static void check_files(const struct kind *kind)
{
    static struct listing listing;
    struct test_volume volume;

    make(&volume, kind, 48 * MIB);
    assert_space(volume.device, kind, NULL);
    write_file(volume.device, kind, "lab 7/tief/pc.eid", 1234567);
    write_file(volume.device, kind, "lab 7/Größe α 漢.eid", 3 * MIB);
    write_file(volume.device, kind, "Z.eid", 1);

    assert_int_equal(list(volume.device, kind, "", &listing), 0);
    assert_true(named(&listing, "lab 7")->is_folder);
    assert_int_equal(named(&listing, "lab 7")->bytes, 0);
    assert_int_equal(named(&listing, "Z.eid")->bytes, 1);
    /* lost+found, and nothing that the file system keeps for itself. */
    assert_int_equal(listing.count, kind->driver == &ext_filesystem ? 3 : 2);

    assert_int_equal(list(volume.device, kind, "\\lab 7/", &listing), 0);
    assert_int_equal(listing.count, 2);
    assert_true(named(&listing, "tief")->is_folder);
    assert_false(named(&listing, "Größe α 漢.eid")->is_folder);
    assert_int_equal(named(&listing, "Größe α 漢.eid")->bytes, 3 * MIB);
    /* Made in this hour; the platform of the tests has no calendar, so what it wrote is no time at all on some. */
    assert_true(named(&listing, "Größe α 漢.eid")->modified >= -1);
    assert_int_equal(list(volume.device, kind, "lab 7/tief", &listing), 0);
    assert_int_equal(named(&listing, "pc.eid")->bytes, 1234567);

    listing.most = 1;
    assert_int_equal(list(volume.device, kind, "lab 7", &listing), 0);
    assert_int_equal(listing.count, 1);
    listing.most = 0;

    assert_int_equal(list(volume.device, kind, "nowhere", &listing), -ERROR_NOT_FOUND);
    assert_int_equal(list(volume.device, kind, "Z.eid", &listing), -ERROR_NOT_FOUND);
    assert_int_equal(list(volume.device, kind, "lab 7/..", &listing), -ERROR_USAGE);
    assert_int_equal(listing.count, 0);
    test_volume_free(&volume);
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++)
        check_files(&kinds[i]);
}

static void expect_refused(const struct kind *kind, const char *command, const char *why)
{
    static struct listing listing;
    struct test_volume volume;

    make(&volume, kind, 48 * MIB);
    write_file(volume.device, kind, "pc.eid", 4711);
    assert_int_equal(test_volume_run(&volume, "%s", command), 0);
    uint8_t *before = malloc(volume.size);
    memcpy(before, volume.bytes, volume.size);
    assert_space(volume.device, kind, why);
    assert_int_equal(list(volume.device, kind, "", &listing), 0);
    assert_int_equal(named(&listing, "pc.eid")->bytes, 4711);
    assert_memory_equal(volume.bytes, before, volume.size);
    free(before);
    test_volume_free(&volume);
}

/* A volume that must not be written to shows its files all the same, and is not touched. */
static void test_reasons(void **state)
{
    (void)state;
    expect_refused(&kinds[0], "debugfs -w -R 'ssv state 0' image", "not unmounted cleanly");
    expect_refused(&kinds[0], "debugfs -w -R 'feature needs_recovery' image", "journal needs recovery");
    expect_refused(&kinds[3], "{ printf hibr; head -c 8188 /dev/zero; } >h && ntfscp -q image h hiberfil.sys",
                   "Windows sleeps on it");
    expect_refused(&kinds[4], "printf '\\002' | dd of=image bs=1 seek=106 conv=notrunc", "not ejected cleanly");
}

/* A write-protected disk. */
static void test_read_only_disk(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct test_volume volume;

        make(&volume, &kinds[i], 48 * MIB);
        volume.device->read_only = true;
        assert_space(volume.device, &kinds[i], "write-protected");
        test_volume_free(&volume);
    }
}

/* --- what others made --- */

/* Links, devices and names that nobody could type are not shown. */
static void test_ext_names(void **state)
{
    static struct listing listing;
    struct test_volume volume;

    (void)state;
    test_volume_init(&volume, 48 * MIB);
    assert_int_equal(test_volume_run(&volume,
                                     "mkdir -p files/folder && cd files && echo 1 >plain && ln -s plain link && "
                                     "mkfifo pipe && touch \"$(printf 'a\\001b')\" \"$(printf 'c\\377d')\" 'e\\f' "
                                     "\"$(printf 'g\\302\\205h')\" && touch -d @1700000000 plain && cd .. && "
                                     "mkfs.ext4 -q -F -d files image && "
                                     "debugfs -w -R 'ln folder folder/self' image"),
                     0);
    test_volume_open(&volume, 512);
    assert_int_equal(list(volume.device, &kinds[0], "", &listing), 0);
    assert_int_equal(listing.count, 3);
    assert_int_equal(named(&listing, "plain")->modified, 1700000000);
    named(&listing, "folder");
    named(&listing, "lost+found");
    /* A folder that is in itself is a folder like others. */
    assert_int_equal(list(volume.device, &kinds[0], "folder/self/self/self", &listing), 0);
    named(&listing, "self");
    test_volume_free(&volume);
}

/* --- what lies --- */

static void store16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

/* An ext2 volume with the folder f, and a file of three blocks that follow each other. Returns the first of them. */
static unsigned make_ext2(struct test_volume *volume)
{
    long long block;

    test_volume_init(volume, 8 * MIB);
    assert_int_equal(test_volume_run(volume, "mkdir -p files/f && head -c 3072 /dev/urandom >files/three && "
                                             "mkfs.ext2 -q -F -b 1024 -d files image"),
                     0);
    block = test_volume_number(volume, "echo first: $(debugfs -R 'blocks three' image 2>&1 | grep ^[1-9])", "first:");
    assert_in_range(block, 10, 8000);
    test_volume_open(volume, 512);
    return (unsigned)block;
}

/* A block of a folder: `count` entries of one name each. */
static void fill_with_entries(uint8_t *block, unsigned count, unsigned inode)
{
    unsigned length = 1024 / count / 4 * 4;

    memset(block, 0, 1024);
    for (unsigned i = 0; i < count; i++, block += length) {
        store16(block, inode);
        store16(block + 4, i + 1 < count ? length : 1024 - i * length);
        block[6] = 1;
        block[8] = 'n';
    }
}

static void fill_with_pointers(uint8_t *block, unsigned count, unsigned to)
{
    memset(block, 0, 1024);
    for (unsigned i = 0; i < count; i++)
        store16(block + 4 * i, to);
}

/* As many files as are given, and one block more. */
static void test_long_folder(void **state)
{
    static struct listing listing;
    struct test_volume volume;
    unsigned block = make_ext2(&volume);

    (void)state;
    assert_int_equal(test_volume_run(&volume, "debugfs -w -R 'sif f block[IND] %u' image", block + 1), 0);
    fill_with_entries(volume.bytes + block * 1024, 50, 13);
    fill_with_pointers(volume.bytes + (block + 1) * 1024, FILESYSTEM_FILES_MAX / 50, block);
    assert_int_equal(list(volume.device, &kinds[2], "f", &listing), 0);
    assert_int_equal(listing.count, FILESYSTEM_FILES_MAX);
    fill_with_pointers(volume.bytes + (block + 1) * 1024, FILESYSTEM_FILES_MAX / 50 + 1, block);
    assert_int_equal(list(volume.device, &kinds[2], "f", &listing), 1);
    assert_int_equal(listing.count, FILESYSTEM_FILES_MAX);
    test_volume_free(&volume);
}

/* Pointers that all lead to one block of empty entries: millions of them, on a few kilobytes. */
static void test_endless_folder(void **state)
{
    static struct listing listing;
    struct test_volume volume;
    unsigned block = make_ext2(&volume);

    (void)state;
    assert_int_equal(test_volume_run(&volume, "debugfs -w -R 'sif f block[DIND] %u' image", block + 2), 0);
    fill_with_entries(volume.bytes + block * 1024, 80, 0);
    fill_with_pointers(volume.bytes + (block + 1) * 1024, 256, block);
    fill_with_pointers(volume.bytes + (block + 2) * 1024, 256, block + 1);
    assert_int_equal(list(volume.device, &kinds[2], "f", &listing), -ERROR_CORRUPT);
    assert_int_equal(listing.count, 0);
    test_volume_free(&volume);
}

/* A disk that cannot be read says so in both. */
static void test_bad_disk(void **state)
{
    static struct listing listing;

    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct test_volume volume;
        struct emulated_device disk;
        struct filesystem_space space;
        struct error error = {0};

        make(&volume, &kinds[i], 48 * MIB);
        write_file(volume.device, &kinds[i], "f/pc.eid", 4711);
        emulated_start(&disk, &volume.loop, &(struct emulated_options){.block_count = volume.size / 512});
        memcpy(disk.contents, volume.bytes, volume.size);
        assert_int_equal(list(&disk.device, &kinds[i], "f", &listing), 0);
        assert_int_equal(named(&listing, "pc.eid")->bytes, 4711);
        emulated_add_fault(&disk, FAULT_ERROR, 0, volume.size / 512);
        assert_int_equal(list(&disk.device, &kinds[i], "f", &listing), -ERROR_MEDIUM);
        assert_int_equal(kinds[i].driver->read_space(&disk.device, &space, &error), -ERROR_MEDIUM);
        assert_true(emulated_untouched(&disk));
        emulated_end(&disk);
        test_volume_free(&volume);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),     cmocka_unit_test(test_reasons),     cmocka_unit_test(test_read_only_disk),
        cmocka_unit_test(test_ext_names), cmocka_unit_test(test_long_folder), cmocka_unit_test(test_endless_folder),
        cmocka_unit_test(test_bad_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
