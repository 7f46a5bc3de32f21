/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Image -> slots. */
#include "core/job_internal.h"

#include <string.h>

int job_wanted_region(const struct plan *plan)
{
    if (!plan->request.source.partition || plan->description.is_partition)
        return -1;
    for (unsigned i = 0; i < plan->description.region_count; i++)
        if (plan->description.regions[i].partition == plan->request.source.partition)
            return (int)i;
    return -1;
}

int job_image_open(struct job *job, struct error *error)
{
    const struct plan *plan = job->plan;
    int wanted = job_wanted_region(plan);

    job->reader = plan->reader;
    job->image_name = plan->request.source.store->name;
    job->image_is_pipe = plan->request.source.is_pipe;
    job->image_end = UINT64_MAX;
    if (wanted < 0)
        return 0;
    job->image_end = plan->description.regions[wanted].offset + plan->description.regions[wanted].bytes;
    return job->image_is_pipe ? 0 : image_reader_seek_region(job->reader, (unsigned)wanted, error);
}

int job_image_rewind(struct job *job, struct error *error)
{
    int wanted = job_wanted_region(job->plan);

    job_image_drop(job);
    job->source_ended = false;
    job->image_position = 0;
    return image_reader_seek_region(job->reader, wanted < 0 ? 0 : (unsigned)wanted, error);
}

void job_image_drop(struct job *job)
{
    if (job->have_next)
        job->image_position = job->next_offset + job->next_chunk.length;
    if (job->next_hold)
        image_reader_release(job->reader, job->next_hold);
    job->next_hold = NULL;
    job->have_next = false;
}

bool job_image_peek(struct job *job)
{
    struct error error;
    int status;

    if (job->have_next)
        return true;
    if (job->source_ended)
        return false;
    memset(&error, 0, sizeof(error));
    status = image_reader_next(job->reader, &job->next_chunk, &job->next_offset, &job->next_hold, &error);
    job->stored_bytes = image_reader_consumed(job->reader);
    if (status == -ERROR_FULL)
        return false;
    if (status == -ERROR_END) {
        job->source_ended = true;
        return false;
    }
    if (status) {
        if (!error.code)
            error_set(&error, (enum error_code) - status, OPERATION_READ, job->image_name, ERROR_NO_BLOCK, "%s", "");
        error.side = SIDE_IMAGE;
        job_fail(job, &error);
        return false;
    }
    job->have_next = true;
    if ((job->next_chunk.kind == IMAGE_DATA || job->next_chunk.kind == IMAGE_PARTIAL) &&
        job->next_chunk.length > job->chunk_size) {
        error_set(&error, ERROR_CORRUPT, OPERATION_PARSE, job->image_name, job->next_offset, "a chunk is too long");
        error.side = SIDE_IMAGE;
        job_fail(job, &error);
        return false;
    }
    /* A pipe is read to its end, past the region that is wanted: only there it is known to be whole. */
    if (job->next_offset >= job->image_end && !job->image_is_pipe) {
        job_image_drop(job);
        job->source_ended = true;
        return false;
    }
    return true;
}

void job_image_take(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);
    const struct image_region *region = job_region_at(job->plan, job->next_offset);

    slot->chunk = job->next_chunk;
    job_set_map(slot, job->next_chunk.kind == IMAGE_PARTIAL ? job->next_chunk.map : NULL);
    slot->offset = job->next_offset;
    own->source_offset = job->next_offset;
    own->unreadable_bytes = 0;
    own->partition = region ? region->partition : 0;
    own->used_bytes = slot->chunk.kind == IMAGE_UNUSED ? 0 : job_map_bytes(slot);
    own->hold = job->next_hold;
    job->next_hold = NULL;
    job->have_next = false;
    job->image_position = own->source_offset + slot->chunk.length;
    if (slot->chunk.kind == IMAGE_DATA || slot->chunk.kind == IMAGE_PARTIAL)
        job->taken_bytes += own->used_bytes;
}

void job_image_release(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);

    if (own->hold)
        image_reader_release(job->reader, own->hold);
    own->hold = NULL;
    slot->chunk.stored = NULL;
}

void job_image_damaged(struct job *job, uint64_t offset, uint64_t bytes, int status)
{
    const struct image_region *region = job_region_at(job->plan, offset);
    struct error error;

    job->result->damaged_bytes += bytes;
    job_run_message(job, &job->damaged_run, MESSAGE_IMAGE_DAMAGED, region ? region->partition : 0, NULL, offset, bytes);
    if (job->damage_goes_on)
        return;
    error_set(&error, (enum error_code) - status, OPERATION_VERIFY, job->image_name, offset,
              "the chunk at byte %llu of the disk does not have its hash", (unsigned long long)offset);
    error.side = SIDE_IMAGE;
    job_fail(job, &error);
}

