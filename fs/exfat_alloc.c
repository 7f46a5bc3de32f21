/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clusters of image files on exFAT volumes: see fs/exfat.h.
 *
 * A file begins in the longest free run, and goes on behind its own end while there is room. As long as it is one run the FAT says
 * nothing of it; with the second run its whole chain is written, in pieces, and from then on each new run is. Room is claimed
 * somewhat ahead, so that the bitmap on the disk has had a file's clusters before an entry names them: after a power cut
 * clusters may be lost until the volume is checked, but none belongs to two files.
 */
#include "fs/exfat.h"

#include "core/library.h"

#include <errno.h>
#include <string.h>

#define AHEAD_BYTES (128ull * 1024 * 1024)   /* policy */
#define LONG_RUN_BYTES (32ull * 1024 * 1024) /* policy: a shorter run is taken only when no such is soon found */
#define FREE_RUN_LOOKS 4096                  /* policy */
#define FAT_PIECE 4096                       /* entries */
#define WORD_BITS 64

_Static_assert(sizeof(bitmap_t) * 8 == WORD_BITS, "the bitmap is gone through in 64-bit words");

/* --- the bitmap; bit 0 is cluster EXFAT_FIRST_DATA_CLUSTER --- */

/* First bit from `bit` on that has the wanted value, or `end`. */
static uint32_t find_bit(const bitmap_t *bitmap, uint32_t bit, uint32_t end, bool value)
{
    while (bit < end) {
        bitmap_t word = value ? bitmap[bit / WORD_BITS] : ~bitmap[bit / WORD_BITS];
        uint64_t next;

        word &= ~(bitmap_t)0 << (bit % WORD_BITS);
        next = (uint64_t)bit / WORD_BITS * WORD_BITS;
        if (word) {
            next += (unsigned)__builtin_ctzll(word);
            return next < end ? (uint32_t)next : end;
        }
        next += WORD_BITS;
        if (next >= end)
            break;
        bit = (uint32_t)next;
    }
    return end;
}

static void set_bits(bitmap_t *bitmap, uint32_t from, uint32_t to, bool value)
{
    while (from < to) {
        bitmap_t mask = ~(bitmap_t)0 << (from % WORD_BITS);
        uint32_t index = from / WORD_BITS;
        uint64_t end = ((uint64_t)index + 1) * WORD_BITS;

        if (end > to) {
            mask &= ((bitmap_t)1 << (to % WORD_BITS)) - 1;
            end = to;
        }
        bitmap[index] = value ? bitmap[index] | mask : bitmap[index] & ~mask;
        from = (uint32_t)end;
    }
}

static bool all_set(const struct exfat_volume *volume, uint32_t cluster, uint32_t count)
{
    uint32_t bit = cluster - EXFAT_FIRST_DATA_CLUSTER;

    return find_bit(volume->exfat.cmap.chunk, bit, bit + count, false) == bit + count;
}

static void mark(struct exfat_volume *volume, uint32_t cluster, uint32_t count, bool value)
{
    uint32_t from = cluster - EXFAT_FIRST_DATA_CLUSTER, to = from + count;

    set_bits(volume->exfat.cmap.chunk, from, to, value);
    if (value)
        volume->free_clusters -= count;
    else
        volume->free_clusters += count;
    if (volume->changed_from == volume->changed_to) {
        volume->changed_from = from;
        volume->changed_to = to;
    } else {
        volume->changed_from = from < volume->changed_from ? from : volume->changed_from;
        volume->changed_to = to > volume->changed_to ? to : volume->changed_to;
    }
}

void exfat_count_free(struct exfat_volume *volume)
{
    const bitmap_t *bitmap = volume->exfat.cmap.chunk;
    uint32_t bits = volume->exfat.cmap.size, used = 0;

    for (uint32_t i = 0; i < bits / WORD_BITS; i++)
        used += (unsigned)__builtin_popcountll(bitmap[i]);
    for (uint32_t bit = bits - bits % WORD_BITS; bit < bits; bit++)
        used += (unsigned)(bitmap[bit / WORD_BITS] >> (bit % WORD_BITS)) & 1;
    volume->free_clusters = bits - used;
}

