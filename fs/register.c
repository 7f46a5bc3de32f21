/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/drivers.h"

void filesystem_register_all(void)
{
    filesystem_register(&ext_filesystem);
    filesystem_register(&ntfs_filesystem);
}
