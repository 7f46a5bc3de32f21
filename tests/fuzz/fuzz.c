/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/library.h"

static const struct fuzz_target targets[] = {
    {"image", FUZZ_IMAGE, fuzz_image},
    {"partition", FUZZ_DISK, fuzz_partition},
    {"fat", FUZZ_DISK, fuzz_fat},
    {"exfat", FUZZ_DISK, fuzz_exfat},
    {"ext", FUZZ_DISK, fuzz_ext},
    {"ntfs", FUZZ_DISK, fuzz_ntfs},
    {"swap_recognise", FUZZ_DISK, fuzz_swap_recognise},
    {"command", FUZZ_BYTES, fuzz_command},
    {"job", FUZZ_BYTES, fuzz_job},
    {"usb", FUZZ_BYTES, fuzz_usb},
};

const struct fuzz_target *fuzz_find(const char *name)
{
    const char *base = strrchr(name, '/');

    base = base ? base + 1 : name;
    if (strncmp(base, "fuzz_", 5) == 0)
        base += 5;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (strcmp(targets[i].name, base) == 0)
            return &targets[i];
    return NULL;
}

_Noreturn void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: this must hold: %s\n", file, line, condition);
    abort();
}

bool fuzz_accepted;

static struct test_platform test;

/* The leak sanitizer's, where it is linked in: says who allocated what was lost. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

struct platform *fuzz_begin(void)
{
    test_platform_init(&test);
    library_init(&test.platform);
    return &test.platform;
}

void fuzz_end(size_t most)
{
    library_init(NULL);
    if (test.allocations && __lsan_do_recoverable_leak_check)
        __lsan_do_recoverable_leak_check();
    fuzz_require(test.allocations == 0);
    fuzz_require(test.peak_bytes <= most);
    test_platform_end(&test);
}

/* RFC 3629: length of the character that begins here; 0: none does. */
static size_t character_length(const uint8_t *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = text[0] < 0x80 ? 1 : text[0] >> 5 == 6 ? 2 : text[0] >> 4 == 14 ? 3 : text[0] >> 3 == 30 ? 4 : 0;
    uint32_t code = length == 1 ? text[0] : (uint32_t)(text[0] & (0x7f >> length));

    for (size_t i = 1; i < length; i++) {
        if (text[i] >> 6 != 2)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (length == 0 || code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || code < 0x20 ||
        code == 0x7f)
        return 0;
    return length;
}

bool fuzz_text_valid(const char *text, size_t field_size)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t length = strnlen(text, field_size), used;

    if (length == field_size)
        return false;
    for (size_t i = 0; i < length; i += used) {
        used = character_length(at + i);
        if (!used)
            return false;
    }
    return true;
}
