/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading INI files strictly: what cannot be understood is an error that names its line, never something skipped.
 *
 *     ; a comment; # as well
 *     [section]
 *     [section "name"]
 *     key = value        ; a comment behind a blank
 *
 * UTF-8, with or without a byte order mark; line ends of either kind. Letter case and the number of blanks do not count in sections and
 * keys. Tabs are blanks. Values are taken as they stand, blanks around them cut off: quotation marks are refused, so that nobody wonders whether they
 * belong to the value. No values over several lines.
 */
#ifndef UI_INI_H
#define UI_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define INI_FILE_MAX (64u * 1024)
#define INI_LINE_MAX 512 /* bytes, the line's end not counted */

/* Texts are valid during the call only. */
struct ini_item {
    unsigned line;       /* from 1 */
    const char *section; /* small letters, single blanks */
    const char *name;    /* of the section, as written; "" without */
    const char *key;     /* small letters, single blanks; NULL: the section begins here */
    const char *value;   /* never empty */
};

/*
 * Calls item() for each section's beginning and each key, in order, until it returns other than 0, which is returned. Errors of its own:
 * -ERROR_USAGE, the sentence in error->detail begins with "line N: ".
 */
int ini_read(const char *text, size_t size,
             int (*item)(void *context, const struct ini_item *item, struct error *error), void *context,
             struct error *error);
/* For item(): such an error. */
#define ini_error(error, line, format, ...)                                                                            \
    error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "line %u: " format, line, ##__VA_ARGS__)
/* "yes" or "no", letter case ignored. false: neither. */
bool ini_bool(const char *value, bool *result);

#endif
