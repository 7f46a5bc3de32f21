/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pipeline.h"

#include <string.h>

#define MEMORY_LIMIT_DEFAULT (96u * 1024 * 1024)
#define LOOK_MAX                                                                                                       \
    NANOSECONDS_PER_SECOND /* a longer time between two looks is not the worker's: the program was stopped */
/* Policy: plain bytes of data between two looks at the level; two segments, so that a window holds what an image's end takes in bursts. */
#define LEVEL_WINDOW (128u * 1024 * 1024)
#define SLOTS_MIN 3u
#define SLOTS_MAX 256u

struct pipeline {
    struct loop *loop;
    struct platform *platform;
    uint32_t chunk_size;
    bool encodes;
    struct pipeline_slot *slots;
    unsigned slot_count;
    /* Positions since the start; a slot is at its position modulo slot_count. first <= taken <= claimed. The loop's own. */
    uint64_t first, taken, claimed;
    /* One for each processor that computes; [0] is the loop's. A worker's index plus one names its own. */
    struct chunk_codec **codecs;
    unsigned codec_count;
    unsigned workers; /* that run, the loop not counted */
    size_t memory;

    _Atomic uint32_t ready;      /* slots that wait for a processor */
    _Atomic uint32_t busy;       /* workers that compute or look for work */
    _Atomic uint32_t changes;    /* counts events; idle workers wait on it */
    _Atomic uint32_t first_slot; /* where to begin looking: a hint, so that the oldest goes first */
    _Atomic bool stop;

    /* The level of the next chunk, and what was done: chunks of data, the sum of their levels and lengths, time. */
    _Atomic int level;
    _Atomic uint64_t encoded_chunks, encoded_levels, encoded_bytes, computed;
    /* LEVEL_AUTO. The loop's own. */
    bool follows, watching, processors_awaited;
    struct level_control control;
    struct level_facts window; /* the one under way; computed and bytes as they were at its beginning */
    uint64_t window_bytes, level_watched_at;

    /* The heartbeat: which position was being worked on at the last look, and for how long it was seen to be. */
    uint64_t watched, watched_at, watched_for;

    bool (*previous_idle)(void *context);
    void *previous_idle_context;
    bool hooked, started;
};

/* --- the work; any processor --- */

static void zero_unused_pieces(uint8_t *plain, size_t length, const uint8_t *map)
{
    for (size_t piece = 0; piece * IMAGE_PIECE < length; piece++) {
        size_t offset = piece * IMAGE_PIECE;
        if (map[piece / 8] >> (piece % 8) & 1)
            continue;
        memset(plain + offset, 0, length - offset < IMAGE_PIECE ? length - offset : IMAGE_PIECE);
    }
}

static int compare_hash(struct pipeline_slot *slot)
{
    uint8_t hash[IMAGE_HASH_SIZE];
    uint8_t *plain = slot->plain.data;
    size_t length = (size_t)slot->chunk.length;

    if (slot->has_map)
        zero_unused_pieces(plain, length, slot->map);
    if (slot->chunk.kind == IMAGE_ZERO)
        return memory_is_zero(plain, length) ? 0 : -ERROR_MISMATCH;
    image_hash(plain, length, hash);
    return memcmp(hash, slot->chunk.hash, sizeof(hash)) ? -ERROR_MISMATCH : 0;
}

static int make_digest(struct pipeline_slot *slot)
{
    uint8_t *plain = slot->plain.data;
    size_t length = (size_t)slot->chunk.length;

    if (slot->has_map)
        zero_unused_pieces(plain, length, slot->map);
    slot->chunk.map = slot->has_map ? slot->map : NULL;
    slot->chunk.stored = NULL;
    slot->chunk.stored_size = 0;
    if (memory_is_zero(plain, length)) {
        slot->chunk.kind = IMAGE_ZERO;
        return 0;
    }
    slot->chunk.kind = slot->has_map ? IMAGE_PARTIAL : IMAGE_DATA;
    image_hash(plain, length, slot->chunk.hash);
    return 0;
}

