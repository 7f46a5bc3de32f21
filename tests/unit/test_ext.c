/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocation of ext2/3/4 volumes made by mke2fs: restored on garbage, checked by e2fsck, counted against dumpe2fs. */
#include "fs/drivers.h"
#include "tests/support/volume_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024u * 1024)

static void make(struct test_volume *volume, size_t size, const char *command)
{
    test_volume_init(volume, size);
    test_volume_make_files(volume);
    assert_int_equal(test_volume_run(volume, "%s image", command), 0);
    test_volume_open(volume, 512);
}

static void read_allocation(struct test_volume *volume, struct allocation *allocation)
{
    filesystem_register(&ext_filesystem);
    assert_int_equal(filesystem_allocation(volume->device, allocation), 0);
}

/* Everything a restore must bring back: clean for e2fsck, each file's bytes. What is blank comes back as zeroes. */
static void assert_restores(struct test_volume *volume, const struct allocation *allocation, int clean)
{
    for (size_t i = 0; i < allocation->blank.count; i++)
        memset(volume->bytes + allocation->blank.extents[i].offset, 0, (size_t)allocation->blank.extents[i].length);
    test_volume_restore(volume, &allocation->used);
    assert_int_equal(test_volume_run(volume, "e2fsck -fn restored"), clean);
    assert_int_equal(test_volume_run(volume, "rm -rf out && mkdir out && debugfs -R 'rdump / out' restored && "
                                             "rm -rf out/lost+found && diff -r --no-dereference files out"),
                     0);
}

/* Bitmaps that were never written. */
static uint64_t uninitialised_bytes(struct test_volume *volume)
{
    long long bitmaps = test_volume_number(volume,
                                           "dumpe2fs image | grep -oE '(BLOCK|INODE)_UNINIT' | wc -l | "
                                           "sed 's/^/bitmaps: /'",
                                           "bitmaps:");

    return (uint64_t)(bitmaps * test_volume_number(volume, "dumpe2fs -h image", "Block size:"));
}

/* What dumpe2fs calls used. */
static uint64_t expected_bytes(struct test_volume *volume)
{
    long long blocks = test_volume_number(volume, "dumpe2fs -h image", "Block count:");
    long long unused = test_volume_number(volume, "dumpe2fs -h image", "Free blocks:");
    long long size = test_volume_number(volume, "dumpe2fs -h image", "Block size:");

    return (uint64_t)((blocks - unused) * size);
}

/* `lazy`: inode tables that mke2fs did not zero are left out. */
static void check_variant(const char *command, bool lazy)
{
    struct test_volume volume;
    struct allocation allocation;

    make(&volume, 48 * MIB, command);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_int_equal(allocation.messages.count, 0);
    if (lazy)
        assert_in_range(extent_list_total(&allocation.used), 1, expected_bytes(&volume) - MIB);
    else
        assert_int_equal(extent_list_total(&allocation.used), expected_bytes(&volume) - uninitialised_bytes(&volume));
    assert_restores(&volume, &allocation, 0);
    /* The same again with garbage where nothing is: no reader may take hints from there. */
    test_volume_fill_unused(&volume, &allocation.used);
    uint64_t total = extent_list_total(&allocation.used);
    allocation_free(&allocation);
    read_allocation(&volume, &allocation);
    assert_int_equal(extent_list_total(&allocation.used), total);
    allocation_free(&allocation);
    test_volume_free(&volume);
}

#define VARIANT(name, lazy, command)                                                                                   \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        check_variant(command " -q -F -d files", lazy);                                                                \
    }
VARIANT(ext2_1k, false, "mkfs.ext2 -b 1024")
VARIANT(ext3_4k, false, "mkfs.ext3 -b 4096 -g 2048")
VARIANT(ext4_4k, false, "mkfs.ext4 -b 4096 -g 1024 -O orphan_file,mmp")
VARIANT(ext4_1k_lazy, true, "mkfs.ext4 -b 1024 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1")
VARIANT(ext4_bigalloc, false, "mkfs.ext4 -b 4096 -O bigalloc -C 16384")
VARIANT(ext4_bigalloc_1k, false, "mkfs.ext4 -b 1024 -O bigalloc -C 8192")
VARIANT(ext4_meta_bg, false, "mkfs.ext4 -b 1024 -O meta_bg,^resize_inode -g 512 -N 2048")
VARIANT(ext4_no_flex_bg, false, "mkfs.ext4 -b 1024 -O ^flex_bg")
VARIANT(ext4_sparse_super2, false, "mkfs.ext4 -b 1024 -O sparse_super2,^resize_inode -E num_backup_sb=2")
VARIANT(ext4_uninit_bg, false, "mkfs.ext4 -b 1024 -O ^metadata_csum,uninit_bg,^64bit")
VARIANT(ext4_no_journal, false, "mkfs.ext4 -b 1024 -O ^has_journal")

