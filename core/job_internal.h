/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a job share. Not for others.
 *
 *   job.c           run, phases, progress, pause, cancel, messages
 *   job_position.c  how far the job has come on the disk
 *   job_plan.c      plans: what the source holds       job_place.c   where it goes, and whether it may
 *   job_channel.c   requests of one disk               job_table.c   the table inside an image
 *   job_source.c    disk -> slots                      job_image.c   image -> slots
 *   job_target.c    slots -> disk, tables last         job_ledger.c  what was written, read back and compared
 *   job_overlap.c   when that is read back while writing still goes on
 *   job_continue.c  what of it a restore that was cut off has written already
 *   job_session.c   a capture that was cut off goes on: its image gets a further session
 *   job_capture.c, job_restore.c, job_clone.c, job_verify.c: the jobs, made of these
 */
#ifndef CORE_JOB_INTERNAL_H
#define CORE_JOB_INTERNAL_H

#include "core/job.h"
#include "core/job_channel.h"
#include "core/pipeline.h"

enum slot_role {
    ROLE_NONE,  /* nothing is to be done with it */
    ROLE_COPY,  /* on its way from the source to where it goes */
    ROLE_CHECK, /* read back, to be compared */
};

/* What a job keeps beside each pipeline slot. */
struct job_slot {
    enum slot_role role;
    void *hold;                            /* of the reader, while the stored bytes are needed */
    uint64_t source_offset, target_offset; /* bytes */
    uint64_t used_bytes;                   /* of the chunk, for progress */
    uint64_t unreadable_bytes;
    unsigned lost_pieces;  /* for the chunk, once it is encoded */
    uint64_t write_length; /* bytes to write; less than the chunk's where the placement ends */
    unsigned partition;
    bool worked; /* given to the workers by job_ready() */
};

/* What was written and will be read back. */
struct ledger_entry {
    uint64_t source_offset, target_offset, length;
    uint64_t used_bytes;
    uint64_t written;           /* the ledger's when this was added */
    enum image_chunk_kind kind; /* DATA, PARTIAL, ZERO */
    unsigned partition;
    uint8_t hash[IMAGE_HASH_SIZE];
    uint8_t map[]; /* PARTIAL: IMAGE_MAP_BYTES(chunk size) */
};

/* A bounded queue of entries. */
struct ledger {
    struct platform *platform;
    uint8_t *memory;
    size_t stride, capacity, head, count;
    uint64_t added;   /* entries since the job began, in their order; the oldest that is left is added - count */
    uint64_t written; /* bytes of data that entries were added for: how far writing has come */
};

/* Reading back while writing goes on; see job_overlap.c. */
struct overlap {
    bool on;
    bool seeks;        /* a disk that would move its heads between two places */
    uint64_t distance; /* bytes of data written behind an entry before it is read back */
    struct block_request flush;
    bool flushing;
    uint64_t flush_covers, flushed; /* entries added before the flush that is under way, and the last that ended */
    unsigned checking;              /* slots that are being read back or compared */
    uint64_t stretch_left;          /* bytes still to be read back before writing goes on */
    uint64_t waiting_since, waited; /* nanoseconds: since when there is nothing to write; how long it was so before */
};

/* Bytes of the target that are zero (or the marker) while the job runs, and get their contents at its end. */
struct held_range {
    uint64_t offset; /* on the target */
    size_t size;
    uint8_t *data; /* what will stand there */
};

/* See struct job_progress. */
struct job_positions {
    uint64_t base; /* of the device's first byte on the disk */
    uint64_t begin, end, read, written, verified;
};

struct disk_cursor {
    unsigned region;
    uint64_t position; /* on the source */
    size_t extent;     /* first that ends after position */
};

struct job {
    struct loop *loop;
    struct platform *platform;
    struct plan *plan;
    const struct job_options *options;
    struct job_listener *listener;
    struct job_result *result;
    struct block_device *source, *target; /* slices where the request names partitions; NULL: none */
    uint32_t chunk_size;

    struct pipeline *pipeline;
    struct job_slot *slots;
    unsigned slots_used;

