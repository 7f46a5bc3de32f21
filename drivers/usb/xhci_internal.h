/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the xHCI driver share: xhci.c (life of a controller), xhci_ring.c (memory and rings), xhci_command.c,
 * xhci_event.c, xhci_transfer.c (TDs), xhci_context.c (what the controller is told about devices and endpoints), xhci_device.c
 * and xhci_endpoint.c (what the bus asks for), xhci_port.c (the root hub). Sections are those of xHCI 1.2.
 */
#ifndef DRIVERS_USB_XHCI_INTERNAL_H
#define DRIVERS_USB_XHCI_INTERNAL_H

#include "drivers/usb/xhci.h"
#include "drivers/usb/xhci_spec.h"

/* Policy */
#define XHCI_PAGE 4096u
#define XHCI_POOL_PAGES 64u     /* of one pool: bits of a word */
#define XHCI_POOLS_MAX 64u      /* 16 MiB of rings and contexts */
#define XHCI_EVENT_PAGES 4u     /* 1024 events */
#define XHCI_COMMAND_PAGES 1u   /* 255 commands */
#define XHCI_RING_PAGES 1u      /* of a control, interrupt or stream ring: 255 TRBs */
#define XHCI_BULK_RING_PAGES 4u /* of a bulk ring: 1023 TRBs, 32 transfers of the largest size */
#define XHCI_MAX_TRANSFER (1u << 20)
#define XHCI_TRANSFER_TRBS (XHCI_MAX_TRANSFER / XHCI_TRB_TRANSFER_MAX + 1) /* of the largest one, not aligned */
#define XHCI_QUEUE_DEPTH 32u
#define XHCI_STREAMS_MAX 32u
#define XHCI_SLOTS_MAX USB_DEVICES_MAX
#define XHCI_HANDOFF_TIME NANOSECONDS_PER_SECOND
#define XHCI_HALT_TIME (100 * NANOSECONDS_PER_MILLISECOND)      /* 5.4.1.1: 16 ms */
#define XHCI_RESET_QUIET_TIME (2 * NANOSECONDS_PER_MILLISECOND) /* some hang when a register is read within 1 ms */
#define XHCI_RESET_TIME (5 * NANOSECONDS_PER_SECOND)
#define XHCI_COMMAND_TIME (5 * NANOSECONDS_PER_SECOND) /* Address Device waits for the device */
#define XHCI_ABORT_TIME (5 * NANOSECONDS_PER_SECOND)   /* 4.6.1.2 */
#define XHCI_ABORT_CHECK_TIME (100 * NANOSECONDS_PER_MILLISECOND)
#define XHCI_CHECK_INTERVAL (10 * NANOSECONDS_PER_MILLISECOND)  /* of USBSTS, while events are awaited */
#define XHCI_POWER_GOOD_TIME (20 * NANOSECONDS_PER_MILLISECOND) /* 5.4.8 */

struct xhci;
struct xhci_endpoint;
struct xhci_slot;

/* ---- memory that the controller sees ---- */

struct xhci_pool {
    struct xhci_pool *next;
    struct buffer buffer;
    uint64_t address;
    uint64_t used; /* one bit a page */
};

/* A run of pages, zeroed. */
struct xhci_memory {
    void *data;
    uint64_t address; /* as the controller sees it */
    unsigned pages;   /* 0: none */
};

/* `aligned`: to its own size (a power of two pages). 0 or -ERROR_NO_MEMORY. */
int xhci_memory_allocate(struct xhci *xhci, unsigned pages, bool aligned, struct xhci_memory *memory);
void xhci_memory_release(struct xhci *xhci, struct xhci_memory *memory);
/* All pools: the controller is at rest. */
void xhci_memory_end(struct xhci *xhci);

/* ---- rings (4.9) ---- */

