/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors: good ones are understood, hostile ones cost themselves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "drivers/quirks.h"
#include "drivers/usb/usb_internal.h"
#include "tests/support/usb_test_driver.h"

#define SECOND NANOSECONDS_PER_SECOND

/* A device that nothing but the parser looks at; its configuration is malloc'ed to its size, so that every overrun is seen. */
static struct usb_device parsed;

static void parse(enum usb_speed speed, const void *bytes, size_t size)
{
    free(parsed.configuration);
    memset(&parsed, 0, sizeof(parsed));
    parsed.speed = speed;
    parsed.configuration = malloc(size ? size : 1);
    assert_non_null(parsed.configuration);
    memcpy(parsed.configuration, bytes, size);
    parsed.configuration_size = size;
    usb_parse_interfaces(&parsed);
}

static int parser_teardown(void **unused)
{
    (void)unused;
    free(parsed.configuration);
    memset(&parsed, 0, sizeof(parsed));
    return 0;
}

/* clang-format off */
#define CONFIGURATION(total) 9, 2, (total) & 0xff, (total) >> 8, 1, 1, 0, 0x80, 50
#define INTERFACE(number, alternate, endpoints) 9, 4, number, alternate, endpoints, 8, 6, 0x50, 0
#define ENDPOINT(address, type, packet, interval) \
    7, 5, (uint8_t)(address), type, (uint8_t)(packet), (uint8_t)((packet) >> 8), interval
#define COMPANION(burst, attributes, bytes) \
    6, 0x30, burst, attributes, (uint8_t)(bytes), (uint8_t)((bytes) >> 8)
#define PIPE_USAGE(id) 4, 0x24, id, 0
/* clang-format on */

static void uas_disk_is_understood(void **unused)
{
    static const uint8_t bytes[] = {CONFIGURATION(0),    INTERFACE(0, 0, 2),         ENDPOINT(0x81, 2, 1024, 0),
                                    COMPANION(15, 0, 0), ENDPOINT(0x02, 2, 1024, 0), COMPANION(15, 0, 0),
                                    INTERFACE(0, 1, 4),  ENDPOINT(0x04, 2, 1024, 0), COMPANION(0, 0, 0),
                                    PIPE_USAGE(1),       ENDPOINT(0x83, 2, 1024, 0), COMPANION(3, 5, 0),
                                    PIPE_USAGE(2),       ENDPOINT(0x81, 2, 1024, 0), COMPANION(7, 0x1f, 0),
                                    PIPE_USAGE(3),       ENDPOINT(0x02, 2, 1024, 0), COMPANION(200, 4, 0),
                                    PIPE_USAGE(4)};
    struct usb_endpoint endpoints[USB_ENDPOINTS_MAX];

    (void)unused;
    parse(USB_SPEED_SUPER, bytes, sizeof(bytes));
    assert_int_equal(parsed.interface_count, 2);
    assert_int_equal(parsed.interfaces[0].endpoint_count, 2);
    assert_int_equal(parsed.interfaces[0].class_code, USB_CLASS_STORAGE);
    assert_int_equal(parsed.interfaces[0].subclass, USB_SUBCLASS_SCSI);
    assert_int_equal(parsed.interfaces[0].protocol, USB_PROTOCOL_BULK_ONLY);
    const struct usb_interface *uas = &parsed.interfaces[1];
    assert_int_equal(uas->alternate, 1);
    assert_int_equal(usb_parse_endpoints(uas, endpoints, USB_ENDPOINTS_MAX), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(endpoints[i].pipe_id, i + 1);
        assert_int_equal(endpoints[i].type, USB_ENDPOINT_BULK);
        assert_int_equal(endpoints[i].max_packet, 1024);
        assert_ptr_equal(endpoints[i].device, &parsed);
    }
    assert_int_equal(endpoints[0].address, 0x04);
    assert_int_equal(endpoints[1].address, 0x83);
    assert_int_equal(endpoints[0].max_streams_log2, 0);
    assert_int_equal(endpoints[1].max_streams_log2, 5);
    assert_int_equal(endpoints[2].max_streams_log2, 16); /* more is not allowed */
    assert_int_equal(endpoints[1].max_burst, 3);
    assert_int_equal(endpoints[3].max_burst, 15); /* nor here */

    const uint8_t *pipe = usb_find_descriptor(uas, NULL, USB_DESCRIPTOR_PIPE_USAGE, 4);
    for (unsigned i = 1; i <= 4; i++) {
        assert_non_null(pipe);
        assert_int_equal(pipe[2], i);
        pipe = usb_find_descriptor(uas, pipe, USB_DESCRIPTOR_PIPE_USAGE, 4);
    }
    assert_null(pipe);
    assert_null(usb_find_descriptor(&parsed.interfaces[0], NULL, USB_DESCRIPTOR_PIPE_USAGE, 4));
    /* Fewer stored than there are. */
    assert_int_equal(usb_parse_endpoints(uas, endpoints, 2), 4);
}

