/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB: the seam between host controllers, the bus, and the drivers of devices.
 *
 *     usb_hub.c, usb_bulk_only.c, usb_uas.c, usb_keyboard.c     drivers of interfaces
 *     usb_bus.c, usb_device.c                                   ports, enumeration, descriptors, control requests
 *     xhci*.c                                                   a host controller: fills struct usb_host_operations
 *
 * Two levels of execution, and what is allowed on each:
 * - Transfers are submitted and reaped at any depth. A transfer's done() is called from inside the controller's poll(): it
 *   may submit transfers and end block requests (block_complete()), but never waits and never dispatches.
 * - What waits (enumeration, control requests, recovery) runs on a fiber: each device has one for its life (usb_device.c),
 *   each host has one for its root hub. Functions that wait say so. While a call of the firmware is being served inside
 *   another, fibers rest; the transport of the disk that the call is about is brought back on the caller's stack (serve_inside
 *   in core/block.h), and whatever else needs a fiber meets its deadline.
 *
 * Main processor only. Follows the Universal Serial Bus Specification 2.0 (chapters 9 and 11) and 3.2 (chapters 9 and 10).
 */
#ifndef DRIVERS_USB_USB_H
#define DRIVERS_USB_USB_H

#include "core/block.h"
#include "core/fiber.h"
#include "drivers/usb/usb_spec.h"

struct usb_bus;
struct usb_device;
struct usb_hub;
struct usb_driver;
struct usb_host_operations;
struct usb_keyboard_sink;

#define USB_TIERS_MAX 5u /* hubs in a row, the root hub not counted (USB 2.0, 4.1.1; xHCI 1.2, 8.9: route string) */
#define USB_HUB_PORTS_MAX 15u /* that a route string can name; ports beyond are not served on SuperSpeed hubs */
#define USB_DEVICES_MAX 127u  /* policy: more than that on one controller are left alone */
#define USB_INTERFACES_MAX 32u
#define USB_ENDPOINTS_MAX 16u    /* of one alternate setting that is used; more: the setting is not used */
#define USB_DESCRIPTOR_MAX 4096u /* bytes of one configuration descriptor with all that follows */

/* Numbered as the default protocol speed IDs (xHCI 1.2, 7.2.2.1.1). */
enum usb_speed {
    USB_SPEED_NONE = 0,
    USB_SPEED_FULL = 1,
    USB_SPEED_LOW = 2,
    USB_SPEED_HIGH = 3,
    USB_SPEED_SUPER = 4,
    USB_SPEED_SUPER_PLUS = 5
};

const char *usb_speed_name(enum usb_speed speed); /* "480 Mbit/s" */

/* --- transfers --- */

/*
 * One transfer on one endpoint: a control request with its data stage, or data of a bulk or interrupt endpoint. The host
 * owns it from submit() until done(). Every accepted transfer ends exactly once, also when the endpoint is cancelled or the
 * device goes.
 */
struct usb_transfer {
    struct usb_endpoint *endpoint;
    struct usb_setup setup; /* endpoint 0 only; its length is `length` */
    struct buffer *buffer;  /* data at buffer->data + offset; NULL when length is 0. Any alignment. */
    size_t offset, length;  /* bytes; at most the host's max_transfer */
    uint16_t stream;        /* 1 to endpoint->streams; 0 on endpoints without */
    void (*done)(struct usb_transfer *transfer); /* inside poll(), see above; NULL: look at `ended` */
    void *context;                               /* the submitter's */

    /*
     * Result. status: 0 (also when fewer bytes came than were asked for); -ERROR_REFUSED: the endpoint stalled and is
     * halted (a control endpoint is usable again at once); -ERROR_IO: the link failed (transaction error, babble), the
     * endpoint is halted; -ERROR_ABORTED: cancelled; -ERROR_GONE: no device; -ERROR_PROTOCOL: the host contradicts itself.
     * After -ERROR_REFUSED and -ERROR_IO nothing moves on this endpoint (or stream) until usb_endpoint_reset().
     */
    bool ended;
    int status;
    size_t moved;        /* bytes that went over the bus */
    uint32_t raw_status; /* the controller's completion code */

    /* The host's own, between submit and end. */
    struct usb_transfer *next;
    uint64_t host_data[4];
};

/* --- endpoints and interfaces --- */

enum usb_endpoint_type {
    USB_ENDPOINT_CONTROL = 0,
    USB_ENDPOINT_ISOCHRONOUS = 1,
    USB_ENDPOINT_BULK = 2,
    USB_ENDPOINT_INTERRUPT = 3
};

