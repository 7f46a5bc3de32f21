/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/message.h"

static const enum job_kind job_kinds[] = {
    [COMMAND_CAPTURE] = JOB_CAPTURE,
    [COMMAND_RESTORE] = JOB_RESTORE,
    [COMMAND_CLONE] = JOB_CLONE,
    [COMMAND_VERIFY] = JOB_VERIFY,
};

static int open_end(struct session *session, const char *text, bool is_image, bool write, struct job_end *end,
                    struct error *error)
{
    char name[COMMAND_LINE_MAX];
    unsigned partition;

    int status = command_split_partition(text, name, sizeof(name), &partition, error);
    if (status)
        return status;
    end->partition = partition;
    if (!is_image)
        return session->ops->open_disk(session, name, write, end, error);
    if (write && partition)
        return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                         "%s: a new image is named without a partition number", text);
    return session->ops->open_store(session, name, write, end, error);
}

static int open_ends(struct session *session, const struct command *command, struct job_request *request,
                     struct error *error)
{
    bool from_image = command->verb == COMMAND_RESTORE || command->verb == COMMAND_VERIFY;
    bool writes_disk = command->verb == COMMAND_RESTORE || command->verb == COMMAND_CLONE;
    bool to_image = command->verb == COMMAND_CAPTURE;

    int status = open_end(session, command->arguments[0], from_image, false, &request->source, error);
    if (status && !error->side)
        error->side = from_image ? SIDE_IMAGE : SIDE_SOURCE;
    if (status || command->argument_count < 2)
        return status;
    status = open_end(session, command->arguments[1], to_image, writes_disk || to_image, &request->target, error);
    if (status && !error->side)
        error->side = to_image ? SIDE_IMAGE : SIDE_TARGET;
    return status;
}

static void close_end(struct session *session, struct job_end *end)
{
    if (end->store)
        end->store->close(end->store);
    if (end->disk)
        session->ops->close_disk(session, end);
}

/* Warnings that a person must have seen before a capture counts as agreed to. */
static bool needs_agreement(const struct plan *plan)
{
    if (plan->destroys)
        return true;
    for (unsigned i = 0; i < plan->messages.count; i++)
        if (plan->messages.items[i].id == MESSAGE_SOURCE_MOUNTED)
            return true;
    return false;
}

static int agree(struct session *session, const struct command *command, const struct plan *plan, struct error *error)
{
    char question[256];
    const char *expected = "yes";

    if (plan->refused)
        return error_set(error, ERROR_REFUSED, OPERATION_NONE, "", ERROR_NO_BLOCK,
                         "the plan cannot be carried out; see the reasons above");
    if (command->yes || !needs_agreement(plan))
        return 0;
    if (plan->destroys) {
        /* The last four characters of the serial: nobody types these for the wrong disk. */
        const struct block_device *disk = plan->request.target.disk;
        size_t length = strlen(disk->serial);
        if (length >= 4)
            expected = disk->serial + length - 4;
        snprintf(question, sizeof(question), "To destroy what is on %s (%s), type %s%s: ", disk->name, disk->model,
                 length >= 4 ? "the last four characters of its serial, " : "", expected);
    } else {
        snprintf(question, sizeof(question), "To go on all the same, type yes: ");
    }
    int answer = session->ops->confirm(session, question, expected);
    struct platform *platform = session->loop->platform;
    if (platform->ops->cancel_requested && platform->ops->cancel_requested(platform))
        return error_set(error, ERROR_CANCELLED, OPERATION_NONE, "", ERROR_NO_BLOCK, "nothing was written");
    if (answer > 0)
        return 0;
    return error_set(error, ERROR_REFUSED, OPERATION_NONE, "", ERROR_NO_BLOCK,
                     answer == 0 ? "nobody agreed; nothing was written"
                                 : "nobody is here to agree; give --yes to agree beforehand; nothing was written");
}

/* "15.9 s" while seconds matter, "1:02:03" afterwards. */
static char *duration_text(uint64_t nanoseconds, char text[TIME_TEXT_MAX])
{
    uint64_t tenths = nanoseconds / (100 * NANOSECONDS_PER_MILLISECOND);

    if (tenths >= 1000)
        return time_text(nanoseconds, text);
    snprintf(text, TIME_TEXT_MAX, "%" PRIu64 ".%" PRIu64 " s", tenths / 10, tenths % 10);
    return text;
}

static void print_verification(struct session *session, const struct plan *plan, const struct job_result *result)
{
    char time[TIME_TEXT_MAX], rate[SIZE_TEXT_MAX];

    if (plan->kind == JOB_VERIFY)
        output_print(session->status, "Everything matched.\n");
    else if (result->verification == VERIFIED_READ_BACK)
        output_print(session->status, "Verified: read back in %s (%s/s), and it matched.\n",
                     duration_text(result->verify_nanoseconds, time),
                     size_text(rate_per_second(result->verified_bytes, result->verify_nanoseconds), rate));
    else
        output_print(session->status, "Written, not read back.\n");
}

