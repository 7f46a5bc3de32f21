/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command grammar, and job files with a session that only records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ui/command.h"
#include "ui/message.h"
#include "ui/session.h"

static int parse(struct command *command, const char *line)
{
    struct error error = {0};

    return command_parse_line(command, line, &error);
}

static void test_every_verb(void **state)
{
    struct command command;

    (void)state;
    assert_int_equal(parse(&command, "capture nvme:S1 stick:\\pc.eid --level=9 --chunk=256K --split=4G --raw"), 0);
    assert_int_equal(command.verb, COMMAND_CAPTURE);
    assert_string_equal(command.arguments[0], "nvme:S1");
    assert_string_equal(command.arguments[1], "stick:\\pc.eid");
    assert_int_equal(command.options.level, 9);
    assert_int_equal(command.options.chunk_size, 256 * 1024);
    assert_true(command.options.split == 4ULL << 30);
    assert_true(command.options.raw);
    assert_false(command.yes);
    assert_int_equal(parse(&command, "restore --yes \"my images/pc.eid#3\" sata:X --dry-run --json"), 0);
    assert_string_equal(command.arguments[0], "my images/pc.eid#3");
    assert_true(command.yes && command.dry_run && command.json);
    assert_int_equal(parse(&command, "capture a b --level=9 --level=auto"), 0);
    assert_int_equal(command.options.level, 0);
    assert_int_equal(parse(&command, "list"), 0);
    assert_int_equal(parse(&command, "verify a.eid"), 0);
    assert_int_equal(command.argument_count, 1);
}

static void test_nonsense_is_refused(void **state)
{
    static const char *const lines[] = {"",
                                        "captur a b",
                                        "capture a",
                                        "capture a b c",
                                        "capture a b --level=0",
                                        "capture a b --level=20",
                                        "capture a b --level=",
                                        "capture a b --level=automatic",
                                        "capture a b --chunk=3M",
                                        "capture a b --chunk=8M",
                                        "capture a b --split=1M",
                                        "capture a b --bogus",
                                        "restore \"a b",
                                        "info",
                                        "capture a b --split=99999999999999999999",
                                        "capture a b --split=20000000000000000000T",
                                        "capture \"\" b",
                                        "capture a b --processors=0",
                                        "capture a b --level=-1",
                                        "capture a b --chunk=1M1"};
    struct command command;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (parse(&command, lines[i]) != -ERROR_USAGE)
            fail_msg("not refused: %s", lines[i]);
}

static void test_long_lines_are_refused(void **state)
{
    struct command command;
    char line[3 * COMMAND_LINE_MAX];

    (void)state;
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = 0;
    assert_int_equal(parse(&command, line), -ERROR_USAGE);
    for (size_t i = 1; i < sizeof(line) - 1; i += 2)
        line[i] = ' ';
    assert_int_equal(parse(&command, line), -ERROR_USAGE);
}

static void test_partition_numbers(void **state)
{
    char name[32];
    unsigned partition;

    (void)state;
    assert_int_equal(command_split_partition("disk.img#2", name, sizeof(name), &partition, NULL), 0);
    assert_string_equal(name, "disk.img");
    assert_int_equal(partition, 2);
    assert_int_equal(command_split_partition("a#b.img", name, sizeof(name), &partition, NULL), 0);
    assert_string_equal(name, "a#b.img");
    assert_int_equal(partition, 0);
    assert_int_equal(command_split_partition("x#0", name, sizeof(name), &partition, NULL), -ERROR_USAGE);
    assert_int_equal(command_split_partition("x#1025", name, sizeof(name), &partition, NULL), -ERROR_USAGE);
    assert_int_equal(command_split_partition("#1", name, sizeof(name), &partition, NULL), -ERROR_USAGE);
    assert_int_equal(
        command_split_partition("0123456789012345678901234567890123456789", name, sizeof(name), &partition, NULL),
        -ERROR_USAGE);
}

static void test_exit_codes_are_distinct(void **state)
{
    struct error error = {.code = ERROR_MEDIUM, .side = SIDE_SOURCE};

    (void)state;
    assert_int_equal(exit_code_of(&error), EXIT_CODE_SOURCE);
    error.side = SIDE_TARGET;
    assert_int_equal(exit_code_of(&error), EXIT_CODE_TARGET);
    error.side = SIDE_IMAGE;
    assert_int_equal(exit_code_of(&error), EXIT_CODE_IMAGE);
    error.code = ERROR_NO_MEMORY;
    assert_int_equal(exit_code_of(&error), EXIT_CODE_OTHER);
    error.code = ERROR_CANCELLED;
    assert_int_equal(exit_code_of(&error), EXIT_CODE_CANCELLED);
    error.code = ERROR_REFUSED;
    assert_int_equal(exit_code_of(&error), EXIT_CODE_REFUSED);
}

/* Every code and every message has words, and no argument of any length breaks them. */
static void test_every_sentence(void **state)
{
    char text[SENTENCE_MAX];
    struct error error = {
        .operation = OPERATION_READ, .side = SIDE_SOURCE, .block = UINT64_MAX - 1, .raw_status = 0x51};
    struct message message = {.partition = 3, .number = {UINT64_MAX, UINT64_MAX, UINT64_MAX}};

    (void)state;
    memset(error.device, 'd', sizeof(error.device) - 1);
    memset(error.detail, 'x', sizeof(error.detail) - 1);
    memset(message.text[0], 't', MESSAGE_TEXT_MAX - 1);
    memset(message.text[1], 'u', MESSAGE_TEXT_MAX - 1);
    for (int code = 1; code < ERROR_CODE_COUNT; code++) {
        error.code = (enum error_code)code;
        assert_true(strlen(error_sentence(&error, text)) > 20);
        assert_non_null(error_code_name(error.code));
    }
    for (int id = 1; id < MESSAGE_COUNT; id++) {
        message.id = (enum message_id)id;
        if (strlen(message_sentence(&message, text)) < 20 || strcmp(message_name(message.id), "unknown") == 0)
            fail_msg("message %d has no words", id);
    }
    error.code = (enum error_code)9999;
    assert_true(strlen(error_sentence(&error, text)) > 0);
}

