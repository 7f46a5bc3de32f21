/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our disks as the firmware's: EFI_BLOCK_IO on a handle of its own, with a vendor device path. The
 * firmware's partition and FAT drivers bind on top of it, so the boot stick and FAT volumes stay usable
 * after a controller has been taken over.
 *
 * A call may come from inside anything, at raised TPL: from a file write that a stream's poll makes, from
 * the firmware's own events. It submits a request of its own slots, polls that one device (a USB disk's
 * controller too) until the request has ended, and dispatches nothing; what a USB disk needs to be brought back meanwhile is done
 * here as well (block_run_inside()). Events do not come while core/block.c or core/loop.c have their queues open (hold_events in
 * core/platform.h).
 */
#include <stdio.h>
#include <string.h>

#include "boot/efi_devices.h"

#define BOUNCE_SIZE (256u * 1024)
#define PUBLISH_SLOTS 2
#define SUBMIT_PATIENCE (30 * NANOSECONDS_PER_SECOND)

/* Vendor node (UEFI 2.10, section 10.3.2.5): made for this application, then the disk's name. */
#define EIDOLON_DISK_GUID                                                                                              \
    {                                                                                                                  \
        0x6f8c3d52, 0x0c1e, 0x4b7a,                                                                                    \
        {                                                                                                              \
            0x9d, 0x43, 0xe1, 0xd0, 0x10, 0x6a, 0x57, 0x2b                                                             \
        }                                                                                                              \
    }

struct published_path {
    VENDOR_DEVICE_PATH vendor;
    char name[BLOCK_NAME_MAX];
    EFI_DEVICE_PATH end;
} __attribute__((packed));

struct publish_slot {
    struct block_request request;
    struct buffer bounce;
    bool busy;
};

struct published {
    EFI_BLOCK_IO io; /* first: what the firmware calls back with */
    EFI_BLOCK_IO_MEDIA media;
    struct published *next;
    struct device_set *set;
    struct block_device *device;
    EFI_HANDLE handle;
    struct publish_slot slots[PUBLISH_SLOTS];
    struct pollable everything;   /* what a request of ours needs polled */
    struct block_device *running; /* whose requests they are */
    struct published_path path;
};

static EFI_GUID block_io_guid = EFI_BLOCK_IO_PROTOCOL_GUID;
static EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

/* --- what the firmware calls --- */

static EFI_STATUS status_of(int result)
{
    switch (-result) {
    case 0:
        return EFI_SUCCESS;
    case ERROR_GONE:
        return EFI_NO_MEDIA;
    case ERROR_WRITE_PROTECTED:
        return EFI_WRITE_PROTECTED;
    case ERROR_OUT_OF_RANGE:
        return EFI_INVALID_PARAMETER;
    case ERROR_TIMEOUT:
        return EFI_TIMEOUT;
    default:
        return EFI_DEVICE_ERROR;
    }
}

/* A disk's completions come from its own poll, a USB disk's from its controller's too. */
static bool reap(struct pollable *pollable)
{
    struct published *published =
        (struct published *)(void *)((char *)pollable - offsetof(struct published, everything));
    struct block_device *device = published->running;

    if (device->bus == BUS_USB)
        usb_poll(published->set);
    device->pollable.poll(&device->pollable);
    processor_pause();
    return true;
}

/* The disk may go meanwhile: published->device is NULL then, and its memory stays until fibers run again. */
static int run_request(struct published *published, struct block_device *device, struct block_request *request)
{
    published->everything.poll = reap;
    published->running = device;
    return block_run_inside(device, request, &published->everything, SUBMIT_PATIENCE);
}

static struct publish_slot *take_slot(struct published *published)
{
    /* From inside the driver's own work (it logs, say): nothing would ever be reaped. */
    if (published->device->polling)
        return NULL;
    for (unsigned i = 0; i < PUBLISH_SLOTS; i++) {
        if (!published->slots[i].busy) {
            published->slots[i].busy = true;
            return &published->slots[i];
        }
    }
    return NULL;
}

/* Piece by piece through the slot's bounce buffer: the caller's memory is not mapped for the device. */
static int transfer(struct published *published, struct publish_slot *slot, enum block_operation operation,
                    uint64_t lba, size_t size, uint8_t *data)
{
    struct block_device *device = published->device;
    size_t most = device->geometry.max_transfer < slot->bounce.size ? device->geometry.max_transfer : slot->bounce.size;
    int status = 0;

    while (size && !status) {
        size_t piece = size < most ? size : most;
        struct block_request *request = &slot->request;
        memset(request, 0, sizeof(*request));
        request->operation = operation;
        request->lba = lba;
        request->count = piece / device->geometry.logical_block;
        request->buffer = &slot->bounce;
        if (operation == BLOCK_WRITE)
            memcpy(slot->bounce.data, data, piece);
        status = run_request(published, device, request);
        if (!status && operation == BLOCK_READ)
            memcpy(data, slot->bounce.data, piece);
        lba += request->count;
        data += piece;
        size -= piece;
    }
    return status;
}

