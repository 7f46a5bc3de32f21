/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything at once, by chance but the same in every run: faults of all kinds, slow and odd controllers, cables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/xhci_bench.h"

#define SECOND NANOSECONDS_PER_SECOND
#define ROUNDS 16
#define REQUESTS 40
#define BLOCKS 48u /* of one request */

static uint64_t draw(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (*seed >> 33) % below;
}

struct storm {
    struct block_request requests[REQUESTS];
    unsigned ended, twice;
    bool seen[REQUESTS];
};

static void request_done(struct block_request *request)
{
    struct storm *storm = request->context;
    size_t index = (size_t)(request - storm->requests);

    storm->ended++;
    storm->twice += storm->seen[index];
    storm->seen[index] = true;
}

static bool all_ended(void *context)
{
    return ((const struct storm *)context)->ended == REQUESTS;
}

/* Block `lba` as the round writes it: every 8 bytes tell where and when. */
static void fill(uint8_t *to, uint64_t lba, unsigned round)
{
    for (unsigned at = 0; at < BLOCKS * 512; at += 8) {
        uint64_t value = (lba << 16 | at) ^ (uint64_t)round << 48;
        memcpy(to + at, &value, sizeof(value));
    }
}

static void send(struct xhci_bench *bench, struct block_device *device, struct storm *storm, unsigned round,
                 uint64_t *seed)
{
    memset(storm, 0, sizeof(*storm));
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct block_request *request = &storm->requests[i];
        uint8_t *data = (uint8_t *)bench->buffer.data + i * BLOCKS * 512;
        int status;
        *request = (struct block_request){.operation = draw(seed, 2) ? BLOCK_READ : BLOCK_WRITE,
                                          .lba = i * BLOCKS,
                                          .count = BLOCKS,
                                          .buffer = &bench->buffer,
                                          .offset = i * BLOCKS * 512,
                                          .done = request_done,
                                          .context = storm};
        fill(data, request->lba, round);
        while ((status = block_submit(device, request)) == -ERROR_FULL)
            xhci_bench_run(bench, 10 * NANOSECONDS_PER_MILLISECOND);
        if (status) {
            assert_int_equal(status, -ERROR_GONE);
            request->status = status;
            storm->ended++;
            storm->seen[i] = true;
        }
    }
}

/* What is said to have been written is there; what was read is what is there. */
static void check(struct xhci_bench *bench, const struct storm *storm, unsigned round)
{
    static uint8_t expected[BLOCKS * 512];

    assert_int_equal(storm->twice, 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        const struct block_request *request = &storm->requests[i];
        const uint8_t *there = bench->disk.target.units[0].data + request->lba * 512;
        if (request->status)
            continue;
        if (request->operation == BLOCK_READ) {
            assert_memory_equal((uint8_t *)bench->buffer.data + request->offset, there, BLOCKS * 512);
            continue;
        }
        fill(expected, request->lba, round);
        assert_memory_equal(there, expected, BLOCKS * 512);
    }
}

static void storm(struct xhci_bench *bench, enum usb_speed speed, bool uas, uint64_t seed)
{
    struct usb_model_port *port = &bench->model.ports[speed >= USB_SPEED_SUPER ? 4 : 0];
    struct storm *requests = calloc(1, sizeof(*requests));
    static const enum usb_model_disk_fault common[] = {
        USB_MODEL_NO_FAULT,  USB_MODEL_UNPLUG,     USB_MODEL_UNPLUG_IN_DATA, USB_MODEL_HANG,
        USB_MODEL_HANG_HARD, USB_MODEL_STALL_DATA, USB_MODEL_SHORT_DATA,     USB_MODEL_TRANSACTION_ERROR};

    assert_non_null(requests);
    bench->model.tells_last = draw(&seed, 2);
    bench->model.stop_tells_idle = draw(&seed, 2);
    bench->model.wide_contexts = draw(&seed, 2);
    bench->model.command_delay = (unsigned)draw(&seed, 12);
    bench->model.pace = 1 + (unsigned)draw(&seed, 6);
    usb_model_disk_init(&bench->disk, speed, uas, 1);
    usb_model_unit_data(&bench->disk.target.units[0]);
    usb_model_plug(port, &bench->disk.device);
    assert_int_equal(xhci_bench_attach(bench), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct block_device *device = xhci_bench_disk(bench, "usb:MODEL0001", 60);
        assert_non_null(device);
        block_device_hold(device);
        bench->disk.laziness = (unsigned)draw(&seed, 5);
        bench->disk.reorder = draw(&seed, 2);
        bench->disk.stall_when_short = draw(&seed, 2);
        bench->model.silent = draw(&seed, 2);
        usb_model_disk_fault_next(&bench->disk, common[draw(&seed, sizeof(common) / sizeof(common[0]))],
                                  draw(&seed, 2) ? 0x28 : 0x2a);
        bench->disk.fault_at = 1 + (unsigned)draw(&seed, 20);
        send(bench, device, requests, round, &seed);
        assert_true(
            loop_wait(&bench->loop, all_ended, requests, deadline_after(&bench->platform.platform, 300 * SECOND)));
        check(bench, requests, round);
        block_device_let_go(device);
        bench->disk.fault = USB_MODEL_NO_FAULT;
        assert_false(xhci_bus(bench->xhci)->dead);
        /* Plugged in anew each time, so that no round pays for the failures of those before. */
        usb_model_unplug(&bench->disk.device);
        xhci_bench_run(bench, 2 * SECOND);
        assert_null(bench->registry.first);
        assert_null(xhci_bus(bench->xhci)->devices);
        usb_model_plug(port, &bench->disk.device);
    }
    free(requests);
}

static void test_bulk_only_high(void **state)
{
    storm(*state, USB_SPEED_HIGH, false, 1);
}

static void test_bulk_only_super(void **state)
{
    storm(*state, USB_SPEED_SUPER, false, 2);
}

static void test_uas_high(void **state)
{
    storm(*state, USB_SPEED_HIGH, true, 3);
}

static void test_uas_super(void **state)
{
    storm(*state, USB_SPEED_SUPER, true, 4);
}

static void test_uas_super_again(void **state)
{
    storm(*state, USB_SPEED_SUPER, true, 5);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, xhci_bench_setup, xhci_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bulk_only_high), TEST(test_bulk_only_super), TEST(test_uas_high),
        TEST(test_uas_super),      TEST(test_uas_super_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