static void test_sizes_in_words(void **state)
{
    char text[SIZE_TEXT_MAX];

    (void)state;
    assert_string_equal(size_text(0, text), "0 bytes");
    assert_string_equal(size_text(999, text), "999 bytes");
    assert_string_equal(size_text(1536, text), "1.5 KiB");
    assert_string_equal(size_text(500107862016ULL, text), "465 GiB");
    assert_string_equal(size_text(UINT64_MAX, text), "15 EiB");
}

static void test_calendar(void **state)
{
    struct calendar date;

    (void)state;
    calendar_of(0, &date);
    assert_true(date.year == 1970 && date.month == 1 && date.day == 1 && date.second == 0);
    calendar_of(951868799, &date); /* the last second of a leap day: date -u -d @951868799 */
    assert_true(date.year == 2000 && date.month == 2 && date.day == 29 && date.hour == 23 && date.second == 59);
    calendar_of(1796169600, &date);
    assert_true(date.year == 2026 && date.month == 12 && date.day == 2 && date.hour == 0);
}

/* --- a session whose disks cannot be opened: what is tried is recorded --- */
struct recorder {
    struct output output;
    char text[8192];
    size_t used;
};

static void record(struct output *output, const char *text, size_t size)
{
    struct recorder *recorder = (struct recorder *)output;

    if (recorder->used + size < sizeof(recorder->text)) {
        memcpy(recorder->text + recorder->used, text, size);
        recorder->used += size;
        recorder->text[recorder->used] = 0;
    }
}

static unsigned disks_tried;
static struct block_device good_disk = {.name = "good"};

static int no_disk(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    (void)session;
    (void)write;
    if (strcmp(name, "good") == 0) {
        end->disk = &good_disk;
        return 0;
    }
    disks_tried++;
    return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no such disk");
}

static int no_store(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    return no_disk(session, name, write, end, error);
}

static void close_good_disk(struct session *session, struct job_end *end)
{
    (void)session;
    assert_ptr_equal(end->disk, &good_disk);
}

static bool variable(struct session *session, const char *name, char *value, size_t size)
{
    (void)session;
    if (strcmp(name, "serial") != 0)
        return false;
    snprintf(value, size, "A B/..");
    return true;
}

static const struct session_ops recording_ops = {
    .open_disk = no_disk, .close_disk = close_good_disk, .open_store = no_store, .variable = variable};

static enum exit_code run_file(const char *text, struct recorder *recorder, enum job_file_end *end)
{
    memset(recorder, 0, sizeof(*recorder));
    recorder->output.write = record;
    struct session session = {
        .ops = &recording_ops, .out = &recorder->output, .status = &recorder->output, .version = "test"};
    disks_tried = 0;
    return session_run_job_file(&session, text, strlen(text), end);
}

static void test_job_file_is_checked_before_it_runs(void **state)
{
    struct recorder recorder;
    enum job_file_end end;

    (void)state;
    assert_int_equal(run_file("capture good b\nnonsense\n", &recorder, &end), EXIT_CODE_USAGE);
    assert_int_equal(disks_tried, 0);
    assert_int_equal(run_file("capture good b\nrestore b good\n", &recorder, &end), EXIT_CODE_REFUSED);
    assert_int_equal(disks_tried, 0);
    assert_non_null(strstr(recorder.text, "line 2"));
    assert_int_equal(run_file("capture good {unknown}.eid\n", &recorder, &end), EXIT_CODE_USAGE);
    assert_int_equal(disks_tried, 0);
    assert_int_equal(run_file("version\ncapture bad#2 x.eid\n", &recorder, &end), EXIT_CODE_USAGE);
    assert_int_equal(disks_tried, 1);
    assert_null(strstr(recorder.text, "eidolon test"));
}

static void test_job_file_stops_at_the_first_failure(void **state)
{
    struct recorder recorder;
    enum job_file_end end;

    (void)state;
    assert_int_equal(
        run_file("version\r\n# comment\n\ncapture good \"{serial}.eid\"\nversion\nthen reboot\n", &recorder, &end),
        EXIT_CODE_USAGE);
    assert_int_equal(disks_tried, 1);
    assert_int_equal(end, JOB_FILE_RETURN);
    assert_non_null(strstr(recorder.text, "A_B_.."));
}

static void test_job_file_ends_as_it_says(void **state)
{
    struct recorder recorder;
    enum job_file_end end;

    (void)state;
    assert_int_equal(run_file("\xEF\xBB\xBFversion\nthen poweroff", &recorder, &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_POWER_OFF);
    assert_non_null(strstr(recorder.text, "eidolon test"));
    assert_int_equal(run_file("", &recorder, &end), EXIT_CODE_DONE);
    assert_int_equal(end, JOB_FILE_RETURN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_verb),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_long_lines_are_refused),
        cmocka_unit_test(test_partition_numbers),
        cmocka_unit_test(test_exit_codes_are_distinct),
        cmocka_unit_test(test_every_sentence),
        cmocka_unit_test(test_sizes_in_words),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_job_file_is_checked_before_it_runs),
        cmocka_unit_test(test_job_file_stops_at_the_first_failure),
        cmocka_unit_test(test_job_file_ends_as_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