int exfat_check_bitmap(struct exfat_volume *volume)
{
    const struct exfat *exfat = &volume->exfat;
    struct exfat_node chain = {.is_contiguous = false};
    uint64_t bytes = ((uint64_t)exfat->cmap.size + 7) / 8;
    uint32_t count = (uint32_t)((bytes + exfat_cluster_bytes(volume) - 1) / exfat_cluster_bytes(volume));
    uint32_t cluster = exfat->cmap.start_cluster;

    /* The library takes it for one run. It is, on every volume but those that somebody made to be otherwise. */
    if (count > exfat->cmap.size - (cluster - EXFAT_FIRST_DATA_CLUSTER) || !all_set(volume, cluster, count))
        return -EIO;
    for (uint32_t i = 1; i < count; i++)
        if (exfat_next_cluster(exfat, &chain, cluster + i - 1) != cluster + i)
            return -EIO;
    volume->bitmap_cluster = cluster;
    cluster = le32_to_cpu(exfat->sb->rootdir_cluster);
    for (uint64_t done = 0; done < exfat->root->size; done += exfat_cluster_bytes(volume)) {
        if (CLUSTER_INVALID(*exfat->sb, cluster) || !all_set(volume, cluster, 1))
            return -EIO;
        cluster = exfat_next_cluster(exfat, &chain, cluster);
    }
    return 0;
}

/* --- the FAT --- */

/* Chains clusters that follow each other; the last one's entry becomes `behind`. */
static int chain_clusters(struct exfat_volume *volume, uint32_t first, uint32_t count, uint32_t behind)
{
    const struct exfat_super_block *super = volume->exfat.sb;
    uint64_t fat = (uint64_t)le32_to_cpu(super->fat_sector_start) << super->sector_bits;
    uint32_t piece = count < FAT_PIECE ? count : FAT_PIECE;
    le32_t *entries = library_malloc(piece * sizeof *entries);
    int status = entries ? 0 : -ENOMEM;

    while (status == 0 && count) {
        uint32_t length = count < piece ? count : piece;

        for (uint32_t i = 0; i < length; i++)
            entries[i] = cpu_to_le32(i + 1 < count ? first + i + 1 : behind);
        if (exfat_pwrite(&volume->device, entries, length * sizeof *entries, (off_t)(fat + 4ull * first)) < 0)
            status = -EIO;
        volume->unordered = true;
        first += length;
        count -= length;
    }
    library_free(entries);
    return status;
}

/* The whole chain of a file that had none. */
static int chain_file(struct exfat_volume *volume, struct exfat_map *map)
{
    int status = 0;

    for (size_t i = 0; status == 0 && i < map->run_count; i++) {
        uint32_t behind = i + 1 < map->run_count ? map->runs[i + 1].first : EXFAT_CLUSTER_END;

        status = chain_clusters(volume, map->runs[i].first, map->runs[i].count, behind);
    }
    map->chained = map->chained || status == 0;
    return status;
}

/* --- maps --- */

void exfat_map_free(struct exfat_map *map)
{
    library_free(map->runs);
    memset(map, 0, sizeof *map);
}

bool exfat_map_allocated(const struct exfat_volume *volume, const struct exfat_map *map)
{
    for (size_t i = 0; i < map->run_count; i++)
        if (!all_set(volume, map->runs[i].first, map->runs[i].count))
            return false;
    return true;
}

/* A run at the map's end, joined with the last one where it can be. */
static int append_run(struct exfat_map *map, uint32_t first, uint32_t count)
{
    struct exfat_run *last = map->run_count ? &map->runs[map->run_count - 1] : NULL;

    if (last && last->first + last->count == first) {
        last->count += count;
        map->clusters += count;
        return 0;
    }
    if (map->run_count == map->run_room) {
        size_t room = map->run_room ? 2 * map->run_room : 16;
        struct exfat_run *runs = library_realloc(map->runs, room * sizeof *runs);

        if (!runs)
            return -ENOMEM;
        map->runs = runs;
        map->run_room = room;
    }
    map->runs[map->run_count++] = (struct exfat_run){first, count};
    map->clusters += count;
    return 0;
}

