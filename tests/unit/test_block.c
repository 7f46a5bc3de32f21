/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block devices: RAM, slices and the emulated disk; what block.c promises when a device misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/block.h"
#include "core/block_conformance.h"
#include "core/fiber.h"
#include "tests/support/emulated_device.h"
#include "tests/support/test_platform.h"

#define SECOND NANOSECONDS_PER_SECOND
#define REQUESTS 32

static struct test_platform test;
static struct loop loop;
static struct emulated_device disk;
static struct buffer buffer;
static struct block_request requests[REQUESTS];
static unsigned ended[REQUESTS];

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    memset(&disk, 0, sizeof(disk));
    memset(requests, 0, sizeof(requests));
    memset(ended, 0, sizeof(ended));
    assert_int_equal(buffer_allocate(&test.platform, REQUESTS * 4096, &buffer), 0);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    if (disk.device.ops)
        emulated_end(&disk);
    buffer_release(&buffer);
    assert_null(loop.pollables);
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
    return 0;
}

static void start(struct emulated_options options)
{
    emulated_start(&disk, &loop, &options);
    emulated_fill(&disk, 1);
}

static void count_end(struct block_request *request)
{
    ended[request - requests]++;
}

/* Request `index`: 8 blocks at 8 * index. */
static int send(unsigned index, enum block_operation operation)
{
    requests[index] = (struct block_request){.operation = operation,
                                             .lba = index * 8,
                                             .count = operation == BLOCK_FLUSH ? 0 : 8,
                                             .buffer = &buffer,
                                             .offset = index * 4096,
                                             .done = count_end};
    return block_submit(&disk.device, &requests[index]);
}

static void send_all(unsigned count, enum block_operation operation)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(send(i, operation), 0);
}

static unsigned count_status(unsigned count, int status)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++)
        found += ended[i] == 1 && requests[i].status == status;
    return found;
}

/* --- conformance --- */

static void assert_conforms(struct block_device *device, bool destructive)
{
    struct block_conformance_options options = {.destructive = destructive, .seed = 7};
    const char *failed = block_conformance_run(device, &options);

    if (failed)
        print_error("%s fails: %s\n", device->name, failed);
    assert_null(failed);
}

static void ram_conforms(void **unused)
{
    struct block_device *device;

    (void)unused;
    for (uint32_t size = 512; size <= 65536; size *= 8) {
        assert_int_equal(block_ram_create(&loop, size, 700, NULL, &device, NULL), 0);
        assert_conforms(device, true);
        device->read_only = true;
        assert_conforms(device, true);
        block_device_stop(device);
    }
    static uint8_t contents[4096];
    assert_int_equal(block_ram_create(&loop, 512, 8, contents, &device, NULL), 0);
    assert_int_equal(block_write_bytes(device, 511, "ab", 2, NULL), 0);
    assert_memory_equal(contents + 511, "ab", 2);
    assert_conforms(device, true);
    block_device_stop(device);
}

static void emulated_disks_conform(void **unused)
{
    static const struct emulated_options variants[] = {
        {.latency = 3 * NANOSECONDS_PER_MILLISECOND},
        {.queue_depth = 1, .in_order = true, .no_discard = true, .no_write_zeroes = true},
        {.logical_block = 4096, .block_count = 2000, .buffer_alignment = 4096, .queue_depth = 64, .max_transfer = 4096},
        {.logical_block = 512, .physical_block = 4096, .buffer_alignment = 4096, .max_transfer = 1 << 20},
        {.read_only = true},
        {.block_count = 1},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        emulated_start(&disk, &loop, &variants[i]);
        assert_conforms(&disk.device, false);
        assert_true(emulated_untouched(&disk));
        assert_conforms(&disk.device, true);
        assert_int_equal(disk.most_in_flight, disk.options.block_count == 1 ? 1 : disk.options.queue_depth);
        assert_int_equal(disk.resets, 0);
        emulated_end(&disk);
    }
}

