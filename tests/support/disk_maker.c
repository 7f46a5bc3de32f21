/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/disk_maker.h"

#include "core/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Disks that were made before: the tools sync the whole machine each time. */
static struct made_disk {
    const char *command;
    size_t size;
    uint8_t *bytes;
} made_disks[40];

void make_disk(struct test_volume *disk, size_t size, uint32_t block, const char *command)
{
    struct made_disk *made = made_disks;

    while (made->command && (strcmp(made->command, command) != 0 || made->size != size))
        made++;
    test_volume_init(disk, size);
    if (!made->command)
        if (test_volume_run(disk, "%s", command) != 0) {
            fprintf(stderr, "%s: failed\n", command);
            abort();
        }
    test_volume_open(disk, block);
    if (!made->command) {
        *made = (struct made_disk){command, size, malloc(size)};
        memcpy(made->bytes, disk->bytes, size);
    } else {
        memcpy(disk->bytes, made->bytes, size);
    }
}

int forget_disks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof made_disks / sizeof made_disks[0]; i++)
        free(made_disks[i].bytes);
    return 0;
}

#define GPT_COMMAND                                                                                                    \
    "sgdisk -o -U " DISK_GUID " -a 1 -n 1:2048:+4M -t 1:ef00 -c 1:ESP -n 4:40000:+2M -t 4:8300 -n 3:20000:+1M "        \
    "-t 3:0c01 -u 3:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee -c 3:'M\xc3\xa4rz \xf0\x9f\x92\xbe' image"

void make_gpt(struct test_volume *disk, size_t size)
{
    struct test_volume made;

    make_disk(&made, GPT_DISK, 512, GPT_COMMAND);
    test_volume_init(disk, size);
    test_volume_open(disk, 512);
    memcpy(disk->bytes, made.bytes, size < GPT_DISK ? size : GPT_DISK);
    test_volume_free(&made);
}

static const char mbr_command[] =
    "printf 'label-id: 0xdeadbeef\\n2048,4096,7,*\\n8192,40000,f\\n50000,1000,82\\n,0,0\\n"
    "10240,2048,83\\n14336,2048,b\\n20480,1024,83\\n' | sfdisk -X dos image";

void make_mbr(struct test_volume *disk)
{
    make_disk(disk, 32 * MIB, 512, mbr_command);
}

void reseal_gpt(struct test_volume *disk, uint64_t lba)
{
    uint8_t *header = disk->bytes + lba * 512;
    uint64_t array = load_le64(header + 72) * 512, size = (uint64_t)load_le32(header + 80) * load_le32(header + 84);

    if (array < disk->size && size <= disk->size - array)
        store_le32(header + 88, crc32_ieee(0, disk->bytes + array, size));
    store_le32(header + 16, 0);
    store_le32(header + 16, crc32_ieee(0, header, 92));
}
