/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bulk-only on the device's fiber: coming and going, stalls, reset recovery. Bulk-Only Transport 1.0; sections are its.
 */
#include <string.h>

#include "core/fiber.h"
#include "drivers/quirks.h"
#include "drivers/usb/scsi_spec.h"
#include "drivers/usb/usb_bulk_only.h"

/* Policy */
#define OLD_DEVICE_PAUSE (150 * NANOSECONDS_PER_MILLISECOND) /* after a reset and each cleared halt */
#define RESETS_OF_THE_CLASS 2u /* recoveries in a row that are tried so; then the port is reset */
#define RECOVERIES_MAX 6u      /* in a row; then the device is given up */
#define PROOF_TIMEOUT (5 * NANOSECONDS_PER_SECOND)
#define MAX_TRANSFER (120u * 1024) /* more makes some devices hang; those of SuperSpeed are younger */
#define MAX_TRANSFER_SUPER_SPEED (1u << 20)

static bool is_lost(const struct bulk_only *bulk)
{
    return bulk->lost || bulk->binding.device->unplugged || bulk->binding.device->bus->dead;
}

/* --- nothing moves any more --- */

static unsigned moving_on(const struct bulk_only *bulk, const struct usb_endpoint *endpoint)
{
    unsigned moving = bulk->moving & (endpoint == bulk->in ? BULK_ONLY_CSW : BULK_ONLY_CBW);

    return bulk->payload.endpoint == endpoint ? moving | (bulk->moving & BULK_ONLY_PAYLOAD) : moving;
}

/* The host does not touch the memory of its transfers afterwards, whatever has become of the device. */
static void quiet(struct bulk_only *bulk, struct usb_endpoint *endpoint)
{
    if (moving_on(bulk, endpoint))
        usb_endpoint_cancel(endpoint);
}

static bool is_quiet(void *context)
{
    return !((const volatile struct bulk_only *)context)->moving;
}

/* --- reset recovery, 3.1 and 5.3.4 --- */

static int class_reset(struct bulk_only *bulk)
{
    struct usb_device *device = bulk->binding.device;
    struct loop *loop = bulk->transport.loop;

    int status = usb_control(device, USB_TYPE_CLASS | USB_RECIPIENT_INTERFACE, BULK_ONLY_RESET, 0,
                             bulk->interface_number, NULL, 0, 0);
    if (status < 0)
        return status;
    loop_delay(loop, OLD_DEVICE_PAUSE);
    status = usb_endpoint_reset(bulk->in);
    if (status)
        return status;
    loop_delay(loop, OLD_DEVICE_PAUSE);
    return usb_endpoint_reset(bulk->out);
}

static void proof_done(struct scsi_command *command)
{
    struct bulk_only *bulk = command->context;

    bulk->proved = true;
}

static bool proof_ended(void *context)
{
    const struct bulk_only *bulk = context;

    return bulk->proved || bulk->fault || bulk->transport.wants_service || is_lost(bulk);
}

/*
 * Does it carry out commands again? INQUIRY is answered in any state, and takes no unit attention away that somebody else should hear
 * of (SPC-4, 5.6).
 */
static int prove(struct bulk_only *bulk)
{
    struct loop *loop = bulk->transport.loop;

    bulk->proof = (struct scsi_command){.cdb = {SCSI_INQUIRY, [4] = SCSI_INQUIRY_SIZE},
                                        .cdb_length = 6,
                                        .direction = SCSI_DATA_IN,
                                        .buffer = &bulk->buffer,
                                        .offset = BULK_ONLY_PROOF_AT,
                                        .length = SCSI_INQUIRY_SIZE,
                                        .done = proof_done,
                                        .context = bulk};
    bulk->proving = true;
    bulk->proved = bulk->recovering = false;
    bulk_only_begin_own(bulk, &bulk->proof);
    loop_wait(loop, proof_ended, bulk, deadline_after(loop->platform, PROOF_TIMEOUT));
    bool lives = bulk->proved && !bulk->proof.status;
    bulk->recovering = true;
    bulk->proving = false;
    bulk->fault = bulk->recover = bulk->transport.wants_service = false;
    bulk->due = 0;
    quiet(bulk, bulk->in);
    quiet(bulk, bulk->out);
    if (!bulk->moving)
        bulk_only_end_all(bulk, -ERROR_ABORTED, -ERROR_ABORTED);
    if (is_lost(bulk))
        return -ERROR_GONE;
    return lives ? 0 : -ERROR_TIMEOUT;
}

