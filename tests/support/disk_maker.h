/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partitioned disks made by the real tools, for the tests of partition tables. Included by them alone, after cmocka.h. */
#ifndef TESTS_SUPPORT_DISK_MAKER_H
#define TESTS_SUPPORT_DISK_MAKER_H

#include "core/partition.h"
#include "tests/support/volume_maker.h"

#define MIB (1024u * 1024)
#define DISK_GUID "11111111-2222-3333-4444-555555555555"
#define GPT_DISK (32 * MIB)

/* A disk of `size` bytes named "image", made by a command once and copied from then on. */
void make_disk(struct test_volume *disk, size_t size, uint32_t block, const char *command);
/*
 * A disk of `size` bytes that holds what was a GPT disk of GPT_DISK bytes before. Partitions, not in the order of their numbers:
 * 1 at block 2048 (8192 blocks, EFI system), 3 at 20000 (2048, Microsoft reserved), 4 at 40000 (4096, Linux).
 */
void make_gpt(struct test_volume *disk, size_t size);
/*
 * A disk of 32 MiB with an MBR: 1 at 2048 (4096 blocks, active), 3 at 50000 (1000), an extended partition at 8192 (40000) with 5 at
 * 10240 (2048), 6 at 14336 (2048), 7 at 20480 (1024).
 */
void make_mbr(struct test_volume *disk);
/* Makes both checksums of the GPT header at `lba` right again, whatever it says. */
void reseal_gpt(struct test_volume *disk, uint64_t lba);
/* For the end of the group: frees what make_disk() keeps. */
int forget_disks(void **state);

#endif
