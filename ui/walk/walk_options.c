/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of a task on one page, with what is right for most. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ui/walk/walk_internal.h"

#define LABEL_WIDTH 34

static bool name_is_free(struct walk *walk);

/* --- the form --- */

static void describe(const struct form *form, const struct form_field *field, unsigned choice,
                     char text[FORM_VALUE_MAX])
{
    const struct walk *walk = form->context;
    char number[16];
    const char *value;

    switch (field->id) {
    case TEXT_OPTION_LEVEL:
        snprintf(number, sizeof(number), "%u", choice);
        value = choice == 0                 ? walk_text(walk, TEXT_LEVEL_AUTO)
                : choice == 1               ? walk_text(walk, TEXT_LEVEL_FASTEST)
                : choice == WALK_LEVELS - 1 ? walk_text(walk, TEXT_LEVEL_SMALLEST)
                                            : walk_format(walk, TEXT_LEVEL_NUMBER, number, NULL, NULL, NULL);
        break;
    case TEXT_OPTION_SPLIT:
        value = choice ? walk_format(walk, TEXT_SPLIT_SIZE, walk_size(walk_split_bytes(choice)), NULL, NULL, NULL)
                       : walk_text(walk, TEXT_SPLIT_NONE);
        break;
    case TEXT_OPTION_VERIFY: /* the option of the grammar is "not" */
        value = walk_text(walk, choice ? TEXT_NO : TEXT_YES);
        break;
    default:
        value = walk_text(walk, choice ? TEXT_YES : TEXT_NO);
        break;
    }
    snprintf(text, FORM_VALUE_MAX, "%s", value);
}

static void add(struct walk *walk, struct form *form, enum text_id label, enum text_id hint, unsigned *value,
                unsigned count)
{
    form->fields[form->count++] = (struct form_field){.label = walk_text(walk, label),
                                                      .hint = walk_text(walk, hint),
                                                      .value = value,
                                                      .count = count,
                                                      .id = (int)label};
}

static void make_form(struct walk *walk, struct form *form)
{
    bool save = walk->task == TASK_SAVE, writes_disk = walk->task == TASK_RESTORE || walk->task == TASK_CLONE;

    form->count = 0;
    form->describe = describe;
    form->context = walk;
    add(walk, form, TEXT_OPTION_GO_ON, TEXT_OPTION_GO_ON_HINT, NULL, 0);
    if (save) {
        add(walk, form, TEXT_OPTION_NAME, TEXT_OPTION_NAME_HINT, NULL, 0);
        form->fields[form->count - 1].input = &walk->name;
        add(walk, form, TEXT_OPTION_LEVEL, TEXT_OPTION_LEVEL_HINT, &walk->level, WALK_LEVELS);
    }
    add(walk, form, TEXT_OPTION_VERIFY, TEXT_OPTION_VERIFY_HINT, &walk->no_verify, 2);
    if (save)
        add(walk, form, TEXT_OPTION_SPLIT, TEXT_OPTION_SPLIT_HINT, &walk->split, WALK_SPLITS);
    add(walk, form, TEXT_OPTION_SALVAGE, TEXT_OPTION_SALVAGE_HINT, &walk->salvage, 2);
    if (!writes_disk || walk->task == TASK_CLONE)
        add(walk, form, TEXT_OPTION_RAW, TEXT_OPTION_RAW_HINT, &walk->raw, 2);
    if (writes_disk)
        add(walk, form, TEXT_OPTION_DISCARD, TEXT_OPTION_DISCARD_HINT, &walk->discard, 2);
    if (walk->task == TASK_RESTORE || save)
        add(walk, form, TEXT_OPTION_CONTINUE, TEXT_OPTION_CONTINUE_HINT, &walk->resume, 2);
}

/* --- the name --- */

