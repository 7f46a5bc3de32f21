/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices of the AHCI model: what they say of themselves, and what they do with a command. */
#include <string.h>

#include "tests/support/ahci_model.h"

#define GOOD ((struct ahci_model_answer){.status = ATA_STATUS_READY})
#define ABORT failed(ATA_ERROR_ABORT)
#define NEVER ((struct ahci_model_answer){.none = true})

static struct ahci_model_answer failed(uint8_t error)
{
    return (struct ahci_model_answer){.status = ATA_STATUS_READY | ATA_STATUS_ERROR, .error = error};
}

void ahci_model_device_reset(struct ahci_model_device *device)
{
    device->resets++;
    device->error_state = device->deaf = false;
    device->deaf_lba = UINT64_MAX;
    device->attentions_left = device->attentions;
    if (device->next_serial)
        device->serial = device->next_serial;
    if (device->next_blocks)
        device->blocks = device->next_blocks;
    device->next_serial = NULL;
    device->next_blocks = 0;
}

/* ---- IDENTIFY ---- */

static void set_text(uint16_t *words, const char *text, unsigned size)
{
    char padded[48];
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, text, strlen(text) < size ? strlen(text) : size);
    for (unsigned i = 0; i < size / 2; i++)
        words[i] = (uint16_t)((uint8_t)padded[2 * i] << 8 | (uint8_t)padded[2 * i + 1]);
}

static void set_number(uint16_t *words, uint64_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        words[i] = (uint16_t)(value >> 16 * i);
}

