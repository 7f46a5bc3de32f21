/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first screen, and the ways that lead on from it. */
#include <stdio.h>
#include <string.h>

#include "ui/walk/walk_internal.h"

#define WAY_MAX 8

struct way {
    enum walk_step (*steps[WAY_MAX])(struct walk *walk);
    unsigned count;
};

static const struct way ways[] = {
    [TASK_SAVE] = {{walk_choose_source, walk_choose_place, walk_choose_options, walk_show_plan, walk_do_work,
                    walk_show_result},
                   6},
    [TASK_RESTORE] = {{walk_choose_volume, walk_choose_image, walk_choose_target, walk_choose_options, walk_show_plan,
                       walk_do_work, walk_show_result},
                      7},
    [TASK_CLONE] = {{walk_choose_source, walk_choose_target, walk_choose_options, walk_show_plan, walk_do_work,
                     walk_show_result},
                    6},
    [TASK_CHECK] = {{walk_choose_volume, walk_choose_image, walk_show_plan, walk_do_work, walk_show_result}, 5},
    [TASK_LOOK] = {{walk_look}, 1},
};

/* What was chosen is forgotten, so that nothing of one task slips into the next. */
static void begin(struct walk *walk, enum walk_task task)
{
    walk->task = task;
    memset(&walk->source, 0, sizeof(walk->source));
    memset(&walk->target, 0, sizeof(walk->target));
    walk->volume[0] = walk->folder[0] = walk->file[0] = 0;
    text_field_set(&walk->name, "");
    walk->name_proposed = false;
    walk->report[0] = 0;
    walk->level = walk->no_verify = walk->split = walk->salvage = walk->raw = walk->discard = walk->resume = 0;
}

static void go(struct walk *walk, enum walk_task task)
{
    const struct way *way = &ways[task];
    unsigned step = 0;

    begin(walk, task);
    walk->steps = way->count;
    while (step < way->count && !walk->leave) {
        walk->step = step + 1;
        enum walk_step next = way->steps[step](walk);
        if (next == STEP_NEXT)
            step++;
        else if (next == STEP_START || !step)
            break;
        else
            step--;
    }
    session_work_close(walk->session, &walk->work);
    walk_forget_record(walk);
    walk->step = 0;
}

/* --- the first screen --- */

enum start_item {
    START_SAVE,
    START_RESTORE,
    START_CLONE,
    START_CHECK,
    START_LOOK,
    START_PROMPT,
    START_REBOOT,
    START_POWER_OFF,
    START_LEAVE,
    START_COUNT
};

static const struct {
    enum text_id text, hint;
    char letter; /* the same in every language: it is on every keyboard */
} start_items[START_COUNT] = {
    [START_SAVE] = {TEXT_START_SAVE, TEXT_START_SAVE_HINT, 's'},
    [START_RESTORE] = {TEXT_START_RESTORE, TEXT_START_RESTORE_HINT, 'r'},
    [START_CLONE] = {TEXT_START_CLONE, TEXT_START_CLONE_HINT, 'c'},
    [START_CHECK] = {TEXT_START_CHECK, TEXT_START_CHECK_HINT, 'v'},
    [START_LOOK] = {TEXT_START_LOOK, TEXT_START_LOOK_HINT, 'd'},
    [START_PROMPT] = {TEXT_START_PROMPT, TEXT_START_PROMPT_HINT, 'p'},
    [START_REBOOT] = {TEXT_START_REBOOT, TEXT_COUNT, 0},
    [START_POWER_OFF] = {TEXT_START_POWER_OFF, TEXT_COUNT, 0},
    [START_LEAVE] = {TEXT_START_LEAVE, TEXT_COUNT, 'q'},
};

struct start {
    struct walk *walk;
    enum start_item items[START_COUNT];
    unsigned count;
};

static void start_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    const struct start *start = list->context;
    char letter = start_items[start->items[item]].letter;

    if (column == 0)
        snprintf(text, LIST_CELL_MAX, "%c", letter ? letter - 'a' + 'A' : ' ');
    else
        snprintf(text, LIST_CELL_MAX, "%s", walk_text(start->walk, start_items[start->items[item]].text));
}

static void find_items(struct start *start)
{
    const struct walk_setup *setup = start->walk->setup;

    start->count = 0;
    for (unsigned i = 0; i < START_COUNT; i++) {
        bool power = i == START_REBOOT || i == START_POWER_OFF;
        if ((!power || setup->has_power) && (i != START_PROMPT || setup->has_prompt))
            start->items[start->count++] = (enum start_item)i;
    }
}

