/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The screen: a grid of cells that several faces show at once, and the keys that are pressed before them.
 *
 * Whoever draws puts characters into the grid and calls screen_update(); each face is told only of the cells that are not what it
 * shows already. Faces are filled in elsewhere: the firmware's graphics output and text consoles (boot/), a POSIX terminal
 * (tools/), memory (tests/). Main processor only. Rows and columns count from 0 at the top left.
 */
#ifndef UI_SCREEN_SCREEN_H
#define UI_SCREEN_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"

/* The least that every screen of ours is made for, and the most that is used of a face. */
#define SCREEN_COLUMNS_MIN 80
#define SCREEN_ROWS_MIN 25
#define SCREEN_COLUMNS_MAX 132
#define SCREEN_ROWS_MAX 50
#define SCREEN_FACES_MAX 8

/* --- cells --- */

/* The sixteen colours of text consoles, in the order of the UEFI specification (2.10, section 12.4.3). Backgrounds: the first eight. */
enum colour {
    COLOUR_BLACK,
    COLOUR_BLUE,
    COLOUR_GREEN,
    COLOUR_CYAN,
    COLOUR_RED,
    COLOUR_MAGENTA,
    COLOUR_BROWN,
    COLOUR_LIGHT_GRAY,
    COLOUR_DARK_GRAY,
    COLOUR_LIGHT_BLUE,
    COLOUR_LIGHT_GREEN,
    COLOUR_LIGHT_CYAN,
    COLOUR_LIGHT_RED,
    COLOUR_LIGHT_MAGENTA,
    COLOUR_YELLOW,
    COLOUR_WHITE
};

/* What a cell means; its colours follow (style_foreground() and style_background()). Nothing is ever said by style alone. */
enum style {
    STYLE_TEXT,     /* the page */
    STYLE_DIM,      /* of lesser weight, or not to be had now */
    STYLE_STRONG,   /* headings, numbers that count */
    STYLE_BAR,      /* first and last line */
    STYLE_BAR_KEY,  /* names of keys there */
    STYLE_SELECTED, /* where the next key goes */
    STYLE_FIELD,    /* what can be typed into or changed */
    STYLE_COMMAND,  /* the command that a screen stands for */
    STYLE_GOOD,
    STYLE_WARNING,
    STYLE_DANGER,
    STYLE_DIALOG,
    STYLE_DIALOG_STRONG,
    STYLE_MAP_EMPTY, /* disk maps and progress bars: not in use, or not reached */
    STYLE_MAP_USED,
    STYLE_MAP_READ,
    STYLE_MAP_WRITTEN,
    STYLE_MAP_VERIFIED,
    STYLE_MAP_BAD,
    STYLE_COUNT
};
enum colour style_foreground(enum style style);
enum colour style_background(enum style style);

/*
 * One cell. A wide character (East Asian Width W or F) takes two: the first has width 2, the second width 0 and no character of
 * its own. The grid never shows half of one.
 */
struct cell {
    uint32_t character; /* Unicode, of the Basic Multilingual Plane; never a control or combining character */
    uint8_t style;      /* enum style */
    uint8_t width;      /* 1; 2; 0: the right half of what stands before it */
};

/* --- faces --- */

struct face;

struct face_ops {
    /*
     * Shows `count` cells from (row, column) on; they never begin or end within a wide character and never leave the row. What a face
     * cannot show it replaces by character_plain(), or '?' (twice for a wide one). Should not wait for the display.
     */
    void (*draw)(struct face *face, unsigned row, unsigned column, const struct cell *cells, unsigned count);
    /* All draws of an update have been made. The text cursor is shown at (row, column), or hidden when row is UINT_MAX. May be NULL. */
    void (*flush)(struct face *face, unsigned cursor_row, unsigned cursor_column);
    /* Can it show this character as it is? NULL: every one. */
    bool (*can_show)(struct face *face, uint32_t character);
    /* Clears all of it, what lies beside the grid included. */
    void (*clear)(struct face *face);
    /* Back to what the face was before, for plain text. Frees it. */
    void (*close)(struct face *face);
};

struct face {
    const struct face_ops *ops;
    unsigned columns, rows; /* that it has room for; a face smaller than SCREEN_*_MIN is not taken */
    struct cell *shown;     /* screen.c's own: what it shows, as large as the grid */
};

/* A character that every console has, for those of ours that it may lack (lines, blocks, arrows): '+', '#', '>'. 0: none is alike. */
uint32_t character_plain(uint32_t character);

