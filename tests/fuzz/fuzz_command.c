/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people and job files say. The first byte chooses between one command line and a job file, which runs in a session without any
 * disk: every command is understood or refused, and none gets further than its first name.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"
#include "ui/session.h"

#define MEMORY_MAX (8u * 1024 * 1024)

/* --- a command line --- */

static void check_command(const struct command *command)
{
    fuzz_require(command->argument_count <= COMMAND_ARGUMENTS_MAX);
    for (unsigned i = 0; i < command->argument_count; i++) {
        const char *argument = command->arguments[i];
        char name[BLOCK_NAME_MAX];
        unsigned partition;

        fuzz_require(argument >= command->words && argument < command->words + sizeof command->words);
        fuzz_require(memchr(argument, 0, (size_t)(command->words + sizeof command->words - argument)) && *argument);
        if (command_split_partition(argument, name, sizeof name, &partition, NULL) == 0)
            fuzz_require(*name && strlen(name) < sizeof name && partition <= PARTITION_MAX);
    }
    fuzz_require(command->options.level >= 0 && command->options.level <= 19);
    fuzz_require(!command->options.chunk_size ||
                 (command->options.chunk_size >= IMAGE_CHUNK_MIN && command->options.chunk_size <= IMAGE_CHUNK_MAX));
    fuzz_require(command->options.processors <= 1024);
    fuzz_require(*command_verb_name(command->verb));
    (void)command_destroys(command);
}

static void run_line(const char *line)
{
    static struct command command;
    struct error error = {0};
    int status = command_parse_line(&command, line, &error);

    if (status == 0) {
        fuzz_accepted = true;
        check_command(&command);
        return;
    }
    fuzz_require(status == -ERROR_USAGE && error.code == ERROR_USAGE && error.detail[0]);
    fuzz_require(strlen(error.detail) < sizeof error.detail);
}

/* --- a job file --- */

static int find_disks(struct session *session, struct error *error)
{
    (void)session;
    (void)error;
    return 0;
}

static int open_disk(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    (void)session;
    (void)write;
    (void)end;
    return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no such disk");
}

static void close_disk(struct session *session, struct job_end *end)
{
    (void)session;
    fuzz_require(!end->disk);
}

static int open_store(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    return open_disk(session, name, write, end, error);
}

static int list_volumes(struct session *session, session_volume_found *found, void *context, struct error *error)
{
    static const struct session_volume volume = {.name = "V", .label = "\"", .why = "so", .bytes = UINT64_MAX};

    (void)session;
    (void)error;
    found(context, &volume);
    return 0;
}

/* The name that was asked for comes back as a file's. */
static int list_files(struct session *session, const char *volume, const char *folder, filesystem_found *found,
                      void *context, struct error *error)
{
    struct filesystem_file file = {.modified = INT64_MAX >> 24};

    (void)session;
    (void)error;
    fuzz_require(*volume && strlen(volume) < SESSION_VOLUME_NAME_MAX);
    snprintf(file.name, sizeof(file.name), "%s", folder);
    found(context, &file);
    return 0;
}

static int confirm(struct session *session, const char *question, const char *expected)
{
    (void)session;
    fuzz_require(question && expected);
    return -1;
}

static bool variable(struct session *session, const char *name, char *value, size_t size)
{
    (void)session;
    if (strcmp(name, "serial") != 0 && strcmp(name, "model") != 0)
        return false;
    snprintf(value, size, "A/B \"%s\" --yes", name);
    return true;
}

static void swallow(struct output *output, const char *text, size_t size)
{
    (void)output;
    fuzz_require(size <= 2000 && !memchr(text, 0, size));
}

static void run_job_file(struct platform *platform, const char *text, size_t size)
{
    static const struct session_ops ops = {.find_disks = find_disks,
                                           .open_disk = open_disk,
                                           .close_disk = close_disk,
                                           .open_store = open_store,
                                           .list_volumes = list_volumes,
                                           .list_files = list_files,
                                           .volumes_have_colon = true,
                                           .confirm = confirm,
                                           .variable = variable};
    struct output output = {.write = swallow, .columns = 80};
    struct block_registry registry;
    struct loop loop;
    struct session session = {
        .ops = &ops, .loop = &loop, .registry = &registry, .out = &output, .status = &output, .version = "0"};
    enum job_file_end end = JOB_FILE_POWER_OFF;

    loop_init(&loop, platform);
    block_registry_init(&registry);
    enum exit_code code = session_run_job_file(&session, text, size, &end);
    fuzz_accepted = code == EXIT_CODE_DONE;
    fuzz_require(code >= EXIT_CODE_DONE && code <= EXIT_CODE_DIFFERS);
    fuzz_require(code == EXIT_CODE_DONE || end == JOB_FILE_RETURN); /* a failure never switches off */
}

void fuzz_command(const uint8_t *data, size_t size)
{
    if (size < 1)
        return;
    /* A copy of the exact size, so that reading past its end is seen. */
    bool line = data[0] & 1;
    size_t length = size - 1;
    char *text = malloc(line || !length ? length + 1 : length);
    if (!text)
        abort();
    memcpy(text, data + 1, length);
    if (line)
        text[length] = 0;
    struct platform *platform = fuzz_begin();
    if (line)
        run_line(text);
    else
        run_job_file(platform, text, length);
    fuzz_end(MEMORY_MAX);
    free(text);
}
