/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scripted USB devices: disks (bulk-only and UAS), hubs, keyboards, and whatever a test builds itself.
 *
 * A device answers control requests and packets at its endpoints; it knows nothing of a host controller. Two hosts drive them:
 * the fake one of usb_model_host.h, at the seam of drivers/usb/usb.h, and the xHCI of xhci_model.h, at register level. Faults and
 * descriptors may be changed by the test at any time. What a host or a driver must not do (packets to endpoints that are
 * not there, data toggles that differ on both sides, a CBW before the last CSW, two devices in the Default state, ...) is counted
 * as a violation, and the last one is named.
 *
 *     struct usb_model_disk disk;
 *     usb_model_disk_init(&disk, USB_SPEED_HIGH, false, 1);    bulk-only, one unit of 4096 blocks of 512 bytes
 *     disk.target.units[0].bad_lba = 100;
 *     usb_model_plug(&host.ports[0], &disk.device);
 *     ...
 *     usb_model_unplug(&disk.device);
 *     usb_model_disk_end(&disk);
 */
#ifndef TESTS_SUPPORT_USB_MODEL_H
#define TESTS_SUPPORT_USB_MODEL_H

#include "core/platform.h"
#include "drivers/usb/usb.h"

struct usb_model_device;
struct usb_model_port;

/* How a device answers, besides a number of bytes. */
#define USB_MODEL_NAK (-1)       /* nothing now: the host asks again */
#define USB_MODEL_STALL (-2)     /* the endpoint is halted until CLEAR_FEATURE; endpoint 0 until the next request */
#define USB_MODEL_ERROR (-3)     /* no valid answer: a transaction error at the host */
#define USB_MODEL_BABBLE (-4)    /* more than was asked for */
#define USB_MODEL_NOT_READY (-5) /* a stream that the device has not selected: as NAK */

struct usb_model_operations {
    /*
     * Requests that usb_model_control() does not answer itself (class requests; standard ones that the device wants to answer: it
     * is asked first and says USB_MODEL_DEFAULT to pass). `data` is setup->length bytes, given or wanted as bit 7 of the request type
     * says. Returns bytes or STALL, NAK, ERROR.
     */
    int (*control)(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data);
    /*
     * Packets to an endpoint: `length` bytes, 0 for an empty packet. Returns how many are taken: all, or a multiple of the
     * packet size (it is called again with the rest).
     */
    int (*out)(struct usb_model_device *device, uint8_t address, unsigned stream, const uint8_t *data, size_t length);
    /*
     * Packets from an endpoint, at most `max` bytes. A number that is not a multiple of the packet size, or 0, ends the transfer (short
     * packet); otherwise it goes on with the next call while the host has room.
     */
    int (*in)(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max);
    /* The bus was reset, or the cable pulled: all state but contents goes. May be NULL, as those below. */
    void (*reset)(struct usb_model_device *device);
    /* CLEAR_FEATURE(ENDPOINT_HALT) came for this endpoint; the model has cleared the halt. */
    void (*halt_cleared)(struct usb_model_device *device, uint8_t address);
    /* SET_INTERFACE or SET_CONFIGURATION came. */
    void (*selected)(struct usb_model_device *device, unsigned interface, unsigned alternate);
};
#define USB_MODEL_DEFAULT (-100)

#define USB_MODEL_STRINGS 8
#define USB_MODEL_CONFIGURATION_MAX 4096

struct usb_model_device {
    const struct usb_model_operations *operations;
    enum usb_speed speed;

    /* What it says of itself; the test may overwrite anything, lies included. */
    struct usb_device_descriptor descriptor;
    uint8_t configuration[USB_MODEL_CONFIGURATION_MAX];
    size_t configuration_size;              /* bytes that it has, whatever wTotalLength says */
    const char *strings[USB_MODEL_STRINGS]; /* by index, from 1; NULL: stalls */

    /* Faults, at any time */
    bool deaf;                  /* NAKs everything, control requests too, until the bus is reset */
    bool deaf_for_ever;         /* also after that */
    bool no_answer;             /* every packet is a transaction error */
    int bad_request;            /* this control request (bRequest) ... ; -1: none */
    int bad_answer;             /* ... is answered so: USB_MODEL_STALL, _NAK, _ERROR or a number of bytes */
    unsigned bad_times;         /* so many times; 0: always */
    unsigned unplug_at_request; /* it is unplugged when this control request (counted from 1) comes; 0: never */

