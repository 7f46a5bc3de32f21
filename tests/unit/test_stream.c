/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stream.c promises above any stream; here one in memory that ends each request a few polls later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/fiber.h"
#include "core/stream.h"
#include "tests/support/test_platform.h"

#define SECOND NANOSECONDS_PER_SECOND

struct memory_stream {
    struct stream stream;
    uint8_t bytes[4096];
    size_t size;
    struct stream_request *held;
    unsigned polls, submits;
    int status;
    bool closed;
};

static struct test_platform test;
static struct loop loop;
static struct memory_stream memory;

/* One request at a time. */
static int memory_submit(struct stream *stream, struct stream_request *request)
{
    struct memory_stream *at = (struct memory_stream *)(void *)stream;

    if (at->held)
        return -ERROR_FULL;
    at->held = request;
    at->submits++;
    at->polls = 0;
    return 0;
}

static bool memory_poll(struct stream *stream)
{
    struct memory_stream *at = (struct memory_stream *)(void *)stream;
    struct stream_request *request = at->held;
    size_t size = 0;

    if (!request || ++at->polls < 5)
        return false;
    if (request->operation == STREAM_READ && request->offset < at->size) {
        size = at->size - request->offset < request->size ? at->size - request->offset : request->size;
        memcpy(request->data, at->bytes + request->offset, size);
    } else if (request->operation == STREAM_WRITE) {
        size = request->size;
        memcpy(at->bytes + request->offset, request->data, size);
        at->size = request->offset + size;
    }
    at->held = NULL;
    stream_complete(request, at->status, size, at->status ? 28 : 0);
    return true;
}

static int memory_close(struct stream *stream, struct error *error)
{
    struct memory_stream *at = (struct memory_stream *)(void *)stream;

    assert_null(at->held);
    at->closed = true;
    return error_set(error, ERROR_NO_SPACE, OPERATION_WRITE, stream->name, ERROR_NO_BLOCK, NULL);
}

static const struct stream_ops memory_ops = {memory_submit, memory_poll, memory_close};

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    memset(&memory, 0, sizeof(memory));
    memory.stream = (struct stream){.ops = &memory_ops, .loop = &loop, .can_write = true, .name = "memory"};
    stream_start(&memory.stream);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    if (!memory.closed)
        stream_close(&memory.stream, NULL);
    assert_null(loop.pollables);
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
    return 0;
}

static void reads_and_writes(void **unused)
{
    char bytes[16] = "";
    size_t got = 99;

    (void)unused;
    assert_int_equal(stream_write(&memory.stream, 0, "phantom", 7, NULL), 0);
    assert_int_equal(stream_flush(&memory.stream, NULL), 0);
    assert_int_equal(stream_read(&memory.stream, 2, bytes, sizeof(bytes), &got, NULL), 0);
    assert_int_equal(got, 5);
    assert_string_equal(bytes, "antom");
    assert_int_equal(stream_read(&memory.stream, 7, bytes, sizeof(bytes), &got, NULL), 0);
    assert_int_equal(got, 0);
}

static void errors_name_the_stream(void **unused)
{
    struct error error;
    size_t got = 99;
    char byte;

    (void)unused;
    memory.status = -ERROR_NO_SPACE;
    assert_int_equal(stream_write(&memory.stream, 512, "x", 1, &error), -ERROR_NO_SPACE);
    assert_int_equal(error.operation, OPERATION_WRITE);
    assert_int_equal(error.block, 512);
    assert_int_equal(error.raw_status, 28);
    assert_string_equal(error.device, "memory");
    assert_int_equal(stream_read(&memory.stream, 0, &byte, 1, &got, &error), -ERROR_NO_SPACE);
    assert_int_equal(got, 0);
    assert_int_equal(stream_read(&memory.stream, UINT64_MAX, &byte, 1, &got, NULL), -ERROR_OUT_OF_RANGE);
    memory.stream.can_write = false;
    memory.submits = 0;
    assert_int_equal(stream_write(&memory.stream, 0, "x", 1, &error), -ERROR_WRITE_PROTECTED);
    assert_int_equal(memory.submits, 0);
}

static unsigned ended;

static void count_end(struct stream_request *request)
{
    assert_true(request->ended);
    ended++;
}

/* Callbacks come from the loop, never from inside a submit; closing waits for what is in flight and says late errors. */
static void closing_waits(void **unused)
{
    struct stream_request request = {.operation = STREAM_WRITE, .data = (char[]){"late"}, .size = 4, .done = count_end};
    struct stream_request second = request;
    struct error error;

    (void)unused;
    ended = 0;
    assert_int_equal(stream_submit(&memory.stream, &request), 0);
    assert_int_equal(stream_submit(&memory.stream, &second), -ERROR_FULL);
    assert_int_equal(ended, 0);
    assert_int_equal(stream_close(&memory.stream, &error), -ERROR_NO_SPACE);
    assert_int_equal(ended, 1);
    assert_memory_equal(memory.bytes, "late", 4);
    assert_int_equal(error.code, ERROR_NO_SPACE);
    assert_int_equal(stream_close(NULL, NULL), 0);
}

static int write_on_a_fiber(void *context)
{
    char bytes[600];

    memset(bytes, *(char *)context, sizeof(bytes));
    return stream_write(&memory.stream, 100, bytes, sizeof(bytes), NULL);
}

/* A fiber dropped in the middle of a write takes the request's memory with it only when the request has ended. */
static void a_dropped_fiber_leaves_no_request(void **unused)
{
    char fill = 'w';

    (void)unused;
    assert_int_equal(fiber_call(&loop, "writer", 0, 4096, platform_now(&test.platform), write_on_a_fiber, &fill),
                     -ERROR_TIMEOUT);
    assert_null(memory.held);
    assert_int_equal(memory.bytes[699], 'w');
    assert_int_equal(fiber_call(&loop, "writer", 0, 4096, UINT64_MAX, write_on_a_fiber, &fill), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_and_writes),
        TEST(errors_name_the_stream),
        TEST(closing_waits),
        TEST(a_dropped_fiber_leaves_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
