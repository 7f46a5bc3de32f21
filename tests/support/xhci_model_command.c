/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The emulated xHCI's command ring: slots, contexts and their states (xHCI 1.2, sections 4.5, 4.6, 6.2). */
#include <stdlib.h>
#include <string.h>

#include "tests/support/xhci_model.h"

#define HANGS 0xff /* no answer yet: the device does not answer SET_ADDRESS */

static size_t context_size(const struct xhci_model *model)
{
    return model->wide_contexts ? 64 : 32;
}

/* --- contexts --- */

uint8_t *xhci_model_context(struct xhci_model *model, unsigned slot, unsigned index)
{
    uint64_t address = ((const uint64_t *)model->dcbaap)[slot];

    if (!address || address & 63) {
        xhci_model_violation(model, "a device context that is missing or not aligned");
        return NULL;
    }
    return (uint8_t *)address + index * context_size(model);
}

static struct xhci_slot_context *slot_context(struct xhci_model *model, unsigned slot)
{
    return (struct xhci_slot_context *)(void *)xhci_model_context(model, slot, 0);
}

static struct xhci_endpoint_context *endpoint_context(struct xhci_model *model, unsigned slot, unsigned index)
{
    return (struct xhci_endpoint_context *)(void *)xhci_model_context(model, slot, index);
}

void xhci_model_set_state(struct xhci_model *model, unsigned slot, unsigned index, uint8_t state)
{
    struct xhci_endpoint_context *context = endpoint_context(model, slot, index);

    model->slots[slot].endpoints[index].state = state;
    if (context)
        context->info = (context->info & ~7u) | state;
}

static void set_slot_state(struct xhci_model *model, unsigned number, uint8_t state)
{
    struct xhci_model_slot *slot = &model->slots[number];
    struct xhci_slot_context *context = slot_context(model, number);

    slot->state = state;
    if (context)
        context->state = XHCI_SLOT_STATE(state) | slot->address;
}

static void free_endpoint(struct xhci_model_endpoint *endpoint)
{
    free(endpoint->rings);
    memset(endpoint, 0, sizeof(*endpoint));
}

static void free_slot(struct xhci_model_slot *slot)
{
    for (unsigned i = 0; i <= XHCI_ENDPOINTS; i++)
        free_endpoint(&slot->endpoints[i]);
    memset(slot, 0, sizeof(*slot));
}

void xhci_model_free_slots(struct xhci_model *model)
{
    for (unsigned i = 0; i <= XHCI_MODEL_SLOTS; i++)
        free_slot(&model->slots[i]);
}

/* --- input contexts --- */

struct input {
    const struct xhci_input_control *control;
    const struct xhci_slot_context *slot;
    const uint8_t *bytes;
    size_t size;
};

static const struct xhci_endpoint_context *input_endpoint(const struct input *input, unsigned index)
{
    return (const struct xhci_endpoint_context *)(const void *)(input->bytes + (index + 1) * input->size);
}

static bool get_input(struct xhci_model *model, uint64_t address, struct input *input)
{
    if (!address || address & 15) {
        xhci_model_violation(model, "an input context that is not aligned");
        return false;
    }
    input->bytes = (const uint8_t *)address;
    input->size = context_size(model);
    input->control = (const struct xhci_input_control *)(const void *)input->bytes;
    input->slot = (const struct xhci_slot_context *)(const void *)(input->bytes + input->size);
    return true;
}

/* --- endpoint contexts --- */

static bool bad(struct xhci_model *model, const char *what)
{
    xhci_model_violation(model, what);
    return false;
}

static bool is_periodic(unsigned type)
{
    return (type & 3) == 3 || (type & 3) == 1;
}

/* 6.2.3.6 and table 6-12: what the speed allows. */
static bool check_interval(struct xhci_model *model, const struct xhci_endpoint_context *context, enum usb_speed speed)
{
    unsigned interval = XHCI_ENDPOINT_INTERVAL_OF(context->info);
    unsigned type = XHCI_ENDPOINT_TYPE_OF(context->type);
    unsigned payload = context->length >> 16;
    unsigned burst = XHCI_ENDPOINT_MAX_BURST_OF(context->type) + 1;

    if (!is_periodic(type))
        return interval > 15 ? bad(model, "an interval of an endpoint that has none") : true;
    if (speed < USB_SPEED_HIGH ? interval < 3 || interval > 10 : interval > 15)
        return bad(model, "an interval that the speed does not allow");
    if (!payload || payload > XHCI_ENDPOINT_MAX_PACKET_OF(context->type) * burst)
        return bad(model, "a payload that the endpoint cannot have");
    return true;
}

