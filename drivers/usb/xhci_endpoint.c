/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Endpoints: opening, stopping, getting well again. xHCI 1.2, sections 4.6.6 to 4.6.10, 4.8 and 4.12. */
#include <string.h>

#include "drivers/usb/xhci_internal.h"

#define STOP_TIME (100 * NANOSECONDS_PER_MILLISECOND) /* policy: starts were seen to take milliseconds */
#define STOP_RETRY_TIME NANOSECONDS_PER_MILLISECOND

/* ---- life ---- */

static unsigned endpoint_index(const struct usb_endpoint *endpoint)
{
    unsigned number = endpoint->address & 0xfu;
    if (endpoint->type == USB_ENDPOINT_CONTROL || !number)
        return 1;
    return 2 * number + (endpoint->address >> 7);
}

static int rings_create(struct xhci_endpoint *endpoint, unsigned streams)
{
    struct xhci *xhci = endpoint->slot->xhci;
    bool long_ring = endpoint->type == USB_ENDPOINT_BULK && !streams;
    unsigned pages = long_ring ? XHCI_BULK_RING_PAGES : XHCI_RING_PAGES;
    unsigned count = streams ? streams : 1;

    endpoint->rings = platform_allocate_zeroed(xhci->platform, count * sizeof(*endpoint->rings));
    if (!endpoint->rings)
        return -ERROR_NO_MEMORY;
    /* 6.1: a ring segment does not cross 64 KiB: a page never does, longer ones are aligned to their size. */
    int result = xhci_memory_allocate(xhci, pages * count, long_ring, &endpoint->memory);
    if (result)
        return result;
    endpoint->ring_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct xhci_ring *ring = &endpoint->rings[i];
        size_t offset = (size_t)i * pages * XHCI_PAGE;
        xhci_ring_init(ring, (uint8_t *)endpoint->memory.data + offset, endpoint->memory.address + offset, pages,
                       xhci->command_ring.link_flags);
        ring->endpoint = endpoint;
        ring->stream = (uint16_t)(streams ? i + 1 : 0);
    }
    return 0;
}

struct xhci_endpoint *xhci_endpoint_create(struct xhci_slot *slot, struct usb_endpoint *usb, unsigned streams)
{
    struct xhci *xhci = slot->xhci;
    struct xhci_endpoint *endpoint = platform_allocate_zeroed(xhci->platform, sizeof(*endpoint));

    if (!endpoint)
        return NULL;
    endpoint->slot = slot;
    endpoint->endpoint = usb;
    endpoint->index = endpoint_index(usb);
    endpoint->type = usb->type;
    endpoint->in = usb->address & USB_IN;
    endpoint->max_packet = usb->max_packet;
    int result = rings_create(endpoint, streams);
    if (!result && streams) {
        /* 6.2.3.4: entry 0 is reserved; 2^n of them, at least four */
        endpoint->stream_array_size = 4;
        while (endpoint->stream_array_size < streams + 1)
            endpoint->stream_array_size *= 2;
        result = xhci_memory_allocate(xhci, 1, false, &endpoint->stream_array);
    }
    if (result) {
        xhci_endpoint_free(endpoint);
        return NULL;
    }
    return endpoint;
}

void xhci_endpoint_free(struct xhci_endpoint *endpoint)
{
    struct xhci *xhci = endpoint->slot->xhci;

    if (!endpoint->slot->lost) {
        xhci_memory_release(xhci, &endpoint->memory);
        xhci_memory_release(xhci, &endpoint->stream_array);
    }
    platform_release(xhci->platform, endpoint->rings);
    platform_release(xhci->platform, endpoint);
}

/* ---- commands on one endpoint ---- */

static struct xhci_trb endpoint_command(const struct xhci_endpoint *endpoint, enum xhci_trb_type type)
{
    return (struct xhci_trb){.control = XHCI_TRB_TYPE(type) | XHCI_TRB_ENDPOINT(endpoint->index) |
                                        XHCI_TRB_SLOT(endpoint->slot->id)};
}

static struct xhci_trb dequeue_command(const struct xhci_endpoint *endpoint, const struct xhci_ring *ring)
{
    struct xhci_trb trb = endpoint_command(endpoint, XHCI_TRB_SET_DEQUEUE);

