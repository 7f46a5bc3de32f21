/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of one disk, made right for another size: UEFI 2.10, sections 5.2.3 (protective MBR) and 5.3.2 (header).
 *
 * Partitions stay where they are. What a disk's size decides moves: the backup to the last blocks, AlternateLBA, LastUsableLBA, both
 * checksums, the size in the protective entry. Everything else, reserved bytes included, is the source's.
 */
#include "core/partition_internal.h"

#include <string.h>

struct fit {
    const struct partition_table *table;
    const uint8_t *source; /* the source's first bytes */
    size_t source_size;
    uint64_t disk_blocks; /* of the target */
    uint64_t array_bytes, array_blocks;
    uint64_t backup_array, last_usable;
    uint8_t *head, *tail;
    size_t head_size, tail_size;
};

static int no_space(const struct fit *fit, uint64_t blocks, struct error *error)
{
    return error_set(error, ERROR_NO_SPACE, OPERATION_PARSE, fit->table->disk_name, ERROR_NO_BLOCK,
                     "too small: %llu blocks are needed, %llu are there", (unsigned long long)blocks,
                     (unsigned long long)fit->disk_blocks);
}

/* Did the entry mean "up to the end of the disk"? */
static bool entry_reaches_end(const struct mbr_entry *entry, uint64_t disk_blocks)
{
    return entry->count == UINT32_MAX || (uint64_t)entry->start + entry->count >= disk_blocks;
}

/*
 * Section 5.2.3: the protective entry starts at block 1 and covers the disk, 0xFFFFFFFF when its size cannot be said. In a hybrid MBR
 * it covers what the other entries leave; only the one that went up to the old end follows the new one.
 */
static void fit_protective(const struct fit *fit, uint8_t *block)
{
    bool hybrid = false;

    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_load(block, i);

        hybrid |= entry.type && (entry.type != MBR_TYPE_PROTECTIVE || entry.start > 1);
    }
    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_load(block, i);
        uint8_t *bytes = block + MBR_ENTRIES_OFFSET + MBR_ENTRY_BYTES * i;
        uint64_t count;

        if (entry.type != MBR_TYPE_PROTECTIVE)
            continue;
        if (hybrid && !entry_reaches_end(&entry, fit->table->disk_blocks) &&
            (uint64_t)entry.start + entry.count <= fit->disk_blocks)
            continue;
        if (entry.start >= fit->disk_blocks) {
            memset(bytes, 0, MBR_ENTRY_BYTES);
            continue;
        }
        if (!hybrid)
            entry.start = 1;
        count = fit->disk_blocks - entry.start;
        store_le32(bytes + 8, entry.start);
        store_le32(bytes + 12, count > UINT32_MAX ? UINT32_MAX : (uint32_t)count);
    }
}

/* A protective MBR where the source's is not at hand. */
static void make_protective(uint8_t *block)
{
    static const uint8_t entry[MBR_ENTRY_BYTES] = {0x00, 0x00, 0x02, 0x00, MBR_TYPE_PROTECTIVE, 0xff, 0xff, 0xff, 1};

    memcpy(block + MBR_ENTRIES_OFFSET, entry, sizeof entry);
    block[510] = 0x55;
    block[511] = 0xaa;
}

/* Fills what both headers have in common; bytes behind the fields known here are left as they are. */
static void store_header(const struct fit *fit, uint8_t *header, bool backup)
{
    const struct partition_table *table = fit->table;
    uint64_t last = fit->disk_blocks - 1;
    uint32_t size = load_le32(header + 12);

    store_le64(header + 24, backup ? last : GPT_HEADER_LBA);
    store_le64(header + 32, backup ? GPT_HEADER_LBA : last);
    store_le64(header + 40, table->first_usable);
    store_le64(header + 48, fit->last_usable);
    memcpy(header + 56, table->disk_guid, 16);
    store_le64(header + 72, backup ? fit->backup_array : table->primary_array_lba);
    store_le32(header + 80, table->entry_count);
    store_le32(header + 84, table->entry_size);
    store_le32(header + 88, crc32_ieee(0, table->entry_array, fit->array_bytes));
    store_le32(header + 16, 0);
    store_le32(header + 16, crc32_ieee(0, header, size));
}

/* The source's header if it is a good one, so that what this does not know survives; a plain one otherwise. */
static void take_header(const struct fit *fit, uint8_t *header)
{
    uint32_t block = fit->table->logical_block;

    if (fit->source_size >= 2 * (size_t)block && !gpt_header_check(fit->source + block, GPT_HEADER_LBA, fit->table)) {
        memcpy(header, fit->source + block, block);
        return;
    }
    memset(header, 0, block);
    memcpy(header, "EFI PART", 8);
    store_le32(header + 8, 0x00010000);
    store_le32(header + 12, GPT_HEADER_BYTES);
}

