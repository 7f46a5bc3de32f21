/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The emulated xHCI's transfer rings: TDs, their data and their events (xHCI 1.2, sections 4.10 and 4.11). */
#include <stdlib.h>
#include <string.h>

#include "tests/support/xhci_model.h"

#define TD_TRBS_MAX 512

/* A TD as it lies on its ring. */
struct td {
    struct xhci_model_ring start; /* where its first TRB is */
    struct xhci_trb trbs[TD_TRBS_MAX];
    uint64_t addresses[TD_TRBS_MAX];
    unsigned count;
    size_t length;               /* bytes */
    struct xhci_model_ring next; /* behind it */
};

struct place {
    struct xhci_model *model;
    unsigned number, index, stream;
    struct xhci_model_slot *slot;
    struct xhci_model_endpoint *endpoint;
    struct xhci_model_ring *ring;
    struct usb_model_device *device; /* NULL: not there */
};

struct usb_model_device *xhci_model_present(struct xhci_model *model, const struct xhci_model_slot *slot)
{
    struct usb_model_device *device = usb_model_at_route(&model->ports[slot->root_port - 1], slot->route);

    if (!device || device != slot->model || !usb_model_reachable(device) || device->address != slot->address ||
        (!slot->address && !device->in_default_state))
        return NULL;
    return device;
}

/* --- fetching --- */

enum fetched { NOTHING, A_TRB };

/* The next TRB, links followed. `ring` moves behind it. */
static enum fetched fetch(struct xhci_model *model, struct xhci_model_ring *ring, struct xhci_trb *trb,
                          uint64_t *address, bool count_wraps)
{
    for (unsigned links = 0; links < 8192; links++) {
        const struct xhci_trb *at = xhci_model_trb(model, ring->dequeue);
        if (!at || (at->control & XHCI_TRB_CYCLE) != ring->cycle)
            return NOTHING;
        if (XHCI_TRB_TYPE_OF(at->control) != XHCI_TRB_LINK) {
            *trb = *at;
            *address = ring->dequeue;
            ring->dequeue += sizeof(*at);
            return A_TRB;
        }
        if (at->control & XHCI_TRB_TOGGLE_CYCLE) {
            ring->cycle ^= 1;
            model->ring_wraps += count_wraps;
        }
        ring->dequeue = at->parameter & ~15ull;
    }
    xhci_model_violation(model, "links that lead nowhere");
    return NOTHING;
}

static size_t trb_length(const struct xhci_trb *trb)
{
    return trb->status & XHCI_TRB_LENGTH_MASK;
}

static void check_buffer(struct xhci_model *model, const struct xhci_trb *trb)
{
    size_t length = trb_length(trb);

    if (length > XHCI_TRB_TRANSFER_MAX ||
        (length && (trb->parameter & (XHCI_TRB_TRANSFER_MAX - 1)) + length > XHCI_TRB_TRANSFER_MAX))
        xhci_model_violation(model, "a TRB across 64 KiB");
    if (trb->status >> 22 || trb->control & XHCI_TRB_IMMEDIATE)
        xhci_model_violation(model, "another interrupter, or immediate data where there is none");
}

/* 4.11.2.4: packets that are left after each TRB; KiB, with it, before 1.0. */
static void check_td_size(struct xhci_model *model, const struct td *td, uint16_t max_packet)
{
    size_t before = 0;

    for (unsigned i = 0; i < td->count; i++) {
        size_t left = td->length - before, length = trb_length(&td->trbs[i]);
        size_t expected = model->version < 0x100 ? left / 1024 : (left - length + max_packet - 1) / max_packet;
        if (expected > XHCI_TRB_TD_SIZE_MAX)
            expected = XHCI_TRB_TD_SIZE_MAX;
        if (i + 1 == td->count && model->version >= 0x100)
            expected = 0;
        /* The last one's is not looked at before 1.0. */
        if (XHCI_TRB_TD_SIZE_OF(td->trbs[i].status) != expected && (i + 1 < td->count || model->version >= 0x100)) {
            xhci_model_violation(model, "a TD size that is wrong");
            return;
        }
        before += length;
    }
}

