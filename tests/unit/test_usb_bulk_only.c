/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bulk-only disks on scripted devices: names, units, media, faults on the wire, unplugging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "drivers/quirks.h"
#include "drivers/usb/usb_storage.h"
#include "tests/support/usb_model_host.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define NAME "usb:MODEL0001"
#define REQUESTS 16u

struct fixture {
    struct usb_model_bench *bench; /* a copy of *state of the bench's own setup */
    struct usb_model_disk disk;
    bool made;
    struct block_request requests[REQUESTS];
    unsigned ended;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    void *bench = NULL;

    if (!fixture || usb_model_bench_setup(&bench))
        return -1;
    fixture->bench = bench;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    void *bench = fixture->bench;
    int status = 0;

    /* The disk is plugged into the bench, which looks for violations of what is plugged in. */
    usb_model_host_stop(&fixture->bench->host);
    if (fixture->made) {
        if (fixture->disk.device.violations)
            print_error("%s\n", fixture->disk.device.violation);
        status = fixture->disk.device.violations ? -1 : 0;
        usb_model_disk_end(&fixture->disk);
    }
    if (usb_model_bench_teardown(&bench))
        status = -1;
    free(fixture);
    return status;
}

/* Port 1 is a USB 2 port, port 2 a USB 3 port. */
static void make(struct fixture *fixture, enum usb_speed speed, unsigned units)
{
    usb_model_disk_init(&fixture->disk, speed, false, units);
    fixture->made = true;
}

static void plug(struct fixture *fixture)
{
    bool super = fixture->disk.device.speed >= USB_SPEED_SUPER;

    usb_model_plug(&fixture->bench->host.ports[super ? 1 : 0], &fixture->disk.device);
}

static struct block_device *find(struct fixture *fixture, const char *name)
{
    assert_true(usb_model_bench_settle(fixture->bench, 120));
    struct block_device *device = usb_model_bench_disk(fixture->bench, name, 5);
    assert_non_null(device);
    return device;
}

static struct block_device *plug_and_find(struct fixture *fixture)
{
    plug(fixture);
    return find(fixture, NAME);
}

static struct usb_model_unit *unit_of(struct fixture *fixture)
{
    return &fixture->disk.target.units[0];
}

/* --- requests --- */

static int run(struct fixture *fixture, struct block_device *device, enum block_operation operation, uint64_t lba,
               uint64_t count)
{
    struct block_request request = {
        .operation = operation, .lba = lba, .count = count, .buffer = &fixture->bench->buffer};

    return block_run(device, &request, &fixture->bench->error);
}

static void count_end(struct block_request *request)
{
    struct fixture *fixture = request->context;

    fixture->ended++;
}

static void submit_reads(struct fixture *fixture, struct block_device *device, unsigned count)
{
    fixture->ended = 0;
    for (unsigned i = 0; i < count; i++) {
        fixture->requests[i] = (struct block_request){.operation = BLOCK_READ,
                                                      .lba = i * 8,
                                                      .count = 8,
                                                      .buffer = &fixture->bench->buffer,
                                                      .offset = (size_t)i * 4096,
                                                      .done = count_end,
                                                      .context = fixture};
        assert_int_equal(block_submit(device, &fixture->requests[i]), 0);
    }
}

struct expected_ends {
    struct fixture *fixture;
    unsigned count;
};

static bool all_ended(void *context)
{
    struct expected_ends *ends = context;

    return ends->fixture->ended == ends->count;
}

static void wait_all(struct fixture *fixture, unsigned count)
{
    struct expected_ends ends = {fixture, count};
    struct loop *loop = &fixture->bench->loop;

    assert_true(loop_wait(loop, all_ended, &ends, deadline_after(loop->platform, 300 * NANOSECONDS_PER_SECOND)));
}

