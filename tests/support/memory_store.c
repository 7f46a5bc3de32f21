/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/memory_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/platform.h"

/* --- the platform --- */

static unsigned long in_use, bytes_in_use, bytes_peak;

static uint64_t platform_time(struct platform *platform)
{
    struct timespec now;

    (void)platform;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static int64_t platform_date(struct platform *platform)
{
    (void)platform;
    return 1700000000;
}

/* The same bytes in every run, so that a failing test fails again. */
static void platform_random(struct platform *platform, void *bytes, size_t size)
{
    static uint32_t state = 1;

    (void)platform;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        ((uint8_t *)bytes)[i] = (uint8_t)(state >> 24);
    }
}

#define HEAD_ROOM 16

static void *platform_memory(struct platform *platform, size_t size)
{
    uint8_t *memory = malloc(size + HEAD_ROOM);

    (void)platform;
    if (!memory)
        return NULL;
    memcpy(memory, &size, sizeof size);
    in_use++;
    bytes_in_use += size;
    if (bytes_in_use > bytes_peak)
        bytes_peak = bytes_in_use;
    return memory + HEAD_ROOM;
}

static void platform_memory_release(struct platform *platform, void *memory)
{
    size_t size;

    (void)platform;
    memcpy(&size, (uint8_t *)memory - HEAD_ROOM, sizeof size);
    in_use--;
    bytes_in_use -= size;
    free((uint8_t *)memory - HEAD_ROOM);
}

static int platform_buffer(struct platform *platform, size_t size, struct buffer *buffer)
{
    buffer->platform = platform;
    buffer->size = (size + 4095) & ~(size_t)4095;
    buffer->data = aligned_alloc(4096, buffer->size);
    in_use++;
    return buffer->data ? 0 : -ERROR_NO_MEMORY;
}

static void platform_buffer_release(struct buffer *buffer)
{
    in_use--;
    free(buffer->data);
}

static void platform_wait(struct platform *platform, uint64_t deadline)
{
    (void)platform;
    (void)deadline;
}

static void platform_line(struct platform *platform, enum log_level level, const char *line)
{
    (void)platform;
    if (level >= LOG_WARNING)
        fprintf(stderr, "%s\n", line);
}

static bool platform_cancel(struct platform *platform)
{
    (void)platform;
    return false;
}

struct platform *memory_platform(void)
{
    static const struct platform_ops ops = {
        .now = platform_time,
        .wall_clock = platform_date,
        .random = platform_random,
        .allocate = platform_memory,
        .release = platform_memory_release,
        .wait = platform_wait,
        .log = platform_line,
        .cancel_requested = platform_cancel,
        .buffer_allocate = platform_buffer,
        .buffer_release = platform_buffer_release,
    };
    static struct platform platform = {.ops = &ops, .processors = 1};

    return &platform;
}

unsigned long memory_platform_in_use(void)
{
    return in_use;
}

unsigned long memory_platform_peak(void)
{
    return bytes_peak;
}

void memory_platform_reset_peak(void)
{
    bytes_peak = bytes_in_use;
}

/* --- streams --- */

struct memory_stream {
    struct stream stream;
    struct memory_store *store;
    struct memory_volume *volume;
    bool first;
    struct stream_request *queue, **last;
    unsigned queued, waited;
    uint64_t position;
};

static int memory_submit(struct stream *stream, struct stream_request *request)
{
    struct memory_stream *memory = (struct memory_stream *)stream;

    if (memory->queued >= memory->store->queue_depth)
        return -ERROR_FULL;
    request->next = NULL;
    *memory->last = request;
    memory->last = &request->next;
    memory->queued++;
    memory->store->requests++;
    return 0;
}

static int write_bytes(struct memory_stream *memory, const struct stream_request *request)
{
    struct memory_volume *volume = memory->volume;
    size_t end = (size_t)request->offset + request->size;

    if (memory->store->written + request->size > memory->store->fail_write_at)
        return -ERROR_NO_SPACE;
    if (memory->store->discard) {
        memory->store->written += request->size;
        return 0;
    }
    if (end > volume->capacity) {
        volume->capacity = end * 2;
        volume->data = realloc(volume->data, volume->capacity);
        if (!volume->data)
            abort();
    }
    memcpy(volume->data + request->offset, request->data, request->size);
    if (end > volume->size)
        volume->size = end;
    memory->store->written += request->size;
    return 0;
}

static int read_bytes(const struct memory_stream *memory, const struct stream_request *request, size_t *size)
{
    const struct memory_store *store = memory->store;
    const struct memory_volume *volume = memory->volume;

    *size = request->offset >= volume->size ? 0 : volume->size - (size_t)request->offset;
    if (*size > request->size)
        *size = request->size;
    if (memory->first && store->fail_read_size && request->offset < store->fail_read_at + store->fail_read_size &&
        request->offset + *size > store->fail_read_at) {
        *size = 0;
        return -ERROR_MEDIUM;
    }
    memcpy(request->data, volume->data + request->offset, *size);
    return 0;
}

