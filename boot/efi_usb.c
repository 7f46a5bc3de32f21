/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB controllers change hands: an xHCI is the firmware's until a command needs a disk on it, for the boot stick and the only
 * keyboard may hang on it too. Then it is taken, our drivers serve all that is plugged into it, and it must prove itself: the
 * disks that are needed and a keyboard must answer, or it goes back and the firmware's drivers do the work.
 */
#include <stdio.h>
#include <string.h>

#include "boot/efi_devices.h"
#include "boot/efi_keyboard.h"
#include "drivers/usb/xhci.h"

/* Policy. */
#define PROOF_TIME (10 * NANOSECONDS_PER_SECOND) /* for disks and keyboards to answer to our drivers */
#define SETTLE_TIME (5 * NANOSECONDS_PER_SECOND) /* for everything that is plugged in */
#define RETURN_TIME (5 * NANOSECONDS_PER_SECOND) /* for disks to answer to the firmware again */
#define RETURN_INTERVAL (200 * NANOSECONDS_PER_MILLISECOND)
#define NEEDED_MAX 18 /* a command's disks and the boot disk */

static EFI_GUID usb_io_guid = EFI_USB_IO_PROTOCOL_GUID;
static EFI_GUID block_io_guid = EFI_BLOCK_IO_PROTOCOL_GUID;

/* An xHCI of the machine, whoever has it. */
struct usb_controller {
    struct usb_controller *next;
    struct pci_device *pci;
    struct xhci *xhci;                       /* NULL: it is the firmware's */
    char place[16];                          /* for messages */
    bool chosen;                             /* is being taken */
    bool taken_before;                       /* and is taken again when all disks are started again */
    bool refused;                            /* has failed us: stays with the firmware */
    bool needs_keyboard;                     /* the person would have none without it */
    char needed[NEEDED_MAX][BLOCK_NAME_MAX]; /* disks that must answer */
    unsigned needed_count;
};

/* --- what the firmware knows of a controller --- */

static bool is_below(struct firmware *firmware, const EFI_DEVICE_PATH *path, const struct usb_controller *controller)
{
    EFI_DEVICE_PATH *top = path_of_handle(firmware, firmware_pci_handle(controller->pci));

    return path && top && path_begins_with(path, top);
}

static bool has_block_io(struct firmware *firmware, const EFI_DEVICE_PATH *interface)
{
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(firmware, &block_io_guid, &handles);
    bool found = false;

    for (UINTN i = 0; i < count && !found; i++) {
        EFI_DEVICE_PATH *path = path_of_handle(firmware, handles[i]);
        found = path && path_begins_with(path, interface);
    }
    firmware_free(firmware, handles);
    return found;
}

/* Is there an interface of this kind that the firmware has found? idle: only one that none of its disk drivers serves. */
static bool has_interface(struct firmware *firmware, const struct usb_controller *controller,
                          bool (*wanted)(const struct efi_usb_interface_descriptor *descriptor), bool idle)
{
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(firmware, &usb_io_guid, &handles);
    bool found = false;

    for (UINTN i = 0; i < count && !found; i++) {
        struct efi_usb_io *usb = firmware_handle_protocol(firmware, handles[i], &usb_io_guid);
        EFI_DEVICE_PATH *path = path_of_handle(firmware, handles[i]);
        struct efi_usb_interface_descriptor descriptor;
        found = usb && is_below(firmware, path, controller) &&
                !EFI_ERROR(usb->get_interface_descriptor(usb, &descriptor)) && wanted(&descriptor) &&
                !(idle && has_block_io(firmware, path));
    }
    firmware_free(firmware, handles);
    return found;
}

static bool is_keyboard(const struct efi_usb_interface_descriptor *descriptor)
{
    return descriptor->class == USB_CLASS_HID && descriptor->subclass == USB_SUBCLASS_BOOT &&
           descriptor->protocol == USB_PROTOCOL_KEYBOARD;
}

static bool is_storage(const struct efi_usb_interface_descriptor *descriptor)
{
    return descriptor->class == USB_CLASS_STORAGE && descriptor->subclass == USB_SUBCLASS_SCSI;
}

/* Can a person type somewhere else than on the controllers that are being taken: on a PS/2 keyboard, over a serial line? */
static bool other_input(struct device_set *set)
{
    EFI_GUID guid = SIMPLE_TEXT_INPUT_PROTOCOL;
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(set->firmware, &guid, &handles);
    bool found = false;

    for (struct usb_controller *at = set->usb; at; at = at->next)
        found = found || (at->xhci && xhci_bus(at->xhci)->keyboards);
    for (UINTN i = 0; i < count && !found; i++) {
        EFI_DEVICE_PATH *path = path_of_handle(set->firmware, handles[i]);
        /* What has no path joins others together; what begins with a vendor's node is a program's, ours for instance. */
        found = path && !(DevicePathType(path) == HARDWARE_DEVICE_PATH && DevicePathSubType(path) == HW_VENDOR_DP);
        for (struct usb_controller *at = set->usb; at && found; at = at->next)
            found = !(at->chosen && is_below(set->firmware, path, at));
    }
    firmware_free(set->firmware, handles);
    return found;
}

