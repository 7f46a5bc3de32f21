/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a bus: its root hub's fiber, settling, the end in order and the end at once.
 */
#include "drivers/usb/usb_internal.h"

/* Policy. Time from power on a root port to the first look. */
#define POWER_TIME (20 * NANOSECONDS_PER_MILLISECOND)
/* Policy: quiet for so long, the bus is settled; links of USB 3 train for up to 0.3 s after a reset of the controller. */
#define SETTLE_TIME (400 * NANOSECONDS_PER_MILLISECOND)
/*
 * Policy: until then devices may flush and close in order; afterwards they are treated as unplugged, which is given the second
 * time; what still hangs is dropped.
 */
#define STOP_TIMEOUT (35 * NANOSECONDS_PER_SECOND)
#define GONE_TIMEOUT (15 * NANOSECONDS_PER_SECOND)

/* --- devices that have ended --- */

static bool bus_has_ended_devices(const struct usb_bus *bus)
{
    for (const struct usb_device *device = bus->ended; device; device = device->next)
        if (fiber_finished(device->fiber))
            return true;
    return false;
}

/* A device whose fiber has ended, but not by itself: it ran out of its stack. */
static struct usb_device *find_lost(const struct usb_bus *bus)
{
    for (struct usb_device *device = bus->devices; device; device = device->next)
        if (!device->fiber || fiber_finished(device->fiber))
            return device;
    return NULL;
}

static void take_apart(void *context)
{
    usb_device_take_apart(context);
}

/* What lay on its fiber is lost; drivers and host still let go of the device. */
static void bus_mend_lost(struct usb_bus *bus)
{
    struct usb_device *device = find_lost(bus);

    if (!device)
        return;
    usb_device_unplug(device);
    fiber_destroy(device->fiber);
    device->control_busy = false;
    device->fiber = fiber_start(bus->loop, "usb device's end", USB_FIBER_STACK, USB_FIBER_ARENA, take_apart, device);
}

static void bus_free_ended(struct usb_bus *bus)
{
    struct usb_device **link = &bus->ended;

    while (*link) {
        struct usb_device *device = *link;
        if (device->fiber && !fiber_finished(device->fiber)) {
            link = &device->next;
            continue;
        }
        *link = device->next;
        usb_device_free(device);
    }
}

/* --- the root hub's fiber --- */

static bool bus_has_work(void *context)
{
    const struct usb_bus *bus = context;

    return bus->stopping || bus->dead || usb_hub_has_work(bus->root) || bus_has_ended_devices(bus) || find_lost(bus);
}

static bool bus_leaves(void *context)
{
    const struct usb_bus *bus = context;

    return bus->stopping || bus->dead;
}

static void bus_main(void *context)
{
    struct usb_bus *bus = context;
    struct usb_hub *root = bus->root;
    uint64_t power_time = root->power_good_delay > POWER_TIME ? root->power_good_delay : POWER_TIME;

    for (unsigned port = 1; port <= root->ports && !bus->dead; port++)
        root->operations->port_power(root, port);
    loop_wait(bus->loop, bus_leaves, bus, deadline_after(bus->platform, power_time));
    usb_hub_start(root);
    for (;;) {
        usb_hub_service(root);
        bus_mend_lost(bus);
        bus_free_ended(bus);
        if (bus_leaves(bus))
            break;
        loop_wait(bus->loop, bus_has_work, bus, UINT64_MAX);
    }
}

int usb_bus_start(struct usb_bus *bus, struct error *error)
{
    if (bus->root->ports > 255 || bus->limits.slots == 0)
        return error_set(error, ERROR_PROTOCOL, OPERATION_OPEN, bus->name, ERROR_NO_BLOCK, "%u ports, %u slots",
                         bus->root->ports, bus->limits.slots);
    bus->root->bus = bus;
    bus->settled_at = platform_now(bus->platform);
    bus->fiber = fiber_start(bus->loop, "usb root hub", USB_FIBER_STACK, USB_FIBER_ARENA, bus_main, bus);
    if (!bus->fiber)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, bus->name, ERROR_NO_BLOCK, "no fiber");
    return 0;
}

/* --- settling --- */

static bool bus_is_busy(const struct usb_bus *bus)
{
    if (!bus->hubs) /* the root hub has not been looked at yet */
        return true;
    for (const struct usb_hub *hub = bus->hubs; hub; hub = hub->next)
        if (usb_hub_has_work(hub))
            return true;
    for (const struct usb_device *device = bus->devices; device; device = device->next)
        if (device->starting)
            return true;
    return false;
}

static bool bus_is_settled(void *context)
{
    struct usb_bus *bus = context;
    uint64_t now = platform_now(bus->platform);

    if (bus->dead || bus->stopping)
        return true;
    if (bus_is_busy(bus))
        bus->settled_at = now;
    return now - bus->settled_at >= SETTLE_TIME;
}

bool usb_bus_wait_settled(struct usb_bus *bus, uint64_t deadline)
{
    return loop_wait(bus->loop, bus_is_settled, bus, deadline);
}

/* --- the end --- */

void usb_bus_port_changed(struct usb_bus *bus, unsigned port)
{
    if (port)
        usb_port_changed(bus->root, port);
}

void usb_bus_port_lost(struct usb_bus *bus, unsigned port)
{
    if (!port || port > bus->root->ports)
        return;
    if (bus->root->children[port] && !usb_port_test(bus->root->held, port))
        usb_device_unplug(bus->root->children[port]);
    usb_port_changed(bus->root, port);
}

void usb_bus_die(struct usb_bus *bus)
{
    if (bus->dead)
        return;
    bus->dead = true;
    platform_log(bus->platform, LOG_ERROR, "%s: the controller has failed; %u devices on it are gone", bus->name,
                 bus->device_count);
    for (struct usb_device *device = bus->devices; device; device = device->next)
        usb_device_unplug(device);
}

static bool bus_is_empty(void *context)
{
    const struct usb_bus *bus = context;

    return !bus->devices && fiber_finished(bus->fiber);
}

static struct usb_device *deepest(const struct usb_bus *bus)
{
    struct usb_device *found = bus->devices;

    for (struct usb_device *device = bus->devices; device; device = device->next)
        if (device->tier > found->tier)
            found = device;
    return found;
}

/* Those whose fibers do not end, from below: on the caller's stack. */
static void bus_drop_devices(struct usb_bus *bus)
{
    while (bus->devices) {
        struct usb_device *device = deepest(bus);
        platform_log(bus->platform, LOG_WARNING, "%s: does not end in time and is dropped", device->name);
        fiber_destroy(device->fiber);
        device->fiber = NULL;
        device->control_busy = false;
        usb_device_take_apart(device);
    }
}

void usb_bus_stop(struct usb_bus *bus)
{
    struct platform *platform = bus->platform;

    if (!bus->fiber)
        return;
    bus->stopping = true;
    if (!loop_wait(bus->loop, bus_is_empty, bus, deadline_after(platform, STOP_TIMEOUT))) {
        for (struct usb_device *device = bus->devices; device; device = device->next)
            usb_device_unplug(device);
        if (!loop_wait(bus->loop, bus_is_empty, bus, deadline_after(platform, GONE_TIMEOUT)))
            bus_drop_devices(bus);
    }
    fiber_destroy(bus->fiber);
    bus->fiber = NULL;
    bus_free_ended(bus);
    bus->root->gone = true;
    bus->hubs = NULL;
}
