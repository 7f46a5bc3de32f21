/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FAT12, FAT16 and FAT32: who is it, and which bytes are in use.
 *
 * In use are: everything in front of the first cluster (boot sectors, FSInfo, all copies of the table, the fixed root directory),
 * and each cluster that any copy of the table gives a use. Clusters marked as bad hold no data and cannot be read: they are left
 * out. What lies behind the file system is kept as volume_add_tail() does it.
 *
 * A boot sector that disagrees with itself, a table that does not begin with the media byte, a directory whose file lies in a
 * free cluster: copied whole.
 */
#include "fs/fat.h"
#include "fs/drivers.h"
#include "fs/volume.h"

#include <stdio.h>
#include <string.h>

#define DIRECTORY_ENTRY 32
#define ATTRIBUTE_VOLUME_ID 0x08
#define ATTRIBUTE_LONG_NAME 0x0f
#define PIECE 4096 /* bytes of the root directory read at once: whole entries */

/* fatgen103, "FAT directory structure". */
struct directory_entry {
    uint8_t attributes;
    uint32_t first_cluster;
    bool used, end;
};

static struct directory_entry load_entry(const uint8_t *bytes, unsigned bits)
{
    struct directory_entry entry = {.attributes = bytes[11], .end = bytes[0] == 0};

    entry.used = !entry.end && bytes[0] != 0xe5 && (bytes[11] & 0x3f) != ATTRIBUTE_LONG_NAME;
    entry.first_cluster = load_le16(bytes + 26);
    if (bits == 32)
        entry.first_cluster |= (uint32_t)(load_le16(bytes + 20) & 0x0fff) << 16;
    return entry;
}

/* Where the root directory begins, and how much of it lies in one piece. */
static bool root_place(const struct fat_geometry *geometry, uint64_t *offset, uint64_t *bytes)
{
    if (geometry->bits == 32) {
        *offset = fat_cluster_offset(geometry, geometry->root_cluster);
        *bytes = geometry->cluster_bytes;
        return fat_cluster_valid(geometry, geometry->root_cluster);
    }
    *offset = geometry->root_offset;
    *bytes = (uint64_t)geometry->root_entries * DIRECTORY_ENTRY;
    return true;
}

/* --- recognition --- */

static void set_label(struct filesystem_info *info, const uint8_t *from)
{
    size_t length = 11;

    while (length && from[length - 1] == ' ')
        length--;
    volume_text(info->label, sizeof info->label, from, length);
}

/* The root directory's entry is what people see; the boot sector's copy is often stale or "NO NAME". */
static void find_label(struct block_device *volume, const struct fat_geometry *geometry, const uint8_t *sector,
                       struct filesystem_info *info)
{
    const uint8_t *boot_label = sector + (geometry->bits == 32 ? 71 : 43);
    uint8_t piece[PIECE];
    uint64_t offset, bytes;

    if (sector[geometry->bits == 32 ? 66 : 38] == 0x29 && memcmp(boot_label, "NO NAME    ", 11) != 0)
        set_label(info, boot_label);
    if (!root_place(geometry, &offset, &bytes))
        return;
    if (bytes > PIECE)
        bytes = PIECE;
    if (offset + bytes > block_device_bytes(volume) || block_read_bytes(volume, offset, piece, bytes, NULL))
        return;
    for (size_t at = 0; at + DIRECTORY_ENTRY <= bytes; at += DIRECTORY_ENTRY) {
        struct directory_entry entry = load_entry(piece + at, geometry->bits);

        if (entry.end)
            return;
        if (entry.used && (entry.attributes & 0x18) == ATTRIBUTE_VOLUME_ID) {
            set_label(info, piece + at);
            return;
        }
    }
}

/* fatgen103, "FSInfo sector": signatures at 0, 484 and 508, free clusters at 488. */
static bool fs_info_valid(const uint8_t *sector)
{
    return load_le32(sector) == 0x41615252 && load_le32(sector + 484) == 0x61417272 &&
           load_le32(sector + 508) == 0xaa550000;
}

static uint64_t used_by_own_count(struct block_device *volume, const struct fat_geometry *geometry)
{
    struct fat_scan scan;
    uint8_t sector[512];
    uint64_t where;

    if (geometry->bits != 32) { /* 128 KiB at the most */
        if (geometry->total_bytes > block_device_bytes(volume) || fat_scan(volume, geometry, NULL, &scan, &where))
            return UINT64_MAX;
        return geometry->data_offset + scan.used_clusters * geometry->cluster_bytes;
    }
    if (!geometry->fs_info_sector ||
        block_read_bytes(volume, (uint64_t)geometry->fs_info_sector * geometry->sector_bytes, sector, sizeof sector,
                         NULL) ||
        !fs_info_valid(sector) || load_le32(sector + 488) > geometry->cluster_count)
        return UINT64_MAX;
    return geometry->data_offset +
           (uint64_t)(geometry->cluster_count - load_le32(sector + 488)) * geometry->cluster_bytes;
}

static bool fat_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    struct fat_geometry geometry;
    uint32_t serial;

    if (head_size < 512 || !fat_parse(head, &geometry))
        return false;
    snprintf(info->type, sizeof info->type, "fat%u", geometry.bits);
    info->total_bytes = geometry.total_bytes;
    info->block_size = geometry.cluster_bytes;
    serial = load_le32(head + (geometry.bits == 32 ? 67 : 39));
    snprintf(info->uuid, sizeof info->uuid, "%04X-%04X", (unsigned)(serial >> 16), (unsigned)(serial & 0xffff));
    find_label(volume, &geometry, head, info);
    info->used_bytes = used_by_own_count(volume, &geometry);
    return true;
}