static bool check_packet(struct xhci_model *model, const struct xhci_endpoint_context *context, enum usb_speed speed)
{
    unsigned type = XHCI_ENDPOINT_TYPE_OF(context->type);
    unsigned packet = XHCI_ENDPOINT_MAX_PACKET_OF(context->type);
    unsigned burst = XHCI_ENDPOINT_MAX_BURST_OF(context->type);

    if (!packet || packet > 1024)
        return bad(model, "a packet size that does not exist");
    if (type == XHCI_ENDPOINT_CONTROL && speed >= USB_SPEED_SUPER && packet != 512)
        return bad(model, "a SuperSpeed control endpoint without packets of 512");
    if (type == XHCI_ENDPOINT_CONTROL && burst)
        return bad(model, "bursts of a control endpoint");
    if ((type == XHCI_ENDPOINT_BULK_IN || type == XHCI_ENDPOINT_BULK_OUT) &&
        (speed >= USB_SPEED_SUPER ? packet != 1024 || burst > 15 : burst || packet > 512))
        return bad(model, "a bulk endpoint's packets or bursts");
    if (XHCI_ENDPOINT_ERROR_COUNT_OF(context->type) != 3)
        return bad(model, "an error count other than 3");
    if (!(context->length & 0xffff))
        return bad(model, "an average TRB length of 0");
    return true;
}

static bool check_endpoint(struct xhci_model *model, const struct xhci_endpoint_context *context, unsigned index,
                           enum usb_speed speed)
{
    unsigned type = XHCI_ENDPOINT_TYPE_OF(context->type);
    unsigned streams = XHCI_ENDPOINT_STREAMS_OF(context->info);

    if (!type || type == XHCI_ENDPOINT_CONTROL ? index != 1 : index == 1)
        return bad(model, "an endpoint type that does not fit its place");
    if (index > 1 && (index & 1) != (type >> 2))
        return bad(model, "an endpoint's direction that does not fit its place");
    if (context->info & 7)
        return bad(model, "an endpoint state that is not 0 in an input context");
    if (streams > model->stream_array)
        return bad(model, "a larger stream array than the controller takes");
    if (streams && (!(context->info & XHCI_ENDPOINT_LINEAR_STREAMS) || context->dequeue & 15 ||
                    (type != XHCI_ENDPOINT_BULK_IN && type != XHCI_ENDPOINT_BULK_OUT)))
        return bad(model, "a stream array that is not linear, not aligned, or of no bulk endpoint");
    if (!(context->dequeue & ~15ull) || context->dequeue & 14)
        return bad(model, "a dequeue pointer that is none");
    return check_packet(model, context, speed) && check_interval(model, context, speed);
}

static bool set_ring(struct xhci_model *model, struct xhci_model_ring *ring, uint64_t dequeue)
{
    *ring = (struct xhci_model_ring){.dequeue = dequeue & ~15ull, .cycle = (uint32_t)dequeue & 1};
    return xhci_model_trb(model, ring->dequeue) != NULL;
}

/* Takes an endpoint over from the input context; it runs. */
static void open_endpoint(struct xhci_model *model, unsigned number, unsigned index,
                          const struct xhci_endpoint_context *context)
{
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];
    unsigned streams = XHCI_ENDPOINT_STREAMS_OF(context->info);

    free_endpoint(endpoint);
    endpoint->type = (uint8_t)XHCI_ENDPOINT_TYPE_OF(context->type);
    endpoint->max_packet = (uint16_t)XHCI_ENDPOINT_MAX_PACKET_OF(context->type);
    endpoint->ring_count = streams ? 1u << (streams + 1) : 1;
    endpoint->streams = streams ? context->dequeue & ~15ull : 0;
    endpoint->rings = calloc(endpoint->ring_count, sizeof(*endpoint->rings));
    if (!endpoint->rings)
        abort();
    if (!streams)
        set_ring(model, &endpoint->rings[0], context->dequeue);
    memcpy(xhci_model_context(model, number, index), context, sizeof(*context));
    xhci_model_set_state(model, number, index, XHCI_ENDPOINT_RUNNING);
}

/* --- commands for slots --- */

