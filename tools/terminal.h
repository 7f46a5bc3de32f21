/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A POSIX terminal as a face of the screen: escape sequences of ECMA-48 as every terminal emulator and the Linux console have them, keys
 * as bytes from the same terminal.
 */
#ifndef TOOLS_TERMINAL_H
#define TOOLS_TERMINAL_H

#include <signal.h>

#include "ui/screen/screen.h"

/* --- keys (terminal_keys.c) --- */

#define TERMINAL_KEYS_MAX 64
/* How long a lone ESC may be the beginning of a sequence. */
#define TERMINAL_ESCAPE_WAIT (50 * NANOSECONDS_PER_MILLISECOND)

struct terminal_keys {
    uint8_t bytes[TERMINAL_KEYS_MAX];
    size_t count;
    uint64_t since; /* when the last byte came, nanoseconds */
};
/* Adds what was read; what there is no room for is dropped. */
void terminal_keys_add(struct terminal_keys *keys, const void *bytes, size_t count, uint64_t now);
/* The next key; false: none yet, or not whole yet. Sequences that are not known are passed over. */
bool terminal_keys_next(struct terminal_keys *keys, uint64_t now, struct key *key);

/* --- the terminal (terminal.c) --- */

/*
 * Opens standard input and output as a face in raw mode on the alternate screen; closing it puts the terminal back. One at a time.
 * NULL: they are no terminal, or no memory. *interrupted: set by a signal handler; the terminal gives KEY_INTERRUPT then.
 */
struct face *terminal_open(struct platform *platform, volatile sig_atomic_t *interrupted);
/* For struct screen; `keys` must be the face. */
bool terminal_read_key(struct screen *screen, struct key *key);

#endif
