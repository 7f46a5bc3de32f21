/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/pace.h"

#include "ui/output.h"

uint64_t pace_worked(const struct job_progress *progress)
{
    return progress->now - progress->started - progress->paused_nanoseconds;
}

bool pace_update(struct pace *pace, const struct job_progress *progress)
{
    if (pace->started && pace->phase == progress->phase)
        return false;
    *pace = (struct pace){
        .started = true, .phase = progress->phase, .done = progress->done_bytes, .worked = pace_worked(progress)};
    return true;
}

uint64_t pace_rate(const struct pace *pace, const struct job_progress *progress)
{
    return progress->done_bytes > pace->done
               ? rate_per_second(progress->done_bytes - pace->done, pace_worked(progress) - pace->worked)
               : 0;
}

uint64_t pace_left(const struct pace *pace, const struct job_progress *progress)
{
    uint64_t rate = pace_rate(pace, progress);

    if (progress->done_bytes >= progress->total_bytes)
        return 0;
    if (!rate)
        return UINT64_MAX;
    uint64_t seconds = (progress->total_bytes - progress->done_bytes) / rate;
    return seconds < UINT64_MAX / NANOSECONDS_PER_SECOND ? seconds * NANOSECONDS_PER_SECOND : UINT64_MAX;
}
