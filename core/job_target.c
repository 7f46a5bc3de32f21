/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots -> disk, the tables last.
 *
 * The target's head (HALF_RESTORED_BYTES) and what the plan patches are held: while the job runs they are zero, but for the marker in
 * the first block. When all else is written, flushed and read back, the held ranges get their contents, the first block at the very end. So
 * at every moment the target is what it was before (nothing but its first block was touched), marked as half
 * restored, or complete.
 */
#include "core/job_internal.h"

#include <stdio.h>
#include <string.h>

#define WIPE_BLOCKS 34u /* where a backup GPT may stand: header, 33 blocks of entries */

/* --- held ranges --- */

static uint64_t held_end(const struct held_range *held)
{
    return held->offset + held->size;
}

static uint64_t target_block(const struct job *job)
{
    return job->target->geometry.logical_block;
}

/* The first block while the job runs. */
static void make_marker(const struct job *job, uint8_t *block)
{
    char uuid[37];

    memset(block, 0, (size_t)target_block(job));
    guid_format(job->plan->description.uuid, uuid);
    snprintf((char *)block, 100, "%s%s\r\n", HALF_RESTORED_MARKER, uuid);
}

static int hold(struct job *job, uint64_t offset, uint64_t size, struct error *error)
{
    struct held_range *held = &job->held[job->held_count];

    held->data = platform_allocate_zeroed(job->platform, (size_t)size);
    if (!held->data)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for the tables");
    held->offset = offset;
    held->size = (size_t)size;
    job->held_count++;
    job->result->memory_bytes += (size_t)size;
    return 0;
}

/* [0] is the head; patches beyond it follow, cut where they reach into it. */
static int hold_all(struct job *job, struct error *error)
{
    const struct plan *plan = job->plan;
    uint64_t bytes = block_device_bytes(job->target), head = HALF_RESTORED_BYTES;
    int status;

    for (unsigned i = 0; i < plan->patch_count; i++) {
        const struct plan_patch *patch = &plan->patches[i];
        if (patch->target_offset < head && patch->target_offset + patch->size > head)
            head = patch->target_offset + patch->size;
    }
    head = smaller_of((head + target_block(job) - 1) / target_block(job) * target_block(job), bytes);
    status = hold(job, 0, head, error);
    for (unsigned i = 0; i < plan->patch_count && !status; i++)
        if (plan->patches[i].target_offset >= head)
            status = hold(job, plan->patches[i].target_offset, plan->patches[i].size, error);
    return status;
}

/* Lays the plan's patches over `data`, which stands for [offset, offset + size) of the target. */
static bool lay_patches(const struct plan *plan, uint64_t offset, uint8_t *data, uint64_t size)
{
    bool laid = false;

    for (unsigned i = 0; i < plan->patch_count; i++) {
        const struct plan_patch *patch = &plan->patches[i];
        uint64_t start = patch->target_offset > offset ? patch->target_offset : offset;
        uint64_t end = smaller_of(patch->target_offset + patch->size, offset + size);
        if (start >= end)
            continue;
        memcpy(data + (start - offset), patch->data + (start - patch->target_offset), (size_t)(end - start));
        laid = true;
    }
    return laid;
}

bool job_overlaps_patch(const struct plan *plan, uint64_t target_offset, uint64_t length)
{
    for (unsigned i = 0; i < plan->patch_count; i++)
        if (plan->patches[i].target_offset < target_offset + length &&
            target_offset < plan->patches[i].target_offset + plan->patches[i].size)
            return true;
    return false;
}

/* --- chunks that are not written as they came --- */

static void use_pieces(struct pipeline_slot *slot, uint64_t start, uint64_t end)
{
    if (!slot->has_map)
        return;
    for (uint64_t piece = start / IMAGE_PIECE; piece * IMAGE_PIECE < end; piece++)
        slot->map[piece / 8] = (uint8_t)(slot->map[piece / 8] | 1u << (piece % 8));
}

static void hash_again(struct pipeline_slot *slot, uint64_t length)
{
    slot->chunk.length = length;
    image_hash(slot->plain.data, (size_t)length, slot->chunk.hash);
}

