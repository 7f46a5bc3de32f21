/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the bytes of a file or block special file really are. One and the same block has many names: /dev/sda1 is a part of
 * /dev/sda, a loop device is the file behind it, a file has links.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/posix.h"

/* Partitions of loop devices on partitions ...: nobody goes deeper. */
#define DEPTH_MAX 8

static bool read_line(const char *folder, const char *name, char *text, size_t size)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    bool found = file && fgets(text, (int)size, file);
    if (file)
        fclose(file);
    if (found)
        text[strcspn(text, "\n")] = 0;
    return found;
}

static uint64_t read_number(const char *folder, const char *name)
{
    char text[32];

    return read_line(folder, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* How the kernel puts device numbers into 64 bits. */
static dev_t device_number(uint64_t kernel)
{
    return makedev((unsigned)(kernel >> 8 & 0xfff), (unsigned)((kernel & 0xff) | (kernel >> 12 & 0xfff00)));
}

/* What a loop device shows. The kernel knows the file even when its name is gone or another one here. */
static bool loop_backing(const char *folder, struct stat *backing)
{
    const char *slash = strrchr(folder, '/');
    char path[PATH_MAX];
    struct loop_info64 info;

    snprintf(path, sizeof(path), "/dev/%s", slash ? slash + 1 : folder);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        bool known = ioctl(descriptor, LOOP_GET_STATUS64, &info) == 0;
        close(descriptor);
        if (known) {
            bool is_file = !info.lo_rdevice || info.lo_rdevice == info.lo_device;
            *backing = (struct stat){.st_mode = is_file ? S_IFREG : S_IFBLK,
                                     .st_dev = device_number(info.lo_device),
                                     .st_ino = info.lo_inode,
                                     .st_rdev = device_number(info.lo_rdevice)};
            return true;
        }
    }
    return read_line(folder, "loop/backing_file", path, sizeof(path)) && stat(path, backing) == 0;
}

void posix_place_of(const struct stat *status, struct posix_place *place)
{
    struct stat at = *status;
    uint64_t start = 0;

    place->bytes = S_ISBLK(at.st_mode) ? 0 : (uint64_t)at.st_size;
    for (unsigned depth = 0; depth < DEPTH_MAX && S_ISBLK(at.st_mode); depth++) {
        char link[64], folder[PATH_MAX], text[PATH_MAX];
        unsigned major_number, minor_number;

        snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(at.st_rdev), minor(at.st_rdev));
        if (!realpath(link, folder))
            break;
        if (!depth)
            place->bytes = read_number(folder, "size") * 512;
        if (read_line(folder, "partition", text, sizeof(text))) {
            start += read_number(folder, "start") * 512; /* this and "size": always in these */
            *strrchr(folder, '/') = 0;
            if (!read_line(folder, "dev", text, sizeof(text)) ||
                sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
                break;
            at.st_rdev = makedev(major_number, minor_number);
        } else if (read_line(folder, "loop/backing_file", text, sizeof(text)) && loop_backing(folder, &at)) {
            start += read_number(folder, "loop/offset");
        } else {
            break;
        }
    }
    place->start = start;
    if (S_ISBLK(at.st_mode))
        snprintf(place->name, sizeof(place->name), "device %u:%u", major(at.st_rdev), minor(at.st_rdev));
    else
        snprintf(place->name, sizeof(place->name), "file %u:%u:%llu", major(at.st_dev), minor(at.st_dev),
                 (unsigned long long)at.st_ino);
}

bool posix_places_overlap(const struct posix_place *a, const struct posix_place *b)
{
    return strcmp(a->name, b->name) == 0 && a->start < b->start + b->bytes && b->start < a->start + a->bytes;
}

void posix_place_device(const struct posix_place *place, struct block_device *device)
{
    memset(device, 0, sizeof(*device));
    snprintf(device->name, sizeof(device->name), "%s", place->name);
    device->geometry.logical_block = 512;
    device->geometry.block_count = (place->start + place->bytes + 511) / 512;
}
