/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A laboratory for jobs: disks that reorder, fail, lie and lose power at the test's command, a file system that says itself what is
 * in use, and a platform with workers.
 */
#ifndef TESTS_SUPPORT_JOB_LAB_H
#define TESTS_SUPPORT_JOB_LAB_H

#include "core/job.h"
#include "tests/support/memory_store.h"

#define LAB_CHUNK (64u * 1024)
#define LAB_NEVER UINT64_MAX

struct lab {
    struct platform_ops ops;
    struct platform platform;
    struct loop loop;
    struct memory_store store;
    bool cancel;
    uint64_t cancel_after; /* looks at the wish to cancel after which it is there; LAB_NEVER */
};

struct lab_write {
    uint64_t offset, size;
    uint8_t *data;
};

/* What a disk was asked: when a request came, and when it had been carried out. */
struct lab_event {
    enum block_operation operation;
    bool ended;
    uint64_t lba, count;
};

/* Writes go to `contents`; they survive a power cut only when a flush came between, or by luck, block by block. */
struct lab_disk {
    struct block_device device;
    struct lab *lab;
    uint64_t bytes;
    uint8_t *contents, *durable;
    struct lab_write *unflushed;
    size_t unflushed_count, unflushed_capacity;
    struct block_request *pending[64];
    unsigned pending_count;
    uint32_t seed;
    unsigned polls;
    /* Faults */
    uint64_t bad_read, bad_read_count;   /* blocks */
    uint64_t bad_write, bad_write_count; /* blocks */
    uint64_t lie_block;                  /* writes of this block are stored with a flipped bit */
    uint64_t power_cut;                  /* dies at the write, flush, discard or zeroes request with this number */
    uint64_t bad_flush;                  /* the flush with this number fails, from 1 on; 0: none */
    bool refuse_zeroes;                  /* write-zeroes requests fail although they are offered */
    unsigned delay;                      /* polls between those that carry something out */
    /* What it saw */
    uint64_t changes; /* requests other than reads */
    uint64_t reads, read_bytes, flushes;
    unsigned most_pending;
    struct lab_event *events; /* in order; only when `keep_events` */
    size_t event_count, event_capacity;
    bool keep_events;
};

void lab_init(struct lab *lab, unsigned processors);
void lab_free(struct lab *lab);
/* Forgets the image. */
void lab_new_store(struct lab *lab);
/* Filled with `fill`. Freed by lab_disk_free(). */
struct lab_disk *lab_disk_create(struct lab *lab, const char *name, uint64_t bytes, uint32_t logical_block,
                                 uint8_t fill);
void lab_disk_free(struct lab_disk *disk);
/* The power comes back: a new disk with what survived. */
struct lab_disk *lab_disk_reborn(struct lab_disk *disk);

/*
 * A PC's disk: GPT, partition 1 with the laboratory's file system (used extents, garbage between), partition 2 without any,
 * not aligned to anything, a gap full of zeroes, a note in the last gap. At least 8 MiB.
 */
struct lab_disk *lab_pc(struct lab *lab, const char *name, uint64_t bytes, uint32_t logical_block);
#define LAB_FIRST_BLOCK 2048u /* of partition 1 */
#define LAB_FIRST_BYTES (4u * 1024 * 1024)
#define LAB_SECOND_BYTES (1024u * 1024 + 3 * 4096)
uint64_t lab_second_offset(const struct lab_disk *disk); /* of partition 2, bytes */
/* The used extents of partition 1, bytes from its start. */
struct extent lab_used(unsigned index);
unsigned lab_used_count(void);
/* What of them the file system calls blank; set by a test for itself. Length 0: nothing. */
extern struct extent lab_blank[2];
#define LAB_GARBAGE "DELETED SECRETS "

/* A laboratory with a PC's disk and the image of it: where tests of what becomes of images begin. The capture's status. */
int lab_begin_with_image(struct lab *lab, unsigned processors, uint64_t bytes, struct lab_disk **source);

/* `restored` holds all that matters of `original` (its partitions' used bytes, gaps; tables only when sizes are equal). */
void lab_assert_restored(const struct lab_disk *original, const struct lab_disk *restored, const uint8_t *contents);

/* Plan and run; plan failures count as status. `result` may be NULL. */
int lab_run(struct lab *lab, const struct job_request *request, struct job_result *result);
struct job_request lab_capture_request(struct lab *lab, struct lab_disk *source);
struct job_request lab_restore_request(struct lab *lab, struct lab_disk *target);
bool lab_has_message(const struct message_list *list, enum message_id id);

#endif
