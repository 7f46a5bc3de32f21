/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring: order, all kinds of work, with and without workers, slots released in any order, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/pipeline.h"
#include "tests/support/job_lab.h"

#define CHUNKS 300u

static struct lab lab;

static void fill_plain(struct pipeline_slot *slot, unsigned number)
{
    uint8_t *plain = slot->plain.data;

    slot->chunk.length = LAB_CHUNK;
    slot->offset = number;
    for (size_t i = 0; i < LAB_CHUNK; i++)
        plain[i] = number % 7 == 0 ? 0 : (uint8_t)(i % 251 + number);
}

/* Runs `chunks` through; every step takes what it can. */
static void run_chunks(unsigned processors, bool use_idle)
{
    struct pipeline *pipeline;
    struct pipeline_config config = {.chunk_size = LAB_CHUNK, .level = 1};
    unsigned filled = 0, drained = 0;

    lab_init(&lab, processors);
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), 0);
    assert_int_equal(pipeline_processors(pipeline), processors);
    assert_true(pipeline_empty(pipeline));
    while (drained < CHUNKS) {
        struct pipeline_slot *slot;
        while (filled < CHUNKS && (slot = pipeline_claim(pipeline)) != NULL) {
            fill_plain(slot, filled++);
            slot->work = PIPELINE_ENCODE;
            if (slot->offset % 11 == 3) {
                slot->chunk.kind = IMAGE_UNUSED;
                pipeline_skip(pipeline, slot);
            } else {
                pipeline_ready(pipeline, slot);
            }
        }
        if (use_idle)
            lab.loop.idle(lab.loop.idle_context);
        else
            pipeline_work_once(pipeline);
        while ((slot = pipeline_oldest(pipeline)) != NULL) {
            assert_int_equal(slot->offset, drained); /* in order */
            assert_int_equal(slot->status, 0);
            enum image_chunk_kind kind = drained % 11 == 3 ? IMAGE_UNUSED : drained % 7 == 0 ? IMAGE_ZERO : IMAGE_DATA;
            assert_int_equal(slot->chunk.kind, kind);
            if (kind == IMAGE_DATA) {
                uint8_t hash[IMAGE_HASH_SIZE];
                image_hash(slot->plain.data, LAB_CHUNK, hash);
                assert_memory_equal(hash, slot->chunk.hash, sizeof(hash));
                assert_true(slot->chunk.stored_size > 0 && slot->chunk.stored_size < LAB_CHUNK);
            }
            pipeline_release(pipeline, slot);
            drained++;
        }
    }
    assert_true(pipeline_empty(pipeline));
    pipeline_destroy(pipeline);
    assert_null(lab.loop.idle);
    lab_free(&lab);
}

static void test_order(void **state)
{
    (void)state;
    run_chunks(1, true);
    run_chunks(1, false);
    run_chunks(2, true);
    run_chunks(4, true);
}

static struct pipeline_slot *work_on(struct pipeline *pipeline, struct pipeline_slot *slot, enum pipeline_work work)
{
    slot->work = work;
    pipeline_ready(pipeline, slot);
    assert_true(pipeline_work_once(pipeline));
    assert_ptr_equal(pipeline_oldest(pipeline), slot);
    return slot;
}

