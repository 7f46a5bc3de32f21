/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a logical unit is: INQUIRY, spin-up, capacity, write protection, what it can do with blocks that are not needed.
 *
 * Devices are asked no more than what they must answer to any host, unless they are of a kind that is known to stand it: old bridges
 * hang on vital product data, and a question that is not understood must not cost more than its answer is worth. Only INQUIRY,
 * TEST UNIT READY and READ CAPACITY (10) have to succeed.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/quirks.h"
#include "drivers/usb/scsi_internal.h"

/* Policy */
#define ASK_TIMEOUT (10 * NANOSECONDS_PER_SECOND)
#define SPIN_UP_TIMEOUT (30 * NANOSECONDS_PER_SECOND)
#define NOT_READY_TIMEOUT (5 * NANOSECONDS_PER_SECOND) /* of units that are not ready and do not say why */
#define READY_PAUSE (200 * NANOSECONDS_PER_MILLISECOND)
#define ASK_ATTEMPTS 6
#define MODE_SIZE 192u /* what other systems ask for: some devices know no other length */
#define MAX_DISCARD (1ull << 30)
#define MAX_WRITE_ZEROES (32ull << 20)
#define MAX_BLOCKS 0xffffu /* READ (10) */

static uint8_t *answer_of(struct scsi_disk *disk)
{
    return disk->scratch.data;
}

/* --- own commands --- */

static int ask_once(struct scsi_disk *disk, const uint8_t *cdb, unsigned cdb_length, enum scsi_direction direction,
                    size_t length, uint64_t timeout)
{
    struct scsi_command *command = &disk->own;
    struct scsi_condition condition;

    memset(command, 0, sizeof(*command));
    command->lun = disk->lun;
    memcpy(command->cdb, cdb, cdb_length);
    command->cdb_length = (uint8_t)cdb_length;
    command->direction = direction;
    command->buffer = length ? &disk->scratch : NULL;
    command->length = length;
    disk->raw_status = 0;
    int status = scsi_run(disk->transport, command, timeout);
    if (status) {
        scsi_note_reset(disk);
        return status;
    }
    scsi_heed(disk, command, &condition);
    return -(int)scsi_error(command, &disk->raw_status);
}

/* Is the command worth sending again, after the pause? */
static bool passing(int status, uint64_t *pause)
{
    *pause = 0;
    if (status == -ERROR_ABORTED)
        return true; /* unit attention, or a recovery for another command */
    *pause = 100 * NANOSECONDS_PER_MILLISECOND;
    return status == -ERROR_IO;
}

int scsi_ask(struct scsi_disk *disk, const uint8_t *cdb, unsigned cdb_length, enum scsi_direction direction,
             size_t length, uint64_t timeout)
{
    int status = 0;
    uint64_t pause;

    for (unsigned attempt = 0; attempt < ASK_ATTEMPTS; attempt++) {
        status = ask_once(disk, cdb, cdb_length, direction, length, timeout ? timeout : ASK_TIMEOUT);
        bool busy = status == -ERROR_BUSY && disk->raw_status < 0x10000; /* BUSY, and not NOT READY */
        if (!passing(status, &pause) && !busy)
            break;
        if (attempt >= 2 && status == -ERROR_IO)
            break;
        if (pause)
            loop_delay(disk->transport->loop, pause);
    }
    return status;
}

/* One that reads: at least `least` of `length` bytes must come; the rest is zeroed. */
static int ask_data(struct scsi_disk *disk, const uint8_t *cdb, unsigned cdb_length, size_t length, size_t least)
{
    memset(disk->scratch.data, 0, length);
    int status = scsi_ask(disk, cdb, cdb_length, SCSI_DATA_IN, length, 0);
    if (status)
        return status;
    size_t moved = disk->own.moved < length ? disk->own.moved : length;
    memset(answer_of(disk) + moved, 0, length - moved);
    return moved < least ? -ERROR_PROTOCOL : 0;
}

/* --- INQUIRY, SPC-4, 6.6 --- */

struct inquiry {
    uint8_t version;
    bool protection;
};