    /* What it saw */
    unsigned requests; /* control requests, SET_ADDRESS not counted */
    unsigned resets, clear_halts, set_interfaces, set_configurations;
    unsigned violations;
    const char *violation; /* the last one */

    /* State, to look at */
    struct usb_model_port *port; /* NULL: not plugged in */
    bool in_default_state;       /* reset and without address */
    uint8_t address;             /* 0: none */
    uint8_t configuration_value; /* 0: not configured */
    uint8_t alternates[USB_INTERFACES_MAX];
    bool halted[32];       /* by endpoint: number, +16 for IN */
    uint32_t sequence[32]; /* packets since the toggle was reset */
};

/* A port of a root hub or of a hub. Both hosts and the hub device use it. */
struct usb_model_port {
    struct platform *platform;       /* its clock */
    bool super;                      /* a USB 3 port: takes SuperSpeed devices only; others take all others */
    unsigned number;                 /* from 1 */
    struct usb_model_device *hub;    /* NULL: a root port */
    struct usb_model_device *device; /* plugged in; NULL: none */
    bool powered, enabled, resetting, over_current;
    bool inactive; /* USB 3: the link has failed and wants a warm reset */
    bool connect_changed, enable_changed, reset_changed, warm_reset_changed, over_current_changed, link_changed;
    uint64_t reset_ends;
    bool reset_is_warm;
    /* Faults */
    unsigned bad_resets; /* so many resets end without the port enabled */
    bool endless_reset;  /* resets never end */
    unsigned resets, warm_resets;
    unsigned departed_violations; /* of devices that were unplugged here */
    const char *departed_violation;
    void (*changed)(struct usb_model_port *port, void *context); /* one of the ..._changed was set */
    void *context;
};

/* --- plugging --- */

/* The port must be empty and of the device's kind (abort). Ports without power see nothing until they are powered. */
void usb_model_plug(struct usb_model_port *port, struct usb_model_device *device);
/* At any moment; what hangs on it (a hub's devices) stays plugged into it but cannot be reached. Not plugged in: nothing. */
void usb_model_unplug(struct usb_model_device *device);

/* --- for those who build devices --- */

/* Full descriptors without configuration; interfaces are added below. Strings 1 to 3: manufacturer, product, serial. */
void usb_model_device_init(struct usb_model_device *device, const struct usb_model_operations *operations,
                           enum usb_speed speed, uint16_t vendor_id, uint16_t product_id, const char *serial);
void usb_model_add_interface(struct usb_model_device *device, uint8_t number, uint8_t alternate, uint8_t class_code,
                             uint8_t subclass, uint8_t protocol);
/* Behind the interface added last; with its companion at SuperSpeed. max_packet 0: the usual one of the speed (bulk). */
void usb_model_add_endpoint(struct usb_model_device *device, uint8_t address, enum usb_endpoint_type type,
                            uint16_t max_packet, uint8_t interval, uint8_t max_burst, uint8_t max_streams_log2);
/* Any descriptor, appended as it is. */
void usb_model_add_bytes(struct usb_model_device *device, const void *bytes, size_t size);
void usb_model_violation(struct usb_model_device *device, const char *what);
/* Of the current alternate settings: the endpoint's packet size; 0: there is no such endpoint now. */
uint16_t usb_model_packet_size(const struct usb_model_device *device, uint8_t address);

/* --- for those who build hosts --- */

/* Powered up, cable to this device whole, all ports to the root enabled. */
bool usb_model_reachable(const struct usb_model_device *device);
/* The device at the end of this route (4 bits a tier) from a root port; NULL: none. */
struct usb_model_device *usb_model_at_route(struct usb_model_port *root, uint32_t route);
/* SET_ADDRESS: 0 or STALL, ERROR. Address 0 brings it back into the Default state. */
int usb_model_set_address(struct usb_model_device *device, uint8_t address);
/* A control request with all its stages. Bytes, or NAK, STALL, ERROR. `data` holds setup->length bytes. */
int usb_model_control(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data);
/*
 * Packets as in the operations above, after the checks that every device makes. *sequence: the host's count of packets on
 * this endpoint, which it zeroes when it resets its toggle; it must agree with the device's.
 */
int usb_model_out(struct usb_model_device *device, uint8_t address, unsigned stream, const uint8_t *data, size_t length,
                  uint32_t *sequence);
