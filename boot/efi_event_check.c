/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the self-check: a timer event of the firmware reads a published disk, as its own drivers may do it, in
 * the middle of whatever the program is doing.
 */
#include <string.h>

#include "boot/efi_devices.h"

#define PIECE 4096u
#define PIECES 4u
#define TICK 100000u /* 10 ms in units of 100 ns */

struct machine_events {
    struct firmware *firmware;
    EFI_EVENT event;
    EFI_BLOCK_IO *io;
    unsigned calls, failures;
    UINT8 expected[PIECES * PIECE], data[PIECE];
};

static bool read_piece(struct machine_events *events, unsigned piece, UINT8 *data)
{
    EFI_BLOCK_IO *io = events->io;

    return !EFI_ERROR(
        io->ReadBlocks(io, io->Media->MediaId, (UINT64)piece * PIECE / io->Media->BlockSize, PIECE, data));
}

static VOID EFIAPI tick(EFI_EVENT event, VOID *context)
{
    struct machine_events *events = context;

    (void)event;
    for (unsigned i = 0; i < PIECES; i++) {
        events->calls++;
        if (!read_piece(events, i, events->data) || memcmp(events->data, events->expected + i * PIECE, PIECE) != 0)
            events->failures++;
    }
}

static EFI_BLOCK_IO *find_published_io(struct device_set *set, struct block_device *disk)
{
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;
    EFI_BLOCK_IO *found = NULL;
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(set->firmware, &guid, &handles);

    for (UINTN i = 0; i < count && !found; i++) {
        EFI_BLOCK_IO *io = firmware_handle_protocol(set->firmware, handles[i], &guid);
        EFI_DEVICE_PATH *path = path_of_handle(set->firmware, handles[i]);
        if (io && path && !io->Media->LogicalPartition && published_disk_of_path(set, path) == disk)
            found = io;
    }
    firmware_free(set->firmware, handles);
    return found;
}

struct machine_events *machine_events_start(struct machine *machine, struct block_device *disk)
{
    struct firmware *firmware = machine->firmware;

    devices_publish(machine, false);
    EFI_BLOCK_IO *io = find_published_io(machine->devices, disk);
    struct machine_events *events = io ? platform_allocate_zeroed(machine->platform, sizeof(*events)) : NULL;

    if (!events)
        return NULL;
    events->firmware = firmware;
    events->io = io;
    for (unsigned i = 0; i < PIECES; i++)
        if (!read_piece(events, i, events->expected + i * PIECE))
            goto failed;
    if (EFI_ERROR(
            firmware->boot->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_CALLBACK, tick, events, &events->event)))
        goto failed;
    if (!EFI_ERROR(firmware->boot->SetTimer(events->event, TimerPeriodic, TICK)))
        return events;
    firmware->boot->CloseEvent(events->event);
failed:
    platform_release(machine->platform, events);
    return NULL;
}

void machine_events_stop(struct machine_events *events, unsigned *calls, unsigned *failures)
{
    struct firmware *firmware = events->firmware;

    firmware->boot->SetTimer(events->event, TimerCancel, 0);
    firmware->boot->CloseEvent(events->event);
    *calls = events->calls;
    *failures = events->failures;
    platform_release(&firmware->platform, events);
}