    /* Progress */
    enum job_phase phase;
    uint64_t phase_started, next_event, started;
    uint64_t copied_bytes, checked_bytes, total_bytes, stored_bytes;
    uint64_t taken_bytes, processed_bytes; /* of data out of the image; see struct job_progress */
    unsigned partition;
    struct job_positions positions;
    bool begun; /* it has written, or reads what it does not destroy */
    bool paused;
    uint64_t paused_since;

    /* Reading a disk */
    struct job_channel reads;
    struct disk_cursor cursor;
    enum pipeline_work read_work;  /* what a slot is handed on for */
    struct extent_list unreadable; /* on the source */
    struct message unreadable_run; /* being gathered; id MESSAGE_NONE: none */

    /* Reading an image */
    struct image_reader *reader;
    const char *image_name;
    bool image_is_pipe;
    bool damage_goes_on;           /* tell what is lost and go on */
    struct image_chunk next_chunk; /* valid while have_next */
    uint64_t next_offset;
    void *next_hold;
    bool have_next;
    uint64_t image_position; /* where the last chunk that was taken or dropped ends */
    uint64_t image_end;      /* stop at this offset (one region alone); UINT64_MAX: at the image's end */
    struct message damaged_run;

    bool source_ended;

    /* Writing a disk */
    struct job_channel writes;
    struct held_range held[PLAN_PATCHES_MAX + 1]; /* [0] is the target's head */
    unsigned held_count;
    unsigned discarded; /* placements that were discarded or left out */
    bool (*fill)(struct job *job);
    bool window_full;           /* the ledger is full: read back before more is written */
    uint64_t written_until;     /* bytes of the target: nothing before is written again */
    struct extent_list written; /* continued: bytes of the target that need not be written again */

    /* Reading back */
    struct job_channel checks;
    struct ledger ledger;
    struct overlap overlap;
    bool differences_go_on; /* verify: tell and go on */
    struct message difference;
    uint64_t differing_bytes;
    /* Verify: what the disk's own file system says is in use, read when a chunk of the region first differs. */
    struct extent_list disk_used; /* bytes from the region's start */
    unsigned disk_used_region;    /* index plus 1; 0: none */
    unsigned wanted_region;       /* the same; set while a chunk waits for it */

    /* Capture */
    struct image_writer *writer;
    struct image_chunk run; /* of ZERO, UNUSED or UNREADABLE, not yet added; length 0: none */
    uint64_t run_end;       /* source offset */
    uint64_t compared;      /* continued: up to here the source is what the image says; source offset */
};

static inline uint64_t smaller_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline struct job_slot *job_slot(struct pipeline_slot *slot)
{
    return slot->user;
}

/* --- job.c --- */
/* Notes the first failure; the job stops at its next step. */
void job_fail(struct job *job, const struct error *error);
int job_status(const struct job *job);
/* Adds to the result and tells the listener. */
void job_message(struct job *job, enum message_level level, enum message_id id, unsigned partition, const char *text0,
                 const char *text1, uint64_t number0, uint64_t number1);
/*
 * Gathers neighbouring runs of the same kind into one message (number[0] offset, number[1] bytes); a run of 0 bytes sends
 * what was gathered.
 */
void job_run_message(struct job *job, struct message *gathered, enum message_id id, unsigned partition,
                     const char *text0, uint64_t offset, uint64_t bytes);
void job_phase(struct job *job, enum job_phase phase);
/* Runs the loop until step() returns true or the job failed or was cancelled. Returns the job's status. */
int job_loop(struct job *job, bool (*step)(struct job *job));
/* Waits while the job is paused: before work that job_loop() does not do. Returns the job's status. */
int job_rest(struct job *job);
/* Starts workers and chunk buffers. level 0: nothing is compressed. */
int job_open_pipeline(struct job *job, int level);
/* All channels are quiet. */
void job_close_pipeline(struct job *job);
/* The next slot to fill; NULL when all are in use. */
struct pipeline_slot *job_claim(struct job *job);
/* The slot's input is complete: hands it to the workers. */
void job_ready(struct job *job, struct pipeline_slot *slot, enum pipeline_work work);
/* Counts what the workers did with a slot. */
void job_count_work(struct job *job, struct pipeline_slot *slot);
void job_set_map(struct pipeline_slot *slot, const uint8_t *map);
uint64_t job_map_bytes(const struct pipeline_slot *slot); /* in use, by its map */
uint64_t job_piece_bytes(const uint8_t *map, uint64_t length);
/* The region that holds a source offset; NULL: none. */
const struct image_region *job_region_at(const struct plan *plan, uint64_t offset);
/* How much of [source_offset, source_offset + length), which lies in one region, goes to the target, and where to. 0: nothing. */
uint64_t job_place(const struct plan *plan, uint64_t source_offset, uint64_t length, uint64_t *target_offset);

