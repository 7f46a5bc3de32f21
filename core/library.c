/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heaps for libraries: free blocks in bins by size (two-level segregated fit), neighbours merged when freed.
 *
 * A chunk from the platform is tiled by blocks, each with a header in front, and ends with a header of size 0. A free
 * block holds its links and, in its last word, its own address, where the block behind it finds it.
 */
#include <errno.h>
#include <string.h>

#include "core/fiber.h"
#include "core/library.h"

#define ALIGNMENT 16
#define PAYLOAD_MINIMUM 32
#define CHUNK_MINIMUM (256u * 1024) /* policy */
#define SIZE_LIMIT ((size_t)1 << 46)

/* Bins: below 256 bytes one for each size, above sixteen for each power of two. */
#define BINS_PER_CLASS 16
#define CLASSES 40
#define SCAN_LIMIT 16 /* policy: blocks looked at in a bin whose blocks may be too small */

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer then sees what the libraries do outside of their allocations; this file may look at everything. */
#include <sanitizer/asan_interface.h>
#define ARENA_CODE __attribute__((no_sanitize_address))
#define arena_poison(memory, size) __asan_poison_memory_region((memory), (size))
#define arena_unpoison(memory, size) __asan_unpoison_memory_region((memory), (size))
#else
#define ARENA_CODE
#define arena_poison(memory, size) ((void)(memory), (void)(size))
#define arena_unpoison(memory, size) ((void)(memory), (void)(size))
#endif

enum { BLOCK_FREE = 1, BLOCK_PREVIOUS_FREE = 2, BLOCK_FLAGS = 15 };

struct heap_block {
    size_t size_and_flags; /* payload bytes, a multiple of 16 */
    struct arena *arena;
    /* The payload begins here; in a free block with these. */
    struct heap_block *next_free, *previous_free;
};
#define HEADER offsetof(struct heap_block, next_free)

struct chunk {
    struct chunk *next, *previous;
    size_t size; /* all of it */
    size_t reserved;
};

struct arena {
    struct platform *platform;
    size_t limit, held, in_use;
    struct chunk *chunks;
    uint64_t classes_filled;
    uint32_t bins_filled[CLASSES];
    struct heap_block *bins[CLASSES][BINS_PER_CLASS];
    struct arena *next;
};

/* The allocator's callers pass no context, so which heaps exist is kept here. Main processor only. */
static struct arena *arenas;
static struct arena *outside; /* of what is allocated while no fiber runs */

_Static_assert(HEADER == ALIGNMENT && sizeof(struct chunk) % ALIGNMENT == 0, "payloads must be aligned");

static ARENA_CODE size_t size_of(const struct heap_block *block)
{
    return block->size_and_flags & ~(size_t)BLOCK_FLAGS;
}

static ARENA_CODE uint8_t *payload_of(struct heap_block *block)
{
    return (uint8_t *)block + HEADER;
}

static ARENA_CODE struct heap_block *block_behind(struct heap_block *block)
{
    return (struct heap_block *)(void *)(payload_of(block) + size_of(block));
}

static ARENA_CODE struct heap_block **footer_of(struct heap_block *block)
{
    return (struct heap_block **)(void *)(payload_of(block) + size_of(block) - sizeof(void *));
}

/* --- bins --- */

static ARENA_CODE void bin_of(size_t size, unsigned *class, unsigned *bin)
{
    if (size < ALIGNMENT * BINS_PER_CLASS) {
        *class = 0;
        *bin = (unsigned)(size / ALIGNMENT);
        return;
    }
    unsigned log = 63 - (unsigned)__builtin_clzll(size);
    *class = log - 7; /* 256 is the first of class 1 */
    *bin = (unsigned)(size >> (log - 4)) & (BINS_PER_CLASS - 1);
}

static ARENA_CODE void bin_insert(struct arena *arena, struct heap_block *block)
{
    unsigned class, bin;

    bin_of(size_of(block), &class, &bin);
    block->previous_free = NULL;
    block->next_free = arena->bins[class][bin];
    if (block->next_free)
        block->next_free->previous_free = block;
    arena->bins[class][bin] = block;
    arena->bins_filled[class] |= 1u << bin;
    arena->classes_filled |= 1ULL << class;
}

