/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/self_check.h"

#include <stdio.h>
#include <string.h>

#include "boot/efi_keyboard.h"

#define WORKERS_MAX 64
#define STEPS 20000000u
#define FILE_BYTES (3u * 1024 * 1024 + 777)
#define READ_BYTES (256u * 1024)
#define CHECK_FILE "\\EIDOLON\\CHECK.TMP"

static bool report(struct output *out, const char *what, bool well, const char *detail)
{
    output_print(out, "self-check: %s: %s%s%s\n", what, well ? "ok" : "FAILED", *detail ? ", " : "", detail);
    return well;
}

/* --- clock: the processor's counter against the machine's clock, over one of its seconds --- */

static bool wait_for_tick(struct machine *machine, int64_t *second)
{
    struct platform *platform = machine->platform;
    uint64_t deadline = deadline_after(platform, 3 * NANOSECONDS_PER_SECOND);
    int64_t before = platform->ops->wall_clock(platform);

    do
        *second = platform->ops->wall_clock(platform);
    while (*second == before && platform_now(platform) < deadline);
    return *second > before;
}

static bool check_clock(struct machine *machine, struct output *out)
{
    int64_t second;
    bool ticks = wait_for_tick(machine, &second), well = false;
    uint64_t milliseconds = 0;
    char detail[64];

    /* An emulated machine may itself have had to wait in one second or the other. */
    for (unsigned attempt = 0; attempt < 4 && ticks && !well; attempt++) {
        uint64_t start = platform_now(machine->platform);
        ticks = wait_for_tick(machine, &second);
        milliseconds = (platform_now(machine->platform) - start) / NANOSECONDS_PER_MILLISECOND;
        well = ticks && milliseconds > 950 && milliseconds < 1050;
    }
    snprintf(detail, sizeof(detail), "a second of the clock took %llu ms", (unsigned long long)milliseconds);
    return report(out, "clock", well, ticks ? detail : "the clock of the machine does not tick");
}

/* --- memory --- */

static bool check_memory(struct machine *machine, struct output *out)
{
    static const size_t sizes[] = {1, 16, 100, 4096, 100000, 8u << 20};
    const unsigned count = sizeof(sizes) / sizeof(sizes[0]);
    uint8_t *pieces[sizeof(sizes) / sizeof(sizes[0])];
    bool well = true;

    for (unsigned i = 0; i < count; i++) {
        pieces[i] = platform_allocate(machine->platform, sizes[i]);
        if (pieces[i])
            memset(pieces[i], (int)i + 1, sizes[i]);
        well = well && pieces[i] && (uintptr_t)pieces[i] % 16 == 0;
    }
    for (unsigned i = 0; i < count; i++) {
        well = well && pieces[i] && pieces[i][0] == i + 1 && pieces[i][sizes[i] - 1] == i + 1;
        platform_release(machine->platform, pieces[i]);
    }
    uint8_t *stack = machine->platform->ops->allocate_guarded(machine->platform, 65536);
    well = well && stack && (uintptr_t)stack % 4096 == 0;
    if (stack) {
        memset(stack, 0x5a, 65536);
        machine->platform->ops->release_guarded(machine->platform, stack, 65536);
    }
    return report(out, "memory", well, "");
}

/* --- processors --- */

struct computation {
    uint64_t results[WORKERS_MAX];
    double fractions[WORKERS_MAX];
};

/* Integers and floating point, on enough stack to show that it is there. */
static void compute(void *context, unsigned index)
{
    struct computation *computation = context;
    volatile uint8_t room[48 * 1024];
    uint64_t value = index + 1;
    double fraction = 1.0 + index;

    memset((void *)room, (int)index, sizeof(room));
    for (unsigned i = 0; i < STEPS; i++) {
        value = value * 6364136223846793005ULL + room[value % sizeof(room)];
        fraction = fraction * 0.999999 + 0.000001;
    }
    computation->results[index] = value;
    computation->fractions[index] = fraction;
}

