/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which interfaces UAS serves, and its life on one. UAS-3, section 5. */
#include "drivers/usb/usb_uas.h"

#include <limits.h>
#include <string.h>

#include "drivers/quirks.h"
#include "drivers/usb/usb_internal.h"
#include "drivers/usb/usb_uas_internal.h"

/* --- which interfaces --- */

/* The four pipes, by the pipe usage descriptors (5.3.3.5). False: one is missing, named twice, or not what it should be. */
static bool find_pipes(struct usb_endpoint *endpoints, unsigned count, struct usb_endpoint *pipes[UAS_PIPES])
{
    static const uint8_t ids[UAS_PIPES] = {UAS_PIPE_COMMAND, UAS_PIPE_STATUS, UAS_PIPE_DATA_IN, UAS_PIPE_DATA_OUT};
    for (unsigned pipe = 0; pipe < UAS_PIPES; pipe++) {
        bool in = pipe == UAS_STATUS || pipe == UAS_DATA_IN;
        pipes[pipe] = NULL;
        for (unsigned i = 0; i < count; i++) {
            struct usb_endpoint *endpoint = &endpoints[i];
            if (endpoint->pipe_id != ids[pipe])
                continue;
            if (pipes[pipe] || endpoint->type != USB_ENDPOINT_BULK || (endpoint->address & USB_IN ? !in : in))
                return false;
            pipes[pipe] = endpoint;
        }
        if (!pipes[pipe])
            return false;
    }
    return true;
}

static bool super_speed(const struct usb_device *device)
{
    return device->speed >= USB_SPEED_SUPER;
}

static bool streams_fit(const struct usb_device *device, struct usb_endpoint *const pipes[UAS_PIPES])
{
    unsigned fewest = 16;
    for (unsigned pipe = UAS_STATUS; pipe < UAS_PIPES; pipe++)
        if (pipes[pipe]->max_streams_log2 < fewest)
            fewest = pipes[pipe]->max_streams_log2;
    if ((device->quirks & USB_QUIRK_NO_UAS_32_STREAMS) && pipes[UAS_STATUS]->max_streams_log2 == 5)
        return false;
    return 1u << fewest >= UAS_STREAMS_MIN && device->bus->limits.max_streams >= UAS_STREAMS_MIN;
}

static unsigned uas_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    struct usb_endpoint endpoints[USB_ENDPOINTS_MAX];
    struct usb_endpoint *pipes[UAS_PIPES];

    if (interface->class_code != USB_CLASS_STORAGE || interface->subclass != USB_SUBCLASS_SCSI ||
        interface->protocol != USB_PROTOCOL_UAS)
        return 0;
    if (device->quirks & USB_QUIRK_NO_UAS || device->speed < USB_SPEED_HIGH)
        return 0;
    unsigned count = usb_parse_endpoints(interface, endpoints, USB_ENDPOINTS_MAX);
    if (!find_pipes(endpoints, count, pipes))
        return 0;
    /* Without streams, the bridges that share an identity cannot be told apart: the careful choice. */
    if (super_speed(device) ? !streams_fit(device, pipes) : (device->quirks & USB_QUIRK_NO_UAS_32_STREAMS) != 0)
        return 0;
    return 20;
}

/* --- life --- */

static unsigned least_streams(const struct uas *uas)
{
    unsigned least = UAS_STREAMS_WANTED;
    for (unsigned pipe = UAS_STATUS; pipe < UAS_PIPES; pipe++)
        if (uas->pipes[pipe]->streams < least)
            least = uas->pipes[pipe]->streams;
    return least;
}

static int choose_depth(struct uas *uas, struct error *error)
{
    struct usb_device *device = uas->binding.device;
    uas->streams = super_speed(device) ? least_streams(uas) : 0;
    if (super_speed(device) && uas->streams < UAS_STREAMS_MIN)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "no streams for UAS");
    /* One tag is kept for task management. The host's limit is for endpoints without streams. */
    unsigned most = device->bus->limits.queue_depth - 1;
    if (uas->streams && uas->streams - 1 < most)
        most = uas->streams - 1;
    if (device->quirks & USB_QUIRK_UAS_DEPTH_ONE)
        most = 1;
    uas->depth = most < UAS_COMMANDS_MAX ? most : UAS_COMMANDS_MAX;
    return 0;
}

static uint32_t choose_transfer(const struct usb_device *device)
{
    uint32_t most = super_speed(device) ? UAS_MAX_TRANSFER : UAS_MAX_TRANSFER_HIGH_SPEED;
    if (device->quirks & USB_QUIRK_TRANSFER_64K)
        most = 64u << 10;
    if (device->quirks & USB_QUIRK_TRANSFER_32K)
        most = 32u << 10;
    return device->bus->limits.max_transfer < most ? (uint32_t)device->bus->limits.max_transfer : most;
}

