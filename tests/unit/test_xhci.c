/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The xHCI driver on an emulated controller: bring-up, control requests, bulk transfers, streams, giving back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/xhci_bench.h"

#define SECOND NANOSECONDS_PER_SECOND
#define MEBIBYTE (1u << 20)

/* --- bring-up --- */

static void test_bring_up(void **state)
{
    struct xhci_bench *bench = *state;

    assert_true(xhci_matches(&bench->model.function.pci));
    assert_int_equal(xhci_bench_attach(bench), 0);
    assert_true(bench->model.running);
    assert_int_equal(bench->model.function.claims, 1);
    assert_int_equal(bench->model.commands, 0);
    xhci_bench_detach(bench);
    assert_int_equal(bench->model.resets, 2);
    assert_int_equal(bench->model.function.releases, 1);
}

/* A keyboard on USB 2, a disk on USB 3, found and named, on a controller of each kind. */
static void all_kinds(struct xhci_bench *bench)
{
    usb_model_keyboard_init(&bench->keyboard, USB_SPEED_LOW);
    usb_model_disk_init(&bench->disk, USB_SPEED_SUPER, false, 1);
    usb_model_plug(&bench->model.ports[0], &bench->keyboard.device);
    usb_model_plug(&bench->model.ports[bench->model.port_count - 1], &bench->disk.device);
    assert_int_equal(xhci_bench_attach(bench), 0);
    assert_int_equal(xhci_bus(bench->xhci)->keyboards, 1);
    struct block_device *device = xhci_bench_disk(bench, "usb:MODEL0001", 10);
    assert_non_null(device);
    assert_int_equal(block_device_bytes(device), 4096 * 512);
    usb_model_keyboard_type(&bench->keyboard, 0, 4);
    xhci_bench_run(bench, SECOND / 10);
    assert_int_equal(bench->typed_count, 1);
    xhci_bench_detach(bench);
}

static void test_plain(void **state)
{
    all_kinds(*state);
}

static void test_wide_contexts(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.wide_contexts = true;
    bench->model.version = 0x120;
    bench->model.scratchpads = 300;
    all_kinds(bench);
}

static void test_old_controller(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.version = 0x096;
    bench->model.scratchpads = 0;
    bench->model.event_segments = 0;
    bench->model.stream_array = 0;
    bench->model.tells_last = false;
    bench->model.power_control = true;
    bench->model.command_delay = 20;
    all_kinds(bench);
}

/* Two ranges of USB 2 ports, two of USB 3, slot types, and names for speeds that are the controller's own. */
static void test_protocols(void **state)
{
    struct xhci_bench *bench = *state;
    struct xhci_model_protocol *protocols = bench->model.protocols;

    bench->model.port_count = 12;
    protocols[0] = (struct xhci_model_protocol){.major = 2, .first_port = 1, .port_count = 2};
    protocols[1] =
        (struct xhci_model_protocol){.major = 3, .minor = 0x10, .first_port = 3, .port_count = 2, .slot_type = 3};
    protocols[2] = (struct xhci_model_protocol){.major = 2, .first_port = 5, .port_count = 4};
    /* 5 Gbit/s is 7 here, 10 Gbit/s is 8. */
    protocols[3] = (struct xhci_model_protocol){.major = 3,
                                                .minor = 0x10,
                                                .first_port = 9,
                                                .port_count = 4,
                                                .slot_type = 3,
                                                .speed_count = 2,
                                                .speeds = {7 | 3u << 4 | 5u << 16, 8 | 3u << 4 | 10u << 16},
                                                .speed_ids = {[USB_SPEED_SUPER] = 7, [USB_SPEED_SUPER_PLUS] = 8}};
    for (unsigned i = 0; i < 12; i++)
        bench->model.ports[i].super = i == 2 || i == 3 || i >= 8;
    all_kinds(bench);
}

