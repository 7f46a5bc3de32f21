/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/widget.h"

#include <stdio.h>
#include <string.h>

static bool is_inside(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

void text_field_set(struct text_field *field, const char *text)
{
    size_t size = strlen(text);

    if (size >= TEXT_FIELD_MAX) {
        size = TEXT_FIELD_MAX - 1;
        while (size && is_inside(text[size]))
            size--;
    }
    memcpy(field->text, text, size);
    field->text[size] = 0;
    field->cursor = size;
}

static size_t previous(const struct text_field *field, size_t at)
{
    if (at)
        at--;
    while (at && is_inside(field->text[at]))
        at--;
    return at;
}

static size_t next(const struct text_field *field, size_t at)
{
    if (field->text[at])
        at++;
    while (is_inside(field->text[at]))
        at++;
    return at;
}

static void erase(struct text_field *field, size_t from, size_t to)
{
    memmove(field->text + from, field->text + to, strlen(field->text + to) + 1);
    field->cursor = from;
}

static void insert(struct text_field *field, uint32_t character)
{
    char bytes[4];
    unsigned size = text_encode(character, bytes);
    size_t length = strlen(field->text);

    if (!character_width(character) || length + size >= TEXT_FIELD_MAX)
        return;
    memmove(field->text + field->cursor + size, field->text + field->cursor, length - field->cursor + 1);
    memcpy(field->text + field->cursor, bytes, size);
    field->cursor += size;
}

bool text_field_key(struct text_field *field, const struct key *key)
{
    switch (key->code) {
    case KEY_CHARACTER:
        insert(field, key->character);
        return true;
    case KEY_BACKSPACE:
        erase(field, previous(field, field->cursor), field->cursor);
        return true;
    case KEY_DELETE:
        erase(field, field->cursor, next(field, field->cursor));
        return true;
    case KEY_LEFT:
        field->cursor = previous(field, field->cursor);
        return true;
    case KEY_RIGHT:
        field->cursor = next(field, field->cursor);
        return true;
    case KEY_HOME:
        field->cursor = 0;
        return true;
    case KEY_END:
        field->cursor = strlen(field->text);
        return true;
    default:
        return false;
    }
}

void text_field_draw(const struct text_field *field, struct screen *screen, unsigned row, unsigned column,
                     unsigned width, bool focused)
{
    static const char cut[] = "\xe2\x80\xa6";
    const char *start = field->text;
    char before[TEXT_FIELD_MAX];
    unsigned cells;

    /* The cursor and one cell behind it stay in sight. */
    for (;;) {
        snprintf(before, sizeof(before), "%.*s", (int)(field->text + field->cursor - start), start);
        cells = text_width(before);
        if (cells < width || !*start)
            break;
        text_next(&start);
    }
    screen_text(screen, row, column, width, focused ? STYLE_SELECTED : STYLE_FIELD, start);
    if (start != field->text && cells)
        screen_text(screen, row, column, 1, focused ? STYLE_SELECTED : STYLE_FIELD, cut);
    if (focused) {
        screen->cursor_row = row;
        screen->cursor_column = column + cells;
    }
}