    trb.parameter = xhci_transfer_position(ring);
    if (ring->stream) {
        trb.parameter |= XHCI_DEQUEUE_PRIMARY;
        trb.status = XHCI_DEQUEUE_STREAM(ring->stream);
    }
    return trb;
}

static unsigned endpoint_state(const struct xhci_endpoint *endpoint)
{
    dma_barrier();
    return XHCI_ENDPOINT_STATE_OF(xhci_endpoint_context(endpoint->slot, endpoint->index)->info);
}

/* Endpoint 0 after a stall: Reset Endpoint, Set TR Dequeue Pointer, doorbell (4.6.8). */
static void recovery_step(struct xhci_command *command)
{
    struct xhci_endpoint *endpoint = command->context;
    struct xhci *xhci = endpoint->slot->xhci;

    if (command->status || endpoint->recovery != XHCI_RECOVERY_RESET) {
        bool well = !command->status && command->code == XHCI_SUCCESS;
        endpoint->recovery = XHCI_RECOVERY_NONE;
        endpoint->halted = !well; /* or else the next one on it waits for its deadline, and a cancel tries again */
        xhci_ring_doorbell(&endpoint->rings[0]);
        return;
    }
    endpoint->recovery = XHCI_RECOVERY_DEQUEUE;
    command->trb = dequeue_command(endpoint, &endpoint->rings[0]);
    if (xhci_command_send(xhci, command))
        endpoint->recovery = XHCI_RECOVERY_NONE;
}

void xhci_endpoint_recover(struct xhci_endpoint *endpoint)
{
    struct xhci_command *command = &endpoint->command;

    /* Who stops it, or sets it up, finds it halted and sees to it: a second Reset Endpoint would be refused. */
    if (endpoint->recovery != XHCI_RECOVERY_NONE || endpoint->stopping)
        return;
    endpoint->recovery = XHCI_RECOVERY_RESET;
    *command = (struct xhci_command){.done = recovery_step, .context = endpoint};
    command->trb = endpoint_command(endpoint, XHCI_TRB_RESET_ENDPOINT);
    if (xhci_command_send(endpoint->slot->xhci, command))
        endpoint->recovery = XHCI_RECOVERY_NONE;
}

static bool recovered(void *context)
{
    return ((volatile struct xhci_endpoint *)context)->recovery == XHCI_RECOVERY_NONE;
}

/* Has it been told to run, as far as we know? */
static bool endpoint_has_transfers(const struct xhci_endpoint *endpoint)
{
    for (unsigned i = 0; i < endpoint->ring_count; i++)
        if (endpoint->rings[i].first)
            return true;
    return false;
}

/*
 * Stop Endpoint races with what the endpoint does by itself (4.6.9): it may have halted meanwhile, or, just after its doorbell,
 * not be running yet in the controller's eyes. Such a stop is refused, the context may say "stopped", and the endpoint starts all
 * the same: where something is queued, only a stop that was carried out counts.
 */
static int endpoint_halt(struct xhci_endpoint *endpoint)
{
    struct xhci *xhci = endpoint->slot->xhci;
    uint64_t deadline = deadline_after(xhci->platform, STOP_TIME);
    unsigned code, state = endpoint_state(endpoint);

    /* The controller never came to know it: Address Device has failed. */
    if (state == XHCI_ENDPOINT_DISABLED)
        return 0;
    for (;;) {
        int result = xhci_command_run(xhci, endpoint_command(endpoint, XHCI_TRB_STOP_ENDPOINT), &code, NULL);
        if (!result)
            return 0;
        /* Not set up, or no more: nothing moves on it. */
        if (code == XHCI_ENDPOINT_NOT_ENABLED || code == XHCI_SLOT_NOT_ENABLED)
            return 0;
        if (code != XHCI_CONTEXT_STATE_ERROR)
            break;
        state = endpoint_state(endpoint);
        bool starting = state == XHCI_ENDPOINT_STOPPED && endpoint_has_transfers(endpoint);
        if (state != XHCI_ENDPOINT_RUNNING && !starting)
            return 0;
        if (platform_now(xhci->platform) >= deadline) {
            if (starting || endpoint->halted)
                return 0;
            break;
        }
        loop_delay(xhci->loop, STOP_RETRY_TIME);
    }
    /* What is queued may still be written to: it must not be given back before DMA is off. */
    xhci_die(xhci, "endpoint %u of slot %u cannot be stopped (code %u)", endpoint->index, endpoint->slot->id, code);
    return -ERROR_GONE;
}

