/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the self-check: keys that no keyboard has sent go into our text input and are read as programs of the firmware read
 * them, through its console where that has taken our keyboards up.
 */
#include <string.h>

#include "boot/efi_firmware.h"
#include "boot/efi_keyboard.h"
#include "drivers/usb/usb_keyboard.h"

#define USAGE_A 0x04
#define USAGE_C 0x06
#define USAGE_F5 0x3e
#define USAGE_LEFT_SHIFT 0xe1
#define LOOKS 5u /* the console looks at our event from a raised level, so the answer is a look late */

struct keyboard_check {
    struct firmware *firmware;
    const struct usb_keyboard_sink *sink;
    SIMPLE_INPUT_INTERFACE *simple;
    EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *extended;
    const char *failure; /* the first; NULL: none */
};

/* The function that the firmware calls gets the key and nothing else. */
static unsigned notified;

static EFI_STATUS EFIAPI count_key(EFI_KEY_DATA *key)
{
    notified += key->Key.ScanCode == SCAN_F5;
    return EFI_SUCCESS;
}

static void expect(struct keyboard_check *check, bool well, const char *failure)
{
    if (!well && !check->failure)
        check->failure = failure;
}

static void type(struct keyboard_check *check, uint8_t usage, uint8_t modifiers)
{
    const struct usb_key key = {.usage = usage, .modifiers = modifiers};

    check->sink->key(check->sink, &key);
}

static bool read(struct keyboard_check *check, CHAR16 character)
{
    EFI_INPUT_KEY key = {0};

    return !EFI_ERROR(check->simple->ReadKeyStroke(check->simple, &key)) && key.UnicodeChar == character;
}

/* What was typed before, and what a failed check has left. */
static void drain(SIMPLE_INPUT_INTERFACE *simple)
{
    EFI_INPUT_KEY key;

    for (unsigned i = 0; i < 200 && !EFI_ERROR(simple->ReadKeyStroke(simple, &key)); i++)
        ;
}

static bool waits_over(struct keyboard_check *check, EFI_EVENT event)
{
    for (unsigned i = 0; i < LOOKS; i++)
        if (!EFI_ERROR(check->firmware->boot->CheckEvent(event)))
            return true;
    return false;
}

static void check_reading(struct keyboard_check *check)
{
    EFI_KEY_DATA data = {0};

    expect(check, !waits_over(check, check->simple->WaitForKey), "a key is there that nobody has pressed");
    type(check, USAGE_A, USB_MODIFIER_LEFT_SHIFT);
    expect(check, waits_over(check, check->simple->WaitForKey), "who waits for a key does not wake up");
    expect(check, read(check, 'A'), "a letter does not arrive");
    type(check, USAGE_C, USB_MODIFIER_RIGHT_CONTROL);
    expect(check, read(check, 3), "control and C do not arrive");
    type(check, USAGE_C, USB_MODIFIER_RIGHT_CONTROL);
    expect(check, waits_over(check, check->extended->WaitForKeyEx), "who waits for a key does not wake up");
    expect(check,
           !EFI_ERROR(check->extended->ReadKeyStrokeEx(check->extended, &data)) &&
               (data.Key.UnicodeChar == 'c' || data.Key.UnicodeChar == 3) &&
               data.KeyState.KeyShiftState == (EFI_SHIFT_STATE_VALID | EFI_RIGHT_CONTROL_PRESSED),
           "modifiers do not arrive");
    expect(check, check->extended->ReadKeyStrokeEx(check->extended, &data) == EFI_NOT_READY, "a key arrives twice");
}

static void check_notification(struct keyboard_check *check)
{
    EFI_KEY_DATA wanted = {.Key = {.ScanCode = SCAN_F5}};
    VOID *handle = NULL;

    notified = 0;
    if (EFI_ERROR(check->extended->RegisterKeyNotify(check->extended, &wanted, count_key, &handle))) {
        expect(check, false, "nobody can be told of a key");
        return;
    }
    type(check, USAGE_F5, 0);
    type(check, USAGE_A, 0);
    expect(check, notified == 1, "who wants to be told of a key is not");
    expect(check, !EFI_ERROR(check->extended->UnregisterKeyNotify(check->extended, handle)),
           "who was told of a key cannot leave");
    type(check, USAGE_F5, 0);
    expect(check, notified == 1, "who has left is still told of keys");
    drain(check->simple);
}

static void check_locks(struct keyboard_check *check)
{
    EFI_KEY_TOGGLE_STATE on = EFI_TOGGLE_STATE_VALID | EFI_KEY_STATE_EXPOSED | EFI_CAPS_LOCK_ACTIVE;
    EFI_KEY_TOGGLE_STATE off = EFI_TOGGLE_STATE_VALID;
    EFI_KEY_DATA data = {0};

    expect(check, !EFI_ERROR(check->extended->SetState(check->extended, &on)) && *check->sink->locks == USB_LOCK_CAPS,
           "caps lock cannot be set");
    type(check, USAGE_LEFT_SHIFT, USB_MODIFIER_LEFT_SHIFT);
    expect(check,
           !EFI_ERROR(check->extended->ReadKeyStrokeEx(check->extended, &data)) && !data.Key.ScanCode &&
               !data.Key.UnicodeChar &&
               data.KeyState.KeyShiftState == (EFI_SHIFT_STATE_VALID | EFI_LEFT_SHIFT_PRESSED) &&
               data.KeyState.KeyToggleState == on,
           "a modifier by itself does not arrive");
    expect(check, !EFI_ERROR(check->extended->SetState(check->extended, &off)) && *check->sink->locks == 0,
           "caps lock cannot be taken back");
    type(check, USAGE_LEFT_SHIFT, USB_MODIFIER_LEFT_SHIFT);
    type(check, USAGE_A, 0);
    expect(check, read(check, 'a'), "a modifier by itself is taken for a key");
}

/* Does what comes from us come out of the firmware's console? Else our own protocols are what is left to check. */
static bool console_has_it(struct keyboard_check *check)
{
    EFI_GUID guid = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;
    EFI_SYSTEM_TABLE *system = check->firmware->system;

    check->simple = system->ConIn;
    if (!check->simple)
        return false;
    check->extended = firmware_handle_protocol(check->firmware, system->ConsoleInHandle, &guid);
    drain(check->simple);
    type(check, USAGE_A, 0);
    return read(check, 'a') && check->extended;
}

const char *machine_keyboard_check(struct machine *machine, bool *through_console)
{
    struct firmware *firmware = machine->firmware;
    bool started_before = firmware->keyboard != NULL;
    struct keyboard_check check = {.firmware = firmware};

    if (machine_keyboard_start(machine, NULL) != 0)
        return "the firmware refuses it";
    check.sink = machine_keyboard_sink(machine);
    UINT8 locks = *check.sink->locks;
    *through_console = console_has_it(&check);
    if (!*through_console)
        firmware_keyboard_protocols(firmware, &check.simple, &check.extended);
    drain(check.simple);
    check_reading(&check);
    drain(check.simple);
    check_notification(&check);
    drain(check.simple);
    check_locks(&check);
    drain(check.simple);
    *check.sink->locks = locks;
    if (!started_before)
        machine_keyboard_stop(machine);
    return check.failure;
}
