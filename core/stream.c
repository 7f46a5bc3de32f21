/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "core/fiber.h"
#include "core/stream.h"

static bool stream_poll(struct pollable *pollable)
{
    struct stream *stream = (struct stream *)((char *)pollable - offsetof(struct stream, pollable));

    return stream->ops->poll(stream);
}

void stream_start(struct stream *stream)
{
    stream->in_flight = 0;
    if (!stream->ops->poll)
        return;
    stream->pollable.poll = stream_poll;
    loop_add(stream->loop, &stream->pollable);
}

static void stream_dispatch(struct completion *completion)
{
    struct stream_request *request =
        (struct stream_request *)((char *)completion - offsetof(struct stream_request, completion));

    request->ended = true;
    request->done(request);
}

int stream_submit(struct stream *stream, struct stream_request *request)
{
    uint64_t end;

    if (request->operation == STREAM_WRITE && !stream->can_write)
        return -ERROR_WRITE_PROTECTED;
    if (request->operation != STREAM_FLUSH && __builtin_add_overflow(request->offset, request->size, &end))
        return -ERROR_OUT_OF_RANGE;

    request->ended = false;
    request->status = 0;
    request->transferred = 0;
    request->raw_status = 0;
    request->stream = stream;
    request->next = NULL;
    request->completion = (struct completion){.dispatch = stream_dispatch};
    stream->in_flight++;
    int status = stream->ops->submit(stream, request);
    if (status)
        stream->in_flight--;
    return status;
}

void stream_complete(struct stream_request *request, int status, size_t transferred, uint32_t raw_status)
{
    request->status = status;
    request->transferred = transferred;
    request->raw_status = raw_status;
    request->stream->in_flight--;
    if (request->done)
        loop_complete(request->stream->loop, &request->completion);
    else
        request->ended = true;
}

/* --- waiting forms --- */

struct stream_try {
    struct stream *stream;
    struct stream_request *request;
    int status;
};

static bool try_submit(void *context)
{
    struct stream_try *attempt = context;

    attempt->status = stream_submit(attempt->stream, attempt->request);
    return attempt->status != -ERROR_FULL;
}

static bool request_ended(void *context)
{
    return ((volatile struct stream_request *)context)->ended;
}

/* There is no deadline: a pipe may wait for its other end for as long as it likes. */
static int stream_run(struct stream *stream, struct stream_request *request, struct error *error)
{
    static const enum error_operation operations[] = {OPERATION_READ, OPERATION_WRITE, OPERATION_FLUSH};
    struct stream_try attempt = {stream, request, 0};
    struct fiber_cleanup cleanup = {.ready = request_ended, .context = request};

    loop_wait(stream->loop, try_submit, &attempt, UINT64_MAX);
    if (attempt.status) {
        request->status = attempt.status;
    } else {
        fiber_cleanup_push(&cleanup);
        loop_wait(stream->loop, request_ended, request, UINT64_MAX);
        fiber_cleanup_pop(&cleanup);
    }
    if (request->status) {
        error_set(error, (enum error_code) - request->status, operations[request->operation], stream->name,
                  request->operation == STREAM_FLUSH ? ERROR_NO_BLOCK : request->offset, NULL);
        if (error)
            error->raw_status = request->raw_status;
    }
    return request->status;
}

int stream_read(struct stream *stream, uint64_t offset, void *data, size_t size, size_t *transferred,
                struct error *error)
{
    struct stream_request request = {.operation = STREAM_READ, .offset = offset, .data = data, .size = size};
    int status = stream_run(stream, &request, error);

    *transferred = status ? 0 : request.transferred;
    return status;
}

int stream_write(struct stream *stream, uint64_t offset, const void *data, size_t size, struct error *error)
{
    struct stream_request request = {.operation = STREAM_WRITE, .offset = offset, .data = (void *)data, .size = size};

    return stream_run(stream, &request, error);
}

int stream_flush(struct stream *stream, struct error *error)
{
    struct stream_request request = {.operation = STREAM_FLUSH};

    return stream_run(stream, &request, error);
}

static bool stream_is_idle(void *context)
{
    return ((volatile struct stream *)context)->in_flight == 0;
}

int stream_close(struct stream *stream, struct error *error)
{
    if (!stream)
        return 0;
    loop_wait(stream->loop, stream_is_idle, stream, UINT64_MAX);
    loop_remove(stream->loop, &stream->pollable);
    return stream->ops->close(stream, error);
}
