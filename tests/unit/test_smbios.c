/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read from the firmware's table of structures, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ui/smbios.h"

/* Structures as section 6.1 has them: type, length, handle, fields; then their strings, with two zeroes at the end. */
static const uint8_t table[] =
    "\x01\x1b\x01\x00"                                                 /* system */
    "\x01\x02\x00\x03"                                                 /* vendor, model, no version, serial */
    "\x44\x45\x4c\x4c\x42\x00\x10\x35\x80\x58\xb4\xc0\x4f\x4d\x4d\x32" /* UUID, its first three fields little-endian */
    "\x06\x00\x00"                                                     /* woken by the switch; no SKU, no family */
    "Dell Inc.\0OptiPlex 7010\0PC-21\0\0"                              /* */
    "\x11\x22\x02\x00\xfe\xff\xfe\xff\x40\x00\x40\x00\x00\x20\x09\x00" /* memory: 8 GiB in MiB */
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"                         /* */
    "\x11\x22\x03\x00\xfe\xff\xfe\xff\x40\x00\x40\x00\xff\x7f\x09\x00" /* memory: the extended size counts */
    "\0\0\0\0\0\0\0\0\0\0\0\0\x00\x80\x00\x00\0\0\0\0"                 /* 32 GiB */
    "\x11\x22\x04\x00\xfe\xff\xfe\xff\x40\x00\x40\x00\xff\xff\x09\x00" /* memory: size not known */
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"                         /* */
    "\x03\x09\x05\x00\x00\x03\x00\x00\x01"                             /* chassis: its asset tag is string 1 */
    "7\0\0"                                                            /* */
    "\x7f\x04\x06\x00\0";                                              /* end */

static const char *const names[] = {"vendor", "model", "serial", "asset tag", "board", "firmware", "uuid"};

static void test_what_it_says(void **state)
{
    static const char *const values[] = {
        "Dell Inc.", "OptiPlex 7010", "PC-21", "7", NULL, NULL, "4c4c4544-0042-3510-8058-b4c04f4d4d32"};
    char value[64];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool known = smbios_text(table, sizeof(table), names[i], value, sizeof(value));
        assert_int_equal(known, values[i] != NULL);
        if (known)
            assert_string_equal(value, values[i]);
    }
    assert_false(smbios_text(table, sizeof(table), "colour", value, sizeof(value)));
    assert_int_equal(smbios_memory(table, sizeof(table)), 40ULL << 30);
    assert_int_equal(smbios_memory(NULL, 0), 0);
    assert_false(smbios_text(NULL, 0, "serial", value, sizeof(value)));
}

static void read_all(const uint8_t *data, size_t size)
{
    /* Of exactly its size, so that AddressSanitizer sees a byte too many. */
    uint8_t *copy = malloc(size ? size : 1);
    char value[64];

    memcpy(copy, data, size);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (smbios_text(copy, size, names[i], value, sizeof(value)))
            assert_true(strlen(value) < sizeof(value));
    smbios_memory(copy, size);
    free(copy);
}

static void test_tables_that_are_cut_off_or_damaged(void **state)
{
    uint8_t damaged[sizeof(table)];

    (void)state;
    for (size_t size = 0; size <= sizeof(table); size++)
        read_all(table, size);
    for (size_t at = 0; at < sizeof(table); at++)
        for (unsigned value = 0; value < 256; value += 5) {
            memcpy(damaged, table, sizeof(table));
            damaged[at] = (uint8_t)value;
            read_all(damaged, sizeof(damaged));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_tables_that_are_cut_off_or_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
