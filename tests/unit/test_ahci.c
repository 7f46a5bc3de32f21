/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AHCI driver against the controller of tests/support/ahci_model.h: who is there, and what works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/ahci_bench.h"

#define REQUESTS AHCI_BENCH_REQUESTS
#define TEST(name) cmocka_unit_test_setup_teardown(name, ahci_bench_setup, ahci_bench_teardown)

/* ---- identification ---- */

static void identifies(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->physical_shift = 3;
    assert_int_equal(ahci_bench_attach(bench), 0);
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
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 3, MODEL_DISK, "MODEL0001");
    ahci_model_insert(&bench->model, 4, MODEL_DISK, "");
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:MODEL0001");
    assert_string_equal(bench->device->registry_next->name, "sata:MODEL0001/p3");
    assert_string_equal(bench->device->registry_next->registry_next->name, "sata@0000:00:1f.2/p4");
}

/* "sata:AB#1" would be partition 1 of "sata:AB", and a blank ends a word of a command. */
static void names_can_be_typed(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 3, MODEL_DISK, "AB #1");
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->registry_next->name, "sata:AB__1");
    assert_string_equal(bench->device->registry_next->serial, "AB #1");
}

static void spins_up_and_chooses_a_mode(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->standby = 0x37c8;
    bench->disk->no_mode = true;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_non_null(bench->device);
    assert_int_equal(bench->disk->spin_ups, 1);
    assert_int_equal(bench->disk->modes, 1);
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
}

static void leaves_out_what_it_cannot_drive(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_MULTIPLIER, "");
    ahci_model_insert(&bench->model, 2, MODEL_DISK, "OLD");
    bench->model.ports[2].device.no_dma = true;
    ahci_model_insert(&bench->model, 3, MODEL_DISK, "DAMAGED");
    bench->model.ports[3].device.identify_damaged = true;
    ahci_model_insert(&bench->model, 4, MODEL_DISK, "FOREIGN");
    bench->model.ports[4].device.identify_foreign = true;
    ahci_model_insert(&bench->model, 5, MODEL_DISK, "REFUSES");
    bench->model.ports[5].device.bad_command = ATA_IDENTIFY_DEVICE;
    assert_int_equal(ahci_bench_attach(bench), 0);
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
    struct ahci_bench *bench = *state;
    bench->disk->blocks = 0;
    ahci_model_insert(&bench->model, 3, MODEL_DISK, "OVERFLOWS");
    bench->model.ports[3].device.blocks = 1ull << 48;
    bench->model.ports[3].device.block = 65536;
    ahci_model_insert(&bench->model, 4, MODEL_DISK, "GOOD");
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "HUGE");
    bench->model.ports[1].device.blocks = UINT64_MAX;
    ahci_model_insert(&bench->model, 2, MODEL_DISK, "ODD");
    bench->model.ports[2].device.block = 520;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:GOOD");
    assert_null(bench->device->registry_next);
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
    struct ahci_bench *bench = *state;
    uint64_t started = ahci_bench_now(bench);
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_non_null(bench->device);
    /* five empty ports */
    assert_in_range((ahci_bench_now(bench) - started) / MILLISECOND, 200, 400);
    ahci_bench_detach(bench);
    for (unsigned port = 1; port < MODEL_PORTS; port++)
        ahci_model_insert(&bench->model, port, MODEL_DISK, "DEAD");
    for (unsigned port = 1; port < MODEL_PORTS; port++)
        bench->model.ports[port].device.deaf_for_ever = true;
    ahci_model_end(&bench->model);
    started = ahci_bench_now(bench);
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_non_null(bench->device);
    assert_null(bench->device->registry_next);
    /* two attempts at IDENTIFY of ten seconds each, side by side */
    assert_in_range((ahci_bench_now(bench) - started) / SECOND, 18, 25);
}

static void slow_disks_are_waited_for(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.ports[0].ready_delay = 25 * SECOND;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SHY");
    bench->model.ports[1].link_delay = 300 * MILLISECOND;
    bench->model.ports[1].lost_resets = 0;
    ahci_model_insert(&bench->model, 2, MODEL_DISK, "BUSY");
    bench->model.ports[2].device.stays_busy = true; /* CLO makes it usable */
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:MODEL0001");
    assert_string_equal(bench->device->registry_next->name, "sata:SHY");
    assert_string_equal(bench->device->registry_next->registry_next->name, "sata:BUSY");
}

static void links_are_tried_again(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.ports[0].lost_resets = 2; /* at power-on, and by the controller's reset */
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_non_null(bench->device);
}

static void odd_controllers(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.staggered = bench->model.forgets = bench->model.bios_owned = true;
    bench->model.capabilities2 = AHCI_CAP2_BOH;
    bench->model.bios_delay = 500 * MILLISECOND;
    bench->model.implemented = 0x21;
    ahci_model_insert(&bench->model, 5, MODEL_DISK, "LAST");
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->registry_next->name, "sata:LAST");
    assert_false(bench->model.forgets); /* it was told again */
    assert_true(bench->model.handoff & AHCI_BOHC_OOS && !(bench->model.handoff & AHCI_BOHC_BOS));
    ahci_bench_detach(bench);
    assert_false(bench->model.handoff & AHCI_BOHC_OOS);
}

