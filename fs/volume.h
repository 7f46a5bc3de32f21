/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libext2fs and libntfs-3g share here: bytes of a volume for the library's device seam (volume_io), and image files on a
 * mounted volume as a stream store (volume_store).
 *
 * Offsets are bytes from the volume's start. Everything waits through the loop, so it belongs on a fiber or in the outermost code.
 */
#ifndef FS_VOLUME_H
#define FS_VOLUME_H

#include "core/block.h"
#include "core/extent.h"
#include "core/filesystem.h"
#include "core/stream.h"

/* --- the volume's bytes (volume_io.c) --- */

#define VOLUME_SLOTS 8
#define VOLUME_SLOT_BYTES (1024u * 1024) /* policy: eight requests of at most this size in flight */

struct volume_slot {
    struct block_request request;
    struct buffer buffer;
    uint64_t offset; /* bytes */
    size_t length;
    bool busy, writing;
};

/*
 * Two kinds. A reader (volume_io_init) reads through block_read_bytes(), owns no memory and may live on a fiber's stack: dropping the
 * fiber leaves nothing behind. A full one (volume_io_create) lives outside of any fiber, has DMA buffers of its own, reads
 * ahead within one call and writes behind: a write is on its way when volume_io_write() returns, reads and writes that overlap
 * it wait for it, and its failure is told by the next call. No request of it ever points into a fiber's memory.
 */
struct volume_io {
    struct block_device *device;
    bool writable;
    bool failed;        /* a write was lost: every later call fails */
    struct error error; /* the first failure since it was last cleared by its user */
    size_t slot_bytes;
    unsigned slot_count; /* 0: a reader */
    struct volume_slot slots[VOLUME_SLOTS];
};

void volume_io_init(struct volume_io *io, struct block_device *device);
int volume_io_create(struct block_device *device, bool write, struct volume_io **io, struct error *error);
/* Waits for what is in flight, then frees. NULL is fine. */
void volume_io_destroy(struct volume_io *io);
/* Any byte range inside the volume. 0 or a negative error, which is in io->error as well. */
int volume_io_read(struct volume_io *io, uint64_t offset, void *data, size_t size);
int volume_io_write(struct volume_io *io, uint64_t offset, const void *data, size_t size);
/* All writes done and past the device's cache. */
int volume_io_flush(struct volume_io *io);

/* --- helpers of the allocation readers (volume_common.c) --- */

/*
 * Adds what lies behind the file system's last byte: other owners (RAID metadata, a backup boot sector) keep things there that a file
 * system does not know. All of it when it is small, otherwise its beginning and its end.
 */
int volume_add_tail(struct extent_list *used, uint64_t file_system_end, uint64_t volume_bytes);
/*
 * Adds the runs of set bits (least significant bit of a byte first) among the first `bits` of a bitmap; bit 0 stands for `offset`,
 * each bit for `unit` bytes; what passes `end` is cut. Counts set bits in *set (may be NULL).
 */
int volume_add_bitmap(struct extent_list *used, const uint8_t *bitmap, uint64_t bits, uint64_t offset, uint64_t unit,
                      uint64_t end, uint64_t *set);

/* Labels: UTF-8, or UTF-16LE units, up to the first zero; what is not printable becomes '_'. */
void volume_text(char *to, size_t to_size, const uint8_t *from, size_t from_size);
void volume_utf16_text(char *to, size_t to_size, const uint8_t *from, size_t units);
/* RFC 4122 order, lower case. */
void volume_uuid_text(char text[37], const uint8_t uuid[16]);

/* --- files on a volume (volume_store.c, volume_look.c) --- */

/* The entries of a folder while they are found; on the fiber. */
struct volume_list {
    struct platform *platform;
    struct filesystem_file *files;
    size_t count, room, seen;
    bool is_cut;     /* one more than FILESYSTEM_FILES_MAX was there */
    bool is_damaged; /* there were too many to be true */
    bool no_memory;
};
/* To be called for each place in which an entry could be. false: enough has been seen. */
bool volume_list_seen(struct volume_list *list);
/*
 * Adds a name: a file of unknown size and time, to be filled in until the next is added. NULL: it is left out (not text as
 * filesystem_name_is_text() has it), or the list is full.
 */
struct filesystem_file *volume_list_add(struct volume_list *list, const char *name);
/*
 * What a file system gives. All functions but those of volume_store_open's caller run on the store's fiber, one at a time; the
 * library's memory is that fiber's arena. Paths are components separated by '/' (never empty, no leading slash).
 */
struct volume_file_ops {
    const char *name;              /* "ext", "ntfs" */
    size_t volume_size, file_size; /* bytes of private state, handed over zeroed */
    int (*mount)(void *volume, struct volume_io *io, struct error *error);
    /*
     * After mount, of a store that writes: is the volume in a state in which this file, or its further volumes (see struct
     * stream_store), may be written? NULL: mount has said it. What was mounted goes with the fiber when it is refused.
     */
    int (*admit)(void *volume, const char *path, struct error *error);
    /* Everything durable, marked clean if it was clean. Frees what mount made. */
    int (*unmount)(void *volume, struct error *error);
    uint64_t (*free_space)(void *volume); /* bytes */
    uint64_t (*max_file_bytes)(void *volume);
    /* For reading an existing file (-ERROR_NOT_FOUND), or creating one (-ERROR_EXISTS). *size: bytes. */
    int (*open)(void *volume, void *file, const char *path, bool write, uint64_t *size, struct error *error);
    /* An existing file for writing behind its first `length` bytes; the rest is cut off (see struct stream_store, reopen). */
    int (*reopen)(void *volume, void *file, const char *path, uint64_t length, struct error *error);
    int (*read)(void *volume, void *file, uint64_t offset, void *data, size_t size, size_t *transferred,
                struct error *error);
    int (*write)(void *volume, void *file, uint64_t offset, const void *data, size_t size, struct error *error);
    /* Data, size and metadata durable. */
    int (*flush)(void *volume, void *file, struct error *error);
    int (*close)(void *volume, void *file, struct error *error);
    int (*remove)(void *volume, const char *path, struct error *error);
    /*
     * The last two are for a volume that is mounted for reading. Would it be mounted for writing? -ERROR_REFUSED or -ERROR_UNSUPPORTED with
     * the reason in words, other errors as ever. Afterwards free_space() knows.
     */
    int (*check_space)(void *volume, struct error *error);
    /* path "": the root. -ERROR_NOT_FOUND: no such folder. */
    int (*list)(void *volume, const char *path, struct volume_list *list, struct error *error);
};

/* Mounts on a fiber of its own. `path` uses / or \. -ERROR_BUSY: another store writes to this volume. */
int volume_store_open(struct block_device *device, const struct volume_file_ops *ops, const char *path, bool write,
                      struct stream_store **store, struct error *error);
/* Components of a path separated by one '/'. -ERROR_USAGE: it does not fit, or has "." or "..". "" is none. */
int volume_normalise(const char *path, char *to, size_t size);
/* struct filesystem_driver's operations of these names. */
int volume_read_space(struct block_device *device, const struct volume_file_ops *ops, struct filesystem_space *space,
                      struct error *error);
int volume_list_files(struct block_device *device, const struct volume_file_ops *ops, const char *folder,
                      filesystem_found *found, void *context, struct error *error);

#endif
