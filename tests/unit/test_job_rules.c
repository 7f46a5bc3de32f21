/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules for unattended work: INI files, what a rule may say, which machine it matches, which disk it means, names of reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ui/job_match.h"
#include "ui/unattended.h"

static struct job_rules rules;
static struct error error;

static int parse_bytes(const char *text, size_t size)
{
    memset(&error, 0, sizeof(error));
    return job_rules_parse(text, size, &rules, &error);
}

static int parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

#define RESTORE "do=restore\nimage=a.eid\ndisk=only internal disk\nerase=yes\n"

static void test_a_whole_file(void **state)
{
    (void)state;
    assert_int_equal(parse("\xEF\xBB\xBF; forty PCs\r\n"
                           "[Job]\r\n"
                           "  countdown = 5   ; seconds\r\n"
                           "report=BACKUP:\\reports\\\r\n"
                           "title = The lab; by night # what for\r\n"
                           "\r\n"
                           "[rule \"lab PCs\"]\r\n"
                           "WHEN  Serial = PC-2*, pc-3?  # the new ones\r\n"
                           "when disk\tsize = 100G..600G\r\n"
                           "when memory = 4G ..\r\n"
                           "do = Restore\r\n"
                           "image = MASTERS:\\lab {model}#2.eid\r\n"
                           "disk = serial S3X*\r\n"
                           "partition = 3\r\n"
                           "options = --no-verify --discard\r\n"
                           "erase = yes\r\n"
                           "again = yes\r\n"
                           "then = poweroff\r\n"
                           "[ rule \"the rest\" ]\r\n"
                           "do = nothing"),
                     0);
    assert_int_equal(rules.countdown, 5);
    assert_string_equal(rules.report, "BACKUP:\\reports");
    assert_string_equal(rules.title, "The lab; by night");
    assert_int_equal(rules.rule_count, 2);
    const struct job_rule *rule = &rules.rules[0];
    assert_string_equal(rule->name, "lab PCs");
    assert_int_equal(rule->line, 7);
    assert_int_equal(rule->condition_count, 3);
    assert_int_equal(rule->conditions[0].fact, FACT_SERIAL);
    assert_string_equal(rule->conditions[0].text, "PC-2*, pc-3?");
    assert_true(rule->conditions[1].least == 100ULL << 30 && rule->conditions[1].most == 600ULL << 30);
    assert_true(rule->conditions[2].least == 4ULL << 30 && rule->conditions[2].most == UINT64_MAX);
    assert_int_equal(rule->action, ACTION_RESTORE);
    assert_string_equal(rule->image, "MASTERS:\\lab {model}#2.eid");
    assert_int_equal(rule->choice, CHOOSE_SERIAL);
    assert_string_equal(rule->disk_pattern, "S3X*");
    assert_true(rule->partition == 3 && rule->erase && rule->again && rule->then == THEN_POWER_OFF);
    assert_true(rules.rules[1].action == ACTION_NOTHING && !rules.rules[1].again && rules.rules[1].then == THEN_WAIT);
}

static void test_what_is_not_said_is_harmless(void **state)
{
    (void)state;
    assert_int_equal(parse("[job]\n[rule \"a\"]\n" RESTORE), 0);
    assert_int_equal(rules.countdown, 15);
    assert_string_equal(rules.report, "stick:\\EIDOLON\\REPORTS");
    assert_true(!rules.rules[0].again && rules.rules[0].then == THEN_WAIT && rules.rules[0].partition == 0);
    assert_int_equal(rules.rules[0].condition_count, 0);
}

