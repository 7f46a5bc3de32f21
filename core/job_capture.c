/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capture: disk -> slots -> compressed -> image, then the image read back. */
#include "core/job_internal.h"

#include <string.h>

/* --- the store, with a count of what this run created --- */

struct counting_store {
    struct stream_store store; /* first */
    struct stream_store *inner;
    bool is_pipe;
    unsigned first,
        created; /* volumes [first, created) are this run's: of a split image 0 is none, and may be another's */
};

/*
 * An image is one file or volumes: who finds both reads the wrong one. A file of the other kind that has the name already is another
 * image's.
 */
static int check_other_kind(struct counting_store *counting, unsigned volume, struct error *error)
{
    struct stream_store *inner = counting->inner;
    struct stream *other;

    if (counting->is_pipe || counting->created || volume > 1 || inner->open(inner, 1 - volume, false, &other, NULL))
        return 0;
    stream_close(other, NULL);
    return error_set(error, ERROR_EXISTS, OPERATION_OPEN, inner->name, ERROR_NO_BLOCK, "%s",
                     volume ? "a file has the name of this image in volumes"
                            : "files of an image in volumes (.001 and so on) have this name");
}

static int counting_open(struct stream_store *store, unsigned volume, bool write, struct stream **stream,
                         struct error *error)
{
    struct counting_store *counting = (struct counting_store *)store;
    int status = write ? check_other_kind(counting, volume, error) : 0;

    if (!status)
        status = counting->inner->open(counting->inner, volume, write, stream, error);
    if (!status && write && !counting->created)
        counting->first = volume;
    if (!status && write && volume >= counting->created)
        counting->created = volume + 1;
    return status;
}

static int counting_reopen(struct stream_store *store, unsigned volume, uint64_t length, struct stream **stream,
                           struct error *error)
{
    struct counting_store *counting = (struct counting_store *)store;

    counting->created = volume + 1;
    return counting->inner->reopen(counting->inner, volume, length, stream, error);
}

static uint64_t counting_free_space(struct stream_store *store)
{
    struct counting_store *counting = (struct counting_store *)store;

    return counting->inner->free_space ? counting->inner->free_space(counting->inner) : UINT64_MAX;
}

static void counting_close(struct stream_store *store)
{
    (void)store; /* the caller's */
}

static void counting_init(struct counting_store *counting, const struct job_end *target)
{
    struct stream_store *inner = target->store;

    counting->store = *inner;
    counting->store.open = counting_open;
    counting->store.reopen = inner->reopen ? counting_reopen : NULL;
    counting->store.remove = NULL;
    counting->store.free_space = counting_free_space;
    counting->store.close = counting_close;
    counting->inner = inner;
    counting->is_pipe = target->is_pipe;
    counting->first = counting->created = 0;
}

/* After a cancel nobody wants the beginning of an image; after a failure it may be all that is left. */
static void remove_volumes(struct counting_store *counting)
{
    struct stream_store *inner = counting->inner;

    for (unsigned i = counting->first; inner->remove && i < counting->created; i++)
        inner->remove(inner, i, NULL);
}

/* --- slots -> image --- */

static bool add(struct job *job, const struct image_chunk *chunk)
{
    struct error error;
    int status;

    memset(&error, 0, sizeof(error));
    status = image_writer_add(job->writer, chunk, &error);
    if (!status)
        return true;
    error.code = error.code ? error.code : (enum error_code) - status;
    error.side = SIDE_IMAGE;
    job_fail(job, &error);
    return false;
}

/* A run grows while neighbours of its kind come; runs end with their region. */
static bool joins_run(const struct job *job, struct pipeline_slot *slot)
{
    const struct image_region *region = job_region_at(job->plan, job_slot(slot)->source_offset);

    return job->run.length && job->run.kind == slot->chunk.kind && region->offset != job_slot(slot)->source_offset;
}

static void leave(struct job *job, struct pipeline_slot *slot)
{
    job->partition = job_slot(slot)->partition;
    job->copied_bytes += job_slot(slot)->used_bytes;
    job_count_work(job, slot);
    job_source_leave(job, slot);
    pipeline_release(job->pipeline, slot);
}