static void test_work(void **state)
{
    struct pipeline *pipeline;
    struct pipeline_config config = {.chunk_size = LAB_CHUNK, .level = 1};
    uint8_t *stored = malloc(chunk_stored_bound(LAB_CHUNK)), before[LAB_CHUNK];

    (void)state;
    lab_init(&lab, 1);
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), 0);

    /* Partly used: digest and encode agree, unused pieces come out as zeroes. */
    struct pipeline_slot *slot = pipeline_claim(pipeline);
    fill_plain(slot, 1);
    slot->has_map = true;
    memset(slot->map, 0, sizeof(slot->map));
    slot->map[0] = 0x05;
    work_on(pipeline, slot, PIPELINE_DIGEST);
    assert_int_equal(slot->chunk.kind, IMAGE_PARTIAL);
    struct image_chunk digest = slot->chunk;
    pipeline_release(pipeline, slot);
    slot = pipeline_claim(pipeline);
    fill_plain(slot, 1);
    slot->has_map = true;
    memset(slot->map, 0, sizeof(slot->map));
    slot->map[0] = 0x05;
    work_on(pipeline, slot, PIPELINE_ENCODE);
    assert_memory_equal(slot->chunk.hash, digest.hash, IMAGE_HASH_SIZE);
    assert_true(memory_is_zero((uint8_t *)slot->plain.data + 4096, 4096));
    memcpy(before, slot->plain.data, LAB_CHUNK);
    struct image_chunk chunk = slot->chunk;
    memcpy(stored, chunk.stored, chunk.stored_size);
    pipeline_release(pipeline, slot);

    /* Decoded again; damaged it is found out. */
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        slot = pipeline_claim(pipeline);
        slot->chunk = chunk;
        slot->chunk.stored = stored;
        work_on(pipeline, slot, PIPELINE_DECODE);
        assert_int_equal(slot->status, damaged ? -ERROR_CORRUPT : 0);
        if (!damaged)
            assert_memory_equal(before, slot->plain.data, LAB_CHUNK);
        pipeline_release(pipeline, slot);
        stored[chunk.stored_size / 2] ^= 1;
    }

    /* Compared by hash: garbage in unused pieces does not matter, in others it does. */
    for (unsigned piece = 0; piece < 2; piece++) {
        slot = pipeline_claim(pipeline);
        memcpy(slot->plain.data, before, LAB_CHUNK);
        ((uint8_t *)slot->plain.data)[piece ? 5 : 4096 + 5] ^= 1;
        slot->chunk.kind = IMAGE_PARTIAL;
        slot->chunk.length = LAB_CHUNK;
        memcpy(slot->chunk.hash, chunk.hash, IMAGE_HASH_SIZE);
        slot->has_map = true;
        memset(slot->map, 0, sizeof(slot->map));
        slot->map[0] = 0x05;
        work_on(pipeline, slot, PIPELINE_HASH);
        assert_int_equal(slot->status, piece ? -ERROR_MISMATCH : 0);
        pipeline_release(pipeline, slot);
    }
    pipeline_destroy(pipeline);
    lab_free(&lab);
    free(stored);
}

static void test_take(void **state)
{
    struct pipeline *pipeline;
    struct pipeline_config config = {.chunk_size = LAB_CHUNK, .slots = 4};
    struct pipeline_slot *slots[4];

    (void)state;
    lab_init(&lab, 1);
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), 0);
    assert_int_equal(pipeline_slots(pipeline), 4);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 4; i++) {
            slots[i] = pipeline_claim(pipeline);
            assert_non_null(slots[i]);
        }
        assert_null(pipeline_claim(pipeline));
        pipeline_skip(pipeline, slots[1]);
        assert_null(pipeline_take(pipeline)); /* the first is not done */
        pipeline_skip(pipeline, slots[0]);
        assert_ptr_equal(pipeline_take(pipeline), slots[0]);
        assert_ptr_equal(pipeline_take(pipeline), slots[1]);
        assert_null(pipeline_take(pipeline));
        pipeline_release(pipeline, slots[1]);
        assert_null(pipeline_claim(pipeline)); /* the ring begins with the first */
        pipeline_release(pipeline, slots[0]);
        pipeline_skip(pipeline, slots[2]);
        pipeline_skip(pipeline, slots[3]);
        assert_ptr_equal(pipeline_take(pipeline), slots[2]);
        assert_ptr_equal(pipeline_take(pipeline), slots[3]);
        pipeline_release(pipeline, slots[3]);
        assert_false(pipeline_empty(pipeline));
        pipeline_release(pipeline, slots[2]);
        assert_true(pipeline_empty(pipeline));
    }
    pipeline_destroy(pipeline);
    lab_free(&lab);
}

static void test_memory(void **state)
{
    struct pipeline *pipeline;
    struct pipeline_config config = {.chunk_size = IMAGE_CHUNK_MAX, .level = 3, .memory_limit = 64u * 1024 * 1024};
    unsigned long before = memory_platform_in_use();

    (void)state;
    lab_init(&lab, 4);
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), 0);
    assert_true(pipeline_slots(pipeline) >= 3);
    assert_true(pipeline_memory(pipeline) <= config.memory_limit);
    pipeline_destroy(pipeline);
    config.chunk_size = 5000;
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), -ERROR_OUT_OF_RANGE);
    lab_free(&lab);
    assert_int_equal(memory_platform_in_use(), before);
}

/* --- the level that follows --- */

#define BIG_CHUNK (1024u * 1024)

static _Atomic uint64_t scripted; /* only the tests below let time pass */

static uint64_t scripted_now(struct platform *platform)
{
    (void)platform;
    return scripted;
}

/* One ring of data through a pipeline whose target takes `nanoseconds` for it; the processors take no time of this clock. */
static void fill_and_drain(struct pipeline *pipeline, bool destination_waits, uint64_t nanoseconds)
{
    struct pipeline_slot *slot;

    while ((slot = pipeline_claim(pipeline)) != NULL) {
        memset(slot->plain.data, 5, BIG_CHUNK);
        slot->chunk.length = BIG_CHUNK;
        slot->work = PIPELINE_ENCODE;
        pipeline_ready(pipeline, slot);
    }
    pipeline_watch(pipeline, destination_waits);
    scripted += nanoseconds;
    pipeline_watch(pipeline, destination_waits);
    while (!pipeline_empty(pipeline)) {
        if (!pipeline_oldest(pipeline))
            assert_true(pipeline_work_once(pipeline));
        slot = pipeline_oldest(pipeline);
        assert_int_equal(slot->status, 0);
        pipeline_release(pipeline, slot);
    }
}