static void test_firmware_lets_go(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.firmware_owned = true;
    assert_int_equal(xhci_bench_attach(bench), 0);
    assert_true(bench->model.legacy & XHCI_LEGSUP_OS_OWNED);
    assert_false(bench->model.legacy & XHCI_LEGSUP_BIOS_OWNED);
    assert_int_equal(bench->model.legacy_control, 0);
    xhci_bench_detach(bench);
    assert_true(bench->model.legacy & XHCI_LEGSUP_BIOS_OWNED);
    assert_false(bench->model.legacy & XHCI_LEGSUP_OS_OWNED);
    assert_int_equal(bench->model.legacy_control, 0xe011);
}

static void test_firmware_holds_on(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.firmware_owned = bench->model.firmware_holds_on = true;
    assert_int_equal(xhci_bench_attach(bench), 0);
    assert_false(bench->model.legacy & XHCI_LEGSUP_BIOS_OWNED);
}

static void fails_to_start(struct xhci_bench *bench, enum error_code code)
{
    uint64_t before = platform_now(&bench->platform.platform);

    assert_int_equal(xhci_bench_attach(bench), -(int)code);
    assert_true(platform_now(&bench->platform.platform) - before < 30 * SECOND);
    assert_int_equal(bench->model.function.releases, 1);
    assert_int_equal(bench->error.code, code);
}

static void test_stays_in_reset(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.never_resets = true;
    fails_to_start(bench, ERROR_TIMEOUT);
    bench->model.violations = 0; /* its registers are written all the same: there is nothing to lose */
}

static void test_never_ready(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.never_ready = true;
    fails_to_start(bench, ERROR_TIMEOUT);
    bench->model.violations = 0; /* after the failure it is reset once more, ready or not */
}

static void test_not_there(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.gone = true;
    fails_to_start(bench, ERROR_GONE);
}

/* Every allocation of the bring-up fails once. */
static void test_no_memory(void **state)
{
    struct xhci_bench *bench = *state;
    unsigned failures = 0;

    xhci_model_start(&bench->model);
    for (long after = 0;; after++) {
        bench->platform.fail_after = after;
        int result = xhci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->keys, &bench->xhci,
                                 &bench->error);
        bench->platform.fail_after = -1;
        if (!result)
            break;
        assert_int_equal(result, -ERROR_NO_MEMORY);
        failures++;
    }
    assert_true(failures > 3);
}

/* --- transfers by themselves --- */

static void probe_start(struct xhci_bench *bench, struct xhci_probe *probe, enum usb_speed speed, uint8_t streams)
{
    xhci_probe_init(probe, speed, streams);
    usb_model_plug(&bench->model.ports[speed >= USB_SPEED_SUPER ? 4 : 0], &probe->device);
    assert_int_equal(xhci_bench_attach(bench), 0);
    assert_non_null(xhci_probe_in(bench));
    assert_non_null(xhci_probe_out(bench));
}

static bool transfer_ended(void *context)
{
    return ((const struct usb_transfer *)context)->ended;
}

static void transfer_run(struct xhci_bench *bench, struct usb_transfer *transfer)
{
    assert_int_equal(usb_submit(transfer), 0);
    assert_true(
        loop_wait(&bench->loop, transfer_ended, transfer, deadline_after(&bench->platform.platform, 5 * SECOND)));
}

static struct usb_transfer transfer_of(struct xhci_bench *bench, struct usb_endpoint *endpoint, size_t offset,
                                       size_t length)
{
    return (struct usb_transfer){.endpoint = endpoint, .buffer = &bench->buffer, .offset = offset, .length = length};
}

/* Sizes around packets, pages, TRBs and the largest, at all kinds of offsets. */
static const size_t sizes[] = {1,    2,    31,    511,   512,   513,    1023,   1024,         1025,           4095,
                               4096, 4097, 65535, 65536, 65537, 131072, 200000, MEBIBYTE - 1, MEBIBYTE - 512, MEBIBYTE};
static const size_t offsets[] = {0, 1, 511, 4095, 65535, 65536, 65537, 100001};

