/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a disk is, as a person is told: the best of several short rounds, for what else the processor does comes in bursts.
 */
#ifndef UI_MEASURE_H
#define UI_MEASURE_H

#include "core/measure.h"

/* Requests in flight where a queue is to be shown. */
#define MEASURE_DEPTH 32

/*
 * measure: measure_reads(), or measure_writes(), which overwrites the disk. rates: bytes a second for each of `count` sizes of
 * request. Waits about half a second for each. 0 or the first error.
 */
int measure_best(struct block_device *disk, typeof(measure_reads) *measure, const uint32_t *request_bytes,
                 unsigned count, unsigned depth, uint64_t *rates, struct error *error);

#endif
