/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bulk-only disks that fail: answers that are no success, faults on the wire, hangs, unplugging. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/usb_disk_bench.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, usb_disk_setup, usb_disk_teardown)

/* --- answers that are no success --- */

static void a_bad_block(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_unit_number(usb_disk_unit(disk));
    usb_disk_unit(disk)->bad_lba = 19;
    usb_disk_unit(disk)->bad_count = 1;
    usb_disk_submit_reads(disk, device, 4);
    usb_disk_wait_all(disk, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(disk->requests[i].status, i == 2 ? -ERROR_MEDIUM : 0);
    usb_disk_check_numbered(disk, 3);
    assert_int_equal(disk->requests[2].raw_status >> 16, 3);
    assert_true(test_platform_logged(&disk->bench->platform, "cannot read block 19"));
}

static void busy_aborted_and_attention_pass(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_unit_number(usb_disk_unit(disk));
    usb_disk_unit(disk)->aborted = 2;
    usb_disk_unit(disk)->attention[0] = 0x2a;
    usb_disk_unit(disk)->attention[1] = 0x01;
    usb_disk_submit_reads(disk, device, 4);
    usb_disk_wait_all(disk, 4);
    usb_disk_check_reads(disk, 0, 4);
    usb_disk_unit(disk)->aborted = 1000;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 1), -ERROR_IO);
    usb_disk_unit(disk)->aborted = 0;
}

/* --- faults on the wire that pass --- */

struct wire_fault {
    enum usb_model_disk_fault fault;
    unsigned storage_resets;
};

static void check_fault_passes(struct usb_disk_bench *disk, const struct wire_fault *fault, bool write)
{
    struct block_device *device = usb_disk_find(disk, USB_DISK_NAME);
    unsigned resets = disk->model.storage_resets, faults = disk->model.faults;

    usb_model_unit_number(usb_disk_unit(disk));
    usb_model_disk_fault_next(&disk->model, fault->fault, write ? 0x2a : 0x28);
    memset(disk->bench->buffer.data, 0x5a, 65536);
    if (write) {
        assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 8), 0);
        assert_memory_equal(usb_model_unit_data(usb_disk_unit(disk)), disk->bench->buffer.data, 4096);
    } else {
        usb_disk_submit_reads(disk, device, 4);
        usb_disk_wait_all(disk, 4);
        usb_disk_check_reads(disk, 0, 4);
    }
    assert_int_equal(disk->model.faults, faults + 1);
    assert_int_equal(disk->model.storage_resets, resets + fault->storage_resets);
}

static void faults_on_the_wire_pass(void **state)
{
    static const struct wire_fault faults[] = {
        {USB_MODEL_STALL_DATA, 0},    {USB_MODEL_SHORT_DATA, 0},   {USB_MODEL_LIE_RESIDUE, 0},
        {USB_MODEL_STALL_COMMAND, 1}, {USB_MODEL_STALL_STATUS, 0}, {USB_MODEL_STALL_STATUS_TWICE, 1},
        {USB_MODEL_BAD_SIGNATURE, 1}, {USB_MODEL_BAD_TAG, 1},      {USB_MODEL_SHORT_STATUS, 1},
        {USB_MODEL_BAD_STATUS, 1},    {USB_MODEL_PHASE_ERROR, 1},  {USB_MODEL_TRANSACTION_ERROR, 1},
    };
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_plug(disk);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        check_fault_passes(disk, &faults[i], false);
        check_fault_passes(disk, &faults[i], true);
    }
}

static void failures_with_stalls_as_the_standard_allows(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_SUPER, 1);
    disk->model.stall_when_short = true;
    usb_disk_unit(disk)->no_mode_sense = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_disk_unit(disk)->bad_lba = 5;
    usb_disk_unit(disk)->bad_count = 1;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 16), -ERROR_MEDIUM);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 6, 16), 0);
    assert_int_equal(disk->model.storage_resets, 0);
}