/* The blocks as usb_model_unit_number() left them. */
static void check_numbered(struct fixture *fixture, unsigned request)
{
    const uint8_t *data = (const uint8_t *)fixture->bench->buffer.data + (size_t)request * 4096;

    for (unsigned i = 0; i < 4096; i += 8) {
        uint64_t value;
        memcpy(&value, data + i, 8);
        assert_int_equal(value, ((uint64_t)request * 8 + i / 512) << 16 | i % 512);
    }
}

/* --- what a disk is --- */

static void a_disk_with_its_names_and_sizes(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_SUPER, 1);
    struct usb_model_unit *unit = unit_of(fixture);
    unit->vendor = "Acme";
    unit->product = "Rocket Disk";
    unit->revision = "1.07";
    unit->physical_exponent = 3;
    unit->rotational = true;
    struct block_device *device = plug_and_find(fixture);

    assert_string_equal(device->name, NAME);
    assert_string_equal(device->serial, "MODEL0001");
    assert_string_equal(device->model, "Acme Rocket Disk");
    assert_string_equal(device->firmware, "1.07");
    assert_string_equal(device->driver, "usb");
    assert_int_equal(device->bus, BUS_USB);
    assert_int_equal(device->geometry.logical_block, 512);
    assert_int_equal(device->geometry.physical_block, 4096);
    assert_int_equal(device->geometry.block_count, 4096);
    assert_int_equal(device->geometry.max_transfer, 1 << 20);
    assert_true(device->rotational);
    assert_false(device->read_only);
    assert_false(device->removable);
    assert_int_equal(fixture->bench->host.bus.disks, 1);
}

static void an_old_disk_is_asked_little(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->no_vpd = unit_of(fixture)->no_capacity_16 = true;
    struct block_device *device = plug_and_find(fixture);

    assert_int_equal(device->geometry.max_transfer, 120 * 1024);
    assert_int_equal(device->geometry.max_discard, 0);
    assert_int_equal(device->geometry.max_write_zeroes, 0);
    assert_int_equal(unit_of(fixture)->inquiries, 1);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 240), 0);
    assert_int_equal(unit_of(fixture)->biggest, 120 * 1024);
}

static void named_by_its_place_without_a_serial_number(void **state)
{
    struct fixture *fixture = *state;
    struct pci_device pci = {.platform = &fixture->bench->platform.platform, .device = 0x14};
    make(fixture, USB_SPEED_HIGH, 1);
    fixture->disk.device.descriptor.serial = 0;
    usb_model_plug(&fixture->bench->host.ports[4], &fixture->disk.device);
    find(fixture, "usb:port4"); /* counted from 0, as the firmware does */
    struct usb_device *device = fixture->bench->host.bus.devices;
    char text[64];

    fixture->bench->host.bus.pci = &pci;
    usb_storage_place(device, text, sizeof(text));
    assert_string_equal(text, "14.0-port4");
    usb_storage_place(device, text, 8);
    assert_true(strlen(text) < 8);
    fixture->bench->host.bus.pci = NULL;
}

static void the_serial_number_becomes_a_name_that_can_be_typed(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    fixture->disk.device.strings[3] = "a b/c:d#e";
    plug(fixture);
    struct block_device *device = find(fixture, "usb:a_b_c_d_e");
    assert_string_equal(device->serial, "a b/c:d#e");
}

static void two_units_are_two_disks(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 2);
    fixture->disk.target.units[1].blocks = 100;
    plug(fixture);
    struct block_device *first = find(fixture, NAME), *second = find(fixture, NAME "/lun1");

    assert_int_equal(first->geometry.block_count, 4096);
    assert_int_equal(second->geometry.block_count, 100);
    usb_model_unit_number(&fixture->disk.target.units[0]);
    submit_reads(fixture, first, 4);
    assert_int_equal(run(fixture, second, BLOCK_FLUSH, 0, 0), 0);
    wait_all(fixture, 4);
    for (unsigned i = 0; i < 4; i++)
        check_numbered(fixture, i);
}

