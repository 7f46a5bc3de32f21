/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/usb_model_host.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* Completion codes as xHCI numbers them (1.2, table 6-90), for raw_status. */
#define RAW_SUCCESS 1
#define RAW_BABBLE 3
#define RAW_TRANSACTION 4
#define RAW_STALL 6
#define RAW_SHORT 13
#define RAW_STOPPED 26

/* An open endpoint. */
struct usb_model_pipe {
    struct usb_model_pipe *next;
    struct usb_model_host *host;
    struct usb_model_slot *slot;
    struct usb_endpoint *endpoint;
    uint8_t address;
    enum usb_endpoint_type type;
    uint16_t max_packet, streams;
    uint32_t sequence;
    bool halted, checked;
    struct usb_transfer *first, *ending; /* in order; those that poll() ends with ending_status */
    int ending_status;
};

struct usb_model_slot {
    struct usb_device *device;
    struct usb_model_device *model; /* may be gone: look at present() first */
    unsigned number;
    uint8_t address; /* 0: Default state */
    struct usb_model_pipe *control;
};

static void violation(struct usb_model_host *host, const char *what)
{
    host->violations++;
    host->violation = what;
}

static uint64_t random_next(struct usb_model_host *host)
{
    host->random ^= host->random << 13;
    host->random ^= host->random >> 7;
    host->random ^= host->random << 17;
    return host->random;
}

static struct usb_model_host *host_of(const struct usb_device *device)
{
    return device->bus->host;
}

/* --- operations that wait --- */

/* True when the operation is to fail with *result. */
static bool begin(struct usb_model_host *host, enum usb_model_host_operation operation, int *result)
{
    host->calls[operation]++;
    *result = 0;
    if (operation != USB_MODEL_SUBMIT && host->polling)
        violation(host, "an operation that waits was called inside poll()");
    if (host->died && operation != USB_MODEL_ENDPOINTS_CLOSE && operation != USB_MODEL_DEVICE_CLOSE)
        *result = -ERROR_GONE;
    else
        *result = host->results[operation];
    if (*result && !host->died && host->result_times && !--host->result_times)
        host->results[operation] = 0;
    return *result != 0;
}

static void pass_time(struct usb_model_host *host)
{
    if (host->operation_time)
        loop_delay(host->loop, host->operation_time);
}

/* --- pipes and transfers --- */

static void end_transfer(struct usb_model_host *host, struct usb_transfer *transfer, int status, uint32_t raw)
{
    transfer->next = NULL;
    transfer->status = status;
    transfer->raw_status = raw;
    transfer->moved = (size_t)transfer->host_data[0];
    transfer->ended = true;
    host->transfers++;
    if (transfer->done)
        transfer->done(transfer);
}

static void end_endings(struct usb_model_host *host, struct usb_model_pipe *pipe)
{
    while (pipe->ending) {
        struct usb_transfer *transfer = pipe->ending;
        pipe->ending = transfer->next;
        end_transfer(host, transfer, pipe->ending_status, RAW_STOPPED);
    }
}

/* All that is queued will end in the next poll. */
static void doom(struct usb_model_pipe *pipe, int status)
{
    struct usb_transfer **link = &pipe->ending;

    while (*link)
        link = &(*link)->next;
    *link = pipe->first;
    pipe->first = NULL;
    pipe->ending_status = status;
}

static bool doomed_ended(void *context)
{
    const struct usb_model_pipe *pipe = context;

    return !pipe->ending;
}

static void wait_for_end(struct usb_model_host *host, struct usb_model_pipe *pipe)
{
    if (!loop_wait(host->loop, doomed_ended, pipe, deadline_after(host->loop->platform, NANOSECONDS_PER_SECOND)))
        violation(host, "the loop did not poll while an operation waited");
}

static struct usb_model_pipe *open_pipe(struct usb_model_slot *slot, struct usb_endpoint *endpoint)
{
    struct usb_model_host *host = host_of(slot->device);
    struct usb_model_pipe *pipe = calloc(1, sizeof(*pipe));

