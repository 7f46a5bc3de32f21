/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a controller: taking it over, bring-up, failure, giving it back. xHCI 1.2, sections 4.2, 4.22.1 and 5.4. */
#include "drivers/usb/xhci.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/pci.h"
#include "drivers/quirks.h"
#include "drivers/usb/xhci_internal.h"

bool xhci_matches(const struct pci_device *pci)
{
    return pci->class_code == PCI_CLASS_XHCI;
}

struct usb_bus *xhci_bus(struct xhci *xhci)
{
    return &xhci->bus;
}

static int failed(const struct xhci *xhci, struct error *error, enum error_code code, const char *what)
{
    return error_set(error, code, OPERATION_IDENTIFY, xhci->bus.name, ERROR_NO_BLOCK, "%s", what);
}

/* ---- failure ---- */

void xhci_die(struct xhci *xhci, const char *reason, ...)
{
    char text[ERROR_DETAIL_MAX];
    va_list arguments;

    if (xhci->dead)
        return;
    va_start(arguments, reason);
    vsnprintf(text, sizeof(text), reason, arguments);
    va_end(arguments);
    platform_log(xhci->platform, LOG_ERROR, "%s: given up: %s", xhci->bus.name, text);
    xhci->dead = true;
    xhci->platform->ops->pci_stop_dma(xhci->pci);
    platform_hold_events(xhci->platform);
    xhci_commands_end(xhci);
    for (unsigned i = 1; i <= xhci->slot_count; i++)
        for (unsigned j = 1; xhci->slots[i] && j <= XHCI_ENDPOINTS; j++)
            if (xhci->slots[i]->endpoints[j])
                xhci_endpoint_end(xhci->slots[i]->endpoints[j], -ERROR_GONE);
    platform_release_events(xhci->platform);
    if (xhci->running)
        usb_bus_die(&xhci->bus);
}

/* ---- waiting for bits ---- */

struct awaited {
    struct xhci *xhci;
    uint64_t offset; /* of an operational register, or from the BAR's start */
    bool absolute;
    uint32_t mask, value;
};

static bool register_matches(void *context)
{
    const struct awaited *awaited = context;
    uint64_t base = awaited->absolute ? 0 : awaited->xhci->operational;
    uint32_t value = register_read32(&awaited->xhci->registers, base + awaited->offset);
    return (value & awaited->mask) == awaited->value || value == UINT32_MAX;
}

/* False at the deadline, and when nothing answers. */
static bool await(struct xhci *xhci, uint64_t offset, bool absolute, uint32_t mask, uint32_t value, uint64_t timeout)
{
    struct awaited awaited = {xhci, offset, absolute, mask, value};
    if (!loop_wait(xhci->loop, register_matches, &awaited, deadline_after(xhci->platform, timeout)))
        return false;
    return register_read32(&xhci->registers, XHCI_CAPLENGTH) != UINT32_MAX;
}

/* ---- from the firmware, and back to it ---- */

/* 4.22.1: what runs in system management mode lets go. */
static void take_from_firmware(struct xhci *xhci)
{
    struct registers *registers = &xhci->registers;

    if (!xhci->legacy)
        return;
    uint32_t support = register_read32(registers, xhci->legacy);
    xhci->firmware_owned = support & XHCI_LEGSUP_BIOS_OWNED;
    register_write32(registers, xhci->legacy, support | XHCI_LEGSUP_OS_OWNED);
    if (xhci->firmware_owned && !await(xhci, xhci->legacy, true, XHCI_LEGSUP_BIOS_OWNED, 0, XHCI_HANDOFF_TIME)) {
        platform_log(xhci->platform, LOG_WARNING, "%s: the firmware does not let go: taken all the same",
                     xhci->bus.name);
        support = register_read32(registers, xhci->legacy);
        register_write32(registers, xhci->legacy, (support & ~XHCI_LEGSUP_BIOS_OWNED) | XHCI_LEGSUP_OS_OWNED);
    }
    uint32_t control = register_read32(registers, xhci->legacy + XHCI_LEGCTLSTS);
    xhci->firmware_smi = control & XHCI_LEGCTLSTS_ENABLES;
    control &= ~(XHCI_LEGCTLSTS_ENABLES | XHCI_LEGCTLSTS_EVENTS);
    register_write32(registers, xhci->legacy + XHCI_LEGCTLSTS, control | XHCI_LEGCTLSTS_EVENTS);
}

