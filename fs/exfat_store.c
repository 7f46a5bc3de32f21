/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files on exFAT volumes.
 *
 * exFAT has no journal: the volume's dirty flag is set on the disk before the first change and cleared at the end (section
 * 3.1.13.2), a volume that carries it already is not written to unless an audit finds it sound, and a flush brings the disk to
 * where each step of it leaves a file that is whole up to its size: clusters and their chain first, the entry that names them
 * last. A file's first two entries, which change together, are kept in one sector.
 */
#include "fs/exfat.h"

#include "core/library.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 544
#define ENTRY_SET_MAX 256 /* a primary entry and 255 behind it, section 6.3.1 */
#define FLAG_SECOND_FAT 1
#define FLAG_MEDIA_FAILURE 4 /* section 3.1.13.3 */
#define BOOT_REGIONS_SECTORS 24
#define CLUSTERS_MAX 0xfffffff5u

struct exfat_file {
    struct exfat_node *node;
    struct exfat_map map;
    uint64_t size; /* bytes; node->size is what the entry says */
    bool writing;
};

/* The library's failure as ours: the disk's own error if it was the disk. */
static int store_error(struct exfat_volume *volume, int status, enum error_operation operation, const char *what,
                       struct error *error)
{
    const char *name = volume->io->device->name;

    if (volume->io->error.code != ERROR_NONE) {
        struct error own = volume->io->error;

        if (error)
            *error = own;
        if (!volume->io->failed)
            volume->io->error.code = ERROR_NONE;
        return -(int)own.code;
    }
    switch (status) {
    case -ENOMEM:
        return error_set(error, ERROR_NO_MEMORY, operation, name, ERROR_NO_BLOCK, "%s", what);
    case -ENOSPC:
        return error_set(error, ERROR_NO_SPACE, operation, name, ERROR_NO_BLOCK, "%s", what);
    case -ENOENT:
    case -ENOTDIR:
        return error_set(error, ERROR_NOT_FOUND, operation, name, ERROR_NO_BLOCK, "%s", what);
    case -EEXIST:
        return error_set(error, ERROR_EXISTS, operation, name, ERROR_NO_BLOCK, "%s", what);
    case -ENAMETOOLONG:
    case -EILSEQ:
        return error_set(error, ERROR_USAGE, operation, name, ERROR_NO_BLOCK, "a name that exFAT forbids");
    default:
        return error_set(error, ERROR_CORRUPT, operation, name, ERROR_NO_BLOCK, "%s", what);
    }
}

