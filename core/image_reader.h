/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sequential reader: image_reader.c reads ahead and yields chunks, image_stream.c follows the chain through a pipe, and
 * image_salvage.c finds the way after damage.
 *
 * A producer walks from link to link and asks for batches of stored bytes, from completion callbacks too, so it never waits. Where it
 * cannot go on without waiting (another volume, a header, the end, damage) it parks, and image_reader_next() takes over once all
 * batches before that point have been yielded.
 */
#ifndef CORE_IMAGE_READER_H
#define CORE_IMAGE_READER_H

#include "core/image_internal.h"

#define BATCH_SIZE (4u * 1024 * 1024)
#define BATCHES_MAX 8u /* policy: 32 MiB ahead */

struct batch {
    struct source_read read;
    struct image_reader *reader;
    struct batch *next;
    struct image_index *index; /* held */
    uint64_t offset;           /* image offset of the first byte */
    size_t size, at;           /* bytes asked for; bytes yielded */
    unsigned holds;            /* the queue's, and one for each chunk given out */
    size_t capacity;
    uint8_t data[];
};

enum producer_phase {
    PRODUCER_LINK,    /* the next link is to be read */
    PRODUCER_FRONT,   /* reading its first bytes (no table) */
    PRODUCER_INDEX,   /* reading an index */
    PRODUCER_BATCHES, /* asking for the stored bytes */
    PRODUCER_PARKED
};

struct image_reader {
    struct loop *loop;
    enum image_reader_mode mode;
    struct image_file file;
    struct error error; /* of the failure that ended it */
    int status;         /* of the producer; what was read before it is still yielded */
    int final;          /* of the consumer: nothing more will come */

    /* Producer. */
    enum producer_phase phase;
    uint64_t row;         /* with a table: the next link's */
    uint64_t link_offset; /* of the next link */
    struct image_index *index;
    struct index_walk walk;
    uint64_t run_left;     /* stored bytes of the run at hand that no batch covers yet */
    uint64_t batch_offset; /* image offset of the next batch */
    bool paused;
    struct source_read link_read;
    bool link_reading;
    uint8_t front[FRAME_SIZE_MIN];

    /* Batches. */
    struct batch *first, **last; /* in order */
    struct batch *free_batches;
    unsigned batches;

    /* Consumer. */
    struct image_index *yielding; /* held */
    struct index_walk yield_walk;
    uint64_t run_at;      /* stored bytes of the run compared so far */
    uint64_t disk_offset; /* up to where everything has been yielded */
    uint64_t lost_until;  /* salvage: a run of unreadable bytes up to here comes first */
    uint64_t skip_until;  /* without a table: what lies before is read, but not yielded */
    bool salvage_ended;
    struct zero_frames zero;

    /* Without a table. */
    struct image_chain chain;
    struct image_tally tally;
    uint64_t index_disk_offset; /* where the next segment has to begin */
    struct image_totals totals;
    bool totals_known;
};

/* Ends the reader with what is in reader->error. */
int reader_fail(struct image_reader *reader, int status);
/* Counts a segment whose index has been checked and begins to ask for its batches. Takes the index over. */
void reader_begin_segment(struct image_reader *reader, struct image_index *index);

/*
 * image_stream.c, image_salvage.c: at link_offset stands no index. 0: the producer can go on (or lost_until has been set);
 * -ERROR_END, or a failure.
 */
int reader_follow_link(struct image_reader *reader);
int reader_salvage(struct image_reader *reader);

#endif
