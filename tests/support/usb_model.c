/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all scripted devices share: descriptors, standard requests (USB 2.0, 9.4), halts, data toggles, ports. */
#include "tests/support/usb_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define RESET_TIME (10 * NANOSECONDS_PER_MILLISECOND)
#define WARM_RESET_TIME (100 * NANOSECONDS_PER_MILLISECOND)

void usb_model_violation(struct usb_model_device *device, const char *what)
{
    device->violations++;
    device->violation = what;
    if (getenv("TEST_LOG"))
        fprintf(stderr, "usb model: %s\n", what);
}

static unsigned slot_of(uint8_t address)
{
    return (address & 0xfu) + (address & USB_IN ? 16u : 0u);
}

/* --- descriptors --- */

void usb_model_device_init(struct usb_model_device *device, const struct usb_model_operations *operations,
                           enum usb_speed speed, uint16_t vendor_id, uint16_t product_id, const char *serial)
{
    static const uint16_t versions[] = {0x0200, 0x0110, 0x0110, 0x0200, 0x0300, 0x0310};
    bool super = speed >= USB_SPEED_SUPER;

    memset(device, 0, sizeof(*device));
    device->operations = operations;
    device->speed = speed;
    device->bad_request = -1;
    device->descriptor = (struct usb_device_descriptor){
        .length = sizeof(struct usb_device_descriptor),
        .type = USB_DESCRIPTOR_DEVICE,
        .usb_version = versions[speed],
        .max_packet = super                    ? 9
                      : speed == USB_SPEED_LOW ? 8
                                               : 64,
        .vendor_id = vendor_id,
        .product_id = product_id,
        .release = 0x0100,
        .manufacturer = 1,
        .product = 2,
        .serial = serial ? 3 : 0,
        .configurations = 1,
    };
    device->strings[1] = "Eidolon";
    device->strings[2] = "Model";
    device->strings[3] = serial;
    struct usb_configuration_descriptor configuration = {
        .length = sizeof(configuration),
        .type = USB_DESCRIPTOR_CONFIGURATION,
        .value = 1,
        .attributes = 0x80,
        .max_power = super ? 112 : 50,
    };
    usb_model_add_bytes(device, &configuration, sizeof(configuration));
}

void usb_model_add_bytes(struct usb_model_device *device, const void *bytes, size_t size)
{
    if (size > sizeof(device->configuration) - device->configuration_size)
        abort();
    memcpy(device->configuration + device->configuration_size, bytes, size);
    device->configuration_size += size;
    device->configuration[2] = (uint8_t)device->configuration_size;
    device->configuration[3] = (uint8_t)(device->configuration_size >> 8);
}

static struct usb_interface_descriptor *last_interface(struct usb_model_device *device)
{
    struct usb_interface_descriptor *last = NULL;

    for (size_t at = 0; at + 2 <= device->configuration_size && device->configuration[at] >= 2;
         at += device->configuration[at])
        if (device->configuration[at + 1] == USB_DESCRIPTOR_INTERFACE)
            last = (struct usb_interface_descriptor *)(void *)(device->configuration + at);
    return last;
}

void usb_model_add_interface(struct usb_model_device *device, uint8_t number, uint8_t alternate, uint8_t class_code,
                             uint8_t subclass, uint8_t protocol)
{
    struct usb_interface_descriptor interface = {
        .length = sizeof(interface),
        .type = USB_DESCRIPTOR_INTERFACE,
        .number = number,
        .alternate = alternate,
        .class_code = class_code,
        .subclass = subclass,
        .protocol = protocol,
    };

    usb_model_add_bytes(device, &interface, sizeof(interface));
    if (!alternate)
        device->configuration[4]++;
}

