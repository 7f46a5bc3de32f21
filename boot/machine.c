/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program on the bare machine: plugs core, fs, drivers and ui together. Knows no firmware; that is
 * behind machine.h.
 */
#include "boot/machine_volumes.h"

#include <stdio.h>
#include <string.h>

#include "boot/conformance.h"
#include "boot/screen_test.h"
#include "boot/self_check.h"
#include "core/filesystem.h"
#include "core/partition.h"
#include "ui/session.h"
#include "ui/unattended.h"
#include "version.h"

#define JOB_FILE "\\EIDOLON\\JOB.TXT"

/* What the session's operations need beside it. */
struct machine_session {
    struct session session; /* first */
    struct machine *machine;
    bool unattended; /* a job file runs: nobody answers */
};

struct machine_output {
    struct output output; /* first */
    struct machine *machine;
};

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

static const struct session_ops machine_session_ops = {
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

/* --- words for the machine --- */

static bool take_word(struct machine *machine, const char *word, size_t length)
{
    static const struct {
        const char *word;
        enum machine_io io;
    } words[] = {{"io=firmware", IO_FIRMWARE}, {"io=native", IO_NATIVE}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) == length && memcmp(words[i].word, word, length) == 0) {
            machine->io = words[i].io;
            return true;
        }
    }
    return false;
}

void machine_take_words(struct machine *machine, char *line)
{
    char *to = line;
    const char *from = line;

    while (*from) {
        size_t blanks = strspn(from, " \t"), length = strcspn(from + blanks, " \t");
        if (!take_word(machine, from + blanks, length)) {
            memmove(to, from, blanks + length);
            to += blanks + length;
        }
        from += blanks + length;
    }
    *to = 0;
}

/* The same for the lines of a job file that say nothing else: they count for all of it, and become empty. */
static void take_job_file_words(struct machine *machine, char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\r\n");
        if (take_word(machine, text, length))
            memset(text, ' ', length);
        text += length;
        text += strspn(text, "\r\n");
    }
}

/* --- what is to be done --- */

/* Is this the line's first word? */
static bool is_command(const char *line, const char *word)
{
    size_t length = strlen(word);

    return strncmp(line, word, length) == 0 && (!line[length] || line[length] == ' ' || line[length] == '\t');
}

static enum exit_code run_line(struct machine_session *ours, char *line)
{
    enum exit_code code;

    machine_reset_cancel(ours->machine);
    platform_log(ours->machine->platform, LOG_INFO, "command: %s", line);
    line += strspn(line, " \t");
    if (is_command(line, "self-check"))
        code = self_check(ours->machine, ours->session.out) ? EXIT_CODE_DONE : EXIT_CODE_OTHER;
    else if (is_command(line, "screen-test"))
        code = screen_test(ours->machine, ours->session.out) ? EXIT_CODE_DONE : EXIT_CODE_OTHER;
    else if (is_command(line, "conformance"))
        code = conformance(&ours->session, line + strlen("conformance"));
    else
        code = session_run_line(&ours->session, line);
    platform_log(ours->machine->platform, LOG_INFO, "exit code %d", (int)code);
    return code;
}

static enum exit_code run_job_file(struct machine_session *ours, char *text, size_t size)
{
    enum job_file_end end = JOB_FILE_RETURN;

    take_job_file_words(ours->machine, text);
    ours->unattended = true;
    enum exit_code code = session_run_job_file(&ours->session, text, size, &end);
    ours->machine->end = end == JOB_FILE_REBOOT ? END_REBOOT : end == JOB_FILE_POWER_OFF ? END_POWER_OFF : END_RETURN;
    platform_log(ours->machine->platform, LOG_INFO, "job file ended, exit code %d", (int)code);
    return code;
}

/* A key from the firmware's boot menu must not stop the count-down. */
static void forget_keys(struct machine *machine)
{
    machine_reset_cancel(machine);
    while (machine_wait_key(machine, 0))
        ;
}

static enum exit_code run_rules(struct machine_session *ours, const char *name, bool elsewhere, const char *text,
                                size_t size, bool *stay)
{
    static const enum machine_end ends[] = {[JOB_FILE_RETURN] = END_RETURN,
                                            [JOB_FILE_REBOOT] = END_REBOOT,
                                            [JOB_FILE_POWER_OFF] = END_POWER_OFF,
                                            [JOB_FILE_WAIT] = END_RETURN};
    enum job_file_end end = JOB_FILE_WAIT;
    struct job_text_view view;

    forget_keys(ours->machine);
    job_text_view_init(&view, &ours->session);
    ours->unattended = true;
    enum exit_code code = unattended_run(&ours->session, name, elsewhere, text, size, &view.view, &end);
    ours->unattended = false;
    ours->machine->end = ends[end];
    *stay = end == JOB_FILE_WAIT;
    platform_log(ours->machine->platform, LOG_INFO, "job file %s ended, exit code %d", name, (int)code);
    return code;
}

