/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files on NTFS volumes.
 *
 * libntfs-3g writes metadata in place and does not log it: the volume's dirty flag is set on disk before the first change and cleared at
 * the end, so that Windows checks the volume after a power cut. Volumes that Windows has not let go of are refused.
 */
#include "fs/ntfs.h"

#include "core/library.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct ntfs_store_volume {
    struct volume_io *io;
    struct ntfs_volume_device device;
    ntfs_volume *volume;
    bool changed; /* our dirty flag is on the disk */
    bool failed;  /* and stays there */
};

struct ntfs_file {
    ntfs_inode *inode;
    ntfs_attr *data;
    bool writing;
};

/* The library's failure as ours: the disk's own error if it was the disk. */
static int store_error(struct ntfs_store_volume *volume, enum error_operation operation, const char *what,
                       struct error *error)
{
    const char *name = volume->io->device->name;
    int code = errno;

    if (volume->io->error.code != ERROR_NONE) {
        struct error own = volume->io->error;

        if (error)
            *error = own;
        if (!volume->io->failed)
            volume->io->error.code = ERROR_NONE;
        return -(int)own.code;
    }
    switch (code) {
    case ENOMEM:
        return error_set(error, ERROR_NO_MEMORY, operation, name, ERROR_NO_BLOCK, "%s", what);
    case ENOSPC:
        return error_set(error, ERROR_NO_SPACE, operation, name, ERROR_NO_BLOCK, "%s", what);
    case ENOENT:
    case ENOTDIR:
        return error_set(error, ERROR_NOT_FOUND, operation, name, ERROR_NO_BLOCK, "%s", what);
    case EEXIST:
        return error_set(error, ERROR_EXISTS, operation, name, ERROR_NO_BLOCK, "%s", what);
    default:
        return error_set(error, ERROR_CORRUPT, operation, name, ERROR_NO_BLOCK, "%s (libntfs-3g %d)", what, code);
    }
}