struct usb_endpoint {
    struct usb_device *device;
    uint8_t address; /* bEndpointAddress: bit 7 IN; 0 for endpoint 0 */
    enum usb_endpoint_type type;
    uint16_t max_packet; /* bytes */
    uint8_t max_burst;   /* packets less one (SuperSpeed companion, or bits 12:11 of a high-speed interrupt endpoint) */
    uint8_t interval;    /* bInterval as the descriptor has it; 1 to 16 at high speed and above */
    uint32_t bytes_per_interval; /* periodic endpoints: wBytesPerInterval, or max_packet x (burst + 1) */
    uint8_t max_streams_log2;    /* of the companion descriptor; 0: none */
    uint16_t streams;            /* set up now: stream IDs 1 to this; 0: without streams */
    uint8_t pipe_id;             /* of the pipe usage descriptor behind it (UAS-3, 5.3.2); 0: none */
    bool open;                   /* configured at the host */
    void *host;                  /* the host's own */
};

/* One alternate setting of one interface, parsed; points into the device's configuration descriptor. */
struct usb_interface {
    struct usb_device *device;
    uint8_t number, alternate, class_code, subclass, protocol;
    const uint8_t *descriptor; /* from the interface descriptor on */
    size_t descriptor_size;    /* bytes up to the next interface descriptor */
    unsigned endpoint_count;   /* those that were well-formed */
};

/* --- devices --- */

enum usb_device_state {
    USB_DEVICE_NEW,
    USB_DEVICE_ADDRESSED,
    USB_DEVICE_CONFIGURED,
    USB_DEVICE_FAILED,
    USB_DEVICE_GONE
};

/* Endpoints that a driver has open, to be opened again after a reset. The array is the driver's. */
struct usb_opening {
    const struct usb_interface *interface;
    struct usb_endpoint *endpoints;
    unsigned count;
    uint16_t streams; /* asked for */
};

struct usb_device {
    char name[48]; /* for logs: "xhci 00:04.0 port 2.1" */
    struct usb_bus *bus;
    struct usb_hub *hub; /* it hangs on; valid as long as the device is */
    unsigned port;       /* of that hub, from 1 */
    unsigned tier;       /* 0: on a root port */
    uint32_t route;      /* route string: 4 bits a tier (USB 3.2, 8.9) */
    unsigned root_port;  /* of the controller, from 1 */
    enum usb_speed speed;
    /* Low and full speed behind a high-speed hub: the hub whose transaction translator serves it, and that hub's port. */
    struct usb_device *translator;
    unsigned translator_port;
    bool several_translators; /* a hub's: one for each port */
    uint8_t number;           /* its address on the bus, since device_address() */

    enum usb_device_state state;
    uint16_t vendor_id, product_id, release;
    char manufacturer[BLOCK_TEXT_MAX], product[BLOCK_TEXT_MAX],
        serial[BLOCK_TEXT_MAX]; /* printable ASCII; empty: none */
    uint32_t quirks;            /* enum usb_quirk, or-ed (drivers/quirks.h) */
    struct usb_device_descriptor descriptor;
    uint8_t configuration_value;
    uint8_t *configuration; /* the active configuration's descriptors */
    size_t configuration_size;
    struct usb_interface interfaces[USB_INTERFACES_MAX]; /* all alternate settings */
    unsigned interface_count;

    struct usb_endpoint control;  /* endpoint 0, open from the start */
    struct buffer control_buffer; /* of usb_control(): 4096 bytes */
    struct usb_transfer control_transfer;
    bool control_busy; /* one request at a time, from whichever fiber */

    struct fiber *fiber;          /* usb_device.c: the device's life */
    bool unplugged;               /* the port says so; seen by whoever waits */
    bool attention;               /* a driver wants its service() to be called on the fiber */
    bool resting;                 /* its fiber waits for work, in the middle of nothing */
    bool starting;                /* being enumerated, or a driver being attached: a stop of the bus ends requests */
    bool at_host;                 /* between device_open and device_close */
    bool addressing;              /* it is for this one that bus->addressing is set */
    struct usb_binding *bindings; /* interfaces that have a driver */
    struct usb_opening openings[USB_INTERFACES_MAX];
    struct usb_device *next; /* on the bus */
    void *host;              /* the host's own: slot, contexts */
};

/* A driver at work on an interface. Embedded first in the driver's own struct, which it allocates zeroed. The bus fills it. */
struct usb_binding {
    const struct usb_driver *driver;
    struct usb_device *device;
    struct usb_binding *next;
    uint8_t interface_number;
    bool given_up;  /* see usb_give_up() */
    uint32_t tried; /* drivers that had their turn on this interface, one bit each in the order of the table */
};

