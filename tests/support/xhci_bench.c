/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/xhci_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/usb_bench.h"

/* --- the probe --- */

static struct xhci_probe *probe_of(struct usb_model_device *device)
{
    return (struct xhci_probe *)(void *)device;
}

/* How far it goes in this call: to what was asked for, or to where it is to answer otherwise. */
static bool answers(struct xhci_probe *probe, size_t at, size_t *count, int *answer)
{
    if (!probe->answer)
        return false;
    if (at < probe->answer_at) {
        if (*count > probe->answer_at - at)
            *count = probe->answer_at - at;
        return false;
    }
    *answer = probe->answer;
    if (!probe->answer_for_ever && probe->answer != USB_MODEL_NAK)
        probe->answer = 0;
    return true;
}

static int probe_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    struct xhci_probe *probe = probe_of(device);
    size_t count = max;
    int answer;

    (void)address;
    (void)stream;
    if (answers(probe, probe->in_at, &count, &answer))
        return answer;
    if (probe->in_packet_ends && count > probe->in_packet_ends - probe->in_at % probe->in_packet_ends)
        count = probe->in_packet_ends - probe->in_at % probe->in_packet_ends;
    if (count > XHCI_PROBE_DATA - probe->in_at)
        count = XHCI_PROBE_DATA - probe->in_at;
    memcpy(data, probe->in_data + probe->in_at, count);
    probe->in_at += count;
    return (int)count;
}

static int probe_out(struct usb_model_device *device, uint8_t address, unsigned stream, const uint8_t *data,
                     size_t length)
{
    struct xhci_probe *probe = probe_of(device);
    size_t count = length;
    int answer;

    (void)address;
    (void)stream;
    if (answers(probe, probe->out_at, &count, &answer))
        return answer;
    if (count > XHCI_PROBE_DATA - probe->out_at)
        return USB_MODEL_STALL;
    memcpy(probe->out_data + probe->out_at, data, count);
    probe->out_at += count;
    return (int)count;
}

static const struct usb_model_operations probe_operations = {.in = probe_in, .out = probe_out};

void xhci_probe_init(struct xhci_probe *probe, enum usb_speed speed, uint8_t max_streams_log2)
{
    memset(probe, 0, sizeof(*probe));
    usb_model_device_init(&probe->device, &probe_operations, speed, 0x1234, 0xff00, "PROBE");
    usb_model_add_interface(&probe->device, 0, 0, 0xff, 0xff, 0xff);
    usb_model_add_endpoint(&probe->device, 0x81, USB_ENDPOINT_BULK, 0, 0, 3, max_streams_log2);
    usb_model_add_endpoint(&probe->device, 0x02, USB_ENDPOINT_BULK, 0, 0, 3, max_streams_log2);
    probe->in_data = malloc(XHCI_PROBE_DATA);
    probe->out_data = malloc(XHCI_PROBE_DATA);
    assert_non_null(probe->in_data);
    assert_non_null(probe->out_data);
    for (size_t i = 0; i < XHCI_PROBE_DATA; i++)
        probe->in_data[i] = (uint8_t)(i * 7 + (i >> 8) + (i >> 16));
}

void xhci_probe_end(struct xhci_probe *probe)
{
    usb_model_unplug(&probe->device);
    free(probe->in_data);
    free(probe->out_data);
    probe->in_data = probe->out_data = NULL;
}

/* --- its driver --- */

struct probe_binding {
    struct usb_binding binding; /* first */
    struct usb_endpoint endpoints[2];
    unsigned count;
};

static unsigned probe_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    (void)device;
    return interface->class_code == 0xff;
}

static int probe_attach(struct usb_device *device, const struct usb_interface *interface, struct usb_binding **binding,
                        struct error *error)
{
    struct platform *platform = device->bus->platform;
    struct probe_binding *probe = platform_allocate_zeroed(platform, sizeof(*probe));

    if (!probe)
        return -ERROR_NO_MEMORY;
    int result = usb_interface_open(device, interface, 16, probe->endpoints, 2, &probe->count, error);
    if (result)
        platform_release(platform, probe);
    else
        *binding = &probe->binding;
    return result;
}

static void probe_detach(struct usb_binding *binding)
{
    struct probe_binding *probe = (struct probe_binding *)(void *)binding;

    usb_interface_close(binding->device, probe->endpoints, probe->count);
    platform_release(binding->device->bus->platform, probe);
}

