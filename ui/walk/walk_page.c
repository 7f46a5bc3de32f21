/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every screen has in common: title, question, command, the line of keys; waiting, help, sentences. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/walk_internal.h"

#define MARGIN 2
#define COMMAND_ROWS 2 /* that every page leaves for the command */
#define QUESTION_ROW 2
#define FIRST_ROW 4
#define FORMATS 8
#define FORMAT_MAX 1024

static char *next_buffer(void)
{
    static char buffers[FORMATS][FORMAT_MAX];
    static unsigned next;

    return buffers[next++ % FORMATS];
}

const char *walk_text(const struct walk *walk, enum text_id id)
{
    return catalogue_text(walk->setup->language, id);
}

const char *walk_format(const struct walk *walk, enum text_id id, const char *first, const char *second,
                        const char *third, const char *fourth)
{
    return catalogue_format(walk->setup->language, id, next_buffer(), FORMAT_MAX, first, second, third, fourth);
}

const char *walk_size(uint64_t bytes)
{
    _Static_assert(FORMAT_MAX >= SIZE_TEXT_MAX, "a size fits");

    return size_text(bytes, next_buffer());
}

const char *walk_serial(const struct walk *walk, const char *serial)
{
    return serial[0] ? walk_format(walk, TEXT_SERIAL_OF, serial, NULL, NULL, NULL) : walk_text(walk, TEXT_NO_SERIAL);
}

/* --- the page --- */

static void draw_title(struct walk *walk)
{
    static const enum text_id titles[] = {
        [TASK_SAVE] = TEXT_TITLE_SAVE,   [TASK_RESTORE] = TEXT_TITLE_RESTORE, [TASK_CLONE] = TEXT_TITLE_CLONE,
        [TASK_CHECK] = TEXT_TITLE_CHECK, [TASK_LOOK] = TEXT_TITLE_LOOK,
    };
    struct screen *screen = walk->screen;
    char step[16], steps[16];
    unsigned half = screen->columns / 2;

    screen_fill(screen, 0, 0, screen->columns, STYLE_BAR, ' ');
    unsigned used = screen_text(screen, 0, MARGIN, 12, STYLE_BAR_KEY, "Eidolon");
    enum text_id title = walk->fixed_command ? TEXT_UNATTENDED_TITLE
                         : walk->step        ? titles[walk->task]
                                             : TEXT_TITLE_START;
    screen_text(screen, 0, MARGIN + used + 2, half, STYLE_BAR, walk_text(walk, title));
    if (!walk->step || walk->fixed_command || walk->task == TASK_LOOK) {
        screen_text_right(screen, 0, half, screen->columns - half - MARGIN, STYLE_BAR, walk->session->version);
        return;
    }
    snprintf(step, sizeof(step), "%u", walk->step);
    snprintf(steps, sizeof(steps), "%u", walk->steps);
    screen_text_right(screen, 0, half, screen->columns - half - MARGIN, STYLE_BAR,
                      walk_format(walk, TEXT_STEP, step, steps, NULL, NULL));
}

void walk_keys(struct walk *walk, const struct walk_key *keys)
{
    struct screen *screen = walk->screen;
    unsigned row = screen->rows - 1, column = MARGIN;

    screen_fill(screen, row, 0, screen->columns, STYLE_BAR, ' ');
    for (; keys->name; keys++) {
        const char *text = walk_text(walk, keys->text);
        unsigned needed = text_width(keys->name) + 1 + text_width(text);
        if (column + needed + MARGIN > screen->columns)
            break;
        column += screen_text(screen, row, column, text_width(keys->name), STYLE_BAR_KEY, keys->name) + 1;
        column += screen_text(screen, row, column, text_width(text), STYLE_BAR, text) + 3;
    }
}

/* So much of the text as fits into so many cells; *text moves behind it. Commands break anywhere: they have long names. */
static void draw_piece(struct screen *screen, unsigned row, unsigned column, unsigned room, const char **text)
{
    char piece[COMMAND_LINE_MAX];
    const char *at = *text, *end = at;
    unsigned used = 0;

    while (*end) {
        const char *next = end;
        unsigned width = character_width(text_next(&next));
        if (used + width > room)
            break;
        used += width;
        end = next;
    }
    snprintf(piece, sizeof(piece), "%.*s", (int)(end - at), at);
    screen_text(screen, row, column, room, STYLE_COMMAND, piece);
    *text = end;
}

