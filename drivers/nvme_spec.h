/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers, commands and structures of NVM Express, as far as the driver uses them. Sections are those of the NVM
 * Express Base Specification 1.4c unless another one is named. Everything is little-endian, as are all machines that we
 * run on.
 */
#ifndef DRIVERS_NVME_SPEC_H
#define DRIVERS_NVME_SPEC_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are read in place");

/* 3.1: controller registers */
#define NVME_CAP 0x00u /* 64 bits */
#define NVME_VS 0x08u
#define NVME_INTMS 0x0cu
#define NVME_CC 0x14u
#define NVME_CSTS 0x1cu
#define NVME_AQA 0x24u
#define NVME_ASQ 0x28u  /* 64 bits */
#define NVME_ACQ 0x30u  /* 64 bits */
#define NVME_CRTO 0x68u /* 2.0, 3.1.3.22 */
#define NVME_DOORBELLS 0x1000u

/* 3.1.1: CAP */
#define NVME_CAP_MQES(cap) ((uint32_t)((cap)&0xffffu))     /* 0's based */
#define NVME_CAP_TO(cap) ((uint32_t)((cap) >> 24 & 0xffu)) /* units of 500 ms */
#define NVME_CAP_DSTRD(cap) ((uint32_t)((cap) >> 32 & 0xfu))
#define NVME_CAP_CSS_NVM (1ull << 37)
#define NVME_CAP_CSS_SEVERAL (1ull << 43)
#define NVME_CAP_MPSMIN(cap) ((uint32_t)((cap) >> 48 & 0xfu))
#define NVME_CAP_CRWMS (1ull << 59) /* 2.0: CRTO holds the time to become ready */

/* 3.1.5: CC */
#define NVME_CC_EN 1u
#define NVME_CC_CSS_SEVERAL (6u << 4)
#define NVME_CC_MPS_SHIFT 7
#define NVME_CC_SHN_MASK (3u << 14)
#define NVME_CC_SHN_NORMAL (1u << 14)
#define NVME_CC_IOSQES (6u << 16) /* 64 bytes */
#define NVME_CC_IOCQES (4u << 20) /* 16 bytes */

/* 3.1.6: CSTS */
#define NVME_CSTS_RDY 1u
#define NVME_CSTS_CFS 2u
#define NVME_CSTS_SHST_MASK (3u << 2)
#define NVME_CSTS_SHST_DONE (2u << 2)

#define NVME_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor) << 8)

/* 4.2: submission queue entry */
struct nvme_command {
    uint8_t opcode;
    uint8_t flags;
    uint16_t command_id;
    uint32_t namespace_id;
    uint32_t dword2, dword3;
    uint64_t metadata;
    uint64_t prp1, prp2;
    uint32_t dword10, dword11, dword12, dword13, dword14, dword15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "4.2");

/* 4.6: completion queue entry */
struct nvme_completion {
    uint32_t dword0, dword1;
    uint16_t submission_head, submission_id;
    uint16_t command_id;
    uint16_t status; /* bit 0 is the phase */
};
_Static_assert(sizeof(struct nvme_completion) == 16, "4.6");

/* 5: admin opcodes; 6: NVM opcodes */
#define NVME_ADMIN_CREATE_SUBMISSION_QUEUE 0x01u
#define NVME_ADMIN_CREATE_COMPLETION_QUEUE 0x05u
#define NVME_ADMIN_IDENTIFY 0x06u
#define NVME_ADMIN_SET_FEATURES 0x09u
#define NVME_FEATURE_QUEUES 0x07u
#define NVME_QUEUE_CONTIGUOUS 1u

#define NVME_FLUSH 0x00u
#define NVME_WRITE 0x01u
#define NVME_READ 0x02u
#define NVME_WRITE_ZEROES 0x08u
#define NVME_DATASET_MANAGEMENT 0x09u
#define NVME_DATASET_DEALLOCATE (1u << 2)

/* 6.7: one range of a Dataset Management command */
struct nvme_dataset_range {
    uint32_t attributes;
    uint32_t count;
    uint64_t lba;
};
_Static_assert(sizeof(struct nvme_dataset_range) == 16, "6.7");

/* 5.15: Identify, CNS values */
#define NVME_IDENTIFY_NAMESPACE 0x00u
#define NVME_IDENTIFY_CONTROLLER 0x01u
#define NVME_IDENTIFY_ACTIVE_NAMESPACES 0x02u
#define NVME_IDENTIFY_DESCRIPTORS 0x03u
#define NVME_IDENTIFY_SIZE 4096u

