/* SPDX-License-Identifier: GPL-2.0-or-later */
/* External hubs: what is behind them comes up, and leaves with them; translators, tiers, over-current, hubs that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "tests/support/usb_test_driver.h"

#define MILLISECOND NANOSECONDS_PER_MILLISECOND
#define SECOND NANOSECONDS_PER_SECOND
#define HUBS 6
#define DEVICES 4

static struct usb_test_driver *const first = &usb_test_drivers[0];
static struct usb_model_hub hubs[HUBS];
static struct usb_test_device devices[DEVICES];

static int setup(void **state)
{
    int status = usb_model_bench_setup(state);
    struct usb_model_bench *bench = *state;

    usb_test_drivers_init(&bench->host.bus);
    memset(hubs, 0, sizeof(hubs));
    memset(devices, 0, sizeof(devices));
    return status;
}

static int teardown(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_host_stop(&bench->host);
    assert_int_equal(first->attaches, first->detaches);
    assert_int_equal(bench->platform.buffers, 1); /* the bench's own */
    assert_null(bench->loop.fibers);
    return usb_model_bench_teardown(state);
}

static struct platform *platform_of(struct usb_model_bench *bench)
{
    return &bench->platform.platform;
}

/* Hubs 0 to count - 1 in a row, each on the last port of the one before, the first on `port`. */
static void chain(struct usb_model_bench *bench, struct usb_model_port *port, enum usb_speed speed, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        usb_model_hub_init(&hubs[i], platform_of(bench), speed, 4);
        usb_model_plug(i ? &hubs[i - 1].ports[3] : port, &hubs[i].device);
    }
}

static struct usb_device *find(struct usb_model_bench *bench, const char *serial)
{
    for (struct usb_device *device = bench->host.bus.devices; device; device = device->next)
        if (!strcmp(device->serial, serial) && device->bindings)
            return device;
    return NULL;
}

static unsigned count_bound(struct usb_model_bench *bench)
{
    unsigned count = 0;

    for (struct usb_device *device = bench->host.bus.devices; device; device = device->next)
        count += device->bindings != NULL;
    return count;
}

/* --- coming up --- */

static void devices_behind_a_hub(void **state)
{
    struct usb_model_bench *bench = *state;

    first->no_open = true;
    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "HIGH");
    usb_test_device_init(&devices[1], USB_SPEED_FULL, "FULL");
    usb_test_device_init(&devices[2], USB_SPEED_LOW, "LOW");
    for (unsigned i = 0; i < 3; i++)
        usb_model_plug(&hubs[0].ports[i], &devices[i].model);
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(first->attaches, 3);
    assert_int_equal(bench->host.last_hub_ports, 4);
    assert_true(bench->host.last_hub_multiple);
    assert_int_equal(bench->host.last_hub_think_time, 1);
    assert_int_equal(hubs[0].device.alternates[0], 1);

    struct usb_device *high = find(bench, "HIGH"), *full = find(bench, "FULL"), *low = find(bench, "LOW");
    assert_non_null(high);
    assert_non_null(full);
    assert_non_null(low);
    assert_int_equal(high->speed, USB_SPEED_HIGH);
    assert_int_equal(full->speed, USB_SPEED_FULL);
    assert_int_equal(low->speed, USB_SPEED_LOW);
    assert_null(high->translator);
    assert_ptr_equal(full->translator, full->hub->device);
    assert_int_equal(full->translator_port, 2);
    assert_int_equal(low->translator_port, 3);
    assert_int_equal(high->tier, 1);
    assert_int_equal(high->route, 1);
    assert_int_equal(low->route, 3);
    assert_int_equal(low->root_port, 1);
    assert_string_equal(low->name, "model port 1.3");
}

static void translator_across_tiers(void **state)
{
    struct usb_model_bench *bench = *state;

    /* high, high, full: the second hub's translator serves all below it. */
    usb_model_hub_init(&hubs[0], platform_of(bench), USB_SPEED_HIGH, 4);
    usb_model_hub_init(&hubs[1], platform_of(bench), USB_SPEED_HIGH, 4);
    usb_model_hub_init(&hubs[2], platform_of(bench), USB_SPEED_FULL, 4);
    usb_model_plug(&bench->host.ports[2], &hubs[0].device);
    usb_model_plug(&hubs[0].ports[1], &hubs[1].device);
    usb_model_plug(&hubs[1].ports[2], &hubs[2].device);
    usb_test_device_init(&devices[0], USB_SPEED_LOW, "LOW");
    usb_model_plug(&hubs[2].ports[3], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    struct usb_device *low = find(bench, "LOW");
    assert_non_null(low);
    assert_int_equal(low->tier, 3);
    assert_int_equal(low->route, 0x432);
    assert_int_equal(low->root_port, 3);
    assert_non_null(low->translator);
    assert_int_equal(low->translator->route, 2);
    assert_int_equal(low->translator_port, 3);
    assert_string_equal(low->name, "model port 3.2.3.4");
}

static void five_hubs_in_a_row_and_no_more(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 6);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "DEEP");
    usb_test_device_init(&devices[1], USB_SPEED_HIGH, "DEEPER");
    usb_model_plug(&hubs[4].ports[0], &devices[0].model);
    usb_model_plug(&hubs[5].ports[0], &devices[1].model);
    assert_true(usb_model_bench_settle(bench, 20));
    struct usb_device *deep = find(bench, "DEEP");
    assert_non_null(deep);
    assert_int_equal(deep->tier, 5);
    assert_int_equal(deep->route, 0x14444);
    assert_null(find(bench, "DEEPER"));
    assert_true(test_platform_logged(&bench->platform, "more than 5 hubs"));
}

