/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The work: per cent, rates, a map of the disk that fills, warnings as they come; pause and cancel. */
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/walk/work_view.h"

#define KEY_INTERVAL (100 * NANOSECONDS_PER_MILLISECOND)
#define KEYS_MAX 16 /* in one interval */
/* Policy: drawing takes a hundredth of the time at the most, and never happens oftener than this. */
#define DRAW_INTERVAL (300 * NANOSECONDS_PER_MILLISECOND)
#define DRAW_SHARE 100
#define SAMPLE_INTERVAL NANOSECONDS_PER_SECOND

/* --- rates --- */

static void take_sample(struct work_view *view, const struct job_progress *progress)
{
    struct work_sample *last = &view->samples[view->sample_count ? (view->sample_count - 1) % WORK_SAMPLES : 0];
    uint64_t worked = pace_worked(progress);

    if (view->sample_count && worked < last->worked + SAMPLE_INTERVAL)
        return;
    view->samples[view->sample_count++ % WORK_SAMPLES] = (struct work_sample){
        .worked = worked,
        .bytes = {progress->read_bytes, progress->processed_bytes, progress->stored_bytes, progress->written_bytes,
                  progress->verified_bytes},
    };
}

uint64_t work_rate(const struct work_view *view, enum work_counter counter)
{
    if (view->sample_count < 2)
        return 0;
    unsigned kept = view->sample_count < WORK_SAMPLES ? view->sample_count : WORK_SAMPLES;
    const struct work_sample *newest = &view->samples[(view->sample_count - 1) % WORK_SAMPLES];
    const struct work_sample *oldest = &view->samples[(view->sample_count - kept) % WORK_SAMPLES];
    if (newest->bytes[counter] < oldest->bytes[counter]) /* a counter that began anew */
        return 0;
    return rate_per_second(newest->bytes[counter] - oldest->bytes[counter], newest->worked - oldest->worked);
}

/* --- drawing within its share --- */

static void draw_now(struct work_view *view)
{
    struct platform *platform = view->walk->session->loop->platform;
    uint64_t before = platform_now(platform);

    work_draw(view);
    screen_update(view->walk->screen);
    uint64_t after = platform_now(platform), rest = (after - before) * DRAW_SHARE;
    view->next_draw = after + (rest > DRAW_INTERVAL ? rest : DRAW_INTERVAL);
}

/* --- keys --- */

static bool answer(struct work_view *view, const struct key *key)
{
    switch (key->code) {
    case KEY_UP:
    case KEY_DOWN:
    case KEY_TAB:
    case KEY_BACK_TAB:
        view->answer = !view->answer;
        break;
    case KEY_ENTER:
        view->asking = false;
        view->cancelled = view->answer == 1;
        break;
    case KEY_ESCAPE:
        view->asking = false;
        break;
    default:
        return false;
    }
    return true;
}

/* Does the page look different afterwards? A key that is held down must not draw without end. */
static bool obey(struct work_view *view, const struct key *key)
{
    bool pause = key->code == KEY_CHARACTER && (key->character == ' ' || (key->character | 0x20) == 'p');

    if (view->helping) {
        view->helping = false;
    } else if (view->asking) {
        return answer(view, key);
    } else if (key->code == KEY_ESCAPE || key->code == KEY_INTERRUPT) {
        view->asking = true;
        view->answer = 0; /* going on is what a slip of the finger does */
    } else if (key->code == KEY_F1) {
        view->helping = true;
    } else if (pause) {
        view->paused = !view->paused;
    } else {
        return false;
    }
    return true;
}

static void take_keys(struct work_view *view)
{
    struct screen *screen = view->walk->screen;
    uint64_t now = platform_now(view->walk->session->loop->platform);
    struct key key;
    bool changed = false;

    if (now < view->next_keys)
        return;
    view->next_keys = now + KEY_INTERVAL;
    /* Not without end: a signal that asks to end is a key each time that somebody looks. */
    for (unsigned i = 0; i < KEYS_MAX && screen->read_key(screen, &key); i++)
        changed = obey(view, &key) || changed;
    if (changed && view->pace.started)
        draw_now(view);
}

/* --- the job's listener --- */

static void show_progress(struct job_listener *listener, const struct job_progress *progress)
{
    struct work_view *view = (struct work_view *)listener;
    bool new_phase = pace_update(&view->pace, progress);

    if (new_phase)
        view->sample_count = 0; /* rates are a phase's own */
    view->progress = *progress;
    take_sample(view, progress);
    if (new_phase || progress->now >= view->next_draw)
        draw_now(view);
}

static void show_message(struct job_listener *listener, const struct message *message)
{
    struct work_view *view = (struct work_view *)listener;
    char text[SENTENCE_MAX];

    /* The report is in English, whatever stands on the screen. */
    record_message(view->walk->session, message_level_word(message->level), message_sentence(message, text));
    work_map_note(view, message);
    if (message->level == MESSAGE_INFO)
        return;
    view->messages[view->message_count++ % WORK_MESSAGES] = *message;
}

static bool is_cancelled(struct job_listener *listener)
{
    struct work_view *view = (struct work_view *)listener;

    take_keys(view);
    return view->cancelled;
}

static bool is_paused(struct job_listener *listener)
{
    return ((struct work_view *)listener)->paused;
}

/* --- the step --- */

enum exit_code work_run(struct walk *walk, struct session_work *work, struct job_result *result)
{
    struct platform *platform = walk->session->loop->platform;
    struct work_view *view = platform_allocate_zeroed(platform, sizeof(*view));

    if (!view) {
        memset(result, 0, sizeof(*result));
        result->status = error_set(&result->error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK,
                                   "no memory to show the work");
        return exit_code_of(&result->error);
    }
    view->listener = (struct job_listener){show_progress, show_message, is_cancelled, is_paused};
    view->walk = walk;
    view->work = work;
    work_map_prepare(view);
    enum exit_code code = session_work_run(walk->session, work, &view->listener, result);
    platform_release(platform, view);
    return code;
}

enum walk_step walk_do_work(struct walk *walk)
{
    walk_record_plan(walk);
    *walk->code = work_run(walk, &walk->work, &walk->result);
    walk->kind = walk->work.plan.kind;
    walk->goes_on = session_work_goes_on(&walk->work, &walk->result);
    walk_record_end(walk);
    session_work_close(walk->session, &walk->work);
    walk_report(walk);
    if (walk->setup->work_ended)
        walk->setup->work_ended(walk->setup);
    return STEP_NEXT;
}
