/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures that were cut off and go on: what is in the image stays, what is not whole is cut, and what may not be mixed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/image_internal.h"
#include "tests/support/job_lab.h"

#define DISK_BYTES (9u * 1024 * 1024)
#define SPLIT 500000u
#define LINKS_MAX 400

static struct lab lab;
static struct lab_disk *source;
static struct job_result result;
static struct plan plan;

/* The whole image, its volumes in a row, and where they and its links begin. */
static uint8_t *whole;
static size_t whole_size, starts[64], links[LINKS_MAX];
static unsigned first_volume, volumes, link_count, segments;

static struct job_request capture_request(bool resume, uint64_t split)
{
    struct job_request request = lab_capture_request(&lab, source);

    request.options.resume = resume;
    request.options.split = split;
    return request;
}

static int go_on_with(struct job_request request)
{
    request.options.resume = true;
    return lab_run(&lab, &request, &result);
}

static int go_on(void)
{
    return go_on_with(capture_request(true, first_volume ? SPLIT : 0));
}

/* Only the plan; true when it is refused with this message. */
static bool refused_with(struct job_request request, enum message_id id)
{
    struct error error;

    assert_int_equal(job_plan(&lab.loop, &request, &plan, &error), 0);
    bool refused = plan.refused && lab_has_message(&plan.messages, id);
    plan_free(&plan);
    return refused;
}

static void find_links(void)
{
    size_t at = 0;

    link_count = segments = 0;
    while (!frame_has_tag(whole + at, TAG_TABLE)) {
        assert_true(link_count < LINKS_MAX);
        links[link_count++] = at;
        if (!memcmp(whole + at, lead_frame, LEAD_SIZE))
            at += LEAD_SIZE;
        bool index = frame_has_tag(whole + at, TAG_INDEX);
        segments += index;
        at += (size_t)frame_claimed_size(whole + at) + (index ? (size_t)load_le64(whole + at + INDEX_AT_STORED) : 0);
    }
    links[link_count] = at;
}

static void keep_whole(void)
{
    free(whole);
    whole = memory_store_join(&lab.store, &whole_size);
    first_volume = !lab.store.volumes[0].there;
    size_t sum = 0;
    for (volumes = 0; lab.store.volumes[first_volume + volumes].there; volumes++) {
        starts[volumes] = sum;
        sum += lab.store.volumes[first_volume + volumes].size;
    }
    starts[volumes] = sum;
    find_links();
}

/* The image as far as `length`. `empty`: where a volume would begin there, its file is there already. */
static void cut_at(size_t length, bool empty)
{
    lab_new_store(&lab);
    for (unsigned i = 0; i < volumes && (starts[i] < length || !i || (starts[i] == length && empty)); i++) {
        size_t end = starts[i + 1] < length ? starts[i + 1] : length;
        memory_store_set(&lab.store, first_volume + i, whole + starts[i], end - starts[i]);
    }
}

static bool unchanged(size_t length)
{
    size_t size;
    uint8_t *now = memory_store_join(&lab.store, &size);
    bool same = !lab.store.cuts && size == length && !memcmp(now, whole, size);

    free(now);
    return same;
}

static void assert_image_right(void)
{
    struct block_device *image;
    struct lab_disk like_this = *source;
    uint8_t *contents = malloc(source->bytes);
    struct error error;

    assert_int_equal(result.verification, VERIFIED_READ_BACK);
    assert_int_equal(image_block_open(&lab.loop, &lab.store.store, &image, &error), 0);
    assert_int_equal(block_read_bytes(image, 0, contents, source->bytes, &error), 0);
    lab_assert_restored(source, &like_this, contents);
    block_device_stop(image);
    free(contents);
}

/* Stock zstd makes of the image what we do. */
static void assert_zstd_agrees(void)
{
    char folder[] = "/tmp/eidolon-session-XXXXXX", command[256], name[128];
    struct block_device *image;
    uint8_t *contents = malloc(source->bytes);
    struct error error;
    size_t size;
    uint8_t *all = memory_store_join(&lab.store, &size);

    assert_non_null(mkdtemp(folder));
    assert_int_equal(image_block_open(&lab.loop, &lab.store.store, &image, &error), 0);
    assert_int_equal(block_read_bytes(image, 0, contents, source->bytes, &error), 0);
    block_device_stop(image);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, i ? "disk" : "image");
        FILE *file = fopen(name, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(i ? contents : all, 1, i ? source->bytes : size, file), i ? source->bytes : size);
        fclose(file);
    }
    snprintf(command, sizeof command, "cd %s && zstd -qdc < image | cmp - disk", folder);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    free(contents);
    free(all);
}

