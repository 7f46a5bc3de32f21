/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bulk-only: one command at a time over two endpoints, at reap depth. Sections are those of the Bulk-Only Transport 1.0.
 *
 * Data out is queued right behind its command wrapper: they are in order on one endpoint. The status is asked for when the data has
 * moved, not before: devices exist that refuse a status that is asked for early, and QEMU's never gives the one that was asked
 * for while it was still reading.
 */
#include <string.h>

#include "drivers/quirks.h"
#include "drivers/usb/scsi_spec.h"
#include "drivers/usb/usb_bulk_only.h"

void bulk_only_ask(struct bulk_only *bulk)
{
    bulk->transport.wants_service = true;
    usb_attention(bulk->binding.device);
}

static void fault(struct bulk_only *bulk)
{
    bulk->fault = true;
    bulk->due = 0;
    bulk_only_ask(bulk);
}

static void stall(struct bulk_only *bulk, enum bulk_only_stage stage)
{
    bulk->stage = stage;
    bulk_only_ask(bulk);
}

/* --- a command begins --- */

static void begin(struct bulk_only *bulk, struct scsi_command *command)
{
    struct bulk_only_command *wrapper = (void *)((uint8_t *)bulk->buffer.data + BULK_ONLY_COMMAND_AT);

    *wrapper = (struct bulk_only_command){.signature = BULK_ONLY_COMMAND_SIGNATURE,
                                          .tag = ++bulk->tag,
                                          .length = (uint32_t)command->length,
                                          .flags = command->direction == SCSI_DATA_IN ? BULK_ONLY_IN : 0,
                                          .lun = command->lun & 0xfu,
                                          .cdb_length = command->cdb_length};
    memcpy(wrapper->cdb, command->cdb, sizeof(wrapper->cdb));
    bulk->current = command;
    bulk->moved = 0;
    bulk->status_tries = 0;
    bulk->stage = BULK_ONLY_COMMAND;
    bulk->payload.endpoint = command->direction == SCSI_DATA_IN ? bulk->in : bulk->out;
    bulk->payload.buffer = command->buffer;
    bulk->payload.offset = command->offset;
    bulk->payload.length = command->length;
    bulk->due = BULK_ONLY_CBW;
    if (command->direction == SCSI_DATA_OUT && command->length)
        bulk->due |= BULK_ONLY_PAYLOAD;
}

static void begin_next(struct bulk_only *bulk)
{
    if (bulk->stage == BULK_ONLY_IDLE && bulk->first && !bulk->recovering && !bulk->fault && !bulk->recover)
        begin(bulk, bulk->first);
}

/* 6.2 of SPC-4's REQUEST SENSE: why the first command failed. */
static void begin_sense(struct bulk_only *bulk)
{
    struct scsi_command *sense = &bulk->sense;

    *sense = (struct scsi_command){.lun = bulk->first->lun,
                                   .cdb = {SCSI_REQUEST_SENSE, [4] = BULK_ONLY_SENSE_SIZE},
                                   .cdb_length = 6,
                                   .direction = SCSI_DATA_IN,
                                   .buffer = &bulk->buffer,
                                   .offset = BULK_ONLY_SENSE_AT,
                                   .length = BULK_ONLY_SENSE_SIZE};
    begin(bulk, sense);
}

/* --- what is due goes to the host --- */

static struct usb_transfer *transfer_of(struct bulk_only *bulk, unsigned which)
{
    return which == BULK_ONLY_CBW ? &bulk->cbw : which == BULK_ONLY_PAYLOAD ? &bulk->payload : &bulk->csw;
}

static bool submit_due(struct bulk_only *bulk)
{
    bool happened = false;

    for (unsigned which = BULK_ONLY_CBW; which <= BULK_ONLY_CSW && !bulk->lost; which <<= 1) {
        if (!(bulk->due & which))
            continue;
        int status = usb_submit(transfer_of(bulk, which));
        if (status == -ERROR_FULL)
            break;
        bulk->due &= ~which;
        happened = true;
        if (!status)
            bulk->moving |= which;
        else if (status == -ERROR_GONE)
            bulk->lost = true;
        else
            fault(bulk);
    }
    return happened;
}

bool bulk_only_move(struct bulk_only *bulk)
{
    bool happened = false;

    if (bulk->lost && !bulk->moving && bulk->first) {
        bulk->transport.dead = true;
        bulk_only_end_all(bulk, -ERROR_GONE, -ERROR_GONE);
        return true;
    }
    if (bulk->due && !bulk->recovering)
        happened = submit_due(bulk);
    return happened;
}

static void hold(struct bulk_only *bulk, struct scsi_command *command)
{
    command->next = NULL;
    *bulk->last = command;
    bulk->last = &command->next;
    bulk->held++;
    begin_next(bulk);
    submit_due(bulk);
}

