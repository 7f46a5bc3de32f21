/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extent lists against the plainest model there is: a bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "core/extent.h"
#include "tests/support/test_platform.h"

#define UNIVERSE 512

static struct test_platform test;
static uint64_t state = 88172645463325252ULL;

static unsigned pick(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % below);
}

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
    return 0;
}

static void assert_well_formed(const struct extent_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        assert_true(list->extents[i].length > 0);
        if (i)
            assert_true(list->extents[i - 1].offset + list->extents[i - 1].length < list->extents[i].offset);
    }
}

static void assert_equals(const struct extent_list *list, const bool *model)
{
    bool covered[UNIVERSE] = {false};

    assert_well_formed(list);
    for (size_t i = 0; i < list->count; i++)
        for (uint64_t at = 0; at < list->extents[i].length; at++)
            covered[list->extents[i].offset + at] = true;
    assert_memory_equal(covered, model, sizeof(covered));
}

static void change(struct extent_list *list, bool *model)
{
    unsigned offset = pick(UNIVERSE), length = pick(UNIVERSE - offset < 40 ? UNIVERSE - offset : 40);
    bool add = pick(3) != 0;

    assert_int_equal((add ? extent_list_add : extent_list_remove)(list, offset, length), 0);
    memset(model + offset, add, length);
}

static void adding_and_removing(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 50; round++) {
        struct extent_list list;
        bool model[UNIVERSE] = {false};
        extent_list_init(&list, &test.platform);
        for (unsigned i = 0; i < 100; i++) {
            change(&list, model);
            assert_equals(&list, model);
        }
        extent_list_free(&list);
    }
}

static void set_operations(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 300; round++) {
        struct extent_list a, b, result[4];
        bool in_a[UNIVERSE] = {false}, in_b[UNIVERSE] = {false}, expected[4][UNIVERSE];
        extent_list_init(&a, &test.platform);
        extent_list_init(&b, &test.platform);
        for (unsigned i = pick(30); i; i--)
            change(&a, in_a);
        for (unsigned i = pick(30); i; i--)
            change(&b, in_b);
        for (unsigned i = 0; i < 4; i++)
            extent_list_init(&result[i], &test.platform);
        for (unsigned i = 0; i < UNIVERSE; i++) {
            expected[0][i] = in_a[i] && in_b[i];
            expected[1][i] = expected[3][i] = in_a[i] || in_b[i];
            expected[2][i] = in_a[i] && !in_b[i];
        }
        assert_int_equal(extent_list_intersect(&result[0], &a, &b), 0);
        assert_int_equal(extent_list_unite(&result[1], &a, &b), 0);
        assert_int_equal(extent_list_subtract(&result[2], &a, &b), 0);
        assert_int_equal(extent_list_copy(&result[3], &a), 0);
        assert_int_equal(extent_list_add_shifted(&result[3], &b, 0), 0);
        for (unsigned i = 0; i < 4; i++) {
            assert_equals(&result[i], expected[i]);
            extent_list_free(&result[i]);
        }
        extent_list_free(&a);
        extent_list_free(&b);
    }
}

static void questions(void **unused)
{
    struct extent_list list;
    bool model[UNIVERSE] = {false};

    (void)unused;
    extent_list_init(&list, &test.platform);
    for (unsigned i = 0; i < 60; i++)
        change(&list, model);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned offset = pick(UNIVERSE), length = 1 + pick(UNIVERSE - offset);
        unsigned inside = 0;
        for (unsigned at = offset; at < offset + length; at++)
            inside += model[at];
        assert_int_equal(extent_list_overlaps(&list, offset, length), inside != 0);
        assert_int_equal(extent_list_contains(&list, offset, length), inside == length);
    }
    uint64_t total = 0;
    for (unsigned i = 0; i < UNIVERSE; i++)
        total += model[i];
    assert_int_equal(extent_list_total(&list), total);
    extent_list_free(&list);
}

static void aligning(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 100; round++) {
        struct extent_list list;
        bool model[UNIVERSE] = {false}, expected[UNIVERSE] = {false};
        unsigned granularity = 1u << pick(6), end = 1 + pick(UNIVERSE);
        extent_list_init(&list, &test.platform);
        for (unsigned i = 0; i < 12; i++)
            change(&list, model);
        for (unsigned i = 0; i < UNIVERSE; i++)
            if (model[i])
                memset(expected + i / granularity * granularity, 1, granularity);
        memset(expected + end, 0, UNIVERSE - end);
        assert_int_equal(extent_list_align(&list, granularity, end), 0);
        assert_equals(&list, expected);
        extent_list_free(&list);
    }
}

