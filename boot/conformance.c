/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/conformance.h"

#include <string.h>

#include "core/block_conformance.h"
#include "ui/message.h"

#define BLANKS " \t"
#define SEED 20200202

static enum exit_code say_error(struct output *out, const struct error *error)
{
    char text[SENTENCE_MAX];

    output_print(out, "error: %s\n", error_sentence(error, text));
    return exit_code_of(error);
}

static enum exit_code try_disk(struct machine *machine, struct output *out, const char *name, bool destructive)
{
    struct block_conformance_options options = {.destructive = destructive, .seed = SEED};
    struct block_device *disk;
    struct error error = {0};

    if (block_registry_find(&machine->registry, name, &disk, &error) != 0)
        return say_error(out, &error);
    if (destructive && machine_is_boot_disk(machine, disk)) {
        error_set(&error, ERROR_REFUSED, OPERATION_WRITE, disk->name, ERROR_NO_BLOCK, "Eidolon runs from this disk");
        return say_error(out, &error);
    }
    bool writes = destructive && !disk->read_only;
    block_device_hold(disk);
    if (writes)
        machine_target_begin(machine, disk);
    uint64_t start = platform_now(machine->platform);
    const char *failed = block_conformance_run(disk, &options);
    uint64_t milliseconds = (platform_now(machine->platform) - start) / NANOSECONDS_PER_MILLISECOND;
    if (writes)
        machine_target_end(machine, disk);
    output_print(out, "conformance: %s: %s%s (driver %s, blocks of %u bytes, %s, %llu ms)\n", disk->name,
                 failed ? "FAILED, " : "ok", failed ? failed : "", disk->driver, (unsigned)disk->geometry.logical_block,
                 writes ? "written" : "reads only", (unsigned long long)milliseconds);
    block_device_let_go(disk);
    return failed ? EXIT_CODE_OTHER : EXIT_CODE_DONE;
}

/* Our USB drivers are tried too. */
static void improve(struct machine *machine, const char *const *names, unsigned count)
{
    struct block_device *disks[COMMAND_ARGUMENTS_MAX];
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++)
        found += block_registry_find(&machine->registry, names[i], &disks[found], NULL) == 0;
    machine_devices_improve(machine, disks, found, found < count);
}

/* Cuts the next word off; NULL: there is none. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, BLANKS);
    size_t length = strcspn(word, BLANKS);

    *at = word + length + (word[length] != 0);
    word[length] = 0;
    return length ? word : NULL;
}

enum exit_code conformance(struct machine *machine, struct output *out, char *words)
{
    const char *names[COMMAND_ARGUMENTS_MAX];
    struct error error = {0};
    unsigned count = 0;
    bool destructive = false;
    enum exit_code code = EXIT_CODE_DONE;

    for (char *word; (word = next_word(&words));) {
        if (strcmp(word, "--yes") == 0) {
            destructive = true;
        } else if (word[0] == '-' || count == COMMAND_ARGUMENTS_MAX) {
            count = 0;
            break;
        } else {
            names[count++] = word;
        }
    }
    if (!count) {
        error_set(&error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "the form is: conformance DISK... [--yes]");
        return say_error(out, &error);
    }
    if (machine_devices_start(machine, &error) != 0)
        return say_error(out, &error);
    improve(machine, names, count);
    for (unsigned i = 0; i < count; i++) {
        enum exit_code one = try_disk(machine, out, names[i], destructive);
        if (one && !code)
            code = one;
    }
    return code;
}
