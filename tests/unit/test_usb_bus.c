/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bus, hubs and drivers together, on scripted devices: what is plugged in comes to work, what is pulled goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "tests/support/usb_model_host.h"

#define SECOND NANOSECONDS_PER_SECOND

static void test_keyboard_types(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_model_keyboard keyboard;

    usb_model_keyboard_init(&keyboard, USB_SPEED_LOW);
    usb_model_plug(&bench->host.ports[0], &keyboard.device);
    assert_true(usb_model_bench_settle(bench, 5));
    assert_int_equal(bench->host.bus.keyboards, 1);
    assert_int_equal(keyboard.protocol, 0);
    usb_model_keyboard_type(&keyboard, 0, 4);
    usb_model_bench_run(bench, SECOND / 10);
    assert_int_equal(bench->typed_count, 1);
    assert_int_equal(bench->typed[0].usage, 4);
    usb_model_keyboard_end(&keyboard);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(bench->host.bus.keyboards, 0);
    assert_int_equal(bench->host.open_devices, 0);
}

/* Three hubs deep, each speed of hub, something at the end of each. */
static void test_hubs(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_model_hub hubs[4];
    struct usb_model_keyboard keyboards[2];
    struct platform *platform = &bench->platform.platform;

    usb_model_hub_init(&hubs[0], platform, USB_SPEED_HIGH, 4);
    usb_model_hub_init(&hubs[1], platform, USB_SPEED_HIGH, 9);
    usb_model_hub_init(&hubs[2], platform, USB_SPEED_FULL, 4);
    usb_model_hub_init(&hubs[3], platform, USB_SPEED_SUPER, 4);
    usb_model_keyboard_init(&keyboards[0], USB_SPEED_LOW);
    usb_model_keyboard_init(&keyboards[1], USB_SPEED_FULL);
    usb_model_plug(&bench->host.ports[0], &hubs[0].device);
    usb_model_plug(&hubs[0].ports[1], &hubs[1].device);
    usb_model_plug(&hubs[1].ports[8], &hubs[2].device);
    usb_model_plug(&hubs[2].ports[2], &keyboards[0].device);
    usb_model_plug(&hubs[1].ports[0], &keyboards[1].device);
    usb_model_plug(&bench->host.ports[1], &hubs[3].device);
    assert_true(usb_model_bench_settle(bench, 10));
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(bench->host.open_devices, 6);
    assert_int_equal(bench->host.bus.keyboards, 2);
    assert_int_equal(hubs[3].depth, 0);
    usb_model_keyboard_type(&keyboards[0], 0, 5);
    usb_model_keyboard_type(&keyboards[1], 0, 6);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(bench->typed_count, 2);
    /* All below a hub goes with it. */
    usb_model_unplug(&hubs[1].device);
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(bench->host.bus.keyboards, 0);
    assert_int_equal(bench->host.open_devices, 2);
    usb_model_plug(&hubs[0].ports[1], &hubs[1].device);
    usb_model_bench_run(bench, 5 * SECOND);
    assert_int_equal(bench->host.bus.keyboards, 2);
    usb_model_keyboard_end(&keyboards[0]);
    usb_model_keyboard_end(&keyboards[1]);
    for (unsigned i = 4; i-- > 0;)
        usb_model_hub_end(&hubs[i]);
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(bench->host.open_devices, 0);
}

/* --- disks --- */

static void conforms(struct usb_model_bench *bench, enum usb_speed speed, bool uas)
{
    const struct block_conformance_options options = {.destructive = true, .seed = 5};
    struct usb_model_disk *disk = calloc(1, sizeof(*disk));

    assert_non_null(disk);
    usb_model_disk_init(disk, speed, uas, 1);
    disk->reorder = true;
    disk->laziness = 3;
    usb_model_plug(&bench->host.ports[speed >= USB_SPEED_SUPER ? 1 : 0], &disk->device);
    struct block_device *device = usb_model_bench_disk(bench, "usb:MODEL0001", 10);
    assert_non_null(device);
    assert_string_equal(device->driver, uas ? "uas" : "usb");
    const char *failed = block_conformance_run(device, &options);
    if (failed)
        print_error("conformance: %s\n", failed);
    assert_null(failed);
    usb_model_disk_end(disk);
    assert_true(usb_model_bench_no_disk(bench, "", 2));
    usb_model_bench_run(bench, SECOND);
    free(disk);
}

static void test_bulk_only_conforms(void **state)
{
    conforms(*state, USB_SPEED_HIGH, false);
}

static void test_uas_conforms(void **state)
{
    conforms(*state, USB_SPEED_HIGH, true);
}

static void test_uas_with_streams_conforms(void **state)
{
    conforms(*state, USB_SPEED_SUPER, true);
}

