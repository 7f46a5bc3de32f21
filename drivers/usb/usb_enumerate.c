/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Enumeration: from the Default state to Configured, on the device's fiber. USB 2.0, 9.1.2 and 9.4; USB 3.2, 9.2.
 */
#include <string.h>

#include "drivers/quirks.h"
#include "drivers/usb/usb_internal.h"

/* Policy: how often a request of the enumeration is sent, and how many configurations are looked at. */
#define REQUEST_ATTEMPTS 3
#define CONFIGURATIONS_MAX 8
#define STRING_TIMEOUT (1 * NANOSECONDS_PER_SECOND)
#define FIRST_TIMEOUT (1 * NANOSECONDS_PER_SECOND) /* the others wait meanwhile */
#define STRING_MAX 255
/* USB 2.0, 9.2.6.3 */
#define ADDRESS_RECOVERY_TIME (2 * NANOSECONDS_PER_MILLISECOND)

static int fail(struct usb_device *device, struct error *error, int status, const char *what)
{
    return error_set(error, (enum error_code) - status, OPERATION_IDENTIFY, device->name, ERROR_NO_BLOCK, "%s", what);
}

/* Bytes, at least `min`, or a negative error. */
static int get_descriptor(struct usb_device *device, uint8_t type, uint8_t index, void *data, uint16_t min,
                          uint16_t length)
{
    uint64_t timeout = device->addressing ? FIRST_TIMEOUT : USB_CONTROL_TIMEOUT;
    uint16_t value = (uint16_t)(type << 8 | index);
    int status = -ERROR_IO;

    for (unsigned attempt = 0; attempt < REQUEST_ATTEMPTS; attempt++) {
        status = usb_control(device, USB_IN, USB_GET_DESCRIPTOR, value, 0, data, length, timeout);
        if (status == -ERROR_GONE || status == -ERROR_TIMEOUT)
            return status;
        if (status < 0)
            continue;
        if (status >= min && ((const uint8_t *)data)[1] == type)
            return status;
        status = -ERROR_PROTOCOL;
    }
    return status;
}

/* --- address --- */

void usb_device_addressed(struct usb_device *device)
{
    if (!device->addressing)
        return;
    device->addressing = false;
    device->bus->addressing = false;
}

static int set_address(struct usb_device *device, struct error *error)
{
    int status = device->bus->operations->device_address(device);

    if (status)
        return fail(device, error, status, "it takes no address");
    device->state = USB_DEVICE_ADDRESSED;
    usb_device_addressed(device);
    loop_delay(device->bus->loop, ADDRESS_RECOVERY_TIME);
    return 0;
}

/* The first 8 bytes tell how large the packets of endpoint 0 are (USB 2.0, 5.5.3). */
static int learn_packet_size(struct usb_device *device, struct error *error)
{
    uint8_t bytes[8];
    int status = get_descriptor(device, USB_DESCRIPTOR_DEVICE, 0, bytes, sizeof(bytes), sizeof(bytes));

    if (status < 0)
        return fail(device, error, status, "no device descriptor");
    uint16_t packet = usb_control_packet(device->speed, bytes[7]);
    if (!packet) {
        fail(device, error, -ERROR_PROTOCOL, "packets of a size that is not allowed");
        return -ERROR_PROTOCOL;
    }
    if (packet == device->control.max_packet)
        return 0;
    device->control.max_packet = packet;
    status = device->bus->operations->control_update(device);
    return status ? fail(device, error, status, "the packet size is not taken") : 0;
}

/*
 * Address first: the time in the Default state is the shortest so. Some devices want to be asked for their descriptor before; that
 * is what the second attempt does.
 */
static int reach_address(struct usb_device *device, struct error *error)
{
    bool descriptor_first = device->hub->failures[device->port] == 1;
    int status = device->bus->operations->device_open(device);

    if (status)
        return fail(device, error, status, "the controller takes no more devices");
    device->at_host = true;
    device->control.open = true;
    if (descriptor_first) {
        status = learn_packet_size(device, error);
        return status ? status : set_address(device, error);
    }
    status = set_address(device, error);
    return status ? status : learn_packet_size(device, error);
}

