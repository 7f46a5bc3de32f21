/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot keyboards. One transfer always waits for the next report; what changed since the last one becomes keys. Repeats are
 * made here, by the clock, because a report comes only when something changes (SET_IDLE 0). What waits (lamps, recovery)
 * is done on the device's fiber.
 */
#include "drivers/usb/usb_keyboard.h"

#include <string.h>

/* HID 1.11, 7.2 */
#define HID_SET_REPORT 0x09
#define HID_SET_IDLE 0x0a
#define HID_SET_PROTOCOL 0x0b
#define HID_REPORT_OUTPUT 0x0200 /* the report's type in the high byte of wValue, its ID 0 in the low one */
#define HID_PROTOCOL_BOOT 0
#define HID_IDLE_FOR_EVER 0

/* The boot report (HID 1.11, B.1): modifiers, a reserved byte, and the keys that are down. */
#define REPORT_KEYS 6u
#define REPORT_HEAD 2u
#define REPORT_SIZE (REPORT_HEAD + REPORT_KEYS)

/* HID Usage Tables 1.3, chapter 10 */
#define USAGE_LAST_ERROR 0x03 /* 1 to 3: too many keys, self-test failed, undefined */
#define USAGE_CAPS_LOCK 0x39
#define USAGE_SCROLL_LOCK 0x47
#define USAGE_NUM_LOCK 0x53
#define USAGE_FIRST_MODIFIER 0xe0
#define MODIFIERS 8u

/* Policy. */
#define REPEAT_DELAY (500 * NANOSECONDS_PER_MILLISECOND)
#define REPEAT_INTERVAL (NANOSECONDS_PER_SECOND / 30)
#define REQUEST_TIMEOUT NANOSECONDS_PER_SECOND
#define REQUEST_TRIES 2u
#define FAILURES_TO_RESET 4u /* in a row: then the device is reset */
#define FAILURES_MAX 8u      /* ... then it is left alone */
#define FAILURE_PAUSE (50 * NANOSECONDS_PER_MILLISECOND)
#define LAMPS_UNKNOWN 0xff
#define ENDPOINTS 4u /* looked at; a keyboard has one, or two with an OUT for its lamps */

struct usb_keyboard {
    struct usb_binding binding; /* first */
    struct pollable pollable;
    uint8_t interface_number;
    struct usb_endpoint endpoints[ENDPOINTS];
    unsigned endpoint_count;
    struct buffer buffer;
    struct usb_transfer transfer;
    bool at_work;   /* polled and counted */
    bool broken;    /* no transfer waits: service() sees to it */
    bool halted;    /* ... and the endpoint is halted */
    bool was_reset; /* ... and the device forgot what it was told, or may have */
    bool reset_tried;
    unsigned failures; /* since the last report */

    uint8_t modifiers, keys[REPORT_KEYS]; /* down now */
    uint8_t own_locks, lamps;             /* lamps: as the device was told last */
    bool lamps_asked;
    uint8_t repeating; /* usage; 0: none */
    uint64_t repeat_at;
};

static struct usb_bus *bus_of(const struct usb_keyboard *keyboard)
{
    return keyboard->binding.device->bus;
}

static uint8_t *locks_of(struct usb_keyboard *keyboard)
{
    const struct usb_keyboard_sink *sink = bus_of(keyboard)->keys;

    return sink && sink->locks ? sink->locks : &keyboard->own_locks;
}

/* --- keys --- */

static void send(struct usb_keyboard *keyboard, uint8_t usage, bool repeat)
{
    const struct usb_keyboard_sink *sink = bus_of(keyboard)->keys;
    uint8_t locks = *locks_of(keyboard);
    struct usb_key key = {.usage = usage,
                          .modifiers = keyboard->modifiers,
                          .caps_lock = locks & USB_LOCK_CAPS,
                          .num_lock = locks & USB_LOCK_NUM,
                          .scroll_lock = locks & USB_LOCK_SCROLL,
                          .repeat = repeat};

    if (sink && sink->key)
        sink->key(sink, &key);
}

