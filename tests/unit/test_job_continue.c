/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Restores that were cut off and go on: what is on the target is kept only when it is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

/* A restore onto a disk that loses its power at a request; what is left of the disk. *status is the restore's. */
static struct lab_disk *cut_off(uint64_t cut, unsigned partition, int *status)
{
    struct lab_disk *target = lab_pc(&lab, "OLD", DISK_BYTES, 512);
    struct job_request request = lab_restore_request(&lab, target);

    memset(target->contents + LAB_FIRST_BLOCK * 512, 0x33, LAB_FIRST_BYTES);
    memcpy(target->durable, target->contents, target->bytes);
    target->power_cut = cut;
    target->seed = (uint32_t)cut;
    request.source.partition = request.target.partition = partition;
    *status = lab_run(&lab, &request, &result);
    struct lab_disk *after = lab_disk_reborn(target);
    lab_disk_free(target);
    return after;
}

static int go_on(struct lab_disk *target, unsigned partition)
{
    struct job_request request = lab_restore_request(&lab, target);

    request.options.resume = true;
    request.source.partition = request.target.partition = partition;
    return lab_run(&lab, &request, &result);
}

static void test_goes_on_after_each_power_cut(void **state)
{
    unsigned partition = *state ? 1 : 0, refused = 0, kept = 0;
    int cut_status = -1;

    for (uint64_t cut = 0; cut_status; cut += partition ? 1 : 3) {
        struct lab_disk *target = cut_off(cut, partition, &cut_status);
        const uint8_t *start = target->contents + (partition ? LAB_FIRST_BLOCK * 512 : 0);
        bool marked = job_is_half_restored(start, 512, NULL);
        int status = go_on(target, partition);
        if (!marked) {
            assert_int_equal(status, -ERROR_REFUSED);
            assert_int_equal(target->changes, 0);
            refused++;
        } else {
            assert_int_equal(status, 0);
            assert_int_equal(result.verification, VERIFIED_READ_BACK);
            assert_true(lab_has_message(&result.messages, MESSAGE_CONTINUED));
            assert_false(job_is_half_restored(start, 512, NULL));
            if (!partition)
                lab_assert_restored(source, target, target->contents);
            kept += result.messages.items[0].number[0] >= LAB_CHUNK;
        }
        lab_disk_free(target);
    }
    print_message("%u refused, %u kept something\n", refused, kept);
    assert_true(refused >= 1 && kept >= 3);
}

/* The last write that was kept is damaged afterwards: it is written again. */
static void test_what_is_wrong_is_written_again(void **state)
{
    uint64_t offset = LAB_FIRST_BLOCK * 512 + lab_used(0).offset + 256 * 1024;
    int status;
    struct lab_disk *target = cut_off(60, 0, &status);

    (void)state;
    assert_int_not_equal(status, 0);
    assert_memory_equal(target->contents + offset, source->contents + offset, 512);
    target->contents[offset] ^= 1;
    assert_int_equal(go_on(target, 0), 0);
    lab_assert_restored(source, target, target->contents);
    lab_disk_free(target);
}

static void test_another_image_does_not_go_on(void **state)
{
    int status;
    struct lab_disk *target = cut_off(60, 0, &status);
    struct job_request request = lab_capture_request(&lab, source);

    (void)state;
    lab_new_store(&lab);
    assert_int_equal(lab_run(&lab, &request, NULL), 0); /* the same disk, but another image */
    assert_int_equal(go_on(target, 0), -ERROR_REFUSED);
    assert_int_equal(target->changes, 0);
    lab_disk_free(target);
}

int main(void)
{
    static int one = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_goes_on_after_each_power_cut, set_up, tear_down),
        {"test_a_partition_goes_on", test_goes_on_after_each_power_cut, set_up, tear_down, &one},
        cmocka_unit_test_setup_teardown(test_what_is_wrong_is_written_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_image_does_not_go_on, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
