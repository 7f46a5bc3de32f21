/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verify and clone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (12u * 1024 * 1024)

static struct lab lab;
static struct lab_disk *source;
static struct job_result result;
static struct plan plan;
static struct error error;

static int set_up(void **state)
{
    (void)state;
    return lab_begin_with_image(&lab, 2, DISK_BYTES, &source);
}

static int tear_down(void **state)
{
    (void)state;
    lab_disk_free(source);
    lab_free(&lab);
    return 0;
}

static struct job_request verify_request(struct lab_disk *disk)
{
    return (struct job_request){.kind = JOB_VERIFY,
                                .source = {.store = &lab.store.store, .is_pipe = lab.store.pipe},
                                .target = {.disk = disk ? &disk->device : NULL}};
}

static void test_image(void **state)
{
    struct job_request request = verify_request(NULL);

    (void)state;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.verification, VERIFIED_READ_BACK);
    uint64_t whole = result.verified_bytes;
    assert_true(whole > 1024 * 1024);
    lab.store.pipe = true;
    request = verify_request(NULL);
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.verified_bytes, whole);
    lab.store.pipe = false;

    /* Every damage is found, named, and the rest is looked at all the same. */
    struct memory_volume *volume = &lab.store.volumes[0];
    request = verify_request(NULL);
    for (unsigned i = 1; i < 20; i++) {
        size_t at = volume->size / 20 * i;
        volume->data[at] ^= 0x10;
        assert_int_equal(lab_run(&lab, &request, &result), -ERROR_CORRUPT);
        assert_int_equal(result.error.side, SIDE_IMAGE);
        assert_int_equal(result.verification, VERIFIED_NOT);
        if (result.damaged_bytes)
            assert_true(lab_has_message(&result.messages, MESSAGE_IMAGE_DAMAGED));
        volume->data[at] ^= 0x10;
    }
    volume->size -= 300;
    assert_int_not_equal(lab_run(&lab, &request, &result), 0);
}

static void test_disk(void **state)
{
    struct job_request request = verify_request(source);

    (void)state;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(source->changes, 0);
    assert_true(result.verified_bytes > 1024 * 1024);

    /* What is not in use does not matter; what is, does: data, zeroes, the gap, the table. */
    uint64_t first = LAB_FIRST_BLOCK * 512;
    source->contents[first + 1572864] ^= 1;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    uint64_t places[] = {first + 200000,   first + 3145728 + 5,     lab_second_offset(source) + 77, 100,
                         DISK_BYTES - 100, DISK_BYTES - 1024 * 1024};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        source->contents[places[i]] ^= 1;
        assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MISMATCH);
        assert_int_equal(result.messages.count, 1);
        assert_int_equal(result.messages.items[0].id, MESSAGE_DIFFERS);
        assert_in_range(places[i], result.messages.items[0].number[0],
                        result.messages.items[0].number[0] + result.messages.items[0].number[1] - 1);
        source->contents[places[i]] ^= 1;
    }
    assert_int_equal(source->changes, 0);
}

/* A disk of another size holds other tables: they are right there, too. */
static void test_disk_of_another_size(void **state)
{
    uint64_t sizes[] = {DISK_BYTES + 512 * 40, 2 * DISK_BYTES, DISK_BYTES - 512 * 1000};

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct lab_disk *target = lab_disk_create(&lab, "TARGET", sizes[i], 512, 0x5A);
        struct job_request restore = lab_restore_request(&lab, target);
        assert_int_equal(lab_run(&lab, &restore, &result), 0);
        struct job_request request = verify_request(target);
        assert_int_equal(lab_run(&lab, &request, &result), 0);
        uint64_t places[] = {0, 520, 1040, sizes[i] - 500, lab_second_offset(source) + 5};
        for (unsigned j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
            target->contents[places[j]] ^= 1;
            assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MISMATCH);
            target->contents[places[j]] ^= 1;
        }
        target->bad_read = sizes[i] / 512 - 1;
        target->bad_read_count = 1;
        assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MEDIUM);
        assert_int_equal(result.error.side, SIDE_TARGET);
        lab_disk_free(target);
    }
}

static void test_clone(void **state)
{
    uint64_t sizes[] = {DISK_BYTES, 2 * DISK_BYTES, DISK_BYTES - 512 * 1000};

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct lab_disk *target = lab_disk_create(&lab, "TARGET", sizes[i], 512, 0x5A);
        struct job_request request = {.kind = JOB_CLONE,
                                      .source = {.disk = &source->device},
                                      .target = {.disk = &target->device},
                                      .options = {.chunk_size = LAB_CHUNK}};
        assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
        assert_true(plan.destroys && lab_has_message(&plan.messages, MESSAGE_DUPLICATE_IDENTITY));
        plan_free(&plan);
        assert_int_equal(lab_run(&lab, &request, &result), 0);
        assert_int_equal(result.verification, VERIFIED_READ_BACK);
        assert_int_equal(source->changes, 0);
        lab_assert_restored(source, target, target->contents);
        struct job_request verify = verify_request(target);
        assert_int_equal(lab_run(&lab, &verify, &result), 0);
        lab_disk_free(target);
    }
    /* Onto itself: never. */
    struct job_request request = {
        .kind = JOB_CLONE, .source = {.disk = &source->device}, .target = {.disk = &source->device}};
    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    assert_true(plan.refused && lab_has_message(&plan.messages, MESSAGE_TARGET_IS_SOURCE));
    plan_free(&plan);
}