static unsigned enable_slot(struct xhci_model *model, unsigned slot_type, unsigned *number)
{
    bool known = false;

    for (unsigned i = 0; i < XHCI_MODEL_PROTOCOLS; i++)
        known = known || (model->protocols[i].port_count && model->protocols[i].slot_type == slot_type);
    if (!known)
        xhci_model_violation(model, "a slot type of no protocol");
    for (unsigned i = 1; i <= (model->config & XHCI_CONFIG_SLOTS_MASK) && i <= XHCI_MODEL_SLOTS; i++)
        if (!model->slots[i].enabled) {
            free_slot(&model->slots[i]);
            model->slots[i].enabled = true;
            model->slots[i].slot_type = (uint8_t)slot_type;
            *number = i;
            return XHCI_SUCCESS;
        }
    return XHCI_NO_SLOTS;
}

static unsigned disable_slot(struct xhci_model *model, unsigned number)
{
    struct xhci_slot_context *context = model->slots[number].bound ? slot_context(model, number) : NULL;

    if (context)
        context->state = 0;
    free_slot(&model->slots[number]);
    return XHCI_SUCCESS;
}

/* 6.2.2: the slot context of a device that is to be addressed. */
static bool check_place(struct xhci_model *model, const struct xhci_slot_context *context,
                        const struct usb_model_device *device)
{
    unsigned port = XHCI_SLOT_ROOT_PORT_OF(context->port);
    unsigned speed = XHCI_SLOT_SPEED_OF(context->info);
    const struct usb_model_device *hub = NULL;
    unsigned hub_port = 0;

    if (XHCI_SLOT_ENTRIES_OF(context->info) != 1 || context->state)
        return bad(model, "a new slot with more than endpoint 0, or with a state");
    if (!device)
        return true;
    if (speed != (unsigned)device->speed && speed != xhci_model_speed_id(model, port, device->speed))
        return bad(model, "a slot of a wrong speed");
    if (device->speed < USB_SPEED_HIGH)
        for (const struct usb_model_port *at = device->port; at && at->hub && !hub; at = at->hub->port)
            if (at->hub->speed == USB_SPEED_HIGH) {
                hub = at->hub;
                hub_port = at->number;
            }
    unsigned translator = context->hub & 0xff;
    if ((translator ? translator <= XHCI_MODEL_SLOTS ? model->slots[translator].model : NULL : NULL) != hub ||
        (context->hub >> 8 & 0xff) != hub_port)
        return bad(model, "a wrong transaction translator");
    return true;
}

static unsigned address_device(struct xhci_model *model, unsigned number, const struct xhci_trb *trb)
{
    struct xhci_model_slot *slot = &model->slots[number];
    bool block = trb->control & XHCI_TRB_BLOCK_ADDRESS;
    struct input input;

    if (!get_input(model, trb->parameter, &input) || !xhci_model_context(model, number, 0))
        return XHCI_TRB_ERROR;
    if (slot->state > XHCI_SLOT_DEFAULT || (block && slot->state != XHCI_SLOT_ENABLED))
        return XHCI_CONTEXT_STATE_ERROR;
    unsigned port = XHCI_SLOT_ROOT_PORT_OF(input.slot->port);
    if (input.control->add != 3 || input.control->drop || port < 1 || port > model->port_count) {
        xhci_model_violation(model, "Address Device with other contexts than slot and endpoint 0, or a bad port");
        return XHCI_PARAMETER_ERROR;
    }
    slot->root_port = port;
    slot->route = input.slot->info & XHCI_SLOT_ROUTE_MASK;
    slot->model = usb_model_at_route(&model->ports[port - 1], slot->route);
    enum usb_speed speed = slot->model ? slot->model->speed : (enum usb_speed)XHCI_SLOT_SPEED_OF(input.slot->info);
    if (!check_place(model, input.slot, slot->model) || !check_endpoint(model, input_endpoint(&input, 1), 1, speed))
        return XHCI_PARAMETER_ERROR;
    int result = slot->model ? 0 : USB_MODEL_ERROR;
    if (slot->model && !block)
        result = usb_model_set_address(slot->model, (uint8_t)number);
    if (result == USB_MODEL_NAK)
        return HANGS;
    if (result && !block)
        return result == USB_MODEL_STALL ? XHCI_STALL : XHCI_TRANSACTION_ERROR;
    slot->bound = true;
    slot->address = block ? 0 : (uint8_t)number;
    memcpy(slot_context(model, number), input.slot, sizeof(*input.slot));
    open_endpoint(model, number, 1, input_endpoint(&input, 1));
    set_slot_state(model, number, block ? XHCI_SLOT_DEFAULT : XHCI_SLOT_ADDRESSED);
    return XHCI_SUCCESS;
}