/* --- keys --- */

enum key_code {
    KEY_CHARACTER, /* `character`, printable, from any keyboard layout */
    KEY_ENTER,
    KEY_ESCAPE,
    KEY_TAB,
    KEY_BACK_TAB,
    KEY_BACKSPACE,
    KEY_DELETE,
    KEY_UP,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_F1,
    KEY_F2,
    KEY_F5,
    KEY_F10,
    KEY_INTERRUPT /* Ctrl-C, or a signal that asks to end */
};
struct key {
    enum key_code code;
    uint32_t character;
};

/* --- the screen --- */

struct screen {
    struct loop *loop;
    unsigned columns, rows;
    struct cell *cells;
    struct face *faces[SCREEN_FACES_MAX];
    unsigned face_count;
    unsigned cursor_row, cursor_column; /* row UINT_MAX: hidden */
    /* The next key, if there is one; never waits. */
    bool (*read_key)(struct screen *screen, struct key *key);
    void *keys; /* read_key's own */
};

/*
 * Takes the faces over (also when it fails) and makes a grid that all of them have room for. Faces that are too small are closed and
 * left out. -ERROR_UNSUPPORTED: none is left. -ERROR_NO_MEMORY.
 */
int screen_open(struct screen *screen, struct loop *loop, struct face *const *faces, unsigned count);
void screen_close(struct screen *screen);

/* Blanks the grid in STYLE_TEXT and hides the cursor; nothing is shown yet. */
void screen_clear(struct screen *screen);
/* One character of width 1, `count` times. What leaves the grid is left out, here and below. */
void screen_fill(struct screen *screen, unsigned row, unsigned column, unsigned count, enum style style,
                 uint32_t character);
/*
 * UTF-8 text into exactly `width` cells: cut with an ellipsis where it is longer, filled with blanks where it is shorter. What is not
 * UTF-8 and control characters become '?', combining characters are left out; texts from outside are safe. Returns the cells that the
 * text itself took.
 */
unsigned screen_text(struct screen *screen, unsigned row, unsigned column, unsigned width, enum style style,
                     const char *text);
/* The same against the right edge of the `width` cells. */
unsigned screen_text_right(struct screen *screen, unsigned row, unsigned column, unsigned width, enum style style,
                           const char *text);
/*
 * Text over several lines of `width` cells, broken at blanks, or anywhere between wide characters. At most `rows` lines, the last cut. `skip`
 * lines at the beginning are left out. Returns the lines that all of it takes, drawn or not; rows 0 only counts.
 */
unsigned screen_paragraph(struct screen *screen, unsigned row, unsigned column, unsigned width, unsigned rows,
                          unsigned skip, enum style style, const char *text);
/* Frame around the area, the edge included in it. */
void screen_frame(struct screen *screen, unsigned row, unsigned column, unsigned rows, unsigned columns,
                  enum style style);
/* Brings every face up to date: changed cells only. */
void screen_update(struct screen *screen);
/* The faces may show anything (others wrote to them): the next update draws all. */
void screen_forget(struct screen *screen);
/* Can every face show the text? */
bool screen_can_show(const struct screen *screen, const char *text);
/* Waits for a key, the loop running, until the deadline (nanoseconds; UINT64_MAX: none). false: the deadline came. */
bool screen_wait_key(struct screen *screen, struct key *key, uint64_t deadline);
/* Forgets the keys that were pressed before now: for a page that nobody should agree to before it is there. */
void screen_drop_keys(struct screen *screen);

/* --- text (text.c) --- */

/*
 * The next character of UTF-8 text, *text moved past it. Never passes the zero at the end; returns 0 there. U+FFFD for what is not UTF-8
 * (one byte is taken then), or lies beyond the Basic Multilingual Plane.
 */
uint32_t text_next(const char **text);
/* Cells of a character: 0 for combining and control characters, 2 for wide ones (Unicode 15, UAX #11: W and F). */
unsigned character_width(uint32_t character);
/* The same as screen_text() shows it: combining characters are passed over, '?' stands for what cannot be shown. */
uint32_t text_next_shown(const char **text);
/* Cells of a text as screen_text() draws it. */
unsigned text_width(const char *text);
/* Writes the UTF-8 of a character, at most 4 bytes, no zero; returns how many. */
unsigned text_encode(uint32_t character, char *to);

#endif
