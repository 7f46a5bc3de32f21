/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding the machine's disks: connect what may be one, take the controllers that we drive ourselves,
 * publish their disks to the firmware, and reach every other disk through the firmware's block I/O. At the
 * end all of it goes back.
 */
#include "boot/efi_devices.h"

#include <stdio.h>
#include <string.h>

#include "drivers/ahci.h"
#include "drivers/nvme.h"

#define PCI_BASE_STORAGE 0x01
#define PCI_CLASS_RAID 0x0104
#define PCI_CLASS_USB 0x0c03
#define PCI_CLASS_SD 0x0805
#define VIRTIO_VENDOR 0x1af4
#define PCI_BASE_UNCLASSIFIED 0xff

static EFI_GUID block_io_guid = EFI_BLOCK_IO_PROTOCOL_GUID;

/* A controller that one of our drivers has taken. */
struct native_controller {
    struct native_controller *next;
    struct pci_device *pci;
    const struct native_driver *driver;
    void *controller;
};

/* The three parts of an attachment (see drivers/nvme.h), so that all controllers come up side by side. */
struct native_driver {
    const char *name;
    bool (*matches)(const struct pci_device *pci);
    int (*begin)(struct loop *loop, struct pci_device *pci, struct block_registry *registry, void **controller,
                 struct error *error);
    bool (*settled)(void *controller);
    int (*finish)(void *controller, struct error *error);
    void (*detach)(void *controller);
};

#define NATIVE_DRIVER(driver)                                                                                          \
    static int driver##_native_begin(struct loop *loop, struct pci_device *pci, struct block_registry *registry,       \
                                     void **controller, struct error *error)                                           \
    {                                                                                                                  \
        return driver##_attach_begin(loop, pci, registry, (struct driver##_controller **)controller, error);           \
    }                                                                                                                  \
    static bool driver##_native_settled(void *controller)                                                              \
    {                                                                                                                  \
        return driver##_attach_settled(controller);                                                                    \
    }                                                                                                                  \
    static int driver##_native_finish(void *controller, struct error *error)                                           \
    {                                                                                                                  \
        return driver##_attach_finish(controller, error);                                                              \
    }                                                                                                                  \
    static void driver##_native_detach(void *controller)                                                               \
    {                                                                                                                  \
        driver##_detach(controller);                                                                                   \
    }

NATIVE_DRIVER(nvme)
NATIVE_DRIVER(ahci)

static const struct native_driver native_drivers[] = {
    {"nvme", nvme_matches, nvme_native_begin, nvme_native_settled, nvme_native_finish, nvme_native_detach},
    {"ahci", ahci_matches, ahci_native_begin, ahci_native_settled, ahci_native_finish, ahci_native_detach},
};

/* --- connecting --- */

static void connect(struct firmware *firmware, struct pci_device *pci)
{
    firmware->boot->ConnectController(firmware_pci_handle(pci), NULL, NULL, TRUE);
}

static bool connect_function(struct pci_device *pci, void *context)
{
    unsigned base = pci->class_code >> 16, class = pci->class_code >> 8;

    /* Network and graphics are left alone: they take seconds, and no disk is behind them. */
    if (!pci->claimed && (base == PCI_BASE_STORAGE || class == PCI_CLASS_USB || class == PCI_CLASS_SD ||
                          (pci->vendor_id == VIRTIO_VENDOR && base == PCI_BASE_UNCLASSIFIED)))
        connect(context, pci);
    return true;
}

/* A firmware in a hurry has connected the boot device alone, and may not even have looked at all buses. */
static void connect_buses(struct firmware *firmware)
{
    EFI_GUID bridge_guid = EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL_GUID;
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(firmware, &bridge_guid, &handles);

    for (UINTN i = 0; i < count; i++)
        firmware->boot->ConnectController(handles[i], NULL, NULL, FALSE);
    firmware_free(firmware, handles);
}

/* Every controller that may have disks and that is not ours. */
static void connect_disks(struct firmware *firmware)
{
    EFI_HANDLE *handles;

    firmware_pci_enumerate(&firmware->platform, connect_function, firmware);
    /* Partitions and file systems of disks that were connected by half. */
    UINTN count = firmware_handles(firmware, &block_io_guid, &handles);
    for (UINTN i = 0; i < count; i++)
        firmware->boot->ConnectController(handles[i], NULL, NULL, TRUE);
    firmware_free(firmware, handles);
}

/* --- the boot disk --- */

