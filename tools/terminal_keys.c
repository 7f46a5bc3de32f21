/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a terminal into keys: UTF-8, controls, and the sequences that begin with ESC. */
#include <string.h>

#include "tools/terminal.h"
#include "ui/screen/key_sequence.h"

#define ESC 0x1b

void terminal_keys_add(struct terminal_keys *keys, const void *bytes, size_t count, uint64_t now)
{
    size_t room = sizeof(keys->bytes) - keys->count;

    if (count > room)
        count = room;
    memcpy(keys->bytes + keys->count, bytes, count);
    keys->count += count;
    keys->since = now;
}

static void take(struct terminal_keys *keys, size_t count)
{
    keys->count -= count;
    memmove(keys->bytes, keys->bytes + count, keys->count);
}

enum outcome { WHOLE, UNKNOWN, NOT_WHOLE };

static enum outcome take_sequence(struct terminal_keys *keys, struct key *key)
{
    unsigned length = 0;
    enum key_sequence found;

    do
        found = key_sequence_find((const char *)keys->bytes + 1, length, key);
    while (found == KEY_SEQUENCE_MORE && 1 + length++ < keys->count);
    switch (found) {
    case KEY_SEQUENCE_MORE:
        return NOT_WHOLE;
    case KEY_SEQUENCE_NONE: /* the ESC was a key */
        key->code = KEY_ESCAPE;
        take(keys, 1);
        return WHOLE;
    default:
        take(keys, 1 + length);
        return found == KEY_SEQUENCE_KEY ? WHOLE : UNKNOWN;
    }
}

static bool control_key(uint8_t byte, struct key *key)
{
    switch (byte) {
    case '\r':
    case '\n':
        key->code = KEY_ENTER;
        return true;
    case '\t':
        key->code = KEY_TAB;
        return true;
    case '\b':
    case 0x7f:
        key->code = KEY_BACKSPACE;
        return true;
    case 3:
        key->code = KEY_INTERRUPT;
        return true;
    case 12: /* Ctrl-L, as everywhere */
        key->code = KEY_F5;
        return true;
    default:
        return false;
    }
}

static enum outcome take_character(struct terminal_keys *keys, struct key *key)
{
    uint8_t first = keys->bytes[0];
    size_t size = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    char text[8] = {0};
    const char *at = text;

    if (keys->count < size)
        return NOT_WHOLE;
    memcpy(text, keys->bytes, size);
    key->code = KEY_CHARACTER;
    key->character = text_next(&at);
    bool whole = (size_t)(at - text) == size && character_width(key->character);
    take(keys, whole ? size : 1);
    return whole ? WHOLE : UNKNOWN;
}

bool terminal_keys_next(struct terminal_keys *keys, uint64_t now, struct key *key)
{
    while (keys->count) {
        bool late = now - keys->since >= TERMINAL_ESCAPE_WAIT;
        enum outcome outcome = UNKNOWN;

        *key = (struct key){0};
        if (keys->bytes[0] == ESC) {
            outcome = take_sequence(keys, key);
        } else if (control_key(keys->bytes[0], key)) {
            take(keys, 1);
            outcome = WHOLE;
        } else {
            outcome = take_character(keys, key);
        }
        if (outcome == WHOLE)
            return true;
        if (outcome == NOT_WHOLE && !late)
            return false;
        if (outcome == NOT_WHOLE) { /* the rest never came */
            key->code = KEY_ESCAPE;
            bool was_escape = keys->bytes[0] == ESC;
            take(keys, 1);
            if (was_escape)
                return true;
        }
    }
    return false;
}
