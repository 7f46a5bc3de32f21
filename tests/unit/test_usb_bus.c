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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keyboard_types, usb_model_bench_setup, usb_model_bench_teardown),
        cmocka_unit_test_setup_teardown(test_hubs, usb_model_bench_setup, usb_model_bench_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
