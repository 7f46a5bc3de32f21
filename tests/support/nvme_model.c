/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/nvme_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "drivers/pci.h"

#define PAGE_MIN 4096u
#define INVALID_OPCODE NVME_STATUS(0, 0x01)
#define INVALID_FIELD NVME_STATUS(0, 0x02)
#define INVALID_NAMESPACE NVME_STATUS(0, 0x0b)
#define WRITE_PROTECTED NVME_STATUS(0, 0x20)
#define LBA_OUT_OF_RANGE NVME_STATUS(0, 0x80)
#define INVALID_QUEUE NVME_STATUS(1, 0x01)

static void violation(struct nvme_model *model, const char *what)
{
    model->violations++;
    model->violation = what;
}

static uint64_t random_next(struct nvme_model *model)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return model->random;
}

static uint64_t page_size(const struct nvme_model *model)
{
    return 4096ull << (model->cc >> 7 & 0xfu);
}

/* ---- completions ---- */

static void post(struct nvme_model *model, unsigned id, struct nvme_completion completion, bool wrong_phase)
{
    struct nvme_model_queue *queue = &model->queues[id];
    uint16_t phase = wrong_phase ? queue->phase ^ 1u : queue->phase;
    completion.status = (uint16_t)((completion.status & ~1u) | phase);
    memcpy(&queue->completion[queue->completion_tail], &completion, sizeof(completion));
    if (wrong_phase)
        return;
    if (++queue->completion_tail == queue->entries) {
        queue->completion_tail = 0;
        queue->phase ^= 1u;
    }
}

static bool completion_room(const struct nvme_model_queue *queue)
{
    return (queue->completion_tail + 1) % queue->entries != queue->completion_head;
}

static void finish(struct nvme_model *model, unsigned id, const struct nvme_command *command, uint16_t status,
                   uint32_t dword0)
{
    struct nvme_model_queue *queue = &model->queues[id];
    struct nvme_completion completion = {.dword0 = dword0,
                                         .submission_head = (uint16_t)queue->submission_head,
                                         .submission_id = (uint16_t)id,
                                         .command_id = command->command_id,
                                         .status = (uint16_t)(status << 1)};
    enum nvme_model_lie *lie = id ? &model->lie : &model->admin_lie;
    enum nvme_model_lie how = *lie;
    if (!model->lie_for_ever)
        *lie = LIE_NONE;
    switch (how) {
    case LIE_NONE:
    case LIE_PHASE:
        break;
    case LIE_COMMAND_ID:
        completion.command_id ^= 0x0100;
        break;
    case LIE_SLOT:
        completion.command_id |= 0xff;
        break;
    case LIE_SUBMISSION_ID:
        completion.submission_id = 7;
        break;
    case LIE_HEAD:
        completion.submission_head = 0xffff;
        break;
    case LIE_TWICE:
        post(model, id, completion, false);
        break;
    case LIE_FLOOD:
        for (uint32_t i = 0; i < 3 * queue->entries; i++) {
            completion.command_id = (uint16_t)random_next(model);
            post(model, id, completion, false);
        }
        model->deaf = true; /* or true answers would run over these before anyone has seen them */
        return;
    }
    post(model, id, completion, how == LIE_PHASE);
}

/* ---- data ---- */

/* Walks PRP 1 and 2; copies between them and `data`. Returns a status. */
static uint16_t transfer(struct nvme_model *model, const struct nvme_command *command, uint8_t *data, uint64_t bytes,
                         bool to_host)
{
    uint64_t page = page_size(model);
    if (model->max_transfer && bytes > (4096ull << NVME_CAP_MPSMIN(model->capabilities)) << model->max_transfer) {
        violation(model, "a transfer beyond MDTS");
        return INVALID_FIELD;
    }
    if (bytes > model->biggest)
        model->biggest = bytes;
    if (command->prp1 & 3)
        violation(model, "PRP 1 is not a multiple of four");
    uint64_t address = command->prp1;
    uint64_t piece = page - (address & (page - 1));
    const uint64_t *list = NULL;
    for (uint64_t done = 0; done < bytes;) {
        piece = piece < bytes - done ? piece : bytes - done;
        if (to_host)
            memcpy((void *)address, data + done, piece);
        else
            memcpy(data + done, (const void *)address, piece);
        done += piece;
        uint64_t left = bytes - done;
        if (!left)
            break;
        if (!list && left <= page) {
            address = command->prp2;
        } else {
            if (!list)
                list = (const uint64_t *)command->prp2;
            /* 4.3: the last entry of a list page chains when more follow */
            if (!((uint64_t)(list + 1) & (page - 1)) && left > page)
                list = (const uint64_t *)*list;
            address = *list++;
        }
        if (address & (page - 1))
            violation(model, "a PRP after the first is not page aligned");
        piece = page;
    }
    return 0;
}

