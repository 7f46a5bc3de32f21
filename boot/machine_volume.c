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

static int volume_store_reopen(struct stream_store *base, unsigned volume, uint64_t length, struct stream **stream,
                               struct error *error)
{
    struct volume_store *store = (struct volume_store *)base;

    return store->inner->reopen(store->inner, volume, length, stream, error);
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

struct machine_visit {
    struct machine *machine;
    bool (*visit)(void *context, const struct machine_volume *volume);
    void *context;
    bool more; /* of this disk */
};

struct volume_candidate {
    const char *name; /* that is looked for */
    const struct filesystem_driver *driver;
    struct block_device *disk;
    struct partition partition; /* number 0: the whole disk */
    unsigned matches;
};

static void visit_volume(struct block_device *device, const struct machine_volume *view, struct machine_visit *visit)
{
    struct machine_volume volume = *view;
    struct filesystem_info info;

    memset(&info, 0, sizeof(info));
    volume.device = device;
    volume.driver = filesystem_probe(device, &info);
    volume.info = &info;
    if (volume.driver)
        visit->more = visit->visit(visit->context, &volume);
}

static void visit_disk(struct block_device *disk, struct machine_visit *visit)
{
    struct partition_table table;
    struct machine_volume view = {.disk = disk, .table = &table};
    struct error error = {0};

    memset(&table, 0, sizeof(table));
    if (partition_table_read(disk, &table, &error) != 0) {
        platform_log(visit->machine->platform, LOG_WARNING, "%s is not looked at for volumes: %s", disk->name,
                     error_code_name(error.code));
        return; /* an unreadable disk holds nothing that could be used */
    }
    visit->more = true;
    if (table.kind == TABLE_NONE)
        visit_volume(disk, &view, visit);
    for (unsigned i = 0; i < table.count && visit->more; i++) {
        struct block_device *slice;
        view.partition = &table.partitions[i];
        if (partition_open(disk, view.partition, &slice, &error) != 0)
            continue;
        visit_volume(slice, &view, visit);
        block_device_stop(slice);
    }
    partition_table_free(&table);
}

void machine_volumes_visit(struct machine *machine, bool (*visit)(void *context, const struct machine_volume *volume),
                           void *context)
{
    struct machine_visit all = {.machine = machine, .visit = visit, .context = context};
    struct block_device *disk, *next;

    for (disk = machine->registry.first; disk; disk = next) {
        block_device_hold(disk);
        visit_disk(disk, &all);
        next = disk->registry_next;
        block_device_let_go(disk);
    }
}

static bool has_name(void *context, const struct machine_volume *volume)
{
    struct volume_candidate *candidate = context;
    const struct filesystem_info *info = volume->info;

    if (!volume->driver->open_store ||
        (strcasecmp(info->label, candidate->name) != 0 && strcasecmp(info->uuid, candidate->name) != 0) ||
        candidate->matches++)
        return true;
    candidate->driver = volume->driver;
    candidate->disk = volume->disk;
    memset(&candidate->partition, 0, sizeof(candidate->partition));
    if (volume->partition)
        candidate->partition = *volume->partition;
    return true;
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
    store->store.reopen = store->inner->reopen ? volume_store_reopen : NULL;
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

struct block_device *machine_volume_disk(struct machine *machine, const char *volume)
{
    struct volume_candidate candidate = {.name = volume};

    machine_volumes_visit(machine, has_name, &candidate);
    return candidate.matches == 1 ? candidate.disk : NULL;
}

static int find(struct machine *machine, const char *volume, const char *name, struct volume_candidate *candidate,
                struct error *error)
{
    memset(candidate, 0, sizeof(*candidate));
    candidate->name = volume;
    machine_volumes_visit(machine, has_name, candidate);
    if (!candidate->matches)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "no volume has the label or UUID %s", volume);
    if (candidate->matches > 1)
        return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, name, ERROR_NO_BLOCK, "%u volumes are called %s",
                         candidate->matches, volume);
    return 0;
}

int machine_volume_files(struct machine *machine, const char *volume, const char *folder, filesystem_found *found,
                         void *context, struct error *error)
{
    struct volume_candidate candidate;
    struct block_device *slice = NULL;
    int status = find(machine, volume, volume, &candidate, error);

    if (status)
        return status;
    block_device_hold(candidate.disk);
    if (candidate.partition.number)
        status = partition_open(candidate.disk, &candidate.partition, &slice, error);
    if (!status)
        status = candidate.driver->list_files(slice ? slice : candidate.disk, folder, found, context, error);
    if (slice)
        block_device_stop(slice);
    block_device_let_go(candidate.disk);
    return status;
}

int machine_volume_open(struct machine *machine, const char *volume, const char *path, const char *name, bool write,
                        struct stream_store **store, struct error *error)
{
    struct volume_candidate candidate;
    int status = find(machine, volume, name, &candidate, error);

    if (status)
        return status;
    struct volume_store *opened = platform_allocate_zeroed(machine->platform, sizeof(*opened));
    if (!opened)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no memory");
    /* The firmware's drivers must not keep what they know of a volume that is written to. */
    block_device_hold(candidate.disk);
    if (write)
        machine_target_begin(machine, candidate.disk);
    status = wrap(machine, &candidate, opened, path, name, write, error);
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
