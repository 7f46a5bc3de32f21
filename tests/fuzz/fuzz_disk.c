/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sparse disk made of the input's records. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_MAX (8u * 1024 * 1024) /* bytes that can be repaired and written */

/* --- contents --- */

static bool load_record(struct fuzz_disk *disk, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *record = *at;
    struct fuzz_patch *patch = &disk->patches[disk->patch_count];
    size_t follows = 0;

    if (end - record < FUZZ_RECORD_HEADER || disk->patch_count == FUZZ_RECORDS_MAX)
        return false;
    uint64_t place = fuzz_load64(record);
    uint16_t length = (uint16_t)(record[8] | record[9] << 8);
    *patch = (struct fuzz_patch){.offset = place >> 63 ? disk->bytes + place : place,
                                 .length = length,
                                 .kind = record[10] % FUZZ_KINDS,
                                 .data = record + FUZZ_RECORD_HEADER,
                                 .value = record[11]};
    *at = record + FUZZ_RECORD_HEADER;
    if (patch->kind == FUZZ_DATA) {
        follows = patch->length < (size_t)(end - *at) ? (size_t)patch->length : (size_t)(end - *at);
        patch->length = follows;
    } else if (patch->kind == FUZZ_FILL_PAGES) {
        patch->length *= 4096;
    } else if (patch->kind == FUZZ_RAMP) {
        if (end - *at < 2)
            return false;
        follows = 2;
        patch->value = (uint16_t)(patch->data[0] | patch->data[1] << 8);
    }
    *at += follows;
    if (patch->offset < disk->bytes) {
        if (patch->length > disk->bytes - patch->offset)
            patch->length = disk->bytes - patch->offset;
        disk->patch_count++;
    }
    return true;
}

bool fuzz_disk_load(struct fuzz_disk *disk, const uint8_t *data, size_t size, uint64_t most)
{
    const uint8_t *at = data + FUZZ_DISK_HEADER;

    memset(disk, 0, sizeof *disk);
    if (size < FUZZ_DISK_HEADER)
        return false;
    disk->flags = data[0];
    disk->device.geometry.logical_block = data[1] & 1 ? 4096 : 512;
    disk->bytes = (uint64_t)fuzz_load32(data + 4) * 4096;
    if (disk->bytes > most)
        disk->bytes = most;
    if (disk->bytes < 4096)
        disk->bytes = 4096;
    while (load_record(disk, &at, data + size))
        ;
    return true;
}

static void put_patch(const struct fuzz_patch *patch, uint64_t offset, uint8_t *to, size_t size)
{
    uint64_t inside = offset - patch->offset;

    switch (patch->kind) {
    case FUZZ_DATA:
        memcpy(to, patch->data + inside, size);
        break;
    case FUZZ_FILL:
    case FUZZ_FILL_PAGES:
        memset(to, patch->value, size);
        break;
    case FUZZ_RAMP:
        for (size_t i = 0; i < size; i++)
            to[i] = (uint8_t)((patch->value + (inside + i) / 2) >> ((inside + i) % 2 ? 8 : 0));
        break;
    case FUZZ_BAD:
    case FUZZ_KINDS:
        break;
    }
}

static bool overlap(const struct fuzz_patch *patch, uint64_t offset, size_t size)
{
    return patch->offset < offset + size && offset < patch->offset + patch->length;
}

void fuzz_disk_peek(const struct fuzz_disk *disk, uint64_t offset, void *data, size_t size)
{
    memset(data, 0, size);
    for (unsigned i = 0; i < disk->patch_count; i++) {
        const struct fuzz_patch *patch = &disk->patches[i];

        if (!overlap(patch, offset, size))
            continue;
        uint64_t begin = patch->offset > offset ? patch->offset : offset, end = patch->offset + patch->length;
        if (end > offset + size)
            end = offset + size;
        put_patch(patch, begin, (uint8_t *)data + (begin - offset), (size_t)(end - begin));
    }
}

bool fuzz_disk_poke(struct fuzz_disk *disk, uint64_t offset, const void *data, size_t size)
{
    if (!disk->made && !(disk->made = malloc(MADE_MAX)))
        abort();
    if (disk->patch_count == FUZZ_RECORDS_MAX || size > MADE_MAX - disk->made_size || offset > disk->bytes ||
        size > disk->bytes - offset)
        return false;
    memcpy(disk->made + disk->made_size, data, size);
    disk->patches[disk->patch_count++] =
        (struct fuzz_patch){.offset = offset, .length = size, .kind = FUZZ_DATA, .data = disk->made + disk->made_size};
    disk->made_size += size;
    return true;
}

