/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A restore that was cut off goes on: what it brought to the target is found by reading and hashing, and is not written again.
 *
 * Nothing is believed that was not read from the target now: writes that were lost in a cache when the power or the plug went are
 * seen. Zeroes are written again, which most disks do faster than they read; so are the chunks that hold tables.
 */
#include "core/job_internal.h"

#include <string.h>

static bool reaches_held(const struct job *job, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < job->held_count; i++)
        if (offset < job->held[i].offset + job->held[i].size && job->held[i].offset < offset + length)
            return true;
    return false;
}

/* Where the next chunk goes as it is, all of it. False: it does not, or is none that would be compared. */
static bool whole_place(const struct job *job, struct job_slot *own)
{
    const struct image_region *region = job_region_at(job->plan, job->next_offset);
    const struct image_chunk *chunk = &job->next_chunk;

    if (chunk->kind != IMAGE_DATA && chunk->kind != IMAGE_PARTIAL)
        return false;
    memset(own, 0, sizeof(*own));
    if (job_place(job->plan, job->next_offset, chunk->length, &own->target_offset) < chunk->length)
        return false;
    own->source_offset = job->next_offset;
    own->partition = region ? region->partition : 0;
    own->used_bytes = chunk->kind == IMAGE_PARTIAL ? job_piece_bytes(chunk->map, chunk->length) : chunk->length;
    return !reaches_held(job, own->target_offset, chunk->length);
}

bool job_is_written(struct job *job)
{
    struct job_slot own;

    if (!job->written.count || !whole_place(job, &own) ||
        !extent_list_contains(&job->written, own.target_offset, job->next_chunk.length))
        return false;
    job->copied_bytes += own.used_bytes;
    return true;
}

static bool compare_fill(struct job *job)
{
    bool progressed = false;

    while (job_ledger_has_room(job) && job_image_peek(job)) {
        const struct image_chunk *chunk = &job->next_chunk;
        struct job_slot own;
        if (whole_place(job, &own))
            job_ledger_add(job, chunk, chunk->kind == IMAGE_PARTIAL ? chunk->map : NULL, &own, own.target_offset,
                           chunk->length);
        job_image_drop(job);
        progressed = true;
    }
    return progressed;
}

static void note_compared(struct job *job, struct pipeline_slot *slot)
{
    const struct job_slot *own = job_slot(slot);
    struct error error;

    job->checked_bytes += own->used_bytes;
    if (!slot->status) {
        job->result->verified_bytes += own->used_bytes;
        if (extent_list_add(&job->written, own->target_offset, slot->chunk.length)) {
            error_set(&error, ERROR_NO_MEMORY, OPERATION_VERIFY, job->target->name, ERROR_NO_BLOCK,
                      "no memory to note what is written");
            job_fail(job, &error);
        }
    }
    job->overlap.checking--;
    pipeline_release(job->pipeline, slot);
}

static bool compare_step(struct job *job)
{
    struct pipeline_slot *slot;
    bool progressed;

    do {
        progressed = compare_fill(job);
        progressed |= job_check_pump(job);
        slot = pipeline_oldest(job->pipeline);
        if (slot) {
            note_compared(job, slot);
            progressed = true;
        }
    } while (progressed && !job_status(job));
    return job->source_ended && job_ledger_empty(job) && pipeline_empty(job->pipeline);
}

int job_find_written(struct job *job, struct error *error)
{
    int status;

    extent_list_init(&job->written, job->platform);
    job_phase(job, PHASE_READ_BACK);
    status = job_loop(job, compare_step);
    /* A list that closed gaps names places that were not compared. */
    if (job->written.coarsened)
        extent_list_free(&job->written);
    if (!status)
        status = job_image_rewind(job, error);
    job->checked_bytes = 0;
    job_message(job, MESSAGE_INFO, MESSAGE_CONTINUED, 0, job->target->name, NULL, job->result->verified_bytes, 0);
    return status;
}

void job_forget_written(struct job *job)
{
    if (job->written.platform)
        extent_list_free(&job->written);
}
