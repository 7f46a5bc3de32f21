/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk over bulk-only transport (MSC BOT 1.0), with UAS beside it as another alternate setting (usb_model_uas.c). */
#include "tests/support/usb_model_disk.h"

#include <string.h>

#define CBW_SIGNATURE 0x43425355u
#define CSW_SIGNATURE 0x53425355u
#define CBW_SIZE 31
#define CSW_SIZE 13
#define BULK_IN 0x81
#define BULK_OUT 0x02
#define REQUEST_RESET 0xff
#define REQUEST_MAX_LUN 0xfe

enum { COMMAND, DATA, STATUS };

static struct usb_model_disk *disk_of(struct usb_model_device *device)
{
    return (struct usb_model_disk *)(void *)device;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)(at[0] | at[1] << 8 | at[2] << 16) | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* --- what both transports use --- */

uint64_t usb_model_disk_random(struct usb_model_disk *disk)
{
    disk->random ^= disk->random << 13;
    disk->random ^= disk->random >> 7;
    disk->random ^= disk->random << 17;
    return disk->random;
}

bool usb_model_disk_lazy(struct usb_model_disk *disk)
{
    if (disk->patience) {
        disk->patience--;
        return true;
    }
    if (disk->laziness)
        disk->patience = (unsigned)(usb_model_disk_random(disk) % (disk->laziness + 1));
    return false;
}

enum usb_model_disk_fault usb_model_disk_pick_fault(struct usb_model_disk *disk, uint8_t opcode)
{
    if (disk->fault == USB_MODEL_NO_FAULT || (disk->fault_opcode >= 0 && disk->fault_opcode != opcode))
        return USB_MODEL_NO_FAULT;
    if (++disk->matching < disk->fault_at)
        return USB_MODEL_NO_FAULT;
    enum usb_model_disk_fault fault = disk->fault;
    disk->faults++;
    if (disk->fault_times && !--disk->fault_times)
        disk->fault = USB_MODEL_NO_FAULT;
    return fault;
}

void usb_model_disk_fault_next(struct usb_model_disk *disk, enum usb_model_disk_fault fault, int opcode)
{
    disk->fault = fault;
    disk->fault_opcode = opcode;
    disk->fault_at = disk->matching = 0;
    disk->fault_times = 1;
}

size_t usb_model_disk_half(const struct usb_model_disk *disk, uint8_t address, size_t length)
{
    uint16_t packet = usb_model_packet_size(&disk->device, address);

    return packet ? length / 2 / packet * packet : 0;
}

static void fail_aborted(struct usb_model_task *task)
{
    struct usb_model_unit *unit = &task->target->units[task->lun % USB_MODEL_UNITS];

    memset(task->sense, 0, sizeof(task->sense));
    task->sense[0] = 0x70;
    task->sense[2] = 0x0b;
    task->sense[7] = 10;
    task->sense[12] = 0x4b;
    task->sense_size = sizeof(task->sense);
    task->status = 2;
    memcpy(unit->sense, task->sense, sizeof(unit->sense));
}

void usb_model_disk_begin_fault(struct usb_model_disk *disk, enum usb_model_disk_fault fault, uint8_t address,
                                struct usb_model_task *task, size_t *limit)
{
    switch (fault) {
    case USB_MODEL_STALL_DATA:
        *limit = usb_model_disk_half(disk, address, task->length);
        fail_aborted(task);
        break;
    case USB_MODEL_SHORT_DATA:
        *limit = usb_model_disk_half(disk, address, task->length);
        break;
    case USB_MODEL_HANG_HARD:
        disk->hung = 2;
        break;
    case USB_MODEL_HANG_FOR_EVER:
        disk->hung = 3;
        break;
    default:
        break;
    }
}

/* --- the command --- */

static int invalid_command(struct usb_model_disk *disk, const char *what)
{
    if (what)
        usb_model_violation(&disk->device, what);
    disk->bulk.must_reset = true;
    disk->device.halted[16 + (BULK_IN & 0xf)] = true;
    return USB_MODEL_STALL;
}

/* MSC BOT 1.0, 6.2: valid and meaningful. */
static const char *command_complaint(const uint8_t *cbw, size_t length)
{
    if (length != CBW_SIZE || get32(cbw) != CBW_SIGNATURE)
        return "something other than a CBW";
    if (cbw[12] & 0x7f || cbw[13] & 0xf0 || cbw[14] & 0xe0 || cbw[14] < 1 || cbw[14] > 16)
        return "a CBW with reserved bits or a bad length";
    return NULL;
}

