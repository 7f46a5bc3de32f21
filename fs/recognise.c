/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers and file systems that are only recognised: shown in a list, always copied whole. Each signature with the place that
 * its owner's documentation or headers give; numbers are little-endian unless a line says otherwise.
 */
#include "fs/drivers.h"
#include "fs/reader.h"
#include "fs/volume.h"

#include <stdio.h>
#include <string.h>

static bool has(const uint8_t *head, size_t head_size, size_t offset, const void *signature, size_t size)
{
    return offset + size <= head_size && memcmp(head + offset, signature, size) == 0;
}

static void set_type(struct filesystem_info *info, const char *type)
{
    snprintf(info->type, sizeof info->type, "%s", type);
}

static uint32_t load_be32(const uint8_t *bytes)
{
    return __builtin_bswap32(load_le32(bytes));
}

static uint64_t load_be64(const uint8_t *bytes)
{
    return __builtin_bswap64(load_le64(bytes));
}

/* Sizes from hostile headers: UINT64_MAX when the product cannot be said. */
static uint64_t product(uint64_t count, uint64_t unit)
{
    uint64_t bytes;

    return __builtin_mul_overflow(count, unit, &bytes) ? UINT64_MAX : bytes;
}

static int encrypted(struct block_device *volume, struct allocation *allocation)
{
    const char *name = strcmp(allocation->info.type, "luks") == 0 ? "LUKS" : "BitLocker";

    (void)volume;
    message_add(&allocation->messages, MESSAGE_WARNING, MESSAGE_FS_ENCRYPTED, 0, name, NULL, 0, 0);
    return 0;
}

/*
 * BitLocker: the OEM name in the boot sector. On removable media (BitLocker To Go) a FAT32 boot sector of a small volume that
 * only holds a reader stands in front; BitLocker's own GUID at 424 tells it from a real FAT32.
 */
static bool bitlocker_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                            struct filesystem_info *info)
{
    static const uint8_t guid[16] = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
                                     0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};

    (void)volume;
    if (!has(head, head_size, 3, "-FVE-FS-", 8) && !has(head, head_size, 424, guid, sizeof guid))
        return false;
    set_type(info, "bitlocker");
    return true;
}

/*
 * LUKS 1 and 2: magic, version (big-endian) at 6, UUID as text at 168; label of version 2 at 24. Version 2 has a second header with its
 * own magic at one of a few places: it tells a volume whose first header is lost.
 */
static bool luks_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    size_t at = 0;

    (void)volume;
    if (!has(head, head_size, 0, "LUKS\xba\xbe", 6)) {
        for (at = 16384; at < head_size && !has(head, head_size, at, "SKUL\xba\xbe", 6); at *= 2)
            continue;
        if (at >= head_size)
            return false;
    }
    if (at + 512 > head_size)
        return false;
    set_type(info, "luks");
    if (head[at + 7] == 2)
        volume_text(info->label, sizeof info->label, head + at + 24, 48);
    volume_text(info->uuid, 37, head + at + 168, 36);
    return true;
}

/* LVM2 physical volume: a label in one of the first four sectors; UUID of 32 characters where its offset (at 20) says. */
static bool lvm_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    (void)volume;
    for (size_t label = 0; label < 4 * 512 && label + 512 <= head_size; label += 512) {
        size_t uuid = load_le32(head + label + 20), to = 0;

        if (!has(head, head_size, label, "LABELONE", 8) || !has(head, head_size, label + 24, "LVM2 001", 8))
            continue;
        set_type(info, "lvm2");
        if (uuid > 512 - 40)
            return true;
        for (size_t i = 0; i < 32; i++) { /* grouped as 6-4-4-4-4-4-6 */
            char character = (char)head[label + uuid + i];

            if (i == 6 || i == 10 || i == 14 || i == 18 || i == 22 || i == 26)
                info->uuid[to++] = '-';
            info->uuid[to++] = (char)(character > ' ' && character < 0x7f ? character : '_');
        }
        info->uuid[to] = 0;
        info->total_bytes = load_le64(head + label + uuid + 32);
        return true;
    }
    return false;
}

#define RAID_MAGIC 0xa92b4efcu

/* Version 1.x superblock: major version at 4, UUID of the set at 16, its name at 32. */
static bool raid_superblock(const uint8_t *super, struct filesystem_info *info)
{
    if (load_le32(super) != RAID_MAGIC || load_le32(super + 4) != 1)
        return false;
    set_type(info, "mdraid");
    volume_uuid_text(info->uuid, super + 16);
    volume_text(info->label, sizeof info->label, super + 32, 32);
    return true;
}

/*
 * Linux RAID: version 1.1 at the start, 1.2 at 4 KiB, 1.0 in the last 8 to 12 KiB, 0.90 in the last 64 to 128 KiB. With the last two
 * a mirror's half looks like the plain file system from its start.
 */
static bool raid_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    uint64_t sectors = block_device_bytes(volume) / 512;
    uint8_t super[128];

    if ((head_size >= 128 && raid_superblock(head, info)) ||
        (head_size >= 4096 + 128 && raid_superblock(head + 4096, info)))
        return true;
    if (sectors < 256)
        return false;
    if (!block_read_bytes(volume, ((sectors - 16) & ~7ull) * 512, super, sizeof super, NULL) &&
        raid_superblock(super, info))
        return true;
    if (block_read_bytes(volume, ((sectors & ~127ull) - 128) * 512, super, sizeof super, NULL) ||
        (load_le32(super) != RAID_MAGIC && load_be32(super) != RAID_MAGIC) || load_le32(super + 4) != 0)
        return false;
    set_type(info, "mdraid");
    return true;
}