/*
 * A restored volume goes on to live: the groups that nobody had used are used, though there is garbage in what was not brought back.
 * Where mke2fs zeroed inode tables, nothing of their unused ends is read, and zeroes stand there afterwards.
 */
static void check_life(const char *command, bool zeroed)
{
    struct test_volume volume;
    struct allocation allocation;

    make(&volume, 48 * MIB, command);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_true(zeroed ? extent_list_total(&allocation.blank) > MIB : !allocation.blank.count);
    for (size_t i = 0; i < allocation.blank.count; i++)
        assert_true(extent_list_contains(&allocation.used, allocation.blank.extents[i].offset,
                                         allocation.blank.extents[i].length));
    assert_restores(&volume, &allocation, 0);
    assert_int_equal(test_volume_run(&volume, "for d in $(seq 9); do echo mkdir d$d; for f in $(seq 150); do "
                                              "echo write script d$d/f$f; "
                                              "echo symlink d$d/s$f target; done; done >script && "
                                              "debugfs -w -f script restored && e2fsck -fn restored"),
                     0);
    if (zeroed) /* From a backup of the superblock, without the flags: every inode table is looked at. */
        assert_int_equal(test_volume_run(&volume, "e2fsck -fy -b 8193 -B 1024 restored >log; test $? -le 1 && "
                                                  "! grep -E 'nattached|lost.found|deleted|illegal' log"),
                         0);
    allocation_free(&allocation);
    test_volume_free(&volume);
}

static void test_life_after_restore(void **state)
{
    (void)state;
    check_life("mkfs.ext4 -q -F -b 1024 -N 16384 -d files", true);
    check_life("mkfs.ext4 -q -F -b 1024 -N 16384 -E nodiscard,lazy_itable_init=1 -d files", false);
}

static void test_recognition(void **state)
{
    struct test_volume volume;
    struct filesystem_info info;

    (void)state;
    make(&volume, 8 * MIB, "mkfs.ext3 -q -F -L L\xc3\xa4nge -U 01234567-89ab-cdef-0123-456789abcdef");
    filesystem_register(&ext_filesystem);
    assert_ptr_equal(filesystem_probe(volume.device, &info), &ext_filesystem);
    assert_string_equal(info.type, "ext3");
    assert_string_equal(info.label, "L\xc3\xa4nge");
    assert_string_equal(info.uuid, "01234567-89ab-cdef-0123-456789abcdef");
    assert_int_equal(info.total_bytes, 8 * MIB);
    assert_int_equal(info.used_bytes, expected_bytes(&volume));
    volume.bytes[1024 + 56] ^= 1;
    assert_null(filesystem_probe(volume.device, &info));
    test_volume_free(&volume);
}

/* A volume that is smaller than its partition: what lies behind it is kept. */
static void test_tail(void **state)
{
    struct test_volume volume;
    struct allocation allocation;

    (void)state;
    make(&volume, 32 * MIB, "size=24M; mke2fs() { mkfs.ext4 -q -F -d files $1 $size; }; mke2fs");
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_true(extent_list_contains(&allocation.used, 24 * MIB, 4096));
    assert_true(extent_list_contains(&allocation.used, 31 * MIB, MIB));
    allocation_free(&allocation);
    test_volume_free(&volume);
}