static int ask_inquiry(struct scsi_disk *disk, struct inquiry *inquiry, struct error *error)
{
    static const uint8_t cdb[6] = {SCSI_INQUIRY, 0, 0, 0, SCSI_INQUIRY_SIZE};
    struct block_device *device = &disk->device;
    char vendor[12], product[20];

    int status = ask_data(disk, cdb, sizeof(cdb), SCSI_INQUIRY_SIZE, 5);
    if (status)
        return error_set(error, (enum error_code) - status, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "INQUIRY failed");
    const uint8_t *data = answer_of(disk);
    unsigned qualifier = data[0] >> 5, type = data[0] & 0x1fu;
    if (qualifier || (type != SCSI_TYPE_DISK && type != SCSI_TYPE_REDUCED_DISK))
        return -ERROR_UNSUPPORTED;
    device->removable = data[1] & 0x80u;
    inquiry->version = data[2];
    inquiry->protection = inquiry->version >= SCSI_VERSION_SPC_3 && data[5] & 1u;
    block_text(vendor, sizeof(vendor), data + 8, 8, false);
    block_text(product, sizeof(product), data + 16, 16, false);
    block_text(device->firmware, sizeof(device->firmware), data + 32, 4, false);
    snprintf(device->model, sizeof(device->model), "%s%s%s", vendor, *vendor && *product ? " " : "", product);
    if (!device->model[0])
        snprintf(device->model, sizeof(device->model), "usb disk"); /* as the firmware's disks are called */
    return 0;
}

/* --- getting ready --- */

int scsi_ask_ready(struct scsi_disk *disk)
{
    static const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
    int status = ask_once(disk, cdb, sizeof(cdb), SCSI_NO_DATA, 0, ASK_TIMEOUT);

    if (status == -ERROR_ABORTED &&
        disk->raw_status >> 8 == ((uint32_t)SCSI_UNIT_ATTENTION << 8 | SCSI_ASC_MEDIUM_CHANGED))
        return -ERROR_GONE;
    return status;
}

static int ask_start(struct scsi_disk *disk)
{
    static const uint8_t cdb[6] = {SCSI_START_STOP_UNIT, 0, 0, 0, SCSI_START};

    return scsi_ask(disk, cdb, sizeof(cdb), SCSI_NO_DATA, 0, SPIN_UP_TIMEOUT);
}

/* Until it is ready: 0. Gets what stands in its way out of it. */
static int wait_ready(struct scsi_disk *disk, struct error *error)
{
    struct loop *loop = disk->transport->loop;
    uint64_t begun = platform_now(loop->platform);
    unsigned failures = 0;
    bool started = false;

    for (;;) {
        static const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
        int status = ask_once(disk, cdb, sizeof(cdb), SCSI_NO_DATA, 0, ASK_TIMEOUT);
        uint8_t key = (uint8_t)(disk->raw_status >> 16), code = (uint8_t)(disk->raw_status >> 8);
        uint8_t qualifier = (uint8_t)disk->raw_status;
        uint64_t passed = platform_now(loop->platform) - begun;

        if (!status || status == -ERROR_UNSUPPORTED)
            return 0; /* or it does not know the command: then it is ready */
        if (key == SCSI_NOT_READY && code == SCSI_ASC_NO_MEDIUM)
            return -ERROR_NOT_FOUND;
        if (disk->transport->dead || (!key && status == -ERROR_GONE))
            return error_set(error, ERROR_GONE, OPERATION_SPIN_UP, disk->device.name, ERROR_NO_BLOCK, NULL);
        if (key == SCSI_NOT_READY && code == SCSI_ASC_NOT_READY && qualifier == SCSI_ASCQ_START_NEEDED && !started) {
            platform_log(loop->platform, LOG_INFO, "%s: spins up", disk->device.name);
            started = true;
            ask_start(disk);
            continue;
        }
        bool says_why = key == SCSI_NOT_READY && code == SCSI_ASC_NOT_READY && qualifier;
        if (passed > (says_why ? SPIN_UP_TIMEOUT : NOT_READY_TIMEOUT) ||
            (key != SCSI_NOT_READY && status != -ERROR_BUSY && ++failures > ASK_ATTEMPTS)) {
            if (key == SCSI_NOT_READY && disk->device.removable)
                return -ERROR_NOT_FOUND; /* a drive without a medium that cannot say so */
            error_set(error, key == SCSI_NOT_READY ? ERROR_TIMEOUT : (enum error_code) - status, OPERATION_SPIN_UP,
                      disk->device.name, ERROR_NO_BLOCK, "it does not get ready");
            if (error)
                error->raw_status = disk->raw_status;
            return key == SCSI_NOT_READY ? -ERROR_TIMEOUT : status;
        }
        if (key != SCSI_UNIT_ATTENTION)
            loop_delay(loop, READY_PAUSE);
    }
}

