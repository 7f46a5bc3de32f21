/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files on a volume as a stream store: see fs/volume.h.
 *
 * The library lives on one fiber per store, for as long as the volume is mounted. Everything asked of it is an operation in a
 * queue: the fiber takes them one by one, so a slow file system never stalls the loop. When the fiber is lost (the
 * library called exit, or an operation passed its limit), every operation ends with an error; the volume stays
 * marked dirty, which is the truth.
 */
#include "core/fiber.h"
#include "fs/volume.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 512
#define ARENA_LIMIT (96u * 1024 * 1024)
#define OPERATION_LIMIT (15 * 60 * NANOSECONDS_PER_SECOND) /* policy: a segment on the slowest stick, with room */
#define FILE_QUEUE 16
#define TAIL_BYTES 4096u /* policy: a block of any disk, and of most file systems */

enum operation_kind { DO_MOUNT, DO_UNMOUNT, DO_OPEN, DO_REOPEN, DO_READ, DO_WRITE, DO_FLUSH, DO_CLOSE, DO_REMOVE };

struct volume_file;

struct volume_operation {
    enum operation_kind kind;
    struct volume_file *file;
    const char *path;
    bool write;
    struct stream_request *request; /* NULL: somebody waits for `done` */
    bool taken;                     /* of a file's queue: not free */
    bool done;
    int status;
    uint64_t size;
    size_t transferred;
    struct error error;
    struct volume_operation *next;
};

struct volume_store {
    struct stream_store store; /* first */
    struct loop *loop;
    const struct volume_file_ops *ops;
    struct volume_io *io;
    struct fiber *fiber;
    void *volume; /* ops' own */
    bool write;
    bool lost; /* the fiber is gone or no longer to be trusted */
    uint64_t free_bytes;
    struct volume_operation *first, **last, *running;
    uint64_t running_limit;
    struct volume_store *next_writer;
    char path[PATH_MAX_BYTES];
};

struct volume_file {
    struct stream stream; /* first */
    struct volume_store *store;
    struct volume_operation queue[FILE_QUEUE];
    /*
     * Pieces of an image end anywhere. What is behind the last whole block waits here for the rest of its block, which would
     * otherwise be read back and written twice, with the queue standing still meanwhile. Bytes [end - tail_size, end) of the
     * file; when there are any, they begin a block.
     */
    uint64_t end;
    size_t tail_size;
    bool tail_waits; /* not written yet */
    uint8_t tail[TAIL_BYTES];
    max_align_t state[]; /* ops' own */
};

/*
 * Volumes that are being written, by disk and place on it. State of the process, because two mounts of one volume know nothing of
 * each other and would allocate the same blocks.
 */
static struct volume_store *writers;

/* --- on the fiber --- */

static int write_tail(struct volume_store *store, struct volume_file *file, struct error *error)
{
    int status = 0;

    if (file->tail_waits)
        status = store->ops->write(store->volume, file->state, file->end - file->tail_size, file->tail, file->tail_size,
                                   error);
    file->tail_waits = file->tail_waits && status < 0;
    return status;
}

/* At the file's end: bytes that make the tail a whole block, whole blocks past it, and what becomes the tail. */
static int append(struct volume_store *store, struct volume_file *file, const uint8_t *data, size_t size,
                  struct error *error)
{
    const struct volume_file_ops *ops = store->ops;
    size_t within = (size_t)(file->end % TAIL_BYTES), rest = TAIL_BYTES - within;
    int status = 0;

    if (within && rest <= size) {
        if (file->tail_size) {
            memcpy(file->tail + within, data, rest);
            status = ops->write(store->volume, file->state, file->end - within, file->tail, TAIL_BYTES, error);
        } else {
            status = ops->write(store->volume, file->state, file->end, data, rest, error);
        }
        if (status < 0)
            return status;
        file->tail_size = 0;
        file->tail_waits = false;
        file->end += rest;
        data += rest;
        size -= rest;
        within = 0;
    }
    rest = within ? 0 : size - size % TAIL_BYTES;
    if (rest)
        status = ops->write(store->volume, file->state, file->end, data, rest, error);
    if (status < 0)
        return status;
    file->end += rest;
    data += rest;
    size -= rest;
    if (within && !file->tail_size && size) /* the beginning of this block is not known here */
        status = ops->write(store->volume, file->state, file->end, data, size, error);
    else if (size) {
        memcpy(file->tail + within, data, size);
        file->tail_size = within + size;
        file->tail_waits = true;
    }
    if (status == 0)
        file->end += size;
    return status;
}

static int write_file(struct volume_store *store, struct volume_file *file, const struct stream_request *request,
                      struct error *error)
{
    int status;

