/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block devices: geometry plus submit, poll, reset, shutdown.
 *
 * Implementers: NVMe, AHCI, the firmware's block I/O, a host file or device, RAM, a slice (partition), an image opened as a read-only
 * disk, the emulated device of the tests. One conformance test runs against all of them.
 *
 * Rules for implementers:
 * - submit() never blocks. It returns 0 and owns the request, or -ERROR_FULL (nothing happened; ask again after a step), or
 *   one of the refusals that block_submit() knows. Ranges, alignment and capabilities have been checked before.
 * - every accepted request is ended exactly once by block_complete(), also on reset and unplug, never from inside submit().
 * - poll() reaps and never waits. Completions may come in any order.
 * - reset() is called when a request passed its deadline: it must end every request it holds (the late ones with
 *   ERROR_TIMEOUT, the others with ERROR_ABORTED, which block.c sends again) and bring the device back, or call
 *   block_device_die(). It may not run the loop; a slow recovery goes on in poll() while submit() answers ERROR_FULL.
 *   Requests that reset() leaves unended get a grace of BLOCK_RESET_GRACE to be ended by poll(); then the device is
 *   declared dead. An implementer that begins a slow reset by itself says so with block_device_resetting(): what was not
 *   late at a reset's beginning does not become late by it.
 *   reset NULL: nothing can hang here, or a device below keeps the deadlines (slices).
 * - abandon() is called when that grace is over, while requests are still held, right before all of them end with
 *   ERROR_GONE and their buffers may be used for something else: the implementer forgets them, and no DMA into or out of
 *   their memory goes on when it returns, with bus mastering off if nothing less makes sure of that. It does not wait.
 *   It may call block_device_die() itself. NULL: memory is touched inside of poll() and submit() only.
 * - shutdown() flushes what must be flushed and leaves the hardware quiet; no request is in flight then. It may wait,
 *   bounded by deadlines.
 * - a request within geometry.max_transfer and its alignment is never answered with "too large".
 */
#ifndef CORE_BLOCK_H
#define CORE_BLOCK_H

#include "core/error.h"
#include "core/loop.h"

struct block_device;
struct block_request;

enum block_operation { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

struct block_request {
    enum block_operation operation;
    uint64_t lba;          /* in logical blocks of the device */
    uint64_t count;        /* logical blocks; 0 for flush */
    struct buffer *buffer; /* data of read and write at buffer->data + offset; offset a multiple of 512 */
    size_t offset;
    /*
     * Called from the outermost loop step, exactly once. The request is free for reuse then. NULL: look at `ended`, which
     * is set as soon as the completion is reaped, at any depth.
     */
    void (*done)(struct block_request *request);
    void *context;    /* the submitter's */
    uint64_t timeout; /* nanoseconds for this request; 0: by operation class */

    /* Result, valid once ended. */
    bool ended;
    int status; /* 0 or a negative error code */
    uint32_t raw_status;

