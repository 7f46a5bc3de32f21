/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces as block devices. NVM Express Base Specification 1.4c, sections 5.15 and 6. */
#include <stdio.h>
#include <string.h>

#include "drivers/nvme_internal.h"
#include "drivers/quirks.h"

#define NVME_BLOCK_SHIFT_MIN 9
#define NVME_BLOCK_SHIFT_MAX 16
#define NVME_MAX_BLOCKS 65536u /* NLB has 16 bits, 0's based */

/* ---- block device operations ---- */

static struct nvme_namespace *namespace_of(struct block_device *device)
{
    return (struct nvme_namespace *)device;
}

static int command_transfer(struct nvme_namespace *namespace, unsigned slot, struct block_request *request,
                            struct nvme_command *command)
{
    struct nvme_controller *controller = namespace->controller;
    struct buffer *buffer = request->buffer;
    uint64_t bytes = request->count << namespace->block_shift;
    /* core/block.c has checked the range; what goes to memory is checked where the addresses are made. */
    if (!request->count || request->count > NVME_MAX_BLOCKS || bytes > namespace->device.geometry.max_transfer ||
        !buffer || request->offset > buffer->size || bytes > buffer->size - request->offset || request->offset & 3)
        return -ERROR_OUT_OF_RANGE;
    uint64_t address;
    int result = buffer_address(buffer, controller->pci, &address);
    if (result)
        return result;
    command->opcode = request->operation == BLOCK_READ ? NVME_READ : NVME_WRITE;
    command->dword10 = (uint32_t)request->lba;
    command->dword11 = (uint32_t)(request->lba >> 32);
    command->dword12 = (uint32_t)(request->count - 1);
    nvme_prp_set(controller, slot, command, address + request->offset, (uint32_t)bytes);
    return 0;
}

static void command_discard(struct nvme_namespace *namespace, unsigned slot, const struct block_request *request,
                            struct nvme_command *command)
{
    struct nvme_controller *controller = namespace->controller;
    size_t list = (size_t)slot * controller->page_size;
    struct nvme_dataset_range range = {.count = (uint32_t)request->count, .lba = request->lba};
    memcpy(controller->lists + list, &range, sizeof(range));
    command->opcode = NVME_DATASET_MANAGEMENT;
    command->prp1 = controller->lists_address + list;
    command->dword10 = 0; /* one range, 0's based */
    command->dword11 = NVME_DATASET_DEALLOCATE;
}

static int nvme_submit(struct block_device *device, struct block_request *request)
{
    struct nvme_namespace *namespace = namespace_of(device);
    struct nvme_controller *controller = namespace->controller;
    if (controller->state == NVME_FAILED)
        return -ERROR_GONE;
    int slot = nvme_slot_peek(controller);
    if (slot < 0)
        return -ERROR_FULL;
    struct nvme_command command = {.namespace_id = namespace->id};
    int result = 0;
    switch (request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        result = command_transfer(namespace, (unsigned)slot, request, &command);
        break;
    case BLOCK_FLUSH:
        command.opcode = NVME_FLUSH;
        break;
    case BLOCK_DISCARD:
        command_discard(namespace, (unsigned)slot, request, &command);
        break;
    case BLOCK_WRITE_ZEROES:
        command.opcode = NVME_WRITE_ZEROES;
        command.dword10 = (uint32_t)request->lba;
        command.dword11 = (uint32_t)(request->lba >> 32);
        command.dword12 = (uint32_t)(request->count - 1);
        break;
    }
    if (result)
        return result;
    namespace->written |= request->operation != BLOCK_READ && request->operation != BLOCK_FLUSH;
    nvme_send(controller, (unsigned)slot, &command, request, NULL);
    return 0;
}

static bool nvme_device_poll(struct block_device *device)
{
    return nvme_poll(namespace_of(device)->controller);
}