struct endpoint_case {
    enum usb_speed speed;
    uint8_t address, type;
    uint16_t packet;
    uint8_t interval;
    /* What comes out; packet 0: the endpoint is left out. */
    uint16_t max_packet;
    uint8_t burst, interval_out;
    uint32_t bytes;
};

static void endpoints_at_their_limits(void **unused)
{
    static const struct endpoint_case cases[] = {
        {USB_SPEED_HIGH, 0x81, 2, 512, 0, 512, 0, 0, 0},
        {USB_SPEED_HIGH, 0x81, 2, 1024, 0, 512, 0, 0, 0},
        {USB_SPEED_HIGH, 0x81, 2, 64, 0, 512, 0, 0, 0}, /* bulk has one size there, whatever is said */
        {USB_SPEED_FULL, 0x81, 2, 512, 0, 64, 0, 0, 0},
        {USB_SPEED_FULL, 0x81, 2, 33, 0, 32, 0, 0, 0},
        {USB_SPEED_FULL, 0x81, 2, 3, 0, 8, 0, 0, 0},
        {USB_SPEED_SUPER, 0x81, 2, 512, 0, 1024, 0, 0, 0},
        {USB_SPEED_SUPER, 0x81, 2, 0x7ff, 0, 1024, 0, 0, 0},
        {USB_SPEED_LOW, 0x81, 2, 8, 0, 0, 0, 0, 0},      /* no bulk at low speed */
        {USB_SPEED_HIGH, 0x81, 2, 0, 0, 0, 0, 0, 0},     /* no packets */
        {USB_SPEED_HIGH, 0x80, 2, 512, 0, 0, 0, 0, 0},   /* endpoint 0 */
        {USB_SPEED_HIGH, 0x81, 0, 64, 0, 0, 0, 0, 0},    /* control */
        {USB_SPEED_HIGH, 0x81, 1, 512, 1, 0, 0, 0, 0},   /* isochronous */
        {USB_SPEED_HIGH, 0xf1, 2, 512, 0, 512, 0, 0, 0}, /* reserved bits */
        {USB_SPEED_LOW, 0x81, 3, 64, 10, 8, 0, 10, 8},
        {USB_SPEED_FULL, 0x81, 3, 8, 0, 8, 0, 1, 8},
        {USB_SPEED_FULL, 0x81, 3, 8, 255, 8, 0, 255, 8},
        {USB_SPEED_HIGH, 0x81, 3, 64, 0, 64, 0, 1, 64},
        {USB_SPEED_HIGH, 0x81, 3, 64, 255, 64, 0, 16, 64},
        {USB_SPEED_HIGH, 0x81, 3, 1024 | 2 << 11, 4, 1024, 2, 4, 3072},
        {USB_SPEED_HIGH, 0x81, 3, 1024 | 3 << 11, 4, 1024, 0, 4, 1024},
        {USB_SPEED_SUPER, 0x81, 3, 16, 8, 16, 0, 8, 16}, /* without companion */
    };

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct endpoint_case *c = &cases[i];
        const uint8_t bytes[] = {CONFIGURATION(0), INTERFACE(0, 0, 1),
                                 ENDPOINT(c->address, c->type, c->packet, c->interval)};
        struct usb_endpoint endpoint;
        parse(c->speed, bytes, sizeof(bytes));
        assert_int_equal(parsed.interface_count, 1);
        assert_int_equal(usb_parse_endpoints(&parsed.interfaces[0], &endpoint, 1), c->max_packet != 0);
        if (!c->max_packet)
            continue;
        assert_int_equal(endpoint.address, 0x81);
        assert_int_equal(endpoint.max_packet, c->max_packet);
        assert_int_equal(endpoint.max_burst, c->burst);
        assert_int_equal(endpoint.interval, c->interval_out);
        assert_int_equal(endpoint.bytes_per_interval, c->bytes);
    }
}

