/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A slice: a run of another device's blocks as a device of its own. Each request is mirrored by one of the parent's. Those
 * have no callback and are looked at by polling, so that slices too can be reaped at any depth.
 */
#include <stdio.h>
#include <string.h>

#include "core/block.h"

/* Policy: requests that one slice has in flight; more than any device's queue is worth. */
#define SLICE_REQUESTS 64

struct slice {
    struct block_device device;
    struct block_request below[SLICE_REQUESTS]; /* context: the slice's own request; NULL: unused */
    unsigned used;
};

static struct slice *slice_of(struct block_device *device)
{
    return (struct slice *)((char *)device - offsetof(struct slice, device));
}

static int slice_submit(struct block_device *device, struct block_request *request)
{
    struct slice *slice = slice_of(device);
    struct block_request *below = NULL;

    for (unsigned i = 0; i < SLICE_REQUESTS && !below; i++)
        if (!slice->below[i].context)
            below = &slice->below[i];
    if (!below)
        return -ERROR_FULL;

    *below = (struct block_request){
        .operation = request->operation,
        .lba = request->operation == BLOCK_FLUSH ? 0 : request->lba + device->parent_lba,
        .count = request->count,
        .buffer = request->buffer,
        .offset = request->offset,
        .context = request,
        .timeout = request->timeout,
    };
    int status = block_submit(device->parent, below);
    if (status)
        below->context = NULL;
    else
        slice->used++;
    return status;
}

static bool slice_poll(struct block_device *device)
{
    struct slice *slice = slice_of(device);
    bool happened = false;

    for (unsigned i = 0; i < SLICE_REQUESTS && slice->used; i++) {
        struct block_request *below = &slice->below[i];
        if (!below->context || !below->ended)
            continue;
        struct block_request *request = below->context;
        below->context = NULL;
        slice->used--;
        block_complete(request, below->status, below->raw_status);
        happened = true;
    }
    return happened;
}

static void slice_shutdown(struct block_device *device)
{
    platform_release(device->loop->platform, slice_of(device));
}

static const struct block_device_ops slice_ops = {
    .submit = slice_submit,
    .poll = slice_poll,
    .shutdown = slice_shutdown,
};

int block_slice_create(struct block_device *parent, uint64_t first, uint64_t count, const char *name,
                       struct block_device **slice, struct error *error)
{
    if (!count || count > parent->geometry.block_count || first > parent->geometry.block_count - count)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, parent->name, first,
                         "%llu blocks from here do not fit on the device", (unsigned long long)count);
    struct slice *made = platform_allocate_zeroed(parent->loop->platform, sizeof(*made));
    if (!made)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, parent->name, first, NULL);

    struct block_device *device = &made->device;
    device->ops = &slice_ops;
    device->loop = parent->loop;
    device->geometry = parent->geometry;
    device->geometry.block_count = count;
    if (device->geometry.queue_depth > SLICE_REQUESTS)
        device->geometry.queue_depth = SLICE_REQUESTS;
    device->bus = parent->bus;
    device->read_only = parent->read_only;
    device->removable = parent->removable;
    device->volatile_cache = parent->volatile_cache;
    device->rotational = parent->rotational;
    snprintf(device->name, sizeof(device->name), "%s", name);
    memcpy(device->model, parent->model, sizeof(device->model));
    memcpy(device->serial, parent->serial, sizeof(device->serial));
    memcpy(device->firmware, parent->firmware, sizeof(device->firmware));
    memcpy(device->driver, parent->driver, sizeof(device->driver));
    device->parent = parent;
    device->parent_lba = first;

    int status = block_device_start(device, error);
    if (status) {
        platform_release(parent->loop->platform, made);
        return status;
    }
    *slice = device;
    return 0;
}
