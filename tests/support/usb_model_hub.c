/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hubs: USB 2.0 chapter 11, USB 3.2 chapter 10. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/usb_model.h"

#define STATUS_CHANGE 0x81

/* Features (USB 2.0 table 11-17, USB 3.2 table 10-12) */
enum {
    PORT_ENABLE = 1,
    PORT_RESET = 4,
    PORT_LINK_STATE = 5,
    PORT_POWER = 8,
    C_PORT_CONNECTION = 16,
    C_PORT_ENABLE = 17,
    C_PORT_SUSPEND = 18,
    C_PORT_OVER_CURRENT = 19,
    C_PORT_RESET = 20,
    PORT_U1_TIMEOUT = 23,
    PORT_U2_TIMEOUT = 24,
    C_PORT_LINK_STATE = 25,
    C_PORT_CONFIG_ERROR = 26,
    BH_PORT_RESET = 28,
    C_BH_PORT_RESET = 29,
};

static struct usb_model_hub *hub_of(struct usb_model_device *device)
{
    return (struct usb_model_hub *)(void *)device;
}

static bool is_super(const struct usb_model_hub *hub)
{
    return hub->device.speed >= USB_SPEED_SUPER;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static unsigned port_status(const struct usb_model_hub *hub, const struct usb_model_port *port)
{
    const struct usb_model_device *device = port->powered ? port->device : NULL;
    unsigned status = 0;

    status |= device ? 1u : 0u;
    status |= port->enabled ? 2u : 0u;
    status |= port->over_current ? 8u : 0u;
    status |= port->resetting ? 16u : 0u;
    if (is_super(hub)) {
        unsigned link = port->inactive ? 6u : port->enabled ? 0u : device ? 7u : 5u;
        return status | link << 5 | (port->powered ? 1u << 9 : 0u);
    }
    status |= port->powered ? 1u << 8 : 0u;
    if (device && device->speed == USB_SPEED_LOW)
        status |= 1u << 9;
    if (device && device->speed == USB_SPEED_HIGH && port->enabled)
        status |= 1u << 10;
    return status;
}

static unsigned port_change(const struct usb_model_hub *hub, const struct usb_model_port *port)
{
    unsigned change = 0;

    change |= port->connect_changed ? 1u : 0u;
    change |= port->over_current_changed ? 8u : 0u;
    change |= port->reset_changed ? 16u : 0u;
    if (!is_super(hub))
        return change | (port->enable_changed ? 2u : 0u);
    change |= port->warm_reset_changed ? 32u : 0u;
    change |= port->link_changed ? 64u : 0u;
    return change;
}

/* --- requests --- */

static int set_port_feature(struct usb_model_hub *hub, struct usb_model_port *port, unsigned feature)
{
    switch (feature) {
    case PORT_RESET:
        usb_model_port_reset(port, false);
        return 0;
    case BH_PORT_RESET:
        if (!is_super(hub))
            return USB_MODEL_STALL;
        usb_model_port_reset(port, true);
        return 0;
    case PORT_POWER:
        for (unsigned i = 0; hub->ganged && i < hub->port_count; i++)
            usb_model_port_power(&hub->ports[i], true);
        usb_model_port_power(port, true);
        return 0;
    case PORT_U1_TIMEOUT:
    case PORT_U2_TIMEOUT:
    case PORT_LINK_STATE:
        return is_super(hub) ? 0 : USB_MODEL_STALL;
    default:
        return USB_MODEL_STALL;
    }
}

static int clear_port_feature(struct usb_model_hub *hub, struct usb_model_port *port, unsigned feature)
{
    switch (feature) {
    case PORT_ENABLE:
        if (is_super(hub)) {
            usb_model_violation(&hub->device, "PORT_ENABLE is no feature of a SuperSpeed hub");
            return USB_MODEL_STALL;
        }
        usb_model_port_disable(port);
        return 0;
    case PORT_POWER:
        usb_model_port_power(port, false);
        return 0;
    case C_PORT_CONNECTION:
        port->connect_changed = false;
        return 0;
    case C_PORT_ENABLE:
        port->enable_changed = false;
        return is_super(hub) ? USB_MODEL_STALL : 0;
    case C_PORT_SUSPEND:
        return is_super(hub) ? USB_MODEL_STALL : 0;
    case C_PORT_OVER_CURRENT:
        port->over_current_changed = false;
        return 0;
    case C_PORT_RESET:
        port->reset_changed = false;
        return 0;
    case C_BH_PORT_RESET:
        port->warm_reset_changed = false;
        return is_super(hub) ? 0 : USB_MODEL_STALL;
    case C_PORT_LINK_STATE:
        port->link_changed = false;
        return is_super(hub) ? 0 : USB_MODEL_STALL;
    case C_PORT_CONFIG_ERROR:
        return is_super(hub) ? 0 : USB_MODEL_STALL;
    default:
        return USB_MODEL_STALL;
    }
}

static int port_request(struct usb_model_hub *hub, const struct usb_setup *setup, uint8_t *data)
{
    unsigned number = setup->index & 0xffu;
    uint8_t status[4];

    hub->port_requests++;
    if (!number || number > hub->port_count || !hub->device.configuration_value) {
        usb_model_violation(&hub->device, "a request to a hub's port that is not there, or of a hub not configured");
        return USB_MODEL_STALL;
    }
    struct usb_model_port *port = &hub->ports[number - 1];
    usb_model_port_update(port);
    switch (setup->request) {
    case USB_GET_STATUS:
        put16(status, port_status(hub, port));
        put16(status + 2, port_change(hub, port));
        memcpy(data, status, setup->length < 4 ? setup->length : 4u);
        return setup->length < 4 ? setup->length : 4;
    case USB_SET_FEATURE:
        return set_port_feature(hub, port, setup->value);
    case USB_CLEAR_FEATURE:
        return clear_port_feature(hub, port, setup->value);
    case USB_CLEAR_TT_BUFFER:
        if (hub->device.speed != USB_SPEED_HIGH || (!hub->multiple_translators && number != 1))
            usb_model_violation(&hub->device, "CLEAR_TT_BUFFER of a translator that it does not have");
        hub->translator_clears++;
        hub->translator_value = setup->value;
        hub->translator_index = setup->index;
        return 0;
    default:
        return USB_MODEL_STALL;
    }
}

static int hub_request(struct usb_model_hub *hub, const struct usb_setup *setup, uint8_t *data)
{
    uint8_t status[4] = {0};
    size_t size = sizeof(status);
    const uint8_t *from = status;

    switch (setup->request) {
    case USB_GET_DESCRIPTOR:
        if (setup->value >> 8 != hub->descriptor[1])
            return USB_MODEL_STALL;
        from = hub->descriptor;
        size = hub->descriptor_size;
        break;
    case USB_GET_STATUS:
        status[0] = hub->over_current ? 2 : 0;
        status[2] = hub->over_current_changed ? 2 : 0;
        break;
    case USB_CLEAR_FEATURE:
        if (setup->value == 1)
            hub->over_current_changed = false;
        return setup->value <= 1 ? 0 : USB_MODEL_STALL;
    case USB_SET_HUB_DEPTH:
        if (!is_super(hub))
            return USB_MODEL_STALL;
        hub->depth = setup->value;
        return 0;
    default:
        return USB_MODEL_STALL;
    }
    if (size > setup->length)
        size = setup->length;
    memcpy(data, from, size);
    return (int)size;
}

static int hub_control(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    switch (setup->request_type & 0x7f) {
    case USB_TYPE_CLASS | USB_RECIPIENT_DEVICE:
        return hub_request(hub_of(device), setup, data);
    case USB_TYPE_CLASS | USB_RECIPIENT_OTHER:
        return port_request(hub_of(device), setup, data);
    default:
        return USB_MODEL_DEFAULT;
    }
}

/* --- status changes --- */

static int hub_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    struct usb_model_hub *hub = hub_of(device);
    uint8_t bits[2] = {0};
    size_t size = hub->port_count / 8 + 1;

    (void)address;
    (void)stream;
    if (hub->over_current_changed)
        bits[0] |= 1;
    for (unsigned i = 0; i < hub->port_count; i++) {
        usb_model_port_update(&hub->ports[i]);
        if (port_change(hub, &hub->ports[i]))
            bits[(i + 1) / 8] |= (uint8_t)(1u << (i + 1) % 8);
    }
    if (!bits[0] && !bits[1])
        return USB_MODEL_NAK;
    if (size > max)
        return USB_MODEL_BABBLE;
    memcpy(data, bits, size);
    return (int)size;
}

