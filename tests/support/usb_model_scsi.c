/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A SCSI target with contents in RAM: as much of SPC-4 and SBC-3 as a USB disk has. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/usb_model.h"

#define GOOD 0x00
#define CHECK_CONDITION 0x02
#define BUSY 0x08

#define NOT_READY 2
#define MEDIUM_ERROR 3
#define ILLEGAL_REQUEST 5
#define UNIT_ATTENTION 6
#define DATA_PROTECT 7
#define ABORTED_COMMAND 11

#define DATA_MAX (64u << 20)

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

static uint64_t get64(const uint8_t *at)
{
    return (uint64_t)get32(at) << 32 | get32(at + 4);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)(value >> 32));
    put32(at + 4, (uint32_t)value);
}

/* --- life --- */

void usb_model_target_init(struct usb_model_target *target, struct usb_model_device *device, unsigned count)
{
    memset(target, 0, sizeof(*target));
    target->device = device;
    target->unit_count = count;
    for (unsigned i = 0; i < count; i++)
        target->units[i] = (struct usb_model_unit){
            .block = 512,
            .blocks = 4096,
            .unmap = true,
            .write_same = true,
            .cache = true,
            .max_unmap_blocks = 1024,
            .max_unmap_ranges = 16,
            .max_write_same = 2048,
            .vendor = "Eidolon",
            .product = "Model Disk",
            .revision = "1.0",
            .serial = "MODEL0001",
            .attention = {0x29, 0x00},
        };
}

void usb_model_target_end(struct usb_model_target *target)
{
    for (unsigned i = 0; i < target->unit_count; i++) {
        free(target->units[i].data);
        target->units[i].data = NULL;
    }
}

uint8_t *usb_model_unit_data(struct usb_model_unit *unit)
{
    if (!unit->data)
        unit->data = calloc(unit->blocks, unit->block);
    if (!unit->data)
        abort();
    return unit->data;
}

void usb_model_unit_number(struct usb_model_unit *unit)
{
    uint8_t *data = usb_model_unit_data(unit);

    for (uint64_t lba = 0; lba < unit->blocks; lba++)
        for (uint32_t at = 0; at < unit->block; at += 8) {
            uint64_t value = lba << 16 | at;
            memcpy(data + lba * unit->block + at, &value, sizeof(value));
        }
}

void usb_model_target_reset(struct usb_model_target *target)
{
    for (unsigned i = 0; i < target->unit_count; i++) {
        target->units[i].attention[0] = 0x29;
        target->units[i].attention[1] = 0x00;
        memset(target->units[i].sense, 0, sizeof(target->units[i].sense));
    }
}

/* --- status --- */

static void fill_sense(uint8_t *sense, uint8_t key, unsigned code, uint64_t lba)
{
    memset(sense, 0, 18);
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = 10;
    sense[12] = (uint8_t)(code >> 8);
    sense[13] = (uint8_t)code;
    if (lba <= UINT32_MAX) {
        sense[0] |= 0x80;
        put32(sense + 3, (uint32_t)lba);
    }
}

static void fail_at(struct usb_model_task *task, uint8_t key, unsigned code, uint64_t lba)
{
    task->status = CHECK_CONDITION;
    fill_sense(task->sense, key, code, lba);
    task->sense_size = 18;
    if (task->lun < task->target->unit_count)
        memcpy(task->target->units[task->lun].sense, task->sense, 18);
}

/* A command that fails moves no data. */
static void fail(struct usb_model_task *task, uint8_t key, unsigned code)
{
    task->length = 0;
    fail_at(task, key, code, UINT64_MAX);
}

/* Data for the host: `size` bytes, zeroed, cut to what the CDB allows. */
static uint8_t *answer(struct usb_model_task *task, size_t size, size_t allowed)
{
    task->in = true;
    task->data = calloc(1, size ? size : 1);
    if (!task->data)
        abort();
    task->length = size < allowed ? size : allowed;
    return task->data;
}