static void two_disks_of_one_serial_number_have_two_names(void **state)
{
    struct fixture *fixture = *state;
    struct usb_model_disk other;
    make(fixture, USB_SPEED_HIGH, 1);
    usb_model_disk_init(&other, USB_SPEED_HIGH, false, 1);
    usb_model_plug(&fixture->bench->host.ports[2], &other.device);
    plug(fixture);
    assert_true(usb_model_bench_settle(fixture->bench, 30));
    assert_non_null(usb_model_bench_disk(fixture->bench, NAME, 1));
    assert_non_null(usb_model_bench_disk(fixture->bench, NAME "/2", 1));
    usb_model_disk_end(&other);
}

static void get_max_lun_refused_means_one(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 2);
    fixture->disk.max_lun = USB_MODEL_STALL;
    plug_and_find(fixture);
    assert_int_equal(fixture->bench->host.bus.disks, 1);
}

static void what_is_no_disk_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->type = 5;
    plug(fixture);
    assert_true(usb_model_bench_settle(fixture->bench, 30));
    assert_null(usb_model_bench_disk(fixture->bench, "", 3));
    assert_int_equal(fixture->bench->host.bus.disks, 0);
}

static void write_protected(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->read_only = true;
    struct block_device *device = plug_and_find(fixture);
    assert_true(device->read_only);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 1), -ERROR_WRITE_PROTECTED);
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 1), 0);
}

/* Protected where MODE SENSE cannot tell: the write itself does. */
static void write_protected_without_mode_sense(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->read_only = unit_of(fixture)->no_mode_sense = true;
    struct block_device *device = plug_and_find(fixture);
    assert_false(device->read_only);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 1), -ERROR_WRITE_PROTECTED);
}

static void more_than_two_tebiblocks(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_SUPER, 1);
    unit_of(fixture)->pretended = 1ull << 33;
    usb_model_unit_number(unit_of(fixture));
    struct block_device *device = plug_and_find(fixture);
    assert_int_equal(device->geometry.block_count, 1ull << 33);
    submit_reads(fixture, device, 2);
    wait_all(fixture, 2);
    check_numbered(fixture, 1);
}

static void it_spins_up(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->stopped = true;
    unit_of(fixture)->becoming_ready = 20;
    plug_and_find(fixture);
    assert_int_equal(unit_of(fixture)->starts, 1);
    assert_int_equal(unit_of(fixture)->becoming_ready, 0);
}

static void it_never_gets_ready(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->becoming_ready = 1000000;
    plug(fixture);
    assert_true(usb_model_bench_settle(fixture->bench, 60));
    assert_null(usb_model_bench_disk(fixture->bench, "", 1));
}

/* One that stops by itself in the middle of work is started again. */
static void it_stops_by_itself(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    usb_model_unit_number(unit_of(fixture));
    unit_of(fixture)->stopped = true;
    submit_reads(fixture, device, 3);
    wait_all(fixture, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fixture->requests[i].status, 0);
        check_numbered(fixture, i);
    }
    assert_int_equal(unit_of(fixture)->starts, 1);
}

/* --- conformance --- */

static void check_conformance(struct fixture *fixture, enum usb_speed speed, uint32_t block, unsigned laziness)
{
    struct block_conformance_options options = {.destructive = true, .seed = 7};
    make(fixture, speed, 1);
    unit_of(fixture)->block = block;
    fixture->disk.laziness = laziness;
    struct block_device *device = plug_and_find(fixture);
    assert_int_equal(device->geometry.logical_block, block);
    const char *failed = block_conformance_run(device, &options);
    assert_string_equal(failed ? failed : "", "");
}

static void conformance_at_high_speed(void **state)
{
    check_conformance(*state, USB_SPEED_HIGH, 512, 3);
}

static void conformance_at_super_speed(void **state)
{
    check_conformance(*state, USB_SPEED_SUPER, 512, 0);
}

static void conformance_at_full_speed(void **state)
{
    check_conformance(*state, USB_SPEED_FULL, 512, 0);
}

static void conformance_with_blocks_of_4096_bytes(void **state)
{
    check_conformance(*state, USB_SPEED_SUPER, 4096, 2);
}

