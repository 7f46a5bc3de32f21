/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a controller: taking it over, resetting it, its memory, giving it back (AHCI 1.3.1, sections 10.1, 10.4.3 and 10.6).
 * What goes on at its ports is told in ahci_port.c.
 */
#include "drivers/ahci.h"

#include <stdio.h>
#include <string.h>

#include "drivers/ahci_internal.h"
#include "drivers/pci.h"
#include "drivers/quirks.h"

#define ALL_ONES UINT32_MAX
#define AHCI_CONTROLLER_RESETS_MAX 3u
/* 10.6.3: 25 ms for the BIOS to let go; 2 s more when it says that it is busy. */
#define AHCI_HANDOFF_TIME (25 * NANOSECONDS_PER_MILLISECOND)
#define AHCI_HANDOFF_BUSY_TIME (2 * NANOSECONDS_PER_SECOND)

bool ahci_matches(const struct pci_device *pci)
{
    return pci->class_code == PCI_CLASS_AHCI;
}

/* ---- failure and reset ---- */

void ahci_controller_fail(struct ahci_controller *controller, enum error_code code, const char *reason)
{
    if (controller->state == AHCI_CONTROLLER_FAILED)
        return;
    controller->state = AHCI_CONTROLLER_FAILED;
    error_set(&controller->failure, code, OPERATION_RESET, controller->name, ERROR_NO_BLOCK, "%s", reason);
    platform_log(controller->platform, LOG_ERROR, "%s: given up: %s", controller->name, reason);
    controller->pci->platform->ops->pci_stop_dma(controller->pci);
    for (unsigned i = 0; i < controller->port_count; i++)
        if (controller->ports[i].state != AHCI_EMPTY)
            ahci_port_fail(&controller->ports[i], "its controller does not work");
}

void ahci_controller_reset(struct ahci_controller *controller, const char *reason)
{
    if (controller->state != AHCI_CONTROLLER_RUNNING)
        return;
    if (++controller->resets > AHCI_CONTROLLER_RESETS_MAX) {
        ahci_controller_fail(controller, ERROR_GONE, reason);
        return;
    }
    platform_log(controller->platform, LOG_DEBUG, "%s: reset: %s", controller->name, reason);
    for (unsigned i = 0; i < controller->port_count; i++) {
        struct ahci_port *port = &controller->ports[i];
        if (port->state == AHCI_EMPTY || port->state == AHCI_FAILED)
            continue;
        port->state = AHCI_HELD;
        if (port->registered)
            block_device_resetting(&port->device);
    }
    controller->state = AHCI_CONTROLLER_RESETTING;
    controller->deadline = deadline_after(controller->platform, AHCI_RESET_TIMEOUT);
    register_write32(&controller->registers, AHCI_GHC, AHCI_GHC_AE | AHCI_GHC_HR);
}

/* 10.4.3: the reset has ended; no DMA goes on. */
static void controller_restart(struct ahci_controller *controller)
{
    struct registers *registers = &controller->registers;
    controller->state = AHCI_CONTROLLER_RUNNING;
    register_write32(registers, AHCI_GHC, AHCI_GHC_AE);
    /* Both are written once by the BIOS and read-only to us; a few controllers forget them here. */
    if (register_read32(registers, AHCI_PI) == 0) {
        register_write32(registers, AHCI_CAP, controller->capabilities);
        register_write32(registers, AHCI_PI, controller->implemented);
    }
    register_write32(registers, AHCI_IS, ALL_ONES);
    for (unsigned i = 0; i < controller->port_count; i++)
        if (controller->ports[i].state == AHCI_HELD)
            ahci_port_begin(&controller->ports[i]);
}

bool ahci_controller_step(struct ahci_controller *controller)
{
    if (controller->state != AHCI_CONTROLLER_RESETTING)
        return false;
    uint32_t control = register_read32(&controller->registers, AHCI_GHC);
    if (control == ALL_ONES)
        ahci_controller_fail(controller, ERROR_GONE, "the controller does not answer any more");
    else if (!(control & AHCI_GHC_HR))
        controller_restart(controller);
    else if (platform_now(controller->platform) > controller->deadline)
        ahci_controller_fail(controller, ERROR_TIMEOUT, "the controller does not end its reset");
    else
        return false;
    return true;
}

