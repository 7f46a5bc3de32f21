/* SPDX-License-Identifier: GPL-2.0-or-later */
/* USB Attached SCSI: bytes on the wire. UAS-3 (T10, revision 04), section 6. Big-endian. */
#ifndef DRIVERS_USB_USB_UAS_SPEC_H
#define DRIVERS_USB_USB_UAS_SPEC_H

#include <stdint.h>

/* 5.3.3.5, table 11: bPipeID */
enum uas_pipe_id { UAS_PIPE_COMMAND = 1, UAS_PIPE_STATUS = 2, UAS_PIPE_DATA_IN = 3, UAS_PIPE_DATA_OUT = 4 };

/* 6.2.1, table 13 */
enum uas_iu_id {
    UAS_IU_COMMAND = 0x01,
    UAS_IU_SENSE = 0x03,
    UAS_IU_RESPONSE = 0x04,
    UAS_IU_TASK_MANAGEMENT = 0x05,
    UAS_IU_READ_READY = 0x06,
    UAS_IU_WRITE_READY = 0x07
};

/* 6.2.2: simple task attribute, CDBs of at most 16 bytes */
struct uas_command_iu {
    uint8_t id, reserved_1;
    uint8_t tag[2];
    uint8_t attribute; /* 6:3 priority, 2:0 task attribute */
    uint8_t reserved_5;
    uint8_t additional_cdb; /* 7:2 length in dwords */
    uint8_t reserved_7;
    uint8_t lun[8];
    uint8_t cdb[16];
};

/* 6.2.7 */
struct uas_task_iu {
    uint8_t id, reserved_1;
    uint8_t tag[2];
    uint8_t function;
    uint8_t reserved_5;
    uint8_t task_tag[2];
    uint8_t lun[8];
};

/* 6.2.5; sense data follows */
struct uas_sense_iu {
    uint8_t id, reserved_1;
    uint8_t tag[2];
    uint8_t status_qualifier[2];
    uint8_t status;
    uint8_t reserved_7[7];
    uint8_t sense_length[2];
};

/* 6.2.6 */
struct uas_response_iu {
    uint8_t id, reserved_1;
    uint8_t tag[2];
    uint8_t additional[3];
    uint8_t code;
};

/* 6.2.3, 6.2.4: READ READY and WRITE READY are the first four bytes alone. */
#define UAS_READY_IU_SIZE 4u

/* Table 20 */
enum uas_task_function { UAS_ABORT_TASK = 0x01, UAS_LOGICAL_UNIT_RESET = 0x08, UAS_I_T_NEXUS_RESET = 0x10 };

/* Table 19 */
enum uas_response_code {
    UAS_TASK_COMPLETE = 0x00,
    UAS_INVALID_IU = 0x02,
    UAS_TASK_NOT_SUPPORTED = 0x04,
    UAS_TASK_FAILED = 0x05,
    UAS_TASK_SUCCEEDED = 0x08,
    UAS_INCORRECT_LUN = 0x09,
    UAS_OVERLAPPED_TAG = 0x0a
};

#endif
