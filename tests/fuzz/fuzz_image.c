/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images, read in every mode. When the strictest one accepts an image, all of them, the image as a disk and stock zstd must yield the
 * same bytes. Input: flags (below), seldom-used byte, two reserved bytes, then the image.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "core/image_internal.h"
#include "tests/support/memory_store.h"

#define INPUT_HEADER 4
#define REPAIR_FRAMES 1u /* links and hashes of our frames */
#define REPAIR_CHUNKS 2u /* hashes in the entries of indexes */
#define REPAIR_TABLE 4u  /* what table and trailer say about the frames */
#define SPLIT 8u         /* a volume ends where the next one's leading frame stands */

#define DISK_MAX (4u * 1024 * 1024) /* bytes; larger disks are read, not compared */
#define IMAGE_MAX (1024u * 1024)
#define MEMORY_MAX (128u * 1024 * 1024) /* bytes: 32 MiB ahead, two segments' frames, the codec */
#define STEPS_MAX 2000000

/* --- repair: docs/image-format.md, sections 3 to 8 --- */

struct repair {
    uint8_t *bytes;
    size_t size;
    unsigned flags;
    struct image_chain chain;
    uint8_t head_hash[IMAGE_HASH_SIZE], last_link[IMAGE_HASH_SIZE];
    uint8_t links[256][IMAGE_HASH_SIZE];
    unsigned link_count;
    blake3_hasher table;
};

/* The hash of what a chunk's frame decodes to, if it does. */
static void repair_entry(uint8_t *entry, const uint8_t *stored)
{
    static uint8_t plain[DISK_MAX];
    uint32_t stored_size = load_le32(entry + ENTRY_AT_STORED);
    size_t size = ZSTD_decompress(plain, sizeof plain, stored, stored_size);

    image_hash(stored, stored_size, entry + ENTRY_AT_STORED_HASH);
    if (!ZSTD_isError(size))
        image_hash(plain, size, entry + ENTRY_AT_HASH);
}

static void repair_index(struct repair *repair, uint8_t *frame, size_t size)
{
    uint32_t entries = load_le32(frame + INDEX_AT_ENTRIES);
    const uint8_t *stored = frame + size, *end = repair->bytes + repair->size;

    for (uint32_t i = 0; i < entries && INDEX_ENTRIES + (size_t)(i + 1) * ENTRY_SIZE <= size - FRAME_HASH_SIZE; i++) {
        uint8_t *entry = frame + INDEX_ENTRIES + (size_t)i * ENTRY_SIZE;
        uint32_t stored_size = load_le32(entry + ENTRY_AT_STORED);

        if (entry[ENTRY_AT_KIND] != ENTRY_DATA && entry[ENTRY_AT_KIND] != ENTRY_PARTIAL) {
            uint64_t length = load_le64(entry + ENTRY_AT_LENGTH);
            uint64_t run = length && length <= DISK_MAX ? zero_run_size(length) : 0;
            if (run > (uint64_t)(end - stored))
                return;
            stored += run;
            continue;
        }
        if (stored_size > (size_t)(end - stored))
            return;
        repair_entry(entry, stored);
        stored += stored_size;
    }
}

static void repair_table(struct repair *repair, uint8_t *frame, size_t size)
{
    uint64_t first = load_le64(frame + TABLE_AT_FIRST_ROW);
    uint32_t rows = load_le32(frame + TABLE_AT_ROWS);

    for (uint32_t i = 0; i < rows && TABLE_SIZE(i + 1) <= size; i++) {
        uint8_t *row = frame + TABLE_ROWS + (size_t)i * ROW_SIZE;

        if (first < repair->link_count && i < repair->link_count - first)
            memcpy(row + ROW_AT_HASH, repair->links[first + i], IMAGE_HASH_SIZE);
        blake3_hasher_update(&repair->table, row, ROW_SIZE);
    }
}

