/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices: slots, addresses, resets. xHCI 1.2, sections 4.3, 4.6.3 to 4.6.7 and 4.6.11. */
#include "drivers/usb/xhci_internal.h"

static uint64_t *context_array(struct xhci *xhci)
{
    return xhci->base.data;
}

static int slot_enable(struct xhci_slot *slot)
{
    struct xhci *xhci = slot->xhci;
    const struct xhci_port *port = &xhci->ports[slot->device->root_port];
    struct xhci_trb trb = {.control = XHCI_TRB_TYPE(XHCI_TRB_ENABLE_SLOT) | XHCI_TRB_SLOT_TYPE(port->slot_type)};
    unsigned id = 0;

    int result = xhci_command_run(xhci, trb, NULL, &id);
    if (result)
        return result;
    if (!id || id > xhci->slot_count || xhci->slots[id])
        return -ERROR_PROTOCOL;
    slot->id = id;
    xhci->slots[id] = slot;
    context_array(xhci)[id] = slot->contexts.address + XHCI_PAGE;
    return 0;
}

/* Address Device; `quiet`: without SET_ADDRESS, to the Default state only. */
static int slot_address(struct xhci_slot *slot, bool quiet)
{
    struct xhci_trb trb = {.parameter = slot->contexts.address,
                           .control = XHCI_TRB_TYPE(XHCI_TRB_ADDRESS_DEVICE) | XHCI_TRB_SLOT(slot->id) |
                                      (quiet ? XHCI_TRB_BLOCK_ADDRESS : 0)};
    struct xhci_input_control *input = xhci_input_begin(slot);

    input->add = 3; /* slot and endpoint 0 */
    int result = xhci_context_place(slot);
    if (result)
        return result;
    xhci_context_endpoint(slot->endpoints[1]);
    return xhci_command_run(slot->xhci, trb, NULL, NULL);
}

static struct xhci_slot *slot_create(struct usb_device *device)
{
    struct xhci *xhci = device->bus->host;
    struct xhci_slot *slot = platform_allocate_zeroed(xhci->platform, sizeof(*slot));

    if (!slot)
        return NULL;
    slot->xhci = xhci;
    slot->device = device;
    slot->endpoints[1] = xhci_endpoint_create(slot, &device->control, 0);
    if (!slot->endpoints[1] || xhci_memory_allocate(xhci, 2, false, &slot->contexts)) {
        xhci_slot_free(slot);
        return NULL;
    }
    return slot;
}

void xhci_slot_free(struct xhci_slot *slot)
{
    struct xhci *xhci = slot->xhci;

    for (unsigned i = 1; i <= XHCI_ENDPOINTS; i++)
        if (slot->endpoints[i])
            xhci_endpoint_free(slot->endpoints[i]);
    if (!slot->lost)
        xhci_memory_release(xhci, &slot->contexts);
    platform_release(xhci->platform, slot);
}

int xhci_device_open(struct usb_device *device)
{
    struct xhci *xhci = device->bus->host;

    if (xhci->dead)
        return -ERROR_GONE;
    if (device->root_port < 1 || device->root_port > xhci->port_count || device->speed == USB_SPEED_NONE)
        return -ERROR_PROTOCOL;
    struct xhci_slot *slot = slot_create(device);
    if (!slot)
        return -ERROR_NO_MEMORY;
    device->host = slot; /* from here on device_close() cleans up */
    int result = slot_enable(slot);
    if (!result)
        result = slot_address(slot, true);
    if (result) {
        xhci_device_close(device);
        return result;
    }
    device->control.host = slot->endpoints[1];
    device->control.open = true;
    return 0;
}

int xhci_device_address(struct usb_device *device)
{
    struct xhci_slot *slot = device->host;

    if (!slot || !slot->id || slot->xhci->dead)
        return -ERROR_GONE;
    /* Its context begins anew, and with it endpoint 0. */
    int result = slot_address(slot, false);
    if (result)
        return result;
    slot->addressed = true;
    device->number = XHCI_SLOT_ADDRESS_OF(xhci_slot_context(slot)->state);
    return 0;
}

int xhci_control_update(struct usb_device *device)
{
    struct xhci_slot *slot = device->host;

    if (!slot || !slot->id || slot->xhci->dead)
        return -ERROR_GONE;
    struct xhci_trb trb = {.parameter = slot->contexts.address,
                           .control = XHCI_TRB_TYPE(XHCI_TRB_EVALUATE_CONTEXT) | XHCI_TRB_SLOT(slot->id)};
    struct xhci_input_control *input = xhci_input_begin(slot);
    input->add = 1u << 1;
    slot->endpoints[1]->max_packet = device->control.max_packet;
    xhci_context_again(slot);
    xhci_context_endpoint(slot->endpoints[1]);
    return xhci_command_run(slot->xhci, trb, NULL, NULL);
}

