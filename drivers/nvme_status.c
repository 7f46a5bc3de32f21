/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status values: NVM Express Base Specification 1.4c, section 4.6.1.2. */
#include "drivers/nvme_internal.h"

struct nvme_meaning {
    uint32_t status;
    enum error_code code;
};

static const struct nvme_meaning meanings[] = {
    {NVME_STATUS(0, 0x01), ERROR_UNSUPPORTED},     /* invalid command opcode */
    {NVME_STATUS(0, 0x02), ERROR_UNSUPPORTED},     /* invalid field in command */
    {NVME_STATUS(0, 0x0b), ERROR_GONE},            /* invalid namespace or format: it was detached or reformatted */
    {NVME_STATUS(0, 0x15), ERROR_REFUSED},         /* operation denied */
    {NVME_STATUS(0, 0x1d), ERROR_BUSY},            /* sanitize in progress */
    {NVME_STATUS(0, 0x20), ERROR_WRITE_PROTECTED}, /* namespace is write protected */
    {NVME_STATUS(0, 0x80), ERROR_OUT_OF_RANGE},    /* LBA out of range */
    {NVME_STATUS(0, 0x81), ERROR_NO_SPACE},        /* capacity exceeded: thin provisioning ran out */
    {NVME_STATUS(0, 0x83), ERROR_BUSY},            /* reservation conflict: another host holds it */
    {NVME_STATUS(0, 0x84), ERROR_BUSY},            /* format in progress */
    {NVME_STATUS(1, 0x82), ERROR_WRITE_PROTECTED}, /* attempted write to read-only range */
    {NVME_STATUS(2, 0x80), ERROR_MEDIUM},          /* write fault */
    {NVME_STATUS(2, 0x81), ERROR_MEDIUM},          /* unrecovered read error */
    {NVME_STATUS(2, 0x82), ERROR_MEDIUM},          /* guard check error */
    {NVME_STATUS(2, 0x83), ERROR_MEDIUM},          /* application tag check error */
    {NVME_STATUS(2, 0x84), ERROR_MEDIUM},          /* reference tag check error */
    {NVME_STATUS(2, 0x85), ERROR_MISMATCH},        /* compare failure */
    {NVME_STATUS(2, 0x86), ERROR_REFUSED},         /* access denied: a self-encrypting drive that is locked */
    {NVME_STATUS(2, 0x87), ERROR_MEDIUM},          /* deallocated or unwritten block */
};

/* Passing troubles, unless the controller says "do not retry": sent again by block.c, a bounded number of times. */
static const uint32_t passing[] = {
    NVME_STATUS(0, 0x07), /* abort requested */
    NVME_STATUS(0, 0x08), /* submission queue deleted */
    NVME_STATUS(0, 0x21), /* command interrupted */
    NVME_STATUS(0, 0x22), /* transient transport error */
    NVME_STATUS(0, 0x82), /* namespace not ready */
};

int nvme_status_code(uint32_t status)
{
    uint32_t value = status & NVME_STATUS_MASK;
    if (!value)
        return 0;
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        if (passing[i] == value && !(status & NVME_STATUS_DO_NOT_RETRY))
            return -ERROR_ABORTED;
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].status == value)
            return -(int)meanings[i].code;
    return -ERROR_IO;
}
