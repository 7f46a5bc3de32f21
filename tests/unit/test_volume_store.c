/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image files on ext2/3/4, NTFS and exFAT volumes: written through streams, judged by the file systems' own tools. */
#include "core/library.h"
#include "fs/drivers.h"
#include "fs/volume.h"
#include "tests/support/volume_maker.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024u * 1024)

/* A kind of volume: how it is made, checked, and read by others. %s: the image; %s: the path in it. */
struct kind {
    const char *name;
    const struct filesystem_driver *driver;
    const char *make, *check, *cat;
    uint32_t logical_block;
};

/* fsck.exfat does not look at the volume's dirty flag. */
#define EXFAT_TOOLS "fsck.exfat -n %1$s && $TESTS/exfat_cat.py %1$s", "$TESTS/exfat_cat.py %s \"%s\" >out"
#define EXT_TOOLS "e2fsck -fn %s", "debugfs -R 'dump \"/%s\" out' %s", 512
static const struct kind kinds[] = {
    {"ext4", &ext_filesystem, "mkfs.ext4 -q -F -b 4096 -d files image", EXT_TOOLS},
    {"ext4, small groups", &ext_filesystem, "mkfs.ext4 -q -F -b 1024 -g 2048 -d files image", EXT_TOOLS},
    {"ext4, clusters", &ext_filesystem, "mkfs.ext4 -q -F -b 4096 -O bigalloc -C 65536 -d files image", EXT_TOOLS},
    {"ext4, clusters of 1 KiB blocks", &ext_filesystem, "mkfs.ext4 -q -F -b 1024 -O bigalloc -C 8192 -d files image",
     EXT_TOOLS},
    {"ext4, old checksums", &ext_filesystem,
     "mkfs.ext4 -q -F -b 1024 -O ^metadata_csum,uninit_bg,^64bit,meta_bg,^resize_inode -d files image", EXT_TOOLS},
    {"ext3", &ext_filesystem, "mkfs.ext3 -q -F -b 1024 -d files image", EXT_TOOLS},
    {"ext2", &ext_filesystem, "mkfs.ext2 -q -F -b 4096 -g 1024 -d files image", EXT_TOOLS},
    {"ntfs", &ntfs_filesystem, "mkntfs -q -F image", "ntfsfix -n %s", "ntfscat -f %s \"%s\" >out", 512},
    {"ntfs, small clusters", &ntfs_filesystem, "mkntfs -q -F -c 512 image", "ntfsfix -n %s",
     "ntfscat -f %s \"%s\" >out", 512},
    {"ntfs, 4 KiB sectors", &ntfs_filesystem, "mkntfs -q -F -s 4096 -c 4096 image", "ntfsfix -n %s",
     "ntfscat -f %s \"%s\" >out", 4096},
    {"exfat", &exfat_filesystem, "mkfs.exfat image", EXFAT_TOOLS, 512},
    {"exfat, small clusters", &exfat_filesystem, "mkfs.exfat -c 512 -b 4096 image", EXFAT_TOOLS, 512},
    {"exfat, large clusters", &exfat_filesystem, "mkfs.exfat -c 256K image", EXFAT_TOOLS, 512},
    {"exfat, on 4 KiB blocks", &exfat_filesystem, "mkfs.exfat -c 4096 -b 4096 image", EXFAT_TOOLS, 4096},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* One of each file system, for what need not be seen with each of its shapes. */
static const size_t some[] = {0, 7, 10};
#define SOME (sizeof some / sizeof some[0])

static void make(struct test_volume *volume, const struct kind *kind, size_t size)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "mkdir -p files/images && echo >files/images/old.eid && %s", kind->make),
                     0);
    test_volume_open(volume, kind->logical_block);
}

static struct stream_store *open_store(struct test_volume *volume, const struct kind *kind, const char *path,
                                       bool write)
{
    struct stream_store *store = NULL;
    struct error error = {0};

    if (kind->driver->open_store(volume->device, path, write, &store, &error) < 0)
        fail_msg("%s: %s, %s", kind->name, error_code_name(error.code), error.detail);
    return store;
}

