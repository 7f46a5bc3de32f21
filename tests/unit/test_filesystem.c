/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recognition of everything that is registered, and what becomes of readers that lie, hang, fail or eat memory. The latter are
 * fakes: a volume that begins with "fake" and a letter is theirs.
 */
#include "core/bytes.h"
#include "core/fiber.h"
#include "core/library.h"
#include "fs/drivers.h"
#include "tests/support/emulated_device.h"
#include "tests/support/test_platform.h"
#include "tests/support/volume_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024u * 1024)
#define FAKE_BYTES (8ull * MIB)

/* --- the fakes --- */

static bool fake_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    (void)volume;
    if (head_size < 5 || memcmp(head, "fake", 4) != 0)
        return false;
    snprintf(info->type, sizeof info->type, "fake");
    info->total_bytes = head[4] == 'b' ? FAKE_BYTES + 1 : FAKE_BYTES;
    return true;
}

static bool rival_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                        struct filesystem_info *info)
{
    (void)volume;
    (void)info;
    return head_size > 6 && memcmp(head, "fake", 4) == 0 && head[5] == 'r';
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static int exact(struct allocation *allocation, uint64_t offset, uint64_t length)
{
    allocation->verdict = ALLOCATION_EXACT;
    return extent_list_add(&allocation->used, offset, length);
}

static int fake_read(struct block_device *volume, struct allocation *allocation)
{
    uint8_t head[512];
    int status = block_read_bytes(volume, 0, head, sizeof head, NULL);

    if (status)
        return status;
    status = exact(allocation, 0, 4096);
    switch (head[4]) {
    case 'g': /* a good one, with smaller blocks than the disk's */
        return exact(allocation, 10000, 100);
    case 'o': /* outside of the volume */
        return exact(allocation, FAKE_BYTES - 4096, 8192);
    case 'f': /* without the first block */
        return extent_list_remove(&allocation->used, 0, 512);
    case 'u': /* extents that no list would make */
        exact(allocation, 8192, 4096);
        exact(allocation, 32768, 4096);
        allocation->used.extents[1].offset = 65536;
        return 0;
    case 'e': /* an error that it should have kept for itself */
        return -ERROR_CORRUPT;
    case 'w':
        allocation->verdict = ALLOCATION_WHOLE;
        return 0;
    case 'c':
        return -ERROR_CANCELLED;
    case 'h': /* hangs */
        loop_wait(volume->loop, never, NULL, UINT64_MAX);
        return 0;
    case 'x': /* a library that calls exit() */
        library_exit(0);
    case 'm': /* eats memory; what it has got is dropped with it */
        while (library_malloc(MIB))
            continue;
        library_abort();
    default:
        return status;
    }
}

static const struct filesystem_driver fake = {.name = "fake", .probe = fake_probe, .read_allocation = fake_read};
static const struct filesystem_driver rival = {.name = "rival", .probe = rival_probe};

/* Runs the reader for `kind` on a disk of 4 KiB blocks with virtual time. Returns filesystem_allocation()'s answer. */
static int run_fake(const char *kind, struct allocation *allocation, uint64_t cancel_at)
{
    struct test_platform test;
    struct loop loop;
    struct block_device *disk;
    uint64_t wait_started;
    int status;

    filesystem_register(&fake);
    filesystem_register(&rival);
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    assert_int_equal(block_ram_create(&loop, 4096, FAKE_BYTES / 4096, NULL, &disk, NULL), 0);
    assert_int_equal(block_write_bytes(disk, 0, kind, strlen(kind), NULL), 0);
    wait_started = test.now;
    test.cancel_at = cancel_at;
    status = filesystem_allocation(disk, allocation);
    assert_true(test.now - wait_started < 3600 * NANOSECONDS_PER_SECOND);
    if (status || allocation->verdict == ALLOCATION_WHOLE)
        assert_int_equal(allocation->used.count, 0);
    allocation_free(allocation);
    block_device_stop(disk);
    test_platform_end(&test);
    return status;
}

static void assert_given_up(const char *kind, enum message_id id)
{
    struct allocation allocation;

    assert_int_equal(run_fake(kind, &allocation, UINT64_MAX), 0);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_true(test_has_message(&allocation, id));
}

static void test_lies(void **state)
{
    struct allocation allocation;

    (void)state;
    assert_int_equal(run_fake("fakeg", &allocation, UINT64_MAX), 0);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    assert_int_equal(allocation.messages.count, 0);
    assert_given_up("fakeo", MESSAGE_FS_READER_FAILED);
    assert_given_up("fakef", MESSAGE_FS_AUDIT_FAILED);
    assert_given_up("fakeu", MESSAGE_FS_READER_FAILED);
    assert_given_up("fakeb", MESSAGE_FS_BIGGER_THAN_VOLUME);
    assert_given_up("fakegr", MESSAGE_FS_READER_FAILED); /* somebody else recognises it as well */
    assert_given_up("nothing", MESSAGE_FS_UNKNOWN);
    assert_int_equal(run_fake("fakew", &allocation, UINT64_MAX), 0);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
}

static void test_failures(void **state)
{
    struct allocation allocation;

    (void)state;
    assert_given_up("fakee", MESSAGE_FS_READER_FAILED);
    assert_given_up("fakeh", MESSAGE_FS_READER_FAILED);
    assert_given_up("fakex", MESSAGE_FS_READER_FAILED);
    assert_given_up("fakem", MESSAGE_FS_READER_FAILED);
    assert_int_equal(run_fake("fakec", &allocation, UINT64_MAX), -ERROR_CANCELLED);
    /* A person who does not want to wait for one that hangs. */
    assert_int_equal(run_fake("fakeh", &allocation, 60 * NANOSECONDS_PER_SECOND), -ERROR_CANCELLED);
}

/* Extents are widened to the disk's blocks, and the volume's other bytes are left alone. */
static void test_widening(void **state)
{
    struct test_platform test;
    struct loop loop;
    struct block_device *disk;
    struct allocation allocation;

    (void)state;
    filesystem_register(&fake);
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    assert_int_equal(block_ram_create(&loop, 4096, FAKE_BYTES / 4096, NULL, &disk, NULL), 0);
    assert_int_equal(block_write_bytes(disk, 0, "fakeg", 5, NULL), 0);
    assert_int_equal(filesystem_allocation(disk, &allocation), 0);
    assert_int_equal(extent_list_total(&allocation.used), 8192);
    assert_true(extent_list_contains(&allocation.used, 8192, 4096));
    allocation_free(&allocation);
    block_device_stop(disk);
    test_platform_end(&test);
}

/* --- unreadable blocks --- */

/* FAT12 with one block of the disk bad: in its head nobody recognises it, later the reader gives up, among files nobody cares. */
static void check_bad_block(uint64_t lba, enum allocation_verdict verdict, enum message_id id)
{
    struct test_platform test;
    struct loop loop;
    struct test_volume volume;
    struct emulated_device disk;
    struct allocation allocation;

    filesystem_register_all();
    test_volume_init(&volume, 4 * MIB);
    assert_int_equal(test_volume_run(&volume, "mkfs.fat -F 12 -s 8 -f 2 -R 300 image"), 0);
    test_volume_open(&volume, 512);
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    emulated_start(&disk, &loop, &(struct emulated_options){.block_count = 8192});
    memcpy(disk.contents, volume.bytes, volume.size);
    emulated_add_fault(&disk, FAULT_ERROR, lba, 1);
    assert_int_equal(filesystem_allocation(&disk.device, &allocation), 0);
    assert_int_equal(allocation.verdict, verdict);
    assert_true(id == MESSAGE_NONE ? allocation.messages.count == 0 : test_has_message(&allocation, id));
    assert_true(emulated_untouched(&disk));
    allocation_free(&allocation);
    emulated_end(&disk);
    test_platform_end(&test);
    test_volume_free(&volume);
}

static void test_bad_blocks(void **state)
{
    (void)state;
    check_bad_block(0, ALLOCATION_WHOLE, MESSAGE_FS_UNKNOWN);
    check_bad_block(301, ALLOCATION_WHOLE, MESSAGE_FS_READER_FAILED); /* in the table */
    check_bad_block(304, ALLOCATION_WHOLE, MESSAGE_FS_READER_FAILED); /* in its second copy */
    check_bad_block(4000, ALLOCATION_EXACT, MESSAGE_NONE);
}

/* --- recognition --- */

static void check_made(const char *command, size_t size, const char *type, enum message_id whole_because)
{
    struct test_volume volume;
    struct allocation allocation;

    filesystem_register_all();
    test_volume_init(&volume, size);
    assert_int_equal(test_volume_run(&volume, "%s", command), 0);
    test_volume_open(&volume, 512);
    assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
    assert_string_equal(allocation.info.type, type);
    if (allocation.info.label[0])
        assert_string_equal(allocation.info.label, "LABEL");
    assert_int_equal(
        test_volume_run(&volume, "test \"$(blkid -p -o value -s UUID image)\" = '%s'", allocation.info.uuid), 0);
    assert_int_equal(allocation.verdict, whole_because ? ALLOCATION_WHOLE : ALLOCATION_EXACT);
    if (whole_because)
        assert_true(test_has_message(&allocation, whole_because));
    allocation_free(&allocation);
    test_volume_free(&volume);
}

static void test_made(void **state)
{
    (void)state;
    check_made("mkfs.ext4 -q -F -L LABEL image", 16 * MIB, "ext4", 0);
    check_made("mkntfs -q -F -f -L LABEL image", 16 * MIB, "ntfs", 0);
    check_made("mkfs.fat -F 16 -n LABEL image", 16 * MIB, "fat16", 0);
    check_made("mkfs.exfat -L LABEL image", 16 * MIB, "exfat", 0);
    check_made("mkswap -L LABEL image", 16 * MIB, "swap", 0);
    check_made("mkfs.btrfs -q -M -L LABEL image", 32 * MIB, "btrfs", MESSAGE_FS_NO_READER);
    check_made("mkfs.xfs -q -L LABEL image", 320 * MIB, "xfs", MESSAGE_FS_NO_READER);
    check_made("echo word | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 image", 16 * MIB,
               "luks", MESSAGE_FS_ENCRYPTED);
    check_made("echo word | cryptsetup luksFormat -q --type luks2 --label LABEL --pbkdf pbkdf2 "
               "--pbkdf-force-iterations 1000 image",
               32 * MIB, "luks", MESSAGE_FS_ENCRYPTED);
}

/* Signatures that no tool at hand writes to a file; the offsets are the formats'. */
static void test_signatures(void **state)
{
    static const struct {
        size_t offset, size;
        const char *signature, *type;
    } cases[] = {
        {3, 8, "-FVE-FS-", "bitlocker"},
        {424, 16, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01", "bitlocker"},
        {32768, 6, "SKUL\xba\xbe", "luks"},
        {0, 8, "\xfc\x4e\x2b\xa9\x01\0\0\0", "mdraid"},
        {4096, 8, "\xfc\x4e\x2b\xa9\x01\0\0\0", "mdraid"},
        {4 * MIB - 8192, 8, "\xfc\x4e\x2b\xa9\x01\0\0\0", "mdraid"},
        {4 * MIB - 65536, 8, "\xfc\x4e\x2b\xa9\0\0\0\0", "mdraid"},
        {32, 4, "NXSB", "apfs"},
        {3, 17, "ReFS\0\0\0\0\0\0\0\0\0FSRS", "refs"},
        {1024, 4, "H+\0\4", "hfsplus"},
        {32768, 7, "\1CD001\1", "iso9660"},
    };

    (void)state;
    filesystem_register_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_volume volume;
        struct allocation allocation;

        test_volume_init(&volume, 4 * MIB);
        test_volume_open(&volume, 512);
        memcpy(volume.bytes + cases[i].offset, cases[i].signature, cases[i].size);
        assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
        assert_string_equal(allocation.info.type, cases[i].type);
        assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
        test_volume_free(&volume);
    }
}

/* Two that show one file system in front and hold more behind it. */
static void test_containers(void **state)
{
    struct test_volume volume;
    struct allocation allocation;

    (void)state;
    filesystem_register_all();
    test_volume_init(&volume, 40 * MIB);
    assert_int_equal(test_volume_run(&volume, "mkfs.fat -F 32 -s 1 image 32768"), 0);
    test_volume_open(&volume, 512);
    /* BitLocker To Go: a small FAT32 with a reader, its own GUID in the boot code. */
    memcpy(volume.bytes + 424, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01", 16);
    assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_true(test_has_message(&allocation, MESSAGE_FS_ENCRYPTED));
    memset(volume.bytes + 424, 0, 16);
    /* Half of a mirror, with its superblock at the end. */
    memcpy(volume.bytes + 40 * MIB - 8192, "\xfc\x4e\x2b\xa9\x01\0\0\0", 8);
    assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
    assert_string_equal(allocation.info.type, "mdraid");
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    memset(volume.bytes + 40 * MIB - 8192, 0, 8);
    /* The remains of swap in FAT32's reserved sectors: nobody may take it for swap. */
    assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
    assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
    allocation_free(&allocation);
    memcpy(volume.bytes + 4086, "SWAPSPACE2", 10);
    assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
    assert_string_equal(allocation.info.type, "fat32");
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_true(test_has_message(&allocation, MESSAGE_FS_READER_FAILED));
    test_volume_free(&volume);
}

/* Garbage is nobody's, and no length of it leads a probe out of bounds. */
static void test_garbage_volumes(void **state)
{
    static const size_t sizes[] = {512, 1024, 4096, 65536, 66048, 4 * MIB};

    (void)state;
    filesystem_register_all();
    for (unsigned round = 0; round < 60; round++) {
        struct test_volume volume;
        struct allocation allocation;

        test_volume_init(&volume, sizes[round % 6]);
        test_volume_open(&volume, 512);
        test_garbage(volume.bytes, volume.size, round);
        /* Some with a signature in front of the garbage. */
        if (round >= 12 && volume.size > 65536 + 72)
            memcpy(volume.bytes + 65600, "_BHRfS_M", round % 2 ? 8 : 0);
        if (round >= 24)
            memcpy(volume.bytes, round % 2 ? "XFSB" : "hsqs", 4);
        if (round >= 36 && round % 2)
            memcpy(volume.bytes, "LABELONE", 8);
        if (round >= 36)
            memcpy(volume.bytes + 24, "LVM2 001", 8);
        if (round >= 48)
            memcpy(volume.bytes, round % 2 ? "LUKS\xba\xbe\0\2" : "\xeb\x3c\x90NTFS    ", round % 2 ? 8 : 11);
        assert_int_equal(filesystem_allocation(volume.device, &allocation), 0);
        assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
        test_volume_free(&volume);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lies),       cmocka_unit_test(test_failures),
        cmocka_unit_test(test_widening),   cmocka_unit_test(test_bad_blocks),
        cmocka_unit_test(test_made),       cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_containers), cmocka_unit_test(test_garbage_volumes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
