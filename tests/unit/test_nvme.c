/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe driver and controllers that work: identification, transfers, errors of single commands, attach and detach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "tests/support/nvme_bench.h"

#define SECOND NANOSECONDS_PER_SECOND
#define REQUESTS NVME_BENCH_REQUESTS

/* ---- identification ---- */

static void identifies(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    struct block_device *device = bench->device;
    assert_string_equal(device->name, "nvme:MODEL0001");
    assert_string_equal(device->model, "Model drive");
    assert_string_equal(device->serial, "MODEL0001");
    assert_string_equal(device->firmware, "1.0");
    assert_string_equal(device->driver, "nvme");
    assert_int_equal(device->geometry.logical_block, 512);
    assert_int_equal(device->geometry.block_count, 4096);
    assert_int_equal(device->geometry.max_transfer, 512 * 1024);
    assert_int_equal(device->geometry.queue_depth, 64);
    assert_true(device->volatile_cache);
    assert_false(device->read_only);
    assert_null(device->registry_next);
    /* Interrupts of all kinds are off, although the capability list runs in a circle. */
    assert_int_equal(bench->model.configuration_space[0x50 / 4] & 1u << 16, 0);
    assert_int_equal(bench->model.configuration_space[0x60 / 4] & 1u << 31, 0);
    assert_true(bench->model.configuration_space[1] & 1u << 10);
}

static void finds_all_namespaces(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.namespaces[0].write_protected = true;
    bench->model.namespaces[1] =
        (struct nvme_model_namespace){.id = 2, .shift = 12, .blocks = 256, .write_granularity = 3};
    bench->model.namespaces[2] = (struct nvme_model_namespace){.id = 5, .shift = 12, .announced_only = true};
    bench->model.namespaces[3] = (struct nvme_model_namespace){.id = 4000000000u, .shift = 9, .blocks = 9};
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_true(bench->device->read_only);
    struct block_device *second = bench->device->registry_next;
    assert_string_equal(second->name, "nvme:MODEL0001/n2");
    assert_int_equal(second->geometry.logical_block, 4096);
    assert_int_equal(second->geometry.physical_block, 16384);
    assert_int_equal(second->geometry.block_count, 256);
    assert_false(second->read_only);
    assert_string_equal(second->registry_next->name, "nvme:MODEL0001/n4000000000");
    assert_null(second->registry_next->registry_next);
}

static void names_are_never_shared(void **state)
{
    struct nvme_bench *bench = *state;
    struct block_device other = {.bus = BUS_NVME, .name = "nvme:MODEL0001", .serial = "MODEL0001"};
    block_registry_add(&bench->registry, &other);
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_string_equal(other.registry_next->name, "nvme:MODEL0001@0000:01:00.0");
    block_registry_remove(&bench->registry, &other);
}

static void names_can_be_typed(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.serial = "AB #1";
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "nvme:AB__1");
}

static void unnamed_drive(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.serial = "";
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "nvme@0000:01:00.0");
}

static void old_controllers_are_counted(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.version = NVME_VERSION(1, 0);
    bench->model.namespaces[1] = (struct nvme_model_namespace){.id = 3, .shift = 9, .blocks = 8};
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_string_equal(bench->device->registry_next->name, "nvme:MODEL0001/n3");
    assert_null(bench->device->registry_next->registry_next);
}

static void refuses_what_cannot_be_copied(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.capabilities |= NVME_CAP_CSS_SEVERAL;
    bench->model.namespaces[0].metadata = 8;
    bench->model.namespaces[1] =
        (struct nvme_model_namespace){.id = 2, .shift = 12, .blocks = 64, .command_set = NVME_COMMAND_SET_ZONED};
    bench->model.namespaces[2] = (struct nvme_model_namespace){.id = 3, .shift = 12, .blocks = UINT64_MAX};
    bench->model.namespaces[3] = (struct nvme_model_namespace){.id = 4, .shift = 33, .blocks = 1 << 20};
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_null(bench->device);
}

/* A list of namespaces that never ends and is not sorted. */
static void hostile_namespace_list(void **state)
{
    struct nvme_bench *bench = *state;
    for (unsigned i = 1; i < MODEL_NAMESPACES; i++)
        bench->model.namespaces[i] = (struct nvme_model_namespace){.id = 1, .shift = 9, .blocks = 8};
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_null(bench->device->registry_next);
}

