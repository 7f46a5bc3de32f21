/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command tables: AHCI 1.3.1, section 4.2; the register FIS of ACS-4's commands. */
#include <string.h>

#include "drivers/ahci_internal.h"

static void fill_fis(const struct ahci_command *command, unsigned slot, struct ahci_command_fis *fis)
{
    uint16_t features = command->features, count = command->count;
    if (command->queued) {
        /* ACS-4, 7.23: the number of blocks stands in features, the tag in bits 7:3 of count. */
        features = command->count;
        count = (uint16_t)(slot << 3);
    }
    *fis = (struct ahci_command_fis){
        .type = AHCI_FIS_HOST_TO_DEVICE,
        .flags = AHCI_FIS_COMMAND,
        .command = command->command,
        .features_low = (uint8_t)features,
        .features_high = (uint8_t)(features >> 8),
        .lba0 = (uint8_t)command->lba,
        .lba1 = (uint8_t)(command->lba >> 8),
        .lba2 = (uint8_t)(command->lba >> 16),
        .lba3 = (uint8_t)(command->lba >> 24),
        .lba4 = (uint8_t)(command->lba >> 32),
        .lba5 = (uint8_t)(command->lba >> 40),
        .device = command->device,
        .count_low = (uint8_t)count,
        .count_high = (uint8_t)(count >> 8),
    };
}

/* Returns the number of regions. They end where 4 GiB end: not every controller carries into the upper half of an address. */
static uint16_t fill_regions(const struct ahci_command *command, struct ahci_region regions[AHCI_TABLE_REGIONS])
{
    uint64_t address = command->address;
    uint32_t left = command->bytes;
    uint16_t count = 0;
    while (left && count < AHCI_TABLE_REGIONS) {
        uint64_t room = (1ull << 32) - (address & UINT32_MAX);
        uint32_t piece = left < AHCI_REGION_MAX ? left : AHCI_REGION_MAX;
        piece = piece < room ? piece : (uint32_t)room;
        regions[count++] = (struct ahci_region){.address = address, .bytes = piece - 1};
        address += piece;
        left -= piece;
    }
    return count;
}
_Static_assert(AHCI_MAX_TRANSFER / AHCI_REGION_MAX + 2 <= AHCI_TABLE_REGIONS, "every transfer fits its table");

void ahci_command_build(struct ahci_port *port, unsigned slot, const struct ahci_command *command)
{
    struct ahci_table *table = &port->memory->tables[slot];
    unsigned flags = sizeof(struct ahci_command_fis) / 4;
    fill_fis(command, slot, &table->fis);
    if (command->command == ATA_PACKET) {
        memcpy(table->packet, command->packet, sizeof(table->packet));
        flags |= AHCI_HEADER_ATAPI;
    }
    if (command->write)
        flags |= AHCI_HEADER_WRITE;
    port->memory->list[slot] = (struct ahci_header){
        .flags = (uint16_t)flags,
        .prdt_length = fill_regions(command, table->regions),
        .table = AHCI_ADDRESS(port, tables) + slot * sizeof(struct ahci_table),
    };
}

void ahci_command_defuse(struct ahci_port *port, unsigned slot)
{
    struct ahci_command command = {.command = port->packet ? ATA_IDENTIFY_PACKET_DEVICE : ATA_IDENTIFY_DEVICE,
                                   .address = AHCI_ADDRESS(port, data),
                                   .bytes = ATA_SECTOR};
    ahci_command_build(port, slot, &command);
}

void ahci_command_issue(struct ahci_port *port, unsigned slot, bool queued)
{
    dma_barrier(); /* header, table and data are in memory before the controller is told */
    if (queued)
        ahci_write(port, AHCI_PxSACT, 1u << slot); /* 5.6.4.1: before CI */
    ahci_write(port, AHCI_PxCI, 1u << slot);
}

uint32_t ahci_command_bytes(const struct ahci_port *port, unsigned slot)
{
    return *(volatile uint32_t *)&port->memory->list[slot].bytes;
}

struct ahci_command ahci_packet(const struct ahci_port *port, uint8_t operation, uint64_t address, uint32_t bytes)
{
    struct ahci_command command = {.command = ATA_PACKET, .address = address, .bytes = bytes, .packet = {operation}};
    /* ACS-3, 7.18: LBA bits 23:8 limit the bytes of a PIO transfer; nothing is read there with DMA. */
    if (bytes) {
        command.features = ATA_PACKET_DMA;
        if (port->identity.packet_direction)
            command.features |= ATA_PACKET_TO_HOST;
        command.lba = (bytes < 0xfffe ? bytes : 0xfffeu) << 8;
    }
    return command;
}
