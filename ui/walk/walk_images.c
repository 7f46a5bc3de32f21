/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Choosing an image among the files of a volume. */
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/walk_internal.h"

/* What the list shows: the way up (unless at the root), folders, images. */
struct browsing {
    struct walk *walk;
    struct session_file_list files;
    unsigned *shown; /* indexes into files */
    unsigned count;
    bool has_up;
};

/* An image in several files is named without the number of its first. */
static bool is_image(const struct filesystem_file *file)
{
    return walk_ends_with(file->name, ".eid") || walk_ends_with(file->name, ".eid.001");
}

static const struct filesystem_file *file_at(const struct browsing *browsing, unsigned item)
{
    if (browsing->has_up && item == 0)
        return NULL;
    return &browsing->files.files[browsing->shown[item - browsing->has_up]];
}

static void file_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    const struct browsing *browsing = list->context;
    const struct filesystem_file *file = file_at(browsing, item);
    char size[SIZE_TEXT_MAX];
    struct calendar date;

    if (!file) {
        snprintf(text, LIST_CELL_MAX, "%s", column ? "" : walk_text(browsing->walk, TEXT_IMAGE_UP));
        return;
    }
    switch (column) {
    case 0:
        snprintf(text, LIST_CELL_MAX, "%.*s", LIST_CELL_MAX - 1, file->name);
        break;
    case 1:
        if (file->is_folder)
            snprintf(text, LIST_CELL_MAX, "%s", walk_text(browsing->walk, TEXT_KIND_FOLDER));
        else if (file->bytes != UINT64_MAX)
            snprintf(text, LIST_CELL_MAX, "%s", size_text(file->bytes, size));
        break;
    default:
        if (file->modified < 0)
            break;
        calendar_of(file->modified, &date);
        snprintf(text, LIST_CELL_MAX, "%04d-%02d-%02d %02d:%02d", date.year, date.month, date.day, date.hour,
                 date.minute);
        break;
    }
}

static int look_into(struct browsing *browsing, struct error *error)
{
    struct walk *walk = browsing->walk;
    struct platform *platform = walk->session->loop->platform;

    session_files_free(&browsing->files);
    platform_release(platform, browsing->shown);
    browsing->shown = NULL;
    browsing->count = 0;
    browsing->has_up = walk->folder[0] != 0;
    int status = session_files(walk->session, walk->volume, walk->folder, &browsing->files, error);
    if (status)
        return status;
    browsing->shown = platform_allocate(platform, (browsing->files.count + 1) * sizeof(*browsing->shown));
    if (!browsing->shown)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for a folder");
    for (size_t i = 0; i < browsing->files.count; i++)
        if (browsing->files.files[i].is_folder || is_image(&browsing->files.files[i]))
            browsing->shown[browsing->count++] = (unsigned)i;
    return 0;
}

/* error->code is 0 when it went well. */
static void read_folder(struct browsing *browsing, struct error *error)
{
    memset(error, 0, sizeof(*error));
    if (look_into(browsing, error) == 0)
        memset(error, 0, sizeof(*error)); /* what was tried on the way there does not count */
}

/* The folder above; at the root nothing. */
static void go_up(struct walk *walk)
{
    char *slash = strrchr(walk->folder, '/');

    *(slash ? slash : walk->folder) = 0;
}

static bool go_down(struct walk *walk, const char *name)
{
    size_t used = strlen(walk->folder);
    int length = snprintf(walk->folder + used, sizeof(walk->folder) - used, "%s%s", used ? "/" : "", name);

    if (length > 0 && (size_t)length < sizeof(walk->folder) - used)
        return true;
    walk->folder[used] = 0;
    return false;
}

static void take(struct walk *walk, const struct filesystem_file *file)
{
    snprintf(walk->file, sizeof(walk->file), "%s", file->name);
    if (walk_ends_with(walk->file, ".001"))
        walk->file[strlen(walk->file) - strlen(".001")] = 0;
}

