/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logical units as block devices. SBC-3.
 *
 * A request takes a slot and becomes a command at the transport. Its end is judged inside the transport's done(): ended, or put into the
 * waiting list and sent again by poll(), at once or after a pause. A request that waits too long meets its deadline there.
 */
#include <stdio.h>
#include <string.h>

#include "core/fiber.h"
#include "drivers/usb/scsi_internal.h"

/* Policy */
#define FAILURES_MAX 5u /* times a command is sent again for an error that may pass */
#define PAUSE_BUSY (20 * NANOSECONDS_PER_MILLISECOND)
#define PAUSE_NOT_READY (100 * NANOSECONDS_PER_MILLISECOND)
#define NOTICES_MAX 16u
#define EXCHANGE_TIME (3 * NANOSECONDS_PER_SECOND) /* nobody exchanges a disk and has it ready sooner */

static struct scsi_disk *disk_of(struct block_device *device)
{
    return (struct scsi_disk *)device;
}

static struct platform *platform_of(const struct scsi_disk *disk)
{
    return disk->device.loop->platform;
}

/* --- slots --- */

static void slot_free(struct scsi_slot *slot)
{
    slot->request = NULL;
    slot->next = slot->disk->free;
    slot->disk->free = slot;
}

static void slot_end(struct scsi_slot *slot, int status, uint32_t raw_status)
{
    struct block_request *request = slot->request;

    slot_free(slot);
    block_complete(request, status, raw_status);
}

static void slot_wait(struct scsi_slot *slot, uint64_t pause)
{
    struct scsi_slot **last = &slot->disk->waiting;

    slot->waited = true;
    slot->not_before = pause ? deadline_after(platform_of(slot->disk), pause) : 0;
    slot->next = NULL;
    while (*last)
        last = &(*last)->next;
    *last = slot;
}

/* --- commands --- */

static void transfer_command(const struct scsi_disk *disk, const struct block_request *request,
                             struct scsi_command *command)
{
    bool write = request->operation == BLOCK_WRITE;

    if (disk->long_commands) {
        command->cdb[0] = write ? SCSI_WRITE_16 : SCSI_READ_16;
        command->cdb_length = 16;
        scsi_put_big64(command->cdb + 2, request->lba);
        scsi_put_big32(command->cdb + 10, (uint32_t)request->count);
    } else {
        command->cdb[0] = write ? SCSI_WRITE_10 : SCSI_READ_10;
        command->cdb_length = 10;
        scsi_put_big32(command->cdb + 2, (uint32_t)request->lba);
        scsi_put_big16(command->cdb + 7, (uint16_t)request->count);
    }
    command->direction = write ? SCSI_DATA_OUT : SCSI_DATA_IN;
    command->buffer = request->buffer;
    command->offset = request->offset;
    command->length = (size_t)request->count * disk->device.geometry.logical_block;
}

static void unmap_command(struct scsi_disk *disk, const struct scsi_slot *slot, struct scsi_command *command)
{
    size_t offset = (size_t)(slot - disk->slots) * SCSI_UNMAP_STRIDE;
    uint8_t *list = (uint8_t *)disk->scratch.data + offset;

    memset(list, 0, SCSI_UNMAP_LIST_SIZE);
    scsi_put_big16(list, SCSI_UNMAP_LIST_SIZE - 2);
    scsi_put_big16(list + 2, SCSI_UNMAP_LIST_SIZE - 8);
    scsi_put_big64(list + 8, slot->request->lba);
    scsi_put_big32(list + 16, (uint32_t)slot->request->count);
    command->cdb[0] = SCSI_UNMAP;
    command->cdb_length = 10;
    scsi_put_big16(command->cdb + 7, SCSI_UNMAP_LIST_SIZE);
    command->direction = SCSI_DATA_OUT;
    command->buffer = &disk->scratch;
    command->offset = offset;
    command->length = SCSI_UNMAP_LIST_SIZE;
}

static void write_same_command(struct scsi_disk *disk, const struct block_request *request,
                               struct scsi_command *command)
{
    command->cdb[0] = SCSI_WRITE_SAME_16;
    command->cdb[1] = request->operation == BLOCK_DISCARD ? SCSI_WRITE_SAME_UNMAP : 0;
    command->cdb_length = 16;
    scsi_put_big64(command->cdb + 2, request->lba);
    scsi_put_big32(command->cdb + 10, (uint32_t)request->count);
    command->direction = SCSI_DATA_OUT;
    command->buffer = &disk->zeroes;
    command->length = disk->device.geometry.logical_block;
}

