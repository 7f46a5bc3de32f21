/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the SCSI disk driver share: scsi_probe.c asks a unit what it is, scsi_disk.c serves it, scsi_sense.c reads what
 * it says when something failed.
 */
#ifndef DRIVERS_USB_SCSI_INTERNAL_H
#define DRIVERS_USB_SCSI_INTERNAL_H

#include "drivers/usb/scsi.h"
#include "drivers/usb/scsi_spec.h"

#define SCSI_SLOTS_MAX 64u /* policy: requests of one disk at once */
#define SCSI_UNMAP_STRIDE 32u
#define SCSI_SCRATCH_SIZE 4096u
_Static_assert(SCSI_SLOTS_MAX *SCSI_UNMAP_STRIDE <= SCSI_SCRATCH_SIZE, "each slot has its UNMAP list");

/* What failed, SPC-4, 4.5. */
struct scsi_condition {
    uint8_t key, code, qualifier;
    bool deferred;    /* of an earlier command that had been answered with good status; this one was not executed */
    bool unasked;     /* a reset that nobody here asked for (scsi_heed()) */
    bool information; /* `block` says where */
    uint64_t block;
};

/* False: no sense data, or none that can be read. */
bool scsi_condition_read(const struct scsi_command *command, struct scsi_condition *condition);

/* A request on its way. */
struct scsi_slot {
    struct scsi_command command; /* first */
    struct scsi_disk *disk;
    struct block_request *request; /* NULL: free, or the disk went while the command was under way */
    unsigned failures;             /* times it was sent again for an error */
    unsigned resets;               /* those of the disk when it was sent */
    unsigned changes;              /* of a flush: those of the disk when it was sent */
    bool waited;                   /* has been in the waiting list */
    uint64_t not_before;           /* in the waiting list: when it is sent again */
    struct scsi_slot *next;
};

enum scsi_discard { SCSI_NO_DISCARD, SCSI_DISCARD_UNMAP, SCSI_DISCARD_WRITE_SAME };

struct scsi_disk {
    struct block_device device; /* first */
    struct scsi_transport *transport;
    struct block_registry *registry;
    uint8_t lun;
    bool gone;
    bool medium_left; /* nothing is sent any more; gone as soon as what is under way has come back */
    bool leaving;     /* destroyed; waits for its last command to end */

    /* What it can do */
    bool long_commands; /* more than 2^32 blocks: the 16-byte commands */
    enum scsi_discard discard;
    bool synchronize;      /* SYNCHRONIZE CACHE has not been refused yet */
    bool synchronize_long; /* ... as the 16-byte command */
    bool cache_enabled;    /* the caching page says so */

    /* What may be in its cache */
    unsigned changes; /* commands that write, counted when they are sent and when they come back */
    bool written;     /* since the last flush that went well */
    bool lost;        /* power or a deferred error may have taken data that was written: the next flush fails */
    bool reset;       /* the transport has recovered, and nothing went well since: a unit attention is no surprise */
    unsigned resets;  /* so often */

    uint64_t last_good; /* when it carried out a command, or was looked at */

    struct scsi_slot *slots, *free;
    unsigned slot_count;
    struct scsi_slot *waiting;     /* to be sent again */
    struct block_request *instant; /* flushes with nothing to do */
    unsigned under_way;            /* commands at the transport */
    unsigned notices;              /* bad blocks told of in the log */

    /* Own commands: of probing (on the fiber), and START UNIT in the middle of work. */
    struct scsi_command own, start;
    bool own_ended, starting;
    uint32_t raw_status;   /* of the last own command */
    struct buffer scratch; /* data of own commands; afterwards UNMAP lists, one for each slot */
    struct buffer zeroes;  /* one logical block for WRITE SAME */
};

/* The transport has recovered, or has failed. */
static inline void scsi_note_reset(struct scsi_disk *disk)
{
    disk->reset = true;
    disk->resets++;
}
/*
 * What a unit tells besides the fate of the command, whichever command that was: it tells it once. False: no sense data; *condition is
 * filled in either case.
 */
bool scsi_heed(struct scsi_disk *disk, const struct scsi_command *command, struct scsi_condition *condition);

/* --- scsi_probe.c: on the device's fiber, all wait --- */

/* An own command; data in disk->scratch. Sends again what is worth it. 0 or a negative error; see disk->raw_status. */
int scsi_ask(struct scsi_disk *disk, const uint8_t *cdb, unsigned cdb_length, enum scsi_direction direction,
             size_t length, uint64_t timeout);
/* TEST UNIT READY once, a medium that was changed is an error: -ERROR_GONE. */
int scsi_ask_ready(struct scsi_disk *disk);
/* Fills geometry, names and abilities. Errors as scsi_disk_create(). */
int scsi_probe(struct scsi_disk *disk, struct error *error);

#endif
