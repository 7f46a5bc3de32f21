/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver of boot keyboards, on scripted ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/usb/usb_keyboard.h"
#include "tests/support/usb_model_host.h"

#define MILLISECONDS(n) ((n)*NANOSECONDS_PER_MILLISECOND)

enum usage {
    USAGE_A = 0x04,
    USAGE_B = 0x05,
    USAGE_C = 0x06,
    USAGE_CAPS_LOCK = 0x39,
    USAGE_SCROLL_LOCK = 0x47,
    USAGE_NUM_LOCK = 0x53,
    USAGE_LEFT_SHIFT = 0xe1,
};

static struct usb_model_bench *bench_with(void **state, struct usb_model_keyboard *keyboard)
{
    struct usb_model_bench *bench = *state;

    usb_model_keyboard_init(keyboard, USB_SPEED_FULL);
    usb_model_plug(&bench->host.ports[0], &keyboard->device);
    return bench;
}

static void start(struct usb_model_bench *bench, unsigned keyboards)
{
    assert_true(usb_model_bench_settle(bench, 10));
    assert_int_equal(bench->host.bus.keyboards, keyboards);
    usb_model_bench_run(bench, MILLISECONDS(20)); /* lamps */
}

static void send_keys(struct usb_model_keyboard *keyboard, uint8_t modifiers, uint8_t first, uint8_t second)
{
    const uint8_t report[8] = {modifiers, 0, first, second};

    usb_model_keyboard_report(keyboard, report, sizeof(report));
}

/* One keyboard, whose key A went down 100 ms ago. */
static struct usb_model_bench *bench_with_a_held(void **state, struct usb_model_keyboard *keyboard)
{
    struct usb_model_bench *bench = bench_with(state, keyboard);

    start(bench, 1);
    send_keys(keyboard, 0, USAGE_A, 0);
    usb_model_bench_run(bench, MILLISECONDS(100));
    return bench;
}

/* Exactly these usages since the last call. */
static void check_typed(struct usb_model_bench *bench, const uint8_t *usages, unsigned count)
{
    assert_int_equal(bench->typed_count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(bench->typed[i].usage, usages[i]);
        assert_false(bench->typed[i].repeat);
    }
    bench->typed_count = 0;
}

#define CHECK_TYPED(bench, ...)                                                                                        \
    check_typed(bench, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void check_silent(struct usb_model_bench *bench, uint64_t nanoseconds)
{
    usb_model_bench_run(bench, nanoseconds);
    assert_int_equal(bench->typed_count, 0);
}

static void check_types(struct usb_model_bench *bench, struct usb_model_keyboard *keyboard)
{
    usb_model_keyboard_type(keyboard, 0, USAGE_C);
    usb_model_bench_run(bench, MILLISECONDS(100));
    CHECK_TYPED(bench, USAGE_C);
}

static void end(struct usb_model_keyboard *keyboard)
{
    assert_int_equal(keyboard->device.violations, 0);
    usb_model_keyboard_end(keyboard);
}

static void keyboard_comes_up(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    start(bench, 1);
    assert_int_equal(keyboard.protocol, 0);
    assert_int_equal(keyboard.idle, 0);
    assert_int_equal(keyboard.leds, 0);
    assert_int_equal(keyboard.led_reports, 1);
    check_types(bench, &keyboard);
    check_silent(bench, MILLISECONDS(2000));
    end(&keyboard);
}

static void every_speed(void **state)
{
    static const enum usb_speed speeds[] = {USB_SPEED_LOW, USB_SPEED_FULL, USB_SPEED_HIGH};
    struct usb_model_keyboard keyboards[3];
    struct usb_model_bench *bench = *state;

    for (unsigned i = 0; i < 3; i++) {
        usb_model_keyboard_init(&keyboards[i], speeds[i]);
        usb_model_plug(&bench->host.ports[2 * i], &keyboards[i].device);
    }
    start(bench, 3);
    for (unsigned i = 0; i < 3; i++)
        check_types(bench, &keyboards[i]);
    for (unsigned i = 0; i < 3; i++)
        end(&keyboards[i]);
}

static void only_what_is_new_is_a_key(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);
    const uint8_t same[8] = {0, 0, USAGE_C, USAGE_C, USAGE_C, 0, USAGE_C, USAGE_C};

    start(bench, 1);
    send_keys(&keyboard, 0, USAGE_A, 0);
    send_keys(&keyboard, 0, USAGE_A, USAGE_B);
    send_keys(&keyboard, 0, USAGE_B, USAGE_A);
    send_keys(&keyboard, 0, 0, USAGE_B);
    send_keys(&keyboard, 0, USAGE_A, USAGE_B);
    send_keys(&keyboard, 0, 0, 0);
    usb_model_keyboard_report(&keyboard, same, sizeof(same));
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(300));
    CHECK_TYPED(bench, USAGE_A, USAGE_B, USAGE_A, USAGE_C);
    end(&keyboard);
}

