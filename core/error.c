/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

static const char *const code_names[ERROR_CODE_COUNT] = {
    [ERROR_NONE] = "none",
    [ERROR_NO_MEMORY] = "no memory",
    [ERROR_FULL] = "queue full",
    [ERROR_IO] = "I/O error",
    [ERROR_MEDIUM] = "medium error",
    [ERROR_TIMEOUT] = "no answer in time",
    [ERROR_ABORTED] = "aborted by a reset",
    [ERROR_GONE] = "device gone",
    [ERROR_WRITE_PROTECTED] = "write protected",
    [ERROR_OUT_OF_RANGE] = "out of range",
    [ERROR_UNSUPPORTED] = "unsupported",
    [ERROR_PROTOCOL] = "protocol violation",
    [ERROR_CORRUPT] = "corrupt",
    [ERROR_INCOMPLETE] = "incomplete",
    [ERROR_MISMATCH] = "mismatch",
    [ERROR_NO_SPACE] = "no space",
    [ERROR_NOT_FOUND] = "not found",
    [ERROR_AMBIGUOUS] = "ambiguous",
    [ERROR_EXISTS] = "already exists",
    [ERROR_BUSY] = "in use",
    [ERROR_REFUSED] = "refused",
    [ERROR_USAGE] = "usage",
    [ERROR_CANCELLED] = "cancelled",
    [ERROR_END] = "end",
};

static const char *const operation_names[OPERATION_COUNT] = {
    [OPERATION_NONE] = "none",
    [OPERATION_IDENTIFY] = "identify",
    [OPERATION_READ] = "read",
    [OPERATION_WRITE] = "write",
    [OPERATION_FLUSH] = "flush",
    [OPERATION_DISCARD] = "discard",
    [OPERATION_WRITE_ZEROES] = "write zeroes",
    [OPERATION_RESET] = "reset",
    [OPERATION_SPIN_UP] = "spin up",
    [OPERATION_OPEN] = "open",
    [OPERATION_PARSE] = "parse",
    [OPERATION_VERIFY] = "verify",
};

int error_set_at(const char *origin, struct error *error, enum error_code code, enum error_operation operation,
                 const char *device, uint64_t block, const char *detail, ...)
{
    if (!error)
        return -(int)code;

    /* The device's name and the arguments may live in the very error that is filled. */
    struct error filled = {.code = code, .operation = operation, .block = block, .origin = origin};
    if (device)
        snprintf(filled.device, sizeof(filled.device), "%s", device);
    if (detail) {
        va_list arguments;
        va_start(arguments, detail);
        vsnprintf(filled.detail, sizeof(filled.detail), detail, arguments);
        va_end(arguments);
    }
    *error = filled;
    return -(int)code;
}

const char *error_code_name(enum error_code code)
{
    return (unsigned)code < ERROR_CODE_COUNT && code_names[code] ? code_names[code] : "unknown";
}

const char *error_operation_name(enum error_operation operation)
{
    return (unsigned)operation < OPERATION_COUNT && operation_names[operation] ? operation_names[operation] : "unknown";
}
