/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers, TRBs and contexts of xHCI, as far as the driver and its tests use them. Sections are those of the eXtensible
 * Host Controller Interface for Universal Serial Bus, revision 1.2. Everything is little-endian, as are all machines that
 * we run on.
 */
#ifndef DRIVERS_USB_XHCI_SPEC_H
#define DRIVERS_USB_XHCI_SPEC_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are read in place");

/* ---- 5.3: capability registers, from the BAR's start ---- */

#define XHCI_CAPLENGTH 0x00u /* 7:0 length; 31:16 HCIVERSION, as BCD: 0x0110 */
#define XHCI_HCSPARAMS1 0x04u
#define XHCI_HCSPARAMS2 0x08u
#define XHCI_HCSPARAMS3 0x0cu
#define XHCI_HCCPARAMS1 0x10u
#define XHCI_DBOFF 0x14u  /* 31:2 */
#define XHCI_RTSOFF 0x18u /* 31:5 */
#define XHCI_HCCPARAMS2 0x1cu

#define XHCI_CAP_LENGTH(cap) ((cap)&0xffu)
#define XHCI_CAP_VERSION(cap) ((cap) >> 16)
#define XHCI_DBOFF_MASK 0xfffffffcu
#define XHCI_RTSOFF_MASK 0xffffffe0u

#define XHCI_HCSPARAMS1_SLOTS(value) ((value)&0xffu)
#define XHCI_HCSPARAMS1_INTERRUPTERS(value) ((value) >> 8 & 0x7ffu)
#define XHCI_HCSPARAMS1_PORTS(value) ((value) >> 24)

#define XHCI_HCSPARAMS2_ERST_MAX(value) ((value) >> 4 & 0xfu) /* log2 of event ring segments */
#define XHCI_HCSPARAMS2_SCRATCHPADS(value) (((value) >> 21 & 0x1fu) << 5 | (value) >> 27)

#define XHCI_HCCPARAMS1_AC64 (1u << 0)                        /* 64-bit addresses */
#define XHCI_HCCPARAMS1_CSZ (1u << 2)                         /* contexts of 64 bytes */
#define XHCI_HCCPARAMS1_PPC (1u << 3)                         /* port power control */
#define XHCI_HCCPARAMS1_NSS (1u << 7)                         /* no secondary stream arrays */
#define XHCI_HCCPARAMS1_SPC (1u << 9)                         /* stopped - short packet */
#define XHCI_HCCPARAMS1_MAX_PSA(value) ((value) >> 12 & 0xfu) /* primary stream array of 2^(n+1) entries; 0: none */
#define XHCI_HCCPARAMS1_XECP(value) ((value) >> 16)           /* in dwords from the BAR's start; 0: none */

/* ---- 5.4: operational registers, from CAPLENGTH ---- */

#define XHCI_USBCMD 0x00u
#define XHCI_USBSTS 0x04u
#define XHCI_PAGESIZE 0x08u /* bit n: pages of 2^(n+12) bytes */
#define XHCI_DNCTRL 0x14u
#define XHCI_CRCR 0x18u   /* 64 bits; reads as zeroes but for CRR */
#define XHCI_DCBAAP 0x30u /* 64 bits */
#define XHCI_CONFIG 0x38u
#define XHCI_PORTS 0x400u
#define XHCI_PORT_STRIDE 0x10u
#define XHCI_PORTSC(port) (XHCI_PORTS + XHCI_PORT_STRIDE * ((port)-1u)) /* ports count from 1 */
#define XHCI_PORTPMSC(port) (XHCI_PORTSC(port) + 0x4u)
#define XHCI_PORTLI(port) (XHCI_PORTSC(port) + 0x8u)

#define XHCI_USBCMD_RUN (1u << 0)
#define XHCI_USBCMD_RESET (1u << 1)
#define XHCI_USBCMD_INTERRUPTS (1u << 2)
#define XHCI_USBCMD_HSE_ENABLE (1u << 3)
#define XHCI_USBCMD_WRAP_EVENTS (1u << 10)

#define XHCI_USBSTS_HALTED (1u << 0)
#define XHCI_USBSTS_HSE (1u << 2)  /* host system error; written 1 to clear */
#define XHCI_USBSTS_EINT (1u << 3) /* written 1 to clear */
#define XHCI_USBSTS_PCD (1u << 4)  /* port change detect; written 1 to clear */
#define XHCI_USBSTS_SRE (1u << 10) /* written 1 to clear */
#define XHCI_USBSTS_NOT_READY (1u << 11)
#define XHCI_USBSTS_HCE (1u << 12) /* host controller error: only a reset helps */