/* --- capacity, SBC-3, 5.15 and 5.16 --- */

struct capacity {
    uint64_t last;
    uint32_t block, physical;
    bool unmap; /* LBPME */
};

static int ask_capacity_10(struct scsi_disk *disk, struct capacity *capacity)
{
    static const uint8_t cdb[10] = {SCSI_READ_CAPACITY_10};
    int status = ask_data(disk, cdb, sizeof(cdb), SCSI_CAPACITY_10_SIZE, SCSI_CAPACITY_10_SIZE);

    if (status)
        return status;
    capacity->last = scsi_big32(answer_of(disk));
    capacity->block = capacity->physical = scsi_big32(answer_of(disk) + 4);
    return 0;
}

static int ask_capacity_16(struct scsi_disk *disk, struct capacity *capacity)
{
    static const uint8_t cdb[16] = {SCSI_SERVICE_ACTION_IN_16, SCSI_READ_CAPACITY_16, [13] = SCSI_CAPACITY_16_SIZE};
    int status = ask_data(disk, cdb, sizeof(cdb), SCSI_CAPACITY_16_SIZE, 12);

    if (status)
        return status;
    const uint8_t *data = answer_of(disk);
    unsigned exponent = data[13] & 0xfu;
    capacity->last = scsi_big64(data);
    capacity->block = capacity->physical = scsi_big32(data + 8);
    /* A physical block of more than 64 KiB is nothing that disks have: then nothing is known of it. */
    if (capacity->block && capacity->block <= 65536u >> exponent)
        capacity->physical = capacity->block << exponent;
    capacity->unmap = data[14] & SCSI_CAPACITY_UNMAP;
    return 0;
}

static int check_capacity(struct scsi_disk *disk, struct capacity *capacity, struct error *error)
{
    const char *name = disk->device.name;
    uint32_t block = capacity->block ? capacity->block : 512;

    if (!capacity->block)
        capacity->block = capacity->physical = block;
    if (block < 512 || block > 65536 || block & (block - 1))
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "blocks of %u bytes",
                         block);
    if (disk->transport->quirks & USB_QUIRK_CAPACITY_PLUS_ONE && capacity->last)
        capacity->last--;
    if (capacity->last >= UINT64_MAX / block)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "its size cannot be true");
    return 0;
}

static int find_capacity(struct scsi_disk *disk, const struct inquiry *inquiry, struct error *error)
{
    const struct scsi_transport *transport = disk->transport;
    struct block_geometry *geometry = &disk->device.geometry;
    struct capacity capacity = {0}, more = {0};

    int status = ask_capacity_10(disk, &capacity);
    if (status == -ERROR_GONE && !transport->dead)
        return -ERROR_NOT_FOUND; /* taken out meanwhile */
    bool needed = status || capacity.last == UINT32_MAX;
    bool wanted = inquiry->protection || (inquiry->version >= SCSI_VERSION_SPC_3 && !transport->cautious);
    bool allowed = !(transport->quirks & USB_QUIRK_NO_READ_CAPACITY_16);
    if ((needed || (wanted && allowed)) && status != -ERROR_GONE) {
        int second = ask_capacity_16(disk, &more);
        /* The answer to the older question stands unless the newer one is better and does not contradict it. */
        if (!second && (needed || (more.last == capacity.last && more.block == capacity.block)))
            capacity = more;
        status = needed ? second : status;
    }
    if (status)
        return error_set(error, (enum error_code) - status, OPERATION_IDENTIFY, disk->device.name, ERROR_NO_BLOCK,
                         "its capacity cannot be read");
    status = check_capacity(disk, &capacity, error);
    if (status)
        return status;
    geometry->logical_block = capacity.block;
    geometry->physical_block = capacity.physical;
    geometry->block_count = capacity.last + 1;
    disk->long_commands = capacity.last > UINT32_MAX;
    disk->discard = capacity.unmap ? SCSI_DISCARD_UNMAP : SCSI_NO_DISCARD;
    return 0;
}

/* --- write protection and cache, SPC-4, 6.13 and 6.14 --- */

