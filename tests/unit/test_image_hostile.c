/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images made to deceive: every hash is right, what the frames say is not. The parsers are called behind the hash checks.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/image_internal.h"
#include "tests/support/image_maker.h"

static struct memory_store store;
static struct image_maker maker;

static int setup(void **state)
{
    (void)state;
    image_maker_init(&maker, 20 * 65536 + 512, 65536, 3);
    memory_store_init(&store, &maker.loop);
    return image_maker_write(&maker, &store, 0, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    memory_store_free(&store);
    image_maker_free(&maker);
    return memory_platform_in_use() != 0;
}

static uint8_t *head(void)
{
    return store.volumes[0].data + LEAD_SIZE;
}

static void reseal(uint8_t *frame)
{
    size_t size = (size_t)frame_claimed_size(frame);

    image_hash(frame, size - FRAME_HASH_SIZE, frame + size - FRAME_HASH_SIZE);
}

static int open_now(struct error *error)
{
    struct image_reader *reader;
    int status = image_reader_open(&maker.loop, &store.store, IMAGE_READ_STREAM, &reader, error);

    if (!status)
        image_reader_close(reader);
    return status;
}

/* Changes a field of the header, opens, and puts it back. */
static int open_with(size_t at, uint64_t value, size_t size, struct error *error)
{
    uint8_t before[8];

    memcpy(before, head() + at, size);
    memcpy(head() + at, &value, size);
    reseal(head());
    int status = open_now(error);
    memcpy(head() + at, before, size);
    reseal(head());
    return status;
}

static void test_features(void **state)
{
    struct error error;

    (void)state;
    assert_int_equal(open_with(HEAD_AT_INCOMPATIBLE, INCOMPATIBLE_ENCRYPTED, 8, &error), -ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.detail, "encrypted"));
    assert_int_equal(open_with(HEAD_AT_INCOMPATIBLE, INCOMPATIBLE_DELTA, 8, &error), -ERROR_UNSUPPORTED);
    assert_int_equal(open_with(HEAD_AT_INCOMPATIBLE, 1ULL << 63, 8, &error), -ERROR_UNSUPPORTED);
    assert_int_equal(open_with(HEAD_AT_COMPATIBLE, UINT64_MAX, 8, &error), 0);
    assert_int_equal(open_with(FRAME_AT_VERSION, 2, 4, &error), -ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.detail, "version 2"));
    /* an unknown value is skipped, unless it is critical */
    assert_int_equal(open_with(HEAD_AT_VALUES + VALUE_AT_TYPE, 0x00004321, 4, &error), 0);
    assert_int_equal(open_with(HEAD_AT_VALUES + VALUE_AT_TYPE, 0x00014321, 4, &error), -ERROR_UNSUPPORTED);
    /* an encrypted image begins with the stop frame */
    memcpy(store.volumes[0].data, stop_frame, LEAD_SIZE);
    assert_int_equal(open_with(HEAD_AT_INCOMPATIBLE, INCOMPATIBLE_ENCRYPTED, 8, &error), -ERROR_UNSUPPORTED);
    assert_int_equal(open_now(&error), -ERROR_CORRUPT);
}

static void test_lying_header(void **state)
{
    static const struct {
        size_t at;
        uint64_t value;
        size_t size;
    } lies[] = {
        {HEAD_AT_DISK_BYTES, 0, 8},
        {HEAD_AT_DISK_BYTES, 1ULL << 60, 8},
        {HEAD_AT_DISK_BYTES, 20 * 65536, 8},
        {HEAD_AT_LOGICAL, 0, 4},
        {HEAD_AT_LOGICAL, 513, 4},
        {HEAD_AT_LOGICAL, 1u << 31, 4},
        {HEAD_AT_PHYSICAL, 256, 4},
        {HEAD_AT_CHUNK_SIZE, 0, 4},
        {HEAD_AT_CHUNK_SIZE, 65537, 4},
        {HEAD_AT_CHUNK_SIZE, 8u << 20, 4},
        {HEAD_AT_REGIONS, 0, 4},
        {HEAD_AT_REGIONS, 2, 4},
        {HEAD_AT_REGIONS, 0xFFFFFFFF, 4},
        {HEAD_AT_VALUES_SIZE, 0, 4},
        {HEAD_AT_VALUES_SIZE, 0xFFFFFFFF, 4},
        {HEAD_AT_FLAGS, HEAD_FLAG_PARTITION, 4},
        {HEAD_AT_KIND, HEAD_VOLUME, 4},
        {HEAD_AT_VALUES + VALUE_AT_LENGTH, 0xFFFFFFFF, 4},
        {HEAD_AT_VALUES + VALUE_AT_LENGTH, 0xFFFFFFF9, 4},
        {FRAME_AT_OFFSET, 0, 8},
        {FRAME_AT_SEQUENCE, 1, 4},
        {FRAME_AT_PREVIOUS, 1, 4},
    };
    struct error error;

    (void)state;
    assert_int_equal(open_now(&error), 0);
    for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        int status = open_with(lies[i].at, lies[i].value, lies[i].size, &error);
        assert_int_equal(status, -ERROR_CORRUPT);
    }
    assert_int_equal(open_now(&error), 0);
}

static uint32_t seed = 77;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % sides;
}

/* A few bytes become something else, favouring values that overflow. */
static void mutate(uint8_t *bytes, size_t size)
{
    static const uint64_t values[] = {0, 1, UINT64_MAX, 1ULL << 63, 1ULL << 53, 65536, 0x7FFFFFFF, 0xFFFFFFFF};

    for (unsigned i = 0; i < 1 + dice(4); i++) {
        size_t at = dice((uint32_t)size - 8);
        uint64_t value = values[dice(8)];
        if (dice(2))
            memcpy(bytes + at, &value, 1u << dice(4));
        else
            bytes[at] = (uint8_t)dice(256);
    }
}