int xhci_endpoint_stop(struct xhci_endpoint *endpoint, int status)
{
    struct xhci *xhci = endpoint->slot->xhci;
    int result = 0;

    endpoint->stopping = true;
    loop_wait(xhci->loop, recovered, endpoint, UINT64_MAX); /* its commands have deadlines */
    if (xhci->dead)
        result = -ERROR_GONE;
    else if (!endpoint->halted || endpoint_state(endpoint) == XHCI_ENDPOINT_RUNNING) /* not every error halts it */
        result = endpoint_halt(endpoint);
    xhci_endpoint_end(endpoint, status);
    return result;
}

int xhci_endpoint_rewind(struct xhci_endpoint *endpoint)
{
    struct xhci *xhci = endpoint->slot->xhci;

    for (unsigned i = 0; i < endpoint->ring_count; i++) {
        struct xhci_ring *ring = &endpoint->rings[i];
        if (!ring->strayed)
            continue;
        int result = xhci_command_run(xhci, dequeue_command(endpoint, ring), NULL, NULL);
        if (result)
            return result;
        ring->strayed = false;
    }
    return 0;
}

static void endpoint_go_on(struct xhci_endpoint *endpoint)
{
    endpoint->stopping = false;
    for (unsigned i = 0; i < endpoint->ring_count; i++)
        xhci_ring_doorbell(&endpoint->rings[i]);
}

/* ---- Configure Endpoint (4.6.6) ---- */

static int configure(struct xhci_slot *slot, struct xhci_input_control *input)
{
    struct xhci_trb trb = {.parameter = slot->contexts.address,
                           .control = XHCI_TRB_TYPE(XHCI_TRB_CONFIGURE_ENDPOINT) | XHCI_TRB_SLOT(slot->id)};
    input->add |= 1;
    xhci_context_again(slot);
    return xhci_command_run(slot->xhci, trb, NULL, NULL);
}

static unsigned usable_streams(const struct xhci *xhci, const struct usb_endpoint *endpoint)
{
    unsigned streams = endpoint->streams;

    if (endpoint->type != USB_ENDPOINT_BULK || endpoint->device->speed < USB_SPEED_SUPER ||
        !endpoint->max_streams_log2 || !xhci->bus.limits.max_streams)
        return 0;
    if (endpoint->max_streams_log2 < 16 && streams > 1u << endpoint->max_streams_log2)
        streams = 1u << endpoint->max_streams_log2;
    return streams < xhci->bus.limits.max_streams ? streams : xhci->bus.limits.max_streams;
}

static int endpoint_check(const struct xhci_slot *slot, const struct usb_endpoint *endpoint)
{
    unsigned index = endpoint_index(endpoint);

    if (endpoint->type != USB_ENDPOINT_BULK && endpoint->type != USB_ENDPOINT_INTERRUPT)
        return -ERROR_UNSUPPORTED;
    if (index < 2 || !endpoint->max_packet || endpoint->max_packet > 1024 || slot->endpoints[index])
        return -ERROR_PROTOCOL;
    return 0;
}

void xhci_endpoint_leave(struct xhci_endpoint *endpoint)
{
    endpoint->closing = true;
    if (endpoint->endpoint) {
        endpoint->endpoint->host = NULL;
        endpoint->endpoint->open = false;
    }
    endpoint->endpoint = NULL;
}

void xhci_endpoint_remove(struct xhci_endpoint *endpoint)
{
    endpoint->slot->endpoints[endpoint->index] = NULL;
    xhci_endpoint_free(endpoint);
}

/* Makes it and describes it to the controller. */
static int endpoint_prepare(struct xhci_slot *slot, struct usb_endpoint *usb, struct xhci_input_control *input)
{
    int result = endpoint_check(slot, usb);
    if (result)
        return result;
    struct xhci_endpoint *endpoint = xhci_endpoint_create(slot, usb, usable_streams(slot->xhci, usb));
    if (!endpoint)
        return -ERROR_NO_MEMORY;
    slot->endpoints[endpoint->index] = endpoint;
    xhci_context_endpoint(endpoint);
    input->add |= 1u << endpoint->index;
    /* While the controller is asked, a fiber may be dropped, and the driver's memory with it. */
    endpoint->endpoint = NULL;
    return 0;
}

