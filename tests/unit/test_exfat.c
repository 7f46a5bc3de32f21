/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocation of exFAT volumes made by mkfs.exfat: restored on garbage, checked by fsck.exfat, counted against dump.exfat. */
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

/* The boot sector's fields that the tests need, read anew here. Offsets in bytes. */
struct layout {
    uint64_t fat, heap, cluster;
    uint32_t root, clusters;
};

static struct layout layout_of(const struct test_volume *volume)
{
    const uint8_t *boot = volume->bytes;
    uint64_t sector = 1ull << boot[108];

    return (struct layout){load_le32(boot + 80) * sector, load_le32(boot + 88) * sector, sector << boot[109],
                           load_le32(boot + 96), load_le32(boot + 92)};
}

static uint8_t *cluster_at(struct test_volume *volume, uint32_t cluster)
{
    struct layout layout = layout_of(volume);

    return volume->bytes + layout.heap + (cluster - 2) * layout.cluster;
}

static uint8_t *root_entry(struct test_volume *volume, uint8_t type)
{
    uint8_t *entry = cluster_at(volume, layout_of(volume).root);

    while (entry[0] != type && entry[0])
        entry += 32;
    assert_int_equal(entry[0], type);
    return entry;
}

static void set_bit(struct test_volume *volume, uint32_t cluster, bool value)
{
    uint8_t *bitmap = cluster_at(volume, load_le32(root_entry(volume, 0x81) + 20));
    uint8_t mask = (uint8_t)(1 << (cluster - 2) % 8);

    bitmap[(cluster - 2) / 8] = (uint8_t)(value ? bitmap[(cluster - 2) / 8] | mask : bitmap[(cluster - 2) / 8] & ~mask);
}

/* Writes the checksum sector of the main boot region anew (section 3.4). */
static void reseal(struct test_volume *volume)
{
    const uint32_t sector = 512;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < 11 * sector; i++)
        if (i != 106 && i != 107 && i != 112)
            sum = (sum << 31 | sum >> 1) + volume->bytes[i];
    for (uint32_t i = 0; i < sector; i += 4)
        store_le32(volume->bytes + 11 * sector + i, sum);
}

/* A file of garbage in the root directory, contiguous from `cluster` on, without a chain (section 7.4 to 7.7). */
static void add_file(struct test_volume *volume, const char *name, uint32_t cluster, uint64_t size)
{
    struct layout layout = layout_of(volume);
    uint8_t set[96] = {0x85, 2, 0, 0, 0x20}, *to = cluster_at(volume, layout.root);
    uint16_t hash = 0, sum = 0;
    size_t length = strlen(name);

    for (unsigned at = 8; at < 20; at += 4)
        store_le32(set + at, 44u << 25 | 1u << 21 | 1u << 16);
    set[32] = 0xc0;
    set[33] = 3; /* allocation possible, no chain */
    set[35] = (uint8_t)length;
    store_le64(set + 40, size);
    store_le32(set + 52, cluster);
    store_le64(set + 56, size);
    set[64] = 0xc1;
    for (size_t i = 0; i < 2 * length; i++) {
        uint8_t byte = (uint8_t)(i % 2 ? 0 : name[i / 2]);

        set[66 + i] = byte;
        hash = (uint16_t)((hash << 15 | hash >> 1) + byte);
    }
    set[36] = (uint8_t)hash;
    set[37] = (uint8_t)(hash >> 8);
    for (unsigned i = 0; i < sizeof set; i++)
        if (i != 2 && i != 3)
            sum = (uint16_t)((sum << 15 | sum >> 1) + set[i]);
    set[2] = (uint8_t)sum;
    set[3] = (uint8_t)(sum >> 8);
    while (*to)
        to += 32;
    memcpy(to, set, sizeof set);
    test_garbage(cluster_at(volume, cluster), size, cluster);
    for (uint32_t i = 0; i * layout.cluster < size; i++)
        set_bit(volume, cluster + i, true);
}

static void make(struct test_volume *volume, size_t size, uint32_t block, const char *command)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "%s image", command), 0);
    test_volume_open(volume, block);
}

static void read_allocation(struct test_volume *volume, struct allocation *allocation)
{
    filesystem_register(&exfat_filesystem);
    assert_int_equal(filesystem_allocation(volume->device, allocation), 0);
}

static void assert_verdict(struct test_volume *volume, enum allocation_verdict verdict, enum message_id id)
{
    struct allocation allocation;

    read_allocation(volume, &allocation);
    assert_int_equal(allocation.verdict, verdict);
    assert_true(id == MESSAGE_NONE ? allocation.messages.count == 0 : test_has_message(&allocation, id));
    extent_list_free(&allocation.used);
}

