/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A SCSI disk over a transport that answers from a script, for cmocka tests: no USB is below it. What a test has not scripted is
 * answered as a good disk of 4096 blocks of 512 bytes would.
 */
#ifndef TESTS_SUPPORT_SCSI_BENCH_H
#define TESTS_SUPPORT_SCSI_BENCH_H

#include "drivers/usb/scsi_internal.h"
#include "tests/support/test_platform.h"

#define SCSI_TARGET_BLOCKS 4096u
#define SCSI_TARGET_HELD 16u

struct scsi_target {
    struct scsi_transport transport; /* first */
    struct pollable pollable;
    struct scsi_command *held[SCSI_TARGET_HELD];
    unsigned count;
    bool silent; /* answers nothing */
    bool backwards;
    bool has_fiber; /* recoveries are carried out */
    unsigned commands, recoveries, seen[256];
    /* For a test to answer what it likes: true when it did. */
    bool (*answer)(struct scsi_target *target, struct scsi_command *command);
    int step; /* the test's own */
    uint8_t inquiry[36], capacity_10[8], capacity_16[32], mode[192], page_list[16], limits[64], provisioning[8];
    uint8_t serial[64];
    size_t mode_size;
    bool pages;
    uint8_t data[SCSI_TARGET_BLOCKS * 512];
};

struct scsi_bench {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct scsi_target target;
    struct scsi_disk *disk;
    struct buffer buffer;
    struct error error;
};

/* Good status, with the data if the command reads. */
void scsi_target_good(struct scsi_command *command, const void *data, size_t size);
/* CHECK CONDITION, with fixed sense data. */
void scsi_target_refuse(struct scsi_command *command, uint8_t key, uint8_t code, uint8_t qualifier);
void scsi_target_end_all(struct scsi_target *target, int status);
/* scsi_transport.service */
void scsi_target_service(struct scsi_transport *transport);

/* *state is a struct scsi_bench without a disk. */
int scsi_bench_setup(void **state);
/* Destroys the disk; fails when the target still holds a command. */
int scsi_bench_teardown(void **state);
int scsi_bench_create(struct scsi_bench *bench);
/* The same, and it must succeed. */
struct block_device *scsi_bench_disk(struct scsi_bench *bench);
int scsi_bench_run(struct scsi_bench *bench, enum block_operation operation, uint64_t lba, uint64_t count);

#endif