/* --- what not every disk can do --- */

static void zeroes_and_discards_where_they_are_offered(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_SUPER, 1);
    struct usb_model_unit *unit = unit_of(fixture);
    unit->unmap = unit->write_same = true;
    unit->max_unmap_blocks = 1000;
    unit->max_unmap_ranges = 1;
    unit->max_write_same = 2000;
    struct block_device *device = plug_and_find(fixture);
    assert_int_equal(device->geometry.max_discard, 1000 * 512);
    assert_int_equal(device->geometry.max_write_zeroes, 2000 * 512);
    usb_model_unit_number(unit);
    assert_int_equal(run(fixture, device, BLOCK_WRITE_ZEROES, 10, 100), 0);
    assert_int_equal(run(fixture, device, BLOCK_DISCARD, 500, 1000), 0);
    assert_int_equal(unit->write_sames, 1);
    assert_int_equal(unit->unmaps, 1);
    const uint8_t *data = usb_model_unit_data(unit);
    for (size_t i = 10 * 512; i < 110 * 512; i++)
        assert_int_equal(data[i], 0);
    assert_int_equal(data[9 * 512 + 2], 9);
    assert_int_equal(data[110 * 512 + 2], 110);
}

/* What is announced and then refused is not offered any more. */
static void announced_and_refused(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_SUPER, 1);
    struct usb_model_unit *unit = unit_of(fixture);
    unit->unmap = unit->write_same = true;
    struct block_device *device = plug_and_find(fixture);
    unit->unmap = unit->write_same = false;
    assert_int_equal(run(fixture, device, BLOCK_WRITE_ZEROES, 10, 100), -ERROR_UNSUPPORTED);
    assert_int_equal(device->geometry.max_write_zeroes, 0);
    assert_int_equal(run(fixture, device, BLOCK_DISCARD, 10, 100), -ERROR_UNSUPPORTED);
    assert_int_equal(device->geometry.max_discard, 0);
}

static void flushes_reach_the_disk(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->cache = true;
    struct block_device *device = plug_and_find(fixture);
    assert_true(device->volatile_cache);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 1), 0);
    assert_true(unit_of(fixture)->dirty);
    assert_int_equal(run(fixture, device, BLOCK_FLUSH, 0, 0), 0);
    assert_false(unit_of(fixture)->dirty);
    unit_of(fixture)->fail_synchronize = true;
    assert_int_equal(run(fixture, device, BLOCK_FLUSH, 0, 0), -ERROR_MEDIUM);
    unit_of(fixture)->fail_synchronize = false;
}

static void the_last_flush_is_ours(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->cache = true;
    struct block_device *device = plug_and_find(fixture);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 1), 0);
    usb_model_host_stop(&fixture->bench->host);
    assert_false(unit_of(fixture)->dirty);
    assert_null(fixture->bench->registry.first);
}

static void a_disk_that_knows_no_flush(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->no_synchronize = true;
    struct block_device *device = plug_and_find(fixture);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 1), 0);
    assert_int_equal(run(fixture, device, BLOCK_FLUSH, 0, 0), 0);
    assert_false(device->volatile_cache);
    unsigned commands = fixture->disk.commands;
    assert_int_equal(run(fixture, device, BLOCK_FLUSH, 0, 0), 0);
    assert_int_equal(fixture->disk.commands, commands);
}

/* A disk that was without power in between has lost what was not flushed: the flush must not say that all is well. */
static void a_reset_in_between_fails_the_flush(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->cache = true;
    struct block_device *device = plug_and_find(fixture);
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 1), 0);
    unit_of(fixture)->attention[0] = 0x29;
    assert_int_equal(run(fixture, device, BLOCK_FLUSH, 0, 0), -ERROR_IO);
    assert_int_equal(run(fixture, device, BLOCK_FLUSH, 0, 0), 0);
}

/* --- answers that are no success --- */

