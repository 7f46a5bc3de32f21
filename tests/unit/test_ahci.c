/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AHCI driver against the controller of tests/support/ahci_model.h: good disks and drives, odd ones, broken ones, liars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/block_conformance.h"
#include "drivers/ahci.h"
#include "tests/support/ahci_model.h"
#include "tests/support/test_platform.h"

#define SECOND NANOSECONDS_PER_SECOND
#define MILLISECOND NANOSECONDS_PER_MILLISECOND
#define REQUESTS 48
#define SPACING (64u * 1024)

struct bench {
    struct test_platform platform;
    struct loop loop;
    struct block_registry registry;
    struct ahci_model model;
    struct ahci_controller *controller;
    struct block_device *device;    /* the first one */
    struct ahci_model_device *disk; /* at port 0 */
    struct error error;
    struct buffer buffer;
    struct block_request requests[REQUESTS];
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    test_platform_init(&bench->platform);
    loop_init(&bench->loop, &bench->platform.platform);
    block_registry_init(&bench->registry);
    ahci_model_init(&bench->model, &bench->platform, &bench->loop);
    bench->disk = &bench->model.ports[0].device;
    assert_int_equal(buffer_allocate(&bench->platform.platform, 4 << 20, &bench->buffer), 0);
    *state = bench;
    return 0;
}

static int attach(struct bench *bench)
{
    ahci_model_start(&bench->model);
    int result =
        ahci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->controller, &bench->error);
    bench->device = bench->registry.first;
    return result;
}

static void detach(struct bench *bench)
{
    ahci_detach(bench->controller);
    bench->controller = NULL;
    assert_null(bench->registry.first);
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    if (bench->controller)
        detach(bench);
    buffer_release(&bench->buffer);
    assert_int_equal(bench->model.function.claims, bench->model.function.releases);
    if (bench->model.violations)
        print_error("the driver broke a rule: %s\n", bench->model.violation);
    assert_int_equal(bench->model.violations, 0);
    ahci_model_end(&bench->model);
    test_platform_end(&bench->platform);
    free(bench);
    return 0;
}

static uint64_t now(struct bench *bench)
{
    return bench->platform.now;
}

static int submit_to(struct bench *bench, struct block_device *device, unsigned index, enum block_operation operation,
                     uint64_t lba, uint64_t count)
{
    struct block_request *request = &bench->requests[index];
    int result;
    memset(request, 0, sizeof(*request));
    request->operation = operation;
    request->lba = lba;
    request->count = count;
    request->context = bench; /* in use */
    if (operation == BLOCK_READ || operation == BLOCK_WRITE) {
        request->buffer = &bench->buffer;
        request->offset = (size_t)index * SPACING;
    }
    while ((result = block_submit(device, request)) == -ERROR_FULL)
        if (!loop_step(&bench->loop))
            loop_delay(&bench->loop, MILLISECOND);
    return result;
}

/* Fills a request and sends it; the loop runs while the device is full. */
static int submit(struct bench *bench, unsigned index, enum block_operation operation, uint64_t lba, uint64_t count)
{
    return submit_to(bench, bench->device, index, operation, lba, count);
}

static bool all_ended(void *context)
{
    struct bench *bench = context;
    for (unsigned i = 0; i < REQUESTS; i++)
        if (bench->requests[i].context && !bench->requests[i].ended)
            return false;
    return true;
}

/* Runs the loop until all has ended; returns how long that took. */
static uint64_t wait_all(struct bench *bench)
{
    uint64_t started = now(bench);
    assert_true(loop_wait(&bench->loop, all_ended, bench, started + 600 * SECOND));
    return now(bench) - started;
}

static int run(struct bench *bench, enum block_operation operation, uint64_t lba, uint64_t count)
{
    int result = submit(bench, 0, operation, lba, count);
    if (result)
        return result;
    wait_all(bench);
    return bench->requests[0].status;
}

static void submit_reads(struct bench *bench, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(submit(bench, i, BLOCK_READ, i * 8, 8), 0);
}

/* The disk's blocks hold their own number; what was read must be that. */
static void number_blocks(struct ahci_model_device *disk)
{
    for (uint64_t lba = 0; lba < disk->blocks; lba++)
        for (uint32_t at = 0; at < disk->block; at += 8)
            *(uint64_t *)(disk->data + lba * disk->block + at) = lba << 16 | at;
}

static void check_read(struct bench *bench, unsigned index)
{
    const struct block_request *request = &bench->requests[index];
    uint32_t block = request->device->geometry.logical_block;
    const uint8_t *data = (const uint8_t *)bench->buffer.data + request->offset;
    assert_int_equal(request->status, 0);
    for (uint64_t at = 0; at < request->count * block; at += 8)
        assert_int_equal(*(const uint64_t *)(data + at), (request->lba + at / block) << 16 | at % block);
}

