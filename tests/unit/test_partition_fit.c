/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partition tables made right for disks of other sizes, judged by sgdisk and fdisk; and tables of random changes. */
#include "core/bytes.h"
#include "tests/support/disk_maker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void read_table(struct test_volume *disk, struct partition_table *table)
{
    assert_int_equal(partition_table_read(disk->device, table, NULL), 0);
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
    make_mbr(&disk);
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
            reseal_gpt(disk, 1);
            reseal_gpt(disk, disk_blocks - 1);
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
    make_mbr(&disk);
    uint64_t second = 8192 + load_le32(disk.bytes + 8192 * 512 + 446 + 16 + 8);
    mutate(&disk, (const uint64_t[]){0, 8192, second}, 3, false);
    test_volume_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit_same),     cmocka_unit_test(test_fit),         cmocka_unit_test(test_fit_4096),
        cmocka_unit_test(test_fit_no_space), cmocka_unit_test(test_fit_hybrid),  cmocka_unit_test(test_fit_mbr),
        cmocka_unit_test(test_hostile_gpt),  cmocka_unit_test(test_hostile_mbr),
    };

    return cmocka_run_group_tests(tests, NULL, forget_disks);
}
