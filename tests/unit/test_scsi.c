/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI disks over a transport that answers from a script: sense data, hostile answers, queues, deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/quirks.h"
#include "drivers/usb/scsi_internal.h"
#include "tests/support/test_platform.h"

#define BLOCKS 4096u
#define HELD 16u

/* --- a target: answers in poll(), what a test has not scripted as a good disk does --- */

struct target {
    struct scsi_transport transport; /* first */
    struct pollable pollable;
    struct scsi_command *held[HELD];
    unsigned count;
    bool silent; /* answers nothing */
    bool backwards;
    bool has_fiber; /* recoveries are carried out */
    unsigned commands, recoveries, seen[256];
    /* For a test to answer what it likes: true when it did. */
    bool (*answer)(struct target *target, struct scsi_command *command);
    int step; /* the test's own */
    uint8_t inquiry[36], capacity_10[8], capacity_16[32], mode[192], page_list[16], limits[64], provisioning[8];
    uint8_t serial[64];
    size_t mode_size;
    bool pages;
    uint8_t data[BLOCKS * 512];
};

struct fixture {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct target target;
    struct scsi_disk *disk;
    struct buffer buffer;
    struct error error;
};

static void good(struct scsi_command *command, const void *data, size_t size)
{
    size_t moved = size < command->length ? size : command->length;

    command->scsi_status = SCSI_GOOD;
    command->moved = moved;
    if (moved && command->direction == SCSI_DATA_IN)
        memcpy((uint8_t *)command->buffer->data + command->offset, data, moved);
}

static void check_condition(struct scsi_command *command, uint8_t key, uint8_t code, uint8_t qualifier)
{
    const uint8_t sense[18] = {0x70, 0, key, [7] = 10, [12] = code, [13] = qualifier};

    command->scsi_status = SCSI_CHECK_CONDITION;
    command->moved = 0;
    memcpy(command->sense, sense, sizeof(sense));
    command->sense_size = sizeof(sense);
}

static void answer_inquiry(struct target *target, struct scsi_command *command)
{
    if (!(command->cdb[1] & 1)) {
        good(command, target->inquiry, sizeof(target->inquiry));
    } else if (!target->pages) {
        check_condition(command, SCSI_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD, 0);
    } else if (command->cdb[2] == SCSI_PAGE_LIST) {
        good(command, target->page_list, sizeof(target->page_list));
    } else if (command->cdb[2] == SCSI_PAGE_SERIAL) {
        good(command, target->serial, sizeof(target->serial));
    } else if (command->cdb[2] == SCSI_PAGE_LIMITS) {
        good(command, target->limits, sizeof(target->limits));
    } else if (command->cdb[2] == SCSI_PAGE_PROVISIONING) {
        good(command, target->provisioning, sizeof(target->provisioning));
    } else {
        check_condition(command, SCSI_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD, 0);
    }
}

static void answer_transfer(struct target *target, struct scsi_command *command)
{
    uint64_t lba = command->cdb_length == 16 ? scsi_big64(command->cdb + 2) : scsi_big32(command->cdb + 2);
    uint64_t count = command->cdb_length == 16 ? scsi_big32(command->cdb + 10) : scsi_big16(command->cdb + 7);

    assert_int_equal(count * 512, command->length);
    assert_true(lba + count <= BLOCKS);
    if (command->direction == SCSI_DATA_OUT)
        memcpy(target->data + lba * 512, (uint8_t *)command->buffer->data + command->offset, command->length);
    good(command, target->data + lba * 512, command->length);
}