int xhci_endpoints_open(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count)
{
    struct xhci_slot *slot = device->host;

    if (!slot || !slot->id || slot->xhci->dead)
        return -ERROR_GONE;
    struct xhci_input_control *input = xhci_input_begin(slot);
    int result = 0;
    unsigned made = 0;
    while (made < count && !result) {
        result = endpoint_prepare(slot, &endpoints[made], input);
        made += !result;
    }
    if (!result)
        result = configure(slot, input);
    for (unsigned i = 0; i < made; i++) {
        struct xhci_endpoint *endpoint = slot->endpoints[endpoint_index(&endpoints[i])];
        if (result) {
            xhci_endpoint_remove(endpoint);
            continue;
        }
        endpoint->endpoint = &endpoints[i];
        endpoints[i].host = endpoint;
        endpoints[i].open = true;
        endpoints[i].streams = (uint16_t)(endpoint->stream_array_size ? endpoint->ring_count : 0);
    }
    return result;
}

void xhci_endpoints_close(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count)
{
    struct xhci_slot *slot = device->host;
    uint32_t drop = 0;

    if (!slot)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct xhci_endpoint *endpoint = endpoints[i].host;
        if (!endpoint || endpoint->index < 2)
            continue;
        drop |= 1u << endpoint->index;
        xhci_endpoint_leave(endpoint); /* nothing new from here on */
        xhci_endpoint_stop(endpoint, -ERROR_ABORTED);
    }
    int result = 0;
    if (drop && !slot->xhci->dead) {
        struct xhci_input_control *input = xhci_input_begin(slot);
        input->drop = drop;
        result = configure(slot, input);
    }
    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++) {
        struct xhci_endpoint *endpoint = drop & 1u << i ? slot->endpoints[i] : NULL;
        if (!endpoint)
            continue;
        if (result && !slot->xhci->dead) /* still the controller's: not used again */
            endpoint->memory.pages = endpoint->stream_array.pages = 0;
        xhci_endpoint_remove(endpoint);
    }
}

/* ---- reset and cancel ---- */

/*
 * The data toggle (sequence number) starts anew with the device's: by Reset Endpoint after a halt, by dropping and adding it in one
 * command where there was none (4.6.8: Reset Endpoint is for halted endpoints only).
 */
static int endpoint_begin_anew(struct xhci_endpoint *endpoint)
{
    struct xhci *xhci = endpoint->slot->xhci;
    int result;

    if (endpoint->index == 1 || endpoint_state(endpoint) == XHCI_ENDPOINT_HALTED) {
        if (endpoint_state(endpoint) == XHCI_ENDPOINT_HALTED) {
            result = xhci_command_run(xhci, endpoint_command(endpoint, XHCI_TRB_RESET_ENDPOINT), NULL, NULL);
            if (result)
                return result;
        }
        return xhci_endpoint_rewind(endpoint);
    }
    struct xhci_input_control *input = xhci_input_begin(endpoint->slot);
    input->drop = input->add = 1u << endpoint->index;
    xhci_context_endpoint(endpoint);
    result = configure(endpoint->slot, input);
    for (unsigned i = 0; i < endpoint->ring_count && !result; i++)
        endpoint->rings[i].strayed = false;
    return result;
}

int xhci_endpoint_reset(struct usb_endpoint *usb)
{
    struct xhci_endpoint *endpoint = usb->host;

    if (!endpoint)
        return -ERROR_GONE;
    int result = xhci_endpoint_stop(endpoint, -ERROR_ABORTED);
    if (!result)
        result = endpoint_begin_anew(endpoint);
    if (!result) {
        endpoint->halted = false;
        endpoint_go_on(endpoint);
    }
    return result;
}

int xhci_endpoint_cancel(struct usb_endpoint *usb)
{
    struct xhci_endpoint *endpoint = usb->host;

    if (!endpoint)
        return -ERROR_GONE;
    if (endpoint->index == 1)
        return xhci_endpoint_reset(usb);
    int result = xhci_endpoint_stop(endpoint, -ERROR_ABORTED);
    if (endpoint_state(endpoint) == XHCI_ENDPOINT_HALTED)
        endpoint->halted = true;
    /* A halted one rests until it is reset: its data toggle is to be brought together with the device's. */
    if (!result && !endpoint->halted)
        result = xhci_endpoint_rewind(endpoint);
    if (result)
        endpoint->halted = true;
    endpoint_go_on(endpoint);
    return result;
}
