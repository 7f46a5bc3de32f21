/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unattended work from the file to the report, on disks and a stick in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/job_lab.h"
#include "ui/unattended.h"

#define DISK_BYTES (16u * 1024 * 1024)

/* --- a stick: files by name --- */

static struct lab lab;
static struct lab_disk *source, *target;
static struct block_registry registry;
static struct stick_file {
    char name[128];
    struct memory_store store;
} files[24];
static const char *broken; /* writes of files with this in their name fail */
static const char *lying;  /* reads of these give something else */
static unsigned key_after; /* the key is pressed in this second of the count-down; 0: never */
static unsigned seconds, serial_number;
static bool has_serial;
static struct block_device *reports_are_on; /* NULL: on no disk that a rule could mean */
static char text[16384];

static int remove_file(struct stream_store *store, unsigned volume, struct error *error)
{
    (void)volume;
    (void)error;
    memory_store_free((struct memory_store *)store);
    return 0;
}

static struct stick_file *find_file(const char *name)
{
    struct stick_file *unused = NULL;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (files[i].store.volumes[0].there && strcmp(files[i].name, name) == 0)
            return &files[i];
        if (!files[i].store.volumes[0].there)
            unused = &files[i];
    }
    assert_non_null(unused);
    snprintf(unused->name, sizeof(unused->name), "%s", name);
    memory_store_init(&unused->store, &lab.loop);
    unused->store.store.remove = remove_file;
    snprintf(unused->store.store.name, sizeof(unused->store.store.name), "%s", name);
    unused->store.store.disk = reports_are_on;
    return unused;
}

static int open_store(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    (void)session;
    if (strncmp(name, "stick:\\", 7) != 0 && !strstr(name, "JOB.INI"))
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no such volume");
    struct stick_file *file = strcmp(name, "stick:\\pc.eid") == 0 ? NULL : find_file(name);
    if (file && write && broken && strstr(name, broken))
        file->store.fail_write_at = 0;
    if (file && !write && lying && strstr(name, lying) && file->store.volumes[0].size)
        file->store.volumes[0].data[0] ^= 1;
    end->store = file ? &file->store.store : &lab.store.store;
    return 0;
}

static bool on_stick(const char *name)
{
    return find_file(name)->store.volumes[0].there;
}

static const char *contents(const char *name)
{
    struct memory_volume *volume = &find_file(name)->store.volumes[0];
    static char copy[32768];

    if (!volume->there)
        fail_msg("%s is not on the stick", name);
    assert_true(volume->size < sizeof(copy));
    memcpy(copy, volume->data, volume->size);
    copy[volume->size] = 0;
    return copy;
}

static unsigned count_files(const char *part)
{
    unsigned count = 0;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        count += files[i].store.volumes[0].there && strstr(files[i].name, part);
    return count;
}

/* --- a session --- */

static int find_disks(struct session *session, struct error *error)
{
    (void)session;
    (void)error;
    return 0;
}

static int open_disk(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    (void)write;
    return block_registry_find(session->registry, name, &end->disk, error);
}

static void close_disk(struct session *session, struct job_end *end)
{
    (void)session;
    (void)end;
}

static struct session_volume volumes[5];

static int list_volumes(struct session *session, session_volume_found *found, void *context, struct error *error)
{
    (void)session;
    (void)error;
    for (size_t i = 0; i < sizeof(volumes) / sizeof(volumes[0]); i++)
        if (!found(context, &volumes[i]))
            break;
    return 0;
}

static bool variable(struct session *session, const char *name, char *value, size_t size)
{
    (void)session;
    if (strcmp(name, "date") == 0)
        snprintf(value, size, "2026-11-25");
    else if (strcmp(name, "time") == 0)
        snprintf(value, size, "223052");
    else
        return false;
    return true;
}

static void machine_facts(struct session *session, struct machine_facts *facts)
{
    (void)session;
    strcpy(facts->model, "OptiPlex");
    if (has_serial)
        snprintf(facts->serial, sizeof(facts->serial), "PC-%u", serial_number);
}

static void (*at_second)(void);             /* of the count-down */
static void (*at_command)(unsigned number); /* that is prepared */
static unsigned commands;

static void prepare(struct session *session, const struct command *command)
{
    (void)session;
    (void)command;
    if (at_command)
        at_command(++commands);
}

static bool wait_key(struct session *session, uint64_t nanoseconds)
{
    (void)session;
    assert_true(nanoseconds == NANOSECONDS_PER_SECOND);
    if (at_second)
        at_second();
    return ++seconds == key_after;
}