static void companion_of_a_periodic_endpoint(void **unused)
{
    static const struct {
        uint16_t said, taken;
    } cases[] = {{16, 16}, {48, 48}, {49, 48}, {0, 48}, {0xffff, 48}};

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint8_t bytes[] = {CONFIGURATION(0), INTERFACE(0, 0, 1), ENDPOINT(0x81, 3, 16, 4),
                                 COMPANION(2, 0, cases[i].said)};
        struct usb_endpoint endpoint;
        parse(USB_SPEED_SUPER, bytes, sizeof(bytes));
        assert_int_equal(usb_parse_endpoints(&parsed.interfaces[0], &endpoint, 1), 1);
        assert_int_equal(endpoint.max_burst, 2);
        assert_int_equal(endpoint.bytes_per_interval, cases[i].taken);
        assert_int_equal(endpoint.max_streams_log2, 0);
    }
}

static void repeated_endpoints_and_settings(void **unused)
{
    static const uint8_t bytes[] = {CONFIGURATION(0),         INTERFACE(0, 0, 4),        ENDPOINT(0x81, 2, 512, 0),
                                    ENDPOINT(0x81, 3, 64, 4), ENDPOINT(0x01, 2, 512, 0), ENDPOINT(0x01, 2, 512, 0),
                                    INTERFACE(0, 0, 1),       ENDPOINT(0x82, 2, 512, 0), INTERFACE(0, 1, 1),
                                    ENDPOINT(0x83, 2, 512, 0)};
    struct usb_endpoint endpoints[4];

    (void)unused;
    parse(USB_SPEED_HIGH, bytes, sizeof(bytes));
    assert_int_equal(parsed.interface_count, 2);
    assert_int_equal(usb_parse_endpoints(&parsed.interfaces[0], endpoints, 4), 2);
    assert_int_equal(endpoints[0].type, USB_ENDPOINT_BULK);
    assert_int_equal(endpoints[1].address, 0x01);
    assert_int_equal(parsed.interfaces[1].alternate, 1);
}

static void more_than_there_is_room_for(void **unused)
{
    uint8_t bytes[USB_DESCRIPTOR_MAX];
    const uint8_t interface[] = {INTERFACE(0, 0, 30)};
    size_t size = 0;
    struct usb_endpoint endpoints[USB_ENDPOINTS_MAX];

    (void)unused;
    for (unsigned i = 0; i < 60; i++) {
        memcpy(bytes + size, interface, sizeof(interface));
        bytes[size + 2] = (uint8_t)i;
        size += sizeof(interface);
        for (uint8_t number = 1; number < 6; number++) {
            const uint8_t endpoint[] = {ENDPOINT(number, 2, 512, 0)};
            memcpy(bytes + size, endpoint, sizeof(endpoint));
            size += sizeof(endpoint);
        }
    }
    parse(USB_SPEED_HIGH, bytes, size);
    assert_int_equal(parsed.interface_count, USB_INTERFACES_MAX);
    for (unsigned i = 0; i < USB_INTERFACES_MAX; i++)
        assert_int_equal(parsed.interfaces[i].endpoint_count, 5);

    size = sizeof(interface);
    memcpy(bytes, interface, sizeof(interface));
    for (unsigned i = 0; i < 30; i++) {
        const uint8_t endpoint[] = {ENDPOINT((i & 1 ? 0x80 : 0) + 1 + i / 2, 2, 512, 0)};
        memcpy(bytes + size, endpoint, sizeof(endpoint));
        size += sizeof(endpoint);
    }
    parse(USB_SPEED_HIGH, bytes, size);
    assert_int_equal(usb_parse_endpoints(&parsed.interfaces[0], endpoints, USB_ENDPOINTS_MAX), USB_ENDPOINTS_MAX);
}

