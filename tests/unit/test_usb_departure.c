/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that leave at any moment, and the end of the bus: stopped, dead, out of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "tests/support/usb_test_driver.h"

#define MILLISECOND NANOSECONDS_PER_MILLISECOND
#define SECOND NANOSECONDS_PER_SECOND

static struct usb_test_driver *const first = &usb_test_drivers[0], *const second = &usb_test_drivers[1];
static struct usb_test_device *const device = &usb_test_subject;

/* --- departures --- */

static void gone_at_every_request(void **state)
{
    struct usb_model_bench *bench = *state;

    for (unsigned request = 1; request <= 12; request++) {
        usb_test_drivers_init(&bench->host.bus);
        usb_test_device_init(device, USB_SPEED_FULL, "SERIAL1");
        device->model.unplug_at_request = request;
        usb_test_plug_and_settle(bench);
        usb_model_unplug(&device->model);
        usb_model_bench_run(bench, SECOND);
        assert_int_equal(bench->host.bus.device_count, 0);
        assert_false(bench->host.bus.addressing);
        assert_int_equal(bench->host.open_devices, 0);
        assert_int_equal(first->detaches, first->goings);

        device->model.unplug_at_request = 0;
        usb_test_plug_and_settle(bench);
        assert_non_null(first->binding);
        usb_model_unplug(&device->model);
        usb_model_bench_run(bench, SECOND);
    }
}

static void gone_in_the_middle_of_all_waits(void **state)
{
    struct usb_model_bench *bench = *state;

    assert_true(usb_model_bench_settle(bench, 5));
    for (uint64_t time = 0; time < 260 * MILLISECOND; time += 3 * MILLISECOND) {
        usb_model_plug(&bench->host.ports[0], &device->model);
        usb_model_bench_run(bench, time);
        usb_model_unplug(&device->model);
        usb_model_bench_run(bench, SECOND);
        assert_int_equal(bench->host.bus.device_count, 0);
        assert_int_equal(bench->host.open_devices, 0);
        assert_false(bench->host.bus.addressing);
    }
    assert_int_equal(first->attaches, first->detaches);
}

static void quickly_exchanged(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_plug_and_settle(bench);
    struct usb_device *before = first->device;
    usb_model_unplug(&device->model);
    device->model.strings[3] = "SERIAL2";
    usb_model_plug(&bench->host.ports[0], &device->model);
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->detaches, 1);
    assert_int_equal(first->attaches, 2);
    assert_string_equal(first->device->serial, "SERIAL2");
    (void)before;
}

/* --- the end --- */

/* Another bus, and a device of this speed that is not plugged in yet. */
static void begin_again(struct usb_model_bench *bench, enum usb_speed speed)
{
    usb_model_host_init(&bench->host, &bench->loop, &bench->registry, &bench->keys);
    usb_test_drivers_init(&bench->host.bus);
    usb_test_device_init(device, speed, "SERIAL1");
}

static void stop_at_any_moment(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_test_device fast;

    for (uint64_t time = 0; time < 300 * MILLISECOND; time += 4 * MILLISECOND) {
        begin_again(bench, USB_SPEED_FULL);
        usb_test_device_init(&fast, USB_SPEED_SUPER, "SERIAL2");
        usb_model_plug(&bench->host.ports[0], &device->model);
        usb_model_plug(&bench->host.ports[1], &fast.model);
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
        usb_model_bench_run(bench, time);
        uint64_t start = platform_now(&bench->platform.platform);
        usb_model_host_stop(&bench->host);
        assert_true(platform_now(&bench->platform.platform) - start < SECOND);
        assert_int_equal(first->attaches, first->detaches);
        assert_int_equal(first->goings, 0);
        assert_int_equal(bench->host.violations, 0);
        assert_null(bench->loop.fibers);
        usb_model_unplug(&device->model);
        usb_model_unplug(&fast.model);
    }
}

static void stop_of_a_frozen_bus_is_bounded(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_plug(&bench->host.ports[0], &device->model);
    assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
    bench->host.frozen = true;
    usb_model_bench_run(bench, 300 * MILLISECOND);
    assert_int_equal(bench->host.bus.device_count, 1);
    uint64_t start = platform_now(&bench->platform.platform);
    usb_model_host_stop(&bench->host);
    assert_true(platform_now(&bench->platform.platform) - start < SECOND);
}

static void stop_waits_for_drivers_but_not_for_ever(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_plug_and_settle(bench);
    first->detach_time = 3 * SECOND;
    uint64_t start = platform_now(&bench->platform.platform);
    usb_model_host_stop(&bench->host);
    assert_true(platform_now(&bench->platform.platform) - start >= 3 * SECOND);
    assert_false(first->unplugged_at_detach);
    assert_int_equal(first->detaches, 1);
}

static int wait_for_ever(struct usb_test_driver *driver, struct usb_device *busy)
{
    (void)driver;
    loop_delay(busy->bus->loop, 24 * 3600 * SECOND);
    return -ERROR_TIMEOUT;
}

