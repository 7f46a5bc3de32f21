/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controller of the AHCI model: registers, links, engines. */
#include "tests/support/ahci_model.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/pci.h"

#define REGISTERS_SIZE (AHCI_GENERIC_SIZE + MODEL_PORTS * AHCI_PORT_SIZE)
#define STATUS_UP 0x123u
#define ERROR_PHY_CHANGED (1u << 16)
#define ERROR_EXCHANGED (1u << 26)
#define TASK_ABSENT 0x7fu
#define RUNNING_BITS (AHCI_CMD_CR | AHCI_CMD_FR)

void ahci_model_violation(struct ahci_model *model, const char *what)
{
    model->violations++;
    model->violation = what;
}

uint64_t ahci_model_random(struct ahci_model *model)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return model->random;
}

static uint64_t now(const struct ahci_model *model)
{
    return model->platform->now;
}

/* ---- memory ---- */

uint8_t *ahci_model_host(struct ahci_model *model, uint64_t address, uint64_t size)
{
    for (unsigned i = 0; i < model->mapping_count; i++) {
        uint64_t at = address - model->mappings[i].address;
        if (address >= model->mappings[i].address && at < model->mappings[i].size) {
            if (size > model->mappings[i].size - at)
                abort();
            return model->mappings[i].host + at;
        }
    }
    return (uint8_t *)(uintptr_t)address;
}

uint32_t ahci_model_transfer(struct ahci_model *model, const struct ahci_model_command *command, uint8_t *data,
                             uint32_t bytes, bool to_host)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < command->header.prdt_length && done < bytes; i++) {
        const struct ahci_region *region = &command->table.regions[i];
        uint32_t size = (region->bytes & 0x3fffffu) + 1;
        if (region->address & 1 || size & 1)
            ahci_model_violation(model, "an odd region");
        if (region->address >> 32 != (region->address + size - 1) >> 32)
            ahci_model_violation(model, "a region across 4 GiB");
        if (!(model->capabilities & AHCI_CAP_S64A) && region->address >> 32)
            ahci_model_violation(model, "a region that the controller does not reach");
        size = size < bytes - done ? size : bytes - done;
        uint8_t *host = ahci_model_host(model, region->address, size);
        if (to_host)
            memcpy(host, data + done, size);
        else
            memcpy(data + done, host, size);
        done += size;
    }
    return done;
}

/* ---- links ---- */

static void link_down(struct ahci_model_port *port)
{
    port->status = 0;
    port->task = TASK_ABSENT;
    port->signature = UINT32_MAX;
    port->error |= ERROR_PHY_CHANGED;
    port->linking = port->waking = false;
    port->accepted = 0;
}

/* The device begins to answer, as after power-on. */
static void link_begin(struct ahci_model *model, struct ahci_model_port *port)
{
    link_down(port);
    port->abandoned = false;
    if (port->device.kind == MODEL_NOTHING)
        return;
    if (port->lost_resets) {
        port->lost_resets--;
        return;
    }
    ahci_model_device_reset(&port->device);
    port->linking = true;
    port->link_at = now(model) + port->link_delay;
}

static void link_update(struct ahci_model *model, struct ahci_model_port *port)
{
    if (port->linking && now(model) >= port->link_at) {
        port->linking = false;
        port->status = STATUS_UP;
        port->task = ATA_STATUS_BUSY;
        port->error |= ERROR_PHY_CHANGED | ERROR_EXCHANGED;
        port->waking = true;
        port->ready_at = now(model) + port->ready_delay;
    }
    if (port->waking && now(model) >= port->ready_at && !port->device.stays_busy && port->command & AHCI_CMD_FR &&
        port->receive && !(port->error & ERROR_EXCHANGED)) {
        static const uint32_t signatures[] = {
            [MODEL_DISK] = AHCI_SIG_ATA, [MODEL_DRIVE] = AHCI_SIG_ATAPI, [MODEL_MULTIPLIER] = AHCI_SIG_MULTIPLIER};
        port->waking = false;
        port->task = 0x0100 | ATA_STATUS_READY;
        port->signature = signatures[port->device.kind];
        ahci_model_host(model, port->receive, AHCI_RECEIVE_SIZE)[0x40] = 0x34;
    }
}

void ahci_model_unplug(struct ahci_model *model, unsigned number)
{
    link_down(&model->ports[number]);
    model->ports[number].device.kind = MODEL_NOTHING;
}