static void check_reads_but(struct bench *bench, unsigned count, unsigned failed, int status)
{
    for (unsigned i = 0; i < count; i++) {
        if (i == failed)
            assert_int_equal(bench->requests[i].status, status);
        else
            check_read(bench, i);
    }
}

static void conforms(struct bench *bench)
{
    for (unsigned seed = 1; seed < 3; seed++) {
        struct block_conformance_options options = {.destructive = !bench->device->read_only, .seed = seed};
        const char *failed = block_conformance_run(bench->device, &options);
        if (failed)
            fail_msg("%s: %s", bench->device->name, failed);
    }
}

/* ---- identification ---- */

static void identifies(void **state)
{
    struct bench *bench = *state;
    bench->disk->physical_shift = 3;
    assert_int_equal(attach(bench), 0);
    const struct block_device *device = bench->device;
    assert_string_equal(device->name, "sata:MODEL0001");
    assert_string_equal(device->model, "Model disk");
    assert_string_equal(device->serial, "MODEL0001");
    assert_string_equal(device->firmware, "1.0");
    assert_int_equal(device->bus, BUS_SATA);
    assert_int_equal(device->geometry.logical_block, 512);
    assert_int_equal(device->geometry.physical_block, 4096);
    assert_int_equal(device->geometry.block_count, 4096);
    assert_int_equal(device->geometry.queue_depth, 31);
    assert_int_equal(device->geometry.max_transfer, 2 << 20);
    assert_true(device->rotational && device->volatile_cache && !device->read_only && !device->removable);
    assert_null(device->registry_next);
}

static void names_disks_of_one_serial_apart(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 3, MODEL_DISK, "MODEL0001");
    ahci_model_insert(&bench->model, 4, MODEL_DISK, "");
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:MODEL0001");
    assert_string_equal(bench->device->registry_next->name, "sata:MODEL0001/p3");
    assert_string_equal(bench->device->registry_next->registry_next->name, "sata@0000:00:1f.2/p4");
}

static void spins_up_and_chooses_a_mode(void **state)
{
    struct bench *bench = *state;
    bench->disk->standby = 0x37c8;
    bench->disk->no_mode = true;
    assert_int_equal(attach(bench), 0);
    assert_non_null(bench->device);
    assert_int_equal(bench->disk->spin_ups, 1);
    assert_int_equal(bench->disk->modes, 1);
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
}

static void leaves_out_what_it_cannot_drive(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_MULTIPLIER, "");
    ahci_model_insert(&bench->model, 2, MODEL_DISK, "OLD");
    bench->model.ports[2].device.no_dma = true;
    ahci_model_insert(&bench->model, 3, MODEL_DISK, "DAMAGED");
    bench->model.ports[3].device.identify_damaged = true;
    ahci_model_insert(&bench->model, 4, MODEL_DISK, "FOREIGN");
    bench->model.ports[4].device.identify_foreign = true;
    ahci_model_insert(&bench->model, 5, MODEL_DISK, "REFUSES");
    bench->model.ports[5].device.bad_command = ATA_IDENTIFY_DEVICE;
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:MODEL0001");
    assert_null(bench->device->registry_next);
    assert_true(test_platform_logged(&bench->platform, "p1: left out: a port multiplier"));
    assert_true(test_platform_logged(&bench->platform, "p2: left out: it is too old"));
    assert_true(test_platform_logged(&bench->platform, "p3: left out: its identification is damaged"));
    assert_true(test_platform_logged(&bench->platform, "p4: left out: its identification is that of"));
    assert_true(test_platform_logged(&bench->platform, "p5: left out: it does not identify itself"));
}

static void impossible_sizes_are_refused(void **state)
{
    struct bench *bench = *state;
    bench->disk->blocks = 0;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "HUGE");
    bench->model.ports[1].device.blocks = UINT64_MAX;
    ahci_model_insert(&bench->model, 2, MODEL_DISK, "ODD");
    bench->model.ports[2].device.block = 520;
    assert_int_equal(attach(bench), 0);
    assert_null(bench->device);
}

/* Whatever words a device sends: an answer, no crash, and nothing that block.c would refuse. */
static void any_identification_is_survived(void **state)
{
    (void)state;
    uint16_t words[256];
    uint32_t random = 1;
    for (unsigned i = 0; i < 20000; i++) {
        for (unsigned word = 0; word < 256; word++) {
            random = random * 1664525 + 1013904223;
            words[word] = i % 4 == 0 ? (uint16_t)(random >> 16) : (uint16_t)(random >> 16 & random & 0xffff);
        }
        words[0] &= i & 1 ? 0x7fff : 0xbfff;
        words[49] |= 0x0300;
        words[83] = (uint16_t)((words[83] & 0x3fff) | 0x4000);
        struct ata_identity identity;
        const char *reason;
        if (ata_identity_parse(words, (words[0] & 0x8000) != 0, &identity, &reason) || identity.spin_up_needed)
            continue;
        assert_true(identity.packet || (identity.block_count && identity.block_count <= ATA_LBA48_LIMIT));
        assert_true(identity.packet || identity.physical_block >= identity.logical_block);
        assert_true(identity.queue_depth <= 32);
    }
}

