/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/reader.h"

#include <stdio.h>

int reader_doubt(struct allocation *allocation, enum message_id id, const char *what, uint64_t where)
{
    message_add(&allocation->messages, MESSAGE_WARNING, id, 0, allocation->info.type, what, where, 0);
    return READER_DOUBT;
}

void reader_remark(struct allocation *allocation, enum message_level level, enum message_id id)
{
    message_add(&allocation->messages, level, id, 0, allocation->info.type, NULL, 0, 0);
}

int reader_read(struct block_device *volume, struct allocation *allocation, uint64_t offset, void *data, size_t size,
                const char *what)
{
    char text[MESSAGE_TEXT_MAX];
    int status = block_read_bytes(volume, offset, data, size, NULL);

    if (!status || status == -ERROR_CANCELLED || status == -ERROR_NO_MEMORY)
        return status;
    snprintf(text, sizeof text, "%s: %s", what, error_code_name((enum error_code) - status));
    return reader_doubt(allocation, MESSAGE_FS_READER_FAILED, text, offset);
}

int reader_fits(struct block_device *volume, struct allocation *allocation, uint64_t claimed_bytes)
{
    uint64_t volume_bytes = block_device_bytes(volume);

    if (claimed_bytes <= volume_bytes)
        return 0;
    message_add(&allocation->messages, MESSAGE_WARNING, MESSAGE_FS_BIGGER_THAN_VOLUME, 0, allocation->info.type, NULL,
                claimed_bytes, volume_bytes);
    return READER_DOUBT;
}

int reader_audit(struct allocation *allocation, uint64_t offset, uint64_t length, const char *what)
{
    if (extent_list_contains(&allocation->used, offset, length))
        return 0;
    return reader_doubt(allocation, MESSAGE_FS_AUDIT_FAILED, what, offset);
}

int reader_finish(struct allocation *allocation, int status)
{
    allocation->verdict = status ? ALLOCATION_WHOLE : ALLOCATION_EXACT;
    return status < 0 ? status : 0;
}

static void release(void *context)
{
    struct reader_memory *memory = context;

    platform_release(memory->platform, memory->data);
}

int reader_memory_take(struct reader_memory *memory, struct platform *platform, size_t size)
{
    *memory = (struct reader_memory){.platform = platform, .cleanup = {.run = release, .context = memory}};
    memory->data = platform_allocate(platform, size);
    if (!memory->data)
        return -ERROR_NO_MEMORY;
    fiber_cleanup_push(&memory->cleanup);
    return 0;
}

void reader_memory_give_back(struct reader_memory *memory)
{
    fiber_cleanup_pop(&memory->cleanup);
    release(memory);
}
