/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What UAS does on the device's fiber, where it may wait: task management, recovery, data that never came. UAS-3, 6.2.7; SAM-5,
 * section 7.
 *
 * Recovery: first the data pipes are emptied, then the device is told to forget its commands (ABORT TASK for a single one,
 * else LOGICAL UNIT RESET, then I_T NEXUS RESET), then the other pipes are emptied. If any of this fails, the device is reset.
 * Data first: nothing may move into buffers whose commands are being forgotten.
 */
#include "drivers/usb/usb_uas_internal.h"

/* --- task management --- */

static bool device_lost(const struct uas *uas)
{
    return uas->transport.dead || uas->binding.device->unplugged;
}

static bool task_ended(void *context)
{
    const struct uas *uas = context;
    return !uas->slots[uas->depth].busy || uas->recovery_failed || device_lost(uas);
}

/* 0, -ERROR_REFUSED (not supported, or failed), -ERROR_TIMEOUT, -ERROR_GONE, -ERROR_PROTOCOL. */
static int task_run(struct uas *uas, enum uas_task_function function, uint8_t lun, uint16_t tag)
{
    struct uas_slot *slot = &uas->slots[uas->depth];
    struct uas_task_iu *unit = (struct uas_task_iu *)(void *)uas_request_unit(slot);
    *unit = (struct uas_task_iu){.id = UAS_IU_TASK_MANAGEMENT,
                                 .tag = {0, (uint8_t)slot->tag},
                                 .function = (uint8_t)function,
                                 .task_tag = {0, (uint8_t)tag}};
    uas_lun_set(unit->lun, lun);
    slot->request.transfer.length = sizeof(*unit);
    slot->command = NULL;
    slot->has_data = false;
    int status = uas_slot_start(slot);
    if (status)
        return status;
    bool ended = loop_wait(uas->loop, task_ended, uas, deadline_after(uas->loop->platform, UAS_TASK_TIMEOUT));
    if (device_lost(uas))
        return -ERROR_GONE;
    if (!ended)
        return -ERROR_TIMEOUT;
    if (slot->busy || uas->recovery_failed || !slot->answered)
        return -ERROR_PROTOCOL;
    return slot->response == UAS_TASK_COMPLETE || slot->response == UAS_TASK_SUCCEEDED ? 0 : -ERROR_REFUSED;
}

static int units_reset(struct uas *uas)
{
    bool reset[256] = {false};
    for (unsigned i = 0; i < uas->depth; i++) {
        struct uas_slot *slot = &uas->slots[i];
        if (!slot->busy || !slot->command || reset[slot->command->lun])
            continue;
        uint8_t lun = slot->command->lun;
        int status = task_run(uas, UAS_LOGICAL_UNIT_RESET, lun, 0);
        if (status)
            return status;
        reset[lun] = true;
    }
    return 0;
}

/* Makes the device forget all commands in flight. */
static int tasks_end(struct uas *uas)
{
    struct uas_slot *only = NULL;
    int status = -ERROR_REFUSED;
    if (!uas->in_flight)
        return 0;
    for (unsigned i = 0; i < uas->depth && uas->in_flight == 1; i++)
        if (uas->slots[i].busy)
            only = &uas->slots[i];
    if (only)
        status = task_run(uas, UAS_ABORT_TASK, only->command->lun, only->tag);
    /* The next higher means, when the device says no; a device that says nothing is reset. */
    if (status == -ERROR_REFUSED)
        status = units_reset(uas);
    if (status == -ERROR_REFUSED)
        status = task_run(uas, UAS_I_T_NEXUS_RESET, 0, 0);
    return status;
}

/* --- pipes --- */

/* Nothing moves on the pipe afterwards, and it runs. */
static int pipe_clear(struct uas *uas, enum uas_pipe pipe)
{
    int status = 0;
    if (uas->halted[pipe]) {
        status = usb_endpoint_reset(uas->pipes[pipe]);
        uas->halted[pipe] = status != 0;
    } else if (uas_pipe_moves(uas, pipe)) {
        status = usb_endpoint_cancel(uas->pipes[pipe]);
    }
    if (device_lost(uas))
        return -ERROR_GONE;
    return status;
}

static int gentle_recovery(struct uas *uas)
{
    int status = pipe_clear(uas, UAS_DATA_IN);
    if (!status)
        status = pipe_clear(uas, UAS_DATA_OUT);
    if (!status && uas->halted[UAS_COMMAND])
        status = pipe_clear(uas, UAS_COMMAND);
    if (!status && uas->halted[UAS_STATUS])
        status = pipe_clear(uas, UAS_STATUS);
    if (!status)
        status = tasks_end(uas);
    if (!status)
        status = pipe_clear(uas, UAS_COMMAND);
    if (!status)
        status = pipe_clear(uas, UAS_STATUS);
    return status ? status : uas->recovery_failed ? -ERROR_PROTOCOL : 0;
}

