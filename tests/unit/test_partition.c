/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partition tables made by sgdisk, sfdisk and fdisk: read, damaged, lied to, and made right for disks of other sizes. */
#include "core/bytes.h"
#include "core/partition.h"
#include "tests/support/volume_maker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1024u * 1024)
#define DISK_GUID "11111111-2222-3333-4444-555555555555"

/* --- helpers --- */

/* Disks that were made before: the tools sync the whole machine each time. */
static struct made_disk {
    const char *command;
    size_t size;
    uint8_t *bytes;
} made_disks[40];

/* A disk of `size` bytes named "image", made by a command once and copied from then on. */
static void make_disk(struct test_volume *disk, size_t size, uint32_t block, const char *command)
{
    struct made_disk *made = made_disks;

    while (made->command && (strcmp(made->command, command) != 0 || made->size != size))
        made++;
    test_volume_init(disk, size);
    if (!made->command)
        assert_int_equal(test_volume_run(disk, "%s", command), 0);
    test_volume_open(disk, block);
    if (!made->command) {
        *made = (struct made_disk){command, size, malloc(size)};
        memcpy(made->bytes, disk->bytes, size);
    } else {
        memcpy(disk->bytes, made->bytes, size);
    }
}

static int forget_disks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof made_disks / sizeof made_disks[0]; i++)
        free(made_disks[i].bytes);
    return 0;
}

/* Three partitions, not in the order of their numbers. */
#define GPT_COMMAND                                                                                                    \
    "sgdisk -o -U " DISK_GUID " -a 1 -n 1:2048:+4M -t 1:ef00 -c 1:ESP -n 4:40000:+2M -t 4:8300 -n 3:20000:+1M "        \
    "-t 3:0c01 -u 3:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee -c 3:'M\xc3\xa4rz \xf0\x9f\x92\xbe' image"

#define GPT_DISK (32 * MIB)

/* A disk of `size` bytes that holds what was a disk of 32 MiB before. */
static void make_gpt(struct test_volume *disk, size_t size)
{
    struct test_volume made;

    make_disk(&made, GPT_DISK, 512, GPT_COMMAND);
    test_volume_init(disk, size);
    test_volume_open(disk, 512);
    memcpy(disk->bytes, made.bytes, size < GPT_DISK ? size : GPT_DISK);
    test_volume_free(&made);
}

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

