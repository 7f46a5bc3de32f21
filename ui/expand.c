/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/expand.h"

#include <string.h>

void expand_file_name(char *value)
{
    for (; *value; value++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *value))
            *value = '_';
}

int expand_names(const char *text, size_t length, bool (*value)(void *context, const char *name, char *to, size_t size),
                 void *context, char *to, size_t size, struct error *error)
{
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        char part[64] = {text[i], 0};
        const char *close = text[i] == '{' ? memchr(text + i, '}', length - i) : NULL;
        if (close) {
            char name[32];
            size_t name_length = (size_t)(close - text) - i - 1;
            if (name_length >= sizeof(name))
                name_length = sizeof(name) - 1;
            memcpy(name, text + i + 1, name_length);
            name[name_length] = 0;
            if (!value(context, name, part, sizeof(part)) || !*part)
                return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                                 "{%s} has no value on this machine", name);
            expand_file_name(part);
            i = (size_t)(close - text);
        }
        size_t value_length = strlen(part);
        if (used + value_length + 1 > size)
            return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "the line is too long");
        memcpy(to + used, part, value_length);
        used += value_length;
    }
    to[used] = 0;
    return 0;
}
