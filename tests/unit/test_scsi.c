/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI disks over a transport that answers from a script: sense data, hostile answers, queues, deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/quirks.h"
#include "tests/support/scsi_bench.h"

/* --- sense data --- */

static enum error_code code_of(const uint8_t *sense, size_t size, uint32_t *raw)
{
    struct scsi_command command = {.scsi_status = SCSI_CHECK_CONDITION, .sense_size = size};

    memcpy(command.sense, sense, size);
    return scsi_error(&command, raw);
}

static void sense_in_both_formats(void **state)
{
    const uint8_t fixed[18] = {0xf0, 0, 3, 0, 0, 1, 2, 10, [12] = 0x11, [13] = 0x04};
    const uint8_t descriptor[20] = {0x72, 3, 0x11, 4, [7] = 12, 0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2};
    struct scsi_command command = {.scsi_status = SCSI_CHECK_CONDITION, .sense_size = sizeof(fixed)};
    struct scsi_condition condition;
    uint32_t raw;
    (void)state;

    assert_int_equal(code_of(fixed, sizeof(fixed), &raw), ERROR_MEDIUM);
    assert_int_equal(raw, 0x31104);
    assert_int_equal(code_of(descriptor, sizeof(descriptor), &raw), ERROR_MEDIUM);
    assert_int_equal(raw, 0x31104);
    memcpy(command.sense, fixed, sizeof(fixed));
    assert_true(scsi_condition_read(&command, &condition));
    assert_true(condition.information);
    assert_int_equal(condition.block, 0x102);
    memcpy(command.sense, descriptor, sizeof(descriptor));
    command.sense_size = sizeof(descriptor);
    assert_true(scsi_condition_read(&command, &condition));
    assert_true(condition.information);
    assert_int_equal(condition.block, 0x100000102);
}

static void sense_keys(void **state)
{
    static const struct {
        uint8_t key, code, qualifier;
        enum error_code expected;
    } rows[] = {
        {0, 0, 0, ERROR_IO},
        {1, 0x17, 1, ERROR_NONE},
        {2, 0x04, 1, ERROR_BUSY},
        {2, 0x3a, 0, ERROR_GONE},
        {2, 0x3e, 0, ERROR_IO},
        {3, 0x11, 0, ERROR_MEDIUM},
        {4, 0x44, 0, ERROR_IO},
        {5, 0x20, 0, ERROR_UNSUPPORTED},
        {5, 0x21, 0, ERROR_OUT_OF_RANGE},
        {5, 0x24, 0, ERROR_UNSUPPORTED},
        {6, 0x29, 0, ERROR_ABORTED},
        {7, 0x27, 0, ERROR_WRITE_PROTECTED},
        {0xb, 0x47, 3, ERROR_ABORTED},
        {0xe, 0x1d, 0, ERROR_IO},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scsi_command command = {0};
        scsi_target_refuse(&command, rows[i].key, rows[i].code, rows[i].qualifier);
        assert_int_equal(scsi_error(&command, NULL), rows[i].expected);
    }
}

/* Sense data of any length and any bytes: no byte beyond it counts. */
static void hostile_sense(void **state)
{
    uint32_t seed = 1, raw;
    (void)state;

    for (unsigned round = 0; round < 20000; round++) {
        struct scsi_command command = {.scsi_status = SCSI_CHECK_CONDITION};
        struct scsi_condition condition;
        for (unsigned i = 0; i < SCSI_SENSE_MAX; i++) {
            seed = seed * 1664525 + 1013904223;
            command.sense[i] = (uint8_t)(seed >> 24);
        }
        command.sense[0] = (uint8_t)(0x70 + round % 5);
        command.sense_size = round % 7 ? seed % (SCSI_SENSE_MAX + 1) : SIZE_MAX;
        enum error_code code = scsi_error(&command, &raw);
        assert_in_range(code, 0, ERROR_CODE_COUNT - 1);
        if (!scsi_condition_read(&command, &condition))
            assert_int_equal(code, ERROR_IO);
    }
    const uint8_t shortest[4] = {0x70, 0, 3, 0};
    assert_int_equal(code_of(shortest, 4, &raw), ERROR_MEDIUM);
    assert_int_equal(raw, 0x30000);
    assert_int_equal(code_of(shortest, 3, &raw), ERROR_IO);
    assert_int_equal(code_of(shortest, 0, &raw), ERROR_IO);
}

