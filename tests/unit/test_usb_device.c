/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a device on a root port: enumeration, bindings, requests, resets. */
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

/* --- enumeration --- */

static void device_comes_up(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 1);
    struct usb_device *found = first->device;
    assert_int_equal(found->state, USB_DEVICE_CONFIGURED);
    assert_int_equal(found->vendor_id, 0xe1d0);
    assert_int_equal(found->product_id, 1);
    assert_int_equal(found->release, 0x100);
    assert_string_equal(found->manufacturer, "Eidolon");
    assert_string_equal(found->product, "Model");
    assert_string_equal(found->serial, "SERIAL1");
    assert_string_equal(found->name, "model port 1");
    assert_int_equal(found->speed, USB_SPEED_HIGH);
    assert_int_equal(found->interface_count, 1);
    assert_int_equal(first->endpoint_count, 2);
    assert_ptr_equal(usb_find_endpoint(first->endpoints, 2, USB_ENDPOINT_BULK, true), &first->endpoints[0]);
    assert_ptr_equal(usb_find_endpoint(first->endpoints, 2, USB_ENDPOINT_BULK, false), &first->endpoints[1]);
    assert_null(usb_find_endpoint(first->endpoints, 2, USB_ENDPOINT_INTERRUPT, true));
    assert_false(bench->host.bus.addressing);
    assert_int_equal(device->model.configuration_value, 1);
    assert_int_equal(device->model.set_configurations, 1);
    assert_int_equal(device->model.set_interfaces, 0);

    usb_model_host_stop(&bench->host);
    assert_int_equal(first->detaches, 1);
    assert_int_equal(first->goings, 0);
    assert_false(first->unplugged_at_detach);
}

static void every_speed_and_packet_size(void **state)
{
    static const struct {
        enum usb_speed speed;
        uint8_t field;
        uint16_t packet;
    } cases[] = {{USB_SPEED_LOW, 8, 8},    {USB_SPEED_FULL, 8, 8},   {USB_SPEED_FULL, 16, 16},
                 {USB_SPEED_FULL, 32, 32}, {USB_SPEED_FULL, 64, 64}, {USB_SPEED_HIGH, 64, 64},
                 {USB_SPEED_HIGH, 32, 32}, {USB_SPEED_SUPER, 9, 512}};
    struct usb_model_bench *bench = *state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        usb_test_drivers_init(&bench->host.bus);
        usb_test_device_init(device, cases[i].speed, "SERIAL1");
        device->model.descriptor.max_packet = cases[i].field;
        usb_test_plug_and_settle(bench);
        assert_int_equal(first->attaches, 1);
        assert_int_equal(first->device->control.max_packet, cases[i].packet);
        assert_string_equal(first->device->serial, "SERIAL1");
        usb_model_unplug(&device->model);
        usb_model_bench_run(bench, SECOND);
        assert_int_equal(first->detaches, 1);
    }
}

static void usb3_port_needs_no_reset(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_device_init(device, USB_SPEED_SUPER, NULL);
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 1);
    assert_int_equal(bench->host.ports[1].resets, 0);
    assert_string_equal(first->device->serial, "");
}

static void inactive_link_gets_a_warm_reset(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_device_init(device, USB_SPEED_SUPER, "SERIAL1");
    bench->host.ports[1].inactive = true;
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 1);
    assert_true(bench->host.ports[1].warm_resets > 0);
    /* And once more at work. */
    usb_model_port_fail_link(&bench->host.ports[1]);
    usb_model_bench_run(bench, 3 * SECOND);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->attaches, 2);
}

static void invalid_packet_size_is_refused(void **state)
{
    struct usb_model_bench *bench = *state;

    device->model.descriptor.max_packet = 0;
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 0);
    assert_int_equal(bench->host.root.failures[1], 3);
    assert_false(bench->host.bus.addressing);
}

static void broken_strings_are_tolerated(void **state)
{
    static const int answers[] = {USB_MODEL_STALL, USB_MODEL_NAK, USB_MODEL_ERROR, 1, 2, 255};
    struct usb_model_bench *bench = *state;

    for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        usb_test_drivers_init(&bench->host.bus);
        usb_test_device_init(device, USB_SPEED_HIGH, "SERIAL1");
        device->strings = answers[i];
        uint64_t start = platform_now(&bench->platform.platform);
        usb_test_plug_and_settle(bench);
        assert_int_equal(first->attaches, 1);
        assert_string_equal(first->device->serial, "");
        /* Silence costs one deadline, not one for each string. */
        assert_true(platform_now(&bench->platform.platform) - start < 2 * SECOND);
        usb_model_unplug(&device->model);
        usb_model_bench_run(bench, SECOND);
    }
}