static int begin(uint64_t split)
{
    lab_init(&lab, 1);
    source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    struct job_request request = capture_request(false, split);
    int status = lab_run(&lab, &request, NULL);
    keep_whole();
    return status;
}

static int set_up(void **state)
{
    (void)state;
    return begin(0);
}

static int set_up_split(void **state)
{
    (void)state;
    return begin(SPLIT);
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(lab.store.open_streams, 0);
    lab_disk_free(source);
    lab_free(&lab);
    free(whole);
    whole = NULL;
    return 0;
}

/* The last link that is whole in `length` bytes, and where it ends. */
static size_t kept_of(size_t length)
{
    size_t kept = 0;

    for (unsigned i = 1; i < link_count && links[i] <= length; i++)
        kept = links[i]; /* the closing header, the last link, is none that is kept */
    return kept;
}

static void check_cut(size_t length, bool empty)
{
    size_t kept = kept_of(length);

    cut_at(length, empty);
    struct job_request request = capture_request(true, first_volume ? SPLIT : 0);
    assert_int_equal(job_plan(&lab.loop, &request, &plan, NULL), 0);
    uint64_t planned = plan.kept.stored_bytes;
    plan_free(&plan);
    int status = go_on();
    if (!kept) {
        assert_int_equal(status, -ERROR_REFUSED);
        assert_true(unchanged(length));
        return;
    }
    if (status)
        fail_msg("cut at %zu: %d, %s", length, status, result.error.detail);
    assert_int_equal(planned, kept);
    size_t size;
    uint8_t *now = memory_store_join(&lab.store, &size);
    assert_memory_equal(now, whole, kept);
    free(now);
    assert_true(lab_has_message(&result.messages, MESSAGE_CONTINUED));
    assert_image_right();
}

/* At each link's ends and within; in the end, which is table, trailer and seek table; and all of the first header. */
static void test_goes_on_wherever_it_was_cut(void **state)
{
    unsigned cuts = 0;

    (void)state;
    assert_true(segments >= 5);
    for (unsigned i = 0; i < link_count; i++) {
        size_t length = links[i + 1] - links[i];
        const size_t inside[] = {0, 1, LEAD_SIZE, LEAD_SIZE + 7, FRAME_BODY + 50, length / 2, length - 1};
        for (size_t k = 0; k < sizeof inside / sizeof inside[0]; k++)
            if (inside[k] < length && ++cuts)
                check_cut(links[i] + inside[k], true);
        check_cut(links[i], false);
    }
    for (size_t length = links[link_count]; length < whole_size; length += 197, cuts++)
        check_cut(length, true);
    check_cut(whole_size - 1, true);
    check_cut(kept_of(whole_size), true);
    assert_zstd_agrees();
    print_message("%u cuts, %u segments, %u volumes\n", cuts, segments, volumes);
}

/* Writing fails again and again: each session adds what it can. */
static void test_cut_off_again_and_again(void **state)
{
    uint64_t split = *state ? SPLIT : 0;
    unsigned sessions = 0;
    int status;

    lab_new_store(&lab);
    lab.store.fail_write_at = 500000;
    struct job_request request = capture_request(false, split);
    assert_int_equal(lab_run(&lab, &request, &result), -ERROR_NO_SPACE);
    do {
        size_t before, after;
        uint8_t *old = memory_store_join(&lab.store, &before);
        lab.store.fail_write_at = lab.store.written + 400000 * (sessions + 1);
        status = go_on_with(capture_request(true, split));
        uint8_t *now = memory_store_join(&lab.store, &after);
        assert_true(after > 400000 && !memcmp(now, old, 400000));
        if (status)
            assert_int_equal(status, -ERROR_NO_SPACE);
        free(old);
        free(now);
        sessions++;
    } while (status && sessions < 20);
    assert_int_equal(status, 0);
    assert_true(sessions >= 3);
    assert_image_right();
    assert_zstd_agrees();
    print_message("%u sessions\n", sessions + 1);
}

static void test_cancelled_keeps_all(void **state)
{
    unsigned cancelled = 0;
    size_t half = links[link_count / 2];

    (void)state;
    for (uint64_t when = 0; when < 200; when = when * 2 + 1) {
        cut_at(half, false);
        lab.cancel_after = when;
        int status = go_on();
        lab.cancel_after = LAB_NEVER;
        lab.cancel = false;
        size_t size;
        uint8_t *now = memory_store_join(&lab.store, &size);
        assert_true(size >= half);
        assert_memory_equal(now, whole, half);
        free(now);
        if (!status)
            continue;
        assert_int_equal(status, -ERROR_CANCELLED);
        cancelled++;
        assert_int_equal(go_on(), 0);
        assert_image_right();
    }
    assert_true(cancelled >= 3);
}

