/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in memory: a stream store whose volumes are byte arrays under the test's control, and a platform of malloc to run it on.
 */
#ifndef TESTS_SUPPORT_MEMORY_STORE_H
#define TESTS_SUPPORT_MEMORY_STORE_H

#include "core/stream.h"

#define MEMORY_VOLUMES 1000

struct memory_volume {
    uint8_t *data;
    size_t size, capacity;
    bool there;
};

struct memory_store {
    struct stream_store store;
    struct loop *loop;
    struct memory_volume volumes[MEMORY_VOLUMES]; /* by number */
    bool discard;                                 /* what is written is counted, not kept */
    bool pipe;                                    /* volume 0 cannot seek and does not know its size */
    uint64_t fail_write_at;                /* bytes written in all volumes after which writes fail; UINT64_MAX: never */
    uint64_t fail_read_at, fail_read_size; /* reads of volume 0 that touch these bytes fail; size 0: never */
    unsigned queue_depth;                  /* requests taken before -ERROR_FULL */
    unsigned delay;                        /* polls before a request ends */
    uint64_t written;                      /* bytes */
    uint64_t requests;                     /* that were taken */
    unsigned flushes, open_streams, cuts;
};

/* A platform on malloc: time passes by itself, nothing else is there. */
struct platform *memory_platform(void);
unsigned long memory_platform_in_use(void); /* allocations that were not released */
unsigned long memory_platform_peak(void);   /* bytes in use at most */
void memory_platform_reset_peak(void);

void memory_store_init(struct memory_store *store, struct loop *loop);
void memory_store_free(struct memory_store *store);
/* All volumes in a row. The memory is the caller's to free(). */
uint8_t *memory_store_join(const struct memory_store *store, size_t *size);
/* Volume `number` holds a copy of the bytes. */
void memory_store_set(struct memory_store *store, unsigned number, const void *data, size_t size);

#endif
