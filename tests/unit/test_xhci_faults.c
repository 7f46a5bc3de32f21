/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The xHCI driver against devices that stall and vanish, and a controller that is slow, lies or dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/xhci_bench.h"

#define SECOND NANOSECONDS_PER_SECOND
#define MILLISECOND NANOSECONDS_PER_MILLISECOND
#define TRANSFERS 12

static void probe_start(struct xhci_bench *bench, enum usb_speed speed, uint8_t streams)
{
    xhci_probe_init(&bench->probe, speed, streams);
    usb_model_plug(&bench->model.ports[speed >= USB_SPEED_SUPER ? 4 : 0], &bench->probe.device);
    assert_int_equal(xhci_bench_attach(bench), 0);
    assert_non_null(xhci_probe_in(bench));
}

struct transfers {
    struct usb_transfer transfers[TRANSFERS];
    struct usb_transfer *given_back[TRANSFERS]; /* those that did not end well, their memory filled with 0xee */
    unsigned given_back_count;
    unsigned ended, twice, status[64]; /* status: how many, by error code */
    uint32_t raw[TRANSFERS];
};

static void transfer_done(struct usb_transfer *transfer)
{
    struct transfers *all = transfer->context;

    uint32_t *raw = &all->raw[transfer - all->transfers];

    all->ended++;
    all->twice += *raw != 0;
    all->status[-transfer->status & 63]++;
    *raw = transfer->raw_status;
    /* Whoever sent it has another use for its memory from now on. */
    if (transfer->status) {
        all->given_back[all->given_back_count++] = transfer;
        memset((uint8_t *)transfer->buffer->data + transfer->offset, 0xee, transfer->length);
    }
}

static bool all_ended(void *context)
{
    return ((const struct transfers *)context)->ended == TRANSFERS;
}

/* TRANSFERS of 100 KiB each. */
static void submit_all(struct xhci_bench *bench, struct transfers *all, struct usb_endpoint *endpoint)
{
    memset(all, 0, sizeof(*all));
    for (unsigned i = 0; i < TRANSFERS; i++) {
        all->transfers[i] = (struct usb_transfer){.endpoint = endpoint,
                                                  .buffer = &bench->buffer,
                                                  .offset = i * 200000 + i,
                                                  .length = 102400,
                                                  .stream = (uint16_t)(endpoint->streams ? i % 4 + 1 : 0),
                                                  .done = transfer_done,
                                                  .context = all};
        assert_int_equal(usb_submit(&all->transfers[i]), 0);
    }
}

static void wait_all(struct xhci_bench *bench, struct transfers *all)
{
    assert_true(loop_wait(&bench->loop, all_ended, all, deadline_after(&bench->platform.platform, 10 * SECOND)));
    assert_int_equal(all->twice, 0);
}

static int call_reset(void *context)
{
    return usb_endpoint_reset(context);
}

static int call_cancel(void *context)
{
    return usb_endpoint_cancel(context);
}

static int call_device_reset(void *context)
{
    return usb_device_reset(context);
}

/* Everything works: one round of transfers in each direction. */
static void assert_works(struct xhci_bench *bench)
{
    struct transfers all;

    bench->probe.answer = 0;
    bench->probe.in_at = bench->probe.out_at = 0;
    submit_all(bench, &all, xhci_probe_in(bench));
    wait_all(bench, &all);
    assert_int_equal(all.status[0], TRANSFERS);
    for (unsigned i = 0; i < TRANSFERS && !xhci_probe_in(bench)->streams; i++)
        assert_memory_equal((uint8_t *)bench->buffer.data + i * 200000 + i, bench->probe.in_data + i * 102400, 102400);
    submit_all(bench, &all, xhci_probe_out(bench));
    wait_all(bench, &all);
    assert_int_equal(all.status[0], TRANSFERS);
}

/* --- stalls and errors --- */