static void synchronize_command(const struct scsi_disk *disk, struct scsi_command *command)
{
    /* Block 0, count 0: all of it. */
    command->cdb[0] = disk->synchronize_long ? SCSI_SYNCHRONIZE_CACHE_16 : SCSI_SYNCHRONIZE_CACHE_10;
    command->cdb_length = disk->synchronize_long ? 16 : 10;
}

static void command_ended(struct scsi_command *command);

static void build(struct scsi_slot *slot)
{
    struct scsi_disk *disk = slot->disk;
    struct scsi_command *command = &slot->command;

    memset(command->cdb, 0, sizeof(command->cdb));
    command->lun = disk->lun;
    command->direction = SCSI_NO_DATA;
    command->buffer = NULL;
    command->offset = command->length = 0;
    command->done = command_ended;
    command->status = 0;
    command->scsi_status = 0;
    command->moved = command->sense_size = 0;
    switch (slot->request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        transfer_command(disk, slot->request, command);
        break;
    case BLOCK_FLUSH:
        synchronize_command(disk, command);
        break;
    case BLOCK_DISCARD:
        if (disk->discard == SCSI_DISCARD_UNMAP)
            unmap_command(disk, slot, command);
        else
            write_same_command(disk, slot->request, command);
        break;
    case BLOCK_WRITE_ZEROES:
        write_same_command(disk, slot->request, command);
        break;
    }
}

/* To the transport: 0, -ERROR_FULL, -ERROR_GONE. */
static int slot_send(struct scsi_slot *slot)
{
    struct scsi_disk *disk = slot->disk;

    build(slot);
    slot->resets = disk->resets;
    /* Counted before: an accepted command may end at any time. */
    disk->under_way++;
    int status = disk->transport->submit(disk->transport, &slot->command);
    if (status)
        disk->under_way--;
    return status;
}

static void count_change(struct scsi_disk *disk, const struct block_request *request)
{
    if (request->operation == BLOCK_READ || request->operation == BLOCK_FLUSH)
        return;
    disk->written = true;
    disk->changes++;
}

static int disk_submit(struct block_device *device, struct block_request *request)
{
    struct scsi_disk *disk = disk_of(device);
    struct scsi_slot *slot = disk->free;
    bool flush = request->operation == BLOCK_FLUSH;

    if (disk->gone || disk->medium_left || disk->transport->dead)
        return -ERROR_GONE;
    if (flush && !disk->synchronize && !disk->lost) {
        request->driver_next = disk->instant;
        disk->instant = request;
        return 0;
    }
    /* Those that wait come first. */
    if (!slot || disk->waiting)
        return -ERROR_FULL;
    disk->free = slot->next;
    slot->request = request;
    slot->failures = 0;
    slot->waited = false;
    slot->changes = disk->changes;
    int status = slot_send(slot);
    if (status) {
        slot_free(slot);
        return status;
    }
    count_change(disk, request);
    return 0;
}

/* --- ends --- */

/* A command has come back. False: it was the last of a disk that has been destroyed. */
static bool came_back(struct scsi_disk *disk)
{
    disk->under_way--;
    if (!disk->leaving || disk->under_way)
        return true;
    block_device_stop(&disk->device);
    return false;
}

/* Nothing is under way any more that was meant for the medium that left. */
static void medium_check(struct scsi_disk *disk)
{
    if (disk->medium_left && !disk->under_way)
        scsi_disk_gone(disk);
}

bool scsi_heed(struct scsi_disk *disk, const struct scsi_command *command, struct scsi_condition *condition)
{
    *condition = (struct scsi_condition){0};
    if (command->scsi_status != SCSI_CHECK_CONDITION || !scsi_condition_read(command, condition))
        return false;
    if (condition->deferred && condition->key != SCSI_RECOVERED_ERROR) {
        platform_log(platform_of(disk), LOG_WARNING, "%s: an earlier write failed afterwards (%x/%02x/%02x)",
                     disk->device.name, condition->key, condition->code, condition->qualifier);
        disk->lost = true;
    }
    if (condition->key == SCSI_UNIT_ATTENTION && condition->code == SCSI_ASC_RESET) {
        /* Not by us: it may have been without power, and its cache with it. */
        if (!disk->reset && disk->written && disk->device.volatile_cache) {
            platform_log(platform_of(disk), LOG_WARNING, "%s: was reset in the middle of work", disk->device.name);
            disk->lost = true;
        }
        condition->unasked = !disk->reset;
        disk->reset = false;
    }
    return true;
}

