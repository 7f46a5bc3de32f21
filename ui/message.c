/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/catalogue/catalogue.h"
#include "ui/output.h"

#define NUMBER_TEXT_MAX 24

/* Adds a pattern with one argument. */
static void say(struct phrase *sentence, const char *pattern, const char *argument)
{
    const char *const arguments[4] = {argument};

    phrase_fill(sentence, pattern, arguments);
}

static void say_text(struct phrase *sentence, const char *text)
{
    phrase_add(sentence, text, strlen(text));
}

/* --- errors --- */

static const char *next_step(const struct language *language, const struct error *error)
{
    /* --salvage is for what cannot be read. */
    if (error->code == ERROR_MEDIUM && error->operation != OPERATION_READ)
        return language->failing_target;
    return catalogue_error(language, error->code)->next;
}

static const char *operation_name(const struct language *language, enum error_operation operation)
{
    if (language->operations && operation < OPERATION_COUNT)
        return language->operations[operation];
    return error_operation_name(operation);
}

char *error_sentence_in(const struct language *language, const struct error *error, char text[SENTENCE_MAX])
{
    if (!language)
        language = &language_english;
    const struct sentence_parts *parts = &language->sentence;
    struct phrase sentence;
    char number[NUMBER_TEXT_MAX];

    phrase_begin(&sentence, text, SENTENCE_MAX);
    if (error->device[0])
        say(&sentence, parts->device[error->side <= SIDE_IMAGE ? error->side : SIDE_NONE], error->device);
    if (error->code == ERROR_USAGE && error->detail[0]) {
        say_text(&sentence, error->detail);
        say_text(&sentence, parts->end);
        return text;
    }
    say_text(&sentence, catalogue_error(language, error->code)->what);
    if (error->operation != OPERATION_NONE && error->operation != OPERATION_PARSE && error->code != ERROR_CANCELLED)
        say(&sentence, parts->operation, operation_name(language, error->operation));
    if (error->block != ERROR_NO_BLOCK) {
        snprintf(number, sizeof(number), "%" PRIu64, error->block);
        say(&sentence, parts->place, number);
    }
    if (error->detail[0])
        say(&sentence, parts->detail, error->detail);
    if (error->raw_status) {
        snprintf(number, sizeof(number), "%#" PRIx32, error->raw_status);
        say(&sentence, parts->status, number);
    }
    say_text(&sentence, parts->end);
    const char *next = next_step(language, error);
    if (next[0])
        say(&sentence, parts->next, next);
    return text;
}

char *error_sentence(const struct error *error, char text[SENTENCE_MAX])
{
    return error_sentence_in(&language_english, error, text);
}

/* --- messages --- */

static void say_argument(struct phrase *sentence, const struct message *message, char which)
{
    char text[SIZE_TEXT_MAX];

    switch (which) {
    case 't':
        say_text(sentence, message->text[0]);
        break;
    case 'u':
        say_text(sentence, message->text[1]);
        break;
    case 'a':
        say_text(sentence, size_text(message->number[0], text));
        break;
    case 'b':
        say_text(sentence, size_text(message->number[1], text));
        break;
    case '0':
    case '1':
    case '2':
        snprintf(text, sizeof(text), "%" PRIu64, message->number[which - '0']);
        say_text(sentence, text);
        break;
    default:
        break;
    }
}

char *message_sentence_in(const struct language *language, const struct message *message, char text[SENTENCE_MAX])
{
    const char *pattern = catalogue_message(language, message->id);
    struct phrase sentence;
    char number[NUMBER_TEXT_MAX];

    if (!language)
        language = &language_english;
    phrase_begin(&sentence, text, SENTENCE_MAX);
    if (message->partition) {
        snprintf(number, sizeof(number), "%u", message->partition);
        say(&sentence, language->sentence.partition, number);
    }
    while (*pattern) {
        size_t plain = strcspn(pattern, "%");
        phrase_add(&sentence, pattern, plain);
        pattern += plain;
        if (pattern[0] && pattern[1]) {
            say_argument(&sentence, message, pattern[1]);
            pattern += 2;
        } else {
            pattern += strlen(pattern);
        }
    }
    say_text(&sentence, language->sentence.end);
    return text;
}

char *message_sentence(const struct message *message, char text[SENTENCE_MAX])
{
    return message_sentence_in(&language_english, message, text);
}

