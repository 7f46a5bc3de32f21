/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs without data, as zstd frames: docs/image-format.md, section 6.
 *
 * Each frame has a 128 KiB window, a content size, RLE blocks of zero and an XXH64 checksum, and only one form, so that a reader can
 * compare it byte by byte. The checksum of any length comes from checkpoints: XXH64 over zeroes only turns its lanes.
 */
#include <string.h>

#include "core/image_internal.h"

#define ZERO_DESCRIPTOR 0x84 /* 4-byte content size, checksum, not single-segment */
#define ZERO_WINDOW 0x38     /* 128 KiB */
#define BLOCK_LAST 1u
#define BLOCK_RLE (1u << 1)
#define BLOCK_SHIFT 3

/* xxHash specification, section "XXH64 algorithm description", with seed 0. */
#define XXH_PRIME_1 0x9E3779B185EBCA87ULL
#define XXH_PRIME_2 0xC2B2AE3D27D4EB4FULL
#define XXH_PRIME_3 0x165667B19E3779F9ULL
#define XXH_PRIME_4 0x85EBCA77C2B2AE63ULL
#define XXH_PRIME_5 0x27D4EB2F165667C5ULL
#define XXH_STRIPE 32

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* One round with a zero input lane. */
static uint64_t zero_round(uint64_t lane)
{
    return rotate_left(lane, 31) * XXH_PRIME_1;
}

static void zero_stripes(uint64_t lanes[3], uint64_t count)
{
    while (count--)
        for (unsigned i = 0; i < 3; i++)
            lanes[i] = zero_round(lanes[i]);
}

void zero_frames_init(struct zero_frames *zero)
{
    zero->lanes[0][0] = XXH_PRIME_1 + XXH_PRIME_2;
    zero->lanes[0][1] = XXH_PRIME_2;
    zero->lanes[0][2] = 0 - XXH_PRIME_1;
    zero->known = 0;
    zero->full_ready = false;
    zero->rest_length = 0;
}

static uint64_t merge_lane(uint64_t hash, uint64_t lane)
{
    return (hash ^ zero_round(lane * XXH_PRIME_2)) * XXH_PRIME_1 + XXH_PRIME_4;
}

static uint64_t xxh64_of_zeroes(struct zero_frames *zero, uint64_t length)
{
    uint64_t hash = XXH_PRIME_5;
    unsigned checkpoint = (unsigned)(length / ZERO_CHECKPOINT);

    while (zero->known < checkpoint) {
        memcpy(zero->lanes[zero->known + 1], zero->lanes[zero->known], sizeof zero->lanes[0]);
        zero->known++;
        zero_stripes(zero->lanes[zero->known], ZERO_CHECKPOINT / XXH_STRIPE);
    }
    if (length >= XXH_STRIPE) {
        uint64_t lanes[3];
        memcpy(lanes, zero->lanes[checkpoint], sizeof lanes);
        zero_stripes(lanes, length % ZERO_CHECKPOINT / XXH_STRIPE);
        hash = rotate_left(lanes[0], 1) + rotate_left(lanes[1], 7) + rotate_left(lanes[2], 18);
        hash = merge_lane(hash, lanes[0]);
        hash = merge_lane(hash, lanes[1]);
        hash = merge_lane(hash, 0); /* the third lane starts at zero and stays there */
        hash = merge_lane(hash, lanes[2]);
    }
    hash += length;
    uint64_t rest = length % XXH_STRIPE;
    for (; rest >= 8; rest -= 8)
        hash = rotate_left(hash, 27) * XXH_PRIME_1 + XXH_PRIME_4;
    for (; rest >= 4; rest -= 4)
        hash = rotate_left(hash, 23) * XXH_PRIME_2 + XXH_PRIME_3;
    for (; rest; rest--)
        hash = rotate_left(hash, 11) * XXH_PRIME_1;
    hash = (hash ^ hash >> 33) * XXH_PRIME_2;
    hash = (hash ^ hash >> 29) * XXH_PRIME_3;
    return hash ^ hash >> 32;
}

unsigned zero_frame_size(uint64_t length)
{
    return ZERO_FRAME_FIXED + ZERO_BLOCK_SIZE * (unsigned)((length + ZERO_BLOCK_PLAIN - 1) / ZERO_BLOCK_PLAIN);
}

uint64_t zero_run_size(uint64_t length)
{
    uint64_t rest = length % ZERO_FRAME_PLAIN;

    return length / ZERO_FRAME_PLAIN * ZERO_FRAME_SIZE + (rest ? zero_frame_size(rest) : 0);
}

static void build(struct zero_frames *zero, uint8_t *frame, uint64_t length)
{
    static const uint8_t magic[4] = {0x28, 0xB5, 0x2F, 0xFD};
    uint8_t *bytes = frame;
    uint64_t left = length;

    memcpy(bytes, magic, sizeof magic);
    bytes[4] = ZERO_DESCRIPTOR;
    bytes[5] = ZERO_WINDOW;
    store_le32(bytes + 6, (uint32_t)length);
    bytes += 10;
    do {
        uint64_t block = left < ZERO_BLOCK_PLAIN ? left : ZERO_BLOCK_PLAIN;
        left -= block;
        /* Block header: last flag, type, size (three bytes); then the repeated byte. */
        store_le32(bytes, (left ? 0 : BLOCK_LAST) | BLOCK_RLE | (uint32_t)block << BLOCK_SHIFT);
        bytes += ZERO_BLOCK_SIZE;
    } while (left);
    store_le32(bytes, (uint32_t)xxh64_of_zeroes(zero, length));
}

const uint8_t *zero_frame(struct zero_frames *zero, uint64_t length)
{
    if (length == ZERO_FRAME_PLAIN) {
        if (!zero->full_ready)
            build(zero, zero->full, length);
        zero->full_ready = true;
        return zero->full;
    }
    if (zero->rest_length != length)
        build(zero, zero->rest, length);
    zero->rest_length = length;
    return zero->rest;
}

bool zero_run_matches(struct zero_frames *zero, uint64_t run_length, uint64_t offset, const uint8_t *bytes, size_t size)
{
    while (size) {
        uint64_t number = offset / ZERO_FRAME_SIZE;
        uint64_t length = run_length - number * ZERO_FRAME_PLAIN;
        if (length > ZERO_FRAME_PLAIN)
            length = ZERO_FRAME_PLAIN;
        const uint8_t *frame = zero_frame(zero, length);
        size_t inside = (size_t)(offset % ZERO_FRAME_SIZE);
        size_t part = zero_frame_size(length) - inside;
        if (part > size)
            part = size;
        if (memcmp(frame + inside, bytes, part))
            return false;
        bytes += part;
        offset += part;
        size -= part;
    }
    return true;
}
