/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: what the source holds. Where it goes is in job_place.c. */
#include "core/job_internal.h"

#include <stdio.h>
#include <string.h>

#define TABLE_BYTES_MAX (1024u * 1024)
#define GPT_BLOCKS 33u /* a backup header and 128 entries of 128 bytes, at 512-byte blocks */
/* Policy: space in no partition is copied whole up to this size; of more, only what stands at its ends. */
#define GAP_END (16u * 1024 * 1024)

struct block_device *plan_source_device(const struct plan *plan)
{
    return plan->source_slice ? plan->source_slice : plan->request.source.disk;
}

struct block_device *plan_target_device(const struct plan *plan)
{
    return plan->target_slice ? plan->target_slice : plan->request.target.disk;
}

static int no_memory(struct error *error)
{
    return error_set(error, ERROR_NO_MEMORY, OPERATION_NONE, "", ERROR_NO_BLOCK, "no memory for the plan");
}

static struct message *plan_message(struct plan *plan, enum message_level level, enum message_id id, const char *text0,
                                    const char *text1, uint64_t number0, uint64_t number1)
{
    if (level == MESSAGE_REFUSAL)
        plan->refused = true;
    return message_add(&plan->messages, level, id, 0, text0, text1, number0, number1);
}

void plan_refuse(struct plan *plan, enum message_id id, const char *text0, const char *text1, uint64_t number0,
                 uint64_t number1)
{
    plan_message(plan, MESSAGE_REFUSAL, id, text0, text1, number0, number1);
}

static void take_messages(struct plan *plan, const struct message_list *from, unsigned partition)
{
    for (unsigned i = 0; i < from->count; i++) {
        const struct message *message = &from->items[i];
        struct message *added = message_add(&plan->messages, message->level, message->id,
                                            message->partition ? message->partition : partition, message->text[0],
                                            message->text[1], message->number[0], message->number[1]);
        added->number[2] = message->number[2];
    }
    plan->messages.dropped += from->dropped;
}

/* --- regions of a disk --- */

static struct image_region *add_region(struct plan *plan, unsigned partition, uint64_t offset, uint64_t bytes)
{
    struct image_region *region = &plan->description.regions[plan->description.region_count++];

    memset(region, 0, sizeof(*region));
    region->partition = partition;
    region->offset = offset;
    region->bytes = bytes;
    return region;
}

static int use_all(struct plan *plan, struct image_region *region)
{
    region->used_bytes = region->bytes;
    return extent_list_add(&plan->used, region->offset, region->bytes);
}

/* Takes over what the allocation reader found, to the byte: what shares a piece with it is zeroed before it is stored. */
static int use_allocation(struct plan *plan, struct image_region *region, struct allocation *allocation)
{
    const struct extent_list *used = &allocation->used;

    if (allocation->verdict != ALLOCATION_EXACT || plan->request.options.raw) {
        region->copied_whole = true;
        return use_all(plan, region);
    }
    if (used->count && used->extents[used->count - 1].offset + used->extents[used->count - 1].length > region->bytes)
        return use_all(plan, region); /* the reader promised otherwise: correct before small */
    region->used_bytes = extent_list_total(used);
    int status = extent_list_add_shifted(&plan->used, used, region->offset);
    return status ? status : extent_list_add_shifted(&plan->blank, &allocation->blank, region->offset);
}

/* `opaque`: a file system at its start does not describe all of it. */
static int plan_volume(struct plan *plan, struct image_region *region, struct block_device *volume, bool opaque)
{
    struct allocation *allocation = platform_allocate_zeroed(plan->platform, sizeof(*allocation));
    int status = 0;

    if (!allocation)
        return -ERROR_NO_MEMORY;
    allocation_init(allocation, plan->platform);
    if (plan->request.options.raw || opaque)
        filesystem_probe(volume, &allocation->info);
    else
        status = filesystem_allocation(volume, allocation);
    if (!status) {
        const struct filesystem_info *info = &allocation->info;
        snprintf(region->fs_type, sizeof(region->fs_type), "%s", info->type);
        snprintf(region->fs_label, sizeof(region->fs_label), "%s", info->label);
        snprintf(region->fs_uuid, sizeof(region->fs_uuid), "%s", info->uuid);
        take_messages(plan, &allocation->messages, region->partition);
        status = use_allocation(plan, region, allocation);
    }
    allocation_free(allocation);
    platform_release(plan->platform, allocation);
    return status;
}

