/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes for the session. Those on the registered disks come first, as the drivers of fs/ see them; then each volume of the
 * firmware's is laid over the one in the same place, or comes behind. At the end each gets the name that leads to it.
 */
#include "boot/machine_volumes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fs/volume.h"

#define VOLUMES_MAX 256 /* policy */
#define FAT_FILE_MAX 0xffffffffu
#define NAME_MAX_BYTES 80
#define STICK "stick"

struct entry {
    struct session_volume volume;
    uint64_t offset;   /* bytes, on the disk */
    bool is_firmwares; /* its files are reached through the firmware */
    bool is_ours;      /* through a driver of fs/ */
};

struct catalogue {
    struct machine *machine;
    struct entry *entries;
    unsigned count;
    bool has_fat_of_ours; /* on a disk that the firmware has to be shown first */
    bool cancelled;
};

static bool cancel_requested(struct machine *machine)
{
    struct platform *platform = machine->platform;

    return platform->ops->cancel_requested && platform->ops->cancel_requested(platform);
}

static struct entry *add(struct catalogue *catalogue)
{
    struct entry *entry;

    if (catalogue->count == VOLUMES_MAX)
        return NULL;
    entry = &catalogue->entries[catalogue->count++];
    memset(entry, 0, sizeof(*entry));
    entry->volume.bytes = entry->volume.free_bytes = entry->volume.max_file_bytes = UINT64_MAX;
    return entry;
}

/* --- on the disks --- */