/* What stands between header and array (a boot loader's first stage, on some boards) must come from the source. */
static int copy_source(const struct fit *fit, struct error *error)
{
    const struct partition_table *table = fit->table;
    uint64_t array_start = table->primary_array_lba * table->logical_block;

    if (array_start > (GPT_HEADER_LBA + 1) * (uint64_t)table->logical_block && fit->source_size < array_start)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_PARSE, table->disk_name, ERROR_NO_BLOCK,
                         "the first %llu bytes of the source are needed", (unsigned long long)array_start);
    if (fit->source_size)
        memcpy(fit->head, fit->source, fit->source_size < fit->head_size ? fit->source_size : fit->head_size);
    if (fit->source_size < table->logical_block || !mbr_has_signature(fit->head))
        make_protective(fit->head);
    return 0;
}

static int plan_gpt(struct fit *fit, struct error *error)
{
    const struct partition_table *table = fit->table;
    uint64_t needed = fit->table->first_usable + 1;

    fit->array_bytes = (uint64_t)table->entry_count * table->entry_size;
    fit->array_blocks = gpt_array_blocks(table);
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *partition = &table->partitions[i];

        if (partition->first_block + partition->block_count > needed)
            needed = partition->first_block + partition->block_count;
    }
    needed += fit->array_blocks + 1;
    if (needed > fit->disk_blocks)
        return no_space(fit, needed, error);
    fit->backup_array = fit->disk_blocks - 1 - fit->array_blocks;
    fit->last_usable = fit->backup_array - 1;
    /* The same size: a smaller usable range was somebody's choice. */
    if (fit->disk_blocks == table->disk_blocks && table->backup_header_lba == fit->disk_blocks - 1 &&
        table->last_usable < fit->last_usable)
        fit->last_usable = table->last_usable;
    fit->head_size = (size_t)((table->primary_array_lba + fit->array_blocks) * table->logical_block);
    fit->tail_size = (size_t)((fit->array_blocks + 1) * table->logical_block);
    return 0;
}

static int fit_gpt(struct fit *fit, struct error *error)
{
    const struct partition_table *table = fit->table;
    uint32_t block = table->logical_block;
    uint8_t *array, *header;
    int status = plan_gpt(fit, error);

    if (status)
        return status;
    fit->head = platform_allocate_zeroed(table->platform, fit->head_size);
    fit->tail = platform_allocate_zeroed(table->platform, fit->tail_size);
    if (!fit->head || !fit->tail)
        return -ERROR_NO_MEMORY;
    status = copy_source(fit, error);
    if (status)
        return status;

    fit_protective(fit, fit->head);
    take_header(fit, fit->head + block);
    store_header(fit, fit->head + block, false);
    array = fit->head + table->primary_array_lba * block;
    memset(array, 0, fit->array_blocks * block);
    memcpy(array, table->entry_array, fit->array_bytes);

    memcpy(fit->tail, table->entry_array, fit->array_bytes);
    header = fit->tail + fit->array_blocks * block;
    memcpy(header, fit->head + block, block);
    store_header(fit, header, true);
    return 0;
}

static int fit_mbr(struct fit *fit, struct error *error)
{
    const struct partition_table *table = fit->table;
    uint64_t needed = 1;

    if (fit->source_size < table->logical_block)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_PARSE, table->disk_name, 0,
                         "the first block of the source is needed");
    for (unsigned i = 0; i < table->count; i++)
        if (table->partitions[i].first_block + table->partitions[i].block_count > needed)
            needed = table->partitions[i].first_block + table->partitions[i].block_count;
    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) { /* extended partitions are not in the list */
        struct mbr_entry entry = mbr_entry_load(fit->source, i);

        if (entry.type && entry.count && (uint64_t)entry.start + entry.count > needed)
            needed = (uint64_t)entry.start + entry.count;
    }
    if (needed > fit->disk_blocks)
        return no_space(fit, needed, error);
    fit->head_size = table->logical_block;
    fit->head = platform_allocate(table->platform, fit->head_size);
    if (!fit->head)
        return -ERROR_NO_MEMORY;
    memcpy(fit->head, fit->source, fit->head_size);
    return 0;
}

int partition_table_fit(const struct partition_table *table, const uint8_t *source_head, size_t source_head_size,
                        uint64_t disk_blocks, uint8_t **head, size_t *head_size, uint8_t **tail, size_t *tail_size,
                        struct error *error)
{
    struct fit fit = {.table = table,
                      .source = source_head,
                      .source_size = source_head ? source_head_size : 0,
                      .disk_blocks = disk_blocks};
    int status = 0;

    if (table->kind == TABLE_GPT)
        status = fit_gpt(&fit, error);
    else if (table->kind == TABLE_MBR)
        status = fit_mbr(&fit, error);
    else if (disk_blocks < table->disk_blocks)
        status = no_space(&fit, table->disk_blocks, error);
    if (status) {
        platform_release(table->platform, fit.head);
        platform_release(table->platform, fit.tail);
        fit.head = fit.tail = NULL;
        fit.head_size = fit.tail_size = 0;
    }
    if (status == -ERROR_NO_MEMORY)
        error_set(error, ERROR_NO_MEMORY, OPERATION_PARSE, table->disk_name, ERROR_NO_BLOCK, "new partition tables");
    *head = fit.head;
    *head_size = fit.head_size;
    *tail = fit.tail;
    *tail_size = fit.tail_size;
    return status;
}
