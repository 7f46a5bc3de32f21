/* SPDX-License-Identifier: GPL-2.0-or-later */
/* {NAME} in texts that become names of files. */
#ifndef UI_EXPAND_H
#define UI_EXPAND_H

#include "core/error.h"

/*
 * Copies a text and puts value()'s answer in place of each {NAME}, every character that some file system would not take in it made
 * into '_'. -ERROR_USAGE: one has no value, or it gets too long.
 */
int expand_names(const char *text, size_t length, bool (*value)(void *context, const char *name, char *to, size_t size),
                 void *context, char *to, size_t size, struct error *error);
/* The same for a value alone, in place. */
void expand_file_name(char *value);

#endif