int exfat_map_node(struct exfat_volume *volume, const struct exfat_node *node, struct exfat_map *map)
{
    const struct exfat_super_block *super = volume->exfat.sb;
    uint64_t clusters = (node->size + exfat_cluster_bytes(volume) - 1) / exfat_cluster_bytes(volume);
    uint32_t cluster = node->start_cluster;
    int status = 0;

    memset(map, 0, sizeof *map);
    if (!clusters)
        return 0;
    if (clusters > volume->exfat.cmap.size || CLUSTER_INVALID(*super, cluster))
        return -EIO;
    if (node->is_contiguous) {
        if (clusters > volume->exfat.cmap.size - (cluster - EXFAT_FIRST_DATA_CLUSTER))
            return -EIO;
        return append_run(map, cluster, (uint32_t)clusters);
    }
    map->chained = true;
    while (status == 0 && map->clusters < clusters) {
        if (CLUSTER_INVALID(*super, cluster)) {
            status = -EIO;
            break;
        }
        volume->device.reads_left++; /* as many steps as the file has clusters, and not one more */
        status = append_run(map, cluster, 1);
        if (map->clusters < clusters)
            cluster = exfat_next_cluster(&volume->exfat, node, cluster);
    }
    if (status < 0)
        exfat_map_free(map);
    return status;
}

uint64_t exfat_map_find(const struct exfat_volume *volume, const struct exfat_map *map, uint64_t cluster,
                        uint64_t *bytes)
{
    const struct exfat_run *run = map->runs;

    for (; cluster >= run->count; run++)
        cluster -= run->count;
    *bytes = (run->count - cluster) * exfat_cluster_bytes(volume);
    return (uint64_t)exfat_c2o(&volume->exfat, (cluster_t)(run->first + cluster));
}

/* --- growing and cutting --- */

struct free_run {
    uint32_t bit, length;
};

/*
 * The first run of at least `least` free clusters in [from, end); *longest gathers the longest of those that are too short.
 * *looks bounds the search.
 */
static bool find_free_run(const struct exfat_volume *volume, uint32_t from, uint32_t end, uint64_t least,
                          uint32_t *looks, struct free_run *longest)
{
    const bitmap_t *bitmap = volume->exfat.cmap.chunk;

    while (from < end && *looks) {
        uint32_t start = find_bit(bitmap, from, end, false), after;

        --*looks;
        if (start == end)
            return false;
        after = find_bit(bitmap, start, end, true);
        if (after - start > longest->length)
            *longest = (struct free_run){start, after - start};
        if (longest->length >= least)
            return true;
        from = after;
    }
    return false;
}

/* Where a file goes on: right behind its end, or in a long run, or in the longest that is soon found. */
static struct free_run next_run(const struct exfat_volume *volume, const struct exfat_map *map, uint64_t wanted)
{
    uint64_t least = LONG_RUN_BYTES / exfat_cluster_bytes(volume);
    uint32_t size = volume->exfat.cmap.size, looks = FREE_RUN_LOOKS, goal = 0;
    const struct exfat_run *last = map->run_count ? &map->runs[map->run_count - 1] : NULL;
    struct free_run run = {0};

    if (!last) {
        looks = UINT32_MAX;
        find_free_run(volume, 0, size, UINT64_MAX, &looks, &run);
        return run;
    }
    goal = last->first + last->count - EXFAT_FIRST_DATA_CLUSTER;
    if (goal < size && find_bit(volume->exfat.cmap.chunk, goal, goal + 1, false) == goal) {
        looks = 1;
        find_free_run(volume, goal, size, 1, &looks, &run);
        return run;
    }
    if (goal > size)
        goal = size;
    if (least > wanted)
        least = wanted;
    if (!find_free_run(volume, goal, size, least, &looks, &run)) {
        looks = FREE_RUN_LOOKS;
        find_free_run(volume, 0, goal, least, &looks, &run);
    }
    return run;
}

/* Puts clusters at the file's end, and enters them into the FAT if they are not simply its next ones. */
static int attach(struct exfat_volume *volume, struct exfat_map *map, uint32_t first, uint32_t count)
{
    uint32_t end = map->run_count ? map->runs[map->run_count - 1].first + map->runs[map->run_count - 1].count : 0;
    size_t runs = map->run_count;
    int status = append_run(map, first, count);

    if (status < 0)
        return status;
    if (!map->chained)
        return map->run_count > 1 ? chain_file(volume, map) : 0;
    if (map->run_count == runs)
        return chain_clusters(volume, end - 1, count + 1, EXFAT_CLUSTER_END);
    status = chain_clusters(volume, first, count, EXFAT_CLUSTER_END);
    return status < 0 ? status : chain_clusters(volume, end - 1, 1, first);
}

