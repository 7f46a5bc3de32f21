/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/exfat_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/bytes.h"
#include "fs/drivers.h"

#define ENTRY 32

void exfat_lab_format(struct test_volume *volume, size_t size, const char *options)
{
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "mkfs.exfat %s image", options), 0);
    test_volume_open(volume, 512);
}

struct stream_store *exfat_lab_open_store(struct block_device *device, const char *path, bool write)
{
    struct stream_store *store = NULL;
    struct error error = {0};

    if (exfat_filesystem.open_store(device, path, write, &store, &error) < 0)
        fail_msg("%s, %s", error_code_name(error.code), error.detail);
    return store;
}

struct stream *exfat_lab_open_file(struct stream_store *store, unsigned volume, bool write)
{
    struct stream *stream = NULL;
    struct error error = {0};

    if (store->open(store, volume, write, &stream, &error) < 0)
        fail_msg("%s, %s", error_code_name(error.code), error.detail);
    return stream;
}

void exfat_lab_write_file(struct stream_store *store, unsigned volume, const uint8_t *bytes, size_t size)
{
    struct stream *stream = exfat_lab_open_file(store, volume, true);

    assert_int_equal(stream_write(stream, 0, bytes, size, NULL), 0);
    assert_int_equal(stream_close(stream, NULL), 0);
}

void exfat_lab_assert_clean(struct test_volume *volume)
{
    assert_int_equal(test_volume_run(volume, "fsck.exfat -n image && $TESTS/exfat_cat.py image"), 0);
}

void exfat_lab_assert_file(struct test_volume *volume, const char *path, const uint8_t *bytes, size_t size)
{
    assert_true(test_volume_expect(volume, bytes, size));
    assert_int_equal(test_volume_run(volume, "$TESTS/exfat_cat.py image '%s' >out && cmp out expected", path), 0);
}

uint8_t *exfat_lab_boot_sector(struct test_volume *volume)
{
    return volume->bytes;
}

uint8_t *exfat_lab_cluster(struct test_volume *volume, uint32_t cluster)
{
    const uint8_t *boot = exfat_lab_boot_sector(volume);
    uint64_t heap = (uint64_t)load_le32(boot + 88) << boot[108];

    return volume->bytes + heap + ((uint64_t)(cluster - 2) << (boot[108] + boot[109]));
}

uint8_t *exfat_lab_root(struct test_volume *volume)
{
    return exfat_lab_cluster(volume, load_le32(exfat_lab_boot_sector(volume) + 96));
}

uint8_t *exfat_lab_entry(struct test_volume *volume, uint8_t type)
{
    uint8_t *entry = exfat_lab_root(volume);

    while (*entry != type) {
        assert_int_not_equal(*entry, 0);
        entry += ENTRY;
    }
    return entry;
}

void exfat_lab_mark_dirty(struct test_volume *volume)
{
    exfat_lab_boot_sector(volume)[106] |= 2;
}

bool exfat_lab_is_dirty(struct test_volume *volume)
{
    return exfat_lab_boot_sector(volume)[106] & 2;
}

uint8_t *exfat_lab_set(uint8_t *folder, char letter)
{
    for (uint8_t *entry = folder; entry < folder + EXFAT_LAB_CLUSTER; entry += ENTRY)
        if (entry[0] == 0x85 && entry[2 * ENTRY + 2] == (uint8_t)letter)
            return entry;
    fail_msg("no %c", letter);
    return NULL;
}

uint32_t exfat_lab_first(const uint8_t *set)
{
    return load_le32(set + ENTRY + 20);
}

void exfat_lab_seal(uint8_t *set)
{
    uint16_t sum = 0;

    for (unsigned i = 0; i < (1u + set[1]) * ENTRY; i++)
        if (i != 2 && i != 3)
            sum = (uint16_t)((uint16_t)(sum << 15 | sum >> 1) + set[i]);
    store_le16(set + 2, sum);
}
