/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors: what a device says of itself, believed as far as it holds together. USB 2.0, 9.6; USB 3.2, 9.6.
 */
#include <string.h>

#include "drivers/usb/usb_internal.h"

#define DESCRIPTOR_HEADER 2u
#define INTERFACE_SIZE sizeof(struct usb_interface_descriptor)
#define ENDPOINT_SIZE sizeof(struct usb_endpoint_descriptor)
#define COMPANION_SIZE sizeof(struct usb_companion_descriptor)
#define PIPE_USAGE_SIZE 4u
#define PACKET_MASK 0x7ffu
#define STREAMS_LOG2_MAX 16u
#define BURST_MAX 15u

const char *usb_speed_name(enum usb_speed speed)
{
    switch (speed) {
    case USB_SPEED_LOW:
        return "1.5 Mbit/s";
    case USB_SPEED_FULL:
        return "12 Mbit/s";
    case USB_SPEED_HIGH:
        return "480 Mbit/s";
    case USB_SPEED_SUPER:
        return "5 Gbit/s";
    case USB_SPEED_SUPER_PLUS:
        return "10 Gbit/s";
    case USB_SPEED_NONE:
        break;
    }
    return "unknown speed";
}

/* The descriptor at `at`, if it lies within what is there: its length, else 0. */
static size_t descriptor_length(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);

    if (left < DESCRIPTOR_HEADER || at[0] < DESCRIPTOR_HEADER || at[0] > left)
        return 0;
    return at[0];
}

/* --- interfaces --- */

static void add_interface(struct usb_device *device, const uint8_t *at, const uint8_t *end)
{
    struct usb_interface_descriptor descriptor;
    const uint8_t *next = at;
    size_t length;

    if (device->interface_count == USB_INTERFACES_MAX)
        return;
    memcpy(&descriptor, at, sizeof(descriptor));
    do {
        next += descriptor_length(next, end);
        length = descriptor_length(next, end);
    } while (length && next[1] != USB_DESCRIPTOR_INTERFACE && next[1] != USB_DESCRIPTOR_CONFIGURATION);

    struct usb_interface *interface = &device->interfaces[device->interface_count++];
    *interface = (struct usb_interface){.device = device,
                                        .number = descriptor.number,
                                        .alternate = descriptor.alternate,
                                        .class_code = descriptor.class_code,
                                        .subclass = descriptor.subclass,
                                        .protocol = descriptor.protocol,
                                        .descriptor = at,
                                        .descriptor_size = (size_t)(next - at)};
    interface->endpoint_count = usb_parse_endpoints(interface, NULL, 0);
}

/* A second description of the same setting would be opened under a name that means the first. */
static bool is_repeated(const struct usb_device *device, const uint8_t *at)
{
    for (unsigned i = 0; i < device->interface_count; i++)
        if (device->interfaces[i].number == at[2] && device->interfaces[i].alternate == at[3])
            return true;
    return false;
}

void usb_parse_interfaces(struct usb_device *device)
{
    const uint8_t *at = device->configuration, *end = at + device->configuration_size;
    size_t length;

    device->interface_count = 0;
    while ((length = descriptor_length(at, end))) {
        if (at[1] == USB_DESCRIPTOR_INTERFACE && length >= INTERFACE_SIZE && !is_repeated(device, at))
            add_interface(device, at, end);
        at += length;
    }
}

const uint8_t *usb_find_descriptor(const struct usb_interface *interface, const uint8_t *from, uint8_t type,
                                   uint8_t min_size)
{
    const uint8_t *at = from ? from : interface->descriptor;
    const uint8_t *end = interface->descriptor + interface->descriptor_size;
    size_t length;

    while ((length = descriptor_length(at, end))) {
        if (at != from && at[1] == type && length >= min_size)
            return at;
        at += length;
    }
    return NULL;
}

/* --- endpoints --- */

/* Largest packet of an endpoint other than 0 (USB 2.0, 5.7.3, 5.8.3; USB 3.2, 9.6.6); 0: not at this speed. */
static uint16_t packet_limit(enum usb_speed speed, enum usb_endpoint_type type)
{
    switch (speed) {
    case USB_SPEED_LOW:
        return type == USB_ENDPOINT_INTERRUPT ? 8 : 0;
    case USB_SPEED_FULL:
        return 64;
    case USB_SPEED_HIGH:
        return type == USB_ENDPOINT_BULK ? 512 : 1024;
    case USB_SPEED_SUPER:
    case USB_SPEED_SUPER_PLUS:
        return 1024;
    case USB_SPEED_NONE:
        break;
    }
    return 0;
}

/* 5.8.3 of USB 2.0, 4.4.6.1 of USB 3.2: 8, 16, 32 or 64 bytes; above full speed one size only. Hosts refuse what some devices say. */
static uint16_t bulk_packet(enum usb_speed speed, uint16_t said, uint16_t limit)
{
    uint16_t packet = limit;

    while (speed == USB_SPEED_FULL && packet > 8 && packet > said)
        packet /= 2;
    return packet;
}

static void parse_companion(struct usb_endpoint *endpoint, const uint8_t *at)
{
    struct usb_companion_descriptor companion;

    memcpy(&companion, at, sizeof(companion));
    endpoint->max_burst = companion.max_burst < BURST_MAX ? companion.max_burst : BURST_MAX;
    if (endpoint->type == USB_ENDPOINT_BULK) {
        uint8_t streams = companion.attributes & 0x1f;
        endpoint->max_streams_log2 = streams < STREAMS_LOG2_MAX ? streams : STREAMS_LOG2_MAX;
        return;
    }
    uint32_t most = (uint32_t)endpoint->max_packet * (endpoint->max_burst + 1u);
    endpoint->bytes_per_interval = companion.bytes_per_interval;
    if (!companion.bytes_per_interval || companion.bytes_per_interval > most)
        endpoint->bytes_per_interval = most;
}

