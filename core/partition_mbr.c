/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MBR: four entries in block 0, and the chain of extended boot records (EBR) behind an extended entry.
 *
 * The layout of block 0 and of an entry is in UEFI 2.10, section 5.2.1. Logical partitions have no standard; this follows what all
 * systems write: an EBR has the shape of an MBR, its logical entry counts from the EBR itself, its link from the start of
 * the extended partition. Partitions are numbered as Linux does it: entries 1 to 4, logical ones from 5 in the chain's order.
 */
#include "core/partition_internal.h"

#include <string.h>

#define CHAIN_MAX PARTITION_MAX /* extended boot records; a chain is as long as there are logical partitions */

/* What the walk along the chains has seen. Blocks are logical blocks of the disk. */
struct mbr_reader {
    struct block_device *disk;
    struct partition_table *table;
    struct error *error;
    uint8_t *block;    /* the EBR at hand */
    uint64_t *records; /* where the EBRs were */
    unsigned record_count, next_number;
};

struct block_range {
    uint64_t first, count;
};

static bool is_power_of_two(uint32_t value)
{
    return value && !(value & (value - 1));
}

/* Microsoft's FAT specification (fatgen103, "Boot Sector and BPB"): values that a boot sector must have. */
static bool fat_boot_sector(const uint8_t *block)
{
    uint32_t bytes_per_sector = load_le16(block + 11), media = block[21];

    return (block[0] == 0xeb || block[0] == 0xe9) && bytes_per_sector >= 512 && bytes_per_sector <= 4096 &&
           is_power_of_two(bytes_per_sector) && is_power_of_two(block[13]) && load_le16(block + 14) && block[16] &&
           block[16] <= 4 && (media == 0xf0 || media >= 0xf8) && (load_le16(block + 19) || load_le32(block + 32));
}

/* Is block 0 the boot sector of a volume that takes the whole disk? */
static bool boot_sector(const uint8_t *block)
{
    return memcmp(block + 3, "NTFS    ", 8) == 0 || memcmp(block + 3, "EXFAT   ", 8) == 0 ||
           memcmp(block + 3, "-FVE-FS-", 8) == 0 || fat_boot_sector(block);
}

/* An entry in use (UEFI: a type other than 0; Linux: a size other than 0). */
static bool in_use(const struct mbr_entry *entry)
{
    return entry->type && entry->count;
}

/* A table's status bytes are 0x00 or 0x80; boot code or text in their place means that this is none. */
static bool status_bytes_valid(const uint8_t *block)
{
    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++)
        if (mbr_entry_load(block, i).status & 0x7f)
            return false;
    return true;
}

/* Could every entry be true? Decides between a table and a boot sector whose code happens to have fitting status bytes. */
static bool entries_plausible(const uint8_t *block, uint64_t disk_blocks)
{
    bool any = false;

    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_load(block, i);

        if (!in_use(&entry))
            continue;
        if (!entry.start || entry.start >= disk_blocks || entry.count > disk_blocks - entry.start)
            return false;
        any = true;
    }
    return any;
}

static bool ranges_overlap(uint64_t first, uint64_t count, uint64_t other, uint64_t other_count)
{
    return first < other + other_count && other < first + count;
}

/* An EBR inside a logical partition would be treated as that file system's free space. */
static int check_records(struct mbr_reader *reader)
{
    for (unsigned r = 0; r < reader->record_count; r++)
        for (unsigned i = 0; i < reader->table->count; i++) {
            const struct partition *partition = &reader->table->partitions[i];

            if (ranges_overlap(partition->first_block, partition->block_count, reader->records[r], 1))
                return table_distrust(reader->table, "a partition over an extended boot record");
        }
    return 0;
}

static int add_logical(struct mbr_reader *reader, const struct mbr_entry *entry, uint64_t record,
                       struct block_range container)
{
    uint64_t first = record + entry->start;
    struct partition partition = {.number = reader->next_number++,
                                  .first_block = first,
                                  .block_count = entry->count,
                                  .mbr_type = entry->type,
                                  .active = entry->status & 0x80};

    if (first - container.first >= container.count || entry->count > container.count - (first - container.first))
        return table_distrust(reader->table, "a logical partition outside of the extended one");
    return table_append(reader->table, &partition);
}

