/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File systems, as the core sees them: who is it, which bytes are in use, and (for some) files to keep images in.
 *
 * core owns these tables; fs/ fills them; the mains register them with filesystem_register_all(). An allocation reader never writes.
 * In doubt (unknown feature bit, damage, a log that cannot be judged) it says why and gives up: the volume is copied whole.
 */
#ifndef CORE_FILESYSTEM_H
#define CORE_FILESYSTEM_H

#include "core/block.h"
#include "core/extent.h"
#include "core/message.h"
#include "core/stream.h"

struct filesystem_info {
    char type[16];        /* "ntfs", "ext4", "fat32", "exfat", "swap", "bitlocker", "luks"; "" when unknown */
    char label[64];       /* UTF-8 */
    char uuid[40];        /* as blkid prints it */
    uint64_t total_bytes; /* what the file system itself claims; may be less than the volume, never trusted beyond it */
    uint64_t used_bytes;  /* by its own counters if cheap to know, UINT64_MAX otherwise */
    uint32_t block_size;  /* allocation unit, bytes */
};

/* What a volume has room for, as far as it is known without writing. */
struct filesystem_space {
    uint64_t free_bytes;        /* UINT64_MAX: unknown */
    uint64_t max_file_bytes;    /* of one file; UINT64_MAX: no limit that a disk reaches */
    bool can_write;             /* open_store() for writing would not be refused by the file system */
    char why[ERROR_DETAIL_MAX]; /* when not: words for a person; "" otherwise */
};

#define FILESYSTEM_NAME_MAX 768    /* 255 UTF-16 units as UTF-8, with the zero */
#define FILESYSTEM_FILES_MAX 10000 /* policy: entries of one folder that are listed */

/* An entry of a folder. */
struct filesystem_file {
    char name[FILESYSTEM_NAME_MAX]; /* UTF-8, printable, without slashes; never "." or ".." */
    uint64_t bytes;                 /* 0 for folders; UINT64_MAX: cannot be told */
    int64_t modified;               /* seconds since 1970, UTC; -1: unknown */
    bool is_folder;                 /* otherwise an ordinary file */
};
/*
 * Takes the entries of a folder, one by one, in no order. `file` is valid until it returns. false: no more of them are wanted. It runs in
 * the caller's context, never on a library's fiber.
 */
typedef bool filesystem_found(void *context, const struct filesystem_file *file);
/* UTF-8 as RFC 3629 has it, to the terminating zero. */
bool filesystem_name_is_utf8(const char *name);
/*
 * Room for one more in an array of `count` files that is platform_allocate()d (*files NULL at first), up to FILESYSTEM_FILES_MAX; the
 * caller counts. false: no memory, the array is as it was.
 */
bool filesystem_files_make_room(struct platform *platform, struct filesystem_file **files, size_t count, size_t *room);
/*
 * Can a person see and type this name of a file? Not when it is empty, "." or "..", no UTF-8, or has a control character (C0, C1, DEL) or
 * a slash of either kind in it.
 */
bool filesystem_name_is_text(const char *name);

enum allocation_verdict {
    ALLOCATION_WHOLE, /* not understood or in doubt: every byte counts as used */
    ALLOCATION_EXACT  /* `used` covers everything that matters */
};

struct allocation {
    struct filesystem_info info;
    enum allocation_verdict verdict;
    struct extent_list used; /* bytes from the volume's start; meaningful when EXACT */
    /*
     * What of `used` need not be read: nothing is kept there, and zeroes are what the file system expects to find (inode tables
     * beyond their last inode). An image holds zeroes for it, whatever the volume has. Mostly empty.
     */
    struct extent_list blank;
    struct message_list messages; /* why WHOLE; dirty, hibernated, ... */
};

struct filesystem_driver {
    const char *name;
    /*
     * Looks at the volume; returns true when it is this file system (even a damaged one), with `info` filled as far as
     * possible. Reads little: this runs for every partition in `list`. `head` holds the first head_size (up to 128 KiB)
     * bytes of the volume; further reads go through block_read_bytes().
     */
    bool (*probe)(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info);
    /*
     * Fills allocation->used, verdict and messages (info is filled by probe before). An I/O error is a doubt: WHOLE with a
     * message, return 0. Negative only for cancel or lack of memory. May be called on a fiber. NULL: always WHOLE.
     */
    int (*read_allocation)(struct block_device *volume, struct allocation *allocation);
    /* Opens a file on the volume as a stream store (see core/stream.h). NULL: no files here. */
    int (*open_store)(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                      struct error *error);
    /*
     * Free space, and whether images can be written here. Mounts for reading only, on a fiber of its own, and is over after
     * FILESYSTEM_LOOK_LIMIT at the latest. NULL where open_store is.
     */
    int (*read_space)(struct block_device *volume, struct filesystem_space *space, struct error *error);
    /*
     * Lists a folder, the same way. `folder`: components divided by '/' or '\\'; "" is the root. Given are files and folders that can be
     * named, at most FILESYSTEM_FILES_MAX; left out are links, what the file system keeps for itself and, on file systems of
     * Windows, what is hidden and of the system. 0; 1: there are more than were given; -ERROR_NOT_FOUND: no such folder;
     * -ERROR_CORRUPT: the folder is damaged; -ERROR_TIMEOUT. What was given before a failure counts for nothing.
     */
    int (*list_files)(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                      struct error *error);
};
#define FILESYSTEM_LOOK_LIMIT (30 * NANOSECONDS_PER_SECOND) /* policy */

#define FILESYSTEM_DRIVERS_MAX 32
void filesystem_register(const struct filesystem_driver *driver);
/* The driver that recognises the volume (NULL: none) and what it says. */
const struct filesystem_driver *filesystem_probe(struct block_device *volume, struct filesystem_info *info);
/*
 * Probe, read on a fiber of its own with deadline and arena limit, check what came back (inside the volume, its first block
 * included; widened to whole logical blocks), WHOLE on any doubt, also when two drivers recognise the volume. Negative only for
 * cancel or no memory. Free the lists (they are empty when WHOLE).
 */
int filesystem_allocation(struct block_device *volume, struct allocation *allocation);
void allocation_init(struct allocation *allocation, struct platform *platform); /* nothing is known */
void allocation_free(struct allocation *allocation);                            /* its lists */

/* Implemented by fs/: registers every driver of that room. */
void filesystem_register_all(void);

#endif
