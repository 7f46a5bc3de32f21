/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was written, in a bounded queue, and reading it back.
 *
 * The ledger holds enough entries for some 20 GiB: memory does not grow with the disk. When it is full, writing waits until all
 * of it has been read back. Before that, job_overlap.c says what may be read back while writing goes on.
 */
#include "core/job_internal.h"

#include <string.h>

#define LEDGER_BYTES (2u * 1024 * 1024)
/* Entries that what is in flight may still add when the ledger is said to be full. */
#define LEDGER_RESERVE (PLAN_PATCHES_MAX * 2 + 2)

static struct ledger_entry *entry_at(const struct ledger *ledger, size_t index)
{
    return (struct ledger_entry *)(ledger->memory + (ledger->head + index) % ledger->capacity * ledger->stride);
}

const struct ledger_entry *job_ledger_oldest(const struct job *job)
{
    return job->ledger.count ? entry_at(&job->ledger, 0) : NULL;
}

/* Writes end in any order, but none ends after those of a whole ring behind it: the lowest is among the oldest. */
uint64_t job_ledger_lowest(const struct job *job)
{
    size_t count = (size_t)smaller_of(job->ledger.count, job->ledger.count ? pipeline_slots(job->pipeline) : 0);
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < count; i++)
        lowest = smaller_of(lowest, entry_at(&job->ledger, i)->target_offset);
    return lowest;
}

bool job_ledger_empty(const struct job *job)
{
    return !job->ledger.count;
}

bool job_ledger_has_room(const struct job *job)
{
    const struct ledger *ledger = &job->ledger;

    return ledger->count + pipeline_slots(job->pipeline) + LEDGER_RESERVE < ledger->capacity;
}

void job_ledger_add(struct job *job, const struct image_chunk *chunk, const uint8_t *map, const struct job_slot *slot,
                    uint64_t target_offset, uint64_t length)
{
    struct ledger *ledger = &job->ledger;
    struct ledger_entry *entry;

    if (!length || ledger->count == ledger->capacity)
        return; /* never full: see job_ledger_has_room() */
    entry = entry_at(ledger, ledger->count++);
    entry->source_offset = slot->source_offset + (target_offset - slot->target_offset);
    entry->target_offset = target_offset;
    entry->length = length;
    entry->used_bytes = slot->used_bytes;
    entry->partition = slot->partition;
    entry->kind = chunk->kind == IMAGE_DATA || chunk->kind == IMAGE_PARTIAL ? IMAGE_DATA : IMAGE_ZERO;
    ledger->added++;
    if (entry->kind == IMAGE_DATA) /* zeroes may never pass through the disk's cache */
        ledger->written += slot->used_bytes;
    entry->written = ledger->written;
    memcpy(entry->hash, chunk->hash, sizeof(entry->hash));
    if (map && entry->kind == IMAGE_DATA) {
        entry->kind = IMAGE_PARTIAL;
        memcpy(entry->map, map, (size_t)((length + 8 * IMAGE_PIECE - 1) / (8 * IMAGE_PIECE)));
    }
}

/* --- reading back --- */

/* Moves the oldest entry, or a chunk's worth of a long run, into the slot. */
static void take_entry(struct job *job, struct pipeline_slot *slot)
{
    struct ledger *ledger = &job->ledger;
    struct ledger_entry *entry = entry_at(ledger, 0);
    struct job_slot *own = job_slot(slot);
    uint64_t length = smaller_of(entry->length, job->chunk_size);

    own->role = ROLE_CHECK;
    own->hold = NULL;
    own->source_offset = entry->source_offset;
    own->target_offset = entry->target_offset;
    own->partition = entry->partition;
    own->unreadable_bytes = 0;
    own->used_bytes = entry->kind == IMAGE_ZERO ? length : entry->used_bytes;
    slot->chunk.kind = entry->kind;
    slot->chunk.length = length;
    slot->offset = entry->source_offset;
    memcpy(slot->chunk.hash, entry->hash, sizeof(entry->hash));
    job_set_map(slot, entry->kind == IMAGE_PARTIAL ? entry->map : NULL);
    entry->source_offset += length;
    entry->target_offset += length;
    entry->length -= length;
    if (!entry->length) {
        ledger->head = (ledger->head + 1) % ledger->capacity;
        ledger->count--;
    }
}

