/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/support/job_lab.h"

/* --- the platform: memory_platform() with workers, guarded memory and a wish to cancel --- */

#define WORKERS_MAX 8
static struct {
    pthread_t threads[WORKERS_MAX];
    unsigned count;
    void (*entry)(void *context, unsigned index);
    void *context;
} workers;

static void *worker_main(void *index)
{
    workers.entry(workers.context, (unsigned)(uintptr_t)index);
    return NULL;
}

static unsigned workers_start(struct platform *platform, unsigned count, void (*entry)(void *, unsigned), void *context)
{
    (void)platform;
    workers.entry = entry;
    workers.context = context;
    workers.count = 0;
    while (workers.count < count && workers.count < WORKERS_MAX) {
        if (pthread_create(&workers.threads[workers.count], NULL, worker_main, (void *)(uintptr_t)workers.count))
            break;
        workers.count++;
    }
    return workers.count;
}

static bool workers_join(struct platform *platform, uint64_t deadline)
{
    (void)platform;
    (void)deadline;
    while (workers.count)
        pthread_join(workers.threads[--workers.count], NULL);
    return true;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static void worker_wait(struct platform *platform, _Atomic uint32_t *word, uint32_t value)
{
    (void)platform;
    if (atomic_load(word) == value)
        nap();
}

static void worker_wake(struct platform *platform, _Atomic uint32_t *word)
{
    (void)platform;
    (void)word;
}

static void platform_wait(struct platform *platform, uint64_t deadline)
{
    (void)deadline;
    if (platform->processors > 1)
        nap();
}

static void platform_wake(struct platform *platform)
{
    (void)platform;
}

static bool cancel_requested(struct platform *platform)
{
    struct lab *lab = (struct lab *)((char *)platform - offsetof(struct lab, platform));

    if (lab->cancel_after != LAB_NEVER && lab->cancel_after-- == 0)
        lab->cancel = true;
    return lab->cancel;
}

static void *allocate_guarded(struct platform *platform, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)platform;
    return memory == MAP_FAILED ? NULL : memory;
}

static void release_guarded(struct platform *platform, void *memory, size_t size)
{
    (void)platform;
    munmap(memory, size);
}

/* Disks die here all the time. */
static void quiet_log(struct platform *platform, enum log_level level, const char *line)
{
    (void)platform;
    (void)level;
    (void)line;
}

void lab_init(struct lab *lab, unsigned processors)
{
    memset(lab, 0, sizeof(*lab));
    lab->ops = *memory_platform()->ops;
    lab->ops.workers_start = workers_start;
    lab->ops.workers_join = workers_join;
    lab->ops.worker_wait = worker_wait;
    lab->ops.worker_wake = worker_wake;
    lab->ops.wait = platform_wait;
    lab->ops.log = quiet_log;
    lab->ops.wake = platform_wake;
    lab->ops.cancel_requested = cancel_requested;
    lab->ops.allocate_guarded = allocate_guarded;
    lab->ops.release_guarded = release_guarded;
    lab->platform.ops = &lab->ops;
    lab->platform.processors = processors;
    lab->cancel_after = LAB_NEVER;
    loop_init(&lab->loop, &lab->platform);
    lab_new_store(lab);
}

static int remove_volume(struct stream_store *store, unsigned volume, struct error *error)
{
    struct memory_volume *memory = &((struct memory_store *)store)->volumes[volume];

    (void)error;
    free(memory->data);
    memset(memory, 0, sizeof(*memory));
    return 0;
}

void lab_new_store(struct lab *lab)
{
    memory_store_free(&lab->store);
    memory_store_init(&lab->store, &lab->loop);
    lab->store.store.remove = remove_volume;
}

void lab_free(struct lab *lab)
{
    assert_int_equal(lab->store.open_streams, 0);
    memory_store_free(&lab->store);
}