static void device_without_driver_is_left_alone(void **state)
{
    struct usb_model_bench *bench = *state;

    first->score = second->score = 0;
    usb_test_plug_and_settle(bench);
    assert_int_equal(bench->host.bus.device_count, 1);
    assert_int_equal(bench->host.bus.devices->state, USB_DEVICE_ADDRESSED);
    assert_int_equal(device->model.set_configurations, 0);
    assert_true(test_platform_logged(&bench->platform, "no driver"));
}

static void three_failures_and_the_port_rests(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_test_device other;

    usb_test_device_init(&other, USB_SPEED_HIGH, "OTHER");
    usb_model_plug(&bench->host.ports[2], &other.model);
    device->model.bad_request = USB_GET_DESCRIPTOR;
    device->model.bad_answer = USB_MODEL_STALL;
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 1);
    assert_string_equal(first->device->serial, "OTHER");
    assert_int_equal(bench->host.root.failures[1], 3);
    assert_int_equal(bench->host.calls[USB_MODEL_DEVICE_OPEN], 4);
    usb_model_bench_run(bench, 10 * SECOND);
    assert_int_equal(bench->host.calls[USB_MODEL_DEVICE_OPEN], 4);

    /* Plugged anew, it gets another chance. */
    usb_model_unplug(&device->model);
    usb_model_bench_run(bench, SECOND);
    device->model.bad_request = -1;
    usb_model_plug(&bench->host.ports[0], &device->model);
    usb_model_bench_run(bench, 2 * SECOND);
    assert_int_equal(first->attaches, 2);
    assert_string_equal(first->device->serial, "SERIAL1");
    usb_model_host_stop(&bench->host);
    usb_model_unplug(&other.model);
}

static void second_attempt_succeeds(void **state)
{
    struct usb_model_bench *bench = *state;

    device->model.bad_request = USB_SET_ADDRESS;
    device->model.bad_answer = USB_MODEL_ERROR;
    device->model.bad_times = 1;
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 1);
    assert_int_equal(bench->host.root.failures[1], 0);
}

static void port_that_does_not_reset(void **state)
{
    struct usb_model_bench *bench = *state;

    bench->host.ports[0].endless_reset = true;
    usb_model_plug(&bench->host.ports[0], &device->model);
    assert_true(usb_model_bench_settle(bench, 30));
    assert_int_equal(first->attaches, 0);
    assert_int_equal(bench->host.root.failures[1], 3);
    assert_false(bench->host.bus.addressing);

    struct usb_test_device other;
    usb_test_device_init(&other, USB_SPEED_HIGH, "OTHER");
    bench->host.ports[2].bad_resets = 2;
    usb_model_plug(&bench->host.ports[2], &other.model);
    usb_model_bench_run(bench, 5 * SECOND);
    assert_int_equal(first->attaches, 1);
    usb_model_host_stop(&bench->host);
    usb_model_unplug(&other.model);
}

static void bouncing_contact_is_waited_out(void **state)
{
    struct usb_model_bench *bench = *state;

    assert_true(usb_model_bench_settle(bench, 5));
    for (unsigned i = 0; i < 10; i++) {
        usb_model_plug(&bench->host.ports[0], &device->model);
        usb_model_bench_run(bench, 60 * MILLISECOND);
        usb_model_unplug(&device->model);
        usb_model_bench_run(bench, 5 * MILLISECOND);
    }
    assert_int_equal(bench->host.calls[USB_MODEL_DEVICE_OPEN], 0);
    usb_model_plug(&bench->host.ports[0], &device->model);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(first->attaches, 1);
}

static void many_devices_come_up_one_after_the_other(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_test_device devices[USB_MODEL_HOST_PORTS];

    for (unsigned i = 0; i < USB_MODEL_HOST_PORTS; i++) {
        usb_test_device_init(&devices[i], i & 1 ? USB_SPEED_SUPER : USB_SPEED_FULL, NULL);
        usb_model_plug(&bench->host.ports[i], &devices[i].model);
    }
    first->no_open = true;
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(first->attaches, USB_MODEL_HOST_PORTS);
    assert_int_equal(bench->host.bus.device_count, USB_MODEL_HOST_PORTS);
    usb_model_host_stop(&bench->host);
    assert_int_equal(first->detaches, USB_MODEL_HOST_PORTS);
    for (unsigned i = 0; i < USB_MODEL_HOST_PORTS; i++)
        usb_model_unplug(&devices[i].model);
}

