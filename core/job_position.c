/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far the job has come on the disk. Nothing is kept while data moves: when an event goes out, what is under way is looked
 * at, and the lowest place that something still waits for is where the job stands.
 */
#include "core/job_internal.h"

/* The device whose disk the map shows; NULL: the image's. */
static const struct block_device *map_device(const struct job *job)
{
    return job->plan->kind == JOB_CAPTURE ? job->source : job->target;
}

void job_positions_begin(struct job *job)
{
    const struct plan *plan = job->plan;
    const struct block_device *device = map_device(job);
    struct job_positions *positions = &job->positions;
    int wanted = job_wanted_region(plan);

    if (device) {
        if (device == plan->source_slice || device == plan->target_slice)
            positions->base = device->parent_lba * device->geometry.logical_block;
        positions->begin = positions->base;
        positions->end = positions->base + block_device_bytes(device);
    } else if (wanted >= 0) {
        positions->begin = plan->description.regions[wanted].offset;
        positions->end = positions->begin + plan->description.regions[wanted].bytes;
    } else {
        positions->end = plan->description.disk_bytes;
    }
}

static uint64_t larger_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void advance(const struct job *job, uint64_t *position, uint64_t offset)
{
    const struct job_positions *positions = &job->positions;
    uint64_t room = positions->end - positions->base;
    uint64_t at = positions->base + smaller_of(offset, room);

    *position = larger_of(*position, larger_of(at, positions->begin));
}

/* Where on the target what lies before `source_offset` ends. */
static uint64_t on_target(const struct job *job, uint64_t source_offset)
{
    const struct plan *plan = job->plan;
    uint64_t end = 0;

    for (unsigned i = 0; i < plan->placement_count && plan->placements[i].source_offset <= source_offset; i++) {
        const struct placement *placement = &plan->placements[i];
        if (!placement->skip)
            end = placement->target_offset + smaller_of(source_offset - placement->source_offset, placement->bytes);
    }
    return end;
}

/* The lowest source offset of the chunks that are on their way and not in the hands of the target's channel; at most `limit`. */
static uint64_t lowest_copy(const struct job *job, uint64_t limit)
{
    for (unsigned i = 0; job->pipeline && i < pipeline_slots(job->pipeline); i++) {
        const struct pipeline_slot *slot = pipeline_slot_at(job->pipeline, i);
        uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
        const struct job_slot *own = slot->user;
        if (own && own->role == ROLE_COPY && state != SLOT_FREE && state != SLOT_TAKEN)
            limit = smaller_of(limit, own->source_offset);
    }
    return limit;
}

/* The lowest place of what is being compared: on the target; where only an image is decoded, on its disk. */
static uint64_t lowest_check(const struct job *job, uint64_t limit)
{
    for (unsigned i = 0; job->pipeline && i < pipeline_slots(job->pipeline); i++) {
        const struct pipeline_slot *slot = pipeline_slot_at(job->pipeline, i);
        const struct job_slot *own = slot->user;
        if (own && own->role == ROLE_CHECK && atomic_load_explicit(&slot->state, memory_order_relaxed) != SLOT_FREE)
            limit = smaller_of(limit, job->target ? own->target_offset : own->source_offset);
    }
    return limit;
}

static void update_capture(struct job *job)
{
    struct job_positions *positions = &job->positions;
    uint64_t position = job->cursor.position;

    if (job->writer) {
        advance(job, &positions->read, smaller_of(position, job_channel_front(&job->reads)));
        advance(job, &positions->written, lowest_copy(job, position));
    } else if (job->reader && positions->written) { /* not what is compared before a capture goes on */
        advance(job, &positions->verified, lowest_check(job, job->image_position));
    }
}

static void update_copy(struct job *job)
{
    struct job_positions *positions = &job->positions;
    uint64_t position = job->reader ? job->image_position : job->cursor.position;
    uint64_t written;

    if (!job->fill)
        return;
    advance(job, &positions->read, on_target(job, smaller_of(position, job_channel_front(&job->reads))));
    written = smaller_of(on_target(job, lowest_copy(job, position)), job_channel_front(&job->writes));
    advance(job, &positions->written, written);
    if (!job->options->no_verify)
        advance(job, &positions->verified, lowest_check(job, smaller_of(written, job_ledger_lowest(job))));
}

static void update_verify(struct job *job)
{
    struct job_positions *positions = &job->positions;
    uint64_t next = job->image_position;

    if (!job->reader)
        return;
    if (job->target)
        next = smaller_of(on_target(job, next), job_ledger_lowest(job));
    advance(job, &positions->read, smaller_of(next, job_channel_front(&job->checks)));
    advance(job, &positions->verified, lowest_check(job, next));
}

void job_positions_update(struct job *job)
{
    if (job_status(job))
        return;
    switch (job->plan->kind) {
    case JOB_CAPTURE:
        update_capture(job);
        break;
    case JOB_RESTORE:
    case JOB_CLONE:
        update_copy(job);
        break;
    case JOB_VERIFY:
        update_verify(job);
        break;
    }
}

unsigned job_first_partition(const struct job *job)
{
    const struct plan *plan = job->plan;
    bool from_disk = plan->kind == JOB_CLONE || (plan->kind == JOB_CAPTURE && job->phase == PHASE_COPY);
    uint64_t position = from_disk ? job->cursor.position : job->image_position;
    int wanted = from_disk ? -1 : job_wanted_region(plan);
    const struct image_region *region;

    if (job->phase == PHASE_FINISH)
        return 0;
    if (job->phase == PHASE_READ_BACK && !job_ledger_empty(job))
        return job_ledger_oldest(job)->partition;
    if (wanted >= 0)
        position = larger_of(position, plan->description.regions[wanted].offset);
    region = job_region_at(plan, position);
    return region ? region->partition : 0;
}
