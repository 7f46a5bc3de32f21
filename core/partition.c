/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which table a disk has, and the list of its partitions: sorted, inside the disk, never overlapping. */
#include "core/partition_internal.h"

#include <stdio.h>
#include <string.h>

int table_read_blocks(struct block_device *disk, uint64_t lba, void *data, size_t size, struct error *error)
{
    uint32_t block = disk->geometry.logical_block;
    uint64_t blocks = disk->geometry.block_count;
    int status;

    if (lba >= blocks || (size + block - 1) / block > blocks - lba)
        return TABLE_DISTRUSTED;
    status = block_read_bytes(disk, lba * block, data, size, error);
    return status == -ERROR_MEDIUM || status == -ERROR_IO ? TABLE_DISTRUSTED : status;
}

int table_distrust(struct partition_table *table, const char *why)
{
    message_add(&table->messages, MESSAGE_WARNING, MESSAGE_TABLE_DAMAGED, 0, table->disk_name, why, 0, 0);
    return TABLE_DISTRUSTED;
}

static int grow(struct partition_table *table)
{
    unsigned capacity = table->capacity ? table->capacity * 2 : 16;
    struct partition *partitions = platform_allocate(table->platform, capacity * sizeof *partitions);

    if (!partitions)
        return -ERROR_NO_MEMORY;
    if (table->count)
        memcpy(partitions, table->partitions, table->count * sizeof *partitions);
    platform_release(table->platform, table->partitions);
    table->partitions = partitions;
    table->capacity = capacity;
    return 0;
}

int table_append(struct partition_table *table, const struct partition *partition)
{
    int status;

    if (partition->first_block >= table->disk_blocks ||
        partition->block_count > table->disk_blocks - partition->first_block) {
        message_add(&table->messages, MESSAGE_WARNING, MESSAGE_PARTITION_BEYOND_END, 0, table->disk_name, NULL,
                    partition->number, 0);
        return table_distrust(table, "a partition beyond the disk's end");
    }
    if (table->count >= PARTITION_MAX)
        return table_distrust(table, "too many partitions");
    if (table->count == table->capacity && (status = grow(table)) < 0)
        return status;
    table->partitions[table->count++] = *partition;
    return 0;
}

/* Insertion sort: tables are nearly always in order already, and never long. */
static void sort(struct partition_table *table)
{
    for (unsigned i = 1; i < table->count; i++) {
        struct partition partition = table->partitions[i];
        unsigned at = i;

        while (at && table->partitions[at - 1].first_block > partition.first_block) {
            table->partitions[at] = table->partitions[at - 1];
            at--;
        }
        table->partitions[at] = partition;
    }
}

static int check_overlaps(struct partition_table *table)
{
    for (unsigned i = 1; i < table->count; i++) {
        const struct partition *left = &table->partitions[i - 1], *right = &table->partitions[i];

        if (left->block_count > right->first_block - left->first_block) {
            message_add(&table->messages, MESSAGE_WARNING, MESSAGE_TABLE_OVERLAP, 0, table->disk_name, NULL,
                        left->number, right->number);
            return table_distrust(table, "overlapping partitions");
        }
    }
    return 0;
}

static void forget_partitions(struct partition_table *table)
{
    platform_release(table->platform, table->partitions);
    platform_release(table->platform, table->entry_array);
    table->partitions = NULL;
    table->entry_array = NULL;
    table->count = table->capacity = 0;
    table->kind = TABLE_NONE;
}

/* A GPT stands behind a protective MBR (UEFI 2.10, section 5.2.3); a hybrid one has other entries beside it. */
static bool protective(const uint8_t *block)
{
    if (!mbr_has_signature(block))
        return false;
    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_load(block, i);

        if (entry.type == MBR_TYPE_PROTECTIVE && entry.start == GPT_HEADER_LBA && !(entry.status & 0x7f))
            return true;
    }
    return false;
}

/* A GPT whose protective MBR is gone: worth a word, for other programs may still see it. */
static int no_table(struct block_device *disk, struct partition_table *table, uint8_t *block, struct error *error)
{
    int status = table_read_blocks(disk, GPT_HEADER_LBA, block, table->logical_block, error);

    if (status == 0 && memcmp(block, "EFI PART", 8) == 0 && !gpt_header_check(block, GPT_HEADER_LBA, table))
        return table_distrust(table, "a GPT without its protective MBR");
    return status;
}

static int read_table(struct block_device *disk, struct partition_table *table, uint8_t *block, struct error *error)
{
    int status = table_read_blocks(disk, 0, block, table->logical_block, error);

    if (status == TABLE_DISTRUSTED)
        return table_distrust(table, "its first block cannot be read");
    if (status < 0)
        return status;
    if (protective(block)) {
        table->mbr_signature = load_le32(block + MBR_SIGNATURE_OFFSET);
        status = partition_gpt_read(disk, table, error);
    } else if (mbr_has_signature(block)) {
        status = partition_mbr_read(disk, block, table, error);
    } else {
        status = no_table(disk, table, block, error);
    }
    if (status)
        return status;
    sort(table);
    return check_overlaps(table);
}

int partition_table_read(struct block_device *disk, struct partition_table *table, struct error *error)
{
    struct platform *platform = disk->loop->platform;
    uint8_t *block;
    int status;

    memset(table, 0, sizeof *table);
    table->platform = platform;
    table->logical_block = disk->geometry.logical_block;
    table->disk_blocks = disk->geometry.block_count;
    snprintf(table->disk_name, sizeof table->disk_name, "%s", disk->name);
    block = platform_allocate(platform, table->logical_block);
    if (!block)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_PARSE, disk->name, ERROR_NO_BLOCK, "partition table");
    status = read_table(disk, table, block, error);
    platform_release(platform, block);
    if (status)
        forget_partitions(table);
    if (status == -ERROR_NO_MEMORY)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_PARSE, disk->name, ERROR_NO_BLOCK, "partition table");
    return status < 0 ? status : 0;
}

void partition_table_free(struct partition_table *table)
{
    if (table->platform)
        forget_partitions(table);
}

const struct partition *partition_find(const struct partition_table *table, unsigned number)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->partitions[i].number == number)
            return &table->partitions[i];
    return NULL;
}

int partition_open(struct block_device *disk, const struct partition *partition, struct block_device **slice,
                   struct error *error)
{
    char name[BLOCK_NAME_MAX];
    char suffix[16];
    int suffix_length = snprintf(suffix, sizeof suffix, "#%u", partition->number);

    /* The number is what tells partitions apart: a long disk name gives way. */
    snprintf(name, sizeof name, "%.*s%s", (int)sizeof name - 1 - suffix_length, disk->name, suffix);
    return block_slice_create(disk, partition->first_block, partition->block_count, name, slice, error);
}