struct usb_driver {
    const char *name;
    /* How well it serves the interface: 0 not at all, else higher is better (UAS beats bulk-only on one device). */
    unsigned (*matches)(const struct usb_device *device, const struct usb_interface *interface);
    /*
     * On the device's fiber, may wait. Opens what it needs (usb_interface_open()), starts, gives its binding. On failure
     * everything is as before; the next best driver is tried.
     */
    int (*attach)(struct usb_device *device, const struct usb_interface *interface, struct usb_binding **binding,
                  struct error *error);
    /* On the fiber: what the driver asked for with usb_attention(). May wait. NULL: never asks. */
    void (*service)(struct usb_binding *binding);
    /*
     * The device is gone (device->unplugged) or given up: all its transfers have ended by now or end inside. Ends block
     * requests with ERROR_GONE at once, when unplugged; otherwise stops in order (flush). Frees the binding. May wait.
     */
    void (*detach)(struct usb_binding *binding);
    /*
     * Inside poll() or on any fiber, at once when the port says that the device is gone: no waiting. Block devices die here. Not called
     * once detach() has begun. NULL: nothing.
     */
    void (*gone)(struct usb_binding *binding);
};

/* Asks for driver->service() on the device's fiber. At any depth. */
void usb_attention(struct usb_device *device);
/*
 * The driver cannot serve this device after all. At any depth; on the fiber, when service() is next due, the bus calls detach() and
 * lets the next best driver of the interface try, which selects its own alternate setting (UAS gives way to bulk-only so).
 */
void usb_give_up(struct usb_binding *binding);

/* --- for drivers; these wait (fiber), and end at once with -ERROR_GONE when the device is unplugged --- */

#define USB_CONTROL_TIMEOUT (5 * NANOSECONDS_PER_SECOND) /* USB 2.0, 9.2.6.1 */

/*
 * A control request through the device's own buffer; data in or out as request_type says, at most 4096 bytes. Returns the bytes
 * moved, or a negative error: -ERROR_REFUSED is a stall, -ERROR_TIMEOUT after `timeout` nanoseconds (0: the standard one; the
 * endpoint is cancelled and usable again).
 */
int usb_control(struct usb_device *device, uint8_t request_type, uint8_t request, uint16_t value, uint16_t index,
                void *data, uint16_t length, uint64_t timeout);
/* A transfer and its end, for probing and recovery. Cancels the endpoint at the deadline: -ERROR_TIMEOUT. */
int usb_run(struct usb_transfer *transfer, uint64_t timeout);
/*
 * Selects the alternate setting (SET_INTERFACE when there is more than one) and opens the endpoints. endpoints[] is filled
 * from the descriptors in their order, at most `max`; *count says how many. streams: wanted on bulk endpoints that offer them, 0: none;
 * a host or device with fewer gives fewer (endpoint->streams).
 */
int usb_interface_open(struct usb_device *device, const struct usb_interface *interface, unsigned streams,
                       struct usb_endpoint *endpoints, unsigned max, unsigned *count, struct error *error);
void usb_interface_close(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count);
/*
 * After a stall or an error: the host's side is reset, then CLEAR_FEATURE(ENDPOINT_HALT) brings the data toggles of both
 * sides together. Transfers that were queued end with -ERROR_ABORTED.
 */
int usb_endpoint_reset(struct usb_endpoint *endpoint);
/* Ends every transfer on the endpoint with -ERROR_ABORTED; those that the controller finished meanwhile keep their result. */
int usb_endpoint_cancel(struct usb_endpoint *endpoint);
/*
 * Resets the port and brings the device back to its configuration, endpoints open again, with the same address data: for drivers that
 * are at their wits' end. All transfers end with -ERROR_ABORTED. The descriptors must be the same as before: otherwise the
 * device is treated as unplugged and looked at anew, -ERROR_GONE.
 */
int usb_device_reset(struct usb_device *device);
/* Not while another device is being addressed or the hub above is in the middle of a request: no fiber would go on with these inside
 * a call from outside. */
bool usb_device_may_reset(const struct usb_device *device);

/* Submits; any depth, never waits. 0, -ERROR_FULL (run poll and try again), -ERROR_GONE, -ERROR_OUT_OF_RANGE. */
int usb_submit(struct usb_transfer *transfer);

/* The endpoint in endpoints[] of this direction and type; NULL: none. */
struct usb_endpoint *usb_find_endpoint(struct usb_endpoint *endpoints, unsigned count, enum usb_endpoint_type type,
                                       bool in);
