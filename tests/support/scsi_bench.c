/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/scsi_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void scsi_target_good(struct scsi_command *command, const void *data, size_t size)
{
    size_t moved = size < command->length ? size : command->length;

    command->scsi_status = SCSI_GOOD;
    command->moved = moved;
    if (moved && command->direction == SCSI_DATA_IN)
        memcpy((uint8_t *)command->buffer->data + command->offset, data, moved);
}

void scsi_target_refuse(struct scsi_command *command, uint8_t key, uint8_t code, uint8_t qualifier)
{
    const uint8_t sense[18] = {0x70, 0, key, [7] = 10, [12] = code, [13] = qualifier};

    command->scsi_status = SCSI_CHECK_CONDITION;
    command->moved = 0;
    memcpy(command->sense, sense, sizeof(sense));
    command->sense_size = sizeof(sense);
}

static void answer_inquiry(struct scsi_target *target, struct scsi_command *command)
{
    if (!(command->cdb[1] & 1)) {
        scsi_target_good(command, target->inquiry, sizeof(target->inquiry));
    } else if (!target->pages) {
        scsi_target_refuse(command, SCSI_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD, 0);
    } else if (command->cdb[2] == SCSI_PAGE_LIST) {
        scsi_target_good(command, target->page_list, sizeof(target->page_list));
    } else if (command->cdb[2] == SCSI_PAGE_SERIAL) {
        scsi_target_good(command, target->serial, sizeof(target->serial));
    } else if (command->cdb[2] == SCSI_PAGE_LIMITS) {
        scsi_target_good(command, target->limits, sizeof(target->limits));
    } else if (command->cdb[2] == SCSI_PAGE_PROVISIONING) {
        scsi_target_good(command, target->provisioning, sizeof(target->provisioning));
    } else {
        scsi_target_refuse(command, SCSI_ILLEGAL_REQUEST, SCSI_ASC_INVALID_FIELD, 0);
    }
}

static void answer_transfer(struct scsi_target *target, struct scsi_command *command)
{
    uint64_t lba = command->cdb_length == 16 ? scsi_big64(command->cdb + 2) : scsi_big32(command->cdb + 2);
    uint64_t count = command->cdb_length == 16 ? scsi_big32(command->cdb + 10) : scsi_big16(command->cdb + 7);

    assert_int_equal(count * 512, command->length);
    assert_true(lba + count <= SCSI_TARGET_BLOCKS);
    if (command->direction == SCSI_DATA_OUT)
        memcpy(target->data + lba * 512, (uint8_t *)command->buffer->data + command->offset, command->length);
    scsi_target_good(command, target->data + lba * 512, command->length);
}

static void answer(struct scsi_target *target, struct scsi_command *command)
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
        scsi_target_good(command, target->capacity_10, sizeof(target->capacity_10));
        break;
    case SCSI_SERVICE_ACTION_IN_16:
        scsi_target_good(command, target->capacity_16, sizeof(target->capacity_16));
        break;
    case SCSI_MODE_SENSE_6:
        scsi_target_good(command, target->mode, target->mode_size);
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
        scsi_target_good(command, NULL, 0);
        break;
    default:
        scsi_target_refuse(command, SCSI_ILLEGAL_REQUEST, SCSI_ASC_INVALID_OPCODE, 0);
        break;
    }
}

static struct scsi_command *take(struct scsi_target *target, unsigned index)
{
    struct scsi_command *command = target->held[index];

    target->count--;
    memmove(&target->held[index], &target->held[index + 1], (target->count - index) * sizeof(target->held[0]));
    return command;
}

static bool target_poll(struct pollable *pollable)
{
    struct scsi_target *target =
        (struct scsi_target *)(void *)((char *)pollable - offsetof(struct scsi_target, pollable));

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
    struct scsi_target *target = (struct scsi_target *)transport;

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

void scsi_target_end_all(struct scsi_target *target, int status)
{
    for (unsigned count = target->count; count; count--) {
        struct scsi_command *command = take(target, 0);
        command->status = status;
        command->done(command);
    }
}

void scsi_target_service(struct scsi_transport *transport)
{
    struct scsi_target *target = (struct scsi_target *)transport;

    scsi_target_end_all(target, -ERROR_ABORTED);
    transport->wants_service = false;
}

static void target_recover(struct scsi_transport *transport)
{
    struct scsi_target *target = (struct scsi_target *)transport;

    target->recoveries++;
    transport->wants_service = true;
}

static void target_abandon(struct scsi_transport *transport)
{
    transport->dead = true;
    scsi_target_end_all((struct scsi_target *)transport, -ERROR_GONE);
}

static void target_init(struct scsi_target *target, struct loop *loop)
{
    static const uint8_t inquiry[36] = "\0\0\x06\x02\x1f\0\0\0Acme    Disk            1.00";
    static const uint8_t pages[] = {
        0, 0, 0, 4, SCSI_PAGE_LIST, SCSI_PAGE_SERIAL, SCSI_PAGE_LIMITS, SCSI_PAGE_PROVISIONING};

    target->transport = (struct scsi_transport){.submit = target_submit,
                                                .recover = target_recover,
                                                .service = scsi_target_service,
                                                .abandon = target_abandon,
                                                .loop = loop,
                                                .queue_depth = 4,
                                                .max_transfer = 65536};
    target->pollable.poll = target_poll;
    loop_add(loop, &target->pollable);
    memcpy(target->inquiry, inquiry, sizeof(inquiry));
    memcpy(target->page_list, pages, sizeof(pages));
    scsi_put_big32(target->capacity_10, SCSI_TARGET_BLOCKS - 1);
    scsi_put_big32(target->capacity_10 + 4, 512);
    scsi_put_big64(target->capacity_16, SCSI_TARGET_BLOCKS - 1);
    scsi_put_big32(target->capacity_16 + 8, 512);
    target->mode_size = 4;
    target->serial[1] = SCSI_PAGE_SERIAL;
    target->limits[1] = SCSI_PAGE_LIMITS;
    target->provisioning[1] = SCSI_PAGE_PROVISIONING;
}

int scsi_bench_setup(void **state)
{
    struct scsi_bench *bench = calloc(1, sizeof(*bench));

    if (!bench)
        return -1;
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    target_init(&bench->target, &bench->loop);
    *state = bench;
    return buffer_allocate(&bench->platform.platform, 1 << 20, &bench->buffer);
}

int scsi_bench_teardown(void **state)
{
    struct scsi_bench *bench = *state;

    bench->target.silent = false;
    if (bench->disk)
        scsi_disk_destroy(bench->disk);
    assert_int_equal(bench->target.count, 0);
    buffer_release(&bench->buffer);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}

int scsi_bench_create(struct scsi_bench *bench)
{
    return scsi_disk_create(&bench->target.transport, 0, "usb:X", "usb", &bench->registry, &bench->disk, &bench->error);
}

struct block_device *scsi_bench_disk(struct scsi_bench *bench)
{
    assert_int_equal(scsi_bench_create(bench), 0);
    return scsi_disk_device(bench->disk);
}

int scsi_bench_run(struct scsi_bench *bench, enum block_operation operation, uint64_t lba, uint64_t count)
{
    struct block_request request = {.operation = operation, .lba = lba, .count = count, .buffer = &bench->buffer};

    return block_run(scsi_disk_device(bench->disk), &request, &bench->error);
}