int usb_model_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max,
                 uint32_t *sequence);

void usb_model_port_init(struct usb_model_port *port, struct platform *platform, unsigned number, bool super,
                         struct usb_model_device *hub);
/* Ends resets whose time has come. Each poll, and before the state is looked at. */
void usb_model_port_update(struct usb_model_port *port);
void usb_model_port_power(struct usb_model_port *port, bool on);
void usb_model_port_reset(struct usb_model_port *port, bool warm); /* takes 10 ms, warm 100 ms */
void usb_model_port_disable(struct usb_model_port *port);
/* The link of a USB 3 port fails: Inactive. */
void usb_model_port_fail_link(struct usb_model_port *port);

/* --- SCSI: a target with contents in RAM (usb_model_scsi.c) --- */

#define USB_MODEL_UNITS 8

struct usb_model_unit {
    uint8_t type;   /* peripheral device type; 0: disk */
    uint32_t block; /* bytes */
    uint64_t blocks;
    uint8_t *data;             /* block * blocks bytes; allocated by usb_model_unit_data() or the first access */
    uint64_t pretended;        /* blocks that READ CAPACITY tells (big disks); 0: `blocks` */
    uint8_t physical_exponent; /* log2 of logical blocks per physical block */
    bool removable, no_medium, read_only;
    bool no_vpd; /* INQUIRY with EVPD is refused */
    bool no_mode_sense;
    bool no_capacity_16, no_synchronize,
        no_16;              /* READ CAPACITY (16), SYNCHRONIZE CACHE, READ/WRITE (16) are illegal requests */
    bool unmap, write_same; /* offered (pages b0, b2) */
    bool rotational, cache; /* b1; caching page WCE */
    uint32_t max_unmap_blocks, max_unmap_ranges;
    uint64_t max_write_same;
    uint32_t max_transfer_blocks;                     /* page b0; 0: not said */
    const char *vendor, *product, *revision, *serial; /* serial: page 80 */
    /* Faults */
    uint64_t bad_lba, bad_count; /* medium error for reads and writes that touch these; bad_count 0: none */
    unsigned becoming_ready;     /* so many TEST UNIT READYs are answered NOT READY, 04/01 */
    bool stopped;                /* NOT READY 04/02 until START STOP UNIT */
    uint8_t attention[2];  /* ASC, ASCQ of the unit attention to report next; 0, 0: none. 29/00 after each reset */
    bool fail_synchronize; /* SYNCHRONIZE CACHE: MEDIUM ERROR 0c/00 */
    unsigned busy;         /* so many commands are answered BUSY */
    unsigned aborted;      /* so many reads and writes: ABORTED COMMAND 47/03 */
    /* What it saw */
    unsigned reads, writes, synchronizes, unmaps, write_sames, inquiries, starts, commands;
    uint64_t blocks_read, blocks_written;
    uint64_t biggest; /* bytes of one READ or WRITE */
    bool dirty;       /* written since the last SYNCHRONIZE CACHE */
    /* Its own */
    uint8_t sense[18];
};

struct usb_model_target {
    struct usb_model_unit units[USB_MODEL_UNITS];
    unsigned unit_count;
    struct usb_model_device *device; /* where violations are counted */
};

/* A command in work. */
struct usb_model_task {
    struct usb_model_target *target;
    uint8_t lun;
    uint8_t cdb[16];
    bool in;        /* data goes to the host */
    uint8_t *data;  /* of `length` bytes; NULL when none */
    size_t length;  /* bytes that the device wants to move */
    size_t moved;   /* so far; kept by the transport */
    uint8_t status; /* SAM status; CHECK CONDITION fills sense */
    uint8_t sense[18];
    size_t sense_size;
};

/* `count` disks of 4096 blocks of 512 bytes, fixed, writable, with all that a good one offers. */
void usb_model_target_init(struct usb_model_target *target, struct usb_model_device *device, unsigned count);
void usb_model_target_end(struct usb_model_target *target);
/* Contents, allocated and zeroed when they are not there yet. */
uint8_t *usb_model_unit_data(struct usb_model_unit *unit);
/* Each 8 bytes of the contents are lba << 16 | byte in the block. */
void usb_model_unit_number(struct usb_model_unit *unit);
/* Decodes; for data to the host `data` is ready afterwards; for data from the host there is room, and finish() does the work. */
void usb_model_task_begin(struct usb_model_task *task, struct usb_model_target *target, uint8_t lun,
                          const uint8_t *cdb);
