/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bulk-only disks on scripted devices: names, units, media, what not every disk can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "drivers/usb/usb_storage.h"
#include "tests/support/usb_disk_bench.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, usb_disk_setup, usb_disk_teardown)

/* --- what a disk is --- */

static void a_disk_with_its_names_and_sizes(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_SUPER, 1);
    struct usb_model_unit *unit = usb_disk_unit(disk);
    unit->vendor = "Acme";
    unit->product = "Rocket Disk";
    unit->revision = "1.07";
    unit->physical_exponent = 3;
    unit->rotational = true;
    struct block_device *device = usb_disk_plug_and_find(disk);

    assert_string_equal(device->name, USB_DISK_NAME);
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
    assert_int_equal(disk->bench->host.bus.disks, 1);
}

static void an_old_disk_is_asked_little(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->no_vpd = usb_disk_unit(disk)->no_capacity_16 = true;
    struct block_device *device = usb_disk_plug_and_find(disk);

    assert_int_equal(device->geometry.max_transfer, 120 * 1024);
    assert_int_equal(device->geometry.max_discard, 0);
    assert_int_equal(device->geometry.max_write_zeroes, 0);
    assert_int_equal(usb_disk_unit(disk)->inquiries, 1);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 240), 0);
    assert_int_equal(usb_disk_unit(disk)->biggest, 120 * 1024);
}

static void named_by_its_place_without_a_serial_number(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct pci_device pci = {.platform = &disk->bench->platform.platform, .device = 0x14};
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    disk->model.device.descriptor.serial = 0;
    usb_model_plug(&disk->bench->host.ports[4], &disk->model.device);
    usb_disk_find(disk, "usb:port4"); /* counted from 0, as the firmware does */
    struct usb_device *device = disk->bench->host.bus.devices;
    char text[64];

    disk->bench->host.bus.pci = &pci;
    usb_storage_place(device, text, sizeof(text));
    assert_string_equal(text, "14.0-port4");
    usb_storage_place(device, text, 8);
    assert_true(strlen(text) < 8);
    disk->bench->host.bus.pci = NULL;
}

static void the_serial_number_becomes_a_name_that_can_be_typed(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    disk->model.device.strings[3] = "a b/c:d#e";
    usb_disk_plug(disk);
    struct block_device *device = usb_disk_find(disk, "usb:a_b_c_d_e");
    assert_string_equal(device->serial, "a b/c:d#e");
}

static void two_units_are_two_disks(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 2);
    disk->model.target.units[1].blocks = 100;
    usb_disk_plug(disk);
    struct block_device *first = usb_disk_find(disk, USB_DISK_NAME),
                        *second = usb_disk_find(disk, USB_DISK_NAME "/lun1");

    assert_int_equal(first->geometry.block_count, 4096);
    assert_int_equal(second->geometry.block_count, 100);
    usb_model_unit_number(&disk->model.target.units[0]);
    usb_disk_submit_reads(disk, first, 4);
    assert_int_equal(usb_disk_run(disk, second, BLOCK_FLUSH, 0, 0), 0);
    usb_disk_wait_all(disk, 4);
    for (unsigned i = 0; i < 4; i++)
        usb_disk_check_numbered(disk, i);
}

static void two_disks_of_one_serial_number_have_two_names(void **state)
{
    struct usb_disk_bench *disk = *state;
    struct usb_model_disk other;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_model_disk_init(&other, USB_SPEED_HIGH, false, 1);
    usb_model_plug(&disk->bench->host.ports[2], &other.device);
    usb_disk_plug(disk);
    assert_true(usb_model_bench_settle(disk->bench, 30));
    assert_non_null(usb_model_bench_disk(disk->bench, USB_DISK_NAME "@port0", 1));
    assert_non_null(usb_model_bench_disk(disk->bench, USB_DISK_NAME "@port2", 1));
    usb_model_disk_end(&other);
}

static void get_max_lun_refused_means_one(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 2);
    disk->model.max_lun = USB_MODEL_STALL;
    usb_disk_plug_and_find(disk);
    assert_int_equal(disk->bench->host.bus.disks, 1);
}

static void what_is_no_disk_is_left_alone(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->type = 5;
    usb_disk_plug(disk);
    assert_true(usb_model_bench_settle(disk->bench, 30));
    assert_null(usb_model_bench_disk(disk->bench, "", 3));
    assert_int_equal(disk->bench->host.bus.disks, 0);
}

static void write_protected(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->read_only = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_true(device->read_only);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), -ERROR_WRITE_PROTECTED);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 1), 0);
}

/* Protected where MODE SENSE cannot tell: the write itself does. */
static void write_protected_without_mode_sense(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->read_only = usb_disk_unit(disk)->no_mode_sense = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_false(device->read_only);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), -ERROR_WRITE_PROTECTED);
}

static void more_than_two_tebiblocks(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_SUPER, 1);
    usb_disk_unit(disk)->pretended = 1ull << 33;
    usb_model_unit_number(usb_disk_unit(disk));
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_int_equal(device->geometry.block_count, 1ull << 33);
    usb_disk_submit_reads(disk, device, 2);
    usb_disk_wait_all(disk, 2);
    usb_disk_check_numbered(disk, 1);
}

static void it_spins_up(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->stopped = true;
    usb_disk_unit(disk)->becoming_ready = 20;
    usb_disk_plug_and_find(disk);
    assert_int_equal(usb_disk_unit(disk)->starts, 1);
    assert_int_equal(usb_disk_unit(disk)->becoming_ready, 0);
}

static void it_never_gets_ready(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->becoming_ready = 1000000;
    usb_disk_plug(disk);
    assert_true(usb_model_bench_settle(disk->bench, 60));
    assert_null(usb_model_bench_disk(disk->bench, "", 1));
}

