/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports as files: their names, writing them, and the marks of what is done. What stands in them is job_report_text.c's affair. */
#include <blake3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ui/expand.h"
#include "ui/unattended.h"

#define REPORTS_MAX 999 /* of one machine */
#define PATH_MAX_BYTES 320
#define BASE_NAME_MAX 32 /* leaves room for -999-begun */
#define MARK_MAX 1024

/* --- small files --- */

static int read_stream(struct session *session, struct stream *stream, size_t limit, char **text, size_t *size,
                       struct error *error)
{
    struct platform *platform = session->loop->platform;
    size_t room = stream->size < limit ? (size_t)stream->size : limit;

    /* One byte more tells a file that is too long. */
    char *data = platform_allocate(platform, room + 2);
    if (!data)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_READ, stream->name, ERROR_NO_BLOCK, "no memory");
    int status = stream_read(stream, 0, data, room + 1, size, error);
    if (!status && *size > room)
        status = error_set(error, ERROR_OUT_OF_RANGE, OPERATION_READ, stream->name, ERROR_NO_BLOCK,
                           "the file is larger than %u KiB", (unsigned)(limit / 1024));
    if (status) {
        platform_release(platform, data);
        return status;
    }
    data[*size] = 0;
    *text = data;
    return 0;
}

/* Opens volume 0 of a store; *missing: there is a place for it, and no such file. */
static int open_file(struct session *session, const char *path, bool write, struct job_end *end, struct stream **stream,
                     bool *missing, struct error *error)
{
    memset(end, 0, sizeof(*end));
    *missing = false;
    int status = session->ops->open_store(session, path, write, end, error);
    if (status)
        return status;
    status = end->store->open(end->store, 0, write, stream, error);
    *missing = status == -ERROR_NOT_FOUND;
    if (status)
        end->store->close(end->store);
    return status;
}

int report_read(struct session *session, const char *path, size_t limit, char **text, size_t *size, struct error *error)
{
    struct stream *stream;
    struct job_end end;
    bool missing;

    int status = open_file(session, path, false, &end, &stream, &missing, error);
    if (status)
        return status;
    status = read_stream(session, stream, limit, text, size, error);
    stream_close(stream, NULL);
    end.store->close(end.store);
    return status;
}

static int check_written(struct session *session, const char *path, const char *data, size_t size, struct error *error)
{
    char *text;
    size_t found;
    int status = report_read(session, path, size, &text, &found, error);

    if (status)
        return status;
    bool same = found == size && memcmp(text, data, size) == 0;
    platform_release(session->loop->platform, text);
    return same ? 0
                : error_set(error, ERROR_MISMATCH, OPERATION_VERIFY, path, ERROR_NO_BLOCK,
                            "what was read back is not what was written");
}

int report_write(struct session *session, const char *path, const char *data, size_t size, struct error *error)
{
    struct stream *stream;
    struct job_end end;
    bool missing;

    int status = open_file(session, path, true, &end, &stream, &missing, error);
    if (status)
        return status;
    status = stream_write(stream, 0, data, size, error);
    if (!status)
        status = stream_flush(stream, error);
    int closed = stream_close(stream, status ? NULL : error);
    end.store->close(end.store);
    if (!status)
        status = closed;
    return status ? status : check_written(session, path, data, size, error);
}

/* Who opens stores for writing may refuse those that are there: then reading will do to take one away. */
static void remove_file(struct session *session, const char *path)
{
    struct job_end end = {0};
    struct error error = {0};

    int status = session->ops->open_store(session, path, true, &end, &error);
    if (status == -ERROR_EXISTS)
        status = session->ops->open_store(session, path, false, &end, &error);
    if (status)
        return;
    if (!end.store->remove || end.store->remove(end.store, 0, &error) != 0)
        platform_log(session->loop->platform, LOG_WARNING, "%s could not be removed", path);
    end.store->close(end.store);
}

static int file_exists(struct session *session, const char *path, bool *exists, struct error *error)
{
    struct stream *stream;
    struct job_end end;
    bool missing;

    int status = open_file(session, path, false, &end, &stream, &missing, error);
    *exists = !status;
    if (missing) {
        if (error)
            memset(error, 0, sizeof(*error));
        return 0;
    }
    if (!status) {
        stream_close(stream, NULL);
        end.store->close(end.store);
    }
    return status;
}

