/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job step by step: its ends, its plan, the agreement, the run. What is said about it is for others. */
#include "ui/session.h"

#include <stdio.h>
#include <string.h>

#include "ui/record.h"

static const enum job_kind job_kinds[] = {
    [COMMAND_CAPTURE] = JOB_CAPTURE,
    [COMMAND_RESTORE] = JOB_RESTORE,
    [COMMAND_CLONE] = JOB_CLONE,
    [COMMAND_VERIFY] = JOB_VERIFY,
};

static int check_chosen(const struct command_disk *chosen, const struct block_device *disk, struct error *error)
{
    if (!chosen->name[0] || (block_device_is_called(disk, chosen->name) && chosen->bytes == block_device_bytes(disk)))
        return 0;
    return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, chosen->name, ERROR_NO_BLOCK,
                     "the disk that was chosen is not there any more; choose anew");
}

static int open_end(struct session *session, const struct command *command, unsigned argument, bool is_image,
                    bool write, struct job_end *end, struct error *error)
{
    const char *text = command->arguments[argument];
    char name[COMMAND_LINE_MAX];
    unsigned partition;

    int status = command_split_partition(text, name, sizeof(name), &partition, error);
    if (status)
        return status;
    end->partition = partition;
    if (!is_image) {
        status = session->ops->open_disk(session, name, write, end, error);
        return status ? status : check_chosen(&command->chosen[argument], end->disk, error);
    }
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

    int status = open_end(session, command, 0, from_image, false, &request->source, error);
    if (status && !error->side)
        error->side = from_image ? SIDE_IMAGE : SIDE_SOURCE;
    if (status || command->argument_count < 2)
        return status;
    request->target.continues = to_image && command->options.resume;
    status = open_end(session, command, 1, to_image, writes_disk || to_image, &request->target, error);
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

const char *session_work_agreement(const struct session_work *work)
{
    const struct plan *plan = &work->plan;

    if (!needs_agreement(plan))
        return NULL;
    if (!plan->destroys)
        return "yes";
    /* The last four characters of the serial: nobody types these for the wrong disk. */
    const char *serial = plan->request.target.disk->serial;
    size_t length = strlen(serial);
    return length >= 4 ? serial + length - 4 : "yes";
}

int session_work_plan(struct session *session, const struct command *command, struct session_work *work,
                      struct error *error)
{
    work->command = command;
    work->request.kind = job_kinds[command->verb];
    work->request.options = command->options;
    snprintf(work->program, sizeof(work->program), "eidolon %s", session->version);
    work->request.options.program = work->program;
    session_prepare(session, command);
    int status = open_ends(session, command, &work->request, error);
    if (!status)
        status = job_plan(session->loop, &work->request, &work->plan, error);
    work->planned = !status;
    if (!status)
        record_plan(session, &work->plan);
    return status;
}

enum exit_code session_work_run(struct session *session, struct session_work *work, struct job_listener *listener,
                                struct job_result *result)
{
    memset(result, 0, sizeof(*result));
    job_run(session->loop, &work->plan, listener, result);
    record_result(session, &work->plan, result);
    /* A disk that is not what the image says is an answer of verify, not a failure of a device. */
    if (work->plan.kind == JOB_VERIFY && result->status == -ERROR_MISMATCH)
        return EXIT_CODE_DIFFERS;
    if (result->status)
        return exit_code_of(&result->error);
    /* What was lost is lost, even when going on was wished: nothing that follows may take this for a whole copy. */
    return result->unreadable_bytes || result->damaged_bytes ? EXIT_CODE_LOSSES : EXIT_CODE_DONE;
}

/* A capture leaves an image that is whole as far as it goes, unless it was a new one and cancelled. */
static bool capture_goes_on(const struct plan *plan, const struct job_result *result)
{
    const struct job_end *target = &plan->request.target;

    if (target->is_pipe || !target->store->reopen || result->totals.stored_bytes)
        return false;
    switch (-result->status) {
    case ERROR_GONE:
    case ERROR_IO:
    case ERROR_TIMEOUT:
        return true;
    case ERROR_CANCELLED:
        return plan->request.options.resume;
    default:
        return false;
    }
}

bool session_work_goes_on(const struct session_work *work, const struct job_result *result)
{
    const struct plan *plan = &work->plan;

    if (plan->kind == JOB_CAPTURE)
        return capture_goes_on(plan, result);
    return plan->kind == JOB_RESTORE && !plan->request.source.is_pipe && !plan->request.options.salvage &&
           (result->status == -ERROR_GONE || result->status == -ERROR_CANCELLED);
}

void session_work_close(struct session *session, struct session_work *work)
{
    if (work->planned)
        plan_free(&work->plan);
    work->planned = false;
    close_end(session, &work->request.source);
    close_end(session, &work->request.target);
    memset(&work->request, 0, sizeof(work->request));
}
