/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partition tables made by sgdisk, sfdisk and fdisk: read, damaged and lied to. */
#include "core/bytes.h"
#include "tests/support/disk_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_table(struct test_volume *disk, struct partition_table *table)
{
    assert_int_equal(partition_table_read(disk->device, table, NULL), 0);
}

static bool says(const struct partition_table *table, enum message_id id)
{
    for (unsigned i = 0; i < table->messages.count; i++)
        if (table->messages.items[i].id == id)
            return true;
    return false;
}

static void assert_distrusted(struct test_volume *disk, enum message_id id)
{
    struct partition_table table;

    read_table(disk, &table);
    assert_int_equal(table.kind, TABLE_NONE);
    assert_int_equal(table.count, 0);
    assert_true(says(&table, MESSAGE_TABLE_DAMAGED));
    assert_true(says(&table, id));
    partition_table_free(&table);
}

static void assert_partition(const struct partition_table *table, unsigned index, unsigned number, uint64_t first,
                             uint64_t count)
{
    assert_true(index < table->count);
    assert_int_equal(table->partitions[index].number, number);
    assert_int_equal(table->partitions[index].first_block, first);
    assert_int_equal(table->partitions[index].block_count, count);
}

static uint8_t *entry_at(struct test_volume *disk, unsigned number)
{
    return disk->bytes + 1024 + 128 * (number - 1);
}

/* --- GPT --- */