/* --- job_position.c --- */
void job_positions_begin(struct job *job);
/* Looks where the job stands; not from callbacks. A job that failed stays where it was. */
void job_positions_update(struct job *job);
/* The partition that the job's phase begins with. */
unsigned job_first_partition(const struct job *job);

/* --- job_plan.c, job_place.c, job_table.c --- */
int plan_source_disk(struct loop *loop, struct plan *plan, struct error *error);
int plan_source_image(struct loop *loop, struct plan *plan, struct error *error);
/* Placements and patches for plan->request.target.disk, refusals where they are due. */
int plan_target(struct loop *loop, struct plan *plan, struct error *error);
void plan_refuse(struct plan *plan, enum message_id id, const char *text0, const char *text1, uint64_t number0,
                 uint64_t number1);
/* Capture: refuses an image file inside of what is captured, looks at the free space. */
void plan_check_store(struct plan *plan);
/* Capture: an image that is there and has no end goes on. Refuses what cannot, and another disk. */
int plan_continue(struct loop *loop, struct plan *plan, struct error *error);
/* The partition table that the description carries, read as if from the disk. Kind NONE when it carries none. */
int plan_image_table(struct loop *loop, const struct image_description *description, struct partition_table *table,
                     struct error *error);
struct block_device *plan_source_device(const struct plan *plan);
struct block_device *plan_target_device(const struct plan *plan);

/* --- job_source.c --- */
int job_source_open(struct job *job, enum pipeline_work work, struct error *error);
/* Fills slots from the disk; true when anything moved on. */
bool job_source_pump(struct job *job);
/* A slot that was read leaves the job: sends messages about what was unreadable in it. */
void job_source_leave(struct job *job, struct pipeline_slot *slot);
/* Sends what was gathered about unreadable blocks. */
void job_source_close(struct job *job);

/* --- job_image.c --- */
/* The region that the request names; -1: all of them. */
int job_wanted_region(const struct plan *plan);
int job_image_open(struct job *job, struct error *error); /* the plan's; seeks to the region that the request names */
/* Begins anew, where job_image_open() did. Not of a pipe. */
int job_image_rewind(struct job *job, struct error *error);
/* True when job->next_chunk holds the next chunk that is wanted. Sets source_ended at the end. */
bool job_image_peek(struct job *job);
/* Hands the next chunk to a slot, or its hold back. */
void job_image_take(struct job *job, struct pipeline_slot *slot);
/* Takes the next chunk as above for `role`, and has it decoded if it holds data. */
void job_image_decode(struct job *job, struct pipeline_slot *slot, enum slot_role role);
void job_image_drop(struct job *job);
/* The slot does not need its stored bytes any more. */
void job_image_release(struct job *job, struct pipeline_slot *slot);
/* A chunk that cannot be decoded, or a lost run: salvage tells and goes on, otherwise the job fails. */
/* Says what of this data was unreadable when the image was made, if anything was. */
void job_image_holes(struct job *job, uint64_t offset, const struct image_chunk *chunk);
/* So much of the image stands for what was unreadable when it was made. */
void job_image_unreadable(struct job *job, uint64_t offset, uint64_t bytes);
void job_image_damaged(struct job *job, uint64_t offset, uint64_t bytes, int status);
/* Sends what was gathered about damage. */
void job_image_damage_ends(struct job *job);
void job_image_close(struct job *job);
/* Decodes the whole of job->reader, comparing every hash. */
int job_image_check(struct job *job);

