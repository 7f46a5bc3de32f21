/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files on exFAT volumes through libexfat: what the device below it (exfat_device.c), the allocation of clusters
 * (exfat_alloc.c), the audit of volumes that were not ejected (exfat_audit.c) and the store (exfat_store.c) share. "exFAT file system specification", Microsoft; sections are its own.
 *
 * The library mounts, finds, creates and describes; it is not asked to allocate what a file holds: it would do so one cluster
 * and one FAT entry at a time. Clusters are numbered as in the FAT, from 2.
 */
#ifndef FS_EXFAT_H
#define FS_EXFAT_H

#include "fs/volume.h"

#include <exfat/exfat.h>

#define EXFAT_PAGES 16
#define EXFAT_PAGE_BYTES (16u * 1024)

/* A piece of the volume as last read or written, for the library asks for four or 32 bytes at a time. */
struct exfat_page {
    bool valid;
    uint64_t offset; /* bytes, a multiple of EXFAT_PAGE_BYTES */
    size_t size;     /* less than a page at the volume's end */
    uint8_t bytes[EXFAT_PAGE_BYTES];
};

/*
 * A volume as the library's device. Reads are counted down, so that no volume that lies keeps it busy for ever; whoever begins
 * something sets the numbers again (exfat_begin_work).
 */
struct exfat_dev {
    struct volume_io *io;
    uint64_t reads_left, pages_left;
    struct exfat_page pages[EXFAT_PAGES]; /* each page of the volume has one place */
};

/* What an audit found on a volume that is sound; memory of the fiber's arena. */
struct exfat_audit {
    bitmap_t *lost; /* clusters that the bitmap says are in use and nothing refers to; bit 0 is cluster 2 */
    uint32_t lost_clusters;
    uint32_t loose_end; /* where a file ends and its chain in the FAT goes on; 0: nowhere */
    const char *why;    /* not sound: a clause for a person */
};

struct exfat_volume {
    struct volume_io *io;
    struct exfat_dev device;
    struct exfat exfat;
    uint32_t bitmap_cluster; /* where the bitmap was when mounted: a folder that names another one is a lie */
    uint32_t free_clusters;
    uint32_t changed_from, changed_to; /* bits of the bitmap that differ from the disk's; from == to: none */
    bool unordered;                    /* bitmap or FAT were written, and no flush came since */
    bool changed;                      /* our dirty flag is on the disk */
    bool failed;                       /* and stays there */
    bool was_dirty;                    /* it was there before us */
    bool only_reopen;                  /* nothing is created or removed before a file was opened again */
    struct exfat_audit audit;          /* was_dirty, and mounted for writing */
};

/* Clusters that follow each other, on the volume as in the file. */
struct exfat_run {
    uint32_t first, count;
};

/* Where a file lies. Zeroed is empty. Memory of the fiber's arena. */
struct exfat_map {
    struct exfat_run *runs;
    size_t run_count, run_room;
    uint64_t clusters; /* in all runs */
    bool chained;      /* the FAT says so as well; otherwise it is one run (NoFatChain, section 6.3.4.2) */
};

void exfat_begin_work(struct exfat_dev *device);
/* The same for an audit, which reads all folders and the chain of each file in pieces. */
void exfat_begin_audit(struct exfat_dev *device);

static inline uint64_t exfat_cluster_bytes(const struct exfat_volume *volume)
{
    return (uint64_t)1 << (volume->exfat.sb->sector_bits + volume->exfat.sb->spc_bits);
}

/* --- clusters (exfat_alloc.c); all return 0 or a negative errno, as the library does --- */

/* Counts what is free. Call it after the library allocated or freed something. */
void exfat_count_free(struct exfat_volume *volume);
/* Refuses a volume whose bitmap is not where it is taken to be, or calls what holds the volume together free. */
int exfat_check_bitmap(struct exfat_volume *volume);
/* Where an existing file lies. */
int exfat_map_node(struct exfat_volume *volume, const struct exfat_node *node, struct exfat_map *map);
void exfat_map_free(struct exfat_map *map);
/* Whether the bitmap says so as well. */
bool exfat_map_allocated(const struct exfat_volume *volume, const struct exfat_map *map);
/* Makes a file at least so many clusters long, and somewhat longer where that costs nothing. -ENOSPC leaves it as it was or longer. */
int exfat_map_grow(struct exfat_volume *volume, struct exfat_map *map, uint64_t clusters);
/* Gives back what is behind the first `clusters`. */
int exfat_map_cut(struct exfat_volume *volume, struct exfat_map *map, uint64_t clusters);
/* The place of a cluster of the file and how many bytes follow each other from there. The cluster must be in the map. */
uint64_t exfat_map_find(const struct exfat_volume *volume, const struct exfat_map *map, uint64_t cluster,
                        uint64_t *bytes);
/* A file takes lost clusters back that follow its end. They stay in the bitmap; the audit no longer calls them lost. */
int exfat_map_adopt(struct exfat_volume *volume, struct exfat_map *map, struct exfat_audit *audit);
/* The cluster becomes the last one of its chain. */
int exfat_end_chain(struct exfat_volume *volume, uint32_t cluster);
/* Writes what changed of the bitmap; when that or the FAT was written since the last time, it is durable on return. */
int exfat_flush_clusters(struct exfat_volume *volume);

/* --- volumes that were not ejected (exfat_audit.c) --- */

/*
 * Is a volume that carries the dirty flag sound enough to be written to? The flag says that somebody was cut off in the middle of a
 * change: entries, FAT and bitmap may contradict each other, and a cluster that is handed out may be another file's. So everything
 * that refers to clusters is looked at: all entry sets with their checksums, each chain or run to its end. Sound is a volume on which
 *   - every cluster belongs to at most one owner, lies in the heap, and is in use by the bitmap;
 *   - every chain is as long as its entry says and ends there, except one file's at the most, which may go on: so it is when a
 *     file that grew was cut off between the FAT and its entry. Its end is to be written before anything else;
 *   - there is nothing, of no type, that this code does not know.
 * Clusters that are in use and belong to nobody are what a cut leaves of room that was claimed. They are harmless, and not freed
 * here: a checker does that.
 *
 * Policy: this opens a volume for one thing, to go on with an image that is there (with its further volumes). It was written here,
 * by code that keeps the order that the exception above relies on, and it is worth hours. A new image can go elsewhere, or
 * wait for Windows or fsck.exfat.
 *
 * Reads only; memory: one bit for a cluster. Ends by itself, because no cluster is visited twice, and after two minutes at the
 * latest. 0: sound. A negative errno: -EUCLEAN it is not (audit->why says it), -ETIMEDOUT there was no time to find out, -ECANCELED,
 * and what reading gives.
 */
int exfat_audit_volume(struct exfat_volume *volume, struct exfat_audit *audit);

/* Stream store over a volume; see core/filesystem.h. */
int exfat_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                     struct error *error);
/* The other operations on its files. */
int exfat_look(struct block_device *volume, struct filesystem_space *space, struct error *error);
int exfat_list_files(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                     struct error *error);

#endif
