/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what was chosen to the command that stands for it, and back into a parsed one. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ui/walk/walk_internal.h"

#define NOT_CHOSEN "..."
#define NAME_PART_MAX 28 /* policy: of the model and of the serial number in a proposed name */

struct line {
    char *text;
    size_t size, used;
    bool broken; /* not all of it is there, or it would be understood as something else */
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line->text + line->used, line->size - line->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->used += (size_t)length;
    if (line->used < line->size)
        return;
    line->used = line->size - 1;
    line->broken = true;
}

/* A word of the line; the grammar divides at blanks unless there are quotes. */
static void add_word(struct line *line, const char *word)
{
    bool quoted = strpbrk(word, " \t") != NULL;

    line->broken = line->broken || strpbrk(word, "\"\r\n");
    add(line, quoted ? " \"%s\"" : " %s", word);
}

static void add_nothing(struct line *line)
{
    add_word(line, NOT_CHOSEN);
    line->broken = true;
}

static void add_disk(struct line *line, const struct walk_choice *choice)
{
    char word[BLOCK_NAME_MAX + 16];

    if (!choice->chosen) {
        add_nothing(line);
        return;
    }
    if (choice->partition)
        snprintf(word, sizeof(word), "%s#%u", choice->disk, choice->partition);
    else
        snprintf(word, sizeof(word), "%s", choice->disk);
    add_word(line, word);
}

bool walk_image_name(const struct walk *walk, char *name, size_t size)
{
    const char *file = walk->task == TASK_SAVE ? walk->name.text : walk->file;

    return walk->volume[0] && file[0] &&
           session_image_name(walk->session, walk->volume, walk->folder, file, name, size);
}

static void add_image(struct line *line, const struct walk *walk)
{
    char name[COMMAND_LINE_MAX];

    if (walk_image_name(walk, name, sizeof(name)))
        add_word(line, name);
    else
        add_nothing(line);
}

bool walk_ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);

    return length >= tail && strcasecmp(name + length - tail, end) == 0;
}

uint64_t walk_split_bytes(unsigned choice)
{
    static const uint64_t sizes[WALK_SPLITS] = {0, 1ULL << 30, 2ULL << 30, 4ULL << 30, 8ULL << 30};

    return choice < WALK_SPLITS ? sizes[choice] : 0;
}

static void add_options(struct line *line, const struct walk *walk)
{
    if (walk->task == TASK_SAVE && walk->level)
        add(line, " --level=%u", walk->level);
    if (walk->task == TASK_SAVE && walk->split)
        add(line, " --split=%uG", (unsigned)(walk_split_bytes(walk->split) >> 30));
    if (walk->raw)
        add(line, " --raw");
    if (walk->salvage)
        add(line, " --salvage");
    if (walk->discard)
        add(line, " --discard");
    if (walk->resume)
        add(line, " --continue");
    if (walk->no_verify)
        add(line, " --no-verify");
}

bool walk_command_line(const struct walk *walk, char *text, size_t size)
{
    struct line line = {.text = text, .size = size};

    text[0] = 0;
    if (walk->fixed_command) {
        add(&line, "%s", walk->fixed_command);
        return !line.broken;
    }
    switch (walk->task) {
    case TASK_SAVE:
        add(&line, "capture");
        add_disk(&line, &walk->source);
        add_image(&line, walk);
        break;
    case TASK_RESTORE:
        add(&line, "restore");
        add_image(&line, walk);
        add_disk(&line, &walk->target);
        break;
    case TASK_CLONE:
        add(&line, "clone");
        add_disk(&line, &walk->source);
        add_disk(&line, &walk->target);
        break;
    case TASK_CHECK:
        add(&line, "verify");
        add_image(&line, walk);
        break;
    case TASK_LOOK:
        add(&line, "list");
        break;
    }
    add_options(&line, walk);
    return !line.broken;
}

static void set_chosen(struct command_disk *disk, const struct walk_choice *choice)
{
    memcpy(disk->name, choice->disk, sizeof(disk->name));
    disk->bytes = choice->disk_bytes;
}

int walk_command(struct walk *walk, struct error *error)
{
    char line[COMMAND_LINE_MAX];

    if (!walk_command_line(walk, line, sizeof(line)))
        return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                         "no command can say this name: it is too long, or has quotation marks in it. Rename it");
    int status = command_parse_line(&walk->command, line, error);
    if (status)
        return status;
    if (walk->source.chosen)
        set_chosen(&walk->command.chosen[0], &walk->source);
    if (walk->target.chosen)
        set_chosen(&walk->command.chosen[1], &walk->target);
    return 0;
}

/* --- the name of a new image --- */

static void add_part(struct line *line, const char *text)
{
    size_t start = line->used, taken = 0;

    for (; *text && taken < NAME_PART_MAX; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
        if (plain || (line->used > start && line->text[line->used - 1] != '-')) {
            add(line, "%c", plain ? *text : '-');
            taken++;
        }
    }
    while (line->used > start && line->text[line->used - 1] == '-')
        line->text[--line->used] = 0;
}

void walk_propose_name(struct walk *walk)
{
    char name[TEXT_FIELD_MAX], date[32];
    struct line line = {.text = name, .size = sizeof(name)};
    const struct session_ops *ops = walk->session->ops;

    name[0] = 0;
    if (ops->variable && ops->variable(walk->session, "date", date, sizeof(date)))
        add_part(&line, date);
    const char *const parts[] = {walk->source.model, walk->source.serial};
    for (unsigned i = 0; i < 2; i++) {
        if (!parts[i][0])
            continue;
        if (line.used)
            add(&line, "-");
        add_part(&line, parts[i]);
    }
    if (walk->source.partition)
        add(&line, "%sp%u", line.used ? "-" : "", walk->source.partition);
    if (!line.used)
        add(&line, "disk");
    add(&line, ".eid");
    text_field_set(&walk->name, name);
    walk->name_proposed = true;
}
