/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tools/posix.h"

#define PATH_BYTES_MAX 4096
#define PIPE_WAIT_MILLISECONDS 100
#define VOLUMES_MAX 999 /* of an image */
#define FAT_FILE_MAX 0xffffffffull
/* Room for an image is asked for in steps as big as what is there, up to this: few and long extents. Policy. */
#define ROOM_STEP (64ull << 20)
#define READ_AHEAD_LEAST (512u << 10)

struct posix_stream {
    struct stream stream; /* first */
    int descriptor;
    bool is_pipe, is_standard;
    bool can_block;    /* a pipe, socket or terminal: its other end may never answer */
    bool makes_room;   /* a file that is written, on a file system that can allocate before it is told what */
    uint64_t room_end; /* bytes: up to here there is room; what the image does not fill is given back at the end */
    struct posix_finished finished;
    struct posix_task task;
    struct stream_request *first, **last; /* in order; the first one is with a thread */
};

struct posix_store {
    struct stream_store store; /* first */
    struct loop *loop;
    bool is_standard, is_pipe;
    struct block_device below; /* where the image is; for core to compare with a target */
    char path[PATH_BYTES_MAX];
};

/*
 * Through a pipe, whose other end may never answer: waits for it in slices, so that a wish to cancel is heard. POLLOUT
 * promises room for PIPE_BUF bytes (pipe(7)), so no more than that is written at a time.
 */
static int pipe_transfer(struct posix_stream *stream, bool write_it, uint8_t *data, size_t size, size_t *transferred)
{
    struct platform *platform = stream->stream.loop->platform;
    struct pollfd descriptor = {stream->descriptor, write_it ? POLLOUT : POLLIN, 0};

    while (*transferred < size) {
        size_t part = size - *transferred < PIPE_BUF ? size - *transferred : PIPE_BUF;
        if (poll(&descriptor, 1, PIPE_WAIT_MILLISECONDS) == 0) {
            if (platform->ops->cancel_requested(platform))
                return -ECANCELED;
            continue;
        }
        ssize_t moved = write_it ? write(stream->descriptor, data + *transferred, part)
                                 : read(stream->descriptor, data + *transferred, size - *transferred);
        if (moved < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (moved == 0)
            break;
        if (moved > 0)
            *transferred += (size_t)moved;
    }
    return 0;
}

/* Allocates ahead of what is written. Not being able to is no error: then writing does it, or fails. */
static void make_room(struct posix_stream *stream, uint64_t end)
{
    uint64_t step = end < ROOM_STEP ? end : ROOM_STEP;

    if (!stream->makes_room || end <= stream->room_end)
        return;
    stream->makes_room = fallocate(stream->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)stream->room_end,
                                   (off_t)(end + step - stream->room_end)) == 0;
    if (stream->makes_room)
        stream->room_end = end + step;
}

/* Gives back what lies behind the file's end. */
static int give_room_back(struct posix_stream *stream)
{
    struct stat status;

    if (!stream->room_end || fstat(stream->descriptor, &status) != 0 || (uint64_t)status.st_size >= stream->room_end)
        return 0;
    return ftruncate(stream->descriptor, status.st_size) == 0 ? 0 : -errno;
}

/*
 * The kernel reads ahead 128 KiB, as a rule; an image is read in big pieces, one behind the other: this one and the next
 * are asked of the disk at once.
 */
static void read_ahead(const struct posix_stream *stream, const struct stream_request *request)
{
    if (!stream->is_pipe && request->size >= READ_AHEAD_LEAST)
        posix_fadvise(stream->descriptor, (off_t)request->offset, (off_t)(2 * request->size), POSIX_FADV_WILLNEED);
}