static ARENA_CODE void bin_remove(struct arena *arena, struct heap_block *block)
{
    unsigned class, bin;

    bin_of(size_of(block), &class, &bin);
    if (block->next_free)
        block->next_free->previous_free = block->previous_free;
    if (block->previous_free)
        block->previous_free->next_free = block->next_free;
    else
        arena->bins[class][bin] = block->next_free;
    if (arena->bins[class][bin])
        return;
    arena->bins_filled[class] &= ~(1u << bin);
    if (!arena->bins_filled[class])
        arena->classes_filled &= ~(1ULL << class);
}

static ARENA_CODE struct heap_block *bin_find(struct arena *arena, size_t size)
{
    unsigned class, bin, scanned = 0;

    bin_of(size, &class, &bin);
    for (struct heap_block *block = arena->bins[class][bin]; block && scanned < SCAN_LIMIT; block = block->next_free) {
        if (size_of(block) >= size)
            return block;
        scanned++;
    }
    /* Every block of a later bin is large enough. */
    uint32_t bins = bin + 1 < BINS_PER_CLASS ? arena->bins_filled[class] >> (bin + 1) << (bin + 1) : 0;
    if (!bins) {
        uint64_t classes = arena->classes_filled >> (class + 1) << (class + 1);
        if (!classes)
            return NULL;
        class = (unsigned)__builtin_ctzll(classes);
        bins = arena->bins_filled[class];
    }
    return arena->bins[class][__builtin_ctz(bins)];
}

/* --- blocks --- */

/* Makes `block` a free one of `size` bytes, without merging. */
static ARENA_CODE void make_free(struct arena *arena, struct heap_block *block, size_t size)
{
    block->size_and_flags = size | BLOCK_FREE | (block->size_and_flags & BLOCK_PREVIOUS_FREE);
    block->arena = arena;
    *footer_of(block) = block;
    block_behind(block)->size_and_flags |= BLOCK_PREVIOUS_FREE;
    bin_insert(arena, block);
}

/* Cuts what a block in use has beyond `size` off and frees it, together with a free neighbour. */
static ARENA_CODE void trim(struct arena *arena, struct heap_block *block, size_t size)
{
    size_t rest = size_of(block) - size;

    if (rest < HEADER + PAYLOAD_MINIMUM)
        return;
    struct heap_block *behind = block_behind(block);
    if (behind->size_and_flags & BLOCK_FREE) {
        bin_remove(arena, behind);
        rest += HEADER + size_of(behind);
    }
    block->size_and_flags = size | (block->size_and_flags & BLOCK_PREVIOUS_FREE);
    struct heap_block *cut = block_behind(block);
    cut->size_and_flags = 0;
    make_free(arena, cut, rest - HEADER);
    arena_poison(cut, HEADER + size_of(cut));
}

static ARENA_CODE void take(struct arena *arena, struct heap_block *block)
{
    bin_remove(arena, block);
    block->size_and_flags &= ~(size_t)BLOCK_FREE;
    block_behind(block)->size_and_flags &= ~(size_t)BLOCK_PREVIOUS_FREE;
}

