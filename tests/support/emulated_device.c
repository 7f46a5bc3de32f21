/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/emulated_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_RECOVERY (3 * NANOSECONDS_PER_SECOND)
#define HELD_FOR NANOSECONDS_PER_SECOND

static struct emulated_device *emulated_of(struct block_device *device)
{
    return (struct emulated_device *)(void *)((char *)device - offsetof(struct emulated_device, device));
}

static uint64_t next_random(struct emulated_device *emulated)
{
    emulated->random ^= emulated->random << 13;
    emulated->random ^= emulated->random >> 7;
    emulated->random ^= emulated->random << 17;
    return emulated->random;
}

static uint64_t time_now(const struct emulated_device *emulated)
{
    return platform_now(emulated->device.loop->platform);
}

static bool changes_disk(enum block_operation operation)
{
    return operation == BLOCK_WRITE || operation == BLOCK_DISCARD || operation == BLOCK_WRITE_ZEROES;
}

/* --- faults --- */

struct emulated_fault *emulated_add_fault(struct emulated_device *emulated, enum emulated_fault_kind kind, uint64_t lba,
                                          uint64_t count)
{
    if (emulated->fault_count == EMULATED_FAULTS)
        abort();
    struct emulated_fault *fault = &emulated->faults[emulated->fault_count++];
    *fault = (struct emulated_fault){.kind = kind, .lba = lba, .count = count, .status = -ERROR_MEDIUM};
    return fault;
}

static const struct emulated_fault *fault_of(struct emulated_device *emulated, const struct block_request *request)
{
    for (unsigned i = 0; i < emulated->fault_count; i++) {
        struct emulated_fault *fault = &emulated->faults[i];
        unsigned operations = fault->operations ? fault->operations : ~(1u << BLOCK_FLUSH);
        bool touches = request->operation == BLOCK_FLUSH ||
                       (request->lba < fault->lba + fault->count && fault->lba < request->lba + request->count);
        if (fault->used_up || !touches || !(operations & 1u << request->operation))
            continue;
        if (fault->times && --fault->times == 0)
            fault->used_up = true;
        return fault;
    }
    return NULL;
}

/* --- carrying out --- */

static void journal_add(struct emulated_device *emulated, const struct block_request *request)
{
    if (emulated->journal_count == emulated->journal_capacity) {
        emulated->journal_capacity = emulated->journal_capacity ? emulated->journal_capacity * 2 : 256;
        emulated->journal = realloc(emulated->journal, emulated->journal_capacity * sizeof(*emulated->journal));
        if (!emulated->journal)
            abort();
    }
    emulated->journal[emulated->journal_count++] =
        (struct emulated_call){request->operation, request->lba, request->count};
    emulated->requests[request->operation]++;
}

static void make_stable(struct emulated_device *emulated, uint64_t lba, uint64_t count)
{
    size_t block = emulated->device.geometry.logical_block;

    memcpy(emulated->stable + lba * block, emulated->contents + lba * block, count * block);
    memset(emulated->dirty + lba, 0, count);
}

static void store(struct emulated_device *emulated, const struct block_request *request)
{
    size_t block = emulated->device.geometry.logical_block;
    uint8_t *at = emulated->contents + request->lba * block;
    size_t bytes = request->count * block;

    if (request->operation == BLOCK_WRITE)
        memcpy(at, (const uint8_t *)request->buffer->data + request->offset, bytes);
    else if (request->operation == BLOCK_WRITE_ZEROES)
        memset(at, 0, bytes);
    else
        memset(at, 0xd1, bytes); /* discarded: garbage, as real disks may give */
    memset(emulated->dirty + request->lba, 1, request->count);
    if (request->operation == BLOCK_WRITE)
        emulated->bytes_written += bytes;
    if (emulated->options.no_cache)
        make_stable(emulated, request->lba, request->count);
}