static int refuse(struct ntfs_store_volume *volume, const char *why, struct error *error)
{
    return error_set(error, ERROR_REFUSED, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", why);
}

/* --- mount --- */

static int check_state(struct ntfs_store_volume *volume, ntfs_volume *mounted, struct error *error)
{
    struct ntfs_state state;

    ntfs_examine_state(mounted, &state);
    if (ntfs_version_is_supported(mounted) != 0)
        return refuse(volume, "its NTFS version is unknown", error);
    if (state.hibernated)
        return refuse(volume, "Windows sleeps on it (hibernation or Fast Startup); shut Windows down fully first",
                      error);
    if (state.dirty)
        return refuse(volume, "it is marked dirty; let Windows check it (chkdsk) first", error);
    if (state.log_open)
        return refuse(volume, "Windows did not close it; start Windows and shut it down fully first", error);
    return 0;
}

/* Looks at the volume through a read-only mount: the library's writable one may already change something. */
static int check_writable(struct ntfs_store_volume *volume, struct error *error)
{
    ntfs_volume *mounted = ntfs_mount_device(&volume->device, NTFS_MNT_RDONLY);
    int status;

    if (!mounted)
        return store_error(volume, OPERATION_OPEN, "the volume's metadata", error);
    status = check_state(volume, mounted, error);
    ntfs_umount(mounted, FALSE);
    return status;
}

/* The library counts as far as an attribute says that it goes; one with a hole at its end could go on for years. */
static int count_free(ntfs_volume *mounted)
{
    const int64_t slack = 64 * 1024;
    int64_t bytes = mounted->nr_clusters / 8 + slack;

    if (mounted->lcnbmp_na->data_size > bytes || mounted->mftbmp_na->data_size > bytes) {
        errno = EIO;
        return -1;
    }
    return ntfs_volume_get_free_space(mounted);
}

static int store_mount(void *context, struct volume_io *io, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    int status;

    volume->io = io;
    volume->device.io = io;
    status = io->writable ? check_writable(volume, error) : 0;
    if (status < 0)
        return status;
    volume->volume = ntfs_mount_device(&volume->device, io->writable ? NTFS_MNT_NONE : NTFS_MNT_RDONLY);
    if (!volume->volume)
        return store_error(volume, OPERATION_OPEN, "the volume's metadata", error);
    NVolClearCompression(volume->volume);
    if (ntfs_set_ignore_case(volume->volume) < 0 || (io->writable && count_free(volume->volume) < 0))
        return store_error(volume, OPERATION_OPEN, "the volume's metadata", error);
    return 0;
}

/* What the library keeps of the volume's own files, and the disk's cache. */
static int sync_volume(struct ntfs_store_volume *volume, struct error *error)
{
    ntfs_volume *own = volume->volume;

    if (ntfs_inode_sync(own->lcnbmp_ni) < 0 || ntfs_inode_sync(own->mft_ni) < 0 ||
        ntfs_inode_sync(own->mftmirr_ni) < 0 || ntfs_device_sync(own->dev) < 0) {
        volume->failed = true;
        return store_error(volume, OPERATION_FLUSH, "metadata", error);
    }
    return 0;
}

static int begin_change(struct ntfs_store_volume *volume, struct error *error)
{
    if (volume->changed)
        return 0;
    if (ntfs_volume_write_flags(volume->volume, volume->volume->flags | VOLUME_IS_DIRTY) < 0)
        return store_error(volume, OPERATION_WRITE, "$Volume", error);
    volume->changed = true;
    return sync_volume(volume, error);
}

static int end_change(struct ntfs_store_volume *volume, struct error *error)
{
    int status = sync_volume(volume, error);

    if (status < 0 || volume->failed || !volume->changed)
        return status;
    if (ntfs_volume_write_flags(volume->volume, volume->volume->flags & const_cpu_to_le16(0xfffe)) < 0)
        return store_error(volume, OPERATION_WRITE, "$Volume", error);
    volume->changed = false;
    return sync_volume(volume, error);
}

static int store_unmount(void *context, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    int status = volume->io->writable ? end_change(volume, error) : 0;

    if (ntfs_umount(volume->volume, FALSE) < 0 && status == 0)
        status = store_error(volume, OPERATION_FLUSH, "unmount", error);
    volume->volume = NULL;
    return status;
}

static uint64_t store_free_space(void *context)
{
    struct ntfs_store_volume *volume = context;
    int64_t clusters = volume->volume->free_clusters;

    if (!NVolFreeSpaceKnown(volume->volume))
        return UINT64_MAX;
    return clusters > 0 ? (uint64_t)clusters * volume->volume->cluster_size : 0;
}

static uint64_t store_max_file_bytes(void *context)
{
    (void)context;
    return INT64_MAX;
}

/* --- names --- */

static ntfs_inode *open_directory(struct ntfs_store_volume *volume, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    ntfs_inode *inode;
    char parent[512];

    *name = slash ? slash + 1 : path;
    if (slash) {
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
        inode = ntfs_pathname_to_inode(volume->volume, NULL, parent);
    } else {
        inode = ntfs_inode_open(volume->volume, FILE_root);
    }
    if (inode && !(inode->mrec->flags & MFT_RECORD_IS_DIRECTORY)) {
        ntfs_inode_close(inode);
        inode = NULL;
        errno = ENOTDIR;
    }
    return inode;
}

static int close_file(struct ntfs_file *file)
{
    int status = 0;

    if (file->data)
        ntfs_attr_close(file->data);
    if (file->inode)
        status = ntfs_inode_close(file->inode);
    file->data = NULL;
    file->inode = NULL;
    return status;
}

static int open_data(struct ntfs_store_volume *volume, struct ntfs_file *file, struct error *error)
{
    if (file->inode->mrec->flags & MFT_RECORD_IS_DIRECTORY) {
        close_file(file);
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK,
                         "a folder");
    }
    file->data = ntfs_attr_open(file->inode, AT_DATA, AT_UNNAMED, 0);
    if (!file->data || (file->data->data_flags & ATTR_IS_ENCRYPTED)) {
        int status = file->data ? error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, volume->io->device->name,
                                            ERROR_NO_BLOCK, "the file is encrypted")
                                : store_error(volume, OPERATION_OPEN, "data of the file", error);

        close_file(file);
        return status;
    }
    return 0;
}

/* A name in the library's terms; -ERROR_USAGE when NTFS has none such. Free it with library_free(), whatever happened. */
static int convert_name(struct ntfs_store_volume *volume, const char *name, ntfschar **unicode, int *length,
                        struct error *error)
{
    *unicode = NULL;
    *length = ntfs_mbstoucs(name, unicode);
    if (*length <= 0 || *length > 255 || ntfs_forbidden_names(volume->volume, *unicode, *length, TRUE))
        return error_set(error, ERROR_USAGE, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK,
                         "a name that NTFS forbids");
    return 0;
}

