/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/widget.h"

#define MARK 0x25ba    /* before the selected line */
#define MORE_UP 0x2191 /* at the right edge */
#define MORE_DOWN 0x2193
#define MARK_WIDTH 2

/* Cells behind a column; what stands against its right edge keeps its distance from the next column. */
static unsigned gap(const struct list *list, unsigned column)
{
    return list->columns[column].right && column + 1 < list->column_count ? 2 : 1;
}

static bool has_titles(const struct list *list)
{
    return list->column_count && list->columns[0].title;
}

static unsigned lines_of(const struct list *list, struct area area)
{
    unsigned lines = area.rows - (has_titles(list) && area.rows ? 1 : 0);

    return lines ? lines : 1;
}

static unsigned flexible_width(const struct list *list, unsigned columns)
{
    unsigned taken = MARK_WIDTH; /* and the last column's gap, where the arrows are */

    for (unsigned i = 0; i < list->column_count; i++)
        taken += list->columns[i].width + gap(list, i);
    return columns > taken ? columns - taken : 1;
}

static void draw_line(const struct list *list, struct screen *screen, struct area area, unsigned row, int item,
                      enum style style)
{
    unsigned column = area.column + MARK_WIDTH, rest = flexible_width(list, area.columns);

    screen_fill(screen, row, area.column, area.columns, style, ' ');
    if (item >= 0 && (unsigned)item == list->selected)
        screen_fill(screen, row, area.column, 1, style, MARK);
    for (unsigned i = 0; i < list->column_count; i++) {
        char text[LIST_CELL_MAX] = "";
        unsigned width = list->columns[i].width ? list->columns[i].width : rest;
        const char *shown = item < 0 ? list->columns[i].title : text;
        if (item >= 0)
            list->text(list, (unsigned)item, i, text);
        if (list->columns[i].right)
            screen_text_right(screen, row, column, width, style, shown);
        else
            screen_text(screen, row, column, width, style, shown);
        column += width + gap(list, i);
    }
}

void list_draw(struct list *list, struct screen *screen, struct area area)
{
    unsigned lines = lines_of(list, area), row = area.row;

    if (list->selected >= list->count)
        list->selected = list->count ? list->count - 1 : 0;
    if (list->selected < list->top)
        list->top = list->selected;
    if (list->selected >= list->top + lines)
        list->top = list->selected - lines + 1;
    if (list->top + lines > list->count)
        list->top = list->count > lines ? list->count - lines : 0;
    if (has_titles(list))
        draw_line(list, screen, area, row++, -1, STYLE_DIM);
    for (unsigned i = 0; i < lines; i++) {
        unsigned item = list->top + i;
        if (item >= list->count) {
            screen_fill(screen, row + i, area.column, area.columns, STYLE_TEXT, ' ');
            continue;
        }
        enum style style = list->style ? list->style(list, item) : STYLE_TEXT;
        draw_line(list, screen, area, row + i, (int)item, item == list->selected ? STYLE_SELECTED : style);
    }
    if (list->top)
        screen_fill(screen, row, area.column + area.columns - 1, 1, STYLE_STRONG, MORE_UP);
    if (list->top + lines < list->count)
        screen_fill(screen, row + lines - 1, area.column + area.columns - 1, 1, STYLE_STRONG, MORE_DOWN);
}

static void move(struct list *list, unsigned by, bool down)
{
    if (down)
        list->selected = list->count - list->selected > by ? list->selected + by : list->count - 1;
    else
        list->selected = list->selected > by ? list->selected - by : 0;
}

bool list_key(struct list *list, const struct key *key)
{
    const unsigned page = 10;

    if (!list->count)
        return false;
    switch (key->code) {
    case KEY_UP:
    case KEY_BACK_TAB:
        move(list, 1, false);
        return true;
    case KEY_DOWN:
    case KEY_TAB:
        move(list, 1, true);
        return true;
    case KEY_PAGE_UP:
        move(list, page, false);
        return true;
    case KEY_PAGE_DOWN:
        move(list, page, true);
        return true;
    case KEY_HOME:
        list->selected = 0;
        return true;
    case KEY_END:
        list->selected = list->count - 1;
        return true;
    default:
        return false;
    }
}