/*
 * Walks the class-specific descriptors of an interface setting: the first of `type` after `from` (NULL: from the start), with its
 * length checked; NULL: none.
 */
const uint8_t *usb_find_descriptor(const struct usb_interface *interface, const uint8_t *from, uint8_t type,
                                   uint8_t min_size);

/* --- hubs: the root hub's ports and those of external hubs look the same to the bus --- */

/* The state of a port, in one place for USB 2, USB 3 and root ports. */
struct usb_port_state {
    bool connected, enabled, powered, resetting, over_current;
    bool connect_changed, reset_changed; /* since they were last cleared */
    bool needs_warm_reset;               /* USB 3: link in Inactive or Compliance */
    enum usb_speed speed;                /* valid when enabled (USB 3: when connected) */
};

struct usb_hub_operations {
    /* On the hub's fiber, or on that of a device below while it resets its port; all may wait. Ports from 1. */
    int (*port_state)(struct usb_hub *hub, unsigned port,
                      struct usb_port_state *state);                  /* also clears the changes it reports */
    int (*port_reset)(struct usb_hub *hub, unsigned port, bool warm); /* starts it */
    int (*port_disable)(struct usb_hub *hub, unsigned port);
    int (*port_power)(struct usb_hub *hub, unsigned port);
};

struct usb_hub {
    const struct usb_hub_operations *operations;
    struct usb_bus *bus;
    struct usb_device *device; /* NULL: the root hub */
    unsigned ports;            /* from 1 */
    uint64_t power_good_delay; /* nanoseconds from power to usable */
    /* One bit a port: something happened there since the fiber looked. Set at any depth by the hub's driver. */
    uint32_t changed[8];
    struct usb_device *children[256]; /* by port; NULL: none */
    uint8_t failures[256];            /* in a row; policy: after three the port rests until it is plugged anew */
    void *host;                       /* the operations' own */

    /* usb_port.c's own. */
    uint32_t pending[8];           /* connected, not yet served */
    uint32_t held[8];              /* a device's fiber is resetting the port */
    uint32_t fresh[8];             /* connected anew since the last device there */
    uint64_t connected_since[256]; /* nanoseconds; of pending ports */
    bool serving, gone;
    struct usb_hub *next; /* on the bus */
};

/*
 * For usb_hub.c and the host's root hub, on the hub's fiber, whenever `changed` has bits: looks at these ports, takes away devices that
 * are gone and starts new ones (their own fibers enumerate them). Waits for debounce and reset (USB 2.0, 7.1.7.3: 100 ms;
 * reset recovery 10 ms). Only one device at a time is in the Default state: bus->addressing.
 */
void usb_hub_service(struct usb_hub *hub);
/* For usb_hub.c: the hub is at work, ports powered: bus and ports are filled in. All ports are looked at by the next service. */
void usb_hub_start(struct usb_hub *hub);
/* All ports: devices below go, at once. The hub itself is going. At any depth. */
void usb_hub_gone(struct usb_hub *hub);
/* After usb_hub_gone(): waits, bounded, until no device refers to the hub any more. On the hub's fiber. */
void usb_hub_end(struct usb_hub *hub);

/* --- the bus: one for each controller --- */

struct usb_host_limits {
    size_t max_transfer;  /* bytes of one transfer; at least 64 KiB */
    unsigned queue_depth; /* transfers on one endpoint (without streams) at once; at least 16 */
    unsigned max_streams; /* 0: no streams */
    unsigned slots;       /* devices */
};

/*
 * What a host controller does. Functions that say so wait (on a fiber, with deadlines of their own), the others do not.
 * Errors: -ERROR_GONE (controller dead or device unplugged), -ERROR_TIMEOUT, -ERROR_NO_MEMORY, -ERROR_PROTOCOL, -ERROR_IO.
 */