static int refuse(struct exfat_volume *volume, enum error_code code, const char *why, struct error *error)
{
    return error_set(error, code, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", why);
}

/* --- mount --- */

/* Section 3.1: what the library relies on without looking. */
static bool geometry_fits(const struct exfat_volume *volume, const struct exfat_super_block *super)
{
    unsigned shift = super->sector_bits;
    uint64_t sectors = le64_to_cpu(super->sector_count), fat = le32_to_cpu(super->fat_sector_start);
    uint64_t fat_sectors = le32_to_cpu(super->fat_sector_count), heap = le32_to_cpu(super->cluster_sector_start);
    uint64_t clusters = le32_to_cpu(super->cluster_count);

    if (memcmp(super->oem_name, "EXFAT   ", sizeof super->oem_name) != 0 || shift < 9 || shift > 12 ||
        super->spc_bits > 25 - shift)
        return false;
    return clusters > 0 && clusters <= CLUSTERS_MAX && fat >= BOOT_REGIONS_SECTORS && heap >= fat + fat_sectors &&
           (fat_sectors << shift) / sizeof(le32_t) >= clusters + EXFAT_FIRST_DATA_CLUSTER &&
           sectors <= block_device_bytes(volume->io->device) >> shift && heap <= sectors &&
           clusters <= (sectors - heap) >> super->spc_bits;
}

static int refuse_dirty(struct exfat_volume *volume, const char *why, struct error *error)
{
    return error_set(error, ERROR_REFUSED, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK,
                     "it was not ejected cleanly%s%s; let Windows check it (chkdsk), or fsck.exfat, first",
                     why ? ", and " : "", why ? why : "");
}

static int check_boot_sector(struct exfat_volume *volume, struct error *error)
{
    struct exfat_super_block super;

    if (exfat_pread(&volume->device, &super, sizeof super, 0) < 0)
        return store_error(volume, -EIO, OPERATION_OPEN, "boot sector", error);
    if (super.fat_count == 2)
        return refuse(volume, ERROR_UNSUPPORTED, "it has two FATs (TexFAT)", error);
    if (!geometry_fits(volume, &super) || (le16_to_cpu(super.volume_state) & FLAG_SECOND_FAT))
        return refuse(volume, ERROR_CORRUPT, "boot sector", error);
    volume->was_dirty = le16_to_cpu(super.volume_state) & EXFAT_STATE_MOUNTED;
    volume->only_reopen = volume->was_dirty;
    return 0;
}

static int store_mount(void *context, struct volume_io *io, struct error *error)
{
    struct exfat_volume *volume = context;
    int status;

    volume->io = io;
    volume->device.io = io;
    exfat_begin_work(&volume->device);
    status = check_boot_sector(volume, error);
    if (status < 0)
        return status;
    status = exfat_mount(&volume->exfat, (const char *)&volume->device, io->writable ? "noatime" : "noatime,ro");
    if (status == 0)
        status = exfat_check_bitmap(volume);
    if (status < 0)
        return store_error(volume, status, OPERATION_OPEN, "the volume's metadata", error);
    exfat_count_free(volume);
    return 0;
}

/* What an audit let pass is put right first: it is on the disk with the flush that everything else waits for. */
static int begin_change(struct exfat_volume *volume, struct error *error)
{
    if (volume->changed)
        return 0;
    if (exfat_soil_super_block(&volume->exfat) != 0)
        return store_error(volume, -EIO, OPERATION_WRITE, "boot sector", error);
    volume->changed = true;
    if (volume->audit.loose_end && exfat_end_chain(volume, volume->audit.loose_end) < 0) {
        volume->failed = true;
        return store_error(volume, -EIO, OPERATION_WRITE, "FAT", error);
    }
    volume->audit.loose_end = 0;
    return 0;
}

/*
 * The library marks the volume clean when it unmounts, whatever happened: it is asked to only when all is well. That is so as well on
 * a volume that was dirty, when the audit found nothing that is still left for a checker to do.
 */
static int store_unmount(void *context, struct error *error)
{
    struct exfat_volume *volume = context;
    int status = 0;

    exfat_begin_work(&volume->device);
    if (volume->failed)
        return volume->io->failed ? store_error(volume, -EIO, OPERATION_FLUSH, "unmount", error) : 0;
    if (!volume->changed) {
        volume->exfat.ro = 1;
    } else {
        status = exfat_flush_clusters(volume);
        if (status == 0)
            status = exfat_flush_nodes(&volume->exfat);
        if (status == 0 && volume_io_flush(volume->io) < 0)
            status = -EIO;
        if (volume->audit.lost_clusters)
            volume->exfat.ro = 1;
    }
    if (status == 0) {
        exfat_unmount(&volume->exfat);
        status = volume->io->failed ? -EIO : 0;
    }
    return status < 0 ? store_error(volume, status, OPERATION_FLUSH, "unmount", error) : 0;
}

static uint64_t store_free_space(void *context)
{
    struct exfat_volume *volume = context;

    return volume->free_clusters * exfat_cluster_bytes(volume);
}

static uint64_t store_max_file_bytes(void *context)
{
    (void)context;
    return INT64_MAX;
}

/* --- names --- */

/*
 * A path that leads to something; the node is referenced. The library must not be led through a file, and would take more for UTF-8
 * than is, to stumble over it later.
 */
static int look_up(struct exfat_volume *volume, const char *path, struct exfat_node **node)
{
    char part[PATH_BYTES];

    if (!filesystem_name_is_utf8(path) || strlen(path) >= sizeof part)
        return -EILSEQ;
    for (size_t length = strcspn(path, "/"); path[length]; length += 1 + strcspn(path + length + 1, "/")) {
        bool is_folder;
        int status;

        snprintf(part, sizeof part, "%.*s", (int)length, path);
        status = exfat_lookup(&volume->exfat, node, part);
        if (status < 0)
            return status;
        is_folder = (*node)->attrib & EXFAT_ATTRIB_DIR;
        exfat_put_node(&volume->exfat, *node);
        if (!is_folder)
            return -ENOTDIR;
    }
    return exfat_lookup(&volume->exfat, node, path);
}

static int find_file(struct exfat_volume *volume, const char *path, struct exfat_node **node, struct error *error)
{
    int status = look_up(volume, path, node);

    if (status < 0)
        return store_error(volume, status, OPERATION_OPEN, status == -ENOENT ? "no such file" : "folder", error);
    if ((*node)->attrib & EXFAT_ATTRIB_DIR) {
        exfat_put_node(&volume->exfat, *node);
        return refuse(volume, ERROR_UNSUPPORTED, "a folder", error);
    }
    return 0;
}

/* The folders on the way to a file, made where they are missing. */
static int make_folders(struct exfat_volume *volume, const char *path)
{
    char part[PATH_BYTES];
    int status = 0;

    for (size_t length = strcspn(path, "/"); status == 0 && path[length];
         length += 1 + strcspn(path + length + 1, "/")) {
        struct exfat_node *node;

        snprintf(part, sizeof part, "%.*s", (int)length, path);
        status = look_up(volume, part, &node);
        if (status == 0) {
            status = node->attrib & EXFAT_ATTRIB_DIR ? 0 : -ENOTDIR;
            exfat_put_node(&volume->exfat, node);
        } else if (status == -ENOENT) {
            status = exfat_mkdir(&volume->exfat, part);
        }
    }
    return status;
}

/* The entries of a file become free, and the library forgets it. It holds no clusters by now, or they are freed by the caller. */
static int erase_entries(struct exfat_volume *volume, struct exfat_node *node)
{
    struct exfat_node *folder = node->parent;
    struct exfat_entry entries[ENTRY_SET_MAX];
    size_t count = 1u + node->continuations, size = count * sizeof entries[0];

    if (exfat_generic_pread(&volume->exfat, folder, entries, size, node->entry_offset) != (ssize_t)size)
        return -EIO;
    for (size_t i = 0; i < count; i++)
        entries[i].type &= (uint8_t)~EXFAT_ENTRY_VALID;
    if (exfat_generic_pwrite(&volume->exfat, folder, entries, size, node->entry_offset) != (ssize_t)size)
        return -EIO;
    if (node->prev)
        node->prev->next = node->next;
    else
        folder->child = node->next;
    if (node->next)
        node->next->prev = node->prev;
    library_free(node);
    exfat_update_mtime(folder);
    return exfat_flush_node(&volume->exfat, folder);
}

/* --- volumes that were not ejected --- */

/* Is the image there, or the first of its volumes? */
static int image_there(struct exfat_volume *volume, const char *path)
{
    char first[PATH_BYTES];
    struct exfat_node *node;
    int status = look_up(volume, path, &node);

    if (status == -ENOENT) {
        snprintf(first, sizeof first, "%s.001", path);
        status = look_up(volume, first, &node);
    }
    if (status == 0)
        exfat_put_node(&volume->exfat, node);
    return status;
}

static int store_admit(void *context, const char *path, struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_audit *audit = &volume->audit;
    int status;

    if (!volume->was_dirty)
        return 0;
    if (le16_to_cpu(volume->exfat.sb->volume_state) & FLAG_MEDIA_FAILURE)
        return refuse_dirty(volume, "its disk is marked as failing", error);
    exfat_begin_work(&volume->device);
    status = image_there(volume, path);
    if (status == 0)
        status = exfat_audit_volume(volume, audit);
    else if (volume->io->error.code == ERROR_NONE)
        return refuse_dirty(volume, NULL, error);
    switch (status) {
    case 0:
        platform_log(volume->io->device->loop->platform, LOG_WARNING,
                     "%s: was not ejected cleanly; what is on it was checked and is whole, lost clusters: %u",
                     volume->io->device->name, audit->lost_clusters);
        return 0;
    case -EUCLEAN:
        return refuse_dirty(volume, audit->why, error);
    case -ETIMEDOUT:
        return refuse_dirty(volume, "it has too much on it to be checked here", error);
    case -ECANCELED:
        return error_set(error, ERROR_CANCELLED, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, NULL);
    default:
        return store_error(volume, status, OPERATION_OPEN, "the volume's metadata", error);
    }
}

/* --- creation --- */

static bool crosses_blocks(const struct exfat_volume *volume, const struct exfat_node *node)
{
    uint32_t block = volume->io->device->geometry.logical_block;

    return (uint64_t)node->entry_offset % block + 2 * sizeof(struct exfat_entry) > block;
}

static int make_entry(struct exfat_volume *volume, const char *path, struct exfat_node **node)
{
    int status = exfat_mknod(&volume->exfat, path);

    return status < 0 ? status : exfat_lookup(&volume->exfat, node, path);
}

/*
 * The library takes the first room that is long enough. When a file's first two entries would lie in two sectors there, a name as
 * long takes the place while the file gets another.
 */
static int make_entry_elsewhere(struct exfat_volume *volume, const char *path, struct exfat_node **node)
{
    const char *slash = strrchr(path, '/');
    size_t at = slash ? (size_t)(slash - path) + 1 : 0;
    struct exfat_node *place = NULL;
    char other[PATH_BYTES];
    int status;

    exfat_put_node(&volume->exfat, *node);
    status = erase_entries(volume, *node);
    snprintf(other, sizeof other, "%s", path);
    /* One byte for one UTF-16 unit keeps the length; other names may then land elsewhere, which does no harm. */
    for (char letter = '0'; status == 0 && !place && letter <= '9'; letter++) {
        other[at] = letter;
        status = (uint8_t)path[at] < 0x80 ? make_entry(volume, other, &place) : 0;
        status = status == -EEXIST ? 0 : status;
    }
    if (status == 0)
        status = make_entry(volume, path, node);
    if (place) {
        exfat_put_node(&volume->exfat, place);
        if (status == 0)
            status = erase_entries(volume, place);
    }
    return status;
}

static int create(struct exfat_volume *volume, struct exfat_file *file, const char *path, struct error *error)
{
    struct exfat_node *node;
    int status = look_up(volume, path, &node);

    if (status == 0) {
        exfat_put_node(&volume->exfat, node);
        status = -EEXIST;
    }
    if (status != -ENOENT)
        return store_error(volume, status, OPERATION_OPEN, status == -EEXIST ? path : "the folder of the image", error);
    if (volume->only_reopen)
        return refuse_dirty(volume, NULL, error);
    status = begin_change(volume, error);
    if (status < 0)
        return status;
    status = make_folders(volume, path);
    if (status == 0)
        status = make_entry(volume, path, &node);
    if (status == 0 && crosses_blocks(volume, node))
        status = make_entry_elsewhere(volume, path, &node);
    exfat_count_free(volume);
    if (status == 0) {
        file->node = node;
        file->writing = true;
        return 0;
    }
    /* The library says so of a character that is not allowed; the folders are there by now. */
    if (status == -ENOENT)
        status = -EILSEQ;
    volume->failed = volume->failed || (status != -EILSEQ && status != -ENAMETOOLONG && status != -ENOSPC);
    return store_error(volume, status, OPERATION_OPEN, "new file", error);
}

static int store_open(void *context, void *file_context, const char *path, bool write, uint64_t *size,
                      struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_file *file = file_context;
    int status;

    exfat_begin_work(&volume->device);
    *size = 0;
    if (write)
        return create(volume, file, path, error);
    status = find_file(volume, path, &file->node, error);
    if (status < 0)
        return status;
    status = exfat_map_node(volume, file->node, &file->map);
    if (status < 0) {
        exfat_put_node(&volume->exfat, file->node);
        return store_error(volume, status, OPERATION_OPEN, "chain of the file", error);
    }
    *size = file->size = file->node->size;
    return 0;
}

/* What is cut off stays claimed until the file is closed: no entry on the disk may name a cluster that is free. */
static int store_reopen(void *context, void *file_context, const char *path, uint64_t length, struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_file *file = file_context;
    uint64_t size;
    int status = store_open(volume, file, path, false, &size, error);

    if (status < 0)
        return status;
    if (length > size)
        status =
            error_set(error, ERROR_OUT_OF_RANGE, OPERATION_OPEN, volume->io->device->name, ERROR_NO_BLOCK, "%s", path);
    else if (crosses_blocks(volume, file->node))
        status = refuse(volume, ERROR_REFUSED,
                        "a power cut could damage the file's folder entry; copy it, and go on with "
                        "the copy",
                        error);
    else if (!exfat_map_allocated(volume, &file->map))
        status = refuse(volume, ERROR_CORRUPT, "clusters of the file are marked as free", error);
    if (status == 0)
        status = begin_change(volume, error);
    if (status == 0 && exfat_map_adopt(volume, &file->map, &volume->audit) < 0) {
        volume->failed = true;
        status = store_error(volume, -EIO, OPERATION_OPEN, "chain of the file", error);
    }
    if (status < 0) {
        exfat_map_free(&file->map);
        exfat_put_node(&volume->exfat, file->node);
        return status;
    }
    volume->only_reopen = false;
    file->size = length;
    file->writing = true;
    return 0;
}

/* --- reading and writing --- */

/* Carries a byte range of mapped clusters, run by run. */
static int transfer(struct exfat_volume *volume, struct exfat_file *file, uint64_t offset, uint8_t *data, size_t size,
                    bool write)
{
    uint64_t cluster_bytes = exfat_cluster_bytes(volume);

    while (size) {
        uint64_t skip = offset % cluster_bytes, length;
        uint64_t place = exfat_map_find(volume, &file->map, offset / cluster_bytes, &length) + skip;
        int status;

        length -= skip;
        if (length > size)
            length = size;
        status = write ? volume_io_write(volume->io, place, data, (size_t)length)
                       : volume_io_read(volume->io, place, data, (size_t)length);
        if (status < 0)
            return -EIO;
        offset += length;
        data += length;
        size -= (size_t)length;
    }
    return 0;
}

static int store_read(void *context, void *file_context, uint64_t offset, void *data, size_t size, size_t *transferred,
                      struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_file *file = file_context;
    int status;

    *transferred = 0;
    if (offset >= file->size)
        return 0;
    if (size > file->size - offset)
        size = (size_t)(file->size - offset);
    status = transfer(volume, file, offset, data, size, false);
    if (status < 0)
        return store_error(volume, status, OPERATION_READ, "data of the file", error);
    *transferred = size;
    return 0;
}

static int store_write(void *context, void *file_context, uint64_t offset, const void *data, size_t size,
                       struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_file *file = file_context;
    uint64_t cluster_bytes = exfat_cluster_bytes(volume);
    int status;

    if (offset > file->size)
        return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_WRITE, volume->io->device->name, ERROR_NO_BLOCK,
                         "a gap in the file");
    if (size > INT64_MAX - offset)
        return store_error(volume, -ENOSPC, OPERATION_WRITE, "too big", error);
    if (!size)
        return 0;
    exfat_begin_work(&volume->device);
    status = exfat_map_grow(volume, &file->map, (offset + size + cluster_bytes - 1) / cluster_bytes);
    if (status == 0)
        status = transfer(volume, file, offset, (uint8_t *)(uintptr_t)data, size, true);
    if (status < 0) {
        volume->failed = volume->failed || status != -ENOSPC;
        return store_error(volume, status, OPERATION_WRITE, "data of the file", error);
    }
    if (offset + size > file->size)
        file->size = offset + size;
    return 0;
}