static bool check_processors(struct machine *machine, struct output *out)
{
    struct platform *platform = machine->platform;
    struct computation *both = platform_allocate_zeroed(platform, 2 * sizeof(*both));
    char detail[128];
    bool well = both != NULL;
    unsigned workers = 0;

    if (!both)
        return report(out, "processors", false, "no memory");
    uint64_t start = platform_now(platform);
    for (unsigned i = 0; i + 1 < platform->processors; i++)
        compute(&both[0], i);
    uint64_t alone = platform_now(platform) - start, together = 0;
    /* Twice: the second time they are resident already. */
    for (unsigned round = 0; round < 2; round++) {
        memset(&both[1], 0, sizeof(both[1]));
        start = platform_now(platform);
        workers = platform->ops->workers_start(platform, platform->processors - 1, compute, &both[1]);
        well = platform->ops->workers_join(platform, UINT64_MAX) && well;
        together = platform_now(platform) - start;
        well = well && workers == platform->processors - 1 && memcmp(&both[0], &both[1], sizeof(both[0])) == 0;
    }
    snprintf(detail, sizeof(detail), "%u workers took %llu ms for what took one processor %llu ms", workers,
             (unsigned long long)(together / NANOSECONDS_PER_MILLISECOND),
             (unsigned long long)(alone / NANOSECONDS_PER_MILLISECOND));
    platform_release(platform, both);
    return report(out, "processors", well, detail);
}

/* --- disks: the same bytes in one piece and in small odd ones, at the start and at the end --- */

static int compare_reads(struct block_device *disk, uint64_t offset, uint8_t *one, uint8_t *other, size_t size,
                         bool *equal, struct error *error)
{
    int status = block_read_bytes(disk, offset, one, size, error);

    for (size_t at = 0; at < size && !status; at += 5000) {
        size_t piece = size - at < 5000 ? size - at : 5000;
        status = block_read_bytes(disk, offset + at, other + at, piece, error);
    }
    *equal = status || memcmp(one, other, size) == 0;
    return status;
}

static bool check_disk(struct machine *machine, struct output *out, struct block_device *disk)
{
    uint64_t bytes = block_device_bytes(disk);
    size_t size = bytes < READ_BYTES ? (size_t)bytes : READ_BYTES;
    uint8_t *one = platform_allocate(machine->platform, size), *other = platform_allocate(machine->platform, size);
    struct error error = {0};
    bool equal = true;
    int status = one && other ? 0 : -ERROR_NO_MEMORY;

    if (!status)
        status = compare_reads(disk, 0, one, other, size, &equal, &error);
    if (!status && equal)
        status = compare_reads(disk, bytes - size, one, other, size, &equal, &error);
    platform_release(machine->platform, one);
    platform_release(machine->platform, other);
    return report(out, disk->name, !status && equal,
                  status  ? error_code_name((enum error_code) - status)
                  : equal ? ""
                          : "two reads of the same blocks differ");
}

/* --- a disk that the firmware reads in the middle of our own reads --- */

#define STORM_DEPTH 32
#define STORM_PIECE 4096u
#define STORM_TIME (2 * NANOSECONDS_PER_SECOND)

struct storm {
    struct block_request requests[STORM_DEPTH];
    struct buffer buffer;
    unsigned reads, failures, running;
    uint64_t next;
};

static void storm_read_ended(struct block_request *request)
{
    struct storm *storm = request->context;

    storm->reads++;
    storm->running--;
    storm->failures += request->status != 0;
    request->context = NULL; /* may be sent again */
}

static void storm_send(struct storm *storm, struct block_device *disk)
{
    uint64_t count = STORM_PIECE / disk->geometry.logical_block, pieces = disk->geometry.block_count / count;

    for (unsigned i = 0; i < STORM_DEPTH; i++) {
        struct block_request *request = &storm->requests[i];
        if (request->context)
            continue;
        *request = (struct block_request){.operation = BLOCK_READ,
                                          .lba = storm->next++ % pieces * count,
                                          .count = count,
                                          .buffer = &storm->buffer,
                                          .offset = i * STORM_PIECE,
                                          .done = storm_read_ended,
                                          .context = storm};
        if (block_submit(disk, request) != 0) {
            request->context = NULL;
            return;
        }
        storm->running++;
    }
}

static bool storm_is_over(void *context)
{
    return ((struct storm *)context)->running == 0;
}

/* Both sides get what they read, and all of it. */
static bool check_events(struct machine *machine, struct output *out, struct block_device *disk)
{
    struct platform *platform = machine->platform;
    struct storm *storm = platform_allocate_zeroed(platform, sizeof(*storm));
    unsigned calls = 0, failures = 0;
    char detail[128], what[BLOCK_NAME_MAX + 32];
    bool over = false;

    snprintf(what, sizeof(what), "%s, read by the firmware too", disk->name);
    if (!storm || buffer_allocate(platform, STORM_DEPTH * STORM_PIECE, &storm->buffer) != 0) {
        platform_release(platform, storm);
        return report(out, what, false, "no memory");
    }
    struct machine_events *events = machine_events_start(machine, disk);
    if (events) {
        uint64_t deadline = deadline_after(platform, STORM_TIME);
        while (platform_now(platform) < deadline) {
            storm_send(storm, disk);
            loop_step(&machine->loop);
        }
        over = loop_wait(&machine->loop, storm_is_over, storm, deadline_after(platform, 60 * NANOSECONDS_PER_SECOND));
        machine_events_stop(events, &calls, &failures);
    }
    snprintf(detail, sizeof(detail), "%u reads, %u failed; %u by events, %u failed", storm->reads, storm->failures,
             calls, failures);
    bool well = events && over && storm->reads && !storm->failures && calls && !failures;
    buffer_release(&storm->buffer);
    platform_release(platform, storm);
    return report(out, what, well, detail);
}

