/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Restores: disks of all sizes, partitions, pipes, damage, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (16u * 1024 * 1024)

static struct lab lab;
static struct lab_disk *source;
static struct job_result result;
static struct plan plan;
static struct error error;

static int set_up_blocks(uint32_t block, unsigned processors)
{
    lab_init(&lab, processors);
    source = lab_pc(&lab, "PC", DISK_BYTES, block);
    struct job_request request = lab_capture_request(&lab, source);
    return lab_run(&lab, &request, NULL);
}

static int set_up(void **state)
{
    (void)state;
    return set_up_blocks(512, 1);
}

static int tear_down(void **state)
{
    (void)state;
    lab_disk_free(source);
    lab_free(&lab);
    return 0;
}

static void check_table(struct lab_disk *disk)
{
    struct partition_table table;

    assert_int_equal(partition_table_read(&disk->device, &table, &error), 0);
    assert_int_equal(table.kind, TABLE_GPT);
    assert_int_equal(table.count, 2);
    assert_int_equal(table.messages.count, 0);
    assert_int_equal(table.backup_header_lba, disk->device.geometry.block_count - 1);
    partition_table_free(&table);
}

static void restore_to(uint64_t bytes, uint32_t block, bool discard)
{
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", bytes, block, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);

    request.options.discard = discard;
    int status = lab_run(&lab, &request, &result);
    if (status)
        print_error("%d: %s %s at %llu (%s)\n", status, result.error.device, result.error.detail,
                    (unsigned long long)result.error.block, result.error.origin);
    assert_int_equal(status, 0);
    assert_int_equal(result.verification, VERIFIED_READ_BACK);
    assert_int_equal(result.verified_bytes, result.written_bytes);
    assert_true(result.written_bytes > 0);
    assert_memory_equal(target->contents, target->durable, bytes); /* nothing was left in its cache */
    lab_assert_restored(source, target, target->contents);
    check_table(target);
    /* A hole of the file system: left, or discarded. */
    uint8_t hole = target->contents[LAB_FIRST_BLOCK * block + 1572864];
    assert_int_equal(hole, discard ? 0xDD : 0x5A);
    lab_disk_free(target);
}

static void test_same(void **state)
{
    (void)state;
    restore_to(DISK_BYTES, 512, false);
    restore_to(DISK_BYTES, 512, true);
}

/* All discards come right behind the mark, as big as they get, and none touches it. */
static void test_discard_first(void **state)
{
    (void)state;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    bool written = false;
    unsigned discards = 0;

    request.options.discard = true;
    target->keep_events = true;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    for (size_t i = 0; i < target->event_count; i++) {
        const struct lab_event *event = &target->events[i];
        if (event->operation == BLOCK_DISCARD && !event->ended) {
            assert_false(written);
            assert_true(event->lba * 512 >= HALF_RESTORED_BYTES);
            discards++;
        } else if (event->operation == BLOCK_WRITE && event->lba) {
            written = true;
        }
    }
    assert_in_range(discards, DISK_BYTES / target->device.geometry.max_discard, 24);
    lab_assert_restored(source, target, target->contents);
    lab_disk_free(target);
}

static void test_blocks_4096(void **state)
{
    (void)state;
    assert_int_equal(set_up_blocks(4096, 3), 0);
    restore_to(DISK_BYTES, 4096, false);
    restore_to(2 * DISK_BYTES, 4096, false);
    tear_down(NULL);
}

/* The image of the backup GPT must not stand in the middle of the bigger disk. */
static void test_bigger(void **state)
{
    (void)state;
    restore_to(DISK_BYTES + 512, 512, false);
    restore_to(DISK_BYTES + 20 * 512, 512, false);
    restore_to(3 * DISK_BYTES, 512, true);
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", 2 * DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    for (uint64_t at = 1024; at + 8 < target->bytes - 512; at += 512)
        assert_memory_not_equal(target->contents + at, "EFI PART", 8);
    lab_disk_free(target);
}

