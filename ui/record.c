/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/record.h"

#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/session.h"

void record_start(struct session_record *record, struct platform *platform)
{
    memset(record, 0, sizeof(*record));
    text_output_start(&record->messages, platform);
}

void record_free(struct session_record *record)
{
    text_output_free(&record->messages);
}

void record_plan(struct session *session, const struct plan *plan)
{
    struct session_record *record = session->record;

    if (!record)
        return;
    record->planned = true;
    record->source_bytes = plan->source_bytes;
    record->used_bytes = plan->used_bytes;
}

void record_result(struct session *session, const struct plan *plan, const struct job_result *result)
{
    struct session_record *record = session->record;

    if (!record)
        return;
    record->ran = true;
    /* Zeroes that stand for what could not be read match what was written, and are not what was meant. */
    record->verified = !result->status && !result->unreadable_bytes && !result->damaged_bytes &&
                       (plan->kind == JOB_VERIFY || result->verification == VERIFIED_READ_BACK);
    memcpy(record->root, result->totals.root, sizeof(record->root));
    record->read_bytes = result->read_bytes;
    record->written_bytes = result->written_bytes;
    record->verified_bytes = result->verified_bytes;
    record->stored_bytes = result->totals.stored_bytes;
    record->unreadable_bytes = result->unreadable_bytes;
    record->damaged_bytes = result->damaged_bytes;
    record->copy_nanoseconds = result->copy_nanoseconds;
    record->verify_nanoseconds = result->verify_nanoseconds;
}

void record_message(struct session *session, const char *level, const char *sentence)
{
    struct session_record *record = session->record;
    char line[SENTENCE_MAX + 16];

    if (!record)
        return;
    snprintf(line, sizeof(line), "%s: %s\n", level, sentence);
    if (record->messages.text && strstr(record->messages.text, line))
        return; /* the plan is made twice, and says the same */
    record->messages.output.write(&record->messages.output, line, strlen(line));
}