static void answer(struct target *target, struct scsi_command *command)
{
    command->status = 0;
    command->sense_size = 0;
    target->seen[command->cdb[0]]++;
    if (target->answer && target->answer(target, command))
        return;
    switch (command->cdb[0]) {
    case SCSI_INQUIRY:
        answer_inquiry(target, command);
        break;
    case SCSI_READ_CAPACITY_10:
        good(command, target->capacity_10, sizeof(target->capacity_10));
        break;
    case SCSI_SERVICE_ACTION_IN_16:
        good(command, target->capacity_16, sizeof(target->capacity_16));
        break;
    case SCSI_MODE_SENSE_6:
        good(command, target->mode, target->mode_size);
        break;
    case SCSI_READ_10:
    case SCSI_WRITE_10:
    case SCSI_READ_16:
    case SCSI_WRITE_16:
        answer_transfer(target, command);
        break;
    case SCSI_TEST_UNIT_READY:
    case SCSI_START_STOP_UNIT:
    case SCSI_SYNCHRONIZE_CACHE_10:
    case SCSI_SYNCHRONIZE_CACHE_16:
        good(command, NULL, 0);
        break;
    default:
        check_condition(command, SCSI_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE, 0);
        break;
    }
}

static struct scsi_command *take(struct target *target, unsigned index)
{
    struct scsi_command *command = target->held[index];

    target->count--;
    memmove(&target->held[index], &target->held[index + 1], (target->count - index) * sizeof(target->held[0]));
    return command;
}

static bool target_poll(struct pollable *pollable)
{
    struct target *target = (struct target *)(void *)((char *)pollable - offsetof(struct target, pollable));

    /* As the device's fiber does, which is not here. */
    if (target->has_fiber && target->transport.wants_service)
        target->transport.service(&target->transport);
    if (!target->count || target->silent)
        return false;
    struct scsi_command *command = take(target, target->backwards ? target->count - 1 : 0);
    answer(target, command);
    command->done(command);
    return true;
}

static int target_submit(struct scsi_transport *transport, struct scsi_command *command)
{
    struct target *target = (struct target *)transport;

    if (transport->dead)
        return -ERROR_GONE;
    if (target->count == transport->queue_depth || transport->wants_service)
        return -ERROR_FULL;
    assert_in_range(command->cdb_length, 6, 16);
    assert_true(command->length <= transport->max_transfer);
    target->held[target->count++] = command;
    target->commands++;
    return 0;
}

static void end_all(struct target *target, int status)
{
    for (unsigned count = target->count; count; count--) {
        struct scsi_command *command = take(target, 0);
        command->status = status;
        command->done(command);
    }
}

static void target_service(struct scsi_transport *transport)
{
    struct target *target = (struct target *)transport;

    end_all(target, -ERROR_ABORTED);
    transport->wants_service = false;
}

static void target_recover(struct scsi_transport *transport)
{
    struct target *target = (struct target *)transport;

    target->recoveries++;
    transport->wants_service = true;
}

static void target_abandon(struct scsi_transport *transport)
{
    transport->dead = true;
    end_all((struct target *)transport, -ERROR_GONE);
}

static void target_init(struct target *target, struct loop *loop)
{
    static const uint8_t inquiry[36] = "\0\0\x06\x02\x1f\0\0\0Acme    Disk            1.00";
    static const uint8_t pages[] = {
        0, 0, 0, 4, SCSI_PAGE_LIST, SCSI_PAGE_SERIAL, SCSI_PAGE_LIMITS, SCSI_PAGE_PROVISIONING};

    target->transport = (struct scsi_transport){.submit = target_submit,
                                                .recover = target_recover,
                                                .service = target_service,
                                                .abandon = target_abandon,
                                                .loop = loop,
                                                .queue_depth = 4,
                                                .max_transfer = 65536};
    target->pollable.poll = target_poll;
    loop_add(loop, &target->pollable);
    memcpy(target->inquiry, inquiry, sizeof(inquiry));
    memcpy(target->page_list, pages, sizeof(pages));
    scsi_put_big32(target->capacity_10, BLOCKS - 1);
    scsi_put_big32(target->capacity_10 + 4, 512);
    scsi_put_big64(target->capacity_16, BLOCKS - 1);
    scsi_put_big32(target->capacity_16 + 8, 512);
    target->mode_size = 4;
    target->serial[1] = SCSI_PAGE_SERIAL;
    target->limits[1] = SCSI_PAGE_LIMITS;
    target->provisioning[1] = SCSI_PAGE_PROVISIONING;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    test_platform_init(&fixture->platform);
    loop_init(&fixture->loop, &fixture->platform.platform);
    block_registry_init(&fixture->registry);
    target_init(&fixture->target, &fixture->loop);
    *state = fixture;
    return buffer_allocate(&fixture->platform.platform, 1 << 20, &fixture->buffer);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.silent = false;
    if (fixture->disk)
        scsi_disk_destroy(fixture->disk);
    assert_int_equal(fixture->target.count, 0);
    buffer_release(&fixture->buffer);
    test_platform_end(&fixture->platform);
    free(fixture);
    return 0;
}

