/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The level that follows: which zstd level a capture can afford, judged by what its processors had to do.
 *
 * A capture should run at the speed of its slower end. Processors with time to spare may compress better for nothing;
 * processors that both ends wait for should compress less. Pure computation without a clock: the caller measures windows and
 * tells the facts of each.
 */
#ifndef CORE_LEVEL_H
#define CORE_LEVEL_H

#include <stdint.h>

#define LEVEL_AUTO 100 /* where a level is asked for: let it follow. Above every level of zstd */
#define LEVEL_START 3
#define LEVEL_FLOOR 1
/* Policy: with chunks of 1 MiB the next levels save less than half a per cent and need twice the memory. */
#define LEVEL_CEILING 8

/* What happened in one window. Nanoseconds. */
struct level_facts {
    uint64_t elapsed;    /* of the window */
    uint64_t computed;   /* the sum over all processors */
    uint64_t waited;     /* while both ends waited for the processors; at most `elapsed` */
    unsigned processors; /* that compute */
};

struct level_control {
    int floor, ceiling, level;
    unsigned calm;     /* windows in a row that would have had time for the next level */
    unsigned patience; /* how many of them it takes; grows when a rise was a mistake */
    unsigned hurried;  /* windows in a row in which both ends waited too long */
    int last_move;     /* 1 up, -1 down, 0 none yet */
};

/* 1 <= floor <= ceiling <= LEVEL_CEILING. Begins at LEVEL_START, or as near as the two allow. */
void level_init(struct level_control *control, int floor, int ceiling);
/*
 * The level for what comes after the window. Falls at once and as far as it takes, but below LEVEL_START only when the next window
 * says the same: images get bigger there. Rises by one, after several calm windows.
 */
int level_next(struct level_control *control, const struct level_facts *facts);

#endif