/* ---- bring-up ---- */

static void empty_and_dead_ports_cost_their_time_once(void **state)
{
    struct bench *bench = *state;
    uint64_t started = now(bench);
    assert_int_equal(attach(bench), 0);
    assert_non_null(bench->device);
    /* five empty ports */
    assert_in_range((now(bench) - started) / MILLISECOND, 200, 400);
    detach(bench);
    for (unsigned port = 1; port < MODEL_PORTS; port++)
        ahci_model_insert(&bench->model, port, MODEL_DISK, "DEAD");
    for (unsigned port = 1; port < MODEL_PORTS; port++)
        bench->model.ports[port].device.deaf_for_ever = true;
    ahci_model_end(&bench->model);
    started = now(bench);
    assert_int_equal(attach(bench), 0);
    assert_non_null(bench->device);
    assert_null(bench->device->registry_next);
    /* two attempts at IDENTIFY of ten seconds each, side by side */
    assert_in_range((now(bench) - started) / SECOND, 18, 25);
}

static void slow_disks_are_waited_for(void **state)
{
    struct bench *bench = *state;
    bench->model.ports[0].ready_delay = 25 * SECOND;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SHY");
    bench->model.ports[1].link_delay = 300 * MILLISECOND;
    bench->model.ports[1].lost_resets = 0;
    ahci_model_insert(&bench->model, 2, MODEL_DISK, "BUSY");
    bench->model.ports[2].device.stays_busy = true; /* CLO makes it usable */
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:MODEL0001");
    assert_string_equal(bench->device->registry_next->name, "sata:SHY");
    assert_string_equal(bench->device->registry_next->registry_next->name, "sata:BUSY");
}

static void links_are_tried_again(void **state)
{
    struct bench *bench = *state;
    bench->model.ports[0].lost_resets = 2; /* at power-on, and by the controller's reset */
    assert_int_equal(attach(bench), 0);
    assert_non_null(bench->device);
}

static void odd_controllers(void **state)
{
    struct bench *bench = *state;
    bench->model.staggered = bench->model.forgets = bench->model.bios_owned = true;
    bench->model.capabilities2 = AHCI_CAP2_BOH;
    bench->model.bios_delay = 500 * MILLISECOND;
    bench->model.implemented = 0x21;
    ahci_model_insert(&bench->model, 5, MODEL_DISK, "LAST");
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->registry_next->name, "sata:LAST");
    assert_false(bench->model.forgets); /* it was told again */
    assert_true(bench->model.handoff & AHCI_BOHC_OOS && !(bench->model.handoff & AHCI_BOHC_BOS));
    detach(bench);
    assert_false(bench->model.handoff & AHCI_BOHC_OOS);
}

static void broken_controllers(void **state)
{
    struct bench *bench = *state;
    bench->model.stays_in_reset = true;
    assert_int_equal(attach(bench), -ERROR_TIMEOUT);
    assert_int_equal(bench->model.function.dma_stops, 1);
    ahci_model_end(&bench->model);
    bench->model.gone = true;
    assert_int_equal(attach(bench), -ERROR_GONE);
    ahci_model_end(&bench->model);
    bench->model.gone = false;
    bench->model.implemented = 0;
    assert_int_equal(attach(bench), -ERROR_PROTOCOL);
    ahci_model_end(&bench->model);
    bench->model.function.claim_status = -ERROR_BUSY;
    assert_int_equal(attach(bench), -ERROR_BUSY);
}

static void port_that_does_not_stop_receiving(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    bench->model.ports[0].stuck_receiving = true;
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:SECOND");
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
}

static void no_memory(void **state)
{
    struct bench *bench = *state;
    ahci_model_start(&bench->model);
    for (long allocation = 0; allocation < 3; allocation++) {
        bench->platform.fail_after = allocation;
        assert_int_equal(
            ahci_attach(&bench->loop, &bench->model.function.pci, &bench->registry, &bench->controller, &bench->error),
            -ERROR_NO_MEMORY);
    }
    bench->platform.fail_after = -1;
}

/* ---- conformance ---- */

static void conforms_queued(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    conforms(bench);
    assert_int_equal(bench->disk->most_queued, 31);
    assert_int_equal(bench->disk->biggest, 2 << 20);
}