/* All data has moved (or fewer, task->moved). Sets status and sense. */
void usb_model_task_finish(struct usb_model_task *task);
void usb_model_task_end(struct usb_model_task *task); /* frees data */
/* 29/00 for all units, sense data gone. */
void usb_model_target_reset(struct usb_model_target *target);

/* --- disks: bulk-only as alternate setting 0, UAS as 1 (usb_model_disk.c, usb_model_uas.c) --- */

enum usb_model_disk_fault {
    USB_MODEL_NO_FAULT,
    USB_MODEL_UNPLUG,         /* the cable is pulled when the command arrives */
    USB_MODEL_UNPLUG_IN_DATA, /* ... when half of the data has moved */
    USB_MODEL_HANG, /* nothing more until: bulk-only mass storage reset; UAS: task management for this task or a reset of unit or bus */
    USB_MODEL_HANG_HARD, /* ... until the bus is reset */
    USB_MODEL_HANG_FOR_EVER,
    USB_MODEL_STALL_DATA,   /* half of the data, then a stall; the command fails: ABORTED COMMAND */
    USB_MODEL_SHORT_DATA,   /* half of the data; good status, residue told */
    USB_MODEL_FULL_RESIDUE, /* all data, and a residue as if there had been none (bulk-only) */
    USB_MODEL_LIE_RESIDUE,  /* all data, but a residue larger than the transfer (bulk-only) */
    /* Bulk-only */
    USB_MODEL_STALL_COMMAND, /* the CBW is refused with a stall, IN too, until reset recovery */
    USB_MODEL_STALL_STATUS,  /* the CSW is stalled once, comes after the halt is cleared */
    USB_MODEL_STALL_STATUS_TWICE,
    USB_MODEL_BAD_SIGNATURE,
    USB_MODEL_BAD_TAG,
    USB_MODEL_SHORT_STATUS,      /* of the CSW; reset recovery follows */
    USB_MODEL_BAD_STATUS,        /* a status byte that the specification does not know */
    USB_MODEL_PHASE_ERROR,       /* status 2 */
    USB_MODEL_TRANSACTION_ERROR, /* in the middle of the data, once */
    /* UAS */
    USB_MODEL_UAS_WRONG_TAG, /* status for a task that is not there, then hang */
    USB_MODEL_UAS_SHORT_IU,
    USB_MODEL_UAS_LONG_SENSE, /* status IU cut off; sense length beyond the IU */
    USB_MODEL_UAS_UNKNOWN_IU,
    USB_MODEL_UAS_STATUS_TWICE,
    USB_MODEL_UAS_READY_TWICE,       /* READ READY or WRITE READY twice (without streams) */
    USB_MODEL_UAS_DATA_AFTER_STATUS, /* good status before the data */
    USB_MODEL_UAS_RESPONSE,          /* a response IU (overlapped tag) instead of status */
    USB_MODEL_UAS_TASK_SET_FULL,
};

#define USB_MODEL_TASKS 64

struct usb_model_disk {
    struct usb_model_device device; /* first */
    struct usb_model_target target;
    bool uas;

    /* Faults: the fault happens to commands from number `fault_at` (from 1, all units, all opcodes that fit) on, fault_times times. */
    enum usb_model_disk_fault fault;
    unsigned fault_at;    /* 0: at once */
    unsigned fault_times; /* 0: for ever */
    int fault_opcode;     /* only commands with this opcode count; -1: all */
    bool
        stall_when_short; /* less data than expected: the IN endpoint is stalled, as the specification allows (bulk-only) */
    int max_lun;          /* answer to Get Max LUN: a number, or USB_MODEL_STALL; set by init */
    unsigned laziness;      /* each step of a command is preceded by up to so many NAKs */
    bool reorder;           /* UAS: tasks end in any order */
    bool refuse_management; /* UAS: task management is answered "not supported" */
    bool ignore_management; /* UAS: not answered at all */
    uint16_t max_tags;      /* UAS: more tasks than that: TASK SET FULL; 0: USB_MODEL_TASKS */

    /* What it saw */
    unsigned commands; /* CBWs or command IUs */
    unsigned faults;   /* that happened */
    unsigned storage_resets, managements;
    unsigned most_tasks; /* at once */