/* Each of these changes makes the volume's bitmaps something that must not be believed. */
static void test_doubts(void **state)
{
    static const struct {
        const char *change;
        enum message_id message;
    } cases[] = {
        {"debugfs -w -R 'feature needs_recovery' image", MESSAGE_FS_JOURNAL_DIRTY},
        {"debugfs -w -R 'ssv state 0' image", MESSAGE_FS_NOT_CLEAN},
        {"debugfs -w -R 'ssv state 3' image", MESSAGE_FS_HAS_ERRORS},
        {"debugfs -w -R 'feature FEATURE_I31' image", MESSAGE_FS_UNKNOWN_FEATURE},
        {"debugfs -w -R 'feature FEATURE_R31' image", MESSAGE_FS_UNKNOWN_FEATURE},
        {"debugfs -w -R 'ssv blocks_count 99999' image", MESSAGE_FS_BIGGER_THAN_VOLUME},
        {"debugfs -w -R 'clri <8>' image", MESSAGE_FS_DAMAGED},
        {"debugfs -w -R 'set_bg 1 block_bitmap 0' image", MESSAGE_FS_DAMAGED},
        {"debugfs -w -R 'set_bg 0 free_blocks_count 5' image; debugfs -w -R 'set_bg 0 checksum calc' image",
         MESSAGE_FS_DAMAGED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;
        struct allocation allocation;

        test_volume_init(&volume, 16 * MIB);
        assert_int_equal(test_volume_run(&volume, "mkfs.ext4 -q -F -b 1024 image && { %s; }", cases[i].change), 0);
        test_volume_open(&volume, 512);
        read_allocation(&volume, &allocation);
        if (allocation.verdict != ALLOCATION_WHOLE || !test_has_message(&allocation, cases[i].message))
            fail_msg("case %zu: verdict %d, %u messages, first %d", i, allocation.verdict, allocation.messages.count,
                     allocation.messages.items[0].id);
        allocation_free(&allocation);
        test_volume_free(&volume);
    }
}

/* ext2 has no checksums: a block that a bitmap loses shows in the count of free ones, a lost superblock backup in the audit. */
static void test_lost_bits(void **state)
{
    static const struct {
        const char *change;
        enum message_id message;
        uint64_t byte;
    } cases[] = {
        {"debugfs -w -R 'freeb 2000' image", MESSAGE_FS_DAMAGED, 0},
        {"debugfs -w -R 'freeb 8193' image && debugfs -w -R 'setb 16000' image", MESSAGE_FS_AUDIT_FAILED, 8193 * 1024},
        {"debugfs -w -R 'freeb 8194' image && debugfs -w -R 'setb 16000' image", MESSAGE_FS_AUDIT_FAILED, 8194 * 1024},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;
        struct allocation allocation;

        make(&volume, 32 * MIB, "mkfs.ext2 -q -F -b 1024 -d files");
        assert_int_equal(test_volume_run(&volume, "%s", cases[i].change), 0);
        read_allocation(&volume, &allocation);
        assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
        assert_true(test_has_message(&allocation, cases[i].message));
        if (cases[i].byte)
            assert_int_equal(allocation.messages.items[0].number[0], cases[i].byte);
        allocation_free(&allocation);
        test_volume_free(&volume);
    }
}

static void test_external_journal(void **state)
{
    struct test_volume volume;
    struct allocation allocation;

    (void)state;
    test_volume_init(&volume, 16 * MIB);
    assert_int_equal(test_volume_run(&volume,
                                     "mkfs.ext4 -q -F -O ^has_journal -b 1024 image && "
                                     "debugfs -w -R 'feature has_journal' image && "
                                     "debugfs -w -R 'ssv journal_uuid 01234567-89ab-cdef-0123-456789abcdef' image"),
                     0);
    test_volume_open(&volume, 512);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_true(test_has_message(&allocation, MESSAGE_FS_JOURNAL_EXTERNAL));
    assert_string_equal(allocation.messages.items[0].text[1], "01234567-89ab-cdef-0123-456789abcdef");
    allocation_free(&allocation);
    test_volume_free(&volume);
}

/* Damage anywhere in the metadata: no crash, no hang, nothing outside of the volume. */
static void test_hostile(void **state)
{
    struct test_volume volume;
    uint64_t seed = 20;
    unsigned whole = 0;

    (void)state;
    make(&volume, 12 * MIB, "rm -rf files/big; mkfs.ext4 -q -F -b 1024 -O ^metadata_csum,^uninit_bg -d files");
    uint8_t *good = malloc(volume.size);
    memcpy(good, volume.bytes, volume.size);
    for (unsigned round = 0; round < 400; round++) {
        struct allocation allocation;

        for (unsigned i = 0; i < 3; i++) {
            uint8_t garbage[8];

            seed += round * 8 + i + 1;
            test_garbage(garbage, sizeof garbage, seed);
            /* Superblock, descriptors, bitmaps, inodes: the first 300 KiB, the superblock most of all. */
            size_t at = (garbage[0] | (size_t)garbage[1] << 8 | (size_t)garbage[2] << 16) % (300 * 1024);
            if (garbage[3] < 128)
                at = 1024 + at % 1024;
            volume.bytes[at] = garbage[4];
        }
        read_allocation(&volume, &allocation);
        whole += allocation.verdict == ALLOCATION_WHOLE;
        allocation_free(&allocation);
        if (round % 2)
            memcpy(volume.bytes, good, volume.size);
    }
    assert_true(whole > 100);
    free(good);
    test_volume_free(&volume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recognition),
        cmocka_unit_test(test_life_after_restore),
        cmocka_unit_test(test_ext2_1k),
        cmocka_unit_test(test_ext3_4k),
        cmocka_unit_test(test_ext4_4k),
        cmocka_unit_test(test_ext4_1k_lazy),
        cmocka_unit_test(test_ext4_bigalloc),
        cmocka_unit_test(test_ext4_bigalloc_1k),
        cmocka_unit_test(test_ext4_meta_bg),
        cmocka_unit_test(test_ext4_no_flex_bg),
        cmocka_unit_test(test_ext4_sparse_super2),
        cmocka_unit_test(test_ext4_uninit_bg),
        cmocka_unit_test(test_ext4_no_journal),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_lost_bits),
        cmocka_unit_test(test_external_journal),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
