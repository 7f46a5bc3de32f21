/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "drivers/usb/usb_hub.h"
#include "drivers/usb/usb_internal.h"

/* USB 2.0, tables 11-16 and 11-17; USB 3.2, tables 10-8 and 10-9 */
#define REQUEST_HUB (USB_TYPE_CLASS | USB_RECIPIENT_DEVICE)
#define REQUEST_PORT (USB_TYPE_CLASS | USB_RECIPIENT_OTHER)
#define FEATURE_HUB_LOCAL_POWER_CHANGED 0
#define FEATURE_HUB_OVER_CURRENT_CHANGED 1
#define FEATURE_PORT_ENABLE 1
#define FEATURE_PORT_RESET 4
#define FEATURE_PORT_POWER 8
#define FEATURE_PORT_WARM_RESET 28

#define STATUS_CONNECTED (1u << 0)
#define STATUS_ENABLED (1u << 1)
#define STATUS_OVER_CURRENT (1u << 3)
#define STATUS_RESETTING (1u << 4)
#define CHANGED_CONNECTION (1u << 0)
#define CHANGED_RESET (1u << 4)
/* USB 2.0, table 11-21 */
#define STATUS_POWERED (1u << 8)
#define STATUS_LOW_SPEED (1u << 9)
#define STATUS_HIGH_SPEED (1u << 10)
/* USB 3.2, tables 10-13 and 10-14 */
#define STATUS_SUPER_POWERED (1u << 9)
#define STATUS_LINK_STATE(status) ((status) >> 5 & 0xf)
#define LINK_INACTIVE 6
#define LINK_COMPLIANCE 10
#define CHANGED_WARM_RESET (1u << 5)

#define PROTOCOL_SEVERAL_TRANSLATORS 2 /* USB 2.0, 11.23.1 */
#define POWER_TIME (20 * NANOSECONDS_PER_MILLISECOND)
/* Policy: failures of the status change endpoint in a row until the hub is given up, and the pause after each. */
#define FAILURES_MAX 5
#define FAILURE_PAUSE (100 * NANOSECONDS_PER_MILLISECOND)

/* USB 2.0, table 11-13; what both kinds of hubs have in common with USB 3.2, table 10-5 */
struct hub_descriptor {
    uint8_t length, type, ports;
    uint16_t characteristics;
    uint8_t power_good, current;
} __attribute__((packed));

struct external_hub {
    struct usb_binding binding; /* first */
    struct usb_hub hub;
    bool super;
    uint16_t characteristics;

    struct usb_endpoint endpoints[2];
    unsigned endpoint_count;
    struct usb_endpoint *status_endpoint;
    struct usb_transfer transfer; /* of the status change endpoint; always queued */
    struct buffer buffer;
    bool failed, hub_changed, closing;
    unsigned failures;
};

static struct external_hub *external(struct usb_hub *hub)
{
    return hub->host;
}

/* --- ports, by control requests (USB 2.0, 11.24.2) --- */

static int port_feature(struct usb_hub *hub, unsigned port, uint8_t request, uint16_t feature)
{
    return usb_control(hub->device, REQUEST_PORT, request, feature, (uint16_t)port, NULL, 0, 0);
}

/* Acknowledges what the port reports. A hub that does not know a feature says so, and does not matter. */
static int clear_changes(struct usb_hub *hub, unsigned port, uint16_t changed)
{
    /* By bit of wPortChange: the feature that clears it; 0: none. */
    static const uint8_t features[2][8] = {{16, 17, 18, 19, 20, 0, 0, 0}, {16, 0, 0, 19, 20, 29, 25, 26}};
    const uint8_t *feature = features[external(hub)->super];

    for (unsigned bit = 0; bit < 8; bit++) {
        if (!(changed >> bit & 1) || !feature[bit])
            continue;
        int status = port_feature(hub, port, USB_CLEAR_FEATURE, feature[bit]);
        if (status && status != -ERROR_REFUSED)
            return status;
    }
    return 0;
}

static enum usb_speed port_speed(const struct usb_hub *hub, uint16_t status)
{
    if (external((struct usb_hub *)hub)->super)
        return USB_SPEED_SUPER;
    if (status & STATUS_LOW_SPEED)
        return USB_SPEED_LOW;
    /* A full-speed hub has no high-speed ports, whatever it says. */
    if (status & STATUS_HIGH_SPEED && hub->device->speed == USB_SPEED_HIGH)
        return USB_SPEED_HIGH;
    return USB_SPEED_FULL;
}

