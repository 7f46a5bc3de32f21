/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which devices of the firmware are faces of the screen: each panel once, each terminal that is a console. */
#include <string.h>

#include "boot/efi_screen.h"

/* Marks the consoles among the devices (UEFI 2.10, section 12.1). */
static EFI_GUID console_out_guid = {0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
static EFI_GUID graphics_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
static EFI_GUID text_guid = EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID;

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

unsigned machine_faces(struct machine *machine, struct face **faces, unsigned max)
{
    struct firmware *firmware = machine->firmware;
    struct found found = {.count = 0};
    unsigned count = 0;

    if (firmware->screen)
        return 0;
    struct firmware_screen *screen = platform_allocate_zeroed(&firmware->platform, sizeof(*screen));
    if (!screen)
        return 0;
    screen->firmware = firmware;
    firmware->screen = screen;
    firmware->quiet = true;
    firmware_screen_console(firmware, false);
    find_graphics(screen, &found);
    if (found.count)
        find_terminals(screen, &found);
    else if (firmware->system->ConOut)
        add(&found, efi_face_text(screen, firmware->system->ConsoleOutHandle));
    settle(&found);
    for (unsigned i = 0; i < found.count; i++) {
        struct efi_face *face = found.faces[i];
        if (count < max && efi_face_open(face)) {
            faces[count++] = &face->face;
            continue;
        }
        face->ops->end(face, face->interface != NULL);
        efi_face_free(face);
    }
    if (!count)
        firmware_screen_drop(screen);
    return count;
}
