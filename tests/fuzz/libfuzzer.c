/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that libFuzzer drives: all targets in one, chosen by the name under which it was called (fuzz_ext, ...). Mutations keep
 * an input's framing most of the time, so that they reach what is inside.
 *
 *     fuzz_image --seeds FOLDER     writes images to begin with
 *     fuzz_ext --accepted FILE...   how many of these the product takes for whole
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image_format.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* libFuzzer's entry points carry no context. */
static const struct fuzz_target *target;

static void count_accepted(int count, char *const *paths)
{
    static uint8_t bytes[1 << 20];
    int accepted = 0;

    for (int i = 0; i < count; i++) {
        FILE *file = fopen(paths[i], "r");
        if (!file) {
            perror(paths[i]);
            exit(1);
        }
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        fuzz_accepted = false;
        target->run(bytes, size);
        accepted += fuzz_accepted;
        if (!fuzz_accepted)
            fprintf(stderr, "not accepted: %s\n", paths[i]);
    }
    printf("%d\n", accepted);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    target = fuzz_find((*argv)[0]);
    if (!target) {
        fprintf(stderr, "call me fuzz_TARGET\n");
        exit(2);
    }
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        fuzz_image_seeds((*argv)[2]);
        exit(0);
    }
    if (*argc > 2 && strcmp((*argv)[1], "--accepted") == 0) {
        count_accepted(*argc - 2, *argv + 2);
        exit(0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run(data, size);
    return 0;
}

/* --- mutation --- */

static uint64_t random_state;

static size_t dice(size_t sides)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return sides ? (size_t)(random_state >> 33) % sides : 0;
}

/* Numbers at which arithmetic goes wrong, and steps away from what stands there; 1 to 8 bytes, either byte order. */
static void change_number(uint8_t *bytes, size_t size)
{
    static const uint64_t values[] = {0,           1,          2,         0x7f,       0x80,       0xff,
                                      0x7fff,      0xffff,     0x10000,   0x7fffffff, 0x80000000, 0xffffffff,
                                      0x100000000, 1ULL << 53, INT64_MAX, 1ULL << 63, UINT64_MAX};
    size_t width = (size_t)1 << dice(4);
    uint64_t value = 0;

    while (width > size)
        width /= 2;
    if (!width)
        return;
    uint8_t *at = bytes + dice(size / width) * width;
    memcpy(&value, at, width);
    switch (dice(5)) {
    case 0:
        value = values[dice(sizeof values / sizeof values[0])];
        break;
    case 1:
        value += dice(9) - 4;
        break;
    case 2:
        value = dice(2) ? value << 1 : value >> 1;
        break;
    case 3:
        value ^= 1ULL << dice(8 * width);
        break;
    default:
        value = width == 8 ? __builtin_bswap64(dice(64)) : dice(65536);
        break;
    }
    memcpy(at, &value, width);
}

/* Changes bytes, never how many there are. */
static void change_bytes(uint8_t *bytes, size_t size)
{
    size_t length = (size_t)1 << dice(9);

    if (!size)
        return;
    if (length > size)
        length = size;
    uint8_t *at = bytes + dice(size - length + 1);
    if (dice(2))
        change_number(at, length);
    else
        LLVMFuzzerMutate(at, length, length);
}

/* Where the records of a disk's input begin; how many. */
static unsigned find_records(const uint8_t *data, size_t size, size_t *places, unsigned most)
{
    unsigned count = 0;

    for (size_t at = FUZZ_DISK_HEADER; at + FUZZ_RECORD_HEADER <= size && count < most;) {
        size_t length = (size_t)(data[at + 8] | data[at + 9] << 8);
        unsigned kind = data[at + 10] % FUZZ_KINDS;

        places[count++] = at;
        at += FUZZ_RECORD_HEADER + (kind == FUZZ_DATA ? length : kind == FUZZ_RAMP ? 2 : 0);
    }
    return count;
}

/* A new record at the end: a copy of another's bytes elsewhere, a fill, bytes that cannot be read. */
static size_t add_record(uint8_t *data, size_t size, size_t max_size, size_t from, size_t from_size)
{
    size_t length = from_size > FUZZ_RECORD_HEADER ? from_size - FUZZ_RECORD_HEADER : 0;
    uint8_t *record = data + size;

    if (length > 64)
        length = 64;
    if (size + FUZZ_RECORD_HEADER + length > max_size)
        return size;
    memcpy(record, data + from, FUZZ_RECORD_HEADER + length);
    record[8] = (uint8_t)length;
    record[9] = 0;
    record[10] = dice(4) ? FUZZ_DATA : (uint8_t)dice(FUZZ_KINDS);
    change_number(record, 8);
    return size + FUZZ_RECORD_HEADER + (record[10] == FUZZ_DATA ? length : record[10] == FUZZ_RAMP ? 2 : 0);
}

static size_t mutate_disk(uint8_t *data, size_t size, size_t max_size)
{
    static size_t places[FUZZ_RECORDS_MAX + 1];
    unsigned count = find_records(data, size, places, FUZZ_RECORDS_MAX), choice = (unsigned)dice(20);

    if (!count || choice == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    places[count] = size;
    unsigned number = (unsigned)dice(count);
    size_t begin = places[number], end = places[number + 1] < size ? places[number + 1] : size;
    if (choice == 1)
        change_number(data, FUZZ_DISK_HEADER);
    else if (choice == 2)
        change_number(data + begin, FUZZ_RECORD_HEADER);
    else if (choice == 3)
        return add_record(data, size, max_size, begin, end - begin);
    else if (end > begin + FUZZ_RECORD_HEADER)
        change_bytes(data + begin + FUZZ_RECORD_HEADER, end - begin - FUZZ_RECORD_HEADER);
    else
        change_number(data + begin, FUZZ_RECORD_HEADER);
    return size;
}

/* Inside one of our frames, mostly in front, where the fields are; else anywhere. */
static size_t mutate_image(uint8_t *data, size_t size, size_t max_size)
{
    size_t places[64];
    unsigned count = 0;

    for (size_t at = 0; at + FRAME_SIZE_MIN <= size && count < 64; at++)
        if (load_le32(data + at) == FRAME_MAGIC)
            places[count++] = at;
    if (!count || dice(8) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (dice(16) == 0) {
        change_number(data, 2);
        return size;
    }
    size_t begin = places[dice(count)], length = size - begin;
    if (dice(3) && length > TRAILER_SIZE)
        length = TRAILER_SIZE;
    change_bytes(data + begin, length);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    random_state = seed;
    for (size_t times = 1 + dice(3); times; times--) {
        if (target->input == FUZZ_DISK)
            size = mutate_disk(data, size, max_size);
        else if (target->input == FUZZ_IMAGE)
            size = mutate_image(data, size, max_size);
        else
            size = LLVMFuzzerMutate(data, size, max_size);
    }
    return size;
}