void ahci_model_plug(struct ahci_model *model, unsigned number)
{
    model->ports[number].device.kind = MODEL_DISK;
    link_begin(model, &model->ports[number]);
}

/* ---- commands ---- */

static void fetch(struct ahci_model *model, struct ahci_model_port *port, unsigned slot,
                  struct ahci_model_command *command)
{
    memset(command, 0, sizeof(*command));
    command->slot = slot;
    memcpy(&command->header, ahci_model_host(model, port->list, AHCI_LIST_SIZE) + slot * sizeof(command->header),
           sizeof(command->header));
    if (command->header.table & 127 || command->header.prdt_length > AHCI_TABLE_REGIONS)
        ahci_model_violation(model, "a command table in bad memory");
    memcpy(&command->table, ahci_model_host(model, command->header.table, sizeof(command->table)),
           sizeof(command->table));
    const struct ahci_command_fis *fis = &command->table.fis;
    if ((command->header.flags & 0x1f) != 5 || fis->type != AHCI_FIS_HOST_TO_DEVICE || fis->flags != AHCI_FIS_COMMAND)
        ahci_model_violation(model, "a command that is none");
    command->queued = fis->command == ATA_READ_FPDMA_QUEUED || fis->command == ATA_WRITE_FPDMA_QUEUED;
    command->lba = fis->lba0 | (uint32_t)fis->lba1 << 8 | (uint32_t)fis->lba2 << 16 | (uint64_t)fis->lba3 << 24 |
                   (uint64_t)fis->lba4 << 32 | (uint64_t)fis->lba5 << 40;
    command->count = fis->count_low | (uint32_t)fis->count_high << 8;
    if (command->queued) {
        if (command->count != slot << 3)
            ahci_model_violation(model, "a queued command with the tag of another");
        command->count = fis->features_low | (uint32_t)fis->features_high << 8;
    }
    if (fis->command == ATA_READ_DMA || fis->command == ATA_WRITE_DMA)
        command->lba |= (uint64_t)(fis->device & 0xf) << 24;
}

static void write_bytes(struct ahci_model *model, struct ahci_model_port *port, unsigned slot, uint32_t bytes)
{
    uint8_t *header = ahci_model_host(model, port->list, AHCI_LIST_SIZE) + slot * sizeof(struct ahci_header);
    ((struct ahci_header *)header)->bytes = bytes;
}

static void fail_queued(struct ahci_model_port *port, const struct ahci_model_command *command,
                        struct ahci_model_answer answer)
{
    struct ahci_model_device *device = &port->device;
    memset(device->log, 0, sizeof(device->log));
    device->log[0] = (uint8_t)command->slot;
    device->log[2] = answer.status;
    device->log[3] = answer.error;
    device->error_state = true;
    port->accepted = 0; /* forgotten */
}

/* Runs one command; true when it ended. */
static bool run(struct ahci_model *model, struct ahci_model_port *port, unsigned slot)
{
    struct ahci_model_command command;
    fetch(model, port, slot, &command);
    if (port->device.interface_fault) {
        port->interrupt |= port->device.interface_fault;
        port->device.interface_fault = 0;
        port->halted = port->abandoned = true;
        return true;
    }
    struct ahci_model_answer answer = ahci_model_execute(model, port, &command);
    if (answer.none)
        return false;
    port->task = answer.status | (uint32_t)answer.error << 8;
    uint8_t *receive = ahci_model_host(model, port->receive, AHCI_RECEIVE_SIZE);
    receive[command.queued ? 0x58 : 0x40] = command.queued ? 0xa1 : 0x34;
    if (answer.status & ATA_STATUS_ERROR) {
        port->interrupt |= AHCI_IS_TFES;
        port->halted = true;
        if (command.queued)
            fail_queued(port, &command, answer);
        return true;
    }
    if (command.queued) {
        port->accepted &= ~(1u << slot);
        port->active &= ~(1u << slot);
    } else {
        write_bytes(model, port, slot, answer.bytes);
        port->issue &= ~(1u << slot);
    }
    return true;
}