static int bring_back(struct bulk_only *bulk)
{
    struct usb_device *device = bulk->binding.device;
    int status = -ERROR_TIMEOUT;

    if (is_lost(bulk))
        return -ERROR_GONE;
    if (++bulk->failures > RECOVERIES_MAX)
        return -ERROR_IO;
    if (bulk->failures <= RESETS_OF_THE_CLASS)
        status = class_reset(bulk);
    if (!status)
        status = prove(bulk);
    if (!status || is_lost(bulk))
        return status;
    platform_log(bulk->transport.loop->platform, LOG_WARNING, "%s: bulk-only: does not recover by itself, reset",
                 device->name);
    status = usb_device_reset(device);
    return status ? status : prove(bulk);
}

static void give_up(struct bulk_only *bulk)
{
    if (!is_lost(bulk))
        platform_log(bulk->transport.loop->platform, LOG_ERROR, "%s: bulk-only: recovers no more, its disks go",
                     bulk->binding.device->name);
    bulk->transport.dead = true;
    usb_storage_gone(&bulk->storage);
    usb_give_up(&bulk->binding);
}

static void recover(struct bulk_only *bulk)
{
    /* A command that failed by itself is not sent again and again without its sender's count; the others are. */
    int current = bulk->fault ? -ERROR_IO : -ERROR_ABORTED;

    bulk->recovering = true;
    bulk->fault = bulk->recover = false;
    bulk->due = 0;
    quiet(bulk, bulk->in);
    quiet(bulk, bulk->out);
    /* Early: what is held can be sent again, and its deadlines do not run while the device is brought back. */
    if (!bulk->moving && !is_lost(bulk))
        bulk_only_end_all(bulk, current, -ERROR_ABORTED);
    int status = bulk->moving ? -ERROR_GONE : bring_back(bulk);
    if (status)
        give_up(bulk);
    if (status && !bulk->moving)
        bulk_only_end_all(bulk, -ERROR_GONE, -ERROR_GONE);
    bulk->recovering = false;
}

/* --- stalls --- */

/* 6.7.2, 6.7.3: a device that has less data than was asked for, or a failure, may stall; its status comes behind. */
static void clear_stall(struct bulk_only *bulk)
{
    bool data = bulk->stage == BULK_ONLY_DATA_STALLED;
    struct usb_endpoint *endpoint = data ? bulk->payload.endpoint : bulk->in;

    int status = usb_endpoint_reset(endpoint);
    if (is_lost(bulk) || bulk->fault || bulk->recover)
        return;
    if (status || bulk->moving) {
        bulk->fault = true;
        return;
    }
    bulk_only_status_next(bulk);
}

/* Gone while a command is waited for: its transfers are taken back, so that it can end. */
static void end_for_good(struct bulk_only *bulk)
{
    quiet(bulk, bulk->in);
    quiet(bulk, bulk->out);
    if (!bulk->moving)
        bulk_only_end_all(bulk, -ERROR_GONE, -ERROR_GONE);
}

static void bulk_only_service(struct scsi_transport *transport)
{
    struct bulk_only *bulk = bulk_only_of(transport);

    transport->wants_service = false;
    if (bulk->recovering)
        return;
    if (transport->dead) {
        end_for_good(bulk);
        return;
    }
    bool stalled = bulk->stage == BULK_ONLY_DATA_STALLED || bulk->stage == BULK_ONLY_STATUS_STALLED;
    if (stalled && !bulk->fault && !bulk->recover && !is_lost(bulk))
        clear_stall(bulk);
    if (bulk->fault || bulk->recover || is_lost(bulk))
        recover(bulk);
}