static void modifiers(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    start(bench, 1);
    send_keys(&keyboard, USB_MODIFIER_LEFT_SHIFT, 0, 0);
    send_keys(&keyboard, USB_MODIFIER_LEFT_SHIFT, USAGE_A, 0);
    send_keys(&keyboard, 0, 0, 0);
    send_keys(&keyboard, 0, USAGE_A, 0);
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(300));
    assert_int_equal(bench->typed[1].modifiers, USB_MODIFIER_LEFT_SHIFT);
    assert_int_equal(bench->typed[2].modifiers, 0);
    CHECK_TYPED(bench, USAGE_LEFT_SHIFT, USAGE_A, USAGE_A);
    end(&keyboard);
}

static void too_many_keys_at_once(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);
    const uint8_t rollover[8] = {0, 0, 1, 1, 1, 1, 1, 1}, undefined[8] = {0, 0, USAGE_C, 3};

    start(bench, 1);
    send_keys(&keyboard, 0, USAGE_A, 0);
    usb_model_keyboard_report(&keyboard, rollover, sizeof(rollover));
    usb_model_keyboard_report(&keyboard, undefined, sizeof(undefined));
    send_keys(&keyboard, 0, USAGE_A, USAGE_B);
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(300));
    CHECK_TYPED(bench, USAGE_A, USAGE_B);
    end(&keyboard);
}

static void repeats(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with_a_held(state, &keyboard);

    usb_model_bench_run(bench, MILLISECONDS(300));
    CHECK_TYPED(bench, USAGE_A);
    usb_model_bench_run(bench, MILLISECONDS(1100));
    assert_in_range(bench->typed_count, 20, 31);
    for (unsigned i = 0; i < bench->typed_count; i++)
        assert_true(bench->typed[i].usage == USAGE_A && bench->typed[i].repeat);

    /* The key pressed last repeats, modifiers as they are now, and not once it is let go. */
    send_keys(&keyboard, USB_MODIFIER_LEFT_SHIFT, USAGE_A, USAGE_B);
    usb_model_bench_run(bench, MILLISECONDS(300));
    bench->typed_count = 0;
    usb_model_bench_run(bench, MILLISECONDS(1000));
    assert_in_range(bench->typed_count, 15, 31);
    for (unsigned i = 0; i < bench->typed_count; i++)
        assert_true(bench->typed[i].usage == USAGE_B && bench->typed[i].modifiers == USB_MODIFIER_LEFT_SHIFT);
    send_keys(&keyboard, 0, USAGE_A, 0);
    usb_model_bench_run(bench, MILLISECONDS(100));
    bench->typed_count = 0;
    check_silent(bench, MILLISECONDS(2000));
    end(&keyboard);
}

static void missed_repeats_are_not_made_up_for(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with_a_held(state, &keyboard);

    CHECK_TYPED(bench, USAGE_A);
    bench->platform.now += 10 * NANOSECONDS_PER_SECOND;
    for (unsigned i = 0; i < 5; i++)
        loop_poll(&bench->loop);
    assert_int_equal(bench->typed_count, 1);
    /* Let go while nobody polled: its report comes first. */
    bench->typed_count = 0;
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(20));
    bench->typed_count = 0;
    check_silent(bench, MILLISECONDS(2000));
    end(&keyboard);
}

