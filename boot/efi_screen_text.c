/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text console as a face. Serial lines are slow: colours and the cursor are set only where they change, and a change of colour costs
 * about twenty bytes on a line of eleven thousand in a second.
 */
#include <limits.h>
#include <string.h>

#include "boot/efi_screen.h"

/* Policy: who takes longer for one run of characters has nobody at the other end. A full line takes 0.2 s at 9600 baud. */
#define SLOW (3 * NANOSECONDS_PER_SECOND)

struct text_face {
    struct efi_face base; /* first */
    INT32 mode_before;
    unsigned mode_columns, mode_rows;
    unsigned attribute;   /* as set last */
    unsigned row, column; /* of the device's cursor; row UINT_MAX: not known */
    bool cursor_on;
    uint32_t tested; /* the character that was asked for last, and the answer */
    bool tested_shows;
};

static SIMPLE_TEXT_OUTPUT_INTERFACE *output_of(struct text_face *face)
{
    return face->base.interface;
}

static unsigned attribute_of(enum style style)
{
    return (unsigned)style_foreground(style) | (unsigned)style_background(style) << 4;
}

static bool can_show(struct efi_face *base, uint32_t character)
{
    struct text_face *face = (struct text_face *)base;
    CHAR16 text[2] = {(CHAR16)character, 0};

    if (character < 0x7f)
        return character >= ' ';
    if (character > 0xffff)
        return false;
    if (character != face->tested) {
        face->tested = character;
        face->tested_shows = output_of(face)->TestString(output_of(face), text) == EFI_SUCCESS;
    }
    return face->tested_shows;
}

/* --- runs of characters --- */

struct run {
    unsigned row, column, attribute;
    CHAR16 text[SCREEN_COLUMNS_MAX + 1];
    unsigned units, columns;
    bool wide, blank;
};

/* Blanks show their background alone: they take the foreground of what stands before or behind them. */
static bool take_attribute(const struct text_face *face, struct run *run, const struct cell *cell)
{
    const unsigned attribute = attribute_of(cell->style);
    const bool blank = cell->character == ' ';

    if (!run->units) {
        run->blank = blank;
        run->attribute = blank && face->attribute >> 4 == attribute >> 4 ? face->attribute : attribute;
        return true;
    }
    if (run->wide || run->attribute >> 4 != attribute >> 4 || (!run->blank && !blank && run->attribute != attribute))
        return false;
    if (run->blank && !blank) {
        run->attribute = attribute;
        run->blank = false;
    }
    return true;
}

static void append(struct text_face *face, struct run *run, const struct cell *cell)
{
    if (can_show(&face->base, cell->character)) {
        run->text[run->units++] = (CHAR16)cell->character;
        run->wide = run->wide || cell->width == 2;
    } else {
        uint32_t plain = character_plain(cell->character);
        for (unsigned i = 0; i < cell->width; i++)
            run->text[run->units++] = (CHAR16)(plain ? plain : '?');
    }
    run->columns += cell->width;
}

static bool put(struct text_face *face, struct run *run)
{
    struct platform *platform = &face->base.screen->firmware->platform;
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = output_of(face);
    UINT64 begun = firmware_now(platform);
    EFI_STATUS status = EFI_SUCCESS;

    if (!run->units)
        return true;
    run->text[run->units] = 0;
    if (face->attribute != run->attribute)
        status = out->SetAttribute(out, run->attribute);
    face->attribute = run->attribute;
    if (!EFI_ERROR(status) && (face->row != run->row || face->column != run->column))
        status = out->SetCursorPosition(out, run->column, run->row);
    if (!EFI_ERROR(status))
        status = out->OutputString(out, run->text);
    face->column = run->column + run->columns;
    /* Firmware counts wide characters as it likes, and goes to another row after the last column. */
    face->row = EFI_ERROR(status) || run->wide || face->column >= face->mode_columns ? UINT_MAX : run->row;
    run->column = face->column;
    run->units = run->columns = 0;
    run->wide = false;
    return !EFI_ERROR(status) && firmware_now(platform) - begun < SLOW;
}