/* Four units of one disk, two of them without a medium until it is put in. */
static void units(struct usb_model_bench *bench, enum usb_speed speed, bool uas)
{
    struct usb_model_disk *disk = calloc(1, sizeof(*disk));

    assert_non_null(disk);
    usb_model_disk_init(disk, speed, uas, 4);
    for (unsigned i = 0; i < 4; i++) {
        disk->target.units[i].removable = true;
        disk->target.units[i].no_medium = i >= 2;
        disk->target.units[i].blocks = 1000 + i;
    }
    usb_model_plug(&bench->host.ports[speed >= USB_SPEED_SUPER ? 1 : 0], &disk->device);
    assert_true(usb_model_bench_settle(bench, 10));
    assert_non_null(usb_model_bench_disk(bench, "usb:MODEL0001", 10));
    struct block_device *second = usb_model_bench_disk(bench, "usb:MODEL0001/lun1", 10);
    assert_non_null(second);
    assert_int_equal(second->geometry.block_count, 1001);
    assert_null(usb_model_bench_disk(bench, "usb:MODEL0001/lun3", 3));
    disk->target.units[3].no_medium = false;
    disk->target.units[3].attention[0] = 0x28;
    assert_non_null(usb_model_bench_disk(bench, "usb:MODEL0001/lun3", 5));
    disk->target.units[1].no_medium = true;
    assert_true(usb_model_bench_no_disk(bench, "usb:MODEL0001/lun1", 5));
    assert_non_null(usb_model_bench_disk(bench, "usb:MODEL0001", 0));
    usb_model_disk_end(disk);
    assert_true(usb_model_bench_no_disk(bench, "", 2));
    usb_model_bench_run(bench, SECOND);
    free(disk);
}

static void test_units_bulk_only(void **state)
{
    units(*state, USB_SPEED_HIGH, false);
}

static void test_units_uas(void **state)
{
    units(*state, USB_SPEED_HIGH, true);
}

static void test_units_uas_with_streams(void **state)
{
    units(*state, USB_SPEED_SUPER, true);
}

/* Pulled at any moment, while units are looked at or not: its disks are out of the list within two seconds. */
static void test_pulled_at_any_moment(void **state)
{
    struct usb_model_bench *bench = *state;

    for (unsigned moment = 0; moment < 60; moment++) {
        struct usb_model_disk *disk = calloc(1, sizeof(*disk));
        enum usb_speed speed = moment % 3 == 2 ? USB_SPEED_SUPER : USB_SPEED_HIGH;
        assert_non_null(disk);
        usb_model_disk_init(disk, speed, moment % 3 != 0, 2);
        disk->target.units[0].removable = disk->target.units[1].removable = true;
        disk->target.units[1].no_medium = true;
        disk->laziness = 5;
        bench->host.silent = moment & 1;
        usb_model_plug(&bench->host.ports[speed >= USB_SPEED_SUPER ? 1 : 0], &disk->device);
        assert_non_null(usb_model_bench_disk(bench, "usb:MODEL0001", 10));
        /* From then on TEST UNIT READY hangs: it is under way when the cable is pulled. */
        usb_model_disk_fault_next(disk, USB_MODEL_HANG, 0x00);
        for (unsigned i = 0; !disk->faults && i < 1000; i++)
            usb_model_bench_run(bench, 10 * NANOSECONDS_PER_MILLISECOND);
        assert_int_equal(disk->faults, 1);
        for (unsigned i = 0; i < moment / 3; i++)
            loop_step(&bench->loop);
        usb_model_disk_end(disk);
        assert_true(usb_model_bench_no_disk(bench, "", 2));
        usb_model_bench_run(bench, SECOND);
        assert_int_equal(bench->host.open_devices, 0);
        free(disk);
    }
}

/* The controller fails while disks, keyboards and hubs are at work. */
static void test_host_dies(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_model_hub *hub = calloc(1, sizeof(*hub));
    struct usb_model_disk *disk = calloc(1, sizeof(*disk));
    struct usb_model_keyboard *keyboard = calloc(1, sizeof(*keyboard));

    assert_true(hub && disk && keyboard);
    usb_model_hub_init(hub, &bench->platform.platform, USB_SPEED_HIGH, 4);
    usb_model_disk_init(disk, USB_SPEED_HIGH, true, 1);
    usb_model_keyboard_init(keyboard, USB_SPEED_FULL);
    usb_model_plug(&bench->host.ports[2], &hub->device);
    usb_model_plug(&hub->ports[0], &disk->device);
    usb_model_plug(&hub->ports[3], &keyboard->device);
    assert_non_null(usb_model_bench_disk(bench, "usb:MODEL0001", 10));
    assert_true(usb_model_bench_settle(bench, 10));
    usb_model_host_die(&bench->host);
    assert_true(usb_model_bench_no_disk(bench, "", 2));
    usb_model_bench_run(bench, SECOND);
    assert_true(bench->host.bus.dead);
    assert_int_equal(bench->host.bus.keyboards, 0);
    usb_model_host_stop(&bench->host);
    usb_model_keyboard_end(keyboard);
    usb_model_disk_end(disk);
    usb_model_hub_end(hub);
    free(keyboard);
    free(disk);
    free(hub);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, usb_model_bench_setup, usb_model_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keyboard_types),
        TEST(test_hubs),
        TEST(test_bulk_only_conforms),
        TEST(test_uas_conforms),
        TEST(test_uas_with_streams_conforms),
        TEST(test_units_bulk_only),
        TEST(test_units_uas),
        TEST(test_units_uas_with_streams),
        TEST(test_pulled_at_any_moment),
        TEST(test_host_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
