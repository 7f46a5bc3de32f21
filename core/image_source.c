/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The volumes of an image as one row of bytes. Volume 0 is the whole of an unsplit image; without it, volumes 1, 2, ... follow one
 * another.
 */
#include <string.h>

#include "core/fiber.h"
#include "core/image_internal.h"

#define AROUND_PIECE (16u * 1024) /* policy: what is given up at a time where the image cannot be read */

/* Closes the volume that has rested longest, so that another can be opened. */
static int make_room(struct image_source *source, struct error *error)
{
    struct image_volume *oldest = NULL;

    if (source->open < SOURCE_OPEN_MAX || (source->flags & SOURCE_KEEP_OPEN))
        return 0;
    for (unsigned i = 0; i < source->count; i++) {
        struct image_volume *volume = &source->volumes[i];
        if (volume->stream && !volume->in_flight && (!oldest || volume->used < oldest->used))
            oldest = volume;
    }
    if (!oldest)
        return 0; /* all are busy: one more does no harm */
    int status = stream_close(oldest->stream, error);
    oldest->stream = NULL;
    source->open--;
    return status;
}

static int open_volume(struct image_source *source, struct image_volume *volume, struct error *error)
{
    int status = make_room(source, error);

    if (!status)
        status = source->store->open(source->store, volume->number, false, &volume->stream, error);
    if (status)
        return status;
    source->open++;
    volume->used = ++source->clock;
    return 0;
}

/* Salvage: a volume stands where its header says, whatever became of those before it. */
static void place_by_header(struct image_source *source, struct image_volume *volume)
{
    uint8_t front[LEAD_SIZE + FRAME_BODY];
    size_t transferred;

    if (stream_read(volume->stream, 0, front, sizeof front, &transferred, NULL) || transferred < sizeof front)
        return;
    const uint8_t *head = front + LEAD_SIZE;
    if (!frame_claimed_size(head) || !frame_has_tag(head, TAG_HEAD))
        return;
    uint64_t offset = load_le64(head + FRAME_AT_OFFSET);
    uint64_t least = source->count ? source->volumes[source->count - 1].start + 1 : 0;
    if (offset < LEAD_SIZE || offset - LEAD_SIZE < least || offset > INT64_MAX)
        return;
    volume->start = offset - LEAD_SIZE;
    if (!source->count)
        return;
    struct image_volume *before = &source->volumes[source->count - 1];
    if (before->size > volume->start - before->start)
        before->size = volume->start - before->start;
}

static int add_volume(struct image_source *source, unsigned number, struct error *error)
{
    struct image_volume *volume = &source->volumes[source->count];

    *volume = (struct image_volume){.number = number, .start = source->size};
    int status = open_volume(source, volume, error);
    if (status)
        return status;
    volume->size = volume->stream->size;
    if (!volume->stream->can_seek || volume->size == UINT64_MAX) {
        source->count++;
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, source->name, ERROR_NO_BLOCK,
                         "volume %u is a pipe; join the volumes into one", number);
    }
    if (source->flags & SOURCE_SALVAGE)
        place_by_header(source, volume);
    source->count++;
    if (__builtin_add_overflow(volume->start, volume->size, &source->size) || source->size > INT64_MAX)
        return image_corrupt(error, source->name, ERROR_NO_BLOCK, "the volumes are too big");
    return 0;
}

/* Learns of volumes 1, 2, ... */
static int open_numbered(struct image_source *source, struct error *error)
{
    unsigned missing_max = source->flags & SOURCE_SALVAGE ? SOURCE_MISSING_MAX : 0;
    unsigned missing = 0;

    source->can_seek = true;
    for (unsigned number = 1; number <= VOLUMES_MAX && missing <= missing_max; number++) {
        struct error reason = {0};
        int status = add_volume(source, number, &reason);
        if (status == -ERROR_NOT_FOUND) {
            missing++;
            continue;
        }
        if (status) {
            if (error)
                *error = reason;
            return status;
        }
        missing = 0;
    }
    return source->count ? 0 : -ERROR_NOT_FOUND;
}

