/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of the work, and what is next. */
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/walk_internal.h"

#define CHOICES_MAX 4

/* --- the verdict --- */

struct verdict {
    enum text_id title;
    enum style style;
};

static struct verdict verdict_of(const struct walk *walk)
{
    const struct job_result *result = &walk->result;

    if (result->status == -ERROR_CANCELLED)
        return (struct verdict){TEXT_RESULT_CANCELLED, STYLE_WARNING};
    if (result->status)
        return (struct verdict){TEXT_RESULT_FAILED, STYLE_DANGER};
    if (result->unreadable_bytes || result->damaged_bytes)
        return (struct verdict){TEXT_RESULT_LOSSES, STYLE_DANGER};
    if (walk->kind == JOB_VERIFY)
        return (struct verdict){TEXT_RESULT_CHECKED, STYLE_GOOD};
    if (result->verification == VERIFIED_READ_BACK)
        return (struct verdict){TEXT_RESULT_VERIFIED, STYLE_GOOD};
    return (struct verdict){TEXT_RESULT_UNVERIFIED, STYLE_WARNING};
}

/* What became of a target that was written to. */
static enum text_id cancelled_text(const struct walk *walk)
{
    if (!walk->result.written_bytes || (walk->kind != JOB_RESTORE && walk->kind != JOB_CLONE))
        return TEXT_RESULT_CANCELLED_TEXT;
    if (walk->target.partition)
        return TEXT_CANCEL_PARTITION;
    return walk->kind == JOB_RESTORE ? TEXT_CANCEL_RESTORE : TEXT_CANCEL_CLONE;
}

static const char *explanation(const struct walk *walk, enum text_id title, char text[SENTENCE_MAX])
{
    const struct job_result *result = &walk->result;

    switch (title) {
    case TEXT_RESULT_FAILED:
        return error_sentence_in(walk->setup->language, &result->error, text);
    case TEXT_RESULT_CANCELLED:
        return walk_text(walk, cancelled_text(walk));
    case TEXT_RESULT_LOSSES:
        if ((walk->kind == JOB_RESTORE || walk->kind == JOB_VERIFY) && !result->damaged_bytes)
            return walk_format(walk, TEXT_RESULT_LOSSES_IMAGE, walk_size(result->unreadable_bytes), NULL, NULL, NULL);
        return walk_format(walk, TEXT_RESULT_LOSSES_TEXT, walk_size(result->unreadable_bytes + result->damaged_bytes),
                           NULL, NULL, NULL);
    case TEXT_RESULT_CHECKED:
        return walk_text(walk, TEXT_RESULT_CHECKED_TEXT);
    case TEXT_RESULT_VERIFIED:
        return walk_text(walk, TEXT_RESULT_VERIFIED_TEXT);
    default:
        return walk_text(walk, TEXT_RESULT_UNVERIFIED_TEXT);
    }
}

static const char *numbers(const struct walk *walk)
{
    const struct job_result *result = &walk->result;
    enum job_kind kind = walk->kind;
    char time[TIME_TEXT_MAX];

    time_text(result->copy_nanoseconds + result->verify_nanoseconds, time);
    if (kind == JOB_VERIFY)
        return walk_format(walk, TEXT_RESULT_NUMBERS_CHECKED, walk_size(result->verified_bytes), time, NULL, NULL);
    if (kind == JOB_CAPTURE)
        return walk_format(walk, TEXT_RESULT_NUMBERS, walk_size(result->read_bytes), time,
                           walk_size(result->totals.stored_bytes), NULL);
    return walk_format(walk, TEXT_RESULT_NUMBERS_PLAIN, walk_size(result->written_bytes), time, NULL, NULL);
}

/* --- the page --- */

static unsigned draw_text(struct walk *walk, struct area area, enum style style, const char *text)
{
    return screen_paragraph(walk->screen, area.row, area.column, area.columns, area.rows, 0, style, text);
}

/* Whole, below its name if need be. Returns the rows that it takes. */
static unsigned draw_root(struct walk *walk, struct area area)
{
    char hash[IMAGE_HASH_SIZE * 2 + 1];

    if (memory_is_zero(walk->result.totals.root, IMAGE_HASH_SIZE)) /* not known, of an image that was damaged */
        return 0;
    for (unsigned i = 0; i < IMAGE_HASH_SIZE; i++)
        snprintf(hash + 2 * i, 3, "%02x", walk->result.totals.root[i]);
    unsigned used =
        screen_text(walk->screen, area.row, area.column, area.columns, STYLE_DIM, walk_text(walk, TEXT_RESULT_ROOT)) +
        1;
    bool below = used + sizeof(hash) - 1 > area.columns;
    if (below)
        used = 0;
    screen_text(walk->screen, area.row + below, area.column + used, area.columns - used, STYLE_TEXT, hash);
    return below ? 2 : 1;
}

