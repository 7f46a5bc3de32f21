/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The audit of an exFAT volume that was not ejected: see fs/exfat.h. Sections are the specification's.
 *
 * Folders are gone through depth first, an entry at a time; where each one stands is kept on a stack. A folder that contains
 * itself is a cluster with two owners, and ends it.
 */
#include "fs/exfat.h"

#include "core/bytes.h"
#include "core/library.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 128                              /* policy: folders within folders */
#define AUDIT_LIMIT (120 * NANOSECONDS_PER_SECOND) /* policy */
#define READS_BETWEEN_LOOKS 1024                   /* at the clock and at the person */
#define FOLDER_BYTES_MAX (256ull * 1024 * 1024)    /* section 7.4 */
#define WORD_BITS 64

#define ENTRY_BYTES 32
#define ENTRY_IN_USE 0x80 /* section 6.2.1.4 */
#define ENTRY_KIND 0xe0   /* in use, secondary, benign */
#define ENTRY_BENIGN_SECONDARY 0xe0
#define ENTRY_BITMAP 0x81
#define ENTRY_UP_CASE 0x82
#define ENTRY_LABEL 0x83
#define ENTRY_FILE 0x85
#define ENTRY_GUID 0xa0
#define ENTRY_STREAM 0xc0
#define ENTRY_NAME 0xc1
#define NAME_UNITS 15        /* of one name entry, section 7.7.3 */
#define FLAG_HAS_CLUSTERS 1  /* AllocationPossible, section 6.3.4.1 */
#define FLAG_NO_FAT_CHAIN 2  /* section 6.3.4.2 */
#define BITMAP_FLAG_SECOND 1 /* section 7.1.2.1 */

struct folder {
    uint64_t offset, size; /* bytes: of the next entry, and of all of it */
    uint32_t cluster;      /* where offset is */
    bool contiguous;
    bool ended; /* its last entry was met: the others are of the same kind (section 6.2.1.1) */
};

struct auditor {
    struct exfat_volume *volume;
    struct exfat_audit *audit;
    bitmap_t *seen; /* clusters that have an owner */
    uint64_t deadline;
    unsigned reads, bitmaps, up_cases;
    unsigned depth;
    struct folder folders[DEPTH_MAX];
};

/* What an entry says of the clusters that it owns; the same place in all kinds (sections 6.3 and 6.4). */
struct allocated {
    uint32_t cluster;
    uint64_t bytes;
    bool contiguous;
};

static int unsound(struct auditor *auditor, const char *why)
{
    auditor->audit->why = why;
    return -EUCLEAN;
}

static int read_bytes(struct auditor *auditor, void *bytes, size_t size, uint64_t offset)
{
    struct exfat_volume *volume = auditor->volume;
    struct platform *platform = volume->io->device->loop->platform;

    if (++auditor->reads % READS_BETWEEN_LOOKS == 0) {
        if (platform_now(platform) >= auditor->deadline)
            return -ETIMEDOUT;
        if (platform->ops->cancel_requested && platform->ops->cancel_requested(platform))
            return -ECANCELED;
    }
    if (exfat_pread(&volume->device, bytes, size, (off_t)offset) >= 0)
        return 0;
    return volume->device.pages_left ? -EIO : -ETIMEDOUT;
}

/* --- clusters --- */

static int next_cluster(struct auditor *auditor, uint32_t cluster, uint32_t *next)
{
    const struct exfat_super_block *super = auditor->volume->exfat.sb;
    uint64_t fat = (uint64_t)le32_to_cpu(super->fat_sector_start) << super->sector_bits;
    uint8_t entry[4];
    int status = read_bytes(auditor, entry, sizeof entry, fat + 4 * (uint64_t)cluster);

    if (status == 0)
        *next = load_le32(entry);
    return status;
}

static bool in_heap(const struct auditor *auditor, uint32_t cluster, uint64_t count)
{
    uint32_t size = auditor->volume->exfat.cmap.size;

    return cluster >= EXFAT_FIRST_DATA_CLUSTER && cluster - EXFAT_FIRST_DATA_CLUSTER < size &&
           count <= size - (cluster - EXFAT_FIRST_DATA_CLUSTER);
}

/* Gives clusters their owner. */
static int own(struct auditor *auditor, uint32_t cluster, uint64_t count)
{
    const bitmap_t *in_use = auditor->volume->exfat.cmap.chunk;
    uint32_t bit = cluster - EXFAT_FIRST_DATA_CLUSTER;

    if (!in_heap(auditor, cluster, count))
        return unsound(auditor, "a chain of clusters is broken");
    for (; count; bit++, count--) {
        bitmap_t mask = (bitmap_t)1 << (bit % WORD_BITS);

        if (auditor->seen[bit / WORD_BITS] & mask)
            return unsound(auditor, "a cluster belongs to two files");
        if (!(in_use[bit / WORD_BITS] & mask))
            return unsound(auditor, "a cluster of a file is marked as free");
        auditor->seen[bit / WORD_BITS] |= mask;
    }
    return 0;
}

