/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place that turns errors and messages into sentences: what happened, to which disk, where, what to do next. The words are the
 * catalogue's.
 *
 * In the patterns of messages %t and %u are the message's two texts, %0 %1 %2 its numbers, %a %b the first two numbers as sizes.
 */
#ifndef UI_MESSAGE_H
#define UI_MESSAGE_H

#include "core/error.h"
#include "core/message.h"

struct language;

/* Bytes, for the longest sentence of any language with the longest arguments; a test holds them against each other. */
#define SENTENCE_MAX 1024

/*
 * All return `text`, a complete sentence without a line end. Without a language it is the English one, for commands, logs and
 * programs. error->detail is English in all languages.
 */
char *error_sentence(const struct error *error, char text[SENTENCE_MAX]);
char *message_sentence(const struct message *message, char text[SENTENCE_MAX]);
char *error_sentence_in(const struct language *language, const struct error *error, char text[SENTENCE_MAX]);
char *message_sentence_in(const struct language *language, const struct message *message, char text[SENTENCE_MAX]);
/* How a line with such a message begins for people: "note", "warning", "refused". */
const char *message_level_word(enum message_level level);
/* A stable name for programs, such as "fs-hibernated". */
const char *message_name(enum message_id id);

#endif