void job_image_holes(struct job *job, uint64_t offset, const struct image_chunk *chunk)
{
    const struct image_region *region = job_region_at(job->plan, offset);
    uint64_t bytes = (uint64_t)chunk->lost_pieces * IMAGE_PIECE;

    if (!chunk->lost_pieces)
        return;
    job->result->unreadable_bytes += bytes < chunk->length ? bytes : chunk->length;
    job_message(job, MESSAGE_WARNING, MESSAGE_IMAGE_HOLES, region ? region->partition : 0, NULL, NULL, offset,
                chunk->length);
}

void job_image_unreadable(struct job *job, uint64_t offset, uint64_t bytes)
{
    const struct image_region *region = job_region_at(job->plan, offset);

    job->result->unreadable_bytes += bytes;
    job_run_message(job, &job->damaged_run, MESSAGE_IMAGE_UNREADABLE, region ? region->partition : 0, NULL, offset,
                    bytes);
}

void job_image_damage_ends(struct job *job)
{
    const struct message run = job->damaged_run;

    job_run_message(job, &job->damaged_run, MESSAGE_IMAGE_DAMAGED, 0, NULL, 0, 0);
    if (run.id == MESSAGE_IMAGE_DAMAGED && run.number[0] + run.number[1] == job->plan->description.disk_bytes)
        job_message(job, MESSAGE_WARNING, MESSAGE_IMAGE_INCOMPLETE, 0, NULL, NULL, run.number[0], 0);
}

void job_image_decode(struct job *job, struct pipeline_slot *slot, enum slot_role role)
{
    job_image_take(job, slot);
    job_slot(slot)->role = role;
    if (slot->chunk.kind == IMAGE_DATA || slot->chunk.kind == IMAGE_PARTIAL) {
        job_ready(job, slot, PIPELINE_DECODE);
    } else {
        pipeline_skip(job->pipeline, slot);
    }
}

/* --- decoding all of it --- */

static bool check_fill(struct job *job)
{
    bool progressed = false;

    while (job_image_peek(job)) {
        struct pipeline_slot *slot = job_claim(job);
        if (!slot)
            break;
        job_image_decode(job, slot, ROLE_CHECK);
        progressed = true;
    }
    return progressed;
}

static bool check_drain(struct job *job)
{
    struct pipeline_slot *slot = pipeline_oldest(job->pipeline);

    if (!slot)
        return false;
    job->partition = job_slot(slot)->partition;
    job_count_work(job, slot);
    if (slot->status || (slot->chunk.kind == IMAGE_UNREADABLE && slot->chunk.lost))
        job_image_damaged(job, slot->offset, slot->chunk.length, slot->status ? slot->status : -ERROR_CORRUPT);
    else if (slot->chunk.kind == IMAGE_UNREADABLE && job->plan->kind == JOB_VERIFY)
        job_image_unreadable(job, slot->offset, slot->chunk.length);
    else
        job->result->verified_bytes += job_slot(slot)->used_bytes;
    if (!slot->status && chunk_has_data(&slot->chunk) && job->plan->kind == JOB_VERIFY)
        job_image_holes(job, slot->offset, &slot->chunk);
    job->checked_bytes += job_slot(slot)->used_bytes;
    job_image_release(job, slot);
    pipeline_release(job->pipeline, slot);
    return true;
}

static bool check_step(struct job *job)
{
    bool progressed;

    do {
        progressed = check_fill(job);
        progressed |= check_drain(job);
    } while (progressed && !job_status(job));
    return job->source_ended && pipeline_empty(job->pipeline);
}

int job_image_check(struct job *job)
{
    int status = job_loop(job, check_step);

    if (!status)
        job->positions.read = job->positions.verified = job->positions.end;
    job_image_damage_ends(job);
    return status;
}

void job_image_close(struct job *job)
{
    if (!job->reader)
        return;
    job_image_drop(job);
    for (unsigned i = 0; i < job->slots_used; i++)
        if (job->slots[i].hold)
            image_reader_release(job->reader, job->slots[i].hold);
    for (unsigned i = 0; i < job->slots_used; i++)
        job->slots[i].hold = NULL;
    job->reader = NULL;
}
