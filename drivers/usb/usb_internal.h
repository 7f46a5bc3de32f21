/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the bus share: descriptors, ports, the life of a device. Not for hosts and drivers of interfaces.
 */
#ifndef DRIVERS_USB_USB_INTERNAL_H
#define DRIVERS_USB_USB_INTERNAL_H

#include "drivers/usb/usb.h"

/* Bytes. Nothing on these fibers keeps much on its stack or calls itself, but for departures, once for each tier of hubs. */
#define USB_FIBER_STACK (64 * 1024)
#define USB_FIBER_ARENA 4096 /* bytes; no library runs here */

#define USB_PORT_FAILURES_MAX 3 /* policy */

/* USB 2.0, 7.1.7.3 and 7.1.7.5 */
#define USB_DEBOUNCE_TIME (100 * NANOSECONDS_PER_MILLISECOND)
#define USB_RESET_RECOVERY_TIME (10 * NANOSECONDS_PER_MILLISECOND)
#define USB_PORT_POLL_TIME (10 * NANOSECONDS_PER_MILLISECOND)
/* Policy: a reset takes 10 to 50 ms, a warm one to 120 ms; slow hubs were seen to take more. */
#define USB_PORT_RESET_TIMEOUT (800 * NANOSECONDS_PER_MILLISECOND)

/* --- usb_descriptor.c: pure --- */

/* Fills device->interfaces from device->configuration. What does not fit or is malformed is left out. */
void usb_parse_interfaces(struct usb_device *device);
/*
 * The endpoints of a setting that can be used: well-formed, of a type that is used here (bulk, interrupt), each address once; at
 * most `max` are stored, NULL: none. Returns how many there are, at most USB_ENDPOINTS_MAX.
 */
unsigned usb_parse_endpoints(const struct usb_interface *interface, struct usb_endpoint *endpoints, unsigned max);
/* A string descriptor's text: printable ASCII, trimmed, as far as it goes. */
void usb_parse_string(const uint8_t *bytes, size_t size, char *text, size_t text_size);
/* Packet size of endpoint 0 by the device descriptor's field; 0: not a value that is allowed at this speed. */
uint16_t usb_control_packet(enum usb_speed speed, uint8_t field);

/* --- usb_port.c --- */

static inline void usb_port_set(uint32_t *bits, unsigned port)
{
    bits[port / 32] |= 1u << port % 32;
}
static inline void usb_port_clear(uint32_t *bits, unsigned port)
{
    bits[port / 32] &= ~(1u << port % 32);
}
static inline bool usb_port_test(const uint32_t *bits, unsigned port)
{
    return bits[port / 32] >> port % 32 & 1;
}
/* Something happened on this port. At any depth. */
void usb_port_changed(struct usb_hub *hub, unsigned port);
/* Is there work for usb_hub_service()? */
bool usb_hub_has_work(const struct usb_hub *hub);
/*
 * Resets the port and waits until it is enabled, other ports of the hub being watched meanwhile when `watch` is true (the hub's
 * fiber). *state is the last that was seen. -ERROR_GONE: nothing is connected any more.
 */
int usb_port_reset(struct usb_hub *hub, unsigned port, bool warm, bool watch, struct usb_port_state *state);

/* --- usb_device.c --- */

/* A device for a port that was just reset; its fiber enumerates it, and ends bus->addressing. NULL: no memory. */
struct usb_device *usb_device_create(struct usb_hub *hub, unsigned port, enum usb_speed speed);
/* The port says that it is gone: drivers are told at once, the fiber takes it apart. At any depth. */
void usb_device_unplug(struct usb_device *device);
/* The device's fiber has ended or is dropped: what is left is freed. On another fiber or none; may wait. */
void usb_device_free(struct usb_device *device);
/* Should nobody wait for this device any more? */
bool usb_device_leaving(const struct usb_device *device);
/* Runs once on the device's fiber after its fiber was lost (out of stack): ends it. */
void usb_device_take_apart(struct usb_device *device);

/* --- usb_enumerate.c: on the device's fiber --- */

/* From Default state to Configured (or Addressed, when no configuration has an interface that a driver takes). */
int usb_device_enumerate(struct usb_device *device, struct error *error);
/* Lets bus->addressing go, if it is for this device. */
void usb_device_addressed(struct usb_device *device);
/* Reads the descriptors again after a reset: are they the same? 0, or -ERROR_GONE: another device. */
int usb_device_compare(struct usb_device *device);

/* --- usb_binding.c: on the device's fiber --- */

/* Finds a driver for each interface. */
void usb_bind_all(struct usb_device *device);
/* Bindings that were given up: detached, the next driver tried. */
void usb_bind_again(struct usb_device *device);
void usb_detach_all(struct usb_device *device);
/* Is there a driver for any of the interfaces? */
bool usb_has_driver(const struct usb_device *device);

#endif
