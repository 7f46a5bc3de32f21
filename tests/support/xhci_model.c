/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The emulated xHCI's registers, root ports and event ring. Commands and transfers are in files of their own. */
#include "tests/support/xhci_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/pci.h"

#define OPERATIONAL 0x40u
#define EXTENDED 0x1000u
#define RUNTIME 0x2000u
#define DOORBELLS 0x3000u
#define BAR_SIZE 0x4000u
#define QUIET_TIME NANOSECONDS_PER_MILLISECOND /* 4.2: after HCRST no register is touched for so long, on some */

void xhci_model_violation(struct xhci_model *model, const char *what)
{
    model->violations++;
    model->violation = what;
    if (getenv("TEST_LOG"))
        fprintf(stderr, "xhci model: %s\n", what);
}

uint64_t xhci_model_random(struct xhci_model *model)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return model->random;
}

static uint64_t now(struct xhci_model *model)
{
    return platform_now(&model->platform->platform);
}

struct xhci_trb *xhci_model_trb(struct xhci_model *model, uint64_t address)
{
    if (!address || address & 15) {
        xhci_model_violation(model, "a TRB address that is not one");
        return NULL;
    }
    return (struct xhci_trb *)address;
}

/* --- the event ring (4.9.4) --- */

void xhci_model_event(struct xhci_model *model, uint64_t parameter, uint32_t status, uint32_t control)
{
    if (model->queue_count == XHCI_MODEL_EVENTS)
        abort();
    model->queue[(model->queue_first + model->queue_count++) % XHCI_MODEL_EVENTS] =
        (struct xhci_trb){parameter, status, control};
}

static const struct xhci_event_segment *segment_of(const struct xhci_model *model, unsigned segment)
{
    return (const struct xhci_event_segment *)model->erst + segment;
}

static void advance(const struct xhci_model *model, unsigned *segment, unsigned *index)
{
    if (++*index < segment_of(model, *segment)->size)
        return;
    *index = 0;
    *segment = (*segment + 1) % model->erst_size;
}

static uint64_t event_address(const struct xhci_model *model, unsigned segment, unsigned index)
{
    return segment_of(model, segment)->address + (uint64_t)index * sizeof(struct xhci_trb);
}

/* Slots that are free, at most `most`; one always stays empty. */
static unsigned event_room(const struct xhci_model *model, unsigned most)
{
    unsigned segment = model->event_segment, index = model->event_index, room = 0;

    while (room < most) {
        advance(model, &segment, &index);
        if (event_address(model, segment, index) == (model->erdp & ~15ull))
            break;
        room++;
    }
    return room;
}

static void write_event(struct xhci_model *model, const struct xhci_trb *event)
{
    struct xhci_trb *to = xhci_model_trb(model, event_address(model, model->event_segment, model->event_index));

    to->parameter = event->parameter;
    to->status = event->status;
    to->control = (event->control & ~XHCI_TRB_CYCLE) | model->event_cycle;
    unsigned segment = model->event_segment;
    advance(model, &model->event_segment, &model->event_index);
    if (!model->event_index && (model->event_segment <= segment))
        model->event_cycle ^= XHCI_TRB_CYCLE;
    model->erdp |= XHCI_ERDP_BUSY;
    model->status_bits |= XHCI_USBSTS_EINT;
    model->iman |= XHCI_IMAN_PENDING;
}

/* The last free slot is for the news that there is none left. */
static bool flush_events(struct xhci_model *model)
{
    static const struct xhci_trb full = {.status = (uint32_t)XHCI_EVENT_RING_FULL << 24,
                                         .control = XHCI_TRB_TYPE(XHCI_TRB_HOST_EVENT)};
    bool happened = false;

    while (model->queue_count) {
        unsigned room = event_room(model, 2);
        if (room == 1 && !model->event_full) {
            model->event_full = true;
            model->full_events++;
            write_event(model, &full);
            return true;
        }
        if (room < 2)
            return happened;
        model->event_full = false;
        write_event(model, &model->queue[model->queue_first]);
        model->queue_first = (model->queue_first + 1) % XHCI_MODEL_EVENTS;
        model->queue_count--;
        happened = true;
    }
    return happened;
}