/* Shifted lists that overlap what is there, and ones that would leave 64 bits. */
static void shifting(void **unused)
{
    struct extent_list to, from;

    (void)unused;
    extent_list_init(&to, &test.platform);
    extent_list_init(&from, &test.platform);
    extent_list_add(&to, 1000, 100);
    extent_list_add(&from, 0, 10);
    extent_list_add(&from, 90, 20);
    assert_int_equal(extent_list_add_shifted(&to, &from, 1000), 0);
    assert_int_equal(to.count, 1);
    assert_int_equal(to.extents[0].length, 110);
    assert_int_equal(extent_list_add_shifted(&to, &from, UNIVERSE * 1000), 0);
    assert_int_equal(to.count, 3);
    assert_int_equal(extent_list_add_shifted(&to, &from, UINT64_MAX - 50), -ERROR_OUT_OF_RANGE);
    assert_int_equal(to.count, 3);
    extent_list_free(&to);
    extent_list_free(&from);
}

static void the_end_of_64_bits(void **unused)
{
    struct extent_list list;

    (void)unused;
    extent_list_init(&list, &test.platform);
    assert_int_equal(extent_list_add(&list, UINT64_MAX, 1), -ERROR_OUT_OF_RANGE);
    assert_int_equal(extent_list_add(&list, UINT64_MAX - 1, 1), 0);
    assert_int_equal(extent_list_add(&list, 0, 1), 0);
    assert_int_equal(extent_list_align(&list, 4096, UINT64_MAX), 0);
    assert_int_equal(list.count, 2);
    assert_true(list.extents[1].offset + list.extents[1].length == UINT64_MAX);
    assert_int_equal(extent_list_align(&list, 3, UINT64_MAX), -ERROR_OUT_OF_RANGE);
    assert_true(extent_list_overlaps(&list, UINT64_MAX - 1, UINT64_MAX));
    assert_false(extent_list_contains(&list, UINT64_MAX - 1, UINT64_MAX));
    extent_list_free(&list);
}

/* Within the limit, everything added stays covered, and small gaps go before large ones. */
static void a_bounded_list_covers_more_never_less(void **unused)
{
    struct extent_list list;

    (void)unused;
    extent_list_init(&list, &test.platform);
    list.limit = 64;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t base = i / 10 * 1000000ULL + i % 10 * 8;
        assert_int_equal(extent_list_add(&list, base, 4), 0);
        assert_true(list.count <= 64);
    }
    assert_well_formed(&list);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(extent_list_contains(&list, i / 10 * 1000000ULL + i % 10 * 8, 4));
    assert_true(list.coarsened >= 4);
    extent_list_free(&list);

    extent_list_init(&list, &test.platform);
    list.limit = 64;
    for (unsigned i = 0; i < 32; i++) {
        extent_list_add(&list, i * 1000000ULL, 4);
        extent_list_add(&list, i * 1000000ULL + 8, 4);
    }
    assert_int_equal(list.coarsened, 0);
    extent_list_add(&list, 32 * 1000000ULL, 4);
    assert_int_equal(list.count, 33);
    assert_int_equal(extent_list_total(&list), 32 * 12 + 4);
    extent_list_free(&list);
}

static void without_memory(void **unused)
{
    struct extent_list list;

    (void)unused;
    extent_list_init(&list, &test.platform);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(extent_list_add(&list, i * 10, 5), 0);
    test.fail_after = 0;
    assert_int_equal(extent_list_add(&list, 700, 5), -ERROR_NO_MEMORY);
    assert_int_equal(extent_list_remove(&list, 11, 1), -ERROR_NO_MEMORY);
    assert_true(extent_list_contains(&list, 10, 5));
    assert_int_equal(list.count, 64);
    extent_list_free(&list);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(adding_and_removing),
        TEST(set_operations),
        TEST(questions),
        TEST(aligning),
        TEST(shifting),
        TEST(the_end_of_64_bits),
        TEST(a_bounded_list_covers_more_never_less),
        TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
