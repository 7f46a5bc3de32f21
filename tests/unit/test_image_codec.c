/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks and zero runs alone: every level and size, and what a decoder must not take. */
#define ZSTD_STATIC_LINKING_ONLY

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "core/image_internal.h"
#include "tests/support/memory_store.h"

static uint32_t seed = 3;

static uint8_t random_byte(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint8_t)(seed >> 24);
}

static void fill(uint8_t *bytes, size_t size, unsigned noise)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = random_byte() < noise ? random_byte() : (uint8_t)(i / 7);
}

static void check_chunk(struct chunk_codec *codec, uint8_t *plain, size_t size, uint8_t *stored, uint8_t *back)
{
    struct image_chunk chunk;

    assert_int_equal(chunk_encode(codec, plain, size, NULL, stored, &chunk), 0);
    assert_int_equal(chunk.kind, IMAGE_DATA);
    assert_true(chunk.stored_size <= stored_size_bound(size));
    assert_int_equal(chunk_check_stored(&chunk), 0);
    assert_int_equal(chunk_decode(codec, &chunk, back), 0);
    assert_memory_equal(plain, back, size);
}

static void test_levels_and_sizes(void **state)
{
    static const uint32_t sizes[] = {65536, 262144, 1048576, 4194304};
    uint8_t *plain = malloc(IMAGE_CHUNK_MAX), *back = malloc(IMAGE_CHUNK_MAX);
    uint8_t *stored = malloc(chunk_stored_bound(IMAGE_CHUNK_MAX));

    (void)state;
    fill(plain, IMAGE_CHUNK_MAX, 60);
    for (int level = -3; level <= 19; level += level == 3 ? 5 : 1)
        for (unsigned i = 0; i < 4; i++) {
            if (!level || (level > 3 && i > 1)) /* slow, and no other path */
                continue;
            struct chunk_codec *codec = chunk_codec_create(memory_platform(), sizes[i], level);
            assert_non_null(codec);
            check_chunk(codec, plain, sizes[i], stored, back);
            check_chunk(codec, plain, 512, stored, back);
            check_chunk(codec, plain, sizes[i] / 2 - 512, stored, back);
            chunk_codec_destroy(codec);
        }
    fill(plain, IMAGE_CHUNK_MAX, 255);
    struct chunk_codec *codec = chunk_codec_create(memory_platform(), IMAGE_CHUNK_MAX, 1);
    check_chunk(codec, plain, IMAGE_CHUNK_MAX, stored, back);
    chunk_codec_destroy(codec);
    assert_null(chunk_codec_create(memory_platform(), 100000, 3));
    assert_null(chunk_codec_create(memory_platform(), 2 * IMAGE_CHUNK_MAX, 3));
    assert_int_equal(memory_platform_in_use(), 0);
    free(plain);
    free(back);
    free(stored);
}

/* A codec that goes up and down makes what one made for that level alone makes. */
static void test_changing_levels(void **state)
{
    static const int levels[] = {8, 1, 5, 2, 3, 8};
    uint8_t *plain = malloc(IMAGE_CHUNK_DEFAULT), *back = malloc(IMAGE_CHUNK_DEFAULT);
    uint8_t *stored = malloc(chunk_stored_bound(IMAGE_CHUNK_DEFAULT));
    struct chunk_codec *codec = chunk_codec_create(memory_platform(), IMAGE_CHUNK_DEFAULT, 8);
    struct image_chunk chunk, alone;

    (void)state;
    fill(plain, IMAGE_CHUNK_DEFAULT, 60);
    assert_false(chunk_codec_set_level(codec, 0));
    assert_false(chunk_codec_set_level(codec, 9));
    for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        struct chunk_codec *other = chunk_codec_create(memory_platform(), IMAGE_CHUNK_DEFAULT, levels[i]);
        assert_int_equal(chunk_encode(other, plain, IMAGE_CHUNK_DEFAULT, NULL, stored, &alone), 0);
        chunk_codec_destroy(other);
        assert_true(chunk_codec_set_level(codec, levels[i]));
        check_chunk(codec, plain, IMAGE_CHUNK_DEFAULT / 2, stored, back);
        assert_int_equal(chunk_encode(codec, plain, IMAGE_CHUNK_DEFAULT, NULL, stored, &chunk), 0);
        assert_memory_equal(chunk.stored_hash, alone.stored_hash, IMAGE_HASH_SIZE);
    }
    chunk_codec_destroy(codec);
    free(plain);
    free(back);
    free(stored);
}

static void test_kinds(void **state)
{
    uint8_t plain[65536], back[65536], stored[70000], map[2] = {0};
    struct chunk_codec *codec = chunk_codec_create(memory_platform(), 65536, 3);
    struct image_chunk chunk;

    (void)state;
    memset(plain, 0, sizeof plain);
    assert_int_equal(chunk_encode(codec, plain, sizeof plain, NULL, stored, &chunk), 0);
    assert_int_equal(chunk.kind, IMAGE_ZERO);
    fill(plain, sizeof plain, 200);
    assert_int_equal(chunk_encode(codec, plain, sizeof plain, map, stored, &chunk), 0);
    assert_int_equal(chunk.kind, IMAGE_UNUSED);

    fill(plain, sizeof plain, 200);
    memset(map, 0xFF, sizeof map);
    assert_int_equal(chunk_encode(codec, plain, sizeof plain, map, stored, &chunk), 0);
    assert_int_equal(chunk.kind, IMAGE_DATA);
    map[0] = 0x02; /* the second piece alone */
    map[1] = 0;
    assert_int_equal(chunk_encode(codec, plain, sizeof plain, map, stored, &chunk), 0);
    assert_int_equal(chunk.kind, IMAGE_PARTIAL);
    assert_true(memory_is_zero(plain, IMAGE_PIECE));
    assert_false(memory_is_zero(plain, IMAGE_PIECE + 1 + 64));
    assert_true(memory_is_zero(plain + 2 * IMAGE_PIECE, sizeof plain - 2 * IMAGE_PIECE));
    assert_int_equal(chunk_decode(codec, &chunk, back), 0);
    map[0] = 0x04; /* a map that calls the used piece unused */
    assert_int_equal(chunk_decode(codec, &chunk, back), -ERROR_CORRUPT);
    chunk_codec_destroy(codec);
}

