/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the firmware comes in. The application stays in boot services from here to its end: it sets the
 * platform up, lets machine.c run the command, and leaves the machine as it was found.
 */
#include <eidolon_musl.h>
#include <string.h>

#include "boot/efi_emulator.h"
#include "boot/efi_screen.h"
#include "boot/libc_glue.h"
#include "core/library.h"
#include "version.h"

#define MAIN_STACK (512u * 1024)
#define LOAD_OPTIONS_UNITS (MACHINE_LINE_MAX - 1)

/* Too big for the firmware's stack, and there is one machine only. */
static struct firmware the_firmware;
static struct machine the_machine;

/* Cuts the program's own name off, which the shell puts in front and boot options do not: it ends in ".efi". */
static char *skip_program(char *line)
{
    char *word = line, *end;

    while (*word == ' ')
        word++;
    bool quoted = *word == '"';
    end = word + quoted;
    while (*end && (quoted ? *end != '"' : *end != ' '))
        end++;
    size_t length = (size_t)(end - word);
    if (length < 4)
        return word;
    const char *suffix = end - 4;
    if (suffix[0] != '.' || (suffix[1] | 0x20) != 'e' || (suffix[2] | 0x20) != 'f' || (suffix[3] | 0x20) != 'i')
        return word;
    end += quoted && *end == '"';
    while (*end == ' ')
        end++;
    return end;
}

/* A command begins with a word of the grammar: small letters, digits, '-' and '='. */
static bool begins_like_a_command(const char *line)
{
    size_t length = 0;

    for (; line[length] && line[length] != ' '; length++)
        if (!(line[length] >= 'a' && line[length] <= 'z') && !(line[length] >= '0' && line[length] <= '9') &&
            line[length] != '-' && line[length] != '=')
            return false;
    return length > 0;
}

/*
 * Load options are text from the shell and from boot options that were made for us. Firmware puts other
 * things there too (a description, a binary mark of its own): what does not look like text, and like a
 * command, is none.
 */
static void read_load_options(struct firmware *firmware, EFI_LOADED_IMAGE *loaded, char *command, size_t size)
{
    const CHAR16 *options = loaded->LoadOptions;
    char line[MACHINE_LINE_MAX];
    size_t units = loaded->LoadOptionsSize / sizeof(CHAR16);

    command[0] = 0;
    if (!options || !units)
        return;
    if (units > LOAD_OPTIONS_UNITS) {
        platform_log(&firmware->platform, LOG_WARNING, "the load options are too long and are ignored");
        return;
    }
    units = ucs2_length(options, units);
    for (size_t i = 0; i < units; i++)
        if (options[i] < ' ' || options[i] > 0xfffd)
            return;
    text_from_ucs2(line, sizeof(line), options, units);
    const char *rest = skip_program(line);
    size_t length = strlen(rest);
    if (length >= size || !begins_like_a_command(rest))
        return;
    memcpy(command, rest, length + 1);
}

_Noreturn void machine_panic(const char *message)
{
    struct firmware *firmware = &the_firmware;
    EFI_INPUT_KEY key;

    firmware_screen_abandon(firmware);
    firmware_log(&firmware->platform, LOG_ERROR, message);
    if (the_machine.emulator_exit)
        machine_emulator_exit(1);
    static const char advice[] = "Eidolon cannot go on. Press a key to restart the machine.\n";
    firmware_console_write(firmware, advice, sizeof(advice) - 1);
    firmware->key_count = 0;
    firmware_read_key(firmware, &key, UINT64_MAX);
    firmware->system->RuntimeServices->ResetSystem(EfiResetCold, EFI_ABORTED, 0, NULL);
    for (;;)
        processor_pause();
}

struct machine_call {
    struct machine *machine;
    int code;
};

static void call_machine(void *argument)
{
    struct machine_call *call = argument;

    call->code = machine_run(call->machine);
}

/* On a stack of our own with a guard: the firmware promises 128 KiB and may have used some of it. */
static int run_machine(struct firmware *firmware, struct machine *machine)
{
    struct machine_call call = {.machine = machine};
    void *stack = firmware_allocate_guarded(&firmware->platform, MAIN_STACK);

    if (!stack)
        return machine_run(machine);
    processor_run_on_stack(stack, MAIN_STACK, call_machine, &call);
    firmware_release_guarded(&firmware->platform, stack, MAIN_STACK);
    return call.code;
}

static void leave(struct firmware *firmware, enum machine_end end)
{
    if (end == END_REBOOT)
        firmware->system->RuntimeServices->ResetSystem(EfiResetCold, EFI_SUCCESS, 0, NULL);
    if (end == END_POWER_OFF)
        firmware->system->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    struct firmware *firmware = &the_firmware;
    struct machine *machine = &the_machine;
    EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
    char answer[8];

    musl_start();
    firmware_start(firmware, image, system);
    libc_start(&firmware->platform);
    library_init(&firmware->platform);
    machine->firmware = firmware;
    machine->platform = &firmware->platform;
    loop_init(&machine->loop, machine->platform);
    block_registry_init(&machine->registry);

    machine_devices_prepare(machine);
    machine->text_only =
        emulator_text(firmware, "opt/eidolon/ui", answer, sizeof(answer)) && strcmp(answer, "text") == 0;
    machine->emulator_exit = emulator_text(firmware, "opt/eidolon/exit", answer, sizeof(answer));
    EFI_LOADED_IMAGE *loaded = firmware_handle_protocol(firmware, image, &guid);
    if (loaded) /* where profiles and addresses in reports are looked up */
        platform_log(machine->platform, LOG_DEBUG, "loaded at %p", loaded->ImageBase);
    if (!emulator_text(firmware, "opt/eidolon/command", machine->command, sizeof(machine->command)) && loaded)
        read_load_options(firmware, loaded, machine->command, sizeof(machine->command));

    int code = run_machine(firmware, machine);

    machine_devices_forget(machine);
    library_init(NULL);
    enum machine_end end = machine->end;
    bool emulator_exit = machine->emulator_exit && end == END_RETURN;
    bool all_back = firmware_stop(firmware);
    firmware_memory_check(firmware);
    if (emulator_exit)
        machine_emulator_exit(code);
    leave(firmware, end);
    /* Returning frees this program's memory, and a processor would go on in it. */
    if (!all_back)
        machine_panic("a processor did not come back from its work, so the firmware cannot go on safely");
    /* A status that scripts of the shell can tell apart: %lasterror% shows the exit code. */
    return code ? EFIERR(0x1000 | (UINTN)code) : EFI_SUCCESS;
}
