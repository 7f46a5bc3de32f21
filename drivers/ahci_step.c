/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of our own: who is there (ACS-4, 7.13), is there a medium (SPC-4, 6.33 and 6.39), and what went wrong. One at a time, while no request is
 * served; each ends in ahci_step_ended(), which decides what comes next.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/ahci_internal.h"

#define CAPACITY_SIZE 8u

/* ---- sending ---- */

static struct ahci_command data_command(const struct ahci_port *port, uint8_t code)
{
    return (struct ahci_command){.command = code, .address = AHCI_ADDRESS(port, data), .bytes = ATA_SECTOR};
}

static struct ahci_command step_command(const struct ahci_port *port, enum ahci_step step)
{
    struct ahci_command command = {0};
    switch (step) {
    case AHCI_IDENTIFY:
        return data_command(port, port->packet ? ATA_IDENTIFY_PACKET_DEVICE : ATA_IDENTIFY_DEVICE);
    case AHCI_SPIN_UP:
        return (struct ahci_command){.command = ATA_SET_FEATURES, .features = ATA_FEATURE_SPIN_UP};
    case AHCI_SET_MODE:
        return (struct ahci_command){
            .command = ATA_SET_FEATURES, .features = ATA_FEATURE_TRANSFER_MODE, .count = port->identity.mode};
    case AHCI_TEST_READY:
        return ahci_packet(port, SCSI_TEST_UNIT_READY, 0, 0);
    case AHCI_TEST_SENSE:
    case AHCI_ERROR_SENSE:
        command = ahci_packet(port, SCSI_REQUEST_SENSE, AHCI_ADDRESS(port, data), SCSI_SENSE_SIZE);
        command.packet[4] = SCSI_SENSE_SIZE;
        return command;
    case AHCI_CAPACITY:
        return ahci_packet(port, SCSI_READ_CAPACITY_10, AHCI_ADDRESS(port, data), CAPACITY_SIZE);
    case AHCI_ERROR_LOG:
        command = data_command(port, ATA_READ_LOG_EXT);
        command.lba = ATA_LOG_QUEUED_ERROR;
        command.count = 1;
        return command;
    case AHCI_LAST_FLUSH:
    case AHCI_SERVE:
        break;
    }
    command.command = port->identity.flush_ext ? ATA_FLUSH_CACHE_EXT : ATA_FLUSH_CACHE;
    return command;
}

static uint64_t step_timeout(enum ahci_step step)
{
    switch (step) {
    case AHCI_SPIN_UP:
        return AHCI_WAKE_TIMEOUT;
    case AHCI_LAST_FLUSH:
        return block_timeout(BLOCK_FLUSH);
    case AHCI_ERROR_LOG:
    case AHCI_ERROR_SENSE:
        return AHCI_ASK_TIMEOUT;
    default:
        return AHCI_IDENTIFY_TIMEOUT;
    }
}

void ahci_step_begin(struct ahci_port *port, enum ahci_step step)
{
    struct ahci_command command = step_command(port, step);
    unsigned slot = ahci_single_slot(port);
    port->step = step;
    port->own = true;
    port->deadline = deadline_after(port->controller->platform, step_timeout(step));
    memset(port->memory->data, 0, sizeof(port->memory->data));
    ahci_command_build(port, slot, &command);
    ahci_command_issue(port, slot, false);
}

/* ---- who is there ---- */

static void serve(struct ahci_port *port)
{
    port->step = AHCI_SERVE;
    port->known = true;
    if (!port->registered)
        port->resets = 0;
}

static bool same_device(const struct ata_identity *a, const struct ata_identity *b)
{
    return a->packet == b->packet && !strcmp(a->serial, b->serial) && !strcmp(a->model, b->model) &&
           (a->packet || (a->block_count == b->block_count && a->logical_block == b->logical_block));
}

static void after_mode(struct ahci_port *port)
{
    if (port->identity.packet)
        ahci_step_begin(port, AHCI_TEST_READY);
    else
        serve(port);
}

static void identified(struct ahci_port *port)
{
    struct ata_identity identity;
    uint16_t words[256];
    const char *reason;
    /* A copy: the device could change its answer between a check and a use. */
    memcpy(words, port->memory->data, sizeof(words));
    port->counts_bytes = ahci_command_bytes(port, ahci_single_slot(port)) == sizeof(words);
    int result = ata_identity_parse(words, port->packet, &identity, &reason);
    if (result == -ERROR_PROTOCOL) {
        ahci_port_reset(port, reason);
    } else if (result) {
        ahci_port_give_up(port, reason);
    } else if (identity.spin_up_needed && !port->spun_up) {
        port->spun_up = true;
        ahci_step_begin(port, AHCI_SPIN_UP);
    } else if (identity.spin_up_needed) {
        ahci_port_give_up(port, "it does not spin up");
    } else if (port->known && !same_device(&identity, &port->identity)) {
        ahci_port_give_up(port, "another disk has taken its place");
    } else {
        /* What a packet device's medium is like stands in the identity, and is asked for again. */
        if (port->known) {
            identity.block_count = port->identity.block_count;
            identity.logical_block = port->identity.logical_block;
            identity.physical_block = port->identity.physical_block;
        }
        port->identity = identity;
        if (identity.mode_needed)
            ahci_step_begin(port, AHCI_SET_MODE);
        else
            after_mode(port);
    }
}

