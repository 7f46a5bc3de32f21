/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A capture that was cut off goes on: its image gets a further session.
 *
 * One image is of one disk at one time. So the source must be the same disk with the same table and the same blocks in use, and
 * what the image holds already is read from it once more and compared. The image is changed only when all of that is right.
 */
#include "core/job_internal.h"

#include <string.h>

/* --- the plan --- */

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    return a_size == b_size && (!a_size || !memcmp(a, b, a_size));
}

static bool same_disk(const struct image_description *a, const struct image_description *b)
{
    return a->disk_bytes == b->disk_bytes && a->logical_block == b->logical_block &&
           a->is_partition == b->is_partition && !strcmp(a->model, b->model) && !strcmp(a->serial, b->serial);
}

/* Labels are left out: long ones are cut in the header. */
static bool same_regions(const struct image_description *a, const struct image_description *b)
{
    for (unsigned i = 0; i < a->region_count && a->region_count == b->region_count; i++) {
        const struct image_region *left = &a->regions[i], *right = &b->regions[i];
        if (left->offset != right->offset || left->bytes != right->bytes || left->partition != right->partition ||
            strcmp(left->fs_type, right->fs_type) || strcmp(left->fs_uuid, right->fs_uuid))
            return false;
    }
    return a->region_count == b->region_count;
}

/* What the image says of its disk against what the disk is now. */
static void compare_disks(struct plan *plan, const struct image_description *image)
{
    const struct image_description *now = &plan->description;
    const char *disk = plan_source_device(plan)->name, *name = plan->request.target.store->name;

    if (!same_disk(image, now))
        plan_refuse(plan, MESSAGE_CONTINUES_OTHER_DISK, name, image->serial[0] ? image->serial : image->model, 0, 0);
    else if (!same_regions(image, now) ||
             !same_bytes(image->table_head, image->table_head_size, now->table_head, now->table_head_size) ||
             !same_bytes(image->table_tail, image->table_tail_size, now->table_tail, now->table_tail_size))
        plan_refuse(plan, MESSAGE_SOURCE_CHANGED, disk, "its partition table or its file systems", 0, 0);
    else if (memcmp(image->map_hash, now->map_hash, IMAGE_HASH_SIZE))
        plan_refuse(plan, MESSAGE_SOURCE_CHANGED, disk, "which of its blocks are in use", 0, 0);
}

static void cannot_continue(struct plan *plan, const char *why)
{
    plan_refuse(plan, MESSAGE_CANNOT_CONTINUE, plan->request.target.store->name, why, 0, 0);
}

static uint64_t used_before(const struct plan *plan, uint64_t end)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < plan->used.count && plan->used.extents[i].offset < end; i++)
        bytes += smaller_of(plan->used.extents[i].length, end - plan->used.extents[i].offset);
    return bytes;
}

int plan_continue(struct loop *loop, struct plan *plan, struct error *error)
{
    struct stream_store *store = plan->request.target.store;
    struct image_description image;

    if (plan->request.target.is_pipe || !store->reopen) {
        cannot_continue(plan, plan->request.target.is_pipe ? "it is a pipe" : "files cannot be changed there");
        return 0;
    }
    int status = image_look(loop, store, &image, &plan->kept, error);
    if (status == -ERROR_NOT_FOUND)
        plan_refuse(plan, MESSAGE_NO_IMAGE_TO_CONTINUE, store->name, NULL, 0, 0);
    else if (status == -ERROR_CORRUPT || status == -ERROR_INCOMPLETE || status == -ERROR_UNSUPPORTED)
        cannot_continue(plan, error->detail);
    if (status) {
        if (!plan->refused)
            error->side = SIDE_IMAGE;
        return plan->refused ? 0 : status;
    }
    if (plan->kept.complete)
        plan_refuse(plan, MESSAGE_IMAGE_COMPLETE, store->name, NULL, 0, 0);
    else
        compare_disks(plan, &image);
    if (plan->refused) {
        image_description_free(&image);
        return 0;
    }
    image_description_free(&plan->description);
    plan->description = image;
    message_add(&plan->messages, MESSAGE_INFO, MESSAGE_CONTINUED, 0, store->name, NULL,
                used_before(plan, plan->kept.disk_bytes), 0);
    return 0;
}

/* --- what is there, compared with the source --- */

static void image_ends(struct job *job, uint64_t offset)
{
    job_image_drop(job);
    job->image_end = offset;
}

/* The image's next chunk is in job->next_chunk. False: it is not here yet, or the image is not whole behind job->image_end. */
static bool peek(struct job *job)
{
    struct image_chunk *chunk = &job->next_chunk;
    struct error error;
    int status;

    if (job->have_next || job->image_end != UINT64_MAX)
        return job->have_next;
    memset(&error, 0, sizeof(error));
    status = image_reader_next(job->reader, chunk, &job->next_offset, &job->next_hold, &error);
    if (status == -ERROR_FULL)
        return false;
    if (!status && (chunk->kind == IMAGE_DATA || chunk->kind == IMAGE_PARTIAL))
        status = chunk_check_stored(chunk);
    if (!status) {
        job->have_next = true;
        return true;
    }
    if (status == -ERROR_END || status == -ERROR_INCOMPLETE || status == -ERROR_CORRUPT) {
        image_ends(job, job->compared);
        return false;
    }
    error.side = SIDE_IMAGE;
    job_fail(job, &error);
    return false;
}

