/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine behind struct session_ops: disks, images, volumes, questions, facts. */
#include "boot/machine_session.h"

#include <stdio.h>
#include <string.h>

#include "boot/machine_volumes.h"
#include "core/filesystem.h"
#include "core/partition.h"
#include "ui/machine_facts.h"
#include "version.h"

static struct machine *machine_of(struct session *session)
{
    return ((struct machine_session *)session)->machine;
}

static void write_console(struct output *output, const char *text, size_t size)
{
    machine_write(((struct machine_output *)output)->machine, text, size);
}

static int find_disks(struct session *session, struct error *error)
{
    struct machine *machine = machine_of(session);
    int status = machine_devices_start(machine, error);

    if (status)
        return status;
    /* Said after the start. */
    if (machine->io == IO_NATIVE)
        machine_devices_improve(machine, NULL, 0, false);
    machine_devices_rescan(machine);
    return 0;
}

static int open_disk(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    struct machine *machine = machine_of(session);
    int status = machine_devices_start(machine, error);

    if (!status)
        status = block_registry_find(&machine->registry, name, &end->disk, error);
    if (status)
        return status;
    block_device_hold(end->disk);
    end->is_boot_stick = machine_is_boot_disk(machine, end->disk);
    end->mounted_at = NULL;
    /* The boot disk as a target is refused by the plan. */
    if (write && !end->is_boot_stick)
        machine_target_begin(machine, end->disk);
    return 0;
}

static void close_disk(struct session *session, struct job_end *end)
{
    machine_target_end(machine_of(session), end->disk);
    block_device_let_go(end->disk);
}

static int open_store(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    struct machine *machine = machine_of(session);
    const char *path;
    char volume[SESSION_VOLUME_NAME_MAX];

    if (!session_split_name(session, name, volume, sizeof(volume), &path))
        return error_set(error, ERROR_USAGE, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                         "an image is named as VOLUME:\\path; VOLUME is stick, or the label or UUID of a volume");
    int status = machine_devices_start(machine, error);
    if (status)
        return status;
    end->is_pipe = false;
    status = machine_open_volume(machine, volume, path, name, write, &end->store, error);
    if (status != -ERROR_NOT_FOUND)
        return status;
    return machine_volume_open(machine, volume, path, name, write, &end->store, error);
}

/* The disk below a command's argument; NULL: it is not there. */
static struct block_device *disk_below(struct session *session, const char *name, bool is_image)
{
    struct machine *machine = machine_of(session);
    struct block_device *disk = NULL;
    const char *path;
    char volume[SESSION_VOLUME_NAME_MAX];

    if (!is_image)
        return block_registry_find(&machine->registry, name, &disk, NULL) == 0 ? disk : NULL;
    if (!session_split_name(session, name, volume, sizeof(volume), &path))
        return NULL;
    disk = machine_open_volume_disk(machine, volume);
    return disk ? disk : machine_volume_disk(machine, volume);
}

/* Can this name mean a disk that only our USB drivers will find? Also when what was found has a longer name. */
static bool is_unseen_usb_disk(const char *name, const struct block_device *found)
{
    size_t length = strlen(name);

    return strncmp(name, "usb", length < 3 ? length : 3) == 0 && !(found && strcmp(found->name, name) == 0);
}

/* Our USB drivers, for what the command works on. What cannot be found is said when it is opened. */
static void prepare(struct session *session, const struct command *command)
{
    struct machine *machine = machine_of(session);
    struct block_device *disks[COMMAND_ARGUMENTS_MAX];
    unsigned count = 0, partition;
    bool unknown = false;
    struct error error = {0};

    if (machine_devices_start(machine, &error) != 0 || !machine_devices_can_improve(machine))
        return;
    for (unsigned i = 0; i < command->argument_count; i++) {
        char name[COMMAND_LINE_MAX];
        bool is_image = session_argument_is_image(command, i);
        if (command_split_partition(command->arguments[i], name, sizeof(name), &partition, &error) != 0)
            continue;
        struct block_device *disk = disk_below(session, name, is_image);
        if (disk)
            disks[count++] = disk;
        unknown = unknown || (is_image ? !disk : is_unseen_usb_disk(name, disk));
    }
    machine_devices_improve(machine, disks, count, unknown);
}

