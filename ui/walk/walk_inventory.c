/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disks and volumes that there are, copied: the devices behind them come and go with their drivers. */
#include <stdio.h>
#include <string.h>

#include "ui/walk/walk_internal.h"

void walk_forget_disks(struct walk *walk)
{
    for (unsigned i = 0; i < walk->disk_count; i++)
        survey_free(&walk->disks[i].survey);
    walk->disk_count = 0;
}

static int add_disk(struct walk *walk, struct block_device *device)
{
    struct walk_disk *disk = &walk->disks[walk->disk_count];
    struct job_end end = {0};

    memset(disk, 0, sizeof(*disk));
    snprintf(disk->name, sizeof(disk->name), "%s", device->name);
    snprintf(disk->model, sizeof(disk->model), "%s", device->model);
    snprintf(disk->serial, sizeof(disk->serial), "%s", device->serial);
    disk->bus = device->bus;
    disk->bytes = block_device_bytes(device);
    disk->read_only = device->read_only && walk->setup->has_power; /* on Linux all disks are opened so at first */
    if (walk->session->ops->open_disk(walk->session, disk->name, false, &end, NULL) == 0) {
        disk->is_boot_stick = end.is_boot_stick;
        walk->session->ops->close_disk(walk->session, &end);
    }
    int status = survey_disk(device, &disk->survey);
    if (!status)
        walk->disk_count++;
    return status;
}

int walk_find_disks(struct walk *walk, struct error *error)
{
    struct session *session = walk->session;
    struct block_device *device, *next;

    walk_forget_disks(walk);
    int status = session->ops->find_disks(session, error);
    for (device = status ? NULL : session->registry->first; device && walk->disk_count < WALK_DISKS_MAX;
         device = next) {
        /* One that is unplugged meanwhile leaves the registry, and the list ends there. */
        block_device_hold(device);
        status = add_disk(walk, device);
        next = device->registry_next;
        block_device_let_go(device);
        if (status)
            return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory to look at disks");
    }
    return status;
}

const struct walk_disk *walk_disk_find(const struct walk *walk, const char *name)
{
    for (unsigned i = 0; name[0] && i < walk->disk_count; i++)
        if (strcmp(walk->disks[i].name, name) == 0)
            return &walk->disks[i];
    return NULL;
}

/* --- volumes --- */

/* The smaller the better as a place for images; the order among equals is the session's. */
static unsigned rank(const struct walk_volume *volume, bool for_writing)
{
    const struct session_volume *facts = &volume->volume;
    bool usable = for_writing ? facts->can_write : facts->can_read;
    /* Images are kept on what can be taken away. */
    bool external = strncmp(facts->disk, "usb:", 4) == 0;

    return (usable ? 0 : 16u) + (facts->is_system ? 8u : 0) + (volume->is_on_source ? 4u : 0) + (external ? 0 : 2u) +
           (facts->is_stick ? 1u : 0);
}

static bool found_volume(void *context, const struct session_volume *volume)
{
    struct walk *walk = context;
    const struct walk_choice *disk = walk->task == TASK_SAVE ? &walk->source : &walk->target;
    struct walk_volume added = {*volume, disk->chosen && strcmp(disk->disk, volume->disk) == 0};
    unsigned at = walk->volume_count;

    if (!volume->name[0] || strchr(volume->name, '"'))
        return true; /* the grammar cannot say it */
    for (; at && rank(&added, walk->task == TASK_SAVE) < rank(&walk->volumes[at - 1], walk->task == TASK_SAVE); at--)
        walk->volumes[at] = walk->volumes[at - 1];
    walk->volumes[at] = added;
    return ++walk->volume_count < WALK_VOLUMES_MAX;
}

void walk_forget_volumes(struct walk *walk)
{
    walk->volume_count = 0;
}

int walk_find_volumes(struct walk *walk, struct error *error)
{
    walk_forget_volumes(walk);
    return walk->session->ops->list_volumes(walk->session, found_volume, walk, error);
}
