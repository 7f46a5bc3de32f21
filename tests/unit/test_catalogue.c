/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every language has every text, in a form that its place on the screens can show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ui/catalogue/catalogue.h"
#include "ui/message.h"
#include "ui/screen/screen.h"

#define UNIFONT "/usr/share/unifont/unifont.hex"

static const char *const text_names[] = {
#define TEXT(id, width, english) #id,
#include "ui/catalogue/texts.h"
#undef TEXT
};

/* Faults are counted and all are told, so that a translator sees them at once. */
static unsigned faults;

__attribute__((format(printf, 3, 4))) static void fault(const struct language *language, const char *name,
                                                        const char *format, ...)
{
    va_list arguments;
    char what[2000];

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    print_error("%s, %s: %s\n", language->code, name, what);
    faults++;
}

/* --- every string of a language --- */

enum string_kind {
    STRING_LINE,      /* on a screen, in a place of known width */
    STRING_PARAGRAPH, /* breaks */
    STRING_SENTENCE,  /* of an error or message: whole, or a piece that others surround */
    STRING_PART       /* blanks at its ends belong to it */
};

typedef void check_function(const struct language *language, const char *name, enum string_kind kind, const char *text,
                            const char *english);

static const struct {
    const char *name;
    size_t offset;
} parts[] = {
#define PART(field)                                                                                                    \
    {                                                                                                                  \
#field, offsetof(struct language, field)                                                                       \
    }
    PART(sentence.partition),
    PART(sentence.device[SIDE_NONE]),
    PART(sentence.device[SIDE_SOURCE]),
    PART(sentence.device[SIDE_TARGET]),
    PART(sentence.device[SIDE_IMAGE]),
    PART(sentence.operation),
    PART(sentence.place),
    PART(sentence.detail),
    PART(sentence.status),
    PART(sentence.end),
    PART(sentence.next),
#undef PART
};

static const char *part_of(const struct language *language, size_t offset)
{
    return *(const char *const *)((const char *)language + offset);
}

/* What is missing is told once, by check_is_there(); the others look at what is there. */
static void check_is_there(const struct language *language, const char *name, enum string_kind kind, const char *text,
                           const char *english)
{
    (void)kind;
    if (!text || !english)
        fault(language, name, "missing");
    else if (!text[0] != !english[0])
        fault(language, name, "empty here and not in English, or the other way round");
}

static void check_one(check_function *check, const struct language *language, const char *name, enum string_kind kind,
                      const char *text, const char *english)
{
    if ((text && english) || check == check_is_there)
        check(language, name, kind, text, english);
}

static void check_all_of(const struct language *language, check_function *check)
{
    const struct language *english = languages[0];
    char name[64];

    for (unsigned id = 0; id < TEXT_COUNT; id++)
        check_one(check, language, text_names[id], catalogue_width(id) ? STRING_LINE : STRING_PARAGRAPH,
                  language->texts[id], english->texts[id]);
    for (unsigned code = 0; code < ERROR_CODE_COUNT; code++) {
        snprintf(name, sizeof(name), "error \"%s\"", error_code_name(code));
        check_one(check, language, name, STRING_SENTENCE, language->errors[code].what, english->errors[code].what);
        check_one(check, language, name, STRING_SENTENCE, language->errors[code].next, english->errors[code].next);
    }
    check_one(check, language, "failing_target", STRING_SENTENCE, language->failing_target, english->failing_target);
    for (unsigned id = 0; id < MESSAGE_COUNT; id++) {
        snprintf(name, sizeof(name), "message \"%s\"", message_name(id));
        check_one(check, language, name, STRING_SENTENCE, language->messages[id], english->messages[id]);
    }
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        check_one(check, language, parts[i].name, STRING_PART, part_of(language, parts[i].offset),
                  part_of(english, parts[i].offset));
    for (unsigned operation = 0; language->operations && operation < OPERATION_COUNT; operation++) {
        snprintf(name, sizeof(name), "operation \"%s\"", error_operation_name(operation));
        check_one(check, language, name, STRING_SENTENCE, language->operations[operation],
                  error_operation_name(operation));
    }
    check_one(check, language, "name", STRING_LINE, language->name, language->name);
}

static void check_all(check_function *check)
{
    faults = 0;
    for (unsigned i = 0; i < language_count; i++)
        check_all_of(languages[i], check);
    assert_int_equal(faults, 0);
}