/* The folder `path`, whose own folder is there. */
static int make_folder(struct ntfs_store_volume *volume, const char *path, struct error *error)
{
    const char *name;
    ntfs_inode *parent = open_directory(volume, path, &name), *folder = NULL;
    ntfschar *unicode;
    int length, status;

    if (!parent)
        return store_error(volume, OPERATION_OPEN, "the folder of the image", error);
    status = convert_name(volume, name, &unicode, &length, error);
    if (status == 0)
        status = begin_change(volume, error);
    if (status == 0) {
        folder = ntfs_create(parent, const_cpu_to_le32(0), unicode, (u8)length, S_IFDIR);
        if (!folder) {
            volume->failed = errno != ENOSPC;
            status = store_error(volume, OPERATION_OPEN, "new folder", error);
        }
    }
    library_free(unicode);
    if (((folder && ntfs_inode_close(folder) < 0) | (ntfs_inode_close(parent) < 0)) && status == 0) {
        volume->failed = true;
        status = store_error(volume, OPERATION_WRITE, "new folder", error);
    }
    return status;
}

/* The folders on the way to a file, made where they are missing. What is in the way of one is found by who looks for the file. */
static int make_folders(struct ntfs_store_volume *volume, const char *path, struct error *error)
{
    char part[512];
    int status = 0;

    for (size_t length = strcspn(path, "/"); status == 0 && path[length] && length < sizeof part;
         length += 1 + strcspn(path + length + 1, "/")) {
        ntfs_inode *inode;

        snprintf(part, sizeof part, "%.*s", (int)length, path);
        inode = ntfs_pathname_to_inode(volume->volume, NULL, part);
        if (inode)
            ntfs_inode_close(inode);
        else if (errno == ENOENT)
            status = make_folder(volume, part, error);
        else
            break;
    }
    return status;
}

