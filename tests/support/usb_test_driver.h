/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drivers of interfaces that only note what is asked of them, and devices of a class that nobody else serves: for tests of the bus.
 */
#ifndef TESTS_SUPPORT_USB_TEST_DRIVER_H
#define TESTS_SUPPORT_USB_TEST_DRIVER_H

#include "tests/support/usb_model_host.h"

#define USB_TEST_CLASS 0xff
#define USB_TEST_ENDPOINTS 4

/* What one driver does and saw. `driver` is first. */
struct usb_test_driver {
    struct usb_driver driver;
    /* To be set */
    uint8_t subclass; /* of the interfaces that it takes */
    unsigned score;
    int attach_status; /* 0: works */
    bool no_open;      /* leaves the endpoints alone */
    bool abandon;      /* the fiber ends inside attach */
    unsigned streams;
    void (*on_service)(struct usb_test_driver *driver, struct usb_binding *binding);
    int (*on_attach)(struct usb_test_driver *driver, struct usb_device *device);
    uint64_t detach_time; /* nanoseconds that a detach takes */
    /* What it saw */
    unsigned attaches, services, detaches, goings;
    struct usb_device *device;   /* of the last attach */
    struct usb_binding *binding; /* NULL: none */
    struct usb_endpoint endpoints[USB_TEST_ENDPOINTS];
    unsigned endpoint_count;
    uint8_t alternate;
    bool unplugged_at_detach;
};

/* Two of them and the hub driver, in this order, behind bus->drivers. Both forget all that was set before. */
extern struct usb_test_driver usb_test_drivers[2];
void usb_test_drivers_init(struct usb_bus *bus);

/*
 * A device with one interface of USB_TEST_CLASS, bulk endpoints 0x81 and 0x02 (at low speed an interrupt endpoint 0x81 alone). IN endpoints give
 * bytes 0, 1, 2, ... as long as `data` lasts, then NAK; OUT endpoints take all.
 */
struct usb_test_device {
    struct usb_model_device model; /* first */
    size_t data, taken;            /* bytes to give; bytes taken */
    bool stall_in;
    /* How requests for strings are answered: 0 as usual, else bytes of garbage or USB_MODEL_... */
    int strings;
    unsigned string_requests;
    /* Class requests: the answer. */
    int class_answer;
};
void usb_test_device_init(struct usb_test_device *device, enum usb_speed speed, const char *serial);

/* --- a bench with these drivers and one such device, for cmocka tests --- */

/* The device that a test is about: high speed, serial number "SERIAL1", not plugged in. May be initialised anew. */
extern struct usb_test_device usb_test_subject;
/* *state is a struct usb_model_bench. The teardown fails the test when a binding, a buffer or a fiber is left. */
int usb_test_setup(void **state);
int usb_test_teardown(void **state);
/* Plugs it into port 1, which is a USB 2 port, or port 2, a USB 3 port, and waits until the bus is settled. */
void usb_test_plug_and_settle(struct usb_model_bench *bench);

#endif
