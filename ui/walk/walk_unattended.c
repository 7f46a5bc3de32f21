/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unattended work as a person sees it who comes by: what is going to happen, the count-down, the work, the result. */
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/work_view.h"

struct walk_unattended {
    struct job_view view;         /* first */
    struct session_viewer viewer; /* of the session, meanwhile */
    struct walk walk;
    enum exit_code code;
    bool shown; /* something is on the screen that should stay */
};

static struct walk_unattended *of_view(struct job_view *view)
{
    return (struct walk_unattended *)view;
}

static struct walk_unattended *of_viewer(struct session_viewer *viewer)
{
    return (struct walk_unattended *)((char *)viewer - offsetof(struct walk_unattended, viewer));
}

/* --- the page --- */

static void sentence(struct walk *walk, struct area *area, enum style style, const char *text)
{
    if (area->rows)
        area->row += screen_paragraph(walk->screen, area->row, area->column, area->columns, area->rows, 0, style, text);
}

/* The facts that rules go by, as a rule would name them. */
static void draw_facts(struct walk *walk, struct area area, const struct machine_facts *facts)
{
    char line[256], size[SIZE_TEXT_MAX];

    snprintf(line, sizeof(line), "serial = %s", facts->serial);
    sentence(walk, &area, STYLE_STRONG, line);
    snprintf(line, sizeof(line), "model = %s   vendor = %s", facts->model, facts->vendor);
    sentence(walk, &area, STYLE_TEXT, line);
    if (facts->mac_count) {
        snprintf(line, sizeof(line), "mac = %s", facts->macs[0]);
        sentence(walk, &area, STYLE_TEXT, line);
    }
    for (unsigned i = 0; i < facts->disk_count && i < 6; i++) {
        const struct fact_disk *disk = &facts->disks[i];
        snprintf(line, sizeof(line), "%s  %s  %s", disk->name, disk->model, size_text(disk->bytes, size));
        sentence(walk, &area, STYLE_TEXT, line);
    }
}

static void draw_decision(struct walk *walk, struct area area, const struct job_run *run)
{
    const struct job_decision *decision = run->decision;

    if (decision->rule)
        sentence(walk, &area, STYLE_TEXT,
                 walk_format(walk, TEXT_UNATTENDED_RULE, decision->rule->name, NULL, NULL, NULL));
    area.row++;
    if (decision->disk) {
        char name[BLOCK_TEXT_MAX + BLOCK_NAME_MAX];
        bool erased = decision->rule->action == ACTION_RESTORE;
        snprintf(name, sizeof(name), "%s", decision->disk->model[0] ? decision->disk->model : decision->disk->name);
        sentence(walk, &area, erased ? STYLE_STRONG : STYLE_TEXT,
                 walk_format(walk, erased ? TEXT_PLAN_WRITE_DISK : TEXT_PLAN_READ_DISK, name,
                             walk_serial(walk, decision->disk->serial), walk_size(decision->disk->bytes), NULL));
        if (erased)
            sentence(walk, &area, STYLE_DANGER, walk_text(walk, TEXT_UNATTENDED_ERASED));
    }
    area.row++;
    if (decision->rule) {
        char then[32];
        snprintf(then, sizeof(then), "then = %s", job_then_name(decision->rule->then));
        sentence(walk, &area, STYLE_DIM, then);
    }
}

static enum text_id title_of(const struct job_run *run)
{
    switch (run->state) {
    case JOB_STATE_NO_RULE:
        return TEXT_UNATTENDED_NO_RULE;
    case JOB_STATE_REFUSED:
        return TEXT_UNATTENDED_WRONG;
    case JOB_STATE_ALREADY:
        return TEXT_UNATTENDED_ALREADY;
    case JOB_STATE_NOTHING:
        return TEXT_UNATTENDED_NOTHING;
    case JOB_STATE_STOPPED:
        return TEXT_RESULT_CANCELLED;
    default:
        return TEXT_UNATTENDED_TITLE;
    }
}

static void begin_page(struct walk_unattended *unattended, enum text_id title, const struct job_run *run)
{
    static const struct walk_key keys[] = {{NULL, 0}};
    struct walk *walk = &unattended->walk;

    walk->fixed_command = run->decision->command;
    walk->step = 1; /* of one: a command is shown */
    walk_page(walk, title, keys);
    unattended->shown = true;
}

/* What warnings and errors were said: the last of them. */
static void draw_messages(struct walk *walk, struct area area, const struct job_run *run)
{
    const char *text = run->record.messages.text;

    if (!text || !*text)
        return;
    unsigned lines = screen_paragraph(walk->screen, area.row, area.column, area.columns, 0, 0, STYLE_WARNING, text);
    screen_paragraph(walk->screen, area.row, area.column, area.columns, area.rows,
                     lines > area.rows ? lines - area.rows : 0, STYLE_WARNING, text);
}