/* ---- attach ---- */

static bool bios_let_go(void *context)
{
    struct ahci_controller *controller = context;
    return !(register_read32(&controller->registers, AHCI_BOHC) & AHCI_BOHC_BOS);
}

/* 10.6.3: BIOS/OS handoff, where there is such a thing. A BIOS that does not let go is passed over. */
static void controller_handoff(struct ahci_controller *controller)
{
    struct registers *registers = &controller->registers;
    if (!(register_read32(registers, AHCI_CAP2) & AHCI_CAP2_BOH))
        return;
    uint32_t handoff = register_read32(registers, AHCI_BOHC);
    if (handoff & AHCI_BOHC_OOS || !(handoff & AHCI_BOHC_BOS))
        return;
    controller->took_over = true;
    register_write32(registers, AHCI_BOHC, handoff | AHCI_BOHC_OOS);
    uint64_t deadline = deadline_after(controller->platform, AHCI_HANDOFF_TIME);
    if (loop_wait(controller->loop, bios_let_go, controller, deadline))
        return;
    deadline = deadline_after(controller->platform, AHCI_HANDOFF_BUSY_TIME);
    if (!(register_read32(registers, AHCI_BOHC) & AHCI_BOHC_BB) ||
        !loop_wait(controller->loop, bios_let_go, controller, deadline))
        platform_log(controller->platform, LOG_WARNING, "%s: the BIOS does not let go of it", controller->name);
}

static int controller_read_capabilities(struct ahci_controller *controller, struct error *error)
{
    struct registers *registers = &controller->registers;
    const char *name = controller->name;
    if (registers->size < AHCI_GENERIC_SIZE + AHCI_PORT_SIZE)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "its registers are missing");
    /* 10.1.2: nothing else may be touched before AE is set. */
    register_write32(registers, AHCI_GHC, (register_read32(registers, AHCI_GHC) & ~AHCI_GHC_IE) | AHCI_GHC_AE);
    controller->capabilities = register_read32(registers, AHCI_CAP);
    controller->implemented = register_read32(registers, AHCI_PI);
    if (controller->capabilities == ALL_ONES && controller->implemented == ALL_ONES)
        return error_set(error, ERROR_GONE, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "it does not answer");
    controller->slot_count = AHCI_CAP_SLOTS(controller->capabilities);
    controller->only_32_bits = !(controller->capabilities & AHCI_CAP_S64A) || controller->quirks & QUIRK_AHCI_32_BITS;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (AHCI_GENERIC_SIZE + (i + 1) * AHCI_PORT_SIZE > registers->size)
            controller->implemented &= ~(1u << i);
    }
    controller->port_count = (unsigned)__builtin_popcount(controller->implemented);
    if (!controller->port_count)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "it implements no ports");
    return 0;
}

static void port_init(struct ahci_controller *controller, struct ahci_port *port, unsigned number, size_t stride,
                      uint64_t address)
{
    size_t at = (size_t)(port - controller->ports) * stride;
    port->controller = controller;
    port->number = number;
    port->memory = (struct ahci_memory *)((uint8_t *)controller->memory.data + at);
    port->memory_address = address + at;
    memset(port->memory, 0, sizeof(*port->memory));
    if (controller->only_32_bits) {
        port->bounce = (uint8_t *)(port->memory + 1);
        port->bounce_address = port->memory_address + sizeof(*port->memory);
    }
    snprintf(port->device.name, sizeof(port->device.name), "%.60s/p%u", controller->name, number);
    port->state = AHCI_HELD;
    port->linked_before = AHCI_SSTS_DET(ahci_read(port, AHCI_PxSSTS)) == AHCI_DET_UP;
}

