/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers and memory structures of Serial ATA AHCI 1.3.1, as far as the driver uses them. Everything is little-endian, as are
 * all machines that we run on.
 */
#ifndef DRIVERS_AHCI_SPEC_H
#define DRIVERS_AHCI_SPEC_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are read in place");

/* 2.1.11: the registers' BAR */
#define AHCI_BAR 5u

/* 3.1: generic host control */
#define AHCI_CAP 0x00u
#define AHCI_GHC 0x04u
#define AHCI_IS 0x08u
#define AHCI_PI 0x0cu
#define AHCI_VS 0x10u
#define AHCI_CAP2 0x24u
#define AHCI_BOHC 0x28u
#define AHCI_GENERIC_SIZE 0x100u

#define AHCI_CAP_SLOTS(cap) (((cap) >> 8 & 0x1fu) + 1) /* NCS is 0's based */
#define AHCI_CAP_SCLO (1u << 24)
#define AHCI_CAP_SNCQ (1u << 30)
#define AHCI_CAP_S64A (1u << 31)
#define AHCI_GHC_HR (1u << 0)
#define AHCI_GHC_IE (1u << 1)
#define AHCI_GHC_AE (1u << 31)
#define AHCI_CAP2_BOH (1u << 0)
#define AHCI_BOHC_BOS (1u << 0)
#define AHCI_BOHC_OOS (1u << 1)
#define AHCI_BOHC_BB (1u << 4)

/* 3.3: port registers, at AHCI_GENERIC_SIZE + port * AHCI_PORT_SIZE */
#define AHCI_PORTS 32u
#define AHCI_PORT_SIZE 0x80u
#define AHCI_PxCLB 0x00u /* 64 bits */
#define AHCI_PxFB 0x08u  /* 64 bits */
#define AHCI_PxIS 0x10u
#define AHCI_PxIE 0x14u
#define AHCI_PxCMD 0x18u
#define AHCI_PxTFD 0x20u
#define AHCI_PxSIG 0x24u
#define AHCI_PxSSTS 0x28u
#define AHCI_PxSCTL 0x2cu
#define AHCI_PxSERR 0x30u
#define AHCI_PxSACT 0x34u
#define AHCI_PxCI 0x38u
#define AHCI_PxFBS 0x40u
#define AHCI_PxDEVSLP 0x44u

/* 3.3.5: PxIS */
#define AHCI_IS_PCS (1u << 6)   /* connect change */
#define AHCI_IS_PRCS (1u << 22) /* PhyRdy change */
#define AHCI_IS_OFS (1u << 24)  /* the device sent more than asked for */
#define AHCI_IS_IFS (1u << 27)  /* interface fatal error */
#define AHCI_IS_HBDS (1u << 28) /* host bus data error */
#define AHCI_IS_HBFS (1u << 29) /* host bus fatal error */
#define AHCI_IS_TFES (1u << 30) /* task file error */

/* 3.3.7: PxCMD */
#define AHCI_CMD_ST (1u << 0)
#define AHCI_CMD_SUD (1u << 1)
#define AHCI_CMD_POD (1u << 2)
#define AHCI_CMD_CLO (1u << 3)
#define AHCI_CMD_FRE (1u << 4)
#define AHCI_CMD_FR (1u << 14)
#define AHCI_CMD_CR (1u << 15)
#define AHCI_CMD_PMA (1u << 17)
#define AHCI_CMD_ATAPI (1u << 24)
#define AHCI_CMD_ALPE (1u << 26)
#define AHCI_CMD_ICC_MASK (0xfu << 28)
#define AHCI_CMD_ICC_ACTIVE (1u << 28)

/* 3.3.8 to 3.3.12 */
#define AHCI_TFD_STATUS(tfd) ((uint8_t)(tfd))
#define AHCI_TFD_ERROR(tfd) ((uint8_t)((tfd) >> 8))
#define AHCI_SIG_ATA 0x00000101u
#define AHCI_SIG_ATAPI 0xeb140101u
#define AHCI_SIG_MULTIPLIER 0x96690101u
#define AHCI_SIG_ENCLOSURE 0xc33c0101u
#define AHCI_SSTS_DET(ssts) ((ssts)&0xfu)
#define AHCI_DET_NONE 0u
#define AHCI_DET_UP 3u
#define AHCI_SCTL_DET_RESET 1u
#define AHCI_SCTL_NO_POWER_SAVING (7u << 8) /* IPM: neither Partial nor Slumber nor DevSleep */

/* 4.2.2: command header */
struct ahci_header {
    uint16_t flags; /* AHCI_HEADER_* and the length of the command FIS in dwords */
    uint16_t prdt_length;
    uint32_t bytes; /* PRDBC: transferred; of no meaning for queued commands */
    uint64_t table;
    uint32_t reserved[4];
};
_Static_assert(sizeof(struct ahci_header) == 32, "4.2.2");
#define AHCI_HEADER_ATAPI (1u << 5)
#define AHCI_HEADER_WRITE (1u << 6)

/* 4.2.3.3: physical region descriptor */
struct ahci_region {
    uint64_t address; /* even */
    uint32_t reserved;
    uint32_t bytes; /* bits 21:0, 0's based, odd */
};
_Static_assert(sizeof(struct ahci_region) == 16, "4.2.3.3");
#define AHCI_REGION_MAX (4u << 20)

/* Serial ATA 3.x, 10.5.5: register FIS, host to device */
struct ahci_command_fis {
    uint8_t type, flags, command, features_low;
    uint8_t lba0, lba1, lba2, device;
    uint8_t lba3, lba4, lba5, features_high;
    uint8_t count_low, count_high, isochronous, control;
    uint8_t reserved[4];
};
_Static_assert(sizeof(struct ahci_command_fis) == 20, "10.5.5");
#define AHCI_FIS_HOST_TO_DEVICE 0x27u
#define AHCI_FIS_COMMAND 0x80u /* of flags: the command register was written */

/* 4.2.3: command table. Ours has room for as many regions as the biggest transfer can need; tables are 128-byte aligned. */
#define AHCI_TABLE_REGIONS 8u
struct ahci_table {
    struct ahci_command_fis fis;
    uint8_t fis_rest[44];
    uint8_t packet[16];
    uint8_t reserved[48];
    struct ahci_region regions[AHCI_TABLE_REGIONS];
};
_Static_assert(__builtin_offsetof(struct ahci_table, packet) == 0x40, "4.2.3");
_Static_assert(__builtin_offsetof(struct ahci_table, regions) == 0x80, "4.2.3");
_Static_assert(sizeof(struct ahci_table) == 256, "4.2.3");

#define AHCI_SLOTS 32u
#define AHCI_LIST_SIZE (AHCI_SLOTS * sizeof(struct ahci_header)) /* 1 KiB aligned */
#define AHCI_RECEIVE_SIZE 256u                                   /* 256-byte aligned */

#endif