/* Names the disk that the application came from, while the firmware still has it. */
static void find_boot_disk(struct device_set *set)
{
    struct firmware *firmware = set->firmware;
    EFI_GUID image_guid = LOADED_IMAGE_PROTOCOL;
    EFI_LOADED_IMAGE *image = firmware_handle_protocol(firmware, firmware->image, &image_guid);
    EFI_DEVICE_PATH *path = image && image->DeviceHandle ? path_of_handle(firmware, image->DeviceHandle) : NULL;
    EFI_HANDLE *handles;

    if (!path || !(set->boot_path = path_copy(firmware, path)))
        return;
    UINTN count = firmware_handles(firmware, &block_io_guid, &handles);
    for (UINTN i = 0; i < count && !set->boot_disk[0]; i++) {
        EFI_BLOCK_IO *io = firmware_handle_protocol(firmware, handles[i], &block_io_guid);
        EFI_DEVICE_PATH *disk_path = path_of_handle(firmware, handles[i]);
        if (!io || !io->Media || io->Media->LogicalPartition || !disk_path ||
            !path_begins_with(set->boot_path, disk_path))
            continue;
        struct firmware_disk disk = {.firmware = firmware, .handle = handles[i], .io = io, .path = disk_path};
        firmware_disk_identify(firmware, &disk);
        memcpy(set->boot_disk, disk.device.name, sizeof(set->boot_disk));
        memcpy(set->boot_place, disk.device.place, sizeof(set->boot_place));
    }
    firmware_free(firmware, handles);
    if (!set->boot_disk[0]) {
        platform_release(&firmware->platform, set->boot_path);
        set->boot_path = NULL;
    }
}

static bool is_in_its_place(const struct device_set *set, const struct block_device *device)
{
    return !device->place[0] || strcmp(set->boot_place, device->place) == 0;
}

/* Of several that say so the one in its place; if none is there any more, it may be any of them. */
static bool is_boot_disk_of_ours(const struct device_set *set, const struct block_device *device)
{
    if (!block_device_says(device, set->boot_disk))
        return false;
    if (is_in_its_place(set, device))
        return true;
    for (const struct block_device *at = set->registry->first; at; at = at->registry_next)
        if (block_device_says(at, set->boot_disk) && is_in_its_place(set, at))
            return false;
    return true;
}

bool machine_is_boot_disk(struct machine *machine, struct block_device *device)
{
    struct device_set *set = machine->devices;
    struct firmware_disk *disk = firmware_disk_of(device);

    if (!set || !set->boot_path)
        return false;
    return disk ? path_begins_with(set->boot_path, disk->path) : is_boot_disk_of_ours(set, device);
}

/* --- our own controllers --- */

static void leave_to_firmware(struct device_set *set, const struct native_driver *driver, struct pci_device *pci,
                              int status, const struct error *error)
{
    platform_log(&set->firmware->platform, LOG_WARNING, "%s controller %02x:%02x.%x is left to the firmware: %s%s%s",
                 driver->name, pci->bus, pci->device, pci->function, error_code_name((enum error_code) - status),
                 error->detail[0] ? ", " : "", error->detail);
    connect(set->firmware, pci);
}

static void attach_begin(struct device_set *set, const struct native_driver *driver, struct pci_device *pci)
{
    struct platform *platform = &set->firmware->platform;
    struct native_controller *native = platform_allocate_zeroed(platform, sizeof(*native)), **last = &set->controllers;
    struct error error = {0};

    if (!native)
        return;
    int status = driver->begin(set->loop, pci, set->registry, &native->controller, &error);
    if (status) {
        leave_to_firmware(set, driver, pci, status, &error);
        platform_release(platform, native);
        return;
    }
    native->pci = pci;
    native->driver = driver;
    while (*last)
        last = &(*last)->next;
    *last = native;
}

static bool begin_if_ours(struct pci_device *pci, void *context)
{
    struct device_set *set = context;

    for (size_t i = 0; i < sizeof(native_drivers) / sizeof(native_drivers[0]); i++)
        if (!pci->claimed && native_drivers[i].matches(pci))
            attach_begin(set, &native_drivers[i], pci);
    return true;
}

static bool all_settled(void *context)
{
    struct device_set *set = context;
    bool settled = true;

    for (struct native_controller *native = set->controllers; native; native = native->next)
        settled &= native->driver->settled(native->controller);
    return settled;
}

/* In the order of their places, which decides names. */
static void attach_finish(struct device_set *set)
{
    struct native_controller **link = &set->controllers, *native;

    /* Bounded by the drivers' deadlines. */
    loop_wait(set->loop, all_settled, set, UINT64_MAX);
    while ((native = *link) != NULL) {
        struct error error = {0};
        int status = native->driver->finish(native->controller, &error);
        if (!status) {
            link = &native->next;
            continue;
        }
        leave_to_firmware(set, native->driver, native->pci, status, &error);
        *link = native->next;
        platform_release(&set->firmware->platform, native);
    }
}