static void statuses(void **state)
{
    struct scsi_command command = {.scsi_status = SCSI_TASK_SET_FULL};
    (void)state;

    assert_int_equal(scsi_error(&command, NULL), ERROR_BUSY);
    command.scsi_status = SCSI_BUSY;
    assert_int_equal(scsi_error(&command, NULL), ERROR_BUSY);
    command.scsi_status = SCSI_RESERVATION_CONFLICT;
    assert_int_equal(scsi_error(&command, NULL), ERROR_REFUSED);
    command.scsi_status = 0x55;
    assert_int_equal(scsi_error(&command, NULL), ERROR_PROTOCOL);
}

/* --- probing --- */

static void capacities_that_cannot_be_true(void **state)
{
    static const struct {
        uint64_t last;
        uint32_t block;
        int expected;
    } rows[] = {
        {UINT64_MAX, 512, -ERROR_PROTOCOL},
        {1ull << 60, 512, -ERROR_PROTOCOL},
        {100, 513, -ERROR_UNSUPPORTED},
        {100, 256, -ERROR_UNSUPPORTED},
        {100, 1u << 31, -ERROR_UNSUPPORTED},
        {1ull << 40, 4096, 0},
        {0, 0, 0},
    };
    struct scsi_bench *bench = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(bench->target.capacity_10, 0xff, 4);
        scsi_put_big32(bench->target.capacity_10 + 4, rows[i].block);
        scsi_put_big64(bench->target.capacity_16, rows[i].last);
        scsi_put_big32(bench->target.capacity_16 + 8, rows[i].block);
        bench->target.capacity_16[13] = 0xf; /* physical blocks of 2^15 logical ones */
        bench->disk = NULL;
        assert_int_equal(scsi_bench_create(bench), rows[i].expected);
        if (!rows[i].expected) {
            const struct block_geometry *geometry = &scsi_disk_device(bench->disk)->geometry;
            assert_int_equal(geometry->block_count, rows[i].last + 1);
            assert_int_equal(geometry->logical_block, rows[i].block ? rows[i].block : 512);
            assert_int_equal(geometry->physical_block, geometry->logical_block);
            scsi_disk_destroy(bench->disk);
        }
        bench->disk = NULL;
        assert_null(bench->registry.first);
    }
}

static void answers_that_are_too_short(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.capacity_10[4] = 0;
    bench->target.mode_size = 3;
    struct block_device *device = scsi_bench_disk(bench);
    assert_true(device->volatile_cache); /* nothing is known of a cache */
    assert_false(device->read_only);
}

static bool short_capacity(struct scsi_target *target, struct scsi_command *command)
{
    (void)target;
    if (command->cdb[0] != SCSI_READ_CAPACITY_10 && command->cdb[0] != SCSI_SERVICE_ACTION_IN_16)
        return false;
    scsi_target_good(command, target->capacity_10, 7);
    return true;
}

static void no_capacity_no_disk(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.answer = short_capacity;
    assert_int_equal(scsi_bench_create(bench), -ERROR_PROTOCOL);
    assert_int_equal(bench->error.code, ERROR_PROTOCOL);
}

static void quirks_are_kept(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.transport.quirks =
        USB_QUIRK_NO_READ_CAPACITY_16 | USB_QUIRK_NO_VPD | USB_QUIRK_NO_MODE_SENSE | USB_QUIRK_CAPACITY_PLUS_ONE;
    bench->target.pages = true;
    struct block_device *device = scsi_bench_disk(bench);
    assert_int_equal(device->geometry.block_count, SCSI_TARGET_BLOCKS - 1);
    assert_int_equal(bench->target.seen[SCSI_SERVICE_ACTION_IN_16], 0);
    assert_int_equal(bench->target.seen[SCSI_MODE_SENSE_6] + bench->target.seen[SCSI_MODE_SENSE_10], 0);
    assert_int_equal(bench->target.seen[SCSI_INQUIRY], 1);
}

