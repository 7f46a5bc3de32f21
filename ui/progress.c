/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Elsewhere than on a terminal a line is printed this often. */
#define PLAIN_INTERVAL (10 * NANOSECONDS_PER_SECOND)
#define JSON_INTERVAL NANOSECONDS_PER_SECOND
/* Firmware consoles take milliseconds for a line: drawing must not slow the copy. */
#define TERMINAL_INTERVAL (250 * NANOSECONDS_PER_MILLISECOND)

static const char *phase_name(enum job_phase phase)
{
    static const char *const names[] = {"planning", "copying", "flushing", "reading back", "finishing"};

    return (unsigned)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "working";
}

static unsigned per_cent(const struct job_progress *progress)
{
    if (!progress->total_bytes)
        return 0;
    if (progress->done_bytes >= progress->total_bytes)
        return 100;
    return (unsigned)(progress->done_bytes / (progress->total_bytes / 100 + 1));
}

/* 0 also when it is not known. */
static uint64_t seconds_left(const struct progress_view *view, const struct job_progress *progress)
{
    uint64_t left = pace_left(&view->pace, progress);

    return left == UINT64_MAX ? 0 : left / NANOSECONDS_PER_SECOND;
}

static void print_json(struct progress_view *view, const struct job_progress *progress)
{
    struct json json = {view->session->out, false};

    json_begin_object(&json, NULL);
    json_text(&json, "event", "progress");
    json_text(&json, "phase", phase_name(progress->phase));
    json_number(&json, "per_cent", per_cent(progress));
    json_number(&json, "done_bytes", progress->done_bytes);
    json_number(&json, "total_bytes", progress->total_bytes);
    json_number(&json, "stored_bytes", progress->stored_bytes);
    json_number(&json, "bytes_per_second", pace_rate(&view->pace, progress));
    json_number(&json, "seconds_left", seconds_left(view, progress));
    json_number(&json, "paused_seconds", progress->paused_nanoseconds / NANOSECONDS_PER_SECOND);
    json_end_object(&json);
    json_end_line(&json);
}

static void print_text(struct progress_view *view, const struct job_progress *progress)
{
    struct output *output = view->session->status;
    char rate[SIZE_TEXT_MAX], done[SIZE_TEXT_MAX], total[SIZE_TEXT_MAX], left[TIME_TEXT_MAX], line[160];

    snprintf(line, sizeof(line), "%-12s %3u%%  %s of %s  %s/s  %s left", phase_name(progress->phase),
             per_cent(progress), size_text(progress->done_bytes, done), size_text(progress->total_bytes, total),
             size_text(pace_rate(&view->pace, progress), rate),
             time_text(seconds_left(view, progress) * NANOSECONDS_PER_SECOND, left));
    if (!output->is_terminal) {
        output_print(output, "%s\n", line);
        return;
    }
    unsigned width = output->columns > 1 && output->columns <= 120 ? output->columns - 1 : 79;
    output_print(output, "\r%-*.*s", (int)width, (int)width, line);
    view->line_open = true;
}

static void show_progress(struct job_listener *listener, const struct job_progress *progress)
{
    struct progress_view *view = (struct progress_view *)listener;
    bool new_phase = pace_update(&view->pace, progress);
    uint64_t interval = view->json                           ? JSON_INTERVAL
                        : view->session->status->is_terminal ? TERMINAL_INTERVAL
                                                             : PLAIN_INTERVAL;

    if (!new_phase && progress->now - view->last_printed < interval)
        return;
    if (new_phase)
        progress_view_end(view);
    view->last_printed = progress->now;
    if (view->json)
        print_json(view, progress);
    else
        print_text(view, progress);
}

static void show_message(struct job_listener *listener, const struct message *message)
{
    struct progress_view *view = (struct progress_view *)listener;

    progress_view_end(view);
    message_print(view->session, view->json, message);
}

void progress_view_init(struct progress_view *view, struct session *session, bool json)
{
    memset(view, 0, sizeof(*view));
    view->listener.progress = show_progress;
    view->listener.message = show_message;
    view->session = session;
    view->json = json;
}

void progress_view_end(struct progress_view *view)
{
    if (view->line_open)
        output_print(view->session->status, "\n");
    view->line_open = false;
}