    /* Its own */
    unsigned matching; /* commands that fit fault_opcode */
    uint64_t random;
    unsigned patience;
    unsigned hung; /* 1: until a reset of the storage, 2: of the bus, 3: for ever */
    struct usb_model_bulk_only {
        int phase;
        uint32_t tag, expected; /* of the CBW */
        size_t limit;           /* where the data ends */
        uint8_t status;
        unsigned stalls; /* of the IN endpoint before the CSW comes */
        bool in, busy, must_reset, error_done;
        enum usb_model_disk_fault fault;
        struct usb_model_task task;
    } bulk;
    struct usb_model_uas_task {
        bool used, hung, announced, data_done, error_done;
        uint16_t tag;
        uint64_t order;
        size_t limit;
        enum usb_model_disk_fault fault;
        struct usb_model_task task;
    } tasks[USB_MODEL_TASKS];
    struct usb_model_uas_task *on_wire; /* without streams: whose data moves */
    struct usb_model_uas_note {
        uint16_t tag;
        uint8_t id, code;
    } notes[USB_MODEL_TASKS]; /* information units that stand for themselves */
    unsigned note_count;
    uint64_t order;
};

/*
 * Speed high or full: bulk-only and UAS without streams; super: UAS with 32 streams. `uas` false: alternate setting 0 alone. Serial
 * number "MODEL0001". Its endpoints: bulk-only 0x81, 0x02; UAS 0x01 command, 0x82 status, 0x83 data in, 0x04 data out.
 */
void usb_model_disk_init(struct usb_model_disk *disk, enum usb_speed speed, bool uas, unsigned units);
/* Unplugs, frees contents. */
void usb_model_disk_end(struct usb_model_disk *disk);
/* Sets the fault for the next command that fits (opcode -1: any), once. */
void usb_model_disk_fault_next(struct usb_model_disk *disk, enum usb_model_disk_fault fault, int opcode);

/* --- hubs (usb_model_hub.c) --- */

#define USB_MODEL_HUB_PORTS 15

struct usb_model_hub {
    struct usb_model_device device; /* first */
    unsigned port_count;
    bool multiple_translators; /* high speed: alternate setting 1 */
    bool ganged;               /* power is switched for all ports at once */
    struct usb_model_port ports[USB_MODEL_HUB_PORTS];
    uint8_t descriptor[16]; /* hub descriptor; the test may overwrite it */
    size_t descriptor_size;
    /* What it saw */
    int depth; /* SET_HUB_DEPTH; -1: none came */
    unsigned port_requests;
    unsigned translator_clears;                  /* CLEAR_TT_BUFFER */
    uint16_t translator_value, translator_index; /* of the last one */
    bool over_current, over_current_changed;     /* of the hub itself */
};

/* Speed full, high or super. The interrupt endpoint is 0x81. */
void usb_model_hub_init(struct usb_model_hub *hub, struct platform *platform, enum usb_speed speed, unsigned ports);
/* Unplugs it and what is plugged in below. */
void usb_model_hub_end(struct usb_model_hub *hub);

/* --- keyboards (usb_model_keyboard.c) --- */

#define USB_MODEL_REPORTS 256

struct usb_model_keyboard {
    struct usb_model_device device; /* first */
    /* Faults */
    bool refuse_idle, refuse_protocol, refuse_leds;
    bool stall_next; /* the next report is a stall */
    /* What it saw */
    int protocol; /* SET_PROTOCOL's value; -1: none came */
    int idle;     /* SET_IDLE's duration; -1: none came */
    uint8_t leds;
    unsigned led_reports;
    unsigned delivered; /* reports fetched */
    /* Its own */
    struct usb_model_report {
        uint8_t size;
        uint8_t bytes[16];
    } reports[USB_MODEL_REPORTS];
    unsigned first, count;
};

/* Low, full or high speed; one boot keyboard interface, interrupt endpoint 0x81. */
void usb_model_keyboard_init(struct usb_model_keyboard *keyboard, enum usb_speed speed);
void usb_model_keyboard_end(struct usb_model_keyboard *keyboard);
/* A report as it is; sizes other than 8 are lies. */
void usb_model_keyboard_report(struct usb_model_keyboard *keyboard, const void *bytes, size_t size);
/* Pressed and let go: two reports. */
void usb_model_keyboard_type(struct usb_model_keyboard *keyboard, uint8_t modifiers, uint8_t usage);

#endif
