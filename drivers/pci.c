/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "drivers/pci.h"

#include <stdio.h>

#define PCI_COMMAND_STATUS 0x04u
#define PCI_COMMAND_INTERRUPT_DISABLE (1u << 10)
#define PCI_STATUS_CAPABILITIES (1u << 20)
#define PCI_CAPABILITY_POINTER 0x34u
#define PCI_HEADER_END 0x40u
#define PCI_CONFIGURATION_END 0x100u

#define PCI_POWER_CONTROL 4u
#define PCI_POWER_STATE 3u
/* PCI Bus Power Management 1.2, section 5.6.1: 10 ms from D3hot to D0. */
#define PCI_POWER_UP_TIME (10 * NANOSECONDS_PER_MILLISECOND)

#define PCI_MSI_ENABLE (1u << 16)
#define PCI_MSI_X_ENABLE (1u << 31)

static uint32_t config_read(struct pci_device *device, unsigned offset)
{
    return device->platform->ops->pci_config_read32(device, offset);
}

static void config_write(struct pci_device *device, unsigned offset, uint32_t value)
{
    device->platform->ops->pci_config_write32(device, offset, value);
}

void pci_name(const struct pci_device *device, char name[PCI_NAME_MAX])
{
    snprintf(name, PCI_NAME_MAX, "%04x:%02x:%02x.%x", device->segment, device->bus, device->device & 31u,
             device->function & 7u);
}

unsigned pci_find_capability(struct pci_device *device, enum pci_capability capability)
{
    if (!(config_read(device, PCI_COMMAND_STATUS) & PCI_STATUS_CAPABILITIES))
        return 0;
    unsigned offset = config_read(device, PCI_CAPABILITY_POINTER) & 0xfcu;
    /* No more capabilities fit behind the header than this: a longer list runs in a circle. */
    for (unsigned left = (PCI_CONFIGURATION_END - PCI_HEADER_END) / 4; left && offset >= PCI_HEADER_END; left--) {
        uint32_t header = config_read(device, offset);
        if ((header & 0xffu) == (unsigned)capability)
            return offset;
        if (header == UINT32_MAX)
            return 0;
        offset = header >> 8 & 0xfcu;
    }
    return 0;
}

void pci_power_up(struct loop *loop, struct pci_device *device)
{
    unsigned offset = pci_find_capability(device, PCI_CAPABILITY_POWER);
    if (!offset || offset + PCI_POWER_CONTROL >= PCI_CONFIGURATION_END)
        return;
    uint32_t control = config_read(device, offset + PCI_POWER_CONTROL);
    if (!(control & PCI_POWER_STATE))
        return;
    config_write(device, offset + PCI_POWER_CONTROL, control & ~PCI_POWER_STATE);
    loop_delay(loop, PCI_POWER_UP_TIME);
}

void pci_disable_interrupts(struct pci_device *device)
{
    unsigned msi = pci_find_capability(device, PCI_CAPABILITY_MSI);
    if (msi)
        config_write(device, msi, config_read(device, msi) & ~PCI_MSI_ENABLE);
    unsigned msi_x = pci_find_capability(device, PCI_CAPABILITY_MSI_X);
    if (msi_x)
        config_write(device, msi_x, config_read(device, msi_x) & ~PCI_MSI_X_ENABLE);
    /* The upper half holds status bits that are cleared by writing ones: write zeroes there. */
    uint32_t command = config_read(device, PCI_COMMAND_STATUS) & 0xffffu;
    config_write(device, PCI_COMMAND_STATUS, command | PCI_COMMAND_INTERRUPT_DISABLE);
}
