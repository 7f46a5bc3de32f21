/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Choosing a disk or one of its partitions: by model, serial number, size and a map of what is on it. */
#include <stdio.h>
#include <string.h>

#include "ui/walk/walk_internal.h"

#define MAP_ROWS (PIECE_MAP_ROWS + 3) /* a line about the disk above, a blank one, one for what is wrong below */
#define PIECES_MAX 48
#define GAP_MIN (16ULL << 20) /* policy: less between partitions is alignment, not room */

enum disk_role { ROLE_SOURCE, ROLE_TARGET, ROLE_LOOK };

/* A disk screen: which disks, and what for. */
struct choosing {
    struct walk *walk;
    enum disk_role role;
};

/* --- which disks will do --- */

/* Why a disk cannot be taken; TEXT_COUNT: it can. */
static enum text_id objection(const struct choosing *choosing, const struct walk_disk *disk)
{
    const struct walk *walk = choosing->walk;

    if (choosing->role == ROLE_LOOK)
        return TEXT_COUNT;
    if (disk->survey.status)
        return TEXT_DISK_SILENT;
    if (choosing->role == ROLE_SOURCE)
        return TEXT_COUNT;
    if (disk->is_boot_stick)
        return TEXT_DISK_IS_STICK;
    if (disk->read_only)
        return TEXT_DISK_IS_READ_ONLY;
    if (walk->task == TASK_CLONE && strcmp(walk->source.disk, disk->name) == 0 && !walk->source.partition)
        return TEXT_DISK_IS_SOURCE;
    return TEXT_COUNT;
}

/* --- the list --- */

static void disk_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    const struct choosing *choosing = list->context;
    const struct walk_disk *disk = &choosing->walk->disks[item];
    char size[SIZE_TEXT_MAX];
    const char *value = "";

    switch (column) {
    case 0:
        value = disk->model[0] ? disk->model : disk->name;
        break;
    case 1:
        value = disk->serial[0] ? disk->serial : "-";
        break;
    case 2:
        value = size_text(disk->bytes, size);
        break;
    case 3:
        value = survey_bus_name(disk->bus);
        break;
    default:
        if (disk->is_boot_stick)
            value = walk_text(choosing->walk, TEXT_VOLUME_STICK);
        else if (objection(choosing, disk) != TEXT_COUNT)
            value = walk_text(choosing->walk, objection(choosing, disk));
        break;
    }
    snprintf(text, LIST_CELL_MAX, "%s", value);
}

static enum style disk_style(const struct list *list, unsigned item)
{
    const struct choosing *choosing = list->context;

    return objection(choosing, &choosing->walk->disks[item]) == TEXT_COUNT ? STYLE_TEXT : STYLE_DIM;
}

/* --- the map --- */

struct pieces {
    unsigned count, selected;
    struct map_piece pieces[PIECES_MAX];
    char names[PIECES_MAX][96];
};

static void add_piece(struct pieces *pieces, uint64_t bytes, uint64_t used, bool is_free, const char *name)
{
    unsigned i = pieces->count;

    if (i == PIECES_MAX)
        return;
    snprintf(pieces->names[i], sizeof(pieces->names[i]), "%s", name);
    pieces->pieces[i] = (struct map_piece){bytes, used, pieces->names[i], is_free};
    pieces->count++;
}

static void add_gap(const struct walk *walk, struct pieces *pieces, uint64_t from, uint64_t to)
{
    if (to > from && to - from >= GAP_MIN)
        add_piece(pieces, to - from, UINT64_MAX, true, walk_text(walk, TEXT_DISK_NOT_PARTITIONED));
}