/* Queued commands are sent to the device at once, and ended later. */
static void accept_queued(struct ahci_model *model, struct ahci_model_port *port)
{
    uint32_t queued = port->issue & port->active;
    if (!queued)
        return;
    if (port->issue & ~port->active)
        ahci_model_violation(model, "queued and other commands at once");
    for (uint32_t left = queued; left; left &= left - 1) {
        struct ahci_model_command command;
        fetch(model, port, (unsigned)__builtin_ctz(left), &command);
        if (!command.queued)
            ahci_model_violation(model, "a command that is not queued, marked as active");
    }
    port->issue &= ~queued;
    port->accepted |= queued;
    unsigned count = (unsigned)__builtin_popcount(port->accepted);
    if (count > port->device.depth)
        ahci_model_violation(model, "more queued commands than the disk takes");
    if (count > port->device.most_queued)
        port->device.most_queued = count;
}

static bool port_poll(struct ahci_model *model, struct ahci_model_port *port)
{
    bool progress = false;
    link_update(model, port);
    if (!(port->command & AHCI_CMD_ST) || port->halted || port->status != STATUS_UP || port->waking)
        return false;
    accept_queued(model, port);
    for (uint64_t tries = 1 + ahci_model_random(model) % 8; tries && port->accepted && !port->halted; tries--) {
        unsigned slot = (unsigned)(ahci_model_random(model) % AHCI_SLOTS);
        if (port->accepted & 1u << slot)
            progress |= run(model, port, slot);
    }
    if (port->issue && !port->halted) {
        struct ahci_model_command command;
        unsigned slot = (unsigned)__builtin_ctz(port->issue);
        fetch(model, port, slot, &command);
        if (command.queued)
            ahci_model_violation(model, "a queued command that is not marked as active");
        progress |= run(model, port, slot);
    }
    return progress;
}

static bool model_poll(struct pollable *pollable)
{
    struct ahci_model *model = (struct ahci_model *)((char *)pollable - offsetof(struct ahci_model, pollable));
    bool progress = false;
    if (model->gone)
        return false;
    for (unsigned i = 0; i < MODEL_PORTS; i++)
        if (model->implemented & 1u << i)
            progress |= port_poll(model, &model->ports[i]);
    return progress;
}

/* ---- port registers ---- */

static void port_update(struct ahci_model *model, struct ahci_model_port *port)
{
    link_update(model, port);
    if (!(port->command & AHCI_CMD_ST) && now(model) >= port->stopped_at && !port->stuck && !port->very_stuck)
        port->command &= ~AHCI_CMD_CR;
    if (!(port->command & AHCI_CMD_FRE) && !port->stuck_receiving)
        port->command &= ~AHCI_CMD_FR;
}

static void port_reset(struct ahci_model *model, struct ahci_model_port *port)
{
    bool stuck_receiving = port->stuck_receiving;
    port->interrupt = port->active = port->issue = port->control = port->error = 0;
    port->list = port->receive = 0;
    port->halted = port->stuck = port->very_stuck = false;
    port->command = (model->staggered ? 0 : AHCI_CMD_SUD) | (stuck_receiving ? AHCI_CMD_FR : 0);
    link_down(port);
    port->error = 0;
    if (!model->staggered)
        link_begin(model, port);
}

static void write_command(struct ahci_model *model, struct ahci_model_port *port, uint32_t value)
{
    uint32_t before = port->command;
    uint32_t rising = value & ~before, falling = before & ~value;
    port->command = (value & ~(RUNNING_BITS | AHCI_CMD_CLO)) | (before & RUNNING_BITS);
    if (value & (AHCI_CMD_ALPE | AHCI_CMD_PMA))
        ahci_model_violation(model, "power saving or a multiplier switched on");
    if (rising & AHCI_CMD_FRE) {
        if (!port->receive || port->receive & 255)
            ahci_model_violation(model, "received messages go to bad memory");
        port->command |= AHCI_CMD_FR;
    }
    if (falling & AHCI_CMD_FRE && before & AHCI_CMD_CR && !port->very_stuck)
        ahci_model_violation(model, "receiving ended before commands did");
    if (rising & AHCI_CMD_SUD && model->staggered)
        link_begin(model, port);
    if (value & AHCI_CMD_CLO) {
        port->task &= ~(uint32_t)(ATA_STATUS_BUSY | ATA_STATUS_DATA_REQUEST);
        port->waking = false;
    }
    if (rising & AHCI_CMD_ST) {
        if (before & AHCI_CMD_CR || !(value & AHCI_CMD_FRE) || port->status != STATUS_UP ||
            port->task & (ATA_STATUS_BUSY | ATA_STATUS_DATA_REQUEST) || !port->list || port->list & 1023)
            ahci_model_violation(model, "started before it could be");
        port->command |= AHCI_CMD_CR;
        if (port->issue)
            port_poll(model, port); /* at once, what is left from before */
    }
    if (falling & AHCI_CMD_ST) {
        port->abandoned |= port->accepted || (port->issue && !port->halted);
        port->accepted = port->active = 0;
        if (!model->keeps_issue)
            port->issue = 0;
        port->halted = false;
        port->stopped_at = now(model) + port->stop_delay;
    }
}

