/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AHCI driver against the controller of tests/support/ahci_model.h: errors, hangs, unplugging, liars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/ahci_bench.h"

#define REQUESTS AHCI_BENCH_REQUESTS
#define TEST(name) cmocka_unit_test_setup_teardown(name, ahci_bench_setup, ahci_bench_teardown)

/* ---- errors ---- */

static void bad_block_in_the_queue(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    bench->disk->bad_lba = 5 * 8 + 3;
    bench->disk->bad_count = 1;
    ahci_bench_submit_reads(bench, REQUESTS);
    ahci_bench_wait_all(bench);
    ahci_bench_check_reads_but(bench, REQUESTS, 5, -ERROR_MEDIUM);
    assert_int_equal(bench->requests[5].raw_status, 0x4041);
    assert_int_equal(bench->disk->logs, 1);
    assert_int_equal(bench->disk->resets, 2); /* power-on and the attach */
}

static void many_bad_blocks_in_the_queue(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->bad_count = 20 * 8;
    ahci_bench_submit_reads(bench, REQUESTS);
    ahci_bench_wait_all(bench);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(bench->requests[i].status, i < 20 ? -ERROR_MEDIUM : 0);
    assert_int_equal(bench->disk->logs, 20);
}

static void check_bad_blocks_without_log(struct ahci_bench *bench)
{
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    bench->disk->bad_lba = 5 * 8 + 3;
    bench->disk->bad_count = 16;
    ahci_bench_submit_reads(bench, REQUESTS);
    ahci_bench_wait_all(bench);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (i >= 5 && i <= 7)
            assert_int_equal(bench->requests[i].status, -ERROR_MEDIUM);
        else
            ahci_bench_check_read(bench, i);
    /* The queue comes back afterwards. */
    bench->disk->bad_count = 0;
    bench->disk->most_queued = 0;
    for (unsigned round = 0; round < 3; round++) {
        ahci_bench_submit_reads(bench, REQUESTS);
        ahci_bench_wait_all(bench);
    }
    assert_int_equal(bench->disk->most_queued, 31);
}

static void bad_blocks_of_a_disk_without_log(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->no_log = true;
    check_bad_blocks_without_log(bench);
}

static void bad_blocks_and_a_damaged_log(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->log_damaged = true;
    check_bad_blocks_without_log(bench);
}

static void bad_blocks_and_a_log_of_something_else(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->log_not_queued = true;
    check_bad_blocks_without_log(bench);
}

static void log_that_names_another_command(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->log_of_another = true;
    bench->disk->depth = 8; /* the other one is never in flight */
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->bad_lba = 3;
    bench->disk->bad_count = 1;
    ahci_bench_submit_reads(bench, 8);
    ahci_bench_wait_all(bench);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bench->requests[i].status, i ? 0 : -ERROR_MEDIUM);
}

static void errors_without_queue(void **state)
{
    struct ahci_bench *bench = *state;
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
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->bad_lba = 100;
    bench->disk->bad_count = 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench->disk->bad_error = cases[i].error;
        assert_int_equal(ahci_bench_run(bench, cases[i].operation, 96, 8), cases[i].status);
        assert_int_equal(bench->requests[0].raw_status, cases[i].error << 8 | 0x41);
        assert_int_equal(ahci_bench_run(bench, cases[i].operation, 0, 8), 0);
    }
}

static void locked_disk(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->locked = true;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), -ERROR_REFUSED);
    assert_true(test_platform_logged(&bench->platform, "locked by a password"));
}

static void success_without_all_the_data(void **state)
{
    struct ahci_bench *bench = *state;
    bench->disk->depth = 0;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->short_transfer = true;
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), -ERROR_IO);
    bench->disk->short_transfer = false;
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
}

static void faults_of_the_interface(void **state)
{
    struct ahci_bench *bench = *state;
    static const uint32_t faults[] = {AHCI_IS_IFS, AHCI_IS_HBFS, AHCI_IS_HBDS, AHCI_IS_OFS, AHCI_IS_IFS | AHCI_IS_TFES};
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bench->disk->interface_fault = faults[i];
        ahci_bench_submit_reads(bench, REQUESTS);
        ahci_bench_wait_all(bench);
        ahci_bench_check_reads_but(bench, REQUESTS, REQUESTS, 0);
    }
    bench->disk->depth = 0;
}

