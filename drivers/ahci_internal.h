/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the AHCI driver share: ahci.c (life of a controller), ahci_port.c (the engine of a port: start, stop, link, recovery),
 * ahci_step.c (the commands of our own: who is there, what went wrong), ahci_command.c (command tables), ahci_disk.c (block
 * devices).
 */
#ifndef DRIVERS_AHCI_INTERNAL_H
#define DRIVERS_AHCI_INTERNAL_H

#include "core/block.h"
#include "drivers/ahci_spec.h"
#include "drivers/ata.h"

/* Policy */
#define AHCI_TAGS 31u /* one slot stays empty: a register that reads all ones is then a controller that has gone */
#define AHCI_MAX_TRANSFER (2u << 20)
#define AHCI_OPTIMAL_TRANSFER (512u << 10)
#define AHCI_MAX_BLOCKS 0xffffu /* 65,536 blocks (a count of zero) is more than some disks do */
#define AHCI_LBA28_TRANSFER (128u * ATA_SECTOR)
#define AHCI_PACKET_TRANSFER (128u << 10)
#define AHCI_BOUNCE_SIZE (64u << 10)
#define AHCI_MAX_DISCARD (1ull << 30) /* bytes; a bigger one keeps some disks busy for seconds */
#define AHCI_RESETS_MAX 3u            /* of a disk in a row, without a single command finished in between */
#define AHCI_FIRST_RESETS_MAX 1u      /* while it is not known yet */
#define AHCI_STOP_TIMEOUT (500 * NANOSECONDS_PER_MILLISECOND)   /* 10.1.2 */
#define AHCI_RESET_TIMEOUT NANOSECONDS_PER_SECOND               /* 10.4.3 */
#define AHCI_COMRESET_TIME (2 * NANOSECONDS_PER_MILLISECOND)    /* 10.4.2: at least 1 ms */
#define AHCI_ABSENT_TIMEOUT (125 * NANOSECONDS_PER_MILLISECOND) /* twice, for a port that had no link before either */
#define AHCI_LINK_TIMEOUT NANOSECONDS_PER_SECOND                /* for a link that was there; three times at first */
#define AHCI_LINK_TRIES 3u
#define AHCI_WAKE_TIMEOUT (31 * NANOSECONDS_PER_SECOND) /* a spin-up */
#define AHCI_IDENTIFY_TIMEOUT (10 * NANOSECONDS_PER_SECOND)
#define AHCI_ASK_TIMEOUT (5 * NANOSECONDS_PER_SECOND)     /* for the reason of an error */
#define AHCI_MEDIUM_TIMEOUT (15 * NANOSECONDS_PER_SECOND) /* for a drive to load its disc */
#define AHCI_MEDIUM_INTERVAL (250 * NANOSECONDS_PER_MILLISECOND)
#define AHCI_MEDIUM_TRIES 8u /* unit attentions in a row */
#define AHCI_BUSY_CHECK                                                                                                \
    (10 * NANOSECONDS_PER_MILLISECOND) /* how often the link is looked at: commands in flight, or none */
#define AHCI_IDLE_CHECK (100 * NANOSECONDS_PER_MILLISECOND)

/* The DMA memory of a port. */
struct ahci_memory {
    struct ahci_header list[AHCI_SLOTS];
    uint8_t receive[AHCI_RECEIVE_SIZE];
    uint8_t reserved1[256];
    uint8_t data[ATA_SECTOR]; /* answers to commands of our own */
    uint64_t ranges[ATA_TRIM_ENTRIES];
    uint8_t reserved2[1536];
    struct ahci_table tables[AHCI_SLOTS];
};
_Static_assert(__builtin_offsetof(struct ahci_memory, receive) % AHCI_RECEIVE_SIZE == 0, "3.3.3");
_Static_assert(__builtin_offsetof(struct ahci_memory, tables) % 128 == 0, "4.2.2");
_Static_assert(sizeof(struct ahci_memory) % 4096 == 0, "whole pages");

