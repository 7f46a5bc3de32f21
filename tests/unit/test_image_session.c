/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A continued image: a header of a further session stands between two segments. Readers are shown one that no writer of
 * ours made: it is put together from the segments of another image, frame by frame as the specification says.
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

#define DISK (30 * 65536 + 1024)

static struct memory_store store;
static struct image_maker maker;

struct assembly {
    uint8_t *bytes;
    size_t size;
    struct image_chain chain;
    struct image_tally tally;
    struct seek_store seek;
    uint8_t rows[64 * ROW_SIZE];
};

static uint8_t *add_bytes(struct assembly *assembly, const void *bytes, size_t size)
{
    uint8_t *at = assembly->bytes + assembly->size;

    memcpy(at, bytes, size);
    assembly->size += size;
    return at;
}

/* A frame of the old image as the next link of the new one. */
static uint8_t *add_frame(struct assembly *assembly, const uint8_t *frame, const char *tag)
{
    uint64_t offset = assembly->size;
    uint8_t *copy = add_bytes(assembly, frame, (size_t)frame_claimed_size(frame));

    frame_begin(copy, tag, &assembly->chain, offset);
    return copy;
}

static void add_head(struct assembly *assembly, const uint8_t *frame, unsigned kind)
{
    size_t size = (size_t)frame_claimed_size(frame);
    uint8_t *copy = add_frame(assembly, frame, TAG_HEAD);

    store_le32(copy + HEAD_AT_KIND, kind);
    frame_seal(copy, size, &assembly->chain);
    assembly->tally.row = assembly->rows + assembly->tally.rows * ROW_SIZE;
    if (kind == HEAD_FIRST) {
        memcpy(assembly->tally.head_hash, assembly->chain.last, IMAGE_HASH_SIZE);
        tally_seek_frame(&assembly->tally, size, 0);
    } else {
        tally_header(&assembly->tally, kind, 0, size, assembly->chain.last);
    }
}

/* Returns the bytes of the old segment. */
static size_t add_segment(struct assembly *assembly, const uint8_t *frame, uint64_t disk_offset)
{
    size_t size = (size_t)frame_claimed_size(frame);
    size_t stored = (size_t)load_le64(frame + INDEX_AT_STORED);
    struct image_index *index = index_allocate(memory_platform(), size);
    uint8_t *copy = add_frame(assembly, frame, TAG_INDEX);

    frame_seal(copy, size, &assembly->chain);
    memcpy(index->frame, copy, size);
    assert_int_equal(index_check(index, &maker.description, disk_offset, "test", 0, NULL), 0);
    assembly->tally.row = assembly->rows + assembly->tally.rows * ROW_SIZE;
    tally_index(&assembly->tally, index);
    index_release(index);
    add_bytes(assembly, frame + size, stored);
    return size + stored;
}

static void add_end(struct assembly *assembly)
{
    uint8_t page[TABLE_SIZE(64)] = {0}, trailer[TRAILER_SIZE], header[FRAME_SKIP_HEADER], footer[SEEK_FOOTER_SIZE];
    uint64_t rows = assembly->tally.rows;

    frame_begin(page, TAG_TABLE, &assembly->chain, assembly->size);
    store_le32(page + TABLE_AT_ROWS, (uint32_t)rows);
    memcpy(page + TABLE_ROWS, assembly->rows, rows * ROW_SIZE);
    frame_seal(page, TABLE_SIZE(rows), &assembly->chain);
    add_bytes(assembly, page, TABLE_SIZE(rows));
    tally_seek_frame(&assembly->tally, TABLE_SIZE(rows), 0);
    tally_seek_frame(&assembly->tally, TRAILER_SIZE, 0);
    trailer_build(trailer, &assembly->tally, true, assembly->size, &assembly->chain);
    add_bytes(assembly, trailer, sizeof trailer);
    seek_table_ends(assembly->seek.frames, header, footer);
    add_bytes(assembly, header, sizeof header);
    add_bytes(assembly, assembly->seek.first->entries, assembly->seek.frames * SEEK_ENTRY_SIZE);
    add_bytes(assembly, footer, sizeof footer);
}

/* The image again, with a new session before segment `at`; `announced` false: without its header. */
static void assemble(unsigned at, bool announced)
{
    size_t old_size;
    uint8_t *old = memory_store_join(&store, &old_size), *link = old + LEAD_SIZE;
    struct assembly *assembly = calloc(1, sizeof *assembly);
    uint64_t disk_offset = 0;

    assembly->bytes = malloc(old_size * 2);
    memcpy(assembly->chain.uuid, maker.description.uuid, 16);
    memset(assembly->chain.session, 0x11, 16);
    tally_init(&assembly->tally, DISK);
    assembly->tally.totals.volumes = 1;
    assembly->seek.platform = memory_platform();
    assembly->tally.store = &assembly->seek;
    add_bytes(assembly, lead_frame, LEAD_SIZE);
    tally_seek_frame(&assembly->tally, LEAD_SIZE, 0);
    add_head(assembly, link, HEAD_FIRST);
    link += frame_claimed_size(link);
    for (unsigned i = 0; frame_has_tag(link, TAG_INDEX); i++) {
        if (i == at) {
            memset(assembly->chain.session, 0x22, 16);
            if (announced)
                add_head(assembly, old + LEAD_SIZE, HEAD_SESSION);
        }
        uint64_t plain = load_le64(link + INDEX_AT_PLAIN);
        link += add_segment(assembly, link, disk_offset);
        disk_offset += plain;
    }
    add_head(assembly, link, HEAD_CLOSING);
    add_end(assembly);
    memory_store_set(&store, 0, assembly->bytes, assembly->size);
    seek_store_free(&assembly->seek);
    free(assembly->bytes);
    free(assembly);
    free(old);
}

static int read_now(enum image_reader_mode mode)
{
    uint8_t *disk = malloc(DISK);
    uint64_t lost;
    int status = image_maker_read(&maker, &store, mode, disk, &lost, NULL);

    if (!status && mode != IMAGE_READ_SALVAGE)
        assert_memory_equal(disk, maker.disk, DISK);
    if (!status && lost)
        status = -ERROR_INCOMPLETE;
    free(disk);
    return status;
}

static int setup(void **state)
{
    (void)state;
    image_maker_init(&maker, DISK, 65536, 3);
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

static void test_continued(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 3; at++) {
        assemble(at, true);
        assert_int_equal(read_now(IMAGE_READ_VERIFIED), 0);
        assert_int_equal(read_now(IMAGE_READ_STREAM), 0);
        assert_int_equal(read_now(IMAGE_READ_SALVAGE), 0);
        memory_store_free(&store);
        assert_int_equal(image_maker_write(&maker, &store, 0, NULL, NULL), 0);
    }
}

/* Segments of a session that no header announced, such as an earlier attempt leaves behind. */
static void test_stranger(void **state)
{
    (void)state;
    assemble(1, false);
    assert_int_equal(read_now(IMAGE_READ_VERIFIED), -ERROR_CORRUPT);
    assert_int_equal(read_now(IMAGE_READ_STREAM), -ERROR_CORRUPT);
    assert_int_equal(read_now(IMAGE_READ_SALVAGE), -ERROR_INCOMPLETE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_continued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