/* The suite sees what is wrong. */
static void conformance_fails_for_bad_devices(void **unused)
{
    struct block_conformance_options options = {.destructive = true, .first = 100, .count = 1000};

    (void)unused;
    start((struct emulated_options){0});
    emulated_add_fault(&disk, FAULT_FLIP, 101, 1)->operations = 1u << BLOCK_WRITE;
    assert_string_equal(block_conformance_run(&disk.device, &options), "largest writes");
    disk.fault_count = 0;
    emulated_add_fault(&disk, FAULT_SILENT, 0, 16384)->operations = 1u << BLOCK_WRITE_ZEROES;
    assert_string_equal(block_conformance_run(&disk.device, &options), "write zeroes");
    disk.fault_count = 0;
    emulated_add_fault(&disk, FAULT_ERROR, 16383, 1);
    assert_string_equal(block_conformance_run(&disk.device, &options), "read the last block");
    disk.fault_count = 0;
    emulated_add_fault(&disk, FAULT_HANG, 0, 1);
    assert_string_equal(block_conformance_run(&disk.device, &options), "read the first block");
    assert_false(emulated_wrote_to(&disk, 0, 100));
    assert_false(emulated_wrote_to(&disk, 1100, 16384));
    assert_true(emulated_wrote_to(&disk, 100, 1));
    options.first = 16384;
    assert_string_equal(block_conformance_run(&disk.device, &options), "the window");
}

/* --- slices --- */

static void slices_conform_and_stay_inside(void **unused)
{
    struct block_device *slice, *inner;

    (void)unused;
    start((struct emulated_options){.queue_depth = 200, .latency = NANOSECONDS_PER_MILLISECOND});
    assert_int_equal(block_slice_create(&disk.device, 1000, 5000, "part", &slice, NULL), 0);
    assert_int_equal(block_slice_create(slice, 7, 900, "inner", &inner, NULL), 0);
    assert_conforms(inner, true);
    assert_false(emulated_wrote_to(&disk, 0, 1007));
    assert_false(emulated_wrote_to(&disk, 1907, 16384));
    block_device_stop(inner);
    assert_conforms(slice, true);
    assert_false(emulated_wrote_to(&disk, 0, 1000));
    assert_false(emulated_wrote_to(&disk, 6000, 16384));
    assert_true(emulated_wrote_to(&disk, 1000, 1));
    assert_true(emulated_wrote_to(&disk, 5999, 1));
    block_device_stop(slice);
}

