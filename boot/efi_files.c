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

/* Says where on which disk the volume lies, so that no job writes over it. */
static void place_store(struct machine *machine, const struct firmware_volume *volume, struct stream_store *store)
{
    EFI_DEVICE_PATH *path = path_of_handle(machine->firmware, volume->handle);
    const EFI_DEVICE_PATH *node = path ? path_node(path, MEDIA_DEVICE_PATH, MEDIA_HARDDRIVE_DP) : NULL;
    const HARDDRIVE_DEVICE_PATH *partition = (const HARDDRIVE_DEVICE_PATH *)node;

    store->disk = path ? devices_disk_of_path(machine->devices, path) : NULL;
    if (!store->disk || !partition)
        return;
    uint32_t block = store->disk->geometry.logical_block;
    if (__builtin_mul_overflow(partition->PartitionStart, block, &store->disk_offset) ||
        __builtin_mul_overflow(partition->PartitionSize, block, &store->disk_length))
        store->disk_offset = store->disk_length = 0;
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
        place_store(machine, &volume, *store);
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
