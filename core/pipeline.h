/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pipeline: an ordered ring of chunk buffers between an I/O loop and workers that compute.
 *
 * The I/O side fills slots in order and drains them in order; between them any worker (or the loop itself, when it is idle) runs
 * the slot's work. No locks: a slot's state is one atomic word, its owner is whoever the state names.
 * Everything also works with no worker at all.
 */
#ifndef CORE_PIPELINE_H
#define CORE_PIPELINE_H

#include "core/image.h"
#include "core/level.h"
#include "core/loop.h"

enum pipeline_work {
    PIPELINE_ENCODE, /* plain -> chunk: zero unused pieces, find zero, hash, compress */
    PIPELINE_DECODE, /* stored -> plain, hash checked */
    PIPELINE_HASH,   /* plain -> hash compared with chunk.hash (ZERO: all zero): slot.status 0 or -ERROR_MISMATCH */
    PIPELINE_DIGEST  /* plain -> chunk.kind and chunk.hash: like ENCODE, but nothing is compressed */
};

/*
 * FREE and FILLING belong to the loop, READY to nobody (the first processor that turns it into WORKING takes it), DONE and TAKEN
 * to the loop again.
 */
enum pipeline_slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_WORKING, SLOT_DONE, SLOT_TAKEN };

#define PIPELINE_WORK_LIMIT (60 * NANOSECONDS_PER_SECOND) /* policy: one chunk, on the slowest processor */

struct pipeline_slot {
    _Atomic uint32_t state;
    enum pipeline_work work;
    int status; /* of the work */
    struct image_chunk chunk;
    uint8_t map[IMAGE_MAP_BYTES_MAX];
    bool has_map;
    struct buffer plain;  /* chunk_size bytes */
    uint8_t *stored;      /* chunk_stored_bound() bytes; NULL in pipelines that do not encode */
    uint64_t offset;      /* of the chunk on the disk, for the user */
    unsigned outstanding; /* the user's count of requests in flight */
    void *user;           /* the user's; kept when the slot is used again, NULL at first */
};

struct pipeline_config {
    uint32_t chunk_size;
    int level;           /* 0: decode and hash only; LEVEL_AUTO: follows what pipeline_watch() sees */
    unsigned slots;      /* 0: chosen from the number of processors and the memory limit */
    unsigned processors; /* how many may compute, the loop's own included; 0: all */
    size_t memory_limit; /* bytes for slots and codecs; 0: 96 MiB */
};

struct pipeline;
/* Starts the workers. Also hooks loop->idle, so that the loop's processor computes between polls. */
int pipeline_create(struct loop *loop, const struct pipeline_config *config, struct pipeline **pipeline,
                    struct error *error);
/* The next slot to fill, in order, state SLOT_FILLING; NULL when the ring is full. */
struct pipeline_slot *pipeline_claim(struct pipeline *pipeline);
/* The slot's input is complete: hands it to the workers. */
void pipeline_ready(struct pipeline *pipeline, struct pipeline_slot *slot);
/* A slot that needs no work (a run of unused space): straight to SLOT_DONE. */
void pipeline_skip(struct pipeline *pipeline, struct pipeline_slot *slot);
/* The oldest slot if it is done; NULL otherwise. Stays until released. */
struct pipeline_slot *pipeline_oldest(struct pipeline *pipeline);
/*
 * The oldest slot that is done and not yet taken, and every older one was taken; NULL otherwise. For users that work on several
 * finished slots at once (writes in flight).
 */
struct pipeline_slot *pipeline_take(struct pipeline *pipeline);
/* Gives a slot back: the one that pipeline_oldest() named, or any that was taken, in any order. */
void pipeline_release(struct pipeline *pipeline, struct pipeline_slot *slot);
bool pipeline_empty(const struct pipeline *pipeline);
/* Takes one waiting piece of work on this processor; true when it did. */
bool pipeline_work_once(struct pipeline *pipeline);
unsigned pipeline_slots(const struct pipeline *pipeline);
/* One of them, whatever its state: index below pipeline_slots(), in no order. To look at. */
const struct pipeline_slot *pipeline_slot_at(const struct pipeline *pipeline, unsigned index);
unsigned pipeline_processors(const struct pipeline *pipeline);
size_t pipeline_memory(const struct pipeline *pipeline); /* bytes */
/*
 * LEVEL_AUTO: to be called between the steps of the loop, with whether the destination has nothing to do but to wait for chunks.
 * Chooses the level of the chunks to come.
 */
void pipeline_watch(struct pipeline *pipeline, bool destination_waits);
/* LEVEL_AUTO: the time since the last look was a pause. The level is judged by what comes now. */
void pipeline_rested(struct pipeline *pipeline);
/* The mean level of the data chunks compressed so far, times ten; 0: none was. */
unsigned pipeline_level_tenths(const struct pipeline *pipeline);
/*
 * The heartbeat of the workers, to be asked for often: has the work that all others wait for been in one worker's hands
 * for longer than any work takes (PIPELINE_WORK_LIMIT)? Nothing more comes out then.
 */
bool pipeline_stuck(struct pipeline *pipeline);
/*
 * Stops and joins the workers, frees. No request may be in flight on a slot's buffers. What a worker that does not come
 * back may still touch is left to it, with a line in the log.
 */
void pipeline_destroy(struct pipeline *pipeline);

#endif