static int controller_allocate(struct ahci_controller *controller, struct error *error)
{
    /*
     * A controller that reaches only 4 GiB gets a bounce buffer for each port. Where our memory is not within its reach, the
     * firmware, which can choose its memory, is the better driver.
     */
    size_t stride = sizeof(struct ahci_memory) + (controller->only_32_bits ? AHCI_BOUNCE_SIZE : 0);
    size_t size = controller->port_count * stride;
    uint64_t address = 0;
    controller->ports =
        platform_allocate_zeroed(controller->platform, controller->port_count * sizeof(struct ahci_port));
    int result =
        controller->ports ? buffer_allocate(controller->platform, size, &controller->memory) : -ERROR_NO_MEMORY;
    if (!result)
        result = buffer_address(&controller->memory, controller->pci, &address);
    if (result)
        return error_set(error, (enum error_code) - result, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "no memory for its ports");
    if (controller->only_32_bits && address + size > 1ull << 32)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "it does not reach memory above 4 GiB");
    struct ahci_port *port = controller->ports;
    for (uint32_t left = controller->implemented; left; left &= left - 1)
        port_init(controller, port++, (unsigned)__builtin_ctz(left), stride, address);
    return 0;
}

bool ahci_attach_settled(struct ahci_controller *controller)
{
    bool settled = true;
    for (unsigned i = 0; i < controller->port_count; i++) {
        ahci_port_poll(&controller->ports[i]);
        settled &= ahci_port_settled(&controller->ports[i]);
    }
    return settled;
}

/* ---- shutdown ---- */

static bool ports_show(struct ahci_controller *controller, uint32_t bits)
{
    for (unsigned i = 0; i < controller->port_count; i++)
        if (ahci_read(&controller->ports[i], AHCI_PxCMD) & bits)
            return true;
    return false;
}

static bool commands_ended(void *context)
{
    return !ports_show(context, AHCI_CMD_CR);
}

static bool receiving_ended(void *context)
{
    return !ports_show(context, AHCI_CMD_FR);
}

static bool reset_ended(void *context)
{
    struct ahci_controller *controller = context;
    return !(register_read32(&controller->registers, AHCI_GHC) & AHCI_GHC_HR);
}

static void ports_clear_command(struct ahci_controller *controller, uint32_t bits)
{
    for (unsigned i = 0; i < controller->port_count; i++) {
        struct ahci_port *port = &controller->ports[i];
        ahci_write(port, AHCI_PxCMD, ahci_read(port, AHCI_PxCMD) & ~bits);
    }
}

/* 10.1.2: ST first; FRE may be cleared only when CR is 0. */
static bool ports_stop(struct ahci_controller *controller)
{
    ports_clear_command(controller, AHCI_CMD_ST);
    uint64_t deadline = deadline_after(controller->platform, AHCI_STOP_TIMEOUT);
    if (!loop_wait(controller->loop, commands_ended, controller, deadline))
        return false;
    ports_clear_command(controller, AHCI_CMD_FRE);
    deadline = deadline_after(controller->platform, AHCI_STOP_TIMEOUT);
    return loop_wait(controller->loop, receiving_ended, controller, deadline);
}

/* After this no DMA goes on, whatever the controller says. */
static void controller_shut_down(struct ahci_controller *controller)
{
    struct registers *registers = &controller->registers;
    if (controller->state == AHCI_CONTROLLER_FAILED)
        return;
    if (!ports_stop(controller)) {
        register_write32(registers, AHCI_GHC, AHCI_GHC_AE | AHCI_GHC_HR);
        uint64_t deadline = deadline_after(controller->platform, AHCI_RESET_TIMEOUT);
        if (!loop_wait(controller->loop, reset_ended, controller, deadline)) {
            platform_log(controller->platform, LOG_WARNING, "%s: cannot be stopped", controller->name);
            controller->platform->ops->pci_stop_dma(controller->pci);
        }
        register_write32(registers, AHCI_GHC, AHCI_GHC_AE);
    }
    /* The firmware's driver brings memory of its own; ours is named nowhere any more. */
    for (unsigned i = 0; i < controller->port_count; i++) {
        ahci_write(&controller->ports[i], AHCI_PxCLB, 0);
        ahci_write(&controller->ports[i], AHCI_PxFB, 0);
        ahci_write(&controller->ports[i], AHCI_PxIS, ALL_ONES);
    }
    if (controller->took_over)
        register_write32(registers, AHCI_BOHC, register_read32(registers, AHCI_BOHC) & ~AHCI_BOHC_OOS);
    controller->state = AHCI_CONTROLLER_FAILED;
}