/* --- what has changed --- */

static void test_source_changed(void **state)
{
    uint64_t used = LAB_FIRST_BLOCK * 512 + lab_used(0).offset + lab_used(0).length / 2,
             last = lab_second_offset(source) + 777;
    size_t half = 0;

    (void)state;
    /* Behind the segment of partition 1, before that of partition 2. */
    for (unsigned i = 0; i < link_count; i++)
        if (frame_has_tag(whole + links[i], TAG_INDEX) && load_le64(whole + links[i] + INDEX_AT_DISK_OFFSET) <= last)
            half = links[i];
    cut_at(half, false);
    source->contents[used] ^= 1;
    assert_int_equal(go_on(), -ERROR_REFUSED);
    assert_int_equal(result.error.side, SIDE_SOURCE);
    assert_non_null(strstr(result.error.detail, "has changed"));
    assert_true(unchanged(half));
    source->contents[used] ^= 1;

    /* What was not captured yet may be what it is. */
    source->contents[last] ^= 1;
    assert_int_equal(go_on(), 0);
    assert_image_right();

    /* What becomes zero, and what was. */
    cut_at(half, false);
    memset(source->contents + LAB_FIRST_BLOCK * 512 + lab_used(0).offset, 0, LAB_CHUNK);
    assert_int_equal(go_on(), -ERROR_REFUSED);
    assert_true(unchanged(half));
}

static void test_other_disks_and_tables(void **state)
{
    size_t half = links[link_count / 2];
    struct job_request request = capture_request(true, 0);

    (void)state;
    cut_at(half, false);
    source->contents[100] ^= 1; /* boot code, captured with the table */
    assert_true(refused_with(request, MESSAGE_SOURCE_CHANGED));
    source->contents[100] ^= 1;
    request.options.raw = true;
    assert_true(refused_with(request, MESSAGE_SOURCE_CHANGED));
    request.options.raw = false;
    char serial[BLOCK_TEXT_MAX];
    memcpy(serial, source->device.serial, sizeof serial);
    source->device.serial[0] ^= 1;
    assert_true(refused_with(request, MESSAGE_CONTINUES_OTHER_DISK));
    memcpy(source->device.serial, serial, sizeof serial);
    request.source.partition = 1;
    assert_true(refused_with(request, MESSAGE_CONTINUES_OTHER_DISK));
    assert_true(unchanged(half));
    request.source.partition = 0;
    request.options.chunk_size = 2 * LAB_CHUNK; /* the image has its own */
    assert_int_equal(go_on_with(request), 0);
    assert_image_right();
}

static void test_nothing_to_go_on_with(void **state)
{
    struct job_request request = capture_request(true, 0);

    (void)state;
    assert_true(refused_with(request, MESSAGE_IMAGE_COMPLETE));
    assert_true(unchanged(whole_size));
    lab_new_store(&lab);
    assert_true(refused_with(request, MESSAGE_NO_IMAGE_TO_CONTINUE));
    assert_false(lab.store.volumes[0].there);
    memory_store_set(&lab.store, 0, "some text", 9);
    assert_true(refused_with(request, MESSAGE_CANNOT_CONTINUE));
    cut_at(links[3], false);
    request.target.is_pipe = true;
    assert_true(refused_with(request, MESSAGE_CANNOT_CONTINUE));
    request.target.is_pipe = false;
    lab.store.store.reopen = NULL;
    assert_true(refused_with(request, MESSAGE_CANNOT_CONTINUE));
}

/* --- damage --- */

/* A flipped bit of stored bytes: the image is cut before that segment, and what follows is captured again. */
static void test_damaged_segments(void **state)
{
    size_t length = links[link_count - 1];

    (void)state;
    for (unsigned i = 1; i + 1 < link_count; i++) {
        size_t at = links[i + 1] - 20;
        cut_at(length, false);
        lab.store.volumes[0].data[at] ^= 4;
        assert_int_equal(go_on(), 0);
        assert_image_right();
        assert_memory_equal(lab.store.volumes[0].data, whole, links[i]);
    }
    /* Its beginning cannot be read: nothing is cut. */
    cut_at(length, false);
    lab.store.fail_read_at = links[2] + 10;
    lab.store.fail_read_size = 1;
    assert_int_equal(go_on(), -ERROR_MEDIUM);
    assert_true(unchanged(length));
}