/* The device answers so at a point in the middle of the queue, in each TRB of a TD, in both directions. */
static void halts(struct xhci_bench *bench, int answer, enum error_code code, unsigned raw)
{
    static const size_t points[] = {0, 1024, 64512, 101376, 307200, 372736, 1150976};

    for (unsigned i = 0; i < 2 * sizeof(points) / sizeof(points[0]); i++) {
        struct transfers all;
        struct usb_endpoint *endpoint = i & 1 ? xhci_probe_in(bench) : xhci_probe_out(bench);
        size_t point = points[i / 2];
        bench->probe.in_at = bench->probe.out_at = 0;
        bench->probe.answer = answer;
        bench->probe.answer_at = point;
        submit_all(bench, &all, endpoint);
        xhci_bench_run(bench, SECOND);
        unsigned failed = (unsigned)(point / 102400);
        assert_int_equal(all.ended, failed + 1);
        assert_int_equal(all.status[0], failed);
        assert_int_equal(all.status[code], 1);
        assert_int_equal(all.transfers[failed].status, -(int)code);
        assert_int_equal(all.raw[failed], raw);
        assert_int_equal(xhci_bench_call(bench, call_reset, endpoint), 0);
        wait_all(bench, &all);
        assert_int_equal(all.status[ERROR_ABORTED], TRANSFERS - failed - 1);
        assert_works(bench);
    }
}

static void test_stall(void **state)
{
    probe_start(*state, USB_SPEED_HIGH, 0);
    halts(*state, USB_MODEL_STALL, ERROR_REFUSED, XHCI_STALL);
}

static void test_transaction_error(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.wide_contexts = true;
    probe_start(bench, USB_SPEED_SUPER, 0);
    halts(bench, USB_MODEL_ERROR, ERROR_IO, XHCI_TRANSACTION_ERROR);
}

static void test_babble(void **state)
{
    probe_start(*state, USB_SPEED_HIGH, 0);
    halts(*state, USB_MODEL_BABBLE, ERROR_IO, XHCI_BABBLE);
}

static void test_stall_of_a_stream(void **state)
{
    struct xhci_bench *bench = *state;
    struct transfers all;

    probe_start(bench, USB_SPEED_SUPER, 4);
    for (unsigned round = 0; round < 10; round++) {
        struct usb_endpoint *endpoint = round & 1 ? xhci_probe_in(bench) : xhci_probe_out(bench);
        bench->probe.answer = USB_MODEL_STALL;
        bench->probe.answer_at = round * 102400;
        bench->probe.in_at = bench->probe.out_at = 0;
        submit_all(bench, &all, endpoint);
        xhci_bench_run(bench, SECOND);
        assert_int_equal(all.status[ERROR_REFUSED], 1);
        assert_int_equal(xhci_bench_call(bench, call_reset, endpoint), 0);
        wait_all(bench, &all);
        assert_works(bench);
    }
}

/* Control requests that the device refuses: the endpoint is usable at once, many times in a row. */
struct request {
    struct usb_device *device;
    uint8_t request;
    uint16_t length;
    uint64_t timeout;
};

static int call_request(void *context)
{
    struct request *request = context;
    uint8_t data[64];

    return usb_control(request->device, USB_IN, request->request, USB_DESCRIPTOR_DEVICE << 8, 0, data, request->length,
                       request->timeout);
}

static void test_control_stalls(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_HIGH, 0);
    struct request good = {xhci_probe_in(bench)->device, USB_GET_DESCRIPTOR, 18, 0};
    struct request bad = {xhci_probe_in(bench)->device, 0x77, 18, 0};
    for (unsigned i = 0; i < 200; i++) {
        bad.length = i % 3 ? 18 : 0;
        assert_int_equal(xhci_bench_call(bench, call_request, &bad), -ERROR_REFUSED);
        assert_int_equal(xhci_bench_call(bench, call_request, &good), 18);
    }
    good.length = 64; /* a short data stage */
    assert_int_equal(xhci_bench_call(bench, call_request, &good), 18);
    assert_works(bench);
}

/* The stall comes at the deadline, while the endpoint is being stopped: whoever gets there first, it works again at once. */
static void test_control_stalls_at_the_deadline(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_HIGH, 0);
    struct request good = {xhci_probe_in(bench)->device, USB_GET_DESCRIPTOR, 18, 0};
    struct request bad = {xhci_probe_in(bench)->device, 0x77, 18, 100 * 1000};
    unsigned late = 0, stalled = 0;
    for (unsigned delay = 0; delay < 24; delay += 4) {
        bench->model.command_delay = delay;
        for (unsigned i = 1; i < 120; i++) {
            bench->probe.device.bad_request = bad.request;
            bench->probe.device.bad_answer = USB_MODEL_NAK;
            bench->probe.device.bad_times = i;
            int result = xhci_bench_call(bench, call_request, &bad);
            assert_true(result == -ERROR_TIMEOUT || result == -ERROR_REFUSED);
            late += result == -ERROR_TIMEOUT;
            stalled += result == -ERROR_REFUSED;
            uint64_t begun = platform_now(&bench->platform.platform);
            assert_int_equal(xhci_bench_call(bench, call_request, &good), 18);
            assert_true(platform_now(&bench->platform.platform) - begun < SECOND);
        }
    }
    assert_true(late && stalled);
    bench->probe.device.bad_request = -1;
}