static int own_chain(struct auditor *auditor, uint32_t cluster, uint64_t count, bool may_go_on)
{
    uint32_t last = 0;

    while (count--) {
        int status = own(auditor, cluster, 1);

        last = cluster;
        if (status == 0)
            status = next_cluster(auditor, last, &cluster);
        if (status < 0)
            return status;
    }
    if (cluster == EXFAT_CLUSTER_END)
        return 0;
    if (!may_go_on || auditor->audit->loose_end || !in_heap(auditor, cluster, 1))
        return unsound(auditor, "a chain of clusters does not end where its file does");
    auditor->audit->loose_end = last;
    return 0;
}

static int own_all(struct auditor *auditor, const struct allocated *allocated, bool may_go_on)
{
    uint64_t cluster_bytes = exfat_cluster_bytes(auditor->volume);
    uint64_t count = allocated->bytes / cluster_bytes + (allocated->bytes % cluster_bytes != 0);

    if (!count)
        return allocated->cluster ? unsound(auditor, "an empty file has clusters") : 0;
    if (count > auditor->volume->exfat.cmap.size)
        return unsound(auditor, "a file is larger than the volume");
    return allocated->contiguous ? own(auditor, allocated->cluster, count)
                                 : own_chain(auditor, allocated->cluster, count, may_go_on);
}

static struct allocated allocated_by(const uint8_t *entry)
{
    return (struct allocated){load_le32(entry + 20), load_le64(entry + 24), false};
}

/* --- folders --- */

/* Its clusters have been owned. */
static int enter(struct auditor *auditor, const struct allocated *allocated)
{
    if (!allocated->bytes)
        return 0;
    if (allocated->bytes > FOLDER_BYTES_MAX || allocated->bytes % exfat_cluster_bytes(auditor->volume))
        return unsound(auditor, "a folder has a size that cannot be");
    if (auditor->depth == DEPTH_MAX)
        return unsound(auditor, "its folders are too deep to be checked here");
    auditor->folders[auditor->depth++] =
        (struct folder){.size = allocated->bytes, .cluster = allocated->cluster, .contiguous = allocated->contiguous};
    return 0;
}

/* The folder's next entry; it has one. */
static int read_entry(struct auditor *auditor, struct folder *folder, uint8_t *entry)
{
    struct exfat_volume *volume = auditor->volume;
    uint64_t within = folder->offset % exfat_cluster_bytes(volume);
    int status = 0;

    if (!within && folder->offset) {
        if (folder->contiguous)
            folder->cluster++;
        else
            status = next_cluster(auditor, folder->cluster, &folder->cluster);
    }
    if (status == 0 && !in_heap(auditor, folder->cluster, 1))
        status = -EIO; /* it was right when the folder was entered */
    if (status == 0)
        status = read_bytes(auditor, entry, ENTRY_BYTES, (uint64_t)exfat_c2o(&volume->exfat, folder->cluster) + within);
    folder->offset += ENTRY_BYTES;
    return status;
}

/* Section 6.3.3: all bytes of a set but the checksum itself. */
static uint16_t add_checksum(uint16_t sum, const uint8_t *entry, bool primary)
{
    for (unsigned i = 0; i < ENTRY_BYTES; i++)
        if (!primary || (i != 2 && i != 3))
            sum = (uint16_t)((uint16_t)(sum << 15 | sum >> 1) + entry[i]);
    return sum;
}

/* Section 7.6. */
static int take_stream(struct auditor *auditor, const uint8_t *entry, bool is_folder, struct allocated *allocated)
{
    uint64_t valid = load_le64(entry + 8);

    *allocated = allocated_by(entry);
    allocated->contiguous = entry[1] & FLAG_NO_FAT_CHAIN;
    if (!(entry[1] & FLAG_HAS_CLUSTERS) || valid > allocated->bytes || (is_folder && valid != allocated->bytes))
        return unsound(auditor, "a folder entry contradicts itself");
    return own_all(auditor, allocated, !is_folder);
}

/* What may stand behind a file's name: section 6.4, whatever it means. */
static int take_further(struct auditor *auditor, const uint8_t *entry)
{
    struct allocated allocated = allocated_by(entry);

    if ((entry[0] & ENTRY_KIND) != ENTRY_BENIGN_SECONDARY)
        return unsound(auditor, "a folder entry is not whole");
    if (!(entry[1] & FLAG_HAS_CLUSTERS))
        return 0;
    allocated.contiguous = entry[1] & FLAG_NO_FAT_CHAIN;
    return own_all(auditor, &allocated, false);
}

