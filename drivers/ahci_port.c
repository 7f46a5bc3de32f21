/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of a port: link, start, stop, recovery (AHCI 1.3.1, sections 6.2, 10.1, 10.3 and 10.4). Bring-up and recovery are
 * the same walk through enum ahci_state, taken in small steps by ahci_port_poll(): a reset may not wait, and at the start all
 * ports walk side by side.
 */
#include "drivers/ahci_internal.h"

#define ALL_ONES UINT32_MAX

static void enter(struct ahci_port *port, enum ahci_state state, uint64_t timeout)
{
    port->state = state;
    port->deadline = deadline_after(port->controller->platform, timeout);
}

static bool expired(const struct ahci_port *port)
{
    return platform_now(port->controller->platform) > port->deadline;
}

static bool reads_gone(struct ahci_port *port, uint32_t value)
{
    if (value != ALL_ONES)
        return false;
    ahci_controller_fail(port->controller, ERROR_GONE, "the controller does not answer any more");
    return true;
}

bool ahci_port_settled(const struct ahci_port *port)
{
    return port->state == AHCI_EMPTY || port->state == AHCI_FAILED ||
           (port->state == AHCI_RUNNING && port->step == AHCI_SERVE);
}

/* ---- what is held ---- */

/* Takes one request out of those that are held; NULL when there is none. */
static struct block_request *held_take(struct ahci_port *port)
{
    struct block_request *request = NULL;
    if (port->queued) {
        unsigned tag = (unsigned)__builtin_ctz(port->queued);
        port->queued &= port->queued - 1;
        request = port->requests[tag];
    } else if (port->single) {
        request = port->single;
        port->single = NULL;
    } else if (port->waiting) {
        request = port->waiting;
        port->waiting = NULL;
    } else if (port->instant) {
        request = port->instant;
        port->instant = request->driver_next;
    }
    return request;
}

void ahci_port_abort_all(struct ahci_port *port)
{
    struct block_request *request;
    port->own = false;
    while ((request = held_take(port)))
        block_complete(request, -ERROR_ABORTED, 0);
}

void ahci_port_forget_all(struct ahci_port *port)
{
    port->own = false;
    while (held_take(port))
        ;
}

bool ahci_port_holds(const struct ahci_port *port)
{
    return port->queued || port->single || port->waiting || port->instant;
}

/* ---- ends ---- */

void ahci_port_fail(struct ahci_port *port, const char *reason)
{
    if (port->state == AHCI_FAILED)
        return;
    port->state = AHCI_FAILED;
    ahci_write(port, AHCI_PxCMD, ahci_read(port, AHCI_PxCMD) & ~AHCI_CMD_ST);
    ahci_port_forget_all(port);
    if (!port->registered)
        return;
    platform_log(port->controller->platform, LOG_ERROR, "%s: given up: %s", port->device.name, reason);
    block_device_die(&port->device);
}

/* Nobody is there. What the port may still receive lands in memory of ours, until ahci_detach() ends that too. */
static void port_empty(struct ahci_port *port)
{
    if (port->registered) {
        ahci_port_fail(port, "its link is down: unplugged, or dead");
        return;
    }
    ahci_write(port, AHCI_PxCMD, ahci_read(port, AHCI_PxCMD) & ~AHCI_CMD_ST);
    port->state = AHCI_EMPTY;
}

void ahci_port_give_up(struct ahci_port *port, const char *reason)
{
    if (port->registered) {
        ahci_port_fail(port, reason);
        return;
    }
    platform_log(port->controller->platform, LOG_WARNING, "%s: left out: %s", port->device.name, reason);
    port_empty(port);
}

/* ---- beginnings ---- */

static void port_stop(struct ahci_port *port, enum ahci_recovery recovery)
{
    uint32_t command = ahci_read(port, AHCI_PxCMD);
    if (reads_gone(port, command))
        return;
    port->recovery = recovery;
    ahci_write(port, AHCI_PxCMD, command & ~AHCI_CMD_ST);
    enter(port, AHCI_STOPPING, AHCI_STOP_TIMEOUT);
}

void ahci_port_begin(struct ahci_port *port)
{
    port->step = AHCI_SERVE;
    port->forced = port->cleared = false;
    port->link_tries = 0;
    port_stop(port, AHCI_BEGIN);
}