/* Takes what belongs into the held ranges out of a chunk; what the target shows there meanwhile takes its place. */
static void take_held(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);
    uint8_t *plain = slot->plain.data;
    bool changed = own->write_length != slot->chunk.length;

    for (unsigned i = 0; i < job->held_count; i++) {
        struct held_range *held = &job->held[i];
        uint64_t start = held->offset > own->target_offset ? held->offset : own->target_offset;
        uint64_t end = smaller_of(held_end(held), own->target_offset + own->write_length);
        if (start >= end)
            continue;
        memcpy(held->data + (start - held->offset), plain + (start - own->target_offset), (size_t)(end - start));
        memset(plain + (start - own->target_offset), 0, (size_t)(end - start));
        if (!start)
            make_marker(job, plain);
        use_pieces(slot, start - own->target_offset, end - own->target_offset);
        changed = true;
    }
    if (!changed)
        return;
    hash_again(slot, own->write_length);
    own->used_bytes = job_map_bytes(slot);
}

void job_apply_patches(struct job *job, struct pipeline_slot *slot, uint64_t length)
{
    const struct plan *plan = job->plan;
    uint64_t offset = job_slot(slot)->target_offset;

    if (lay_patches(plan, offset, slot->plain.data, length))
        for (unsigned i = 0; i < plan->patch_count; i++) {
            const struct plan_patch *patch = &plan->patches[i];
            uint64_t start = patch->target_offset > offset ? patch->target_offset : offset;
            uint64_t end = smaller_of(patch->target_offset + patch->size, offset + length);
            if (start < end)
                use_pieces(slot, start - offset, end - offset);
        }
    hash_again(slot, length);
}

/* --- writing --- */

static void slot_gone(struct job *job, struct pipeline_slot *slot)
{
    job->copied_bytes += job_slot(slot)->used_bytes;
    job_source_leave(job, slot);
    pipeline_release(job->pipeline, slot);
}

static void slot_written(struct job_channel *channel, struct pipeline_slot *slot)
{
    struct job *job = channel->owner;
    struct job_slot *own = job_slot(slot);

    if (slot->chunk.kind != IMAGE_UNUSED) {
        job->result->written_bytes += own->used_bytes;
        if (!job->options->no_verify)
            job_ledger_add(job, &slot->chunk, slot->has_map ? slot->map : NULL, own, own->target_offset,
                           own->write_length);
    }
    slot_gone(job, slot);
}

static void write_failed(struct job_channel *channel, const struct error *error)
{
    job_fail(channel->owner, error);
}

/* A run of zeroes or unused space, which was discarded at the beginning if at all. The head is held, so a run that begins there begins behind it. */
static void write_run(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);
    uint64_t head = job->held[0].size;

    if (slot->chunk.kind == IMAGE_UNUSED) {
        slot_gone(job, slot);
        return;
    }
    if (own->target_offset < head) {
        uint64_t cut = smaller_of(head - own->target_offset, own->write_length);
        own->target_offset += cut;
        own->source_offset += cut;
        own->write_length -= cut;
    }
    own->used_bytes = own->write_length;
    if (own->write_length)
        job_channel_start(&job->writes, slot, CHANNEL_ZERO, own->target_offset, own->write_length);
    else
        slot_gone(job, slot);
}

/* Chunks come in the order of the disk. One that does not could write over what was read back already: refused. */
static bool claim_place(struct job *job, const struct job_slot *own)
{
    struct error error;

    if (own->target_offset >= job->written_until) {
        job->written_until = own->target_offset + own->write_length;
        return true;
    }
    error_set(&error, ERROR_CORRUPT, OPERATION_WRITE, job->target->name, own->target_offset / target_block(job),
              "two chunks for one place");
    error.side = SIDE_TARGET;
    job_fail(job, &error);
    return false;
}

static void place_slot(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);

    job_image_release(job, slot);
    job_count_work(job, slot);
    job->partition = own->partition;
    own->write_length = job_place(job->plan, own->source_offset, slot->chunk.length, &own->target_offset);
    if (!own->write_length) {
        own->used_bytes = 0;
        slot_gone(job, slot);
        return;
    }
    if (slot->status) {
        job_image_damaged(job, own->source_offset, slot->chunk.length, slot->status);
        slot->chunk.kind = IMAGE_UNREADABLE; /* zeroes stand for what is lost */
        slot->has_map = false;
    } else if (job->reader && slot->chunk.kind == IMAGE_UNREADABLE && slot->chunk.lost) {
        job_image_damaged(job, own->source_offset, slot->chunk.length, -ERROR_CORRUPT);
    } else if (job->reader && slot->chunk.kind == IMAGE_UNREADABLE) {
        job_image_unreadable(job, own->source_offset, slot->chunk.length);
    } else if (job->reader && chunk_has_data(&slot->chunk)) {
        job_image_holes(job, own->source_offset, &slot->chunk);
    }
    if (job_status(job) || !claim_place(job, own))
        return;
    if (slot->chunk.kind != IMAGE_DATA && slot->chunk.kind != IMAGE_PARTIAL) {
        write_run(job, slot);
        return;
    }
    take_held(job, slot);
    job_channel_start(&job->writes, slot, CHANNEL_WRITE, own->target_offset, own->write_length);
}