static void superspeed_hubs_know_their_depth(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[1], USB_SPEED_SUPER, 3);
    usb_test_device_init(&devices[0], USB_SPEED_SUPER, "SUPER");
    usb_model_plug(&hubs[2].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    for (int i = 0; i < 3; i++)
        assert_int_equal(hubs[i].depth, i);
    struct usb_device *device = find(bench, "SUPER");
    assert_non_null(device);
    assert_int_equal(device->route, 0x144);
    assert_int_equal(device->speed, USB_SPEED_SUPER);
    assert_null(device->translator);
    assert_false(bench->host.last_hub_multiple);
}

static void link_below_a_hub_fails(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[1], USB_SPEED_SUPER, 1);
    usb_test_device_init(&devices[0], USB_SPEED_SUPER, "SUPER");
    usb_model_plug(&hubs[0].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(first->attaches, 1);
    usb_model_port_fail_link(&hubs[0].ports[0]);
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->attaches, 2);
    assert_int_equal(hubs[0].ports[0].warm_resets, 1);
}

static void wide_hub(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_hub_init(&hubs[0], platform_of(bench), USB_SPEED_HIGH, USB_MODEL_HUB_PORTS);
    usb_model_plug(&bench->host.ports[0], &hubs[0].device);
    assert_true(usb_model_bench_settle(bench, 5));
    for (unsigned i = 0; i < DEVICES; i++) {
        usb_test_device_init(&devices[i], USB_SPEED_HIGH, NULL);
        usb_model_plug(&hubs[0].ports[USB_MODEL_HUB_PORTS - 1 - i * 4], &devices[i].model);
    }
    first->no_open = true;
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(first->attaches, DEVICES);
    unsigned routes = 0;
    for (struct usb_device *device = bench->host.bus.devices; device; device = device->next)
        routes |= 1u << device->route;
    assert_int_equal(routes, 1u << 15 | 1u << 11 | 1u << 7 | 1u << 3 | 1u << 0);
}

/* --- leaving --- */

static void all_below_leave_with_the_hub(void **state)
{
    struct usb_model_bench *bench = *state;

    first->no_open = true;
    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 3);
    for (unsigned i = 0; i < DEVICES; i++) {
        usb_test_device_init(&devices[i], USB_SPEED_HIGH, NULL);
        usb_model_plug(&hubs[i % 3].ports[i / 3], &devices[i].model);
    }
    for (unsigned round = 0; round < 3; round++) {
        assert_true(usb_model_bench_settle(bench, 10));
        assert_int_equal(count_bound(bench), 3 + DEVICES);
        unsigned goings = first->goings;
        usb_model_unplug(&hubs[round % 2].device);
        usb_model_bench_run(bench, 50 * MILLISECOND);
        assert_int_equal(first->goings - goings, round % 2 ? DEVICES - 2 : DEVICES);
        usb_model_bench_run(bench, SECOND);
        assert_int_equal(bench->host.bus.device_count, round % 2 ? 3 : 0);
        assert_int_equal(bench->host.open_devices, bench->host.bus.device_count);
        usb_model_plug(round % 2 ? &hubs[0].ports[3] : &bench->host.ports[0], &hubs[round % 2].device);
        usb_model_bench_run(bench, 50 * MILLISECOND); /* until the hub above says so */
    }
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(count_bound(bench), 3 + DEVICES);
}

static void one_leaves_while_another_comes(void **state)
{
    struct usb_model_bench *bench = *state;

    first->no_open = true;
    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "STAYS");
    usb_model_plug(&hubs[0].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    /* The other one keeps its port busy with resets that do not end. */
    usb_test_device_init(&devices[1], USB_SPEED_HIGH, "NEVER");
    hubs[0].ports[1].endless_reset = true;
    usb_model_plug(&hubs[0].ports[1], &devices[1].model);
    usb_model_bench_run(bench, 400 * MILLISECOND);
    assert_true(hubs[0].ports[1].resets > 0);
    usb_model_unplug(&devices[0].model);
    usb_model_bench_run(bench, 100 * MILLISECOND);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->detaches, 1);
}

