/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text view of unattended work, and the command `job`. */
#include <stdio.h>
#include <string.h>

#include "ui/unattended.h"

/* --- the text view --- */

static struct output *status_of(struct job_view *view)
{
    return ((struct job_text_view *)view)->session->status;
}

static void print_decision(struct output *output, const struct job_run *run)
{
    const struct job_decision *decision = run->decision;
    char size[SIZE_TEXT_MAX];

    for (unsigned i = 0; i < decision->reason_count; i++)
        output_print(output, "Rule \"%s\" (line %u) %s: %s.\n", run->rules->rules[i].name, run->rules->rules[i].line,
                     decision->rule == &run->rules->rules[i] ? "is this machine's" : "is not this machine's",
                     decision->reasons[i]);
    if (decision->disk)
        output_print(output, "Disk: %s, %s, %s%s\n", decision->disk->name, decision->disk->model,
                     size_text(decision->disk->bytes, size),
                     decision->rule->action == ACTION_RESTORE ? ". What it holds will be destroyed." : ".");
    if (*decision->command)
        output_print(output, "Command: %s\n", decision->command);
    if (decision->rule)
        output_print(output, "Afterwards: %s.\n", job_then_name(decision->rule->then));
}

static void show_decided(struct job_view *view, const struct job_run *run)
{
    static const char *const words[] = {
        [JOB_STATE_DECIDED] = NULL,
        [JOB_STATE_NO_RULE] = "No rule of the job file is for this machine. It is left as it is.\n",
        [JOB_STATE_NOTHING] = "Its rule says: nothing. This machine is left as it is.\n",
        [JOB_STATE_ALREADY] = "This rule has been carried out on this machine before. It is left as it is.\n",
        [JOB_STATE_STOPPED] = NULL,
        [JOB_STATE_REFUSED] = "This machine is left as it is.\n",
        [JOB_STATE_DONE] = NULL,
        [JOB_STATE_FAILED] = NULL,
    };
    struct output *output = status_of(view);

    output_print(output, "Job file %s%s%s\n", run->file_name, *run->rules->title ? ": " : "", run->rules->title);
    print_decision(output, run);
    if (words[run->state])
        output_print(output, "%s", words[run->state]);
}

static void show_countdown(struct job_view *view, const struct job_run *run, unsigned seconds)
{
    struct output *output = status_of(view);
    const char *what = run->state == JOB_STATE_DECIDED ? job_action_name(run->decision->rule->action) : "this ends";

    if (output->is_terminal)
        output_print(output, seconds ? "\r%s in %u s; any key stops it  " : "\n", what, seconds);
    else if (seconds && (seconds == run->rules->countdown || seconds % 10 == 0))
        output_print(output, "%s in %u s; any key stops it\n", what, seconds);
}

static void show_ended(struct job_view *view, const struct job_run *run)
{
    struct output *output = status_of(view);

    output_print(output, "Job file: %s, exit code %d.", job_state_name(run->state), (int)run->code);
    if (run->reported && *run->report)
        output_print(output, " Report: %s in %s", run->report, run->rules->report);
    output_print(output, "\n");
}

void job_text_view_init(struct job_text_view *view, struct session *session)
{
    *view = (struct job_text_view){.view = {show_decided, show_countdown, show_ended}, .session = session};
}

/* --- the command --- */

static enum exit_code fail(struct session *session, const struct command *command, const struct error *error)
{
    session_error(session, command->json, error);
    return exit_code_of(error);
}

static int save_facts(struct session *session, const char *name, const struct machine_facts *facts, struct error *error)
{
    struct text_output text;

    text_output_start(&text, session->loop->platform);
    machine_facts_print(&text.output, facts);
    int status = text.failed ? error_set(error, ERROR_NO_MEMORY, OPERATION_WRITE, name, ERROR_NO_BLOCK, "no memory")
                             : report_write(session, name, text.text, text.size, error);
    text_output_free(&text);
    return status;
}

