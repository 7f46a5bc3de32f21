/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions through the firmware's PciIo (UEFI 2.10, section 14.4): finding them, taking them from the
 * firmware's drivers and giving them back, configuration space, registers, and device addresses of buffers.
 */
#include <string.h>

#include "boot/efi_firmware.h"

#define PCI_COMMAND 0x04
#define PCI_COMMAND_BUS_MASTER (1u << 2)
#define PCI_BAR(n) (0x10 + 4 * (n))

struct pci_function {
    struct pci_device device; /* first */
    struct pci_function *next;
    EFI_HANDLE handle;
    EFI_PCI_IO_PROTOCOL *io;
    UINT64 attributes; /* before we changed any */
};

static EFI_GUID pci_io_guid = EFI_PCI_IO_PROTOCOL_GUID;

static struct pci_function *function_of(struct pci_device *device)
{
    return (struct pci_function *)device;
}

EFI_HANDLE firmware_pci_handle(struct pci_device *device)
{
    return function_of(device)->handle;
}

uint32_t firmware_pci_config_read32(struct pci_device *device, unsigned offset)
{
    EFI_PCI_IO_PROTOCOL *io = function_of(device)->io;
    UINT32 value = UINT32_MAX;

    if (EFI_ERROR(io->Pci.Read(io, EfiPciIoWidthUint32, offset, 1, &value)))
        return UINT32_MAX;
    return value;
}

void firmware_pci_config_write32(struct pci_device *device, unsigned offset, uint32_t value)
{
    EFI_PCI_IO_PROTOCOL *io = function_of(device)->io;

    io->Pci.Write(io, EfiPciIoWidthUint32, offset, 1, &value);
}

/* The entry for a handle, made on first sight. NULL: it cannot be read. */
static struct pci_function *function_get(struct firmware *firmware, EFI_HANDLE handle)
{
    struct pci_function *function = firmware->functions;
    UINTN segment, bus, device, number;

    for (; function; function = function->next)
        if (function->handle == handle)
            return function;
    EFI_PCI_IO_PROTOCOL *io = firmware_handle_protocol(firmware, handle, &pci_io_guid);
    if (!io || EFI_ERROR(io->GetLocation(io, &segment, &bus, &device, &number)))
        return NULL;
    function = platform_allocate_zeroed(&firmware->platform, sizeof(*function));
    if (!function)
        return NULL;
    function->handle = handle;
    function->io = io;
    function->device.platform = &firmware->platform;
    function->device.segment = (uint16_t)segment;
    function->device.bus = (uint8_t)bus;
    function->device.device = (uint8_t)device;
    function->device.function = (uint8_t)number;
    uint32_t id = firmware_pci_config_read32(&function->device, 0);
    uint32_t subsystem = firmware_pci_config_read32(&function->device, 0x2c);
    function->device.vendor_id = (uint16_t)id;
    function->device.device_id = (uint16_t)(id >> 16);
    function->device.subsystem_vendor_id = (uint16_t)subsystem;
    function->device.subsystem_id = (uint16_t)(subsystem >> 16);
    function->device.class_code = firmware_pci_config_read32(&function->device, 8) >> 8;
    function->next = firmware->functions;
    firmware->functions = function;
    return function;
}

void firmware_pci_enumerate(struct platform *platform, bool (*found)(struct pci_device *device, void *context),
                            void *context)
{
    struct firmware *firmware = firmware_of(platform);
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(firmware, &pci_io_guid, &handles);

    for (UINTN i = 0; i < count; i++) {
        struct pci_function *function = function_get(firmware, handles[i]);
        if (function && !found(&function->device, context))
            break;
    }
    firmware_free(firmware, handles);
}

static EFI_STATUS change_attributes(EFI_PCI_IO_PROTOCOL *io, EFI_PCI_IO_PROTOCOL_ATTRIBUTE_OPERATION operation,
                                    UINT64 attributes)
{
    return io->Attributes(io, operation, attributes, NULL);
}

