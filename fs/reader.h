/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the small allocation readers of our own (FAT, exFAT, swap) share: reading with doubt.
 *
 * A step returns 0, READER_DOUBT when the volume must be copied whole (a message says why), or a negative error. Small buffers are on
 * the stack, large ones are reader_memory: a reader that is dropped with its fiber leaves nothing behind.
 */
#ifndef FS_READER_H
#define FS_READER_H

#include "core/bytes.h"
#include "core/fiber.h"
#include "core/filesystem.h"

#define READER_DOUBT 1

/* Adds the message (see core/message.h for the meaning of text and number) and returns READER_DOUBT. */
int reader_doubt(struct allocation *allocation, enum message_id id, const char *what, uint64_t where);
/* Says something about the volume that changes nothing for its copy. */
void reader_remark(struct allocation *allocation, enum message_level level, enum message_id id);
/* Reads bytes of the volume; what cannot be read is a doubt. `what` names it. */
int reader_read(struct block_device *volume, struct allocation *allocation, uint64_t offset, void *data, size_t size,
                const char *what);
/* Does what the file system claims to have fit into the volume? If not, that is a doubt. */
int reader_fits(struct block_device *volume, struct allocation *allocation, uint64_t claimed_bytes);
/* The audit's question: is [offset, offset + length) among what was found to be in use? */
int reader_audit(struct allocation *allocation, uint64_t offset, uint64_t length, const char *what);
/* What read_allocation() returns for a step's result: sets the verdict. */
int reader_finish(struct allocation *allocation, int status);

/* Memory that is given back when the fiber is dropped. Lives in the frame of the code that uses it. */
struct reader_memory {
    struct platform *platform;
    uint8_t *data;
    struct fiber_cleanup cleanup;
};
/* 0 or -ERROR_NO_MEMORY. */
int reader_memory_take(struct reader_memory *memory, struct platform *platform, size_t size);
void reader_memory_give_back(struct reader_memory *memory);

static inline bool reader_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

#endif