    if (request->offset == file->end)
        return append(store, file, request->data, request->size, error);
    status = write_tail(store, file, error);
    if (status == 0)
        status = store->ops->write(store->volume, file->state, request->offset, request->data, request->size, error);
    file->tail_size = 0;
    if (status == 0 && request->offset + request->size > file->end)
        file->end = request->offset + request->size;
    return status;
}

static int close_file(struct volume_store *store, struct volume_file *file, struct error *error)
{
    struct error late = {0};
    int written = write_tail(store, file, error);
    int closed = store->ops->close(store->volume, file->state, written < 0 ? &late : error);

    return written < 0 ? written : closed;
}

static void carry_out(struct volume_store *store, struct volume_operation *operation)
{
    const struct volume_file_ops *ops = store->ops;
    struct stream_request *request = operation->request;
    void *volume = store->volume, *file = operation->file ? operation->file->state : NULL;
    struct error *error = &operation->error;

    switch (operation->kind) {
    case DO_MOUNT:
        operation->status = ops->mount(volume, store->io, error);
        if (operation->status == 0 && store->write && ops->admit)
            operation->status = ops->admit(volume, store->path, error);
        break;
    case DO_UNMOUNT:
        operation->status = ops->unmount(volume, error);
        break;
    case DO_OPEN:
        operation->status = ops->open(volume, file, operation->path, operation->write, &operation->size, error);
        break;
    case DO_REOPEN:
        operation->status = ops->reopen(volume, file, operation->path, operation->size, error);
        operation->file->end = operation->size;
        break;
    case DO_READ:
        operation->status = write_tail(store, operation->file, error);
        if (operation->status < 0)
            break;
        operation->status =
            ops->read(volume, file, request->offset, request->data, request->size, &operation->transferred, error);
        break;
    case DO_WRITE:
        operation->status = write_file(store, operation->file, request, error);
        operation->transferred = operation->status < 0 ? 0 : request->size;
        break;
    case DO_FLUSH:
        operation->status = write_tail(store, operation->file, error);
        if (operation->status == 0)
            operation->status = ops->flush(volume, file, error);
        break;
    case DO_CLOSE:
        operation->status = close_file(store, operation->file, error);
        break;
    case DO_REMOVE:
        operation->status = ops->remove(volume, operation->path, error);
        break;
    }
    if (operation->kind != DO_UNMOUNT && !(operation->kind == DO_MOUNT && operation->status < 0))
        store->free_bytes = ops->free_space(volume);
}

/* Whoever asked is told. The operation is free afterwards. */
static void finish(struct volume_operation *operation)
{
    struct stream_request *request = operation->request;

    operation->done = true;
    operation->taken = false;
    if (request)
        stream_complete(request, operation->status, operation->transferred, operation->error.raw_status);
}

static bool has_work(void *context)
{
    return ((struct volume_store *)context)->first != NULL;
}

static void volume_fiber(void *context)
{
    struct volume_store *store = context;
    bool more = true;

    while (more) {
        struct volume_operation *operation;

        loop_wait(store->loop, has_work, store, UINT64_MAX);
        operation = store->first;
        store->first = operation->next;
        if (!store->first)
            store->last = &store->first;
        store->running = operation;
        store->running_limit = deadline_after(store->loop->platform, OPERATION_LIMIT);
        more = operation->kind != DO_UNMOUNT;
        carry_out(store, operation);
        store->running = NULL;
        finish(operation);
    }
}

/* --- outside of it --- */

static void enqueue(struct volume_store *store, struct volume_operation *operation)
{
    operation->next = NULL;
    operation->done = false;
    operation->status = 0;
    operation->transferred = 0;
    memset(&operation->error, 0, sizeof operation->error);
    *store->last = operation;
    store->last = &operation->next;
}

static void fail_lost(struct volume_store *store, struct volume_operation *operation)
{
    operation->status = error_set(&operation->error, ERROR_ABORTED, OPERATION_NONE, store->store.name, ERROR_NO_BLOCK,
                                  "the %s library gave up on this volume", store->ops->name);
    finish(operation);
}

/*
 * Ends everything that waits for a fiber that is not coming back. Dropping it polls until its requests have ended, which
 * comes by here again: then there is no fiber any more.
 */
static void lose(struct volume_store *store)
{
    struct volume_operation *operation = store->running;
    struct fiber *fiber = store->fiber;

    store->lost = true;
    store->fiber = NULL;
    store->running = NULL;
    fiber_destroy(fiber);
    if (operation)
        fail_lost(store, operation);
    while ((operation = store->first) != NULL) {
        store->first = operation->next;
        fail_lost(store, operation);
    }
    store->last = &store->first;
}

/* Called from outside of the fiber: has it died, or does it take too long? */
static bool watch(struct volume_store *store)
{
    bool waiting = store->running || store->first;

    if (store->lost) {
        if (!waiting)
            return false;
    } else if (!fiber_abandoned(store->fiber) &&
               !(store->running && platform_now(store->loop->platform) > store->running_limit)) {
        return false;
    }
    lose(store);
    return true;
}

