/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job is paused in each of its phases: it rests, it lives, it can be cancelled, and its result is the same afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"

#define DISK_BYTES (12u * 1024 * 1024)
/* Longer than any deadline of a device or a processor. */
#define PAUSE (65 * NANOSECONDS_PER_SECOND)
#define NEVER UINT64_MAX

static struct lab lab;
static struct lab_disk *source, *target;
static struct plan plan;
static struct job_result result;
static struct error error;

/* Time passes only while the platform waits, and a little with each look at the clock. */
static uint64_t clock_now;

static uint64_t now(struct platform *platform)
{
    (void)platform;
    return clock_now += 1000;
}

static void wait_until(struct platform *platform, uint64_t deadline)
{
    (void)platform;
    if (deadline > clock_now)
        clock_now = deadline;
}

static void same_bytes(struct platform *platform, void *bytes, size_t size)
{
    (void)platform;
    memset(bytes, 0x3C, size);
}

/* --- a listener who wants a pause at a certain look, in a certain phase --- */

struct watcher {
    struct job_listener listener; /* first */
    enum job_phase phase;
    uint64_t at; /* looks in this phase before the pause; NEVER */
    bool cancels;
    /* What it saw */
    enum job_phase phase_now;
    bool pausing, was_paused;
    uint64_t looks, began, looks_paused, events_paused;
    size_t submitted; /* when the pause began */
    struct job_progress last;
};

/* Requests that the disks and the store were given. */
static size_t submissions(void)
{
    size_t count = lab.store.requests;
    const struct lab_disk *const disks[] = {source, target};

    for (unsigned i = 0; i < 2; i++)
        for (size_t j = 0; disks[i] && j < disks[i]->event_count; j++)
            count += !disks[i]->events[j].ended;
    return count;
}

static bool want_pause(struct job_listener *listener)
{
    struct watcher *watcher = (struct watcher *)listener;

    if (watcher->pausing) {
        watcher->looks_paused++;
        if (watcher->looks_paused % 16 == 1) {
            assert_int_equal(submissions(), watcher->submitted);
            assert_true(watcher->looks_paused < 200 || !source->pending_count);
            assert_true(watcher->looks_paused < 200 || !target || !target->pending_count);
        }
        if (clock_now - watcher->began >= PAUSE)
            watcher->pausing = false;
        return watcher->pausing;
    }
    if (watcher->was_paused || watcher->phase_now != watcher->phase || watcher->looks++ != watcher->at)
        return false;
    watcher->pausing = watcher->was_paused = true;
    watcher->began = clock_now;
    watcher->submitted = submissions();
    return true;
}

static bool want_cancel(struct job_listener *listener)
{
    const struct watcher *watcher = (const struct watcher *)listener;

    return watcher->cancels && watcher->pausing && clock_now - watcher->began > PAUSE / 2;
}

static void see_progress(struct job_listener *listener, const struct job_progress *progress)
{
    struct watcher *watcher = (struct watcher *)listener;

    watcher->phase_now = progress->phase;
    watcher->events_paused += progress->paused;
    if (progress->paused)
        assert_true(watcher->pausing);
    if (watcher->pausing && progress->paused && watcher->last.paused) {
        assert_true(progress->paused_nanoseconds > watcher->last.paused_nanoseconds);
        assert_int_equal(progress->now - watcher->last.now,
                         progress->paused_nanoseconds - watcher->last.paused_nanoseconds);
    }
    watcher->last = *progress;
}

static int run(struct watcher *watcher, const struct job_request *request)
{
    watcher->listener = (struct job_listener){.progress = see_progress, .cancelled = want_cancel, .paused = want_pause};
    assert_int_equal(job_plan(&lab.loop, request, &plan, &error), 0);
    int status = job_run(&lab.loop, &plan, &watcher->listener, &result);
    plan_free(&plan);
    return status;
}

/* --- jobs --- */