/* Every prefix, and every length byte wrong in every way: nothing is read beyond the end (AddressSanitizer), nothing hangs. */
static void cut_and_bent_descriptors(void **unused)
{
    static const uint8_t good[] = {CONFIGURATION(0),     INTERFACE(0, 0, 2), ENDPOINT(0x81, 2, 1024, 0),
                                   COMPANION(15, 5, 0),  PIPE_USAGE(3),      ENDPOINT(0x02, 3, 1024, 4),
                                   COMPANION(15, 0, 64), INTERFACE(1, 0, 1), ENDPOINT(0x83, 2, 1024, 0),
                                   COMPANION(3, 5, 0)};
    uint8_t bytes[sizeof(good)];
    struct usb_endpoint endpoints[4];

    (void)unused;
    for (size_t size = 0; size <= sizeof(good); size++) {
        parse(USB_SPEED_SUPER, good, size);
        for (unsigned i = 0; i < parsed.interface_count; i++) {
            const struct usb_interface *interface = &parsed.interfaces[i];
            assert_true(usb_parse_endpoints(interface, endpoints, 4) <= 2);
            assert_true(interface->descriptor + interface->descriptor_size <=
                        parsed.configuration + parsed.configuration_size);
        }
    }
    assert_int_equal(parsed.interface_count, 2);
    for (size_t at = 0; at < sizeof(good); at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(bytes, good, sizeof(good));
            bytes[at] = (uint8_t)value;
            parse(USB_SPEED_SUPER, bytes, sizeof(bytes));
            for (unsigned i = 0; i < parsed.interface_count; i++) {
                unsigned count = usb_parse_endpoints(&parsed.interfaces[i], endpoints, 4);
                assert_int_equal(count, parsed.interfaces[i].endpoint_count);
                for (unsigned j = 0; j < count; j++) {
                    assert_true(endpoints[j].max_packet > 0 && endpoints[j].max_packet <= 1024);
                    assert_true(endpoints[j].max_burst <= 15 && endpoints[j].max_streams_log2 <= 16);
                }
                usb_find_descriptor(&parsed.interfaces[i], NULL, USB_DESCRIPTOR_PIPE_USAGE, 4);
            }
        }
}

static void strings(void **unused)
{
    static const struct {
        uint8_t size;
        uint8_t bytes[40];
        const char *text;
    } cases[] = {
        {10, {10, 3, 'A', 0, 'b', 0, '-', 0, '1', 0}, "Ab-1"},
        {10, {8, 3, 'A', 0, 'b', 0, '-', 0, '1', 0}, "Ab-"},   /* says less */
        {10, {40, 3, 'A', 0, 'b', 0, '-', 0, '1', 0}, "Ab-1"}, /* says more */
        {9, {10, 3, 'A', 0, 'b', 0, '-', 0, '1'}, "Ab-"},      /* half a character */
        {10, {10, 3, ' ', 0, 'b', 0, ' ', 0, ' ', 0}, "b"},
        {10, {10, 3, 'A', 0, 0xe4, 0, 7, 0, 0x3a, 0x26}, "A"}, /* not ASCII, not printable */
        {10, {10, 3, 'A', 0, 0, 0, 'x', 0, 'y', 0}, "A"},
        {10, {10, 4, 'A', 0, 'b', 0, '-', 0, '1', 0}, ""}, /* no string */
        {2, {2, 3}, ""},
        {1, {2}, ""},
        {0, {0}, ""},
    };
    char text[16];

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *bytes = malloc(cases[i].size + 1u);
        assert_non_null(bytes);
        memcpy(bytes, cases[i].bytes, cases[i].size);
        memset(text, 'x', sizeof(text));
        usb_parse_string(bytes, cases[i].size, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
        free(bytes);
    }
    uint8_t large[255];
    memset(large, 'z', sizeof(large));
    for (unsigned i = 3; i < sizeof(large); i += 2)
        large[i] = 0;
    large[0] = 255;
    large[1] = 3;
    usb_parse_string(large, sizeof(large), text, sizeof(text));
    assert_string_equal(text, "zzzzzzzzzzzzzzz");
}

static void control_packets(void **unused)
{
    (void)unused;
    assert_int_equal(usb_control_packet(USB_SPEED_LOW, 8), 8);
    assert_int_equal(usb_control_packet(USB_SPEED_LOW, 64), 0);
    assert_int_equal(usb_control_packet(USB_SPEED_FULL, 16), 16);
    assert_int_equal(usb_control_packet(USB_SPEED_FULL, 17), 0);
    assert_int_equal(usb_control_packet(USB_SPEED_HIGH, 64), 64);
    assert_int_equal(usb_control_packet(USB_SPEED_HIGH, 9), 0);
    assert_int_equal(usb_control_packet(USB_SPEED_SUPER, 9), 512);
    assert_int_equal(usb_control_packet(USB_SPEED_SUPER, 64), 0);
    assert_int_equal(usb_control_packet(USB_SPEED_SUPER_PLUS, 9), 512);
    assert_int_equal(usb_control_packet(USB_SPEED_NONE, 8), 0);
}

