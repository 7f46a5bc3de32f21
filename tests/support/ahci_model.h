/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An AHCI controller for the host: registers, ports, disks and CD drives in RAM, and faults at the test's command.
 *
 * It takes the driver's view of the specification seriously: what a driver must not do (issue commands to a stopped port, mix queued and
 * other commands, change addresses while the engine runs, describe odd buffers, ...) is counted in `violations`, and the last one is named.
 * Queued commands are finished out of order, a few at each poll of the loop. Device addresses are host addresses unless a test moves
 * them, so ASan sees transfers that leave a buffer.
 *
 * Two files: ahci_model.c is the controller, ahci_model_device.c the devices.
 */
#ifndef TESTS_SUPPORT_AHCI_MODEL_H
#define TESTS_SUPPORT_AHCI_MODEL_H

#include "core/loop.h"
#include "drivers/ahci_spec.h"
#include "drivers/ata.h"
#include "tests/support/test_platform.h"

#define MODEL_PORTS 6
#define MODEL_MAPPINGS 4

enum ahci_model_kind { MODEL_NOTHING, MODEL_DISK, MODEL_DRIVE, MODEL_MULTIPLIER };

struct ahci_model_device {
    /* What it is: set before ahci_model_start() */
    enum ahci_model_kind kind;
    const char *serial;
    uint64_t blocks;
    uint32_t block; /* bytes */
    unsigned physical_shift;
    unsigned depth; /* of its queue; 0: none */
    bool lba28, no_dma, no_log, no_trim, no_cache, no_flush, locked, no_mode, solid_state;
    uint16_t standby; /* specific configuration: 0x37c8, 0x738c, or 0 */
    bool no_medium;
    unsigned loading;    /* so many TEST UNIT READY say "becoming ready" */
    unsigned attentions; /* so many commands say "unit attention" after each reset */

    /* Faults, at any time */
    uint64_t bad_lba, bad_count; /* reads and writes that touch these blocks fail with bad_error */
    uint8_t bad_error;
    struct scsi_sense bad_sense;   /* the same for a drive */
    uint64_t deaf_lba;             /* commands that begin here are never finished, until a reset; UINT64_MAX: none */
    bool deaf, deaf_for_ever;      /* to all */
    int deaf_command, bad_command; /* opcodes that are never finished, or fail with ABRT; -1: none */
    bool stays_busy;               /* never ready after a reset */
    bool log_damaged, log_of_another, log_not_queued;
    bool identify_damaged, identify_foreign;
    const char *next_serial;  /* after the next reset, another disk is here */
    uint64_t next_blocks;     /* or another medium */
    bool short_transfer;      /* success, with half of the data */
    uint32_t interface_fault; /* PxIS bits raised by the next command, once */
    bool frozen;              /* commands are taken but not finished until it is cleared */

    /* What it saw */
    unsigned commands, flushes, trims, identifies, logs, senses, resets, spin_ups, modes;
    unsigned most_queued;
    uint64_t biggest; /* bytes of one transfer */
    uint64_t writes;

    /* Its own */
    uint8_t *data;
    bool spun_up, mode_set, error_state;
    uint8_t log[ATA_SECTOR];
    struct scsi_sense sense;
    unsigned attentions_left;
};

struct ahci_model_port {
    struct ahci_model_device device;
    /* Set before start, or faults */
    uint64_t link_delay, ready_delay, stop_delay; /* nanoseconds */
    unsigned lost_resets;                         /* so many COMRESETs bring no link */
    bool stuck;                                   /* CR stays 1 until a COMRESET */
    bool very_stuck;                              /* until the controller is reset */
    bool stuck_receiving;                         /* FR stays 1 */

    /* Its own: registers */
    uint64_t list, receive;
    uint32_t interrupt, command, task, signature, status, control, error, active, issue;
    uint32_t accepted; /* queued commands that the device has */
    bool halted;       /* after an error, until ST is 0 */
    bool abandoned;    /* the device has commands that the driver gave up */
    bool linking, waking;
    uint64_t link_at, ready_at, stopped_at, reset_at;
};

struct ahci_model {
    /* What it is: set after ahci_model_init(), before ahci_model_start() */
    uint32_t capabilities, capabilities2, version, implemented;
    bool staggered;   /* a link comes up only when SUD is set */
    bool forgets;     /* PI is lost by a reset */
    bool keeps_issue; /* CI survives ST = 0, as in QEMU */
    bool bios_owned;  /* BOHC.BOS; the BIOS lets go after bios_delay */
    uint64_t bios_delay;
    struct ahci_model_port ports[MODEL_PORTS];
    /* Where buffers are for the device: the first to be mapped is at move_to[0] and so on; 0: where the host has it */
    uint64_t move_to[MODEL_MAPPINGS];

    /* Faults */
    bool gone; /* registers read all ones */
    bool stays_in_reset;

    /* What it saw */
    unsigned violations;
    const char *violation; /* the last one */
    unsigned resets;

    /* Its own */
    struct test_platform *platform;
    struct loop *loop;
    struct test_pci_function function;
    struct pollable pollable;
    uint32_t host_control, handoff;
    uint64_t bios_gone_at;
    struct {
        uint64_t address;
        uint8_t *host;
        size_t size;
    } mappings[MODEL_MAPPINGS];
    unsigned mapping_count;
    struct platform_ops base_ops;
    uint64_t random;
};

/* A well-behaved controller: 64 bits, 32 slots, one disk of 4096 blocks of 512 bytes with a queue of 32 at port 0. */
void ahci_model_init(struct ahci_model *model, struct test_platform *platform, struct loop *loop);
/* Gives `port` a disk or a drive with usual properties. */
void ahci_model_insert(struct ahci_model *model, unsigned port, enum ahci_model_kind kind, const char *serial);
/* Allocates contents, powers on, joins the loop. */
void ahci_model_start(struct ahci_model *model);
void ahci_model_unplug(struct ahci_model *model, unsigned port);
/* The same device again, or after a glitch of the link. */
void ahci_model_plug(struct ahci_model *model, unsigned port);
/* Leaves the loop, frees, gives the platform its operations back. */
void ahci_model_end(struct ahci_model *model);

/* Between the two files */

/* How a command ended. */
struct ahci_model_answer {
    bool none; /* not yet, or never */
    uint8_t status, error;
    uint32_t bytes; /* transferred */
};
struct ahci_model_command {
    unsigned slot;
    struct ahci_header header;
    struct ahci_table table;
    uint64_t lba;
    uint32_t count;
    bool queued;
};
void ahci_model_violation(struct ahci_model *model, const char *what);
uint64_t ahci_model_random(struct ahci_model *model);
/* Where the host has what the device finds at this address. Aborts when nothing is there. */
uint8_t *ahci_model_host(struct ahci_model *model, uint64_t address, uint64_t size);
/* Copies between the command's regions and data. Returns the bytes. */
uint32_t ahci_model_transfer(struct ahci_model *model, const struct ahci_model_command *command, uint8_t *data,
                             uint32_t bytes, bool to_host);
struct ahci_model_answer ahci_model_execute(struct ahci_model *model, struct ahci_model_port *port,
                                            const struct ahci_model_command *command);
void ahci_model_device_reset(struct ahci_model_device *device);

#endif