static int hub_port_state(struct usb_hub *hub, unsigned port, struct usb_port_state *state)
{
    uint8_t bytes[4];
    int moved =
        usb_control(hub->device, USB_IN | REQUEST_PORT, USB_GET_STATUS, 0, (uint16_t)port, bytes, sizeof(bytes), 0);

    if (moved < 0)
        return moved;
    if (moved < (int)sizeof(bytes))
        return -ERROR_PROTOCOL;
    bool super = external(hub)->super;
    uint16_t status = (uint16_t)(bytes[0] | bytes[1] << 8), changed = (uint16_t)(bytes[2] | bytes[3] << 8);
    unsigned link = STATUS_LINK_STATE(status);
    *state = (struct usb_port_state){
        .connected = status & STATUS_CONNECTED,
        .enabled = status & STATUS_ENABLED,
        .powered = status & (super ? STATUS_SUPER_POWERED : STATUS_POWERED),
        .resetting = status & STATUS_RESETTING,
        .over_current = status & STATUS_OVER_CURRENT,
        .connect_changed = changed & CHANGED_CONNECTION,
        .reset_changed = changed & CHANGED_RESET || (super && changed & CHANGED_WARM_RESET),
        .needs_warm_reset = super && (link == LINK_INACTIVE || link == LINK_COMPLIANCE),
        .speed = port_speed(hub, status),
    };
    return clear_changes(hub, port, changed);
}

static int hub_port_reset(struct usb_hub *hub, unsigned port, bool warm)
{
    bool warm_here = warm && external(hub)->super;

    return port_feature(hub, port, USB_SET_FEATURE, warm_here ? FEATURE_PORT_WARM_RESET : FEATURE_PORT_RESET);
}

static int hub_port_disable(struct usb_hub *hub, unsigned port)
{
    if (external(hub)->super)
        return -ERROR_UNSUPPORTED; /* such a port would see nobody come any more */
    return port_feature(hub, port, USB_CLEAR_FEATURE, FEATURE_PORT_ENABLE);
}

static int hub_port_power(struct usb_hub *hub, unsigned port)
{
    return port_feature(hub, port, USB_SET_FEATURE, FEATURE_PORT_POWER);
}

static const struct usb_hub_operations external_operations = {
    .port_state = hub_port_state,
    .port_reset = hub_port_reset,
    .port_disable = hub_port_disable,
    .port_power = hub_port_power,
};

static void power_ports(struct usb_hub *hub)
{
    for (unsigned port = 1; port <= hub->ports && !hub->device->unplugged; port++)
        hub_port_power(hub, port);
    loop_delay(hub->bus->loop, hub->power_good_delay);
}

/* --- the status change endpoint (USB 2.0, 11.12.4) --- */

static void status_submit(struct external_hub *external)
{
    external->transfer.length = external->status_endpoint->max_packet;
    if (usb_submit(&external->transfer))
        external->failed = true;
}

/* Bit 0 is the hub itself, the others are its ports. */
static void status_take(struct external_hub *external, const uint8_t *bytes, size_t size)
{
    struct usb_hub *hub = &external->hub;

    if (size && bytes[0] & 1)
        external->hub_changed = true;
    for (unsigned port = 1; port <= hub->ports && port / 8 < size; port++)
        if (bytes[port / 8] >> port % 8 & 1)
            usb_port_changed(hub, port);
}

static void status_done(struct usb_transfer *transfer)
{
    struct external_hub *external = transfer->context;

    if (external->closing)
        return;
    if (transfer->status) {
        external->failed = true;
    } else {
        external->failures = 0;
        status_take(external, external->buffer.data, transfer->moved);
        status_submit(external);
    }
    usb_attention(external->hub.device);
}

static bool device_is_gone(void *context)
{
    return usb_device_leaving(context);
}