/*
 * Space in no partition. What matters there stands at its ends: boot code, tables, what RAID firmware writes at a disk's end.
 * Between these ends nothing is in use where the table can be relied on to tell: in a GPT, and in an MBR without an extended partition (whose
 * tables lie between its partitions) or volumes that a partition does not bound.
 */
static bool gaps_are_unused(const struct partition_table *table)
{
    if (table->kind == TABLE_NONE || table->has_extended)
        return false;
    for (unsigned i = 0; i < table->count; i++)
        if (partition_is_opaque(table, &table->partitions[i]))
            return false;
    return true;
}

static int plan_gap(struct plan *plan, uint64_t from, uint64_t to)
{
    struct image_region *region;
    int status;

    if (to <= from)
        return 0;
    region = add_region(plan, 0, from, to - from);
    if (to - from <= PLAN_GAP_MAX || plan->request.options.raw || !gaps_are_unused(&plan->table))
        return use_all(plan, region);
    region->used_bytes = 2 * GAP_END;
    plan_message(plan, MESSAGE_INFO, MESSAGE_GAP_SKIPPED, plan->request.source.disk->name, NULL, from + GAP_END,
                 to - from - 2 * GAP_END);
    status = extent_list_add(&plan->used, from, GAP_END);
    return status ? status : extent_list_add(&plan->used, to - GAP_END, GAP_END);
}

static int plan_partitions(struct plan *plan, struct error *error)
{
    struct block_device *disk = plan->request.source.disk;
    uint64_t block = disk->geometry.logical_block;
    uint64_t position = 0;
    int status = 0;

    for (unsigned i = 0; i < plan->table.count && !status; i++) {
        const struct partition *partition = &plan->table.partitions[i];
        uint64_t start = partition->first_block * block, bytes = partition->block_count * block;
        struct block_device *volume;
        status = plan_gap(plan, position, start);
        if (status)
            break;
        status = partition_open(disk, partition, &volume, error);
        if (status)
            return status;
        status = plan_volume(plan, add_region(plan, partition->number, start, bytes), volume,
                             partition_is_opaque(&plan->table, partition));
        block_device_stop(volume);
        position = start + bytes;
    }
    if (!status)
        status = plan_gap(plan, position, block_device_bytes(disk));
    if (status == -ERROR_NO_MEMORY)
        return no_memory(error);
    return status
               ? error_set(error, (enum error_code) - status, OPERATION_PARSE, disk->name, ERROR_NO_BLOCK, "planning")
               : 0;
}

static int plan_single_volume(struct plan *plan, struct error *error)
{
    struct block_device *volume = plan_source_device(plan);
    unsigned partition = plan->request.source.partition;
    const struct partition *entry = partition ? partition_find(&plan->table, partition) : NULL;
    int status = plan_volume(plan, add_region(plan, partition, 0, block_device_bytes(volume)), volume,
                             entry && partition_is_opaque(&plan->table, entry));

    if (status == -ERROR_NO_MEMORY)
        return no_memory(error);
    return status
               ? error_set(error, (enum error_code) - status, OPERATION_PARSE, volume->name, ERROR_NO_BLOCK, "planning")
               : 0;
}

/* --- the description --- */

static int read_table_piece(struct plan *plan, uint64_t offset, uint64_t size, uint8_t **piece, size_t *piece_size,
                            struct error *error)
{
    *piece = platform_allocate(plan->platform, (size_t)size);
    if (!*piece)
        return no_memory(error);
    *piece_size = (size_t)size;
    return block_read_bytes(plan->request.source.disk, offset, *piece, (size_t)size, error);
}