static void test_control_errors(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_HIGH, 0);
    struct request good = {xhci_probe_in(bench)->device, USB_GET_DESCRIPTOR, 18, 0};
    struct request bad = {xhci_probe_in(bench)->device, 0x77, 18, 200 * MILLISECOND};
    for (unsigned i = 0; i < 20; i++) {
        bench->probe.device.bad_request = 0x77;
        bench->probe.device.bad_answer = i & 1 ? USB_MODEL_ERROR : USB_MODEL_NAK;
        assert_int_equal(xhci_bench_call(bench, call_request, &bad), i & 1 ? -ERROR_IO : -ERROR_TIMEOUT);
        assert_int_equal(xhci_bench_call(bench, call_request, &good), 18);
    }
    assert_works(bench);
}

/* --- stopping --- */

/* Cancelled at every moment: before anything moved, in the middle of a TD, while the last ones end, and when all is over. */
static void cancels(struct xhci_bench *bench, unsigned streams)
{
    probe_start(bench, streams ? USB_SPEED_SUPER : USB_SPEED_HIGH, (uint8_t)streams);
    for (unsigned moment = 0; moment < 60; moment++) {
        struct transfers all;
        struct usb_endpoint *endpoint = moment & 1 ? xhci_probe_in(bench) : xhci_probe_out(bench);
        bench->probe.in_at = bench->probe.out_at = 0;
        bench->probe.answer = moment % 3 ? 0 : USB_MODEL_NAK;
        bench->probe.answer_at = 333 * 1024;
        submit_all(bench, &all, endpoint);
        for (unsigned i = 0; i < moment / 2; i++)
            loop_step(&bench->loop);
        assert_int_equal(xhci_bench_call(bench, call_cancel, endpoint), 0);
        assert_int_equal(all.ended, TRANSFERS);
        assert_int_equal(all.twice, 0);
        assert_int_equal(all.status[0] + all.status[ERROR_ABORTED], TRANSFERS);
        assert_works(bench);
    }
}

static void test_cancel(void **state)
{
    cancels(*state, 0);
}

static void test_cancel_with_idle_events(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.stop_tells_idle = true;
    bench->model.command_delay = 7;
    cancels(bench, 0);
}

static void test_cancel_streams(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.stop_tells_idle = true;
    cancels(bench, 4);
}

/* Nothing came into the memory of those that had ended. */
static void assert_given_back(struct xhci_bench *bench, const struct transfers *all)
{
    xhci_bench_run(bench, SECOND);
    for (unsigned i = 0; i < all->given_back_count; i++) {
        const struct usb_transfer *transfer = all->given_back[i];
        const uint8_t *bytes = (const uint8_t *)transfer->buffer->data + transfer->offset;
        for (size_t j = 0; j < transfer->length; j++)
            assert_int_equal(bytes[j], 0xee);
    }
}

/* Stopped again before the doorbell has had its effect: the controller refuses the stop, and starts all the same (4.6.9). */
static void cancels_before_the_start(struct xhci_bench *bench, unsigned streams)
{
    struct transfers all;

    probe_start(bench, streams ? USB_SPEED_SUPER : USB_SPEED_HIGH, (uint8_t)streams);
    for (unsigned round = 0; round < 10; round++) {
        bench->model.command_delay = round * 3;
        bench->model.start_delay = round * 3 + round;
        submit_all(bench, &all, xhci_probe_in(bench));
        assert_int_equal(xhci_bench_call(bench, call_cancel, xhci_probe_in(bench)), 0);
        submit_all(bench, &all, xhci_probe_in(bench));
        assert_int_equal(xhci_bench_call(bench, call_cancel, xhci_probe_in(bench)), 0);
        assert_int_equal(all.ended, TRANSFERS);
        assert_given_back(bench, &all);
        assert_works(bench);
    }
}