static void run_request(struct posix_task *task)
{
    struct posix_stream *stream = (struct posix_stream *)((char *)task - offsetof(struct posix_stream, task));
    struct stream_request *request = stream->first;
    int64_t offset = stream->is_pipe ? -1 : (int64_t)request->offset;

    task->transferred = 0;
    if (request->operation == STREAM_FLUSH) {
        task->status = stream->is_pipe || fdatasync(stream->descriptor) == 0 ? 0 : -errno;
        /* Read back from the disk, not from the cache. */
        if (!task->status && !stream->is_pipe)
            posix_fadvise(stream->descriptor, 0, 0, POSIX_FADV_DONTNEED);
        return;
    }
    bool write_it = request->operation == STREAM_WRITE;
    if (write_it)
        make_room(stream, request->offset + request->size);
    else
        read_ahead(stream, request);
    task->status = stream->can_block ? pipe_transfer(stream, write_it, request->data, request->size, &task->transferred)
                                     : posix_transfer(stream->descriptor, write_it, request->data, request->size,
                                                      offset, &task->transferred);
    if (!task->status && write_it && task->transferred < request->size)
        task->status = -EIO;
    /* The disk begins at once, so that the flush behind a segment has little left to wait for; it also tells what failed. */
    if (!task->status && write_it && !stream->is_pipe)
        sync_file_range(stream->descriptor, offset, (off_t)request->size, SYNC_FILE_RANGE_WRITE);
}

static void start_first(struct posix_stream *stream)
{
    stream->task.run = run_request;
    stream->task.owner = &stream->finished;
    posix_io_submit(stream->stream.loop->platform, &stream->task);
}

static int submit_request(struct stream *base, struct stream_request *request)
{
    struct posix_stream *stream = (struct posix_stream *)base;
    bool idle = !stream->first;

    request->next = NULL;
    if (idle)
        stream->last = &stream->first;
    *stream->last = request;
    stream->last = &request->next;
    if (idle)
        start_first(stream);
    return 0;
}

static bool poll_stream(struct stream *base)
{
    struct posix_stream *stream = (struct posix_stream *)base;

    if (!posix_finished_take(&stream->finished))
        return false;
    struct stream_request *request = stream->first;
    int status = stream->task.status;
    size_t transferred = stream->task.transferred;
    stream->first = request->next;
    if (stream->first)
        start_first(stream);
    stream_complete(request, -(int)posix_error_code(-status), transferred, (uint32_t)-status);
    return true;
}

static int close_stream(struct stream *base, struct error *error)
{
    struct posix_stream *stream = (struct posix_stream *)base;
    int failed = give_room_back(stream);
    int status = 0;

    if (!stream->is_standard && close(stream->descriptor) != 0)
        failed = -errno;
    if (failed)
        status = error_set(error, posix_error_code(-failed), OPERATION_WRITE, base->name, ERROR_NO_BLOCK, "%s",
                           strerror(-failed));
    free(stream);
    return status;
}

static const struct stream_ops posix_stream_ops = {submit_request, poll_stream, close_stream};

/* PATH for volume 0, PATH.001 and so on for the others. */
static int volume_path(const struct posix_store *store, unsigned volume, char path[PATH_BYTES_MAX + 8])
{
    if (volume)
        snprintf(path, PATH_BYTES_MAX + 8, "%s.%03u", store->path, volume);
    else
        snprintf(path, PATH_BYTES_MAX + 8, "%s", store->path);
    return 0;
}

/* A new file's name is safe only when its folder is on the disk too. */
static void flush_folder(const char *path)
{
    char folder[PATH_BYTES_MAX + 8];

    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    else
        strcpy(folder, ".");
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
}

/* `descriptor` becomes the stream's. */
static int start_stream(struct posix_store *store, int descriptor, const char *path, bool write, struct stream **stream,
                        struct error *error)
{
    struct stat status;
    struct posix_stream *new_stream = calloc(1, sizeof(*new_stream));

