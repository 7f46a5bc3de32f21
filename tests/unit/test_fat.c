/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocation of FAT volumes made by mkfs.fat and filled by mtools: restored on garbage, counted against fsck.fat, lied to. */
#include "core/bytes.h"
#include "fs/drivers.h"
#include "tests/support/volume_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024u * 1024)

static void make(struct test_volume *volume, size_t size, uint32_t block, const char *command)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "%s image", command), 0);
    test_volume_open(volume, block);
}

/* Real files, with holes where some were deleted. */
static void fill(struct test_volume *volume)
{
    test_volume_make_files(volume);
    assert_int_equal(test_volume_run(volume,
                                     "export MTOOLS_SKIP_CHECK=1; cp -rL files real && mcopy -s -i image real/* :: && "
                                     "mdel -i image ::numbers ::a/b/small7 ::a/b/small8? && "
                                     "rm real/numbers real/a/b/small7 real/a/b/small8? && "
                                     "cp real/big real/again && mcopy -i image real/again ::"),
                     0);
}

static void read_allocation(struct test_volume *volume, struct allocation *allocation)
{
    filesystem_register(&fat_filesystem);
    assert_int_equal(filesystem_allocation(volume->device, allocation), 0);
}

static void assert_whole(struct test_volume *volume, enum message_id id)
{
    struct allocation allocation;

    read_allocation(volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_int_equal(allocation.used.count, 0);
    assert_true(test_has_message(&allocation, id));
    extent_list_free(&allocation.used);
}

static void assert_exact(struct test_volume *volume, enum message_id id)
{
    struct allocation allocation;

    read_allocation(volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_true(id == MESSAGE_NONE ? allocation.messages.count == 0 : test_has_message(&allocation, id));
    extent_list_free(&allocation.used);
}

static void check_sized(size_t size, const char *command, const char *type, uint32_t cluster, uint32_t block)
{
    struct test_volume volume;
    struct allocation allocation;
    uint64_t expected;

    make(&volume, size, block, command);
    fill(&volume);
    read_allocation(&volume, &allocation);
    assert_string_equal(allocation.info.type, type);
    assert_int_equal(allocation.info.block_size, cluster);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_int_equal(allocation.messages.count, 0);
    expected = (uint64_t)test_volume_number(&volume, "fsck.fat -nv image", "Data area starts at byte ") +
               (uint64_t)test_volume_number(&volume, "fsck.fat -nv image", " files, ") * cluster;
    assert_int_equal(extent_list_total(&allocation.used), expected);
    assert_int_equal(allocation.info.used_bytes, expected);
    test_volume_fill_unused(&volume, &allocation.used);
    test_volume_restore(&volume, &allocation.used);
    assert_int_equal(test_volume_run(&volume, "fsck.fat -n restored"), 0);
    assert_int_equal(test_volume_run(&volume, "mkdir out && MTOOLS_SKIP_CHECK=1 mcopy -s -i restored '::*' out && "
                                              "diff -r real out"),
                     0);
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void check(const char *command, const char *type, uint32_t cluster, uint32_t block)
{
    check_sized(64 * MIB, command, type, cluster, block);
}

static void test_fat12(void **state)
{
    (void)state;
    check("mkfs.fat -F 12 -s 64", "fat12", 32768, 512);
    check("mkfs.fat -F 12 -s 64 -f 1", "fat12", 32768, 512);
}

static void test_fat16(void **state)
{
    (void)state;
    check("mkfs.fat -F 16 -s 4", "fat16", 2048, 512);
    check("mkfs.fat -F 16 -s 32 -r 2048 -R 9", "fat16", 16384, 4096);
}

static void test_fat32(void **state)
{
    (void)state;
    check("mkfs.fat -F 32 -s 1", "fat32", 512, 512);
    check_sized(272 * MIB, "mkfs.fat -F 32 -S 4096 -s 1", "fat32", 4096, 4096);
}

/* Fewer clusters than the specification allows: some EFI system partitions are like that, and systems mount them as FAT32. */
static void test_small_fat32(void **state)
{
    struct test_volume volume;
    struct allocation allocation;

    (void)state;
    make(&volume, 16 * MIB, 512, "mkfs.fat -F 32 -s 8");
    read_allocation(&volume, &allocation);
    assert_string_equal(allocation.info.type, "fat32");
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_int_equal(extent_list_total(&allocation.used),
                     test_volume_number(&volume, "fsck.fat -nv image", "Data area starts at byte ") + 4096);
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void test_recognition(void **state)
{
    struct test_volume volume;
    struct filesystem_info info;

    (void)state;
    make(&volume, 64 * MIB, 512, "mkfs.fat -F 32 -n 'MY STICK' -i 0123abcd");
    filesystem_register(&fat_filesystem);
    assert_ptr_equal(filesystem_probe(volume.device, &info), &fat_filesystem);
    assert_string_equal(info.type, "fat32");
    assert_string_equal(info.label, "MY STICK");
    assert_string_equal(info.uuid, "0123-ABCD");
    assert_int_equal(info.total_bytes, 64 * MIB);
    assert_int_equal(test_volume_run(&volume, "mlabel -i image ::RENAMED"), 0);
    memcpy(volume.bytes + 71, "NO NAME    ", 11);
    filesystem_probe(volume.device, &info);
    assert_string_equal(info.label, "RENAMED");
    volume.bytes[511] = 0;
    assert_null(filesystem_probe(volume.device, &info));
    test_volume_free(&volume);
}

/* States that change nothing for the copy, and are said. */
static void test_states(void **state)
{
    struct test_volume volume;
    struct allocation allocation;
    uint8_t *fat;

    (void)state;
    make(&volume, 64 * MIB, 512, "mkfs.fat -F 32 -s 1 -R 32");
    fat = volume.bytes + 32 * 512;
    assert_exact(&volume, MESSAGE_NONE);
    fat[7] &= 0xf7;
    assert_exact(&volume, MESSAGE_FS_NOT_CLEAN);
    fat[7] = 0x0b; /* clean, with errors */
    assert_exact(&volume, MESSAGE_FS_HAS_ERRORS);
    fat[7] = 0x0f;
    volume.bytes[65] = 1;
    assert_exact(&volume, MESSAGE_FS_NOT_CLEAN);
    volume.bytes[65] = 0;

    /* A cluster that only the second copy knows is in use all the same. */
    uint32_t fat_bytes = load_le32(volume.bytes + 36) * 512;
    uint64_t cluster = 32 * 512 + 2 * fat_bytes + (60000 - 2) * 512;
    store_le32(fat + fat_bytes + 4 * 60000, 0x0fffffff);
    read_allocation(&volume, &allocation);
    assert_true(extent_list_contains(&allocation.used, cluster, 512));
    assert_false(extent_list_overlaps(&allocation.used, cluster - 512, 512));
    assert_false(extent_list_overlaps(&allocation.used, cluster + 512, 512));
    assert_true(test_has_message(&allocation, MESSAGE_FS_NOT_CLEAN));
    extent_list_free(&allocation.used);
    volume.bytes[40] = 0x80; /* not mirrored: then the difference is what it should be */
    read_allocation(&volume, &allocation);
    assert_true(extent_list_contains(&allocation.used, cluster, 512));
    assert_int_equal(allocation.messages.count, 0);
    extent_list_free(&allocation.used);
    /* Marked as bad: nothing to read there. */
    store_le32(fat + fat_bytes + 4 * 60000, 0x0ffffff7);
    store_le32(fat + 4 * 60000, 0x0ffffff7);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_false(extent_list_overlaps(&allocation.used, cluster, 512));
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

/* What makes a volume go whole. */
static void test_doubts(void **state)
{
    struct test_volume volume;

    (void)state;
    make(&volume, 64 * MIB, 512, "mkfs.fat -F 32 -s 1 -R 32");
    fill(&volume);
    assert_exact(&volume, MESSAGE_NONE);
    uint8_t boot[512];
    memcpy(boot, volume.bytes, 512);
    store_le32(volume.bytes + 32, 64 * MIB / 512 + 1); /* bigger than the volume */
    assert_whole(&volume, MESSAGE_FS_BIGGER_THAN_VOLUME);
    memcpy(volume.bytes, boot, 512);
    store_le32(volume.bytes + 44, 0x0ffffff0); /* root directory elsewhere */
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    store_le32(volume.bytes + 44, 130000 - 2000);
    assert_whole(&volume, MESSAGE_FS_AUDIT_FAILED); /* in a free cluster */
    memcpy(volume.bytes, boot, 512);
    volume.bytes[48] = volume.bytes[49] = 0xfe; /* FSInfo among the files' clusters */
    assert_whole(&volume, MESSAGE_FS_AUDIT_FAILED);
    memcpy(volume.bytes, boot, 512);

    uint64_t fat_bytes = load_le32(volume.bytes + 36) * 512ull, fat = 32 * 512;
    uint8_t media = volume.bytes[fat];
    volume.bytes[fat] = 0x11;
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    volume.bytes[fat] = media;
    assert_exact(&volume, MESSAGE_NONE);
    /* A file of the root directory in a cluster that both copies call free. */
    uint8_t *entry = volume.bytes + fat + 2 * fat_bytes;
    while (entry[0] && (memcmp(entry, "BIG     ", 8) != 0 || entry[11] == 0x0f))
        entry += 32;
    assert_int_equal(entry[0], 'B');
    uint32_t first = load_le32(entry + 24) >> 16 | (uint32_t)(entry[20] | entry[21] << 8) << 16;
    store_le32(volume.bytes + fat + 4ull * first, 0);
    store_le32(volume.bytes + fat + fat_bytes + 4ull * first, 0);
    assert_whole(&volume, MESSAGE_FS_AUDIT_FAILED);
    /* The whole table lost. */
    memset(volume.bytes + fat, 0, 2 * fat_bytes);
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    test_volume_free(&volume);

    make(&volume, 64 * MIB, 512, "mkfs.fat -F 16 -s 4");
    memcpy(volume.bytes + 54, "FAT12   ", 8);
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    test_volume_free(&volume);
}

/* Random changes where the geometry, the table and the root directory are: any answer, but one that keeps its promises. */
static void hostile(const char *command, size_t size, size_t region)
{
    struct test_volume volume;
    uint8_t *pristine = malloc(region);
    unsigned exact = 0;

    make(&volume, size, 512, command);
    memcpy(pristine, volume.bytes, region);
    srandom(3);
    for (unsigned round = 0; round < 1200; round++) {
        struct allocation allocation;

        for (unsigned flips = 1 + (unsigned)random() % 3; flips; flips--) {
            size_t at = (size_t)random() % (random() % 4 ? 90 : region);

            volume.bytes[at] ^= (uint8_t)(random() % 2 ? random() : 1 << random() % 8);
        }
        read_allocation(&volume, &allocation);
        if (allocation.verdict == ALLOCATION_EXACT) {
            const struct extent *last = &allocation.used.extents[allocation.used.count - 1];

            exact++;
            assert_true(last->offset + last->length <= size);
            assert_true(extent_list_contains(&allocation.used, 0, 512));
        }
        extent_list_free(&allocation.used);
        memcpy(volume.bytes, pristine, region);
    }
    assert_true(exact > 50 && exact < 1150);
    free(pristine);
    test_volume_free(&volume);
}

static void test_hostile(void **state)
{
    (void)state;
    hostile("mkfs.fat -F 12 -s 8", 4 * MIB, 16384);
    hostile("mkfs.fat -F 16 -s 1", 4 * MIB, 65536);
    hostile("mkfs.fat -F 32 -s 8", 16 * MIB, 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fat12),       cmocka_unit_test(test_fat16),       cmocka_unit_test(test_fat32),
        cmocka_unit_test(test_small_fat32), cmocka_unit_test(test_recognition), cmocka_unit_test(test_states),
        cmocka_unit_test(test_doubts),      cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