static void a_bad_block(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    usb_model_unit_number(unit_of(fixture));
    unit_of(fixture)->bad_lba = 19;
    unit_of(fixture)->bad_count = 1;
    submit_reads(fixture, device, 4);
    wait_all(fixture, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fixture->requests[i].status, i == 2 ? -ERROR_MEDIUM : 0);
    check_numbered(fixture, 3);
    assert_int_equal(fixture->requests[2].raw_status >> 16, 3);
    assert_true(test_platform_logged(&fixture->bench->platform, "cannot read block 19"));
}

static void busy_aborted_and_attention_pass(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    usb_model_unit_number(unit_of(fixture));
    unit_of(fixture)->aborted = 2;
    unit_of(fixture)->attention[0] = 0x2a;
    unit_of(fixture)->attention[1] = 0x01;
    submit_reads(fixture, device, 4);
    wait_all(fixture, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fixture->requests[i].status, 0);
        check_numbered(fixture, i);
    }
    unit_of(fixture)->aborted = 1000;
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 1), -ERROR_IO);
    unit_of(fixture)->aborted = 0;
}

/* --- faults on the wire that pass --- */

struct wire_fault {
    enum usb_model_disk_fault fault;
    unsigned storage_resets;
};

static void check_fault_passes(struct fixture *fixture, const struct wire_fault *fault, bool write)
{
    struct block_device *device = find(fixture, NAME);
    unsigned resets = fixture->disk.storage_resets, faults = fixture->disk.faults;

    usb_model_unit_number(unit_of(fixture));
    usb_model_disk_fault_next(&fixture->disk, fault->fault, write ? 0x2a : 0x28);
    memset(fixture->bench->buffer.data, 0x5a, 65536);
    if (write) {
        assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 8), 0);
        assert_memory_equal(usb_model_unit_data(unit_of(fixture)), fixture->bench->buffer.data, 4096);
    } else {
        submit_reads(fixture, device, 4);
        wait_all(fixture, 4);
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(fixture->requests[i].status, 0);
            check_numbered(fixture, i);
        }
    }
    assert_int_equal(fixture->disk.faults, faults + 1);
    assert_int_equal(fixture->disk.storage_resets, resets + fault->storage_resets);
}

static void faults_on_the_wire_pass(void **state)
{
    static const struct wire_fault faults[] = {
        {USB_MODEL_STALL_DATA, 0},    {USB_MODEL_SHORT_DATA, 0},   {USB_MODEL_LIE_RESIDUE, 0},
        {USB_MODEL_STALL_COMMAND, 1}, {USB_MODEL_STALL_STATUS, 0}, {USB_MODEL_STALL_STATUS_TWICE, 1},
        {USB_MODEL_BAD_SIGNATURE, 1}, {USB_MODEL_BAD_TAG, 1},      {USB_MODEL_SHORT_STATUS, 1},
        {USB_MODEL_BAD_STATUS, 1},    {USB_MODEL_PHASE_ERROR, 1},  {USB_MODEL_TRANSACTION_ERROR, 1},
    };
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    plug(fixture);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        check_fault_passes(fixture, &faults[i], false);
        check_fault_passes(fixture, &faults[i], true);
    }
}

static void failures_with_stalls_as_the_standard_allows(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_SUPER, 1);
    fixture->disk.stall_when_short = true;
    unit_of(fixture)->no_mode_sense = true;
    struct block_device *device = plug_and_find(fixture);
    unit_of(fixture)->bad_lba = 5;
    unit_of(fixture)->bad_count = 1;
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 16), -ERROR_MEDIUM);
    assert_int_equal(run(fixture, device, BLOCK_READ, 6, 16), 0);
    assert_int_equal(fixture->disk.storage_resets, 0);
}

/* Devices that end their data in their own ways: what stands in front of the model's endpoint. */
static struct {
    const struct usb_model_operations *model;
    bool skips_empty;  /* no data: the status comes at once, in place of it */
    bool always_empty; /* an empty packet stands before each status */
    bool empty_given;
    unsigned times;
} manners;

