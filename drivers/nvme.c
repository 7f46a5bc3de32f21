/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a controller: bring-up, resets, failure, shutdown. Bring-up and recovery after a reset are the same walk
 * through enum nvme_state (NVM Express Base Specification 1.4c, section 7.6.1), taken in small steps by nvme_poll(),
 * because a reset may not wait.
 */
#include "drivers/nvme.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/nvme_internal.h"
#include "drivers/pci.h"
#include "drivers/quirks.h"

#define NVME_ALL_ONES UINT32_MAX

bool nvme_matches(const struct pci_device *pci)
{
    return pci->class_code == PCI_CLASS_NVME;
}

/* ---- failure and reset ---- */

void nvme_fail(struct nvme_controller *controller, enum error_code code, const char *reason, ...)
{
    if (controller->state == NVME_FAILED)
        return;
    char text[ERROR_DETAIL_MAX];
    va_list arguments;
    va_start(arguments, reason);
    vsnprintf(text, sizeof(text), reason, arguments);
    va_end(arguments);
    error_set(&controller->failure, code, OPERATION_RESET, controller->name, ERROR_NO_BLOCK, "%s", text);
    platform_log(controller->platform, LOG_ERROR, "%s: given up: %s", controller->name, text);

    controller->state = NVME_FAILED;
    controller->pci->platform->ops->pci_stop_dma(controller->pci);
    nvme_forget_all(controller);
    controller->admin_result = (struct nvme_result){true, -(int)code, 0, 0};
    for (struct nvme_namespace *namespace = controller->namespaces; namespace; namespace = namespace->next)
        block_device_die(&namespace->device);
}

static void controller_enter(struct nvme_controller *controller, enum nvme_state state, uint64_t timeout)
{
    controller->state = state;
    controller->deadline = deadline_after(controller->platform, timeout);
}

/* After CC.EN has changed. */
static void controller_settle(struct nvme_controller *controller, enum nvme_state state)
{
    uint64_t quiet = controller->quirks & QUIRK_NVME_SLOW_READY ? NVME_SLOW_READY_TIME : 0;
    uint64_t timeout = quiet + controller->ready_timeout;
    if (state == NVME_DISABLING && timeout > NVME_DISABLE_TIMEOUT_MAX)
        timeout = NVME_DISABLE_TIMEOUT_MAX;
    controller_enter(controller, state, timeout);
    controller->quiet_until = quiet ? deadline_after(controller->platform, quiet) : 0;
}

static void controller_disable(struct nvme_controller *controller)
{
    uint32_t configuration = register_read32(&controller->registers, NVME_CC);
    configuration &= ~(NVME_CC_EN | NVME_CC_SHN_MASK);
    register_write32(&controller->registers, NVME_CC, configuration);
    controller_settle(controller, NVME_DISABLING);
}

void nvme_reset(struct nvme_controller *controller, const char *reason)
{
    if (controller->state != NVME_READY)
        return;
    if (!controller->admin_result.ended || ++controller->resets > NVME_RESETS_MAX) {
        nvme_fail(controller, ERROR_GONE, "%s, and resets do not help", reason);
        return;
    }
    platform_log(controller->platform, LOG_WARNING, "%s: reset: %s", controller->name, reason);
    /* All namespaces share the reset, whichever of them was late. */
    for (struct nvme_namespace *namespace = controller->namespaces; namespace; namespace = namespace->next)
        block_device_resetting(&namespace->device);
    controller_disable(controller);
}

/* ---- the walk to READY ---- */

static void controller_enable(struct nvme_controller *controller)
{
    struct registers *registers = &controller->registers;
    nvme_queues_clear(controller);
    uint32_t entries = controller->admin.entries - 1;
    register_write32(registers, NVME_INTMS, UINT32_MAX);
    register_write32(registers, NVME_AQA, entries << 16 | entries);
    register_write64(registers, NVME_ASQ, controller->admin.submission_address);
    register_write64(registers, NVME_ACQ, controller->admin.completion_address);

    uint32_t configuration = NVME_CC_IOSQES | NVME_CC_IOCQES;
    configuration |= (uint32_t)__builtin_ctz(controller->page_size / 4096) << NVME_CC_MPS_SHIFT;
    if (!(controller->capabilities & NVME_CAP_CSS_NVM))
        configuration |= NVME_CC_CSS_SEVERAL;
    /* 3.1.5: the fields may not change while EN does; two writes for controllers that take this to the letter. */
    register_write32(registers, NVME_CC, configuration);
    register_write32(registers, NVME_CC, configuration | NVME_CC_EN);
    controller_settle(controller, NVME_ENABLING);
}