static void test_mistakes_name_their_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *word;
    } table[] = {
        {"", 1, "[job]"},
        {"[job]\n", 1, "no [rule"},
        {"[rule \"a\"]\ndo=nothing\n", 1, "[job]"},
        {"countdown=3\n[job]\n", 1, "before the first"},
        {"[job]\ncountdown\n", 2, "neither"},
        {"[job]\ncountdown=\n", 2, "no value"},
        {"[job]\n=3\n", 2, "before the ="},
        {"[job\n", 1, "]"},
        {"[job]\ncountdown=3s\n", 2, "seconds"},
        {"[job]\ncountdown=1K\n", 2, "seconds"},
        {"[job]\ncountdown=-1\n", 2, "seconds"},
        {"[job]\ncountdown=3601\n", 2, "seconds"},
        {"[job]\ncountdown=3\ncountdown=4\n", 3, "line 2 already"},
        {"[job]\nlanguage=xx\n", 2, "not known"},
        {"[job]\nwhen serial=3\n", 2, "not known"},
        {"[job]\nreport=\"a b\"\n", 2, "quotation"},
        {"[job]\nreport=stick:\\{serial}\n", 2, "report"},
        {"[job]\n[job]\n", 2, "line 1 already"},
        {"[jobs]\n", 1, "[jobs]"},
        {"[job]\n[rule]\n", 2, "[rule \"name\"]"},
        {"[job]\n[rule \"\"]\n", 2, "empty"},
        {"[job]\n[rule \"a\" b]\n", 2, "quotation"},
        {"[job]\n[rule \"a]\n", 2, "quotation"},
        {"[job]\n[rule \"a\"]\ndo=nothing\n[rule \"A\"]\n", 4, "line 2 already"},
        {"[job]\n[rule \"a\"]\n[rule \"b\"]\ndo=nothing\n", 2, "do = ..."},
        {"[job]\n[rule \"a\"]\ndo=clone\n", 3, "restore, capture"},
        {"[job]\n[rule \"a\"]\nwhen mac=52-54-00-12-34-56\n", 3, "52:54:00"},
        {"[job]\n[rule \"a\"]\nwhen mac=525400123456\n", 3, "52:54:00"},
        {"[job]\n[rule \"a\"]\nwhen mac=52:54:00:*, 52:54\n", 3, "52:54:00"},
        {"[job]\n[rule \"a\"]\nwhen uuid={4c4c4544-0042-3510-8058-b4c04f4d4d32}\n", 3, "braces"},
        {"[job]\n[rule \"a\"]\nwhen disk size=200..600\n", 3, "range"},
        {"[job]\n[rule \"a\"]\ndo=verify\nimage=x{Serial}\n", 4, "{serial}"},
        {"[job]\n[rule \"a\"]\ndo=verify\nimage=--salvage.eid\n", 4, "begin with -"},
        {"[job]\n[rule \"a\"]\ndo=verify\nimage=x\nagain=yes\nthen=reboot\n", 5, "for ever"},
        {"[job]\n[rule \"a\"]\ndo=nothing\nimage=a.eid\n", 4, "no meaning"},
        {"[job]\n[rule \"a\"]\ndo=nothing\nagain=yes\n", 4, "no meaning"},
        {"[job]\n[rule \"a\"]\ndo=restore\ndisk=only nvme\nerase=yes\n", 2, "needs image"},
        {"[job]\n[rule \"a\"]\ndo=restore\nimage=a\nerase=yes\n", 2, "needs disk"},
        {"[job]\n[rule \"a\"]\ndo=restore\nimage=a\ndisk=only nvme\n", 2, "needs erase"},
        {"[job]\n[rule \"a\"]\ndo=restore\nimage=a\ndisk=only nvme\nerase=no\n", 6, "erase = yes"},
        {"[job]\n[rule \"a\"]\ndo=restore\nimage=a\ndisk=only nvme\nerase=true\n", 6, "yes or no"},
        {"[job]\n[rule \"a\"]\ndo=capture\nimage=a\ndisk=only nvme\nerase=yes\n", 6, "no meaning"},
        {"[job]\n[rule \"a\"]\ndo=verify\nimage=a\npartition=2\n", 5, "goes with disk"},
        {"[job]\n[rule \"a\"]\n" RESTORE "partition=0\n", 7, "1 to"},
        {"[job]\n[rule \"a\"]\n" RESTORE "options=--level=99\n", 7, "level"},
        {"[job]\n[rule \"a\"]\n" RESTORE "options=--yes\n", 7, "not for job files"},
        {"[job]\n[rule \"a\"]\n" RESTORE "options=--dry-run\n", 7, "not for job files"},
        {"[job]\n[rule \"a\"]\n" RESTORE "options=nvme:X\n", 7, "too many names"},
        {"[job]\n[rule \"a\"]\ndo=verify\nimage=a\noptions=nvme:X\n", 5, "begin with --"},
        {"[job]\n[rule \"a\"]\n" RESTORE "then=shutdown\n", 7, "poweroff"},
        {"[job]\n[rule \"a\"]\n" RESTORE "target=only nvme\n", 7, "not known"},
        {"[job]\n[rule \"a\"]\nwhen serials=3\n", 3, "when goes with"},
        {"[job]\n[rule \"a\"]\nwhen serial=a,,b\n", 3, "pattern is empty"},
        {"[job]\n[rule \"a\"]\nwhen serial=a,\n", 3, "pattern is empty"},
        {"[job]\n[rule \"a\"]\nwhen serial=a\nwhen serial=b\n", 4, "line 3 already"},
        {"[job]\n[rule \"a\"]\nwhen memory=8G\n", 3, "range"},
        {"[job]\n[rule \"a\"]\nwhen memory=..\n", 3, "range"},
        {"[job]\n[rule \"a\"]\nwhen memory=8G..4G\n", 3, "range"},
        {"[job]\n[rule \"a\"]\nwhen disk size=1G...2G\n", 3, "range"},
        {"[job]\n[rule \"a\"]\nwhen disk size=1G..2GB\n", 3, "range"},
        {"[job]\n[rule \"a\"]\ndisk=only\n", 3, "disk is"},
        {"[job]\n[rule \"a\"]\ndisk=internal disk\n", 3, "disk is"},
        {"[job]\n[rule \"a\"]\ndisk=only nvme disk please\n", 3, "disk is"},
        {"[job]\n[rule \"a\"]\ndisk=serial\n", 3, "one pattern"},
        {"[job]\n[rule \"a\"]\ndisk=serial a, b\n", 3, "one pattern"},
        {"[job]\n[rule \"a\"]\nimage=-\n", 3, "name"},
        {"[job]\n[rule \"a\"]\nimage=a{serial\n", 3, "{serial"},
        {"[job]\n[rule \"a\"]\nimage=a{nr}.eid\n", 3, "{nr"},
        {"\xff\xfe[\0j\0", 1, "UTF-16"},
        {"[job]\ntitle=caf\xe9\n", 2, "UTF-8"},
        {"[job]\ntitle=\xed\xa0\x80\n", 2, "UTF-8"},
        {"[job]\ntitle=a\x1b[2J\n", 2, "control"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char line[24];
        snprintf(line, sizeof(line), "line %u: ", table[i].line);
        if (parse(table[i].text) != -ERROR_USAGE)
            fail_msg("not refused: %s", table[i].text);
        if (strncmp(error.detail, line, strlen(line)) != 0 || !strstr(error.detail, table[i].word))
            fail_msg("%s is refused with: %s", table[i].text, error.detail);
    }
}

