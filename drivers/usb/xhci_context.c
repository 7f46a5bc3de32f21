/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contexts: what the controller is told about devices and endpoints. xHCI 1.2, section 6.2. */
#include <string.h>

#include "drivers/usb/xhci_internal.h"

static uint8_t *input_context(struct xhci_slot *slot, unsigned index)
{
    return (uint8_t *)slot->contexts.data + (size_t)index * slot->xhci->context_size;
}

static uint8_t *output_context(const struct xhci_slot *slot, unsigned index)
{
    return (uint8_t *)slot->contexts.data + XHCI_PAGE + (size_t)index * slot->xhci->context_size;
}

struct xhci_input_control *xhci_input_begin(struct xhci_slot *slot)
{
    memset(slot->contexts.data, 0, XHCI_INPUT_CONTEXTS * slot->xhci->context_size);
    return (struct xhci_input_control *)(void *)input_context(slot, 0);
}

struct xhci_slot_context *xhci_input_slot(struct xhci_slot *slot)
{
    return (struct xhci_slot_context *)(void *)input_context(slot, 1);
}

struct xhci_endpoint_context *xhci_input_endpoint(struct xhci_slot *slot, unsigned index)
{
    return (struct xhci_endpoint_context *)(void *)input_context(slot, index + 1);
}

const volatile struct xhci_slot_context *xhci_slot_context(const struct xhci_slot *slot)
{
    return (const volatile struct xhci_slot_context *)(void *)output_context(slot, 0);
}

const volatile struct xhci_endpoint_context *xhci_endpoint_context(const struct xhci_slot *slot, unsigned index)
{
    return (const volatile struct xhci_endpoint_context *)(void *)output_context(slot, index);
}

/* ---- slot contexts ---- */

int xhci_context_place(struct xhci_slot *slot)
{
    const struct usb_device *device = slot->device;
    struct xhci_slot_context *context = xhci_input_slot(slot);

    context->info = (device->route & XHCI_SLOT_ROUTE_MASK) | XHCI_SLOT_SPEED(device->speed) | XHCI_SLOT_ENTRIES(1);
    context->port = XHCI_SLOT_ROOT_PORT(device->root_port);
    if (!device->translator)
        return 0;
    const struct xhci_slot *translator = device->translator->host;
    if (!translator || !translator->id)
        return -ERROR_GONE;
    context->hub = XHCI_SLOT_TT_SLOT(translator->id) | XHCI_SLOT_TT_PORT(device->translator_port & 0xffu);
    if (translator->multiple_translators)
        context->info |= XHCI_SLOT_MTT;
    return 0;
}

void xhci_context_again(struct xhci_slot *slot)
{
    const volatile struct xhci_slot_context *from = xhci_slot_context(slot);
    struct xhci_slot_context *to = xhci_input_slot(slot);
    unsigned highest = 1;

    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++)
        if (slot->endpoints[i] && !slot->endpoints[i]->closing)
            highest = i;
    to->info = (from->info & ~XHCI_SLOT_ENTRIES_MASK) | XHCI_SLOT_ENTRIES(highest);
    to->port = from->port;
    to->hub = from->hub;
    to->state = 0;
}

/* ---- endpoint contexts ---- */

unsigned xhci_interval(enum usb_endpoint_type type, enum usb_speed speed, uint8_t interval)
{
    unsigned exponent = 0;

    if (type != USB_ENDPOINT_INTERRUPT && type != USB_ENDPOINT_ISOCHRONOUS)
        return 0;
    if (speed >= USB_SPEED_HIGH || type == USB_ENDPOINT_ISOCHRONOUS) {
        /* An exponent already, of 125 us, or of frames of full speed isochronous endpoints. */
        exponent = interval < 1 ? 0 : interval > 16 ? 15 : interval - 1u;
        return speed >= USB_SPEED_HIGH ? exponent : exponent + 3 > 18 ? 18 : exponent + 3;
    }
    /* Milliseconds: the power of two below, 1 ms (2^3) to 128 ms (2^10). */
    while (exponent < 7 && 2u << exponent <= interval)
        exponent++;
    return exponent + 3;
}