static void check(const char *command, size_t size, uint32_t block)
{
    struct test_volume volume;
    struct allocation allocation;
    struct layout layout;
    uint64_t expected;

    make(&volume, size, block, command);
    layout = layout_of(&volume);
    add_file(&volume, "FIRST", 40, 5 * layout.cluster - 100);
    add_file(&volume, "SECOND", 61, 1);
    add_file(&volume, "LAST", layout.clusters + 1, layout.cluster); /* the very last cluster */
    assert_int_equal(test_volume_run(&volume, "fsck.exfat -n image | grep 'files 3'"), 0);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_int_equal(allocation.messages.count, 0);
    expected = (uint64_t)test_volume_number(&volume, "dump.exfat image", "Total Clusters:") -
               (uint64_t)test_volume_number(&volume, "dump.exfat image", "Free Clusters:");
    expected = layout.heap + expected * layout.cluster;
    /* What is behind the last cluster, if anything, is kept. */
    assert_int_equal(extent_list_total(&allocation.used), expected + size - allocation.info.total_bytes);
    assert_true(
        extent_list_contains(&allocation.used, layout.heap + (layout.clusters - 1) * layout.cluster, layout.cluster));
    assert_false(extent_list_overlaps(&allocation.used, layout.heap + 43 * layout.cluster, layout.cluster));
    test_volume_fill_unused(&volume, &allocation.used);
    test_volume_restore(&volume, &allocation.used);
    assert_int_equal(test_volume_run(&volume, "fsck.exfat -n restored | grep 'clean. directories 1, files 3'"), 0);
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void test_allocation(void **state)
{
    (void)state;
    check("mkfs.exfat -c 4K", 32 * MIB, 512);
    check("mkfs.exfat -c 512", 32 * MIB, 512); /* the bitmap is a chain of several clusters */
    check("mkfs.exfat -c 128K", 64 * MIB, 4096);
}

/* A bitmap whose second cluster lies elsewhere: the chain counts, not the neighbour. */
static void test_bitmap_in_pieces(void **state)
{
    struct test_volume volume;
    struct allocation allocation;
    struct layout layout;

    (void)state;
    make(&volume, 32 * MIB, 512, "mkfs.exfat -c 512");
    layout = layout_of(&volume);
    uint8_t *fat = volume.bytes + layout.fat;
    uint32_t first = load_le32(root_entry(&volume, 0x81) + 20);
    memcpy(cluster_at(&volume, 3000), cluster_at(&volume, first + 1), 512);
    store_le32(fat + 4 * 3000, load_le32(fat + 4 * (first + 1)));
    store_le32(fat + 4 * first, 3000);
    set_bit(&volume, 3000, true);
    memset(cluster_at(&volume, first + 1), 0, 512);
    cluster_at(&volume, 3000)[10] = 1; /* bit 8 * (512 + 10) */
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_true(extent_list_contains(&allocation.used, layout.heap + 8 * (512 + 10) * 512, 512));
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void test_recognition(void **state)
{
    struct test_volume volume;
    struct filesystem_info info;
    uint64_t used;

    (void)state;
    make(&volume, 32 * MIB, 512,
         "mkfs.exfat -c 4K -L 'Gr\xc3\xb6\xc3\x9f"
         "e'");
    filesystem_register(&exfat_filesystem);
    assert_ptr_equal(filesystem_probe(volume.device, &info), &exfat_filesystem);
    assert_string_equal(info.type, "exfat");
    assert_string_equal(info.label, "Gr\xc3\xb6\xc3\x9f"
                                    "e");
    assert_int_equal(info.block_size, 4096);
    assert_int_equal(info.total_bytes, 32 * MIB);
    assert_int_equal(test_volume_run(&volume, "test \"$(blkid -o value -s UUID -p image)\" = %s", info.uuid), 0);
    volume.bytes[112] = 50;
    filesystem_probe(volume.device, &info);
    used = layout_of(&volume).heap + layout_of(&volume).clusters * 4096ull / 2;
    assert_true(info.used_bytes <= used && info.used_bytes + 100 * 4096 > used);
    volume.bytes[3] = 'e';
    assert_null(filesystem_probe(volume.device, &info));
    test_volume_free(&volume);
}

static void test_states(void **state)
{
    struct test_volume volume;

    (void)state;
    make(&volume, 16 * MIB, 512, "mkfs.exfat -c 4K");
    assert_verdict(&volume, ALLOCATION_EXACT, MESSAGE_NONE);
    volume.bytes[106] = 2;
    assert_verdict(&volume, ALLOCATION_EXACT, MESSAGE_FS_NOT_CLEAN);
    volume.bytes[106] = 4;
    assert_verdict(&volume, ALLOCATION_EXACT, MESSAGE_FS_HAS_ERRORS);
    volume.bytes[106] = 1; /* the second FAT is active, where there is only one */
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED);
    test_volume_free(&volume);
}

static void test_doubts(void **state)
{
    struct test_volume volume;
    struct layout layout;
    uint8_t *entry, *fat;
    uint32_t bitmap, up_case;

    (void)state;
    make(&volume, 16 * MIB, 512, "mkfs.exfat -c 4K");
    layout = layout_of(&volume);
    fat = volume.bytes + layout.fat;
    bitmap = load_le32(root_entry(&volume, 0x81) + 20);
    up_case = load_le32(root_entry(&volume, 0x82) + 20);

    volume.bytes[120] ^= 1; /* boot code: the checksum notices */
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED);
    volume.bytes[120] ^= 1;
    store_le64(volume.bytes + 72, 16 * MIB / 512 + 1);
    reseal(&volume);
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_BIGGER_THAN_VOLUME);
    store_le64(volume.bytes + 72, 16 * MIB / 512);
    reseal(&volume);
    assert_verdict(&volume, ALLOCATION_EXACT, MESSAGE_NONE);

    uint32_t structures[] = {layout.root, bitmap, up_case, up_case + 1};
    for (unsigned i = 0; i < 4; i++) {
        set_bit(&volume, structures[i], false);
        assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_AUDIT_FAILED);
        set_bit(&volume, structures[i], true);
    }

    store_le32(fat + 4 * layout.root, layout.root); /* a loop, once the end mark of the directory is gone */
    uint8_t *root = cluster_at(&volume, layout.root), saved[4096];
    memcpy(saved, root, sizeof saved);
    for (unsigned at = 0; at < 4096; at += 32)
        root[at] = root[at] ? root[at] : 0x05; /* deleted */
    entry = root_entry(&volume, 0x81);
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED);
    memcpy(root, saved, sizeof saved);
    store_le32(fat + 4 * layout.root, 0xffffffff);

    store_le32(entry + 20, layout.clusters + 2); /* bitmap outside */
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED);
    store_le32(entry + 20, bitmap);
    store_le64(entry + 24, (layout.clusters + 7) / 8 - 1); /* too short */
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED);
    store_le64(entry + 24, (layout.clusters + 7) / 8);
    entry[0] = 0x01; /* none */
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED);
    entry[0] = 0x81;
    root_entry(&volume, 0x82)[32] = 0x86; /* a critical entry that nobody knows */
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_UNKNOWN_FEATURE);
    test_volume_free(&volume);
}