    /* Kept by block.c and the driver between submit and completion. */
    struct block_device *device;
    uint64_t deadline;
    unsigned attempts;
    bool in_flight; /* held by the implementer */
    bool late;      /* had passed its deadline when a reset began */
    bool resetting; /* a reset left it unended; its deadline is the grace now */
    struct completion completion;
    struct block_request *next, *previous; /* in flight, in order of submission */
    struct block_request *driver_next;     /* the driver's own queue */
    uint64_t driver_data[2];
};

struct block_device_ops {
    int (*submit)(struct block_device *device, struct block_request *request);
    bool (*poll)(struct block_device *device); /* NULL: nothing to reap */
    void (*reset)(struct block_device *device);
    void (*shutdown)(struct block_device *device); /* also frees the implementer's memory */
    void (*abandon)(struct block_device *device);  /* no DMA from here on */
    /*
     * In a call that came in from outside, where no fiber runs: the work that the driver has asked its own fiber for, where it can be
     * done on this stack. May wait (loop->inside). NULL: there is none.
     */
    void (*serve_inside)(struct block_device *device);
    bool poll_blocks; /* poll() makes calls that take long: the platform's events go on meanwhile */
};

enum block_bus { BUS_NVME, BUS_SATA, BUS_USB, BUS_FIRMWARE, BUS_FILE, BUS_RAM, BUS_IMAGE, BUS_OTHER };

#define BLOCK_NAME_MAX 80
#define BLOCK_TEXT_MAX 48
#define BLOCK_PLACE_MAX 48

struct block_geometry {
    uint32_t logical_block;    /* bytes: 512 to 65536, a power of two */
    uint32_t physical_block;   /* bytes: >= logical_block */
    uint64_t block_count;      /* logical blocks */
    uint32_t max_transfer;     /* bytes a request may carry; at least 4096 and one logical block */
    uint32_t optimal_transfer; /* bytes: requests of this size run at full speed */
    uint32_t queue_depth;      /* requests that are worth having in flight; at least 1 */
    uint32_t buffer_alignment; /* bytes that offset+data must be aligned to: at least 2, at most 4096 */
    uint64_t max_discard;      /* bytes per discard request; 0: no discard */
    uint64_t max_write_zeroes; /* bytes per write-zeroes request; 0: not offered */
};

struct block_device {
    const struct block_device_ops *ops;
    struct loop *loop;
    struct block_geometry geometry;
    enum block_bus bus;
    bool read_only; /* a driver's or user's decision: writes end with ERROR_WRITE_PROTECTED */
    bool removable;
    bool volatile_cache; /* flush is needed before data is safe */
    bool rotational;
    bool dead; /* every further request ends at once with ERROR_GONE */
    /* Stable: "nvme:S3X9NX0K", "sata:WD-WCC4", "file:/dev/sda"; /n2 behind it for further namespaces */
    char name[BLOCK_NAME_MAX];
    /* Where it is plugged in, "14.0-port3", which tells disks apart that say the same of themselves; empty: not known. */
    char place[BLOCK_PLACE_MAX];
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX], firmware[BLOCK_TEXT_MAX]; /* printable ASCII, trimmed */
    char driver[16];             /* "nvme", "ahci", "firmware", "file" */
    struct block_device *parent; /* of a slice: the disk below */
    uint64_t parent_lba;         /* of a slice: first block on the parent */
    void *host;                  /* of firmware devices: the handle; for the boot room only */
    unsigned holders;            /* block_device_hold() */

    /* block.c's own */
    struct pollable pollable;
    struct block_request *in_flight_first, *in_flight_last;
    struct block_request *again_first, *again_last; /* aborted, waiting to be sent again */
    unsigned in_flight;
    uint64_t next_deadline_check;
    bool polling;         /* poll() is under way */
    bool stopped;         /* kept for its holders alone */
    struct buffer bounce; /* of block_read_bytes() and block_write_bytes() */
    bool bounce_busy;
    struct block_device *registry_next;
};

/* Policy: how often a request that was aborted by another one's reset is sent, and how long a reset may take. */
#define BLOCK_ATTEMPTS 3
#define BLOCK_RESET_GRACE (30 * NANOSECONDS_PER_SECOND)

/* Deadlines by class of operation, nanoseconds; policy, generous for slow disks. */
uint64_t block_timeout(enum block_operation operation);

/* Prepares a device that its implementer has filled (ops, loop, geometry, names) and starts polling it. -ERROR_PROTOCOL: bad geometry. */
int block_device_start(struct block_device *device, struct error *error);
/* Drains to the deadline, then stops polling and shuts down (frees it, when nobody holds it). */
void block_device_stop(struct block_device *device);

/*
 * Sends a request. 0, or -ERROR_FULL, or, at once and without any completion: -ERROR_OUT_OF_RANGE (also a buffer that is too
 * small or not aligned, a transfer larger than the device takes), -ERROR_WRITE_PROTECTED, -ERROR_UNSUPPORTED (no discard
 * here), -ERROR_GONE.
 */
int block_submit(struct block_device *device, struct block_request *request);
/* For implementers: ends an accepted request. status 0 or negative code. */
void block_complete(struct block_request *request, int status, uint32_t raw_status);
/*
 * For implementers: a reset has begun without being asked for, and poll() will end what is held. From now on the grace
 * counts, not the deadlines. block.c does this itself after reset().
 */
void block_device_resetting(struct block_device *device);
/* For implementers: the device is gone. Ends all it held with ERROR_GONE (the implementer holds nothing afterwards). */
void block_device_die(struct block_device *device);