/*
 * A ring of TRBs that we fill. A TD never crosses the ring's end: where it does not fit, link TRBs take what is left, so
 * neither fragments nor chained links exist (4.11.7.1). Free are those from `enqueue` up to `dequeue`, less one.
 */
struct xhci_ring {
    struct xhci_trb *trbs;
    uint64_t address;
    unsigned size;             /* TRBs, the last of them always a link */
    unsigned enqueue, dequeue; /* indices: the next to be filled; the first that is not free */
    uint32_t cycle;            /* of what is filled in now */
    uint32_t link_flags;       /* 0.95: the chain bit */
    /* Of transfer rings: */
    struct xhci_endpoint *endpoint;
    uint16_t stream;
    bool strayed; /* the controller stands within a transfer that has ended: it is to be told where to go on */
    struct usb_transfer *first, **last; /* in order */
};

void xhci_ring_init(struct xhci_ring *ring, void *trbs, uint64_t address, unsigned pages, uint32_t link_flags);
/* Makes room for `count` TRBs in one piece, with link TRBs if need be. false: full. */
bool xhci_ring_reserve(struct xhci_ring *ring, unsigned count);
/* Puts `count` TRBs where xhci_ring_reserve() made room; the controller sees them all at once. Index of the first. */
unsigned xhci_ring_put(struct xhci_ring *ring, const struct xhci_trb *trbs, unsigned count);
/* Index of the TRB at this address of the controller's, or UINT_MAX. */
unsigned xhci_ring_index(const struct xhci_ring *ring, uint64_t address);
/* Where the next TRB will be, with its cycle bit. */
uint64_t xhci_ring_position(const struct xhci_ring *ring);

/* ---- commands (4.6) ---- */

struct xhci_command {
    struct xhci_command *next;
    struct xhci_trb trb;
    unsigned index;                             /* on the ring */
    void (*done)(struct xhci_command *command); /* inside poll(); NULL: look at `ended` */
    void *context;
    bool ended;
    int status;    /* 0: there is an answer with a completion code; -ERROR_TIMEOUT, -ERROR_GONE, -ERROR_PROTOCOL */
    unsigned code; /* enum xhci_completion */
    unsigned slot;
};

/* Sends. `command` stays the ring's until it has ended, which is certain and bounded. -ERROR_FULL, -ERROR_GONE. */
int xhci_command_send(struct xhci *xhci, struct xhci_command *command);
/*
 * Sends and waits. `code` (may be NULL) is the completion code, 0 without an answer; `slot` (may be NULL) what Enable Slot gives.
 * 0 for success, else xhci_error() of the code or how the command failed.
 */
int xhci_command_run(struct xhci *xhci, struct xhci_trb trb, unsigned *code, unsigned *slot);
void xhci_command_event(struct xhci *xhci, const struct xhci_trb *event);
/* Deadlines. True when something happened. */
bool xhci_command_watch(struct xhci *xhci);
/* An empty ring; the controller does not run it now. */
void xhci_command_ring_start(struct xhci *xhci);
/* Ends all with -ERROR_GONE. */
void xhci_commands_end(struct xhci *xhci);
/* The negative error for a completion code; 0 for success and a short packet. */
int xhci_error(unsigned code);

/* ---- devices and endpoints ---- */

enum xhci_recovery { XHCI_RECOVERY_NONE, XHCI_RECOVERY_RESET, XHCI_RECOVERY_DEQUEUE };

struct xhci_endpoint {
    struct xhci_slot *slot;
    struct usb_endpoint *endpoint; /* NULL: not open */
    unsigned index;                /* device context index: 1 to 31 */
    enum usb_endpoint_type type;
    bool in;
    uint16_t max_packet;

    struct xhci_memory memory;       /* of the rings */
    struct xhci_memory stream_array; /* stream contexts */
    unsigned stream_array_size;      /* entries; 0: without streams */
    struct xhci_ring *rings;         /* by stream ID less one; one without streams */
    unsigned ring_count;

