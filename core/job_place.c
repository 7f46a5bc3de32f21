/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: where it goes, and whether it may. */
#include "core/job_internal.h"

#include <string.h>

#define LEAD_BYTES (64u * 1024) /* policy: header and trailer, generously */
#define TYPICAL_TENTHS 6        /* policy: of a disk's data, what is left of it when it is compressed */
#define VOLUME_MARGIN (64ull * 1024 * 1024)

/* --- who overlaps whom --- */

/* A range of a disk that this run knows, whatever slices lead to it. */
struct disk_range {
    const struct block_device *disk; /* NULL: not on a known disk */
    uint64_t start, end;
};

static struct disk_range range_of(const struct block_device *device, uint64_t offset, uint64_t length)
{
    struct disk_range range = {device, offset, 0};

    if (!device)
        return range;
    range.end = offset + (length ? length : block_device_bytes(device) - offset);
    while (range.disk->parent) {
        uint64_t shift = range.disk->parent_lba * range.disk->geometry.logical_block;
        range.start += shift;
        range.end += shift;
        range.disk = range.disk->parent;
    }
    return range;
}

static bool ranges_overlap(struct disk_range a, struct disk_range b)
{
    if (!a.disk || !b.disk || (a.disk != b.disk && strcmp(a.disk->name, b.disk->name)))
        return false;
    return a.start < b.end && b.start < a.end;
}

static struct disk_range range_of_store(const struct stream_store *store)
{
    return range_of(store->disk, store->disk_length ? store->disk_offset : 0, store->disk_length);
}

/* Into volumes of which size the image is cut: as the person wants it, or as large as files can be there. */
static uint64_t volume_size(const struct plan *plan, uint64_t most)
{
    uint64_t limit = plan->request.target.store->max_volume_bytes, split = plan->request.options.split;

    if (!limit)
        limit = UINT64_MAX;
    if (plan->request.options.resume) /* whether it is cut was decided when it began */
        return !plan->kept.volume ? 0 : split && split < limit ? split : limit == UINT64_MAX ? 0 : limit;
    if (split)
        return split < limit ? split : limit;
    /* The writer, who must be sure, reckons with more than it can come to (core/image_output.c). */
    return limit < most || limit - most < most / 16 + VOLUME_MARGIN ? limit : 0;
}

/*
 * What the image comes to: the zero frames of what holds no data (34 MB for each TiB), header and tables, and of the data between
 * nothing (it is all zeroes) and itself with its indexes (0.03%).
 */
void job_expect_image(uint64_t used_bytes, uint64_t unused_bytes, uint64_t *likely, uint64_t *most)
{
    *most = used_bytes + used_bytes / 2048 + unused_bytes / 32768 + LEAD_BYTES;
    *likely = *most - used_bytes + used_bytes / 10 * TYPICAL_TENTHS;
}

static void expect_size(struct plan *plan)
{
    uint64_t used = plan->used_bytes - extent_list_total(&plan->blank), likely, most;
    uint64_t tables = plan->description.table_head_size + plan->description.table_tail_size;

    job_expect_image(used, plan->source_bytes - used, &likely, &most);
    uint64_t saved = most - likely;
    most += tables;
    plan->volume_bytes = volume_size(plan, most);
    if (plan->volume_bytes)
        most += most / plan->volume_bytes * (LEAD_BYTES + tables);
    plan->expected_image_bytes = most;
    plan->likely_image_bytes = most - saved;
}

/* It is refused when no disk of this size fits, whatever it holds; how far its contents can be compressed nobody knows before. */
static void check_space(struct plan *plan)
{
    struct stream_store *store = plan->request.target.store;
    uint64_t least = plan->source_bytes / 65536 + 4096, available = plan->free_bytes;

    /* What is there of the image is a part of what it comes to. */
    if (available != UINT64_MAX)
        available += plan->kept.stored_bytes;
    if (available < least)
        plan_refuse(plan, MESSAGE_SPACE_NONE, store->name, NULL, least, available);
    else if (available < plan->likely_image_bytes)
        message_add(&plan->messages, MESSAGE_WARNING, MESSAGE_SPACE_LIKELY_SHORT, 0, store->name, NULL,
                    plan->likely_image_bytes, available);
    else if (available < plan->expected_image_bytes)
        message_add(&plan->messages, MESSAGE_WARNING, MESSAGE_SPACE_SHORT, 0, store->name, NULL,
                    plan->expected_image_bytes, available);
}