int source_open(struct loop *loop, struct stream_store *store, unsigned flags, struct image_source *source,
                struct error *error)
{
    struct error unsplit = {0};

    *source = (struct image_source){.loop = loop, .store = store, .flags = flags, .name = store->name};
    source->volumes = platform_allocate_zeroed(loop->platform, (VOLUMES_MAX + 1) * sizeof *source->volumes);
    if (!source->volumes)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, source->name, ERROR_NO_BLOCK, "volumes");
    struct image_volume *whole = &source->volumes[0];
    int status = open_volume(source, whole, &unsplit);
    if (!status) {
        source->count = 1;
        source->can_seek = whole->stream->can_seek && whole->stream->size != UINT64_MAX;
        source->size = whole->size = whole->stream->size;
        return 0;
    }
    if (status == -ERROR_NOT_FOUND)
        status = open_numbered(source, error);
    else if (error)
        *error = unsplit;
    if (status == -ERROR_NOT_FOUND && error)
        *error = unsplit; /* "no pc.eid" says more than "no pc.eid.001" */
    if (status)
        source_close(source);
    return status;
}

void source_close(struct image_source *source)
{
    if (!source->volumes)
        return;
    for (unsigned i = 0; i <= source->count && i <= VOLUMES_MAX; i++)
        stream_close(source->volumes[i].stream, NULL);
    platform_release(source->loop->platform, source->volumes);
    platform_release(source->loop->platform, source->kept);
    source->volumes = NULL;
    source->kept = NULL;
    source->count = 0;
}

static struct image_volume *find_volume(struct image_source *source, uint64_t offset)
{
    unsigned low = 0, high = source->count;

    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (source->volumes[middle].start <= offset)
            low = middle;
        else
            high = middle;
    }
    return &source->volumes[low];
}

int source_prepare(struct image_source *source, uint64_t offset, struct error *error)
{
    struct image_volume *volume = find_volume(source, offset);

    return volume->stream ? 0 : open_volume(source, volume, error);
}

uint64_t source_next_volume(const struct image_source *source, uint64_t offset)
{
    for (unsigned i = 0; i < source->count; i++)
        if (source->volumes[i].start >= offset)
            return source->volumes[i].start;
    return UINT64_MAX;
}

/* Copies what was kept of the range; returns how many bytes from the range's start. */
static size_t take_kept(const struct image_source *source, uint64_t offset, void *data, size_t size)
{
    if (!source->kept_size || offset < source->kept_offset || offset - source->kept_offset >= source->kept_size)
        return 0;
    size_t skip = (size_t)(offset - source->kept_offset);
    size_t part = source->kept_size - skip < size ? source->kept_size - skip : size;
    memcpy(data, source->kept + skip, part);
    return part;
}

int source_keep(struct image_source *source, uint64_t offset, const void *data, size_t size)
{
    uint64_t kept_end = source->kept_offset + source->kept_size;
    /* What was kept before and lies behind these bytes cannot be read again either. */
    bool more = source->kept_size && offset >= source->kept_offset && offset <= kept_end && kept_end - offset > size;
    size_t all = more ? (size_t)(kept_end - offset) : size;
    uint8_t *copy = platform_allocate(source->loop->platform, all ? all : 1);

    if (!copy)
        return -ERROR_NO_MEMORY;
    if (more)
        memcpy(copy, source->kept + (offset - source->kept_offset), all);
    memcpy(copy, data, size);
    platform_release(source->loop->platform, source->kept);
    source->kept = copy;
    source->kept_offset = offset;
    source->kept_size = all;
    return 0;
}

static void read_end(struct source_read *read, int status, size_t transferred)
{
    read->ended = true;
    read->status = status;
    read->transferred = transferred;
    if (read->done)
        read->done(read);
}

