/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plan in plain sentences, and the agreement to it. */
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/walk_internal.h"

#define LINES_MAX (2 * PARTITION_MAX + MESSAGE_LIST_MAX + 32) /* what there can be */
#define LINE_MAX SENTENCE_MAX

/* What the plan says, sentence by sentence. */
struct sentences {
    struct walk *walk;
    unsigned count;
    struct {
        enum style style;
        unsigned indent;
        char text[LINE_MAX];
    } items[LINES_MAX];
};

static void say(struct sentences *plan, enum style style, unsigned indent, const char *text)
{
    if (plan->count == LINES_MAX)
        return;
    plan->items[plan->count].style = style;
    plan->items[plan->count].indent = indent;
    snprintf(plan->items[plan->count].text, LINE_MAX, "%s", text);
    plan->count++;
}

/* A blank line, where there is room for it. */
static void say_gap(struct sentences *plan)
{
    say(plan, STYLE_TEXT, 0, "");
}

static void say_id(struct sentences *plan, enum style style, enum text_id id)
{
    say(plan, style, 0, walk_text(plan->walk, id));
}

/* --- the two ends --- */

static void say_disk(struct sentences *plan, const struct job_end *end, enum style style, enum text_id whole,
                     enum text_id partition)
{
    struct walk *walk = plan->walk;
    const struct block_device *disk = end->disk;
    char name[BLOCK_TEXT_MAX + BLOCK_NAME_MAX], number[16];

    snprintf(name, sizeof(name), "%s", disk->model[0] ? disk->model : disk->name);
    snprintf(number, sizeof(number), "#%u", end->partition);
    say(plan, style, 0,
        walk_format(walk, end->partition ? partition : whole, name, walk_serial(walk, disk->serial),
                    walk_size(block_device_bytes(disk)), number));
}

static void say_image(struct sentences *plan, const struct plan *made)
{
    struct walk *walk = plan->walk;
    const struct image_description *image = &made->description;
    const struct job_end *end = &made->request.source;
    char date[32], number[16];
    struct calendar when;

    snprintf(date, sizeof(date), "%s", walk_text(walk, TEXT_UNKNOWN));
    if (image->created >= 0) {
        calendar_of(image->created, &when);
        snprintf(date, sizeof(date), "%04d-%02d-%02d %02d:%02d", when.year, when.month, when.day, when.hour,
                 when.minute);
    }
    snprintf(number, sizeof(number), "#%u", end->partition);
    say(plan, STYLE_TEXT, 0,
        walk_format(walk, end->partition ? TEXT_PLAN_READ_IMAGE_PARTITION : TEXT_PLAN_READ_IMAGE, end->store->name,
                    image->model[0] ? image->model : walk_text(walk, TEXT_UNKNOWN), walk_serial(walk, image->serial),
                    end->partition ? number : date));
}

static void say_regions(struct sentences *plan, const struct plan *made)
{
    char line[LINE_MAX], size[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX];

    for (unsigned i = 0; i < made->description.region_count; i++) {
        const struct image_region *region = &made->description.regions[i];
        bool skipped = made->request.source.partition && region->partition != made->request.source.partition;
        if (!region->partition || skipped)
            continue;
        snprintf(line, sizeof(line), "#%u  %s  %s  %s %s  %s", region->partition, size_text(region->bytes, size),
                 region->fs_type[0] ? region->fs_type : "-", walk_text(plan->walk, TEXT_COLUMN_USED),
                 size_text(region->used_bytes, used), region->fs_label);
        say(plan, STYLE_DIM, 4, line);
    }
}

/* --- what is lost --- */

static void say_erased(struct sentences *plan, const struct plan *made)
{
    const struct partition_table *table = &made->target_table;
    const struct walk_disk *disk = walk_disk_find(plan->walk, made->request.target.disk->name);
    unsigned only = made->request.target.partition;
    char line[LINE_MAX], size[SIZE_TEXT_MAX];

    say_id(plan, STYLE_DANGER, only ? TEXT_PLAN_ERASE_PARTITION : TEXT_PLAN_ERASE);
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *partition = &table->partitions[i];
        const struct filesystem_info *info = NULL;
        if (only && only != partition->number)
            continue;
        for (unsigned v = 0; disk && v < disk->survey.count; v++)
            if (disk->survey.volumes[v].partition == partition->number)
                info = &disk->survey.volumes[v].info;
        snprintf(line, sizeof(line), "#%u  %s  %s  %s  %s", partition->number,
                 size_text(partition->block_count * table->logical_block, size), info ? info->type : "",
                 info && info->label[0] ? info->label : partition->name, partition_type_name(table, partition));
        say(plan, STYLE_STRONG, 4, line);
    }
    if (table->count)
        return;
    const struct survey_volume *whole = disk && disk->survey.count == 1 ? &disk->survey.volumes[0] : NULL;
    if (whole && !whole->partition && whole->info.type[0]) /* a file system without a table */
        snprintf(line, sizeof(line), "%s  %s  %s", size_text(whole->bytes, size), whole->info.type, whole->info.label);
    else
        snprintf(line, sizeof(line), "%s", walk_text(plan->walk, TEXT_PLAN_ERASE_UNKNOWN));
    say(plan, STYLE_STRONG, 4, line);
}