static void give_to_firmware(struct xhci *xhci)
{
    struct registers *registers = &xhci->registers;

    if (!xhci->legacy)
        return;
    uint32_t support = register_read32(registers, xhci->legacy) & ~XHCI_LEGSUP_OS_OWNED;
    if (xhci->firmware_owned)
        support |= XHCI_LEGSUP_BIOS_OWNED;
    register_write32(registers, xhci->legacy, support);
    uint32_t control = register_read32(registers, xhci->legacy + XHCI_LEGCTLSTS);
    control &= ~(XHCI_LEGCTLSTS_ENABLES | XHCI_LEGCTLSTS_EVENTS);
    register_write32(registers, xhci->legacy + XHCI_LEGCTLSTS, control | xhci->firmware_smi);
}

/* ---- bring-up ---- */

static int controller_halt(struct xhci *xhci)
{
    uint32_t command = xhci_read(xhci, XHCI_USBCMD);
    if (command == UINT32_MAX)
        return -ERROR_GONE;
    command &= ~(XHCI_USBCMD_RUN | XHCI_USBCMD_INTERRUPTS | XHCI_USBCMD_HSE_ENABLE | XHCI_USBCMD_WRAP_EVENTS);
    xhci_write(xhci, XHCI_USBCMD, command);
    return await(xhci, XHCI_USBSTS, false, XHCI_USBSTS_HALTED, XHCI_USBSTS_HALTED, XHCI_HALT_TIME) ? 0 : -ERROR_TIMEOUT;
}

/* 4.2, 5.4.1: afterwards nothing of what it was told before counts, and no DMA goes on. */
static int controller_reset(struct xhci *xhci)
{
    /* Some do not halt while they are in trouble; the reset helps those as well. */
    controller_halt(xhci);
    xhci_write(xhci, XHCI_USBCMD, XHCI_USBCMD_RESET);
    loop_delay(xhci->loop, XHCI_RESET_QUIET_TIME);
    if (!await(xhci, XHCI_USBCMD, false, XHCI_USBCMD_RESET, 0, XHCI_RESET_TIME) ||
        !await(xhci, XHCI_USBSTS, false, XHCI_USBSTS_NOT_READY, 0, XHCI_RESET_TIME))
        return -ERROR_TIMEOUT;
    return 0;
}

/* 4.20: pages of the controller's own size, which it keeps what it likes in. */
static int scratchpads_allocate(struct xhci *xhci, uint64_t *array)
{
    if (!xhci->scratchpads)
        return 0;
    uint64_t address = 0, page = xhci->page_size;
    /* Buffers are aligned to 4096: room to align to the controller's page, where that is bigger. */
    int result =
        buffer_allocate(xhci->platform, (size_t)((xhci->scratchpads + 1) * page - XHCI_PAGE), &xhci->scratchpad_buffer);
    if (!result)
        result = buffer_address(&xhci->scratchpad_buffer, xhci->pci, &address);
    if (result)
        return result;
    memset(xhci->scratchpad_buffer.data, 0, xhci->scratchpad_buffer.size);
    address = (address + page - 1) & ~(page - 1);
    for (unsigned i = 0; i < xhci->scratchpads; i++)
        array[i] = address + i * page;
    return 0;
}

/* Pages of xhci->base; the scratchpad array has up to 1023 entries, which are two pages. */
enum { BASE_CONTEXTS, BASE_SEGMENTS, BASE_SCRATCHPADS, BASE_PAGES = BASE_SCRATCHPADS + 2 };

static uint8_t *base_page(struct xhci *xhci, unsigned page)
{
    return (uint8_t *)xhci->base.data + (size_t)page * XHCI_PAGE;
}