static bool has_work(const struct xhci_model_endpoint *endpoint)
{
    for (unsigned i = 0; i < endpoint->ring_count; i++)
        if (endpoint->rings[i].rung)
            return true;
    return false;
}

static void close_endpoint(struct xhci_model *model, unsigned number, unsigned index)
{
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];

    if (endpoint->state == XHCI_ENDPOINT_RUNNING && has_work(endpoint))
        xhci_model_violation(model, "an endpoint was dropped that had not been stopped");
    free_endpoint(endpoint);
    xhci_model_set_state(model, number, index, XHCI_ENDPOINT_DISABLED);
}

/* Hub fields and entries, the only ones that Configure Endpoint takes (6.2.2.2). */
static void update_slot(struct xhci_model *model, unsigned number, const struct xhci_slot_context *from)
{
    struct xhci_slot_context *to = slot_context(model, number);
    const uint32_t info = XHCI_SLOT_ENTRIES_MASK | XHCI_SLOT_HUB | XHCI_SLOT_MTT;

    if ((from->info ^ to->info) & ~info || (from->port ^ to->port) & 0x00ffffff)
        xhci_model_violation(model, "a slot context changed in what stays as it is");
    if (from->info & XHCI_SLOT_HUB && model->slots[number].model &&
        model->slots[number].model->descriptor.class_code != USB_CLASS_HUB)
        xhci_model_violation(model, "a hub that is none");
    if (from->info & XHCI_SLOT_HUB && from->info & XHCI_SLOT_MTT && XHCI_SLOT_SPEED_OF(from->info) != USB_SPEED_HIGH)
        xhci_model_violation(model, "a hub with translators that is not of high speed");
    to->info = from->info;
    to->port = from->port;
    to->hub = from->hub;
}

static bool check_configuration(struct xhci_model *model, struct xhci_model_slot *slot, const struct input *input)
{
    unsigned highest = 1;

    if ((input->control->add & 3) != 1 || input->control->drop & 3)
        return bad(model, "Configure Endpoint: the slot must be added, endpoint 0 left alone");
    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++) {
        bool drop = input->control->drop >> i & 1, add = input->control->add >> i & 1;
        if (add && slot->endpoints[i].state && !drop)
            return bad(model, "an endpoint was added that is there");
        if (drop && !slot->endpoints[i].state)
            return bad(model, "an endpoint was dropped that is not there");
        if (add &&
            !check_endpoint(model, input_endpoint(input, i), i, slot->model ? slot->model->speed : USB_SPEED_HIGH))
            return false;
        if (add || (slot->endpoints[i].state && !drop))
            highest = i;
    }
    if (XHCI_SLOT_ENTRIES_OF(input->slot->info) < highest)
        return bad(model, "fewer context entries than endpoints");
    return true;
}

static unsigned configure_endpoint(struct xhci_model *model, unsigned number, const struct xhci_trb *trb)
{
    struct xhci_model_slot *slot = &model->slots[number];
    struct input input;
    bool any = false;

    if (slot->state < XHCI_SLOT_ADDRESSED)
        return XHCI_CONTEXT_STATE_ERROR;
    if (trb->control & XHCI_TRB_DECONFIGURE) {
        for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++)
            if (slot->endpoints[i].state)
                close_endpoint(model, number, i);
        set_slot_state(model, number, XHCI_SLOT_ADDRESSED);
        return XHCI_SUCCESS;
    }
    if (!get_input(model, trb->parameter, &input))
        return XHCI_TRB_ERROR;
    if (!check_configuration(model, slot, &input))
        return XHCI_PARAMETER_ERROR;
    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++) {
        if (input.control->drop >> i & 1)
            close_endpoint(model, number, i);
        if (input.control->add >> i & 1)
            open_endpoint(model, number, i, input_endpoint(&input, i));
        any = any || slot->endpoints[i].state;
    }
    update_slot(model, number, input.slot);
    set_slot_state(model, number, any ? XHCI_SLOT_CONFIGURED : XHCI_SLOT_ADDRESSED);
    return XHCI_SUCCESS;
}

