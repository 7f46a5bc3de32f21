/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel moves chunk buffers to or from one disk: a slot after the other is cut into requests (only pieces in use,
 * small gaps included), as many in flight as the device is worth; slots finish in any order.
 *
 * Reads that fail are halved down to single blocks, so that an error names the block, and so that salvage loses no more than it.
 * The channel never waits. Offsets and lengths are bytes. Callbacks come from the outermost loop step or from the
 * functions below.
 */
#ifndef CORE_JOB_CHANNEL_H
#define CORE_JOB_CHANNEL_H

#include "core/pipeline.h"

enum channel_action {
    CHANNEL_READ,   /* disk -> slot->plain, pieces in use */
    CHANNEL_WRITE,  /* slot->plain -> disk, pieces in use */
    CHANNEL_ZERO,   /* zeroes -> disk; slot->plain is not touched; any length */
    CHANNEL_DISCARD /* any length; a device that refuses is left alone */
};

struct job_channel;

struct channel_request {
    struct block_request request; /* first: the completion finds us through it */
    struct job_channel *channel;
    struct pipeline_slot *slot;
    enum channel_action action;
    uint64_t device_offset; /* of the slot's first byte */
    uint64_t position, end; /* what is left, from the slot's first byte */
    uint64_t step;          /* bytes of the request in flight */
    struct channel_request *next;
};

struct job_channel {
    struct loop *loop;
    struct block_device *device;
    enum error_side side; /* of errors here */
    bool salvage;         /* reads: unreadable blocks become zeroes */
    void *owner;          /* the user's */
    /* All requests of the slot ended well. The slot is the user's again. */
    void (*finished)(struct job_channel *channel, struct pipeline_slot *slot);
    /* Once, at the first failure; nothing more is submitted, `finished` is not called any more. */
    void (*failed)(struct job_channel *channel, const struct error *error);
    /* Salvage: a block of the slot became zeroes. `offset` from the slot's first byte. */
    void (*unreadable)(struct job_channel *channel, struct pipeline_slot *slot, uint64_t offset, uint64_t bytes);

    /* The channel's own. */
    struct channel_request *requests, *free, *again, **again_last;
    unsigned request_count, in_flight;
    uint64_t transfer;    /* bytes of an ordinary request */
    struct buffer zeroes; /* what CHANNEL_ZERO writes where the device cannot do so by itself; made on first use */
    bool no_write_zeroes, discard_failed, stopped;
    bool
        paused; /* the user's: nothing is submitted, and what is under way goes no further than the request in flight */
    uint64_t moved_bytes;       /* that requests transferred well */
    struct pipeline_slot *slot; /* being cut into requests */
    enum channel_action action;
    uint64_t device_offset, length, cursor;
};

/* Fill loop, device, side, salvage, owner and callbacks first. */
int job_channel_open(struct job_channel *channel, struct error *error);
/* True when job_channel_start() may be called. */
bool job_channel_idle(const struct job_channel *channel);
/* Begins with a slot. Map and has_map of the slot say which pieces are in use; length is at most chunk_size for READ and WRITE. */
void job_channel_start(struct job_channel *channel, struct pipeline_slot *slot, enum channel_action action,
                       uint64_t device_offset, uint64_t length);
/* Submits what can be submitted; true when anything was. */
bool job_channel_pump(struct job_channel *channel);
/* Nothing more is submitted; what is in flight ends by itself (see job_channel_quiet). */
void job_channel_stop(struct job_channel *channel);
bool job_channel_quiet(const struct job_channel *channel);
/* The first byte on the device that the channel was given and has not moved yet; UINT64_MAX: it has nothing to do. */
uint64_t job_channel_front(const struct job_channel *channel);
size_t job_channel_memory(const struct job_channel *channel);
/* Stops, waits until quiet (bounded by the device's deadlines), frees. A zeroed channel is fine. */
void job_channel_close(struct job_channel *channel);

#endif
