/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "core/job_internal.h"

#define EVENT_INTERVAL (NANOSECONDS_PER_SECOND / 10)

int job_status(const struct job *job)
{
    return job->result->status;
}

void job_fail(struct job *job, const struct error *error)
{
    if (job->result->status)
        return;
    job->result->error = *error;
    job->result->status = error->code ? -(int)error->code : -ERROR_IO;
}

/* --- messages --- */

static void send_message(struct job *job, const struct message *message)
{
    if (message && job->listener && job->listener->message)
        job->listener->message(job->listener, message);
}

void job_message(struct job *job, enum message_level level, enum message_id id, unsigned partition, const char *text0,
                 const char *text1, uint64_t number0, uint64_t number1)
{
    send_message(job, message_add(&job->result->messages, level, id, partition, text0, text1, number0, number1));
}

void job_run_message(struct job *job, struct message *gathered, enum message_id id, unsigned partition,
                     const char *text0, uint64_t offset, uint64_t bytes)
{
    if (gathered->id == id && bytes && gathered->partition == partition &&
        gathered->number[0] + gathered->number[1] == offset) {
        gathered->number[1] += bytes;
        return;
    }
    if (gathered->id)
        job_message(job, MESSAGE_WARNING, gathered->id, gathered->partition, gathered->text[0], gathered->text[1],
                    gathered->number[0], gathered->number[1]);
    memset(gathered, 0, sizeof(*gathered));
    if (!bytes)
        return;
    gathered->id = id;
    gathered->partition = partition;
    gathered->number[0] = offset;
    gathered->number[1] = bytes;
    if (text0)
        strncpy(gathered->text[0], text0, sizeof(gathered->text[0]) - 1);
}

/* --- progress and cancel --- */

static void send_progress(struct job *job, uint64_t now)
{
    struct job_progress progress = {
        .phase = job->phase,
        .total_bytes = job->total_bytes,
        .stored_bytes = job->writer ? image_writer_stored(job->writer) : job->stored_bytes,
        .started = job->started,
        .now = now,
        .partition = job->partition,
        .paused = job->paused,
        .paused_nanoseconds = job->result->paused_nanoseconds + (job->paused ? now - job->paused_since : 0),
        .read_bytes = job->source ? job->result->read_bytes : job->taken_bytes,
        .processed_bytes = job->processed_bytes,
        .written_bytes = job->result->written_bytes,
        .verified_bytes = job->result->verified_bytes,
    };
    bool checks = job->phase == PHASE_READ_BACK || job->plan->kind == JOB_VERIFY;
    uint64_t done = checks ? job->checked_bytes : job->copied_bytes;

    /* Zero chunks count whole on the way back, so the sum may pass what was planned. */
    progress.done_bytes = smaller_of(done, job->total_bytes);
    job_positions_update(job);
    progress.begin_position = job->positions.begin;
    progress.end_position = job->positions.end;
    progress.read_position = job->positions.read;
    progress.written_position = job->positions.written;
    progress.verified_position = job->positions.verified;
    job->next_event = now + EVENT_INTERVAL;
    if (job->listener && job->listener->progress)
        job->listener->progress(job->listener, &progress);
}

static bool cancel_requested(struct job *job)
{
    struct platform *platform = job->platform;

    if (job->listener && job->listener->cancelled && job->listener->cancelled(job->listener))
        return true;
    return platform->ops->cancel_requested && platform->ops->cancel_requested(platform);
}

static void cancel(struct job *job, const char *state)
{
    struct error error;

    error_set(&error, ERROR_CANCELLED, OPERATION_NONE, "", ERROR_NO_BLOCK, "%s", state);
    job_fail(job, &error);
}

static void fail_stuck(struct job *job)
{
    struct error error;

    error_set(&error, ERROR_TIMEOUT, OPERATION_NONE, "", ERROR_NO_BLOCK,
              "a processor does not come back from its work; restart the machine");
    job_fail(job, &error);
}

/* --- pause --- */

/* Completions bring new requests too: everything that submits is told. */
static void set_paused(struct job *job, bool paused)
{
    job->paused = paused;
    job->reads.paused = job->writes.paused = job->checks.paused = paused;
    if (job->reader)
        image_reader_pause(job->reader, paused);
    if (job->writer)
        image_writer_pause(job->writer, paused);
}

static void end_pause(struct job *job, uint64_t now)
{
    uint64_t passed = now - job->paused_since;

    job->result->paused_nanoseconds += passed;
    job->phase_started += passed;
    if (job->pipeline)
        pipeline_rested(job->pipeline);
    job_overlap_rested(job);
    set_paused(job, false);
}

