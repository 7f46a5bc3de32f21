/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures: what reaches the image, what never may, unreadable blocks, cancel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (16u * 1024 * 1024)

/* The image as a disk must be the source with zeroes where nothing is in use. */
static void check_image(struct lab *lab, const struct lab_disk *source)
{
    struct block_device *image;
    struct lab_disk like_this = *source;
    uint8_t *contents = malloc(source->bytes);
    struct error error;

    assert_int_equal(image_block_open(&lab->loop, &lab->store.store, &image, &error), 0);
    assert_int_equal(block_device_bytes(image), source->bytes);
    assert_int_equal(block_read_bytes(image, 0, contents, source->bytes, &error), 0);
    lab_assert_restored(source, &like_this, contents);
    block_device_stop(image);
    free(contents);
}

static void test_capture(void **state)
{
    static struct lab lab;
    static struct job_result result;
    unsigned processors = *state ? 3 : 1;

    lab_init(&lab, processors);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    uint8_t *before = malloc(source->bytes);
    memcpy(before, source->contents, source->bytes);
    struct job_request request = lab_capture_request(&lab, source);
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.verification, VERIFIED_READ_BACK);
    assert_int_equal(result.processors, processors);
    assert_int_equal(result.totals.stored_bytes, lab.store.volumes[0].size);
    assert_true(result.totals.unused_bytes > 2 * 1024 * 1024);
    assert_true(result.totals.zero_bytes > 8 * 1024 * 1024);
    assert_int_equal(result.level_tenths, 10);
    assert_true(source->most_pending == 8);
    assert_int_equal(source->changes, 0); /* nothing is ever written to a source */
    assert_memory_equal(before, source->contents, source->bytes);
    check_image(&lab, source);
    lab_disk_free(source);
    lab_free(&lab);
    free(before);
}

/* What the file system calls blank becomes zeroes, whatever the disk has there, and whole chunks of it are not read. */
static void test_blank(void **state)
{
    static struct lab lab;
    static struct job_result result;

    (void)state;
    lab_init(&lab, 1);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    uint8_t *first = source->contents + LAB_FIRST_BLOCK * 512;
    lab_blank[0] = (struct extent){1179648 + 5000, 30000}; /* within a chunk, not on whole pieces */
    lab_blank[1] = (struct extent){3145728, 131072};       /* two chunks */
    memset(first + lab_blank[1].offset, 0xee, lab_blank[1].length);
    source->bad_read = LAB_FIRST_BLOCK + lab_blank[1].offset / 512;
    source->bad_read_count = lab_blank[1].length / 512;
    struct job_request request = lab_capture_request(&lab, source);
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.verification, VERIFIED_READ_BACK);
    source->bad_read_count = 0;
    /* The disk and the image hold the same, as far as anything matters. */
    request = lab_restore_request(&lab, source);
    request.kind = JOB_VERIFY;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    for (unsigned i = 0; i < 2; i++)
        memset(first + lab_blank[i].offset, 0, lab_blank[i].length);
    check_image(&lab, source);
    memset(lab_blank, 0, sizeof lab_blank);
    lab_disk_free(source);
    lab_free(&lab);
}