static int create(struct ntfs_store_volume *volume, struct ntfs_file *file, const char *path, struct error *error)
{
    int length, status = make_folders(volume, path, error);
    ntfs_inode *directory;
    ntfschar *unicode;
    const char *name;

    if (status < 0)
        return status;
    directory = open_directory(volume, path, &name);
    if (!directory)
        return store_error(volume, OPERATION_OPEN, "the folder of the image", error);
    status = convert_name(volume, name, &unicode, &length, error);
    if (status == 0 && ntfs_inode_lookup_by_name(directory, unicode, length) != (u64)-1)
        status = error_set(error, ERROR_EXISTS, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", name);
    if (status == 0)
        status = begin_change(volume, error);
    if (status == 0) {
        file->inode = ntfs_create(directory, const_cpu_to_le32(0), unicode, (u8)length, S_IFREG);
        if (!file->inode) {
            volume->failed = errno != ENOSPC;
            status = store_error(volume, OPERATION_OPEN, "new file", error);
        }
    }
    library_free(unicode);
    /* Before anything else opens it: the library must not have one inode open twice. */
    if (ntfs_inode_close(directory) < 0 && status == 0) {
        volume->failed = true;
        status = store_error(volume, OPERATION_WRITE, "the folder of the image", error);
        close_file(file);
    }
    file->writing = status == 0;
    return status;
}

static int store_open(void *context, void *file_context, const char *path, bool write, uint64_t *size,
                      struct error *error)
{
    struct ntfs_store_volume *volume = context;
    struct ntfs_file *file = file_context;
    int status = 0;

    if (write) {
        status = create(volume, file, path, error);
    } else {
        file->inode = ntfs_pathname_to_inode(volume->volume, NULL, path);
        if (!file->inode)
            status = store_error(volume, OPERATION_OPEN, "no such file", error);
    }
    if (status == 0)
        status = open_data(volume, file, error);
    if (status == 0)
        *size = (uint64_t)file->data->data_size;
    return status;
}

static int store_reopen(void *context, void *file_context, const char *path, uint64_t length, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    struct ntfs_file *file = file_context;
    uint64_t size;
    int status = store_open(volume, file, path, false, &size, error);

    if (status < 0)
        return status;
    if (length > size)
        status =
            error_set(error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", path);
    else if (file->data->data_flags & (ATTR_COMPRESSION_MASK | ATTR_IS_SPARSE))
        status = refuse(volume, "the file is compressed or sparse", error);
    else
        status = begin_change(volume, error);
    if (status == 0 && length < size && ntfs_attr_truncate(file->data, (s64)length) < 0) {
        volume->failed = true;
        status = store_error(volume, OPERATION_WRITE, "end of the file", error);
    }
    if (status < 0)
        close_file(file);
    file->writing = status == 0;
    return status;
}

/* --- reading and writing --- */

static int store_read(void *context, void *file_context, uint64_t offset, void *data, size_t size, size_t *transferred,
                      struct error *error)
{
    struct ntfs_store_volume *volume = context;
    struct ntfs_file *file = file_context;
    uint64_t end = (uint64_t)file->data->data_size;
    uint8_t *bytes = data;

    *transferred = 0;
    if (offset >= end)
        return 0;
    if (size > end - offset)
        size = (size_t)(end - offset);
    while (*transferred < size) {
        s64 done =
            ntfs_attr_pread(file->data, (s64)(offset + *transferred), (s64)(size - *transferred), bytes + *transferred);

        if (done <= 0) {
            if (done == 0)
                errno = EIO;
            return store_error(volume, OPERATION_READ, "data of the file", error);
        }
        *transferred += (size_t)done;
    }
    return 0;
}

static int store_write(void *context, void *file_context, uint64_t offset, const void *data, size_t size,
                       struct error *error)
{
    struct ntfs_store_volume *volume = context;
    struct ntfs_file *file = file_context;
    const uint8_t *bytes = data;

    if (offset > (uint64_t)file->data->data_size)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_WRITE, volume->io->device->name, ERROR_NO_BLOCK,
                         "a gap in the file");
    if (size > INT64_MAX - offset)
        return error_set(error, ERROR_NO_SPACE, OPERATION_WRITE, volume->io->device->name, ERROR_NO_BLOCK, "too big");
    while (size) {
        s64 done = ntfs_attr_pwrite(file->data, (s64)offset, (s64)size, bytes);

        if (done <= 0) {
            if (done == 0)
                errno = EIO;
            volume->failed = volume->failed || errno != ENOSPC;
            return store_error(volume, OPERATION_WRITE, "data of the file", error);
        }
        offset += (uint64_t)done;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

static int store_flush(void *context, void *file_context, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    struct ntfs_file *file = file_context;

    if (!file->writing)
        return 0;
    if (ntfs_inode_sync(file->inode) < 0) {
        volume->failed = true;
        return store_error(volume, OPERATION_FLUSH, "metadata of the file", error);
    }
    return sync_volume(volume, error);
}

static int store_close(void *context, void *file_context, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    struct ntfs_file *file = file_context;
    bool writing = file->writing;

    if (close_file(file) < 0) {
        volume->failed = true;
        return store_error(volume, OPERATION_FLUSH, "metadata of the file", error);
    }
    return writing ? sync_volume(volume, error) : 0;
}

static int store_remove(void *context, const char *path, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    ntfs_inode *inode = ntfs_pathname_to_inode(volume->volume, NULL, path), *directory;
    ntfschar *unicode = NULL;
    const char *name;
    int length, status;

    if (!inode)
        return store_error(volume, OPERATION_OPEN, "no such file", error);
    directory = open_directory(volume, path, &name);
    status = directory ? begin_change(volume, error) : store_error(volume, OPERATION_OPEN, "folder", error);
    length = ntfs_mbstoucs(name, &unicode);
    if (status < 0 || length <= 0) {
        if (directory)
            ntfs_inode_close(directory);
        ntfs_inode_close(inode);
        library_free(unicode);
        return status < 0 ? status : store_error(volume, OPERATION_OPEN, "name", error);
    }
    /* Closes both inodes, whatever happens. */
    if (ntfs_delete(volume->volume, path, inode, directory, unicode, (u8)length) < 0) {
        volume->failed = true;
        status = store_error(volume, OPERATION_WRITE, "removal", error);
    }
    library_free(unicode);
    return status < 0 ? status : sync_volume(volume, error);
}

/* --- looking --- */

static int check_space(void *context, struct error *error)
{
    struct ntfs_store_volume *volume = context;

    if (count_free(volume->volume) < 0)
        return store_error(volume, OPERATION_READ, "$Bitmap", error);
    return check_state(volume, volume->volume, error);
}

/* What ntfs_readdir() finds. Until the inodes are read, `bytes` of a file is its reference. */
static int list_entry(void *context, const ntfschar *name, const int length, const int name_type, const s64 position,
                      const MFT_REF reference, const unsigned type)
{
    struct volume_list *list = context;
    char text[FILESYSTEM_NAME_MAX], *to = text;
    struct filesystem_file *file;

    (void)position;
    (void)type;
    if (!volume_list_seen(list))
        return -1;
    /* The short second name of a file, the volume's own files, and what is no UTF-16. */
    if (name_type == FILE_NAME_DOS || MREF(reference) < FILE_first_user ||
        ntfs_ucstombs(name, length, &to, sizeof text) < 0)
        return 0;
    file = volume_list_add(list, text);
    if (file)
        file->bytes = reference;
    return 0;
}

/* false: not to be shown. *failed: the disk does not answer. */
static bool describe(struct ntfs_store_volume *volume, struct filesystem_file *file, bool *failed)
{
    const FILE_ATTR_FLAGS of_windows = FILE_ATTR_HIDDEN | FILE_ATTR_SYSTEM;
    ntfs_inode *inode = ntfs_inode_open(volume->volume, file->bytes);
    ntfs_time epoch_1970 = const_cpu_to_sle64(NTFS_TIME_OFFSET);
    int64_t modified;
    bool shown;

    file->bytes = UINT64_MAX;
    *failed = !inode && volume->io->error.code != ERROR_NONE;
    if (!inode)
        return true; /* damage that is the file's own */
    modified = (sle64_to_cpu(inode->last_data_change_time) - sle64_to_cpu(epoch_1970)) / 10000000;
    file->modified = modified > 0 ? modified : -1;
    file->is_folder = inode->mrec->flags & MFT_RECORD_IS_DIRECTORY;
    file->bytes = file->is_folder ? 0 : (uint64_t)inode->data_size;
    shown = (inode->flags & of_windows) != of_windows && !(inode->flags & FILE_ATTR_REPARSE_POINT);
    ntfs_inode_close(inode);
    return shown;
}

/* Reads the inodes, which must not be open while the library reads the folder: one of them may be the folder. */
static int describe_all(struct ntfs_store_volume *volume, struct volume_list *list, struct error *error)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        bool failed;

        if (describe(volume, &list->files[i], &failed) && kept++ < i)
            list->files[kept - 1] = list->files[i];
        if (failed)
            return store_error(volume, OPERATION_READ, "folder", error);
    }
    list->count = kept;
    return 0;
}

/* The library goes through all of an index, holes included; see count_free(). */
static int check_index(ntfs_inode *folder)
{
    static const struct {
        ATTR_TYPES type;
        int64_t most; /* policy: about two million files */
    } parts[] = {{AT_INDEX_ALLOCATION, 256 << 20}, {AT_BITMAP, 64 << 10}};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        ntfs_attr *part = ntfs_attr_open(folder, parts[i].type, NTFS_INDEX_I30, 4);
        bool fits = !part || (part->data_size >= 0 && part->data_size <= parts[i].most);

        if (part)
            ntfs_attr_close(part);
        if (!fits) {
            errno = EIO;
            return -1;
        }
    }
    return 0;
}