    if (!pipe)
        abort();
    pipe->host = host;
    pipe->slot = slot;
    pipe->endpoint = endpoint;
    pipe->address = endpoint->address;
    pipe->type = endpoint->type;
    pipe->max_packet = endpoint->max_packet;
    struct usb_model_pipe **link = &host->pipes;
    while (*link)
        link = &(*link)->next;
    *link = pipe;
    endpoint->host = pipe;
    endpoint->open = true;
    host->open_endpoints++;
    return pipe;
}

static void close_pipe(struct usb_model_pipe *pipe, int status)
{
    struct usb_model_host *host = pipe->host;
    struct usb_model_pipe **link = &host->pipes;

    pipe->endpoint->host = NULL;
    pipe->endpoint->open = false;
    doom(pipe, status);
    wait_for_end(host, pipe);
    while (*link != pipe)
        link = &(*link)->next;
    *link = pipe->next;
    host->open_endpoints--;
    free(pipe);
}

static struct usb_model_pipe *slot_pipe(const struct usb_model_slot *slot, bool with_control)
{
    for (struct usb_model_pipe *pipe = host_of(slot->device)->pipes; pipe; pipe = pipe->next)
        if (pipe->slot == slot && (with_control || pipe != slot->control))
            return pipe;
    return NULL;
}

/* --- devices --- */

static struct usb_model_device *look_up(struct usb_model_host *host, const struct usb_device *device)
{
    if (device->root_port < 1 || device->root_port > USB_MODEL_HOST_PORTS) {
        violation(host, "a root port that is not there");
        return NULL;
    }
    return usb_model_at_route(&host->ports[device->root_port - 1], device->route);
}

/* The device behind the slot, if it is still the one that was addressed. */
static struct usb_model_device *present(struct usb_model_host *host, const struct usb_model_slot *slot)
{
    struct usb_model_device *model = look_up(host, slot->device);

    if (!model || model != slot->model || !usb_model_reachable(model) || model->address != slot->address ||
        (!slot->address && !model->in_default_state))
        return NULL;
    return model;
}

static unsigned count_default(const struct usb_model_port *ports, unsigned count)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct usb_model_device *device = ports[i].device;
        if (!device || !ports[i].enabled || ports[i].super)
            continue;
        found += device->in_default_state;
        if (device->descriptor.class_code == USB_CLASS_HUB) {
            const struct usb_model_hub *hub = (const struct usb_model_hub *)(const void *)device;
            found += count_default(hub->ports, hub->port_count);
        }
    }
    return found;
}

/* Low and full speed devices behind high-speed hubs need the translator of the nearest one (xHCI 1.2, 6.2.2). */
static void check_translator(struct usb_model_host *host, const struct usb_device *device,
                             const struct usb_model_device *model)
{
    const struct usb_model_device *hub = NULL;
    unsigned port = 0;

    if (model->speed < USB_SPEED_HIGH)
        for (const struct usb_model_port *at = model->port; at && at->hub && !hub; at = at->hub->port)
            if (at->hub->speed == USB_SPEED_HIGH) {
                hub = at->hub;
                port = at->number;
            }
    const struct usb_model_slot *translator = device->translator ? device->translator->host : NULL;
    if ((translator ? translator->model : NULL) != hub || (hub && device->translator_port != port))
        violation(host, "a wrong transaction translator");
}

static int device_open(struct usb_device *device)
{
    struct usb_model_host *host = host_of(device);
    unsigned number = 0;
    int result;

    if (begin(host, USB_MODEL_DEVICE_OPEN, &result))
        return result;
    while (number < USB_MODEL_HOST_DEVICES && host->slots[number])
        number++;
    if (number == USB_MODEL_HOST_DEVICES || host->open_devices >= host->bus.limits.slots)
        return -ERROR_NO_MEMORY;
    if (device->host)
        violation(host, "a device was opened twice");
    struct usb_model_slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        abort();
    slot->device = device;
    slot->number = number;
    slot->model = look_up(host, device);
    if (slot->model && slot->model->speed != device->speed)
        violation(host, "a wrong speed");
    if (slot->model)
        check_translator(host, device, slot->model);
    host->slots[number] = slot;
    host->open_devices++;
    device->host = slot;
    slot->control = open_pipe(slot, &device->control);
    pass_time(host);
    return 0;
}

