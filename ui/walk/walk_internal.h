/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the screens of the way through. A way is a row of steps; each draws its screen, takes keys until the person goes on or back,
 * and keeps what was chosen in struct walk.
 */
#ifndef UI_WALK_WALK_INTERNAL_H
#define UI_WALK_WALK_INTERNAL_H

#include "ui/record.h"
#include "ui/screen/widget.h"
#include "ui/survey.h"
#include "ui/walk/walk.h"

enum walk_task { TASK_SAVE, TASK_RESTORE, TASK_CLONE, TASK_CHECK, TASK_LOOK };
enum walk_step { STEP_NEXT, STEP_BACK, STEP_START }; /* START: back to the first screen */

/* A disk as the screens show it: a copy, for the devices behind it change when drivers do. */
struct walk_disk {
    char name[BLOCK_NAME_MAX];
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX];
    enum block_bus bus;
    uint64_t bytes;
    bool is_boot_stick, read_only;
    struct survey survey;
};

#define WALK_DISKS_MAX 64
#define WALK_VOLUMES_MAX 64
#define WALK_PATH_MAX 512
#define FORMAT_LINE_MAX 512

struct walk_volume {
    struct session_volume volume;
    bool is_on_source; /* on the disk that is saved, or restored onto */
};

/* One end that was chosen. */
struct walk_choice {
    bool chosen;
    char disk[BLOCK_NAME_MAX];
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX];
    unsigned partition;
    uint64_t bytes, used_bytes; /* of the partition, or the whole */
    uint64_t gap_bytes;         /* between its partitions, that may have to be saved as well */
    uint64_t disk_bytes;
    /* Tells apart disks of one name and size: what their tables call themselves. */
    enum table_kind table;
    uint8_t disk_guid[16];
    uint32_t mbr_signature;
};

struct walk {
    struct session *session;
    struct screen *screen;
    struct walk_setup *setup;
    enum exit_code *code;
    enum walk_task task;
    unsigned step, steps; /* of the way, for the title */

    unsigned disk_count;
    struct walk_disk *disks;
    unsigned volume_count;
    struct walk_volume *volumes;

    /* What was chosen so far. */
    struct walk_choice source, target;
    char volume[SESSION_VOLUME_NAME_MAX]; /* of the image */
    char folder[WALK_PATH_MAX];           /* on it, "" the root */
    char file[FILESYSTEM_NAME_MAX];       /* an existing image's name */
    struct text_field name;               /* a new image's name */
    bool name_proposed;
    unsigned level, no_verify, split, salvage, raw, discard, resume; /* values of the options' fields */

    const char *fixed_command; /* shown instead of what is chosen; NULL: there is none */
    struct command command;
    struct session_work work;
    enum job_kind kind; /* of the work that has ended */
    bool goes_on;       /* it could, with --continue */
    struct job_result result;
    struct session_record record; /* what the report says of the work */
    char report[FORMAT_LINE_MAX]; /* where it lies, as a sentence; "": nobody keeps one */
    bool leave;                   /* for good: `end` says how */
    enum walk_end end;
};

/* --- words (walk_page.c) --- */
const char *walk_text(const struct walk *walk, enum text_id id);
/* Into one of a few buffers that are used in turn: for drawing at once, not for keeping. */
const char *walk_format(const struct walk *walk, enum text_id id, const char *first, const char *second,
                        const char *third, const char *fourth);
const char *walk_size(uint64_t bytes); /* the same, "466 GiB" */
/* "serial S3X9NX0K" or "no serial number". */
const char *walk_serial(const struct walk *walk, const char *serial);

/* --- pages (walk_page.c) --- */
struct walk_key {
    const char *name; /* "Enter", "F1" */
    enum text_id text;
};
/* What is between title and command line: all that a page's own drawing may use. */
struct area walk_area(const struct walk *walk);
/* Blanks the grid, draws title, question, command and the last line. `keys` ends with a NULL name. */
void walk_page(struct walk *walk, enum text_id question, const struct walk_key *keys);
/* The last line alone. */
void walk_keys(struct walk *walk, const struct walk_key *keys);
/* A page that says that something takes its time; shown at once. */
void walk_wait(struct walk *walk, enum text_id what);
/* A page's help, until a key. */
void walk_help(struct walk *walk, enum text_id text);
/* A box with a sentence and one way on. */
void walk_say(struct walk *walk, enum text_id title, const char *text);
void walk_say_error(struct walk *walk, enum text_id title, const struct error *error);
/* Waits for a key. F1 shows `help` and is not returned; others are. */
struct key walk_key(struct walk *walk, enum text_id help);