/* Takes the oldest slot as far as the writer does not have to wait; true when anything moved on. */
static bool drain(struct job *job)
{
    struct pipeline_slot *slot = pipeline_oldest(job->pipeline);
    struct error error;

    if ((!slot && !(job->source_ended && pipeline_empty(job->pipeline) && job->run.length)) ||
        !image_writer_ready(job->writer))
        return false;
    if (slot && slot->status) {
        error_set(&error, (enum error_code) - slot->status, OPERATION_NONE, "", ERROR_NO_BLOCK,
                  "a chunk could not be compressed");
        job_fail(job, &error);
        return false;
    }
    if (slot && slot->chunk.kind == IMAGE_ZERO && job_slot(slot)->unreadable_bytes)
        slot->chunk.kind = IMAGE_UNREADABLE; /* whether all of it was zero nobody knows */
    if (job->run.length && !(slot && joins_run(job, slot))) {
        if (!add(job, &job->run))
            return false;
        job->run.length = 0;
        return true; /* the writer may have to wait now */
    }
    if (chunk_has_data(&slot->chunk)) {
        slot->chunk.lost_pieces = job_slot(slot)->lost_pieces;
        if (!add(job, &slot->chunk))
            return false;
    } else if (job->run.length) {
        job->run.length += slot->chunk.length;
    } else {
        memset(&job->run, 0, sizeof(job->run));
        job->run.kind = slot->chunk.kind;
        job->run.length = slot->chunk.length;
    }
    leave(job, slot);
    return true;
}

static bool capture_step(struct job *job)
{
    bool progressed;

    do {
        progressed = job_source_pump(job);
        progressed |= drain(job);
    } while (progressed && !job_status(job));
    pipeline_watch(job->pipeline, image_writer_idle(job->writer));
    return job->source_ended && pipeline_empty(job->pipeline) && !job->run.length;
}

/* Most of what is left goes out where a pause and the wish to cancel are heard. */
static bool flush_step(struct job *job)
{
    return image_writer_idle(job->writer);
}

static int begin_image(struct job *job, struct counting_store *counting, struct error *error)
{
    int status;

    if (job->options->resume)
        return job_continue_image(job, &counting->store, error);
    status = image_writer_create(job->loop, &counting->store, &job->plan->description, job->options->split,
                                 &job->writer, error);
    if (status)
        error->side = SIDE_IMAGE;
    return status;
}

static int write_image(struct job *job, struct counting_store *counting, struct error *error)
{
    const struct job_options *options = job->options;
    int status = begin_image(job, counting, error);

    if (status)
        return status;
    status = job_open_pipeline(job, options->level ? options->level : LEVEL_AUTO);
    if (!status)
        status = job_source_open(job, PIPELINE_ENCODE, error);
    if (!status)
        status = job_loop(job, capture_step);
    job_source_close(job);
    if (job->pipeline)
        job->result->level_tenths = pipeline_level_tenths(job->pipeline);
    job_close_pipeline(job);
    if (!status) {
        job->positions.read = job->positions.end;
        job_phase(job, PHASE_FLUSH);
        status = job_loop(job, flush_step);
    }
    if (!status) {
        status = image_writer_finish(job->writer, &job->result->totals, error);
        if (status)
            error->side = SIDE_IMAGE;
    }
    if (!status)
        job->positions.written = job->positions.end;
    job->stored_bytes = image_writer_stored(job->writer);
    /* The read-back afterwards needs less. */
    job->result->memory_bytes += image_writer_memory(job->writer);
    image_writer_destroy(job->writer);
    job->writer = NULL;
    return status;
}

/* --- the image read back --- */

static int read_image_back(struct job *job, struct error *error)
{
    struct stream_store *store = job->plan->request.target.store;
    struct image_totals totals;
    int status;

    job_phase(job, PHASE_READ_BACK);
    job->source_ended = false;
    job->image_name = store->name;
    job->image_end = UINT64_MAX;
    status = job_rest(job);
    if (status)
        return status;
    status = image_reader_open(job->loop, store, IMAGE_READ_VERIFIED, &job->reader, error);
    if (status) {
        error->side = SIDE_IMAGE;
        return status;
    }
    struct image_reader *reader = job->reader;
    if (!image_reader_totals(reader, &totals) || memcmp(totals.root, job->result->totals.root, IMAGE_HASH_SIZE)) {
        status = error_set(error, ERROR_MISMATCH, OPERATION_VERIFY, store->name, ERROR_NO_BLOCK,
                           "the image read back is not the one that was written");
        error->side = SIDE_IMAGE;
    }
    if (!status)
        status = job_open_pipeline(job, 0);
    if (!status)
        status = job_image_check(job);
    job_image_close(job);
    job_close_pipeline(job);
    image_reader_close(reader);
    if (!status)
        job->result->verification = VERIFIED_READ_BACK;
    return status;
}

int job_capture(struct job *job, struct error *error)
{
    const struct job_end *target = &job->plan->request.target;
    struct counting_store counting;
    int status;

    counting_init(&counting, target);
    status = write_image(job, &counting, error);
    if (!status && (job->options->no_verify || target->is_pipe))
        job_message(job, MESSAGE_INFO, MESSAGE_NOT_READ_BACK, 0, target->store->name, NULL, 0, 0);
    else if (!status)
        status = read_image_back(job, error);
    if (job_status(job) == -ERROR_CANCELLED && !target->is_pipe && !job->options->resume)
        remove_volumes(&counting);
    return status;
}