static void test_cancel_before_the_start(void **state)
{
    cancels_before_the_start(*state, 0);
}

static void test_cancel_streams_before_the_start(void **state)
{
    cancels_before_the_start(*state, 4);
}

/* An error that does not halt the endpoint: what is behind it goes on, and must be stopped before its memory is given back. */
static void soft_errors(struct xhci_bench *bench, unsigned streams)
{
    static int (*const calls[])(void *context) = {call_cancel, call_reset};

    bench->model.pace = 1;
    probe_start(bench, streams ? USB_SPEED_SUPER : USB_SPEED_HIGH, (uint8_t)streams);
    for (unsigned round = 0; round < 4; round++) {
        struct transfers all;
        bench->probe.in_at = 0;
        bench->model.soft_error = XHCI_DATA_BUFFER_ERROR;
        submit_all(bench, &all, xhci_probe_in(bench));
        while (!all.ended)
            loop_step(&bench->loop);
        assert_int_equal(all.status[ERROR_IO], 1);
        assert_int_equal(xhci_bench_call(bench, calls[round & 1], xhci_probe_in(bench)), 0);
        wait_all(bench, &all);
        assert_given_back(bench, &all);
        assert_int_equal(xhci_bench_call(bench, call_reset, xhci_probe_in(bench)), 0);
        assert_works(bench);
    }
}

static void test_soft_errors(void **state)
{
    soft_errors(*state, 0);
}

static void test_soft_errors_of_streams(void **state)
{
    soft_errors(*state, 4);
}

static void test_device_reset(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_SUPER, 0);
    for (unsigned moment = 0; moment < 12; moment++) {
        struct transfers all;
        submit_all(bench, &all, xhci_probe_in(bench));
        for (unsigned i = 0; i < 2 * moment; i++)
            loop_step(&bench->loop);
        assert_int_equal(xhci_bench_call(bench, call_device_reset, xhci_probe_in(bench)->device), 0);
        assert_int_equal(all.ended, TRANSFERS);
        assert_int_equal(all.twice, 0);
        assert_works(bench);
    }
}

/* --- plugging --- */

/* Pulled at every doorbell from the first on, then plugged in again; everything in flight ends and nothing is left. */
static void test_pulled_in_flight(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_SUPER, 0);
    for (unsigned moment = 1; moment < 30; moment++) {
        struct transfers all;
        struct usb_endpoint *endpoint = moment & 1 ? xhci_probe_in(bench) : xhci_probe_out(bench);
        bench->probe.in_at = bench->probe.out_at = 0;
        bench->model.silent = moment & 2;
        submit_all(bench, &all, endpoint);
        for (unsigned i = 0; i < moment; i++)
            loop_step(&bench->loop);
        usb_model_unplug(&bench->probe.device);
        wait_all(bench, &all);
        xhci_bench_run(bench, SECOND);
        assert_null(xhci_bus(bench->xhci)->devices);
        usb_model_plug(&bench->model.ports[4], &bench->probe.device);
        xhci_bench_run(bench, 2 * SECOND);
        assert_non_null(xhci_probe_in(bench));
        assert_works(bench);
    }
}

/* Pulled while it is being enumerated, at each of its requests. */
static void test_pulled_in_enumeration(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_HIGH, 0);
    unsigned requests = bench->probe.device.requests;
    assert_true(requests >= 5);
    for (unsigned at = 1; at <= requests; at++) {
        usb_model_unplug(&bench->probe.device);
        xhci_bench_run(bench, SECOND);
        assert_null(xhci_bus(bench->xhci)->devices);
        bench->probe.device.requests = 0;
        bench->probe.device.unplug_at_request = at;
        usb_model_plug(&bench->model.ports[0], &bench->probe.device);
        xhci_bench_run(bench, 2 * SECOND);
        assert_null(bench->probe.device.port);
        bench->probe.device.unplug_at_request = 0;
        usb_model_plug(&bench->model.ports[0], &bench->probe.device);
        xhci_bench_run(bench, 2 * SECOND);
        assert_non_null(xhci_probe_in(bench));
    }
    assert_works(bench);
}

