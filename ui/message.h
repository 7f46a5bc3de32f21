/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place that turns errors and messages into sentences: what happened, to which disk, where, what to do next.
 */
#ifndef UI_MESSAGE_H
#define UI_MESSAGE_H

#include "core/error.h"
#include "core/message.h"

#define SENTENCE_MAX 512

/* Both return `text`, a complete sentence without a line end. */
char *error_sentence(const struct error *error, char text[SENTENCE_MAX]);
char *message_sentence(const struct message *message, char text[SENTENCE_MAX]);
/* A stable name for programs, such as "fs-hibernated". */
const char *message_name(enum message_id id);

#endif
