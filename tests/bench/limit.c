/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no stock tool measures: the least time that parts of the work can take on this machine.
 *
 *   limit read FILE            reads a file once, 1 MiB at a time
 *   limit write FILE BYTES     writes over the first BYTES of an existing file, 1 MiB at a time, and flushes
 *   limit decode IMAGE         decompresses an image's data frames on two threads and drops the result
 *   limit hash IMAGE           the same, with BLAKE3-256 over each frame's contents
 *   limit restore IMAGE FILE   the same without hashes, and writes the contents to their place in an existing file
 *
 * Frames that stand for runs of zeros (unused blocks) are left out everywhere: a restore leaves them alone, too.
 */
#include <blake3.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#define MIB (1U << 20)
#define THREADS 2
/* A block of zeros takes 4 bytes for 128 KiB; real data never comes near that. */
#define ZERO_RUN_RATIO 16000
#define CONTENT_MAX (64U * MIB)

struct frame {
    const uint8_t *start;
    size_t stored, content; /* bytes */
    uint64_t place;         /* offset of the contents on the disk */
};

struct work {
    struct frame *frames;
    size_t count, largest;
    atomic_size_t next;
    bool hash;
    int target; /* -1: nothing is written */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *new_memory(size_t size)
{
    void *memory = malloc(size);

    if (!memory)
        fail("malloc");
    memset(memory, 1, size);
    return memory;
}

static int open_file(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC);

    if (file < 0)
        fail(path);
    return file;
}

static void read_file(const char *path)
{
    int file = open_file(path, O_RDONLY);
    void *buffer = new_memory(MIB);
    ssize_t got;

    while ((got = read(file, buffer, MIB)) > 0)
        ;
    if (got < 0)
        fail(path);
}

static void write_all(int file, const uint8_t *bytes, size_t length, uint64_t place)
{
    while (length) {
        ssize_t done = pwrite(file, bytes, length, (off_t)place);
        if (done <= 0)
            fail("pwrite");
        bytes += done;
        place += (uint64_t)done;
        length -= (size_t)done;
    }
}

static void write_file(const char *path, uint64_t bytes)
{
    int file = open_file(path, O_WRONLY);
    uint8_t *buffer = new_memory(MIB);

    for (uint64_t at = 0; at < bytes; at += MIB)
        write_all(file, buffer, bytes - at < MIB ? (size_t)(bytes - at) : MIB, at);
    if (fdatasync(file))
        fail(path);
}

static void find_frames(struct work *work, const uint8_t *at, size_t left)
{
    size_t room = 0;
    uint64_t place = 0;

    while (left) {
        size_t stored = ZSTD_findFrameCompressedSize(at, left);
        if (ZSTD_isError(stored)) {
            fprintf(stderr, "not a zstd stream: %s\n", ZSTD_getErrorName(stored));
            exit(1);
        }
        uint64_t content = ZSTD_isSkippableFrame(at, left) ? 0 : ZSTD_getFrameContentSize(at, left);
        if (content && content / stored < ZERO_RUN_RATIO) {
            if (content > CONTENT_MAX) {
                fprintf(stderr, "a frame of unknown or unusual size\n");
                exit(1);
            }
            if (work->count == room) {
                room = room ? 2 * room : 1024;
                work->frames = realloc(work->frames, room * sizeof(*work->frames));
                if (!work->frames)
                    fail("realloc");
            }
            work->frames[work->count++] = (struct frame){at, stored, (size_t)content, place};
            if (content > work->largest)
                work->largest = (size_t)content;
        }
        place += content;
        at += stored;
        left -= stored;
    }
}

static void *take_frames(void *argument)
{
    struct work *work = argument;
    uint8_t *contents = new_memory(work->largest + 1), hash[BLAKE3_OUT_LEN];
    ZSTD_DCtx *context = ZSTD_createDCtx();
    blake3_hasher hasher;
    size_t number;

    while ((number = atomic_fetch_add(&work->next, 1)) < work->count) {
        const struct frame *frame = &work->frames[number];
        size_t got = ZSTD_decompressDCtx(context, contents, work->largest, frame->start, frame->stored);
        if (got != frame->content) {
            fprintf(stderr, "a frame does not decode\n");
            exit(1);
        }
        if (work->hash) {
            blake3_hasher_init(&hasher);
            blake3_hasher_update(&hasher, contents, got);
            blake3_hasher_finalize(&hasher, hash, sizeof(hash));
        }
        if (work->target >= 0)
            write_all(work->target, contents, got, frame->place);
    }
    ZSTD_freeDCtx(context);
    free(contents);
    return NULL;
}

static void decode_image(const char *path, bool hash, const char *target)
{
    struct work work = {.hash = hash, .target = target ? open_file(target, O_WRONLY) : -1};
    int file = open_file(path, O_RDONLY);
    pthread_t threads[THREADS];
    struct stat status;

    if (fstat(file, &status))
        fail(path);
    const uint8_t *image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (image == MAP_FAILED)
        fail(path);
    find_frames(&work, image, (size_t)status.st_size);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, take_frames, &work))
            fail("pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (target && fdatasync(work.target))
        fail(target);
}

int main(int count, char **words)
{
    const char *verb = count > 2 ? words[1] : "";

    if (count == 3 && strcmp(verb, "read") == 0)
        read_file(words[2]);
    else if (count == 4 && strcmp(verb, "write") == 0)
        write_file(words[2], strtoull(words[3], NULL, 10));
    else if (count == 3 && strcmp(verb, "decode") == 0)
        decode_image(words[2], false, NULL);
    else if (count == 3 && strcmp(verb, "hash") == 0)
        decode_image(words[2], true, NULL);
    else if (count == 4 && strcmp(verb, "restore") == 0)
        decode_image(words[2], false, words[3]);
    else {
        fprintf(stderr, "usage: limit read FILE | write FILE BYTES | decode IMAGE | hash IMAGE | restore IMAGE FILE\n");
        return 2;
    }
    return 0;
}