/* --- the firmware's disks --- */

static bool is_open(struct device_set *set, EFI_HANDLE handle)
{
    for (struct block_device *device = set->registry->first; device; device = device->registry_next)
        if (firmware_disk_of(device) && firmware_disk_of(device)->handle == handle)
            return true;
    return false;
}

void devices_log(struct machine *machine, struct block_device *device)
{
    platform_log(machine->platform, LOG_INFO, "disk %s: %s, %llu bytes, driver %s%s", device->name, device->model,
                 (unsigned long long)block_device_bytes(device), device->driver,
                 machine_is_boot_disk(machine, device) ? ", boot disk" : "");
}

static void open_firmware_disks(struct machine *machine)
{
    struct device_set *set = machine->devices;
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(set->firmware, &block_io_guid, &handles);

    for (UINTN i = 0; i < count; i++) {
        struct block_device *device;
        EFI_DEVICE_PATH *path = path_of_handle(set->firmware, handles[i]);
        if (!path || published_has_path(set, path) || is_open(set, handles[i]))
            continue;
        if (firmware_disk_open(set->loop, set->firmware, handles[i], &device) != 0)
            continue;
        char base[BLOCK_NAME_MAX];
        memcpy(base, device->name, sizeof(base));
        block_registry_name(set->registry, device, base);
        block_registry_add(set->registry, device);
        devices_log(machine, device);
    }
    firmware_free(set->firmware, handles);
}

/* A controller in a RAID mode that shows no disk: say which setting to change, for nobody would guess. */
static bool warn_of_raid(struct pci_device *pci, void *context)
{
    struct machine *machine = context;
    EFI_DEVICE_PATH *path = path_of_handle(machine->firmware, firmware_pci_handle(pci));

    if (pci->class_code >> 8 != PCI_CLASS_RAID || !path)
        return true;
    for (struct block_device *device = machine->registry.first; device; device = device->registry_next)
        if (firmware_disk_of(device) && path_begins_with(firmware_disk_of(device)->path, path))
            return true;
    platform_log(machine->platform, LOG_WARNING,
                 "the storage controller %04x:%04x is in RAID mode and shows no disk; set it to AHCI or NVMe (no RAID, "
                 "RST, VMD) "
                 "in the firmware's setup to see its disks",
                 pci->vendor_id, pci->device_id);
    return true;
}

void devices_publish(struct machine *machine, bool boot_disk_only)
{
    struct device_set *set = machine->devices;

    published_sweep(set);
    for (struct block_device *device = set->registry->first; device; device = device->registry_next) {
        struct error why = {0};
        if (firmware_disk_of(device) || device == set->target || device->dead || device_is_published(set, device) ||
            (boot_disk_only && !machine_is_boot_disk(machine, device)))
            continue;
        if (device_publish(set, device, false, &why) != 0)
            platform_log(&set->firmware->platform, LOG_WARNING, "%s is not shown to the firmware: %s", device->name,
                         why.detail);
    }
}

struct block_device *devices_disk_of_path(struct device_set *set, const EFI_DEVICE_PATH *path)
{
    for (struct block_device *device = set->registry->first; device; device = device->registry_next) {
        struct firmware_disk *disk = firmware_disk_of(device);
        if (disk && path_begins_with(path, disk->path))
            return device;
    }
    return published_disk_of_path(set, path);
}

static void disk_removed(struct block_registry *registry, struct block_device *device)
{
    struct device_set *set = registry->context;

    if (device->dead)
        platform_log(&set->firmware->platform, LOG_INFO, "disk %s is gone", device->name);
    published_orphan(set, device);
}

bool machine_devices_prepare(struct machine *machine)
{
    /* Once only: the loaded image's handle is stale as soon as its controller has changed hands. */
    if (machine->devices)
        return true;
    struct device_set *set = platform_allocate_zeroed(machine->platform, sizeof(*set));
    if (!set)
        return false;
    set->firmware = machine->firmware;
    set->loop = &machine->loop;
    set->registry = &machine->registry;
    machine->devices = set;
    machine->registry.removed = disk_removed;
    machine->registry.context = set;
    find_boot_disk(set);
    return true;
}

int machine_devices_start(struct machine *machine, struct error *error)
{
    struct firmware *firmware = machine->firmware;
    struct device_set *set = machine->devices;

    if (!set)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "", ERROR_NO_BLOCK, "no memory to look for disks");
    if (set->started)
        return 0;
    set->started = true;
    connect_buses(firmware);
    /* Ours come up while the firmware connects the others. */
    if (machine->io != IO_FIRMWARE)
        firmware_pci_enumerate(machine->platform, begin_if_ours, set);
    connect_disks(firmware);
    attach_finish(set);
    for (struct block_device *device = set->registry->first; device; device = device->registry_next)
        devices_log(machine, device);
    open_firmware_disks(machine);
    usb_start(machine);
    firmware_pci_enumerate(machine->platform, warn_of_raid, machine);
    return 0;
}