/* --- a file on the boot volume --- */

static void fill_pattern(uint8_t *data, size_t size)
{
    uint32_t value = 12345;

    for (size_t i = 0; i < size; i++) {
        value = value * 1103515245u + 12345u;
        data[i] = (uint8_t)(value >> 16);
    }
}

static int write_and_read(struct stream_store *store, uint8_t *data, uint8_t *back, size_t *got, struct error *error)
{
    struct stream *stream;
    int status = store->open(store, 0, true, &stream, error);

    if (status)
        return status;
    /* In two pieces with a flush between them, as segments come. */
    status = stream_write(stream, 0, data, FILE_BYTES / 2, error);
    if (!status)
        status = stream_flush(stream, error);
    if (!status)
        status = stream_write(stream, FILE_BYTES / 2, data + FILE_BYTES / 2, FILE_BYTES - FILE_BYTES / 2, error);
    int closed = stream_close(stream, status ? NULL : error);
    if (status || closed)
        return status ? status : closed;
    status = store->open(store, 0, false, &stream, error);
    if (status)
        return status;
    if (stream->size != FILE_BYTES)
        status = error_set(error, ERROR_MISMATCH, OPERATION_VERIFY, store->name, ERROR_NO_BLOCK,
                           "the file has another size");
    if (!status)
        status = stream_read(stream, 0, back, FILE_BYTES, got, error);
    closed = stream_close(stream, status ? NULL : error);
    return status ? status : closed;
}

static bool check_file(struct machine *machine, struct output *out)
{
    struct platform *platform = machine->platform;
    uint8_t *data = platform_allocate(platform, FILE_BYTES), *back = platform_allocate_zeroed(platform, FILE_BYTES);
    struct stream_store *store = NULL;
    struct error error = {0};
    size_t got = 0;
    int status = data && back ? 0 : -ERROR_NO_MEMORY;
    bool well = false;

    if (!status)
        status = machine_open_volume(machine, "stick", CHECK_FILE, "stick:" CHECK_FILE, true, &store, &error);
    if (!status) {
        fill_pattern(data, FILE_BYTES);
        store->remove(store, 0, NULL); /* of a check that was cut off */
        uint64_t free_before = store->free_space(store);
        status = write_and_read(store, data, back, &got, &error);
        well = !status && got == FILE_BYTES && memcmp(data, back, FILE_BYTES) == 0;
        well = well && store->free_space(store) + FILE_BYTES <= free_before && store->disk;
        int removed = store->remove(store, 0, &error);
        well = well && removed == 0 && store->free_space(store) == free_before;
        store->close(store);
    }
    platform_release(platform, data);
    platform_release(platform, back);
    return report(out, "file on the stick", well, status ? error.detail : "");
}

/* --- keyboards: the text input that they are given to the firmware as --- */

static bool check_keyboard(struct machine *machine, struct output *out)
{
    bool through_console = false;
    const char *failure = machine_keyboard_check(machine, &through_console);

    return report(out, "keyboard for the firmware", !failure,
                  failure           ? failure
                  : through_console ? "its console takes it"
                                    : "its console does not take it, Eidolon reads it by itself");
}

bool self_check(struct machine *machine, struct output *out)
{
    struct error error = {0};
    bool well = check_clock(machine, out);

    well = check_memory(machine, out) && well;
    well = check_processors(machine, out) && well;
    if (machine_devices_start(machine, &error) != 0)
        return report(out, "disks", false, error.detail);
    for (struct block_device *disk = machine->registry.first; disk; disk = disk->registry_next)
        well = check_disk(machine, out, disk) && well;
    for (struct block_device *disk = machine->registry.first; disk; disk = disk->registry_next)
        if (disk->bus != BUS_FIRMWARE && strcmp(disk->driver, "firmware") != 0)
            well = check_events(machine, out, disk) && well;
    well = check_file(machine, out) && well;
    well = check_keyboard(machine, out) && well;
    output_print(out, "self-check: %s\n", well ? "all is well" : "something is wrong");
    return well;
}
