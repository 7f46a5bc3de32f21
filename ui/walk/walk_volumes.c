/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Choosing the volume that an image goes to, or is on. */
#include <stdio.h>
#include <string.h>

#include "ui/walk/walk_internal.h"

#define BELOW_ROWS 4

struct places {
    struct walk *walk;
    bool for_writing;
    uint64_t likely, most; /* bytes that a new image comes to */
};

static bool will_do(const struct places *places, const struct session_volume *volume)
{
    return places->for_writing ? volume->can_write : volume->can_read;
}

static const char *verdict(const struct places *places, const struct session_volume *volume)
{
    const struct walk *walk = places->walk;

    if (!places->for_writing)
        return "";
    if (!volume->can_write)
        return walk_text(walk, TEXT_VOLUME_NOT_WRITABLE);
    if (volume->free_bytes == UINT64_MAX || volume->free_bytes >= places->most)
        return volume->free_bytes == UINT64_MAX ? "" : walk_text(walk, TEXT_VOLUME_FITS);
    return walk_text(walk, volume->free_bytes >= places->likely ? TEXT_VOLUME_TIGHT : TEXT_VOLUME_TOO_SMALL);
}

/* What verdicts take in this language; the disks' names get the rest. */
static unsigned verdict_width(const struct places *places)
{
    static const enum text_id texts[] = {TEXT_VOLUME_FITS, TEXT_VOLUME_TIGHT, TEXT_VOLUME_TOO_SMALL,
                                         TEXT_VOLUME_NOT_WRITABLE};
    unsigned most = 1;

    for (unsigned i = 0; places->for_writing && i < sizeof(texts) / sizeof(texts[0]); i++) {
        unsigned width = text_width(walk_text(places->walk, texts[i]));
        most = width > most ? width : most;
    }
    return most;
}

static void volume_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    const struct places *places = list->context;
    const struct session_volume *volume = &places->walk->volumes[item].volume;
    const struct walk_disk *disk;
    char size[SIZE_TEXT_MAX];
    const char *value = "";

    switch (column) {
    case 0:
        value = volume->is_stick ? walk_text(places->walk, TEXT_VOLUME_STICK) : volume->name;
        break;
    case 1:
        value = volume->type;
        break;
    case 2:
        value = volume->free_bytes == UINT64_MAX ? "-" : size_text(volume->free_bytes, size);
        break;
    case 3:
        value = verdict(places, volume);
        break;
    default:
        disk = walk_disk_find(places->walk, volume->disk);
        value = disk && disk->model[0] ? disk->model : volume->disk;
        break;
    }
    snprintf(text, LIST_CELL_MAX, "%s", value);
}

static enum style volume_style(const struct list *list, unsigned item)
{
    const struct places *places = list->context;

    return will_do(places, &places->walk->volumes[item].volume) ? STYLE_TEXT : STYLE_DIM;
}

/* --- the screen --- */

static void draw_below(const struct places *places, struct area area, const struct walk_volume *chosen)
{
    struct walk *walk = places->walk;
    const struct session_volume *volume = &chosen->volume;
    struct screen *screen = walk->screen;
    const struct walk_disk *disk = walk_disk_find(walk, volume->disk);
    char line[LIST_CELL_MAX * 3], number[16] = "";

    if (volume->partition)
        snprintf(number, sizeof(number), "#%u", volume->partition);
    snprintf(line, sizeof(line), "%s%s%s%s  %s", volume->disk, number, disk && disk->model[0] ? "  " : "",
             disk ? disk->model : "", volume->label);
    screen_text(screen, area.row++, area.column, area.columns, STYLE_DIM, line);
    if (!will_do(places, volume) && volume->why[0])
        screen_text(screen, area.row, area.column, area.columns, STYLE_WARNING, volume->why);
    else if (places->for_writing && chosen->is_on_source)
        screen_text(screen, area.row, area.column, area.columns, STYLE_WARNING, walk_text(walk, TEXT_VOLUME_ON_SOURCE));
    area.row++;
    if (places->for_writing)
        screen_text(
            screen, area.row, area.column, area.columns, STYLE_TEXT,
            walk_format(walk, TEXT_VOLUME_EXPECTED, walk_size(places->likely), walk_size(places->most), NULL, NULL));
}