static void expect_data(struct usb_model_task *task, size_t size)
{
    task->in = false;
    task->data = calloc(1, size ? size : 1);
    if (!task->data)
        abort();
    task->length = size;
}

/* --- INQUIRY --- */

static void put_text(uint8_t *to, size_t size, const char *text)
{
    size_t length = strlen(text);

    memset(to, ' ', size);
    memcpy(to, text, length < size ? length : size);
}

static void vital_product_data(struct usb_model_task *task, struct usb_model_unit *unit)
{
    unsigned allowed = get16(task->cdb + 3);
    size_t length = unit->serial ? strlen(unit->serial) : 0;
    uint8_t *data;

    switch (unit->no_vpd ? 0xff : task->cdb[2]) {
    case 0x00:
        data = answer(task, 9, allowed);
        data[3] = 5;
        memcpy(data + 4, "\x00\x80\xb0\xb1\xb2", 5);
        return;
    case 0x80:
        data = answer(task, 4 + length, allowed);
        data[1] = 0x80;
        data[3] = (uint8_t)length;
        memcpy(data + 4, unit->serial ? unit->serial : "", length);
        return;
    case 0xb0:
        data = answer(task, 64, allowed);
        data[1] = 0xb0;
        data[3] = 60;
        put32(data + 8, unit->max_transfer_blocks);
        put32(data + 20, unit->unmap ? unit->max_unmap_blocks : 0);
        put32(data + 24, unit->unmap ? unit->max_unmap_ranges : 0);
        put64(data + 36, unit->write_same ? unit->max_write_same : 0);
        return;
    case 0xb1:
        data = answer(task, 64, allowed);
        data[1] = 0xb1;
        data[3] = 60;
        put16(data + 4, unit->rotational ? 7200 : 1);
        return;
    case 0xb2:
        data = answer(task, 8, allowed);
        data[1] = 0xb2;
        data[3] = 4;
        data[5] = unit->unmap ? 0x80 : 0;
        return;
    default:
        fail(task, ILLEGAL_REQUEST, 0x2400);
    }
}

static void inquiry(struct usb_model_task *task, struct usb_model_unit *unit)
{
    if (unit)
        unit->inquiries++;
    if (task->cdb[1] & 1) {
        if (unit)
            vital_product_data(task, unit);
        else
            fail(task, ILLEGAL_REQUEST, 0x2400);
        return;
    }
    uint8_t *data = answer(task, 36, get16(task->cdb + 3));
    data[0] = unit ? unit->type : 0x7f; /* SPC-4, 6.4.2: no unit here */
    data[1] = unit && unit->removable ? 0x80 : 0;
    data[2] = 6;
    data[3] = 2;
    data[4] = 31;
    if (!unit)
        return;
    put_text(data + 8, 8, unit->vendor);
    put_text(data + 16, 16, unit->product);
    put_text(data + 32, 4, unit->revision);
}

/* --- other commands without blocks --- */

static void report_luns(struct usb_model_task *task)
{
    unsigned count = task->target->unit_count;
    uint8_t *data = answer(task, 8 + 8 * count, get32(task->cdb + 6));

    put32(data, 8 * count);
    for (unsigned i = 0; i < count; i++)
        data[8 + 8 * i + 1] = (uint8_t)i;
}

static void request_sense(struct usb_model_task *task, struct usb_model_unit *unit)
{
    uint8_t *data = answer(task, 18, task->cdb[4]);

    if (!unit) {
        fill_sense(data, ILLEGAL_REQUEST, 0x2500, UINT64_MAX);
        return;
    }
    if (!unit->sense[0] && (unit->attention[0] || unit->attention[1])) {
        fill_sense(data, UNIT_ATTENTION, get16(unit->attention), UINT64_MAX);
        unit->attention[0] = unit->attention[1] = 0;
        return;
    }
    memcpy(data, unit->sense, 18);
    data[0] = unit->sense[0] ? unit->sense[0] : 0x70;
    data[7] = 10;
    memset(unit->sense, 0, sizeof(unit->sense));
}

