/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the AHCI driver stand on: a platform, a loop, the controller of ahci_model.h, the driver attached to it, and
 * requests with a buffer each.
 */
#ifndef TESTS_SUPPORT_AHCI_BENCH_H
#define TESTS_SUPPORT_AHCI_BENCH_H

#include "core/block.h"
#include "drivers/ahci.h"
#include "tests/support/ahci_model.h"
#include "tests/support/test_platform.h"

#define SECOND NANOSECONDS_PER_SECOND
#define MILLISECOND NANOSECONDS_PER_MILLISECOND
#define AHCI_BENCH_REQUESTS 48

struct ahci_bench {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct ahci_model model;
    struct ahci_controller *controller;
    struct block_device *device;    /* the first one */
    struct ahci_model_device *disk; /* at port 0 */
    struct error error;
    struct buffer buffer; /* 4 MiB */
    struct block_request
        requests[AHCI_BENCH_REQUESTS]; /* in use when `context` is set; each has 64 KiB of the buffer */
};

/* For cmocka. teardown fails the test when the driver broke a rule of the model. */
int ahci_bench_setup(void **state);
int ahci_bench_teardown(void **state);

/* Starts the model and attaches. Returns what ahci_attach() does. */
int ahci_bench_attach(struct ahci_bench *bench);
void ahci_bench_detach(struct ahci_bench *bench);
uint64_t ahci_bench_now(struct ahci_bench *bench);

/* Fills a request and sends it; the loop runs while the device is full. Returns what block_submit() does. */
int ahci_bench_submit_to(struct ahci_bench *bench, struct block_device *device, unsigned index,
                         enum block_operation operation, uint64_t lba, uint64_t count);
int ahci_bench_submit(struct ahci_bench *bench, unsigned index, enum block_operation operation, uint64_t lba,
                      uint64_t count);
/* Reads of eight blocks, one behind the other, from the disk's start. */
void ahci_bench_submit_reads(struct ahci_bench *bench, unsigned count);
/* Runs the loop until all has ended; returns how long that took. */
uint64_t ahci_bench_wait_all(struct ahci_bench *bench);
/* One request to its end; returns its status. */
int ahci_bench_run(struct ahci_bench *bench, enum block_operation operation, uint64_t lba, uint64_t count);

/* The disk's blocks hold their own number; what was read must be that. */
void ahci_bench_number_blocks(struct ahci_model_device *disk);
void ahci_bench_check_read(struct ahci_bench *bench, unsigned index);
/* Of the first `count` requests, `failed` has this status, and all others read what is there. */
void ahci_bench_check_reads_but(struct ahci_bench *bench, unsigned count, unsigned failed, int status);
/* The conformance suite against the first device. */
void ahci_bench_conforms(struct ahci_bench *bench);

#endif
