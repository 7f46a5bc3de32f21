/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way through, by keys, from the first screen to the result; what each screen looks like is in tests/snapshots/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/walk_lab.h"

static struct walk_lab lab;

static int set_up(void **state)
{
    (void)state;
    walk_lab_init(&lab);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    walk_lab_free(&lab);
    return 0;
}

struct shots {
    const char *const *names;
    unsigned count;
};

static void take_shot(void *context, unsigned number)
{
    const struct shots *shots = context;

    assert_true(number < shots->count);
    if (shots->names[number])
        snapshot_check(shots->names[number], memory_face_text(&lab.face));
}

static enum walk_end run(const char *keys)
{
    return walk_lab_run(&lab, keys, NULL, NULL);
}

static enum walk_end run_with_shots(const char *keys, const char *const *names, unsigned count)
{
    struct shots shots = {names, count};

    return walk_lab_run(&lab, keys, take_shot, &shots);
}

/* Leaves from the first screen. */
#define LEAVE "<wait:What would you like to do?>q"
/* A capture with what is proposed. */
#define SAVE "<enter><enter><enter><enter><enter><wait:DONE AND VERIFIED>"

static void test_saving_takes_five_keys(void **state)
{
    static const char *const names[] = {"start", "save-disk", "save-place", "save-options", "save-plan"};

    (void)state;
    assert_int_equal(run_with_shots("<shot><enter><shot><enter><shot><enter><shot><enter><shot><enter>"
                                    "<wait:DONE AND VERIFIED><esc>" LEAVE,
                                    names, 5),
                     WALK_LEAVE);
    assert_int_equal(lab.code, EXIT_CODE_DONE);
    assert_string_equal(lab.command,
                        "capture nvme:S3X9NX0K123456 BACKUP:\\2026-11-25-Samsung-SSD-980-1TB-S3X9NX0K123456.eid");
    assert_true(lab.lab.store.volumes[0].there);
    assert_int_equal(lab.pc->changes, 0);
    assert_int_equal(lab.spare->changes, 0);
}

static void test_saving_one_partition(void **state)
{
    static const char *const names[] = {"save-partition"};

    (void)state;
    run_with_shots("s<right><shot><down><enter><enter><enter><enter><wait:DONE AND VERIFIED><esc>" LEAVE, names, 1);
    assert_non_null(strstr(lab.command, "capture nvme:S3X9NX0K123456#2 BACKUP:\\"));
}

static void test_options_are_words_of_the_command(void **state)
{
    static const char *const names[] = {"save-all-options"};

    (void)state;
    /* Name, level 2, not read back, files of 1 GiB, rescue, raw; then back without doing it. */
    run_with_shots("s<enter><enter><down><home>my <down><right><right><down> <down> <down> <down> <shot>"
                   "<esc><esc><esc>" LEAVE,
                   names, 1);
    assert_int_equal(lab.pc->changes, 0);
    assert_false(lab.lab.store.volumes[0].there);
}

static void test_names_of_images(void **state)
{
    static const char *const names[] = {"save-name-not-allowed", "save-name-exists"};

    (void)state;
    run_with_shots("s<enter><enter><down>?<enter><shot><esc><esc><esc>" LEAVE, names, 1);
    /* A name that is there in another letter case, with the ending left to the screen. */
    run(SAVE "<esc>" LEAVE);
    char keys[1024] = "s<enter><enter><down>";
    for (unsigned i = 0; i < 60; i++)
        strcat(keys, "<bs>");
    strcat(keys, "PC<enter><shot>2<enter><esc><esc><esc><esc>" LEAVE);
    run_with_shots(keys, names + 1, 1);
    assert_string_equal(lab.command, "capture nvme:S3X9NX0K123456 BACKUP:\\PC2.eid");
    strcpy(strrchr(keys, 'P'), "PC3.EID<enter><esc><esc><esc><esc>" LEAVE);
    run(keys);
    assert_string_equal(lab.command, "capture nvme:S3X9NX0K123456 BACKUP:\\PC3.EID");
}