static void bulk_only_recover(struct scsi_transport *transport)
{
    struct bulk_only *bulk = bulk_only_of(transport);

    if (bulk->recovering)
        return;
    bulk->recover = true;
    bulk_only_ask(bulk);
}

static void bulk_only_abandon(struct scsi_transport *transport)
{
    struct bulk_only *bulk = bulk_only_of(transport);
    struct usb_bus *bus = bulk->binding.device->bus;

    transport->dead = true;
    /* The fiber that could take the transfers back did not run: nothing less than the controller's end stops them now. */
    if (bulk->moving) {
        if (bus->pci)
            bus->platform->ops->pci_stop_dma(bus->pci);
        usb_bus_die(bus);
    }
    bulk->moving = 0;
    bulk_only_end_all(bulk, -ERROR_GONE, -ERROR_GONE);
}

/* --- coming --- */

static unsigned bulk_only_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    (void)device;
    return interface->class_code == USB_CLASS_STORAGE && interface->subclass == USB_SUBCLASS_SCSI &&
                   interface->protocol == USB_PROTOCOL_BULK_ONLY
               ? 10
               : 0;
}

/* 3.2: devices with one unit may refuse. */
static unsigned max_lun(struct bulk_only *bulk)
{
    uint8_t answer = 0;
    int moved = usb_control(bulk->binding.device, USB_IN | USB_TYPE_CLASS | USB_RECIPIENT_INTERFACE,
                            BULK_ONLY_GET_MAX_LUN, 0, bulk->interface_number, &answer, 1, 0);

    return moved == 1 && answer < USB_STORAGE_UNITS_MAX ? answer : 0;
}

static uint32_t choose_transfer(const struct usb_device *device)
{
    uint32_t most = device->speed >= USB_SPEED_SUPER ? MAX_TRANSFER_SUPER_SPEED : MAX_TRANSFER;

    if (device->quirks & USB_QUIRK_TRANSFER_64K)
        most = 64u << 10;
    if (device->quirks & USB_QUIRK_TRANSFER_32K)
        most = 32u << 10;
    return device->bus->limits.max_transfer < most ? (uint32_t)device->bus->limits.max_transfer : most;
}

static bool bulk_only_poll(struct pollable *pollable)
{
    struct bulk_only *bulk = (struct bulk_only *)(void *)((char *)pollable - offsetof(struct bulk_only, pollable));

    return bulk_only_move(bulk);
}

static int open_endpoints(struct bulk_only *bulk, const struct usb_interface *interface, struct error *error)
{
    struct usb_device *device = bulk->binding.device;

    int status =
        usb_interface_open(device, interface, 0, bulk->endpoints, USB_ENDPOINTS_MAX, &bulk->endpoint_count, error);
    if (status)
        return status;
    bulk->in = usb_find_endpoint(bulk->endpoints, bulk->endpoint_count, USB_ENDPOINT_BULK, true);
    bulk->out = usb_find_endpoint(bulk->endpoints, bulk->endpoint_count, USB_ENDPOINT_BULK, false);
    if (bulk->in && bulk->out)
        return 0;
    usb_interface_close(device, bulk->endpoints, bulk->endpoint_count);
    return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                     "bulk-only needs two bulk endpoints");
}

/* No command and no transfer afterwards. False: the host does not let go of a transfer; its memory must stay. */
static bool stop(struct bulk_only *bulk)
{
    struct loop *loop = bulk->transport.loop;

    bulk->transport.dead = true;
    bulk->recovering = true; /* what comes back now is not gone on with */
    bulk->due = 0;
    usb_interface_close(bulk->binding.device, bulk->endpoints, bulk->endpoint_count);
    bool ended = loop_wait(loop, is_quiet, bulk, deadline_after(loop->platform, NANOSECONDS_PER_SECOND));
    bulk_only_end_all(bulk, -ERROR_GONE, -ERROR_GONE);
    loop_remove(loop, &bulk->pollable);
    return ended;
}