/* Everything outside of what the product called used: something else, and different from place to place. */
static void hide(const struct fuzz_disk *disk, uint64_t offset, uint8_t *data, size_t size)
{
    size_t run = extent_list_find(disk->visible, offset);

    for (size_t i = 0; i < size; i++) {
        while (run < disk->visible->count &&
               offset + i >= disk->visible->extents[run].offset + disk->visible->extents[run].length)
            run++;
        if (run == disk->visible->count || offset + i < disk->visible->extents[run].offset)
            data[i] = (uint8_t)((offset + i) * 0x9e3779b97f4a7c15ULL >> 56);
    }
}

/* --- the device --- */

static struct fuzz_disk *disk_of(struct block_device *device)
{
    return (struct fuzz_disk *)(void *)device; /* its first member */
}

static int disk_submit(struct block_device *device, struct block_request *request)
{
    struct fuzz_disk *disk = disk_of(device);

    fuzz_require(request->operation == BLOCK_READ || request->operation == BLOCK_FLUSH || disk->writable);
    request->driver_next = NULL;
    *disk->last = request;
    disk->last = &request->driver_next;
    return 0;
}

static int carry_out_read(struct fuzz_disk *disk, const struct block_request *request)
{
    uint32_t block = disk->device.geometry.logical_block;
    uint64_t offset = request->lba * block;
    size_t size = (size_t)request->count * block;
    uint8_t *to = (uint8_t *)request->buffer->data + request->offset;

    bool fails = size > disk->budget;

    disk->requests++;
    disk->budget = fails ? 0 : disk->budget - size;
    for (unsigned i = 0; i < disk->patch_count; i++)
        fails |= disk->patches[i].kind == FUZZ_BAD && overlap(&disk->patches[i], offset, size);
    if (fails) {
        disk->failed = true;
        return -ERROR_MEDIUM;
    }
    fuzz_disk_peek(disk, offset, to, size);
    if (disk->visible)
        hide(disk, offset, to, size);
    return 0;
}

static int carry_out(struct fuzz_disk *disk, const struct block_request *request)
{
    uint32_t block = disk->device.geometry.logical_block;

    if (request->operation == BLOCK_FLUSH)
        return 0;
    if (request->operation == BLOCK_READ)
        return carry_out_read(disk, request);
    if (request->operation == BLOCK_WRITE &&
        fuzz_disk_poke(disk, request->lba * block, (const uint8_t *)request->buffer->data + request->offset,
                       (size_t)request->count * block))
        return 0;
    disk->failed = true;
    return -ERROR_MEDIUM;
}

static bool disk_poll(struct block_device *device)
{
    struct fuzz_disk *disk = disk_of(device);
    bool happened = false;

    while (disk->first) {
        struct block_request *request = disk->first;
        disk->first = request->driver_next;
        if (!disk->first)
            disk->last = &disk->first;
        block_complete(request, carry_out(disk, request), 0);
        happened = true;
    }
    return happened;
}

static void disk_shutdown(struct block_device *device)
{
    (void)device;
}

void fuzz_disk_start(struct fuzz_disk *disk, struct loop *loop)
{
    static const struct block_device_ops ops = {.submit = disk_submit, .poll = disk_poll, .shutdown = disk_shutdown};
    struct block_device *device = &disk->device;
    uint32_t block = device->geometry.logical_block;

    device->ops = &ops;
    device->loop = loop;
    device->geometry = (struct block_geometry){.logical_block = block,
                                               .physical_block = 4096,
                                               .block_count = disk->bytes / block,
                                               .max_transfer = 256 * 1024,
                                               .optimal_transfer = 256 * 1024,
                                               .queue_depth = 4,
                                               .buffer_alignment = 4,
                                               .max_discard = disk->bytes,
                                               .max_write_zeroes = disk->bytes};
    device->bus = BUS_OTHER;
    snprintf(device->name, sizeof device->name, "fuzz:disk");
    snprintf(device->driver, sizeof device->driver, "fuzz");
    disk->last = &disk->first;
    disk->budget = FUZZ_READ_BUDGET;
    fuzz_require(block_device_start(device, NULL) == 0);
}

void fuzz_disk_stop(struct fuzz_disk *disk)
{
    block_device_stop(&disk->device);
    free(disk->made);
    disk->made = NULL;
}
