/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define BUFFER_SIZE 8192
#define CONTROL_L 12
#define ENTER_SCREEN "\033[?1049h\033[?7l" /* alternate screen, no wrapping at the right edge */
#define LEAVE_SCREEN "\033[0m\033[?7h\033[?25h\033[?1049l"

struct terminal {
    struct face face; /* first */
    struct platform *platform;
    volatile sig_atomic_t *interrupted;
    struct termios before;
    struct terminal_keys keys;
    bool is_utf8, is_console; /* is_console: the kernel's own, with a few hundred characters */
    int style;                /* that the terminal has now; -1: unknown */
    size_t used;
    char buffer[BUFFER_SIZE];
};

/* The window has another size: what it shows is not what was drawn. */
static volatile sig_atomic_t resized;

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static void send_all(struct terminal *terminal)
{
    size_t sent = 0;

    while (sent < terminal->used) {
        ssize_t size = write(STDOUT_FILENO, terminal->buffer + sent, terminal->used - sent);
        if (size < 0 && errno != EINTR && errno != EAGAIN)
            break; /* the terminal is gone; the work goes on */
        sent += size > 0 ? (size_t)size : 0;
    }
    terminal->used = 0;
}

static void put(struct terminal *terminal, const char *bytes, size_t size)
{
    if (terminal->used + size > BUFFER_SIZE)
        send_all(terminal);
    memcpy(terminal->buffer + terminal->used, bytes, size);
    terminal->used += size;
}

static void put_text(struct terminal *terminal, const char *text)
{
    put(terminal, text, strlen(text));
}

/* The order of the UEFI specification into that of ECMA-48: red and blue change places. */
static unsigned sgr_colour(enum colour colour)
{
    static const uint8_t order[] = {0, 4, 2, 6, 1, 5, 3, 7};

    return order[colour & 7];
}

static void set_style(struct terminal *terminal, enum style style)
{
    char text[32];
    enum colour foreground = style_foreground(style);

    if (terminal->style == (int)style)
        return;
    terminal->style = (int)style;
    snprintf(text, sizeof(text), "\033[0;%u;%um", (foreground & 8 ? 90 : 30) + sgr_colour(foreground),
             40 + sgr_colour(style_background(style)));
    put_text(terminal, text);
}

static void move_to(struct terminal *terminal, unsigned row, unsigned column)
{
    char text[32];

    snprintf(text, sizeof(text), "\033[%u;%uH", row + 1, column + 1);
    put_text(terminal, text);
}

static bool can_show(struct face *face, uint32_t character)
{
    const struct terminal *terminal = (const struct terminal *)face;

    if (character < 0x7f)
        return true;
    return terminal->is_utf8 && (!terminal->is_console || character_width(character) == 1);
}

static void draw(struct face *face, unsigned row, unsigned column, const struct cell *cells, unsigned count)
{
    struct terminal *terminal = (struct terminal *)face;
    char bytes[4];

    move_to(terminal, row, column);
    for (unsigned i = 0; i < count; i++) {
        uint32_t character = cells[i].character;
        if (!cells[i].width)
            continue;
        set_style(terminal, (enum style)cells[i].style);
        if (!can_show(face, character)) {
            uint32_t plain = character_plain(character);
            put_text(terminal, plain ? "" : cells[i].width == 2 ? "??" : "?");
            character = plain;
        }
        if (character)
            put(terminal, bytes, text_encode(character, bytes));
    }
}

static void flush(struct face *face, unsigned cursor_row, unsigned cursor_column)
{
    struct terminal *terminal = (struct terminal *)face;

    if (cursor_row != UINT_MAX)
        move_to(terminal, cursor_row, cursor_column);
    put_text(terminal, cursor_row == UINT_MAX ? "\033[?25l" : "\033[?25h");
    send_all(terminal);
}

static void clear(struct face *face)
{
    struct terminal *terminal = (struct terminal *)face;

    terminal->style = -1;
    set_style(terminal, STYLE_TEXT);
    put_text(terminal, "\033[2J");
}

static void close_terminal(struct face *face)
{
    struct terminal *terminal = (struct terminal *)face;

    put_text(terminal, LEAVE_SCREEN);
    send_all(terminal);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
    platform_release(terminal->platform, terminal);
}

static const struct face_ops terminal_ops = {
    .draw = draw, .flush = flush, .can_show = can_show, .clear = clear, .close = close_terminal};

static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (value && *value) /* the first that is set counts */
            return strstr(value, "UTF-8") || strstr(value, "utf8") || strstr(value, "UTF8") || strstr(value, "utf-8");
    }
    return false;
}

struct face *terminal_open(struct platform *platform, volatile sig_atomic_t *interrupted)
{
    struct winsize window = {0};
    struct termios raw;
    const char *kind = getenv("TERM");

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 ||
        tcgetattr(STDIN_FILENO, &raw) != 0)
        return NULL;
    struct terminal *terminal = platform_allocate_zeroed(platform, sizeof(*terminal));
    if (!terminal)
        return NULL;
    terminal->platform = platform;
    terminal->interrupted = interrupted;
    terminal->before = raw;
    terminal->is_utf8 = locale_is_utf8();
    terminal->is_console = kind && strcmp(kind, "linux") == 0;
    /* A serial line may not say how large it is. */
    terminal->face = (struct face){.ops = &terminal_ops,
                                   .columns = window.ws_col ? window.ws_col : SCREEN_COLUMNS_MIN,
                                   .rows = window.ws_row ? window.ws_row : SCREEN_ROWS_MIN};
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR; /* what other threads write stays readable */
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    put_text(terminal, ENTER_SCREEN);
    sigaction(SIGWINCH, &(struct sigaction){.sa_handler = on_resize}, NULL);
    return &terminal->face;
}

bool terminal_read_key(struct screen *screen, struct key *key)
{
    struct terminal *terminal = screen->keys;
    uint64_t now = platform_now(terminal->platform);
    uint8_t bytes[32];

    if (*terminal->interrupted) {
        *key = (struct key){.code = KEY_INTERRUPT};
        return true;
    }
    ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (resized || (size > 0 && memchr(bytes, CONTROL_L, (size_t)size))) {
        resized = 0;
        screen_forget(screen);
        screen_update(screen);
    }
    if (size > 0)
        terminal_keys_add(&terminal->keys, bytes, (size_t)size, now);
    return terminal_keys_next(&terminal->keys, now, key);
}