static int encode(struct pipeline *pipeline, struct pipeline_slot *slot, struct chunk_codec *codec)
{
    int level = atomic_load_explicit(&pipeline->level, memory_order_relaxed);
    uint64_t started = pipeline->follows ? platform_now(pipeline->platform) : 0;

    if (pipeline->follows && !chunk_codec_set_level(codec, level))
        return -ERROR_OUT_OF_RANGE;
    int status = chunk_encode(codec, slot->plain.data, (size_t)slot->chunk.length, slot->has_map ? slot->map : NULL,
                              slot->stored, &slot->chunk);
    if (!status && slot->chunk.stored_size) {
        atomic_fetch_add_explicit(&pipeline->encoded_chunks, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&pipeline->encoded_levels, (uint64_t)level, memory_order_relaxed);
        atomic_fetch_add_explicit(&pipeline->encoded_bytes, slot->chunk.length, memory_order_relaxed);
    }
    if (pipeline->follows)
        atomic_fetch_add_explicit(&pipeline->computed, platform_now(pipeline->platform) - started,
                                  memory_order_relaxed);
    return status;
}

static int slot_work(struct pipeline *pipeline, struct pipeline_slot *slot, struct chunk_codec *codec)
{
    switch (slot->work) {
    case PIPELINE_ENCODE:
        return encode(pipeline, slot, codec);
    case PIPELINE_DECODE:
        return chunk_decode(codec, &slot->chunk, slot->plain.data);
    case PIPELINE_HASH:
        return compare_hash(slot);
    case PIPELINE_DIGEST:
        return make_digest(slot);
    }
    return -ERROR_UNSUPPORTED;
}

/* Takes the oldest waiting slot, if any, and does its work. */
static bool take_and_work(struct pipeline *pipeline, struct chunk_codec *codec)
{
    unsigned at = atomic_load_explicit(&pipeline->first_slot, memory_order_relaxed);

    if (!atomic_load_explicit(&pipeline->ready, memory_order_acquire))
        return false;
    for (unsigned i = 0; i < pipeline->slot_count; i++, at++) {
        struct pipeline_slot *slot = &pipeline->slots[at % pipeline->slot_count];
        uint32_t expected = SLOT_READY;
        if (!atomic_compare_exchange_strong_explicit(&slot->state, &expected, SLOT_WORKING, memory_order_acq_rel,
                                                     memory_order_relaxed))
            continue;
        atomic_fetch_sub_explicit(&pipeline->ready, 1, memory_order_relaxed);
        slot->status = slot_work(pipeline, slot, codec);
        atomic_store_explicit(&slot->state, SLOT_DONE, memory_order_release);
        return true;
    }
    return false;
}

static void worker(void *context, unsigned index)
{
    struct pipeline *pipeline = context;
    struct platform *platform = pipeline->platform;

    for (;;) {
        uint32_t seen = atomic_load(&pipeline->changes);
        if (atomic_load(&pipeline->stop))
            return;
        atomic_fetch_add(&pipeline->busy, 1);
        bool worked = take_and_work(pipeline, pipeline->codecs[index + 1]);
        atomic_fetch_sub(&pipeline->busy, 1);
        if (worked)
            platform->ops->wake(platform);
        else
            platform->ops->worker_wait(platform, &pipeline->changes, seen);
    }
}

/* --- the loop's side --- */

/*
 * The loop's processor computes only what the workers cannot begin at once: it has devices to poll, and a chunk takes
 * milliseconds.
 */
static bool idle(void *context)
{
    struct pipeline *pipeline = context;
    uint32_t ready = atomic_load(&pipeline->ready);
    uint32_t busy = atomic_load(&pipeline->busy);
    uint32_t resting = busy < pipeline->workers ? pipeline->workers - busy : 0;

    if (ready > resting && take_and_work(pipeline, pipeline->codecs[0]))
        return true;
    return pipeline->previous_idle ? pipeline->previous_idle(pipeline->previous_idle_context) : false;
}

bool pipeline_work_once(struct pipeline *pipeline)
{
    return take_and_work(pipeline, pipeline->codecs[0]);
}

struct pipeline_slot *pipeline_claim(struct pipeline *pipeline)
{
    struct pipeline_slot *slot;

    if (pipeline->claimed - pipeline->first >= pipeline->slot_count)
        return NULL;
    slot = &pipeline->slots[pipeline->claimed++ % pipeline->slot_count];
    slot->status = 0;
    slot->has_map = false;
    slot->outstanding = 0;
    memset(&slot->chunk, 0, sizeof(slot->chunk));
    atomic_store_explicit(&slot->state, SLOT_FILLING, memory_order_relaxed);
    return slot;
}