void ahci_port_reset(struct ahci_port *port, const char *reason)
{
    unsigned most = port->known ? AHCI_RESETS_MAX : AHCI_FIRST_RESETS_MAX;
    port->reason = reason;
    port->own = false;
    port->step = AHCI_SERVE;
    port->forced = port->cleared = false;
    port->link_tries = 0;
    bool more = ++port->resets <= most;
    platform_log(port->controller->platform, port->known ? LOG_WARNING : LOG_DEBUG, "%s: %s: %s", port->device.name,
                 more ? "link reset" : "resets do not help", reason);
    if (port->registered)
        block_device_resetting(&port->device);
    port_stop(port, more ? AHCI_RESET : AHCI_GIVE_UP);
}

void ahci_port_restart(struct ahci_port *port)
{
    port->forced = false;
    port_stop(port, AHCI_RESTART);
}

/* ---- the walk ---- */

/* 10.4.2: DET = 1 for at least a millisecond, with ST = 0. */
static void port_comreset(struct ahci_port *port)
{
    ahci_write(port, AHCI_PxSCTL, AHCI_SCTL_NO_POWER_SAVING | AHCI_SCTL_DET_RESET);
    enter(port, AHCI_RESETTING, AHCI_COMRESET_TIME);
}

static void port_link(struct ahci_port *port)
{
    port->link_tries++;
    enter(port, AHCI_LINKING, port->linked_before || port->known ? AHCI_LINK_TIMEOUT : AHCI_ABSENT_TIMEOUT);
}

/* 10.3.1: memory, power, receiving. FR and CR are 0. */
static void port_set_up(struct ahci_port *port)
{
    ahci_write(port, AHCI_PxIE, 0);
    ahci_write(port, AHCI_PxCLB, (uint32_t)AHCI_ADDRESS(port, list));
    ahci_write(port, AHCI_PxFB, (uint32_t)AHCI_ADDRESS(port, receive));
    if (!port->controller->only_32_bits) {
        ahci_write(port, AHCI_PxCLB + 4, (uint32_t)(AHCI_ADDRESS(port, list) >> 32));
        ahci_write(port, AHCI_PxFB + 4, (uint32_t)(AHCI_ADDRESS(port, receive) >> 32));
    }
    ahci_write(port, AHCI_PxSERR, ALL_ONES);
    ahci_write(port, AHCI_PxIS, ALL_ONES);
    ahci_write(port, AHCI_PxSCTL, AHCI_SCTL_NO_POWER_SAVING);
    uint32_t command = ahci_read(port, AHCI_PxCMD);
    command &= ~(AHCI_CMD_ICC_MASK | AHCI_CMD_ALPE | AHCI_CMD_PMA | AHCI_CMD_ST | AHCI_CMD_CLO);
    ahci_write(port, AHCI_PxCMD, command | AHCI_CMD_FRE | AHCI_CMD_SUD | AHCI_CMD_POD | AHCI_CMD_ICC_ACTIVE);
    port->recovery = AHCI_RESET; /* from here on, a COMRESET leads back to the link */
    port_link(port);
}

/* 10.3.1: the link is up and the device is ready. */
static void port_start(struct ahci_port *port)
{
    ahci_write(port, AHCI_PxSERR, ALL_ONES);
    ahci_write(port, AHCI_PxIS, ALL_ONES);
    /* 3.3.14: CI is cleared when ST goes to 0. Where it is not (QEMU), nothing old may be done again. */
    for (uint32_t stale = ahci_read(port, AHCI_PxCI); stale; stale &= stale - 1)
        ahci_command_defuse(port, (unsigned)__builtin_ctz(stale));
    dma_barrier();
    ahci_write(port, AHCI_PxCMD, ahci_read(port, AHCI_PxCMD) | AHCI_CMD_ST);
    port->state = AHCI_RUNNING;
}

/* The engine has been stopped because a command failed. */
static void stopped_after_error(struct ahci_port *port)
{
    /* 6.2.2.1: a device that is still in the middle of something takes no commands. */
    if (ahci_read(port, AHCI_PxTFD) & (ATA_STATUS_BUSY | ATA_STATUS_DATA_REQUEST)) {
        if (!port->queued && port->single && !port->identity.packet)
            ahci_disk_single_failed(port, 0, port->fault & 0xffffu);
        ahci_port_reset(port, "it stays busy after an error");
        return;
    }
    port_start(port);
    if (port->own) {
        port->own = false;
        ahci_step_ended(port, -ERROR_IO);
    } else if (port->single && port->identity.packet) {
        ahci_step_begin(port, AHCI_ERROR_SENSE);
    } else if (port->single) {
        ahci_disk_single_failed(port, 0, port->fault & 0xffffu);
    } else if (port->identity.error_log && !port->alone) {
        ahci_step_begin(port, AHCI_ERROR_LOG);
    } else {
        /* ACS-4, 4.15: without the log, only a reset makes the device take commands again. */
        port->alone = 2 * AHCI_TAGS;
        ahci_port_reset(port, "a queued command failed, and it keeps no log that tells which");
    }
}

