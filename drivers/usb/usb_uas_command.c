/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands, their transfers and information units, at reap depth: nothing here waits. UAS-3, sections 5.3 and 6.2. */
#include "drivers/usb/usb_uas_internal.h"

#include <stdio.h>
#include <string.h>

static void slot_settle(struct uas_slot *slot);

/* --- helpers --- */

static uint16_t get_16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void put_16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

uint8_t *uas_request_unit(const struct uas_slot *slot)
{
    return (uint8_t *)slot->uas->buffer.data + slot->request.transfer.offset;
}

static const uint8_t *status_unit(const struct uas_part *part)
{
    return (const uint8_t *)part->slot->uas->buffer.data + part->transfer.offset;
}

void uas_lun_set(uint8_t *field, uint8_t lun)
{
    /* SAM-5, 4.7.7.2: peripheral device addressing, bus 0. */
    memset(field, 0, 8);
    field[1] = lun;
}

void uas_want_service(struct uas *uas)
{
    uas->transport.wants_service = true;
    usb_attention(uas->binding.device);
}

void uas_fault(struct uas *uas, const char *reason)
{
    if (uas->recovering) {
        uas->recovery_failed = true;
        return;
    }
    if (!uas->recovery_wanted && !uas->transport.dead)
        platform_log(uas->loop->platform, LOG_WARNING, "%s: UAS: %s", uas->binding.device->name, reason);
    uas->recovery_wanted = uas->faulted = true;
    uas_want_service(uas);
}

bool uas_pipe_moves(const struct uas *uas, enum uas_pipe pipe)
{
    for (unsigned i = 0; i <= uas->depth; i++) {
        const struct uas_slot *slot = &uas->slots[i];
        if ((slot->request.moving && slot->request.pipe == pipe) || (slot->status.moving && pipe == UAS_STATUS) ||
            (slot->data.moving && slot->data.pipe == pipe))
            return true;
    }
    return false;
}

/* --- sending --- */

static int part_submit(struct uas_part *part)
{
    part->transfer.ended = false;
    part->transfer.status = 0;
    part->transfer.moved = 0;
    int status = usb_submit(&part->transfer);
    if (status)
        return status;
    part->wanted = false;
    part->moving = true;
    if (part->pipe == UAS_STATUS)
        part->slot->uas->receivers++;
    return 0;
}

/* Submits what the slot wants: first where the answers go, then the command. A host that is full is asked again later. */
static int slot_push(struct uas_slot *slot)
{
    struct uas_part *const parts[] = {&slot->status, &slot->data, &slot->request};
    for (unsigned i = 0; i < 3; i++) {
        if (!parts[i]->wanted)
            continue;
        int status = part_submit(parts[i]);
        if (status == -ERROR_FULL) {
            slot->uas->stuck = true;
            return 0;
        }
        if (status)
            return status;
    }
    return 0;
}

/* Without streams: as many status transfers as there are commands without status. */
static int receivers_push(struct uas *uas)
{
    for (unsigned i = 0; i <= uas->depth && uas->receivers < uas->unanswered; i++) {
        if (uas->slots[i].status.moving)
            continue;
        int status = part_submit(&uas->slots[i].status);
        if (status == -ERROR_FULL) {
            uas->stuck = true;
            return 0;
        }
        if (status)
            return status;
    }
    return 0;
}

static bool anything_moves(const struct uas_slot *slot)
{
    return slot->request.moving || slot->data.moving || (slot->uas->streams && slot->status.moving);
}

/* In turn: a tag rests as long as possible, so that a late unit for its last command finds nobody. */
static void free_slot_add(struct uas *uas, unsigned index)
{
    uas->free_slots[(uas->free_first + uas->free_count++) % UAS_COMMANDS_MAX] = (uint8_t)index;
}

static struct uas_slot *free_slot_take(struct uas *uas)
{
    unsigned index = uas->free_slots[uas->free_first];
    uas->free_first = (uas->free_first + 1) % UAS_COMMANDS_MAX;
    uas->free_count--;
    return &uas->slots[index];
}

static void slot_free(struct uas_slot *slot)
{
    struct uas *uas = slot->uas;
    if (!slot->answered)
        uas->unanswered--;
    if (slot->lingering)
        uas->lingering--;
    uas->in_flight--;
    slot->busy = slot->lingering = false;
    slot->request.wanted = slot->status.wanted = slot->data.wanted = false;
    if (slot != &uas->slots[uas->depth])
        free_slot_add(uas, slot->tag - 1u);
}

