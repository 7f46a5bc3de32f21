/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time that is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ui/pace.h"

#define SECOND NANOSECONDS_PER_SECOND

static struct job_progress at(enum job_phase phase, uint64_t second, uint64_t done)
{
    return (struct job_progress){
        .phase = phase, .started = 7 * SECOND, .now = (7 + second) * SECOND, .done_bytes = done, .total_bytes = 1000};
}

static void test_each_phase_has_its_own_pace(void **state)
{
    struct pace pace = {0};
    struct job_progress progress = at(PHASE_COPY, 0, 0);

    (void)state;
    assert_true(pace_update(&pace, &progress));
    assert_true(pace_left(&pace, &progress) == UINT64_MAX);
    progress = at(PHASE_COPY, 50, 500);
    assert_false(pace_update(&pace, &progress));
    assert_int_equal(pace_rate(&pace, &progress), 10);
    assert_true(pace_left(&pace, &progress) == 50 * SECOND);
    progress = at(PHASE_COPY, 100, 1000);
    assert_true(pace_left(&pace, &progress) == 0);
    /* A part was read back while copying went on; the rest is ten times as fast as copying was. */
    progress = at(PHASE_READ_BACK, 100, 200);
    assert_true(pace_update(&pace, &progress));
    assert_true(pace_left(&pace, &progress) == UINT64_MAX);
    progress = at(PHASE_READ_BACK, 102, 400);
    assert_false(pace_update(&pace, &progress));
    assert_int_equal(pace_rate(&pace, &progress), 100);
    assert_true(pace_left(&pace, &progress) == 6 * SECOND);
}

static void test_pauses_do_not_count(void **state)
{
    struct pace pace = {0};
    struct job_progress progress = at(PHASE_COPY, 0, 0);

    (void)state;
    pace_update(&pace, &progress);
    progress = at(PHASE_COPY, 150, 500);
    progress.paused_nanoseconds = 100 * SECOND;
    pace_update(&pace, &progress);
    assert_true(pace_left(&pace, &progress) == 50 * SECOND);
}

static void test_numbers_at_their_ends(void **state)
{
    struct pace pace = {0};
    struct job_progress progress = at(PHASE_COPY, 0, 0);

    (void)state;
    pace_update(&pace, &progress);
    progress = at(PHASE_COPY, 1, 1);
    progress.total_bytes = UINT64_MAX;
    assert_true(pace_left(&pace, &progress) == UINT64_MAX);
    /* Nothing to do is done. */
    progress.done_bytes = progress.total_bytes = 0;
    assert_true(pace_left(&pace, &progress) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_phase_has_its_own_pace),
        cmocka_unit_test(test_pauses_do_not_count),
        cmocka_unit_test(test_numbers_at_their_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
