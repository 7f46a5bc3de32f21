/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume looked at: mounted for reading, asked for its free space or for a folder, and unmounted, all on one fiber. What it found is
 * kept outside of the fiber's arena, and handed out when the fiber is gone.
 */
#include "core/fiber.h"
#include "fs/volume.h"

#include <stdio.h>
#include <string.h>

#define ARENA_LIMIT (96u * 1024 * 1024)
#define PATH_MAX_BYTES 512
#define SEEN_MAX 1000000 /* policy: entries of one folder that are looked at, also those in which nothing is */

struct look {
    struct block_device *device;
    const struct volume_file_ops *ops;
    struct volume_io io;
    struct fiber *fiber;
    void *volume; /* ops' own */
    int status;
    struct error error;
    struct filesystem_space *space; /* NULL: a folder is listed */
    struct volume_list list;
    char path[PATH_MAX_BYTES];
};

/* --- on the fiber --- */

bool volume_list_seen(struct volume_list *list)
{
    list->seen++;
    list->is_damaged = list->is_damaged || list->seen > SEEN_MAX;
    return !list->is_damaged && !list->is_cut && !list->no_memory;
}

struct filesystem_file *volume_list_add(struct volume_list *list, const char *name)
{
    struct filesystem_file *file;

    if (!filesystem_name_is_text(name) || strlen(name) >= sizeof file->name)
        return NULL;
    list->is_cut = list->count == FILESYSTEM_FILES_MAX;
    list->no_memory =
        !list->is_cut && !filesystem_files_make_room(list->platform, &list->files, list->count, &list->room);
    if (list->is_cut || list->no_memory)
        return NULL;
    file = &list->files[list->count++];
    snprintf(file->name, sizeof file->name, "%s", name);
    file->bytes = UINT64_MAX;
    file->modified = -1;
    file->is_folder = false;
    return file;
}

static int list_folder(struct look *look)
{
    struct volume_list *list = &look->list;
    int status = look->ops->list(look->volume, look->path, list, &look->error);
    const char *name = look->device->name;

    if (status < 0)
        return status;
    if (list->no_memory)
        return error_set(&look->error, ERROR_NO_MEMORY, OPERATION_READ, name, ERROR_NO_BLOCK, "no memory");
    if (list->is_damaged)
        return error_set(&look->error, ERROR_CORRUPT, OPERATION_READ, name, ERROR_NO_BLOCK, "the folder has no end");
    return list->is_cut;
}

static int read_space(struct look *look)
{
    struct filesystem_space *space = look->space;
    int status = look->ops->check_space(look->volume, &look->error);

    space->can_write = status == 0;
    if (status == -ERROR_REFUSED || status == -ERROR_UNSUPPORTED) {
        snprintf(space->why, sizeof space->why, "%s", look->error.detail);
        status = 0;
    }
    space->free_bytes = look->ops->free_space(look->volume);
    space->max_file_bytes = look->ops->max_file_bytes(look->volume);
    return status;
}

static void look_fiber(void *context)
{
    struct look *look = context;
    const struct volume_file_ops *ops = look->ops;
    struct error late = {0};

    look->status = ops->mount(look->volume, &look->io, &look->error);
    if (look->status < 0)
        return; /* what is half mounted goes with the arena */
    look->status = look->space ? read_space(look) : list_folder(look);
    /* Nothing was written: whether it succeeds does not matter. */
    (void)ops->unmount(look->volume, &late);
}

/* --- outside of it --- */

static bool cancelled(struct platform *platform)
{
    return platform->ops->cancel_requested && platform->ops->cancel_requested(platform);
}

static bool look_ended(void *context)
{
    const struct look *look = context;

    return fiber_finished(look->fiber) || cancelled(look->device->loop->platform);
}

static int run_fiber(struct look *look, struct error *error)
{
    struct loop *loop = look->device->loop;
    const char *name = look->device->name;
    bool ended;
    int status;

    look->fiber = fiber_start(loop, look->ops->name, FIBER_STACK_DEFAULT, ARENA_LIMIT, look_fiber, look);
    if (!look->fiber)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no memory");
    ended = loop_wait(loop, look_ended, look, deadline_after(loop->platform, FILESYSTEM_LOOK_LIMIT));
    if (!ended)
        status = error_set(error, ERROR_TIMEOUT, OPERATION_READ, name, ERROR_NO_BLOCK, "the volume took too long");
    else if (!fiber_finished(look->fiber))
        status = error_set(error, ERROR_CANCELLED, OPERATION_READ, name, ERROR_NO_BLOCK, NULL);
    else if (fiber_abandoned(look->fiber))
        status = error_set(error, ERROR_CORRUPT, OPERATION_READ, name, ERROR_NO_BLOCK,
                           "the %s library gave up on this volume", look->ops->name);
    else if ((status = look->status) < 0 && error)
        *error = look->error;
    fiber_destroy(look->fiber);
    return status;
}

static struct look *look_create(struct block_device *device, const struct volume_file_ops *ops, struct error *error)
{
    struct platform *platform = device->loop->platform;
    struct look *look = platform_allocate_zeroed(platform, sizeof *look);

    if (look)
        look->volume = platform_allocate_zeroed(platform, ops->volume_size);
    if (!look || !look->volume) {
        platform_release(platform, look);
        error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "no memory");
        return NULL;
    }
    look->device = device;
    look->ops = ops;
    look->list.platform = platform;
    volume_io_init(&look->io, device);
    return look;
}

static void look_free(struct look *look)
{
    struct platform *platform = look->device->loop->platform;

    platform_release(platform, look->list.files);
    platform_release(platform, look->volume);
    platform_release(platform, look);
}

static bool is_read_only(const struct block_device *device)
{
    for (; device; device = device->parent)
        if (device->read_only)
            return true;
    return false;
}

int volume_read_space(struct block_device *device, const struct volume_file_ops *ops, struct filesystem_space *space,
                      struct error *error)
{
    struct look *look = look_create(device, ops, error);
    int status;

    if (!look)
        return -ERROR_NO_MEMORY;
    memset(space, 0, sizeof *space);
    space->free_bytes = space->max_file_bytes = UINT64_MAX;
    look->space = space;
    status = run_fiber(look, error);
    if (status == 0 && space->can_write && is_read_only(device)) {
        space->can_write = false;
        snprintf(space->why, sizeof space->why, "the disk is write-protected");
    }
    look_free(look);
    return status;
}

int volume_list_files(struct block_device *device, const struct volume_file_ops *ops, const char *folder,
                      filesystem_found *found, void *context, struct error *error)
{
    struct look *look = look_create(device, ops, error);
    int status;

    if (!look)
        return -ERROR_NO_MEMORY;
    status = volume_normalise(folder, look->path, sizeof look->path);
    if (status < 0)
        error_set(error, ERROR_USAGE, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "not a path of a folder");
    else
        status = run_fiber(look, error);
    for (size_t i = 0; status >= 0 && i < look->list.count; i++)
        if (!found(context, &look->list.files[i]))
            break;
    look_free(look);
    return status;
}