#define XHCI_CRCR_CYCLE (1u << 0)
#define XHCI_CRCR_STOP (1u << 1)
#define XHCI_CRCR_ABORT (1u << 2)
#define XHCI_CRCR_RUNNING (1u << 3)

#define XHCI_CONFIG_SLOTS_MASK 0xffu

/* 5.4.8: PORTSC. "Change" bits are cleared by writing ones, as is PED (which disables the port). */
#define XHCI_PORTSC_CCS (1u << 0) /* connected */
#define XHCI_PORTSC_PED (1u << 1) /* enabled */
#define XHCI_PORTSC_OCA (1u << 3) /* over-current */
#define XHCI_PORTSC_PR (1u << 4)  /* reset under way; writing 1 starts it */
#define XHCI_PORTSC_PLS_SHIFT 5
#define XHCI_PORTSC_PLS_MASK (0xfu << XHCI_PORTSC_PLS_SHIFT)
#define XHCI_PORTSC_PLS(value) ((value) >> XHCI_PORTSC_PLS_SHIFT & 0xfu)
#define XHCI_PORTSC_PP (1u << 9)                        /* powered */
#define XHCI_PORTSC_SPEED(value) ((value) >> 10 & 0xfu) /* a protocol speed ID; 0: undefined */
#define XHCI_PORTSC_SPEED_SHIFT 10
#define XHCI_PORTSC_PIC_MASK (3u << 14) /* indicator */
#define XHCI_PORTSC_LWS (1u << 16)      /* link state write strobe */
#define XHCI_PORTSC_CSC (1u << 17)      /* connect status change */
#define XHCI_PORTSC_PEC (1u << 18)      /* enabled/disabled change */
#define XHCI_PORTSC_WRC (1u << 19)      /* warm reset change */
#define XHCI_PORTSC_OCC (1u << 20)      /* over-current change */
#define XHCI_PORTSC_PRC (1u << 21)      /* reset change */
#define XHCI_PORTSC_PLC (1u << 22)      /* link state change */
#define XHCI_PORTSC_CEC (1u << 23)      /* config error change */
#define XHCI_PORTSC_CHANGES                                                                                            \
    (XHCI_PORTSC_CSC | XHCI_PORTSC_PEC | XHCI_PORTSC_WRC | XHCI_PORTSC_OCC | XHCI_PORTSC_PRC | XHCI_PORTSC_PLC |       \
     XHCI_PORTSC_CEC)
#define XHCI_PORTSC_CAS (1u << 24) /* cold attach status */
#define XHCI_PORTSC_WAKE_MASK (7u << 25)
#define XHCI_PORTSC_DR (1u << 30)  /* device is not removable */
#define XHCI_PORTSC_WPR (1u << 31) /* warm reset, USB 3 */

/* Link states: values of PORTSC.PLS */
enum xhci_link_state {
    XHCI_LINK_U0 = 0,
    XHCI_LINK_U1 = 1,
    XHCI_LINK_U2 = 2,
    XHCI_LINK_U3 = 3,
    XHCI_LINK_DISABLED = 4,
    XHCI_LINK_RX_DETECT = 5,
    XHCI_LINK_INACTIVE = 6,
    XHCI_LINK_POLLING = 7,
    XHCI_LINK_RECOVERY = 8,
    XHCI_LINK_HOT_RESET = 9,
    XHCI_LINK_COMPLIANCE = 10,
    XHCI_LINK_TEST = 11,
    XHCI_LINK_RESUME = 15,
};

/* ---- 5.5: runtime registers, from RTSOFF ---- */

#define XHCI_MFINDEX 0x00u
#define XHCI_INTERRUPTER(index) (0x20u + 0x20u * (index))
/* From an interrupter's start */
#define XHCI_IMAN 0x00u
#define XHCI_IMOD 0x04u
#define XHCI_ERSTSZ 0x08u
#define XHCI_ERSTBA 0x10u /* 64 bits */
#define XHCI_ERDP 0x18u   /* 64 bits */

#define XHCI_IMAN_PENDING (1u << 0) /* written 1 to clear */
#define XHCI_IMAN_ENABLE (1u << 1)
#define XHCI_ERDP_SEGMENT_MASK 7u
#define XHCI_ERDP_BUSY (1u << 3) /* event handler busy; written 1 to clear */

