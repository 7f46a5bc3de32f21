/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "boot/machine_screens.h"

static bool read_key(struct screen *screen, struct key *key)
{
    return machine_read_key(screen->keys, key);
}

/* What was logged is on the stick before anybody pulls it. */
static void work_ended(struct walk_setup *setup)
{
    machine_save_log(((struct machine_screens *)setup)->machine);
}

bool machine_screens_open(struct machine_screens *screens, struct machine *machine)
{
    struct face *faces[SCREEN_FACES_MAX];
    char code[64];

    if (machine->text_only ||
        screen_open(&screens->screen, &machine->loop, faces, machine_faces(machine, faces, SCREEN_FACES_MAX)) != 0)
        return false;
    screens->machine = machine;
    screens->screen.read_key = read_key;
    screens->screen.keys = machine;
    screens->setup = (struct walk_setup){.language = languages[0],
                                         .has_power = true,
                                         .has_prompt = true,
                                         .reports = JOB_REPORT_FOLDER,
                                         .work_ended = work_ended};
    if (machine_language(machine, code, sizeof(code)))
        screens->setup.language = language_find(code);
    /* A console that has no such characters would be full of question marks. */
    if (!screen_can_show(&screens->screen, screens->setup.language->name))
        screens->setup.language = languages[0];
    return true;
}

void machine_screens_close(struct machine_screens *screens)
{
    screen_close(&screens->screen);
}

enum walk_end machine_screens_walk(struct machine_screens *screens, struct machine_session *ours, enum exit_code *code)
{
    platform_log(screens->machine->platform, LOG_INFO, "screens: %u x %u cells on %u faces", screens->screen.columns,
                 screens->screen.rows, screens->screen.face_count);
    screen_forget(&screens->screen);
    return walk_run(&ours->session, &screens->screen, &screens->setup, code);
}