static void conforms_with_blocks_of_4096(void **state)
{
    struct bench *bench = *state;
    bench->disk->block = 4096;
    bench->disk->depth = 8;
    assert_int_equal(attach(bench), 0);
    assert_int_equal(bench->device->geometry.queue_depth, 8);
    assert_int_equal(bench->device->geometry.logical_block, 4096);
    conforms(bench);
}

static void conforms_without_queue(void **state)
{
    struct bench *bench = *state;
    bench->disk->depth = 0;
    assert_int_equal(attach(bench), 0);
    conforms(bench);
    assert_int_equal(bench->disk->most_queued, 0);
}

static void conforms_with_28_bits(void **state)
{
    struct bench *bench = *state;
    bench->disk->lba28 = bench->disk->no_flush = bench->disk->no_trim = bench->disk->no_cache = true;
    bench->disk->depth = 0;
    assert_int_equal(attach(bench), 0);
    conforms(bench);
}

static void conforms_with_few_slots(void **state)
{
    struct bench *bench = *state;
    for (uint32_t slots = 1; slots < 4; slots++) {
        bench->model.capabilities = (bench->model.capabilities & ~0x1f00u) | (slots - 1) << 8;
        assert_int_equal(attach(bench), 0);
        assert_int_equal(bench->device->geometry.queue_depth, slots > 1 ? slots - 1 : 1);
        conforms(bench);
        detach(bench);
        ahci_model_end(&bench->model);
    }
    assert_int_equal(attach(bench), 0);
}

static void conforms_below_4_gib(void **state)
{
    struct bench *bench = *state;
    bench->model.capabilities &= ~AHCI_CAP_S64A;
    bench->model.move_to[0] = 0x10000000;
    assert_int_equal(attach(bench), 0);
    conforms(bench);
    detach(bench);
    ahci_model_end(&bench->model);
    /* Our own memory is beyond its reach: the firmware is the better driver. */
    bench->model.move_to[0] = 0;
    bench->model.mapping_count = 0;
    assert_int_equal(attach(bench), -ERROR_UNSUPPORTED);
}

static void transfers_across_4_gib(void **state)
{
    struct bench *bench = *state;
    bench->model.move_to[0] = 0x10000000;
    bench->model.move_to[1] = 0xfff80000; /* the test's buffer: 4 GiB are in the middle of the transfer */
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    assert_int_equal(run(bench, BLOCK_READ, 0, 4096), 0);
    check_read(bench, 0);
}

static void conforms_as_drive(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "DRIVE");
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:DRIVE");
    assert_int_equal(bench->device->geometry.logical_block, 2048);
    assert_int_equal(bench->device->geometry.block_count, 1024);
    assert_true(bench->device->read_only && bench->device->removable);
    conforms(bench);
    assert_int_equal(run(bench, BLOCK_WRITE, 0, 1), -ERROR_WRITE_PROTECTED);
}

/* ---- queued and not queued ---- */

static void flush_waits_for_the_queue(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(submit(bench, i, BLOCK_WRITE, i * 8, 8), 0);
    assert_int_equal(submit(bench, 8, BLOCK_FLUSH, 0, 0), 0);
    struct block_request another = {.operation = BLOCK_READ, .lba = 0, .count = 1, .buffer = &bench->buffer};
    assert_int_equal(block_submit(bench->device, &another), -ERROR_FULL);
    assert_int_equal(bench->disk->flushes, 0);
    wait_all(bench);
    assert_int_equal(bench->disk->writes, 8);
    assert_int_equal(bench->disk->flushes, 1);
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
}

static void discards(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    assert_int_equal(run(bench, BLOCK_DISCARD, 8, 4000), 0);
    assert_int_equal(*(uint64_t *)(bench->disk->data + 8 * 512), 0);
    assert_int_equal(*(uint64_t *)(bench->disk->data + 4007 * 512), 0);
    assert_int_equal(*(uint64_t *)(bench->disk->data + 7 * 512), 7 << 16);
    assert_int_equal(*(uint64_t *)(bench->disk->data + 4008 * 512), 4008 << 16);
    uint64_t ranges[ATA_TRIM_ENTRIES];
    ata_trim_ranges(ranges, 5, 3 * ATA_TRIM_RANGE_MAX + 1);
    assert_int_equal(ranges[0], 0xffffull << 48 | 5);
    assert_int_equal(ranges[3], 1ull << 48 | (5 + 3 * ATA_TRIM_RANGE_MAX));
    assert_int_equal(ranges[4], 0);
    bench->disk->bad_command = ATA_DATA_SET_MANAGEMENT;
    assert_int_equal(run(bench, BLOCK_DISCARD, 8, 8), -ERROR_UNSUPPORTED);
    bench->disk->bad_command = -1;
}