/* Walks the mode pages behind the header (and block descriptors) for the caching page. */
static void read_mode_pages(struct scsi_disk *disk, size_t at, size_t end)
{
    const uint8_t *data = answer_of(disk);

    while (at + 3 <= end) {
        unsigned page = data[at] & 0x3fu;
        bool subpage = data[at] & 0x40u;
        if (page == SCSI_MODE_CACHING && !subpage) {
            disk->cache_enabled = data[at + 2] & SCSI_CACHING_WRITE;
            disk->device.volatile_cache = disk->cache_enabled;
            return;
        }
        at += subpage ? (at + 4 <= end ? 4u + scsi_big16(data + at + 2) : end) : 2u + data[at + 1];
    }
}

static void ask_mode(struct scsi_disk *disk)
{
    static const uint8_t mode_6[6] = {SCSI_MODE_SENSE_6, 0, SCSI_MODE_ALL_PAGES, 0, MODE_SIZE};
    static const uint8_t mode_10[10] = {SCSI_MODE_SENSE_10, 0, SCSI_MODE_ALL_PAGES, [8] = MODE_SIZE};
    const uint8_t *data = answer_of(disk);
    size_t header = 4, descriptors, size;

    /* Not asked or not answered: a cache is assumed. */
    disk->device.volatile_cache = true;
    if (disk->transport->quirks & USB_QUIRK_NO_MODE_SENSE)
        return;
    int status = ask_data(disk, mode_6, sizeof(mode_6), MODE_SIZE, 4);
    if (status == -ERROR_UNSUPPORTED) {
        header = 8;
        status = ask_data(disk, mode_10, sizeof(mode_10), MODE_SIZE, 8);
    }
    if (status)
        return;
    if (header == 4) {
        disk->device.read_only = data[2] & SCSI_MODE_PROTECTED;
        descriptors = data[3];
        size = 1u + data[0];
    } else {
        disk->device.read_only = data[3] & SCSI_MODE_PROTECTED;
        descriptors = scsi_big16(data + 6);
        size = 2u + scsi_big16(data);
    }
    size = size < disk->own.moved ? size : disk->own.moved;
    read_mode_pages(disk, header + descriptors, size < MODE_SIZE ? size : MODE_SIZE);
}

/* --- vital product data, SPC-4, 7.8; SBC-3, 6.6 --- */

static int ask_page(struct scsi_disk *disk, uint8_t page, uint8_t length, size_t least)
{
    const uint8_t cdb[6] = {SCSI_INQUIRY, 1, page, 0, length};
    int status = ask_data(disk, cdb, sizeof(cdb), length, least);

    return !status && answer_of(disk)[1] != page ? -ERROR_PROTOCOL : status;
}

struct pages {
    bool serial, limits, characteristics, provisioning;
};

static bool find_pages(struct scsi_disk *disk, struct pages *pages)
{
    if (ask_page(disk, SCSI_PAGE_LIST, 255, 5))
        return false;
    const uint8_t *data = answer_of(disk);
    size_t count = data[3] < 251 ? data[3] : 251;
    for (size_t i = 0; i < count; i++) {
        pages->serial |= data[4 + i] == SCSI_PAGE_SERIAL;
        pages->limits |= data[4 + i] == SCSI_PAGE_LIMITS;
        pages->characteristics |= data[4 + i] == SCSI_PAGE_CHARACTERISTICS;
        pages->provisioning |= data[4 + i] == SCSI_PAGE_PROVISIONING;
    }
    return true;
}

struct limits {
    uint32_t max_transfer, max_unmap, unmap_ranges, granularity; /* blocks */
    uint64_t max_write_same;
    bool unmap, write_same; /* page b2 */
    bool provisioning;
};

static void read_limits(const uint8_t *data, struct limits *limits)
{
    limits->max_transfer = scsi_big32(data + 8);
    limits->max_unmap = scsi_big32(data + 20);
    limits->unmap_ranges = scsi_big32(data + 24);
    limits->granularity = scsi_big32(data + 28);
    limits->max_write_same = scsi_big64(data + 36);
}

/* The smallest of what is wished, a limit in blocks (0: none), and whole granules. */
static uint64_t limit_bytes(uint64_t wish, uint64_t blocks, uint32_t granularity, uint32_t block)
{
    uint64_t most = wish / block;

    if (blocks && blocks < most)
        most = blocks;
    if (granularity && granularity <= most)
        most -= most % granularity;
    return most * block;
}