/* 6.5: event ring segment table entry */
struct xhci_event_segment {
    uint64_t address; /* 64-byte aligned */
    uint32_t size;    /* TRBs: 16 to 4096 */
    uint32_t reserved;
};
_Static_assert(sizeof(struct xhci_event_segment) == 16, "6.5");

/* ---- 5.6: doorbells, from DBOFF ---- */

#define XHCI_DOORBELL(slot) (4u * (slot)) /* 0: commands */
#define XHCI_DOORBELL_COMMAND 0u
#define XHCI_DOORBELL_VALUE(endpoint_id, stream) ((uint32_t)(stream) << 16 | (uint32_t)(endpoint_id))

/* ---- 7: extended capabilities, from XECP ---- */

#define XHCI_EXTENDED_ID(value) ((value)&0xffu)
#define XHCI_EXTENDED_NEXT(value) ((value) >> 8 & 0xffu) /* in dwords; 0: the last */
#define XHCI_EXTENDED_LEGACY 1u
#define XHCI_EXTENDED_PROTOCOL 2u

/* 7.1: USB legacy support: USBLEGSUP, then USBLEGCTLSTS */
#define XHCI_LEGSUP_BIOS_OWNED (1u << 16)
#define XHCI_LEGSUP_OS_OWNED (1u << 24)
#define XHCI_LEGCTLSTS 0x04u
#define XHCI_LEGCTLSTS_ENABLES 0x0000e011u /* SMI enables: 0, 4, 13 to 15 */
#define XHCI_LEGCTLSTS_EVENTS 0xe0000000u  /* written 1 to clear */

/* 7.2: supported protocol, four dwords and its speed IDs */
#define XHCI_PROTOCOL_NAME 0x04u
#define XHCI_PROTOCOL_NAME_USB 0x20425355u /* "USB " */
#define XHCI_PROTOCOL_PORTS 0x08u
#define XHCI_PROTOCOL_SLOT_TYPE 0x0cu
#define XHCI_PROTOCOL_SPEEDS 0x10u
#define XHCI_PROTOCOL_MINOR(value) ((value) >> 16 & 0xffu)
#define XHCI_PROTOCOL_MAJOR(value) ((value) >> 24)
#define XHCI_PROTOCOL_FIRST_PORT(value) ((value)&0xffu)
#define XHCI_PROTOCOL_PORT_COUNT(value) ((value) >> 8 & 0xffu)
#define XHCI_PROTOCOL_SPEED_COUNT(value) ((value) >> 28)
#define XHCI_PROTOCOL_TYPE(value) ((value)&0x1fu)
/* 7.2.2.1.1: protocol speed ID */
#define XHCI_SPEED_ID(value) ((value)&0xfu)
#define XHCI_SPEED_EXPONENT(value) ((value) >> 4 & 3u) /* 0: bit/s, 1: kbit/s, 2: Mbit/s, 3: Gbit/s */
#define XHCI_SPEED_MANTISSA(value) ((value) >> 16)

/* ---- 6.4: TRBs ---- */

struct xhci_trb {
    uint64_t parameter;
    uint32_t status;
    uint32_t control;
};
_Static_assert(sizeof(struct xhci_trb) == 16, "4.11.1");

/* 6.4.6: TRB types, control bits 15:10 */
enum xhci_trb_type {
    XHCI_TRB_NORMAL = 1,
    XHCI_TRB_SETUP = 2,
    XHCI_TRB_DATA = 3,
    XHCI_TRB_STATUS = 4,
    XHCI_TRB_ISOCHRONOUS = 5,
    XHCI_TRB_LINK = 6,
    XHCI_TRB_EVENT_DATA = 7,
    XHCI_TRB_NO_OP = 8,
    XHCI_TRB_ENABLE_SLOT = 9,
    XHCI_TRB_DISABLE_SLOT = 10,
    XHCI_TRB_ADDRESS_DEVICE = 11,
    XHCI_TRB_CONFIGURE_ENDPOINT = 12,
    XHCI_TRB_EVALUATE_CONTEXT = 13,
    XHCI_TRB_RESET_ENDPOINT = 14,
    XHCI_TRB_STOP_ENDPOINT = 15,
    XHCI_TRB_SET_DEQUEUE = 16,
    XHCI_TRB_RESET_DEVICE = 17,
    XHCI_TRB_NO_OP_COMMAND = 23,
    XHCI_TRB_TRANSFER_EVENT = 32,
    XHCI_TRB_COMMAND_EVENT = 33,
    XHCI_TRB_PORT_EVENT = 34,
    XHCI_TRB_HOST_EVENT = 37,
    XHCI_TRB_NOTIFICATION_EVENT = 38,
    XHCI_TRB_WRAP_EVENT = 39,
};
#define XHCI_TRB_TYPE(type) ((uint32_t)(type) << 10)
#define XHCI_TRB_TYPE_OF(control) ((control) >> 10 & 0x3fu)

