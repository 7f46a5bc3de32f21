/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for unattended work (JOB.INI), as plain data: which machine gets what. docs/guide.md explains the file to people.
 *
 *     [job]
 *     countdown = 15                              ; seconds in which a key stops it
 *     report = stick:\EIDOLON\REPORTS
 *     [rule "lab"]
 *     when serial = PC-2*, PC-3?
 *     when disk size = 200G..600G
 *     do = restore
 *     image = MASTERS:\lab-{model}.eid
 *     disk = only internal disk
 *     erase = yes
 *     then = reboot
 *
 * The first rule whose conditions all hold is the machine's. Whatever the parser does not know is an error with its line.
 */
#ifndef UI_JOB_RULES_H
#define UI_JOB_RULES_H

#include "ui/ini.h"

#define JOB_RULES_MAX 64
#define JOB_COUNTDOWN_MAX 3600
#define JOB_REPORT_FOLDER "stick:\\EIDOLON\\REPORTS"

enum job_fact {
    FACT_SERIAL,
    FACT_MODEL,
    FACT_VENDOR,
    FACT_BOARD,
    FACT_ASSET_TAG,
    FACT_UUID,
    FACT_MAC,        /* one of the machine's */
    FACT_DISK_MODEL, /* of one of the internal disks */
    FACT_MEMORY,     /* the last two are ranges */
    FACT_DISK_SIZE,  /* of one of the internal disks */
    FACT_COUNT
};
/* "serial", "disk size": as written behind "when". */
const char *job_fact_name(enum job_fact fact);

struct job_condition {
    enum job_fact fact;
    unsigned line;
    const char *text;     /* as written: patterns with commas between, or a range */
    uint64_t least, most; /* of a range, bytes, both included */
};

enum job_action { ACTION_NOTHING, ACTION_RESTORE, ACTION_CAPTURE, ACTION_VERIFY };
const char *job_action_name(enum job_action action);

enum disk_choice { CHOOSE_ONLY, CHOOSE_BIGGEST, CHOOSE_SMALLEST, CHOOSE_SERIAL, CHOOSE_MODEL };
enum disk_kind { KIND_INTERNAL, KIND_NVME, KIND_SATA, KIND_USB }; /* NVMe and SATA: internal ones */

/* What follows when all went well. */
enum job_then {
    THEN_WAIT,   /* the result stays on the screen, with the prompt below it */
    THEN_RETURN, /* to the firmware, which goes on with what it would start next */
    THEN_REBOOT,
    THEN_POWER_OFF
};
const char *job_then_name(enum job_then then);

struct job_rule {
    const char *name;
    unsigned line;
    unsigned condition_count; /* 0: every machine */
    struct job_condition conditions[FACT_COUNT];
    enum job_action action;
    const char *image;     /* with {variables}; "" for ACTION_NOTHING */
    const char *disk_text; /* as written; "": none (verify of the image alone, nothing) */
    enum disk_choice choice;
    enum disk_kind kind;
    const char *disk_pattern; /* CHOOSE_SERIAL, CHOOSE_MODEL */
    unsigned partition;       /* of the disk; 0: the whole */
    const char *options;      /* words of the command grammar, checked; "" */
    bool continues;           /* by its options a capture may find its image there, to go on with */
    bool erase;               /* said: what the disk holds may be lost. Always true for ACTION_RESTORE */
    bool again;               /* may run where it has already succeeded */
    enum job_then then;
};

struct job_rules {
    const char *title; /* "" */
    const char *report;
    unsigned countdown; /* seconds */
    unsigned rule_count;
    struct job_rule rules[JOB_RULES_MAX];
    size_t text_used;
    char text[INI_FILE_MAX]; /* what the pointers point to */
};

/* Checks the whole file, all rules. -ERROR_USAGE: the sentence in error->detail names the line. `rules` is big: allocate it. */
int job_rules_parse(const char *text, size_t size, struct job_rules *rules, struct error *error);
/* The command that a rule stands for, images and disks as given. -ERROR_USAGE: it would be too long. */
int job_rule_command(const struct job_rule *rule, const char *image, const char *disk, char *line, size_t size,
                     struct error *error);

#endif
