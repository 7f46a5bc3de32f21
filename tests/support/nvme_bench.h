/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop, a platform, an emulated NVMe controller and requests: what the tests of the driver stand on. */
#ifndef TESTS_SUPPORT_NVME_BENCH_H
#define TESTS_SUPPORT_NVME_BENCH_H

#include "core/block.h"
#include "drivers/nvme.h"
#include "tests/support/nvme_model.h"
#include "tests/support/test_platform.h"

#define NVME_BENCH_REQUESTS 48

struct nvme_bench {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct nvme_model model;
    struct nvme_controller *controller;
    struct block_device *device; /* the first one */
    struct error error;
    struct buffer buffer;
    struct block_request requests[NVME_BENCH_REQUESTS];
};

/* Of a cmocka test: *state is a struct nvme_bench with a good controller, not yet started. */
int nvme_bench_setup(void **state);
/* Starts the controller and attaches the driver to it. */
int nvme_bench_attach(struct nvme_bench *bench);
void nvme_bench_detach(struct nvme_bench *bench);
/* Detaches; fails when the driver has broken a rule or kept the function. */
int nvme_bench_teardown(void **state);
/* Fills a request and sends it; the loop runs while the device is full. */
int nvme_bench_submit(struct nvme_bench *bench, unsigned index, enum block_operation operation, uint64_t lba,
                      uint64_t count, uint64_t timeout);
/* Until all requests have ended; fails after so many seconds of the platform's time. */
void nvme_bench_wait(struct nvme_bench *bench, uint64_t seconds);
/* All requests: 8 blocks each, from block 0 on. */
void nvme_bench_submit_reads(struct nvme_bench *bench, uint64_t timeout);
/* The first namespace's blocks hold their own number from now on. */
void nvme_bench_number_blocks(struct nvme_bench *bench);
/* The request has succeeded and read what nvme_bench_number_blocks() wrote. */
void nvme_bench_check_read(struct nvme_bench *bench, unsigned index);

#endif