/* ---- transfers ---- */

/* Every length in blocks, beginning at every block of a page: all forms of PRP 1, PRP 2 and lists. */
static void transfers_of_every_shape(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.max_transfer = 4;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    uint64_t most = bench->device->geometry.max_transfer / 512;
    assert_int_equal(most, 128);
    for (uint64_t count = 1; count <= most; count++) {
        for (unsigned start = 0; start < 8; start++) {
            struct block_request *request = &bench->requests[0];
            uint8_t *data = (uint8_t *)bench->buffer.data + start * 512;
            memset(request, 0, sizeof(*request));
            memset(data, 0xee, (count + 1) * 512);
            *request = (struct block_request){
                .operation = BLOCK_READ, .lba = count, .count = count, .buffer = &bench->buffer, .offset = start * 512};
            assert_int_equal(block_run(bench->device, request, NULL), 0);
            nvme_bench_check_read(bench, 0);
            assert_int_equal(data[count * 512], 0xee);
        }
    }
    assert_int_equal(bench->model.biggest, 64 * 1024);
}

static void biggest_transfer_from_anywhere(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.max_transfer = 0;
    bench->model.namespaces[0].blocks = 8192;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    assert_int_equal(bench->device->geometry.max_transfer, 2 << 20);
    bench->requests[0] = (struct block_request){
        .operation = BLOCK_READ, .lba = 77, .count = 4096, .buffer = &bench->buffer, .offset = 3584};
    assert_int_equal(block_run(bench->device, &bench->requests[0], NULL), 0);
    nvme_bench_check_read(bench, 0);
}

static void works_at_depth(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    unsigned before = bench->model.doorbells;
    nvme_bench_submit_reads(bench, 0);
    bench->model.frozen = true;
    loop_step(&bench->loop);
    assert_int_equal(bench->model.most_pending, REQUESTS);
    bench->model.frozen = false;
    nvme_bench_wait(bench, 5);
    assert_in_range(bench->model.doorbells - before, 2, REQUESTS / 4);
    for (unsigned i = 0; i < REQUESTS; i++)
        nvme_bench_check_read(bench, i);
}

/* A wide doorbell stride, 8 KiB pages, queues of four entries, a slow start that CRTO announces. */
static void odd_but_legal(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.capabilities = 3ull | 3ull << 32 | 1ull << 48 | NVME_CAP_CSS_NVM | NVME_CAP_CRWMS;
    bench->model.ready_delay = SECOND;
    bench->model.max_transfer = 1;
    bench->model.configuration_space[0x44 / 4] = 3; /* left in D3 */
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_int_equal(bench->model.configuration_space[0x44 / 4], 0);
    nvme_bench_number_blocks(bench);
    assert_int_equal(bench->device->geometry.queue_depth, 3);
    assert_int_equal(bench->device->geometry.max_transfer, 16384);
    nvme_bench_submit_reads(bench, 0);
    nvme_bench_wait(bench, 5);
    assert_in_range(bench->model.most_pending, 2, 3);
    for (unsigned i = 0; i < REQUESTS; i++)
        nvme_bench_check_read(bench, i);
}

static void flush_discard_zeroes(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    const uint64_t *data = (const uint64_t *)bench->model.namespaces[0].data;
    assert_int_equal(nvme_bench_submit(bench, 0, BLOCK_WRITE_ZEROES, 100, 7, 0), 0);
    assert_int_equal(nvme_bench_submit(bench, 1, BLOCK_DISCARD, 200, 3000, 0), 0);
    assert_int_equal(nvme_bench_submit(bench, 2, BLOCK_FLUSH, 0, 0, 0), 0);
    nvme_bench_wait(bench, 5);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(bench->requests[i].status, 0);
    assert_int_equal(bench->model.flushes, 1);
    assert_int_equal(data[100 * 64 - 1], 99 << 16 | 504);
    assert_int_equal(data[100 * 64 + 1] | data[107 * 64 - 1], 0);
    assert_int_equal(data[107 * 64], 107 << 16);
    assert_int_equal(data[200 * 64 - 1], 199 << 16 | 504);
    assert_int_equal(data[200 * 64 + 1] | data[3200 * 64 - 1], 0);
    assert_int_equal(data[3200 * 64], 3200 << 16);
}

