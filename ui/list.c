/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/message.h"
#include "ui/survey.h"

static void print_volume(struct session *session, const struct block_device *disk, const struct partition_table *table,
                         const struct partition *partition, const struct filesystem_info *info)
{
    uint64_t blocks = partition ? partition->block_count : disk->geometry.block_count;
    char size[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX], number[16] = "";

    if (partition)
        snprintf(number, sizeof(number), "#%u", partition->number);
    const char *type = partition ? partition_type_name(table, partition) : "";
    const char *label = info->label[0] ? info->label : partition ? partition->name : "";
    output_print(session->out, "    %-5s %9s  %-10s %9s  %-22s %s\n", number,
                 size_text(blocks * disk->geometry.logical_block, size), info->type[0] ? info->type : "-",
                 info->used_bytes == UINT64_MAX ? "-" : size_text(info->used_bytes, used), type, label);
}

static void json_volume(struct json *json, const struct block_device *disk, const struct partition_table *table,
                        const struct partition *partition, const struct filesystem_info *info)
{
    uint32_t block = disk->geometry.logical_block;

    json_begin_object(json, NULL);
    if (partition) {
        json_number(json, "number", partition->number);
        json_number(json, "offset", partition->first_block * block);
        json_number(json, "bytes", partition->block_count * block);
        json_text(json, "type", partition_type_name(table, partition));
        json_text(json, "name", partition->name);
        if (table->kind == TABLE_GPT) {
            char guid[37];
            guid_format(partition->unique_guid, guid);
            json_text(json, "partuuid", guid);
        }
    } else {
        json_number(json, "offset", 0);
        json_number(json, "bytes", block_device_bytes(disk));
    }
    json_text(json, "filesystem", info->type);
    json_text(json, "label", info->label);
    json_text(json, "uuid", info->uuid);
    if (info->used_bytes != UINT64_MAX)
        json_number(json, "used_bytes", info->used_bytes);
    json_end_object(json);
}

/* half_restored: the image's UUID; NULL: it is not. */
static void print_disk(struct session *session, struct block_device *disk, const struct partition_table *table,
                       const char *half_restored)
{
    char size[SIZE_TEXT_MAX];

    output_print(session->out, "%s\n    %s%s%s%s%s, sectors of %" PRIu32 " bytes, table %s, driver %s%s\n", disk->name,
                 disk->model, disk->model[0] ? ", " : "", disk->serial[0] ? "serial " : "", disk->serial,
                 disk->serial[0] ? "" : "no serial", disk->geometry.logical_block, survey_table_name(table->kind),
                 disk->driver, disk->read_only ? ", read-only" : "");
    output_print(session->out, "    %s (%" PRIu64 " bytes)\n", size_text(block_device_bytes(disk), size),
                 block_device_bytes(disk));
    if (half_restored)
        output_print(session->out, "    HALF RESTORED from image %s: restore it again\n", half_restored);
}

static void json_disk(struct json *json, struct block_device *disk, const struct partition_table *table,
                      const char *half_restored)
{
    json_text(json, "name", disk->name);
    json_text(json, "bus", survey_bus_name(disk->bus));
    json_text(json, "driver", disk->driver);
    json_text(json, "model", disk->model);
    json_text(json, "serial", disk->serial);
    json_text(json, "firmware", disk->firmware);
    json_number(json, "bytes", block_device_bytes(disk));
    json_number(json, "logical_block", disk->geometry.logical_block);
    json_number(json, "physical_block", disk->geometry.physical_block);
    json_bool(json, "read_only", disk->read_only);
    json_text(json, "table", survey_table_name(table->kind));
    json_bool(json, "half_restored", half_restored != NULL);
}

static void list_disk(struct session *session, struct json *json, struct block_device *disk)
{
    struct survey survey;

    if (survey_disk(disk, &survey) != 0) {
        session_error(session, false, &(struct error){.code = ERROR_NO_MEMORY, .block = ERROR_NO_BLOCK});
        return;
    }
    const char *half_restored = survey.half_restored ? survey.image_uuid : NULL;
    if (json) {
        json_begin_object(json, NULL);
        json_disk(json, disk, &survey.table, half_restored);
        json_begin_array(json, "partitions");
    } else {
        print_disk(session, disk, &survey.table, half_restored);
    }
    if (survey.status)
        session_error(session, false, &survey.error);
    for (unsigned i = 0; i < survey.count; i++) {
        const struct partition *partition = survey_partition(&survey, i);
        if (json)
            json_volume(json, disk, &survey.table, partition, &survey.volumes[i].info);
        else
            print_volume(session, disk, &survey.table, partition, &survey.volumes[i].info);
    }
    for (unsigned i = 0; !json && i < survey.table.messages.count; i++)
        message_print(session, false, &survey.table.messages.items[i]);
    survey_free(&survey);
    if (json) {
        json_end_array(json);
        json_end_object(json);
    }
}

enum exit_code session_list(struct session *session, struct command *command)
{
    struct json writer = {session->out, false}, *json = command->json ? &writer : NULL;
    struct error error = {0};
    enum exit_code code = EXIT_CODE_DONE;

    if (command->argument_count == 0 && session->ops->find_disks(session, &error) != 0) {
        session_error(session, command->json, &error);
        return exit_code_of(&error);
    }
    if (json) {
        json_begin_object(json, NULL);
        json_text(json, "version", session->version);
        json_begin_array(json, "disks");
    }
    if (command->argument_count == 0) {
        struct block_device *disk, *next;
        for (disk = session->registry->first; disk; disk = next) {
            /* One that is unplugged meanwhile leaves the registry, and the list ends there. */
            block_device_hold(disk);
            list_disk(session, json, disk);
            next = disk->registry_next;
            block_device_let_go(disk);
        }
        if (!json && !session->registry->first)
            output_print(session->out, "No disks were found.\n");
    }
    for (unsigned i = 0; i < command->argument_count; i++) {
        struct job_end end = {0};
        if (session->ops->open_disk(session, command->arguments[i], false, &end, &error) != 0) {
            session_error(session, false, &error);
            code = exit_code_of(&error);
            continue;
        }
        list_disk(session, json, end.disk);
        session->ops->close_disk(session, &end);
    }
    if (json) {
        json_end_array(json);
        json_end_object(json);
        json_end_line(json);
    }
    return code;
}