static void collect(struct output *output, const char *words, size_t size)
{
    size_t used = strlen(text);

    (void)output;
    if (used + size < sizeof(text)) {
        memcpy(text + used, words, size);
        text[used + size] = 0;
    }
}

static const struct session_ops ops = {.find_disks = find_disks,
                                       .prepare = prepare,
                                       .open_disk = open_disk,
                                       .close_disk = close_disk,
                                       .open_store = open_store,
                                       .list_volumes = list_volumes,
                                       .variable = variable,
                                       .machine_facts = machine_facts,
                                       .wait_key = wait_key};

static enum exit_code run_from(const char *file, bool elsewhere, enum job_file_end *end)
{
    struct output output = {.write = collect, .columns = 80};
    struct session session = {
        .ops = &ops, .loop = &lab.loop, .registry = &registry, .out = &output, .status = &output, .version = "0"};
    struct job_text_view view;

    text[0] = 0;
    seconds = 0;
    job_text_view_init(&view, &session);
    enum exit_code code =
        unattended_run(&session, "stick:\\EIDOLON\\JOB.INI", elsewhere, file, strlen(file), &view.view, end);
    assert_null(session.record);
    return code;
}

static enum exit_code run(const char *file, enum job_file_end *end)
{
    return run_from(file, false, end);
}

static int set_up(void **state)
{
    (void)state;
    memset(files, 0, sizeof(files));
    broken = lying = NULL;
    key_after = commands = 0;
    at_second = NULL;
    at_command = NULL;
    has_serial = true;
    reports_are_on = NULL;
    serial_number = 21;
    if (lab_begin_with_image(&lab, 1, DISK_BYTES, &source) != 0)
        return -1;
    target = lab_disk_create(&lab, "TARGET", DISK_BYTES, 512, 0x5A);
    strcpy(target->device.name, "nvme:TARGET");
    strcpy(target->device.serial, "TARGET");
    strcpy(target->device.model, "A disk");
    block_registry_init(&registry);
    block_registry_add(&registry, &target->device);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        memory_store_free(&files[i].store);
    lab_disk_free(source);
    lab_disk_free(target);
    lab_free(&lab);
    return 0;
}

static void check_untouched(void)
{
    assert_int_equal(target->changes, 0);
}

#define RULES                                                                                                          \
    "[job]\ncountdown=3\n[rule \"lab\"]\nwhen serial=PC-2*\ndo=restore\nimage=stick:\\pc.eid\ndisk=only internal "     \
    "disk\nerase=yes\n"
#define REPORT "stick:\\EIDOLON\\REPORTS\\PC-21"

static void test_a_machine_gets_its_image(void **state)
{
    enum job_file_end end;

    (void)state;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_REBOOT);
    assert_int_equal(seconds, 3);
    lab_assert_restored(source, target, target->contents);
    const char *report = contents(REPORT ".txt");
    assert_memory_equal(report, "DONE.\r\n", 7);
    assert_non_null(strstr(report, "Disk:      nvme:TARGET, A disk, serial TARGET, 16777216 bytes"));
    assert_non_null(strstr(report, "Verified:  yes, read back, and it matched\r\n"));
    assert_non_null(strstr(report, "Ended:     2026-11-25 22:30:52\r\n"));
    report = contents(REPORT ".json");
    assert_non_null(strstr(report, "\"state\":\"done\",\"exit_code\":0"));
    assert_non_null(strstr(report, "\"rule\":\"lab\""));
    assert_non_null(strstr(report, "\"verified\":true"));
    assert_null(strstr(report, "\"root\":\"0000000000"));
    assert_false(on_stick(REPORT "-begun.txt"));
    assert_int_equal(count_files("\\done-"), 1);
}

static void test_once_is_enough(void **state)
{
    enum job_file_end end;

    (void)state;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_DONE);
    uint64_t changes = target->changes;
    /* The firmware goes on with what it starts next: rebooting would come back here. */
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_ALREADY);
    assert_int_equal(end, JOB_FILE_RETURN);
    assert_true(target->changes == changes);
    assert_int_equal(count_files("REPORTS\\PC-21"), 2);
    /* Other machines, other disks and other files are other matters. */
    serial_number = 22;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_DONE);
    serial_number = 21;
    strcpy(target->device.name, "nvme:OTHER");
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_DONE);
    strcpy(target->device.name, "nvme:TARGET");
    assert_int_equal(run(RULES "then=reboot ; now\n", &end), EXIT_CODE_DONE);
    assert_true(on_stick(REPORT "-3.txt") && on_stick(REPORT "-3.json"));
    assert_int_equal(run(RULES "again=yes\nthen=poweroff\n", &end), EXIT_CODE_DONE);
    assert_int_equal(run(RULES "again=yes\nthen=poweroff\n", &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_POWER_OFF);
    assert_true(on_stick(REPORT "-5.txt"));
}

