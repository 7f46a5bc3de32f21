/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NVMe controller for the host: registers, admin and I/O queues, namespaces in RAM, and faults at the test's command.
 *
 * It takes the specification seriously: what a driver must not do (ring a doorbell of a queue that is not there, misalign
 * a PRP, exceed MDTS, run with interrupts unmasked, ...) is counted in `violations`, and the last one is named. Commands
 * are finished out of order, a few at each poll of the loop. Device addresses are host addresses, so ASan sees transfers
 * that leave a buffer.
 */
#ifndef TESTS_SUPPORT_NVME_MODEL_H
#define TESTS_SUPPORT_NVME_MODEL_H

#include "core/loop.h"
#include "drivers/nvme_spec.h"

#define MODEL_NAMESPACES 4
#define MODEL_PENDING 512
#define MODEL_QUEUES 2

struct nvme_model_namespace {
    uint32_t id; /* 0: none */
    uint8_t shift;
    uint64_t blocks;
    uint16_t metadata;
    uint8_t command_set;
    bool write_protected;
    uint16_t write_granularity; /* 0's based; 0: not reported */
    uint8_t *data;              /* allocated by nvme_model_start() */
    bool announced_only;        /* in the list, but Identify fails */
};

/* How the next completion of an I/O (or admin) command lies. */
enum nvme_model_lie {
    LIE_NONE,
    LIE_COMMAND_ID,    /* a command that is not in flight */
    LIE_SLOT,          /* a command identifier that no driver of this depth gives */
    LIE_SUBMISSION_ID, /* another queue */
    LIE_HEAD,          /* a head beyond the queue */
    LIE_TWICE,         /* the true answer, then once more */
    LIE_PHASE,         /* all but the phase bit; never made good */
    LIE_FLOOD,         /* the completion queue full of answers nobody asked for */
};

struct nvme_model_queue {
    bool exists;
    struct nvme_command *submission;
    struct nvme_completion *completion;
    uint32_t entries;
    uint32_t submission_head, submission_tail; /* fetched up to; doorbell */
    uint32_t completion_tail, completion_head; /* written up to; doorbell */
    uint16_t phase;
};

struct nvme_model_pending {
    uint16_t queue;
    struct nvme_command command;
};

struct nvme_model {
    /* What it is: set after nvme_model_init(), before nvme_model_start() */
    uint64_t capabilities;
    uint32_t version;
    uint8_t max_transfer; /* MDTS */
    uint16_t optional_commands;
    uint8_t volatile_cache;
    const char *serial;
    uint32_t registers_size;
    uint64_t ready_delay; /* nanoseconds from a change of CC.EN to the one of CSTS.RDY */
    struct nvme_model_namespace namespaces[MODEL_NAMESPACES];
    uint16_t queue_count_status; /* answer to Set Features, Number of Queues */
    uint32_t slow_bits;          /* PMCSR power state at the start, for pci_power_up() */

    /* Faults, at any time */
    bool gone;           /* registers read all ones, nothing is answered */
    unsigned gone_after; /* gone with this command; 0: no */
    bool fatal;          /* CSTS.CFS, cleared by a controller reset unless fatal_for_ever */
    bool fatal_for_ever;
    bool never_ready, never_disabled;
    bool deaf; /* I/O commands are taken and never finished, until a controller reset */
    bool deaf_for_ever;
    uint64_t deaf_lba;                  /* only commands that begin here; UINT64_MAX: all */
    int deaf_opcode;                    /* admin commands with this opcode are never finished; -1: none */
    int bad_opcode;                     /* admin commands with this opcode fail with bad_status; -1: none */
    uint64_t bad_lba, bad_count;        /* reads and writes that touch these blocks fail with bad_status */
    uint16_t bad_status;                /* SCT and SC (and DNR), as in the status field without the phase */
    enum nvme_model_lie lie, admin_lie; /* once each */
    bool lie_for_ever;
    bool frozen; /* commands are taken but not finished until it is cleared */

    /* What it saw */
    unsigned violations;
    const char *violation; /* the last one */
    unsigned resets;       /* CC.EN from 1 to 0 */
    unsigned commands, flushes, discards, write_zeroes;
    unsigned most_pending; /* I/O commands in flight at once */
    uint64_t biggest;      /* bytes of one transfer */
    unsigned doorbells;
    unsigned claims, releases, dma_stops;
    bool clean_shutdown;
    bool dma_stopped;

    /* Its own */
    struct platform *platform;
    struct loop *loop;
    struct platform_ops ops;
    const struct platform_ops *base_ops;
    struct pollable pollable;
    struct pci_device pci;
    uint32_t configuration_space[64];
    uint32_t cc, csts, aqa, intms;
    uint64_t asq, acq;
    uint64_t change_at; /* of CSTS.RDY */
    struct nvme_model_queue queues[MODEL_QUEUES];
    struct nvme_model_pending pending[MODEL_PENDING];
    unsigned pending_count;
    uint64_t random;
};

/*
 * A well-behaved NVMe 1.4 controller with one namespace of 4096 blocks of 512 bytes. Takes over the PCI part of
 * loop->platform.
 */
void nvme_model_init(struct nvme_model *model, struct loop *loop);
/* Allocates the namespaces' contents and joins the loop. */
void nvme_model_start(struct nvme_model *model);
/* Leaves the loop, frees, gives the platform its operations back. */
void nvme_model_end(struct nvme_model *model);

#endif