/* CR is 0: no command runs any more. */
static void port_stopped(struct ahci_port *port)
{
    switch (port->recovery) {
    case AHCI_RESTART:
        stopped_after_error(port);
        return;
    case AHCI_BEGIN:
        ahci_port_abort_all(port);
        ahci_write(port, AHCI_PxCMD, ahci_read(port, AHCI_PxCMD) & ~AHCI_CMD_FRE);
        enter(port, AHCI_STOPPING_RECEIVE, AHCI_STOP_TIMEOUT);
        return;
    case AHCI_RESET:
    case AHCI_GIVE_UP:
        port_comreset(port);
        return;
    }
}

static void step_stopping(struct ahci_port *port)
{
    uint32_t command = ahci_read(port, AHCI_PxCMD);
    if (reads_gone(port, command))
        return;
    if (!(command & AHCI_CMD_CR)) {
        port_stopped(port);
    } else if (expired(port) && !port->forced) {
        /* 10.4.2: a COMRESET also ends what hangs in the engine. */
        port->forced = true;
        if (port->recovery == AHCI_RESTART)
            port->recovery = AHCI_RESET;
        port_comreset(port);
    } else if (expired(port)) {
        ahci_controller_reset(port->controller, "a port does not stop");
    }
}

static void step_stopping_receive(struct ahci_port *port)
{
    uint32_t command = ahci_read(port, AHCI_PxCMD);
    if (reads_gone(port, command))
        return;
    if (!(command & AHCI_CMD_FR))
        port_set_up(port);
    else if (expired(port))
        ahci_port_give_up(port, "the port does not stop receiving");
}

static void step_resetting(struct ahci_port *port)
{
    if (!expired(port))
        return;
    ahci_write(port, AHCI_PxSCTL, AHCI_SCTL_NO_POWER_SAVING);
    uint32_t command = ahci_read(port, AHCI_PxCMD);
    if (reads_gone(port, command))
        return;
    if (command & AHCI_CMD_CR) {
        enter(port, AHCI_STOPPING, AHCI_STOP_TIMEOUT);
    } else if (port->recovery == AHCI_BEGIN) {
        port_stopped(port);
    } else if (port->recovery == AHCI_GIVE_UP) {
        ahci_port_give_up(port, port->reason);
    } else {
        /* Only now: emulated devices go on with what they have begun until they are reset. */
        ahci_port_abort_all(port);
        port_link(port);
    }
}

static void step_linking(struct ahci_port *port)
{
    uint32_t status = ahci_read(port, AHCI_PxSSTS);
    if (reads_gone(port, status))
        return;
    if (AHCI_SSTS_DET(status) == AHCI_DET_UP) {
        ahci_write(port, AHCI_PxSERR, ALL_ONES);
        port->linked_before = true;
        enter(port, AHCI_WAKING, AHCI_WAKE_TIMEOUT);
        return;
    }
    if (!expired(port))
        return;
    if (AHCI_SSTS_DET(status) != AHCI_DET_NONE)
        port->linked_before = true; /* somebody is there: patience */
    /* A device that was in use and is gone is not waited for; others may need another COMRESET. */
    unsigned tries = port->registered ? 1 : port->linked_before ? AHCI_LINK_TRIES : 2;
    if (port->link_tries < tries)
        port_comreset(port);
    else
        port_empty(port);
}

/* The device is ready: what is it? PxSIG came with its first message. */
static void port_ready(struct ahci_port *port)
{
    uint32_t signature = ahci_read(port, AHCI_PxSIG);
    if (signature == AHCI_SIG_MULTIPLIER || signature == AHCI_SIG_ENCLOSURE) {
        ahci_port_give_up(port, signature == AHCI_SIG_MULTIPLIER ? "a port multiplier; connect its disks directly"
                                                                 : "an enclosure's processor, no disk");
        return;
    }
    port->packet = signature == AHCI_SIG_ATAPI;
    port->spun_up = false;
    port->medium_tries = 0;
    port->medium_deadline = deadline_after(port->controller->platform, AHCI_MEDIUM_TIMEOUT);
    port_start(port);
    ahci_step_begin(port, AHCI_IDENTIFY);
}