struct usb_host_operations {
    /* Waits. A slot and endpoint 0 (max_packet as device->control has it) for a device that was just reset; no address yet. */
    int (*device_open)(struct usb_device *device);
    /* Waits. SET_ADDRESS by the controller, which chooses it: device->number. */
    int (*device_address)(struct usb_device *device);
    /* Waits. device->control.max_packet was wrong. */
    int (*control_update)(struct usb_device *device);
    /* Waits. The device is a hub: its ports, several translators, think time (wHubCharacteristics bits 6:5). */
    int (*hub_update)(struct usb_device *device, unsigned ports, bool multiple_translators, unsigned think_time);
    /* Waits. Opens endpoints; endpoint->streams says how many are wanted, and afterwards how many there are. All or none. */
    int (*endpoints_open)(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count);
    /* Waits. Transfers end with -ERROR_ABORTED. */
    void (*endpoints_close)(struct usb_device *device, struct usb_endpoint *endpoints, unsigned count);
    /* Waits. Host side only: a halted endpoint runs again from an empty queue. */
    int (*endpoint_reset)(struct usb_endpoint *endpoint);
    /*
     * Waits. Stops, ends what is queued with -ERROR_ABORTED, ready again. Whatever it answers, nothing that was queued before is
     * in flight afterwards: a controller that cannot make sure of this is dead (usb_bus_die()).
     */
    int (*endpoint_cancel)(struct usb_endpoint *endpoint);
    /* Waits. The port was reset: endpoint 0 only, state Default again; all transfers end. */
    int (*device_reset)(struct usb_device *device);
    /* Waits, bounded. Ends every transfer with -ERROR_GONE; the slot is given back (or leaked when the controller does not answer). */
    void (*device_close)(struct usb_device *device);
    /* Never waits. */
    int (*submit)(struct usb_transfer *transfer);
};

struct usb_bus {
    const struct usb_host_operations *operations;
    struct usb_host_limits limits;
    struct loop *loop;
    struct platform *platform;
    struct pci_device *pci;               /* that buffers are mapped for; NULL in tests */
    struct block_registry *registry;      /* where disks appear and disappear */
    const struct usb_keyboard_sink *keys; /* where keys go; NULL: nowhere */
    /* Drivers of interfaces, NULL at the end, at most 32; NULL: usb_drivers[], all that there are. */
    const struct usb_driver *const *drivers;
    void *host;    /* the host's own */
    char name[24]; /* for logs: "xhci 00:04.0" */
    struct usb_hub *root;
    struct usb_hub *hubs; /* at work, the root hub too */
    struct fiber *fiber;  /* the root hub's; also frees devices that have ended */
    struct usb_device *devices;
    struct usb_device *ended;                /* whose fibers have done their last */
    unsigned device_count, keyboards, disks; /* at work */
    bool addressing;                         /* a device is in the Default state */
    bool stopping, dead;                     /* dead: the controller has failed, nothing answers any more */
    uint64_t settled_at;                     /* when ports or devices were last busy */
    struct pollable pollable;                /* for the host: its poll() */
};

/* All drivers of interfaces in this build, NULL at the end (usb_drivers.c). */
extern const struct usb_driver *const usb_drivers[];

/*
 * The host has filled operations, limits, loop, platform, pci, registry, keys, host, name and root (operations, ports). Starts
 * the root hub's fiber; devices appear as the loop runs.
 */
int usb_bus_start(struct usb_bus *bus, struct error *error);
/*
 * Waits until what was plugged in at the start is enumerated (no port has work, no device is NEW), or the deadline. Policy of
 * callers: 5 s.
 */
bool usb_bus_wait_settled(struct usb_bus *bus, uint64_t deadline);
/* Detaches all drivers in order (disks flushed), closes devices, ends fibers. Waits, bounded. The host may stop afterwards. */
void usb_bus_stop(struct usb_bus *bus);
/* For hosts, at any depth: the controller is dead. All devices are gone; the host has ended or now ends their transfers. */
void usb_bus_die(struct usb_bus *bus);
/* For hosts, at any depth: root port `port` changed. */
void usb_bus_port_changed(struct usb_bus *bus, unsigned port);
/*
 * The same when nothing is connected there any more: the device is gone at once, also while fibers rest (a call of the
 * firmware waits for it). Not while the port is being reset.
 */
void usb_bus_port_lost(struct usb_bus *bus, unsigned port);

/* --- keys --- */

/* The locks, and their lamps: bits of the output report (HID 1.11, B.1). */
enum usb_lock { USB_LOCK_NUM = 1 << 0, USB_LOCK_CAPS = 1 << 1, USB_LOCK_SCROLL = 1 << 2 };

/* A key that was pressed, or repeats. Modifiers and locks come as keys too, but do not repeat. */
struct usb_key {
    uint8_t usage;     /* HID Usage Tables 1.3, page 7 */
    uint8_t modifiers; /* as in a boot report's first byte (HID 1.11, 8.3) */
    bool caps_lock, num_lock, scroll_lock;
    bool repeat;
};

/* Where keyboards send what is typed. Called inside poll(), at any depth: must not wait. */
struct usb_keyboard_sink {
    void (*key)(const struct usb_keyboard_sink *sink, const struct usb_key *key);
    /*
     * One state of the locks for all keyboards (enum usb_lock, or-ed): they change it, so may its owner, and every
     * keyboard's lamps follow. NULL: each keyboard has its own.
     */
    uint8_t *locks;
    void *context;
};

#endif