static void read_done(struct stream_request *request)
{
    struct source_read *read = request->context;

    read->volume->in_flight--;
    read->source->consumed += request->transferred;
    read_end(read, request->status, read->kept + request->transferred);
}

int source_submit(struct image_source *source, struct source_read *read, uint64_t offset, void *data, size_t size)
{
    struct image_volume *volume = find_volume(source, offset);

    if (!volume->stream)
        return -ERROR_BUSY;
    read->source = source;
    read->volume = volume;
    read->wanted = size;
    read->ended = false;
    read->kept = take_kept(source, offset, data, size);
    uint64_t inside = offset + read->kept - volume->start;
    if (read->kept == size || (volume->size != UINT64_MAX && inside >= volume->size)) {
        read_end(read, 0, read->kept);
        return 0;
    }
    size_t part = size - read->kept;
    if (volume->size != UINT64_MAX && part > volume->size - inside)
        part = (size_t)(volume->size - inside);
    read->request = (struct stream_request){
        .operation = STREAM_READ,
        .offset = inside,
        .data = (uint8_t *)data + read->kept,
        .size = part,
        .done = read_done,
        .context = read,
    };
    int status = stream_submit(volume->stream, &read->request);
    if (status)
        return status;
    volume->in_flight++;
    volume->used = ++source->clock;
    return 0;
}

static bool read_has_ended(void *context)
{
    return ((struct source_read *)context)->ended;
}

struct submission {
    struct image_source *source;
    struct source_read *read;
    uint64_t offset;
    void *data;
    size_t size;
    int status;
};

static bool submission_taken(void *context)
{
    struct submission *submission = context;

    submission->status =
        source_submit(submission->source, submission->read, submission->offset, submission->data, submission->size);
    return submission->status != -ERROR_FULL;
}

int source_read(struct image_source *source, uint64_t offset, void *data, size_t size, size_t *transferred,
                struct error *error)
{
    *transferred = 0;
    while (*transferred < size && (source->size == UINT64_MAX || offset + *transferred < source->size)) {
        struct source_read read = {0};
        struct submission submission = {
            .source = source,
            .read = &read,
            .offset = offset + *transferred,
            .data = (uint8_t *)data + *transferred,
            .size = size - *transferred,
        };
        int status = source_prepare(source, submission.offset, error);

        if (status)
            return status;
        loop_wait(source->loop, submission_taken, &submission, UINT64_MAX);
        if (!submission.status) {
            struct fiber_cleanup cleanup = {.ready = read_has_ended, .context = &read};
            fiber_cleanup_push(&cleanup);
            loop_wait(source->loop, read_has_ended, &read, UINT64_MAX);
            fiber_cleanup_pop(&cleanup);
        }
        status = submission.status ? submission.status : read.status;
        if (status)
            return error_set(error, (enum error_code) - status, OPERATION_READ, source->name, submission.offset,
                             "the image cannot be read");
        if (!read.transferred)
            break;
        *transferred += read.transferred;
    }
    return 0;
}

size_t source_read_around(struct image_source *source, uint64_t offset, void *data, size_t size)
{
    uint8_t *bytes = data;
    size_t at = 0, transferred = 1;

    for (; at < size && transferred; at += transferred) {
        size_t part = size - at < AROUND_PIECE ? size - at : AROUND_PIECE;
        if (!source_read(source, offset + at, bytes + at, part, &transferred, NULL))
            continue;
        transferred = offset + at < source->size ? part : 0;
        memset(bytes + at, 0, transferred);
    }
    return at;
}

int source_read_exactly(struct image_source *source, uint64_t offset, void *data, size_t size, struct error *error)
{
    size_t transferred;
    int status = source_read(source, offset, data, size, &transferred, error);

    if (!status && transferred < size)
        status = error_set(error, ERROR_INCOMPLETE, OPERATION_READ, source->name, offset + transferred,
                           "the image ends here, too early");
    return status;
}