/* ---- hangs ---- */

static void hanging_command(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    bench->disk->deaf_lba = 7 * 8;
    ahci_bench_submit_reads(bench, REQUESTS);
    uint64_t took = ahci_bench_wait_all(bench);
    ahci_bench_check_reads_but(bench, REQUESTS, 7, -ERROR_TIMEOUT);
    assert_in_range(took / SECOND, 29, 35);
    assert_int_equal(bench->disk->resets, 3);
    assert_int_equal(bench->model.resets, 1);
}

static void hanging_flush(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->deaf_command = ATA_FLUSH_CACHE_EXT;
    assert_int_equal(ahci_bench_run(bench, BLOCK_FLUSH, 0, 0), -ERROR_TIMEOUT);
    bench->disk->deaf_command = -1;
    assert_int_equal(ahci_bench_run(bench, BLOCK_FLUSH, 0, 0), 0);
}

/* A controller that keeps CI over a stop must not carry out an old write when it starts again. */
static void hanging_write_is_not_done_later(void **state)
{
    struct ahci_bench *bench = *state;
    bench->model.keeps_issue = true;
    bench->disk->depth = 0;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->deaf_lba = 80;
    assert_int_equal(ahci_bench_run(bench, BLOCK_WRITE, 80, 8), -ERROR_TIMEOUT);
    uint64_t writes = bench->disk->writes;
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
    assert_int_equal(bench->disk->writes, writes);
}

static void dead_disk_costs_its_deadline(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    assert_int_equal(ahci_bench_attach(bench), 0);
    struct block_device *second = bench->device->registry_next;
    bench->disk->deaf_for_ever = true;
    ahci_bench_submit_reads(bench, 20);
    /* the other disk goes on meanwhile */
    for (unsigned i = 20; i < REQUESTS; i++)
        assert_int_equal(ahci_bench_submit_to(bench, second, i, BLOCK_READ, 0, 8), 0);
    uint64_t took = ahci_bench_wait_all(bench);
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
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), -ERROR_GONE);
}

static void engine_that_does_not_stop(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    ahci_bench_number_blocks(&bench->model.ports[1].device);
    struct block_device *second = bench->device->registry_next;
    for (unsigned round = 0; round < 2; round++) {
        unsigned resets = bench->model.resets;
        bench->disk->deaf_lba = 8;
        bench->model.ports[0].stuck = round == 0;
        bench->model.ports[0].very_stuck = round == 1;
        ahci_bench_submit_reads(bench, 8);
        for (unsigned i = 8; i < REQUESTS; i++)
            assert_int_equal(ahci_bench_submit_to(bench, second, i, BLOCK_READ, 0, 8), 0);
        ahci_bench_wait_all(bench);
        ahci_bench_check_reads_but(bench, REQUESTS, 1, -ERROR_TIMEOUT);
        /* COMRESET is enough for the first, only the controller's reset helps the second. */
        assert_int_equal(bench->model.resets, resets + round);
    }
}

static void controller_that_does_not_stop(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    assert_int_equal(ahci_bench_attach(bench), 0);
    struct block_device *second = bench->device->registry_next;
    bench->disk->deaf_lba = 8;
    bench->model.ports[0].very_stuck = bench->model.stays_in_reset = true;
    ahci_bench_submit_reads(bench, 8);
    ahci_bench_wait_all(bench);
    for (unsigned i = 0; i < 8; i++)
        assert_true(bench->requests[i].status == -ERROR_GONE || (i != 1 && !bench->requests[i].status));
    assert_true(bench->device->dead && second->dead);
    assert_int_equal(bench->model.function.dma_stops, 1);
}

/* ---- unplugging ---- */

static void unplugged(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->frozen = true;
    ahci_bench_submit_reads(bench, 31);
    ahci_model_unplug(&bench->model, 0);
    assert_true(ahci_bench_wait_all(bench) < 2 * SECOND);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
    assert_true(bench->device->dead);
}

static void unplugged_while_idle(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_model_unplug(&bench->model, 0);
    loop_delay(&bench->loop, 2 * SECOND);
    assert_true(bench->device->dead);
}