static void nvme_device_reset(struct block_device *device)
{
    nvme_reset(namespace_of(device)->controller, "a command did not end before its deadline");
}

static void nvme_device_abandon(struct block_device *device)
{
    nvme_fail(namespace_of(device)->controller, ERROR_TIMEOUT, "its reset does not end");
}

static bool slot_available(void *context)
{
    struct nvme_controller *controller = context;
    nvme_poll(controller);
    return controller->state == NVME_FAILED || nvme_slot_peek(controller) >= 0;
}

struct nvme_flush {
    struct nvme_controller *controller;
    struct nvme_result result;
};

static bool flush_ended(void *context)
{
    struct nvme_flush *flush = context;
    nvme_poll(flush->controller);
    return flush->result.ended;
}

/* The namespace's last flush. A command of our own: no request can be sent to a device that is being stopped. */
static void namespace_flush(struct nvme_namespace *namespace)
{
    struct nvme_controller *controller = namespace->controller;
    uint64_t deadline = deadline_after(controller->platform, block_timeout(BLOCK_FLUSH));
    struct nvme_flush flush = {.controller = controller};
    if (!loop_wait(controller->loop, slot_available, controller, deadline) || controller->state == NVME_FAILED)
        return;
    struct nvme_command command = {.opcode = NVME_FLUSH, .namespace_id = namespace->id};
    unsigned slot = (unsigned)nvme_slot_peek(controller);
    nvme_send(controller, slot, &command, NULL, &flush.result);
    if (!loop_wait(controller->loop, flush_ended, &flush, deadline))
        controller->slots[slot].result = NULL;
    if (!flush.result.ended || flush.result.status)
        platform_log(controller->platform, LOG_WARNING, "%s: the last flush failed (status %03xh)",
                     namespace->device.name, flush.result.raw_status);
}

static void nvme_device_shutdown(struct block_device *device)
{
    struct nvme_namespace *namespace = namespace_of(device);
    struct nvme_controller *controller = namespace->controller;
    if (namespace->written && device->volatile_cache)
        namespace_flush(namespace);
    for (struct nvme_namespace **link = &controller->namespaces; *link; link = &(*link)->next) {
        if (*link != namespace)
            continue;
        *link = namespace->next;
        break;
    }
    platform_release(controller->platform, namespace);
}

static const struct block_device_ops nvme_device_ops = {
    .submit = nvme_submit,
    .poll = nvme_device_poll,
    .reset = nvme_device_reset,
    .shutdown = nvme_device_shutdown,
    .abandon = nvme_device_abandon,
};

/* ---- identification ---- */

/*
 * The command set of a namespace (2.0, 5.17.2.3). Only controllers with several of them are asked: others have no answer,
 * and some hang on the question. A zoned namespace looks like an ordinary one otherwise.
 */
static int namespace_command_set(struct nvme_controller *controller, uint32_t id, unsigned *command_set)
{
    *command_set = NVME_COMMAND_SET_NVM;
    if (!(controller->capabilities & NVME_CAP_CSS_SEVERAL))
        return 0;
    int result = nvme_identify(controller, NVME_IDENTIFY_DESCRIPTORS, id, NULL);
    if (result)
        return result;
    const uint8_t *data = controller->identify;
    for (size_t at = 0; at + 4 < NVME_IDENTIFY_SIZE && data[at + 1]; at += 4u + data[at + 1])
        if (data[at] == NVME_DESCRIPTOR_COMMAND_SET)
            *command_set = data[at + 4];
    return 0;
}