    bool halted;   /* nothing moves before endpoint_reset() */
    bool closing;  /* not to be part of the slot any more */
    bool stopping; /* no doorbells: it is being stopped or set up */
    /* Endpoint 0 gets well by itself, with commands that nobody waits for. */
    enum xhci_recovery recovery;
    struct xhci_command command;
};

struct xhci_slot {
    struct xhci *xhci;
    struct usb_device *device;
    unsigned id;                 /* 0: none yet */
    struct xhci_memory contexts; /* a page for the input context, one for the controller's own */
    struct xhci_endpoint *endpoints[XHCI_ENDPOINTS + 1]; /* by device context index */
    bool multiple_translators;
    bool addressed;
    bool lost; /* the controller would not give it back: its memory is not used again */
};

/* ---- ports ---- */

struct xhci_port {
    uint8_t major;     /* 2 or 3; 0: of no protocol, not served */
    uint8_t slot_type; /* of Enable Slot */
    uint8_t speeds;    /* number of speed IDs, in xhci->speeds from first_speed on */
    uint8_t first_speed;
};
#define XHCI_SPEEDS_MAX 64u

/* ---- the controller ---- */

struct xhci {
    struct platform *platform;
    struct loop *loop;
    struct pci_device *pci;
    struct registers registers;
    uint32_t quirks;
    uint16_t version;
    uint64_t operational, runtime, doorbells; /* offsets */
    unsigned slot_count, port_count;
    unsigned context_size; /* bytes: 32 or 64 */
    unsigned scratchpads;
    unsigned stream_array_max; /* entries; 0: no streams */
    uint32_t page_size;
    uint64_t legacy; /* offset of the legacy support capability; 0: none */
    bool power_control;

    /* As found, to be given back */
    bool firmware_owned;
    uint32_t firmware_smi;

    struct xhci_pool *pools;
    unsigned pool_count;
    struct buffer scratchpad_buffer;
    struct xhci_memory base; /* device context array; event ring segment table; scratchpad array: a page each */
    struct xhci_memory command_memory, event_memory;

    struct xhci_ring command_ring;
    struct xhci_command *commands, **commands_last; /* sent, in order */
    uint64_t command_deadline;                      /* of the first */
    bool aborting;
    struct xhci_command *aborted; /* that had its time; NULL: has ended */
    uint64_t abort_deadline, abort_check;

    const volatile struct xhci_trb *events;
    unsigned event_count, event_next;
    uint32_t event_cycle;
    unsigned strange_events;

    bool running, dead;
    bool armed;             /* it has been told where its memory is */
    struct xhci *next_kept; /* see controller_free() */
    uint64_t next_check;

    struct xhci_slot *slots[256];
    struct xhci_port ports[256]; /* from 1 */
    uint32_t speeds[XHCI_SPEEDS_MAX];
    unsigned speed_count;

    struct usb_bus bus;
    struct usb_hub root;
};

/* xhci.c */

static inline uint32_t xhci_read(struct xhci *xhci, uint64_t offset)
{
    return register_read32(&xhci->registers, xhci->operational + offset);
}
static inline void xhci_write(struct xhci *xhci, uint64_t offset, uint32_t value)
{
    register_write32(&xhci->registers, xhci->operational + offset, value);
}
/* What was written to memory before is seen by the controller. */
static inline void xhci_doorbell(struct xhci *xhci, unsigned slot, uint32_t value)
{
    dma_barrier();
    register_write32(&xhci->registers, xhci->doorbells + XHCI_DOORBELL(slot), value);
}
/* The end: DMA off, everything in flight ends with -ERROR_GONE, the bus dies. At any depth. */
__attribute__((format(printf, 2, 3))) void xhci_die(struct xhci *xhci, const char *reason, ...);

/* xhci_capability.c */

/* Capability registers and extended capabilities. */
int xhci_read_capabilities(struct xhci *xhci, struct error *error);

/* xhci_event.c */