static void locks_and_lamps(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    start(bench, 1);
    usb_model_keyboard_type(&keyboard, 0, USAGE_CAPS_LOCK);
    usb_model_keyboard_type(&keyboard, 0, USAGE_A);
    usb_model_bench_run(bench, MILLISECONDS(200));
    assert_true(bench->typed[1].caps_lock && !bench->typed[1].num_lock && !bench->typed[1].scroll_lock);
    CHECK_TYPED(bench, USAGE_CAPS_LOCK, USAGE_A);
    assert_int_equal(keyboard.leds, USB_LOCK_CAPS);
    usb_model_keyboard_type(&keyboard, 0, USAGE_NUM_LOCK);
    usb_model_keyboard_type(&keyboard, 0, USAGE_SCROLL_LOCK);
    usb_model_keyboard_type(&keyboard, 0, USAGE_CAPS_LOCK);
    usb_model_bench_run(bench, MILLISECONDS(200));
    assert_int_equal(keyboard.leds, USB_LOCK_NUM | USB_LOCK_SCROLL);
    assert_true(bench->typed[2].num_lock && bench->typed[2].scroll_lock && !bench->typed[2].caps_lock);

    /* Held down it does not go on and off. */
    bench->typed_count = 0;
    send_keys(&keyboard, 0, USAGE_CAPS_LOCK, 0);
    usb_model_bench_run(bench, MILLISECONDS(2000));
    CHECK_TYPED(bench, USAGE_CAPS_LOCK);
    end(&keyboard);
}

static void one_state_of_the_locks(void **state)
{
    struct usb_model_keyboard one, other;
    struct usb_model_bench *bench = bench_with(state, &one);
    uint8_t locks = USB_LOCK_NUM;

    bench->keys.locks = &locks;
    usb_model_keyboard_init(&other, USB_SPEED_LOW);
    usb_model_plug(&bench->host.ports[2], &other.device);
    start(bench, 2);
    assert_true(one.leds == USB_LOCK_NUM && other.leds == USB_LOCK_NUM);
    usb_model_keyboard_type(&other, 0, USAGE_CAPS_LOCK);
    usb_model_bench_run(bench, MILLISECONDS(200));
    assert_int_equal(locks, USB_LOCK_NUM | USB_LOCK_CAPS);
    assert_true(one.leds == locks && other.leds == locks);
    locks = USB_LOCK_SCROLL;
    usb_model_bench_run(bench, MILLISECONDS(200));
    assert_true(one.leds == locks && other.leds == locks);
    bench->typed_count = 0;
    usb_model_keyboard_type(&one, 0, USAGE_A);
    usb_model_bench_run(bench, MILLISECONDS(200));
    assert_true(bench->typed[0].scroll_lock && !bench->typed[0].caps_lock);
    end(&one);
    end(&other);
}

static void refusals_are_tolerated(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    keyboard.refuse_idle = keyboard.refuse_protocol = keyboard.refuse_leds = true;
    start(bench, 1);
    check_types(bench, &keyboard);
    usb_model_keyboard_type(&keyboard, 0, USAGE_CAPS_LOCK);
    usb_model_bench_run(bench, MILLISECONDS(200));
    CHECK_TYPED(bench, USAGE_CAPS_LOCK);
    /* It is asked once for each change. */
    unsigned requests = keyboard.device.requests;
    check_silent(bench, MILLISECONDS(5000));
    assert_int_equal(keyboard.device.requests, requests);
    end(&keyboard);
}

static void stall_is_recovered_from(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    start(bench, 1);
    for (unsigned i = 0; i < 20; i++) {
        keyboard.stall_next = true;
        check_types(bench, &keyboard);
    }
    assert_int_equal(keyboard.device.clear_halts, 20);
    assert_int_equal(bench->host.bus.keyboards, 1);
    end(&keyboard);
}

static void stall_lets_go_of_all_keys(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with_a_held(state, &keyboard);

    keyboard.stall_next = true;
    usb_model_bench_run(bench, MILLISECONDS(100));
    CHECK_TYPED(bench, USAGE_A);
    check_silent(bench, MILLISECONDS(2000));
    end(&keyboard);
}

static void broken_keyboard_is_left_alone(void **state)
{
    struct usb_model_keyboard broken, healthy;
    struct usb_model_bench *bench = bench_with(state, &broken);

    usb_model_keyboard_init(&healthy, USB_SPEED_FULL);
    usb_model_plug(&bench->host.ports[2], &healthy.device);
    start(bench, 2);
    send_keys(&broken, 0, USAGE_A, 0);
    usb_model_bench_run(bench, MILLISECONDS(100));
    CHECK_TYPED(bench, USAGE_A);
    broken.device.no_answer = true;
    usb_model_bench_run(bench, 60 * NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->host.bus.keyboards, 1);
    assert_int_equal(bench->typed_count, 0);
    check_types(bench, &healthy);

    broken.device.no_answer = false;
    usb_model_unplug(&broken.device);
    usb_model_bench_run(bench, MILLISECONDS(500));
    usb_model_plug(&bench->host.ports[0], &broken.device);
    usb_model_bench_run(bench, NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->host.bus.keyboards, 2);
    end(&broken);
    end(&healthy);
}

