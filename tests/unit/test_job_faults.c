/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Restores that go wrong: power cuts, disks that fail or lie, cancel. The target is what it was, marked, or complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (9u * 1024 * 1024)

static struct lab lab;
static struct lab_disk *source;
static struct job_result result;

static int set_up(void **state)
{
    (void)state;
    return lab_begin_with_image(&lab, 1, DISK_BYTES, &source);
}

static int tear_down(void **state)
{
    (void)state;
    lab_disk_free(source);
    lab_free(&lab);
    return 0;
}

enum state { UNTOUCHED, HALF, COMPLETE };

/* Half restored also means: no firmware or system would start or mount it. */
static enum state state_of(const struct lab_disk *disk, const uint8_t *before)
{
    struct partition_table table;

    if (!memcmp(disk->contents, before, disk->bytes))
        return UNTOUCHED;
    if (!job_is_half_restored(disk->contents, 512, NULL)) {
        lab_assert_restored(source, disk, disk->contents);
        return COMPLETE;
    }
    assert_false(disk->contents[510] == 0x55 && disk->contents[511] == 0xAA);
    assert_int_equal(partition_table_read((struct block_device *)&disk->device, &table, NULL), 0);
    assert_int_equal(table.kind, TABLE_NONE);
    partition_table_free(&table);
    return HALF;
}

static void test_power_cut(void **state)
{
    uint64_t bytes = *state ? DISK_BYTES + 512 * 1024 : DISK_BYTES, cut = 0;
    unsigned seen[3] = {0};
    int status = -1;

    for (; status; cut++) {
        struct lab_disk *target = lab_pc(&lab, "OLD", bytes, 512);
        memset(target->contents + LAB_FIRST_BLOCK * 512, 0x33, LAB_FIRST_BYTES);
        memcpy(target->durable, target->contents, bytes);
        uint8_t *before = malloc(bytes);
        memcpy(before, target->contents, bytes);
        target->power_cut = cut;
        target->seed = (uint32_t)cut;
        struct job_request request = lab_restore_request(&lab, target);
        status = lab_run(&lab, &request, &result);
        if (status)
            assert_int_equal(result.error.side, SIDE_TARGET);
        struct lab_disk *after = lab_disk_reborn(target);
        enum state now = state_of(after, before);
        seen[now]++;
        if (!status)
            assert_int_equal(now, COMPLETE);
        else
            assert_int_equal(result.verification, VERIFIED_NOT);
        lab_disk_free(after);
        lab_disk_free(target);
        free(before);
    }
    print_message("%u untouched, %u half restored, %u complete, %llu requests\n", seen[0], seen[1], seen[2],
                  (unsigned long long)cut);
    assert_true(seen[UNTOUCHED] >= 1 && seen[HALF] > 50 && seen[COMPLETE] >= 1);
}

static void test_partition_power_cut(void **state)
{
    int status = -1;

    (void)state;
    for (uint64_t cut = 2; status; cut += 3) {
        struct lab_disk *target = lab_pc(&lab, "OLD", DISK_BYTES, 512);
        struct job_request request = lab_restore_request(&lab, target);
        request.source.partition = request.target.partition = 1;
        target->power_cut = cut;
        status = lab_run(&lab, &request, &result);
        struct lab_disk *after = lab_disk_reborn(target);
        uint8_t *volume = after->contents + LAB_FIRST_BLOCK * 512;
        assert_true(job_is_half_restored(volume, 512, NULL) || !memcmp(volume, "LABFS", 5));
        if (job_is_half_restored(volume, 512, NULL))
            assert_int_not_equal(status, 0);
        lab_disk_free(after);
        lab_disk_free(target);
    }
}

static void test_write_error(void **state)
{
    (void)state;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    target->bad_write = lab_second_offset(source) / 512 + 700;
    target->bad_write_count = 1;
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MEDIUM);
    assert_int_equal(result.error.side, SIDE_TARGET);
    assert_int_equal(result.error.operation, OPERATION_WRITE);
    assert_true(result.error.block <= target->bad_write && result.error.block + 64 > target->bad_write);
    assert_true(job_is_half_restored(target->contents, 512, NULL));
    lab_disk_free(target);
}

/* A disk that says it wrote, and did not: in data, in zeroes, in the tables. */
static void test_lies(void **state)
{
    uint64_t second = lab_second_offset(source) / 512;
    uint64_t lies[] = {second + 100, LAB_FIRST_BLOCK, 1, DISK_BYTES / 512 - 1};

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
        struct job_request request = lab_restore_request(&lab, target);
        target->lie_block = lies[i];
        assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MISMATCH);
        assert_int_equal(result.error.side, SIDE_TARGET);
        assert_int_equal(result.verification, VERIFIED_NOT);
        /* What did not match boots nothing. */
        assert_true(job_is_half_restored(target->contents, 512, NULL));
        lab_disk_free(target);
    }
}

static void test_read_back_error(void **state)
{
    (void)state;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    target->bad_read = lab_second_offset(source) / 512 + 700;
    target->bad_read_count = 2;
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MEDIUM);
    assert_int_equal(result.error.block, target->bad_read);
    assert_int_equal(result.error.side, SIDE_TARGET);
    assert_true(job_is_half_restored(target->contents, 512, NULL));
    lab_disk_free(target);
}

static void test_cancel(void **state)
{
    (void)state;
    for (uint64_t when = 0; when < 3000; when = when * 2 + 1) {
        struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
        struct job_request request = lab_restore_request(&lab, target);
        lab.cancel = false;
        lab.cancel_after = when;
        int status = lab_run(&lab, &request, &result);
        assert_true(status == -ERROR_CANCELLED || (!status && when > 50));
        assert_int_equal(job_is_half_restored(target->contents, 512, NULL), status != 0 && when > 0);
        /* Wished for before it began. */
        if (!when)
            assert_int_equal(target->changes, 0);
        lab_disk_free(target);
    }
}

static void test_marker(void **state)
{
    uint8_t block[512] = {0};
    char uuid[37];

    (void)state;
    memcpy(block, HALF_RESTORED_MARKER "01234567-89ab-cdef-0123-456789abcdef\r\n", 66);
    assert_true(job_is_half_restored(block, sizeof(block), uuid));
    assert_string_equal(uuid, "01234567-89ab-cdef-0123-456789abcdef");
    assert_false(job_is_half_restored(block, 40, uuid));
    block[30] = 'X';
    assert_false(job_is_half_restored(block, sizeof(block), uuid));
}

int main(void)
{
    static int bigger;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_power_cut, set_up, tear_down),
        {"test_power_cut_bigger", test_power_cut, set_up, tear_down, &bigger},
        cmocka_unit_test_setup_teardown(test_partition_power_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_back_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test(test_marker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
