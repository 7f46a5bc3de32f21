/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The map of the work: what of the disk is in use, and how far it has been read, written and compared. */
#include "ui/walk/work_view.h"

#include <string.h>

#define MAP_ROW 8 /* of the page's area */
#define BELOW_ROWS 5

static unsigned cells_of(const struct work_view *view)
{
    return view->map.rows * view->map.columns;
}

static unsigned cell_at(const struct work_view *view, uint64_t offset)
{
    unsigned cells = cells_of(view);
    unsigned cell = view->map_bytes ? (unsigned)((unsigned __int128)offset * cells / view->map_bytes) : 0;

    return cell < cells ? cell : cells - 1;
}

static void mark(const struct work_view *view, bool *cells, uint64_t offset, uint64_t length)
{
    if (!length || offset >= view->map_bytes)
        return;
    uint64_t last = length < view->map_bytes - offset ? offset + length - 1 : view->map_bytes - 1;
    for (unsigned i = cell_at(view, offset); i <= cell_at(view, last); i++)
        cells[i] = true;
}

/* Where the job's offsets begin on the disk that the map shows. */
static uint64_t shift_of(const struct plan *plan, const struct block_device *disk)
{
    const struct block_device *slice = plan->kind == JOB_CAPTURE ? plan->source_slice : plan->target_slice;

    return slice && disk ? slice->parent_lba * disk->geometry.logical_block : 0;
}

static const struct block_device *disk_of(const struct plan *plan)
{
    return plan->kind == JOB_CAPTURE ? plan->request.source.disk : plan->request.target.disk;
}

static void mark_used(struct work_view *view, const struct plan *plan, uint64_t shift)
{
    if (plan->kind == JOB_CAPTURE || plan->kind == JOB_CLONE) {
        for (size_t i = 0; i < plan->used.count; i++)
            mark(view, view->used, shift + plan->used.extents[i].offset, plan->used.extents[i].length);
        return;
    }
    /* What of a partition is in use stands in the image's indexes; before they are read, all of it may be. */
    for (unsigned i = 0; i < plan->description.region_count; i++) {
        const struct image_region *region = &plan->description.regions[i];
        const struct placement *place = i < plan->placement_count ? &plan->placements[i] : NULL;
        if (!region->used_bytes || (place && place->skip))
            continue;
        mark(view, view->used, place ? shift + place->target_offset : region->offset,
             place ? place->bytes : region->bytes);
    }
}

void work_map_prepare(struct work_view *view)
{
    const struct plan *plan = &view->work->plan;
    const struct block_device *disk = disk_of(plan);

    view->map = walk_area(view->walk);
    view->map.row += MAP_ROW;
    view->map.rows -= MAP_ROW + BELOW_ROWS;
    view->map_bytes = disk ? block_device_bytes(disk) : plan->description.disk_bytes;
    mark_used(view, plan, shift_of(plan, disk));
}

void work_map_note(struct work_view *view, const struct message *message)
{
    const struct plan *plan = &view->work->plan;

    if (message->id == MESSAGE_UNREADABLE || message->id == MESSAGE_IMAGE_UNREADABLE ||
        message->id == MESSAGE_IMAGE_HOLES || message->id == MESSAGE_IMAGE_DAMAGED || message->id == MESSAGE_DIFFERS)
        mark(view, view->bad, shift_of(plan, disk_of(plan)) + message->number[0], message->number[1]);
}

static enum map_state state(void *context, uint64_t offset, uint64_t length)
{
    struct work_view *view = context;
    const struct job_progress *progress = &view->progress;
    unsigned cell = view->map_cell++;
    uint64_t end = offset + length;

    if (view->bad[cell])
        return MAP_BAD;
    if (!view->used[cell] || end <= progress->begin_position || offset >= progress->end_position)
        return MAP_UNUSED;
    /* What a cell holds beyond the job's own part does not hold it back. */
    end = end < progress->end_position ? end : progress->end_position;
    if (progress->verified_position >= end)
        return MAP_VERIFIED;
    if (progress->written_position >= end)
        return MAP_WRITTEN;
    return progress->read_position >= end ? MAP_READ : MAP_TO_DO;
}

void work_map_draw(struct work_view *view)
{
    view->map_cell = 0;
    state_map_draw(view->walk->screen, view->map, view->map_bytes, state, view);
}