/* A full-speed disk behind a high-speed hub: its translator keeps the transaction that failed until it is told to forget it. */
static void a_stall_behind_a_translator(void **state)
{
    static struct usb_model_hub hub;
    struct usb_disk_bench *disk = *state;
    usb_model_hub_init(&hub, &disk->bench->platform.platform, USB_SPEED_HIGH, 4);
    hub.multiple_translators = true;
    usb_model_plug(&disk->bench->host.ports[0], &hub.device);
    usb_disk_make(disk, USB_SPEED_FULL, 1);
    disk->model.stall_when_short = true;
    usb_disk_unit(disk)->no_mode_sense = true;
    usb_model_plug(&hub.ports[2], &disk->model.device);
    struct block_device *device = usb_disk_find(disk, USB_DISK_NAME);
    usb_disk_unit(disk)->bad_lba = 5;
    usb_disk_unit(disk)->bad_count = 1;
    unsigned before = hub.translator_clears;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 16), -ERROR_MEDIUM);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 6, 16), 0);
    assert_int_equal(hub.translator_clears, before + 1);
    assert_int_equal(hub.translator_index, 3);
    assert_int_equal(hub.translator_value & 0x9800, 0x9000); /* bulk, in */
    assert_int_equal(hub.translator_value >> 4 & 0x7f, disk->model.device.address);
    usb_model_unplug(&hub.device);
    assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME, 10));
    usb_model_host_stop(&disk->bench->host);
    usb_model_unplug(&disk->model.device);
    usb_model_hub_end(&hub);
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

static struct block_device *mannered_disk(struct usb_disk_bench *disk)
{
    static struct usb_model_operations operations;

    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    manners.model = disk->model.device.operations;
    manners.skips_empty = manners.always_empty = manners.empty_given = false;
    manners.times = 0;
    operations = *manners.model;
    operations.in = mannered_in;
    disk->model.device.operations = &operations;
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_unit_number(usb_disk_unit(disk));
    return device;
}

static void a_status_in_place_of_data(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct block_device *device = mannered_disk(disk);
    manners.skips_empty = true;
    usb_disk_unit(disk)->bad_lba = 0;
    usb_disk_unit(disk)->bad_count = 1;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 8), -ERROR_MEDIUM);
    assert_true(manners.times > 0);
    assert_int_equal(disk->model.storage_resets, 0);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 8, 8), 0);
}

static void an_empty_packet_before_the_status(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct block_device *device = mannered_disk(disk);
    manners.always_empty = true;
    usb_disk_submit_reads(disk, device, 4);
    usb_disk_wait_all(disk, 4);
    usb_disk_check_reads(disk, 0, 4);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 8), 0);
    assert_true(manners.times >= 5);
    assert_int_equal(disk->model.storage_resets, 0);
}

/* --- hangs --- */

static void a_hang_ends_at_the_deadline(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_unit_number(usb_disk_unit(disk));
    uint64_t begun = usb_disk_now(disk);
    usb_model_disk_fault_next(&disk->model, USB_MODEL_HANG, 0x28);
    usb_disk_submit_reads(disk, device, 1);
    usb_model_bench_run(disk->bench, 20 * NANOSECONDS_PER_SECOND);
    assert_int_equal(disk->ended, 0);
    /* Later ones are sent again when the late one's recovery takes them along. */
    for (unsigned i = 1; i < 4; i++) {
        disk->requests[i] = disk->requests[0];
        disk->requests[i].lba = i * 8;
        disk->requests[i].offset = (size_t)i * 4096;
        assert_int_equal(block_submit(device, &disk->requests[i]), 0);
    }
    usb_disk_wait_all(disk, 4);
    assert_true(usb_disk_now(disk) - begun < 40 * NANOSECONDS_PER_SECOND);
    assert_int_equal(disk->requests[0].status, -ERROR_TIMEOUT);
    usb_disk_check_reads(disk, 1, 4);
    assert_int_equal(disk->model.storage_resets, 1);
}