/* The raw tables: for people and salvage, and to make the tables of a disk of another size. */
static int read_raw_tables(struct plan *plan, struct error *error)
{
    const struct partition_table *table = &plan->table;
    struct image_description *description = &plan->description;
    uint64_t block = description->logical_block;
    uint64_t head = block, tail = 0, start, array;
    int status;

    if (table->kind == TABLE_NONE)
        return 0;
    if (table->kind == TABLE_GPT) {
        array = (uint64_t)table->entry_count * table->entry_size;
        head = (table->primary_array_lba * block + array + block - 1) / block * block;
        if (head > TABLE_BYTES_MAX || head < 2 * block)
            head = (GPT_BLOCKS + 1) * block;
        head = smaller_of(head, description->disk_bytes);
        start = smaller_of(table->backup_array_lba, table->backup_header_lba) * block;
        if (start >= description->disk_bytes || description->disk_bytes - start > TABLE_BYTES_MAX)
            start = description->disk_bytes > GPT_BLOCKS * block ? description->disk_bytes - GPT_BLOCKS * block : 0;
        tail = description->disk_bytes - start;
    }
    status = read_table_piece(plan, 0, head, &description->table_head, &description->table_head_size, error);
    if (!status && tail)
        status = read_table_piece(plan, description->disk_bytes - tail, tail, &description->table_tail,
                                  &description->table_tail_size, error);
    if (status == -ERROR_MEDIUM || status == -ERROR_IO) {
        /* A table that cannot be read is left out; the blocks themselves are captured or reported like all others. */
        platform_release(plan->platform, description->table_head);
        platform_release(plan->platform, description->table_tail);
        description->table_head = NULL;
        description->table_head_size = 0;
        description->table_tail = NULL;
        description->table_tail_size = 0;
        return 0;
    }
    return status;
}

static const char *bus_name(enum block_bus bus)
{
    static const char *const names[] = {
        [BUS_NVME] = "nvme", [BUS_SATA] = "sata", [BUS_USB] = "usb",     [BUS_FIRMWARE] = "firmware",
        [BUS_FILE] = "file", [BUS_RAM] = "ram",   [BUS_IMAGE] = "image", [BUS_OTHER] = "other"};

    return (unsigned)bus < sizeof(names) / sizeof(names[0]) && names[bus] ? names[bus] : "other";
}

static int describe_disk(struct plan *plan, struct error *error)
{
    const struct job_options *options = &plan->request.options;
    struct block_device *disk = plan->request.source.disk, *device = plan_source_device(plan);
    struct image_description *description = &plan->description;

    plan->platform->ops->random(plan->platform, description->uuid, sizeof(description->uuid));
    description->uuid[6] = (uint8_t)((description->uuid[6] & 0x0f) | 0x40); /* RFC 9562: version 4, ... */
    description->uuid[8] = (uint8_t)((description->uuid[8] & 0x3f) | 0x80); /* ... variant 1 */
    description->created = plan->platform->ops->wall_clock(plan->platform);
    snprintf(description->program, sizeof(description->program), "%s", options->program ? options->program : "eidolon");
    description->disk_bytes = block_device_bytes(device);
    description->logical_block = device->geometry.logical_block;
    description->physical_block = device->geometry.physical_block;
    description->level = options->level;
    description->is_partition = plan->source_slice != NULL;
    snprintf(description->model, sizeof(description->model), "%s", disk->model);
    snprintf(description->serial, sizeof(description->serial), "%s", disk->serial);
    snprintf(description->bus, sizeof(description->bus), "%s", bus_name(disk->bus));
    description->platform = plan->platform;
    if (description->disk_bytes > IMAGE_DISK_BYTES_MAX || !description->disk_bytes)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_IDENTIFY, disk->name, ERROR_NO_BLOCK,
                         "a disk of %llu bytes", (unsigned long long)description->disk_bytes);
    description->regions =
        platform_allocate(plan->platform, (2 * (size_t)plan->table.count + 1) * sizeof(*description->regions));
    return description->regions ? 0 : no_memory(error);
}