/* Its ports lose their power and with it what they knew. */
static void hub_reset(struct usb_model_device *device)
{
    struct usb_model_hub *hub = hub_of(device);

    hub->depth = -1;
    for (unsigned i = 0; i < hub->port_count; i++) {
        struct usb_model_port *port = &hub->ports[i];
        usb_model_port_power(port, false);
        port->connect_changed = port->enable_changed = port->reset_changed = port->warm_reset_changed = false;
        port->over_current_changed = port->link_changed = false;
    }
}

static const struct usb_model_operations hub_operations = {
    .control = hub_control,
    .in = hub_in,
    .reset = hub_reset,
};

/* --- life --- */

static void fill_descriptor(struct usb_model_hub *hub, unsigned ports)
{
    uint8_t *at = hub->descriptor;

    at[0] = is_super(hub) ? 12 : 9;
    at[1] = is_super(hub) ? USB_DESCRIPTOR_SUPERSPEED_HUB : USB_DESCRIPTOR_HUB;
    at[2] = (uint8_t)ports;
    at[3] = 0x09; /* power and over-current each port by itself */
    at[5] = 10;   /* 20 ms until power is good */
    at[6] = 100;
    hub->descriptor_size = at[0];
    if (!is_super(hub)) {
        at[3] |= 0x20; /* think time: 16 bit times */
        at[8] = 0xff;
        if (ports > 7) {
            at[0] = 11;
            at[9] = at[10] = 0xff;
            hub->descriptor_size = 11;
        }
    }
}

