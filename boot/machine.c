/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program on the bare machine: plugs core, fs, drivers and ui together. Knows no firmware; that is
 * behind machine.h.
 */
#include <stdio.h>
#include <string.h>

#include "boot/conformance.h"
#include "boot/machine_screens.h"
#include "boot/screen_test.h"
#include "boot/self_check.h"
#include "core/filesystem.h"
#include "ui/unattended.h"
#include "version.h"

#define JOB_FILE "\\EIDOLON\\JOB.TXT"

/* --- words for the machine --- */

static bool take_word(struct machine *machine, const char *word, size_t length)
{
    if (length == strlen("ui=text") && memcmp(word, "ui=text", length) == 0) {
        machine->text_only = true;
        return true;
    }
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

/* More is no person's: a line that sends without end must not keep the job from its count-down, which it stops then. */
#define KEYS_FORGOTTEN_MAX 256

/* A key from the firmware's boot menu must not stop the count-down. */
static void forget_keys(struct machine *machine)
{
    machine_reset_cancel(machine);
    for (unsigned i = 0; i < KEYS_FORGOTTEN_MAX && machine_wait_key(machine, 0); i++)
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
    struct walk_unattended *unattended = NULL;
    struct machine_screens screens;
    struct job_text_view view;

    forget_keys(ours->machine);
    job_text_view_init(&view, &ours->session);
    ours->shown = machine_screens_open(&screens, ours->machine);
    if (ours->shown && walk_unattended_open(&ours->session, &screens.screen, &screens.setup, &unattended) != 0) {
        machine_screens_close(&screens);
        ours->shown = false;
    }
    ours->unattended = true;
    enum exit_code code = unattended_run(&ours->session, name, elsewhere, text, size,
                                         unattended ? walk_unattended_view(unattended) : &view.view, &end);
    if (unattended) {
        machine_save_log(ours->machine);
        walk_unattended_close(unattended, end == JOB_FILE_WAIT);
        machine_screens_close(&screens);
    }
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

/* --- a person --- */

enum attended { ATTEND_PROMPT, ATTEND_SCREENS, ATTEND_NOBODY };

static enum attended leave(struct machine *machine, enum machine_end end)
{
    machine->end = end;
    return ATTEND_NOBODY;
}

static enum attended obey_prompt(struct machine_session *ours, char *line, enum exit_code *code)
{
    if (strcmp(line, "exit") == 0)
        return leave(ours->machine, END_RETURN);
    if (strcmp(line, "reboot") == 0)
        return leave(ours->machine, END_REBOOT);
    if (strcmp(line, "poweroff") == 0)
        return leave(ours->machine, END_POWER_OFF);
    if (strcmp(line, "ui") == 0)
        return ATTEND_SCREENS;
    machine_take_words(ours->machine, line);
    if (line[strspn(line, " \t")])
        *code = run_line(ours, line);
    machine_save_log(ours->machine);
    return ATTEND_PROMPT;
}

static enum attended prompt(struct machine_session *ours, enum exit_code *code)
{
    char line[MACHINE_LINE_MAX];
    enum attended next = ATTEND_PROMPT;

    output_print(ours->session.out,
                 "\nType a command: list, capture, restore, clone, verify, info; help explains them.\n"
                 "ui shows the screens; self-check tries the machine; exit, reboot and poweroff leave.\n");
    while (next == ATTEND_PROMPT) {
        output_print(ours->session.out, "eidolon> ");
        if (machine_read_line(ours->machine, line, sizeof(line)))
            next = obey_prompt(ours, line, code);
        else
            output_print(ours->session.out, "\n");
    }
    return next;
}

static enum attended walk(struct machine_session *ours, enum exit_code *code)
{
    static const enum machine_end ends[] = {
        [WALK_LEAVE] = END_RETURN, [WALK_REBOOT] = END_REBOOT, [WALK_POWER_OFF] = END_POWER_OFF};
    struct machine_screens screens;

    if (!machine_screens_open(&screens, ours->machine)) {
        output_print(ours->session.out, "There is no console here that the screens fit on.\n");
        return ATTEND_PROMPT;
    }
    enum walk_end end = machine_screens_walk(&screens, ours, code);
    machine_screens_close(&screens);
    machine_save_log(ours->machine);
    return end == WALK_PROMPT ? ATTEND_PROMPT : leave(ours->machine, ends[end]);
}

static enum exit_code attend(struct machine_session *ours, enum attended how, enum exit_code code)
{
    while (how != ATTEND_NOBODY)
        how = how == ATTEND_PROMPT ? prompt(ours, &code) : walk(ours, &code);
    return code;
}

static enum exit_code run_machine(struct machine_session *ours)
{
    enum exit_code code = EXIT_CODE_DONE;
    char list[] = "list";
    bool stay = true, text = ours->machine->text_only;

    if (is_command(ours->machine->command, "ui"))
        return attend(ours, ATTEND_SCREENS, code);
    if (ours->machine->command[strspn(ours->machine->command, " \t")])
        return run_line(ours, ours->machine->command);
    bool jobs = run_jobs(ours, &code, &stay);
    machine_save_log(ours->machine);
    if (!stay)
        return code;
    /* What text a job has left stays on the screen. */
    if (!jobs && text)
        code = run_line(ours, list);
    return attend(ours, text || (jobs && !ours->shown) ? ATTEND_PROMPT : ATTEND_SCREENS, code);
}

int machine_run(struct machine *machine)
{
    struct machine_session ours;

    machine_session_init(&ours, machine);
    filesystem_register_all();
    output_print(ours.session.out, "Eidolon %s\n", EIDOLON_VERSION);
    platform_log(machine->platform, LOG_INFO, "eidolon %s, %u processors", EIDOLON_VERSION,
                 machine->platform->processors);
    machine_take_words(machine, machine->command);
    enum exit_code code = run_machine(&ours);
    machine_save_log(machine);
    return (int)code;
}
