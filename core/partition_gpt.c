/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPT: UEFI specification 2.10, section 5.3. The primary header is in block 1, the backup where AlternateLBA says, which should be the
 * last block. A good primary is believed; without one the backup; when both are bad there is no table.
 *
 * Header offsets (table 5.5): signature 0, revision 8, header size 12, header CRC 16, MyLBA 24, AlternateLBA 32,
 * FirstUsableLBA 40, LastUsableLBA 48, disk GUID 56, PartitionEntryLBA 72, number of entries 80, size of an entry 84, CRC
 * of the entry array 88. Entry offsets (table 5.6): type 0, unique GUID 16, StartingLBA 32, EndingLBA 40, attributes 48, name 56.
 */
#include "core/partition_internal.h"

#include <string.h>

#define NAME_UNITS 36

/* One copy of the table: a header's fields and the entries that it vouches for. */
struct gpt_copy {
    uint64_t alternate_lba, array_lba, first_usable, last_usable;
    uint32_t entry_count, entry_size, array_crc;
    uint8_t disk_guid[16];
    uint8_t *array;    /* entry_count * entry_size bytes, in a buffer of whole blocks */
    const char *wrong; /* NULL: this copy is good */
};

static const char *check_entries(const uint8_t *header)
{
    uint32_t count = load_le32(header + 80), size = load_le32(header + 84);

    if (size < GPT_ENTRY_BYTES_MIN || size > GPT_ENTRY_BYTES_MAX || (size & (size - 1)))
        return "its entry size";
    if (!count || count > PARTITION_MAX)
        return "its number of entries";
    return NULL;
}

/* The primary's array lies between header and usable blocks, the backup's between usable blocks and header. */
static const char *check_layout(const uint8_t *header, uint64_t lba, const struct partition_table *table)
{
    uint64_t first = load_le64(header + 40), last = load_le64(header + 48), array = load_le64(header + 72);
    uint64_t bytes = (uint64_t)load_le32(header + 80) * load_le32(header + 84);
    uint64_t blocks = (bytes + table->logical_block - 1) / table->logical_block, array_end;

    if (first <= GPT_HEADER_LBA || first > last)
        return "its usable range";
    if (__builtin_add_overflow(array, blocks, &array_end))
        return "the place of its entries";
    if (lba == GPT_HEADER_LBA)
        return array <= GPT_HEADER_LBA || array_end > first ? "the place of its entries" : NULL;
    return array <= last || array_end > lba ? "the place of its entries" : NULL;
}

const char *gpt_header_check(const uint8_t *header, uint64_t lba, const struct partition_table *table)
{
    static const uint8_t zero[4];
    uint32_t size = load_le32(header + 12), crc;
    const char *wrong;

    if (memcmp(header, "EFI PART", 8) != 0)
        return "no signature";
    if (load_le16(header + 10) != 1)
        return "its revision";
    if (size < GPT_HEADER_BYTES || size > table->logical_block)
        return "its header size";
    crc = crc32_ieee(0, header, 16);
    crc = crc32_ieee(crc, zero, sizeof zero);
    crc = crc32_ieee(crc, header + 20, size - 20);
    if (crc != load_le32(header + 16))
        return "its header's checksum";
    if (load_le64(header + 24) != lba)
        return "its own place";
    wrong = check_entries(header);
    return wrong ? wrong : check_layout(header, lba, table);
}

static void load_header(struct gpt_copy *copy, const uint8_t *header)
{
    copy->alternate_lba = load_le64(header + 32);
    copy->first_usable = load_le64(header + 40);
    copy->last_usable = load_le64(header + 48);
    memcpy(copy->disk_guid, header + 56, sizeof copy->disk_guid);
    copy->array_lba = load_le64(header + 72);
    copy->entry_count = load_le32(header + 80);
    copy->entry_size = load_le32(header + 84);
    copy->array_crc = load_le32(header + 88);
}

