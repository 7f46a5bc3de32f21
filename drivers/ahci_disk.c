/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and CD drives as block devices. Queued and other commands are never mixed (ACS-4, 4.15): one that cannot be queued waits
 * until the queue has drained, and new ones are held back meanwhile.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/ahci_internal.h"
#include "drivers/quirks.h"

#define ALL_ONES UINT32_MAX
#define INTERFACE_FAULTS (AHCI_IS_OFS | AHCI_IS_IFS | AHCI_IS_HBDS | AHCI_IS_HBFS)

static struct ahci_port *port_of(struct block_device *device)
{
    return (struct ahci_port *)device;
}

static bool is_transfer(const struct block_request *request)
{
    return request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;
}

static uint32_t request_bytes(const struct ahci_port *port, const struct block_request *request)
{
    return (uint32_t)(request->count * port->identity.logical_block);
}

/* ---- sending ---- */

static struct ahci_command packet_read(const struct ahci_port *port, const struct block_request *request,
                                       uint64_t address)
{
    struct ahci_command command = ahci_packet(port, SCSI_READ_10, address, request_bytes(port, request));
    scsi_write_big32(&command.packet[2], (uint32_t)request->lba);
    command.packet[7] = (uint8_t)(request->count >> 8);
    command.packet[8] = (uint8_t)request->count;
    return command;
}

static struct ahci_command disk_transfer(const struct ahci_port *port, const struct block_request *request,
                                         uint64_t address, bool queued)
{
    bool write = request->operation == BLOCK_WRITE;
    struct ahci_command command = {.lba = request->lba,
                                   .count = (uint16_t)request->count,
                                   .device = ATA_LBA_MODE,
                                   .write = write,
                                   .queued = queued,
                                   .address = address,
                                   .bytes = request_bytes(port, request)};
    if (queued) {
        command.command = write ? ATA_WRITE_FPDMA_QUEUED : ATA_READ_FPDMA_QUEUED;
    } else if (port->identity.lba48) {
        command.command = write ? ATA_WRITE_DMA_EXT : ATA_READ_DMA_EXT;
    } else {
        /* ACS-4, 7.20: LBA bits 27:24 stand in the device register. */
        command.command = write ? ATA_WRITE_DMA : ATA_READ_DMA;
        command.device |= (uint8_t)(request->lba >> 24 & 0xfu);
        command.lba &= 0xffffffu;
    }
    return command;
}

/* Where the data of a request is for the controller. */
static int transfer_address(struct ahci_port *port, const struct block_request *request, uint64_t *address)
{
    uint64_t bytes = request->count * port->identity.logical_block;
    struct buffer *buffer = request->buffer;
    /* core/block.c has checked the range; what goes to memory is checked where the addresses are made. */
    if (!request->count || request->count > AHCI_MAX_BLOCKS || bytes > port->device.geometry.max_transfer || !buffer ||
        request->offset > buffer->size || bytes > buffer->size - request->offset || request->offset & 1)
        return -ERROR_OUT_OF_RANGE;
    if (port->bounce) {
        if (request->operation == BLOCK_WRITE)
            memcpy(port->bounce, (uint8_t *)buffer->data + request->offset, bytes);
        *address = port->bounce_address;
        return 0;
    }
    int result = buffer_address(buffer, port->controller->pci, address);
    *address += request->offset;
    return result;
}

static int send_transfer(struct ahci_port *port, struct block_request *request, unsigned slot, bool queued)
{
    uint64_t address = 0;
    int result = transfer_address(port, request, &address);
    if (result)
        return result;
    struct ahci_command command =
        port->identity.packet ? packet_read(port, request, address) : disk_transfer(port, request, address, queued);
    ahci_command_build(port, slot, &command);
    return 0;
}

static void send_other(struct ahci_port *port, struct block_request *request)
{
    struct ahci_command command = {0};
    if (request->operation == BLOCK_FLUSH) {
        command.command = port->identity.flush_ext ? ATA_FLUSH_CACHE_EXT : ATA_FLUSH_CACHE;
    } else {
        ata_trim_ranges(port->memory->ranges, request->lba, request->count);
        command = (struct ahci_command){.command = ATA_DATA_SET_MANAGEMENT,
                                        .features = ATA_TRIM,
                                        .count = 1,
                                        .device = ATA_LBA_MODE,
                                        .write = true,
                                        .address = AHCI_ADDRESS(port, ranges),
                                        .bytes = ATA_SECTOR};
    }
    ahci_command_build(port, ahci_single_slot(port), &command);
}