/* What is wrong with the name; TEXT_COUNT: nothing. */
static enum text_id objection(struct walk *walk)
{
    if (walk->task != TASK_SAVE)
        return TEXT_COUNT;
    if (!walk->name.text[strspn(walk->name.text, " .")])
        return TEXT_NAME_EMPTY;
    if (strpbrk(walk->name.text, "\\/:*?\"<>|#{}"))
        return TEXT_NAME_NOT_ALLOWED;
    return walk->resume || name_is_free(walk) ? TEXT_COUNT : TEXT_NAME_EXISTS;
}

struct looking {
    const char *name;
    bool found;
};

/* A name counts as taken in any letter case, and as an image in several files. */
static bool same_name(void *context, const struct filesystem_file *file)
{
    struct looking *looking = context;
    size_t length = strlen(looking->name);

    if (strncasecmp(looking->name, file->name, length) != 0)
        return true;
    looking->found = !file->name[length] || strcmp(file->name + length, ".001") == 0;
    return !looking->found;
}

static bool name_is_free(struct walk *walk)
{
    struct looking looking = {.name = walk->name.text};

    /* A folder that cannot be listed says no; opening the image will say the rest. */
    walk->session->ops->list_files(walk->session, walk->volume, walk->folder, same_name, &looking, NULL);
    return !looking.found;
}

/* The first of "name.eid", "name-2.eid", ... that is not there yet. */
static void propose(struct walk *walk)
{
    char stem[TEXT_FIELD_MAX];

    if (walk->task != TASK_SAVE || walk->name_proposed)
        return;
    walk_propose_name(walk);
    size_t length = strlen(walk->name.text) - strlen(".eid");
    snprintf(stem, sizeof(stem), "%.*s", (int)length, walk->name.text);
    for (unsigned number = 2; number < 100 && !name_is_free(walk); number++) {
        char name[TEXT_FIELD_MAX + 16];
        snprintf(name, sizeof(name), "%s-%u.eid", stem, number);
        text_field_set(&walk->name, name);
    }
}

/* --- the screen --- */

static void draw(struct walk *walk, struct form *form, enum text_id wrong)
{
    static const struct walk_key keys[] = {{"Enter", TEXT_KEY_GO_ON},
                                           {"\xe2\x86\x90\xe2\x86\x92", TEXT_KEY_CHANGE},
                                           {"\xe2\x86\x91\xe2\x86\x93", TEXT_KEY_MOVE},
                                           {"Esc", TEXT_KEY_BACK},
                                           {"F1", TEXT_KEY_HELP},
                                           {NULL, 0}};
    struct area area = walk_area(walk);

    make_form(walk, form);
    walk_page(walk, TEXT_OPTIONS_QUESTION, keys);
    form_draw(form, walk->screen, area, LABEL_WIDTH);
    screen_text(walk->screen, area.row + form->count + 1, area.column + 2, area.columns - 2, STYLE_DIM,
                form->fields[form->selected].hint);
    if (wrong != TEXT_COUNT)
        screen_text(walk->screen, area.row + form->count + 3, area.column + 2, area.columns - 2, STYLE_WARNING,
                    walk_text(walk, wrong));
}

enum walk_step walk_choose_options(struct walk *walk)
{
    struct form form = {0};
    enum text_id wrong = TEXT_COUNT;

    propose(walk);
    for (;;) {
        draw(walk, &form, wrong);
        struct key key = walk_key(walk, TEXT_HELP_OPTIONS);
        if (key.code == KEY_ESCAPE || key.code == KEY_INTERRUPT)
            return STEP_BACK;
        if (key.code == KEY_ENTER || key.code == KEY_F10) {
            if (walk->task == TASK_SAVE && walk->name.text[0] && !walk_ends_with(walk->name.text, ".eid") &&
                strlen(walk->name.text) + sizeof(".eid") < TEXT_FIELD_MAX)
                strcat(walk->name.text, ".eid");
            wrong = objection(walk);
            if (wrong == TEXT_COUNT)
                return STEP_NEXT;
        } else if (form_key(&form, &key)) {
            wrong = TEXT_COUNT;
        }
    }
}