void walk_draw_pieces(struct walk *walk, struct area area, const struct walk_disk *disk, unsigned selected)
{
    static struct pieces pieces; /* too big for the stack, and drawn at once */
    uint64_t at = 0;

    pieces.count = 0;
    pieces.selected = PIECES_MAX;
    for (unsigned i = 0; i < disk->survey.count; i++) {
        const struct survey_volume *volume = &disk->survey.volumes[i];
        const struct partition *partition = survey_partition(&disk->survey, i);
        const char *type = volume->info.type[0] ? volume->info.type
                           : partition          ? partition_type_name(&disk->survey.table, partition)
                                                : walk_text(walk, TEXT_DISK_NO_TABLE);
        char name[96], number[16] = "";
        if (partition)
            snprintf(number, sizeof(number), "#%u ", partition->number);
        snprintf(name, sizeof(name), "%s%s %s", number, type, volume->info.label);
        add_gap(walk, &pieces, at, volume->offset);
        if (i == selected)
            pieces.selected = pieces.count;
        add_piece(&pieces, volume->bytes, volume->info.used_bytes, false, name);
        at = volume->offset + volume->bytes;
    }
    if (disk->survey.count)
        add_gap(walk, &pieces, at, disk->bytes);
    piece_map_draw(walk->screen, area, pieces.pieces, pieces.count, pieces.selected);
}

static void draw_disk_name(struct walk *walk, struct area area, const struct walk_disk *disk)
{
    unsigned used = 0;

    if (disk->model[0])
        used = screen_text(walk->screen, area.row, area.column, area.columns, STYLE_STRONG, disk->model) + 2;
    screen_text(walk->screen, area.row, area.column + used, area.columns - used, STYLE_DIM, disk->name);
}

static bool has_image(const struct choosing *choosing, const struct walk_disk *disk)
{
    const struct walk *walk = choosing->walk;

    for (unsigned i = 0; choosing->role == ROLE_TARGET && walk->task == TASK_RESTORE && i < walk->volume_count; i++) {
        const struct session_volume *volume = &walk->volumes[i].volume;
        if (strcmp(volume->name, walk->volume) == 0 && strcmp(volume->disk, disk->name) == 0)
            return true;
    }
    return false;
}

static void draw_disk(const struct choosing *choosing, struct area area, const struct walk_disk *disk)
{
    struct walk *walk = choosing->walk;
    struct screen *screen = walk->screen;
    enum text_id why = objection(choosing, disk);

    draw_disk_name(walk, area, disk);
    area.row++;
    walk_draw_pieces(walk, area, disk, disk->survey.count);
    area.row += PIECE_MAP_ROWS;
    if (disk->survey.status)
        screen_text(screen, area.row, area.column, area.columns, STYLE_WARNING, walk_text(walk, TEXT_DISK_SILENT));
    else if (why != TEXT_COUNT)
        screen_text(screen, area.row, area.column, area.columns, STYLE_WARNING,
                    walk_format(walk, TEXT_DISK_NOT_A_TARGET, walk_text(walk, why), NULL, NULL, NULL));
    else if (has_image(choosing, disk))
        screen_text(screen, area.row, area.column, area.columns, STYLE_WARNING, walk_text(walk, TEXT_DISK_HAS_IMAGE));
    else if (disk->survey.half_restored)
        screen_text(screen, area.row, area.column, area.columns, STYLE_WARNING,
                    walk_text(walk, TEXT_DISK_HALF_RESTORED));
}

/* --- one of the partitions --- */

static void partition_text(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX])
{
    const struct walk_disk *disk = list->context;
    const struct survey_volume *volume = &disk->survey.volumes[item];
    const struct partition *partition = survey_partition(&disk->survey, item);
    char size[SIZE_TEXT_MAX];
    const char *value = "";

    switch (column) {
    case 0:
        snprintf(text, LIST_CELL_MAX, "#%u", volume->partition);
        return;
    case 1:
        value = size_text(volume->bytes, size);
        break;
    case 2:
        value = volume->info.type[0] ? volume->info.type : "-";
        break;
    case 3:
        value = volume->info.used_bytes == UINT64_MAX ? "-" : size_text(volume->info.used_bytes, size);
        break;
    case 4:
        value = volume->info.label[0] ? volume->info.label : partition ? partition->name : "";
        break;
    default:
        value = partition ? partition_type_name(&disk->survey.table, partition) : "";
        break;
    }
    snprintf(text, LIST_CELL_MAX, "%s", value);
}

