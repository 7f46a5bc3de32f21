/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI: bytes of commands and answers. SPC-4, SBC-3. All numbers on the wire are big-endian. */
#ifndef DRIVERS_USB_SCSI_SPEC_H
#define DRIVERS_USB_SCSI_SPEC_H

#include <stdint.h>

/* Operation codes: SPC-4, table E.2; SBC-3, table 28 */
#define SCSI_TEST_UNIT_READY 0x00u
#define SCSI_REQUEST_SENSE 0x03u
#define SCSI_INQUIRY 0x12u
#define SCSI_MODE_SENSE_6 0x1au
#define SCSI_START_STOP_UNIT 0x1bu
#define SCSI_READ_CAPACITY_10 0x25u
#define SCSI_READ_10 0x28u
#define SCSI_WRITE_10 0x2au
#define SCSI_SYNCHRONIZE_CACHE_10 0x35u
#define SCSI_UNMAP 0x42u
#define SCSI_MODE_SENSE_10 0x5au
#define SCSI_READ_16 0x88u
#define SCSI_WRITE_16 0x8au
#define SCSI_SYNCHRONIZE_CACHE_16 0x91u
#define SCSI_WRITE_SAME_16 0x93u
#define SCSI_SERVICE_ACTION_IN_16 0x9eu
#define SCSI_READ_CAPACITY_16 0x10u /* service action of the one above */
#define SCSI_REPORT_LUNS 0xa0u

#define SCSI_INQUIRY_SIZE 36u /* SPC-4, 6.6.2: what every device has */
#define SCSI_TYPE_DISK 0x00u
#define SCSI_TYPE_REDUCED_DISK 0x0eu /* simplified direct-access (RBC) */
#define SCSI_VERSION_SPC_3 5u
#define SCSI_START 0x01u            /* START STOP UNIT, byte 4 */
#define SCSI_MODE_ALL_PAGES 0x3fu   /* SPC-4, 6.13 */
#define SCSI_MODE_CACHING 0x08u     /* SBC-3, 6.5.6 */
#define SCSI_MODE_PROTECTED 0x80u   /* SBC-3, 6.5.1: device-specific parameter, WP */
#define SCSI_CACHING_WRITE 0x04u    /* caching page, byte 2: WCE */
#define SCSI_CAPACITY_10_SIZE 8u    /* SBC-3, 5.15 */
#define SCSI_CAPACITY_16_SIZE 32u   /* SBC-3, 5.16 */
#define SCSI_CAPACITY_UNMAP 0x80u   /* byte 14: LBPME */
#define SCSI_WRITE_SAME_UNMAP 0x08u /* SBC-3, 5.41: byte 1 */
#define SCSI_UNMAP_LIST_SIZE 24u    /* SBC-3, 5.28.2: header and one descriptor */

/* Vital product data: SPC-4, 7.8; SBC-3, 6.6 */
#define SCSI_PAGE_LIST 0x00u
#define SCSI_PAGE_SERIAL 0x80u
#define SCSI_PAGE_LIMITS 0xb0u
#define SCSI_PAGE_CHARACTERISTICS 0xb1u
#define SCSI_PAGE_PROVISIONING 0xb2u
#define SCSI_PROVISIONING_UNMAP 0x80u         /* page b2, byte 5: LBPU */
#define SCSI_PROVISIONING_WRITE_SAME_16 0x40u /* LBPWS */

/* Sense keys: SPC-4, table 43 */
enum scsi_sense_key {
    SCSI_NO_SENSE = 0x0,
    SCSI_RECOVERED_ERROR = 0x1,
    SCSI_NOT_READY = 0x2,
    SCSI_MEDIUM_ERROR = 0x3,
    SCSI_HARDWARE_ERROR = 0x4,
    SCSI_ILLEGAL_REQUEST = 0x5,
    SCSI_UNIT_ATTENTION = 0x6,
    SCSI_DATA_PROTECT = 0x7,
    SCSI_ABORTED_COMMAND = 0xb,
    SCSI_MISCOMPARE = 0xe,
};

/* Additional sense codes: SPC-4, table 44 */
#define SCSI_ASC_NOT_READY 0x04u
#define SCSI_ASCQ_BECOMING_READY 0x01u
#define SCSI_ASCQ_START_NEEDED 0x02u
#define SCSI_ASC_INVALID_OPCODE 0x20u
#define SCSI_ASC_LBA_OUT_OF_RANGE 0x21u
#define SCSI_ASC_INVALID_FIELD 0x24u
#define SCSI_ASC_NO_SUCH_UNIT 0x25u
#define SCSI_ASC_INVALID_PARAMETER 0x26u
#define SCSI_ASC_WRITE_PROTECTED 0x27u
#define SCSI_ASC_MEDIUM_CHANGED 0x28u
#define SCSI_ASC_RESET 0x29u
#define SCSI_ASC_PARAMETERS_CHANGED 0x2au
#define SCSI_ASC_NO_MEDIUM 0x3au
#define SCSI_ASC_CONDITIONS_CHANGED 0x3fu

static inline uint16_t scsi_big16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}
static inline uint32_t scsi_big32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}
static inline uint64_t scsi_big64(const uint8_t *bytes)
{
    return (uint64_t)scsi_big32(bytes) << 32 | scsi_big32(bytes + 4);
}
static inline void scsi_put_big16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}
static inline void scsi_put_big32(uint8_t *bytes, uint32_t value)
{
    scsi_put_big16(bytes, (uint16_t)(value >> 16));
    scsi_put_big16(bytes + 2, (uint16_t)value);
}
static inline void scsi_put_big64(uint8_t *bytes, uint64_t value)
{
    scsi_put_big32(bytes, (uint32_t)(value >> 32));
    scsi_put_big32(bytes + 4, (uint32_t)value);
}

#endif
