/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Restore: image -> slots -> decoded -> disk, read back, the tables last. */
#include "core/job_internal.h"

static bool restore_fill(struct job *job)
{
    bool progressed = false;

    while (job_image_peek(job)) {
        struct pipeline_slot *slot;
        uint64_t target_offset;
        if (!job_place(job->plan, job->next_offset, job->next_chunk.length, &target_offset) || job_is_written(job)) {
            job_image_drop(job);
            progressed = true;
            continue;
        }
        slot = job_claim(job);
        if (!slot)
            break;
        job_image_decode(job, slot, ROLE_COPY);
        progressed = true;
    }
    return progressed;
}

int job_write_target(struct job *job, bool (*fill)(struct job *job), struct error *error)
{
    int status = job_target_open(job, error);

    if (!status)
        status = job_target_begin(job, error);
    if (!status && job->options->resume)
        status = job_find_written(job, error);
    if (!status)
        status = job_target_copy(job, fill);
    if (!status) {
        job_phase(job, PHASE_FINISH);
        status = job_rest(job);
    }
    if (!status)
        status = job_target_finish(job, error);
    if (status && error->code && !error->side)
        error->side = SIDE_TARGET;
    if (!status && job->writes.discard_failed)
        job_message(job, MESSAGE_WARNING, MESSAGE_DISCARD_UNSUPPORTED, 0, job->target->name, NULL, 0, 0);
    if (!status && job->options->no_verify)
        job_message(job, MESSAGE_INFO, MESSAGE_NOT_READ_BACK, 0, job->target->name, NULL, 0, 0);
    else if (!status)
        job->result->verification = VERIFIED_READ_BACK;
    return status;
}

int job_restore(struct job *job, struct error *error)
{
    int status = job_open_pipeline(job, 0);

    job->damage_goes_on = job->options->salvage;
    if (!status)
        status = job_image_open(job, error);
    if (status && error->code)
        error->side = SIDE_IMAGE;
    if (!status)
        status = job_write_target(job, restore_fill, error);
    if (!status)
        image_reader_totals(job->reader, &job->result->totals);
    if (job->reader)
        job->result->memory_bytes += image_reader_memory(job->reader);
    job->result->read_bytes = job->stored_bytes;
    job_target_close(job);
    job_forget_written(job);
    job_image_close(job);
    job_close_pipeline(job);
    return status;
}
