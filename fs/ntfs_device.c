/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct ntfs_device_operations over our block devices: the seam of libntfs-3g to the disk. */
#include "fs/ntfs.h"

#include "core/library.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct ntfs_volume_device *device_of(struct ntfs_device *device)
{
    return device->d_private;
}

static int64_t size_of(struct ntfs_device *device)
{
    uint64_t bytes = block_device_bytes(device_of(device)->io->device);

    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

static int device_open(struct ntfs_device *device, int flags)
{
    /* The library opens devices by name in one place (ntfs_mount): there is nothing behind a name here. */
    if (!device_of(device)) {
        errno = ENODEV;
        return -1;
    }
    if ((flags & O_RDWR) == O_RDWR && !device_of(device)->io->writable) {
        errno = EROFS;
        return -1;
    }
    if ((flags & O_RDWR) != O_RDWR)
        NDevSetReadOnly(device);
    NDevSetOpen(device);
    NDevSetBlock(device);
    return 0;
}

static int device_sync(struct ntfs_device *device)
{
    if (!NDevReadOnly(device) && NDevDirty(device)) {
        if (volume_io_flush(device_of(device)->io) < 0) {
            errno = EIO;
            return -1;
        }
        NDevClearDirty(device);
    }
    return 0;
}

static int device_close(struct ntfs_device *device)
{
    int status = device_sync(device);

    NDevClearOpen(device);
    return status;
}

static s64 device_seek(struct ntfs_device *device, s64 offset, int whence)
{
    struct ntfs_volume_device *own = device_of(device);
    int64_t base = whence == SEEK_CUR ? own->position : whence == SEEK_END ? size_of(device) : 0, target;

    if (__builtin_add_overflow(base, offset, &target) || target < 0 || target > size_of(device)) {
        errno = EINVAL;
        return -1;
    }
    own->position = target;
    return target;
}

/* Cuts a transfer at the volume's end; negative when it begins outside. */
static s64 clip(struct ntfs_device *device, s64 count, s64 offset)
{
    int64_t size = size_of(device);

    if (offset < 0 || count < 0 || offset > size) {
        errno = EINVAL;
        return -1;
    }
    return count < size - offset ? count : size - offset;
}

/* errno is this fiber's business: others may have set it while this one waited. */
static s64 finish(int status, s64 count, int saved_errno)
{
    errno = status < 0 ? EIO : saved_errno;
    return status < 0 ? -1 : count;
}

static s64 device_pread(struct ntfs_device *device, void *data, s64 count, s64 offset)
{
    s64 length = clip(device, count, offset);
    int saved_errno = errno;

    if (length <= 0)
        return length;
    return finish(volume_io_read(device_of(device)->io, (uint64_t)offset, data, (size_t)length), length, saved_errno);
}

static s64 device_pwrite(struct ntfs_device *device, const void *data, s64 count, s64 offset)
{
    s64 length = clip(device, count, offset);
    int saved_errno = errno;

    if (NDevReadOnly(device)) {
        errno = EROFS;
        return -1;
    }
    if (length <= 0)
        return length;
    NDevSetDirty(device);
    return finish(volume_io_write(device_of(device)->io, (uint64_t)offset, data, (size_t)length), length, saved_errno);
}

static s64 device_read(struct ntfs_device *device, void *data, s64 count)
{
    s64 done = device_pread(device, data, count, device_of(device)->position);

    if (done > 0)
        device_of(device)->position += done;
    return done;
}

static s64 device_write(struct ntfs_device *device, const void *data, s64 count)
{
    s64 done = device_pwrite(device, data, count, device_of(device)->position);

    if (done > 0)
        device_of(device)->position += done;
    return done;
}

static int device_stat(struct ntfs_device *device, struct stat *status)
{
    memset(status, 0, sizeof *status);
    status->st_mode = S_IFBLK;
    status->st_size = size_of(device);
    return 0;
}

/* Every question about geometry has a fallback in the library. */
static int device_ioctl(struct ntfs_device *device, unsigned long request, void *argument)
{
    (void)device;
    (void)request;
    (void)argument;
    errno = ENOTTY;
    return -1;
}

/* The name under which libntfs-3g looks for its default operations; its unix_io.c is not built. */
struct ntfs_device_operations ntfs_device_unix_io_ops = {
    .open = device_open,
    .close = device_close,
    .seek = device_seek,
    .read = device_read,
    .write = device_write,
    .pread = device_pread,
    .pwrite = device_pwrite,
    .sync = device_sync,
    .stat = device_stat,
    .ioctl = device_ioctl,
};

ntfs_volume *ntfs_mount_device(struct ntfs_volume_device *device, ntfs_mount_flags flags)
{
    struct ntfs_device *handle = ntfs_device_alloc("volume", 0, &ntfs_device_unix_io_ops, device);
    ntfs_volume *volume;
    int saved_errno;

    if (!handle)
        return NULL;
    volume = ntfs_device_mount(handle, flags);
    if (!volume) {
        saved_errno = errno;
        ntfs_device_free(handle);
        errno = saved_errno;
    }
    return volume;
}

static bool log_is_closed(ntfs_volume *volume)
{
    RESTART_PAGE_HEADER *page = NULL;
    ntfs_inode *inode = ntfs_inode_open(volume, FILE_LogFile);
    ntfs_attr *data = inode ? ntfs_attr_open(inode, AT_DATA, AT_UNNAMED, 0) : NULL;
    bool closed = false;

    /* A log of version 2.0 is one that Windows keeps open, with metadata in its memory; a clean dismount makes it 1.1. */
    if (data)
        closed = ntfs_check_logfile(data, &page) && ntfs_is_logfile_clean(data, page) &&
                 !(page && page->major_ver == const_cpu_to_sle16(2));
    library_free(page);
    if (data)
        ntfs_attr_close(data);
    if (inode)
        ntfs_inode_close(inode);
    return closed;
}

void ntfs_examine_state(ntfs_volume *volume, struct ntfs_state *state)
{
    /* The library answers EPERM for a sleeping Windows, something else when it cannot tell. */
    bool unknown = ntfs_volume_check_hiberfile(volume, 0) < 0;

    state->hibernated = unknown && errno == EPERM;
    state->dirty = (volume->flags & (VOLUME_IS_DIRTY | VOLUME_RESIZE_LOG_FILE)) != 0;
    state->log_open = (unknown && !state->hibernated) || !log_is_closed(volume);
}