static int always_stalls(struct usb_model_device *device, uint8_t address, unsigned stream, uint8_t *data, size_t max)
{
    (void)device;
    (void)address;
    (void)stream;
    (void)data;
    (void)max;
    return USB_MODEL_STALL;
}

/* It answers all requests, and has no report to give: reset once, then left alone. */
static void keyboard_that_only_stalls(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);
    struct usb_model_operations operations = *keyboard.device.operations;

    start(bench, 1);
    unsigned resets = keyboard.device.resets;
    operations.in = always_stalls;
    keyboard.device.operations = &operations;
    usb_model_bench_run(bench, 30 * NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->host.bus.keyboards, 0);
    assert_int_equal(keyboard.device.resets, resets + 1);
    assert_in_range(keyboard.device.clear_halts, 5, 10);
    assert_true(test_platform_logged(&bench->platform, "left alone"));
    unsigned requests = keyboard.device.requests;
    check_silent(bench, 30 * NANOSECONDS_PER_SECOND);
    assert_int_equal(keyboard.device.requests, requests);
    end(&keyboard);
}

static void mute_keyboard_is_none(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    keyboard.device.bad_request = 0x0b; /* SET_PROTOCOL */
    keyboard.device.bad_answer = USB_MODEL_NAK;
    start(bench, 0);
    check_silent(bench, NANOSECONDS_PER_SECOND);
    usb_model_keyboard_end(&keyboard);
}

static void unplugged_and_plugged_again(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    start(bench, 1);
    for (unsigned i = 0; i < 5; i++) {
        send_keys(&keyboard, 0, USAGE_A, 0);
        usb_model_bench_run(bench, MILLISECONDS(100));
        CHECK_TYPED(bench, USAGE_A);
        usb_model_unplug(&keyboard.device);
        check_silent(bench, MILLISECONDS(2000));
        assert_int_equal(bench->host.bus.keyboards, 0);
        usb_model_plug(&bench->host.ports[0], &keyboard.device);
        usb_model_bench_run(bench, NANOSECONDS_PER_SECOND);
        assert_int_equal(bench->host.bus.keyboards, 1);
        assert_int_equal(keyboard.protocol, 0);
        check_types(bench, &keyboard);
    }
    end(&keyboard);
}

static void behind_hubs(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_model_keyboard keyboards[2];
    struct usb_model_hub hubs[2];

    for (unsigned i = 0; i < 2; i++) {
        usb_model_hub_init(&hubs[i], &bench->platform.platform, USB_SPEED_HIGH, 4);
        usb_model_keyboard_init(&keyboards[i], i ? USB_SPEED_LOW : USB_SPEED_FULL);
    }
    usb_model_plug(&bench->host.ports[0], &hubs[0].device);
    usb_model_plug(&hubs[0].ports[1], &hubs[1].device);
    usb_model_plug(&hubs[1].ports[0], &keyboards[0].device);
    usb_model_plug(&hubs[1].ports[3], &keyboards[1].device);
    start(bench, 2);
    check_types(bench, &keyboards[0]);
    check_types(bench, &keyboards[1]);
    usb_model_unplug(&hubs[1].device);
    usb_model_bench_run(bench, NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->host.bus.keyboards, 0);
    for (unsigned i = 0; i < 2; i++) {
        end(&keyboards[i]);
        usb_model_hub_end(&hubs[1 - i]);
    }
}

static void hostile_reports(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);
    uint64_t random = 1;

    start(bench, 1);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 8; i++) {
            uint8_t report[8];
            for (unsigned at = 0; at < sizeof(report); at++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                report[at] = (uint8_t)(random >> 56);
            }
            usb_model_keyboard_report(&keyboard, report, round % 3 ? random >> 60 & 7 : 8);
        }
        usb_model_bench_run(bench, MILLISECONDS(80));
        for (unsigned i = 0; i < bench->typed_count; i++)
            assert_true(bench->typed[i].usage > 3 && bench->typed[i].usage <= 0xe7);
        bench->typed_count = 0;
    }
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(100));
    bench->typed_count = 0;
    check_types(bench, &keyboard);
    end(&keyboard);
}