static int open_source_partition(struct plan *plan, struct error *error)
{
    const struct job_end *source = &plan->request.source;
    const struct partition *partition = partition_find(&plan->table, source->partition);

    if (!partition)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, source->disk->name, ERROR_NO_BLOCK,
                         "it has no partition %u", source->partition);
    return partition_open(source->disk, partition, &plan->source_slice, error);
}

/* What a restore that was cut off left behind is no disk that anyone wants to keep. */
static void look_for_marker(struct plan *plan)
{
    struct block_device *device = plan_source_device(plan);
    uint8_t first[128];
    char uuid[37];

    if (block_device_bytes(device) >= sizeof(first) && !block_read_bytes(device, 0, first, sizeof(first), NULL) &&
        job_is_half_restored(first, sizeof(first), uuid))
        plan_message(plan, MESSAGE_WARNING, MESSAGE_SOURCE_HALF_RESTORED, device->name, uuid, 0, 0);
}

int plan_source_disk(struct loop *loop, struct plan *plan, struct error *error)
{
    const struct job_end *source = &plan->request.source;
    struct image_description *description = &plan->description;
    int status;

    (void)loop;
    if (source->mounted_at)
        plan_message(plan, MESSAGE_WARNING, MESSAGE_SOURCE_MOUNTED, source->disk->name, source->mounted_at, 0, 0);
    status = partition_table_read(source->disk, &plan->table, error);
    if (status)
        return status;
    if (source->partition)
        status = open_source_partition(plan, error);
    else
        take_messages(plan, &plan->table.messages, 0);
    if (!status)
        status = describe_disk(plan, error);
    if (status)
        return status;
    look_for_marker(plan);
    if (!source->partition && plan->table.kind != TABLE_NONE) {
        status = plan_partitions(plan, error);
        if (!status)
            status = read_raw_tables(plan, error);
    } else {
        status = plan_single_volume(plan, error);
    }
    if (status)
        return status;
    if (plan->blank.coarsened)
        extent_list_free(&plan->blank); /* it covers too much: correct before small */
    plan->source_bytes = description->disk_bytes;
    plan->used_bytes = extent_list_total(&plan->used);
    plan->skipped_bytes = plan->source_bytes - plan->used_bytes;
    description->planned_used_bytes = plan->used_bytes;
    description->chunk_size = image_chunk_size(plan->used_bytes, plan->request.options.chunk_size);
    image_hash(plan->used.extents, plan->used.count * sizeof(*plan->used.extents), description->map_hash);
    return 0;
}

/* --- images --- */

/* An image that does not pass can still be gone through by verify, which names what is hit. */
static int open_reader(struct loop *loop, struct plan *plan, struct error *error)
{
    const struct job_end *source = &plan->request.source;
    enum image_reader_mode mode = plan->request.options.salvage ? IMAGE_READ_SALVAGE
                                  : source->is_pipe             ? IMAGE_READ_STREAM
                                                                : IMAGE_READ_VERIFIED;
    int status = image_reader_open(loop, source->store, mode, &plan->reader, error);

    if (status && plan->kind == JOB_VERIFY && mode == IMAGE_READ_VERIFIED &&
        (status == -ERROR_CORRUPT || status == -ERROR_INCOMPLETE)) {
        plan->image_damaged = true;
        status = image_reader_open(loop, source->store, IMAGE_READ_SALVAGE, &plan->reader, NULL);
        /* Not even salvage finds a way in: the first reason is the better one. */
    }
    return status;
}