/* --- disks --- */

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void keep_write(struct lab_disk *disk, uint64_t offset, uint64_t size)
{
    if (disk->unflushed_count == disk->unflushed_capacity) {
        disk->unflushed_capacity = disk->unflushed_capacity ? 2 * disk->unflushed_capacity : 64;
        disk->unflushed = realloc(disk->unflushed, disk->unflushed_capacity * sizeof(*disk->unflushed));
    }
    struct lab_write *write = &disk->unflushed[disk->unflushed_count++];
    write->offset = offset;
    write->size = size;
    write->data = malloc(size);
    memcpy(write->data, disk->contents + offset, size);
}

/* luck: each block survives or does not. */
static void settle_writes(struct lab_disk *disk, bool luck)
{
    uint64_t block = disk->device.geometry.logical_block;

    for (size_t i = 0; i < disk->unflushed_count; i++) {
        struct lab_write *write = &disk->unflushed[i];
        for (uint64_t at = 0; at < write->size; at += block)
            if (!luck || random_next(&disk->seed) & 1)
                memcpy(disk->durable + write->offset + at, write->data + at, block);
        free(write->data);
    }
    disk->unflushed_count = 0;
}

static bool touches(const struct block_request *request, uint64_t first, uint64_t count)
{
    return count && request->lba < first + count && first < request->lba + request->count;
}

static int carry_out(struct lab_disk *disk, struct block_request *request)
{
    uint64_t block = disk->device.geometry.logical_block;
    uint64_t offset = request->lba * block, size = request->count * block;
    uint8_t *at = disk->contents + offset;

    switch (request->operation) {
    case BLOCK_READ:
        disk->reads++;
        disk->read_bytes += size;
        if (touches(request, disk->bad_read, disk->bad_read_count))
            return -ERROR_MEDIUM;
        memcpy((uint8_t *)request->buffer->data + request->offset, at, size);
        return 0;
    case BLOCK_WRITE:
        if (touches(request, disk->bad_write, disk->bad_write_count))
            return -ERROR_MEDIUM;
        memcpy(at, (uint8_t *)request->buffer->data + request->offset, size);
        if (touches(request, disk->lie_block, 1))
            disk->contents[disk->lie_block * block + 7] ^= 1;
        break;
    case BLOCK_DISCARD: /* a disk may put anything there */
        memset(at, 0xDD, size);
        break;
    case BLOCK_WRITE_ZEROES:
        if (disk->refuse_zeroes)
            return -ERROR_UNSUPPORTED;
        memset(at, 0, size);
        break;
    case BLOCK_FLUSH:
        if (++disk->flushes == disk->bad_flush)
            return -ERROR_IO;
        settle_writes(disk, false);
        return 0;
    }
    keep_write(disk, offset, size);
    return 0;
}

static void note_event(struct lab_disk *disk, const struct block_request *request, bool ended)
{
    if (!disk->keep_events)
        return;
    if (disk->event_count == disk->event_capacity) {
        disk->event_capacity = disk->event_capacity ? 2 * disk->event_capacity : 1024;
        disk->events = realloc(disk->events, disk->event_capacity * sizeof(*disk->events));
    }
    disk->events[disk->event_count++] = (struct lab_event){request->operation, ended, request->lba,
                                                           request->operation == BLOCK_FLUSH ? 0 : request->count};
}

static int disk_submit(struct block_device *device, struct block_request *request)
{
    struct lab_disk *disk = (struct lab_disk *)device;

    if (disk->pending_count == device->geometry.queue_depth)
        return -ERROR_FULL;
    disk->pending[disk->pending_count++] = request;
    note_event(disk, request, false);
    if (disk->pending_count > disk->most_pending)
        disk->most_pending = disk->pending_count;
    return 0;
}

static bool disk_poll(struct block_device *device)
{
    struct lab_disk *disk = (struct lab_disk *)device;
    bool happened = false;

    if (disk->delay && disk->polls++ % (disk->delay + 1))
        return false;
    /* A few at each poll, in any order. */
    for (unsigned i = 0; i < 3 && disk->pending_count; i++) {
        unsigned which = random_next(&disk->seed) % disk->pending_count;
        struct block_request *request = disk->pending[which];
        if (request->operation != BLOCK_READ && disk->changes++ == disk->power_cut) {
            settle_writes(disk, true);
            while (disk->pending_count)
                block_complete(disk->pending[--disk->pending_count], -ERROR_GONE, 0);
            block_device_die(device);
            return true;
        }
        disk->pending[which] = disk->pending[--disk->pending_count];
        int status = carry_out(disk, request);
        note_event(disk, request, true);
        block_complete(request, status, 0);
        happened = true;
    }
    return happened;
}

