/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A panel as a face: a row of cells is drawn in memory and handed to the firmware (UEFI 2.10, section 12.9.2.3, Blt), which also brings
 * it to consoles far away. The frame buffer itself is never touched.
 */
#include <limits.h>

#include "boot/efi_screen.h"
#include "ui/screen/glyph.h"

struct graphics_face {
    struct efi_face base; /* first */
    struct glyph_grid grid;
    unsigned width, height; /* of the panel, in pixels */
    uint32_t *line;         /* a row of cells */
    unsigned cursor_row, cursor_column;
};

static EFI_GRAPHICS_OUTPUT_PROTOCOL *output_of(struct graphics_face *face)
{
    return face->base.interface;
}

static unsigned cell_width(const struct graphics_face *face)
{
    return FONT_WIDTH * face->grid.scale;
}

static unsigned cell_height(const struct graphics_face *face)
{
    return FONT_HEIGHT * face->grid.scale;
}

/* Blt's pixels are blue, green, red, whatever the panel has (UEFI 2.10, section 12.9.2.3). */
static bool draw(struct graphics_face *face, unsigned row, unsigned column, const struct cell *cells, unsigned count,
                 bool inverse)
{
    EFI_GRAPHICS_OUTPUT_PROTOCOL *out = output_of(face);
    const unsigned width = count * cell_width(face), height = cell_height(face);
    const struct glyph_target target = {
        .pixels = face->line, .width = width, .height = height, .stride = width, .order = PIXEL_BGRX};

    glyph_draw(face->base.screen->font, &target, 0, 0, face->grid.scale, cells, count, inverse);
    return !EFI_ERROR(out->Blt(out, (EFI_GRAPHICS_OUTPUT_BLT_PIXEL *)face->line, EfiBltBufferToVideo, 0, 0,
                               face->grid.left + column * cell_width(face), face->grid.top + row * height, width,
                               height, (UINTN)width * sizeof(uint32_t)));
}

static bool show(struct efi_face *base, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    return draw((struct graphics_face *)base, row, column, cells, count, false);
}

/* The character with or without the text cursor on it. */
static bool draw_cursor(struct graphics_face *face, unsigned row, unsigned column, bool on)
{
    const struct cell *cells = face->base.cells + row * face->base.face.columns;

    if (!cells[column].width && column)
        column--;
    return !cells[column].width || draw(face, row, column, &cells[column], cells[column].width, on);
}

static bool cursor(struct efi_face *base, unsigned row, unsigned column)
{
    struct graphics_face *face = (struct graphics_face *)base;
    bool well = true;

    if (face->cursor_row != UINT_MAX && (face->cursor_row != row || face->cursor_column != column))
        well = draw_cursor(face, face->cursor_row, face->cursor_column, false);
    face->cursor_row = row;
    face->cursor_column = column;
    /* What was drawn there meanwhile has no cursor. */
    return well && (row == UINT_MAX || draw_cursor(face, row, column, true));
}

static bool can_show(struct efi_face *base, uint32_t character)
{
    const uint8_t *halves;

    return font_glyph(base->screen->font, character, &halves) != 0;
}

static bool find_size(EFI_GRAPHICS_OUTPUT_PROTOCOL *out, unsigned *width, unsigned *height)
{
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode = out && out->Mode ? out->Mode->Info : NULL;

    *width = mode ? mode->HorizontalResolution : 0;
    *height = mode ? mode->VerticalResolution : 0;
    /* The upper bound only keeps lengths small. */
    return *width >= SCREEN_COLUMNS_MIN * FONT_WIDTH && *height >= SCREEN_ROWS_MIN * FONT_HEIGHT && *width <= 32768 &&
           *height <= 32768;
}

/* Makes everything as large as the panel has it now. */
static bool set_grid(struct graphics_face *face, struct glyph_grid grid)
{
    struct platform *platform = &face->base.screen->firmware->platform;
    const size_t size = sizeof(uint32_t) * grid.columns * FONT_WIDTH * grid.scale * FONT_HEIGHT * grid.scale;

    face->grid = grid;
    platform_release(platform, face->line);
    face->line = platform_allocate(platform, size);
    return face->line != NULL;
}

static bool begin(struct efi_face *base)
{
    struct graphics_face *face = (struct graphics_face *)base;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *out = output_of(face);
    uint32_t ground = glyph_pixel(style_background(STYLE_TEXT), PIXEL_BGRX);
    unsigned width, height;

    if (!find_size(out, &width, &height))
        return false;
    if (!face->line || width != face->width || height != face->height) {
        struct glyph_grid grid = glyph_layout(width, height, base->face.columns, base->face.rows);
        if (grid.columns < base->face.columns || grid.rows < base->face.rows || !set_grid(face, grid))
            return false;
        face->width = width;
        face->height = height;
    }
    face->cursor_row = UINT_MAX;
    return !EFI_ERROR(
        out->Blt(out, (EFI_GRAPHICS_OUTPUT_BLT_PIXEL *)&ground, EfiBltVideoFill, 0, 0, 0, 0, width, height, 0));
}

/* Black, as it is before anything draws; the console empties its own panels once more. */
static void end(struct efi_face *base, bool present)
{
    struct graphics_face *face = (struct graphics_face *)base;
    EFI_GRAPHICS_OUTPUT_BLT_PIXEL black = {0};
    unsigned width, height;

    if (present && find_size(output_of(face), &width, &height))
        output_of(face)->Blt(output_of(face), &black, EfiBltVideoFill, 0, 0, 0, 0, width, height, 0);
    platform_release(&base->screen->firmware->platform, face->line);
}

static const struct efi_face_ops graphics_ops = {
    .show = show, .begin = begin, .cursor = cursor, .can_show = can_show, .end = end};

bool efi_face_is_graphics(const struct efi_face *face)
{
    return face->ops == &graphics_ops;
}

void efi_face_graphics_limit(struct efi_face *base, unsigned columns, unsigned rows)
{
    struct graphics_face *face = (struct graphics_face *)base;
    struct glyph_grid grid = glyph_layout(face->width, face->height, columns, rows);

    base->face.columns = grid.columns;
    base->face.rows = grid.rows;
}

struct efi_face *efi_face_graphics(struct firmware_screen *screen, EFI_HANDLE handle)
{
    static const EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    struct graphics_face *face =
        (struct graphics_face *)efi_face_new(screen, sizeof(*face), &graphics_ops, handle, &guid);

    if (!face)
        return NULL;
    if (!screen->font)
        screen->font = font_open(&screen->firmware->platform);
    if (!screen->font || !find_size(output_of(face), &face->width, &face->height)) {
        efi_face_free(&face->base);
        return NULL;
    }
    efi_face_graphics_limit(&face->base, SCREEN_COLUMNS_MAX, SCREEN_ROWS_MAX);
    return &face->base;
}