/* A file or a folder: its first entry has been read, the others follow. */
static int take_set(struct auditor *auditor, struct folder *folder, const uint8_t *primary)
{
    bool is_folder = load_le16(primary + 4) & EXFAT_ATTRIB_DIR;
    uint16_t sum = add_checksum(0, primary, true);
    struct allocated allocated = {0};
    unsigned names = 1;

    for (unsigned i = 1; i <= primary[1]; i++) {
        uint8_t entry[ENTRY_BYTES];
        int status = folder->offset < folder->size ? read_entry(auditor, folder, entry)
                                                   : unsound(auditor, "a folder entry is not whole");

        if (status < 0)
            return status;
        sum = add_checksum(sum, entry, false);
        if (i == 1) {
            if (entry[0] != ENTRY_STREAM || !entry[3])
                return unsound(auditor, "a folder entry is not whole");
            names = (entry[3] + NAME_UNITS - 1u) / NAME_UNITS;
            status = take_stream(auditor, entry, is_folder, &allocated);
        } else if (names) {
            names--;
            if (entry[0] != ENTRY_NAME)
                return unsound(auditor, "a folder entry is not whole");
        } else {
            status = take_further(auditor, entry);
        }
        if (status < 0)
            return status;
    }
    if (names || sum != load_le16(primary + 2))
        return unsound(auditor, "a folder entry is not whole");
    return is_folder ? enter(auditor, &allocated) : 0;
}

/* Entries of the root directory alone. */
static int take_root_entry(struct auditor *auditor, const uint8_t *entry)
{
    struct allocated allocated = allocated_by(entry);

    switch (entry[0]) {
    case ENTRY_BITMAP: /* section 7.1 */
        if (auditor->bitmaps++ || (entry[1] & BITMAP_FLAG_SECOND))
            return unsound(auditor, "it has more than one allocation bitmap");
        return own_all(auditor, &allocated, false);
    case ENTRY_UP_CASE: /* section 7.2 */
        if (auditor->up_cases++)
            return unsound(auditor, "it has more than one up-case table");
        return own_all(auditor, &allocated, false);
    case ENTRY_LABEL: /* section 7.3 */
        return 0;
    case ENTRY_GUID: /* section 7.5 */
        if (!entry[1] && !(entry[4] & FLAG_HAS_CLUSTERS))
            return 0;
        break;
    default:
        break;
    }
    return unsound(auditor, "it has a kind of folder entry that is not known here");
}

static int take_next(struct auditor *auditor)
{
    struct folder *folder = &auditor->folders[auditor->depth - 1];
    uint8_t entry[ENTRY_BYTES];
    int status;

    if (folder->offset == folder->size) {
        auditor->depth--;
        return 0;
    }
    status = read_entry(auditor, folder, entry);
    if (status < 0)
        return status;
    folder->ended = folder->ended || !entry[0];
    if (folder->ended && entry[0])
        return unsound(auditor, "there is something behind the end of a folder");
    if (!(entry[0] & ENTRY_IN_USE))
        return 0;
    if (entry[0] == ENTRY_FILE)
        return take_set(auditor, folder, entry);
    return auditor->depth == 1 ? take_root_entry(auditor, entry)
                               : unsound(auditor, "it has a kind of folder entry that is not known here");
}

/* --- all of it --- */

static int take_volume(struct auditor *auditor)
{
    const struct exfat *exfat = &auditor->volume->exfat;
    struct allocated root = {le32_to_cpu(exfat->sb->rootdir_cluster), exfat->root->size, false};
    int status = own_all(auditor, &root, false);

    if (status == 0)
        status = enter(auditor, &root);
    while (status == 0 && auditor->depth)
        status = take_next(auditor);
    if (status == 0 && (!auditor->bitmaps || !auditor->up_cases))
        return unsound(auditor, "it has no allocation bitmap or no up-case table");
    return status;
}

/* What is in use and has no owner. The map of owners becomes the map of these. */
static void find_lost(struct auditor *auditor)
{
    const bitmap_t *in_use = auditor->volume->exfat.cmap.chunk;
    uint32_t bits = auditor->volume->exfat.cmap.size;
    struct exfat_audit *audit = auditor->audit;

    for (uint32_t i = 0; (uint64_t)i * WORD_BITS < bits; i++) {
        uint32_t left = bits - i * WORD_BITS;
        bitmap_t known = left < WORD_BITS ? ((bitmap_t)1 << left) - 1 : ~(bitmap_t)0;

        auditor->seen[i] = in_use[i] & ~auditor->seen[i] & known;
        audit->lost_clusters += (unsigned)__builtin_popcountll(auditor->seen[i]);
    }
    audit->lost = auditor->seen;
}

int exfat_audit_volume(struct exfat_volume *volume, struct exfat_audit *audit)
{
    struct auditor *auditor = library_calloc(1, sizeof *auditor);
    int status = -ENOMEM;

    memset(audit, 0, sizeof *audit);
    if (!auditor)
        return -ENOMEM;
    auditor->volume = volume;
    auditor->audit = audit;
    auditor->deadline = deadline_after(volume->io->device->loop->platform, AUDIT_LIMIT);
    auditor->seen = library_calloc(volume->exfat.cmap.size / WORD_BITS + 1, sizeof *auditor->seen);
    if (auditor->seen) {
        exfat_begin_audit(&volume->device);
        status = take_volume(auditor);
        exfat_begin_work(&volume->device);
    }
    if (status == 0)
        find_lost(auditor);
    else
        library_free(auditor->seen);
    library_free(auditor);
    return status;
}