/* Events that nobody asked for, as many as the ring takes. */
static void flood_events(struct xhci_model *model)
{
    for (unsigned i = 0; i < 64 && model->queue_count < XHCI_MODEL_EVENTS / 2; i++)
        xhci_model_event(model, xhci_model_random(model), (uint32_t)xhci_model_random(model),
                         (uint32_t)xhci_model_random(model));
}

/* --- ports --- */

static const struct xhci_model_protocol *protocol_of(const struct xhci_model *model, unsigned port)
{
    for (unsigned i = 0; i < XHCI_MODEL_PROTOCOLS; i++) {
        const struct xhci_model_protocol *protocol = &model->protocols[i];
        if (port >= protocol->first_port && port < protocol->first_port + protocol->port_count)
            return protocol;
    }
    return NULL;
}

unsigned xhci_model_speed_id(const struct xhci_model *model, unsigned port, enum usb_speed speed)
{
    const struct xhci_model_protocol *protocol = protocol_of(model, port);

    return protocol && protocol->speed_ids[speed] ? protocol->speed_ids[speed] : (unsigned)speed;
}

static uint32_t port_changes(const struct usb_model_port *port)
{
    uint32_t bits = 0;

    bits |= port->connect_changed ? XHCI_PORTSC_CSC : 0;
    bits |= port->enable_changed ? XHCI_PORTSC_PEC : 0;
    bits |= port->reset_changed ? XHCI_PORTSC_PRC : 0;
    bits |= port->over_current_changed ? XHCI_PORTSC_OCC : 0;
    if (port->super) {
        bits |= port->warm_reset_changed ? XHCI_PORTSC_WRC : 0;
        bits |= port->link_changed ? XHCI_PORTSC_PLC : 0;
    }
    return bits;
}

static unsigned link_state(const struct xhci_model *model, const struct usb_model_port *port)
{
    if (!port->powered || model->port_disabled[port->number - 1])
        return XHCI_LINK_DISABLED;
    if (port->inactive)
        return XHCI_LINK_INACTIVE;
    if (port->enabled)
        return XHCI_LINK_U0;
    return port->device ? XHCI_LINK_POLLING : XHCI_LINK_RX_DETECT;
}

static uint32_t read_port(struct xhci_model *model, struct usb_model_port *port)
{
    const struct usb_model_device *device = port->powered ? port->device : NULL;
    uint32_t value = port_changes(port) | link_state(model, port) << XHCI_PORTSC_PLS_SHIFT;

    usb_model_port_update(port);
    value = port_changes(port) | link_state(model, port) << XHCI_PORTSC_PLS_SHIFT;
    value |= device && !model->port_disabled[port->number - 1] ? XHCI_PORTSC_CCS : 0;
    value |= port->enabled ? XHCI_PORTSC_PED : 0;
    value |= port->over_current ? XHCI_PORTSC_OCA : 0;
    value |= port->resetting ? XHCI_PORTSC_PR : 0;
    value |= port->powered ? XHCI_PORTSC_PP : 0;
    if (device && (port->enabled || port->super))
        value |= xhci_model_speed_id(model, port->number, device->speed) << XHCI_PORTSC_SPEED_SHIFT;
    return value;
}

static void clear_changes(struct xhci_model *model, struct usb_model_port *port, uint32_t value)
{
    port->connect_changed &= !(value & XHCI_PORTSC_CSC);
    port->enable_changed &= !(value & XHCI_PORTSC_PEC);
    port->reset_changed &= !(value & XHCI_PORTSC_PRC);
    port->over_current_changed &= !(value & XHCI_PORTSC_OCC);
    port->warm_reset_changed &= !(value & XHCI_PORTSC_WRC);
    port->link_changed &= !(value & XHCI_PORTSC_PLC);
    model->port_changes[port->number - 1] &= ~value;
}

static void write_link_state(struct xhci_model *model, struct usb_model_port *port, unsigned state)
{
    if (!port->super || state != XHCI_LINK_RX_DETECT) {
        xhci_model_violation(model, "a link state that is not to be asked for was written");
        return;
    }
    if (!model->port_disabled[port->number - 1])
        return;
    model->port_disabled[port->number - 1] = false;
    usb_model_port_power(port, false);
    usb_model_port_power(port, true);
}