static void write_control(struct ahci_model *model, struct ahci_model_port *port, uint32_t value)
{
    uint32_t before = port->control & 0xf;
    port->control = value;
    if ((value & 0xf) == 1 && before != 1) {
        if (port->command & AHCI_CMD_ST)
            ahci_model_violation(model, "COMRESET to a running port");
        port->reset_at = now(model);
        link_down(port);
    } else if ((value & 0xf) == 0 && before == 1) {
        if (now(model) - port->reset_at < NANOSECONDS_PER_MILLISECOND)
            ahci_model_violation(model, "a COMRESET that was too short");
        port->stuck = false;
        link_begin(model, port);
    }
    if ((value >> 8 & 3) != 3)
        ahci_model_violation(model, "link power management left on");
}

static void write_issue(struct ahci_model *model, struct ahci_model_port *port, uint32_t value)
{
    if (!(port->command & AHCI_CMD_ST))
        ahci_model_violation(model, "a command to a port that does not run");
    if (port->abandoned)
        ahci_model_violation(model, "a command to a disk that still has those given up");
    if (port->accepted && value & ~port->active)
        ahci_model_violation(model, "a command between queued ones");
    if (port->issue && !port->halted && !(model->keeps_issue && !(port->issue & ~value)))
        ahci_model_violation(model, "a command behind one that is not queued");
    if ((uint64_t)value >> AHCI_CAP_SLOTS(model->capabilities))
        ahci_model_violation(model, "a slot that is not there");
    port->issue |= value;
    if (!port->halted)
        accept_queued(model, port);
}

static uint32_t port_read(struct ahci_model *model, struct ahci_model_port *port, uint32_t offset)
{
    port_update(model, port);
    switch (offset) {
    case AHCI_PxIS:
        return port->interrupt | (port->error & ERROR_PHY_CHANGED ? AHCI_IS_PRCS : 0) |
               (port->error & ERROR_EXCHANGED ? AHCI_IS_PCS : 0);
    case AHCI_PxCMD:
        return port->command;
    case AHCI_PxTFD:
        return port->task;
    case AHCI_PxSIG:
        return port->signature;
    case AHCI_PxSSTS:
        return port->status;
    case AHCI_PxSACT:
        return port->active;
    case AHCI_PxCI:
        return port->issue;
    default:
        ahci_model_violation(model, "a port register that is not there was read");
        return 0;
    }
}

static void set_half(uint64_t *value, bool high, uint32_t half)
{
    *value = high ? (*value & UINT32_MAX) | (uint64_t)half << 32 : (*value & ~(uint64_t)UINT32_MAX) | half;
}

static void write_address(struct ahci_model *model, struct ahci_model_port *port, uint32_t offset, uint32_t value)
{
    if (port->command & RUNNING_BITS && !port->stuck_receiving)
        ahci_model_violation(model, "an address was changed while it was in use");
    if (offset < AHCI_PxFB)
        set_half(&port->list, offset != AHCI_PxCLB, value);
    else
        set_half(&port->receive, offset != AHCI_PxFB, value);
}

static void port_write(struct ahci_model *model, struct ahci_model_port *port, uint32_t offset, uint32_t value)
{
    port_update(model, port);
    switch (offset) {
    case AHCI_PxCLB:
    case AHCI_PxCLB + 4:
    case AHCI_PxFB:
    case AHCI_PxFB + 4:
        write_address(model, port, offset, value);
        return;
    case AHCI_PxIS:
        port->interrupt &= ~value;
        return;
    case AHCI_PxIE:
        if (value)
            ahci_model_violation(model, "interrupts switched on");
        return;
    case AHCI_PxCMD:
        write_command(model, port, value);
        return;
    case AHCI_PxSCTL:
        write_control(model, port, value);
        return;
    case AHCI_PxSERR:
        port->error &= ~value;
        return;
    case AHCI_PxSACT:
        port->active |= value;
        return;
    case AHCI_PxCI:
        write_issue(model, port, value);
        return;
    default:
        ahci_model_violation(model, "a port register that is not there was written");
    }
}

/* ---- controller registers ---- */