/* Clears a halt, and looks at all ports: what was to be told is lost. */
static void status_mend(struct external_hub *external)
{
    struct usb_hub *hub = &external->hub;
    struct usb_bus *bus = hub->bus;

    /* Most often it fails because the hub was pulled out, which the hub above will say in a moment. */
    if (loop_wait(bus->loop, device_is_gone, hub->device, deadline_after(bus->platform, FAILURE_PAUSE)))
        return;
    external->failed = false;
    if (++external->failures > FAILURES_MAX) {
        platform_log(bus->platform, LOG_WARNING, "%s: the hub does not report changes any more", hub->device->name);
        usb_give_up(&external->binding);
        return;
    }
    int status = usb_endpoint_reset(external->status_endpoint);
    if (status)
        external->failed = true;
    else
        status_submit(external);
    for (unsigned port = 1; port <= hub->ports; port++)
        usb_port_changed(hub, port);
    if (external->failed)
        usb_attention(hub->device);
}

/* The hub's own status: over-current and local power (11.24.2.6). Ports may have lost their power. */
static void hub_mend(struct external_hub *external)
{
    struct usb_hub *hub = &external->hub;
    uint8_t bytes[4];

    external->hub_changed = false;
    int moved = usb_control(hub->device, USB_IN | REQUEST_HUB, USB_GET_STATUS, 0, 0, bytes, sizeof(bytes), 0);
    if (moved < (int)sizeof(bytes))
        return;
    if (bytes[2] & 1)
        usb_control(hub->device, REQUEST_HUB, USB_CLEAR_FEATURE, FEATURE_HUB_LOCAL_POWER_CHANGED, 0, NULL, 0, 0);
    if (bytes[2] & 2) {
        usb_control(hub->device, REQUEST_HUB, USB_CLEAR_FEATURE, FEATURE_HUB_OVER_CURRENT_CHANGED, 0, NULL, 0, 0);
        platform_log(hub->bus->platform, LOG_WARNING, "%s: %s", hub->device->name,
                     bytes[0] & 2 ? "too much current is drawn below this hub" : "current is within limits again");
    }
    if (!(bytes[0] & 2))
        power_ports(hub);
    for (unsigned port = 1; port <= hub->ports; port++)
        usb_port_changed(hub, port);
}

static void hub_service(struct usb_binding *binding)
{
    struct external_hub *external = (struct external_hub *)(void *)binding;

    if (external->failed)
        status_mend(external);
    if (external->hub_changed)
        hub_mend(external);
    if (!binding->given_up)
        usb_hub_service(&external->hub);
}

/* --- life --- */

static unsigned hub_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    if (interface->class_code != USB_CLASS_HUB)
        return 0;
    bool several = device->speed == USB_SPEED_HIGH && interface->protocol == PROTOCOL_SEVERAL_TRANSLATORS;
    return several ? 2 : 1;
}

static int read_hub_descriptor(struct external_hub *external, struct error *error)
{
    struct usb_hub *hub = &external->hub;
    struct usb_device *device = hub->device;
    uint8_t type = external->super ? USB_DESCRIPTOR_SUPERSPEED_HUB : USB_DESCRIPTOR_HUB;
    uint8_t bytes[71]; /* 255 ports have two bit maps of 32 bytes */
    struct hub_descriptor descriptor;
    uint16_t length = external->super ? 12 : sizeof(bytes);

    int moved =
        usb_control(device, USB_IN | REQUEST_HUB, USB_GET_DESCRIPTOR, (uint16_t)(type << 8), 0, bytes, length, 0);
    if (moved < 0)
        return error_set(error, (enum error_code) - moved, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "no hub descriptor");
    memcpy(&descriptor, bytes, sizeof(descriptor));
    if (moved < (int)sizeof(descriptor) || descriptor.type != type || !descriptor.ports)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "the hub descriptor is wrong");
    hub->ports = descriptor.ports;
    if (external->super && hub->ports > USB_HUB_PORTS_MAX)
        hub->ports = USB_HUB_PORTS_MAX;
    hub->power_good_delay = descriptor.power_good * 2 * NANOSECONDS_PER_MILLISECOND;
    if (hub->power_good_delay < POWER_TIME)
        hub->power_good_delay = POWER_TIME;
    external->characteristics = descriptor.characteristics;
    return 0;
}