/* 5.4.8: what is written as it was read disables the port or clears changes that nobody has seen. */
static void write_port(struct xhci_model *model, struct usb_model_port *port, uint32_t value)
{
    uint32_t commands = XHCI_PORTSC_PED | XHCI_PORTSC_PR | XHCI_PORTSC_WPR | XHCI_PORTSC_LWS;

    usb_model_port_update(port);
    if (value & XHCI_PORTSC_PED && value & (commands & ~XHCI_PORTSC_PED))
        xhci_model_violation(model, "a port was disabled by the way");
    if (value & XHCI_PORTSC_CHANGES & ~port_changes(port))
        xhci_model_violation(model, "a port's change was cleared before it came");
    if (port->powered && !(value & XHCI_PORTSC_PP))
        xhci_model_violation(model, "a port lost its power");
    if (value & XHCI_PORTSC_WPR && !port->super)
        xhci_model_violation(model, "a warm reset of a USB 2 port");
    clear_changes(model, port, value);
    usb_model_port_power(port, value & XHCI_PORTSC_PP);
    if (value & XHCI_PORTSC_LWS)
        write_link_state(model, port, XHCI_PORTSC_PLS(value));
    if (value & XHCI_PORTSC_PED && port->enabled) {
        usb_model_port_disable(port);
        model->port_disabled[port->number - 1] = port->super;
    }
    if (value & (XHCI_PORTSC_PR | XHCI_PORTSC_WPR))
        usb_model_port_reset(port, value & XHCI_PORTSC_WPR);
}

static void watch_ports(struct xhci_model *model)
{
    for (unsigned i = 0; i < model->port_count; i++) {
        usb_model_port_update(&model->ports[i]);
        uint32_t fresh = port_changes(&model->ports[i]) & ~model->port_changes[i];
        if (!fresh)
            continue;
        model->port_changes[i] |= fresh;
        model->status_bits |= XHCI_USBSTS_PCD;
        if (!model->loses_port_events)
            xhci_model_event(model, (uint64_t)(i + 1) << 24, (uint32_t)XHCI_SUCCESS << 24,
                             XHCI_TRB_TYPE(XHCI_TRB_PORT_EVENT));
    }
}

/* --- the controller's state --- */

static void forget(struct xhci_model *model)
{
    xhci_model_free_slots(model);
    model->usbcmd = model->status_bits = model->config = model->erst_size = model->iman = 0;
    model->dcbaap = model->crcr = model->erst = model->erdp = 0;
    model->command_running = model->command_stuck = model->abort_asked = model->event_full = false;
    model->event_segment = model->event_index = model->queue_count = model->queue_first = 0;
    model->event_cycle = XHCI_TRB_CYCLE;
    model->running = model->fatal = model->controller_error = false;
    model->halted = true;
    memset(model->port_changes, 0, sizeof(model->port_changes));
    memset(model->port_disabled, 0, sizeof(model->port_disabled));
    for (unsigned i = 0; i < model->port_count; i++) {
        usb_model_port_power(&model->ports[i], false);
        if (!model->power_control)
            usb_model_port_power(&model->ports[i], true);
    }
}

static void update(struct xhci_model *model)
{
    uint64_t time = now(model);

    if (model->firmware_owned && !model->firmware_holds_on && model->legacy & XHCI_LEGSUP_OS_OWNED &&
        time >= model->firmware_at)
        model->legacy &= ~XHCI_LEGSUP_BIOS_OWNED;
    if (model->resetting && !model->never_resets && time >= model->change_at) {
        model->resetting = false;
        model->usbcmd &= ~XHCI_USBCMD_RESET;
        model->change_at = time + model->ready_delay;
    }
    if (model->not_ready && !model->resetting && !model->never_ready && time >= model->change_at)
        model->not_ready = false;
    if (!model->running && !model->halted && !model->never_halts && time >= model->change_at)
        model->halted = true;
    if ((model->fatal || model->stops) && model->running) {
        model->running = false;
        model->halted = true;
        model->usbcmd &= ~XHCI_USBCMD_RUN;
    }
}

static void check_scratchpads(struct xhci_model *model)
{
    const uint64_t *array = model->scratchpads ? (const uint64_t *)*(const uint64_t *)model->dcbaap : NULL;

    if (!model->scratchpads)
        return;
    if (!array || (uint64_t)array & 63) {
        xhci_model_violation(model, "no array of scratchpad buffers");
        return;
    }
    for (unsigned i = 0; i < model->scratchpads; i++) {
        if (!array[i] || array[i] & 4095) {
            xhci_model_violation(model, "a scratchpad buffer is missing or not aligned to a page");
            return;
        }
        memset((void *)array[i], 0x5c, 4096); /* it is the controller's */
    }
}

