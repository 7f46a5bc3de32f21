/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What drivers ask of a device: control requests, transfers with a deadline, opening and mending endpoints, a reset of the whole device.
 * On fibers; nothing here waits for ever, and nothing is left in flight.
 */
#include <string.h>

#include "drivers/usb/usb_internal.h"

/* Policy: for the turn at a reset; every holder of it is bounded by its own deadlines. */
#define ADDRESSING_TIMEOUT (30 * NANOSECONDS_PER_SECOND)

/* Nothing may be asked of it any more. A stop in order still lets drivers flush, but ends what has only begun. */
static bool is_refused(const struct usb_device *device)
{
    const struct usb_bus *bus = device->bus;

    return device->unplugged || bus->dead || (bus->stopping && device->starting);
}

int usb_submit(struct usb_transfer *transfer)
{
    const struct usb_endpoint *endpoint = transfer->endpoint;
    struct usb_device *device = endpoint->device;
    struct usb_bus *bus = device->bus;

    if (is_refused(device) || !endpoint->open)
        return -ERROR_GONE;
    if (transfer->length > bus->limits.max_transfer || transfer->stream > endpoint->streams ||
        (endpoint->streams && !transfer->stream))
        return -ERROR_OUT_OF_RANGE;
    if (transfer->length && (!transfer->buffer || transfer->offset > transfer->buffer->size ||
                             transfer->length > transfer->buffer->size - transfer->offset))
        return -ERROR_OUT_OF_RANGE;
    transfer->ended = false;
    transfer->status = 0;
    transfer->moved = 0;
    transfer->raw_status = 0;
    return bus->operations->submit(transfer);
}

/* --- one transfer and its end --- */

static bool transfer_is_over(void *context)
{
    const struct usb_transfer *transfer = context;

    return transfer->ended || is_refused(transfer->endpoint->device);
}

struct submission {
    struct usb_transfer *transfer;
    int status;
};

static bool may_submit(void *context)
{
    struct submission *submission = context;

    submission->status = usb_submit(submission->transfer);
    return submission->status != -ERROR_FULL;
}

int usb_run(struct usb_transfer *transfer, uint64_t timeout)
{
    struct usb_bus *bus = transfer->endpoint->device->bus;
    uint64_t deadline = deadline_after(bus->platform, timeout);
    struct submission submission = {.transfer = transfer};

    if (!loop_wait(bus->loop, may_submit, &submission, deadline))
        return -ERROR_TIMEOUT;
    if (submission.status)
        return submission.status;
    bool over = loop_wait(bus->loop, transfer_is_over, transfer, deadline);
    if (transfer->ended)
        return transfer->status;
    bus->operations->endpoint_cancel(transfer->endpoint);
    /* It may have ended well in the last moment. */
    if (transfer->ended && transfer->status != -ERROR_ABORTED)
        return transfer->status;
    return over ? -ERROR_GONE : -ERROR_TIMEOUT;
}

/*
 * USB 2.0, 11.17.5: a translator keeps a transaction that failed until it is told to forget it, and takes no other one for the
 * endpoint. A hub that does not know the request has nothing to forget.
 */
static void clear_translator(const struct usb_endpoint *endpoint)
{
    const struct usb_device *device = endpoint->device;
    struct usb_device *hub = device->translator;
    unsigned number = endpoint->address & 0x0fu;

    if (!hub || is_refused(device) || is_refused(hub) ||
        (endpoint->type != USB_ENDPOINT_CONTROL && endpoint->type != USB_ENDPOINT_BULK))
        return;
    uint16_t index = (uint16_t)(hub->several_translators ? device->translator_port : 1);
    for (unsigned in = 0; in < 2; in++)
        if (endpoint->type == USB_ENDPOINT_CONTROL || in == (endpoint->address & USB_IN) / USB_IN)
            usb_control(hub, USB_TYPE_CLASS | USB_RECIPIENT_OTHER, USB_CLEAR_TT_BUFFER,
                        USB_TT_BUFFER(number, device->number, endpoint->type, in), index, NULL, 0, 0);
}

/* --- control requests --- */

static bool control_is_free(void *context)
{
    const struct usb_device *device = context;

    return !device->control_busy || is_refused(device);
}