/* Control bits; each only where its TRB type has it */
#define XHCI_TRB_CYCLE (1u << 0)
#define XHCI_TRB_TOGGLE_CYCLE (1u << 1) /* link */
#define XHCI_TRB_EVALUATE_NEXT (1u << 1)
#define XHCI_TRB_ISP (1u << 2)            /* event on a short packet */
#define XHCI_TRB_EVENT_DATA_BIT (1u << 2) /* transfer event: parameter is an Event Data TRB's */
#define XHCI_TRB_NO_SNOOP (1u << 3)
#define XHCI_TRB_CHAIN (1u << 4)
#define XHCI_TRB_IOC (1u << 5)
#define XHCI_TRB_IMMEDIATE (1u << 6) /* parameter is the data itself: at most 8 bytes */
#define XHCI_TRB_BLOCK_EVENT (1u << 9)
#define XHCI_TRB_IN (1u << 16)            /* data and status stage */
#define XHCI_TRB_SETUP_NO_DATA (0u << 16) /* setup stage: transfer type */
#define XHCI_TRB_SETUP_OUT (2u << 16)
#define XHCI_TRB_SETUP_IN (3u << 16)
#define XHCI_TRB_BLOCK_ADDRESS (1u << 9)                  /* Address Device: no SET_ADDRESS */
#define XHCI_TRB_DECONFIGURE (1u << 9)                    /* Configure Endpoint */
#define XHCI_TRB_PRESERVE (1u << 9)                       /* Reset Endpoint: transfer state preserve */
#define XHCI_TRB_SUSPEND (1u << 23)                       /* Stop Endpoint */
#define XHCI_TRB_SLOT_TYPE(type) ((uint32_t)(type) << 16) /* Enable Slot */
#define XHCI_TRB_ENDPOINT(id) ((uint32_t)(id) << 16)
#define XHCI_TRB_ENDPOINT_OF(control) ((control) >> 16 & 0x1fu)
#define XHCI_TRB_SLOT(slot) ((uint32_t)(slot) << 24)
#define XHCI_TRB_SLOT_OF(control) ((control) >> 24)

/* Status of transfer TRBs */
#define XHCI_TRB_LENGTH_MASK 0x1ffffu
#define XHCI_TRB_TD_SIZE(packets) ((uint32_t)(packets) << 17)
#define XHCI_TRB_TD_SIZE_OF(status) ((status) >> 17 & 0x1fu)
#define XHCI_TRB_TD_SIZE_MAX 31u
#define XHCI_TRB_TRANSFER_MAX 65536u /* bytes of one TRB; nor may it cross a boundary of this (4.11.2.1) */

/* Status of Set TR Dequeue Pointer, and low bits of its parameter */
#define XHCI_DEQUEUE_STREAM(stream) ((uint32_t)(stream) << 16)
#define XHCI_DEQUEUE_STREAM_OF(status) ((status) >> 16)
#define XHCI_DEQUEUE_CYCLE 1u
#define XHCI_DEQUEUE_PRIMARY (1u << 1) /* SCT 1: a primary transfer ring */

/* Events */
#define XHCI_EVENT_CODE(status) ((status) >> 24)
#define XHCI_EVENT_LENGTH(status) ((status)&0xffffffu) /* transfer event: bytes that were not moved */
#define XHCI_EVENT_PORT(parameter) ((uint32_t)((parameter) >> 24 & 0xffu))

