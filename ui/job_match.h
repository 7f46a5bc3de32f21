/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rule is a machine's, and what it means there: facts and rules in, a decision out. Pure: looks at nothing but its arguments, so
 * that it can be asked for any machine (`job check --machine=...`).
 */
#ifndef UI_JOB_MATCH_H
#define UI_JOB_MATCH_H

#include "ui/command.h"
#include "ui/job_rules.h"
#include "ui/machine_facts.h"

#define JOB_REASON_MAX 200

/*
 * A pattern: * stands for any characters, ? for one; letter case does not count. job_pattern_list_matches(): any of several with commas
 * between, blanks around them cut off; or all of it as one pattern, for names that have commas.
 */
bool job_pattern_matches(const char *pattern, const char *text);
bool job_pattern_list_matches(const char *list, const char *text);

/*
 * Do all conditions hold? `reason` says why, or which one does not. JOB_UNKNOWN: none is known not to, but this machine does not say
 * what one of them asks for.
 */
enum job_match { JOB_DIFFERS, JOB_UNKNOWN, JOB_MATCHES };
enum job_match job_rule_matches(const struct job_rule *rule, const struct machine_facts *facts,
                                char reason[JOB_REASON_MAX]);

/*
 * The disk that a rule means. image_disk: the name of the disk that holds the image ("" none known), which no rule but one by serial
 * number can mean; the boot stick never is. -ERROR_NOT_FOUND: none fits. -ERROR_AMBIGUOUS: several do; the candidates are named.
 */
int job_choose_disk(const struct job_rule *rule, const struct machine_facts *facts, const char *image_disk,
                    const struct fact_disk **disk, struct error *error);

/* Values for {NAME} beside the machine's facts; empty: not known. */
struct job_clock {
    char date[16], time[16]; /* "2026-11-25", "223052" */
};

/*
 * {serial} {model} {vendor} {asset} {uuid} {mac} {date} {time} are replaced in an image's name, with nothing but letters, digits, '.', '-' and
 * '_' in what comes in. -ERROR_USAGE: one has no value on this machine.
 */
int job_image_name(const char *text, const struct machine_facts *facts, const struct job_clock *clock, char *name,
                   size_t size, struct error *error);

struct job_decision {
    const struct job_rule *rule; /* NULL: none matched */
    unsigned reason_count;       /* rules looked at: up to the one that matched */
    char reasons[JOB_RULES_MAX][JOB_REASON_MAX];
    char image[COMMAND_LINE_MAX];
    const struct fact_disk *disk;   /* NULL: none is needed */
    char command[COMMAND_LINE_MAX]; /* "": nothing is to be done */
};

/* The first rule that matches, and its image's name. */
int job_decide_rule(const struct job_rules *rules, const struct machine_facts *facts, const struct job_clock *clock,
                    struct job_decision *decision, struct error *error);
/* Then its disk and command. */
int job_decide_disk(const struct machine_facts *facts, const char *image_disk, struct job_decision *decision,
                    struct error *error);

#endif