static void bulk_sizes(struct xhci_bench *bench, enum usb_speed speed)
{
    struct xhci_probe *probe = &bench->probe;
    uint8_t *data = bench->buffer.data;

    probe_start(bench, probe, speed, 0);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (unsigned j = 0; j < sizeof(offsets) / sizeof(offsets[0]); j++) {
            size_t size = sizes[i], offset = offsets[j];
            struct usb_transfer in = transfer_of(bench, xhci_probe_in(bench), offset, size);
            memset(data + (offset ? offset - 1 : 0), 0xee, size + 2);
            probe->in_at = 0;
            transfer_run(bench, &in);
            assert_int_equal(in.status, 0);
            assert_int_equal(in.moved, size);
            assert_memory_equal(data + offset, probe->in_data, size);
            assert_int_equal(data[offset + size], 0xee);
            struct usb_transfer out = transfer_of(bench, xhci_probe_out(bench), offset, size);
            probe->out_at = 0;
            transfer_run(bench, &out);
            assert_int_equal(out.status, 0);
            assert_int_equal(out.moved, size);
            assert_int_equal(probe->out_at, size);
            assert_memory_equal(probe->out_data, probe->in_data, size);
        }
    assert_int_equal(bench->model.biggest, MEBIBYTE);
}

static void test_bulk_high(void **state)
{
    bulk_sizes(*state, USB_SPEED_HIGH);
}

static void test_bulk_super(void **state)
{
    bulk_sizes(*state, USB_SPEED_SUPER);
}

static void test_bulk_old(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.version = 0x096;
    bulk_sizes(bench, USB_SPEED_HIGH);
}

/*
 * What is asked for in answer to an event is put on the ring after the event was acknowledged: QEMU looks at the ring once more
 * before it lets a register be written.
 */
struct answer {
    struct xhci_bench *bench;
    uint64_t before, at_its_end;
};

static void answer_done(struct usb_transfer *transfer)
{
    struct answer *answer = transfer->context;

    answer->at_its_end = answer->bench->model.erdp;
}

static void test_acknowledged_first(void **state)
{
    struct xhci_bench *bench = *state;
    struct answer answer = {.bench = bench};

    probe_start(bench, &bench->probe, USB_SPEED_SUPER, 0);
    struct usb_transfer in = transfer_of(bench, xhci_probe_in(bench), 0, 512);
    in.done = answer_done;
    in.context = &answer;
    answer.before = bench->model.erdp;
    transfer_run(bench, &in);
    assert_int_equal(in.status, 0);
    assert_true(answer.at_its_end & ~15ull);
    assert_int_not_equal(answer.at_its_end & ~15ull, answer.before & ~15ull);
    assert_int_equal(answer.at_its_end, bench->model.erdp);
}

/* The queue full, again and again: the ring wraps many times, and everything ends in order. */
struct flow {
    struct xhci_bench *bench;
    struct usb_transfer transfers[40];
    unsigned next, ended, total, failed;
};

static void flow_done(struct usb_transfer *transfer)
{
    struct flow *flow = transfer->context;
    unsigned expected = flow->ended++ % flow->next;

    if (transfer->status || transfer->moved != transfer->length || transfer != &flow->transfers[expected])
        flow->failed++;
    if (flow->ended + flow->next <= flow->total && usb_submit(transfer))
        flow->failed++;
}

static bool flow_ended(void *context)
{
    const struct flow *flow = context;

    return flow->ended >= flow->total;
}

static void test_ring_wraps(void **state)
{
    struct xhci_bench *bench = *state;
    struct xhci_probe *probe = &bench->probe;
    struct flow flow = {.bench = bench, .total = 4000};

    probe_start(bench, probe, USB_SPEED_HIGH, 0);
    unsigned depth = xhci_bus(bench->xhci)->limits.queue_depth;
    assert_true(depth >= 16 && depth <= 40);
    flow.next = depth;
    flow.total = flow.total / depth * depth;
    for (unsigned i = 0; i < depth; i++) {
        flow.transfers[i] = transfer_of(bench, xhci_probe_out(bench), i * 70000, 1 + i * 37 % 1000);
        flow.transfers[i].done = flow_done;
        flow.transfers[i].context = &flow;
        assert_int_equal(usb_submit(&flow.transfers[i]), 0);
    }
    assert_true(loop_wait(&bench->loop, flow_ended, &flow, deadline_after(&bench->platform.platform, 60 * SECOND)));
    assert_int_equal(flow.failed, 0);
    assert_int_equal(flow.ended, flow.total);
    assert_true(bench->model.ring_wraps >= 3);
}

