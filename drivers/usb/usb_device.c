/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a device: made when its port was reset, enumerated, served and taken apart on a fiber of its own, freed by the bus.
 */
#include <stdio.h>

#include "drivers/usb/usb_internal.h"

bool usb_device_leaving(const struct usb_device *device)
{
    return device->unplugged || device->bus->dead || device->bus->stopping;
}

void usb_attention(struct usb_device *device)
{
    device->attention = true;
}

/* --- the fiber --- */

static void device_failed(struct usb_device *device, int status, const struct error *error)
{
    struct usb_hub *hub = device->hub;
    struct platform *platform = device->bus->platform;

    device->state = USB_DEVICE_FAILED;
    if (usb_device_leaving(device))
        return;
    bool rests = ++hub->failures[device->port] >= USB_PORT_FAILURES_MAX;
    platform_log(platform, rests ? LOG_WARNING : LOG_DEBUG, "%s: does not come up: %s%s%s%s", device->name,
                 error_code_name((enum error_code) - status), error->detail[0] ? ", " : "", error->detail,
                 rests ? "; the port is left alone until something is plugged in anew" : "");
    /* It must not answer in the place of the next device that is in the Default state. USB 3 routes by port, and a disabled
     * USB 3 port would see nobody come. */
    if (device->speed < USB_SPEED_SUPER)
        hub->operations->port_disable(hub, device->port);
}

static void device_service(struct usb_device *device)
{
    device->attention = false;
    usb_bind_again(device);
    for (struct usb_binding *binding = device->bindings; binding && !device->unplugged; binding = binding->next)
        if (binding->driver->service && !binding->given_up)
            binding->driver->service(binding);
}

static bool device_has_work(void *context)
{
    const struct usb_device *device = context;

    return device->attention || usb_device_leaving(device);
}

static void device_main(void *context)
{
    struct usb_device *device = context;
    struct usb_bus *bus = device->bus;
    struct error error = {0};

    int status = usb_device_enumerate(device, &error);
    if (status) {
        device_failed(device, status, &error);
    } else {
        device->hub->failures[device->port] = 0;
        usb_bind_all(device);
    }
    device->starting = false;
    bus->settled_at = platform_now(bus->platform);
    while (!status && !usb_device_leaving(device)) {
        if (device->attention) {
            device_service(device);
            continue;
        }
        device->resting = true;
        loop_wait(bus->loop, device_has_work, device, UINT64_MAX);
        device->resting = false;
    }
    usb_device_take_apart(device);
}

/* --- the end --- */

static bool device_has_no_children(void *context)
{
    const struct usb_device *device = context;

    if (device->unplugged || device->bus->dead)
        return true; /* the hub's driver takes them away */
    for (const struct usb_device *other = device->bus->devices; other; other = other->next)
        if (other->hub->device == device)
            return false;
    return true;
}

static void device_unlink(struct usb_device *device)
{
    struct usb_bus *bus = device->bus;
    struct usb_hub *hub = device->hub;
    struct usb_device **link = &bus->devices;

    platform_hold_events(bus->platform);
    while (*link && *link != device)
        link = &(*link)->next;
    if (*link) {
        *link = device->next;
        device->next = bus->ended;
        bus->ended = device;
        bus->device_count--;
    }
    if (hub->children[device->port] == device)
        hub->children[device->port] = NULL;
    /* Something else may be there by now. */
    usb_port_changed(hub, device->port);
    platform_release_events(bus->platform);
}

void usb_device_take_apart(struct usb_device *device)
{
    struct usb_bus *bus = device->bus;

    device->starting = false;
    /* A stop in order begins at the leaves. */
    loop_wait(bus->loop, device_has_no_children, device, UINT64_MAX);
    usb_detach_all(device);
    if (device->at_host)
        bus->operations->device_close(device);
    device->at_host = false;
    device->state = USB_DEVICE_GONE;
    usb_device_addressed(device);
    device_unlink(device);
}

void usb_device_unplug(struct usb_device *device)
{
    if (device->unplugged)
        return;
    device->unplugged = true;
    for (struct usb_binding *binding = device->bindings; binding; binding = binding->next)
        if (binding->driver->gone)
            binding->driver->gone(binding);
}

void usb_device_free(struct usb_device *device)
{
    struct platform *platform = device->bus->platform;

    fiber_destroy(device->fiber);
    platform_release(platform, device->configuration);
    buffer_release(&device->control_buffer);
    platform_release(platform, device);
}

/* --- the beginning --- */

/* USB 2.0, 5.5.3: what is safe before the device descriptor has been seen. */
static uint16_t first_packet(enum usb_speed speed)
{
    if (speed >= USB_SPEED_SUPER)
        return 512;
    return speed == USB_SPEED_HIGH ? 64 : 8;
}

/* Where it is, seen from the controller. */
static void device_place(struct usb_device *device)
{
    const struct usb_hub *hub = device->hub;
    struct usb_device *parent = hub->device;

    if (!parent) {
        device->root_port = device->port;
        snprintf(device->name, sizeof(device->name), "%s port %u", device->bus->name, device->port);
        return;
    }
    unsigned digit = device->port < USB_HUB_PORTS_MAX ? device->port : USB_HUB_PORTS_MAX;
    snprintf(device->name, sizeof(device->name), "%s.%u", parent->name, device->port);
    device->tier = parent->tier + 1;
    device->root_port = parent->root_port;
    device->route = parent->route | digit << 4 * parent->tier;
    if (device->speed >= USB_SPEED_HIGH)
        return;
    /* USB 2.0, 11.14.1: the translator is that of the last high-speed hub on the way. */
    if (parent->speed == USB_SPEED_HIGH) {
        device->translator = parent;
        device->translator_port = device->port;
    } else {
        device->translator = parent->translator;
        device->translator_port = parent->translator_port;
    }
}

static void device_link(struct usb_device *device)
{
    struct usb_bus *bus = device->bus;
    struct usb_device **link = &bus->devices;

    platform_hold_events(bus->platform);
    while (*link)
        link = &(*link)->next;
    *link = device;
    bus->device_count++;
    device->hub->children[device->port] = device;
    platform_release_events(bus->platform);
}

struct usb_device *usb_device_create(struct usb_hub *hub, unsigned port, enum usb_speed speed)
{
    struct usb_bus *bus = hub->bus;
    struct platform *platform = bus->platform;
    struct usb_device *device = platform_allocate_zeroed(platform, sizeof(*device));

    if (!device)
        return NULL;
    device->bus = bus;
    device->hub = hub;
    device->port = port;
    device->speed = speed;
    device->starting = true;
    device->addressing = true;
    device->control =
        (struct usb_endpoint){.device = device, .type = USB_ENDPOINT_CONTROL, .max_packet = first_packet(speed)};
    device_place(device);
    if (buffer_allocate(platform, USB_DESCRIPTOR_MAX, &device->control_buffer))
        goto no_buffer;
    device->fiber = fiber_start(bus->loop, "usb device", USB_FIBER_STACK, USB_FIBER_ARENA, device_main, device);
    if (!device->fiber)
        goto no_fiber;
    device_link(device);
    return device;

no_fiber:
    buffer_release(&device->control_buffer);
no_buffer:
    platform_release(platform, device);
    return NULL;
}