void plan_check_store(struct plan *plan)
{
    struct stream_store *store = plan->request.target.store;

    plan->free_bytes = store->free_space ? store->free_space(store) : UINT64_MAX;
    expect_size(plan);
    if (ranges_overlap(range_of(plan_source_device(plan), 0, 0), range_of_store(store)))
        plan_refuse(plan, MESSAGE_TARGET_IS_SOURCE, plan->request.source.disk->name, store->name, 0, 0);
    check_space(plan);
}

static void check_target(struct plan *plan)
{
    const struct job_end *target = &plan->request.target, *source = &plan->request.source;
    const struct block_device *device = plan_target_device(plan);
    struct disk_range range = range_of(device, 0, 0);
    uint32_t blocks[2] = {plan->description.logical_block, device->geometry.logical_block};

    if (blocks[0] != blocks[1])
        plan_refuse(plan, MESSAGE_SECTOR_SIZE, target->disk->name, NULL, blocks[0], blocks[1]);
    if (plan->kind == JOB_VERIFY)
        return;
    if (target->is_boot_stick)
        plan_refuse(plan, MESSAGE_TARGET_IS_BOOT_STICK, target->disk->name, NULL, 0, 0);
    if (target->mounted_at)
        plan_refuse(plan, MESSAGE_TARGET_MOUNTED, target->disk->name, target->mounted_at, 0, 0);
    if (target->disk->read_only || device->read_only)
        plan_refuse(plan, MESSAGE_TARGET_READ_ONLY, target->disk->name, NULL, 0, 0);
    if (source->store && ranges_overlap(range, range_of_store(source->store)))
        plan_refuse(plan, MESSAGE_TARGET_HOLDS_IMAGE, target->disk->name, source->store->name, 0, 0);
    if (source->disk && ranges_overlap(range, range_of(plan_source_device(plan), 0, 0)))
        plan_refuse(plan, MESSAGE_TARGET_IS_SOURCE, target->disk->name, NULL, 0, 0);
    if (plan->request.options.discard && !device->geometry.max_discard)
        message_add(&plan->messages, MESSAGE_WARNING, MESSAGE_DISCARD_UNSUPPORTED, 0, target->disk->name, NULL, 0, 0);
    if (plan->kind == JOB_CLONE && !plan->source_slice && plan->table.kind != TABLE_NONE)
        message_add(&plan->messages, MESSAGE_WARNING, MESSAGE_DUPLICATE_IDENTITY, 0, source->disk->name, NULL, 0, 0);
}

/* The mark of a restore that was cut off: of this image, or none of it. */
static void look_at_mark(struct plan *plan)
{
    const struct block_device *disk = plan->request.target.disk;
    char uuid[37] = "", wanted[37];
    uint8_t first[128];
    bool same;

    guid_format(plan->description.uuid, wanted);
    same = !plan->request.source.is_pipe && !plan->request.options.salvage &&
           !block_read_bytes(plan_target_device(plan), 0, first, sizeof(first), NULL) &&
           job_is_half_restored(first, sizeof(first), uuid) && !strcmp(uuid, wanted);
    if (same && !plan->request.options.resume)
        message_add(&plan->messages, MESSAGE_INFO, MESSAGE_CAN_CONTINUE, 0, disk->name, NULL, 0, 0);
    else if (!same && plan->request.options.resume)
        plan_refuse(plan, MESSAGE_NOTHING_TO_CONTINUE, disk->name, NULL, 0, 0);
}

/* --- tables for another size --- */

/* Takes `data` over; cut at the target's end, never reaching back into what another patch covers. */
static int add_patch(struct plan *plan, uint64_t offset, uint8_t *data, size_t size)
{
    if (!size || plan->patch_count == PLAN_PATCHES_MAX) {
        platform_release(plan->platform, data);
        return size ? -ERROR_OUT_OF_RANGE : 0;
    }
    plan->patches[plan->patch_count++] = (struct plan_patch){offset, data, size};
    return 0;
}

/* A backup GPT left in the middle of a bigger disk would be found by repair programs: zeroes go there. */
static int erase_old_backup(struct plan *plan, uint64_t tail_start)
{
    const struct image_description *description = &plan->description;
    const struct image_region *last = &description->regions[description->region_count - 1];
    uint64_t start = description->disk_bytes - description->table_tail_size, end = description->disk_bytes;
    uint8_t *zeroes;

    if (last->partition || !description->table_tail_size)
        return 0;
    if (start < last->offset)
        start = last->offset;
    end = smaller_of(end, tail_start);
    if (start >= end)
        return 0;
    zeroes = platform_allocate_zeroed(plan->platform, (size_t)(end - start));
    if (!zeroes)
        return -ERROR_NO_MEMORY;
    return add_patch(plan, start, zeroes, (size_t)(end - start));
}

