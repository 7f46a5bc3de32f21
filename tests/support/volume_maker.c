/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/volume_maker.h"

#include "core/library.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- a platform of malloc, with real time --- */

static uint64_t host_now(struct platform *platform)
{
    struct timespec now;

    (void)platform;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void *host_allocate(struct platform *platform, size_t size)
{
    (void)platform;
    return malloc(size);
}

static void host_release(struct platform *platform, void *memory)
{
    (void)platform;
    free(memory);
}

static void *host_allocate_guarded(struct platform *platform, size_t size)
{
    uint8_t *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)platform;
    if (memory == MAP_FAILED)
        return NULL;
    mprotect(memory, 4096, PROT_NONE);
    return memory + 4096;
}

static void host_release_guarded(struct platform *platform, void *memory, size_t size)
{
    (void)platform;
    munmap((uint8_t *)memory - 4096, size + 4096);
}

static void host_wait(struct platform *platform, uint64_t deadline)
{
    (void)platform;
    (void)deadline;
}

static void host_log(struct platform *platform, enum log_level level, const char *line)
{
    (void)platform;
    (void)level;
    fprintf(stderr, "# %s\n", line);
}

static bool host_cancel(struct platform *platform)
{
    (void)platform;
    return false;
}

static int host_buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer)
{
    memset(buffer, 0, sizeof *buffer);
    buffer->platform = platform;
    buffer->size = (size + 4095) / 4096 * 4096;
    buffer->data = aligned_alloc(4096, buffer->size);
    return buffer->data ? 0 : -ERROR_NO_MEMORY;
}

static void host_buffer_release(struct buffer *buffer)
{
    free(buffer->data);
}

static struct platform *test_platform(void)
{
    static const struct platform_ops ops = {
        .now = host_now,
        .allocate = host_allocate,
        .release = host_release,
        .allocate_guarded = host_allocate_guarded,
        .release_guarded = host_release_guarded,
        .wait = host_wait,
        .log = host_log,
        .cancel_requested = host_cancel,
        .buffer_allocate = host_buffer_allocate,
        .buffer_release = host_buffer_release,
    };
    static struct platform platform = {.ops = &ops, .processors = 1};

    return &platform;
}

/* --- volumes --- */

static void fail(const char *what)
{
    perror(what);
    abort();
}

static void image_path(const struct test_volume *volume, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", volume->folder, name);
}

void test_volume_init(struct test_volume *volume, size_t size)
{
    char path[128];
    int file;

    memset(volume, 0, sizeof *volume);
    snprintf(volume->folder, sizeof volume->folder, "%s/eidolon-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(volume->folder))
        fail("mkdtemp");
    volume->size = size;
    image_path(volume, "image", path, sizeof path);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, (off_t)size) < 0)
        fail(path);
    close(file);
    loop_init(&volume->loop, test_platform());
    library_init(test_platform());
}

void test_volume_open(struct test_volume *volume, uint32_t logical_block)
{
    char path[128];
    int file;

    image_path(volume, "image", path, sizeof path);
    file = open(path, O_RDWR);
    if (file < 0)
        fail(path);
    volume->bytes = mmap(NULL, volume->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (volume->bytes == MAP_FAILED)
        fail("mmap");
    if (block_ram_create(&volume->loop, logical_block, volume->size / logical_block, volume->bytes, &volume->device,
                         NULL) < 0)
        fail("block_ram_create");
}

void test_volume_free(struct test_volume *volume)
{
    if (volume->device)
        block_device_stop(volume->device);
    if (volume->bytes)
        munmap(volume->bytes, volume->size);
    test_volume_run(volume, "cd / && rm -rf %s", volume->folder);
}

int test_volume_run(struct test_volume *volume, const char *command, ...)
{
    char text[2048], line[2304];
    va_list arguments;
    int status;

    va_start(arguments, command);
    vsnprintf(text, sizeof text, command, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "cd %s && { PATH=$PATH:/sbin:/usr/sbin; { %s ; } >log 2>&1; }", volume->folder, text);
    status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

bool test_volume_expect(struct test_volume *volume, const uint8_t *bytes, size_t size)
{
    char name[128];

    snprintf(name, sizeof name, "%s/expected", volume->folder);
    FILE *file = fopen(name, "w");
    bool written = file && fwrite(bytes, 1, size, file) == size;
    return file && fclose(file) == 0 && written;
}

long long test_volume_number(struct test_volume *volume, const char *command, const char *key)
{
    char path[128], line[512];
    long long number = -1;
    FILE *log;

    if (test_volume_run(volume, "%s", command) > 1)
        return -1;
    image_path(volume, "log", path, sizeof path);
    log = fopen(path, "r");
    while (log && number < 0 && fgets(line, sizeof line, log)) {
        const char *at = strstr(line, key);

        if (at)
            number = strtoll(at + strlen(key) + strspn(at + strlen(key), " \t:"), NULL, 10);
    }
    if (log)
        fclose(log);
    return number;
}

void test_volume_make_files(struct test_volume *volume)
{
    if (test_volume_run(volume, "mkdir -p files/a/b/c && cd files && head -c 5000000 /dev/urandom >big && "
                                "seq 200000 >numbers && truncate -s 3000000 sparse && echo end >>sparse && "
                                "for i in $(seq 120); do head -c $((i * 97)) numbers >a/b/small$i; done && "
                                "cp /bin/sh a/program && ln -s ../big a/link"))
        fail("files");
}

void test_garbage(uint8_t *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 33);
    }
}

void test_volume_fill_unused(struct test_volume *volume, const struct extent_list *used)
{
    uint64_t at = 0;

    for (size_t i = 0; i <= used->count; i++) {
        uint64_t end = i < used->count ? used->extents[i].offset : volume->size;

        test_garbage(volume->bytes + at, (size_t)(end - at), at);
        at = i < used->count ? end + used->extents[i].length : end;
    }
}

void test_volume_restore(struct test_volume *volume, const struct extent_list *used)
{
    uint8_t *copy = malloc(volume->size);
    char path[128];
    FILE *file;

    if (!copy)
        fail("malloc");
    memset(copy, 0xa5, volume->size);
    for (size_t i = 0; i < used->count; i++)
        memcpy(copy + used->extents[i].offset, volume->bytes + used->extents[i].offset,
               (size_t)used->extents[i].length);
    image_path(volume, "restored", path, sizeof path);
    file = fopen(path, "w");
    if (!file || fwrite(copy, 1, volume->size, file) != volume->size || fclose(file))
        fail(path);
    free(copy);
}

bool test_has_message(const struct allocation *allocation, enum message_id id)
{
    for (unsigned i = 0; i < allocation->messages.count; i++)
        if (allocation->messages.items[i].id == id)
            return true;
    return false;
}
