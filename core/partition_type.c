/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of partition types; GUIDs as text. The values are the registered ones (UEFI 2.10, table 5.7, and their owners' lists). */
#include "core/partition_internal.h"

#include <string.h>

void guid_format(const uint8_t guid[16], char text[37])
{
    /* UEFI 2.10, appendix A: the first three fields are little-endian. */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t used = 0;

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[used++] = '-';
        text[used++] = "0123456789abcdef"[guid[order[i]] >> 4];
        text[used++] = "0123456789abcdef"[guid[order[i]] & 15];
    }
    text[used] = 0;
}

static const struct {
    const char *guid, *name;
} guid_types[] = {
    {"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"},
    {"21686148-6449-6e6f-744e-656564454649", "BIOS boot"},
    {"024dee41-33e7-11d3-9d69-0008c781f39f", "MBR scheme"},
    {"e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"},
    {"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"},
    {"de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"},
    {"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "Windows LDM metadata"},
    {"af9b60a0-1431-4f62-bc68-3311714a69ad", "Windows LDM data"},
    {"e75caf8f-f680-4cee-afa3-b001e56efc2d", "Windows storage spaces"},
    {"0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux"},
    {"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"},
    {"e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"},
    {"a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"},
    {"bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux boot"},
    {"933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"},
    {"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"},
    {"ca7d7ccb-63ed-4c53-861c-1742536059cc", "Linux LUKS"},
    {"7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS"},
    {"48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+"},
    {"516e7cb4-6ecf-11d6-8ff8-00022d09712b", "FreeBSD data"},
    {"516e7cba-6ecf-11d6-8ff8-00022d09712b", "FreeBSD ZFS"},
    {"6a898cc3-1dd2-11b2-99a6-080020736631", "ZFS"},
};

static const struct {
    uint8_t type;
    const char *name;
} mbr_types[] = {
    {0x01, "FAT12"},
    {0x04, "FAT16"},
    {0x06, "FAT16"},
    {0x07, "NTFS or exFAT"},
    {0x0b, "FAT32"},
    {0x0c, "FAT32"},
    {0x0e, "FAT16"},
    {0x11, "hidden FAT12"},
    {0x14, "hidden FAT16"},
    {0x16, "hidden FAT16"},
    {0x17, "hidden NTFS"},
    {0x1b, "hidden FAT32"},
    {0x1c, "hidden FAT32"},
    {0x1e, "hidden FAT16"},
    {0x27, "Windows recovery"},
    {0x42, "Windows LDM data"},
    {0x82, "Linux swap"},
    {0x83, "Linux"},
    {0x8e, "Linux LVM"},
    {0xa5, "FreeBSD"},
    {0xa6, "OpenBSD"},
    {0xa9, "NetBSD"},
    {0xaf, "Apple HFS+"},
    {0xef, "EFI system"},
    {0xfd, "Linux RAID"},
};

const char *partition_type_name(const struct partition_table *table, const struct partition *partition)
{
    char text[37];

    if (table->kind == TABLE_GPT) {
        guid_format(partition->type_guid, text);
        for (size_t i = 0; i < sizeof guid_types / sizeof guid_types[0]; i++)
            if (strcmp(guid_types[i].guid, text) == 0)
                return guid_types[i].name;
    } else if (table->kind == TABLE_MBR) {
        for (size_t i = 0; i < sizeof mbr_types / sizeof mbr_types[0]; i++)
            if (mbr_types[i].type == partition->mbr_type)
                return mbr_types[i].name;
    }
    return "";
}

bool partition_is_opaque(const struct partition_table *table, const struct partition *partition)
{
    const char *name = partition_type_name(table, partition);

    return strcmp(name, "Windows LDM data") == 0 || strcmp(name, "Windows LDM metadata") == 0 ||
           strcmp(name, "Windows storage spaces") == 0;
}