/* A job that failed or is cancelled is not paused: what it waits for at its end must end. */
static void look_at_pause(struct job *job, uint64_t now)
{
    struct job_listener *listener = job->listener;
    bool wanted = !job->result->status && listener && listener->paused && listener->paused(listener);

    if (wanted == job->paused)
        return;
    if (wanted) {
        job->paused_since = now;
        set_paused(job, true);
    } else {
        end_pause(job, now);
    }
    job->next_event = now;
}

static const char *state_after_cancel(const struct job *job)
{
    if (!job->begun)
        return "nothing was written";
    return job->plan->destroys ? "the target is half restored and boots nothing" : "";
}

static void tick(struct job *job)
{
    uint64_t now = platform_now(job->platform);

    if (!job->result->status && cancel_requested(job))
        cancel(job, state_after_cancel(job));
    if (!job->result->status && job->pipeline && pipeline_stuck(job->pipeline))
        fail_stuck(job);
    look_at_pause(job, now);
    if (now >= job->next_event)
        send_progress(job, now);
}

void job_phase(struct job *job, enum job_phase phase)
{
    uint64_t now = platform_now(job->platform);
    uint64_t passed = now - job->phase_started;

    if (job->phase == PHASE_READ_BACK)
        job->result->verify_nanoseconds += passed;
    else
        job->result->copy_nanoseconds += passed;
    job->phase = phase;
    job->phase_started = now;
    if (phase != PHASE_FLUSH)
        job->partition = job_first_partition(job);
    send_progress(job, now);
}

struct job_wait {
    struct job *job;
    bool (*step)(struct job *job);
    bool finished;
};

static bool step_or_stop(void *context)
{
    struct job_wait *wait = context;

    if (wait->finished)
        return true;
    tick(wait->job);
    if (wait->job->paused)
        return false;
    wait->finished = wait->job->result->status || wait->step(wait->job) || wait->job->result->status;
    return wait->finished;
}

int job_loop(struct job *job, bool (*step)(struct job *job))
{
    struct job_wait wait = {job, step, false};

    /* Woken in between, so that events and the wish to cancel do not wait for a slow disk. */
    while (!loop_wait(job->loop, step_or_stop, &wait, deadline_after(job->platform, EVENT_INTERVAL)))
        ;
    return job->result->status;
}

static bool nothing_to_do(struct job *job)
{
    (void)job;
    return true;
}

int job_rest(struct job *job)
{
    return job_loop(job, nothing_to_do);
}

/* --- slots --- */

int job_open_pipeline(struct job *job, int level)
{
    struct pipeline_config config = {.chunk_size = job->chunk_size,
                                     .level = level,
                                     .processors = job->options->processors,
                                     .memory_limit = job->options->memory_limit};
    struct error error;
    int status;

    memset(&error, 0, sizeof(error));
    status = pipeline_create(job->loop, &config, &job->pipeline, &error);
    if (!status) {
        job->slots_used = 0;
        job->slots = platform_allocate_zeroed(job->platform, pipeline_slots(job->pipeline) * sizeof(*job->slots));
        if (!job->slots)
            status = error_set(&error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for slots");
    }
    if (status) {
        job_fail(job, &error);
        return status;
    }
    if (job->result->memory_bytes < pipeline_memory(job->pipeline))
        job->result->memory_bytes = pipeline_memory(job->pipeline);
    job->result->processors = pipeline_processors(job->pipeline);
    return 0;
}

void job_close_pipeline(struct job *job)
{
    pipeline_destroy(job->pipeline);
    platform_release(job->platform, job->slots);
    job->pipeline = NULL;
    job->slots = NULL;
    job->slots_used = 0;
}

struct pipeline_slot *job_claim(struct job *job)
{
    struct pipeline_slot *slot = pipeline_claim(job->pipeline);

    if (!slot)
        return NULL;
    if (!slot->user)
        slot->user = &job->slots[job->slots_used++];
    memset(slot->user, 0, sizeof(struct job_slot));
    return slot;
}

void job_ready(struct job *job, struct pipeline_slot *slot, enum pipeline_work work)
{
    job_slot(slot)->worked = true;
    slot->work = work;
    pipeline_ready(job->pipeline, slot);
}

void job_count_work(struct job *job, struct pipeline_slot *slot)
{
    if (job_slot(slot)->worked)
        job->processed_bytes += job_slot(slot)->used_bytes;
}

void job_set_map(struct pipeline_slot *slot, const uint8_t *map)
{
    slot->has_map = map != NULL;
    slot->chunk.map = NULL;
    if (!map)
        return;
    memcpy(slot->map, map, (size_t)((slot->chunk.length + 8 * IMAGE_PIECE - 1) / (8 * IMAGE_PIECE)));
    slot->chunk.map = slot->map;
}

uint64_t job_piece_bytes(const uint8_t *map, uint64_t length)
{
    uint64_t bytes = 0;

    for (uint64_t piece = 0; piece * IMAGE_PIECE < length; piece++)
        if (map[piece / 8] >> (piece % 8) & 1)
            bytes += smaller_of(length - piece * IMAGE_PIECE, IMAGE_PIECE);
    return bytes;
}

uint64_t job_map_bytes(const struct pipeline_slot *slot)
{
    return slot->has_map ? job_piece_bytes(slot->map, slot->chunk.length) : slot->chunk.length;
}

/* --- where things are --- */

/* Index of the region that holds the offset; region_count when none does. Regions are in disk order. */
static unsigned region_index(const struct plan *plan, uint64_t offset)
{
    unsigned low = 0, high = plan->description.region_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const struct image_region *region = &plan->description.regions[middle];
        if (offset < region->offset)
            high = middle;
        else if (offset - region->offset >= region->bytes)
            low = middle + 1;
        else
            return middle;
    }
    return plan->description.region_count;
}