static int set_up(void **state)
{
    (void)state;
    lab_init(&lab, 1);
    lab.ops.now = now;
    lab.ops.wait = wait_until;
    lab.ops.random = same_bytes;
    source = lab_pc(&lab, "PC", DISK_BYTES, 512);
    source->keep_events = true;
    target = NULL;
    struct job_request request = lab_capture_request(&lab, source);
    lab.store.delay = 5;
    return lab_run(&lab, &request, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    lab_disk_free(source);
    lab_free(&lab);
    return 0;
}

static struct job_request new_request(enum job_kind kind)
{
    struct job_request request = lab_capture_request(&lab, source);

    if (kind == JOB_CAPTURE) {
        lab_new_store(&lab);
        lab.store.delay = 5;
        /* Several segments, each sent in several requests, while the disk is still being read. */
        lab.store.queue_depth = 1;
        request.options.split = 512 * 1024;
        return request;
    }
    if (kind == JOB_VERIFY)
        return (struct job_request){
            .kind = JOB_VERIFY, .source = {.store = &lab.store.store}, .target = {.disk = &source->device}};
    target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    target->keep_events = true;
    /* A run of zeroes, and discards, that the disk takes many requests for. */
    target->device.geometry.max_write_zeroes = target->device.geometry.max_discard = 16 * 1024;
    request.options.read_back_distance = 1024 * 1024;
    request.options.discard = true;
    request.kind = kind;
    request.target = (struct job_end){.disk = &target->device};
    if (kind == JOB_RESTORE)
        request.source = (struct job_end){.store = &lab.store.store};
    return request;
}

/* What came out: bytes of the image or the target. The caller's to free(). */
static uint8_t *take_outcome(enum job_kind kind, size_t *size)
{
    uint8_t *bytes = NULL;

    *size = 0;
    if (kind == JOB_CAPTURE) {
        bytes = memory_store_join(&lab.store, size);
    } else if (target) {
        bytes = malloc(DISK_BYTES);
        memcpy(bytes, target->contents, DISK_BYTES);
        *size = DISK_BYTES;
        if (!result.status)
            assert_memory_equal(target->contents, target->durable, DISK_BYTES);
    }
    if (target)
        lab_disk_free(target);
    target = NULL;
    return bytes;
}

/* The looks in the phase at which pauses are tried. */
static const uint64_t looks[] = {0, 3, 30, 200};
#define LOOKS (sizeof(looks) / sizeof(looks[0]))

static void expect_same(enum job_kind kind, enum job_phase phase)
{
    struct watcher watcher = {.at = NEVER};
    struct job_request request = new_request(kind);
    assert_int_equal(run(&watcher, &request), 0);
    const struct job_result plain = result;
    size_t size, size_after;
    uint8_t *outcome = take_outcome(kind, &size);

    assert_int_equal(plain.paused_nanoseconds, 0);
    for (unsigned i = 0; i < LOOKS; i++) {
        watcher = (struct watcher){.phase = phase, .at = looks[i]};
        request = new_request(kind);
        assert_int_equal(run(&watcher, &request), 0);
        uint8_t *outcome_after = take_outcome(kind, &size_after);
        assert_int_equal(size_after, size);
        if (size)
            assert_memory_equal(outcome_after, outcome, size);
        free(outcome_after);
        assert_int_equal(result.read_bytes, plain.read_bytes);
        assert_int_equal(result.written_bytes, plain.written_bytes);
        assert_int_equal(result.verified_bytes, plain.verified_bytes);
        assert_int_equal(result.verification, VERIFIED_READ_BACK);
        assert_true(watcher.was_paused || looks[i]);
        if (!watcher.was_paused)
            continue;
        /* The pause is told, and not counted as work. */
        assert_in_range(result.paused_nanoseconds, PAUSE, PAUSE + NANOSECONDS_PER_SECOND);
        assert_true(result.copy_nanoseconds + result.verify_nanoseconds <
                    plain.copy_nanoseconds + plain.verify_nanoseconds + NANOSECONDS_PER_SECOND);
        assert_int_equal(watcher.last.paused_nanoseconds, result.paused_nanoseconds);
        assert_false(watcher.last.paused);
        /* It slept between the looks, and the screen lived. */
        assert_in_range(watcher.looks_paused, PAUSE / NANOSECONDS_PER_SECOND * 100,
                        PAUSE / NANOSECONDS_PER_SECOND * 120 + 200);
        assert_in_range(watcher.events_paused, PAUSE / NANOSECONDS_PER_SECOND * 8,
                        PAUSE / NANOSECONDS_PER_SECOND * 10 + 2);
    }
    free(outcome);
}

static void test_capture(void **state)
{
    (void)state;
    expect_same(JOB_CAPTURE, PHASE_COPY);
    expect_same(JOB_CAPTURE, PHASE_FLUSH);
    expect_same(JOB_CAPTURE, PHASE_READ_BACK);
}

static void test_restore(void **state)
{
    (void)state;
    expect_same(JOB_RESTORE, PHASE_COPY);
    expect_same(JOB_RESTORE, PHASE_FLUSH);
    expect_same(JOB_RESTORE, PHASE_READ_BACK);
    expect_same(JOB_RESTORE, PHASE_FINISH);
}

static void test_clone(void **state)
{
    (void)state;
    expect_same(JOB_CLONE, PHASE_COPY);
    expect_same(JOB_CLONE, PHASE_FLUSH);
    expect_same(JOB_CLONE, PHASE_READ_BACK);
    expect_same(JOB_CLONE, PHASE_FINISH);
}

static void test_verify(void **state)
{
    (void)state;
    expect_same(JOB_VERIFY, PHASE_READ_BACK);
}

/* Cancelled in the middle of a pause: at once, and what is left behind is what a cancel leaves. */
static void expect_cancelled(enum job_kind kind, enum job_phase phase)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        struct watcher watcher = {.phase = phase, .at = looks[i], .cancels = true};
        struct job_request request = new_request(kind);
        int status = run(&watcher, &request);

        assert_true(watcher.was_paused || looks[i]);
        assert_int_equal(status, watcher.was_paused ? -ERROR_CANCELLED : 0);
        if (watcher.was_paused) {
            assert_in_range(result.paused_nanoseconds, PAUSE / 2, PAUSE / 2 + NANOSECONDS_PER_SECOND);
            if (kind == JOB_CAPTURE)
                assert_false(lab.store.volumes[1].there);
        }
        if (target && watcher.was_paused)
            assert_int_equal(job_is_half_restored(target->contents, 512, NULL), target->changes != 0);
        assert_int_equal(source->pending_count, 0);
        free(take_outcome(kind, &(size_t){0}));
    }
}

static void test_cancel(void **state)
{
    (void)state;
    expect_cancelled(JOB_VERIFY, PHASE_READ_BACK);
    for (enum job_phase phase = PHASE_COPY; phase <= PHASE_FINISH; phase++) {
        expect_cancelled(JOB_RESTORE, phase);
        expect_cancelled(JOB_CLONE, phase);
    }
    for (enum job_phase phase = PHASE_COPY; phase <= PHASE_READ_BACK; phase++)
        expect_cancelled(JOB_CAPTURE, phase);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_capture, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restore, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_verify, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
