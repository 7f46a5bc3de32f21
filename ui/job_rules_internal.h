/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between job_rules.c, which knows sections and whole rules, and job_rule_keys.c, which knows what stands behind each key. */
#ifndef UI_JOB_RULES_INTERNAL_H
#define UI_JOB_RULES_INTERNAL_H

#include "ui/job_rules.h"

enum rule_key { KEY_DO, KEY_IMAGE, KEY_DISK, KEY_PARTITION, KEY_OPTIONS, KEY_ERASE, KEY_AGAIN, KEY_THEN, KEY_COUNT };

/* What a section has said so far; a rule is judged when it ends. */
struct parser {
    struct job_rules *rules;
    struct job_rule *rule;    /* the open one; NULL: in [job] or before the first section */
    unsigned job_line;        /* where [job] stands; 0: not yet */
    unsigned seen[KEY_COUNT]; /* lines of the section's keys, in the order of its table */
};

struct key {
    const char *name;
    int (*take)(struct parser *parser, const struct ini_item *item, struct error *error);
};
#define JOB_KEYS 3
extern const struct key job_rule_keys[KEY_COUNT], job_keys[JOB_KEYS];

int job_take_condition(struct parser *parser, const struct ini_item *item, struct error *error);
/* Keeps a text. There is always room: what is kept are parts of different lines. */
const char *job_keep(struct parser *parser, const char *text);

#endif
