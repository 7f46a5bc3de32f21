/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What devices say: IDENTIFY data (ACS-4, 7.13), error registers and logs, sense data. */
#include "drivers/ata.h"

#include <string.h>

/* ---- IDENTIFY ---- */

/* 7.13.7.1: words with two validity bits: bit 15 is 0 and bit 14 is 1. */
static bool word_valid(uint16_t word)
{
    return (word & 0xc000u) == 0x4000u;
}

static bool checksum_good(const void *data)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;
    for (unsigned i = 0; i < ATA_SECTOR; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

static uint64_t words_number(const uint16_t *words, unsigned count)
{
    uint64_t number = 0;
    while (count--)
        number = number << 16 | words[count];
    return number;
}

static void parse_size(const uint16_t *words, struct ata_identity *identity)
{
    identity->lba48 = word_valid(words[83]) && words[83] & 1u << 10;
    uint64_t count = words_number(&words[60], 2);
    if (identity->lba48) {
        /* 7.13.7.35: words 230 to 233 where bit 3 of word 69 says so, for what words 100 to 103 may not tell. */
        uint64_t extended = words_number(words[69] & 1u << 3 ? &words[230] : &words[100], 4);
        count = extended ? extended : count;
    }
    identity->block_count = count;
    /* 7.13.7.52: words 106 and 117 */
    identity->logical_block = ATA_SECTOR;
    identity->physical_block = ATA_SECTOR;
    if (!word_valid(words[106]))
        return;
    uint64_t bytes = words_number(&words[117], 2) * 2;
    if (words[106] & 1u << 12)
        identity->logical_block = bytes <= 65536 ? (uint32_t)bytes : 0;
    identity->physical_block = identity->logical_block;
    /* Physical blocks only guide alignment: one that is out of all proportion is left at the logical size. */
    unsigned shift = words[106] & 0xfu;
    if (words[106] & 1u << 13 && identity->logical_block << shift <= 1u << 20)
        identity->physical_block = identity->logical_block << shift;
}

static void parse_modes(const uint16_t *words, struct ata_identity *identity)
{
    identity->dma = words[49] & 1u << 8;
    /* 7.13.7.45: word 88 counts when bit 2 of word 53 is set; modes in bits 6:0, the selected one in 14:8. */
    unsigned modes = words[53] & 1u << 2 ? words[88] : 0;
    bool multiword_selected = words[63] & 7u << 8;
    if (modes & 0x7fu && !(modes & 0x7f00u) && !multiword_selected) {
        identity->mode_needed = true;
        identity->mode = (uint8_t)(ATA_MODE_ULTRA_DMA | (31u - (unsigned)__builtin_clz(modes & 0x7fu)));
    }
}

static void parse_features(const uint16_t *words, struct ata_identity *identity)
{
    bool sets_valid = word_valid(words[83]);
    identity->flush = sets_valid && words[83] & 1u << 12;
    identity->flush_ext = sets_valid && words[83] & 1u << 13 && identity->lba48;
    /* 7.13.7.42: word 85 tells what is enabled, when word 87 is valid. */
    identity->volatile_cache = words[82] & 1u << 5 && (!word_valid(words[87]) || words[85] & 1u << 5);
    identity->error_log = word_valid(words[84]) ? words[84] & 1u << 5 : word_valid(words[87]) && words[87] & 1u << 5;
    /* 7.13.7.36: serial ATA capabilities, neither all zeroes nor all ones on a serial device */
    if (words[76] != 0 && words[76] != 0xffff && words[76] & 1u << 8 && identity->lba48)
        identity->queue_depth = (words[75] & 0x1fu) + 1;
    identity->trim = words[169] & 1u && identity->lba48;
    identity->rotation_rate = words[217] == 1 || (words[217] >= 0x401 && words[217] != 0xffff) ? words[217] : 0;
    identity->locked = words[128] & 1u << 2 && words[128] != 0xffff;
}

static int parse_disk(const uint16_t *words, struct ata_identity *identity, const char **reason)
{
    parse_size(words, identity);
    parse_features(words, identity);
    uint64_t limit = identity->lba48 ? ATA_LBA48_LIMIT : ATA_LBA28_LIMIT;
    if (!(words[49] & 1u << 9) || !identity->dma) {
        *reason = "it is too old: no LBA or no DMA";
        return -ERROR_UNSUPPORTED;
    }
    uint32_t block = identity->logical_block;
    if (!identity->block_count || identity->block_count > limit || block < 512 || block > 65536 ||
        block & (block - 1)) {
        *reason = "its size cannot be true";
        return -ERROR_PROTOCOL;
    }
    return 0;
}

static int parse_packet(const uint16_t *words, struct ata_identity *identity, const char **reason)
{
    /* ACS-3, 7.13.7.2: command set in bits 12:8 of word 0, 05h is CD, DVD and the like; 00h is a disk (LS-120, Zip) */
    unsigned set = words[0] >> 8 & 0x1fu;
    if (set != 5 && set != 0) {
        *reason = "a packet device that holds no blocks";
        return -ERROR_UNSUPPORTED;
    }
    /* Word 62: a bridge that has to be told the direction of DMA, which then stands for word 49. */
    identity->packet_direction = words[62] & 1u << 15;
    if (!identity->dma && !(identity->packet_direction && words[62] & 1u << 10)) {
        *reason = "it is too old: no DMA";
        return -ERROR_UNSUPPORTED;
    }
    identity->packet_size = (words[0] & 3u) == 1 ? 16 : 12;
    return 0;
}

int ata_identity_parse(const uint16_t words[256], bool packet, struct ata_identity *identity, const char **reason)
{
    memset(identity, 0, sizeof(*identity));
    *reason = "";
    /* 7.13.7.91: a low byte of A5h makes word 255 a checksum. */
    if ((words[255] & 0xffu) == 0xa5u && !checksum_good(words)) {
        *reason = "its identification is damaged";
        return -ERROR_PROTOCOL;
    }
    /* 7.13.7.2: bit 15 is 0 on a disk; CompactFlash cards have a value of their own. */
    bool is_packet = (words[0] & 0xc000u) == 0x8000u && words[0] != ATA_COMPACT_FLASH;
    if (is_packet != packet || (!packet && words[0] & 0x8000u && words[0] != ATA_COMPACT_FLASH)) {
        *reason = "its identification is that of another kind of device";
        return -ERROR_PROTOCOL;
    }
    block_text(identity->serial, sizeof(identity->serial), &words[10], 20, true);
    block_text(identity->firmware, sizeof(identity->firmware), &words[23], 8, true);
    block_text(identity->model, sizeof(identity->model), &words[27], 40, true);
    identity->packet = packet;
    identity->removable = words[0] & 1u << 7;
    parse_modes(words, identity);
    /* 7.13.7.4: specific configuration. Both values want the spin-up command, the first has incomplete data until then. */
    identity->spin_up_needed = !packet && (words[2] == 0x37c8 || words[2] == 0x738c);
    if (identity->spin_up_needed)
        return 0;
    return packet ? parse_packet(words, identity, reason) : parse_disk(words, identity, reason);
}

/* ---- errors ---- */

int ata_error_code(uint8_t status, uint8_t error, bool write)
{
    if (error & ATA_ERROR_INTERFACE_CRC)
        return -ERROR_ABORTED; /* damaged on the cable: again */
    if (error & ATA_ERROR_UNCORRECTABLE)
        return write ? -ERROR_WRITE_PROTECTED : -ERROR_MEDIUM;
    /*
     * Ranges are checked before they get here against the size that the disk itself named, so an address that it does not
     * find is a damaged spot, not one beyond the end.
     */
    if (error & ATA_ERROR_ID_NOT_FOUND)
        return -ERROR_MEDIUM;
    if (status & ATA_STATUS_FAULT)
        return -ERROR_IO;
    if (error & ATA_ERROR_NO_MEDIUM)
        return -ERROR_GONE;
    return -ERROR_IO;
}

bool ata_queued_error_parse(const uint8_t log[ATA_SECTOR], unsigned *tag, uint8_t *status, uint8_t *error)
{
    if (log[0] & 0x80u || !checksum_good(log))
        return false;
    *tag = log[0] & 0x1fu;
    *status = log[2];
    *error = log[3];
    return true;
}

void ata_trim_ranges(uint64_t ranges[ATA_TRIM_ENTRIES], uint64_t lba, uint64_t count)
{
    memset(ranges, 0, ATA_SECTOR);
    for (unsigned i = 0; i < ATA_TRIM_ENTRIES && count; i++) {
        uint64_t piece = count < ATA_TRIM_RANGE_MAX ? count : ATA_TRIM_RANGE_MAX;
        ranges[i] = piece << 48 | lba;
        lba += piece;
        count -= piece;
    }
}

/* ---- SCSI sense ---- */

bool scsi_sense_parse(const uint8_t data[SCSI_SENSE_SIZE], struct scsi_sense *sense)
{
    /* SPC-4, 4.5.3: fixed format, current or deferred; devices behind ATAPI know no other. */
    unsigned response = data[0] & 0x7fu;
    if (response != 0x70 && response != 0x71)
        return false;
    sense->key = data[2] & 0xfu;
    /* Additional length: how much of code and qualifier is there. */
    sense->code = data[7] >= 5 ? data[12] : 0;
    sense->qualifier = data[7] >= 6 ? data[13] : 0;
    return true;
}

int scsi_sense_code(struct scsi_sense sense)
{
    switch (sense.key) {
    case 0x0: /* no sense */
    case 0x1: /* recovered */
        return 0;
    case 0x2: /* not ready */
        if (sense.code == 0x04 && sense.qualifier <= 0x01)
            return -ERROR_BUSY; /* becoming ready */
        return sense.code == 0x3a ? -ERROR_GONE : -ERROR_IO;
    case 0x3:
        return -ERROR_MEDIUM;
    case 0x5: /* illegal request */
        if (sense.code == 0x21)
            return -ERROR_OUT_OF_RANGE;
        if (sense.code == 0x64)
            return -ERROR_MEDIUM;                                 /* a block of audio between those of data */
        return sense.code == 0x6f ? -ERROR_REFUSED : -ERROR_IO;   /* copy protection */
    case 0x6:                                                     /* unit attention */
        return sense.code == 0x28 ? -ERROR_GONE : -ERROR_ABORTED; /* 28h: another medium */
    case 0x7:
        return -ERROR_WRITE_PROTECTED;
    case 0xb: /* aborted command */
        return -ERROR_ABORTED;
    default:
        return -ERROR_IO;
    }
}