void walk_partition_list(struct walk *walk, struct list *list, const struct walk_disk *disk)
{
    *list = (struct list){
        .count = disk->survey.count,
        .column_count = 6,
        .columns = {{"#", 4, false},
                    {walk_text(walk, TEXT_COLUMN_SIZE), 9, true},
                    {walk_text(walk, TEXT_COLUMN_FILE_SYSTEM), 11, false},
                    {walk_text(walk, TEXT_COLUMN_USED), 9, true},
                    {walk_text(walk, TEXT_COLUMN_LABEL), 16, false},
                    {"", 0, false}},
        .text = partition_text,
        .context = (void *)disk,
    };
}

static enum walk_step choose_partition(const struct choosing *choosing, const struct walk_disk *disk, unsigned *chosen)
{
    static const struct walk_key keys[] = {
        {"Enter", TEXT_KEY_CHOOSE}, {"Esc", TEXT_KEY_BACK}, {"F1", TEXT_KEY_HELP}, {NULL, 0}};
    static const struct walk_key look_keys[] = {{"Esc", TEXT_KEY_BACK}, {"F1", TEXT_KEY_HELP}, {NULL, 0}};
    struct walk *walk = choosing->walk;
    struct list list;

    walk_partition_list(walk, &list, disk);
    for (;;) {
        struct area area = walk_area(walk), map = area;
        bool look = choosing->role == ROLE_LOOK;
        walk_page(walk, look ? TEXT_DISK_LOOK_QUESTION : TEXT_PARTITION_QUESTION, look ? look_keys : keys);
        area.rows -= MAP_ROWS;
        list_draw(&list, walk->screen, area);
        map.row += area.rows + 1;
        draw_disk_name(walk, map, disk);
        map.row++;
        walk_draw_pieces(walk, map, disk, list.selected);
        struct key key = walk_key(walk, TEXT_HELP_DISK);
        if (key.code == KEY_ESCAPE || key.code == KEY_LEFT || key.code == KEY_INTERRUPT)
            return STEP_BACK;
        if (key.code == KEY_ENTER && !look) {
            *chosen = disk->survey.volumes[list.selected].partition;
            return STEP_NEXT;
        }
        list_key(&list, &key);
    }
}

/* --- the screen --- */

static void take(struct walk_choice *choice, const struct walk_disk *disk, unsigned partition)
{
    *choice = (struct walk_choice){.chosen = true,
                                   .partition = partition,
                                   .bytes = disk->bytes,
                                   .disk_bytes = disk->bytes,
                                   .table = disk->survey.table.kind,
                                   .mbr_signature = disk->survey.table.mbr_signature};
    memcpy(choice->disk_guid, disk->survey.table.disk_guid, sizeof(choice->disk_guid));
    memcpy(choice->disk, disk->name, sizeof(choice->disk));
    memcpy(choice->model, disk->model, sizeof(choice->model));
    memcpy(choice->serial, disk->serial, sizeof(choice->serial));
    choice->used_bytes = survey_used(&disk->survey, partition);
    choice->gap_bytes = partition ? 0 : survey_gaps(&disk->survey, disk->bytes);
    for (unsigned i = 0; partition && i < disk->survey.count; i++)
        if (disk->survey.volumes[i].partition == partition)
            choice->bytes = disk->survey.volumes[i].bytes;
}

static enum text_id question_of(const struct choosing *choosing)
{
    if (choosing->role == ROLE_LOOK)
        return TEXT_DISK_LOOK_QUESTION;
    if (choosing->role == ROLE_TARGET)
        return choosing->walk->task == TASK_CLONE ? TEXT_DISK_CLONE_TARGET_QUESTION : TEXT_DISK_RESTORE_QUESTION;
    return choosing->walk->task == TASK_CLONE ? TEXT_DISK_CLONE_QUESTION : TEXT_DISK_SAVE_QUESTION;
}

static void draw(const struct choosing *choosing, struct list *list)
{
    static const struct walk_key keys[] = {{"Enter", TEXT_KEY_CHOOSE},  {"\xe2\x86\x92", TEXT_KEY_PARTITION},
                                           {"F5", TEXT_KEY_LOOK_AGAIN}, {"Esc", TEXT_KEY_BACK},
                                           {"F1", TEXT_KEY_HELP},       {NULL, 0}};
    struct walk *walk = choosing->walk;
    struct area area = walk_area(walk), below = area;

    walk_page(walk, question_of(choosing), keys);
    if (!walk->disk_count) {
        screen_paragraph(walk->screen, area.row, area.column, area.columns, area.rows, 0, STYLE_WARNING,
                         walk_text(walk, TEXT_DISK_NONE));
        return;
    }
    area.rows -= MAP_ROWS;
    list_draw(list, walk->screen, area);
    below.row += area.rows + 1;
    draw_disk(choosing, below, &walk->disks[list->selected]);
}

