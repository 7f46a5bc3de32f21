/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firmware's text console, the log ring, and the emulator's debug port. */
#include <cpuid.h>
#include <string.h>

#include "boot/efi_firmware.h"

#define DEBUG_CONSOLE_PORT 0x403
#define DEBUG_CONSOLE_ANSWER 0xe9
#define CPUID_HYPERVISOR (1u << 31)
#define KEY_CHECK_INTERVAL (100 * NANOSECONDS_PER_MILLISECOND)
#define KEY_CONTROL_C 3

static UINT8 port_read8(UINT16 port)
{
    UINT8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static void port_write8(UINT16 port, UINT8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

void firmware_console_start(struct firmware *firmware)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware->system->ConOut;
    unsigned a, b, c, d;
    UINTN columns = 0, rows = 0;

    firmware->columns = 80;
    firmware->rows = 25;
    if (out && out->Mode && out->Mode->Mode >= 0 &&
        !EFI_ERROR(out->QueryMode(out, (UINTN)out->Mode->Mode, &columns, &rows)) && columns >= 40 && columns <= 1000) {
        firmware->columns = (unsigned)columns;
        firmware->rows = (unsigned)rows;
    }
    firmware->emulated = __get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_HYPERVISOR);
    /* The port is touched on emulated machines only. */
    firmware->debug_console = firmware->emulated && port_read8(DEBUG_CONSOLE_PORT) == DEBUG_CONSOLE_ANSWER;
}

void firmware_console_write(struct firmware *firmware, const char *text, size_t size)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware->system->ConOut;

    if (!out)
        return;
    while (size) {
        CHAR16 units[130];
        const char *newline = memchr(text, '\n', size);
        size_t part = newline ? (size_t)(newline - text) : size;
        if (part > 120) {
            part = 120;
            newline = NULL;
            /* Not in the middle of a character. */
            while (part > 110 && ((unsigned char)text[part] & 0xc0) == 0x80)
                part--;
        }
        size_t used = text_to_ucs2(units, 128, text, part);
        if (newline) {
            units[used++] = '\r';
            units[used++] = '\n';
            part++;
        }
        units[used] = 0;
        out->OutputString(out, units);
        text += part;
        size -= part;
    }
}

static void debug_write(const char *text, size_t size)
{
    while (size--)
        port_write8(DEBUG_CONSOLE_PORT, (UINT8)*text++);
}

static void ring_write(struct firmware *firmware, const char *text, size_t size)
{
    while (size--)
        firmware->log_ring[firmware->log_written++ % LOG_RING_SIZE] = *text++;
}

void firmware_log(struct platform *platform, enum log_level level, const char *line)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct firmware *firmware = firmware_of(platform);
    UINT64 milliseconds = firmware_now(platform) / NANOSECONDS_PER_MILLISECOND;
    char head[40];
    size_t at = sizeof(head);

    /* "[   12.345] warning: ", made from the back. */
    const char *name = names[level <= LOG_ERROR ? level : LOG_ERROR];
    size_t name_length = strlen(name);
    head[--at] = ' ';
    head[--at] = ':';
    at -= name_length;
    memcpy(head + at, name, name_length);
    head[--at] = ' ';
    head[--at] = ']';
    for (unsigned digit = 0; digit < 4 || milliseconds; digit++) {
        if (digit == 3)
            head[--at] = '.';
        head[--at] = (char)('0' + milliseconds % 10);
        milliseconds /= 10;
        if (at < 4)
            break;
    }
    head[--at] = '[';

    ring_write(firmware, head + at, sizeof(head) - at);
    ring_write(firmware, line, strlen(line));
    ring_write(firmware, "\n", 1);
    if (firmware->debug_console) {
        debug_write(head + at, sizeof(head) - at);
        debug_write(line, strlen(line));
        debug_write("\n", 1);
    }
    if (level >= LOG_WARNING && !firmware->quiet) {
        firmware_console_write(firmware, name, name_length);
        firmware_console_write(firmware, ": ", 2);
        firmware_console_write(firmware, line, strlen(line));
        firmware_console_write(firmware, "\n", 1);
    }
}

