/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the work's screen knows: walk_work.c listens and takes keys, work_draw.c draws, work_map.c says what the map shows. */
#ifndef UI_WALK_WORK_VIEW_H
#define UI_WALK_WORK_VIEW_H

#include "ui/walk/walk_internal.h"

#define WORK_SAMPLES 5  /* rates are those of the last seconds */
#define WORK_MESSAGES 4 /* the last ones that are shown */
#define WORK_MAP_CELLS ((SCREEN_ROWS_MAX - 20) * SCREEN_COLUMNS_MAX)

enum work_counter { WORK_READ, WORK_PROCESSED, WORK_STORED, WORK_WRITTEN, WORK_VERIFIED, WORK_COUNTERS };

struct work_sample {
    uint64_t worked; /* nanoseconds without pauses */
    uint64_t bytes[WORK_COUNTERS];
};

struct work_view {
    struct job_listener listener;    /* first */
    struct walk *walk;               /* its screen, language and title */
    const struct session_work *work; /* that is shown */
    struct job_progress progress;    /* the last one that came */
    struct pace pace;
    bool paused, cancelled;
    bool asking, helping; /* a box stands over the page */
    unsigned answer;      /* of the box: 0 go on, 1 cancel */
    uint64_t next_draw, next_keys;
    unsigned sample_count;
    struct work_sample samples[WORK_SAMPLES];
    unsigned message_count; /* warnings, ever */
    struct message messages[WORK_MESSAGES];
    /* The map: an equal share of the disk for each cell. */
    struct area map;
    uint64_t map_bytes;
    unsigned map_cell; /* the one that is asked for next */
    bool used[WORK_MAP_CELLS], bad[WORK_MAP_CELLS];
};

/* Runs a work and shows it. -ERROR_NO_MEMORY in result->status when not even that can be begun. */
enum exit_code work_run(struct walk *walk, struct session_work *work, struct job_result *result);
/* Bytes a second in the last seconds; 0: not known yet. */
uint64_t work_rate(const struct work_view *view, enum work_counter counter);
void work_draw(struct work_view *view);

/* --- work_map.c --- */
/* From the plan: which cells hold something that is copied. */
void work_map_prepare(struct work_view *view);
/* Marks what a message says cannot be read or differs. */
void work_map_note(struct work_view *view, const struct message *message);
void work_map_draw(struct work_view *view);

#endif