    if (!new_stream || fstat(descriptor, &status) != 0) {
        free(new_stream);
        if (!store->is_standard)
            close(descriptor);
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, path, ERROR_NO_BLOCK, "%s", "");
    }
    new_stream->descriptor = descriptor;
    new_stream->is_pipe = store->is_pipe;
    new_stream->is_standard = store->is_standard;
    new_stream->can_block = store->is_pipe && !S_ISREG(status.st_mode);
    new_stream->stream.ops = &posix_stream_ops;
    new_stream->stream.loop = store->loop;
    new_stream->makes_room = write && !store->is_pipe && S_ISREG(status.st_mode);
    new_stream->stream.can_seek = !store->is_pipe;
    new_stream->stream.can_write = write;
    new_stream->stream.size = store->is_pipe ? UINT64_MAX : (uint64_t)status.st_size;
    snprintf(new_stream->stream.name, sizeof(new_stream->stream.name), "%s",
             store->is_standard ? store->store.name : path);
    if (write && !store->is_pipe)
        flush_folder(path);
    stream_start(&new_stream->stream);
    *stream = &new_stream->stream;
    return 0;
}

static int open_volume(struct stream_store *base, unsigned volume, bool write, struct stream **stream,
                       struct error *error)
{
    struct posix_store *store = (struct posix_store *)base;
    char path[PATH_BYTES_MAX + 8];
    int descriptor;

    volume_path(store, volume, path);
    if (store->is_standard) {
        if (volume)
            return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, base->name, ERROR_NO_BLOCK,
                             "a pipe has no further volumes");
        descriptor = write ? STDOUT_FILENO : STDIN_FILENO;
    } else {
        int flags = write ? O_RDWR | (store->is_pipe ? 0 : O_CREAT | O_EXCL) : O_RDONLY;
        if (write && store->is_pipe)
            flags = O_WRONLY;
        descriptor = open(path, flags | O_CLOEXEC, 0666);
    }
    if (descriptor < 0)
        return error_set(error, posix_error_code(errno), OPERATION_OPEN, path, ERROR_NO_BLOCK, "%s", strerror(errno));
    return start_stream(store, descriptor, path, write, stream, error);
}

static int reopen_volume(struct stream_store *base, unsigned volume, uint64_t length, struct stream **stream,
                         struct error *error)
{
    struct posix_store *store = (struct posix_store *)base;
    char path[PATH_BYTES_MAX + 8];
    struct stat status;

    volume_path(store, volume, path);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    int failed = descriptor < 0 || fstat(descriptor, &status) != 0 ? errno : 0;
    if (!failed && (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < length)) {
        close(descriptor);
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, path, ERROR_NO_BLOCK, "no file of this length");
    }
    /* Room that was taken ahead goes as well. */
    if (!failed && ftruncate(descriptor, (off_t)length) != 0)
        failed = errno;
    if (failed) {
        if (descriptor >= 0)
            close(descriptor);
        return error_set(error, posix_error_code(failed), OPERATION_OPEN, path, ERROR_NO_BLOCK, "%s", strerror(failed));
    }
    return start_stream(store, descriptor, path, true, stream, error);
}

static int remove_volume(struct stream_store *base, unsigned volume, struct error *error)
{
    struct posix_store *store = (struct posix_store *)base;
    char path[PATH_BYTES_MAX + 8];

    if (store->is_pipe)
        return 0;
    volume_path(store, volume, path);
    if (unlink(path) != 0)
        return error_set(error, posix_error_code(errno), OPERATION_WRITE, path, ERROR_NO_BLOCK, "%s", strerror(errno));
    return 0;
}