static void test_hostile_files(void **state)
{
    static char text[INI_FILE_MAX + 1];

    (void)state;
    assert_int_equal(parse_bytes("[job]\ntitle=a\0b\n", 16), -ERROR_USAGE);
    assert_non_null(strstr(error.detail, "line 2: a control character (code 0)"));
    memset(text, '\n', sizeof(text));
    memcpy(text, "[job]\n[rule \"a\"]\ndo=nothing\n", 28);
    assert_int_equal(parse_bytes(text, sizeof(text)), -ERROR_USAGE);
    assert_non_null(strstr(error.detail, "64 KiB"));
    assert_int_equal(parse_bytes(text, sizeof(text) - 1), 0);
    memset(text + 28, 'x', INI_LINE_MAX);
    memcpy(text + 28, "then=", 5);
    assert_int_equal(parse_bytes(text, sizeof(text) - 1), -ERROR_USAGE);
    assert_non_null(strstr(error.detail, "line 4: then is"));
    memset(text + 28, 'x', INI_LINE_MAX + 1);
    assert_int_equal(parse_bytes(text, sizeof(text) - 1), -ERROR_USAGE);
    assert_non_null(strstr(error.detail, "line 4: the line is longer"));
    size_t used = (size_t)sprintf(text, "[job]\n");
    for (int i = 0; i <= JOB_RULES_MAX; i++)
        used += (size_t)sprintf(text + used, "[rule \"%d\"]\ndo=nothing\n", i);
    assert_int_equal(parse_bytes(text, used), -ERROR_USAGE);
    assert_non_null(strstr(error.detail, "more than 64 rules"));
}