static int list_folder(void *context, const char *path, struct volume_list *list, struct error *error)
{
    struct ntfs_store_volume *volume = context;
    ntfs_inode *folder =
        *path ? ntfs_pathname_to_inode(volume->volume, NULL, path) : ntfs_inode_open(volume->volume, FILE_root);
    s64 position = 0;
    int status;

    if (!folder)
        return store_error(volume, OPERATION_OPEN, "no such folder", error);
    if (!(folder->mrec->flags & MFT_RECORD_IS_DIRECTORY)) {
        ntfs_inode_close(folder);
        errno = ENOTDIR;
        return store_error(volume, OPERATION_OPEN, "no such folder", error);
    }
    /* Otherwise it says all names in lower case. */
    NVolSetCaseSensitive(volume->volume);
    status = check_index(folder);
    if (status == 0)
        status = ntfs_readdir(folder, &position, list, list_entry);
    NVolClearCaseSensitive(volume->volume);
    if (status < 0 && !list->is_cut && !list->is_damaged && !list->no_memory)
        status = store_error(volume, OPERATION_READ, "folder", error);
    else
        status = 0;
    ntfs_inode_close(folder);
    return status < 0 ? status : describe_all(volume, list, error);
}

static const struct volume_file_ops ntfs_files = {
    .name = "ntfs",
    .volume_size = sizeof(struct ntfs_store_volume),
    .file_size = sizeof(struct ntfs_file),
    .mount = store_mount,
    .unmount = store_unmount,
    .free_space = store_free_space,
    .max_file_bytes = store_max_file_bytes,
    .open = store_open,
    .reopen = store_reopen,
    .read = store_read,
    .write = store_write,
    .flush = store_flush,
    .close = store_close,
    .remove = store_remove,
    .check_space = check_space,
    .list = list_folder,
};

int ntfs_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                    struct error *error)
{
    return volume_store_open(volume, &ntfs_files, path, write, store, error);
}

int ntfs_look(struct block_device *volume, struct filesystem_space *space, struct error *error)
{
    return volume_read_space(volume, &ntfs_files, space, error);
}

int ntfs_list_files(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                    struct error *error)
{
    return volume_list_files(volume, &ntfs_files, folder, found, context, error);
}