static void folder_of(const struct posix_store *store, char folder[PATH_BYTES_MAX])
{
    strcpy(folder, store->path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[1] = 0;
    else
        strcpy(folder, ".");
}

/* FAT keeps a file's size in 32 bits; a write beyond that would fail when the image is nearly there. */
static uint64_t largest_file(const struct posix_store *store)
{
    char folder[PATH_BYTES_MAX];
    struct statfs status;

    folder_of(store, folder);
    if (store->is_pipe || statfs(folder, &status) != 0 || status.f_type != MSDOS_SUPER_MAGIC)
        return UINT64_MAX;
    return FAT_FILE_MAX;
}

static uint64_t free_space(struct stream_store *base)
{
    struct posix_store *store = (struct posix_store *)base;
    char folder[PATH_BYTES_MAX];
    struct statvfs status;

    if (store->is_pipe)
        return UINT64_MAX;
    folder_of(store, folder);
    return statvfs(folder, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : UINT64_MAX;
}

static void close_store(struct stream_store *base)
{
    free(base);
}

/* A character device, FIFO or socket, and standard input or output unless it is a regular file that is read. */
static bool is_pipe_like(const struct posix_store *store, bool write)
{
    struct stat status;

    if (store->is_standard)
        return write || fstat(STDIN_FILENO, &status) != 0 || !S_ISREG(status.st_mode) ||
               lseek(STDIN_FILENO, 0, SEEK_CUR) != 0;
    return stat(store->path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode);
}

/* An image that is read must not be the target as well. Of one in volumes the first stands for all. */
static void find_place(struct posix_store *store)
{
    struct posix_place place;
    struct stat status;
    char path[PATH_BYTES_MAX + 8];

    volume_path(store, 1, path);
    if (store->is_standard ? fstat(STDIN_FILENO, &status) : stat(store->path, &status) && stat(path, &status))
        return;
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return;
    posix_place_of(&status, &place);
    posix_place_device(&place, &store->below);
    store->store.disk = &store->below;
}

/* A volume that an older image left behind would be taken for the next one of a new image. */
static bool has_volumes(const struct posix_store *store)
{
    char path[PATH_BYTES_MAX + 8];

    for (unsigned volume = 1; volume <= VOLUMES_MAX; volume++) {
        volume_path(store, volume, path);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

int posix_store_open(struct loop *loop, const char *path, enum posix_store_use use, struct stream_store **store,
                     bool *is_pipe, struct error *error)
{
    struct posix_store *new_store = calloc(1, sizeof(*new_store));
    bool write = use != POSIX_STORE_READ, new = use == POSIX_STORE_CREATE;
    struct stat status;

    if (!new_store)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, path, ERROR_NO_BLOCK, "%s", "");
    if (strlen(path) >= sizeof(new_store->path)) {
        free(new_store);
        return error_set(error, ERROR_USAGE, OPERATION_OPEN, "", ERROR_NO_BLOCK, "the image's name is too long");
    }
    if (new &&strcmp(path, "-") != 0 && stat(path, &status) == 0 &&
        (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode))) {
        free(new_store);
        return error_set(error, ERROR_EXISTS, OPERATION_OPEN, path, ERROR_NO_BLOCK,
                         "an image is never written over something");
    }
    strcpy(new_store->path, path);
    if (new &&strcmp(path, "-") != 0 && has_volumes(new_store)) {
        free(new_store);
        return error_set(error, ERROR_EXISTS, OPERATION_OPEN, path, ERROR_NO_BLOCK,
                         "files of an image in volumes (.001 and so on) have this name");
    }
    new_store->loop = loop;
    new_store->is_standard = strcmp(path, "-") == 0;
    new_store->is_pipe = is_pipe_like(new_store, write);
    new_store->store.open = open_volume;
    new_store->store.reopen = new_store->is_pipe ? NULL : reopen_volume;
    new_store->store.remove = remove_volume;
    new_store->store.free_space = free_space;
    new_store->store.close = close_store;
    new_store->store.max_volume_bytes = largest_file(new_store);
    snprintf(new_store->store.name, sizeof(new_store->store.name), "%s",
             !new_store->is_standard ? path
             : write                 ? "standard output"
                                     : "standard input");
    if (!new)
        find_place(new_store);
    *is_pipe = new_store->is_pipe;
    *store = &new_store->store;
    return 0;
}