/* Why a namespace cannot be copied; NULL when it can. */
static const char *namespace_obstacle(const struct nvme_controller *controller,
                                      const struct nvme_identify_namespace *identify,
                                      const struct nvme_lba_format *format, unsigned command_set)
{
    if (command_set == NVME_COMMAND_SET_ZONED)
        return "it is zoned, and must be written in order";
    if (command_set != NVME_COMMAND_SET_NVM)
        return "it holds no blocks (another command set)";
    if (format->metadata)
        return "its blocks carry metadata; reformat it to a format without to use it";
    if (format->shift < NVME_BLOCK_SHIFT_MIN || format->shift > NVME_BLOCK_SHIFT_MAX)
        return "its block size is none that disks have";
    if (identify->size > UINT64_MAX >> format->shift)
        return "its size cannot be true";
    if (1u << format->shift > controller->max_transfer)
        return "one block of it is more than its controller can transfer";
    return NULL;
}

static const struct nvme_lba_format *namespace_format(const struct nvme_identify_namespace *identify)
{
    /* FLBAS bits 6:5 count only with more than 16 formats (2.0); they were reserved before. */
    unsigned index = identify->format & 0xfu;
    if (identify->formats > 15)
        index |= identify->format >> 1 & 0x30u;
    return &identify->lba_formats[index];
}

static void namespace_geometry(struct nvme_namespace *namespace, const struct nvme_identify_namespace *identify)
{
    const struct nvme_controller *controller = namespace->controller;
    struct block_geometry *geometry = &namespace->device.geometry;
    uint32_t block = 1u << namespace->block_shift;
    geometry->logical_block = block;
    geometry->physical_block = block;
    uint32_t granularity = identify->write_granularity + 1u;
    if (identify->features & NVME_NSFEAT_GRANULARITY && !(granularity & (granularity - 1)) &&
        granularity <= 65536u / block)
        geometry->physical_block = block * granularity;
    geometry->block_count = identify->size;
    geometry->max_transfer = controller->max_transfer;
    geometry->optimal_transfer =
        controller->max_transfer < NVME_OPTIMAL_TRANSFER ? controller->max_transfer : NVME_OPTIMAL_TRANSFER;
    geometry->queue_depth = controller->slot_count < NVME_QUEUE_DEPTH ? controller->slot_count : NVME_QUEUE_DEPTH;
    geometry->buffer_alignment = 4; /* 4.3: pointers are multiples of four */
    geometry->max_discard = controller->discard ? NVME_MAX_DISCARD : 0;
    /* Not bound by MDTS as specified, but drives exist that think so. */
    geometry->max_write_zeroes = controller->write_zeroes ? controller->max_transfer : 0;
}

static void namespace_names(struct nvme_namespace *namespace)
{
    const struct nvme_controller *controller = namespace->controller;
    struct block_device *device = &namespace->device;
    if (namespace->id == 1)
        snprintf(device->name, sizeof(device->name), "%s", controller->name);
    else
        snprintf(device->name, sizeof(device->name), "%.64s/n%u", controller->name, namespace->id);
    memcpy(device->model, controller->model, sizeof(device->model));
    memcpy(device->serial, controller->serial, sizeof(device->serial));
    memcpy(device->firmware, controller->firmware, sizeof(device->firmware));
    snprintf(device->driver, sizeof(device->driver), "nvme");
}

static int namespace_create(struct nvme_controller *controller, uint32_t id,
                            const struct nvme_identify_namespace *identify, struct error *error)
{
    struct nvme_namespace *namespace = platform_allocate_zeroed(controller->platform, sizeof(*namespace));
    if (!namespace)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "no memory for namespace %u", id);
    namespace->controller = controller;
    namespace->id = id;
    namespace->block_shift = namespace_format(identify)->shift;
    struct block_device *device = &namespace->device;
    device->ops = &nvme_device_ops;
    device->loop = controller->loop;
    device->bus = BUS_NVME;
    device->read_only = identify->attributes & NVME_NSATTR_WRITE_PROTECTED;
    device->volatile_cache = controller->volatile_cache;
    namespace_geometry(namespace, identify);
    namespace_names(namespace);
    int result = block_device_start(device, error);
    if (result) {
        platform_release(controller->platform, namespace);
        return result;
    }
    struct nvme_namespace **last = &controller->namespaces;
    while (*last)
        last = &(*last)->next;
    *last = namespace;
    block_registry_add(controller->registry, device);
    return 0;
}

