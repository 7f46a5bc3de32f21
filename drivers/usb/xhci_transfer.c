/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers: TDs from buffers, and what their events mean. xHCI 1.2, sections 4.10 and 4.11.
 *
 * A transfer lies in one piece on its ring: host_data[0] is the index of its first TRB, [1] that of its last, [2] the bytes that an
 * earlier event told of (of a control transfer, until then: all of them), [3] the address of its data.
 */
#include <limits.h>

#include "drivers/usb/xhci_internal.h"

enum { TD_FIRST, TD_LAST, TD_MOVED, TD_ADDRESS };

#define CONTROL_TRBS 2u /* setup and status stage */

/* ---- submitting ---- */

/* 4.11.2.4: packets of the TD that are left after this TRB; before 1.0 they were KiB, with this TRB. */
static uint32_t td_size(const struct xhci_endpoint *endpoint, size_t left, size_t in_trb)
{
    size_t size;

    if (endpoint->slot->xhci->version < 0x100)
        size = left / 1024;
    else
        size = (left - in_trb + endpoint->max_packet - 1) / endpoint->max_packet;
    return XHCI_TRB_TD_SIZE(size < XHCI_TRB_TD_SIZE_MAX ? size : XHCI_TRB_TD_SIZE_MAX);
}

/* The data of a transfer, or of its data stage, in TRBs that do not cross 64 KiB. Returns how many. */
static unsigned build_data(const struct xhci_endpoint *endpoint, uint64_t address, size_t length, uint32_t flags,
                           struct xhci_trb *trbs)
{
    unsigned count = 0;

    do {
        size_t piece = XHCI_TRB_TRANSFER_MAX - (address & (XHCI_TRB_TRANSFER_MAX - 1));
        piece = piece < length ? piece : length;
        bool last = piece == length;
        trbs[count].parameter = address;
        trbs[count].status = (uint32_t)piece | (last ? 0 : td_size(endpoint, length, piece));
        trbs[count].control = XHCI_TRB_TYPE(XHCI_TRB_NORMAL) | flags | (last ? 0 : XHCI_TRB_CHAIN);
        address += piece;
        length -= piece;
        count++;
    } while (length);
    return count;
}

/* 4.11.2.2: setup, data and status stage are TDs of their own, and only the last one tells of its end. */
static unsigned build_control(const struct xhci_endpoint *endpoint, const struct usb_transfer *transfer,
                              struct xhci_trb *trbs)
{
    struct usb_setup setup = transfer->setup;
    bool in = setup.request_type & USB_IN;
    size_t length = transfer->length;
    unsigned count = 1;

    setup.length = (uint16_t)length;
    __builtin_memcpy(&trbs[0].parameter, &setup, sizeof(trbs[0].parameter));
    trbs[0].status = sizeof(setup);
    trbs[0].control = XHCI_TRB_TYPE(XHCI_TRB_SETUP) | XHCI_TRB_IMMEDIATE;
    if (length) {
        trbs[0].control |= in ? XHCI_TRB_SETUP_IN : XHCI_TRB_SETUP_OUT;
        count += build_data(endpoint, transfer->host_data[TD_ADDRESS], length, in ? XHCI_TRB_ISP : 0, &trbs[1]);
        trbs[1].control &= ~XHCI_TRB_TYPE(0x3f);
        trbs[1].control |= XHCI_TRB_TYPE(XHCI_TRB_DATA) | (in ? XHCI_TRB_IN : 0);
    }
    trbs[count].parameter = 0;
    trbs[count].status = 0;
    /* 4.11.2.2: against the direction of the data; IN without any */
    trbs[count].control = XHCI_TRB_TYPE(XHCI_TRB_STATUS) | XHCI_TRB_IOC | (length && in ? 0 : XHCI_TRB_IN);
    return count + 1;
}

static unsigned build(const struct xhci_endpoint *endpoint, const struct usb_transfer *transfer, struct xhci_trb *trbs)
{
    if (endpoint->type == USB_ENDPOINT_CONTROL)
        return build_control(endpoint, transfer, trbs);
    unsigned count =
        build_data(endpoint, transfer->host_data[TD_ADDRESS], transfer->length, endpoint->in ? XHCI_TRB_ISP : 0, trbs);
    trbs[count - 1].control |= XHCI_TRB_IOC;
    return count;
}

void xhci_ring_doorbell(struct xhci_ring *ring)
{
    const struct xhci_endpoint *endpoint = ring->endpoint;

    if (!ring->first || endpoint->halted || endpoint->stopping || endpoint->recovery != XHCI_RECOVERY_NONE)
        return;
    xhci_doorbell(endpoint->slot->xhci, endpoint->slot->id, XHCI_DOORBELL_VALUE(endpoint->index, ring->stream));
}

static struct xhci_ring *transfer_ring(struct xhci_endpoint *endpoint, const struct usb_transfer *transfer)
{
    if (!endpoint->stream_array_size)
        return transfer->stream ? NULL : &endpoint->rings[0];
    if (!transfer->stream || transfer->stream > endpoint->ring_count)
        return NULL;
    return &endpoint->rings[transfer->stream - 1];
}

