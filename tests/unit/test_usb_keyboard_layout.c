/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What keys mean: the US layout, and the firmware's scan codes (UEFI 2.10, tables 12.2 and 12.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/usb/usb_keyboard.h"

#define USAGE_A 0x04

static struct usb_keystroke stroke(uint8_t usage, uint8_t modifiers, bool caps, bool num)
{
    const struct usb_key key = {.usage = usage, .modifiers = modifiers, .caps_lock = caps, .num_lock = num};
    struct usb_keystroke keystroke;

    assert_true(usb_keystroke_of(&key, &keystroke));
    return keystroke;
}

static void check_stroke(struct usb_keystroke keystroke, uint16_t scan_code, uint16_t character, bool shift_used)
{
    assert_int_equal(keystroke.scan_code, scan_code);
    assert_int_equal(keystroke.character, character);
    assert_int_equal(keystroke.shift_used, shift_used);
}

static void letters(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 26; i++) {
        uint8_t usage = (uint8_t)(USAGE_A + i);
        uint16_t small = (uint16_t)('a' + i), big = (uint16_t)('A' + i);
        check_stroke(stroke(usage, 0, false, false), 0, small, false);
        check_stroke(stroke(usage, USB_MODIFIER_LEFT_SHIFT, false, true), 0, big, true);
        check_stroke(stroke(usage, USB_MODIFIER_RIGHT_SHIFT, false, false), 0, big, true);
        check_stroke(stroke(usage, 0, true, false), 0, big, false);
        check_stroke(stroke(usage, USB_MODIFIERS_SHIFT, true, false), 0, small, true);
        check_stroke(stroke(usage, USB_MODIFIER_LEFT_ALT | USB_MODIFIERS_CONTROL, false, false), 0, small, false);
    }
}

static void signs(void **state)
{
    static const struct {
        uint8_t first;
        const char *plain, *shifted;
    } rows[] = {
        {0x1e, "1234567890", "!@#$%^&*()"},
        {0x2d, "-=[]\\\\;'`,./", "_+{}||:\"~<>?"},
        {0x64, "\\", "|"},
    };

    (void)state;
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        for (unsigned i = 0; rows[row].plain[i]; i++) {
            uint8_t usage = (uint8_t)(rows[row].first + i);
            check_stroke(stroke(usage, 0, true, true), 0, (uint8_t)rows[row].plain[i], false);
            check_stroke(stroke(usage, USB_MODIFIER_LEFT_SHIFT, true, true), 0, (uint8_t)rows[row].shifted[i], true);
        }
    }
}

static void keys_without_layout(void **state)
{
    static const struct {
        uint8_t usage;
        uint16_t scan_code, character;
    } keys[] = {
        {0x28, 0, '\r'}, {0x29, 0x17, 0}, {0x2a, 0, '\b'}, {0x2b, 0, '\t'}, {0x2c, 0, ' '},  {0x3a, 0x0b, 0},
        {0x43, 0x14, 0}, {0x44, 0x15, 0}, {0x45, 0x16, 0}, {0x48, 0x48, 0}, {0x49, 0x07, 0}, {0x4a, 0x05, 0},
        {0x4b, 0x09, 0}, {0x4c, 0x08, 0}, {0x4d, 0x06, 0}, {0x4e, 0x0a, 0}, {0x4f, 0x03, 0}, {0x50, 0x04, 0},
        {0x51, 0x02, 0}, {0x52, 0x01, 0}, {0x54, 0, '/'},  {0x55, 0, '*'},  {0x56, 0, '-'},  {0x57, 0, '+'},
        {0x58, 0, '\r'}, {0x67, 0, '='},  {0x68, 0x68, 0}, {0x73, 0x73, 0}, {0x39, 0, 0},    {0x47, 0, 0},
        {0x53, 0, 0},    {0xe0, 0, 0},    {0xe7, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (unsigned modifiers = 0; modifiers < 256; modifiers++)
            check_stroke(stroke(keys[i].usage, (uint8_t)modifiers, modifiers & 1, modifiers & 2), keys[i].scan_code,
                         keys[i].character, false);
}

static void keypad(void **state)
{
    static const char digits[] = "1234567890.";
    static const uint16_t scan_codes[] = {0x06, 0x02, 0x0a, 0x04, 0, 0x03, 0x05, 0x01, 0x09, 0x07, 0x08};

    (void)state;
    for (unsigned i = 0; digits[i]; i++) {
        uint8_t usage = (uint8_t)(0x59 + i);
        struct usb_key without = {.usage = usage}, shifted = {.usage = usage, .modifiers = 2, .num_lock = true};
        struct usb_keystroke keystroke;
        check_stroke(stroke(usage, 0, false, true), 0, (uint8_t)digits[i], false);
        assert_int_equal(usb_keystroke_of(&without, &keystroke), scan_codes[i] != 0);
        check_stroke(keystroke, scan_codes[i], 0, false);
        assert_int_equal(usb_keystroke_of(&shifted, &keystroke), scan_codes[i] != 0);
        check_stroke(keystroke, scan_codes[i], 0, true);
    }
}

static void control_and_a_letter(void **state)
{
    (void)state;
    assert_int_equal(usb_keystroke_control('c', USB_MODIFIER_LEFT_CONTROL), 3);
    assert_int_equal(usb_keystroke_control('C', USB_MODIFIER_RIGHT_CONTROL), 3);
    assert_int_equal(usb_keystroke_control('a', USB_MODIFIERS_CONTROL), 1);
    assert_int_equal(usb_keystroke_control('z', USB_MODIFIERS_CONTROL), 26);
    assert_int_equal(usb_keystroke_control('c', USB_MODIFIERS_SHIFT), 'c');
    assert_int_equal(usb_keystroke_control('[', USB_MODIFIERS_CONTROL), '[');
    assert_int_equal(usb_keystroke_control('1', USB_MODIFIERS_CONTROL), '1');
    assert_int_equal(usb_keystroke_control(0, USB_MODIFIERS_CONTROL), 0);
}

static void every_usage_means_one_thing_or_none(void **state)
{
    (void)state;
    for (unsigned usage = 0; usage < 256; usage++) {
        for (unsigned bits = 0; bits < 16; bits++) {
            struct usb_key key = {.usage = (uint8_t)usage,
                                  .modifiers = bits & 1 ? USB_MODIFIER_LEFT_SHIFT : 0,
                                  .caps_lock = bits & 2,
                                  .num_lock = bits & 4};
            struct usb_keystroke keystroke;
            bool means = usb_keystroke_of(&key, &keystroke);
            assert_false(keystroke.scan_code && keystroke.character);
            assert_true(keystroke.character < 0x7f && keystroke.scan_code <= 0x81);
            if (!means)
                assert_false(keystroke.scan_code || keystroke.character);
            /* The errors of a report, and what no keyboard has. */
            if (usage < USAGE_A || usage > 0xe7 || (usage > 0x81 && usage < 0xe0))
                assert_false(means);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters),
        cmocka_unit_test(signs),
        cmocka_unit_test(keys_without_layout),
        cmocka_unit_test(keypad),
        cmocka_unit_test(control_and_a_letter),
        cmocka_unit_test(every_usage_means_one_thing_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