void usb_model_add_endpoint(struct usb_model_device *device, uint8_t address, enum usb_endpoint_type type,
                            uint16_t max_packet, uint8_t interval, uint8_t max_burst, uint8_t max_streams_log2)
{
    static const uint16_t usual[] = {8, 64, 8, 512, 1024, 1024};
    struct usb_endpoint_descriptor endpoint = {
        .length = sizeof(endpoint),
        .type = USB_DESCRIPTOR_ENDPOINT,
        .address = address,
        .attributes = (uint8_t)type,
        .max_packet = max_packet ? max_packet : usual[device->speed],
        .interval = interval,
    };

    usb_model_add_bytes(device, &endpoint, sizeof(endpoint));
    last_interface(device)->endpoints++;
    if (device->speed < USB_SPEED_SUPER)
        return;
    struct usb_companion_descriptor companion = {
        .length = sizeof(companion),
        .type = USB_DESCRIPTOR_COMPANION,
        .max_burst = max_burst,
        .attributes = type == USB_ENDPOINT_BULK ? max_streams_log2 : 0,
        .bytes_per_interval = type == USB_ENDPOINT_INTERRUPT ? endpoint.max_packet : 0,
    };
    usb_model_add_bytes(device, &companion, sizeof(companion));
}

/* Walks the settings in force; NULL: the endpoint is not there now. */
static const struct usb_endpoint_descriptor *find_endpoint(const struct usb_model_device *device, uint8_t address)
{
    bool current = false;

    if (!device->configuration_value)
        return NULL;
    for (size_t at = 0; at + 2 <= device->configuration_size && device->configuration[at] >= 2 &&
                        at + device->configuration[at] <= device->configuration_size;
         at += device->configuration[at]) {
        const uint8_t *bytes = device->configuration + at;
        if (bytes[1] == USB_DESCRIPTOR_INTERFACE && bytes[0] >= sizeof(struct usb_interface_descriptor))
            current = bytes[2] < USB_INTERFACES_MAX && device->alternates[bytes[2]] == bytes[3];
        if (bytes[1] == USB_DESCRIPTOR_ENDPOINT && bytes[0] >= sizeof(struct usb_endpoint_descriptor) && current &&
            bytes[2] == address)
            return (const struct usb_endpoint_descriptor *)(const void *)bytes;
    }
    return NULL;
}

uint16_t usb_model_packet_size(const struct usb_model_device *device, uint8_t address)
{
    const struct usb_endpoint_descriptor *endpoint = find_endpoint(device, address);

    return endpoint ? endpoint->max_packet & 0x7ff : 0;
}

/* Is there an interface with this alternate setting? */
static bool has_setting(const struct usb_model_device *device, unsigned number, unsigned alternate)
{
    for (size_t at = 0; at + 9 <= device->configuration_size && device->configuration[at] >= 2;
         at += device->configuration[at])
        if (device->configuration[at + 1] == USB_DESCRIPTOR_INTERFACE && device->configuration[at + 2] == number &&
            device->configuration[at + 3] == alternate)
            return true;
    return false;
}

/* --- plugging and ports --- */

static void lose_state(struct usb_model_device *device)
{
    device->address = device->configuration_value = 0;
    device->in_default_state = false;
    memset(device->alternates, 0, sizeof(device->alternates));
    memset(device->halted, 0, sizeof(device->halted));
    memset(device->sequence, 0, sizeof(device->sequence));
    if (device->operations->reset)
        device->operations->reset(device);
}

static void port_changed(struct usb_model_port *port)
{
    if (port->changed)
        port->changed(port, port->context);
}

static void attach(struct usb_model_port *port)
{
    port->connect_changed = true;
    /* A USB 3 link trains by itself and the port is enabled then (USB 3.2, 10.3.1). */
    port->enabled = port->super && !port->inactive;
    if (port->enabled) {
        lose_state(port->device);
        port->device->in_default_state = true;
    }
    port_changed(port);
}

void usb_model_plug(struct usb_model_port *port, struct usb_model_device *device)
{
    if (port->device || device->port || port->super != (device->speed >= USB_SPEED_SUPER))
        abort();
    port->device = device;
    device->port = port;
    lose_state(device);
    if (port->powered)
        attach(port);
}

void usb_model_unplug(struct usb_model_device *device)
{
    struct usb_model_port *port = device->port;

    if (!port)
        return;
    port->departed_violations += device->violations;
    if (device->violations)
        port->departed_violation = device->violation;
    port->device = NULL;
    device->port = NULL;
    port->enabled = port->resetting = port->inactive = false;
    lose_state(device);
    if (port->powered) {
        port->connect_changed = true;
        port_changed(port);
    }
}

