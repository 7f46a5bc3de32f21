/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the NVMe driver share: nvme.c (life of a controller), nvme_queue.c (queues and commands),
 * nvme_namespace.c (block devices), nvme_status.c (what a status means).
 */
#ifndef DRIVERS_NVME_INTERNAL_H
#define DRIVERS_NVME_INTERNAL_H

#include "core/block.h"
#include "drivers/nvme_spec.h"

/* Policy */
#define NVME_QUEUE_ENTRIES 128u /* of the I/O queues, one of them stays empty; capped by CAP.MQES */
#define NVME_ADMIN_ENTRIES 16u
#define NVME_DOORBELL_BATCH 16u /* commands that may wait for the next poll while others are in flight */
#define NVME_QUEUE_DEPTH 64u    /* worth having in flight per namespace */
#define NVME_MAX_TRANSFER (2u << 20)
#define NVME_OPTIMAL_TRANSFER (512u << 10)
#define NVME_MAX_DISCARD (1ull << 30) /* one bigger deallocation keeps some drives busy for seconds */
#define NVME_MAX_NAMESPACES 128u
#define NVME_RESETS_MAX 3u                                  /* in a row, without a single command finished in between */
#define NVME_READY_TIMEOUT_MIN (5 * NANOSECONDS_PER_SECOND) /* CAP.TO is zero or too small on some controllers */
/* To let go of all commands in a reset: must end before block.c loses its patience (BLOCK_RESET_GRACE). */
#define NVME_DISABLE_TIMEOUT_MAX (BLOCK_RESET_GRACE - 5 * NANOSECONDS_PER_SECOND)
#define NVME_ADMIN_TIMEOUT (15 * NANOSECONDS_PER_SECOND)
#define NVME_SHUTDOWN_TIMEOUT (45 * NANOSECONDS_PER_SECOND)
#define NVME_CHECK_INTERVAL (10 * NANOSECONDS_PER_MILLISECOND) /* of CSTS, while commands are in flight */
#define NVME_SLOW_READY_TIME (2300 * NANOSECONDS_PER_MILLISECOND)

/* How a command of our own (not a block request) ended. */
struct nvme_result {
    bool ended;
    int status;          /* 0 or a negative error code */
    uint32_t raw_status; /* SCT and SC */
    uint32_t dword0;
};

struct nvme_queue {
    struct nvme_command *submission;
    volatile struct nvme_completion *completion;
    uint64_t submission_address, completion_address;
    uint32_t entries;
    uint16_t id;
    uint32_t tail;  /* of the submission queue */
    uint32_t head;  /* of the completion queue */
    uint16_t phase; /* of the completions that are new */
    /*
     * Doorbells are register writes, which cost more than all the rest of a command, in an emulator above all: one may
     * stand for several commands. `unrung`: in the queue, but not told to the controller. `unacknowledged`: taken, but
     * their places not given back; at most `acknowledge_after` of them, so that the completion queue is never full.
     */
    uint32_t unrung, unacknowledged, acknowledge_after;
};

/* An I/O command in flight: of a block request, or of our own (`result`). */
struct nvme_slot {
    bool busy;
    uint8_t generation; /* upper half of the command identifier: an answer that comes twice is noticed */
    struct block_request *request;
    struct nvme_result *result;
};

/* A bring-up passes through these in order; READY falls back to DISABLING for a reset. */
enum nvme_state {
    NVME_DISABLING,           /* CC.EN is 0, waits for CSTS.RDY = 0: nothing is in flight from then on */
    NVME_ENABLING,            /* CC.EN is 1, waits for CSTS.RDY = 1 */
    NVME_COUNTING_QUEUES,     /* Set Features, Number of Queues */
    NVME_CREATING_COMPLETION, /* Create I/O Completion Queue */
    NVME_CREATING_SUBMISSION, /* Create I/O Submission Queue */
    NVME_READY,
    NVME_FAILED, /* bus mastering is off, all block devices are dead; the end */
};

