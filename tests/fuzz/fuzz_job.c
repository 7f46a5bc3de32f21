/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for unattended work and the facts of a machine: whatever the two files say, either is understood or refused with a line, and
 * a command that comes out of them is one that the grammar takes, for a disk that the machine has. Input: two bytes, little-endian, the
 * length of the rules; then the rules; the rest are the facts.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "ui/job_match.h"
#include "ui/unattended.h"

#define MEMORY_MAX (8u * 1024 * 1024)

static void check_refusal(int status, const struct error *error)
{
    fuzz_require(status == -ERROR_USAGE && error->code == ERROR_USAGE);
    fuzz_require(strncmp(error->detail, "line ", 5) == 0 || strncmp(error->detail, "the file", 8) == 0);
}

static void check_text(const struct job_rules *rules, const char *text)
{
    size_t at = (size_t)(text - rules->text);

    fuzz_require(!*text || at >= sizeof rules->text || memchr(text, 0, sizeof rules->text - at));
    fuzz_require(strlen(text) <= INI_LINE_MAX);
}

static void check_rules(const struct job_rules *rules)
{
    fuzz_require(rules->rule_count >= 1 && rules->rule_count <= JOB_RULES_MAX && rules->countdown <= JOB_COUNTDOWN_MAX);
    fuzz_require(*rules->report);
    for (unsigned i = 0; i < rules->rule_count; i++) {
        const struct job_rule *rule = &rules->rules[i];
        check_text(rules, rule->name);
        check_text(rules, rule->image);
        check_text(rules, rule->options);
        check_text(rules, rule->disk_text);
        fuzz_require(rule->condition_count <= FACT_COUNT && rule->partition <= PARTITION_MAX);
        fuzz_require(rule->erase == (rule->action == ACTION_RESTORE));
        fuzz_require((rule->action == ACTION_NOTHING) == !*rule->image);
    }
}

static void check_facts(const struct machine_facts *facts)
{
    struct job_clock clock = {"", ""};
    char name[REPORT_NAME_MAX];

    fuzz_require(facts->mac_count <= FACT_MACS_MAX && facts->disk_count <= FACT_DISKS_MAX);
    fuzz_require(fuzz_text_valid(facts->serial, sizeof facts->serial));
    report_name(facts, &clock, name);
    fuzz_require(*name && !strpbrk(name, "/\\:*?\"<>| ") && *name != '.' && strlen(name) < REPORT_NAME_MAX);
}

static void decide(const struct job_rules *rules, const struct machine_facts *facts)
{
    static struct job_decision decision;
    struct job_clock clock = {"2026-11-25", "223052"};
    struct error error = {0};
    struct command command;

    if (job_decide_rule(rules, facts, &clock, &decision, &error) != 0) {
        /* Refused: it may be this machine that is to be left alone. */
        fuzz_require((error.code == ERROR_USAGE || error.code == ERROR_REFUSED) && error.detail[0]);
        return;
    }
    fuzz_require(decision.reason_count >= 1 && decision.reason_count <= rules->rule_count);
    if (job_decide_disk(facts, facts->disk_count ? facts->disks[facts->disk_count - 1].name : "", &decision, &error) !=
        0) {
        fuzz_require(error.code && error.detail[0]);
        return;
    }
    fuzz_accepted = true;
    if (!decision.rule || decision.rule->action == ACTION_NOTHING)
        return;
    fuzz_require(command_parse_line(&command, decision.command, &error) == 0);
    fuzz_require(command.yes && !command.dry_run && command.argument_count >= 1);
    fuzz_require(command_destroys(&command) == (decision.rule->action == ACTION_RESTORE));
    fuzz_require(!decision.disk || !decision.disk->is_boot_stick);
    fuzz_require(strcmp(command.arguments[decision.rule->action == ACTION_CAPTURE ? 1 : 0], decision.image) == 0);
}

void fuzz_job(const uint8_t *data, size_t size)
{
    static struct job_rules rules;
    static struct machine_facts facts;
    struct error error = {0};

    if (size < 2)
        return;
    size_t rules_size = (size_t)data[0] | (size_t)data[1] << 8, length = size - 2;
    if (rules_size > length)
        rules_size = length;
    /* Copies of the exact size, so that reading past an end is seen. */
    char *first = malloc(rules_size ? rules_size : 1), *second = malloc(length - rules_size ? length - rules_size : 1);
    if (!first || !second)
        abort();
    memcpy(first, data + 2, rules_size);
    memcpy(second, data + 2 + rules_size, length - rules_size);
    fuzz_begin();
    int parsed = job_rules_parse(first, rules_size, &rules, &error);
    if (parsed)
        check_refusal(parsed, &error);
    else
        check_rules(&rules);
    int read = machine_facts_read(second, length - rules_size, &facts, &error);
    if (read)
        check_refusal(read, &error);
    else
        check_facts(&facts);
    if (!parsed && !read)
        decide(&rules, &facts);
    fuzz_end(MEMORY_MAX);
    free(first);
    free(second);
}