/* The TD at the ring's dequeue pointer. False: there is none, or not all of it. */
static bool fetch_td(struct xhci_model *model, const struct xhci_model_ring *ring, struct td *td)
{
    td->start = td->next = *ring;
    td->count = 0;
    td->length = 0;
    for (;;) {
        struct xhci_trb *trb = &td->trbs[td->count];
        if (fetch(model, &td->next, trb, &td->addresses[td->count], false) == NOTHING)
            return false;
        td->length += XHCI_TRB_TYPE_OF(trb->control) == XHCI_TRB_SETUP ? 0 : trb_length(trb);
        td->count++;
        if (!(trb->control & XHCI_TRB_CHAIN))
            return true;
        if (td->count == TD_TRBS_MAX) {
            xhci_model_violation(model, "a TD without an end");
            return false;
        }
    }
}

static void advance(struct place *at, const struct td *td)
{
    struct td *again = malloc(sizeof(*again));

    /* Once more, to count the links that were followed. */
    if (!again)
        abort();
    struct xhci_model_ring ring = td->start;
    for (unsigned i = 0; i < td->count; i++)
        fetch(at->model, &ring, &again->trbs[0], &again->addresses[0], true);
    free(again);
    at->ring->dequeue = td->next.dequeue;
    at->ring->cycle = td->next.cycle;
    at->ring->moved = 0;
}

/* --- events --- */

static void lie(struct xhci_model *model, struct xhci_trb *event)
{
    enum xhci_model_lie how = model->lie;

    if (!model->lie_for_ever)
        model->lie = XHCI_LIE_NONE;
    switch (how) {
    case XHCI_LIE_SLOT:
        event->control = (event->control & 0x00ffffff) | 0xfd000000;
        break;
    case XHCI_LIE_ENDPOINT:
        event->control = (event->control & ~0x001f0000u) | XHCI_TRB_ENDPOINT(29);
        break;
    case XHCI_LIE_POINTER:
        event->parameter = 0xdeadbee0;
        break;
    case XHCI_LIE_OLD:
        event->parameter -= sizeof(struct xhci_trb);
        break;
    case XHCI_LIE_TWICE:
        xhci_model_event(model, event->parameter, event->status, event->control);
        break;
    case XHCI_LIE_LENGTH:
        event->status |= 0xffffff;
        break;
    case XHCI_LIE_TYPE:
        event->control = (event->control & ~0xfc00u) | XHCI_TRB_TYPE(62);
        break;
    case XHCI_LIE_NONE:
    case XHCI_LIE_NEVER:
        break;
    }
}

static void transfer_event(const struct place *at, uint64_t trb, unsigned code, size_t left)
{
    struct xhci_model *model = at->model;
    bool never = model->lie == XHCI_LIE_NEVER;
    struct xhci_trb event = {.parameter = trb,
                             .status = (uint32_t)code << 24 | (uint32_t)left,
                             .control = XHCI_TRB_TYPE(XHCI_TRB_TRANSFER_EVENT) | XHCI_TRB_ENDPOINT(at->index) |
                                        XHCI_TRB_SLOT(at->number)};

    if (model->soft_error && code == XHCI_SUCCESS && at->index > 1 &&
        (!model->soft_index || model->soft_index == at->index)) {
        event.status = (uint32_t)model->soft_error << 24 | (uint32_t)left;
        model->soft_error = 0;
    }
    lie(model, &event);
    model->transfer_events++;
    if (!never)
        xhci_model_event(model, event.parameter, event.status, event.control);
}

static void halt(struct place *at, uint64_t trb, unsigned code, size_t left)
{
    struct xhci_trb *position = xhci_model_trb(at->model, trb);

    transfer_event(at, trb, code, left);
    /* 4.8.3: it stays at the TD that failed. */
    if (position && !at->endpoint->streams) {
        struct xhci_endpoint_context *context =
            (struct xhci_endpoint_context *)(void *)xhci_model_context(at->model, at->number, at->index);
        context->dequeue = at->ring->dequeue | at->ring->cycle;
    }
    at->ring->rung = false;
    at->ring->moved = 0;
    xhci_model_set_state(at->model, at->number, at->index, XHCI_ENDPOINT_HALTED);
}

static unsigned failure_code(int result)
{
    switch (result) {
    case USB_MODEL_STALL:
        return XHCI_STALL;
    case USB_MODEL_BABBLE:
        return XHCI_BABBLE;
    default:
        return XHCI_TRANSACTION_ERROR;
    }
}

