/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/job_match.h"

#include <stdio.h>
#include <string.h>

#include "ui/expand.h"

/* --- patterns --- */

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* The last star takes one character more whenever what follows does not fit: at most length times length steps. */
static bool matches(const char *pattern, const char *end, const char *text)
{
    const char *star = NULL, *from = NULL;

    while (*text) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (pattern < end && (*pattern == '?' || small(*pattern) == small(*text))) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

bool job_pattern_matches(const char *pattern, const char *text)
{
    return matches(pattern, pattern + strlen(pattern), text);
}

bool job_pattern_list_matches(const char *list, const char *text)
{
    /* "Micro-Star International Co., Ltd." has a comma of its own. */
    if (*list && job_pattern_matches(list, text))
        return true;
    while (*list) {
        list += strspn(list, " \t,");
        const char *end = list + strcspn(list, ","), *next = end;
        while (end > list && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        if (end > list && matches(list, end, text))
            return true;
        list = next;
    }
    return false;
}

/* --- conditions --- */

static bool range_holds(const struct job_condition *condition, uint64_t bytes)
{
    return bytes >= condition->least && bytes <= condition->most;
}

/* One of the machine's several values, for facts that there may be several of. *count: how many there are. */
static bool any_matches(const struct job_condition *condition, const struct machine_facts *facts, unsigned *count)
{
    bool found = false;

    *count = 0;
    if (condition->fact == FACT_MAC) {
        *count = facts->mac_count;
        for (unsigned i = 0; i < facts->mac_count; i++)
            found = found || job_pattern_list_matches(condition->text, facts->macs[i]);
        return found;
    }
    for (unsigned i = 0; i < facts->disk_count; i++) {
        const struct fact_disk *disk = &facts->disks[i];
        if (!fact_disk_is_internal(disk) || (condition->fact == FACT_DISK_MODEL && !*disk->model))
            continue;
        ++*count;
        found = found || (condition->fact == FACT_DISK_SIZE ? range_holds(condition, disk->bytes)
                                                            : job_pattern_list_matches(condition->text, disk->model));
    }
    return found;
}

static enum job_match judge(const struct job_condition *condition, const struct machine_facts *facts, char *reason)
{
    const char *name = job_fact_name(condition->fact), *value;
    char size[SIZE_TEXT_MAX];
    unsigned count = 1;
    bool holds;

    if (condition->fact == FACT_MAC || condition->fact == FACT_DISK_MODEL || condition->fact == FACT_DISK_SIZE) {
        holds = any_matches(condition, facts, &count);
        value = condition->fact == FACT_MAC ? count == 1 ? facts->macs[0] : "each address" : "each internal disk";
    } else if (condition->fact == FACT_MEMORY) {
        holds = facts->memory && range_holds(condition, facts->memory);
        count = facts->memory ? 1 : 0;
        value = size_text(facts->memory, size);
    } else {
        value = machine_facts_text(facts, name);
        holds = *value && job_pattern_list_matches(condition->text, value);
        count = *value ? 1 : 0;
    }
    if (!count)
        snprintf(reason, JOB_REASON_MAX, "the %s of this machine is not known, so nothing matches it", name);
    else if (!holds)
        snprintf(reason, JOB_REASON_MAX, "%s: %.60s does not match %.80s", name, value, condition->text);
    return holds ? JOB_MATCHES : count ? JOB_DIFFERS : JOB_UNKNOWN;
}

enum job_match job_rule_matches(const struct job_rule *rule, const struct machine_facts *facts,
                                char reason[JOB_REASON_MAX])
{
    enum job_match result = JOB_MATCHES;

    for (unsigned i = 0; i < rule->condition_count; i++) {
        char text[JOB_REASON_MAX] = "";
        enum job_match match = judge(&rule->conditions[i], facts, text);
        if (match == JOB_MATCHES || (match == JOB_UNKNOWN && result == JOB_UNKNOWN))
            continue;
        memcpy(reason, text, JOB_REASON_MAX);
        result = match;
        if (match == JOB_DIFFERS)
            return result;
    }
    if (result == JOB_MATCHES)
        snprintf(reason, JOB_REASON_MAX,
                 rule->condition_count ? "all that it asks for holds" : "it has no conditions: every machine");
    return result;
}

/* --- the disk --- */

static bool disk_fits(const struct job_rule *rule, const struct fact_disk *disk, const char *image_disk)
{
    static const char *const buses[] = {[KIND_NVME] = "nvme", [KIND_SATA] = "sata", [KIND_USB] = "usb"};

    if (disk->is_boot_stick)
        return false;
    if (rule->choice == CHOOSE_SERIAL)
        return job_pattern_matches(rule->disk_pattern, disk->serial) && *disk->serial;
    if (*image_disk && strcmp(disk->name, image_disk) == 0)
        return false;
    if (rule->choice == CHOOSE_MODEL)
        return job_pattern_matches(rule->disk_pattern, disk->model) && *disk->model;
    if (rule->kind != KIND_USB && !fact_disk_is_internal(disk))
        return false;
    return rule->kind == KIND_INTERNAL || strcmp(disk->bus, buses[rule->kind]) == 0;
}

static bool is_better(const struct job_rule *rule, const struct fact_disk *disk, const struct fact_disk *best)
{
    return !best || (rule->choice == CHOOSE_BIGGEST && disk->bytes > best->bytes) ||
           (rule->choice == CHOOSE_SMALLEST && disk->bytes < best->bytes);
}

int job_choose_disk(const struct job_rule *rule, const struct machine_facts *facts, const char *image_disk,
                    const struct fact_disk **disk, struct error *error)
{
    bool by_size = rule->choice == CHOOSE_BIGGEST || rule->choice == CHOOSE_SMALLEST;
    char names[ERROR_DETAIL_MAX] = "";
    unsigned equals = 0;

    *disk = NULL;
    /* One that is left out might be the second that fits, or the biggest. */
    if (facts->unknown_disks && rule->choice != CHOOSE_SERIAL && rule->choice != CHOOSE_MODEL)
        return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, "", ERROR_NO_BLOCK,
                         "%u disks of this machine cannot be opened, so which is \"%.40s\" is not known",
                         facts->unknown_disks, rule->disk_text);
    for (unsigned i = 0; i < facts->disk_count; i++)
        if (disk_fits(rule, &facts->disks[i], image_disk) && is_better(rule, &facts->disks[i], *disk))
            *disk = &facts->disks[i];
    for (unsigned i = 0; *disk && i < facts->disk_count; i++) {
        const struct fact_disk *other = &facts->disks[i];
        size_t used = strlen(names);
        if (!disk_fits(rule, other, image_disk) || (by_size && other->bytes != (*disk)->bytes))
            continue;
        snprintf(names + used, sizeof(names) - used, "%s%.60s", equals ? ", " : "", other->name);
        equals++;
    }
    if (!*disk)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, "", ERROR_NO_BLOCK,
                         "no disk of this machine is \"%.80s\"", rule->disk_text);
    if (equals > 1) {
        *disk = NULL;
        return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, "", ERROR_NO_BLOCK, "\"%.40s\" fits %u disks: %.90s",
                         rule->disk_text, equals, names);
    }
    return 0;
}

