/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux swap: only the header's page means anything, unless a suspended system lies in the rest.
 *
 * Layout as in the kernel's include/linux/swap.h (union swap_header): 1,024 bytes for boot code, version, last page, number of bad
 * pages, UUID, label; the signature in the last ten bytes of the page. Hibernation puts its own signature there until
 * resume (kernel/power/swap.c; uswsusp and TuxOnIce have theirs).
 *
 * The signature is weak: it lies where a later FAT volume keeps unused sectors. So the boot area has to be empty as well.
 */
#include "fs/drivers.h"
#include "fs/reader.h"
#include "fs/volume.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURE_BYTES 10
#define HEADER_OFFSET 1024
#define BAD_PAGES_MAX ((4096 - 1024 - 512 - 10) / 4) /* in a page of 4 KiB */

enum swap_state { SWAP_NONE, SWAP_ACTIVE, SWAP_SUSPENDED };

/* The page sizes of Linux's architectures; the signature tells which one it was. */
static const uint32_t page_sizes[] = {4096, 8192, 16384, 32768, 65536};

static enum swap_state signature_state(const uint8_t *signature)
{
    static const struct {
        const char *text;
        size_t size;
        enum swap_state state;
    } signatures[] = {
        {"SWAPSPACE2", 10, SWAP_ACTIVE},    {"SWAP-SPACE", 10, SWAP_ACTIVE},
        {"S1SUSPEND", 9, SWAP_SUSPENDED},   {"S2SUSPEND", 9, SWAP_SUSPENDED},
        {"ULSUSPEND", 9, SWAP_SUSPENDED},   {"\xed\xc3\x02\xe9\x98\x56\xe5\x0c", 8, SWAP_SUSPENDED},
        {"LINHIB0001", 10, SWAP_SUSPENDED},
    };

    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++)
        if (memcmp(signature, signatures[i].text, signatures[i].size) == 0)
            return signatures[i].state;
    return SWAP_NONE;
}

/* The page with a signature at its end; 0: none. */
static uint32_t find_page(const uint8_t *head, size_t head_size, enum swap_state *state)
{
    *state = SWAP_NONE;
    for (size_t i = 0; i < sizeof page_sizes / sizeof page_sizes[0] && page_sizes[i] <= head_size; i++) {
        *state = signature_state(head + page_sizes[i] - SIGNATURE_BYTES);
        if (*state != SWAP_NONE)
            return page_sizes[i];
    }
    return 0;
}

static bool swap_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    const uint8_t *header = head + HEADER_OFFSET;
    enum swap_state state;
    uint32_t page = find_page(head, head_size, &state);

    (void)volume;
    if (!page)
        return false;
    snprintf(info->type, sizeof info->type, state == SWAP_ACTIVE ? "swap" : "swsuspend");
    info->block_size = page;
    info->total_bytes = ((uint64_t)load_le32(header + 4) + 1) * page;
    info->used_bytes = state == SWAP_ACTIVE ? page : UINT64_MAX;
    if (!bytes_are_zero(header + 12, 16))
        volume_uuid_text(info->uuid, header + 12);
    volume_text(info->label, sizeof info->label, header + 28, 16);
    return true;
}

static int swap_check(struct block_device *volume, struct allocation *allocation)
{
    uint8_t head[4096];
    const uint8_t *header = head + HEADER_OFFSET;
    uint32_t page = allocation->info.block_size;
    uint8_t signature[SIGNATURE_BYTES];
    int status = reader_read(volume, allocation, 0, head, 4096, "header");

    if (!status)
        status = reader_read(volume, allocation, page - SIGNATURE_BYTES, signature, sizeof signature, "header");
    if (status)
        return status;
    if (signature_state(signature) == SWAP_SUSPENDED) {
        reader_remark(allocation, MESSAGE_WARNING, MESSAGE_FS_SWAP_HIBERNATED);
        return READER_DOUBT;
    }
    if (memcmp(signature, "SWAPSPACE2", sizeof signature) != 0)
        return reader_doubt(allocation, MESSAGE_FS_UNKNOWN_FEATURE, "version 0", page - SIGNATURE_BYTES);
    if (load_le32(header) != 1)
        return reader_doubt(allocation, MESSAGE_FS_UNKNOWN_FEATURE, "version", HEADER_OFFSET);
    if (!bytes_are_zero(head, HEADER_OFFSET))
        return reader_doubt(allocation, MESSAGE_FS_DAMAGED, "something in its boot area", 0);
    if (!load_le32(header + 4) || load_le32(header + 8) > BAD_PAGES_MAX + (page - 4096) / 4)
        return reader_doubt(allocation, MESSAGE_FS_DAMAGED, "header", HEADER_OFFSET);
    return reader_fits(volume, allocation, allocation->info.total_bytes);
}

static int swap_read_allocation(struct block_device *volume, struct allocation *allocation)
{
    int status = swap_check(volume, allocation);

    if (!status)
        status = extent_list_add(&allocation->used, 0, allocation->info.block_size);
    if (!status)
        status = volume_add_tail(&allocation->used, allocation->info.total_bytes, block_device_bytes(volume));
    if (!status)
        reader_remark(allocation, MESSAGE_INFO, MESSAGE_FS_SWAP);
    return reader_finish(allocation, status);
}

const struct filesystem_driver swap_filesystem = {
    .name = "swap", .probe = swap_probe, .read_allocation = swap_read_allocation};
