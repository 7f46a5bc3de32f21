/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/ahci_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"

#define REQUESTS AHCI_BENCH_REQUESTS
#define SPACING (64u * 1024)

int ahci_bench_setup(void **state)
{
    struct ahci_bench *bench = calloc(1, sizeof(*bench));
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    ahci_model_init(&bench->model, &bench->platform, &bench->loop);
    bench->disk = &bench->model.ports[0].device;
    assert_int_equal(buffer_allocate(&bench->platform.platform, 4 << 20, &bench->buffer), 0);
    *state = bench;
    return 0;
}

int ahci_bench_attach(struct ahci_bench *bench)
{
    ahci_model_start(&bench->model);
    int result =
        ahci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->controller, &bench->error);
    bench->device = bench->registry.first;
    return result;
}

void ahci_bench_detach(struct ahci_bench *bench)
{
    ahci_detach(bench->controller);
    bench->controller = NULL;
    assert_null(bench->registry.first);
}

int ahci_bench_teardown(void **state)
{
    struct ahci_bench *bench = *state;
    if (bench->controller)
        ahci_bench_detach(bench);
    buffer_release(&bench->buffer);
    assert_int_equal(bench->model.function.claims, bench->model.function.releases);
    if (bench->model.violations)
        print_error("the driver broke a rule: %s\n", bench->model.violation);
    assert_int_equal(bench->model.violations, 0);
    ahci_model_end(&bench->model);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}

uint64_t ahci_bench_now(struct ahci_bench *bench)
{
    return bench->platform.now;
}

int ahci_bench_submit_to(struct ahci_bench *bench, struct block_device *device, unsigned index,
                         enum block_operation operation, uint64_t lba, uint64_t count)
{
    struct block_request *request = &bench->requests[index];
    int result;
    memset(request, 0, sizeof(*request));
    request->operation = operation;
    request->lba = lba;
    request->count = count;
    request->context = bench; /* in use */
    if (operation == BLOCK_READ || operation == BLOCK_WRITE) {
        request->buffer = &bench->buffer;
        request->offset = (size_t)index * SPACING;
    }
    while ((result = block_submit(device, request)) == -ERROR_FULL)
        if (!loop_step(&bench->loop))
            loop_delay(&bench->loop, MILLISECOND);
    return result;
}

int ahci_bench_submit(struct ahci_bench *bench, unsigned index, enum block_operation operation, uint64_t lba,
                      uint64_t count)
{
    return ahci_bench_submit_to(bench, bench->device, index, operation, lba, count);
}

static bool all_ended(void *context)
{
    struct ahci_bench *bench = context;
    for (unsigned i = 0; i < REQUESTS; i++)
        if (bench->requests[i].context && !bench->requests[i].ended)
            return false;
    return true;
}

uint64_t ahci_bench_wait_all(struct ahci_bench *bench)
{
    uint64_t started = ahci_bench_now(bench);
    assert_true(loop_wait(&bench->loop, all_ended, bench, started + 600 * SECOND));
    return ahci_bench_now(bench) - started;
}

int ahci_bench_run(struct ahci_bench *bench, enum block_operation operation, uint64_t lba, uint64_t count)
{
    int result = ahci_bench_submit(bench, 0, operation, lba, count);
    if (result)
        return result;
    ahci_bench_wait_all(bench);
    return bench->requests[0].status;
}

void ahci_bench_submit_reads(struct ahci_bench *bench, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(ahci_bench_submit(bench, i, BLOCK_READ, i * 8, 8), 0);
}

void ahci_bench_number_blocks(struct ahci_model_device *disk)
{
    for (uint64_t lba = 0; lba < disk->blocks; lba++)
        for (uint32_t at = 0; at < disk->block; at += 8)
            *(uint64_t *)(disk->data + lba * disk->block + at) = lba << 16 | at;
}

void ahci_bench_check_read(struct ahci_bench *bench, unsigned index)
{
    const struct block_request *request = &bench->requests[index];
    uint32_t block = request->device->geometry.logical_block;
    const uint8_t *data = (const uint8_t *)bench->buffer.data + request->offset;
    assert_int_equal(request->status, 0);
    for (uint64_t at = 0; at < request->count * block; at += 8)
        assert_int_equal(*(const uint64_t *)(data + at), (request->lba + at / block) << 16 | at % block);
}

void ahci_bench_check_reads_but(struct ahci_bench *bench, unsigned count, unsigned failed, int status)
{
    for (unsigned i = 0; i < count; i++) {
        if (i == failed)
            assert_int_equal(bench->requests[i].status, status);
        else
            ahci_bench_check_read(bench, i);
    }
}

void ahci_bench_conforms(struct ahci_bench *bench)
{
    for (unsigned seed = 1; seed < 3; seed++) {
        struct block_conformance_options options = {.destructive = !bench->device->read_only, .seed = seed};
        const char *failed = block_conformance_run(bench->device, &options);
        if (failed)
            fail_msg("%s: %s", bench->device->name, failed);
    }
}