static uint8_t lock_of(uint8_t usage)
{
    switch (usage) {
    case USAGE_CAPS_LOCK:
        return USB_LOCK_CAPS;
    case USAGE_NUM_LOCK:
        return USB_LOCK_NUM;
    case USAGE_SCROLL_LOCK:
        return USB_LOCK_SCROLL;
    default:
        return 0;
    }
}

static void press(struct usb_keyboard *keyboard, uint8_t usage)
{
    uint8_t lock = lock_of(usage);

    if (lock) {
        *locks_of(keyboard) ^= lock;
    } else {
        keyboard->repeating = usage;
        keyboard->repeat_at = deadline_after(bus_of(keyboard)->platform, REPEAT_DELAY);
    }
    send(keyboard, usage, false);
}

static void release_all(struct usb_keyboard *keyboard)
{
    keyboard->modifiers = 0;
    keyboard->repeating = 0;
    memset(keyboard->keys, 0, sizeof(keyboard->keys));
}

static bool holds(const uint8_t *keys, size_t count, uint8_t usage)
{
    return count && memchr(keys, usage, count);
}

static void take_modifiers(struct usb_keyboard *keyboard, uint8_t modifiers)
{
    unsigned pressed = modifiers & ~keyboard->modifiers;

    keyboard->modifiers = modifiers;
    for (unsigned i = 0; i < MODIFIERS; i++)
        if (pressed & 1u << i)
            send(keyboard, (uint8_t)(USAGE_FIRST_MODIFIER + i), false);
}

/* Too many keys at once, or the keyboard is in trouble: what is down is not known (HID 1.11, appendix C). */
static bool tells_no_keys(const uint8_t *keys)
{
    for (unsigned i = 0; i < REPORT_KEYS; i++)
        if (keys[i] && keys[i] <= USAGE_LAST_ERROR)
            return true;
    return false;
}

/* Whatever it holds: a report too short for a key says nothing, one cut off has no more keys, what is behind is ignored. */
static void take_report(struct usb_keyboard *keyboard, const uint8_t *report, size_t size)
{
    uint8_t keys[REPORT_KEYS] = {0};

    if (size <= REPORT_HEAD)
        return;
    memcpy(keys, report + REPORT_HEAD, (size < REPORT_SIZE ? size : REPORT_SIZE) - REPORT_HEAD);
    take_modifiers(keyboard, report[0]);
    if (tells_no_keys(keys))
        return;
    for (unsigned i = 0; i < REPORT_KEYS; i++)
        if (keys[i] && keys[i] < USAGE_FIRST_MODIFIER && !holds(keyboard->keys, REPORT_KEYS, keys[i]) &&
            !holds(keys, i, keys[i]))
            press(keyboard, keys[i]);
    memcpy(keyboard->keys, keys, sizeof(keys));
    if (!holds(keys, REPORT_KEYS, keyboard->repeating))
        keyboard->repeating = 0;
}

static bool keyboard_poll(struct pollable *pollable)
{
    struct usb_keyboard *keyboard =
        (struct usb_keyboard *)((uint8_t *)pollable - offsetof(struct usb_keyboard, pollable));

    if (keyboard->lamps != *locks_of(keyboard) && !keyboard->lamps_asked) {
        keyboard->lamps_asked = true;
        usb_attention(keyboard->binding.device);
    }
    if (!keyboard->repeating)
        return false;
    uint64_t now = platform_now(bus_of(keyboard)->platform);
    if (now < keyboard->repeat_at)
        return false;
    /* From now on: what was missed while nobody polled is not made up for. */
    keyboard->repeat_at = now + REPEAT_INTERVAL;
    send(keyboard, keyboard->repeating, true);
    return true;
}

/* --- the transfer --- */

static int wait_for_report(struct usb_keyboard *keyboard)
{
    keyboard->transfer.ended = false;
    int status = usb_submit(&keyboard->transfer);
    if (status)
        keyboard->transfer.ended = true;
    keyboard->broken = status != 0;
    return status;
}

