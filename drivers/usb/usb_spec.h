/* SPDX-License-Identifier: GPL-2.0-or-later */
/* USB: bytes on the wire. Universal Serial Bus 2.0 chapter 9 and 11, 3.2 chapter 9 and 10; HID 1.11; MSC BOT 1.0; UAS-3. Little-endian. */
#ifndef DRIVERS_USB_USB_SPEC_H
#define DRIVERS_USB_USB_SPEC_H

#include <stdbool.h>
#include <stdint.h>

/* 9.3 */
struct usb_setup {
    uint8_t request_type, request;
    uint16_t value, index, length;
} __attribute__((packed));

#define USB_IN 0x80
#define USB_TYPE_CLASS 0x20
#define USB_RECIPIENT_DEVICE 0
#define USB_RECIPIENT_INTERFACE 1
#define USB_RECIPIENT_ENDPOINT 2
#define USB_RECIPIENT_OTHER 3
/* USB 2.0, 11.24.2.3: of hubs with transaction translators */
#define USB_CLEAR_TT_BUFFER 8
#define USB_TT_BUFFER(endpoint, address, type, in)                                                                     \
    ((uint16_t)((endpoint) | (address) << 4 | (unsigned)(type) << 11 | ((in) ? 1u << 15 : 0)))

/* 9.4 */
enum usb_request {
    USB_GET_STATUS = 0,
    USB_CLEAR_FEATURE = 1,
    USB_SET_FEATURE = 3,
    USB_SET_ADDRESS = 5,
    USB_GET_DESCRIPTOR = 6,
    USB_GET_CONFIGURATION = 8,
    USB_SET_CONFIGURATION = 9,
    USB_SET_INTERFACE = 11,
    USB_SET_HUB_DEPTH = 12, /* 3.2, 10.16.2 */
};
#define USB_FEATURE_ENDPOINT_HALT 0

/* Table 9-5; 3.2 table 9-6; class ones */
enum usb_descriptor_type {
    USB_DESCRIPTOR_DEVICE = 1,
    USB_DESCRIPTOR_CONFIGURATION = 2,
    USB_DESCRIPTOR_STRING = 3,
    USB_DESCRIPTOR_INTERFACE = 4,
    USB_DESCRIPTOR_ENDPOINT = 5,
    USB_DESCRIPTOR_PIPE_USAGE = 0x24, /* UAS-3, 5.3.2 */
    USB_DESCRIPTOR_HUB = 0x29,
    USB_DESCRIPTOR_SUPERSPEED_HUB = 0x2a,
    USB_DESCRIPTOR_COMPANION = 0x30,
};

struct usb_device_descriptor {
    uint8_t length, type;
    uint16_t usb_version;
    uint8_t class_code, subclass, protocol, max_packet;
    uint16_t vendor_id, product_id, release;
    uint8_t manufacturer, product, serial, configurations;
} __attribute__((packed));

struct usb_configuration_descriptor {
    uint8_t length, type;
    uint16_t total_length;
    uint8_t interfaces, value, name, attributes, max_power;
} __attribute__((packed));

struct usb_interface_descriptor {
    uint8_t length, type, number, alternate, endpoints, class_code, subclass, protocol, name;
} __attribute__((packed));

struct usb_endpoint_descriptor {
    uint8_t length, type, address, attributes;
    uint16_t max_packet;
    uint8_t interval;
} __attribute__((packed));

struct usb_companion_descriptor {
    uint8_t length, type, max_burst, attributes;
    uint16_t bytes_per_interval;
} __attribute__((packed));

#define USB_CLASS_HID 0x03
#define USB_CLASS_STORAGE 0x08
#define USB_CLASS_HUB 0x09
#define USB_SUBCLASS_SCSI 0x06
#define USB_SUBCLASS_BOOT 0x01
#define USB_PROTOCOL_KEYBOARD 0x01
#define USB_PROTOCOL_BULK_ONLY 0x50
#define USB_PROTOCOL_UAS 0x62

#endif
