/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The UAS half of the scripted disk (UAS-3): with streams when the host uses stream IDs, without otherwise. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/usb_model_disk.h"

#define COMMAND_PIPE 0x01
#define STATUS_PIPE 0x82
#define DATA_IN_PIPE 0x83
#define DATA_OUT_PIPE 0x04

/* Table 10: information units */
#define IU_COMMAND 1
#define IU_SENSE 3
#define IU_RESPONSE 4
#define IU_TASK_MANAGEMENT 5
#define IU_READ_READY 6
#define IU_WRITE_READY 7

/* Table 18: response codes */
#define RESPONSE_COMPLETE 0x00
#define RESPONSE_NOT_SUPPORTED 0x04
#define RESPONSE_OVERLAPPED_TAG 0x0a

#define ABORT_TASK 0x01
#define LOGICAL_UNIT_RESET 0x08
#define NEXUS_RESET 0x10

static unsigned get16(const uint8_t *at)
{
    return (unsigned)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static bool with_streams(const struct usb_model_disk *disk)
{
    return disk->device.speed >= USB_SPEED_SUPER;
}

/* --- tasks --- */

static struct usb_model_uas_task *find_task(struct usb_model_disk *disk, unsigned tag)
{
    for (unsigned i = 0; i < USB_MODEL_TASKS; i++)
        if (disk->tasks[i].used && disk->tasks[i].tag == tag)
            return &disk->tasks[i];
    return NULL;
}

static void drop(struct usb_model_disk *disk, struct usb_model_uas_task *task)
{
    if (disk->on_wire == task)
        disk->on_wire = NULL;
    usb_model_task_end(&task->task);
    memset(task, 0, sizeof(*task));
}

void usb_model_uas_reset(struct usb_model_disk *disk)
{
    for (unsigned i = 0; i < USB_MODEL_TASKS; i++)
        if (disk->tasks[i].used)
            drop(disk, &disk->tasks[i]);
    disk->note_count = 0;
    disk->on_wire = NULL;
}

static void add_note(struct usb_model_disk *disk, unsigned tag, uint8_t id, uint8_t code)
{
    if (disk->note_count < USB_MODEL_TASKS)
        disk->notes[disk->note_count++] = (struct usb_model_uas_note){(uint16_t)tag, id, code};
}

/* May this task move on? In order: only the oldest. */
static bool its_turn(const struct usb_model_disk *disk, const struct usb_model_uas_task *task)
{
    if (!task->used || task->hung)
        return false;
    if (disk->reorder)
        return true;
    for (unsigned i = 0; i < USB_MODEL_TASKS; i++)
        if (disk->tasks[i].used && !disk->tasks[i].hung && disk->tasks[i].order < task->order)
            return false;
    return true;
}

/* Any task of which `fits` is true whose turn it is. */
static struct usb_model_uas_task *choose(struct usb_model_disk *disk,
                                         bool (*fits)(const struct usb_model_uas_task *task))
{
    unsigned start = (unsigned)(usb_model_disk_random(disk) % USB_MODEL_TASKS);

    for (unsigned i = 0; i < USB_MODEL_TASKS; i++) {
        struct usb_model_uas_task *task = &disk->tasks[(start + i) % USB_MODEL_TASKS];
        if (its_turn(disk, task) && fits(task))
            return task;
    }
    return NULL;
}

static bool has_data(const struct usb_model_uas_task *task)
{
    return !task->data_done;
}

static bool is_done(const struct usb_model_uas_task *task)
{
    return task->data_done || task->fault == USB_MODEL_UAS_DATA_AFTER_STATUS;
}

/* --- commands --- */

static void prepare_fault(struct usb_model_disk *disk, struct usb_model_uas_task *task)
{
    usb_model_disk_begin_fault(disk, task->fault, task->task.in ? DATA_IN_PIPE : DATA_OUT_PIPE, &task->task,
                               &task->limit);
    switch (task->fault) {
    case USB_MODEL_HANG:
        task->hung = true;
        break;
    case USB_MODEL_UAS_TASK_SET_FULL:
        task->task.status = 0x28;
        task->data_done = true;
        break;
    case USB_MODEL_UAS_READY_TWICE:
        if (!with_streams(disk) && task->task.length)
            add_note(disk, task->tag, task->task.in ? IU_READ_READY : IU_WRITE_READY, 0);
        break;
    default:
        break;
    }
}

static unsigned count_tasks(const struct usb_model_disk *disk)
{
    unsigned count = 0;

    for (unsigned i = 0; i < USB_MODEL_TASKS; i++)
        count += disk->tasks[i].used;
    return count;
}

static int take_command(struct usb_model_disk *disk, const uint8_t *iu, size_t length)
{
    unsigned tag = get16(iu + 2), count = count_tasks(disk);
    struct usb_model_uas_task *task = disk->tasks;

    if (length != 32 || iu[1] || iu[5] || iu[6] || iu[7] || iu[8]) {
        usb_model_violation(&disk->device, "a command IU that is not as it should be");
        return USB_MODEL_STALL;
    }
    disk->commands++;
    if (!tag || tag == 0xffff || find_task(disk, tag)) {
        usb_model_violation(&disk->device, "a tag that is in use, or none");
        add_note(disk, tag, IU_RESPONSE, RESPONSE_OVERLAPPED_TAG);
        return 32;
    }
    enum usb_model_disk_fault fault = usb_model_disk_pick_fault(disk, iu[16]);
    if (fault == USB_MODEL_UNPLUG) {
        usb_model_unplug(&disk->device);
        return USB_MODEL_ERROR;
    }
    while (task->used && task < disk->tasks + USB_MODEL_TASKS - 1)
        task++;
    if (task->used || (disk->max_tags && count >= disk->max_tags)) {
        add_note(disk, tag, IU_SENSE, 0x28);
        return 32;
    }
    if (count + 1 > disk->most_tasks)
        disk->most_tasks = count + 1;
    memset(task, 0, sizeof(*task));
    task->used = true;
    task->tag = (uint16_t)tag;
    task->order = ++disk->order;
    task->fault = fault;
    usb_model_task_begin(&task->task, &disk->target, iu[9], iu + 16);
    task->limit = task->task.length;
    task->data_done = !task->task.length;
    prepare_fault(disk, task);
    return 32;
}

static void reset_unit(struct usb_model_disk *disk, int lun)
{
    for (unsigned i = 0; i < USB_MODEL_TASKS; i++)
        if (disk->tasks[i].used && (lun < 0 || disk->tasks[i].task.lun == lun))
            drop(disk, &disk->tasks[i]);
    for (unsigned i = 0; i < disk->target.unit_count; i++)
        if (lun < 0 || (int)i == lun) {
            disk->target.units[i].attention[0] = 0x29;
            disk->target.units[i].attention[1] = 0x00;
        }
}

static int take_management(struct usb_model_disk *disk, const uint8_t *iu, size_t length)
{
    unsigned tag = get16(iu + 2);
    struct usb_model_uas_task *managed = find_task(disk, get16(iu + 6));

    if (length != 16) {
        usb_model_violation(&disk->device, "a task management IU that is not as it should be");
        return USB_MODEL_STALL;
    }
    disk->managements++;
    if (find_task(disk, tag))
        usb_model_violation(&disk->device, "task management with a tag that is in use");
    if (disk->ignore_management)
        return 16;
    uint8_t code = disk->refuse_management ? RESPONSE_NOT_SUPPORTED : RESPONSE_COMPLETE;
    if (!disk->refuse_management) {
        if (iu[4] == ABORT_TASK && managed)
            drop(disk, managed);
        else if (iu[4] == LOGICAL_UNIT_RESET)
            reset_unit(disk, iu[9]);
        else if (iu[4] == NEXUS_RESET)
            reset_unit(disk, -1);
        else if (iu[4] != ABORT_TASK)
            code = RESPONSE_NOT_SUPPORTED;
    }
    add_note(disk, tag, IU_RESPONSE, code);
    return 16;
}

/* --- data --- */

/* The task whose data moves on this stream, or, without streams, the one that was announced. */
static struct usb_model_uas_task *data_task(struct usb_model_disk *disk, unsigned stream, bool in)
{
    struct usb_model_uas_task *task = stream ? find_task(disk, stream) : disk->on_wire;

    if (!task || task->hung || task->data_done || task->task.in != in || (stream && !its_turn(disk, task)))
        return NULL;
    return task;
}

static void end_data(struct usb_model_disk *disk, struct usb_model_uas_task *task)
{
    task->data_done = true;
    if (disk->on_wire == task)
        disk->on_wire = NULL;
    if (task->fault != USB_MODEL_SHORT_DATA)
        usb_model_task_finish(&task->task);
}

/* True when a fault strikes now; *result says how. */
static bool fault_in_data(struct usb_model_disk *disk, struct usb_model_uas_task *task, uint8_t address, int *result)
{
    size_t half = usb_model_disk_half(disk, address, task->task.length);

    *result = USB_MODEL_ERROR;
    if (task->task.moved < half)
        return false;
    if (task->fault == USB_MODEL_UNPLUG_IN_DATA) {
        usb_model_unplug(&disk->device);
        return true;
    }
    if (task->fault == USB_MODEL_TRANSACTION_ERROR && !task->error_done)
        return task->error_done = true;
    if (task->fault == USB_MODEL_STALL_DATA) {
        task->data_done = true;
        if (disk->on_wire == task)
            disk->on_wire = NULL;
        *result = USB_MODEL_STALL;
        return true;
    }
    return false;
}

static size_t data_left(const struct usb_model_disk *disk, const struct usb_model_uas_task *task, uint8_t address)
{
    size_t half = usb_model_disk_half(disk, address, task->task.length);
    bool stops = task->fault == USB_MODEL_UNPLUG_IN_DATA || task->fault == USB_MODEL_TRANSACTION_ERROR;

    return (stops && task->task.moved < half ? half : task->limit) - task->task.moved;
}

static int give_data(struct usb_model_disk *disk, unsigned stream, uint8_t *data, size_t max)
{
    struct usb_model_uas_task *task = data_task(disk, stream, true);
    uint16_t packet = usb_model_packet_size(&disk->device, DATA_IN_PIPE);
    int result;

    if (!task)
        return USB_MODEL_NAK;
    if (fault_in_data(disk, task, DATA_IN_PIPE, &result))
        return result;
    size_t left = data_left(disk, task, DATA_IN_PIPE);
    size_t count = left < max ? left : max;
    memcpy(data, task->task.data + task->task.moved, count);
    task->task.moved += count;
    /* Data that ends early, with a whole packet, is followed by an empty one. */
    bool early = task->task.status || task->fault == USB_MODEL_SHORT_DATA;
    if (task->task.moved == task->limit && (count % packet || !count || !early) && task->fault != USB_MODEL_STALL_DATA)
        end_data(disk, task);
    return (int)count;
}

static int take_data(struct usb_model_disk *disk, unsigned stream, const uint8_t *data, size_t length)
{
    struct usb_model_uas_task *task = data_task(disk, stream, false);
    int result;

    if (!task)
        return USB_MODEL_NAK;
    if (fault_in_data(disk, task, DATA_OUT_PIPE, &result))
        return result;
    size_t left = data_left(disk, task, DATA_OUT_PIPE);
    if (length > task->task.length - task->task.moved)
        usb_model_violation(&disk->device, "more data than the command takes");
    size_t count = left < length ? left : length;
    memcpy(task->task.data + task->task.moved, data, count);
    task->task.moved += count;
    if (task->task.moved == task->limit && task->fault != USB_MODEL_STALL_DATA) {
        end_data(disk, task);
        /* The rest is thrown away, or, as a fault, never taken. */
        return (int)(task->fault == USB_MODEL_SHORT_DATA ? count : length);
    }
    return (int)count;
}

/* --- status --- */

static int give_iu(struct usb_model_disk *disk, uint8_t *data, size_t max, const uint8_t *iu, size_t size)
{
    if (size > max) {
        usb_model_violation(&disk->device, "no room for an information unit");
        return USB_MODEL_BABBLE;
    }
    memcpy(data, iu, size);
    return (int)size;
}

static int give_note(struct usb_model_disk *disk, unsigned index, uint8_t *data, size_t max)
{
    struct usb_model_uas_note note = disk->notes[index];
    uint8_t iu[16] = {note.id};
    size_t size = note.id == IU_RESPONSE ? 8 : note.id == IU_SENSE ? 16 : 4;

    disk->note_count--;
    memmove(&disk->notes[index], &disk->notes[index + 1], (disk->note_count - index) * sizeof(disk->notes[0]));
    put16(iu + 2, note.tag);
    if (note.id == IU_RESPONSE)
        iu[7] = note.code;
    if (note.id == IU_SENSE)
        iu[6] = note.code;
    return give_iu(disk, data, max, iu, size);
}

static int give_sense(struct usb_model_disk *disk, struct usb_model_uas_task *task, uint8_t *data, size_t max)
{
    uint8_t iu[16 + 18] = {IU_SENSE};
    size_t size = 16 + (task->task.status == 2 ? task->task.sense_size : 0);
    enum usb_model_disk_fault fault = task->fault;

    put16(iu + 2, fault == USB_MODEL_UAS_WRONG_TAG ? task->tag + 1000u : task->tag);
    iu[6] = task->task.status;
    put16(iu + 14, (unsigned)size - 16);
    memcpy(iu + 16, task->task.sense, sizeof(task->task.sense));
    if (fault == USB_MODEL_UAS_SHORT_IU)
        size = 3;
    if (fault == USB_MODEL_UAS_UNKNOWN_IU)
        iu[0] = 0x55;
    if (fault == USB_MODEL_UAS_LONG_SENSE) {
        put16(iu + 14, 0xffff);
        size = sizeof(iu);
    }
    if (fault == USB_MODEL_UAS_STATUS_TWICE)
        add_note(disk, task->tag, IU_SENSE, task->task.status);
    if (fault == USB_MODEL_UAS_RESPONSE) {
        memset(iu + 4, 0, 4);
        iu[0] = IU_RESPONSE;
        iu[7] = RESPONSE_OVERLAPPED_TAG;
        size = 8;
    }
    if (fault == USB_MODEL_UAS_WRONG_TAG || fault == USB_MODEL_UAS_UNKNOWN_IU || fault == USB_MODEL_UAS_SHORT_IU)
        task->hung = true;
    else if (fault == USB_MODEL_UAS_DATA_AFTER_STATUS && !task->data_done)
        task->fault = USB_MODEL_NO_FAULT;
    else
        drop(disk, task);
    return give_iu(disk, data, max, iu, size);
}

/* Without streams: what is to be said next, to whomever. */
static int give_next(struct usb_model_disk *disk, uint8_t *data, size_t max)
{
    struct usb_model_uas_task *task = choose(disk, is_done);

    if (task)
        return give_sense(disk, task, data, max);
    if (disk->on_wire || !(task = choose(disk, has_data)))
        return USB_MODEL_NAK;
    uint8_t iu[4] = {task->task.in ? IU_READ_READY : IU_WRITE_READY};
    put16(iu + 2, task->tag);
    disk->on_wire = task;
    return give_iu(disk, data, max, iu, sizeof(iu));
}

static int give_status(struct usb_model_disk *disk, unsigned stream, uint8_t *data, size_t max)
{
    for (unsigned i = 0; i < disk->note_count; i++)
        if (!stream || disk->notes[i].tag == stream)
            return give_note(disk, i, data, max);
    if (!stream)
        return give_next(disk, data, max);
    struct usb_model_uas_task *task = find_task(disk, stream);
    if (!task || !its_turn(disk, task) || !is_done(task))
        return USB_MODEL_NAK;
    return give_sense(disk, task, data, max);
}

/* --- pipes --- */

/* Stream IDs are there at SuperSpeed and nowhere else. */
static bool bad_stream(struct usb_model_disk *disk, unsigned stream)
{
    if (with_streams(disk) == (stream != 0))
        return false;
    usb_model_violation(&disk->device, "a stream where there is none, or none where there should be one");
    return true;
}

int usb_model_uas_out(struct usb_model_disk *disk, uint8_t address, unsigned stream, const uint8_t *data, size_t length)
{
    if (address == COMMAND_PIPE) {
        if (stream || length < 16)
            usb_model_violation(&disk->device, "an information unit that is too short, or on a stream");
        else if (data[0] == IU_COMMAND)
            return take_command(disk, data, length);
        else if (data[0] == IU_TASK_MANAGEMENT)
            return take_management(disk, data, length);
        else
            usb_model_violation(&disk->device, "an unknown information unit");
        return USB_MODEL_STALL;
    }
    return bad_stream(disk, stream) ? USB_MODEL_STALL : take_data(disk, stream, data, length);
}

int usb_model_uas_in(struct usb_model_disk *disk, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    if (bad_stream(disk, stream))
        return USB_MODEL_STALL;
    if (address == STATUS_PIPE)
        return give_status(disk, stream, data, max);
    return give_data(disk, stream, data, max);
}
