/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/session.h"

#include <inttypes.h>
#include <string.h>

static void print_disk(struct session *session, const char *what, const struct job_end *end)
{
    char size[SIZE_TEXT_MAX];

    if (end->disk) {
        output_print(session->status, "  %s %s", what, end->disk->name);
        if (end->partition)
            output_print(session->status, " partition %u of it", end->partition);
        output_print(session->status, " (%s%sserial %s, %s)\n", end->disk->model, end->disk->model[0] ? ", " : "",
                     end->disk->serial[0] ? end->disk->serial : "-", size_text(block_device_bytes(end->disk), size));
    } else if (end->store) {
        output_print(session->status, "  %s image %s", what, end->store->name);
        if (end->partition)
            output_print(session->status, ", partition %u of it", end->partition);
        output_print(session->status, "\n");
    }
}

static void print_regions(struct session *session, const struct plan *plan)
{
    char size[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX];

    for (unsigned i = 0; i < plan->description.region_count; i++) {
        const struct image_region *region = &plan->description.regions[i];
        if (!region->partition && plan->description.region_count > 1)
            continue;
        output_print(session->status, "    #%-4u %9s  %-10s %9s used  %s%s\n", region->partition,
                     size_text(region->bytes, size), region->fs_type[0] ? region->fs_type : "-",
                     size_text(region->used_bytes, used), region->fs_label,
                     region->copied_whole ? " (copied whole)" : "");
    }
}

static void print_destroyed(struct session *session, const struct plan *plan)
{
    const struct partition_table *table = &plan->target_table;
    char size[SIZE_TEXT_MAX];

    if (!plan->destroys)
        return;
    output_print(session->status, "This destroys what is on %s%s:\n", plan->request.target.disk->name,
                 plan->request.target.partition ? " in that partition" : "");
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *partition = &table->partitions[i];
        if (plan->request.target.partition && plan->request.target.partition != partition->number)
            continue;
        output_print(session->status, "    #%-4u %9s  %s  %s\n", partition->number,
                     size_text(partition->block_count * table->logical_block, size),
                     partition_type_name(table, partition), partition->name);
    }
    if (!table->count)
        output_print(session->status, "    (no partitions are known there)\n");
}

/* What the image comes to, beside the room that it has. */
static void print_space(struct session *session, const struct plan *plan)
{
    char likely[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX], available[SIZE_TEXT_MAX], volume[SIZE_TEXT_MAX];

    output_print(session->status, "  The image comes to about %s, %s at the most",
                 size_text(plan->likely_image_bytes, likely), size_text(plan->expected_image_bytes, most));
    if (plan->free_bytes != UINT64_MAX)
        output_print(session->status, "; %s are free where it goes", size_text(plan->free_bytes, available));
    output_print(session->status, ".\n");
    if (plan->volume_bytes)
        output_print(session->status, "  It is cut into files of up to %s (.001, .002, ...)%s.\n",
                     size_text(plan->volume_bytes, volume),
                     plan->request.options.split == plan->volume_bytes ? "" : ", for no file can be larger there");
}

void plan_print(struct session *session, const struct command *command, const struct plan *plan)
{
    char used[SIZE_TEXT_MAX], skipped[SIZE_TEXT_MAX];

    output_print(session->status, "Plan: %s\n", command_verb_name(command->verb));
    print_disk(session, "from", &plan->request.source);
    print_disk(session, plan->kind == JOB_VERIFY ? "against" : "to", &plan->request.target);
    print_regions(session, plan);
    output_print(session->status, "  %s in use are %s, %s are not in use", size_text(plan->used_bytes, used),
                 plan->kind == JOB_VERIFY ? "checked" : "copied", size_text(plan->skipped_bytes, skipped));
    output_print(session->status, ".\n");
    if (plan->kind == JOB_CAPTURE)
        print_space(session, plan);
    print_destroyed(session, plan);
    for (unsigned i = 0; i < plan->messages.count; i++)
        message_print(session, false, &plan->messages.items[i]);
}

static void json_end(struct json *json, const char *key, const struct job_end *end)
{
    json_begin_object(json, key);
    json_text(json, end->disk ? "disk" : "image", end->disk ? end->disk->name : end->store ? end->store->name : "");
    if (end->disk) {
        json_text(json, "model", end->disk->model);
        json_text(json, "serial", end->disk->serial);
        json_number(json, "bytes", block_device_bytes(end->disk));
    }
    if (end->partition)
        json_number(json, "partition", end->partition);
    json_end_object(json);
}

void plan_print_json(struct session *session, const struct plan *plan)
{
    struct json json = {session->out, false};

    json_begin_object(&json, NULL);
    json_text(&json, "event", "plan");
    json_end(&json, "source", &plan->request.source);
    json_end(&json, "target", &plan->request.target);
    json_number(&json, "source_bytes", plan->source_bytes);
    json_number(&json, "used_bytes", plan->used_bytes);
    json_number(&json, "skipped_bytes", plan->skipped_bytes);
    if (plan->kind == JOB_CAPTURE) {
        json_number(&json, "expected_image_bytes", plan->expected_image_bytes);
        json_number(&json, "likely_image_bytes", plan->likely_image_bytes);
        if (plan->free_bytes != UINT64_MAX)
            json_number(&json, "free_bytes", plan->free_bytes);
        if (plan->volume_bytes)
            json_number(&json, "volume_bytes", plan->volume_bytes);
    }
    json_bool(&json, "destroys", plan->destroys);
    json_bool(&json, "refused", plan->refused);
    json_begin_array(&json, "placements");
    for (unsigned i = 0; i < plan->placement_count; i++) {
        const struct placement *placement = &plan->placements[i];
        json_begin_object(&json, NULL);
        json_number(&json, "partition", placement->partition);
        json_number(&json, "source_offset", placement->source_offset);
        json_number(&json, "target_offset", placement->target_offset);
        json_number(&json, "bytes", placement->bytes);
        json_bool(&json, "skip", placement->skip);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
    json_end_line(&json);
    for (unsigned i = 0; i < plan->messages.count; i++)
        message_print(session, true, &plan->messages.items[i]);
}