struct waiter {
    struct volume_store *store;
    struct volume_operation *operation;
};

static bool ended_or_lost(void *context)
{
    struct waiter *waiter = context;

    return waiter->operation->done || waiter->store->lost || fiber_abandoned(waiter->store->fiber);
}

/* Runs one operation and waits for it. */
static int run(struct volume_store *store, struct volume_operation *operation, struct error *error)
{
    struct waiter waiter = {store, operation};

    enqueue(store, operation);
    while (!operation->done) {
        /* Woken from time to time to look at the running operation's limit, which may be another's than this one. */
        if (!store->lost)
            loop_wait(store->loop, ended_or_lost, &waiter,
                      deadline_after(store->loop->platform, NANOSECONDS_PER_SECOND));
        if (!operation->done)
            watch(store);
    }
    if (operation->status < 0 && error)
        *error = operation->error;
    return operation->status;
}

/* --- streams --- */

static int file_submit(struct stream *stream, struct stream_request *request)
{
    struct volume_file *file = (struct volume_file *)stream;
    static const enum operation_kind kinds[] = {
        [STREAM_READ] = DO_READ, [STREAM_WRITE] = DO_WRITE, [STREAM_FLUSH] = DO_FLUSH};

    for (unsigned i = 0; i < FILE_QUEUE; i++) {
        struct volume_operation *operation = &file->queue[i];

        if (operation->taken)
            continue;
        operation->kind = kinds[request->operation];
        operation->file = file;
        operation->request = request;
        operation->taken = true;
        enqueue(file->store, operation);
        return 0;
    }
    return -ERROR_FULL;
}

static bool file_poll(struct stream *stream)
{
    return watch(((struct volume_file *)stream)->store);
}

static int file_close(struct stream *stream, struct error *error)
{
    struct volume_file *file = (struct volume_file *)stream;
    struct volume_operation operation = {.kind = DO_CLOSE, .file = file};
    int status = run(file->store, &operation, error);

    loop_remove(stream->loop, &stream->pollable);
    platform_release(stream->loop->platform, file);
    return status;
}

static const struct stream_ops file_stream_ops = {.submit = file_submit, .poll = file_poll, .close = file_close};

/* --- the store --- */

static void volume_path(const struct volume_store *store, unsigned volume, char *path, size_t size)
{
    if (volume)
        snprintf(path, size, "%s.%03u", store->path, volume);
    else
        snprintf(path, size, "%s", store->path);
}

/* DO_OPEN or DO_REOPEN. */
static int open_file(struct volume_store *store, unsigned volume, struct volume_operation *operation,
                     struct stream **stream, struct error *error)
{
    struct platform *platform = store->loop->platform;
    bool write = operation->write || operation->kind == DO_REOPEN;
    char path[PATH_MAX_BYTES + 16];
    struct volume_file *file;
    int status;

    volume_path(store, volume, path, sizeof path);
    operation->path = path;
    if (write && !store->write)
        return error_set(error, ERROR_WRITE_PROTECTED, OPERATION_OPEN, store->store.name, ERROR_NO_BLOCK,
                         "opened for reading only");
    file = platform_allocate_zeroed(platform, sizeof *file + store->ops->file_size);
    if (!file)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, store->store.name, ERROR_NO_BLOCK, "no memory");
    file->store = store;
    operation->file = file;
    status = run(store, operation, error);
    if (status < 0) {
        platform_release(platform, file);
        return status;
    }
    file->stream.ops = &file_stream_ops;
    file->stream.loop = store->loop;
    file->stream.can_seek = true;
    file->stream.can_write = write;
    file->stream.size = operation->size;
    if (volume)
        snprintf(file->stream.name, sizeof file->stream.name, "%.68s.%03u", store->store.name, volume);
    else
        snprintf(file->stream.name, sizeof file->stream.name, "%s", store->store.name);
    stream_start(&file->stream);
    *stream = &file->stream;
    return 0;
}

static int store_open(struct stream_store *stream_store, unsigned volume, bool write, struct stream **stream,
                      struct error *error)
{
    struct volume_operation operation = {.kind = DO_OPEN, .write = write};

    return open_file((struct volume_store *)stream_store, volume, &operation, stream, error);
}

static int store_reopen(struct stream_store *stream_store, unsigned volume, uint64_t length, struct stream **stream,
                        struct error *error)
{
    struct volume_operation operation = {.kind = DO_REOPEN, .size = length};

    return open_file((struct volume_store *)stream_store, volume, &operation, stream, error);
}

static int store_remove(struct stream_store *stream_store, unsigned volume, struct error *error)
{
    struct volume_store *store = (struct volume_store *)stream_store;
    char path[PATH_MAX_BYTES + 16];
    struct volume_operation operation = {.kind = DO_REMOVE, .path = path};

    volume_path(store, volume, path, sizeof path);
    return run(store, &operation, error);
}

