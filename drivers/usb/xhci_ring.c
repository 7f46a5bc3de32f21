/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that the controller sees, and rings in it. xHCI 1.2, sections 4.9 and 4.11. */
#include <limits.h>
#include <string.h>

#include "drivers/usb/xhci_internal.h"

/* ---- memory ---- */

static uint64_t run_mask(unsigned first, unsigned pages)
{
    uint64_t mask = pages >= 64 ? UINT64_MAX : (1ull << pages) - 1;
    return mask << first;
}

static bool pool_take(struct xhci_pool *pool, unsigned pages, bool aligned, struct xhci_memory *memory)
{
    uint64_t size = (uint64_t)pages * XHCI_PAGE;

    for (unsigned first = 0; first + pages <= XHCI_POOL_PAGES; first++) {
        uint64_t address = pool->address + (uint64_t)first * XHCI_PAGE;
        if (pool->used & run_mask(first, pages) || (aligned && address & (size - 1)))
            continue;
        pool->used |= run_mask(first, pages);
        memory->data = (uint8_t *)pool->buffer.data + (size_t)first * XHCI_PAGE;
        memory->address = address;
        memory->pages = pages;
        memset(memory->data, 0, (size_t)size);
        return true;
    }
    return false;
}

static struct xhci_pool *pool_create(struct xhci *xhci)
{
    if (xhci->pool_count >= XHCI_POOLS_MAX)
        return NULL;
    struct xhci_pool *pool = platform_allocate_zeroed(xhci->platform, sizeof(*pool));
    if (!pool)
        return NULL;
    if (buffer_allocate(xhci->platform, XHCI_POOL_PAGES * XHCI_PAGE, &pool->buffer))
        goto no_buffer;
    if (buffer_address(&pool->buffer, xhci->pci, &pool->address))
        goto no_address;
    pool->next = xhci->pools;
    xhci->pools = pool;
    xhci->pool_count++;
    return pool;

no_address:
    buffer_release(&pool->buffer);
no_buffer:
    platform_release(xhci->platform, pool);
    return NULL;
}

int xhci_memory_allocate(struct xhci *xhci, unsigned pages, bool aligned, struct xhci_memory *memory)
{
    *memory = (struct xhci_memory){0};
    if (!pages || pages > XHCI_POOL_PAGES)
        return -ERROR_NO_MEMORY;
    for (struct xhci_pool *pool = xhci->pools; pool; pool = pool->next)
        if (pool_take(pool, pages, aligned, memory))
            return 0;
    struct xhci_pool *pool = pool_create(xhci);
    return pool && pool_take(pool, pages, aligned, memory) ? 0 : -ERROR_NO_MEMORY;
}

void xhci_memory_release(struct xhci *xhci, struct xhci_memory *memory)
{
    for (struct xhci_pool *pool = xhci->pools; pool && memory->pages; pool = pool->next) {
        uint64_t offset = memory->address - pool->address; /* wraps for pools above */
        if (offset < (uint64_t)XHCI_POOL_PAGES * XHCI_PAGE) {
            pool->used &= ~run_mask((unsigned)(offset / XHCI_PAGE), memory->pages);
            break;
        }
    }
    *memory = (struct xhci_memory){0};
}

void xhci_memory_end(struct xhci *xhci)
{
    while (xhci->pools) {
        struct xhci_pool *pool = xhci->pools;
        xhci->pools = pool->next;
        buffer_release(&pool->buffer);
        platform_release(xhci->platform, pool);
    }
    xhci->pool_count = 0;
    buffer_release(&xhci->scratchpad_buffer);
}

/* ---- rings ---- */

void xhci_ring_init(struct xhci_ring *ring, void *trbs, uint64_t address, unsigned pages, uint32_t link_flags)
{
    ring->trbs = trbs;
    ring->address = address;
    ring->size = pages * XHCI_PAGE / (unsigned)sizeof(struct xhci_trb);
    ring->enqueue = ring->dequeue = 0;
    ring->cycle = XHCI_TRB_CYCLE;
    ring->link_flags = link_flags;
    ring->first = NULL;
    ring->last = &ring->first;
    ring->strayed = false;
    memset(trbs, 0, (size_t)pages * XHCI_PAGE);
}

static void trb_set_control(struct xhci_trb *trb, uint32_t control)
{
    dma_barrier(); /* the cycle bit comes last */
    *(volatile uint32_t *)&trb->control = control;
}

/*
 * What is left of the segment becomes links to its start, from the end towards `enqueue`: wherever the controller looks ahead, it
 * finds either an old cycle bit or a good link.
 */
static void ring_wrap(struct xhci_ring *ring)
{
    uint32_t control = XHCI_TRB_TYPE(XHCI_TRB_LINK) | XHCI_TRB_TOGGLE_CYCLE | ring->link_flags | ring->cycle;

    for (unsigned i = ring->size; i-- > ring->enqueue;) {
        ring->trbs[i].parameter = ring->address;
        ring->trbs[i].status = 0;
        trb_set_control(&ring->trbs[i], control);
    }
    ring->enqueue = 0;
    ring->cycle ^= XHCI_TRB_CYCLE;
}

bool xhci_ring_reserve(struct xhci_ring *ring, unsigned count)
{
    if (ring->enqueue < ring->dequeue)
        return ring->enqueue + count < ring->dequeue;
    if (ring->enqueue + count < ring->size) /* the last one is the link */
        return true;
    if (count >= ring->dequeue)
        return false;
    ring_wrap(ring);
    return true;
}

unsigned xhci_ring_put(struct xhci_ring *ring, const struct xhci_trb *trbs, unsigned count)
{
    unsigned first = ring->enqueue;
    struct xhci_trb *to = &ring->trbs[first];

    for (unsigned i = 0; i < count; i++) {
        to[i].parameter = trbs[i].parameter;
        to[i].status = trbs[i].status;
        to[i].control = trbs[i].control | (i ? ring->cycle : ring->cycle ^ XHCI_TRB_CYCLE);
    }
    trb_set_control(to, trbs[0].control | ring->cycle);
    ring->enqueue += count;
    return first;
}

unsigned xhci_ring_index(const struct xhci_ring *ring, uint64_t address)
{
    uint64_t offset = address - ring->address; /* wraps for addresses below */

    if (offset >= (uint64_t)ring->size * sizeof(struct xhci_trb) || offset % sizeof(struct xhci_trb))
        return UINT_MAX;
    return (unsigned)(offset / sizeof(struct xhci_trb));
}

uint64_t xhci_ring_position(const struct xhci_ring *ring)
{
    return (ring->address + ring->enqueue * sizeof(struct xhci_trb)) | ring->cycle;
}
