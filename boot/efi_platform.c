/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The platform on the bare machine: core/platform.h over UEFI boot services. */
#include <cpuid.h>
#include <string.h>

#include "boot/efi_firmware.h"

#define CPUID_RDRAND (1u << 30)

int firmware_error(EFI_STATUS status)
{
    static const struct {
        EFI_STATUS status;
        enum error_code code;
    } codes[] = {
        {EFI_OUT_OF_RESOURCES, ERROR_NO_MEMORY},
        {EFI_TIMEOUT, ERROR_TIMEOUT},
        {EFI_NO_MEDIA, ERROR_GONE},
        {EFI_MEDIA_CHANGED, ERROR_GONE},
        {EFI_WRITE_PROTECTED, ERROR_WRITE_PROTECTED},
        {EFI_ACCESS_DENIED, ERROR_WRITE_PROTECTED},
        {EFI_VOLUME_FULL, ERROR_NO_SPACE},
        {EFI_NOT_FOUND, ERROR_NOT_FOUND},
        {EFI_VOLUME_CORRUPTED, ERROR_CORRUPT},
        {EFI_UNSUPPORTED, ERROR_UNSUPPORTED},
        {EFI_CRC_ERROR, ERROR_MEDIUM},
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].status == status)
            return -(int)codes[i].code;
    return EFI_ERROR(status) ? -ERROR_IO : 0;
}

void *firmware_protocol(struct firmware *firmware, EFI_GUID *guid)
{
    VOID *interface = NULL;

    return EFI_ERROR(firmware->boot->LocateProtocol(guid, NULL, &interface)) ? NULL : interface;
}

void *firmware_handle_protocol(struct firmware *firmware, EFI_HANDLE handle, EFI_GUID *guid)
{
    VOID *interface = NULL;

    return EFI_ERROR(firmware->boot->HandleProtocol(handle, guid, &interface)) ? NULL : interface;
}

const UINT8 *firmware_table(struct firmware *firmware, EFI_GUID guid)
{
    for (UINTN i = 0; i < firmware->system->NumberOfTableEntries; i++) {
        const EFI_CONFIGURATION_TABLE *entry = &firmware->system->ConfigurationTable[i];
        if (memcmp(&entry->VendorGuid, &guid, sizeof(guid)) == 0)
            return entry->VendorTable;
    }
    return NULL;
}

UINTN firmware_handles(struct firmware *firmware, EFI_GUID *guid, EFI_HANDLE **handles)
{
    UINTN count = 0;

    *handles = NULL;
    if (EFI_ERROR(firmware->boot->LocateHandleBuffer(guid ? ByProtocol : AllHandles, guid, NULL, &count, handles)))
        return 0;
    return count;
}

void firmware_free(struct firmware *firmware, void *pool)
{
    if (pool)
        firmware->boot->FreePool(pool);
}

/*
 * --- randomness: xoshiro256** (public domain algorithm by Blackman and Vigna) over whatever the machine
 * has to seed it ---
 */

static UINT64 rotate(UINT64 value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static UINT64 random_next(UINT64 state[4])
{
    UINT64 result = rotate(state[1] * 5, 7) * 9, shifted = state[1] << 17;

    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
}

static bool random_instruction(UINT64 *value)
{
    unsigned a, b, c, d;
    bool valid = false;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_RDRAND))
        return false;
    for (unsigned i = 0; i < 10 && !valid; i++)
        __asm__ volatile("rdrand %0; setc %1" : "=r"(*value), "=q"(valid) : : "cc");
    return valid;
}

/* For GUIDs and UUIDs, not for keys. */
static void random_start(struct firmware *firmware)
{
    EFI_GUID guid = EFI_RNG_PROTOCOL_GUID;
    EFI_TIME time;

    firmware->rng = firmware_protocol(firmware, &guid);
    for (unsigned i = 0; i < 4; i++) {
        UINT64 value = 0, ticks = __builtin_ia32_rdtsc();
        random_instruction(&value);
        firmware->random_state[i] ^= value ^ rotate(ticks, 13 * i);
        firmware->boot->Stall(10 + (ticks & 15));
    }
    if (!EFI_ERROR(firmware->system->RuntimeServices->GetTime(&time, NULL)))
        firmware->random_state[1] ^= (UINT64)time.Second << 40 ^ (UINT64)time.Minute << 32 ^ (UINT64)time.Hour << 24 ^
                                     (UINT64)time.Day << 16 ^ time.Month;
    firmware->random_state[0] |= 1; /* never all zero */
}