/* Reads and checks one copy; copy->wrong says what is wrong with it. Negative only when the disk fails as such, or no memory. */
static int read_copy(struct block_device *disk, struct partition_table *table, uint64_t lba, struct gpt_copy *copy,
                     struct error *error)
{
    uint32_t block = table->logical_block;
    uint8_t *header = platform_allocate(table->platform, block);
    size_t size;
    int status;

    memset(copy, 0, sizeof *copy);
    copy->wrong = "it cannot be read";
    if (!header)
        return -ERROR_NO_MEMORY;
    status = table_read_blocks(disk, lba, header, block, error);
    if (status == 0) {
        copy->wrong = gpt_header_check(header, lba, table);
        if (!copy->wrong)
            load_header(copy, header);
    }
    platform_release(table->platform, header);
    if (status < 0 || copy->wrong)
        return status < 0 ? status : 0;

    size = (size_t)copy->entry_count * copy->entry_size;
    copy->array = platform_allocate(table->platform, size);
    if (!copy->array)
        return -ERROR_NO_MEMORY;
    status = table_read_blocks(disk, copy->array_lba, copy->array, size, error);
    if (status == TABLE_DISTRUSTED)
        copy->wrong = "its entries cannot be read";
    else if (status == 0 && crc32_ieee(0, copy->array, size) != copy->array_crc)
        copy->wrong = "its entries' checksum";
    return status < 0 ? status : 0;
}

static size_t utf8_put(char *to, uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)(code < 0x20 || code == 0x7f ? '_' : code);
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* UTF-16LE to UTF-8; what is no character becomes '_'. 36 units never need more than 108 bytes. */
static void load_name(char name[PARTITION_NAME_MAX], const uint8_t *units)
{
    size_t used = 0;

    for (unsigned i = 0; i < NAME_UNITS; i++) {
        uint32_t code = load_le16(units + 2 * i);
        uint32_t next = i + 1 < NAME_UNITS ? load_le16(units + 2 * i + 2) : 0;

        if (!code)
            break;
        if (code >= 0xd800 && code < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00);
            i++;
        } else if (code >= 0xd800 && code < 0xe000) {
            code = '_';
        }
        used += utf8_put(name + used, code);
    }
    name[used] = 0;
}

static int load_entries(struct partition_table *table)
{
    for (uint32_t i = 0; i < table->entry_count; i++) {
        const uint8_t *entry = table->entry_array + (size_t)i * table->entry_size;
        uint64_t first = load_le64(entry + 32), last = load_le64(entry + 40);
        struct partition partition = {.number = i + 1, .first_block = first, .attributes = load_le64(entry + 48)};
        int status;

        if (bytes_are_zero(entry, 16))
            continue;
        if (first > last)
            return table_distrust(table, "a partition that ends before it begins");
        partition.block_count = last - first == UINT64_MAX ? UINT64_MAX : last - first + 1;
        memcpy(partition.type_guid, entry, 16);
        memcpy(partition.unique_guid, entry + 16, 16);
        load_name(partition.name, entry + 56);
        if (last < table->disk_blocks && (first < table->first_usable || last > table->last_usable))
            return table_distrust(table, "a partition outside of the usable blocks");
        status = table_append(table, &partition);
        if (status)
            return status;
    }
    return 0;
}

/* Where a backup array belongs on a disk of this size: right before the header in the last block. */
static uint64_t backup_array_place(const struct partition_table *table)
{
    uint64_t blocks = gpt_array_blocks(table) + 1;

    return table->disk_blocks > blocks ? table->disk_blocks - blocks : 0;
}

/* Takes a good copy over as the table; its array changes owner. */
static void take_copy(struct partition_table *table, struct gpt_copy *copy)
{
    table->kind = TABLE_GPT;
    memcpy(table->disk_guid, copy->disk_guid, sizeof table->disk_guid);
    table->entry_count = copy->entry_count;
    table->entry_size = copy->entry_size;
    table->first_usable = copy->first_usable;
    table->last_usable = copy->last_usable;
    table->entry_array = copy->array;
    copy->array = NULL;
    table->backup_header_lba = table->disk_blocks - 1;
    table->backup_array_lba = backup_array_place(table);
}