static void no_more_devices_than_slots(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_test_device other;

    bench->host.bus.limits.slots = 1;
    usb_test_device_init(&other, USB_SPEED_HIGH, "OTHER");
    usb_model_plug(&bench->host.ports[2], &other.model);
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 1);
    assert_int_equal(bench->host.bus.device_count, 1);
    usb_model_host_stop(&bench->host);
    usb_model_unplug(&other.model);
}

/* --- bindings --- */

/* Setting 1 is for `second`, which is the better match when the test says so. */
static void add_second_setting(void)
{
    usb_model_add_interface(&device->model, 0, 1, USB_TEST_CLASS, 1, 0);
    usb_model_add_endpoint(&device->model, 0x83, USB_ENDPOINT_BULK, 0, 0, 0, 0);
    second->subclass = 1;
}

static void best_driver_is_taken(void **state)
{
    struct usb_model_bench *bench = *state;

    add_second_setting();
    second->score = 5;
    usb_test_plug_and_settle(bench);
    assert_int_equal(first->attaches, 0);
    assert_int_equal(second->attaches, 1);
    assert_int_equal(second->alternate, 1);
    assert_int_equal(second->endpoint_count, 1);
    assert_int_equal(device->model.alternates[0], 1);
}

static void next_driver_when_one_fails(void **state)
{
    struct usb_model_bench *bench = *state;

    add_second_setting();
    second->score = 5;
    second->attach_status = -ERROR_PROTOCOL;
    usb_test_plug_and_settle(bench);
    assert_int_equal(second->attaches, 1);
    assert_int_equal(first->attaches, 1);
    assert_int_equal(device->model.alternates[0], 0);
    assert_int_equal(first->endpoint_count, 2);
}

static void give_up(struct usb_test_driver *driver, struct usb_binding *binding)
{
    (void)driver;
    usb_give_up(binding);
}

static void next_driver_when_one_gives_up(void **state)
{
    struct usb_model_bench *bench = *state;

    add_second_setting();
    second->score = 5;
    second->on_service = give_up;
    usb_test_plug_and_settle(bench);
    assert_non_null(second->binding);
    usb_attention(second->device);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(second->detaches, 1);
    assert_false(second->unplugged_at_detach);
    assert_int_equal(second->attaches, 1);
    assert_int_equal(first->attaches, 1);
    assert_non_null(first->binding);
    assert_int_equal(device->model.alternates[0], 0);

    /* Nobody is left when that one gives up, too. */
    usb_give_up(first->binding);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(first->detaches, 1);
    assert_int_equal(second->attaches, 1);
    assert_int_equal(bench->host.bus.device_count, 1);
}

static void interfaces_share_no_endpoint(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_add_interface(&device->model, 1, 0, USB_TEST_CLASS, 1, 0);
    usb_model_add_endpoint(&device->model, 0x81, USB_ENDPOINT_BULK, 0, 0, 0, 0);
    second->subclass = 1;
    usb_test_plug_and_settle(bench);
    assert_non_null(first->binding);
    assert_int_equal(second->attaches, 1);
    assert_null(second->binding);
}

static void streams_as_many_as_all_have(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_device_init(device, USB_SPEED_SUPER, "SERIAL1");
    usb_model_add_interface(&device->model, 0, 1, USB_TEST_CLASS, 1, 0);
    usb_model_add_endpoint(&device->model, 0x81, USB_ENDPOINT_BULK, 0, 0, 15, 4);
    usb_model_add_endpoint(&device->model, 0x02, USB_ENDPOINT_BULK, 0, 0, 0, 0);
    usb_model_add_endpoint(&device->model, 0x83, USB_ENDPOINT_BULK, 0, 0, 0, 9);
    second->subclass = 1;
    second->score = 5;
    second->streams = 300;
    usb_test_plug_and_settle(bench);
    assert_int_equal(second->endpoint_count, 3);
    assert_int_equal(second->endpoints[0].streams, 16);
    assert_int_equal(second->endpoints[0].max_burst, 15);
    assert_int_equal(second->endpoints[1].streams, 0);
    assert_int_equal(second->endpoints[2].streams, 64); /* the host's limit */
}

static void lost_fiber_takes_only_its_device(void **state)
{
    struct usb_model_bench *bench = *state;

    first->abandon = true;
    usb_model_plug(&bench->host.ports[0], &device->model);
    usb_model_bench_settle(bench, 1);
    assert_int_equal(first->attaches >= 1, 1);
    first->abandon = false;
    usb_model_unplug(&device->model);
    usb_model_bench_run(bench, SECOND);
    usb_model_plug(&bench->host.ports[0], &device->model);
    usb_model_bench_run(bench, SECOND);
    assert_non_null(first->binding);
}