static void slot_read_back(struct job_channel *channel, struct pipeline_slot *slot)
{
    struct job *job = channel->owner;

    slot->work = PIPELINE_HASH;
    pipeline_ready(job->pipeline, slot);
}

static void read_back_failed(struct job_channel *channel, const struct error *error)
{
    job_fail(channel->owner, error);
}

bool job_check_pump(struct job *job)
{
    bool progressed = job_channel_pump(&job->checks);

    while (job->ledger.count && job_channel_idle(&job->checks) && job_overlap_allows(job)) {
        struct pipeline_slot *slot = job_claim(job);
        if (!slot)
            break;
        take_entry(job, slot);
        job->overlap.checking++;
        job->overlap.stretch_left -= smaller_of(job->overlap.stretch_left, slot->chunk.length);
        job_channel_start(&job->checks, slot, CHANNEL_READ, job_slot(slot)->target_offset, slot->chunk.length);
        job_channel_pump(&job->checks);
        progressed = true;
    }
    return progressed;
}

void job_check_leave(struct job *job, struct pipeline_slot *slot)
{
    struct job_slot *own = job_slot(slot);
    struct error error;

    if (slot->status == -ERROR_MISMATCH && job->differences_go_on) {
        int status = job_verify_again(job, slot);
        if (status == -ERROR_BUSY)
            return;
        slot->status = status;
    }
    job->partition = own->partition;
    job->checked_bytes += own->used_bytes;
    if (!slot->status) {
        job->result->verified_bytes += own->used_bytes;
    } else if (job->differences_go_on && slot->status == -ERROR_MISMATCH) {
        job->differing_bytes += own->used_bytes;
        job_run_message(job, &job->difference, MESSAGE_DIFFERS, own->partition, job->target->name, own->target_offset,
                        slot->chunk.length);
    } else {
        error_set(&error, (enum error_code) - slot->status, OPERATION_VERIFY, job->target->name,
                  own->target_offset / job->target->geometry.logical_block,
                  "%llu bytes read back are not what was written", (unsigned long long)slot->chunk.length);
        error.side = SIDE_TARGET;
        job_fail(job, &error);
    }
    job->overlap.checking--;
    pipeline_release(job->pipeline, slot);
}

int job_ledger_open(struct job *job, struct error *error)
{
    struct ledger *ledger = &job->ledger;
    size_t map = IMAGE_MAP_BYTES(job->chunk_size);
    size_t least = pipeline_slots(job->pipeline) + LEDGER_RESERVE + 64;
    int status;

    ledger->platform = job->platform;
    ledger->stride = (sizeof(struct ledger_entry) + map + 7) / 8 * 8;
    ledger->capacity = LEDGER_BYTES / ledger->stride;
    if (ledger->capacity < least)
        ledger->capacity = least;
    ledger->memory = platform_allocate(job->platform, ledger->capacity * ledger->stride);
    if (!ledger->memory)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for the ledger");
    job->checks.loop = job->loop;
    job->checks.device = job->target;
    job->checks.side = SIDE_TARGET;
    job->checks.owner = job;
    job->checks.finished = slot_read_back;
    job->checks.failed = read_back_failed;
    status = job_channel_open(&job->checks, error);
    job->result->memory_bytes += ledger->capacity * ledger->stride + job_channel_memory(&job->checks);
    return status;
}

void job_ledger_close(struct job *job)
{
    job_overlap_close(job);
    job_channel_close(&job->checks);
    platform_release(job->platform, job->ledger.memory);
    job->ledger.memory = NULL;
}