static uint32_t residue_of(const struct usb_model_bulk_only *bulk)
{
    if (bulk->fault == USB_MODEL_FULL_RESIDUE)
        return bulk->expected;
    return bulk->fault == USB_MODEL_LIE_RESIDUE ? bulk->expected + 1 : bulk->expected - (uint32_t)bulk->task.moved;
}

/* The thirteen cases (6.7): does what the host expects agree with what the command moves? */
static bool in_phase(const struct usb_model_bulk_only *bulk)
{
    const struct usb_model_task *task = &bulk->task;

    if (!task->length)
        return true;
    return bulk->expected >= task->length && bulk->in == task->in;
}

/* What the fault changes before data moves. */
static void prepare_fault(struct usb_model_disk *disk)
{
    struct usb_model_bulk_only *bulk = &disk->bulk;

    usb_model_disk_begin_fault(disk, bulk->fault, bulk->in ? BULK_IN : BULK_OUT, &bulk->task, &bulk->limit);
    switch (bulk->fault) {
    case USB_MODEL_STALL_DATA:
        bulk->status = 1;
        break;
    case USB_MODEL_STALL_STATUS:
        bulk->stalls = 1;
        break;
    case USB_MODEL_STALL_STATUS_TWICE:
        bulk->stalls = 2;
        break;
    case USB_MODEL_PHASE_ERROR:
        bulk->status = 2;
        break;
    case USB_MODEL_HANG:
        disk->hung = 1;
        break;
    default:
        break;
    }
}

static int take_command(struct usb_model_disk *disk, const uint8_t *cbw, size_t length)
{
    struct usb_model_bulk_only *bulk = &disk->bulk;
    const char *complaint = command_complaint(cbw, length);
    uint8_t cdb[16];

    if (complaint)
        return invalid_command(disk, complaint);
    disk->commands++;
    if (!disk->most_tasks)
        disk->most_tasks = 1;
    memcpy(cdb, cbw + 15, sizeof(cdb));
    enum usb_model_disk_fault fault = usb_model_disk_pick_fault(disk, cdb[0]);
    if (fault == USB_MODEL_UNPLUG) {
        usb_model_unplug(&disk->device);
        return USB_MODEL_ERROR;
    }
    if (fault == USB_MODEL_STALL_COMMAND)
        return invalid_command(disk, NULL);
    memset(bulk, 0, sizeof(*bulk));
    bulk->fault = fault;
    bulk->tag = get32(cbw + 4);
    bulk->expected = get32(cbw + 8);
    bulk->in = cbw[12] & 0x80;
    bulk->busy = true;
    usb_model_task_begin(&bulk->task, &disk->target, cbw[13] & 0xf, cdb);
    bulk->status = bulk->task.status ? 1 : 0;
    bulk->limit = bulk->task.length;
    if (!in_phase(bulk)) {
        usb_model_violation(&disk->device, "a CBW whose length or direction does not fit its command");
        bulk->limit = 0;
        bulk->status = 2;
    }
    prepare_fault(disk);
    bulk->phase = bulk->expected ? DATA : STATUS;
    return CBW_SIZE;
}

/* --- the data --- */

static bool unplugs_here(struct usb_model_disk *disk, uint8_t address)
{
    const struct usb_model_bulk_only *bulk = &disk->bulk;

    if (bulk->fault != USB_MODEL_UNPLUG_IN_DATA ||
        bulk->task.moved < usb_model_disk_half(disk, address, bulk->task.length))
        return false;
    usb_model_unplug(&disk->device);
    return true;
}

/* How far data moves in this call: to its end, or to where a fault waits. */
static size_t next_stop(const struct usb_model_disk *disk, uint8_t address)
{
    const struct usb_model_bulk_only *bulk = &disk->bulk;
    size_t half = usb_model_disk_half(disk, address, bulk->task.length);
    bool stops =
        bulk->fault == USB_MODEL_UNPLUG_IN_DATA || (bulk->fault == USB_MODEL_TRANSACTION_ERROR && !bulk->error_done);

    return stops && bulk->task.moved < half ? half : bulk->limit;
}

static bool error_here(struct usb_model_disk *disk, uint8_t address)
{
    struct usb_model_bulk_only *bulk = &disk->bulk;

    if (bulk->fault != USB_MODEL_TRANSACTION_ERROR || bulk->error_done ||
        bulk->task.moved < usb_model_disk_half(disk, address, bulk->task.length))
        return false;
    return bulk->error_done = true;
}

