/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The image: writer and reader of the .eid format. docs/image-format.md is the specification.
 *
 * An image is a zstd stream that explains itself: `zstd -dc pc.eid` yields the disk with unused blocks as zeroes. The disk is cut into
 * regions (each partition, each gap between them); a region into chunks on a grid that starts at the region's
 * start; chunks are gathered into segments, each with an index in front. The writer makes one pass and never seeks.
 */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include "core/error.h"
#include "core/partition.h"
#include "core/stream.h"

#define IMAGE_HASH_SIZE 32 /* BLAKE3-256 */
#define IMAGE_PIECE 4096   /* bytes that one bit of a chunk's map stands for */
#define IMAGE_CHUNK_MIN (64u * 1024)
#define IMAGE_CHUNK_DEFAULT (1024u * 1024)
#define IMAGE_CHUNK_MAX (4u * 1024 * 1024)
#define IMAGE_MAP_BYTES(chunk_size) ((chunk_size) / IMAGE_PIECE / 8)
#define IMAGE_MAP_BYTES_MAX IMAGE_MAP_BYTES(IMAGE_CHUNK_MAX)
#define IMAGE_DISK_BYTES_MAX (1ULL << 53)
#define IMAGE_REGIONS_MAX 2100 /* 1,024 partitions, the gaps around them, some spare */

enum image_chunk_kind {
    IMAGE_DATA,      /* every byte counts */
    IMAGE_PARTIAL,   /* data, but only pieces whose map bit is set are in use; the others were zeroed before hashing */
    IMAGE_ZERO,      /* in use, all zero */
    IMAGE_UNUSED,    /* not in use; restores may leave the target as it is */
    IMAGE_UNREADABLE /* could not be read from the source; stored as zeroes */
};

struct image_region {
    unsigned partition;     /* number in the table; 0: table, boot code, gap */
    uint64_t offset, bytes; /* on the disk; regions tile it without holes */
    char fs_type[16], fs_label[64], fs_uuid[40];
    uint64_t used_bytes; /* as planned */
    bool copied_whole;   /* the allocation reader gave up, or there is none */
};

/* What the header says. Owned by whoever made it; texts are UTF-8. */
struct image_description {
    uint8_t uuid[16];
    int64_t created;  /* seconds since 1970 UTC, -1 unknown */
    char program[48]; /* "eidolon <version>" */
    uint64_t disk_bytes;
    uint32_t logical_block, physical_block;
    uint32_t chunk_size;
    int level;         /* zstd level, information only; 0: it followed the speed of the ends */
    bool is_partition; /* one partition captured alone: disk_bytes is its size; regions[0] is it */
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX], bus[16];
    uint64_t planned_used_bytes;
    uint8_t map_hash[IMAGE_HASH_SIZE]; /* of the allocation map the capture was planned with */
    unsigned region_count;
    struct image_region *regions; /* in disk order */
    /* The source's partition table, raw: block 0 on, and the end of the disk (backup GPT). May be NULL. */
    uint8_t *table_head, *table_tail;
    size_t table_head_size, table_tail_size;
    struct platform *platform; /* of the allocations, for image_description_free() */
};
void image_description_free(struct image_description *description);
/* The chunk size for a plan: `wanted` (0: default), doubled while more than 2^23 chunks would be needed, capped. */
uint32_t image_chunk_size(uint64_t used_bytes, uint32_t wanted);

/* A chunk as codec and writer exchange it. */
struct image_chunk {
    enum image_chunk_kind kind;
    uint64_t length;               /* plain bytes; more than one chunk's for runs of ZERO, UNUSED, UNREADABLE */
    uint8_t hash[IMAGE_HASH_SIZE]; /* of the plain bytes; DATA and PARTIAL only */
    const uint8_t *map;            /* PARTIAL: one bit per IMAGE_PIECE, LSB first */
    const uint8_t *stored;         /* DATA and PARTIAL: exactly one zstd frame */
    size_t stored_size;
    uint8_t stored_hash[IMAGE_HASH_SIZE]; /* of the stored bytes; DATA and PARTIAL only; chunk_encode() fills it */
    unsigned
        lost_pieces; /* DATA and PARTIAL: pieces of which the source did not give every block; they are zero there */
    bool lost;       /* reader, SALVAGE: UNREADABLE because the image is damaged here, not because the source was */
};

