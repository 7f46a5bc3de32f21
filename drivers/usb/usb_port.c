/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports: who came, who left. The same for root hubs and external ones; on the hub's fiber. Connections are debounced side by side
 * and served one after the other, for only one device of the bus may be in the Default state; while one port is being
 * served, departures from the others are seen all the same. USB 2.0, 7.1.7 and 11.24; USB 3.2, 10.3.
 */
#include <stdio.h>

#include "drivers/usb/usb_internal.h"

#define RESET_ATTEMPTS 3
#define RESET_PAUSE (100 * NANOSECONDS_PER_MILLISECOND)

void usb_port_changed(struct usb_hub *hub, unsigned port)
{
    struct platform *platform = hub->bus->platform;

    if (!port || port > hub->ports)
        return;
    platform_hold_events(platform);
    usb_port_set(hub->changed, port);
    platform_release_events(platform);
    if (hub->device)
        usb_attention(hub->device);
}

static bool hub_lost(const struct usb_hub *hub)
{
    return hub->gone || hub->bus->dead || (hub->device && hub->device->unplugged);
}

/* Does it start no more devices? */
static bool hub_leaving(const struct usb_hub *hub)
{
    return hub_lost(hub) || hub->bus->stopping;
}

/* Looked at in every turn of the loop, and nearly always in vain. Ports from 1: bit 0 stays clear. */
static bool hub_has_changes(const struct usb_hub *hub, unsigned except)
{
    for (unsigned i = 0; i < sizeof(hub->changed) / sizeof(hub->changed[0]); i++) {
        uint32_t changed = hub->changed[i] & ~hub->held[i];
        if (except && except / 32 == i)
            changed &= ~(1u << except % 32);
        if (changed)
            return true;
    }
    return false;
}

static bool hub_has_pending(const struct usb_hub *hub)
{
    for (unsigned i = 0; i < sizeof(hub->pending) / sizeof(hub->pending[0]); i++)
        if (hub->pending[i])
            return true;
    return false;
}

bool usb_hub_has_work(const struct usb_hub *hub)
{
    return hub->serving || hub_has_pending(hub) || hub_has_changes(hub, 0);
}

static void port_text(const struct usb_hub *hub, unsigned port, char text[64])
{
    snprintf(text, 64, hub->device ? "%s.%u" : "%s port %u", hub->device ? hub->device->name : hub->bus->name, port);
}

/* --- looking --- */

static void port_failed(struct usb_hub *hub, unsigned port, const char *what, int status)
{
    char text[64];

    if (hub_leaving(hub))
        return;
    port_text(hub, port, text);
    hub->failures[port]++;
    bool rests = hub->failures[port] >= USB_PORT_FAILURES_MAX;
    platform_log(hub->bus->platform, rests ? LOG_WARNING : LOG_DEBUG, "%s: %s: %s%s", text, what,
                 error_code_name((enum error_code) - status),
                 rests ? "; the port is left alone until something is plugged in anew" : "");
    if (!rests)
        usb_port_changed(hub, port);
}

/* A port without a device that we know. */
static void port_look_empty(struct usb_hub *hub, unsigned port, const struct usb_port_state *state)
{
    char text[64];

    if (state->connect_changed) {
        hub->failures[port] = 0;
        usb_port_set(hub->fresh, port);
    }
    /* When it is over the hub says so again, and power has to be switched on; not for ever. */
    if (state->over_current) {
        port_text(hub, port, text);
        if (hub->failures[port] < USB_PORT_FAILURES_MAX)
            hub->failures[port]++;
        platform_log(hub->bus->platform, LOG_WARNING, "%s: too much current is drawn there", text);
        usb_port_clear(hub->pending, port);
        return;
    }
    if (!state->powered) {
        if (hub->failures[port] < USB_PORT_FAILURES_MAX)
            hub->operations->port_power(hub, port);
        usb_port_clear(hub->pending, port);
        return;
    }
    if (!state->connected && !state->needs_warm_reset) {
        usb_port_clear(hub->pending, port);
        hub->failures[port] = 0;
        return;
    }
    if (hub->failures[port] >= USB_PORT_FAILURES_MAX || hub_leaving(hub))
        return;
    if (!usb_port_test(hub->pending, port) || state->connect_changed)
        hub->connected_since[port] = platform_now(hub->bus->platform);
    usb_port_set(hub->pending, port);
}