void pipeline_ready(struct pipeline *pipeline, struct pipeline_slot *slot)
{
    atomic_fetch_add(&pipeline->ready, 1); /* first, so that nobody counts it down before */
    atomic_store_explicit(&slot->state, SLOT_READY, memory_order_release);
    atomic_fetch_add(&pipeline->changes, 1);
    if (pipeline->workers)
        pipeline->platform->ops->worker_wake(pipeline->platform, &pipeline->changes);
}

void pipeline_skip(struct pipeline *pipeline, struct pipeline_slot *slot)
{
    (void)pipeline;
    atomic_store_explicit(&slot->state, SLOT_DONE, memory_order_release);
}

struct pipeline_slot *pipeline_oldest(struct pipeline *pipeline)
{
    struct pipeline_slot *slot = &pipeline->slots[pipeline->taken % pipeline->slot_count];

    if (pipeline->taken == pipeline->claimed || atomic_load_explicit(&slot->state, memory_order_acquire) != SLOT_DONE)
        return NULL;
    return slot;
}

struct pipeline_slot *pipeline_take(struct pipeline *pipeline)
{
    struct pipeline_slot *slot = pipeline_oldest(pipeline);

    if (!slot)
        return NULL;
    atomic_store_explicit(&slot->state, SLOT_TAKEN, memory_order_relaxed);
    pipeline->taken++;
    return slot;
}

void pipeline_release(struct pipeline *pipeline, struct pipeline_slot *slot)
{
    if (slot == pipeline_oldest(pipeline))
        pipeline->taken++;
    atomic_store_explicit(&slot->state, SLOT_FREE, memory_order_relaxed);
    while (pipeline->first < pipeline->taken &&
           atomic_load_explicit(&pipeline->slots[pipeline->first % pipeline->slot_count].state, memory_order_relaxed) ==
               SLOT_FREE)
        pipeline->first++;
    atomic_store_explicit(&pipeline->first_slot, (uint32_t)(pipeline->first % pipeline->slot_count),
                          memory_order_relaxed);
}

bool pipeline_stuck(struct pipeline *pipeline)
{
    const struct pipeline_slot *slot = &pipeline->slots[pipeline->taken % pipeline->slot_count];
    uint64_t now = platform_now(pipeline->platform), passed = now - pipeline->watched_at;

    pipeline->watched_at = now;
    if (pipeline->taken == pipeline->claimed || pipeline->watched != pipeline->taken ||
        atomic_load_explicit(&slot->state, memory_order_relaxed) != SLOT_WORKING) {
        pipeline->watched = pipeline->taken;
        pipeline->watched_for = 0;
        return false;
    }
    pipeline->watched_for += passed < LOOK_MAX ? passed : LOOK_MAX;
    return pipeline->watched_for > PIPELINE_WORK_LIMIT;
}

/* --- the level --- */

static void begin_window(struct pipeline *pipeline)
{
    pipeline->window.elapsed = pipeline->window.waited = 0;
    pipeline->window.computed = atomic_load_explicit(&pipeline->computed, memory_order_relaxed);
    pipeline->window_bytes = atomic_load_explicit(&pipeline->encoded_bytes, memory_order_relaxed);
}

static void end_window(struct pipeline *pipeline)
{
    struct level_facts facts = pipeline->window;

    facts.computed = atomic_load_explicit(&pipeline->computed, memory_order_relaxed) - facts.computed;
    facts.processors = pipeline->workers + 1;
    int level = level_next(&pipeline->control, &facts);
    if (level != atomic_load_explicit(&pipeline->level, memory_order_relaxed))
        platform_log(pipeline->platform, LOG_DEBUG, "level %d: of %llu ms, %llu computed by %u, %llu waited for", level,
                     (unsigned long long)(facts.elapsed / NANOSECONDS_PER_MILLISECOND),
                     (unsigned long long)(facts.computed / NANOSECONDS_PER_MILLISECOND), facts.processors,
                     (unsigned long long)(facts.waited / NANOSECONDS_PER_MILLISECOND));
    atomic_store_explicit(&pipeline->level, level, memory_order_relaxed);
}