static void set_checksum(void *data)
{
    uint8_t *bytes = data;
    uint8_t sum = 0;
    for (unsigned i = 0; i < ATA_SECTOR - 1; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[ATA_SECTOR - 1] = (uint8_t)-sum;
}

static void set_disk_words(const struct ahci_model_device *device, uint16_t *words)
{
    words[2] = device->spun_up ? 0xc837 : device->standby;
    set_number(&words[60], device->blocks < ATA_LBA28_LIMIT ? device->blocks : ATA_LBA28_LIMIT - 1, 2);
    words[82] = (uint16_t)(!device->no_cache << 5);
    words[83] = (uint16_t)(0x4000 | !device->no_flush << 12);
    words[84] = (uint16_t)(0x4000 | !device->no_log << 5);
    words[85] = words[82];
    words[87] = 0x4000;
    words[128] = (uint16_t)(device->locked << 2);
    words[217] = device->solid_state ? 1 : 7200;
    if (device->lba28)
        return;
    words[83] |= (uint16_t)(1u << 10 | !device->no_flush << 13);
    set_number(&words[100], device->blocks, 4);
    if (device->depth) {
        words[75] = (uint16_t)(device->depth - 1);
        words[76] = 1u << 8 | 1u << 2;
    }
    words[106] = (uint16_t)(0x4000 | device->physical_shift | (device->physical_shift != 0) << 13 |
                            (device->block != ATA_SECTOR) << 12);
    set_number(&words[117], device->block / 2, 2);
    if (!device->no_trim) {
        words[105] = 1;
        words[169] = 1;
    }
}

static struct ahci_model_answer identify(struct ahci_model *model, struct ahci_model_device *device,
                                         const struct ahci_model_command *command, bool packet)
{
    uint16_t words[256] = {0};
    device->identifies++;
    if (packet != (device->kind == MODEL_DRIVE))
        return ABORT;
    words[0] = packet ? 0x85c0 : 0x0040;
    set_text(&words[10], device->serial, 20);
    set_text(&words[23], "1.0", 8);
    set_text(&words[27], packet ? "Model drive" : "Model disk", 40);
    words[49] = (uint16_t)(1u << 9 | !device->no_dma << 8);
    words[53] = 7;
    words[88] = (uint16_t)(0x7f | (device->no_mode && !device->mode_set ? 0 : 0x4000));
    if (!packet)
        set_disk_words(device, words);
    if (device->identify_foreign)
        words[0] ^= 0x8000;
    words[255] = 0xa5;
    set_checksum(words);
    if (device->identify_damaged)
        words[60]++;
    struct ahci_model_answer answer = GOOD;
    answer.bytes = ahci_model_transfer(model, command, (uint8_t *)words, sizeof(words), true);
    return answer;
}

/* ---- disks ---- */

static bool touches_bad(const struct ahci_model_device *device, uint64_t lba, uint64_t count)
{
    return lba < device->bad_lba + device->bad_count && device->bad_lba < lba + count;
}

static struct ahci_model_answer disk_transfer(struct ahci_model *model, struct ahci_model_device *device,
                                              const struct ahci_model_command *command, bool write)
{
    if (device->locked)
        return ABORT;
    if (!command->count || command->count > device->blocks || command->lba > device->blocks - command->count) {
        ahci_model_violation(model, "blocks beyond the disk");
        return failed(ATA_ERROR_ID_NOT_FOUND);
    }
    if (write != (bool)(command->header.flags & AHCI_HEADER_WRITE))
        ahci_model_violation(model, "a wrong direction in a command header");
    if (touches_bad(device, command->lba, command->count))
        return failed(device->bad_error);
    uint32_t bytes = command->count * device->block;
    if (bytes > device->biggest)
        device->biggest = bytes;
    device->writes += write;
    struct ahci_model_answer answer = GOOD;
    if (device->short_transfer)
        bytes /= 2;
    answer.bytes = ahci_model_transfer(model, command, device->data + command->lba * device->block, bytes, !write);
    return answer;
}

static struct ahci_model_answer trim(struct ahci_model *model, struct ahci_model_device *device,
                                     const struct ahci_model_command *command)
{
    uint64_t ranges[ATA_TRIM_ENTRIES];
    if (device->no_trim || command->table.fis.features_low != ATA_TRIM || command->count != 1)
        return ABORT;
    device->trims++;
    struct ahci_model_answer answer = GOOD;
    answer.bytes = ahci_model_transfer(model, command, (uint8_t *)ranges, sizeof(ranges), false);
    for (unsigned i = 0; i < ATA_TRIM_ENTRIES; i++) {
        uint64_t lba = ranges[i] & (ATA_LBA48_LIMIT - 1), count = ranges[i] >> 48;
        if (lba > device->blocks || count > device->blocks - lba)
            return failed(ATA_ERROR_ID_NOT_FOUND);
        memset(device->data + lba * device->block, 0, count * device->block);
    }
    return answer;
}

static struct ahci_model_answer read_log(struct ahci_model *model, struct ahci_model_device *device,
                                         const struct ahci_model_command *command)
{
    if (device->no_log || command->lba != ATA_LOG_QUEUED_ERROR || command->count != 1)
        return ABORT;
    device->logs++;
    uint8_t log[ATA_SECTOR];
    memcpy(log, device->log, sizeof(log));
    if (device->log_not_queued)
        log[0] = 0x80;
    log[0] ^= device->log_of_another ? 0x1f : 0;
    set_checksum(log);
    log[0] ^= device->log_damaged; /* another tag, and a checksum that does not fit */
    device->error_state = false;
    struct ahci_model_answer answer = GOOD;
    answer.bytes = ahci_model_transfer(model, command, log, sizeof(log), true);
    return answer;
}

static struct ahci_model_answer set_features(struct ahci_model_device *device, const struct ahci_model_command *command)
{
    if (command->table.fis.features_low == ATA_FEATURE_SPIN_UP) {
        device->spin_ups++;
        device->spun_up = true;
        return GOOD;
    }
    if (command->table.fis.features_low != ATA_FEATURE_TRANSFER_MODE || command->count != (ATA_MODE_ULTRA_DMA | 6))
        return ABORT;
    device->modes++;
    device->mode_set = true;
    return GOOD;
}

static struct ahci_model_answer disk_execute(struct ahci_model *model, struct ahci_model_device *device,
                                             const struct ahci_model_command *command)
{
    uint8_t code = command->table.fis.command;
    bool queued = code == ATA_READ_FPDMA_QUEUED || code == ATA_WRITE_FPDMA_QUEUED;
    bool extended = code == ATA_READ_DMA_EXT || code == ATA_WRITE_DMA_EXT || code == ATA_FLUSH_CACHE_EXT;
    if (device->standby && !device->spun_up && code != ATA_IDENTIFY_DEVICE && code != ATA_SET_FEATURES)
        return ABORT;
    if ((queued && !device->depth) || (extended && device->lba28)) {
        ahci_model_violation(model, "a command that the disk does not have");
        return ABORT;
    }
    switch (code) {
    case ATA_IDENTIFY_DEVICE:
        return identify(model, device, command, false);
    case ATA_SET_FEATURES:
        return set_features(device, command);
    case ATA_READ_FPDMA_QUEUED:
    case ATA_READ_DMA_EXT:
    case ATA_READ_DMA:
        return disk_transfer(model, device, command, false);
    case ATA_WRITE_FPDMA_QUEUED:
    case ATA_WRITE_DMA_EXT:
    case ATA_WRITE_DMA:
        return disk_transfer(model, device, command, true);
    case ATA_FLUSH_CACHE:
    case ATA_FLUSH_CACHE_EXT:
        device->flushes++;
        return device->no_flush ? ABORT : GOOD;
    case ATA_DATA_SET_MANAGEMENT:
        return trim(model, device, command);
    case ATA_READ_LOG_EXT:
        return read_log(model, device, command);
    default:
        return ABORT;
    }
}

/* ---- drives ---- */

static struct ahci_model_answer check_condition(struct ahci_model_device *device, uint8_t key, uint8_t code,
                                                uint8_t qualifier)
{
    device->sense = (struct scsi_sense){key, code, qualifier};
    return failed((uint8_t)(key << 4));
}

static struct ahci_model_answer drive_read(struct ahci_model *model, struct ahci_model_device *device,
                                           const struct ahci_model_command *command)
{
    const uint8_t *packet = command->table.packet;
    uint64_t lba = scsi_read_big32(packet + 2);
    uint32_t count = (uint32_t)packet[7] << 8 | packet[8];
    if (lba > device->blocks || count > device->blocks - lba)
        return check_condition(device, 5, 0x21, 0);
    if (touches_bad(device, lba, count))
        return check_condition(device, device->bad_sense.key, device->bad_sense.code, device->bad_sense.qualifier);
    struct ahci_model_answer answer = GOOD;
    uint32_t bytes = count * device->block / (device->short_transfer ? 2 : 1);
    answer.bytes = ahci_model_transfer(model, command, device->data + lba * device->block, bytes, true);
    return answer;
}

static struct ahci_model_answer drive_packet(struct ahci_model *model, struct ahci_model_device *device,
                                             const struct ahci_model_command *command)
{
    uint8_t code = command->table.packet[0];
    struct ahci_model_answer answer = GOOD;
    if (!(command->header.flags & AHCI_HEADER_ATAPI))
        ahci_model_violation(model, "a packet command without its mark in the header");
    if (code == SCSI_REQUEST_SENSE) {
        uint8_t sense[SCSI_SENSE_SIZE] = {
            0x70, 0, device->sense.key, 0, 0, 0, 0, 10, 0, 0, 0, 0, device->sense.code, device->sense.qualifier};
        device->senses++;
        device->sense = (struct scsi_sense){0};
        answer.bytes = ahci_model_transfer(model, command, sense, sizeof(sense), true);
        return answer;
    }
    if (device->attentions_left) {
        device->attentions_left--;
        return check_condition(device, 6, device->attentions_left & 1 ? 0x29 : 0x28, 0);
    }
    if (device->no_medium)
        return check_condition(device, 2, 0x3a, 0);
    if (device->loading) {
        device->loading--;
        return check_condition(device, 2, 0x04, 0x01);
    }
    switch (code) {
    case SCSI_TEST_UNIT_READY:
        return answer;
    case SCSI_READ_CAPACITY_10: {
        uint8_t capacity[8];
        scsi_write_big32(capacity, (uint32_t)device->blocks - 1);
        scsi_write_big32(capacity + 4, device->block);
        answer.bytes = ahci_model_transfer(model, command, capacity, sizeof(capacity), true);
        return answer;
    }
    case SCSI_READ_10:
        return drive_read(model, device, command);
    default:
        return check_condition(device, 5, 0x20, 0);
    }
}

/* ---- any device ---- */

struct ahci_model_answer ahci_model_execute(struct ahci_model *model, struct ahci_model_port *port,
                                            const struct ahci_model_command *command)
{
    struct ahci_model_device *device = &port->device;
    int code = command->table.fis.command;
    if (device->frozen || device->deaf || device->deaf_for_ever || code == device->deaf_command ||
        (command->count && command->lba == device->deaf_lba))
        return NEVER;
    device->commands++;
    if (code == device->bad_command)
        return ABORT;
    /* ACS-4, 4.15: after a queued command failed, the device only talks about that. */
    if (device->error_state && code != ATA_READ_LOG_EXT)
        return ABORT;
    if (device->kind == MODEL_DISK)
        return disk_execute(model, device, command);
    if (code == ATA_IDENTIFY_PACKET_DEVICE || code == ATA_IDENTIFY_DEVICE)
        return identify(model, device, command, code == ATA_IDENTIFY_PACKET_DEVICE);
    if (code == ATA_SET_FEATURES)
        return set_features(device, command);
    return code == ATA_PACKET ? drive_packet(model, device, command) : ABORT;
}