static bool show(struct efi_face *base, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    struct text_face *face = (struct text_face *)base;
    struct run run = {.row = row, .column = column};

    for (unsigned i = 0; i < count; i++) {
        const struct cell *cell = &cells[i];
        if (!cell->width)
            continue;
        /* The last cell of all would move the whole console up: the firmware's, or the window at the other end. */
        if (row + 1 >= base->face.rows && column + i + cell->width >= face->mode_columns)
            break;
        if (!take_attribute(face, &run, cell)) {
            if (!put(face, &run))
                return false;
            take_attribute(face, &run, cell);
        }
        append(face, &run, cell);
    }
    return put(face, &run);
}

/* --- the rest --- */

static bool cursor(struct efi_face *base, unsigned row, unsigned column)
{
    struct text_face *face = (struct text_face *)base;
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = output_of(face);
    bool on = row != UINT_MAX;

    if (on && (face->row != row || face->column != column)) {
        if (EFI_ERROR(out->SetCursorPosition(out, column, row)))
            return false;
        face->row = row;
        face->column = column;
    }
    if (on != face->cursor_on)
        out->EnableCursor(out, on); /* some cannot */
    face->cursor_on = on;
    return true;
}

static bool begin(struct efi_face *base)
{
    struct text_face *face = (struct text_face *)base;
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = output_of(face);
    UINTN columns, rows;

    if (EFI_ERROR(out->QueryMode(out, (UINTN)out->Mode->Mode, &columns, &rows)) || columns < base->face.columns ||
        rows < base->face.rows)
        return false;
    face->mode_columns = (unsigned)columns;
    face->mode_rows = (unsigned)rows;
    face->attribute = attribute_of(STYLE_TEXT);
    if (EFI_ERROR(out->SetAttribute(out, face->attribute)) || EFI_ERROR(out->ClearScreen(out)))
        return false;
    face->row = face->column = 0;
    out->EnableCursor(out, FALSE);
    face->cursor_on = false;
    return true;
}

/* The console is emptied for all devices at once when the last face closes. */
static void end(struct efi_face *base, bool present)
{
    struct text_face *face = (struct text_face *)base;
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = output_of(face);

    if (present && out->Mode->Mode != face->mode_before)
        out->SetMode(out, (UINTN)face->mode_before);
}

static const struct efi_face_ops text_ops = {
    .show = show, .begin = begin, .cursor = cursor, .can_show = can_show, .end = end};

/* The mode that is set, or 80 x 25, which all have (UEFI 2.10, section 12.4.3), when it is smaller. */
static bool find_size(SIMPLE_TEXT_OUTPUT_INTERFACE *out, UINTN *columns, UINTN *rows)
{
    if (out->Mode->Mode >= 0 && !EFI_ERROR(out->QueryMode(out, (UINTN)out->Mode->Mode, columns, rows)) &&
        *columns >= SCREEN_COLUMNS_MIN && *rows >= SCREEN_ROWS_MIN)
        return true;
    return !EFI_ERROR(out->SetMode(out, 0)) && !EFI_ERROR(out->QueryMode(out, 0, columns, rows));
}

struct efi_face *efi_face_text(struct firmware_screen *screen, EFI_HANDLE handle)
{
    static const EFI_GUID guid = EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID;
    struct text_face *face = (struct text_face *)efi_face_new(screen, sizeof(*face), &text_ops, handle, &guid);
    UINTN columns = 0, rows = 0;

    if (!face)
        return NULL;
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = output_of(face);
    face->mode_before = out && out->Mode ? out->Mode->Mode : 0;
    if (!out || !out->Mode || !find_size(out, &columns, &rows)) {
        efi_face_free(&face->base);
        return NULL;
    }
    /* Policy: not more, for the firmware does not know how large the window at the other end is; 80 x 50 was seen as its guess. */
    face->base.face.columns = columns < SCREEN_COLUMNS_MIN ? (unsigned)columns : SCREEN_COLUMNS_MIN;
    face->base.face.rows = rows < SCREEN_ROWS_MIN ? (unsigned)rows : SCREEN_ROWS_MIN;
    return &face->base;
}
