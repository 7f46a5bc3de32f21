/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the partition tables share. Only core/partition*.c include it.
 *
 *   partition.c       which table a disk has; the list of partitions, sorted and free of overlaps
 *   partition_gpt.c   GPT: headers, entry arrays, primary against backup
 *   partition_mbr.c   MBR: primary entries, the chain of extended boot records, boot sectors that only look like an MBR
 *   partition_fit.c   tables for a disk of another size
 *   partition_type.c  names of types, GUIDs as text
 */
#ifndef CORE_PARTITION_INTERNAL_H
#define CORE_PARTITION_INTERNAL_H

#include "core/bytes.h"
#include "core/partition.h"

/* MBR: UEFI 2.10, section 5.2.1, table 5.1 (block 0) and 5.2 (entry). */
#define MBR_BYTES 512
#define MBR_SIGNATURE_OFFSET 440
#define MBR_ENTRIES_OFFSET 446
#define MBR_ENTRY_BYTES 16
#define MBR_ENTRY_COUNT 4
#define MBR_TYPE_PROTECTIVE 0xee

struct mbr_entry {
    uint8_t status, type;
    uint32_t start, count; /* logical blocks */
};

/* GPT: UEFI 2.10, section 5.3.2, table 5.5 (header), and 5.3.3, table 5.6 (entry). */
#define GPT_HEADER_BYTES 92
#define GPT_HEADER_LBA 1
#define GPT_ENTRY_BYTES_MIN 128
#define GPT_ENTRY_BYTES_MAX 4096u /* policy: the specification has no limit, nobody uses more than 128 */

/* A step's verdict besides 0 and negative errors: the structure cannot be trusted. */
#define TABLE_DISTRUSTED 1

static inline struct mbr_entry mbr_entry_load(const uint8_t *block, unsigned index)
{
    const uint8_t *entry = block + MBR_ENTRIES_OFFSET + MBR_ENTRY_BYTES * index;

    return (struct mbr_entry){entry[0], entry[4], load_le32(entry + 8), load_le32(entry + 12)};
}

static inline bool mbr_has_signature(const uint8_t *block)
{
    return block[510] == 0x55 && block[511] == 0xaa;
}

static inline bool mbr_type_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/* Blocks that an entry array takes. */
static inline uint64_t gpt_array_blocks(const struct partition_table *table)
{
    return ((uint64_t)table->entry_count * table->entry_size + table->logical_block - 1) / table->logical_block;
}

/*
 * Reads whole blocks. 0; TABLE_DISTRUSTED when they lie outside of the disk or the medium cannot deliver them; a negative error when
 * the disk is gone or does not answer.
 */
int table_read_blocks(struct block_device *disk, uint64_t lba, void *data, size_t size, struct error *error);
/* Says why the table is not believed and returns TABLE_DISTRUSTED. */
int table_distrust(struct partition_table *table, const char *why);
/* Adds a partition. 0, TABLE_DISTRUSTED (too many, or not inside the disk), -ERROR_NO_MEMORY. */
int table_append(struct partition_table *table, const struct partition *partition);

/* Fill the table. 0, TABLE_DISTRUSTED with a message, or a negative error. */
int partition_gpt_read(struct block_device *disk, struct partition_table *table, struct error *error);
int partition_mbr_read(struct block_device *disk, const uint8_t *block, struct partition_table *table,
                       struct error *error);

/*
 * Checks a header (UEFI 2.10, section 5.3.2): `header` is one block, `lba` where it was read. Returns NULL when it is good,
 * otherwise what is wrong with it. The entry array is not looked at.
 */
const char *gpt_header_check(const uint8_t *header, uint64_t lba, const struct partition_table *table);

#endif
