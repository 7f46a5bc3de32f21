/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An xHCI controller for the host: registers, contexts, command, event and transfer rings, root ports, and faults at the test's
 * command. The devices on its ports are those of usb_model.h.
 *
 * It takes the specification (xHCI 1.2) seriously: what a driver must not do (doorbells of what is not there, TRBs across 64 KiB, cycle
 * bits that hide half a TD, contexts with fields that make no sense, PORTSC written carelessly, registers in a wrong order,
 * ...) is counted in `violations`, and the last one is named. Commands and transfers move on a little at each poll of the
 * loop, endpoints in any order. Device addresses are host addresses, so ASan sees transfers that leave a buffer.
 */
#ifndef TESTS_SUPPORT_XHCI_MODEL_H
#define TESTS_SUPPORT_XHCI_MODEL_H

#include "core/loop.h"
#include "drivers/usb/xhci_spec.h"
#include "tests/support/test_platform.h"
#include "tests/support/usb_model.h"

#define XHCI_MODEL_PORTS 12
#define XHCI_MODEL_SLOTS 64
#define XHCI_MODEL_PROTOCOLS 4
#define XHCI_MODEL_EVENTS 4096

/* How the next transfer event lies. */
enum xhci_model_lie {
    XHCI_LIE_NONE,
    XHCI_LIE_SLOT,     /* a slot that is not in use */
    XHCI_LIE_ENDPOINT, /* an endpoint that is not open */
    XHCI_LIE_POINTER,  /* a TRB that is on no ring */
    XHCI_LIE_OLD,      /* the TRB before */
    XHCI_LIE_TWICE,    /* the true event, then once more */
    XHCI_LIE_LENGTH,   /* more left than there was */
    XHCI_LIE_TYPE,     /* an event type that does not exist */
    XHCI_LIE_NEVER,    /* the event does not come */
};

struct xhci_model_protocol {
    uint8_t major, minor, first_port, port_count, slot_type; /* port_count 0: none */
    unsigned speed_count;                                    /* protocol speed IDs; 0: the default ones */
    uint32_t speeds[4];                                      /* as in the capability (7.2.2.1.1) */
    uint8_t speed_ids[6]; /* what PORTSC and slot contexts say, by enum usb_speed; 0: the default */
};

/* A transfer ring as the controller sees it. */
struct xhci_model_ring {
    uint64_t dequeue;
    uint32_t cycle;
    bool rung;    /* a doorbell was rung for it, and it has not run dry */
    size_t moved; /* bytes of the TD that it is in */
};

struct xhci_model_endpoint {
    uint8_t state; /* enum xhci_endpoint_state; 0: not there */
    uint8_t type;
    uint16_t max_packet;
    unsigned starts_in;  /* polls: a doorbell was rung while it was stopped; 0: none was */
    unsigned ring_count; /* by stream ID, 0 not used with streams; 1 without */
    uint64_t streams;    /* the array; 0: none */
    struct xhci_model_ring *rings;
    uint32_t sequence;
};

struct xhci_model_slot {
    bool enabled, bound; /* bound: has been addressed (or blocked) */
    uint8_t state;       /* enum xhci_slot_state */
    uint8_t slot_type, address;
    unsigned root_port;
    uint32_t route;
    struct usb_model_device *model; /* look at xhci_model_present() first */
    struct xhci_model_endpoint endpoints[XHCI_ENDPOINTS + 1];
};

struct xhci_model {
    /* What it is: set after xhci_model_init(), before xhci_model_start() */
    uint16_t version;   /* 0x096, 0x100, 0x110, 0x120 */
    bool wide_contexts; /* CSZ */
    bool power_control; /* PPC: ports have no power after a reset */
    unsigned slot_count, port_count, scratchpads;
    unsigned stream_array; /* MaxPSASize: arrays of 2^(n+1); 0: none */
    struct xhci_model_protocol protocols[XHCI_MODEL_PROTOCOLS];
    bool firmware_owned; /* USBLEGSUP: BIOS semaphore set; it lets go after firmware_delay */
    uint64_t firmware_delay;
    bool firmware_holds_on;
    uint64_t ready_delay;    /* nanoseconds that a reset, a halt takes */
    bool tells_last;         /* after a short packet within a TD: also an event for the last TRB with IOC (4.10.1.1) */
    bool stop_tells_idle;    /* Stop Endpoint: Stopped - Length Invalid also for a ring that is empty */
    unsigned event_segments; /* ERST Max, log2 */
    unsigned pace;           /* transfers moved, events written at each poll, at most */
    unsigned command_delay;  /* polls that a command takes */
    unsigned start_delay;    /* polls that a stopped endpoint takes to run; Stop Endpoint is refused meanwhile */

    struct usb_model_port ports[XHCI_MODEL_PORTS]; /* ports[0] is port 1 */

