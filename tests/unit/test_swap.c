/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Swap made by mkswap: only its header is kept, unless a suspended system or a doubt lies in it. */
#include "core/bytes.h"
#include "fs/drivers.h"
#include "tests/support/volume_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024u * 1024)

static void make(struct test_volume *volume, size_t size, const char *command)
{
    filesystem_register(&swap_filesystem);
    test_volume_init(volume, size);
    assert_int_equal(test_volume_run(volume, "%s", command), 0);
    test_volume_open(volume, 512);
}

static void read_allocation(struct test_volume *volume, struct allocation *allocation)
{
    assert_int_equal(filesystem_allocation(volume->device, allocation), 0);
}

static void assert_whole(struct test_volume *volume, enum message_id id)
{
    struct allocation allocation;

    read_allocation(volume, &allocation);
    assert_int_equal(allocation.verdict, ALLOCATION_WHOLE);
    assert_true(test_has_message(&allocation, id));
    extent_list_free(&allocation.used);
}

static void test_header_only(void **state)
{
    static const unsigned pages[] = {4096, 16384, 65536};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct test_volume volume;
        struct allocation allocation;
        char command[128];

        snprintf(command, sizeof command, "mkswap -p %u -L spare -U 01234567-89ab-cdef-0123-456789abcdef image",
                 pages[i]);
        make(&volume, 8 * MIB, command);
        read_allocation(&volume, &allocation);
        assert_string_equal(allocation.info.type, "swap");
        assert_string_equal(allocation.info.label, "spare");
        assert_string_equal(allocation.info.uuid, "01234567-89ab-cdef-0123-456789abcdef");
        assert_int_equal(allocation.info.total_bytes, 8 * MIB);
        assert_int_equal(allocation.verdict, ALLOCATION_EXACT);
        assert_int_equal(allocation.messages.count, 1);
        assert_true(test_has_message(&allocation, MESSAGE_FS_SWAP));
        assert_int_equal(allocation.used.count, 1);
        assert_int_equal(extent_list_total(&allocation.used), pages[i]);
        test_volume_restore(&volume, &allocation.used);
        assert_int_equal(test_volume_run(&volume, "test \"$(blkid -p -o value -s LABEL restored)\" = spare"), 0);
        extent_list_free(&allocation.used);
        test_volume_free(&volume);
    }
}

/* What lies behind the swap in its partition is kept. */
static void test_tail(void **state)
{
    struct test_volume volume;
    struct allocation allocation;

    (void)state;
    make(&volume, 8 * MIB, "mkswap image 7168");
    read_allocation(&volume, &allocation);
    assert_int_equal(allocation.info.total_bytes, 7 * MIB);
    assert_int_equal(extent_list_total(&allocation.used), 4096 + MIB);
    assert_true(extent_list_contains(&allocation.used, 7 * MIB, MIB));
    extent_list_free(&allocation.used);
    test_volume_free(&volume);
}

static void test_suspended(void **state)
{
    static const char *const signatures[] = {"S1SUSPEND\0", "S2SUSPEND\0", "ULSUSPEND\0", "LINHIB0001",
                                             "\xed\xc3\x02\xe9\x98\x56\xe5\x0c\0\0"};
    struct test_volume volume;

    (void)state;
    make(&volume, 8 * MIB, "mkswap image");
    for (unsigned i = 0; i < 5; i++) {
        memcpy(volume.bytes + 4086, signatures[i], 10);
        assert_whole(&volume, MESSAGE_FS_SWAP_HIBERNATED);
    }
    memcpy(volume.bytes + 4086, "SWAPSPACE3", 10);
    assert_whole(&volume, MESSAGE_FS_UNKNOWN);
    test_volume_free(&volume);
}

static void test_doubts(void **state)
{
    struct test_volume volume;

    (void)state;
    make(&volume, 8 * MIB, "mkswap image");
    volume.bytes[700] = 1; /* something lives in front of the header */
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    volume.bytes[700] = 0;
    store_le32(volume.bytes + 1028, 8 * MIB / 4096); /* one page too many */
    assert_whole(&volume, MESSAGE_FS_BIGGER_THAN_VOLUME);
    store_le32(volume.bytes + 1028, UINT32_MAX);
    assert_whole(&volume, MESSAGE_FS_BIGGER_THAN_VOLUME);
    store_le32(volume.bytes + 1028, 0);
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    store_le32(volume.bytes + 1028, 8 * MIB / 4096 - 1);
    store_le32(volume.bytes + 1032, 638);
    assert_whole(&volume, MESSAGE_FS_DAMAGED);
    store_le32(volume.bytes + 1032, 0);
    store_le32(volume.bytes + 1024, 0x01000000); /* of a machine with the other byte order */
    assert_whole(&volume, MESSAGE_FS_UNKNOWN_FEATURE);
    store_le32(volume.bytes + 1024, 1);
    memcpy(volume.bytes + 4086, "SWAP-SPACE", 10);
    assert_whole(&volume, MESSAGE_FS_UNKNOWN_FEATURE);
    test_volume_free(&volume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_only),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_suspended),
        cmocka_unit_test(test_doubts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