/* --- strings --- */

/* The languages, or the text of one string. False: not asked for any more. */
static bool read_string(struct usb_device *device, uint8_t index, uint16_t language, uint8_t bytes[STRING_MAX],
                        size_t *size)
{
    uint16_t value = (uint16_t)(USB_DESCRIPTOR_STRING << 8 | index);
    int status = usb_control(device, USB_IN, USB_GET_DESCRIPTOR, value, language, bytes, STRING_MAX, STRING_TIMEOUT);

    *size = 0;
    /* Some answer only when asked for exactly what they have. */
    if (status == -ERROR_REFUSED || status == -ERROR_IO) {
        status = usb_control(device, USB_IN, USB_GET_DESCRIPTOR, value, language, bytes, 2, STRING_TIMEOUT);
        if (status == 2 && bytes[0] > 2)
            status = usb_control(device, USB_IN, USB_GET_DESCRIPTOR, value, language, bytes, bytes[0], STRING_TIMEOUT);
    }
    if (status > 0)
        *size = (size_t)status;
    return status != -ERROR_TIMEOUT && status != -ERROR_GONE;
}

static bool read_text(struct usb_device *device, uint8_t index, uint16_t language, char text[BLOCK_TEXT_MAX])
{
    uint8_t bytes[STRING_MAX];
    size_t size;

    if (!index)
        return true;
    bool answered = read_string(device, index, language, bytes, &size);
    usb_parse_string(bytes, size, text, BLOCK_TEXT_MAX);
    return answered;
}

/* Strings are for people and for names; none is needed. The serial number first: it names disks. */
static void read_strings(struct usb_device *device)
{
    const struct usb_device_descriptor *descriptor = &device->descriptor;
    uint16_t language = 0x0409;
    uint8_t bytes[STRING_MAX];
    size_t size;

    if (device->quirks & USB_QUIRK_NO_STRINGS || !(descriptor->serial | descriptor->product | descriptor->manufacturer))
        return;
    if (!read_string(device, 0, 0, bytes, &size))
        return;
    if (size >= 4 && bytes[1] == USB_DESCRIPTOR_STRING && bytes[0] >= 4)
        language = (uint16_t)(bytes[2] | bytes[3] << 8);
    if (read_text(device, descriptor->serial, language, device->serial) &&
        read_text(device, descriptor->product, language, device->product))
        read_text(device, descriptor->manufacturer, language, device->manufacturer);
}

/* --- configurations --- */

/*
 * One configuration with all that follows, in two steps (USB 2.0, 9.4.3). Returns its bytes, to be released; NULL: *status says
 * why. What is longer than what we read is cut; what the device does not send is not there.
 */
static uint8_t *read_configuration(struct usb_device *device, uint8_t index, size_t *size, int *status)
{
    struct platform *platform = device->bus->platform;
    struct usb_configuration_descriptor header;

    *status = get_descriptor(device, USB_DESCRIPTOR_CONFIGURATION, index, &header, sizeof(header), sizeof(header));
    if (*status < 0)
        return NULL;
    uint16_t length = header.total_length < USB_DESCRIPTOR_MAX ? header.total_length : USB_DESCRIPTOR_MAX;
    if (length < sizeof(header)) {
        *status = -ERROR_PROTOCOL;
        return NULL;
    }
    uint8_t *bytes = platform_allocate_zeroed(platform, length);
    if (!bytes) {
        *status = -ERROR_NO_MEMORY;
        return NULL;
    }
    *status = get_descriptor(device, USB_DESCRIPTOR_CONFIGURATION, index, bytes, sizeof(header), length);
    if (*status < 0) {
        platform_release(platform, bytes);
        return NULL;
    }
    *size = (size_t)*status;
    *status = 0;
    return bytes;
}

static void take_configuration(struct usb_device *device, uint8_t *bytes, size_t size)
{
    platform_release(device->bus->platform, device->configuration);
    device->configuration = bytes;
    device->configuration_size = size;
    device->configuration_value = bytes[offsetof(struct usb_configuration_descriptor, value)];
    usb_parse_interfaces(device);
}