/* The TRB in which byte `moved` of the TD lies (the last one for its end); *left: bytes of it from there on. */
static unsigned trb_at(const struct td *td, size_t moved, size_t *left)
{
    size_t before = 0;

    for (unsigned i = 0; i < td->count; i++) {
        size_t length = trb_length(&td->trbs[i]);
        if (moved < before + length || i + 1 == td->count) {
            *left = before + length - moved;
            return i;
        }
        before += length;
    }
    *left = 0;
    return 0;
}

/* 4.10.1: all data has moved, or a short packet ended it. */
static void complete(struct place *at, const struct td *td, size_t moved, bool is_short)
{
    size_t left;
    unsigned last = trb_at(td, moved, &left);

    /* Whole TRBs before. */
    for (unsigned i = 0; i < last; i++)
        if (td->trbs[i].control & XHCI_TRB_IOC)
            transfer_event(at, td->addresses[i], XHCI_SUCCESS, 0);
    if (!is_short) {
        if (td->trbs[last].control & XHCI_TRB_IOC)
            transfer_event(at, td->addresses[last], XHCI_SUCCESS, 0);
        return;
    }
    if (td->trbs[last].control & (XHCI_TRB_ISP | XHCI_TRB_IOC))
        transfer_event(at, td->addresses[last], XHCI_SHORT_PACKET, left);
    unsigned end = td->count - 1;
    if (at->model->tells_last && end != last && td->trbs[end].control & XHCI_TRB_IOC)
        transfer_event(at, td->addresses[end], XHCI_SHORT_PACKET, trb_length(&td->trbs[end]));
}

/* --- data --- */

/* Copies between the TD's buffers, from byte `from` on, and `bytes`. */
static void copy_data(const struct td *td, size_t from, uint8_t *bytes, size_t count, bool to_host)
{
    size_t before = 0;

    for (unsigned i = 0; i < td->count && count; i++) {
        size_t length = trb_length(&td->trbs[i]);
        if (from < before + length) {
            size_t inside = from - before;
            size_t piece = length - inside < count ? length - inside : count;
            uint8_t *memory = (uint8_t *)td->trbs[i].parameter + inside;
            if (to_host)
                memcpy(memory, bytes, piece);
            else
                memcpy(bytes, memory, piece);
            bytes += piece;
            from += piece;
            count -= piece;
        }
        before += length;
    }
}

static void check_data_td(struct place *at, const struct td *td)
{
    struct xhci_model *model = at->model;

    for (unsigned i = 0; i < td->count; i++) {
        check_buffer(model, &td->trbs[i]);
        if (XHCI_TRB_TYPE_OF(td->trbs[i].control) != XHCI_TRB_NORMAL)
            xhci_model_violation(model, "a TRB type that does not belong on this ring");
        if (td->count > 1 && !trb_length(&td->trbs[i]))
            xhci_model_violation(model, "an empty TRB within a TD");
    }
    check_td_size(model, td, at->endpoint->max_packet);
    if (td->count > model->most_trbs)
        model->most_trbs = td->count;
    if (td->length > model->biggest)
        model->biggest = td->length;
}

static bool move_data(struct place *at, const struct td *td)
{
    uint8_t address = (uint8_t)(at->index / 2 | (at->index & 1 ? USB_IN : 0));
    bool in = at->index & 1;
    size_t left = td->length - at->ring->moved, in_trb;
    uint8_t *bytes = malloc(left + 1);
    int result = USB_MODEL_ERROR;

    if (!bytes)
        abort();
    if (!at->ring->moved)
        check_data_td(at, td);
    if (at->device && usb_model_packet_size(at->device, address) &&
        usb_model_packet_size(at->device, address) != at->endpoint->max_packet)
        xhci_model_violation(at->model, "a packet size other than the descriptor's");
    if (!in)
        copy_data(td, at->ring->moved, bytes, left, false);
    if (at->device)
        result = in ? usb_model_in(at->device, address, at->stream, bytes, left, &at->endpoint->sequence)
                    : usb_model_out(at->device, address, at->stream, bytes, left, &at->endpoint->sequence);
    if (in && result > 0)
        copy_data(td, at->ring->moved, bytes, (size_t)result, true);
    free(bytes);
    if (result == USB_MODEL_NAK || result == USB_MODEL_NOT_READY)
        return false;
    if (result < 0) {
        unsigned trb = trb_at(td, at->ring->moved, &in_trb);
        halt(at, td->addresses[trb], failure_code(result), in_trb);
        return true;
    }
    at->ring->moved += (size_t)result;
    bool is_short = in && (size_t)result < left && (!result || result % at->endpoint->max_packet);
    if (is_short || at->ring->moved == td->length) {
        complete(at, td, at->ring->moved, is_short);
        advance(at, td);
    }
    return true;
}