/* Hashes are right each time; the form of the frame alone is wrong. */
static void test_wrong_frames(void **state)
{
    uint8_t plain[65536], back[65536], stored[140000], frame[70000];
    struct chunk_codec *codec = chunk_codec_create(memory_platform(), 65536, 3);
    struct image_chunk chunk, bad;
    ZSTD_CCtx *context = ZSTD_createCCtx();

    (void)state;
    fill(plain, sizeof plain, 60);
    assert_int_equal(chunk_encode(codec, plain, sizeof plain, NULL, frame, &chunk), 0);
    bad = chunk;
    bad.stored = stored;

    /* two halves, each a frame of its own */
    size_t first = ZSTD_compress(stored, sizeof stored, plain, 32768, 3);
    bad.stored_size = first + ZSTD_compress(stored + first, sizeof stored - first, plain + 32768, 32768, 3);
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    /* a skippable frame before or behind */
    memcpy(stored, "\x50\x2A\x4D\x18\0\0\0\0", 8);
    memcpy(stored + 8, frame, chunk.stored_size);
    bad.stored_size = chunk.stored_size + 8;
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    memcpy(stored, frame, chunk.stored_size);
    memcpy(stored + chunk.stored_size, "\x50\x2A\x4D\x18\0\0\0\0", 8);
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    /* no checksum, no content size */
    bad.stored_size = ZSTD_compress(stored, sizeof stored, plain, sizeof plain, 3);
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    bad.stored_size = ZSTD_compress2(context, stored, sizeof stored, plain, sizeof plain);
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    /* other lengths, other hashes */
    bad = chunk;
    bad.length = 65535;
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    bad = chunk;
    bad.stored_size--;
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    bad = chunk;
    bad.hash[31] ^= 1;
    assert_int_equal(chunk_decode(codec, &bad, back), -ERROR_CORRUPT);
    bad = chunk;
    bad.stored_hash[0] ^= 1;
    assert_int_equal(chunk_check_stored(&bad), -ERROR_CORRUPT);
    assert_int_equal(chunk_decode(codec, &chunk, back), 0);
    ZSTD_freeCCtx(context);
    chunk_codec_destroy(codec);
}

/* What stock zstd makes of the frames of a run. */
static void test_zero_frames(void **state)
{
    static const uint64_t lengths[] = {1,        7,        31,         32,     33,     512,          4096,
                                       65535,    65536,    131071,     131072, 131073, 262144 + 512, 5000000,
                                       67108352, 67108864, 131072 + 31};
    struct zero_frames *zero = malloc(sizeof *zero);
    uint8_t *back = malloc(ZERO_FRAME_PLAIN);

    (void)state;
    zero_frames_init(zero);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint64_t length = lengths[i];
        const uint8_t *frame = zero_frame(zero, length);
        memset(back, 1, 4096);
        assert_int_equal(ZSTD_findFrameCompressedSize(frame, zero_frame_size(length)), zero_frame_size(length));
        assert_int_equal(ZSTD_getFrameContentSize(frame, zero_frame_size(length)), length);
        assert_int_equal(ZSTD_decompress(back, ZERO_FRAME_PLAIN, frame, zero_frame_size(length)), length);
        assert_true(memory_is_zero(back, length));
    }
    free(back);
    free(zero);
}

static void test_zero_runs(void **state)
{
    struct zero_frames *zero = malloc(sizeof *zero);
    uint64_t length = 3 * ZERO_FRAME_PLAIN + 777 * 512;
    uint8_t *run = malloc(zero_run_size(length));
    size_t size = 0;

    (void)state;
    zero_frames_init(zero);
    for (uint64_t left = length; left;) {
        uint64_t part = left < ZERO_FRAME_PLAIN ? left : ZERO_FRAME_PLAIN;
        memcpy(run + size, zero_frame(zero, part), zero_frame_size(part));
        size += zero_frame_size(part);
        left -= part;
    }
    assert_int_equal(size, zero_run_size(length));
    for (size_t at = 0; at < size; at += 501) /* in any pieces */
        assert_true(zero_run_matches(zero, length, at, run + at, size - at < 501 ? size - at : 501));
    for (size_t at = 0; at < size; at += 97) {
        run[at] ^= 0x10;
        assert_false(zero_run_matches(zero, length, 0, run, size));
        run[at] ^= 0x10;
    }
    assert_int_equal(zero_run_size(1ULL << 40), 16384ULL * 2062); /* 34 MB for an empty TiB */
    free(run);
    free(zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_and_sizes),
        cmocka_unit_test(test_changing_levels),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_wrong_frames),
        cmocka_unit_test(test_zero_frames),
        cmocka_unit_test(test_zero_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
