/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far an image without an end goes: its chain, link by link, from the first header on. docs/image-format.md, sections 3 and 4. */
#include <string.h>

#include "core/image_internal.h"

/* Volumes are what they were written as: neither renamed nor joined into one file. */
static bool volume_named_right(const struct image_trace *trace, uint32_t number)
{
    const struct image_source *source = &trace->file.source;

    return trace->volumes <= source->count && source->volumes[trace->volumes - 1].number == number;
}

int trace_open(struct loop *loop, struct stream_store *store, struct image_trace *trace, struct error *error)
{
    *trace = (struct image_trace){0};
    int status = file_open(loop, store, 0, &trace->file, error);

    if (status)
        return status;
    trace->volumes = trace->sessions = 1;
    if (!trace->file.source.can_seek)
        status = error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, store->name, ERROR_NO_BLOCK, "it is a pipe");
    else if (!volume_named_right(trace, load_le32(trace->file.head + HEAD_AT_VOLUME)))
        status = image_corrupt(error, store->name, ERROR_NO_BLOCK, "its files were renamed or joined");
    if (status) {
        trace_close(trace);
        return status;
    }
    trace->chain = trace->file.first_link;
    trace->offset = LEAD_SIZE + trace->file.head_size;
    return 0;
}

void trace_close(struct image_trace *trace)
{
    file_close(&trace->file);
}

/* What is damaged or missing is where the image ends. */
static int as_end(int status)
{
    return status == -ERROR_CORRUPT || status == -ERROR_INCOMPLETE ? -ERROR_END : status;
}

/* Later chunks have to be cells of the region's grid. */
static bool on_grid(const struct image_description *description, const struct image_index *index)
{
    const struct image_region *region = &description->regions[index->region];
    uint64_t inside = index->disk_offset + index->plain - region->offset;

    return inside == region->bytes || inside % description->chunk_size == 0;
}

static int take_segment(struct image_trace *trace, const uint8_t *frame, size_t size, uint64_t limit,
                        struct trace_link *link, struct error *error)
{
    struct image_file *file = &trace->file;
    struct image_chain chain = trace->chain;
    const char *name = file->source.name;
    struct image_index *index = index_allocate(file->platform, size);

    if (!index)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, name, trace->offset, "index");
    memcpy(index->frame, frame, size);
    int status = frame_check(index->frame, size, TAG_INDEX, &chain, trace->offset, name, error);
    if (!status)
        status = index_check(index, &file->description, trace->disk_offset, name, trace->offset, error);
    if (!status && (index->stored > file->source.size - trace->offset - size || !on_grid(&file->description, index) ||
                    index->disk_offset + index->plain > limit))
        status = -ERROR_END;
    if (status) {
        index_release(index);
        return status;
    }
    trace->chain = chain;
    trace->offset += size + index->stored;
    trace->disk_offset += index->plain;
    *link = (struct trace_link){.index = index, .kind = ROW_SEGMENT, .size = size};
    return 0;
}

static int take_header(struct image_trace *trace, const uint8_t *frame, size_t size, bool lead, struct trace_link *link,
                       struct error *error)
{
    struct image_file *file = &trace->file;
    struct image_chain chain = trace->chain;
    uint64_t offset = trace->offset + (lead ? LEAD_SIZE : 0);
    unsigned kind;
    int status = file_check_header(file, frame, size, offset, &chain, &kind, error);

    if (status)
        return status;
    uint32_t number = load_le32(frame + HEAD_AT_VOLUME);
    if (kind == HEAD_CLOSING || lead != (kind == HEAD_VOLUME))
        return -ERROR_END;
    trace->volumes += kind == HEAD_VOLUME;
    trace->sessions += kind == HEAD_SESSION;
    if (!volume_named_right(trace, number) || (lead && file->source.volumes[trace->volumes - 1].start != trace->offset))
        return image_corrupt(error, file->source.name, offset, "its files were renamed or joined");
    trace->chain = chain;
    trace->offset = offset + size;
    *link = (struct trace_link){.kind = kind, .volume = number, .size = size};
    return 0;
}

int trace_next(struct image_trace *trace, uint64_t limit, struct trace_link *link, struct error *error)
{
    struct image_file *file = &trace->file;
    uint8_t bytes[LEAD_SIZE], *frame;
    size_t size;
    int status = source_read_exactly(&file->source, trace->offset, bytes, sizeof bytes, error);
    bool lead = !status && !memcmp(bytes, lead_frame, LEAD_SIZE);

    if (!status)
        status = file_read_frame(file, trace->offset + (lead ? LEAD_SIZE : 0), &frame, &size, error);
    if (status)
        return as_end(status);
    if (!lead && frame_has_tag(frame, TAG_INDEX))
        status = take_segment(trace, frame, size, limit, link, error);
    else
        status = take_header(trace, frame, size, lead, link, error);
    platform_release(file->platform, frame);
    return as_end(status);
}

void trace_count(struct trace_link *link, const struct image_trace *trace, struct image_tally *tally)
{
    if (link->index)
        tally_index(tally, link->index);
    else
        tally_header(tally, link->kind, link->volume, link->size, trace->chain.last);
    index_release(link->index);
    link->index = NULL;
}

int trace_end(const struct image_trace *trace, unsigned *volume, uint64_t *bytes, bool *begun, struct error *error)
{
    const struct image_source *source = &trace->file.source;
    const struct image_volume *last = &source->volumes[source->count - 1];

    if (trace->sessions >= SESSIONS_MAX)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_OPEN, source->name, ERROR_NO_BLOCK,
                         "it was continued too often");
    *volume = last->number;
    *begun = trace->volumes == source->count;
    if (trace->offset < last->start || (!*begun && trace->volumes + 1 != source->count))
        return image_corrupt(error, source->name, trace->offset, "it is damaged before its last file");
    *bytes = trace->offset - last->start;
    return 0;
}

/* --- a look at it --- */

static int look_along(struct image_trace *trace, struct image_kept *kept, struct error *error)
{
    struct image_tally tally;
    struct trace_link link;
    bool begun;
    uint64_t bytes;
    int status;

    tally_init(&tally, trace->file.description.disk_bytes);
    while (!(status = trace_next(trace, UINT64_MAX, &link, error)))
        trace_count(&link, trace, &tally);
    if (status != -ERROR_END)
        return status;
    kept->disk_bytes = trace->disk_offset;
    kept->stored_bytes = trace->offset;
    kept->unreadable_bytes = tally.totals.unreadable_bytes + tally.totals.lost_bytes;
    return trace_end(trace, &kept->volume, &bytes, &begun, error);
}

int image_look(struct loop *loop, struct stream_store *store, struct image_description *description,
               struct image_kept *kept, struct error *error)
{
    struct image_trace trace;
    int status = trace_open(loop, store, &trace, error);

    *kept = (struct image_kept){0};
    if (status)
        return status;
    status = file_load_table(&trace.file, error);
    kept->complete = !status;
    if (as_end(status) == -ERROR_END)
        status = look_along(&trace, kept, error);
    if (!status) {
        *description = trace.file.description;
        trace.file.description = (struct image_description){0};
    }
    trace_close(&trace);
    return status;
}
