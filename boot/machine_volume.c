/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images on volumes that the drivers of fs/ can open (NTFS, ext), found by label or UUID on any disk. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "boot/machine.h"
#include "core/filesystem.h"
#include "core/partition.h"

/* A store of fs/ together with the slice that it works on, which ends with it. */
struct volume_store {
    struct stream_store store; /* first */
    struct stream_store *inner;
    struct block_device *slice; /* NULL: the whole disk is the volume */
    struct machine *machine;
    bool write;
};

static int volume_store_open(struct stream_store *base, unsigned volume, bool write, struct stream **stream,
                             struct error *error)
{
    struct volume_store *store = (struct volume_store *)base;

    return store->inner->open(store->inner, volume, write, stream, error);
}

static int volume_store_remove(struct stream_store *base, unsigned volume, struct error *error)
{
    struct volume_store *store = (struct volume_store *)base;

    if (!store->inner->remove)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_WRITE, base->name, ERROR_NO_BLOCK,
                         "files cannot be removed here");
    return store->inner->remove(store->inner, volume, error);
}

static uint64_t volume_store_free_space(struct stream_store *base)
{
    struct volume_store *store = (struct volume_store *)base;

    return store->inner->free_space ? store->inner->free_space(store->inner) : UINT64_MAX;
}

static void volume_store_close(struct stream_store *base)
{
    struct volume_store *store = (struct volume_store *)base;

    store->inner->close(store->inner);
    if (store->slice)
        block_device_stop(store->slice);
    if (store->write)
        machine_target_end(store->machine, base->disk);
    block_device_let_go(base->disk);
    platform_release(store->machine->platform, store);
}

struct volume_candidate {
    const struct filesystem_driver *driver;
    struct block_device *disk;
    struct partition partition; /* number 0: the whole disk */
    unsigned matches;
};

static void look_at(struct block_device *volume, struct block_device *disk, const struct partition *partition,
                    const char *name, struct volume_candidate *candidate)
{
    struct filesystem_info info;

    memset(&info, 0, sizeof(info));
    const struct filesystem_driver *driver = filesystem_probe(volume, &info);
    if (!driver || !driver->open_store || (strcasecmp(info.label, name) != 0 && strcasecmp(info.uuid, name) != 0))
        return;
    if (candidate->matches++)
        return;
    candidate->driver = driver;
    candidate->disk = disk;
    memset(&candidate->partition, 0, sizeof(candidate->partition));
    if (partition)
        candidate->partition = *partition;
}

static void search_disk(struct block_device *disk, const char *name, struct volume_candidate *candidate)
{
    struct partition_table table;
    struct error error = {0};

    memset(&table, 0, sizeof(table));
    if (partition_table_read(disk, &table, &error) != 0)
        return; /* an unreadable disk holds nothing that could be used */
    if (table.kind == TABLE_NONE)
        look_at(disk, disk, NULL, name, candidate);
    for (unsigned i = 0; i < table.count; i++) {
        struct block_device *slice;
        if (partition_open(disk, &table.partitions[i], &slice, &error) != 0)
            continue;
        look_at(slice, disk, &table.partitions[i], name, candidate);
        block_device_stop(slice);
    }
    partition_table_free(&table);
}

static int wrap(struct machine *machine, const struct volume_candidate *candidate, struct volume_store *store,
                const char *path, const char *name, bool write, struct error *error)
{
    struct block_device *volume = candidate->disk;

    store->machine = machine;
    store->write = write;
    if (candidate->partition.number) {
        int status = partition_open(candidate->disk, &candidate->partition, &store->slice, error);
        if (status)
            return status;
        volume = store->slice;
    }
    int status = candidate->driver->open_store(volume, path, write, &store->inner, error);
    if (status) {
        if (store->slice)
            block_device_stop(store->slice);
        return status;
    }
    store->store.open = volume_store_open;
    store->store.remove = volume_store_remove;
    store->store.free_space = volume_store_free_space;
    store->store.close = volume_store_close;
    store->store.max_volume_bytes = store->inner->max_volume_bytes;
    store->store.disk = candidate->disk;
    if (candidate->partition.number) {
        store->store.disk_offset = candidate->partition.first_block * candidate->disk->geometry.logical_block;
        store->store.disk_length = candidate->partition.block_count * candidate->disk->geometry.logical_block;
    }
    snprintf(store->store.name, sizeof(store->store.name), "%s", name);
    return 0;
}

static void search_all(struct machine *machine, const char *name, struct volume_candidate *candidate)
{
    struct block_device *disk, *next;

    for (disk = machine->registry.first; disk; disk = next) {
        block_device_hold(disk);
        search_disk(disk, name, candidate);
        next = disk->registry_next;
        block_device_let_go(disk);
    }
}

struct block_device *machine_volume_disk(struct machine *machine, const char *volume)
{
    struct volume_candidate candidate = {.matches = 0};

    search_all(machine, volume, &candidate);
    return candidate.matches == 1 ? candidate.disk : NULL;
}

int machine_volume_open(struct machine *machine, const char *volume, const char *path, const char *name, bool write,
                        struct stream_store **store, struct error *error)
{
    struct volume_candidate candidate = {.matches = 0};

    search_all(machine, volume, &candidate);
    if (!candidate.matches)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "no volume has the label or UUID %s", volume);
    if (candidate.matches > 1)
        return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, name, ERROR_NO_BLOCK, "%u volumes are called %s",
                         candidate.matches, volume);
    struct volume_store *opened = platform_allocate_zeroed(machine->platform, sizeof(*opened));
    if (!opened)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no memory");
    /* The firmware's drivers must not keep what they know of a volume that is written to. */
    block_device_hold(candidate.disk);
    if (write)
        machine_target_begin(machine, candidate.disk);
    int status = wrap(machine, &candidate, opened, path, name, write, error);
    if (status) {
        if (write)
            machine_target_end(machine, candidate.disk);
        block_device_let_go(candidate.disk);
        platform_release(machine->platform, opened);
        return status;
    }
    *store = &opened->store;
    return 0;
}