static int mannered_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    bool status_room = max == 13;

    if (manners.always_empty && status_room && !manners.empty_given) {
        manners.empty_given = true;
        manners.times++;
        return 0;
    }
    int moved = manners.model->in(device, address, stream, data, max);
    if (moved == 0 && manners.skips_empty && !status_room) {
        manners.times++;
        moved = manners.model->in(device, address, stream, data, max);
    }
    manners.empty_given = manners.empty_given && moved < 0;
    return moved;
}

static struct block_device *mannered_disk(struct fixture *fixture)
{
    static struct usb_model_operations operations;

    make(fixture, USB_SPEED_HIGH, 1);
    manners.model = fixture->disk.device.operations;
    manners.skips_empty = manners.always_empty = manners.empty_given = false;
    manners.times = 0;
    operations = *manners.model;
    operations.in = mannered_in;
    fixture->disk.device.operations = &operations;
    struct block_device *device = plug_and_find(fixture);
    usb_model_unit_number(unit_of(fixture));
    return device;
}

static void a_status_in_place_of_data(void **state)
{
    struct fixture *fixture = *state;
    struct block_device *device = mannered_disk(fixture);
    manners.skips_empty = true;
    unit_of(fixture)->bad_lba = 0;
    unit_of(fixture)->bad_count = 1;
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 8), -ERROR_MEDIUM);
    assert_true(manners.times > 0);
    assert_int_equal(fixture->disk.storage_resets, 0);
    assert_int_equal(run(fixture, device, BLOCK_READ, 8, 8), 0);
}

static void an_empty_packet_before_the_status(void **state)
{
    struct fixture *fixture = *state;
    struct block_device *device = mannered_disk(fixture);
    manners.always_empty = true;
    submit_reads(fixture, device, 4);
    wait_all(fixture, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fixture->requests[i].status, 0);
        check_numbered(fixture, i);
    }
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 8), 0);
    assert_true(manners.times >= 5);
    assert_int_equal(fixture->disk.storage_resets, 0);
}

/* --- hangs --- */

static uint64_t now(struct fixture *fixture)
{
    return platform_now(fixture->bench->loop.platform);
}

static void a_hang_ends_at_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    usb_model_unit_number(unit_of(fixture));
    uint64_t begun = now(fixture);
    usb_model_disk_fault_next(&fixture->disk, USB_MODEL_HANG, 0x28);
    submit_reads(fixture, device, 1);
    usb_model_bench_run(fixture->bench, 20 * NANOSECONDS_PER_SECOND);
    assert_int_equal(fixture->ended, 0);
    /* Later ones are sent again when the late one's recovery takes them along. */
    for (unsigned i = 1; i < 4; i++) {
        fixture->requests[i] = fixture->requests[0];
        fixture->requests[i].lba = i * 8;
        fixture->requests[i].offset = (size_t)i * 4096;
        assert_int_equal(block_submit(device, &fixture->requests[i]), 0);
    }
    wait_all(fixture, 4);
    assert_true(now(fixture) - begun < 40 * NANOSECONDS_PER_SECOND);
    assert_int_equal(fixture->requests[0].status, -ERROR_TIMEOUT);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(fixture->requests[i].status, 0);
        check_numbered(fixture, i);
    }
    assert_int_equal(fixture->disk.storage_resets, 1);
}

static void a_hard_hang_needs_the_port(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    unsigned resets = fixture->disk.device.resets;
    usb_model_disk_fault_next(&fixture->disk, USB_MODEL_HANG_HARD, 0x28);
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 1), -ERROR_TIMEOUT);
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 1), 0);
    assert_true(fixture->disk.device.resets > resets);
}