static void port_look(struct usb_hub *hub, unsigned port)
{
    struct platform *platform = hub->bus->platform;
    struct usb_port_state state = {0};

    platform_hold_events(platform);
    usb_port_clear(hub->changed, port);
    platform_release_events(platform);
    int status = hub->operations->port_state(hub, port, &state);
    if (status) {
        if (hub->failures[port] < USB_PORT_FAILURES_MAX)
            port_failed(hub, port, "the port's state cannot be read", status);
        return;
    }
    struct usb_device *child = hub->children[port];
    if (!child) {
        port_look_empty(hub, port, &state);
        return;
    }
    /* A port that the hub has disabled (babble, link lost) leads nowhere any more, too. */
    if (!state.connected || state.connect_changed || !state.enabled || state.needs_warm_reset) {
        if (state.connect_changed) {
            hub->failures[port] = 0;
            usb_port_set(hub->fresh, port);
        }
        usb_device_unplug(child);
    }
}

static void hub_scan(struct usb_hub *hub, unsigned except)
{
    for (unsigned port = 1; port <= hub->ports && !hub_lost(hub); port++)
        if (port != except && usb_port_test(hub->changed, port) && !usb_port_test(hub->held, port))
            port_look(hub, port);
}

/* --- waiting, with an eye on the other ports --- */

struct hub_wait {
    struct usb_hub *hub;
    unsigned except;
    bool for_address;
};

static bool hub_wait_over(void *context)
{
    const struct hub_wait *wait = context;

    return hub_leaving(wait->hub) || hub_has_changes(wait->hub, wait->except) ||
           (wait->for_address && !wait->hub->bus->addressing);
}

static void hub_watch(struct usb_hub *hub, unsigned except, bool for_address, uint64_t deadline)
{
    struct hub_wait wait = {hub, except, for_address};

    loop_wait(hub->bus->loop, hub_wait_over, &wait, deadline);
    hub_scan(hub, except);
}

static bool hub_is_lost(void *context)
{
    return hub_lost(context);
}

static void port_pause(struct usb_hub *hub, unsigned port, bool watch, uint64_t nanoseconds)
{
    struct platform *platform = hub->bus->platform;
    uint64_t deadline = deadline_after(platform, nanoseconds);

    if (!watch) {
        loop_wait(hub->bus->loop, hub_is_lost, hub, deadline);
        return;
    }
    while (!hub_leaving(hub) && platform_now(platform) < deadline)
        hub_watch(hub, port, false, deadline);
}

/* --- reset --- */

static int port_reset_once(struct usb_hub *hub, unsigned port, bool warm, bool watch, struct usb_port_state *state)
{
    struct platform *platform = hub->bus->platform;
    int status = hub->operations->port_reset(hub, port, warm);
    uint64_t deadline = deadline_after(platform, USB_PORT_RESET_TIMEOUT);
    bool changed = false;
    unsigned disabled = 0;

    while (!status) {
        port_pause(hub, port, watch, USB_PORT_POLL_TIME);
        if (watch ? hub_leaving(hub) : hub_lost(hub))
            return -ERROR_GONE;
        status = hub->operations->port_state(hub, port, state);
        if (status)
            break;
        changed = changed || state->reset_changed;
        if (!state->resetting && !state->connected && !state->needs_warm_reset && !warm)
            return -ERROR_GONE;
        /* It left for a moment, and what comes back has been without power. SuperSpeed links may bounce in a reset. */
        const struct usb_device *child = hub->children[port];
        if (!watch && child && child->speed < USB_SPEED_SUPER && state->connect_changed)
            return -ERROR_GONE;
        if (changed && !state->resetting && state->enabled)
            return 0;
        /* Ended without effect; looked at twice, because a link may need a moment. */
        if (changed && !state->resetting && ++disabled > 2)
            return -ERROR_IO;
        if (platform_now(platform) >= deadline)
            return state->enabled && !state->resetting ? 0 : -ERROR_TIMEOUT;
    }
    return status;
}

int usb_port_reset(struct usb_hub *hub, unsigned port, bool warm, bool watch, struct usb_port_state *state)
{
    int status = -ERROR_TIMEOUT;

    *state = (struct usb_port_state){0};
    for (unsigned attempt = 0; attempt < RESET_ATTEMPTS; attempt++) {
        if (attempt)
            port_pause(hub, port, watch, RESET_PAUSE);
        status = port_reset_once(hub, port, warm, watch, state);
        if (!status || status == -ERROR_GONE)
            return status;
        warm = state->needs_warm_reset || state->speed >= USB_SPEED_SUPER;
    }
    return status;
}

/* --- serving a new connection --- */

/* Is there room for one more device there? */
static bool port_may_have_device(struct usb_hub *hub, unsigned port)
{
    struct usb_bus *bus = hub->bus;
    char text[64];
    const char *why = NULL;

    if (bus->device_count >= USB_DEVICES_MAX || bus->device_count >= bus->limits.slots)
        why = "the controller has no room for more devices";
    else if (hub->device && port > USB_HUB_PORTS_MAX && hub->device->speed >= USB_SPEED_SUPER)
        why = "a route string cannot name this port";
    if (!why)
        return true;
    port_text(hub, port, text);
    platform_log(bus->platform, LOG_WARNING, "%s: the device is left alone: %s", text, why);
    hub->failures[port] = USB_PORT_FAILURES_MAX;
    return false;
}