static void test_nothing_is_missing(void **state)
{
    (void)state;
    check_all(check_is_there);
}

/* --- characters --- */

/* Cells that each character's glyph takes in Unifont, 0: none. NULL when it is not installed. */
static uint8_t *load_glyphs(void)
{
    FILE *file = fopen(UNIFONT, "r");
    uint8_t *cells;
    char line[256];

    if (!file)
        return NULL;
    cells = calloc(0x10000, 1);
    assert_non_null(cells);
    while (fgets(line, sizeof(line), file)) {
        char *bitmap;
        unsigned long character = strtoul(line, &bitmap, 16);
        if (*bitmap == ':' && character < 0x10000)
            cells[character] = (uint8_t)(strspn(bitmap + 1, "0123456789ABCDEFabcdef") / 32);
    }
    fclose(file);
    return cells;
}

static uint8_t *glyphs;

static void check_characters(const struct language *language, const char *name, enum string_kind kind, const char *text,
                             const char *english)
{
    const char *at = text;
    uint32_t character, before = 0;

    (void)english;
    if (kind != STRING_PART && text[0] && (strchr(" \n", text[0]) || strchr(" \n", text[strlen(text) - 1])))
        fault(language, name, "begins or ends with a blank: \"%s\"", text);
    while ((character = text_next(&at))) {
        if (character == 0xfffd)
            fault(language, name, "not UTF-8, or beyond the Basic Multilingual Plane");
        else if (character == '\n' ? kind != STRING_PARAGRAPH : !character_width(character))
            fault(language, name, "control or combining character U+%04X", character);
        else if (character == ' ' && before == ' ')
            fault(language, name, "two blanks");
        else if (character != '\n' && glyphs && glyphs[character] != character_width(character))
            fault(language, name, "U+%04X takes %u cells, its glyph in Unifont %u", character,
                  character_width(character), glyphs[character]);
        before = character;
    }
}

static void test_characters_can_be_shown(void **state)
{
    (void)state;
    glyphs = load_glyphs();
    if (!glyphs)
        print_message("%s is not there: glyphs are not looked at\n", UNIFONT);
    check_all(check_characters);
    free(glyphs);
    glyphs = NULL;
}

/* --- widths --- */

static void check_fits(const struct language *language, const char *name, enum string_kind kind, const char *text,
                       const char *english)
{
    static const char *const nothing[4];
    struct phrase phrase;
    char bare[2000];
    unsigned width = 0;

    (void)english;
    if (kind != STRING_LINE)
        return;
    for (unsigned id = 0; id < TEXT_COUNT; id++) {
        if (strcmp(name, text_names[id]) == 0)
            width = catalogue_width(id);
    }
    phrase_begin(&phrase, bare, sizeof(bare));
    phrase_fill(&phrase, text, nothing);
    if (width && text_width(bare) > width)
        fault(language, name, "%u cells wide, %u are there: \"%s\"", text_width(bare), width, text);
}

static void test_texts_fit_their_places(void **state)
{
    (void)state;
    check_all(check_fits);
}

/* --- arguments --- */

/* The arguments of a pattern as a set of bits; UINT64_MAX when there is a % that is none of `letters`. */
static uint64_t arguments_of(const char *pattern, const char *letters)
{
    uint64_t set = 0;

    while ((pattern = strchr(pattern, '%'))) {
        const char *letter = pattern[1] ? strchr(letters, pattern[1]) : NULL;
        if (!letter)
            return UINT64_MAX;
        set |= 1ULL << (letter - letters);
        pattern += 2;
    }
    return set;
}

static void check_arguments(const struct language *language, const char *name, enum string_kind kind, const char *text,
                            const char *english)
{
    const char *letters = kind == STRING_SENTENCE ? "tuab012" : "1234";
    uint64_t set = arguments_of(text, letters);

    if (set == UINT64_MAX)
        fault(language, name, "a %% that is no argument: \"%s\"", text);
    else if (set != arguments_of(english, letters))
        fault(language, name, "other arguments than in English: \"%s\", \"%s\"", text, english);
}

static void test_arguments_are_all_there(void **state)
{
    (void)state;
    check_all(check_arguments);
}

/* --- meaning, as far as a program can see it --- */