/* The same for clusters that are free. */
static int claim(struct exfat_volume *volume, struct exfat_map *map, uint32_t first, uint32_t count)
{
    mark(volume, first, count, true);
    return attach(volume, map, first, count);
}

int exfat_map_adopt(struct exfat_volume *volume, struct exfat_map *map, struct exfat_audit *audit)
{
    uint32_t size = volume->exfat.cmap.size, from, to;
    const struct exfat_run *last = map->run_count ? &map->runs[map->run_count - 1] : NULL;

    if (!last || !audit->lost_clusters)
        return 0;
    from = last->first + last->count - EXFAT_FIRST_DATA_CLUSTER;
    to = from < size ? find_bit(audit->lost, from, size, false) : from;
    if (from == to)
        return 0;
    set_bits(audit->lost, from, to, false);
    audit->lost_clusters -= to - from;
    return attach(volume, map, from + EXFAT_FIRST_DATA_CLUSTER, to - from);
}

int exfat_end_chain(struct exfat_volume *volume, uint32_t cluster)
{
    return chain_clusters(volume, cluster, 1, EXFAT_CLUSTER_END);
}

int exfat_map_grow(struct exfat_volume *volume, struct exfat_map *map, uint64_t clusters)
{
    uint64_t ahead = AHEAD_BYTES / exfat_cluster_bytes(volume);
    uint64_t target = clusters <= map->clusters ? 0 : clusters + ahead;

    if (target && clusters - map->clusters > volume->free_clusters)
        return -ENOSPC;
    while (map->clusters < target) {
        uint64_t wanted = target - map->clusters;
        struct free_run run;
        int status;

        /* What is claimed ahead must not make a second run of the file. */
        if (map->clusters >= clusters && map->run_count) {
            const struct exfat_run *last = &map->runs[map->run_count - 1];
            uint32_t next = last->first + last->count - EXFAT_FIRST_DATA_CLUSTER;

            if (next >= volume->exfat.cmap.size || find_bit(volume->exfat.cmap.chunk, next, next + 1, false) != next)
                break;
        }
        run = next_run(volume, map, wanted);
        if (!run.length)
            return map->clusters < clusters ? -ENOSPC : 0;
        if (run.length > wanted)
            run.length = (uint32_t)wanted;
        status = claim(volume, map, run.bit + EXFAT_FIRST_DATA_CLUSTER, run.length);
        if (status < 0)
            return status;
    }
    return 0;
}

int exfat_map_cut(struct exfat_volume *volume, struct exfat_map *map, uint64_t clusters)
{
    bool shorter = map->clusters > clusters;

    while (map->clusters > clusters) {
        struct exfat_run *last = &map->runs[map->run_count - 1];
        uint64_t excess = map->clusters - clusters;
        uint32_t count = excess < last->count ? (uint32_t)excess : last->count;

        mark(volume, last->first + last->count - count, count, false);
        last->count -= count;
        map->clusters -= count;
        if (!last->count)
            map->run_count--;
    }
    if (shorter && map->chained && map->run_count) {
        const struct exfat_run *last = &map->runs[map->run_count - 1];

        return chain_clusters(volume, last->first + last->count - 1, 1, EXFAT_CLUSTER_END);
    }
    return 0;
}

/* --- to the disk --- */

int exfat_flush_clusters(struct exfat_volume *volume)
{
    const struct exfat *exfat = &volume->exfat;
    uint32_t from = volume->changed_from / 8, to = (uint32_t)(((uint64_t)volume->changed_to + 7) / 8);

    if (exfat->cmap.start_cluster != volume->bitmap_cluster)
        return -EIO;
    if (volume->changed_from != volume->changed_to) {
        if (exfat_pwrite(&volume->device, (const uint8_t *)exfat->cmap.chunk + from, to - from,
                         exfat_c2o(exfat, exfat->cmap.start_cluster) + from) < 0)
            return -EIO;
        volume->changed_from = volume->changed_to = 0;
        volume->unordered = true;
    }
    if (volume->unordered && volume_io_flush(volume->io) < 0)
        return -EIO;
    volume->unordered = false;
    return 0;
}