/* ---- admin commands ---- */

static struct nvme_model_namespace *find_namespace(struct nvme_model *model, uint32_t id)
{
    for (unsigned i = 0; i < MODEL_NAMESPACES; i++)
        if (id && model->namespaces[i].id == id)
            return &model->namespaces[i];
    return NULL;
}

static void pad_text(char *to, size_t size, const char *text)
{
    memset(to, ' ', size);
    memcpy(to, text, strlen(text) < size ? strlen(text) : size);
}

static void fill_controller(const struct nvme_model *model, struct nvme_identify_controller *identify)
{
    pad_text(identify->serial, sizeof(identify->serial), model->serial);
    pad_text(identify->model, sizeof(identify->model), "Model drive");
    pad_text(identify->firmware, sizeof(identify->firmware), "1.0");
    identify->max_transfer = model->max_transfer;
    identify->version = model->version;
    identify->optional_commands = model->optional_commands;
    identify->volatile_cache = model->volatile_cache;
    for (unsigned i = 0; i < MODEL_NAMESPACES; i++)
        if (model->namespaces[i].id > identify->namespaces)
            identify->namespaces = model->namespaces[i].id;
}

static void fill_namespace(const struct nvme_model_namespace *namespace, struct nvme_identify_namespace *identify)
{
    identify->size = identify->capacity = namespace->blocks;
    identify->formats = 1;
    identify->format = 1;
    identify->lba_formats[0] = (struct nvme_lba_format){.shift = 9};
    identify->lba_formats[1] = (struct nvme_lba_format){.shift = namespace->shift, .metadata = namespace->metadata};
    identify->attributes = namespace->write_protected;
    if (namespace->write_granularity) {
        identify->features |= NVME_NSFEAT_GRANULARITY;
        identify->write_granularity = namespace->write_granularity;
    }
}

static uint16_t admin_identify(struct nvme_model *model, const struct nvme_command *command)
{
    uint8_t page[NVME_IDENTIFY_SIZE] __attribute__((aligned(16))) = {0};
    struct nvme_model_namespace *namespace = find_namespace(model, command->namespace_id);
    if (model->version < NVME_VERSION(1, 1) && command->dword10 > 1)
        return INVALID_FIELD;
    switch (command->dword10) {
    case NVME_IDENTIFY_NAMESPACE:
        if (namespace && namespace->announced_only)
            return INVALID_NAMESPACE;
        if (namespace)
            fill_namespace(namespace, (struct nvme_identify_namespace *)page);
        break;
    case NVME_IDENTIFY_CONTROLLER:
        fill_controller(model, (struct nvme_identify_controller *)page);
        break;
    case NVME_IDENTIFY_ACTIVE_NAMESPACES:
        for (unsigned i = 0, at = 0; i < MODEL_NAMESPACES; i++)
            if (model->namespaces[i].id > command->namespace_id)
                ((uint32_t *)page)[at++] = model->namespaces[i].id;
        break;
    case NVME_IDENTIFY_DESCRIPTORS:
        if (!namespace)
            return INVALID_NAMESPACE;
        page[0] = 1; /* EUI64 first */
        page[1] = 8;
        page[12] = NVME_DESCRIPTOR_COMMAND_SET;
        page[13] = 1;
        page[16] = namespace->command_set;
        break;
    default:
        return INVALID_FIELD;
    }
    return transfer(model, command, page, sizeof(page), true);
}

