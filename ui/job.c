/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/message.h"

static int agree(struct session *session, const struct session_work *work, struct error *error)
{
    const struct plan *plan = &work->plan;
    char question[256];

    if (plan->refused)
        return error_set(error, ERROR_REFUSED, OPERATION_NONE, "", ERROR_NO_BLOCK,
                         "the plan cannot be carried out; see the reasons above");
    const char *expected = session_work_agreement(work);
    if (work->command->yes || !expected)
        return 0;
    if (plan->destroys) {
        const struct block_device *disk = plan->request.target.disk;
        snprintf(question, sizeof(question), "To destroy what is on %s (%s), type %s%s: ", disk->name, disk->model,
                 strcmp(expected, "yes") ? "the last four characters of its serial, " : "", expected);
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
    uint64_t bytes = plan->kind == JOB_RESTORE ? result->written_bytes : result->read_bytes - result->compared_bytes;
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

static enum exit_code run_in_lines(struct session *session, struct session_work *work, struct job_result *result)
{
    struct progress_view view;

    progress_view_init(&view, session, work->command->json);
    enum exit_code code = session_work_run(session, work, &view.listener, result);
    progress_view_end(&view);
    return code;
}

static enum exit_code carry_out(struct session *session, struct session_work *work)
{
    const struct command *command = work->command;
    struct job_result result;

    enum exit_code code = session->viewer ? session->viewer->run(session->viewer, session, work, &result)
                                          : run_in_lines(session, work, &result);
    if (result.status)
        session_error(session, command->json, &result.error);
    else if (!command->json)
        print_result(session, &work->plan, &result);
    /* A disk that was pulled out can be plugged in again. */
    if (!command->json && session_work_goes_on(work, &result))
        output_print(session->status,
                     "When both ends are there again, the same command with --continue goes on from here.\n");
    if (!command->json && work->plan.kind == JOB_CAPTURE && session_work_goes_on(work, &result) &&
        result.status == -ERROR_GONE && result.error.side == SIDE_IMAGE)
        output_print(session->status,
                     "If the image is on NTFS or ext, let Windows or fsck check the volume before that: it was "
                     "not ejected.\n");
    if (command->json)
        json_result(session, &result, code);
    return code;
}

enum exit_code session_job(struct session *session, struct command *command)
{
    struct session_work work = {0};
    struct error error = {0};
    enum exit_code code = EXIT_CODE_DONE;

    int status = session_work_plan(session, command, &work, &error);
    if (!status) {
        if (command->json)
            plan_print_json(session, &work.plan);
        else
            plan_print(session, command, &work.plan);
        if (!command->dry_run || work.plan.refused)
            status = agree(session, &work, &error);
        if (!status && !command->dry_run)
            code = carry_out(session, &work);
    }
    if (status) {
        session_error(session, command->json, &error);
        code = exit_code_of(&error);
    }
    session_work_close(session, &work);
    return code;
}