static void test_restore_needs_the_serial(void **state)
{
    static const char *const names[] = {"restore-volume", "restore-image", "restore-disk",  "restore-options",
                                        "restore-plan",   "restore-wrong", "restore-result"};

    (void)state;
    run(SAVE "<esc>" LEAVE);
    /* Wrong first: nothing is written. */
    run_with_shots("r<shot><enter><down><shot><enter><down><shot><enter><shot><enter><shot><enter>no<enter><shot>"
                   "<esc><esc><esc><esc><esc>" LEAVE,
                   names, 6);
    assert_int_equal(lab.spare->changes, 0);
    run("r<enter><down><enter><down><enter><enter>C4N7<enter><wait:DONE AND VERIFIED><esc>" LEAVE);
    assert_int_equal(lab.code, EXIT_CODE_DONE);
    assert_string_equal(lab.command, "restore BACKUP:\\pc.eid sata:WD-WCC4N7");
    lab_assert_restored(lab.pc, lab.spare, lab.spare->contents);
}

static void test_the_stick_is_no_target(void **state)
{
    static const char *const names[] = {"restore-stick"};

    (void)state;
    run(SAVE "<esc>" LEAVE);
    run_with_shots("r<enter><down><enter><end><enter><shot><esc><esc><esc>" LEAVE, names, 1);
    assert_int_equal(lab.stick->changes, 0);
}

static void test_clone(void **state)
{
    static const char *const names[] = {"clone-target", "clone-plan"};

    (void)state;
    run_with_shots("c<enter><shot><enter><down><enter><enter><shot>C4N7<enter><wait:DONE AND VERIFIED><esc>" LEAVE,
                   names, 2);
    assert_int_equal(lab.code, EXIT_CODE_DONE);
    lab_assert_restored(lab.pc, lab.spare, lab.spare->contents);
    assert_int_equal(lab.pc->changes, 0);
}

static void test_check(void **state)
{
    (void)state;
    run(SAVE "<esc>" LEAVE);
    run("v<enter><down><enter><enter><wait:EVERYTHING MATCHED><esc>" LEAVE);
    assert_int_equal(lab.code, EXIT_CODE_DONE);
    assert_string_equal(lab.command, "verify BACKUP:\\pc.eid ");
    /* A damaged one. */
    lab.lab.store.volumes[0].data[lab.lab.store.volumes[0].size / 2] ^= 1;
    run("v<enter><down><enter><enter><wait:IT DID NOT SUCCEED><esc>" LEAVE);
    assert_int_equal(lab.code, EXIT_CODE_IMAGE);
}

static void test_a_plan_that_cannot_be(void **state)
{
    static const char *const names[] = {"restore-refused"};

    (void)state;
    run(SAVE "<esc>" LEAVE);
    /* Onto a disk that is too small. */
    struct lab_disk *small = lab_disk_create(&lab.lab, "SMALL01", 4u << 20, 512, 0);
    small->device.bus = BUS_SATA;
    block_registry_remove(&lab.registry, &lab.stick->device);
    block_registry_add(&lab.registry, &small->device);
    run_with_shots("r<enter><down><enter><end><enter><enter><shot><enter><esc><esc><esc><esc>" LEAVE, names, 1);
    assert_int_equal(small->changes, 0);
    block_registry_remove(&lab.registry, &small->device);
    lab_disk_free(small);
}

static void test_a_disk_that_fails(void **state)
{
    static const char *const names[] = {"save-failed"};

    (void)state;
    lab.pc->bad_read = LAB_FIRST_BLOCK + 400;
    lab.pc->bad_read_count = 8;
    run_with_shots("<enter><enter><enter><enter><enter><wait:IT DID NOT SUCCEED><shot><esc>" LEAVE, names, 1);
    assert_int_equal(lab.code, EXIT_CODE_SOURCE);
    /* Rescued: done, and not called whole. */
    lab_new_store(&lab.lab);
    run("<enter><enter><enter><down><down><down><down><down> <enter><enter><wait:DONE, WITH LOSSES><esc>" LEAVE);
    assert_int_equal(lab.code, EXIT_CODE_LOSSES);
}

static void test_volumes_that_will_not_do(void **state)
{
    static const char *const names[] = {"save-dirty", "save-small"};

    (void)state;
    lab.volume_is_dirty = true;
    /* Enter on it does nothing: the stick stands first then. */
    run_with_shots("<enter><enter><down><shot><enter><esc><esc>" LEAVE, names, 1);
    lab.volume_is_dirty = false;
    lab.free_bytes = 1u << 20;
    run_with_shots("<enter><enter><shot><esc><esc>" LEAVE, names + 1, 1);
}