static void disk_reset(struct block_device *device)
{
    block_device_die(device);
}

static void disk_shutdown(struct block_device *device)
{
    (void)device; /* lab_disk_free() */
}

static const struct block_device_ops disk_ops = {
    .submit = disk_submit, .poll = disk_poll, .reset = disk_reset, .shutdown = disk_shutdown};

struct lab_disk *lab_disk_create(struct lab *lab, const char *name, uint64_t bytes, uint32_t logical_block,
                                 uint8_t fill)
{
    struct lab_disk *disk = calloc(1, sizeof(*disk));

    disk->lab = lab;
    disk->bytes = bytes;
    disk->contents = malloc(bytes);
    disk->durable = malloc(bytes);
    memset(disk->contents, fill, bytes);
    memset(disk->durable, fill, bytes);
    disk->seed = 12345;
    disk->power_cut = disk->lie_block = LAB_NEVER;
    disk->device.ops = &disk_ops;
    disk->device.loop = &lab->loop;
    disk->device.bus = BUS_RAM;
    disk->device.geometry = (struct block_geometry){.logical_block = logical_block,
                                                    .physical_block = logical_block,
                                                    .block_count = bytes / logical_block,
                                                    .max_transfer = 32 * 1024,
                                                    .optimal_transfer = 32 * 1024,
                                                    .queue_depth = 8,
                                                    .buffer_alignment = 512,
                                                    .max_discard = 1024 * 1024,
                                                    .max_write_zeroes = 256 * 1024};
    disk->device.volatile_cache = true;
    snprintf(disk->device.name, sizeof(disk->device.name), "ram:%s", name);
    snprintf(disk->device.model, sizeof(disk->device.model), "LAB DISK");
    snprintf(disk->device.serial, sizeof(disk->device.serial), "%s", name);
    assert_int_equal(block_device_start(&disk->device, NULL), 0);
    return disk;
}

void lab_disk_free(struct lab_disk *disk)
{
    block_device_stop(&disk->device);
    settle_writes(disk, false);
    free(disk->unflushed);
    free(disk->events);
    free(disk->contents);
    free(disk->durable);
    free(disk);
}

struct lab_disk *lab_disk_reborn(struct lab_disk *disk)
{
    struct lab_disk *again =
        lab_disk_create(disk->lab, disk->device.serial, disk->bytes, disk->device.geometry.logical_block, 0);

    memcpy(again->contents, disk->durable, disk->bytes);
    memcpy(again->durable, disk->durable, disk->bytes);
    return again;
}

/* --- the laboratory's file system: its first block says what is in use --- */

static const struct extent used_extents[] = {
    {0, 8192},
    {20480, 4096},
    {196608, 262144 + 4096},
    {1048576 - 4096, 8192},
    {1179648, 65536},
    {2097152, 12288},
    {2097152 + 81920, 4096},
    {2097152 + 81920 + 69632, 4096},
    {3145728, 131072},
    {LAB_FIRST_BYTES - 512, 512},
};
#define ZERO_EXTENT 8u /* in use, but zero: two whole chunks */

struct extent lab_blank[2];

unsigned lab_used_count(void)
{
    return sizeof(used_extents) / sizeof(used_extents[0]);
}

struct extent lab_used(unsigned index)
{
    return used_extents[index];
}

static bool labfs_probe(struct block_device *volume, const uint8_t *head, size_t head_size,
                        struct filesystem_info *info)
{
    (void)volume;
    if (head_size < 512 || memcmp(head, "LABFS", 5))
        return false;
    snprintf(info->type, sizeof(info->type), "labfs");
    snprintf(info->label, sizeof(info->label), "lab");
    return true;
}

