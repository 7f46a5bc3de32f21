/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who a disk of the firmware is: bus, model, serial and firmware revision from EFI_DISK_INFO and USB
 * descriptors, and the stable name made of them. The names are those that our own drivers give to the same
 * disks, so that a job file works with either.
 */
#include <stdio.h>
#include <string.h>

#include "boot/efi_disk.h"

#define MSG_NVME_NAMESPACE_DP 0x17
#define MSG_SD_DP 0x1a
#define MSG_EMMC_DP 0x1d
#define PCI_VENDOR_VIRTIO 0x1af4
#define NVME_IDENTIFY 6
#define NVME_IDENTIFY_CONTROLLER 1
#define USB_LANGUAGE_ENGLISH 0x0409

#define INTERFACE_AHCI                                                                                                 \
    {                                                                                                                  \
        0x9e498932, 0x4abc, 0x45af,                                                                                    \
        {                                                                                                              \
            0xa3, 0x4d, 0x02, 0x47, 0x78, 0x7b, 0xe7, 0xc6                                                             \
        }                                                                                                              \
    }
#define INTERFACE_IDE                                                                                                  \
    {                                                                                                                  \
        0x5e948fe3, 0x26d3, 0x42b5,                                                                                    \
        {                                                                                                              \
            0xaf, 0x17, 0x61, 0x02, 0x87, 0x18, 0x8d, 0xec                                                             \
        }                                                                                                              \
    }
#define INTERFACE_SCSI                                                                                                 \
    {                                                                                                                  \
        0x08f74baa, 0xea36, 0x41d9,                                                                                    \
        {                                                                                                              \
            0x95, 0x21, 0x21, 0xa7, 0x0f, 0x87, 0x80, 0xbc                                                             \
        }                                                                                                              \
    }
#define INTERFACE_USB                                                                                                  \
    {                                                                                                                  \
        0xcb871572, 0xc11a, 0x47b5,                                                                                    \
        {                                                                                                              \
            0xb4, 0x92, 0x67, 0x5e, 0xaf, 0xa7, 0x77, 0x27                                                             \
        }                                                                                                              \
    }

/* NVMe namespace node, UEFI 2.10, section 10.3.4.15. */
struct nvme_namespace_node {
    EFI_DEVICE_PATH header;
    UINT32 namespace_id;
    UINT64 eui64;
};

static bool is_guid(const EFI_GUID *a, EFI_GUID b)
{
    return memcmp(a, &b, sizeof(b)) == 0;
}

/* ATA8-ACS, table 22: words 10-19 serial, 23-26 firmware, 27-46 model, bytes of each word swapped. */
static void read_ata_identity(struct block_device *device, const UINT8 *data)
{
    block_text(device->serial, sizeof(device->serial), data + 20, 20, true);
    block_text(device->firmware, sizeof(device->firmware), data + 46, 8, true);
    block_text(device->model, sizeof(device->model), data + 54, 40, true);
}

/* NVM Express 1.4c, figure 247. */
static void read_nvme_identity(struct block_device *device, const UINT8 *data)
{
    block_text(device->serial, sizeof(device->serial), data + 4, 20, false);
    block_text(device->model, sizeof(device->model), data + 24, 40, false);
    block_text(device->firmware, sizeof(device->firmware), data + 64, 8, false);
}

/* SPC-4, table 139. */
static void read_scsi_identity(struct block_device *device, const UINT8 *data)
{
    char vendor[12], product[20];

    block_text(vendor, sizeof(vendor), data + 8, 8, false);
    block_text(product, sizeof(product), data + 16, 16, false);
    block_text(device->firmware, sizeof(device->firmware), data + 32, 4, false);
    snprintf(device->model, sizeof(device->model), "%s%s%s", vendor, *vendor && *product ? " " : "", product);
}

static void read_disk_info(struct firmware *firmware, struct firmware_disk *disk)
{
    EFI_GUID guid = EFI_DISK_INFO_PROTOCOL_GUID;
    struct efi_disk_info *info = firmware_handle_protocol(firmware, disk->handle, &guid);
    struct block_device *device = &disk->device;
    UINT32 size = 4096;
    UINT8 *data;

    if (!info || !(data = platform_allocate_zeroed(&firmware->platform, size)))
        return;
    if (is_guid(&info->interface, (EFI_GUID)INTERFACE_AHCI) || is_guid(&info->interface, (EFI_GUID)INTERFACE_IDE)) {
        size = 512;
        if (!EFI_ERROR(info->identify(info, data, &size)))
            read_ata_identity(device, data);
        device->bus = BUS_SATA;
    } else if (is_guid(&info->interface, (EFI_GUID)INTERFACE_SCSI) ||
               is_guid(&info->interface, (EFI_GUID)INTERFACE_USB)) {
        size = 96;
        if (!EFI_ERROR(info->inquiry(info, data, &size)))
            read_scsi_identity(device, data);
    }
    platform_release(&firmware->platform, data);
}