static inline bool chunk_has_data(const struct image_chunk *chunk)
{
    return chunk->kind == IMAGE_DATA || chunk->kind == IMAGE_PARTIAL;
}

struct image_totals {
    uint64_t disk_bytes, data_bytes, zero_bytes, unused_bytes, unreadable_bytes; /* plain */
    uint64_t lost_bytes; /* in pieces of data that could not be read whole; not known of an image that is only opened */
    uint64_t stored_bytes; /* of the whole image, all volumes */
    uint64_t chunks, segments;
    unsigned volumes;
    uint8_t root[IMAGE_HASH_SIZE];
};

/* --- codec: pure computation, on any worker; no allocation after creation --- */
struct chunk_codec;
size_t chunk_codec_memory(uint32_t chunk_size, int level); /* bytes of one codec, for reports */
/* One per worker. NULL: no memory. level 0: decode only. */
struct chunk_codec *chunk_codec_create(struct platform *platform, uint32_t chunk_size, int level);
/* For the chunks from now on, 1 to the level it was created with. False: not such a level. */
bool chunk_codec_set_level(struct chunk_codec *codec, int level);
void chunk_codec_destroy(struct chunk_codec *codec);
size_t chunk_stored_bound(uint32_t chunk_size);
/*
 * Makes a chunk of plain bytes. `map` NULL: all in use; otherwise unused pieces of `plain` are zeroed in place. Finds all-zero
 * chunks. chunk->stored points into `stored` (chunk_stored_bound() bytes). 0 or a negative error.
 */
int chunk_encode(struct chunk_codec *codec, uint8_t *plain, size_t length, const uint8_t *map, uint8_t *stored,
                 struct image_chunk *chunk);
/* The reverse: exactly chunk->length bytes into `plain`, hash checked. -ERROR_CORRUPT on any deviation from the format. */
int chunk_decode(struct chunk_codec *codec, const struct image_chunk *chunk, uint8_t *plain);
/* Do the stored bytes of a chunk that a reader yielded match their hash? 0 or -ERROR_CORRUPT; nothing is decoded. */
int chunk_check_stored(const struct image_chunk *chunk);
/* Hash of bytes as chunks are hashed. */
void image_hash(const void *data, size_t size, uint8_t hash[IMAGE_HASH_SIZE]);
bool memory_is_zero(const void *data, size_t size);

/* --- writer --- */
struct image_writer;
/* Opens the first volume and queues the header. split: most bytes per volume, 0: the store's own limit. Copies `description`. */
int image_writer_create(struct loop *loop, struct stream_store *store, const struct image_description *description,
                        uint64_t split, struct image_writer **writer, struct error *error);
/* What an image without an end holds. */
struct image_kept {
    uint64_t disk_bytes;   /* from the disk's start on, in whole segments */
    uint64_t stored_bytes; /* of the image, up to there */
    uint64_t unreadable_bytes;
    unsigned volume; /* the last one's number; 0: unsplit */
    bool complete;   /* the image has its end */
};
/*
 * Looks at an image that may go on, from the header along its chain. The description is the caller's to free. -ERROR_NOT_FOUND: there is
 * none; -ERROR_CORRUPT: nothing of it can be gone on with; -ERROR_UNSUPPORTED.
 */
int image_look(struct loop *loop, struct stream_store *store, struct image_description *description,
               struct image_kept *kept, struct error *error);
/*
 * Goes on with an image without an end: cuts it behind its last whole segment that holds nothing of the disk from `limit` on, and begins
 * a further session there. What is left is in *kept: the next image_writer_add() is what follows kept->disk_bytes on the disk. Nothing is
 * changed before all that can be checked was found right. The store must have reopen().
 */