/* A file of the stick; false: it is not there. One that cannot be read is said, and is there. */
static bool read_job(struct machine_session *ours, const char *path, char **text, size_t *size)
{
    int status = machine_boot_file(ours->machine, path, text, size);

    if (status && status != -ERROR_NOT_FOUND)
        output_print(ours->session.status, "stick:%s cannot be read (%s).\n", path,
                     error_code_name((enum error_code) - status));
    return status != -ERROR_NOT_FOUND;
}

/* On other volumes than the stick. false: nothing is there. */
static bool run_rules_elsewhere(struct machine_session *ours, enum exit_code *code, bool *stay)
{
    char name[SESSION_VOLUME_NAME_MAX + 32], *text;
    struct error error = {0};
    size_t size;

    int status = unattended_find(&ours->session, name, sizeof(name), &text, &size, &error);
    if (status == -ERROR_NOT_FOUND)
        return false;
    if (status) {
        session_error(&ours->session, false, &error);
        *code = exit_code_of(&error);
        return true;
    }
    *code = run_rules(ours, name, true, text, size, stay);
    platform_release(ours->machine->platform, text);
    return true;
}

/* What is to be done unattended; false: nothing. *stay: a person is waited for. */
static bool run_jobs(struct machine_session *ours, enum exit_code *code, bool *stay)
{
    struct platform *platform = ours->machine->platform;
    char *lines = NULL, *rules = NULL;
    size_t lines_size = 0, rules_size = 0;
    bool has_lines = read_job(ours, JOB_FILE, &lines, &lines_size);
    bool has_rules = read_job(ours, JOB_RULES_PATH, &rules, &rules_size);

    *code = EXIT_CODE_OTHER;
    *stay = true;
    if (has_lines && has_rules) {
        output_print(ours->session.status,
                     "There are two job files on the stick, " JOB_FILE " and " JOB_RULES_PATH ". Neither is run.\n");
        *code = EXIT_CODE_USAGE;
    } else if (lines) {
        *code = run_job_file(ours, lines, lines_size);
        *stay = false;
    } else if (rules) {
        *code = run_rules(ours, "stick:" JOB_RULES_PATH, false, rules, rules_size, stay);
    }
    platform_release(platform, lines);
    platform_release(platform, rules);
    return has_lines || has_rules || run_rules_elsewhere(ours, code, stay);
}

/* true: leave. */
static bool obey_prompt(struct machine *machine, const char *line)
{
    if (strcmp(line, "exit") == 0)
        machine->end = END_RETURN;
    else if (strcmp(line, "reboot") == 0)
        machine->end = END_REBOOT;
    else if (strcmp(line, "poweroff") == 0)
        machine->end = END_POWER_OFF;
    else
        return false;
    return true;
}

/* code: what is returned when no command is given. */
static enum exit_code prompt(struct machine_session *ours, enum exit_code code)
{
    char line[MACHINE_LINE_MAX];

    output_print(ours->session.out,
                 "\nType a command: list, capture, restore, clone, verify, info; help explains them.\n"
                 "self-check tries the machine; exit, reboot and poweroff leave.\n");
    for (;;) {
        output_print(ours->session.out, "eidolon> ");
        if (!machine_read_line(ours->machine, line, sizeof(line))) {
            output_print(ours->session.out, "\n");
            continue;
        }
        if (obey_prompt(ours->machine, line))
            return code;
        machine_take_words(ours->machine, line);
        if (line[strspn(line, " \t")])
            code = run_line(ours, line);
        machine_save_log(ours->machine);
    }
}

static enum exit_code run_machine(struct machine_session *ours)
{
    enum exit_code code = EXIT_CODE_DONE;
    char list[] = "list";
    bool stay = true;

    if (ours->machine->command[strspn(ours->machine->command, " \t")])
        return run_line(ours, ours->machine->command);
    /* What became of a job stays on the screen. */
    if (!run_jobs(ours, &code, &stay))
        code = run_line(ours, list);
    machine_save_log(ours->machine);
    return stay ? prompt(ours, code) : code;
}

int machine_run(struct machine *machine)
{
    struct machine_output console = {.output = {.write = write_console, .is_terminal = true}, .machine = machine};
    struct machine_session ours = {.machine = machine};
    enum exit_code code;

    console.output.columns = machine_columns(machine);
    console.output.is_terminal = !machine->emulator_exit; /* a log has no use for lines drawn over */
    ours.session = (struct session){.ops = &machine_session_ops,
                                    .loop = &machine->loop,
                                    .registry = &machine->registry,
                                    .out = &console.output,
                                    .status = &console.output,
                                    .version = EIDOLON_VERSION};
    filesystem_register_all();
    output_print(&console.output, "Eidolon %s\n", EIDOLON_VERSION);
    platform_log(machine->platform, LOG_INFO, "eidolon %s, %u processors", EIDOLON_VERSION,
                 machine->platform->processors);
    machine_take_words(machine, machine->command);
    code = run_machine(&ours);
    machine_save_log(machine);
    return (int)code;
}