static void carry_out(struct emulated_device *emulated, const struct block_request *request)
{
    size_t block = emulated->device.geometry.logical_block;

    if (request->operation == BLOCK_FLUSH) {
        make_stable(emulated, 0, emulated->device.geometry.block_count);
    } else if (request->operation == BLOCK_READ) {
        memcpy((uint8_t *)request->buffer->data + request->offset, emulated->contents + request->lba * block,
               request->count * block);
        emulated->bytes_read += request->count * block;
    } else {
        store(emulated, request);
    }
}

static void flip(struct emulated_device *emulated, const struct block_request *request,
                 const struct emulated_fault *fault)
{
    size_t block = emulated->device.geometry.logical_block;
    uint64_t lba = fault->lba > request->lba ? fault->lba : request->lba;

    if (request->operation == BLOCK_READ)
        ((uint8_t *)request->buffer->data)[request->offset + (lba - request->lba) * block + block / 2] ^= 0x10;
    else if (request->operation != BLOCK_FLUSH)
        emulated->contents[lba * block + block / 2] ^= 0x10;
}

static void end_slot(struct emulated_device *emulated, struct emulated_slot *slot, int status, uint32_t raw_status)
{
    struct block_request *request = slot->request;

    slot->request = NULL;
    emulated->in_flight--;
    block_complete(request, status, raw_status);
}

/* Its time has come. */
static void finish(struct emulated_device *emulated, struct emulated_slot *slot)
{
    struct block_request *request = slot->request;
    const struct emulated_fault *fault = fault_of(emulated, request);

    if (fault && fault->kind == FAULT_HANG) {
        slot->hangs = true;
        return;
    }
    if (fault && fault->kind == FAULT_ERROR) {
        end_slot(emulated, slot, fault->status, fault->raw_status);
        return;
    }
    if (!fault || fault->kind == FAULT_FLIP)
        carry_out(emulated, request);
    if (fault && fault->kind == FAULT_FLIP)
        flip(emulated, request, fault);
    end_slot(emulated, slot, 0, 0);
}

/* --- operations --- */

static int emulated_submit(struct block_device *device, struct block_request *request)
{
    struct emulated_device *emulated = emulated_of(device);
    struct emulated_slot *slot = emulated->slots;

    if (emulated->powered_off)
        return -ERROR_GONE;
    if (emulated->in_flight >= emulated->options.queue_depth || time_now(emulated) < emulated->recovered_at) {
        emulated->full_answers++;
        return -ERROR_FULL;
    }
    while (slot->request)
        slot++;
    *slot = (struct emulated_slot){.request = request, .ready_at = time_now(emulated)};
    if (emulated->options.latency)
        slot->ready_at += next_random(emulated) % emulated->options.latency;
    emulated->in_flight++;
    if (emulated->in_flight > emulated->most_in_flight)
        emulated->most_in_flight = emulated->in_flight;
    journal_add(emulated, request);
    return 0;
}

static void end_held(struct emulated_device *emulated)
{
    uint64_t now = time_now(emulated);

    for (unsigned i = 0; i < EMULATED_DEPTH_MAX; i++) {
        struct emulated_slot *slot = &emulated->slots[i];
        if (slot->request)
            end_slot(emulated, slot, slot->request->deadline <= now ? -ERROR_TIMEOUT : -ERROR_ABORTED, 0xbad);
    }
}

static struct emulated_slot *pick(struct emulated_device *emulated)
{
    uint64_t now = time_now(emulated);
    unsigned start = emulated->options.in_order ? 0 : (unsigned)(next_random(emulated) % EMULATED_DEPTH_MAX);
    struct emulated_slot *oldest = NULL;

    for (unsigned i = 0; i < EMULATED_DEPTH_MAX; i++) {
        struct emulated_slot *slot = &emulated->slots[(start + i) % EMULATED_DEPTH_MAX];
        if (!slot->request || slot->hangs || slot->ready_at > now)
            continue;
        if (!emulated->options.in_order)
            return slot;
        if (!oldest || slot->ready_at < oldest->ready_at)
            oldest = slot;
    }
    return oldest;
}