static void uas_abandon(struct scsi_transport *transport)
{
    struct uas *uas = uas_of(transport);
    struct usb_bus *bus = uas->binding.device->bus;
    bool moves = false;
    transport->dead = true;
    for (enum uas_pipe pipe = UAS_COMMAND; pipe < UAS_PIPES; pipe++)
        moves |= uas_pipe_moves(uas, pipe);
    if (moves) {
        /* The fiber that could empty the pipes did not run: only the controller's end stops the transfers now. */
        if (bus->pci)
            bus->platform->ops->pci_stop_dma(bus->pci);
        usb_bus_die(bus);
    }
    uas_slots_end(uas, -ERROR_GONE);
}

static int open_pipes(struct uas *uas, struct usb_device *device, const struct usb_interface *interface,
                      struct error *error)
{
    int status = usb_interface_open(device, interface, super_speed(device) ? UAS_STREAMS_WANTED : 0, uas->endpoints,
                                    USB_ENDPOINTS_MAX, &uas->endpoint_count, error);
    if (status)
        return status;
    if (find_pipes(uas->endpoints, uas->endpoint_count, uas->pipes))
        status = choose_depth(uas, error);
    else
        status = error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                           "the pipes of UAS are not all there");
    if (status)
        usb_interface_close(device, uas->endpoints, uas->endpoint_count);
    return status;
}

static int uas_attach(struct usb_device *device, const struct usb_interface *interface, struct usb_binding **binding,
                      struct error *error)
{
    struct platform *platform = device->bus->platform;
    struct uas *uas = platform_allocate_zeroed(platform, sizeof(*uas));
    int status = -ERROR_NO_MEMORY;
    if (!uas)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK, "no memory for UAS");
    uas->binding.device = device;
    uas->binding.driver = &usb_uas_driver;
    uas->loop = device->bus->loop;
    status = open_pipes(uas, device, interface, error);
    if (status)
        goto no_pipes;
    if (buffer_allocate(platform, (size_t)UAS_SLOT_BUFFER * (uas->depth + 1), &uas->buffer)) {
        status =
            error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK, "no memory for UAS");
        goto no_buffer;
    }
    memset(uas->buffer.data, 0, uas->buffer.size);
    uas_slots_prepare(uas);
    uas->transport = (struct scsi_transport){.submit = uas_submit,
                                             .recover = uas_recover_later,
                                             .abandon = uas_abandon,
                                             .service = uas_service,
                                             .loop = uas->loop,
                                             .queue_depth = uas->depth,
                                             .max_transfer = choose_transfer(device)};
    status = usb_storage_start(&uas->storage, &uas->binding, &uas->transport, UINT_MAX, "uas", error);
    if (status)
        goto no_storage;
    uas->attached = true;
    platform_log(platform, LOG_INFO, "%s: UAS, %u commands at once%s", device->name, uas->depth,
                 uas->streams ? ", streams" : "");
    *binding = &uas->binding;
    return 0;

no_storage:
    uas->transport.dead = true;
    usb_interface_close(device, uas->endpoints, uas->endpoint_count);
    uas_slots_end(uas, -ERROR_GONE);
    buffer_release(&uas->buffer);
    platform_release(platform, uas);
    return status;
no_buffer:
    usb_interface_close(device, uas->endpoints, uas->endpoint_count);
no_pipes:
    platform_release(platform, uas);
    return status;
}

static void uas_attended(struct usb_binding *binding)
{
    struct uas *uas = (struct uas *)binding;
    uas_service(&uas->transport);
    if (!uas->transport.dead)
        usb_storage_service(&uas->storage);
}

static void uas_gone(struct usb_binding *binding)
{
    struct uas *uas = (struct uas *)binding;
    uas->transport.dead = true;
    usb_storage_gone(&uas->storage);
}

static void uas_detach(struct usb_binding *binding)
{
    struct uas *uas = (struct uas *)binding;
    struct usb_device *device = binding->device;
    if (device->unplugged)
        uas_gone(binding);
    usb_storage_stop(&uas->storage);
    uas->transport.dead = true;
    usb_interface_close(device, uas->endpoints, uas->endpoint_count);
    uas_slots_end(uas, -ERROR_GONE);
    buffer_release(&uas->buffer);
    platform_release(uas->loop->platform, uas);
}

const struct usb_driver usb_uas_driver = {
    .name = "UAS",
    .matches = uas_matches,
    .attach = uas_attach,
    .service = uas_attended,
    .detach = uas_detach,
    .gone = uas_gone,
};