static void ok(const struct kind *kind, int status, const struct error *error)
{
    if (status < 0)
        fail_msg("%s: %d, %s: %s", kind->name, status, error_code_name(error->code), error->detail);
}

static bool others_say_clean(struct test_volume *volume, const struct kind *kind, const char *image)
{
    return test_volume_run(volume, kind->check, image) == 0;
}

static void assert_others_read(struct test_volume *volume, const struct kind *kind, const char *image, const char *path,
                               const uint8_t *bytes, size_t size)
{
    assert_true(test_volume_expect(volume, bytes, size));
    if (kind->driver == &ext_filesystem)
        assert_int_equal(test_volume_run(volume, kind->cat, path, image), 0);
    else
        assert_int_equal(test_volume_run(volume, kind->cat, image, path), 0);
    assert_int_equal(test_volume_run(volume, "cmp out expected"), 0);
}

/* Writes in the sizes of segments, with odd ends. */
static void write_all(const struct kind *kind, struct stream *stream, const uint8_t *bytes, size_t size)
{
    size_t piece = 5 * MIB + 12345;
    struct error error = {0};

    for (size_t at = 0; at < size; at += piece) {
        size_t length = size - at < piece ? size - at : piece;

        ok(kind, stream_write(stream, at, bytes + at, length, &error), &error);
        ok(kind, stream_flush(stream, &error), &error);
    }
}

static void check_kind(const struct kind *kind)
{
    const size_t size = 20 * MIB + 777;
    uint8_t *bytes = malloc(size), *back = malloc(size + 100);
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    struct error error = {0};
    uint64_t free_space;
    size_t transferred;

    make(&volume, kind, 48 * MIB);
    test_garbage(bytes, size, 1);
    store = open_store(&volume, kind, "\\images\\of pcs\\new.eid", true);
    const char *path = "images/of pcs/new.eid";
    free_space = store->free_space(store);
    assert_in_range(free_space, 24 * MIB, 48 * MIB);
    assert_ptr_equal(store->disk, volume.device);
    assert_int_equal(store->disk_length, 48 * MIB);
    ok(kind, store->open(store, 0, true, &stream, &error), &error);
    write_all(kind, stream, bytes, size);
    /* Durable now, and marked as not clean: what a power cut would leave behind. */
    test_volume_run(&volume, "cp image cut");
    assert_others_read(&volume, kind, "cut", path, bytes, size);
    if (kind->driver == &ntfs_filesystem)
        assert_int_not_equal(test_volume_run(&volume, "ntfscat cut '%s'", path), 0);
    else if (kind->driver == &exfat_filesystem)
        assert_int_equal(
            test_volume_run(&volume, "! $TESTS/exfat_cat.py cut && { fsck.exfat -y cut; fsck.exfat -n cut; }"), 0);
    else
        assert_int_equal(
            test_volume_run(&volume, "dumpe2fs -h cut | grep -q 'state:.*not clean' && e2fsck -fy cut; e2fsck -fn cut"),
            0);
    ok(kind, stream_close(stream, &error), &error);
    assert_in_range(store->free_space(store), free_space - size - MIB, free_space - size);
    assert_int_equal(store->open(store, 0, true, &stream, &error), -ERROR_EXISTS);
    store->close(store);
    assert_true(others_say_clean(&volume, kind, "image"));
    assert_others_read(&volume, kind, "image", path, bytes, size);

    store = open_store(&volume, kind, path, false);
    ok(kind, store->open(store, 0, false, &stream, &error), &error);
    assert_int_equal(stream->size, size);
    ok(kind, stream_read(stream, 0, back, size + 100, &transferred, &error), &error);
    assert_int_equal(transferred, size);
    assert_memory_equal(back, bytes, size);
    ok(kind, stream_read(stream, 7 * MIB + 333, back, 5000, &transferred, &error), &error);
    assert_int_equal(transferred, 5000);
    assert_memory_equal(back, bytes + 7 * MIB + 333, 5000);
    ok(kind, stream_close(stream, &error), &error);
    assert_int_equal(store->open(store, 1, false, &stream, &error), -ERROR_NOT_FOUND);
    assert_int_equal(store->open(store, 1, true, &stream, &error), -ERROR_WRITE_PROTECTED);
    store->close(store);
    test_volume_free(&volume);
    free(bytes);
    free(back);
}

