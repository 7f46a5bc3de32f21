/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file system library that never comes back from a call, with a request of its on the way: it is dropped, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/library.h"
#include "fs/volume.h"
#include "tests/support/emulated_device.h"
#include "tests/support/test_platform.h"

struct stuck_volume {
    struct volume_io *io;
};

static int stuck_mount(void *volume, struct volume_io *io, struct error *error)
{
    (void)error;
    ((struct stuck_volume *)volume)->io = io;
    return 0;
}

static int stuck_unmount(void *volume, struct error *error)
{
    (void)volume;
    (void)error;
    return 0;
}

static uint64_t plenty(void *volume)
{
    (void)volume;
    return 1 << 20;
}

static int stuck_open(void *volume, void *file, const char *path, bool write, uint64_t *size, struct error *error)
{
    (void)volume;
    (void)file;
    (void)path;
    (void)write;
    (void)error;
    *size = 0;
    return 0;
}

/* Holds memory of the library's, and tries to flush a disk that hangs, for ever. */
static int stuck_write(void *volume, void *file, uint64_t offset, const void *data, size_t size, struct error *error)
{
    (void)file;
    (void)offset;
    (void)data;
    (void)size;
    (void)error;
    if (!library_malloc(1000))
        return -ERROR_NO_MEMORY;
    for (;;)
        block_flush(((struct stuck_volume *)volume)->io->device, NULL);
}

static int stuck_close(void *volume, void *file, struct error *error)
{
    (void)volume;
    (void)file;
    (void)error;
    return 0;
}

static const struct volume_file_ops stuck_ops = {
    .name = "stuck",
    .volume_size = sizeof(struct stuck_volume),
    .file_size = 16,
    .mount = stuck_mount,
    .unmount = stuck_unmount,
    .free_space = plenty,
    .max_file_bytes = plenty,
    .open = stuck_open,
    .write = stuck_write,
    .close = stuck_close,
};

static struct test_platform test;
static struct loop loop;
static struct emulated_device disk;
static unsigned ended;

static void count_end(struct stream_request *request)
{
    (void)request;
    ended++;
}

static bool all_ended(void *context)
{
    (void)context;
    return ended == 3;
}

/* The limit is noticed by the stream's own poll; what waits behind the stuck call ends with it. */
static void a_stuck_library_is_dropped_with_its_request(void **state)
{
    struct stream_store *store;
    struct stream *stream;
    struct stream_request requests[3];
    struct error error = {0};
    char data[4096] = "";

    (void)state;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    emulated_start(&disk, &loop, NULL);
    emulated_add_fault(&disk, FAULT_HANG, 0, 1)->operations = 1u << BLOCK_FLUSH;
    assert_int_equal(volume_store_open(&disk.device, &stuck_ops, "file", true, &store, &error), 0);
    assert_int_equal(store->open(store, 0, true, &stream, &error), 0);
    for (unsigned i = 0; i < 3; i++) {
        requests[i] = (struct stream_request){
            .operation = STREAM_WRITE, .offset = i * sizeof data, .data = data, .size = sizeof data, .done = count_end};
        assert_int_equal(stream_submit(stream, &requests[i]), 0);
    }
    assert_true(loop_wait(&loop, all_ended, NULL, deadline_after(&test.platform, 3600 * NANOSECONDS_PER_SECOND)));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(requests[i].status, -ERROR_ABORTED);
    assert_null(loop.fibers);
    assert_int_equal(disk.device.in_flight, 0);
    assert_int_equal(stream_close(stream, &error), -ERROR_ABORTED);
    store->close(store);
    emulated_end(&disk);
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stuck_library_is_dropped_with_its_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