static unsigned endpoint_type(const struct xhci_endpoint *endpoint)
{
    switch (endpoint->type) {
    case USB_ENDPOINT_CONTROL:
        return XHCI_ENDPOINT_CONTROL;
    case USB_ENDPOINT_INTERRUPT:
        return endpoint->in ? XHCI_ENDPOINT_INTERRUPT_IN : XHCI_ENDPOINT_INTERRUPT_OUT;
    case USB_ENDPOINT_ISOCHRONOUS:
        return endpoint->in ? XHCI_ENDPOINT_ISOCHRONOUS_IN : XHCI_ENDPOINT_ISOCHRONOUS_OUT;
    case USB_ENDPOINT_BULK:
        break;
    }
    return endpoint->in ? XHCI_ENDPOINT_BULK_IN : XHCI_ENDPOINT_BULK_OUT;
}

static void streams_place(struct xhci_endpoint *endpoint, struct xhci_endpoint_context *context)
{
    struct xhci_stream_context *streams = endpoint->stream_array.data;
    unsigned log2 = (unsigned)__builtin_ctz(endpoint->stream_array_size);

    memset(streams, 0, endpoint->stream_array_size * sizeof(*streams));
    for (unsigned i = 0; i < endpoint->ring_count; i++)
        streams[i + 1].dequeue = xhci_transfer_position(&endpoint->rings[i]) | XHCI_STREAM_PRIMARY;
    context->info |= XHCI_ENDPOINT_STREAMS(log2 - 1) | XHCI_ENDPOINT_LINEAR_STREAMS;
    context->dequeue = endpoint->stream_array.address;
}

void xhci_context_endpoint(struct xhci_endpoint *endpoint)
{
    const struct usb_endpoint *usb = endpoint->endpoint;
    enum usb_speed speed = endpoint->slot->device->speed;
    struct xhci_endpoint_context *context = xhci_input_endpoint(endpoint->slot, endpoint->index);
    bool periodic = endpoint->type == USB_ENDPOINT_INTERRUPT || endpoint->type == USB_ENDPOINT_ISOCHRONOUS;
    unsigned burst = 0;

    if (endpoint->type != USB_ENDPOINT_CONTROL && (speed >= USB_SPEED_SUPER || (periodic && speed == USB_SPEED_HIGH)))
        burst = usb->max_burst & 0xfu;
    memset(context, 0, sizeof(*context));
    context->info = XHCI_ENDPOINT_INTERVAL(xhci_interval(endpoint->type, speed, usb->interval));
    context->type = XHCI_ENDPOINT_TYPE(endpoint_type(endpoint)) | XHCI_ENDPOINT_MAX_BURST(burst) |
                    XHCI_ENDPOINT_MAX_PACKET(endpoint->max_packet);
    if (endpoint->type != USB_ENDPOINT_ISOCHRONOUS)
        context->type |= XHCI_ENDPOINT_ERROR_COUNT(3);
    /* 4.14.1.1: what is usual for the type; of periodic endpoints what an interval may carry. */
    context->length = XHCI_ENDPOINT_AVERAGE(endpoint->type == USB_ENDPOINT_CONTROL ? 8 : 3072);
    if (periodic) {
        uint32_t payload = endpoint->max_packet * (burst + 1u);
        if (usb->bytes_per_interval && usb->bytes_per_interval < payload)
            payload = usb->bytes_per_interval;
        context->length = XHCI_ENDPOINT_AVERAGE(payload) | XHCI_ENDPOINT_ESIT_LOW(payload);
        context->info |= XHCI_ENDPOINT_ESIT_HIGH(payload);
    }
    if (endpoint->stream_array_size)
        streams_place(endpoint, context);
    else
        context->dequeue = xhci_transfer_position(&endpoint->rings[0]);
}