void usb_model_port_init(struct usb_model_port *port, struct platform *platform, unsigned number, bool super,
                         struct usb_model_device *hub)
{
    *port = (struct usb_model_port){.platform = platform, .number = number, .super = super, .hub = hub};
}

void usb_model_port_power(struct usb_model_port *port, bool on)
{
    if (port->powered == on)
        return;
    port->powered = on;
    port->enabled = port->resetting = false;
    if (port->device) {
        lose_state(port->device);
        if (on)
            attach(port);
    }
}

void usb_model_port_reset(struct usb_model_port *port, bool warm)
{
    port->resets++;
    port->warm_resets += warm;
    if (!port->powered)
        return;
    port->resetting = true;
    port->reset_is_warm = warm;
    port->enabled = false;
    if (port->device)
        lose_state(port->device);
    port->reset_ends = platform_now(port->platform) + (warm ? WARM_RESET_TIME : RESET_TIME);
}

void usb_model_port_disable(struct usb_model_port *port)
{
    port->enabled = false;
    if (port->device)
        lose_state(port->device);
}

void usb_model_port_fail_link(struct usb_model_port *port)
{
    port->inactive = true;
    port->enabled = false;
    port->link_changed = true;
    if (port->device)
        lose_state(port->device);
    port_changed(port);
}

void usb_model_port_update(struct usb_model_port *port)
{
    if (!port->resetting || port->endless_reset || platform_now(port->platform) < port->reset_ends)
        return;
    port->resetting = false;
    port->reset_changed = true;
    port->warm_reset_changed = port->reset_is_warm;
    if (port->reset_is_warm)
        port->inactive = false;
    if (port->bad_resets) {
        port->bad_resets--;
    } else if (port->device && !port->inactive) {
        struct usb_model_device *device = port->device;
        device->resets++;
        port->enabled = true;
        device->deaf = false;
        lose_state(device);
        device->in_default_state = true;
    }
    port_changed(port);
}

bool usb_model_reachable(const struct usb_model_device *device)
{
    for (unsigned tier = 0; tier <= USB_TIERS_MAX + 1; tier++) {
        const struct usb_model_port *port = device->port;
        if (!port || !port->enabled || !port->powered)
            return false;
        if (!port->hub)
            return true;
        device = port->hub;
        if (!device->configuration_value)
            return false;
    }
    return false;
}

struct usb_model_device *usb_model_at_route(struct usb_model_port *root, uint32_t route)
{
    struct usb_model_device *device = root->device;

    for (int tier = 0; device && route; route >>= 4, tier++) {
        /* Only hubs have ports, and a hub's ports know their hub: usb_model_hub.c keeps them behind the device. */
        struct usb_model_hub *hub = (struct usb_model_hub *)(void *)device;
        if (device->descriptor.class_code != USB_CLASS_HUB || !(route & 15u) || (route & 15u) > hub->port_count)
            return NULL;
        /* A SuperSpeed hub finds its part of the route string by its depth (USB 3.2, 10.16.2.9). */
        if (device->speed >= USB_SPEED_SUPER && hub->depth != tier)
            return NULL;
        device = hub->ports[(route & 15u) - 1].device;
    }
    return device;
}

/* --- control requests --- */

int usb_model_set_address(struct usb_model_device *device, uint8_t address)
{
    if (device->no_answer || !usb_model_reachable(device))
        return USB_MODEL_ERROR;
    if (device->deaf || device->deaf_for_ever)
        return USB_MODEL_NAK;
    if (!device->in_default_state && !device->address) {
        usb_model_violation(device, "SET_ADDRESS without a reset");
        return USB_MODEL_ERROR;
    }
    if (device->bad_request == USB_SET_ADDRESS) {
        if (device->bad_times && !--device->bad_times)
            device->bad_request = -1;
        return device->bad_answer;
    }
    device->address = address;
    device->in_default_state = !address;
    device->configuration_value = 0;
    return 0;
}

static int copy_out(const struct usb_setup *setup, uint8_t *data, const void *from, size_t size)
{
    size_t count = size < setup->length ? size : setup->length;

    memcpy(data, from, count);
    return (int)count;
}

