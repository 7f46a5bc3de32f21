/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs: capture, restore, clone, verify. Plan, confirm, run, read back, report.
 *
 * A job first makes a plan, plain data: what is read, what is written where, what is skipped and why, what will be destroyed.
 * The plan can be printed (dry run) and must be confirmed by the caller; then job_run() carries it out, sending events.
 * Nothing is written to a source; nothing is written to a target before the plan ran.
 */
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include "core/block.h"
#include "core/filesystem.h"
#include "core/image.h"
#include "core/message.h"
#include "core/partition.h"

enum job_kind { JOB_CAPTURE, JOB_RESTORE, JOB_CLONE, JOB_VERIFY };

struct job_options {
    int level;           /* zstd, 1 to 19; 0: follows the speed of source and target (core/level.h) */
    uint32_t chunk_size; /* 0: default */
    uint64_t split;      /* bytes per volume; 0: as the store needs */
    bool raw;            /* capture: everything counts as used */
    bool no_verify;      /* do not read back what was written */
    bool discard;        /* restore/clone: discard unused blocks of the target */
    /* Restore, capture: go on with one that was cut off: of the same image, without what is written already; into the same image. */
    bool resume;
    bool salvage;        /* take the rest of a damaged or incomplete image; store unreadable sectors as zeroes */
    unsigned processors; /* 0: all */
    size_t memory_limit; /* 0: default */
    /* Restore, clone: what is read back while writing goes on lies so many bytes of data behind it; 0: default (1 GiB). */
    uint64_t read_back_distance;
    const char *program; /* "eidolon <version>" */
};

/* One end of a job: a disk or partition, or an image (or one partition of it). */
struct job_end {
    struct block_device *disk;  /* NULL when this end is an image */
    struct stream_store *store; /* NULL when this end is a disk */
    bool is_pipe;               /* the store cannot seek or be read back */
    unsigned partition;         /* #N; 0: the whole */
    const char *mounted_at;     /* host: where it or a partition of it is mounted; NULL: not */
    bool is_boot_stick;
    bool continues; /* before a store is opened for writing: its image may be there, to go on with */
};

struct job_request {
    enum job_kind kind;
    struct job_end source, target; /* verify: source is the image, target.disk the disk to compare (or NULL) */
    struct job_options options;
};

/*
 * The placement map: extents of the source (disk or image) to offsets on the target. The identity at first; growing, moving and
 * shrinking will be other maps, not other jobs. One per region of the description, in its order. Offsets are bytes from the
 * start of the end that the request names: of the partition where it names one, else of the disk or image.
 */
struct placement {
    uint64_t source_offset, bytes, target_offset; /* bytes may be less than the region's: the rest does not fit */
    unsigned partition;                           /* 0: table or gap */
    bool skip; /* not written here (tables that are made new, regions not asked for) */
};

/*
 * Bytes made by the plan and written last, in place of what the source has there (moved GPT, protective MBR, zeroes over a backup
 * GPT left in the middle). Whole blocks, not overlapping.
 */
struct plan_patch {
    uint64_t target_offset;
    uint8_t *data;
    size_t size;
};

#define PLAN_PATCHES_MAX 4
#define PLAN_GAP_MAX                                                                                                   \
    (64u * 1024 * 1024) /* of what lies between two partitions; of a larger gap both ends are saved, which is less */

struct plan {
    enum job_kind kind;
    struct job_request request;
    struct platform *platform;
    struct image_description description; /* of the image to be made or read; of the source disk for a clone */
    struct partition_table table;         /* of the source */
    struct extent_list used;              /* capture, clone: bytes of the source to read */
    struct extent_list blank;             /* what of them counts as zeroes without being read; see struct allocation */
    struct partition_table target_table;  /* restore, clone: what will be destroyed */
    unsigned placement_count;
    struct placement *placements;
    unsigned patch_count;
    struct plan_patch patches[PLAN_PATCHES_MAX];
    uint64_t source_bytes, used_bytes, skipped_bytes, target_bytes;
    uint64_t expected_image_bytes; /* capture: what the image can come to at the most */
    uint64_t likely_image_bytes;   /* capture: what it comes to with data as most disks hold it */
    uint64_t free_bytes;           /* capture: room where the image goes; UINT64_MAX: unknown */
    uint64_t volume_bytes;         /* capture: the image is cut into volumes of this size; 0: it is one file */
    struct image_kept kept;        /* capture that goes on: what is there already */
    bool destroys;                 /* needs a confirmation */
    bool refused;                  /* a message of level MESSAGE_REFUSAL says why; job_run() returns -ERROR_REFUSED */
    struct message_list messages;
    struct image_reader *reader; /* restore, verify: opened and verified by job_plan() */
    bool image_damaged;          /* verify: the image did not pass; the run names what is hit */
    struct block_device *source_slice,
        *target_slice;    /* of the partitions that the request names; NULL: the whole disks */
    uint64_t nanoseconds; /* that planning took */
};

