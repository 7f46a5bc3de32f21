/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors: what happened, to which device, doing what, at which block.
 *
 * A function that can fail returns 0 or a negative error code (-ERROR_...). Where a person will want to know more, it takes
 * a `struct error *` as its last argument and fills it where the failure happens; callers pass it on untouched. Passing
 * NULL is allowed everywhere. ui/message.c is the one place that turns an error into a sentence.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_NO_MEMORY,       /* an allocation failed */
    ERROR_FULL,            /* no free slot now; run the loop and try again */
    ERROR_IO,              /* the device reported a failure that is not one of those below */
    ERROR_MEDIUM,          /* a block cannot be read or written (unrecovered media error) */
    ERROR_TIMEOUT,         /* the device did not answer before the deadline */
    ERROR_ABORTED,         /* ended by a reset that another command needed; may be sent again */
    ERROR_GONE,            /* unplugged, link down, registers read all ones, or dead after a failed reset */
    ERROR_WRITE_PROTECTED, /* the device or the caller's claim on it is read-only */
    ERROR_OUT_OF_RANGE,    /* beyond the device, or a bad argument */
    ERROR_UNSUPPORTED,     /* valid, but not something this build or device can do */
    ERROR_PROTOCOL,        /* a device or firmware answered something its specification forbids */
    ERROR_CORRUPT,         /* a data structure (image, table, file system) is damaged or lies */
    ERROR_INCOMPLETE,      /* an image without its end */
    ERROR_MISMATCH,        /* read back, and not what was written */
    ERROR_NO_SPACE,        /* the destination is full or too small */
    ERROR_NOT_FOUND,
    ERROR_AMBIGUOUS, /* a name fits several things */
    ERROR_EXISTS,
    ERROR_BUSY,    /* in use by somebody else (mounted, claimed) */
    ERROR_REFUSED, /* would destroy data and nobody agreed, or a rule forbids it */
    ERROR_USAGE,   /* a command that cannot be understood */
    ERROR_CANCELLED,
    ERROR_END, /* end of a stream */
    ERROR_CODE_COUNT
};

/* What was being done; names the deadline class as well (see core/block.h). */
enum error_operation {
    OPERATION_NONE = 0,
    OPERATION_IDENTIFY,
    OPERATION_READ,
    OPERATION_WRITE,
    OPERATION_FLUSH,
    OPERATION_DISCARD,
    OPERATION_WRITE_ZEROES,
    OPERATION_RESET,
    OPERATION_SPIN_UP,
    OPERATION_OPEN,
    OPERATION_PARSE,
    OPERATION_VERIFY,
    OPERATION_COUNT
};

/* On which side of a job a failure happened; decides the exit code. */
enum error_side { SIDE_NONE = 0, SIDE_SOURCE, SIDE_TARGET, SIDE_IMAGE };

#define ERROR_DEVICE_MAX 80
#define ERROR_DETAIL_MAX 160

struct error {
    enum error_code code;
    enum error_operation operation;
    enum error_side side;
    uint64_t block;      /* first block (of the device's logical size) or byte offset concerned; UINT64_MAX: none */
    uint32_t raw_status; /* the device's own status: NVMe SCT/SC, ATA status and error, sense key/ASC/ASCQ, errno */
    char device[ERROR_DEVICE_MAX]; /* stable name of the disk, volume or image; empty: none */
    char detail[ERROR_DETAIL_MAX]; /* English words for what the code cannot say (for people, not for programs) */
    const char *origin;            /* file:line, static storage */
};

#define ERROR_STRING_(x) #x
#define ERROR_STRING(x) ERROR_STRING_(x)
#define ERROR_ORIGIN __FILE__ ":" ERROR_STRING(__LINE__)

/* Fills `error` (may be NULL) and returns -code, so that `return error_set(...)` works. `detail` is printf-like. */
__attribute__((format(printf, 7, 8))) int error_set_at(const char *origin, struct error *error, enum error_code code,
                                                       enum error_operation operation, const char *device,
                                                       uint64_t block, const char *detail, ...);
#define error_set(error, code, operation, device, block, ...)                                                          \
    error_set_at(ERROR_ORIGIN, (error), (code), (operation), (device), (block), __VA_ARGS__)

#define ERROR_NO_BLOCK UINT64_MAX

/* Short English names, for logs and JSON: "medium error", "read". Never NULL. */
const char *error_code_name(enum error_code code);
const char *error_operation_name(enum error_operation operation);

#endif
