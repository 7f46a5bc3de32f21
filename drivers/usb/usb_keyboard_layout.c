/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The US layout, and what the firmware calls keys without a character. Usages are those of HID Usage Tables 1.3, chapter
 * 10; scan codes those of UEFI 2.10, tables 12.2 and 12.3. Pure.
 */
#include "drivers/usb/usb_keyboard.h"

enum scan_code {
    SCAN_UP = 0x01,
    SCAN_DOWN = 0x02,
    SCAN_RIGHT = 0x03,
    SCAN_LEFT = 0x04,
    SCAN_HOME = 0x05,
    SCAN_END = 0x06,
    SCAN_INSERT = 0x07,
    SCAN_DELETE = 0x08,
    SCAN_PAGE_UP = 0x09,
    SCAN_PAGE_DOWN = 0x0a,
    SCAN_F1 = 0x0b,
    SCAN_ESCAPE = 0x17,
    SCAN_PAUSE = 0x48,
    SCAN_F13 = 0x68,
    SCAN_MUTE = 0x7f,
    SCAN_VOLUME_UP = 0x80,
    SCAN_VOLUME_DOWN = 0x81,
};

#define USAGE_A 0x04
#define USAGE_Z 0x1d
#define USAGE_1 0x1e
#define USAGE_CAPS_LOCK 0x39
#define USAGE_F1 0x3a
#define USAGE_F12 0x45
#define USAGE_SCROLL_LOCK 0x47
#define USAGE_NUM_LOCK 0x53
#define USAGE_KEYPAD_1 0x59
#define USAGE_KEYPAD_POINT 0x63
#define USAGE_OTHER_BACKSLASH 0x64 /* between left shift and Z where there is one */
#define USAGE_F13 0x68
#define USAGE_F24 0x73
#define USAGE_FIRST_MODIFIER 0xe0
#define USAGE_LAST_MODIFIER 0xe7

#define LETTERS ('z' - 'a' + 1)

/* From "1" to "/", without and with shift; 0: no character that shift changes. */
static const char signs[][2] = {
    {'1', '!'}, {'2', '@'},  {'3', '#'},  {'4', '$'}, {'5', '%'},  {'6', '^'}, {'7', '&'}, {'8', '*'}, {'9', '('},
    {'0', ')'}, {0, 0},      {0, 0},      {0, 0},     {0, 0},      {0, 0},     {'-', '_'}, {'=', '+'}, {'[', '{'},
    {']', '}'}, {'\\', '|'}, {'\\', '|'}, {';', ':'}, {'\'', '"'}, {'`', '~'}, {',', '<'}, {'.', '>'}, {'/', '?'},
};

/* Keys that are the same whatever else is held. */
static const struct plain_key {
    uint8_t usage;
    uint16_t scan_code, character;
} plain_keys[] = {
    {0x28, 0, '\r'}, /* Enter */
    {0x29, SCAN_ESCAPE, 0},
    {0x2a, 0, '\b'}, /* Backspace */
    {0x2b, 0, '\t'},
    {0x2c, 0, ' '},
    {0x48, SCAN_PAUSE, 0},
    {0x49, SCAN_INSERT, 0},
    {0x4a, SCAN_HOME, 0},
    {0x4b, SCAN_PAGE_UP, 0},
    {0x4c, SCAN_DELETE, 0},
    {0x4d, SCAN_END, 0},
    {0x4e, SCAN_PAGE_DOWN, 0},
    {0x4f, SCAN_RIGHT, 0},
    {0x50, SCAN_LEFT, 0},
    {0x51, SCAN_DOWN, 0},
    {0x52, SCAN_UP, 0},
    {0x54, 0, '/'}, /* keypad, from here on */
    {0x55, 0, '*'},
    {0x56, 0, '-'},
    {0x57, 0, '+'},
    {0x58, 0, '\r'},
    {0x67, 0, '='},
    {0x7f, SCAN_MUTE, 0},
    {0x80, SCAN_VOLUME_UP, 0},
    {0x81, SCAN_VOLUME_DOWN, 0},
};

/* Keypad 1 to 9, 0 and point: with num lock, and without it or with shift. */
static const struct keypad_key {
    char character;
    uint16_t scan_code;
} keypad[] = {
    {'1', SCAN_END},    {'2', SCAN_DOWN}, {'3', SCAN_PAGE_DOWN}, {'4', SCAN_LEFT},    {'5', 0},
    {'6', SCAN_RIGHT},  {'7', SCAN_HOME}, {'8', SCAN_UP},        {'9', SCAN_PAGE_UP}, {'0', SCAN_INSERT},
    {'.', SCAN_DELETE},
};

static bool is_silent(uint8_t usage)
{
    return usage == USAGE_CAPS_LOCK || usage == USAGE_SCROLL_LOCK || usage == USAGE_NUM_LOCK ||
           (usage >= USAGE_FIRST_MODIFIER && usage <= USAGE_LAST_MODIFIER);
}

static bool keypad_keystroke(const struct usb_key *key, bool shift, struct usb_keystroke *keystroke)
{
    const struct keypad_key *entry = &keypad[key->usage - USAGE_KEYPAD_1];

    if (key->num_lock && !shift)
        keystroke->character = (uint8_t)entry->character;
    else
        keystroke->scan_code = entry->scan_code;
    keystroke->shift_used = key->num_lock && shift;
    return keystroke->character || keystroke->scan_code;
}

bool usb_keystroke_of(const struct usb_key *key, struct usb_keystroke *keystroke)
{
    bool shift = key->modifiers & USB_MODIFIERS_SHIFT;
    uint8_t usage = key->usage;

    *keystroke = (struct usb_keystroke){0};
    if (is_silent(usage))
        return true;
    if (usage >= USAGE_A && usage <= USAGE_Z) {
        keystroke->character = (uint16_t)((shift != key->caps_lock ? 'A' : 'a') + usage - USAGE_A);
        keystroke->shift_used = shift;
        return true;
    }
    if (usage == USAGE_OTHER_BACKSLASH)
        usage = 0x31;
    if (usage >= USAGE_1 && usage < USAGE_1 + sizeof(signs) / sizeof(signs[0]) && signs[usage - USAGE_1][0]) {
        keystroke->character = (uint8_t)signs[usage - USAGE_1][shift];
        keystroke->shift_used = shift;
        return true;
    }
    if (usage >= USAGE_KEYPAD_1 && usage <= USAGE_KEYPAD_POINT)
        return keypad_keystroke(key, shift, keystroke);
    if (usage >= USAGE_F1 && usage <= USAGE_F12)
        keystroke->scan_code = (uint16_t)(SCAN_F1 + usage - USAGE_F1);
    else if (usage >= USAGE_F13 && usage <= USAGE_F24)
        keystroke->scan_code = (uint16_t)(SCAN_F13 + usage - USAGE_F13);
    for (size_t i = 0; i < sizeof(plain_keys) / sizeof(plain_keys[0]); i++) {
        if (plain_keys[i].usage == usage) {
            keystroke->scan_code = plain_keys[i].scan_code;
            keystroke->character = plain_keys[i].character;
        }
    }
    return keystroke->scan_code || keystroke->character;
}

uint16_t usb_keystroke_control(uint16_t character, uint8_t modifiers)
{
    if (!(modifiers & USB_MODIFIERS_CONTROL))
        return character;
    if (character >= 'a' && character < 'a' + LETTERS)
        return (uint16_t)(character - 'a' + 1);
    if (character >= 'A' && character < 'A' + LETTERS)
        return (uint16_t)(character - 'A' + 1);
    return character;
}
