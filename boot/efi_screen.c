/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps each face in step with its device, which may fail, go and come back. */
#include "boot/efi_screen.h"

#include <limits.h>
#include <string.h>

/* Policy: a face that failed is left alone for so long; each time longer, until all went well. */
#define REST_MIN (50 * NANOSECONDS_PER_MILLISECOND)
#define REST_MAX (5 * NANOSECONDS_PER_SECOND)
/* Policy: one that took long to fail is left alone so many times longer, but not for ever: a job goes on meanwhile. */
#define REST_SHARE 20
#define REST_SLOW_MAX (60 * NANOSECONDS_PER_SECOND)

static struct efi_face *face_of(struct face *face)
{
    return (struct efi_face *)face;
}

static UINT64 now(const struct efi_face *face)
{
    return firmware_now(&face->screen->firmware->platform);
}

/* A serial line that is held up for a moment fails too: it goes on with the row where it stopped. */
static void fail(struct efi_face *face, unsigned row)
{
    const UINT64 at = now(face), least = (at - face->asked) * REST_SHARE;

    face->late[row] = face->is_late = true;
    face->rest = !face->rest ? REST_MIN : face->rest < REST_MAX / 2 ? 2 * face->rest : REST_MAX;
    if (face->rest < least)
        face->rest = least < REST_SLOW_MAX ? least : REST_SLOW_MAX;
    face->rest_until = at + face->rest;
}

static bool rests(const struct efi_face *face)
{
    return face->rest_until && now(face) < face->rest_until;
}

static bool show(struct efi_face *face, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    face->asked = now(face);
    return face->ops->show(face, row, column, cells, count);
}

/* The device again, if it came back under another handle. */
static VOID *find_again(struct efi_face *face)
{
    struct firmware *firmware = face->screen->firmware;
    VOID *interface = firmware_handle_protocol(firmware, face->handle, &face->guid);
    EFI_HANDLE *handles;

    if (interface || !face->path)
        return interface;
    UINTN count = firmware_handles(firmware, &face->guid, &handles);
    for (UINTN i = 0; i < count && !interface; i++) {
        const EFI_DEVICE_PATH *path = path_of_handle(firmware, handles[i]);
        if (!path || !path_equal(path, face->path))
            continue;
        face->handle = handles[i];
        interface = firmware_handle_protocol(firmware, handles[i], &face->guid);
    }
    firmware_free(firmware, handles);
    return interface;
}

static void make_all_late(struct efi_face *face)
{
    for (unsigned row = 0; row < face->face.rows; row++)
        face->late[row] = true;
    face->is_late = true;
}

/* Looks for the device, once in each update. One that has come back is begun anew. */
static bool is_ready(struct efi_face *face)
{
    if (rests(face))
        return false;
    if (face->checked)
        return face->present;
    face->checked = true;
    face->asked = now(face);
    VOID *interface = find_again(face);
    bool again = interface && (!face->present || interface != face->interface);
    face->interface = interface;
    face->present = interface != NULL;
    if (!interface)
        fail(face, 0);
    if (!again)
        return face->present;
    make_all_late(face);
    face->present = face->ops->begin(face);
    if (!face->present)
        fail(face, 0);
    return face->present;
}

/* The rows that it has not got. */
static bool catch_up(struct efi_face *face)
{
    for (unsigned row = 0; row < face->face.rows && face->is_late; row++) {
        if (!face->late[row])
            continue;
        if (!show(face, row, 0, face->cells + row * face->face.columns, face->face.columns)) {
            fail(face, row);
            return false;
        }
        face->late[row] = false;
    }
    face->is_late = false;
    face->rest = 0;
    return true;
}

static void face_draw(struct face *base, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    struct efi_face *face = face_of(base);

    if (row >= base->rows || column >= base->columns || count > base->columns - column)
        return;
    memcpy(face->cells + row * base->columns + column, cells, count * sizeof(*cells));
    if (!is_ready(face))
        face->late[row] = face->is_late = true;
    else if (!face->late[row] && !show(face, row, column, cells, count))
        fail(face, row);
}

/* All that there is to do, if the device can take it now. */
static void finish(struct efi_face *face)
{
    face->asked = now(face);
    if (is_ready(face) && catch_up(face) && !face->ops->cursor(face, face->cursor_row, face->cursor_column))
        fail(face, 0);
    face->checked = false;
}