static void bulk_only_free(struct bulk_only *bulk, bool ended)
{
    struct platform *platform = bulk->binding.device->bus->platform;

    if (!ended) {
        platform_log(platform, LOG_ERROR, "%s: bulk-only: the host keeps a transfer", bulk->binding.device->name);
        return;
    }
    buffer_release(&bulk->buffer);
    platform_release(platform, bulk);
}

static int start(struct bulk_only *bulk, struct error *error)
{
    struct usb_device *device = bulk->binding.device;
    struct loop *loop = device->bus->loop;

    bulk->transport = (struct scsi_transport){.submit = bulk_only_submit,
                                              .recover = bulk_only_recover,
                                              .service = bulk_only_service,
                                              .abandon = bulk_only_abandon,
                                              .loop = loop,
                                              .cautious = device->speed < USB_SPEED_SUPER,
                                              .serial = true,
                                              .queue_depth = BULK_ONLY_QUEUE,
                                              .max_transfer = choose_transfer(device)};
    bulk_only_prepare(bulk);
    bulk->pollable = (struct pollable){.poll = bulk_only_poll, .hold_events = true};
    loop_add(loop, &bulk->pollable);
    return usb_storage_start(&bulk->storage, &bulk->binding, &bulk->transport, max_lun(bulk), "usb", error);
}

static int bulk_only_attach(struct usb_device *device, const struct usb_interface *interface,
                            struct usb_binding **binding, struct error *error)
{
    struct platform *platform = device->bus->platform;
    struct bulk_only *bulk = platform_allocate_zeroed(platform, sizeof(*bulk));

    if (!bulk)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK, NULL);
    bulk->binding.device = device;
    bulk->binding.driver = &usb_bulk_only_driver;
    bulk->interface_number = interface->number;
    int status = open_endpoints(bulk, interface, error);
    if (status) {
        platform_release(platform, bulk);
        return status;
    }
    status = buffer_allocate(platform, BULK_ONLY_BUFFER_SIZE, &bulk->buffer);
    if (status) {
        usb_interface_close(device, bulk->endpoints, bulk->endpoint_count);
        platform_release(platform, bulk);
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK, NULL);
    }
    memset(bulk->buffer.data, 0, bulk->buffer.size);
    status = start(bulk, error);
    if (status) {
        bulk_only_free(bulk, stop(bulk));
        return status;
    }
    *binding = &bulk->binding;
    return 0;
}

/* --- working and going --- */

static void bulk_only_binding_service(struct usb_binding *binding)
{
    struct bulk_only *bulk = (struct bulk_only *)binding;

    if (bulk->transport.wants_service)
        bulk_only_service(&bulk->transport);
    usb_storage_service(&bulk->storage);
}

static void bulk_only_gone(struct usb_binding *binding)
{
    struct bulk_only *bulk = (struct bulk_only *)binding;

    bulk->transport.dead = true;
    bulk->due = 0;
    usb_storage_gone(&bulk->storage);
}

static void bulk_only_detach(struct usb_binding *binding)
{
    struct bulk_only *bulk = (struct bulk_only *)binding;

    if (binding->device->unplugged)
        bulk_only_gone(binding);
    usb_storage_stop(&bulk->storage);
    bulk_only_free(bulk, stop(bulk));
}

const struct usb_driver usb_bulk_only_driver = {
    .name = "bulk-only",
    .matches = bulk_only_matches,
    .attach = bulk_only_attach,
    .service = bulk_only_binding_service,
    .detach = bulk_only_detach,
    .gone = bulk_only_gone,
};