static void draw(const struct browsing *browsing, struct list *list, const struct error *error)
{
    static const struct walk_key keys[] = {{"Enter", TEXT_KEY_CHOOSE},
                                           {"F5", TEXT_KEY_LOOK_AGAIN},
                                           {"Esc", TEXT_KEY_BACK},
                                           {"F1", TEXT_KEY_HELP},
                                           {NULL, 0}};
    struct walk *walk = browsing->walk;
    struct area area = walk_area(walk);
    char name[COMMAND_LINE_MAX];

    walk_page(walk, TEXT_IMAGE_QUESTION, keys);
    if (session_image_name(walk->session, walk->volume, walk->folder, "", name, sizeof(name)))
        screen_text(walk->screen, area.row, area.column, area.columns, STYLE_STRONG, name);
    area.row += 2;
    area.rows -= 2;
    if (browsing->files.is_cut)
        screen_text(walk->screen, area.row + --area.rows, area.column, area.columns, STYLE_WARNING,
                    walk_text(walk, TEXT_IMAGES_CUT));
    if (list->count)
        list_draw(list, walk->screen, area);
    if (error->code) {
        char text[SENTENCE_MAX];
        screen_paragraph(walk->screen, area.row + 2, area.column, area.columns, 4, 0, STYLE_WARNING,
                         walk_format(walk, TEXT_FOLDER_UNREADABLE,
                                     error_sentence_in(walk->setup->language, error, text), NULL, NULL, NULL));
    } else if (!browsing->count) {
        screen_text(walk->screen, area.row + 2, area.column, area.columns, STYLE_WARNING,
                    walk_text(walk, TEXT_IMAGE_NONE));
    }
}

/* "pc.eid" beside "pc.eid.001": the first volume would be opened by the name of the other image, which is another one. */
static bool has_twin(struct browsing *browsing, const struct filesystem_file *file)
{
    size_t length = strlen(file->name);

    if (!walk_ends_with(file->name, ".001"))
        return false;
    length -= strlen(".001");
    for (size_t i = 0; i < browsing->count; i++) {
        const struct filesystem_file *other = file_at(browsing, (unsigned)i + browsing->has_up);
        if (other && strlen(other->name) == length && strncmp(other->name, file->name, length) == 0) {
            walk_say(browsing->walk, TEXT_IMAGE_QUESTION,
                     walk_format(browsing->walk, TEXT_IMAGE_TWIN, other->name, NULL, NULL, NULL));
            return true;
        }
    }
    return false;
}

/* true: an image was taken. */
static bool enter(struct browsing *browsing, struct list *list, struct error *error)
{
    const struct filesystem_file *file = file_at(browsing, list->selected);

    if (file && !file->is_folder && has_twin(browsing, file))
        return false;
    if (file && !file->is_folder) {
        take(browsing->walk, file);
        return true;
    }
    if (!file)
        go_up(browsing->walk);
    else if (!go_down(browsing->walk, file->name))
        return false;
    read_folder(browsing, error);
    list->selected = 0;
    return false;
}

enum walk_step walk_choose_image(struct walk *walk)
{
    struct browsing browsing = {.walk = walk};
    struct list list = {.text = file_text, .context = &browsing, .column_count = 3};
    struct error error = {0};
    enum walk_step step = STEP_START;

    walk->file[0] = 0;
    walk_wait(walk, TEXT_WAIT_MOMENT);
    read_folder(&browsing, &error);
    while (step == STEP_START) {
        struct list_column columns[3] = {{walk_text(walk, TEXT_COLUMN_NAME), 0, false},
                                         {walk_text(walk, TEXT_COLUMN_SIZE), 9, true},
                                         {walk_text(walk, TEXT_COLUMN_DATE), 16, false}};
        memcpy(list.columns, columns, sizeof(columns));
        list.count = browsing.count + browsing.has_up;
        draw(&browsing, &list, &error);
        struct key key = walk_key(walk, TEXT_HELP_IMAGE);
        if (key.code == KEY_ESCAPE || key.code == KEY_INTERRUPT)
            step = STEP_BACK;
        else if (key.code == KEY_F5)
            read_folder(&browsing, &error);
        else if (key.code == KEY_ENTER && list.count && enter(&browsing, &list, &error))
            step = STEP_NEXT;
        else
            list_key(&list, &key);
    }
    session_files_free(&browsing.files);
    platform_release(walk->session->loop->platform, browsing.shown);
    return step;
}
