/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all block devices have in common: checks before a request reaches the implementer, deadlines, resets, sending again.
 *
 * A request is in one of three places: in flight (the implementer holds it), in `again` (aborted by another one's reset,
 * waiting to be sent once more), or ended.
 */
#include <string.h>

#include "core/block.h"

static struct block_device *device_of(struct pollable *pollable)
{
    return (struct block_device *)((char *)pollable - offsetof(struct block_device, pollable));
}

uint64_t block_timeout(enum block_operation operation)
{
    switch (operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        return 30 * NANOSECONDS_PER_SECOND;
    case BLOCK_FLUSH:
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        break;
    }
    /* ACS-4 names 30 s for FLUSH CACHE EXT as a minimum of patience; big caches and trims take longer. */
    return 60 * NANOSECONDS_PER_SECOND;
}

/* --- queues --- */

static void queue_add(struct block_request **first, struct block_request **last, struct block_request *request)
{
    request->next = NULL;
    request->previous = *last;
    if (*last)
        (*last)->next = request;
    else
        *first = request;
    *last = request;
}

static void queue_remove(struct block_request **first, struct block_request **last, struct block_request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else
        *first = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        *last = request->previous;
    request->next = request->previous = NULL;
}

static void flight_begin(struct block_device *device, struct block_request *request)
{
    queue_add(&device->in_flight_first, &device->in_flight_last, request);
    request->in_flight = true;
    device->in_flight++;
}

static void flight_end(struct block_device *device, struct block_request *request)
{
    queue_remove(&device->in_flight_first, &device->in_flight_last, request);
    request->in_flight = false;
    device->in_flight--;
}

static void set_deadline(struct block_device *device, struct block_request *request)
{
    uint64_t timeout = request->timeout ? request->timeout : block_timeout(request->operation);

    if (!device->ops->reset)
        request->deadline = UINT64_MAX;
    else if (__builtin_add_overflow(platform_now(device->loop->platform), timeout, &request->deadline))
        request->deadline = UINT64_MAX;
    if (request->deadline < device->next_deadline_check)
        device->next_deadline_check = request->deadline;
}

/* --- submission --- */

static int check_range(const struct block_device *device, const struct block_request *request)
{
    const struct block_geometry *geometry = &device->geometry;

    if (!request->count || request->count > geometry->block_count ||
        request->lba > geometry->block_count - request->count)
        return -ERROR_OUT_OF_RANGE;
    return 0;
}

static int check_transfer(const struct block_device *device, const struct block_request *request)
{
    const struct block_geometry *geometry = &device->geometry;
    const struct buffer *buffer = request->buffer;

    if (request->count > geometry->max_transfer / geometry->logical_block || !buffer || !buffer->data)
        return -ERROR_OUT_OF_RANGE;
    size_t bytes = (size_t)request->count * geometry->logical_block;
    if (request->offset % 512 || bytes > buffer->size || request->offset > buffer->size - bytes)
        return -ERROR_OUT_OF_RANGE;
    if (((uintptr_t)buffer->data + request->offset) % geometry->buffer_alignment)
        return -ERROR_OUT_OF_RANGE;
    return 0;
}

static int check_request(const struct block_device *device, const struct block_request *request)
{
    uint64_t most;
    int status;

    if (device->dead)
        return -ERROR_GONE;
    if (request->operation == BLOCK_FLUSH)
        return 0;
    if (request->operation != BLOCK_READ && device->read_only)
        return -ERROR_WRITE_PROTECTED;
    switch (request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        status = check_range(device, request);
        return status ? status : check_transfer(device, request);
    case BLOCK_DISCARD:
        most = device->geometry.max_discard;
        break;
    case BLOCK_WRITE_ZEROES:
        most = device->geometry.max_write_zeroes;
        break;
    default:
        return -ERROR_UNSUPPORTED;
    }
    if (!most)
        return -ERROR_UNSUPPORTED;
    if (request->count > most / device->geometry.logical_block)
        return -ERROR_OUT_OF_RANGE;
    return check_range(device, request);
}

static void block_dispatch(struct completion *completion)
{
    struct block_request *request =
        (struct block_request *)((char *)completion - offsetof(struct block_request, completion));

    request->ended = true;
    request->done(request);
}

/* Hands a request to the implementer. */
static int send(struct block_device *device, struct block_request *request)
{
    set_deadline(device, request);
    request->late = request->resetting = false;
    request->driver_next = NULL;
    flight_begin(device, request);
    int status = device->ops->submit(device, request);
    if (status && request->in_flight) {
        flight_end(device, request);
        return status;
    }
    /* Taken; or ended already by a device that died in the attempt. */
    request->attempts++;
    return 0;
}