static int create(struct fixture *fixture)
{
    return scsi_disk_create(&fixture->target.transport, 0, "usb:X", "usb", &fixture->registry, &fixture->disk,
                            &fixture->error);
}

static struct block_device *create_well(struct fixture *fixture)
{
    assert_int_equal(create(fixture), 0);
    return scsi_disk_device(fixture->disk);
}

static int run(struct fixture *fixture, enum block_operation operation, uint64_t lba, uint64_t count)
{
    struct block_request request = {.operation = operation, .lba = lba, .count = count, .buffer = &fixture->buffer};

    return block_run(scsi_disk_device(fixture->disk), &request, &fixture->error);
}

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
        check_condition(&command, rows[i].key, rows[i].code, rows[i].qualifier);
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
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(fixture->target.capacity_10, 0xff, 4);
        scsi_put_big32(fixture->target.capacity_10 + 4, rows[i].block);
        scsi_put_big64(fixture->target.capacity_16, rows[i].last);
        scsi_put_big32(fixture->target.capacity_16 + 8, rows[i].block);
        fixture->target.capacity_16[13] = 0xf; /* physical blocks of 2^15 logical ones */
        fixture->disk = NULL;
        assert_int_equal(create(fixture), rows[i].expected);
        if (!rows[i].expected) {
            const struct block_geometry *geometry = &scsi_disk_device(fixture->disk)->geometry;
            assert_int_equal(geometry->block_count, rows[i].last + 1);
            assert_int_equal(geometry->logical_block, rows[i].block ? rows[i].block : 512);
            assert_int_equal(geometry->physical_block, geometry->logical_block);
            scsi_disk_destroy(fixture->disk);
        }
        fixture->disk = NULL;
        assert_null(fixture->registry.first);
    }
}

static void answers_that_are_too_short(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.capacity_10[4] = 0;
    fixture->target.mode_size = 3;
    struct block_device *device = create_well(fixture);
    assert_true(device->volatile_cache); /* nothing is known of a cache */
    assert_false(device->read_only);
}

static bool short_capacity(struct target *target, struct scsi_command *command)
{
    (void)target;
    if (command->cdb[0] != SCSI_READ_CAPACITY_10 && command->cdb[0] != SCSI_SERVICE_ACTION_IN_16)
        return false;
    good(command, target->capacity_10, 7);
    return true;
}

static void no_capacity_no_disk(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.answer = short_capacity;
    assert_int_equal(create(fixture), -ERROR_PROTOCOL);
    assert_int_equal(fixture->error.code, ERROR_PROTOCOL);
}

static void quirks_are_kept(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.transport.quirks =
        USB_QUIRK_NO_READ_CAPACITY_16 | USB_QUIRK_NO_VPD | USB_QUIRK_NO_MODE_SENSE | USB_QUIRK_CAPACITY_PLUS_ONE;
    fixture->target.pages = true;
    struct block_device *device = create_well(fixture);
    assert_int_equal(device->geometry.block_count, BLOCKS - 1);
    assert_int_equal(fixture->target.seen[SCSI_SERVICE_ACTION_IN_16], 0);
    assert_int_equal(fixture->target.seen[SCSI_MODE_SENSE_6] + fixture->target.seen[SCSI_MODE_SENSE_10], 0);
    assert_int_equal(fixture->target.seen[SCSI_INQUIRY], 1);
}

/* Mode pages that end in the middle of one, and with lengths that lead nowhere. */
static void mode_pages_cut_off(void **state)
{
    struct fixture *fixture = *state;
    const uint8_t mode[] = {0xff, 0, 0x80, 0xff, 8, 0xff, 4};

    memcpy(fixture->target.mode, mode, sizeof(mode));
    fixture->target.mode_size = sizeof(mode);
    assert_true(create_well(fixture)->read_only);
}