const struct image_region *job_region_at(const struct plan *plan, uint64_t offset)
{
    unsigned index = region_index(plan, offset);

    return index < plan->description.region_count ? &plan->description.regions[index] : NULL;
}

uint64_t job_place(const struct plan *plan, uint64_t source_offset, uint64_t length, uint64_t *target_offset)
{
    unsigned index = region_index(plan, source_offset);

    if (index >= plan->placement_count || plan->placements[index].skip)
        return 0;
    const struct placement *placement = &plan->placements[index];
    uint64_t from = source_offset - placement->source_offset;
    if (from >= placement->bytes)
        return 0;
    *target_offset = placement->target_offset + from;
    return smaller_of(length, placement->bytes - from);
}

/* --- half restored --- */

bool job_is_half_restored(const uint8_t *first_block, size_t size, char *uuid)
{
    const size_t marker = sizeof(HALF_RESTORED_MARKER) - 1;

    if (size < marker + 36 || memcmp(first_block, HALF_RESTORED_MARKER, marker))
        return false;
    for (size_t i = 0; i < 36; i++) {
        uint8_t byte = first_block[marker + i];
        if (!(byte >= '0' && byte <= '9') && !(byte >= 'a' && byte <= 'f') && byte != '-')
            return false;
        if (uuid)
            uuid[i] = (char)byte;
    }
    if (uuid)
        uuid[36] = 0;
    return true;
}

/* --- run --- */

static int run(struct job *job, struct error *error)
{
    switch (job->plan->kind) {
    case JOB_CAPTURE:
        return job_capture(job, error);
    case JOB_RESTORE:
        return job_restore(job, error);
    case JOB_CLONE:
        return job_clone(job, error);
    case JOB_VERIFY:
        return job_verify(job, error);
    }
    return error_set(error, ERROR_USAGE, OPERATION_NONE, "", ERROR_NO_BLOCK, "no such job");
}

int job_run(struct loop *loop, struct plan *plan, struct job_listener *listener, struct job_result *result)
{
    struct job *job;
    struct error error;
    int status;

    memset(result, 0, sizeof(*result));
    memset(&error, 0, sizeof(error));
    result->plan_nanoseconds = plan->nanoseconds;
    if (plan->refused) {
        result->status =
            error_set(&result->error, ERROR_REFUSED, OPERATION_NONE, "", ERROR_NO_BLOCK, "the plan says why");
        return result->status;
    }
    job = platform_allocate_zeroed(loop->platform, sizeof(*job));
    if (!job) {
        result->status =
            error_set(&result->error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for the job");
        return result->status;
    }
    job->loop = loop;
    job->platform = loop->platform;
    job->plan = plan;
    job->options = &plan->request.options;
    job->listener = listener;
    job->result = result;
    job->source = plan_source_device(plan);
    job->target = plan_target_device(plan);
    job->chunk_size = plan->description.chunk_size;
    job->total_bytes = plan->used_bytes;
    job->started = job->phase_started = platform_now(loop->platform);
    job->phase = plan->kind == JOB_VERIFY ? PHASE_READ_BACK : PHASE_COPY;

    job_positions_begin(job);
    job_phase(job, job->phase);
    /* The wish to cancel may have come while the plan was made or read: before anything is destroyed. */
    status = job_rest(job);
    job->begun = !plan->destroys;
    if (!status)
        status = run(job, &error);
    if (status && !result->status) {
        if (!error.code)
            error.code = (enum error_code) - status;
        job_fail(job, &error);
    }
    job_phase(job, PHASE_FINISH);
    platform_release(loop->platform, job);
    return result->status;
}