static void face_flush(struct face *base, unsigned row, unsigned column)
{
    struct efi_face *face = face_of(base);

    face->cursor_row = row >= base->rows || column >= base->columns ? UINT_MAX : row;
    face->cursor_column = column;
    finish(face);
}

void efi_faces_catch_up(struct firmware_screen *screen)
{
    for (struct efi_face *face = screen->first; face; face = face->next)
        if ((face->is_late || !face->present) && !rests(face))
            finish(face);
}

/* One that is not there has no say. */
static bool face_can_show(struct face *base, uint32_t character)
{
    struct efi_face *face = face_of(base);
    bool can = !is_ready(face) || face->ops->can_show(face, character);

    face->checked = false;
    return can;
}

static void blank(struct efi_face *face)
{
    for (unsigned i = 0; i < face->face.rows * face->face.columns; i++)
        face->cells[i] = (struct cell){.character = ' ', .style = STYLE_TEXT, .width = 1};
}

static void face_clear(struct face *base)
{
    struct efi_face *face = face_of(base);

    blank(face);
    memset(face->late, 0, sizeof(face->late));
    face->is_late = false;
    face->asked = now(face);
    if (is_ready(face) && face->ops->begin(face))
        return;
    make_all_late(face);
    fail(face, 0);
}

void firmware_screen_console(struct firmware *firmware, bool on)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware->system->ConOut;

    if (!out)
        return;
    if (on) {
        out->SetAttribute(out, EFI_LIGHTGRAY | EFI_BACKGROUND_BLACK);
        out->ClearScreen(out);
    }
    out->EnableCursor(out, on);
}

void firmware_screen_drop(struct firmware_screen *screen)
{
    struct firmware *firmware = screen->firmware;

    firmware->screen = NULL;
    firmware->quiet = false;
    font_close(screen->font);
    platform_release(&firmware->platform, screen);
    firmware_screen_console(firmware, true);
}

static void face_close(struct face *base)
{
    struct efi_face *face = face_of(base);
    struct firmware_screen *screen = face->screen;
    struct efi_face **link = &screen->first;

    while (*link != face)
        link = &(*link)->next;
    *link = face->next;
    face->interface = find_again(face);
    face->ops->end(face, face->interface != NULL);
    efi_face_free(face);
    if (!screen->first)
        firmware_screen_drop(screen);
}

static const struct face_ops common_ops = {
    .draw = face_draw, .flush = face_flush, .can_show = face_can_show, .clear = face_clear, .close = face_close};

struct efi_face *efi_face_new(struct firmware_screen *screen, size_t size, const struct efi_face_ops *ops,
                              EFI_HANDLE handle, const EFI_GUID *guid)
{
    struct firmware *firmware = screen->firmware;
    struct efi_face *face = platform_allocate_zeroed(&firmware->platform, size);
    const EFI_DEVICE_PATH *path = path_of_handle(firmware, handle);

    if (!face)
        return NULL;
    face->face.ops = &common_ops;
    face->ops = ops;
    face->screen = screen;
    face->guid = *guid;
    face->handle = handle;
    face->interface = firmware_handle_protocol(firmware, handle, &face->guid);
    face->path = path ? path_copy(firmware, path) : NULL;
    return face;
}

void efi_face_free(struct efi_face *face)
{
    struct platform *platform = &face->screen->firmware->platform;

    platform_release(platform, face->path);
    platform_release(platform, face->cells);
    platform_release(platform, face);
}

bool efi_face_open(struct efi_face *face)
{
    struct firmware_screen *screen = face->screen;
    struct platform *platform = &screen->firmware->platform;

    face->cells = platform_allocate(platform, sizeof(struct cell) * face->face.columns * face->face.rows);
    if (!face->cells)
        return false;
    blank(face);
    face->cursor_row = UINT_MAX;
    face->present = face->ops->begin(face);
    if (!face->present)
        return false;
    face->next = screen->first;
    screen->first = face;
    return true;
}

void firmware_screen_abandon(struct firmware *firmware)
{
    if (!firmware->screen)
        return;
    firmware->screen = NULL;
    firmware->quiet = false;
    firmware_screen_console(firmware, true);
}
