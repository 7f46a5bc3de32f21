/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our keyboards as a text input of the firmware (UEFI 2.10, sections 12.2 and 12.3), on a handle that its console
 * splitter takes for one more keyboard.
 *
 * Keys come in from the loop's poll and go out by calls of the firmware, which may arrive at raised TPL: the rings between the
 * two are touched at TPL_HIGH_LEVEL only, for a few instructions. Functions that somebody has registered for a key are called
 * from an event, at TPL_CALLBACK, never from inside the poll.
 */
#include "boot/efi_keyboard.h"

#include <string.h>

#include "boot/efi_firmware.h"
#include "core/loop.h"
#include "drivers/usb/usb_keyboard.h"

/* A handle with this on it is a console input device to EDK2's console splitter; its own platform driver puts it there. */
#define EFI_CONSOLE_IN_DEVICE_GUID                                                                                     \
    {                                                                                                                  \
        0xd3b36f2b, 0xd551, 0x11d4,                                                                                    \
        {                                                                                                              \
            0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d                                                             \
        }                                                                                                              \
    }

/* Vendor node (UEFI 2.10, section 10.3.2.5) of this application's keyboards. */
#define EIDOLON_KEYBOARD_GUID                                                                                          \
    {                                                                                                                  \
        0x2b1de0c9, 0x6a57, 0x4c0e,                                                                                    \
        {                                                                                                              \
            0x8a, 0xf1, 0x53, 0x7e, 0x90, 0xd4, 0x1c, 0x66                                                             \
        }                                                                                                              \
    }

#define RING_SIZE 64u

struct keyboard_path {
    VENDOR_DEVICE_PATH vendor;
    EFI_DEVICE_PATH end;
} __attribute__((packed));

struct typed_key {
    EFI_KEY_DATA data;
    UINT8 modifiers; /* enum usb_modifier: shift too where it was used up for the character */
};

/* A full one loses what comes, not what is there. */
struct key_ring {
    struct typed_key keys[RING_SIZE];
    unsigned first, count;
};

struct key_notify {
    struct key_notify *next;
    EFI_KEY_DATA key;
    EFI_KEY_NOTIFY_FUNCTION function; /* NULL: unregistered while functions are being called */
};

struct firmware_keyboard {
    SIMPLE_INPUT_INTERFACE simple;
    EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL extended;
    struct keyboard_path path;
    struct usb_keyboard_sink sink;
    struct firmware *firmware;
    struct loop *loop;
    EFI_HANDLE handle;
    EFI_EVENT notify_event;
    struct key_ring ring, to_notify;
    struct key_notify *notifies;
    unsigned notifying; /* functions are being called, so deep */
    UINT8 locks;        /* enum usb_lock */
    bool partial;       /* modifiers and locks by themselves are wanted (EFI_KEY_STATE_EXPOSED) */
    bool polling, typed;
};

static EFI_GUID simple_guid = EFI_SIMPLE_TEXT_INPUT_PROTOCOL_GUID;
static EFI_GUID extended_guid = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;
static EFI_GUID path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
static EFI_GUID console_in_guid = EFI_CONSOLE_IN_DEVICE_GUID;

static struct firmware_keyboard *keyboard_of_simple(SIMPLE_INPUT_INTERFACE *simple)
{
    return (struct firmware_keyboard *)((UINT8 *)simple - offsetof(struct firmware_keyboard, simple));
}

static struct firmware_keyboard *keyboard_of(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *extended)
{
    return (struct firmware_keyboard *)((UINT8 *)extended - offsetof(struct firmware_keyboard, extended));
}

/* --- rings --- */

static bool ring_put(struct firmware_keyboard *keyboard, struct key_ring *ring, const struct typed_key *key)
{
    EFI_TPL level = keyboard->firmware->boot->RaiseTPL(TPL_HIGH_LEVEL);
    bool fits = ring->count < RING_SIZE;

    if (fits)
        ring->keys[(ring->first + ring->count++) % RING_SIZE] = *key;
    keyboard->firmware->boot->RestoreTPL(level);
    return fits;
}

static bool ring_take(struct firmware_keyboard *keyboard, struct key_ring *ring, struct typed_key *key)
{
    EFI_TPL level = keyboard->firmware->boot->RaiseTPL(TPL_HIGH_LEVEL);
    bool taken = ring->count > 0;

    if (taken) {
        *key = ring->keys[ring->first];
        ring->first = (ring->first + 1) % RING_SIZE;
        ring->count--;
    }
    keyboard->firmware->boot->RestoreTPL(level);
    return taken;
}

