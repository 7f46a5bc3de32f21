/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void date_text(int64_t seconds, char text[32])
{
    struct calendar date;

    if (seconds < 0) {
        snprintf(text, 32, "unknown");
        return;
    }
    calendar_of(seconds, &date);
    snprintf(text, 32, "%04d-%02d-%02d %02d:%02d:%02d UTC", date.year, date.month, date.day, date.hour, date.minute,
             date.second);
}

static void level_text(const struct image_description *description, char text[16])
{
    if (description->level)
        snprintf(text, 16, "%d", description->level);
    else
        snprintf(text, 16, "auto");
}

static void print_info(struct session *session, const struct image_description *description,
                       const struct image_totals *totals)
{
    char size[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX], date[32], uuid[37], level[16];

    level_text(description, level);
    date_text(description->created, date);
    guid_format(description->uuid, uuid);
    output_print(session->out, "Image %s of a %s, made %s by %s\n", uuid,
                 description->is_partition ? "partition" : "disk", date, description->program);
    output_print(session->out, "Source: %s%s%s, serial %s, bus %s\n", description->model,
                 description->model[0] ? "" : "no model", "", description->serial[0] ? description->serial : "-",
                 description->bus[0] ? description->bus : "-");
    output_print(session->out,
                 "Size: %s (%" PRIu64 " bytes), sectors of %" PRIu32 " bytes, used %s, chunks of %" PRIu32
                 " bytes, level %s\n",
                 size_text(description->disk_bytes, size), description->disk_bytes, description->logical_block,
                 size_text(description->planned_used_bytes, used), description->chunk_size, level);
    for (unsigned i = 0; i < description->region_count; i++) {
        const struct image_region *region = &description->regions[i];
        if (!region->partition && !description->is_partition)
            continue;
        output_print(session->out, "    #%-4u %9s  %-10s %9s  %s%s\n", region->partition,
                     size_text(region->bytes, size), region->fs_type[0] ? region->fs_type : "-",
                     size_text(region->used_bytes, used), region->fs_label,
                     region->copied_whole ? " (copied whole)" : "");
    }
    if (!totals)
        return;
    output_print(session->out,
                 "Stored: %s in %u file%s, %" PRIu64 " chunks, %" PRIu64 " segments\nData %" PRIu64 ", zero %" PRIu64
                 ", unused %" PRIu64 ", unreadable %" PRIu64 " bytes\n",
                 size_text(totals->stored_bytes, size), totals->volumes, totals->volumes == 1 ? "" : "s",
                 totals->chunks, totals->segments, totals->data_bytes, totals->zero_bytes, totals->unused_bytes,
                 totals->unreadable_bytes);
    output_print(session->out, "Root hash (BLAKE3): ");
    for (unsigned i = 0; i < IMAGE_HASH_SIZE; i++)
        output_print(session->out, "%02x", totals->root[i]);
    output_print(session->out, "\nWithout Eidolon: zstd -dc IMAGE > /dev/DISK writes exactly %" PRIu64 " bytes.\n",
                 description->disk_bytes);
}

static void json_totals(struct json *json, const struct image_totals *totals)
{
    json_number(json, "stored_bytes", totals->stored_bytes);
    json_number(json, "data_bytes", totals->data_bytes);
    json_number(json, "zero_bytes", totals->zero_bytes);
    json_number(json, "unused_bytes", totals->unused_bytes);
    json_number(json, "unreadable_bytes", totals->unreadable_bytes);
    json_number(json, "chunks", totals->chunks);
    json_number(json, "segments", totals->segments);
    json_number(json, "volumes", totals->volumes);
    json_bytes(json, "root", totals->root, IMAGE_HASH_SIZE);
}

static void json_info(struct session *session, const struct image_description *description,
                      const struct image_totals *totals)
{
    struct json json = {session->out, false};
    char uuid[37], level[16];

    level_text(description, level);
    guid_format(description->uuid, uuid);
    json_begin_object(&json, NULL);
    json_text(&json, "uuid", uuid);
    json_text(&json, "program", description->program);
    if (description->created >= 0)
        json_number(&json, "created", (uint64_t)description->created);
    json_text(&json, "kind", description->is_partition ? "partition" : "disk");
    json_text(&json, "model", description->model);
    json_text(&json, "serial", description->serial);
    json_number(&json, "disk_bytes", description->disk_bytes);
    json_number(&json, "logical_block", description->logical_block);
    json_number(&json, "chunk_size", description->chunk_size);
    json_text(&json, "level", level);
    json_number(&json, "planned_used_bytes", description->planned_used_bytes);
    json_begin_array(&json, "regions");
    for (unsigned i = 0; i < description->region_count; i++) {
        const struct image_region *region = &description->regions[i];
        json_begin_object(&json, NULL);
        json_number(&json, "partition", region->partition);
        json_number(&json, "offset", region->offset);
        json_number(&json, "bytes", region->bytes);
        json_number(&json, "used_bytes", region->used_bytes);
        json_text(&json, "filesystem", region->fs_type);
        json_text(&json, "label", region->fs_label);
        json_text(&json, "uuid", region->fs_uuid);
        json_bool(&json, "copied_whole", region->copied_whole);
        json_end_object(&json);
    }
    json_end_array(&json);
    if (totals)
        json_totals(&json, totals);
    json_end_object(&json);
    json_end_line(&json);
}

enum exit_code session_info(struct session *session, struct command *command)
{
    struct job_end image = {0};
    struct image_reader *reader = NULL;
    struct image_totals totals;
    struct error error = {0};

    int status = session->ops->open_store(session, command->arguments[0], false, &image, &error);
    if (!status)
        status = image_reader_open(session->loop, image.store,
                                   command->options.salvage ? IMAGE_READ_SALVAGE
                                   : image.is_pipe          ? IMAGE_READ_STREAM
                                                            : IMAGE_READ_VERIFIED,
                                   &reader, &error);
    if (!status) {
        const struct image_description *description = image_reader_description(reader);
        const struct image_totals *known = image_reader_totals(reader, &totals) ? &totals : NULL;
        if (command->json)
            json_info(session, description, known);
        else
            print_info(session, description, known);
        image_reader_close(reader);
    } else {
        if (!error.side)
            error.side = error.code == ERROR_NOT_FOUND ? SIDE_NONE : SIDE_IMAGE;
        session_error(session, command->json, &error);
    }
    if (image.store)
        image.store->close(image.store);
    return status ? exit_code_of(&error) : EXIT_CODE_DONE;
}