/* 4.6.7: endpoint 0's packet size, and nothing of the hub. */
static unsigned evaluate_context(struct xhci_model *model, unsigned number, const struct xhci_trb *trb)
{
    struct xhci_model_slot *slot = &model->slots[number];
    struct input input;

    if (slot->state < XHCI_SLOT_DEFAULT)
        return XHCI_CONTEXT_STATE_ERROR;
    if (!get_input(model, trb->parameter, &input) || input.control->add & ~3u || input.control->drop) {
        xhci_model_violation(model, "Evaluate Context of other contexts than slot and endpoint 0");
        return XHCI_PARAMETER_ERROR;
    }
    if (input.control->add & 2) {
        struct xhci_endpoint_context *context = endpoint_context(model, number, 1);
        unsigned packet = XHCI_ENDPOINT_MAX_PACKET_OF(input_endpoint(&input, 1)->type);
        slot->endpoints[1].max_packet = (uint16_t)packet;
        context->type = (context->type & 0xffff) | XHCI_ENDPOINT_MAX_PACKET(packet);
    }
    return XHCI_SUCCESS;
}

static unsigned reset_device(struct xhci_model *model, unsigned number)
{
    struct xhci_model_slot *slot = &model->slots[number];

    if (slot->state < XHCI_SLOT_ADDRESSED)
        return XHCI_CONTEXT_STATE_ERROR;
    for (unsigned i = 2; i <= XHCI_ENDPOINTS; i++)
        if (slot->endpoints[i].state) {
            free_endpoint(&slot->endpoints[i]);
            xhci_model_set_state(model, number, i, XHCI_ENDPOINT_DISABLED);
        }
    slot->address = 0;
    slot->model = usb_model_at_route(&model->ports[slot->root_port - 1], slot->route);
    set_slot_state(model, number, XHCI_SLOT_DEFAULT);
    slot_context(model, number)->info =
        (slot_context(model, number)->info & ~XHCI_SLOT_ENTRIES_MASK) | XHCI_SLOT_ENTRIES(1);
    return XHCI_SUCCESS;
}

/* --- commands for endpoints --- */

static unsigned set_dequeue(struct xhci_model *model, unsigned number, unsigned index, const struct xhci_trb *trb)
{
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];
    unsigned stream = XHCI_DEQUEUE_STREAM_OF(trb->status);
    unsigned type = (unsigned)trb->parameter >> 1 & 7;

    if (endpoint->state != XHCI_ENDPOINT_STOPPED && endpoint->state != XHCI_ENDPOINT_ERROR)
        return XHCI_CONTEXT_STATE_ERROR;
    if (endpoint->streams ? !stream || stream >= endpoint->ring_count || type != 1 : stream || type) {
        xhci_model_violation(model, "Set TR Dequeue Pointer with a stream or a type that does not fit");
        return XHCI_TRB_ERROR;
    }
    set_ring(model, &endpoint->rings[stream], trb->parameter);
    if (endpoint->streams)
        ((struct xhci_stream_context *)endpoint->streams)[stream].dequeue = trb->parameter;
    else
        endpoint_context(model, number, index)->dequeue = trb->parameter & ~14ull;
    return XHCI_SUCCESS;
}

static unsigned endpoint_command(struct xhci_model *model, unsigned type, unsigned number, const struct xhci_trb *trb)
{
    unsigned index = XHCI_TRB_ENDPOINT_OF(trb->control);
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];

    if (!index || !endpoint->state) {
        xhci_model_violation(model, "a command for an endpoint that is not there");
        return XHCI_ENDPOINT_NOT_ENABLED;
    }
    switch (type) {
    case XHCI_TRB_STOP_ENDPOINT:
        if (endpoint->state != XHCI_ENDPOINT_RUNNING)
            return XHCI_CONTEXT_STATE_ERROR;
        xhci_model_stop_endpoint(model, number, index);
        return XHCI_SUCCESS;
    case XHCI_TRB_RESET_ENDPOINT:
        if (endpoint->state != XHCI_ENDPOINT_HALTED)
            return XHCI_CONTEXT_STATE_ERROR;
        if (!(trb->control & XHCI_TRB_PRESERVE))
            endpoint->sequence = 0;
        for (unsigned i = 0; i < endpoint->ring_count; i++)
            endpoint->rings[i].rung = false;
        xhci_model_set_state(model, number, index, XHCI_ENDPOINT_STOPPED);
        return XHCI_SUCCESS;
    default:
        return set_dequeue(model, number, index, trb);
    }
}