static bool emulated_poll(struct block_device *device)
{
    struct emulated_device *emulated = emulated_of(device);
    struct emulated_slot *slot;
    bool happened = false;

    uint64_t accepted = emulated->journal_count;
    if (!emulated->powered_off && accepted >= emulated->power_cut_at)
        emulated_power_cut(emulated);
    if (emulated->powered_off || device->dead)
        return false;
    if (emulated->ending_held) {
        if (time_now(emulated) < emulated->recovered_at)
            return false;
        emulated->ending_held = false;
        end_held(emulated);
        return true;
    }
    /* A few at a time, so that some stay in flight. */
    unsigned most = 1 + (unsigned)(next_random(emulated) % emulated->options.queue_depth);
    while (most-- && (slot = pick(emulated)) != NULL) {
        finish(emulated, slot);
        happened = true;
    }
    return happened;
}

static void emulated_reset(struct block_device *device)
{
    struct emulated_device *emulated = emulated_of(device);

    emulated->resets++;
    switch (emulated->reset) {
    case RESET_SLOW:
    case RESET_FULL:
        emulated->recovered_at = emulated->reset == RESET_FULL ? UINT64_MAX : time_now(emulated) + SLOW_RECOVERY;
        end_held(emulated);
        break;
    case RESET_WORKS:
        end_held(emulated);
        break;
    case RESET_LATER:
        emulated->recovered_at = time_now(emulated) + HELD_FOR;
        emulated->ending_held = true;
        break;
    case RESET_DIES:
        emulated_unplug(emulated);
        break;
    case RESET_NOTHING:
        break;
    }
}

static void emulated_abandon(struct block_device *device)
{
    struct emulated_device *emulated = emulated_of(device);

    emulated->held_when_abandoned = device->in_flight;
    memset(emulated->slots, 0, sizeof(emulated->slots));
    emulated->in_flight = 0;
}

static void emulated_shutdown(struct block_device *device)
{
    struct emulated_device *emulated = emulated_of(device);

    if (!emulated->powered_off)
        make_stable(emulated, 0, device->geometry.block_count);
    emulated->shut_down = true;
}

static const struct block_device_ops emulated_ops = {
    .submit = emulated_submit,
    .poll = emulated_poll,
    .reset = emulated_reset,
    .shutdown = emulated_shutdown,
    .abandon = emulated_abandon,
};

void emulated_reset_itself(struct emulated_device *emulated)
{
    emulated->recovered_at = time_now(emulated) + HELD_FOR;
    emulated->ending_held = true;
    block_device_resetting(&emulated->device);
}

/* --- the plug and the power --- */

void emulated_unplug(struct emulated_device *emulated)
{
    memset(emulated->slots, 0, sizeof(emulated->slots));
    emulated->in_flight = 0;
    block_device_die(&emulated->device);
}

void emulated_power_cut(struct emulated_device *emulated)
{
    size_t block = emulated->device.geometry.logical_block;

    /* What was on its way may have come as far as the disk's cache. */
    for (unsigned i = 0; i < EMULATED_DEPTH_MAX; i++) {
        const struct block_request *request = emulated->slots[i].request;
        if (request && changes_disk(request->operation) && next_random(emulated) & 1)
            store(emulated, request);
    }
    for (uint64_t lba = 0; lba < emulated->device.geometry.block_count; lba++) {
        if (!emulated->dirty[lba])
            continue;
        uint64_t chance = next_random(emulated);
        if (chance & 1)
            memcpy(emulated->stable + lba * block, emulated->contents + lba * block, block);
        else if (emulated->torn_blocks && chance & 2)
            memcpy(emulated->stable + lba * block, emulated->contents + lba * block, block / 2);
    }
    emulated->powered_off = true;
    emulated_unplug(emulated);
}

