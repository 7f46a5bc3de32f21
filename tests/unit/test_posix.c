/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host program's platform on real threads and files: waking, blocking calls on threads, files as disks, images as files. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/block_conformance.h"
#include "tools/posix.h"

#define MIB (1u << 20)
#define DISK_BYTES (8 * MIB)
#define TURNS 400
#define LONG_WAIT_SECONDS 5 /* only a failure lasts so long */

static struct platform *platform;
static struct loop loop;
static char path[200];

static int make_path(void **unused)
{
    const char *folder = getenv("TMPDIR");

    (void)unused;
    platform = posix_platform(NULL);
    loop_init(&loop, platform);
    snprintf(path, sizeof(path), "%s/eidolon-posix-XXXXXX", folder ? folder : "/tmp");
    int descriptor = mkstemp(path);
    return descriptor < 0 || close(descriptor);
}

static int remove_path(void **unused)
{
    (void)unused;
    return unlink(path) && access(path, F_OK) == 0;
}

static bool wait_for(sem_t *semaphore)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LONG_WAIT_SECONDS;
    return sem_timedwait(semaphore, &until) == 0;
}

/* --- waking --- */

/* Waits; true when nobody ended it. A stop of the whole machine looks the same, so a few of many mean nothing. */
static bool wait_ran_out(void)
{
    uint64_t start = platform_now(platform);

    platform->ops->wait(platform, UINT64_MAX);
    return platform_now(platform) - start >= 50 * NANOSECONDS_PER_MILLISECOND;
}

static void wake_before_a_wait_ends_it(void **unused)
{
    unsigned ran_out = 0;

    (void)unused;
    for (unsigned i = 0; i < 100; i++) {
        platform->ops->wake(platform);
        ran_out += wait_ran_out();
    }
    assert_true(ran_out < 50);
}

static _Atomic uint32_t turns;

static void take_turns(void *context, unsigned index)
{
    (void)context;
    (void)index;
    for (uint32_t turn = 0; turn < TURNS; turn += 2) {
        while (atomic_load(&turns) == turn)
            platform->ops->worker_wait(platform, &turns, turn);
        atomic_fetch_add(&turns, 1);
        platform->ops->wake(platform);
    }
}

static void workers_and_the_main_thread_wake_each_other(void **unused)
{
    unsigned ran_out = 0;

    (void)unused;
    atomic_store(&turns, 0);
    assert_int_equal(platform->ops->workers_start(platform, 1, take_turns, NULL), 1);
    for (uint32_t turn = 0; turn < TURNS; turn += 2) {
        atomic_fetch_add(&turns, 1);
        platform->ops->worker_wake(platform, &turns);
        while (atomic_load(&turns) == turn + 1)
            ran_out += wait_ran_out();
    }
    assert_true(ran_out < TURNS / 4);
    assert_true(platform->ops->workers_join(platform, deadline_after(platform, 10 * NANOSECONDS_PER_SECOND)));
}

/* --- blocking calls on threads --- */

struct semaphore_task {
    struct posix_task task; /* first */
    sem_t *waits_for, *then_posts;
    unsigned posts;
    bool waited;
};

static void run_semaphore_task(struct posix_task *task)
{
    struct semaphore_task *own = (struct semaphore_task *)task;

    own->waited = !own->waits_for || wait_for(own->waits_for);
    for (unsigned i = 0; i < own->posts; i++)
        sem_post(own->then_posts);
}

static void take_all(struct posix_finished *finished, unsigned count)
{
    while (count) {
        for (struct posix_task *task = posix_finished_take(finished); task; task = task->next)
            count--;
        usleep(1000);
    }
    usleep(10000); /* so that their threads rest again */
}

/*
 * All calls but the last end only after the last one, as a read from a pipe may never end. Each round finds one thread
 * less at rest than it needs. The first test, for the threads stay.
 */
static void no_call_stands_behind_one_that_blocks(void **unused)
{
    struct posix_finished finished = {NULL};
    struct semaphore_task tasks[8];
    sem_t last;

    (void)unused;
    for (unsigned count = 1; count <= 8; count++) {
        sem_init(&last, 0, 0);
        for (unsigned i = 0; i < count; i++) {
            bool is_last = i == count - 1;
            tasks[i] = (struct semaphore_task){.task = {.run = run_semaphore_task, .owner = &finished},
                                               .waits_for = is_last ? NULL : &last,
                                               .then_posts = &last,
                                               .posts = is_last ? count - 1 : 0};
        }
        for (unsigned i = 0; i < count; i++)
            posix_io_submit(platform, &tasks[i].task);
        take_all(&finished, count);
        for (unsigned i = 0; i < count; i++)
            assert_true(tasks[i].waited);
        sem_destroy(&last);
    }
}