static int device_address(struct usb_device *device)
{
    struct usb_model_host *host = host_of(device);
    struct usb_model_slot *slot = device->host;
    int result;

    if (begin(host, USB_MODEL_DEVICE_ADDRESS, &result))
        return result;
    if (!slot || slot->address) {
        violation(host, "a device was addressed that is not in the Default state");
        return -ERROR_PROTOCOL;
    }
    struct usb_model_device *model = present(host, slot);
    if (model && !model->port->super && count_default(host->ports, USB_MODEL_HOST_PORTS) > 1)
        violation(host, "two devices are in the Default state");
    result = model ? usb_model_set_address(model, (uint8_t)(slot->number + 1)) : USB_MODEL_ERROR;
    if (!result)
        slot->address = device->number = (uint8_t)(slot->number + 1);
    pass_time(host);
    return !result                     ? 0
           : result == USB_MODEL_STALL ? -ERROR_REFUSED
           : result == USB_MODEL_NAK   ? -ERROR_TIMEOUT
                                       : -ERROR_IO;
}

static int control_update(struct usb_device *device)
{
    struct usb_model_host *host = host_of(device);
    struct usb_model_slot *slot = device->host;
    int result;

    if (begin(host, USB_MODEL_CONTROL_UPDATE, &result))
        return result;
    slot->control->max_packet = device->control.max_packet;
    pass_time(host);
    return 0;
}

static int hub_update(struct usb_device *device, unsigned ports, bool multiple_translators, unsigned think_time)
{
    struct usb_model_host *host = host_of(device);
    struct usb_model_slot *slot = device->host;
    int result;

    if (begin(host, USB_MODEL_HUB_UPDATE, &result))
        return result;
    const struct usb_model_device *model = present(host, slot);
    if (model && (model->descriptor.class_code != USB_CLASS_HUB || !ports))
        violation(host, "a hub that is none");
    host->last_hub = device;
    host->last_hub_ports = ports;
    host->last_hub_multiple = multiple_translators;
    host->last_hub_think_time = think_time;
    pass_time(host);
    return 0;
}

static int device_reset(struct usb_device *device)
{
    struct usb_model_host *host = host_of(device);
    struct usb_model_slot *slot = device->host;
    struct usb_model_pipe *pipe;
    int result;

    if (begin(host, USB_MODEL_DEVICE_RESET, &result))
        return result;
    while ((pipe = slot_pipe(slot, false)))
        close_pipe(pipe, -ERROR_ABORTED);
    doom(slot->control, -ERROR_ABORTED);
    wait_for_end(host, slot->control);
    slot->control->halted = false;
    slot->control->max_packet = device->control.max_packet;
    slot->address = 0;
    slot->model = look_up(host, device);
    if (slot->model && !slot->model->in_default_state)
        violation(host, "the port was not reset before the device");
    pass_time(host);
    return 0;
}

static void device_close(struct usb_device *device)
{
    struct usb_model_host *host = host_of(device);
    struct usb_model_slot *slot = device->host;
    struct usb_model_pipe *pipe;
    int result;

    begin(host, USB_MODEL_DEVICE_CLOSE, &result);
    if (!slot) {
        violation(host, "a device was closed that is not open");
        return;
    }
    while ((pipe = slot_pipe(slot, true)))
        close_pipe(pipe, -ERROR_GONE);
    host->slots[slot->number] = NULL;
    host->open_devices--;
    device->host = NULL;
    free(slot);
    pass_time(host);
}

/* --- endpoints --- */

