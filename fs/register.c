/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/drivers.h"

void filesystem_register_all(void)
{
    /*
     * Containers first, for what they hold may show through; then strong signatures; those that an older or newer neighbour
     * can imitate (FAT's boot sector, the ten bytes of swap) last.
     */
    static const struct filesystem_driver *const all[] = {
        &bitlocker_filesystem, &luks_filesystem,    &lvm_filesystem,      &raid_filesystem,
        &ntfs_filesystem,      &exfat_filesystem,   &ext_filesystem,      &apfs_filesystem,
        &refs_filesystem,      &xfs_filesystem,     &squashfs_filesystem, &btrfs_filesystem,
        &hfsplus_filesystem,   &iso9660_filesystem, &fat_filesystem,      &swap_filesystem,
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        filesystem_register(all[i]);
}
