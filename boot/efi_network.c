/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network addresses, for telling machines apart: of the Simple Network Protocol (UEFI 2.10, section 24.1) and of MAC nodes in device
 * paths (10.3.4.11). Firmware that starts from a stick has not started its network cards: then their drivers are asked to.
 */
#include <stdio.h>
#include <string.h>

#include "boot/efi_firmware.h"

#define CLASS_NETWORK 0x02 /* PCI Code and ID Assignment specification, section 1.3 */
#define ETHERNET 1         /* RFC 3232, "Number Assignments: ARP hardware types" */
#define ETHERNET_ADDRESS 6

static unsigned add_address(const EFI_MAC_ADDRESS *address, char (*macs)[MAC_TEXT], unsigned count, unsigned most)
{
    static const UINT8 none[ETHERNET_ADDRESS];
    const UINT8 *bytes = address->Addr;
    char text[MAC_TEXT];

    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
             bytes[5]);
    for (unsigned i = 0; i < count; i++)
        if (strcmp(macs[i], text) == 0)
            return count;
    if (count == most || memcmp(bytes, none, sizeof(none)) == 0)
        return count;
    memcpy(macs[count], text, sizeof(text));
    return count + 1;
}

static const EFI_MAC_ADDRESS *address_of_path(struct firmware *firmware, EFI_HANDLE handle)
{
    EFI_DEVICE_PATH *path = path_of_handle(firmware, handle);
    const EFI_DEVICE_PATH *node = path ? path_node(path, MESSAGING_DEVICE_PATH, MSG_MAC_ADDR_DP) : NULL;

    if (!node || (size_t)DevicePathNodeLength(node) < sizeof(MAC_ADDR_DEVICE_PATH))
        return NULL;
    const MAC_ADDR_DEVICE_PATH *mac = (const MAC_ADDR_DEVICE_PATH *)node;
    return mac->IfType == ETHERNET ? &mac->MacAddress : NULL;
}

static unsigned find_addresses(struct firmware *firmware, char (*macs)[MAC_TEXT], unsigned most)
{
    EFI_GUID network_guid = EFI_SIMPLE_NETWORK_PROTOCOL_GUID, path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
    EFI_HANDLE *handles;
    unsigned count = 0;

    UINTN found = firmware_handles(firmware, &network_guid, &handles);
    for (UINTN i = 0; i < found; i++) {
        EFI_SIMPLE_NETWORK *network = firmware_handle_protocol(firmware, handles[i], &network_guid);
        if (network && network->Mode && network->Mode->HwAddressSize == ETHERNET_ADDRESS &&
            network->Mode->IfType == ETHERNET)
            count = add_address(&network->Mode->PermanentAddress, macs, count, most);
    }
    firmware_free(firmware, handles);
    found = firmware_handles(firmware, &path_guid, &handles);
    for (UINTN i = 0; i < found; i++) {
        const EFI_MAC_ADDRESS *address = address_of_path(firmware, handles[i]);
        if (address)
            count = add_address(address, macs, count, most);
    }
    firmware_free(firmware, handles);
    return count;
}

/* Not the protocols above it: the card's own driver makes the handle that has the address. */
static bool start_card(struct pci_device *device, void *context)
{
    struct firmware *firmware = context;

    if (device->class_code >> 16 == CLASS_NETWORK)
        firmware->boot->ConnectController(firmware_pci_handle(device), NULL, NULL, FALSE);
    return true;
}

/* All cards, whichever the firmware has started for itself: a rule must see the same addresses on each boot. */
unsigned machine_network_addresses(struct machine *machine, char (*macs)[MAC_TEXT], unsigned most)
{
    struct firmware *firmware = machine->firmware;

    firmware_pci_enumerate(machine->platform, start_card, firmware);
    return find_addresses(firmware, macs, most);
}
