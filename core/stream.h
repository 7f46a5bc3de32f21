/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams: where image bytes come from and go to. A host file, a pipe, a file on a FAT, NTFS or ext volume; later a network.
 *
 * Asynchronous like block devices: submit never blocks, completion callbacks come from the outermost loop step. Whether a stream can
 * seek is known; the image writer never needs to. Data is handed over in large pieces (up to a whole segment).
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include "core/error.h"
#include "core/loop.h"

struct stream;
struct stream_request;

enum stream_operation { STREAM_READ, STREAM_WRITE, STREAM_FLUSH };

struct stream_request {
    enum stream_operation operation;
    uint64_t offset; /* bytes; on a stream that cannot seek it must be where the last request ended */
    void *data;      /* the submitter's, until ended */
    size_t size;
    void (*done)(struct stream_request *request); /* may be NULL */
    void *context;

    bool ended;
    int status;         /* 0 or negative; a read that meets the end transfers less and is 0 */
    size_t transferred; /* bytes */
    uint32_t raw_status;

    struct stream *stream;
    struct completion completion;
    struct stream_request *next; /* the implementer's queue */
};

struct stream_ops {
    /* 0 or -ERROR_FULL. Requests of one stream are carried out in order. */
    int (*submit)(struct stream *stream, struct stream_request *request);
    bool (*poll)(struct stream *stream);
    /* No request is in flight. Returns 0 or an error (a late write error counts). Frees the stream. */
    int (*close)(struct stream *stream, struct error *error);
};

struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    bool can_seek, can_write;
    uint64_t size;               /* bytes when opened, UINT64_MAX when unknown (a pipe) */
    char name[ERROR_DEVICE_MAX]; /* for messages */
    struct pollable pollable;
    unsigned in_flight; /* stream.c's own */
};

void stream_start(struct stream *stream);
int stream_submit(struct stream *stream, struct stream_request *request);
/* For implementers. */
void stream_complete(struct stream_request *request, int status, size_t transferred, uint32_t raw_status);

/* Waiting forms (see loop_wait). stream_read returns how much was read in *transferred; less only at the end. */
int stream_read(struct stream *stream, uint64_t offset, void *data, size_t size, size_t *transferred,
                struct error *error);
int stream_write(struct stream *stream, uint64_t offset, const void *data, size_t size, struct error *error);
int stream_flush(struct stream *stream, struct error *error);
/* Waits for what is in flight, closes and frees. NULL is fine. */
int stream_close(struct stream *stream, struct error *error);

/*
 * Where an image's volumes are: opens PATH, or PATH with .001, .002, ... behind it. Provided by the mains (host files,
 * firmware volumes) and by fs/ (files on NTFS and ext volumes).
 */
struct stream_store {
    /*
     * Volume 0 is the whole of an unsplit image. For reading: -ERROR_NOT_FOUND when there is none. For writing:
     * creates; -ERROR_EXISTS when the file is there.
     */
    int (*open)(struct stream_store *store, unsigned volume, bool write, struct stream **stream, struct error *error);
    /*
     * Opens a volume that is there for writing behind its first `length` bytes, which is how long the stream says it is. What
     * lies behind them is cut off, for good with the next flush; what is refused is refused before anything is cut. No other
     * stream of it is open. -ERROR_NOT_FOUND; -ERROR_OUT_OF_RANGE when it is shorter. NULL: files cannot be gone on with here.
     */
    int (*reopen)(struct stream_store *store, unsigned volume, uint64_t length, struct stream **stream,
                  struct error *error);
    /* Removes a volume that was written by this run (after a cancel). May be NULL. */
    int (*remove)(struct stream_store *store, unsigned volume, struct error *error);
    /* Bytes that can still be stored; UINT64_MAX: unknown. May be NULL. */
    uint64_t (*free_space)(struct stream_store *store);
    void (*close)(struct stream_store *store); /* flushes the volume below and frees the store */
    /*
     * The disk below and which bytes of it the image occupies or may come to occupy, so that a job can refuse to
     * overlap them. disk NULL: not on a disk that this run knows. length 0: the whole disk.
     */
    struct block_device *disk;
    uint64_t disk_offset, disk_length;
    uint64_t max_volume_bytes;   /* 4 GiB - 1 on FAT, else UINT64_MAX */
    char name[ERROR_DEVICE_MAX]; /* as a person wrote it */
};

#endif
