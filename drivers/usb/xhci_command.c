/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command ring. xHCI 1.2, sections 4.6 and 4.9.3. */
#include <limits.h>

#include "drivers/usb/xhci_internal.h"

int xhci_error(unsigned code)
{
    switch (code) {
    case XHCI_SUCCESS:
    case XHCI_SHORT_PACKET:
        return 0;
    case XHCI_STALL:
        return -ERROR_REFUSED;
    case XHCI_RESOURCE_ERROR:
    case XHCI_BANDWIDTH_ERROR:
    case XHCI_SECONDARY_BANDWIDTH:
    case XHCI_NO_SLOTS:
        return -ERROR_NO_MEMORY;
    case XHCI_TRB_ERROR:
    case XHCI_PARAMETER_ERROR:
    case XHCI_CONTEXT_STATE_ERROR:
    case XHCI_SLOT_NOT_ENABLED:
    case XHCI_ENDPOINT_NOT_ENABLED:
    case XHCI_INVALID_STREAM_TYPE:
    case XHCI_INVALID_STREAM_ID:
        return -ERROR_PROTOCOL;
    case XHCI_COMMAND_ABORTED:
        return -ERROR_TIMEOUT;
    default:
        return -ERROR_IO;
    }
}

static void command_end(struct xhci *xhci, int status, unsigned code, unsigned slot)
{
    struct xhci_command *command = xhci->commands;

    xhci->commands = command->next;
    if (!xhci->commands)
        xhci->commands_last = &xhci->commands;
    xhci->command_ring.dequeue = command->index + 1;
    xhci->command_deadline = deadline_after(xhci->platform, XHCI_COMMAND_TIME);
    if (command == xhci->aborted)
        xhci->aborted = NULL;
    command->next = NULL;
    command->status = status;
    command->code = code;
    command->slot = slot;
    command->ended = true; /* it may be gone from here on, unless it has a callback */
    if (command->done)
        command->done(command);
}

void xhci_commands_end(struct xhci *xhci)
{
    while (xhci->commands)
        command_end(xhci, -ERROR_GONE, 0, 0);
}

int xhci_command_send(struct xhci *xhci, struct xhci_command *command)
{
    int result = 0;

    command->ended = false;
    command->next = NULL;
    platform_hold_events(xhci->platform);
    if (xhci->dead) {
        result = -ERROR_GONE;
    } else if (!xhci_ring_reserve(&xhci->command_ring, 1)) {
        result = -ERROR_FULL;
    } else {
        if (!xhci->commands)
            xhci->command_deadline = deadline_after(xhci->platform, XHCI_COMMAND_TIME);
        *xhci->commands_last = command;
        xhci->commands_last = &command->next;
        command->index = xhci_ring_put(&xhci->command_ring, &command->trb, 1);
        /* While the ring is being stopped, the doorbell waits for it. */
        if (!xhci->aborting)
            xhci_doorbell(xhci, 0, XHCI_DOORBELL_COMMAND);
    }
    platform_release_events(xhci->platform);
    return result;
}

static bool command_ended(void *context)
{
    return ((volatile struct xhci_command *)context)->ended;
}

int xhci_command_run(struct xhci *xhci, struct xhci_trb trb, unsigned *code, unsigned *slot)
{
    struct xhci_command command = {.trb = trb};

    if (code)
        *code = XHCI_INVALID;
    int result = xhci_command_send(xhci, &command);
    if (result)
        return result;
    /* A fiber that is dropped meanwhile leaves no command behind on its stack. Each command has its deadline. */
    struct fiber_cleanup cleanup = {.ready = command_ended, .context = &command};
    fiber_cleanup_push(&cleanup);
    loop_wait(xhci->loop, command_ended, &command, UINT64_MAX);
    fiber_cleanup_pop(&cleanup);
    if (command.status)
        return command.status;
    if (code)
        *code = command.code;
    if (slot)
        *slot = command.slot;
    return xhci_error(command.code);
}

/* ---- answers ---- */