static void test_a_machine_that_nothing_tells_from_others(void **state)
{
    enum job_file_end end;

    (void)state;
    has_serial = false;
    target->device.serial[0] = 0;
    assert_int_equal(run("[job]\n[rule \"a\"]\ndo=restore\nimage=stick:\\pc.eid\ndisk=only nvme\nerase=yes\n", &end),
                     1);
    assert_non_null(strstr(text, "nothing tells this machine from others"));
    check_untouched();
    assert_true(on_stick("stick:\\EIDOLON\\REPORTS\\2026-11-25-223052.txt"));
}

static void test_a_key_stops_it(void **state)
{
    enum job_file_end end;

    (void)state;
    key_after = 2;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_CANCELLED);
    assert_int_equal(end, JOB_FILE_WAIT);
    assert_int_equal(seconds, 2);
    check_untouched();
    assert_memory_equal(contents(REPORT ".txt"), "STOPPED", 7);
    assert_int_equal(count_files("\\done-"), 0);
}

static void test_more_disks_than_can_be_told(void **state)
{
    static struct block_device others[FACT_DISKS_MAX];
    enum job_file_end end;

    (void)state;
    memset(others, 0, sizeof(others));
    for (size_t i = 0; i < FACT_DISKS_MAX; i++) {
        snprintf(others[i].name, sizeof(others[i].name), "usb:%zu", i);
        others[i].geometry.logical_block = 512;
        if (i + 1 < FACT_DISKS_MAX)
            block_registry_add(&registry, &others[i]);
    }
    key_after = 1;
    assert_int_equal(run(RULES, &end), EXIT_CODE_CANCELLED);
    block_registry_add(&registry, &others[FACT_DISKS_MAX - 1]);
    assert_int_equal(run(RULES, &end), EXIT_CODE_OTHER);
    assert_non_null(strstr(text, "more than 32 disks"));
    check_untouched();
}

static void test_a_file_from_elsewhere_is_counted_down_longer(void **state)
{
    enum job_file_end end;

    (void)state;
    assert_int_equal(run_from(RULES, true, &end), EXIT_CODE_DONE);
    assert_int_equal(seconds, JOB_COUNTDOWN_ELSEWHERE);
}

/* --- disks that come and go --- */

static struct lab_disk *late;

static void add_late(const char *name, uint64_t bytes)
{
    if (late)
        return;
    late = lab_disk_create(&lab, "LATE", bytes, 512, 0x33);
    strcpy(late->device.name, name);
    block_registry_add(&registry, &late->device);
}

static void free_late(void)
{
    assert_int_equal(late->changes, 0);
    block_registry_remove(&registry, &late->device);
    lab_disk_free(late);
    late = NULL;
}

static void a_second_disk_comes(void)
{
    add_late("sata:LATE", DISK_BYTES);
}

/* For which the name of the one before would do. */
static void another_disk_comes(void)
{
    if (!late)
        block_registry_remove(&registry, &target->device);
    add_late("nvme:TARGET2", DISK_BYTES);
}

static void test_disks_that_change_during_the_countdown(void **state)
{
    enum job_file_end end;

    (void)state;
    at_second = a_second_disk_comes;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_USAGE);
    assert_int_equal(end, JOB_FILE_WAIT);
    assert_memory_equal(contents(REPORT ".txt"), "REFUSED.", 8);
    assert_non_null(strstr(text, "fits 2 disks"));
    free_late();
    at_second = another_disk_comes;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_REFUSED);
    assert_non_null(strstr(text, "changed during the count-down"));
    free_late();
    block_registry_add(&registry, &target->device);
    check_untouched();
}

/* Drivers change with the command that works on the disk; disks of one serial number may get each other's names. */
static void swap_at_the_command(unsigned number)
{
    if (number != 2)
        return;
    block_registry_remove(&registry, &target->device);
    add_late("nvme:TARGET", DISK_BYTES + (4u << 20));
}

static void test_another_disk_of_that_name(void **state)
{
    enum job_file_end end;

    (void)state;
    at_command = swap_at_the_command;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_USAGE);
    assert_int_equal(seconds, 0);
    free_late();
    check_untouched();
    assert_non_null(strstr(text, "is not there any more"));
}