static void issue_single(struct ahci_port *port, struct block_request *request)
{
    port->single = request;
    ahci_command_issue(port, ahci_single_slot(port), false);
}

void ahci_disk_send_waiting(struct ahci_port *port)
{
    if (port->queued || port->single || port->own)
        return;
    struct block_request *request = port->waiting;
    port->waiting = NULL;
    send_other(port, request);
    issue_single(port, request);
}

static int submit_transfer(struct ahci_port *port, struct block_request *request)
{
    bool queued = port->tags && !port->alone;
    uint32_t free_tags = port->tags & ~port->queued;
    if (queued ? !free_tags : port->queued != 0)
        return -ERROR_FULL;
    unsigned slot = queued ? (unsigned)__builtin_ctz(free_tags) : ahci_single_slot(port);
    int result = send_transfer(port, request, slot, queued);
    if (result)
        return result;
    port->written |= request->operation == BLOCK_WRITE;
    if (!queued) {
        issue_single(port, request);
        return 0;
    }
    port->queued |= 1u << slot;
    port->requests[slot] = request;
    ahci_command_issue(port, slot, true);
    return 0;
}

static int disk_submit(struct block_device *device, struct block_request *request)
{
    struct ahci_port *port = port_of(device);
    if (port->state == AHCI_FAILED || port->state == AHCI_EMPTY)
        return -ERROR_GONE;
    if (port->state != AHCI_RUNNING || port->step != AHCI_SERVE || port->waiting || port->single)
        return -ERROR_FULL;
    if (is_transfer(request))
        return submit_transfer(port, request);
    if (request->operation == BLOCK_FLUSH && !port->identity.flush && !port->identity.flush_ext) {
        request->driver_next = port->instant;
        port->instant = request;
        return 0;
    }
    port->written |= request->operation != BLOCK_FLUSH;
    port->waiting = request;
    ahci_disk_send_waiting(port);
    return 0;
}

/* ---- answers ---- */

bool ahci_disk_end_instant(struct ahci_port *port)
{
    bool progress = false;
    while (port->instant) {
        struct block_request *request = port->instant;
        port->instant = request->driver_next;
        block_complete(request, 0, 0);
        progress = true;
    }
    return progress;
}

/* True when the interrupt status tells of an error; the engine is being stopped then. */
static bool notice_fault(struct ahci_port *port)
{
    uint32_t interrupt = ahci_read(port, AHCI_PxIS);
    if (interrupt == ALL_ONES) {
        ahci_controller_fail(port->controller, ERROR_GONE, "the controller does not answer any more");
        return true;
    }
    if (!(interrupt & (INTERFACE_FAULTS | AHCI_IS_TFES)))
        return false;
    port->fault = ahci_read(port, AHCI_PxTFD) & 0xffffu;
    if (interrupt & INTERFACE_FAULTS)
        ahci_port_reset(port,
                        interrupt & AHCI_IS_IFS ? "an error on the link" : "an error between controller and memory");
    else
        ahci_port_restart(port);
    return true;
}

static void single_succeeded(struct ahci_port *port)
{
    struct block_request *request = port->single;
    uint32_t bytes = is_transfer(request) ? request_bytes(port, request) : 0;
    port->single = NULL;
    port->resets = port->controller->resets = 0;
    if (port->alone)
        port->alone--;
    int status = 0;
    if (request->operation == BLOCK_READ && port->counts_bytes &&
        ahci_command_bytes(port, ahci_single_slot(port)) != bytes)
        status = -ERROR_IO; /* "success", with some of the data missing */
    else if (request->operation == BLOCK_READ && port->bounce)
        memcpy((uint8_t *)request->buffer->data + request->offset, port->bounce, bytes);
    block_complete(request, status, 0);
}

static bool reap_single(struct ahci_port *port)
{
    /* In this order: a command that ends between the two reads is seen in the next poll, with its error if there is one. */
    uint32_t issued = ahci_read(port, AHCI_PxCI);
    if (notice_fault(port))
        return true;
    if (issued & 1u << ahci_single_slot(port))
        return false;
    uint32_t task = ahci_read(port, AHCI_PxTFD);
    if (task & (ATA_STATUS_ERROR | ATA_STATUS_FAULT)) {
        port->fault = task & 0xffffu;
        ahci_port_restart(port);
        return true;
    }
    dma_barrier(); /* the answer is looked at after its announcement */
    if (port->own) {
        port->own = false;
        ahci_step_ended(port, 0);
    } else {
        single_succeeded(port);
    }
    return true;
}