int uas_slot_start(struct uas_slot *slot)
{
    struct uas *uas = slot->uas;
    slot->busy = true;
    slot->answered = slot->granted = slot->lingering = false;
    slot->failure = slot->result = 0;
    slot->request.wanted = true;
    uas->in_flight++;
    uas->unanswered++;
    int status = 0;
    if (uas->streams) {
        slot->status.wanted = true;
        slot->data.wanted = slot->has_data;
    } else {
        status = receivers_push(uas);
    }
    if (!status)
        status = slot_push(slot);
    if (!status)
        return 0;
    if (anything_moves(slot)) {
        /* Half of it is under way: the recovery, or the device's end, ends it. */
        slot->request.wanted = slot->data.wanted = false;
        if (status == -ERROR_GONE)
            slot->failure = status;
        else
            uas_fault(uas, "the host controller refuses a transfer");
        return 0;
    }
    slot_free(slot);
    return status;
}

static void fill_request(struct uas_slot *slot, const struct scsi_command *command)
{
    struct uas_command_iu *unit = (struct uas_command_iu *)(void *)uas_request_unit(slot);
    memset(unit, 0, sizeof(*unit));
    unit->id = UAS_IU_COMMAND;
    put_16(unit->tag, slot->tag);
    uas_lun_set(unit->lun, command->lun);
    memcpy(unit->cdb, command->cdb, command->cdb_length);
    slot->request.transfer.length = sizeof(*unit);

    slot->has_data = command->direction != SCSI_NO_DATA && command->length;
    slot->data.transfer.moved = 0;
    slot->data.transfer.status = 0;
    if (!slot->has_data)
        return;
    slot->data.pipe = command->direction == SCSI_DATA_IN ? UAS_DATA_IN : UAS_DATA_OUT;
    slot->data.transfer.endpoint = slot->uas->pipes[slot->data.pipe];
    slot->data.transfer.buffer = command->buffer;
    slot->data.transfer.offset = command->offset;
    slot->data.transfer.length = command->length;
}

int uas_submit(struct scsi_transport *transport, struct scsi_command *command)
{
    struct uas *uas = uas_of(transport);
    if (transport->dead || uas->binding.device->unplugged)
        return -ERROR_GONE;
    if (uas->recovering || uas->recovery_wanted || uas->draining || uas->stuck || !uas->free_count)
        return -ERROR_FULL;
    command->status = 0;
    command->scsi_status = 0;
    command->moved = command->sense_size = 0;
    struct uas_slot *slot = free_slot_take(uas);
    slot->command = command;
    fill_request(slot, command);
    int status = uas_slot_start(slot);
    if (!status)
        return 0;
    slot->command = NULL;
    if (status == -ERROR_GONE)
        return status;
    uas_fault(uas, "the host controller refuses a transfer");
    return -ERROR_FULL;
}

/* --- ends --- */

static void slot_end(struct uas_slot *slot, int status)
{
    struct uas *uas = slot->uas;
    struct scsi_command *command = slot->command;
    size_t moved = slot->has_data ? slot->data.transfer.moved : 0;
    slot->command = NULL;
    slot_free(slot);
    /* What was late has come in before its recovery has begun (the fiber rests, maybe for long): nothing to recover. */
    if (!uas->in_flight && !uas->faulted && !uas->recovering)
        uas->recovery_wanted = false;
    if (!command)
        return;
    /* The device knows only of what it has sent or taken. */
    if (!status && command->scsi_status == SCSI_GOOD && slot->has_data && slot->data.transfer.status)
        status = slot->data.transfer.status == -ERROR_ABORTED ? -ERROR_ABORTED : -ERROR_IO;
    command->status = status;
    command->moved = moved;
    if (!status && ++uas->good >= UAS_FORGIVEN_AFTER)
        uas->failures = 0;
    command->done(command);
}

static void slot_settle(struct uas_slot *slot)
{
    struct uas *uas = slot->uas;
    if (!slot->busy)
        return;
    if (slot->answered || slot->failure)
        slot->data.wanted = slot->request.wanted = false;
    if (slot->answered && slot->data.moving && !slot->lingering) {
        /* Its event may be next to come. If not, the transfer must be taken back before the buffer is free. */
        slot->lingering = true;
        uas->lingering++;
        uas_want_service(uas);
    }
    if (anything_moves(slot))
        return;
    if (slot->answered)
        slot_end(slot, slot->result);
    else if (slot->failure)
        slot_end(slot, slot->failure);
}

void uas_slots_end(struct uas *uas, int status)
{
    for (unsigned i = 0; i <= uas->depth; i++) {
        struct uas_slot *slot = &uas->slots[i];
        slot->data.moving = slot->request.moving = false;
        if (slot->status.moving)
            uas->receivers--;
        slot->status.moving = false;
        if (slot->busy)
            slot_end(slot, slot->answered ? slot->result : status);
    }
    memset(uas->on_wire, 0, sizeof(uas->on_wire));
    uas->stuck = false;
}