/* --- what the keyboards say --- */

static EFI_KEY_TOGGLE_STATE toggle_state(const struct firmware_keyboard *keyboard)
{
    unsigned state = EFI_TOGGLE_STATE_VALID;

    if (keyboard->partial)
        state |= EFI_KEY_STATE_EXPOSED;
    if (keyboard->locks & USB_LOCK_NUM)
        state |= EFI_NUM_LOCK_ACTIVE;
    if (keyboard->locks & USB_LOCK_CAPS)
        state |= EFI_CAPS_LOCK_ACTIVE;
    if (keyboard->locks & USB_LOCK_SCROLL)
        state |= EFI_SCROLL_LOCK_ACTIVE;
    return (EFI_KEY_TOGGLE_STATE)state;
}

static UINT32 shift_state(unsigned modifiers)
{
    static const UINT32 states[8] = {EFI_LEFT_CONTROL_PRESSED, EFI_LEFT_SHIFT_PRESSED,    EFI_LEFT_ALT_PRESSED,
                                     EFI_LEFT_LOGO_PRESSED,    EFI_RIGHT_CONTROL_PRESSED, EFI_RIGHT_SHIFT_PRESSED,
                                     EFI_RIGHT_ALT_PRESSED,    EFI_RIGHT_LOGO_PRESSED};
    UINT32 state = EFI_SHIFT_STATE_VALID;

    for (unsigned i = 0; i < 8; i++)
        if (modifiers & 1u << i)
            state |= states[i];
    return state;
}

/* A state of 0 in what was registered fits any (UEFI 2.10, 12.2.3, RegisterKeyNotify). */
static bool notify_fits(const EFI_KEY_DATA *wanted, const EFI_KEY_DATA *key)
{
    return wanted->Key.ScanCode == key->Key.ScanCode && wanted->Key.UnicodeChar == key->Key.UnicodeChar &&
           (!wanted->KeyState.KeyShiftState || wanted->KeyState.KeyShiftState == key->KeyState.KeyShiftState) &&
           (!wanted->KeyState.KeyToggleState || wanted->KeyState.KeyToggleState == key->KeyState.KeyToggleState);
}

static bool somebody_wants(const struct firmware_keyboard *keyboard, const EFI_KEY_DATA *key)
{
    EFI_TPL level = keyboard->firmware->boot->RaiseTPL(TPL_HIGH_LEVEL); /* nobody unregisters meanwhile */
    bool wanted = false;

    for (const struct key_notify *notify = keyboard->notifies; notify; notify = notify->next)
        wanted = wanted || (notify->function && notify_fits(&notify->key, key));
    keyboard->firmware->boot->RestoreTPL(level);
    return wanted;
}

/* Inside poll(), at TPL_CALLBACK at most. */
static void take_key(const struct usb_keyboard_sink *sink, const struct usb_key *key)
{
    struct firmware_keyboard *keyboard = sink->context;
    unsigned modifiers = key->modifiers;
    struct usb_keystroke keystroke;

    keyboard->typed = true;
    if (!usb_keystroke_of(key, &keystroke))
        return;
    if (!keystroke.scan_code && !keystroke.character && !keyboard->partial)
        return;
    if (keystroke.shift_used)
        modifiers &= ~(unsigned)USB_MODIFIERS_SHIFT;
    struct typed_key typed = {
        .modifiers = key->modifiers,
        .data.Key = {.ScanCode = keystroke.scan_code, .UnicodeChar = keystroke.character},
        .data.KeyState = {.KeyShiftState = shift_state(modifiers), .KeyToggleState = toggle_state(keyboard)}};
    ring_put(keyboard, &keyboard->ring, &typed);
    if (somebody_wants(keyboard, &typed.data) && ring_put(keyboard, &keyboard->to_notify, &typed))
        keyboard->firmware->boot->SignalEvent(keyboard->notify_event);
}

/* --- notifications --- */

static void sweep_notifies(struct firmware_keyboard *keyboard)
{
    struct key_notify **link = &keyboard->notifies, *notify;

    while ((notify = *link) != NULL) {
        if (notify->function) {
            link = &notify->next;
            continue;
        }
        *link = notify->next;
        platform_release(&keyboard->firmware->platform, notify);
    }
}