/* --- requests --- */

static int request_status;
static uint64_t request_time;

static void class_request(struct usb_test_driver *driver, struct usb_binding *binding)
{
    uint8_t data[16];
    struct platform *platform = binding->device->bus->platform;

    (void)driver;
    uint64_t start = platform_now(platform);
    request_status =
        usb_control(binding->device, USB_IN | USB_TYPE_CLASS | USB_RECIPIENT_INTERFACE, 1, 0, 0, data, sizeof(data), 0);
    request_time = platform_now(platform) - start;
}

static void control_requests_end(void **state)
{
    struct usb_model_bench *bench = *state;
    static const struct {
        int answer, status;
    } cases[] = {{16, 16}, {3, 3}, {0, 0}, {USB_MODEL_STALL, -ERROR_REFUSED}, {16, 16}, {USB_MODEL_NAK, -ERROR_TIMEOUT},
                 {16, 16}};

    usb_test_plug_and_settle(bench);
    first->on_service = class_request;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_status = 1;
        device->class_answer = cases[i].answer;
        usb_attention(first->device);
        usb_model_bench_run(bench, 6 * SECOND);
        assert_int_equal(request_status, cases[i].status);
        if (request_status == -ERROR_TIMEOUT)
            assert_true(request_time >= 5 * SECOND && request_time < 5 * SECOND + 100 * MILLISECOND);
    }
}

static void waiting_request_ends_with_the_device(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_plug_and_settle(bench);
    first->on_service = class_request;
    device->class_answer = USB_MODEL_NAK;
    usb_attention(first->device);
    usb_model_bench_run(bench, SECOND);
    usb_model_unplug(&device->model);
    usb_model_bench_run(bench, 100 * MILLISECOND);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->detaches, 1);
    assert_true(first->unplugged_at_detach);
    assert_true(request_status == -ERROR_GONE || request_status == -ERROR_IO);
    assert_true(request_time < SECOND + 100 * MILLISECOND);
    assert_int_equal(bench->host.bus.device_count, 0);
}

static struct usb_model_bench *shared;
static int run_status[6];

static void run_transfers(struct usb_test_driver *driver, struct usb_binding *binding)
{
    struct usb_transfer transfer = {.endpoint = &driver->endpoints[0], .buffer = &shared->buffer, .length = 1024};

    (void)binding;
    device->data = 1024;
    run_status[0] = usb_run(&transfer, SECOND);
    if (memcmp(shared->buffer.data, "\0\1\2\3", 4) != 0 || transfer.moved != 1024)
        run_status[0] = 1;
    run_status[1] = usb_run(&transfer, SECOND); /* NAK */
    device->data = 100;
    run_status[2] = usb_run(&transfer, SECOND);
    if (transfer.moved != 100)
        run_status[2] = 1;
    device->stall_in = true;
    run_status[3] = usb_run(&transfer, SECOND);
    run_status[4] = usb_endpoint_reset(transfer.endpoint);
    device->data = 1024;
    run_status[5] = usb_run(&transfer, SECOND);
}

static void transfers_end(void **state)
{
    struct usb_model_bench *bench = *state;

    shared = bench;
    usb_test_plug_and_settle(bench);
    first->on_service = run_transfers;
    usb_attention(first->device);
    usb_model_bench_run(bench, 10 * SECOND);
    assert_int_equal(run_status[0], 0);
    assert_int_equal(run_status[1], -ERROR_TIMEOUT);
    assert_int_equal(run_status[2], 0);
    assert_int_equal(run_status[3], -ERROR_REFUSED);
    assert_int_equal(run_status[4], 0);
    assert_int_equal(run_status[5], 0);
    assert_int_equal(device->model.clear_halts, 1);
}

static void transfers_are_checked(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_test_plug_and_settle(bench);
    struct usb_endpoint *endpoint = &first->endpoints[1];
    struct usb_transfer transfer = {.endpoint = endpoint, .buffer = &bench->buffer};
    transfer.length = bench->host.bus.limits.max_transfer + 1;
    assert_int_equal(usb_submit(&transfer), -ERROR_OUT_OF_RANGE);
    transfer.length = 512;
    transfer.offset = bench->buffer.size - 511;
    assert_int_equal(usb_submit(&transfer), -ERROR_OUT_OF_RANGE);
    transfer.offset = 0;
    transfer.stream = 1;
    assert_int_equal(usb_submit(&transfer), -ERROR_OUT_OF_RANGE);
    transfer.stream = 0;
    transfer.buffer = NULL;
    assert_int_equal(usb_submit(&transfer), -ERROR_OUT_OF_RANGE);
    transfer.length = 0;
    assert_int_equal(usb_submit(&transfer), 0);
    usb_model_bench_run(bench, 10 * MILLISECOND);
    assert_true(transfer.ended);
    assert_int_equal(transfer.status, 0);
}