int xhci_hub_update(struct usb_device *device, unsigned ports, bool multiple_translators, unsigned think_time)
{
    struct xhci_slot *slot = device->host;

    if (!slot || !slot->id || slot->xhci->dead)
        return -ERROR_GONE;
    /* 6.2.2.2: hub fields come by Configure Endpoint; before 0.96 by Evaluate Context. */
    bool evaluate = slot->xhci->version < 0x96;
    struct xhci_trb trb = {.parameter = slot->contexts.address, .control = XHCI_TRB_SLOT(slot->id)};
    trb.control |= XHCI_TRB_TYPE(evaluate ? XHCI_TRB_EVALUATE_CONTEXT : XHCI_TRB_CONFIGURE_ENDPOINT);
    struct xhci_input_control *input = xhci_input_begin(slot);
    input->add = 1;
    xhci_context_again(slot);
    struct xhci_slot_context *context = xhci_input_slot(slot);
    context->info |= XHCI_SLOT_HUB;
    context->port = (context->port & 0xffffffu) | XHCI_SLOT_HUB_PORTS(ports & 0xffu);
    slot->multiple_translators = device->speed == USB_SPEED_HIGH && multiple_translators;
    /* 6.2.2: MTT of a hub is about its own translators; a full-speed hub behind several of another's has none. */
    context->info = (context->info & ~XHCI_SLOT_MTT) | (slot->multiple_translators ? XHCI_SLOT_MTT : 0);
    if (device->speed == USB_SPEED_HIGH)
        context->hub = (context->hub & ~XHCI_SLOT_THINK_TIME_MASK) | XHCI_SLOT_THINK_TIME(think_time & 3u);
    return xhci_command_run(slot->xhci, trb, NULL, NULL);
}

/* Ends the transfers of all endpoints but endpoint 0, which are open no more. */
static void endpoints_end(struct xhci_slot *slot, int status)
{
    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++) {
        struct xhci_endpoint *endpoint = slot->endpoints[i];
        if (!endpoint)
            continue;
        xhci_endpoint_leave(endpoint);
        bool queued = false;
        for (unsigned j = 0; j < endpoint->ring_count; j++)
            queued |= endpoint->rings[j].first != NULL;
        if (queued)
            xhci_endpoint_stop(endpoint, status);
    }
}

int xhci_device_reset(struct usb_device *device)
{
    struct xhci_slot *slot = device->host;

    if (!slot || !slot->id || slot->xhci->dead)
        return -ERROR_GONE;
    struct xhci_endpoint *control = slot->endpoints[1];
    endpoints_end(slot, -ERROR_ABORTED);
    int result = xhci_endpoint_stop(control, -ERROR_ABORTED);
    struct xhci_trb trb = {.control = XHCI_TRB_TYPE(XHCI_TRB_RESET_DEVICE) | XHCI_TRB_SLOT(slot->id)};
    unsigned code = XHCI_INVALID;
    if (!result)
        result = xhci_command_run(slot->xhci, trb, &code, NULL);
    /* 4.6.11: one that is in the Default state already is refused. */
    if (code == XHCI_CONTEXT_STATE_ERROR && !slot->addressed)
        result = 0;
    if (result)
        return result;
    slot->addressed = false;
    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++) {
        if (slot->endpoints[i])
            xhci_endpoint_remove(slot->endpoints[i]);
    }
    result = xhci_endpoint_reset(&device->control);
    if (!result && control->max_packet != device->control.max_packet)
        result = xhci_control_update(device);
    return result;
}

/* May be called again after its fiber was dropped in the middle of it. */
void xhci_device_close(struct usb_device *device)
{
    struct xhci_slot *slot = device->host;

    if (!slot)
        return;
    struct xhci *xhci = slot->xhci;
    device->control.host = NULL;
    device->control.open = false;
    endpoints_end(slot, -ERROR_GONE);
    if (slot->id && !xhci->dead) {
        xhci_endpoint_stop(slot->endpoints[1], -ERROR_GONE);
        struct xhci_trb trb = {.control = XHCI_TRB_TYPE(XHCI_TRB_DISABLE_SLOT) | XHCI_TRB_SLOT(slot->id)};
        if (!xhci->dead && xhci_command_run(xhci, trb, NULL, NULL) && !xhci->dead) {
            platform_log(xhci->platform, LOG_WARNING, "%s: slot %u is not given back", xhci->bus.name, slot->id);
            slot->lost = true;
        }
    }
    for (unsigned i = 1; i <= XHCI_ENDPOINTS; i++)
        if (slot->endpoints[i])
            xhci_endpoint_end(slot->endpoints[i], -ERROR_GONE);
    if (slot->id) {
        if (!slot->lost)
            context_array(xhci)[slot->id] = 0;
        xhci->slots[slot->id] = NULL;
    }
    device->host = NULL;
    xhci_slot_free(slot);
}
