/* SPDX-License-Identifier: GPL-2.0-or-later */
/* English: what commands, logs and JSON say; programs may compare it. The texts of the screens stand in texts.h. */
#include "ui/catalogue/catalogue.h"

static const char *const texts[TEXT_COUNT] = {
#define TEXT(id, width, english) [TEXT_##id] = english,
#include "ui/catalogue/texts.h"
#undef TEXT
};

static const struct error_text errors[ERROR_CODE_COUNT] = {
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
                          "'capture --continue' goes on with it; --salvage takes what is there."},
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

static const char *const messages[MESSAGE_COUNT] = {
    [MESSAGE_NONE] = "",
    [MESSAGE_FS_UNKNOWN] = "no known file system: copied whole",
    [MESSAGE_FS_NO_READER] = "%t: which blocks it uses cannot be told here, copied whole",
    [MESSAGE_FS_UNKNOWN_FEATURE] = "%t uses a feature that is not known here (%u): copied whole",
    [MESSAGE_FS_DAMAGED] = "%t is damaged (%u, byte %0): copied whole",
    [MESSAGE_FS_READER_FAILED] = "%t could not be read (%u): copied whole",
    [MESSAGE_FS_AUDIT_FAILED] = "%t says that its own %u (byte %0) is not in use, which cannot be: copied whole",
    [MESSAGE_FS_BIGGER_THAN_VOLUME] = "%t claims %a on a volume of %b: copied whole",
    [MESSAGE_FS_JOURNAL_DIRTY] =
        "%t was not unmounted cleanly; its journal is captured and will be replayed at the next mount",
    [MESSAGE_FS_JOURNAL_EXTERNAL] = "%t keeps its journal on another disk (%u), which is not in this image",
    [MESSAGE_FS_NOT_CLEAN] = "%t was not unmounted cleanly; captured as it is",
    [MESSAGE_FS_HIBERNATED] = "Windows is hibernated or Fast Startup is on (%t); captured as it is. For a clean image, "
                              "shut Windows down with Shift held",
    [MESSAGE_FS_HAS_ERRORS] = "%t says that it has errors; captured as it is. Check it before you trust it",
    [MESSAGE_FS_ENCRYPTED] =
        "encrypted by %t: copied whole, and it will not compress. On other hardware its recovery key will be asked for",
    [MESSAGE_FS_SWAP] = "swap space: only its header is kept",
    [MESSAGE_FS_SWAP_HIBERNATED] = "swap space holds a suspended system: copied whole",
    [MESSAGE_TABLE_BACKUP_BAD] = "the backup partition table (GPT) of %t is damaged; the primary is good and used",
    [MESSAGE_TABLE_PRIMARY_BAD] = "the primary partition table (GPT) of %t is damaged; the backup was used",
    [MESSAGE_TABLE_BACKUP_NOT_AT_END] =
        "the backup partition table (GPT) of %t is at block %0, not at the disk's end (%1)",
    [MESSAGE_TABLE_DAMAGED] = "the partition table of %t cannot be trusted (%u): treated as a disk without one",
    [MESSAGE_TABLE_OVERLAP] = "partitions %0 and %1 of %t overlap",
    [MESSAGE_PARTITION_BEYOND_END] = "partition %0 of %t reaches beyond the disk's end",
    [MESSAGE_SOURCE_MOUNTED] = "%t is mounted at %u: files that change while it is captured may be damaged in the "
                               "image. Unmount it or boot the stick for an image that can be trusted",
    [MESSAGE_SOURCE_HALF_RESTORED] = "%t is half restored (image %u): a restore onto it did not end",
    [MESSAGE_TARGET_MOUNTED] = "%t is mounted at %u: unmount it first",
    [MESSAGE_TARGET_SMALLER] = "the target is too small: %a are needed (%0 bytes), it has %b (%1 bytes)",
    [MESSAGE_SECTOR_SIZE] = "the image was made from a disk with sectors of %0 bytes, the target has %1: file systems "
                            "and tables would not be found there",
    [MESSAGE_TARGET_IS_SOURCE] = "source and target are the same disk",
    [MESSAGE_TARGET_HOLDS_IMAGE] = "the image is on the target itself",
    [MESSAGE_TARGET_IS_BOOT_STICK] = "%t is the stick that Eidolon runs from",
    [MESSAGE_TARGET_READ_ONLY] = "%t is write protected",
    [MESSAGE_SPACE_SHORT] = "the image may need %a, and %b are free",
    [MESSAGE_SPACE_LIKELY_SHORT] = "the image will probably not fit: it comes to about %a, and %b are free",
    [MESSAGE_SPACE_NONE] = "the image cannot fit: it needs %a at the least, and %b are free",
    [MESSAGE_UNREADABLE] = "%t: %1 bytes at byte %0 cannot be read; stored as zeroes",
    [MESSAGE_IMAGE_UNREADABLE] =
        "%1 bytes of the disk at byte %0 were unreadable when the image was made; zeroes stand for them",
    [MESSAGE_IMAGE_HOLES] =
        "some of the %1 bytes of the disk at byte %0 was unreadable when the image was made; zeroes stand for it",
    [MESSAGE_IMAGE_DAMAGED] = "the image is damaged: %1 bytes of the disk at byte %0 are lost",
    [MESSAGE_IMAGE_INCOMPLETE] = "the image is incomplete: %a of the disk are in it",
    [MESSAGE_NOT_READ_BACK] = "written, not read back",
    [MESSAGE_DISCARD_UNSUPPORTED] = "%t cannot discard; its unused blocks are left as they are",
    [MESSAGE_DUPLICATE_IDENTITY] =
        "%t has the same identity now: take one of the two out before an operating system starts",
    [MESSAGE_PARTITION_ONTO_DISK] =
        "%t has a partition table, and the source is one partition alone: name the partition of the target, too (#N)",
    [MESSAGE_PARTITION_MOVED] = "%t began at sector %0 and begins at %1 now, but its boot sector still says %0: its "
                                "files can be read, but an old BIOS or Windows may not start from it",
    [MESSAGE_LAYOUT_GPT_MOVED] = "the backup partition table (GPT) moves from byte %0 to byte %1",
    [MESSAGE_GAP_SKIPPED] = "%b in no partition, from byte %0 on, are left out; --raw saves them",
    [MESSAGE_CONTINUED] = "%t: %a are there already and are not written again",
    [MESSAGE_CAN_CONTINUE] = "a restore of this image onto %t was cut off; --continue keeps what it has written",
    [MESSAGE_NOTHING_TO_CONTINUE] = "%t holds no restore of this image that was cut off; leave --continue away",
    [MESSAGE_NO_IMAGE_TO_CONTINUE] = "there is no image %t yet; leave --continue away, and it is begun",
    [MESSAGE_IMAGE_COMPLETE] = "%t is complete, there is nothing to go on with; verify checks it",
    [MESSAGE_CANNOT_CONTINUE] = "%t cannot go on (%u): start over under another name",
    [MESSAGE_CONTINUES_OTHER_DISK] = "%t is the image of another disk (%u): save this one under another name",
    [MESSAGE_SOURCE_CHANGED] = "%t is not as it was when its capture was cut off (%u): start over under another name",
    [MESSAGE_DIFFERS] = "%t: %1 bytes at byte %0 are not what the image says",
    [MESSAGE_FIRMWARE_FALLBACK] = "%t is served by the firmware's driver: %u",
    [MESSAGE_DEVICE_RESET] = "%t did not answer and was reset",
    [MESSAGE_DEVICE_GONE] = "%t is gone",
};

const struct language language_english = {
    .code = "en",
    .name = "English",
    .called = "en eng",
    .texts = texts,
    .errors = errors,
    .failing_target = "The disk is failing. Choose another one.",
    .messages = messages,
    .sentence = {.partition = "partition %1: ",
                 .device = {[SIDE_NONE] = "%1: ",
                            [SIDE_SOURCE] = "source %1: ",
                            [SIDE_TARGET] = "target %1: ",
                            [SIDE_IMAGE] = "image %1: "},
                 .operation = " (%1)",
                 .place = " at %1",
                 .detail = ": %1",
                 .status = " [status %1]",
                 .end = ".",
                 .next = " %1"},
};
