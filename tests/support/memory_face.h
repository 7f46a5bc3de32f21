/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A face of the screen in memory, keys from a script, and snapshots: what a person sees, as text files beside the tests. */
#ifndef TESTS_SUPPORT_MEMORY_FACE_H
#define TESTS_SUPPORT_MEMORY_FACE_H

#include "ui/screen/screen.h"

struct memory_face {
    struct face face; /* first */
    struct cell cells[SCREEN_ROWS_MAX][SCREEN_COLUMNS_MAX];
    unsigned draws, drawn_cells, closes, clears;
    unsigned cursor_row, cursor_column;
    bool plain; /* shows ASCII only */
    unsigned flushes;
    void (*flushed)(void); /* called at the end of each update; NULL: nobody is */
};
void memory_face_init(struct memory_face *face, unsigned columns, unsigned rows);
/*
 * What the face shows: lines of UTF-8 without blanks at their ends, each ended by "\n", and no empty lines at the end. Fails the test when
 * a wide character is cut in half. Valid until the next call.
 */
const char *memory_face_text(const struct memory_face *face);
/* The style at a place. */
enum style memory_face_style(const struct memory_face *face, unsigned row, unsigned column);
/* Does a line of what is shown hold the text? */
bool memory_face_shows(const struct memory_face *face, const char *text);

/*
 * Keys from text: letters stand for themselves, <enter> <esc> <up> <down> <left> <right> <tab> <backtab> <bs> <del> <home> <end> <pgup>
 * <pgdn> <f1> <f2> <f5> <f10> <ctrl-c> for the others. At <wait:TEXT> no key is pressed before the face shows TEXT. At <shot>, at_shot is called with what the screen shows. At the
 * end of the script the test fails, because a screen waits for keys that will never come.
 *
 * paced: who looks for a key right behind another one finds none, once, as with people; after <ahead> the next key is in the keyboard's buffer
 * already.
 */
struct key_script {
    const struct memory_face *face; /* what <wait:...> looks at */
    unsigned looks;                 /* at it, in a row */
    bool paced, rests;              /* rests: a key was just given out */
    const char *rest;
    void (*at_shot)(void *context, unsigned number);
    unsigned shots;
    void *context;
};
void key_script_use(struct key_script *script, struct screen *screen, const char *keys);

/*
 * Compares with tests/snapshots/NAME.txt; differences fail the test with both texts. SNAPSHOTS=write in the environment writes the
 * files instead: look at them before they are committed.
 */
void snapshot_check(const char *name, const char *text);

#endif
