/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "tools/posix.h"

void posix_attribute(const char *folder, const char *name, char *text, size_t size)
{
    char path[PATH_MAX], raw[128] = "";
    size_t length = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (file) {
        length = fread(raw, 1, sizeof(raw) - 1, file);
        fclose(file);
    }
    block_text(text, size, raw, length, false);
}

/* The unit serial number page of SCSI (SPC-5, 7.8.16): four bytes, then the text. */
static void read_scsi_serial(const char *folder, char *text, size_t size)
{
    char path[PATH_MAX];
    uint8_t page[64] = {0};

    text[0] = 0;
    snprintf(path, sizeof(path), "%s/device/vpd_pg80", folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    size_t got = fread(page, 1, sizeof(page), file);
    fclose(file);
    if (got > 4)
        block_text(text, size, page + 4, page[3] < got - 4 ? page[3] : got - 4, false);
}

static const char *bus_of(struct block_device *device, const char *real_path)
{
    if (strstr(real_path, "/nvme")) {
        device->bus = BUS_NVME;
        return "nvme";
    }
    if (strstr(real_path, "/usb")) {
        device->bus = BUS_USB;
        return "usb";
    }
    if (strstr(real_path, "/ata")) {
        device->bus = BUS_SATA;
        return "sata";
    }
    device->bus = BUS_OTHER;
    if (strstr(real_path, "/virtio"))
        return "virtio";
    if (strstr(real_path, "/mmc"))
        return "mmc";
    /* SAS and RAID controllers, disks of virtual machines; not what hangs on a network or a cable: iSCSI, Fibre Channel, FireWire. */
    bool is_remote = strstr(real_path, "/session") || strstr(real_path, "/rport-") || strstr(real_path, "/fw");
    bool is_scsi = strstr(real_path, "/host") && (strstr(real_path, "/pci") || strstr(real_path, "/vmbus"));
    return is_scsi && !is_remote ? "scsi" : "disk";
}

void posix_disk_describe(struct block_device *device, const struct stat *status)
{
    char folder[64], real_path[PATH_MAX], text[16];

    device->bus = BUS_OTHER;
    snprintf(folder, sizeof(folder), "/sys/dev/block/%u:%u", major(status->st_rdev), minor(status->st_rdev));
    if (!realpath(folder, real_path))
        return;
    posix_attribute(real_path, "partition", text, sizeof(text));
    bool is_partition = text[0] != 0;
    if (is_partition) {
        char *slash = strrchr(real_path, '/');
        if (slash)
            *slash = 0;
    }
    const char *bus = bus_of(device, real_path);
    posix_attribute(real_path, "device/model", device->model, sizeof(device->model));
    posix_attribute(real_path, "device/serial", device->serial, sizeof(device->serial));
    if (!device->serial[0])
        posix_attribute(real_path, "serial", device->serial, sizeof(device->serial));
    if (!device->serial[0])
        read_scsi_serial(real_path, device->serial, sizeof(device->serial));
    posix_attribute(real_path, "device/firmware_rev", device->firmware, sizeof(device->firmware));
    posix_attribute(real_path, "queue/rotational", text, sizeof(text));
    device->rotational = text[0] == '1';
    posix_attribute(real_path, "removable", text, sizeof(text));
    device->removable = text[0] == '1';
    /* The kernel calls no card removable. An eMMC says "MMC". */
    posix_attribute(real_path, "device/type", text, sizeof(text));
    if (strcmp(bus, "mmc") == 0 && strcmp(text, "MMC") != 0)
        device->removable = true;
    if (is_partition)
        return;
    if (!device->serial[0]) { /* "scsi:sda", the kernel's name: as stable as that is */
        const char *slash = strrchr(real_path, '/');
        snprintf(device->name, sizeof(device->name), "%s:%.60s", bus, slash ? slash + 1 : real_path);
        return;
    }
    char serial[BLOCK_TEXT_MAX];
    snprintf(serial, sizeof(serial), "%s", device->serial);
    block_name_text(serial);
    snprintf(device->name, sizeof(device->name), "%s:%s", bus, serial);
}

unsigned posix_disk_of_partition(const struct stat *status, struct stat *disk)
{
    char folder[64], real_path[PATH_MAX], text[32];
    unsigned partition, major_number, minor_number;

    *disk = *status;
    snprintf(folder, sizeof(folder), "/sys/dev/block/%u:%u", major(status->st_rdev), minor(status->st_rdev));
    if (!realpath(folder, real_path))
        return 0;
    posix_attribute(real_path, "partition", text, sizeof(text));
    partition = (unsigned)atoi(text);
    if (!partition)
        return 0;
    *strrchr(real_path, '/') = 0;
    posix_attribute(real_path, "dev", text, sizeof(text));
    if (sscanf(text, "%u:%u", &major_number, &minor_number) == 2)
        disk->st_rdev = makedev(major_number, minor_number);
    return partition;
}

static bool is_disk(const char *name)
{
    static const char *const not_disks[] = {"ram", "zram", "dm-", "sr", "fd", "nbd", "loop"};
    char folder[PATH_MAX], text[32];

    if (name[0] == '.')
        return false;
    for (size_t i = 0; i < sizeof(not_disks) / sizeof(not_disks[0]); i++)
        if (strncmp(name, not_disks[i], strlen(not_disks[i])) == 0)
            return false;
    snprintf(folder, sizeof(folder), "/sys/block/%s", name);
    posix_attribute(folder, "size", text, sizeof(text));
    return text[0] && strcmp(text, "0") != 0;
}

static bool is_known(const struct block_registry *registry, const struct stat *status)
{
    for (const struct block_device *device = registry->first; device; device = device->registry_next)
        if (posix_block_is(device, status))
            return true;
    return false;
}

int posix_disks_find(struct loop *loop, struct block_registry *registry, struct error *error)
{
    struct dirent **entries = NULL;
    int count = scandir("/sys/block", &entries, NULL, alphasort);

    if (count < 0)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, "/sys/block", ERROR_NO_BLOCK,
                         "the system's list of disks cannot be read");
    registry->unknown = 0;
    for (int i = 0; i < count; i++) {
        struct block_device *device;
        struct error problem = {0};
        struct stat status;
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "/dev/%s", entries[i]->d_name);
        for (char *bang = path; (bang = strchr(bang, '!'));)
            *bang = '/'; /* how sysfs writes a slash */
        bool wanted = is_disk(entries[i]->d_name) && stat(path, &status) == 0 && S_ISBLK(status.st_mode) &&
                      !is_known(registry, &status);
        free(entries[i]);
        if (!wanted)
            continue;
        if (posix_block_open(loop, path, false, &device, &problem) == 0) {
            block_registry_add(registry, device);
            continue;
        }
        registry->unknown++;
        platform_log(loop->platform, LOG_WARNING, "%s cannot be opened: %s", path, problem.detail);
    }
    free(entries);
    return 0;
}

