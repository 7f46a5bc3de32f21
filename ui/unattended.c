/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/unattended.h"

#include <blake3.h>
#include <stdio.h>
#include <string.h>

static void read_clock(struct session *session, struct job_clock *clock)
{
    memset(clock, 0, sizeof(*clock));
    if (!session->ops->variable || !session->ops->variable(session, "date", clock->date, sizeof(clock->date)) ||
        !session->ops->variable(session, "time", clock->time, sizeof(clock->time)))
        memset(clock, 0, sizeof(*clock));
}

int unattended_begin(struct session *session, const char *file_name, struct job_run *run, struct error *error)
{
    struct platform *platform = session->loop->platform;

    memset(run, 0, sizeof(*run));
    run->file_name = file_name;
    record_start(&run->record, platform);
    run->rules = platform_allocate_zeroed(platform, sizeof(*run->rules));
    run->facts = platform_allocate_zeroed(platform, sizeof(*run->facts));
    run->decision = platform_allocate_zeroed(platform, sizeof(*run->decision));
    read_clock(session, &run->begun);
    if (run->rules && run->facts && run->decision)
        return 0;
    return error_set(error, ERROR_NO_MEMORY, OPERATION_PARSE, file_name, ERROR_NO_BLOCK, "no memory");
}

int unattended_open(struct session *session, const char *file_name, const char *text, size_t size, struct job_run *run,
                    struct error *error)
{
    blake3_hasher hasher;

    int status = unattended_begin(session, file_name, run, error);
    if (status)
        return status;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, text, size);
    blake3_hasher_finalize(&hasher, run->hash, sizeof(run->hash));
    return job_rules_parse(text, size, run->rules, error);
}

void unattended_close(struct session *session, struct job_run *run)
{
    record_free(&run->record);
    platform_release(session->loop->platform, run->rules);
    platform_release(session->loop->platform, run->facts);
    platform_release(session->loop->platform, run->decision);
}

/* The disk that holds the image, and, where one is read, whether its volume is there at all. */
static int find_image_disk(struct session *session, const struct job_decision *decision, char *name, size_t size,
                           struct error *error)
{
    struct command command = {.verb = COMMAND_INFO, .argument_count = 1, .arguments = {decision->image}};
    char image[COMMAND_LINE_MAX];
    struct job_end end = {0};
    unsigned partition;

    session_prepare(session, &command);
    end.continues = decision->rule->continues;
    int status = command_split_partition(decision->image, image, sizeof(image), &partition, error);
    if (!status)
        status = session->ops->open_store(session, image, decision->rule->action == ACTION_CAPTURE, &end, error);
    if (status) {
        if (error && !error->side)
            error->side = SIDE_IMAGE;
        return status;
    }
    snprintf(name, size, "%s", end.store->disk ? end.store->disk->name : "");
    end.store->close(end.store);
    return 0;
}

int unattended_decide(struct session *session, struct job_run *run, bool described, struct error *error)
{
    struct job_decision *decision = run->decision;
    char image_disk[BLOCK_NAME_MAX] = "";

    int status = described ? 0 : machine_facts_gather(session, run->facts, error);
    if (!status)
        status = job_decide_rule(run->rules, run->facts, &run->begun, decision, error);
    if (status || !decision->rule || decision->rule->action == ACTION_NOTHING) {
        run->state = status ? JOB_STATE_REFUSED : decision->rule ? JOB_STATE_NOTHING : JOB_STATE_NO_RULE;
        run->code = status || decision->rule ? EXIT_CODE_DONE : EXIT_CODE_NO_RULE;
        return status;
    }
    if (!described) {
        status = find_image_disk(session, decision, image_disk, sizeof(image_disk), error);
        /* Other drivers may have come to the disks since. */
        if (!status)
            status = machine_facts_gather(session, run->facts, error);
    }
    if (!status)
        status = job_decide_disk(run->facts, image_disk, decision, error);
    run->state = status ? JOB_STATE_REFUSED : JOB_STATE_DECIDED;
    return status;
}

enum exit_code unattended_command(struct session *session, struct job_run *run, bool dry_run)
{
    struct command command;
    struct error error = {0};

    if (command_parse_line(&command, run->decision->command, &error) != 0) {
        session_error(session, false, &error);
        return exit_code_of(&error);
    }
    command.dry_run = dry_run;
    const struct fact_disk *disk = run->decision->disk;
    if (disk) {
        struct command_disk *chosen = &command.chosen[command.verb == COMMAND_CAPTURE ? 0 : 1];
        snprintf(chosen->name, sizeof(chosen->name), "%s", disk->name);
        chosen->bytes = disk->bytes;
    }
    return session_run(session, &command);
}