static int endpoints_open(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count)
{
    struct usb_model_host *host = host_of(device);
    struct usb_model_slot *slot = device->host;
    int result;

    if (begin(host, USB_MODEL_ENDPOINTS_OPEN, &result))
        return result;
    if (!slot->address) {
        violation(host, "endpoints were opened in the Default state");
        return -ERROR_PROTOCOL;
    }
    for (unsigned i = 0; i < count; i++) {
        struct usb_endpoint *endpoint = &endpoints[i];
        for (const struct usb_model_pipe *pipe = host->pipes; pipe; pipe = pipe->next)
            if (pipe->slot == slot && pipe->address == endpoint->address)
                violation(host, "an endpoint was opened twice");
        if (endpoint->device != device || !(endpoint->address & 0xf) || !endpoint->max_packet)
            violation(host, "an endpoint that makes no sense was opened");
        unsigned streams = endpoint->max_streams_log2 ? 1u << endpoint->max_streams_log2 : 0;
        if (streams > host->bus.limits.max_streams)
            streams = host->bus.limits.max_streams;
        if (endpoint->streams > streams)
            endpoint->streams = (uint16_t)streams;
        open_pipe(slot, endpoint)->streams = endpoint->streams;
    }
    pass_time(host);
    return 0;
}

static void endpoints_close(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count)
{
    struct usb_model_host *host = host_of(device);
    int result;

    begin(host, USB_MODEL_ENDPOINTS_CLOSE, &result);
    for (unsigned i = 0; i < count; i++)
        if (endpoints[i].host)
            close_pipe(endpoints[i].host, -ERROR_ABORTED);
    pass_time(host);
}

static int endpoint_reset(struct usb_endpoint *endpoint)
{
    struct usb_model_host *host = host_of(endpoint->device);
    struct usb_model_pipe *pipe = endpoint->host;
    int result;

    if (begin(host, USB_MODEL_ENDPOINT_RESET, &result))
        return result;
    if (!pipe)
        return -ERROR_GONE;
    doom(pipe, -ERROR_ABORTED);
    wait_for_end(host, pipe);
    pipe->halted = false;
    pipe->sequence = 0;
    pass_time(host);
    return 0;
}

static int endpoint_cancel(struct usb_endpoint *endpoint)
{
    struct usb_model_host *host = host_of(endpoint->device);
    struct usb_model_pipe *pipe = endpoint->host;
    int result;

    if (begin(host, USB_MODEL_ENDPOINT_CANCEL, &result))
        return result;
    if (!pipe)
        return -ERROR_GONE;
    doom(pipe, -ERROR_ABORTED);
    wait_for_end(host, pipe);
    pass_time(host);
    return 0;
}

/* --- submitting and moving --- */

static bool queued(const struct usb_model_pipe *pipe, const struct usb_transfer *transfer)
{
    for (const struct usb_transfer *at = pipe->first; at; at = at->next)
        if (at == transfer)
            return true;
    return false;
}

static int refuse(struct usb_model_host *host, const char *what)
{
    violation(host, what);
    return -ERROR_OUT_OF_RANGE;
}

static int host_submit(struct usb_transfer *transfer)
{
    struct usb_endpoint *endpoint = transfer->endpoint;
    struct usb_model_host *host = host_of(endpoint->device);
    struct usb_model_pipe *pipe = endpoint->host;
    unsigned depth = 0;
    int result;

    if (begin(host, USB_MODEL_SUBMIT, &result))
        return result;
    if (!pipe)
        return -ERROR_GONE;
    if (transfer->length > host->bus.limits.max_transfer)
        return refuse(host, "a transfer that is too long");
    if (transfer->length && (!transfer->buffer || transfer->offset > transfer->buffer->size ||
                             transfer->length > transfer->buffer->size - transfer->offset))
        return refuse(host, "a transfer outside of its buffer");
    if (pipe->streams ? !transfer->stream || transfer->stream > pipe->streams : transfer->stream != 0)
        return refuse(host, "a stream that is not there");
    if (pipe->type == USB_ENDPOINT_CONTROL && transfer->setup.length != transfer->length)
        return refuse(host, "a control request whose lengths differ");
    if (queued(pipe, transfer))
        return refuse(host, "a transfer was submitted twice");
    struct usb_transfer **link = &pipe->first;
    for (; *link; link = &(*link)->next)
        depth += (*link)->stream == transfer->stream;
    if (depth >= host->bus.limits.queue_depth)
        return -ERROR_FULL;
    if (depth + 1 > host->most_queued)
        host->most_queued = depth + 1;
    transfer->next = NULL;
    transfer->ended = false;
    transfer->status = 0;
    transfer->moved = 0;
    transfer->raw_status = 0;
    memset(transfer->host_data, 0, sizeof(transfer->host_data));
    *link = transfer;
    return 0;
}