/* The admin command that belongs to a state. */
static void controller_setup(struct nvme_controller *controller, enum nvme_state state)
{
    const struct nvme_queue *io = &controller->io;
    struct nvme_command command = {0};
    switch (state) {
    case NVME_COUNTING_QUEUES: /* 5.21.1.7; one of each, 0's based */
        command.opcode = NVME_ADMIN_SET_FEATURES;
        command.dword10 = NVME_FEATURE_QUEUES;
        break;
    case NVME_CREATING_COMPLETION: /* 5.3 */
        command.opcode = NVME_ADMIN_CREATE_COMPLETION_QUEUE;
        command.prp1 = io->completion_address;
        command.dword10 = (io->entries - 1) << 16 | io->id;
        command.dword11 = NVME_QUEUE_CONTIGUOUS;
        break;
    default: /* NVME_CREATING_SUBMISSION, 5.4 */
        command.opcode = NVME_ADMIN_CREATE_SUBMISSION_QUEUE;
        command.prp1 = io->submission_address;
        command.dword10 = (io->entries - 1) << 16 | io->id;
        command.dword11 = (uint32_t)io->id << 16 | NVME_QUEUE_CONTIGUOUS;
        break;
    }
    controller_enter(controller, state, NVME_ADMIN_TIMEOUT);
    nvme_admin_start(controller, &command);
}

static bool controller_setup_step(struct nvme_controller *controller)
{
    bool progress = false;
    if (nvme_reap(controller, &controller->admin, &progress)) {
        nvme_fail(controller, ERROR_PROTOCOL, "an answer that fits no admin command");
        return true;
    }
    const struct nvme_result *result = &controller->admin_result;
    if (!result->ended)
        return progress;
    if (result->status)
        nvme_fail(controller, ERROR_IO, "the I/O queues cannot be set up: status %03xh", result->raw_status);
    else if (controller->state == NVME_CREATING_SUBMISSION)
        controller->state = NVME_READY;
    else
        controller_setup(controller, controller->state + 1);
    return true;
}

/* One step towards READY. True when the state changed. */
static bool controller_step(struct nvme_controller *controller)
{
    enum nvme_state before = controller->state;
    uint64_t now = platform_now(controller->platform);
    if (now < controller->quiet_until)
        return false;
    uint32_t status = register_read32(&controller->registers, NVME_CSTS);
    if (status == NVME_ALL_ONES) {
        nvme_fail(controller, ERROR_GONE, "the controller does not answer any more");
        return true;
    }
    if (before == NVME_DISABLING) {
        if (!(status & NVME_CSTS_RDY)) {
            nvme_abort_all(controller);
            controller_enable(controller);
        }
    } else if (status & NVME_CSTS_CFS) {
        nvme_fail(controller, ERROR_IO, "the controller reports a fatal error while it starts");
    } else if (before == NVME_ENABLING) {
        if (status & NVME_CSTS_RDY)
            controller_setup(controller, NVME_COUNTING_QUEUES);
    } else {
        controller_setup_step(controller);
    }
    if (controller->state == before && now > controller->deadline)
        nvme_fail(controller, ERROR_TIMEOUT, "the controller does not get ready (CSTS %08x)", status);
    return controller->state != before;
}

/* ---- running ---- */

static void controller_watch(struct nvme_controller *controller)
{
    uint64_t now = platform_now(controller->platform);
    if (now < controller->next_check)
        return;
    controller->next_check = now + NVME_CHECK_INTERVAL;
    uint32_t status = register_read32(&controller->registers, NVME_CSTS);
    if (status == NVME_ALL_ONES)
        nvme_fail(controller, ERROR_GONE, "the controller does not answer any more");
    else if (status & NVME_CSTS_CFS)
        nvme_reset(controller, "the controller reports a fatal error");
    else if (!(status & NVME_CSTS_RDY))
        nvme_reset(controller, "the controller has reset itself");
}