    /* Faults, at any time */
    bool gone;             /* registers read all ones, nothing moves */
    bool fatal;            /* HSE, halted; a reset clears it */
    bool controller_error; /* HCE */
    bool stops;            /* halted by itself */
    bool never_halts, never_resets, never_ready;
    int deaf_command;             /* commands of this TRB type are not answered until they are aborted; -1: none */
    bool abort_ignored;           /* nor then */
    int bad_command;              /* commands of this TRB type are answered with bad_code; -1: none */
    unsigned bad_code, bad_times; /* 0 times: always */
    bool frozen;                  /* no transfer moves */
    bool silent;                  /* transfers to a device that is gone do not end by themselves */
    unsigned soft_error;          /* the code of the next event for good data: the endpoint goes on; 0: none */
    unsigned soft_index;          /* ... on this endpoint only, by context index; 0: any */
    enum xhci_model_lie lie;
    bool lie_for_ever;
    bool flood; /* invented events as fast as the ring takes them */
    bool loses_port_events;
    unsigned
        unplug_at_doorbell; /* the device on unplug_port is pulled at this doorbell (from now, counted down); 0: never */
    unsigned unplug_port;

    /* What it saw */
    unsigned violations;
    const char *violation;
    unsigned resets, commands, command_types[64], doorbells, transfer_events, event_pointer_writes;
    unsigned register_reads, full_events;
    uint64_t biggest;    /* bytes of one TD */
    unsigned most_trbs;  /* of one TD */
    unsigned ring_wraps; /* link TRBs with toggle that were followed, transfer rings only */
    bool running;

    /* Its own */
    struct test_platform *platform;
    struct loop *loop;
    struct test_pci_function function;
    struct pollable pollable;
    uint32_t usbcmd, status_bits, config, legacy, legacy_control, erst_size, iman, imod;
    uint64_t dcbaap, crcr, erst, erdp;
    uint32_t extended[64];           /* capabilities */
    uint64_t change_at, firmware_at; /* when a reset is over; when the firmware lets go */
    uint64_t reset_at;
    bool resetting, halted, not_ready;
    uint64_t command_dequeue;
    uint32_t command_cycle;
    bool command_running, command_stuck, abort_asked;
    unsigned command_wait;
    unsigned event_segment, event_index;
    uint32_t event_cycle;
    bool event_full;
    struct xhci_trb queue[XHCI_MODEL_EVENTS]; /* events that wait for room */
    unsigned queue_first, queue_count;
    uint32_t port_changes[XHCI_MODEL_PORTS]; /* change bits that were told */
    bool port_disabled[XHCI_MODEL_PORTS];
    struct xhci_model_slot slots[XHCI_MODEL_SLOTS + 1];
    uint64_t random;
};

/*
 * A well-behaved xHCI 1.1: 8 ports, 1 to 4 USB 2 and 5 to 8 USB 3, contexts of 32 bytes, 32 slots, streams. Its function is
 * added to the platform.
 */
void xhci_model_init(struct xhci_model *model, struct test_platform *platform, struct loop *loop);
/* Powers on, joins the loop. */
void xhci_model_start(struct xhci_model *model);
/* Leaves the loop, frees. */
void xhci_model_end(struct xhci_model *model);

/* --- between its files --- */

void xhci_model_violation(struct xhci_model *model, const char *what);
uint64_t xhci_model_random(struct xhci_model *model);
/* The TRB at an address of the host's; NULL (and a violation) when it makes no sense. */
struct xhci_trb *xhci_model_trb(struct xhci_model *model, uint64_t address);
void xhci_model_event(struct xhci_model *model, uint64_t parameter, uint32_t status, uint32_t control);
/* xhci_model_command.c: one step of the command ring. */
bool xhci_model_run_commands(struct xhci_model *model);
void xhci_model_free_slots(struct xhci_model *model);
uint8_t *xhci_model_context(struct xhci_model *model, unsigned slot, unsigned index); /* the output context's part */
/* xhci_model_transfer.c */
bool xhci_model_run_transfers(struct xhci_model *model);
void xhci_model_ring_doorbell(struct xhci_model *model, unsigned slot, uint32_t value);
/* Is the device that was addressed still there? NULL: no. */
struct usb_model_device *xhci_model_present(struct xhci_model *model, const struct xhci_model_slot *slot);
/* Stop Endpoint: events for what it was in, the dequeue pointers into the context. */
void xhci_model_stop_endpoint(struct xhci_model *model, unsigned slot, unsigned index);
void xhci_model_set_state(struct xhci_model *model, unsigned slot, unsigned index, uint8_t state);
/* What PORTSC and slot contexts call this speed on this port. */
unsigned xhci_model_speed_id(const struct xhci_model *model, unsigned port, enum usb_speed speed);

#endif