/*
 * Looks at one namespace. A namespace that answers badly or cannot be copied is left out, with a line in the log; an error
 * means that the controller failed or memory ran out.
 */
static int namespace_probe(struct nvme_controller *controller, uint32_t id, struct error *error)
{
    unsigned command_set = NVME_COMMAND_SET_NVM;
    int result = namespace_command_set(controller, id, &command_set);
    if (!result)
        result = nvme_identify(controller, NVME_IDENTIFY_NAMESPACE, id, error);
    if (controller->state == NVME_FAILED) {
        if (error)
            *error = controller->failure;
        return -(int)controller->failure.code;
    }
    if (result) {
        platform_log(controller->platform, LOG_WARNING, "%s: namespace %u does not identify itself; left out",
                     controller->name, id);
        return 0;
    }
    /* A copy: a controller could change the page between a check and a use. */
    struct nvme_identify_namespace *identify = platform_allocate(controller->platform, sizeof(*identify));
    if (!identify)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
                         "no memory for namespace %u", id);
    memcpy(identify, controller->identify, sizeof(*identify));
    if (identify->size) {
        const char *obstacle = namespace_obstacle(controller, identify, namespace_format(identify), command_set);
        if (obstacle)
            platform_log(controller->platform, LOG_WARNING, "%s: namespace %u is left out: %s", controller->name, id,
                         obstacle);
        else
            result = namespace_create(controller, id, identify, error);
    }
    platform_release(controller->platform, identify);
    return result;
}

/* 5.15.2.4: the active namespaces, ascending. False when the controller has no such list. */
static bool active_namespaces(struct nvme_controller *controller, uint32_t ids[NVME_MAX_NAMESPACES], unsigned *count)
{
    *count = 0;
    if (controller->version < NVME_VERSION(1, 1) || controller->quirks & QUIRK_NVME_OLD_IDENTIFY ||
        nvme_identify(controller, NVME_IDENTIFY_ACTIVE_NAMESPACES, 0, NULL))
        return false;
    const uint32_t *list = controller->identify;
    uint32_t before = 0;
    for (unsigned i = 0; i < NVME_IDENTIFY_SIZE / 4 && list[i]; i++) {
        uint32_t id = list[i];
        if (*count == NVME_MAX_NAMESPACES || id <= before) {
            platform_log(controller->platform, LOG_WARNING, "%s: its list of namespaces ends badly after %u of them",
                         controller->name, *count);
            break;
        }
        ids[(*count)++] = before = id;
    }
    return true;
}

int nvme_namespaces_start(struct nvme_controller *controller, struct error *error)
{
    uint32_t ids[NVME_MAX_NAMESPACES];
    unsigned count;
    if (!active_namespaces(controller, ids, &count)) {
        count = controller->namespace_count < NVME_MAX_NAMESPACES ? controller->namespace_count : NVME_MAX_NAMESPACES;
        for (unsigned i = 0; i < count; i++)
            ids[i] = i + 1;
    }
    if (controller->state == NVME_FAILED) {
        if (error)
            *error = controller->failure;
        return -(int)controller->failure.code;
    }
    for (unsigned i = 0; i < count; i++) {
        int result = namespace_probe(controller, ids[i], error);
        if (result)
            return result;
    }
    if (!controller->namespaces)
        platform_log(controller->platform, LOG_WARNING, "%s: has no namespace that can be copied", controller->name);
    return 0;
}

void nvme_namespaces_stop(struct nvme_controller *controller)
{
    while (controller->namespaces) {
        struct block_device *device = &controller->namespaces->device;
        block_registry_remove(controller->registry, device);
        block_device_stop(device); /* unlinks and frees it through its shutdown operation */
    }
}