static void test_patterns(void **state)
{
    static const struct {
        const char *list, *text;
        bool matches;
    } table[] = {
        {"PC-2*", "pc-21", true},
        {"PC-2*", "PC-2", true},
        {"PC-2?", "PC-2", false},
        {"PC-2?", "PC-21", true},
        {"PC-2?", "PC-211", false},
        {"*", "x", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "abcb", false},
        {"*ab", "aab", true},
        {"OptiPlex 70*", "OptiPlex 7010", true},
        {"a,b", "b", true},
        {"a , b c ,d", "b c", true},
        {"a , b c ,d", "b", false},
        {"a, b", " b", false},
        {"", "", false},
        {"a*", "b", false},
        {"***a", "ba", true},
        {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (job_pattern_list_matches(table[i].list, table[i].text) != table[i].matches)
            fail_msg("'%s' and '%s'", table[i].list, table[i].text);
}

static struct machine_facts facts;

static const char pc_21[] =
    "[machine]\nvendor=Dell Inc.\nmodel=OptiPlex 7010\nserial=PC-21\nasset tag=To be filled by O.E.M.\n"
    "uuid=4C4C4544-0031-3510-8052-B4C04F4A3132\nmac=52:54:00:AA:00:01, 52:54:00:aa:00:02\nmemory=8G\n"
    "[disk \"nvme:S3X9\"]\nmodel=Samsung SSD\nserial=S3X9\nsize=500107862016\n"
    "[disk \"sata:WD1\"]\nserial=WD1\nsize=1T\n"
    "[disk \"sata:WD2\"]\nserial=WD2\nsize=2T\n"
    "[disk \"sata:CARD\"]\nserial=CARD\nsize=5T\nremovable=yes\n"
    "[disk \"usb:IMAGES\"]\nserial=IMAGES\nsize=4T\n"
    "[disk \"usb:STICK\"]\nserial=STICK\nsize=16G\nboot stick=yes\n";

static void describe(const char *text)
{
    assert_int_equal(machine_facts_read(text, strlen(text), &facts, &error), 0);
}

static void test_conditions(void **state)
{
    static const struct {
        const char *condition;
        enum job_match match;
        const char *reason;
    } table[] = {
        {"serial=PC-2*", JOB_MATCHES, "all"},
        {"serial=PC-3*", JOB_DIFFERS, "serial: PC-21 does not match PC-3*"},
        {"model=latitude*, optiplex 7?10", JOB_MATCHES, "all"},
        {"vendor=Dell", JOB_DIFFERS, "vendor"},
        {"asset tag=*", JOB_UNKNOWN, "the asset tag of this machine is not known"},
        {"board=*", JOB_UNKNOWN, "not known"},
        {"uuid=4c4c4544-*", JOB_MATCHES, "all"},
        {"mac=52:54:00:aa:00:02", JOB_MATCHES, "all"},
        {"mac=52:54:00:bb:*", JOB_DIFFERS, "mac"},
        {"memory=8G..", JOB_MATCHES, "all"},
        {"memory=..7G", JOB_DIFFERS, "memory: 8.0 GiB does not match ..7G"},
        {"disk size=400G..600G", JOB_MATCHES, "all"},
        {"disk size=3T..", JOB_DIFFERS, "disk size"}, /* the card and the USB disk do not count */
        {"disk model=samsung*", JOB_MATCHES, "all"},
        {"disk model=WD*", JOB_DIFFERS, "disk model"},
    };
    char text[256], reason[JOB_REASON_MAX];

    (void)state;
    describe(pc_21);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        snprintf(text, sizeof(text), "[job]\n[rule \"a\"]\nwhen %s\ndo=nothing\n", table[i].condition);
        assert_int_equal(parse(text), 0);
        if (job_rule_matches(&rules.rules[0], &facts, reason) != table[i].match || !strstr(reason, table[i].reason))
            fail_msg("%s: %s", table[i].condition, reason);
    }
    /* All conditions hold, or none counts. */
    assert_int_equal(parse("[job]\n[rule \"a\"]\nwhen serial=PC*\nwhen model=X*\ndo=nothing\n"), 0);
    assert_int_equal(job_rule_matches(&rules.rules[0], &facts, reason), JOB_DIFFERS);
    /* What is known to differ decides, whatever else is not known. */
    assert_int_equal(parse("[job]\n[rule \"a\"]\nwhen board=X*\nwhen serial=X*\ndo=nothing\n"), 0);
    assert_int_equal(job_rule_matches(&rules.rules[0], &facts, reason), JOB_DIFFERS);
    assert_non_null(strstr(reason, "serial"));
    assert_int_equal(parse("[job]\n[rule \"a\"]\nwhen board=X*\nwhen serial=PC*\ndo=nothing\n"), 0);
    assert_int_equal(job_rule_matches(&rules.rules[0], &facts, reason), JOB_UNKNOWN);
}

/* A PC that may be the one to be left alone is not erased by the rule for all others. */
static void test_an_unknown_machine_is_spared(void **state)
{
    static const char spare[] = "[job]\n[rule \"desk\"]\nwhen %s\ndo=nothing\n[rule \"others\"]\n" RESTORE;
    static struct job_decision decision;
    struct job_clock clock = {"2026-11-25", "223052"};
    char text[512];

    (void)state;
    describe(pc_21);
    snprintf(text, sizeof(text), spare, "asset tag=7");
    assert_int_equal(parse(text), 0);
    assert_int_equal(job_decide_rule(&rules, &facts, &clock, &decision, &error), -ERROR_REFUSED);
    assert_non_null(strstr(error.detail, "\"desk\""));
    assert_non_null(strstr(error.detail, "\"others\""));
    snprintf(text, sizeof(text), spare, "serial=PC-7");
    assert_int_equal(parse(text), 0);
    assert_int_equal(job_decide_rule(&rules, &facts, &clock, &decision, &error), 0);
    assert_string_equal(decision.rule->name, "others");
    /* A capture erases nothing. */
    snprintf(text, sizeof(text),
             "[job]\n[rule \"desk\"]\nwhen board=X\ndo=nothing\n[rule \"others\"]\ndo=verify\nimage=a.eid\n");
    assert_int_equal(parse(text), 0);
    assert_int_equal(job_decide_rule(&rules, &facts, &clock, &decision, &error), 0);
    assert_string_equal(decision.rule->name, "others");
}

/* What people write on labels is theirs; what makers leave is nobody's. */
static void test_labels_and_fillers(void **state)
{
    static const struct {
        const char *tag;
        bool known;
    } table[] = {
        {"7", true},       {"11", true},        {"22", true},    {"111", true},
        {"7777777", true}, {"AA", true},        {"0", false},    {"0000", false},
        {"-", false},      {"......", false},   {"xxxx", false}, {"FFFFFFFF", false},
        {"XX", true},      {"11111111", false}, {"none", false}, {"Default string", false},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        snprintf(text, sizeof(text), "[machine]\nasset tag=%s\n", table[i].tag);
        describe(text);
        if ((*facts.asset_tag != 0) != table[i].known)
            fail_msg("asset tag %s", table[i].tag);
    }
    describe("[machine]\nuuid=ffffffff-ffff-ffff-ffff-ffffffffffff\nvendor=Micro-Star International Co., Ltd.\n");
    assert_string_equal(facts.uuid, "");
    assert_true(job_pattern_list_matches("micro-star international co., ltd.", facts.vendor));
    assert_true(job_pattern_list_matches("Dell*, Micro-Star*", facts.vendor));
}

/* A disk that cannot be opened might be the second one that fits. */
static void test_disks_that_cannot_be_opened(void **state)
{
    const struct fact_disk *disk;

    (void)state;
    describe("[machine]\n[disk \"nvme:A\"]\nserial=A\nsize=1T\n[disk \"disk:CARD\"]\nserial=CARD\nsize=64G\n");
    assert_int_equal(parse("[job]\n[rule \"a\"]\n" RESTORE), 0);
    struct job_rule rule = rules.rules[0];
    rule.choice = CHOOSE_SMALLEST;
    rule.kind = KIND_INTERNAL;
    assert_int_equal(job_choose_disk(&rule, &facts, "", &disk, &error), 0);
    assert_string_equal(disk->name, "nvme:A"); /* nobody knows what the other hangs on */
    facts.unknown_disks = 1;
    assert_int_equal(job_choose_disk(&rule, &facts, "", &disk, &error), -ERROR_AMBIGUOUS);
    rule.choice = CHOOSE_SERIAL;
    rule.disk_pattern = "A";
    assert_int_equal(job_choose_disk(&rule, &facts, "", &disk, &error), 0);
}

static void test_the_first_rule_that_matches(void **state)
{
    static struct job_decision decision;
    struct job_clock clock = {"2026-11-25", "223052"};

    (void)state;
    describe(pc_21);
    assert_int_equal(
        parse("[job]\n[rule \"a\"]\nwhen serial=X*\ndo=nothing\n[rule \"b\"]\nwhen serial=PC*\n"
              "do=capture\nimage=B:\\{model}-{serial}-{mac} {date}{time}.eid\ndisk=biggest sata\npartition=2\n"
              "[rule \"c\"]\ndo=nothing\n"),
        0);
    assert_int_equal(job_decide_rule(&rules, &facts, &clock, &decision, &error), 0);
    assert_string_equal(decision.rule->name, "b");
    assert_int_equal(decision.reason_count, 2);
    assert_string_equal(decision.image, "B:\\OptiPlex_7010-PC-21-52-54-00-aa-00-01 2026-11-25223052.eid");
    assert_int_equal(job_decide_disk(&facts, "", &decision, &error), 0);
    assert_string_equal(decision.command,
                        "capture sata:WD2#2 \"B:\\OptiPlex_7010-PC-21-52-54-00-aa-00-01 2026-11-25223052.eid\" --yes");
    /* A value that this machine has not. */
    assert_int_equal(parse("[job]\n[rule \"a\"]\ndo=verify\nimage={asset}.eid\n"), 0);
    assert_int_equal(job_decide_rule(&rules, &facts, &clock, &decision, &error), -ERROR_USAGE);
    assert_non_null(strstr(error.detail, "{asset} has no value"));
    assert_int_equal(parse("[job]\n[rule \"a\"]\nwhen serial=X\ndo=nothing\n"), 0);
    assert_int_equal(job_decide_rule(&rules, &facts, &clock, &decision, &error), 0);
    assert_null(decision.rule);
}

static void test_disks(void **state)
{
    static const struct {
        const char *choice, *image_disk, *disk;
        int status;
        const char *word;
    } table[] = {
        {"only nvme disk", "", "nvme:S3X9", 0, NULL},
        {"only internal disk", "", NULL, -ERROR_AMBIGUOUS, "nvme:S3X9, sata:WD1, sata:WD2"},
        {"only sata", "", NULL, -ERROR_AMBIGUOUS, "fits 2 disks: sata:WD1, sata:WD2"},
        {"biggest internal", "", "sata:WD2", 0, NULL},
        {"biggest internal", "sata:WD2", "sata:WD1", 0, NULL},
        {"smallest internal disk", "", "nvme:S3X9", 0, NULL},
        {"smallest sata", "", "sata:WD1", 0, NULL},
        {"only usb", "", "usb:IMAGES", 0, NULL}, /* never the stick */
        {"only usb", "usb:IMAGES", NULL, -ERROR_NOT_FOUND, "only usb"},
        {"serial WD?", "", NULL, -ERROR_AMBIGUOUS, "sata:WD1, sata:WD2"},
        {"serial wd2", "", "sata:WD2", 0, NULL},
        {"serial STICK", "", NULL, -ERROR_NOT_FOUND, "serial STICK"},
        {"serial IMAGES", "usb:IMAGES", "usb:IMAGES", 0, NULL},
        {"model samsung ssd", "", "nvme:S3X9", 0, NULL},
        {"model *", "", "nvme:S3X9", 0, NULL}, /* the others say none */
        {"only nvme", "nvme:S3X9", NULL, -ERROR_NOT_FOUND, "only nvme"},
    };
    const struct fact_disk *disk;
    char text[256];

    (void)state;
    describe(pc_21);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        snprintf(text, sizeof(text), "[job]\n[rule \"a\"]\ndo=restore\nimage=a\nerase=yes\ndisk=%s\n", table[i].choice);
        assert_int_equal(parse(text), 0);
        int status = job_choose_disk(&rules.rules[0], &facts, table[i].image_disk, &disk, &error);
        if (status != table[i].status || (disk ? !table[i].disk || strcmp(disk->name, table[i].disk) : !!table[i].disk))
            fail_msg("%s: %d, %s", table[i].choice, status, disk ? disk->name : error.detail);
        if (table[i].word && !strstr(error.detail, table[i].word))
            fail_msg("%s: %s", table[i].choice, error.detail);
    }
    /* As big as another one. */
    facts.disks[2].bytes = facts.disks[1].bytes;
    assert_int_equal(parse("[job]\n[rule \"a\"]\ndo=restore\nimage=a\nerase=yes\ndisk=biggest internal\n"), 0);
    assert_int_equal(job_choose_disk(&rules.rules[0], &facts, "", &disk, &error), -ERROR_AMBIGUOUS);
    assert_null(disk);
}