/* --- the list --- */

static bool remember(struct pci_device *pci, void *context)
{
    struct device_set *set = context;
    struct usb_controller **last = &set->usb;

    if (!xhci_matches(pci))
        return true;
    for (; *last; last = &(*last)->next)
        if ((*last)->pci == pci)
            return true;
    struct usb_controller *controller = platform_allocate_zeroed(&set->firmware->platform, sizeof(*controller));
    if (!controller)
        return false;
    controller->pci = pci;
    snprintf(controller->place, sizeof(controller->place), "%02x:%02x.%x", pci->bus, pci->device, pci->function);
    *last = controller;
    return true;
}

static bool can_be_taken(const struct usb_controller *controller)
{
    return !controller->xhci && !controller->refused && !controller->pci->claimed;
}

static void need(struct usb_controller *controller, const char *name)
{
    for (unsigned i = 0; i < controller->needed_count; i++)
        if (strcmp(controller->needed[i], name) == 0)
            return;
    if (controller->needed_count < NEEDED_MAX)
        snprintf(controller->needed[controller->needed_count++], BLOCK_NAME_MAX, "%s", name);
}

/* The boot disk is known by what it says of itself. */
static bool is_registered(struct device_set *set, const char *name)
{
    for (struct block_device *device = set->registry->first; device; device = device->registry_next)
        if ((block_device_is_called(device, name) || block_device_says(device, name)) && !device->dead)
            return true;
    return false;
}

/* The first disk that must answer and does not; NULL: all do. */
static const char *missing_disk(struct device_set *set, const struct usb_controller *controller)
{
    for (unsigned i = 0; i < controller->needed_count; i++)
        if (!is_registered(set, controller->needed[i]))
            return controller->needed[i];
    return NULL;
}

/* --- taking --- */

/* The firmware's drivers are about to let go of them. No job has any of them now. */
static void forget_firmware_disks(struct device_set *set, const struct usb_controller *controller)
{
    struct block_device *device, *next;

    for (device = set->registry->first; device; device = next) {
        struct firmware_disk *disk = firmware_disk_of(device);
        next = device->registry_next;
        if (!disk || !is_below(set->firmware, disk->path, controller))
            continue;
        block_registry_remove(set->registry, device);
        block_device_stop(device);
    }
}

static void unpublish_usb_disks(struct device_set *set)
{
    published_sweep(set);
    for (struct block_device *device = set->registry->first; device; device = device->registry_next)
        if (device->bus == BUS_USB && !firmware_disk_of(device))
            device_unpublish(set, device);
}

static void wait_for_firmware(struct machine *machine, const struct usb_controller *controller)
{
    uint64_t deadline = deadline_after(machine->platform, RETURN_TIME);

    machine_devices_rescan(machine);
    while (missing_disk(machine->devices, controller) && platform_now(machine->platform) < deadline) {
        loop_delay(&machine->loop, RETURN_INTERVAL);
        machine_devices_rescan(machine);
    }
}

static void take(struct machine *machine, struct usb_controller *controller)
{
    struct device_set *set = machine->devices;
    struct error error = {0};

    platform_log(machine->platform, LOG_INFO, "USB controller %s is taken from the firmware%s", controller->place,
                 controller->needs_keyboard ? ", with the only keyboard" : "");
    forget_firmware_disks(set, controller);
    /* Without its text input the keyboards are mute; whether that matters is said by other_input(). */
    if (machine_keyboard_start(machine, &error) != 0) {
        platform_log(machine->platform, LOG_WARNING, "USB keyboards are not shown to the firmware: %s", error.detail);
        memset(&error, 0, sizeof(error));
    }
    int status = xhci_attach(set->loop, controller->pci, set->registry, machine_keyboard_sink(machine),
                             &controller->xhci, &error);
    if (!status) {
        controller->taken_before = true;
        return;
    }
    controller->xhci = NULL;
    controller->refused = true;
    platform_log(machine->platform, LOG_WARNING,
                 "USB controller %s is left to the firmware (%s%s%s); its disks go on through the firmware's drivers",
                 controller->place, error_code_name((enum error_code) - status), error.detail[0] ? ": " : "",
                 error.detail);
    wait_for_firmware(machine, controller);
}

/* Why the controller has to go back, NULL: it has proved itself. May change while the loop runs. */
static const char *objection(struct device_set *set, const struct usb_controller *controller)
{
    const struct usb_bus *bus = xhci_bus(controller->xhci);

    if (bus->dead)
        return "it stopped working";
    if (missing_disk(set, controller))
        return "a disk on it does not answer to Eidolon's driver";
    if (controller->needs_keyboard && (!bus->keyboards || !bus->keys))
        return "no keyboard on it answers to Eidolon's driver";
    return NULL;
}

