/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "core/message.h"

struct message *message_add(struct message_list *list, enum message_level level, enum message_id id, unsigned partition,
                            const char *text0, const char *text1, uint64_t number0, uint64_t number1)
{
    struct message *message = &list->last;

    if (list->count < MESSAGE_LIST_MAX)
        message = &list->items[list->count++];
    else
        list->dropped++;
    *message = (struct message){.id = id, .level = level, .partition = partition, .number = {number0, number1}};
    if (text0)
        snprintf(message->text[0], sizeof(message->text[0]), "%s", text0);
    if (text1)
        snprintf(message->text[1], sizeof(message->text[1]), "%s", text1);
    return message;
}
