/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys for the screen (UEFI 2.10, section 12.2.3: a scan code, or a character; what was held down where the device says so).
 *
 * Firmware's terminals know few of the sequences that terminals send: the others arrive as the key ESC and characters. They are put
 * together here, so that F10 on a serial line is not taken for "back".
 */
#include <string.h>

#include "boot/efi_screen.h"

/* Policy: the firmware is asked so often while there is no key; a job may ask at every step. */
#define KEY_INTERVAL (10 * NANOSECONDS_PER_MILLISECOND)
/* Keys that mean nothing here are passed over, but not for ever. */
#define KEYS_SKIPPED_MAX 64
/* Policy: what belongs to a sequence follows its ESC within this time, also at 9600 baud and with a driver that looks every 20 ms. */
#define SEQUENCE_TIME (60 * NANOSECONDS_PER_MILLISECOND)
#define CONTROL_C 3
#define DELETE_CHARACTER 0x7f

static EFI_GUID extended_guid = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;

static bool read_extended(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *in, EFI_KEY_DATA *data)
{
    memset(data, 0, sizeof(*data));
    return in && !EFI_ERROR(in->ReadKeyStrokeEx(in, data));
}

static bool read_simple(SIMPLE_INPUT_INTERFACE *in, EFI_KEY_DATA *data)
{
    memset(data, 0, sizeof(*data));
    return in && !EFI_ERROR(in->ReadKeyStroke(in, &data->Key));
}

static bool read_data(struct firmware *firmware, EFI_KEY_DATA *data)
{
    SIMPLE_INPUT_INTERFACE *simple = firmware->system->ConIn;
    EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *extended =
        firmware_handle_protocol(firmware, firmware->system->ConsoleInHandle, &extended_guid);

    if (firmware->key_count) { /* typed before there was a screen */
        memset(data, 0, sizeof(*data));
        return firmware_read_key(firmware, &data->Key, 0);
    }
    if (extended ? read_extended(extended, data) : read_simple(simple, data))
        return true;
    if (!firmware->keyboard)
        return false;
    firmware_keyboard_protocols(firmware, &simple, &extended);
    return read_extended(extended, data);
}

static bool is_held(const EFI_KEY_DATA *data, UINT32 keys)
{
    return (data->KeyState.KeyShiftState & EFI_SHIFT_STATE_VALID) && (data->KeyState.KeyShiftState & keys);
}

static bool scan_code_key(UINT16 scan_code, enum key_code *code)
{
    static const struct {
        UINT16 scan_code;
        enum key_code code;
    } codes[] = {{SCAN_UP, KEY_UP},         {SCAN_DOWN, KEY_DOWN},       {SCAN_RIGHT, KEY_RIGHT},
                 {SCAN_LEFT, KEY_LEFT},     {SCAN_HOME, KEY_HOME},       {SCAN_END, KEY_END},
                 {SCAN_DELETE, KEY_DELETE}, {SCAN_PAGE_UP, KEY_PAGE_UP}, {SCAN_PAGE_DOWN, KEY_PAGE_DOWN},
                 {SCAN_F1, KEY_F1},         {SCAN_F2, KEY_F2},           {SCAN_F5, KEY_F5},
                 {SCAN_F10, KEY_F10},       {SCAN_ESC, KEY_ESCAPE}};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].scan_code != scan_code)
            continue;
        *code = codes[i].code;
        return true;
    }
    return false;
}

/* false: nothing that a screen knows. */
static bool translate(const EFI_KEY_DATA *data, struct key *key)
{
    const UINT16 unit = data->Key.UnicodeChar;
    const bool control = is_held(data, EFI_LEFT_CONTROL_PRESSED | EFI_RIGHT_CONTROL_PRESSED);

    *key = (struct key){.code = KEY_CHARACTER};
    if (data->Key.ScanCode)
        return scan_code_key(data->Key.ScanCode, &key->code);
    if (unit == '\r' || unit == '\n')
        key->code = KEY_ENTER;
    else if (unit == '\t')
        key->code = is_held(data, EFI_LEFT_SHIFT_PRESSED | EFI_RIGHT_SHIFT_PRESSED) ? KEY_BACK_TAB : KEY_TAB;
    else if (unit == '\b' || unit == DELETE_CHARACTER)
        key->code = KEY_BACKSPACE;
    else if (unit == CONTROL_C || (control && (unit | 0x20) == 'c'))
        key->code = KEY_INTERRUPT;
    else if (unit < ' ' || (unit >= 0x80 && unit < 0xa0) || (unit >= 0xd800 && unit < 0xe000) || unit >= 0xfffe)
        return false;
    else
        key->character = unit;
    /* Control with a letter is not the letter; with AltGr, which some keyboards say as both, it is. */
    return key->code != KEY_CHARACTER || !control || is_held(data, EFI_RIGHT_ALT_PRESSED);
}

static bool next_known_key(struct firmware *firmware, struct key *key)
{
    EFI_KEY_DATA data;

    for (unsigned i = 0; i < KEYS_SKIPPED_MAX && read_data(firmware, &data); i++)
        if (translate(&data, key))
            return true;
    return false;
}

/* No sequence after all: the ESC was a key, and so was the one character behind it, or `next`. More than one is not given back. */
static bool let_escape_go(struct firmware_screen *screen, const struct key *next, struct key *key)
{
    if (next)
        screen->waiting = *next;
    else if (screen->sequence_length == 1)
        screen->waiting = (struct key){.code = KEY_CHARACTER, .character = (uint8_t)screen->sequence[0]};
    screen->is_waiting = next || screen->sequence_length == 1;
    screen->escape_held = false;
    *key = (struct key){.code = KEY_ESCAPE};
    return true;
}

/* A key behind a held ESC. true: *key is to be given out. */
static bool add_to_sequence(struct firmware_screen *screen, const struct key *next, struct key *key)
{
    if (next->code != KEY_CHARACTER || next->character > '~')
        return let_escape_go(screen, next, key);
    screen->sequence[screen->sequence_length++] = (char)next->character;
    enum key_sequence found = key_sequence_find(screen->sequence, screen->sequence_length, key);
    if (found == KEY_SEQUENCE_NONE)
        return let_escape_go(screen, next, key);
    if (found != KEY_SEQUENCE_MORE)
        screen->escape_held = false;
    return found == KEY_SEQUENCE_KEY;
}

static void hold_escape(struct firmware_screen *screen)
{
    screen->escape_held = true;
    screen->sequence_length = 0;
    screen->sequence_deadline = deadline_after(&screen->firmware->platform, SEQUENCE_TIME);
}

bool machine_read_key(struct machine *machine, struct key *key)
{
    struct firmware *firmware = machine->firmware;
    struct firmware_screen *screen = firmware->screen;
    const UINT64 now = firmware_now(&firmware->platform);
    struct key next;

    if (!screen)
        return next_known_key(firmware, key);
    if (screen->is_waiting) {
        screen->is_waiting = false;
        *key = screen->waiting;
        return true;
    }
    if (now < screen->next_key_check)
        return false;
    while (next_known_key(firmware, &next)) {
        if (screen->escape_held) {
            if (add_to_sequence(screen, &next, key))
                return true;
        } else if (next.code == KEY_ESCAPE) {
            hold_escape(screen);
        } else {
            *key = next;
            return true;
        }
    }
    screen->next_key_check = now + KEY_INTERVAL;
    efi_faces_catch_up(screen);
    return screen->escape_held && now >= screen->sequence_deadline && let_escape_go(screen, NULL, key);
}
