/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages as data: an ID with arguments. Rooms below ui/ never compose sentences for people; ui/message.c turns IDs into text and
 * will do so in several languages. Arguments are numbers and short texts (names, labels); their meaning stands beside each ID.
 */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include <stdint.h>

enum message_id {
    MESSAGE_NONE = 0,
    /* Why a volume is copied whole, or what is special about it. text[0]: file system */
    MESSAGE_FS_UNKNOWN,         /* nothing recognised: copied whole */
    MESSAGE_FS_NO_READER,       /* text[0] fs: recognised, but which blocks it uses is not known here: copied whole */
    MESSAGE_FS_UNKNOWN_FEATURE, /* text[0] fs, text[1] feature name, number[0] bits: copied whole */
    MESSAGE_FS_DAMAGED,         /* text[0] fs, text[1] what, number[0] where (byte): copied whole */
    MESSAGE_FS_READER_FAILED,   /* text[0] fs, text[1] why: copied whole */
    MESSAGE_FS_AUDIT_FAILED,    /* text[0] fs, text[1] which structure, number[0] byte: copied whole */
    MESSAGE_FS_BIGGER_THAN_VOLUME, /* text[0] fs, number[0] its bytes, number[1] volume bytes: copied whole */
    MESSAGE_FS_JOURNAL_DIRTY,      /* text[0] fs: captured with its log, will be replayed by the owner */
    MESSAGE_FS_JOURNAL_EXTERNAL, /* text[0] fs, text[1] journal UUID: the log is on another disk and is not in this image */
    MESSAGE_FS_NOT_CLEAN,        /* text[0] fs: was not unmounted cleanly */
    MESSAGE_FS_HIBERNATED,       /* text[0] fs: Windows is hibernated or Fast Startup is on */
    MESSAGE_FS_HAS_ERRORS,       /* text[0] fs: it says of itself that it has errors */
    MESSAGE_FS_ENCRYPTED,        /* text[0] BitLocker or LUKS: copied whole, does not compress */
    MESSAGE_FS_SWAP,             /* swap: only the header is kept */
    MESSAGE_FS_SWAP_HIBERNATED, /* swap holds a suspended system: copied whole */
    /* Partition tables. text[0]: disk */
    MESSAGE_TABLE_BACKUP_BAD,  /* GPT: the backup header or array is damaged */
    MESSAGE_TABLE_PRIMARY_BAD, /* GPT: the primary is damaged, the backup was used */
    MESSAGE_TABLE_BACKUP_NOT_AT_END, /* GPT made for a disk of another size; number[0] where it is, number[1] where it should be */
    MESSAGE_TABLE_DAMAGED,        /* text[1] what: treated as a disk without a table */
    MESSAGE_TABLE_OVERLAP,        /* number[0], number[1] partition numbers */
    MESSAGE_PARTITION_BEYOND_END, /* number[0] partition number */
    /* Jobs */
    MESSAGE_SOURCE_MOUNTED,       /* text[0] device, text[1] where */
    MESSAGE_SOURCE_HALF_RESTORED, /* text[0] device, text[1] image's UUID: a restore onto it was cut off */
    MESSAGE_TARGET_MOUNTED,       /* text[0] device, text[1] where */
    MESSAGE_TARGET_SMALLER,       /* number[0] bytes needed, number[1] bytes there */
    MESSAGE_SECTOR_SIZE,          /* number[0] image's, number[1] target's */
    MESSAGE_TARGET_IS_SOURCE,
    MESSAGE_TARGET_HOLDS_IMAGE,
    MESSAGE_TARGET_IS_BOOT_STICK,
    MESSAGE_TARGET_READ_ONLY,
    MESSAGE_SPACE_SHORT,        /* number[0] needed if nothing can be compressed, number[1] free */
    MESSAGE_SPACE_LIKELY_SHORT, /* number[0] probably needed, number[1] free */
    MESSAGE_SPACE_NONE,         /* number[0] needed whatever the disk holds, number[1] free */
    MESSAGE_UNREADABLE,         /* text[0] disk, number[0] byte offset, number[1] bytes: stored as zeroes */
    MESSAGE_IMAGE_UNREADABLE,   /* the same, when the image was made: zeroes stand for them */
    MESSAGE_IMAGE_HOLES,        /* ... some of number[1] bytes at number[0] */
    MESSAGE_IMAGE_DAMAGED,      /* number[0] byte offset on the disk, number[1] bytes */
    MESSAGE_IMAGE_INCOMPLETE,   /* number[0] bytes of the disk that are there */
    MESSAGE_NOT_READ_BACK,      /* written, not read back */
    MESSAGE_DISCARD_UNSUPPORTED,
    MESSAGE_DUPLICATE_IDENTITY,  /* text[0] other disk: same disk GUID or signature on two disks now */
    MESSAGE_PARTITION_ONTO_DISK, /* text[0] disk: it has a partition table, the source is one partition */
    MESSAGE_PARTITION_MOVED,  /* text[0] file system, number[0] old, number[1] new first block; it notes the old one */
    MESSAGE_LAYOUT_GPT_MOVED, /* number[0] old, number[1] new byte of the backup GPT */
    MESSAGE_GAP_SKIPPED,      /* text[0] disk, number[0] byte offset, number[1] bytes in no partition: not read */
    MESSAGE_CONTINUED,        /* text[0] disk or image, number[0] bytes that need not be written again */
    MESSAGE_CAN_CONTINUE,     /* text[0] disk: a restore of this image onto it was cut off */
    MESSAGE_NOTHING_TO_CONTINUE,  /* text[0] disk: no restore of this image onto it was cut off, or it cannot go on */
    MESSAGE_NO_IMAGE_TO_CONTINUE, /* text[0] image: there is none */
    MESSAGE_IMAGE_COMPLETE,       /* text[0] image: it has its end, there is nothing to go on with */
    MESSAGE_CANNOT_CONTINUE,      /* text[0] image, text[1] why it cannot go on */
    MESSAGE_CONTINUES_OTHER_DISK, /* text[0] image, text[1] serial or model of the disk that it is of */
    MESSAGE_SOURCE_CHANGED,       /* text[0] disk, text[1] what of it is not as it was when its capture was cut off */
    MESSAGE_DIFFERS,              /* text[0] disk, number[0] byte offset, number[1] bytes: not what the image says */
    /* Devices */
    MESSAGE_FIRMWARE_FALLBACK, /* text[0] controller, text[1] why: served by the firmware's driver */
    MESSAGE_DEVICE_RESET,      /* text[0] device */
    MESSAGE_DEVICE_GONE,       /* text[0] device */
    MESSAGE_COUNT
};

enum message_level { MESSAGE_INFO, MESSAGE_WARNING, MESSAGE_REFUSAL };

#define MESSAGE_TEXT_MAX 64
struct message {
    enum message_id id;
    enum message_level level;
    unsigned partition; /* 0: none */
    uint64_t number[3];
    char text[2][MESSAGE_TEXT_MAX];
};

/* A bounded collector; more than the limit are counted, not kept. */
#define MESSAGE_LIST_MAX 64
struct message_list {
    struct message items[MESSAGE_LIST_MAX];
    unsigned count, dropped;
    struct message last; /* of those that were not kept */
};
/* text0/text1 may be NULL. Returns the message; one that is not kept is good until the next one. */
struct message *message_add(struct message_list *list, enum message_level level, enum message_id id, unsigned partition,
                            const char *text0, const char *text1, uint64_t number0, uint64_t number1);

#endif