/* The port's last word before its device is made: `state` enabled, the speed known. */
static int port_prepare(struct usb_hub *hub, unsigned port, struct usb_port_state *state)
{
    int status = hub->operations->port_state(hub, port, state);

    if (status)
        return status;
    /* A USB 3 link comes up by itself, with the device in the Default state (USB 3.2, 10.3.1); once used it needs a reset. */
    bool fresh = usb_port_test(hub->fresh, port) && !hub->failures[port];
    if (!fresh || !state->enabled || state->speed < USB_SPEED_SUPER || state->needs_warm_reset) {
        bool warm = state->needs_warm_reset || (hub->failures[port] > 1 && state->speed >= USB_SPEED_SUPER);
        status = usb_port_reset(hub, port, warm, true, state);
    }
    if (!status && state->speed == USB_SPEED_NONE)
        status = -ERROR_PROTOCOL;
    if (!status)
        port_pause(hub, port, true, USB_RESET_RECOVERY_TIME);
    return hub_leaving(hub) ? -ERROR_GONE : status;
}

static void port_serve(struct usb_hub *hub, unsigned port)
{
    struct usb_bus *bus = hub->bus;
    struct usb_port_state state = {0};

    while (bus->addressing && !hub_leaving(hub))
        hub_watch(hub, 0, true, UINT64_MAX);
    /* It may have left meanwhile, or be new again. */
    if (hub_leaving(hub) || !usb_port_test(hub->pending, port) ||
        platform_now(bus->platform) < hub->connected_since[port] + USB_DEBOUNCE_TIME)
        return;
    usb_port_clear(hub->pending, port);
    if (!port_may_have_device(hub, port))
        return;
    bus->addressing = true;
    int status = port_prepare(hub, port, &state);
    usb_port_clear(hub->fresh, port);
    if (!status && !usb_device_create(hub, port, state.speed))
        status = -ERROR_NO_MEMORY;
    if (!status)
        return; /* the device's fiber goes on, and ends the addressing */
    if (!hub_lost(hub) && state.speed < USB_SPEED_SUPER)
        hub->operations->port_disable(hub, port);
    bus->addressing = false;
    port_failed(hub, port, "the port cannot be reset", status);
}

/* The pending port that has waited longest; 0: none. */
static unsigned next_pending(const struct usb_hub *hub)
{
    unsigned next = 0;

    for (unsigned port = 1; port <= hub->ports; port++)
        if (usb_port_test(hub->pending, port) && (!next || hub->connected_since[port] < hub->connected_since[next]))
            next = port;
    return next;
}

void usb_hub_service(struct usb_hub *hub)
{
    struct platform *platform = hub->bus->platform;

    hub->serving = true;
    for (;;) {
        hub_scan(hub, 0);
        if (hub_leaving(hub))
            break;
        unsigned port = next_pending(hub);
        if (!port && !hub_has_changes(hub, 0))
            break;
        if (!port)
            continue;
        uint64_t due = hub->connected_since[port] + USB_DEBOUNCE_TIME;
        if (platform_now(platform) < due)
            hub_watch(hub, 0, false, due);
        else
            port_serve(hub, port);
    }
    hub->serving = false;
    hub->bus->settled_at = platform_now(platform);
}

/* --- life --- */

void usb_hub_start(struct usb_hub *hub)
{
    struct usb_bus *bus = hub->bus;

    platform_hold_events(bus->platform);
    hub->next = bus->hubs;
    bus->hubs = hub;
    for (unsigned port = 1; port <= hub->ports; port++)
        usb_port_changed(hub, port);
    platform_release_events(bus->platform);
}

void usb_hub_gone(struct usb_hub *hub)
{
    hub->gone = true;
    for (unsigned port = 1; port <= hub->ports; port++)
        if (hub->children[port])
            usb_device_unplug(hub->children[port]);
}

static bool hub_is_empty(void *context)
{
    const struct usb_hub *hub = context;

    for (unsigned port = 1; port <= hub->ports; port++)
        if (hub->children[port])
            return false;
    return true;
}

void usb_hub_end(struct usb_hub *hub)
{
    struct usb_bus *bus = hub->bus;
    struct usb_hub **link = &bus->hubs;

    /* Each of them ends in a time of its own that is bounded. */
    loop_wait(bus->loop, hub_is_empty, hub, UINT64_MAX);
    platform_hold_events(bus->platform);
    while (*link && *link != hub)
        link = &(*link)->next;
    if (*link)
        *link = hub->next;
    platform_release_events(bus->platform);
}
