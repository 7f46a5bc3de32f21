/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry of file systems, and allocation readers kept on a leash. */
#include "core/filesystem.h"

#include <stdio.h>
#include <string.h>

#include "core/fiber.h"

#define HEAD_SIZE (128u * 1024)
/* Policy: bitmaps of 16 TiB volumes are read within minutes even from slow disks; memory of a library stays bounded. */
#define READER_DEADLINE (30 * 60 * NANOSECONDS_PER_SECOND)
#define READER_ARENA (192u * 1024 * 1024)

#define FIRST_ROOM 40 /* files; 40 * 4^4 is a little more than FILESYSTEM_FILES_MAX */

/* Filled once at start by the main; the set of file systems is a property of the program. */
static const struct filesystem_driver *drivers[FILESYSTEM_DRIVERS_MAX];
static unsigned driver_count;

void filesystem_register(const struct filesystem_driver *driver)
{
    for (unsigned i = 0; i < driver_count; i++)
        if (drivers[i] == driver)
            return;
    if (driver_count < FILESYSTEM_DRIVERS_MAX)
        drivers[driver_count++] = driver;
}

/* What the drivers say about a volume. */
struct recognition {
    const struct filesystem_driver *driver; /* the first that recognises it; NULL: none */
    const struct filesystem_driver *rival;  /* another one that does, too */
};

static bool ask(const struct filesystem_driver *driver, struct block_device *volume, const uint8_t *head,
                size_t head_size, struct filesystem_info *info)
{
    memset(info, 0, sizeof *info);
    info->used_bytes = UINT64_MAX;
    return driver->probe(volume, head, head_size, info);
}

static void ask_all(struct block_device *volume, const uint8_t *head, size_t head_size, bool want_rival,
                    struct recognition *recognition, struct filesystem_info *info)
{
    struct filesystem_info other;

    for (unsigned i = 0; i < driver_count; i++) {
        if (!recognition->driver) {
            if (ask(drivers[i], volume, head, head_size, info))
                recognition->driver = drivers[i];
        } else if (!want_rival) {
            return;
        } else if (ask(drivers[i], volume, head, head_size, &other)) {
            recognition->rival = drivers[i];
            return;
        }
    }
}

static struct recognition recognise(struct block_device *volume, bool want_rival, struct filesystem_info *info)
{
    struct platform *platform = volume->loop->platform;
    uint64_t bytes = block_device_bytes(volume);
    size_t head_size = bytes < HEAD_SIZE ? (size_t)bytes : HEAD_SIZE;
    struct recognition recognition = {NULL, NULL};
    uint8_t *head = platform_allocate(platform, head_size);

    if (head && block_read_bytes(volume, 0, head, head_size, NULL) == 0)
        ask_all(volume, head, head_size, want_rival, &recognition, info);
    platform_release(platform, head);
    if (!recognition.driver) {
        memset(info, 0, sizeof *info);
        info->used_bytes = UINT64_MAX;
    }
    return recognition;
}

const struct filesystem_driver *filesystem_probe(struct block_device *volume, struct filesystem_info *info)
{
    return recognise(volume, false, info).driver;
}

/* --- files and names --- */

bool filesystem_files_make_room(struct platform *platform, struct filesystem_file **files, size_t count, size_t *room)
{
    size_t more = *room ? 4 * *room : FIRST_ROOM;
    struct filesystem_file *moved;

    if (count < *room)
        return true;
    moved = platform_allocate(platform, more * sizeof *moved);
    if (!moved)
        return false;
    if (count)
        memcpy(moved, *files, count * sizeof *moved);
    platform_release(platform, *files);
    *files = moved;
    *room = more;
    return true;
}

bool filesystem_name_is_utf8(const char *name)
{
    const uint8_t *at = (const uint8_t *)name;

    while (*at) {
        unsigned behind = *at < 0x80 ? 0 : *at < 0xc2 ? 4 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : *at < 0xf5 ? 3 : 4;
        uint8_t least = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80;
        uint8_t most = *at == 0xed ? 0x9f : *at == 0xf4 ? 0x8f : 0xbf;

        if (behind == 4)
            return false;
        for (at++; behind; behind--, at++) {
            if (*at < least || *at > most)
                return false;
            least = 0x80;
            most = 0xbf;
        }
    }
    return true;
}

bool filesystem_name_is_text(const char *name)
{
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strpbrk(name, "/\\"))
        return false;
    for (const char *at = name; *at; at++) {
        uint8_t byte = (uint8_t)*at;

        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && (uint8_t)at[1] < 0xa0))
            return false;
    }
    return filesystem_name_is_utf8(name);
}

/* --- reading allocation --- */

struct reader_call {
    const struct filesystem_driver *driver;
    struct block_device *volume;
    struct allocation *allocation;
    struct fiber *fiber;
    int result;
};

static void reader_entry(void *context)
{
    struct reader_call *call = context;

    call->result = call->driver->read_allocation(call->volume, call->allocation);
}

static bool cancelled(struct platform *platform)
{
    return platform->ops->cancel_requested && platform->ops->cancel_requested(platform);
}

static bool reader_ended(void *context)
{
    const struct reader_call *call = context;

    return fiber_finished(call->fiber) || cancelled(call->volume->loop->platform);
}

