/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in a report: for people (lines end as Windows has them, for it is read there) and for programs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/unattended.h"

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {"decided", "no rule matched", "nothing to do", "already done",
                                        "stopped", "refused",         "done",          "failed"};

    return names[state];
}

static const char *state_sentence(const struct job_run *run)
{
    static const char *const sentences[] = {
        [JOB_STATE_DECIDED] = "BEGUN. If this is all there is, the job did not come to its end.",
        [JOB_STATE_NO_RULE] = "NO RULE MATCHED. This machine was left as it is.",
        [JOB_STATE_NOTHING] = "NOTHING TO DO, as its rule says. This machine was left as it is.",
        [JOB_STATE_ALREADY] = "ALREADY DONE. This machine was left as it is.",
        [JOB_STATE_STOPPED] = "STOPPED by a key, before anything was written.",
        [JOB_STATE_REFUSED] = "REFUSED. This machine was left as it is.",
        [JOB_STATE_DONE] = "DONE.",
        [JOB_STATE_FAILED] = "FAILED.",
    };

    return sentences[run->state];
}

/* Puts "\r\n" where the writer says "\n". */
struct dos_output {
    struct output output; /* first */
    struct output *below;
};

static void write_dos(struct output *output, const char *text, size_t size)
{
    struct output *below = ((struct dos_output *)output)->below;

    while (size) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        below->write(below, text, length);
        if (!end)
            return;
        below->write(below, "\r\n", 2);
        text += length + 1;
        size -= length + 1;
    }
}

/* "2026-11-25 22:30:52" of the clock's two texts. */
static void print_time(struct output *output, const char *what, const struct job_clock *clock)
{
    if (*clock->date && strlen(clock->time) == 6)
        output_print(output, "%-10s %s %.2s:%.2s:%.2s\n", what, clock->date, clock->time, clock->time + 2,
                     clock->time + 4);
}

static bool has_losses(const struct session_record *record)
{
    return record->unreadable_bytes || record->damaged_bytes;
}

/* All zeroes: the job did not come so far, or some of the image was damaged. */
static bool root_is_known(const struct session_record *record)
{
    return !memory_is_zero(record->root, IMAGE_HASH_SIZE);
}

static void print_outcome(struct output *output, const struct job_run *run)
{
    const struct session_record *record = &run->record;
    const struct fact_disk *disk = run->decision->disk;
    char size[SIZE_TEXT_MAX], time[TIME_TEXT_MAX];

    if (disk)
        output_print(output, "Disk:      %s, %s, serial %s, %" PRIu64 " bytes (%s)\n", disk->name, disk->model,
                     disk->serial, disk->bytes, size_text(disk->bytes, size));
    if (*run->decision->image)
        output_print(output, "Image:     %s\n", run->decision->image);
    if (!record->ran)
        return;
    if (root_is_known(record)) {
        output_print(output, "Root hash: ");
        for (size_t i = 0; i < IMAGE_HASH_SIZE; i++)
            output_print(output, "%02x", record->root[i]);
        output_print(output, "\n");
    }
    output_print(output, "Read:      %" PRIu64 " bytes\n", record->read_bytes);
    output_print(output, "Written:   %" PRIu64 " bytes\n", record->written_bytes);
    output_print(output, "Took:      %s", time_text(record->copy_nanoseconds, time));
    output_print(output, " and %s to read back\n", time_text(record->verify_nanoseconds, time));
    output_print(output, "Verified:  %s\n",
                 record->verified              ? "yes, read back, and it matched"
                 : has_losses(record)          ? "NO, bytes were lost"
                 : run->code == EXIT_CODE_DONE ? "NO, written and not read back"
                                               : "NO");
    if (has_losses(record))
        output_print(output,
                     "LOST:      %" PRIu64 " bytes could not be read, %" PRIu64 " bytes of the image were damaged\n",
                     record->unreadable_bytes, record->damaged_bytes);
}

static void print_rules(struct output *output, const struct job_run *run)
{
    const struct job_decision *decision = run->decision;

    for (unsigned i = 0; i < decision->reason_count; i++)
        output_print(output, "Rule \"%s\" %s: %s.\n", run->rules->rules[i].name,
                     decision->rule == &run->rules->rules[i] ? "is this machine's" : "is not this machine's",
                     decision->reasons[i]);
    if (*decision->command)
        output_print(output, "Command:   %s\n", decision->command);
}