static void reports_too_long(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);
    const uint8_t report[16] = {0, 0, USAGE_A, 0, 0, 0, 0, 0, USAGE_B, USAGE_B, USAGE_B};

    start(bench, 1);
    usb_model_keyboard_report(&keyboard, report, sizeof(report));
    usb_model_bench_run(bench, MILLISECONDS(200));
    for (unsigned i = 0; i < bench->typed_count; i++)
        assert_int_not_equal(bench->typed[i].usage, USAGE_B);
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(200));
    bench->typed_count = 0;
    check_types(bench, &keyboard);
    end(&keyboard);
}

/* A short report that still holds a key is one. */
static void reports_cut_off(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);
    const uint8_t report[3] = {0, 0, USAGE_A};

    start(bench, 1);
    usb_model_keyboard_report(&keyboard, report, 3);
    usb_model_keyboard_report(&keyboard, report, 0);
    usb_model_keyboard_report(&keyboard, report, 1);
    usb_model_keyboard_report(&keyboard, report, 2);
    usb_model_keyboard_report(&keyboard, report, 3);
    send_keys(&keyboard, 0, 0, 0);
    usb_model_bench_run(bench, MILLISECONDS(200));
    CHECK_TYPED(bench, USAGE_A);
    end(&keyboard);
}

static unsigned resets_wanted;

/* A driver beside the keyboard's, on another interface of the same device, that has it reset. */
static unsigned other_matches(const struct usb_device *device, const struct usb_interface *interface)
{
    (void)device;
    return interface->class_code == 0xff;
}

static int other_attach(struct usb_device *device, const struct usb_interface *interface, struct usb_binding **binding,
                        struct error *error)
{
    (void)interface;
    (void)error;
    *binding = platform_allocate_zeroed(device->bus->platform, sizeof(**binding));
    return *binding ? 0 : -ERROR_NO_MEMORY;
}

/* The keyboard asks for service too: only what the test wants counts. */
static void other_service(struct usb_binding *binding)
{
    for (; resets_wanted; resets_wanted--)
        assert_int_equal(usb_device_reset(binding->device), 0);
}

static void other_detach(struct usb_binding *binding)
{
    platform_release(binding->device->bus->platform, binding);
}

/* Another interface's driver is at its wits' end: the keyboard forgets its protocol, and is told again. */
static void reset_by_somebody_else(void **state)
{
    static const struct usb_driver other = {.name = "other",
                                            .matches = other_matches,
                                            .attach = other_attach,
                                            .service = other_service,
                                            .detach = other_detach};
    static const struct usb_driver *const drivers[] = {&usb_keyboard_driver, &other, NULL};
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    usb_model_add_interface(&keyboard.device, 1, 0, 0xff, 0, 0);
    bench->host.bus.drivers = drivers;
    start(bench, 1);
    usb_model_keyboard_type(&keyboard, 0, USAGE_CAPS_LOCK);
    usb_model_bench_run(bench, MILLISECONDS(100));
    CHECK_TYPED(bench, USAGE_CAPS_LOCK);
    for (unsigned i = 0; i < 12; i++) {
        unsigned resets = keyboard.device.resets;
        resets_wanted = 1;
        usb_attention(bench->host.bus.devices);
        usb_model_bench_run(bench, 2 * NANOSECONDS_PER_SECOND);
        assert_true(keyboard.device.resets > resets);
        assert_int_equal(keyboard.protocol, 0);
        assert_int_equal(keyboard.leds, USB_LOCK_CAPS);
        assert_int_equal(bench->host.bus.keyboards, 1);
        check_types(bench, &keyboard);
    }
    end(&keyboard);
}

static void keyboard_without_endpoint(void **state)
{
    struct usb_model_bench *bench = *state;
    struct usb_model_device device;

    usb_model_device_init(&device, &(const struct usb_model_operations){0}, USB_SPEED_FULL, 0x1234, 0x5678, "K");
    usb_model_add_interface(&device, 0, 0, USB_CLASS_HID, USB_SUBCLASS_BOOT, USB_PROTOCOL_KEYBOARD);
    usb_model_plug(&bench->host.ports[0], &device);
    start(bench, 0);
    usb_model_unplug(&device);
}