/* --- all of it --- */

static void say_amounts(struct sentences *plan, const struct plan *made)
{
    struct walk *walk = plan->walk;

    if (made->kind == JOB_VERIFY)
        say(plan, STYLE_TEXT, 0,
            walk_format(walk, TEXT_PLAN_AMOUNT_CHECKED, walk_size(made->used_bytes), NULL, NULL, NULL));
    else
        say(plan, STYLE_TEXT, 0,
            walk_format(walk, TEXT_PLAN_AMOUNT, walk_size(made->used_bytes), walk_size(made->skipped_bytes), NULL,
                        NULL));
    if (made->kind != JOB_CAPTURE)
        return;
    say(plan, STYLE_TEXT, 0,
        walk_format(walk, TEXT_PLAN_SPACE, walk_size(made->likely_image_bytes), walk_size(made->expected_image_bytes),
                    made->free_bytes == UINT64_MAX ? "?" : walk_size(made->free_bytes), NULL));
    if (made->volume_bytes)
        say(plan, STYLE_TEXT, 0, walk_format(walk, TEXT_PLAN_SPLIT, walk_size(made->volume_bytes), NULL, NULL, NULL));
}

static void say_messages(struct sentences *plan, const struct plan *made, bool refusals)
{
    char text[SENTENCE_MAX];
    bool titled = refusals; /* the page's question says it */

    for (unsigned i = 0; i < made->messages.count; i++) {
        const struct message *message = &made->messages.items[i];
        if ((message->level == MESSAGE_REFUSAL) != refusals)
            continue;
        if (!titled) {
            say_gap(plan);
            say_id(plan, STYLE_STRONG, TEXT_PLAN_REMARKS);
        }
        titled = true;
        say(plan, message->level == MESSAGE_INFO ? STYLE_TEXT : STYLE_WARNING, 2,
            message_sentence_in(plan->walk->setup->language, message, text));
    }
}

static const struct block_device *whole_disk(const struct block_device *device)
{
    while (device && device->parent)
        device = device->parent;
    return device;
}

/* On another partition of the disk, or what is saved would change under the capture, which is refused. */
static bool image_is_on_source(const struct job_request *request)
{
    const struct block_device *source = whole_disk(request->source.disk);
    const struct block_device *place = request->target.store ? whole_disk(request->target.store->disk) : NULL;

    return place && source && (place == source || strcmp(place->name, source->name) == 0);
}

static void write_plan(struct sentences *plan, const struct plan *made)
{
    const struct job_request *request = &made->request;

    plan->count = 0;
    if (made->refused) {
        say_messages(plan, made, true);
        return;
    }
    /* What is lost stands first: an image of many partitions must not push it off the page, and the agreement stay there. */
    if (made->destroys) {
        say_disk(plan, &request->target, STYLE_STRONG, TEXT_PLAN_WRITE_DISK, TEXT_PLAN_WRITE_PARTITION);
        say_erased(plan, made);
        say_gap(plan);
    }
    if (request->source.disk)
        say_disk(plan, &request->source, STYLE_TEXT, TEXT_PLAN_READ_DISK, TEXT_PLAN_READ_PARTITION);
    else
        say_image(plan, made);
    say_regions(plan, made);
    say_amounts(plan, made);
    if (!made->destroys)
        say_gap(plan);
    if (request->target.store)
        say(plan, STYLE_TEXT, 0,
            walk_format(plan->walk, TEXT_PLAN_WRITE_IMAGE, request->target.store->name, NULL, NULL, NULL));
    if (request->target.disk && !made->destroys)
        say_disk(plan, &request->target, STYLE_TEXT, TEXT_PLAN_COMPARED_DISK, TEXT_PLAN_COMPARED_DISK);
    say_gap(plan);
    if (made->kind == JOB_CAPTURE)
        say_id(plan, STYLE_TEXT, image_is_on_source(request) ? TEXT_PLAN_SOURCE_HOLDS : TEXT_PLAN_SOURCE_SAFE);
    if (made->kind != JOB_VERIFY)
        say_id(plan, request->options.no_verify ? STYLE_WARNING : STYLE_TEXT,
               request->options.no_verify ? TEXT_PLAN_NO_READ_BACK : TEXT_PLAN_READ_BACK);
    if (made->destroys)
        say_id(plan, STYLE_TEXT, request->target.partition ? TEXT_PLAN_CUT_OFF_PARTITION : TEXT_PLAN_CUT_OFF);
    say_messages(plan, made, false);
}

