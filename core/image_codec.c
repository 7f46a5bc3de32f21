/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunks: plain bytes to one zstd frame with hashes, and back. Pure computation; all memory is there from the start.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <string.h>
#include <zstd.h>

#include "core/image_internal.h"

/* Frame header, RFC 8878, section 3.1.1.1. */
#define ZSTD_FRAME_MAGIC 0xFD2FB528u
#define DESCRIPTOR_SIZE_SHIFT 6
#define DESCRIPTOR_SINGLE 0x20u
#define DESCRIPTOR_UNUSED 0x18u /* unused and reserved bits: zero in our frames */
#define DESCRIPTOR_CHECKSUM 0x04u
#define DESCRIPTOR_DICTIONARY 0x03u
#define FRAME_HEADER_BEFORE_SIZE 5

struct chunk_codec {
    struct platform *platform;
    uint32_t chunk_size;
    int level, level_max; /* in use now; that there is memory for */
    ZSTD_CCtx *compress;  /* NULL: decode only */
    ZSTD_DCtx *decompress;
};

static bool chunk_size_valid(uint32_t chunk_size)
{
    return chunk_size >= IMAGE_CHUNK_MIN && chunk_size <= IMAGE_CHUNK_MAX && !(chunk_size & (chunk_size - 1));
}

/* The level's parameters, with a window that holds a whole chunk: only then are frames single-segment. */
static ZSTD_compressionParameters codec_parameters(uint32_t chunk_size, int level)
{
    ZSTD_compressionParameters parameters = ZSTD_getCParams(level, chunk_size, 0);

    parameters.windowLog = (unsigned)__builtin_ctz(chunk_size);
    return parameters;
}

static int codec_level(int level)
{
    return level > ZSTD_maxCLevel() ? ZSTD_maxCLevel() : level;
}

static size_t compress_memory(uint32_t chunk_size, int level)
{
    size_t most = ZSTD_estimateCCtxSize_usingCParams(codec_parameters(chunk_size, level));

    while (--level >= 1) {
        size_t size = ZSTD_estimateCCtxSize_usingCParams(codec_parameters(chunk_size, level));
        if (size > most)
            most = size;
    }
    return most;
}

size_t chunk_codec_memory(uint32_t chunk_size, int level)
{
    size_t size = sizeof(struct chunk_codec) + ZSTD_estimateDCtxSize();

    if (level)
        size += compress_memory(chunk_size, codec_level(level));
    return size;
}

static bool set_parameters(ZSTD_CCtx *context, ZSTD_compressionParameters parameters)
{
    const struct {
        ZSTD_cParameter parameter;
        int value;
    } settings[] = {
        {ZSTD_c_windowLog, (int)parameters.windowLog},
        {ZSTD_c_hashLog, (int)parameters.hashLog},
        {ZSTD_c_chainLog, (int)parameters.chainLog},
        {ZSTD_c_searchLog, (int)parameters.searchLog},
        {ZSTD_c_minMatch, (int)parameters.minMatch},
        {ZSTD_c_targetLength, (int)parameters.targetLength},
        {ZSTD_c_strategy, (int)parameters.strategy},
        {ZSTD_c_contentSizeFlag, 1},
        {ZSTD_c_checksumFlag, 1},
        {ZSTD_c_dictIDFlag, 0},
    };

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (ZSTD_isError(ZSTD_CCtx_setParameter(context, settings[i].parameter, settings[i].value)))
            return false;
    return true;
}

struct chunk_codec *chunk_codec_create(struct platform *platform, uint32_t chunk_size, int level)
{
    if (!chunk_size_valid(chunk_size))
        return NULL;
    level = codec_level(level);
    size_t decompress_size = ZSTD_estimateDCtxSize();
    size_t compress_size = chunk_codec_memory(chunk_size, level) - decompress_size - sizeof(struct chunk_codec);
    size_t front = (sizeof(struct chunk_codec) + 63) & ~(size_t)63;
    size_t middle = (decompress_size + 63) & ~(size_t)63;
    struct chunk_codec *codec = platform_allocate(platform, front + middle + compress_size);

    if (!codec)
        return NULL;
    *codec = (struct chunk_codec){.platform = platform, .chunk_size = chunk_size, .level = level, .level_max = level};
    codec->decompress = ZSTD_initStaticDCtx((uint8_t *)codec + front, decompress_size);
    if (level)
        codec->compress = ZSTD_initStaticCCtx((uint8_t *)codec + front + middle, compress_size);
    if (!codec->decompress ||
        (level && (!codec->compress || !set_parameters(codec->compress, codec_parameters(chunk_size, level))))) {
        platform_release(platform, codec);
        return NULL;
    }
    return codec;
}

bool chunk_codec_set_level(struct chunk_codec *codec, int level)
{
    if (level == codec->level)
        return true;
    if (!codec->compress || level < 1 || level > codec->level_max ||
        !set_parameters(codec->compress, codec_parameters(codec->chunk_size, level)))
        return false;
    codec->level = level;
    return true;
}

void chunk_codec_destroy(struct chunk_codec *codec)
{
    if (codec)
        platform_release(codec->platform, codec);
}

size_t chunk_stored_bound(uint32_t chunk_size)
{
    return ZSTD_compressBound(chunk_size);
}

size_t stored_size_bound(uint64_t length)
{
    return ZSTD_compressBound((size_t)length);
}

void image_hash(const void *data, size_t size, uint8_t hash[IMAGE_HASH_SIZE])
{
    blake3_hasher hasher;

    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, data, size);
    blake3_hasher_finalize(&hasher, hash, IMAGE_HASH_SIZE);
}