/* 5.15.2.3 (2.0: 5.17.2.3) namespace identification descriptors */
#define NVME_DESCRIPTOR_COMMAND_SET 4u
#define NVME_COMMAND_SET_NVM 0u
#define NVME_COMMAND_SET_ZONED 2u

/* 5.15.2.2: the fields of Identify Controller that matter here */
struct nvme_identify_controller {
    uint16_t vendor_id, subsystem_vendor_id;
    char serial[20];
    char model[40];
    char firmware[8];
    uint8_t recommended_arbitration_burst, ieee[3], multipath;
    uint8_t max_transfer; /* MDTS: power of two of CAP.MPSMIN units; 0: no limit */
    uint16_t controller_id;
    uint32_t version;
    uint32_t resume_latency;   /* RTD3R, microseconds */
    uint32_t shutdown_latency; /* RTD3E, microseconds; 0: not reported */
    uint8_t reserved1[19];
    uint8_t controller_type; /* 0: not reported, 1: I/O */
    uint8_t reserved2[404];
    uint32_t namespaces;        /* NN, at 516 */
    uint16_t optional_commands; /* ONCS, at 520 */
    uint16_t fused;
    uint8_t format_attributes;
    uint8_t volatile_cache; /* VWC, at 525 */
    uint8_t reserved3[3570];
};
#define NVME_ONCS_DATASET (1u << 2)
#define NVME_ONCS_WRITE_ZEROES (1u << 3)
_Static_assert(__builtin_offsetof(struct nvme_identify_controller, max_transfer) == 77, "5.15.2.2");
_Static_assert(__builtin_offsetof(struct nvme_identify_controller, shutdown_latency) == 88, "5.15.2.2");
_Static_assert(__builtin_offsetof(struct nvme_identify_controller, controller_type) == 111, "5.15.2.2");
_Static_assert(__builtin_offsetof(struct nvme_identify_controller, namespaces) == 516, "5.15.2.2");
_Static_assert(__builtin_offsetof(struct nvme_identify_controller, volatile_cache) == 525, "5.15.2.2");
_Static_assert(sizeof(struct nvme_identify_controller) == NVME_IDENTIFY_SIZE, "5.15.2.2");

struct nvme_lba_format {
    uint16_t metadata; /* bytes per block */
    uint8_t shift;     /* LBADS: block size as a power of two; below 9: not available */
    uint8_t performance;
};

/* 5.15.2.1: the fields of Identify Namespace that matter here */
struct nvme_identify_namespace {
    uint64_t size, capacity, used; /* logical blocks */
    uint8_t features;
    uint8_t formats; /* NLBAF, 0's based */
    uint8_t format;  /* FLBAS: bits 3:0 and, since 2.0, 6:5 above them */
    uint8_t metadata_capabilities;
    uint8_t protection_capabilities;
    uint8_t protection; /* DPS */
    uint8_t reserved1[34];
    uint16_t write_granularity; /* NPWG, at 64, 0's based, valid with NVME_NSFEAT_GRANULARITY */
    uint8_t reserved2[33];
    uint8_t attributes; /* NSATTR, at 99 */
    uint8_t reserved3[28];
    struct nvme_lba_format lba_formats[64]; /* 16 before 2.0 */
    uint8_t reserved4[3712];
};
#define NVME_NSFEAT_GRANULARITY (1u << 4)
#define NVME_NSATTR_WRITE_PROTECTED 1u
_Static_assert(__builtin_offsetof(struct nvme_identify_namespace, write_granularity) == 64, "5.15.2.1");
_Static_assert(__builtin_offsetof(struct nvme_identify_namespace, attributes) == 99, "5.15.2.1");
_Static_assert(__builtin_offsetof(struct nvme_identify_namespace, lba_formats) == 128, "5.15.2.1");
_Static_assert(sizeof(struct nvme_identify_namespace) == NVME_IDENTIFY_SIZE, "5.15.2.1");

/* 4.6.1: status field without the phase: SC in bits 7:0, SCT in 10:8, DNR in 14 */
#define NVME_STATUS(type, code) ((uint32_t)(type) << 8 | (uint32_t)(code))
#define NVME_STATUS_MASK 0x7ffu
#define NVME_STATUS_DO_NOT_RETRY (1u << 14)

#endif
