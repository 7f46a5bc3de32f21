/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes by name, and the files of the boot stick: the image store, the job file, the log. */
#include <stdio.h>
#include <string.h>

#include "boot/efi_devices.h"
#include "boot/efi_volume.h"

#define BOOT_FILE_LIMIT (256u * 1024)
#define LOG_FILE "\\EIDOLON\\LOG.TXT"

struct volume_search {
    struct machine *machine;
    const char *name;
    unsigned matches;
    struct firmware_volume found;
};

/* Same partition of the same table, wherever its disk is connected now. */
static bool same_partition(const EFI_DEVICE_PATH *a, const EFI_DEVICE_PATH *b)
{
    const EFI_DEVICE_PATH *first = path_node(a, MEDIA_DEVICE_PATH, MEDIA_HARDDRIVE_DP);
    const EFI_DEVICE_PATH *second = path_node(b, MEDIA_DEVICE_PATH, MEDIA_HARDDRIVE_DP);

    if (!first || !second)
        return !first && !second;
    return DevicePathNodeLength(first) == DevicePathNodeLength(second) &&
           memcmp(first, second, DevicePathNodeLength(first)) == 0;
}

/*
 * The handle of the boot volume may be another one by now, and its path too when its controller is ours:
 * then it is the same partition of the disk that has the boot disk's name.
 */
static bool is_boot_volume(const struct firmware_volume *volume, void *context)
{
    struct volume_search *search = context;
    struct machine *machine = search->machine;
    struct device_set *set = machine->devices;
    EFI_DEVICE_PATH *path = path_of_handle(machine->firmware, volume->handle);

    if (!set || !set->boot_path || !path)
        return false;
    if (path_equal(path, set->boot_path))
        return true;
    struct block_device *disk = published_disk_of_path(set, path);
    return disk && machine_is_boot_disk(machine, disk) && same_partition(path, set->boot_path);
}

static bool text_equal_ignoring_case(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a >= 'a' && *a <= 'z' ? (char)(*a - 32) : *a, y = *b >= 'a' && *b <= 'z' ? (char)(*b - 32) : *b;
        if (x != y)
            return false;
    }
    return *a == *b;
}

static bool has_name(const struct firmware_volume *volume, void *context)
{
    struct volume_search *search = context;

    if (!volume->is_fat)
        return false;
    if (!text_equal_ignoring_case(volume->label, search->name) && !text_equal_ignoring_case(volume->uuid, search->name))
        return false;
    if (search->matches++ == 0)
        search->found = *volume;
    return false; /* look at all of them: two of one name are one too many */
}

static int find_volume(struct machine *machine, const char *name, struct firmware_volume *volume, struct error *error)
{
    struct volume_search search = {.machine = machine, .name = name};
    struct firmware_volume unused;

    if (text_equal_ignoring_case(name, "stick")) {
        if (firmware_volume_find(machine->firmware, volume, is_boot_volume, &search))
            return 0;
        /* Its disk may be one of ours that the firmware has not been shown yet. */
        if (machine->devices)
            devices_publish(machine, true);
        if (firmware_volume_find(machine->firmware, volume, is_boot_volume, &search))
            return 0;
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "the volume that Eidolon was started from cannot be found");
    }
    if (machine->devices)
        devices_publish(machine, false);
    firmware_volume_find(machine->firmware, &unused, has_name, &search);
    if (!search.matches)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "there is no volume of this name");
    if (search.matches > 1)
        return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, name, ERROR_NO_BLOCK, "%u volumes have this name",
                         search.matches);
    *volume = search.found;
    return 0;
}

/* Where on which disk a volume lies, in bytes; 0 and 0: all of it, or unknown. NULL: on none of ours. */
static struct block_device *place_of(struct machine *machine, const struct firmware_volume *volume, uint64_t *offset,
                                     uint64_t *length)
{
    EFI_DEVICE_PATH *path = path_of_handle(machine->firmware, volume->handle);
    const EFI_DEVICE_PATH *node = path ? path_node(path, MEDIA_DEVICE_PATH, MEDIA_HARDDRIVE_DP) : NULL;
    const HARDDRIVE_DEVICE_PATH *partition = (const HARDDRIVE_DEVICE_PATH *)node;
    struct block_device *disk = path ? devices_disk_of_path(machine->devices, path) : NULL;

    *offset = *length = 0;
    if (!disk || !partition)
        return disk;
    uint32_t block = disk->geometry.logical_block;
    if (__builtin_mul_overflow(partition->PartitionStart, block, offset) ||
        __builtin_mul_overflow(partition->PartitionSize, block, length))
        *offset = *length = 0;
    return disk;
}

struct volume_report {
    struct volume_search search; /* first: for is_boot_volume() */
    void (*found)(void *context, const struct machine_firmware_volume *volume);
    void *context;
};