static void test_lost_port_events(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.loses_port_events = true;
    probe_start(bench, USB_SPEED_HIGH, 0);
    usb_model_unplug(&bench->probe.device);
    xhci_bench_run(bench, SECOND);
    assert_null(xhci_bus(bench->xhci)->devices);
    usb_model_plug(&bench->model.ports[0], &bench->probe.device);
    xhci_bench_run(bench, 2 * SECOND);
    assert_works(bench);
}

static void test_link_fails(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_SUPER, 0);
    usb_model_port_fail_link(&bench->model.ports[4]);
    xhci_bench_run(bench, 5 * SECOND);
    assert_true(bench->model.ports[4].warm_resets > 0);
    assert_non_null(xhci_probe_in(bench));
    assert_works(bench);
}

/* --- commands --- */

/* A device that never answers SET_ADDRESS: the command is aborted, others are served. */
static void test_address_hangs(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_SUPER, 0);
    usb_model_keyboard_init(&bench->keyboard, USB_SPEED_LOW);
    bench->keyboard.device.deaf_for_ever = true;
    usb_model_plug(&bench->model.ports[1], &bench->keyboard.device);
    xhci_bench_run(bench, 60 * SECOND);
    assert_false(xhci_bus(bench->xhci)->dead);
    assert_works(bench);
    usb_model_unplug(&bench->keyboard.device);
    xhci_bench_run(bench, 10 * SECOND);
    assert_non_null(xhci_bus(bench->xhci)->devices);
    assert_null(xhci_bus(bench->xhci)->devices->next);
}

/* Commands of each type are never answered, or fail: the device is lost, the controller is not, or it is given up, in bounded time. */
static void test_commands_unanswered(void **state)
{
    struct xhci_bench *bench = *state;
    static const int types[] = {XHCI_TRB_ENABLE_SLOT, XHCI_TRB_ADDRESS_DEVICE, XHCI_TRB_EVALUATE_CONTEXT,
                                XHCI_TRB_CONFIGURE_ENDPOINT, XHCI_TRB_DISABLE_SLOT};

    probe_start(bench, USB_SPEED_HIGH, 0);
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        usb_model_unplug(&bench->probe.device);
        xhci_bench_run(bench, SECOND);
        bench->model.deaf_command = types[i];
        usb_model_plug(&bench->model.ports[0], &bench->probe.device);
        xhci_bench_run(bench, 90 * SECOND);
        bench->model.deaf_command = -1;
        usb_model_unplug(&bench->probe.device);
        xhci_bench_run(bench, 20 * SECOND);
        assert_false(xhci_bus(bench->xhci)->dead);
        usb_model_plug(&bench->model.ports[0], &bench->probe.device);
        xhci_bench_run(bench, 5 * SECOND);
        assert_works(bench);
    }
}

static void test_commands_fail(void **state)
{
    struct xhci_bench *bench = *state;
    static const int types[] = {XHCI_TRB_ENABLE_SLOT, XHCI_TRB_ADDRESS_DEVICE, XHCI_TRB_CONFIGURE_ENDPOINT,
                                XHCI_TRB_DISABLE_SLOT};
    static const unsigned codes[] = {XHCI_NO_SLOTS, XHCI_TRANSACTION_ERROR, XHCI_RESOURCE_ERROR, XHCI_TRB_ERROR};

    probe_start(bench, USB_SPEED_HIGH, 0);
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        usb_model_unplug(&bench->probe.device);
        xhci_bench_run(bench, SECOND);
        bench->model.bad_command = types[i];
        bench->model.bad_code = codes[i];
        usb_model_plug(&bench->model.ports[0], &bench->probe.device);
        xhci_bench_run(bench, 20 * SECOND);
        usb_model_unplug(&bench->probe.device);
        xhci_bench_run(bench, 5 * SECOND);
        bench->model.bad_command = -1;
        assert_null(xhci_bus(bench->xhci)->devices);
        usb_model_plug(&bench->model.ports[0], &bench->probe.device);
        xhci_bench_run(bench, 5 * SECOND);
        assert_works(bench);
    }
}