static void report_arrived(struct usb_transfer *transfer)
{
    struct usb_keyboard *keyboard = transfer->context;

    if (!keyboard->at_work)
        return;
    if (transfer->status == 0) {
        keyboard->failures = 0;
        keyboard->reset_tried = false;
        take_report(keyboard, keyboard->buffer.data,
                    transfer->moved < transfer->length ? transfer->moved : transfer->length);
        if (wait_for_report(keyboard) == 0)
            return;
    }
    /* Somebody else on this device may have had it reset: then transfers fail in the middle of it, or are taken back. */
    keyboard->halted = transfer->status && transfer->status != -ERROR_ABORTED;
    keyboard->was_reset = transfer->status && transfer->status != -ERROR_REFUSED;
    release_all(keyboard);
    keyboard->broken = true;
    if (transfer->status != -ERROR_GONE)
        usb_attention(keyboard->binding.device);
}

/* --- on the fiber --- */

static int request(struct usb_keyboard *keyboard, uint8_t code, uint16_t value, void *data, uint16_t length)
{
    return usb_control(keyboard->binding.device, USB_TYPE_CLASS | USB_RECIPIENT_INTERFACE, code, value,
                       keyboard->interface_number, data, length, REQUEST_TIMEOUT);
}

/* Refusals are tolerated: there are keyboards that know nothing but the boot protocol, and ones that ignore the idle rate. */
static int configure(struct usb_keyboard *keyboard)
{
    int status = 0;

    for (unsigned i = 0; i < REQUEST_TRIES; i++) {
        status = request(keyboard, HID_SET_PROTOCOL, HID_PROTOCOL_BOOT, NULL, 0);
        if (status >= 0 || status == -ERROR_REFUSED || status == -ERROR_GONE)
            break;
    }
    if (status < 0 && status != -ERROR_REFUSED)
        return status;
    keyboard->was_reset = false;
    keyboard->lamps = LAMPS_UNKNOWN;
    status = request(keyboard, HID_SET_IDLE, HID_IDLE_FOR_EVER, NULL, 0);
    return status == -ERROR_GONE ? status : 0;
}

/* Once for each change, whatever the keyboard thinks of it. */
static void show_locks(struct usb_keyboard *keyboard)
{
    uint8_t report = *locks_of(keyboard);

    keyboard->lamps_asked = false;
    if (keyboard->lamps == report)
        return;
    keyboard->lamps = report;
    request(keyboard, HID_SET_REPORT, HID_REPORT_OUTPUT, &report, sizeof(report));
}

static bool is_unplugged(void *context)
{
    const struct usb_device *device = context;

    return device->unplugged;
}

/* The host's side of the endpoint, or the whole device, comes back from its failure. */
static int reset(struct usb_keyboard *keyboard)
{
    if (keyboard->failures < FAILURES_TO_RESET || keyboard->reset_tried)
        return usb_endpoint_reset(keyboard->transfer.endpoint);
    keyboard->reset_tried = keyboard->was_reset = true;
    return usb_device_reset(keyboard->binding.device);
}

/* One attempt. Most often the cable was pulled, and the port tells it during the pause. */
static int recover(struct usb_keyboard *keyboard)
{
    struct usb_device *device = keyboard->binding.device;
    struct usb_bus *bus = device->bus;
    int status = 0;

    if (keyboard->failures && loop_wait(bus->loop, is_unplugged, device, deadline_after(bus->platform, FAILURE_PAUSE)))
        return -ERROR_GONE;
    if (keyboard->halted) {
        keyboard->failures++;
        status = reset(keyboard);
    }
    if (!status)
        keyboard->halted = false;
    if (!status && keyboard->was_reset)
        status = configure(keyboard);
    if (!status)
        status = wait_for_report(keyboard);
    if (status)
        keyboard->failures++;
    return status;
}

static void keyboard_service(struct usb_binding *binding)
{
    struct usb_keyboard *keyboard = (struct usb_keyboard *)binding;
    struct usb_device *device = binding->device;

    while (keyboard->broken && keyboard->at_work && !device->unplugged && !device->bus->stopping) {
        if (keyboard->failures >= FAILURES_MAX) {
            platform_log(device->bus->platform, LOG_WARNING, "%s: the keyboard fails again and again; it is left alone",
                         device->name);
            usb_give_up(binding);
            return;
        }
        if (recover(keyboard) == -ERROR_GONE)
            return;
    }
    if (keyboard->at_work && !device->unplugged && !device->bus->stopping)
        show_locks(keyboard);
}

/* --- coming and going --- */

