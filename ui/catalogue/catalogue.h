/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalogue: every text that a person meets on the screens, in every language. Commands, logs and JSON stay English.
 *
 * Texts have IDs (texts.h, with the English of each); a language is one file with a table of all of them. What a pattern is filled with stands in
 * it as %1 to %4, in whatever order the language wants. Errors and messages of core/ are in the tables, too; their patterns are
 * explained in ui/message.h. A test finds texts that are missing, too long for their place, or lack an argument.
 *
 * All of it is constant data: any processor may read it.
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
    const char *code; /* RFC 5646: "en", "zh-Hans", "ko", "ru" */
    const char *name; /* in the language itself */
    /* What firmware and environments call it (ISO 639), in lower case, divided by blanks: "zh zho chi". */
    const char *called;
    /* Scripts and regions whose readers it is not for, written likewise: "hant tw hk mo". NULL: it is for all. */
    const char *not_for;

    const char *const *texts; /* TEXT_COUNT */
    struct error_text {
        const char *what, *next; /* what went wrong; what a person can do about it, "" when nothing */
    } const *errors;             /* ERROR_CODE_COUNT */
    /* The next step when a target cannot be written: --salvage is for what cannot be read. */
    const char *failing_target;
    const char *const *messages; /* MESSAGE_COUNT */

    /* What sentences are put together from; %1 is what is put in. */
    struct sentence_parts {
        const char *partition; /* of a message, in front: "partition %1: " */
        const char *device[4]; /* of an error, in front, by enum error_side: "%1: ", "source %1: " */
        const char *operation; /* " (%1)" */
        const char *place;     /* block or byte: " at %1" */
        const char *detail;    /* ": %1" */
        const char *status;    /* " [status %1]" */
        const char *end;       /* "." */
        const char *next;      /* what stands behind the end: " %1" */
    } sentence;
    const char *const *operations; /* OPERATION_COUNT; NULL: error_operation_name() */
};

/* English first. */
extern const struct language *const languages[];
extern const unsigned language_count;
#define LANGUAGE(name) extern const struct language language_##name;
#include "ui/catalogue/languages.h"
#undef LANGUAGE

/*
 * The language for what firmware or environment says: "ko-KR", "zh_CN.UTF-8", "rus"; the list that firmware has ("en-US;fr") counts by its
 * first. English when there is none of ours, for NULL and for nonsense of any length.
 *
 * Traditional Chinese (zh-TW, zh-HK, zh-Hant) is English, not simplified Chinese: the script and the trade's terms are other ones (the
 * Unicode locale data lets zh-Hant inherit nothing from zh either), and a page about erasing disks must not be guessed at. Whoever
 * prefers the simplified one chooses it.
 */
const struct language *language_find(const char *code);

/*
 * Never NULL: English for what a language lacks (and when it is NULL); "" for a text or message that does not exist, ERROR_IO for such a
 * code.
 */
const char *catalogue_text(const struct language *language, enum text_id id);
const struct error_text *catalogue_error(const struct language *language, enum error_code code);
const char *catalogue_message(const struct language *language, enum message_id id);
/*
 * Fills a pattern; arguments that are not there are "". Cut at `size`, never in the middle of a character. Returns `to`.
 */
char *catalogue_format(const struct language *language, enum text_id id, char *to, size_t size, const char *first,
                       const char *second, const char *third, const char *fourth);
/* The most cells that a text may take in any language; 0: it is a paragraph and breaks. */
unsigned catalogue_width(enum text_id id);

/* --- for those who compose sentences --- */

/* A text that grows at its end, always ended by a zero. Once something did not fit, nothing more is taken. */
struct phrase {
    char *text;
    size_t size, used; /* bytes: what there is, the zero included; what is taken, without it */
};
/* `size` is not 0. */
void phrase_begin(struct phrase *phrase, char *text, size_t size);
/* Adds `length` bytes of UTF-8; cut between characters where they do not fit. */
void phrase_add(struct phrase *phrase, const char *text, size_t length);
/* Adds a pattern with %1 to %4 filled in; an argument may be NULL. A % before anything else is an ordinary character. */
void phrase_fill(struct phrase *phrase, const char *pattern, const char *const arguments[4]);

#endif
