/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys that terminals send as ESC and some characters: ECMA-48, section 5.4 (control sequences, "ESC ["), and the two characters of
 * SS3 ("ESC O"), as xterm, its many relatives and the VT family have them. Any processor.
 */
#ifndef UI_SCREEN_KEY_SEQUENCE_H
#define UI_SCREEN_KEY_SEQUENCE_H

#include "ui/screen/screen.h"

/* A longer one is none. */
#define KEY_SEQUENCE_MAX 12

enum key_sequence {
    KEY_SEQUENCE_NONE,    /* this is not how one begins: the ESC was a key */
    KEY_SEQUENCE_MORE,    /* it may become one */
    KEY_SEQUENCE_KEY,     /* *key is set */
    KEY_SEQUENCE_UNKNOWN, /* a whole one, of a key that no screen knows: to be passed over */
};

/* `text`: the `length` characters that followed the ESC so far. */
enum key_sequence key_sequence_find(const char *text, unsigned length, struct key *key);

#endif