static void test_no_rule(void **state)
{
    enum job_file_end end;

    (void)state;
    serial_number = 31;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_NO_RULE);
    assert_int_equal(end, JOB_FILE_WAIT);
    assert_int_equal(seconds, 0);
    check_untouched();
    assert_memory_equal(contents("stick:\\EIDOLON\\REPORTS\\PC-31.txt"), "NO RULE MATCHED.", 16);
    assert_non_null(strstr(text, "serial: PC-31 does not match PC-2*"));
}

static void test_a_rule_for_doing_nothing(void **state)
{
    enum job_file_end end;

    (void)state;
    assert_int_equal(run("[job]\ncountdown=0\n[rule \"a\"]\ndo=nothing\nthen=poweroff\n", &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_POWER_OFF);
    assert_memory_equal(contents(REPORT ".txt"), "NOTHING TO DO", 13);
    /* Where the stick is booted first, a reboot would lead here again, and again. */
    assert_int_equal(run("[job]\ncountdown=0\n[rule \"a\"]\ndo=nothing\nthen=reboot\n", &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_RETURN);
}

/* Looking at an image once more costs nothing but time; a machine that reboots would do so for ever. */
static void test_a_verify_is_repeated(void **state)
{
    static const char verify[] = "[job]\ncountdown=0\n[rule \"a\"]\ndo=verify\nimage=stick:\\pc.eid\n";
    enum job_file_end end;

    (void)state;
    assert_int_equal(run(verify, &end), EXIT_CODE_DONE);
    assert_int_equal(run(verify, &end), EXIT_CODE_DONE);
    assert_true(on_stick(REPORT "-2.txt"));
    assert_int_equal(count_files("\\done-"), 0);
    char reboots[256];
    snprintf(reboots, sizeof(reboots), "%sthen=reboot\n", verify);
    assert_int_equal(run(reboots, &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_REBOOT);
    assert_int_equal(run(reboots, &end), EXIT_CODE_ALREADY);
}

/* The begun report would be overwritten, the mark and the report put into what was restored. */
static void test_reports_on_the_disk_that_is_erased(void **state)
{
    enum job_file_end end;

    (void)state;
    reports_are_on = &target->device;
    assert_int_equal(run(RULES "then=poweroff\n", &end), EXIT_CODE_REFUSED);
    assert_int_equal(end, JOB_FILE_WAIT);
    assert_non_null(strstr(text, "the reports are to be kept on the disk that is erased"));
    check_untouched();
    /* Begun before the plan was looked at; it tells why. */
    assert_memory_equal(contents(REPORT ".txt"), "REFUSED.", 8);
}

static void test_mistakes_stop_before_anything(void **state)
{
    enum job_file_end end;

    (void)state;
    assert_int_equal(run(RULES "[rule \"b\"]\ndo=wipe\n", &end), EXIT_CODE_USAGE);
    assert_non_null(strstr(text, "line 10: do is restore"));
    assert_non_null(
        strstr(text, "Job file: refused, exit code 2.")); /* the view is told: a screen may be all that is seen */
    assert_int_equal(count_files("REPORTS"), 0);
    assert_int_equal(end, JOB_FILE_WAIT);
    check_untouched();
    /* A target that is too small is known by the plan alone. */
    target->device.geometry.block_count = 2048;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_REFUSED);
    assert_int_equal(end, JOB_FILE_WAIT);
    assert_int_equal(seconds, 0);
    check_untouched();
    assert_memory_equal(contents(REPORT ".txt"), "REFUSED.", 8);
    assert_non_null(strstr(contents(REPORT ".txt"), "refused: "));
}

static void test_a_failure_never_reboots(void **state)
{
    enum job_file_end end;

    (void)state;
    target->bad_write = LAB_FIRST_BLOCK + 10;
    target->bad_write_count = 4;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_TARGET);
    assert_int_equal(end, JOB_FILE_WAIT);
    const char *report = contents(REPORT ".txt");
    assert_memory_equal(report, "FAILED.", 7);
    assert_non_null(strstr(report, "error: "));
    assert_non_null(strstr(report, "Verified:  NO\r\n"));
    assert_int_equal(count_files("\\done-"), 0);
    /* And may be tried again. */
    target->bad_write_count = 0;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_DONE);
    assert_true(on_stick(REPORT "-2.json"));
}