/* The first configuration with an interface for which there is a driver; otherwise the last that could be read. */
static int choose_configuration(struct usb_device *device, struct error *error)
{
    int status = -ERROR_PROTOCOL;
    unsigned count = device->descriptor.configurations;

    if (count > CONFIGURATIONS_MAX)
        count = CONFIGURATIONS_MAX;
    for (uint8_t index = 0; index < count; index++) {
        size_t size = 0;
        uint8_t *bytes = read_configuration(device, index, &size, &status);
        if (status == -ERROR_GONE || status == -ERROR_TIMEOUT)
            break;
        if (!bytes)
            continue;
        take_configuration(device, bytes, size);
        if (usb_has_driver(device))
            return 0;
    }
    return device->configuration ? 0 : fail(device, error, status, "no configuration can be read");
}

/* --- all of it --- */

static void describe(const struct usb_device *device, bool driven)
{
    platform_log(device->bus->platform, LOG_INFO, "%s: %04x:%04x %s%s%s, %s%s%s%s", device->name, device->vendor_id,
                 device->product_id, device->manufacturer, *device->manufacturer && *device->product ? " " : "",
                 device->product, usb_speed_name(device->speed), *device->serial ? ", serial " : "", device->serial,
                 driven ? "" : "; there is no driver for it");
}

static int read_device_descriptor(struct usb_device *device, struct usb_device_descriptor *descriptor)
{
    int status = get_descriptor(device, USB_DESCRIPTOR_DEVICE, 0, descriptor, sizeof(*descriptor), sizeof(*descriptor));

    return status < 0 ? status : 0;
}

int usb_device_enumerate(struct usb_device *device, struct error *error)
{
    int status = reach_address(device, error);

    if (status)
        return status;
    status = read_device_descriptor(device, &device->descriptor);
    if (status)
        return fail(device, error, status, "no device descriptor");
    device->vendor_id = device->descriptor.vendor_id;
    device->product_id = device->descriptor.product_id;
    device->release = device->descriptor.release;
    device->quirks =
        usb_quirks_find(device->bus->platform, device->name, device->vendor_id, device->product_id, device->release);
    read_strings(device);
    status = choose_configuration(device, error);
    if (status)
        return status;
    bool driven = usb_has_driver(device);
    describe(device, driven);
    if (!driven)
        return 0;
    status = usb_control(device, 0, USB_SET_CONFIGURATION, device->configuration_value, 0, NULL, 0, 0);
    if (status < 0)
        return fail(device, error, status, "it does not take its configuration");
    device->state = USB_DEVICE_CONFIGURED;
    return 0;
}

/* --- after a reset --- */

static bool same_configuration(struct usb_device *device)
{
    unsigned count = device->descriptor.configurations;
    bool same = false;

    if (count > CONFIGURATIONS_MAX)
        count = CONFIGURATIONS_MAX;
    for (uint8_t index = 0; index < count && !same; index++) {
        size_t size = 0;
        int status;
        uint8_t *bytes = read_configuration(device, index, &size, &status);
        if (!bytes)
            return false;
        same = size == device->configuration_size && !memcmp(bytes, device->configuration, size);
        platform_release(device->bus->platform, bytes);
    }
    return same;
}

int usb_device_compare(struct usb_device *device)
{
    struct usb_device_descriptor descriptor;
    char serial[BLOCK_TEXT_MAX];

    if (read_device_descriptor(device, &descriptor) ||
        memcmp(&descriptor, &device->descriptor, sizeof(descriptor)) != 0)
        return -ERROR_GONE;
    /* Two disks of one kind differ in nothing else. */
    if (*device->serial) {
        memcpy(serial, device->serial, sizeof(serial));
        device->serial[0] = '\0';
        read_strings(device);
        bool same = !strcmp(serial, device->serial);
        memcpy(device->serial, serial, sizeof(serial));
        if (!same)
            return -ERROR_GONE;
    }
    return same_configuration(device) ? 0 : -ERROR_GONE;
}