bool nvme_poll(struct nvme_controller *controller)
{
    if (controller->state == NVME_FAILED)
        return false;
    if (controller->state != NVME_READY)
        return controller_step(controller);
    bool progress = false;
    nvme_ring(controller, &controller->io);
    if (nvme_reap(controller, &controller->io, &progress))
        nvme_reset(controller, "an answer that fits no command");
    else if (!progress && (controller->free_count < controller->slot_count || !controller->admin_result.ended))
        controller_watch(controller);
    return progress;
}

/* ---- attach ---- */

static int controller_read_capabilities(struct nvme_controller *controller, struct error *error)
{
    struct registers *registers = &controller->registers;
    const char *name = controller->name;
    if (registers->size < NVME_DOORBELLS)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "its registers are missing");
    uint64_t capabilities = register_read64(registers, NVME_CAP);
    controller->capabilities = capabilities;
    controller->version = register_read32(registers, NVME_VS);
    if (capabilities == UINT64_MAX)
        return error_set(error, ERROR_GONE, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "it does not answer");
    controller->doorbell_stride = 4u << NVME_CAP_DSTRD(capabilities);
    controller->page_size = 4096u << NVME_CAP_MPSMIN(capabilities);
    if (registers->size < NVME_DOORBELLS + 3ull * controller->doorbell_stride + 4)
        return error_set(error, ERROR_PROTOCOL, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK, "its doorbells are missing");
    if (!(capabilities & (NVME_CAP_CSS_NVM | NVME_CAP_CSS_SEVERAL)))
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK,
                         "it does not offer the NVM command set");
    if (controller->page_size > 65536)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, name, ERROR_NO_BLOCK,
                         "it wants memory pages of %u bytes", controller->page_size);

    uint64_t half_seconds = NVME_CAP_TO(capabilities);
    if (capabilities & NVME_CAP_CRWMS) {
        uint64_t media = register_read32(registers, NVME_CRTO) & 0xffffu;
        half_seconds = media > half_seconds ? media : half_seconds;
    }
    controller->ready_timeout = half_seconds * (NANOSECONDS_PER_SECOND / 2);
    if (controller->ready_timeout < NVME_READY_TIMEOUT_MIN)
        controller->ready_timeout = NVME_READY_TIMEOUT_MIN;

    /* 3.1.1: at least two entries; a controller that says one (0's based zero) is wrong, and gets two. */
    uint32_t entries = NVME_CAP_MQES(capabilities) + 1;
    entries = entries > NVME_QUEUE_ENTRIES ? NVME_QUEUE_ENTRIES : entries;
    if (entries < 2 || controller->quirks & QUIRK_NVME_DEPTH_ONE)
        entries = 2;
    controller->admin.entries = NVME_ADMIN_ENTRIES;
    controller->io.entries = entries;
    controller->io.id = 1;
    /* A long queue keeps a quarter free, so that completions need not be acknowledged one by one. */
    controller->slot_count = entries - 1 - (entries >= NVME_QUEUE_DEPTH ? entries / 4 : 0);
    controller->io.acknowledge_after = entries - 1 - controller->slot_count;
    return 0;
}

static int controller_allocate(struct nvme_controller *controller, struct error *error)
{
    /* Buffers are aligned to 4096: room to align to the controller's page, where that is bigger. */
    size_t slack = controller->page_size - 4096;
    uint64_t address = 0;
    int result = buffer_allocate(controller->platform, nvme_memory_size(controller) + slack, &controller->memory);
    if (!result)
        result = buffer_address(&controller->memory, controller->pci, &address);
    if (result)
        return error_set(error, (enum error_code) - result, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "no memory for its queues");
    uint64_t padding = -address & (controller->page_size - 1);
    nvme_memory_layout(controller, (uint8_t *)controller->memory.data + padding, address + padding);
    for (unsigned i = 0; i < controller->slot_count; i++)
        controller->free_slots[controller->free_count++] = (uint16_t)(controller->slot_count - 1 - i);
    controller->admin_result.ended = true;
    return 0;
}