/* --- dispatch --- */

static unsigned execute(struct xhci_model *model, const struct xhci_trb *trb, unsigned *number)
{
    unsigned type = XHCI_TRB_TYPE_OF(trb->control);

    *number = XHCI_TRB_SLOT_OF(trb->control);
    if (type == XHCI_TRB_NO_OP_COMMAND)
        return XHCI_SUCCESS;
    if (type == XHCI_TRB_ENABLE_SLOT)
        return enable_slot(model, trb->control >> 16 & 0x1f, number);
    if (!*number || *number > XHCI_MODEL_SLOTS || !model->slots[*number].enabled) {
        xhci_model_violation(model, "a command for a slot that is not enabled");
        return XHCI_SLOT_NOT_ENABLED;
    }
    switch (type) {
    case XHCI_TRB_DISABLE_SLOT:
        return disable_slot(model, *number);
    case XHCI_TRB_ADDRESS_DEVICE:
        return address_device(model, *number, trb);
    case XHCI_TRB_CONFIGURE_ENDPOINT:
        return configure_endpoint(model, *number, trb);
    case XHCI_TRB_EVALUATE_CONTEXT:
        return evaluate_context(model, *number, trb);
    case XHCI_TRB_RESET_DEVICE:
        return reset_device(model, *number);
    case XHCI_TRB_RESET_ENDPOINT:
    case XHCI_TRB_STOP_ENDPOINT:
    case XHCI_TRB_SET_DEQUEUE:
        return endpoint_command(model, type, *number, trb);
    default:
        xhci_model_violation(model, "a command that does not exist");
        return XHCI_TRB_ERROR;
    }
}

static void answer(struct xhci_model *model, unsigned code, unsigned number)
{
    xhci_model_event(model, model->command_dequeue, (uint32_t)code << 24,
                     XHCI_TRB_TYPE(XHCI_TRB_COMMAND_EVENT) | XHCI_TRB_SLOT(number));
}

/* 4.6.1.2: the command that waits is aborted, then the ring stops. */
static void abort_commands(struct xhci_model *model)
{
    model->abort_asked = false;
    if (model->command_stuck) {
        const struct xhci_trb *trb = xhci_model_trb(model, model->command_dequeue);
        answer(model, XHCI_COMMAND_ABORTED, XHCI_TRB_SLOT_OF(trb->control));
        model->command_dequeue += sizeof(*trb);
    }
    model->command_stuck = model->command_running = false;
    answer(model, XHCI_COMMAND_RING_STOPPED, 0);
}

/* The command at the dequeue pointer, links followed; NULL: none. */
static const struct xhci_trb *next_command(struct xhci_model *model)
{
    for (unsigned links = 0; links < 4096; links++) {
        const struct xhci_trb *trb = xhci_model_trb(model, model->command_dequeue);
        if (!trb || (trb->control & XHCI_TRB_CYCLE) != model->command_cycle)
            return NULL;
        if (XHCI_TRB_TYPE_OF(trb->control) != XHCI_TRB_LINK)
            return trb;
        model->command_dequeue = trb->parameter;
        if (trb->control & XHCI_TRB_TOGGLE_CYCLE)
            model->command_cycle ^= 1;
    }
    xhci_model_violation(model, "links that lead nowhere");
    return NULL;
}

bool xhci_model_run_commands(struct xhci_model *model)
{
    if (model->abort_asked && !model->abort_ignored) {
        abort_commands(model);
        return true;
    }
    if (!model->command_running || model->command_stuck || model->event_full)
        return false;
    const struct xhci_trb *trb = next_command(model);
    if (!trb)
        return false;
    if (model->command_wait < model->command_delay) {
        model->command_wait++;
        return true;
    }
    unsigned type = XHCI_TRB_TYPE_OF(trb->control), number, code;
    model->command_wait = 0;
    model->commands++;
    model->command_types[type]++;
    if (model->deaf_command == (int)type) {
        model->command_stuck = true;
        return true;
    }
    if (model->bad_command == (int)type) {
        number = XHCI_TRB_SLOT_OF(trb->control);
        code = model->bad_code;
        if (model->bad_times && !--model->bad_times)
            model->bad_command = -1;
    } else {
        code = execute(model, trb, &number);
    }
    if (code == HANGS) {
        model->command_stuck = true;
        return true;
    }
    answer(model, code, number);
    model->command_dequeue += sizeof(*trb);
    return true;
}
