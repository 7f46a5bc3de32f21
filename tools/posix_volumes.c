/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where images can be kept on Linux: mounted file systems of disks, and the current folder. What the kernel says of them is asked
 * directly; how long a disk that does not answer holds it up is the kernel's affair.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/posix_volumes.h"

#define MOUNTS_MAX 256 /* policy */
#define LINE_MAX_BYTES 4096
#define FAT_FILE_MAX 0xffffffffu

/* A line of the mount table that is a disk's. */
struct mount {
    dev_t device;  /* the block special file */
    bool is_whole; /* the file system's root, no folder of it */
    char place[SESSION_VOLUME_NAME_MAX];
    char type[16];
};

/* --- the mount table --- */

/* Blanks and backslashes in it are written as \040 (proc(5)). */
static void decode_octal(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
            from[3] <= '7') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* proc(5), /proc/pid/mountinfo: ID, parent, device, root, place, options, optional fields, "-", type, source. */
static bool parse_mount(char *line, struct mount *mount)
{
    static const char *const never_written[] = {"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"};
    char root[LINE_MAX_BYTES], place[LINE_MAX_BYTES], type[64], source[LINE_MAX_BYTES];
    char *behind = strstr(line, " - ");
    struct stat status;

    if (!behind || sscanf(line, "%*u %*u %*s %4095s %4095s", root, place) != 2 ||
        sscanf(behind + 3, "%63s %4095s", type, source) != 2)
        return false;
    decode_octal(place);
    decode_octal(source);
    for (size_t i = 0; i < sizeof(never_written) / sizeof(never_written[0]); i++)
        if (strcmp(type, never_written[i]) == 0)
            return false;
    if (source[0] != '/' || stat(source, &status) != 0 || !S_ISBLK(status.st_mode) ||
        strlen(place) >= sizeof(mount->place) || !filesystem_name_is_utf8(place))
        return false;
    mount->device = status.st_rdev;
    mount->is_whole = strcmp(root, "/") == 0;
    snprintf(mount->place, sizeof(mount->place), "%s", place);
    snprintf(mount->type, sizeof(mount->type), "%s", type);
    return stat(place, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A file system that is mounted in several places is shown at the first; its root goes before folders of it. */
static void remember(struct mount *mounts, unsigned *count, const struct mount *mount)
{
    for (unsigned i = 0; i < *count; i++) {
        if (mounts[i].device != mount->device)
            continue;
        if (mount->is_whole && !mounts[i].is_whole)
            mounts[i] = *mount;
        return;
    }
    if (*count < MOUNTS_MAX)
        mounts[(*count)++] = *mount;
}

static int read_mounts(const char *table, struct mount *mounts, unsigned *count, struct error *error)
{
    char line[LINE_MAX_BYTES];
    FILE *file = fopen(table, "re");

    *count = 0;
    if (!file)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, table, ERROR_NO_BLOCK,
                         "the system's list of mounted file systems cannot be read");
    while (fgets(line, sizeof(line), file)) {
        struct mount mount;
        if (parse_mount(line, &mount))
            remember(mounts, count, &mount);
    }
    fclose(file);
    return 0;
}

/* --- what a volume is --- */

/* udev writes other characters than letters and digits as \x20. */
static void decode_hexadecimal(const char *from, char *to, size_t size)
{
    size_t used = 0;
    unsigned byte;

    while (*from && used + 1 < size) {
        if (from[0] == '\\' && from[1] == 'x' && sscanf(from + 2, "%2x", &byte) == 1) {
            to[used++] = (char)byte;
            from += 4;
        } else {
            to[used++] = *from++;
        }
    }
    to[used] = 0;
}

/* The name that a folder of udev's gives to the device. */
static void find_link(const char *folder, dev_t device, char *text, size_t size)
{
    DIR *links = opendir(folder);
    struct stat status;

    for (struct dirent *entry; links && !text[0] && (entry = readdir(links));)
        if (fstatat(dirfd(links), entry->d_name, &status, 0) == 0 && S_ISBLK(status.st_mode) &&
            status.st_rdev == device)
            decode_hexadecimal(entry->d_name, text, size);
    if (links)
        closedir(links);
    if (!filesystem_name_is_utf8(text))
        text[0] = 0;
}

static void describe_device(dev_t device, struct session_volume *volume)
{
    struct stat status = {.st_mode = S_IFBLK, .st_rdev = device}, disk;
    struct block_device described;

    find_link("/dev/disk/by-label", device, volume->label, sizeof(volume->label));
    find_link("/dev/disk/by-uuid", device, volume->uuid, sizeof(volume->uuid));
    volume->partition = posix_disk_of_partition(&status, &disk);
    memset(&described, 0, sizeof(described));
    posix_disk_describe(&described, &disk);
    snprintf(volume->disk, sizeof(volume->disk), "%s", described.name);
}

static void cannot_write(struct session_volume *volume, const char *why)
{
    volume->can_write = false;
    snprintf(volume->why, sizeof(volume->why), "%s", why);
}

/* false: it does not answer. */
static bool describe_place(const char *place, struct session_volume *volume)
{
    struct statvfs room;

    if (statvfs(place, &room) != 0)
        return false;
    snprintf(volume->name, sizeof(volume->name), "%s", place);
    volume->bytes = (uint64_t)room.f_blocks * room.f_frsize;
    volume->free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    volume->max_file_bytes = UINT64_MAX;
    if (strcmp(volume->type, "vfat") == 0 || strcmp(volume->type, "msdos") == 0)
        volume->max_file_bytes = FAT_FILE_MAX;
    volume->can_read = volume->can_write = true;
    volume->is_system = strncmp(place, "/boot", 5) == 0 && (!place[5] || place[5] == '/');
    if (room.f_flag & ST_RDONLY)
        cannot_write(volume, "it is mounted read-only");
    else if (access(place, W_OK) != 0)
        cannot_write(volume, "you have no right to write there");
    if (access(place, R_OK | X_OK) == 0)
        return true;
    volume->can_read = false;
    cannot_write(volume, "you have no right to look into it");
    return true;
}

/* The current folder, on whichever mount it is. */
static bool find_current(const struct mount *mounts, unsigned count, struct session_volume *volume)
{
    struct stat here, there;

    memset(volume, 0, sizeof(*volume));
    if (stat(".", &here) != 0)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (stat(mounts[i].place, &there) != 0 || there.st_dev != here.st_dev)
            continue;
        snprintf(volume->type, sizeof(volume->type), "%s", mounts[i].type);
        describe_device(mounts[i].device, volume);
        break;
    }
    return describe_place(".", volume);
}