static void a_hard_hang_needs_the_port(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    unsigned resets = disk->model.device.resets;
    usb_model_disk_fault_next(&disk->model, USB_MODEL_HANG_HARD, 0x28);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 1), -ERROR_TIMEOUT);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 1), 0);
    assert_true(disk->model.device.resets > resets);
}

static void a_hang_for_ever_costs_the_disk(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    uint64_t begun = usb_disk_now(disk);
    usb_model_disk_fault_next(&disk->model, USB_MODEL_HANG_FOR_EVER, 0x28);
    usb_disk_submit_reads(disk, device, 3);
    usb_disk_wait_all(disk, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(disk->requests[i].status == -ERROR_GONE || disk->requests[i].status == -ERROR_TIMEOUT);
    assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME, 300));
    assert_true(usb_disk_now(disk) - begun < 300 * NANOSECONDS_PER_SECOND);
}

/* Every command from the start: probing ends, and nothing is left. */
static void a_device_that_never_answers(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    disk->model.fault = USB_MODEL_HANG;
    disk->model.fault_opcode = -1;
    disk->model.fault_at = 1;
    disk->model.fault_times = 0;
    usb_disk_plug(disk);
    assert_true(usb_model_bench_settle(disk->bench, 900));
    assert_null(disk->bench->registry.first);
}

/* --- unplugging --- */

static void check_unplug(struct usb_disk_bench *disk, enum usb_model_disk_fault fault, int opcode)
{
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_disk_fault_next(&disk->model, fault, opcode);
    uint64_t begun = usb_disk_now(disk);
    if (opcode == 0x28) {
        usb_disk_submit_reads(disk, device, 5);
        usb_disk_wait_all(disk, 5);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(disk->requests[i].status, -ERROR_GONE);
    } else {
        assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 200), -ERROR_GONE);
    }
    assert_true(usb_disk_now(disk) - begun < 2 * NANOSECONDS_PER_SECOND);
    assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME, 5));
    assert_int_equal(disk->bench->host.bus.disks, 0);
    /* Plugged in again, it is a disk again. */
    usb_disk_plug(disk);
    device = usb_model_bench_disk(disk->bench, USB_DISK_NAME, 10);
    assert_non_null(device);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 8), 0);
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
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_SUPER, 1);
    for (unsigned at = 1; at < 14; at++) {
        disk->model.fault = USB_MODEL_UNPLUG;
        disk->model.fault_opcode = -1;
        disk->model.fault_at = at;
        disk->model.fault_times = 1;
        disk->model.commands = 0;
        disk->model.matching = 0;
        usb_disk_plug(disk);
        assert_true(usb_model_bench_settle(disk->bench, 60));
        usb_model_bench_run(disk->bench, 2 * NANOSECONDS_PER_SECOND);
        if (!disk->model.device.port)
            assert_null(disk->bench->registry.first);
        usb_model_unplug(&disk->model.device);
        assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME, 5));
    }
}

static void held_while_it_is_unplugged(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    block_device_hold(device);
    usb_model_unplug(&disk->model.device);
    assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME, 5));
    usb_model_bench_run(disk->bench, 3 * NANOSECONDS_PER_SECOND);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 1), -ERROR_GONE);
    assert_string_equal(device->name, USB_DISK_NAME);
    block_device_let_go(device); /* the address sanitizer sees whether this frees it */
}

static void stopped_in_the_middle_of_looking(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->becoming_ready = 1000000;
    usb_disk_plug(disk);
    assert_int_equal(usb_model_host_start(&disk->bench->host, NULL), 0);
    usb_model_bench_run(disk->bench, 2 * NANOSECONDS_PER_SECOND);
    uint64_t begun = usb_disk_now(disk);
    usb_model_host_stop(&disk->bench->host);
    assert_true(usb_disk_now(disk) - begun < 5 * NANOSECONDS_PER_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_block),
        TEST(busy_aborted_and_attention_pass),
        TEST(faults_on_the_wire_pass),
        TEST(failures_with_stalls_as_the_standard_allows),
        TEST(a_stall_behind_a_translator),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
