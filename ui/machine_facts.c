/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/machine_facts.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ui/command.h"
#include "ui/ini.h"
#include "ui/session.h"

static const struct {
    const char *name;
    size_t offset, size;
} texts[] = {
#define TEXT(name, field)                                                                                              \
    {                                                                                                                  \
        name, offsetof(struct machine_facts, field), sizeof(((struct machine_facts *)0)->field)                        \
    }
    TEXT("vendor", vendor), TEXT("model", model), TEXT("serial", serial),     TEXT("asset tag", asset_tag),
    TEXT("board", board),   TEXT("uuid", uuid),   TEXT("firmware", firmware),
};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))

static char *text_of(struct machine_facts *facts, size_t i)
{
    return (char *)facts + texts[i].offset;
}

const char *machine_facts_text(const struct machine_facts *facts, const char *name)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (strcmp(texts[i].name, name) == 0)
            return (const char *)facts + texts[i].offset;
    return NULL;
}

/*
 * One character over and over: "0", "------", "xxxx", "11111111"; a UUID's dashes apart. What people write on labels is shorter: the
 * asset tags "7" and "22" are somebody's.
 */
static bool is_filler(const char *text)
{
    const char *first = text + strspn(text, "-");
    size_t length = 0;

    for (const char *at = first; *at; at++) {
        if (*at != *first && *at != '-')
            return false;
        length += *at != '-';
    }
    size_t least = !*first || strchr("0._* ?", *first) ? 0 : strchr("fFxX", *first) ? 4 : 8;
    return length >= least;
}

/* What makers leave where an identity should be: seen in the tables of many boards, whole batches of which say the same. */
static bool is_stock_text(const char *text)
{
    static const char *const stock[] = {"to be filled by o.e.m.",
                                        "to be filled by oem",
                                        "default string",
                                        "not specified",
                                        "not applicable",
                                        "not available",
                                        "none",
                                        "n/a",
                                        "unknown",
                                        "o.e.m.",
                                        "oem",
                                        "invalid",
                                        "empty",
                                        "system serial number",
                                        "system product name",
                                        "system manufacturer",
                                        "system version",
                                        "chassis serial number",
                                        "base board serial number",
                                        "base board product name",
                                        "serial number",
                                        "asset tag",
                                        "asset-1234567890",
                                        "no asset tag",
                                        "no asset information",
                                        "0123456789",
                                        "1234567890",
                                        "123456789",
                                        "12345678"};

    for (size_t i = 0; i < sizeof(stock) / sizeof(stock[0]); i++)
        if (strcasecmp(text, stock[i]) == 0)
            return true;
    return is_filler(text);
}

/* Drops what tells nothing, and brings the rest into one form. */
static void tidy(struct machine_facts *facts)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (is_stock_text(text_of(facts, i)))
            *text_of(facts, i) = 0;
    for (char *at = facts->uuid; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + 32);
}

bool fact_disk_is_internal(const struct fact_disk *disk)
{
    static const char *const buses[] = {"nvme", "sata", "virtio", "mmc", "firmware", "scsi"};

    if (disk->removable || disk->is_boot_stick)
        return false;
    for (size_t i = 0; i < sizeof(buses) / sizeof(buses[0]); i++)
        if (strcmp(disk->bus, buses[i]) == 0)
            return true;
    return false;
}

static void set_bus(struct fact_disk *disk)
{
    size_t length = strcspn(disk->name, ":");

    if (length >= sizeof(disk->bus))
        length = sizeof(disk->bus) - 1;
    memcpy(disk->bus, disk->name, length);
    disk->bus[length] = 0;
}

/* --- this machine --- */

static void add_disk(struct session *session, const struct block_device *device, struct machine_facts *facts)
{
    struct job_end end = {0};

    struct fact_disk *disk = &facts->disks[facts->disk_count++];
    memset(disk, 0, sizeof(*disk));
    snprintf(disk->name, sizeof(disk->name), "%s", device->name);
    snprintf(disk->model, sizeof(disk->model), "%s", device->model);
    snprintf(disk->serial, sizeof(disk->serial), "%s", device->serial);
    set_bus(disk);
    disk->bytes = block_device_bytes(device);
    disk->removable = device->removable;
    if (session->ops->open_disk(session, device->name, false, &end, NULL) == 0) {
        disk->is_boot_stick = end.is_boot_stick;
        session->ops->close_disk(session, &end);
    }
}