static uint64_t store_free_space(struct stream_store *store)
{
    return ((struct volume_store *)store)->free_bytes;
}

static void forget_writer(struct volume_store *store)
{
    struct volume_store **link = &writers;

    while (*link && *link != store)
        link = &(*link)->next_writer;
    if (*link)
        *link = store->next_writer;
}

/* The fiber is dropped with its arena, the requests it had in flight are waited for. */
static void release(struct volume_store *store)
{
    struct platform *platform = store->loop->platform;

    if (store->fiber)
        fiber_destroy(store->fiber);
    volume_io_destroy(store->io);
    forget_writer(store);
    platform_release(platform, store->volume);
    platform_release(platform, store);
}

static void store_close(struct stream_store *stream_store)
{
    struct volume_store *store = (struct volume_store *)stream_store;
    struct volume_operation operation = {.kind = DO_UNMOUNT};
    struct error error = {0};

    if (run(store, &operation, &error) < 0)
        platform_log(store->loop->platform, LOG_ERROR, "%s: the volume could not be closed: %s %s", store->store.name,
                     error_code_name(error.code), error.detail);
    release(store);
}

int volume_normalise(const char *path, char *to, size_t size)
{
    size_t used = 0;

    while (*path) {
        size_t length = strcspn(path, "/\\");

        if (length) {
            if ((length == 1 && path[0] == '.') || (length == 2 && path[0] == '.' && path[1] == '.') ||
                used + length + 2 > size)
                return -ERROR_USAGE;
            if (used)
                to[used++] = '/';
            memcpy(to + used, path, length);
            used += length;
        }
        path += length;
        path += *path != 0;
    }
    to[used] = 0;
    return 0;
}

/* The disk below all slices and where the volume starts on it. */
static void find_disk(struct block_device *device, struct stream_store *store)
{
    store->disk_length = block_device_bytes(device);
    for (; device->parent; device = device->parent)
        store->disk_offset += device->parent_lba * device->geometry.logical_block;
    store->disk = device;
}

static int claim_volume(struct volume_store *store, const struct block_device *device, struct error *error)
{
    if (!store->write)
        return 0;
    for (; device; device = device->parent)
        if (device->read_only)
            return error_set(error, ERROR_WRITE_PROTECTED, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, NULL);
    for (struct volume_store *other = writers; other; other = other->next_writer)
        if (other->store.disk == store->store.disk && other->store.disk_offset == store->store.disk_offset)
            return error_set(error, ERROR_BUSY, OPERATION_OPEN, store->store.name, ERROR_NO_BLOCK,
                             "this volume is being written already");
    store->next_writer = writers;
    writers = store;
    return 0;
}

static int start(struct volume_store *store, struct block_device *device, struct error *error)
{
    struct volume_operation operation = {.kind = DO_MOUNT};
    int status = claim_volume(store, device, error);

    if (status == 0)
        status = volume_io_create(device, store->write, &store->io, error);
    if (status < 0)
        return status;
    store->fiber = fiber_start(store->loop, store->ops->name, FIBER_STACK_DEFAULT, ARENA_LIMIT, volume_fiber, store);
    if (!store->fiber)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, store->store.name, ERROR_NO_BLOCK, "no memory");
    return run(store, &operation, error);
}

int volume_store_open(struct block_device *device, const struct volume_file_ops *ops, const char *path, bool write,
                      struct stream_store **result, struct error *error)
{
    struct platform *platform = device->loop->platform;
    struct volume_store *store = platform_allocate_zeroed(platform, sizeof *store);
    int status;

    if (!store || !(store->volume = platform_allocate_zeroed(platform, ops->volume_size))) {
        platform_release(platform, store);
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "no memory");
    }
    store->loop = device->loop;
    store->ops = ops;
    store->write = write;
    store->last = &store->first;
    store->store = (struct stream_store){.open = store_open,
                                         .reopen = store_reopen,
                                         .remove = store_remove,
                                         .free_space = store_free_space,
                                         .close = store_close,
                                         .max_volume_bytes = UINT64_MAX};
    snprintf(store->store.name, sizeof store->store.name, "%.38s:%.40s", device->name, path);
    find_disk(device, &store->store);
    status = volume_normalise(path, store->path, sizeof store->path);
    if (status < 0 || !store->path[0])
        status =
            error_set(error, ERROR_USAGE, OPERATION_OPEN, store->store.name, ERROR_NO_BLOCK, "not a path of a file");
    else
        status = start(store, device, error);
    if (status < 0) {
        release(store);
        return status;
    }
    store->store.max_volume_bytes = ops->max_file_bytes(store->volume);
    *result = &store->store;
    return 0;
}