enum job_phase { PHASE_PLAN, PHASE_COPY, PHASE_FLUSH, PHASE_READ_BACK, PHASE_FINISH };

struct job_progress {
    enum job_phase phase;
    uint64_t done_bytes, total_bytes; /* of the phase, plain bytes in use */
    uint64_t stored_bytes;            /* image bytes written or read */
    uint64_t started, now;            /* nanoseconds */
    unsigned partition;          /* at hand; at the beginning of a phase the one that comes first; 0: tables, gaps */
    bool paused;                 /* the listener wanted it, and what was in flight ends or has ended */
    uint64_t paused_nanoseconds; /* so far: what `now - started` holds of pauses */

    /*
     * Counters of the whole job, to be differentiated; they never fall. Plain bytes in use. What stored_bytes above counts
     * begins anew when a capture reads its image back.
     */
    uint64_t
        read_bytes; /* capture, clone: of the source; restore, verify: of data that came out of the image to be decoded */
    uint64_t processed_bytes; /* compressed, decoded or (clone) hashed; not what is hashed when it is read back */
    uint64_t written_bytes;   /* to the target disk; a capture's are stored_bytes */
    uint64_t verified_bytes;  /* read back or compared, and matched */

    /*
     * For a map of the disk: the source's for a capture, otherwise the target's; of an image that is verified without a disk,
     * the disk it was made of (of an image of one partition: that partition). Bytes from the start of the whole disk, also
     * when the job is about one partition: it works through [begin_position, end_position) in the order of addresses.
     *
     * Everything from begin_position to the position has been read; written; read back and matched (verify: compared). Also
     * what is not in use or not asked for is passed. 0: not begun, or not done by this job; otherwise within begin and end, at the end when
     * all of it is done. They never fall. Not told:
     *  - the tables, and what else job_run() keeps to the last: they are written and read back in PHASE_FINISH;
     *  - a capture's written_position is what the image's writer took: up to a segment of it may not be stored yet;
     *  - while a restore or capture that goes on looks for what is there already (PHASE_READ_BACK at the beginning), all are 0.
     */
    uint64_t begin_position, end_position;
    uint64_t read_position, written_position, verified_position;
};

/* Events go to the caller's listener, from the outermost loop step. */
struct job_listener {
    /* At most 10 a second; and when a phase begins, and a pause begins or ends. */
    void (*progress)(struct job_listener *listener, const struct job_progress *progress);
    void (*message)(struct job_listener *listener, const struct message *message);
    bool (*cancelled)(struct job_listener *listener); /* NULL: the platform's cancel_requested() alone */
    /*
     * While it says true, nothing new is read or written. What is in flight ends, the loop runs, progress events come, the
     * wish to cancel is heard. Asked often. Not heard in the middle of short work (opening the image, writing its
     * end or the tables, a flush): the pause begins after it. NULL: never.
     */
    bool (*paused)(struct job_listener *listener);
};

enum job_verification { VERIFIED_NOT, VERIFIED_READ_BACK };

struct job_result {
    int status;
    struct error error;
    struct image_totals totals;
    uint64_t read_bytes, written_bytes, verified_bytes;
    uint64_t compared_bytes; /* capture that went on: of read_bytes, what the image had already */
    uint64_t unreadable_bytes, damaged_bytes;
    uint64_t plan_nanoseconds, copy_nanoseconds, verify_nanoseconds; /* without pauses */
    uint64_t paused_nanoseconds;
    size_t memory_bytes; /* the engine's buffers at their most */
    unsigned processors;
    unsigned level_tenths; /* capture: the mean level of the chunks, times ten */
    enum job_verification verification;
    struct message_list messages;
};

/*
 * While a restore or clone runs, the target's first block holds this and a UUID, and no boot signature: it boots nothing and is
 * recognised. What belongs into the first HALF_RESTORED_BYTES is written when all else is safe, the first block last.
 */
#define HALF_RESTORED_MARKER "EIDOLON RESTORE IN PROGRESS "
#define HALF_RESTORED_BYTES (128u * 1024)
/* Looks at the first bytes (at least 64) of a disk or partition; `uuid` (37 bytes, may be NULL) gets the image's UUID as text. */
bool job_is_half_restored(const uint8_t *first_block, size_t size, char *uuid);

/* Makes the plan. 0 even when the plan is refused (look at plan->refused); negative when it could not be made. Free it. */
int job_plan(struct loop *loop, const struct job_request *request, struct plan *plan, struct error *error);
void plan_free(struct plan *plan);
/* What an image comes to, before there is a plan: with data as most disks hold it, and at the most. */
void job_expect_image(uint64_t used_bytes, uint64_t unused_bytes, uint64_t *likely, uint64_t *most);
/* Carries it out. Returns result->status. Flushes before it says 0; what it says is verified was read back and matched. */
int job_run(struct loop *loop, struct plan *plan, struct job_listener *listener, struct job_result *result);

#endif