static void check_start(struct xhci_model *model)
{
    if (!model->dcbaap || model->dcbaap & 63 || !model->erst || !model->erst_size || !model->erdp || !model->crcr ||
        !(model->config & XHCI_CONFIG_SLOTS_MASK)) {
        xhci_model_violation(model, "started before everything was set up");
        return;
    }
    for (unsigned i = 0; i < model->erst_size; i++) {
        const struct xhci_event_segment *segment = segment_of(model, i);
        if (segment->address & 63 || segment->size < 16 || segment->size > 4096)
            xhci_model_violation(model, "an event ring segment of a bad size or place");
    }
    if ((model->erdp & ~15ull) != segment_of(model, 0)->address)
        xhci_model_violation(model, "the event ring's dequeue pointer does not begin at its start");
    check_scratchpads(model);
}

static void write_command(struct xhci_model *model, uint32_t value)
{
    uint32_t before = model->usbcmd;

    if (value & XHCI_USBCMD_INTERRUPTS)
        xhci_model_violation(model, "interrupts were enabled");
    if (value & XHCI_USBCMD_RESET) {
        if (!model->halted)
            xhci_model_violation(model, "a reset while it runs");
        model->resets++;
        forget(model);
        model->usbcmd = XHCI_USBCMD_RESET;
        model->resetting = model->not_ready = true;
        model->reset_at = now(model);
        model->change_at = model->reset_at + model->ready_delay;
        return;
    }
    model->usbcmd = value;
    if (value & XHCI_USBCMD_RUN && !(before & XHCI_USBCMD_RUN)) {
        if (!model->halted)
            xhci_model_violation(model, "started before it had halted");
        check_start(model);
        model->running = true;
        model->halted = false;
    }
    if (!(value & XHCI_USBCMD_RUN) && before & XHCI_USBCMD_RUN) {
        model->running = false;
        model->change_at = now(model) + model->ready_delay;
    }
}

/* --- registers --- */

static uint32_t read_capability(const struct xhci_model *model, uint64_t offset)
{
    switch (offset) {
    case XHCI_CAPLENGTH:
        return OPERATIONAL | (uint32_t)model->version << 16;
    case XHCI_HCSPARAMS1:
        return model->slot_count | 1u << 8 | model->port_count << 24;
    case XHCI_HCSPARAMS2:
        return 1u | model->event_segments << 4 | (model->scratchpads >> 5 & 0x1fu) << 21 |
               (model->scratchpads & 0x1fu) << 27;
    case XHCI_HCCPARAMS1:
        return XHCI_HCCPARAMS1_AC64 | (model->wide_contexts ? XHCI_HCCPARAMS1_CSZ : 0) |
               (model->power_control ? XHCI_HCCPARAMS1_PPC : 0) | model->stream_array << 12 | EXTENDED / 4 << 16;
    case XHCI_DBOFF:
        return DOORBELLS;
    case XHCI_RTSOFF:
        return RUNTIME;
    default:
        return 0;
    }
}

static uint32_t read_status(const struct xhci_model *model)
{
    uint32_t value = model->status_bits;

    value |= model->halted ? XHCI_USBSTS_HALTED : 0;
    value |= model->not_ready ? XHCI_USBSTS_NOT_READY : 0;
    value |= model->fatal ? XHCI_USBSTS_HSE : 0;
    value |= model->controller_error ? XHCI_USBSTS_HCE : 0;
    return value;
}

static uint32_t read_operational(struct xhci_model *model, uint64_t offset)
{
    if (offset >= XHCI_PORTS) {
        uint64_t port = (offset - XHCI_PORTS) / XHCI_PORT_STRIDE;
        if (port >= model->port_count) {
            xhci_model_violation(model, "a port that is not there was read");
            return 0;
        }
        return (offset - XHCI_PORTS) % XHCI_PORT_STRIDE ? 0 : read_port(model, &model->ports[port]);
    }
    switch (offset) {
    case XHCI_USBCMD:
        return model->usbcmd;
    case XHCI_USBSTS:
        return read_status(model);
    case XHCI_PAGESIZE:
        return 1;
    case XHCI_CRCR:
        return model->command_running ? XHCI_CRCR_RUNNING : 0;
    case XHCI_DCBAAP:
        return (uint32_t)model->dcbaap;
    case XHCI_DCBAAP + 4:
        return (uint32_t)(model->dcbaap >> 32);
    case XHCI_CONFIG:
        return model->config;
    default:
        return 0;
    }
}

