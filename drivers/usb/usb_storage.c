/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Units of a storage device, whatever brings their commands: names, LUNs, media that come and go. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/fiber.h"
#include "drivers/quirks.h"
#include "drivers/usb/scsi_spec.h"
#include "drivers/usb/usb_storage.h"

/* Policy */
#define LOOK_PAUSE NANOSECONDS_PER_SECOND
#define FAILURE_PAUSE (10 * NANOSECONDS_PER_SECOND) /* of a unit that had a medium, but could not be used */
#define REPORT_TIMEOUT (10 * NANOSECONDS_PER_SECOND)
#define PCI_LEVELS_MAX 8u
#define NAME_SIZE (BLOCK_NAME_MAX - 12)

/* PCI Local Bus Specification 3.0, 6.1; PCI-to-PCI Bridge Architecture 1.2, 3.2 */
#define PCI_HEADER 0x0cu /* bits 22:16: header type */
#define PCI_HEADER_BRIDGE 1u
#define PCI_BRIDGE_BUSES 0x18u /* bits 15:8: secondary bus */

/* --- names --- */

struct bridge_search {
    const struct pci_device *below;
    struct pci_device *bridge;
};

static bool is_bridge_of(struct pci_device *device, void *context)
{
    struct bridge_search *search = context;
    const struct platform_ops *ops = device->platform->ops;

    if (device->segment != search->below->segment ||
        (ops->pci_config_read32(device, PCI_HEADER) >> 16 & 0x7fu) != PCI_HEADER_BRIDGE ||
        (ops->pci_config_read32(device, PCI_BRIDGE_BUSES) >> 8 & 0xffu) != search->below->bus ||
        device->bus >= search->below->bus)
        return true;
    search->bridge = device;
    return false;
}

/* The function and the bridges above it, from the root on. */
static unsigned pci_chain(struct platform *platform, struct pci_device *pci, struct pci_device *chain[PCI_LEVELS_MAX])
{
    unsigned count = 0;

    while (pci && count < PCI_LEVELS_MAX) {
        struct bridge_search search = {.below = pci};
        chain[count++] = pci;
        if (pci->bus && platform->ops->pci_enumerate)
            platform->ops->pci_enumerate(platform, is_bridge_of, &search);
        pci = search.bridge;
    }
    return count;
}

void usb_storage_place(const struct usb_device *device, char *text, size_t size)
{
    struct pci_device *chain[PCI_LEVELS_MAX];
    const struct usb_device *path[USB_TIERS_MAX + 1];
    unsigned functions = pci_chain(device->bus->platform, device->bus->pci, chain), ports = 0;
    size_t used = 0;

    for (const struct usb_device *at = device; at && ports <= USB_TIERS_MAX; at = at->hub ? at->hub->device : NULL)
        path[ports++] = at;
    text[0] = '\0';
    while (functions-- && used + 12 < size)
        used += (size_t)snprintf(text + used, size - used, "%s%x.%x", used ? "-" : "", chain[functions]->device,
                                 chain[functions]->function);
    /* The firmware counts ports from 0. */
    while (ports-- && used + 12 < size)
        used += (size_t)snprintf(text + used, size - used, "%sport%u", used ? "-" : "", path[ports]->port - 1);
}

void usb_storage_name(const struct usb_device *device, char *name, size_t size)
{
    char text[BLOCK_NAME_MAX - 20];

    if (device->serial[0])
        snprintf(text, sizeof(text), "%s", device->serial);
    else
        usb_storage_place(device, text, sizeof(text));
    block_name_text(text);
    snprintf(name, size, "usb:%s", text);
}

/* --- units --- */

/* Makes a disk of the unit if it can. 0, also when it is left out; -ERROR_GONE: the device is. */
static int look(struct usb_storage *storage, struct usb_storage_unit *unit, struct error *error)
{
    struct usb_device *device = storage->device;
    char name[NAME_SIZE];

    usb_storage_name(device, name, sizeof(name));
    size_t length = strlen(name);
    if (unit->lun)
        snprintf(name + length, sizeof(name) - length, "/lun%u", unit->lun);
    int status = scsi_disk_create(storage->transport, unit->lun, name, storage->driver, device->bus->registry,
                                  &unit->disk, error);
    if (status) {
        unit->disk = NULL;
        unit->state = status == -ERROR_NOT_FOUND ? USB_UNIT_EMPTY : USB_UNIT_NONE;
        return status;
    }
    struct block_device *disk = scsi_disk_device(unit->disk);
    /* The number on the outside, as the firmware knows it, before the one inside. */
    if (device->serial[0])
        memcpy(disk->serial, device->serial, sizeof(disk->serial));
    unit->state = USB_UNIT_DISK;
    device->bus->disks++;
    return 0;
}