static unsigned keyboard_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    (void)device;
    return interface->class_code == USB_CLASS_HID && interface->subclass == USB_SUBCLASS_BOOT &&
           interface->protocol == USB_PROTOCOL_KEYBOARD;
}

static void begin_work(struct usb_keyboard *keyboard)
{
    struct usb_bus *bus = bus_of(keyboard);

    keyboard->at_work = true;
    keyboard->pollable.poll = keyboard_poll;
    loop_add(bus->loop, &keyboard->pollable);
    bus->keyboards++;
}

static void end_work(struct usb_keyboard *keyboard)
{
    struct usb_bus *bus = bus_of(keyboard);

    if (!keyboard->at_work)
        return;
    keyboard->at_work = false;
    loop_remove(bus->loop, &keyboard->pollable);
    release_all(keyboard);
    bus->keyboards--;
}

/* A boot report in whole packets: a device that sends more than eight bytes must not overrun it. */
static int prepare_transfer(struct usb_keyboard *keyboard, struct error *error)
{
    const struct usb_device *device = keyboard->binding.device;
    struct usb_endpoint *endpoint =
        usb_find_endpoint(keyboard->endpoints, keyboard->endpoint_count, USB_ENDPOINT_INTERRUPT, true);

    if (!endpoint || !endpoint->max_packet)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "a keyboard without an interrupt endpoint");
    size_t packets = (REPORT_SIZE + endpoint->max_packet - 1u) / endpoint->max_packet;
    keyboard->transfer = (struct usb_transfer){.endpoint = endpoint,
                                               .buffer = &keyboard->buffer,
                                               .length = packets * endpoint->max_packet,
                                               .done = report_arrived,
                                               .context = keyboard,
                                               .ended = true};
    if (buffer_allocate(device->bus->platform, keyboard->transfer.length, &keyboard->buffer) != 0)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "no memory for a keyboard");
    return 0;
}

static int keyboard_attach(struct usb_device *device, const struct usb_interface *interface,
                           struct usb_binding **binding, struct error *error)
{
    struct platform *platform = device->bus->platform;
    struct usb_keyboard *keyboard = platform_allocate_zeroed(platform, sizeof(*keyboard));

    if (!keyboard)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                         "no memory for a keyboard");
    keyboard->binding.driver = &usb_keyboard_driver;
    keyboard->binding.device = device;
    keyboard->interface_number = interface->number;
    keyboard->lamps = LAMPS_UNKNOWN;
    int status =
        usb_interface_open(device, interface, 0, keyboard->endpoints, ENDPOINTS, &keyboard->endpoint_count, error);
    if (status)
        goto free_keyboard;
    status = prepare_transfer(keyboard, error);
    if (status)
        goto close;
    status = configure(keyboard);
    if (status) {
        error_set(error, (enum error_code) - status, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                  "the keyboard does not answer");
        goto release;
    }
    begin_work(keyboard);
    status = wait_for_report(keyboard);
    if (status) {
        error_set(error, (enum error_code) - status, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK,
                  "the keyboard cannot be listened to");
        end_work(keyboard);
        goto release;
    }
    platform_log(platform, LOG_INFO, "%s: keyboard %s %s", device->name, device->manufacturer, device->product);
    *binding = &keyboard->binding;
    return 0;

release:
    buffer_release(&keyboard->buffer);
close:
    usb_interface_close(device, keyboard->endpoints, keyboard->endpoint_count);
free_keyboard:
    platform_release(platform, keyboard);
    return status;
}

static void keyboard_gone(struct usb_binding *binding)
{
    end_work((struct usb_keyboard *)binding);
}

static void keyboard_detach(struct usb_binding *binding)
{
    struct usb_keyboard *keyboard = (struct usb_keyboard *)binding;
    struct usb_device *device = binding->device;

    end_work(keyboard);
    usb_interface_close(device, keyboard->endpoints, keyboard->endpoint_count);
    buffer_release(&keyboard->buffer);
    platform_release(device->bus->platform, keyboard);
}

const struct usb_driver usb_keyboard_driver = {
    .name = "keyboard",
    .matches = keyboard_matches,
    .attach = keyboard_attach,
    .service = keyboard_service,
    .detach = keyboard_detach,
    .gone = keyboard_gone,
};
