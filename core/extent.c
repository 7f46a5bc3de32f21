/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "core/error.h"
#include "core/extent.h"

#define CAPACITY_FIRST 64

static uint64_t end_of(const struct extent *extent)
{
    return extent->offset + extent->length;
}

static size_t limit_of(const struct extent_list *list)
{
    return list->limit ? list->limit : EXTENT_LIMIT_DEFAULT;
}

void extent_list_init(struct extent_list *list, struct platform *platform)
{
    memset(list, 0, sizeof(*list));
    list->platform = platform;
}

void extent_list_free(struct extent_list *list)
{
    if (list->platform)
        platform_release(list->platform, list->extents);
    list->extents = NULL;
    list->count = list->capacity = 0;
    list->coarsened = 0;
}

/* Room for one more than `count`. One more than the limit fits too: coarsen() runs after the insertion. */
static int reserve(struct extent_list *list)
{
    if (list->count < list->capacity)
        return 0;
    size_t capacity = list->capacity ? list->capacity * 2 : CAPACITY_FIRST;
    if (capacity > limit_of(list) + 1)
        capacity = limit_of(list) + 1;
    if (capacity <= list->count)
        capacity = list->count + 1;

    struct extent *extents = platform_allocate(list->platform, capacity * sizeof(*extents));
    if (!extents)
        return -ERROR_NO_MEMORY;
    if (list->count)
        memcpy(extents, list->extents, list->count * sizeof(*extents));
    platform_release(list->platform, list->extents);
    list->extents = extents;
    list->capacity = capacity;
    return 0;
}

static uint64_t gap_before(const struct extent_list *list, size_t index)
{
    return list->extents[index].offset - end_of(&list->extents[index - 1]);
}

static void close_gaps(struct extent_list *list, uint64_t largest)
{
    size_t to = 0;

    for (size_t from = 1; from < list->count; from++) {
        struct extent *last = &list->extents[to];
        if (list->extents[from].offset - end_of(last) <= largest)
            last->length = end_of(&list->extents[from]) - last->offset;
        else
            list->extents[++to] = list->extents[from];
    }
    if (list->count)
        list->count = to + 1;
}

/*
 * Over the limit: closes the smallest gaps, at least a quarter of them, so that the cost is spread over many additions.
 * The threshold is the smallest 2^k - 1 that closes enough.
 */
static void coarsen(struct extent_list *list)
{
    size_t gaps_of_width[65] = {0};
    size_t closed = 0;

    if (list->count <= limit_of(list))
        return;
    size_t wanted = list->count / 4;
    if (wanted < list->count - limit_of(list))
        wanted = list->count - limit_of(list);
    for (size_t i = 1; i < list->count; i++)
        gaps_of_width[64 - __builtin_clzll(gap_before(list, i))]++;
    for (unsigned width = 1; width <= 64; width++) {
        closed += gaps_of_width[width];
        if (closed < wanted)
            continue;
        uint64_t largest = width == 64 ? UINT64_MAX : (1ULL << width) - 1;
        close_gaps(list, largest);
        if (list->coarsened < largest)
            list->coarsened = largest;
        return;
    }
}

size_t extent_list_find(const struct extent_list *list, uint64_t offset)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(&list->extents[middle]) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int insert(struct extent_list *list, size_t index, uint64_t offset, uint64_t length)
{
    int status = reserve(list);

    if (status)
        return status;
    memmove(&list->extents[index + 1], &list->extents[index], (list->count - index) * sizeof(*list->extents));
    list->extents[index] = (struct extent){offset, length};
    list->count++;
    return 0;
}

static void erase(struct extent_list *list, size_t first, size_t after)
{
    memmove(&list->extents[first], &list->extents[after], (list->count - after) * sizeof(*list->extents));
    list->count -= after - first;
}

int extent_list_add(struct extent_list *list, uint64_t offset, uint64_t length)
{
    uint64_t end;

    if (!length)
        return 0;
    if (__builtin_add_overflow(offset, length, &end))
        return -ERROR_OUT_OF_RANGE;

    /* The first run that touches or lies behind what is added; in order that is none. */
    size_t first = list->count;
    if (list->count && end_of(&list->extents[list->count - 1]) >= offset)
        first = offset ? extent_list_find(list, offset - 1) : 0;

    size_t after = first;
    while (after < list->count && list->extents[after].offset <= end)
        after++;
    if (after == first) {
        int status = insert(list, first, offset, length);
        if (!status)
            coarsen(list);
        return status;
    }

    struct extent *merged = &list->extents[first];
    if (end < end_of(&list->extents[after - 1]))
        end = end_of(&list->extents[after - 1]);
    if (offset > merged->offset)
        offset = merged->offset;
    *merged = (struct extent){offset, end - offset};
    erase(list, first + 1, after);
    return 0;
}

int extent_list_remove(struct extent_list *list, uint64_t offset, uint64_t length)
{
    uint64_t end;

    if (!length)
        return 0;
    if (__builtin_add_overflow(offset, length, &end))
        return -ERROR_OUT_OF_RANGE;

    size_t first = extent_list_find(list, offset);
    if (first == list->count || list->extents[first].offset >= end)
        return 0;

    struct extent *run = &list->extents[first];
    if (run->offset < offset) {
        uint64_t run_end = end_of(run);
        if (run_end > end) {
            int status = insert(list, first + 1, end, run_end - end);
            if (status)
                return status;
            list->extents[first].length = offset - list->extents[first].offset;
            coarsen(list);
            return 0;
        }
        run->length = offset - run->offset;
        first++;
    }
    size_t after = first;
    while (after < list->count && end_of(&list->extents[after]) <= end)
        after++;
    if (after < list->count && list->extents[after].offset < end) {
        list->extents[after].length = end_of(&list->extents[after]) - end;
        list->extents[after].offset = end;
    }
    erase(list, first, after);
    return 0;
}