/* What the packet size of endpoint 0 makes of a request when the host's idea of it is wrong. */
static int control_result(const struct usb_model_pipe *pipe, const struct usb_model_device *model,
                          const struct usb_transfer *transfer, int result)
{
    int real = model->speed >= USB_SPEED_SUPER ? 512 : model->descriptor.max_packet;

    if (result <= 0 || !(transfer->setup.request_type & USB_IN))
        return result;
    if (real > pipe->max_packet && result > pipe->max_packet)
        return USB_MODEL_BABBLE;
    if (real < pipe->max_packet && result > real)
        return real;
    return result;
}

static int move_control(struct usb_model_pipe *pipe, struct usb_model_device *model, struct usb_transfer *transfer)
{
    uint8_t *data = transfer->length ? (uint8_t *)transfer->buffer->data + transfer->offset : NULL;
    uint8_t *copy = malloc(transfer->length + 1);

    if (!copy)
        abort();
    if (data)
        memcpy(copy, data, transfer->length);
    int result = control_result(pipe, model, transfer, usb_model_control(model, &transfer->setup, copy));
    if (result > 0 && transfer->setup.request_type & USB_IN)
        memcpy(data, copy, (size_t)result);
    free(copy);
    if (result >= 0)
        transfer->host_data[0] = (uint64_t)result;
    return result;
}

/* Bytes when the transfer is complete; NAK as long as it goes on; or how it failed. */
static int move_data(struct usb_model_pipe *pipe, struct usb_model_device *model, struct usb_transfer *transfer)
{
    size_t moved = (size_t)transfer->host_data[0], left = transfer->length - moved;
    uint8_t *data = transfer->length ? (uint8_t *)transfer->buffer->data + transfer->offset + moved : NULL;
    uint16_t packet = usb_model_packet_size(model, pipe->address);
    uint8_t none;

    if (!pipe->checked && packet && packet != pipe->max_packet)
        violation(pipe->host, "a packet size other than the descriptor's");
    pipe->checked = true;
    int result =
        pipe->address & USB_IN
            ? usb_model_in(model, pipe->address, transfer->stream, data ? data : &none, left, &pipe->sequence)
            : usb_model_out(model, pipe->address, transfer->stream, data ? data : &none, left, &pipe->sequence);
    if (result < 0)
        return result;
    transfer->host_data[0] += (uint64_t)result;
    if ((size_t)result == left || (pipe->address & USB_IN && (!result || result % pipe->max_packet)))
        return (int)transfer->host_data[0];
    return USB_MODEL_NAK;
}