/*
 * The controller's identity, by an Identify command through the firmware: its disk information tells of the
 * namespace alone.
 */
static void read_nvme(struct firmware *firmware, struct firmware_disk *disk, EFI_HANDLE controller)
{
    EFI_GUID guid = EFI_NVM_EXPRESS_PASS_THRU_PROTOCOL_GUID;
    struct efi_nvme_pass_thru *nvme = firmware_handle_protocol(firmware, controller, &guid);
    EFI_PHYSICAL_ADDRESS page = 0;
    UINT32 completion[4] = {0};
    struct efi_nvme_command command = {.opcode = NVME_IDENTIFY, .valid = NVME_WORD_10_VALID};
    struct efi_nvme_packet packet = {
        .timeout = 50000000, .data_size = 4096, .command = &command, .completion = completion};

    if (!nvme || EFI_ERROR(firmware->boot->AllocatePages(AllocateAnyPages, EfiLoaderData, 1, &page)))
        return;
    command.words_10_15[0] = NVME_IDENTIFY_CONTROLLER;
    packet.data = (VOID *)page;
    memset(packet.data, 0, 4096);
    if (!EFI_ERROR(nvme->pass_thru(nvme, 0, &packet, NULL)))
        read_nvme_identity(&disk->device, packet.data);
    firmware->boot->FreePages(page, 1);
}

static void read_usb_serial(struct firmware *firmware, struct firmware_disk *disk, EFI_HANDLE handle)
{
    EFI_GUID guid = EFI_USB_IO_PROTOCOL_GUID;
    struct efi_usb_io *usb = firmware_handle_protocol(firmware, handle, &guid);
    struct efi_usb_device_descriptor descriptor;
    UINT16 language = USB_LANGUAGE_ENGLISH, *languages = NULL, size = 0;
    CHAR16 *text = NULL;
    char serial[BLOCK_TEXT_MAX];

    if (!usb || EFI_ERROR(usb->get_device_descriptor(usb, &descriptor)) || !descriptor.serial_string)
        return;
    if (!EFI_ERROR(usb->get_supported_languages(usb, &languages, &size)) && languages && size >= 2)
        language = languages[0];
    if (EFI_ERROR(usb->get_string_descriptor(usb, language, descriptor.serial_string, &text)) || !text)
        return;
    text_from_ucs2(serial, sizeof(serial), text, ucs2_length(text, 128));
    block_text(disk->device.serial, sizeof(disk->device.serial), serial, strlen(serial), false);
    firmware_free(firmware, text);
}

/* The handle whose device path is `path` without its last node, if it has a protocol: a LUN's USB device. */
static EFI_HANDLE parent_with(struct firmware *firmware, EFI_DEVICE_PATH *path, EFI_GUID *guid)
{
    EFI_DEVICE_PATH *rest = path;
    EFI_HANDLE handle = NULL;

    return EFI_ERROR(firmware->boot->LocateDevicePath(guid, &rest, &handle)) ? NULL : handle;
}

/*
 * Where the disk is plugged in: the best name of one without a serial. Such a name changes only with the
 * plug.
 */
static void place_text(const EFI_DEVICE_PATH *path, char *text, size_t size)
{
    const EFI_DEVICE_PATH *node = path;
    size_t used = 0, total = path_size(path), at = 0;

    text[0] = 0;
    for (; at + 4 <= total && !IsDevicePathEndType(node) && used + 12 < size;
         node = (const void *)((const UINT8 *)path + at)) {
        UINT8 type = DevicePathType(node), subtype = DevicePathSubType(node);
        const UINT8 *data = (const UINT8 *)(node + 1);
        size_t length = DevicePathNodeLength(node);
        const char *dash = used ? "-" : "";
        if (type == HARDWARE_DEVICE_PATH && subtype == HW_PCI_DP)
            used += (size_t)snprintf(text + used, size - used, "%s%x.%x", dash, data[1], data[0]);
        else if (type == MESSAGING_DEVICE_PATH && subtype == MSG_USB_DP)
            used += (size_t)snprintf(text + used, size - used, "%sport%u", dash, data[0]);
        else if (type == MESSAGING_DEVICE_PATH && length >= 6)
            used += (size_t)snprintf(text + used, size - used, "%s%x.%x", dash, subtype, data[0] | data[1] << 8);
        at += length < 4 ? total : length;
    }
}