/* --- job_target.c --- */
int job_target_open(struct job *job, struct error *error);
/* Destroys what the target was and marks it half restored. Waits. */
int job_target_begin(struct job *job, struct error *error);
/* Fills slots from `fill`, writes and reads back, until the source ends and all matched. */
int job_target_copy(struct job *job, bool (*fill)(struct job *job));
/* Tables and boot sectors, the first block last; all of it read back. Waits. */
int job_target_finish(struct job *job, struct error *error);
void job_target_close(struct job *job);
/* True when a finished target differs there from the source on purpose. */
bool job_overlaps_patch(const struct plan *plan, uint64_t target_offset, uint64_t length);
/* Verify: a decoded chunk as the finished target should hold it, cut to `length`; its hash is made again. */
void job_apply_patches(struct job *job, struct pipeline_slot *slot, uint64_t length);

/* --- job_ledger.c --- */
int job_ledger_open(struct job *job, struct error *error);
bool job_ledger_has_room(const struct job *job);
/* `map` NULL: all of it is compared. kind DATA, PARTIAL or ZERO; UNREADABLE counts as ZERO. */
void job_ledger_add(struct job *job, const struct image_chunk *chunk, const uint8_t *map, const struct job_slot *slot,
                    uint64_t target_offset, uint64_t length);
bool job_ledger_empty(const struct job *job);
/* The entry that is read back next; NULL: none. */
const struct ledger_entry *job_ledger_oldest(const struct job *job);
/* Where on the target the first byte lies that waits in the ledger; UINT64_MAX: none does. */
uint64_t job_ledger_lowest(const struct job *job);
/* Reads entries back into slots, as far as job_overlap_allows(); true when anything moved on. */
bool job_check_pump(struct job *job);
/* A slot that was compared. Releases it, unless it waits (see job_verify_again()). */
void job_check_leave(struct job *job, struct pipeline_slot *slot);
void job_ledger_close(struct job *job);

/* --- job_overlap.c --- */
void job_overlap_begin(struct job *job);
/* From here on all that is in the ledger may be read back: writing has ended and was flushed. */
void job_overlap_end(struct job *job);
/* The time since the last look was none in which the disk waited. */
void job_overlap_rested(struct job *job);
/* May the ledger's oldest entry be read back now? Always, when nothing is being written. */
bool job_overlap_allows(const struct job *job);
/* The next free slot is for reading back: the source must not take it. */
bool job_overlap_wants_slot(const struct job *job);
/* Nothing new is written until a stretch has been read back. */
bool job_overlap_holds_writes(const struct job *job);
/* Flushes, reads back; true when anything moved on. */
bool job_overlap_pump(struct job *job);
/* Waits for a flush that is under way (bounded by the device's deadlines). */
void job_overlap_close(struct job *job);

/* --- job_continue.c --- */
/* Compares the target with the image and notes what need not be written again. After job_target_begin(). Waits. */
int job_find_written(struct job *job, struct error *error);
/* Is the next chunk of the image on the target already? Counts it as copied. */
bool job_is_written(struct job *job);
void job_forget_written(struct job *job);

/* --- job_session.c --- */
/* Compares what the image has with the source, then opens job->writer behind it, and the source is read from there on. Waits. */
int job_continue_image(struct job *job, struct stream_store *store, struct error *error);

/* --- the jobs --- */
/* Restore and clone: begin, copy from what `fill` brings, finish. */
int job_write_target(struct job *job, bool (*fill)(struct job *job), struct error *error);
int job_capture(struct job *job, struct error *error);
int job_restore(struct job *job, struct error *error);
int job_clone(struct job *job, struct error *error);
int job_verify(struct job *job, struct error *error);
/*
 * Verify: a chunk differs; does it still when what the disk's file system does not use is left out? -ERROR_BUSY: the
 * step must end, so that the file system can be read. Otherwise 0 or -ERROR_MISMATCH.
 */
int job_verify_again(struct job *job, struct pipeline_slot *slot);

#endif
