/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory: small pieces from the firmware's pool, stacks with a guard below, buffers for devices from whole
 * pages.
 */
#include <string.h>

#include "boot/efi_firmware.h"

#define PAGE 4096u
#define PAGES_OF(size) (((size) + PAGE - 1) / PAGE)
#define GUARD_PATTERN 0xe1d0106ac0ffee57ULL

/* Stands right below each piece: the pool aligns to 8 only. */
struct allocation_head {
    void *raw;
    UINT64 check;
};

void *firmware_allocate(struct platform *platform, size_t size)
{
    struct firmware *firmware = firmware_of(platform);
    VOID *raw = NULL;

    if (size > SIZE_MAX / 2)
        return NULL;
    if (EFI_ERROR(firmware->boot->AllocatePool(EfiLoaderData, size + sizeof(struct allocation_head) + 16, &raw)))
        return NULL;
    UINTN address = ((UINTN)raw + sizeof(struct allocation_head) + 15) & ~(UINTN)15;
    struct allocation_head *head = (struct allocation_head *)address - 1;
    head->raw = raw;
    head->check = (UINTN)raw ^ GUARD_PATTERN;
    firmware->pieces++;
    return (void *)address;
}

void firmware_release(struct platform *platform, void *memory)
{
    struct allocation_head *head = (struct allocation_head *)memory - 1;

    if (!memory)
        return;
    /* What was overwritten or freed before is left alone: leaking is the smaller evil. */
    if (head->check != ((UINTN)head->raw ^ GUARD_PATTERN)) {
        platform_log(platform, LOG_ERROR, "memory at %p was damaged or freed twice", memory);
        return;
    }
    head->check = 0;
    firmware_of(platform)->pieces--;
    firmware_of(platform)->boot->FreePool(head->raw);
}

/*
 * The page below `memory`: unreadable where the firmware offers that, else a pattern that is looked at on
 * release.
 */
static void guard_set(struct firmware *firmware, UINT64 *guard)
{
    for (size_t i = 0; i < PAGE / sizeof(*guard); i++)
        guard[i] = GUARD_PATTERN;
    if (firmware->memory_attribute)
        firmware->memory_attribute->set(firmware->memory_attribute, (UINTN)guard, PAGE, EFI_MEMORY_RP);
}

static bool guard_clear(struct firmware *firmware, const UINT64 *guard)
{
    if (firmware->memory_attribute &&
        EFI_ERROR(firmware->memory_attribute->clear(firmware->memory_attribute, (UINTN)guard, PAGE, EFI_MEMORY_RP)))
        return true; /* still closed, so nobody wrote to it; it stays ours */
    for (size_t i = 0; i < PAGE / sizeof(*guard); i++)
        if (guard[i] != GUARD_PATTERN)
            return false;
    return true;
}

void *firmware_allocate_guarded(struct platform *platform, size_t size)
{
    struct firmware *firmware = firmware_of(platform);
    EFI_PHYSICAL_ADDRESS address = 0;

    if (size > SIZE_MAX / 2)
        return NULL;
    if (EFI_ERROR(firmware->boot->AllocatePages(AllocateAnyPages, EfiLoaderData, PAGES_OF(size) + 1, &address)))
        return NULL;
    firmware->pages += PAGES_OF(size) + 1;
    guard_set(firmware, (UINT64 *)address);
    return (void *)(address + PAGE);
}

void firmware_release_guarded(struct platform *platform, void *memory, size_t size)
{
    struct firmware *firmware = firmware_of(platform);

    if (!memory)
        return;
    UINTN guard = (UINTN)memory - PAGE;
    if (!guard_clear(firmware, (const UINT64 *)guard))
        platform_log(platform, LOG_ERROR, "a stack or arena overflowed into its guard page");
    firmware->pages -= PAGES_OF(size) + 1;
    firmware->boot->FreePages(guard, PAGES_OF(size) + 1);
}

int firmware_buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer)
{
    EFI_PHYSICAL_ADDRESS address = 0;

    memset(buffer, 0, sizeof(*buffer));
    if (!size || size > SIZE_MAX / 2)
        return -ERROR_NO_MEMORY;
    if (EFI_ERROR(
            firmware_of(platform)->boot->AllocatePages(AllocateAnyPages, EfiLoaderData, PAGES_OF(size), &address)))
        return -ERROR_NO_MEMORY;
    buffer->platform = platform;
    buffer->data = (void *)address;
    buffer->size = PAGES_OF(size) * (size_t)PAGE;
    firmware_of(platform)->pages += PAGES_OF(size);
    return 0;
}

void firmware_buffer_release(struct buffer *buffer)
{
    if (buffer->data) {
        firmware_of(buffer->platform)->pages -= buffer->size / PAGE;
        firmware_of(buffer->platform)->boot->FreePages((UINTN)buffer->data, buffer->size / PAGE);
    }
    buffer->data = NULL;
    buffer->size = 0;
}

void firmware_memory_check(struct firmware *firmware)
{
    if (firmware->pieces || firmware->pages)
        platform_log(&firmware->platform, LOG_WARNING, "%lu pieces and %lu pages of memory were not given back",
                     (unsigned long)firmware->pieces, (unsigned long)firmware->pages);
}