static const char *bus_prefix(struct firmware *firmware, struct firmware_disk *disk)
{
    const EFI_DEVICE_PATH *path = disk->path;
    EFI_GUID pci_guid = EFI_PCI_IO_PROTOCOL_GUID;
    struct block_device *device = &disk->device;
    UINT16 vendor = 0;

    if (path_node(path, MESSAGING_DEVICE_PATH, MSG_NVME_NAMESPACE_DP))
        device->bus = BUS_NVME;
    else if (path_node(path, MESSAGING_DEVICE_PATH, MSG_SATA_DP))
        device->bus = BUS_SATA;
    else if (path_node(path, MESSAGING_DEVICE_PATH, MSG_USB_DP))
        device->bus = BUS_USB;
    if (device->bus == BUS_NVME)
        return "nvme";
    if (device->bus == BUS_SATA)
        return "sata";
    if (device->bus == BUS_USB)
        return "usb";
    EFI_HANDLE handle = parent_with(firmware, disk->path, &pci_guid);
    EFI_PCI_IO_PROTOCOL *pci = handle ? firmware_handle_protocol(firmware, handle, &pci_guid) : NULL;
    if (pci && !EFI_ERROR(pci->Pci.Read(pci, EfiPciIoWidthUint16, 0, 1, &vendor)) && vendor == PCI_VENDOR_VIRTIO)
        return "virtio";
    if (path_node(path, MESSAGING_DEVICE_PATH, MSG_SD_DP) || path_node(path, MESSAGING_DEVICE_PATH, MSG_EMMC_DP))
        return "mmc";
    return "firmware";
}

void firmware_disk_identify(struct firmware *firmware, struct firmware_disk *disk)
{
    struct block_device *device = &disk->device;
    EFI_GUID usb_guid = EFI_USB_IO_PROTOCOL_GUID, nvme_guid = EFI_NVM_EXPRESS_PASS_THRU_PROTOCOL_GUID;
    char name[BLOCK_NAME_MAX - 20];

    device->bus = BUS_FIRMWARE;
    read_disk_info(firmware, disk);
    const char *prefix = bus_prefix(firmware, disk);
    EFI_HANDLE usb = device->bus == BUS_USB ? parent_with(firmware, disk->path, &usb_guid) : NULL;
    EFI_HANDLE nvme_controller = device->bus == BUS_NVME ? parent_with(firmware, disk->path, &nvme_guid) : NULL;
    if (usb)
        read_usb_serial(firmware, disk, usb);
    if (nvme_controller)
        read_nvme(firmware, disk, nvme_controller);
    place_text(disk->path, name, sizeof(name));
    if (device->bus == BUS_USB)
        snprintf(device->place, sizeof(device->place), "%.*s", BLOCK_PLACE_MAX - 1, name);
    if (device->serial[0])
        snprintf(name, sizeof(name), "%s", device->serial);
    block_name_text(name);
    if (!device->model[0])
        snprintf(device->model, sizeof(device->model), "%s disk", prefix);
    snprintf(device->name, sizeof(device->name), "%s:%s", prefix, name);

    const EFI_DEVICE_PATH *nvme = path_node(disk->path, MESSAGING_DEVICE_PATH, MSG_NVME_NAMESPACE_DP);
    const EFI_DEVICE_PATH *lun = path_node(disk->path, MESSAGING_DEVICE_PATH, MSG_DEVICE_LOGICAL_UNIT_DP);
    size_t length = strlen(device->name);
    if (nvme && ((const struct nvme_namespace_node *)nvme)->namespace_id > 1)
        snprintf(device->name + length, sizeof(device->name) - length, "/n%u",
                 ((const struct nvme_namespace_node *)nvme)->namespace_id);
    else if (lun && ((const DEVICE_LOGICAL_UNIT_DEVICE_PATH *)lun)->Lun)
        snprintf(device->name + length, sizeof(device->name) - length, "/lun%u",
                 ((const DEVICE_LOGICAL_UNIT_DEVICE_PATH *)lun)->Lun);
}
