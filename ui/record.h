/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command did, as data, for those who report it. A session that has a record fills it while it prints; one that has none costs
 * nothing.
 */
#ifndef UI_RECORD_H
#define UI_RECORD_H

#include "core/job.h"
#include "ui/output.h"

struct session;

struct session_record {
    bool planned, ran; /* there was a plan; it was carried out (or tried) */
    uint64_t source_bytes, used_bytes;
    /* Valid when ran. */
    bool verified; /* read back, and it matched */
    uint8_t root[IMAGE_HASH_SIZE];
    uint64_t read_bytes, written_bytes, verified_bytes, stored_bytes, unreadable_bytes, damaged_bytes;
    uint64_t copy_nanoseconds, verify_nanoseconds;
    /* "warning: sentence" and the like, one a line, in order; the same sentence is kept once. */
    struct text_output messages;
};

void record_start(struct session_record *record, struct platform *platform);
void record_free(struct session_record *record);

/* For the parts of ui/: nothing happens when the session keeps no record. */
void record_plan(struct session *session, const struct plan *plan);
void record_result(struct session *session, const struct plan *plan, const struct job_result *result);
void record_message(struct session *session, const char *level, const char *sentence);

#endif
