/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exFAT: who is it, and which bytes are in use. Microsoft's "exFAT file system specification" (sections are its own).
 *
 * In use are: everything in front of the cluster heap (both boot regions, the FATs), and the clusters whose bit is set in the
 * allocation bitmap, or in either bitmap of a TexFAT volume. The bitmap is found through the root directory; root directory
 * and bitmap are chains in the FAT. Anything that does not fit: copied whole.
 */
#include "fs/exfat.h"
#include "fs/drivers.h"
#include "fs/reader.h"

#include <stdio.h>
#include <string.h>

#define ENTRY_BYTES 32
#define ENTRY_BITMAP 0x81
#define ENTRY_UP_CASE 0x82
#define ENTRY_LABEL 0x83
#define ENTRY_FILE 0x85
#define FAT_END 0xffffffffu
#define FLAG_SECOND_FAT 1
#define FLAG_DIRTY 2
#define FLAG_MEDIA_FAILURE 4
#define BOOT_SECTORS 12 /* of one boot region, section 2.1 */
#define PIECE 4096
#define BITMAP_PIECE (256u * 1024)
#define BITMAPS_MAX 2
#define DIRECTORY_BYTES_MAX (256ull * 1024 * 1024) /* section 6.1 */

struct exfat_geometry {
    uint32_t sector_bytes, cluster_count, root_cluster, fat_count;
    uint64_t cluster_bytes, fat_offset, fat_bytes, heap_offset, total_bytes;
    uint16_t flags;
    uint8_t percent_in_use;
};

/* Section 3.1. False: not exFAT, or not one that anybody could mount. */
static bool parse(const uint8_t *sector, struct exfat_geometry *geometry)
{
    unsigned sector_shift = sector[108], cluster_shift = sector[109];
    uint64_t total = load_le64(sector + 72), heap_sectors;

    memset(geometry, 0, sizeof *geometry);
    if (memcmp(sector + 3, "EXFAT   ", 8) != 0 || !bytes_are_zero(sector + 11, 53) || sector[510] != 0x55 ||
        sector[511] != 0xaa || sector_shift < 9 || sector_shift > 12 || cluster_shift > 25 - sector_shift ||
        sector[105] != 1 || sector[110] < 1 || sector[110] > 2 || total > UINT64_MAX >> 12)
        return false;
    geometry->sector_bytes = 1u << sector_shift;
    geometry->cluster_bytes = (uint64_t)geometry->sector_bytes << cluster_shift;
    geometry->cluster_count = load_le32(sector + 92);
    geometry->root_cluster = load_le32(sector + 96);
    geometry->fat_count = sector[110];
    geometry->fat_offset = (uint64_t)load_le32(sector + 80) << sector_shift;
    geometry->fat_bytes = (uint64_t)load_le32(sector + 84) << sector_shift;
    geometry->heap_offset = (uint64_t)load_le32(sector + 88) << sector_shift;
    geometry->total_bytes = total << sector_shift;
    geometry->flags = load_le16(sector + 106);
    geometry->percent_in_use = sector[112];
    heap_sectors = (uint64_t)geometry->cluster_count << cluster_shift;
    return geometry->cluster_count && geometry->cluster_count <= 0xfffffff5 &&
           geometry->fat_offset >= 2u * BOOT_SECTORS * geometry->sector_bytes &&
           geometry->fat_bytes / 4 >= (uint64_t)geometry->cluster_count + 2 &&
           geometry->heap_offset >= geometry->fat_offset + geometry->fat_count * geometry->fat_bytes &&
           (geometry->heap_offset >> sector_shift) + heap_sectors <= total;
}

static bool cluster_valid(const struct exfat_geometry *geometry, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < geometry->cluster_count;
}

static uint64_t cluster_offset(const struct exfat_geometry *geometry, uint32_t cluster)
{
    return geometry->heap_offset + (cluster - 2) * geometry->cluster_bytes;
}

/* --- recognition --- */

static void find_label(struct block_device *volume, const struct exfat_geometry *geometry, struct filesystem_info *info)
{
    uint8_t piece[PIECE];
    size_t size = geometry->cluster_bytes < PIECE ? (size_t)geometry->cluster_bytes : PIECE;

    if (!cluster_valid(geometry, geometry->root_cluster) || geometry->total_bytes > block_device_bytes(volume) ||
        block_read_bytes(volume, cluster_offset(geometry, geometry->root_cluster), piece, size, NULL))
        return;
    for (size_t at = 0; at + ENTRY_BYTES <= size && piece[at]; at += ENTRY_BYTES)
        if (piece[at] == ENTRY_LABEL && piece[at + 1] <= 11)
            volume_utf16_text(info->label, sizeof info->label, piece + at + 2, piece[at + 1]);
}