static void test_kind(void **state)
{
    check_kind(*state);
}

/* Pieces of all sizes, flushed anywhere, and what was written written again: the file holds the last of each byte. */
static void test_pieces(void **state)
{
    const size_t size = 300000;
    uint8_t *bytes = malloc(size);

    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        const struct kind *kind = &kinds[some[i]];
        struct test_volume volume;
        struct stream_store *store;
        struct stream *stream;
        struct error error = {0};
        uint8_t back[5000];
        size_t transferred;

        test_garbage(bytes, size, 77 + i);
        make(&volume, kind, 16 * MIB);
        store = open_store(&volume, kind, "pieces.eid", true);
        ok(kind, store->open(store, 0, true, &stream, &error), &error);
        for (size_t at = 0, length, turn = 0; at < size; at += length, turn++) {
            length = (turn * turn * 37 + turn % 5) % 9000;
            if (length > size - at)
                length = size - at;
            ok(kind, stream_write(stream, at, bytes + at, length, &error), &error);
            if (turn % 3 == 0)
                ok(kind, stream_flush(stream, &error), &error);
            if (turn % 7 == 0 && at >= sizeof back) {
                ok(kind, stream_read(stream, at + length - 4500, back, sizeof back, &transferred, &error), &error);
                assert_int_equal(transferred, 4500);
                assert_memory_equal(back, bytes + at + length - 4500, 4500);
            }
            if (turn % 11 == 0 && at > 3000) {
                bytes[at - 1000]++;
                ok(kind, stream_write(stream, at - 1000, bytes + at - 1000, 1, &error), &error);
            }
        }
        ok(kind, stream_close(stream, &error), &error);
        store->close(store);
        assert_true(others_say_clean(&volume, kind, "image"));
        assert_others_read(&volume, kind, "image", "pieces.eid", bytes, size);
        test_volume_free(&volume);
    }
    free(bytes);
}

/* Writes what follows `from` in pieces that end anywhere. */
static void write_rest(const struct kind *kind, struct stream *stream, const uint8_t *bytes, size_t from, size_t size)
{
    struct error error = {0};

    for (size_t at = from, length, turn = 0; at < size; at += length, turn++) {
        length = turn < 3 ? 1000 : 700001;
        if (length > size - at)
            length = size - at;
        ok(kind, stream_write(stream, at, bytes + at, length, &error), &error);
        if (turn % 4 == 1)
            ok(kind, stream_flush(stream, &error), &error);
    }
}

/*
 * After a power cut the volume is refused until its checker has looked at it; then the file goes on. exFAT is looked at by the store
 * itself, for a file that is there.
 */
static void go_on_after_cut(struct test_volume *volume, const struct kind *kind, const char *path, uint8_t *bytes,
                            size_t size)
{
    bool exfat = kind->driver == &exfat_filesystem;
    const char *check = kind->driver == &ext_filesystem ? "e2fsck -fy image || true" : "ntfsfix -d image";
    size_t length = size - 300000;
    struct stream_store *store = NULL;
    struct stream *stream;
    struct error error = {0};

    assert_int_equal(test_volume_run(volume, "dd if=cut of=image conv=notrunc"), 0);
    assert_int_equal(kind->driver->open_store(volume->device, exfat ? "images/new.eid" : path, true, &store, &error),
                     -ERROR_REFUSED);
    assert_int_equal(test_volume_run(volume, "cmp cut image"), 0);
    if (!exfat)
        assert_int_equal(test_volume_run(volume, "%s", check), 0);
    store = open_store(volume, kind, path, true);
    test_garbage(bytes + length, size - length, 5);
    ok(kind, store->reopen(store, 0, length, &stream, &error), &error);
    write_rest(kind, stream, bytes, length, size);
    ok(kind, stream_close(stream, &error), &error);
    store->close(store);
    assert_true(others_say_clean(volume, kind, "image"));
    assert_others_read(volume, kind, "image", path, bytes, size);
}