static void a_caching_page_is_found(void **state)
{
    struct fixture *fixture = *state;
    /* Header, one block descriptor of 8 bytes, page 1 of 10 bytes, subpage of 2 bytes, page 8 with WCE clear. */
    uint8_t *mode = fixture->target.mode;
    mode[3] = 8;
    mode[12] = 0x01;
    mode[13] = 10;
    mode[24] = 0x40 | 0x08;
    mode[27] = 2;
    mode[30] = 0x08;
    mode[31] = 18;
    mode[0] = 49;
    fixture->target.mode_size = 50;
    assert_false(create_well(fixture)->volatile_cache);
}

static void limits_that_contradict_themselves(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.pages = true;
    fixture->target.capacity_16[14] = SCSI_CAPACITY_UNMAP;
    fixture->target.provisioning[5] = SCSI_PROVISIONING_UNMAP | SCSI_PROVISIONING_WRITE_SAME_16;
    memset(fixture->target.limits + 4, 0xff, 60);
    memset(fixture->target.serial + 2, 0xff, 62);
    struct block_device *device = create_well(fixture);
    assert_true(device->geometry.max_discard > 0 && device->geometry.max_discard <= 1u << 30);
    assert_true(device->geometry.max_write_zeroes > 0);
    assert_int_equal(device->geometry.max_transfer, 65536);
    assert_string_equal(device->serial, "");
}

static void a_transfer_limit_of_the_device_is_kept(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.pages = true;
    scsi_put_big32(fixture->target.limits + 8, 24);
    assert_int_equal(create_well(fixture)->geometry.max_transfer, 24 * 512);
}

/* --- at work --- */

static bool busy_thrice(struct target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_READ_10 || target->step >= 3)
        return false;
    command->scsi_status = target->step++ ? SCSI_TASK_SET_FULL : SCSI_BUSY;
    command->moved = 0;
    return true;
}

static void busy_passes(void **state)
{
    struct fixture *fixture = *state;

    create_well(fixture);
    fixture->target.data[512] = 0x77;
    fixture->target.answer = busy_thrice;
    assert_int_equal(run(fixture, BLOCK_READ, 1, 1), 0);
    assert_int_equal(*(uint8_t *)fixture->buffer.data, 0x77);
    assert_int_equal(fixture->target.seen[SCSI_READ_10], 4);
}

static bool busy_always(struct target *target, struct scsi_command *command)
{
    (void)target;
    command->scsi_status = SCSI_BUSY;
    command->moved = 0;
    return command->cdb[0] == SCSI_READ_10;
}

static void busy_for_ever_is_a_timeout(void **state)
{
    struct fixture *fixture = *state;

    create_well(fixture);
    fixture->target.answer = busy_always;
    fixture->target.has_fiber = true;
    assert_int_equal(run(fixture, BLOCK_READ, 1, 1), -ERROR_TIMEOUT);
    fixture->target.answer = NULL;
    assert_int_equal(run(fixture, BLOCK_READ, 1, 1), 0);
}

static bool success_without_data(struct target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_READ_10 && command->cdb[0] != SCSI_WRITE_10)
        return false;
    if (target->step++ >= 100)
        return false;
    good(command, target->data, command->length - 512);
    return true;
}

static void success_without_all_data_is_none(void **state)
{
    struct fixture *fixture = *state;

    create_well(fixture);
    fixture->target.answer = success_without_data;
    assert_int_equal(run(fixture, BLOCK_READ, 1, 8), -ERROR_IO);
    assert_int_equal(run(fixture, BLOCK_WRITE, 1, 8), -ERROR_IO);
}

/* An earlier write failed after its good status: whoever flushes hears of it, and the command that brought the news is repeated. */
static bool deferred_once(struct target *target, struct scsi_command *command)
{
    if (command->cdb[0] != SCSI_WRITE_10 || target->step++ != 1)
        return false;
    check_condition(command, SCSI_MEDIUM_ERROR, 0x0c, 0);
    command->sense[0] = 0x71;
    return true;
}