static uint16_t admin_create(struct nvme_model *model, const struct nvme_command *command, bool submission)
{
    uint32_t id = command->dword10 & 0xffffu;
    uint32_t entries = (command->dword10 >> 16) + 1;
    struct nvme_model_queue *queue = &model->queues[1];
    if (id != 1 || entries < 2 || entries > NVME_CAP_MQES(model->capabilities) + 1)
        return INVALID_QUEUE;
    if (!(command->dword11 & NVME_QUEUE_CONTIGUOUS) || command->prp1 & (page_size(model) - 1)) {
        violation(model, "a queue in bad memory");
        return INVALID_FIELD;
    }
    queue->entries = entries;
    queue->phase = 1;
    if (!submission) {
        queue->completion = (struct nvme_completion *)command->prp1;
        return 0;
    }
    if (command->dword11 >> 16 != 1 || !queue->completion)
        return INVALID_QUEUE;
    queue->submission = (struct nvme_command *)command->prp1;
    queue->exists = true;
    return 0;
}

static void run_admin(struct nvme_model *model, const struct nvme_command *command)
{
    uint16_t status = INVALID_OPCODE;
    uint32_t dword0 = 0;
    if (model->deaf_opcode == command->opcode)
        return;
    if (model->bad_opcode == command->opcode)
        status = model->bad_status;
    else if (command->opcode == NVME_ADMIN_IDENTIFY)
        status = admin_identify(model, command);
    else if (command->opcode == NVME_ADMIN_CREATE_COMPLETION_QUEUE)
        status = admin_create(model, command, false);
    else if (command->opcode == NVME_ADMIN_CREATE_SUBMISSION_QUEUE)
        status = admin_create(model, command, true);
    else if (command->opcode == NVME_ADMIN_SET_FEATURES && (command->dword10 & 0xffu) == NVME_FEATURE_QUEUES) {
        status = model->queue_count_status;
        dword0 = 0x00070007;
    }
    finish(model, 0, command, status, dword0);
}

/* ---- I/O commands ---- */

static bool touches_bad(const struct nvme_model *model, uint64_t lba, uint64_t count)
{
    return lba < model->bad_lba + model->bad_count && model->bad_lba < lba + count;
}

static uint16_t run_dataset(struct nvme_model *model, const struct nvme_command *command,
                            struct nvme_model_namespace *namespace)
{
    struct nvme_dataset_range ranges[256];
    uint32_t count = (command->dword10 & 0xffu) + 1;
    if (!(command->dword11 & NVME_DATASET_DEALLOCATE))
        return INVALID_FIELD;
    model->discards++;
    uint16_t status = transfer(model, command, (uint8_t *)ranges, count * sizeof(ranges[0]), false);
    for (uint32_t i = 0; !status && i < count; i++) {
        if (ranges[i].lba > namespace->blocks || ranges[i].count > namespace->blocks - ranges[i].lba)
            return LBA_OUT_OF_RANGE;
        memset(namespace->data + (ranges[i].lba << namespace->shift), 0, (size_t)ranges[i].count << namespace->shift);
    }
    return status;
}

static uint16_t run_io(struct nvme_model *model, const struct nvme_command *command)
{
    struct nvme_model_namespace *namespace = find_namespace(model, command->namespace_id);
    if (!namespace)
        return INVALID_NAMESPACE;
    uint64_t lba = command->dword10 | (uint64_t)command->dword11 << 32;
    uint64_t count = (command->dword12 & 0xffffu) + 1;
    if (command->opcode == NVME_FLUSH) {
        model->flushes++;
        return 0;
    }
    if (command->opcode != NVME_READ && namespace->write_protected)
        return WRITE_PROTECTED;
    if (command->opcode == NVME_DATASET_MANAGEMENT)
        return run_dataset(model, command, namespace);
    if (lba > namespace->blocks || count > namespace->blocks - lba) {
        violation(model, "blocks beyond the namespace");
        return LBA_OUT_OF_RANGE;
    }
    if (touches_bad(model, lba, count))
        return model->bad_status;
    uint8_t *data = namespace->data + (lba << namespace->shift);
    uint64_t bytes = count << namespace->shift;
    switch (command->opcode) {
    case NVME_READ:
        return transfer(model, command, data, bytes, true);
    case NVME_WRITE:
        return transfer(model, command, data, bytes, false);
    case NVME_WRITE_ZEROES:
        model->write_zeroes++;
        memset(data, 0, bytes);
        return 0;
    default:
        violation(model, "an I/O command that was not offered");
        return INVALID_OPCODE;
    }
}