int bulk_only_submit(struct scsi_transport *transport, struct scsi_command *command)
{
    struct bulk_only *bulk = bulk_only_of(transport);

    if (transport->dead || bulk->lost)
        return -ERROR_GONE;
    if (bulk->recovering || bulk->proving || bulk->recover || bulk->fault || bulk->held == BULK_ONLY_QUEUE)
        return -ERROR_FULL;
    hold(bulk, command);
    return 0;
}

void bulk_only_begin_own(struct bulk_only *bulk, struct scsi_command *command)
{
    hold(bulk, command);
}

/* --- a command ends --- */

static struct scsi_command *take_first(struct bulk_only *bulk)
{
    struct scsi_command *command = bulk->first;

    bulk->first = command->next;
    if (!bulk->first)
        bulk->last = &bulk->first;
    bulk->held--;
    return command;
}

static void finish(struct bulk_only *bulk)
{
    struct scsi_command *command = take_first(bulk);

    bulk->stage = BULK_ONLY_IDLE;
    bulk->current = NULL;
    if (!bulk->proving)
        bulk->failures = 0;
    if (!bulk->held)
        bulk->recover = false; /* late, but here; those that are held were promised it */
    command->status = 0;
    /* The next one is on its way before this one is looked at, unless what this one tells may concern it: another medium. */
    bool passed = command->scsi_status == SCSI_GOOD;
    if (!passed)
        command->done(command);
    begin_next(bulk);
    submit_due(bulk);
    if (passed)
        command->done(command);
}

void bulk_only_end_all(struct bulk_only *bulk, int current, int others)
{
    bool on_wire = bulk->current != NULL;

    bulk->stage = BULK_ONLY_IDLE;
    bulk->current = NULL;
    bulk->due = 0;
    /* Only those that are held now: done() may not submit while the transport recovers or is dead. */
    for (unsigned count = bulk->held; count && bulk->first; count--) {
        struct scsi_command *command = take_first(bulk);
        command->status = on_wire ? current : others;
        on_wire = false;
        command->done(command);
    }
}

static void sense_ended(struct bulk_only *bulk, bool passed, size_t moved)
{
    struct scsi_command *command = bulk->first;
    const uint8_t *sense = (const uint8_t *)bulk->buffer.data + BULK_ONLY_SENSE_AT;

    command->sense_size = passed && moved <= BULK_ONLY_SENSE_SIZE ? moved : 0;
    memcpy(command->sense, sense, command->sense_size);
    finish(bulk);
}

/*
 * Residues that say nothing although all bytes came: some bridges tell of as much as was asked for. INQUIRY and sense data hold
 * their own lengths, and may be padded. A capacity is not: whoever tells a residue behind one does so behind everything.
 */
static bool residue_is_idle(struct bulk_only *bulk, bool passed)
{
    const struct scsi_command *command = bulk->current;
    bool inquiry = command->cdb[0] == SCSI_INQUIRY && !(command->cdb[1] & 1u);

    if (bulk->moved != command->length)
        return false;
    if (inquiry || command->cdb[0] == SCSI_REQUEST_SENSE)
        return true;
    if (!passed || command->cdb[0] != SCSI_READ_CAPACITY_10 || command->length != SCSI_CAPACITY_10_SIZE)
        return false;
    platform_log(bulk->transport.loop->platform, LOG_INFO, "%s: its residues are not believed",
                 bulk->binding.device->name);
    bulk->transport.quirks |= USB_QUIRK_IGNORE_RESIDUE;
    return true;
}

/* Bytes that count. 5.2: the residue is what was not processed, or was filled up with padding. */
static size_t counted(struct bulk_only *bulk, uint32_t residue, bool passed)
{
    size_t length = bulk->current->length;

    if (!residue || bulk->transport.quirks & USB_QUIRK_IGNORE_RESIDUE || residue_is_idle(bulk, passed))
        return bulk->moved;
    if (residue > length) {
        /* Impossible: then only what went over the bus is known. */
        if (!bulk->residue_told)
            platform_log(bulk->transport.loop->platform, LOG_WARNING, "%s: tells impossible residues",
                         bulk->binding.device->name);
        bulk->residue_told = true;
        return bulk->moved;
    }
    return bulk->moved < length - residue ? bulk->moved : length - residue;
}

static bool status_is_whole(const struct bulk_only *bulk, const struct bulk_only_status *status)
{
    return status->signature == BULK_ONLY_STATUS_SIGNATURE && status->tag == bulk->tag;
}

static void judge_status(struct bulk_only *bulk)
{
    struct bulk_only_status status;

    memcpy(&status, (const uint8_t *)bulk->buffer.data + BULK_ONLY_STATUS_AT, sizeof(status));
    if (!status_is_whole(bulk, &status) || status.status >= BULK_ONLY_PHASE_ERROR) {
        fault(bulk);
        return;
    }
    bool passed = status.status == BULK_ONLY_PASSED;
    size_t moved = counted(bulk, status.residue, passed);
    if (bulk->current == &bulk->sense) {
        sense_ended(bulk, passed, moved);
        return;
    }
    struct scsi_command *command = bulk->current;
    command->moved = moved;
    command->sense_size = 0;
    command->scsi_status = passed ? SCSI_GOOD : SCSI_CHECK_CONDITION;
    if (passed) {
        finish(bulk);
        return;
    }
    begin_sense(bulk);
    submit_due(bulk);
}