/* --- control --- */

struct control {
    struct td setup, data, status;
    bool has_data;
};

static void check_control(struct place *at, const struct control *control, const struct usb_setup *request)
{
    struct xhci_model *model = at->model;
    const struct xhci_trb *setup = &control->setup.trbs[0], *status = &control->status.trbs[0];
    bool in = request->request_type & USB_IN;
    uint32_t type = !control->has_data ? XHCI_TRB_SETUP_NO_DATA : in ? XHCI_TRB_SETUP_IN : XHCI_TRB_SETUP_OUT;

    if (XHCI_TRB_TYPE_OF(setup->control) != XHCI_TRB_SETUP || trb_length(setup) != 8 ||
        !(setup->control & XHCI_TRB_IMMEDIATE) || (setup->control & XHCI_TRB_SETUP_IN) != type)
        xhci_model_violation(model, "a setup stage that is not as it should be");
    if (control->has_data != (request->length != 0) ||
        control->data.length != (control->has_data ? request->length : 0))
        xhci_model_violation(model, "a data stage whose length is not the request's");
    if (control->has_data && (control->data.trbs[0].control & XHCI_TRB_IN) != (in ? XHCI_TRB_IN : 0))
        xhci_model_violation(model, "a data stage in the wrong direction");
    if (XHCI_TRB_TYPE_OF(status->control) != XHCI_TRB_STATUS ||
        (status->control & XHCI_TRB_IN) != (control->has_data && in ? 0 : XHCI_TRB_IN))
        xhci_model_violation(model, "a status stage that is not as it should be, or in the wrong direction");
    for (unsigned i = 0; control->has_data && i < control->data.count; i++)
        check_buffer(model, &control->data.trbs[i]);
    if (control->has_data)
        check_td_size(model, &control->data, at->endpoint->max_packet);
}

static bool fetch_control(struct place *at, struct control *control)
{
    if (!fetch_td(at->model, at->ring, &control->setup) || !fetch_td(at->model, &control->setup.next, &control->status))
        return false;
    control->has_data = XHCI_TRB_TYPE_OF(control->status.trbs[0].control) == XHCI_TRB_DATA;
    control->data.length = 0;
    if (!control->has_data)
        return true;
    control->data = control->status;
    return fetch_td(at->model, &control->data.next, &control->status);
}

/* What the packet size makes of a request when the driver's idea of it is wrong. */
static int packet_result(const struct place *at, const struct usb_setup *request, int result)
{
    int real = at->device->speed >= USB_SPEED_SUPER ? 512 : at->device->descriptor.max_packet;
    int told = at->endpoint->max_packet;

    if (result <= 0 || !(request->request_type & USB_IN))
        return result;
    if (real > told && result > told)
        return USB_MODEL_BABBLE;
    return real < told && result > real ? real : result;
}

static void control_failed(struct place *at, const struct control *control, int result)
{
    /* 4.10.3: the stage that the device has refused: data, or status without data. */
    const struct td *stage = control->has_data ? &control->data : &control->status;

    at->ring->dequeue = stage->start.dequeue;
    at->ring->cycle = stage->start.cycle;
    halt(at, stage->addresses[0], failure_code(result), trb_length(&stage->trbs[0]));
}

