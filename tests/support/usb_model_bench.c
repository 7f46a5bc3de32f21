/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/usb_model_host.h"

#define BUFFER_SIZE (4u << 20)

static void key_typed(const struct usb_keyboard_sink *sink, const struct usb_key *key)
{
    struct usb_model_bench *bench = sink->context;

    if (bench->typed_count < sizeof(bench->typed) / sizeof(bench->typed[0]))
        bench->typed[bench->typed_count++] = *key;
}

int usb_model_bench_setup(void **state)
{
    struct usb_model_bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    bench->keys = (struct usb_keyboard_sink){.key = key_typed, .context = bench};
    usb_model_host_init(&bench->host, &bench->loop, &bench->registry, &bench->keys);
    assert_int_equal(buffer_allocate(&bench->platform.platform, BUFFER_SIZE, &bench->buffer), 0);
    *state = bench;
    return 0;
}

bool usb_model_bench_settle(struct usb_model_bench *bench, unsigned seconds)
{
    if (!bench->host.started)
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
    return usb_bus_wait_settled(&bench->host.bus,
                                deadline_after(&bench->platform.platform, seconds * NANOSECONDS_PER_SECOND));
}

void usb_model_bench_run(struct usb_model_bench *bench, uint64_t nanoseconds)
{
    loop_delay(&bench->loop, nanoseconds);
}

struct disk_wait {
    struct usb_model_bench *bench;
    const char *name;
    struct block_device *found;
};

static bool disk_found(void *context)
{
    struct disk_wait *wait = context;

    for (struct block_device *device = wait->bench->registry.first; device; device = device->registry_next)
        if (!wait->name[0] || !strcmp(device->name, wait->name)) {
            wait->found = device;
            return true;
        }
    wait->found = NULL;
    return false;
}

static bool disk_missing(void *context)
{
    return !disk_found(context);
}

struct block_device *usb_model_bench_disk(struct usb_model_bench *bench, const char *name, unsigned seconds)
{
    struct disk_wait wait = {.bench = bench, .name = name};

    if (!bench->host.started)
        assert_int_equal(usb_model_host_start(&bench->host, &bench->error), 0);
    loop_wait(&bench->loop, disk_found, &wait,
              deadline_after(&bench->platform.platform, seconds * NANOSECONDS_PER_SECOND));
    return wait.found;
}

bool usb_model_bench_no_disk(struct usb_model_bench *bench, const char *name, unsigned seconds)
{
    struct disk_wait wait = {.bench = bench, .name = name};

    return loop_wait(&bench->loop, disk_missing, &wait,
                     deadline_after(&bench->platform.platform, seconds * NANOSECONDS_PER_SECOND));
}

static unsigned device_violations(const struct usb_model_port *ports, unsigned count)
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
            found += device_violations(hub->ports, hub->port_count);
        }
    }
    return found;
}

int usb_model_bench_teardown(void **state)
{
    struct usb_model_bench *bench = *state;

    usb_model_host_stop(&bench->host);
    assert_null(bench->registry.first);
    if (bench->host.violations)
        print_error("a rule of the host was broken: %s\n", bench->host.violation);
    assert_int_equal(bench->host.violations, 0);
    assert_int_equal(device_violations(bench->host.ports, USB_MODEL_HOST_PORTS), 0);
    buffer_release(&bench->buffer);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}