/* APFS container superblock: signature at 32, block size at 36, blocks at 40, UUID at 72. */
static bool apfs_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    (void)volume;
    if (head_size < 4096 || !has(head, head_size, 32, "NXSB", 4))
        return false;
    set_type(info, "apfs");
    info->block_size = load_le32(head + 36);
    info->total_bytes = product(load_le64(head + 40), info->block_size);
    volume_uuid_text(info->uuid, head + 72);
    return true;
}

/* ReFS: name at 3, file system recognition structure at 16. */
static bool refs_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    (void)volume;
    if (!has(head, head_size, 3, "ReFS\0\0\0\0", 8) || !has(head, head_size, 16, "FSRS", 4))
        return false;
    set_type(info, "refs");
    return true;
}

/* XFS superblock, big-endian: block size at 4, blocks at 8, UUID at 32, label at 108, free blocks at 144. */
static bool xfs_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    uint64_t blocks, unused;

    (void)volume;
    if (head_size < 512 || !has(head, head_size, 0, "XFSB", 4))
        return false;
    set_type(info, "xfs");
    info->block_size = load_be32(head + 4);
    blocks = load_be64(head + 8);
    unused = load_be64(head + 144);
    info->total_bytes = product(blocks, info->block_size);
    if (unused <= blocks)
        info->used_bytes = product(blocks - unused, info->block_size);
    volume_uuid_text(info->uuid, head + 32);
    volume_text(info->label, sizeof info->label, head + 108, 12);
    return true;
}

/* Squashfs 4: bytes used at 40. */
static bool squashfs_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                           struct filesystem_info *info)
{
    (void)volume;
    if (head_size < 96 || !has(head, head_size, 0, "hsqs", 4) || load_le16(head + 28) != 4)
        return false;
    set_type(info, "squashfs");
    info->block_size = load_le32(head + 12);
    info->total_bytes = info->used_bytes = load_le64(head + 40);
    return true;
}

/* Btrfs superblock at 64 KiB: UUID at 32, magic at 64, total and used bytes at 112 and 120, sector size at 144, label at 299. */
static bool btrfs_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                        struct filesystem_info *info)
{
    const uint8_t *super = head + 65536;

    (void)volume;
    if (head_size < 65536 + 4096 || !has(head, head_size, 65536 + 64, "_BHRfS_M", 8))
        return false;
    set_type(info, "btrfs");
    volume_uuid_text(info->uuid, super + 32);
    volume_text(info->label, sizeof info->label, super + 299, 256);
    info->total_bytes = load_le64(super + 112);
    info->used_bytes = load_le64(super + 120);
    info->block_size = load_le32(super + 144);
    return true;
}

/* HFS+ volume header at 1,024, big-endian: version at 2 (4 or 5), block size at 40, blocks at 44, free ones at 48. */
static bool hfsplus_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                          struct filesystem_info *info)
{
    const uint8_t *header = head + 1024;
    uint32_t blocks, unused;

    (void)volume;
    if (head_size < 1024 + 512 ||
        (!has(head, head_size, 1024, "H+\0\4", 4) && !has(head, head_size, 1024, "HX\0\5", 4)))
        return false;
    set_type(info, "hfsplus");
    info->block_size = load_be32(header + 40);
    blocks = load_be32(header + 44);
    unused = load_be32(header + 48);
    info->total_bytes = product(blocks, info->block_size);
    if (unused <= blocks)
        info->used_bytes = product(blocks - unused, info->block_size);
    return true;
}

/* ISO 9660 primary volume descriptor (ECMA-119, 8.4) in sector 16: label at 40, sectors at 80. */
static bool iso9660_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                          struct filesystem_info *info)
{
    const uint8_t *descriptor = head + 32768;
    size_t length = 32;

    (void)volume;
    if (head_size < 32768 + 2048 || !has(head, head_size, 32768, "\1CD001\1", 7))
        return false;
    set_type(info, "iso9660");
    info->block_size = 2048;
    info->total_bytes = info->used_bytes = (uint64_t)load_le32(descriptor + 80) * 2048;
    while (length && descriptor[40 + length - 1] == ' ')
        length--;
    volume_text(info->label, sizeof info->label, descriptor + 40, length);
    return true;
}

const struct filesystem_driver bitlocker_filesystem = {
    .name = "bitlocker", .probe = bitlocker_probe, .read_allocation = encrypted};
const struct filesystem_driver luks_filesystem = {.name = "luks", .probe = luks_probe, .read_allocation = encrypted};
const struct filesystem_driver lvm_filesystem = {.name = "lvm2", .probe = lvm_probe};
const struct filesystem_driver raid_filesystem = {.name = "mdraid", .probe = raid_probe};
const struct filesystem_driver apfs_filesystem = {.name = "apfs", .probe = apfs_probe};
const struct filesystem_driver refs_filesystem = {.name = "refs", .probe = refs_probe};
const struct filesystem_driver xfs_filesystem = {.name = "xfs", .probe = xfs_probe};
const struct filesystem_driver squashfs_filesystem = {.name = "squashfs", .probe = squashfs_probe};
const struct filesystem_driver btrfs_filesystem = {.name = "btrfs", .probe = btrfs_probe};
const struct filesystem_driver hfsplus_filesystem = {.name = "hfsplus", .probe = hfsplus_probe};
const struct filesystem_driver iso9660_filesystem = {.name = "iso9660", .probe = iso9660_probe};