static void leave(struct walk *walk, enum walk_end end)
{
    walk->leave = true;
    walk->end = end;
}

static void obey(struct walk *walk, enum start_item item)
{
    switch (item) {
    case START_PROMPT:
        leave(walk, WALK_PROMPT);
        break;
    case START_REBOOT:
        leave(walk, WALK_REBOOT);
        break;
    case START_POWER_OFF:
        leave(walk, WALK_POWER_OFF);
        break;
    case START_LEAVE:
        leave(walk, WALK_LEAVE);
        break;
    default:
        go(walk, (enum walk_task)(TASK_SAVE + (item - START_SAVE)));
        break;
    }
}

/* --- languages --- */

static void choose_language(struct walk *walk)
{
    const char *names[8];
    const struct language *offered[8];
    unsigned count = 0;

    for (unsigned i = 0; i < language_count && count < 8; i++) {
        /* A console that cannot show it would show question marks. */
        if (!screen_can_show(walk->screen, languages[i]->name))
            continue;
        offered[count] = languages[i];
        names[count++] = languages[i]->name;
    }
    int choice = dialog_ask(walk->screen, walk_text(walk, TEXT_LANGUAGE_QUESTION), "", names, count);
    if (choice >= 0)
        walk->setup->language = offered[choice];
}

/* --- */

static void draw_start(struct walk *walk, struct list *list, const struct start *start)
{
    static const struct walk_key keys[] = {{"\xe2\x86\x91\xe2\x86\x93", TEXT_KEY_MOVE},
                                           {"Enter", TEXT_KEY_CHOOSE},
                                           {"F1", TEXT_KEY_HELP},
                                           {"F2", TEXT_KEY_LANGUAGE},
                                           {NULL, 0}};
    struct area area = walk_area(walk);
    enum text_id hint = start_items[start->items[list->selected]].hint;

    walk_page(walk, TEXT_START_QUESTION, keys);
    area.rows -= 3;
    list_draw(list, walk->screen, area);
    if (hint != TEXT_COUNT)
        screen_text(walk->screen, area.row + list->count + 1, area.column + 2, area.columns - 2, STYLE_DIM,
                    walk_text(walk, hint));
}

/* The item whose letter was pressed; START_COUNT: none. */
static enum start_item item_of(const struct start *start, const struct key *key)
{
    uint32_t letter = key->code == KEY_CHARACTER ? key->character | 0x20 : 0;

    for (unsigned i = 0; letter && i < start->count; i++)
        if ((uint32_t)start_items[start->items[i]].letter == letter)
            return start->items[i];
    return START_COUNT;
}

enum walk_end walk_run(struct session *session, struct screen *screen, struct walk_setup *setup, enum exit_code *code)
{
    struct platform *platform = session->loop->platform;
    struct walk *walk = platform_allocate_zeroed(platform, sizeof(*walk));
    struct start start = {.walk = walk};
    struct list list = {.columns = {{NULL, 2, false}, {NULL, 0, false}}, .column_count = 2, .text = start_text};

    *code = EXIT_CODE_OTHER;
    if (!walk)
        return WALK_PROMPT;
    *walk = (struct walk){.session = session, .screen = screen, .setup = setup, .code = code, .end = WALK_LEAVE};
    walk->disks = platform_allocate_zeroed(platform, WALK_DISKS_MAX * sizeof(*walk->disks));
    walk->volumes = platform_allocate_zeroed(platform, WALK_VOLUMES_MAX * sizeof(*walk->volumes));
    if (walk->disks && walk->volumes)
        *code = EXIT_CODE_DONE;
    else
        leave(walk, WALK_PROMPT);
    find_items(&start);
    list.count = start.count;
    list.context = &start;
    while (!walk->leave) {
        draw_start(walk, &list, &start);
        struct key key = walk_key(walk, TEXT_HELP_START);
        if (key.code == KEY_ENTER)
            obey(walk, start.items[list.selected]);
        else if (key.code == KEY_F2)
            choose_language(walk);
        else if (key.code == KEY_INTERRUPT)
            leave(walk, setup->has_prompt ? WALK_PROMPT : WALK_LEAVE);
        else if (item_of(&start, &key) != START_COUNT)
            obey(walk, item_of(&start, &key));
        else
            list_key(&list, &key);
    }
    walk_forget_disks(walk);
    enum walk_end end = walk->end;
    platform_release(platform, walk->disks);
    platform_release(platform, walk->volumes);
    platform_release(platform, walk);
    return end;
}