int firmware_pci_claim(struct pci_device *device, struct error *error)
{
    struct pci_function *function = function_of(device);
    struct firmware *firmware = firmware_of(device->platform);
    EFI_PCI_IO_PROTOCOL *io = function->io;
    VOID *interface;

    if (device->claimed)
        return error_set(error, ERROR_BUSY, OPERATION_OPEN, "", ERROR_NO_BLOCK, "the controller is already taken");
    if (EFI_ERROR(io->Attributes(io, EfiPciIoAttributeOperationGet, 0, &function->attributes)))
        return error_set(error, ERROR_IO, OPERATION_OPEN, "", ERROR_NO_BLOCK,
                         "the controller's attributes cannot be read");
    firmware->boot->DisconnectController(function->handle, NULL, NULL);
    EFI_STATUS status =
        firmware->boot->OpenProtocol(function->handle, &pci_io_guid, &interface, firmware->image, function->handle,
                                     EFI_OPEN_PROTOCOL_BY_DRIVER | EFI_OPEN_PROTOCOL_EXCLUSIVE);
    if (EFI_ERROR(status)) {
        firmware->boot->ConnectController(function->handle, NULL, NULL, TRUE);
        return error_set(error, ERROR_BUSY, OPERATION_OPEN, "", ERROR_NO_BLOCK,
                         "the firmware's driver does not let go of the controller");
    }
    device->claimed = true;
    /*
     * Its driver's stop may have put them back; one by one, for 64-bit addressing is not everybody's (then
     * Map bounces).
     */
    if (EFI_ERROR(change_attributes(io, EfiPciIoAttributeOperationEnable, EFI_PCI_IO_ATTRIBUTE_MEMORY)) ||
        EFI_ERROR(change_attributes(io, EfiPciIoAttributeOperationEnable, EFI_PCI_IO_ATTRIBUTE_BUS_MASTER))) {
        firmware_pci_release(device);
        return error_set(error, ERROR_IO, OPERATION_OPEN, "", ERROR_NO_BLOCK, "the controller cannot be enabled");
    }
    change_attributes(io, EfiPciIoAttributeOperationEnable, EFI_PCI_IO_ATTRIBUTE_DUAL_ADDRESS_CYCLE);
    return 0;
}

void firmware_pci_stop_dma(struct pci_device *device)
{
    uint32_t command = firmware_pci_config_read32(device, PCI_COMMAND);

    /* The status half is written with zeroes: its bits are cleared by ones. */
    firmware_pci_config_write32(device, PCI_COMMAND, command & 0xffff & ~PCI_COMMAND_BUS_MASTER);
}

void firmware_pci_release(struct pci_device *device)
{
    struct pci_function *function = function_of(device);
    struct firmware *firmware = firmware_of(device->platform);
    const UINT64 ours =
        EFI_PCI_IO_ATTRIBUTE_MEMORY | EFI_PCI_IO_ATTRIBUTE_BUS_MASTER | EFI_PCI_IO_ATTRIBUTE_DUAL_ADDRESS_CYCLE;

    if (!device->claimed)
        return;
    firmware_pci_stop_dma(device);
    if (device->dma_unsafe) /* claimed to the end: nobody switches its DMA on again */
        return;
    change_attributes(function->io, EfiPciIoAttributeOperationDisable, ours & ~function->attributes);
    change_attributes(function->io, EfiPciIoAttributeOperationEnable, ours & function->attributes);
    firmware->boot->CloseProtocol(function->handle, &pci_io_guid, firmware->image, function->handle);
    device->claimed = false;
    firmware->boot->ConnectController(function->handle, NULL, NULL, TRUE);
}

void firmware_pci_stop(struct firmware *firmware)
{
    while (firmware->functions) {
        struct pci_function *function = firmware->functions;
        firmware->functions = function->next;
        firmware_pci_release(&function->device);
        platform_release(&firmware->platform, function);
    }
}