static void a_deferred_error_fails_the_flush(void **state)
{
    struct fixture *fixture = *state;

    create_well(fixture);
    fixture->target.answer = deferred_once;
    assert_int_equal(run(fixture, BLOCK_WRITE, 0, 1), 0);
    assert_int_equal(run(fixture, BLOCK_WRITE, 1, 1), 0);
    assert_int_equal(run(fixture, BLOCK_FLUSH, 0, 0), -ERROR_IO);
    assert_int_equal(run(fixture, BLOCK_FLUSH, 0, 0), 0);
}

static void requests_end_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    struct block_request requests[4];
    struct block_device *device = create_well(fixture);

    fixture->target.silent = fixture->target.backwards = true;
    for (unsigned i = 0; i < 4; i++) {
        fixture->target.data[i * 512] = (uint8_t)(i + 1);
        requests[i] = (struct block_request){
            .operation = BLOCK_READ, .lba = i, .count = 1, .buffer = &fixture->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    struct block_request more = {.operation = BLOCK_READ, .count = 1, .buffer = &fixture->buffer, .offset = 8192};
    assert_int_equal(block_submit(device, &more), -ERROR_FULL);
    fixture->target.silent = false;
    for (unsigned i = 4; i--;) {
        assert_true(loop_wait_flag(&fixture->loop, &requests[i].ended, UINT64_MAX));
        assert_true(!i || !requests[0].ended);
        assert_int_equal(((uint8_t *)fixture->buffer.data)[i * 512], i + 1);
    }
}

static void silence_ends_at_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct block_device *device = create_well(fixture);
    struct block_request request = {.operation = BLOCK_READ, .count = 1, .buffer = &fixture->buffer};

    fixture->target.silent = true;
    assert_int_equal(block_submit(device, &request), 0);
    loop_delay(&fixture->loop, 31 * NANOSECONDS_PER_SECOND);
    assert_int_equal(fixture->target.recoveries, 1);
    assert_false(request.ended);
    target_service(&fixture->target.transport);
    loop_step(&fixture->loop);
    assert_true(request.ended);
    assert_int_equal(request.status, -ERROR_TIMEOUT);
}

/* Its fiber rests for ever: the grace of block.c ends, and the disk with it. */
static void a_recovery_that_never_comes(void **state)
{
    struct fixture *fixture = *state;
    struct block_device *device = create_well(fixture);
    struct block_request request = {.operation = BLOCK_READ, .count = 1, .buffer = &fixture->buffer};

    fixture->target.silent = true;
    assert_int_equal(block_submit(device, &request), 0);
    loop_delay(&fixture->loop, 65 * NANOSECONDS_PER_SECOND);
    assert_true(request.ended);
    assert_int_equal(request.status, -ERROR_GONE);
    assert_true(fixture->target.transport.dead);
    assert_true(device->dead);
}

static void silence_while_it_is_looked_at(void **state)
{
    struct fixture *fixture = *state;

    fixture->target.silent = true;
    assert_int_equal(create(fixture), -ERROR_TIMEOUT);
    assert_true(fixture->target.recoveries > 0);
    assert_null(fixture->registry.first);
}

static void gone_with_commands_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct block_device *device = create_well(fixture);
    struct block_request requests[2];

    fixture->target.silent = true;
    for (unsigned i = 0; i < 2; i++) {
        requests[i] = (struct block_request){
            .operation = BLOCK_READ, .lba = i, .count = 1, .buffer = &fixture->buffer, .offset = i * 512};
        assert_int_equal(block_submit(device, &requests[i]), 0);
    }
    scsi_disk_gone(fixture->disk);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(requests[i].status, -ERROR_GONE);
    assert_false(scsi_disk_idle(fixture->disk));
    scsi_disk_destroy(fixture->disk);
    fixture->disk = NULL;
    assert_null(fixture->registry.first);
    /* The commands come back to memory that is still there; the last one frees it. */
    end_all(&fixture->target, -ERROR_GONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