/* What the entry says of the file becomes what is so. */
static void describe(struct exfat_file *file)
{
    struct exfat_node *node = file->node;
    cluster_t start = file->size ? file->map.runs[0].first : EXFAT_CLUSTER_FREE;
    bool contiguous = file->size && !file->map.chained;

    if (node->size == file->size && node->start_cluster == start && node->is_contiguous == contiguous)
        return;
    node->size = file->size;
    node->start_cluster = node->fptr_cluster = start;
    node->fptr_index = 0;
    node->is_contiguous = contiguous;
    exfat_update_mtime(node);
}

static int flush_file(struct exfat_volume *volume, struct exfat_file *file)
{
    int status = exfat_flush_clusters(volume);

    describe(file);
    if (status == 0)
        status = exfat_flush_node(&volume->exfat, file->node);
    return status == 0 && volume_io_flush(volume->io) < 0 ? -EIO : status;
}

static int store_flush(void *context, void *file_context, struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_file *file = file_context;
    int status;

    if (!file->writing)
        return 0;
    exfat_begin_work(&volume->device);
    status = flush_file(volume, file);
    if (status == 0)
        return 0;
    volume->failed = true;
    return store_error(volume, status, OPERATION_FLUSH, "metadata of the file", error);
}

/* What was claimed beyond the end is given back once nothing on the disk can name it. */
static int store_close(void *context, void *file_context, struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_file *file = file_context;
    uint64_t cluster_bytes = exfat_cluster_bytes(volume);
    int status = 0;

    exfat_begin_work(&volume->device);
    if (file->writing) {
        status = exfat_map_cut(volume, &file->map, (file->size + cluster_bytes - 1) / cluster_bytes);
        if (status == 0)
            status = flush_file(volume, file);
        volume->failed = volume->failed || status < 0;
    }
    exfat_map_free(&file->map);
    exfat_put_node(&volume->exfat, file->node);
    return status < 0 ? store_error(volume, status, OPERATION_FLUSH, "metadata of the file", error) : 0;
}