static void probe_service(struct usb_binding *binding)
{
    struct xhci_bench *bench = binding->device->bus->keys->context;

    if (!bench->call.call)
        return;
    bench->call.result = bench->call.call(bench->call.context);
    bench->call.call = NULL;
    bench->call.ended = true;
}

static const struct usb_driver probe_driver = {.name = "probe",
                                               .matches = probe_matches,
                                               .attach = probe_attach,
                                               .service = probe_service,
                                               .detach = probe_detach};

const struct usb_driver *const xhci_probe_drivers[] = {&probe_driver, NULL};

static struct usb_endpoint *probe_endpoint(struct xhci_bench *bench, bool in)
{
    for (struct usb_device *device = xhci_bus(bench->xhci)->devices; device; device = device->next)
        for (struct usb_binding *binding = device->bindings; binding; binding = binding->next)
            if (binding->driver == &probe_driver) {
                struct probe_binding *probe = (struct probe_binding *)(void *)binding;
                return usb_find_endpoint(probe->endpoints, probe->count, USB_ENDPOINT_BULK, in);
            }
    return NULL;
}

struct usb_endpoint *xhci_probe_in(struct xhci_bench *bench)
{
    return probe_endpoint(bench, true);
}

struct usb_endpoint *xhci_probe_out(struct xhci_bench *bench)
{
    return probe_endpoint(bench, false);
}

/* --- the bench --- */

static void key_typed(const struct usb_keyboard_sink *sink, const struct usb_key *key)
{
    struct xhci_bench *bench = sink->context;

    (void)key;
    bench->typed_count++;
}

int xhci_bench_setup(void **state)
{
    struct xhci_bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    xhci_model_init(&bench->model, &bench->platform, &bench->loop);
    bench->keys = (struct usb_keyboard_sink){.key = key_typed, .context = bench};
    assert_int_equal(buffer_allocate(&bench->platform.platform, (4u << 20) + 4096, &bench->buffer), 0);
    *state = bench;
    return 0;
}

int xhci_bench_attach(struct xhci_bench *bench)
{
    xhci_model_start(&bench->model);
    int result = xhci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->keys, &bench->xhci,
                             &bench->error);
    if (result)
        return result;
    for (unsigned i = 0; i < bench->model.port_count; i++) {
        const struct usb_model_device *device = bench->model.ports[i].device;
        if (device && device->descriptor.vendor_id == 0x1234 && device->descriptor.product_id == 0xff00)
            xhci_bus(bench->xhci)->drivers = xhci_probe_drivers;
    }
    assert_true(usb_bus_wait_settled(xhci_bus(bench->xhci),
                                     deadline_after(&bench->platform.platform, 20 * NANOSECONDS_PER_SECOND)));
    return 0;
}

void xhci_bench_detach(struct xhci_bench *bench)
{
    xhci_detach(bench->xhci);
    bench->xhci = NULL;
    assert_null(bench->registry.first);
    assert_false(bench->model.running);
}

int xhci_bench_teardown(void **state)
{
    struct xhci_bench *bench = *state;

    if (bench->xhci)
        xhci_bench_detach(bench);
    buffer_release(&bench->buffer);
    assert_int_equal(bench->model.function.claims, bench->model.function.releases);
    if (bench->model.violations)
        print_error("the driver broke a rule: %s\n", bench->model.violation);
    assert_int_equal(bench->model.violations, 0);
    assert_int_equal(usb_bench_violations(bench->model.ports, bench->model.port_count), 0);
    if (bench->probe.in_data)
        xhci_probe_end(&bench->probe);
    if (bench->disk.device.operations)
        usb_model_disk_end(&bench->disk);
    if (bench->keyboard.device.operations)
        usb_model_keyboard_end(&bench->keyboard);
    xhci_model_end(&bench->model);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}

void xhci_bench_run(struct xhci_bench *bench, uint64_t nanoseconds)
{
    loop_delay(&bench->loop, nanoseconds);
}

struct block_device *xhci_bench_disk(struct xhci_bench *bench, const char *name, unsigned seconds)
{
    return usb_bench_disk(&bench->loop, &bench->registry, name, seconds);
}

int xhci_bench_call(struct xhci_bench *bench, int (*call)(void *context), void *context)
{
    bench->call.call = call;
    bench->call.context = context;
    bench->call.ended = false;
    usb_attention(xhci_probe_in(bench)->device);
    bool ended = loop_wait_flag(&bench->loop, &bench->call.ended,
                                deadline_after(&bench->platform.platform, 60 * NANOSECONDS_PER_SECOND));
    return ended ? bench->call.result : -ERROR_TIMEOUT;
}