/* One that stops by itself in the middle of work is started again. */
static void it_stops_by_itself(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_model_unit_number(usb_disk_unit(disk));
    usb_disk_unit(disk)->stopped = true;
    usb_disk_submit_reads(disk, device, 3);
    usb_disk_wait_all(disk, 3);
    usb_disk_check_reads(disk, 0, 3);
    assert_int_equal(usb_disk_unit(disk)->starts, 1);
}

/* --- conformance --- */

static void check_conformance(struct usb_disk_bench *disk, enum usb_speed speed, uint32_t block, unsigned laziness)
{
    struct block_conformance_options options = {.destructive = true, .seed = 7};
    usb_disk_make(disk, speed, 1);
    usb_disk_unit(disk)->block = block;
    disk->model.laziness = laziness;
    struct block_device *device = usb_disk_plug_and_find(disk);
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
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_SUPER, 1);
    struct usb_model_unit *unit = usb_disk_unit(disk);
    unit->unmap = unit->write_same = true;
    unit->max_unmap_blocks = 1000;
    unit->max_unmap_ranges = 1;
    unit->max_write_same = 2000;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_int_equal(device->geometry.max_discard, 1000 * 512);
    assert_int_equal(device->geometry.max_write_zeroes, 2000 * 512);
    usb_model_unit_number(unit);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE_ZEROES, 10, 100), 0);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_DISCARD, 500, 1000), 0);
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
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_SUPER, 1);
    struct usb_model_unit *unit = usb_disk_unit(disk);
    unit->unmap = unit->write_same = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    unit->unmap = unit->write_same = false;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE_ZEROES, 10, 100), -ERROR_UNSUPPORTED);
    assert_int_equal(device->geometry.max_write_zeroes, 0);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_DISCARD, 10, 100), -ERROR_UNSUPPORTED);
    assert_int_equal(device->geometry.max_discard, 0);
}

static void flushes_reach_the_disk(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->cache = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_true(device->volatile_cache);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), 0);
    assert_true(usb_disk_unit(disk)->dirty);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), 0);
    assert_false(usb_disk_unit(disk)->dirty);
    usb_disk_unit(disk)->fail_synchronize = true;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), -ERROR_MEDIUM);
    usb_disk_unit(disk)->fail_synchronize = false;
}

static void the_last_flush_is_ours(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->cache = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), 0);
    usb_model_host_stop(&disk->bench->host);
    assert_false(usb_disk_unit(disk)->dirty);
    assert_null(disk->bench->registry.first);
}

static void a_disk_that_knows_no_flush(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->no_synchronize = true;
    usb_disk_unit(disk)->no_mode_sense = true; /* and says nothing of a cache */
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), 0);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), 0);
    assert_false(device->volatile_cache);
    unsigned commands = disk->model.commands;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), 0);
    assert_int_equal(disk->model.commands, commands);
}

/* Nobody knows what is on it: "verified" might have been read from that cache. */
static void a_cache_that_is_not_written_out(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->no_synchronize = true;
    usb_disk_unit(disk)->cache = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), -ERROR_IO);
    assert_true(device->volatile_cache);
    assert_true(test_platform_logged(&disk->bench->platform, "refuses to write it out"));
}

/* A disk that was without power in between has lost what was not flushed: the flush must not say that all is well. */
static void a_reset_in_between_fails_the_flush(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->cache = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 1), 0);
    usb_disk_unit(disk)->attention[0] = 0x29;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), -ERROR_IO);
    assert_int_equal(usb_disk_run(disk, device, BLOCK_FLUSH, 0, 0), 0);
}

/* --- media --- */

static void a_medium_comes_and_goes(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 2);
    struct usb_model_unit *unit = &disk->model.target.units[1];
    unit->removable = unit->no_medium = true;
    usb_disk_plug(disk);
    usb_disk_find(disk, USB_DISK_NAME);
    assert_null(usb_model_bench_disk(disk->bench, USB_DISK_NAME "/lun1", 3));
    for (unsigned round = 0; round < 3; round++) {
        unit->no_medium = false;
        unit->attention[0] = 0x28;
        struct block_device *device = usb_model_bench_disk(disk->bench, USB_DISK_NAME "/lun1", 3);
        assert_non_null(device);
        assert_true(device->removable);
        assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 8), 0);
        unit->no_medium = true;
        if (round == 1)
            assert_int_equal(usb_disk_run(disk, device, BLOCK_READ, 0, 8), -ERROR_GONE);
        assert_true(usb_model_bench_no_disk(disk->bench, USB_DISK_NAME "/lun1", 3));
    }
    assert_int_equal(disk->bench->host.bus.disks, 1);
}

/* Another medium is another disk, even if nobody looked in between. */
static void a_medium_is_changed(void **state)
{
    struct usb_disk_bench *disk = *state;
    usb_disk_make(disk, USB_SPEED_HIGH, 1);
    usb_disk_unit(disk)->removable = true;
    struct block_device *device = usb_disk_plug_and_find(disk);
    usb_disk_unit(disk)->attention[0] = 0x28;
    usb_disk_unit(disk)->blocks = 77;
    assert_int_equal(usb_disk_run(disk, device, BLOCK_WRITE, 0, 8), -ERROR_GONE);
    assert_int_equal(usb_disk_unit(disk)->writes, 0);
    usb_model_bench_run(disk->bench, 3 * NANOSECONDS_PER_SECOND);
    device = usb_disk_find(disk, USB_DISK_NAME);
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
        TEST(a_cache_that_is_not_written_out),
        TEST(a_reset_in_between_fails_the_flush),
        TEST(a_medium_comes_and_goes),
        TEST(a_medium_is_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