static void offers_only_what_works(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.pci.vendor_id = 0x8086; /* its Write Zeroes is a quirk */
    bench->model.pci.device_id = 0xf1a5;
    bench->model.optional_commands = NVME_ONCS_WRITE_ZEROES;
    bench->model.volatile_cache = 0;
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_int_equal(bench->device->geometry.max_write_zeroes, 0);
    assert_int_equal(bench->device->geometry.max_discard, 0);
    assert_false(bench->device->volatile_cache);
}

/* The suite for all block devices, on controllers of several kinds. */
static void conforms(struct nvme_bench *bench, uint32_t seed)
{
    assert_int_equal(nvme_bench_attach(bench), 0);
    struct block_conformance_options options = {.destructive = true, .seed = seed};
    for (struct block_device *device = bench->device; device; device = device->registry_next) {
        const char *failed = block_conformance_run(device, &options);
        if (failed)
            fail_msg("%s: %s", device->name, failed);
    }
}

static void conforms_with_512(void **state)
{
    conforms(*state, 1);
}

static void conforms_with_4096_and_small_transfers(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.max_transfer = 1;
    bench->model.namespaces[0] = (struct nvme_model_namespace){.id = 1, .shift = 12, .blocks = 1024};
    conforms(bench, 2);
}

static void conforms_with_two_namespaces(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.max_transfer = 3;
    bench->model.namespaces[1] = (struct nvme_model_namespace){.id = 2, .shift = 12, .blocks = 1024};
    conforms(bench, 3);
}

static void conforms_with_odd_hardware(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.capabilities = 1ull | 5ull << 32 | 2ull << 48 | NVME_CAP_CSS_NVM;
    bench->model.optional_commands = 0;
    bench->model.volatile_cache = 0;
    conforms(bench, 4);
}

static void conforms_when_write_protected(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.namespaces[0].write_protected = true;
    assert_int_equal(nvme_bench_attach(bench), 0);
    struct block_conformance_options options = {.destructive = false, .seed = 5};
    assert_null(block_conformance_run(bench->device, &options));
}

/* ---- errors of single commands ---- */

static void statuses(void **state)
{
    static const struct {
        uint16_t status;
        enum error_code code;
    } cases[] = {
        {NVME_STATUS(2, 0x81), ERROR_MEDIUM},
        {NVME_STATUS(2, 0x80), ERROR_MEDIUM},
        {NVME_STATUS(0, 0x80), ERROR_OUT_OF_RANGE},
        {NVME_STATUS(0, 0x20), ERROR_WRITE_PROTECTED},
        {NVME_STATUS(1, 0x82), ERROR_WRITE_PROTECTED},
        {NVME_STATUS(0, 0x06), ERROR_IO},
        {NVME_STATUS(7, 0x11), ERROR_IO},
        {NVME_STATUS(2, 0x86), ERROR_REFUSED},
        {NVME_STATUS(0, 0x82) | NVME_STATUS_DO_NOT_RETRY, ERROR_IO},
    };
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_number_blocks(bench);
    bench->model.bad_lba = 80;
    bench->model.bad_count = 1;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench->model.bad_status = cases[i].status;
        assert_int_equal(nvme_bench_submit(bench, 0, BLOCK_READ, 80, 1, 0), 0);
        assert_int_equal(nvme_bench_submit(bench, 1, BLOCK_READ, 81, 8, 0), 0);
        nvme_bench_wait(bench, 5);
        assert_int_equal(bench->requests[0].status, -(int)cases[i].code);
        assert_int_equal(bench->requests[0].raw_status, cases[i].status & NVME_STATUS_MASK);
        nvme_bench_check_read(bench, 1);
    }
    assert_int_equal(bench->model.resets, 0);
}

/* ---- attach and detach ---- */