static void test_random_headers(void **state)
{
    size_t size = (size_t)frame_claimed_size(head());
    uint8_t *copy = malloc(size);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct image_description description;
        memcpy(copy, head(), size);
        mutate(copy + FRAME_BODY, size - FRAME_BODY);
        if (!header_parse(memory_platform(), copy, size, &description, "test", NULL)) {
            assert_int_equal(description_check(&description, "test", NULL), 0);
            assert_true(header_size(&description) <= HEAD_SIZE_MAX);
            image_description_free(&description);
        }
        header_parse(memory_platform(), copy, dice((uint32_t)size), &description, "test", NULL);
    }
    free(copy);
}

/* What an index that was accepted says stays within its region, its bytes and its memory. */
static void check_accepted(const struct image_index *index, const struct image_description *description)
{
    const struct image_region *region = &description->regions[index->region];
    struct image_chunk chunk;
    struct index_walk walk;

    for (index_walk_begin(&walk, index); index_walk_next(&walk, &chunk);) {
        assert_true(chunk.length <= region->bytes);
        assert_true(walk.disk_offset <= region->offset + region->bytes);
        assert_true(walk.stored_offset <= index->stored);
        if (chunk.map)
            assert_true(chunk.map + entry_map_bytes(chunk.length) <= index->frame + index->size - FRAME_HASH_SIZE);
    }
    assert_int_equal(walk.entry, index->entries);
    assert_int_equal(walk.disk_offset, index->disk_offset + index->plain);
}

static void test_random_indexes(void **state)
{
    const uint8_t *first = head() + frame_claimed_size(head());
    const uint8_t *second = first + frame_claimed_size(first) + load_le64(first + INDEX_AT_STORED);
    size_t size = (size_t)frame_claimed_size(second);
    struct image_index *index = index_allocate(memory_platform(), size);
    unsigned accepted = 0;

    (void)state;
    assert_true(frame_has_tag(second, TAG_INDEX));
    memcpy(index->frame, second, size);
    assert_int_equal(index_check(index, &maker.description, 1536, "test", 0, NULL), 0);
    for (unsigned i = 0; i < 60000; i++) {
        memcpy(index->frame, second, size);
        mutate(index->frame + FRAME_BODY, size - FRAME_BODY);
        if (index_check(index, &maker.description, UINT64_MAX, "test", 0, NULL))
            continue;
        check_accepted(index, &maker.description);
        accepted++;
    }
    assert_true(accepted > 100); /* other hashes are none of the parser's business */
    index_release(index);
}

static void test_lying_index(void **state)
{
    const uint8_t *first = head() + frame_claimed_size(head());
    const uint8_t *second = first + frame_claimed_size(first) + load_le64(first + INDEX_AT_STORED);
    size_t size = (size_t)frame_claimed_size(second);
    struct image_index *index = index_allocate(memory_platform(), size);
    uint8_t *entry = index->frame + INDEX_ENTRIES;
    uint64_t length;

    (void)state;
    memcpy(index->frame, second, size);
    assert_int_equal(index_check(index, &maker.description, 0, "test", 0, NULL), -ERROR_CORRUPT); /* elsewhere */
    entry[ENTRY_AT_KIND] = ENTRY_IN_PARENT;
    assert_int_equal(index_check(index, &maker.description, 1536, "test", 0, NULL), -ERROR_CORRUPT);
    entry[ENTRY_AT_KIND] = ENTRY_ZERO; /* a data chunk called a run */
    assert_int_equal(index_check(index, &maker.description, 1536, "test", 0, NULL), -ERROR_CORRUPT);
    memcpy(index->frame, second, size);
    /* two neighbours share the length differently: off the grid */
    length = load_le64(entry + ENTRY_AT_LENGTH);
    store_le64(entry + ENTRY_AT_LENGTH, length - 512);
    store_le64(entry + ENTRY_SIZE + ENTRY_AT_LENGTH, load_le64(entry + ENTRY_SIZE + ENTRY_AT_LENGTH) + 512);
    assert_int_equal(index_check(index, &maker.description, 1536, "test", 0, NULL), -ERROR_CORRUPT);
    memcpy(index->frame, second, size);
    store_le32(index->frame + INDEX_AT_REGION, 0); /* a region that is not its own */
    assert_int_equal(index_check(index, &maker.description, 1536, "test", 0, NULL), -ERROR_CORRUPT);
    store_le32(index->frame + INDEX_AT_REGION, 0xFFFFFFFF);
    assert_int_equal(index_check(index, &maker.description, 1536, "test", 0, NULL), -ERROR_CORRUPT);
    index_release(index);
}

/* Texts of the header reach terminals: no escape sequences, no broken UTF-8. */
static void test_texts(void **state)
{
    struct image_reader *reader;

    (void)state;
    image_maker_free(&maker);
    memory_store_free(&store);
    image_maker_init(&maker, 65536, 65536, 1);
    memcpy(maker.description.model, "a\033[2Jb\xFF\xC0\xAF\xE2\x82", 11);
    memcpy(maker.regions[0].fs_label, "\xE2\x82\xAC uro", 8);
    assert_int_equal(image_maker_write(&maker, &store, 0, NULL, NULL), 0);
    assert_int_equal(image_reader_open(&maker.loop, &store.store, IMAGE_READ_VERIFIED, &reader, NULL), 0);
    assert_string_equal(image_reader_description(reader)->model, "a?[2Jb?????");
    assert_string_equal(image_reader_description(reader)->regions[0].fs_label, "\xE2\x82\xAC uro");
    image_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_features, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lying_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_indexes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lying_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