static bool move_control_td(struct place *at, struct control *control)
{
    struct usb_setup request;
    uint8_t *bytes;
    int result = USB_MODEL_ERROR;

    if (!fetch_control(at, control)) {
        at->ring->rung = false;
        return false;
    }
    memcpy(&request, &control->setup.trbs[0].parameter, sizeof(request));
    check_control(at, control, &request);
    bytes = calloc(1, control->data.length + 1);
    if (!bytes)
        abort();
    if (control->has_data && !(request.request_type & USB_IN))
        copy_data(&control->data, 0, bytes, control->data.length, false);
    if (at->device)
        result = usb_model_control(at->device, &request, bytes);
    if (at->device && result > 0)
        result = packet_result(at, &request, result);
    if (control->has_data && request.request_type & USB_IN && result > 0)
        copy_data(&control->data, 0, bytes, (size_t)result, true);
    free(bytes);
    if (result == USB_MODEL_NAK)
        return false;
    if (result < 0) {
        control_failed(at, control, result);
        return true;
    }
    if (control->has_data) {
        bool is_short = request.request_type & USB_IN && (size_t)result < control->data.length;
        complete(at, &control->data, is_short ? (size_t)result : control->data.length, is_short);
        advance(at, &control->data);
    }
    if (control->status.trbs[0].control & XHCI_TRB_IOC)
        transfer_event(at, control->status.addresses[0], XHCI_SUCCESS, 0);
    advance(at, &control->status);
    return true;
}

static bool move_control(struct place *at)
{
    struct control *control = malloc(sizeof(*control));

    if (!control)
        abort();
    bool moved = move_control_td(at, control);
    free(control);
    return moved;
}

/* --- stopping --- */

/* 4.6.9: where it stopped, for each ring that it was in the middle of. */
static void stop_ring(struct place *at, struct td *td)
{
    size_t left;

    if (at->ring->rung && fetch_td(at->model, at->ring, td)) {
        unsigned trb = trb_at(td, at->ring->moved, &left);
        transfer_event(at, td->addresses[trb], XHCI_STOPPED, left);
    } else if (at->model->stop_tells_idle) {
        transfer_event(at, at->ring->dequeue, XHCI_STOPPED_LENGTH_INVALID, 0);
    }
    at->ring->rung = false;
}

static struct place place_of(struct xhci_model *model, unsigned number, unsigned index, unsigned stream)
{
    struct xhci_model_slot *slot = &model->slots[number];

    return (struct place){.model = model,
                          .number = number,
                          .index = index,
                          .stream = stream,
                          .slot = slot,
                          .endpoint = &slot->endpoints[index],
                          .ring = &slot->endpoints[index].rings[stream]};
}

void xhci_model_stop_endpoint(struct xhci_model *model, unsigned number, unsigned index)
{
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];
    struct xhci_endpoint_context *context =
        (struct xhci_endpoint_context *)(void *)xhci_model_context(model, number, index);
    struct xhci_stream_context *streams = (struct xhci_stream_context *)endpoint->streams;
    struct td *td = malloc(sizeof(*td));

    if (!td)
        abort();
    for (unsigned i = streams ? 1 : 0; i < endpoint->ring_count; i++) {
        struct place at = place_of(model, number, index, i);
        if (!at.ring->dequeue)
            continue;
        stop_ring(&at, td);
        if (streams)
            streams[i].dequeue = at.ring->dequeue | at.ring->cycle | XHCI_STREAM_PRIMARY;
        else
            context->dequeue = at.ring->dequeue | at.ring->cycle;
    }
    free(td);
    xhci_model_set_state(model, number, index, XHCI_ENDPOINT_STOPPED);
}

/* --- running --- */

static bool run_ring(struct xhci_model *model, unsigned number, unsigned index, unsigned stream)
{
    struct place at = place_of(model, number, index, stream);
    bool moved;

    at.device = xhci_model_present(model, at.slot);
    if (!at.device && model->silent)
        return false;
    if (index == 1)
        return move_control(&at);
    struct td *td = malloc(sizeof(*td));
    if (!td)
        abort();
    if (!fetch_td(model, at.ring, td)) {
        if (td->count)
            xhci_model_violation(model, "a TD whose end is not there");
        at.ring->rung = false;
        moved = false;
    } else {
        moved = move_data(&at, td);
    }
    free(td);
    return moved;
}

/* The first of the endpoint's streams, from anywhere on, that moves. */
static bool run_endpoint(struct xhci_model *model, unsigned number, unsigned index)
{
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];
    unsigned start = (unsigned)(xhci_model_random(model) % endpoint->ring_count);

    for (unsigned i = 0; i < endpoint->ring_count; i++) {
        unsigned stream = (start + i) % endpoint->ring_count;
        if (endpoint->rings[stream].rung && run_ring(model, number, index, stream))
            return true;
        if (endpoint->state != XHCI_ENDPOINT_RUNNING)
            return false;
    }
    return false;
}

