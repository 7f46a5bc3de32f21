/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the bulk-only transport share. Universal Serial Bus Mass Storage Class, Bulk-Only Transport, revision 1.0.
 *
 * The wire carries one command at a time: a command wrapper out, data in or out, a status wrapper in. usb_bulk_only_wire.c moves
 * it on inside poll(); what needs control requests (a stalled endpoint, a reset) is done by usb_bulk_only.c on the device's fiber.
 */
#ifndef DRIVERS_USB_USB_BULK_ONLY_H
#define DRIVERS_USB_USB_BULK_ONLY_H

#include "drivers/usb/usb_storage.h"

/* 5.1 and 5.2; little-endian */
#define BULK_ONLY_COMMAND_SIGNATURE 0x43425355u
#define BULK_ONLY_STATUS_SIGNATURE 0x53425355u
#define BULK_ONLY_COMMAND_SIZE 31u
#define BULK_ONLY_STATUS_SIZE 13u
#define BULK_ONLY_IN 0x80u

struct bulk_only_command {
    uint32_t signature, tag, length;
    uint8_t flags, lun, cdb_length, cdb[SCSI_CDB_MAX];
} __attribute__((packed));

struct bulk_only_status {
    uint32_t signature, tag, residue;
    uint8_t status;
} __attribute__((packed));

_Static_assert(sizeof(struct bulk_only_command) == BULK_ONLY_COMMAND_SIZE, "as in table 5.1");
_Static_assert(sizeof(struct bulk_only_status) == BULK_ONLY_STATUS_SIZE, "as in table 5.2");

/* Table 5.3 */
enum bulk_only_result { BULK_ONLY_PASSED = 0, BULK_ONLY_FAILED = 1, BULK_ONLY_PHASE_ERROR = 2 };

/* 3.1, 3.2 */
#define BULK_ONLY_RESET 0xffu
#define BULK_ONLY_GET_MAX_LUN 0xfeu

#define BULK_ONLY_QUEUE 8u       /* policy: commands held, one of them on the wire */
#define BULK_ONLY_SENSE_SIZE 18u /* some devices know no other length */

/* Parts of bulk_only.buffer, so that no two share a cache line. */
#define BULK_ONLY_COMMAND_AT 0u
#define BULK_ONLY_STATUS_AT 512u
#define BULK_ONLY_SENSE_AT 1024u
#define BULK_ONLY_PROOF_AT 2048u
#define BULK_ONLY_BUFFER_SIZE 4096u

enum bulk_only_stage {
    BULK_ONLY_IDLE,
    BULK_ONLY_COMMAND,
    BULK_ONLY_DATA,
    BULK_ONLY_STATUS,
    /* The fiber's turn: */
    BULK_ONLY_DATA_STALLED,
    BULK_ONLY_STATUS_STALLED
};

/* Transfers, as bits. */
enum bulk_only_transfer { BULK_ONLY_CBW = 1, BULK_ONLY_PAYLOAD = 2, BULK_ONLY_CSW = 4 };

struct bulk_only {
    struct usb_binding binding; /* first */
    struct scsi_transport transport;
    struct usb_storage storage;
    struct usb_endpoint endpoints[USB_ENDPOINTS_MAX];
    unsigned endpoint_count;
    struct usb_endpoint *in, *out;
    uint8_t interface_number;
    struct buffer buffer;
    struct pollable pollable;

    struct scsi_command *first, **last; /* held, in order; the first is on the wire unless idle */
    unsigned held;
    struct scsi_command *current; /* on the wire: the first, or `sense` for it */
    struct scsi_command sense;
    struct scsi_command proof; /* of life, after a recovery */
    bool proving, proved;      /* under way, and nothing else is taken; it has ended */
    uint32_t tag;
    size_t moved; /* data of the current command that went over the bus */
    enum bulk_only_stage stage;
    unsigned status_tries;

    struct usb_transfer cbw, payload, csw;
    unsigned due, moving; /* enum bulk_only_transfer: to be submitted; at the host */
    bool lost;            /* the host says that there is no device */
    bool fault;           /* something is wrong on the wire: reset recovery */
    bool recover;         /* a command was late: the same */
    bool recovering;      /* it is under way on the fiber: the wire rests */
    unsigned failures;    /* recoveries without a command that went well in between */
    bool residue_told;
};

static inline struct bulk_only *bulk_only_of(struct scsi_transport *transport)
{
    return (struct bulk_only *)(void *)((char *)transport - offsetof(struct bulk_only, transport));
}

/* usb_bulk_only_wire.c: never wait */

void bulk_only_prepare(struct bulk_only *bulk);
int bulk_only_submit(struct scsi_transport *transport, struct scsi_command *command);
/* Puts a command of our own on the idle wire. */
void bulk_only_begin_own(struct bulk_only *bulk, struct scsi_command *command);
/* Submits what is due; ends all when the device is lost. True when something happened. */
bool bulk_only_move(struct bulk_only *bulk);
/* The data has moved, or a stall is cleared: asks for the status. */
void bulk_only_status_next(struct bulk_only *bulk);
/* Ends all commands that are held, the one on the wire with `current`. Nothing may be moving. */
void bulk_only_end_all(struct bulk_only *bulk, int current, int others);
/* Asks the fiber for what is due. */
void bulk_only_ask(struct bulk_only *bulk);

#endif