/* 6.4.5: completion codes */
enum xhci_completion {
    XHCI_INVALID = 0,
    XHCI_SUCCESS = 1,
    XHCI_DATA_BUFFER_ERROR = 2,
    XHCI_BABBLE = 3,
    XHCI_TRANSACTION_ERROR = 4,
    XHCI_TRB_ERROR = 5,
    XHCI_STALL = 6,
    XHCI_RESOURCE_ERROR = 7,
    XHCI_BANDWIDTH_ERROR = 8,
    XHCI_NO_SLOTS = 9,
    XHCI_INVALID_STREAM_TYPE = 10,
    XHCI_SLOT_NOT_ENABLED = 11,
    XHCI_ENDPOINT_NOT_ENABLED = 12,
    XHCI_SHORT_PACKET = 13,
    XHCI_RING_UNDERRUN = 14,
    XHCI_RING_OVERRUN = 15,
    XHCI_PARAMETER_ERROR = 17,
    XHCI_CONTEXT_STATE_ERROR = 19,
    XHCI_NO_PING_RESPONSE = 20,
    XHCI_EVENT_RING_FULL = 21,
    XHCI_INCOMPATIBLE_DEVICE = 22,
    XHCI_MISSED_SERVICE = 23,
    XHCI_COMMAND_RING_STOPPED = 24,
    XHCI_COMMAND_ABORTED = 25,
    XHCI_STOPPED = 26,
    XHCI_STOPPED_LENGTH_INVALID = 27,
    XHCI_STOPPED_SHORT_PACKET = 28,
    XHCI_EXIT_LATENCY_TOO_LARGE = 29,
    XHCI_EVENT_LOST = 32,
    XHCI_UNDEFINED_ERROR = 33,
    XHCI_INVALID_STREAM_ID = 34,
    XHCI_SECONDARY_BANDWIDTH = 35,
    XHCI_SPLIT_TRANSACTION_ERROR = 36,
};

/* ---- 6.2: contexts: 8 dwords each; of 64 bytes with HCCPARAMS1.CSZ, the upper half reserved ---- */

#define XHCI_CONTEXT_MAX 64u
#define XHCI_ENDPOINTS 31u       /* device context index (DCI): 1 for endpoint 0, 2 x number + IN for the others */
#define XHCI_DEVICE_CONTEXTS 32u /* slot, 31 endpoints */
#define XHCI_INPUT_CONTEXTS 33u  /* input control, slot, 31 endpoints */

/* 6.2.5.1: input control context */
struct xhci_input_control {
    uint32_t drop, add; /* bits by device context index; 0 is the slot */
    uint32_t reserved[5];
    uint32_t configuration;
};
_Static_assert(sizeof(struct xhci_input_control) == 32, "6.2.5.1");

/* 6.2.2: slot context */
struct xhci_slot_context {
    uint32_t info;  /* 19:0 route string, 23:20 speed, MTT, hub, 31:27 context entries */
    uint32_t port;  /* 15:0 max exit latency, 23:16 root hub port, 31:24 ports of a hub */
    uint32_t hub;   /* 7:0 slot of the translator's hub, 15:8 its port, 17:16 think time, 31:22 interrupter */
    uint32_t state; /* 7:0 address, 31:27 slot state */
    uint32_t reserved[4];
};
_Static_assert(sizeof(struct xhci_slot_context) == 32, "6.2.2");
#define XHCI_SLOT_ROUTE_MASK 0xfffffu
#define XHCI_SLOT_SPEED(speed) ((uint32_t)(speed) << 20)
#define XHCI_SLOT_SPEED_OF(info) ((info) >> 20 & 0xfu)
#define XHCI_SLOT_MTT (1u << 25)
#define XHCI_SLOT_HUB (1u << 26)
#define XHCI_SLOT_ENTRIES(count) ((uint32_t)(count) << 27)
#define XHCI_SLOT_ENTRIES_OF(info) ((info) >> 27)
#define XHCI_SLOT_ENTRIES_MASK (0x1fu << 27)
#define XHCI_SLOT_ROOT_PORT(port) ((uint32_t)(port) << 16)
#define XHCI_SLOT_ROOT_PORT_OF(value) ((value) >> 16 & 0xffu)
#define XHCI_SLOT_HUB_PORTS(ports) ((uint32_t)(ports) << 24)
#define XHCI_SLOT_TT_SLOT(slot) ((uint32_t)(slot))
#define XHCI_SLOT_TT_PORT(port) ((uint32_t)(port) << 8)
#define XHCI_SLOT_THINK_TIME(time) ((uint32_t)(time) << 16)
#define XHCI_SLOT_THINK_TIME_MASK (3u << 16)
#define XHCI_SLOT_ADDRESS_OF(state) ((state)&0xffu)
#define XHCI_SLOT_STATE_OF(state) ((state) >> 27)
#define XHCI_SLOT_STATE(state) ((uint32_t)(state) << 27)
enum xhci_slot_state {
    XHCI_SLOT_ENABLED = 0,
    XHCI_SLOT_DEFAULT = 1,
    XHCI_SLOT_ADDRESSED = 2,
    XHCI_SLOT_CONFIGURED = 3
};