/* Makes both checksums of the header at `lba` right again, whatever it says. */
static void reseal(struct test_volume *disk, uint64_t lba)
{
    uint8_t *header = disk->bytes + lba * 512;
    uint64_t array = load_le64(header + 72) * 512, size = (uint64_t)load_le32(header + 80) * load_le32(header + 84);

    if (array < disk->size && size <= disk->size - array)
        store_le32(header + 88, crc32_ieee(0, disk->bytes + array, size));
    store_le32(header + 16, 0);
    store_le32(header + 16, crc32_ieee(0, header, 92));
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
    reseal(&disk, 1);
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
    reseal(disk, 1);
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
    reseal(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_OVERLAP);
    store_le64(entry_at(&disk, 3) + 32, 40000 + 4096); /* and now right behind it */
    reseal(&disk, 1);
    struct partition_table table;
    read_table(&disk, &table);
    assert_int_equal(table.count, 3);
    partition_table_free(&table);
    store_le64(entry_at(&disk, 3) + 40, 40000); /* ends before it begins */
    reseal(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    store_le64(entry_at(&disk, 3) + 40, UINT64_MAX);
    reseal(&disk, 1);
    assert_distrusted(&disk, MESSAGE_PARTITION_BEYOND_END);
    store_le64(entry_at(&disk, 3) + 32, 0); /* the whole of the disk and more: a length of 2^64 */
    reseal(&disk, 1);
    assert_distrusted(&disk, MESSAGE_TABLE_DAMAGED);
    store_le64(entry_at(&disk, 3) + 32, 2);
    store_le64(entry_at(&disk, 3) + 40, 3); /* over the entries */
    reseal(&disk, 1);
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

static const char mbr_command[] =
    "printf 'label-id: 0xdeadbeef\\n2048,4096,7,*\\n8192,40000,f\\n50000,1000,82\\n,0,0\\n"
    "10240,2048,83\\n14336,2048,b\\n20480,1024,83\\n' | sfdisk -X dos image";

static void test_mbr(void **state)
{
    struct test_volume disk;
    struct partition_table table;

    (void)state;
    make_disk(&disk, 32 * MIB, 512, mbr_command);
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

        make_disk(&disk, 32 * MIB, 512, mbr_command);
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
    make_disk(&disk, 32 * MIB, 512, mbr_command);
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
        make_disk(&disk, 32 * MIB, 512, mbr_command);
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

/* --- tables for other sizes --- */

struct fitted {
    uint8_t *head, *tail;
    size_t head_size, tail_size;
};

static int fit(struct test_volume *disk, uint64_t blocks, struct fitted *fitted)
{
    struct partition_table table;
    int status;

    read_table(disk, &table);
    status = partition_table_fit(&table, disk->bytes, MIB, blocks, &fitted->head, &fitted->head_size, &fitted->tail,
                                 &fitted->tail_size, NULL);
    partition_table_free(&table);
    return status;
}

static void fitted_free(struct test_volume *disk, struct fitted *fitted)
{
    platform_release(disk->loop.platform, fitted->head);
    platform_release(disk->loop.platform, fitted->tail);
}

/* Writes "new" as a restore would: head, tail, nothing else. */
static void write_new(struct test_volume *disk, uint64_t size, const struct fitted *fitted)
{
    char path[128];
    int file;

    snprintf(path, sizeof path, "%s/new", disk->folder);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    assert_int_equal(pwrite(file, fitted->head, fitted->head_size, 0), fitted->head_size);
    assert_int_equal(pwrite(file, fitted->tail, fitted->tail_size, (off_t)(size - fitted->tail_size)),
                     fitted->tail_size);
    close(file);
}

/* sgdisk finds no fault, and prints the same partitions. */
static void assert_sgdisk_content(struct test_volume *disk)
{
    assert_int_equal(test_volume_run(disk, "sgdisk -v new | grep 'No problems found'"), 0);
    assert_int_equal(test_volume_run(disk, "list() { sgdisk -p $1 | grep -A99 ^Number; sgdisk -i 3 $1; }; "
                                           "list image >a && list new >b && cmp a b"),
                     0);
}

static void test_fit_same(void **state)
{
    struct test_volume disk;
    struct fitted fitted;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    assert_int_equal(fit(&disk, disk.size / 512, &fitted), 0);
    assert_int_equal(fitted.head_size, 34 * 512);
    assert_int_equal(fitted.tail_size, 33 * 512);
    assert_memory_equal(fitted.head, disk.bytes, fitted.head_size);
    assert_memory_equal(fitted.tail, disk.bytes + disk.size - fitted.tail_size, fitted.tail_size);
    fitted_free(&disk, &fitted);
    /* With a lost primary the backup makes it new. */
    memset(disk.bytes + 512, 0, 33 * 512);
    assert_int_equal(fit(&disk, disk.size / 512, &fitted), 0);
    write_new(&disk, disk.size, &fitted);
    assert_int_equal(test_volume_run(&disk, "sgdisk -v new | grep 'No problems found'"), 0);
    fitted_free(&disk, &fitted);
    test_volume_free(&disk);
}

/* After a command that changes the table. */
static void check_fit(const char *command)
{
    static const uint64_t sizes[] = {64ull * MIB, 23ull * MIB, 5ull << 40};
    struct test_volume disk;
    struct fitted fitted;

    make_gpt(&disk, 32 * MIB);
    assert_int_equal(test_volume_run(&disk, "%s", command), 0);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t blocks = sizes[i] / 512;

        assert_int_equal(fit(&disk, blocks, &fitted), 0);
        assert_int_equal(load_le32(fitted.head + 446 + 12), blocks - 1 > UINT32_MAX ? UINT32_MAX : blocks - 1);
        assert_int_equal(load_le64(fitted.head + 512 + 32), blocks - 1);
        write_new(&disk, sizes[i], &fitted);
        assert_sgdisk_content(&disk);
        fitted_free(&disk, &fitted);
    }
    test_volume_free(&disk);
}

static void test_fit(void **state)
{
    (void)state;
    check_fit("true");
    check_fit("sgdisk -S 1024 -n 1024:10500:10600 image");
    check_fit("sgdisk -S 256 -j 100 -n 200:10500:10600 image");
}

static void test_fit_4096(void **state)
{
    struct test_volume disk;
    struct fitted fitted;

    (void)state;
    make_disk(&disk, 64 * MIB, 4096, "printf 'g\\nn\\n7\\n512\\n+8M\\nw\\n' | fdisk -b 4096 image");
    assert_int_equal(fit(&disk, 128 * MIB / 4096, &fitted), 0);
    assert_int_equal(fitted.tail_size, 5 * 4096);
    write_new(&disk, 128 * MIB, &fitted);
    assert_int_equal(test_volume_run(&disk, "printf 'v\\nq\\n' | fdisk -b 4096 new | grep 'No errors detected'"), 0);
    fitted_free(&disk, &fitted);
    test_volume_free(&disk);
}

static void test_fit_no_space(void **state)
{
    struct test_volume disk;
    struct fitted fitted;
    const uint64_t needed = 40000 + 4096 + 33; /* the last partition, entries, header */

    (void)state;
    make_gpt(&disk, 32 * MIB);
    assert_int_equal(fit(&disk, needed, &fitted), 0);
    write_new(&disk, needed * 512, &fitted);
    assert_sgdisk_content(&disk);
    fitted_free(&disk, &fitted);
    assert_int_equal(fit(&disk, needed - 1, &fitted), -ERROR_NO_SPACE);
    assert_null(fitted.head);
    assert_int_equal(fit(&disk, 0, &fitted), -ERROR_NO_SPACE);
    test_volume_free(&disk);
}

static void test_fit_hybrid(void **state)
{
    struct test_volume disk;
    struct fitted fitted;

    (void)state;
    /* Answers: place EE first, type of partition 1 and not bootable, protect the rest with another EE. */
    make_gpt(&disk, 32 * MIB);
    assert_int_equal(
        test_volume_run(&disk, "printf 'r\\nh\\n1 3\\ny\\n0c\\ny\\n0c\\nn\\ny\\nee\\nw\\ny\\n' | gdisk image"), 0);
    assert_int_equal(disk.bytes[446 + 4], 0xee);
    assert_int_equal(disk.bytes[446 + 16 + 4], 0x0c);
    assert_int_equal(fit(&disk, 64 * MIB / 512, &fitted), 0);
    /* Boot code, the first protective entry and the two hybrid ones as they were. */
    assert_memory_equal(fitted.head, disk.bytes, 446 + 3 * 16);
    if (disk.bytes[446 + 48 + 4] == 0xee) {
        uint8_t *last = fitted.head + 446 + 48;
        assert_int_equal(load_le32(last + 8) + load_le32(last + 12), 64 * MIB / 512);
    }
    write_new(&disk, 64 * MIB, &fitted);
    assert_sgdisk_content(&disk);
    fitted_free(&disk, &fitted);
    test_volume_free(&disk);
}

static void test_fit_mbr(void **state)
{
    struct test_volume disk;
    struct fitted fitted;

    (void)state;
    make_disk(&disk, 32 * MIB, 512, mbr_command);
    assert_int_equal(fit(&disk, 51000, &fitted), 0);
    assert_int_equal(fitted.head_size, 512);
    assert_null(fitted.tail);
    assert_memory_equal(fitted.head, disk.bytes, 512);
    fitted_free(&disk, &fitted);
    assert_int_equal(fit(&disk, 50999, &fitted), -ERROR_NO_SPACE);
    memset(disk.bytes + 446 + 32, 0, 16); /* now the extended partition is the last */
    assert_int_equal(fit(&disk, 48192, &fitted), 0);
    fitted_free(&disk, &fitted);
    assert_int_equal(fit(&disk, 48191, &fitted), -ERROR_NO_SPACE);
    test_volume_free(&disk);
}

/* --- hostile bytes --- */

static void assert_sound(const struct partition_table *table)
{
    uint64_t end = 0;

    assert_true(table->kind != TABLE_NONE || table->count == 0);
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *partition = &table->partitions[i];

        assert_true(partition->block_count && partition->first_block >= end && partition->first_block > 0);
        end = partition->first_block + partition->block_count;
        assert_true(end > partition->first_block && end <= table->disk_blocks);
    }
}

static void mutate(struct test_volume *disk, const uint64_t *places, unsigned place_count, bool gpt)
{
    const size_t kept = 34 * 512, disk_blocks = disk->size / 512;
    uint8_t *pristine = malloc(place_count * kept);
    unsigned believed = 0;

    for (unsigned p = 0; p < place_count; p++)
        memcpy(pristine + p * kept, disk->bytes + places[p] * 512, kept);
    srandom(7);
    for (unsigned round = 0; round < 3000; round++) {
        struct partition_table table;
        struct fitted fitted;

        for (unsigned flips = 1 + (unsigned)random() % 4; flips; flips--) {
            uint64_t place = places[(unsigned)random() % place_count];
            size_t at = (size_t)random() % (random() % 2 ? 1536 : 512);

            disk->bytes[place * 512 + at] = random() % 2 ? (uint8_t)random() : disk->bytes[place * 512 + at] ^ 1;
        }
        if (gpt && round % 4) { /* let most of the lies get past the checksums */
            reseal(disk, 1);
            reseal(disk, disk_blocks - 1);
        }
        assert_int_equal(partition_table_read(disk->device, &table, NULL), 0);
        assert_sound(&table);
        believed += table.kind != TABLE_NONE;
        if (partition_table_fit(&table, disk->bytes, 34 * 512, disk_blocks + round, &fitted.head, &fitted.head_size,
                                &fitted.tail, &fitted.tail_size, NULL) == 0)
            fitted_free(disk, &fitted);
        partition_table_free(&table);
        for (unsigned p = 0; p < place_count; p++)
            memcpy(disk->bytes + places[p] * 512, pristine + p * kept, kept);
    }
    assert_true(believed > 100 && believed < 2900);
    free(pristine);
}

static void test_hostile_gpt(void **state)
{
    struct test_volume disk;

    (void)state;
    make_gpt(&disk, 32 * MIB);
    mutate(&disk, (const uint64_t[]){0, 1, 2, disk.size / 512 - 34}, 4, true);
    test_volume_free(&disk);
}

static void test_hostile_mbr(void **state)
{
    struct test_volume disk;

    (void)state;
    make_disk(&disk, 32 * MIB, 512, mbr_command);
    uint64_t second = 8192 + load_le32(disk.bytes + 8192 * 512 + 446 + 16 + 8);
    mutate(&disk, (const uint64_t[]){0, 8192, second}, 3, false);
    test_volume_free(&disk);
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
        cmocka_unit_test(test_fit_same),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_4096),
        cmocka_unit_test(test_fit_no_space),
        cmocka_unit_test(test_fit_hybrid),
        cmocka_unit_test(test_fit_mbr),
        cmocka_unit_test(test_hostile_gpt),
        cmocka_unit_test(test_hostile_mbr),
    };

    return cmocka_run_group_tests(tests, NULL, forget_disks);
}