static void a_hang_for_ever_costs_the_disk(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    uint64_t begun = now(fixture);
    usb_model_disk_fault_next(&fixture->disk, USB_MODEL_HANG_FOR_EVER, 0x28);
    submit_reads(fixture, device, 3);
    wait_all(fixture, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(fixture->requests[i].status == -ERROR_GONE || fixture->requests[i].status == -ERROR_TIMEOUT);
    assert_true(usb_model_bench_no_disk(fixture->bench, NAME, 300));
    assert_true(now(fixture) - begun < 300 * NANOSECONDS_PER_SECOND);
}

/* Every command from the start: probing ends, and nothing is left. */
static void a_device_that_never_answers(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    fixture->disk.fault = USB_MODEL_HANG;
    fixture->disk.fault_opcode = -1;
    fixture->disk.fault_at = 1;
    fixture->disk.fault_times = 0;
    plug(fixture);
    assert_true(usb_model_bench_settle(fixture->bench, 900));
    assert_null(fixture->bench->registry.first);
}

/* --- unplugging --- */

static void check_unplug(struct fixture *fixture, enum usb_model_disk_fault fault, int opcode)
{
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    usb_model_disk_fault_next(&fixture->disk, fault, opcode);
    uint64_t begun = now(fixture);
    if (opcode == 0x28) {
        submit_reads(fixture, device, 5);
        wait_all(fixture, 5);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(fixture->requests[i].status, -ERROR_GONE);
    } else {
        assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 200), -ERROR_GONE);
    }
    assert_true(now(fixture) - begun < 2 * NANOSECONDS_PER_SECOND);
    assert_true(usb_model_bench_no_disk(fixture->bench, NAME, 5));
    assert_int_equal(fixture->bench->host.bus.disks, 0);
    /* Plugged in again, it is a disk again. */
    plug(fixture);
    device = usb_model_bench_disk(fixture->bench, NAME, 10);
    assert_non_null(device);
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 8), 0);
}

static void unplugged_in_a_read(void **state)
{
    check_unplug(*state, USB_MODEL_UNPLUG, 0x28);
}

static void unplugged_in_the_data_of_a_read(void **state)
{
    check_unplug(*state, USB_MODEL_UNPLUG_IN_DATA, 0x28);
}

static void unplugged_in_the_data_of_a_write(void **state)
{
    check_unplug(*state, USB_MODEL_UNPLUG_IN_DATA, 0x2a);
}

/* At each command of probing, and never a leak or a disk that stays. */
static void unplugged_while_it_is_looked_at(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_SUPER, 1);
    for (unsigned at = 1; at < 14; at++) {
        fixture->disk.fault = USB_MODEL_UNPLUG;
        fixture->disk.fault_opcode = -1;
        fixture->disk.fault_at = at;
        fixture->disk.fault_times = 1;
        fixture->disk.commands = 0;
        fixture->disk.matching = 0;
        plug(fixture);
        assert_true(usb_model_bench_settle(fixture->bench, 60));
        usb_model_bench_run(fixture->bench, 2 * NANOSECONDS_PER_SECOND);
        if (!fixture->disk.device.port)
            assert_null(fixture->bench->registry.first);
        usb_model_unplug(&fixture->disk.device);
        assert_true(usb_model_bench_no_disk(fixture->bench, NAME, 5));
    }
}

static void held_while_it_is_unplugged(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    struct block_device *device = plug_and_find(fixture);
    block_device_hold(device);
    usb_model_unplug(&fixture->disk.device);
    assert_true(usb_model_bench_no_disk(fixture->bench, NAME, 5));
    usb_model_bench_run(fixture->bench, 3 * NANOSECONDS_PER_SECOND);
    assert_int_equal(run(fixture, device, BLOCK_READ, 0, 1), -ERROR_GONE);
    assert_string_equal(device->name, NAME);
    block_device_let_go(device); /* the address sanitizer sees whether this frees it */
}

static void stopped_in_the_middle_of_looking(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->becoming_ready = 1000000;
    plug(fixture);
    assert_int_equal(usb_model_host_start(&fixture->bench->host, NULL), 0);
    usb_model_bench_run(fixture->bench, 2 * NANOSECONDS_PER_SECOND);
    uint64_t begun = now(fixture);
    usb_model_host_stop(&fixture->bench->host);
    assert_true(now(fixture) - begun < 5 * NANOSECONDS_PER_SECOND);
}

