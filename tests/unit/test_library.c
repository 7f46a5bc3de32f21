/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "core/fiber.h"
#include "core/library.h"
#include "tests/support/test_platform.h"

#define BLOCKS 400

static struct test_platform test;
static struct loop loop;

static int setup(void **unused)
{
    (void)unused;
    test_platform_init(&test);
    loop_init(&loop, &test.platform);
    library_init(&test.platform);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    library_init(NULL);
    assert_int_equal(test.allocations, 0);
    test_platform_end(&test);
    return 0;
}

static uint64_t state = 88172645463325252ULL;

static uint64_t pick(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static size_t pick_size(void)
{
    switch (pick(8)) {
    case 0:
        return pick(200000);
    case 1:
    case 2:
        return pick(5000);
    default:
        return pick(100);
    }
}

static struct held {
    uint8_t *memory;
    size_t size;
    uint8_t fill;
} held[BLOCKS];

static void assert_intact(const struct held *block)
{
    for (size_t i = 0; i < block->size; i++)
        assert_int_equal(block->memory[i], block->fill);
}

static void obtain(struct held *block)
{
    size_t alignment = (size_t)16 << pick(9);

    block->size = pick_size();
    switch (pick(4)) {
    case 0:
        block->memory = library_memalign(alignment, block->size);
        assert_int_equal((uintptr_t)block->memory % alignment, 0);
        break;
    case 1:
        block->memory = library_calloc(block->size, 1);
        assert_non_null(block->memory);
        block->fill = 0;
        assert_intact(block);
        break;
    default:
        block->memory = library_malloc(block->size);
    }
    assert_non_null(block->memory);
    assert_int_equal((uintptr_t)block->memory % 16, 0);
    block->fill = (uint8_t)(pick(255) + 1);
    memset(block->memory, block->fill, block->size);
}

static void resize(struct held *block)
{
    size_t size = pick_size() + 1;

    block->memory = library_realloc(block->memory, size);
    assert_non_null(block->memory);
    if (size < block->size)
        block->size = size;
    assert_intact(block);
    block->size = size;
    memset(block->memory, block->fill, block->size);
}

static void shuffle(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        struct held *block = &held[pick(BLOCKS)];
        if (!block->memory) {
            obtain(block);
        } else if (pick(3) == 0) {
            resize(block);
        } else {
            assert_intact(block);
            library_free(block->memory);
            *block = (struct held){0};
        }
    }
}

/* Sizes, alignments and orders of all kinds: nothing overlaps (each block keeps its bytes), and all of it comes back. */
static int random_work(void *context)
{
    (void)context;
    memset(held, 0, sizeof(held));
    shuffle(20000);
    size_t in_use = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (held[i].memory)
            in_use += held[i].size;
    assert_true(arena_in_use(fiber_arena()) >= in_use);
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_intact(&held[i]);
        library_free(held[i].memory);
    }
    assert_int_equal(arena_in_use(fiber_arena()), 0);
    return 7;
}

static void a_heap_under_random_work(void **unused)
{
    (void)unused;
    assert_int_equal(fiber_call(&loop, "work", 0, 64 << 20, UINT64_MAX, random_work, NULL), 7);
}

static int eat(void *context)
{
    size_t *eaten = context;
    void *last = NULL, *memory;

    while ((memory = library_malloc(10000)) != NULL) {
        last = memory;
        *eaten += 10000;
    }
    assert_int_equal(errno, ENOMEM);
    library_free(last);
    /* What was given back can be had again, in pieces too. */
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(library_malloc(64));
    assert_null(library_realloc(library_malloc(16), 100000));
    return 7;
}

/* The limit holds for all that the platform is asked for, and is used well. */
static void a_bounded_heap(void **unused)
{
    size_t eaten = 0;

    (void)unused;
    assert_int_equal(fiber_call(&loop, "eater", 0, 4 << 20, UINT64_MAX, eat, &eaten), 7);
    assert_true(eaten > (4 << 20) * 9 / 10);
    assert_true(test.peak_bytes < (4 << 20) + 65536);
}