static void end_waiting(struct scsi_disk *disk, int status)
{
    while (disk->waiting) {
        struct scsi_slot *slot = disk->waiting;
        disk->waiting = slot->next;
        slot_end(slot, status, 0);
    }
}

/*
 * Another medium than the one that the block device stands for, or none. Docks call their disks fixed, and tell in the same way of
 * one that was exchanged; so do fixed disks for other reasons, some whenever they spin up. In the middle of work nobody has
 * exchanged it; behind a rest it is looked at anew.
 */
static bool medium_is_gone(const struct scsi_disk *disk, const struct scsi_condition *condition)
{
    if (condition->key == SCSI_NOT_READY)
        return condition->code == SCSI_ASC_NO_MEDIUM;
    if (condition->key != SCSI_UNIT_ATTENTION)
        return false;
    if (disk->device.removable)
        return condition->code == SCSI_ASC_MEDIUM_CHANGED;
    bool rested = platform_now(platform_of(disk)) - disk->last_good > EXCHANGE_TIME;
    bool other = condition->code == SCSI_ASC_MEDIUM_CHANGED || condition->code == SCSI_ASC_PARAMETERS_CHANGED ||
                 condition->code == SCSI_ASC_CONDITIONS_CHANGED ||
                 (condition->code == SCSI_ASC_RESET && condition->unasked);
    return rested && other;
}

/*
 * The device says so once, and would carry out on another medium what else was sent. That is taken back first: its memory is not free
 * before the transport has let go of it.
 */
static void medium_left(struct scsi_disk *disk)
{
    disk->medium_left = true;
    end_waiting(disk, -ERROR_GONE);
    if (disk->under_way)
        disk->transport->recover(disk->transport);
}

static void start_ended(struct scsi_command *command)
{
    struct scsi_disk *disk = command->context;
    struct scsi_condition condition;

    disk->starting = false;
    if (!came_back(disk))
        return;
    if (!command->status && scsi_heed(disk, command, &condition) && medium_is_gone(disk, &condition))
        medium_left(disk);
    medium_check(disk);
}

/* NOT READY, 04/02: it has stopped by itself. */
static void start_unit(struct scsi_disk *disk)
{
    struct scsi_command *command = &disk->start;

    if (disk->starting)
        return;
    memset(command, 0, sizeof(*command));
    command->lun = disk->lun;
    command->cdb[0] = SCSI_START_STOP_UNIT;
    command->cdb[4] = SCSI_START;
    command->cdb_length = 6;
    command->done = start_ended;
    command->context = disk;
    disk->under_way++;
    disk->starting = true;
    command->status = -ERROR_GONE;
    if (disk->transport->submit(disk->transport, command))
        start_ended(command);
}

static void tell_bad_block(struct scsi_disk *disk, const struct block_request *request,
                           const struct scsi_condition *condition)
{
    if (disk->notices++ >= NOTICES_MAX)
        return;
    uint64_t block = request->lba;
    if (condition->information && condition->block >= request->lba && condition->block - request->lba < request->count)
        block = condition->block;
    platform_log(platform_of(disk), LOG_WARNING, "%s: cannot %s block %llu (%x/%02x/%02x)", disk->device.name,
                 request->operation == BLOCK_READ ? "read" : "write", (unsigned long long)block, condition->key,
                 condition->code, condition->qualifier);
}

static void flush_ended(struct scsi_slot *slot, enum error_code code, uint32_t raw)
{
    struct scsi_disk *disk = slot->disk;

    if (code == ERROR_UNSUPPORTED && !disk->synchronize_long && disk->long_commands) {
        disk->synchronize_long = true;
        slot_wait(slot, 0);
        return;
    }
    if (code == ERROR_UNSUPPORTED && disk->cache_enabled) {
        platform_log(platform_of(disk), LOG_ERROR,
                     "%s: says that it has a write cache and refuses to write it out: what was written may not be on "
                     "the disk. Switch "
                     "its cache off, or connect it in another way",
                     disk->device.name);
        code = ERROR_IO; /* nobody takes it for "not needed" */
    } else if (code == ERROR_UNSUPPORTED) {
        /* Most that cannot be asked to write their cache out have none. */
        platform_log(platform_of(disk), LOG_INFO, "%s: cannot be asked to write out its cache", disk->device.name);
        disk->synchronize = false;
        disk->device.volatile_cache = false;
        code = ERROR_NONE;
    }
    if (!code && disk->lost) {
        disk->lost = false;
        code = ERROR_IO; /* what was written before is in doubt */
    }
    if (!code && slot->changes == disk->changes) /* nothing was written beside it */
        disk->written = false;
    slot_end(slot, -(int)code, raw);
}