/* --- allocation --- */

struct fat_reader {
    struct block_device *volume;
    struct allocation *allocation;
    struct fat_geometry geometry;
    struct fat_scan scan;
};

static int read_geometry(struct fat_reader *reader)
{
    struct allocation *allocation = reader->allocation;
    uint8_t sector[512];
    int status = reader_read(reader->volume, allocation, 0, sector, sizeof sector, "boot sector");

    if (status)
        return status;
    if (!fat_parse(sector, &reader->geometry))
        return reader_doubt(allocation, MESSAGE_FS_DAMAGED, "boot sector", 0);
    status = reader_fits(reader->volume, allocation, reader->geometry.total_bytes);
    if (status)
        return status;
    if (reader->geometry.disputed)
        return reader_doubt(allocation, MESSAGE_FS_DAMAGED, "type in the boot sector", 54);
    return 0;
}

static int read_table(struct fat_reader *reader)
{
    const struct fat_geometry *geometry = &reader->geometry;
    struct allocation *allocation = reader->allocation;
    uint64_t where;
    int status = extent_list_add(&allocation->used, 0, geometry->data_offset);

    if (!status)
        status = volume_add_tail(&allocation->used, geometry->total_bytes, block_device_bytes(reader->volume));
    if (status)
        return status;
    status = fat_scan(reader->volume, geometry, &allocation->used, &reader->scan, &where);
    if (status == -ERROR_NO_MEMORY || status == -ERROR_CANCELLED)
        return status;
    if (status)
        return reader_doubt(allocation, MESSAGE_FS_READER_FAILED, "allocation table cannot be read", where);
    /* fatgen103: entry 0 holds the media byte, all other bits set. A table that was lost does not. */
    if ((reader->scan.first_entries[0] & 0xff) != geometry->media)
        return reader_doubt(allocation, MESSAGE_FS_DAMAGED, "allocation table", geometry->fat_offset);
    return 0;
}

/* fatgen103, "FAT data structure", entry 1; and the state byte that Windows NT and Linux keep in the boot sector. */
static void remark_state(struct fat_reader *reader)
{
    unsigned bits = reader->geometry.bits;
    uint32_t entry = reader->scan.first_entries[1];
    uint32_t clean = bits == 32 ? 0x08000000 : 0x8000, no_errors = bits == 32 ? 0x04000000 : 0x4000;
    bool dirty = reader->geometry.state & 1, errors = reader->geometry.state & 2;

    if (bits != 12) {
        dirty |= !(entry & clean);
        errors |= !(entry & no_errors);
    }
    dirty |= reader->geometry.mirrored && reader->scan.copies_differ;
    if (dirty)
        reader_remark(reader->allocation, MESSAGE_WARNING, MESSAGE_FS_NOT_CLEAN);
    if (errors)
        reader_remark(reader->allocation, MESSAGE_WARNING, MESSAGE_FS_HAS_ERRORS);
}

/* What the root directory's entries begin with must be in use, or the table was misread. */
static int audit_directory(struct fat_reader *reader, uint64_t offset, uint64_t bytes)
{
    const struct fat_geometry *geometry = &reader->geometry;
    uint8_t piece[PIECE];

    for (uint64_t done = 0; done < bytes; done += sizeof piece) {
        size_t size = bytes - done < sizeof piece ? (size_t)(bytes - done) : sizeof piece;
        int status = reader_read(reader->volume, reader->allocation, offset + done, piece, size, "root directory");

        if (status)
            return status;
        for (size_t at = 0; at + DIRECTORY_ENTRY <= size; at += DIRECTORY_ENTRY) {
            struct directory_entry entry = load_entry(piece + at, geometry->bits);

            if (entry.end)
                return 0;
            if (!entry.used || (entry.attributes & ATTRIBUTE_VOLUME_ID) || !entry.first_cluster)
                continue;
            if (!fat_cluster_valid(geometry, entry.first_cluster))
                return reader_doubt(reader->allocation, MESSAGE_FS_DAMAGED, "root directory", offset + done + at);
            status = reader_audit(reader->allocation, fat_cluster_offset(geometry, entry.first_cluster),
                                  geometry->cluster_bytes, "file in the root directory");
            if (status)
                return status;
        }
    }
    return 0;
}

static int audit(struct fat_reader *reader)
{
    const struct fat_geometry *geometry = &reader->geometry;
    uint64_t offset, bytes;
    int status = 0;

    if (!root_place(geometry, &offset, &bytes))
        return reader_doubt(reader->allocation, MESSAGE_FS_DAMAGED, "root directory's place", 44);
    if (geometry->bits == 32) {
        status = reader_audit(reader->allocation, offset, bytes, "root directory");
        if (!status && geometry->fs_info_sector)
            status = reader_audit(reader->allocation, (uint64_t)geometry->fs_info_sector * geometry->sector_bytes,
                                  geometry->sector_bytes, "FSInfo sector");
        if (!status && geometry->backup_sector)
            status = reader_audit(reader->allocation, (uint64_t)geometry->backup_sector * geometry->sector_bytes,
                                  geometry->sector_bytes, "backup boot sector");
    }
    return status ? status : audit_directory(reader, offset, bytes);
}

static int fat_read_allocation(struct block_device *volume, struct allocation *allocation)
{
    struct fat_reader reader = {.volume = volume, .allocation = allocation};
    int status = read_geometry(&reader);

    if (!status)
        status = read_table(&reader);
    if (!status)
        status = audit(&reader);
    if (!status)
        remark_state(&reader);
    return reader_finish(allocation, status);
}

const struct filesystem_driver fat_filesystem = {
    .name = "fat", .probe = fat_probe, .read_allocation = fat_read_allocation};