/* A file is cut at all kinds of lengths and goes on with other contents. */
static void test_reopen(void **state)
{
    const struct kind *kind = *state;
    const size_t size = 3 * MIB + 777,
                 lengths[] = {size, size - 1, 2 * MIB + 5, 300 * 4096, 70001, 4095, 1, 0, size / 2};
    uint8_t *bytes = malloc(size), *back = malloc(size);
    const char *path = "images/on.eid";
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    struct error error = {0};
    size_t transferred;

    make(&volume, kind, 48 * MIB);
    test_garbage(bytes, size, 2);
    store = open_store(&volume, kind, path, true);
    ok(kind, store->open(store, 0, true, &stream, &error), &error);
    write_rest(kind, stream, bytes, 0, size);
    ok(kind, stream_close(stream, &error), &error);
    uint64_t free_space = store->free_space(store);
    assert_int_equal(store->reopen(store, 7, 0, &stream, &error), -ERROR_NOT_FOUND);
    assert_int_equal(store->reopen(store, 0, size + 1, &stream, &error), -ERROR_OUT_OF_RANGE);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t length = lengths[i];

        /* Each time mounted anew, and in one go with what was before. */
        if (i % 2) {
            store->close(store);
            assert_true(others_say_clean(&volume, kind, "image"));
            store = open_store(&volume, kind, path, true);
        }
        test_garbage(bytes + length, size - length, 3 + i);
        ok(kind, store->reopen(store, 0, length, &stream, &error), &error);
        assert_int_equal(stream->size, length);
        assert_true(stream->can_write);
        write_rest(kind, stream, bytes, length, size);
        ok(kind, stream_read(stream, 0, back, size, &transferred, &error), &error);
        assert_int_equal(transferred, size);
        assert_memory_equal(back, bytes, size);
        ok(kind, stream_flush(stream, &error), &error);
        assert_int_equal(test_volume_run(&volume, "cp image cut"), 0);
        ok(kind, stream_close(stream, &error), &error);
        assert_in_range(store->free_space(store), free_space - 4096, free_space + 4096);
    }
    /* Nothing is written behind the cut. */
    ok(kind, store->reopen(store, 0, 12345, &stream, &error), &error);
    ok(kind, stream_close(stream, &error), &error);
    assert_in_range(store->free_space(store), free_space + 2 * MIB, free_space + size);
    store->close(store);
    assert_true(others_say_clean(&volume, kind, "image"));
    assert_others_read(&volume, kind, "image", path, bytes, 12345);
    store = open_store(&volume, kind, path, false);
    assert_int_equal(store->reopen(store, 0, 0, &stream, &error), -ERROR_WRITE_PROTECTED);
    store->close(store);
    go_on_after_cut(&volume, kind, path, bytes, size);
    test_volume_free(&volume);
    free(bytes);
    free(back);
}

/* Files that would have to be changed in another way than by what is appended. */
static void test_reopen_refusals(void **state)
{
    static const struct {
        size_t kind;
        const char *prepare;
        uint64_t length;
    } cases[] = {
        {0, "truncate -s 9000000 holes && debugfs -w -R 'write holes a.eid' image", 8000000},
        {0, "echo text >t && debugfs -w -R 'write t a.eid' image && debugfs -w -R 'sif a.eid flags 0x80010' image", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct kind *kind = &kinds[cases[i].kind];
        struct test_volume volume;
        struct error error = {0};
        struct stream *stream;

        make(&volume, kind, 16 * MIB);
        assert_int_equal(test_volume_run(&volume, "%s && cp image before", cases[i].prepare), 0);
        struct stream_store *store = open_store(&volume, kind, "a.eid", true);
        assert_int_equal(store->reopen(store, 0, cases[i].length, &stream, &error), -ERROR_REFUSED);
        store->close(store);
        assert_int_equal(test_volume_run(&volume, "cmp image before"), 0);
        test_volume_free(&volume);
    }
}

/* Several volumes of an image, removed again: the volume is as before. */
static void test_remove(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        const struct kind *kind = &kinds[some[i]];
        struct test_volume volume;
        struct stream_store *store;
        struct stream *stream;
        struct error error = {0};
        uint8_t *bytes = calloc(1, 3 * MIB);
        uint64_t free_space;

        make(&volume, kind, 32 * MIB);
        store = open_store(&volume, kind, "split.eid", true);
        free_space = store->free_space(store);
        for (unsigned number = 0; number < 3; number++) {
            ok(kind, store->open(store, number, true, &stream, &error), &error);
            ok(kind, stream_write(stream, 0, bytes, 3 * MIB, &error), &error);
            ok(kind, stream_close(stream, &error), &error);
        }
        for (unsigned number = 0; number < 3; number++)
            if (number != 1)
                ok(kind, store->remove(store, number, &error), &error);
        assert_int_equal(store->remove(store, 2, &error), -ERROR_NOT_FOUND);
        assert_in_range(store->free_space(store), free_space - 3 * MIB - 65536, free_space - 3 * MIB);
        store->close(store);
        assert_true(others_say_clean(&volume, kind, "image"));
        assert_others_read(&volume, kind, "image", "split.eid.001", bytes, 3 * MIB);
        test_volume_free(&volume);
        free(bytes);
    }
}