/* Requests that a unit refuses for what they are. */
static void refused(struct scsi_slot *slot, uint32_t raw)
{
    struct block_geometry *geometry = &slot->disk->device.geometry;

    if (slot->request->operation == BLOCK_DISCARD)
        geometry->max_discard = 0;
    if (slot->request->operation == BLOCK_WRITE_ZEROES)
        geometry->max_write_zeroes = 0;
    slot_end(slot, -ERROR_UNSUPPORTED, raw);
}

static void try_again(struct scsi_slot *slot, enum error_code code, uint32_t raw, uint64_t pause)
{
    if (slot->failures++ < FAILURES_MAX)
        slot_wait(slot, pause);
    else
        slot_end(slot, -(int)code, raw);
}

/* The device has answered. */
static void judge(struct scsi_slot *slot)
{
    struct scsi_disk *disk = slot->disk;
    struct scsi_command *command = &slot->command;
    struct scsi_condition condition;
    bool transfer = slot->request->operation == BLOCK_READ || slot->request->operation == BLOCK_WRITE;
    uint32_t raw;
    enum error_code code = scsi_error(command, &raw);

    if (scsi_heed(disk, command, &condition) && medium_is_gone(disk, &condition)) {
        slot_end(slot, -ERROR_GONE, raw);
        medium_left(disk);
        return;
    }
    if (command->scsi_status == SCSI_GOOD && slot->resets == disk->resets) /* sent since: nothing is left to tell */
        disk->reset = false;
    if (!code && transfer && command->moved != command->length)
        code = ERROR_IO; /* "success", with some of the data missing */
    if (slot->request->operation == BLOCK_FLUSH && (!code || code == ERROR_UNSUPPORTED)) {
        flush_ended(slot, code, raw);
        return;
    }
    switch (code) {
    case ERROR_BUSY:
        if (condition.key == SCSI_NOT_READY && condition.qualifier == SCSI_ASCQ_START_NEEDED)
            start_unit(disk);
        slot_wait(slot, condition.key == SCSI_NOT_READY ? PAUSE_NOT_READY : PAUSE_BUSY);
        break;
    case ERROR_ABORTED: /* unit attention, aborted command, deferred error: not executed */
        try_again(slot, ERROR_IO, raw, 0);
        break;
    case ERROR_IO:
    case ERROR_PROTOCOL:
        try_again(slot, code, raw, PAUSE_BUSY);
        break;
    case ERROR_UNSUPPORTED:
        refused(slot, raw);
        break;
    case ERROR_MEDIUM:
        if (transfer)
            tell_bad_block(disk, slot->request, &condition);
        slot_end(slot, -ERROR_MEDIUM, raw);
        break;
    default:
        slot_end(slot, -(int)code, raw);
        break;
    }
}

/*
 * On a wire that carries one command at a time the time of those behind begins when it is their turn: a slow disk would otherwise have
 * to carry out all of them within the time of one. Not for those that were sent again: each of these has an end.
 */
static void renew_deadlines(struct scsi_disk *disk)
{
    for (unsigned i = 0; i < disk->slot_count; i++) {
        struct block_request *request = disk->slots[i].request;
        if (!request || !request->in_flight || request->late || request->resetting || disk->slots[i].waited)
            continue;
        uint64_t timeout = request->timeout ? request->timeout : block_timeout(request->operation);
        uint64_t deadline = deadline_after(platform_of(disk), timeout);
        if (deadline > request->deadline)
            request->deadline = deadline;
    }
}

static void end_slot(struct scsi_slot *slot)
{
    struct scsi_disk *disk = slot->disk;

    switch (slot->command.status) {
    case 0:
        judge(slot);
        break;
    case -ERROR_IO:
    case -ERROR_PROTOCOL:
        scsi_note_reset(disk);
        try_again(slot, ERROR_IO, 0, 0);
        break;
    default: /* aborted: block.c sends it again */
        scsi_note_reset(disk);
        slot_end(slot, slot->command.status, 0);
        break;
    }
}