int plan_source_image(struct loop *loop, struct plan *plan, struct error *error)
{
    unsigned wanted = plan->request.source.partition;
    bool found = !wanted;
    int status = open_reader(loop, plan, error);

    if (status) {
        return error->code ? -(int)error->code : status;
    }
    plan->description = *image_reader_description(plan->reader); /* the reader's; see plan_free() */
    if (plan->description.chunk_size < IMAGE_CHUNK_MIN || plan->description.chunk_size > IMAGE_CHUNK_MAX)
        return error_set(error, ERROR_CORRUPT, OPERATION_PARSE, plan->request.source.store->name, ERROR_NO_BLOCK,
                         "chunk size %u", plan->description.chunk_size);
    plan->source_bytes = plan->description.disk_bytes;
    for (unsigned i = 0; i < plan->description.region_count; i++) {
        const struct image_region *region = &plan->description.regions[i];
        if (wanted && region->partition != wanted)
            continue;
        found = true;
        plan->used_bytes += smaller_of(region->used_bytes, region->bytes);
        plan->skipped_bytes += region->bytes - smaller_of(region->used_bytes, region->bytes);
    }
    if (!found)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, plan->request.source.store->name, ERROR_NO_BLOCK,
                         "the image has no partition %u", wanted);
    return plan_image_table(loop, &plan->description, &plan->table, error);
}

/* --- the whole --- */

static int make_plan(struct loop *loop, struct plan *plan, struct error *error)
{
    const struct job_request *request = &plan->request;
    bool from_image = plan->kind == JOB_RESTORE || plan->kind == JOB_VERIFY;
    int status;

    if ((from_image ? !request->source.store : !request->source.disk) ||
        (plan->kind == JOB_CAPTURE && !request->target.store) ||
        ((plan->kind == JOB_RESTORE || plan->kind == JOB_CLONE) && !request->target.disk))
        return error_set(error, ERROR_USAGE, OPERATION_NONE, "", ERROR_NO_BLOCK, "a job needs a source and a target");
    status = from_image ? plan_source_image(loop, plan, error) : plan_source_disk(loop, plan, error);
    if (status) {
        if (error && !error->side)
            error->side = from_image ? SIDE_IMAGE : SIDE_SOURCE;
        return status;
    }
    if (plan->kind == JOB_CAPTURE) {
        status = request->options.resume ? plan_continue(loop, plan, error) : 0;
        if (!status && !plan->refused)
            plan_check_store(plan);
        return status;
    }
    if (!request->target.disk)
        return 0;
    status = plan_target(loop, plan, error);
    if (status && error && !error->side)
        error->side = SIDE_TARGET;
    return status;
}

int job_plan(struct loop *loop, const struct job_request *request, struct plan *plan, struct error *error)
{
    uint64_t started = platform_now(loop->platform);
    struct error ignored;
    int status;

    if (!error)
        error = &ignored;
    memset(error, 0, sizeof(*error));
    memset(plan, 0, sizeof(*plan));
    plan->kind = request->kind;
    plan->request = *request;
    plan->platform = loop->platform;
    extent_list_init(&plan->used, loop->platform);
    extent_list_init(&plan->blank, loop->platform);
    status = make_plan(loop, plan, error);
    plan->nanoseconds = platform_now(loop->platform) - started;
    if (status)
        plan_free(plan);
    return status;
}

void plan_free(struct plan *plan)
{
    if (!plan->platform)
        return;
    /* The description of an image belongs to its reader. */
    if (plan->reader)
        image_reader_close(plan->reader);
    else if (plan->description.platform)
        image_description_free(&plan->description);
    if (plan->table.platform)
        partition_table_free(&plan->table);
    if (plan->target_table.platform)
        partition_table_free(&plan->target_table);
    if (plan->source_slice)
        block_device_stop(plan->source_slice);
    if (plan->target_slice)
        block_device_stop(plan->target_slice);
    for (unsigned i = 0; i < plan->patch_count; i++)
        platform_release(plan->platform, plan->patches[i].data);
    platform_release(plan->platform, plan->placements);
    extent_list_free(&plan->used);
    extent_list_free(&plan->blank);
    memset(plan, 0, sizeof(*plan));
}