/* --- the image --- */

struct name_values {
    const struct machine_facts *facts;
    const struct job_clock *clock;
};

static bool name_value(void *context, const char *name, char *to, size_t size)
{
    const struct name_values *values = context;
    const char *value = strcmp(name, "date") == 0    ? values->clock->date
                        : strcmp(name, "time") == 0  ? values->clock->time
                        : strcmp(name, "mac") == 0   ? values->facts->macs[0]
                        : strcmp(name, "asset") == 0 ? values->facts->asset_tag
                                                     : machine_facts_text(values->facts, name);

    if (!value)
        return false;
    snprintf(to, size, "%s", value);
    for (char *at = to; *at; at++)
        if (*at == ':') /* of a MAC address */
            *at = '-';
    return true;
}

int job_image_name(const char *text, const struct machine_facts *facts, const struct job_clock *clock, char *name,
                   size_t size, struct error *error)
{
    struct name_values values = {.facts = facts, .clock = clock};

    return expand_names(text, strlen(text), name_value, &values, name, size, error);
}

/* --- the decision --- */

int job_decide_rule(const struct job_rules *rules, const struct machine_facts *facts, const struct job_clock *clock,
                    struct job_decision *decision, struct error *error)
{
    const struct job_rule *spared = NULL; /* it may be this machine that is to be left alone */

    memset(decision, 0, sizeof(*decision));
    for (unsigned i = 0; i < rules->rule_count && !decision->rule; i++) {
        const struct job_rule *rule = &rules->rules[i];
        decision->reason_count++;
        enum job_match match = job_rule_matches(rule, facts, decision->reasons[i]);
        if (match == JOB_MATCHES)
            decision->rule = rule;
        else if (match == JOB_UNKNOWN && rule->action == ACTION_NOTHING && !spared)
            spared = rule;
    }
    if (!decision->rule)
        return 0;
    if (spared && decision->rule->action == ACTION_RESTORE)
        return error_set(
            error, ERROR_REFUSED, OPERATION_NONE, "", ERROR_NO_BLOCK,
            "rule \"%.60s\" may be meant to leave this machine alone: what it asks for is not known here, and rule "
            "\"%.60s\" would erase",
            spared->name, decision->rule->name);
    return job_image_name(decision->rule->image, facts, clock, decision->image, sizeof(decision->image), error);
}

int job_decide_disk(const struct machine_facts *facts, const char *image_disk, struct job_decision *decision,
                    struct error *error)
{
    const struct job_rule *rule = decision->rule;
    int status = 0;

    if (!rule || rule->action == ACTION_NOTHING)
        return 0;
    if (*rule->disk_text)
        status = job_choose_disk(rule, facts, image_disk, &decision->disk, error);
    if (!status)
        status = job_rule_command(rule, decision->image, decision->disk ? decision->disk->name : "", decision->command,
                                  sizeof(decision->command), error);
    return status;
}