/* The loop's: takes events, watches deadlines and the controller's health. */
bool xhci_poll(struct pollable *pollable);

/* xhci_transfer.c */

int xhci_submit(struct usb_transfer *transfer);
void xhci_transfer_event(struct xhci *xhci, const struct xhci_trb *event);
/* Rings the doorbell of a ring with transfers, unless its endpoint rests. */
void xhci_ring_doorbell(struct xhci_ring *ring);
/* The first transfer that is queued, or where the next one will be: with its cycle bit, for contexts and Set TR Dequeue. */
uint64_t xhci_transfer_position(const struct xhci_ring *ring);
/* Ends all transfers of an endpoint. */
void xhci_endpoint_end(struct xhci_endpoint *endpoint, int status);

/* xhci_context.c */

struct xhci_input_control *xhci_input_begin(struct xhci_slot *slot);
/* Of the input context, and of the controller's own. */
struct xhci_slot_context *xhci_input_slot(struct xhci_slot *slot);
struct xhci_endpoint_context *xhci_input_endpoint(struct xhci_slot *slot, unsigned index);
const volatile struct xhci_slot_context *xhci_slot_context(const struct xhci_slot *slot);
const volatile struct xhci_endpoint_context *xhci_endpoint_context(const struct xhci_slot *slot, unsigned index);
/* Slot context of a new device: where it hangs. -ERROR_PROTOCOL: a translator without a slot. */
int xhci_context_place(struct xhci_slot *slot);
/* Slot context as it is, with as many entries as the highest open endpoint needs. */
void xhci_context_again(struct xhci_slot *slot);
/* Endpoint context for an empty ring (or rings). */
void xhci_context_endpoint(struct xhci_endpoint *endpoint);
/* Interval field (6.2.3.6): 2^n x 125 us */
unsigned xhci_interval(enum usb_endpoint_type type, enum usb_speed speed, uint8_t interval);

/* xhci_device.c */

int xhci_device_open(struct usb_device *device);
int xhci_device_address(struct usb_device *device);
int xhci_control_update(struct usb_device *device);
int xhci_hub_update(struct usb_device *device, unsigned ports, bool multiple_translators, unsigned think_time);
int xhci_device_reset(struct usb_device *device);
void xhci_device_close(struct usb_device *device);
/* Frees the slot and all its endpoints; transfers must have ended. */
void xhci_slot_free(struct xhci_slot *slot);

/* xhci_endpoint.c */

/* Rings for an endpoint; `streams` are wanted, fewer may come. NULL: no memory. */
struct xhci_endpoint *xhci_endpoint_create(struct xhci_slot *slot, struct usb_endpoint *endpoint, unsigned streams);
void xhci_endpoint_free(struct xhci_endpoint *endpoint);
/* The bus has it no more: nothing is submitted from here on. */
void xhci_endpoint_leave(struct xhci_endpoint *endpoint);
/* Takes it out of its slot and frees it; transfers must have ended. */
void xhci_endpoint_remove(struct xhci_endpoint *endpoint);
/* Waits. Nothing moves any more, all transfers have ended with `status`. An error: the controller has died. */
int xhci_endpoint_stop(struct xhci_endpoint *endpoint, int status);
/* Waits. After a stop: the controller goes on with what was submitted since. */
int xhci_endpoint_rewind(struct xhci_endpoint *endpoint);
/* Endpoint 0 has halted: inside poll(). */
void xhci_endpoint_recover(struct xhci_endpoint *endpoint);

int xhci_endpoints_open(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count);
void xhci_endpoints_close(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count);
int xhci_endpoint_reset(struct usb_endpoint *endpoint);
int xhci_endpoint_cancel(struct usb_endpoint *endpoint);

/* xhci_port.c */

extern const struct usb_hub_operations xhci_root_operations;
/* Tells the bus. At any depth. */
void xhci_port_changed(struct xhci *xhci, unsigned number);

#endif
