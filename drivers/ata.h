/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATA and ATAPI: command codes, IDENTIFY data, error meanings. Knows no controller: the AHCI driver brings the commands to a disk, any
 * other transport could.
 *
 * Sections are those of ATA/ATAPI Command Set - 4 (ACS-4), of SCSI Primary Commands - 4 (SPC-4) and of MMC-6. Everything is
 * little-endian, as are all machines that we run on; what comes from SCSI is big-endian, and said so.
 */
#ifndef DRIVERS_ATA_H
#define DRIVERS_ATA_H

#include "core/block.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are read in place");

/* ACS-4, section 7: commands */
#define ATA_DATA_SET_MANAGEMENT 0x06u
#define ATA_READ_DMA_EXT 0x25u
#define ATA_READ_LOG_EXT 0x2fu
#define ATA_WRITE_DMA_EXT 0x35u
#define ATA_READ_FPDMA_QUEUED 0x60u
#define ATA_WRITE_FPDMA_QUEUED 0x61u
#define ATA_PACKET 0xa0u
#define ATA_IDENTIFY_PACKET_DEVICE 0xa1u
#define ATA_READ_DMA 0xc8u
#define ATA_WRITE_DMA 0xcau
#define ATA_FLUSH_CACHE 0xe7u
#define ATA_FLUSH_CACHE_EXT 0xeau
#define ATA_IDENTIFY_DEVICE 0xecu
#define ATA_SET_FEATURES 0xefu

#define ATA_FEATURE_TRANSFER_MODE 0x03u /* 7.43.3; count: mode */
#define ATA_FEATURE_SPIN_UP 0x07u       /* 7.43.7: of a device that powered up in standby */
#define ATA_MODE_ULTRA_DMA 0x40u        /* | number */
#define ATA_TRIM 0x01u                  /* 7.5: feature of DATA SET MANAGEMENT */
#define ATA_PACKET_DMA 0x01u            /* ACS-3, 7.18: features of PACKET */
#define ATA_PACKET_TO_HOST 0x04u
#define ATA_LBA_MODE 0x40u /* of the device register */

/* 6.2, 6.3: status and error registers */
#define ATA_STATUS_ERROR 0x01u
#define ATA_STATUS_DATA_REQUEST 0x08u
#define ATA_STATUS_FAULT 0x20u
#define ATA_STATUS_READY 0x40u
#define ATA_STATUS_BUSY 0x80u
#define ATA_ERROR_NO_MEDIUM 0x02u
#define ATA_ERROR_ABORT 0x04u
#define ATA_ERROR_ID_NOT_FOUND 0x10u
#define ATA_ERROR_UNCORRECTABLE 0x40u /* of a write: write protected */
#define ATA_ERROR_INTERFACE_CRC 0x80u

#define ATA_COMPACT_FLASH 0x848au /* word 0 of IDENTIFY data */
#define ATA_SECTOR 512u           /* of IDENTIFY data, logs, trim ranges */
#define ATA_LBA28_LIMIT (1ull << 28)
#define ATA_LBA48_LIMIT (1ull << 48)

/* 7.5.3: one eight-byte entry of a DATA SET MANAGEMENT block: LBA in bits 47:0, blocks in 63:48. */
#define ATA_TRIM_RANGE_MAX 0xffffu
#define ATA_TRIM_ENTRIES (ATA_SECTOR / 8)

/* 9.15 in ACS-4: the NCQ Command Error log */
#define ATA_LOG_QUEUED_ERROR 0x10u

/* What a device says of itself. */
struct ata_identity {
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX], firmware[BLOCK_TEXT_MAX];
    bool packet;           /* ATAPI */
    unsigned packet_size;  /* bytes of a command packet: 12 or 16 */
    bool packet_direction; /* wants ATA_PACKET_TO_HOST */
    bool removable;
    bool spin_up_needed; /* powered up in standby: SET FEATURES, then ask again; the rest may be missing */
    bool mode_needed;    /* no DMA mode is selected */
    uint8_t mode;        /* for SET FEATURES, transfer mode */
    bool dma;
    bool lba48;
    uint64_t block_count;
    uint32_t logical_block, physical_block; /* bytes */
    unsigned queue_depth;                   /* 0: no queued commands */
    bool error_log;                         /* READ LOG EXT is there: the log of queued errors can be read */
    bool trim;
    bool flush, flush_ext;
    bool volatile_cache;    /* a write cache is there and enabled */
    uint16_t rotation_rate; /* 1: none (solid state); 0: not reported */
    bool locked;            /* by a password */
};

/*
 * Reads IDENTIFY (PACKET) DEVICE data: 256 words. -ERROR_PROTOCOL when this is no such data (checksum, impossible
 * values), -ERROR_UNSUPPORTED when the device cannot be driven; *reason says why, static storage.
 */
int ata_identity_parse(const uint16_t words[256], bool packet, struct ata_identity *identity, const char **reason);

/* The error code for a failed command's registers: negative, never 0. */
int ata_error_code(uint8_t status, uint8_t error, bool write);

/* The log of a failed queued command. False: no log of one (checksum, not queued). */
bool ata_queued_error_parse(const uint8_t log[ATA_SECTOR], unsigned *tag, uint8_t *status, uint8_t *error);

/* Fills one block of ranges; `count` blocks must fit (ATA_TRIM_ENTRIES ranges). */
void ata_trim_ranges(uint64_t ranges[ATA_TRIM_ENTRIES], uint64_t lba, uint64_t count);

/* SPC-4 and MMC-6 operation codes in packets. READ (10) reaches 2^32 blocks, more than READ CAPACITY (10) can name. */
#define SCSI_TEST_UNIT_READY 0x00u
#define SCSI_REQUEST_SENSE 0x03u
#define SCSI_READ_CAPACITY_10 0x25u
#define SCSI_READ_10 0x28u
#define SCSI_SENSE_SIZE 18u

/* SPC-4, 4.5: what a packet device says of a failed command */
struct scsi_sense {
    uint8_t key, code, qualifier; /* sense key, ASC, ASCQ */
};
#define SCSI_SENSE_RAW(sense) ((uint32_t)(sense).key << 16 | (uint32_t)(sense).code << 8 | (sense).qualifier)
/* False: no sense data. */
bool scsi_sense_parse(const uint8_t data[SCSI_SENSE_SIZE], struct scsi_sense *sense);
/* 0 (nothing is wrong) or a negative error code. ERROR_ABORTED: try again; ERROR_BUSY: it gets ready; ERROR_GONE: no medium. */
int scsi_sense_code(struct scsi_sense sense);

static inline uint32_t scsi_read_big32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}
static inline void scsi_write_big32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

#endif