static void test_smaller(void **state)
{
    (void)state;
    uint64_t end = lab_second_offset(source) + LAB_SECOND_BYTES;
    uint64_t needed = end + 33 * 512;
    restore_to(DISK_BYTES - 512, 512, false);
    restore_to(needed + 65536, 512, false);
    restore_to(needed, 512, false);

    struct lab_disk *target = lab_disk_create(&lab, "TARGET", needed - 512, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_true(plan.refused);
    assert_int_equal(plan.messages.items[0].id, MESSAGE_TARGET_SMALLER);
    assert_int_equal(plan.messages.items[0].number[0], needed);
    assert_int_equal(plan.messages.items[0].number[1], needed - 512);
    assert_int_equal(job_run(&lab.loop, &plan, NULL, &result), -ERROR_REFUSED);
    assert_int_equal(target->changes, 0);
    plan_free(&plan);
    lab_disk_free(target);
}

static void expect_refusal(const struct job_request *request, enum message_id id)
{
    assert_int_equal(job_plan(&lab.loop, request, &plan, &error), 0);
    assert_true(plan.refused);
    assert_true(lab_has_message(&plan.messages, id));
    plan_free(&plan);
}

static void test_refusals(void **state)
{
    (void)state;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct lab_disk *native = lab_disk_create(&lab, "4KN", DISK_BYTES, 4096, 0x5A);
    struct job_request request = lab_restore_request(&lab, native);
    expect_refusal(&request, MESSAGE_SECTOR_SIZE);
    request = lab_restore_request(&lab, target);
    request.target.mounted_at = "/mnt";
    expect_refusal(&request, MESSAGE_TARGET_MOUNTED);
    request.target.mounted_at = NULL;
    request.target.is_boot_stick = true;
    expect_refusal(&request, MESSAGE_TARGET_IS_BOOT_STICK);
    request.target.is_boot_stick = false;
    target->device.read_only = true;
    expect_refusal(&request, MESSAGE_TARGET_READ_ONLY);
    target->device.read_only = false;
    lab.store.store.disk = &target->device;
    expect_refusal(&request, MESSAGE_TARGET_HOLDS_IMAGE);
    request.source.partition = 1;
    request.target.partition = 1;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), -ERROR_NOT_FOUND);
    request.source.partition = 0;
    request.target = (struct job_end){.disk = &source->device, .partition = 1};
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), -ERROR_USAGE);
    assert_int_equal(target->changes + source->changes + native->changes, 0);
    lab_disk_free(target);
    lab_disk_free(native);
}

/* Partition 1 of the image into partition 1 of a disk whose other partition must not be touched. */
static void test_partition(void **state)
{
    (void)state;
    struct lab_disk *target = lab_pc(&lab, "TARGET", DISK_BYTES, 512);
    uint64_t first = LAB_FIRST_BLOCK * 512, second = lab_second_offset(target);
    memset(target->contents + first, 0x5A, LAB_FIRST_BYTES);
    memset(target->contents + second, 0x77, LAB_SECOND_BYTES);
    uint8_t *before = malloc(target->bytes);
    memcpy(before, target->contents, target->bytes);

    struct job_request request = lab_restore_request(&lab, target);
    request.source.partition = request.target.partition = 1;
    lab.store.store.disk = &target->device; /* the image on another partition of the same disk */
    lab.store.store.disk_offset = second;
    lab.store.store.disk_length = LAB_SECOND_BYTES;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_memory_equal(before, target->contents, first);
    assert_memory_equal(before + first + LAB_FIRST_BYTES, target->contents + first + LAB_FIRST_BYTES,
                        target->bytes - first - LAB_FIRST_BYTES);
    for (unsigned i = 0; i < lab_used_count(); i++)
        assert_memory_equal(target->contents + first + lab_used(i).offset,
                            source->contents + first + lab_used(i).offset, lab_used(i).length);
    /* A forgotten "#N" of the target. */
    struct job_request forgotten = request;
    forgotten.target.partition = 0;
    lab.store.store.disk = NULL;
    uint64_t changes = target->changes;
    expect_refusal(&forgotten, MESSAGE_PARTITION_ONTO_DISK);
    assert_int_equal(target->changes, changes);
    /* Partition 1 does not fit into partition 2. */
    lab.store.store.disk = NULL;
    request.target.partition = 2;
    expect_refusal(&request, MESSAGE_TARGET_SMALLER);
    lab_disk_free(target);

    /* The image of a partition alone, to a bare volume that is bigger. */
    lab_new_store(&lab);
    struct job_request capture = lab_capture_request(&lab, source);
    capture.source.partition = 2;
    assert_int_equal(lab_run(&lab, &capture, &result), 0);
    target = lab_disk_create(&lab, "VOLUME", 2 * 1024 * 1024, 512, 0x5A);
    request = lab_restore_request(&lab, target);
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_memory_equal(target->contents, source->contents + second, LAB_SECOND_BYTES);
    lab_disk_free(target);
    free(before);
}

