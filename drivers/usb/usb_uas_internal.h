/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the UAS driver share: usb_uas.c (attach, detach), usb_uas_command.c (commands and information units, at
 * reap depth), usb_uas_recovery.c (what waits, on the device's fiber).
 *
 * A slot is a tag. With streams (SuperSpeed) the tag is the stream ID, and a command's status and data are queued on that
 * stream before the command goes out. Without (high speed) the device says in READ READY and WRITE READY units whose data comes
 * next; any queued status transfer may take any unit, and each data pipe carries one command's data at a time.
 */
#ifndef DRIVERS_USB_USB_UAS_INTERNAL_H
#define DRIVERS_USB_USB_UAS_INTERNAL_H

#include "drivers/usb/scsi.h"
#include "drivers/usb/usb.h"
#include "drivers/usb/usb_storage.h"
#include "drivers/usb/usb_uas_spec.h"

/* Policy */
#define UAS_COMMANDS_MAX 32u /* in flight; one more tag is kept for task management */
#define UAS_SLOTS_MAX (UAS_COMMANDS_MAX + 1)
#define UAS_STREAMS_WANTED 32u
#define UAS_STREAMS_MIN 2u
#define UAS_MAX_TRANSFER (1u << 20)
#define UAS_MAX_TRANSFER_HIGH_SPEED (512u << 10)
#define UAS_TASK_TIMEOUT (3 * NANOSECONDS_PER_SECOND)
/* Two endpoints' events may come in the wrong order: so long may data come after its status. */
#define UAS_SETTLE_TIME (50 * NANOSECONDS_PER_MILLISECOND)
/* For the commands beside one whose data never came to end. */
#define UAS_DRAIN_TIMEOUT (20 * NANOSECONDS_PER_SECOND)
#define UAS_FAILURES_MAX 3u      /* recoveries before bulk-only has its turn ... */
#define UAS_FORGIVEN_AFTER 4096u /* ... unless so many commands went well in between */

/* Room for an information unit in each direction. Status: 16 bytes and at most 252 of sense data (SPC-4, 4.5.1). */
#define UAS_SLOT_BUFFER 1024u
#define UAS_STATUS_OFFSET 512u
#define UAS_STATUS_SIZE 512u

enum uas_pipe { UAS_COMMAND, UAS_STATUS, UAS_DATA_IN, UAS_DATA_OUT, UAS_PIPES };

struct uas;
struct uas_slot;

/* One of a command's transfers. */
struct uas_part {
    struct usb_transfer transfer;
    struct uas_slot *slot;
    enum uas_pipe pipe;
    bool wanted; /* to be submitted */
    bool moving; /* the host has it */
};

struct uas_slot {
    struct uas *uas;
    uint16_t tag; /* index + 1 */
    bool busy;
    struct scsi_command *command;          /* NULL: task management */
    struct uas_part request, status, data; /* without streams: `status` takes units of any tag */
    bool has_data;
    bool granted;     /* without streams: its READY unit came */
    bool answered;    /* its status came */
    bool lingering;   /* answered, but its data transfer has not ended */
    uint64_t grant;   /* order of READY units */
    int result;       /* of the transport, when answered */
    int failure;      /* ends so as soon as nothing moves */
    uint8_t response; /* of task management */
};

struct uas {
    struct usb_binding binding; /* first */
    struct scsi_transport transport;
    struct usb_storage storage;
    struct loop *loop;
    struct usb_endpoint endpoints[USB_ENDPOINTS_MAX];
    unsigned endpoint_count;
    struct usb_endpoint *pipes[UAS_PIPES];
    bool halted[UAS_PIPES];
    unsigned streams;     /* 0: high speed */
    unsigned depth;       /* commands; slots[depth] is for task management */
    struct buffer buffer; /* UAS_SLOT_BUFFER for each slot */

    struct uas_slot slots[UAS_SLOTS_MAX];
    uint8_t free_slots[UAS_COMMANDS_MAX];
    unsigned free_first, free_count; /* a ring */
    unsigned in_flight;              /* busy slots */
    unsigned unanswered;             /* of these, without status */
    unsigned lingering;
    unsigned receivers;                  /* status transfers that move */
    struct uas_slot *on_wire[UAS_PIPES]; /* without streams: whose data a data pipe carries */
    uint64_t grants;
    bool stuck; /* the host was full: something is still to be submitted */

    bool attached;   /* attach() has ended well */
    bool draining;   /* no new commands until those in flight have ended */
    bool recovering; /* recovery is under way on the fiber */
    bool recovery_wanted;
    bool faulted;         /* ... for more than a command that is late */
    bool recovery_failed; /* something went wrong in it */
    unsigned failures;    /* recoveries, see UAS_FAILURES_MAX */
    unsigned good;        /* commands that went well since the last one */
};

/* usb_uas_command.c */

void uas_slots_prepare(struct uas *uas);
/* scsi_transport.submit */
int uas_submit(struct scsi_transport *transport, struct scsi_command *command);
/* For the slot of task management, its unit in place. 0, or a negative error and nothing happened. */
int uas_slot_start(struct uas_slot *slot);
/* Something is wrong with the device, it must be brought back. */
void uas_fault(struct uas *uas, const char *reason);
/* Nothing moves any more: ends what is left with `status`; commands whose status came end with that. */
void uas_slots_end(struct uas *uas, int status);
bool uas_pipe_moves(const struct uas *uas, enum uas_pipe pipe);
uint8_t *uas_request_unit(const struct uas_slot *slot);
void uas_lun_set(uint8_t *field, uint8_t lun);

/* Asks for uas_service(). At any depth. */
void uas_want_service(struct uas *uas);

/* usb_uas_recovery.c */

/* scsi_transport.recover */
void uas_recover_later(struct scsi_transport *transport);
/* scsi_transport.service: recovery, and data that never came. */
void uas_service(struct scsi_transport *transport);

static inline struct uas *uas_of(struct scsi_transport *transport)
{
    return (struct uas *)(void *)((char *)transport - offsetof(struct uas, transport));
}

#endif