struct collector {
    struct output output;
    char text[4096];
};

static void collect(struct output *output, const char *text, size_t size)
{
    struct collector *collector = (struct collector *)output;
    size_t used = strlen(collector->text);

    assert_true(used + size < sizeof(collector->text));
    memcpy(collector->text + used, text, size);
    collector->text[used + size] = 0;
}

static void test_facts_are_read_as_they_are_printed(void **state)
{
    struct collector first = {.output = {.write = collect}}, second = first;

    (void)state;
    describe(pc_21);
    assert_string_equal(facts.asset_tag, "");
    assert_string_equal(facts.uuid, "4c4c4544-0031-3510-8052-b4c04f4a3132");
    assert_int_equal(facts.mac_count, 2);
    assert_string_equal(facts.macs[0], "52:54:00:aa:00:01");
    assert_string_equal(facts.disks[3].bus, "sata");
    strcpy(facts.model, "a \"b\" ; c");
    machine_facts_print(&first.output, &facts);
    describe(first.text);
    assert_string_equal(facts.model, "a ?b? ? c");
    machine_facts_print(&second.output, &facts);
    assert_string_equal(first.text, second.text);
}

static void test_facts_that_are_none(void **state)
{
    static const char *const bad[] = {"",
                                      "[machine]\nserials=1\n",
                                      "[machine]\nmac=1:2:3\n",
                                      "[machine]\nmac=52:54:00:aa:00:01x\n",
                                      "[machine]\n[machine]\n",
                                      "[disk \"nvme\"]\n",
                                      "[machine]\n[disk \"a:b\"]\nsize=1X\n",
                                      "[machine]\n[disk \"a:b\"]\nremovable=1\n"};
    static const char *const stock[] = {"Default string", "0", "00000000", "xxxxxxxx", "System Serial Number", "N/A"};
    char text[100];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (machine_facts_read(bad[i], strlen(bad[i]), &facts, &error) != -ERROR_USAGE)
            fail_msg("not refused: %s", bad[i]);
    for (size_t i = 0; i < sizeof(stock) / sizeof(stock[0]); i++) {
        snprintf(text, sizeof(text), "[machine]\nserial=%s\n", stock[i]);
        describe(text);
        if (*facts.serial)
            fail_msg("%s counts as a serial number", stock[i]);
    }
    describe("[machine]\nserial=100\n");
    assert_string_equal(facts.serial, "100");
}