/* The mount point of a device number in /proc/self/mountinfo (proc(5): the third field is major:minor, the fifth the place). */
static bool mounted_at(unsigned major_number, unsigned minor_number, char *where, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "r");
    char line[4096], place[1024];
    unsigned line_major, line_minor;
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file))
        if (sscanf(line, "%*u %*u %u:%u %*s %1023s", &line_major, &line_minor, place) == 3 &&
            line_major == major_number && line_minor == minor_number) {
            snprintf(where, size, "%s", place);
            found = true;
        }
    if (file)
        fclose(file);
    return found;
}

/* A btrfs, of one disk or several, is mounted under a device number of its own; the kernel names its disks elsewhere. */
static bool is_of_btrfs(const char *device_name, char *where, size_t size)
{
    static const char mounted[] = "/sys/fs/btrfs";
    char path[PATH_MAX];
    struct stat status;
    bool found = false;

    DIR *volumes = opendir(mounted);
    for (struct dirent *entry; volumes && !found && (entry = readdir(volumes));) {
        snprintf(path, sizeof(path), "%s/%s/devices/%s", mounted, entry->d_name, device_name);
        found = entry->d_name[0] != '.' && stat(path, &status) == 0;
        if (found)
            snprintf(where, size, "btrfs %s", entry->d_name);
    }
    if (volumes)
        closedir(volumes);
    return found;
}

static bool is_swap(const char *device_name, char *where, size_t size)
{
    FILE *file = fopen("/proc/swaps", "r");
    char line[1024], path[512];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file))
        if (sscanf(line, "%511s", path) == 1 && strncmp(path, "/dev/", 5) == 0 && strcmp(path + 5, device_name) == 0) {
            snprintf(where, size, "swap");
            found = true;
        }
    if (file)
        fclose(file);
    return found;
}