/* Where the engine of a port stands. */
enum ahci_state {
    AHCI_STOPPING,         /* ST is 0, waits for CR = 0: no command runs from then on */
    AHCI_STOPPING_RECEIVE, /* FRE is 0, waits for FR = 0: memory can be changed from then on */
    AHCI_RESETTING,        /* COMRESET is being sent */
    AHCI_LINKING,          /* waits for the link */
    AHCI_WAKING,           /* waits for the device to be ready */
    AHCI_CLEARING,         /* CLO: waits for a stale BSY to be forgotten */
    AHCI_RUNNING,          /* carries out commands */
    AHCI_PAUSING,          /* running, nothing to do for a moment */
    AHCI_HELD,             /* the whole controller is reset */
    AHCI_EMPTY,            /* nothing here that can be driven; the end */
    AHCI_FAILED,           /* the device is dead; the end */
};

/* What a running engine does: serve requests, or a command of our own. */
enum ahci_step {
    AHCI_SERVE,
    AHCI_IDENTIFY,
    AHCI_SPIN_UP,
    AHCI_SET_MODE,
    AHCI_TEST_READY, /* packet devices: is there a medium? */
    AHCI_TEST_SENSE, /* why not? */
    AHCI_CAPACITY,
    AHCI_ERROR_LOG,   /* which queued command failed, and why? */
    AHCI_ERROR_SENSE, /* why did the packet command fail? */
    AHCI_LAST_FLUSH,
};

/* What follows when the engine has stopped. */
enum ahci_recovery {
    AHCI_BEGIN,   /* memory, power, link: as after power-on */
    AHCI_RESTART, /* go on: the link is good, a command failed */
    AHCI_RESET,   /* COMRESET, then all that follows a link */
    AHCI_GIVE_UP,
};

struct ahci_command {
    uint8_t command;
    uint16_t features, count;
    uint64_t lba;
    uint8_t device;
    bool write, queued;
    uint64_t address;   /* of the data, as the controller sees it */
    uint32_t bytes;     /* of the data, even; 0: none */
    uint8_t packet[16]; /* with ATA_PACKET */
};

struct ahci_port {
    struct block_device device; /* first: a device is its port */
    struct ahci_controller *controller;
    unsigned number;
    struct ahci_memory *memory;
    uint64_t memory_address;
    uint8_t *bounce; /* of controllers that reach only 4 GiB */
    uint64_t bounce_address;

    bool known;      /* has been identified once: `identity` stands */
    bool registered; /* `device` is started and in the registry */
    bool linked_before;
    bool packet; /* the device's signature is that of a packet device */
    struct ata_identity identity;
    uint32_t tags;     /* mask of the slots for queued commands; 0: none are used. The last slot is for all others. */
    bool counts_bytes; /* the controller keeps PRDBC */
    bool written;      /* since attach: a flush is due at shutdown */

    enum ahci_state state;
    enum ahci_step step;
    enum ahci_recovery recovery;
    uint64_t deadline;   /* of the state, or of our own command */
    uint64_t next_check; /* of the link */
    unsigned link_tries, resets, medium_tries;
    uint64_t medium_deadline;
    bool forced; /* COMRESET was sent because the engine does not stop */
    bool cleared, spun_up;
    const char *reason; /* of the recovery, static storage */

    uint32_t queued;                            /* tags in flight, or held until the reason of an error is known */
    struct block_request *requests[AHCI_SLOTS]; /* of the tags */
    struct block_request *single;               /* in flight, not queued: in the last slot */
    struct block_request *waiting;              /* not queued: waits for the queue to drain */
    struct block_request *instant;              /* nothing to do for these; chained by driver_next */
    bool own;                                   /* our own command is in the last slot */
    unsigned alone;                             /* so many commands are not queued, to find the one that fails */
    uint32_t fault;                             /* PxTFD of the failed command: status in bits 7:0, error in 15:8 */
};

enum ahci_controller_state { AHCI_CONTROLLER_RESETTING, AHCI_CONTROLLER_RUNNING, AHCI_CONTROLLER_FAILED };

struct ahci_controller {
    struct platform *platform;
    struct loop *loop;
    struct pci_device *pci;
    struct block_registry *registry;
    struct registers registers;
    char name[ERROR_DEVICE_MAX]; /* "sata@0000:00:1f.2" */
    uint32_t quirks;
    uint32_t capabilities, implemented; /* CAP and PI as found */
    bool took_over;                     /* from the BIOS: BOHC.OOS is ours to clear */
    unsigned slot_count;
    bool only_32_bits;

    enum ahci_controller_state state;
    uint64_t deadline;
    unsigned resets;
    struct error failure;

    struct buffer memory;
    struct ahci_port *ports; /* the implemented ones */
    unsigned port_count;
};

