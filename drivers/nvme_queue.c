/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Queues, slots and commands. NVM Express Base Specification 1.4c, section 4. */
#include "drivers/nvme_internal.h"

#include <string.h>

/* ---- memory ---- */

static size_t in_pages(const struct nvme_controller *controller, size_t bytes)
{
    return (bytes + controller->page_size - 1) / controller->page_size * controller->page_size;
}

static size_t queue_size(const struct nvme_controller *controller, uint32_t entries)
{
    return in_pages(controller, entries * sizeof(struct nvme_command)) +
           in_pages(controller, entries * sizeof(struct nvme_completion));
}

size_t nvme_memory_size(const struct nvme_controller *controller)
{
    return queue_size(controller, controller->admin.entries) + queue_size(controller, controller->io.entries) +
           in_pages(controller, NVME_IDENTIFY_SIZE) + (size_t)controller->slot_count * controller->page_size;
}

static size_t queue_layout(const struct nvme_controller *controller, struct nvme_queue *queue, uint8_t *base,
                           uint64_t address)
{
    size_t completions = in_pages(controller, queue->entries * sizeof(struct nvme_command));
    queue->submission = (struct nvme_command *)base;
    queue->submission_address = address;
    queue->completion = (volatile struct nvme_completion *)(base + completions);
    queue->completion_address = address + completions;
    return queue_size(controller, queue->entries);
}

void nvme_memory_layout(struct nvme_controller *controller, uint8_t *base, uint64_t address)
{
    size_t at = queue_layout(controller, &controller->admin, base, address);
    at += queue_layout(controller, &controller->io, base + at, address + at);
    controller->identify = base + at;
    controller->identify_address = address + at;
    at += in_pages(controller, NVME_IDENTIFY_SIZE);
    controller->lists = base + at;
    controller->lists_address = address + at;
}

static void queue_clear(struct nvme_queue *queue)
{
    memset(queue->submission, 0, queue->entries * sizeof(struct nvme_command));
    memset((void *)queue->completion, 0, queue->entries * sizeof(struct nvme_completion));
    queue->tail = queue->head = queue->unrung = queue->unacknowledged = 0;
    queue->phase = 1;
}

void nvme_queues_clear(struct nvme_controller *controller)
{
    queue_clear(&controller->admin);
    queue_clear(&controller->io);
    dma_barrier();
}

/* ---- slots ---- */

int nvme_slot_peek(const struct nvme_controller *controller)
{
    if (controller->state != NVME_READY || !controller->free_count)
        return -1;
    return controller->free_slots[controller->free_count - 1];
}

static struct nvme_slot slot_release(struct nvme_controller *controller, unsigned index)
{
    struct nvme_slot *slot = &controller->slots[index];
    struct nvme_slot taken = *slot;
    slot->busy = false;
    slot->request = NULL;
    slot->result = NULL;
    slot->generation++;
    controller->free_slots[controller->free_count++] = (uint16_t)index;
    return taken;
}

static void slot_end(struct nvme_controller *controller, unsigned index, int status, uint32_t raw_status,
                     uint32_t dword0)
{
    struct nvme_slot slot = slot_release(controller, index);
    if (slot.request)
        block_complete(slot.request, status, raw_status);
    if (slot.result)
        *slot.result = (struct nvme_result){true, status, raw_status, dword0};
}

void nvme_abort_all(struct nvme_controller *controller)
{
    for (unsigned i = 0; i < controller->slot_count; i++)
        if (controller->slots[i].busy)
            slot_end(controller, i, -ERROR_ABORTED, 0, 0);
}

void nvme_forget_all(struct nvme_controller *controller)
{
    for (unsigned i = 0; i < controller->slot_count; i++) {
        if (!controller->slots[i].busy)
            continue;
        controller->slots[i].request = NULL;
        slot_end(controller, i, -ERROR_GONE, 0, 0);
    }
}

/* ---- sending ---- */

static void doorbell(struct nvme_controller *controller, const struct nvme_queue *queue, bool completion,
                     uint32_t value)
{
    /* 3.1.16, 3.1.17 */
    uint64_t offset = NVME_DOORBELLS + (2ull * queue->id + completion) * controller->doorbell_stride;
    register_write32(&controller->registers, offset, value);
}

static void queue_send(struct nvme_queue *queue, const struct nvme_command *command)
{
    memcpy(&queue->submission[queue->tail], command, sizeof(*command));
    queue->tail = queue->tail + 1 == queue->entries ? 0 : queue->tail + 1;
    queue->unrung++;
}

void nvme_ring(struct nvme_controller *controller, struct nvme_queue *queue)
{
    if (!queue->unrung)
        return;
    queue->unrung = 0;
    dma_barrier(); /* the entries and their PRP lists are in memory before the doorbell rings */
    doorbell(controller, queue, false, queue->tail);
}

void nvme_send(struct nvme_controller *controller, unsigned slot, struct nvme_command *command,
               struct block_request *request, struct nvme_result *result)
{
    struct nvme_slot *taken = &controller->slots[slot];
    controller->free_count--;
    taken->busy = true;
    taken->request = request;
    taken->result = result;
    command->command_id = (uint16_t)(taken->generation << 8 | slot);
    queue_send(&controller->io, command);
    unsigned in_flight = controller->slot_count - controller->free_count;
    if (controller->io.unrung == in_flight || controller->io.unrung >= NVME_DOORBELL_BATCH)
        nvme_ring(controller, &controller->io);
}

