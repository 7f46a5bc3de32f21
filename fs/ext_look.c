/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is on an ext volume that is mounted for reading: folders, and whether it could be written to. */
#include "fs/ext.h"

#include <string.h>

int ext_check_space(void *context, struct error *error)
{
    struct ext_volume *volume = context;

    return ext_check_writable(volume, volume->fs->super, error);
}

struct ext_listing {
    struct volume_list *list;
    struct ext_volume *volume;
};

/* Called for every entry, also those in which nothing is: a folder of a million empty blocks must end too. */
static int list_entry(ext2_ino_t directory, int kind, struct ext2_dir_entry *entry, int offset, int block_size,
                      char *block, void *context)
{
    struct ext_listing *listing = context;
    size_t length = (size_t)ext2fs_dirent_name_len(entry);
    char name[EXT2_NAME_LEN + 1];
    struct filesystem_file *file;
    struct ext2_inode inode;

    (void)directory;
    (void)kind;
    (void)offset;
    (void)block_size;
    (void)block;
    if (!volume_list_seen(listing->list))
        return DIRENT_ABORT;
    if (!entry->inode || length > EXT2_NAME_LEN || memchr(entry->name, 0, length))
        return 0;
    memcpy(name, entry->name, length);
    name[length] = 0;
    file = volume_list_add(listing->list, name);
    if (!file)
        return 0;
    if (ext2fs_read_inode(listing->volume->fs, entry->inode, &inode)) {
        /* A damaged inode is its file's affair; a disk that fails is everybody's. */
        return listing->volume->io->error.code == ERROR_NONE ? 0 : DIRENT_ABORT;
    }
    if (LINUX_S_ISDIR(inode.i_mode) || LINUX_S_ISREG(inode.i_mode)) {
        file->is_folder = LINUX_S_ISDIR(inode.i_mode);
        file->bytes = file->is_folder ? 0 : EXT2_I_SIZE(&inode);
        file->modified = inode.i_mtime;
    } else {
        listing->list->count--; /* a link, a pipe, a device */
    }
    return 0;
}

int ext_list(void *context, const char *path, struct volume_list *list, struct error *error)
{
    struct ext_volume *volume = context;
    struct ext_listing listing = {list, volume};
    ext2_ino_t directory = EXT2_ROOT_INO;
    errcode_t status = 0;

    if (*path)
        status = ext2fs_namei_follow(volume->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &directory);
    if (!status)
        status = ext2fs_check_directory(volume->fs, directory);
    if (status == EXT2_ET_NO_DIRECTORY)
        status = EXT2_ET_FILE_NOT_FOUND;
    if (!status)
        status = ext2fs_dir_iterate2(volume->fs, directory, DIRENT_FLAG_INCLUDE_EMPTY, NULL, list_entry, &listing);
    if (!status && volume->io->error.code != ERROR_NONE)
        status = EXT2_ET_SHORT_READ;
    return status ? ext_error(volume, status, OPERATION_READ, "folder", error) : 0;
}