static void every_keyboard_of_a_device(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with(state, &keyboard);

    usb_model_add_interface(&keyboard.device, 1, 0, USB_CLASS_HID, 0, 0);
    usb_model_add_endpoint(&keyboard.device, 0x82, USB_ENDPOINT_INTERRUPT, 8, 10, 0, 0);
    usb_model_add_interface(&keyboard.device, 2, 0, USB_CLASS_HID, USB_SUBCLASS_BOOT, USB_PROTOCOL_KEYBOARD);
    usb_model_add_endpoint(&keyboard.device, 0x83, USB_ENDPOINT_INTERRUPT, 8, 10, 0, 0);
    usb_model_add_interface(&keyboard.device, 3, 0, USB_CLASS_HID, USB_SUBCLASS_BOOT, 2); /* a mouse */
    usb_model_add_endpoint(&keyboard.device, 0x84, USB_ENDPOINT_INTERRUPT, 8, 10, 0, 0);
    start(bench, 2);
    usb_model_unplug(&keyboard.device);
    usb_model_bench_run(bench, NANOSECONDS_PER_SECOND);
    assert_int_equal(bench->host.bus.keyboards, 0);
    end(&keyboard);
}

/* A report in several packets, in one, and in one that has room for much more. */
static void packets_of_every_size(void **state)
{
    static const uint8_t sizes[] = {1, 2, 3, 4, 7, 8, 9, 16, 64};
    struct usb_model_bench *bench = *state;
    struct usb_model_keyboard keyboard;

    start(bench, 0);
    for (unsigned i = 0; i < sizeof(sizes); i++) {
        usb_model_keyboard_init(&keyboard, USB_SPEED_FULL);
        /* The endpoint's descriptor is the last; wMaxPacketSize is at 4 of its 7 bytes. */
        keyboard.device.configuration[keyboard.device.configuration_size - 3] = sizes[i];
        usb_model_plug(&bench->host.ports[0], &keyboard.device);
        usb_model_bench_run(bench, NANOSECONDS_PER_SECOND);
        assert_int_equal(bench->host.bus.keyboards, 1);
        check_types(bench, &keyboard);
        end(&keyboard);
        usb_model_bench_run(bench, NANOSECONDS_PER_SECOND);
    }
}

static void stopped_at_any_moment(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with_a_held(state, &keyboard);

    keyboard.stall_next = true;
    usb_model_bench_run(bench, MILLISECONDS(1));
    bench->typed_count = 0;
    usb_model_host_stop(&bench->host);
    assert_int_equal(bench->host.bus.keyboards, 0);
    check_silent(bench, MILLISECONDS(2000));
    usb_model_keyboard_end(&keyboard);
}

static void controller_dies(void **state)
{
    struct usb_model_keyboard keyboard;
    struct usb_model_bench *bench = bench_with_a_held(state, &keyboard);

    CHECK_TYPED(bench, USAGE_A);
    usb_model_host_die(&bench->host);
    check_silent(bench, MILLISECONDS(2000));
    assert_int_equal(bench->host.bus.keyboards, 0);
    usb_model_keyboard_end(&keyboard);
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, usb_model_bench_setup, usb_model_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BENCH(keyboard_comes_up),
        WITH_BENCH(every_speed),
        WITH_BENCH(only_what_is_new_is_a_key),
        WITH_BENCH(modifiers),
        WITH_BENCH(too_many_keys_at_once),
        WITH_BENCH(repeats),
        WITH_BENCH(missed_repeats_are_not_made_up_for),
        WITH_BENCH(locks_and_lamps),
        WITH_BENCH(one_state_of_the_locks),
        WITH_BENCH(refusals_are_tolerated),
        WITH_BENCH(stall_is_recovered_from),
        WITH_BENCH(stall_lets_go_of_all_keys),
        WITH_BENCH(broken_keyboard_is_left_alone),
        WITH_BENCH(keyboard_that_only_stalls),
        WITH_BENCH(mute_keyboard_is_none),
        WITH_BENCH(unplugged_and_plugged_again),
        WITH_BENCH(behind_hubs),
        WITH_BENCH(hostile_reports),
        WITH_BENCH(reports_too_long),
        WITH_BENCH(reports_cut_off),
        WITH_BENCH(reset_by_somebody_else),
        WITH_BENCH(keyboard_without_endpoint),
        WITH_BENCH(every_keyboard_of_a_device),
        WITH_BENCH(packets_of_every_size),
        WITH_BENCH(stopped_at_any_moment),
        WITH_BENCH(controller_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