/* Why nothing can be kept on a volume of this type; NULL: it is none that anybody would think of (swap, parts of a RAID). */
static const char *why_useless(const char *type)
{
    static const struct {
        const char *type, *why;
    } reasons[] = {
        {"bitlocker", "BitLocker keeps it locked"},
        {"luks", "it is encrypted (LUKS)"},
        {"fat", "the firmware shows no files on it"},
        {"btrfs", "images cannot be kept on btrfs from here"},
        {"xfs", "images cannot be kept on XFS from here"},
        {"apfs", "images cannot be kept on APFS from here"},
        {"hfsplus", "images cannot be kept on HFS+ from here"},
        {"refs", "images cannot be kept on ReFS from here"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strcmp(type, reasons[i].type) == 0)
            return reasons[i].why;
    return NULL;
}

static bool is_system(const struct machine_volume *seen)
{
    static const char *const kinds[] = {"EFI system", "Windows recovery", "Microsoft reserved"};
    const char *kind = seen->partition ? partition_type_name(seen->table, seen->partition) : "";

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

/* false: the disk does not answer. */
static bool read_space(struct machine *machine, const struct machine_volume *seen, struct session_volume *volume)
{
    struct filesystem_space space;
    struct error error = {0};
    int status = seen->driver->read_space(seen->device, &space, &error);

    if (status == 0) {
        volume->free_bytes = space.free_bytes;
        if (space.max_file_bytes < INT64_MAX)
            volume->max_file_bytes = space.max_file_bytes;
        volume->can_read = true;
        volume->can_write = space.can_write;
        snprintf(volume->why, sizeof(volume->why), "%s", space.why);
        return true;
    }
    snprintf(volume->why, sizeof(volume->why), "%s%s%s", error_code_name((enum error_code) - status),
             error.detail[0] ? ": " : "", error.detail);
    platform_log(machine->platform, LOG_WARNING, "%s cannot be looked at: %s", seen->device->name, volume->why);
    return status == -ERROR_CORRUPT || status == -ERROR_UNSUPPORTED || status == -ERROR_NO_MEMORY;
}

static bool add_volume(void *context, const struct machine_volume *seen)
{
    struct catalogue *catalogue = context;
    const char *why = seen->driver->open_store ? "" : why_useless(seen->driver->name);
    bool is_fat = strcmp(seen->driver->name, "fat") == 0;
    struct entry *entry;

    catalogue->cancelled = catalogue->cancelled || cancel_requested(catalogue->machine);
    if (catalogue->cancelled)
        return false;
    if (!why || !(entry = add(catalogue)))
        return true;
    struct session_volume *volume = &entry->volume;
    snprintf(volume->label, sizeof(volume->label), "%s", seen->info->label);
    snprintf(volume->type, sizeof(volume->type), "%s", seen->info->type);
    snprintf(volume->uuid, sizeof(volume->uuid), "%s", seen->info->uuid);
    snprintf(volume->disk, sizeof(volume->disk), "%s", seen->disk->name);
    snprintf(volume->why, sizeof(volume->why), "%s", why);
    volume->bytes = block_device_bytes(seen->device);
    volume->is_system = is_system(seen);
    if (seen->partition) {
        volume->partition = seen->partition->number;
        entry->offset = seen->partition->first_block * seen->disk->geometry.logical_block;
    }
    catalogue->has_fat_of_ours = catalogue->has_fat_of_ours || (is_fat && strcmp(seen->disk->driver, "firmware") != 0);
    entry->is_ours = seen->driver->open_store != NULL;
    return !entry->is_ours || read_space(catalogue->machine, seen, volume);
}

/* --- of the firmware --- */

static struct entry *in_place_of(struct catalogue *catalogue, const struct machine_firmware_volume *seen)
{
    for (unsigned i = 0; i < catalogue->count; i++) {
        struct entry *entry = &catalogue->entries[i];
        if (seen->disk[0] && strcmp(entry->volume.disk, seen->disk) == 0 && entry->offset == seen->offset)
            return entry;
    }
    return NULL;
}

static void add_firmware_volume(void *context, const struct machine_firmware_volume *seen)
{
    struct catalogue *catalogue = context;
    struct entry *entry = in_place_of(catalogue, seen);

    /* Our drivers are better at what is not FAT; the boot volume is reached through the firmware, whatever it is. */
    if (!seen->is_stick && (!seen->is_fat || (entry && entry->is_ours)))
        return;
    if (!entry && !(entry = add(catalogue)))
        return;
    struct session_volume *volume = &entry->volume;
    entry->is_firmwares = true;
    snprintf(volume->label, sizeof(volume->label), "%s", seen->label);
    if (!volume->type[0])
        snprintf(volume->type, sizeof(volume->type), "fat");
    snprintf(volume->uuid, sizeof(volume->uuid), "%s", seen->uuid);
    snprintf(volume->disk, sizeof(volume->disk), "%s", seen->disk);
    if (seen->bytes != UINT64_MAX)
        volume->bytes = seen->bytes;
    volume->free_bytes = seen->free_bytes;
    volume->max_file_bytes = FAT_FILE_MAX;
    volume->can_read = true;
    volume->can_write = !seen->read_only;
    snprintf(volume->why, sizeof(volume->why), "%s", seen->read_only ? "the disk is write-protected" : "");
    volume->is_stick = seen->is_stick;
    volume->is_system = volume->is_system && !seen->is_stick;
}

/* --- names --- */

/* How many volumes answer to it. */
static unsigned count_bearers(const struct catalogue *catalogue, const char *name)
{
    unsigned bearers = strcasecmp(name, STICK) == 0;

    for (unsigned i = 0; i < catalogue->count; i++) {
        const struct session_volume *volume = &catalogue->entries[i].volume;
        bearers += strcasecmp(volume->label, name) == 0 || strcasecmp(volume->uuid, name) == 0;
    }
    return bearers;
}

/* Can it stand in a command, between quotes, and in a line of a job file? */
static bool can_be_said(const char *name)
{
    return filesystem_name_is_text(name) && strlen(name) < NAME_MAX_BYTES && !strpbrk(name, "\"{:") && name[0] != '-';
}

static void name_volume(const struct catalogue *catalogue, struct session_volume *volume)
{
    const char *name = volume->is_stick ? STICK : "";

    if (!*name && can_be_said(volume->label) && count_bearers(catalogue, volume->label) == 1)
        name = volume->label;
    if (!*name && can_be_said(volume->uuid) && count_bearers(catalogue, volume->uuid) == 1)
        name = volume->uuid;
    snprintf(volume->name, sizeof(volume->name), "%s", name);
    if (*name || !volume->can_read)
        return;
    volume->can_read = volume->can_write = false;
    snprintf(volume->why, sizeof(volume->why), "%s",
             volume->label[0] || volume->uuid[0] ? "another volume has the same label and UUID" : "it has no label");
}

/* The stick first. false: the taker has enough. */
static void give(const struct catalogue *catalogue, session_volume_found *found, void *context)
{
    bool more = true;

    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < catalogue->count && more; i++)
            if (catalogue->entries[i].volume.is_stick == (pass == 0))
                more = found(context, &catalogue->entries[i].volume);
}

int machine_list_volumes(struct machine *machine, session_volume_found *found, void *context, struct error *error)
{
    struct catalogue catalogue = {.machine = machine};

    catalogue.entries = platform_allocate(machine->platform, VOLUMES_MAX * sizeof(*catalogue.entries));
    if (!catalogue.entries)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "", ERROR_NO_BLOCK, "no memory");
    machine_volumes_visit(machine, add_volume, &catalogue);
    if (!catalogue.cancelled)
        machine_firmware_volumes(machine, catalogue.has_fat_of_ours, add_firmware_volume, &catalogue);
    for (unsigned i = 0; i < catalogue.count; i++)
        name_volume(&catalogue, &catalogue.entries[i].volume);
    if (!catalogue.cancelled)
        give(&catalogue, found, context);
    platform_release(machine->platform, catalogue.entries);
    return catalogue.cancelled ? error_set(error, ERROR_CANCELLED, OPERATION_READ, "", ERROR_NO_BLOCK, NULL) : 0;
}

int machine_list_files(struct machine *machine, const char *volume, const char *folder, filesystem_found *found,
                       void *context, struct error *error)
{
    char path[512];
    bool known;
    int status = volume_normalise(folder, path, sizeof(path));

    if (status)
        return error_set(error, ERROR_USAGE, OPERATION_OPEN, volume, ERROR_NO_BLOCK, "not a path of a folder");
    status = machine_open_volume_files(machine, volume, path, &known, found, context, error);
    return known ? status : machine_volume_files(machine, volume, path, found, context, error);
}