static void test_no_disks(void **state)
{
    static const char *const names[] = {"save-no-disks"};

    (void)state;
    lab.no_disks = true;
    run_with_shots("<enter><shot><enter><right><f5><esc>" LEAVE, names, 1);
}

static void test_looking_changes_nothing(void **state)
{
    static const char *const names[] = {"look", "look-partitions"};

    (void)state;
    run_with_shots("d<shot><enter><shot><enter><esc><esc>" LEAVE, names, 2);
    assert_int_equal(lab.pc->changes, 0);
}

static void test_ways_to_leave(void **state)
{
    (void)state;
    assert_int_equal(run("q"), WALK_LEAVE);
    assert_int_equal(run("p"), WALK_PROMPT);
    assert_int_equal(run("<ctrl-c>"), WALK_PROMPT);
    assert_int_equal(run("<end><up><enter>"), WALK_POWER_OFF);
    assert_int_equal(run("<end><up><up><enter>"), WALK_REBOOT);
    assert_int_equal(run(SAVE "<down><enter>"), WALK_REBOOT);
}

static void test_help_and_languages(void **state)
{
    static const char *const names[] = {"help", "language"};

    (void)state;
    run_with_shots("<f1><shot><enter><f2><shot><esc>q", names, 2);
    /* Each language has its first screen. */
    for (unsigned i = 1; i < language_count; i++) {
        char keys[128] = "<f2>", name[32];
        const char *shot = name;
        for (unsigned down = 0; down < i; down++)
            strcat(keys, "<down>");
        strcat(keys, "<enter><shot>q");
        lab.setup.language = languages[0];
        snprintf(name, sizeof(name), "start-%s", languages[i]->code);
        run_with_shots(keys, &shot, 1);
        assert_ptr_equal(lab.setup.language, languages[i]);
    }
}

/* Every screen of every language, with its widest texts: nothing fails, nothing is cut in half (the face checks that). */
static void test_every_language_goes_all_the_way(void **state)
{
    (void)state;
    for (unsigned i = 0; i < language_count; i++) {
        char keys[512], done[64];
        lab.setup.language = languages[i];
        snprintf(done, sizeof(done), "<wait:%s>", catalogue_text(languages[i], TEXT_RESULT_VERIFIED));
        snprintf(keys, sizeof(keys),
                 "s<f1><enter><enter><f1><enter><enter><f1><enter><enter><f1><enter><enter>%s<f1><enter><esc>q", done);
        lab_new_store(&lab.lab);
        run(keys);
        assert_int_equal(lab.code, EXIT_CODE_DONE);
    }
}

/* --- disks that change between the choice and the plan --- */

#define NOT_THAT_DISK "<enter><shot><enter><wait:chosen><enter><esc><esc><esc><esc>" LEAVE

static struct lab_disk *other;

/* The chosen disk is unplugged, and another one has come. */
struct swap {
    const char *name;
    uint64_t bytes;
    bool with_partitions;
};

static void swap_disks(void *context, unsigned number)
{
    const struct swap *swap = context;

    (void)number;
    block_registry_remove(&lab.registry, &lab.spare->device);
    other = swap->with_partitions ? lab_pc(&lab.lab, "WD-WCC4N7", swap->bytes, 512)
                                  : lab_disk_create(&lab.lab, "WD-WCC4N7", swap->bytes, 512, 0);
    snprintf(other->device.name, BLOCK_NAME_MAX, "%s", swap->name);
    block_registry_add(&lab.registry, &other->device);
}