static const char *const names[MESSAGE_COUNT] = {
    [MESSAGE_NONE] = "none",
    [MESSAGE_FS_UNKNOWN] = "fs-unknown",
    [MESSAGE_FS_NO_READER] = "fs-no-reader",
    [MESSAGE_FS_UNKNOWN_FEATURE] = "fs-unknown-feature",
    [MESSAGE_FS_DAMAGED] = "fs-damaged",
    [MESSAGE_FS_READER_FAILED] = "fs-reader-failed",
    [MESSAGE_FS_AUDIT_FAILED] = "fs-audit-failed",
    [MESSAGE_FS_BIGGER_THAN_VOLUME] = "fs-bigger-than-volume",
    [MESSAGE_FS_JOURNAL_DIRTY] = "fs-journal-dirty",
    [MESSAGE_FS_JOURNAL_EXTERNAL] = "fs-journal-external",
    [MESSAGE_FS_NOT_CLEAN] = "fs-not-clean",
    [MESSAGE_FS_HIBERNATED] = "fs-hibernated",
    [MESSAGE_FS_HAS_ERRORS] = "fs-has-errors",
    [MESSAGE_FS_ENCRYPTED] = "fs-encrypted",
    [MESSAGE_FS_SWAP] = "fs-swap",
    [MESSAGE_FS_SWAP_HIBERNATED] = "fs-swap-hibernated",
    [MESSAGE_TABLE_BACKUP_BAD] = "table-backup-bad",
    [MESSAGE_TABLE_PRIMARY_BAD] = "table-primary-bad",
    [MESSAGE_TABLE_BACKUP_NOT_AT_END] = "table-backup-not-at-end",
    [MESSAGE_TABLE_DAMAGED] = "table-damaged",
    [MESSAGE_TABLE_OVERLAP] = "table-overlap",
    [MESSAGE_PARTITION_BEYOND_END] = "partition-beyond-end",
    [MESSAGE_SOURCE_MOUNTED] = "source-mounted",
    [MESSAGE_SOURCE_HALF_RESTORED] = "source-half-restored",
    [MESSAGE_TARGET_MOUNTED] = "target-mounted",
    [MESSAGE_TARGET_SMALLER] = "target-smaller",
    [MESSAGE_SECTOR_SIZE] = "sector-size",
    [MESSAGE_TARGET_IS_SOURCE] = "target-is-source",
    [MESSAGE_TARGET_HOLDS_IMAGE] = "target-holds-image",
    [MESSAGE_TARGET_IS_BOOT_STICK] = "target-is-boot-stick",
    [MESSAGE_TARGET_READ_ONLY] = "target-read-only",
    [MESSAGE_SPACE_SHORT] = "space-short",
    [MESSAGE_SPACE_LIKELY_SHORT] = "space-likely-short",
    [MESSAGE_SPACE_NONE] = "space-none",
    [MESSAGE_UNREADABLE] = "unreadable",
    [MESSAGE_IMAGE_UNREADABLE] = "image-unreadable",
    [MESSAGE_IMAGE_HOLES] = "image-holes",
    [MESSAGE_IMAGE_DAMAGED] = "image-damaged",
    [MESSAGE_IMAGE_INCOMPLETE] = "image-incomplete",
    [MESSAGE_NOT_READ_BACK] = "not-read-back",
    [MESSAGE_DISCARD_UNSUPPORTED] = "discard-unsupported",
    [MESSAGE_DUPLICATE_IDENTITY] = "duplicate-identity",
    [MESSAGE_PARTITION_ONTO_DISK] = "partition-onto-disk",
    [MESSAGE_PARTITION_MOVED] = "partition-moved",
    [MESSAGE_LAYOUT_GPT_MOVED] = "layout-gpt-moved",
    [MESSAGE_GAP_SKIPPED] = "gap-skipped",
    [MESSAGE_CONTINUED] = "continued",
    [MESSAGE_CAN_CONTINUE] = "can-continue",
    [MESSAGE_NOTHING_TO_CONTINUE] = "nothing-to-continue",
    [MESSAGE_NO_IMAGE_TO_CONTINUE] = "no-image-to-continue",
    [MESSAGE_IMAGE_COMPLETE] = "image-complete",
    [MESSAGE_CANNOT_CONTINUE] = "cannot-continue",
    [MESSAGE_CONTINUES_OTHER_DISK] = "continues-other-disk",
    [MESSAGE_SOURCE_CHANGED] = "source-changed",
    [MESSAGE_DIFFERS] = "differs",
    [MESSAGE_FIRMWARE_FALLBACK] = "firmware-fallback",
    [MESSAGE_DEVICE_RESET] = "device-reset",
    [MESSAGE_DEVICE_GONE] = "device-gone",
};

const char *message_level_word(enum message_level level)
{
    static const char *const words[] = {"note", "warning", "refused"};

    return words[level];
}

const char *message_name(enum message_id id)
{
    return id < MESSAGE_COUNT && names[id] ? names[id] : "unknown";
}
