/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event ring, and the controller's health. xHCI 1.2, sections 4.9.4 and 4.17. */
#include "drivers/usb/xhci_internal.h"

static void port_event(struct xhci *xhci, const struct xhci_trb *event)
{
    unsigned port = XHCI_EVENT_PORT(event->parameter);

    if (port < 1 || port > xhci->port_count)
        xhci->strange_events++;
    else if (xhci->ports[port].major)
        xhci_port_changed(xhci, port);
}

static void host_event(struct xhci *xhci, const struct xhci_trb *event)
{
    unsigned code = XHCI_EVENT_CODE(event->status);

    /* 4.9.4: what came after it may be lost; the checks of USBSTS tell whether it goes on. */
    platform_log(xhci->platform, LOG_WARNING, "%s: host controller event, code %u", xhci->bus.name, code);
}

static void dispatch_event(struct xhci *xhci, const struct xhci_trb *event)
{
    switch (XHCI_TRB_TYPE_OF(event->control)) {
    case XHCI_TRB_TRANSFER_EVENT:
        xhci_transfer_event(xhci, event);
        break;
    case XHCI_TRB_COMMAND_EVENT:
        xhci_command_event(xhci, event);
        break;
    case XHCI_TRB_PORT_EVENT:
        port_event(xhci, event);
        break;
    case XHCI_TRB_HOST_EVENT:
        host_event(xhci, event);
        break;
    case XHCI_TRB_NOTIFICATION_EVENT:
    case XHCI_TRB_WRAP_EVENT:
        break;
    default:
        xhci->strange_events++;
        break;
    }
}

/* 4.9.4: the controller may use the places before this one again. */
static void events_acknowledge(struct xhci *xhci)
{
    uint64_t position = xhci->event_memory.address + (uint64_t)xhci->event_next * sizeof(struct xhci_trb);

    register_write64(&xhci->registers, xhci->runtime + XHCI_INTERRUPTER(0) + XHCI_ERDP, position | XHCI_ERDP_BUSY);
}

/*
 * One round at most: a controller that invents events must not keep us here.
 *
 * Each event is acknowledged before anything is done about it, although once for all of them would do. QEMU's controller looks at
 * the transfer ring once more after it has told of a transfer, from a thread of its own: a status that a disk is asked for in
 * that moment reaches its usb-storage before that has ended the read, and is never answered. A register is written when QEMU has
 * finished with the event, not earlier. For real controllers it is one posted write per transfer.
 */
static bool events_take(struct xhci *xhci)
{
    unsigned taken = 0;

    while (taken < xhci->event_count && !xhci->dead) {
        const volatile struct xhci_trb *entry = &xhci->events[xhci->event_next];
        uint32_t control = entry->control;
        if ((control & XHCI_TRB_CYCLE) != xhci->event_cycle)
            break;
        dma_barrier(); /* the cycle bit is read before the rest */
        struct xhci_trb event = {.parameter = entry->parameter, .status = entry->status, .control = control};
        taken++;
        if (++xhci->event_next == xhci->event_count) {
            xhci->event_next = 0;
            xhci->event_cycle ^= XHCI_TRB_CYCLE;
        }
        events_acknowledge(xhci);
        dispatch_event(xhci, &event);
    }
    return taken > 0;
}

/* Port events get lost when the event ring is full, and on some controllers while a port is being reset. */
static void ports_check(struct xhci *xhci)
{
    xhci_write(xhci, XHCI_USBSTS, XHCI_USBSTS_PCD);
    for (unsigned port = 1; port <= xhci->port_count; port++)
        if (xhci->ports[port].major && xhci_read(xhci, XHCI_PORTSC(port)) & XHCI_PORTSC_CHANGES)
            xhci_port_changed(xhci, port);
}

static void controller_check(struct xhci *xhci)
{
    uint64_t now = platform_now(xhci->platform);

    if (now < xhci->next_check)
        return;
    xhci->next_check = now + XHCI_CHECK_INTERVAL;
    uint32_t status = xhci_read(xhci, XHCI_USBSTS);
    if (status == UINT32_MAX)
        xhci_die(xhci, "it does not answer any more");
    else if (status & (XHCI_USBSTS_HSE | XHCI_USBSTS_HCE))
        xhci_die(xhci, "it reports a fatal error (USBSTS %08x)", status);
    else if (status & XHCI_USBSTS_HALTED)
        xhci_die(xhci, "it has stopped by itself (USBSTS %08x)", status);
    else if (status & XHCI_USBSTS_PCD)
        ports_check(xhci);
}

bool xhci_poll(struct pollable *pollable)
{
    struct usb_bus *bus = (struct usb_bus *)((char *)pollable - offsetof(struct usb_bus, pollable));
    struct xhci *xhci = bus->host;

    if (xhci->dead || !xhci->running)
        return false;
    if (bus->dead) { /* a transport found no other way to end its DMA */
        xhci_die(xhci, "a device could not be stopped");
        return true;
    }
    bool happened = events_take(xhci);
    if (!xhci->dead && xhci_command_watch(xhci))
        happened = true;
    if (!xhci->dead && !happened)
        controller_check(xhci);
    return happened;
}