struct nvme_controller {
    struct platform *platform;
    struct loop *loop;
    struct pci_device *pci;
    struct block_registry *registry;
    struct registers registers;
    char name[BLOCK_NAME_MAX]; /* "nvme:SERIAL", before Identify "nvme@0000:01:00.0" */
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX], firmware[BLOCK_TEXT_MAX];

    uint32_t quirks;
    uint64_t capabilities;
    uint32_t version;
    uint32_t doorbell_stride; /* bytes */
    uint32_t page_size;       /* CC.MPS */
    uint64_t ready_timeout, shutdown_timeout;
    uint32_t max_transfer; /* bytes */
    uint32_t namespace_count;
    bool volatile_cache, discard, write_zeroes;

    struct buffer memory; /* all below, in pages */
    struct nvme_queue admin, io;
    void *identify; /* one Identify answer */
    uint64_t identify_address;
    uint8_t *lists; /* one page per slot: a PRP list, or the range of a deallocation */
    uint64_t lists_address;

    enum nvme_state state;
    uint64_t deadline;    /* of this state */
    uint64_t quiet_until; /* no register access before */
    uint64_t next_check;
    unsigned resets; /* in a row */
    struct error failure;

    struct nvme_result admin_result; /* one admin command at a time */
    uint16_t admin_command_id;
    struct nvme_slot slots[NVME_QUEUE_ENTRIES];
    uint16_t free_slots[NVME_QUEUE_ENTRIES];
    unsigned slot_count, free_count;

    struct nvme_namespace *namespaces;
};

struct nvme_namespace {
    struct block_device device; /* first: a device is its namespace */
    struct nvme_controller *controller;
    struct nvme_namespace *next;
    uint32_t id;
    uint32_t block_shift;
    bool written; /* since attach: a flush is due at shutdown */
};

/* nvme.c */

/* Reaps, watches the controller, moves a reset on. True when something happened. */
bool nvme_poll(struct nvme_controller *controller);
/* Starts a reset; nvme_poll() carries it on. Does nothing while one is under way. */
void nvme_reset(struct nvme_controller *controller, const char *reason);
/* The end: DMA off, all block devices die. */
__attribute__((format(printf, 3, 4))) void nvme_fail(struct nvme_controller *controller, enum error_code code,
                                                     const char *reason, ...);

/* nvme_queue.c */

/* Bytes of DMA memory, and its layout for slot_count and io.entries. `base` is page_size aligned. */
size_t nvme_memory_size(const struct nvme_controller *controller);
void nvme_memory_layout(struct nvme_controller *controller, uint8_t *base, uint64_t address);
/* Both queue pairs empty, as after a controller reset. */
void nvme_queues_clear(struct nvme_controller *controller);
/* Ends all I/O commands with ERROR_ABORTED (block.c knows which of them were late). No DMA may be going on. */
void nvme_abort_all(struct nvme_controller *controller);
/* Forgets all I/O commands without ending their requests (block_device_die() does that). */
void nvme_forget_all(struct nvme_controller *controller);

/* Tells the controller of all commands in the queue. */
void nvme_ring(struct nvme_controller *controller, struct nvme_queue *queue);
/* Takes completions of a queue; at most one round of it. -ERROR_PROTOCOL: an answer that fits no command. */
int nvme_reap(struct nvme_controller *controller, struct nvme_queue *queue, bool *progress);
void nvme_admin_start(struct nvme_controller *controller, struct nvme_command *command);
/* Sends an admin command and waits. The controller must be READY. On a time-out the controller has failed. */
int nvme_admin_run(struct nvme_controller *controller, struct nvme_command *command, struct error *error);
/* Identify into controller->identify. */
int nvme_identify(struct nvme_controller *controller, uint32_t structure, uint32_t namespace_id, struct error *error);

/* A free slot, not yet taken; -1 when there is none or the controller is not READY. */
int nvme_slot_peek(const struct nvme_controller *controller);
/* Fills PRP 1 and 2 for a transfer with slot `slot`, whose list it uses. */
void nvme_prp_set(struct nvme_controller *controller, unsigned slot, struct nvme_command *command, uint64_t address,
                  uint32_t bytes);
/* Takes the slot that nvme_slot_peek() showed. The doorbell rings now or at the next poll. Either request or result. */
void nvme_send(struct nvme_controller *controller, unsigned slot, struct nvme_command *command,
               struct block_request *request, struct nvme_result *result);

/* nvme_namespace.c */

/* Registers a block device for each active namespace that can be copied. */
int nvme_namespaces_start(struct nvme_controller *controller, struct error *error);
void nvme_namespaces_stop(struct nvme_controller *controller);

/* nvme_status.c */

/* The error code for a status field without its phase bit: 0 or negative. */
int nvme_status_code(uint32_t status);

#endif
