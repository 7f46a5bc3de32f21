/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading back while writing goes on.
 *
 * What is read back must come from the medium, not from a cache. So an entry of the ledger is read back only when a flush that
 * began after its write has ended, and when `distance` bytes of data were written behind it. The same distance holds for the
 * rest, which is read back when all is written: what a byte's distance lacks in writes is made up by the reads before it.
 *
 * A disk that is busy writing is left alone: reading back beside it would bring nothing, and on a disk with heads it would cost
 * seeks. Only the time in which the disk waits for the source is used:
 *  - a disk that does not seek is given reads whenever no write is in flight;
 *  - one that seeks, or may, is given a flush and a long stretch of reads after it has waited for longer than the seeks
 *    take, and only when nothing at all is on its way to it. The reader of the image reads ahead meanwhile.
 * Where the disk is the bottleneck all is read back at the end, in one sweep.
 */
#include "core/job_internal.h"

#include <string.h>

/* Policy: more than the caches of disks hold. */
#define DISTANCE_DEFAULT (1024ull * 1024 * 1024)
/* Policy: a stretch is this part of the distance (64 MiB), some half a second of a disk with heads. */
#define STRETCH_PART 16u
/* Policy: several times what two seeks take. */
#define WAIT_BEFORE_STRETCH (100 * NANOSECONDS_PER_MILLISECOND)

static bool may_seek(const struct block_device *device)
{
    switch (device->bus) {
    case BUS_NVME:
    case BUS_RAM:
        return false;
    case BUS_SATA:
        return device->rotational;
    default:
        return true; /* bridges and files do not say what is behind them */
    }
}

void job_overlap_begin(struct job *job)
{
    struct overlap *overlap = &job->overlap;

    overlap->on = !job->options->no_verify;
    overlap->seeks = may_seek(job->target);
    overlap->distance = job->options->read_back_distance ? job->options->read_back_distance : DISTANCE_DEFAULT;
    overlap->stretch_left = 0;
    overlap->waiting_since = overlap->waited = 0;
}

void job_overlap_end(struct job *job)
{
    job->overlap.on = false;
}

void job_overlap_rested(struct job *job)
{
    job->overlap.waiting_since = 0;
}

/* Is so much more than the distance written behind the oldest entry? */
static bool is_far_behind(const struct job *job, uint64_t more)
{
    const struct ledger_entry *entry = job_ledger_oldest(job);

    return entry && job->ledger.written - entry->written >= job->overlap.distance + more;
}

static bool is_flushed(const struct job *job)
{
    return job->ledger.added - job->ledger.count < job->overlap.flushed;
}

static bool writing(const struct job *job)
{
    return !job->source_ended && !job->window_full;
}

/* The disk has nothing to write. */
static bool disk_waits(const struct job *job)
{
    return writing(job) && !job->writes.in_flight && job_channel_idle(&job->writes);
}

bool job_overlap_allows(const struct job *job)
{
    const struct overlap *overlap = &job->overlap;

    if (!overlap->on)
        return true;
    if (!is_far_behind(job, 0) || !is_flushed(job))
        return false;
    return overlap->seeks ? overlap->stretch_left
                          : disk_waits(job) && overlap->checking < pipeline_slots(job->pipeline) / 2;
}

bool job_overlap_wants_slot(const struct job *job)
{
    return job->overlap.on && !job->overlap.seeks && job_overlap_allows(job);
}

bool job_overlap_holds_writes(const struct job *job)
{
    return job->overlap.on && job->overlap.stretch_left;
}

/* --- flushes: one that ended covers what was in the ledger when it began --- */

static void flush_done(struct block_request *request)
{
    struct job *job = request->context;
    struct overlap *overlap = &job->overlap;
    struct error error;

    overlap->flushing = false;
    if (!request->status) {
        overlap->flushed = overlap->flush_covers;
        return;
    }
    error_set(&error, (enum error_code) - request->status, OPERATION_FLUSH, job->target->name, ERROR_NO_BLOCK, "%s",
              "");
    error.raw_status = request->raw_status;
    error.side = SIDE_TARGET;
    job_fail(job, &error);
}

static bool begin_flush(struct job *job)
{
    struct overlap *overlap = &job->overlap;
    int status;

    memset(&overlap->flush, 0, sizeof(overlap->flush));
    overlap->flush.operation = BLOCK_FLUSH;
    overlap->flush.done = flush_done;
    overlap->flush.context = job;
    status = block_submit(job->target, &overlap->flush);
    if (status == -ERROR_FULL)
        return false;
    overlap->flushing = true;
    overlap->flush_covers = job->ledger.added;
    if (status) {
        overlap->flush.status = status;
        flush_done(&overlap->flush);
    }
    return true;
}

/* --- stretches, for disks that seek --- */

static uint64_t stretch_bytes(const struct overlap *overlap)
{
    return overlap->distance / STRETCH_PART + 1;
}

static void note_waiting(struct job *job)
{
    struct overlap *overlap = &job->overlap;
    uint64_t now = platform_now(job->platform);

    if (overlap->waiting_since)
        overlap->waited += now - overlap->waiting_since;
    overlap->waiting_since = disk_waits(job) && pipeline_empty(job->pipeline) ? now : 0;
}

static bool time_for_stretch(const struct job *job)
{
    const struct overlap *overlap = &job->overlap;

    return overlap->waiting_since && overlap->waited >= WAIT_BEFORE_STRETCH &&
           is_far_behind(job, stretch_bytes(overlap));
}

static bool manage_stretch(struct job *job)
{
    struct overlap *overlap = &job->overlap;

    if (overlap->stretch_left && !(writing(job) && job_overlap_allows(job))) {
        overlap->stretch_left = 0;
        return true;
    }
    if (overlap->stretch_left || !time_for_stretch(job) || !is_flushed(job))
        return false;
    overlap->stretch_left = stretch_bytes(overlap);
    overlap->waiting_since = overlap->waited = 0;
    return true;
}

bool job_overlap_pump(struct job *job)
{
    struct overlap *overlap = &job->overlap;
    bool progressed = false, wanted;

    if (!overlap->on)
        return false;
    note_waiting(job);
    wanted = overlap->seeks ? time_for_stretch(job) : disk_waits(job) && is_far_behind(job, 0);
    if (wanted && !overlap->flushing && !is_flushed(job))
        progressed = begin_flush(job);
    if (overlap->seeks)
        progressed |= manage_stretch(job);
    return job_check_pump(job) || progressed;
}

static bool flush_ended(void *context)
{
    const struct job *job = context;

    return !job->overlap.flushing;
}

void job_overlap_close(struct job *job)
{
    loop_wait(job->loop, flush_ended, job, UINT64_MAX);
}