static bool exfat_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                        struct filesystem_info *info)
{
    struct exfat_geometry geometry;

    if (head_size < 512 || !parse(head, &geometry))
        return false;
    snprintf(info->type, sizeof info->type, "exfat");
    snprintf(info->uuid, sizeof info->uuid, "%04X-%04X", load_le16(head + 102), load_le16(head + 100));
    info->total_bytes = geometry.total_bytes;
    info->block_size = (uint32_t)geometry.cluster_bytes;
    if (geometry.percent_in_use <= 100) /* section 3.1.18: whole per cents, rounded down; 0xff: unknown */
        info->used_bytes =
            geometry.heap_offset + geometry.cluster_count * geometry.cluster_bytes / 100 * geometry.percent_in_use;
    find_label(volume, &geometry, info);
    return true;
}

/* --- allocation --- */

struct exfat_bitmap {
    uint32_t first_cluster;
    uint64_t bytes;
};

struct exfat_reader {
    struct block_device *volume;
    struct allocation *allocation;
    struct exfat_geometry geometry;
    uint64_t fat; /* of the active one */
    uint64_t window_offset;
    uint8_t window[PIECE]; /* of the active FAT */
    bool window_valid;
    unsigned bitmap_count;
    struct exfat_bitmap bitmaps[BITMAPS_MAX];
    uint32_t up_case_cluster;
    uint64_t up_case_bytes;
};

static int damaged(struct exfat_reader *reader, const char *what, uint64_t where)
{
    return reader_doubt(reader->allocation, MESSAGE_FS_DAMAGED, what, where);
}

/* Section 3.4: over the first eleven sectors, without VolumeFlags and PercentInUse, repeated through the twelfth. */
static int check_boot_region(struct exfat_reader *reader)
{
    uint32_t size = reader->geometry.sector_bytes, sum = 0;
    uint8_t sector[PIECE];

    for (unsigned number = 0; number < BOOT_SECTORS; number++) {
        int status =
            reader_read(reader->volume, reader->allocation, (uint64_t)number * size, sector, size, "boot region");
        if (status)
            return status;
        for (uint32_t i = 0; number < BOOT_SECTORS - 1 && i < size; i++)
            if (number || (i != 106 && i != 107 && i != 112))
                sum = (sum << 31 | sum >> 1) + sector[i];
    }
    for (uint32_t i = 0; i < size; i += 4)
        if (load_le32(sector + i) != sum)
            return damaged(reader, "checksum of the boot region", (uint64_t)(BOOT_SECTORS - 1) * size);
    return 0;
}

static int read_geometry(struct exfat_reader *reader)
{
    struct allocation *allocation = reader->allocation;
    uint8_t sector[512];
    int status = reader_read(reader->volume, allocation, 0, sector, sizeof sector, "boot sector");

    if (status)
        return status;
    if (!parse(sector, &reader->geometry))
        return damaged(reader, "boot sector", 0);
    status = reader_fits(reader->volume, allocation, reader->geometry.total_bytes);
    if (status)
        return status;
    if ((reader->geometry.flags & FLAG_SECOND_FAT) && reader->geometry.fat_count != 2)
        return damaged(reader, "active FAT", 106);
    reader->fat = reader->geometry.fat_offset;
    if (reader->geometry.flags & FLAG_SECOND_FAT)
        reader->fat += reader->geometry.fat_bytes;
    return check_boot_region(reader);
}

/* The entry of a valid cluster, through a window of the FAT. The window ends where the FAT does. */
static int fat_entry(struct exfat_reader *reader, uint32_t cluster, uint32_t *next)
{
    uint64_t at = 4 * (uint64_t)cluster, offset = at / PIECE * PIECE;
    uint64_t left = reader->geometry.fat_bytes - offset;

    if (!reader->window_valid || reader->window_offset != offset) {
        int status = reader_read(reader->volume, reader->allocation, reader->fat + offset, reader->window,
                                 left < PIECE ? (size_t)left : PIECE, "FAT");
        if (status)
            return status;
        reader->window_offset = offset;
        reader->window_valid = true;
    }
    *next = load_le32(reader->window + (at - offset));
    return 0;
}