/* The endpoint descriptor itself. False: it cannot be used. */
static bool parse_endpoint(struct usb_endpoint *endpoint, struct usb_device *device, const uint8_t *at)
{
    struct usb_endpoint_descriptor descriptor;
    enum usb_speed speed = device->speed;

    memcpy(&descriptor, at, sizeof(descriptor));
    *endpoint = (struct usb_endpoint){.device = device,
                                      .address = descriptor.address & (USB_IN | 0x0f),
                                      .type = (enum usb_endpoint_type)(descriptor.attributes & 3),
                                      .max_packet = descriptor.max_packet & PACKET_MASK,
                                      .interval = descriptor.interval};
    if (!(descriptor.address & 0x0f) ||
        (endpoint->type != USB_ENDPOINT_BULK && endpoint->type != USB_ENDPOINT_INTERRUPT))
        return false;
    uint16_t limit = packet_limit(speed, endpoint->type);
    if (!endpoint->max_packet || !limit)
        return false;
    if (endpoint->type == USB_ENDPOINT_BULK) {
        endpoint->max_packet = bulk_packet(speed, endpoint->max_packet, limit);
        return true;
    }
    if (endpoint->max_packet > limit)
        endpoint->max_packet = limit;

    /* 9.6.6: more transactions in a microframe; 3 is reserved. */
    uint8_t more = descriptor.max_packet >> 11 & 3;
    if (speed == USB_SPEED_HIGH && more < 3)
        endpoint->max_burst = more;
    if (!endpoint->interval)
        endpoint->interval = 1;
    if (speed >= USB_SPEED_HIGH && endpoint->interval > 16)
        endpoint->interval = 16;
    endpoint->bytes_per_interval = (uint32_t)endpoint->max_packet * (endpoint->max_burst + 1u);
    return true;
}

/* What follows an endpoint descriptor and belongs to it, up to the next one. */
static void parse_followers(struct usb_endpoint *endpoint, const uint8_t *at, const uint8_t *end)
{
    bool companion = endpoint->device->speed < USB_SPEED_SUPER;
    size_t length;

    for (at += at[0]; (length = descriptor_length(at, end)) && at[1] != USB_DESCRIPTOR_ENDPOINT; at += length) {
        if (at[1] == USB_DESCRIPTOR_COMPANION && length >= COMPANION_SIZE && !companion) {
            parse_companion(endpoint, at);
            companion = true;
        } else if (at[1] == USB_DESCRIPTOR_PIPE_USAGE && length >= PIPE_USAGE_SIZE && !endpoint->pipe_id) {
            endpoint->pipe_id = at[2];
        }
    }
}

unsigned usb_parse_endpoints(const struct usb_interface *interface, struct usb_endpoint *endpoints, unsigned max)
{
    const uint8_t *at = interface->descriptor, *end = at + interface->descriptor_size;
    uint32_t seen = 0; /* by number, IN ones 16 higher */
    unsigned count = 0;
    size_t length;

    for (; (length = descriptor_length(at, end)) && count < USB_ENDPOINTS_MAX; at += length) {
        struct usb_endpoint endpoint;
        if (at[1] != USB_DESCRIPTOR_ENDPOINT || length < ENDPOINT_SIZE ||
            !parse_endpoint(&endpoint, interface->device, at))
            continue;
        uint32_t bit = 1u << ((endpoint.address & 0x0f) + (endpoint.address & USB_IN ? 16 : 0));
        if (seen & bit)
            continue;
        seen |= bit;
        parse_followers(&endpoint, at, end);
        if (count < max)
            endpoints[count] = endpoint;
        count++;
    }
    return count;
}

struct usb_endpoint *usb_find_endpoint(struct usb_endpoint *endpoints, unsigned count, enum usb_endpoint_type type,
                                       bool in)
{
    for (unsigned i = 0; i < count; i++)
        if (endpoints[i].type == type && !!(endpoints[i].address & USB_IN) == in)
            return &endpoints[i];
    return NULL;
}

/* --- the rest --- */

uint16_t usb_control_packet(enum usb_speed speed, uint8_t field)
{
    switch (speed) {
    case USB_SPEED_LOW:
        return field == 8 ? 8 : 0;
    case USB_SPEED_FULL:
    case USB_SPEED_HIGH: /* 64 at high speed (5.5.3), but devices that say less mean it */
        return field == 8 || field == 16 || field == 32 || field == 64 ? field : 0;
    case USB_SPEED_SUPER:
    case USB_SPEED_SUPER_PLUS: /* an exponent (USB 3.2, table 9-11); only this one is allowed */
        return field == 9 ? 512 : 0;
    case USB_SPEED_NONE:
        break;
    }
    return 0;
}

void usb_parse_string(const uint8_t *bytes, size_t size, char *text, size_t text_size)
{
    char ascii[128];
    size_t count = 0;

    text[0] = '\0';
    if (size < DESCRIPTOR_HEADER || bytes[1] != USB_DESCRIPTOR_STRING)
        return;
    if (bytes[0] < size)
        size = bytes[0];
    /* UTF-16LE; what is not ASCII is left out, as in the names that disks of the firmware get. */
    for (size_t i = DESCRIPTOR_HEADER; i + 1 < size && count < sizeof(ascii); i += 2) {
        if (!bytes[i] && !bytes[i + 1])
            break;
        if (!bytes[i + 1])
            ascii[count++] = (char)bytes[i];
    }
    block_text(text, text_size, ascii, count, false);
}
