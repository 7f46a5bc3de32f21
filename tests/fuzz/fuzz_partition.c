/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Partition tables: what is accepted lies inside the disk and does not overlap; tables that are made for another disk read back as the
 * same partitions.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "core/partition.h"

#define BYTES_MAX (1ULL << 50)
#define ARRAY_MAX (256u * 1024)
#define MEMORY_MAX (16u * 1024 * 1024) /* bytes: no table needs more, whatever it says */
#define HEAD_MAX (1024u * 1024)

/* --- repair: UEFI 2.10, table 5.5 --- */

static void repair_header(struct fuzz_disk *disk, uint64_t lba)
{
    uint32_t block = disk->device.geometry.logical_block, crc;
    static uint8_t array[ARRAY_MAX];
    uint8_t header[4096];

    fuzz_disk_peek(disk, lba * block, header, block);
    if (memcmp(header, "EFI PART", 8) != 0)
        return;
    uint64_t place = fuzz_load64(header + 72), size = (uint64_t)fuzz_load32(header + 80) * fuzz_load32(header + 84);
    if (size <= sizeof array && place < disk->bytes / block) {
        fuzz_disk_peek(disk, place * block, array, (size_t)size);
        fuzz_store32(header + 88, crc32_ieee(0, array, (size_t)size));
    }
    if (fuzz_load32(header + 12) < 20 || fuzz_load32(header + 12) > block)
        return;
    fuzz_store32(header + 16, 0);
    crc = crc32_ieee(0, header, fuzz_load32(header + 12));
    fuzz_store32(header + 16, crc);
    fuzz_disk_poke(disk, lba * block, header, block);
}

static void repair(struct fuzz_disk *disk)
{
    uint64_t blocks = disk->bytes / disk->device.geometry.logical_block;
    uint8_t bytes[8];

    repair_header(disk, 1);
    repair_header(disk, blocks - 1);
    fuzz_disk_peek(disk, disk->device.geometry.logical_block + 32, bytes, sizeof bytes);
    if (fuzz_load64(bytes) < blocks - 1)
        repair_header(disk, fuzz_load64(bytes));
}

/* --- what must hold --- */

static void check_table(const struct partition_table *table, uint64_t blocks)
{
    uint64_t end = 0;

    fuzz_require(table->count <= PARTITION_MAX);
    fuzz_require(table->kind != TABLE_NONE || table->count == 0);
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *partition = &table->partitions[i];

        fuzz_require(partition->block_count > 0 && partition->number > 0);
        fuzz_require(partition->first_block >= end && partition->first_block < blocks);
        fuzz_require(partition->block_count <= blocks - partition->first_block);
        fuzz_require(fuzz_text_valid(partition->name, sizeof partition->name));
        fuzz_require(partition_find(table, partition->number) == partition);
        fuzz_require(partition_type_name(table, partition) != NULL);
        (void)partition_is_opaque(table, partition);
        end = partition->first_block + partition->block_count;
    }
    if (table->kind == TABLE_GPT) {
        fuzz_require(table->backup_header_lba < blocks && table->backup_array_lba < blocks);
        fuzz_require(table->primary_array_lba < blocks && table->entry_array != NULL);
        fuzz_require((uint64_t)table->entry_count * table->entry_size <= ARRAY_MAX * 16ULL);
    }
}

/* The last block of a partition can be read, the one behind it cannot. */
static void check_slices(struct block_device *disk, const struct partition_table *table)
{
    uint32_t block = disk->geometry.logical_block;
    uint8_t bytes[4096];

    for (unsigned i = 0; i < table->count && i < 4; i++) {
        struct block_device *slice;

        fuzz_require(partition_open(disk, &table->partitions[i], &slice, NULL) == 0);
        fuzz_require(slice->geometry.block_count == table->partitions[i].block_count);
        (void)block_read_bytes(slice, block_device_bytes(slice) - block, bytes, block, NULL);
        fuzz_require(block_read_bytes(slice, block_device_bytes(slice), bytes, block, NULL) < 0);
        block_device_stop(slice);
    }
}

static bool same_partitions(const struct partition_table *a, const struct partition_table *b)
{
    for (unsigned i = 0; i < a->count && a->count == b->count; i++) {
        const struct partition *left = &a->partitions[i], *right = &b->partitions[i];

        if (left->number != right->number || left->first_block != right->first_block ||
            left->block_count != right->block_count || left->mbr_type != right->mbr_type ||
            memcmp(left->unique_guid, right->unique_guid, 16) != 0 || strcmp(left->name, right->name) != 0)
            return false;
    }
    return a->kind == b->kind && a->count == b->count;
}

/* Tables made for a disk of `blocks` blocks say the same there. An MBR's logical partitions are the job's to copy. */
static void check_fit(struct fuzz_disk *source, struct loop *loop, const struct partition_table *table, uint64_t blocks)
{
    static struct fuzz_disk target;
    uint32_t block = source->device.geometry.logical_block;
    uint64_t wanted = (table->primary_array_lba + 1) * block + (uint64_t)table->entry_count * table->entry_size;
    size_t head_size, tail_size, source_size = wanted < HEAD_MAX ? (size_t)wanted : HEAD_MAX;
    uint8_t *source_head = malloc(source_size), *head, *tail;
    uint8_t header[FUZZ_DISK_HEADER] = {0, block == 4096};
    struct partition_table again;

    if (!source_head)
        abort();
    fuzz_disk_peek(source, 0, source_head, source_size);
    int status =
        partition_table_fit(table, source_head, source_size, blocks, &head, &head_size, &tail, &tail_size, NULL);
    free(source_head);
    if (status)
        return;
    fuzz_require(head_size % block == 0 && tail_size % block == 0);
    fuzz_require(head_size <= blocks * block && tail_size <= blocks * block);
    if (table->kind == TABLE_GPT) {
        fuzz_disk_load(&target, header, sizeof header, BYTES_MAX);
        target.bytes = blocks * block;
        fuzz_disk_poke(&target, 0, head, head_size);
        fuzz_disk_poke(&target, blocks * block - tail_size, tail, tail_size);
        fuzz_disk_start(&target, loop);
        fuzz_require(partition_table_read(&target.device, &again, NULL) == 0);
        fuzz_require(same_partitions(table, &again));
        fuzz_require(again.messages.count == 0);
        fuzz_require(again.backup_header_lba == blocks - 1);
        partition_table_free(&again);
        fuzz_disk_stop(&target);
    }
    platform_release(loop->platform, head);
    platform_release(loop->platform, tail);
}

void fuzz_partition(const uint8_t *data, size_t size)
{
    static struct fuzz_disk disk;
    struct partition_table table;
    struct loop loop;

    if (!fuzz_disk_load(&disk, data, size, BYTES_MAX))
        return;
    loop_init(&loop, fuzz_begin());
    if (disk.flags & FUZZ_REPAIR)
        repair(&disk);
    fuzz_disk_start(&disk, &loop);
    int status = partition_table_read(&disk.device, &table, NULL);
    fuzz_require(status == 0 || disk.failed);
    if (status == 0) {
        uint64_t blocks = disk.device.geometry.block_count;

        fuzz_accepted = table.kind != TABLE_NONE;
        check_table(&table, blocks);
        check_slices(&disk.device, &table);
        check_fit(&disk, &loop, &table, blocks);
        check_fit(&disk, &loop, &table, blocks + 12345);
        check_fit(&disk, &loop, &table, blocks - blocks / 3);
        check_fit(&disk, &loop, &table, 100);
        partition_table_free(&table);
    }
    fuzz_disk_stop(&disk);
    fuzz_end(MEMORY_MAX);
}