static void host_reset(struct ahci_model *model)
{
    model->resets++;
    model->host_control = model->stays_in_reset ? AHCI_GHC_HR : 0;
    for (unsigned i = 0; i < MODEL_PORTS; i++)
        port_reset(model, &model->ports[i]);
}

static uint64_t model_read(struct test_pci_function *function, unsigned bar, uint64_t offset, unsigned width)
{
    struct ahci_model *model = function->context;
    if (bar != AHCI_BAR || offset % 4 || width != 4 || offset + 4 > REGISTERS_SIZE)
        ahci_model_violation(model, "a register access outside, or not 32 bits wide");
    if (model->gone)
        return UINT32_MAX;
    if (offset >= AHCI_GENERIC_SIZE) {
        uint64_t number = (offset - AHCI_GENERIC_SIZE) / AHCI_PORT_SIZE;
        if (!(model->implemented & 1u << number))
            ahci_model_violation(model, "a port that is not there was read");
        return port_read(model, &model->ports[number], offset % AHCI_PORT_SIZE);
    }
    switch (offset) {
    case AHCI_CAP:
        return model->capabilities;
    case AHCI_GHC:
        return model->host_control;
    case AHCI_PI:
        return model->forgets && model->resets ? 0 : model->implemented;
    case AHCI_VS:
        return model->version;
    case AHCI_CAP2:
        return model->capabilities2;
    case AHCI_BOHC:
        if (model->handoff & AHCI_BOHC_OOS && now(model) >= model->bios_gone_at)
            model->handoff &= ~(AHCI_BOHC_BOS | AHCI_BOHC_BB);
        return model->handoff;
    default:
        ahci_model_violation(model, "a register that is not there was read");
        return 0;
    }
}

static void host_write(struct ahci_model *model, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case AHCI_GHC:
        if (value & AHCI_GHC_IE || !(value & AHCI_GHC_AE))
            ahci_model_violation(model, "interrupts on, or AHCI off");
        if (value & AHCI_GHC_HR && !(model->host_control & AHCI_GHC_HR))
            host_reset(model);
        else
            model->host_control = value | (model->host_control & AHCI_GHC_HR);
        return;
    case AHCI_IS:
        return;
    case AHCI_CAP:
    case AHCI_PI:
        if (!model->forgets || value != (offset == AHCI_PI ? model->implemented : model->capabilities))
            ahci_model_violation(model, "what only the BIOS may write was written");
        if (offset == AHCI_PI)
            model->forgets = false;
        return;
    case AHCI_BOHC:
        if (value & AHCI_BOHC_OOS && !(model->handoff & AHCI_BOHC_OOS)) {
            model->bios_gone_at = now(model) + model->bios_delay;
            model->handoff |= AHCI_BOHC_BB;
        }
        model->handoff = (model->handoff & ~AHCI_BOHC_OOS) | (value & AHCI_BOHC_OOS);
        return;
    default:
        ahci_model_violation(model, "a register that is not there was written");
    }
}

static void model_write(struct test_pci_function *function, unsigned bar, uint64_t offset, unsigned width,
                        uint64_t value)
{
    struct ahci_model *model = function->context;
    if (bar != AHCI_BAR || offset % 4 || width != 4 || offset + 4 > REGISTERS_SIZE)
        ahci_model_violation(model, "a register access outside, or not 32 bits wide");
    if (model->gone)
        return;
    if (offset < AHCI_GENERIC_SIZE) {
        host_write(model, offset, (uint32_t)value);
        return;
    }
    uint64_t number = (offset - AHCI_GENERIC_SIZE) / AHCI_PORT_SIZE;
    if (!(model->implemented & 1u << number))
        ahci_model_violation(model, "a port that is not there was written");
    port_write(model, &model->ports[number], offset % AHCI_PORT_SIZE, (uint32_t)value);
}

/* ---- buffers ---- */

static struct ahci_model *model_of(struct pci_device *pci)
{
    struct test_pci_function *function =
        (struct test_pci_function *)((char *)pci - offsetof(struct test_pci_function, pci));
    return function->context;
}

static int model_buffer_map(struct buffer *buffer, struct pci_device *pci, uint64_t *address, void **context)
{
    struct ahci_model *model = model_of(pci);
    unsigned index = model->mapping_count;
    model->platform->mappings++;
    *context = NULL;
    *address = (uint64_t)(uintptr_t)buffer->data;
    if (index < MODEL_MAPPINGS && model->move_to[index]) {
        *address = model->move_to[index];
        model->mappings[index].address = *address;
        model->mappings[index].host = buffer->data;
        model->mappings[index].size = buffer->size;
        model->mapping_count++;
    }
    return 0;
}