/* What was unreadable and the like, as far as there is room. */
void result_draw_messages(struct walk *walk, struct area area, unsigned rows)
{
    const struct message_list *messages = &walk->result.messages;
    unsigned all = messages->count + messages->dropped;
    char text[SENTENCE_MAX], number[16];

    for (unsigned i = 0; i < all && rows; i++) {
        snprintf(number, sizeof(number), "%u", all - i);
        bool more = i == messages->count || (rows == 1 && i + 1 < all);
        unsigned lines = screen_paragraph(walk->screen, area.row, area.column, area.columns, rows, 0, STYLE_WARNING,
                                          more ? walk_format(walk, TEXT_RESULT_MORE, number, NULL, NULL, NULL)
                                               : message_sentence_in(walk->setup->language, &messages->items[i], text));
        if (more)
            return;
        if (lines > rows)
            lines = rows;
        area.row += lines;
        rows -= lines;
    }
}

/* The verdict, its reasons and numbers; returns the row below. */
unsigned result_draw(struct walk *walk, struct area area)
{
    struct verdict verdict = verdict_of(walk);
    char text[SENTENCE_MAX];
    bool failed = walk->result.status != 0;

    screen_text(walk->screen, area.row - 2, area.column, text_width(walk_text(walk, verdict.title)), verdict.style,
                walk_text(walk, verdict.title));
    area.row += draw_text(walk, area, failed ? STYLE_WARNING : STYLE_TEXT, explanation(walk, verdict.title, text));
    if (!failed) {
        area.row += draw_text(walk, area, STYLE_TEXT, numbers(walk));
        if (verdict.title == TEXT_RESULT_LOSSES && walk->kind != JOB_VERIFY &&
            walk->result.verification != VERIFIED_READ_BACK)
            area.row += draw_text(walk, area, STYLE_WARNING, walk_text(walk, TEXT_RESULT_UNVERIFIED_TEXT));
        area.row += walk->kind != JOB_CLONE ? draw_root(walk, area) : 1;
    }
    return area.row;
}

static void draw(struct walk *walk, struct list *list)
{
    static const struct walk_key keys[] = {
        {"Enter", TEXT_KEY_CHOOSE}, {"\xe2\x86\x91\xe2\x86\x93", TEXT_KEY_MOVE}, {"F1", TEXT_KEY_HELP}, {NULL, 0}};
    struct area area = walk_area(walk), choices = area;

    walk_page(walk, verdict_of(walk).title, keys);
    area.row = result_draw(walk, area);
    if (walk->goes_on)
        area.row += draw_text(walk, area, STYLE_TEXT, walk_text(walk, TEXT_RESULT_CONTINUE));
    if (walk->report[0])
        area.row += draw_text(walk, area, STYLE_TEXT, walk->report);
    choices.row += choices.rows - list->count - 1;
    choices.rows = list->count;
    area.row++;
    result_draw_messages(walk, area, choices.row > area.row + 1 ? choices.row - area.row - 1 : 0);
    list_draw(list, walk->screen, choices);
}

/* --- what is next --- */

struct next {
    struct walk *walk;
    enum text_id texts[CHOICES_MAX];
};

static void next_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    const struct next *next = list->context;

    (void)column;
    snprintf(text, LIST_CELL_MAX, "%s", walk_text(next->walk, next->texts[item]));
}

static enum walk_step go_on(struct walk *walk, enum text_id choice)
{
    walk->leave = choice == TEXT_START_REBOOT || choice == TEXT_START_POWER_OFF;
    walk->end = choice == TEXT_START_REBOOT ? WALK_REBOOT : WALK_POWER_OFF;
    return STEP_START;
}

enum walk_step walk_show_result(struct walk *walk)
{
    struct next next = {walk, {TEXT_RESULT_AGAIN, TEXT_START_REBOOT, TEXT_START_POWER_OFF}};
    struct list list = {.count = walk->setup->has_power ? 3 : 1,
                        .columns = {{NULL, 0, false}},
                        .column_count = 1,
                        .text = next_text,
                        .context = &next};

    /* What was meant for the work must not take the result away. */
    screen_drop_keys(walk->screen);
    for (;;) {
        draw(walk, &list);
        struct key key = walk_key(walk, TEXT_HELP_RESULT);
        if (key.code == KEY_ENTER)
            return go_on(walk, next.texts[list.selected]);
        if (key.code == KEY_ESCAPE || key.code == KEY_INTERRUPT)
            return STEP_START;
        list_key(&list, &key);
    }
}