int usb_control(struct usb_device *device, uint8_t request_type, uint8_t request, uint16_t value, uint16_t index,
                void *data, uint16_t length, uint64_t timeout)
{
    struct usb_transfer *transfer = &device->control_transfer;
    struct usb_bus *bus = device->bus;

    if (length > device->control_buffer.size || (length && !data))
        return -ERROR_OUT_OF_RANGE;
    if (!timeout)
        timeout = USB_CONTROL_TIMEOUT;
    /* The other request has a deadline of its own. */
    if (!loop_wait(bus->loop, control_is_free, device, deadline_after(bus->platform, 2 * timeout)))
        return -ERROR_TIMEOUT;
    if (is_refused(device))
        return -ERROR_GONE;
    device->control_busy = true;
    *transfer = (struct usb_transfer){.endpoint = &device->control,
                                      .setup = {request_type, request, value, index, length},
                                      .buffer = length ? &device->control_buffer : NULL,
                                      .length = length};
    if (length && !(request_type & USB_IN))
        memcpy(device->control_buffer.data, data, length);
    int status = usb_run(transfer, timeout);
    /* A stall is over with the next request; after a failure of the link the host has stopped (xHCI 1.2, 4.6.8). */
    if (status == -ERROR_IO && !is_refused(device)) {
        bus->operations->endpoint_reset(&device->control);
        clear_translator(&device->control);
    }
    size_t moved = transfer->moved < length ? transfer->moved : length;
    if (!status && moved && request_type & USB_IN)
        memcpy(data, device->control_buffer.data, moved);
    device->control_busy = false;
    return status ? status : (int)moved;
}

/* --- interfaces --- */

static bool has_alternates(const struct usb_device *device, uint8_t number)
{
    unsigned count = 0;

    for (unsigned i = 0; i < device->interface_count; i++)
        count += device->interfaces[i].number == number;
    return count > 1;
}

static bool is_open(const struct usb_device *device, uint8_t address)
{
    for (unsigned i = 0; i < USB_INTERFACES_MAX; i++)
        for (unsigned j = 0; j < device->openings[i].count; j++)
            if (device->openings[i].endpoints[j].address == address)
                return true;
    return false;
}

static struct usb_opening *find_opening(struct usb_device *device, const struct usb_endpoint *endpoints)
{
    for (unsigned i = 0; i < USB_INTERFACES_MAX; i++)
        if (device->openings[i].endpoints == endpoints)
            return &device->openings[i];
    return NULL;
}

/* Endpoints as in `opening`, at the host and at the device. All or none. */
static int opening_begin(struct usb_device *device, const struct usb_opening *opening)
{
    const struct usb_interface *interface = opening->interface;
    struct usb_bus *bus = device->bus;

    for (unsigned i = 0; i < opening->count; i++) {
        struct usb_endpoint *endpoint = &opening->endpoints[i];
        uint32_t streams =
            endpoint->type == USB_ENDPOINT_BULK && endpoint->max_streams_log2 ? 1u << endpoint->max_streams_log2 : 0;
        if (streams > opening->streams)
            streams = opening->streams;
        if (streams > bus->limits.max_streams)
            streams = bus->limits.max_streams;
        endpoint->streams = (uint16_t)streams;
    }
    if (opening->count) {
        int status = bus->operations->endpoints_open(device, opening->endpoints, opening->count);
        if (status)
            return status;
    }
    for (unsigned i = 0; i < opening->count; i++)
        opening->endpoints[i].open = true;
    if (!has_alternates(device, interface->number))
        return 0;
    int status = usb_control(device, USB_RECIPIENT_INTERFACE, USB_SET_INTERFACE, interface->alternate,
                             interface->number, NULL, 0, 0);
    return status < 0 ? status : 0;
}

int usb_interface_open(struct usb_device *device, const struct usb_interface *interface, unsigned streams,
                       struct usb_endpoint *endpoints, unsigned max, unsigned *count, struct error *error)
{
    unsigned found = usb_parse_endpoints(interface, endpoints, max);
    struct usb_opening *opening = find_opening(device, NULL);

    *count = 0;
    if (is_refused(device))
        return error_set(error, ERROR_GONE, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "unplugged");
    if (found > max)
        found = max;
    for (unsigned i = 0; i < found; i++)
        if (is_open(device, endpoints[i].address))
            return error_set(error, ERROR_PROTOCOL, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                             "two interfaces have the endpoint %02xh", endpoints[i].address);
    if (!opening)
        return error_set(error, ERROR_PROTOCOL, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "too many interfaces");
    *opening =
        (struct usb_opening){interface, endpoints, found, (uint16_t)(streams < UINT16_MAX ? streams : UINT16_MAX)};
    *count = found;
    int status = opening_begin(device, opening);
    if (!status)
        return 0;
    usb_interface_close(device, endpoints, found);
    *count = 0;
    return error_set(error, (enum error_code) - status, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                     "interface %u, setting %u", interface->number, interface->alternate);
}

