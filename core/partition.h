/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Partition tables: GPT (UEFI specification 2.10, chapter 5), MBR with logical partitions, none.
 *
 * All of it is hostile input. A table that cannot be trusted makes a disk without a table (copied whole), with a message.
 */
#ifndef CORE_PARTITION_H
#define CORE_PARTITION_H

#include "core/block.h"
#include "core/message.h"

enum table_kind { TABLE_NONE, TABLE_MBR, TABLE_GPT };

#define PARTITION_MAX 1024
#define PARTITION_NAME_MAX 112 /* 36 UTF-16 units as UTF-8, with the zero */

struct partition {
    unsigned number;      /* as the table gives it: GPT entry index + 1; MBR 1-4, logical from 5 */
    uint64_t first_block; /* logical blocks of the disk */
    uint64_t block_count;
    uint8_t type_guid[16], unique_guid[16]; /* GPT, mixed endian as on disk */
    uint64_t attributes;
    uint8_t mbr_type; /* MBR */
    bool active;
    char name[PARTITION_NAME_MAX]; /* GPT, UTF-8 */
};

struct partition_table {
    enum table_kind kind;
    uint32_t logical_block;
    uint64_t disk_blocks;
    uint8_t disk_guid[16];            /* GPT */
    uint32_t mbr_signature;           /* MBR */
    bool has_extended;                /* MBR: an extended partition, also without logical ones */
    uint32_t entry_count, entry_size; /* GPT */
    /* GPT. The backup's places are always on the disk: where it is, or where it belongs when it is damaged or elsewhere. */
    uint64_t primary_array_lba, backup_header_lba, backup_array_lba;
    uint64_t first_usable, last_usable; /* GPT */
    unsigned count;
    struct partition *partitions; /* sorted by first block; never overlapping, always inside the disk */
    struct message_list messages;
    struct platform *platform;
    char disk_name[BLOCK_NAME_MAX];
    uint8_t *entry_array; /* GPT: entry_count * entry_size bytes, as on the disk */
    unsigned capacity;    /* of `partitions` */
};

/* Reads and checks. Returns 0 (kind NONE included) or a negative I/O error. Free with partition_table_free(). */
int partition_table_read(struct block_device *disk, struct partition_table *table, struct error *error);
void partition_table_free(struct partition_table *table);
const struct partition *partition_find(const struct partition_table *table, unsigned number);
/* A slice of the disk for the partition; its name is "<disk>#<number>". Freed by block_device_stop(). */
int partition_open(struct block_device *disk, const struct partition *partition, struct block_device **slice,
                   struct error *error);
/*
 * The tables for a disk of another size: bytes of protective MBR, primary header and array (from LBA 0) and of backup array and header
 * (ending at the last LBA), made from the source's and right for `disk_blocks` (UEFI 5.3.2: AlternateLBA, LastUsableLBA,
 * both CRCs; 5.2.3: protective MBR). *head and *tail are platform_allocate()d whole blocks. -ERROR_NO_SPACE when a partition
 * would not fit. `source_head` holds the source's first bytes up to the end of the primary array; less is fine while
 * nothing but the header and the array is missing, otherwise -ERROR_OUT_OF_RANGE. Entries of a hybrid MBR stay.
 * For MBR: the first block unchanged, no tail. Without a table: nothing, *head and *tail NULL.
 */
int partition_table_fit(const struct partition_table *table, const uint8_t *source_head, size_t source_head_size,
                        uint64_t disk_blocks, uint8_t **head, size_t *head_size, uint8_t **tail, size_t *tail_size,
                        struct error *error);
uint32_t crc32_ieee(uint32_t seed, const void *data, size_t size); /* reflected 0xEDB88320, seed 0 to start */
/* "xxxxxxxx-xxxx-..." lower case, 37 bytes with the zero. */
void guid_format(const uint8_t guid[16], char text[37]);
/* Known types in words ("EFI system", "Microsoft reserved", "Linux"), or "" */
const char *partition_type_name(const struct partition_table *table, const struct partition *partition);
/*
 * True for types whose contents a file system at their start does not describe (dynamic disks of Windows: other volumes
 * may follow in the same partition): always copied whole.
 */
bool partition_is_opaque(const struct partition_table *table, const struct partition *partition);

#endif