static void test_reports_that_cannot_be_written(void **state)
{
    enum job_file_end end;

    (void)state;
    broken = "-begun";
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_NO_REPORT);
    assert_non_null(strstr(text, "THE REPORT COULD NOT BE WRITTEN"));
    check_untouched();
    broken = NULL;
    lying = "-begun";
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_NO_REPORT);
    assert_non_null(strstr(text, "what was read back is not what was written"));
    check_untouched();
    lying = NULL;
    broken = ".json";
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_NO_REPORT);
    assert_int_equal(end, JOB_FILE_WAIT);
    lab_assert_restored(source, target, target->contents);
    assert_non_null(strstr(text, "THE REPORT COULD NOT BE WRITTEN"));
    /* It is marked as done all the same. */
    broken = NULL;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_ALREADY);
    broken = "done-";
    serial_number = 22;
    assert_int_equal(run(RULES "then=reboot\n", &end), EXIT_CODE_NO_REPORT);
    assert_int_equal(end, JOB_FILE_WAIT);
    assert_true(on_stick("stick:\\EIDOLON\\REPORTS\\PC-22.txt"));
    serial_number = 23;
    broken = NULL;
    assert_int_equal(run(RULES "[rule \"b\"]\ndo=nothing\n", &end), EXIT_CODE_DONE);
}

static void test_a_report_folder_that_is_not_there(void **state)
{
    enum job_file_end end;

    (void)state;
    assert_int_equal(
        run("[job]\nreport=NAS:\\x\n[rule \"a\"]\ndo=restore\nimage=stick:\\pc.eid\ndisk=only nvme\nerase=yes\n", &end),
        EXIT_CODE_NO_REPORT);
    check_untouched();
}

/* --- where the file is found --- */

static void put_file(const char *name, const void *data, size_t size)
{
    struct stick_file *file = find_file(name);

    memory_store_set(&file->store, 0, data, size);
    file->store.volumes[0].there = true;
}

static int find(char *name, char **found, struct error *error)
{
    struct session session = {.ops = &ops, .loop = &lab.loop, .registry = &registry, .version = "0"};
    size_t size;

    memset(error, 0, sizeof(*error));
    return unattended_find(&session, name, 64, found, &size, error);
}

static void test_the_file_is_found_on_other_volumes(void **state)
{
    static char big[INI_FILE_MAX + 1];
    struct error error;
    char name[64], *found;

    (void)state;
    memset(volumes, 0, sizeof(volumes));
    for (size_t i = 0; i < 5; i++)
        volumes[i] = (struct session_volume){.can_read = true, .name = {(char)('A' + i)}};
    volumes[0].is_stick = true;
    volumes[1].is_system = true;
    volumes[2].can_read = false;
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s:\\EIDOLON\\JOB.INI", volumes[i].name);
        put_file(name, "[job]", 5);
    }
    assert_int_equal(find(name, &found, &error), -ERROR_NOT_FOUND);
    assert_null(found);
    put_file("E:\\EIDOLON\\JOB.INI", "[job] ; E", 9);
    assert_int_equal(find(name, &found, &error), 0);
    assert_string_equal(name, "E:\\EIDOLON\\JOB.INI");
    assert_string_equal(found, "[job] ; E");
    platform_release(&lab.platform, found);
    put_file("D:\\EIDOLON\\JOB.INI", big, sizeof(big));
    assert_int_equal(find(name, &found, &error), -ERROR_AMBIGUOUS);
    assert_null(found);
    assert_non_null(strstr(error.detail, "D:\\EIDOLON\\JOB.INI, E:\\EIDOLON\\JOB.INI"));
    volumes[4].can_read = false;
    assert_int_equal(find(name, &found, &error), -ERROR_OUT_OF_RANGE);
    assert_non_null(strstr(error.detail, "larger than 64 KiB"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_machine_gets_its_image),
        TEST(test_once_is_enough),
        TEST(test_a_machine_that_nothing_tells_from_others),
        TEST(test_a_key_stops_it),
        TEST(test_more_disks_than_can_be_told),
        TEST(test_a_file_from_elsewhere_is_counted_down_longer),
        TEST(test_disks_that_change_during_the_countdown),
        TEST(test_another_disk_of_that_name),
        TEST(test_no_rule),
        TEST(test_a_rule_for_doing_nothing),
        TEST(test_a_verify_is_repeated),
        TEST(test_reports_on_the_disk_that_is_erased),
        TEST(test_mistakes_stop_before_anything),
        TEST(test_a_failure_never_reboots),
        TEST(test_reports_that_cannot_be_written),
        TEST(test_a_report_folder_that_is_not_there),
        TEST(test_the_file_is_found_on_other_volumes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
