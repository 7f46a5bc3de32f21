/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bindings: which driver serves which interface of a device. The best match first; when it fails or gives up, the next one.
 */
#include "drivers/usb/usb_internal.h"

#define DRIVERS_MAX 32u

static const struct usb_driver *const *drivers_of(const struct usb_device *device)
{
    return device->bus->drivers ? device->bus->drivers : usb_drivers;
}

bool usb_has_driver(const struct usb_device *device)
{
    const struct usb_driver *const *drivers = drivers_of(device);

    for (unsigned i = 0; i < device->interface_count; i++)
        for (unsigned j = 0; j < DRIVERS_MAX && drivers[j]; j++)
            if (drivers[j]->matches(device, &device->interfaces[i]))
                return true;
    return false;
}

struct match {
    const struct usb_interface *interface;
    unsigned driver; /* place in the table */
    unsigned score;  /* 0: none */
};

/* Over all alternate settings of the interface; drivers in `tried` had their turn. */
static struct match best_match(const struct usb_device *device, uint8_t number, uint32_t tried)
{
    const struct usb_driver *const *drivers = drivers_of(device);
    struct match best = {0};

    for (unsigned i = 0; i < device->interface_count; i++) {
        const struct usb_interface *interface = &device->interfaces[i];
        if (interface->number != number)
            continue;
        for (unsigned j = 0; j < DRIVERS_MAX && drivers[j]; j++) {
            unsigned score = tried >> j & 1 ? 0 : drivers[j]->matches(device, interface);
            if (score > best.score)
                best = (struct match){interface, j, score};
        }
    }
    return best;
}

static void add_binding(struct usb_device *device, struct usb_binding *binding, const struct match *match,
                        uint32_t tried)
{
    struct platform *platform = device->bus->platform;

    binding->driver = drivers_of(device)[match->driver];
    binding->device = device;
    binding->interface_number = match->interface->number;
    binding->tried = tried;
    platform_hold_events(platform);
    binding->next = device->bindings;
    device->bindings = binding;
    platform_release_events(platform);
    /* It left while the driver was busy beginning. */
    if (device->unplugged && binding->driver->gone)
        binding->driver->gone(binding);
}

static void bind_interface(struct usb_device *device, uint8_t number, uint32_t tried)
{
    struct platform *platform = device->bus->platform;

    while (!usb_device_leaving(device)) {
        struct match match = best_match(device, number, tried);
        if (!match.score)
            return;
        const struct usb_driver *driver = drivers_of(device)[match.driver];
        struct usb_binding *binding = NULL;
        struct error error = {0};
        tried |= 1u << match.driver;
        int status = driver->attach(device, match.interface, &binding, &error);
        if (!status && binding) {
            platform_log(platform, LOG_DEBUG, "%s: interface %u is driven by %s", device->name, number, driver->name);
            add_binding(device, binding, &match, tried);
            return;
        }
        if (!usb_device_leaving(device))
            platform_log(platform, LOG_WARNING, "%s: %s does not work on it: %s%s%s", device->name, driver->name,
                         error_code_name((enum error_code) - status), error.detail[0] ? ", " : "", error.detail);
    }
}

void usb_bind_all(struct usb_device *device)
{
    uint8_t seen[256 / 8] = {0};

    if (device->state != USB_DEVICE_CONFIGURED)
        return;
    for (unsigned i = 0; i < device->interface_count; i++) {
        uint8_t number = device->interfaces[i].number;
        if (seen[number / 8] >> number % 8 & 1)
            continue;
        seen[number / 8] |= (uint8_t)(1u << number % 8);
        bind_interface(device, number, 0);
    }
}

/* --- the end of a binding --- */

void usb_give_up(struct usb_binding *binding)
{
    binding->given_up = true;
    usb_attention(binding->device);
}

static void detach(struct usb_device *device, struct usb_binding *binding)
{
    struct platform *platform = device->bus->platform;
    struct usb_binding **link = &device->bindings;

    platform_hold_events(platform);
    while (*link && *link != binding)
        link = &(*link)->next;
    if (*link)
        *link = binding->next;
    platform_release_events(platform);
    binding->driver->detach(binding);
}

static struct usb_binding *given_up(const struct usb_device *device)
{
    struct usb_binding *binding = device->bindings;

    while (binding && !binding->given_up)
        binding = binding->next;
    return binding;
}

void usb_bind_again(struct usb_device *device)
{
    struct usb_binding *binding;

    while (!usb_device_leaving(device) && (binding = given_up(device))) {
        uint8_t number = binding->interface_number;
        uint32_t tried = binding->tried;
        platform_log(device->bus->platform, LOG_WARNING, "%s: %s gives up", device->name, binding->driver->name);
        detach(device, binding);
        device->starting = true;
        bind_interface(device, number, tried);
        device->starting = false;
    }
}

void usb_detach_all(struct usb_device *device)
{
    while (device->bindings)
        detach(device, device->bindings);
}