static int submit(struct block_device *device, struct block_request *request)
{
    int status = check_request(device, request);

    if (status)
        return status;
    /* Those that wait to be sent again come first. */
    if (device->again_first)
        return -ERROR_FULL;

    request->device = device;
    request->attempts = 0;
    request->ended = false;
    request->status = 0;
    request->raw_status = 0;
    request->completion = (struct completion){.dispatch = block_dispatch};
    return send(device, request);
}

int block_submit(struct block_device *device, struct block_request *request)
{
    platform_hold_events(device->loop->platform);
    int status = submit(device, request);
    platform_release_events(device->loop->platform);
    return status;
}

/* --- completion --- */

static void end_request(struct block_request *request, int status, uint32_t raw_status)
{
    request->status = status;
    request->raw_status = raw_status;
    if (request->done)
        loop_complete(request->device->loop, &request->completion);
    else
        request->ended = true;
}

void block_complete(struct block_request *request, int status, uint32_t raw_status)
{
    struct block_device *device = request->device;

    if (!request->in_flight) {
        platform_log(device->loop->platform, LOG_ERROR, "%s: driver %s ended a request twice", device->name,
                     device->driver);
        return;
    }
    flight_end(device, request);
    if (status == -ERROR_ABORTED && request->late)
        status = -ERROR_TIMEOUT;
    if (status == -ERROR_ABORTED && device->ops->reset && !device->dead && request->attempts < BLOCK_ATTEMPTS) {
        set_deadline(device, request);
        queue_add(&device->again_first, &device->again_last, request);
        return;
    }
    end_request(request, status, raw_status);
}

static void again_end(struct block_device *device, struct block_request *request, int status)
{
    queue_remove(&device->again_first, &device->again_last, request);
    end_request(request, status, 0);
}

void block_device_die(struct block_device *device)
{
    if (!device->dead)
        platform_log(device->loop->platform, LOG_ERROR, "%s: gone; %u requests end with errors", device->name,
                     device->in_flight);
    device->dead = true;
    while (device->in_flight_first)
        block_complete(device->in_flight_first, -ERROR_GONE, 0);
    while (device->again_first)
        again_end(device, device->again_first, -ERROR_GONE);
}

/* --- polling --- */

/* Marks what is late. True when a reset is called for; `lost` when one was asked for before and did not end its requests. */
static bool find_late(struct block_device *device, uint64_t now, bool *lost)
{
    bool found = false;

    device->next_deadline_check = UINT64_MAX;
    for (struct block_request *request = device->in_flight_first; request; request = request->next) {
        if (request->deadline <= now) {
            if (request->resetting)
                *lost = true;
            request->late = true;
            found = true;
        } else if (request->deadline < device->next_deadline_check) {
            device->next_deadline_check = request->deadline;
        }
    }
    return found;
}

void block_device_resetting(struct block_device *device)
{
    uint64_t now = platform_now(device->loop->platform);
    uint64_t end = now + BLOCK_RESET_GRACE;

    for (struct block_request *request = device->in_flight_first; request; request = request->next) {
        if (request->resetting)
            continue;
        if (request->deadline <= now)
            request->late = true;
        request->deadline = end;
        request->resetting = true;
    }
    if (device->in_flight_first && end < device->next_deadline_check)
        device->next_deadline_check = end;
}

static void reset_device(struct block_device *device)
{
    platform_log(device->loop->platform, LOG_WARNING, "%s: no answer in time, %u requests in flight: reset",
                 device->name, device->in_flight);
    device->ops->reset(device);
    if (!device->dead)
        block_device_resetting(device);
}

static void abandon_device(struct block_device *device)
{
    platform_log(device->loop->platform, LOG_ERROR, "%s: its reset does not end", device->name);
    if (device->ops->abandon)
        device->ops->abandon(device);
    block_device_die(device);
}

static bool keep_deadlines(struct block_device *device, uint64_t now)
{
    bool happened = false, lost = false;

    if (!device->ops->reset || now < device->next_deadline_check)
        return false;
    if (find_late(device, now, &lost)) {
        happened = true;
        if (lost)
            abandon_device(device);
        else
            reset_device(device);
    }
    struct block_request *next;
    for (struct block_request *request = device->again_first; request; request = next) {
        next = request->next;
        if (request->deadline <= now) {
            again_end(device, request, -ERROR_TIMEOUT);
            happened = true;
        } else if (request->deadline < device->next_deadline_check) {
            device->next_deadline_check = request->deadline;
        }
    }
    return happened;
}

static bool send_again(struct block_device *device)
{
    bool happened = false;

    while (device->again_first) {
        struct block_request *request = device->again_first;
        uint64_t deadline = request->deadline;
        queue_remove(&device->again_first, &device->again_last, request);
        int status = send(device, request);
        if (status == -ERROR_FULL) {
            /* Back to the front, with the deadline it had: a device that never recovers must not hold it for ever. */
            request->deadline = deadline;
            request->next = device->again_first;
            if (device->again_first)
                device->again_first->previous = request;
            else
                device->again_last = request;
            device->again_first = request;
            break;
        }
        if (status)
            end_request(request, status, 0);
        happened = true;
    }
    return happened;
}