/* What hub and controller must know of each other before anything below can be reached. */
static int hub_configure(struct external_hub *external, const struct usb_interface *interface, struct error *error)
{
    struct usb_device *device = external->hub.device;
    bool high = device->speed == USB_SPEED_HIGH;
    int status = 0;

    if (external->super) /* USB 3.2, 10.16.2.9 */
        status = usb_control(device, REQUEST_HUB, USB_SET_HUB_DEPTH, (uint16_t)device->tier, 0, NULL, 0, 0);
    if (status < 0)
        return error_set(error, (enum error_code) - status, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                         "the hub does not take its depth");
    status = read_hub_descriptor(external, error);
    if (status)
        return status;
    device->several_translators = high && interface->protocol == PROTOCOL_SEVERAL_TRANSLATORS;
    status = device->bus->operations->hub_update(device, external->hub.ports, device->several_translators,
                                                 high ? external->characteristics >> 5 & 3 : 0);
    return status ? error_set(error, (enum error_code) - status, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                              "the controller does not take the hub")
                  : 0;
}

static int hub_open(struct external_hub *external, const struct usb_interface *interface, struct error *error)
{
    struct usb_device *device = external->hub.device;
    int status = usb_interface_open(device, interface, 0, external->endpoints, 2, &external->endpoint_count, error);

    if (status)
        return status;
    external->status_endpoint =
        usb_find_endpoint(external->endpoints, external->endpoint_count, USB_ENDPOINT_INTERRUPT, true);
    if (external->status_endpoint)
        return 0;
    usb_interface_close(device, external->endpoints, external->endpoint_count);
    return error_set(error, ERROR_PROTOCOL, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                     "the hub has no status change endpoint");
}

static int hub_attach(struct usb_device *device, const struct usb_interface *interface, struct usb_binding **binding,
                      struct error *error)
{
    struct platform *platform = device->bus->platform;

    if (device->tier >= USB_TIERS_MAX)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                         "more than %u hubs in a row", USB_TIERS_MAX);
    struct external_hub *external = platform_allocate_zeroed(platform, sizeof(*external));
    if (!external)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "hub");
    external->super = device->speed >= USB_SPEED_SUPER;
    external->hub.operations = &external_operations;
    external->hub.bus = device->bus;
    external->hub.device = device;
    external->hub.host = external;
    int status = hub_configure(external, interface, error);
    if (status)
        goto not_configured;
    status = hub_open(external, interface, error);
    if (status)
        goto not_configured;
    status = buffer_allocate(platform, external->status_endpoint->max_packet, &external->buffer);
    if (status)
        goto no_buffer;
    external->binding.device = device; /* service may give up before the bus has filled the binding */
    external->transfer = (struct usb_transfer){
        .endpoint = external->status_endpoint, .buffer = &external->buffer, .done = status_done, .context = external};
    power_ports(&external->hub);
    usb_hub_start(&external->hub);
    status_submit(external);
    usb_attention(device);
    *binding = &external->binding;
    return 0;

no_buffer:
    usb_interface_close(device, external->endpoints, external->endpoint_count);
not_configured:
    platform_release(platform, external);
    return status;
}

static void hub_left(struct usb_binding *binding)
{
    usb_hub_gone(&((struct external_hub *)(void *)binding)->hub);
}

/*
 * The hub is left alone, but it is there, and its devices would go on sending into memory that is somebody else's as soon as they are
 * said to be gone. Without power they send nothing; ganged switches keep it, so the ports of USB 2 are disabled first.
 */
static void silence_ports(struct usb_hub *hub)
{
    for (unsigned port = 1; port <= hub->ports; port++) {
        if (!hub->children[port] || hub->device->unplugged)
            continue;
        if (!external(hub)->super)
            port_feature(hub, port, USB_CLEAR_FEATURE, FEATURE_PORT_ENABLE);
        port_feature(hub, port, USB_CLEAR_FEATURE, FEATURE_PORT_POWER);
    }
}

static void hub_detach(struct usb_binding *binding)
{
    struct external_hub *external = (struct external_hub *)(void *)binding;
    struct usb_device *device = binding->device;

    silence_ports(&external->hub);
    usb_hub_gone(&external->hub);
    usb_hub_end(&external->hub);
    external->closing = true;
    usb_interface_close(device, external->endpoints, external->endpoint_count);
    buffer_release(&external->buffer);
    platform_release(device->bus->platform, external);
}

const struct usb_driver usb_hub_driver = {
    .name = "hub",
    .matches = hub_matches,
    .attach = hub_attach,
    .service = hub_service,
    .detach = hub_detach,
    .gone = hub_left,
};