/* --- reset --- */

static int reset_status;

static void reset_device(struct usb_test_driver *driver, struct usb_binding *binding)
{
    struct usb_transfer transfer = {.endpoint = &driver->endpoints[0], .buffer = &shared->buffer, .length = 1024};

    reset_status = usb_device_reset(binding->device);
    if (reset_status)
        return;
    device->data = 1024;
    reset_status = usb_run(&transfer, SECOND);
}

static void reset_brings_the_device_back(void **state)
{
    struct usb_model_bench *bench = *state;

    shared = bench;
    add_second_setting();
    second->score = 5;
    second->on_service = reset_device;
    usb_test_plug_and_settle(bench);
    for (unsigned i = 0; i < 3; i++) {
        unsigned resets = device->model.resets;
        reset_status = 1;
        usb_attention(second->device);
        usb_model_bench_run(bench, 3 * SECOND);
        assert_int_equal(reset_status, 0);
        assert_int_equal(device->model.resets, resets + 1);
        assert_int_equal(device->model.alternates[0], 1);
    }
    assert_int_equal(second->goings, 0);
    assert_int_equal(second->attaches, 1);
    assert_false(bench->host.bus.addressing);
}

static void other_device_after_a_reset(void **state)
{
    struct usb_model_bench *bench = *state;

    shared = bench;
    first->on_service = reset_device;
    usb_test_plug_and_settle(bench);
    /* The same kind of disk, another one. */
    device->model.strings[3] = "SERIAL2";
    reset_status = 1;
    usb_attention(first->device);
    usb_model_bench_run(bench, 3 * SECOND);
    assert_int_equal(reset_status, -ERROR_GONE);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->attaches, 2);
    assert_string_equal(first->device->serial, "SERIAL2");

    /* Firmware that shows itself as something else. */
    device->model.descriptor.product_id = 2;
    usb_attention(first->device);
    usb_model_bench_run(bench, 3 * SECOND);
    assert_int_equal(first->attaches, 3);
    assert_int_equal(first->device->product_id, 2);
}

static void reset_that_fails(void **state)
{
    struct usb_model_bench *bench = *state;

    shared = bench;
    first->on_service = reset_device;
    usb_test_plug_and_settle(bench);
    bench->host.ports[0].bad_resets = 1000;
    reset_status = 1;
    usb_attention(first->device);
    usb_model_bench_run(bench, 20 * SECOND);
    assert_int_equal(reset_status, -ERROR_GONE);
    assert_int_equal(first->goings, 1);
    assert_int_equal(first->detaches, 1);
    assert_int_equal(bench->host.bus.device_count, 0);
    assert_false(bench->host.bus.addressing);
}

#define BENCH_TEST(function) cmocka_unit_test_setup_teardown(function, usb_test_setup, usb_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(device_comes_up),
        BENCH_TEST(every_speed_and_packet_size),
        BENCH_TEST(usb3_port_needs_no_reset),
        BENCH_TEST(inactive_link_gets_a_warm_reset),
        BENCH_TEST(invalid_packet_size_is_refused),
        BENCH_TEST(broken_strings_are_tolerated),
        BENCH_TEST(device_without_driver_is_left_alone),
        BENCH_TEST(three_failures_and_the_port_rests),
        BENCH_TEST(second_attempt_succeeds),
        BENCH_TEST(port_that_does_not_reset),
        BENCH_TEST(bouncing_contact_is_waited_out),
        BENCH_TEST(many_devices_come_up_one_after_the_other),
        BENCH_TEST(no_more_devices_than_slots),
        BENCH_TEST(best_driver_is_taken),
        BENCH_TEST(next_driver_when_one_fails),
        BENCH_TEST(next_driver_when_one_gives_up),
        BENCH_TEST(interfaces_share_no_endpoint),
        BENCH_TEST(streams_as_many_as_all_have),
        BENCH_TEST(lost_fiber_takes_only_its_device),
        BENCH_TEST(control_requests_end),
        BENCH_TEST(waiting_request_ends_with_the_device),
        BENCH_TEST(transfers_end),
        BENCH_TEST(transfers_are_checked),
        BENCH_TEST(reset_brings_the_device_back),
        BENCH_TEST(other_device_after_a_reset),
        BENCH_TEST(reset_that_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