/* On a fiber of its own, also when the caller is on one: a reader that hangs is dropped, not its caller. */
static int run_reader(struct reader_call *call)
{
    struct loop *loop = call->volume->loop;
    int status = -ERROR_TIMEOUT;

    call->fiber = fiber_start(loop, call->driver->name, FIBER_STACK_DEFAULT, READER_ARENA, reader_entry, call);
    if (!call->fiber)
        return -ERROR_NO_MEMORY;
    if (loop_wait(loop, reader_ended, call, deadline_after(loop->platform, READER_DEADLINE))) {
        if (!fiber_finished(call->fiber))
            status = -ERROR_CANCELLED;
        else
            status = fiber_abandoned(call->fiber) ? -ERROR_ABORTED : call->result;
    }
    fiber_destroy(call->fiber);
    return status;
}

static void give_up(struct allocation *allocation, enum message_id id, const char *text, uint64_t number0,
                    uint64_t number1)
{
    allocation->verdict = ALLOCATION_WHOLE;
    allocation_free(allocation);
    message_add(&allocation->messages, MESSAGE_WARNING, id, 0, allocation->info.type, text, number0, number1);
}

/* What a reader says is input too: sorted, disjoint, inside the volume. */
static bool extents_valid(const struct extent_list *used, uint64_t volume_bytes)
{
    uint64_t end = 0;

    for (size_t i = 0; i < used->count; i++) {
        const struct extent *extent = &used->extents[i];

        if (!extent->length || extent->offset < end || extent->offset > volume_bytes ||
            extent->length > volume_bytes - extent->offset)
            return false;
        end = extent->offset + extent->length;
    }
    return true;
}

/* Blank is a part of what is in use; a list that closed gaps covers more than was added to it, so it says nothing. */
static int check_blank(struct allocation *allocation)
{
    struct extent_list *blank = &allocation->blank, inside;
    int status = 0;

    extent_list_init(&inside, blank->platform);
    if (!blank->coarsened)
        status = extent_list_intersect(&inside, blank, &allocation->used);
    if (inside.coarsened)
        extent_list_free(&inside);
    extent_list_free(blank);
    *blank = inside;
    return status;
}

static int check(struct block_device *volume, struct allocation *allocation)
{
    uint32_t block = volume->geometry.logical_block;
    uint64_t bytes = block_device_bytes(volume);
    int status;

    if (allocation->info.total_bytes > bytes) {
        give_up(allocation, MESSAGE_FS_BIGGER_THAN_VOLUME, NULL, allocation->info.total_bytes, bytes);
        return 0;
    }
    if (!extents_valid(&allocation->used, bytes) || !extents_valid(&allocation->blank, bytes)) {
        give_up(allocation, MESSAGE_FS_READER_FAILED, "its extents are not inside the volume", 0, 0);
        return 0;
    }
    if (!extent_list_contains(&allocation->used, 0, block)) {
        give_up(allocation, MESSAGE_FS_AUDIT_FAILED, "first block", 0, 0);
        return 0;
    }
    /* File systems with smaller blocks than the disk's: whole blocks of the disk are read. */
    status = extent_list_align(&allocation->used, block, bytes);
    if (!status)
        status = check_blank(allocation);
    if (status)
        allocation_free(allocation);
    return status;
}

static const char *failure_text(int status)
{
    switch (status) {
    case -ERROR_TIMEOUT:
        return "it took too long";
    case -ERROR_ABORTED:
        return "its reader gave up";
    default:
        return error_code_name((enum error_code) - status);
    }
}

static int read_allocation(struct block_device *volume, struct allocation *allocation,
                           const struct filesystem_driver *driver)
{
    struct reader_call call = {.driver = driver, .volume = volume, .allocation = allocation};
    int status = run_reader(&call);

    if (status == -ERROR_CANCELLED || !call.fiber) {
        allocation_free(allocation);
        return status;
    }
    if (status) {
        give_up(allocation, MESSAGE_FS_READER_FAILED, failure_text(status), 0, 0);
        return 0;
    }
    if (allocation->verdict == ALLOCATION_EXACT)
        return check(volume, allocation);
    allocation_free(allocation);
    return 0;
}

void allocation_init(struct allocation *allocation, struct platform *platform)
{
    memset(allocation, 0, sizeof *allocation);
    allocation->verdict = ALLOCATION_WHOLE;
    extent_list_init(&allocation->used, platform);
    extent_list_init(&allocation->blank, platform);
}

void allocation_free(struct allocation *allocation)
{
    extent_list_free(&allocation->used);
    extent_list_free(&allocation->blank);
}

int filesystem_allocation(struct block_device *volume, struct allocation *allocation)
{
    struct recognition recognition;
    char text[MESSAGE_TEXT_MAX];
    int status;

    allocation_init(allocation, volume->loop->platform);
    recognition = recognise(volume, true, &allocation->info);
    if (!recognition.driver || !recognition.driver->read_allocation) {
        message_add(&allocation->messages, MESSAGE_INFO, recognition.driver ? MESSAGE_FS_NO_READER : MESSAGE_FS_UNKNOWN,
                    0, allocation->info.type, NULL, 0, 0);
        return 0;
    }
    status = read_allocation(volume, allocation, recognition.driver);
    /* The remains of an older file system below a newer one: nothing here can tell which of them lives. */
    if (status == 0 && recognition.rival && allocation->verdict == ALLOCATION_EXACT) {
        snprintf(text, sizeof text, "it looks like %s as well", recognition.rival->name);
        give_up(allocation, MESSAGE_FS_READER_FAILED, text, 0, 0);
    }
    return status;
}