static int fit_table(struct plan *plan, uint64_t target_bytes, bool *fits, struct error *error)
{
    const struct image_description *description = &plan->description;
    uint64_t block = description->logical_block;
    uint8_t *head = NULL, *tail = NULL;
    size_t head_size = 0, tail_size = 0;
    int status = partition_table_fit(&plan->table, description->table_head, description->table_head_size,
                                     target_bytes / block, &head, &head_size, &tail, &tail_size, error);

    *fits = status != -ERROR_NO_SPACE;
    if (status == -ERROR_NO_SPACE)
        return 0;
    if (status)
        return status;
    if (head_size % block || tail_size % block || head_size > target_bytes || tail_size > target_bytes - head_size) {
        platform_release(plan->platform, head);
        platform_release(plan->platform, tail);
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "tables of %zu and %zu bytes",
                         head_size, tail_size);
    }
    status = add_patch(plan, 0, head, head_size);
    if (!status && tail)
        status = add_patch(plan, target_bytes - tail_size, tail, tail_size);
    else
        platform_release(plan->platform, tail);
    if (!status && target_bytes > description->disk_bytes)
        status = erase_old_backup(plan, target_bytes - tail_size);
    if (!status)
        message_add(&plan->messages, MESSAGE_INFO, MESSAGE_LAYOUT_GPT_MOVED, 0, plan->request.target.disk->name, NULL,
                    plan->table.backup_header_lba * block, target_bytes - block);
    return status ? error_set(error, (enum error_code) - status, OPERATION_NONE, "", ERROR_NO_BLOCK, "new tables") : 0;
}

static uint32_t little_endian_32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Bytes that a target must have: to the end of the last partition, of an MBR's extended partition, and a GPT's backup. */
static uint64_t bytes_needed(const struct plan *plan)
{
    const struct image_description *description = &plan->description;
    const struct partition_table *table = &plan->table;
    uint64_t block = description->logical_block, needed = 0;

    if (table->kind == TABLE_NONE)
        return description->disk_bytes;
    for (unsigned i = 0; i < description->region_count; i++) {
        const struct image_region *region = &description->regions[i];
        if (region->partition && region->offset + region->bytes > needed)
            needed = region->offset + region->bytes;
    }
    if (table->kind == TABLE_MBR && description->table_head_size >= 512)
        for (unsigned i = 0; i < 4; i++) {
            const uint8_t *entry = description->table_head + 446 + 16 * i;
            uint64_t end = ((uint64_t)little_endian_32(entry + 8) + little_endian_32(entry + 12)) * block;
            if (entry[4] && end > needed && end <= description->disk_bytes)
                needed = end;
        }
    if (table->kind == TABLE_GPT)
        needed += ((uint64_t)table->entry_count * table->entry_size + block - 1) / block * block + block;
    return needed;
}

/* --- placements --- */

static int make_placements(struct plan *plan, struct error *error)
{
    const struct image_description *description = &plan->description;
    size_t size = (size_t)description->region_count * sizeof(*plan->placements);

    plan->placements = platform_allocate_zeroed(plan->platform, size ? size : 1);
    if (!plan->placements)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for the placements");
    plan->placement_count = description->region_count;
    for (unsigned i = 0; i < plan->placement_count; i++)
        plan->placements[i] = (struct placement){.source_offset = description->regions[i].offset,
                                                 .bytes = description->regions[i].bytes,
                                                 .target_offset = description->regions[i].offset,
                                                 .partition = description->regions[i].partition};
    return 0;
}

/* One partition (or volume without a table) alone: to the start of the target. */
static void place_one(struct plan *plan, unsigned region, uint64_t target_bytes)
{
    for (unsigned i = 0; i < plan->placement_count; i++)
        plan->placements[i].skip = i != region;
    plan->placements[region].target_offset = 0;
    if (plan->placements[region].bytes > target_bytes)
        plan_refuse(plan, MESSAGE_TARGET_SMALLER, plan->request.target.disk->name, NULL, plan->placements[region].bytes,
                    target_bytes);
}