static unsigned lines_of(const struct sentences *plan, unsigned i, unsigned columns)
{
    return screen_paragraph(plan->walk->screen, 0, 0, columns - plan->items[i].indent, 0, 0, STYLE_TEXT,
                            plan->items[i].text);
}

/* Without blank ones. */
static unsigned count_lines(const struct sentences *plan, struct area area)
{
    unsigned lines = 0;

    for (unsigned i = 0; i < plan->count; i++)
        lines += plan->items[i].text[0] ? lines_of(plan, i, area.columns) : 0;
    return lines;
}

/* Draws the sentences from line `skip` on; returns how many lines there are in all. */
static unsigned draw_sentences(const struct sentences *plan, struct area area, unsigned skip)
{
    struct screen *screen = plan->walk->screen;
    unsigned line = 0, needed = count_lines(plan, area), spare = needed < area.rows ? area.rows - needed : 0;

    for (unsigned i = 0; i < plan->count; i++) {
        if (!plan->items[i].text[0]) {
            line += spare ? 1 : 0;
            spare -= spare ? 1 : 0;
            continue;
        }
        unsigned width = area.columns - plan->items[i].indent, column = area.column + plan->items[i].indent;
        unsigned lines = lines_of(plan, i, area.columns);
        unsigned hidden = skip > line ? skip - line : 0, at = line > skip ? line - skip : 0;
        if (hidden < lines && at < area.rows)
            screen_paragraph(screen, area.row + at, column, width, area.rows - at, hidden, plan->items[i].style,
                             plan->items[i].text);
        line += lines;
    }
    return line;
}

/* --- the screen --- */

struct plan_page {
    struct sentences *plan;
    const char *expected; /* what must be typed; NULL: nothing */
    struct text_field typed;
    unsigned skip, lines, room; /* of its lines: left out above; all; shown at once */
    bool refused, wrong;
};

#define TYPED_WIDTH 6

static const char *agreement_text(const struct plan_page *page)
{
    struct walk *walk = page->plan->walk;

    return walk_text(walk, strcmp(page->expected, "yes") != 0 ? TEXT_PLAN_TYPE_SERIAL
                           : walk->work.plan.destroys         ? TEXT_PLAN_TYPE_YES_ERASE
                                                              : TEXT_PLAN_TYPE_YES);
}

/* Above a blank line: what was wrong, the question, and the field behind it or below it. Returns the rows that all of it takes. */
static unsigned draw_agreement(const struct plan_page *page, struct area area)
{
    struct walk *walk = page->plan->walk;
    struct screen *screen = walk->screen;
    const char *question = agreement_text(page);
    unsigned cells = text_width(question);
    bool below = cells + 1 + TYPED_WIDTH > area.columns;
    unsigned row = area.row + area.rows - (below ? 3 : 2);

    screen_text(screen, row - 1, area.column, area.columns, STYLE_WARNING,
                page->wrong ? walk_text(walk, TEXT_PLAN_NOT_TYPED) : "");
    screen_text(screen, row, area.column, area.columns, STYLE_STRONG, question);
    text_field_draw(&page->typed, screen, row + below, area.column + (below ? 0 : cells + 1), TYPED_WIDTH, true);
    return below ? 4 : 3;
}