static int string_descriptor(const struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    static const uint8_t languages[] = {4, USB_DESCRIPTOR_STRING, 0x09, 0x04};
    unsigned index = setup->value & 0xffu;
    uint8_t bytes[256];

    if (!index)
        return copy_out(setup, data, languages, sizeof(languages));
    if (index >= USB_MODEL_STRINGS || !device->strings[index])
        return USB_MODEL_STALL;
    size_t length = strlen(device->strings[index]);
    if (length > 126)
        length = 126;
    bytes[0] = (uint8_t)(2 + 2 * length);
    bytes[1] = USB_DESCRIPTOR_STRING;
    for (size_t i = 0; i < length; i++) {
        bytes[2 + 2 * i] = (uint8_t)device->strings[index][i];
        bytes[3 + 2 * i] = 0;
    }
    return copy_out(setup, data, bytes, bytes[0]);
}

static int get_descriptor(const struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    switch (setup->value >> 8) {
    case USB_DESCRIPTOR_DEVICE:
        return copy_out(setup, data, &device->descriptor, sizeof(device->descriptor));
    case USB_DESCRIPTOR_CONFIGURATION:
        if (setup->value & 0xff)
            return USB_MODEL_STALL;
        return copy_out(setup, data, device->configuration, device->configuration_size);
    case USB_DESCRIPTOR_STRING:
        return string_descriptor(device, setup, data);
    default:
        return USB_MODEL_STALL;
    }
}

static int set_configuration(struct usb_model_device *device, const struct usb_setup *setup)
{
    unsigned value = setup->value & 0xffu;

    if (value && value != device->configuration[5])
        return USB_MODEL_STALL;
    device->set_configurations++;
    device->configuration_value = (uint8_t)value;
    memset(device->alternates, 0, sizeof(device->alternates));
    memset(device->halted, 0, sizeof(device->halted));
    memset(device->sequence, 0, sizeof(device->sequence));
    if (device->operations->selected)
        device->operations->selected(device, 0, 0);
    return 0;
}

/* The endpoints of the new setting begin with clear toggles, also when it is the same one as before (9.1.1.5). */
static int set_interface(struct usb_model_device *device, const struct usb_setup *setup)
{
    if (setup->index >= USB_INTERFACES_MAX || !has_setting(device, setup->index, setup->value))
        return USB_MODEL_STALL;
    device->set_interfaces++;
    device->alternates[setup->index] = (uint8_t)setup->value;
    bool current = false;
    for (size_t at = 0; at + 2 <= device->configuration_size && device->configuration[at] >= 2;
         at += device->configuration[at]) {
        const uint8_t *bytes = device->configuration + at;
        if (bytes[1] == USB_DESCRIPTOR_INTERFACE)
            current = bytes[2] == setup->index && bytes[3] == setup->value;
        if (bytes[1] == USB_DESCRIPTOR_ENDPOINT && current) {
            device->halted[slot_of(bytes[2])] = false;
            device->sequence[slot_of(bytes[2])] = 0;
        }
    }
    if (device->operations->selected)
        device->operations->selected(device, setup->index, setup->value);
    return 0;
}

static int endpoint_feature(struct usb_model_device *device, const struct usb_setup *setup)
{
    uint8_t address = (uint8_t)setup->index;

    if (setup->value != USB_FEATURE_ENDPOINT_HALT)
        return USB_MODEL_STALL;
    if (!(address & 0xf))
        return 0;
    if (!find_endpoint(device, address)) {
        usb_model_violation(device, "a feature of an endpoint that is not there");
        return USB_MODEL_STALL;
    }
    if (setup->request == USB_SET_FEATURE) {
        device->halted[slot_of(address)] = true;
        return 0;
    }
    device->clear_halts++;
    device->halted[slot_of(address)] = false;
    device->sequence[slot_of(address)] = 0;
    if (device->operations->halt_cleared)
        device->operations->halt_cleared(device, address);
    return 0;
}

static int get_status(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    uint8_t status[2] = {0, 0};

    if ((setup->request_type & 0x1f) == USB_RECIPIENT_ENDPOINT)
        status[0] = device->halted[slot_of((uint8_t)setup->index)];
    return copy_out(setup, data, status, sizeof(status));
}