static int controller_allocate(struct xhci *xhci, struct error *error)
{
    int result = xhci_memory_allocate(xhci, BASE_PAGES, false, &xhci->base);
    if (!result)
        result = xhci_memory_allocate(xhci, XHCI_EVENT_PAGES, true, &xhci->event_memory);
    if (!result)
        result = xhci_memory_allocate(xhci, XHCI_COMMAND_PAGES, false, &xhci->command_memory);
    if (!result)
        result = scratchpads_allocate(xhci, (uint64_t *)(void *)base_page(xhci, BASE_SCRATCHPADS));
    if (result)
        return failed(xhci, error, (enum error_code) - result, "no memory for its rings");

    uint64_t *contexts = (uint64_t *)(void *)base_page(xhci, BASE_CONTEXTS);
    if (xhci->scratchpads)
        contexts[0] = xhci->base.address + (uint64_t)BASE_SCRATCHPADS * XHCI_PAGE;
    struct xhci_event_segment *segment = (struct xhci_event_segment *)(void *)base_page(xhci, BASE_SEGMENTS);
    xhci->events = xhci->event_memory.data;
    xhci->event_count = XHCI_EVENT_PAGES * XHCI_PAGE / (unsigned)sizeof(struct xhci_trb);
    xhci->event_cycle = XHCI_TRB_CYCLE;
    segment->address = xhci->event_memory.address;
    segment->size = xhci->event_count;
    return 0;
}

/* 4.2: everything in its place, then run. */
static int controller_run(struct xhci *xhci, struct error *error)
{
    struct registers *registers = &xhci->registers;
    uint64_t interrupter = xhci->runtime + XHCI_INTERRUPTER(0);

    uint32_t configuration = xhci_read(xhci, XHCI_CONFIG) & ~XHCI_CONFIG_SLOTS_MASK;
    xhci_write(xhci, XHCI_CONFIG, configuration | xhci->slot_count);
    xhci_write(xhci, XHCI_DNCTRL, 0);
    register_write64(registers, xhci->operational + XHCI_DCBAAP, xhci->base.address);
    xhci->armed = true;
    xhci_command_ring_start(xhci);
    dma_barrier();
    register_write32(registers, interrupter + XHCI_IMAN, XHCI_IMAN_PENDING);
    register_write32(registers, interrupter + XHCI_ERSTSZ, 1);
    register_write64(registers, interrupter + XHCI_ERDP, xhci->event_memory.address | XHCI_ERDP_BUSY);
    register_write64(registers, interrupter + XHCI_ERSTBA, xhci->base.address + (uint64_t)BASE_SEGMENTS * XHCI_PAGE);

    xhci_write(xhci, XHCI_USBCMD, xhci_read(xhci, XHCI_USBCMD) | XHCI_USBCMD_RUN);
    if (!await(xhci, XHCI_USBSTS, false, XHCI_USBSTS_HALTED, 0, XHCI_HALT_TIME))
        return failed(xhci, error, ERROR_TIMEOUT, "it does not start to run");
    return 0;
}

static int controller_start(struct xhci *xhci, struct error *error)
{
    struct pci_device *pci = xhci->pci;

    pci_power_up(xhci->loop, pci);
    pci_disable_interrupts(pci);
    int result = pci->platform->ops->pci_map_registers(pci, 0, &xhci->registers);
    if (result)
        return failed(xhci, error, (enum error_code) - result, "its registers cannot be mapped");
    result = xhci_read_capabilities(xhci, error);
    if (result)
        return result;
    take_from_firmware(xhci);
    result = controller_reset(xhci);
    if (result)
        return failed(xhci, error, (enum error_code) - result, "it does not come out of its reset");
    result = controller_allocate(xhci, error);
    return result ? result : controller_run(xhci, error);
}

/* No DMA goes on afterwards. One that cannot be reset still knows where its rings are: it must never be allowed to write again. */
static void controller_stop(struct xhci *xhci)
{
    if (!xhci->operational)
        return;
    if (controller_reset(xhci)) {
        xhci->platform->ops->pci_stop_dma(xhci->pci);
        xhci->pci->dma_unsafe =
            xhci->armed && xhci_read(xhci, XHCI_USBSTS) != UINT32_MAX; /* all ones: it is not there */
        platform_log(xhci->platform, LOG_WARNING, "%s: cannot be reset%s", xhci->bus.name,
                     xhci->pci->dma_unsafe ? "; what is on it is gone until the machine is switched off" : "");
    }
    if (!xhci->pci->dma_unsafe)
        give_to_firmware(xhci);
}

/* ---- the bus on it ---- */

static const struct usb_host_operations host_operations = {
    .device_open = xhci_device_open,
    .device_address = xhci_device_address,
    .control_update = xhci_control_update,
    .hub_update = xhci_hub_update,
    .endpoints_open = xhci_endpoints_open,
    .endpoints_close = xhci_endpoints_close,
    .endpoint_reset = xhci_endpoint_reset,
    .endpoint_cancel = xhci_endpoint_cancel,
    .device_reset = xhci_device_reset,
    .device_close = xhci_device_close,
    .submit = xhci_submit,
};