/* ---- the clockwork ---- */

static void fetch(struct nvme_model *model, unsigned id)
{
    struct nvme_model_queue *queue = &model->queues[id];
    unsigned io = 0;
    while (queue->submission_head != queue->submission_tail) {
        if (model->pending_count == MODEL_PENDING) {
            violation(model, "more commands than any queue holds");
            return;
        }
        struct nvme_model_pending *pending = &model->pending[model->pending_count++];
        pending->queue = (uint16_t)id;
        pending->command = queue->submission[queue->submission_head];
        queue->submission_head = (queue->submission_head + 1) % queue->entries;
    }
    for (unsigned i = 0; i < model->pending_count; i++)
        io += model->pending[i].queue;
    if (io > model->most_pending)
        model->most_pending = io;
}

static bool is_held(const struct nvme_model *model, const struct nvme_model_pending *pending)
{
    if (!pending->queue)
        return false;
    if (model->frozen)
        return true;
    uint64_t lba = pending->command.dword10 | (uint64_t)pending->command.dword11 << 32;
    return (model->deaf || model->deaf_for_ever) && (model->deaf_lba == UINT64_MAX || model->deaf_lba == lba);
}

static bool model_poll(struct pollable *pollable)
{
    struct nvme_model *model = (struct nvme_model *)((char *)pollable - offsetof(struct nvme_model, pollable));
    if (model->gone || model->dma_stopped || model->fatal || model->fatal_for_ever || !(model->csts & NVME_CSTS_RDY) ||
        !model->pending_count)
        return false;
    /* A few, in any order */
    bool progress = false;
    for (uint64_t tries = 1 + random_next(model) % 8; tries && model->pending_count; tries--) {
        unsigned index = (unsigned)(random_next(model) % model->pending_count);
        struct nvme_model_pending pending = model->pending[index];
        if (is_held(model, &pending) || !completion_room(&model->queues[pending.queue]))
            continue;
        model->pending[index] = model->pending[--model->pending_count];
        if (++model->commands == model->gone_after) {
            model->gone = true;
            return true;
        }
        progress = true;
        if (pending.queue)
            finish(model, 1, &pending.command, run_io(model, &pending.command), 0);
        else
            run_admin(model, &pending.command);
    }
    return progress;
}

/* ---- registers ---- */

static void update_ready(struct nvme_model *model)
{
    bool enabled = model->cc & NVME_CC_EN;
    if (model->base_ops->now(model->platform) < model->change_at)
        return;
    if (enabled && !model->never_ready)
        model->csts |= NVME_CSTS_RDY;
    if (!enabled && !model->never_disabled)
        model->csts &= ~NVME_CSTS_RDY;
    if (model->fatal_for_ever)
        model->fatal = true;
    model->csts = model->fatal ? model->csts | NVME_CSTS_CFS : model->csts & ~NVME_CSTS_CFS;
}

static void write_configuration(struct nvme_model *model, uint32_t value)
{
    uint32_t before = model->cc;
    model->cc = value;
    if (value & NVME_CC_EN && !(before & NVME_CC_EN)) {
        if (model->csts & NVME_CSTS_RDY)
            violation(model, "enabled before it was disabled");
        if (model->intms != UINT32_MAX)
            violation(model, "enabled with interrupts unmasked");
        if ((value & 0x00ff0000u) != (NVME_CC_IOSQES | NVME_CC_IOCQES))
            violation(model, "wrong queue entry sizes");
        if (page_size(model) < 4096ull << NVME_CAP_MPSMIN(model->capabilities) || model->asq & (page_size(model) - 1) ||
            model->acq & (page_size(model) - 1))
            violation(model, "admin queues in bad memory");
        model->queues[0] = (struct nvme_model_queue){.exists = true,
                                                     .submission = (struct nvme_command *)model->asq,
                                                     .completion = (struct nvme_completion *)model->acq,
                                                     .entries = (model->aqa & 0xfffu) + 1,
                                                     .phase = 1};
        model->change_at = model->base_ops->now(model->platform) + model->ready_delay;
    }
    if (!(value & NVME_CC_EN) && before & NVME_CC_EN) {
        model->resets++;
        model->pending_count = 0;
        memset(model->queues, 0, sizeof(model->queues));
        model->deaf = model->fatal = false;
        model->intms = 0;
        model->csts &= ~NVME_CSTS_SHST_MASK;
        model->change_at = model->base_ops->now(model->platform) + model->ready_delay;
    }
    if ((value & NVME_CC_SHN_MASK) == NVME_CC_SHN_NORMAL && value & NVME_CC_EN) {
        model->clean_shutdown = !model->pending_count;
        model->csts |= NVME_CSTS_SHST_DONE;
    }
}

