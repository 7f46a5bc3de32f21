/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A boot keyboard (HID 1.11, appendix B). */
#include <stdlib.h>
#include <string.h>

#include "tests/support/usb_model.h"

#define REPORT_IN 0x81
#define SET_REPORT 0x09
#define SET_IDLE 0x0a
#define SET_PROTOCOL 0x0b

static struct usb_model_keyboard *keyboard_of(struct usb_model_device *device)
{
    return (struct usb_model_keyboard *)(void *)device;
}

static int keyboard_control(struct usb_model_device *device, const struct usb_setup *setup, uint8_t *data)
{
    struct usb_model_keyboard *keyboard = keyboard_of(device);

    if (setup->request_type != (USB_TYPE_CLASS | USB_RECIPIENT_INTERFACE))
        return USB_MODEL_DEFAULT;
    if (setup->index)
        return USB_MODEL_STALL;
    switch (setup->request) {
    case SET_PROTOCOL:
        if (keyboard->refuse_protocol || setup->value > 1)
            return USB_MODEL_STALL;
        keyboard->protocol = setup->value;
        return 0;
    case SET_IDLE:
        if (keyboard->refuse_idle)
            return USB_MODEL_STALL;
        keyboard->idle = setup->value >> 8;
        return 0;
    case SET_REPORT:
        if (keyboard->refuse_leds || setup->value != 0x0200 || setup->length != 1)
            return USB_MODEL_STALL;
        keyboard->leds = data[0];
        keyboard->led_reports++;
        return 1;
    default:
        return USB_MODEL_STALL;
    }
}

static int keyboard_in(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    struct usb_model_keyboard *keyboard = keyboard_of(device);

    (void)address;
    (void)stream;
    if (keyboard->stall_next) {
        keyboard->stall_next = false;
        return USB_MODEL_STALL;
    }
    if (!keyboard->count)
        return USB_MODEL_NAK;
    struct usb_model_report *report = &keyboard->reports[keyboard->first % USB_MODEL_REPORTS];
    keyboard->first++;
    keyboard->count--;
    keyboard->delivered++;
    if (report->size > max)
        return USB_MODEL_BABBLE;
    memcpy(data, report->bytes, report->size);
    return report->size;
}

static void keyboard_reset(struct usb_model_device *device)
{
    struct usb_model_keyboard *keyboard = keyboard_of(device);

    keyboard->protocol = keyboard->idle = -1;
    keyboard->leds = 0;
}

static const struct usb_model_operations keyboard_operations = {
    .control = keyboard_control,
    .in = keyboard_in,
    .reset = keyboard_reset,
};

void usb_model_keyboard_init(struct usb_model_keyboard *keyboard, enum usb_speed speed)
{
    struct usb_model_device *device = &keyboard->device;
    /* HID 1.11, 6.2.1: the class descriptor lies between interface and endpoint. */
    static const uint8_t hid[9] = {9, 0x21, 0x11, 0x01, 0, 1, 0x22, 63, 0};

    memset(keyboard, 0, sizeof(*keyboard));
    usb_model_device_init(device, &keyboard_operations, speed, 0x1234, 0x0003, NULL);
    usb_model_add_interface(device, 0, 0, USB_CLASS_HID, USB_SUBCLASS_BOOT, USB_PROTOCOL_KEYBOARD);
    usb_model_add_bytes(device, hid, sizeof(hid));
    usb_model_add_endpoint(device, REPORT_IN, USB_ENDPOINT_INTERRUPT, 8, speed >= USB_SPEED_HIGH ? 7 : 10, 0, 0);
    keyboard->protocol = keyboard->idle = -1;
}

void usb_model_keyboard_end(struct usb_model_keyboard *keyboard)
{
    usb_model_unplug(&keyboard->device);
}

void usb_model_keyboard_report(struct usb_model_keyboard *keyboard, const void *bytes, size_t size)
{
    struct usb_model_report *report = &keyboard->reports[(keyboard->first + keyboard->count) % USB_MODEL_REPORTS];

    if (keyboard->count == USB_MODEL_REPORTS || size > sizeof(report->bytes))
        abort();
    report->size = (uint8_t)size;
    memcpy(report->bytes, bytes, size);
    keyboard->count++;
}

void usb_model_keyboard_type(struct usb_model_keyboard *keyboard, uint8_t modifiers, uint8_t usage)
{
    const uint8_t pressed[8] = {modifiers, 0, usage};
    const uint8_t released[8] = {0};

    usb_model_keyboard_report(keyboard, pressed, sizeof(pressed));
    usb_model_keyboard_report(keyboard, released, sizeof(released));
}