/* Takes what is done, in order, and writes it, or lets go what was compared; true when anything moved on. */
static bool write_pump(struct job *job)
{
    bool progressed = job_channel_pump(&job->writes);
    struct pipeline_slot *slot;

    while (!job_status(job) && (slot = pipeline_oldest(job->pipeline))) {
        if (job_slot(slot)->role == ROLE_CHECK) {
            job_check_leave(job, slot);
        } else if (job_channel_idle(&job->writes)) {
            place_slot(job, pipeline_take(job->pipeline));
            job_channel_pump(&job->writes);
        } else {
            break;
        }
        progressed = true;
    }
    return progressed;
}

/* --- writing, and reading back what was written --- */

static bool read_back_step(struct job *job)
{
    struct pipeline_slot *slot;
    bool progressed;

    do {
        progressed = job_check_pump(job);
        slot = pipeline_oldest(job->pipeline);
        if (slot) {
            job_check_leave(job, slot);
            progressed = true;
        }
    } while (progressed && !job_status(job));
    return job_ledger_empty(job) && pipeline_empty(job->pipeline);
}

static bool copy_step(struct job *job)
{
    bool progressed;

    do {
        if (!job->options->no_verify && !job_ledger_has_room(job))
            job->window_full = true;
        progressed = !job->window_full && !job_overlap_holds_writes(job) && job->fill(job);
        progressed |= write_pump(job);
        progressed |= job_overlap_pump(job);
    } while (progressed && !job_status(job));
    return (job->source_ended || job->window_full) && pipeline_empty(job->pipeline);
}

static int flush_target(struct job *job)
{
    struct error error;

    memset(&error, 0, sizeof(error));
    if (block_flush(job->target, &error)) {
        error.side = SIDE_TARGET;
        job_fail(job, &error);
    }
    return job_status(job);
}

int job_target_copy(struct job *job, bool (*fill)(struct job *job))
{
    job->fill = fill;
    while (!job->source_ended && !job_status(job)) {
        job->window_full = false;
        job_phase(job, PHASE_COPY);
        job_overlap_begin(job);
        if (job_loop(job, copy_step))
            break;
        job_overlap_end(job);
        job_phase(job, PHASE_FLUSH);
        if (job_rest(job) || flush_target(job))
            break;
        if (job->options->no_verify)
            continue;
        job_phase(job, PHASE_READ_BACK);
        job_loop(job, read_back_step);
    }
    if (!job_status(job))
        job->positions.read = job->positions.written = job->positions.end;
    if (!job_status(job) && !job->options->no_verify)
        job->positions.verified = job->positions.end;
    job_image_damage_ends(job);
    return job_status(job);
}

/* --- begin and end --- */

static int write_and_flush(struct job *job, uint64_t offset, const void *data, size_t size, struct error *error)
{
    int status = size ? block_write_bytes(job->target, offset, data, size, error) : 0;

    return status ? status : block_flush(job->target, error);
}

static int erase(struct job *job, uint64_t offset, size_t size, struct error *error)
{
    uint8_t *zeroes;
    int status;

    if (!size)
        return 0;
    zeroes = platform_allocate_zeroed(job->platform, size);
    if (!zeroes)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
    status = block_write_bytes(job->target, offset, zeroes, size, error);
    platform_release(job->platform, zeroes);
    return status;
}

/* Hands the next placement to the channel; false when there is none. A slot stands for it, but its buffer is not used. */
static bool discard_next(struct job *job)
{
    while (job->discarded < job->plan->placement_count) {
        const struct placement *placement = &job->plan->placements[job->discarded];
        uint64_t start = placement->target_offset, end = start + placement->bytes;
        struct pipeline_slot *slot;
        if (start < job->held[0].size)
            start = job->held[0].size;
        if (placement->skip || start >= end) {
            job->discarded++;
            continue;
        }
        slot = job_claim(job);
        if (!slot)
            return false;
        slot->chunk.kind = IMAGE_UNUSED;
        pipeline_skip(job->pipeline, slot);
        job_channel_start(&job->writes, pipeline_take(job->pipeline), CHANNEL_DISCARD, start, end - start);
        job->discarded++;
        return true;
    }
    return false;
}

static bool discard_step(struct job *job)
{
    bool progressed;

    do {
        progressed = job_channel_pump(&job->writes);
        if (job_channel_idle(&job->writes))
            progressed |= discard_next(job);
    } while (progressed && !job_status(job));
    return job->discarded == job->plan->placement_count && pipeline_empty(job->pipeline);
}