static void write_doorbell(struct nvme_model *model, uint64_t offset, uint32_t value)
{
    uint32_t stride = 4u << NVME_CAP_DSTRD(model->capabilities);
    uint64_t index = (offset - NVME_DOORBELLS) / stride;
    struct nvme_model_queue *queue = &model->queues[index / 2 % MODEL_QUEUES];
    model->doorbells++;
    if ((offset - NVME_DOORBELLS) % stride || index >= 2 * MODEL_QUEUES || !queue->exists || value >= queue->entries ||
        !(model->csts & NVME_CSTS_RDY)) {
        violation(model, "a doorbell that is not there, or a wrong value");
        return;
    }
    if (index & 1) {
        queue->completion_head = value;
        return;
    }
    queue->submission_tail = value;
    fetch(model, (unsigned)(index / 2));
}

static uint64_t model_read(struct registers *registers, uint64_t offset, unsigned width)
{
    struct nvme_model *model = registers->context;
    if (offset % 4 || width != 4 || offset + 4 > model->registers_size)
        violation(model, "a register access outside, or not 32 bits wide");
    if (model->gone)
        return UINT32_MAX;
    update_ready(model);
    switch (offset) {
    case NVME_CAP:
        return (uint32_t)model->capabilities;
    case NVME_CAP + 4:
        return model->capabilities >> 32;
    case NVME_VS:
        return model->version;
    case NVME_CC:
        return model->cc;
    case NVME_CSTS:
        return model->csts;
    case NVME_CRTO:
        return 4;
    default:
        violation(model, "a register that is not there was read");
        return 0;
    }
}

static void set_half(uint64_t *value, bool high, uint32_t half)
{
    *value = high ? (*value & UINT32_MAX) | (uint64_t)half << 32 : (*value & ~(uint64_t)UINT32_MAX) | half;
}

static void model_write(struct registers *registers, uint64_t offset, unsigned width, uint64_t value64)
{
    struct nvme_model *model = registers->context;
    uint32_t value = (uint32_t)value64;
    if (offset % 4 || width != 4 || offset + 4 > model->registers_size)
        violation(model, "a register access outside, or not 32 bits wide");
    if (model->gone)
        return;
    update_ready(model);
    if (offset >= NVME_DOORBELLS) {
        write_doorbell(model, offset, value);
        return;
    }
    bool enabled = model->cc & NVME_CC_EN;
    switch (offset) {
    case NVME_INTMS:
        model->intms |= value;
        return;
    case NVME_CC:
        write_configuration(model, value);
        return;
    case NVME_AQA:
        model->aqa = value;
        break;
    case NVME_ASQ:
    case NVME_ASQ + 4:
        set_half(&model->asq, offset != NVME_ASQ, value);
        break;
    case NVME_ACQ:
    case NVME_ACQ + 4:
        set_half(&model->acq, offset != NVME_ACQ, value);
        break;
    default:
        violation(model, "a register that is not there was written");
    }
    if (enabled)
        violation(model, "an admin queue register was written while enabled");
}

/* ---- PCI ---- */

static struct nvme_model *model_of(struct pci_device *pci)
{
    return pci->context;
}

static int model_claim(struct pci_device *pci, struct error *error)
{
    (void)error;
    model_of(pci)->claims++;
    model_of(pci)->dma_stopped = false;
    pci->claimed = true;
    return 0;
}

static void model_release(struct pci_device *pci)
{
    model_of(pci)->releases++;
    model_of(pci)->dma_stopped = true;
    pci->claimed = false;
}

static void model_stop_dma(struct pci_device *pci)
{
    model_of(pci)->dma_stops++;
    model_of(pci)->dma_stopped = true;
}