static void test_commands_dead(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_HIGH, 0);
    struct usb_endpoint *endpoint = xhci_probe_in(bench);
    struct transfers all;
    bench->probe.answer = USB_MODEL_NAK;
    submit_all(bench, &all, endpoint);
    bench->model.deaf_command = XHCI_TRB_STOP_ENDPOINT;
    bench->model.abort_ignored = true;
    assert_int_not_equal(xhci_bench_call(bench, call_cancel, endpoint), 0);
    wait_all(bench, &all);
    assert_true(xhci_bus(bench->xhci)->dead);
    assert_true(bench->model.function.dma_stops > 0);
}

/* --- controllers that fail and lie --- */

static void dies(struct xhci_bench *bench, bool *how)
{
    struct transfers all;

    probe_start(bench, USB_SPEED_HIGH, 0);
    bench->probe.answer = USB_MODEL_NAK;
    submit_all(bench, &all, xhci_probe_in(bench));
    *how = true;
    uint64_t before = platform_now(&bench->platform.platform);
    wait_all(bench, &all);
    assert_true(platform_now(&bench->platform.platform) - before < 2 * SECOND);
    assert_int_equal(all.status[ERROR_GONE], TRANSFERS);
    assert_true(xhci_bus(bench->xhci)->dead);
    xhci_bench_run(bench, SECOND);
    before = platform_now(&bench->platform.platform);
    xhci_detach(bench->xhci);
    bench->xhci = NULL;
    assert_true(platform_now(&bench->platform.platform) - before < 30 * SECOND);
    bench->model.violations = 0; /* what is written to it while it fails does not matter */
}

static void test_gone(void **state)
{
    dies(*state, &((struct xhci_bench *)*state)->model.gone);
}

static void test_fatal(void **state)
{
    dies(*state, &((struct xhci_bench *)*state)->model.fatal);
}

static void test_controller_error(void **state)
{
    dies(*state, &((struct xhci_bench *)*state)->model.controller_error);
}

static void test_stops_by_itself(void **state)
{
    dies(*state, &((struct xhci_bench *)*state)->model.stops);
}

/* It still knows where its rings are: their memory is kept, and nobody lets it write again. */
static void test_not_to_be_reset(void **state)
{
    struct xhci_bench *bench = *state;
    struct test_platform *platform = &bench->platform;

    probe_start(bench, USB_SPEED_HIGH, 0);
    bench->model.never_resets = true;
    xhci_bench_detach(bench);
    assert_true(bench->model.function.pci.dma_unsafe);
    assert_true(bench->model.function.dma_stops > 0);
    assert_true(test_platform_logged(platform, "cannot be reset"));
    assert_true(platform->buffers > 1);
    /* But for those the platform is left as the others leave it. */
    platform->buffers = 1;
    platform->mappings = bench->buffer.mappings[0].device ? 1 : 0;
}

/* One lie each: nothing outside of the buffers is touched, no transfer ends twice, and a cancel brings order. */
static void test_lies(void **state)
{
    struct xhci_bench *bench = *state;

    probe_start(bench, USB_SPEED_HIGH, 0);
    for (unsigned lie = XHCI_LIE_SLOT; lie <= XHCI_LIE_NEVER; lie++)
        for (unsigned round = 0; round < 3; round++) {
            struct transfers all;
            struct usb_endpoint *endpoint = xhci_probe_in(bench);
            bench->probe.in_at = 0;
            submit_all(bench, &all, endpoint);
            for (unsigned i = 0; i < round * 2; i++)
                loop_step(&bench->loop);
            bench->model.lie = (enum xhci_model_lie)lie;
            xhci_bench_run(bench, SECOND);
            bench->model.lie = XHCI_LIE_NONE;
            assert_int_equal(xhci_bench_call(bench, call_cancel, endpoint), 0);
            wait_all(bench, &all);
            for (unsigned i = 0; i < TRANSFERS; i++)
                assert_true(all.transfers[i].moved <= all.transfers[i].length);
            assert_works(bench);
        }
}

/* Invented events without an end: the ring runs full, true ones come late, and nothing hangs. */
static void test_flood(void **state)
{
    struct xhci_bench *bench = *state;
    struct transfers all;

    probe_start(bench, USB_SPEED_HIGH, 0);
    submit_all(bench, &all, xhci_probe_in(bench));
    bench->model.flood = true;
    xhci_bench_run(bench, MILLISECOND / 4);
    bench->model.flood = false;
    xhci_bench_run(bench, SECOND);
    if (xhci_bus(bench->xhci)->dead)
        return;
    assert_int_equal(xhci_bench_call(bench, call_cancel, xhci_probe_in(bench)), 0);
    wait_all(bench, &all);
    assert_works(bench);
}