int extent_list_copy(struct extent_list *to, const struct extent_list *from)
{
    struct extent *extents = NULL;

    if (from->count) {
        extents = platform_allocate(to->platform, from->count * sizeof(*extents));
        if (!extents)
            return -ERROR_NO_MEMORY;
        memcpy(extents, from->extents, from->count * sizeof(*extents));
    }
    platform_release(to->platform, to->extents);
    to->extents = extents;
    to->count = to->capacity = from->count;
    to->limit = from->limit;
    to->coarsened = from->coarsened;
    return 0;
}

int extent_list_intersect(struct extent_list *result, const struct extent_list *a, const struct extent_list *b)
{
    size_t i = 0, j = 0;

    while (i < a->count && j < b->count) {
        const struct extent *x = &a->extents[i], *y = &b->extents[j];
        uint64_t offset = x->offset > y->offset ? x->offset : y->offset;
        uint64_t end = end_of(x) < end_of(y) ? end_of(x) : end_of(y);
        if (offset < end) {
            int status = extent_list_add(result, offset, end - offset);
            if (status)
                return status;
        }
        if (end_of(x) < end_of(y))
            i++;
        else
            j++;
    }
    return 0;
}

/* b's runs moved up by `shift`; none may pass the end of 64 bits (checked by the callers). */
static int unite_shifted(struct extent_list *result, const struct extent_list *a, const struct extent_list *b,
                         uint64_t shift)
{
    size_t i = 0, j = 0;
    int status = 0;

    while (!status && (i < a->count || j < b->count)) {
        if (j == b->count || (i < a->count && a->extents[i].offset <= b->extents[j].offset + shift)) {
            status = extent_list_add(result, a->extents[i].offset, a->extents[i].length);
            i++;
        } else {
            status = extent_list_add(result, b->extents[j].offset + shift, b->extents[j].length);
            j++;
        }
    }
    return status;
}

int extent_list_unite(struct extent_list *result, const struct extent_list *a, const struct extent_list *b)
{
    return unite_shifted(result, a, b, 0);
}

int extent_list_subtract(struct extent_list *result, const struct extent_list *a, const struct extent_list *b)
{
    size_t j = 0;

    for (size_t i = 0; i < a->count; i++) {
        uint64_t offset = a->extents[i].offset, end = end_of(&a->extents[i]);
        while (j < b->count && end_of(&b->extents[j]) <= offset)
            j++;
        for (size_t k = j; offset < end; k++) {
            bool cut = k < b->count && b->extents[k].offset < end;
            uint64_t stop = cut ? b->extents[k].offset : end;
            int status = stop > offset ? extent_list_add(result, offset, stop - offset) : 0;
            if (status)
                return status;
            offset = cut ? end_of(&b->extents[k]) : end;
        }
    }
    return 0;
}

int extent_list_add_shifted(struct extent_list *list, const struct extent_list *from, uint64_t shift)
{
    uint64_t end;

    if (!from->count)
        return 0;
    if (__builtin_add_overflow(end_of(&from->extents[from->count - 1]), shift, &end))
        return -ERROR_OUT_OF_RANGE;
    if (!list->count || end_of(&list->extents[list->count - 1]) <= from->extents[0].offset + shift) {
        int status = 0;
        for (size_t i = 0; !status && i < from->count; i++)
            status = extent_list_add(list, from->extents[i].offset + shift, from->extents[i].length);
        return status;
    }

    struct extent_list united;
    extent_list_init(&united, list->platform);
    united.limit = list->limit;
    united.coarsened = list->coarsened;
    int status = unite_shifted(&united, list, from, shift);
    if (status) {
        extent_list_free(&united);
        return status;
    }
    extent_list_free(list);
    *list = united;
    return 0;
}

int extent_list_align(struct extent_list *list, uint64_t granularity, uint64_t end)
{
    size_t to = 0;

    if (!granularity || granularity & (granularity - 1))
        return -ERROR_OUT_OF_RANGE;
    for (size_t from = 0; from < list->count; from++) {
        uint64_t start = list->extents[from].offset & ~(granularity - 1);
        uint64_t stop = end_of(&list->extents[from]);
        if (stop > UINT64_MAX - (granularity - 1))
            stop = UINT64_MAX;
        else
            stop = (stop + granularity - 1) & ~(granularity - 1);
        if (stop > end)
            stop = end;
        if (start >= stop)
            continue;
        struct extent *last = to ? &list->extents[to - 1] : NULL;
        if (last && start <= end_of(last))
            last->length = stop - last->offset;
        else
            list->extents[to++] = (struct extent){start, stop - start};
    }
    list->count = to;
    return 0;
}

bool extent_list_contains(const struct extent_list *list, uint64_t offset, uint64_t length)
{
    uint64_t end;

    if (!length)
        return true;
    if (__builtin_add_overflow(offset, length, &end))
        return false;
    size_t index = extent_list_find(list, offset);
    return index < list->count && list->extents[index].offset <= offset && end_of(&list->extents[index]) >= end;
}

bool extent_list_overlaps(const struct extent_list *list, uint64_t offset, uint64_t length)
{
    uint64_t end;

    if (!length)
        return false;
    if (__builtin_add_overflow(offset, length, &end))
        end = UINT64_MAX;
    size_t index = extent_list_find(list, offset);
    return index < list->count && list->extents[index].offset < end;
}

uint64_t extent_list_total(const struct extent_list *list)
{
    uint64_t total = 0;

    for (size_t i = 0; i < list->count; i++)
        total += list->extents[i].length;
    return total;
}
