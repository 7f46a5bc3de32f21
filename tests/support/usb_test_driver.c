/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/usb_test_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "drivers/usb/usb_hub.h"

struct usb_test_driver usb_test_drivers[2];

static const struct usb_driver *const table[] = {&usb_test_drivers[0].driver, &usb_test_drivers[1].driver,
                                                 &usb_hub_driver, NULL};

static unsigned matches(const struct usb_test_driver *driver, const struct usb_interface *interface)
{
    return interface->class_code == USB_TEST_CLASS && interface->subclass == driver->subclass ? driver->score : 0;
}

static int attach(struct usb_test_driver *driver, struct usb_device *device, const struct usb_interface *interface,
                  struct usb_binding **binding, struct error *error)
{
    driver->attaches++;
    driver->device = device;
    driver->alternate = interface->alternate;
    if (driver->abandon)
        fiber_abandon();
    int status = driver->on_attach ? driver->on_attach(driver, device) : 0;
    if (!status)
        status = driver->attach_status;
    if (status)
        return status;
    driver->endpoint_count = 0;
    if (!driver->no_open) {
        status = usb_interface_open(device, interface, driver->streams, driver->endpoints, USB_TEST_ENDPOINTS,
                                    &driver->endpoint_count, error);
        if (status)
            return status;
    }
    *binding = platform_allocate_zeroed(device->bus->platform, sizeof(**binding));
    if (*binding) {
        driver->binding = *binding;
        return 0;
    }
    usb_interface_close(device, driver->endpoints, driver->endpoint_count);
    return -ERROR_NO_MEMORY;
}

static void service(struct usb_test_driver *driver, struct usb_binding *binding)
{
    driver->services++;
    if (driver->on_service)
        driver->on_service(driver, binding);
}

static void detach(struct usb_test_driver *driver, struct usb_binding *binding)
{
    struct usb_device *device = binding->device;

    driver->detaches++;
    driver->unplugged_at_detach = device->unplugged;
    if (driver->detach_time && !device->unplugged)
        loop_delay(device->bus->loop, driver->detach_time);
    usb_interface_close(device, driver->endpoints, driver->endpoint_count);
    driver->endpoint_count = 0;
    driver->binding = NULL;
    platform_release(device->bus->platform, binding);
}

#define TEST_DRIVER(number)                                                                                            \
    static unsigned matches_##number(const struct usb_device *device, const struct usb_interface *interface)           \
    {                                                                                                                  \
        (void)device;                                                                                                  \
        return matches(&usb_test_drivers[number], interface);                                                          \
    }                                                                                                                  \
    static int attach_##number(struct usb_device *device, const struct usb_interface *interface,                       \
                               struct usb_binding **binding, struct error *error)                                      \
    {                                                                                                                  \
        return attach(&usb_test_drivers[number], device, interface, binding, error);                                   \
    }                                                                                                                  \
    static void service_##number(struct usb_binding *binding)                                                          \
    {                                                                                                                  \
        service(&usb_test_drivers[number], binding);                                                                   \
    }                                                                                                                  \
    static void detach_##number(struct usb_binding *binding)                                                           \
    {                                                                                                                  \
        detach(&usb_test_drivers[number], binding);                                                                    \
    }                                                                                                                  \
    static void gone_##number(struct usb_binding *binding)                                                             \
    {                                                                                                                  \
        (void)binding;                                                                                                 \
        usb_test_drivers[number].goings++;                                                                             \
    }

TEST_DRIVER(0)
TEST_DRIVER(1)

void usb_test_drivers_init(struct usb_bus *bus)
{
    memset(usb_test_drivers, 0, sizeof(usb_test_drivers));
    usb_test_drivers[0].driver = (struct usb_driver){"first", matches_0, attach_0, service_0, detach_0, gone_0};
    usb_test_drivers[1].driver = (struct usb_driver){"second", matches_1, attach_1, service_1, detach_1, gone_1};
    usb_test_drivers[0].score = 2;
    usb_test_drivers[1].score = 1;
    bus->drivers = table;
}

/* --- devices --- */

static int device_control(struct usb_model_device *model, const struct usb_setup *setup, uint8_t *data)
{
    struct usb_test_device *device = (struct usb_test_device *)(void *)model;

    if (setup->request_type & USB_TYPE_CLASS) {
        if (device->class_answer > 0)
            memset(data, 0x5a, setup->length);
        return device->class_answer < (int)setup->length ? device->class_answer : (int)setup->length;
    }
    if (setup->request != USB_GET_DESCRIPTOR || setup->value >> 8 != USB_DESCRIPTOR_STRING)
        return USB_MODEL_DEFAULT;
    device->string_requests++;
    if (!device->strings)
        return USB_MODEL_DEFAULT;
    if (device->strings < 0)
        return device->strings;
    memset(data, 0xff, setup->length);
    return device->strings < (int)setup->length ? device->strings : (int)setup->length;
}

static int device_out(struct usb_model_device *model, uint8_t address, unsigned stream, const uint8_t *data,
                      size_t length)
{
    (void)address;
    (void)stream;
    (void)data;
    ((struct usb_test_device *)(void *)model)->taken += length;
    return (int)length;
}

static int device_in(struct usb_model_device *model, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    struct usb_test_device *device = (struct usb_test_device *)(void *)model;
    size_t count = device->data < max ? device->data : max;

    (void)address;
    (void)stream;
    if (device->stall_in) {
        device->stall_in = false;
        return USB_MODEL_STALL;
    }
    if (!count)
        return USB_MODEL_NAK;
    for (size_t i = 0; i < count; i++)
        data[i] = (uint8_t)i;
    device->data -= count;
    return (int)count;
}

static const struct usb_model_operations operations = {.control = device_control, .out = device_out, .in = device_in};

void usb_test_device_init(struct usb_test_device *device, enum usb_speed speed, const char *serial)
{
    memset(device, 0, sizeof(*device));
    usb_model_device_init(&device->model, &operations, speed, 0xe1d0, 0x0001, serial);
    usb_model_add_interface(&device->model, 0, 0, USB_TEST_CLASS, 0, 0);
    if (speed == USB_SPEED_LOW) {
        usb_model_add_endpoint(&device->model, 0x81, USB_ENDPOINT_INTERRUPT, 8, 10, 0, 0);
        return;
    }
    usb_model_add_endpoint(&device->model, 0x81, USB_ENDPOINT_BULK, 0, 0, 3, 0);
    usb_model_add_endpoint(&device->model, 0x02, USB_ENDPOINT_BULK, 0, 0, 3, 0);
}

/* --- the bench --- */

struct usb_test_device usb_test_subject;

int usb_test_setup(void **state)
{
    int status = usb_model_bench_setup(state);
    struct usb_model_bench *bench = *state;

    usb_test_drivers_init(&bench->host.bus);
    usb_test_device_init(&usb_test_subject, USB_SPEED_HIGH, "SERIAL1");
    return status;
}

int usb_test_teardown(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_host_stop(&bench->host);
    assert_null(usb_test_drivers[0].binding);
    assert_null(usb_test_drivers[1].binding);
    /* The bench's own buffer is all that is left. */
    assert_int_equal(bench->platform.buffers, 1);
    assert_null(bench->loop.fibers);
    return usb_model_bench_teardown(state);
}

void usb_test_plug_and_settle(struct usb_model_bench *bench)
{
    bool super = usb_test_subject.model.speed >= USB_SPEED_SUPER;

    usb_model_plug(&bench->host.ports[super], &usb_test_subject.model);
    assert_true(usb_model_bench_settle(bench, 5));
}