static void test_clone_partition(void **state)
{
    (void)state;
    /* From one partition to another of the same disk that is big enough: partition 2 into partition 1. */
    struct job_request request = {.kind = JOB_CLONE,
                                  .source = {.disk = &source->device, .partition = 2},
                                  .target = {.disk = &source->device, .partition = 1},
                                  .options = {.chunk_size = LAB_CHUNK}};
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_memory_equal(source->contents + LAB_FIRST_BLOCK * 512, source->contents + lab_second_offset(source),
                        LAB_SECOND_BYTES);
}

static void test_clone_unreadable(void **state)
{
    (void)state;
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request request = {.kind = JOB_CLONE,
                                  .source = {.disk = &source->device},
                                  .target = {.disk = &target->device},
                                  .options = {.chunk_size = LAB_CHUNK}};
    source->bad_read = lab_second_offset(source) / 512 + 500;
    source->bad_read_count = 1;
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_MEDIUM);
    assert_int_equal(result.error.side, SIDE_SOURCE);
    assert_true(job_is_half_restored(target->contents, 512, NULL));
    request.options.salvage = true;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    assert_int_equal(result.unreadable_bytes, 512);
    memset(source->contents + source->bad_read * 512, 0, 512);
    lab_assert_restored(source, target, target->contents);
    lab_disk_free(target);
}

static bool is_listed(uint64_t offset, uint64_t bytes)
{
    for (unsigned i = 0; i < result.messages.count; i++) {
        const struct message *message = &result.messages.items[i];
        if (message->id == MESSAGE_IMAGE_UNREADABLE && message->number[0] == offset && message->number[1] == bytes)
            return true;
    }
    return false;
}

/* What was unreadable when the image was made is said where, whenever the image is used. */
static void test_holes_of_an_image_are_listed(void **state)
{
    (void)state;
    uint64_t hole = lab_second_offset(source);
    struct job_request capture = lab_capture_request(&lab, source);
    capture.options.salvage = true;
    lab_new_store(&lab);
    source->bad_read = hole / 512;
    source->bad_read_count = 2 * LAB_CHUNK / 512;
    assert_int_equal(lab_run(&lab, &capture, &result), 0);
    assert_int_equal(result.unreadable_bytes, 2 * LAB_CHUNK);
    source->bad_read_count = 0;
    struct job_request verify = verify_request(NULL);
    assert_int_equal(lab_run(&lab, &verify, &result), 0);
    assert_int_equal(result.unreadable_bytes, 2 * LAB_CHUNK);
    assert_true(is_listed(hole, 2 * LAB_CHUNK));
    assert_false(lab_has_message(&result.messages, MESSAGE_IMAGE_INCOMPLETE));
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request restore = lab_restore_request(&lab, target);
    assert_int_equal(lab_run(&lab, &restore, &result), 0);
    assert_true(is_listed(hole, 2 * LAB_CHUNK));
    lab_disk_free(target);
}

static unsigned count_holes(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < result.messages.count; i++)
        count += result.messages.items[i].id == MESSAGE_IMAGE_HOLES;
    return count;
}

/* The same for parts of chunks: such an image is never called whole. */
static void test_lost_pieces_are_told(void **state)
{
    (void)state;
    uint64_t hole = lab_second_offset(source) / 512 + 1001;
    struct job_request capture = lab_capture_request(&lab, source);
    capture.options.salvage = true;
    lab_new_store(&lab);
    source->bad_read = hole;
    source->bad_read_count = 3;
    assert_int_equal(lab_run(&lab, &capture, &result), 0);
    assert_int_equal(result.unreadable_bytes, 3 * 512);
    source->bad_read_count = 0;
    memset(source->contents + hole * 512, 0, 3 * 512);
    unsigned pieces = (unsigned)((hole * 512 + 3 * 512 - 1) / IMAGE_PIECE - hole * 512 / IMAGE_PIECE + 1);
    struct job_request verify = verify_request(NULL);
    assert_int_equal(lab_run(&lab, &verify, &result), 0);
    assert_int_equal(result.unreadable_bytes, pieces * IMAGE_PIECE);
    assert_int_equal(count_holes(), 1);
    struct job_request compare = verify_request(source);
    assert_int_equal(lab_run(&lab, &compare, &result), 0);
    assert_int_equal(result.unreadable_bytes, pieces * IMAGE_PIECE);
    assert_int_equal(count_holes(), 1);
    struct lab_disk *target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    struct job_request restore = lab_restore_request(&lab, target);
    assert_int_equal(lab_run(&lab, &restore, &result), 0);
    assert_int_equal(result.unreadable_bytes, pieces * IMAGE_PIECE);
    assert_int_equal(count_holes(), 1);
    lab_assert_restored(source, target, target->contents);
    lab_disk_free(target);
}

/* More than are kept are given to whoever listens, and counted. */
static void test_messages_beyond_the_list(void **state)
{
    static struct message_list list;

    (void)state;
    for (unsigned i = 0; i < MESSAGE_LIST_MAX + 10; i++) {
        struct message *message = message_add(&list, MESSAGE_WARNING, MESSAGE_GAP_SKIPPED, 0, "A", NULL, i, 1);
        assert_int_equal(message->number[0], i);
    }
    assert_int_equal(list.count, MESSAGE_LIST_MAX);
    assert_int_equal(list.dropped, 10);
    assert_int_equal(list.items[MESSAGE_LIST_MAX - 1].number[0], MESSAGE_LIST_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_image, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk_of_another_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone_unreadable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_holes_of_an_image_are_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_pieces_are_told, set_up, tear_down),
        cmocka_unit_test(test_messages_beyond_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
