/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: what a command needs from the program around it. Filled by the mains (tools/main.c, boot/), used by ui/.
 */
#ifndef UI_SESSION_H
#define UI_SESSION_H

#include "core/job.h"
#include "ui/command.h"
#include "ui/output.h"

struct session;

struct session_ops {
    /* Makes sure that all disks are in the registry. */
    int (*find_disks)(struct session *session, struct error *error);
    /*
     * Before a command opens the disks and images that it names: a chance to bring better drivers to them. Disks that were
     * found before are no longer valid. NULL: nothing to prepare.
     */
    void (*prepare)(struct session *session, const struct command *command);
    /*
     * Resolves a disk's name (without #N), opens it if need be, and fills end->disk, mounted_at and is_boot_stick.
     * write: it will be a target. -ERROR_NOT_FOUND, -ERROR_AMBIGUOUS with candidates, -ERROR_BUSY.
     */
    int (*open_disk)(struct session *session, const char *name, bool write, struct job_end *end, struct error *error);
    void (*close_disk)(struct session *session, struct job_end *end);
    /* Resolves an image's name and fills end->store and is_pipe. Nothing is created yet. */
    int (*open_store)(struct session *session, const char *name, bool write, struct job_end *end, struct error *error);
    /*
     * Gives all disks back to the firmware's drivers and finds them again through these (true), or through ours (false). NULL
     * where there is no firmware.
     */
    int (*use_firmware)(struct session *session, bool firmware, struct error *error);
    /* A question whose answer must be typed in full. 1: `expected` was typed, 0: not, -1: nobody can answer. */
    int (*confirm)(struct session *session, const char *question, const char *expected);
    /* The value of {NAME} in image names of job files: date, time, serial, model. false: no such variable. */
    bool (*variable)(struct session *session, const char *name, char *value, size_t size);
    /* May be NULL: the session's job loop tells where it is (a job file's line), for logs. */
    void (*note)(struct session *session, const char *line);
};

struct session {
    const struct session_ops *ops;
    struct loop *loop;
    struct block_registry *registry;
    struct output *out;    /* what was asked for: lists, results, JSON */
    struct output *status; /* progress, plans, warnings, errors, questions */
    const char *version;
};

/* Runs one parsed command to its end and prints what a person or program should know. */
enum exit_code session_run(struct session *session, struct command *command);
/* Parses and runs one line. */
enum exit_code session_run_line(struct session *session, const char *line);
/* Says an error, as a sentence or as JSON. */
void session_error(struct session *session, bool json, const struct error *error);

/* What a job file asks for when its lines are done (or the first failed). */
enum job_file_end { JOB_FILE_RETURN, JOB_FILE_REBOOT, JOB_FILE_POWER_OFF };
/*
 * A job file: one command a line; '#' begins a comment line; {date} {time} {serial} {model} in names; `then return`, `then
 * reboot` or `then poweroff` says what follows. All lines are checked (grammar, --yes where data is destroyed,
 * variables, that each disk is there) before the first runs; the first failure stops. A failure never reboots or powers off.
 */
enum exit_code session_run_job_file(struct session *session, const char *text, size_t size, enum job_file_end *end);

/* Is this argument of a command an image (else a disk)? */
bool session_argument_is_image(const struct command *command, unsigned argument);
/* Calls ops->prepare() if there is one. */
void session_prepare(struct session *session, const struct command *command);

/*
 * A job, step by step, for who shows it: session_job() in lines of text, ui/walk/ on screens. Zero it, plan, run if it is
 * agreed to, close in any case.
 */
struct session_work {
    const struct command *command; /* the caller's */
    struct job_request request;
    struct plan plan;
    bool planned;
    char program[48];
};
/* Opens the ends and makes the plan; 0 also when the plan is refused. */
int session_work_plan(struct session *session, const struct command *command, struct session_work *work,
                      struct error *error);
/*
 * What must be typed before the plan may run: the end of the target's serial number ("yes" where it has none) when something is
 * destroyed, "yes" when the source is in use; NULL: nothing.
 */
const char *session_work_agreement(const struct session_work *work);
enum exit_code session_work_run(struct session *session, struct session_work *work, struct job_listener *listener,
                                struct job_result *result);
/* Could the same command with --continue go on where this one ended? */
bool session_work_goes_on(const struct session_work *work, const struct job_result *result);
void session_work_close(struct session *session, struct session_work *work);

/* The parts, each in its own file. */
enum exit_code session_list(struct session *session, struct command *command);
enum exit_code session_info(struct session *session, struct command *command);
enum exit_code session_measure(struct session *session, struct command *command);
enum exit_code session_job(struct session *session, struct command *command);
void plan_print(struct session *session, const struct command *command, const struct plan *plan);
void plan_print_json(struct session *session, const struct plan *plan);
void message_print(struct session *session, bool json, const struct message *message);

/* Draws progress on a terminal, prints a line now and then elsewhere, JSON events when asked. */
struct progress_view {
    struct job_listener listener; /* first: what job_run() gets */
    struct session *session;
    bool json;
    bool line_open;        /* a terminal line is drawn and not ended */
    uint64_t last_printed; /* nanoseconds */
    enum job_phase phase;
    bool started;
};
void progress_view_init(struct progress_view *view, struct session *session, bool json);
void progress_view_end(struct progress_view *view);

#endif