static void print_result(struct session *session, const struct plan *plan, const struct job_result *result)
{
    static const char *const done[] = {"Captured", "Restored", "Cloned", "Checked"};
    char size[SIZE_TEXT_MAX], stored[SIZE_TEXT_MAX], time[TIME_TEXT_MAX], rate[SIZE_TEXT_MAX], memory[SIZE_TEXT_MAX];
    uint64_t bytes = plan->kind == JOB_RESTORE ? result->written_bytes : result->read_bytes;
    uint64_t passed = plan->kind == JOB_VERIFY ? result->verify_nanoseconds : result->copy_nanoseconds;

    output_print(session->status, "%s %s in %s (%s/s)", done[plan->kind], size_text(bytes, size),
                 duration_text(passed, time), size_text(rate_per_second(bytes, passed), rate));
    if (plan->kind == JOB_CAPTURE)
        output_print(session->status, ", stored as %s", size_text(result->totals.stored_bytes, stored));
    if (plan->kind == JOB_CAPTURE && !plan->request.options.level && result->level_tenths)
        output_print(session->status, " at level %u.%u on average", result->level_tenths / 10,
                     result->level_tenths % 10);
    output_print(session->status, ", with %u processor%s and %s of memory.\n", result->processors,
                 result->processors == 1 ? "" : "s", size_text(result->memory_bytes, memory));
    if (result->unreadable_bytes || result->damaged_bytes)
        output_print(session->status,
                     "Warning: %" PRIu64 " bytes could not be read and %" PRIu64 " bytes of the image were damaged.\n",
                     result->unreadable_bytes, result->damaged_bytes);
    print_verification(session, plan, result);
}

static void json_result(struct session *session, const struct job_result *result, enum exit_code code)
{
    struct json json = {session->out, false};

    json_begin_object(&json, NULL);
    json_text(&json, "event", "result");
    json_number(&json, "exit_code", code);
    json_number(&json, "read_bytes", result->read_bytes);
    json_number(&json, "written_bytes", result->written_bytes);
    json_number(&json, "verified_bytes", result->verified_bytes);
    json_number(&json, "unreadable_bytes", result->unreadable_bytes);
    json_number(&json, "damaged_bytes", result->damaged_bytes);
    json_number(&json, "stored_bytes", result->totals.stored_bytes);
    json_number(&json, "plan_milliseconds", result->plan_nanoseconds / NANOSECONDS_PER_MILLISECOND);
    json_number(&json, "copy_milliseconds", result->copy_nanoseconds / NANOSECONDS_PER_MILLISECOND);
    json_number(&json, "verify_milliseconds", result->verify_nanoseconds / NANOSECONDS_PER_MILLISECOND);
    json_number(&json, "memory_bytes", result->memory_bytes);
    json_number(&json, "processors", result->processors);
    json_number(&json, "mean_level_tenths", result->level_tenths);
    json_text(&json, "verification", result->verification == VERIFIED_READ_BACK ? "read back" : "not read back");
    json_bytes(&json, "root", result->totals.root, IMAGE_HASH_SIZE);
    json_end_object(&json);
    json_end_line(&json);
}

/* A disk that was pulled out can be plugged in again. */
static void print_way_on(struct session *session, const struct plan *plan, const struct job_result *result)
{
    bool goes_on = plan->kind == JOB_RESTORE && !plan->request.source.is_pipe && !plan->request.options.salvage &&
                   (result->status == -ERROR_GONE || result->status == -ERROR_CANCELLED);

    if (goes_on)
        output_print(session->status,
                     "When both ends are there again, the same command with --continue goes on from here.\n");
}

static enum exit_code carry_out(struct session *session, const struct command *command, struct plan *plan)
{
    struct progress_view view;
    struct job_result result;
    enum exit_code code;

    memset(&result, 0, sizeof(result));
    progress_view_init(&view, session, command->json);
    job_run(session->loop, plan, &view.listener, &result);
    progress_view_end(&view);
    code = result.status ? exit_code_of(&result.error) : EXIT_CODE_DONE;
    /* What was lost is lost, even when going on was wished: nothing that follows may take this for a whole copy. */
    if (!result.status && (result.unreadable_bytes || result.damaged_bytes))
        code = EXIT_CODE_LOSSES;
    /* A disk that is not what the image says is an answer of verify, not a failure of a device. */
    if (plan->kind == JOB_VERIFY && result.status == -ERROR_MISMATCH)
        code = EXIT_CODE_DIFFERS;
    if (result.status)
        session_error(session, command->json, &result.error);
    else if (!command->json)
        print_result(session, plan, &result);
    if (result.status && !command->json)
        print_way_on(session, plan, &result);
    if (command->json)
        json_result(session, &result, code);
    return code;
}

enum exit_code session_job(struct session *session, struct command *command)
{
    struct job_request request;
    struct plan plan;
    struct error error = {0};
    enum exit_code code = EXIT_CODE_DONE;
    char program[48];

    memset(&request, 0, sizeof(request));
    memset(&plan, 0, sizeof(plan));
    request.kind = job_kinds[command->verb];
    request.options = command->options;
    snprintf(program, sizeof(program), "eidolon %s", session->version);
    request.options.program = program;

    session_prepare(session, command);
    int status = open_ends(session, command, &request, &error);
    if (!status) {
        status = job_plan(session->loop, &request, &plan, &error);
        if (!status) {
            if (command->json)
                plan_print_json(session, &plan);
            else
                plan_print(session, command, &plan);
            if (!command->dry_run || plan.refused)
                status = agree(session, command, &plan, &error);
            if (!status && !command->dry_run)
                code = carry_out(session, command, &plan);
            plan_free(&plan);
        }
    }
    if (status) {
        session_error(session, command->json, &error);
        code = exit_code_of(&error);
    }
    close_end(session, &request.source);
    close_end(session, &request.target);
    return code;
}