void pipeline_watch(struct pipeline *pipeline, bool destination_waits)
{
    if (!pipeline->follows)
        return;
    uint64_t now = platform_now(pipeline->platform), passed = now - pipeline->level_watched_at;

    pipeline->level_watched_at = now;
    if (pipeline->watching) {
        /* What was seen at the last look lasted until now: this thread slept or computed in between. */
        pipeline->window.elapsed += passed;
        pipeline->window.waited += pipeline->processors_awaited ? passed : 0;
    } else if (!destination_waits) {
        /* Only now something is on its way: before, nothing could be known about the destination. */
        pipeline->watching = true;
        begin_window(pipeline);
    }
    /* Half of the ring waits for processors, so the source is not what is missing. */
    pipeline->processors_awaited =
        destination_waits && 2 * atomic_load_explicit(&pipeline->ready, memory_order_relaxed) >= pipeline->slot_count;
    if (pipeline->watching &&
        atomic_load_explicit(&pipeline->encoded_bytes, memory_order_relaxed) - pipeline->window_bytes >= LEVEL_WINDOW) {
        end_window(pipeline);
        begin_window(pipeline);
    }
}

void pipeline_rested(struct pipeline *pipeline)
{
    pipeline->level_watched_at = platform_now(pipeline->platform);
    pipeline->processors_awaited = false;
    begin_window(pipeline);
}

unsigned pipeline_level_tenths(const struct pipeline *pipeline)
{
    uint64_t chunks = atomic_load_explicit(&pipeline->encoded_chunks, memory_order_relaxed);
    uint64_t levels = atomic_load_explicit(&pipeline->encoded_levels, memory_order_relaxed);

    return chunks ? (unsigned)((10 * levels + chunks / 2) / chunks) : 0;
}

bool pipeline_empty(const struct pipeline *pipeline)
{
    return pipeline->first == pipeline->claimed;
}

unsigned pipeline_slots(const struct pipeline *pipeline)
{
    return pipeline->slot_count;
}

const struct pipeline_slot *pipeline_slot_at(const struct pipeline *pipeline, unsigned index)
{
    return &pipeline->slots[index];
}

unsigned pipeline_processors(const struct pipeline *pipeline)
{
    return pipeline->workers + 1;
}

size_t pipeline_memory(const struct pipeline *pipeline)
{
    return pipeline->memory;
}

/* --- creation --- */

static size_t slot_memory(const struct pipeline *pipeline)
{
    return pipeline->chunk_size + (pipeline->encodes ? chunk_stored_bound(pipeline->chunk_size) : 0);
}

/*
 * Enough slots that every processor has one in work and one waiting, and that the disk has as many to fill and to drain; what the
 * memory limit allows of that.
 */
static unsigned choose_slots(const struct pipeline *pipeline, const struct pipeline_config *config, size_t codecs)
{
    size_t limit = config->memory_limit ? config->memory_limit : MEMORY_LIMIT_DEFAULT;
    size_t affordable = limit > codecs ? (limit - codecs) / slot_memory(pipeline) : 0;
    unsigned wanted = config->slots ? config->slots : 8 + 4 * pipeline->codec_count;

    if (wanted > SLOTS_MAX)
        wanted = SLOTS_MAX;
    if (wanted > affordable)
        wanted = (unsigned)affordable;
    return wanted < SLOTS_MIN ? SLOTS_MIN : wanted;
}

/* The highest level that all processors together have memory for. */
static int choose_ceiling(const struct pipeline_config *config, unsigned processors, size_t limit)
{
    int level = LEVEL_CEILING;

    while (level > LEVEL_START && processors * chunk_codec_memory(config->chunk_size, level) > limit / 2)
        level--;
    return level;
}

static int allocate_codecs(struct pipeline *pipeline, const struct pipeline_config *config, struct error *error)
{
    unsigned processors = pipeline->platform->processors;
    size_t limit = config->memory_limit ? config->memory_limit : MEMORY_LIMIT_DEFAULT;
    int level = config->level;

    if (config->processors && config->processors < processors)
        processors = config->processors;
    pipeline->level = level;
    if (pipeline->follows) {
        level = choose_ceiling(config, processors, limit);
        level_init(&pipeline->control, LEVEL_FLOOR, level);
        pipeline->level = pipeline->control.level;
    }
    size_t each = chunk_codec_memory(config->chunk_size, level);
    /* Codecs of high levels are big: fewer processors rather than more memory than was promised. */
    while (processors > 1 && processors * each > limit / 2)
        processors--;
    if (!processors)
        processors = 1;
    pipeline->codecs = platform_allocate_zeroed(pipeline->platform, processors * sizeof(*pipeline->codecs));
    if (!pipeline->codecs)
        goto no_memory;
    for (unsigned i = 0; i < processors; i++) {
        pipeline->codecs[i] = chunk_codec_create(pipeline->platform, config->chunk_size, level);
        if (!pipeline->codecs[i] && i == 0)
            goto no_memory;
        if (!pipeline->codecs[i])
            break;
        pipeline->codec_count++;
        pipeline->memory += each;
    }
    return 0;

no_memory:
    return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK,
                     "no memory for a compression context of %zu bytes", each);
}