static int place_disk(struct plan *plan, uint64_t target_bytes, struct error *error)
{
    const struct image_description *description = &plan->description;
    bool fits = target_bytes >= description->disk_bytes;
    int status = 0;

    if (!fits)
        fits = bytes_needed(plan) <= target_bytes;
    if (fits && plan->table.kind == TABLE_GPT && target_bytes != description->disk_bytes &&
        description->logical_block == plan_target_device(plan)->geometry.logical_block)
        status = fit_table(plan, target_bytes, &fits, error);
    if (status)
        return status;
    if (!fits) {
        plan_refuse(plan, MESSAGE_TARGET_SMALLER, plan->request.target.disk->name, NULL, bytes_needed(plan),
                    target_bytes);
        return 0;
    }
    for (unsigned i = 0; i < plan->placement_count; i++) {
        struct placement *placement = &plan->placements[i];
        if (placement->target_offset >= target_bytes) {
            placement->skip = true;
            placement->bytes = 0;
        } else {
            placement->bytes = smaller_of(placement->bytes, target_bytes - placement->target_offset);
        }
    }
    return 0;
}

static int open_target_partition(struct plan *plan, struct error *error)
{
    const struct job_end *target = &plan->request.target;
    struct partition_table *table = &plan->target_table, local;
    const struct partition *partition;
    int status = 0;

    memset(&local, 0, sizeof(local));
    if (plan->kind == JOB_VERIFY) { /* nothing of the disk will be destroyed: target_table stays empty */
        table = &local;
        status = partition_table_read(target->disk, table, error);
    }
    if (!status) {
        partition = partition_find(table, target->partition);
        status = partition ? partition_open(target->disk, partition, &plan->target_slice, error)
                           : error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, target->disk->name, ERROR_NO_BLOCK,
                                       "it has no partition %u", target->partition);
    }
    if (local.platform)
        partition_table_free(&local);
    return status;
}

/* The only region, or the one that the request names; -1: a whole disk. */
static int single_region(const struct plan *plan)
{
    const struct image_description *description = &plan->description;
    unsigned wanted = plan->request.source.partition;

    /* A partition of a source disk is a slice already; its description has one region. */
    if (description->is_partition || (description->region_count == 1 && plan->table.kind == TABLE_NONE))
        return description->region_count == 1 ? 0 : -1;
    for (unsigned i = 0; wanted && i < description->region_count; i++)
        if (description->regions[i].partition == wanted)
            return (int)i;
    return -1;
}

/* File systems of DOS and Windows note their partition's first block ("hidden sectors"); nothing is changed in them here. */
static void look_at_start(struct plan *plan, unsigned region)
{
    const struct image_region *from = &plan->description.regions[region];
    uint64_t old = from->offset / plan->description.logical_block, new = plan->target_slice->parent_lba;

    if (plan->source_slice)
        old = plan->source_slice->parent_lba;
    else if (plan->description.is_partition)
        return; /* where it was is not known */
    if (old != new &&
        (!strcmp(from->fs_type, "ntfs") || !strncmp(from->fs_type, "fat", 3) || !strcmp(from->fs_type, "exfat")))
        message_add(&plan->messages, MESSAGE_WARNING, MESSAGE_PARTITION_MOVED, from->partition, from->fs_type, NULL,
                    old, new);
}

/* One partition for a whole disk that has partitions is nearly always a "#N" that was forgotten. */
static void check_single(struct plan *plan, unsigned region)
{
    const struct image_description *description = &plan->description;
    bool of_partition = description->is_partition || description->regions[region].partition;

    if (plan->kind == JOB_VERIFY || !of_partition)
        return;
    if (plan->target_slice)
        look_at_start(plan, region);
    else if (plan->target_table.kind != TABLE_NONE)
        plan_refuse(plan, MESSAGE_PARTITION_ONTO_DISK, plan->request.target.disk->name, NULL, 0, 0);
}

int plan_target(struct loop *loop, struct plan *plan, struct error *error)
{
    const struct job_end *target = &plan->request.target;
    int region = single_region(plan), status = 0;
    uint64_t target_bytes;

    (void)loop;
    if (plan->kind != JOB_VERIFY) {
        plan->destroys = true;
        status = partition_table_read(target->disk, &plan->target_table, error);
    }
    if (!status && target->partition)
        status = open_target_partition(plan, error);
    if (!status)
        status = make_placements(plan, error);
    if (status)
        return status;
    if (target->partition && region < 0)
        return error_set(error, ERROR_USAGE, OPERATION_NONE, target->disk->name, ERROR_NO_BLOCK,
                         "a whole disk does not go into a partition; name a partition of the source");
    target_bytes = block_device_bytes(plan_target_device(plan));
    plan->target_bytes = target_bytes;
    check_target(plan);
    if (plan->kind == JOB_RESTORE)
        look_at_mark(plan);
    if (region >= 0) {
        place_one(plan, (unsigned)region, target_bytes);
        check_single(plan, (unsigned)region);
        return 0;
    }
    return place_disk(plan, target_bytes, error);
}
