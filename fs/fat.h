/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FAT12, FAT16, FAT32: geometry and the allocation table, shared by the recogniser and the reader.
 *
 * "Microsoft Extensible Firmware Initiative FAT32 File System Specification" 1.03 (called fatgen103 below).
 */
#ifndef FS_FAT_H
#define FS_FAT_H

#include "fs/reader.h"

#define FAT_COPIES_MAX 4

/* From the boot sector. Offsets and sizes in bytes from the volume's start. */
struct fat_geometry {
    unsigned bits; /* of an entry: 12, 16, 32 */
    uint32_t sector_bytes, cluster_bytes;
    uint32_t cluster_count;         /* numbered from 2 */
    uint64_t fat_offset, fat_bytes; /* of one copy */
    unsigned fat_copies;
    uint64_t root_offset;                                     /* FAT12, FAT16: the root directory's fixed place */
    uint32_t root_entries;                                    /* FAT12, FAT16 */
    uint32_t root_cluster;                                    /* FAT32 */
    uint32_t reserved_sectors, fs_info_sector, backup_sector; /* FAT32; 0: none */
    bool mirrored;                                            /* all copies are kept alike */
    uint64_t data_offset, total_bytes;
    uint8_t media, state; /* state: bit 0 mounted, bit 1 errors (Windows NT and Linux) */
    bool disputed;        /* the boot sector's own name for the type does not fit the number of clusters */
};

/* False when this is no FAT boot sector. `sector` has 512 bytes. */
bool fat_parse(const uint8_t *sector, struct fat_geometry *geometry);

static inline uint64_t fat_cluster_offset(const struct fat_geometry *geometry, uint32_t cluster)
{
    return geometry->data_offset + (uint64_t)(cluster - 2) * geometry->cluster_bytes;
}

static inline bool fat_cluster_valid(const struct fat_geometry *geometry, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < geometry->cluster_count;
}

/* What a scan of the allocation table found. */
struct fat_scan {
    uint64_t used_clusters;
    bool copies_differ;
    uint32_t first_entries[2]; /* entries 0 and 1 of the active copy */
};

/*
 * Reads all copies of the table from beginning to end. A cluster counts as used when any copy says so; clusters that are marked bad
 * everywhere hold nothing. `used` NULL: only counts. 0 or a negative error, the offset in *where.
 */
int fat_scan(struct block_device *volume, const struct fat_geometry *geometry, struct extent_list *used,
             struct fat_scan *scan, uint64_t *where);

#endif
