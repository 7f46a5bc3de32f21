/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/message.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ui/output.h"

/* A sentence under construction; what does not fit is cut. */
struct sentence {
    char *text;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void say(struct sentence *sentence, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(sentence->text + sentence->used, SENTENCE_MAX - sentence->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        sentence->used += (size_t)length;
    if (sentence->used >= SENTENCE_MAX)
        sentence->used = SENTENCE_MAX - 1;
}

/* What went wrong, and what a person can do about it. */
static const struct {
    const char *what, *next;
} error_texts[ERROR_CODE_COUNT] = {
    [ERROR_NONE] = {"no error", ""},
    [ERROR_NO_MEMORY] = {"not enough memory", "Close other programs, or use a smaller --chunk."},
    [ERROR_FULL] = {"the queue is full", ""},
    [ERROR_IO] = {"input/output error", "Check cable and power, and try again."},
    [ERROR_MEDIUM] = {"unreadable or unwritable sector",
                      "The disk is failing. --salvage goes on and stores zeroes for what cannot be read."},
    [ERROR_TIMEOUT] = {"no answer in time", "Check cable and power; the disk may be failing."},
    [ERROR_ABORTED] = {"interrupted by a reset", "Try again."},
    [ERROR_GONE] = {"the device is gone", "Plug it in again, or check cable and power."},
    [ERROR_WRITE_PROTECTED] = {"write protected", "Remove the write protection, or choose another target."},
    [ERROR_OUT_OF_RANGE] = {"out of range", ""},
    [ERROR_UNSUPPORTED] = {"not supported", ""},
    [ERROR_PROTOCOL] = {"the device answered against its specification", "Try again with io=firmware."},
    [ERROR_CORRUPT] = {"damaged data", "--salvage takes what is whole."},
    [ERROR_INCOMPLETE] = {"the image has no end: its capture was interrupted, or a volume is missing",
                          "--salvage takes what is there."},
    [ERROR_MISMATCH] = {"what was read back is not what was written", "Do not trust this disk."},
    [ERROR_NO_SPACE] = {"not enough space", "Choose a bigger target."},
    [ERROR_NOT_FOUND] = {"not found", "'list' shows the disks."},
    [ERROR_AMBIGUOUS] = {"the name fits several", "Give more of it."},
    [ERROR_EXISTS] = {"exists already", "Choose another name; nothing is overwritten."},
    [ERROR_BUSY] = {"in use by something else", "Unmount it, or close what uses it."},
    [ERROR_REFUSED] = {"refused", ""},
    [ERROR_USAGE] = {"not understood", ""},
    [ERROR_CANCELLED] = {"cancelled", ""},
    [ERROR_END] = {"the end was reached", ""},
};

static const char *next_step(const struct error *error, enum error_code code)
{
    /* --salvage is for what cannot be read. */
    if (code == ERROR_MEDIUM && error->operation != OPERATION_READ)
        return "The disk is failing. Choose another one.";
    return error_texts[code].next;
}

char *error_sentence(const struct error *error, char text[SENTENCE_MAX])
{
    static const char *const sides[] = {[SIDE_SOURCE] = "source ", [SIDE_TARGET] = "target ", [SIDE_IMAGE] = "image "};
    struct sentence sentence = {text, 0};
    enum error_code code = error->code < ERROR_CODE_COUNT ? error->code : ERROR_IO;

    text[0] = 0;
    if (error->device[0])
        say(&sentence, "%s%s: ", error->side && error->side <= SIDE_IMAGE ? sides[error->side] : "", error->device);
    if (code == ERROR_USAGE && error->detail[0]) {
        say(&sentence, "%s.", error->detail);
        return text;
    }
    say(&sentence, "%s", error_texts[code].what);
    if (error->operation != OPERATION_NONE && error->operation != OPERATION_PARSE && code != ERROR_CANCELLED)
        say(&sentence, " (%s)", error_operation_name(error->operation));
    if (error->block != ERROR_NO_BLOCK)
        say(&sentence, " at %" PRIu64, error->block);
    if (error->detail[0])
        say(&sentence, ": %s", error->detail);
    if (error->raw_status)
        say(&sentence, " [status %#" PRIx32 "]", error->raw_status);
    say(&sentence, ".");
    const char *next = next_step(error, code);
    if (next[0])
        say(&sentence, " %s", next);
    return text;
}

/*
 * In the patterns: %t and %u are the two texts, %0 %1 %2 the numbers, %a %b the first two numbers as sizes.
 */
static const struct {
    const char *name, *pattern;
} message_texts[MESSAGE_COUNT] = {
    [MESSAGE_NONE] = {"none", ""},
    [MESSAGE_FS_UNKNOWN] = {"fs-unknown", "no known file system: copied whole"},
    [MESSAGE_FS_NO_READER] = {"fs-no-reader", "%t: which blocks it uses cannot be told here, copied whole"},
    [MESSAGE_FS_UNKNOWN_FEATURE] = {"fs-unknown-feature",
                                    "%t uses a feature that is not known here (%u): copied whole"},
    [MESSAGE_FS_DAMAGED] = {"fs-damaged", "%t is damaged (%u, byte %0): copied whole"},
    [MESSAGE_FS_READER_FAILED] = {"fs-reader-failed", "%t could not be read (%u): copied whole"},
    [MESSAGE_FS_AUDIT_FAILED] = {"fs-audit-failed",
                                 "%t says that its own %u (byte %0) is not in use, which cannot be: copied whole"},
    [MESSAGE_FS_BIGGER_THAN_VOLUME] = {"fs-bigger-than-volume", "%t claims %a on a volume of %b: copied whole"},
    [MESSAGE_FS_JOURNAL_DIRTY] =
        {"fs-journal-dirty",
         "%t was not unmounted cleanly; its journal is captured and will be replayed at the next mount"},
    [MESSAGE_FS_JOURNAL_EXTERNAL] = {"fs-journal-external",
                                     "%t keeps its journal on another disk (%u), which is not in this image"},
    [MESSAGE_FS_NOT_CLEAN] = {"fs-not-clean", "%t was not unmounted cleanly; captured as it is"},
    [MESSAGE_FS_HIBERNATED] =
        {"fs-hibernated", "Windows is hibernated or Fast Startup is on (%t); captured as it is. For a clean image, "
                          "shut Windows down with Shift held"},
    [MESSAGE_FS_HAS_ERRORS] = {"fs-has-errors",
                               "%t says that it has errors; captured as it is. Check it before you trust it"},
    [MESSAGE_FS_ENCRYPTED] = {"fs-encrypted", "encrypted by %t: copied whole, and it will not compress. On other "
                                              "hardware its recovery key will be asked for"},
    [MESSAGE_FS_SWAP] = {"fs-swap", "swap space: only its header is kept"},
    [MESSAGE_FS_SWAP_HIBERNATED] = {"fs-swap-hibernated", "swap space holds a suspended system: copied whole"},
    [MESSAGE_TABLE_BACKUP_BAD] = {"table-backup-bad",
                                  "the backup partition table (GPT) of %t is damaged; the primary is good and used"},
    [MESSAGE_TABLE_PRIMARY_BAD] = {"table-primary-bad",
                                   "the primary partition table (GPT) of %t is damaged; the backup was used"},
    [MESSAGE_TABLE_BACKUP_NOT_AT_END] =
        {"table-backup-not-at-end",
         "the backup partition table (GPT) of %t is at block %0, not at the disk's end (%1)"},
    [MESSAGE_TABLE_DAMAGED] = {"table-damaged",
                               "the partition table of %t cannot be trusted (%u): treated as a disk without one"},
    [MESSAGE_TABLE_OVERLAP] = {"table-overlap", "partitions %0 and %1 of %t overlap"},
    [MESSAGE_PARTITION_BEYOND_END] = {"partition-beyond-end", "partition %0 of %t reaches beyond the disk's end"},
    [MESSAGE_SOURCE_MOUNTED] =
        {"source-mounted", "%t is mounted at %u: files that change while it is captured may be damaged in the image. "
                           "Unmount it or boot the stick for an image that can be trusted"},
    [MESSAGE_SOURCE_HALF_RESTORED] = {"source-half-restored",
                                      "%t is half restored (image %u): a restore onto it did not end"},
    [MESSAGE_TARGET_MOUNTED] = {"target-mounted", "%t is mounted at %u: unmount it first"},
    [MESSAGE_TARGET_SMALLER] = {"target-smaller",
                                "needs shrinking: %a are needed (%0 bytes), the target has %b (%1 bytes)"},
    [MESSAGE_SECTOR_SIZE] =
        {"sector-size",
         "the image was made from a disk with sectors of %0 bytes, the target has %1: file systems and tables "
         "would not be found there"},
    [MESSAGE_TARGET_IS_SOURCE] = {"target-is-source", "source and target are the same disk"},
    [MESSAGE_TARGET_HOLDS_IMAGE] = {"target-holds-image", "the image is on the target itself"},
    [MESSAGE_TARGET_IS_BOOT_STICK] = {"target-is-boot-stick", "%t is the stick that Eidolon runs from"},
    [MESSAGE_TARGET_READ_ONLY] = {"target-read-only", "%t is write protected"},
    [MESSAGE_SPACE_SHORT] = {"space-short", "the image may need %a, and %b are free"},
    [MESSAGE_SPACE_LIKELY_SHORT] = {"space-likely-short",
                                    "the image will probably not fit: it comes to about %a, and %b are free"},
    [MESSAGE_SPACE_NONE] = {"space-none", "the image cannot fit: it needs %a at the least, and %b are free"},
    [MESSAGE_UNREADABLE] = {"unreadable", "%t: %1 bytes at byte %0 cannot be read; stored as zeroes"},
    [MESSAGE_IMAGE_DAMAGED] = {"image-damaged", "the image is damaged: %1 bytes of the disk at byte %0 are lost"},
    [MESSAGE_IMAGE_INCOMPLETE] = {"image-incomplete", "the image is incomplete: %a of the disk are in it"},
    [MESSAGE_NOT_READ_BACK] = {"not-read-back", "written, not read back"},
    [MESSAGE_DISCARD_UNSUPPORTED] = {"discard-unsupported",
                                     "%t cannot discard; its unused blocks are left as they are"},
    [MESSAGE_DUPLICATE_IDENTITY] =
        {"duplicate-identity",
         "%t has the same identity now: take one of the two out before an operating system starts"},
    [MESSAGE_PARTITION_ONTO_DISK] =
        {"partition-onto-disk",
         "%t has a partition table, and the source is one partition alone: name the partition of the target, too (#N)"},
    [MESSAGE_PARTITION_MOVED] =
        {"partition-moved", "%t began at sector %0 and begins at %1 now, but its boot sector still says %0: its files "
                            "can be read, but an old BIOS or Windows may not start from it"},
    [MESSAGE_LAYOUT_GPT_MOVED] = {"layout-gpt-moved", "the backup partition table (GPT) moves from byte %0 to byte %1"},
    [MESSAGE_GAP_SKIPPED] = {"gap-skipped", "%b in no partition, from byte %0 on, are left out; --raw saves them"},
    [MESSAGE_CONTINUED] = {"continued", "%t: %a are there already and are not written again"},
    [MESSAGE_CAN_CONTINUE] = {"can-continue",
                              "a restore of this image onto %t was cut off; --continue keeps what it has written"},
    [MESSAGE_NOTHING_TO_CONTINUE] = {"nothing-to-continue",
                                     "%t holds no restore of this image that was cut off; leave --continue away"},
    [MESSAGE_DIFFERS] = {"differs", "%t: %1 bytes at byte %0 are not what the image says"},
    [MESSAGE_FIRMWARE_FALLBACK] = {"firmware-fallback", "%t is served by the firmware's driver: %u"},
    [MESSAGE_DEVICE_RESET] = {"device-reset", "%t did not answer and was reset"},
    [MESSAGE_DEVICE_GONE] = {"device-gone", "%t is gone"},
};

static void say_argument(struct sentence *sentence, const struct message *message, char which)
{
    char size[SIZE_TEXT_MAX];

    switch (which) {
    case 't':
        say(sentence, "%s", message->text[0]);
        break;
    case 'u':
        say(sentence, "%s", message->text[1]);
        break;
    case 'a':
        say(sentence, "%s", size_text(message->number[0], size));
        break;
    case 'b':
        say(sentence, "%s", size_text(message->number[1], size));
        break;
    case '0':
        say(sentence, "%" PRIu64, message->number[0]);
        break;
    case '1':
        say(sentence, "%" PRIu64, message->number[1]);
        break;
    case '2':
        say(sentence, "%" PRIu64, message->number[2]);
        break;
    default:
        break;
    }
}

char *message_sentence(const struct message *message, char text[SENTENCE_MAX])
{
    struct sentence sentence = {text, 0};
    const char *pattern = message->id < MESSAGE_COUNT ? message_texts[message->id].pattern : NULL;

    text[0] = 0;
    if (message->partition)
        say(&sentence, "partition %u: ", message->partition);
    for (; pattern && *pattern; pattern++) {
        if (*pattern == '%' && pattern[1])
            say_argument(&sentence, message, *++pattern);
        else
            say(&sentence, "%c", *pattern);
    }
    say(&sentence, ".");
    return text;
}

const char *message_name(enum message_id id)
{
    return id < MESSAGE_COUNT && message_texts[id].name ? message_texts[id].name : "unknown";
}
