/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What USB devices say of themselves. The first byte is the speed (high bit: the rest is a string descriptor), the rest a configuration
 * with all that follows it.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/usb/usb_internal.h"

#define MEMORY_MAX (1u * 1024 * 1024)

static void check_endpoint(const struct usb_endpoint *endpoint, const struct usb_device *device)
{
    bool periodic = endpoint->type == USB_ENDPOINT_INTERRUPT;

    fuzz_require(endpoint->device == device && !endpoint->open && !endpoint->streams);
    fuzz_require(periodic || endpoint->type == USB_ENDPOINT_BULK);
    fuzz_require((endpoint->address & 0x0f) && !(endpoint->address & 0x70));
    fuzz_require(endpoint->max_packet && endpoint->max_packet <= 1024);
    fuzz_require(device->speed != USB_SPEED_LOW || (periodic && endpoint->max_packet <= 8));
    fuzz_require(device->speed != USB_SPEED_FULL || endpoint->max_packet <= 64);
    fuzz_require(endpoint->max_burst <= 15 && endpoint->max_streams_log2 <= 16);
    fuzz_require(device->speed >= USB_SPEED_SUPER || !endpoint->max_streams_log2);
    if (!periodic)
        return;
    fuzz_require(endpoint->interval && (device->speed < USB_SPEED_HIGH || endpoint->interval <= 16));
    fuzz_require(endpoint->bytes_per_interval &&
                 endpoint->bytes_per_interval <= endpoint->max_packet * (endpoint->max_burst + 1u));
}

static void check_interface(const struct usb_interface *interface, const struct usb_device *device)
{
    struct usb_endpoint endpoints[USB_ENDPOINTS_MAX];
    const uint8_t *end = device->configuration + device->configuration_size, *at = NULL;
    uint32_t seen = 0;

    fuzz_require(interface->device == device);
    fuzz_require(interface->descriptor >= device->configuration && interface->descriptor <= end);
    fuzz_require(interface->descriptor_size >= 9 &&
                 interface->descriptor_size <= (size_t)(end - interface->descriptor));
    unsigned count = usb_parse_endpoints(interface, endpoints, USB_ENDPOINTS_MAX);
    fuzz_require(count == interface->endpoint_count && count <= USB_ENDPOINTS_MAX);
    for (unsigned i = 0; i < count; i++) {
        uint32_t bit = 1u << ((endpoints[i].address & 15) + (endpoints[i].address >> 7) * 16);
        check_endpoint(&endpoints[i], device);
        fuzz_require(!(seen & bit));
        seen |= bit;
    }
    while ((at = usb_find_descriptor(interface, at, USB_DESCRIPTOR_PIPE_USAGE, 4)))
        fuzz_require(at >= interface->descriptor && at + at[0] <= interface->descriptor + interface->descriptor_size);
    fuzz_accepted = fuzz_accepted || count;
}

static void run_configuration(struct platform *platform, enum usb_speed speed, const uint8_t *data, size_t size)
{
    struct usb_device *device = platform_allocate_zeroed(platform, sizeof *device);

    if (size > USB_DESCRIPTOR_MAX)
        size = USB_DESCRIPTOR_MAX;
    fuzz_require(device);
    device->speed = speed;
    device->configuration = platform_allocate(platform, size + 1);
    fuzz_require(device->configuration);
    if (size)
        memcpy(device->configuration, data, size);
    device->configuration_size = size;
    usb_parse_interfaces(device);
    fuzz_require(device->interface_count <= USB_INTERFACES_MAX);
    for (unsigned i = 0; i < device->interface_count; i++)
        check_interface(&device->interfaces[i], device);
    platform_release(platform, device->configuration);
    platform_release(platform, device);
}

static void run_string(const uint8_t *data, size_t size)
{
    char text[BLOCK_TEXT_MAX];

    usb_parse_string(data, size, text, sizeof text);
    fuzz_require(fuzz_text_valid(text, sizeof text));
    fuzz_require(text[0] != ' ' && (!text[0] || text[strlen(text) - 1] != ' '));
    fuzz_accepted = text[0] != 0;
}

void fuzz_usb(const uint8_t *data, size_t size)
{
    struct platform *platform = fuzz_begin();

    if (size && data[0] & 0x80)
        run_string(data + 1, size - 1);
    else if (size)
        run_configuration(platform, (enum usb_speed)(data[0] % (USB_SPEED_SUPER_PLUS + 1)), data + 1, size - 1);
    fuzz_end(MEMORY_MAX);
}