/* ---- errors ---- */

static void bad_block_in_the_queue(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    bench->disk->bad_lba = 5 * 8 + 3;
    bench->disk->bad_count = 1;
    submit_reads(bench, REQUESTS);
    wait_all(bench);
    check_reads_but(bench, REQUESTS, 5, -ERROR_MEDIUM);
    assert_int_equal(bench->requests[5].raw_status, 0x4041);
    assert_int_equal(bench->disk->logs, 1);
    assert_int_equal(bench->disk->resets, 2); /* power-on and the attach */
}

static void many_bad_blocks_in_the_queue(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    bench->disk->bad_count = 20 * 8;
    submit_reads(bench, REQUESTS);
    wait_all(bench);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(bench->requests[i].status, i < 20 ? -ERROR_MEDIUM : 0);
    assert_int_equal(bench->disk->logs, 20);
}

static void check_bad_blocks_without_log(struct bench *bench)
{
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    bench->disk->bad_lba = 5 * 8 + 3;
    bench->disk->bad_count = 16;
    submit_reads(bench, REQUESTS);
    wait_all(bench);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (i >= 5 && i <= 7)
            assert_int_equal(bench->requests[i].status, -ERROR_MEDIUM);
        else
            check_read(bench, i);
    /* The queue comes back afterwards. */
    bench->disk->bad_count = 0;
    bench->disk->most_queued = 0;
    for (unsigned round = 0; round < 3; round++) {
        submit_reads(bench, REQUESTS);
        wait_all(bench);
    }
    assert_int_equal(bench->disk->most_queued, 31);
}

static void bad_blocks_of_a_disk_without_log(void **state)
{
    struct bench *bench = *state;
    bench->disk->no_log = true;
    check_bad_blocks_without_log(bench);
}

static void bad_blocks_and_a_damaged_log(void **state)
{
    struct bench *bench = *state;
    bench->disk->log_damaged = true;
    check_bad_blocks_without_log(bench);
}

static void bad_blocks_and_a_log_of_something_else(void **state)
{
    struct bench *bench = *state;
    bench->disk->log_not_queued = true;
    check_bad_blocks_without_log(bench);
}

static void log_that_names_another_command(void **state)
{
    struct bench *bench = *state;
    bench->disk->log_of_another = true;
    bench->disk->depth = 8; /* the other one is never in flight */
    assert_int_equal(attach(bench), 0);
    bench->disk->bad_lba = 3;
    bench->disk->bad_count = 1;
    submit_reads(bench, 8);
    wait_all(bench);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bench->requests[i].status, i ? 0 : -ERROR_MEDIUM);
}

static void errors_without_queue(void **state)
{
    struct bench *bench = *state;
    static const struct {
        uint8_t error;
        enum block_operation operation;
        int status;
    } cases[] = {
        {ATA_ERROR_UNCORRECTABLE, BLOCK_READ, -ERROR_MEDIUM},
        {ATA_ERROR_UNCORRECTABLE, BLOCK_WRITE, -ERROR_WRITE_PROTECTED},
        {ATA_ERROR_ID_NOT_FOUND, BLOCK_READ, -ERROR_MEDIUM},
        {ATA_ERROR_ABORT, BLOCK_WRITE, -ERROR_IO},
        {ATA_ERROR_INTERFACE_CRC | ATA_ERROR_ABORT, BLOCK_READ, -ERROR_ABORTED},
    };
    bench->disk->depth = 0;
    assert_int_equal(attach(bench), 0);
    bench->disk->bad_lba = 100;
    bench->disk->bad_count = 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench->disk->bad_error = cases[i].error;
        assert_int_equal(run(bench, cases[i].operation, 96, 8), cases[i].status);
        assert_int_equal(bench->requests[0].raw_status, cases[i].error << 8 | 0x41);
        assert_int_equal(run(bench, cases[i].operation, 0, 8), 0);
    }
}

static void locked_disk(void **state)
{
    struct bench *bench = *state;
    bench->disk->locked = true;
    assert_int_equal(attach(bench), 0);
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), -ERROR_REFUSED);
    assert_true(test_platform_logged(&bench->platform, "locked by a password"));
}

static void success_without_all_the_data(void **state)
{
    struct bench *bench = *state;
    bench->disk->depth = 0;
    assert_int_equal(attach(bench), 0);
    bench->disk->short_transfer = true;
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), -ERROR_IO);
    bench->disk->short_transfer = false;
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
}