static void broken_controllers(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.stays_in_reset = true;
    assert_int_equal(ahci_bench_attach(bench), -ERROR_TIMEOUT);
    assert_int_equal(bench->model.function.dma_stops, 1);
    ahci_model_end(&bench->model);
    bench->model.gone = true;
    assert_int_equal(ahci_bench_attach(bench), -ERROR_GONE);
    ahci_model_end(&bench->model);
    bench->model.gone = false;
    bench->model.implemented = 0;
    assert_int_equal(ahci_bench_attach(bench), -ERROR_PROTOCOL);
    ahci_model_end(&bench->model);
    bench->model.function.claim_status = -ERROR_BUSY;
    assert_int_equal(ahci_bench_attach(bench), -ERROR_BUSY);
}

static void port_that_does_not_stop_receiving(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    bench->model.ports[0].stuck_receiving = true;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:SECOND");
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
}

static void no_memory(void **state)
{
    struct ahci_bench *bench = *state;
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
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_conforms(bench);
    assert_int_equal(bench->disk->most_queued, 31);
    assert_int_equal(bench->disk->biggest, 2 << 20);
}

static void conforms_with_blocks_of_4096(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->block = 4096;
    bench->disk->depth = 8;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_int_equal(bench->device->geometry.queue_depth, 8);
    assert_int_equal(bench->device->geometry.logical_block, 4096);
    ahci_bench_conforms(bench);
}

static void conforms_without_queue(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->depth = 0;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_conforms(bench);
    assert_int_equal(bench->disk->most_queued, 0);
}

static void conforms_with_28_bits(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->lba28 = bench->disk->no_flush = bench->disk->no_trim = bench->disk->no_cache = true;
    bench->disk->depth = 0;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_conforms(bench);
}

static void conforms_with_few_slots(void **state)
{
    struct ahci_bench *bench = *state;
    for (uint32_t slots = 1; slots < 4; slots++) {
        bench->model.capabilities = (bench->model.capabilities & ~0x1f00u) | (slots - 1) << 8;
        assert_int_equal(ahci_bench_attach(bench), 0);
        assert_int_equal(bench->device->geometry.queue_depth, slots > 1 ? slots - 1 : 1);
        ahci_bench_conforms(bench);
        ahci_bench_detach(bench);
        ahci_model_end(&bench->model);
    }
    assert_int_equal(ahci_bench_attach(bench), 0);
}

static void conforms_below_4_gib(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.capabilities &= ~AHCI_CAP_S64A;
    bench->model.move_to[0] = 0x10000000;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_conforms(bench);
    ahci_bench_detach(bench);
    ahci_model_end(&bench->model);
    /* Our own memory is beyond its reach: the firmware is the better driver. */
    bench->model.move_to[0] = 0;
    bench->model.mapping_count = 0;
    assert_int_equal(ahci_bench_attach(bench), -ERROR_UNSUPPORTED);
}

static void transfers_across_4_gib(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.move_to[0] = 0x10000000;
    bench->model.move_to[1] = 0xfff80000; /* the test's buffer: 4 GiB are in the middle of the transfer */
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 4096), 0);
    ahci_bench_check_read(bench, 0);
}

static void conforms_as_drive(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "DRIVE");
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:DRIVE");
    assert_int_equal(bench->device->geometry.logical_block, 2048);
    assert_int_equal(bench->device->geometry.block_count, 1024);
    assert_true(bench->device->read_only && bench->device->removable);
    ahci_bench_conforms(bench);
    assert_int_equal(ahci_bench_run(bench, BLOCK_WRITE, 0, 1), -ERROR_WRITE_PROTECTED);
}

/* ---- queued and not queued ---- */

static void flush_waits_for_the_queue(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(ahci_bench_submit(bench, i, BLOCK_WRITE, i * 8, 8), 0);
    assert_int_equal(ahci_bench_submit(bench, 8, BLOCK_FLUSH, 0, 0), 0);
    struct block_request another = {.operation = BLOCK_READ, .lba = 0, .count = 1, .buffer = &bench->buffer};
    assert_int_equal(block_submit(bench->device, &another), -ERROR_FULL);
    assert_int_equal(bench->disk->flushes, 0);
    ahci_bench_wait_all(bench);
    assert_int_equal(bench->disk->writes, 8);
    assert_int_equal(bench->disk->flushes, 1);
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
}

static void discards(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    assert_int_equal(ahci_bench_run(bench, BLOCK_DISCARD, 8, 4000), 0);
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
    assert_int_equal(ahci_bench_run(bench, BLOCK_DISCARD, 8, 8), -ERROR_UNSUPPORTED);
    bench->disk->bad_command = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identifies),
        TEST(names_disks_of_one_serial_apart),
        TEST(names_can_be_typed),
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
    };
    return cmocka_run_group_tests_name("ahci", tests, NULL, NULL);
}