static void draw(struct plan_page *page)
{
    static const struct walk_key keys[] = {{"Enter", TEXT_KEY_START},
                                           {"\xe2\x86\x91\xe2\x86\x93", TEXT_KEY_SCROLL},
                                           {"Esc", TEXT_KEY_BACK},
                                           {"F1", TEXT_KEY_HELP},
                                           {NULL, 0}};
    struct walk *walk = page->plan->walk;
    struct area area = walk_area(walk), text = area;

    walk_page(walk, page->refused ? TEXT_PLAN_REFUSED : TEXT_PLAN_QUESTION, page->refused ? keys + 1 : keys);
    text.rows -= page->expected ? draw_agreement(page, area) : page->refused ? 1 : 3;
    page->room = text.rows;
    if (count_lines(page->plan, text) > text.rows)
        text.columns -= 2; /* for the arrows */
    page->lines = draw_sentences(page->plan, text, page->skip);
    if (page->skip)
        screen_fill(walk->screen, text.row, area.column + area.columns - 1, 1, STYLE_STRONG, 0x2191);
    if (page->skip + text.rows < page->lines)
        screen_fill(walk->screen, text.row + text.rows - 1, area.column + area.columns - 1, 1, STYLE_STRONG, 0x2193);
    if (!page->expected && !page->refused)
        screen_text(walk->screen, area.row + area.rows - 2, area.column, area.columns, STYLE_STRONG,
                    walk_text(walk, TEXT_PLAN_ENTER));
}

static void scroll(struct plan_page *page, const struct key *key)
{
    unsigned by = key->code == KEY_PAGE_UP || key->code == KEY_PAGE_DOWN ? 8 : 1;
    unsigned below = page->lines > page->skip + page->room ? page->lines - page->skip - page->room : 0;

    if (key->code == KEY_UP || key->code == KEY_PAGE_UP)
        page->skip -= page->skip < by ? page->skip : by;
    else if (key->code == KEY_DOWN || key->code == KEY_PAGE_DOWN)
        page->skip += by < below ? by : below;
    else if (page->expected && text_field_key(&page->typed, key))
        page->wrong = false;
}

static enum walk_step show(struct plan_page *page)
{
    /* Enter that was pressed while the plan was made is no agreement to it. */
    screen_drop_keys(page->plan->walk->screen);
    for (;;) {
        draw(page);
        struct key key = walk_key(page->plan->walk, TEXT_HELP_PLAN);
        if (key.code == KEY_ESCAPE || key.code == KEY_INTERRUPT)
            return STEP_BACK;
        if (key.code != KEY_ENTER) {
            scroll(page, &key);
            continue;
        }
        if (page->refused)
            return STEP_BACK;
        if (!page->expected || strcmp(page->typed.text, page->expected) == 0)
            return STEP_NEXT;
        page->wrong = true;
        text_field_set(&page->typed, "");
    }
}

/*
 * Is it the disk that stood on the screen when it was chosen? Two adapters may give one serial number and size, and have changed places
 * since. A table that the plan did not read says nothing.
 */
static int check_table(const struct walk_choice *choice, const struct partition_table *table, struct error *error)
{
    if (!choice->chosen || !table->platform ||
        (table->kind == choice->table && table->mbr_signature == choice->mbr_signature &&
         memcmp(table->disk_guid, choice->disk_guid, sizeof(choice->disk_guid)) == 0))
        return 0;
    return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, choice->disk, ERROR_NO_BLOCK,
                     "what is on the disk is not what was there when it was chosen; choose anew");
}

static int make_plan(struct walk *walk, struct error *error)
{
    int status = walk_command(walk, error);

    if (!status)
        status = session_work_plan(walk->session, &walk->command, &walk->work, error);
    if (!status)
        status = check_table(&walk->source, &walk->work.plan.table, error);
    if (!status)
        status = check_table(&walk->target, &walk->work.plan.target_table, error);
    return status;
}

enum walk_step walk_show_plan(struct walk *walk)
{
    struct platform *platform = walk->session->loop->platform;
    struct error error = {0};

    walk_wait(walk, TEXT_WAIT_PLAN);
    session_work_close(walk->session, &walk->work);
    walk_record(walk);
    int status = make_plan(walk, &error);
    struct sentences *sentences = status ? NULL : platform_allocate_zeroed(platform, sizeof(*sentences));
    if (!sentences) {
        if (!status)
            error_set(&error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory to show the plan");
        session_work_close(walk->session, &walk->work);
        walk_say_error(walk, TEXT_PLAN_FAILED, &error);
        return STEP_BACK;
    }
    sentences->walk = walk;
    write_plan(sentences, &walk->work.plan);
    struct plan_page page = {.plan = sentences, .refused = walk->work.plan.refused};
    page.expected = page.refused ? NULL : session_work_agreement(&walk->work);
    enum walk_step step = show(&page);
    platform_release(platform, sentences);
    if (step != STEP_NEXT)
        session_work_close(walk->session, &walk->work);
    return step;
}