/* What stands together on one screen, to be chosen between or told apart. */
#define GROUP_MAX 20
static const enum text_id groups[][GROUP_MAX] = {
    {TEXT_START_SAVE, TEXT_START_RESTORE, TEXT_START_CLONE, TEXT_START_CHECK, TEXT_START_LOOK, TEXT_START_PROMPT,
     TEXT_START_REBOOT, TEXT_START_POWER_OFF, TEXT_START_LEAVE},
    {TEXT_START_SAVE_HINT, TEXT_START_RESTORE_HINT, TEXT_START_CLONE_HINT, TEXT_START_CHECK_HINT, TEXT_START_LOOK_HINT,
     TEXT_START_PROMPT_HINT},
    {TEXT_TITLE_START, TEXT_TITLE_SAVE, TEXT_TITLE_RESTORE, TEXT_TITLE_CLONE, TEXT_TITLE_CHECK, TEXT_TITLE_LOOK},
    {TEXT_KEY_CHOOSE, TEXT_KEY_GO_ON, TEXT_KEY_BACK, TEXT_KEY_HELP, TEXT_KEY_CHANGE, TEXT_KEY_MOVE, TEXT_KEY_LOOK_AGAIN,
     TEXT_KEY_PARTITION, TEXT_KEY_LANGUAGE, TEXT_KEY_CANCEL, TEXT_KEY_PAUSE, TEXT_KEY_CLOSE, TEXT_KEY_START,
     TEXT_KEY_SCROLL},
    {TEXT_KEY_PAUSE, TEXT_KEY_RESUME, TEXT_KEY_CANCEL, TEXT_KEY_HELP},
    {TEXT_YES, TEXT_NO, TEXT_UNKNOWN},
    {TEXT_DISK_SAVE_QUESTION, TEXT_DISK_RESTORE_QUESTION, TEXT_DISK_CLONE_QUESTION, TEXT_DISK_LOOK_QUESTION},
    {TEXT_DISK_CLONE_QUESTION, TEXT_DISK_CLONE_TARGET_QUESTION},
    {TEXT_COLUMN_MODEL, TEXT_COLUMN_SERIAL, TEXT_COLUMN_SIZE, TEXT_COLUMN_BUS},
    {TEXT_COLUMN_FILE_SYSTEM, TEXT_COLUMN_LABEL, TEXT_COLUMN_SIZE, TEXT_COLUMN_USED},
    {TEXT_COLUMN_VOLUME, TEXT_COLUMN_FILE_SYSTEM, TEXT_COLUMN_FREE, TEXT_COLUMN_SIZE, TEXT_COLUMN_DISK},
    {TEXT_COLUMN_NAME, TEXT_COLUMN_SIZE, TEXT_COLUMN_DATE},
    {TEXT_DISK_IS_STICK, TEXT_DISK_IS_SOURCE, TEXT_DISK_IS_READ_ONLY},
    {TEXT_VOLUME_FITS, TEXT_VOLUME_TIGHT, TEXT_VOLUME_TOO_SMALL, TEXT_VOLUME_NOT_WRITABLE},
    {TEXT_VOLUME_QUESTION, TEXT_VOLUME_IMAGE_QUESTION},
    {TEXT_VOLUME_ON_SOURCE, TEXT_DISK_HAS_IMAGE},
    {TEXT_OPTION_NAME, TEXT_OPTION_LEVEL, TEXT_OPTION_VERIFY, TEXT_OPTION_SPLIT, TEXT_OPTION_SALVAGE, TEXT_OPTION_RAW,
     TEXT_OPTION_DISCARD, TEXT_OPTION_CONTINUE, TEXT_OPTION_GO_ON},
    {TEXT_LEVEL_AUTO, TEXT_LEVEL_NUMBER, TEXT_LEVEL_FASTEST, TEXT_LEVEL_SMALLEST},
    {TEXT_SPLIT_NONE, TEXT_SPLIT_SIZE},
    {TEXT_PLAN_READ_DISK, TEXT_PLAN_WRITE_DISK, TEXT_PLAN_COMPARED_DISK},
    {TEXT_PLAN_READ_PARTITION, TEXT_PLAN_WRITE_PARTITION},
    {TEXT_PLAN_READ_IMAGE, TEXT_PLAN_WRITE_IMAGE},
    {TEXT_PLAN_ERASE, TEXT_PLAN_ERASE_PARTITION},
    {TEXT_PLAN_READ_BACK, TEXT_PLAN_NO_READ_BACK},
    {TEXT_WORK_SAVE, TEXT_WORK_RESTORE, TEXT_WORK_CLONE, TEXT_WORK_CHECK},
    {TEXT_PHASE_PLAN, TEXT_PHASE_COPY, TEXT_PHASE_FLUSH, TEXT_PHASE_READ_BACK, TEXT_PHASE_FINISH},
    {TEXT_WORK_LEFT, TEXT_WORK_PASSED, TEXT_WORK_READING, TEXT_WORK_COMPRESSING, TEXT_WORK_EXPANDING, TEXT_WORK_WRITING,
     TEXT_WORK_COMPARING, TEXT_WORK_RATIO, TEXT_WORK_WHERE, TEXT_WORK_WARNINGS},
    {TEXT_MAP_UNUSED, TEXT_MAP_TO_DO, TEXT_MAP_READ, TEXT_MAP_WRITTEN, TEXT_MAP_COMPARED, TEXT_MAP_BAD},
    {TEXT_CANCEL_YES, TEXT_CANCEL_NO, TEXT_KEY_CLOSE},
    {TEXT_RESULT_VERIFIED, TEXT_RESULT_UNVERIFIED, TEXT_RESULT_CHECKED, TEXT_RESULT_LOSSES, TEXT_RESULT_CANCELLED,
     TEXT_RESULT_FAILED},
};