static void repair_trailer(struct repair *repair, uint8_t *frame)
{
    static const uint8_t domain[8] = "EIDROOT";
    blake3_hasher hasher;

    memcpy(frame + TRAILER_AT_LAST_LINK, repair->last_link, IMAGE_HASH_SIZE);
    memcpy(frame + TRAILER_AT_HEAD_HASH, repair->head_hash, IMAGE_HASH_SIZE);
    blake3_hasher_finalize(&repair->table, frame + TRAILER_AT_TABLE_HASH, IMAGE_HASH_SIZE);
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, domain, sizeof domain);
    blake3_hasher_update(&hasher, frame + TRAILER_AT_LAST_LINK, TRAILER_AT_ROOT - TRAILER_AT_LAST_LINK);
    blake3_hasher_finalize(&hasher, frame + TRAILER_AT_ROOT, IMAGE_HASH_SIZE);
}

static void seal(struct repair *repair, uint8_t *frame, size_t size)
{
    store_le32(frame + FRAME_AT_SEQUENCE, repair->chain.sequence);
    memcpy(frame + FRAME_AT_PREVIOUS, repair->chain.last, FRAME_HASH_SIZE);
    frame_seal(frame, size, &repair->chain);
}

static void repair_frame(struct repair *repair, uint8_t *frame, size_t size)
{
    bool head = frame_has_tag(frame, TAG_HEAD), index = frame_has_tag(frame, TAG_INDEX);

    if (index && (repair->flags & REPAIR_CHUNKS) && size >= INDEX_ENTRIES + FRAME_HASH_SIZE)
        repair_index(repair, frame, size);
    if (frame_has_tag(frame, TAG_TABLE) && (repair->flags & REPAIR_TABLE) && size >= TABLE_SIZE(0))
        repair_table(repair, frame, size);
    if (frame_has_tag(frame, TAG_TRAILER) && (repair->flags & REPAIR_TABLE) && size >= TRAILER_SIZE)
        repair_trailer(repair, frame);
    seal(repair, frame, size);
    if (head && repair->chain.sequence == 1) {
        memcpy(repair->head_hash, repair->chain.last, IMAGE_HASH_SIZE);
    } else if ((head || index) && repair->link_count < 256) {
        memcpy(repair->links[repair->link_count++], repair->chain.last, IMAGE_HASH_SIZE);
        memcpy(repair->last_link, repair->chain.last, IMAGE_HASH_SIZE);
    }
}

/* Wherever something begins like a frame of ours, it gets the hashes that it needs. */
static void repair_image(uint8_t *bytes, size_t size, unsigned flags)
{
    struct repair repair = {.bytes = bytes, .size = size, .flags = flags};

    if (!(flags & REPAIR_FRAMES))
        return;
    blake3_hasher_init(&repair.table);
    for (size_t at = 0; at + FRAME_SIZE_MIN <= size; at++) {
        uint64_t claimed = frame_claimed_size(bytes + at);

        if (claimed < FRAME_SIZE_MIN || claimed > size - at)
            continue;
        repair_frame(&repair, bytes + at, (size_t)claimed);
        at += (size_t)claimed - 1;
    }
}

/* --- reading --- */

struct image_case {
    struct loop loop;
    struct memory_store store;
    uint8_t *image;
    size_t size;
    bool split;
    uint64_t disk_bytes; /* of the image that was accepted */
    uint8_t *accepted;   /* its disk; NULL: none was, or it is too large to compare */
};

/* Splits are found by the leading frame that every volume begins with. */
static void fill_store(struct image_case *trial, bool pipe)
{
    size_t begin = 0;
    unsigned number = trial->split;

    memory_store_free(&trial->store);
    memory_store_init(&trial->store, &trial->loop);
    trial->store.pipe = pipe;
    trial->store.delay = 1;
    for (size_t at = 1; trial->split && at + LEAD_SIZE <= trial->size && number < 20; at++) {
        if (memcmp(trial->image + at, lead_frame, LEAD_SIZE) != 0)
            continue;
        memory_store_set(&trial->store, number++, trial->image + begin, at - begin);
        begin = at;
    }
    memory_store_set(&trial->store, number, trial->image + begin, trial->size - begin);
}