static void all_gone(struct uas *uas)
{
    uas->transport.dead = true;
    uas->stuck = false;
    for (unsigned i = 0; i <= uas->depth; i++) {
        uas->slots[i].failure = -ERROR_GONE;
        slot_settle(&uas->slots[i]);
    }
}

/* A transfer did not end well. */
static void part_failed(struct uas_part *part)
{
    static const char *const names[UAS_PIPES] = {"command", "status", "data-in", "data-out"};
    struct uas *uas = part->slot->uas;
    char reason[80];
    switch (part->transfer.status) {
    case -ERROR_GONE:
        all_gone(uas);
        return;
    case -ERROR_ABORTED:
        /* By the recovery, or because its command has ended without it. Otherwise nobody should have. */
        if (!uas->recovering && !part->slot->answered && part->slot->busy)
            uas_fault(uas, "a transfer was taken back");
        return;
    case -ERROR_REFUSED:
    case -ERROR_IO:
        uas->halted[part->pipe] = true;
        break;
    default:
        break;
    }
    snprintf(reason, sizeof(reason), "the %s pipe: %s", names[part->pipe],
             part->transfer.status == -ERROR_REFUSED ? "stalled"
                                                     : error_code_name((enum error_code) - part->transfer.status));
    uas_fault(uas, reason);
}

static void push_stuck(struct uas *uas)
{
    if (!uas->stuck)
        return;
    uas->stuck = false;
    int status = uas->streams ? 0 : receivers_push(uas);
    for (unsigned i = 0; i <= uas->depth && !status && !uas->stuck; i++)
        if (uas->slots[i].busy)
            status = slot_push(&uas->slots[i]);
    if (status == -ERROR_GONE)
        all_gone(uas);
    else if (status)
        uas_fault(uas, "the host controller refuses a transfer");
}

/* --- data --- */

/* Without streams: the data pipe is free for the command that the device has named longest ago. */
static void data_next(struct uas *uas, enum uas_pipe pipe)
{
    struct uas_slot *next = NULL;
    uas->on_wire[pipe] = NULL;
    if (uas->recovering || uas->faulted)
        return;
    for (unsigned i = 0; i < uas->depth; i++) {
        struct uas_slot *slot = &uas->slots[i];
        if (slot->busy && slot->granted && slot->data.pipe == pipe && !slot->answered && !slot->data.moving &&
            !slot->data.transfer.ended && (!next || slot->grant < next->grant))
            next = slot;
    }
    if (!next)
        return;
    uas->on_wire[pipe] = next;
    next->data.wanted = true;
    int status = slot_push(next);
    if (status == -ERROR_GONE)
        all_gone(uas);
    else if (status)
        uas_fault(uas, "the host controller refuses a transfer");
}

static void data_done(struct usb_transfer *transfer)
{
    struct uas_part *part = transfer->context;
    struct uas_slot *slot = part->slot;
    struct uas *uas = slot->uas;
    part->moving = false;
    transfer->ended = true;
    if (transfer->status)
        part_failed(part);
    bool on_wire = uas->on_wire[part->pipe] == slot;
    enum uas_pipe pipe = part->pipe;
    slot_settle(slot);
    if (on_wire)
        data_next(uas, pipe);
    push_stuck(uas);
}

static void ready(struct uas_slot *slot, enum uas_pipe pipe)
{
    struct uas *uas = slot->uas;
    if (uas->streams || !slot->has_data || slot->data.pipe != pipe || slot->granted) {
        uas_fault(uas, "it is ready for data that nobody has");
        return;
    }
    slot->granted = true;
    slot->grant = uas->grants++;
    slot->data.transfer.ended = false;
    if (!uas->on_wire[pipe])
        data_next(uas, pipe);
}

/* --- status --- */

static void sense(struct uas_slot *slot, const uint8_t *bytes, size_t size)
{
    const struct uas_sense_iu *unit = (const void *)bytes;
    struct scsi_command *command = slot->command;
    if (size < sizeof(*unit) || !command) {
        uas_fault(slot->uas, "a status unit that is too short, or for no command");
        return;
    }
    if (!slot->uas->streams && slot->has_data && !slot->granted && unit->status == SCSI_GOOD) {
        uas_fault(slot->uas, "good status without the data");
        return;
    }
    size_t sense_size = get_16(unit->sense_length);
    if (sense_size > size - sizeof(*unit))
        sense_size = size - sizeof(*unit);
    if (sense_size > sizeof(command->sense))
        sense_size = sizeof(command->sense);
    memcpy(command->sense, bytes + sizeof(*unit), sense_size);
    command->sense_size = sense_size;
    command->scsi_status = unit->status;
    slot->result = 0;
    slot->answered = true;
    slot->uas->unanswered--;
}