static void compare_group(const struct language *language, const enum text_id *group)
{
    /* TEXT_KEY_CHOOSE is 0: it stands first in its group or ends one. */
    for (unsigned i = 0; i < GROUP_MAX && (!i || group[i]); i++) {
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(catalogue_text(language, group[i]), catalogue_text(language, group[j])) == 0)
                fault(language, text_names[group[i]], "the same words as %s", text_names[group[j]]);
        }
    }
}

static void test_choices_differ(void **state)
{
    (void)state;
    faults = 0;
    for (unsigned i = 0; i < language_count; i++) {
        for (unsigned j = 0; j < sizeof(groups) / sizeof(groups[0]); j++)
            compare_group(languages[i], groups[j]);
        for (unsigned a = 1; a < MESSAGE_COUNT; a++) {
            for (unsigned b = 1; b < a; b++) {
                if (strcmp(catalogue_message(languages[i], a), catalogue_message(languages[i], b)) == 0)
                    fault(languages[i], message_name(a), "the same words as %s", message_name(b));
            }
        }
        for (unsigned a = 0; a < ERROR_CODE_COUNT; a++) {
            for (unsigned b = 0; b < a; b++) {
                if (strcmp(catalogue_error(languages[i], a)->what, catalogue_error(languages[i], b)->what) == 0)
                    fault(languages[i], error_code_name(a), "the same words as %s", error_code_name(b));
            }
        }
    }
    assert_int_equal(faults, 0);
}

/* Words that are typed, commands and names of keys are the same everywhere; one text quotes another. */
static void test_quoted_words_stay(void **state)
{
    static const char *const words[] = {"yes",  "help", "Enter", "Esc", "F2",   "F5",   "F10",    "AHCI",
                                        "RAID", "NTFS", "ext4",  "FAT", ".eid", ".001", "EIDOLON"};
    const struct language *english = languages[0];

    (void)state;
    faults = 0;
    for (unsigned i = 0; i < language_count; i++) {
        for (unsigned id = 0; id < TEXT_COUNT; id++) {
            for (unsigned word = 0; word < sizeof(words) / sizeof(words[0]); word++) {
                /* YES and NO are values that are shown; elsewhere yes is typed. */
                if (id != TEXT_YES && strstr(english->texts[id], words[word]) &&
                    !strstr(catalogue_text(languages[i], id), words[word]))
                    fault(languages[i], text_names[id], "\"%s\" is not in it", words[word]);
            }
        }
        if (!strstr(catalogue_text(languages[i], TEXT_RESULT_CONTINUE),
                    catalogue_text(languages[i], TEXT_OPTION_CONTINUE)))
            fault(languages[i], "RESULT_CONTINUE", "quotes an option that is called otherwise");
    }
    assert_int_equal(faults, 0);
}

/* What is written in --letters or name=value is typed, too. */
static void check_options(const struct language *language, const char *name, enum string_kind kind, const char *text,
                          const char *english)
{
    static const char *const options[] = {"--salvage", "--chunk", "--raw", "--continue", "io=firmware", "#N"};

    (void)kind;
    for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (!strstr(text, options[i]) != !strstr(english, options[i]))
            fault(language, name, "%s is in one of them only: \"%s\", \"%s\"", options[i], text, english);
    }
}