static uint64_t told_blocks(const struct usb_model_unit *unit)
{
    return unit->pretended ? unit->pretended : unit->blocks;
}

static void read_capacity_10(struct usb_model_task *task, struct usb_model_unit *unit)
{
    uint64_t last = told_blocks(unit) - 1;
    uint8_t *data = answer(task, 8, 8);

    put32(data, last < UINT32_MAX ? (uint32_t)last : UINT32_MAX);
    put32(data + 4, unit->block);
}

static void read_capacity_16(struct usb_model_task *task, struct usb_model_unit *unit)
{
    if (unit->no_capacity_16 || (task->cdb[1] & 0x1f) != 0x10) {
        fail(task, ILLEGAL_REQUEST, 0x2000);
        return;
    }
    uint8_t *data = answer(task, 32, get32(task->cdb + 10));
    put64(data, told_blocks(unit) - 1);
    put32(data + 8, unit->block);
    data[13] = unit->physical_exponent & 15;
    data[14] = unit->unmap ? 0x80 : 0;
}

/* Header, and the caching page (SBC-3, 6.4.5) when it or all pages are asked for. */
static void mode_sense(struct usb_model_task *task, struct usb_model_unit *unit, bool ten)
{
    unsigned page = task->cdb[2] & 0x3fu;
    size_t header = ten ? 8 : 4;
    bool caching = page == 8 || page == 0x3f;

    if (unit->no_mode_sense || !(caching || page == 0)) {
        fail(task, ILLEGAL_REQUEST, 0x2400);
        return;
    }
    size_t size = header + (caching ? 20 : 0);
    uint8_t *data = answer(task, size, ten ? get16(task->cdb + 7) : task->cdb[4]);
    if (ten)
        put16(data, (uint32_t)size - 2);
    else
        data[0] = (uint8_t)(size - 1);
    data[ten ? 3 : 2] = unit->read_only ? 0x80 : 0;
    if (caching) {
        data[header] = 8;
        data[header + 1] = 18;
        data[header + 2] = unit->cache ? 4 : 0;
    }
}

/* --- blocks --- */

static void range_of(const uint8_t *cdb, uint64_t *lba, uint64_t *count)
{
    bool sixteen = cdb[0] >= 0x80;

    *lba = sixteen ? get64(cdb + 2) : get32(cdb + 2);
    *count = sixteen ? get32(cdb + 10) : get16(cdb + 7);
}

static bool outside(const struct usb_model_unit *unit, uint64_t lba, uint64_t count)
{
    return lba > unit->blocks || count > unit->blocks - lba;
}

/* The first bad block of a range; UINT64_MAX: none. */
static uint64_t bad_block(const struct usb_model_unit *unit, uint64_t lba, uint64_t count)
{
    if (!unit->bad_count || lba >= unit->bad_lba + unit->bad_count || unit->bad_lba >= lba + count)
        return UINT64_MAX;
    return lba > unit->bad_lba ? lba : unit->bad_lba;
}

static void read_or_write(struct usb_model_task *task, struct usb_model_unit *unit)
{
    bool write = (task->cdb[0] & 0x0f) == 0x0a;
    uint64_t lba, count;

    range_of(task->cdb, &lba, &count);
    if (task->cdb[0] >= 0x80 && unit->no_16) {
        fail(task, ILLEGAL_REQUEST, 0x2000);
        return;
    }
    if (outside(unit, lba, count)) {
        usb_model_violation(task->target->device, "blocks beyond the end");
        fail(task, ILLEGAL_REQUEST, 0x2100);
        return;
    }
    if ((unit->max_transfer_blocks && count > unit->max_transfer_blocks) || count * unit->block > DATA_MAX) {
        usb_model_violation(task->target->device, "a transfer longer than the unit takes");
        fail(task, ILLEGAL_REQUEST, 0x2400);
        return;
    }
    if (write && unit->read_only) {
        fail(task, DATA_PROTECT, 0x2700);
        return;
    }
    if (unit->aborted) {
        unit->aborted--;
        fail(task, ABORTED_COMMAND, 0x4703);
        return;
    }
    if (count * unit->block > unit->biggest)
        unit->biggest = count * unit->block;
    if (write) {
        unit->writes++;
        expect_data(task, (size_t)(count * unit->block));
        return;
    }
    unit->reads++;
    uint64_t bad = bad_block(unit, lba, count);
    uint64_t good = bad == UINT64_MAX ? count : bad - lba;
    answer(task, (size_t)(good * unit->block), SIZE_MAX);
    memcpy(task->data, usb_model_unit_data(unit) + lba * unit->block, (size_t)(good * unit->block));
    unit->blocks_read += good;
    if (good < count)
        fail_at(task, MEDIUM_ERROR, 0x1100, bad);
}

