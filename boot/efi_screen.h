/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The faces of the screen that the firmware has: pictures (efi_screen_graphics.c) and text consoles (efi_screen_text.c), found by
 * efi_screen_find.c and kept by efi_screen.c, and the keys (efi_screen_keys.c). Boot processor only.
 */
#ifndef BOOT_EFI_SCREEN_H
#define BOOT_EFI_SCREEN_H

#include "boot/efi_firmware.h"
#include "ui/screen/font.h"
#include "ui/screen/key_sequence.h"
#include "ui/screen/screen.h"

struct efi_face;

struct efi_face_ops {
    /* Shows cells of a row; false: the device fails, or takes too long. */
    bool (*show)(struct efi_face *face, unsigned row, unsigned column, const struct cell *cells, unsigned count);
    /* Empties all of the device; also after it has come back, perhaps as another interface. false: it cannot be used. */
    bool (*begin)(struct efi_face *face);
    bool (*cursor)(struct efi_face *face, unsigned row, unsigned column); /* row UINT_MAX: hidden */
    bool (*can_show)(struct efi_face *face, uint32_t character);
    /* Back to what it was. Frees what is its own. present: the device is there. */
    void (*end)(struct efi_face *face, bool present);
};

/*
 * One face. The device may go at any moment between two updates (a USB controller changes hands) and come back as another handle
 * with the same device path: what it ought to show is kept here, and drawn again then.
 */
struct efi_face {
    struct face face; /* first */
    const struct efi_face_ops *ops;
    struct firmware_screen *screen;
    EFI_GUID guid; /* the protocol: text or graphics output */
    EFI_HANDLE handle;
    VOID *interface;       /* of `handle` when it was looked for last */
    EFI_DEVICE_PATH *path; /* a copy; NULL: the console itself, which stays */
    struct cell *cells;    /* rows * columns */
    bool checked;          /* looked for in this update */
    bool present;
    bool late[SCREEN_ROWS_MAX]; /* rows that the device has not got, or not all of them */
    bool is_late;               /* there are some */
    unsigned cursor_row, cursor_column;
    UINT64 asked;            /* when its device was last asked for something */
    UINT64 rest, rest_until; /* it failed or was too slow: not touched before; the pauses grow */
    struct efi_face *next;
};

/* While faces are open; firmware->screen. */
struct firmware_screen {
    struct firmware *firmware;
    struct font *font;      /* with the first picture */
    struct efi_face *first; /* those that are open */
    UINT64 next_key_check;
    /* efi_screen_keys.c: an ESC that may begin a sequence is held back, with what followed it. */
    bool escape_held;
    char sequence[KEY_SEQUENCE_MAX];
    unsigned sequence_length;
    UINT64 sequence_deadline;
    struct key waiting; /* read already, comes next */
    bool is_waiting;
};

/* Make a face of a device; columns and rows are set, at least SCREEN_*_MIN. NULL: it cannot be one, or no memory. */
struct efi_face *efi_face_graphics(struct firmware_screen *screen, EFI_HANDLE handle);
struct efi_face *efi_face_text(struct firmware_screen *screen, EFI_HANDLE handle);
/* A picture need not be larger than the smallest face. */
void efi_face_graphics_limit(struct efi_face *face, unsigned columns, unsigned rows);
bool efi_face_is_graphics(const struct efi_face *face);

/* For the two: allocates and fills in what all have; `size` bytes. */
struct efi_face *efi_face_new(struct firmware_screen *screen, size_t size, const struct efi_face_ops *ops,
                              EFI_HANDLE handle, const EFI_GUID *guid);
void efi_face_free(struct efi_face *face);
/* Memory for what it shows; the device is emptied, and the face one of the screen's. false: neither. */
bool efi_face_open(struct efi_face *face);

/* The firmware's console for text: empty and with a cursor, or out of the way. */
void firmware_screen_console(struct firmware *firmware, bool on);
/* Without a face: gives everything back, the console as well. */
void firmware_screen_drop(struct firmware_screen *screen);

/* Brings faces up to date that could not follow; while nothing else is to be done. */
void efi_faces_catch_up(struct firmware_screen *screen);

/* The console is the firmware's again for the words of a panic. The faces are not used afterwards. */
void firmware_screen_abandon(struct firmware *firmware);

#endif
