/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a disk is: requests of one size, a fixed number in flight, for a given time, from the disk's start on and again from there at
 * its end. request_bytes is cut to what the disk takes at once; depth (1 to 64) to its queue.
 */
#ifndef CORE_MEASURE_H
#define CORE_MEASURE_H

#include "core/block.h"

struct measurement {
    uint64_t bytes, nanoseconds, requests;
};

/* Reads for about `nanoseconds`. Waits. 0 or the first error. */
int measure_reads(struct block_device *disk, uint32_t request_bytes, unsigned depth, uint64_t nanoseconds,
                  struct measurement *result, struct error *error);
/*
 * The same with writes: OVERWRITES THE DISK from its first block on with bytes that cannot be compressed. Nothing here asks whether that
 * is wanted. Flushes afterwards; the flush is not in the time. Nothing is read back.
 */
int measure_writes(struct block_device *disk, uint32_t request_bytes, unsigned depth, uint64_t nanoseconds,
                   struct measurement *result, struct error *error);

#endif