/* TexFAT: two FATs, two bitmaps; what either of them uses is in use. */
static void test_two_bitmaps(void **state)
{
    struct test_volume volume;
    struct allocation allocation;
    struct layout layout;
    uint8_t *second;

    (void)state;
    make(&volume, 16 * MIB, 512, "mkfs.exfat -c 4K");
    layout = layout_of(&volume);
    uint64_t fat_bytes = load_le32(volume.bytes + 84) * 512ull;
    memcpy(volume.bytes + layout.fat + fat_bytes, volume.bytes + layout.fat, fat_bytes);
    volume.bytes[110] = 2;
    reseal(&volume);
    assert_verdict(&volume, ALLOCATION_WHOLE, MESSAGE_FS_DAMAGED); /* the second bitmap is missing */

    second = root_entry(&volume, 0x82) + 32;
    memcpy(second, root_entry(&volume, 0x81), 32);
    second[1] = 1;
    store_le32(second + 20, 100);
    for (unsigned i = 0; i < 2; i++)
        store_le32(volume.bytes + layout.fat + i * fat_bytes + 400, 0xffffffff);
    memcpy(cluster_at(&volume, 100), cluster_at(&volume, load_le32(root_entry(&volume, 0x81) + 20)), 4096);
    cluster_at(&volume, 100)[(100 - 2) / 8] |= 1 << (100 - 2) % 8; /* only it knows of itself */
    set_bit(&volume, 200, true);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_true(extent_list_contains(&allocation.used, layout.heap + 98 * 4096, 4096));
    assert_true(extent_list_contains(&allocation.used, layout.heap + 198 * 4096, 4096));
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void test_hostile(void **state)
{
    struct test_volume volume;
    struct layout layout;
    uint8_t *pristine = malloc(8 * MIB);
    unsigned exact = 0;

    (void)state;
    make(&volume, 8 * MIB, 512, "mkfs.exfat -c 4K");
    layout = layout_of(&volume);
    add_file(&volume, "FILE", 40, 20000);
    memcpy(pristine, volume.bytes, 8 * MIB);
    srandom(5);
    for (unsigned round = 0; round < 1500; round++) {
        const uint64_t places[] = {64, 64, layout.fat, layout.heap, layout.heap + (layout.root - 2) * 4096};
        struct allocation allocation;

        for (unsigned flips = 1 + (unsigned)random() % 3; flips; flips--)
            volume.bytes[places[random() % 5] + (uint64_t)random() % 64] = (uint8_t)random();
        reseal(&volume);
        read_allocation(&volume, &allocation);
        if (allocation.verdict == ALLOCATION_EXACT) {
            const struct extent *last = &allocation.used.extents[allocation.used.count - 1];

            exact++;
            assert_true(last->offset + last->length <= volume.size);
        }
        extent_list_free(&allocation.used);
        for (unsigned i = 1; i < 5; i++)
            memcpy(volume.bytes + places[i], pristine + places[i], 128);
        memcpy(volume.bytes, pristine, 65536);
    }
    assert_true(exact > 50 && exact < 1450);
    free(pristine);
    test_volume_free(&volume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocation), cmocka_unit_test(test_bitmap_in_pieces), cmocka_unit_test(test_recognition),
        cmocka_unit_test(test_states),     cmocka_unit_test(test_doubts),           cmocka_unit_test(test_two_bitmaps),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