/* A function may register and unregister, itself too: what goes is freed when the last walk has ended. */
static VOID EFIAPI call_functions(EFI_EVENT event, VOID *context)
{
    struct firmware_keyboard *keyboard = context;
    struct typed_key key;

    (void)event;
    keyboard->notifying++;
    while (ring_take(keyboard, &keyboard->to_notify, &key)) {
        for (struct key_notify *notify = keyboard->notifies; notify; notify = notify->next) {
            EFI_KEY_DATA data = key.data;
            if (notify->function && notify_fits(&notify->key, &data))
                notify->function(&data);
        }
    }
    if (--keyboard->notifying == 0)
        sweep_notifies(keyboard);
}

static EFI_STATUS EFIAPI register_notify(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *self, EFI_KEY_DATA *key,
                                         EFI_KEY_NOTIFY_FUNCTION function, VOID **handle)
{
    if (!key || !function || !handle)
        return EFI_INVALID_PARAMETER;
    struct firmware_keyboard *keyboard = keyboard_of(self);
    struct key_notify *notify = platform_allocate_zeroed(&keyboard->firmware->platform, sizeof(*notify));
    if (!notify)
        return EFI_OUT_OF_RESOURCES;
    notify->key = *key;
    notify->function = function;
    notify->next = keyboard->notifies;
    keyboard->notifies = notify;
    *handle = notify;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI unregister_notify(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *self, VOID *handle)
{
    struct firmware_keyboard *keyboard = keyboard_of(self);

    for (struct key_notify *notify = keyboard->notifies; handle && notify; notify = notify->next) {
        if (notify != handle || !notify->function)
            continue;
        notify->function = NULL;
        if (!keyboard->notifying)
            sweep_notifies(keyboard);
        return EFI_SUCCESS;
    }
    return EFI_INVALID_PARAMETER;
}

/* --- reading --- */

/*
 * Lets keys come in, when that is sure not to happen in the middle of our own work: somebody below reads keys on the program's
 * level, or our loop is not running at all (the program waits inside the firmware).
 */
static void poll_keyboards(struct firmware_keyboard *keyboard)
{
    EFI_BOOT_SERVICES *boot = keyboard->firmware->boot;

    if (keyboard->polling || keyboard->ring.count)
        return;
    /* A level can be asked for only by raising it. */
    EFI_TPL level = boot->RaiseTPL(TPL_HIGH_LEVEL);
    boot->RestoreTPL(level);
    bool resting = keyboard->loop->depth == 0 && !keyboard->loop->cursors;
    if (level > TPL_CALLBACK || (level > TPL_APPLICATION && !resting))
        return;
    keyboard->polling = true;
    loop_poll(keyboard->loop);
    keyboard->polling = false;
}

static VOID EFIAPI wait_for_key(EFI_EVENT event, VOID *context)
{
    struct firmware_keyboard *keyboard = context;

    poll_keyboards(keyboard);
    if (keyboard->ring.count)
        keyboard->firmware->boot->SignalEvent(event);
}

static EFI_STATUS EFIAPI read_extended(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *self, EFI_KEY_DATA *data)
{
    struct firmware_keyboard *keyboard = keyboard_of(self);
    struct typed_key key;

    if (!data)
        return EFI_INVALID_PARAMETER;
    poll_keyboards(keyboard);
    if (ring_take(keyboard, &keyboard->ring, &key)) {
        *data = key.data;
        return EFI_SUCCESS;
    }
    memset(data, 0, sizeof(*data));
    data->KeyState.KeyShiftState = EFI_SHIFT_STATE_VALID;
    data->KeyState.KeyToggleState = toggle_state(keyboard);
    return EFI_NOT_READY;
}

/* Without a word about modifiers: control has to be in the character. */
static EFI_STATUS EFIAPI read_simple(SIMPLE_INPUT_INTERFACE *self, EFI_INPUT_KEY *to)
{
    struct firmware_keyboard *keyboard = keyboard_of_simple(self);
    struct typed_key key;

    if (!to)
        return EFI_INVALID_PARAMETER;
    poll_keyboards(keyboard);
    while (ring_take(keyboard, &keyboard->ring, &key)) {
        if (!key.data.Key.ScanCode && !key.data.Key.UnicodeChar)
            continue;
        to->ScanCode = key.data.Key.ScanCode;
        to->UnicodeChar = usb_keystroke_control(key.data.Key.UnicodeChar, key.modifiers);
        return EFI_SUCCESS;
    }
    return EFI_NOT_READY;
}

static EFI_STATUS EFIAPI reset_extended(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *self, BOOLEAN verify)
{
    struct firmware_keyboard *keyboard = keyboard_of(self);
    struct typed_key key;

    (void)verify;
    while (ring_take(keyboard, &keyboard->ring, &key))
        ;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI reset_simple(SIMPLE_INPUT_INTERFACE *self, BOOLEAN verify)
{
    return reset_extended(&keyboard_of_simple(self)->extended, verify);
}

static EFI_STATUS EFIAPI set_state(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *self, EFI_KEY_TOGGLE_STATE *state)
{
    struct firmware_keyboard *keyboard = keyboard_of(self);
    const unsigned known = EFI_TOGGLE_STATE_VALID | EFI_KEY_STATE_EXPOSED | EFI_SCROLL_LOCK_ACTIVE |
                           EFI_NUM_LOCK_ACTIVE | EFI_CAPS_LOCK_ACTIVE;

    if (!state)
        return EFI_INVALID_PARAMETER;
    if (!(*state & EFI_TOGGLE_STATE_VALID) || (*state & ~known))
        return EFI_UNSUPPORTED;
    keyboard->partial = *state & EFI_KEY_STATE_EXPOSED;
    /* The lamps follow when the loop runs. */
    keyboard->locks = (UINT8)((*state & EFI_NUM_LOCK_ACTIVE ? USB_LOCK_NUM : 0) |
                              (*state & EFI_CAPS_LOCK_ACTIVE ? USB_LOCK_CAPS : 0) |
                              (*state & EFI_SCROLL_LOCK_ACTIVE ? USB_LOCK_SCROLL : 0));
    return EFI_SUCCESS;
}

bool firmware_keyboard_read(struct firmware *firmware, EFI_INPUT_KEY *key)
{
    return firmware->keyboard && !EFI_ERROR(read_simple(&firmware->keyboard->simple, key));
}

void firmware_keyboard_protocols(struct firmware *firmware, SIMPLE_INPUT_INTERFACE **simple,
                                 EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL **extended)
{
    *simple = &firmware->keyboard->simple;
    *extended = &firmware->keyboard->extended;
}

/* --- coming and going --- */

static void fill(struct firmware_keyboard *keyboard)
{
    static const EFI_GUID guid = EIDOLON_KEYBOARD_GUID;
    struct keyboard_path *path = &keyboard->path;

    path->vendor.Header.Type = HARDWARE_DEVICE_PATH;
    path->vendor.Header.SubType = HW_VENDOR_DP;
    SetDevicePathNodeLength(&path->vendor.Header, sizeof(path->vendor));
    memcpy(&path->vendor.Guid, &guid, sizeof(guid));
    SetDevicePathEndNode(&path->end);

    keyboard->simple.Reset = reset_simple;
    keyboard->simple.ReadKeyStroke = read_simple;
    keyboard->extended.Reset = reset_extended;
    keyboard->extended.ReadKeyStrokeEx = read_extended;
    keyboard->extended.SetState = set_state;
    keyboard->extended.RegisterKeyNotify = register_notify;
    keyboard->extended.UnregisterKeyNotify = unregister_notify;
    keyboard->sink.key = take_key;
    keyboard->sink.locks = &keyboard->locks;
    keyboard->sink.context = keyboard;
}

/* wait_for_key() polls, so it does not run above TPL_CALLBACK; who looks at the event from above sees it a little later. */
static EFI_STATUS create_events(struct firmware_keyboard *keyboard)
{
    EFI_BOOT_SERVICES *boot = keyboard->firmware->boot;
    EFI_STATUS status =
        boot->CreateEvent(EVT_NOTIFY_WAIT, TPL_CALLBACK, wait_for_key, keyboard, &keyboard->simple.WaitForKey);

    if (EFI_ERROR(status))
        return status;
    status = boot->CreateEvent(EVT_NOTIFY_WAIT, TPL_CALLBACK, wait_for_key, keyboard, &keyboard->extended.WaitForKeyEx);
    if (EFI_ERROR(status))
        return status;
    return boot->CreateEvent(EVT_NOTIFY_SIGNAL, TPL_CALLBACK, call_functions, keyboard, &keyboard->notify_event);
}

static void free_keyboard(struct firmware_keyboard *keyboard)
{
    EFI_BOOT_SERVICES *boot = keyboard->firmware->boot;
    EFI_EVENT events[] = {keyboard->simple.WaitForKey, keyboard->extended.WaitForKeyEx, keyboard->notify_event};

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i])
            boot->CloseEvent(events[i]);
    while (keyboard->notifies) {
        struct key_notify *notify = keyboard->notifies;
        keyboard->notifies = notify->next;
        platform_release(&keyboard->firmware->platform, notify);
    }
    platform_release(&keyboard->firmware->platform, keyboard);
}