static void choose_discard(struct scsi_disk *disk, const struct limits *limits)
{
    struct block_geometry *geometry = &disk->device.geometry;
    uint32_t block = geometry->logical_block;
    bool offered = disk->discard != SCSI_NO_DISCARD;
    uint32_t quirks = disk->transport->quirks;

    disk->discard = SCSI_NO_DISCARD;
    /* Page b2 says how; the standards before it knew UNMAP alone, with its limits. */
    bool unmap = limits->provisioning ? limits->unmap : offered;
    if (offered && unmap && limits->max_unmap && limits->unmap_ranges && !(quirks & USB_QUIRK_NO_UNMAP)) {
        disk->discard = SCSI_DISCARD_UNMAP;
        geometry->max_discard = limit_bytes(MAX_DISCARD, limits->max_unmap, limits->granularity, block);
    } else if (offered && limits->write_same && !(quirks & (USB_QUIRK_NO_WRITE_SAME | USB_QUIRK_NO_UNMAP))) {
        disk->discard = SCSI_DISCARD_WRITE_SAME;
        geometry->max_discard = limit_bytes(MAX_DISCARD, limits->max_write_same, limits->granularity, block);
    }
    /* WRITE SAME (16) is there when a limit for it is told, or it may unmap. */
    if ((limits->max_write_same || limits->write_same) && !(quirks & USB_QUIRK_NO_WRITE_SAME))
        geometry->max_write_zeroes = limit_bytes(MAX_WRITE_ZEROES, limits->max_write_same, 0, block);
}

static void ask_pages(struct scsi_disk *disk, const struct inquiry *inquiry)
{
    struct block_device *device = &disk->device;
    struct pages pages = {0};
    struct limits limits = {0};

    if (disk->transport->cautious || disk->transport->quirks & USB_QUIRK_NO_VPD ||
        inquiry->version < SCSI_VERSION_SPC_3 || !find_pages(disk, &pages)) {
        disk->discard = SCSI_NO_DISCARD;
        return;
    }
    if (pages.serial && !ask_page(disk, SCSI_PAGE_SERIAL, 64, 5)) {
        size_t size = answer_of(disk)[3] < 60 ? answer_of(disk)[3] : 60;
        block_text(device->serial, sizeof(device->serial), answer_of(disk) + 4, size, false);
    }
    if (pages.limits && !ask_page(disk, SCSI_PAGE_LIMITS, 64, 12))
        read_limits(answer_of(disk), &limits);
    if (pages.characteristics && !ask_page(disk, SCSI_PAGE_CHARACTERISTICS, 64, 6))
        device->rotational = scsi_big16(answer_of(disk) + 4) > 1; /* 1: not rotating; 0: not said */
    if (pages.provisioning && !ask_page(disk, SCSI_PAGE_PROVISIONING, 8, 6)) {
        limits.provisioning = true;
        limits.unmap = answer_of(disk)[5] & SCSI_PROVISIONING_UNMAP;
        limits.write_same = answer_of(disk)[5] & SCSI_PROVISIONING_WRITE_SAME_16;
    }
    choose_discard(disk, &limits);
    uint64_t most = (uint64_t)limits.max_transfer * device->geometry.logical_block;
    if (most >= 4096 && most < device->geometry.max_transfer)
        device->geometry.max_transfer = (uint32_t)most;
}

/* --- all of it --- */

static void set_transfer(struct scsi_disk *disk)
{
    struct block_geometry *geometry = &disk->device.geometry;
    uint64_t most = (uint64_t)MAX_BLOCKS * geometry->logical_block;

    geometry->max_transfer = disk->transport->max_transfer < most ? disk->transport->max_transfer : (uint32_t)most;
    geometry->buffer_alignment = 2; /* the host takes any; core/block.h asks for this at least */
}

int scsi_probe(struct scsi_disk *disk, struct error *error)
{
    struct inquiry inquiry = {0};

    int status = ask_inquiry(disk, &inquiry, error);
    if (!status)
        status = wait_ready(disk, error);
    if (!status)
        status = find_capacity(disk, &inquiry, error);
    if (status)
        return status;
    set_transfer(disk);
    ask_mode(disk);
    ask_pages(disk, &inquiry);
    disk->synchronize = !(disk->transport->quirks & USB_QUIRK_NO_SYNCHRONIZE_CACHE);
    disk->synchronize_long = false;
    disk->lost = false; /* nothing of ours was written yet */
    return disk->transport->dead
               ? error_set(error, ERROR_GONE, OPERATION_IDENTIFY, disk->device.name, ERROR_NO_BLOCK, NULL)
               : 0;
}
