/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verify: an image alone (everything is decoded), or a disk against an image (what is in use is read and compared by
 * hash; nothing is decoded but the few chunks that a disk of another size holds with other tables).
 */
#include "core/job_internal.h"

#include <string.h>

static void compare_run(struct job *job, struct job_slot *own, const struct image_chunk *chunk, uint64_t length)
{
    const struct plan *plan = job->plan;
    uint64_t position = own->target_offset, end = position + length;

    /* What the plan puts there instead is compared by itself at the end. */
    while (position < end) {
        uint64_t start = end, stop = end;
        for (unsigned i = 0; i < plan->patch_count; i++) {
            const struct plan_patch *patch = &plan->patches[i];
            if (patch->target_offset + patch->size <= position || patch->target_offset >= start)
                continue;
            start = patch->target_offset > position ? patch->target_offset : position;
            stop = patch->target_offset + patch->size;
        }
        if (start > position)
            job_ledger_add(job, chunk, NULL, own, position, start - position);
        position = stop;
    }
}

/* Decides what is to be done with the next chunk. False when it has to wait for a slot. */
static bool take_chunk(struct job *job)
{
    const struct image_chunk *chunk = &job->next_chunk;
    const struct image_region *region = job_region_at(job->plan, job->next_offset);
    struct job_slot own = {.source_offset = job->next_offset, .partition = region ? region->partition : 0};
    struct pipeline_slot *slot;
    uint64_t length = job_place(job->plan, own.source_offset, chunk->length, &own.target_offset);
    bool data = chunk->kind == IMAGE_DATA || chunk->kind == IMAGE_PARTIAL;

    if (chunk->kind == IMAGE_UNREADABLE && chunk->lost)
        job_image_damaged(job, job->next_offset, chunk->length, -ERROR_CORRUPT);
    else if (chunk->kind == IMAGE_UNREADABLE)
        job_image_unreadable(job, job->next_offset, chunk->length);
    else if (data)
        job_image_holes(job, job->next_offset, chunk);
    if (!length || (!data && chunk->kind != IMAGE_ZERO)) {
        job_image_drop(job);
        return true;
    }
    if (data && (length < chunk->length || job_overlaps_patch(job->plan, own.target_offset, length))) {
        slot = job_claim(job);
        if (!slot)
            return false;
        job_image_take(job, slot);
        job_slot(slot)->role = ROLE_COPY;
        job_slot(slot)->target_offset = own.target_offset;
        job_slot(slot)->write_length = length;
        job_ready(job, slot, PIPELINE_DECODE);
        return true;
    }
    if (data) {
        own.used_bytes = chunk->kind == IMAGE_PARTIAL ? job_piece_bytes(chunk->map, length) : length;
        job_ledger_add(job, chunk, chunk->kind == IMAGE_PARTIAL ? chunk->map : NULL, &own, own.target_offset, length);
    } else {
        compare_run(job, &own, chunk, length);
    }
    job_image_drop(job);
    return true;
}

static bool fill(struct job *job)
{
    bool progressed = false;

    while (job_ledger_has_room(job) && job_image_peek(job) && !job_status(job)) {
        if (!take_chunk(job))
            break;
        progressed = true;
    }
    return progressed;
}

/* A chunk that was decoded because the disk holds other tables there. */
static void leave_decoded(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);

    job_image_release(job, slot);
    job_count_work(job, slot);
    if (slot->status) {
        job_image_damaged(job, own->source_offset, slot->chunk.length, slot->status);
    } else {
        job_apply_patches(job, slot, own->write_length);
        job_ledger_add(job, &slot->chunk, slot->has_map ? slot->map : NULL, own, own->target_offset, own->write_length);
    }
    pipeline_release(job->pipeline, slot);
}

static bool verify_step(struct job *job)
{
    struct pipeline_slot *slot;
    bool progressed;

    do {
        progressed = fill(job);
        progressed |= job_check_pump(job);
        slot = pipeline_oldest(job->pipeline);
        if (!slot)
            continue;
        progressed = true;
        if (job_slot(slot)->role == ROLE_CHECK)
            job_check_leave(job, slot);
        else
            leave_decoded(job, slot);
    } while (progressed && !job->wanted_region && !job_status(job));
    return job->wanted_region || (job->source_ended && job_ledger_empty(job) && pipeline_empty(job->pipeline));
}

/* --- differences that are none --- */

/* Zeroes what of [start, start + length) is not in `used`; `plain` stands for that range. */
static void zero_unused(uint8_t *plain, const struct extent_list *used, uint64_t start, uint64_t length)
{
    uint64_t position = 0;

    for (size_t i = extent_list_find(used, start); i < used->count && used->extents[i].offset < start + length; i++) {
        const struct extent *extent = &used->extents[i];
        uint64_t from = extent->offset > start ? extent->offset - start : 0;
        if (from > position)
            memset(plain + position, 0, (size_t)(from - position));
        position = smaller_of(extent->offset + extent->length - start, length);
    }
    memset(plain + position, 0, (size_t)(length - position));
}

/*
 * The image holds zeroes for blocks that were not in use, also beside used ones in the same piece; the disk it was taken
 * from holds what was deleted there. The file system on the disk, whose own blocks are compared like all others, tells
 * which these are.
 */