int machine_keyboard_start(struct machine *machine, struct error *error)
{
    struct firmware *firmware = machine->firmware;
    EFI_BOOT_SERVICES *boot = firmware->boot;

    if (firmware->keyboard)
        return 0;
    struct firmware_keyboard *keyboard = platform_allocate_zeroed(&firmware->platform, sizeof(*keyboard));
    if (!keyboard)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "", ERROR_NO_BLOCK, "no memory for the keyboard");
    keyboard->firmware = firmware;
    keyboard->loop = &machine->loop;
    fill(keyboard);
    EFI_STATUS status = create_events(keyboard);
    if (!EFI_ERROR(status))
        status = boot->InstallMultipleProtocolInterfaces(&keyboard->handle, &path_guid, &keyboard->path, &simple_guid,
                                                         &keyboard->simple, &extended_guid, &keyboard->extended,
                                                         &console_in_guid, NULL, NULL);
    if (EFI_ERROR(status)) {
        free_keyboard(keyboard);
        return error_set(error, (enum error_code) - firmware_error(status), OPERATION_OPEN, "", ERROR_NO_BLOCK,
                         "the firmware refuses the keyboard");
    }
    firmware->keyboard = keyboard;
    /* Where no console takes it up, efi_console.c reads it by itself. */
    boot->ConnectController(keyboard->handle, NULL, NULL, TRUE);
    return 0;
}