static int store_remove(void *context, const char *path, struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_node *node;
    struct exfat_map map;
    int status;

    exfat_begin_work(&volume->device);
    status = find_file(volume, path, &node, error);
    if (status < 0)
        return status;
    exfat_put_node(&volume->exfat, node);
    if (node->references)
        return refuse(volume, ERROR_BUSY, "the file is open", error);
    if (volume->only_reopen)
        return refuse_dirty(volume, NULL, error);
    status = exfat_map_node(volume, node, &map);
    if (status < 0)
        return store_error(volume, status, OPERATION_OPEN, "chain of the file", error);
    status = begin_change(volume, error);
    if (status < 0) {
        exfat_map_free(&map);
        return status;
    }
    /* The entry goes first, and is gone from the disk before anything else can be given its clusters. */
    status = erase_entries(volume, node);
    if (status == 0 && volume_io_flush(volume->io) < 0)
        status = -EIO;
    if (status == 0)
        status = exfat_map_cut(volume, &map, 0);
    if (status == 0)
        status = exfat_flush_clusters(volume);
    exfat_map_free(&map);
    if (status == 0)
        return 0;
    volume->failed = true;
    return store_error(volume, status, OPERATION_WRITE, "removal", error);
}

/* --- looking --- */

static int check_space(void *context, struct error *error)
{
    struct exfat_volume *volume = context;

    /* For a new image, that is. */
    return volume->was_dirty ? refuse_dirty(volume, NULL, error) : 0;
}