int job_verify_again(struct job *job, struct pipeline_slot *slot)
{
    const struct image_region *region = job_region_at(job->plan, slot->offset);
    unsigned index = region ? (unsigned)(region - job->plan->description.regions) + 1 : 0;
    uint8_t hash[IMAGE_HASH_SIZE], *plain = slot->plain.data;
    size_t length = (size_t)slot->chunk.length;

    if (!region || region->copied_whole || !region->fs_type[0])
        return -ERROR_MISMATCH;
    if (job->disk_used_region != index) {
        job->wanted_region = index;
        return -ERROR_BUSY;
    }
    if (!job->disk_used.count)
        return -ERROR_MISMATCH;
    zero_unused(plain, &job->disk_used, slot->offset - region->offset, length);
    if (slot->chunk.kind == IMAGE_ZERO)
        return memory_is_zero(plain, length) ? 0 : -ERROR_MISMATCH;
    image_hash(plain, length, hash);
    return memcmp(hash, slot->chunk.hash, sizeof(hash)) ? -ERROR_MISMATCH : 0;
}

/* Reads what is in use of the wanted region's file system on the disk. Nothing is in the list when that cannot be known. */
static int read_disk_used(struct job *job, struct error *error)
{
    const struct placement *placement = &job->plan->placements[job->wanted_region - 1];
    uint64_t block = job->target->geometry.logical_block;
    struct allocation *allocation = platform_allocate_zeroed(job->platform, sizeof(*allocation));
    struct block_device *volume;
    int status;

    if (!allocation)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
    extent_list_free(&job->disk_used);
    extent_list_init(&job->disk_used, job->platform);
    allocation_init(allocation, job->platform);
    status = block_slice_create(job->target, placement->target_offset / block, placement->bytes / block,
                                job->target->name, &volume, error);
    if (!status) {
        status = filesystem_allocation(volume, allocation);
        if (!status && allocation->verdict == ALLOCATION_EXACT)
            status = extent_list_subtract(&job->disk_used, &allocation->used, &allocation->blank);
        allocation_free(allocation);
        block_device_stop(volume);
    }
    platform_release(job->platform, allocation);
    job->disk_used_region = job->wanted_region;
    job->wanted_region = 0;
    return status;
}

/* The tables of a disk of another size. */
static int compare_patches(struct job *job, struct error *error)
{
    const struct plan *plan = job->plan;
    int status = 0;

    for (unsigned i = 0; i < plan->patch_count && !status; i++) {
        const struct plan_patch *patch = &plan->patches[i];
        uint8_t *data = platform_allocate(job->platform, patch->size);
        if (!data)
            return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
        status = block_read_bytes(job->target, patch->target_offset, data, patch->size, error);
        if (!status && memcmp(data, patch->data, patch->size)) {
            job->differing_bytes += patch->size;
            job_run_message(job, &job->difference, MESSAGE_DIFFERS, 0, job->target->name, patch->target_offset,
                            patch->size);
        }
        platform_release(job->platform, data);
    }
    return status;
}

static int verify_disk(struct job *job, struct error *error)
{
    int status = job_ledger_open(job, error);

    job->differences_go_on = true;
    extent_list_init(&job->disk_used, job->platform);
    if (!status)
        status = job_loop(job, verify_step);
    while (!status && job->wanted_region) {
        status = job_rest(job);
        if (!status)
            status = read_disk_used(job, error);
        if (!status)
            status = job_loop(job, verify_step);
    }
    extent_list_free(&job->disk_used);
    if (!status)
        status = job_rest(job);
    if (!status)
        status = compare_patches(job, error);
    if (!status)
        job->positions.read = job->positions.verified = job->positions.end;
    job_run_message(job, &job->difference, MESSAGE_DIFFERS, 0, NULL, 0, 0);
    job_image_damage_ends(job);
    job_ledger_close(job);
    if (status && error->code && !error->side)
        error->side = SIDE_TARGET;
    if (status)
        return status;
    if (job->differing_bytes)
        return error_set(error, ERROR_MISMATCH, OPERATION_VERIFY, job->target->name, ERROR_NO_BLOCK,
                         "%llu bytes in use are not what the image says", (unsigned long long)job->differing_bytes);
    return 0;
}

int job_verify(struct job *job, struct error *error)
{
    const struct plan *plan = job->plan;
    int status = job_open_pipeline(job, 0);

    job->damage_goes_on = true;
    if (!status)
        status = job_image_open(job, error);
    if (!status)
        status = job->target ? verify_disk(job, error) : job_image_check(job);
    if (!status && (job->result->damaged_bytes || plan->image_damaged)) {
        status = error_set(error, ERROR_CORRUPT, OPERATION_VERIFY, job->image_name, ERROR_NO_BLOCK,
                           "%llu bytes of the disk are lost", (unsigned long long)job->result->damaged_bytes);
        error->side = SIDE_IMAGE;
    }
    if (!status) {
        job->result->verification = VERIFIED_READ_BACK;
        image_reader_totals(job->reader, &job->result->totals);
    }
    if (job->reader)
        job->result->memory_bytes += image_reader_memory(job->reader);
    job->result->read_bytes = job->checked_bytes;
    job_image_close(job);
    job_close_pipeline(job);
    return status;
}