static int standard_request(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    if (setup->request_type & 0x60)
        return USB_MODEL_STALL;
    switch (setup->request) {
    case USB_GET_DESCRIPTOR:
        return get_descriptor(device, setup, data);
    case USB_GET_STATUS:
        return get_status(device, setup, data);
    case USB_GET_CONFIGURATION:
        return copy_out(setup, data, &device->configuration_value, 1);
    case USB_SET_CONFIGURATION:
        return set_configuration(device, setup);
    case USB_SET_INTERFACE:
        return set_interface(device, setup);
    case USB_CLEAR_FEATURE:
    case USB_SET_FEATURE:
        return (setup->request_type & 0x1f) == USB_RECIPIENT_ENDPOINT ? endpoint_feature(device, setup) : 0;
    case USB_SET_ADDRESS:
        usb_model_violation(device, "SET_ADDRESS that is not the host's own");
        return USB_MODEL_STALL;
    default:
        return USB_MODEL_STALL;
    }
}

int usb_model_control(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    if (device->no_answer || !usb_model_reachable(device))
        return USB_MODEL_ERROR;
    if (device->deaf || device->deaf_for_ever)
        return USB_MODEL_NAK;
    if (++device->requests == device->unplug_at_request) {
        usb_model_unplug(device);
        return USB_MODEL_ERROR;
    }
    if (device->bad_request == setup->request) {
        int answer = device->bad_answer < (int)setup->length ? device->bad_answer : (int)setup->length;
        if (device->bad_times && !--device->bad_times)
            device->bad_request = -1;
        if (answer > 0 && setup->request_type & USB_IN) {
            memset(data, 0xff, (size_t)answer);
            int real = standard_request(device, setup, data);
            return real < answer ? real : answer;
        }
        return answer;
    }
    int result = device->operations->control ? device->operations->control(device, setup, data) : USB_MODEL_DEFAULT;
    if (result != USB_MODEL_DEFAULT)
        return result;
    return standard_request(device, setup, data);
}

/* --- packets --- */

/* 0, or why not; *packet: the packet size. */
static int check_packet(struct usb_model_device *device, uint8_t address, const uint32_t *sequence, uint16_t *packet)
{
    if (device->no_answer || !usb_model_reachable(device))
        return USB_MODEL_ERROR;
    if (device->deaf || device->deaf_for_ever)
        return USB_MODEL_NAK;
    *packet = usb_model_packet_size(device, address);
    if (!*packet) {
        usb_model_violation(device, "packets for an endpoint that is not there");
        return USB_MODEL_ERROR;
    }
    if (device->halted[slot_of(address)])
        return USB_MODEL_STALL;
    if (device->sequence[slot_of(address)] != *sequence) {
        usb_model_violation(device, "the data toggles of host and device differ");
        device->sequence[slot_of(address)] = *sequence;
    }
    return 0;
}

static int count_packets(struct usb_model_device *device, uint8_t address, int result, uint16_t packet,
                         uint32_t *sequence)
{
    if (result == USB_MODEL_STALL && device->port)
        device->halted[slot_of(address)] = true;
    if (result < 0)
        return result;
    uint32_t packets = result ? ((uint32_t)result + packet - 1) / packet : 1;
    *sequence += packets;
    /* The device may have been unplugged inside, or the interface changed: then it counts anew. */
    if (device->port)
        device->sequence[slot_of(address)] = *sequence;
    return result;
}

int usb_model_out(struct usb_model_device *device, uint8_t address, unsigned stream, const uint8_t *data, size_t length,
                  uint32_t *sequence)
{
    uint16_t packet;
    int result = check_packet(device, address, sequence, &packet);

    if (result)
        return result;
    result = device->operations->out ? device->operations->out(device, address, stream, data, length) : USB_MODEL_STALL;
    if (result > (int)length || (result > 0 && result < (int)length && result % packet))
        abort();
    return count_packets(device, address, result, packet, sequence);
}

int usb_model_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max,
                 uint32_t *sequence)
{
    uint16_t packet;
    int result = check_packet(device, address, sequence, &packet);

    if (result)
        return result;
    result = device->operations->in ? device->operations->in(device, address, stream, data, max) : USB_MODEL_STALL;
    if (result > (int)max)
        abort();
    return count_packets(device, address, result, packet, sequence);
}