void emulated_power_on(struct emulated_device *emulated)
{
    size_t bytes = block_device_bytes(&emulated->device);

    memcpy(emulated->contents, emulated->stable, bytes);
    memset(emulated->dirty, 0, emulated->device.geometry.block_count);
    emulated->powered_off = emulated->shut_down = false;
    emulated->power_cut_at = UINT64_MAX;
    emulated->recovered_at = 0;
    emulated->device.dead = false;
    if (block_device_start(&emulated->device, NULL) != 0)
        abort();
}

/* --- life --- */

static void set_defaults(struct emulated_options *options)
{
    if (!options->logical_block)
        options->logical_block = 512;
    if (!options->physical_block)
        options->physical_block = options->logical_block;
    if (!options->block_count)
        options->block_count = 16384;
    if (!options->queue_depth)
        options->queue_depth = 8;
    if (!options->max_transfer)
        options->max_transfer = 65536;
    if (!options->buffer_alignment)
        options->buffer_alignment = 4;
    if (options->queue_depth > EMULATED_DEPTH_MAX)
        abort();
}

void emulated_start(struct emulated_device *emulated, struct loop *loop, const struct emulated_options *options)
{
    memset(emulated, 0, sizeof(*emulated));
    if (options)
        emulated->options = *options;
    set_defaults(&emulated->options);
    options = &emulated->options;

    uint64_t bytes = options->block_count * options->logical_block;
    emulated->contents = calloc(1, bytes);
    emulated->stable = calloc(1, bytes);
    emulated->dirty = calloc(1, options->block_count);
    emulated->random = 0x9e3779b97f4a7c15ULL + options->seed;
    emulated->power_cut_at = UINT64_MAX;

    struct block_device *device = &emulated->device;
    device->ops = &emulated_ops;
    device->loop = loop;
    device->geometry = (struct block_geometry){
        .logical_block = options->logical_block,
        .physical_block = options->physical_block,
        .block_count = options->block_count,
        .max_transfer = options->max_transfer,
        .queue_depth = options->queue_depth,
        .buffer_alignment = options->buffer_alignment,
        .max_discard = options->no_discard ? 0 : bytes,
        .max_write_zeroes = options->no_write_zeroes ? 0 : bytes,
    };
    device->bus = BUS_OTHER;
    device->read_only = options->read_only;
    device->volatile_cache = !options->no_cache;
    snprintf(device->name, sizeof(device->name), "%s", options->name ? options->name : "test:disk");
    snprintf(device->model, sizeof(device->model), "Emulated disk");
    snprintf(device->serial, sizeof(device->serial), "E%08x", options->seed);
    snprintf(device->driver, sizeof(device->driver), "emulated");
    if (!emulated->contents || !emulated->stable || !emulated->dirty || block_device_start(device, NULL) != 0)
        abort();
}

void emulated_end(struct emulated_device *emulated)
{
    if (!emulated->shut_down)
        block_device_stop(&emulated->device);
    free(emulated->contents);
    free(emulated->stable);
    free(emulated->dirty);
    free(emulated->journal);
    memset(emulated, 0, sizeof(*emulated));
}

void emulated_fill(struct emulated_device *emulated, uint64_t salt)
{
    uint64_t words = block_device_bytes(&emulated->device) / 8;

    for (uint64_t i = 0; i < words; i++) {
        uint64_t value = (i + salt * 0x100000001b3ULL) * 0x9e3779b97f4a7c15ULL;
        value ^= value >> 31;
        memcpy(emulated->contents + i * 8, &value, 8);
    }
    make_stable(emulated, 0, emulated->device.geometry.block_count);
}

bool emulated_untouched(const struct emulated_device *emulated)
{
    return !emulated->requests[BLOCK_WRITE] && !emulated->requests[BLOCK_DISCARD] &&
           !emulated->requests[BLOCK_WRITE_ZEROES];
}

bool emulated_wrote_to(const struct emulated_device *emulated, uint64_t lba, uint64_t count)
{
    for (size_t i = 0; i < emulated->journal_count; i++) {
        const struct emulated_call *call = &emulated->journal[i];
        if (changes_disk(call->operation) && call->lba < lba + count && lba < call->lba + call->count)
            return true;
    }
    return false;
}
