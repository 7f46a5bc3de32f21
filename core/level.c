/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/level.h"

/* Policy, per cent. */
#define WAITED_TOO_LONG 10u /* of the window: the processors hold the capture up */
#define WAITED_HARDLY 2u
#define BUSY_AFTER_RISE 75u /* of all processors' time, at most, as expected at the next level */

#define HURRIED_BELOW_START 2u /* windows in a row */
#define PATIENCE_MIN 2u
#define PATIENCE_MAX 32u

/* Processor time of each level for chunks of 1 MiB with hashing, in per cent of level 3's. Measured on system files. */
static const unsigned costs[LEVEL_CEILING + 1] = {0, 58, 72, 100, 120, 169, 266, 306, 359};

void level_init(struct level_control *control, int floor, int ceiling)
{
    int level = LEVEL_START < floor ? floor : LEVEL_START > ceiling ? ceiling : LEVEL_START;

    *control = (struct level_control){.floor = floor, .ceiling = ceiling, .level = level, .patience = PATIENCE_MIN};
}

static unsigned per_cent(uint64_t part, uint64_t whole)
{
    /* A whole of less than 100 ns is no window. */
    return whole < 100 ? 0 : (unsigned)(part / (whole / 100));
}

/* The highest level that would have left the ends no reason to wait. */
static int level_without_wait(const struct level_control *control, unsigned waited)
{
    unsigned affordable = waited < 100 ? costs[control->level] * (100 - waited) / 100 : 0;
    int level = control->level > control->floor ? control->level - 1 : control->floor;

    while (level > control->floor && costs[level] > affordable)
        level--;
    return level;
}

static void fall(struct level_control *control, unsigned waited)
{
    int level = level_without_wait(control, waited);

    control->calm = 0;
    if (++control->hurried < HURRIED_BELOW_START && level < LEVEL_START)
        level = LEVEL_START;
    if (level >= control->level)
        return;
    control->level = level;
    if (control->last_move > 0 && control->patience < PATIENCE_MAX)
        control->patience *= 2;
    control->last_move = -1;
}

static void rise(struct level_control *control)
{
    control->calm = 0;
    control->level++;
    /* The rise before this one was none that had to be taken back. */
    if (control->last_move > 0 && control->patience > PATIENCE_MIN)
        control->patience /= 2;
    control->last_move = 1;
}

int level_next(struct level_control *control, const struct level_facts *facts)
{
    unsigned waited = per_cent(facts->waited, facts->elapsed);
    unsigned busy = per_cent(facts->computed, facts->elapsed) / (facts->processors ? facts->processors : 1);

    if (waited > WAITED_TOO_LONG) {
        fall(control, waited);
        return control->level;
    }
    control->hurried = 0;
    if (control->level < control->ceiling && waited <= WAITED_HARDLY &&
        busy * costs[control->level + 1] / costs[control->level] <= BUSY_AFTER_RISE) {
        if (++control->calm >= control->patience)
            rise(control);
    } else {
        control->calm = 0;
    }
    return control->level;
}