static int list_volumes(struct session *session, session_volume_found *found, void *context, struct error *error)
{
    int status = find_disks(session, error);

    return status ? status : machine_list_volumes(machine_of(session), found, context, error);
}

static int list_files(struct session *session, const char *volume, const char *folder, filesystem_found *found,
                      void *context, struct error *error)
{
    int status = machine_devices_start(machine_of(session), error);

    return status ? status : machine_list_files(machine_of(session), volume, folder, found, context, error);
}

/* For measurements: the same disks by the firmware's drivers, and back. */
static int use_firmware(struct session *session, bool firmware, struct error *error)
{
    struct machine *machine = machine_of(session);
    enum machine_io wanted = machine->io;

    machine_devices_stop(machine);
    if (!machine_devices_prepare(machine))
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "", ERROR_NO_BLOCK, "no memory to look for disks");
    machine->io = firmware ? IO_FIRMWARE : wanted;
    int status = machine_devices_start(machine, error);
    machine->io = wanted;
    return status;
}

static int confirm(struct session *session, const char *question, const char *expected)
{
    struct machine_session *ours = (struct machine_session *)session;
    char answer[128];

    if (ours->unattended)
        return -1;
    output_print(session->status, "%s", question);
    machine_reset_cancel(ours->machine);
    return machine_read_line(ours->machine, answer, sizeof(answer)) && strcmp(answer, expected) == 0;
}

static bool variable(struct session *session, const char *name, char *value, size_t size)
{
    struct machine *machine = machine_of(session);
    bool is_date = strcmp(name, "date") == 0;
    struct calendar date;

    if (!is_date && strcmp(name, "time") != 0)
        return machine_system_text(machine, name, value, size);
    int64_t now = machine->platform->ops->wall_clock(machine->platform);
    if (now < 0)
        return false;
    calendar_of(now, &date);
    if (is_date)
        snprintf(value, size, "%04d-%02d-%02d", date.year, date.month, date.day);
    else
        snprintf(value, size, "%02d%02d%02d", date.hour, date.minute, date.second);
    return true;
}

static void machine_facts(struct session *session, struct machine_facts *facts)
{
    struct machine *machine = machine_of(session);
    const struct {
        const char *what;
        char *value;
        size_t size;
    } texts[] = {
        {"vendor", facts->vendor, sizeof(facts->vendor)}, {"model", facts->model, sizeof(facts->model)},
        {"serial", facts->serial, sizeof(facts->serial)}, {"asset tag", facts->asset_tag, sizeof(facts->asset_tag)},
        {"board", facts->board, sizeof(facts->board)},    {"firmware", facts->firmware, sizeof(facts->firmware)},
        {"uuid", facts->uuid, sizeof(facts->uuid)}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!machine_system_text(machine, texts[i].what, texts[i].value, texts[i].size))
            texts[i].value[0] = 0;
    facts->memory = machine_memory(machine);
    facts->mac_count = machine_network_addresses(machine, facts->macs, FACT_MACS_MAX);
}

static bool wait_key(struct session *session, uint64_t nanoseconds)
{
    return machine_wait_key(machine_of(session), nanoseconds);
}

static void note(struct session *session, const char *line)
{
    platform_log(machine_of(session)->platform, LOG_INFO, "%s", line);
}

static const struct session_ops ops = {
    .find_disks = find_disks,
    .prepare = prepare,
    .open_disk = open_disk,
    .close_disk = close_disk,
    .open_store = open_store,
    .list_volumes = list_volumes,
    .list_files = list_files,
    .volumes_have_colon = true,
    .use_firmware = use_firmware,
    .confirm = confirm,
    .variable = variable,
    .machine_facts = machine_facts,
    .wait_key = wait_key,
    .note = note,
};

void machine_session_init(struct machine_session *ours, struct machine *machine)
{
    *ours = (struct machine_session){.machine = machine};
    ours->console = (struct machine_output){
        .output = {.write = write_console,
                   .columns = machine_columns(machine),
                   .is_terminal = !machine->emulator_exit}, /* a log has no use for lines drawn over */
        .machine = machine};
    ours->session = (struct session){.ops = &ops,
                                     .loop = &machine->loop,
                                     .registry = &machine->registry,
                                     .out = &ours->console.output,
                                     .status = &ours->console.output,
                                     .version = EIDOLON_VERSION};
}
