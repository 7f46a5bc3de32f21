/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/conformance.h"

#include <string.h>

#include "boot/write_speed.h"
#include "core/block_conformance.h"
#include "ui/message.h"

#define BLANKS " \t"
#define SEED 20200202

static enum exit_code say_error(struct output *out, const struct error *error)
{
    char text[SENTENCE_MAX];

    output_print(out, "error: %s\n", error_sentence(error, text));
    return exit_code_of(error);
}

int conformance_open(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    int status = session->ops->open_disk(session, name, write, end, error);

    if (status || !write || !end->is_boot_stick)
        return status;
    status = error_set(error, ERROR_REFUSED, OPERATION_WRITE, end->disk->name, ERROR_NO_BLOCK,
                       "Eidolon runs from this disk");
    session->ops->close_disk(session, end);
    return status;
}

static enum exit_code try_disk(struct session *session, const char *name, bool destructive)
{
    struct block_conformance_options options = {.destructive = destructive, .seed = SEED};
    struct platform *platform = session->loop->platform;
    struct job_end end = {0};
    struct error error = {0};

    if (conformance_open(session, name, destructive, &end, &error) != 0)
        return say_error(session->out, &error);
    struct block_device *disk = end.disk;
    uint64_t start = platform_now(platform);
    const char *failed = block_conformance_run(disk, &options);
    uint64_t milliseconds = (platform_now(platform) - start) / NANOSECONDS_PER_MILLISECOND;
    output_print(session->out, "conformance: %s: %s%s (driver %s, blocks of %u bytes, %s, %llu ms)\n", disk->name,
                 failed ? "FAILED, " : "ok", failed ? failed : "", disk->driver, (unsigned)disk->geometry.logical_block,
                 destructive && !disk->read_only ? "written" : "reads only", (unsigned long long)milliseconds);
    session->ops->close_disk(session, &end);
    return failed ? EXIT_CODE_OTHER : EXIT_CODE_DONE;
}

/* Cuts the next word off; NULL: there is none. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, BLANKS);
    size_t length = strcspn(word, BLANKS);

    *at = word + length + (word[length] != 0);
    word[length] = 0;
    return length ? word : NULL;
}

struct request {
    const char *names[COMMAND_ARGUMENTS_MAX];
    unsigned count;
    bool speed, destructive;
};

static int parse(char *words, struct request *request, struct error *error)
{
    bool first = true;

    for (char *word; (word = next_word(&words)); first = false) {
        if (first && strcmp(word, "write-speed") == 0)
            request->speed = true;
        else if (strcmp(word, "--yes") == 0)
            request->destructive = true;
        else if (word[0] == '-' || request->count == COMMAND_ARGUMENTS_MAX)
            goto wrong;
        else
            request->names[request->count++] = word;
    }
    if (!request->count)
        goto wrong;
    if (request->speed && !request->destructive)
        return error_set(error, ERROR_REFUSED, OPERATION_WRITE, request->names[0], ERROR_NO_BLOCK,
                         "write-speed overwrites the disks that it is given; it needs --yes");
    return 0;

wrong:
    return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                     "the form is: conformance [write-speed] DISK... [--yes]");
}

/* Our USB drivers are tried too. */
static void prepare(struct session *session, const struct request *request)
{
    struct command command = {.verb = COMMAND_MEASURE, .argument_count = request->count};

    memcpy(command.arguments, request->names, sizeof(command.arguments));
    session_prepare(session, &command);
}

enum exit_code conformance(struct session *session, char *words)
{
    struct request request = {0};
    struct error error = {0};
    enum exit_code code = EXIT_CODE_DONE;

    if (parse(words, &request, &error) != 0)
        return say_error(session->out, &error);
    prepare(session, &request);
    if (request.speed)
        return write_speed(session, request.names, request.count, &error) == 0 ? EXIT_CODE_DONE
                                                                               : say_error(session->out, &error);
    for (unsigned i = 0; i < request.count; i++) {
        enum exit_code one = try_disk(session, request.names[i], request.destructive);
        if (one && !code)
            code = one;
    }
    return code;
}