static bool reap_queued(struct ahci_port *port)
{
    uint32_t active = ahci_read(port, AHCI_PxSACT);
    uint32_t ended = port->queued & ~active;
    if (active == ALL_ONES || !ended)
        return notice_fault(port);
    dma_barrier();
    port->queued &= ~ended;
    port->resets = port->controller->resets = 0;
    for (; ended; ended &= ended - 1)
        block_complete(port->requests[__builtin_ctz(ended)], 0, 0);
    return true;
}

bool ahci_disk_reap(struct ahci_port *port)
{
    return port->own || port->single ? reap_single(port) : reap_queued(port);
}

/* ---- failures ---- */

static int error_code(const struct ahci_port *port, const struct block_request *request, uint32_t registers)
{
    int code = ata_error_code(AHCI_TFD_STATUS(registers), AHCI_TFD_ERROR(registers), request->operation == BLOCK_WRITE);
    if (code == -ERROR_IO && port->identity.locked)
        return -ERROR_REFUSED;
    if (code == -ERROR_IO && request->operation == BLOCK_DISCARD)
        return -ERROR_UNSUPPORTED;
    return code;
}

void ahci_disk_single_failed(struct ahci_port *port, int code, uint32_t raw_status)
{
    struct block_request *request = port->single;
    port->single = NULL;
    port->resets = 0;
    block_complete(request, code ? code : error_code(port, request, raw_status), raw_status);
}

void ahci_disk_queued_failed(struct ahci_port *port, unsigned tag, uint8_t status, uint8_t error)
{
    uint32_t registers = status | (uint32_t)error << 8;
    struct block_request *request = port->requests[tag];
    port->queued &= ~(1u << tag);
    port->resets = 0;
    block_complete(request, error_code(port, request, registers), registers);
    if (!port->queued)
        return;
    dma_barrier();
    ahci_write(port, AHCI_PxSACT, port->queued);
    ahci_write(port, AHCI_PxCI, port->queued);
}

static bool disk_poll(struct block_device *device)
{
    return ahci_port_poll(port_of(device));
}

static void disk_reset(struct block_device *device)
{
    struct ahci_port *port = port_of(device);
    /* A recovery that is under way has deadlines of its own. */
    if (port->state == AHCI_RUNNING)
        ahci_port_reset(port, "a command did not end before its deadline");
}

/* A recovery has its own deadlines, all shorter than the grace: held requests say that the engine cannot be trusted. */
static void disk_abandon(struct block_device *device)
{
    struct ahci_port *port = port_of(device);
    if (ahci_port_holds(port))
        ahci_controller_fail(port->controller, ERROR_TIMEOUT, "a port does not end its reset");
}

/* ---- shutdown ---- */

static bool settled(void *context)
{
    struct ahci_port *port = context;
    ahci_port_poll(port);
    return ahci_port_settled(port);
}

/* No request can be sent to a device that is being stopped: a command of our own. */
static void last_flush(struct ahci_port *port)
{
    uint64_t deadline = deadline_after(port->controller->platform, 2 * block_timeout(BLOCK_FLUSH));
    if (!loop_wait(port->controller->loop, settled, port, deadline) || port->state != AHCI_RUNNING)
        return;
    ahci_step_begin(port, AHCI_LAST_FLUSH);
    loop_wait(port->controller->loop, settled, port, deadline);
}

static void disk_shutdown(struct block_device *device)
{
    struct ahci_port *port = port_of(device);
    if (port->written && device->volatile_cache && (port->identity.flush || port->identity.flush_ext))
        last_flush(port);
    port->registered = false; /* the port's memory goes with the controller's */
}

static const struct block_device_ops disk_ops = {
    .submit = disk_submit,
    .poll = disk_poll,
    .reset = disk_reset,
    .shutdown = disk_shutdown,
    .abandon = disk_abandon,
};

/* ---- registration ---- */

static void choose_tags(struct ahci_port *port)
{
    const struct ahci_controller *controller = port->controller;
    unsigned depth = port->identity.queue_depth;
    unsigned most = controller->slot_count - 1 < AHCI_TAGS ? controller->slot_count - 1 : AHCI_TAGS;
    depth = depth < most ? depth : most;
    if (!(controller->capabilities & AHCI_CAP_SNCQ) || controller->quirks & QUIRK_AHCI_NO_QUEUE || port->bounce)
        depth = 0;
    port->tags = (1u << depth) - 1;
}