/* The slot for what is not queued. */
static inline unsigned ahci_single_slot(const struct ahci_port *port)
{
    return port->controller->slot_count - 1;
}

static inline uint32_t ahci_read(struct ahci_port *port, uint32_t offset)
{
    return register_read32(&port->controller->registers, AHCI_GENERIC_SIZE + port->number * AHCI_PORT_SIZE + offset);
}
static inline void ahci_write(struct ahci_port *port, uint32_t offset, uint32_t value)
{
    register_write32(&port->controller->registers, AHCI_GENERIC_SIZE + port->number * AHCI_PORT_SIZE + offset, value);
}

/* ahci.c */

/* Resets all ports together: the last resort for one that does not stop. ahci_port_poll() carries it on. */
void ahci_controller_reset(struct ahci_controller *controller, const char *reason);
/* The end: DMA off, all block devices die. */
void ahci_controller_fail(struct ahci_controller *controller, enum error_code code, const char *reason);
/* Moves a reset of the controller on. True when something happened. */
bool ahci_controller_step(struct ahci_controller *controller);

/* ahci_port.c */

/* Brings a port up from nothing; ahci_port_poll() carries it on. */
void ahci_port_begin(struct ahci_port *port);
/* Reaps, watches the link, moves bring-up and recovery on. True when something happened. */
bool ahci_port_poll(struct ahci_port *port);
/* Is it at an end of its bring-up: serving, empty or failed? */
bool ahci_port_settled(const struct ahci_port *port);
/* COMRESET, then identification again. What is in flight is ended with ERROR_ABORTED once the engine has stopped. */
void ahci_port_reset(struct ahci_port *port, const char *reason);
/* A command failed: stops the engine, restarts it, then asks for the reason. */
void ahci_port_restart(struct ahci_port *port);
/* Leaves a port alone that has no use; for a registered disk the same as failing. The engine has stopped or will be stopped. */
void ahci_port_give_up(struct ahci_port *port, const char *reason);
void ahci_port_fail(struct ahci_port *port, const char *reason);
/* Are there requests that have not been ended? */
bool ahci_port_holds(const struct ahci_port *port);
/* Ends what is held; the engine has stopped. */
void ahci_port_abort_all(struct ahci_port *port);
/* Forgets what is held without ending it (block_device_die() does that). */
void ahci_port_forget_all(struct ahci_port *port);

/* ahci_command.c */

/* Fills the table of a slot. */
void ahci_command_build(struct ahci_port *port, unsigned slot, const struct ahci_command *command);
/* Makes the slot's command one that does no harm. */
void ahci_command_defuse(struct ahci_port *port, unsigned slot);
/* Sends a built command. */
void ahci_command_issue(struct ahci_port *port, unsigned slot, bool queued);
/* Bytes that the last command in this slot transferred. */
uint32_t ahci_command_bytes(const struct ahci_port *port, unsigned slot);
/* A packet command of our own or for a request: the parts that all have in common. */
struct ahci_command ahci_packet(const struct ahci_port *port, uint8_t operation, uint64_t address, uint32_t bytes);
/* The offset of a member of the port's memory, as the controller sees it. */
#define AHCI_ADDRESS(port, member) ((port)->memory_address + __builtin_offsetof(struct ahci_memory, member))

/* ahci_step.c */

/* Begins a command of our own. */
void ahci_step_begin(struct ahci_port *port, enum ahci_step step);
/* It ended; decides what comes next. */
void ahci_step_ended(struct ahci_port *port, int status);

/* ahci_disk.c */

/* Answers from the device: takes what has ended, notices errors. */
bool ahci_disk_reap(struct ahci_port *port);
/* Sends a request that waited for the queue to drain. */
void ahci_disk_send_waiting(struct ahci_port *port);
/* Ends the requests that wait for nothing. */
bool ahci_disk_end_instant(struct ahci_port *port);
/* The command that was not queued has failed; code 0: the registers (in raw_status) tell which error it is. */
void ahci_disk_single_failed(struct ahci_port *port, int code, uint32_t raw_status);
/* The queued command `tag` has failed; the others, which the device has forgotten, are sent again. */
void ahci_disk_queued_failed(struct ahci_port *port, unsigned tag, uint8_t status, uint8_t error);
/* Registers block devices for all ports that serve. */
void ahci_disks_start(struct ahci_controller *controller);
void ahci_disks_stop(struct ahci_controller *controller);

#endif
