/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person should know of a disk: its partitions, the file systems in them, how much is in use. Plain data; reads only.
 */
#ifndef UI_SURVEY_H
#define UI_SURVEY_H

#include "core/filesystem.h"
#include "core/partition.h"

struct survey_volume {
    unsigned partition;     /* 0: the disk has no table, and this is all of it */
    uint64_t offset, bytes; /* on the disk */
    struct filesystem_info
        info; /* used_bytes by the allocation reader where the file system keeps no count; UINT64_MAX: not known */
};

struct survey {
    int status;                   /* 0, or why the table could not be read: nothing below is filled then */
    struct error error;           /* with that */
    struct partition_table table; /* "" of volume i: table.partitions[i], unless there is no table */
    unsigned count;
    struct survey_volume *volumes; /* in disk order; one when there is no table */
    bool half_restored;            /* a restore onto it did not end */
    char image_uuid[37];           /* of that restore */
    struct platform *platform;
};

/* Waits. A disk that does not answer costs one deadline. -ERROR_NO_MEMORY; otherwise look at survey->status. Free it. */
int survey_disk(struct block_device *disk, struct survey *survey);
void survey_free(struct survey *survey);
/* The table's entry for a volume; NULL: there is no table. */
const struct partition *survey_partition(const struct survey *survey, unsigned volume);
/* Bytes in use, whole volumes where that is not known; what lies between partitions is not counted. */
uint64_t survey_used(const struct survey *survey, unsigned partition);
/*
 * What lies between the partitions and is saved as well, at the most: both ends of each gap, or all of it where logical partitions may
 * be chained through it.
 */
uint64_t survey_gaps(const struct survey *survey, uint64_t disk_bytes);
const char *survey_bus_name(enum block_bus bus);
const char *survey_table_name(enum table_kind kind);

#endif