/* --- files as disks --- */

static void fill_file(uint8_t seed, size_t size)
{
    uint8_t *bytes = malloc(size);
    int descriptor = open(path, O_WRONLY);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(seed + i / 512 * 7 + i);
    assert_int_equal(pwrite(descriptor, bytes, size, 0), (ssize_t)size);
    assert_int_equal(fsync(descriptor), 0);
    assert_int_equal(posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(descriptor);
    free(bytes);
}

static void a_file_is_a_block_device(void **unused)
{
    struct block_conformance_options options = {.destructive = true, .seed = 3};
    struct block_device *device;
    struct error error;

    (void)unused;
    assert_int_equal(truncate(path, DISK_BYTES), 0);
    assert_int_equal(posix_block_open(&loop, path, true, &device, &error), 0);
    assert_null(block_conformance_run(device, &options));
    block_device_stop(device);
    options.destructive = false;
    assert_int_equal(posix_block_open(&loop, path, false, &device, &error), 0);
    assert_null(block_conformance_run(device, &options));
    block_device_stop(device);
}

static void check_contents(struct block_device *device, uint8_t seed)
{
    uint8_t *bytes = malloc(DISK_BYTES);
    struct error error;

    assert_int_equal(block_read_bytes(device, 0, bytes, DISK_BYTES, &error), 0);
    for (size_t i = 0; i < DISK_BYTES; i++)
        if (bytes[i] != (uint8_t)(seed + i / 512 * 7 + i))
            fail_msg("byte %zu is another one", i);
    free(bytes);
}

/* Whether the page cache holds all of it, nothing, parts, or what the disk does not have yet. */
static void a_source_is_read_as_it_is_wherever_its_bytes_are(void **unused)
{
    struct block_device *device;
    struct error error;
    uint8_t byte;

    (void)unused;
    fill_file(1, DISK_BYTES);
    assert_int_equal(posix_block_open(&loop, path, false, &device, &error), 0);
    check_contents(device, 1);
    int descriptor = open(path, O_RDWR);
    assert_int_equal(pread(descriptor, &byte, 1, 3 * MIB + 5000), 1);
    check_contents(device, 1);
    byte = 0xEE;
    assert_int_equal(pwrite(descriptor, &byte, 1, 5 * MIB), 1);
    assert_int_equal(block_read_bytes(device, 5 * MIB, &byte, 1, &error), 0);
    assert_int_equal(byte, 0xEE);
    close(descriptor);
    fill_file(2, DISK_BYTES);
    assert_int_equal(posix_block_make_writable(device, &error), 0);
    check_contents(device, 2);
    block_device_stop(device);
}

/* --- images as files --- */

static void an_image_has_its_size_and_no_room_behind_it(void **unused)
{
    struct stream_store *store;
    struct stream *stream;
    struct error error;
    struct stat status;
    uint8_t *bytes = malloc(MIB);
    size_t transferred;
    bool is_pipe;

    (void)unused;
    memset(bytes, 0x5A, MIB);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(posix_store_open(&loop, path, POSIX_STORE_CREATE, &store, &is_pipe, &error), 0);
    assert_int_equal(store->open(store, 0, true, &stream, &error), 0);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(stream_write(stream, 100 + i * MIB, bytes, MIB, &error), 0);
    assert_int_equal(stream_write(stream, 0, bytes, 100, &error), 0);
    assert_int_equal(stream_flush(stream, &error), 0);
    assert_int_equal(stream_close(stream, &error), 0);
    store->close(store);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 9 * MIB + 100);
    assert_true(status.st_blocks * 512 < 9 * MIB + 100 + MIB / 2);

    assert_int_equal(posix_store_open(&loop, path, POSIX_STORE_READ, &store, &is_pipe, &error), 0);
    assert_int_equal(store->open(store, 0, false, &stream, &error), 0);
    assert_int_equal(stream_read(stream, 9 * MIB, bytes, MIB, &transferred, &error), 0);
    assert_int_equal(transferred, 100);
    assert_int_equal(bytes[99], 0x5A);
    assert_int_equal(stream_close(stream, &error), 0);
    store->close(store);
    free(bytes);
}

