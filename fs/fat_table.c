/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boot sector's geometry and the allocation table of FAT volumes: see fs/fat.h. */
#include "fs/fat.h"

#include <string.h>

/* fatgen103, "FAT type determination": the number of clusters decides. */
#define FAT12_CLUSTERS_MAX 4084
#define FAT16_CLUSTERS_MAX 65524
#define FAT32_CLUSTERS_MAX 0x0ffffff5

/* Policy: bytes of each copy that are read at once. A multiple of 3: FAT12 entries do not straddle pieces. */
#define PIECE_BYTES (768u * 1024)

/* fatgen103, "Boot Sector and BPB": the fields that every FAT has, with the values that they may have. */
static bool bpb_valid(const uint8_t *sector)
{
    uint32_t sector_bytes = load_le16(sector + 11);

    return (sector[0] == 0xeb || sector[0] == 0xe9) && sector[510] == 0x55 && sector[511] == 0xaa &&
           sector_bytes >= 512 && sector_bytes <= 4096 && reader_power_of_two(sector_bytes) &&
           reader_power_of_two(sector[13]) && load_le16(sector + 14) && sector[16] && sector[16] <= FAT_COPIES_MAX &&
           (sector[21] == 0xf0 || sector[21] >= 0xf8);
}

/* Fields from offset 36 on differ. Real drivers tell FAT32 by its 16-bit table size of 0, whatever the number of clusters. */
static void load_fat32(const uint8_t *sector, struct fat_geometry *geometry)
{
    uint32_t flags = load_le16(sector + 40), info = load_le16(sector + 48), backup = load_le16(sector + 50);

    geometry->mirrored = !(flags & 0x80);
    geometry->root_cluster = load_le32(sector + 44);
    geometry->fs_info_sector = info == 0xffff ? 0 : info;
    geometry->backup_sector = backup == 0xffff ? 0 : backup;
    geometry->state = sector[65];
    geometry->bits = 32;
}

bool fat_parse(const uint8_t *sector, struct fat_geometry *geometry)
{
    uint64_t total, fat_sectors, metadata, clusters;

    memset(geometry, 0, sizeof *geometry);
    if (!bpb_valid(sector))
        return false;
    geometry->sector_bytes = load_le16(sector + 11);
    geometry->cluster_bytes = geometry->sector_bytes * sector[13];
    geometry->reserved_sectors = load_le16(sector + 14);
    geometry->fat_copies = sector[16];
    geometry->root_entries = load_le16(sector + 17);
    geometry->media = sector[21];
    geometry->mirrored = true;
    total = load_le16(sector + 19) ? load_le16(sector + 19) : load_le32(sector + 32);
    fat_sectors = load_le16(sector + 22);
    if (!fat_sectors) {
        fat_sectors = load_le32(sector + 36);
        load_fat32(sector, geometry);
        if (geometry->root_entries)
            return false;
    } else if (!geometry->root_entries) {
        return false;
    } else {
        geometry->state = sector[37];
    }
    metadata = geometry->reserved_sectors + geometry->fat_copies * fat_sectors +
               (geometry->root_entries * 32u + geometry->sector_bytes - 1) / geometry->sector_bytes;
    if (!fat_sectors || total <= metadata)
        return false;
    clusters = (total - metadata) / sector[13];
    if (!geometry->bits) {
        geometry->bits = clusters <= FAT12_CLUSTERS_MAX ? 12 : 16;
        geometry->disputed = memcmp(sector + 54, geometry->bits == 12 ? "FAT16   " : "FAT12   ", 8) == 0;
    }
    if (!clusters || clusters > (geometry->bits == 32 ? FAT32_CLUSTERS_MAX : FAT16_CLUSTERS_MAX))
        return false;
    geometry->cluster_count = (uint32_t)clusters;
    geometry->fat_offset = (uint64_t)geometry->reserved_sectors * geometry->sector_bytes;
    geometry->fat_bytes = fat_sectors * geometry->sector_bytes;
    geometry->root_offset = geometry->fat_offset + geometry->fat_copies * geometry->fat_bytes;
    geometry->data_offset = metadata * geometry->sector_bytes;
    geometry->total_bytes = total * geometry->sector_bytes;
    return geometry->fat_bytes * 8 >= (clusters + 2) * geometry->bits;
}

