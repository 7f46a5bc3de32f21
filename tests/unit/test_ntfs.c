/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocation of NTFS volumes made by mkntfs: restored on garbage, checked by ntfsfix, counted against ntfsinfo. */
#include "fs/drivers.h"
#include "tests/support/volume_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024u * 1024)

static void make(struct test_volume *volume, size_t size, const char *options, uint32_t logical_block)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume,
                                     "mkntfs -q -F %s image && head -c 5000000 /dev/urandom >big && "
                                     "seq 100000 >numbers && ntfscp -q image big big && "
                                     "ntfscp -q image numbers numbers",
                                     options),
                     0);
    test_volume_open(volume, logical_block);
}

static void read_allocation(struct test_volume *volume, struct allocation *allocation)
{
    filesystem_register(&ntfs_filesystem);
    assert_int_equal(filesystem_allocation(volume->device, allocation), 0);
}

static void assert_restores(struct test_volume *volume, const struct allocation *allocation)
{
    test_volume_restore(volume, &allocation->used);
    assert_int_equal(test_volume_run(volume, "ntfsfix -n restored"), 0);
    assert_int_equal(
        test_volume_run(volume, "ntfscat restored big | cmp - big && ntfscat restored numbers | cmp - numbers"), 0);
}

static void check_variant(const char *options, size_t size, uint32_t logical_block)
{
    struct test_volume volume;
    struct allocation allocation;
    long long cluster, clusters, unused;

    make(&volume, size, options, logical_block);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_int_equal(allocation.messages.count, 0);
    cluster = test_volume_number(&volume, "ntfsinfo -m image", "Cluster Size");
    clusters = test_volume_number(&volume, "ntfsinfo -m image", "Volume Size in Clusters");
    unused = test_volume_number(&volume, "ntfsinfo -m image", "Free Clusters");
    assert_true(cluster > 0 && clusters > unused);
    /* What ntfsinfo calls used, and what lies behind the last cluster: the backup boot sector. */
    assert_int_equal(extent_list_total(&allocation.used),
                     (uint64_t)((clusters - unused) * cluster) + (size - (uint64_t)(clusters * cluster)));
    assert_true(extent_list_contains(&allocation.used, size - 512, 512));
    test_volume_fill_unused(&volume, &allocation.used);
    assert_restores(&volume, &allocation);
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void test_clusters_of_4k(void **state)
{
    (void)state;
    check_variant("-L test", 32 * MIB, 512);
}

static void test_clusters_of_512(void **state)
{
    (void)state;
    check_variant("-c 512", 32 * MIB, 512);
}

static void test_clusters_of_64k(void **state)
{
    (void)state;
    check_variant("-c 65536", 32 * MIB + 5 * 512, 512);
}

static void test_sectors_of_4k(void **state)
{
    (void)state;
    check_variant("-s 4096 -c 4096", 32 * MIB, 4096);
}

static void test_recognition(void **state)
{
    struct test_volume volume;
    struct filesystem_info info;
    static const char serial[] = "0123456789ABCDEF";
    unsigned long long number = strtoull(serial, NULL, 16);

    (void)state;
    make(&volume, 8 * MIB, "-L 'Gr\xc3\xbc\xc3\x9f\x65 \xed\x95\x9c'", 512);
    memcpy(volume.bytes + 72, &number, 8);
    filesystem_register(&ntfs_filesystem);
    assert_ptr_equal(filesystem_probe(volume.device, &info), &ntfs_filesystem);
    assert_string_equal(info.type, "ntfs");
    assert_string_equal(info.label, "Gr\xc3\xbc\xc3\x9f\x65 \xed\x95\x9c");
    assert_string_equal(info.uuid, serial);
    assert_int_equal(info.total_bytes, 8 * MIB - 512);
    assert_int_equal(info.block_size, 4096);
    memcpy(volume.bytes + 3, "-FVE-FS-", 8);
    assert_null(filesystem_probe(volume.device, &info));
    test_volume_free(&volume);
}

/* The first cluster of a file of metadata, by its number, as ntfsinfo sees it. */
static uint8_t *first_cluster(struct test_volume *volume, unsigned number)
{
    char command[256];
    long long cluster;

    snprintf(command, sizeof command,
             "ntfsinfo -i %u -v image | awk '/^Dumping attribute .DATA/ { data = 1 } "
             "data && /^\t\t\t0x0/ { print \"first\", substr($2, 3) }' | while read w h; do echo $w $((0x$h)); done",
             number);
    cluster = test_volume_number(volume, command, "first");
    assert_true(cluster > 0);
    return volume->bytes + cluster * 4096;
}

/* $Volume's dirty flag, in $MFT and in $MFTMirr. */
static void set_dirty(struct test_volume *volume)
{
    uint8_t *copies[] = {first_cluster(volume, 0), first_cluster(volume, 1)};

    for (unsigned copy = 0; copy < 2; copy++) {
        uint8_t *record = copies[copy] + 3 * 1024;
        uint32_t at = record[20] | (uint32_t)record[21] << 8, length;

        /* $VOLUME_INFORMATION (type 0x70, resident): flags at byte 10 of its value. */
        for (; record[at] != 0x70; at += length) {
            memcpy(&length, record + at + 4, 4);
            assert_in_range(length, 1, 1024 - at);
        }
        record[at + record[at + 20] + 10] |= 1;
    }
}

/* A restart page of $LogFile with a client and without the clean flag, as Windows leaves it behind when power fails. */
static void open_log(struct test_volume *volume)
{
    uint8_t *page = first_cluster(volume, 2);

    for (unsigned i = 0; i < 2; i++, page += 4096) {
        static const uint8_t header[] = {'R', 'S', 'T', 'R', 30, 0, 9,  0, 0, 0,  0, 0, 0, 0, 0,
                                         0,   0,   16,  0,   0,  0, 16, 0, 0, 48, 0, 1, 0, 1, 0};
        uint64_t size = 2 * MIB;
        uint32_t bits = 67 - 22;

        memset(page, 0, 4096);
        memcpy(page, header, sizeof header);
        page[30] = 1; /* the update sequence number, and at the end of each sector */
        for (unsigned sector = 1; sector <= 8; sector++)
            page[512 * sector - 2] = 1;
        /* Restart area at 48: one client, in use. */
        page[48 + 8] = 1;
        memset(page + 48 + 10, 0xff, 2); /* no free one */
        memcpy(page + 48 + 16, &bits, 4);
        page[48 + 20] = 48 + 160; /* length */
        page[48 + 22] = 48;       /* client array */
        memcpy(page + 48 + 24, &size, 8);
        page[48 + 36] = 48;
        page[48 + 38] = 64;
        memset(page + 48 + 48 + 16, 0xff, 4); /* previous and next client: none */
    }
}

static void hibernate(struct test_volume *volume)
{
    assert_int_equal(
        test_volume_run(volume, "{ printf hibr; head -c 8188 /dev/zero; } >h && ntfscp -q image h hiberfil.sys"), 0);
}

/* Copied whole with one message that says why, and refused as a place for images. */
static void test_not_at_rest(void **state)
{
    static const struct {
        void (*change)(struct test_volume *volume);
        enum message_id message;
    } cases[] = {
        {set_dirty, MESSAGE_FS_NOT_CLEAN}, {open_log, MESSAGE_FS_JOURNAL_DIRTY}, {hibernate, MESSAGE_FS_HIBERNATED}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;
        struct allocation allocation;
        struct stream_store *store;
        struct error error = {0};

        make(&volume, 16 * MIB, "", 512);
        cases[i].change(&volume);
        read_allocation(&volume, &allocation);
        assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
        assert_int_equal(allocation.messages.count, 1);
        assert_int_equal(allocation.messages.items[0].id, cases[i].message);
        assert_int_equal(ntfs_filesystem.open_store(volume.device, "x.eid", true, &store, &error), -ERROR_REFUSED);
        assert_int_not_equal(error.detail[0], 0);
        test_volume_free(&volume);
    }
}

static void test_bigger_than_volume(void **state)
{
    struct test_volume volume;
    struct allocation allocation;
    uint64_t sectors = 1000000;

    (void)state;
    make(&volume, 16 * MIB, "", 512);
    memcpy(volume.bytes + 40, &sectors, 8);
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_true(test_has_message(&allocation, MESSAGE_FS_BIGGER_THAN_VOLUME));
    assert_int_equal(allocation.messages.items[0].number[0], sectors * 512);
    assert_int_equal(allocation.messages.items[0].number[1], 16 * MIB);
    test_volume_free(&volume);
}

/* A bitmap that has lost a cluster of $MFT. */
static void test_lost_bits(void **state)
{
    struct test_volume volume;
    struct allocation allocation;
    uint64_t mft;

    (void)state;
    make(&volume, 16 * MIB, "", 512);
    memcpy(&mft, volume.bytes + 48, 8);
    first_cluster(&volume, 6)[mft / 8] &= (uint8_t) ~(1u << (mft % 8));
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_true(test_has_message(&allocation, MESSAGE_FS_AUDIT_FAILED));
    assert_string_equal(allocation.messages.items[0].text[1], "$MFT");
    test_volume_free(&volume);
}

/* Damage in the boot sector and the MFT: no crash, no hang, nothing outside of the volume. */
static void test_hostile(void **state)
{
    struct test_volume volume;
    uint64_t seed = 7, mft;
    unsigned whole = 0;

    (void)state;
    make(&volume, 8 * MIB, "", 512);
    memcpy(&mft, volume.bytes + 48, 8);
    uint8_t *good = malloc(volume.size);
    memcpy(good, volume.bytes, volume.size);
    for (unsigned round = 0; round < 400; round++) {
        struct allocation allocation;

        for (unsigned i = 0; i < 3; i++) {
            uint8_t garbage[8];

            test_garbage(garbage, sizeof garbage, seed += 77 + i);
            /* The boot sector now and then, mostly the first 12 records of the MFT. */
            size_t at = (garbage[0] | (size_t)garbage[1] << 8) % (12 * 1024);
            if (garbage[3] < 30)
                volume.bytes[11 + at % 70] = garbage[4];
            else
                volume.bytes[mft * 4096 + at / 1024 * 1024 + at % 512] = garbage[4];
        }
        read_allocation(&volume, &allocation);
        whole += allocation.verdict == ALLOCATION_WHOLE;
        extent_list_free(&allocation.used);
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
        cmocka_unit_test(test_clusters_of_4k),
        cmocka_unit_test(test_clusters_of_512),
        cmocka_unit_test(test_clusters_of_64k),
        cmocka_unit_test(test_sectors_of_4k),
        cmocka_unit_test(test_not_at_rest),
        cmocka_unit_test(test_bigger_than_volume),
        cmocka_unit_test(test_lost_bits),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