static bool report(const struct firmware_volume *volume, void *context)
{
    struct volume_report *to = context;
    struct machine *machine = to->search.machine;
    struct machine_firmware_volume seen = {.bytes = volume->size ? volume->size : UINT64_MAX,
                                           .free_bytes = volume->size ? volume->free_space : UINT64_MAX,
                                           .read_only = volume->read_only,
                                           .is_fat = volume->is_fat,
                                           .is_stick = is_boot_volume(volume, &to->search)};
    uint64_t length;

    struct block_device *disk = place_of(machine, volume, &seen.offset, &length);
    snprintf(seen.label, sizeof(seen.label), "%s", volume->label);
    snprintf(seen.uuid, sizeof(seen.uuid), "%s", volume->uuid);
    if (disk) {
        snprintf(seen.disk, sizeof(seen.disk), "%s", disk->name);
        /* Disks of ours are shown as read-only until somebody writes. */
        if (!firmware_disk_of(disk))
            seen.read_only = disk->read_only;
    }
    to->found(to->context, &seen);
    return false;
}

void machine_firmware_volumes(struct machine *machine, bool publish,
                              void (*found)(void *context, const struct machine_firmware_volume *volume), void *context)
{
    struct volume_report to = {.search = {.machine = machine}, .found = found, .context = context};
    struct firmware_volume unused;

    if (publish && machine->devices)
        devices_publish(machine, false);
    firmware_volume_find(machine->firmware, &unused, report, &to);
}

int machine_open_volume_files(struct machine *machine, const char *name, const char *folder, bool *known,
                              filesystem_found *found, void *context, struct error *error)
{
    struct firmware_volume volume;
    int status = find_volume(machine, name, &volume, error);

    *known = status != -ERROR_NOT_FOUND;
    if (status)
        return status;
    status = firmware_folder_list(machine->firmware, &volume, folder, found, context);
    if (status < 0)
        error_set(error, (enum error_code) - status, OPERATION_READ, name, ERROR_NO_BLOCK, "%s",
                  status == -ERROR_NOT_FOUND ? "no such folder" : "the firmware cannot read the folder");
    return status;
}

struct block_device *machine_open_volume_disk(struct machine *machine, const char *name)
{
    struct firmware_volume volume;
    EFI_DEVICE_PATH *path = NULL;

    if (find_volume(machine, name, &volume, NULL) == 0)
        path = path_of_handle(machine->firmware, volume.handle);
    return path ? devices_disk_of_path(machine->devices, path) : NULL;
}

int machine_open_volume(struct machine *machine, const char *name, const char *path, const char *full_name, bool write,
                        struct stream_store **store, struct error *error)
{
    struct firmware_volume volume;
    int status = find_volume(machine, name, &volume, error);

    if (status)
        return status;
    EFI_DEVICE_PATH *volume_path = path_of_handle(machine->firmware, volume.handle);
    struct block_device *disk = volume_path ? published_disk_of_path(machine->devices, volume_path) : NULL;
    if (write && disk) {
        /* The volume's handle does not survive this. */
        status = device_publish(machine->devices, disk, true, error);
        if (!status)
            status = find_volume(machine, name, &volume, error);
        if (status)
            return status;
    }
    status = firmware_store_open(&machine->loop, machine->firmware, &volume, path, full_name, write,
                                 &machine->devices->store_users, store, error);
    if (!status) {
        /* So that no job writes over it. */
        (*store)->disk = place_of(machine, &volume, &(*store)->disk_offset, &(*store)->disk_length);
        if ((*store)->disk)
            block_device_hold((*store)->disk);
        machine->devices->store_disk = (*store)->disk;
        machine->devices->store_volume = volume.handle;
    }
    return status;
}

int machine_boot_file(struct machine *machine, const char *path, char **text, size_t *size)
{
    struct firmware_volume volume;
    int status = find_volume(machine, "stick", &volume, NULL);

    return status ? status : firmware_file_read(machine->firmware, &volume, path, BOOT_FILE_LIMIT, text, size);
}

int machine_save_log(struct machine *machine)
{
    struct firmware *firmware = machine->firmware;
    struct device_set *set = machine->devices;
    struct firmware_volume volume;
    struct error error = {0};

    if (!set || firmware->log_saved >= firmware->log_written)
        return 0;
    int status = find_volume(machine, "stick", &volume, &error);
    EFI_DEVICE_PATH *path = status ? NULL : path_of_handle(firmware, volume.handle);
    struct block_device *disk = path ? published_disk_of_path(set, path) : NULL;
    if (!status && disk) {
        status = device_publish(set, disk, true, &error);
        if (!status)
            status = find_volume(machine, "stick", &volume, &error);
    }
    if (status)
        return status;
    UINT64 from = firmware->log_saved, to = firmware->log_written;
    if (to - from > LOG_RING_SIZE)
        from = to - LOG_RING_SIZE;
    /* The ring in at most two pieces. */
    while (from < to && !status) {
        size_t at = from % LOG_RING_SIZE, piece = LOG_RING_SIZE - at;
        if (piece > to - from)
            piece = to - from;
        status = firmware_file_append(firmware, &volume, LOG_FILE, firmware->log_ring + at, piece);
        from += piece;
    }
    if (!status)
        firmware->log_saved = to;
    return status;
}