void usb_model_hub_init(struct usb_model_hub *hub, struct platform *platform, enum usb_speed speed, unsigned ports)
{
    struct usb_model_device *device = &hub->device;
    bool high = speed == USB_SPEED_HIGH, super = speed >= USB_SPEED_SUPER;

    if (!ports || ports > USB_MODEL_HUB_PORTS)
        abort();
    memset(hub, 0, sizeof(*hub));
    hub->depth = -1;
    usb_model_device_init(device, &hub_operations, speed, 0x1234, 0x0009, NULL);
    device->descriptor.class_code = USB_CLASS_HUB;
    device->descriptor.protocol = super ? 3 : high ? 2 : 0;
    usb_model_add_interface(device, 0, 0, USB_CLASS_HUB, 0, high ? 1 : 0);
    usb_model_add_endpoint(device, STATUS_CHANGE, USB_ENDPOINT_INTERRUPT, 2, high || super ? 12 : 255, 0, 0);
    if (high) {
        usb_model_add_interface(device, 0, 1, USB_CLASS_HUB, 0, 2);
        usb_model_add_endpoint(device, STATUS_CHANGE, USB_ENDPOINT_INTERRUPT, 2, 12, 0, 0);
    }
    hub->multiple_translators = high;
    fill_descriptor(hub, ports);
    hub->port_count = ports;
    for (unsigned i = 0; i < ports; i++)
        usb_model_port_init(&hub->ports[i], platform, i + 1, super, device);
}

void usb_model_hub_end(struct usb_model_hub *hub)
{
    for (unsigned i = 0; i < hub->port_count; i++) {
        if (hub->ports[i].device)
            usb_model_unplug(hub->ports[i].device);
        hub->device.violations += hub->ports[i].departed_violations;
        if (hub->ports[i].departed_violations)
            hub->device.violation = hub->ports[i].departed_violation;
    }
    usb_model_unplug(&hub->device);
}