static void link_that_comes_back(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    bench->disk->frozen = true;
    ahci_bench_submit_reads(bench, 31);
    ahci_model_unplug(&bench->model, 0);
    loop_delay(&bench->loop, 100 * MILLISECOND);
    ahci_model_plug(&bench->model, 0);
    bench->disk->frozen = false;
    ahci_bench_wait_all(bench);
    ahci_bench_check_reads_but(bench, 31, 31, 0);
}

/* What was not late when the link went down does not become late while it comes back. */
static void link_that_comes_back_after_the_deadline(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    bench->disk->frozen = true;
    bench->model.ports[0].ready_delay = 5 * SECOND;
    bench->model.ports[0].link_delay = 500 * MILLISECOND;
    ahci_bench_submit_reads(bench, 31);
    loop_delay(&bench->loop, 29700 * MILLISECOND);
    bench->model.ports[0].stuck = true; /* half a second goes by before the engine is stopped by force */
    ahci_model_plug(&bench->model, 0);
    bench->disk->frozen = false;
    ahci_bench_wait_all(bench);
    ahci_bench_check_reads_but(bench, 31, 31, 0);
}

static void abandoned(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->device->ops->abandon(bench->device);
    assert_int_equal(bench->model.function.dma_stops, 0);
    bench->disk->frozen = true;
    ahci_bench_submit_reads(bench, 31);
    bench->device->ops->abandon(bench->device);
    assert_int_equal(bench->model.function.dma_stops, 1);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
}

static void another_disk_comes_back(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->frozen = true;
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(ahci_bench_submit(bench, i, BLOCK_WRITE, i * 8, 8), 0);
    bench->disk->next_serial = "ANOTHER";
    ahci_model_plug(&bench->model, 0);
    bench->disk->frozen = false;
    ahci_bench_wait_all(bench);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
    assert_int_equal(bench->disk->writes, 0);
}

static void controller_goes_away(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->frozen = true;
    ahci_bench_submit_reads(bench, 31);
    bench->model.gone = true;
    assert_true(ahci_bench_wait_all(bench) < SECOND / 10);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(bench->requests[i].status, -ERROR_GONE);
    assert_int_equal(bench->model.function.dma_stops, 1);
}

/* ---- drives ---- */

static void drive_without_medium(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "EMPTY");
    bench->disk->no_medium = true;
    ahci_model_insert(&bench->model, 1, MODEL_DRIVE, "SLOW");
    bench->model.ports[1].device.loading = 20;
    ahci_model_insert(&bench->model, 2, MODEL_DRIVE, "NEVER");
    bench->model.ports[2].device.loading = 100000;
    ahci_model_insert(&bench->model, 3, MODEL_DRIVE, "ALARMED");
    bench->model.ports[3].device.attentions = 100000;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_string_equal(bench->device->name, "sata:SLOW");
    assert_null(bench->device->registry_next);
    assert_true(test_platform_logged(&bench->platform, "p0: left out: no medium"));
    assert_true(test_platform_logged(&bench->platform, "p2: left out: its medium does not get ready"));
    assert_true(test_platform_logged(&bench->platform, "p3: left out: its medium cannot be read"));
}

static void drive_with_bad_blocks(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "DRIVE");
    assert_int_equal(ahci_bench_attach(bench), 0);
    ahci_bench_number_blocks(bench->disk);
    bench->disk->bad_lba = 100;
    bench->disk->bad_count = 1;
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 96, 8), -ERROR_MEDIUM);
    assert_int_equal(bench->requests[0].raw_status, 0x031100);
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
    ahci_bench_check_read(bench, 0);
    bench->disk->bad_sense = (struct scsi_sense){5, 0x6f, 3};
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 96, 8), -ERROR_REFUSED);
    bench->disk->deaf_lba = 0;
    bench->disk->deaf_command = ATA_PACKET;
    assert_int_equal(ahci_bench_submit(bench, 0, BLOCK_READ, 0, 8), 0);
    loop_delay(&bench->loop, 29 * SECOND);
    bench->disk->deaf_command = -1;
    ahci_bench_wait_all(bench);
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), 0);
    bench->disk->no_medium = true;
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), -ERROR_GONE);
    assert_true(bench->device->dead);
}

