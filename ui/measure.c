/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `measure DISK...`: how fast disks read, by our drivers and, on the machine, by the firmware's. */
#include "ui/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/session.h"

#define MEASURE_ROUNDS 5
#define MEASURE_TIME (100 * NANOSECONDS_PER_MILLISECOND)
#define MEASURE_DISKS_MAX COMMAND_ARGUMENTS_MAX

static const uint32_t sizes[] = {4096, 65536, 1u << 20};
static const char *const size_names[] = {"4 KiB", "64 KiB", "1 MiB"};

#define SIZE_COUNT (sizeof(sizes) / sizeof(sizes[0]))

struct disk_rates {
    char name[BLOCK_NAME_MAX], serial[BLOCK_TEXT_MAX], driver[16];
    uint64_t single[SIZE_COUNT], queued[SIZE_COUNT], firmware[SIZE_COUNT]; /* bytes a second */
};

int measure_best(struct block_device *disk, typeof(measure_reads) *measure, const uint32_t *request_bytes,
                 unsigned count, unsigned depth, uint64_t *rates, struct error *error)
{
    memset(rates, 0, count * sizeof(*rates));
    for (unsigned round = 0; round < count * MEASURE_ROUNDS; round++) {
        struct measurement measurement;
        unsigned i = round % count;
        int status = measure(disk, request_bytes[i], depth, MEASURE_TIME, &measurement, error);
        if (status)
            return status;
        uint64_t rate = rate_per_second(measurement.bytes, measurement.nanoseconds);
        if (rate > rates[i])
            rates[i] = rate;
    }
    return 0;
}

static int measure_disk(struct block_device *disk, uint64_t rates[SIZE_COUNT], unsigned depth, struct error *error)
{
    return measure_best(disk, measure_reads, sizes, SIZE_COUNT, depth, rates, error);
}

static int measure_own(struct session *session, const char *name, struct disk_rates *rates, struct error *error)
{
    struct job_end end = {0};

    int status = session->ops->open_disk(session, name, false, &end, error);
    if (status)
        return status;
    snprintf(rates->name, sizeof(rates->name), "%s", end.disk->name);
    snprintf(rates->serial, sizeof(rates->serial), "%s", end.disk->serial);
    snprintf(rates->driver, sizeof(rates->driver), "%s", end.disk->driver);
    status = measure_disk(end.disk, rates->single, 1, error);
    if (!status)
        status = measure_disk(end.disk, rates->queued, MEASURE_DEPTH, error);
    session->ops->close_disk(session, &end);
    return status;
}

/* The same disks again while the firmware's drivers have them, found by their serials. */
static int measure_firmware(struct session *session, struct disk_rates *rates, unsigned count, struct error *error)
{
    int status = session->ops->use_firmware(session, true, error);

    for (struct block_device *disk = session->registry->first; !status && disk; disk = disk->registry_next)
        for (unsigned i = 0; !status && i < count; i++)
            if (rates[i].serial[0] && strcmp(disk->serial, rates[i].serial) == 0)
                status = measure_disk(disk, rates[i].firmware, 1, error);
    int back = session->ops->use_firmware(session, false, status ? NULL : error);
    return status ? status : back;
}

static void print_rates(struct session *session, const struct command *command, const struct disk_rates *rates)
{
    char single[SIZE_TEXT_MAX], queued[SIZE_TEXT_MAX], firmware[SIZE_TEXT_MAX];

    if (command->json) {
        struct json json = {session->out, false};
        json_begin_object(&json, NULL);
        json_text(&json, "event", "measure");
        json_text(&json, "disk", rates->name);
        json_text(&json, "driver", rates->driver);
        json_number(&json, "bytes_per_second", rates->queued[1]);
        json_number(&json, "firmware_bytes_per_second", rates->firmware[1]);
        json_begin_array(&json, "sizes");
        for (size_t i = 0; i < SIZE_COUNT; i++) {
            json_begin_object(&json, NULL);
            json_number(&json, "request_bytes", sizes[i]);
            json_number(&json, "depth_1", rates->single[i]);
            json_number(&json, "depth_32", rates->queued[i]);
            json_number(&json, "firmware", rates->firmware[i]);
            json_end_object(&json);
        }
        json_end_array(&json);
        json_end_object(&json);
        json_end_line(&json);
        return;
    }
    output_print(session->out, "%s, reads a second:\n", rates->name);
    for (size_t i = 0; i < SIZE_COUNT; i++)
        output_print(session->out, "    %-7s depth 1 %9s   depth 32 %9s   firmware's driver %9s\n", size_names[i],
                     size_text(rates->single[i], single), size_text(rates->queued[i], queued),
                     rates->firmware[i] ? size_text(rates->firmware[i], firmware) : "-");
}

enum exit_code session_measure(struct session *session, struct command *command)
{
    struct disk_rates *rates;
    struct error error = {0};
    int status = 0;

    rates = platform_allocate_zeroed(session->loop->platform, MEASURE_DISKS_MAX * sizeof(*rates));
    if (!rates)
        status = error_set(&error, ERROR_NO_MEMORY, OPERATION_READ, "", ERROR_NO_BLOCK, "measuring");
    session_prepare(session, command);
    for (unsigned i = 0; !status && i < command->argument_count; i++)
        status = measure_own(session, command->arguments[i], &rates[i], &error);
    if (!status && session->ops->use_firmware)
        status = measure_firmware(session, rates, command->argument_count, &error);
    for (unsigned i = 0; !status && i < command->argument_count; i++)
        print_rates(session, command, &rates[i]);
    platform_release(session->loop->platform, rates);
    if (!status)
        return EXIT_CODE_DONE;
    if (!error.side && error.code != ERROR_NOT_FOUND)
        error.side = SIDE_SOURCE;
    session_error(session, command->json, &error);
    return exit_code_of(&error);
}