/* --- names --- */

void report_path(const char *folder, const char *name, const char *extension, char *path, size_t size)
{
    snprintf(path, size, "%s%s%s%s", folder, strchr(folder, '\\') ? "\\" : "/", name, extension);
}

/* Names that are devices to Windows, whatever stands behind their dot. */
static bool is_device_name(const char *name)
{
    static const char *const devices[] = {"con", "prn", "aux", "nul"};

    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
        if (strncasecmp(name, devices[i], 3) == 0 && (!name[3] || name[3] == '.'))
            return true;
    return (strncasecmp(name, "com", 3) == 0 || strncasecmp(name, "lpt", 3) == 0) && name[3] >= '0' && name[3] <= '9' &&
           (!name[4] || name[4] == '.');
}

void report_name(const struct machine_facts *facts, const struct job_clock *clock, char name[REPORT_NAME_MAX])
{
    char text[FACT_TEXT_MAX];

    if (*facts->serial)
        snprintf(text, sizeof(text), "%s%s", is_device_name(facts->serial) ? "PC-" : "", facts->serial);
    else if (facts->mac_count)
        snprintf(text, sizeof(text), "%s", facts->macs[0]);
    else if (*clock->date)
        snprintf(text, sizeof(text), "%s-%s", clock->date, clock->time);
    else
        snprintf(text, sizeof(text), "machine");
    for (char *at = text; *at; at++)
        if (*at == ':') /* of a MAC address */
            *at = '-';
    expand_file_name(text);
    if (*text == '.')
        *text = '_';
    snprintf(name, REPORT_NAME_MAX, "%.*s", BASE_NAME_MAX, text);
}

static int name_is_free(struct session *session, const char *folder, const char *name, bool *is_free,
                        struct error *error)
{
    static const char *const extensions[] = {".txt", ".json", "-begun.txt"};
    char path[PATH_MAX_BYTES];
    bool exists = false;
    int status = 0;

    for (unsigned i = 0; i < 3 && !exists && !status; i++) {
        report_path(folder, name, extensions[i], path, sizeof(path));
        status = file_exists(session, path, &exists, error);
    }
    *is_free = !exists;
    return status;
}

/* --- reports --- */

static int write_with(struct session *session, const struct job_run *run,
                      void (*writer)(struct output *output, const struct session *session, const struct job_run *run),
                      const char *extension, struct error *error)
{
    struct text_output text;
    char path[PATH_MAX_BYTES];

    report_path(run->rules->report, run->report, extension, path, sizeof(path));
    text_output_start(&text, session->loop->platform);
    writer(&text.output, session, run);
    int status = text.failed ? error_set(error, ERROR_NO_MEMORY, OPERATION_WRITE, path, ERROR_NO_BLOCK, "no memory")
                             : report_write(session, path, text.text, text.size, error);
    text_output_free(&text);
    return status;
}

int report_begin(struct session *session, struct job_run *run, struct error *error)
{
    char base[REPORT_NAME_MAX];
    bool is_free = false;

    report_name(run->facts, &run->begun, base);
    for (unsigned number = 1; number <= REPORTS_MAX; number++) {
        if (number == 1)
            snprintf(run->report, sizeof(run->report), "%s", base);
        else
            snprintf(run->report, sizeof(run->report), "%.*s-%u", BASE_NAME_MAX, base, number);
        int status = name_is_free(session, run->rules->report, run->report, &is_free, error);
        if (!status && is_free)
            status = write_with(session, run, report_text, "-begun.txt", error);
        if (status)
            run->report[0] = 0;
        if (status || is_free)
            return status;
    }
    run->report[0] = 0;
    return error_set(error, ERROR_EXISTS, OPERATION_WRITE, run->rules->report, ERROR_NO_BLOCK,
                     "there are %d reports of this machine; move them away", REPORTS_MAX);
}