/* True when the transfer has ended and is out of the queue. */
static bool move(struct usb_model_host *host, struct usb_model_pipe *pipe, struct usb_transfer **link)
{
    struct usb_transfer *transfer = *link;
    struct usb_model_device *model = present(host, pipe->slot);
    int result = USB_MODEL_ERROR, status = 0;
    uint32_t raw = RAW_SUCCESS;

    if (model)
        result =
            pipe->type == USB_ENDPOINT_CONTROL ? move_control(pipe, model, transfer) : move_data(pipe, model, transfer);
    if (result == USB_MODEL_NAK || result == USB_MODEL_NOT_READY || (!model && host->silent))
        return false;
    if (result == USB_MODEL_STALL) {
        status = -ERROR_REFUSED;
        raw = RAW_STALL;
        pipe->halted = pipe->type != USB_ENDPOINT_CONTROL;
    } else if (result < 0) {
        status = -ERROR_IO;
        raw = result == USB_MODEL_BABBLE ? RAW_BABBLE : RAW_TRANSACTION;
        pipe->halted = true;
    } else if (transfer->host_data[0] < transfer->length) {
        raw = RAW_SHORT;
    }
    *link = transfer->next;
    end_transfer(host, transfer, status, raw);
    return true;
}

/* The first of each stream may move; one of them does, any. */
static bool move_pipe(struct usb_model_host *host, struct usb_model_pipe *pipe)
{
    uint8_t seen[8192] = {0}; /* one bit per stream ID */
    unsigned skip = pipe->streams ? (unsigned)(random_next(host) % 4) : 0;

    for (unsigned round = 0; round < 2; round++) {
        memset(seen, 0, sizeof(seen));
        for (struct usb_transfer **link = &pipe->first; *link && !pipe->halted; link = &(*link)->next) {
            unsigned stream = (*link)->stream;
            if (seen[stream / 8] & 1u << stream % 8)
                continue;
            seen[stream / 8] |= (uint8_t)(1u << stream % 8);
            if (skip && !round) {
                skip--;
                continue;
            }
            if (move(host, pipe, link))
                return true;
        }
    }
    return false;
}

static bool host_poll(struct pollable *pollable)
{
    struct usb_model_host *host =
        (struct usb_model_host *)(void *)((char *)pollable - offsetof(struct usb_model_host, pollable));
    struct usb_model_pipe *pipes[512];
    unsigned count = 0, moved = 0;
    bool happened = false;

    for (unsigned i = 0; i < USB_MODEL_HOST_PORTS; i++)
        usb_model_port_update(&host->ports[i]);
    host->polling++;
    for (struct usb_model_pipe *pipe = host->pipes; pipe; pipe = pipe->next) {
        happened = happened || pipe->ending;
        end_endings(host, pipe);
        if (pipe->first && count < 512)
            pipes[count++] = pipe;
    }
    unsigned start = count ? (unsigned)(random_next(host) % count) : 0;
    for (unsigned i = 0; i < count && moved < host->pace && !host->frozen && !host->died; i++)
        moved += move_pipe(host, pipes[(start + i) % count]);
    host->polling--;
    return happened || moved;
}

static const struct usb_host_operations host_operations = {
    .device_open = device_open,
    .device_address = device_address,
    .control_update = control_update,
    .hub_update = hub_update,
    .endpoints_open = endpoints_open,
    .endpoints_close = endpoints_close,
    .endpoint_reset = endpoint_reset,
    .endpoint_cancel = endpoint_cancel,
    .device_reset = device_reset,
    .device_close = device_close,
    .submit = host_submit,
};

/* --- the root hub --- */

static struct usb_model_port *root_port(struct usb_hub *hub, unsigned port)
{
    struct usb_model_host *host = hub->host;

    if (port < 1 || port > USB_MODEL_HOST_PORTS) {
        violation(host, "a root port that is not there");
        return NULL;
    }
    usb_model_port_update(&host->ports[port - 1]);
    return &host->ports[port - 1];
}

static int root_port_state(struct usb_hub *hub, unsigned number, struct usb_port_state *state)
{
    struct usb_model_port *port = root_port(hub, number);

    if (!port)
        return -ERROR_OUT_OF_RANGE;
    *state = (struct usb_port_state){
        .connected = port->device && port->powered,
        .enabled = port->enabled,
        .powered = port->powered,
        .resetting = port->resetting,
        .over_current = port->over_current,
        .connect_changed = port->connect_changed,
        .reset_changed = port->reset_changed,
        .needs_warm_reset = port->inactive,
        .speed = port->device && (port->enabled || port->super) ? port->device->speed : USB_SPEED_NONE,
    };
    port->connect_changed = port->reset_changed = port->enable_changed = port->warm_reset_changed = false;
    port->over_current_changed = port->link_changed = false;
    return 0;
}