static uint32_t entry_of(const uint8_t *piece, unsigned bits, uint32_t index)
{
    uint32_t pair;

    if (bits == 32)
        return load_le32(piece + 4 * (size_t)index) & 0x0fffffff;
    if (bits == 16)
        return load_le16(piece + 2 * (size_t)index);
    pair = load_le16(piece + index + index / 2);
    return index & 1 ? pair >> 4 : pair & 0xfff;
}

static uint32_t bad_mark(unsigned bits)
{
    return bits == 32 ? 0x0ffffff7 : bits == 16 ? 0xfff7 : 0xff7;
}

struct scan_buffers {
    uint8_t *first, *other; /* a piece of the first copy, and of another one */
    uint8_t *in_use;        /* a byte for each entry of the piece */
};

/* Runs of used clusters on their way into the list. */
struct run {
    struct extent_list *used;
    const struct fat_geometry *geometry;
    uint32_t first, count;
};

static int run_end(struct run *run)
{
    int status = 0;

    if (run->count && run->used)
        status = extent_list_add(run->used, fat_cluster_offset(run->geometry, run->first),
                                 (uint64_t)run->count * run->geometry->cluster_bytes);
    run->count = 0;
    return status;
}

static int run_take(struct run *run, uint32_t cluster, bool used)
{
    if (!used)
        return run->count ? run_end(run) : 0;
    if (!run->count)
        run->first = cluster;
    run->count++;
    return 0;
}

/*
 * Reads one piece of every copy; in_use[i] tells whether any copy has a use for entry i. The first copy's bytes
 * stay in buffers->first.
 */
static int read_pieces(struct block_device *volume, const struct fat_geometry *geometry, uint64_t offset, size_t size,
                       struct scan_buffers *buffers, struct fat_scan *scan, uint64_t *where)
{
    uint32_t count = (uint32_t)(size * 8 / geometry->bits), bad = bad_mark(geometry->bits);

    memset(buffers->in_use, 0, count);
    for (unsigned copy = 0; copy < geometry->fat_copies; copy++) {
        uint8_t *piece = copy ? buffers->other : buffers->first;
        int status;

        *where = geometry->fat_offset + copy * geometry->fat_bytes + offset;
        status = block_read_bytes(volume, *where, piece, size, NULL);
        if (status)
            return status;
        if (copy && memcmp(buffers->first, buffers->other, size) == 0)
            continue;
        scan->copies_differ |= copy != 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t entry = entry_of(piece, geometry->bits, i);

            buffers->in_use[i] |= entry && entry != bad;
        }
    }
    return 0;
}

static int scan_all(struct block_device *volume, const struct fat_geometry *geometry, uint32_t per_piece,
                    struct scan_buffers *buffers, struct extent_list *used, struct fat_scan *scan, uint64_t *where)
{
    struct run run = {used, geometry, 0, 0};
    uint32_t entries = geometry->cluster_count + 2;

    for (uint32_t first = 0; first < entries; first += per_piece) {
        uint32_t count = entries - first < per_piece ? entries - first : per_piece;
        size_t size = ((size_t)count * geometry->bits + 7) / 8;
        int status = read_pieces(volume, geometry, (uint64_t)first * geometry->bits / 8, size, buffers, scan, where);

        for (uint32_t i = 0; !status && i < count; i++) {
            if (first + i < 2) {
                scan->first_entries[first + i] = entry_of(buffers->first, geometry->bits, i);
                continue;
            }
            scan->used_clusters += buffers->in_use[i];
            status = run_take(&run, first + i, buffers->in_use[i]);
        }
        if (status)
            return status;
    }
    return run_end(&run);
}

int fat_scan(struct block_device *volume, const struct fat_geometry *geometry, struct extent_list *used,
             struct fat_scan *scan, uint64_t *where)
{
    struct reader_memory memory;
    struct scan_buffers buffers;
    uint32_t entries = geometry->cluster_count + 2, per_piece = PIECE_BYTES * 8 / geometry->bits;
    size_t piece;
    int status;

    memset(scan, 0, sizeof *scan);
    *where = geometry->fat_offset;
    if (per_piece > entries)
        per_piece = entries;
    piece = ((size_t)per_piece * geometry->bits + 7) / 8;
    status = reader_memory_take(&memory, volume->loop->platform, 2 * piece + per_piece);
    if (status)
        return status;
    buffers = (struct scan_buffers){memory.data, memory.data + piece, memory.data + 2 * piece};
    status = scan_all(volume, geometry, per_piece, &buffers, used, scan, where);
    reader_memory_give_back(&memory);
    return status;
}