static void attach_fails_cleanly(void **state)
{
    struct nvme_bench *bench = *state;
    static const struct {
        enum error_code code;
        size_t fault; /* a bool of the model */
    } cases[] = {
        {ERROR_GONE, offsetof(struct nvme_model, gone)},
        {ERROR_TIMEOUT, offsetof(struct nvme_model, never_ready)},
        {ERROR_IO, offsetof(struct nvme_model, fatal_for_ever)},
    };
    nvme_model_start(&bench->model);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool *fault = (bool *)((char *)&bench->model + cases[i].fault);
        *fault = true;
        assert_int_equal(
            nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, &bench->error),
            -(int)cases[i].code);
        assert_int_equal(bench->error.code, cases[i].code);
        assert_true(strstr(bench->error.device, "0000:01:00.0") != NULL);
        assert_int_equal(bench->model.claims, i + 1);
        assert_int_equal(bench->model.releases, i + 1);
        *fault = false;
    }
    /* Nothing is left behind: the next one works. */
    assert_int_equal(nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, &bench->error),
                     0);
}

/* Each admin command of the bring-up is refused, is not answered, is answered wrongly. */
static void admin_commands_fail(void **state)
{
    static const uint8_t opcodes[] = {NVME_ADMIN_SET_FEATURES, NVME_ADMIN_CREATE_COMPLETION_QUEUE,
                                      NVME_ADMIN_CREATE_SUBMISSION_QUEUE, NVME_ADMIN_IDENTIFY};
    struct nvme_bench *bench = *state;
    nvme_model_start(&bench->model);
    bench->model.bad_status = NVME_STATUS(0, 0x06);
    for (unsigned i = 0; i < 2 * sizeof(opcodes); i++) {
        bench->model.bad_opcode = i & 1 ? opcodes[i / 2] : -1;
        bench->model.deaf_opcode = i & 1 ? -1 : opcodes[i / 2];
        assert_int_equal(
            nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, &bench->error),
            i & 1 ? -ERROR_IO : -ERROR_TIMEOUT);
        assert_null(bench->registry.first);
    }
    bench->model.bad_opcode = bench->model.deaf_opcode = -1;
    for (enum nvme_model_lie lie = LIE_COMMAND_ID; lie <= LIE_FLOOD; lie++) {
        if (lie == LIE_TWICE) /* may be seen only by the next command, which this one's bring-up has */
            continue;
        bench->model.admin_lie = lie;
        assert_int_equal(
            nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, &bench->error),
            lie == LIE_PHASE ? -ERROR_TIMEOUT : -ERROR_PROTOCOL);
    }
}

static void memory_runs_out_at_every_place(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.namespaces[1] = (struct nvme_model_namespace){.id = 2, .shift = 9, .blocks = 8};
    nvme_model_start(&bench->model);
    int result;
    for (long left = 0;; left++) {
        bench->platform.fail_after = left;
        result = nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, &bench->error);
        if (!result)
            break;
        assert_int_equal(result, -ERROR_NO_MEMORY);
        assert_int_equal(bench->error.code, ERROR_NO_MEMORY);
        assert_null(bench->registry.first);
        assert_true(left < 20);
    }
    bench->platform.fail_after = -1;
    assert_non_null(bench->registry.first->registry_next);
}

/* It vanishes while its namespaces are looked at: the first one is there already. */
static void gone_while_it_is_attached(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.namespaces[1] = (struct nvme_model_namespace){.id = 2, .shift = 9, .blocks = 8};
    bench->model.gone_after = 7; /* queues: 3 commands, controller, list, namespace 1 */
    assert_int_equal(nvme_bench_attach(bench), -ERROR_GONE);
    assert_null(bench->registry.first);
}

static void refuses_strange_hardware(void **state)
{
    struct nvme_bench *bench = *state;
    uint64_t good = bench->model.capabilities;
    nvme_model_start(&bench->model);
    bench->model.registers_size = 0x100c; /* no room for the I/O doorbells */
    assert_int_equal(nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, NULL),
                     -ERROR_PROTOCOL);
    bench->model.registers_size = 0x2000;
    bench->model.capabilities = good | 15ull << 48;
    assert_int_equal(nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, NULL),
                     -ERROR_UNSUPPORTED);
    bench->model.capabilities = good & ~NVME_CAP_CSS_NVM;
    assert_int_equal(nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, NULL),
                     -ERROR_UNSUPPORTED);
    bench->model.capabilities = good;
    bench->model.pci.vendor_id = 0x106b;
    bench->model.pci.device_id = 0x2005;
    assert_int_equal(nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, NULL),
                     -ERROR_UNSUPPORTED);
}

