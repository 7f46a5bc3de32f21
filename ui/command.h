/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one command grammar: the host's command line, the UEFI shell, boot options and job files all speak it.
 *
 *     list [DISK...]
 *     volumes
 *     files FOLDER
 *     capture SOURCE IMAGE
 *     restore IMAGE TARGET
 *     clone SOURCE TARGET
 *     verify IMAGE [DISK]
 *     info IMAGE
 *     measure DISK...
 *     job check FILE [--machine=FACTS], job run FILE, job facts [FILE]
 *
 * Options may stand anywhere behind the verb: --level=N --chunk=SIZE --split=SIZE --raw --discard --salvage --no-verify --processors=N
 * --dry-run --yes --json. A SIZE is bytes or has K, M, G, T behind it (powers of 1,024).
 */
#ifndef UI_COMMAND_H
#define UI_COMMAND_H

#include "core/error.h"
#include "core/job.h"

enum command_verb {
    COMMAND_LIST,
    COMMAND_VOLUMES,
    COMMAND_FILES,
    COMMAND_CAPTURE,
    COMMAND_RESTORE,
    COMMAND_CLONE,
    COMMAND_VERIFY,
    COMMAND_INFO,
    COMMAND_MEASURE,
    COMMAND_JOB,
    COMMAND_HELP,
    COMMAND_VERSION
};

/* Exit codes of the program and of the machine's application; documented in docs/guide.md. */
enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_OTHER = 1,   /* anything not below (no memory, a bug) */
    EXIT_CODE_USAGE = 2,   /* the command cannot be understood, or names something that is not there */
    EXIT_CODE_REFUSED = 3, /* would destroy data and nobody agreed, or a rule forbids it */
    EXIT_CODE_SOURCE = 4,  /* I/O error of the source */
    EXIT_CODE_TARGET = 5,  /* I/O error of the target, or what was read back differs */
    EXIT_CODE_IMAGE = 6,   /* damaged or incomplete image, or I/O error of the image */
    EXIT_CODE_CANCELLED = 7,
    EXIT_CODE_DIFFERS = 8,   /* verify: the disk is not what the image says */
    EXIT_CODE_LOSSES = 9,    /* done with --salvage, but something could not be read or was damaged */
    EXIT_CODE_NO_RULE = 10,  /* job: no rule is for this machine */
    EXIT_CODE_ALREADY = 11,  /* job: this machine's rule has been carried out on it before */
    EXIT_CODE_NO_REPORT = 12 /* job: the report could not be written; if nothing else failed */
};

#define COMMAND_ARGUMENTS_MAX 16
#define COMMAND_LINE_MAX 1024

/* A disk as it was chosen from a list. */
struct command_disk {
    char name[BLOCK_NAME_MAX]; /* in full; "": none was chosen */
    uint64_t bytes;
};

struct command {
    enum command_verb verb;
    unsigned argument_count;
    const char *arguments[COMMAND_ARGUMENTS_MAX]; /* point into `words` or the caller's argv */
    struct job_options options;
    const char *machine; /* --machine=; NULL without */
    bool dry_run, yes, json;
    /*
     * For who has chosen disks before the command was made: what the first two arguments must turn out to be, when they are disks. Disks come
     * and go meanwhile, and a name is also good for every disk whose name begins with it. Parsing leaves them empty.
     */
    struct command_disk chosen[2];
    char words[COMMAND_LINE_MAX];
};

/* Parses words (without the program's name). 0, or -ERROR_USAGE with a sentence in error->detail. */
int command_parse(struct command *command, int count, const char *const *words, struct error *error);
/* Parses one line: words are divided by blanks, "double quotes" keep blanks; a backslash is an ordinary character. */
int command_parse_line(struct command *command, const char *line, struct error *error);
/* Decimal number with an optional K, M, G, T (powers of 1,024); no signs, no overflow. false: it is none. */
bool command_parse_size(const char *text, uint64_t *value);
/* Does the command destroy what its target holds? */
bool command_destroys(const struct command *command);
const char *command_verb_name(enum command_verb verb);
/* The text of `help`. */
extern const char command_help[];
/* Splits "name#3" into name and 3; without '#': 0. -ERROR_USAGE when the number is not one. name_size with the zero. */
int command_split_partition(const char *text, char *name, size_t name_size, unsigned *partition, struct error *error);
/* The exit code that an error stands for. */
enum exit_code exit_code_of(const struct error *error);

#endif
