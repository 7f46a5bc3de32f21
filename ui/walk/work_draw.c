/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The work's page. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/work_view.h"

#define FACT_LABEL 17
#define FACT_ROWS 3

/* --- what is done, and how far it is --- */

static enum text_id phase_text(enum job_phase phase)
{
    static const enum text_id texts[] = {TEXT_PHASE_PLAN, TEXT_PHASE_COPY, TEXT_PHASE_FLUSH, TEXT_PHASE_READ_BACK,
                                         TEXT_PHASE_FINISH};

    return texts[phase <= PHASE_FINISH ? phase : PHASE_FINISH];
}

static unsigned per_mille(const struct job_progress *progress)
{
    if (!progress->total_bytes || progress->done_bytes >= progress->total_bytes)
        return progress->total_bytes ? 1000 : 0;
    return (unsigned)((unsigned __int128)progress->done_bytes * 1000 / progress->total_bytes);
}

static void draw_head(const struct work_view *view, struct area area)
{
    struct walk *walk = view->walk;
    struct screen *screen = walk->screen;
    const struct job_progress *progress = &view->progress;
    const struct plan *plan = &view->work->plan;
    const struct block_device *disk = plan->request.target.disk ? plan->request.target.disk : plan->request.source.disk;
    char line[256];

    const char *name = !disk ? plan->request.source.store->name : disk->model[0] ? disk->model : disk->name;
    unsigned used = screen_text(screen, area.row, area.column, area.columns, STYLE_STRONG, name);
    if (disk)
        screen_text(screen, area.row, area.column + used + 2, area.columns - used - 2, STYLE_TEXT,
                    walk_serial(walk, disk->serial));

    snprintf(line, sizeof(line), "%3u%%  ", per_mille(progress) / 10);
    used = screen_text(screen, area.row + 1, area.column, area.columns, STYLE_STRONG, line);
    if (view->paused) {
        const char *paused = walk_text(walk, TEXT_WORK_PAUSED);
        used += screen_text(screen, area.row + 1, area.column + used, text_width(paused), STYLE_DANGER, paused) + 2;
    }
    used += screen_text(screen, area.row + 1, area.column + used, area.columns - used, STYLE_TEXT,
                        walk_text(walk, phase_text(progress->phase))) +
            2;
    screen_text(screen, area.row + 1, area.column + used, area.columns - used, STYLE_TEXT,
                walk_format(walk, TEXT_WORK_AMOUNT, walk_size(progress->done_bytes), walk_size(progress->total_bytes),
                            NULL, NULL));
    bar_draw(screen, area.row + 2, area.column, area.columns, per_mille(progress));
}

/* --- facts --- */

static void draw_fact(const struct work_view *view, struct area area, unsigned place, enum text_id label,
                      const char *value)
{
    unsigned width = area.columns / 2, column = area.column + place / FACT_ROWS * width;
    struct screen *screen = view->walk->screen;

    screen_text(screen, area.row + place % FACT_ROWS, column, FACT_LABEL, STYLE_DIM, walk_text(view->walk, label));
    screen_text(screen, area.row + place % FACT_ROWS, column + FACT_LABEL + 1, width - FACT_LABEL - 2, STYLE_STRONG,
                value);
}

static const char *rate_text(const struct work_view *view, enum work_counter counter)
{
    uint64_t rate = work_rate(view, counter);

    return rate ? walk_format(view->walk, TEXT_WORK_RATE, walk_size(rate), NULL, NULL, NULL) : "-";
}

static const char *ratio_text(const struct work_view *view, char text[32])
{
    const struct job_progress *progress = &view->progress;
    char number[16];

    /* What an image that is gone on with holds already was not made of what is read now. */
    if (!progress->processed_bytes || !progress->stored_bytes || progress->phase != PHASE_COPY ||
        view->work->plan.request.options.resume)
        return "-";
    snprintf(number, sizeof(number), "%" PRIu64 "%%", progress->stored_bytes * 100 / progress->processed_bytes);
    snprintf(text, 32, "%s", walk_format(view->walk, TEXT_WORK_RATIO_VALUE, number, NULL, NULL, NULL));
    return text;
}

static void draw_facts(const struct work_view *view, struct area area)
{
    const struct job_progress *progress = &view->progress;
    enum job_kind kind = view->work->plan.kind;
    char left[TIME_TEXT_MAX], passed[TIME_TEXT_MAX], ratio[32];
    bool packs = kind == JOB_CAPTURE;
    uint64_t rest = pace_left(&view->pace, progress);

    draw_fact(view, area, 0, TEXT_WORK_LEFT, rest == UINT64_MAX ? "-" : time_text(rest, left));
    draw_fact(view, area, 1, TEXT_WORK_PASSED, time_text(progress->now - progress->started, passed));
    if (packs)
        draw_fact(view, area, 2, TEXT_WORK_RATIO, ratio_text(view, ratio));
    draw_fact(view, area, 3, TEXT_WORK_READING, rate_text(view, WORK_READ));
    if (kind != JOB_CLONE)
        draw_fact(view, area, 4, packs ? TEXT_WORK_COMPRESSING : TEXT_WORK_EXPANDING, rate_text(view, WORK_PROCESSED));
    if (kind == JOB_VERIFY || progress->phase == PHASE_READ_BACK)
        draw_fact(view, area, 5, TEXT_WORK_COMPARING, rate_text(view, WORK_VERIFIED));
    else
        draw_fact(view, area, 5, TEXT_WORK_WRITING, rate_text(view, packs ? WORK_STORED : WORK_WRITTEN));
}