/* Selects the disk of that name, wherever it stands now; the first one when it is not there. `name` may be one of the list's. */
static enum walk_step find(struct walk *walk, struct list *list, const char *name)
{
    struct error error = {0};
    char selected[BLOCK_NAME_MAX];

    snprintf(selected, sizeof(selected), "%s", name);
    walk_wait(walk, TEXT_WAIT_DISKS);
    if (walk_find_disks(walk, &error) == 0) {
        const struct walk_disk *disk = walk_disk_find(walk, selected);
        list->selected = disk ? (unsigned)(disk - walk->disks) : 0;
        return STEP_NEXT;
    }
    walk_say_error(walk, TEXT_DISK_LOOK_QUESTION, &error);
    return STEP_BACK;
}

/* Why the selected disk cannot be taken stands on the screen: Enter there does nothing. */
static enum walk_step take_selected(const struct choosing *choosing, const struct walk_disk *disk, bool partition_alone,
                                    struct walk_choice *choice)
{
    unsigned partition = 0;

    if (objection(choosing, disk) != TEXT_COUNT || disk->survey.status)
        return STEP_BACK;
    bool ask = partition_alone || choosing->role == ROLE_LOOK;
    if (ask && disk->survey.table.count == 0) {
        walk_say(choosing->walk, TEXT_PARTITION_QUESTION, walk_text(choosing->walk, TEXT_PARTITION_NONE));
        return STEP_BACK;
    }
    if (ask && choose_partition(choosing, disk, &partition) != STEP_NEXT)
        return STEP_BACK;
    if (choice)
        take(choice, disk, partition);
    return STEP_NEXT;
}

static enum walk_step choose(struct walk *walk, enum disk_role role, struct walk_choice *choice)
{
    struct choosing choosing = {walk, role};
    struct list list = {.text = disk_text, .style = disk_style, .context = &choosing, .column_count = 5};

    if (choice)
        choice->chosen = false;
    if (find(walk, &list, choice ? choice->disk : "") != STEP_NEXT)
        return STEP_BACK;
    for (;;) {
        /* Titles are set each time: languages and disks change. */
        struct list_column columns[5] = {{walk_text(walk, TEXT_COLUMN_MODEL), 21, false},
                                         {walk_text(walk, TEXT_COLUMN_SERIAL), 17, false},
                                         {walk_text(walk, TEXT_COLUMN_SIZE), 9, true},
                                         {walk_text(walk, TEXT_COLUMN_BUS), 5, false},
                                         {"", 0, false}};
        memcpy(list.columns, columns, sizeof(columns));
        list.count = walk->disk_count;
        draw(&choosing, &list);
        struct key key = walk_key(walk, TEXT_HELP_DISK);
        const struct walk_disk *disk = walk->disk_count ? &walk->disks[list.selected] : NULL;
        if (key.code == KEY_ESCAPE || key.code == KEY_INTERRUPT)
            return STEP_BACK;
        if (key.code == KEY_F5 && find(walk, &list, disk ? disk->name : "") != STEP_NEXT)
            return STEP_BACK;
        if (disk && (key.code == KEY_ENTER || key.code == KEY_RIGHT) &&
            take_selected(&choosing, disk, key.code == KEY_RIGHT, choice) == STEP_NEXT)
            return STEP_NEXT;
        list_key(&list, &key);
    }
}

enum walk_step walk_choose_source(struct walk *walk)
{
    walk->name_proposed = false;
    return choose(walk, ROLE_SOURCE, &walk->source);
}

enum walk_step walk_choose_target(struct walk *walk)
{
    return choose(walk, ROLE_TARGET, &walk->target);
}

enum walk_step walk_look(struct walk *walk)
{
    return choose(walk, ROLE_LOOK, NULL);
}