static void synchronize(struct usb_model_task *task, struct usb_model_unit *unit)
{
    if (unit->no_synchronize) {
        fail(task, ILLEGAL_REQUEST, 0x2000);
        return;
    }
    unit->synchronizes++;
    if (unit->fail_synchronize)
        fail(task, MEDIUM_ERROR, 0x0c00);
    else
        unit->dirty = false;
}

static void begin_unmap(struct usb_model_task *task, struct usb_model_unit *unit)
{
    if (!unit->unmap)
        fail(task, ILLEGAL_REQUEST, 0x2000);
    else if (unit->read_only)
        fail(task, DATA_PROTECT, 0x2700);
    else
        expect_data(task, get16(task->cdb + 7));
}

static void begin_write_same(struct usb_model_task *task, struct usb_model_unit *unit)
{
    if (!unit->write_same)
        fail(task, ILLEGAL_REQUEST, 0x2000);
    else if (unit->read_only)
        fail(task, DATA_PROTECT, 0x2700);
    else
        expect_data(task, unit->block);
}

static void zero(struct usb_model_unit *unit, uint64_t lba, uint64_t count)
{
    memset(usb_model_unit_data(unit) + lba * unit->block, 0, (size_t)(count * unit->block));
    unit->dirty = true;
}

static void finish_write(struct usb_model_task *task, struct usb_model_unit *unit)
{
    uint64_t lba, count, blocks = task->moved / unit->block;

    range_of(task->cdb, &lba, &count);
    uint64_t bad = bad_block(unit, lba, blocks);
    if (bad != UINT64_MAX) {
        blocks = bad - lba;
        fail_at(task, MEDIUM_ERROR, 0x0c00, bad);
    }
    memcpy(usb_model_unit_data(unit) + lba * unit->block, task->data, (size_t)(blocks * unit->block));
    unit->blocks_written += blocks;
    unit->dirty = true;
    if (task->moved < task->length && bad == UINT64_MAX)
        fail_at(task, ABORTED_COMMAND, 0x4b00, UINT64_MAX);
}

/* SBC-3, 5.28: header of 8 bytes, descriptors of 16. */
static void finish_unmap(struct usb_model_task *task, struct usb_model_unit *unit)
{
    size_t ranges = task->moved >= 8 ? get16(task->data + 2) / 16 : 0;

    unit->unmaps++;
    if (task->moved != task->length || 8 + ranges * 16 > task->moved || ranges > unit->max_unmap_ranges) {
        usb_model_violation(task->target->device, "an UNMAP parameter list that is too short or too long");
        fail(task, ILLEGAL_REQUEST, 0x2600);
        return;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < ranges; i++) {
        uint64_t lba = get64(task->data + 8 + i * 16), count = get32(task->data + 16 + i * 16);
        total += count;
        if (outside(unit, lba, count) || total > unit->max_unmap_blocks) {
            usb_model_violation(task->target->device, "UNMAP beyond the end or the limit");
            fail(task, ILLEGAL_REQUEST, 0x2100);
            return;
        }
        zero(unit, lba, count);
    }
}