static uint32_t read_runtime(const struct xhci_model *model, uint64_t offset)
{
    switch (offset) {
    case XHCI_INTERRUPTER(0) + XHCI_IMAN:
        return model->iman;
    case XHCI_INTERRUPTER(0) + XHCI_IMOD:
        return model->imod;
    case XHCI_INTERRUPTER(0) + XHCI_ERSTSZ:
        return model->erst_size;
    case XHCI_INTERRUPTER(0) + XHCI_ERSTBA:
        return (uint32_t)model->erst;
    case XHCI_INTERRUPTER(0) + XHCI_ERSTBA + 4:
        return (uint32_t)(model->erst >> 32);
    case XHCI_INTERRUPTER(0) + XHCI_ERDP:
        return (uint32_t)model->erdp;
    case XHCI_INTERRUPTER(0) + XHCI_ERDP + 4:
        return (uint32_t)(model->erdp >> 32);
    default:
        return 0;
    }
}

static bool check_access(struct xhci_model *model, uint64_t offset, unsigned width)
{
    if (width != 4 || offset % 4 || offset + 4 > BAR_SIZE)
        xhci_model_violation(model, "a register access outside, or not 32 bits wide");
    if (model->resets && model->not_ready && now(model) - model->reset_at < QUIET_TIME)
        xhci_model_violation(model, "a register was touched right after a reset");
    return !model->gone;
}

static uint64_t model_read(struct test_pci_function *function, unsigned bar, uint64_t offset, unsigned width)
{
    struct xhci_model *model = function->context;

    (void)bar;
    model->register_reads++;
    if (!check_access(model, offset, width))
        return UINT32_MAX;
    update(model);
    if (offset >= DOORBELLS)
        return 0;
    if (offset >= RUNTIME)
        return read_runtime(model, offset - RUNTIME);
    if (offset == EXTENDED)
        return model->legacy;
    if (offset == EXTENDED + XHCI_LEGCTLSTS)
        return model->legacy_control;
    if (offset >= EXTENDED)
        return offset - EXTENDED < sizeof(model->extended) ? model->extended[(offset - EXTENDED) / 4] : 0;
    if (offset >= OPERATIONAL)
        return read_operational(model, offset - OPERATIONAL);
    return read_capability(model, offset);
}

static void set_half(uint64_t *value, bool high, uint32_t half)
{
    *value = high ? (*value & UINT32_MAX) | (uint64_t)half << 32 : (*value & ~(uint64_t)UINT32_MAX) | half;
}

static void write_crcr(struct xhci_model *model, bool high, uint32_t value)
{
    if (!high && value & (XHCI_CRCR_STOP | XHCI_CRCR_ABORT)) {
        model->abort_asked = model->command_running;
        return;
    }
    if (model->command_running)
        return;
    set_half(&model->crcr, high, value);
    model->command_dequeue = model->crcr & ~63ull;
    model->command_cycle = (uint32_t)model->crcr & XHCI_CRCR_CYCLE;
}

static void write_operational(struct xhci_model *model, uint64_t offset, uint32_t value)
{
    if (model->not_ready)
        xhci_model_violation(model, "a register was written before the controller was ready");
    if (offset >= XHCI_PORTS) {
        uint64_t port = (offset - XHCI_PORTS) / XHCI_PORT_STRIDE;
        if (port >= model->port_count)
            xhci_model_violation(model, "a port that is not there was written");
        else if (!((offset - XHCI_PORTS) % XHCI_PORT_STRIDE))
            write_port(model, &model->ports[port], value);
        return;
    }
    switch (offset) {
    case XHCI_USBCMD:
        write_command(model, value);
        return;
    case XHCI_USBSTS:
        model->status_bits &= ~(value & (XHCI_USBSTS_EINT | XHCI_USBSTS_PCD));
        return;
    case XHCI_CRCR:
    case XHCI_CRCR + 4:
        write_crcr(model, offset != XHCI_CRCR, value);
        return;
    case XHCI_DNCTRL:
        return;
    default:
        break;
    }
    if (model->running)
        xhci_model_violation(model, "a register was written that stays as it is while the controller runs");
    if (offset == XHCI_DCBAAP || offset == XHCI_DCBAAP + 4)
        set_half(&model->dcbaap, offset != XHCI_DCBAAP, value);
    else if (offset == XHCI_CONFIG && (value & XHCI_CONFIG_SLOTS_MASK) <= model->slot_count)
        model->config = value;
    else
        xhci_model_violation(model, "a register that is not there, or more slots than there are");
}