/* --- the command so far (walk_command.c) --- */
/*
 * The command that the choices stand for, with dots for what is not chosen yet. false: it is not whole: something is not chosen, does
 * not fit, or is a name that the grammar has no way to say. It must not be run then.
 */
bool walk_command_line(const struct walk *walk, char *line, size_t size);
/* The same, parsed into walk->command, with the disks that were chosen. */
int walk_command(struct walk *walk, struct error *error);
/* The image's name in the grammar. false: it does not fit. */
bool walk_image_name(const struct walk *walk, char *name, size_t size);
/* Letter case (ASCII) does not count; `end` is in small letters. */
bool walk_ends_with(const char *name, const char *end);
/* "2026-11-25-Samsung-SSD-980-S3X9.eid", with nothing but letters, digits, dots and dashes. */
void walk_propose_name(struct walk *walk);
/* Sizes that an image may be cut into; 0 is none. `choice` below WALK_SPLITS. */
#define WALK_SPLITS 5
uint64_t walk_split_bytes(unsigned choice);
/* Levels as the options page offers them: 0 is automatic. */
#define WALK_LEVELS 20

/* --- what is there (walk_inventory.c) --- */
/* Finds and surveys the disks anew. */
int walk_find_disks(struct walk *walk, struct error *error);
void walk_forget_disks(struct walk *walk);
const struct walk_disk *walk_disk_find(const struct walk *walk, const char *name);
/* Finds the volumes anew; those where nothing can be kept come last. */
int walk_find_volumes(struct walk *walk, struct error *error);
void walk_forget_volumes(struct walk *walk);

/* --- the steps --- */
enum walk_step walk_choose_source(struct walk *walk);  /* walk_disks.c */
enum walk_step walk_choose_target(struct walk *walk);  /* walk_disks.c */
enum walk_step walk_look(struct walk *walk);           /* walk_disks.c */
enum walk_step walk_choose_place(struct walk *walk);   /* walk_volumes.c: where a new image goes */
enum walk_step walk_choose_volume(struct walk *walk);  /* walk_volumes.c: where an image is */
enum walk_step walk_choose_image(struct walk *walk);   /* walk_images.c */
enum walk_step walk_choose_options(struct walk *walk); /* walk_options.c */
enum walk_step walk_show_plan(struct walk *walk);      /* walk_plan.c; leaves walk->work planned */
enum walk_step walk_do_work(struct walk *walk);        /* walk_work.c */
/* The verdict over the question, reasons and numbers below it; returns the row behind them (walk_result.c). */
unsigned result_draw(struct walk *walk, struct area area);
/* What was unreadable and the like, in so many rows. */
void result_draw_messages(struct walk *walk, struct area area, unsigned rows);
enum walk_step walk_show_result(struct walk *walk); /* walk_result.c */

/* --- the report (walk_report.c) --- */
/* From here on what the session does is recorded. */
void walk_record(struct walk *walk);
/* What the plan and the result say, while there is a plan. */
void walk_record_plan(struct walk *walk);
/* Behind the work, whose messages were recorded as they came. */
void walk_record_end(struct walk *walk);
/* Keeps a report when the work's disks and image are closed, and says where in walk->report. */
void walk_report(struct walk *walk);
void walk_forget_record(struct walk *walk);

/* Draws the map of a disk's partitions; `selected` is an index of its survey's volumes, or count for none (walk_disks.c). */
void walk_draw_pieces(struct walk *walk, struct area area, const struct walk_disk *disk, unsigned selected);
/* The partitions of a disk as a table; the list's context is the disk (walk_disks.c). */
void walk_partition_list(struct walk *walk, struct list *list, const struct walk_disk *disk);

#endif