/* A full volume is an error, not damage; what fitted is there. */
static void test_full(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const struct kind *kind = &kinds[i];
        struct test_volume volume;
        struct stream_store *store;
        struct stream *stream;
        struct error error = {0};
        uint8_t *bytes = calloc(1, MIB);
        int status = 0;
        size_t at = 0;

        make(&volume, kind, 16 * MIB);
        store = open_store(&volume, kind, "full.eid", true);
        ok(kind, store->open(store, 0, true, &stream, &error), &error);
        while (at < 20 * MIB && (status = stream_write(stream, at, bytes, MIB, &error)) == 0)
            at += MIB;
        assert_int_equal(status, -ERROR_NO_SPACE);
        assert_in_range(at, 4 * MIB, 16 * MIB);
        ok(kind, stream_close(stream, &error), &error);
        store->close(store);
        if (!others_say_clean(&volume, kind, "image"))
            fail_msg("%s: damaged by being filled", kind->name);
        test_volume_free(&volume);
        free(bytes);
    }
}

/* Names that lead nowhere, folders that are none, volumes that are written already or must not be. */
static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        const struct kind *kind = &kinds[some[i]];
        struct test_volume volume;
        struct stream_store *store, *other;
        struct stream *stream;
        struct error error = {0};

        make(&volume, kind, 16 * MIB);
        assert_int_equal(kind->driver->open_store(volume.device, "/", true, &store, &error), -ERROR_USAGE);
        assert_int_equal(kind->driver->open_store(volume.device, "a/../b", true, &store, &error), -ERROR_USAGE);
        store = open_store(&volume, kind, "file", true);
        ok(kind, store->open(store, 0, true, &stream, &error), &error);
        ok(kind, stream_close(stream, &error), &error);
        store->close(store);
        /* A file where a folder would have to be; a folder that nobody asked to be made. */
        store = open_store(&volume, kind, "file/x.eid", true);
        assert_int_equal(store->open(store, 0, true, &stream, &error), -ERROR_NOT_FOUND);
        assert_int_equal(store->open(store, 0, false, &stream, &error), -ERROR_NOT_FOUND);
        store->close(store);
        store = open_store(&volume, kind, "nowhere/x.eid", true);
        assert_int_equal(store->open(store, 0, false, &stream, &error), -ERROR_NOT_FOUND);
        assert_int_equal(store->remove(store, 0, &error), -ERROR_NOT_FOUND);
        assert_int_equal(kind->driver->open_store(volume.device, "y.eid", true, &other, &error), -ERROR_BUSY);
        store->close(store);
        volume.device->read_only = true;
        assert_int_equal(kind->driver->open_store(volume.device, "z.eid", true, &store, &error),
                         -ERROR_WRITE_PROTECTED);
        test_volume_free(&volume);
    }
}