static bool in_event_ring(const struct xhci_model *model, uint64_t address)
{
    for (unsigned i = 0; i < model->erst_size; i++) {
        const struct xhci_event_segment *segment = segment_of(model, i);
        if (address >= segment->address && address < segment->address + segment->size * sizeof(struct xhci_trb))
            return !(address & 15);
    }
    return false;
}

static void write_event_pointer(struct xhci_model *model, bool high, uint32_t value)
{
    uint64_t busy = model->erdp & XHCI_ERDP_BUSY;

    if (!high && value & XHCI_ERDP_BUSY)
        busy = 0;
    set_half(&model->erdp, high, high ? value : value & ~XHCI_ERDP_BUSY);
    model->erdp |= busy;
    if (!high)
        return;
    model->event_pointer_writes++;
    if (model->running && !in_event_ring(model, model->erdp & ~15ull))
        xhci_model_violation(model, "an event ring dequeue pointer outside of the ring");
}

static void write_runtime(struct xhci_model *model, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case XHCI_INTERRUPTER(0) + XHCI_IMAN:
        if (value & XHCI_IMAN_ENABLE)
            xhci_model_violation(model, "an interrupter was enabled");
        model->iman = model->iman & XHCI_IMAN_PENDING & ~value;
        return;
    case XHCI_INTERRUPTER(0) + XHCI_IMOD:
        model->imod = value;
        return;
    case XHCI_INTERRUPTER(0) + XHCI_ERSTSZ:
        if (value > 1u << model->event_segments)
            xhci_model_violation(model, "more event ring segments than there may be");
        model->erst_size = value;
        return;
    case XHCI_INTERRUPTER(0) + XHCI_ERSTBA:
    case XHCI_INTERRUPTER(0) + XHCI_ERSTBA + 4:
        if (model->running || !model->erst_size || value & (offset & 4 ? 0 : 63))
            xhci_model_violation(model, "an event ring segment table that is not aligned, too early or too late");
        set_half(&model->erst, offset & 4, value);
        return;
    case XHCI_INTERRUPTER(0) + XHCI_ERDP:
    case XHCI_INTERRUPTER(0) + XHCI_ERDP + 4:
        write_event_pointer(model, offset & 4, value);
        return;
    default:
        /* Other interrupters may be told to be quiet. */
        if (offset < XHCI_INTERRUPTER(1) || value & XHCI_IMAN_ENABLE)
            xhci_model_violation(model, "a runtime register that is not there");
    }
}

static void write_legacy(struct xhci_model *model, uint64_t offset, uint32_t value)
{
    if (offset == EXTENDED) {
        if (value & XHCI_LEGSUP_OS_OWNED && !(model->legacy & XHCI_LEGSUP_OS_OWNED))
            model->firmware_at = now(model) + model->firmware_delay;
        /* The driver may take the firmware's flag by force. */
        model->legacy = (model->legacy & 0xffff) | (value & (XHCI_LEGSUP_OS_OWNED | XHCI_LEGSUP_BIOS_OWNED));
        return;
    }
    model->legacy_control = value & XHCI_LEGCTLSTS_ENABLES;
}

static void model_write(struct test_pci_function *function, unsigned bar, uint64_t offset, unsigned width,
                        uint64_t value)
{
    struct xhci_model *model = function->context;

    (void)bar;
    if (!check_access(model, offset, width))
        return;
    update(model);
    if (offset >= DOORBELLS)
        xhci_model_ring_doorbell(model, (unsigned)((offset - DOORBELLS) / 4), (uint32_t)value);
    else if (offset >= RUNTIME)
        write_runtime(model, offset - RUNTIME, (uint32_t)value);
    else if (offset == EXTENDED || offset == EXTENDED + XHCI_LEGCTLSTS)
        write_legacy(model, offset, (uint32_t)value);
    else if (offset >= OPERATIONAL && offset < EXTENDED)
        write_operational(model, offset - OPERATIONAL, (uint32_t)value);
    else
        xhci_model_violation(model, "a capability was written");
}