static void quirks_by_device(void **unused)
{
    struct test_platform test;

    (void)unused;
    test_platform_init(&test);
    assert_true(usb_quirks_find(&test.platform, "disk", 0x174c, 0x5106, 0x0100) & USB_QUIRK_NO_UAS);
    assert_true(test_platform_logged(&test, "disk: USB 174c:5106 is treated specially: "));
    assert_int_equal(usb_quirks_find(&test.platform, NULL, 0x174c, 0x55aa, 0), USB_QUIRK_NO_UAS_32_STREAMS);
    assert_int_equal(usb_quirks_find(&test.platform, NULL, 0x1234, 0x5678, 0xffff), 0);
    test_platform_end(&test);
}

/* --- devices that lie, seen from the bus --- */

static struct usb_test_driver *const first = &usb_test_drivers[0];
static struct usb_test_device *const device = &usb_test_subject;

static void try_device(struct usb_model_bench *bench)
{
    usb_model_plug(&bench->host.ports[0], &device->model);
    assert_true(usb_model_bench_settle(bench, 60));
    assert_false(bench->host.bus.addressing);
}

static void take_away(struct usb_model_bench *bench)
{
    usb_model_unplug(&device->model);
    usb_model_bench_run(bench, SECOND);
    assert_int_equal(bench->host.bus.device_count, 0);
    assert_int_equal(bench->host.open_devices, 0);
    assert_int_equal(bench->platform.buffers, 1);
    usb_test_drivers_init(&bench->host.bus);
    usb_test_device_init(device, USB_SPEED_HIGH, "SERIAL1");
}

static void total_length_lies(void **state)
{
    static const struct {
        uint16_t total;
        bool works;
    } cases[] = {{0, false}, {8, false}, {9, false}, {18, true}, {32, true}, {33, true}, {4096, true}, {0xffff, true}};
    struct usb_model_bench *bench = *state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        device->model.configuration[2] = (uint8_t)cases[i].total;
        device->model.configuration[3] = (uint8_t)(cases[i].total >> 8);
        try_device(bench);
        assert_int_equal(first->attaches, cases[i].works);
        if (cases[i].total == 18) /* the interface alone */
            assert_int_equal(first->endpoint_count, 0);
        if (cases[i].total >= 32)
            assert_int_equal(first->endpoint_count, 2);
        take_away(bench);
    }
}

static void device_descriptor_lies(void **state)
{
    struct usb_model_bench *bench = *state;

    device->model.descriptor.type = 9;
    try_device(bench);
    assert_int_equal(first->attaches, 0);
    assert_int_equal(bench->host.root.failures[1], 3);
    take_away(bench);

    device->model.descriptor.configurations = 0;
    try_device(bench);
    assert_int_equal(first->attaches, 0);
    take_away(bench);

    device->model.descriptor.configurations = 255; /* the first one is what counts */
    try_device(bench);
    assert_int_equal(first->attaches, 1);
    take_away(bench);

    device->model.bad_request = USB_GET_DESCRIPTOR; /* too short an answer */
    device->model.bad_answer = 7;
    try_device(bench);
    assert_int_equal(first->attaches, 0);
    take_away(bench);
}

/* Random damage anywhere: the bus stays whole. */
static void random_configurations(void **state)
{
    struct usb_model_bench *bench = *state;
    uint32_t random = 12345;

    for (unsigned round = 0; round < 150; round++) {
        for (unsigned hits = 0; hits < 1 + round % 4; hits++) {
            random = random * 1664525u + 1013904223u;
            device->model.configuration[(random >> 8) % device->model.configuration_size] = (uint8_t)(random >> 24);
        }
        try_device(bench);
        /* The model counts packets to endpoints of settings that the damage made up; the bus never sends any. */
        assert_int_equal(device->model.violations, 0);
        assert_int_equal(bench->host.violations, 0);
        take_away(bench);
    }
}

#define BENCH_TEST(function) cmocka_unit_test_setup_teardown(function, usb_test_setup, usb_test_teardown)
#define PARSER_TEST(function) cmocka_unit_test_teardown(function, parser_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARSER_TEST(uas_disk_is_understood),
        PARSER_TEST(endpoints_at_their_limits),
        PARSER_TEST(companion_of_a_periodic_endpoint),
        PARSER_TEST(repeated_endpoints_and_settings),
        PARSER_TEST(more_than_there_is_room_for),
        PARSER_TEST(cut_and_bent_descriptors),
        cmocka_unit_test(strings),
        cmocka_unit_test(control_packets),
        cmocka_unit_test(quirks_by_device),
        BENCH_TEST(total_length_lies),
        BENCH_TEST(device_descriptor_lies),
        BENCH_TEST(random_configurations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