/* Submits (running the loop while full) and waits. For probing, tables and libraries on fibers, not for bulk data. */
int block_run(struct block_device *device, struct block_request *request, struct error *error);
/*
 * Runs a request in a call that came in from outside (a published disk), on whatever stack and in the middle of whatever step: polls
 * `inside`, which polls the device, until the request has ended; nothing else moves. request->done is NULL. 0 or a negative code;
 * -ERROR_TIMEOUT also when the device took no request for so many nanoseconds.
 */
int block_run_inside(struct block_device *device, struct block_request *request, struct pollable *inside,
                     uint64_t patience);
/*
 * Reads or writes any byte range through a bounce buffer; splits as the device wants; reads and rewrites partial blocks.
 * Waits (see loop_wait). Errors name device and block.
 */
int block_read_bytes(struct block_device *device, uint64_t offset, void *data, size_t size, struct error *error);
int block_write_bytes(struct block_device *device, uint64_t offset, const void *data, size_t size, struct error *error);
int block_flush(struct block_device *device, struct error *error);
static inline uint64_t block_device_bytes(const struct block_device *device)
{
    return device->geometry.block_count * device->geometry.logical_block;
}

/* A slice (partition): `count` blocks from `first` of `parent`. Requests go through with the block number moved. Freed by stop. */
int block_slice_create(struct block_device *parent, uint64_t first, uint64_t count, const char *name,
                       struct block_device **slice, struct error *error);
/* A RAM disk. With `contents` NULL it is zeroed and owned by the device. Freed by stop. */
int block_ram_create(struct loop *loop, uint32_t logical_block, uint64_t count, void *contents,
                     struct block_device **device, struct error *error);

/*
 * Whoever keeps a pointer to a disk while the loop runs (a job, an open image) holds it. A disk that is stopped meanwhile (it was
 * unplugged) leaves the registry at once, and stays where it is, dead, until the last holder lets go: that shuts it down.
 */
void block_device_hold(struct block_device *device);
void block_device_let_go(struct block_device *device);

/* All disks known to this run, in order of discovery. The mains register; slices do not. */
struct block_registry {
    struct block_device *first, **last;
    unsigned unknown; /* disks that are there and could not be opened, when they were last looked for */
    /* A disk has just been taken out: whoever has made something of it forgets it. On any fiber; must not wait. NULL: nobody. */
    void (*removed)(struct block_registry *registry, struct block_device *device);
    void *context; /* of removed() */
};
void block_registry_init(struct block_registry *registry);
void block_registry_add(struct block_registry *registry, struct block_device *device);
void block_registry_remove(struct block_registry *registry, struct block_device *device);
/*
 * Gives a disk that is not yet in the registry its name: `base`, unless another one says the same of itself. Then both are called by
 * where they are plugged in, "usb:0123@14.0-port3", whichever came first: copies of one serial number are common, and the one
 * that is meant must be called the same however they are found. Those whose places are not known get a number.
 */
void block_registry_name(struct block_registry *registry, struct block_device *device, const char *base);
/* The name without the place that block_registry_name() has put behind it. */
void block_device_base(const struct block_device *device, char base[BLOCK_NAME_MAX]);
/* Is that its name without the place? What a disk says of itself, which several may. */
bool block_device_says(const struct block_device *device, const char *base);
/* By its name, or as it would be called if there were another one that says the same of itself. */
bool block_device_is_called(const struct block_device *device, const char *name);
/* By stable name or a unique prefix of it. -ERROR_NOT_FOUND, or -ERROR_AMBIGUOUS with the candidates in error->detail. */
int block_registry_find(struct block_registry *registry, const char *name, struct block_device **device,
                        struct error *error);
/*
 * A text from a device as part of a stable name. Names are typed: '_' stands for blanks and all that the command grammar reads as
 * something else. In place; every driver of a disk makes the same name of it.
 */
void block_name_text(char *text);
/* Copies printable text from fixed-width fields (IDENTIFY strings), trims it; swaps bytes of each word when `swap`. */
void block_text(char *to, size_t to_size, const void *from, size_t from_size, bool swap);

#endif