/* name: of a file that takes them; NULL: they are shown. */
static enum exit_code print_facts(struct session *session, const struct command *command, const char *name)
{
    struct error error = {0};
    struct machine_facts *facts = platform_allocate(session->loop->platform, sizeof(*facts));

    if (!facts || machine_facts_gather(session, facts, &error) != 0) {
        platform_release(session->loop->platform, facts);
        if (!error.code)
            error_set(&error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory");
        return fail(session, command, &error);
    }
    if (name) {
        if (save_facts(session, name, facts, &error) != 0) {
            platform_release(session->loop->platform, facts);
            return fail(session, command, &error);
        }
        output_print(session->status, "Written to %s.\n", name);
    } else if (command->json) {
        struct json json = {session->out, false};
        json_begin_object(&json, NULL);
        machine_facts_json(&json, facts);
        json_end_object(&json);
        json_end_line(&json);
    } else {
        machine_facts_print(session->out, facts);
    }
    platform_release(session->loop->platform, facts);
    return EXIT_CODE_DONE;
}

static int read_described(struct session *session, const char *path, struct machine_facts *facts, struct error *error)
{
    char *text;
    size_t size;
    int status = report_read(session, path, INI_FILE_MAX, &text, &size, error);

    if (status)
        return status;
    status = machine_facts_read(text, size, facts, error);
    platform_release(session->loop->platform, text);
    if (status)
        snprintf(error->device, sizeof(error->device), "%s", path);
    return status;
}

static enum exit_code check_file(struct session *session, const struct command *command, const char *name,
                                 const char *text, size_t size)
{
    struct error error = {0};
    struct job_run run;

    int status = unattended_open(session, name, text, size, &run, &error);
    if (status)
        snprintf(error.device, sizeof(error.device), "%s", name);
    if (!status && command->machine)
        status = read_described(session, command->machine, run.facts, &error);
    if (!status)
        status = unattended_decide(session, &run, command->machine != NULL, &error);
    if (status) {
        run.state = JOB_STATE_REFUSED;
        run.code = exit_code_of(&error);
    }
    if (command->json && run.decision && run.rules && run.facts)
        report_json(session->out, session, &run);
    else if (run.decision)
        print_decision(session->out, &run);
    if (status)
        session_error(session, command->json, &error);
    else if (run.state == JOB_STATE_DECIDED && !command->machine)
        run.code = unattended_command(session, &run, true);
    enum exit_code code = run.code;
    unattended_close(session, &run);
    return code;
}

static enum exit_code run_file(struct session *session, const char *name, const char *text, size_t size)
{
    struct job_text_view view;
    enum job_file_end end;

    job_text_view_init(&view, session);
    enum exit_code code = unattended_run(session, name, false, text, size, &view.view, &end);
    if (end == JOB_FILE_REBOOT || end == JOB_FILE_POWER_OFF)
        output_print(session->status, "Not %s: the file was not found at the start, but named in a command.\n",
                     end == JOB_FILE_REBOOT ? "rebooting" : "switching off");
    return code;
}

enum exit_code session_unattended(struct session *session, struct command *command)
{
    const char *what = command->arguments[0], *name = command->argument_count > 1 ? command->arguments[1] : NULL;
    bool check = strcmp(what, "check") == 0, run = strcmp(what, "run") == 0;
    struct error error = {0};
    char *text;
    size_t size;

    if (strcmp(what, "facts") == 0 && !command->machine && !(name && command->json))
        return print_facts(session, command, name);
    if ((!check && !run) || !name || (run && command->machine)) {
        error_set(&error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                  "the form is: job check FILE [--machine=FACTS], or job run FILE, or job facts [FILE]");
        return fail(session, command, &error);
    }
    if (report_read(session, name, INI_FILE_MAX, &text, &size, &error) != 0)
        return fail(session, command, &error);
    enum exit_code code = check ? check_file(session, command, name, text, size) : run_file(session, name, text, size);
    platform_release(session->loop->platform, text);
    return code;
}