int machine_facts_gather(struct session *session, struct machine_facts *facts, struct error *error)
{
    struct block_device *next;

    memset(facts, 0, sizeof(*facts));
    int status = session->ops->find_disks(session, error);
    if (status)
        return status;
    if (session->ops->machine_facts)
        session->ops->machine_facts(session, facts);
    facts->unknown_disks = session->registry->unknown;
    for (struct block_device *device = session->registry->first; device; device = next) {
        /* One that is left out might be the second that fits. */
        if (facts->disk_count == FACT_DISKS_MAX)
            return error_set(error, ERROR_OUT_OF_RANGE, OPERATION_IDENTIFY, "", ERROR_NO_BLOCK,
                             "there are more than %d disks, too many to choose one of them by a rule", FACT_DISKS_MAX);
        block_device_hold(device);
        add_disk(session, device, facts);
        next = device->registry_next;
        block_device_let_go(device);
    }
    tidy(facts);
    return 0;
}

/* --- files --- */

struct facts_reader {
    struct machine_facts *facts;
    struct fact_disk *disk; /* the open one; NULL: in [machine] */
    bool machine;           /* [machine] was there */
};

static int begin_section(struct facts_reader *reader, const struct ini_item *item, struct error *error)
{
    struct machine_facts *facts = reader->facts;

    reader->disk = NULL;
    if (strcmp(item->section, "machine") == 0 && !*item->name && !reader->machine) {
        reader->machine = true;
        return 0;
    }
    if (strcmp(item->section, "disk") != 0 || !strchr(item->name, ':') || strpbrk(item->name, " \t\"#") ||
        strlen(item->name) >= BLOCK_NAME_MAX)
        return ini_error(error, item->line, "sections are one [machine] and [disk \"bus:serial\"], not [%.40s]",
                         item->section);
    if (facts->disk_count == FACT_DISKS_MAX)
        return ini_error(error, item->line, "there are more than %d disks", FACT_DISKS_MAX);
    reader->disk = &facts->disks[facts->disk_count++];
    memset(reader->disk, 0, sizeof(*reader->disk));
    strcpy(reader->disk->name, item->name);
    set_bus(reader->disk);
    return 0;
}

static int take_text(const struct ini_item *item, char *to, size_t size, struct error *error)
{
    if (strlen(item->value) >= size)
        return ini_error(error, item->line, "%.40s is longer than %u characters", item->key, (unsigned)size - 1);
    strcpy(to, item->value);
    return 0;
}

static int take_macs(const struct ini_item *item, struct machine_facts *facts, struct error *error)
{
    const char *at = item->value;

    for (facts->mac_count = 0; *at;) {
        unsigned bytes[6];
        int used = 0;
        at += strspn(at, " \t,");
        if (facts->mac_count == FACT_MACS_MAX ||
            sscanf(at, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5],
                   &used) != 6 ||
            used != FACT_MAC_TEXT - 1 || (at[used] && !strchr(" \t,", at[used])))
            return ini_error(error, item->line, "mac is up to %d addresses like 52:54:00:12:34:56, with commas between",
                             FACT_MACS_MAX);
        snprintf(facts->macs[facts->mac_count++], FACT_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1],
                 bytes[2], bytes[3], bytes[4], bytes[5]);
        at += used;
        at += strspn(at, " \t");
    }
    return 0;
}

static int take_size(const struct ini_item *item, uint64_t *bytes, struct error *error)
{
    return command_parse_size(item->value, bytes)
               ? 0
               : ini_error(error, item->line, "%.40s is a number of bytes, or of K, M, G, T", item->key);
}

static int take_disk_item(const struct ini_item *item, struct fact_disk *disk, struct error *error)
{
    bool *flag = strcmp(item->key, "removable") == 0    ? &disk->removable
                 : strcmp(item->key, "boot stick") == 0 ? &disk->is_boot_stick
                                                        : NULL;

    if (flag)
        return ini_bool(item->value, flag) ? 0 : ini_error(error, item->line, "%s is yes or no", item->key);
    if (strcmp(item->key, "model") == 0)
        return take_text(item, disk->model, sizeof(disk->model), error);
    if (strcmp(item->key, "serial") == 0)
        return take_text(item, disk->serial, sizeof(disk->serial), error);
    if (strcmp(item->key, "size") == 0)
        return take_size(item, &disk->bytes, error);
    return ini_error(error, item->line, "'%.40s' is not known in [disk]", item->key);
}

