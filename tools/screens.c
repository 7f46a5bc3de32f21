/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `eidolon ui`: the screens in a terminal. */
#include "tools/screens.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/posix.h"
#include "tools/terminal.h"
#include "ui/walk/walk.h"

static const char *locale_language(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return "";
}

/* Files that hold disks stand among the disks. */
static int open_files(struct session *session, char *const *files, unsigned count, struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        struct job_end end = {0};
        int status = session->ops->open_disk(session, files[i], false, &end, error);
        if (status)
            return status;
        session->ops->close_disk(session, &end);
    }
    return 0;
}

enum exit_code screens_run(struct session *session, char *const *files, unsigned count,
                           volatile sig_atomic_t *interrupted)
{
    struct error error = {0};
    struct walk_setup setup = {.language = language_find(locale_language())};
    enum exit_code code = EXIT_CODE_OTHER;
    struct screen screen;

    if (open_files(session, files, count, &error) != 0) {
        session_error(session, false, &error);
        return exit_code_of(&error);
    }
    struct face *face = terminal_open(session->loop->platform, interrupted);
    if (!face) {
        fputs("error: the screens need a terminal, for keys and for display.\n", stderr);
        return EXIT_CODE_USAGE;
    }
    if (screen_open(&screen, session->loop, &face, 1) != 0) {
        fprintf(stderr, "error: the screens need a terminal of at least %d columns and %d rows.\n", SCREEN_COLUMNS_MIN,
                SCREEN_ROWS_MIN);
        return EXIT_CODE_USAGE;
    }
    screen.read_key = terminal_read_key;
    screen.keys = face;
    if (!screen_can_show(&screen, setup.language->name))
        setup.language = languages[0];
    posix_log_quiet(true); /* lines of the log would be drawn over the screens */
    walk_run(session, &screen, &setup, &code);
    posix_log_quiet(false);
    screen_close(&screen);
    return code;
}