int image_writer_continue(struct loop *loop, struct stream_store *store, uint64_t split, uint64_t limit,
                          struct image_writer **writer, struct image_kept *kept, struct error *error);
/*
 * True when the next image_writer_add() will not have to wait (segment buffers are not both busy with the stream). When false: run
 * the loop.
 */
bool image_writer_ready(struct image_writer *writer);
/*
 * Adds the next chunk or run, in disk order; the writer cuts segments, also at region boundaries. A run of ZERO, UNUSED or
 * UNREADABLE may be of any length within its region; DATA and PARTIAL are one grid chunk (shorter at a region's end).
 * stored bytes are copied before return.
 */
int image_writer_add(struct image_writer *writer, const struct image_chunk *chunk, struct error *error);
/* Last segment, trailer, seek table, flush. Only after this is the image complete. Waits (runs the loop). */
int image_writer_finish(struct image_writer *writer, struct image_totals *totals, struct error *error);
/* Bytes handed to the stream so far, for progress. */
/* true: nothing more is submitted (what is in flight ends) until false, or until image_writer_finish() or _destroy(). */
void image_writer_pause(struct image_writer *writer, bool paused);
uint64_t image_writer_stored(const struct image_writer *writer);
/* Nothing is on its way to the stream: it waits for the segment that fills. */
bool image_writer_idle(const struct image_writer *writer);
/* Bytes of memory in use now: segments under way and the segment table. */
size_t image_writer_memory(const struct image_writer *writer);
/* Frees; without finish the image stays incomplete (whole segments up to here). Drains requests in flight. */
void image_writer_destroy(struct image_writer *writer);

/* --- reader --- */
struct image_reader;
enum image_reader_mode {
    IMAGE_READ_VERIFIED, /* seekable: header, trailer, segment table, root and every index are checked before open returns */
    IMAGE_READ_STREAM, /* a pipe: each index and chunk checked as it comes; completeness known at the end only */
    IMAGE_READ_SALVAGE /* seekable or not: take what is whole; damage is reported as UNREADABLE runs */
};
int image_reader_open(struct loop *loop, struct stream_store *store, enum image_reader_mode mode,
                      struct image_reader **reader, struct error *error);
const struct image_description *image_reader_description(const struct image_reader *reader);
/* Complete totals in VERIFIED mode, and in STREAM mode after the end was reached; false otherwise. */
bool image_reader_totals(const struct image_reader *reader, struct image_totals *totals);
/*
 * Sequential access, in disk order. Yields the next chunk or run and its offset on the disk; 0, or -ERROR_END after the last (the trailer has
 * been verified then; in STREAM mode -ERROR_INCOMPLETE without one). -ERROR_FULL: the bytes are still on their way: run
 * the loop (the reader reads ahead on its own). chunk->stored and chunk->map stay valid until image_reader_release().
 * After a damaged segment in SALVAGE mode, a run of IMAGE_UNREADABLE stands for what was lost.
 */
int image_reader_next(struct image_reader *reader, struct image_chunk *chunk, uint64_t *disk_offset, void **hold,
                      struct error *error);
/* Gives back the hold of a chunk (the segment buffer is reused when its last chunk is released). Any order. */
void image_reader_release(struct image_reader *reader, void *hold);
/* Continues at the region (by index into description->regions). In STREAM and SALVAGE mode forwards only: what lies before is read and dropped. */
int image_reader_seek_region(struct image_reader *reader, unsigned region, struct error *error);
/* true: it reads ahead no further (what is in flight ends) until false. Meanwhile image_reader_next() must not be called. */
void image_reader_pause(struct image_reader *reader, bool paused);
uint64_t image_reader_consumed(const struct image_reader *reader); /* image bytes read, for progress */
size_t image_reader_memory(const struct image_reader *reader);     /* bytes in use now: batches and the segment table */
void image_reader_close(struct image_reader *reader);

/* An image as a read-only disk (random access through the index). Takes the store over. */
int image_block_open(struct loop *loop, struct stream_store *store, struct block_device **device, struct error *error);

#endif