static void faults_of_the_interface(void **state)
{
    struct bench *bench = *state;
    static const uint32_t faults[] = {AHCI_IS_IFS, AHCI_IS_HBFS, AHCI_IS_HBDS, AHCI_IS_OFS, AHCI_IS_IFS | AHCI_IS_TFES};
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bench->disk->interface_fault = faults[i];
        submit_reads(bench, REQUESTS);
        wait_all(bench);
        check_reads_but(bench, REQUESTS, REQUESTS, 0);
    }
    bench->disk->depth = 0;
}

/* ---- hangs ---- */

static void hanging_command(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    bench->disk->deaf_lba = 7 * 8;
    submit_reads(bench, REQUESTS);
    uint64_t took = wait_all(bench);
    check_reads_but(bench, REQUESTS, 7, -ERROR_TIMEOUT);
    assert_in_range(took / SECOND, 29, 35);
    assert_int_equal(bench->disk->resets, 3);
    assert_int_equal(bench->model.resets, 1);
}

static void hanging_flush(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    bench->disk->deaf_command = ATA_FLUSH_CACHE_EXT;
    assert_int_equal(run(bench, BLOCK_FLUSH, 0, 0), -ERROR_TIMEOUT);
    bench->disk->deaf_command = -1;
    assert_int_equal(run(bench, BLOCK_FLUSH, 0, 0), 0);
}

/* A controller that keeps CI over a stop must not carry out an old write when it starts again. */
static void hanging_write_is_not_done_later(void **state)
{
    struct bench *bench = *state;
    bench->model.keeps_issue = true;
    bench->disk->depth = 0;
    assert_int_equal(attach(bench), 0);
    bench->disk->deaf_lba = 80;
    assert_int_equal(run(bench, BLOCK_WRITE, 80, 8), -ERROR_TIMEOUT);
    uint64_t writes = bench->disk->writes;
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
    assert_int_equal(bench->disk->writes, writes);
}

static void dead_disk_costs_its_deadline(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    assert_int_equal(attach(bench), 0);
    struct block_device *second = bench->device->registry_next;
    bench->disk->deaf_for_ever = true;
    submit_reads(bench, 20);
    /* the other disk goes on meanwhile */
    for (unsigned i = 20; i < REQUESTS; i++)
        assert_int_equal(submit_to(bench, second, i, BLOCK_READ, 0, 8), 0);
    uint64_t took = wait_all(bench);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (i < 20)
            assert_true(bench->requests[i].status == -ERROR_GONE || bench->requests[i].status == -ERROR_TIMEOUT);
        else
            assert_int_equal(bench->requests[i].status, 0);
    assert_in_range(took / SECOND, 29, 120);
    /* the reset finds that it does not answer any more */
    loop_delay(&bench->loop, 60 * SECOND);
    assert_true(bench->device->dead);
    assert_false(second->dead);
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), -ERROR_GONE);
}

static void engine_that_does_not_stop(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    number_blocks(&bench->model.ports[1].device);
    struct block_device *second = bench->device->registry_next;
    for (unsigned round = 0; round < 2; round++) {
        unsigned resets = bench->model.resets;
        bench->disk->deaf_lba = 8;
        bench->model.ports[0].stuck = round == 0;
        bench->model.ports[0].very_stuck = round == 1;
        submit_reads(bench, 8);
        for (unsigned i = 8; i < REQUESTS; i++)
            assert_int_equal(submit_to(bench, second, i, BLOCK_READ, 0, 8), 0);
        wait_all(bench);
        check_reads_but(bench, REQUESTS, 1, -ERROR_TIMEOUT);
        /* COMRESET is enough for the first, only the controller's reset helps the second. */
        assert_int_equal(bench->model.resets, resets + round);
    }
}

static void controller_that_does_not_stop(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    assert_int_equal(attach(bench), 0);
    struct block_device *second = bench->device->registry_next;
    bench->disk->deaf_lba = 8;
    bench->model.ports[0].very_stuck = bench->model.stays_in_reset = true;
    submit_reads(bench, 8);
    wait_all(bench);
    for (unsigned i = 0; i < 8; i++)
        assert_true(bench->requests[i].status == -ERROR_GONE || (i != 1 && !bench->requests[i].status));
    assert_true(bench->device->dead && second->dead);
    assert_int_equal(bench->model.function.dma_stops, 1);
}

/* ---- unplugging ---- */

static void unplugged(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    bench->disk->frozen = true;
    submit_reads(bench, 31);
    ahci_model_unplug(&bench->model, 0);
    assert_true(wait_all(bench) < 2 * SECOND);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
    assert_true(bench->device->dead);
}

static void unplugged_while_idle(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    ahci_model_unplug(&bench->model, 0);
    loop_delay(&bench->loop, 2 * SECOND);
    assert_true(bench->device->dead);
}