/*
 * Whole, broken at blanks where two lines are enough, else on as many as it needs: somebody may want to write it down. Returns how many;
 * draws them unless only counting.
 */
static unsigned draw_command(const struct walk *walk, bool draws)
{
    struct screen *screen = walk->screen;
    unsigned room = screen->columns - 2 * MARGIN;
    const char *label = walk_text(walk, TEXT_COMMAND_IS);
    char line[COMMAND_LINE_MAX];

    walk_command_line(walk, line, sizeof(line));
    if (!line[0]) /* of unattended work that found nothing to do */
        return 0;
    unsigned used = text_width(label) + 1, width = room - used;
    unsigned lines = screen_paragraph(screen, 0, 0, width, 0, 0, STYLE_COMMAND, line);
    bool at_blanks = lines <= COMMAND_ROWS;
    if (!at_blanks) /* a wide character may leave a cell empty at the end of each line */
        lines = (text_width(line) + width - 2) / (width - 1);
    if (lines > screen->rows / 3) /* the page needs room, too */
        lines = screen->rows / 3;
    if (!draws)
        return lines;
    unsigned row = screen->rows - 1 - lines;
    const char *at = line;
    screen_text(screen, row, MARGIN, used, STYLE_DIM, label);
    if (at_blanks)
        screen_paragraph(screen, row, MARGIN + used, width, lines, 0, STYLE_COMMAND, line);
    for (unsigned i = 0; !at_blanks && i + 1 < lines && *at; i++)
        draw_piece(screen, row + i, MARGIN + used, width, &at);
    if (!at_blanks)
        screen_text(screen, row + lines - 1, MARGIN + used, width, STYLE_COMMAND, at);
    return lines;
}

struct area walk_area(const struct walk *walk)
{
    unsigned lines = walk->step ? draw_command(walk, false) : 0,
             below = lines > COMMAND_ROWS ? lines + 1 : COMMAND_ROWS + 1;

    return (struct area){FIRST_ROW, MARGIN, walk->screen->rows - FIRST_ROW - below, walk->screen->columns - 2 * MARGIN};
}

void walk_page(struct walk *walk, enum text_id question, const struct walk_key *keys)
{
    struct screen *screen = walk->screen;

    screen_clear(screen);
    draw_title(walk);
    screen_text(screen, QUESTION_ROW, MARGIN, screen->columns - 2 * MARGIN, STYLE_STRONG, walk_text(walk, question));
    if (walk->step)
        draw_command(walk, true);
    walk_keys(walk, keys);
}

void walk_wait(struct walk *walk, enum text_id what)
{
    static const struct walk_key none[] = {{NULL, 0}};
    struct area area = walk_area(walk);

    walk_page(walk, what, none);
    screen_text(walk->screen, area.row, area.column, area.columns, STYLE_DIM, walk_text(walk, TEXT_WAIT_MOMENT));
    screen_update(walk->screen);
}

/* --- boxes --- */

void walk_help(struct walk *walk, enum text_id text)
{
    const char *close = walk_text(walk, TEXT_KEY_CLOSE);

    dialog_ask(walk->screen, walk_text(walk, TEXT_HELP_TITLE), walk_text(walk, text), &close, 1);
}

void walk_say(struct walk *walk, enum text_id title, const char *text)
{
    const char *close = walk_text(walk, TEXT_KEY_CLOSE);

    screen_drop_keys(walk->screen);
    dialog_ask(walk->screen, walk_text(walk, title), text, &close, 1);
}

void walk_say_error(struct walk *walk, enum text_id title, const struct error *error)
{
    char text[SENTENCE_MAX];

    walk_say(walk, title, error_sentence_in(walk->setup->language, error, text));
}

struct key walk_key(struct walk *walk, enum text_id help)
{
    struct key key;

    for (;;) {
        screen_update(walk->screen);
        screen_wait_key(walk->screen, &key, UINT64_MAX);
        if (key.code != KEY_F1)
            return key;
        /* The box is drawn over the page: whoever waits here draws it anew. */
        walk_help(walk, help);
        return (struct key){.code = KEY_F1};
    }
}