static void test_crc(void **state)
{
    (void)state;
    assert_int_equal(crc32_ieee(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(crc32_ieee(crc32_ieee(0, "1234", 4), "56789", 5), 0xcbf43926);
}

static void test_gpt(void **state)
{
    struct test_volume disk;
    struct partition_table table;
    struct block_device *slice;
    uint8_t byte;
    char text[37];

    (void)state;
    make_gpt(&disk, 32 * MIB);
    read_table(&disk, &table);
    assert_int_equal(table.kind, TABLE_GPT);
    assert_int_equal(table.messages.count, 0);
    assert_int_equal(table.count, 3);
    assert_partition(&table, 0, 1, 2048, 8192);
    assert_partition(&table, 1, 3, 20000, 2048);
    assert_partition(&table, 2, 4, 40000, 4096);
    guid_format(table.disk_guid, text);
    assert_string_equal(text, DISK_GUID);
    guid_format(table.partitions[1].unique_guid, text);
    assert_string_equal(text, "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    assert_string_equal(table.partitions[1].name, "M\xc3\xa4rz \xf0\x9f\x92\xbe");
    assert_string_equal(partition_type_name(&table, &table.partitions[0]), "EFI system");
    assert_string_equal(partition_type_name(&table, &table.partitions[1]), "Microsoft reserved");
    assert_int_equal(table.backup_header_lba, 32 * MIB / 512 - 1);
    assert_null(partition_find(&table, 2));

    assert_int_equal(partition_open(disk.device, partition_find(&table, 3), &slice, NULL), 0);
    assert_int_equal(slice->geometry.block_count, 2048);
    assert_string_equal(slice->name + strlen(slice->name) - 2, "#3");
    disk.bytes[20000 * 512] = 0x77;
    assert_int_equal(block_read_bytes(slice, 0, &byte, 1, NULL), 0);
    assert_int_equal(byte, 0x77);
    block_device_stop(slice);
    partition_table_free(&table);
    test_volume_free(&disk);
}

static void test_gpt_4096(void **state)
{
    struct test_volume disk;
    struct partition_table table;

    (void)state;
    make_disk(&disk, 64 * MIB, 4096,
              "printf 'g\\nn\\n7\\n512\\n+8M\\nn\\n2\\n4096\\n+4M\\nw\\n' | fdisk -b 4096 image");
    read_table(&disk, &table);
    assert_int_equal(table.kind, TABLE_GPT);
    assert_int_equal(table.messages.count, 0);
    assert_int_equal(table.count, 2);
    assert_partition(&table, 0, 7, 512, 2048);
    assert_partition(&table, 1, 2, 4096, 1024);
    partition_table_free(&table);
    /* The same bytes behind a bridge that shows 512-byte blocks. */
    block_device_stop(disk.device);
    assert_int_equal(block_ram_create(&disk.loop, 512, disk.size / 512, disk.bytes, &disk.device, NULL), 0);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    test_volume_free(&disk);
}

static void test_gpt_copies(void **state)
{
    static const struct {
        bool backup;     /* which copy to break, */
        unsigned offset; /* and where in it: 0 to 511 the header, from 512 on the entries */
        enum message_id message;
    } cases[] = {
        {false, 0, MESSAGE_TABLE_PRIMARY_BAD},      {false, 20, MESSAGE_TABLE_PRIMARY_BAD},
        {false, 57, MESSAGE_TABLE_PRIMARY_BAD},     {false, 512 + 130, MESSAGE_TABLE_PRIMARY_BAD},
        {true, 0, MESSAGE_TABLE_BACKUP_BAD},        {true, 60, MESSAGE_TABLE_BACKUP_BAD},
        {true, 512 + 56, MESSAGE_TABLE_BACKUP_BAD},
    };
    struct test_volume disk;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *header = disk.bytes + (cases[i].backup ? disk.size - 512 : 512);
        uint8_t *entries = disk.bytes + (cases[i].backup ? disk.size - 33 * 512 : 1024);
        uint8_t *broken = cases[i].offset < 512 ? header + cases[i].offset : entries + (cases[i].offset - 512);
        uint8_t *other = disk.bytes + (cases[i].backup ? 512 : disk.size - 512) + 24;
        struct partition_table table;

        *broken ^= 0x10;
        read_table(&disk, &table);
        assert_int_equal(table.kind, TABLE_GPT);
        assert_int_equal(table.count, 3);
        assert_partition(&table, 1, 3, 20000, 2048);
        assert_int_equal(table.messages.count, 1);
        assert_true(says(&table, cases[i].message));
        partition_table_free(&table);
        /* The other copy as well: nothing is left to believe. */
        *other ^= 1;
        assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
        *other ^= 1;
        *broken ^= 0x10;
    }
    test_volume_free(&disk);
}

/* A backup that is whole but of another table. */
static void test_gpt_stale_backup(void **state)
{
    struct test_volume disk;
    struct partition_table table;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    entry_at(&disk, 4)[48] ^= 4;
    reseal_gpt(&disk, 1);
    read_table(&disk, &table);
    assert_int_equal(table.count, 3);
    assert_int_equal(partition_find(&table, 4)->attributes, 4);
    assert_true(says(&table, MESSAGE_TABLE_BACKUP_BAD));
    partition_table_free(&table);
    test_volume_free(&disk);
}

static void test_gpt_moved(void **state)
{
    struct test_volume disk;
    struct partition_table table;

    (void)state;
    make_gpt(&disk, 48 * MIB);
    read_table(&disk, &table);
    assert_int_equal(table.count, 3);
    assert_int_equal(table.messages.count, 1);
    assert_int_equal(table.messages.items[0].id, MESSAGE_TABLE_BACKUP_NOT_AT_END);
    assert_int_equal(table.messages.items[0].number[0], 32 * MIB / 512 - 1);
    assert_int_equal(table.backup_header_lba, 32 * MIB / 512 - 1);
    partition_table_free(&table);
    test_volume_free(&disk);

    /* Cut off: partitions that end in time stay, others make the table a lie. */
    make_gpt(&disk, 24 * MIB);
    read_table(&disk, &table);
    assert_int_equal(table.count, 3);
    assert_true(says(&table, MESSAGE_TABLE_BACKUP_BAD));
    assert_true(table.last_usable < table.disk_blocks && table.backup_header_lba < table.disk_blocks);
    partition_table_free(&table);
    test_volume_free(&disk);
    make_gpt(&disk, 21 * MIB);
    assert_distrusted(&disk, MESSAGE_PARTITION_BEYOND_END);
    test_volume_free(&disk);
}

static void lie(struct test_volume *disk, unsigned header_offset, uint64_t value, unsigned size)
{
    uint8_t header[512];

    memcpy(header, disk->bytes + 512, 512);
    memcpy(disk->bytes + 512 + header_offset, &value, size);
    reseal_gpt(disk, 1);
    assert_distrusted(disk, MESSAGE_TABLE_DAMAGED);
    memcpy(disk->bytes + 512, header, 512);
}

static void test_gpt_lying_header(void **state)
{
    struct test_volume disk;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    memset(disk.bytes + disk.size - 512, 0, 512);
    lie(&disk, 8, 0x00020000, 4); /* revision */
    lie(&disk, 12, 91, 4);        /* header size */
    lie(&disk, 12, 513, 4);
    lie(&disk, 24, 2, 8);  /* MyLBA */
    lie(&disk, 40, 33, 8); /* FirstUsableLBA inside the entries */
    lie(&disk, 40, 1, 8);
    lie(&disk, 40, 60000, 8); /* behind all partitions */
    lie(&disk, 48, 30000, 8); /* LastUsableLBA in front of one */
    lie(&disk, 48, 33, 8);
    lie(&disk, 72, 1, 8); /* entries over the header */
    lie(&disk, 72, UINT64_MAX - 4, 8);
    lie(&disk, 80, 0, 4); /* number of entries */
    lie(&disk, 80, 1025, 4);
    lie(&disk, 80, UINT32_MAX, 4);
    lie(&disk, 84, 0, 4); /* their size */
    lie(&disk, 84, 64, 4);
    lie(&disk, 84, 192, 4);
    lie(&disk, 84, 1u << 31, 4);
    test_volume_free(&disk);
}

static void test_gpt_lying_entries(void **state)
{
    struct test_volume disk;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    store_le64(entry_at(&disk, 3) + 32, 40000 + 4095); /* 3 begins in the last block of 4 */
    store_le64(entry_at(&disk, 3) + 40, 50000);
    reseal_gpt(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_OVERLAP);
    store_le64(entry_at(&disk, 3) + 32, 40000 + 4096); /* and now right behind it */
    reseal_gpt(&disk, 1);
    struct partition_table table;
    read_table(&disk, &table);
    assert_int_equal(table.count, 3);
    partition_table_free(&table);
    store_le64(entry_at(&disk, 3) + 40, 40000); /* ends before it begins */
    reseal_gpt(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    store_le64(entry_at(&disk, 3) + 40, UINT64_MAX);
    reseal_gpt(&disk, 1);
    assert_distrusted(&disk, MESSAGE_PARTITION_BEYOND_END);
    store_le64(entry_at(&disk, 3) + 32, 0); /* the whole of the disk and more: a length of 2^64 */
    reseal_gpt(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    store_le64(entry_at(&disk, 3) + 32, 2);
    store_le64(entry_at(&disk, 3) + 40, 3); /* over the entries */
    reseal_gpt(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    test_volume_free(&disk);
}

/* Without its protective MBR a GPT counts as lost (section 5.2.3); with an MBR in its place, that one counts. */
static void test_gpt_without_protection(void **state)
{
    struct test_volume disk;
    struct partition_table table;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    memset(disk.bytes, 0, 512);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    test_volume_free(&disk);
    make_gpt(&disk, 32 * MIB);
    assert_int_equal(test_volume_run(&disk, "echo 4096,4096,83 | sfdisk --wipe never -X dos image"), 0);
    disk.bytes[512] = 'E'; /* sfdisk removes the signature */
    read_table(&disk, &table);
    assert_int_equal(table.kind, TABLE_MBR);
    assert_int_equal(table.count, 1);
    partition_table_free(&table);
    test_volume_free(&disk);
}

/* --- MBR --- */

static void test_mbr(void **state)
{
    struct test_volume disk;
    struct partition_table table;

    (void)state;
    make_mbr(&disk);
    read_table(&disk, &table);
    assert_int_equal(table.kind, TABLE_MBR);
    assert_int_equal(table.messages.count, 0);
    assert_int_equal(table.mbr_signature, 0xdeadbeef);
    assert_int_equal(table.count, 5);
    assert_partition(&table, 0, 1, 2048, 4096);
    assert_partition(&table, 1, 5, 10240, 2048);
    assert_partition(&table, 2, 6, 14336, 2048);
    assert_partition(&table, 3, 7, 20480, 1024);
    assert_partition(&table, 4, 3, 50000, 1000);
    assert_true(table.partitions[0].active && !table.partitions[4].active);
    assert_string_equal(partition_type_name(&table, &table.partitions[4]), "Linux swap");
    partition_table_free(&table);
    test_volume_free(&disk);
}

static void test_mbr_extended_types(void **state)
{
    static const uint8_t types[] = {0x05, 0x0f, 0x85};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct test_volume disk;
        struct partition_table table;

        make_mbr(&disk);
        disk.bytes[446 + 16 + 4] = types[i];
        read_table(&disk, &table);
        assert_int_equal(table.count, 5);
        partition_table_free(&table);
        /* Nothing written in the extended partition yet. */
        memset(disk.bytes + 8192 * 512, 0, 512);
        read_table(&disk, &table);
        assert_int_equal(table.count, 2);
        assert_int_equal(table.messages.count, 0);
        partition_table_free(&table);
        test_volume_free(&disk);
    }
}

/* Changes a number in the record at `block`: `entry` 0 or 1, `field` 8 (start) or 12 (count). */
static void mbr_lie(struct test_volume *disk, uint64_t block, unsigned entry, unsigned field, uint32_t value,
                    enum message_id id)
{
    uint8_t *at = disk->bytes + block * 512 + 446 + 16 * entry + field;
    uint32_t truth = load_le32(at);

    store_le32(at, value);
    assert_distrusted(disk, id);
    store_le32(at, truth);
}

static void test_mbr_lies(void **state)
{
    struct test_volume disk;
    uint64_t second;

    (void)state;
    make_mbr(&disk);
    second = 8192 + load_le32(disk.bytes + 8192 * 512 + 446 + 16 + 8); /* the second extended boot record */

    mbr_lie(&disk, second, 1, 8, (uint32_t)(second - 8192), MESSAGE_TABLE_DAMAGED); /* a link to itself */
    mbr_lie(&disk, 8192, 1, 8, 0, MESSAGE_TABLE_DAMAGED);
    mbr_lie(&disk, 8192, 1, 8, 40000, MESSAGE_TABLE_DAMAGED); /* out of the extended partition */
    mbr_lie(&disk, 8192, 1, 8, UINT32_MAX, MESSAGE_TABLE_DAMAGED);
    mbr_lie(&disk, 8192, 0, 8, UINT32_MAX, MESSAGE_TABLE_DAMAGED);
    mbr_lie(&disk, 8192, 0, 12, 38000, MESSAGE_TABLE_DAMAGED); /* a logical partition out of it */
    mbr_lie(&disk, 8192, 0, 12, 6000, MESSAGE_TABLE_DAMAGED);  /* over the next record */
    mbr_lie(&disk, 0, 2, 8, 3000, MESSAGE_TABLE_OVERLAP);
    mbr_lie(&disk, 8192, 0, 8, 0, MESSAGE_TABLE_DAMAGED);  /* over its own record */
    mbr_lie(&disk, 0, 0, 12, 7000, MESSAGE_TABLE_DAMAGED); /* a primary one over the extended one */
    mbr_lie(&disk, 0, 0, 8, 0, MESSAGE_TABLE_DAMAGED);     /* over the table */
    mbr_lie(&disk, 0, 2, 12, UINT32_MAX, MESSAGE_PARTITION_BEYOND_END);
    mbr_lie(&disk, 0, 1, 12, UINT32_MAX, MESSAGE_PARTITION_BEYOND_END);
    memset(disk.bytes + 8192 * 512 + 446, 0, 16); /* a circle of records that hold nothing */
    memset(disk.bytes + second * 512 + 446, 0, 16);
    mbr_lie(&disk, second, 1, 8, (uint32_t)(second - 8192), MESSAGE_TABLE_DAMAGED);
    memset(disk.bytes + second * 512 + 510, 0, 2);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    test_volume_free(&disk);
}

/* Many logical partitions, and more than anybody has. */
static void test_mbr_long_chain(void **state)
{
    struct test_volume disk;
    struct partition_table table;
    const uint32_t start = 8192;

    (void)state;
    for (unsigned records = 100; records <= 1500; records += 700) {
        make_mbr(&disk);
        for (unsigned i = 0; i < records; i++) {
            uint8_t *record = disk.bytes + (start + 2 * i) * 512;

            memset(record, 0, 512);
            record[446 + 4] = 0x83;
            store_le32(record + 446 + 8, 1);
            store_le32(record + 446 + 12, 1);
            if (i + 1 < records) {
                record[446 + 16 + 4] = 0x05;
                store_le32(record + 446 + 16 + 8, 2 * (i + 1));
                store_le32(record + 446 + 16 + 12, 2);
            }
            record[510] = 0x55;
            record[511] = 0xaa;
        }
        read_table(&disk, &table);
        assert_int_equal(table.kind, records < 1000 ? TABLE_MBR : TABLE_NONE);
        assert_int_equal(table.count, records < 1000 ? records + 2 : 0);
        partition_table_free(&table);
        test_volume_free(&disk);
    }
}

static void test_no_table(void **state)
{
    static const char *const commands[] = {
        ":",
        "mkfs.fat -F 32 -s 1 image",
        "mkfs.fat -F 16 image",
        "mkfs.fat --mbr=yes -F 32 -s 1 image",
        "mkfs.exfat image",
        "mkntfs -q -F -f image",
        "mkfs.ext4 -q -F image",
        "echo ';' | sfdisk -X dos image && sfdisk --delete image 1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct test_volume disk;
        struct partition_table table;

        make_disk(&disk, 40 * MIB, 512, commands[i]);
        read_table(&disk, &table);
        assert_int_equal(table.kind, TABLE_NONE);
        assert_int_equal(table.messages.count, 0);
        partition_table_free(&table);
        /* Boot code in the place of the entries, as boot sectors have it. */
        if (disk.bytes[510] == 0x55 && i < 6) {
            test_garbage(disk.bytes + 440, 70, i);
            read_table(&disk, &table);
            assert_int_equal(table.kind, TABLE_NONE);
            assert_int_equal(table.messages.count, 0);
            partition_table_free(&table);
        }
        test_volume_free(&disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_gpt),
        cmocka_unit_test(test_gpt_4096),
        cmocka_unit_test(test_gpt_copies),
        cmocka_unit_test(test_gpt_stale_backup),
        cmocka_unit_test(test_gpt_moved),
        cmocka_unit_test(test_gpt_lying_header),
        cmocka_unit_test(test_gpt_lying_entries),
        cmocka_unit_test(test_gpt_without_protection),
        cmocka_unit_test(test_mbr),
        cmocka_unit_test(test_mbr_extended_types),
        cmocka_unit_test(test_mbr_lies),
        cmocka_unit_test(test_mbr_long_chain),
        cmocka_unit_test(test_no_table),
    };

    return cmocka_run_group_tests(tests, NULL, forget_disks);
}