static void refuse(struct session *session, struct job_run *run, const struct error *error)
{
    session_error(session, false, error);
    run->state = JOB_STATE_REFUSED;
    run->code = exit_code_of(error);
    if (run->code == EXIT_CODE_DONE)
        run->code = EXIT_CODE_OTHER;
}

/* Reports of a restore that lie on the disk that it writes to would be lost with the mark, or be written into what was restored. */
static int check_report_place(struct session *session, const struct job_run *run, struct error *error)
{
    const struct fact_disk *disk = run->decision->disk;
    struct job_end end = {0};
    char path[COMMAND_LINE_MAX];

    if (!disk || run->decision->rule->action != ACTION_RESTORE)
        return 0;
    report_path(run->rules->report, "place", ".txt", path, sizeof(path));
    int status = session->ops->open_store(session, path, false, &end, error);
    if (status)
        return status;
    bool same = end.store->disk && strcmp(end.store->disk->name, disk->name) == 0;
    end.store->close(end.store);
    return same ? error_set(error, ERROR_REFUSED, OPERATION_WRITE, run->rules->report, ERROR_NO_BLOCK,
                            "the reports are to be kept on the disk that is erased; report = names a folder elsewhere")
                : 0;
}

/*
 * A mark says that it need not be done once more. What only reads may always be done again, unless the machine would reboot
 * for ever.
 */
static bool is_marked(const struct job_rule *rule)
{
    return !rule->again && (rule->action != ACTION_VERIFY || rule->then == THEN_REBOOT);
}

/* All that can be known before anything is written. */
static void check(struct session *session, struct job_run *run)
{
    struct error error = {0};
    bool done = false;

    if (unattended_decide(session, run, false, &error) != 0) {
        refuse(session, run, &error);
        return;
    }
    if (run->state != JOB_STATE_DECIDED)
        return;
    if (check_report_place(session, run, &error) != 0) {
        refuse(session, run, &error);
        if (error.code != ERROR_REFUSED)
            run->code = EXIT_CODE_NO_REPORT;
        return;
    }
    if (is_marked(run->decision->rule) && report_mark_find(session, run, &done, &error) != 0) {
        refuse(session, run, &error);
        if (error.code != ERROR_UNSUPPORTED) /* the folder cannot be reached */
            run->code = EXIT_CODE_NO_REPORT;
        return;
    }
    if (done) {
        run->state = JOB_STATE_ALREADY;
        run->code = EXIT_CODE_ALREADY;
        return;
    }
    run->code = unattended_command(session, run, true);
    if (run->code != EXIT_CODE_DONE)
        run->state = JOB_STATE_REFUSED;
}

/* true: nobody stopped it. */
static bool count_down(struct session *session, const struct job_run *run, struct job_view *view)
{
    struct platform *platform = session->loop->platform;
    unsigned seconds = run->rules->countdown;
    bool stopped = false;

    if (run->elsewhere && seconds < JOB_COUNTDOWN_ELSEWHERE)
        seconds = JOB_COUNTDOWN_ELSEWHERE;
    for (; seconds && !stopped; seconds--) {
        view->countdown(view, run, seconds);
        stopped = (session->ops->wait_key && session->ops->wait_key(session, NANOSECONDS_PER_SECOND)) ||
                  (platform->ops->cancel_requested && platform->ops->cancel_requested(platform));
    }
    view->countdown(view, run, 0);
    return !stopped;
}

/* A report that is missing is a failure of its own: nobody finds out in the morning otherwise. */
static void report_failed(struct session *session, struct job_run *run, const struct error *error)
{
    run->reported = false;
    session_error(session, false, error);
    output_print(session->status, "WARNING: THE REPORT COULD NOT BE WRITTEN TO %s.\n", run->rules->report);
    platform_log(session->loop->platform, LOG_WARNING, "the report could not be written to %s", run->rules->report);
    if (run->code == EXIT_CODE_DONE)
        run->code = EXIT_CODE_NO_REPORT;
}

/* Disks come and go while seconds are counted: a second one that the rule may mean, another one under the name. */
static int decide_again(struct session *session, struct job_run *run, struct error *error)
{
    char command[COMMAND_LINE_MAX];
    uint64_t bytes = run->decision->disk ? run->decision->disk->bytes : 0;

    snprintf(command, sizeof(command), "%s", run->decision->command);
    int status = unattended_decide(session, run, false, error);
    if (status)
        return status;
    if (run->state == JOB_STATE_DECIDED && strcmp(command, run->decision->command) == 0 &&
        bytes == (run->decision->disk ? run->decision->disk->bytes : 0))
        return 0;
    return error_set(error, ERROR_REFUSED, OPERATION_NONE, "", ERROR_NO_BLOCK,
                     "this machine's disks changed during the count-down");
}