static void test_plan(void **state)
{
    static struct lab lab;
    static struct plan plan;
    struct error error;

    (void)state;
    lab_init(&lab, 1);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 4096);
    struct job_request request = lab_capture_request(&lab, source);
    request.source.mounted_at = "/";
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_int_equal(plan.description.region_count, 5);
    assert_int_equal(plan.description.regions[1].partition, 1);
    assert_string_equal(plan.description.regions[1].fs_type, "labfs");
    assert_false(plan.description.regions[1].copied_whole);
    assert_true(plan.description.regions[3].copied_whole);
    assert_int_equal(plan.used_bytes + plan.skipped_bytes, source->bytes);
    assert_true(plan.expected_image_bytes > plan.used_bytes);
    assert_true(lab_has_message(&plan.messages, MESSAGE_SOURCE_MOUNTED));
    assert_true(lab_has_message(&plan.messages, MESSAGE_FS_NOT_CLEAN));
    assert_false(plan.refused);
    plan_free(&plan);

    request.options.raw = true;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_int_equal(plan.used_bytes, source->bytes);
    plan_free(&plan);

    request.source.partition = 7;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), -ERROR_NOT_FOUND);

    /* An image file inside of what is captured. */
    request.source.partition = 0;
    lab.store.store.disk = &source->device;
    lab.store.store.disk_offset = lab_second_offset(source);
    lab.store.store.disk_length = LAB_SECOND_BYTES;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_true(plan.refused && lab_has_message(&plan.messages, MESSAGE_TARGET_IS_SOURCE));
    static struct job_result result;
    assert_int_equal(job_run(&lab.loop, &plan, NULL, &result), -ERROR_REFUSED);
    plan_free(&plan);
    request.source.partition = 1;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_false(plan.refused);
    assert_true(plan.description.is_partition);
    plan_free(&plan);
    lab.store.store.disk = NULL;
    lab_disk_free(source);
    lab_free(&lab);
}

static uint64_t few_bytes;

static uint64_t free_bytes(struct stream_store *store)
{
    (void)store;
    return few_bytes;
}

/* The room where the image goes, beside what it may come to. */
static void test_space(void **state)
{
    static struct lab lab;
    static struct plan plan;
    struct error error;

    (void)state;
    lab_init(&lab, 1);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    struct job_request request = lab_capture_request(&lab, source);
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    uint64_t most = plan.expected_image_bytes, likely = plan.likely_image_bytes;
    assert_true(most > plan.used_bytes && likely < most && likely > plan.used_bytes / 2);
    assert_int_equal(plan.free_bytes, UINT64_MAX);
    assert_int_equal(plan.volume_bytes, 0);
    plan_free(&plan);
    const struct {
        uint64_t free;
        enum message_id id;
        bool refused;
    } cases[] = {{0, MESSAGE_SPACE_NONE, true},
                 {5000, MESSAGE_SPACE_LIKELY_SHORT, false},
                 {likely - 1, MESSAGE_SPACE_LIKELY_SHORT, false},
                 {likely, MESSAGE_SPACE_SHORT, false},
                 {most - 1, MESSAGE_SPACE_SHORT, false},
                 {most, MESSAGE_COUNT, false}};
    lab.store.store.free_space = free_bytes;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        few_bytes = cases[i].free;
        assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
        assert_int_equal(plan.free_bytes, few_bytes);
        for (enum message_id id = MESSAGE_SPACE_SHORT; id <= MESSAGE_SPACE_NONE; id++)
            assert_int_equal(lab_has_message(&plan.messages, id), id == cases[i].id);
        assert_int_equal(plan.refused, cases[i].refused);
        plan_free(&plan);
    }
    /* Each volume has a header of its own; none is larger than files can be. */
    request.options.split = 1024 * 1024;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_int_equal(plan.volume_bytes, 1024 * 1024);
    assert_true(plan.expected_image_bytes > most);
    plan_free(&plan);
    lab.store.store.max_volume_bytes = 700000;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_int_equal(plan.volume_bytes, 700000);
    plan_free(&plan);
    request.options.split = 0;
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_int_equal(plan.volume_bytes, 700000);
    plan_free(&plan);
    lab_disk_free(source);
    lab_free(&lab);
}

static void test_unreadable(void **state)
{
    static struct lab lab;
    static struct job_result result;

    (void)state;
    lab_init(&lab, 2);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    uint64_t second = lab_second_offset(source);
    struct job_request request = lab_capture_request(&lab, source);
    source->bad_read = second / 512 + 1001;
    source->bad_read_count = 3;
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MEDIUM);
    assert_int_equal(result.error.block, source->bad_read);
    assert_int_equal(result.error.side, SIDE_SOURCE);
    assert_string_equal(result.error.device, "ram:PC");
    lab_new_store(&lab);

    request.options.salvage = true;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.unreadable_bytes, 3 * 512);
    assert_int_equal(result.messages.items[0].id, MESSAGE_UNREADABLE);
    assert_int_equal(result.messages.items[0].number[0], source->bad_read * 512);
    assert_int_equal(result.messages.items[0].number[1], 3 * 512);
    assert_int_equal(result.messages.count, 1);
    memset(source->contents + source->bad_read * 512, 0, 3 * 512);
    check_image(&lab, source);
    lab_new_store(&lab);

    /* Whole chunks: said so in the image. */
    source->bad_read = second / 512;
    source->bad_read_count = 2 * LAB_CHUNK / 512;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.totals.unreadable_bytes, 2 * LAB_CHUNK);
    assert_int_equal(result.unreadable_bytes, 2 * LAB_CHUNK);
    lab_disk_free(source);
    lab_free(&lab);
}