/* Follows a chain one step. `steps` counts them: a chain cannot have more clusters than there are. */
static int next_cluster(struct exfat_reader *reader, uint32_t *cluster, uint32_t *steps, const char *what)
{
    uint32_t next;
    int status = fat_entry(reader, *cluster, &next);

    if (status)
        return status;
    if (++*steps > reader->geometry.cluster_count || (next != FAT_END && !cluster_valid(&reader->geometry, next)))
        return damaged(reader, what, reader->fat + 4 * (uint64_t)*cluster);
    *cluster = next;
    return 0;
}

static int take_entry(struct exfat_reader *reader, const uint8_t *entry, uint64_t where)
{
    char text[MESSAGE_TEXT_MAX];

    switch (entry[0]) {
    case ENTRY_BITMAP: /* section 7.1 */
        if (reader->bitmap_count == reader->geometry.fat_count)
            return damaged(reader, "a bitmap too many", where);
        reader->bitmaps[reader->bitmap_count++] = (struct exfat_bitmap){load_le32(entry + 20), load_le64(entry + 24)};
        return 0;
    case ENTRY_UP_CASE: /* section 7.2 */
        reader->up_case_cluster = load_le32(entry + 20);
        reader->up_case_bytes = load_le64(entry + 24);
        return 0;
    case ENTRY_LABEL:
    case ENTRY_FILE:
        return 0;
    default:
        break;
    }
    /* Section 6.2.1: in use (0x80), critical (0x20 clear), primary (0x40 clear), and of no type that is known here. */
    if ((entry[0] & 0xe0) == 0x80) {
        snprintf(text, sizeof text, "directory entry type %#x", entry[0]);
        return reader_doubt(reader->allocation, MESSAGE_FS_UNKNOWN_FEATURE, text, where);
    }
    return 0;
}

/* One cluster of the root directory; *end when its last entry was met. */
static int read_root_cluster(struct exfat_reader *reader, uint32_t cluster, bool *end)
{
    uint64_t offset = cluster_offset(&reader->geometry, cluster), bytes = reader->geometry.cluster_bytes;
    uint8_t piece[PIECE];

    for (uint64_t done = 0; done < bytes; done += PIECE) {
        size_t size = bytes - done < PIECE ? (size_t)(bytes - done) : PIECE;
        int status = reader_read(reader->volume, reader->allocation, offset + done, piece, size, "root directory");

        if (status)
            return status;
        for (size_t at = 0; at < size; at += ENTRY_BYTES) {
            if (!piece[at]) {
                *end = true;
                return 0;
            }
            status = take_entry(reader, piece + at, offset + done + at);
            if (status)
                return status;
        }
    }
    return 0;
}

static int read_root(struct exfat_reader *reader)
{
    uint32_t cluster = reader->geometry.root_cluster, steps = 0;
    bool end = false;
    int status;

    if (!cluster_valid(&reader->geometry, cluster))
        return damaged(reader, "root directory's place", 96);
    while (!end && cluster != FAT_END) {
        status = read_root_cluster(reader, cluster, &end);
        if (!status && !end)
            status = next_cluster(reader, &cluster, &steps, "root directory's chain");
        if (status)
            return status;
        if (steps * reader->geometry.cluster_bytes > DIRECTORY_BYTES_MAX)
            return damaged(reader, "root directory's size", 96);
    }
    if (reader->bitmap_count != reader->geometry.fat_count)
        return damaged(reader, "no allocation bitmap",
                       cluster_offset(&reader->geometry, reader->geometry.root_cluster));
    for (unsigned i = 0; i < reader->bitmap_count; i++)
        if (!cluster_valid(&reader->geometry, reader->bitmaps[i].first_cluster) ||
            reader->bitmaps[i].bytes < ((uint64_t)reader->geometry.cluster_count + 7) / 8)
            return damaged(reader, "allocation bitmap's place", 0);
    return 0;
}

/* Bits [first, first + 8 * size) of a bitmap; those behind the last cluster mean nothing. */
static int add_bits(struct exfat_reader *reader, const uint8_t *bits, uint64_t first, size_t size)
{
    const struct exfat_geometry *geometry = &reader->geometry;
    uint64_t count = geometry->cluster_count - first;

    if (count > 8 * (uint64_t)size)
        count = 8 * (uint64_t)size;
    return volume_add_bitmap(&reader->allocation->used, bits, count,
                             geometry->heap_offset + first * geometry->cluster_bytes, geometry->cluster_bytes,
                             geometry->total_bytes, NULL);
}