static void test_names_of_reports(void **state)
{
    static const struct {
        const char *facts, *name;
    } table[] = {
        {"serial=PC-21\n", "PC-21"},
        {"serial=../..\\a b:c\n", "_._.._a_b-c"},
        {"serial=nul\n", "PC-nul"},
        {"serial=COM1.x\n", "PC-COM1.x"},
        {"serial=Comet\n", "Comet"},
        {"serial=0123456789abcdef0123456789abcdef0123456789\n", "0123456789abcdef0123456789abcdef"},
        {"mac=52:54:00:aa:00:01\n", "52-54-00-aa-00-01"},
        {"model=X\n", "2026-11-25-223052"},
    };
    struct job_clock clock = {"2026-11-25", "223052"};
    char name[REPORT_NAME_MAX], path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "[machine]\n%s", table[i].facts);
        describe(text);
        report_name(&facts, &clock, name);
        if (i == 1)
            assert_null(strpbrk(name, "/\\: "));
        else
            assert_string_equal(name, table[i].name);
        assert_true(name[0] != '.');
    }
    memset(&clock, 0, sizeof(clock));
    report_name(&facts, &clock, name);
    assert_string_equal(name, "machine");
    report_path("stick:\\A", "b", ".txt", path, sizeof(path));
    assert_string_equal(path, "stick:\\A\\b.txt");
    report_path("/srv/reports", "b", ".txt", path, sizeof(path));
    assert_string_equal(path, "/srv/reports/b.txt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_file),
        cmocka_unit_test(test_what_is_not_said_is_harmless),
        cmocka_unit_test(test_mistakes_name_their_line),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_an_unknown_machine_is_spared),
        cmocka_unit_test(test_labels_and_fillers),
        cmocka_unit_test(test_disks_that_cannot_be_opened),
        cmocka_unit_test(test_the_first_rule_that_matches),
        cmocka_unit_test(test_disks),
        cmocka_unit_test(test_facts_are_read_as_they_are_printed),
        cmocka_unit_test(test_facts_that_are_none),
        cmocka_unit_test(test_names_of_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