static void test_another_disk_than_the_chosen_one(void **state)
{
    static struct swap swaps[] = {
        /* The name would do for it: it is the beginning of its own. */
        {"sata:WD-WCC4N7-2", PC_BYTES + (4u << 20), false},
        /* An adapter that gives all its disks one serial number: of another size; with somebody's partitions. */
        {"sata:WD-WCC4N7", PC_BYTES + (8u << 20), false},
        {"sata:WD-WCC4N7", PC_BYTES + (4u << 20), true}};

    (void)state;
    run(SAVE "<esc>" LEAVE);
    for (unsigned i = 0; i < 3; i++) {
        /* The spare disk stands second at first, and last when it has come again. */
        walk_lab_run(&lab, i ? "r<enter><down><enter><end>" NOT_THAT_DISK : "r<enter><down><enter><down>" NOT_THAT_DISK,
                     swap_disks, &swaps[i]);
        assert_int_equal(other->changes, 0);
        block_registry_remove(&lab.registry, &other->device);
        lab_disk_free(other);
        block_registry_add(&lab.registry, &lab.spare->device);
    }
    assert_int_equal(lab.spare->changes, 0);
}

/* Their commands would be understood as others: the quotation marks fall away. */
static void test_names_that_no_command_can_say(void **state)
{
    static const char *const names[] = {"p\"c\".eid", "p\"c.eid"};

    (void)state;
    run(SAVE "<esc>" LEAVE);
    for (unsigned i = 0; i < 2; i++) {
        lab.file = names[i];
        lab.command[0] = 0;
        run("v<enter><down><enter><wait:Rename it><enter><esc><esc>" LEAVE);
        assert_string_equal(lab.command, "");
    }
}

/* --- the selection --- */

static void plug_another_in_front(void *context, unsigned number)
{
    (void)context;
    if (number)
        return;
    block_registry_remove(&lab.registry, &lab.pc->device);
    block_registry_remove(&lab.registry, &lab.spare->device);
    block_registry_add(&lab.registry, &lab.pc->device);
    block_registry_add(&lab.registry, &lab.spare->device);
}

static void test_the_selection_stays_with_its_disk(void **state)
{
    (void)state;
    /* The spare disk is selected; the stick comes first when disks are looked for again. Back and forth it stays as well. */
    walk_lab_run(
        &lab,
        "s<down><shot><f5><enter><wait:Where shall the image><esc><enter><enter><enter><esc><esc><esc><esc>" LEAVE,
        plug_another_in_front, NULL);
    assert_memory_equal(lab.command, "capture sata:WD-WCC4N7 ", 23);
}

/* --- keys at the wrong time --- */

static void test_keys_pressed_ahead_agree_to_nothing(void **state)
{
    (void)state;
    /* Enter once more while the plan is made: the plan stays, and Esc leaves it. */
    run("s<enter><enter><enter><ahead><enter><ahead><enter><wait:This is what will happen><esc><esc><esc><esc>" LEAVE);
    assert_false(lab.lab.store.volumes[0].there);
    /* Meant for the work, which has ended: the result stays. */
    run("s<enter><enter><enter><enter><wait:DONE AND VERIFIED><f1><wait:Close><esc><esc>" LEAVE);
}

static bool signalled;

static bool interrupted_key(struct screen *screen, struct key *key)
{
    (void)screen;
    *key = (struct key){.code = signalled ? KEY_INTERRUPT : KEY_ENTER};
    return true;
}

static void signal_at_the_plan(void *context, unsigned number)
{
    (void)context;
    (void)number;
    /* The way a terminal reports a signal: for ever. */
    signalled = lab.lab.cancel = true;
    lab.screen.read_key = interrupted_key;
}

static void test_a_signal_ends_the_work_and_the_screens(void **state)
{
    (void)state;
    signalled = false;
    walk_lab_run(&lab, "s<enter><enter><enter><shot><enter>", signal_at_the_plan, NULL);
    assert_int_equal(lab.code, EXIT_CODE_CANCELLED);
    lab.lab.cancel = false;
}

/* --- drawing within its share --- */

static uint64_t clock_now, drawing;
#define FLUSH_TAKES (5 * NANOSECONDS_PER_MILLISECOND)

static uint64_t scripted_now(struct platform *platform)
{
    (void)platform;
    return clock_now += 200 * NANOSECONDS_PER_MICROSECOND;
}

static void slow_flush(void)
{
    clock_now += FLUSH_TAKES;
    drawing += FLUSH_TAKES;
}

struct drawing_shots {
    uint64_t began, drawn;
};

static void start_measuring(void *context, unsigned number)
{
    struct drawing_shots *shots = context;

    (void)number;
    *shots = (struct drawing_shots){clock_now, drawing};
}

