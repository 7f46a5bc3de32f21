/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <stdio.h>
#include <string.h>

#include "ui/expand.h"

#define JOB_FILE_LINES_MAX 64

/* One line at a time, without its end; NULL after the last. */
static const char *next_line(const char **at, const char *end, size_t *length)
{
    const char *line = *at;

    if (line >= end)
        return NULL;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    *at = stop ? stop + 1 : end;
    *length = (size_t)((stop ? stop : end) - line);
    if (*length && line[*length - 1] == '\r')
        --*length;
    return line;
}

static bool session_value(void *context, const char *name, char *value, size_t size)
{
    struct session *session = context;

    return session->ops->variable && session->ops->variable(session, name, value, size);
}

static bool is_end_line(const char *text, enum job_file_end *end)
{
    static const struct {
        const char *text;
        enum job_file_end end;
    } ends[] = {
        {"then return", JOB_FILE_RETURN}, {"then reboot", JOB_FILE_REBOOT}, {"then poweroff", JOB_FILE_POWER_OFF}};

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (strcmp(text, ends[i].text) == 0) {
            *end = ends[i].end;
            return true;
        }
    }
    return false;
}

/* What a checked line stands for. */
enum line_kind { LINE_EMPTY, LINE_COMMAND, LINE_END };

static int read_line(struct session *session, const char *line, size_t length, struct command *command, char *text,
                     size_t size, enum job_file_end *end, enum line_kind *kind, struct error *error)
{
    while (length && (*line == ' ' || *line == '\t')) {
        line++;
        length--;
    }
    *kind = LINE_EMPTY;
    if (!length || *line == '#')
        return 0;
    int status = expand_names(line, length, session_value, session, text, size, error);
    if (status)
        return status;
    *kind = LINE_END;
    if (is_end_line(text, end))
        return 0;
    *kind = LINE_COMMAND;
    status = command_parse_line(command, text, error);
    if (!status && command_destroys(command) && !command->yes)
        return error_set(error, ERROR_REFUSED, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                         "%s destroys data and needs --yes in a job file", command_verb_name(command->verb));
    return status;
}

/* Which of a command's arguments are disks that must be there; images may be made by an earlier line. */
static bool is_disk_argument(const struct command *command, unsigned argument)
{
    switch (command->verb) {
    case COMMAND_CAPTURE:
        return argument == 0;
    case COMMAND_RESTORE:
    case COMMAND_VERIFY:
        return argument == 1;
    case COMMAND_LIST:
    case COMMAND_CLONE:
    case COMMAND_MEASURE:
        return true;
    default:
        return false;
    }
}

/* A name that fits no disk, or several, must not be found out after half of the lines have run. */
static int check_disks(struct session *session, const struct command *command, struct error *error)
{
    if (command->verb != COMMAND_LIST && command->verb != COMMAND_VOLUMES && command->verb != COMMAND_FILES)
        session_prepare(session, command);
    for (unsigned i = 0; i < command->argument_count; i++) {
        char name[COMMAND_LINE_MAX];
        struct job_end end = {0};
        if (!is_disk_argument(command, i))
            continue;
        int status = command_split_partition(command->arguments[i], name, sizeof(name), &end.partition, error);
        if (!status)
            status = session->ops->open_disk(session, name, false, &end, error);
        if (status)
            return status;
        session->ops->close_disk(session, &end);
    }
    return 0;
}

/* Both passes: first with run false (check everything), then with run true. */
static enum exit_code walk(struct session *session, const char *text, size_t size, bool run, enum job_file_end *end)
{
    const char *at = text, *stop = text + size, *line;
    size_t length;
    unsigned number = 0, commands = 0;

    while ((line = next_line(&at, stop, &length))) {
        struct command command;
        struct error error = {0};
        char expanded[COMMAND_LINE_MAX], note[COMMAND_LINE_MAX + 64];
        enum line_kind kind;

        number++;
        int status = read_line(session, line, length, &command, expanded, sizeof(expanded), end, &kind, &error);
        if (!status && kind == LINE_COMMAND && ++commands > JOB_FILE_LINES_MAX)
            status = error_set(&error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "more than %d commands",
                               JOB_FILE_LINES_MAX);
        if (!status && kind == LINE_COMMAND && !run)
            status = check_disks(session, &command, &error);
        if (status) {
            output_print(session->status, "job file, line %u:\n", number);
            session_error(session, false, &error);
            return exit_code_of(&error);
        }
        if (!run || kind != LINE_COMMAND)
            continue;
        snprintf(note, sizeof(note), "job file, line %u: %s", number, expanded);
        output_print(session->status, "%s\n", note);
        if (session->ops->note)
            session->ops->note(session, note);
        enum exit_code code = session_run(session, &command);
        snprintf(note, sizeof(note), "job file, line %u: exit code %d", number, (int)code);
        if (session->ops->note)
            session->ops->note(session, note);
        if (code != EXIT_CODE_DONE) {
            output_print(session->status, "%s; the rest was not run.\n", note);
            return code;
        }
    }
    return EXIT_CODE_DONE;
}

enum exit_code session_run_job_file(struct session *session, const char *text, size_t size, enum job_file_end *end)
{
    enum job_file_end wanted = JOB_FILE_RETURN;

    *end = JOB_FILE_RETURN;
    /* A byte order mark, as some editors leave it. */
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        size -= 3;
    }
    enum exit_code code = walk(session, text, size, false, &wanted);
    if (code == EXIT_CODE_DONE)
        code = walk(session, text, size, true, &wanted);
    if (code == EXIT_CODE_DONE)
        *end = wanted;
    return code;
}