static ARENA_CODE struct heap_block *grow(struct arena *arena, size_t size)
{
    size_t overhead = sizeof(struct chunk) + 2 * HEADER;
    size_t wanted = arena->held / 4 > CHUNK_MINIMUM ? arena->held / 4 : CHUNK_MINIMUM;
    size_t left = arena->limit - arena->held;

    if (wanted > left)
        wanted = left;
    if (wanted < size + overhead)
        wanted = size + overhead;
    wanted = (wanted + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (wanted > left)
        wanted = size + overhead;
    if (wanted > left)
        return NULL;
    struct chunk *chunk = platform_allocate(arena->platform, wanted);
    if (!chunk && wanted > size + overhead) {
        wanted = size + overhead;
        chunk = platform_allocate(arena->platform, wanted);
    }
    if (!chunk)
        return NULL;

    *chunk = (struct chunk){.next = arena->chunks, .size = wanted};
    if (chunk->next)
        chunk->next->previous = chunk;
    arena->chunks = chunk;
    arena->held += wanted;

    struct heap_block *block = (struct heap_block *)(void *)(chunk + 1);
    size_t payload = (wanted - overhead) & ~(size_t)(ALIGNMENT - 1);
    block->size_and_flags = payload;
    struct heap_block *last = block_behind(block);
    last->size_and_flags = 0;
    last->arena = arena;
    make_free(arena, block, payload);
    arena_poison(chunk + 1, wanted - sizeof(*chunk));
    return block;
}

/* A chunk that is one free block goes back to the platform, unless it is the only one. */
static ARENA_CODE bool release_chunk(struct arena *arena, struct heap_block *block)
{
    struct chunk *chunk = (struct chunk *)(void *)block - 1;

    /* The first block of a chunk never has a free one before it; find the chunk by asking all. */
    if (size_of(block_behind(block)) != 0 || !arena->chunks->next)
        return false;
    struct chunk *at = arena->chunks;
    while (at && at != chunk)
        at = at->next;
    if (!at)
        return false;
    bin_remove(arena, block);
    if (chunk->previous)
        chunk->previous->next = chunk->next;
    else
        arena->chunks = chunk->next;
    if (chunk->next)
        chunk->next->previous = chunk->previous;
    arena->held -= chunk->size;
    arena_unpoison(chunk, chunk->size);
    platform_release(arena->platform, chunk);
    return true;
}

/* --- the heap --- */

static ARENA_CODE size_t rounded(size_t size)
{
    if (size < PAYLOAD_MINIMUM)
        return PAYLOAD_MINIMUM;
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static ARENA_CODE void *arena_allocate(struct arena *arena, size_t size)
{
    if (!arena || size > SIZE_LIMIT)
        return NULL;
    size_t payload = rounded(size);
    struct heap_block *block = bin_find(arena, payload);
    if (!block)
        block = grow(arena, payload);
    if (!block)
        return NULL;
    take(arena, block);
    trim(arena, block, payload);
    block->arena = arena;
    arena->in_use += size_of(block);
    arena_unpoison(payload_of(block), size);
    return payload_of(block);
}

static ARENA_CODE void arena_free(struct heap_block *block)
{
    struct arena *arena = block->arena;

    arena->in_use -= size_of(block);
    arena_poison(block, HEADER + size_of(block));
    struct heap_block *behind = block_behind(block);
    size_t size = size_of(block);
    if (behind->size_and_flags & BLOCK_FREE) {
        bin_remove(arena, behind);
        size += HEADER + size_of(behind);
    }
    if (block->size_and_flags & BLOCK_PREVIOUS_FREE) {
        struct heap_block *before = ((struct heap_block **)(void *)block)[-1];
        bin_remove(arena, before);
        size += HEADER + size_of(before);
        block = before;
    }
    make_free(arena, block, size);
    release_chunk(arena, block);
}

static ARENA_CODE void *arena_allocate_aligned(struct arena *arena, size_t alignment, size_t size)
{
    if (alignment <= ALIGNMENT)
        return arena_allocate(arena, size);
    if (size > SIZE_LIMIT || alignment > SIZE_LIMIT)
        return NULL;
    uint8_t *memory = arena_allocate(arena, rounded(size) + alignment + HEADER + PAYLOAD_MINIMUM);
    if (!memory)
        return NULL;

    struct heap_block *block = (struct heap_block *)(void *)(memory - HEADER);
    uintptr_t aligned = ((uintptr_t)memory + alignment - 1) & ~(uintptr_t)(alignment - 1);
    while (aligned != (uintptr_t)memory && aligned - (uintptr_t)memory < HEADER + PAYLOAD_MINIMUM)
        aligned += alignment;
    arena_poison(memory, size_of(block));
    if (aligned != (uintptr_t)memory) {
        /* What is in front of the aligned address becomes a block of its own and is freed. */
        struct heap_block *moved = (struct heap_block *)(aligned - HEADER);
        size_t front = (size_t)(aligned - HEADER - (uintptr_t)memory);
        moved->size_and_flags = size_of(block) - front - HEADER;
        moved->arena = arena;
        block->size_and_flags = front | (block->size_and_flags & BLOCK_PREVIOUS_FREE);
        arena->in_use -= HEADER;
        arena_free(block);
        block = moved;
    }
    size_t before = size_of(block);
    trim(arena, block, rounded(size));
    arena->in_use -= before - size_of(block);
    arena_unpoison(payload_of(block), size);
    return payload_of(block);
}

/* In place where that is possible; NULL otherwise. */
static ARENA_CODE void *arena_resize(struct heap_block *block, size_t size)
{
    struct arena *arena = block->arena;
    size_t payload = rounded(size), before = size_of(block);
    struct heap_block *behind = block_behind(block);

    if (payload > before && behind->size_and_flags & BLOCK_FREE && before + HEADER + size_of(behind) >= payload) {
        take(arena, behind);
        block->size_and_flags += HEADER + size_of(behind);
    }
    if (payload > size_of(block))
        return NULL;
    trim(arena, block, payload);
    arena->in_use += size_of(block) - before;
    arena_poison(payload_of(block), size_of(block));
    arena_unpoison(payload_of(block), size);
    return payload_of(block);
}

struct arena *arena_create(struct platform *platform, size_t limit)
{
    struct arena *arena = platform_allocate_zeroed(platform, sizeof(*arena));

    if (!arena)
        return NULL;
    arena->platform = platform;
    arena->limit = limit;
    arena->next = arenas;
    arenas = arena;
    return arena;
}

ARENA_CODE void arena_destroy(struct arena *arena)
{
    if (!arena)
        return;
    struct arena **link = &arenas;
    while (*link && *link != arena)
        link = &(*link)->next;
    if (*link)
        *link = arena->next;
    while (arena->chunks) {
        struct chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        arena_unpoison(chunk, chunk->size);
        platform_release(arena->platform, chunk);
    }
    platform_release(arena->platform, arena);
}

size_t arena_in_use(const struct arena *arena)
{
    return arena->in_use;
}

/* --- what the libraries call --- */

void library_init(struct platform *platform)
{
    if (outside && (!platform || outside->platform != platform)) {
        arena_destroy(outside);
        outside = NULL;
    }
    if (platform && !outside)
        outside = arena_create(platform, SIZE_MAX);
}

static struct arena *arena_now(void)
{
    return fiber_current() ? fiber_arena() : outside;
}

static ARENA_CODE struct heap_block *block_of(void *memory)
{
    struct heap_block *block = (struct heap_block *)(void *)((uint8_t *)memory - HEADER);
    const struct arena *arena = arenas;

    while (arena && arena != block->arena)
        arena = arena->next;
    if (!arena || block->size_and_flags & BLOCK_FREE)
        library_abort();
    return block;
}

static void *allocated(void *memory)
{
    if (!memory)
        errno = ENOMEM;
    return memory;
}

void *library_malloc(size_t size)
{
    return allocated(arena_allocate(arena_now(), size));
}

void *library_calloc(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return allocated(NULL);
    void *memory = library_malloc(bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void library_free(void *memory)
{
    if (memory)
        arena_free(block_of(memory));
}

/* Under the sanitizer the tail of a block is poisoned, and only the allocator may copy it. */
static ARENA_CODE size_t copyable(struct heap_block *block)
{
    size_t size = size_of(block);

    arena_unpoison(payload_of(block), size);
    return size;
}

static ARENA_CODE struct arena *owner_of(const struct heap_block *block)
{
    return block->arena;
}

void *library_realloc(void *memory, size_t size)
{
    if (!memory)
        return library_malloc(size);
    struct heap_block *block = block_of(memory);
    if (!size) {
        arena_free(block);
        return NULL;
    }
    if (size > SIZE_LIMIT)
        return allocated(NULL);
    void *resized = arena_resize(block, size);
    if (resized)
        return resized;
    /* It stays in its heap, whoever asks: it lives as long as it would have. */
    void *moved = allocated(arena_allocate(owner_of(block), size));
    if (!moved)
        return NULL;
    size_t old = copyable(block);
    memcpy(moved, memory, old < size ? old : size);
    arena_free(block);
    return moved;
}

char *library_strndup(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = library_malloc(length + 1);

    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *library_strdup(const char *text)
{
    return library_strndup(text, strlen(text));
}

void *library_memalign(size_t alignment, size_t size)
{
    if (!alignment || alignment & (alignment - 1)) {
        errno = EINVAL;
        return NULL;
    }
    return allocated(arena_allocate_aligned(arena_now(), alignment, size));
}

int library_posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) || !alignment || alignment & (alignment - 1))
        return EINVAL;
    void *aligned = arena_allocate_aligned(arena_now(), alignment, size);
    if (!aligned)
        return ENOMEM;
    *memory = aligned;
    return 0;
}

void library_abort(void)
{
    if (fiber_current())
        fiber_abandon();
    if (outside)
        platform_log(outside->platform, LOG_ERROR, "a library ended the program");
    __builtin_trap();
}

void library_exit(int status)
{
    (void)status;
    library_abort();
}
