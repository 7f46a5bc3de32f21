/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/widget.h"

#include <stdio.h>

#define MARK 0x25ba
#define MARK_WIDTH 2

static void draw_choice(const struct form *form, struct screen *screen, unsigned row, unsigned column, unsigned width,
                        unsigned field, bool selected)
{
    char text[FORM_VALUE_MAX] = "", shown[FORM_VALUE_MAX + 8];

    form->describe(form, &form->fields[field], *form->fields[field].value, text);
    /* Angle brackets say that the arrow keys change it. */
    snprintf(shown, sizeof(shown), "< %s >", text);
    screen_fill(screen, row, column, width, STYLE_TEXT, ' ');
    unsigned cells = text_width(shown);
    screen_text(screen, row, column, cells < width ? cells : width, selected ? STYLE_SELECTED : STYLE_FIELD, shown);
}

/* A text that is longer than the column of values begins further left, as far as its label lets it. */
static void draw_input(const struct form_field *field, struct screen *screen, unsigned row, unsigned column,
                       unsigned width, unsigned label_end, bool selected)
{
    unsigned wanted = text_width(field->input->text) + 1, more = wanted > width ? wanted - width : 0;

    if (label_end + 2 + more > column)
        more = column > label_end + 2 ? column - label_end - 2 : 0;
    text_field_draw(field->input, screen, row, column - more, width + more, selected);
}

void form_draw(const struct form *form, struct screen *screen, struct area area, unsigned label_width)
{
    unsigned column = area.column + MARK_WIDTH + label_width + 1;
    unsigned width = area.columns - (MARK_WIDTH + label_width + 1);

    for (unsigned i = 0; i < form->count && i < area.rows; i++) {
        const struct form_field *field = &form->fields[i];
        unsigned row = area.row + i;
        bool selected = i == form->selected, is_action = !field->input && !field->value;
        screen_fill(screen, row, area.column, area.columns, STYLE_TEXT, ' ');
        if (selected)
            screen_fill(screen, row, area.column, 1, STYLE_STRONG, MARK);
        unsigned label_cells = text_width(field->label);
        if (is_action && selected)
            screen_text(screen, row, area.column + MARK_WIDTH, label_cells, STYLE_SELECTED, field->label);
        else
            screen_text(screen, row, area.column + MARK_WIDTH, is_action ? area.columns - MARK_WIDTH : label_width,
                        selected ? STYLE_STRONG : STYLE_TEXT, field->label);
        if (field->input)
            draw_input(field, screen, row, column, width, area.column + MARK_WIDTH + label_cells, selected);
        else if (field->value)
            draw_choice(form, screen, row, column, width, i, selected);
    }
}

static void change(const struct form_field *field, bool forward)
{
    if (!field->value || !field->count)
        return;
    *field->value = (*field->value + (forward ? 1 : field->count - 1)) % field->count;
}

bool form_key(struct form *form, const struct key *key)
{
    const struct form_field *field = &form->fields[form->selected];

    switch (key->code) {
    case KEY_UP:
    case KEY_BACK_TAB:
        form->selected = form->selected ? form->selected - 1 : form->count - 1;
        return true;
    case KEY_DOWN:
    case KEY_TAB:
        form->selected = (form->selected + 1) % form->count;
        return true;
    default:
        break;
    }
    if (field->input)
        return text_field_key(field->input, key);
    if (key->code == KEY_LEFT || key->code == KEY_RIGHT || (key->code == KEY_CHARACTER && key->character == ' ')) {
        change(field, key->code != KEY_LEFT);
        return true;
    }
    return false;
}