static int flush(struct published *published, struct publish_slot *slot)
{
    memset(&slot->request, 0, sizeof(slot->request));
    slot->request.operation = BLOCK_FLUSH;
    return run_request(published, published->device, &slot->request);
}

/* The core's own holds nest in this one, so they leave the caller's level alone. */
static int transfer_held(struct published *published, enum block_operation operation, uint64_t lba, size_t size,
                         uint8_t *data)
{
    struct firmware *firmware = published->set->firmware;
    int status = -ERROR_IO;

    firmware_hold_events_of_caller(firmware);
    struct publish_slot *slot = take_slot(published);
    if (slot) {
        status =
            operation == BLOCK_FLUSH ? flush(published, slot) : transfer(published, slot, operation, lba, size, data);
        slot->busy = false;
    }
    firmware_release_events(&firmware->platform);
    return status;
}

static EFI_STATUS access_blocks(EFI_BLOCK_IO *io, UINT32 media_id, EFI_LBA lba, UINTN size, VOID *data,
                                enum block_operation operation)
{
    struct published *published = (struct published *)io;
    const EFI_BLOCK_IO_MEDIA *media = &published->media;

    /* First of all: the device is gone when the medium is. */
    if (!media->MediaPresent || !published->device || published->device->dead)
        return EFI_NO_MEDIA;
    if (media_id != media->MediaId)
        return EFI_MEDIA_CHANGED;
    if (operation == BLOCK_WRITE && media->ReadOnly)
        return EFI_WRITE_PROTECTED;
    if (!size)
        return EFI_SUCCESS;
    if (!data)
        return EFI_INVALID_PARAMETER;
    if (size % media->BlockSize)
        return EFI_BAD_BUFFER_SIZE;
    if (lba > media->LastBlock || size / media->BlockSize > media->LastBlock - lba + 1)
        return EFI_INVALID_PARAMETER;
    return status_of(transfer_held(published, operation, lba, size, data));
}

static EFI_STATUS EFIAPI published_read(EFI_BLOCK_IO *io, UINT32 media_id, EFI_LBA lba, UINTN size, VOID *data)
{
    return access_blocks(io, media_id, lba, size, data, BLOCK_READ);
}

static EFI_STATUS EFIAPI published_write(EFI_BLOCK_IO *io, UINT32 media_id, EFI_LBA lba, UINTN size, VOID *data)
{
    return access_blocks(io, media_id, lba, size, data, BLOCK_WRITE);
}

static EFI_STATUS EFIAPI published_flush(EFI_BLOCK_IO *io)
{
    struct published *published = (struct published *)io;

    if (!published->media.MediaPresent || !published->device)
        return EFI_NO_MEDIA;
    if (published->media.ReadOnly)
        return EFI_SUCCESS;
    return status_of(transfer_held(published, BLOCK_FLUSH, 0, 0, NULL));
}

static EFI_STATUS EFIAPI published_reset(EFI_BLOCK_IO *io, BOOLEAN extended)
{
    (void)io;
    (void)extended;
    return EFI_SUCCESS; /* the device resets itself when it must */
}

/* --- coming and going --- */

/* An orphan has no device: NULL finds none. */
static struct published *find_published(struct device_set *set, const struct block_device *device)
{
    for (struct published *published = set->published; published; published = published->next)
        if (device && published->device == device)
            return published;
    return NULL;
}

bool device_is_published(struct device_set *set, struct block_device *device)
{
    return find_published(set, device) != NULL;
}

static struct published *published_of_path(struct device_set *set, const EFI_DEVICE_PATH *path)
{
    for (struct published *published = set->published; published; published = published->next)
        if (path_begins_with(path, &published->path.vendor.Header))
            return published;
    return NULL;
}

struct block_device *published_disk_of_path(struct device_set *set, const EFI_DEVICE_PATH *path)
{
    struct published *published = published_of_path(set, path);

    return published ? published->device : NULL;
}

bool published_has_path(struct device_set *set, const EFI_DEVICE_PATH *path)
{
    return published_of_path(set, path) != NULL;
}