/* Reads a bitmap along its chain, neighbouring clusters together. `buffer` has BITMAP_PIECE bytes. */
static int read_bitmap(struct exfat_reader *reader, const struct exfat_bitmap *bitmap, uint8_t *buffer)
{
    const struct exfat_geometry *geometry = &reader->geometry;
    uint64_t bytes = ((uint64_t)geometry->cluster_count + 7) / 8, done = 0;
    uint32_t cluster = bitmap->first_cluster, steps = 0;

    while (done < bytes) {
        uint64_t start = cluster_offset(geometry, cluster), run = geometry->cluster_bytes;
        uint32_t last = cluster;
        int status;

        for (;;) { /* how far it goes without a jump */
            status = done + run < bytes ? next_cluster(reader, &cluster, &steps, "allocation bitmap's chain") : 0;
            if (status)
                return status;
            if (done + run >= bytes || cluster != last + 1)
                break;
            last = cluster;
            run += geometry->cluster_bytes;
        }
        if (run > bytes - done)
            run = bytes - done;
        for (uint64_t at = 0; at < run; at += BITMAP_PIECE) {
            size_t size = run - at < BITMAP_PIECE ? (size_t)(run - at) : BITMAP_PIECE;

            status = reader_read(reader->volume, reader->allocation, start + at, buffer, size, "allocation bitmap");
            if (!status)
                status = add_bits(reader, buffer, 8 * (done + at), size);
            if (status)
                return status;
        }
        done += run;
        if (done < bytes && cluster == FAT_END)
            return damaged(reader, "allocation bitmap is too short", start);
    }
    return 0;
}

static int read_bitmaps(struct exfat_reader *reader)
{
    struct allocation *allocation = reader->allocation;
    struct reader_memory memory;
    int status = extent_list_add(&allocation->used, 0, reader->geometry.heap_offset);

    if (!status)
        status = volume_add_tail(&allocation->used, reader->geometry.total_bytes, block_device_bytes(reader->volume));
    if (!status)
        status = reader_memory_take(&memory, reader->volume->loop->platform, BITMAP_PIECE);
    if (status)
        return status;
    for (unsigned i = 0; !status && i < reader->bitmap_count; i++)
        status = read_bitmap(reader, &reader->bitmaps[i], memory.data);
    reader_memory_give_back(&memory);
    return status;
}

/* Every cluster of a chain that holds `bytes` must have been found in use. */
static int audit_chain(struct exfat_reader *reader, uint32_t cluster, uint64_t bytes, const char *what)
{
    uint32_t steps = 0;

    if (!cluster_valid(&reader->geometry, cluster))
        return damaged(reader, what, 0);
    for (uint64_t done = 0; done < bytes && cluster != FAT_END; done += reader->geometry.cluster_bytes) {
        int status = reader_audit(reader->allocation, cluster_offset(&reader->geometry, cluster),
                                  reader->geometry.cluster_bytes, what);
        if (!status)
            status = next_cluster(reader, &cluster, &steps, what);
        if (status)
            return status;
    }
    return 0;
}

static int audit(struct exfat_reader *reader)
{
    int status = audit_chain(reader, reader->geometry.root_cluster, DIRECTORY_BYTES_MAX, "root directory");

    for (unsigned i = 0; !status && i < reader->bitmap_count; i++)
        status = audit_chain(reader, reader->bitmaps[i].first_cluster, reader->bitmaps[i].bytes, "allocation bitmap");
    if (!status)
        status = audit_chain(reader, reader->up_case_cluster, reader->up_case_bytes, "up-case table");
    return status;
}

static int exfat_read_allocation(struct block_device *volume, struct allocation *allocation)
{
    struct exfat_reader reader = {.volume = volume, .allocation = allocation};
    int status = read_geometry(&reader);

    if (!status)
        status = read_root(&reader);
    if (!status)
        status = read_bitmaps(&reader);
    if (!status)
        status = audit(&reader);
    if (!status && (reader.geometry.flags & FLAG_DIRTY))
        reader_remark(allocation, MESSAGE_WARNING, MESSAGE_FS_NOT_CLEAN);
    if (!status && (reader.geometry.flags & FLAG_MEDIA_FAILURE))
        reader_remark(allocation, MESSAGE_WARNING, MESSAGE_FS_HAS_ERRORS);
    return reader_finish(allocation, status);
}

const struct filesystem_driver exfat_filesystem = {
    .name = "exfat",
    .probe = exfat_probe,
    .read_allocation = exfat_read_allocation,
    .open_store = exfat_open_store,
    .read_space = exfat_look,
    .list_files = exfat_list_files,
};