/* A short packet in each TRB of a TD, with and without the event for its last one; what follows is not confused by it. */
static void short_packets(struct xhci_bench *bench)
{
    struct xhci_probe *probe = &bench->probe;

    probe_start(bench, probe, USB_SPEED_HIGH, 0);
    static const size_t ends[] = {1, 513, 65535, 65537, 131073, 199999};
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct usb_transfer first = transfer_of(bench, xhci_probe_in(bench), 77, 200000);
        struct usb_transfer second = transfer_of(bench, xhci_probe_in(bench), 300000, 200000);
        probe->in_at = 0;
        probe->in_packet_ends = ends[i];
        assert_int_equal(usb_submit(&first), 0);
        transfer_run(bench, &second);
        assert_true(first.ended);
        assert_int_equal(first.status, 0);
        assert_int_equal(first.moved, ends[i]);
        assert_int_equal(second.status, 0);
        assert_int_equal(second.moved, ends[i]);
        assert_memory_equal((uint8_t *)bench->buffer.data + 77, probe->in_data, ends[i]);
        assert_memory_equal((uint8_t *)bench->buffer.data + 300000, probe->in_data + ends[i], ends[i]);
    }
}

static void test_short_packets(void **state)
{
    short_packets(*state);
}

static void test_short_packets_told_once(void **state)
{
    struct xhci_bench *bench = *state;

    bench->model.tells_last = false;
    short_packets(bench);
}

/* Each stream has a ring of its own; the same transfers on all of them. */
static void test_streams(void **state)
{
    struct xhci_bench *bench = *state;
    struct xhci_probe *probe = &bench->probe;
    struct usb_transfer transfers[16];

    probe_start(bench, probe, USB_SPEED_SUPER, 4);
    struct usb_endpoint *out = xhci_probe_out(bench);
    assert_int_equal(out->streams, 16);
    for (unsigned round = 0; round < 40; round++) {
        probe->out_at = 0;
        for (unsigned i = 0; i < out->streams; i++) {
            transfers[i] = transfer_of(bench, out, i * 70000u, 70000);
            transfers[i].stream = (uint16_t)(i + 1);
            assert_int_equal(usb_submit(&transfers[i]), 0);
        }
        for (unsigned i = 0; i < out->streams; i++) {
            assert_true(loop_wait(&bench->loop, transfer_ended, &transfers[i],
                                  deadline_after(&bench->platform.platform, 5 * SECOND)));
            assert_int_equal(transfers[i].status, 0);
            assert_int_equal(transfers[i].moved, 70000);
        }
    }
    struct usb_transfer none = transfer_of(bench, out, 0, 512);
    assert_int_equal(usb_submit(&none), -ERROR_OUT_OF_RANGE);
    none.stream = 17;
    assert_int_equal(usb_submit(&none), -ERROR_OUT_OF_RANGE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, xhci_bench_setup, xhci_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bring_up),          TEST(test_plain),          TEST(test_wide_contexts),
        TEST(test_old_controller),    TEST(test_protocols),      TEST(test_firmware_lets_go),
        TEST(test_firmware_holds_on), TEST(test_stays_in_reset), TEST(test_never_ready),
        TEST(test_not_there),         TEST(test_no_memory),      TEST(test_bulk_high),
        TEST(test_bulk_super),        TEST(test_bulk_old),       TEST(test_acknowledged_first),
        TEST(test_ring_wraps),        TEST(test_short_packets),  TEST(test_short_packets_told_once),
        TEST(test_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