/* --- media --- */

static void a_medium_comes_and_goes(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 2);
    struct usb_model_unit *unit = &fixture->disk.target.units[1];
    unit->removable = unit->no_medium = true;
    plug(fixture);
    find(fixture, NAME);
    assert_null(usb_model_bench_disk(fixture->bench, NAME "/lun1", 3));
    for (unsigned round = 0; round < 3; round++) {
        unit->no_medium = false;
        unit->attention[0] = 0x28;
        struct block_device *device = usb_model_bench_disk(fixture->bench, NAME "/lun1", 3);
        assert_non_null(device);
        assert_true(device->removable);
        assert_int_equal(run(fixture, device, BLOCK_READ, 0, 8), 0);
        unit->no_medium = true;
        if (round == 1)
            assert_int_equal(run(fixture, device, BLOCK_READ, 0, 8), -ERROR_GONE);
        assert_true(usb_model_bench_no_disk(fixture->bench, NAME "/lun1", 3));
    }
    assert_int_equal(fixture->bench->host.bus.disks, 1);
}

/* Another medium is another disk, even if nobody looked in between. */
static void a_medium_is_changed(void **state)
{
    struct fixture *fixture = *state;
    make(fixture, USB_SPEED_HIGH, 1);
    unit_of(fixture)->removable = true;
    struct block_device *device = plug_and_find(fixture);
    unit_of(fixture)->attention[0] = 0x28;
    unit_of(fixture)->blocks = 77;
    assert_int_equal(run(fixture, device, BLOCK_WRITE, 0, 8), -ERROR_GONE);
    assert_int_equal(unit_of(fixture)->writes, 0);
    usb_model_bench_run(fixture->bench, 3 * NANOSECONDS_PER_SECOND);
    device = find(fixture, NAME);
    assert_int_equal(device->geometry.block_count, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_disk_with_its_names_and_sizes),
        TEST(an_old_disk_is_asked_little),
        TEST(named_by_its_place_without_a_serial_number),
        TEST(the_serial_number_becomes_a_name_that_can_be_typed),
        TEST(two_units_are_two_disks),
        TEST(two_disks_of_one_serial_number_have_two_names),
        TEST(get_max_lun_refused_means_one),
        TEST(what_is_no_disk_is_left_alone),
        TEST(write_protected),
        TEST(write_protected_without_mode_sense),
        TEST(more_than_two_tebiblocks),
        TEST(it_spins_up),
        TEST(it_never_gets_ready),
        TEST(it_stops_by_itself),
        TEST(conformance_at_high_speed),
        TEST(conformance_at_super_speed),
        TEST(conformance_at_full_speed),
        TEST(conformance_with_blocks_of_4096_bytes),
        TEST(zeroes_and_discards_where_they_are_offered),
        TEST(announced_and_refused),
        TEST(flushes_reach_the_disk),
        TEST(the_last_flush_is_ours),
        TEST(a_disk_that_knows_no_flush),
        TEST(a_reset_in_between_fails_the_flush),
        TEST(a_bad_block),
        TEST(busy_aborted_and_attention_pass),
        TEST(faults_on_the_wire_pass),
        TEST(failures_with_stalls_as_the_standard_allows),
        TEST(a_status_in_place_of_data),
        TEST(an_empty_packet_before_the_status),
        TEST(a_hang_ends_at_the_deadline),
        TEST(a_hard_hang_needs_the_port),
        TEST(a_hang_for_ever_costs_the_disk),
        TEST(a_device_that_never_answers),
        TEST(unplugged_in_a_read),
        TEST(unplugged_in_the_data_of_a_read),
        TEST(unplugged_in_the_data_of_a_write),
        TEST(unplugged_while_it_is_looked_at),
        TEST(held_while_it_is_unplugged),
        TEST(stopped_in_the_middle_of_looking),
        TEST(a_medium_comes_and_goes),
        TEST(a_medium_is_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
