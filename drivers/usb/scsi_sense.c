/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a unit says of a command that failed. SPC-4, 4.5. All of it is a device's word: lengths first. */
#include <string.h>

#include "drivers/usb/scsi_internal.h"

#define INFORMATION_DESCRIPTOR 0x00u
#define INFORMATION_DESCRIPTOR_SIZE 12u
#define INFORMATION_VALID 0x80u

/* 4.5.2.2: the information descriptor, if it is there. */
static void find_information(const uint8_t *sense, size_t size, struct scsi_condition *condition)
{
    size_t end = size > 7 ? 8u + sense[7] : 0;

    if (end > size)
        end = size;
    for (size_t at = 8; at + 2 <= end; at += 2u + sense[at + 1]) {
        if (sense[at] != INFORMATION_DESCRIPTOR || at + INFORMATION_DESCRIPTOR_SIZE > end)
            continue;
        condition->information = sense[at + 2] & INFORMATION_VALID;
        condition->block = scsi_big64(sense + at + 4);
        return;
    }
}

bool scsi_condition_read(const struct scsi_command *command, struct scsi_condition *condition)
{
    const uint8_t *sense = command->sense;
    size_t size = command->sense_size < SCSI_SENSE_MAX ? command->sense_size : SCSI_SENSE_MAX;

    memset(condition, 0, sizeof(*condition));
    if (size < 4)
        return false;
    switch (sense[0] & 0x7fu) {
    case 0x71:
        condition->deferred = true;
        /* fall through */
    case 0x70:
        condition->key = sense[2] & 0xfu;
        /* Old bridges leave the additional length at 0 and give the codes all the same: what came over the bus counts. */
        condition->code = size > 12 ? sense[12] : 0;
        condition->qualifier = size > 13 ? sense[13] : 0;
        condition->information = size > 6 && sense[0] & INFORMATION_VALID;
        condition->block = condition->information ? scsi_big32(sense + 3) : 0;
        return true;
    case 0x73:
        condition->deferred = true;
        /* fall through */
    case 0x72:
        condition->key = sense[1] & 0xfu;
        condition->code = sense[2];
        condition->qualifier = sense[3];
        find_information(sense, size, condition);
        return true;
    default:
        return false;
    }
}

static enum error_code illegal_request(uint8_t code)
{
    switch (code) {
    case SCSI_ASC_LBA_OUT_OF_RANGE:
        return ERROR_OUT_OF_RANGE;
    case SCSI_ASC_WRITE_PROTECTED:
        return ERROR_WRITE_PROTECTED;
    default:
        return ERROR_UNSUPPORTED;
    }
}

static enum error_code condition_code(const struct scsi_condition *condition)
{
    switch (condition->key) {
    case SCSI_RECOVERED_ERROR:
        return ERROR_NONE;
    case SCSI_NOT_READY:
        if (condition->code == SCSI_ASC_NO_MEDIUM)
            return ERROR_GONE;
        return condition->code == SCSI_ASC_NOT_READY ? ERROR_BUSY : ERROR_IO;
    case SCSI_MEDIUM_ERROR:
        return ERROR_MEDIUM;
    case SCSI_ILLEGAL_REQUEST:
        return illegal_request(condition->code);
    case SCSI_DATA_PROTECT:
        return ERROR_WRITE_PROTECTED;
    case SCSI_UNIT_ATTENTION:
    case SCSI_ABORTED_COMMAND:
        return ERROR_ABORTED;
    default: /* NO SENSE too: the device said that the command failed, and cannot say why */
        return ERROR_IO;
    }
}

enum error_code scsi_error(const struct scsi_command *command, uint32_t *raw)
{
    struct scsi_condition condition;
    uint32_t ignored;

    raw = raw ? raw : &ignored;
    *raw = command->scsi_status;
    switch (command->scsi_status) {
    case SCSI_GOOD:
    case SCSI_CONDITION_MET:
        return ERROR_NONE;
    case SCSI_BUSY:
    case SCSI_TASK_SET_FULL:
        return ERROR_BUSY;
    case SCSI_RESERVATION_CONFLICT:
        return ERROR_REFUSED;
    case SCSI_CHECK_CONDITION:
        break;
    default:
        return ERROR_PROTOCOL;
    }
    if (!scsi_condition_read(command, &condition))
        return ERROR_IO;
    *raw = (uint32_t)condition.key << 16 | (uint32_t)condition.code << 8 | condition.qualifier;
    return condition.deferred ? ERROR_ABORTED : condition_code(&condition);
}