static void another_medium_after_a_reset(void **state)
{
    struct ahci_bench *bench = *state;
    ahci_model_insert(&bench->model, 0, MODEL_DRIVE, "DRIVE");
    assert_int_equal(ahci_bench_attach(bench), 0);
    bench->disk->deaf = true;
    bench->disk->next_blocks = 512;
    assert_int_equal(ahci_bench_run(bench, BLOCK_READ, 0, 8), -ERROR_TIMEOUT);
    loop_delay(&bench->loop, SECOND);
    assert_true(bench->device->dead);
}

/* ---- anything at any time ---- */

static void random_fault(struct ahci_bench *bench, uint64_t random)
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
    struct ahci_bench *bench = *state;
    static const enum block_operation operations[] = {BLOCK_READ, BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD};
    ahci_model_insert(&bench->model, 1, MODEL_DISK, "SECOND");
    unsigned good = 0, dead = 0;
    for (unsigned round = 0; round < 30; round++) {
        bench->model.ports[0].device.kind = bench->model.ports[1].device.kind = MODEL_DISK;
        bench->model.ports[1].device.depth = round & 1 ? 0 : 32;
        bench->model.ports[0].device.no_log = round & 2;
        bench->model.ports[0].device.bad_command = bench->model.ports[0].device.deaf_command = -1;
        bench->model.ports[1].device.bad_command = bench->model.ports[1].device.deaf_command = -1;
        assert_int_equal(ahci_bench_attach(bench), 0);
        memset(bench->requests, 0, sizeof(bench->requests));
        for (unsigned i = 0; i < 10 * REQUESTS; i++) {
            uint64_t random = ahci_model_random(&bench->model);
            struct block_device *device = random & 1 ? bench->device : bench->device->registry_next;
            unsigned index = i % REQUESTS;
            if (bench->requests[index].context)
                assert_true(
                    loop_wait_flag(&bench->loop, &bench->requests[index].ended, ahci_bench_now(bench) + 600 * SECOND));
            good += bench->requests[index].context && !bench->requests[index].status;
            memset(&bench->requests[index], 0, sizeof(bench->requests[index]));
            enum block_operation operation = operations[(random >> 8) % 5];
            if (ahci_bench_submit_to(bench, device, index, operation, random >> 16 & 1023,
                                     operation == BLOCK_FLUSH ? 0 : 8))
                bench->requests[index].context = NULL;
            if ((random >> 40) % 12 == 0)
                random_fault(bench, random >> 20);
        }
        ahci_bench_wait_all(bench);
        dead += bench->device->dead + bench->device->registry_next->dead;
        ahci_bench_detach(bench);
        ahci_model_end(&bench->model);
    }
    assert_false(test_platform_logged(&bench->platform, "twice"));
    assert_true(good > 30 * 5 * REQUESTS && dead < 30);
    assert_int_equal(ahci_bench_attach(bench), 0);
}

/* ---- detach ---- */

static void detach_flushes(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_int_equal(ahci_bench_run(bench, BLOCK_WRITE, 0, 8), 0);
    assert_int_equal(bench->disk->flushes, 0);
    ahci_bench_detach(bench);
    assert_int_equal(bench->disk->flushes, 1);
}

static void detach_of_hanging_disk_ends(void **state)
{
    struct ahci_bench *bench = *state;
    assert_int_equal(ahci_bench_attach(bench), 0);
    assert_int_equal(ahci_bench_run(bench, BLOCK_WRITE, 0, 8), 0);
    bench->disk->deaf_for_ever = bench->model.ports[0].very_stuck = true;
    uint64_t started = ahci_bench_now(bench);
    ahci_bench_detach(bench);
    assert_in_range((ahci_bench_now(bench) - started) / SECOND, 50, 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(link_that_comes_back_after_the_deadline),
        TEST(abandoned),
        TEST(another_disk_comes_back),
        TEST(controller_goes_away),
        TEST(drive_without_medium),
        TEST(drive_with_bad_blocks),
        TEST(another_medium_after_a_reset),
        TEST(faults_at_any_time),
        TEST(detach_flushes),
        TEST(detach_of_hanging_disk_ends),
    };
    return cmocka_run_group_tests_name("ahci_faults", tests, NULL, NULL);
}