static void check_description(const struct image_description *description)
{
    uint64_t at = 0;

    fuzz_require(description->disk_bytes > 0 && description->disk_bytes <= IMAGE_DISK_BYTES_MAX);
    fuzz_require(description->chunk_size >= IMAGE_CHUNK_MIN && description->chunk_size <= IMAGE_CHUNK_MAX);
    fuzz_require(fuzz_text_valid(description->program, sizeof description->program));
    fuzz_require(fuzz_text_valid(description->model, sizeof description->model));
    fuzz_require(fuzz_text_valid(description->serial, sizeof description->serial));
    fuzz_require(fuzz_text_valid(description->bus, sizeof description->bus));
    for (unsigned i = 0; i < description->region_count; i++) {
        const struct image_region *region = &description->regions[i];

        fuzz_require(region->offset == at && region->bytes > 0);
        fuzz_require(fuzz_text_valid(region->fs_type, sizeof region->fs_type));
        fuzz_require(fuzz_text_valid(region->fs_label, sizeof region->fs_label));
        fuzz_require(fuzz_text_valid(region->fs_uuid, sizeof region->fs_uuid));
        at += region->bytes;
    }
    fuzz_require(at == description->disk_bytes);
}

struct outcome {
    int status;   /* 0 at a proper end */
    bool damaged; /* a chunk that did not decode, or a run that was lost */
};

/* The next chunk, the loop run until it is there. */
static int next_chunk(struct image_case *trial, struct image_reader *reader, struct image_chunk *chunk,
                      uint64_t *offset, void **hold)
{
    struct error error;

    for (unsigned steps = 0;; steps++) {
        int status = image_reader_next(reader, chunk, offset, hold, &error);
        if (status != -ERROR_FULL)
            return status;
        fuzz_require(steps < STEPS_MAX);
        loop_step(&trial->loop);
    }
}

/* Reads everything; `disk` NULL: nobody wants the bytes. */
static void read_chunks(struct image_case *trial, struct image_reader *reader, enum image_reader_mode mode,
                        uint8_t *disk, struct outcome *outcome)
{
    const struct image_description *description = image_reader_description(reader);
    struct chunk_codec *codec = chunk_codec_create(trial->loop.platform, description->chunk_size, 0);
    uint8_t *plain = malloc(description->chunk_size);
    struct image_chunk chunk;
    uint64_t offset, expected = 0;
    void *hold;
    int status;

    fuzz_require(codec && plain);
    while ((status = next_chunk(trial, reader, &chunk, &offset, &hold)) == 0) {
        fuzz_require(offset == expected && chunk.length > 0 && chunk.length <= description->disk_bytes - offset);
        if (chunk_has_data(&chunk)) {
            fuzz_require(chunk.length <= description->chunk_size);
            bool good = chunk_decode(codec, &chunk, plain) == 0 && chunk_check_stored(&chunk) == 0;
            outcome->damaged |= !good;
            if (good) {
                uint8_t hash[IMAGE_HASH_SIZE];
                image_hash(plain, (size_t)chunk.length, hash);
                fuzz_require(memcmp(hash, chunk.hash, sizeof hash) == 0);
            }
            if (disk && good)
                memcpy(disk + offset, plain, (size_t)chunk.length);
        }
        fuzz_require(!chunk.lost || mode == IMAGE_READ_SALVAGE);
        outcome->damaged |= chunk.lost;
        expected = offset + chunk.length;
        image_reader_release(reader, hold);
    }
    fuzz_require(status != -ERROR_END || expected == description->disk_bytes);
    outcome->status = status == -ERROR_END ? 0 : status;
    free(plain);
    chunk_codec_destroy(codec);
}

static struct outcome read_image(struct image_case *trial, enum image_reader_mode mode, bool pipe)
{
    struct outcome outcome = {0};
    struct image_reader *reader;
    struct error error = {0};
    uint8_t *disk = NULL;

