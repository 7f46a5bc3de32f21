/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/catalogue/catalogue.h"

#include <string.h>

const struct language *const languages[] = {
#define LANGUAGE(name) &language_##name,
#include "ui/catalogue/languages.h"
#undef LANGUAGE
};
const unsigned language_count = sizeof(languages) / sizeof(languages[0]);

static const unsigned char widths[TEXT_COUNT] = {
#define TEXT(id, width, english) [TEXT_##id] = width,
#include "ui/catalogue/texts.h"
#undef TEXT
};

/* --- finding a language --- */

/* No language tag that means one is longer (RFC 5646, section 4.4.1: 35 are enough). */
#define TAG_MAX 64

static char lower(char character)
{
    return character >= 'A' && character <= 'Z' ? (char)(character - 'A' + 'a') : character;
}

static bool is_tag_character(char character)
{
    character = lower(character);
    return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9');
}

/* The length of the subtag at `tag`, which may not go beyond `room`. */
static size_t subtag_length(const char *tag, size_t room)
{
    size_t length = 0;

    while (length < room && is_tag_character(tag[length]))
        length++;
    return length;
}

/* Is the subtag one of the words? */
static bool is_among(const char *words, const char *subtag, size_t length)
{
    while (words && *words) {
        size_t word = strcspn(words, " "), same = 0;
        while (same < word && same < length && words[same] == lower(subtag[same]))
            same++;
        if (same == word && same == length)
            return true;
        words += word + (words[word] == ' ');
    }
    return false;
}

static bool language_fits(const struct language *language, const char *tag)
{
    size_t at = 0, length = subtag_length(tag, TAG_MAX);

    if (!is_among(language->called, tag, length))
        return false;
    /* A script (four letters) decides before a region; behind a single character stand extensions. */
    for (;;) {
        at += length;
        if (at >= TAG_MAX || (tag[at] != '-' && tag[at] != '_'))
            return true;
        at++;
        length = subtag_length(tag + at, TAG_MAX - at);
        if (is_among(language->not_for, tag + at, length))
            return false;
        if (length == 4 || length <= 1)
            return true;
    }
}

const struct language *language_find(const char *code)
{
    for (unsigned i = 0; code && i < language_count; i++) {
        if (language_fits(languages[i], code))
            return languages[i];
    }
    return languages[0];
}

/* --- texts --- */

const char *catalogue_text(const struct language *language, enum text_id id)
{
    if ((unsigned)id >= TEXT_COUNT)
        return "";
    return language && language->texts[id] ? language->texts[id] : languages[0]->texts[id];
}

const struct error_text *catalogue_error(const struct language *language, enum error_code code)
{
    if ((unsigned)code >= ERROR_CODE_COUNT)
        code = ERROR_IO;
    return language && language->errors[code].what ? &language->errors[code] : &languages[0]->errors[code];
}

const char *catalogue_message(const struct language *language, enum message_id id)
{
    if ((unsigned)id >= MESSAGE_COUNT)
        return "";
    return language && language->messages[id] ? language->messages[id] : languages[0]->messages[id];
}

unsigned catalogue_width(enum text_id id)
{
    return (unsigned)id < TEXT_COUNT ? widths[id] : 0;
}

char *catalogue_format(const struct language *language, enum text_id id, char *to, size_t size, const char *first,
                       const char *second, const char *third, const char *fourth)
{
    const char *const arguments[] = {first, second, third, fourth};
    struct phrase phrase;

    if (!size)
        return to;
    phrase_begin(&phrase, to, size);
    phrase_fill(&phrase, catalogue_text(language, id), arguments);
    return to;
}

/* --- phrases --- */

void phrase_begin(struct phrase *phrase, char *text, size_t size)
{
    *phrase = (struct phrase){text, size, 0};
    text[0] = 0;
}

static bool continues_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* How many of `room` bytes of a longer text can be taken without a piece of a character. */
static size_t whole_characters(const char *text, size_t room)
{
    size_t back = 0;

    while (back < 3 && back < room && continues_character(text[room - back]))
        back++;
    /* What continues for more than three bytes is no UTF-8. */
    return continues_character(text[room - back]) ? room : room - back;
}

void phrase_add(struct phrase *phrase, const char *text, size_t length)
{
    size_t room = phrase->size - phrase->used - 1;
    bool fits = length <= room;

    if (!fits)
        length = whole_characters(text, room);
    memcpy(phrase->text + phrase->used, text, length);
    phrase->used += length;
    phrase->text[phrase->used] = 0;
    if (!fits)
        phrase->size = phrase->used + 1;
}

void phrase_fill(struct phrase *phrase, const char *pattern, const char *const arguments[4])
{
    while (*pattern) {
        size_t plain = strcspn(pattern + 1, "%") + 1;
        if (pattern[0] == '%' && pattern[1] >= '1' && pattern[1] <= '4') {
            const char *argument = arguments[pattern[1] - '1'];
            if (argument)
                phrase_add(phrase, argument, strlen(argument));
            plain = 2;
        } else {
            phrase_add(phrase, pattern, plain);
        }
        pattern += plain;
    }
}