/* ---- attach and detach ---- */

static int controller_start(struct ahci_controller *controller, struct error *error)
{
    struct pci_device *pci = controller->pci;
    pci_power_up(controller->loop, pci);
    pci_disable_interrupts(pci);
    int result = pci->platform->ops->pci_map_registers(pci, AHCI_BAR, &controller->registers);
    if (result)
        return error_set(error, (enum error_code) - result, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "its registers cannot be mapped");
    result = controller_read_capabilities(controller, error);
    if (result)
        return result;
    controller_handoff(controller);
    result = controller_allocate(controller, error);
    if (result)
        return result;
    controller->state = AHCI_CONTROLLER_RUNNING;
    ahci_controller_reset(controller, "from the firmware to us");
    return 0;
}

static void controller_free(struct ahci_controller *controller)
{
    buffer_release(&controller->memory);
    platform_release(controller->platform, controller->ports);
    platform_release(controller->platform, controller);
}

int ahci_attach_begin(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                      struct ahci_controller **begun, struct error *error)
{
    struct platform *platform = loop->platform;
    struct ahci_controller *controller = platform_allocate_zeroed(platform, sizeof(*controller));
    if (!controller)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, "", ERROR_NO_BLOCK, "no memory for a controller");
    char where[PCI_NAME_MAX];
    pci_name(pci, where);
    snprintf(controller->name, sizeof(controller->name), "sata@%s", where);
    controller->platform = platform;
    controller->loop = loop;
    controller->pci = pci;
    controller->registry = registry;
    controller->quirks = quirks_find(pci, true);
    int result = platform->ops->pci_claim(pci, error);
    if (result) {
        controller_free(controller);
        return result;
    }
    result = controller_start(controller, error);
    if (result) {
        buffer_release(&controller->memory);
        platform->ops->pci_release(pci);
        controller_free(controller);
        return result;
    }
    *begun = controller;
    return 0;
}

int ahci_attach_finish(struct ahci_controller *controller, struct error *error)
{
    if (controller->state == AHCI_CONTROLLER_FAILED) {
        int result = -(int)controller->failure.code;
        if (error)
            *error = controller->failure;
        ahci_detach(controller);
        return result;
    }
    uint32_t version = register_read32(&controller->registers, AHCI_VS);
    platform_log(controller->platform, LOG_INFO, "%s: AHCI %x.%x, %u ports, %u command slots%s", controller->name,
                 version >> 16, version >> 8 & 0xffu, controller->port_count, controller->slot_count,
                 controller->only_32_bits ? ", memory below 4 GiB only" : "");
    ahci_disks_start(controller);
    return 0;
}

static bool attach_settled(void *controller)
{
    return ahci_attach_settled(controller);
}

int ahci_attach(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                struct ahci_controller **attached, struct error *error)
{
    struct ahci_controller *controller;
    int result = ahci_attach_begin(loop, pci, registry, &controller, error);
    if (result)
        return result;
    /* Each state of each port has its deadline. */
    loop_wait(loop, attach_settled, controller, UINT64_MAX);
    result = ahci_attach_finish(controller, error);
    if (!result)
        *attached = controller;
    return result;
}

void ahci_detach(struct ahci_controller *controller)
{
    struct pci_device *pci = controller->pci;
    ahci_disks_stop(controller);
    controller_shut_down(controller);
    buffer_release(&controller->memory);
    pci->platform->ops->pci_release(pci);
    controller_free(controller);
}
