/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in RAM that behaves as badly as the test wants: completions out of order, a short queue, bad blocks, hangs, resets
 * that fail, lies, unplugging, power cuts. All it was asked is kept in a journal, which proves what was not written.
 *
 * The owner keeps the struct beyond block_device_stop(), to look at contents and journal, and ends it with emulated_end().
 */
#ifndef TESTS_SUPPORT_EMULATED_DEVICE_H
#define TESTS_SUPPORT_EMULATED_DEVICE_H

#include "core/block.h"

#define EMULATED_FAULTS 16
#define EMULATED_DEPTH_MAX 256

struct emulated_options {
    uint32_t logical_block;    /* 0: 512 */
    uint32_t physical_block;   /* 0: as logical_block */
    uint64_t block_count;      /* 0: 16384 */
    uint32_t queue_depth;      /* requests it accepts before it is full; 0: 8 */
    uint32_t max_transfer;     /* 0: 64 KiB */
    uint32_t buffer_alignment; /* 0: 4 */
    bool no_discard, no_write_zeroes, read_only;
    bool no_cache; /* what is written is safe at once; otherwise after a flush */
    bool in_order;
    uint64_t latency; /* nanoseconds; a request takes between 0 and this, in virtual time */
    uint32_t seed;
    const char *name; /* NULL: "test:disk" */
};

enum emulated_fault_kind {
    FAULT_ERROR,  /* ends with `status` and `raw_status` */
    FAULT_HANG,   /* never ends by itself */
    FAULT_SILENT, /* ends well, but nothing was transferred */
    FAULT_FLIP,   /* ends well, but one bit of the first faulty block is wrong */
};

/* Applies to requests that touch the blocks. */
struct emulated_fault {
    enum emulated_fault_kind kind;
    uint64_t lba, count;
    unsigned operations; /* 1 << BLOCK_READ, ...; 0: all but flush */
    unsigned times;      /* 0: always */
    int status;          /* 0: -ERROR_MEDIUM */
    uint32_t raw_status;
    bool used_up;
};

enum emulated_reset {
    RESET_WORKS,  /* at once: late ones TIMEOUT, others ABORTED */
    RESET_SLOW,   /* the same, then full for 3 seconds */
    RESET_FULL,   /* the same, then full for ever */
    RESET_LATER,  /* what it held is ended by poll(), a second later */
    RESET_DIES,   /* the device dies */
    RESET_NOTHING /* against the rules: nothing happens */
};

struct emulated_call {
    enum block_operation operation;
    uint64_t lba, count;
};

struct emulated_device {
    struct block_device device;
    uint8_t *contents; /* what reads see */
    uint8_t *stable;   /* what survives a power cut */

    /* Faults, at any time */
    struct emulated_fault faults[EMULATED_FAULTS];
    unsigned fault_count;
    enum emulated_reset reset;
    uint64_t power_cut_at; /* when that many requests have been accepted, the power fails; UINT64_MAX: never */
    bool torn_blocks;      /* a power cut may also leave half a logical block written */

    /* What it saw */
    struct emulated_call *journal;
    size_t journal_count, journal_capacity;
    uint64_t requests[5]; /* accepted, by operation */
    uint64_t bytes_read, bytes_written;
    unsigned resets, full_answers, most_in_flight;
    unsigned held_when_abandoned; /* requests that block.c still counted on then */
    bool powered_off, shut_down;

    /* Its own */
    struct emulated_options options;
    uint8_t *dirty; /* one byte per block: written since the last flush */
    struct emulated_slot {
        struct block_request *request;
        uint64_t ready_at;
        bool hangs;
    } slots[EMULATED_DEPTH_MAX];
    unsigned in_flight;
    uint64_t recovered_at;
    bool ending_held;
    uint64_t random;
};

/* Contents are zero at first. `options` may be NULL. Fails the test (abort) without memory. */
void emulated_start(struct emulated_device *emulated, struct loop *loop, const struct emulated_options *options);
/* Stops the device when block_device_stop() was not called, and frees. */
void emulated_end(struct emulated_device *emulated);

struct emulated_fault *emulated_add_fault(struct emulated_device *emulated, enum emulated_fault_kind kind, uint64_t lba,
                                          uint64_t count);
/* The cable is pulled. */
void emulated_unplug(struct emulated_device *emulated);
/* Resets itself, unasked: what it holds is aborted a second later. */
void emulated_reset_itself(struct emulated_device *emulated);
/* The power fails now: each block written since the last flush, or on its way, is old or new by chance. */
void emulated_power_cut(struct emulated_device *emulated);
/* After a power cut and block_device_stop(): starts the same disk again with what survived, without power_cut_at. */
void emulated_power_on(struct emulated_device *emulated);

/* Fills all with a pattern that differs in every 8 bytes; what was not overwritten can be told. */
void emulated_fill(struct emulated_device *emulated, uint64_t salt);
/* Was nothing ever sent that changes the disk (write, discard, write zeroes)? */
bool emulated_untouched(const struct emulated_device *emulated);
/* Did any write, discard or write zeroes touch these blocks? */
bool emulated_wrote_to(const struct emulated_device *emulated, uint64_t lba, uint64_t count);

#endif