static bool same_table(const struct gpt_copy *a, const struct gpt_copy *b)
{
    return a->entry_count == b->entry_count && a->entry_size == b->entry_size && a->array_crc == b->array_crc &&
           a->first_usable == b->first_usable && a->last_usable == b->last_usable &&
           memcmp(a->disk_guid, b->disk_guid, sizeof a->disk_guid) == 0;
}

/* The primary is good: how about its backup? */
static int judge_backup(struct block_device *disk, struct partition_table *table, const struct gpt_copy *primary,
                        struct error *error)
{
    uint64_t lba = primary->alternate_lba, last = table->disk_blocks - 1;
    struct gpt_copy backup;
    int status;

    if (lba != last)
        message_add(&table->messages, MESSAGE_WARNING, MESSAGE_TABLE_BACKUP_NOT_AT_END, 0, table->disk_name, NULL, lba,
                    last);
    status = read_copy(disk, table, lba, &backup, error);
    if (status == 0 && !backup.wrong && (backup.alternate_lba != GPT_HEADER_LBA || !same_table(primary, &backup)))
        backup.wrong = "it differs from the primary";
    if (status == 0 && backup.wrong) {
        message_add(&table->messages, MESSAGE_WARNING, MESSAGE_TABLE_BACKUP_BAD, 0, table->disk_name, backup.wrong, 0,
                    0);
    } else if (status == 0) {
        table->backup_header_lba = lba;
        table->backup_array_lba = backup.array_lba;
    }
    platform_release(table->platform, backup.array);
    return status;
}

/* The primary is bad: the last block must have the backup, for nothing that can be trusted says where else it is. */
static int use_backup(struct block_device *disk, struct partition_table *table, const char *primary_wrong,
                      struct error *error)
{
    struct gpt_copy backup;
    int status = read_copy(disk, table, table->disk_blocks - 1, &backup, error);

    if (status == 0 && !backup.wrong) {
        uint64_t array_lba = backup.array_lba;

        message_add(&table->messages, MESSAGE_WARNING, MESSAGE_TABLE_PRIMARY_BAD, 0, table->disk_name, primary_wrong, 0,
                    0);
        take_copy(table, &backup);
        table->backup_array_lba = array_lba;
        table->primary_array_lba = GPT_HEADER_LBA + 1;
        if (table->primary_array_lba + gpt_array_blocks(table) > table->first_usable)
            status = table_distrust(table, "no room for the primary's entries");
    } else if (status == 0) {
        status = table_distrust(table, primary_wrong);
    }
    platform_release(table->platform, backup.array);
    return status;
}

/* A table that was made through a bridge with other blocks is whole, but not for this disk. */
static int other_block_size(struct block_device *disk, struct partition_table *table, const char *wrong,
                            struct error *error, const char **why)
{
    uint32_t other = table->logical_block == 512 ? 4096 : 512;
    uint8_t signature[8];
    int status = block_read_bytes(disk, other, signature, sizeof signature, error);

    *why = wrong;
    if (status == 0 && memcmp(signature, "EFI PART", 8) == 0)
        *why = other == 512 ? "it was made for blocks of 512 bytes" : "it was made for blocks of 4096 bytes";
    return status == -ERROR_MEDIUM || status == -ERROR_IO || status == -ERROR_OUT_OF_RANGE ? 0 : status;
}

int partition_gpt_read(struct block_device *disk, struct partition_table *table, struct error *error)
{
    struct gpt_copy primary;
    const char *why;
    int status;

    status = read_copy(disk, table, GPT_HEADER_LBA, &primary, error);
    if (status == 0 && primary.wrong) {
        status = other_block_size(disk, table, primary.wrong, error, &why);
        if (status == 0)
            status = use_backup(disk, table, why, error);
    } else if (status == 0) {
        take_copy(table, &primary);
        table->primary_array_lba = primary.array_lba;
        status = judge_backup(disk, table, &primary, error);
    }
    platform_release(table->platform, primary.array);
    if (status)
        return status;
    status = load_entries(table);
    if (status == 0 && table->last_usable >= table->disk_blocks)
        table->last_usable = table->disk_blocks - 1;
    return status;
}