static void hub_leaves_at_any_moment(void **state)
{
    struct usb_model_bench *bench = *state;

    assert_true(usb_model_bench_settle(bench, 5));
    usb_test_device_init(&devices[0], USB_SPEED_FULL, "FULL");
    usb_test_device_init(&devices[1], USB_SPEED_HIGH, "HIGH");
    for (uint64_t time = 90 * MILLISECOND; time < 600 * MILLISECOND; time += 7 * MILLISECOND) {
        usb_model_hub_init(&hubs[0], platform_of(bench), USB_SPEED_HIGH, 4);
        usb_model_plug(&bench->host.ports[0], &hubs[0].device);
        usb_model_plug(&hubs[0].ports[0], &devices[0].model);
        usb_model_plug(&hubs[0].ports[1], &devices[1].model);
        first->no_open = true;
        usb_model_bench_run(bench, time);
        usb_model_unplug(&hubs[0].device);
        usb_model_bench_run(bench, SECOND);
        assert_int_equal(bench->host.bus.device_count, 0);
        assert_int_equal(bench->host.open_devices, 0);
        assert_false(bench->host.bus.addressing);
        assert_int_equal(hubs[0].device.violations, 0);
        usb_model_unplug(&devices[0].model);
        usb_model_unplug(&devices[1].model);
    }
}

static void stop_begins_at_the_leaves(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 2);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "LEAF");
    usb_model_plug(&hubs[1].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    assert_non_null(first->binding);
    /* A disk that flushes for two seconds is not cut off by its hub. */
    first->detach_time = 2 * SECOND;
    usb_model_host_stop(&bench->host);
    assert_int_equal(first->detaches, 1);
    assert_int_equal(first->goings, 0);
    assert_false(first->unplugged_at_detach);
}

static void stop_at_any_moment(void **state)
{
    struct usb_model_bench *bench = *state;

    for (uint64_t time = 0; time < 700 * MILLISECOND; time += 11 * MILLISECOND) {
        usb_model_host_init(&bench->host, &bench->loop, &bench->registry, &bench->keys);
        usb_test_drivers_init(&bench->host.bus);
        usb_model_hub_init(&hubs[0], platform_of(bench), USB_SPEED_HIGH, 4);
        usb_test_device_init(&devices[0], USB_SPEED_FULL, "FULL");
        usb_model_plug(&bench->host.ports[0], &hubs[0].device);
        usb_model_plug(&hubs[0].ports[0], &devices[0].model);
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
        usb_model_bench_run(bench, time);
        uint64_t start = platform_now(platform_of(bench));
        usb_model_host_stop(&bench->host);
        assert_true(platform_now(platform_of(bench)) - start < SECOND);
        assert_int_equal(bench->host.violations, 0);
        assert_int_equal(first->attaches, first->detaches);
        assert_null(bench->loop.fibers);
        usb_model_unplug(&devices[0].model);
        usb_model_unplug(&hubs[0].device);
    }
}

static void reset_behind_a_hub(struct usb_test_driver *driver, struct usb_binding *binding)
{
    driver->attach_status = usb_device_reset(binding->device);
}

static void device_is_reset_behind_a_hub(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 2);
    usb_test_device_init(&devices[0], USB_SPEED_FULL, "FULL");
    usb_model_plug(&hubs[1].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    first->on_service = reset_behind_a_hub;
    first->attach_status = 1;
    usb_attention(first->device);
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(first->attach_status, 0);
    assert_int_equal(devices[0].model.resets, 2);
    assert_int_equal(first->goings, 0);
}

/* --- trouble --- */

static void over_current(void **state)
{
    struct usb_model_bench *bench = *state;

    first->no_open = true;
    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "GREEDY");
    usb_test_device_init(&devices[1], USB_SPEED_HIGH, "MODEST");
    usb_model_plug(&hubs[0].ports[0], &devices[0].model);
    usb_model_plug(&hubs[0].ports[1], &devices[1].model);
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(first->attaches, 2);
    /* The hub switches the port off. */
    usb_model_port_power(&hubs[0].ports[0], false);
    hubs[0].ports[0].over_current = hubs[0].ports[0].over_current_changed = true;
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(first->goings, 1);
    assert_non_null(find(bench, "MODEST"));
    assert_true(test_platform_logged(&bench->platform, "too much current"));
    /* It is over: power comes back, and the device. */
    hubs[0].ports[0].over_current = false;
    hubs[0].ports[0].over_current_changed = true;
    usb_model_bench_run(bench, SECOND);
    assert_true(hubs[0].ports[0].powered);
    assert_non_null(find(bench, "GREEDY"));
}