void machine_devices_rescan(struct machine *machine)
{
    struct block_device *device, *next;

    usb_wait_settled(machine);
    published_sweep(machine->devices);
    for (device = machine->registry.first; device; device = next) {
        next = device->registry_next;
        if (!firmware_disk_of(device) || firmware_disk_is_there(firmware_disk_of(device)))
            continue;
        platform_log(machine->platform, LOG_INFO, "disk %s is gone", device->name);
        block_registry_remove(&machine->registry, device);
        block_device_stop(device);
    }
    open_firmware_disks(machine);
}

void machine_devices_stop(struct machine *machine)
{
    struct device_set *set = machine->devices;
    struct block_device *device, *next;

    if (!set || !set->started)
        return;
    for (device = machine->registry.first; device; device = next) {
        next = device->registry_next;
        device_unpublish(set, device);
        if (firmware_disk_of(device)) {
            block_registry_remove(&machine->registry, device);
            block_device_stop(device);
        }
    }
    usb_stop(machine);
    while (set->controllers) {
        struct native_controller *native = set->controllers;
        set->controllers = native->next;
        native->driver->detach(native->controller);
        platform_release(machine->platform, native);
    }
    set->started = false;
}

void machine_devices_forget(struct machine *machine)
{
    struct device_set *set = machine->devices;

    machine_devices_stop(machine);
    if (!set)
        return;
    usb_forget(machine);
    machine->registry.removed = NULL;
    platform_release(machine->platform, set->boot_path);
    platform_release(machine->platform, set);
    machine->devices = NULL;
}

/* --- targets --- */

/* The firmware's drivers let go of what lies on a disk, but for the volume that an image is on. */
static void disconnect_partitions(struct device_set *set, struct block_device *device)
{
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(set->firmware, &block_io_guid, &handles);

    for (UINTN i = 0; i < count; i++) {
        EFI_BLOCK_IO *io = firmware_handle_protocol(set->firmware, handles[i], &block_io_guid);
        EFI_DEVICE_PATH *path = path_of_handle(set->firmware, handles[i]);
        bool spared = set->store_users && handles[i] == set->store_volume;
        if (!spared && io && io->Media && io->Media->LogicalPartition && path &&
            devices_disk_of_path(set, path) == device)
            set->firmware->boot->DisconnectController(handles[i], NULL, NULL);
    }
    firmware_free(set->firmware, handles);
}

/*
 * The partition and file system drivers let go of the whole disk; its own driver stays. They use its disk
 * I/O.
 */
static void disconnect_disk(struct device_set *set, const struct firmware_disk *disk)
{
    EFI_GUID disk_io_guid = EFI_DISK_IO_PROTOCOL_GUID;
    EFI_OPEN_PROTOCOL_INFORMATION_ENTRY *users = NULL;
    UINTN count = 0;

    if (EFI_ERROR(set->firmware->boot->OpenProtocolInformation(disk->handle, &disk_io_guid, &users, &count)))
        return;
    for (UINTN i = 0; i < count; i++)
        if (users[i].Attributes & EFI_OPEN_PROTOCOL_BY_DRIVER)
            set->firmware->boot->DisconnectController(disk->handle, users[i].AgentHandle, NULL);
    firmware_free(set->firmware, users);
}

/* An image on the same disk is read or written through the firmware at the same time. */
static bool holds_store(const struct device_set *set, const struct block_device *device)
{
    return set->store_users && set->store_disk == device;
}

void machine_target_begin(struct machine *machine, struct block_device *device)
{
    struct device_set *set = machine->devices;

    set->target = device;
    if (holds_store(set, device))
        disconnect_partitions(set, device);
    else if (firmware_disk_of(device))
        disconnect_disk(set, firmware_disk_of(device));
    else
        device_unpublish(set, device);
}

void machine_target_end(struct machine *machine, struct block_device *device)
{
    struct device_set *set = machine->devices;
    struct firmware_disk *disk = firmware_disk_of(device);

    if (device != set->target || holds_store(set, device))
        return;
    set->target = NULL;
    if (device->dead)
        return;
    if (disk) {
        /* Those that were spared know the old table: they go now. */
        disconnect_disk(set, disk);
        machine->firmware->boot->ConnectController(disk->handle, NULL, NULL, TRUE);
        return;
    }
    /* What the firmware knows of it is old; whoever looks for a volume shows it again. */
    device_unpublish(set, device);
}