static int memory_comes_back(void *context)
{
    size_t before = test.bytes;
    void *large[8];

    (void)context;
    for (unsigned i = 0; i < 8; i++)
        large[i] = library_malloc(1 << 20);
    assert_true(test.bytes - before >= 8 << 20);
    for (unsigned i = 0; i < 8; i++)
        library_free(large[i]);
    assert_true(test.bytes - before <= 3 << 20);
    return 7;
}

static void free_chunks_go_back_to_the_platform(void **unused)
{
    (void)unused;
    assert_int_equal(fiber_call(&loop, "large", 0, 64 << 20, UINT64_MAX, memory_comes_back, NULL), 7);
}

static void the_c_librarys_rules(void **unused)
{
    void *memory = NULL;

    (void)unused;
    library_free(NULL);
    errno = 0;
    assert_null(library_calloc(SIZE_MAX / 2, 3));
    assert_int_equal(errno, ENOMEM);
    assert_null(library_malloc(SIZE_MAX));
    assert_null(library_malloc(SIZE_MAX - 8));
    assert_null(library_memalign(64, SIZE_MAX - 8));
    assert_null(library_memalign(48, 10));
    assert_int_equal(library_posix_memalign(&memory, 3, 10), EINVAL);
    assert_int_equal(library_posix_memalign(&memory, 4096, 10), 0);
    assert_int_equal((uintptr_t)memory % 4096, 0);
    assert_null(library_realloc(memory, SIZE_MAX));
    assert_null(library_realloc(memory, 0));
    memory = library_malloc(0);
    assert_non_null(memory);
    library_free(memory);
    char *text = library_strdup("phantom"), *part = library_strndup("phantom", 3);
    assert_string_equal(text, "phantom");
    assert_string_equal(part, "pha");
    text = library_realloc(text, 4000);
    assert_string_equal(text, "phantom");
    library_free(text);
    library_free(part);
}

static int free_twice(void *context)
{
    void *memory = library_malloc(100);

    (void)context;
    library_malloc(100);
    library_free(memory);
    library_free(memory);
    return 0;
}

static uint64_t foreign[64];

static int free_what_is_foreign(void *context)
{
    (void)context;
    library_free(&foreign[32]);
    return 0;
}

static void misuse_ends_the_fiber(void **unused)
{
    (void)unused;
    assert_int_equal(fiber_call(&loop, "twice", 0, 1 << 20, UINT64_MAX, free_twice, NULL), -ERROR_ABORTED);
    assert_int_equal(fiber_call(&loop, "foreign", 0, 1 << 20, UINT64_MAX, free_what_is_foreign, NULL), -ERROR_ABORTED);
}

static int use_from_a_fiber(void *context)
{
    void **outside = context;
    uint8_t *grown = library_realloc(*outside, 2000);

    assert_non_null(grown);
    assert_int_equal(grown[99], 0x5c);
    *outside = grown;
    return 7;
}

/* Memory from outside lives on when the fiber that moved it is gone. */
static void memory_from_outside_on_a_fiber(void **unused)
{
    void *memory = library_malloc(100), *in_the_way = library_malloc(100);

    (void)unused;
    memset(memory, 0x5c, 100);
    assert_int_equal(fiber_call(&loop, "inside", 0, 1 << 20, UINT64_MAX, use_from_a_fiber, &memory), 7);
    assert_int_equal(((uint8_t *)memory)[99], 0x5c);
    library_free(memory);
    library_free(in_the_way);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_heap_under_random_work), TEST(a_bounded_heap),        TEST(free_chunks_go_back_to_the_platform),
        TEST(the_c_librarys_rules),     TEST(misuse_ends_the_fiber), TEST(memory_from_outside_on_a_fiber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