/* Nobody takes events for a while: the ring is full, and goes on when somebody does. */
static void test_event_ring_full(void **state)
{
    struct xhci_bench *bench = *state;
    struct transfers all;
    struct usb_bus *bus;

    probe_start(bench, USB_SPEED_HIGH, 0);
    bus = xhci_bus(bench->xhci);
    loop_remove(&bench->loop, &bus->pollable);
    submit_all(bench, &all, xhci_probe_in(bench));
    for (unsigned i = 0; i < 3000; i++) {
        struct usb_model_port *port = &bench->model.ports[2];
        port->over_current_changed = true;
        bench->model.port_changes[2] = 0;
        loop_step(&bench->loop);
    }
    assert_true(bench->model.full_events > 0);
    assert_int_equal(all.ended, 0);
    loop_add(&bench->loop, &bus->pollable);
    wait_all(bench, &all);
    assert_int_equal(all.status[0], TRANSFERS);
    assert_works(bench);
}

/* Given back at any moment of an enumeration, or with transfers in flight. */
static void given_back_early(struct xhci_bench *bench, enum usb_speed speed)
{
    usb_model_disk_init(&bench->disk, speed, true, 2);
    usb_model_plug(&bench->model.ports[speed >= USB_SPEED_SUPER ? 4 : 0], &bench->disk.device);
    xhci_model_start(&bench->model);
    for (unsigned moment = 0; moment < 100; moment += 3) {
        assert_int_equal(xhci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->keys,
                                     &bench->xhci, &bench->error),
                         0);
        xhci_bench_run(bench, moment * 5 * MILLISECOND);
        xhci_bench_detach(bench);
    }
}

static void test_given_back_early_high(void **state)
{
    given_back_early(*state, USB_SPEED_HIGH);
}

static void test_given_back_early_super(void **state)
{
    given_back_early(*state, USB_SPEED_SUPER);
}

/* Every allocation fails once while a controller with a hub and a disk comes up: it works without, or not at all. */
static void test_no_memory(void **state)
{
    struct xhci_bench *bench = *state;
    unsigned failed = 0, with_disk = 0;
    long after;

    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, true, 1);
    usb_model_plug(&bench->model.ports[4], &bench->disk.device);
    xhci_model_start(&bench->model);
    for (after = 0; after < 2000 && with_disk < 3; after++) {
        bench->platform.fail_after = after;
        int result = xhci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->keys, &bench->xhci,
                                 &bench->error);
        failed += result != 0;
        if (!result) {
            xhci_bench_run(bench, SECOND);
            with_disk += bench->registry.first && bench->platform.fail_after > 0;
            xhci_bench_detach(bench);
        }
        bench->platform.fail_after = -1;
    }
    assert_true(failed > 3);
    assert_int_equal(with_disk, 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, xhci_bench_setup, xhci_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stall),
        TEST(test_transaction_error),
        TEST(test_babble),
        TEST(test_stall_of_a_stream),
        TEST(test_control_stalls),
        TEST(test_control_stalls_at_the_deadline),
        TEST(test_control_errors),
        TEST(test_cancel),
        TEST(test_cancel_with_idle_events),
        TEST(test_cancel_streams),
        TEST(test_cancel_before_the_start),
        TEST(test_cancel_streams_before_the_start),
        TEST(test_soft_errors),
        TEST(test_soft_errors_of_streams),
        TEST(test_device_reset),
        TEST(test_pulled_in_flight),
        TEST(test_pulled_in_enumeration),
        TEST(test_lost_port_events),
        TEST(test_link_fails),
        TEST(test_address_hangs),
        TEST(test_commands_unanswered),
        TEST(test_commands_fail),
        TEST(test_commands_dead),
        TEST(test_gone),
        TEST(test_fatal),
        TEST(test_controller_error),
        TEST(test_stops_by_itself),
        TEST(test_not_to_be_reset),
        TEST(test_lies),
        TEST(test_flood),
        TEST(test_event_ring_full),
        TEST(test_given_back_early_high),
        TEST(test_given_back_early_super),
        TEST(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
