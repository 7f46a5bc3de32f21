/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The root hub: PORTSC. xHCI 1.2, sections 4.19 and 5.4.8. */
#include "drivers/usb/xhci_internal.h"

/* What may be written back without doing something: all else are switches, or cleared by writing ones. */
#define PORTSC_KEPT (XHCI_PORTSC_PP | XHCI_PORTSC_PIC_MASK)

static void port_write(struct xhci *xhci, unsigned port, uint32_t now, uint32_t bits)
{
    xhci_write(xhci, XHCI_PORTSC(port), (now & PORTSC_KEPT) | bits);
}

/* 0, or -ERROR_GONE: not a port that is served, or nothing answers. */
static int port_read(struct usb_hub *hub, unsigned port, uint32_t *value)
{
    struct xhci *xhci = hub->host;

    if (xhci->dead || port < 1 || port > xhci->port_count)
        return -ERROR_GONE;
    *value = xhci_read(xhci, XHCI_PORTSC(port));
    if (*value != UINT32_MAX)
        return 0;
    xhci_die(xhci, "it does not answer any more");
    return -ERROR_GONE;
}

/* ---- speed ---- */

static enum usb_speed speed_of_rate(uint64_t bits_per_second)
{
    if (bits_per_second < 5000000)
        return USB_SPEED_LOW;
    if (bits_per_second < 100000000)
        return USB_SPEED_FULL;
    if (bits_per_second < 2000000000)
        return USB_SPEED_HIGH;
    return bits_per_second < 9000000000 ? USB_SPEED_SUPER : USB_SPEED_SUPER_PLUS;
}

/* 7.2.2.1: by the port's own table. Tables that contradict the port's protocol are wrong, and the standard IDs meant. */
static enum usb_speed port_speed(const struct xhci *xhci, unsigned number, uint32_t value)
{
    static const uint64_t units[4] = {1, 1000, 1000000, 1000000000};
    const struct xhci_port *port = &xhci->ports[number];
    unsigned id = XHCI_PORTSC_SPEED(value);
    enum usb_speed speed = id <= USB_SPEED_SUPER_PLUS ? (enum usb_speed)id : USB_SPEED_SUPER_PLUS;

    for (unsigned i = 0; id && i < port->speeds; i++) {
        uint32_t entry = xhci->speeds[port->first_speed + i];
        if (XHCI_SPEED_ID(entry) != id || !XHCI_SPEED_MANTISSA(entry))
            continue;
        enum usb_speed rated = speed_of_rate(XHCI_SPEED_MANTISSA(entry) * units[XHCI_SPEED_EXPONENT(entry)]);
        if ((rated >= USB_SPEED_SUPER) == (port->major == 3))
            speed = rated;
        break;
    }
    if (port->major == 3)
        return speed < USB_SPEED_SUPER ? USB_SPEED_SUPER : speed;
    return speed > USB_SPEED_HIGH ? USB_SPEED_HIGH : speed;
}

/* 4.19.1.2.4, 4.19.8: something is there, and not seen as connected before a warm reset. */
static bool wants_warm_reset(const struct xhci_port *port, uint32_t value)
{
    unsigned link = XHCI_PORTSC_PLS(value);

    return port->major == 3 && !(value & XHCI_PORTSC_PR) &&
           (link == XHCI_LINK_INACTIVE || link == XHCI_LINK_COMPLIANCE || value & XHCI_PORTSC_CAS);
}

void xhci_port_changed(struct xhci *xhci, unsigned number)
{
    uint32_t value = xhci_read(xhci, XHCI_PORTSC(number));

    if (!(value & (XHCI_PORTSC_CCS | XHCI_PORTSC_PR)) && !wants_warm_reset(&xhci->ports[number], value))
        usb_bus_port_lost(&xhci->bus, number);
    else
        usb_bus_port_changed(&xhci->bus, number);
}

/* ---- operations ---- */

static int port_state(struct usb_hub *hub, unsigned number, struct usb_port_state *state)
{
    struct xhci *xhci = hub->host;
    const struct xhci_port *port = &xhci->ports[number < 256 ? number : 0];
    uint32_t value;

    *state = (struct usb_port_state){0};
    int result = port_read(hub, number, &value);
    if (result || !port->major)
        return result;
    if (value & XHCI_PORTSC_CHANGES)
        port_write(xhci, number, value, value & XHCI_PORTSC_CHANGES);
    state->powered = value & XHCI_PORTSC_PP || !xhci->power_control;
    state->connected = value & XHCI_PORTSC_CCS;
    state->enabled = value & XHCI_PORTSC_PED;
    state->resetting = value & XHCI_PORTSC_PR;
    state->over_current = value & XHCI_PORTSC_OCA;
    state->connect_changed = value & XHCI_PORTSC_CSC;
    state->reset_changed = value & (XHCI_PORTSC_PRC | XHCI_PORTSC_WRC);
    if (wants_warm_reset(port, value))
        state->needs_warm_reset = state->connected = true;
    if (state->enabled || (port->major == 3 && state->connected))
        state->speed = port_speed(xhci, number, value);
    return 0;
}

static int port_reset(struct usb_hub *hub, unsigned number, bool warm)
{
    struct xhci *xhci = hub->host;
    uint32_t value;
    int result = port_read(hub, number, &value);

    if (!result)
        port_write(xhci, number, value, warm && xhci->ports[number].major == 3 ? XHCI_PORTSC_WPR : XHCI_PORTSC_PR);
    return result;
}

static void port_link(struct xhci *xhci, unsigned number, uint32_t value, enum xhci_link_state link)
{
    port_write(xhci, number, value, XHCI_PORTSC_LWS | (uint32_t)link << XHCI_PORTSC_PLS_SHIFT);
}

static int port_disable(struct usb_hub *hub, unsigned number)
{
    struct xhci *xhci = hub->host;
    uint32_t value;
    int result = port_read(hub, number, &value);

    /*
     * A disabled USB 3 port does not see who comes and goes, and does not need to be: what hangs there, without an address, is
     * reached by no other's packets, which carry routes.
     */
    if (!result && xhci->ports[number].major == 2 && value & XHCI_PORTSC_PED)
        port_write(xhci, number, value, XHCI_PORTSC_PED);
    return result;
}

static int port_power(struct usb_hub *hub, unsigned number)
{
    struct xhci *xhci = hub->host;
    uint32_t value;
    int result = port_read(hub, number, &value);

    if (result || !xhci->ports[number].major)
        return result;
    if (!(value & XHCI_PORTSC_PP))
        port_write(xhci, number, value, XHCI_PORTSC_PP);
    /* 4.19.1.2.3: left disabled by whoever had it before. */
    else if (xhci->ports[number].major == 3 && XHCI_PORTSC_PLS(value) == XHCI_LINK_DISABLED)
        port_link(xhci, number, value, XHCI_LINK_RX_DETECT);
    return 0;
}

const struct usb_hub_operations xhci_root_operations = {
    .port_state = port_state,
    .port_reset = port_reset,
    .port_disable = port_disable,
    .port_power = port_power,
};
