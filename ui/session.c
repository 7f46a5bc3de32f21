/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <string.h>

#include "ui/message.h"
#include "ui/record.h"
#include "ui/unattended.h"

void session_error(struct session *session, bool json, const struct error *error)
{
    char text[SENTENCE_MAX];

    error_sentence(error, text);
    record_message(session, "error", text);
    if (json) {
        struct json writer = {session->out, false};
        json_begin_object(&writer, NULL);
        json_text(&writer, "event", "error");
        json_text(&writer, "code", error_code_name(error->code));
        json_text(&writer, "operation", error_operation_name(error->operation));
        json_text(&writer, "device", error->device);
        if (error->block != ERROR_NO_BLOCK)
            json_number(&writer, "block", error->block);
        json_number(&writer, "raw_status", error->raw_status);
        json_text(&writer, "sentence", text);
        json_number(&writer, "exit_code", exit_code_of(error));
        json_end_object(&writer);
        json_end_line(&writer);
        return;
    }
    output_print(session->status, "error: %s\n", text);
}

void message_print(struct session *session, bool json, const struct message *message)
{
    const char *word = message_level_word(message->level);
    char text[SENTENCE_MAX];

    message_sentence(message, text);
    record_message(session, word, text);
    if (json) {
        struct json writer = {session->out, false};
        json_begin_object(&writer, NULL);
        json_text(&writer, "event", "message");
        json_text(&writer, "id", message_name(message->id));
        json_text(&writer, "level", message->level == MESSAGE_INFO ? "info" : word);
        if (message->partition)
            json_number(&writer, "partition", message->partition);
        json_text(&writer, "sentence", text);
        json_end_object(&writer);
        json_end_line(&writer);
        return;
    }
    output_print(session->status, "%s: %s\n", word, text);
}

bool session_argument_is_image(const struct command *command, unsigned argument)
{
    switch (command->verb) {
    case COMMAND_CAPTURE:
        return argument == 1;
    case COMMAND_RESTORE:
    case COMMAND_VERIFY:
    case COMMAND_INFO:
        return argument == 0;
    default:
        return false;
    }
}

void session_prepare(struct session *session, const struct command *command)
{
    if (session->ops->prepare)
        session->ops->prepare(session, command);
}

enum exit_code session_run(struct session *session, struct command *command)
{
    switch (command->verb) {
    case COMMAND_HELP:
        session->out->write(session->out, command_help, strlen(command_help));
        return EXIT_CODE_DONE;
    case COMMAND_VERSION:
        output_print(session->out, "eidolon %s\n", session->version);
        return EXIT_CODE_DONE;
    case COMMAND_LIST:
        return session_list(session, command);
    case COMMAND_VOLUMES:
        return session_list_volumes(session, command);
    case COMMAND_FILES:
        return session_list_files(session, command);
    case COMMAND_INFO:
        return session_info(session, command);
    case COMMAND_MEASURE:
        return session_measure(session, command);
    case COMMAND_JOB:
        return session_unattended(session, command);
    default:
        return session_job(session, command);
    }
}

enum exit_code session_run_line(struct session *session, const char *line)
{
    struct command command;
    struct error error = {0};

    if (command_parse_line(&command, line, &error) != 0) {
        session_error(session, false, &error);
        return exit_code_of(&error);
    }
    return session_run(session, &command);
}
