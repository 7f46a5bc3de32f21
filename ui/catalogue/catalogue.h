/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue: every text that a person meets on the screens, in every language. Commands, logs and JSON stay English.
 *
 * Texts have IDs (texts.h, with the English of each); a language is one file with a table of all of them. What a pattern is filled with stands in
 * it as %1 to %4, in whatever order the language wants. Errors and messages of core/ are in the tables, too; their patterns are
 * explained in ui/message.c. A test finds texts that are missing, too long for their place, or lack an argument.
 */
#ifndef UI_CATALOGUE_CATALOGUE_H
#define UI_CATALOGUE_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/message.h"

enum text_id {
#define TEXT(id, width, english) TEXT_##id,
#include "ui/catalogue/texts.h"
#undef TEXT
    TEXT_COUNT
};

struct language {
    const char *code;          /* RFC 5646: "en", "zh-Hans", "ko", "ru" */
    const char *name;          /* in the language itself */
    const char *const *texts;  /* TEXT_COUNT */
    struct error_text {
        const char *what, *next; /* what went wrong; what a person can do about it, "" when nothing */
    } const *errors;             /* ERROR_CODE_COUNT */
    const char *const *messages; /* MESSAGE_COUNT */
    /* The next step when a target cannot be written: --salvage is for what cannot be read. */
    const char *failing_target;
};

/* English first. */
extern const struct language *const languages[];
extern const unsigned language_count;
/*
 * The language for what firmware or environment says: "ko-KR", "zh_CN.UTF-8", "rus"; the list that firmware has ("en-US;fr") counts by its
 * first. English when there is none of ours.
 */
const struct language *language_find(const char *code);

const char *catalogue_text(const struct language *language, enum text_id id);
/*
 * Fills a pattern; arguments that are not there are "". Cut at `size`, never in the middle of a character. Returns `to`.
 */
char *catalogue_format(const struct language *language, enum text_id id, char *to, size_t size, const char *first,
                       const char *second, const char *third, const char *fourth);
/* The most cells that a text may take in any language; 0: it is a paragraph and breaks. */
unsigned catalogue_width(enum text_id id);

#endif