/* Others that build on the device: device mapper, md, bcache. */
static bool is_held(const char *folder, char *where, size_t size)
{
    char path[PATH_MAX];
    bool found = false;

    snprintf(path, sizeof(path), "%s/holders", folder);
    DIR *holders = opendir(path);
    for (struct dirent *entry; holders && !found && (entry = readdir(holders));)
        if (entry->d_name[0] != '.') {
            snprintf(where, size, "%.200s", entry->d_name);
            found = true;
        }
    if (holders)
        closedir(holders);
    return found;
}

static bool folder_in_use(const char *folder, char *where, size_t size)
{
    char numbers[32];
    unsigned major_number, minor_number;
    const char *name = strrchr(folder, '/');

    posix_attribute(folder, "dev", numbers, sizeof(numbers));
    if (sscanf(numbers, "%u:%u", &major_number, &minor_number) != 2)
        return false;
    name = name ? name + 1 : folder;
    return mounted_at(major_number, minor_number, where, size) || is_of_btrfs(name, where, size) ||
           is_swap(name, where, size) || is_held(folder, where, size);
}

static bool block_in_use(const char *folder, unsigned partition, char *where, size_t size)
{
    char real_path[PATH_MAX], path[PATH_MAX], text[16];
    bool found = false;

    if (!realpath(folder, real_path))
        return false;
    if (!partition && folder_in_use(real_path, where, size))
        return true;
    DIR *children = opendir(real_path);
    for (struct dirent *entry; children && !found && (entry = readdir(children));) {
        if (snprintf(path, sizeof(path), "%s/%s", real_path, entry->d_name) >= (int)sizeof(path))
            continue;
        posix_attribute(path, "partition", text, sizeof(text));
        if (entry->d_name[0] != '.' && text[0] && (!partition || partition == (unsigned)atoi(text)))
            found = folder_in_use(path, where, size);
    }
    if (children)
        closedir(children);
    return found;
}

/* The same for one device node of sysfs, if it holds any of these bytes. */
static bool node_in_use(const char *folder, const struct posix_place *ours, char *where, size_t size)
{
    char numbers[32];
    unsigned major_number, minor_number;
    struct posix_place theirs;

    posix_attribute(folder, "dev", numbers, sizeof(numbers));
    if (sscanf(numbers, "%u:%u", &major_number, &minor_number) != 2)
        return false;
    struct stat status = {.st_mode = S_IFBLK, .st_rdev = makedev(major_number, minor_number)};
    posix_place_of(&status, &theirs);
    return posix_places_overlap(ours, &theirs) && folder_in_use(folder, where, size);
}

/* A disk or file may be a disk again through a loop device, under whatever name. */
static bool loop_in_use(const struct posix_place *ours, const char *loop, unsigned partition, char *where, size_t size)
{
    char folder[PATH_MAX], child[PATH_MAX], text[16];
    bool found;

    snprintf(folder, sizeof(folder), "/sys/block/%s", loop);
    found = !partition && node_in_use(folder, ours, where, size);
    DIR *children = opendir(folder);
    for (struct dirent *entry; children && !found && (entry = readdir(children));) {
        if (snprintf(child, sizeof(child), "%s/%s", folder, entry->d_name) >= (int)sizeof(child))
            continue;
        posix_attribute(child, "partition", text, sizeof(text));
        if (entry->d_name[0] != '.' && text[0] && (!partition || partition == (unsigned)atoi(text)))
            found = node_in_use(child, ours, where, size);
    }
    if (children)
        closedir(children);
    return found;
}

static bool any_loop_in_use(const struct stat *status, unsigned partition, char *where, size_t size)
{
    DIR *blocks = opendir("/sys/block");
    struct posix_place place;
    bool found = false;

    posix_place_of(status, &place);
    for (struct dirent *entry; blocks && !found && (entry = readdir(blocks));)
        found = strncmp(entry->d_name, "loop", 4) == 0 && loop_in_use(&place, entry->d_name, partition, where, size);
    if (blocks)
        closedir(blocks);
    return found;
}

bool posix_disk_in_use(const struct stat *status, unsigned partition, char *where, size_t size)
{
    char folder[64];

    snprintf(folder, sizeof(folder), "/sys/dev/block/%u:%u", major(status->st_rdev), minor(status->st_rdev));
    return (S_ISBLK(status->st_mode) && block_in_use(folder, partition, where, size)) ||
           any_loop_in_use(status, partition, where, size);
}