static int take_item(void *context, const struct ini_item *item, struct error *error)
{
    struct facts_reader *reader = context;

    if (!item->key)
        return begin_section(reader, item, error);
    if (reader->disk)
        return take_disk_item(item, reader->disk, error);
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (strcmp(texts[i].name, item->key) == 0)
            return take_text(item, text_of(reader->facts, i), texts[i].size, error);
    if (strcmp(item->key, "mac") == 0)
        return take_macs(item, reader->facts, error);
    if (strcmp(item->key, "memory") == 0)
        return take_size(item, &reader->facts->memory, error);
    return ini_error(error, item->line, "'%.40s' is not known in [machine]", item->key);
}

int machine_facts_read(const char *text, size_t size, struct machine_facts *facts, struct error *error)
{
    struct facts_reader reader = {.facts = facts};

    memset(facts, 0, sizeof(*facts));
    int status = ini_read(text, size, take_item, &reader, error);
    if (!status && !reader.machine)
        status = ini_error(error, 1u, "a machine's facts have a section [machine]");
    tidy(facts);
    return status;
}

/* What an INI value cannot hold (quotation marks, what looks like a comment) becomes '?', which patterns take for any character. */
static void print_text(struct output *output, const char *key, const char *value)
{
    char text[FACT_TEXT_MAX + BLOCK_TEXT_MAX];

    if (!*value) {
        output_print(output, "; %s is not known\n", key);
        return;
    }
    snprintf(text, sizeof(text), "%s", value);
    for (char *at = text; *at; at++)
        if (*at == '"' || *at == ';' || *at == '#')
            *at = '?';
    output_print(output, "%s = %s\n", key, text);
}

void machine_facts_print(struct output *output, const struct machine_facts *facts)
{
    char size[SIZE_TEXT_MAX];

    output_print(output, "[machine]\n");
    for (size_t i = 0; i < TEXT_COUNT; i++)
        print_text(output, texts[i].name, (const char *)facts + texts[i].offset);
    for (unsigned i = 0; i < facts->mac_count; i++)
        output_print(output, "%s%s%s", i ? ", " : "mac = ", facts->macs[i], i + 1 == facts->mac_count ? "\n" : "");
    if (!facts->mac_count)
        output_print(output, "; mac is not known\n");
    if (facts->memory)
        output_print(output, "memory = %" PRIu64 " ; %s\n", facts->memory, size_text(facts->memory, size));
    for (unsigned i = 0; i < facts->disk_count; i++) {
        const struct fact_disk *disk = &facts->disks[i];
        output_print(output, "[disk \"%s\"]\n", disk->name);
        print_text(output, "model", disk->model);
        print_text(output, "serial", disk->serial);
        output_print(output, "size = %" PRIu64 " ; %s\n", disk->bytes, size_text(disk->bytes, size));
        if (disk->removable)
            output_print(output, "removable = yes\n");
        if (disk->is_boot_stick)
            output_print(output, "boot stick = yes\n");
    }
}

void machine_facts_json(struct json *json, const struct machine_facts *facts)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        json_text(json, strcmp(texts[i].name, "asset tag") == 0 ? "asset_tag" : texts[i].name,
                  (const char *)facts + texts[i].offset);
    json_begin_array(json, "macs");
    for (unsigned i = 0; i < facts->mac_count; i++)
        json_text(json, NULL, facts->macs[i]);
    json_end_array(json);
    json_number(json, "memory_bytes", facts->memory);
    json_begin_array(json, "disks");
    for (unsigned i = 0; i < facts->disk_count; i++) {
        const struct fact_disk *disk = &facts->disks[i];
        json_begin_object(json, NULL);
        json_text(json, "name", disk->name);
        json_text(json, "bus", disk->bus);
        json_text(json, "model", disk->model);
        json_text(json, "serial", disk->serial);
        json_number(json, "bytes", disk->bytes);
        json_bool(json, "removable", disk->removable);
        json_bool(json, "boot_stick", disk->is_boot_stick);
        json_end_object(json);
    }
    json_end_array(json);
}