static int give_data(struct usb_model_disk *disk, uint8_t *data, size_t max)
{
    struct usb_model_bulk_only *bulk = &disk->bulk;
    struct usb_model_task *task = &bulk->task;
    uint16_t packet = usb_model_packet_size(&disk->device, BULK_IN);

    if (unplugs_here(disk, BULK_IN) || error_here(disk, BULK_IN))
        return USB_MODEL_ERROR;
    size_t left = next_stop(disk, BULK_IN) - task->moved;
    if (!left) {
        /* At the end, before what the host expects. */
        bulk->phase = STATUS;
        return disk->stall_when_short || bulk->fault == USB_MODEL_STALL_DATA ? USB_MODEL_STALL : 0;
    }
    size_t count = left < max ? left : max;
    memcpy(data, task->data + task->moved, count);
    task->moved += count;
    if (task->moved == bulk->expected) {
        bulk->phase = STATUS;
    } else if (count % packet) {
        bulk->phase = STATUS;
        bulk->stalls += disk->stall_when_short;
    }
    return (int)count;
}

/* What is more than the command takes is thrown away, or the endpoint is stalled. */
static int take_data(struct usb_model_disk *disk, const uint8_t *data, size_t length)
{
    struct usb_model_bulk_only *bulk = &disk->bulk;
    struct usb_model_task *task = &bulk->task;

    if (unplugs_here(disk, BULK_OUT) || error_here(disk, BULK_OUT))
        return USB_MODEL_ERROR;
    size_t left = next_stop(disk, BULK_OUT) - task->moved;
    bool ends =
        !left && (disk->stall_when_short || bulk->fault == USB_MODEL_STALL_DATA || bulk->fault == USB_MODEL_SHORT_DATA);
    if (ends) {
        bulk->phase = STATUS;
        return USB_MODEL_STALL;
    }
    if (!left) {
        bulk->phase = STATUS;
        return (int)length;
    }
    size_t count = left < length ? left : length;
    memcpy(task->data + task->moved, data, count);
    task->moved += count;
    if (task->moved == bulk->expected)
        bulk->phase = STATUS;
    return (int)count;
}

/* --- the status --- */

static int give_status(struct usb_model_disk *disk, uint8_t *data, size_t max)
{
    struct usb_model_bulk_only *bulk = &disk->bulk;
    uint8_t csw[CSW_SIZE];

    if (bulk->stalls) {
        bulk->stalls--;
        return USB_MODEL_STALL;
    }
    if (!bulk->status && bulk->fault != USB_MODEL_SHORT_DATA) {
        usb_model_task_finish(&bulk->task);
        bulk->status = bulk->task.status ? 1 : 0;
    }
    if (max < CSW_SIZE) {
        usb_model_violation(&disk->device, "no room for a CSW");
        return USB_MODEL_BABBLE;
    }
    put32(csw, bulk->fault == USB_MODEL_BAD_SIGNATURE ? 0x12345678 : CSW_SIGNATURE);
    put32(csw + 4, bulk->fault == USB_MODEL_BAD_TAG ? ~bulk->tag : bulk->tag);
    put32(csw + 8, residue_of(bulk));
    csw[12] = bulk->fault == USB_MODEL_BAD_STATUS ? 0x55 : bulk->status;
    memcpy(data, csw, sizeof(csw));
    bulk->must_reset = bulk->status == 2 || bulk->fault == USB_MODEL_BAD_SIGNATURE ||
                       bulk->fault == USB_MODEL_BAD_TAG || bulk->fault == USB_MODEL_SHORT_STATUS ||
                       bulk->fault == USB_MODEL_BAD_STATUS;
    usb_model_task_end(&bulk->task);
    bulk->busy = false;
    bulk->phase = COMMAND;
    return bulk->fault == USB_MODEL_SHORT_STATUS ? 9 : CSW_SIZE;
}

/* --- the device --- */

static int disk_out(struct usb_model_device *device, uint8_t address, unsigned stream, const uint8_t *data,
                    size_t length)
{
    struct usb_model_disk *disk = disk_of(device);

    if (disk->hung > 1 || (disk->hung && !device->alternates[0]) || usb_model_disk_lazy(disk))
        return USB_MODEL_NAK;
    if (device->alternates[0])
        return usb_model_uas_out(disk, address, stream, data, length);
    if (disk->bulk.must_reset)
        return USB_MODEL_STALL;
    if (disk->bulk.phase == COMMAND)
        return take_command(disk, data, length);
    if (disk->bulk.phase == DATA && !disk->bulk.in)
        return take_data(disk, data, length);
    return USB_MODEL_NAK;
}

static int disk_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    struct usb_model_disk *disk = disk_of(device);

    if (disk->hung > 1 || (disk->hung && !device->alternates[0]) || usb_model_disk_lazy(disk))
        return USB_MODEL_NAK;
    if (device->alternates[0])
        return usb_model_uas_in(disk, address, stream, data, max);
    if (disk->bulk.must_reset)
        return USB_MODEL_STALL;
    if (disk->bulk.phase == DATA && disk->bulk.in)
        return give_data(disk, data, max);
    if (disk->bulk.phase == STATUS)
        return give_status(disk, data, max);
    return USB_MODEL_NAK;
}