bool memory_is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    /* Most blocks that are not zero show it early; the rest goes at the speed of memory. */
    for (; size >= 64; bytes += 64, size -= 64) {
        uint64_t words[8];
        memcpy(words, bytes, sizeof words);
        if (words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7])
            return false;
    }
    for (; size; bytes++, size--)
        if (*bytes)
            return false;
    return true;
}

static bool map_bit(const uint8_t *map, size_t piece)
{
    return map[piece / 8] >> (piece % 8) & 1;
}

/* Zeroes the unused pieces; returns how many pieces are in use. */
static size_t clear_unused(uint8_t *plain, size_t length, const uint8_t *map)
{
    size_t used = 0;

    for (size_t piece = 0; piece * IMAGE_PIECE < length; piece++) {
        size_t start = piece * IMAGE_PIECE;
        size_t size = length - start < IMAGE_PIECE ? length - start : IMAGE_PIECE;

        if (map_bit(map, piece))
            used++;
        else
            memset(plain + start, 0, size);
    }
    return used;
}

static bool unused_is_zero(const uint8_t *plain, size_t length, const uint8_t *map)
{
    for (size_t piece = 0; piece * IMAGE_PIECE < length; piece++) {
        size_t start = piece * IMAGE_PIECE;
        size_t size = length - start < IMAGE_PIECE ? length - start : IMAGE_PIECE;

        if (!map_bit(map, piece) && !memory_is_zero(plain + start, size))
            return false;
    }
    return true;
}

int chunk_encode(struct chunk_codec *codec, uint8_t *plain, size_t length, const uint8_t *map, uint8_t *stored,
                 struct image_chunk *chunk)
{
    if (!codec->compress || !length || length > codec->chunk_size)
        return -ERROR_OUT_OF_RANGE;
    *chunk = (struct image_chunk){.kind = IMAGE_DATA, .length = length};
    if (map) {
        size_t used = clear_unused(plain, length, map);
        if (!used) {
            chunk->kind = IMAGE_UNUSED;
            return 0;
        }
        if (used < (length + IMAGE_PIECE - 1) / IMAGE_PIECE) {
            chunk->kind = IMAGE_PARTIAL;
            chunk->map = map;
        }
    }
    if (memory_is_zero(plain, length)) {
        chunk->kind = IMAGE_ZERO;
        chunk->map = NULL;
        return 0;
    }
    size_t size = ZSTD_compress2(codec->compress, stored, ZSTD_compressBound(length), plain, length);
    if (ZSTD_isError(size))
        return -ERROR_NO_MEMORY;
    image_hash(plain, length, chunk->hash);
    image_hash(stored, size, chunk->stored_hash);
    chunk->stored = stored;
    chunk->stored_size = size;
    return 0;
}

/*
 * The stored form is one frame of the kind that we write: current magic, single segment, checksum, no dictionary, content size equal
 * to the chunk's length, and nothing behind it. The library alone would also take several frames, or skippable ones.
 */
static bool frame_is_ours(const uint8_t *stored, size_t stored_size, uint64_t length)
{
    static const unsigned size_bytes[4] = {1, 2, 4, 8};

    if (stored_size < FRAME_HEADER_BEFORE_SIZE || load_le32(stored) != ZSTD_FRAME_MAGIC)
        return false;
    unsigned descriptor = stored[4];
    if ((descriptor & (DESCRIPTOR_SINGLE | DESCRIPTOR_CHECKSUM)) != (DESCRIPTOR_SINGLE | DESCRIPTOR_CHECKSUM) ||
        (descriptor & (DESCRIPTOR_UNUSED | DESCRIPTOR_DICTIONARY)))
        return false;
    unsigned bytes = size_bytes[descriptor >> DESCRIPTOR_SIZE_SHIFT];
    if (stored_size < FRAME_HEADER_BEFORE_SIZE + bytes)
        return false;
    uint64_t content = 0;
    for (unsigned i = 0; i < bytes; i++)
        content |= (uint64_t)stored[FRAME_HEADER_BEFORE_SIZE + i] << (8 * i);
    if (bytes == 2)
        content += 256;
    return content == length && ZSTD_findFrameCompressedSize(stored, stored_size) == stored_size;
}

int chunk_decode(struct chunk_codec *codec, const struct image_chunk *chunk, uint8_t *plain)
{
    uint8_t hash[IMAGE_HASH_SIZE];

    if (!chunk_has_data(chunk)) {
        memset(plain, 0, (size_t)chunk->length);
        return 0;
    }
    if (!chunk->length || chunk->length > codec->chunk_size || !chunk->stored ||
        chunk->stored_size > ZSTD_compressBound((size_t)chunk->length) ||
        !frame_is_ours(chunk->stored, chunk->stored_size, chunk->length))
        return -ERROR_CORRUPT;
    size_t length = (size_t)chunk->length;
    if (ZSTD_decompressDCtx(codec->decompress, plain, length, chunk->stored, chunk->stored_size) != length)
        return -ERROR_CORRUPT;
    image_hash(plain, length, hash);
    if (memcmp(hash, chunk->hash, sizeof hash))
        return -ERROR_CORRUPT;
    /* Else a restore that leaves unused pieces alone and zstd -dc would make different disks. */
    if (chunk->kind == IMAGE_PARTIAL && (!chunk->map || !unused_is_zero(plain, length, chunk->map)))
        return -ERROR_CORRUPT;
    return 0;
}

int chunk_check_stored(const struct image_chunk *chunk)
{
    uint8_t hash[IMAGE_HASH_SIZE];

    if (!chunk_has_data(chunk))
        return 0;
    image_hash(chunk->stored, chunk->stored_size, hash);
    return memcmp(hash, chunk->stored_hash, sizeof hash) ? -ERROR_CORRUPT : 0;
}