static void finish_write_same(struct usb_model_task *task, struct usb_model_unit *unit)
{
    uint64_t lba, count;

    range_of(task->cdb, &lba, &count);
    unit->write_sames++;
    if (!count || count > unit->max_write_same || outside(unit, lba, count)) {
        usb_model_violation(task->target->device, "WRITE SAME beyond the end or the limit");
        fail(task, ILLEGAL_REQUEST, 0x2400);
        return;
    }
    uint8_t *data = usb_model_unit_data(unit);
    for (uint64_t i = 0; i < count; i++)
        memcpy(data + (lba + i) * unit->block, task->data, unit->block);
    unit->dirty = true;
}

/* --- dispatch --- */

/* What stands before every command but INQUIRY, REPORT LUNS and REQUEST SENSE (SAM-5, 5.14). False: it has failed. */
static bool unit_ready(struct usb_model_task *task, struct usb_model_unit *unit)
{
    if (unit->attention[0] || unit->attention[1]) {
        unsigned code = get16(unit->attention);
        unit->attention[0] = unit->attention[1] = 0;
        fail(task, UNIT_ATTENTION, code);
        return false;
    }
    if (unit->busy) {
        unit->busy--;
        task->status = BUSY;
        return false;
    }
    bool starts = task->cdb[0] == 0x1b;
    if (unit->no_medium && !starts) {
        fail(task, NOT_READY, 0x3a00);
        return false;
    }
    if (unit->stopped && !starts) {
        fail(task, NOT_READY, 0x0402);
        return false;
    }
    if (unit->becoming_ready && !starts && task->cdb[0] != 0x1a && task->cdb[0] != 0x5a) {
        unit->becoming_ready -= task->cdb[0] == 0x00;
        fail(task, NOT_READY, 0x0401);
        return false;
    }
    return true;
}

static void dispatch(struct usb_model_task *task, struct usb_model_unit *unit)
{
    switch (task->cdb[0]) {
    case 0x00: /* TEST UNIT READY */
        return;
    case 0x1b: /* START STOP UNIT */
        unit->starts++;
        if ((task->cdb[4] & 3) == 1)
            unit->stopped = false;
        return;
    case 0x1a:
    case 0x5a:
        mode_sense(task, unit, task->cdb[0] == 0x5a);
        return;
    case 0x25:
        read_capacity_10(task, unit);
        return;
    case 0x9e:
        read_capacity_16(task, unit);
        return;
    case 0x28: /* READ and WRITE (10), (16) */
    case 0x2a:
    case 0x88:
    case 0x8a:
        read_or_write(task, unit);
        return;
    case 0x35:
    case 0x91:
        synchronize(task, unit);
        return;
    case 0x42:
        begin_unmap(task, unit);
        return;
    case 0x93:
        begin_write_same(task, unit);
        return;
    default:
        fail(task, ILLEGAL_REQUEST, 0x2000);
    }
}

void usb_model_task_begin(struct usb_model_task *task, struct usb_model_target *target, uint8_t lun, const uint8_t *cdb)
{
    struct usb_model_unit *unit = lun < target->unit_count ? &target->units[lun] : NULL;

    memset(task, 0, sizeof(*task));
    task->target = target;
    task->lun = lun;
    memcpy(task->cdb, cdb, sizeof(task->cdb));
    if (unit)
        unit->commands++;
    if (cdb[0] == 0x12)
        inquiry(task, unit);
    else if (cdb[0] == 0xa0)
        report_luns(task);
    else if (cdb[0] == 0x03)
        request_sense(task, unit);
    else if (!unit)
        fail(task, ILLEGAL_REQUEST, 0x2500);
    else if (unit_ready(task, unit))
        dispatch(task, unit);
}

void usb_model_task_finish(struct usb_model_task *task)
{
    if (task->in || task->status != GOOD)
        return;
    struct usb_model_unit *unit = &task->target->units[task->lun];
    switch (task->cdb[0]) {
    case 0x2a:
    case 0x8a:
        finish_write(task, unit);
        return;
    case 0x42:
        finish_unmap(task, unit);
        return;
    case 0x93:
        finish_write_same(task, unit);
        return;
    default:
        return;
    }
}

void usb_model_task_end(struct usb_model_task *task)
{
    free(task->data);
    task->data = NULL;
}
