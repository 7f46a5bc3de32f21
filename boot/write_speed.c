/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/write_speed.h"

#include <stdio.h>
#include <string.h>

#include "boot/conformance.h"
#include "ui/measure.h"

#define MARK_BYTES 32

static const uint32_t sizes[] = {65536, 1u << 20};
static const char *const size_names[] = {"64 KiB", "1 MiB"};

#define SIZE_COUNT ((unsigned)(sizeof(sizes) / sizeof(sizes[0])))

struct written_disk {
    char name[BLOCK_NAME_MAX], driver[16];
    uint8_t mark[MARK_BYTES];                                              /* what our driver left at its start */
    uint64_t single[SIZE_COUNT], queued[SIZE_COUNT], firmware[SIZE_COUNT]; /* bytes a second; 0: not seen */
};

/* --- by our drivers --- */

static int write_mark(struct block_device *disk, uint8_t mark[MARK_BYTES], struct error *error)
{
    struct platform *platform = disk->loop->platform;

    platform->ops->random(platform, mark, MARK_BYTES);
    int status = block_write_bytes(disk, 0, mark, MARK_BYTES, error);
    return status ? status : block_flush(disk, error);
}

static int write_by_ours(struct session *session, const char *name, struct written_disk *written, struct error *error)
{
    struct job_end end = {0};
    int status = conformance_open(session, name, true, &end, error);

    if (status)
        return status;
    snprintf(written->name, sizeof(written->name), "%s", end.disk->name);
    snprintf(written->driver, sizeof(written->driver), "%s", end.disk->driver);
    status = measure_best(end.disk, measure_writes, sizes, SIZE_COUNT, 1, written->single, error);
    if (!status)
        status = measure_best(end.disk, measure_writes, sizes, SIZE_COUNT, MEASURE_DEPTH, written->queued, error);
    if (!status)
        status = write_mark(end.disk, written->mark, error);
    session->ops->close_disk(session, &end);
    return status;
}

/* --- by the firmware's --- */

/* Is this the disk that our driver has just written to? */
static int bears_mark(struct block_device *disk, const struct written_disk *written, bool *same, struct error *error)
{
    uint8_t found[MARK_BYTES];
    int status = block_read_bytes(disk, 0, found, sizeof(found), error);

    *same = !status && memcmp(found, written->mark, sizeof(found)) == 0;
    return status;
}

static int write_by_firmware(struct session *session, struct written_disk *written, struct error *error)
{
    struct job_end end = {0};
    bool same;
    int status = conformance_open(session, written->name, true, &end, error);

    if (status == -ERROR_NOT_FOUND) {
        memset(error, 0, sizeof(*error));
        return 0;
    }
    if (status)
        return status;
    status = bears_mark(end.disk, written, &same, error);
    if (!status && same)
        status = measure_best(end.disk, measure_writes, sizes, SIZE_COUNT, 1, written->firmware, error);
    else if (!status)
        output_print(session->out,
                     "write-speed: the firmware's %s is not the disk that was written to just now; it is left alone\n",
                     end.disk->name);
    session->ops->close_disk(session, &end);
    return status;
}

static int compare_with_firmware(struct session *session, struct written_disk *disks, unsigned count,
                                 struct error *error)
{
    int status = session->ops->use_firmware(session, true, error);

    for (unsigned i = 0; !status && i < count; i++)
        status = write_by_firmware(session, &disks[i], error);
    int back = session->ops->use_firmware(session, false, status ? NULL : error);
    return status ? status : back;
}

/* --- both --- */

/* The disk that the firmware's rate is taken from. */
static const struct written_disk *yardstick(const struct written_disk *disks, unsigned count,
                                            const struct written_disk *disk, unsigned size)
{
    const struct written_disk *best = disk;

    for (unsigned i = 0; i < count && !disk->firmware[size]; i++)
        if (disks[i].firmware[size] > best->firmware[size])
            best = &disks[i];
    return best;
}

static void print_disk(struct output *out, const struct written_disk *disks, unsigned count,
                       const struct written_disk *disk)
{
    char single[SIZE_TEXT_MAX], queued[SIZE_TEXT_MAX], rate[SIZE_TEXT_MAX];

    for (unsigned i = 0; i < SIZE_COUNT; i++) {
        const struct written_disk *other = yardstick(disks, count, disk, i);
        uint64_t firmware = other->firmware[i], hundredths = firmware ? disk->queued[i] * 100 / firmware : 0;
        output_print(out, "write-speed: %s (driver %s), %s at a time: depth 1 %s/s, depth %u %s/s", disk->name,
                     disk->driver, size_names[i], size_text(disk->single[i], single), MEASURE_DEPTH,
                     size_text(disk->queued[i], queued));
        if (firmware)
            output_print(out, "; the firmware's driver %s/s on %s, ratio %llu.%02llu", size_text(firmware, rate),
                         other->name, (unsigned long long)hundredths / 100, (unsigned long long)hundredths % 100);
        output_print(out, "\n");
    }
}

int write_speed(struct session *session, const char *const *names, unsigned count, struct error *error)
{
    struct platform *platform = session->loop->platform;
    struct written_disk *disks = platform_allocate_zeroed(platform, count * sizeof(*disks));
    int status = 0;

    if (!disks)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_WRITE, "", ERROR_NO_BLOCK, "measuring");
    for (unsigned i = 0; !status && i < count; i++)
        status = write_by_ours(session, names[i], &disks[i], error);
    if (!status)
        status = compare_with_firmware(session, disks, count, error);
    for (unsigned i = 0; !status && i < count; i++)
        print_disk(session->out, disks, count, &disks[i]);
    platform_release(platform, disks);
    return status;
}