/* ---- is there a medium ---- */

static void test_again(struct ahci_port *port, const char *reason)
{
    if (++port->medium_tries > AHCI_MEDIUM_TRIES)
        ahci_port_give_up(port, reason);
    else
        ahci_step_begin(port, AHCI_TEST_READY);
}

static void tested(struct ahci_port *port, int status)
{
    struct scsi_sense sense;
    if (status || !scsi_sense_parse(port->memory->data, &sense)) {
        test_again(port, "it does not say what is wrong with its medium");
        return;
    }
    int code = scsi_sense_code(sense);
    /* "Medium may have changed" is what a drive says once after each reset. */
    if (code == -ERROR_GONE && sense.key == 6)
        code = -ERROR_ABORTED;
    if (code == -ERROR_BUSY && platform_now(port->controller->platform) < port->medium_deadline) {
        port->state = AHCI_PAUSING;
        port->deadline = deadline_after(port->controller->platform, AHCI_MEDIUM_INTERVAL);
    } else if (code == -ERROR_GONE) {
        ahci_port_give_up(port, "no medium in the drive");
    } else if (code == -ERROR_BUSY) {
        ahci_port_give_up(port, "its medium does not get ready");
    } else {
        test_again(port, "its medium cannot be read");
    }
}

/* MMC-6, 6.25.3: the last block's number and the block size, big-endian */
static void sized(struct ahci_port *port)
{
    struct ata_identity *identity = &port->identity;
    uint8_t answer[CAPACITY_SIZE];
    memcpy(answer, port->memory->data, sizeof(answer));
    uint64_t count = scsi_read_big32(answer) + 1ull;
    uint32_t block = scsi_read_big32(answer + 4);
    if (count < 2 || block < 512 || block > 65536 || block & (block - 1)) {
        ahci_port_give_up(port, "no medium with blocks of data in the drive");
    } else if (port->known && (count != identity->block_count || block != identity->logical_block)) {
        ahci_port_give_up(port, "another medium is in the drive");
    } else {
        identity->block_count = count;
        identity->logical_block = identity->physical_block = block;
        serve(port);
    }
}

/* ---- what went wrong ---- */

static void logged(struct ahci_port *port, int status)
{
    uint8_t log[ATA_SECTOR];
    unsigned tag;
    uint8_t device_status, error;
    memcpy(log, port->memory->data, sizeof(log));
    if (!status && ata_queued_error_parse(log, &tag, &device_status, &error) && port->queued & 1u << tag) {
        port->step = AHCI_SERVE;
        ahci_disk_queued_failed(port, tag, device_status, error);
        return;
    }
    port->alone = 2 * AHCI_TAGS;
    ahci_port_reset(port, "a queued command failed, and its log does not tell which");
}

static void sensed(struct ahci_port *port, int status)
{
    struct scsi_sense sense = {0};
    if (status || !scsi_sense_parse(port->memory->data, &sense)) {
        ahci_port_reset(port, "it does not say what went wrong");
        return;
    }
    int code = scsi_sense_code(sense);
    port->step = AHCI_SERVE;
    /* A failure without a reason, or one that passes. */
    if (code == 0 || code == -ERROR_BUSY)
        code = -ERROR_ABORTED;
    if (code == -ERROR_GONE)
        ahci_port_give_up(port, "its medium was taken out or changed");
    else
        ahci_disk_single_failed(port, code, SCSI_SENSE_RAW(sense));
}

void ahci_step_ended(struct ahci_port *port, int status)
{
    switch (port->step) {
    case AHCI_IDENTIFY:
        if (status)
            ahci_port_reset(port, "it does not identify itself");
        else
            identified(port);
        break;
    case AHCI_SPIN_UP:
        ahci_step_begin(port, AHCI_IDENTIFY);
        break;
    case AHCI_SET_MODE: /* a device that refuses has another way to choose */
        after_mode(port);
        break;
    case AHCI_TEST_READY:
        ahci_step_begin(port, status ? AHCI_TEST_SENSE : AHCI_CAPACITY);
        break;
    case AHCI_TEST_SENSE:
        tested(port, status);
        break;
    case AHCI_CAPACITY:
        if (status)
            test_again(port, "the size of its medium cannot be found out");
        else
            sized(port);
        break;
    case AHCI_ERROR_LOG:
        logged(port, status);
        break;
    case AHCI_ERROR_SENSE:
        sensed(port, status);
        break;
    case AHCI_LAST_FLUSH:
        if (status)
            platform_log(port->controller->platform, LOG_WARNING, "%s: the last flush failed", port->device.name);
        port->step = AHCI_SERVE;
        break;
    case AHCI_SERVE:
        break;
    }
}