static int root_port_reset(struct usb_hub *hub, unsigned number, bool warm)
{
    struct usb_model_port *port = root_port(hub, number);

    if (!port || (warm && !port->super))
        return refuse(hub->host, "a warm reset of a USB 2 port");
    usb_model_port_reset(port, warm);
    return 0;
}

static int root_port_disable(struct usb_hub *hub, unsigned number)
{
    struct usb_model_port *port = root_port(hub, number);

    if (port)
        usb_model_port_disable(port);
    return port ? 0 : -ERROR_OUT_OF_RANGE;
}

static int root_port_power(struct usb_hub *hub, unsigned number)
{
    struct usb_model_port *port = root_port(hub, number);

    if (port)
        usb_model_port_power(port, true);
    return port ? 0 : -ERROR_OUT_OF_RANGE;
}

static const struct usb_hub_operations root_operations = {
    .port_state = root_port_state,
    .port_reset = root_port_reset,
    .port_disable = root_port_disable,
    .port_power = root_port_power,
};

static void root_changed(struct usb_model_port *port, void *context)
{
    struct usb_model_host *host = context;

    if (host->started && !host->died)
        usb_bus_port_changed(&host->bus, port->number);
}

/* --- life --- */

void usb_model_host_init(struct usb_model_host *host, struct loop *loop, struct block_registry *registry,
                         const struct usb_keyboard_sink *keys)
{
    memset(host, 0, sizeof(*host));
    host->loop = loop;
    host->operation_time = 100 * NANOSECONDS_PER_MICROSECOND;
    host->pace = 4;
    host->random = 0x9e3779b97f4a7c15ull;
    for (unsigned i = 0; i < USB_MODEL_HOST_PORTS; i++) {
        usb_model_port_init(&host->ports[i], loop->platform, i + 1, i & 1, NULL);
        host->ports[i].changed = root_changed;
        host->ports[i].context = host;
        host->ports[i].powered = true;
    }
    host->root = (struct usb_hub){.operations = &root_operations,
                                  .bus = &host->bus,
                                  .ports = USB_MODEL_HOST_PORTS,
                                  .power_good_delay = 20 * NANOSECONDS_PER_MILLISECOND,
                                  .host = host};
    host->bus = (struct usb_bus){
        .operations = &host_operations,
        .limits = {.max_transfer = 1 << 20, .queue_depth = 64, .max_streams = 64, .slots = USB_MODEL_HOST_DEVICES},
        .loop = loop,
        .platform = loop->platform,
        .registry = registry,
        .keys = keys,
        .host = host,
        .name = "model",
        .root = &host->root};
    host->pollable.poll = host_poll;
}

int usb_model_host_start(struct usb_model_host *host, struct error *error)
{
    loop_add(host->loop, &host->pollable);
    host->started = true;
    int result = usb_bus_start(&host->bus, error);
    if (result) {
        host->started = false;
        loop_remove(host->loop, &host->pollable);
    }
    return result;
}

void usb_model_host_stop(struct usb_model_host *host)
{
    if (!host->started)
        return;
    usb_bus_stop(&host->bus);
    host->started = false;
    loop_remove(host->loop, &host->pollable);
    if (host->open_devices || host->open_endpoints)
        violation(host, "devices or endpoints were left open");
}

void usb_model_host_die(struct usb_model_host *host)
{
    host->died = true;
    host->polling++;
    for (struct usb_model_pipe *pipe = host->pipes; pipe; pipe = pipe->next) {
        doom(pipe, -ERROR_GONE);
        end_endings(host, pipe);
    }
    host->polling--;
    usb_bus_die(&host->bus);
}