static void test_no_table(void **state)
{
    static struct lab lab;
    static struct job_result result;

    (void)state;
    lab_init(&lab, 1);
    struct lab_disk *pc = lab_pc(&lab, "PC", DISK_BYTES, 512);
    struct lab_disk *volume = lab_disk_create(&lab, "VOLUME", LAB_FIRST_BYTES, 512, 0);
    memcpy(volume->contents, pc->contents + LAB_FIRST_BLOCK * 512, LAB_FIRST_BYTES);
    struct job_request request = lab_capture_request(&lab, volume);
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_true(result.read_bytes < LAB_FIRST_BYTES / 4);
    assert_true(result.totals.unused_bytes > 2 * 1024 * 1024);
    lab_disk_free(volume);
    lab_disk_free(pc);
    lab_free(&lab);
}

static void test_cancel(void **state)
{
    static struct lab lab;
    static struct job_result result;

    (void)state;
    for (uint64_t when = 0; when < 400; when = when * 2 + 1) {
        lab_init(&lab, 2);
        struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
        struct job_request request = lab_capture_request(&lab, source);
        lab.cancel_after = when;
        int status = lab_run(&lab, &request, &result);
        if (!status)
            assert_true(when > 20);
        else
            assert_int_equal(status, -ERROR_CANCELLED);
        assert_int_equal(lab.store.volumes[0].there, !status);
        lab_disk_free(source);
        lab_free(&lab);
    }
}

/* An image in volumes beside a file of its name, and the other way round: nothing is made, nothing is lost. */
static void test_volumes_and_file(void **state)
{
    static struct lab lab;
    static struct job_result result;

    (void)state;
    lab_init(&lab, 2);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    struct job_request request = lab_capture_request(&lab, source);
    for (unsigned other = 0; other < 2; other++) {
        request.options.split = other ? 0 : 16 * 1024 * 1024;
        memory_store_set(&lab.store, other, "kept", 4);
        assert_int_equal(lab_run(&lab, &request, &result), -ERROR_EXISTS);
        assert_true(lab.store.volumes[other].there);
        assert_int_equal(lab.store.volumes[other].size, 4);
        assert_false(lab.store.volumes[!other].there);
        lab.store.volumes[other].there = false;
    }
    request.options.split = 16 * 1024 * 1024;
    lab.cancel_after = 15;
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_CANCELLED);
    assert_false(lab.store.volumes[1].there);
    lab_disk_free(source);
    lab_free(&lab);
}

static void test_image_full(void **state)
{
    static struct lab lab;
    static struct job_result result;

    (void)state;
    lab_init(&lab, 1);
    struct lab_disk *source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    struct job_request request = lab_capture_request(&lab, source);
    lab.store.fail_write_at = 1024 * 1024;
    assert_int_not_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.error.side, SIDE_IMAGE);
    assert_int_equal(result.verification, VERIFIED_NOT);
    lab_disk_free(source);
    lab_free(&lab);
}

int main(void)
{
    static int more_processors;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capture),    cmocka_unit_test_prestate(test_capture, &more_processors),
        cmocka_unit_test(test_plan),       cmocka_unit_test(test_space),
        cmocka_unit_test(test_unreadable), cmocka_unit_test(test_no_table),
        cmocka_unit_test(test_cancel),     cmocka_unit_test(test_volumes_and_file),
        cmocka_unit_test(test_image_full), cmocka_unit_test(test_blank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