static bool block_poll(struct pollable *pollable)
{
    struct block_device *device = device_of(pollable);
    bool happened = false;

    /* A poll inside this one (a firmware call that the implementer made) finds nothing. */
    if (device->polling)
        return false;
    device->polling = true;
    if (device->ops->poll)
        happened = device->ops->poll(device);
    if ((device->in_flight_first || device->again_first) &&
        keep_deadlines(device, platform_now(device->loop->platform)))
        happened = true;
    if (device->again_first && send_again(device))
        happened = true;
    device->polling = false;
    return happened;
}

/* --- calls from outside --- */

static void reap_inside(struct block_device *device, struct pollable *inside)
{
    struct loop *loop = device->loop;
    struct pollable *outer = loop->inside;

    inside->poll(inside);
    if (!device->ops->serve_inside || device->dead)
        return;
    loop->inside = inside;
    device->ops->serve_inside(device);
    loop->inside = outer;
}

int block_run_inside(struct block_device *device, struct block_request *request, struct pollable *inside,
                     uint64_t patience)
{
    struct platform *platform = device->loop->platform;
    uint64_t deadline = deadline_after(platform, patience);
    int status;

    request->done = NULL;
    while ((status = block_submit(device, request)) == -ERROR_FULL) {
        if (platform_now(platform) > deadline)
            return -ERROR_TIMEOUT;
        reap_inside(device, inside);
    }
    if (status)
        return status;
    while (!*(volatile bool *)&request->ended)
        reap_inside(device, inside);
    return request->status;
}

/* --- life --- */

static bool power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

static const char *geometry_fault(const struct block_geometry *geometry)
{
    uint64_t bytes;

    if (!power_of_two(geometry->logical_block) || geometry->logical_block < 512 || geometry->logical_block > 65536)
        return "logical block size";
    if (!power_of_two(geometry->physical_block) || geometry->physical_block < geometry->logical_block)
        return "physical block size";
    if (!geometry->block_count ||
        __builtin_mul_overflow(geometry->block_count, (uint64_t)geometry->logical_block, &bytes))
        return "number of blocks";
    if (geometry->max_transfer < 4096 || geometry->max_transfer < geometry->logical_block)
        return "largest transfer";
    if (!power_of_two(geometry->buffer_alignment) || geometry->buffer_alignment < 2 ||
        geometry->buffer_alignment > 4096)
        return "buffer alignment";
    return NULL;
}

int block_device_start(struct block_device *device, struct error *error)
{
    struct block_geometry *geometry = &device->geometry;
    const char *fault = geometry_fault(geometry);

    if (fault)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "impossible geometry: %s", fault);
    /* Limits in whole blocks, and preferences that are within them. */
    geometry->max_transfer -= geometry->max_transfer % geometry->logical_block;
    if (!geometry->optimal_transfer || geometry->optimal_transfer > geometry->max_transfer)
        geometry->optimal_transfer = geometry->max_transfer;
    if (geometry->optimal_transfer < geometry->logical_block)
        geometry->optimal_transfer = geometry->logical_block;
    geometry->optimal_transfer -= geometry->optimal_transfer % geometry->logical_block;
    geometry->max_discard -= geometry->max_discard % geometry->logical_block;
    geometry->max_write_zeroes -= geometry->max_write_zeroes % geometry->logical_block;
    if (!geometry->queue_depth)
        geometry->queue_depth = 1;

    device->in_flight_first = device->in_flight_last = NULL;
    device->again_first = device->again_last = NULL;
    device->in_flight = 0;
    device->next_deadline_check = UINT64_MAX;
    device->polling = device->stopped = false;
    device->holders = 0;
    memset(&device->bounce, 0, sizeof(device->bounce));
    device->bounce_busy = false;
    device->pollable.poll = block_poll;
    device->pollable.hold_events = !device->ops->poll_blocks;
    loop_add(device->loop, &device->pollable);
    return 0;
}

static bool drained(void *context)
{
    const volatile struct block_device *device = context;

    return !device->in_flight_first && !device->again_first;
}

static void end_device(struct block_device *device)
{
    buffer_release(&device->bounce);
    device->ops->shutdown(device);
}

void block_device_stop(struct block_device *device)
{
    loop_wait(device->loop, drained, device, UINT64_MAX);
    loop_remove(device->loop, &device->pollable);
    if (device->holders) {
        device->dead = device->stopped = true;
        return;
    }
    end_device(device);
}

void block_device_hold(struct block_device *device)
{
    device->holders++;
}

void block_device_let_go(struct block_device *device)
{
    if (--device->holders == 0 && device->stopped)
        end_device(device);
}