static void test_ext_not_at_rest(void **state)
{
    static const char *const changes[] = {"feature needs_recovery", "ssv state 0", "ssv state 3", "feature FEATURE_R31",
                                          "feature FEATURE_I31"};

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct test_volume volume;
        struct stream_store *store;
        struct error error = {0};
        uint8_t *before;
        int status;

        test_volume_init(&volume, 16 * MIB);
        assert_int_equal(test_volume_run(&volume, "mkfs.ext4 -q -F image && debugfs -w -R '%s' image", changes[i]), 0);
        test_volume_open(&volume, 512);
        before = malloc(volume.size);
        memcpy(before, volume.bytes, volume.size);
        status = ext_filesystem.open_store(volume.device, "x.eid", true, &store, &error);
        assert_true(status == -ERROR_REFUSED || status == -ERROR_UNSUPPORTED);
        assert_int_not_equal(error.detail[0], 0);
        assert_memory_equal(before, volume.bytes, volume.size);
        free(before);
        test_volume_free(&volume);
    }
}

/* Requests of one stream, queued at once, are carried out in order; the queue's end is an answer. */
static void test_queue(void **state)
{
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    struct stream_request requests[20] = {0};
    struct error error = {0};
    uint8_t *bytes = malloc(20 * 100000);
    unsigned accepted = 0;

    (void)state;
    test_garbage(bytes, 20 * 100000, 9);
    make(&volume, &kinds[0], 16 * MIB);
    store = open_store(&volume, &kinds[0], "queue.eid", true);
    ok(&kinds[0], store->open(store, 0, true, &stream, &error), &error);
    for (; accepted < 20; accepted++) {
        requests[accepted] = (struct stream_request){.operation = STREAM_WRITE,
                                                     .offset = accepted * 100000ull,
                                                     .data = bytes + accepted * 100000,
                                                     .size = 100000};
        int status = stream_submit(stream, &requests[accepted]);
        if (status) {
            assert_int_equal(status, -ERROR_FULL);
            break;
        }
    }
    assert_in_range(accepted, 2, 19);
    ok(&kinds[0], stream_close(stream, &error), &error);
    for (unsigned i = 0; i < accepted; i++) {
        assert_true(requests[i].ended);
        assert_int_equal(requests[i].status, 0);
        assert_int_equal(requests[i].transferred, 100000);
    }
    store->close(store);
    assert_others_read(&volume, &kinds[0], "image", "queue.eid", bytes, accepted * 100000);
    test_volume_free(&volume);
    free(bytes);
}

/* The disk goes away in the middle: errors, an end, and no success told. */
static void test_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        const struct kind *kind = &kinds[some[i]];
        struct test_volume volume;
        struct stream_store *store;
        struct stream *stream;
        struct error error = {0};
        uint8_t *bytes = calloc(1, 3 * MIB);

        make(&volume, kind, 32 * MIB);
        store = open_store(&volume, kind, "gone.eid", true);
        ok(kind, store->open(store, 0, true, &stream, &error), &error);
        ok(kind, stream_write(stream, 0, bytes, 3 * MIB, &error), &error);
        volume.device->dead = true;
        stream_write(stream, 3 * MIB, bytes, 3 * MIB, &error);
        assert_int_equal(stream_flush(stream, &error), -ERROR_GONE);
        assert_true(stream_close(stream, &error) < 0);
        store->close(store);
        test_volume_free(&volume);
        free(bytes);
    }
}

/* --- a library that gives up --- */

static int give_up_mount(void *volume, struct volume_io *io, struct error *error)
{
    (void)volume;
    (void)io;
    (void)error;
    return 0;
}

static int give_up_unmount(void *volume, struct error *error)
{
    (void)volume;
    (void)error;
    return 0;
}

static uint64_t give_up_number(void *volume)
{
    (void)volume;
    return 1000;
}

static int give_up_open(void *volume, void *file, const char *path, bool write, uint64_t *size, struct error *error)
{
    (void)volume;
    (void)file;
    (void)path;
    (void)write;
    (void)error;
    *size = 0;
    return 0;
}

static int give_up_write(void *volume, void *file, uint64_t offset, const void *data, size_t size, struct error *error)
{
    (void)volume;
    (void)file;
    (void)offset;
    (void)data;
    (void)size;
    (void)error;
    library_exit(1);
}