/* --- life --- */

static bool model_poll(struct pollable *pollable)
{
    struct xhci_model *model = (struct xhci_model *)(void *)((char *)pollable - offsetof(struct xhci_model, pollable));
    bool happened = false;

    if (model->gone)
        return false;
    update(model);
    if (!model->running) {
        for (unsigned i = 0; i < model->port_count; i++)
            usb_model_port_update(&model->ports[i]);
        return false;
    }
    watch_ports(model);
    if (model->controller_error)
        return false;
    happened = xhci_model_run_commands(model);
    if (!model->frozen && !model->event_full && xhci_model_run_transfers(model))
        happened = true;
    if (model->flood)
        flood_events(model);
    return flush_events(model) || happened;
}

static void fill_extended(struct xhci_model *model)
{
    unsigned at = 4, last = 0;

    model->legacy = XHCI_EXTENDED_LEGACY | 4u << 8 | (model->firmware_owned ? XHCI_LEGSUP_BIOS_OWNED : 0);
    model->legacy_control = model->firmware_owned ? 0x0000e011u : 0;
    for (unsigned i = 0; i < XHCI_MODEL_PROTOCOLS; i++) {
        const struct xhci_model_protocol *protocol = &model->protocols[i];
        if (!protocol->port_count)
            continue;
        unsigned size = 4 + protocol->speed_count;
        last = at;
        model->extended[at] =
            XHCI_EXTENDED_PROTOCOL | size << 8 | (uint32_t)protocol->minor << 16 | (uint32_t)protocol->major << 24;
        model->extended[at + 1] = XHCI_PROTOCOL_NAME_USB;
        model->extended[at + 2] =
            protocol->first_port | (uint32_t)protocol->port_count << 8 | protocol->speed_count << 28;
        model->extended[at + 3] = protocol->slot_type;
        memcpy(&model->extended[at + 4], protocol->speeds, protocol->speed_count * sizeof(uint32_t));
        at += size;
    }
    model->extended[last] &= ~0xff00u;
}

void xhci_model_init(struct xhci_model *model, struct test_platform *platform, struct loop *loop)
{
    memset(model, 0, sizeof(*model));
    model->platform = platform;
    model->loop = loop;
    model->version = 0x110;
    model->slot_count = 32;
    model->port_count = 8;
    model->scratchpads = 4;
    model->stream_array = 7;
    model->protocols[0] = (struct xhci_model_protocol){.major = 2, .first_port = 1, .port_count = 4};
    model->protocols[1] = (struct xhci_model_protocol){.major = 3, .first_port = 5, .port_count = 4};
    model->firmware_delay = 10 * NANOSECONDS_PER_MILLISECOND;
    model->ready_delay = 2 * NANOSECONDS_PER_MILLISECOND;
    model->tells_last = true;
    model->event_segments = 2;
    model->pace = 4;
    model->command_delay = 1;
    model->deaf_command = model->bad_command = -1;
    model->halted = true;
    model->random = 0x9e3779b97f4a7c15ull;
    for (unsigned i = 0; i < XHCI_MODEL_PORTS; i++)
        usb_model_port_init(&model->ports[i], &platform->platform, i + 1, i >= 4, NULL);
    model->function = (struct test_pci_function){
        .pci = {.bus = 1, .vendor_id = 0x1b36, .device_id = 0x000d, .class_code = 0x0c0330},
        .bar_size = {BAR_SIZE},
        .register_read = model_read,
        .register_write = model_write,
        .context = model,
    };
    test_platform_add_function(platform, &model->function);
}

void xhci_model_start(struct xhci_model *model)
{
    fill_extended(model);
    for (unsigned i = 0; i < model->port_count; i++) {
        const struct xhci_model_protocol *protocol = protocol_of(model, i + 1);
        model->ports[i].super = protocol && protocol->major >= 3;
    }
    forget(model);
    model->pollable.poll = model_poll;
    loop_add(model->loop, &model->pollable);
}

void xhci_model_end(struct xhci_model *model)
{
    loop_remove(model->loop, &model->pollable);
    xhci_model_free_slots(model);
}