/* QWORD address space descriptor (ACPI 6.4, section 6.4.3.5.1), as GetBarAttributes() gives it. */
struct address_descriptor {
    UINT8 tag;
    UINT16 length;
    UINT8 resource_type, general_flags, type_flags;
    UINT64 granularity, minimum, maximum, translation, size;
} __attribute__((packed));
#define ADDRESS_DESCRIPTOR_TAG 0x8a
#define ADDRESS_DESCRIPTOR_MEMORY 0

/*
 * The size of the memory region that begins at `address`. Firmware counts 64-bit BARs as one, so its
 * numbers are not the registers': the address is what is looked for.
 */
static UINT64 region_size(struct firmware *firmware, EFI_PCI_IO_PROTOCOL *io, UINT64 address, UINT8 *index)
{
    for (UINT8 i = 0; i < 6; i++) {
        struct address_descriptor *descriptor = NULL;
        UINT64 size = 0;
        if (EFI_ERROR(io->GetBarAttributes(io, i, NULL, (VOID **)&descriptor)) || !descriptor)
            continue;
        if (descriptor->tag == ADDRESS_DESCRIPTOR_TAG && descriptor->resource_type == ADDRESS_DESCRIPTOR_MEMORY &&
            descriptor->minimum == address && descriptor->translation == 0)
            size = descriptor->size;
        firmware_free(firmware, descriptor);
        if (size) {
            *index = i;
            return size;
        }
    }
    return 0;
}

int firmware_pci_map_registers(struct pci_device *device, unsigned bar, struct registers *registers)
{
    struct pci_function *function = function_of(device);
    UINT8 index = 0;
    UINT32 first;

    memset(registers, 0, sizeof(*registers));
    if (bar > 5)
        return -ERROR_OUT_OF_RANGE;
    uint32_t low = firmware_pci_config_read32(device, PCI_BAR(bar));
    UINT64 address = low & ~0xfu;
    if (low == UINT32_MAX || (low & 1))
        return -ERROR_UNSUPPORTED;
    if ((low & 6) == 4) {
        if (bar == 5)
            return -ERROR_PROTOCOL;
        address |= (UINT64)firmware_pci_config_read32(device, PCI_BAR(bar + 1)) << 32;
    }
    UINT64 size = address ? region_size(firmware_of(device->platform), function->io, address, &index) : 0;
    /* One access through the firmware proves that the region answers before it is touched directly. */
    if (!size || EFI_ERROR(function->io->Mem.Read(function->io, EfiPciIoWidthUint32, index, 0, 1, &first)))
        return -ERROR_UNSUPPORTED;
    registers->platform = device->platform;
    registers->direct = (volatile uint8_t *)address;
    registers->size = size;
    registers->context = device;
    return 0;
}

/* For completeness: registers are always direct here. */
uint64_t firmware_register_read(struct registers *registers, uint64_t offset, unsigned width_bytes)
{
    return width_bytes == 8 ? *(volatile uint64_t *)(registers->direct + offset)
                            : *(volatile uint32_t *)(registers->direct + offset);
}

void firmware_register_write(struct registers *registers, uint64_t offset, unsigned width_bytes, uint64_t value)
{
    if (width_bytes == 8)
        *(volatile uint64_t *)(registers->direct + offset) = value;
    else
        *(volatile uint32_t *)(registers->direct + offset) = (uint32_t)value;
}

int firmware_buffer_map(struct buffer *buffer, struct pci_device *device, uint64_t *address, void **context)
{
    EFI_PCI_IO_PROTOCOL *io = function_of(device)->io;
    EFI_PHYSICAL_ADDRESS mapped;
    UINTN size = buffer->size;

    if (EFI_ERROR(io->Map(io, EfiPciIoOperationBusMasterCommonBuffer, buffer->data, &size, &mapped, context)))
        return -ERROR_UNSUPPORTED;
    if (size != buffer->size) {
        io->Unmap(io, *context);
        return -ERROR_UNSUPPORTED;
    }
    *address = mapped;
    return 0;
}

void firmware_buffer_unmap(struct buffer *buffer, struct pci_device *device, void *context)
{
    EFI_PCI_IO_PROTOCOL *io = function_of(device)->io;

    (void)buffer;
    io->Unmap(io, context);
}
