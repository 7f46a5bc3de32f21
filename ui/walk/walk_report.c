/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was done is kept as a report beside those of unattended work. */
#include <string.h>

#include "ui/message.h"
#include "ui/walk/walk_internal.h"

void walk_record(struct walk *walk)
{
    walk_forget_record(walk);
    walk->report[0] = 0;
    record_start(&walk->record, walk->session->loop->platform);
    walk->session->record = &walk->record;
}

void walk_forget_record(struct walk *walk)
{
    if (walk->session->record != &walk->record)
        return;
    walk->session->record = NULL;
    record_free(&walk->record);
}

void walk_record_plan(struct walk *walk)
{
    const struct message_list *messages = &walk->work.plan.messages;
    char text[SENTENCE_MAX];

    for (unsigned i = 0; i < messages->count; i++)
        record_message(walk->session, message_level_word(messages->items[i].level),
                       message_sentence(&messages->items[i], text));
}

void walk_record_end(struct walk *walk)
{
    char text[SENTENCE_MAX];

    if (walk->result.status)
        record_message(walk->session, "error", error_sentence(&walk->result.error, text));
}

void walk_report(struct walk *walk)
{
    char command[COMMAND_LINE_MAX], path[COMMAND_LINE_MAX], sentence[SENTENCE_MAX];
    struct error error = {0};
    const char *text;

    if (!walk->setup->reports)
        return;
    walk_command_line(walk, command, sizeof(command));
    if (report_command(walk->session, walk->setup->reports, command, *walk->code, &walk->record, path, sizeof(path),
                       &error) == 0)
        text = walk_format(walk, TEXT_RESULT_REPORT, path, NULL, NULL, NULL);
    else
        text = walk_format(walk, TEXT_RESULT_NO_REPORT, error_sentence_in(walk->setup->language, &error, sentence),
                           NULL, NULL, NULL);
    struct phrase phrase;
    phrase_begin(&phrase, walk->report, sizeof(walk->report));
    phrase_add(&phrase, text, strlen(text));
}
