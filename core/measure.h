/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a disk can be read: requests of one size, a fixed number in flight, for a given time. Reads only.
 */
#ifndef CORE_MEASURE_H
#define CORE_MEASURE_H

#include "core/block.h"

struct measurement {
    uint64_t bytes, nanoseconds, requests;
};

/*
 * Reads from the disk's start on, and again from there at its end, for about `nanoseconds`. request_bytes is cut to what the disk takes at once;
 * depth (1 to 64) to its queue. Waits. 0 or the first error.
 */
int measure_reads(struct block_device *disk, uint32_t request_bytes, unsigned depth, uint64_t nanoseconds,
                  struct measurement *result, struct error *error);

#endif