static void slices_that_do_not_fit(void **unused)
{
    struct block_device *slice = NULL;
    struct error error;

    (void)unused;
    start((struct emulated_options){0});
    assert_int_equal(block_slice_create(&disk.device, 16384, 1, "x", &slice, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(block_slice_create(&disk.device, 1, 16384, "x", &slice, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(block_slice_create(&disk.device, UINT64_MAX, 2, "x", &slice, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(block_slice_create(&disk.device, 0, 0, "x", &slice, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(error.code, ERROR_OUT_OF_RANGE);
    assert_null(slice);
}

/* A slice passes on what the disk says, and its disk's deadlines are its own. */
static void slices_pass_errors_on(void **unused)
{
    struct block_device *slice;
    struct error error;
    uint8_t bytes[512];

    (void)unused;
    start((struct emulated_options){0});
    assert_int_equal(block_slice_create(&disk.device, 100, 100, "part", &slice, NULL), 0);
    emulated_add_fault(&disk, FAULT_ERROR, 105, 1)->raw_status = 0x281;
    emulated_add_fault(&disk, FAULT_HANG, 110, 1);
    assert_int_equal(block_read_bytes(slice, 5 * 512, bytes, 512, &error), -ERROR_MEDIUM);
    assert_string_equal(error.device, "part");
    assert_int_equal(error.block, 5);
    assert_int_equal(error.raw_status, 0x281);
    assert_int_equal(block_read_bytes(slice, 10 * 512, bytes, 512, &error), -ERROR_TIMEOUT);
    assert_int_equal(disk.resets, 1);
    emulated_unplug(&disk);
    assert_int_equal(block_read_bytes(slice, 0, bytes, 512, &error), -ERROR_GONE);
    block_device_stop(slice);
}

/* --- deadlines, resets, sending again --- */

/* One request hangs: it alone times out, at its deadline; the others are sent again and end well. */
static void a_hang_costs_its_deadline(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = REQUESTS, .latency = SECOND});
    emulated_add_fault(&disk, FAULT_HANG, 3 * 8, 1);
    uint64_t before = platform_now(&test.platform);
    send_all(8, BLOCK_READ);
    assert_false(loop_wait_flag(&loop, &requests[3].ended, before + 29 * SECOND));
    assert_true(loop_wait_flag(&loop, &requests[3].ended, before + 31 * SECOND));
    assert_int_equal(requests[3].status, -ERROR_TIMEOUT);
    assert_int_equal(count_status(8, 0), 7);
    assert_int_equal(disk.resets, 1);
    assert_int_equal(send(3, BLOCK_FLUSH), 0);
    loop_delay(&loop, 5 * SECOND);
    assert_int_equal(ended[3], 2);
    assert_int_equal(requests[3].status, 0);
}

static void a_request_may_have_its_own_deadline(void **unused)
{
    (void)unused;
    start((struct emulated_options){0});
    emulated_add_fault(&disk, FAULT_HANG, 0, 16384);
    requests[0] = (struct block_request){
        .operation = BLOCK_READ, .count = 1, .buffer = &buffer, .timeout = 2 * NANOSECONDS_PER_MILLISECOND};
    uint64_t before = platform_now(&test.platform);
    assert_int_equal(block_run(&disk.device, &requests[0], NULL), -ERROR_TIMEOUT);
    assert_true(platform_now(&test.platform) - before < 50 * NANOSECONDS_PER_MILLISECOND);
}

/* Requests in flight beside the late one are aborted by the reset and sent again, with their data intact. */
static void run_resets(enum emulated_reset reset)
{
    start((struct emulated_options){.queue_depth = REQUESTS});
    disk.reset = reset;
    emulated_add_fault(&disk, FAULT_HANG, 0, 64)->times = 8;
    send_all(8, BLOCK_READ);
    requests[0].deadline = 0;
    disk.device.next_deadline_check = 0;
    loop_delay(&loop, 40 * SECOND);
}

static void aborted_requests_are_sent_again(void **unused)
{
    static const enum emulated_reset kinds[] = {RESET_WORKS, RESET_SLOW, RESET_LATER};

    (void)unused;
    for (unsigned i = 0; i < 3; i++) {
        memset(ended, 0, sizeof(ended));
        memset(buffer.data, 0, buffer.size);
        run_resets(kinds[i]);
        assert_int_equal(ended[0], 1);
        assert_int_equal(requests[0].status, -ERROR_TIMEOUT);
        assert_int_equal(count_status(8, 0), 7);
        assert_memory_equal((uint8_t *)buffer.data + 4096, disk.contents + 4096, 7 * 4096);
        assert_int_equal(disk.resets, 1);
        assert_int_equal(disk.journal_count, 8 + 7);
        emulated_end(&disk);
    }
}

static void ends_aborted(struct block_device *device)
{
    struct emulated_device *emulated = (struct emulated_device *)(void *)device;

    for (unsigned i = 0; i < EMULATED_DEPTH_MAX; i++)
        if (emulated->slots[i].request) {
            struct block_request *request = emulated->slots[i].request;
            emulated->slots[i].request = NULL;
            emulated->in_flight--;
            block_complete(request, -ERROR_ABORTED, 0);
        }
}

/* A driver that says "aborted" of everything, the late ones too. */
static void aborted_for_ever_ends(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = REQUESTS});
    emulated_add_fault(&disk, FAULT_HANG, 0, 16384);
    send_all(4, BLOCK_WRITE);
    for (unsigned i = 0; i < 10; i++) {
        ends_aborted(&disk.device);
        loop_step(&loop);
        loop_step(&loop);
    }
    assert_int_equal(count_status(4, -ERROR_ABORTED), 4);
    assert_int_equal(disk.journal_count, 4 * BLOCK_ATTEMPTS);
}

static void a_failed_reset_is_the_devices_end(void **unused)
{
    (void)unused;
    run_resets(RESET_DIES);
    assert_int_equal(count_status(8, -ERROR_GONE), 8);
    assert_true(disk.device.dead);
    assert_int_equal(send(9, BLOCK_READ), -ERROR_GONE);
    assert_int_equal(send(9, BLOCK_FLUSH), -ERROR_GONE);
    assert_true(test_platform_logged(&test, "gone"));
}

/* Against the rules, a reset that ends nothing: after a grace the device is given up, and nothing waits for ever. */
static void a_reset_that_does_nothing(void **unused)
{
    (void)unused;
    run_resets(RESET_NOTHING);
    assert_int_equal(count_status(8, -ERROR_GONE), 8);
    assert_true(disk.device.dead);
    /* Its driver was told while the buffers still belonged to the requests. */
    assert_int_equal(disk.held_when_abandoned, 8);
}

/* Deadlines that pass during a reset which the driver began by itself are the reset's fault. */
static void a_reset_makes_nothing_late(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = REQUESTS, .latency = SECOND / 4});
    for (unsigned i = 0; i < 8; i++) {
        send(i, BLOCK_READ);
        requests[i].timeout = SECOND / 2;
        requests[i].deadline = platform_now(&test.platform) + (i ? SECOND / 2 : 0);
    }
    disk.device.next_deadline_check = 0;
    emulated_reset_itself(&disk);
    loop_delay(&loop, 3 * SECOND);
    assert_int_equal(requests[0].status, -ERROR_TIMEOUT); /* was late before */
    assert_int_equal(count_status(8, 0), 7);
    assert_memory_equal((uint8_t *)buffer.data + 4096, disk.contents + 4096, 7 * 4096);
    assert_int_equal(disk.resets, 0);
    assert_false(disk.device.dead);
}

/* A device that answers "full" for ever after its reset: what waits to be sent again ends at a deadline of its own. */
static void a_device_that_never_recovers(void **unused)
{
    (void)unused;
    run_resets(RESET_FULL);
    assert_int_equal(count_status(8, -ERROR_TIMEOUT), 8);
    assert_int_equal(disk.resets, 1);
    assert_int_equal(send(9, BLOCK_READ), -ERROR_FULL);
    assert_int_equal(block_read_bytes(&disk.device, 0, buffer.data, 512, NULL), -ERROR_TIMEOUT);
}

static void unplugged(void **unused)
{
    (void)unused;
    start((struct emulated_options){.queue_depth = REQUESTS, .latency = SECOND});
    send_all(8, BLOCK_WRITE);
    emulated_unplug(&disk);
    assert_int_equal(count_status(8, -ERROR_GONE), 0);
    loop_step(&loop);
    assert_int_equal(count_status(8, -ERROR_GONE), 8);
    assert_int_equal(send(9, BLOCK_READ), -ERROR_GONE);
}

static void a_driver_that_ends_a_request_twice(void **unused)
{
    (void)unused;
    start((struct emulated_options){0});
    send_all(1, BLOCK_READ);
    loop_delay(&loop, SECOND);
    block_complete(&requests[0], -ERROR_IO, 0);
    loop_delay(&loop, SECOND);
    assert_int_equal(ended[0], 1);
    assert_int_equal(requests[0].status, 0);
    assert_true(test_platform_logged(&test, "ended a request twice"));
}

/* --- waiting forms --- */

static void bytes_of_any_range(void **unused)
{
    static uint8_t bytes[300000], expected[300000];
    static const struct {
        uint64_t offset;
        size_t size;
    } ranges[] = {{0, 0},         {0, 1},     {511, 2}, {512, 512}, {1000, 300000}, {16384 * 512 - 1, 1},
                  {4096, 131072}, {131071, 3}};

    (void)unused;
    start((struct emulated_options){.buffer_alignment = 4096, .queue_depth = 1});
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        assert_int_equal(block_read_bytes(&disk.device, ranges[i].offset, bytes, ranges[i].size, NULL), 0);
        assert_memory_equal(bytes, disk.contents + ranges[i].offset, ranges[i].size);
        memset(bytes, (int)i + 1, ranges[i].size);
        memcpy(expected, disk.contents, 300000);
        assert_int_equal(block_write_bytes(&disk.device, ranges[i].offset, bytes, ranges[i].size, NULL), 0);
        if (ranges[i].offset + ranges[i].size <= 300000) {
            memcpy(expected + ranges[i].offset, bytes, ranges[i].size);
            assert_memory_equal(expected, disk.contents, 300000);
        }
    }
    assert_int_equal(block_flush(&disk.device, NULL), 0);
    assert_memory_equal(disk.stable, disk.contents, 16384 * 512);
}

static void bytes_beyond_the_end(void **unused)
{
    struct error error;
    uint8_t bytes[512];

    (void)unused;
    start((struct emulated_options){0});
    assert_int_equal(block_read_bytes(&disk.device, 16384 * 512 - 1, bytes, 2, &error), -ERROR_OUT_OF_RANGE);
    assert_int_equal(error.block, 16383);
    assert_int_equal(block_read_bytes(&disk.device, UINT64_MAX, bytes, 2, NULL), -ERROR_OUT_OF_RANGE);
    assert_int_equal(block_write_bytes(&disk.device, 0, bytes, SIZE_MAX, NULL), -ERROR_OUT_OF_RANGE);
    disk.device.read_only = true;
    assert_int_equal(block_write_bytes(&disk.device, 0, bytes, 1, &error), -ERROR_WRITE_PROTECTED);
    assert_string_equal(error.device, "test:disk");
    assert_true(emulated_untouched(&disk));
    assert_int_equal(disk.journal_count, 0);
}

struct reader {
    uint8_t bytes[8192];
    int status;
};

static void read_on_a_fiber(void *context)
{
    struct reader *reader = context;

    reader->status = block_read_bytes(&disk.device, 777, reader->bytes, sizeof(reader->bytes), NULL);
}

/* Several fibers read through one device at once; each has its own bounce buffer. */
static void fibers_read_at_once(void **unused)
{
    static struct reader readers[5];
    struct fiber *fibers[5];

    (void)unused;
    start((struct emulated_options){.latency = SECOND});
    for (unsigned i = 0; i < 5; i++)
        fibers[i] = fiber_start(&loop, "reader", 0, 4096, read_on_a_fiber, &readers[i]);
    loop_delay(&loop, 10 * SECOND);
    assert_int_equal(disk.most_in_flight, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(fiber_finished(fibers[i]));
        assert_int_equal(readers[i].status, 0);
        assert_memory_equal(readers[i].bytes, disk.contents + 777, sizeof(readers[i].bytes));
        fiber_destroy(fibers[i]);
    }
}

static int read_for_a_call(void *context)
{
    read_on_a_fiber(context);
    return 0;
}

/*
 * A fiber is dropped while its request, which lies on its stack, is in flight: the stack stays until the request has
 * ended, and the bounce buffers come back.
 */
static void a_dropped_fiber_leaves_no_request(void **unused)
{
    static struct reader reader;

    (void)unused;
    start((struct emulated_options){0});
    emulated_add_fault(&disk, FAULT_HANG, 0, 16384);
    uint64_t before = platform_now(&test.platform);
    assert_int_equal(fiber_call(&loop, "reader", 0, 4096, before + SECOND, read_for_a_call, &reader), -ERROR_TIMEOUT);
    assert_true(platform_now(&test.platform) - before >= 30 * SECOND);
    assert_null(disk.device.in_flight_first);
    assert_false(disk.device.bounce_busy);
}

/* --- the power cut --- */

/*
 * Blocks are written in three steps with a flush between; at each cut, what was flushed is there, and nothing beyond the cut
 * is. Between, a block is old or new.
 */
static void the_power_fails_at_every_request(void **unused)
{
    uint8_t bytes[512];

    (void)unused;
    for (unsigned cut = 1; cut <= 30; cut++) {
        emulated_start(&disk, &loop, &(struct emulated_options){.seed = cut, .block_count = 64});
        disk.power_cut_at = cut;
        unsigned flushed = 0, written = 0, accepted = 0;
        bool alive = true;
        for (unsigned step = 0; step < 3 && alive; step++) {
            for (unsigned i = 0; i < 8 && alive; i++) {
                memset(bytes, 0x11, sizeof(bytes));
                accepted++;
                alive = block_write_bytes(&disk.device, (step * 8 + i) * 512, bytes, sizeof(bytes), NULL) == 0;
                written += alive;
            }
            if (alive && (alive = block_flush(&disk.device, NULL) == 0))
                flushed = written;
        }
        if (alive) {
            assert_true(cut > 27);
        } else {
            assert_int_equal(block_read_bytes(&disk.device, 0, bytes, 512, NULL), -ERROR_GONE);
        }
        block_device_stop(&disk.device);
        emulated_power_on(&disk);
        for (unsigned i = 0; i < 64; i++) {
            assert_int_equal(block_read_bytes(&disk.device, i * 512, bytes, 512, NULL), 0);
            if (i < flushed)
                assert_int_equal(bytes[0], 0x11);
            else if (i >= accepted)
                assert_int_equal(bytes[0], 0);
            for (unsigned at = 1; at < 512; at++)
                assert_int_equal(bytes[at], bytes[0]);
        }
        emulated_end(&disk);
    }
}

/* Over many cuts, unflushed blocks come out old and new: the emulated disk really loses some. */
static void unflushed_blocks_may_be_lost(void **unused)
{
    unsigned kept = 0;

    (void)unused;
    for (unsigned seed = 0; seed < 40; seed++) {
        emulated_start(&disk, &loop, &(struct emulated_options){.seed = seed, .block_count = 64});
        assert_int_equal(block_write_bytes(&disk.device, 0, "phantom", 7, NULL), 0);
        emulated_power_cut(&disk);
        block_device_stop(&disk.device);
        kept += memcmp(disk.stable, "phantom", 7) == 0;
        emulated_end(&disk);
    }
    assert_in_range(kept, 5, 35);
}

/* --- names, text, geometry --- */

/* Copies of one serial number: called the same whichever of them comes first. */
static void disks_that_say_the_same_are_called_by_their_places(void **unused)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    static const char *const places[] = {"14.0-port1", "14.0-port3", "14.0-port3-port0"};

    (void)unused;
    for (size_t order = 0; order < 3; order++) {
        struct block_device devices[4] = {0};
        struct block_registry registry;
        struct block_device *found = NULL;
        struct error error;
        block_registry_init(&registry);
        for (unsigned i = 0; i < 3; i++) {
            struct block_device *device = &devices[orders[order][i]];
            snprintf(device->place, sizeof(device->place), "%s", places[orders[order][i]]);
            block_registry_name(&registry, device, "usb:0123");
            if (i == 0)
                assert_string_equal(device->name, "usb:0123");
            block_registry_add(&registry, device);
            if (i == 0) /* as it would be called if there were another */
                assert_true(block_device_is_called(device, orders[order][0] ? device->name : "usb:0123@14.0-port1"));
        }
        assert_string_equal(devices[0].name, "usb:0123@14.0-port1");
        assert_string_equal(devices[1].name, "usb:0123@14.0-port3");
        assert_string_equal(devices[2].name, "usb:0123@14.0-port3-port0");
        assert_int_equal(block_registry_find(&registry, "usb:0123", &found, &error), -ERROR_AMBIGUOUS);
        assert_int_equal(block_registry_find(&registry, "usb:0123@14.0-port3", &found, &error), 0);
        assert_ptr_equal(found, &devices[1]);
        /* What has no place has a number; others keep their names. */
        block_registry_name(&registry, &devices[3], "usb:0123");
        assert_string_equal(devices[3].name, "usb:0123");
        block_registry_add(&registry, &devices[3]);
        struct block_device second = {0};
        block_registry_name(&registry, &second, "usb:0123");
        assert_string_equal(second.name, "usb:0123/2");
    }
}