static void carry_out(struct session *session, struct job_run *run)
{
    struct error error = {0};

    if (decide_again(session, run, &error) != 0) {
        refuse(session, run, &error);
        return;
    }
    run->code = unattended_command(session, run, false);
    run->state = run->code == EXIT_CODE_DONE ? JOB_STATE_DONE : JOB_STATE_FAILED;
    /* Before the report, which may be what fails: a restore must not begin anew for want of a report. */
    if (run->state == JOB_STATE_DONE && is_marked(run->decision->rule) && report_mark_set(session, run, &error) != 0)
        report_failed(session, run, &error);
}

static void finish(struct session *session, struct job_run *run)
{
    bool marked = run->code != EXIT_CODE_NO_REPORT;
    struct error error = {0};

    read_clock(session, &run->ended);
    if (!*run->report || report_end(session, run, &error) != 0)
        report_failed(session, run, &error);
    else
        run->reported = marked;
}

static enum job_file_end end_of(const struct job_run *run)
{
    static const enum job_file_end ends[] = {[THEN_WAIT] = JOB_FILE_WAIT,
                                             [THEN_RETURN] = JOB_FILE_RETURN,
                                             [THEN_REBOOT] = JOB_FILE_REBOOT,
                                             [THEN_POWER_OFF] = JOB_FILE_POWER_OFF};

    if (run->state == JOB_STATE_ALREADY)
        return run->decision->rule->then == THEN_WAIT ? JOB_FILE_WAIT : JOB_FILE_RETURN;
    /* Nothing is written down of a machine that is left alone: where the stick is booted first, each reboot would lead here again. */
    if (run->state == JOB_STATE_NOTHING && run->decision->rule->then == THEN_REBOOT && run->code == EXIT_CODE_DONE)
        return JOB_FILE_RETURN;
    if ((run->state != JOB_STATE_DONE && run->state != JOB_STATE_NOTHING) || run->code != EXIT_CODE_DONE)
        return JOB_FILE_WAIT;
    return ends[run->decision->rule->then];
}

/* From the decision on; *end is set when a person stopped it. */
static void proceed(struct session *session, struct job_run *run, struct job_view *view)
{
    struct error error = {0};

    if (run->state == JOB_STATE_ALREADY) {
        /* No report: the one of the run that did it is there, and a loop of boots must not fill the stick. */
        view->decided(view, run);
        run->reported = true;
        if (!count_down(session, run, view)) {
            run->state = JOB_STATE_STOPPED;
            run->code = EXIT_CODE_CANCELLED;
        }
        return;
    }
    int status = report_begin(session, run, &error);
    if (status && run->state == JOB_STATE_DECIDED) {
        run->state = JOB_STATE_REFUSED;
        run->code = EXIT_CODE_NO_REPORT;
    }
    view->decided(view, run);
    if (status) {
        report_failed(session, run, &error);
        return;
    }
    bool goes_on = run->state == JOB_STATE_DECIDED || run->state == JOB_STATE_NOTHING;
    if (goes_on && !count_down(session, run, view)) {
        run->state = JOB_STATE_STOPPED;
        run->code = EXIT_CODE_CANCELLED;
    }
    if (run->state == JOB_STATE_DECIDED)
        carry_out(session, run);
    finish(session, run);
}

enum exit_code unattended_run(struct session *session, const char *file_name, bool elsewhere, const char *text,
                              size_t size, struct job_view *view, enum job_file_end *end)
{
    struct session_record *outer = session->record;
    struct error error = {0};
    struct job_run run;

    *end = JOB_FILE_WAIT;
    int status = unattended_open(session, file_name, text, size, &run, &error);
    if (status == -ERROR_NO_MEMORY) {
        session_error(session, false, &error);
        unattended_close(session, &run);
        return exit_code_of(&error);
    }
    run.elsewhere = elsewhere;
    session->record = &run.record;
    if (status) {
        run.rules->report = ""; /* where it would go is not known either */
        output_print(session->status, "job file %s:\n", file_name);
        platform_log(session->loop->platform, LOG_ERROR, "job file %s is not understood: %s", file_name, error.detail);
        refuse(session, &run, &error);
    } else {
        check(session, &run);
        proceed(session, &run, view);
    }
    session->record = outer;
    view->ended(view, &run);
    *end = end_of(&run);
    enum exit_code code = run.code;
    unattended_close(session, &run);
    return code;
}