static void hub_itself_has_over_current(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "DEVICE");
    usb_model_plug(&hubs[0].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    for (unsigned i = 0; i < 4; i++)
        usb_model_port_power(&hubs[0].ports[i], false);
    hubs[0].over_current = hubs[0].over_current_changed = true;
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(first->goings, 1);
    hubs[0].over_current = false;
    hubs[0].over_current_changed = true;
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(first->attaches, 2);
}

static void status_endpoint_stalls(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    assert_true(usb_model_bench_settle(bench, 10));
    hubs[0].device.halted[17] = true;
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "DEVICE");
    usb_model_plug(&hubs[0].ports[0], &devices[0].model);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(hubs[0].device.clear_halts, 1);
    assert_int_equal(first->attaches, 1);
}

static void hub_that_fails_for_good_is_given_up(void **state)
{
    struct usb_model_bench *bench = *state;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    usb_test_device_init(&devices[0], USB_SPEED_HIGH, "DEVICE");
    usb_model_plug(&hubs[0].ports[0], &devices[0].model);
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(first->attaches, 1);
    hubs[0].device.no_answer = true;
    usb_model_bench_run(bench, 60 * SECOND);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->detaches, 1);
}

/* The hub answers, and its devices would go on sending: they are without power before they are said to be gone. */
static void devices_of_a_hub_that_is_given_up_are_silent(void **state)
{
    struct usb_model_bench *bench = *state;

    for (unsigned super = 0; super < 2; super++) {
        chain(bench, &bench->host.ports[super], super ? USB_SPEED_SUPER : USB_SPEED_HIGH, 1);
        usb_test_device_init(&devices[0], super ? USB_SPEED_SUPER : USB_SPEED_HIGH, "DEVICE");
        usb_model_plug(&hubs[0].ports[0], &devices[0].model);
        assert_true(usb_model_bench_settle(bench, 10));
        unsigned goings = first->goings;
        for (unsigned i = 0; i < 20 && first->goings == goings; i++) {
            hubs[0].device.halted[17] = true;
            usb_model_bench_run(bench, SECOND);
        }
        assert_int_equal(first->goings, goings + 1);
        assert_false(hubs[0].ports[0].enabled);
        assert_false(hubs[0].ports[0].powered);
        usb_model_unplug(&hubs[0].device);
        assert_true(usb_model_bench_settle(bench, 10));
        usb_model_unplug(&devices[0].model);
    }
}

static void hostile_hub_descriptors(void **state)
{
    static const struct {
        unsigned at;
        uint8_t value;
    } lies[] = {{0, 0}, {1, 0x11}, {2, 0}, {2, 255}, {5, 255}};
    struct usb_model_bench *bench = *state;

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        for (unsigned super = 0; super < 2; super++) {
            chain(bench, &bench->host.ports[super], super ? USB_SPEED_SUPER : USB_SPEED_HIGH, 1);
            hubs[0].descriptor[lies[i].at] = lies[i].value;
            assert_true(usb_model_bench_settle(bench, 60));
            assert_int_equal(bench->host.bus.device_count, 1);
            usb_model_unplug(&hubs[0].device);
            usb_model_bench_run(bench, SECOND);
            assert_int_equal(bench->host.bus.device_count, 0);
        }
    /* Requests to ports that it does not have are what it asked for. */
    bench->host.ports[0].departed_violations = bench->host.ports[1].departed_violations = 0;

    chain(bench, &bench->host.ports[0], USB_SPEED_HIGH, 1);
    hubs[0].descriptor_size = 5;
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(count_bound(bench), 0);
}

#define BENCH_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(devices_behind_a_hub),
        BENCH_TEST(translator_across_tiers),
        BENCH_TEST(five_hubs_in_a_row_and_no_more),
        BENCH_TEST(superspeed_hubs_know_their_depth),
        BENCH_TEST(link_below_a_hub_fails),
        BENCH_TEST(wide_hub),
        BENCH_TEST(all_below_leave_with_the_hub),
        BENCH_TEST(one_leaves_while_another_comes),
        BENCH_TEST(hub_leaves_at_any_moment),
        BENCH_TEST(stop_begins_at_the_leaves),
        BENCH_TEST(stop_at_any_moment),
        BENCH_TEST(device_is_reset_behind_a_hub),
        BENCH_TEST(over_current),
        BENCH_TEST(hub_itself_has_over_current),
        BENCH_TEST(status_endpoint_stalls),
        BENCH_TEST(hub_that_fails_for_good_is_given_up),
        BENCH_TEST(devices_of_a_hub_that_is_given_up_are_silent),
        BENCH_TEST(hostile_hub_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
