/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/widget.h"

#define WIDTH_MAX 70
#define MARGIN 2
#define MARK 0x25ba

unsigned dialog_draw(struct screen *screen, const char *title, const char *text, const char *const *choices,
                     unsigned count, unsigned selected, unsigned skip)
{
    unsigned width = screen->columns - 2 * MARGIN < WIDTH_MAX ? screen->columns - 2 * MARGIN : WIDTH_MAX;
    unsigned inside = width - 2 - 2 * MARGIN;
    unsigned lines = screen_paragraph(screen, 0, 0, inside, 0, 0, STYLE_DIALOG, text);
    /* Frame, title, a blank line, the text, a blank line, the choices, frame. */
    unsigned other = 5 + count, room = screen->rows - 2 - other;
    unsigned shown = lines < room ? lines : room, rows = other + shown;
    unsigned row = (screen->rows - rows) / 2, column = (screen->columns - width) / 2;

    screen->cursor_row = (unsigned)-1;
    screen_frame(screen, row, column, rows, width, STYLE_DIALOG);
    screen_text(screen, row + 1, column + 1 + MARGIN, inside, STYLE_DIALOG_STRONG, title);
    screen_paragraph(screen, row + 3, column + 1 + MARGIN, inside, shown, skip, STYLE_DIALOG, text);
    for (unsigned i = 0; i < count; i++) {
        unsigned line = row + 4 + shown + i;
        enum style style = i == selected ? STYLE_SELECTED : STYLE_DIALOG;
        screen_fill(screen, line, column + 1 + MARGIN, inside, style, ' ');
        screen_fill(screen, line, column + 1 + MARGIN, 1, style, i == selected ? MARK : ' ');
        screen_text(screen, line, column + 3 + MARGIN, inside - 2, style, choices[i]);
    }
    return lines;
}

int dialog_ask(struct screen *screen, const char *title, const char *text, const char *const *choices, unsigned count)
{
    unsigned selected = 0, skip = 0;
    struct key key;

    for (;;) {
        unsigned lines = dialog_draw(screen, title, text, choices, count, selected, skip);
        screen_update(screen);
        screen_wait_key(screen, &key, UINT64_MAX);
        switch (key.code) {
        case KEY_ESCAPE:
        case KEY_INTERRUPT:
            return -1;
        case KEY_ENTER:
            return (int)selected;
        case KEY_UP:
        case KEY_BACK_TAB:
            selected = selected ? selected - 1 : count ? count - 1 : 0;
            break;
        case KEY_DOWN:
        case KEY_TAB:
            selected = count ? (selected + 1) % count : 0;
            break;
        case KEY_PAGE_DOWN:
            if (skip + 1 < lines)
                skip++;
            break;
        case KEY_PAGE_UP:
            skip -= skip ? 1 : 0;
            break;
        default:
            break;
        }
    }
}