static void bulk_reset(struct usb_model_disk *disk)
{
    if (disk->bulk.busy)
        usb_model_task_end(&disk->bulk.task);
    memset(&disk->bulk, 0, sizeof(disk->bulk));
    disk->patience = 0;
}

static int disk_control(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    struct usb_model_disk *disk = disk_of(device);

    if ((setup->request_type & 0x7f) != (USB_TYPE_CLASS | USB_RECIPIENT_INTERFACE))
        return USB_MODEL_DEFAULT;
    if (setup->index || setup->value || device->alternates[0])
        return USB_MODEL_STALL;
    if (setup->request == REQUEST_RESET && !(setup->request_type & USB_IN) && !setup->length) {
        disk->storage_resets++;
        bulk_reset(disk);
        if (disk->hung == 1)
            disk->hung = 0;
        return 0;
    }
    if (setup->request == REQUEST_MAX_LUN && setup->request_type & USB_IN && setup->length == 1) {
        if (disk->max_lun < 0)
            return disk->max_lun;
        data[0] = (uint8_t)disk->max_lun;
        return 1;
    }
    return USB_MODEL_STALL;
}

static void disk_reset(struct usb_model_device *device)
{
    struct usb_model_disk *disk = disk_of(device);

    bulk_reset(disk);
    usb_model_uas_reset(disk);
    usb_model_target_reset(&disk->target);
    if (disk->hung < 3)
        disk->hung = 0;
}

/* A device that waits for reset recovery stalls again (5.3.4). */
static void disk_halt_cleared(struct usb_model_device *device, uint8_t address)
{
    if (disk_of(device)->bulk.must_reset)
        device->halted[(address & 0xf) + (address & USB_IN ? 16 : 0)] = true;
}

static void disk_selected(struct usb_model_device *device, unsigned interface, unsigned alternate)
{
    (void)interface;
    (void)alternate;
    bulk_reset(disk_of(device));
    usb_model_uas_reset(disk_of(device));
}

static const struct usb_model_operations disk_operations = {
    .control = disk_control,
    .out = disk_out,
    .in = disk_in,
    .reset = disk_reset,
    .halt_cleared = disk_halt_cleared,
    .selected = disk_selected,
};

/* UAS-3, 5.3.2: which endpoint is which pipe. */
static void add_pipe(struct usb_model_device *device, uint8_t address, uint8_t pipe, uint8_t streams)
{
    const uint8_t usage[4] = {4, USB_DESCRIPTOR_PIPE_USAGE, pipe, 0};

    usb_model_add_endpoint(device, address, USB_ENDPOINT_BULK, 0, 0, 3, streams);
    usb_model_add_bytes(device, usage, sizeof(usage));
}

void usb_model_disk_init(struct usb_model_disk *disk, enum usb_speed speed, bool uas, unsigned units)
{
    struct usb_model_device *device = &disk->device;

    memset(disk, 0, sizeof(*disk));
    usb_model_device_init(device, &disk_operations, speed, 0x1234, uas ? 0x0062 : 0x0050, "MODEL0001");
    usb_model_target_init(&disk->target, device, units);
    disk->uas = uas;
    disk->fault_opcode = -1;
    disk->max_lun = (int)units - 1;
    disk->random = 0x853c49e6748fea9bull;
    usb_model_add_interface(device, 0, 0, USB_CLASS_STORAGE, USB_SUBCLASS_SCSI, USB_PROTOCOL_BULK_ONLY);
    usb_model_add_endpoint(device, BULK_IN, USB_ENDPOINT_BULK, 0, 0, 3, 0);
    usb_model_add_endpoint(device, BULK_OUT, USB_ENDPOINT_BULK, 0, 0, 3, 0);
    if (!uas)
        return;
    usb_model_add_interface(device, 0, 1, USB_CLASS_STORAGE, USB_SUBCLASS_SCSI, USB_PROTOCOL_UAS);
    add_pipe(device, 0x01, 1, 0);
    add_pipe(device, 0x82, 2, 5);
    add_pipe(device, 0x83, 3, 5);
    add_pipe(device, 0x04, 4, 5);
}

void usb_model_disk_end(struct usb_model_disk *disk)
{
    usb_model_unplug(&disk->device);
    bulk_reset(disk);
    usb_model_uas_reset(disk);
    usb_model_target_end(&disk->target);
}