static void test_options_stay(void **state)
{
    (void)state;
    check_all(check_options);
}

/* --- sentences --- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static bool is_utf8(const char *text)
{
    uint32_t character;

    while ((character = text_next(&text))) {
        if (character == 0xfffd)
            return false;
    }
    return true;
}

/* What the sentence of an error with a detail ends with. */
static const char *expected_end(const struct language *language, enum error_code code, enum error_operation operation)
{
    const char *next = code == ERROR_MEDIUM && operation != OPERATION_READ ? language->failing_target
                                                                           : catalogue_error(language, code)->next;

    return code == ERROR_USAGE || !next[0] ? language->sentence.end : next;
}

/* No sentence is cut, with arguments as long as they can be. */
static void test_longest_sentences(void **state)
{
    struct error error = {.block = UINT64_MAX - 1, .raw_status = UINT32_MAX};
    struct message message = {.partition = UINT32_MAX, .number = {UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    char text[SENTENCE_MAX];
    size_t longest = 0;

    (void)state;
    memset(error.device, 'd', sizeof(error.device) - 1);
    memset(error.detail, 'x', sizeof(error.detail) - 1);
    memset(message.text[0], 't', MESSAGE_TEXT_MAX - 1);
    memset(message.text[1], 'u', MESSAGE_TEXT_MAX - 1);
    for (unsigned i = 0; i < language_count; i++) {
        for (unsigned code = 0; code < ERROR_CODE_COUNT; code++) {
            for (unsigned operation = 0; operation < OPERATION_COUNT; operation++) {
                error.code = code;
                error.operation = operation;
                error.side = (enum error_side)(1 + operation % SIDE_IMAGE);
                error_sentence_in(languages[i], &error, text);
                const char *next = expected_end(languages[i], code, operation);
                if (!is_utf8(text) || !ends_with(text, next))
                    fail_msg("%s, error %u: %s", languages[i]->code, code, text);
                longest = strlen(text) > longest ? strlen(text) : longest;
            }
        }
        for (unsigned id = 1; id < MESSAGE_COUNT; id++) {
            message.id = id;
            message_sentence_in(languages[i], &message, text);
            if (!is_utf8(text) || !ends_with(text, languages[i]->sentence.end))
                fail_msg("%s, message %s: %s", languages[i]->code, message_name(id), text);
            longest = strlen(text) > longest ? strlen(text) : longest;
        }
    }
    print_message("the longest sentence has %zu bytes of %d\n", longest, SENTENCE_MAX);
    assert_in_range(longest, 300, SENTENCE_MAX - 1);
}

/* The English sentences are what programs and logs know. */
static void test_english_sentences(void **state)
{
    struct error error = {.code = ERROR_MEDIUM,
                          .operation = OPERATION_READ,
                          .side = SIDE_SOURCE,
                          .block = 123,
                          .raw_status = 0x51,
                          .device = "sata:X",
                          .detail = "ATA error"};
    struct message message = {.id = MESSAGE_TARGET_SMALLER, .partition = 3, .number = {2048, 1024}};
    char text[SENTENCE_MAX], other[SENTENCE_MAX];

    (void)state;
    assert_string_equal(
        error_sentence(&error, text),
        "source sata:X: unreadable or unwritable sector (read) at 123: ATA error [status 0x51]. The disk is "
        "failing. --salvage goes on and stores zeroes for what cannot be read.");
    error.operation = OPERATION_WRITE;
    error.side = SIDE_NONE;
    error.block = ERROR_NO_BLOCK;
    error.raw_status = 0;
    error.detail[0] = 0;
    assert_string_equal(error_sentence(&error, text),
                        "sata:X: unreadable or unwritable sector (write). The disk is failing. Choose another one.");
    error = (struct error){.code = ERROR_USAGE, .block = 1, .raw_status = 1, .detail = "100%1 of it"};
    assert_string_equal(error_sentence(&error, text), "100%1 of it.");
    error = (struct error){.code = ERROR_CANCELLED, .operation = OPERATION_READ, .block = ERROR_NO_BLOCK};
    assert_string_equal(error_sentence(&error, text), "cancelled.");
    assert_string_equal(message_sentence(&message, text),
                        "partition 3: the target is too small: 2.0 KiB are needed (2048 bytes), "
                        "it has 1.0 KiB (1024 bytes).");
    assert_string_equal(message_sentence_in(languages[0], &message, other), text);
    assert_string_equal(message_sentence_in(NULL, &message, other), text);
    for (unsigned operation = 0; languages[0]->operations && operation < OPERATION_COUNT; operation++)
        assert_string_equal(languages[0]->operations[operation], error_operation_name(operation));
}

/* What comes from outside is not UTF-8, is a pattern itself, or has an ID that does not exist. */
static void test_hostile_arguments(void **state)
{
    struct error error = {
        .code = (enum error_code)9999, .operation = (enum error_operation)77, .side = (enum error_side)9};
    struct message message = {.id = MESSAGE_FS_DAMAGED};
    char text[SENTENCE_MAX];

    (void)state;
    memset(error.device, 0xbf, sizeof(error.device) - 1);
    memset(error.detail, 0xf4, sizeof(error.detail) - 1);
    snprintf(message.text[0], MESSAGE_TEXT_MAX, "%%t%%u%%0%%n%%s%%");
    for (unsigned i = 0; i < language_count; i++) {
        assert_true(strlen(error_sentence_in(languages[i], &error, text)) > 100);
        assert_non_null(strstr(message_sentence_in(languages[i], &message, text), "%t%u%0%n%s%"));
        message.id = MESSAGE_COUNT;
        assert_string_equal(message_sentence_in(languages[i], &message, text), languages[i]->sentence.end);
        message.id = MESSAGE_FS_DAMAGED;
    }
    assert_true(strlen(error_sentence_in(NULL, &error, text)) > 100);
}

/* --- formatting --- */

static void test_format(void **state)
{
    char text[200], whole[200];

    (void)state;
    for (unsigned i = 0; i < language_count; i++) {
        catalogue_format(languages[i], TEXT_PLAN_READ_PARTITION, whole, sizeof(whole), "диск 磁盘 %2", "B-b", "C-c",
                         "77");
        assert_non_null(strstr(whole, "диск 磁盘 %2"));
        assert_non_null(strstr(whole, "B-b"));
        assert_non_null(strstr(whole, "C-c"));
        assert_non_null(strstr(whole, "77"));
        for (size_t size = 1; size <= strlen(whole) + 1; size++) {
            memset(text, 'x', sizeof(text));
            assert_ptr_equal(catalogue_format(languages[i], TEXT_PLAN_READ_PARTITION, text, size, "диск 磁盘 %2", "B-b",
                                              "C-c", "77"),
                             text);
            assert_true(strlen(text) < size && strlen(text) + 4 > size - 1);
            assert_true(text[size] == 'x');
            assert_memory_equal(text, whole, strlen(text));
            assert_true(is_utf8(text));
        }
        assert_string_equal(text, whole);
    }
    assert_string_equal(catalogue_format(languages[0], TEXT_STEP, text, sizeof(text), "1", NULL, NULL, NULL),
                        "Step 1 of ");
    assert_string_equal(catalogue_format(NULL, TEXT_STEP, text, sizeof(text), NULL, "2", NULL, NULL), "Step  of 2");
    text[0] = 'x';
    catalogue_format(languages[0], TEXT_STEP, text, 0, "1", "2", NULL, NULL);
    assert_true(text[0] == 'x');
    assert_string_equal(catalogue_format(languages[0], TEXT_COUNT, text, sizeof(text), "1", NULL, NULL, NULL), "");
    assert_string_equal(catalogue_text(languages[0], (enum text_id) - 1), "");
    assert_int_equal(catalogue_width(TEXT_COUNT), 0);
    assert_int_equal(catalogue_width(TEXT_KEY_CHOOSE), 14);
}

/* Cut where a character would not be whole; what is no UTF-8 at all is cut somewhere, and nothing comes behind a cut. */
static void test_phrases_are_cut_between_characters(void **state)
{
    struct phrase phrase;
    char text[8];

    (void)state;
    phrase_begin(&phrase, text, sizeof(text));
    phrase_add(&phrase, "ab磁盘", 8);
    assert_string_equal(text, "ab磁");
    phrase_add(&phrase, "c", 1);
    assert_string_equal(text, "ab磁");
    phrase_begin(&phrase, text, sizeof(text));
    phrase_add(&phrase, "\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf", 9);
    assert_int_equal(strlen(text), 7);
    phrase_begin(&phrase, text, 1);
    phrase_add(&phrase, "\xbf\xbf", 2);
    phrase_add(&phrase, "a", 1);
    assert_string_equal(text, "");
}

/* --- finding languages --- */

static void test_languages_are_found(void **state)
{
    static const struct {
        const char *code, *found;
    } cases[] = {
        {"en", "en"},
        {"en-US", "en"},
        {"eng", "en"},
        {"C", "en"},
        {"POSIX", "en"},
        {"C.UTF-8", "en"},
        {"", "en"},
        {";", "en"},
        {"-", "en"},
        {" ru", "en"},
        {"xx;ru", "en"},
        {"fr-FR", "en"},
        {"r", "en"},
        {"rus-", "ru"},
        {"russian", "en"},
        {"kor", "ko"},
        {"ko", "ko"},
        {"ko-KR", "ko"},
        {"ko_KR.eucKR", "ko"},
        {"KO_kr", "ko"},
        {"kok", "en"},
        {"rus", "ru"},
        {"ru;en", "ru"},
        {"ru:en", "ru"},
        {"ru_RU.UTF-8@euro", "ru"},
        {"rue", "en"},
        {"zh", "zh-Hans"},
        {"zho", "zh-Hans"},
        {"chi", "zh-Hans"},
        {"zh_CN.UTF-8", "zh-Hans"},
        {"zh-SG", "zh-Hans"},
        {"zh-Hans", "zh-Hans"},
        {"zh-hans-CN", "zh-Hans"},
        {"zh-Hans-TW", "zh-Hans"},
        {"zh-cmn-Hans", "zh-Hans"},
        {"zh;zh-TW", "zh-Hans"},
        {"zh_CN.hk", "zh-Hans"},
        {"zh-CN-x-hk", "zh-Hans"},
        {"zh-TW", "en"},
        {"zh_TW.Big5", "en"},
        {"zh-HK", "en"},
        {"zh-MO", "en"},
        {"zh-Hant", "en"},
        {"zh-Hant-CN", "en"},
        {"zh-yue-HK", "en"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(language_find(cases[i].code)->code, cases[i].found) != 0)
            fail_msg("\"%s\" found %s, not %s", cases[i].code, language_find(cases[i].code)->code, cases[i].found);
    }
    assert_ptr_equal(language_find(NULL), languages[0]);
    assert_string_equal(languages[0]->code, "en");
    for (unsigned i = 0; i < language_count; i++)
        assert_ptr_equal(language_find(languages[i]->code), languages[i]);
}

static void test_garbage_finds_english(void **state)
{
    static const char *const beginnings[] = {"", "ru", "ru-", "zh-x", "zh_", "-"};
    size_t size = 1 << 20;
    char *garbage = malloc(size);

    (void)state;
    assert_non_null(garbage);
    /* Bytes of every value, letters alone, divisions alone. */
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
            for (size_t at = 0; at < size; at++)
                garbage[at] = kind == 0 ? (char)(1 + (at * 2654435761u >> 7) % 255) : kind == 1 ? 'r' : '-';
            memcpy(garbage, beginnings[i], strlen(beginnings[i]));
            garbage[size - 1] = 0;
            const struct language *found = language_find(garbage);
            bool is_ours = false;
            for (unsigned j = 0; j < language_count; j++)
                is_ours |= found == languages[j];
            assert_true(is_ours);
            if (kind == 1 && i < 2)
                assert_ptr_equal(found, languages[0]);
        }
    }
    free(garbage);
    /* A tag that ends where its memory ends. */
    for (size_t length = 0; length <= 100; length++) {
        char *tag = malloc(length + 1);
        assert_non_null(tag);
        for (size_t at = 0; at < length; at++)
            tag[at] = "zh-abcdefgh"[at < 2 ? at : 2 + at % 9];
        tag[length] = 0;
        assert_non_null(language_find(tag));
        free(tag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_missing),
        cmocka_unit_test(test_characters_can_be_shown),
        cmocka_unit_test(test_texts_fit_their_places),
        cmocka_unit_test(test_arguments_are_all_there),
        cmocka_unit_test(test_choices_differ),
        cmocka_unit_test(test_quoted_words_stay),
        cmocka_unit_test(test_options_stay),
        cmocka_unit_test(test_longest_sentences),
        cmocka_unit_test(test_english_sentences),
        cmocka_unit_test(test_hostile_arguments),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_phrases_are_cut_between_characters),
        cmocka_unit_test(test_languages_are_found),
        cmocka_unit_test(test_garbage_finds_english),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