static void disk_geometry(struct ahci_port *port)
{
    const struct ata_identity *identity = &port->identity;
    struct block_geometry *geometry = &port->device.geometry;
    uint64_t most = (uint64_t)AHCI_MAX_BLOCKS * identity->logical_block;
    uint32_t policy = AHCI_MAX_TRANSFER;
    if (identity->packet)
        policy = AHCI_PACKET_TRANSFER;
    else if (!identity->lba48)
        policy = AHCI_LBA28_TRANSFER;
    if (port->bounce && policy > AHCI_BOUNCE_SIZE)
        policy = AHCI_BOUNCE_SIZE;
    geometry->logical_block = identity->logical_block;
    geometry->physical_block = identity->physical_block;
    geometry->block_count = identity->block_count;
    geometry->max_transfer = most < policy ? (uint32_t)most : policy;
    geometry->optimal_transfer =
        geometry->max_transfer < AHCI_OPTIMAL_TRANSFER ? geometry->max_transfer : AHCI_OPTIMAL_TRANSFER;
    geometry->queue_depth = port->tags ? (uint32_t)__builtin_popcount(port->tags) : 1;
    geometry->buffer_alignment = 2; /* 4.2.3.3 */
    geometry->max_discard = identity->trim ? AHCI_MAX_DISCARD : 0;
}
_Static_assert(AHCI_MAX_DISCARD / ATA_SECTOR <= ATA_TRIM_ENTRIES * ATA_TRIM_RANGE_MAX, "one block of ranges is enough");

/* Two disks of one serial number (some bridges give all theirs the same) still need two names. */
static void disk_name(struct ahci_port *port)
{
    struct block_device *device = &port->device;
    char name[BLOCK_NAME_MAX], serial[BLOCK_TEXT_MAX];
    if (!port->identity.serial[0])
        return; /* it keeps the name of its port */
    snprintf(serial, sizeof(serial), "%s", port->identity.serial);
    block_name_text(serial);
    snprintf(name, sizeof(name), "sata:%s", serial);
    for (const struct block_device *other = port->controller->registry->first; other; other = other->registry_next)
        if (!strcmp(other->name, name))
            snprintf(name, sizeof(name), "sata:%.40s/p%u", serial, port->number);
    memcpy(device->name, name, sizeof(device->name));
}

static void disk_start(struct ahci_port *port)
{
    const struct ata_identity *identity = &port->identity;
    struct block_device *device = &port->device;
    choose_tags(port);
    disk_geometry(port);
    disk_name(port);
    device->ops = &disk_ops;
    device->loop = port->controller->loop;
    device->bus = BUS_SATA;
    device->read_only = identity->packet;
    device->removable = identity->removable || identity->packet;
    device->volatile_cache = identity->volatile_cache;
    device->rotational =
        !identity->packet && identity->rotation_rate != 1 && !(identity->rotation_rate == 0 && identity->trim);
    memcpy(device->model, identity->model, sizeof(device->model));
    memcpy(device->serial, identity->serial, sizeof(device->serial));
    memcpy(device->firmware, identity->firmware, sizeof(device->firmware));
    snprintf(device->driver, sizeof(device->driver), "ahci");
    if (block_device_start(device, NULL)) {
        ahci_port_give_up(port, "its size cannot be true");
        return;
    }
    port->registered = true;
    block_registry_add(port->controller->registry, device);
    platform_log(device->loop->platform, LOG_INFO, "%s: %s, firmware %s, port %u, %s depth %u, blocks of %u bytes",
                 device->name, device->model, device->firmware, port->number, port->tags ? "queued," : "not queued,",
                 device->geometry.queue_depth, device->geometry.logical_block);
    if (identity->locked)
        platform_log(device->loop->platform, LOG_WARNING, "%s: locked by a password; unlock it in the firmware's setup",
                     device->name);
}

void ahci_disks_start(struct ahci_controller *controller)
{
    for (unsigned i = 0; i < controller->port_count; i++)
        if (controller->ports[i].state == AHCI_RUNNING)
            disk_start(&controller->ports[i]);
}

void ahci_disks_stop(struct ahci_controller *controller)
{
    for (unsigned i = 0; i < controller->port_count; i++) {
        struct ahci_port *port = &controller->ports[i];
        if (!port->registered)
            continue;
        block_registry_remove(controller->registry, &port->device);
        block_device_stop(&port->device);
    }
}
