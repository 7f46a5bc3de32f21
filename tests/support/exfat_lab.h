/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exFAT volumes made by mkfs.exfat, written through our store, and looked at as bytes. The environment's TESTS is tests/support. What
 * fails fails the test.
 */
#ifndef TESTS_SUPPORT_EXFAT_LAB_H
#define TESTS_SUPPORT_EXFAT_LAB_H

#include "tests/support/volume_maker.h"

#define EXFAT_LAB_CLUSTER 4096u /* bytes, where exfat_lab_set() looks */

void exfat_lab_format(struct test_volume *volume, size_t size, const char *options);
struct stream_store *exfat_lab_open_store(struct block_device *device, const char *path, bool write);
struct stream *exfat_lab_open_file(struct stream_store *store, unsigned volume, bool write);
void exfat_lab_write_file(struct stream_store *store, unsigned volume, const uint8_t *bytes, size_t size);

/* By programs that know nothing of ours: the volume has no faults and is marked as clean; the file is these bytes. */
void exfat_lab_assert_clean(struct test_volume *volume);
void exfat_lab_assert_file(struct test_volume *volume, const char *path, const uint8_t *bytes, size_t size);

uint8_t *exfat_lab_boot_sector(struct test_volume *volume);
uint8_t *exfat_lab_cluster(struct test_volume *volume, uint32_t cluster);
uint8_t *exfat_lab_root(struct test_volume *volume);
/* The root directory's first entry of a type. */
uint8_t *exfat_lab_entry(struct test_volume *volume, uint8_t type);
/* A file's entry set in a folder of one cluster, by the first letter of its name; its first cluster; its checksum made right. */
uint8_t *exfat_lab_set(uint8_t *folder, char letter);
uint32_t exfat_lab_first(const uint8_t *set);
void exfat_lab_seal(uint8_t *set);
/* The flag in the boot sector. */
void exfat_lab_mark_dirty(struct test_volume *volume);
bool exfat_lab_is_dirty(struct test_volume *volume);

#endif