static void take_away(struct usb_storage *storage, struct usb_storage_unit *unit, enum usb_unit_state state)
{
    if (unit->state == USB_UNIT_DISK) {
        storage->device->bus->disks--;
        scsi_disk_destroy(unit->disk);
    }
    unit->disk = NULL;
    unit->state = state;
}

static void add_unit(struct usb_storage *storage, unsigned lun)
{
    for (unsigned i = 0; i < storage->unit_count; i++)
        if (storage->units[i].lun == lun)
            return;
    if (storage->unit_count < USB_STORAGE_UNITS_MAX && lun <= UINT8_MAX)
        storage->units[storage->unit_count++] = (struct usb_storage_unit){.lun = (uint8_t)lun};
}

/* --- REPORT LUNS, SPC-4, 6.33; SAM-5, 4.7 --- */

#define REPORT_SIZE (8u + 8u * USB_STORAGE_UNITS_MAX)

static void read_units(struct usb_storage *storage, const uint8_t *data, size_t moved)
{
    if (moved < 8)
        return;
    size_t size = scsi_big32(data) < moved - 8 ? scsi_big32(data) : moved - 8;
    for (const uint8_t *entry = data + 8; size >= 8; size -= 8, entry += 8) {
        /* Peripheral device addressing of bus 0, or flat space addressing; one level. */
        bool one_level = !entry[2] && !entry[3] && !entry[4] && !entry[5] && !entry[6] && !entry[7];
        if (one_level && (entry[0] == 0x00 || entry[0] == 0x40))
            add_unit(storage, entry[1]);
    }
}

struct report {
    struct scsi_command command;
    struct buffer buffer;
    struct platform *platform;
};

static void report_free(void *context)
{
    struct report *report = context;

    buffer_release(&report->buffer);
    platform_release(report->platform, report);
}

static int report_units(struct usb_storage *storage)
{
    struct platform *platform = storage->transport->loop->platform;
    struct report *report = platform_allocate_zeroed(platform, sizeof(*report));
    struct fiber_cleanup cleanup = {.run = report_free, .context = report};
    int status = -ERROR_NO_MEMORY;

    if (!report)
        return status;
    report->platform = platform;
    fiber_cleanup_push(&cleanup);
    if (!buffer_allocate(platform, REPORT_SIZE, &report->buffer)) {
        /* The first command may meet a unit attention, another one the next. */
        for (unsigned attempt = 0; attempt < 3; attempt++) {
            report->command = (struct scsi_command){.cdb = {SCSI_REPORT_LUNS},
                                                    .cdb_length = 12,
                                                    .direction = SCSI_DATA_IN,
                                                    .buffer = &report->buffer,
                                                    .length = REPORT_SIZE};
            scsi_put_big32(report->command.cdb + 6, REPORT_SIZE);
            status = scsi_run(storage->transport, &report->command, REPORT_TIMEOUT);
            if (!status)
                status = -(int)scsi_error(&report->command, NULL);
            if (!status) {
                read_units(storage, report->buffer.data, report->command.moved);
                break;
            }
            if (status != -ERROR_ABORTED && status != -ERROR_BUSY)
                break;
        }
    }
    fiber_cleanup_pop(&cleanup);
    report_free(report);
    return status;
}

static int find_units(struct usb_storage *storage, unsigned max_lun)
{
    uint32_t quirks = storage->device->quirks;
    int status = 0;

    if (quirks & USB_QUIRK_ONE_LUN)
        max_lun = 0;
    if (max_lun == UINT_MAX && !(quirks & USB_QUIRK_NO_REPORT_LUNS))
        status = report_units(storage);
    else if (max_lun != UINT_MAX)
        for (unsigned lun = 0; lun <= max_lun && lun < USB_STORAGE_UNITS_MAX; lun++)
            add_unit(storage, lun);
    if (!storage->unit_count)
        add_unit(storage, 0);
    return status == -ERROR_GONE || status == -ERROR_TIMEOUT ? status : 0;
}

/* --- media that come and go --- */

static bool needs_look(const struct usb_storage_unit *unit)
{
    return unit->state == USB_UNIT_EMPTY ||
           (unit->state == USB_UNIT_DISK && (scsi_disk_device(unit->disk)->removable || scsi_disk_is_gone(unit->disk)));
}

