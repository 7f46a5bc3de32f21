/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks over a transport: bulk-only or UAS. SPC-4 and SBC-3.
 *
 * scsi_disk.c makes block devices of logical units; a transport moves commands. Same rules as in usb.h: done() is called
 * inside poll() and never waits; scsi_run() and scsi_wait() wait on the device's fiber.
 */
#ifndef DRIVERS_USB_SCSI_H
#define DRIVERS_USB_SCSI_H

#include "core/block.h"

#define SCSI_CDB_MAX 16
#define SCSI_SENSE_MAX 96

enum scsi_direction { SCSI_NO_DATA, SCSI_DATA_IN, SCSI_DATA_OUT };

/* SAM-5, table 33 */
enum scsi_status {
    SCSI_GOOD = 0x00,
    SCSI_CHECK_CONDITION = 0x02,
    SCSI_CONDITION_MET = 0x04,
    SCSI_BUSY = 0x08,
    SCSI_RESERVATION_CONFLICT = 0x18,
    SCSI_TASK_SET_FULL = 0x28
};

struct scsi_transport;

struct scsi_command {
    uint8_t lun;
    uint8_t cdb[SCSI_CDB_MAX];
    uint8_t cdb_length; /* 6, 10, 12 or 16 */
    enum scsi_direction direction;
    struct buffer *buffer;
    size_t offset, length; /* bytes expected; at most the transport's max_transfer */
    void (*done)(struct scsi_command *command);
    void *context;

    /*
     * Result. status: 0: the device answered, see scsi_status and sense; else how the transport failed: -ERROR_ABORTED (by a
     * recovery that another command needed: may be sent again), -ERROR_TIMEOUT, -ERROR_GONE, -ERROR_IO, -ERROR_PROTOCOL.
     */
    int status;
    uint8_t scsi_status;
    size_t moved; /* bytes, residue taken off */
    uint8_t sense[SCSI_SENSE_MAX];
    size_t
        sense_size; /* 0: none came; transports that do not bring it along ask for it (REQUEST SENSE) by themselves */

    struct scsi_command *next; /* the transport's own */
    void *transport_data;
};

/* A target: what bulk-only and UAS fill. */
struct scsi_transport {
    /* Never waits. 0, -ERROR_FULL, -ERROR_GONE. Every accepted command ends exactly once, never inside submit(). */
    int (*submit)(struct scsi_transport *transport, struct scsi_command *command);
    /*
     * A command passed its deadline (or several). Ends all that are held with -ERROR_ABORTED (those that are known to be late may
     * end with -ERROR_TIMEOUT), soon: at the latest after the recovery's own deadlines. Never waits: sets wants_service, asks for
     * the device's fiber with usb_attention(), and submit() answers -ERROR_FULL until service() is through.
     */
    void (*recover)(struct scsi_transport *transport);
    /*
     * On the device's fiber, or in a call from outside while that fiber rests; may wait: the recovery, and whatever else
     * wants_service was set for; clears it.
     */
    void (*service)(struct scsi_transport *transport);
    /* No DMA from here on, all commands end with -ERROR_GONE, dead: block_device_ops.abandon(). Never waits. */
    void (*abandon)(struct scsi_transport *transport);
    struct loop *loop;
    struct usb_device *device; /* for the transport; disks do not look at it */
    char place[BLOCK_PLACE_MAX];
    uint32_t quirks;       /* enum usb_quirk (drivers/quirks.h), or-ed */
    bool cautious;         /* asks only what must be asked: old bridges hang on vital product data */
    bool serial;           /* carries out one command at a time, in order: the others wait here for their turn */
    unsigned queue_depth;  /* commands at once, all units together */
    uint32_t max_transfer; /* bytes */
    bool wants_service;
    bool dead; /* submit() answers -ERROR_GONE for ever */
};

/* On the device's fiber: loop_wait(), with the transport's service when it is wanted meanwhile. */
bool scsi_wait(struct scsi_transport *transport, bool (*done)(void *context), void *context, uint64_t deadline);
/*
 * In a call from outside: the transport's service, when it is wanted and the device's fiber is in the middle of nothing. That fiber hears
 * of it again when it runs, and finds it done.
 */
void scsi_serve_inside(struct scsi_transport *transport);
/*
 * On the device's fiber: sends a command (its done and context are used here) and waits until it has ended, with recovery at
 * the deadline, `timeout` nanoseconds from now. 0, or command->status: -ERROR_TIMEOUT, -ERROR_GONE, ...
 */
int scsi_run(struct scsi_transport *transport, struct scsi_command *command, uint64_t timeout);

struct scsi_disk;

/*
 * Looks at one logical unit and makes a block device of it, registered as `name` (with "/2" and so on behind it when there is
 * such a name already). On the device's fiber; waits. A unit that is no disk (peripheral type other than 0 and 0x0e):
 * -ERROR_UNSUPPORTED, silently. No medium: -ERROR_NOT_FOUND; the caller asks again every second or so. Spins up, at most 30 s.
 */
int scsi_disk_create(struct scsi_transport *transport, uint8_t lun, const char *name, const char *driver,
                     struct block_registry *registry, struct scsi_disk **disk, struct error *error);
struct block_device *scsi_disk_device(struct scsi_disk *disk);
/*
 * Is the medium still there? On the device's fiber; waits. False: it is not, or another one is; the block device is dead
 * then, and the caller destroys the disk. Asks only units of removable media that have nothing else to do.
 */
bool scsi_disk_check(struct scsi_disk *disk);
/*
 * Ends its requests, flushes, unregisters, frees (see block_device_hold()). On the device's fiber; waits, bounded. One that is gone is
 * not waited for: its memory goes when its last command has ended.
 */
void scsi_disk_destroy(struct scsi_disk *disk);
/* No request on it, no command of it at the transport. */
bool scsi_disk_idle(const struct scsi_disk *disk);
/* At any depth: no device any more. Requests end with -ERROR_GONE now; commands may still end later. */
void scsi_disk_gone(struct scsi_disk *disk);
bool scsi_disk_is_gone(const struct scsi_disk *disk);
/* Gone because its medium is, or is another one: the unit may have one again. */
bool scsi_disk_medium_left(const struct scsi_disk *disk);

/*
 * Sense data, fixed or descriptor format (SPC-4, 4.5), to what the core knows; ERROR_NONE for good status and recovered
 * errors. raw (may be NULL): key << 16 | ASC << 8 | ASCQ; without sense data: the status.
 */
enum error_code scsi_error(const struct scsi_command *command, uint32_t *raw);

#endif