bool nvme_attach_settled(struct nvme_controller *controller)
{
    nvme_poll(controller);
    return controller->state == NVME_READY || controller->state == NVME_FAILED;
}

static void identify_limits(struct nvme_controller *controller, const struct nvme_identify_controller *identify)
{
    controller->max_transfer = NVME_MAX_TRANSFER;
    /* MDTS counts CAP.MPSMIN pages, which is also our page_size. */
    if (identify->max_transfer && identify->max_transfer < 20) {
        uint64_t bytes = (uint64_t)controller->page_size << identify->max_transfer;
        if (bytes < controller->max_transfer)
            controller->max_transfer = (uint32_t)bytes;
    }
    controller->shutdown_timeout = NVME_SHUTDOWN_TIMEOUT;
    uint64_t wanted = identify->shutdown_latency * NANOSECONDS_PER_MICROSECOND;
    if (wanted > controller->shutdown_timeout)
        controller->shutdown_timeout = wanted < 4 * NVME_SHUTDOWN_TIMEOUT ? wanted : 4 * NVME_SHUTDOWN_TIMEOUT;
}

/* A drive without a serial number keeps the name of its place; the second one with the same number gets it as well. */
static void controller_name(struct nvme_controller *controller)
{
    if (!controller->serial[0])
        return;
    char where[PCI_NAME_MAX], serial[BLOCK_TEXT_MAX];
    pci_name(controller->pci, where);
    snprintf(serial, sizeof(serial), "%s", controller->serial);
    block_name_text(serial);
    snprintf(controller->name, sizeof(controller->name), "nvme:%s", serial);
    const struct block_device *other = controller->registry->first;
    for (; other; other = other->registry_next)
        if (other->bus == BUS_NVME && !strcmp(other->serial, controller->serial))
            snprintf(controller->name, sizeof(controller->name), "nvme:%s@%s", serial, where);
}

static int controller_identify(struct nvme_controller *controller, struct error *error)
{
    int result = nvme_identify(controller, NVME_IDENTIFY_CONTROLLER, 0, error);
    if (result)
        return result;
    const struct nvme_identify_controller *identify = controller->identify;
    if (identify->controller_type > 1)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "it is no I/O controller (type %u)", identify->controller_type);
    block_text(controller->serial, sizeof(controller->serial), identify->serial, sizeof(identify->serial), false);
    block_text(controller->model, sizeof(controller->model), identify->model, sizeof(identify->model), false);
    block_text(controller->firmware, sizeof(controller->firmware), identify->firmware, sizeof(identify->firmware),
               false);
    controller_name(controller);
    controller->namespace_count = identify->namespaces;
    controller->volatile_cache = identify->volatile_cache & 1u;
    controller->discard = identify->optional_commands & NVME_ONCS_DATASET;
    controller->write_zeroes =
        identify->optional_commands & NVME_ONCS_WRITE_ZEROES && !(controller->quirks & QUIRK_NVME_NO_WRITE_ZEROES);
    identify_limits(controller, identify);
    return 0;
}

/* ---- shutdown ---- */

static bool shutdown_done(void *context)
{
    struct nvme_controller *controller = context;
    uint32_t status = register_read32(&controller->registers, NVME_CSTS);
    return status == NVME_ALL_ONES || status & NVME_CSTS_CFS || (status & NVME_CSTS_SHST_MASK) == NVME_CSTS_SHST_DONE;
}

static bool disable_done(void *context)
{
    struct nvme_controller *controller = context;
    if (platform_now(controller->platform) < controller->quiet_until)
        return false;
    uint32_t status = register_read32(&controller->registers, NVME_CSTS);
    return status == NVME_ALL_ONES || !(status & NVME_CSTS_RDY);
}