static void link_that_comes_back(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    bench->disk->frozen = true;
    submit_reads(bench, 31);
    ahci_model_unplug(&bench->model, 0);
    loop_delay(&bench->loop, 100 * MILLISECOND);
    ahci_model_plug(&bench->model, 0);
    bench->disk->frozen = false;
    wait_all(bench);
    check_reads_but(bench, 31, 31, 0);
}

static void another_disk_comes_back(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    bench->disk->frozen = true;
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(submit(bench, i, BLOCK_WRITE, i * 8, 8), 0);
    bench->disk->next_serial = "ANOTHER";
    ahci_model_plug(&bench->model, 0);
    bench->disk->frozen = false;
    wait_all(bench);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
    assert_int_equal(bench->disk->writes, 0);
}

static void controller_goes_away(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    bench->disk->frozen = true;
    submit_reads(bench, 31);
    bench->model.gone = true;
    assert_true(wait_all(bench) < SECOND / 10);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
    assert_int_equal(bench->model.function.dma_stops, 1);
}

/* ---- drives ---- */

static void drive_without_medium(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "EMPTY");
    bench->disk->no_medium = true;
    ahci_model_insert(&bench->model, 1, MODEL_DRIVE, "SLOW");
    bench->model.ports[1].device.loading = 20;
    ahci_model_insert(&bench->model, 2, MODEL_DRIVE, "NEVER");
    bench->model.ports[2].device.loading = 100000;
    ahci_model_insert(&bench->model, 3, MODEL_DRIVE, "ALARMED");
    bench->model.ports[3].device.attentions = 100000;
    assert_int_equal(attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:SLOW");
    assert_null(bench->device->registry_next);
    assert_true(test_platform_logged(&bench->platform, "p0: left out: no medium"));
    assert_true(test_platform_logged(&bench->platform, "p2: left out: its medium does not get ready"));
    assert_true(test_platform_logged(&bench->platform, "p3: left out: its medium cannot be read"));
}

static void drive_with_bad_blocks(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "DRIVE");
    assert_int_equal(attach(bench), 0);
    number_blocks(bench->disk);
    bench->disk->bad_lba = 100;
    bench->disk->bad_count = 1;
    assert_int_equal(run(bench, BLOCK_READ, 96, 8), -ERROR_MEDIUM);
    assert_int_equal(bench->requests[0].raw_status, 0x031100);
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
    check_read(bench, 0);
    bench->disk->bad_sense = (struct scsi_sense){5, 0x6f, 3};
    assert_int_equal(run(bench, BLOCK_READ, 96, 8), -ERROR_REFUSED);
    bench->disk->deaf_lba = 0;
    bench->disk->deaf_command = ATA_PACKET;
    assert_int_equal(submit(bench, 0, BLOCK_READ, 0, 8), 0);
    loop_delay(&bench->loop, 29 * SECOND);
    bench->disk->deaf_command = -1;
    wait_all(bench);
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), 0);
    bench->disk->no_medium = true;
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), -ERROR_GONE);
    assert_true(bench->device->dead);
}

static void another_medium_after_a_reset(void **state)
{
    struct bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "DRIVE");
    assert_int_equal(attach(bench), 0);
    bench->disk->deaf = true;
    bench->disk->next_blocks = 512;
    assert_int_equal(run(bench, BLOCK_READ, 0, 8), -ERROR_TIMEOUT);
    loop_delay(&bench->loop, SECOND);
    assert_true(bench->device->dead);
}

/* ---- anything at any time ---- */

static void random_fault(struct bench *bench, uint64_t random)
{
    struct ahci_model_port *port = &bench->model.ports[random % 2];
    struct ahci_model_device *device = &port->device;
    device->log_damaged = random >> 8 & 1;
    device->log_not_queued = random >> 9 & 1;
    switch (random / 2 % 10) {
    case 0:
        device->bad_lba = random >> 16 & 1023;
        device->bad_count = random >> 32 & 15;
        break;
    case 1:
        device->deaf_lba = random >> 16 & 1023;
        break;
    case 2:
        device->deaf = true;
        break;
    case 3:
        device->interface_fault = AHCI_IS_IFS;
        break;
    case 4:
        port->stuck = true;
        break;
    case 5:
        port->very_stuck = true;
        break;
    case 6:
        ahci_model_unplug(&bench->model, (unsigned)(random % 2));
        ahci_model_plug(&bench->model, (unsigned)(random % 2));
        break;
    case 7:
        device->deaf_command = random & 2048 ? (int)ATA_READ_LOG_EXT : -1;
        break;
    case 8:
        device->bad_command = random & 2048 ? (int)ATA_READ_LOG_EXT : -1;
        break;
    default:
        break;
    }
}