void xhci_command_ring_start(struct xhci *xhci)
{
    struct xhci_ring *ring = &xhci->command_ring;

    xhci_ring_init(ring, xhci->command_memory.data, xhci->command_memory.address, XHCI_COMMAND_PAGES, ring->link_flags);
    register_write64(&xhci->registers, xhci->operational + XHCI_CRCR, ring->address | XHCI_CRCR_CYCLE);
}

/*
 * The ring has stopped. Where the controller would go on depends on when exactly it did so, and CRCR cannot name a single TRB (its
 * pointer is of 64 bytes): so it begins anew, with the commands that are left.
 */
static void ring_stopped(struct xhci *xhci)
{
    struct xhci_command *late = xhci->aborted;

    xhci->aborting = false;
    xhci->aborted = NULL;
    if (late && late == xhci->commands) /* stopped without an answer of its own */
        command_end(xhci, -ERROR_TIMEOUT, 0, 0);
    xhci_command_ring_start(xhci);
    for (struct xhci_command *command = xhci->commands; command; command = command->next) {
        xhci_ring_reserve(&xhci->command_ring, 1); /* there were no more of them before */
        command->index = xhci_ring_put(&xhci->command_ring, &command->trb, 1);
    }
    if (xhci->commands) {
        xhci->command_deadline = deadline_after(xhci->platform, XHCI_COMMAND_TIME);
        xhci_doorbell(xhci, 0, XHCI_DOORBELL_COMMAND);
    }
}

void xhci_command_event(struct xhci *xhci, const struct xhci_trb *event)
{
    unsigned code = XHCI_EVENT_CODE(event->status);

    if (code == XHCI_COMMAND_RING_STOPPED) {
        if (xhci->aborting)
            ring_stopped(xhci);
        else
            xhci->strange_events++;
        return;
    }
    unsigned index = xhci_ring_index(&xhci->command_ring, event->parameter);
    struct xhci_command *command = xhci->commands;
    while (command && command->index != index)
        command = command->next;
    if (!command || index == UINT_MAX) {
        xhci->strange_events++;
        return;
    }
    /* They are answered in order (4.6.1): those before it have lost their answers. */
    while (xhci->commands != command)
        command_end(xhci, -ERROR_PROTOCOL, 0, 0);
    command_end(xhci, 0, code, XHCI_TRB_SLOT_OF(event->control));
}

/* 4.6.1.2: the first command has had its time. */
static void command_abort(struct xhci *xhci)
{
    const struct xhci_trb *trb = &xhci->commands->trb;
    platform_log(xhci->platform, LOG_WARNING, "%s: command %u for slot %u is not answered: aborted", xhci->bus.name,
                 XHCI_TRB_TYPE_OF(trb->control), XHCI_TRB_SLOT_OF(trb->control));
    xhci->aborting = true;
    xhci->aborted = xhci->commands;
    uint64_t now = platform_now(xhci->platform);
    xhci->abort_deadline = now + XHCI_ABORT_TIME;
    xhci->abort_check = now + XHCI_ABORT_CHECK_TIME;
    register_write64(&xhci->registers, xhci->operational + XHCI_CRCR, xhci->command_ring.address | XHCI_CRCR_ABORT);
}

bool xhci_command_watch(struct xhci *xhci)
{
    if (!xhci->commands && !xhci->aborting)
        return false;
    uint64_t now = platform_now(xhci->platform);
    if (!xhci->aborting) {
        if (now < xhci->command_deadline)
            return false;
        command_abort(xhci);
        return true;
    }
    if (now >= xhci->abort_check) {
        /* The event that says so may not come, when the ring had just stopped by itself. */
        xhci->abort_check = now + XHCI_ABORT_CHECK_TIME;
        if (!(xhci_read(xhci, XHCI_CRCR) & XHCI_CRCR_RUNNING)) {
            ring_stopped(xhci);
            return true;
        }
    }
    if (now < xhci->abort_deadline)
        return false;
    xhci_die(xhci, "commands are not answered, nor can they be aborted");
    return true;
}