static void test_pipe(void **state)
{
    (void)state;
    lab.store.pipe = true;
    restore_to(2 * DISK_BYTES, 512, false);

    /* Without its end, the data is there, but no table and no boot code. */
    lab.store.volumes[0].size -= 200;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    char uuid[37];
    assert_int_not_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.error.side, SIDE_IMAGE);
    assert_true(job_is_half_restored(target->contents, 512, uuid));
    assert_true(memcmp(target->contents + 510, "\x55\xAA", 2) != 0);
    struct job_request capture = lab_capture_request(&lab, target);
    assert_int_equal(job_plan(&lab.loop, &capture, &plan, &error), 0);
    assert_true(lab_has_message(&plan.messages, MESSAGE_SOURCE_HALF_RESTORED));
    plan_free(&plan);
    lab_disk_free(target);
}

static void test_damaged(void **state)
{
    (void)state;
    struct memory_volume *volume = &lab.store.volumes[0];
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);

    /* Its end is missing: nothing is written. */
    volume->size -= 200;
    assert_int_not_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.error.side, SIDE_IMAGE);
    assert_int_equal(target->changes, 0);
    request.options.salvage = true;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    lab_assert_restored(source, target, target->contents);
    volume->size -= 1000000; /* the last partition's end and the gap with the backup table */
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_true(lab_has_message(&result.messages, MESSAGE_IMAGE_INCOMPLETE));
    assert_true(result.damaged_bytes > 1000000);
    volume->size += 1000200;
    request.options.salvage = false;

    /* One chunk is hit. */
    size_t in_the_middle = volume->size / 2;
    volume->data[in_the_middle] ^= 1;
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_CORRUPT);
    assert_int_equal(result.error.side, SIDE_IMAGE);
    assert_true(target->changes == 0 || job_is_half_restored(target->contents, 512, NULL));
    request.options.salvage = true;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_true(result.damaged_bytes > 0 && result.damaged_bytes <= LAB_CHUNK);
    assert_true(lab_has_message(&result.messages, MESSAGE_IMAGE_DAMAGED));
    uint64_t wrong = 0, at = lab_second_offset(source), end = at + LAB_SECOND_BYTES;
    for (; at < end; at += 512)
        wrong += memcmp(target->contents + at, source->contents + at, 512) ? 512 : 0;
    assert_true(wrong > 0 && wrong <= result.damaged_bytes);
    check_table(target);
    lab_disk_free(target);
}

static void test_no_verify(void **state)
{
    (void)state;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = lab_restore_request(&lab, target);
    request.options.no_verify = true;
    target->refuse_zeroes = true; /* offered, but refused: written by hand */
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.verification, VERIFIED_NOT);
    assert_true(lab_has_message(&result.messages, MESSAGE_NOT_READ_BACK));
    lab_assert_restored(source, target, target->contents);
    lab_disk_free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_discard_first, set_up, tear_down),
        cmocka_unit_test(test_blocks_4096),
        cmocka_unit_test_setup_teardown(test_bigger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_smaller, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_verify, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