/* Fewer slots than wanted are fine, down to the least that makes a ring. */
static int allocate_slots(struct pipeline *pipeline, unsigned wanted, struct error *error)
{
    struct platform *platform = pipeline->platform;

    pipeline->slots = platform_allocate_zeroed(platform, wanted * sizeof(*pipeline->slots));
    if (!pipeline->slots)
        goto no_memory;
    for (unsigned i = 0; i < wanted; i++) {
        struct pipeline_slot *slot = &pipeline->slots[i];
        if (buffer_allocate(platform, pipeline->chunk_size, &slot->plain))
            break;
        if (pipeline->encodes) {
            slot->stored = platform_allocate(platform, chunk_stored_bound(pipeline->chunk_size));
            if (!slot->stored) {
                buffer_release(&slot->plain);
                break;
            }
        }
        pipeline->slot_count++;
        pipeline->memory += slot_memory(pipeline);
    }
    if (pipeline->slot_count >= SLOTS_MIN)
        return 0;

no_memory:
    return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK,
                     "no memory for %u chunk buffers of %u bytes", SLOTS_MIN, pipeline->chunk_size);
}

int pipeline_create(struct loop *loop, const struct pipeline_config *config, struct pipeline **result,
                    struct error *error)
{
    struct platform *platform = loop->platform;
    struct pipeline *pipeline;
    int status;

    if (config->chunk_size < IMAGE_CHUNK_MIN || config->chunk_size > IMAGE_CHUNK_MAX ||
        config->chunk_size & (config->chunk_size - 1))
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_NONE, "", ERROR_NO_BLOCK, "chunk size %u",
                         config->chunk_size);
    pipeline = platform_allocate_zeroed(platform, sizeof(*pipeline));
    if (!pipeline)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for the pipeline");
    pipeline->loop = loop;
    pipeline->platform = platform;
    pipeline->chunk_size = config->chunk_size;
    pipeline->encodes = config->level != 0;
    pipeline->follows = config->level == LEVEL_AUTO;
    pipeline->memory = sizeof(*pipeline);

    status = allocate_codecs(pipeline, config, error);
    if (status)
        goto fail;
    status = allocate_slots(pipeline, choose_slots(pipeline, config, pipeline->memory), error);
    if (status)
        goto fail;
    if (pipeline->codec_count > 1) {
        pipeline->workers = platform->ops->workers_start(platform, pipeline->codec_count - 1, worker, pipeline);
        pipeline->started = true;
    }
    pipeline->previous_idle = loop->idle;
    pipeline->previous_idle_context = loop->idle_context;
    loop->idle = idle;
    loop->idle_context = pipeline;
    pipeline->hooked = true;
    *result = pipeline;
    return 0;

fail:
    pipeline_destroy(pipeline);
    return status;
}

void pipeline_destroy(struct pipeline *pipeline)
{
    struct platform *platform;

    if (!pipeline)
        return;
    platform = pipeline->platform;
    if (pipeline->hooked) {
        pipeline->loop->idle = pipeline->previous_idle;
        pipeline->loop->idle_context = pipeline->previous_idle_context;
    }
    if (pipeline->started) {
        atomic_store(&pipeline->stop, true);
        atomic_fetch_add(&pipeline->changes, 1);
        platform->ops->worker_wake(platform, &pipeline->changes);
        uint64_t limit = pipeline_stuck(pipeline) ? NANOSECONDS_PER_SECOND : PIPELINE_WORK_LIMIT;
        if (!platform->ops->workers_join(platform, deadline_after(platform, limit))) {
            platform_log(platform, LOG_ERROR, "a processor does not come back from its work; %zu bytes stay with it",
                         pipeline->memory);
            return;
        }
    }
    for (unsigned i = 0; i < pipeline->slot_count; i++) {
        buffer_release(&pipeline->slots[i].plain);
        platform_release(platform, pipeline->slots[i].stored);
    }
    for (unsigned i = 0; i < pipeline->codec_count; i++)
        chunk_codec_destroy(pipeline->codecs[i]);
    platform_release(platform, pipeline->slots);
    platform_release(platform, pipeline->codecs);
    platform_release(platform, pipeline);
}
