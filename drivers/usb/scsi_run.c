/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that are waited for, on the device's fiber. */
#include "core/fiber.h"
#include "drivers/usb/scsi.h"
#include "drivers/usb/usb.h"

/* Policy: how long a transport may take to end its commands after recover(); longer, and it is given up. */
#define RECOVERY_TIMEOUT BLOCK_RESET_GRACE

struct waiting {
    struct scsi_transport *transport;
    bool (*done)(void *context);
    void *context;
};

static bool done_or_wanted(void *context)
{
    struct waiting *waiting = context;

    return waiting->done(waiting->context) || *(volatile bool *)&waiting->transport->wants_service;
}

bool scsi_wait(struct scsi_transport *transport, bool (*done)(void *context), void *context, uint64_t deadline)
{
    struct waiting waiting = {transport, done, context};

    while (!done(context)) {
        if (transport->wants_service)
            transport->service(transport);
        else if (!loop_wait(transport->loop, done_or_wanted, &waiting, deadline))
            return done(context);
    }
    return true;
}

void scsi_serve_inside(struct scsi_transport *transport)
{
    if (transport->wants_service && transport->device && transport->device->resting &&
        usb_device_may_reset(transport->device))
        transport->service(transport);
}

struct run {
    struct scsi_transport *transport;
    struct scsi_command *command;
    bool ended;
    int status; /* of submit() */
};

static bool submitted(void *context)
{
    struct run *run = context;

    run->status = run->transport->submit(run->transport, run->command);
    return run->status != -ERROR_FULL;
}

static bool ended(void *context)
{
    return ((const volatile struct run *)context)->ended;
}

static void command_done(struct scsi_command *command)
{
    struct run *run = command->context;

    run->ended = true;
}

/* The device goes, or the bus stops before it has started: nothing is waited for any more. */
static bool stopping(const struct scsi_transport *transport)
{
    const struct usb_device *device = transport->device;

    return transport->dead || (device && (device->unplugged || (device->bus->stopping && device->starting)));
}

static bool ended_or_stopping(void *context)
{
    return ended(context) || stopping(((const struct run *)context)->transport);
}

/* Ends it by force. True when it was late. */
static bool end_now(struct run *run)
{
    struct scsi_transport *transport = run->transport;
    struct platform *platform = transport->loop->platform;

    transport->recover(transport);
    if (!scsi_wait(transport, ended, run, deadline_after(platform, RECOVERY_TIMEOUT)))
        transport->abandon(transport);
    loop_wait(transport->loop, ended, run, UINT64_MAX);
    return true;
}

int scsi_run(struct scsi_transport *transport, struct scsi_command *command, uint64_t timeout)
{
    uint64_t deadline = deadline_after(transport->loop->platform, timeout);
    struct run run = {.transport = transport, .command = command};
    struct fiber_cleanup cleanup = {.ready = ended, .context = &run};
    bool late = false;

    command->done = command_done;
    command->context = &run;
    if (stopping(transport))
        run.status = -ERROR_GONE;
    else if (!scsi_wait(transport, submitted, &run, deadline))
        run.status = -ERROR_TIMEOUT;
    if (run.status)
        return command->status = run.status;
    fiber_cleanup_push(&cleanup);
    scsi_wait(transport, ended_or_stopping, &run, deadline);
    if (!run.ended)
        late = end_now(&run);
    fiber_cleanup_pop(&cleanup);
    if (late && command->status)
        command->status = stopping(transport) ? -ERROR_GONE : -ERROR_TIMEOUT;
    return command->status;
}