static int transfer_check(struct xhci *xhci, struct usb_transfer *transfer)
{
    const struct buffer *buffer = transfer->buffer;

    transfer->host_data[TD_ADDRESS] = 0;
    if (!transfer->length)
        return 0;
    if (!buffer || transfer->length > XHCI_MAX_TRANSFER || transfer->offset > buffer->size ||
        transfer->length > buffer->size - transfer->offset)
        return -ERROR_OUT_OF_RANGE;
    if (transfer->endpoint->type == USB_ENDPOINT_CONTROL && transfer->length > UINT16_MAX)
        return -ERROR_OUT_OF_RANGE;
    uint64_t address;
    int result = buffer_address(transfer->buffer, xhci->pci, &address);
    transfer->host_data[TD_ADDRESS] = address + transfer->offset;
    return result;
}

int xhci_submit(struct usb_transfer *transfer)
{
    struct xhci *xhci = transfer->endpoint->device->bus->host;
    struct xhci_endpoint *endpoint = transfer->endpoint->host;
    struct xhci_trb trbs[XHCI_TRANSFER_TRBS + CONTROL_TRBS];

    if (xhci->dead || !endpoint)
        return -ERROR_GONE;
    struct xhci_ring *ring = transfer_ring(endpoint, transfer);
    if (!ring)
        return -ERROR_OUT_OF_RANGE;
    int result = transfer_check(xhci, transfer);
    if (result)
        return result;
    unsigned count = build(endpoint, transfer, trbs);
    platform_hold_events(xhci->platform);
    if (xhci->dead) {
        result = -ERROR_GONE;
    } else if (!xhci_ring_reserve(ring, count)) {
        result = -ERROR_FULL;
    } else {
        transfer->next = NULL;
        transfer->ended = false;
        transfer->moved = 0;
        *ring->last = transfer;
        ring->last = &transfer->next;
        transfer->host_data[TD_FIRST] = xhci_ring_put(ring, trbs, count);
        transfer->host_data[TD_LAST] = transfer->host_data[TD_FIRST] + count - 1;
        transfer->host_data[TD_MOVED] = endpoint->type == USB_ENDPOINT_CONTROL ? transfer->length : 0;
        xhci_ring_doorbell(ring);
    }
    platform_release_events(xhci->platform);
    return result;
}

/* ---- ending ---- */

/*
 * Ends the first transfer of the ring. `keep_last`: another event for its last TRB may follow, which must find nothing new there.
 */
static void transfer_end(struct xhci_ring *ring, int status, size_t moved, unsigned code, bool keep_last)
{
    struct usb_transfer *transfer = ring->first;

    ring->first = transfer->next;
    if (!ring->first)
        ring->last = &ring->first;
    ring->dequeue = (unsigned)transfer->host_data[TD_LAST] + (keep_last ? 0 : 1);
    transfer->next = NULL;
    transfer->status = status;
    transfer->moved = moved < transfer->length ? moved : transfer->length;
    transfer->raw_status = code;
    transfer->ended = true;
    if (transfer->done)
        transfer->done(transfer);
}

void xhci_endpoint_end(struct xhci_endpoint *endpoint, int status)
{
    for (unsigned i = 0; i < endpoint->ring_count; i++) {
        struct xhci_ring *ring = &endpoint->rings[i];
        /* What its callbacks submit waits for the next doorbell, and must not be ended with it. */
        unsigned count = 0;
        for (const struct usb_transfer *transfer = ring->first; transfer; transfer = transfer->next)
            count++;
        bool control = endpoint->type == USB_ENDPOINT_CONTROL;
        ring->strayed |= count > 0;
        while (count--)
            transfer_end(ring, status, control ? 0 : (size_t)ring->first->host_data[TD_MOVED], XHCI_STOPPED, false);
    }
}

uint64_t xhci_transfer_position(const struct xhci_ring *ring)
{
    if (!ring->first)
        return xhci_ring_position(ring);
    uint64_t first = ring->first->host_data[TD_FIRST];
    return (ring->address + first * sizeof(struct xhci_trb)) | (ring->trbs[first].control & XHCI_TRB_CYCLE);
}

/* ---- events ---- */

/* Bytes of the transfer's data before TRB `index`, and in it. */
static void trb_extent(const struct xhci_ring *ring, const struct usb_transfer *transfer, unsigned index,
                       size_t *before, size_t *in_trb)
{
    bool control = ring->endpoint->type == USB_ENDPOINT_CONTROL;
    unsigned first = (unsigned)transfer->host_data[TD_FIRST] + control;
    size_t start = (size_t)(transfer->host_data[TD_ADDRESS] & (XHCI_TRB_TRANSFER_MAX - 1));
    size_t end;

    *before = *in_trb = 0;
    if (index < first)
        return;
    if (control && index == transfer->host_data[TD_LAST]) {
        *before = transfer->length;
        return;
    }
    if (index > first)
        *before = (size_t)(index - first) * XHCI_TRB_TRANSFER_MAX - start;
    end = (size_t)(index - first + 1) * XHCI_TRB_TRANSFER_MAX - start;
    end = end < transfer->length ? end : transfer->length;
    if (end > *before)
        *in_trb = end - *before;
}