void usb_interface_close(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count)
{
    struct usb_opening *opening = find_opening(device, endpoints);

    if (opening)
        *opening = (struct usb_opening){0};
    if (!count || !endpoints[0].open)
        return;
    for (unsigned i = 0; i < count; i++)
        endpoints[i].open = false;
    if (device->at_host)
        device->bus->operations->endpoints_close(device, endpoints, count);
}

/* --- recovery --- */

int usb_endpoint_cancel(struct usb_endpoint *endpoint)
{
    if (!endpoint->open)
        return -ERROR_GONE;
    return endpoint->device->bus->operations->endpoint_cancel(endpoint);
}

int usb_endpoint_reset(struct usb_endpoint *endpoint)
{
    struct usb_device *device = endpoint->device;

    if (is_refused(device) || !endpoint->open)
        return -ERROR_GONE;
    int status = device->bus->operations->endpoint_reset(endpoint);
    if (status)
        return status;
    clear_translator(endpoint);
    status = usb_control(device, USB_RECIPIENT_ENDPOINT, USB_CLEAR_FEATURE, USB_FEATURE_ENDPOINT_HALT,
                         endpoint->address, NULL, 0, 0);
    return status < 0 ? status : 0;
}

/* --- reset of the device --- */

static bool may_address(void *context)
{
    const struct usb_device *device = context;

    return !device->bus->addressing || is_refused(device);
}

static bool is_lost(void *context)
{
    return is_refused(context);
}

bool usb_device_may_reset(const struct usb_device *device)
{
    const struct usb_device *above = device->hub->device;

    return !device->bus->addressing && (!above || !above->control_busy);
}

/* The port, then the host: Default state, and an address again. */
static int reset_port(struct usb_device *device)
{
    struct usb_bus *bus = device->bus;
    struct usb_hub *hub = device->hub;
    struct usb_port_state state;

    int status = usb_port_reset(hub, device->port, false, false, &state);
    if (!status && state.speed != device->speed)
        status = -ERROR_GONE;
    if (!status)
        loop_wait(bus->loop, is_lost, device, deadline_after(bus->platform, USB_RESET_RECOVERY_TIME));
    if (!status && is_refused(device))
        status = -ERROR_GONE;
    if (!status)
        status = bus->operations->device_reset(device);
    for (unsigned i = 0; !status && i < USB_INTERFACES_MAX; i++)
        for (unsigned j = 0; j < device->openings[i].count; j++)
            device->openings[i].endpoints[j].open = false;
    if (!status)
        status = bus->operations->device_address(device);
    if (status && device->speed < USB_SPEED_SUPER && !is_refused(device))
        hub->operations->port_disable(hub, device->port);
    return status;
}

static int reset_device(struct usb_device *device)
{
    struct usb_bus *bus = device->bus;
    struct usb_hub *hub = device->hub;

    if (!loop_wait(bus->loop, may_address, device, deadline_after(bus->platform, ADDRESSING_TIMEOUT)))
        return -ERROR_TIMEOUT;
    if (is_refused(device))
        return -ERROR_GONE;
    bus->addressing = device->addressing = true;
    usb_port_set(hub->held, device->port);
    int status = reset_port(device);
    usb_device_addressed(device);
    usb_port_clear(hub->held, device->port);
    usb_port_changed(hub, device->port);
    if (!status)
        status = usb_device_compare(device);
    if (!status)
        status = usb_control(device, 0, USB_SET_CONFIGURATION, device->configuration_value, 0, NULL, 0, 0);
    for (unsigned i = 0; status >= 0 && i < USB_INTERFACES_MAX; i++)
        if (device->openings[i].interface)
            status = opening_begin(device, &device->openings[i]);
    return status < 0 ? status : 0;
}

int usb_device_reset(struct usb_device *device)
{
    struct platform *platform = device->bus->platform;

    if (is_refused(device))
        return -ERROR_GONE;
    platform_log(platform, LOG_INFO, "%s: reset", device->name);
    int status = reset_device(device);
    if (!status)
        return 0;
    platform_log(platform, LOG_WARNING, "%s: is not the same after a reset: %s", device->name,
                 error_code_name((enum error_code) - status));
    usb_device_unplug(device);
    return -ERROR_GONE;
}