static void model_buffer_unmap(struct buffer *buffer, struct pci_device *pci, void *context)
{
    (void)context;
    struct ahci_model *model = model_of(pci);
    model->platform->mappings--;
    if (model->function.dma_stops || model->gone)
        return;
    for (unsigned i = 0; i < MODEL_PORTS; i++) {
        const struct ahci_model_port *port = &model->ports[i];
        if (!(port->command & RUNNING_BITS) || !port->receive)
            continue;
        const uint8_t *receive = ahci_model_host(model, port->receive, AHCI_RECEIVE_SIZE);
        if (receive >= (uint8_t *)buffer->data && receive < (uint8_t *)buffer->data + buffer->size)
            ahci_model_violation(model, "memory was unmapped while the controller could still use it");
    }
}

/* ---- life ---- */

void ahci_model_insert(struct ahci_model *model, unsigned port, enum ahci_model_kind kind, const char *serial)
{
    struct ahci_model_device *device = &model->ports[port].device;
    *device = (struct ahci_model_device){.kind = kind,
                                         .serial = serial,
                                         .blocks = kind == MODEL_DRIVE ? 1024 : 4096,
                                         .block = kind == MODEL_DRIVE ? 2048 : 512,
                                         .depth = 32,
                                         .attentions = 1,
                                         .bad_error = ATA_ERROR_UNCORRECTABLE,
                                         .bad_sense = {3, 0x11, 0},
                                         .deaf_lba = UINT64_MAX,
                                         .deaf_command = -1,
                                         .bad_command = -1};
}

void ahci_model_init(struct ahci_model *model, struct test_platform *platform, struct loop *loop)
{
    memset(model, 0, sizeof(*model));
    model->platform = platform;
    model->loop = loop;
    model->capabilities = AHCI_CAP_S64A | AHCI_CAP_SNCQ | AHCI_CAP_SCLO | 31u << 8 | (MODEL_PORTS - 1);
    model->version = 0x00010301;
    model->implemented = (1u << MODEL_PORTS) - 1;
    model->random = 0x9e3779b97f4a7c15ull;
    for (unsigned i = 0; i < MODEL_PORTS; i++) {
        ahci_model_insert(model, i, MODEL_NOTHING, "");
        model->ports[i].link_delay = 5 * NANOSECONDS_PER_MILLISECOND;
        model->ports[i].ready_delay = 20 * NANOSECONDS_PER_MILLISECOND;
        model->ports[i].stop_delay = 50 * NANOSECONDS_PER_MICROSECOND;
    }
    ahci_model_insert(model, 0, MODEL_DISK, "MODEL0001");
    model->function = (struct test_pci_function){
        .pci = {.device = 0x1f, .function = 2, .vendor_id = 0x8086, .device_id = 0x2922, .class_code = PCI_CLASS_AHCI},
        .bar_size = {[AHCI_BAR] = REGISTERS_SIZE},
        .register_read = model_read,
        .register_write = model_write,
        .context = model};
    test_platform_add_function(platform, &model->function);
    model->base_ops = platform->ops;
    platform->ops.buffer_map = model_buffer_map;
    platform->ops.buffer_unmap = model_buffer_unmap;
}

void ahci_model_start(struct ahci_model *model)
{
    for (unsigned i = 0; i < MODEL_PORTS; i++) {
        struct ahci_model_port *port = &model->ports[i];
        struct ahci_model_device *device = &port->device;
        if (device->kind != MODEL_NOTHING && device->blocks < 1u << 22)
            device->data = calloc(device->blocks, device->block);
        /* As the firmware leaves it: the links are up. */
        port_reset(model, port);
        if (device->kind != MODEL_NOTHING && !port->lost_resets) {
            port->linking = false;
            port->status = STATUS_UP;
        }
    }
    model->handoff = model->bios_owned ? AHCI_BOHC_BOS : 0;
    model->pollable.poll = model_poll;
    loop_add(model->loop, &model->pollable);
}

void ahci_model_end(struct ahci_model *model)
{
    loop_remove(model->loop, &model->pollable);
    for (unsigned i = 0; i < MODEL_PORTS; i++)
        free(model->ports[i].device.data);
    model->platform->ops = model->base_ops;
}
