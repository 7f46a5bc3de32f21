/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Device paths (UEFI 2.10, chapter 10): sequences of typed nodes. */
#include <string.h>

#include "boot/efi_firmware.h"

#define PATH_MAX_BYTES 4096

/* Bytes before the end node; a node with an impossible length ends the path. */
static size_t path_body(const EFI_DEVICE_PATH *path)
{
    const UINT8 *start = (const UINT8 *)path, *at = start;

    while (!IsDevicePathEndType((const EFI_DEVICE_PATH *)at)) {
        size_t length = DevicePathNodeLength((const EFI_DEVICE_PATH *)at);
        if (length < sizeof(EFI_DEVICE_PATH) || (size_t)(at - start) + length > PATH_MAX_BYTES)
            break;
        at += length;
    }
    return (size_t)(at - start);
}

size_t path_size(const EFI_DEVICE_PATH *path)
{
    return path_body(path) + sizeof(EFI_DEVICE_PATH);
}

EFI_DEVICE_PATH *path_copy(struct firmware *firmware, const EFI_DEVICE_PATH *path)
{
    size_t body = path_body(path);
    UINT8 *copy = platform_allocate(&firmware->platform, body + sizeof(EFI_DEVICE_PATH));

    if (!copy)
        return NULL;
    memcpy(copy, path, body);
    SetDevicePathEndNode((EFI_DEVICE_PATH *)(copy + body));
    return (EFI_DEVICE_PATH *)copy;
}

bool path_equal(const EFI_DEVICE_PATH *a, const EFI_DEVICE_PATH *b)
{
    size_t size = path_body(a);

    return size == path_body(b) && memcmp(a, b, size) == 0;
}

bool path_begins_with(const EFI_DEVICE_PATH *path, const EFI_DEVICE_PATH *prefix)
{
    size_t size = path_body(prefix);

    return size <= path_body(path) && memcmp(path, prefix, size) == 0;
}

const EFI_DEVICE_PATH *path_node(const EFI_DEVICE_PATH *path, UINT8 type, UINT8 subtype)
{
    const UINT8 *at = (const UINT8 *)path, *end = at + path_body(path);
    const EFI_DEVICE_PATH *found = NULL;

    for (; at < end; at += DevicePathNodeLength((const EFI_DEVICE_PATH *)at)) {
        const EFI_DEVICE_PATH *node = (const EFI_DEVICE_PATH *)at;
        if (DevicePathType(node) == type && DevicePathSubType(node) == subtype)
            found = node;
    }
    return found;
}

EFI_DEVICE_PATH *path_of_handle(struct firmware *firmware, EFI_HANDLE handle)
{
    EFI_GUID guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

    return firmware_handle_protocol(firmware, handle, &guid);
}
