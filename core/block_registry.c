/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "core/block.h"

void block_registry_init(struct block_registry *registry)
{
    registry->first = NULL;
    registry->last = &registry->first;
    registry->removed = NULL;
    registry->context = NULL;
}

void block_registry_add(struct block_registry *registry, struct block_device *device)
{
    device->registry_next = NULL;
    *registry->last = device;
    registry->last = &device->registry_next;
}

void block_registry_remove(struct block_registry *registry, struct block_device *device)
{
    struct block_device **link = &registry->first;

    while (*link && *link != device)
        link = &(*link)->registry_next;
    if (!*link)
        return;
    *link = device->registry_next;
    if (!*link)
        registry->last = link;
    device->registry_next = NULL;
    if (registry->removed)
        registry->removed(registry, device);
}

/* --- names --- */

void block_device_base(const struct block_device *device, char base[BLOCK_NAME_MAX])
{
    size_t place = strlen(device->place);

    snprintf(base, BLOCK_NAME_MAX, "%s", device->name);
    /* Serial numbers may have this sign, too: it is the place, or the end of it, or nothing. */
    char *at = strrchr(base, '@');
    size_t length = at ? strcspn(at + 1, "/") : 0;
    if (length && length <= place && memcmp(device->place + place - length, at + 1, length) == 0)
        *at = '\0';
}

bool block_device_says(const struct block_device *device, const char *base)
{
    char own[BLOCK_NAME_MAX];

    block_device_base(device, own);
    return strcmp(own, base) == 0;
}

/* The end of the place tells most, where there is no room for all of it. */
static void name_by_place(const char *base, const struct block_device *device, char name[BLOCK_NAME_MAX])
{
    size_t room = BLOCK_NAME_MAX - 8, used = strlen(base) + 1, length = strlen(device->place);
    size_t skip = used + length > room ? used + length - room : 0;

    snprintf(name, BLOCK_NAME_MAX, "%s@%s", base, device->place + (skip < length ? skip : length));
}

bool block_device_is_called(const struct block_device *device, const char *name)
{
    char base[BLOCK_NAME_MAX], by_place[BLOCK_NAME_MAX];

    if (strcmp(device->name, name) == 0)
        return true;
    block_device_base(device, base);
    name_by_place(base, device, by_place);
    return device->place[0] && strcmp(by_place, name) == 0;
}

static bool is_taken(const struct block_registry *registry, const struct block_device *device)
{
    for (const struct block_device *at = registry->first; at; at = at->registry_next)
        if (at != device && strcmp(at->name, device->name) == 0)
            return true;
    return false;
}

/* The last resort: by the order in which they came. */
static void number(const struct block_registry *registry, struct block_device *device)
{
    size_t length = strlen(device->name);

    if (length > BLOCK_NAME_MAX - 5)
        length = BLOCK_NAME_MAX - 5;
    for (unsigned count = 2; is_taken(registry, device) && count < 1000; count++)
        snprintf(device->name + length, BLOCK_NAME_MAX - length, "/%u", count);
}

void block_registry_name(struct block_registry *registry, struct block_device *device, const char *base)
{
    bool alone = true;

    for (struct block_device *at = registry->first; at; at = at->registry_next) {
        if (at == device || !block_device_says(at, base))
            continue;
        alone = false;
        if (at->place[0] && strcmp(at->name, base) == 0) {
            name_by_place(base, at, at->name);
            number(registry, at);
        }
    }
    if (alone || !device->place[0])
        snprintf(device->name, sizeof(device->name), "%s", base);
    else
        name_by_place(base, device, device->name);
    number(registry, device);
}

static void list_candidates(const struct block_registry *registry, const char *name, size_t size, char *text,
                            size_t text_size)
{
    size_t at = 0;

    text[0] = '\0';
    for (const struct block_device *device = registry->first; device; device = device->registry_next) {
        if (strncmp(device->name, name, size) != 0)
            continue;
        int wrote = snprintf(text + at, text_size - at, "%s%s", at ? ", " : "", device->name);
        if (wrote < 0 || (size_t)wrote >= text_size - at)
            return;
        at += (size_t)wrote;
    }
}

int block_registry_find(struct block_registry *registry, const char *name, struct block_device **device,
                        struct error *error)
{
    size_t size = strlen(name);
    struct block_device *exact = NULL, *prefixed = NULL;
    unsigned exacts = 0, prefixes = 0;

    for (struct block_device *at = registry->first; at; at = at->registry_next) {
        bool called = block_device_is_called(at, name);
        if (!called && strncmp(at->name, name, size) != 0)
            continue;
        prefixed = at;
        prefixes++;
        if (called) {
            exact = at;
            exacts++;
        }
    }
    if (!size || !prefixes)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, name, ERROR_NO_BLOCK, NULL);
    if (exacts == 1 || (!exacts && prefixes == 1)) {
        *device = exact ? exact : prefixed;
        return 0;
    }
    char candidates[ERROR_DETAIL_MAX];
    list_candidates(registry, name, size, candidates, sizeof(candidates));
    return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, name, ERROR_NO_BLOCK, "%s", candidates);
}

void block_text(char *to, size_t to_size, const void *from, size_t from_size, bool swap)
{
    const uint8_t *bytes = from;
    size_t at = 0;

    if (!to_size)
        return;
    for (size_t i = 0; i < from_size && at + 1 < to_size; i++) {
        size_t index = swap ? i ^ 1 : i;
        uint8_t byte = index < from_size ? bytes[index] : 0;
        if (byte < ' ' || byte > '~' || (byte == ' ' && at == 0))
            continue;
        to[at++] = (char)byte;
    }
    while (at && to[at - 1] == ' ')
        at--;
    to[at] = '\0';
}

void block_name_text(char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || strchr("#/:\\\"", *text))
            *text = '_';
}
