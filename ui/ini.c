/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/ini.h"

#include <string.h>
#include <strings.h>

struct reader {
    unsigned line;
    char section[INI_LINE_MAX + 1], name[INI_LINE_MAX + 1];
};

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
    while (*text == ' ')
        text++;
    char *end = text + strlen(text);
    while (end > text && end[-1] == ' ')
        end--;
    *end = 0;
    return text;
}

/* Small letters, and one space for each row of blanks. */
static void fold(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (*text == ' ' && text[1] == ' ')
            continue;
        *to++ = *text >= 'A' && *text <= 'Z' ? (char)(*text + 32) : *text;
    }
    *to = 0;
}

/* Length of the UTF-8 sequence at `at` (RFC 3629, section 4); 0: none. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : 4;

    if (length > left || (length == 4 && (at[0] < 0xf0 || at[0] > 0xf4)))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
               (at[0] == 0xf4 && at[1] > 0x8f);
    return bad ? 0 : length;
}

static int check_letters(const char *line, size_t length, unsigned number, struct error *error)
{
    const uint8_t *bytes = (const uint8_t *)line;

    for (size_t at = 0, step; at < length; at += step) {
        if ((bytes[at] < ' ' && bytes[at] != '\t') || bytes[at] == 0x7f)
            return ini_error(error, number, "a control character (code %u) does not belong into this file", bytes[at]);
        step = utf8_length(bytes + at, length - at);
        if (!step)
            return ini_error(error, number, "this is not UTF-8 text; save the file as UTF-8");
    }
    return 0;
}

/* A comment begins the line, or stands behind a blank. */
static void cut_comment(char *line)
{
    for (char *at = line; *at; at++) {
        if ((*at == ';' || *at == '#') && (at == line || at[-1] == ' ')) {
            *at = 0;
            return;
        }
    }
}

/* [section] or [section "name"], trimmed. */
static int read_section(struct reader *reader, char *line, struct error *error)
{
    size_t length = strlen(line);

    if (line[length - 1] != ']')
        return ini_error(error, reader->line, "a section ends with ]");
    line[length - 1] = 0;
    char *section = trim(line + 1), *quote = strchr(section, '"');
    reader->name[0] = 0;
    if (quote) {
        char *end = strchr(quote + 1, '"');
        if (!end || end[1])
            return ini_error(error, reader->line, "a section's name stands in two quotation marks: [rule \"name\"]");
        *quote = *end = 0;
        strcpy(reader->name, trim(quote + 1));
        if (!reader->name[0])
            return ini_error(error, reader->line, "the section's name is empty");
    }
    strcpy(reader->section, trim(section));
    fold(reader->section);
    if (!reader->section[0])
        return ini_error(error, reader->line, "the section is empty");
    return 0;
}

static int read_key(struct reader *reader, char *line, struct ini_item *item, struct error *error)
{
    char *equals = strchr(line, '=');

    if (!equals)
        return ini_error(error, reader->line, "this is neither [section] nor key = value");
    *equals = 0;
    char *key = trim(line), *value = trim(equals + 1);
    fold(key);
    if (!*key)
        return ini_error(error, reader->line, "nothing stands before the =");
    if (!*value)
        return ini_error(error, reader->line, "%.40s has no value; leave the line out instead", key);
    if (strchr(value, '"'))
        return ini_error(error, reader->line, "values are written without quotation marks");
    if (!reader->section[0])
        return ini_error(error, reader->line, "%.40s stands before the first [section]", key);
    item->key = key;
    item->value = value;
    return 0;
}

static int read_line(struct reader *reader, const char *text, size_t length,
                     int (*take)(void *context, const struct ini_item *item, struct error *error), void *context,
                     struct error *error)
{
    char buffer[INI_LINE_MAX + 1], *line;

    if (length > INI_LINE_MAX)
        return ini_error(error, reader->line, "the line is longer than %d bytes", INI_LINE_MAX);
    int status = check_letters(text, length, reader->line, error);
    if (status)
        return status;
    memcpy(buffer, text, length);
    buffer[length] = 0;
    for (char *tab = buffer; (tab = strchr(tab, '\t'));)
        *tab = ' ';
    cut_comment(buffer);
    line = trim(buffer);
    if (!*line)
        return 0;
    struct ini_item item = {.line = reader->line, .section = reader->section, .name = reader->name};
    status = *line == '[' ? read_section(reader, line, error) : read_key(reader, line, &item, error);
    return status ? status : take(context, &item, error);
}

int ini_read(const char *text, size_t size,
             int (*item)(void *context, const struct ini_item *item, struct error *error), void *context,
             struct error *error)
{
    struct reader reader = {.line = 0};
    const char *end = text + size;

    if (size > INI_FILE_MAX)
        return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "the file is larger than %u KiB",
                         INI_FILE_MAX / 1024);
    /* Byte order marks: UTF-16 would be found to hold control characters, which helps nobody. */
    if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return ini_error(error, 1u, "the file is saved as UTF-16; save it as UTF-8");
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((stop ? stop : end) - text);
        const char *next = stop ? stop + 1 : end;
        if (length && text[length - 1] == '\r')
            length--;
        reader.line++;
        int status = read_line(&reader, text, length, item, context, error);
        if (status)
            return status;
        text = next;
    }
    return 0;
}

bool ini_bool(const char *value, bool *result)
{
    *result = strcasecmp(value, "yes") == 0;
    return *result || strcasecmp(value, "no") == 0;
}