/* Would the chunk in the slot become what the image has there? What cannot be read, then or now, is not compared. */
static bool same_as_image(const struct job *job, struct pipeline_slot *slot)
{
    const struct image_chunk *then = &job->next_chunk, *now = &slot->chunk;

    if (then->kind == IMAGE_UNREADABLE || then->lost_pieces || now->kind == IMAGE_UNREADABLE ||
        job_slot(slot)->unreadable_bytes)
        return true;
    if (then->kind != now->kind)
        return false;
    if (now->kind != IMAGE_DATA && now->kind != IMAGE_PARTIAL)
        return true;
    return job->next_offset == job_slot(slot)->source_offset && then->length == now->length &&
           !memcmp(then->hash, now->hash, IMAGE_HASH_SIZE);
}

static void source_changed(struct job *job)
{
    struct error error;

    error_set(&error, ERROR_REFUSED, OPERATION_NONE, job->source->name, ERROR_NO_BLOCK,
              "it has changed at byte %llu since its capture was cut off; the image stays as it is, start over under "
              "another name",
              (unsigned long long)job->compared);
    error.side = SIDE_SOURCE;
    job_fail(job, &error);
}

/* Chunks and runs need not end where the image's do. True when anything moved on. */
static bool compare(struct job *job)
{
    struct pipeline_slot *slot = pipeline_oldest(job->pipeline);
    uint64_t before = job->compared;

    if (!slot)
        return false;
    uint64_t slot_end = job_slot(slot)->source_offset + slot->chunk.length;
    while (job->compared < slot_end && peek(job)) {
        uint64_t chunk_end = job->next_offset + job->next_chunk.length;
        if (!same_as_image(job, slot)) {
            source_changed(job);
            return false;
        }
        job->compared = smaller_of(chunk_end, slot_end);
        if (job->compared == chunk_end)
            job_image_drop(job);
    }
    if (job->compared < slot_end)
        return job->compared > before;
    job->partition = job_slot(slot)->partition;
    job->checked_bytes += job_slot(slot)->used_bytes;
    pipeline_release(job->pipeline, slot);
    return true;
}

static bool compare_step(struct job *job)
{
    bool progressed;

    do {
        progressed = job_source_pump(job);
        progressed |= compare(job);
    } while (progressed && !job_status(job) && job->image_end == UINT64_MAX);
    return job->image_end != UINT64_MAX || (job->source_ended && pipeline_empty(job->pipeline));
}

/* *whole: up to here on the disk, the image is whole and says what the source says. */
static int compare_captured(struct job *job, uint64_t *whole, struct error *error)
{
    uint64_t total_bytes = job->total_bytes;
    struct stream_store *store = job->plan->request.target.store;
    int status = image_reader_open(job->loop, store, IMAGE_READ_STREAM, &job->reader, error);

    if (status) {
        error->side = SIDE_IMAGE;
        return status;
    }
    struct image_reader *reader = job->reader;
    job->image_name = store->name;
    job->image_end = UINT64_MAX;
    job->compared = 0;
    job->total_bytes = used_before(job->plan, job->plan->kept.disk_bytes);
    job_phase(job, PHASE_READ_BACK);
    status = job_open_pipeline(job, 0);
    if (!status)
        status = job_source_open(job, PIPELINE_DIGEST, error);
    if (!status)
        status = job_loop(job, compare_step);
    *whole = job->compared;
    job_source_close(job);
    job_image_close(job);
    job_close_pipeline(job);
    image_reader_close(reader);
    job->result->compared_bytes = job->result->read_bytes;
    job->total_bytes = total_bytes;
    job->checked_bytes = 0;
    job->image_position = 0;
    return status;
}

int job_continue_image(struct job *job, struct stream_store *store, struct error *error)
{
    struct image_kept kept;
    uint64_t whole;
    int status = compare_captured(job, &whole, error);

    if (status)
        return status;
    status = image_writer_continue(job->loop, store, job->options->split, whole, &job->writer, &kept, error);
    if (status) {
        error->side = SIDE_IMAGE;
        return status;
    }
    memset(&job->reads, 0, sizeof(job->reads));
    memset(&job->cursor, 0, sizeof(job->cursor));
    job->source_ended = false;
    job->cursor.position = kept.disk_bytes;
    job->copied_bytes = used_before(job->plan, kept.disk_bytes);
    job->result->unreadable_bytes += kept.unreadable_bytes;
    job_message(job, MESSAGE_INFO, MESSAGE_CONTINUED, 0, store->name, NULL, job->copied_bytes, 0);
    job_phase(job, PHASE_COPY);
    return 0;
}