int report_end(struct session *session, struct job_run *run, struct error *error)
{
    char path[PATH_MAX_BYTES];

    int status = write_with(session, run, report_text, ".txt", error);
    if (!status)
        status = write_with(session, run, report_json, ".json", error);
    if (status)
        return status;
    report_path(run->rules->report, run->report, "-begun.txt", path, sizeof(path));
    remove_file(session, path);
    return 0;
}

int report_command(struct session *session, const char *folder, const char *command, enum exit_code code,
                   const struct session_record *record, char *path, size_t size, struct error *error)
{
    struct job_run run;

    int status = unattended_begin(session, "", &run, error);
    if (!status)
        status = machine_facts_gather(session, run.facts, error);
    if (!status) {
        struct text_output own = run.record.messages;
        run.rules->title = "";
        run.rules->report = folder;
        run.record = *record;
        run.code = code;
        run.state = code == EXIT_CODE_DONE ? JOB_STATE_DONE : JOB_STATE_FAILED;
        snprintf(run.decision->command, sizeof(run.decision->command), "%s", command);
        status = report_begin(session, &run, error);
        if (!status)
            status = report_end(session, &run, error);
        report_path(folder, run.report, ".txt", path, size);
        run.record.messages = own;
    }
    unattended_close(session, &run);
    return status;
}

/* --- marks --- */

static void hash_text(blake3_hasher *hasher, const char *text)
{
    blake3_hasher_update(hasher, text, strlen(text) + 1);
}

/*
 * The disk belongs to it: a new disk in an old PC has not been done, and PCs with the same made-up serial number have different disks.
 * MAC addresses only where nothing else is known: the firmware does not start its network on each boot.
 */
static int mark_path(const struct job_run *run, char path[PATH_MAX_BYTES], struct error *error)
{
    const struct machine_facts *facts = run->facts;
    const struct fact_disk *disk = run->decision->disk;
    bool known = *facts->serial || *facts->uuid;
    blake3_hasher hasher;
    uint8_t hash[8];
    char name[8 + 2 * sizeof(hash)] = "done-", image[COMMAND_LINE_MAX];

    if (!known && !facts->mac_count && !(disk && *disk->serial))
        return error_set(
            error, ERROR_UNSUPPORTED, OPERATION_NONE, "", ERROR_NO_BLOCK,
            "nothing tells this machine from others, so whether it has been done cannot be known; again = yes "
            "runs the rule all the same");
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, run->hash, sizeof(run->hash));
    hash_text(&hasher, run->decision->rule->name);
    hash_text(&hasher, facts->serial);
    hash_text(&hasher, facts->uuid);
    if (!known)
        hash_text(&hasher, facts->macs[0]);
    hash_text(&hasher, disk ? disk->name : "");
    /* The day belongs to it: "{date}" is a wish for one image a day. The time does not, which is another one on each boot. */
    struct job_clock day = run->begun;
    snprintf(day.time, sizeof(day.time), "0");
    int status = job_image_name(run->decision->rule->image, facts, &day, image, sizeof(image), error);
    if (status)
        return status;
    hash_text(&hasher, image);
    blake3_hasher_finalize(&hasher, hash, sizeof(hash));
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(name + 5 + 2 * i, 3, "%02x", hash[i]);
    report_path(run->rules->report, name, ".txt", path, PATH_MAX_BYTES);
    return 0;
}

int report_mark_find(struct session *session, const struct job_run *run, bool *done, struct error *error)
{
    char path[PATH_MAX_BYTES];
    int status = mark_path(run, path, error);

    *done = false;
    return status ? status : file_exists(session, path, done, error);
}

int report_mark_set(struct session *session, const struct job_run *run, struct error *error)
{
    char path[PATH_MAX_BYTES], text[MARK_MAX];
    bool exists;
    int status = mark_path(run, path, error);

    if (!status)
        status = file_exists(session, path, &exists, error);
    if (status || exists) /* of an earlier run with again = yes, or before somebody's key */
        return status;
    snprintf(text, sizeof(text),
             "Rule \"%.200s\" of this very job file was carried out on %.64s, see report %s.\r\n"
             "As long as this file is here it is not carried out there again. Delete it to allow that.\r\n",
             run->decision->rule->name, *run->facts->serial ? run->facts->serial : "this machine", run->report);
    return report_write(session, path, text, strlen(text), error);
}