/* The firmware has left it running. */
static void takes_over_a_running_controller(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.cc = NVME_CC_EN | NVME_CC_IOSQES | NVME_CC_IOCQES;
    bench->model.csts = NVME_CSTS_RDY;
    bench->model.ready_delay = SECOND;
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_int_equal(bench->model.resets, 1);
}

static void running_controller_never_stops(void **state)
{
    struct nvme_bench *bench = *state;
    bench->model.cc = NVME_CC_EN | NVME_CC_IOSQES | NVME_CC_IOCQES;
    bench->model.csts = NVME_CSTS_RDY;
    bench->model.never_disabled = true;
    assert_int_equal(nvme_bench_attach(bench), -ERROR_TIMEOUT);
    assert_true(bench->model.dma_stopped);
}

static void detach_is_a_clean_shutdown(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_int_equal(nvme_bench_submit(bench, 0, BLOCK_WRITE, 0, 8, 0), 0);
    nvme_bench_wait(bench, 5);
    nvme_bench_detach(bench);
    assert_int_equal(bench->model.flushes, 1);
    assert_true(bench->model.clean_shutdown);
    assert_int_equal(bench->model.csts & NVME_CSTS_RDY, 0);
    assert_int_equal(bench->model.releases, 1);
}

static void detach_of_what_was_only_read(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    nvme_bench_submit_reads(bench, 0);
    nvme_bench_wait(bench, 5);
    nvme_bench_detach(bench);
    assert_int_equal(bench->model.flushes, 0);
    assert_true(bench->model.clean_shutdown);
}

/* Detached with the last flush unanswered, or the whole controller gone: bounded, and given back. */
static void detach_of_the_deaf_and_the_gone(void **state)
{
    struct nvme_bench *bench = *state;
    assert_int_equal(nvme_bench_attach(bench), 0);
    assert_int_equal(nvme_bench_submit(bench, 0, BLOCK_WRITE, 0, 8, 0), 0);
    nvme_bench_wait(bench, 5);
    bench->model.deaf_for_ever = bench->model.never_disabled = true;
    uint64_t before = platform_now(&bench->platform.platform);
    nvme_bench_detach(bench);
    assert_true(platform_now(&bench->platform.platform) - before < 200 * SECOND);
    assert_int_equal(bench->model.dma_stops, 1);

    bench->model.deaf_for_ever = bench->model.never_disabled = false;
    assert_int_equal(nvme_attach(&bench->loop, &bench->model.pci, &bench->registry, &bench->controller, NULL), 0);
    bench->model.gone = true;
    before = platform_now(&bench->platform.platform);
    nvme_bench_detach(bench);
    assert_true(platform_now(&bench->platform.platform) - before < 2 * SECOND);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, nvme_bench_setup, nvme_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identifies),
        TEST(finds_all_namespaces),
        TEST(names_are_never_shared),
        TEST(names_can_be_typed),
        TEST(unnamed_drive),
        TEST(old_controllers_are_counted),
        TEST(refuses_what_cannot_be_copied),
        TEST(hostile_namespace_list),
        TEST(transfers_of_every_shape),
        TEST(biggest_transfer_from_anywhere),
        TEST(works_at_depth),
        TEST(odd_but_legal),
        TEST(flush_discard_zeroes),
        TEST(offers_only_what_works),
        TEST(conforms_with_512),
        TEST(conforms_with_4096_and_small_transfers),
        TEST(conforms_with_two_namespaces),
        TEST(conforms_with_odd_hardware),
        TEST(conforms_when_write_protected),
        TEST(statuses),
        TEST(attach_fails_cleanly),
        TEST(admin_commands_fail),
        TEST(memory_runs_out_at_every_place),
        TEST(gone_while_it_is_attached),
        TEST(refuses_strange_hardware),
        TEST(takes_over_a_running_controller),
        TEST(running_controller_never_stops),
        TEST(detach_is_a_clean_shutdown),
        TEST(detach_of_what_was_only_read),
        TEST(detach_of_the_deaf_and_the_gone),
    };
    return cmocka_run_group_tests_name("nvme", tests, NULL, NULL);
}
