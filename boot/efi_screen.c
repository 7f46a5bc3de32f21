/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the faces, and keeps each in step with its device. */
#include "boot/efi_screen.h"

#include <limits.h>
#include <string.h>

/* Policy: a face that failed is left alone for so long. */
#define REST (10 * NANOSECONDS_PER_SECOND)

/* Marks the consoles among the devices (UEFI 2.10, section 12.1). */
static EFI_GUID console_out_guid = {0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
static EFI_GUID graphics_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
static EFI_GUID text_guid = EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID;

/* --- what all faces have --- */

static struct efi_face *face_of(struct face *face)
{
    return (struct efi_face *)face;
}

static void fail(struct efi_face *face)
{
    face->present = false;
    face->rest_until = deadline_after(&face->screen->firmware->platform, REST);
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

static bool show_all(struct efi_face *face)
{
    for (unsigned row = 0; row < face->face.rows; row++)
        if (!face->ops->show(face, row, 0, face->cells + row * face->face.columns, face->face.columns))
            return false;
    return true;
}

/* Looks for the device, once in each update. */
static bool is_ready(struct efi_face *face)
{
    if (face->checked)
        return face->present;
    face->checked = true;
    if (!face->present && firmware_now(&face->screen->firmware->platform) < face->rest_until)
        return false;
    VOID *interface = find_again(face);
    bool again = interface && (!face->present || interface != face->interface);
    face->interface = interface;
    face->present = interface != NULL;
    if (again && (!face->ops->begin(face) || !show_all(face)))
        fail(face);
    return face->present;
}

static void face_draw(struct face *base, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    struct efi_face *face = face_of(base);

    if (row >= base->rows || column >= base->columns || count > base->columns - column)
        return;
    bool ready = is_ready(face);
    memcpy(face->cells + row * base->columns + column, cells, count * sizeof(*cells));
    if (ready && !face->ops->show(face, row, column, cells, count))
        fail(face);
}

static void face_flush(struct face *base, unsigned row, unsigned column)
{
    struct efi_face *face = face_of(base);

    if (row >= base->rows || column >= base->columns)
        row = UINT_MAX;
    if (is_ready(face) && !face->ops->cursor(face, row, column))
        fail(face);
    face->checked = false;
}

static bool face_can_show(struct face *base, uint32_t character)
{
    struct efi_face *face = face_of(base);

    return !is_ready(face) || face->ops->can_show(face, character);
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
    if (is_ready(face) && !face->ops->begin(face))
        fail(face);
}

static void console_text(struct firmware *firmware, bool on)
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

static void drop_screen(struct firmware_screen *screen)
{
    struct firmware *firmware = screen->firmware;

    firmware->screen = NULL;
    firmware->quiet = false;
    font_close(screen->font);
    platform_release(&firmware->platform, screen);
}

static void face_close(struct face *base)
{
    struct efi_face *face = face_of(base);
    struct firmware_screen *screen = face->screen;
    struct firmware *firmware = screen->firmware;

    face->checked = false;
    face->ops->end(face, is_ready(face));
    efi_face_free(face);
    if (--screen->faces)
        return;
    drop_screen(screen);
    console_text(firmware, true);
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

/* --- which --- */

static bool is_console(struct firmware *firmware, EFI_HANDLE handle)
{
    VOID *interface;

    /* The mark has no interface: what counts is that it is there. */
    return !EFI_ERROR(firmware->boot->HandleProtocol(handle, &console_out_guid, &interface));
}

struct found {
    struct efi_face *faces[SCREEN_FACES_MAX];
    unsigned count;
};

static void add(struct found *found, struct efi_face *face)
{
    if (!face)
        return;
    if (found->count < SCREEN_FACES_MAX)
        found->faces[found->count++] = face;
    else
        efi_face_free(face);
}

/*
 * Pictures. The console's own handle (a splitter's) draws on all graphics devices that are consoles; the others are faces by
 * themselves. Without a splitter, or when it has none of them, each device is one.
 */
static void find_graphics(struct firmware_screen *screen, struct found *found)
{
    struct firmware *firmware = screen->firmware;
    EFI_HANDLE console = firmware->system->ConsoleOutHandle, *handles;
    UINTN count = firmware_handles(firmware, &graphics_guid, &handles);
    bool split = false;

    for (UINTN i = 0; i < count; i++)
        split = split || (handles[i] != console && is_console(firmware, handles[i]));
    if (split && firmware_handle_protocol(firmware, console, &graphics_guid))
        add(found, efi_face_graphics(screen, console));
    split = found->count != 0;
    for (UINTN i = 0; i < count; i++)
        if (split ? handles[i] != console && !is_console(firmware, handles[i])
                  : path_of_handle(firmware, handles[i]) != NULL)
            add(found, efi_face_graphics(screen, handles[i]));
    firmware_free(firmware, handles);
}

/* A serial line, or anything that speaks as a terminal does (UEFI 2.10, sections 10.3.4.15 and 10.3.4.16). */
static bool is_terminal(const EFI_DEVICE_PATH *path)
{
    static const EFI_GUID types[] = {
        {0xe0c14753, 0xf9be, 0x11d2, {0x9a, 0x0c, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}}, /* PC ANSI */
        {0xdfa66065, 0xb419, 0x11d3, {0x9a, 0x2d, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}}, /* VT100 */
        {0x7baec70b, 0x57e0, 0x4c76, {0x8e, 0x87, 0x2f, 0x9e, 0x28, 0x08, 0x83, 0x43}}, /* VT100+ */
        {0xad15a0d6, 0x8bec, 0x4acf, {0xa0, 0x73, 0xd0, 0x1d, 0xe7, 0x7e, 0x2d, 0x88}}, /* VT-UTF8 */
    };
    const EFI_DEVICE_PATH *node = path_node(path, MESSAGING_DEVICE_PATH, MSG_VENDOR_DP);

    if (path_node(path, MESSAGING_DEVICE_PATH, MSG_UART_DP))
        return true;
    for (size_t i = 0; node && i < sizeof(types) / sizeof(types[0]); i++)
        if ((size_t)DevicePathNodeLength(node) >= sizeof(VENDOR_DEVICE_PATH) &&
            memcmp(&((const VENDOR_DEVICE_PATH *)node)->Guid, &types[i], sizeof(types[i])) == 0)
            return true;
    return false;
}

/* Terminals that are consoles: what hangs on another serial line is not for us to write to. */
static void find_terminals(struct firmware_screen *screen, struct found *found)
{
    struct firmware *firmware = screen->firmware;
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(firmware, &text_guid, &handles);

    for (UINTN i = 0; i < count; i++) {
        const EFI_DEVICE_PATH *path = path_of_handle(firmware, handles[i]);
        if (path && is_console(firmware, handles[i]) && is_terminal(path))
            add(found, efi_face_text(screen, handles[i]));
    }
    firmware_free(firmware, handles);
}

/* All of them show the same grid: pictures need no more cells than the smallest has. */
static void settle(struct found *found)
{
    unsigned columns = SCREEN_COLUMNS_MAX, rows = SCREEN_ROWS_MAX;

    for (unsigned i = 0; i < found->count; i++) {
        const struct face *face = &found->faces[i]->face;
        columns = face->columns < columns ? face->columns : columns;
        rows = face->rows < rows ? face->rows : rows;
    }
    for (unsigned i = 0; i < found->count; i++)
        if (efi_face_is_graphics(found->faces[i]))
            efi_face_graphics_limit(found->faces[i], columns, rows);
}

/* Memory for what it shows; the device is emptied. */
static bool open_face(struct efi_face *face)
{
    struct platform *platform = &face->screen->firmware->platform;

    face->cells = platform_allocate(platform, sizeof(struct cell) * face->face.columns * face->face.rows);
    if (!face->cells)
        return false;
    blank(face);
    face->present = face->ops->begin(face);
    return face->present;
}

unsigned machine_faces(struct machine *machine, struct face **faces, unsigned max)
{
    struct firmware *firmware = machine->firmware;
    struct found found = {.count = 0};

    if (firmware->screen)
        return 0;
    struct firmware_screen *screen = platform_allocate_zeroed(&firmware->platform, sizeof(*screen));
    if (!screen)
        return 0;
    screen->firmware = firmware;
    firmware->screen = screen;
    firmware->quiet = true;
    console_text(firmware, false);
    find_graphics(screen, &found);
    if (found.count)
        find_terminals(screen, &found);
    else if (firmware->system->ConOut)
        add(&found, efi_face_text(screen, firmware->system->ConsoleOutHandle));
    settle(&found);
    for (unsigned i = 0; i < found.count; i++) {
        struct efi_face *face = found.faces[i];
        if (screen->faces < max && open_face(face)) {
            faces[screen->faces++] = &face->face;
            continue;
        }
        face->ops->end(face, face->interface != NULL);
        efi_face_free(face);
    }
    unsigned count = screen->faces;
    if (!count) {
        drop_screen(screen);
        console_text(firmware, true);
    }
    return count;
}

void firmware_screen_abandon(struct firmware *firmware)
{
    if (!firmware->screen)
        return;
    firmware->screen = NULL;
    firmware->quiet = false;
    console_text(firmware, true);
}