/* --- ends of transfers, inside the host's poll() --- */

/* What all have in common. True: it is for the wire to go on with. */
static bool transfer_came_back(struct bulk_only *bulk, const struct usb_transfer *transfer, unsigned which)
{
    bulk->moving &= ~which;
    if (transfer->status == -ERROR_GONE) {
        bulk->lost = true;
        bulk->due = 0;
    }
    if (bulk->lost) {
        bulk_only_move(bulk);
        return false;
    }
    /* One that was asked for and has not begun (the fiber rests inside a call of the firmware) may turn out to be needless. */
    return !bulk->recovering && !bulk->fault && bulk->current;
}

static void cbw_done(struct usb_transfer *transfer)
{
    struct bulk_only *bulk = transfer->context;

    if (!transfer_came_back(bulk, transfer, BULK_ONLY_CBW))
        return;
    if (transfer->status || transfer->moved != BULK_ONLY_COMMAND_SIZE) {
        fault(bulk); /* 5.3.1: the wrapper was not taken */
        return;
    }
    bulk->stage = BULK_ONLY_DATA;
    if (!bulk->current->length || bulk->current->direction == SCSI_NO_DATA) {
        bulk_only_status_next(bulk);
        return;
    }
    if (bulk->current->direction == SCSI_DATA_IN) {
        bulk->due |= BULK_ONLY_PAYLOAD;
        submit_due(bulk);
    }
}

/* A device without data sent its status where data was expected. */
static bool is_early_status(const struct bulk_only *bulk, const struct usb_transfer *transfer)
{
    struct bulk_only_status status;

    if (transfer->endpoint != bulk->in || transfer->moved != sizeof(status) || transfer->moved == transfer->length)
        return false;
    memcpy(&status, (const uint8_t *)transfer->buffer->data + transfer->offset, sizeof(status));
    return status_is_whole(bulk, &status);
}

static void payload_done(struct usb_transfer *transfer)
{
    struct bulk_only *bulk = transfer->context;

    if (!transfer_came_back(bulk, transfer, BULK_ONLY_PAYLOAD))
        return;
    bulk->moved = transfer->moved < transfer->length ? transfer->moved : transfer->length;
    if (transfer->status == -ERROR_REFUSED) {
        stall(bulk, BULK_ONLY_DATA_STALLED);
    } else if (transfer->status) {
        fault(bulk);
    } else if (is_early_status(bulk, transfer)) {
        memcpy((uint8_t *)bulk->buffer.data + BULK_ONLY_STATUS_AT,
               (const uint8_t *)transfer->buffer->data + transfer->offset, sizeof(struct bulk_only_status));
        bulk->moved = 0;
        judge_status(bulk);
    } else {
        bulk_only_status_next(bulk);
    }
}

void bulk_only_status_next(struct bulk_only *bulk)
{
    bulk->stage = BULK_ONLY_STATUS;
    bulk->due |= BULK_ONLY_CSW;
    submit_due(bulk);
}

static void csw_done(struct usb_transfer *transfer)
{
    struct bulk_only *bulk = transfer->context;

    if (!transfer_came_back(bulk, transfer, BULK_ONLY_CSW))
        return;
    if (!transfer->status && transfer->moved == BULK_ONLY_STATUS_SIZE) {
        judge_status(bulk);
        return;
    }
    /* 5.3.3: a stalled status is asked for once more. So is one behind an empty packet, with which some end their data. */
    bool stalled = transfer->status == -ERROR_REFUSED;
    if (bulk->status_tries++ || (!stalled && (transfer->status || transfer->moved)))
        fault(bulk);
    else if (stalled)
        stall(bulk, BULK_ONLY_STATUS_STALLED);
    else
        bulk_only_status_next(bulk);
}

void bulk_only_prepare(struct bulk_only *bulk)
{
    bulk->last = &bulk->first;
    bulk->cbw = (struct usb_transfer){.endpoint = bulk->out,
                                      .buffer = &bulk->buffer,
                                      .offset = BULK_ONLY_COMMAND_AT,
                                      .length = BULK_ONLY_COMMAND_SIZE,
                                      .done = cbw_done,
                                      .context = bulk};
    bulk->csw = (struct usb_transfer){.endpoint = bulk->in,
                                      .buffer = &bulk->buffer,
                                      .offset = BULK_ONLY_STATUS_AT,
                                      .length = BULK_ONLY_STATUS_SIZE,
                                      .done = csw_done,
                                      .context = bulk};
    bulk->payload = (struct usb_transfer){.done = payload_done, .context = bulk};
}