static int bus_start(struct xhci *xhci, struct error *error)
{
    struct usb_bus *bus = &xhci->bus;

    bus->operations = &host_operations;
    bus->limits.max_transfer = XHCI_MAX_TRANSFER;
    bus->limits.queue_depth = XHCI_QUEUE_DEPTH;
    if (xhci->stream_array_max > 4)
        bus->limits.max_streams =
            xhci->stream_array_max > XHCI_STREAMS_MAX ? XHCI_STREAMS_MAX : xhci->stream_array_max - 1;
    bus->limits.slots = xhci->slot_count;
    bus->root = &xhci->root;
    xhci->root.operations = &xhci_root_operations;
    xhci->root.bus = bus;
    xhci->root.ports = xhci->port_count;
    xhci->root.power_good_delay = XHCI_POWER_GOOD_TIME;
    xhci->root.host = xhci;
    bus->pollable.poll = xhci_poll;
    bus->pollable.hold_events = true;
    xhci->running = true;
    loop_add(xhci->loop, &bus->pollable);
    int result = usb_bus_start(bus, error);
    if (result) {
        xhci->running = false;
        loop_remove(xhci->loop, &bus->pollable);
    }
    return result;
}

static void log_controller(const struct xhci *xhci)
{
    unsigned usb2 = 0, usb3 = 0;

    for (unsigned i = 1; i <= xhci->port_count; i++) {
        usb2 += xhci->ports[i].major == 2;
        usb3 += xhci->ports[i].major == 3;
    }
    platform_log(xhci->platform, LOG_INFO, "%s: xHCI %x.%02x, %u USB 2 ports, %u USB 3 ports, %u slots, %u streams",
                 xhci->bus.name, xhci->version >> 8, xhci->version & 0xffu, usb2, usb3, xhci->slot_count,
                 xhci->bus.limits.max_streams);
}

/* What a controller that could not be reset has been told of: its memory is nobody else's again. */
static struct xhci *kept;

static void controller_free(struct xhci *xhci)
{
    struct platform *platform = xhci->platform;

    if (xhci->pci->dma_unsafe) {
        platform->ops->pci_release(xhci->pci);
        xhci->next_kept = kept;
        kept = xhci;
        return;
    }
    xhci_memory_end(xhci);
    platform->ops->pci_release(xhci->pci);
    platform_release(platform, xhci);
}

int xhci_attach(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                const struct usb_keyboard_sink *keys, struct xhci **attached, struct error *error)
{
    struct platform *platform = loop->platform;
    struct xhci *xhci = platform_allocate_zeroed(platform, sizeof(*xhci));
    if (!xhci)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, "", ERROR_NO_BLOCK, "no memory for a controller");
    struct usb_bus *bus = &xhci->bus;
    snprintf(bus->name, sizeof(bus->name), "xhci %02x:%02x.%x", pci->bus, pci->device & 31u, pci->function & 7u);
    xhci->platform = bus->platform = platform;
    xhci->loop = bus->loop = loop;
    xhci->pci = bus->pci = pci;
    bus->registry = registry;
    bus->keys = keys;
    bus->host = xhci;
    xhci->commands_last = &xhci->commands;
    xhci->quirks = quirks_find(pci, true);

    int result = platform->ops->pci_claim(pci, error);
    if (result) {
        platform_release(platform, xhci);
        return result;
    }
    result = controller_start(xhci, error);
    if (!result)
        result = bus_start(xhci, error);
    if (result) {
        controller_stop(xhci);
        controller_free(xhci);
        return result;
    }
    log_controller(xhci);
    *attached = xhci;
    return 0;
}

void xhci_detach(struct xhci *xhci)
{
    usb_bus_stop(&xhci->bus);
    xhci->running = false;
    loop_remove(xhci->loop, &xhci->bus.pollable);
    if (xhci->strange_events) /* some controllers tell twice of a short packet */
        platform_log(xhci->platform, LOG_DEBUG, "%s: %u events belonged to nothing", xhci->bus.name,
                     xhci->strange_events);
    controller_stop(xhci);
    /* A device that the bus could not close has nothing in flight any more. */
    for (unsigned i = 1; i < 256 && !xhci->pci->dma_unsafe; i++)
        if (xhci->slots[i])
            xhci_slot_free(xhci->slots[i]);
    controller_free(xhci);
}
