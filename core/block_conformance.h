/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What any block device must do, as a suite that runs against any of them: in unit tests and on the machine's real controllers.
 *
 * Needs nothing but the device, its loop and its platform's memory: two buffers of the device's largest transfer or so,
 * 32 MiB each at the most. Waits (see loop_wait); runs on the loop's own stack or on a fiber.
 */
#ifndef CORE_BLOCK_CONFORMANCE_H
#define CORE_BLOCK_CONFORMANCE_H

#include "core/block.h"

struct block_conformance_options {
    /*
     * Overwrites the window below with patterns. False: only reads are sent (and flushes, and requests that must be
     * refused), nothing changes.
     */
    bool destructive;
    uint64_t first, count; /* the blocks that may be overwritten; count 0: from `first` to the end */
    uint32_t seed;         /* of the patterns */
};

/* NULL when the device conforms; else the name of the first check that failed (static storage). */
const char *block_conformance_run(struct block_device *device, const struct block_conformance_options *options);

#endif