static void driver_that_never_ends_is_dropped(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_test_device other;

    usb_test_device_init(&other, USB_SPEED_HIGH, "OTHER");
    usb_model_add_interface(&other.model, 1, 0, USB_TEST_CLASS, 1, 0);
    second->subclass = 1;
    second->on_attach = wait_for_ever;
    usb_model_plug(&bench->host.ports[2], &other.model);
    usb_model_bench_settle(bench, 5);
    assert_int_equal(second->attaches, 1);
    assert_non_null(first->binding);
    uint64_t start = platform_now(&bench->platform.platform);
    usb_model_host_stop(&bench->host);
    assert_true(platform_now(&bench->platform.platform) - start < 60 * SECOND);
    assert_true(test_platform_logged(&bench->platform, "is dropped"));
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->detaches, 1);
    usb_model_unplug(&other.model);
}

/* It neither answers nor refuses; those beside it come up all the same, and soon. */
static void deaf_device_costs_itself(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_test_device deaf;

    usb_test_device_init(&deaf, USB_SPEED_HIGH, "DEAF");
    deaf.model.bad_request = USB_GET_DESCRIPTOR;
    deaf.model.bad_answer = USB_MODEL_NAK;
    usb_model_plug(&bench->host.ports[0], &deaf.model);
    usb_model_plug(&bench->host.ports[2], &device->model);
    usb_model_bench_settle(bench, 2);
    assert_int_equal(first->attaches, 1);
    usb_model_bench_run(bench, 30 * SECOND);
    assert_int_equal(bench->host.root.failures[1], 3);
    assert_int_equal(bench->host.bus.device_count, 1);
    usb_model_host_stop(&bench->host);
    usb_model_unplug(&deaf.model);
}

static void dead_controller(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_plug_and_settle(bench);
    usb_model_host_die(&bench->host);
    assert_int_equal(first->goings, 1); /* at once */
    assert_int_equal(first->detaches, 0);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(first->detaches, 1);
    assert_int_equal(bench->host.bus.device_count, 0);
    assert_true(usb_bus_wait_settled(&bench->host.bus, UINT64_MAX));
}

static void dead_controller_at_any_moment(void **state)
{
    struct usb_model_bench *bench = *state;

    for (uint64_t time = 0; time < 300 * MILLISECOND; time += 4 * MILLISECOND) {
        begin_again(bench, USB_SPEED_HIGH);
        usb_model_plug(&bench->host.ports[0], &device->model);
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
        usb_model_bench_run(bench, time);
        usb_model_host_die(&bench->host);
        usb_model_bench_run(bench, 20 * MILLISECOND);
        usb_model_host_stop(&bench->host);
        assert_int_equal(first->attaches, first->detaches);
        assert_int_equal(bench->host.violations, 0);
        usb_model_unplug(&device->model);
    }
}

static void failing_host_operations(void **state)
{
    struct usb_model_bench *bench = *state;

    for (unsigned operation = 0; operation <= USB_MODEL_ENDPOINTS_OPEN; operation++) {
        for (unsigned times = 0; times < 3; times++) {
            begin_again(bench, USB_SPEED_FULL);
            usb_model_plug(&bench->host.ports[0], &device->model);
            bench->host.results[operation] = -ERROR_TIMEOUT;
            bench->host.result_times = times;
            assert_true(usb_model_bench_settle(bench, 10));
            if (times && operation != USB_MODEL_ENDPOINTS_OPEN)
                assert_non_null(first->binding);
            usb_model_host_stop(&bench->host);
            assert_int_equal(bench->host.violations, 0);
            assert_null(first->binding);
            usb_model_unplug(&device->model);
        }
    }
}

static void memory_ends_at_any_allocation(void **state)
{
    struct usb_model_bench *bench = *state;

    for (long count = 0; count < 24; count++) {
        begin_again(bench, USB_SPEED_HIGH);
        usb_model_plug(&bench->host.ports[0], &device->model);
        bench->platform.fail_after = count;
        if (!usb_model_host_start(&bench->host, &bench->error))
            assert_true(usb_bus_wait_settled(&bench->host.bus, UINT64_MAX));
        bench->platform.fail_after = -1;
        usb_model_host_stop(&bench->host);
        assert_int_equal(bench->host.violations, 0);
        assert_null(first->binding);
        assert_int_equal(bench->platform.buffers, 1);
        usb_model_unplug(&device->model);
    }
}

#define BENCH_TEST(function) cmocka_unit_test_setup_teardown(function, usb_test_setup, usb_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(gone_at_every_request),
        BENCH_TEST(gone_in_the_middle_of_all_waits),
        BENCH_TEST(quickly_exchanged),
        BENCH_TEST(stop_at_any_moment),
        BENCH_TEST(stop_of_a_frozen_bus_is_bounded),
        BENCH_TEST(stop_waits_for_drivers_but_not_for_ever),
        BENCH_TEST(driver_that_never_ends_is_dropped),
        BENCH_TEST(deaf_device_costs_itself),
        BENCH_TEST(dead_controller),
        BENCH_TEST(dead_controller_at_any_moment),
        BENCH_TEST(failing_host_operations),
        BENCH_TEST(memory_ends_at_any_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
