/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a job's phase is and how long it will take yet. Each phase counts its bytes anew and has a speed of its own: what copying took says
 * nothing about reading back. Pauses do not count.
 */
#ifndef UI_PACE_H
#define UI_PACE_H

#include "core/job.h"

struct pace {
    bool started;
    enum job_phase phase;
    uint64_t done, worked; /* bytes and nanoseconds when the phase began */
};

/* Zero it, and give it each progress in order. true: a phase begins with this one. */
bool pace_update(struct pace *pace, const struct job_progress *progress);
/* Nanoseconds since the job began, without pauses. */
uint64_t pace_worked(const struct job_progress *progress);
/* Bytes a second in this phase; 0: not known yet. */
uint64_t pace_rate(const struct pace *pace, const struct job_progress *progress);
/* Nanoseconds that the phase takes yet; UINT64_MAX: not known yet. */
uint64_t pace_left(const struct pace *pace, const struct job_progress *progress);

#endif