/* One EBR: its logical partitions, and where the next one is (0: nowhere). */
static int read_record(struct mbr_reader *reader, uint64_t record, struct block_range container, uint64_t *next)
{
    int status;

    *next = 0;
    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_load(reader->block, i);

        if (!in_use(&entry))
            continue;
        if (!mbr_type_extended(entry.type)) {
            status = add_logical(reader, &entry, record, container);
            if (status)
                return status;
        } else if (!*next) {
            if (!entry.start || entry.start >= container.count)
                return table_distrust(reader->table, "a link out of the extended partition");
            *next = container.first + entry.start;
        }
    }
    return 0;
}

/* Follows one extended partition's chain. One that runs in a circle meets the limit. */
static int read_chain(struct mbr_reader *reader, struct block_range container)
{
    uint64_t record = container.first;

    while (record) {
        uint64_t next;
        int status;

        if (reader->record_count == CHAIN_MAX)
            return table_distrust(reader->table, "the chain of logical partitions does not end");
        status = table_read_blocks(reader->disk, record, reader->block, reader->table->logical_block, reader->error);
        if (status == TABLE_DISTRUSTED)
            return table_distrust(reader->table, "an extended boot record cannot be read");
        if (status)
            return status;
        /* Nothing written there yet: an extended partition that holds no logical one. */
        if (record == container.first && bytes_are_zero(reader->block, MBR_BYTES))
            return 0;
        if (!mbr_has_signature(reader->block))
            return table_distrust(reader->table, "an extended boot record without its signature");
        reader->records[reader->record_count++] = record;
        status = read_record(reader, record, container, &next);
        if (status)
            return status;
        record = next;
    }
    return 0;
}

static int read_primary(struct mbr_reader *reader, const uint8_t *block, struct block_range containers[MBR_ENTRY_COUNT],
                        unsigned *container_count)
{
    struct partition_table *table = reader->table;

    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_load(block, i);
        struct partition partition = {.number = i + 1,
                                      .first_block = entry.start,
                                      .block_count = entry.count,
                                      .mbr_type = entry.type,
                                      .active = entry.status & 0x80};
        int status;

        if (!in_use(&entry))
            continue;
        if (!entry.start)
            return table_distrust(table, "a partition over the table itself");
        /* Extended ones go in and out again, for the check against the disk's end. */
        status = table_append(table, &partition);
        if (status)
            return status;
        if (mbr_type_extended(entry.type)) {
            table->count--;
            table->has_extended = true;
            containers[(*container_count)++] = (struct block_range){entry.start, entry.count};
        }
    }
    return 0;
}

/* Extended partitions are not in the list, so that their overlaps with primary ones are looked for here. */
static int check_containers(struct partition_table *table, const struct block_range *containers, unsigned count)
{
    for (unsigned c = 0; c < count; c++) {
        for (unsigned i = 0; i < table->count; i++)
            if (ranges_overlap(containers[c].first, containers[c].count, table->partitions[i].first_block,
                               table->partitions[i].block_count))
                return table_distrust(table, "a partition over the extended one");
        for (unsigned other = 0; other < c; other++)
            if (ranges_overlap(containers[c].first, containers[c].count, containers[other].first,
                               containers[other].count))
                return table_distrust(table, "overlapping extended partitions");
    }
    return 0;
}

static int read_all(struct mbr_reader *reader, const uint8_t *block)
{
    struct block_range containers[MBR_ENTRY_COUNT];
    unsigned container_count = 0;
    int status = read_primary(reader, block, containers, &container_count);

    if (status == 0)
        status = check_containers(reader->table, containers, container_count);
    for (unsigned i = 0; status == 0 && i < container_count; i++)
        status = read_chain(reader, containers[i]);
    return status ? status : check_records(reader);
}

int partition_mbr_read(struct block_device *disk, const uint8_t *block, struct partition_table *table,
                       struct error *error)
{
    struct mbr_reader reader = {.disk = disk, .table = table, .error = error, .next_number = MBR_ENTRY_COUNT + 1};
    bool plausible = entries_plausible(block, table->disk_blocks);
    int status;

    if (!status_bytes_valid(block) || (boot_sector(block) && !plausible))
        return 0;
    reader.block = platform_allocate(table->platform, table->logical_block);
    reader.records = platform_allocate(table->platform, CHAIN_MAX * sizeof *reader.records);
    status = reader.block && reader.records ? read_all(&reader, block) : -ERROR_NO_MEMORY;
    platform_release(table->platform, reader.block);
    platform_release(table->platform, reader.records);
    /* An empty table says nothing: the disk may as well hold a volume whose boot sector ends with the same signature. */
    if (status == 0 && plausible) {
        table->kind = TABLE_MBR;
        table->mbr_signature = load_le32(block + MBR_SIGNATURE_OFFSET);
    }
    return status;
}