/* What is there is cut and goes on; its own name is no obstacle then. */
static void an_image_goes_on(void **unused)
{
    struct stream_store *store;
    struct stream *stream;
    struct error error;
    uint8_t bytes[300], back[400];
    size_t transferred;
    bool is_pipe;

    (void)unused;
    memset(bytes, 0x11, sizeof bytes);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(file, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 4 * MIB), 0);
    close(file);
    assert_int_equal(posix_store_open(&loop, path, POSIX_STORE_CREATE, &store, &is_pipe, &error), -ERROR_EXISTS);
    assert_int_equal(posix_store_open(&loop, path, POSIX_STORE_CONTINUE, &store, &is_pipe, &error), 0);
    assert_non_null(store->disk); /* so that it is not captured into itself */
    assert_int_equal(store->open(store, 0, true, &stream, &error), -ERROR_EXISTS);
    assert_int_equal(store->reopen(store, 1, 0, &stream, &error), -ERROR_NOT_FOUND);
    assert_int_equal(store->reopen(store, 0, 301, &stream, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(store->reopen(store, 0, 100, &stream, &error), 0);
    assert_int_equal(stream->size, 100);
    memset(bytes, 0x22, sizeof bytes);
    assert_int_equal(stream_write(stream, 100, bytes, 150, &error), 0);
    assert_int_equal(stream_read(stream, 0, back, sizeof back, &transferred, &error), 0);
    assert_int_equal(transferred, 250);
    assert_int_equal(back[99], 0x11);
    assert_int_equal(back[100], 0x22);
    assert_int_equal(stream_flush(stream, &error), 0);
    assert_int_equal(stream_close(stream, &error), 0);
    store->close(store);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 250);
    assert_true(status.st_blocks * 512 < MIB);
}

/* --- file systems --- */

static long type_of_file_system; /* 0: as it is */

/* In place of the C library's: file systems that this machine may not have. */
int statfs(const char *file, struct statfs *status)
{
    long result = syscall(SYS_statfs, file, status);

    if (result == 0 && type_of_file_system)
        status->f_type = type_of_file_system;
    return (int)result;
}

/* FAT keeps a file's size in 32 bits: images are cut below that, and only there. */
static void no_file_is_too_large_for_its_file_system(void **unused)
{
    static const struct {
        long type;
        uint64_t most;
    } cases[] = {{0, UINT64_MAX}, {MSDOS_SUPER_MAGIC, 0xffffffff}, {EXT4_SUPER_MAGIC, UINT64_MAX}};

    (void)unused;
    unlink(path);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stream_store *store;
        bool is_pipe;

        type_of_file_system = cases[i].type;
        assert_int_equal(posix_store_open(&loop, path, POSIX_STORE_CREATE, &store, &is_pipe, NULL), 0);
        assert_int_equal(store->max_volume_bytes, cases[i].most);
        store->close(store);
    }
    type_of_file_system = MSDOS_SUPER_MAGIC;
    struct stream_store *store;
    bool is_pipe;
    assert_int_equal(posix_store_open(&loop, "-", POSIX_STORE_CREATE, &store, &is_pipe, NULL), 0);
    if (is_pipe)
        assert_int_equal(store->max_volume_bytes, UINT64_MAX);
    store->close(store);
    type_of_file_system = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_call_stands_behind_one_that_blocks, make_path, remove_path),
        cmocka_unit_test_setup_teardown(wake_before_a_wait_ends_it, make_path, remove_path),
        cmocka_unit_test_setup_teardown(workers_and_the_main_thread_wake_each_other, make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_file_is_a_block_device, make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_source_is_read_as_it_is_wherever_its_bytes_are, make_path, remove_path),
        cmocka_unit_test_setup_teardown(an_image_has_its_size_and_no_room_behind_it, make_path, remove_path),
        cmocka_unit_test_setup_teardown(an_image_goes_on, make_path, remove_path),
        cmocka_unit_test_setup_teardown(no_file_is_too_large_for_its_file_system, make_path, remove_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