static void add_node(struct volume_list *list, const struct exfat_node *node)
{
    const uint16_t of_windows = EXFAT_ATTRIB_HIDDEN | EXFAT_ATTRIB_SYSTEM;
    char name[EXFAT_UTF8_NAME_BUFFER_MAX];
    struct filesystem_file *file;

    /* The library's own function gives up where a name is not UTF-16. */
    if ((node->attrib & of_windows) == of_windows ||
        exfat_utf16_to_utf8(name, node->name, sizeof name, EXFAT_NAME_MAX) != 0)
        return;
    file = volume_list_add(list, name);
    if (!file)
        return;
    file->is_folder = node->attrib & EXFAT_ATTRIB_DIR;
    file->bytes = file->is_folder ? 0 : node->size;
    file->modified = node->mtime > 0 ? (int64_t)node->mtime : -1;
}

static int list_folder(void *context, const char *path, struct volume_list *list, struct error *error)
{
    struct exfat_volume *volume = context;
    struct exfat_node *folder, *node;
    struct exfat_iterator iterator;
    int status;

    exfat_begin_work(&volume->device);
    status = look_up(volume, path, &folder);
    if (status < 0)
        return store_error(volume, status, OPERATION_OPEN, "no such folder", error);
    status = folder->attrib & EXFAT_ATTRIB_DIR ? exfat_opendir(&volume->exfat, folder, &iterator) : -ENOTDIR;
    if (status == 0) {
        while (volume_list_seen(list) && (node = exfat_readdir(&iterator))) {
            add_node(list, node);
            exfat_put_node(&volume->exfat, node);
        }
        exfat_closedir(&volume->exfat, &iterator);
    }
    exfat_put_node(&volume->exfat, folder);
    return status < 0 ? store_error(volume, status, OPERATION_READ, "folder", error) : 0;
}

static const struct volume_file_ops exfat_files = {
    .name = "exfat",
    .volume_size = sizeof(struct exfat_volume),
    .file_size = sizeof(struct exfat_file),
    .mount = store_mount,
    .admit = store_admit,
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

int exfat_open_store(struct block_device *volume, const char *path, bool write, struct stream_store **store,
                     struct error *error)
{
    return volume_store_open(volume, &exfat_files, path, write, store, error);
}

int exfat_look(struct block_device *volume, struct filesystem_space *space, struct error *error)
{
    return volume_read_space(volume, &exfat_files, space, error);
}

int exfat_list_files(struct block_device *volume, const char *folder, filesystem_found *found, void *context,
                     struct error *error)
{
    return volume_list_files(volume, &exfat_files, folder, found, context, error);
}