static void faults_at_any_time(void **state)
{
    struct bench *bench = *state;
    static const enum block_operation operations[] = {BLOCK_READ, BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD};
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    unsigned good = 0, dead = 0;
    for (unsigned round = 0; round < 30; round++) {
        bench->model.ports[0].device.kind = bench->model.ports[1].device.kind = MODEL_DISK;
        bench->model.ports[1].device.depth = round & 1 ? 0 : 32;
        bench->model.ports[0].device.no_log = round & 2;
        bench->model.ports[0].device.bad_command = bench->model.ports[0].device.deaf_command = -1;
        bench->model.ports[1].device.bad_command = bench->model.ports[1].device.deaf_command = -1;
        assert_int_equal(attach(bench), 0);
        memset(bench->requests, 0, sizeof(bench->requests));
        for (unsigned i = 0; i < 10 * REQUESTS; i++) {
            uint64_t random = ahci_model_random(&bench->model);
            struct block_device *device = random & 1 ? bench->device : bench->device->registry_next;
            unsigned index = i % REQUESTS;
            if (bench->requests[index].context)
                assert_true(loop_wait_flag(&bench->loop, &bench->requests[index].ended, now(bench) + 600 * SECOND));
            good += bench->requests[index].context && !bench->requests[index].status;
            memset(&bench->requests[index], 0, sizeof(bench->requests[index]));
            enum block_operation operation = operations[(random >> 8) % 5];
            if (submit_to(bench, device, index, operation, random >> 16 & 1023, operation == BLOCK_FLUSH ? 0 : 8))
                bench->requests[index].context = NULL;
            if ((random >> 40) % 12 == 0)
                random_fault(bench, random >> 20);
        }
        wait_all(bench);
        dead += bench->device->dead + bench->device->registry_next->dead;
        detach(bench);
        ahci_model_end(&bench->model);
    }
    assert_false(test_platform_logged(&bench->platform, "twice"));
    assert_true(good > 30 * 5 * REQUESTS && dead < 30);
    assert_int_equal(attach(bench), 0);
}

/* ---- detach ---- */

static void detach_flushes(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    assert_int_equal(run(bench, BLOCK_WRITE, 0, 8), 0);
    assert_int_equal(bench->disk->flushes, 0);
    detach(bench);
    assert_int_equal(bench->disk->flushes, 1);
}

static void detach_of_hanging_disk_ends(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(attach(bench), 0);
    assert_int_equal(run(bench, BLOCK_WRITE, 0, 8), 0);
    bench->disk->deaf_for_ever = bench->model.ports[0].very_stuck = true;
    uint64_t started = now(bench);
    detach(bench);
    assert_in_range((now(bench) - started) / SECOND, 50, 130);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identifies),
        TEST(names_disks_of_one_serial_apart),
        TEST(spins_up_and_chooses_a_mode),
        TEST(leaves_out_what_it_cannot_drive),
        TEST(impossible_sizes_are_refused),
        TEST(any_identification_is_survived),
        TEST(empty_and_dead_ports_cost_their_time_once),
        TEST(slow_disks_are_waited_for),
        TEST(links_are_tried_again),
        TEST(odd_controllers),
        TEST(broken_controllers),
        TEST(port_that_does_not_stop_receiving),
        TEST(no_memory),
        TEST(conforms_queued),
        TEST(conforms_with_blocks_of_4096),
        TEST(conforms_without_queue),
        TEST(conforms_with_28_bits),
        TEST(conforms_with_few_slots),
        TEST(conforms_below_4_gib),
        TEST(transfers_across_4_gib),
        TEST(conforms_as_drive),
        TEST(flush_waits_for_the_queue),
        TEST(discards),
        TEST(bad_block_in_the_queue),
        TEST(many_bad_blocks_in_the_queue),
        TEST(bad_blocks_of_a_disk_without_log),
        TEST(bad_blocks_and_a_damaged_log),
        TEST(bad_blocks_and_a_log_of_something_else),
        TEST(log_that_names_another_command),
        TEST(errors_without_queue),
        TEST(locked_disk),
        TEST(success_without_all_the_data),
        TEST(faults_of_the_interface),
        TEST(hanging_command),
        TEST(hanging_flush),
        TEST(hanging_write_is_not_done_later),
        TEST(dead_disk_costs_its_deadline),
        TEST(engine_that_does_not_stop),
        TEST(controller_that_does_not_stop),
        TEST(unplugged),
        TEST(unplugged_while_idle),
        TEST(link_that_comes_back),
        TEST(another_disk_comes_back),
        TEST(controller_goes_away),
        TEST(drive_without_medium),
        TEST(drive_with_bad_blocks),
        TEST(another_medium_after_a_reset),
        TEST(faults_at_any_time),
        TEST(detach_flushes),
        TEST(detach_of_hanging_disk_ends),
    };
    return cmocka_run_group_tests_name("ahci", tests, NULL, NULL);
}