static void step_waking(struct ahci_port *port)
{
    uint32_t task = ahci_read(port, AHCI_PxTFD);
    if (reads_gone(port, task))
        return;
    if (!(task & (ATA_STATUS_BUSY | ATA_STATUS_DATA_REQUEST))) {
        port_ready(port);
        return;
    }
    /* 3.3.12: the device's first message is not taken while "exchanged" is set. */
    if (ahci_read(port, AHCI_PxIS) & AHCI_IS_PCS)
        ahci_write(port, AHCI_PxSERR, ALL_ONES);
    if (AHCI_SSTS_DET(ahci_read(port, AHCI_PxSSTS)) != AHCI_DET_UP) {
        port_link(port);
        if (port->link_tries > AHCI_LINK_TRIES)
            port_empty(port);
        return;
    }
    if (!expired(port))
        return;
    /* 3.3.7: the controller can be told to forget a BSY that the device never takes back. */
    if (port->controller->capabilities & AHCI_CAP_SCLO && !port->cleared) {
        port->cleared = true;
        ahci_write(port, AHCI_PxCMD, ahci_read(port, AHCI_PxCMD) | AHCI_CMD_CLO);
        enter(port, AHCI_CLEARING, AHCI_STOP_TIMEOUT);
    } else {
        ahci_port_give_up(port, "it does not get ready");
    }
}

static void step_clearing(struct ahci_port *port)
{
    uint32_t command = ahci_read(port, AHCI_PxCMD);
    if (reads_gone(port, command))
        return;
    if (!(command & AHCI_CMD_CLO))
        port_ready(port);
    else if (expired(port))
        ahci_port_give_up(port, "it does not get ready");
}

/* ---- running ---- */

/* Looks at the link now and then. True when it is gone, and recovery has begun. */
static bool watch(struct ahci_port *port, bool busy)
{
    uint64_t now = platform_now(port->controller->platform);
    if (now < port->next_check)
        return false;
    port->next_check = now + (busy ? AHCI_BUSY_CHECK : AHCI_IDLE_CHECK);
    uint32_t status = ahci_read(port, AHCI_PxSSTS);
    uint32_t interrupt = ahci_read(port, AHCI_PxIS);
    if (reads_gone(port, status))
        return true;
    if (AHCI_SSTS_DET(status) != AHCI_DET_UP)
        ahci_port_reset(port, "the link went down");
    else if (interrupt & (AHCI_IS_PRCS | AHCI_IS_PCS))
        ahci_port_reset(port, "the link went down and came back");
    else
        return false;
    return true;
}

static bool step_running(struct ahci_port *port)
{
    bool busy = port->own || port->single || port->queued;
    bool progress = busy && ahci_disk_reap(port);
    if (port->state != AHCI_RUNNING)
        return true;
    if (!progress) {
        if (watch(port, busy))
            return true;
        if (port->own && expired(port))
            ahci_port_reset(port, "it does not answer");
    }
    if (port->state == AHCI_RUNNING && port->waiting)
        ahci_disk_send_waiting(port);
    return progress;
}

bool ahci_port_poll(struct ahci_port *port)
{
    enum ahci_state before = port->state;
    if (before == AHCI_EMPTY || before == AHCI_FAILED)
        return false;
    bool progress = port->instant && ahci_disk_end_instant(port);
    switch (port->state) {
    case AHCI_STOPPING:
        step_stopping(port);
        break;
    case AHCI_STOPPING_RECEIVE:
        step_stopping_receive(port);
        break;
    case AHCI_RESETTING:
        step_resetting(port);
        break;
    case AHCI_LINKING:
        step_linking(port);
        break;
    case AHCI_WAKING:
        step_waking(port);
        break;
    case AHCI_CLEARING:
        step_clearing(port);
        break;
    case AHCI_RUNNING:
        return step_running(port) || progress;
    case AHCI_PAUSING:
        if (expired(port)) {
            port->state = AHCI_RUNNING;
            ahci_step_begin(port, AHCI_TEST_READY);
        }
        break;
    case AHCI_HELD:
        return ahci_controller_step(port->controller);
    case AHCI_EMPTY:
    case AHCI_FAILED:
        break;
    }
    return port->state != before || progress;
}