/* What drawing took of the work with these keys, per mille; the pages before and behind it are left out by `allowed` draws. */
static unsigned share_of_drawing(const char *keys, unsigned allowed)
{
    struct drawing_shots shots;

    clock_now = NANOSECONDS_PER_SECOND;
    drawing = 0;
    lab.lab.ops.now = scripted_now;
    lab.flushed = slow_flush;
    lab.pc->delay = 40;
    walk_lab_run(&lab, keys, start_measuring, &shots);
    uint64_t drawn = drawing - shots.drawn, passed = clock_now - shots.began;
    assert_true(passed > 5 * NANOSECONDS_PER_SECOND);
    assert_true(drawn > allowed * FLUSH_TAKES);
    return (unsigned)((drawn - allowed * FLUSH_TAKES) * 1000 / passed);
}

static void test_drawing_takes_a_hundredth_of_the_time(void **state)
{
    /* Not within the share: the first page of each phase (copy, flush, read back, finish), the result, the first screen twice. */
    (void)state;
    assert_in_range(share_of_drawing("s<enter><enter><enter><shot><enter><wait:DONE AND VERIFIED><esc>" LEAVE, 8), 1,
                    11);
}

static void test_keys_without_a_meaning_draw_nothing(void **state)
{
    char keys[1024] = "s<enter><enter><enter><shot><enter>";

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        strcat(keys, "zx");
    strcat(keys, "<wait:DONE AND VERIFIED><esc>" LEAVE);
    assert_in_range(share_of_drawing(keys, 8), 0, 11);
}

/* --- no memory --- */

#define FAILURE_STEP 13 /* all of them take a minute; 1 to look at each */

static bool counting;
static unsigned allocations, failing; /* the allocation with this number fails */
static void *(*allocate_below)(struct platform *platform, size_t size);

static void *failing_allocate(struct platform *platform, size_t size)
{
    return counting && ++allocations == failing ? NULL : allocate_below(platform, size);
}

/* Keys of a person who goes on, then back and out, whatever stands on the screen. */
struct stubborn {
    const char *keys;
    unsigned given;
    bool rests;
};

static bool stubborn_key(struct screen *screen, struct key *key)
{
    struct stubborn *person = screen->keys;

    person->rests = !person->rests;
    if (person->rests)
        return false;
    char letter = *person->keys ? *person->keys++ : person->given++ % 2 ? 'q' : '<';

    assert_true(person->given < 100000);
    *key = (struct key){.code = letter == '>'   ? KEY_ENTER
                                : letter == '<' ? KEY_ESCAPE
                                : letter == 'v' ? KEY_DOWN
                                                : KEY_CHARACTER,
                        .character = (uint32_t)letter};
    return true;
}

static void take_over(void *context, unsigned number)
{
    (void)number;
    lab.screen.read_key = stubborn_key;
    lab.screen.keys = context;
    allocations = 0;
    counting = true;
}

static void fail_each_allocation(const char *keys)
{
    allocate_below = lab.lab.ops.allocate;
    lab.lab.ops.allocate = failing_allocate;
    for (failing = 1;; failing += FAILURE_STEP) {
        struct stubborn person = {.keys = keys};
        lab_new_store(&lab.lab);
        walk_lab_run(&lab, "<shot><f5>", take_over, &person);
        counting = false;
        assert_int_equal(lab.pc->changes, 0);
        if (allocations < failing) /* none failed */
            break;
    }
    lab.lab.ops.allocate = allocate_below;
}

static void test_no_memory_at_any_moment(void **state)
{
    (void)state;
    fail_each_allocation("s>>>>");
    fail_each_allocation("c>v>>C4N7>");
    fail_each_allocation("d>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_saving_takes_five_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_saving_one_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_options_are_words_of_the_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_of_images, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restore_needs_the_serial, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_stick_is_no_target, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_plan_that_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_disk_that_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_volumes_that_will_not_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_disks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_looking_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ways_to_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_help_and_languages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_language_goes_all_the_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_disk_than_the_chosen_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_that_no_command_can_say, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_selection_stays_with_its_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_pressed_ahead_agree_to_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_signal_ends_the_work_and_the_screens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drawing_takes_a_hundredth_of_the_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_without_a_meaning_draw_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_at_any_moment, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