static void a_serial_number_with_the_sign_of_places(void **unused)
{
    struct block_device devices[2] = {{.place = "14.0-port1"}, {.place = "14.0-port3"}};
    struct block_registry registry;
    char base[BLOCK_NAME_MAX];

    (void)unused;
    block_registry_init(&registry);
    for (unsigned i = 0; i < 2; i++) {
        block_registry_name(&registry, &devices[i], "usb:A@B");
        block_registry_add(&registry, &devices[i]);
        block_device_base(&devices[i], base);
        assert_string_equal(base, "usb:A@B");
    }
    assert_string_equal(devices[0].name, "usb:A@B@14.0-port1");
    assert_string_equal(devices[1].name, "usb:A@B@14.0-port3");
    block_device_base(&devices[0], base);
    assert_string_equal(base, "usb:A@B");
}

/* Names that fill all their room still differ. */
static void long_names_differ_by_their_places(void **unused)
{
    struct block_device devices[3] = {0};
    struct block_registry registry;
    char base[BLOCK_NAME_MAX];

    (void)unused;
    block_registry_init(&registry);
    memset(base, 'x', sizeof(base));
    base[BLOCK_NAME_MAX - 12] = '\0';
    for (unsigned i = 0; i < 3; i++) {
        snprintf(devices[i].place, sizeof(devices[i].place), "1c.0-0.0-14.0-port1-port%u", i);
        block_registry_name(&registry, &devices[i], base);
        block_registry_add(&registry, &devices[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(devices[i].name, devices[j].name);
}

static void disks_are_found_by_unique_prefix(void **unused)
{
    static const char *const names[] = {"nvme:S3X9", "nvme:S3X9/n2", "nvme:S4", "sata:WD-1"};
    static struct block_device devices[4];
    struct block_registry registry;
    struct block_device *found = NULL;
    struct error error;

    (void)unused;
    block_registry_init(&registry);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(devices[i].name, sizeof(devices[i].name), "%s", names[i]);
        block_registry_add(&registry, &devices[i]);
    }
    assert_int_equal(block_registry_find(&registry, "nvme:S3X9", &found, &error), 0);
    assert_ptr_equal(found, &devices[0]);
    assert_int_equal(block_registry_find(&registry, "nvme:S3X9/", &found, &error), 0);
    assert_ptr_equal(found, &devices[1]);
    assert_int_equal(block_registry_find(&registry, "s", &found, &error), 0);
    assert_ptr_equal(found, &devices[3]);
    assert_int_equal(block_registry_find(&registry, "nvme:S3", &found, &error), -ERROR_AMBIGUOUS);
    assert_string_equal(error.detail, "nvme:S3X9, nvme:S3X9/n2");
    assert_int_equal(block_registry_find(&registry, "usb", &found, &error), -ERROR_NOT_FOUND);
    assert_int_equal(block_registry_find(&registry, "", &found, &error), -ERROR_NOT_FOUND);
    block_registry_remove(&registry, &devices[3]);
    assert_int_equal(block_registry_find(&registry, "s", &found, NULL), -ERROR_NOT_FOUND);
    block_registry_remove(&registry, &devices[0]);
    block_registry_add(&registry, &devices[3]);
    assert_int_equal(block_registry_find(&registry, "sata", &found, NULL), 0);
    snprintf(devices[2].name, sizeof(devices[2].name), "sata:WD-1");
    assert_int_equal(block_registry_find(&registry, "sata:WD-1", &found, NULL), -ERROR_AMBIGUOUS);
}

static void identify_strings(void **unused)
{
    char text[16];

    (void)unused;
    block_text(text, sizeof(text), "  QEMU disk \0\0  ", 16, false);
    assert_string_equal(text, "QEMU disk");
    block_text(text, sizeof(text), "EQUMH RADDSI K\n", 15, true);
    assert_string_equal(text, "QEMU HARDDISK");
    block_text(text, 5, "0123456789", 10, false);
    assert_string_equal(text, "0123");
    block_text(text, sizeof(text), "\xff\xff\xff\xff", 4, false);
    assert_string_equal(text, "");
}

static int start_with(struct block_geometry geometry)
{
    static const struct block_device_ops ops = {0};
    static struct block_device device;

    device = (struct block_device){.ops = &ops, .loop = &loop, .geometry = geometry};
    int status = block_device_start(&device, NULL);
    if (!status)
        loop_remove(&loop, &device.pollable);
    return status;
}

static void impossible_geometries(void **unused)
{
    const struct block_geometry good = {512, 4096, 100, 8192, 0, 0, 2, 0, 0};
    struct block_geometry g;

    (void)unused;
    assert_int_equal(start_with(good), 0);
    g = good, g.logical_block = 0;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.logical_block = 520;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.logical_block = 131072, g.physical_block = 131072;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.physical_block = 256;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.block_count = 0;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.block_count = UINT64_MAX / 2;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.max_transfer = 2048;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
    g = good, g.buffer_alignment = 3;
    assert_int_equal(start_with(g), -ERROR_PROTOCOL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ram_conforms),
        TEST(emulated_disks_conform),
        TEST(conformance_fails_for_bad_devices),
        TEST(slices_conform_and_stay_inside),
        TEST(slices_that_do_not_fit),
        TEST(slices_pass_errors_on),
        TEST(a_hang_costs_its_deadline),
        TEST(a_request_may_have_its_own_deadline),
        TEST(aborted_requests_are_sent_again),
        TEST(aborted_for_ever_ends),
        TEST(a_failed_reset_is_the_devices_end),
        TEST(a_reset_that_does_nothing),
        TEST(a_reset_makes_nothing_late),
        TEST(a_device_that_never_recovers),
        TEST(unplugged),
        TEST(a_driver_that_ends_a_request_twice),
        TEST(bytes_of_any_range),
        TEST(bytes_beyond_the_end),
        TEST(fibers_read_at_once),
        TEST(a_dropped_fiber_leaves_no_request),
        TEST(the_power_fails_at_every_request),
        TEST(unflushed_blocks_may_be_lost),
        TEST(disks_are_found_by_unique_prefix),
        TEST(disks_that_say_the_same_are_called_by_their_places),
        TEST(long_names_differ_by_their_places),
        TEST(a_serial_number_with_the_sign_of_places),
        TEST(identify_strings),
        TEST(impossible_geometries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