/* 7.6.2, then CC.EN = 0. After this no DMA goes on, whatever the controller says. */
static void controller_shut_down(struct nvme_controller *controller)
{
    if (controller->state == NVME_FAILED)
        return;
    struct registers *registers = &controller->registers;
    if (controller->state == NVME_READY) {
        uint32_t configuration = register_read32(registers, NVME_CC) & ~NVME_CC_SHN_MASK;
        register_write32(registers, NVME_CC, configuration | NVME_CC_SHN_NORMAL);
        uint64_t deadline = deadline_after(controller->platform, controller->shutdown_timeout);
        if (!loop_wait(controller->loop, shutdown_done, controller, deadline))
            platform_log(controller->platform, LOG_WARNING, "%s: did not finish its shutdown", controller->name);
    }
    controller_disable(controller);
    loop_wait(controller->loop, disable_done, controller, controller->deadline);
    if (register_read32(registers, NVME_CSTS) & NVME_CSTS_RDY) { /* or all ones */
        platform_log(controller->platform, LOG_WARNING, "%s: cannot be switched off", controller->name);
        controller->platform->ops->pci_stop_dma(controller->pci);
    }
    controller->state = NVME_FAILED;
}

static int controller_start(struct nvme_controller *controller, struct error *error)
{
    struct pci_device *pci = controller->pci;
    pci_power_up(controller->loop, pci);
    pci_disable_interrupts(pci);
    int result = pci->platform->ops->pci_map_registers(pci, 0, &controller->registers);
    if (result)
        return error_set(error, (enum error_code) - result, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "its registers cannot be mapped");
    result = controller_read_capabilities(controller, error);
    if (!result)
        result = controller_allocate(controller, error);
    if (!result)
        controller_disable(controller); /* the first step of the walk to READY */
    return result;
}

int nvme_attach_begin(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                      struct nvme_controller **begun, struct error *error)
{
    struct platform *platform = loop->platform;
    struct nvme_controller *controller = platform_allocate_zeroed(platform, sizeof(*controller));
    if (!controller)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, "", ERROR_NO_BLOCK, "no memory for a controller");
    char where[PCI_NAME_MAX];
    pci_name(pci, where);
    snprintf(controller->name, sizeof(controller->name), "nvme@%s", where);
    controller->platform = platform;
    controller->loop = loop;
    controller->pci = pci;
    controller->registry = registry;
    controller->quirks = quirks_find(pci, true);

    int result;
    if (controller->quirks & QUIRK_NVME_FOREIGN)
        result = error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                           "a controller that only its own driver knows");
    else
        result = platform->ops->pci_claim(pci, error);
    if (result)
        goto failed;
    result = controller_start(controller, error);
    if (result)
        goto release;
    *begun = controller;
    return 0;

release:
    buffer_release(&controller->memory);
    platform->ops->pci_release(pci);
failed:
    platform_release(platform, controller);
    return result;
}

static int controller_register(struct nvme_controller *controller, struct error *error)
{
    char where[PCI_NAME_MAX];
    int result = controller_identify(controller, error);
    if (result)
        return result;
    pci_name(controller->pci, where);
    platform_log(controller->platform, LOG_INFO, "%s: %s, firmware %s, NVMe %u.%u at %s, depth %u, transfers of %u KiB",
                 controller->name, controller->model, controller->firmware, controller->version >> 16,
                 controller->version >> 8 & 0xffu, where, controller->slot_count, controller->max_transfer / 1024);
    return nvme_namespaces_start(controller, error);
}

int nvme_attach_finish(struct nvme_controller *controller, struct error *error)
{
    int result = 0;
    if (controller->state == NVME_FAILED) {
        result = -(int)controller->failure.code;
        if (error)
            *error = controller->failure;
    } else {
        result = controller_register(controller, error);
    }
    if (result)
        nvme_detach(controller);
    return result;
}

static bool attach_settled(void *controller)
{
    return nvme_attach_settled(controller);
}

int nvme_attach(struct loop *loop, struct pci_device *pci, struct block_registry *registry,
                struct nvme_controller **attached, struct error *error)
{
    struct nvme_controller *controller;
    int result = nvme_attach_begin(loop, pci, registry, &controller, error);
    if (result)
        return result;
    /* Each state has its deadline. */
    loop_wait(loop, attach_settled, controller, UINT64_MAX);
    result = nvme_attach_finish(controller, error);
    if (!result)
        *attached = controller;
    return result;
}

void nvme_detach(struct nvme_controller *controller)
{
    struct pci_device *pci = controller->pci;
    nvme_namespaces_stop(controller);
    controller_shut_down(controller);
    buffer_release(&controller->memory);
    pci->platform->ops->pci_release(pci);
    platform_release(pci->platform, controller);
}
