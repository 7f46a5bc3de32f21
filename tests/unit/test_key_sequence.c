/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that come as ESC and characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ui/screen/key_sequence.h"

/* Character by character, as they come. */
static enum key_sequence feed(const char *text, struct key *key)
{
    enum key_sequence state = KEY_SEQUENCE_MORE;

    for (unsigned length = 1; length <= strlen(text); length++) {
        assert_int_equal(state, KEY_SEQUENCE_MORE);
        state = key_sequence_find(text, length, key);
    }
    return state;
}

static void check_key(const char *text, enum key_code code)
{
    struct key key = {.code = KEY_CHARACTER};

    assert_int_equal(feed(text, &key), KEY_SEQUENCE_KEY);
    assert_int_equal(key.code, code);
}

static void test_keys_of_terminals(void **state)
{
    (void)state;
    check_key("[A", KEY_UP);
    check_key("OB", KEY_DOWN);
    check_key("[Z", KEY_BACK_TAB);
    check_key("OP", KEY_F1);
    check_key("[12~", KEY_F2);
    check_key("[15~", KEY_F5);
    check_key("[21~", KEY_F10);
    check_key("[[E", KEY_F5);
    check_key("[3~", KEY_DELETE);
    check_key("[5~", KEY_PAGE_UP);
    check_key("[1~", KEY_HOME);
    check_key("OF", KEY_END);
}

static void test_what_is_none(void **state)
{
    struct key key;

    (void)state;
    assert_int_equal(feed("x", &key), KEY_SEQUENCE_NONE);
    assert_int_equal(feed("1", &key), KEY_SEQUENCE_NONE);
    assert_int_equal(feed("[\x01", &key), KEY_SEQUENCE_NONE);
    assert_int_equal(key_sequence_find("", 0, &key), KEY_SEQUENCE_MORE);
    assert_int_equal(feed("[", &key), KEY_SEQUENCE_MORE);
    assert_int_equal(feed("O", &key), KEY_SEQUENCE_MORE);
    assert_int_equal(feed("[2", &key), KEY_SEQUENCE_MORE);
    /* Whole, of no use: Insert, F9, Ctrl+Up. */
    assert_int_equal(feed("[2~", &key), KEY_SEQUENCE_UNKNOWN);
    assert_int_equal(feed("[20~", &key), KEY_SEQUENCE_UNKNOWN);
    assert_int_equal(feed("[1;5A", &key), KEY_SEQUENCE_UNKNOWN);
    assert_int_equal(feed("OX", &key), KEY_SEQUENCE_UNKNOWN);
    assert_int_equal(feed("[[Z", &key), KEY_SEQUENCE_UNKNOWN);
    /* Without an end. */
    assert_int_equal(feed("[11111111111", &key), KEY_SEQUENCE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_terminals),
        cmocka_unit_test(test_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