int posix_volumes_list(struct platform *platform, const char *table, session_volume_found *found, void *context,
                       struct error *error)
{
    struct mount *mounts = platform_allocate(platform, MOUNTS_MAX * sizeof(*mounts));
    struct session_volume volume;
    unsigned count;

    if (!mounts)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, table, ERROR_NO_BLOCK, "no memory");
    int status = read_mounts(table, mounts, &count, error);
    bool more = status == 0 && (!find_current(mounts, count, &volume) || found(context, &volume));
    for (unsigned i = 0; more && i < count; i++) {
        memset(&volume, 0, sizeof(volume));
        snprintf(volume.type, sizeof(volume.type), "%s", mounts[i].type);
        describe_device(mounts[i].device, &volume);
        if (describe_place(mounts[i].place, &volume))
            more = found(context, &volume);
        else
            platform_log(platform, LOG_WARNING, "%s: %s", mounts[i].place, strerror(errno));
    }
    platform_release(platform, mounts);
    return status;
}

/* --- files --- */

static bool describe_entry(DIR *folder, const char *name, struct filesystem_file *file)
{
    struct stat status;

    if (!filesystem_name_is_text(name) || strlen(name) >= sizeof(file->name) ||
        fstatat(dirfd(folder), name, &status, 0) != 0 || !(S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)))
        return false;
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->is_folder = S_ISDIR(status.st_mode);
    file->bytes = file->is_folder ? 0 : (uint64_t)status.st_size;
    file->modified = status.st_mtime >= 0 ? status.st_mtime : -1;
    return true;
}

static int open_error(const char *path, struct error *error)
{
    enum error_code code = errno == ENOENT || errno == ENOTDIR ? ERROR_NOT_FOUND : posix_error_code(errno);

    return error_set(error, code, OPERATION_OPEN, path, ERROR_NO_BLOCK, "%s",
                     code == ERROR_NOT_FOUND ? "no such folder" : strerror(errno));
}

int posix_files_list(const char *path, filesystem_found *found, void *context, struct error *error)
{
    DIR *folder = opendir(path);
    struct filesystem_file file;
    unsigned given = 0;
    int status = 0;

    if (!folder)
        return open_error(path, error);
    errno = 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(folder)); errno = 0) {
        if (!describe_entry(folder, entry->d_name, &file))
            continue;
        if (given == FILESYSTEM_FILES_MAX)
            status = 1;
        else if (given++, !found(context, &file))
            break;
    }
    if (errno)
        status = open_error(path, error);
    closedir(folder);
    return status;
}
