/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a terminal become keys, in whatever pieces they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/platform.h"
#include "tools/terminal.h"

#define SECOND NANOSECONDS_PER_SECOND

static struct terminal_keys keys;
static uint64_t now;

static void type(const char *bytes)
{
    terminal_keys_add(&keys, bytes, strlen(bytes), now);
}

static void expect(enum key_code code, uint32_t character)
{
    struct key key;

    assert_true(terminal_keys_next(&keys, now, &key));
    assert_int_equal(key.code, code);
    if (code == KEY_CHARACTER)
        assert_int_equal(key.character, character);
}

static void expect_nothing(void)
{
    struct key key;

    assert_false(terminal_keys_next(&keys, now, &key));
}

static int set_up(void **state)
{
    (void)state;
    memset(&keys, 0, sizeof(keys));
    now = SECOND;
    return 0;
}

static void test_plain_keys(void **state)
{
    (void)state;
    type("a\r\t\x7f\x03中я");
    expect(KEY_CHARACTER, 'a');
    expect(KEY_ENTER, 0);
    expect(KEY_TAB, 0);
    expect(KEY_BACKSPACE, 0);
    expect(KEY_INTERRUPT, 0);
    expect(KEY_CHARACTER, 0x4e2d);
    expect(KEY_CHARACTER, 0x44f);
    expect_nothing();
}

static void test_sequences_in_pieces(void **state)
{
    (void)state;
    type("\x1b[A\x1bOB\x1b[5~x");
    expect(KEY_UP, 0);
    expect(KEY_DOWN, 0);
    expect(KEY_PAGE_UP, 0);
    expect(KEY_CHARACTER, 'x');
    type("\x1b");
    expect_nothing();
    type("[");
    expect_nothing();
    type("15");
    expect_nothing();
    type("~");
    expect(KEY_F5, 0);
    /* A key that no screen knows is passed over. */
    type("\x1b[24~y");
    expect(KEY_CHARACTER, 'y');
    type("\xe4\xb8");
    expect_nothing();
    type("\xad");
    expect(KEY_CHARACTER, 0x4e2d);
}

static void test_escape_is_a_key_after_a_while(void **state)
{
    (void)state;
    type("\x1b");
    expect_nothing();
    now += TERMINAL_ESCAPE_WAIT;
    expect(KEY_ESCAPE, 0);
    expect_nothing();
    type("\x1b\x1b[Bq");
    expect(KEY_ESCAPE, 0);
    expect(KEY_DOWN, 0);
    expect(KEY_CHARACTER, 'q');
    /* ESC and '[' typed by hand. */
    type("\x1b[");
    expect_nothing();
    now += SECOND;
    expect(KEY_ESCAPE, 0);
    expect(KEY_CHARACTER, '[');
}

static void test_garbage_ends(void **state)
{
    struct key key;
    unsigned value = 99;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char bytes[40];
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            value = value * 1103515245u + 12345u;
            bytes[i] = (value >> 28) == 0 ? '\x1b' : (value >> 28) < 4 ? '[' : (char)(value >> 16);
        }
        terminal_keys_add(&keys, bytes, 1 + value % sizeof(bytes), now);
        now += value >> 4;
        while (terminal_keys_next(&keys, now, &key))
            assert_true(key.code != KEY_CHARACTER || character_width(key.character));
    }
    now += SECOND;
    while (terminal_keys_next(&keys, now, &key))
        ;
    assert_int_equal(keys.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_plain_keys, set_up),
        cmocka_unit_test_setup(test_sequences_in_pieces, set_up),
        cmocka_unit_test_setup(test_escape_is_a_key_after_a_while, set_up),
        cmocka_unit_test_setup(test_garbage_ends, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