/* Mode pages that end in the middle of one, and with lengths that lead nowhere. */
static void mode_pages_cut_off(void **state)
{
    struct scsi_bench *bench = *state;
    const uint8_t mode[] = {0xff, 0, 0x80, 0xff, 8, 0xff, 4};

    memcpy(bench->target.mode, mode, sizeof(mode));
    bench->target.mode_size = sizeof(mode);
    assert_true(scsi_bench_disk(bench)->read_only);
}

static void a_caching_page_is_found(void **state)
{
    struct scsi_bench *bench = *state;
    /* Header, one block descriptor of 8 bytes, page 1 of 10 bytes, subpage of 2 bytes, page 8 with WCE clear. */
    uint8_t *mode = bench->target.mode;
    mode[3] = 8;
    mode[12] = 0x01;
    mode[13] = 10;
    mode[24] = 0x40 | 0x08;
    mode[27] = 2;
    mode[30] = 0x08;
    mode[31] = 18;
    mode[0] = 49;
    bench->target.mode_size = 50;
    assert_false(scsi_bench_disk(bench)->volatile_cache);
}

static void limits_that_contradict_themselves(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.pages = true;
    bench->target.capacity_16[14] = SCSI_CAPACITY_UNMAP;
    bench->target.provisioning[5] = SCSI_PROVISIONING_UNMAP | SCSI_PROVISIONING_WRITE_SAME_16;
    memset(bench->target.limits + 4, 0xff, 60);
    memset(bench->target.serial + 2, 0xff, 62);
    struct block_device *device = scsi_bench_disk(bench);
    assert_true(device->geometry.max_discard > 0 && device->geometry.max_discard <= 1u << 30);
    assert_true(device->geometry.max_write_zeroes > 0);
    assert_int_equal(device->geometry.max_transfer, 65536);
    assert_string_equal(device->serial, "");
}

static void a_transfer_limit_of_the_device_is_kept(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.pages = true;
    scsi_put_big32(bench->target.limits + 8, 24);
    assert_int_equal(scsi_bench_disk(bench)->geometry.max_transfer, 24 * 512);
}

/* --- at work --- */

static bool busy_thrice(struct scsi_target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_READ_10 || target->step >= 3)
        return false;
    command->scsi_status = target->step++ ? SCSI_TASK_SET_FULL : SCSI_BUSY;
    command->moved = 0;
    return true;
}

static void busy_passes(void **state)
{
    struct scsi_bench *bench = *state;

    scsi_bench_disk(bench);
    bench->target.data[512] = 0x77;
    bench->target.answer = busy_thrice;
    assert_int_equal(scsi_bench_run(bench, BLOCK_READ, 1, 1), 0);
    assert_int_equal(*(uint8_t *)bench->buffer.data, 0x77);
    assert_int_equal(bench->target.seen[SCSI_READ_10], 4);
}

static bool busy_always(struct scsi_target *target, struct scsi_command *command)
{
    (void)target;
    command->scsi_status = SCSI_BUSY;
    command->moved = 0;
    return command->cdb[0] == SCSI_READ_10;
}

static void busy_for_ever_is_a_timeout(void **state)
{
    struct scsi_bench *bench = *state;

    scsi_bench_disk(bench);
    bench->target.answer = busy_always;
    bench->target.has_fiber = true;
    assert_int_equal(scsi_bench_run(bench, BLOCK_READ, 1, 1), -ERROR_TIMEOUT);
    bench->target.answer = NULL;
    assert_int_equal(scsi_bench_run(bench, BLOCK_READ, 1, 1), 0);
}

static bool success_without_data(struct scsi_target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_READ_10 && command->cdb[0] != SCSI_WRITE_10)
        return false;
    if (target->step++ >= 100)
        return false;
    scsi_target_good(command, target->data, command->length - 512);
    return true;
}

static void success_without_all_data_is_none(void **state)
{
    struct scsi_bench *bench = *state;

    scsi_bench_disk(bench);
    bench->target.answer = success_without_data;
    assert_int_equal(scsi_bench_run(bench, BLOCK_READ, 1, 8), -ERROR_IO);
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 1, 8), -ERROR_IO);
}

/* An earlier write failed after its good status: whoever flushes hears of it, and the command that brought the news is repeated. */
static bool deferred_once(struct scsi_target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_WRITE_10 || target->step++ != 1)
        return false;
    scsi_target_refuse(command, SCSI_MEDIUM_ERROR, 0x0c, 0);
    command->sense[0] = 0x71;
    return true;
}