static int hard_recovery(struct uas *uas)
{
    platform_log(uas->loop->platform, LOG_WARNING, "%s: UAS: does not recover by itself, reset",
                 uas->binding.device->name);
    for (unsigned pipe = 0; pipe < UAS_PIPES; pipe++)
        if (uas_pipe_moves(uas, pipe))
            usb_endpoint_cancel(uas->pipes[pipe]);
    if (device_lost(uas))
        return -ERROR_GONE;
    int status = usb_device_reset(uas->binding.device);
    for (unsigned pipe = 0; !status && pipe < UAS_PIPES; pipe++)
        uas->halted[pipe] = false;
    return status;
}

/* --- recovery --- */

static void wants_nothing(struct uas *uas)
{
    uas->stuck = false;
    for (unsigned i = 0; i <= uas->depth; i++)
        uas->slots[i].request.wanted = uas->slots[i].status.wanted = uas->slots[i].data.wanted = false;
}

/* The device is gone: what its host still holds is taken back, so that nothing is left under way. */
static void end_lost(struct uas *uas)
{
    uas->transport.dead = true;
    uas->recovering = true;
    wants_nothing(uas);
    for (unsigned pipe = 0; pipe < UAS_PIPES; pipe++)
        if (uas_pipe_moves(uas, pipe))
            usb_endpoint_cancel(uas->pipes[pipe]);
    uas_slots_end(uas, -ERROR_GONE);
    uas->recovering = uas->recovery_wanted = uas->faulted = uas->draining = false;
}

static void give_up(struct uas *uas)
{
    uas->transport.dead = true;
    if (!uas->attached)
        return;
    platform_log(uas->loop->platform, LOG_WARNING,
                 "%s: UAS fails again and again, its disks go: bulk-only has its turn", uas->binding.device->name);
    usb_storage_gone(&uas->storage);
    usb_give_up(&uas->binding);
}

static void recover(struct uas *uas)
{
    uas->recovering = true;
    uas->recovery_failed = false;
    uas->failures++;
    uas->good = 0;
    wants_nothing(uas);
    int status = gentle_recovery(uas);
    if (status && !device_lost(uas))
        status = hard_recovery(uas);
    if (device_lost(uas)) {
        end_lost(uas);
        return;
    }
    if (status || uas->failures >= UAS_FAILURES_MAX)
        give_up(uas);
    uas_slots_end(uas, uas->transport.dead ? -ERROR_GONE : -ERROR_ABORTED);
    uas->recovering = uas->recovery_wanted = uas->faulted = uas->draining = false;
}

void uas_recover_later(struct scsi_transport *transport)
{
    struct uas *uas = uas_of(transport);
    if (transport->dead || uas->recovering)
        return;
    uas->recovery_wanted = true;
    uas_want_service(uas);
}

/* --- data that never came --- */

static bool settled(void *context)
{
    const struct uas *uas = context;
    return !uas->lingering || uas->recovery_wanted || device_lost(uas);
}

static bool drained(void *context)
{
    const struct uas *uas = context;
    return uas->in_flight == uas->lingering || settled(context);
}

static bool pipe_lingers(const struct uas *uas, enum uas_pipe pipe)
{
    for (unsigned i = 0; i < uas->depth; i++)
        if (uas->slots[i].lingering && uas->slots[i].data.pipe == pipe)
            return true;
    return false;
}

/*
 * Good status, and the data does not come: this was not the status of this command. The device still works on it, so it is not
 * done with, nor is its tag free.
 */
static void doubt_good_status(struct uas *uas)
{
    for (unsigned i = 0; i < uas->depth; i++) {
        struct uas_slot *slot = &uas->slots[i];
        if (!slot->lingering || slot->result || slot->command->scsi_status != SCSI_GOOD)
            continue;
        slot->lingering = slot->answered = false;
        uas->lingering--;
        uas->unanswered++;
        uas_fault(uas, "good status without the data");
    }
}

/*
 * Commands that ended without (all of) their data, mostly with an error: their data transfers are taken back. This takes all that
 * is queued on the pipe, so with streams the others may end first.
 */
static void lingering_end(struct uas *uas)
{
    struct platform *platform = uas->loop->platform;
    if (loop_wait(uas->loop, settled, uas, deadline_after(platform, UAS_SETTLE_TIME)))
        return;
    doubt_good_status(uas);
    if (settled(uas))
        return;
    uas->draining = uas->streams != 0;
    if (uas->draining && !loop_wait(uas->loop, drained, uas, deadline_after(platform, UAS_DRAIN_TIMEOUT)))
        uas_fault(uas, "commands do not end");
    if (!settled(uas)) {
        for (enum uas_pipe pipe = UAS_DATA_IN; pipe <= UAS_DATA_OUT; pipe++)
            if (pipe_lingers(uas, pipe) && pipe_clear(uas, pipe) && !device_lost(uas))
                uas_fault(uas, "a data pipe cannot be emptied");
    }
    uas->draining = false;
}

void uas_service(struct scsi_transport *transport)
{
    struct uas *uas = uas_of(transport);
    transport->wants_service = false;
    if (uas->lingering && !uas->recovery_wanted && !device_lost(uas))
        lingering_end(uas);
    if (device_lost(uas))
        end_lost(uas);
    else if (uas->recovery_wanted)
        recover(uas);
    if (uas->lingering && !transport->dead)
        uas_want_service(uas);
}