/* One key, if there is one: from the firmware's console, or from keyboards of ours that it did not take up. */
static bool key_now(struct firmware *firmware, EFI_INPUT_KEY *key)
{
    SIMPLE_INPUT_INTERFACE *in = firmware->system->ConIn;

    if (in && !EFI_ERROR(in->ReadKeyStroke(in, key)) && (key->ScanCode || key->UnicodeChar))
        return true;
    return firmware_keyboard_read(firmware, key);
}

bool firmware_cancel_requested(struct platform *platform)
{
    struct firmware *firmware = firmware_of(platform);
    UINT64 now = firmware_now(platform);
    EFI_INPUT_KEY key;

    if (firmware->cancelled || firmware->screen || now < firmware->next_key_check)
        return firmware->cancelled;
    firmware->next_key_check = now + KEY_CHECK_INTERVAL;
    while (key_now(firmware, &key)) {
        if (key.ScanCode == SCAN_ESC || key.UnicodeChar == KEY_CONTROL_C)
            firmware->cancelled = true;
        else if (firmware->key_count < KEYS_MAX)
            firmware->keys[firmware->key_count++] = key;
    }
    return firmware->cancelled;
}

bool firmware_read_key(struct firmware *firmware, EFI_INPUT_KEY *key, UINT64 deadline)
{
    if (firmware->key_count) {
        *key = firmware->keys[0];
        memmove(firmware->keys, firmware->keys + 1, --firmware->key_count * sizeof(*key));
        return true;
    }
    while (!key_now(firmware, key)) {
        if (firmware_now(&firmware->platform) >= deadline)
            return false;
        firmware->boot->Stall(1000);
    }
    return true;
}

void machine_write(struct machine *machine, const char *text, size_t size)
{
    if (!machine->firmware->screen)
        firmware_console_write(machine->firmware, text, size);
    if (machine->firmware->debug_console)
        debug_write(text, size);
}

unsigned machine_columns(struct machine *machine)
{
    return machine->firmware->columns;
}

void machine_reset_cancel(struct machine *machine)
{
    machine->firmware->cancelled = false;
    machine->firmware->key_count = 0;
}

void machine_cancel(struct machine *machine)
{
    machine->firmware->cancelled = true;
}

/* The loop runs meanwhile: disks are plugged in and out, keyboards of ours too. */
static void wait_for_key(struct machine *machine, EFI_INPUT_KEY *key)
{
    while (!firmware_read_key(machine->firmware, key, 0))
        if (!loop_step(&machine->loop))
            machine->firmware->boot->Stall(1000);
}

bool machine_wait_key(struct machine *machine, uint64_t nanoseconds)
{
    uint64_t deadline = deadline_after(machine->platform, nanoseconds);
    EFI_INPUT_KEY key;

    while (!firmware_read_key(machine->firmware, &key, 0)) {
        if (platform_now(machine->platform) >= deadline)
            return false;
        if (!loop_step(&machine->loop))
            machine->firmware->boot->Stall(1000);
    }
    return true;
}

bool machine_read_line(struct machine *machine, char *line, size_t size)
{
    size_t used = 0;
    EFI_INPUT_KEY key;

    for (;;) {
        wait_for_key(machine, &key);
        if (key.ScanCode == SCAN_ESC || key.UnicodeChar == KEY_CONTROL_C)
            return false;
        if (key.UnicodeChar == '\r' || key.UnicodeChar == '\n')
            break;
        if (key.UnicodeChar == '\b' || key.UnicodeChar == 0x7f) {
            if (!used)
                continue;
            do
                used--;
            while (used && ((unsigned char)line[used] & 0xc0) == 0x80);
            machine_write(machine, "\b \b", 3);
        } else if (key.UnicodeChar >= ' ') {
            char text[4];
            size_t length = text_from_ucs2(text, sizeof(text), &key.UnicodeChar, 1);
            if (used + length + 1 > size)
                continue;
            memcpy(line + used, text, length);
            used += length;
            machine_write(machine, text, length);
        }
    }
    line[used] = 0;
    machine_write(machine, "\n", 1);
    return true;
}