/* 6.2.3: endpoint context */
struct xhci_endpoint_context {
    uint32_t info;    /* 2:0 state, 9:8 mult, 14:10 max primary streams, LSA, 23:16 interval, 31:24 ESIT payload high */
    uint32_t type;    /* 2:1 error count, 5:3 type, 15:8 max burst, 31:16 max packet */
    uint64_t dequeue; /* of the transfer ring or the stream array; bit 0: cycle state */
    uint32_t length;  /* 15:0 average TRB length, 31:16 ESIT payload low */
    uint32_t reserved[3];
};
_Static_assert(sizeof(struct xhci_endpoint_context) == 32, "6.2.3");
#define XHCI_ENDPOINT_STATE_OF(info) ((info)&7u)
#define XHCI_ENDPOINT_STREAMS(log2_less_1) ((uint32_t)(log2_less_1) << 10) /* array of 2^(n+1) stream contexts */
#define XHCI_ENDPOINT_STREAMS_OF(info) ((info) >> 10 & 0x1fu)
#define XHCI_ENDPOINT_LINEAR_STREAMS (1u << 15)
#define XHCI_ENDPOINT_INTERVAL(value) ((uint32_t)(value) << 16)
#define XHCI_ENDPOINT_INTERVAL_OF(info) ((info) >> 16 & 0xffu)
#define XHCI_ENDPOINT_ESIT_HIGH(bytes) (((uint32_t)(bytes) >> 16 & 0xffu) << 24)
#define XHCI_ENDPOINT_ERROR_COUNT(count) ((uint32_t)(count) << 1)
#define XHCI_ENDPOINT_ERROR_COUNT_OF(type) ((type) >> 1 & 3u)
#define XHCI_ENDPOINT_TYPE(type) ((uint32_t)(type) << 3)
#define XHCI_ENDPOINT_TYPE_OF(type) ((type) >> 3 & 7u)
#define XHCI_ENDPOINT_MAX_BURST(packets) ((uint32_t)(packets) << 8)
#define XHCI_ENDPOINT_MAX_BURST_OF(type) ((type) >> 8 & 0xffu)
#define XHCI_ENDPOINT_MAX_PACKET(bytes) ((uint32_t)(bytes) << 16)
#define XHCI_ENDPOINT_MAX_PACKET_OF(type) ((type) >> 16)
#define XHCI_ENDPOINT_AVERAGE(bytes) ((uint32_t)(bytes)&0xffffu)
#define XHCI_ENDPOINT_ESIT_LOW(bytes) ((uint32_t)(bytes) << 16)
enum xhci_endpoint_type {
    XHCI_ENDPOINT_ISOCHRONOUS_OUT = 1,
    XHCI_ENDPOINT_BULK_OUT = 2,
    XHCI_ENDPOINT_INTERRUPT_OUT = 3,
    XHCI_ENDPOINT_CONTROL = 4,
    XHCI_ENDPOINT_ISOCHRONOUS_IN = 5,
    XHCI_ENDPOINT_BULK_IN = 6,
    XHCI_ENDPOINT_INTERRUPT_IN = 7,
};
enum xhci_endpoint_state {
    XHCI_ENDPOINT_DISABLED = 0,
    XHCI_ENDPOINT_RUNNING = 1,
    XHCI_ENDPOINT_HALTED = 2,
    XHCI_ENDPOINT_STOPPED = 3,
    XHCI_ENDPOINT_ERROR = 4,
};

/* 6.2.4.1: stream context */
struct xhci_stream_context {
    uint64_t dequeue; /* bit 0: cycle state; 3:1 type */
    uint32_t stopped; /* 23:0 bytes moved in the TD that it stopped in */
    uint32_t reserved;
};
_Static_assert(sizeof(struct xhci_stream_context) == 16, "6.2.4.1");
#define XHCI_STREAM_PRIMARY (1u << 1) /* SCT 1: a primary transfer ring; linear arrays hold nothing else */

#endif
