/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/screen/key_sequence.h"

#include <string.h>

/* Some keys have several: by the terminal, and by whether it is in its application mode. */
static const struct {
    char text[6];
    enum key_code code;
} sequences[] = {
    {"[A", KEY_UP},    {"[B", KEY_DOWN},    {"[C", KEY_RIGHT},    {"[D", KEY_LEFT},       {"OA", KEY_UP},
    {"OB", KEY_DOWN},  {"OC", KEY_RIGHT},   {"OD", KEY_LEFT},     {"[H", KEY_HOME},       {"[F", KEY_END},
    {"OH", KEY_HOME},  {"OF", KEY_END},     {"[1~", KEY_HOME},    {"[4~", KEY_END},       {"[7~", KEY_HOME},
    {"[8~", KEY_END},  {"[3~", KEY_DELETE}, {"[5~", KEY_PAGE_UP}, {"[6~", KEY_PAGE_DOWN}, {"[Z", KEY_BACK_TAB},
    {"OP", KEY_F1},    {"OQ", KEY_F2},      {"[11~", KEY_F1},     {"[12~", KEY_F2},       {"[15~", KEY_F5},
    {"[21~", KEY_F10}, {"[[A", KEY_F1},     {"[[B", KEY_F2},      {"[[E", KEY_F5},
};

enum key_sequence key_sequence_find(const char *text, unsigned length, struct key *key)
{
    const size_t count = sizeof(sequences) / sizeof(sequences[0]);

    if (length && text[0] != '[' && text[0] != 'O')
        return KEY_SEQUENCE_NONE;
    for (size_t i = 0; i < count; i++) {
        if (strlen(sequences[i].text) != length || memcmp(sequences[i].text, text, length) != 0)
            continue;
        *key = (struct key){.code = sequences[i].code};
        return KEY_SEQUENCE_KEY;
    }
    if (length < 2 || (length == 2 && text[1] == '['))
        return KEY_SEQUENCE_MORE;
    const char last = text[length - 1];
    if (last < ' ' || last > '~' || length >= KEY_SEQUENCE_MAX)
        return KEY_SEQUENCE_NONE;
    /* Parameters and intermediates, then one final character. */
    return text[0] == '[' && last < '@' ? KEY_SEQUENCE_MORE : KEY_SEQUENCE_UNKNOWN;
}
