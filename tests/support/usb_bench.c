/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/usb_bench.h"

struct disk_wait {
    const struct block_registry *registry;
    const char *name;
    struct block_device *found;
};

static bool disk_found(void *context)
{
    struct disk_wait *wait = context;

    wait->found = wait->registry->first;
    while (wait->found && wait->name[0] && strcmp(wait->found->name, wait->name) != 0)
        wait->found = wait->found->registry_next;
    return wait->found != NULL;
}

static bool disk_missing(void *context)
{
    return !disk_found(context);
}

struct block_device *usb_bench_disk(struct loop *loop, const struct block_registry *registry, const char *name,
                                    unsigned seconds)
{
    struct disk_wait wait = {.registry = registry, .name = name};

    loop_wait(loop, disk_found, &wait, deadline_after(loop->platform, seconds * NANOSECONDS_PER_SECOND));
    return wait.found;
}

bool usb_bench_no_disk(struct loop *loop, const struct block_registry *registry, const char *name, unsigned seconds)
{
    struct disk_wait wait = {.registry = registry, .name = name};

    return loop_wait(loop, disk_missing, &wait, deadline_after(loop->platform, seconds * NANOSECONDS_PER_SECOND));
}

unsigned usb_bench_violations(const struct usb_model_port *ports, unsigned count)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct usb_model_device *device = ports[i].device;
        if (ports[i].departed_violations)
            print_error("a rule of the bus was broken: %s\n", ports[i].departed_violation);
        found += ports[i].departed_violations;
        if (!device)
            continue;
        if (device->violations)
            print_error("a rule of the bus was broken: %s\n", device->violation);
        found += device->violations;
        if (device->descriptor.class_code == USB_CLASS_HUB) {
            const struct usb_model_hub *hub = (const struct usb_model_hub *)(const void *)device;
            found += usb_bench_violations(hub->ports, hub->port_count);
        }
    }
    return found;
}
