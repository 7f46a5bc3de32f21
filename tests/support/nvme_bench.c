/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/nvme_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int nvme_bench_setup(void **state)
{
    struct nvme_bench *bench = calloc(1, sizeof(*bench));
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    nvme_model_init(&bench->model, &bench->loop);
    assert_int_equal(buffer_allocate(&bench->platform.platform, 4 << 20, &bench->buffer), 0);
    *state = bench;
    return 0;
}

int nvme_bench_attach(struct nvme_bench *bench)
{
    nvme_model_start(&bench->model);
    int result = nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, &bench->error);
    bench->device = bench->registry.first;
    return result;
}

void nvme_bench_detach(struct nvme_bench *bench)
{
    nvme_detach(bench->controller);
    bench->controller = NULL;
    assert_null(bench->registry.first);
}

int nvme_bench_teardown(void **state)
{
    struct nvme_bench *bench = *state;
    if (bench->controller)
        nvme_bench_detach(bench);
    buffer_release(&bench->buffer);
    assert_int_equal(bench->model.claims, bench->model.releases);
    if (bench->model.violations)
        print_error("the driver broke a rule: %s\n", bench->model.violation);
    assert_int_equal(bench->model.violations, 0);
    nvme_model_end(&bench->model);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}

int nvme_bench_submit(struct nvme_bench *bench, unsigned index, enum block_operation operation, uint64_t lba,
                      uint64_t count, uint64_t timeout)
{
    struct block_request *request = &bench->requests[index];
    int result;
    memset(request, 0, sizeof(*request));
    request->operation = operation;
    request->lba = lba;
    request->count = count;
    request->timeout = timeout;
    if (operation == BLOCK_READ || operation == BLOCK_WRITE) {
        request->buffer = &bench->buffer;
        request->offset = (size_t)index * 64 * 1024;
    }
    while ((result = block_submit(bench->device, request)) == -ERROR_FULL)
        loop_step(&bench->loop);
    return result;
}

static bool all_ended(void *context)
{
    struct nvme_bench *bench = context;
    for (unsigned i = 0; i < NVME_BENCH_REQUESTS; i++)
        if (bench->requests[i].operation || bench->requests[i].count)
            if (!bench->requests[i].ended)
                return false;
    return true;
}

void nvme_bench_wait(struct nvme_bench *bench, uint64_t seconds)
{
    uint64_t deadline = deadline_after(&bench->platform.platform, seconds * NANOSECONDS_PER_SECOND);
    assert_true(loop_wait(&bench->loop, all_ended, bench, deadline));
}

void nvme_bench_submit_reads(struct nvme_bench *bench, uint64_t timeout)
{
    for (unsigned i = 0; i < NVME_BENCH_REQUESTS; i++)
        assert_int_equal(nvme_bench_submit(bench, i, BLOCK_READ, i * 8, 8, timeout), 0);
}

void nvme_bench_number_blocks(struct nvme_bench *bench)
{
    struct nvme_model_namespace *namespace = &bench->model.namespaces[0];
    for (uint64_t lba = 0; lba < namespace->blocks; lba++)
        for (unsigned at = 0; at < 1u << namespace->shift; at += 8)
            *(uint64_t *)(namespace->data + (lba << namespace->shift) + at) = lba << 16 | at;
}

void nvme_bench_check_read(struct nvme_bench *bench, unsigned index)
{
    const struct block_request *request = &bench->requests[index];
    unsigned shift = bench->model.namespaces[0].shift;
    const uint8_t *data = (const uint8_t *)bench->buffer.data + request->offset;
    assert_int_equal(request->status, 0);
    for (uint64_t at = 0; at < request->count << shift; at += 8) {
        uint64_t lba = request->lba + (at >> shift);
        assert_int_equal(*(const uint64_t *)(data + at), lba << 16 | (at & ((1u << shift) - 1)));
    }
}
