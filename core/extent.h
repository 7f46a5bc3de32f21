/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extents: sorted, disjoint, non-touching runs of bytes; the common language of readers, plans, images and maps.
 *
 * Offsets are bytes from the start of whatever the list describes (a volume or a disk). Memory is bounded: a list that would
 * grow past its limit closes its smallest gaps, so it may come to cover more than was added, never less.
 */
#ifndef CORE_EXTENT_H
#define CORE_EXTENT_H

#include "core/platform.h"

struct extent {
    uint64_t offset, length; /* bytes; length > 0 */
};

#define EXTENT_LIMIT_DEFAULT (2u * 1024 * 1024) /* 32 MiB of memory at the most */

struct extent_list {
    struct platform *platform;
    struct extent *extents;
    size_t count, capacity;
    size_t limit;       /* extents; 0 is treated as EXTENT_LIMIT_DEFAULT */
    uint64_t coarsened; /* gaps up to this many bytes have been closed to stay within the limit; 0: exact */
};

void extent_list_init(struct extent_list *list, struct platform *platform);
void extent_list_free(struct extent_list *list);
/* Adds a run, merging with what it touches or overlaps. Fast when runs come in order. -ERROR_NO_MEMORY, -ERROR_OUT_OF_RANGE. */
int extent_list_add(struct extent_list *list, uint64_t offset, uint64_t length);
int extent_list_remove(struct extent_list *list, uint64_t offset, uint64_t length);
int extent_list_copy(struct extent_list *to, const struct extent_list *from);
/* result = a and b / a or b / a without b. `result` is initialised, empty and none of the operands. */
int extent_list_intersect(struct extent_list *result, const struct extent_list *a, const struct extent_list *b);
int extent_list_unite(struct extent_list *result, const struct extent_list *a, const struct extent_list *b);
int extent_list_subtract(struct extent_list *result, const struct extent_list *a, const struct extent_list *b);
/* Adds from's runs, moved up by `shift` bytes. */
int extent_list_add_shifted(struct extent_list *list, const struct extent_list *from, uint64_t shift);
/* Widens every run outwards to multiples of `granularity` bytes (a power of two), cut at `end`. */
int extent_list_align(struct extent_list *list, uint64_t granularity, uint64_t end);
bool extent_list_contains(const struct extent_list *list, uint64_t offset, uint64_t length);
bool extent_list_overlaps(const struct extent_list *list, uint64_t offset, uint64_t length);
uint64_t extent_list_total(const struct extent_list *list); /* bytes covered */
/* Index of the first run that ends after `offset`; list->count when there is none. Logarithmic. */
size_t extent_list_find(const struct extent_list *list, uint64_t offset);

#endif
