/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File systems: what a reader calls used lies inside the volume, and the volume reads the same when everything else on it is something
 * else. Opening files for reading changes nothing.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "fs/drivers.h"

#define MEMORY_MAX (320u * 1024 * 1024) /* bytes: the readers' arena (192 MiB), the extents, buffers */
#define FILE_READ_MAX (256u * 1024)
#define FILE_WRITE (64u * 1024)
#define REQUESTS_MAX 3000000 /* of one input: more is a reader that goes on for ever */

static void check_info(const struct filesystem_info *info)
{
    fuzz_require(fuzz_text_valid(info->type, sizeof info->type));
    fuzz_require(fuzz_text_valid(info->label, sizeof info->label));
    fuzz_require(fuzz_text_valid(info->uuid, sizeof info->uuid));
}

static void check_allocation(const struct allocation *allocation, uint64_t bytes, uint32_t block)
{
    uint64_t end = 0;

    check_info(&allocation->info);
    fuzz_require(allocation->messages.count <= MESSAGE_LIST_MAX);
    if (allocation->verdict != ALLOCATION_EXACT) {
        fuzz_require(allocation->used.count == 0);
        fuzz_require(allocation->messages.count > 0); /* it says why */
        return;
    }
    fuzz_require(allocation->info.total_bytes <= bytes);
    for (size_t i = 0; i < allocation->used.count; i++) {
        const struct extent *extent = &allocation->used.extents[i];

        fuzz_require(extent->length > 0 && extent->offset <= bytes && extent->length <= bytes - extent->offset);
        fuzz_require(i == 0 || extent->offset > end);
        fuzz_require(extent->offset % block == 0 && extent->length % block == 0);
        end = extent->offset + extent->length;
    }
    fuzz_require(extent_list_contains(&allocation->used, 0, block));
}

/* After a restore on a disk full of something else, the same blocks are in use: nothing that matters lies outside of them. */
static void check_restored(struct fuzz_disk *disk, const struct allocation *before)
{
    struct allocation after;

    disk->visible = &before->used;
    disk->budget = FUZZ_READ_BUDGET;
    fuzz_require(filesystem_allocation(&disk->device, &after) == 0);
    if (!disk->failed) {
        fuzz_require(after.verdict == ALLOCATION_EXACT);
        fuzz_require(after.used.count == before->used.count);
        fuzz_require(memcmp(after.used.extents, before->used.extents, after.used.count * sizeof(struct extent)) == 0);
        fuzz_require(strcmp(after.info.type, before->info.type) == 0);
    }
    extent_list_free(&after.used);
    disk->visible = NULL;
}

/* An image file on a volume that lies. */
static void read_file(struct fuzz_disk *disk, const struct filesystem_driver *driver, const char *path)
{
    static uint8_t bytes[FILE_READ_MAX];
    struct stream_store *store;
    struct stream *stream;
    size_t size;

    disk->budget = FUZZ_READ_BUDGET;
    if (driver->open_store(&disk->device, path, false, &store, NULL))
        return;
    if (store->open(store, 0, false, &stream, NULL) == 0) {
        uint64_t length = stream->size;

        if (stream_read(stream, 0, bytes, sizeof bytes, &size, NULL) == 0)
            fuzz_require(size <= sizeof bytes && size <= length);
        if (length != UINT64_MAX && length > 5000 && stream_read(stream, length - 5000, bytes, 6000, &size, NULL) == 0)
            fuzz_require(size <= 5000);
        stream_close(stream, NULL);
    }
    store->close(store);
}

static bool take_entry(void *context, const struct filesystem_file *file)
{
    unsigned *left = context;

    fuzz_require(*left > 0);
    fuzz_require(filesystem_name_is_text(file->name) && fuzz_text_valid(file->name, sizeof file->name));
    fuzz_require(file->modified >= -1);
    --*left;
    return true;
}

/* The root and a folder of a volume that lies, and the room on it. */
static void look(struct fuzz_disk *disk, const struct filesystem_driver *driver)
{
    struct filesystem_space space;

    for (unsigned i = 0; i < 2; i++) {
        unsigned left = FILESYSTEM_FILES_MAX;

        disk->budget = FUZZ_READ_BUDGET;
        if (driver->list_files(&disk->device, i ? "folder" : "", take_entry, &left, NULL) < 0)
            fuzz_require(left == FILESYSTEM_FILES_MAX);
    }
    disk->budget = FUZZ_READ_BUDGET;
    if (driver->read_space(&disk->device, &space, NULL) == 0)
        fuzz_require(space.can_write == !space.why[0] && fuzz_text_valid(space.why, sizeof space.why));
}

/* A file written on a volume that lies: whatever comes of it, it ends, and nothing is lost track of. */
static bool write_file(struct fuzz_disk *disk, const struct filesystem_driver *driver, const char *path)
{
    static uint8_t bytes[FILE_WRITE];
    struct stream_store *store;
    struct stream *stream;
    int status = -ERROR_NOT_FOUND;

    disk->budget = FUZZ_READ_BUDGET;
    disk->writable = true;
    if (driver->open_store(&disk->device, path, true, &store, NULL) == 0) {
        if (store->open(store, 0, true, &stream, NULL) == 0) {
            status = stream_write(stream, 0, bytes, sizeof bytes, NULL);
            if (!status)
                status = stream_flush(stream, NULL);
            if (!status)
                status = stream_write(stream, sizeof bytes, bytes, 1000, NULL);
            status |= stream_close(stream, NULL);
            if (status && store->remove)
                (void)store->remove(store, 0, NULL);
        }
        store->close(store);
    }
    disk->writable = false;
    return status == 0;
}

