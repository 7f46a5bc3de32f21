/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ui/command.h"
#include "ui/job_rules_internal.h"
#include "ui/machine_facts.h"

static const char *const fact_names[FACT_COUNT] = {"serial", "model", "vendor",     "board",  "asset tag",
                                                   "uuid",   "mac",   "disk model", "memory", "disk size"};
static const char *const action_names[] = {"nothing", "restore", "capture", "verify"};
static const char *const then_names[] = {"wait", "return", "reboot", "poweroff"};

const char *job_fact_name(enum job_fact fact)
{
    return fact_names[fact];
}

const char *job_action_name(enum job_action action)
{
    return action_names[action];
}

const char *job_then_name(enum job_then then)
{
    return then_names[then];
}

/* The place of a word in a table; -1: not there. */
static int find_word(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

const char *job_keep(struct parser *parser, const char *text)
{
    struct job_rules *rules = parser->rules;
    size_t size = strlen(text) + 1;

    if (size > sizeof(rules->text) - rules->text_used)
        return "";
    char *kept = memcpy(rules->text + rules->text_used, text, size);
    rules->text_used += size;
    return kept;
}

static bool read_number(const char *text, uint64_t least, uint64_t most, unsigned *number)
{
    uint64_t value;

    if (!*text || text[strspn(text, "0123456789")] || !command_parse_size(text, &value) || value < least ||
        value > most)
        return false;
    *number = (unsigned)value;
    return true;
}

/* --- conditions --- */

#define UUID_LENGTH 36u
#define LEAST_SIZE (1u << 20) /* what is smaller has lost its letter: "200..600" for 200G..600G */

/* "100G..600G", "..600G", "100G.." */
static bool read_range(const char *text, struct job_condition *condition)
{
    char half[32];
    const char *dots = strstr(text, ".."), *high;

    if (!dots || (size_t)(dots - text) >= sizeof(half))
        return false;
    snprintf(half, sizeof(half), "%.*s", (int)strcspn(text, " ."), text);
    if (text + strlen(half) + strspn(text + strlen(half), " ") != dots)
        return false;
    high = dots + 2 + strspn(dots + 2, " ");
    condition->least = 0;
    condition->most = UINT64_MAX;
    return (*half || *high) && (!*half || command_parse_size(half, &condition->least)) &&
           (!*high || command_parse_size(high, &condition->most)) && condition->least <= condition->most &&
           (!condition->least || condition->least >= LEAST_SIZE) && condition->most >= LEAST_SIZE;
}

/*
 * A pattern for what has one notation only must be able to match: "52-54-00-12-34-56" and "{4C4C4544-...}", as other systems write them,
 * never would, and the rule would be passed over in silence.
 */
static bool has_notation(const char *text, const char *digits, size_t length)
{
    while (true) {
        text += strspn(text, " \t");
        size_t size = strcspn(text, ",");
        while (size && (text[size - 1] == ' ' || text[size - 1] == '\t'))
            size--;
        if (strspn(text, digits) < size || (!memchr(text, '*', size) && size != length))
            return false;
        text += strcspn(text, ",");
        if (!*text++)
            return true;
    }
}

/* No empty pattern: a comma too many would be one that fits nothing, or everything. */
static bool is_pattern_list(const char *text)
{
    while (true) {
        text += strspn(text, " \t");
        size_t length = strcspn(text, ",");
        if (!length)
            return false;
        text += length;
        if (!*text++)
            return true;
    }
}

int job_take_condition(struct parser *parser, const struct ini_item *item, struct error *error)
{
    struct job_rule *rule = parser->rule;
    int fact = find_word(item->key + strlen("when "), fact_names, FACT_COUNT);

    if (fact < 0)
        return ini_error(error, item->line,
                         "'%.40s': when goes with serial, model, vendor, board, asset tag, uuid, mac, disk model, "
                         "disk size, memory",
                         item->key);
    for (unsigned i = 0; i < rule->condition_count; i++)
        if (rule->conditions[i].fact == (enum job_fact)fact)
            return ini_error(error, item->line, "'%s' is said in line %u already; put several patterns in one line",
                             item->key, rule->conditions[i].line);
    struct job_condition *condition = &rule->conditions[rule->condition_count];
    *condition = (struct job_condition){.fact = (enum job_fact)fact, .line = item->line};
    if (fact >= FACT_MEMORY) {
        if (!read_range(item->value, condition))
            return ini_error(error, item->line, "'%s' is a range, such as 100G..600G, 100G.. or ..600G, of 1M at least",
                             item->key);
    } else if (!is_pattern_list(item->value)) {
        return ini_error(error, item->line, "a pattern is empty; several have one comma between them");
    } else if (fact == FACT_MAC && !has_notation(item->value, "0123456789abcdefABCDEF:*?", FACT_MAC_TEXT - 1)) {
        return ini_error(error, item->line, "'%s' is like 52:54:00:12:34:56, or 52:54:00:* for all that begin so",
                         item->key);
    } else if (fact == FACT_UUID && !has_notation(item->value, "0123456789abcdefABCDEF-*?", UUID_LENGTH)) {
        return ini_error(error, item->line, "'%s' is like 4c4c4544-0042-3510-8058-b4c04f4d4d32, without braces",
                         item->key);
    }
    condition->text = job_keep(parser, item->value);
    rule->condition_count++;
    return 0;
}

/* --- keys --- */

static int take_do(struct parser *parser, const struct ini_item *item, struct error *error)
{
    int action = find_word(item->value, action_names, 4);

    if (action < 0)
        return ini_error(error, item->line, "do is restore, capture, verify or nothing, not '%.40s'", item->value);
    parser->rule->action = (enum job_action)action;
    return 0;
}

static int take_image(struct parser *parser, const struct ini_item *item, struct error *error)
{
    static const char *const names[] = {"serial", "model", "vendor", "asset", "uuid", "mac", "date", "time"};

    if (item->value[0] == '-')
        return ini_error(error, item->line, "an image of a job file has a name, which does not begin with -");
    for (const char *open = item->value; (open = strchr(open, '{')); open++) {
        char name[16];
        size_t length = strcspn(open + 1, "}");
        snprintf(name, sizeof(name), "%.*s", (int)(length < 15 ? length : 15), open + 1);
        int known = find_word(name, names, sizeof(names) / sizeof(names[0]));
        if (!open[length + 1] || known < 0 || strcmp(name, names[known]) != 0)
            return ini_error(error, item->line,
                             "{%s: there are {serial} {model} {vendor} {asset} {uuid} {mac} {date} {time}", name);
    }
    parser->rule->image = job_keep(parser, item->value);
    return 0;
}

/* "only internal disk", "biggest nvme", "serial S3X*", "model Samsung*": the last word "disk" may be left out. */
static int take_disk(struct parser *parser, const struct ini_item *item, struct error *error)
{
    static const char *const choices[] = {"only", "biggest", "smallest", "serial", "model"};
    static const char *const kinds[] = {"internal", "nvme", "sata", "usb"};
    struct job_rule *rule = parser->rule;
    char first[16] = "", rest[16] = "";
    size_t length = strcspn(item->value, " \t");
    const char *behind = item->value + length + strspn(item->value + length, " \t");

    snprintf(first, sizeof(first), "%.*s", (int)length, item->value);
    int choice = find_word(first, choices, 5), kind = 0;
    if (choice >= CHOOSE_SERIAL) {
        if (!*behind || strchr(behind, ','))
            return ini_error(error, item->line, "disk = %s is followed by one pattern", first);
        rule->disk_pattern = job_keep(parser, behind);
    } else if (choice >= 0) {
        size_t word = strcspn(behind, " \t");
        snprintf(rest, sizeof(rest), "%.*s", (int)word, behind);
        kind = find_word(rest, kinds, 4);
        behind += word + strspn(behind + word, " \t");
        if (*behind && strcasecmp(behind, "disk") != 0)
            kind = -1;
    }
    if (choice < 0 || kind < 0)
        return ini_error(
            error, item->line,
            "disk is: only|biggest|smallest, then internal|nvme|sata|usb; or serial PATTERN; or model PATTERN");
    rule->choice = (enum disk_choice)choice;
    rule->kind = (enum disk_kind)kind;
    rule->disk_text = job_keep(parser, item->value);
    return 0;
}

static int take_partition(struct parser *parser, const struct ini_item *item, struct error *error)
{
    return read_number(item->value, 1, PARTITION_MAX, &parser->rule->partition)
               ? 0
               : ini_error(error, item->line, "partition is a number from 1 to %u", (unsigned)PARTITION_MAX);
}

static int take_options(struct parser *parser, const struct ini_item *item, struct error *error)
{
    (void)error; /* judged with the whole rule */
    parser->rule->options = job_keep(parser, item->value);
    return 0;
}

static int take_bool(const struct ini_item *item, bool *value, struct error *error)
{
    return ini_bool(item->value, value) ? 0 : ini_error(error, item->line, "%s is yes or no", item->key);
}

static int take_erase(struct parser *parser, const struct ini_item *item, struct error *error)
{
    return take_bool(item, &parser->rule->erase, error);
}

static int take_again(struct parser *parser, const struct ini_item *item, struct error *error)
{
    return take_bool(item, &parser->rule->again, error);
}

static int take_then(struct parser *parser, const struct ini_item *item, struct error *error)
{
    int then = find_word(item->value, then_names, 4);

    if (then < 0)
        return ini_error(error, item->line, "then is reboot, poweroff, return or wait, not '%.40s'", item->value);
    parser->rule->then = (enum job_then)then;
    return 0;
}

static int take_countdown(struct parser *parser, const struct ini_item *item, struct error *error)
{
    return read_number(item->value, 0, JOB_COUNTDOWN_MAX, &parser->rules->countdown)
               ? 0
               : ini_error(error, item->line, "countdown is seconds, 0 to %d", JOB_COUNTDOWN_MAX);
}

static int take_report(struct parser *parser, const struct ini_item *item, struct error *error)
{
    size_t length = strlen(item->value);

    if (length > 200 || strchr(item->value, '{'))
        return ini_error(error, item->line, "report is a folder, of at most 200 bytes and without {variables}");
    char folder[INI_LINE_MAX + 1];
    strcpy(folder, item->value);
    if (length > 1 && strchr("\\/", folder[length - 1]))
        folder[length - 1] = 0;
    parser->rules->report = job_keep(parser, folder);
    return 0;
}

static int take_title(struct parser *parser, const struct ini_item *item, struct error *error)
{
    (void)error;
    parser->rules->title = job_keep(parser, item->value);
    return 0;
}

const struct key job_rule_keys[KEY_COUNT] = {
    {"do", take_do},           {"image", take_image}, {"disk", take_disk},   {"partition", take_partition},
    {"options", take_options}, {"erase", take_erase}, {"again", take_again}, {"then", take_then}};
const struct key job_keys[JOB_KEYS] = {{"countdown", take_countdown}, {"report", take_report}, {"title", take_title}};