static int labfs_read(struct block_device *volume, struct allocation *allocation)
{
    (void)volume;
    for (unsigned i = 0; i < lab_used_count(); i++)
        if (extent_list_add(&allocation->used, used_extents[i].offset, used_extents[i].length))
            return -ERROR_NO_MEMORY;
    for (unsigned i = 0; i < 2; i++)
        if (extent_list_add(&allocation->blank, lab_blank[i].offset, lab_blank[i].length))
            return -ERROR_NO_MEMORY;
    allocation->verdict = ALLOCATION_EXACT;
    message_add(&allocation->messages, MESSAGE_WARNING, MESSAGE_FS_NOT_CLEAN, 0, "labfs", NULL, 0, 0);
    return 0;
}

static const struct filesystem_driver labfs = {.name = "labfs", .probe = labfs_probe, .read_allocation = labfs_read};

/* --- a PC's disk --- */

static void put(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

uint64_t lab_second_offset(const struct lab_disk *disk)
{
    uint64_t block = disk->device.geometry.logical_block;

    return LAB_FIRST_BLOCK * block + LAB_FIRST_BYTES + 3 * block;
}

static void put_entry(uint8_t *entry, uint8_t number, uint64_t first, uint64_t last)
{
    memset(entry, 0x40 + number, 16); /* type */
    memset(entry + 16, number, 16);   /* unique */
    put(entry + 32, first, 8);
    put(entry + 40, last, 8);
}

static void put_header(uint8_t *header, const struct lab_disk *disk, bool backup, const uint8_t *array)
{
    uint64_t block = disk->device.geometry.logical_block, last = disk->bytes / block - 1, blocks = 16384 / block;

    memcpy(header, "EFI PART", 8);
    put(header + 8, 0x10000, 4);
    put(header + 12, 92, 4);
    put(header + 24, backup ? last : 1, 8);
    put(header + 32, backup ? 1 : last, 8);
    put(header + 40, 2 + blocks, 8);
    put(header + 48, last - 1 - blocks, 8);
    memset(header + 56, 0xD1, 16);
    put(header + 72, backup ? last - blocks : 2, 8);
    put(header + 80, 128, 4);
    put(header + 84, 128, 4);
    put(header + 88, crc32_ieee(0, array, 16384), 4);
    put(header + 16, crc32_ieee(0, header, 92), 4);
}

static void put_tables(struct lab_disk *disk)
{
    uint64_t block = disk->device.geometry.logical_block, count = disk->bytes / block;
    uint8_t *array = disk->contents + 2 * block, *mbr = disk->contents;
    uint64_t second = lab_second_offset(disk) / block;

    memset(disk->contents, 0, 2 * block + 16384);
    memcpy(mbr, "BOOT CODE", 9);
    mbr[446 + 4] = 0xEE;
    put(mbr + 446 + 8, 1, 4);
    put(mbr + 446 + 12, count - 1, 4);
    mbr[510] = 0x55;
    mbr[511] = 0xAA;
    put_entry(array, 1, LAB_FIRST_BLOCK, LAB_FIRST_BLOCK + LAB_FIRST_BYTES / block - 1);
    put_entry(array + 128, 2, second, second + LAB_SECOND_BYTES / block - 1);
    memset(disk->contents + disk->bytes - 16384 - block, 0, 16384 + block);
    memcpy(disk->contents + disk->bytes - 16384 - block, array, 16384);
    put_header(disk->contents + block, disk, false, array);
    put_header(disk->contents + disk->bytes - block, disk, true, array);
}

struct lab_disk *lab_pc(struct lab *lab, const char *name, uint64_t bytes, uint32_t logical_block)
{
    struct lab_disk *disk = lab_disk_create(lab, name, bytes, logical_block, 0);
    uint8_t *first = disk->contents + (uint64_t)LAB_FIRST_BLOCK * logical_block;
    uint32_t seed = 99;

    filesystem_register(&labfs);
    put_tables(disk);
    for (size_t i = 0; i + 16 <= LAB_FIRST_BYTES; i += 16)
        memcpy(first + i, LAB_GARBAGE, 16);
    for (unsigned i = 0; i < lab_used_count(); i++)
        for (uint64_t at = 0; at < used_extents[i].length; at++)
            first[used_extents[i].offset + at] = i == ZERO_EXTENT ? 0 : (uint8_t)(random_next(&seed) | 1);
    memcpy(first, "LABFS", 5);
    for (uint64_t at = 0; at < LAB_SECOND_BYTES; at++)
        disk->contents[lab_second_offset(disk) + at] = (uint8_t)random_next(&seed);
    memcpy(disk->contents + lab_second_offset(disk) + LAB_SECOND_BYTES + 300000, "A NOTE", 6);
    memcpy(disk->durable, disk->contents, bytes);
    return disk;
}

static bool block_is_used(uint64_t offset, uint64_t block)
{
    for (unsigned i = 0; i < lab_used_count(); i++)
        if (used_extents[i].offset / block <= offset / block &&
            offset / block <= (used_extents[i].offset + used_extents[i].length - 1) / block)
            return true;
    return false;
}

void lab_assert_restored(const struct lab_disk *original, const struct lab_disk *restored, const uint8_t *contents)
{
    uint64_t block = original->device.geometry.logical_block;
    uint64_t first = LAB_FIRST_BLOCK * block, second = lab_second_offset(original);
    uint64_t after = second + LAB_SECOND_BYTES, tail = original->bytes - 16384 - block;

    for (unsigned i = 0; i < lab_used_count(); i++)
        assert_memory_equal(original->contents + first + used_extents[i].offset,
                            contents + first + used_extents[i].offset, used_extents[i].length);
    for (uint64_t at = first; at < first + LAB_FIRST_BYTES; at += 16)
        if (!memcmp(contents + at, LAB_GARBAGE, 16) && !block_is_used(at - first, block))
            fail_msg("garbage at byte %llu of partition 1", (unsigned long long)(at - first));
    assert_memory_equal(original->contents + second, contents + second, LAB_SECOND_BYTES);
    assert_memory_equal(original->contents + first + LAB_FIRST_BYTES, contents + first + LAB_FIRST_BYTES, 3 * block);
    if (tail > restored->bytes - 16384 - block)
        tail = restored->bytes - 16384 - block;
    assert_memory_equal(original->contents + after, contents + after, tail - after);
    if (original->bytes == restored->bytes) {
        assert_memory_equal(original->contents, contents, first);
        assert_memory_equal(original->contents + tail, contents + tail, original->bytes - tail);
    }
    assert_memory_equal(original->contents, contents, 446); /* boot code */
}

/* --- jobs --- */

int lab_run(struct lab *lab, const struct job_request *request, struct job_result *result)
{
    struct plan *plan = malloc(sizeof(*plan));
    struct job_result *own = malloc(sizeof(*own));
    struct error error;
    int status = job_plan(&lab->loop, request, plan, &error);

    memset(own, 0, sizeof(*own));
    own->error = error;
    if (!status) {
        status = job_run(&lab->loop, plan, NULL, own);
        plan_free(plan);
    }
    own->status = status;
    if (result)
        *result = *own;
    free(own);
    free(plan);
    return status;
}

struct job_request lab_capture_request(struct lab *lab, struct lab_disk *source)
{
    return (struct job_request){.kind = JOB_CAPTURE,
                                .source = {.disk = &source->device},
                                .target = {.store = &lab->store.store},
                                .options = {.level = 1, .chunk_size = LAB_CHUNK, .program = "eidolon test"}};
}

struct job_request lab_restore_request(struct lab *lab, struct lab_disk *target)
{
    return (struct job_request){.kind = JOB_RESTORE,
                                .source = {.store = &lab->store.store, .is_pipe = lab->store.pipe},
                                .target = {.disk = &target->device}};
}

bool lab_has_message(const struct message_list *list, enum message_id id)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].id == id)
            return true;
    return false;
}

int lab_begin_with_image(struct lab *lab, unsigned processors, uint64_t bytes, struct lab_disk **source)
{
    struct job_request request;

    lab_init(lab, processors);
    *source = lab_pc(lab, "PC", bytes, 512);
    request = lab_capture_request(lab, *source);
    return lab_run(lab, &request, NULL);
}
