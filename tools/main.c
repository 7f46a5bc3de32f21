/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program for Linux: plugs core, fs and ui together on the POSIX platform. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/library.h"
#include "tools/posix_volumes.h"
#include "tools/screens.h"
#include "ui/machine_facts.h"
#include "ui/session.h"
#include "version.h"

#define QUESTION_STEP 100 /* milliseconds */

static volatile sig_atomic_t cancelled;

static void on_signal(int signal_number)
{
    (void)signal_number;
    cancelled = 1;
}

struct file_output {
    struct output output; /* first */
    FILE *file;
};

static void write_file(struct output *output, const char *text, size_t size)
{
    struct file_output *to = (struct file_output *)output;

    fwrite(text, 1, size, to->file);
    fflush(to->file);
}

static struct file_output file_output(FILE *file)
{
    struct winsize window = {0};
    bool terminal = isatty(fileno(file));

    if (terminal)
        ioctl(fileno(file), TIOCGWINSZ, &window);
    return (struct file_output){.output = {.write = write_file, .is_terminal = terminal, .columns = window.ws_col},
                                .file = file};
}

static int find_disks(struct session *session, struct error *error)
{
    return posix_disks_find(session->loop, session->registry, error);
}

/* A path, or else the stable name of a disk of the system. */
static int resolve(struct session *session, const char *name, struct block_device **device, struct error *error)
{
    *device = NULL;
    /* By the name that it has been given, whatever that looks like. */
    for (struct block_device *at = session->registry->first; at; at = at->registry_next)
        if (strcmp(at->name, name) == 0)
            *device = at;
    if (*device)
        return 0;
    if (access(name, F_OK) == 0 || strchr(name, '/'))
        return 0;
    int status = posix_disks_find(session->loop, session->registry, error);
    return status ? status : block_registry_find(session->registry, name, device, error);
}

static struct block_device *find_open(struct session *session, const struct stat *status)
{
    for (struct block_device *device = session->registry->first; device; device = device->registry_next)
        if (posix_block_is(device, status))
            return device;
    return NULL;
}

static int open_disk(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    struct block_device *device;
    struct stat file;
    static char places[2][256]; /* one for each end of a job */
    char *where = places[write];

    int status = resolve(session, name, &device, error);
    if (status)
        return status;
    if (!device) {
        if (stat(name, &file) != 0)
            return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no such file or disk");
        device = find_open(session, &file);
        if (posix_disk_in_use(&file, end->partition, where, sizeof(places[0])))
            end->mounted_at = where;
        /* A target in use is opened for reading only: the plan will refuse it, and say why. */
        if (!device) {
            status = posix_block_open(session->loop, name, write && !end->mounted_at, &device, error);
            if (status)
                return status;
            block_registry_add(session->registry, device);
        }
    } else if (posix_block_in_use(device, end->partition, where, sizeof(places[0]))) {
        end->mounted_at = where;
    }
    if (write && !end->mounted_at) {
        status = posix_block_make_writable(device, error);
        if (status)
            return status;
    }
    end->disk = device;
    return 0;
}

/* Devices stay open until the program ends: another end of the job may be the same disk. */
static void close_disk(struct session *session, struct job_end *end)
{
    (void)session;
    posix_block_reread_table(end->disk);
}

static int open_store(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    enum posix_store_use use = !write ? POSIX_STORE_READ : end->continues ? POSIX_STORE_CONTINUE : POSIX_STORE_CREATE;

    return posix_store_open(session->loop, name, use, &end->store, &end->is_pipe, error);
}

static int list_volumes(struct session *session, session_volume_found *found, void *context, struct error *error)
{
    return posix_volumes_list(session->loop->platform, "/proc/self/mountinfo", found, context, error);
}

static int list_files(struct session *session, const char *volume, const char *folder, filesystem_found *found,
                      void *context, struct error *error)
{
    char path[COMMAND_LINE_MAX];

    if (!session_image_name(session, volume, folder, "", path, sizeof(path)))
        return error_set(error, ERROR_USAGE, OPERATION_OPEN, volume, ERROR_NO_BLOCK, "not the name of a folder");
    return posix_files_list(path, found, context, error);
}

static int confirm(struct session *session, const char *question, const char *expected)
{
    struct pollfd keyboard = {STDIN_FILENO, POLLIN, 0};
    char answer[128];

    if (!isatty(STDIN_FILENO))
        return -1;
    output_print(session->status, "%s", question);
    /* A signal that came before this counts as well: only one that comes in the middle ends a read(). */
    while (!cancelled && poll(&keyboard, 1, QUESTION_STEP) == 0)
        ;
    if (cancelled || !fgets(answer, sizeof(answer), stdin))
        return 0;
    answer[strcspn(answer, "\n")] = 0;
    return strcmp(answer, expected) == 0;
}

static bool variable(struct session *session, const char *name, char *value, size_t size)
{
    time_t now = time(NULL);
    struct tm parts;

    (void)session;
    localtime_r(&now, &parts);
    if (strcmp(name, "date") == 0)
        return strftime(value, size, "%Y-%m-%d", &parts) > 0;
    if (strcmp(name, "time") == 0)
        return strftime(value, size, "%H%M%S", &parts) > 0;
    return posix_system_text(name, value, size);
}

static void machine_facts(struct session *session, struct machine_facts *facts)
{
    (void)session;
    posix_machine_facts(facts);
}

static bool wait_key(struct session *session, uint64_t nanoseconds)
{
    (void)session;
    return posix_wait_key(nanoseconds);
}

static const struct session_ops host_session_ops = {
    .find_disks = find_disks,
    .open_disk = open_disk,
    .close_disk = close_disk,
    .open_store = open_store,
    .list_volumes = list_volumes,
    .list_files = list_files,
    .confirm = confirm,
    .variable = variable,
    .machine_facts = machine_facts,
    .wait_key = wait_key,
};

static void close_all(struct block_registry *registry)
{
    while (registry->first) {
        struct block_device *device = registry->first;
        block_registry_remove(registry, device);
        block_device_stop(device);
    }
}

int main(int count, char **words)
{
    struct file_output out = file_output(stdout), status_out = file_output(stderr);
    struct block_registry registry;
    struct command command;
    struct error error = {0};
    struct loop loop;

    signal(SIGPIPE, SIG_IGN);
    /* Without SA_RESTART: a question that waits for an answer ends, too. */
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGHUP, &(struct sigaction){.sa_handler = on_signal}, NULL); /* the window was closed: end in order */
    struct platform *platform = posix_platform(&cancelled);
    library_init(platform);
    loop_init(&loop, platform);
    block_registry_init(&registry);
    filesystem_register_all();
    struct session session = {.ops = &host_session_ops,
                              .loop = &loop,
                              .registry = &registry,
                              .out = &out.output,
                              .status = &status_out.output,
                              .version = EIDOLON_VERSION};
    if (count < 2) {
        fputs(command_help, stderr);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(words[1], "ui") == 0) {
        enum exit_code code = screens_run(&session, words + 2, (unsigned)count - 2, &cancelled);
        close_all(&registry);
        return (int)code;
    }
    if (command_parse(&command, count - 1, (const char *const *)words + 1, &error) != 0) {
        session_error(&session, false, &error);
        return (int)exit_code_of(&error);
    }
    /* The image goes to standard output: nothing else may. */
    if (command.verb == COMMAND_CAPTURE && strcmp(command.arguments[1], "-") == 0)
        session.out = session.status;
    enum exit_code code = session_run(&session, &command);
    close_all(&registry);
    return (int)code;
}