/* 6.4.2.1: the event's length field says what was not moved of the TRB. */
static size_t bytes_moved(const struct xhci_ring *ring, const struct usb_transfer *transfer, unsigned index,
                          uint32_t left)
{
    size_t before, in_trb;

    trb_extent(ring, transfer, index, &before, &in_trb);
    return before + (left < in_trb ? in_trb - left : 0);
}

static void transfer_success(struct xhci_ring *ring, unsigned index, unsigned code, uint32_t left)
{
    struct usb_transfer *transfer = ring->first;
    bool last = index == transfer->host_data[TD_LAST];
    size_t moved = bytes_moved(ring, transfer, index, left);

    if (ring->endpoint->type == USB_ENDPOINT_CONTROL) {
        /* A short data stage tells of itself; the status stage is still to come. */
        if (!last)
            transfer->host_data[TD_MOVED] = moved;
        else
            transfer_end(ring, 0, (size_t)transfer->host_data[TD_MOVED], code, false);
        return;
    }
    /* 4.10.1.1: a short packet ends the TD, wherever it was; some controllers tell of the last TRB as well. */
    transfer_end(ring, 0, moved, code, !last);
}

static void transfer_failed(struct xhci_ring *ring, unsigned index, unsigned code, uint32_t left)
{
    struct xhci_endpoint *endpoint = ring->endpoint;
    int status = xhci_error(code);
    size_t moved = bytes_moved(ring, ring->first, index, left);

    /* Before done(), which may submit. */
    endpoint->halted = true;
    ring->strayed = true;
    if (endpoint->type == USB_ENDPOINT_CONTROL)
        xhci_endpoint_recover(endpoint);
    transfer_end(ring, status, moved, code, false);
}

static struct xhci_ring *event_ring(struct xhci_endpoint *endpoint, uint64_t address, unsigned *index)
{
    for (unsigned i = 0; i < endpoint->ring_count; i++) {
        *index = xhci_ring_index(&endpoint->rings[i], address);
        if (*index != UINT_MAX)
            return &endpoint->rings[i];
    }
    return NULL;
}

/* The event's transfer comes to the front: they end in order, so those before it have lost their events. */
static bool transfer_find(struct xhci_ring *ring, unsigned index)
{
    struct usb_transfer *found = ring->first;

    while (found && (index < found->host_data[TD_FIRST] || index > found->host_data[TD_LAST]))
        found = found->next;
    if (!found)
        return false;
    while (ring->first && ring->first != found)
        transfer_end(ring, -ERROR_PROTOCOL, 0, XHCI_EVENT_LOST, false);
    return ring->first == found;
}

static void stopped_event(struct xhci_ring *ring, unsigned index, unsigned code, uint32_t left)
{
    struct usb_transfer *transfer = ring->first;

    /* It is not over: xhci_endpoint_stop() ends it. 4.6.9: with "length invalid" nothing of this TRB has moved. */
    if (ring->endpoint->type == USB_ENDPOINT_CONTROL)
        return;
    if (code == XHCI_STOPPED_SHORT_PACKET) {
        transfer->host_data[TD_MOVED] = left;
        return;
    }
    size_t before, in_trb;
    trb_extent(ring, transfer, index, &before, &in_trb);
    transfer->host_data[TD_MOVED] =
        code == XHCI_STOPPED_LENGTH_INVALID ? before : bytes_moved(ring, transfer, index, left);
}

void xhci_transfer_event(struct xhci *xhci, const struct xhci_trb *event)
{
    unsigned code = XHCI_EVENT_CODE(event->status);
    uint32_t left = XHCI_EVENT_LENGTH(event->status);
    struct xhci_slot *slot = xhci->slots[XHCI_TRB_SLOT_OF(event->control)];
    struct xhci_endpoint *endpoint = slot ? slot->endpoints[XHCI_TRB_ENDPOINT_OF(event->control)] : NULL;
    unsigned index = UINT_MAX;
    struct xhci_ring *ring = endpoint ? event_ring(endpoint, event->parameter, &index) : NULL;

    if (!ring || event->control & XHCI_TRB_EVENT_DATA_BIT || !transfer_find(ring, index)) {
        /* Of a transfer that has ended (the last TRB after a short packet), of none (ring underrun), or invented. */
        xhci->strange_events++;
        return;
    }
    switch (code) {
    case XHCI_SUCCESS:
    case XHCI_SHORT_PACKET:
        transfer_success(ring, index, code, left);
        break;
    case XHCI_STOPPED:
    case XHCI_STOPPED_LENGTH_INVALID:
    case XHCI_STOPPED_SHORT_PACKET:
        stopped_event(ring, index, code, left);
        break;
    case XHCI_RING_UNDERRUN:
    case XHCI_RING_OVERRUN:
    case XHCI_EVENT_RING_FULL:
    case XHCI_EVENT_LOST:
        break;
    default:
        transfer_failed(ring, index, code, left);
        break;
    }
}