static bool all_proved(void *context)
{
    struct device_set *set = context;

    for (struct usb_controller *at = set->usb; at; at = at->next)
        if (at->chosen && at->xhci && objection(set, at) && !xhci_bus(at->xhci)->dead)
            return false;
    return true;
}

static void give_back(struct machine *machine, struct usb_controller *controller, const char *why)
{
    platform_log(machine->platform, LOG_WARNING,
                 "USB controller %s goes back to the firmware: %s; its disks go on through the firmware's drivers",
                 controller->place, why);
    unpublish_usb_disks(machine->devices);
    xhci_detach(controller->xhci);
    controller->xhci = NULL;
    controller->refused = true;
    wait_for_firmware(machine, controller);
}

static void log_disks(struct machine *machine)
{
    for (struct block_device *device = machine->registry.first; device; device = device->registry_next)
        if (device->bus == BUS_USB && !firmware_disk_of(device))
            devices_log(machine, device);
}

/* All that are chosen, side by side. settle: wait also for disks that nobody has named. */
static void take_chosen(struct machine *machine, bool settle)
{
    struct device_set *set = machine->devices;
    bool input = other_input(set), any = false;

    for (struct usb_controller *at = set->usb; at; at = at->next) {
        if (!at->chosen)
            continue;
        struct firmware *firmware = set->firmware;
        any = true;
        at->needs_keyboard = !input && has_interface(firmware, at, is_keyboard, false);
        if (set->boot_path && set->boot_disk[0] && is_below(firmware, set->boot_path, at))
            need(at, set->boot_disk);
    }
    if (!any)
        return;
    for (struct usb_controller *at = set->usb; at; at = at->next)
        if (at->chosen)
            take(machine, at);
    loop_wait(set->loop, all_proved, set, deadline_after(machine->platform, PROOF_TIME));
    for (struct usb_controller *at = set->usb; at; at = at->next) {
        bool chosen = at->chosen;
        at->chosen = false;
        if (!chosen || !at->xhci)
            continue;
        const char *why = objection(set, at);
        if (why)
            give_back(machine, at, why);
        else if (settle)
            usb_bus_wait_settled(xhci_bus(at->xhci), deadline_after(machine->platform, SETTLE_TIME));
    }
    log_disks(machine);
}

/* --- for efi_devices.c --- */

void usb_start(struct machine *machine)
{
    struct device_set *set = machine->devices;

    if (machine->io == IO_FIRMWARE)
        return;
    firmware_pci_enumerate(machine->platform, remember, set);
    for (struct usb_controller *at = set->usb; at; at = at->next)
        at->chosen = can_be_taken(at) && (machine->io == IO_NATIVE || at->taken_before);
    take_chosen(machine, true);
}

void usb_wait_settled(struct machine *machine)
{
    for (struct usb_controller *at = machine->devices->usb; at; at = at->next)
        if (at->xhci && !xhci_bus(at->xhci)->dead)
            usb_bus_wait_settled(xhci_bus(at->xhci), deadline_after(machine->platform, SETTLE_TIME));
}

void usb_poll(struct device_set *set)
{
    for (struct usb_controller *at = set->usb; at; at = at->next)
        if (at->xhci)
            xhci_bus(at->xhci)->pollable.poll(&xhci_bus(at->xhci)->pollable);
}

void usb_stop(struct machine *machine)
{
    struct device_set *set = machine->devices;

    unpublish_usb_disks(set);
    for (struct usb_controller *at = set->usb; at; at = at->next) {
        if (at->xhci)
            xhci_detach(at->xhci);
        at->xhci = NULL;
    }
    machine_keyboard_stop(machine);
}

void usb_forget(struct machine *machine)
{
    struct device_set *set = machine->devices;

    while (set->usb) {
        struct usb_controller *controller = set->usb;
        set->usb = controller->next;
        platform_release(machine->platform, controller);
    }
}

/* --- for commands --- */

bool machine_devices_can_improve(struct machine *machine)
{
    struct device_set *set = machine->devices;

    if (machine->io == IO_FIRMWARE || !set)
        return false;
    firmware_pci_enumerate(machine->platform, remember, set);
    for (struct usb_controller *at = set->usb; at; at = at->next)
        if (can_be_taken(at))
            return true;
    return false;
}

void machine_devices_improve(struct machine *machine, struct block_device *const *disks, unsigned count, bool unknown)
{
    struct device_set *set = machine->devices;

    if (!machine_devices_can_improve(machine))
        return;
    for (struct usb_controller *at = set->usb; at; at = at->next) {
        if (!can_be_taken(at))
            continue;
        at->chosen = machine->io == IO_NATIVE || (unknown && has_interface(set->firmware, at, is_storage, true));
        at->needed_count = 0;
        for (unsigned i = 0; i < count; i++) {
            struct firmware_disk *disk = firmware_disk_of(disks[i]);
            if (!disk || !is_below(set->firmware, disk->path, at))
                continue;
            need(at, disk->device.name);
            at->chosen = true;
        }
    }
    take_chosen(machine, unknown || machine->io == IO_NATIVE);
}
