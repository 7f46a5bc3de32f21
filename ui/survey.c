/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/survey.h"

#include <string.h>

#include "core/job.h"

const char *survey_table_name(enum table_kind kind)
{
    return kind == TABLE_GPT ? "gpt" : kind == TABLE_MBR ? "mbr" : "none";
}

const char *survey_bus_name(enum block_bus bus)
{
    static const char *const names[] = {"nvme", "sata", "usb", "firmware", "file", "ram", "image", "other"};

    return (unsigned)bus < sizeof(names) / sizeof(names[0]) ? names[bus] : "other";
}

/* Some file systems keep no counter: what the allocation reader finds is the answer. */
static void count_used(struct block_device *volume, struct filesystem_info *info)
{
    struct allocation allocation;

    if (filesystem_allocation(volume, &allocation) != 0)
        return;
    if (allocation.verdict == ALLOCATION_EXACT)
        info->used_bytes = extent_list_total(&allocation.used);
    allocation_free(&allocation);
}

/* Looks into a partition (or a disk without a table) for its file system; "" when there is none. */
static void probe(struct block_device *disk, const struct partition *partition, struct filesystem_info *info)
{
    struct block_device *volume = disk;

    memset(info, 0, sizeof(*info));
    info->used_bytes = UINT64_MAX;
    if (partition && partition_open(disk, partition, &volume, NULL) != 0)
        return;
    if (filesystem_probe(volume, info) && info->used_bytes == UINT64_MAX)
        count_used(volume, info);
    if (volume != disk)
        block_device_stop(volume);
}

static void look_into(struct block_device *disk, struct survey *survey, unsigned index)
{
    const struct partition *partition = survey_partition(survey, index);
    struct survey_volume *volume = &survey->volumes[index];
    uint32_t block = disk->geometry.logical_block;

    volume->partition = partition ? partition->number : 0;
    volume->offset = partition ? partition->first_block * block : 0;
    volume->bytes = partition ? partition->block_count * block : block_device_bytes(disk);
    probe(disk, partition, &volume->info);
}

int survey_disk(struct block_device *disk, struct survey *survey)
{
    uint8_t first[512];

    memset(survey, 0, sizeof(*survey));
    survey->platform = disk->loop->platform;
    survey->status = partition_table_read(disk, &survey->table, &survey->error);
    if (survey->status) {
        memset(&survey->table, 0, sizeof(survey->table));
        return 0; /* and no further reads */
    }
    survey->half_restored = block_read_bytes(disk, 0, first, sizeof(first), NULL) == 0 &&
                            job_is_half_restored(first, sizeof(first), survey->image_uuid);
    survey->count = survey->table.count ? survey->table.count : 1;
    survey->volumes = platform_allocate_zeroed(survey->platform, survey->count * sizeof(*survey->volumes));
    if (!survey->volumes) {
        survey_free(survey);
        return -ERROR_NO_MEMORY;
    }
    for (unsigned i = 0; i < survey->count; i++)
        look_into(disk, survey, i);
    return 0;
}

void survey_free(struct survey *survey)
{
    if (!survey->status && survey->platform)
        partition_table_free(&survey->table);
    if (survey->volumes)
        platform_release(survey->platform, survey->volumes);
    survey->volumes = NULL;
    survey->count = 0;
    survey->platform = NULL;
}

const struct partition *survey_partition(const struct survey *survey, unsigned volume)
{
    return volume < survey->table.count ? &survey->table.partitions[volume] : NULL;
}

uint64_t survey_used(const struct survey *survey, unsigned partition)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < survey->count; i++) {
        const struct survey_volume *volume = &survey->volumes[i];
        if (!partition || volume->partition == partition)
            used += volume->info.used_bytes < volume->bytes ? volume->info.used_bytes : volume->bytes;
    }
    return used;
}

uint64_t survey_gaps(const struct survey *survey, uint64_t disk_bytes)
{
    uint64_t bytes = 0, kept = (survey->count + 1ULL) * PLAN_GAP_MAX;
    bool chained = false;

    if (!survey->table.count)
        return 0;
    for (unsigned i = 0; i < survey->count; i++) {
        bytes += survey->volumes[i].bytes;
        chained = chained || (survey->table.kind == TABLE_MBR && survey->volumes[i].partition > 4);
    }
    uint64_t gaps = bytes < disk_bytes ? disk_bytes - bytes : 0;
    return chained || gaps < kept ? gaps : kept;
}