void nvme_prp_set(struct nvme_controller *controller, unsigned slot, struct nvme_command *command, uint64_t address,
                  uint32_t bytes)
{
    /*
     * 4.3: the first pointer may start inside a page, the others name whole pages. Slots have one page of list, which
     * max_transfer never overruns, so lists are not chained.
     */
    uint64_t page = controller->page_size;
    uint64_t first = page - (address & (page - 1));
    command->prp1 = address;
    if (bytes <= first)
        return;
    uint64_t left = bytes - first;
    address += first;
    if (left <= page) {
        command->prp2 = address;
        return;
    }
    uint64_t *list = (uint64_t *)(controller->lists + slot * page);
    for (; left; left -= left < page ? left : page, address += page)
        *list++ = address;
    command->prp2 = controller->lists_address + slot * page;
}

/* ---- answers ---- */

static int admin_answer(struct nvme_controller *controller, const struct nvme_completion *completion)
{
    if (controller->admin_result.ended || completion->command_id != controller->admin_command_id)
        return -ERROR_PROTOCOL;
    uint32_t status = completion->status >> 1;
    controller->admin_result =
        (struct nvme_result){true, nvme_status_code(status), status & NVME_STATUS_MASK, completion->dword0};
    return 0;
}

static int io_answer(struct nvme_controller *controller, const struct nvme_completion *completion)
{
    unsigned slot = completion->command_id & 0xffu;
    if (slot >= controller->slot_count || !controller->slots[slot].busy ||
        controller->slots[slot].generation != completion->command_id >> 8)
        return -ERROR_PROTOCOL;
    uint32_t status = completion->status >> 1;
    slot_end(controller, slot, nvme_status_code(status), status & NVME_STATUS_MASK, completion->dword0);
    controller->resets = 0;
    return 0;
}

int nvme_reap(struct nvme_controller *controller, struct nvme_queue *queue, bool *progress)
{
    int result = 0;
    uint32_t taken = 0;
    /* One round at most: a controller that invents answers must not keep us here. */
    while (taken < queue->entries && !result) {
        volatile struct nvme_completion *entry = &queue->completion[queue->head];
        uint16_t status = entry->status;
        if ((status & 1u) != queue->phase)
            break;
        dma_barrier(); /* the phase is read before the rest */
        struct nvme_completion completion = {.dword0 = entry->dword0,
                                             .submission_head = entry->submission_head,
                                             .submission_id = entry->submission_id,
                                             .command_id = entry->command_id,
                                             .status = status};
        taken++;
        if (++queue->head == queue->entries) {
            queue->head = 0;
            queue->phase ^= 1u;
        }
        if (completion.submission_id != queue->id || completion.submission_head >= queue->entries)
            result = -ERROR_PROTOCOL;
        else
            result = queue->id ? io_answer(controller, &completion) : admin_answer(controller, &completion);
    }
    queue->unacknowledged += taken;
    if (queue->unacknowledged > queue->acknowledge_after) {
        queue->unacknowledged = 0;
        doorbell(controller, queue, true, queue->head);
    }
    *progress |= taken > 0;
    return result;
}

/* ---- admin commands ---- */

void nvme_admin_start(struct nvme_controller *controller, struct nvme_command *command)
{
    controller->admin_result = (struct nvme_result){0};
    controller->admin_command_id = (controller->admin_command_id + 1) & 0x7fffu;
    command->command_id = controller->admin_command_id;
    queue_send(&controller->admin, command);
    nvme_ring(controller, &controller->admin);
}

static bool admin_ended(void *context)
{
    struct nvme_controller *controller = context;
    bool progress = false;
    if (nvme_reap(controller, &controller->admin, &progress))
        nvme_fail(controller, ERROR_PROTOCOL, "an answer that fits no admin command");
    nvme_poll(controller);
    return controller->admin_result.ended || controller->state == NVME_FAILED;
}

int nvme_admin_run(struct nvme_controller *controller, struct nvme_command *command, struct error *error)
{
    nvme_admin_start(controller, command);
    uint64_t deadline = deadline_after(controller->platform, NVME_ADMIN_TIMEOUT);
    if (!loop_wait(controller->loop, admin_ended, controller, deadline))
        nvme_fail(controller, ERROR_TIMEOUT, "no answer to admin command %02xh within %u s", command->opcode,
                  (unsigned)(NVME_ADMIN_TIMEOUT / NANOSECONDS_PER_SECOND));
    if (controller->state == NVME_FAILED) {
        if (error)
            *error = controller->failure;
        return -(int)controller->failure.code;
    }
    const struct nvme_result *result = &controller->admin_result;
    if (!result->status)
        return 0;
    error_set(error, (enum error_code) - result->status, OPERATION_IDENTIFY, controller->name, ERROR_NO_BLOCK,
              "admin command %02xh failed with status %03xh", command->opcode, result->raw_status);
    if (error)
        error->raw_status = result->raw_status;
    return result->status;
}

int nvme_identify(struct nvme_controller *controller, uint32_t structure, uint32_t namespace_id, struct error *error)
{
    struct nvme_command command = {.opcode = NVME_ADMIN_IDENTIFY,
                                   .namespace_id = namespace_id,
                                   .prp1 = controller->identify_address,
                                   .dword10 = structure};
    memset(controller->identify, 0, NVME_IDENTIFY_SIZE);
    return nvme_admin_run(controller, &command, error);
}