static void test_abandoned(void **state)
{
    static const struct volume_file_ops ops = {.name = "test",
                                               .volume_size = 1,
                                               .file_size = 1,
                                               .mount = give_up_mount,
                                               .unmount = give_up_unmount,
                                               .free_space = give_up_number,
                                               .max_file_bytes = give_up_number,
                                               .open = give_up_open,
                                               .write = give_up_write};
    struct test_volume volume;
    struct stream_store *store;
    struct stream *stream;
    struct stream_request requests[3] = {0};
    struct error error = {0};
    uint8_t bytes[8192] = {0};

    (void)state;
    test_volume_init(&volume, MIB);
    test_volume_open(&volume, 512);
    assert_int_equal(volume_store_open(volume.device, &ops, "x", true, &store, &error), 0);
    assert_int_equal(store->open(store, 0, true, &stream, &error), 0);
    for (unsigned i = 0; i < 3; i++) {
        requests[i] = (struct stream_request){
            .operation = STREAM_WRITE, .offset = i * sizeof bytes, .data = bytes, .size = sizeof bytes};
        assert_int_equal(stream_submit(stream, &requests[i]), 0);
    }
    assert_int_equal(stream_flush(stream, &error), -ERROR_ABORTED);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(requests[i].ended);
        assert_int_equal(requests[i].status, -ERROR_ABORTED);
    }
    assert_int_equal(stream_close(stream, &error), -ERROR_ABORTED);
    store->close(store);
    /* Nothing of it is left: the volume can be written again. */
    assert_int_equal(volume_store_open(volume.device, &ops, "x", true, &store, &error), 0);
    store->close(store);
    test_volume_free(&volume);
}

/* Damaged volumes: an error or bytes, never a crash or a hang. */
static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOME; i++) {
        const struct kind *kind = &kinds[some[i]];
        struct test_volume volume;
        uint64_t seed = 3;
        uint8_t *good, *bytes = calloc(1, MIB);

        make(&volume, kind, 8 * MIB);
        good = malloc(volume.size);
        memcpy(good, volume.bytes, volume.size);
        for (unsigned round = 0; round < 150; round++) {
            struct stream_store *store;
            struct stream *stream;
            struct error error = {0};
            bool write = round % 2;
            size_t transferred;

            memcpy(volume.bytes, good, volume.size);
            for (unsigned n = 0; n < 40; n++) {
                uint8_t garbage[4];

                test_garbage(garbage, sizeof garbage, seed += 13);
                volume.bytes[(garbage[0] | (size_t)garbage[1] << 8 | (size_t)garbage[2] << 16) % (400 * 1024) + 2048] =
                    garbage[3];
            }
            if (kind->driver->open_store(volume.device, write ? "new.eid" : "images/old.eid", write, &store, &error) <
                0)
                continue;
            if (store->open(store, 0, write, &stream, &error) == 0) {
                if (write)
                    stream_write(stream, 0, bytes, MIB, &error);
                else
                    stream_read(stream, 0, bytes, MIB, &transferred, &error);
                stream_close(stream, &error);
            }
            store->close(store);
        }
        free(good);
        free(bytes);
        test_volume_free(&volume);
    }
}

int main(void)
{
    char folder[PATH_MAX];
    struct CMUnitTest tests[2 * KINDS + 10] = {
        cmocka_unit_test(test_remove),          cmocka_unit_test(test_full),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_ext_not_at_rest), cmocka_unit_test(test_queue),   cmocka_unit_test(test_gone),
        cmocka_unit_test(test_abandoned),       cmocka_unit_test(test_hostile), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_reopen_refusals),
    };

    if (!realpath("tests/support", folder))
        return 2;
    setenv("TESTS", folder, 1);
    for (size_t i = 0; i < KINDS; i++) {
        tests[10 + 2 * i] = (struct CMUnitTest){kinds[i].name, test_kind, NULL, NULL, (void *)&kinds[i]};
        tests[11 + 2 * i] = (struct CMUnitTest){"reopen", test_reopen, NULL, NULL, (void *)&kinds[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