static bool memory_poll(struct stream *stream)
{
    struct memory_stream *memory = (struct memory_stream *)stream;
    struct stream_request *request = memory->queue;
    size_t size = 0;
    int status = 0;

    if (!request)
        return false;
    if (memory->waited++ < memory->store->delay)
        return false;
    memory->waited = 0;
    memory->queue = request->next;
    if (!memory->queue)
        memory->last = &memory->queue;
    memory->queued--;
    if (!stream->can_seek && request->operation != STREAM_FLUSH) {
        bool at_end = request->operation == STREAM_READ && memory->position == memory->volume->size;
        if (request->offset != memory->position && !at_end)
            abort(); /* somebody sought in a pipe */
    }
    if (request->operation == STREAM_WRITE) {
        status = write_bytes(memory, request);
        size = status ? 0 : request->size;
    } else if (request->operation == STREAM_READ) {
        status = read_bytes(memory, request, &size);
    } else {
        memory->store->flushes++;
    }
    if (size)
        memory->position = request->offset + size;
    stream_complete(request, status, size, 0);
    return true;
}

static int memory_close(struct stream *stream, struct error *error)
{
    struct memory_stream *memory = (struct memory_stream *)stream;

    (void)error;
    loop_remove(stream->loop, &stream->pollable);
    memory->store->open_streams--;
    free(memory);
    return 0;
}

static int open_there(struct memory_store *store, unsigned number, bool write, struct stream **stream)
{
    static const struct stream_ops ops = {memory_submit, memory_poll, memory_close};
    struct memory_volume *volume = &store->volumes[number];
    struct memory_stream *memory = calloc(1, sizeof *memory);
    if (!memory)
        return -ERROR_NO_MEMORY;
    volume->there = true;
    store->open_streams++;
    memory->store = store;
    memory->volume = volume;
    memory->first = number == 0;
    memory->last = &memory->queue;
    memory->stream.ops = &ops;
    memory->stream.loop = store->loop;
    memory->stream.can_seek = !store->pipe;
    memory->stream.can_write = write;
    memory->stream.size = store->pipe ? UINT64_MAX : volume->size;
    snprintf(memory->stream.name, sizeof memory->stream.name, "memory.%03u", number);
    stream_start(&memory->stream);
    *stream = &memory->stream;
    return 0;
}

static int memory_open(struct stream_store *generic, unsigned number, bool write, struct stream **stream,
                       struct error *error)
{
    struct memory_store *store = (struct memory_store *)generic;
    struct memory_volume *volume = &store->volumes[number];

    if (!write && !volume->there)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, generic->name, ERROR_NO_BLOCK, "no volume %u", number);
    if (write && volume->there)
        return error_set(error, ERROR_EXISTS, OPERATION_OPEN, generic->name, ERROR_NO_BLOCK, "volume %u", number);
    return open_there(store, number, write, stream);
}

static int memory_reopen(struct stream_store *generic, unsigned number, uint64_t length, struct stream **stream,
                         struct error *error)
{
    struct memory_store *store = (struct memory_store *)generic;
    struct memory_volume *volume = &store->volumes[number];

    if (!volume->there)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, generic->name, ERROR_NO_BLOCK, "no volume %u", number);
    if (length > volume->size || store->open_streams)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, generic->name, ERROR_NO_BLOCK, "volume %u", number);
    volume->size = (size_t)length;
    store->cuts++;
    return open_there(store, number, true, stream);
}

static void memory_store_close(struct stream_store *store)
{
    (void)store; /* the test frees it */
}

void memory_store_init(struct memory_store *store, struct loop *loop)
{
    memset(store, 0, sizeof *store);
    store->loop = loop;
    store->store.open = memory_open;
    store->store.reopen = memory_reopen;
    store->store.close = memory_store_close;
    store->store.max_volume_bytes = UINT64_MAX;
    store->fail_write_at = UINT64_MAX;
    store->queue_depth = 4;
    snprintf(store->store.name, sizeof store->store.name, "memory");
}

void memory_store_free(struct memory_store *store)
{
    for (unsigned i = 0; i < MEMORY_VOLUMES; i++)
        free(store->volumes[i].data);
    memset(store->volumes, 0, sizeof store->volumes);
}

uint8_t *memory_store_join(const struct memory_store *store, size_t *size)
{
    *size = 0;
    for (unsigned i = 0; i < MEMORY_VOLUMES; i++)
        *size += store->volumes[i].size;
    uint8_t *all = malloc(*size + 1), *at = all;
    if (!all)
        abort();
    for (unsigned i = 0; i < MEMORY_VOLUMES; i++) {
        if (store->volumes[i].size)
            memcpy(at, store->volumes[i].data, store->volumes[i].size);
        at += store->volumes[i].size;
    }
    return all;
}

void memory_store_set(struct memory_store *store, unsigned number, const void *data, size_t size)
{
    struct memory_volume *volume = &store->volumes[number];

    free(volume->data);
    volume->data = malloc(size + 1);
    if (!volume->data)
        abort();
    memcpy(volume->data, data, size);
    volume->size = volume->capacity = size;
    volume->there = true;
}
