/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a controller says of itself. xHCI 1.2, sections 5.3 and 7. */
#include "drivers/quirks.h"
#include "drivers/usb/xhci_internal.h"

#define CAPABILITY_SIZE 0x20u
#define EXTENDED_MAX 256u /* more do not fit into the offsets that they are linked by */
#define PAGE_SIZE_MAX 65536u

static int malformed(const struct xhci *xhci, struct error *error, const char *what)
{
    return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, xhci->bus.name, ERROR_NO_BLOCK, "%s", what);
}

/* 7.2: which ports speak which protocol, and what their speed IDs mean. Where ranges overlap, the first one counts. */
static void read_protocol(struct xhci *xhci, uint64_t at, uint32_t header)
{
    struct registers *registers = &xhci->registers;
    uint32_t ports = register_read32(registers, at + XHCI_PROTOCOL_PORTS);
    unsigned major = XHCI_PROTOCOL_MAJOR(header);
    unsigned first = XHCI_PROTOCOL_FIRST_PORT(ports), count = XHCI_PROTOCOL_PORT_COUNT(ports);
    unsigned speeds = XHCI_PROTOCOL_SPEED_COUNT(ports);

    if ((major != 2 && major != 3) || register_read32(registers, at + XHCI_PROTOCOL_NAME) != XHCI_PROTOCOL_NAME_USB ||
        !first || first > xhci->port_count)
        return;
    if (xhci->speed_count + speeds > XHCI_SPEEDS_MAX)
        speeds = 0; /* the standard ones then */
    struct xhci_port port = {
        .major = (uint8_t)major, .speeds = (uint8_t)speeds, .first_speed = (uint8_t)xhci->speed_count};
    /* It came with 1.0. */
    if (xhci->version >= 0x100)
        port.slot_type = XHCI_PROTOCOL_TYPE(register_read32(registers, at + XHCI_PROTOCOL_SLOT_TYPE));
    for (unsigned i = 0; i < speeds; i++)
        xhci->speeds[xhci->speed_count++] = register_read32(registers, at + XHCI_PROTOCOL_SPEEDS + 4 * i);
    for (unsigned i = first; i <= xhci->port_count && i - first < count; i++)
        if (!xhci->ports[i].major)
            xhci->ports[i] = port;
}

static void read_extended(struct xhci *xhci, uint32_t parameters)
{
    uint64_t at = 4ull * XHCI_HCCPARAMS1_XECP(parameters);

    for (unsigned left = EXTENDED_MAX; left && at; left--) {
        uint32_t header = register_read32(&xhci->registers, at);
        if (header == UINT32_MAX)
            return;
        if (XHCI_EXTENDED_ID(header) == XHCI_EXTENDED_LEGACY && !xhci->legacy)
            xhci->legacy = at;
        else if (XHCI_EXTENDED_ID(header) == XHCI_EXTENDED_PROTOCOL)
            read_protocol(xhci, at, header);
        at = XHCI_EXTENDED_NEXT(header) ? at + 4ull * XHCI_EXTENDED_NEXT(header) : 0;
    }
}

static int read_layout(struct xhci *xhci, struct error *error)
{
    struct registers *registers = &xhci->registers;
    uint32_t length = register_read32(registers, XHCI_CAPLENGTH);

    if (length == UINT32_MAX)
        return error_set(error, ERROR_GONE, OPERATION_IDENTIFY, xhci->bus.name, ERROR_NO_BLOCK, "it does not answer");
    xhci->version = (uint16_t)XHCI_CAP_VERSION(length);
    xhci->operational = XHCI_CAP_LENGTH(length);
    xhci->doorbells = register_read32(registers, XHCI_DBOFF) & XHCI_DBOFF_MASK;
    xhci->runtime = register_read32(registers, XHCI_RTSOFF) & XHCI_RTSOFF_MASK;
    uint64_t size = registers->size;
    if (xhci->operational < CAPABILITY_SIZE || xhci->operational % 4 ||
        size < xhci->operational + XHCI_PORTSC(xhci->port_count + 1) ||
        size < xhci->doorbells + XHCI_DOORBELL(xhci->slot_count + 1) || size < xhci->runtime + XHCI_INTERRUPTER(1))
        return malformed(xhci, error, "its registers do not lie where they can be");
    return 0;
}

int xhci_read_capabilities(struct xhci *xhci, struct error *error)
{
    struct registers *registers = &xhci->registers;
    uint32_t structure = register_read32(registers, XHCI_HCSPARAMS1);
    uint32_t limits = register_read32(registers, XHCI_HCSPARAMS2);
    uint32_t parameters = register_read32(registers, XHCI_HCCPARAMS1);

    xhci->slot_count = XHCI_HCSPARAMS1_SLOTS(structure);
    if (xhci->slot_count > XHCI_SLOTS_MAX)
        xhci->slot_count = XHCI_SLOTS_MAX;
    xhci->port_count = XHCI_HCSPARAMS1_PORTS(structure);
    xhci->scratchpads = XHCI_HCSPARAMS2_SCRATCHPADS(limits);
    xhci->context_size = parameters & XHCI_HCCPARAMS1_CSZ ? 64 : 32;
    xhci->power_control = parameters & XHCI_HCCPARAMS1_PPC;
    int result = read_layout(xhci, error);
    if (result)
        return result;
    if (!xhci->slot_count || !xhci->port_count)
        return malformed(xhci, error, "it has no slots or no ports");
    if (!(parameters & XHCI_HCCPARAMS1_AC64) || xhci->quirks & QUIRK_XHCI_32_BITS)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, xhci->bus.name, ERROR_NO_BLOCK,
                         "it reaches memory below 4 GiB only");
    if (XHCI_HCCPARAMS1_MAX_PSA(parameters) && !(xhci->quirks & QUIRK_XHCI_NO_STREAMS))
        xhci->stream_array_max = 2u << XHCI_HCCPARAMS1_MAX_PSA(parameters);
    /* 4.11.5.1 of 0.95 wants chained links; later ones do not look. */
    xhci->command_ring.link_flags = xhci->version < 0x96 ? XHCI_TRB_CHAIN : 0;

    uint32_t pages = register_read32(registers, xhci->operational + XHCI_PAGESIZE) & 0xffffu;
    xhci->page_size = pages ? XHCI_PAGE << __builtin_ctz(pages) : XHCI_PAGE;
    if (xhci->page_size > PAGE_SIZE_MAX)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, xhci->bus.name, ERROR_NO_BLOCK,
                         "it wants memory pages of %u bytes", xhci->page_size);
    read_extended(xhci, parameters);
    return 0;
}
