/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unattended work: a job file with rules is parsed, matched against this machine, checked, counted down, run and reported.
 *
 * Nothing is written to a disk before all rules have been understood, the matched rule's disk and image have been looked at (its
 * command has made its plan), the report folder has taken a first report, and the same disk is still meant after the count-down. What a person sees goes through a struct job_view, which
 * text and screens fill in each in their way.
 */
#ifndef UI_UNATTENDED_H
#define UI_UNATTENDED_H

#include "ui/job_match.h"
#include "ui/record.h"
#include "ui/session.h"

#define JOB_HASH_SIZE 32
#define REPORT_NAME_MAX 48
#define JOB_RULES_PATH "\\EIDOLON\\JOB.INI"
/* Policy: a file that was not on the boot stick is counted down for at least so many seconds. */
#define JOB_COUNTDOWN_ELSEWHERE 10

enum job_state {
    JOB_STATE_DECIDED, /* all checked; the count-down comes next */
    JOB_STATE_NO_RULE, /* no rule is for this machine */
    JOB_STATE_NOTHING, /* its rule says: nothing */
    JOB_STATE_ALREADY, /* its rule has been carried out here before */
    JOB_STATE_STOPPED, /* by a key, before anything was written */
    JOB_STATE_REFUSED, /* a check failed; nothing was written */
    JOB_STATE_DONE,
    JOB_STATE_FAILED
};
const char *job_state_name(enum job_state state);

/* All that is known about one run; grows as it goes on. */
struct job_run {
    const char *file_name; /* where the job file was found */
    bool elsewhere;        /* not on the boot stick */
    struct job_rules *rules;
    struct machine_facts *facts;
    struct job_decision *decision;
    struct job_clock begun, ended;
    uint8_t hash[JOB_HASH_SIZE]; /* BLAKE3 of the job file */
    enum job_state state;
    enum exit_code code;
    struct session_record record;
    char report[REPORT_NAME_MAX]; /* the name of this machine's report, without folder and extension */
    bool reported;                /* it was written, and the mark that the rule is done */
};

struct job_view {
    /* What is going to happen, or why nothing is (state). */
    void (*decided)(struct job_view *view, const struct job_run *run);
    /* Each second, down from the countdown to 1; 0: it is over. */
    void (*countdown)(struct job_view *view, const struct job_run *run, unsigned seconds);
    void (*ended)(struct job_view *view, const struct job_run *run);
};

/*
 * Runs a job file. *end says what follows: JOB_FILE_WAIT after every failure and when a person stopped it. Exit codes beside those of the
 * command: EXIT_CODE_NO_RULE, EXIT_CODE_ALREADY, EXIT_CODE_NO_REPORT.
 */
enum exit_code unattended_run(struct session *session, const char *file_name, bool elsewhere, const char *text,
                              size_t size, struct job_view *view, enum job_file_end *end);
/*
 * Looks for JOB_RULES_PATH on all volumes but the boot stick and those that systems keep for themselves. 0: *name and *text
 * (platform_allocate()d) are those of the only one. -ERROR_NOT_FOUND: there is none. -ERROR_AMBIGUOUS: several, which are named. Others: there
 * is one that cannot be used, or the volumes cannot be listed.
 */
int unattended_find(struct session *session, char *name, size_t name_size, char **text, size_t *size,
                    struct error *error);
/* Its steps, for those who want to know and do nothing (`job check`). close() also after an open() that failed. */
int unattended_open(struct session *session, const char *file_name, const char *text, size_t size, struct job_run *run,
                    struct error *error);
/* Without rules yet: what both ways of doing something (by rules, by a person's command) begin with. Closed likewise. */
int unattended_begin(struct session *session, const char *file_name, struct job_run *run, struct error *error);
void unattended_close(struct session *session, struct job_run *run);
/* described: run->facts are another machine's, and neither disks nor images are looked at. */
int unattended_decide(struct session *session, struct job_run *run, bool described, struct error *error);
enum exit_code unattended_command(struct session *session, struct job_run *run, bool dry_run);
/* The view as text on session->status. */
struct job_text_view {
    struct job_view view; /* first */
    struct session *session;
};
void job_text_view_init(struct job_text_view *view, struct session *session);

/* `job check FILE`, `job run FILE`, `job facts`. */
enum exit_code session_unattended(struct session *session, struct command *command);

/* --- reports (job_report.c, job_report_text.c) --- */

/* Reads a whole small file by a name that open_store understands; platform_allocate()d, zero-ended. -ERROR_OUT_OF_RANGE: above `limit`. */
int report_read(struct session *session, const char *path, size_t limit, char **text, size_t *size,
                struct error *error);
/* Creates a file, flushed when this returns. -ERROR_EXISTS: it is there already. */
int report_write(struct session *session, const char *path, const char *data, size_t size, struct error *error);
/* FOLDER and a name in it, divided as the folder's own parts are. */
void report_path(const char *folder, const char *name, const char *extension, char *path, size_t size);
/* What a machine's reports are called: by serial, else the first MAC, else the time; letters that every file system takes. */
void report_name(const struct machine_facts *facts, const struct job_clock *clock, char name[REPORT_NAME_MAX]);
/* Finds a name that no report has yet (-2, -3, ...) and leaves NAME-begun.txt there, which report_end() removes. */
int report_begin(struct session *session, struct job_run *run, struct error *error);
/* NAME.txt and NAME.json. */
int report_end(struct session *session, struct job_run *run, struct error *error);
/*
 * A report of one command that a person gave: NAME.txt and NAME.json in the folder. What it did is in `record`. `path` gets the first's name.
 */
int report_command(struct session *session, const char *folder, const char *command, enum exit_code code,
                   const struct session_record *record, char *path, size_t size, struct error *error);
void report_text(struct output *output, const struct session *session, const struct job_run *run);
void report_json(struct output *output, const struct session *session, const struct job_run *run);

/*
 * The mark in the report folder that this rule of this very file was carried out on this machine: a file whose name is made of their
 * hash. -ERROR_UNSUPPORTED: nothing tells this machine from others (no serial, UUID or MAC).
 */
int report_mark_find(struct session *session, const struct job_run *run, bool *done, struct error *error);
int report_mark_set(struct session *session, const struct job_run *run, struct error *error);

#endif
