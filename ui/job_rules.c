/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ui/command.h"
#include "ui/job_rules_internal.h"

int job_rule_command(const struct job_rule *rule, const char *image, const char *disk, char *line, size_t size,
                     struct error *error)
{
    const char *space = *rule->options ? " " : "";
    char end[BLOCK_NAME_MAX + 16] = "";
    int length;

    if (*image == '-') /* the grammar takes it for an option */
        return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "the name of an image begins with -");
    if (*disk && rule->partition)
        snprintf(end, sizeof(end), "%s#%u", disk, rule->partition);
    else
        snprintf(end, sizeof(end), "%s", disk);
    if (rule->action == ACTION_CAPTURE)
        length = snprintf(line, size, "capture %s \"%s\" --yes%s%s", end, image, space, rule->options);
    else
        length = snprintf(line, size, "%s \"%s\" %s%s--yes%s%s", job_action_name(rule->action), image, end,
                          *end ? " " : "", space, rule->options);
    if (length < 0 || (size_t)length >= size)
        return error_set(error, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK,
                         "the command of rule \"%.60s\" is too long", rule->name);
    return 0;
}

/* The options are tried in a command like the one to come. */
static int check_options(const struct parser *parser, struct error *error)
{
    static const char *const ours[] = {"--yes", "--dry-run", "--json"};
    const struct job_rule *rule = parser->rule;
    char line[COMMAND_LINE_MAX];
    struct command command;
    struct error problem = {0};

    for (size_t i = 0; i < 3; i++)
        if (strstr(rule->options, ours[i]))
            return ini_error(error, parser->seen[KEY_OPTIONS], "%s is not for job files", ours[i]);
    int status = job_rule_command(rule, "image", *rule->disk_text ? "disk" : "", line, sizeof(line), &problem);
    if (!status)
        status = command_parse_line(&command, line, &problem);
    if (!status && command.argument_count != (*rule->disk_text ? 2 : 1))
        status = error_set(&problem, ERROR_USAGE, OPERATION_PARSE, "", ERROR_NO_BLOCK, "options begin with --");
    if (status)
        return ini_error(error, parser->seen[KEY_OPTIONS] ? parser->seen[KEY_OPTIONS] : rule->line, "%.120s",
                         problem.detail);
    parser->rule->continues = rule->action == ACTION_CAPTURE && command.options.resume;
    return 0;
}

/* Keys that an action needs, and those that would have no meaning with it. */
static int check_keys(const struct parser *parser, struct error *error)
{
    static const struct {
        unsigned needed, allowed; /* bits of enum rule_key */
    } table[] = {
        [ACTION_NOTHING] = {0, 1u << KEY_THEN},
        [ACTION_RESTORE] = {1u << KEY_IMAGE | 1u << KEY_DISK | 1u << KEY_ERASE, ~0u},
        [ACTION_CAPTURE] = {1u << KEY_IMAGE | 1u << KEY_DISK, ~(1u << KEY_ERASE)},
        [ACTION_VERIFY] = {1u << KEY_IMAGE, ~(1u << KEY_ERASE)},
    };
    const struct job_rule *rule = parser->rule;
    const char *action = job_action_name(rule->action);

    if (!parser->seen[KEY_DO])
        return ini_error(error, rule->line, "rule \"%.60s\" does not say what to do: do = ...", rule->name);
    for (unsigned key = KEY_IMAGE; key < KEY_COUNT; key++) {
        if (!parser->seen[key] && table[rule->action].needed & 1u << key)
            return ini_error(error, rule->line, "rule \"%.60s\": do = %s needs %s = ...", rule->name, action,
                             job_rule_keys[key].name);
        if (parser->seen[key] && !((table[rule->action].allowed | 1u << KEY_DO) & 1u << key))
            return ini_error(error, parser->seen[key], "%s has no meaning with do = %s", job_rule_keys[key].name,
                             action);
    }
    if (rule->action == ACTION_RESTORE && !rule->erase)
        return ini_error(error, parser->seen[KEY_ERASE],
                         "a restore destroys what the disk holds, and needs erase = yes");
    if (rule->again && rule->then == THEN_REBOOT)
        return ini_error(
            error, parser->seen[KEY_AGAIN],
            "again = yes with then = reboot runs the rule for ever where the stick is booted first; then = poweroff, "
            "wait or return do not");
    if (rule->partition && !*rule->disk_text)
        return ini_error(error, parser->seen[KEY_PARTITION], "partition goes with disk = ...");
    return 0;
}

static int end_rule(struct parser *parser, struct error *error)
{
    if (!parser->rule)
        return 0;
    int status = check_keys(parser, error);
    return status || parser->rule->action == ACTION_NOTHING ? status : check_options(parser, error);
}

static int begin_section(struct parser *parser, const struct ini_item *item, struct error *error)
{
    struct job_rules *rules = parser->rules;
    int status = end_rule(parser, error);

    if (status)
        return status;
    parser->rule = NULL;
    memset(parser->seen, 0, sizeof(parser->seen));
    if (strcmp(item->section, "job") == 0 && !*item->name) {
        if (parser->job_line)
            return ini_error(error, item->line, "[job] is in line %u already", parser->job_line);
        parser->job_line = item->line;
        return 0;
    }
    if (strcmp(item->section, "rule") != 0 || !*item->name)
        return ini_error(error, item->line, "sections are [job] and [rule \"name\"], not [%.40s]", item->section);
    for (unsigned i = 0; i < rules->rule_count; i++)
        if (strcasecmp(rules->rules[i].name, item->name) == 0)
            return ini_error(error, item->line, "rule \"%.60s\" is in line %u already", item->name,
                             rules->rules[i].line);
    if (rules->rule_count == JOB_RULES_MAX)
        return ini_error(error, item->line, "there are more than %d rules", JOB_RULES_MAX);
    parser->rule = &rules->rules[rules->rule_count++];
    *parser->rule = (struct job_rule){.name = job_keep(parser, item->name),
                                      .line = item->line,
                                      .image = "",
                                      .disk_text = "",
                                      .disk_pattern = "",
                                      .options = ""};
    return 0;
}

static int take_item(void *context, const struct ini_item *item, struct error *error)
{
    struct parser *parser = context;
    const struct key *keys = parser->rule ? job_rule_keys : job_keys;
    size_t count = parser->rule ? KEY_COUNT : JOB_KEYS;

    if (!item->key)
        return begin_section(parser, item, error);
    if (parser->rule && strncmp(item->key, "when ", 5) == 0)
        return job_take_condition(parser, item, error);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, item->key) != 0)
            continue;
        if (parser->seen[i])
            return ini_error(error, item->line, "%s is said in line %u already", item->key, parser->seen[i]);
        parser->seen[i] = item->line;
        return keys[i].take(parser, item, error);
    }
    return ini_error(error, item->line, "'%.40s' is not known in [%s]", item->key, item->section);
}

int job_rules_parse(const char *text, size_t size, struct job_rules *rules, struct error *error)
{
    struct parser parser = {.rules = rules};

    memset(rules, 0, sizeof(*rules));
    rules->title = "";
    rules->report = JOB_REPORT_FOLDER;
    rules->countdown = 15;
    int status = ini_read(text, size, take_item, &parser, error);
    if (!status)
        status = end_rule(&parser, error);
    if (!status && !parser.job_line)
        status = ini_error(error, 1u, "a job file has a section [job]");
    if (!status && !rules->rule_count)
        status = ini_error(error, parser.job_line, "there is no [rule \"name\"]");
    return status;
}