int job_target_begin(struct job *job, struct error *error)
{
    uint64_t block = target_block(job), bytes = block_device_bytes(job->target);
    uint64_t wipe = smaller_of(WIPE_BLOCKS * block, bytes - job->held[0].size);
    uint8_t *marker = platform_allocate(job->platform, (size_t)block);
    int status;

    if (!marker)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
    job->begun = true;
    /* One block at first, alone: it is written or not, and from then on the target is marked. */
    make_marker(job, marker);
    status = write_and_flush(job, 0, marker, (size_t)block, error);
    platform_release(job->platform, marker);
    /* All that will be written or is unused, in requests as big as they get: an SSD is written fastest when it is empty. */
    if (!status && job->options->discard && !job->options->resume && job->target->geometry.max_discard)
        status = job_loop(job, discard_step);
    if (!status && job->held[0].size > block)
        status = erase(job, block, job->held[0].size - (size_t)block, error);
    /* A backup GPT of the target's own would be found again by repair programs. A partition has none. */
    if (!status && !job->plan->target_slice)
        status = erase(job, bytes - wipe, (size_t)wipe, error);
    for (unsigned i = 1; i < job->held_count && !status; i++)
        status = erase(job, job->held[i].offset, job->held[i].size, error);
    return status ? status : block_flush(job->target, error);
}

/* Reads back what of a held range lies behind `skip`. */
static int compare_held(struct job *job, const struct held_range *held, size_t skip, size_t size, struct error *error)
{
    uint64_t offset = held->offset + skip;
    uint8_t *data;
    int status;

    if (!size)
        return 0;
    data = platform_allocate(job->platform, size);
    if (!data)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
    status = block_read_bytes(job->target, offset, data, size, error);
    if (!status && memcmp(data, held->data + skip, size))
        status = error_set(error, ERROR_MISMATCH, OPERATION_VERIFY, job->target->name, offset / target_block(job),
                           "tables or boot sectors read back are not what was written");
    platform_release(job->platform, data);
    if (!status)
        job->result->verified_bytes += size;
    return status;
}

/* The first block makes the target whole; if it does not arrive, the mark goes back where it was. */
static int write_first_block(struct job *job, struct error *error)
{
    struct held_range *head = &job->held[0];
    size_t block = (size_t)target_block(job);
    int status = write_and_flush(job, 0, head->data, block, error);

    if (!status && !job->options->no_verify)
        status = compare_held(job, head, 0, block, error);
    if (status) {
        make_marker(job, head->data);
        write_and_flush(job, 0, head->data, block, NULL);
    }
    return status;
}

int job_target_finish(struct job *job, struct error *error)
{
    struct held_range *head = &job->held[0];
    size_t block = (size_t)target_block(job);
    int status = 0;

    for (unsigned i = 0; i < job->held_count; i++)
        lay_patches(job->plan, job->held[i].offset, job->held[i].data, job->held[i].size);
    for (unsigned i = 1; i < job->held_count && !status; i++)
        status = block_write_bytes(job->target, job->held[i].offset, job->held[i].data, job->held[i].size, error);
    if (!status)
        status = write_and_flush(job, block, head->data + block, head->size - block, error);
    if (!status && !job->options->no_verify)
        status = compare_held(job, head, block, head->size - block, error);
    for (unsigned i = 1; i < job->held_count && !status && !job->options->no_verify; i++)
        status = compare_held(job, &job->held[i], 0, job->held[i].size, error);
    if (!status)
        status = write_first_block(job, error);
    for (unsigned i = 0; i < job->held_count && !status; i++)
        job->result->written_bytes += job->held[i].size;
    return status;
}

int job_target_open(struct job *job, struct error *error)
{
    struct job_channel *writes = &job->writes;
    int status;

    writes->loop = job->loop;
    writes->device = job->target;
    writes->side = SIDE_TARGET;
    writes->owner = job;
    writes->finished = slot_written;
    writes->failed = write_failed;
    status = job_channel_open(writes, error);
    if (!status)
        status = hold_all(job, error);
    if (!status && (!job->options->no_verify || job->options->resume))
        status = job_ledger_open(job, error);
    return status;
}

void job_target_close(struct job *job)
{
    job->result->memory_bytes += job_channel_memory(&job->writes);
    job_channel_close(&job->writes);
    job_ledger_close(job);
    for (unsigned i = 0; i < job->held_count; i++)
        platform_release(job->platform, job->held[i].data);
    job->held_count = 0;
}