static void command_ended(struct scsi_command *command)
{
    struct scsi_slot *slot = (struct scsi_slot *)command;
    struct scsi_disk *disk = slot->disk;

    if (!came_back(disk))
        return;
    if (slot->request)
        count_change(disk, slot->request);
    if (!command->status && command->scsi_status == SCSI_GOOD)
        disk->last_good = platform_now(platform_of(disk));
    if (!slot->request) /* its request has ended before: the disk is gone */
        slot_free(slot);
    else if (disk->medium_left) /* good or not: of another medium */
        slot_end(slot, -ERROR_GONE, 0);
    else
        end_slot(slot);
    if (!command->status && disk->transport->serial)
        renew_deadlines(disk);
    medium_check(disk);
}

/* --- polling, resets --- */

static bool send_waiting(struct scsi_disk *disk)
{
    uint64_t now = platform_now(platform_of(disk));
    struct scsi_slot **link = &disk->waiting;
    bool happened = false;

    while (*link) {
        struct scsi_slot *slot = *link;
        if (slot->not_before > now) {
            link = &slot->next;
            continue;
        }
        *link = slot->next;
        int status = slot_send(slot);
        if (status == -ERROR_FULL) {
            slot->next = *link;
            *link = slot;
            break;
        }
        if (status)
            slot_end(slot, status, 0);
        happened = true;
    }
    return happened;
}

static bool disk_poll(struct block_device *device)
{
    struct scsi_disk *disk = disk_of(device);
    bool happened = false;

    while (disk->instant) {
        struct block_request *request = disk->instant;
        disk->instant = request->driver_next;
        block_complete(request, 0, 0);
        happened = true;
    }
    if (disk->waiting && !disk->gone)
        happened |= send_waiting(disk);
    return happened;
}

static void disk_reset(struct block_device *device)
{
    struct scsi_disk *disk = disk_of(device);

    /* block.c says of the late ones that they are, and sends the others again. */
    end_waiting(disk, -ERROR_ABORTED);
    if (disk->under_way)
        disk->transport->recover(disk->transport);
}

static void disk_abandon(struct block_device *device)
{
    struct scsi_disk *disk = disk_of(device);

    if (disk->under_way)
        disk->transport->abandon(disk->transport);
    scsi_disk_gone(disk);
}

/* --- life --- */

static void disk_free(struct scsi_disk *disk)
{
    struct platform *platform = platform_of(disk);

    buffer_release(&disk->scratch);
    buffer_release(&disk->zeroes);
    platform_release(platform, disk->slots);
    platform_release(platform, disk);
}

static void disk_serve_inside(struct block_device *device)
{
    scsi_serve_inside(disk_of(device)->transport);
}

static void disk_shutdown(struct block_device *device)
{
    disk_free(disk_of(device));
}

static const struct block_device_ops disk_ops = {
    .submit = disk_submit,
    .poll = disk_poll,
    .reset = disk_reset,
    .shutdown = disk_shutdown,
    .abandon = disk_abandon,
    .serve_inside = disk_serve_inside,
};

static int make_slots(struct scsi_disk *disk)
{
    unsigned count = disk->transport->queue_depth;

    count = count < 1 ? 1 : count > SCSI_SLOTS_MAX ? SCSI_SLOTS_MAX : count;
    disk->slots = platform_allocate_zeroed(platform_of(disk), count * sizeof(*disk->slots));
    if (!disk->slots)
        return -ERROR_NO_MEMORY;
    disk->slot_count = count;
    while (count--) {
        disk->slots[count].disk = disk;
        slot_free(&disk->slots[count]);
    }
    disk->device.geometry.queue_depth = disk->slot_count;
    if (!disk->device.geometry.max_write_zeroes && disk->discard != SCSI_DISCARD_WRITE_SAME)
        return 0;
    int status = buffer_allocate(platform_of(disk), disk->device.geometry.logical_block, &disk->zeroes);
    if (!status)
        memset(disk->zeroes.data, 0, disk->zeroes.size);
    return status;
}