static void start_endpoint(struct xhci_model *model, unsigned number, unsigned index)
{
    model->slots[number].endpoints[index].starts_in = 0;
    xhci_model_set_state(model, number, index, XHCI_ENDPOINT_RUNNING);
}

static bool is_running(struct xhci_model *model, unsigned number, unsigned index)
{
    struct xhci_model_endpoint *endpoint = &model->slots[number].endpoints[index];

    if (endpoint->state == XHCI_ENDPOINT_STOPPED && endpoint->starts_in && !--endpoint->starts_in)
        start_endpoint(model, number, index);
    return endpoint->state == XHCI_ENDPOINT_RUNNING;
}

bool xhci_model_run_transfers(struct xhci_model *model)
{
    uint16_t work[XHCI_MODEL_SLOTS * XHCI_ENDPOINTS];
    unsigned count = 0, moved = 0;

    for (unsigned number = 1; number <= XHCI_MODEL_SLOTS; number++)
        for (unsigned index = 1; model->slots[number].bound && index <= XHCI_ENDPOINTS; index++)
            if (is_running(model, number, index))
                work[count++] = (uint16_t)(number << 5 | index);
    unsigned start = count ? (unsigned)(xhci_model_random(model) % count) : 0;
    for (unsigned i = 0; i < count && moved < model->pace; i++) {
        unsigned which = work[(start + i) % count];
        moved += run_endpoint(model, which >> 5, which & 31);
    }
    return moved > 0;
}

/* The stream's ring, read from the array when it is used for the first time. */
static bool find_stream(struct xhci_model *model, struct xhci_model_endpoint *endpoint, unsigned stream)
{
    if (!endpoint->streams || endpoint->rings[stream].dequeue)
        return true;
    uint64_t dequeue = ((const struct xhci_stream_context *)endpoint->streams)[stream].dequeue;
    if ((dequeue & 14) != XHCI_STREAM_PRIMARY || !xhci_model_trb(model, dequeue & ~15ull)) {
        xhci_model_violation(model, "a stream context that is none");
        return false;
    }
    endpoint->rings[stream] = (struct xhci_model_ring){.dequeue = dequeue & ~15ull, .cycle = dequeue & 1};
    return true;
}

static void pull_when_asked(struct xhci_model *model)
{
    if (!model->unplug_at_doorbell || --model->unplug_at_doorbell)
        return;
    struct usb_model_device *device = model->ports[model->unplug_port - 1].device;
    if (device)
        usb_model_unplug(device);
}

void xhci_model_ring_doorbell(struct xhci_model *model, unsigned number, uint32_t value)
{
    unsigned index = value & 0xff, stream = value >> 16;

    model->doorbells++;
    if (!model->running) {
        xhci_model_violation(model, "a doorbell while the controller does not run");
        return;
    }
    if (!number) {
        if (value)
            xhci_model_violation(model, "a command doorbell with a value");
        model->command_running = true;
        return;
    }
    struct xhci_model_slot *slot = number <= XHCI_MODEL_SLOTS ? &model->slots[number] : NULL;
    if (!slot || !slot->bound || !index || index > XHCI_ENDPOINTS || !slot->endpoints[index].state) {
        xhci_model_violation(model, "a doorbell of a slot or an endpoint that is not there");
        return;
    }
    struct xhci_model_endpoint *endpoint = &slot->endpoints[index];
    if (endpoint->streams ? !stream || stream >= endpoint->ring_count : stream) {
        xhci_model_violation(model, "a doorbell of a stream that is not there");
        return;
    }
    pull_when_asked(model);
    if (endpoint->state == XHCI_ENDPOINT_HALTED || endpoint->state == XHCI_ENDPOINT_ERROR)
        return;
    if (!find_stream(model, endpoint, stream))
        return;
    endpoint->rings[stream].rung = true;
    if (endpoint->state != XHCI_ENDPOINT_STOPPED)
        return;
    endpoint->starts_in = model->start_delay;
    if (!model->start_delay)
        start_endpoint(model, number, index);
}