/* --- map and warnings --- */

static const char *region_label(const struct work_view *view, char text[128])
{
    const struct plan *plan = &view->work->plan;
    unsigned number = view->progress.partition;

    snprintf(text, 128, "%s", walk_text(view->walk, TEXT_WORK_WHERE_TABLE));
    for (unsigned i = 0; number && i < plan->description.region_count; i++) {
        const struct image_region *region = &plan->description.regions[i];
        if (region->partition == number)
            snprintf(text, 128, "#%u %s %s", number, region->fs_type, region->fs_label);
    }
    return text;
}

static void draw_legend(const struct work_view *view, unsigned row, struct area area)
{
    static const enum text_id names[MAP_STATE_COUNT] = {TEXT_MAP_UNUSED,  TEXT_MAP_TO_DO,    TEXT_MAP_READ,
                                                        TEXT_MAP_WRITTEN, TEXT_MAP_COMPARED, TEXT_MAP_BAD};
    struct screen *screen = view->walk->screen;
    unsigned column = area.column;

    for (unsigned i = 0; i < MAP_STATE_COUNT; i++) {
        const char *name = walk_text(view->walk, names[i]);
        unsigned width = text_width(name);
        if (column + width + 2 > area.column + area.columns)
            break;
        screen_fill(screen, row, column, 1, map_state_style((enum map_state)i), map_state_character((enum map_state)i));
        screen_text(screen, row, column + 2, width, STYLE_DIM, name);
        column += width + 4;
    }
}

static void draw_warnings(const struct work_view *view, struct area area)
{
    struct walk *walk = view->walk;
    struct screen *screen = walk->screen;
    char text[SENTENCE_MAX], count[16];

    snprintf(count, sizeof(count), "%u", view->message_count);
    unsigned used =
        screen_text(screen, area.row, area.column, area.columns, STYLE_DIM, walk_text(walk, TEXT_WORK_WARNINGS)) + 1;
    screen_text(screen, area.row, area.column + used, area.columns - used,
                view->message_count ? STYLE_WARNING : STYLE_DIM,
                view->message_count ? count : walk_text(walk, TEXT_WORK_NO_WARNINGS));
    /* The newest first. */
    for (unsigned i = 1; i < area.rows && i <= view->message_count && i <= WORK_MESSAGES; i++)
        screen_text(screen, area.row + i, area.column, area.columns, STYLE_WARNING,
                    message_sentence_in(walk->setup->language,
                                        &view->messages[(view->message_count - i) % WORK_MESSAGES], text));
}

static enum text_id warning_of(const struct plan *plan)
{
    static const enum text_id warnings[] = {TEXT_CANCEL_SAVE, TEXT_CANCEL_RESTORE, TEXT_CANCEL_CLONE,
                                            TEXT_CANCEL_CHECK};

    if (plan->kind == JOB_CAPTURE && plan->request.options.resume)
        return TEXT_CANCEL_SAVE_KEPT;
    if ((plan->kind == JOB_RESTORE || plan->kind == JOB_CLONE) && plan->request.target.partition)
        return TEXT_CANCEL_PARTITION;
    return warnings[plan->kind];
}

static void draw_boxes(const struct work_view *view)
{
    struct walk *walk = view->walk;
    const char *choices[2] = {walk_text(walk, TEXT_CANCEL_NO), walk_text(walk, TEXT_CANCEL_YES)};
    const char *close = walk_text(walk, TEXT_KEY_CLOSE);

    if (view->asking)
        dialog_draw(walk->screen, walk_text(walk, TEXT_CANCEL_QUESTION), walk_text(walk, warning_of(&view->work->plan)),
                    choices, 2, view->answer, 0);
    else if (view->helping)
        dialog_draw(walk->screen, walk_text(walk, TEXT_HELP_TITLE), walk_text(walk, TEXT_HELP_WORK), &close, 1, 0, 0);
}

void work_draw(struct work_view *view)
{
    static const struct walk_key work_keys[] = {
        {"P", TEXT_KEY_PAUSE}, {"Esc", TEXT_KEY_CANCEL}, {"F1", TEXT_KEY_HELP}, {NULL, 0}};
    static const struct walk_key paused_keys[] = {
        {"P", TEXT_KEY_RESUME}, {"Esc", TEXT_KEY_CANCEL}, {"F1", TEXT_KEY_HELP}, {NULL, 0}};
    static const enum text_id titles[] = {TEXT_WORK_SAVE, TEXT_WORK_RESTORE, TEXT_WORK_CLONE, TEXT_WORK_CHECK};
    struct walk *walk = view->walk;
    struct area area = walk_area(walk), part = area;
    char label[128];

    walk_page(walk, titles[view->work->plan.kind], view->paused ? paused_keys : work_keys);
    draw_head(view, area);
    part.row = area.row + 4;
    draw_facts(view, part);
    part.row = view->map.row - 1;
    unsigned used =
        screen_text(walk->screen, part.row, part.column, FACT_LABEL, STYLE_DIM, walk_text(walk, TEXT_WORK_WHERE));
    screen_text(walk->screen, part.row, part.column + FACT_LABEL + 1, part.columns - FACT_LABEL - 1, STYLE_STRONG,
                used ? region_label(view, label) : "");
    work_map_draw(view);
    draw_legend(view, view->map.row + view->map.rows, area);
    part.row = view->map.row + view->map.rows + 2;
    part.rows = area.row + area.rows - part.row;
    draw_warnings(view, part);
    draw_boxes(view);
}