static uint32_t model_config_read(struct pci_device *pci, unsigned offset)
{
    return offset < 256 ? model_of(pci)->configuration_space[offset / 4] : UINT32_MAX;
}

static void model_config_write(struct pci_device *pci, unsigned offset, uint32_t value)
{
    if (offset < 256)
        model_of(pci)->configuration_space[offset / 4] = value;
}

static int model_map_registers(struct pci_device *pci, unsigned bar, struct registers *registers)
{
    struct nvme_model *model = model_of(pci);
    if (bar)
        return -ERROR_NOT_FOUND;
    *registers = (struct registers){.platform = model->platform, .size = model->registers_size, .context = model};
    return 0;
}

static int model_buffer_map(struct buffer *buffer, struct pci_device *pci, uint64_t *address, void **context)
{
    (void)pci;
    *address = (uint64_t)buffer->data;
    *context = NULL;
    return 0;
}

static void model_buffer_unmap(struct buffer *buffer, struct pci_device *pci, void *context)
{
    (void)context;
    struct nvme_model *model = model_of(pci);
    uint64_t start = (uint64_t)buffer->data;
    bool queues = model->asq >= start && model->asq < start + buffer->size;
    if (!model->dma_stopped && model->csts & NVME_CSTS_RDY && (queues || model->pending_count))
        violation(model, "memory was unmapped while the controller could still use it");
}

void nvme_model_init(struct nvme_model *model, struct loop *loop)
{
    memset(model, 0, sizeof(*model));
    model->loop = loop;
    model->platform = loop->platform;
    model->capabilities = 1023ull | 1ull << 16 | 20ull << 24 | NVME_CAP_CSS_NVM;
    model->version = NVME_VERSION(1, 4);
    model->max_transfer = 7;
    model->optional_commands = NVME_ONCS_DATASET | NVME_ONCS_WRITE_ZEROES;
    model->volatile_cache = 1;
    model->serial = "MODEL0001";
    model->registers_size = 0x2000;
    model->namespaces[0] = (struct nvme_model_namespace){.id = 1, .shift = 9, .blocks = 4096};
    model->deaf_lba = UINT64_MAX;
    model->deaf_opcode = model->bad_opcode = -1;
    model->random = 0x9e3779b97f4a7c15ull;
    /* One capability list: power management, MSI, MSI-X, and back to the first: it never ends. */
    model->configuration_space[1] = 1u << 20 | 6u;
    model->configuration_space[0x34 / 4] = 0x40;
    model->configuration_space[0x40 / 4] = 0x5001;
    model->configuration_space[0x50 / 4] = 1u << 16 | 0x6005;
    model->configuration_space[0x60 / 4] = 1u << 31 | 0x4011;

    model->base_ops = loop->platform->ops;
    model->ops = *model->base_ops;
    model->ops.pci_claim = model_claim;
    model->ops.pci_release = model_release;
    model->ops.pci_stop_dma = model_stop_dma;
    model->ops.pci_config_read32 = model_config_read;
    model->ops.pci_config_write32 = model_config_write;
    model->ops.pci_map_registers = model_map_registers;
    model->ops.register_read = model_read;
    model->ops.register_write = model_write;
    model->ops.buffer_map = model_buffer_map;
    model->ops.buffer_unmap = model_buffer_unmap;
    loop->platform->ops = &model->ops;
    model->pci = (struct pci_device){.platform = loop->platform,
                                     .bus = 1,
                                     .vendor_id = 0x1b36,
                                     .device_id = 0x0010,
                                     .class_code = PCI_CLASS_NVME,
                                     .context = model};
}

void nvme_model_start(struct nvme_model *model)
{
    for (unsigned i = 0; i < MODEL_NAMESPACES; i++) {
        struct nvme_model_namespace *namespace = &model->namespaces[i];
        if (namespace->id && namespace->blocks < 1u << 20)
        namespace->data = calloc(namespace->blocks, 1u << namespace->shift);
    }
    model->pollable.poll = model_poll;
    loop_add(model->loop, &model->pollable);
}

void nvme_model_end(struct nvme_model *model)
{
    loop_remove(model->loop, &model->pollable);
    for (unsigned i = 0; i < MODEL_NAMESPACES; i++)
        free(model->namespaces[i].data);
    model->platform->ops = model->base_ops;
}