/* Who still has it open after the handle was disconnected: their claim is dropped. */
static void close_users(struct firmware_keyboard *keyboard, EFI_GUID *guid)
{
    EFI_BOOT_SERVICES *boot = keyboard->firmware->boot;
    EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *users = NULL;
    UINTN count = 0;

    if (EFI_ERROR(boot->OpenProtocolInformation(keyboard->handle, guid, &users, &count)))
        return;
    for (UINTN i = 0; i < count; i++)
        boot->CloseProtocol(keyboard->handle, guid, users[i].AgentHandle, users[i].ControllerHandle);
    firmware_free(keyboard->firmware, users);
}

static bool uninstall(struct firmware_keyboard *keyboard, EFI_GUID *guid, VOID *interface)
{
    EFI_BOOT_SERVICES *boot = keyboard->firmware->boot;

    if (!EFI_ERROR(boot->UninstallProtocolInterface(keyboard->handle, guid, interface)))
        return true;
    close_users(keyboard, guid);
    return !EFI_ERROR(boot->UninstallProtocolInterface(keyboard->handle, guid, interface));
}

void machine_keyboard_stop(struct machine *machine)
{
    struct firmware *firmware = machine->firmware;
    struct firmware_keyboard *keyboard = firmware->keyboard;

    if (!keyboard)
        return;
    firmware->keyboard = NULL;
    firmware->boot->DisconnectController(keyboard->handle, NULL, NULL);
    /* The firmware may have taken this one off itself, as if it were its own. */
    firmware->boot->UninstallProtocolInterface(keyboard->handle, &console_in_guid, NULL);
    bool gone = uninstall(keyboard, &extended_guid, &keyboard->extended);
    gone &= uninstall(keyboard, &simple_guid, &keyboard->simple);
    gone &= uninstall(keyboard, &path_guid, &keyboard->path);
    if (gone)
        free_keyboard(keyboard);
    else
        platform_log(&firmware->platform, LOG_WARNING, "the firmware does not let go of the keyboard");
}

const struct usb_keyboard_sink *machine_keyboard_sink(struct machine *machine)
{
    return machine->firmware->keyboard ? &machine->firmware->keyboard->sink : NULL;
}

bool machine_keyboard_has_typed(struct machine *machine)
{
    return machine->firmware->keyboard && machine->firmware->keyboard->typed;
}