static void show_state(struct walk_unattended *unattended, const struct job_run *run)
{
    struct walk *walk = &unattended->walk;
    struct area area = walk_area(walk);

    begin_page(unattended, title_of(run), run);
    if (run->state == JOB_STATE_DECIDED || run->state == JOB_STATE_NOTHING || run->state == JOB_STATE_ALREADY) {
        draw_decision(walk, area, run);
        return;
    }
    sentence(walk, &area, STYLE_TEXT,
             walk_text(walk, run->state == JOB_STATE_STOPPED ? TEXT_UNATTENDED_STOPPED : TEXT_UNATTENDED_UNTOUCHED));
    area.row++;
    if (run->state != JOB_STATE_STOPPED) {
        bool known =
            run->facts->disk_count || run->facts->serial[0]; /* not looked at for a file that is not understood */
        if (known)
            draw_facts(walk, area, run->facts);
        area.row += known ? 10 : 1;
        area.rows -= known ? 12 : 3;
        draw_messages(walk, area, run);
    }
}

/* --- the view of unattended_run() --- */

static void show_decided(struct job_view *view, const struct job_run *run)
{
    struct walk_unattended *unattended = of_view(view);

    show_state(unattended, run);
    screen_update(unattended->walk.screen);
}

static void show_countdown(struct job_view *view, const struct job_run *run, unsigned seconds)
{
    struct walk_unattended *unattended = of_view(view);
    struct walk *walk = &unattended->walk;
    struct area area = walk_area(walk);
    char number[16];

    show_state(unattended, run);
    snprintf(number, sizeof(number), "%u", seconds);
    if (seconds)
        screen_text(walk->screen, area.row + area.rows - 2, area.column, area.columns, STYLE_WARNING,
                    walk_format(walk, TEXT_UNATTENDED_COUNT, number, NULL, NULL, NULL));
    screen_update(walk->screen);
}

static void show_ended(struct job_view *view, const struct job_run *run)
{
    struct walk_unattended *unattended = of_view(view);
    struct walk *walk = &unattended->walk;
    struct area area = walk_area(walk);
    char path[COMMAND_LINE_MAX];

    if (run->record.ran) {
        begin_page(unattended, TEXT_UNATTENDED_TITLE, run);
        area.row = result_draw(walk, area) + 1;
        unsigned below = walk->screen->rows - 5;
        result_draw_messages(walk, area, below > area.row + 1 ? below - area.row - 1 : 0);
    } else {
        show_state(unattended, run);
    }
    area.row = walk->screen->rows - 5;
    if (run->reported && run->report[0]) {
        report_path(run->rules->report, run->report, ".txt", path, sizeof(path));
        sentence(walk, &area, STYLE_TEXT, walk_format(walk, TEXT_RESULT_REPORT, path, NULL, NULL, NULL));
    } else if (run->state != JOB_STATE_ALREADY && *run->rules->report) {
        sentence(walk, &area, STYLE_DANGER,
                 walk_format(walk, TEXT_RESULT_NO_REPORT, run->rules->report, NULL, NULL, NULL));
    }
    screen_update(walk->screen);
}

static enum exit_code run_work(struct session_viewer *viewer, struct session *session, struct session_work *work,
                               struct job_result *result)
{
    struct walk_unattended *unattended = of_viewer(viewer);

    (void)session;
    enum exit_code code = work_run(&unattended->walk, work, &unattended->walk.result);
    unattended->walk.kind = work->plan.kind;
    *result = unattended->walk.result;
    return code;
}

/* --- --- */

int walk_unattended_open(struct session *session, struct screen *screen, struct walk_setup *setup,
                         struct walk_unattended **opened)
{
    struct walk_unattended *unattended = platform_allocate_zeroed(session->loop->platform, sizeof(*unattended));

    if (!unattended)
        return -ERROR_NO_MEMORY;
    unattended->view = (struct job_view){show_decided, show_countdown, show_ended};
    unattended->viewer.run = run_work;
    unattended->walk =
        (struct walk){.session = session, .screen = screen, .setup = setup, .code = &unattended->code, .steps = 1};
    session->viewer = &unattended->viewer;
    *opened = unattended;
    return 0;
}

struct job_view *walk_unattended_view(struct walk_unattended *unattended)
{
    return &unattended->view;
}

void walk_unattended_close(struct walk_unattended *unattended, bool wait)
{
    static const struct walk_key keys[] = {{"Enter", TEXT_KEY_GO_ON}, {NULL, 0}};
    struct walk *walk = &unattended->walk;
    struct key key;

    walk->session->viewer = NULL;
    if (wait && unattended->shown) {
        screen_drop_keys(walk->screen);
        walk_keys(walk, keys);
        screen_update(walk->screen);
        screen_wait_key(walk->screen, &key, UINT64_MAX);
    }
    platform_release(walk->session->loop->platform, unattended);
}