void report_text(struct output *below, const struct session *session, const struct job_run *run)
{
    struct dos_output dos = {.output = {.write = write_dos, .columns = 120}, .below = below};
    struct output *output = &dos.output;

    output_print(output, "%s\n\n", state_sentence(run));
    if (*run->rules->title)
        output_print(output, "%s\n", run->rules->title);
    if (*run->file_name)
        output_print(output, "Job file:  %s\n", run->file_name);
    print_time(output, "Begun:", &run->begun);
    print_time(output, "Ended:", &run->ended);
    if (run->state != JOB_STATE_DECIDED)
        output_print(output, "Exit code: %d\n", (int)run->code);
    output_print(output, "Program:   eidolon %s\n\n", session->version);
    print_rules(output, run);
    print_outcome(output, run);
    if (run->record.messages.text) {
        output_print(output, "\n");
        output->write(output, run->record.messages.text, run->record.messages.size);
    }
    output_print(output, "\nThis machine:\n\n");
    machine_facts_print(output, run->facts);
}

static void json_clock(struct json *json, const char *key, const struct job_clock *clock)
{
    char text[24] = "";

    if (*clock->date && strlen(clock->time) == 6)
        snprintf(text, sizeof(text), "%.10sT%.2s:%.2s:%.2s", clock->date, clock->time, clock->time + 2,
                 clock->time + 4);
    json_text(json, key, text);
}

static void json_messages(struct json *json, const struct text_output *messages)
{
    char line[SENTENCE_MAX + 16];

    json_begin_array(json, "messages");
    for (const char *at = messages->text; at && *at; at += strcspn(at, "\n") + 1) {
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
        json_text(json, NULL, line);
    }
    json_end_array(json);
}

static void json_outcome(struct json *json, const struct job_run *run)
{
    const struct session_record *record = &run->record;
    const struct fact_disk *disk = run->decision->disk;

    json_begin_object(json, "disk");
    json_text(json, "name", disk ? disk->name : "");
    json_text(json, "model", disk ? disk->model : "");
    json_text(json, "serial", disk ? disk->serial : "");
    json_number(json, "bytes", disk ? disk->bytes : 0);
    json_end_object(json);
    json_begin_object(json, "image");
    json_text(json, "name", run->decision->image);
    if (record->ran && root_is_known(record))
        json_bytes(json, "root", record->root, IMAGE_HASH_SIZE);
    json_number(json, "stored_bytes", record->stored_bytes);
    json_end_object(json);
    json_number(json, "read_bytes", record->read_bytes);
    json_number(json, "written_bytes", record->written_bytes);
    json_number(json, "verified_bytes", record->verified_bytes);
    json_number(json, "unreadable_bytes", record->unreadable_bytes);
    json_number(json, "damaged_bytes", record->damaged_bytes);
    json_number(json, "copy_milliseconds", record->copy_nanoseconds / NANOSECONDS_PER_MILLISECOND);
    json_number(json, "verify_milliseconds", record->verify_nanoseconds / NANOSECONDS_PER_MILLISECOND);
    json_bool(json, "verified", record->verified);
}

void report_json(struct output *output, const struct session *session, const struct job_run *run)
{
    const struct job_decision *decision = run->decision;
    struct json json = {output, false};

    json_begin_object(&json, NULL);
    json_text(&json, "format", "eidolon-report-1");
    json_text(&json, "state", job_state_name(run->state));
    json_number(&json, "exit_code", run->code);
    json_text(&json, "program", session->version);
    json_text(&json, "title", run->rules->title);
    json_text(&json, "job_file", run->file_name);
    json_bytes(&json, "job_hash", run->hash, sizeof(run->hash));
    json_clock(&json, "begun", &run->begun);
    json_clock(&json, "ended", &run->ended);
    json_text(&json, "rule", decision->rule ? decision->rule->name : "");
    json_begin_array(&json, "rules");
    for (unsigned i = 0; i < decision->reason_count; i++) {
        json_begin_object(&json, NULL);
        json_text(&json, "name", run->rules->rules[i].name);
        json_bool(&json, "matched", decision->rule == &run->rules->rules[i]);
        json_text(&json, "reason", decision->reasons[i]);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_text(&json, "command", decision->command);
    json_text(&json, "then", decision->rule ? job_then_name(decision->rule->then) : "");
    json_outcome(&json, run);
    json_messages(&json, &run->record.messages);
    json_begin_object(&json, "machine");
    machine_facts_json(&json, run->facts);
    json_end_object(&json);
    json_end_object(&json);
    json_end_line(&json);
}