#define EXFAT_FLAGS 106 /* VolumeFlags in the boot sector; no checksum covers them */

/* As if the volume had not been ejected. */
static void exfat_mark_dirty(struct fuzz_disk *disk)
{
    uint8_t flags;

    fuzz_disk_peek(disk, EXFAT_FLAGS, &flags, 1);
    flags |= 2;
    fuzz_disk_poke(disk, EXFAT_FLAGS, &flags, 1);
}

/* An image goes on, on a volume whose audit finds nothing; it finds nothing afterwards either. */
static void go_on(struct fuzz_disk *disk, const struct filesystem_driver *driver, const char *path)
{
    static uint8_t bytes[FILE_WRITE];
    struct stream_store *store;
    struct stream *stream;
    int status;

    exfat_mark_dirty(disk);
    disk->budget = FUZZ_READ_BUDGET;
    disk->writable = true;
    if (driver->open_store(&disk->device, path, true, &store, NULL) == 0) {
        fuzz_require(store->open(store, 1, true, &stream, NULL) < 0);
        status = store->reopen(store, 0, 1000, &stream, NULL);
        if (status == 0) {
            status = stream_write(stream, 1000, bytes, sizeof bytes, NULL);
            status |= stream_close(stream, NULL);
        }
        store->close(store);
        exfat_mark_dirty(disk);
        if (status == 0 && !disk->failed) {
            disk->budget = FUZZ_READ_BUDGET;
            fuzz_require(driver->open_store(&disk->device, path, true, &store, NULL) == 0 || disk->failed);
            if (!disk->failed)
                store->close(store);
        }
    }
    disk->writable = false;
}

static void run(const uint8_t *data, size_t size, uint64_t most, const struct filesystem_driver *driver,
                void (*repair)(struct fuzz_disk *disk))
{
    static struct fuzz_disk disk;
    struct allocation allocation;
    struct loop loop;

    if (!fuzz_disk_load(&disk, data, size, most))
        return;
    if (driver)
        filesystem_register(driver);
    else
        filesystem_register_all();
    if (repair && (disk.flags & FUZZ_REPAIR))
        repair(&disk);
    loop_init(&loop, fuzz_begin());
    fuzz_disk_start(&disk, &loop);
    fuzz_require(filesystem_allocation(&disk.device, &allocation) == 0);
    check_allocation(&allocation, disk.bytes, disk.device.geometry.logical_block);
    fuzz_accepted = driver ? allocation.verdict == ALLOCATION_EXACT : *allocation.info.type != 0;
    if (allocation.verdict == ALLOCATION_EXACT && !disk.failed)
        check_restored(&disk, &allocation);
    allocation_free(&allocation);
    if (driver && driver->open_store && !(disk.flags & FUZZ_NO_FILES)) {
        read_file(&disk, driver, "image");
        read_file(&disk, driver, "folder/image");
        look(&disk, driver);
    }
    if (driver && driver->open_store && (disk.flags & FUZZ_WRITE)) {
        (void)write_file(&disk, driver, "folder/new");
        fuzz_accepted &= write_file(&disk, driver, "new");
        read_file(&disk, driver, "new");
        if (driver == &exfat_filesystem) {
            go_on(&disk, driver, "image");
            go_on(&disk, driver, "new");
        }
    }
    fuzz_require(disk.requests < REQUESTS_MAX);
    fuzz_disk_stop(&disk);
    fuzz_end(MEMORY_MAX);
}

#define MIB (1024ULL * 1024)

void fuzz_fat(const uint8_t *data, size_t size)
{
    run(data, size, 4096 * MIB, &fat_filesystem, NULL);
}

/* exFAT specification, section 3.4: over eleven sectors without VolumeFlags and PercentInUse, repeated through the twelfth. */
static void repair_boot_region(struct fuzz_disk *disk, uint64_t at, uint32_t sector_bytes)
{
    static uint8_t region[12 * 4096];
    uint32_t sum = 0;

    fuzz_disk_peek(disk, at, region, (size_t)12 * sector_bytes);
    for (uint32_t i = 0; i < 11 * sector_bytes; i++)
        if (i != 106 && i != 107 && i != 112)
            sum = (sum << 31 | sum >> 1) + region[i];
    for (uint32_t i = 11 * sector_bytes; i < 12 * sector_bytes; i += 4)
        fuzz_store32(region + i, sum);
    fuzz_disk_poke(disk, at + (uint64_t)11 * sector_bytes, region + (size_t)11 * sector_bytes, sector_bytes);
}

static void repair_exfat(struct fuzz_disk *disk)
{
    uint8_t sector[512];

    fuzz_disk_peek(disk, 0, sector, sizeof sector);
    if (sector[108] < 9 || sector[108] > 12)
        return;
    repair_boot_region(disk, 0, 1u << sector[108]);
    repair_boot_region(disk, 12u << sector[108], 1u << sector[108]);
}

void fuzz_exfat(const uint8_t *data, size_t size)
{
    run(data, size, 4096 * MIB, &exfat_filesystem, repair_exfat);
}

void fuzz_ext(const uint8_t *data, size_t size)
{
    run(data, size, 4096 * MIB, &ext_filesystem, NULL);
}

void fuzz_ntfs(const uint8_t *data, size_t size)
{
    run(data, size, 4096 * MIB, &ntfs_filesystem, NULL);
}

void fuzz_swap_recognise(const uint8_t *data, size_t size)
{
    run(data, size, 16 * MIB * MIB, NULL, NULL);
}
