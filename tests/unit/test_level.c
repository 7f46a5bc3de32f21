/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The level that follows, driven by a model of a capture: two ends of a given speed, processors, data of a given hardness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/level.h"

#define WINDOW 1000000000ULL /* nanoseconds that a window takes where level 3 keeps up exactly */

/* Processor time per level as real data may have it, which is not what the controller expects. */
static const unsigned hardness[LEVEL_CEILING + 1] = {0, 50, 80, 100, 110, 190, 240, 330, 400};

struct model {
    struct level_control control;
    unsigned ends; /* speed of the slower end, per cent of what the processors do at level 3 */
    unsigned data; /* per cent: how long this data takes beside other data */
    unsigned moves, waited;
    uint64_t noise;
};

static void model_init(struct model *model, unsigned ends)
{
    *model = (struct model){.ends = ends, .data = 100, .noise = 7};
    level_init(&model->control, LEVEL_FLOOR, LEVEL_CEILING);
}

static void run(struct model *model, unsigned windows)
{
    model->moves = model->waited = 0;
    for (unsigned i = 0; i < windows; i++) {
        /* Windows catch more or less of the ends' bursts: plus or minus a tenth. */
        model->noise = model->noise * 6364136223846793005ULL + 1442695040888963407ULL;
        uint64_t computed = WINDOW * hardness[model->control.level] / 100 * model->data / 100;
        uint64_t ends = WINDOW * 100 / model->ends * (90 + (model->noise >> 33) % 21) / 100;
        struct level_facts facts = {.elapsed = computed > ends ? computed : ends,
                                    .computed = 2 * computed,
                                    .waited = computed > ends ? computed - ends : 0,
                                    .processors = 2};
        int before = model->control.level;
        int level = level_next(&model->control, &facts);
        assert_int_equal(level, model->control.level);
        assert_in_range(level, LEVEL_FLOOR, LEVEL_CEILING);
        model->moves += level != before;
        model->waited += facts.waited * 10 > facts.elapsed;
    }
}

static void test_slow_end(void **state)
{
    struct model model;

    (void)state;
    model_init(&model, 10);
    assert_int_equal(model.control.level, LEVEL_START);
    run(&model, 1);
    assert_int_equal(model.control.level, LEVEL_START); /* slow to rise */
    run(&model, 30);
    assert_int_equal(model.control.level, LEVEL_CEILING);
    run(&model, 1000);
    assert_int_equal(model.moves, 0);
}

static void test_fast_ends(void **state)
{
    struct model model;

    (void)state;
    model_init(&model, 1000);
    run(&model, 1);
    assert_int_equal(model.control.level, LEVEL_START); /* one window alone makes no image bigger */
    run(&model, 1);
    assert_int_equal(model.control.level, LEVEL_FLOOR); /* quick to fall */
    run(&model, 1000);
    assert_int_equal(model.moves, 0);
}

/* Whatever the speeds: it ends where the ends hardly wait, and seldom leaves it. */
static void test_settles(void **state)
{
    (void)state;
    for (unsigned ends = 15; ends <= 190; ends += 5) {
        struct model model;
        model_init(&model, ends);
        run(&model, 300);
        run(&model, 1000);
        if (model.moves > 60 || model.waited > 30)
            fail_msg("ends %u: %u moves, %u windows waited for", ends, model.moves, model.waited);
        /* Time is not left unused either. */
        int next = model.control.level + 1;
        if (next <= LEVEL_CEILING && hardness[next] * ends < 5000)
            fail_msg("ends %u: only level %d", ends, model.control.level);
    }
}

static void test_data_changes(void **state)
{
    struct model model;

    (void)state;
    model_init(&model, 30);
    run(&model, 100);
    int easy = model.control.level;
    assert_true(easy > LEVEL_START);
    model.data = 300;
    run(&model, 3);
    assert_true(model.control.level < easy);
    assert_true(hardness[model.control.level] * 3 * 30 <= 110 * 100);
    model.data = 100;
    run(&model, 200);
    assert_true(model.control.level >= easy - 1);
}

static void test_limits(void **state)
{
    static const struct level_facts odd[] = {{0, 0, 0, 0},
                                             {50, 1000, 50, 1},
                                             {1000, 0, 1000, 0},
                                             {UINT64_MAX, UINT64_MAX, UINT64_MAX, 1},
                                             {1000, 9000, 0, 1}};
    struct level_control control;

    (void)state;
    level_init(&control, 5, 6);
    assert_int_equal(control.level, 5);
    level_init(&control, 1, 2);
    assert_int_equal(control.level, 2);
    level_init(&control, 2, 4);
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(level_next(&control, &odd[i % 5]), 2, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_end),     cmocka_unit_test(test_fast_ends), cmocka_unit_test(test_settles),
        cmocka_unit_test(test_data_changes), cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
