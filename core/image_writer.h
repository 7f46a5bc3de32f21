/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two halves of the writer: image_writer.c fills segments, image_output.c sends them away and ends the image.
 *
 * One segment is being filled while another is on its way to the stream. Both take their memory from one pool of pieces, which come
 * back as they are written; so the pool is little more than one segment. What else grows is the segment table alone.
 */
#ifndef CORE_IMAGE_WRITER_H
#define CORE_IMAGE_WRITER_H

#include "core/image_internal.h"

#define PIECE_SIZE (1024u * 1024)
#define PIECES_AHEAD 16u /* policy: beyond a whole segment, to keep the workers busy while it is written */
#define SEGMENT_ENTRIES_LIMIT                                                                                          \
    4096u /* policy; of small volumes SEGMENT_ENTRIES_SMALL, so that their indexes stay small */
#define SEGMENT_ENTRIES_SMALL 256u
#define SMALL_VOLUME (16ULL * 1024 * 1024)
#define SEGMENT_MAPS(entries) (SEGMENT_PLAIN_MAX / IMAGE_PIECE / 8 + (entries))
#define INDEX_ROOM(entries) (INDEX_ENTRIES + (entries)*ENTRY_SIZE + SEGMENT_MAPS(entries) + FRAME_HASH_SIZE)

struct piece {
    struct stream_request request;
    struct image_writer *writer;
    struct piece *next;
    size_t used;
    uint8_t data[PIECE_SIZE];
};

struct segment {
    struct image_index *index; /* with room for all entries; its fields are those of the segment */
    uint8_t *maps;
    struct piece *first, *last;
    uint64_t data_plain;
    struct stream_request request; /* of the index */
};

struct row_page {
    struct row_page *next;
    unsigned count;
    uint8_t frame[TABLE_SIZE(TABLE_ROWS_MAX)]; /* rows stand where the page's frame will have them */
};

struct image_writer {
    struct loop *loop;
    struct stream_store *store;
    struct stream *stream; /* of the volume being written */
    struct image_description description;
    uint8_t *head; /* the header, as it was last written */
    size_t head_size;
    int status; /* of the first failure; with its error */
    struct error error;

    /* Filling. */
    struct segment segments[2], *filling;
    uint64_t disk_offset; /* of what comes next */
    unsigned region;
    bool cut_wanted; /* the region is complete */
    enum image_chunk_kind run_kind;
    bool run_open;          /* the last entry is a run that can still grow */
    uint64_t run_emitted;   /* bytes of the open entry whose frames are in the segment */
    uint64_t run_pending;   /* bytes of the run without frames yet */
    uint64_t segment_limit; /* stored bytes */
    unsigned entries_limit;
    size_t chunk_bound;
    struct zero_frames zero;

    /* Pieces. */
    struct piece *free_pieces;
    unsigned pieces, pieces_free, pieces_max;

    /* Sending. */
    struct segment *sending; /* NULL: none */
    bool index_sent, flush_sent;
    struct stream_request flush;
    unsigned in_flight;
    bool paused;
    unsigned events; /* counts completions, so that waiting code sees that something moved */

    /* The image so far. */
    struct image_chain chain;
    struct image_tally tally;
    struct seek_store seek;
    struct row_page *first_rows, *last_rows;
    uint64_t image_offset, volume_bytes, volume_limit;
    unsigned volume;       /* number; 0: unsplit */
    unsigned begun_volume; /* number of one that is there without a whole header; 0: none */
    bool finished;
};

/* image_output.c. All but output_pump() may wait. */
int writer_fail(struct image_writer *writer, enum error_code code, const char *detail);
int output_start(struct image_writer *writer, uint64_t split);
/* Opens the volume at hand behind what is kept of it and begins a session. */
int output_continue(struct image_writer *writer, uint64_t split);
/* The next link that is counted will stand in the table. */
int output_reserve_row(struct image_writer *writer);
/* Seals the filled segment's index and begins to send it; no other is on its way. The caller gets the other one to fill. */
void output_segment(struct image_writer *writer);
/* Hands on what the stream will take now. */
void output_pump(struct image_writer *writer);
/* Waits until nothing is on its way. */
void output_drain(struct image_writer *writer);
int output_end(struct image_writer *writer);

#endif