static int disk_start(struct scsi_disk *disk, const char *name, struct error *error)
{
    struct block_device *device = &disk->device;

    int status = scsi_probe(disk, error);
    if (status)
        return status;
    status = make_slots(disk);
    if (status)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, NULL);
    snprintf(device->place, sizeof(device->place), "%s", disk->transport->place);
    block_registry_name(disk->registry, device, name);
    status = block_device_start(device, error);
    if (status)
        return status;
    block_registry_add(disk->registry, device);
    disk->last_good = platform_now(platform_of(disk));
    platform_log(platform_of(disk), LOG_INFO, "%s: %s, %llu blocks of %u bytes, depth %u, %u KiB at once%s",
                 device->name, device->model, (unsigned long long)device->geometry.block_count,
                 device->geometry.logical_block, device->geometry.queue_depth, device->geometry.max_transfer / 1024,
                 device->read_only ? ", write protected" : "");
    return 0;
}

static void drop(void *context)
{
    disk_free(context);
}

int scsi_disk_create(struct scsi_transport *transport, uint8_t lun, const char *name, const char *driver,
                     struct block_registry *registry, struct scsi_disk **result, struct error *error)
{
    struct platform *platform = transport->loop->platform;
    struct scsi_disk *disk = platform_allocate_zeroed(platform, sizeof(*disk));
    struct fiber_cleanup cleanup = {.run = drop, .context = disk};

    if (!disk)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, NULL);
    disk->transport = transport;
    disk->registry = registry;
    disk->lun = lun;
    disk->device.ops = &disk_ops;
    disk->device.loop = transport->loop;
    disk->device.bus = BUS_USB;
    snprintf(disk->device.name, sizeof(disk->device.name), "%s", name);
    snprintf(disk->device.driver, sizeof(disk->device.driver), "%s", driver);
    fiber_cleanup_push(&cleanup);
    int status = buffer_allocate(platform, SCSI_SCRATCH_SIZE, &disk->scratch);
    if (status)
        error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, NULL);
    else
        status = disk_start(disk, name, error);
    fiber_cleanup_pop(&cleanup);
    if (status) {
        disk_free(disk);
        return status;
    }
    *result = disk;
    return 0;
}

struct block_device *scsi_disk_device(struct scsi_disk *disk)
{
    return &disk->device;
}

bool scsi_disk_is_gone(const struct scsi_disk *disk)
{
    return disk->gone;
}

bool scsi_disk_medium_left(const struct scsi_disk *disk)
{
    return disk->medium_left;
}

bool scsi_disk_idle(const struct scsi_disk *disk)
{
    return !disk->under_way && !disk->device.in_flight_first && !disk->device.again_first;
}

void scsi_disk_gone(struct scsi_disk *disk)
{
    if (disk->gone)
        return;
    disk->gone = true;
    disk->instant = NULL;
    while (disk->waiting) {
        struct scsi_slot *slot = disk->waiting;
        disk->waiting = slot->next;
        slot_free(slot);
    }
    /* Those at the transport end later, without their requests. */
    for (unsigned i = 0; i < disk->slot_count; i++)
        disk->slots[i].request = NULL;
    block_device_die(&disk->device);
}

bool scsi_disk_check(struct scsi_disk *disk)
{
    if (disk->gone)
        return false;
    if (!disk->device.removable || !scsi_disk_idle(disk) || disk->transport->dead)
        return true;
    int status = scsi_ask_ready(disk);
    if (status == -ERROR_GONE)
        scsi_disk_gone(disk);
    return !disk->gone;
}

static bool drained(void *context)
{
    const struct scsi_disk *disk = context;

    return disk->gone || scsi_disk_idle(disk);
}

static void last_flush(struct scsi_disk *disk)
{
    struct scsi_command command = {0};

    synchronize_command(disk, &command);
    int status = scsi_ask(disk, command.cdb, command.cdb_length, SCSI_NO_DATA, 0, block_timeout(BLOCK_FLUSH));
    if (status && status != -ERROR_UNSUPPORTED && status != -ERROR_GONE)
        platform_log(platform_of(disk), LOG_WARNING, "%s: the last flush failed (%06x)", disk->device.name,
                     disk->raw_status);
}

void scsi_disk_destroy(struct scsi_disk *disk)
{
    struct block_device *device = &disk->device;

    block_registry_remove(disk->registry, device);
    /* Bounded: by the deadlines of its requests, then by the grace of resets. */
    if (!disk->gone)
        scsi_wait(disk->transport, drained, disk, UINT64_MAX);
    device->dead = true; /* nothing comes between the flush and the end */
    if (!disk->gone && disk->written && disk->synchronize)
        last_flush(disk);
    disk->gone = true;
    disk->leaving = disk->under_way != 0;
    if (!disk->leaving)
        block_device_stop(device);
}
