/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/platform.h"

#define LOG_LINE_MAX 400

void *platform_allocate_zeroed(struct platform *platform, size_t size)
{
    void *memory = platform_allocate(platform, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void platform_log(struct platform *platform, enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    platform->ops->log(platform, level, line);
}

int buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer)
{
    memset(buffer, 0, sizeof(*buffer));
    if (!size || size > SIZE_MAX - 4095)
        return -ERROR_OUT_OF_RANGE;
    int status = platform->ops->buffer_allocate(platform, size, buffer);
    if (status) {
        memset(buffer, 0, sizeof(*buffer));
        return status;
    }
    buffer->platform = platform;
    return 0;
}

static void mapping_drop(struct buffer *buffer, unsigned index)
{
    const struct platform_ops *ops = buffer->platform->ops;

    if (ops->buffer_unmap)
        ops->buffer_unmap(buffer, buffer->mappings[index].device, buffer->mappings[index].context);
    memset(&buffer->mappings[index], 0, sizeof(buffer->mappings[index]));
}

void buffer_release(struct buffer *buffer)
{
    if (!buffer->platform)
        return;
    for (unsigned i = 0; i < BUFFER_MAPPINGS; i++)
        if (buffer->mappings[i].device)
            mapping_drop(buffer, i);
    buffer->platform->ops->buffer_release(buffer);
    memset(buffer, 0, sizeof(*buffer));
}

int buffer_address(struct buffer *buffer, struct pci_device *device, uint64_t *address)
{
    const struct platform_ops *ops = buffer->platform->ops;
    unsigned unused = BUFFER_MAPPINGS;

    for (unsigned i = 0; i < BUFFER_MAPPINGS; i++) {
        if (buffer->mappings[i].device == device) {
            *address = buffer->mappings[i].address;
            return 0;
        }
        if (!buffer->mappings[i].device && unused == BUFFER_MAPPINGS)
            unused = i;
    }
    if (unused == BUFFER_MAPPINGS)
        return -ERROR_NO_MEMORY;
    if (!ops->buffer_map)
        return -ERROR_UNSUPPORTED;

    uint64_t mapped = 0;
    void *context = NULL;
    int status = ops->buffer_map(buffer, device, &mapped, &context);
    if (status)
        return status;
    buffer->mappings[unused].device = device;
    buffer->mappings[unused].address = mapped;
    buffer->mappings[unused].context = context;
    *address = mapped;
    return 0;
}

void buffer_forget_device(struct buffer *buffer, struct pci_device *device)
{
    if (!buffer->platform || !device)
        return;
    for (unsigned i = 0; i < BUFFER_MAPPINGS; i++)
        if (buffer->mappings[i].device == device)
            mapping_drop(buffer, i);
}

/*
 * Offsets may come from what a device says of itself (strides, counts), so they are held against the size of the BAR:
 * beyond it a read gives all ones, as an absent device does, and a write is lost.
 */
static bool register_valid(const struct registers *registers, uint64_t offset, unsigned width)
{
    return offset % width == 0 && registers->size >= width && offset <= registers->size - width;
}

uint32_t register_read32(struct registers *registers, uint64_t offset)
{
    if (!register_valid(registers, offset, 4))
        return UINT32_MAX;
    if (registers->direct)
        return *(volatile uint32_t *)(registers->direct + offset);
    return (uint32_t)registers->platform->ops->register_read(registers, offset, 4);
}

void register_write32(struct registers *registers, uint64_t offset, uint32_t value)
{
    if (!register_valid(registers, offset, 4))
        return;
    if (registers->direct)
        *(volatile uint32_t *)(registers->direct + offset) = value;
    else
        registers->platform->ops->register_write(registers, offset, 4, value);
}

uint64_t register_read64(struct registers *registers, uint64_t offset)
{
    uint64_t low = register_read32(registers, offset);

    return low | (uint64_t)register_read32(registers, offset + 4) << 32;
}

void register_write64(struct registers *registers, uint64_t offset, uint64_t value)
{
    register_write32(registers, offset, (uint32_t)value);
    register_write32(registers, offset + 4, (uint32_t)(value >> 32));
}