static void test_level_follows(void **state)
{
    struct pipeline *pipeline;
    struct pipeline_config config = {.chunk_size = BIG_CHUNK, .level = LEVEL_AUTO};

    (void)state;
    lab_init(&lab, 1);
    lab.ops.now = scripted_now;
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), 0);
    assert_int_equal(pipeline_level_tenths(pipeline), 0);
    /* Nothing was on its way yet: that the destination waits says nothing. */
    for (unsigned i = 0; i < 12; i++)
        fill_and_drain(pipeline, true, NANOSECONDS_PER_SECOND);
    assert_int_equal(pipeline_level_tenths(pipeline), 10 * LEVEL_START);
    /* The destination is busy all the time. */
    for (unsigned i = 0; i < 26; i++)
        fill_and_drain(pipeline, false, NANOSECONDS_PER_SECOND);
    unsigned slow = pipeline_level_tenths(pipeline);
    assert_true(slow > 10 * LEVEL_START);
    /* Now it waits, and so does the source. */
    for (unsigned i = 0; i < 36; i++)
        fill_and_drain(pipeline, true, NANOSECONDS_PER_SECOND);
    assert_true(pipeline_level_tenths(pipeline) < slow);
    pipeline_destroy(pipeline);
    lab_free(&lab);
}

/* Many processors and big chunks: the highest level gives way, not the processors. */
static void test_level_memory(void **state)
{
    struct pipeline *pipeline;
    struct pipeline_config config = {.chunk_size = BIG_CHUNK, .level = LEVEL_AUTO, .memory_limit = 48u * 1024 * 1024};

    (void)state;
    lab_init(&lab, 8);
    assert_int_equal(pipeline_create(&lab.loop, &config, &pipeline, NULL), 0);
    assert_int_equal(pipeline_processors(pipeline), 8);
    assert_true(pipeline_memory(pipeline) <= config.memory_limit);
    pipeline_destroy(pipeline);
    lab_free(&lab);
}

/* --- a worker that takes work and never comes back --- */

static struct pipeline *left_behind; /* where the leak checker finds what the lost worker keeps */
static uint64_t now;

static uint64_t stand_still(struct platform *platform)
{
    (void)platform;
    return now;
}

static unsigned one_that_sleeps(struct platform *platform, unsigned count, void (*entry)(void *, unsigned),
                                void *context)
{
    (void)platform;
    (void)entry;
    (void)context;
    return count ? 1 : 0;
}

static bool never_joined(struct platform *platform, uint64_t deadline)
{
    (void)platform;
    assert_true(deadline <= now + 2 * NANOSECONDS_PER_SECOND);
    return false;
}

static void test_stuck(void **state)
{
    struct pipeline_config config = {.chunk_size = LAB_CHUNK};
    struct pipeline_slot *slot;

    (void)state;
    lab_init(&lab, 2);
    lab.ops.now = stand_still;
    lab.ops.workers_start = one_that_sleeps;
    lab.ops.workers_join = never_joined;
    assert_int_equal(pipeline_create(&lab.loop, &config, &left_behind, NULL), 0);
    slot = pipeline_claim(left_behind);
    now += 1000 * NANOSECONDS_PER_SECOND;
    assert_false(pipeline_stuck(left_behind)); /* a slow disk is not the workers' fault */
    atomic_store(&slot->state, SLOT_WORKING);
    assert_false(pipeline_stuck(left_behind));
    now += 1000 * NANOSECONDS_PER_SECOND; /* the whole program stood still */
    assert_false(pipeline_stuck(left_behind));
    for (unsigned i = 0; i < 115; i++) {
        now += NANOSECONDS_PER_SECOND / 2;
        assert_false(pipeline_stuck(left_behind));
    }
    now += NANOSECONDS_PER_SECOND;
    assert_false(pipeline_stuck(left_behind));
    now += NANOSECONDS_PER_SECOND;
    assert_true(pipeline_stuck(left_behind));
    pipeline_destroy(left_behind);
    assert_null(lab.loop.idle);
    memset(slot->plain.data, 1, LAB_CHUNK); /* still there */
    lab_free(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),        cmocka_unit_test(test_work),  cmocka_unit_test(test_take),
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_stuck), cmocka_unit_test(test_level_follows),
        cmocka_unit_test(test_level_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
