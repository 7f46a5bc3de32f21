/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What screens are made of: lists, forms, text that is typed, maps of disks, progress, dialogs.
 *
 * A widget is plain data of whoever shows it. X_draw() puts it into an area of the grid; X_key() gives it a key and says whether it was
 * for it. Nothing here waits but dialog_ask(), and nothing shows anything before screen_update().
 */
#ifndef UI_SCREEN_WIDGET_H
#define UI_SCREEN_WIDGET_H

#include "ui/screen/screen.h"

struct area {
    unsigned row, column, rows, columns;
};

/* --- list and table (list.c) --- */

#define LIST_COLUMNS_MAX 6
#define LIST_CELL_MAX 200

struct list_column {
    const char *title; /* NULL: no column has one, and there is no line for them */
    unsigned width;    /* cells; 0: what the others leave (one column) */
    bool right;        /* numbers */
};

struct list {
    unsigned count, selected;
    unsigned top; /* the first that is shown; list_draw() keeps the selected one in sight */
    struct list_column columns[LIST_COLUMNS_MAX];
    unsigned column_count;
    /* The text of a cell. */
    void (*text)(const struct list *list, unsigned item, unsigned column, char text[LIST_CELL_MAX]);
    /* NULL: STYLE_TEXT. An item that cannot be taken is STYLE_DIM; why is for the screen to say. */
    enum style (*style)(const struct list *list, unsigned item);
    void *context;
};
/* The selected line begins with an arrow besides its colour. Arrows at the right edge say that there is more. */
void list_draw(struct list *list, struct screen *screen, struct area area);
/* Up, down, page up and down, home, end. */
bool list_key(struct list *list, const struct key *key);

/* --- a line of text that is typed (text_field.c) --- */

#define TEXT_FIELD_MAX 200
struct text_field {
    char text[TEXT_FIELD_MAX]; /* UTF-8 */
    size_t cursor;             /* a byte, at a character's beginning or the end */
};
void text_field_set(struct text_field *field, const char *text);
/* focused: the screen's cursor is put there. A text longer than the area shows what is around the cursor. */
void text_field_draw(const struct text_field *field, struct screen *screen, unsigned row, unsigned column,
                     unsigned width, bool focused);
bool text_field_key(struct text_field *field, const struct key *key);

/* --- form (form.c) --- */

#define FORM_FIELDS_MAX 12
#define FORM_VALUE_MAX 120

struct form_field {
    const char *label, *hint;
    struct text_field *input; /* a text that is typed; or */
    unsigned *value, count;   /* one of `count` choices; or, with neither, something that Enter does */
    int id;                   /* the owner's */
};

struct form {
    struct form_field fields[FORM_FIELDS_MAX];
    unsigned count, selected;
    /* The text of a field's choice. */
    void (*describe)(const struct form *form, const struct form_field *field, unsigned choice,
                     char text[FORM_VALUE_MAX]);
    void *context;
};
/* One line a field; labels take `label_width` cells. */
void form_draw(const struct form *form, struct screen *screen, struct area area, unsigned label_width);
/* Up, down, Tab move; left, right, blank change a choice; all else is typed. Enter is the owner's. */
bool form_key(struct form *form, const struct key *key);

/* --- maps and bars (map.c) --- */

/* One piece of a disk, for the map of its partitions. */
struct map_piece {
    uint64_t bytes, used_bytes; /* used UINT64_MAX: not known */
    const char *name;           /* "#2 ntfs System" */
    bool is_free;               /* in no partition */
};
/*
 * The pieces side by side in a frame, as wide as their share of all, but never narrower than what can be told apart, with names inside
 * and the part in use filled below. `selected`: marked; count or more: none.
 */
#define PIECE_MAP_ROWS 4
void piece_map_draw(struct screen *screen, struct area area, const struct map_piece *pieces, unsigned count,
                    unsigned selected);

enum map_state { MAP_UNUSED, MAP_TO_DO, MAP_READ, MAP_WRITTEN, MAP_VERIFIED, MAP_BAD, MAP_STATE_COUNT };
/* Each cell of the area stands for an equal share of `bytes`, line after line; state() says what becomes of a range. */
void state_map_draw(struct screen *screen, struct area area, uint64_t bytes,
                    enum map_state (*state)(void *context, uint64_t offset, uint64_t length), void *context);
/* How a state is drawn: a character and a style; for the legend. */
uint32_t map_state_character(enum map_state state);
enum style map_state_style(enum map_state state);
/* A bar of `width` cells, per_mille of it full. */
void bar_draw(struct screen *screen, unsigned row, unsigned column, unsigned width, unsigned per_mille);

/* --- dialogs (dialog.c) --- */

/*
 * A box in the middle with a text and choices below it, drawn over what the screen shows. Returns the choice, or -1 for Esc; Ctrl-C counts
 * as Esc. choices: one line each, the first is selected.
 */
int dialog_ask(struct screen *screen, const char *title, const char *text, const char *const *choices, unsigned count);
/* Only draws the box, with as many lines of the text as fit, from line `skip` on; for the work that goes on behind it. Returns all lines. */
unsigned dialog_draw(struct screen *screen, const char *title, const char *text, const char *const *choices,
                     unsigned count, unsigned selected, unsigned skip);

#endif