static void response(struct uas_slot *slot, const uint8_t *bytes, size_t size)
{
    const struct uas_response_iu *unit = (const void *)bytes;
    if (size < sizeof(*unit)) {
        uas_fault(slot->uas, "a response unit that is too short");
        return;
    }
    slot->response = unit->code;
    slot->answered = true;
    slot->uas->unanswered--;
    if (!slot->command)
        return;
    /* The command was not carried out (6.2.6): a wrong unit number is the caller's, all else is between the device and us. */
    slot->result = -ERROR_PROTOCOL;
    if (unit->code != UAS_INCORRECT_LUN)
        uas_fault(slot->uas, "it takes a command for a wrong one");
}

static struct uas_slot *slot_of_unit(const struct uas_part *part, const uint8_t *bytes, size_t size)
{
    struct uas *uas = part->slot->uas;
    if (size < UAS_READY_IU_SIZE)
        return NULL;
    unsigned tag = get_16(bytes + 2);
    if (!tag || tag > uas->depth + 1 || (uas->streams && tag != part->slot->tag))
        return NULL;
    struct uas_slot *slot = &uas->slots[tag - 1];
    return slot->busy && !slot->answered ? slot : NULL;
}

static void unit_came(struct uas_part *part)
{
    struct uas *uas = part->slot->uas;
    const uint8_t *bytes = status_unit(part);
    size_t size = part->transfer.moved;
    struct uas_slot *slot = slot_of_unit(part, bytes, size);
    if (!slot) {
        uas_fault(uas, "a unit for a command that is not there");
        return;
    }
    switch (bytes[0]) {
    case UAS_IU_SENSE:
        sense(slot, bytes, size);
        break;
    case UAS_IU_RESPONSE:
        response(slot, bytes, size);
        break;
    case UAS_IU_READ_READY:
        ready(slot, UAS_DATA_IN);
        break;
    case UAS_IU_WRITE_READY:
        ready(slot, UAS_DATA_OUT);
        break;
    default:
        uas_fault(uas, "a unit of an unknown kind");
        break;
    }
    slot_settle(slot);
}

static void status_done(struct usb_transfer *transfer)
{
    struct uas_part *part = transfer->context;
    struct uas *uas = part->slot->uas;
    part->moving = false;
    uas->receivers--;
    if (transfer->status)
        part_failed(part);
    else
        unit_came(part);
    if (uas->streams) {
        slot_settle(part->slot);
    } else if (!transfer->status && !uas->transport.dead && receivers_push(uas)) {
        uas_fault(uas, "the host controller refuses a transfer");
    }
    push_stuck(uas);
}

static void request_done(struct usb_transfer *transfer)
{
    struct uas_part *part = transfer->context;
    part->moving = false;
    if (transfer->status)
        part_failed(part);
    else if (transfer->moved != transfer->length)
        uas_fault(part->slot->uas, "a command was not taken whole");
    slot_settle(part->slot);
    push_stuck(part->slot->uas);
}

/* --- life --- */

static void part_prepare(struct uas_part *part, struct uas_slot *slot, enum uas_pipe pipe, size_t offset, size_t length,
                         void (*done)(struct usb_transfer *transfer))
{
    struct uas *uas = slot->uas;
    part->slot = slot;
    part->pipe = pipe;
    part->transfer.endpoint = uas->pipes[pipe];
    part->transfer.buffer = &uas->buffer;
    part->transfer.offset = offset;
    part->transfer.length = length;
    /* 5.4: the command pipe has no streams. */
    part->transfer.stream = uas->streams && pipe != UAS_COMMAND ? slot->tag : 0;
    part->transfer.done = done;
    part->transfer.context = part;
}

void uas_slots_prepare(struct uas *uas)
{
    uas->free_first = uas->free_count = 0;
    for (unsigned i = 0; i <= uas->depth; i++) {
        struct uas_slot *slot = &uas->slots[i];
        size_t offset = (size_t)i * UAS_SLOT_BUFFER;
        slot->uas = uas;
        slot->tag = (uint16_t)(i + 1);
        part_prepare(&slot->request, slot, UAS_COMMAND, offset, 0, request_done);
        part_prepare(&slot->status, slot, UAS_STATUS, offset + UAS_STATUS_OFFSET, UAS_STATUS_SIZE, status_done);
        part_prepare(&slot->data, slot, UAS_DATA_IN, 0, 0, data_done);
    }
    for (unsigned i = 0; i < uas->depth; i++)
        free_slot_add(uas, i);
}