    fill_store(trial, pipe);
    outcome.status = image_reader_open(&trial->loop, &trial->store.store, mode, &reader, &error);
    if (outcome.status) {
        fuzz_require(error.code == (enum error_code) - outcome.status);
        fuzz_require(trial->store.open_streams == 0);
        return outcome;
    }
    uint64_t bytes = image_reader_description(reader)->disk_bytes;
    check_description(image_reader_description(reader));
    if (bytes <= DISK_MAX && !(disk = calloc(1, (size_t)bytes)))
        abort();
    read_chunks(trial, reader, mode, disk, &outcome);
    if (outcome.status == 0 && mode != IMAGE_READ_SALVAGE) {
        struct image_totals totals;
        fuzz_require(image_reader_totals(reader, &totals));
        fuzz_require(totals.disk_bytes == bytes &&
                     totals.data_bytes + totals.zero_bytes + totals.unused_bytes + totals.unreadable_bytes == bytes);
    }
    image_reader_close(reader);
    fuzz_require(trial->store.open_streams == 0);
    bool whole = outcome.status == 0 && !outcome.damaged;
    if (whole && trial->accepted)
        fuzz_require(bytes == trial->disk_bytes && memcmp(disk, trial->accepted, (size_t)bytes) == 0);
    if (whole && mode == IMAGE_READ_VERIFIED && disk) {
        trial->accepted = disk;
        trial->disk_bytes = bytes;
    } else {
        free(disk);
    }
    return outcome;
}

/* Random access, in pieces that fit nothing. */
static void read_as_disk(struct image_case *trial)
{
    struct block_device *device;
    uint8_t piece[8192];

    fill_store(trial, false);
    if (image_block_open(&trial->loop, &trial->store.store, &device, NULL)) {
        fuzz_require(!trial->accepted);
        return;
    }
    uint64_t bytes = block_device_bytes(device), step = sizeof piece - 512;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t offset = bytes > step ? (bytes - 1 - i * step % bytes) / 512 * 512 : 0;
        size_t size = bytes - offset < sizeof piece ? (size_t)(bytes - offset) : sizeof piece;
        int status = block_read_bytes(device, offset, piece, size, NULL);
        if (trial->accepted)
            fuzz_require(status == 0 && memcmp(piece, trial->accepted + offset, size) == 0);
    }
    block_device_stop(device);
    fuzz_require(trial->store.open_streams == 0);
}

/* What `zstd -dc` makes of an image that was accepted. */
static void read_with_zstd(struct image_case *trial)
{
    uint8_t *plain = malloc((size_t)trial->disk_bytes);

    if (!plain)
        abort();
    fuzz_require(ZSTD_decompress(plain, (size_t)trial->disk_bytes, trial->image, trial->size) == trial->disk_bytes);
    fuzz_require(memcmp(plain, trial->accepted, (size_t)trial->disk_bytes) == 0);
    free(plain);
}

void fuzz_image(const uint8_t *data, size_t size)
{
    static struct image_case trial;
    struct outcome verified, other;

    if (size < INPUT_HEADER || size > IMAGE_MAX)
        return;
    trial = (struct image_case){.size = size - INPUT_HEADER, .split = data[0] & SPLIT};
    trial.image = malloc(trial.size + 1);
    if (!trial.image)
        abort();
    memcpy(trial.image, data + INPUT_HEADER, trial.size);
    repair_image(trial.image, trial.size, data[0]);
    loop_init(&trial.loop, fuzz_begin());
    memory_store_init(&trial.store, &trial.loop);

    verified = read_image(&trial, IMAGE_READ_VERIFIED, false);
    bool whole = verified.status == 0 && !verified.damaged;
    fuzz_accepted = whole;
    other = read_image(&trial, IMAGE_READ_STREAM, false);
    fuzz_require(!whole || (other.status == 0 && !other.damaged));
    if (!trial.split) {
        other = read_image(&trial, IMAGE_READ_STREAM, true);
        fuzz_require((other.status == 0 && !other.damaged) == whole);
    }
    other = read_image(&trial, IMAGE_READ_SALVAGE, false);
    fuzz_require(!whole || (other.status == 0 && !other.damaged));
    if (data[1] & 1)
        (void)read_image(&trial, IMAGE_READ_SALVAGE, true);
    read_as_disk(&trial);
    if (trial.accepted)
        read_with_zstd(&trial);

    free(trial.accepted);
    free(trial.image);
    memory_store_free(&trial.store);
    fuzz_end(MEMORY_MAX);
}