void firmware_random(struct platform *platform, void *bytes, size_t size)
{
    struct firmware *firmware = firmware_of(platform);
    UINT8 *to = bytes;

    if (firmware->rng && !EFI_ERROR(firmware->rng->GetRNG(firmware->rng, NULL, size, to)))
        return;
    while (size) {
        UINT64 value = 0;
        size_t part = size < sizeof(value) ? size : sizeof(value);
        random_instruction(&value);
        value ^= random_next(firmware->random_state);
        memcpy(to, &value, part);
        to += part;
        size -= part;
    }
}

/* --- events: file system and block I/O drivers are called at TPL_CALLBACK at most (UEFI 2.10, table 7.3) --- */

void firmware_hold_events(struct platform *platform)
{
    struct firmware *firmware = firmware_of(platform);

    /* An event between these lines leaves the count as it found it. */
    if (firmware->events_held == 0)
        firmware->level = firmware->boot->RaiseTPL(TPL_CALLBACK);
    firmware->events_held++;
}

void firmware_release_events(struct platform *platform)
{
    struct firmware *firmware = firmware_of(platform);

    if (--firmware->events_held == 0)
        firmware->boot->RestoreTPL(firmware->level);
}

void firmware_hold_events_of_caller(struct firmware *firmware)
{
    EFI_BOOT_SERVICES *boot = firmware->boot;

    if (firmware->events_held == 0) {
        /* A level can be asked for only by raising it. */
        EFI_TPL level = boot->RaiseTPL(TPL_HIGH_LEVEL);
        boot->RestoreTPL(level < TPL_CALLBACK ? TPL_CALLBACK : level);
        firmware->level = level;
    }
    firmware->events_held++;
}

static const struct platform_ops firmware_ops = {
    .now = firmware_now,
    .wall_clock = firmware_wall_clock,
    .random = firmware_random,
    .allocate = firmware_allocate,
    .release = firmware_release,
    .allocate_guarded = firmware_allocate_guarded,
    .release_guarded = firmware_release_guarded,
    .wait = firmware_wait,
    .wake = firmware_wake,
    .log = firmware_log,
    .cancel_requested = firmware_cancel_requested,
    .buffer_allocate = firmware_buffer_allocate,
    .buffer_release = firmware_buffer_release,
    .buffer_map = firmware_buffer_map,
    .buffer_unmap = firmware_buffer_unmap,
    .pci_enumerate = firmware_pci_enumerate,
    .pci_claim = firmware_pci_claim,
    .pci_release = firmware_pci_release,
    .pci_stop_dma = firmware_pci_stop_dma,
    .pci_config_read32 = firmware_pci_config_read32,
    .pci_config_write32 = firmware_pci_config_write32,
    .pci_map_registers = firmware_pci_map_registers,
    .register_read = firmware_register_read,
    .register_write = firmware_register_write,
    .workers_start = firmware_workers_start,
    .workers_join = firmware_workers_join,
    .worker_wait = firmware_worker_wait,
    .worker_wake = firmware_worker_wake,
    .hold_events = firmware_hold_events,
    .release_events = firmware_release_events,
};

void firmware_start(struct firmware *firmware, EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_GUID attribute_guid = EFI_MEMORY_ATTRIBUTE_PROTOCOL_GUID;

    memset(firmware, 0, sizeof(*firmware));
    firmware->platform.ops = &firmware_ops;
    firmware->platform.processors = 1;
    firmware->image = image;
    firmware->system = system;
    firmware->boot = system->BootServices;
    firmware->boot->SetWatchdogTimer(0, 0, 0, NULL);
    processor_prepare(&firmware->processor);
    firmware_time_start(firmware);
    firmware_console_start(firmware);
    firmware->memory_attribute = firmware_protocol(firmware, &attribute_guid);
    random_start(firmware);
    firmware_workers_count(firmware);
}

bool firmware_stop(struct firmware *firmware)
{
    bool all_back = firmware_workers_stop(firmware);

    firmware_pci_stop(firmware);
    processor_restore(&firmware->processor);
    return all_back;
}