static void test_damage_in_an_earlier_volume(void **state)
{
    struct job_request request = capture_request(true, SPLIT);
    size_t length = starts[volumes - 1] + 5000;

    (void)state;
    assert_true(volumes >= 3);
    cut_at(length, false);
    lab.store.volumes[2].data[lab.store.volumes[2].size - 30] ^= 1; /* stored bytes: the plan does not see it */
    assert_int_equal(go_on(), -ERROR_CORRUPT);
    assert_int_equal(lab.store.cuts, 0);
    lab.store.volumes[2].data[3000] ^= 1; /* an index */
    lab.store.volumes[2].data[LEAD_SIZE + 100] ^= 1;
    assert_true(refused_with(request, MESSAGE_CANNOT_CONTINUE));

    /* Joined into one file, or one of them renamed, they are not what was written. */
    lab_new_store(&lab);
    memory_store_set(&lab.store, 0, whole, length);
    assert_true(refused_with(request, MESSAGE_CANNOT_CONTINUE));
    memory_store_set(&lab.store, 0, whole, 5000);
    assert_true(refused_with(request, MESSAGE_CANNOT_CONTINUE));
}

/* The volumes to come are of another size; those that are there stay. */
static void test_other_volume_sizes(void **state)
{
    static const uint64_t sizes[] = {400000, 450001, 3000000, 0};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        cut_at(links[link_count / 2], false);
        assert_int_equal(go_on_with(capture_request(true, sizes[i])), 0);
        assert_image_right();
        assert_int_equal(lab.store.volumes[1].size, starts[1]);
    }
}

static void test_unreadable_and_blank(void **state)
{
    uint64_t second = lab_second_offset(source);
    struct job_request request = capture_request(false, 0);

    (void)state;
    lab_blank[0] = (struct extent){1179648 + 5000, 30000};
    lab_blank[1] = (struct extent){3145728, 131072};
    memset(source->contents + LAB_FIRST_BLOCK * 512 + lab_blank[1].offset, 0xee, lab_blank[1].length);
    lab_new_store(&lab);
    request.options.salvage = true;
    source->bad_read = second / 512;
    source->bad_read_count = 2 * LAB_CHUNK / 512;
    assert_int_equal(lab_run(&lab, &request, &result), 0);
    keep_whole();
    cut_at(links[link_count - 1], false);
    assert_int_equal(go_on_with(request), 0);
    assert_int_equal(result.unreadable_bytes, 2 * LAB_CHUNK); /* it is told again: the image has these holes */
    assert_int_equal(result.totals.unreadable_bytes, 2 * LAB_CHUNK);
    /* Without --salvage a source that fails is no source to go on with. */
    cut_at(links[link_count - 1], false);
    request.options.salvage = false;
    assert_int_equal(go_on_with(request), -ERROR_MEDIUM);
    assert_true(unchanged(links[link_count - 1]));
    memset(lab_blank, 0, sizeof lab_blank);
}

/* The program that goes on is another one: the header says what it said, and its sessions cannot be told apart by it. */
static void test_header_is_kept(void **state)
{
    struct job_request request = capture_request(true, 0);

    (void)state;
    cut_at(links[2], false);
    request.options.program = "eidolon of another year";
    request.options.level = 7;
    assert_int_equal(go_on_with(request), 0);
    assert_image_right();
    keep_whole();
    const uint8_t *head = whole + LEAD_SIZE, *again = whole + links[2];
    assert_int_equal(load_le32(again + HEAD_AT_KIND), HEAD_SESSION);
    assert_true(header_repeats(head, (size_t)frame_claimed_size(head), again, (size_t)frame_claimed_size(again)));
    assert_memory_not_equal(head + FRAME_AT_SESSION, again + FRAME_AT_SESSION, 16);
}

int main(void)
{
    static int one = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_goes_on_wherever_it_was_cut, set_up, tear_down),
        {"test_volumes_go_on_wherever_they_were_cut", test_goes_on_wherever_it_was_cut, set_up_split, tear_down, NULL},
        cmocka_unit_test_setup_teardown(test_cut_off_again_and_again, set_up, tear_down),
        {"test_volumes_cut_off_again_and_again", test_cut_off_again_and_again, set_up, tear_down, &one},
        cmocka_unit_test_setup_teardown(test_cancelled_keeps_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_source_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_disks_and_tables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_to_go_on_with, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_in_an_earlier_volume, set_up_split, tear_down),
        cmocka_unit_test_setup_teardown(test_other_volume_sizes, set_up_split, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable_and_blank, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_header_is_kept, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