static void a_deferred_error_fails_the_flush(void **state)
{
    struct scsi_bench *bench = *state;

    scsi_bench_disk(bench);
    bench->target.answer = deferred_once;
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 0, 1), 0);
    assert_int_equal(scsi_bench_run(bench, BLOCK_WRITE, 1, 1), 0);
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), -ERROR_IO);
    assert_int_equal(scsi_bench_run(bench, BLOCK_FLUSH, 0, 0), 0);
}

static void requests_end_in_any_order(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_request requests[4];
    struct block_device *device = scsi_bench_disk(bench);

    bench->target.silent = bench->target.backwards = true;
    for (unsigned i = 0; i < 4; i++) {
        bench->target.data[i * 512] = (uint8_t)(i + 1);
        requests[i] = (struct block_request){
            .operation = BLOCK_READ, .lba = i, .count = 1, .buffer = &bench->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    struct block_request more = {.operation = BLOCK_READ, .count = 1, .buffer = &bench->buffer, .offset = 8192};
    assert_int_equal(block_submit(device, &more), -ERROR_FULL);
    bench->target.silent = false;
    for (unsigned i = 4; i--;) {
        assert_true(loop_wait_flag(&bench->loop, &requests[i].ended, UINT64_MAX));
        assert_true(!i || !requests[0].ended);
        assert_int_equal(((uint8_t *)bench->buffer.data)[i * 512], i + 1);
    }
}

static void silence_ends_at_the_deadline(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_device *device = scsi_bench_disk(bench);
    struct block_request request = {.operation = BLOCK_READ, .count = 1, .buffer = &bench->buffer};

    bench->target.silent = true;
    assert_int_equal(block_submit(device, &request), 0);
    loop_delay(&bench->loop, 31 * NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->target.recoveries, 1);
    assert_false(request.ended);
    scsi_target_service(&bench->target.transport);
    loop_step(&bench->loop);
    assert_true(request.ended);
    assert_int_equal(request.status, -ERROR_TIMEOUT);
}

/* Its fiber rests for ever: the grace of block.c ends, and the disk with it. */
static void a_recovery_that_never_comes(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_device *device = scsi_bench_disk(bench);
    struct block_request request = {.operation = BLOCK_READ, .count = 1, .buffer = &bench->buffer};

    bench->target.silent = true;
    assert_int_equal(block_submit(device, &request), 0);
    loop_delay(&bench->loop, 65 * NANOSECONDS_PER_SECOND);
    assert_true(request.ended);
    assert_int_equal(request.status, -ERROR_GONE);
    assert_true(bench->target.transport.dead);
    assert_true(device->dead);
}

static void silence_while_it_is_looked_at(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.silent = true;
    assert_int_equal(scsi_bench_create(bench), -ERROR_TIMEOUT);
    assert_true(bench->target.recoveries > 0);
    assert_null(bench->registry.first);
}

static void gone_with_commands_under_way(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_device *device = scsi_bench_disk(bench);
    struct block_request requests[2];

    bench->target.silent = true;
    for (unsigned i = 0; i < 2; i++) {
        requests[i] = (struct block_request){
            .operation = BLOCK_READ, .lba = i, .count = 1, .buffer = &bench->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    scsi_disk_gone(bench->disk);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(requests[i].status, -ERROR_GONE);
    assert_false(scsi_disk_idle(bench->disk));
    scsi_disk_destroy(bench->disk);
    bench->disk = NULL;
    assert_null(bench->registry.first);
    /* The commands come back to memory that is still there; the last one frees it. */
    scsi_target_end_all(&bench->target, -ERROR_GONE);
}

/* Answers the command that was sent first, so many seconds from now. */
static void answer_after(struct scsi_bench *bench, unsigned seconds)
{
    loop_delay(&bench->loop, seconds * NANOSECONDS_PER_SECOND);
    bench->target.silent = false;
    loop_step(&bench->loop);
    bench->target.silent = true;
}

/* A slow stick carries out one command after the other: those behind have not had their time before they had their turn. */
static void patience_with_a_wire_of_one_command(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_request requests[4];

    bench->target.transport.serial = true;
    struct block_device *device = scsi_bench_disk(bench);
    bench->target.silent = true;
    for (unsigned i = 0; i < 4; i++) {
        requests[i] = (struct block_request){
            .operation = BLOCK_WRITE, .lba = i, .count = 1, .buffer = &bench->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        answer_after(bench, 20);
        assert_true(requests[i].ended);
        assert_int_equal(requests[i].status, 0);
    }
    assert_int_equal(bench->target.recoveries, 0);
    /* One that does not answer is late after its time, as ever. */
    assert_int_equal(block_submit(device, &requests[0]), 0);
    loop_delay(&bench->loop, 31 * NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->target.recoveries, 1);
    scsi_target_service(&bench->target.transport);
    loop_step(&bench->loop);
    assert_int_equal(requests[0].status, -ERROR_TIMEOUT);
}

/* BUSY for ever is no turn, though others end well meanwhile. */
static void no_patience_with_one_that_is_always_busy(void **state)
{
    struct scsi_bench *bench = *state;
    struct block_request busy = {.operation = BLOCK_READ, .count = 1, .buffer = &bench->buffer};

    bench->target.transport.serial = true;
    bench->target.has_fiber = true;
    struct block_device *device = scsi_bench_disk(bench);
    bench->target.answer = busy_always;
    assert_int_equal(block_submit(device, &busy), 0);
    for (unsigned i = 0; i < 600 && !busy.ended; i++) {
        struct block_request write = {
            .operation = BLOCK_WRITE, .lba = 1, .count = 1, .buffer = &bench->buffer, .offset = 512};
        if (!block_submit(device, &write))
            assert_true(loop_wait_flag(&bench->loop, &write.ended, UINT64_MAX));
        loop_delay(&bench->loop, 100 * NANOSECONDS_PER_MILLISECOND);
    }
    assert_true(busy.ended);
    assert_int_equal(busy.status, -ERROR_TIMEOUT);
}

/* Written while a flush was under way: not covered by it, so the last flush is still due. */
static void a_flush_covers_what_was_before_it(void **state)
{
    struct scsi_bench *bench = *state;

    for (unsigned round = 0; round < 2; round++) {
        struct block_device *device = scsi_bench_disk(bench);
        struct block_request flush = {.operation = BLOCK_FLUSH};
        struct block_request write = {.operation = BLOCK_WRITE, .count = 1, .buffer = &bench->buffer};
        unsigned flushes = bench->target.seen[SCSI_SYNCHRONIZE_CACHE_10];
        bench->target.silent = true;
        /* In the second round the write is sent first, and comes back last. */
        bench->target.backwards = round;
        assert_int_equal(block_submit(device, round ? &write : &flush), 0);
        assert_int_equal(block_submit(device, round ? &flush : &write), 0);
        bench->target.silent = false;
        assert_true(loop_wait_flag(&bench->loop, &flush.ended, UINT64_MAX));
        assert_true(loop_wait_flag(&bench->loop, &write.ended, UINT64_MAX));
        scsi_disk_destroy(bench->disk);
        bench->disk = NULL;
        assert_int_equal(bench->target.seen[SCSI_SYNCHRONIZE_CACHE_10], flushes + 2);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scsi_bench_setup, scsi_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sense_in_both_formats),
        cmocka_unit_test(sense_keys),
        cmocka_unit_test(hostile_sense),
        cmocka_unit_test(statuses),
        TEST(capacities_that_cannot_be_true),
        TEST(answers_that_are_too_short),
        TEST(no_capacity_no_disk),
        TEST(quirks_are_kept),
        TEST(mode_pages_cut_off),
        TEST(a_caching_page_is_found),
        TEST(limits_that_contradict_themselves),
        TEST(a_transfer_limit_of_the_device_is_kept),
        TEST(busy_passes),
        TEST(busy_for_ever_is_a_timeout),
        TEST(success_without_all_data_is_none),
        TEST(a_deferred_error_fails_the_flush),
        TEST(requests_end_in_any_order),
        TEST(silence_ends_at_the_deadline),
        TEST(a_recovery_that_never_comes),
        TEST(silence_while_it_is_looked_at),
        TEST(gone_with_commands_under_way),
        TEST(patience_with_a_wire_of_one_command),
        TEST(no_patience_with_one_that_is_always_busy),
        TEST(a_flush_covers_what_was_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