static void fill(struct published *published, bool writable)
{
    static const EFI_GUID guid = EIDOLON_DISK_GUID;
    const struct block_geometry *geometry = &published->device->geometry;
    EFI_BLOCK_IO_MEDIA *media = &published->media;
    struct published_path *path = &published->path;

    media->MediaId = 1;
    media->MediaPresent = TRUE;
    media->ReadOnly = !writable || published->device->read_only;
    media->BlockSize = geometry->logical_block;
    media->LastBlock = geometry->block_count - 1;
    media->LogicalBlocksPerPhysicalBlock = geometry->physical_block / geometry->logical_block;
    published->io.Revision = EFI_BLOCK_IO_PROTOCOL_REVISION2;
    published->io.Media = media;
    published->io.Reset = published_reset;
    published->io.ReadBlocks = published_read;
    published->io.WriteBlocks = published_write;
    published->io.FlushBlocks = published_flush;

    path->vendor.Header.Type = HARDWARE_DEVICE_PATH;
    path->vendor.Header.SubType = HW_VENDOR_DP;
    SetDevicePathNodeLength(&path->vendor.Header, sizeof(path->vendor) + sizeof(path->name));
    memcpy(&path->vendor.Guid, &guid, sizeof(guid));
    memcpy(path->name, published->device->name, sizeof(path->name));
    SetDevicePathEndNode(&path->end);
}

static void free_published(struct published *published)
{
    for (unsigned i = 0; i < PUBLISH_SLOTS; i++)
        buffer_release(&published->slots[i].bounce);
    platform_release(&published->set->firmware->platform, published);
}

int device_publish(struct device_set *set, struct block_device *device, bool writable, struct error *error)
{
    struct platform *platform = &set->firmware->platform;
    EFI_BOOT_SERVICES *boot = set->firmware->boot;
    struct published *published = find_published(set, device);

    if (published && published->media.ReadOnly == (!writable || device->read_only))
        return 0;
    if (published && !writable)
        return 0; /* somebody may have files open for writing: it stays so */
    device_unpublish(set, device);
    published = platform_allocate_zeroed(platform, sizeof(*published));
    if (!published)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "no memory");
    published->set = set;
    published->device = device;
    for (unsigned i = 0; i < PUBLISH_SLOTS; i++) {
        if (buffer_allocate(platform, BOUNCE_SIZE, &published->slots[i].bounce) != 0) {
            free_published(published);
            return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, device->name, ERROR_NO_BLOCK, "no memory");
        }
    }
    fill(published, writable);
    EFI_STATUS status = boot->InstallMultipleProtocolInterfaces(&published->handle, &device_path_guid, &published->path,
                                                                &block_io_guid, &published->io, NULL);
    if (EFI_ERROR(status)) {
        free_published(published);
        return error_set(error, ERROR_IO, OPERATION_OPEN, device->name, ERROR_NO_BLOCK,
                         "the firmware refuses the disk");
    }
    /* In the list before the firmware's drivers come: they read at once. */
    published->next = set->published;
    set->published = published;
    boot->ConnectController(published->handle, NULL, NULL, TRUE);
    return 0;
}

/* Out of the list, and of the firmware if it agrees. */
static void withdraw(struct device_set *set, struct published *published)
{
    EFI_BOOT_SERVICES *boot = set->firmware->boot;
    struct published **link = &set->published;

    boot->DisconnectController(published->handle, NULL, NULL);
    while (*link != published)
        link = &(*link)->next;
    *link = published->next;
    if (EFI_ERROR(boot->UninstallMultipleProtocolInterfaces(published->handle, &device_path_guid, &published->path,
                                                            &block_io_guid, &published->io, NULL))) {
        /* The firmware keeps the pointer: the disk stays, without a medium. */
        platform_log(&set->firmware->platform, LOG_WARNING, "%s: the firmware does not let go of the published disk",
                     published->path.name);
        published->media.MediaPresent = FALSE;
        return;
    }
    free_published(published);
}

void device_unpublish(struct device_set *set, struct block_device *device)
{
    struct published *published = find_published(set, device);

    if (published)
        withdraw(set, published);
}

void published_orphan(struct device_set *set, const struct block_device *device)
{
    struct published *published = find_published(set, device);

    if (!published)
        return;
    published->media.MediaPresent = FALSE;
    published->device = NULL;
}

void published_sweep(struct device_set *set)
{
    struct published *published, *next;

    if (set->store_users)
        return;
    for (published = set->published; published; published = next) {
        next = published->next;
        if (!published->device)
            withdraw(set, published);
    }
}