static void draw(const struct places *places, struct list *list)
{
    static const struct walk_key keys[] = {{"Enter", TEXT_KEY_CHOOSE},
                                           {"F5", TEXT_KEY_LOOK_AGAIN},
                                           {"Esc", TEXT_KEY_BACK},
                                           {"F1", TEXT_KEY_HELP},
                                           {NULL, 0}};
    struct walk *walk = places->walk;
    struct area area = walk_area(walk), below = area;

    walk_page(walk, places->for_writing ? TEXT_VOLUME_QUESTION : TEXT_VOLUME_IMAGE_QUESTION, keys);
    if (!walk->volume_count) {
        screen_paragraph(walk->screen, area.row, area.column, area.columns, area.rows, 0, STYLE_WARNING,
                         walk_text(walk, TEXT_VOLUME_NONE));
        return;
    }
    area.rows -= BELOW_ROWS;
    list_draw(list, walk->screen, area);
    below.row += area.rows + 1;
    draw_below(places, below, &walk->volumes[list->selected]);
}

static void select_volume(const struct walk *walk, struct list *list, const char *name)
{
    list->selected = 0;
    for (unsigned i = 0; i < walk->volume_count; i++)
        if (strcmp(walk->volumes[i].volume.name, name) == 0)
            list->selected = i;
}

/* Selects the volume of that name, wherever it stands now; the first one when it is not there. `name` may be one of the list's. */
static enum walk_step find(struct walk *walk, struct list *list, const char *name)
{
    struct error error = {0};
    char selected[SESSION_VOLUME_NAME_MAX];

    snprintf(selected, sizeof(selected), "%s", name);
    walk_wait(walk, TEXT_WAIT_VOLUMES);
    if (walk_find_volumes(walk, &error) == 0) {
        select_volume(walk, list, selected);
        return STEP_NEXT;
    }
    walk_say_error(walk, TEXT_VOLUME_QUESTION, &error);
    return STEP_BACK;
}

static enum walk_step choose(struct places *places)
{
    struct walk *walk = places->walk;
    char before[SESSION_VOLUME_NAME_MAX];
    struct list list = {.text = volume_text, .style = volume_style, .context = places, .column_count = 5};

    memcpy(before, walk->volume, sizeof(before));
    walk->volume[0] = walk->folder[0] = walk->file[0] = 0;
    if (find(walk, &list, before) != STEP_NEXT)
        return STEP_BACK;
    for (;;) {
        struct list_column columns[5] = {{walk_text(walk, TEXT_COLUMN_VOLUME), 18, false},
                                         {walk_text(walk, TEXT_COLUMN_FILE_SYSTEM), 11, false},
                                         {walk_text(walk, TEXT_COLUMN_FREE), 9, true},
                                         {"", verdict_width(places), false},
                                         {walk_text(walk, TEXT_COLUMN_DISK), 0, false}};
        memcpy(list.columns, columns, sizeof(columns));
        list.count = walk->volume_count;
        draw(places, &list);
        struct key key = walk_key(walk, TEXT_HELP_VOLUME);
        if (key.code == KEY_ESCAPE || key.code == KEY_INTERRUPT)
            return STEP_BACK;
        const struct session_volume *volume = &walk->volumes[list.selected].volume;
        if (key.code == KEY_F5 && find(walk, &list, volume->name) != STEP_NEXT)
            return STEP_BACK;
        if (key.code == KEY_ENTER && walk->volume_count && will_do(places, volume)) {
            snprintf(walk->volume, sizeof(walk->volume), "%s", volume->name);
            return STEP_NEXT;
        }
        list_key(&list, &key);
    }
}

enum walk_step walk_choose_place(struct walk *walk)
{
    struct places places = {.walk = walk, .for_writing = true};

    uint64_t used = walk->source.used_bytes, most = used + walk->source.gap_bytes, ignored;
    uint64_t bytes = walk->source.bytes;
    job_expect_image(used, bytes > used ? bytes - used : 0, &places.likely, &ignored);
    job_expect_image(most, bytes > most ? bytes - most : 0, &ignored, &places.most);
    return choose(&places);
}

enum walk_step walk_choose_volume(struct walk *walk)
{
    struct places places = {.walk = walk, .for_writing = false};

    return choose(&places);
}