static bool storage_poll(struct pollable *pollable)
{
    struct usb_storage *storage =
        (struct usb_storage *)(void *)((char *)pollable - offsetof(struct usb_storage, pollable));
    bool wanted = false, busy = false;

    if (storage->device->unplugged || storage->transport->dead ||
        platform_now(storage->transport->loop->platform) < storage->next_look)
        return false;
    for (unsigned i = 0; i < storage->unit_count; i++) {
        wanted |= needs_look(&storage->units[i]);
        busy |= storage->units[i].state == USB_UNIT_DISK && !scsi_disk_idle(storage->units[i].disk);
    }
    storage->next_look = deadline_after(storage->transport->loop->platform, LOOK_PAUSE);
    if (!wanted || busy)
        return false;
    usb_attention(storage->device);
    return true;
}

static void look_again(struct usb_storage *storage, struct usb_storage_unit *unit)
{
    struct error error = {0};
    int status = look(storage, unit, &error);

    if (!status || status == -ERROR_NOT_FOUND || status == -ERROR_GONE || storage->device->unplugged)
        return;
    platform_log(storage->device->bus->platform, LOG_WARNING, "%s: unit %u cannot be used: %s%s%s",
                 storage->device->name, unit->lun, error_code_name((enum error_code) - status),
                 error.detail[0] ? ", " : "", error.detail);
    unit->state = USB_UNIT_EMPTY;
    unit->not_before = deadline_after(storage->device->bus->platform, FAILURE_PAUSE);
}

void usb_storage_service(struct usb_storage *storage)
{
    struct platform *platform = storage->device->bus->platform;

    if (storage->device->unplugged || storage->transport->dead)
        return;
    for (unsigned i = 0; i < storage->unit_count; i++) {
        struct usb_storage_unit *unit = &storage->units[i];
        if (unit->state == USB_UNIT_DISK && !scsi_disk_check(unit->disk))
            take_away(storage, unit,
                      scsi_disk_device(unit->disk)->removable || scsi_disk_medium_left(unit->disk) ? USB_UNIT_EMPTY
                                                                                                   : USB_UNIT_NONE);
        if (unit->state == USB_UNIT_EMPTY && platform_now(platform) >= unit->not_before)
            look_again(storage, unit);
    }
    storage->next_look = deadline_after(storage->transport->loop->platform, LOOK_PAUSE);
}

/* --- life --- */

static void stop_units(struct usb_storage *storage)
{
    for (unsigned i = 0; i < storage->unit_count; i++)
        take_away(storage, &storage->units[i], USB_UNIT_NONE);
    storage->unit_count = 0;
}

int usb_storage_start(struct usb_storage *storage, struct usb_binding *binding, struct scsi_transport *transport,
                      unsigned max_lun, const char *driver, struct error *error)
{
    struct usb_device *device = binding->device;
    bool any = false;
    int first = 0;

    memset(storage, 0, sizeof(*storage));
    storage->device = transport->device = device;
    storage->transport = transport;
    storage->driver = driver;
    transport->quirks = device->quirks;
    usb_storage_place(device, transport->place, sizeof(transport->place));
    int status = find_units(storage, max_lun);
    if (status)
        return error_set(error, (enum error_code) - status, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "its units cannot be found");
    for (unsigned i = 0; i < storage->unit_count; i++) {
        status = look(storage, &storage->units[i], first ? NULL : error);
        if (status == -ERROR_GONE || transport->dead) {
            stop_units(storage);
            return error_set(error, ERROR_GONE, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK, NULL);
        }
        any |= storage->units[i].state != USB_UNIT_NONE;
        if (status && status != -ERROR_NOT_FOUND && !first)
            first = status;
    }
    if (!any)
        return first ? first : -ERROR_UNSUPPORTED;
    storage->next_look = deadline_after(transport->loop->platform, LOOK_PAUSE);
    storage->pollable.poll = storage_poll;
    storage->pollable.hold_events = true;
    loop_add(transport->loop, &storage->pollable);
    return 0;
}

void usb_storage_gone(struct usb_storage *storage)
{
    for (unsigned i = 0; i < storage->unit_count; i++)
        if (storage->units[i].state == USB_UNIT_DISK)
            scsi_disk_gone(storage->units[i].disk);
}

void usb_storage_stop(struct usb_storage *storage)
{
    if (storage->pollable.poll)
        loop_remove(storage->transport->loop, &storage->pollable);
    storage->pollable.poll = NULL;
    stop_units(storage);
}
