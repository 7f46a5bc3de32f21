/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The platform below the core: time, memory, DMA buffers, PCI, workers, waiting, log, randomness.
 *
 * Three implementations: boot/ (UEFI boot services), tools/ (POSIX) and tests/support/ (scripted: time, registers and faults
 * under the test's control). Unless a line says otherwise, functions may be called only on the main processor/thread.
 * Times are nanoseconds since an arbitrary start, on a clock that never goes back.
 */
#ifndef CORE_PLATFORM_H
#define CORE_PLATFORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct platform;
struct pci_device;
struct buffer;
struct error;

#define NANOSECONDS_PER_MICROSECOND 1000ULL
#define NANOSECONDS_PER_MILLISECOND 1000000ULL
#define NANOSECONDS_PER_SECOND 1000000000ULL

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/*
 * Registers of a device (a memory BAR). `direct` is the mapped address; a scripted platform leaves it NULL and answers
 * through its operations instead. Accesses are 32 or 64 bits, naturally aligned, in program order.
 */
struct registers {
    struct platform *platform;
    volatile uint8_t *direct;
    uint64_t size; /* bytes */
    void *context; /* the platform's own */
};

/* A PCI function. Filled by pci_enumerate(); stays valid until the platform ends. */
struct pci_device {
    struct platform *platform;
    uint16_t segment;
    uint8_t bus, device, function;
    uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
    uint32_t class_code; /* base class << 16 | subclass << 8 | programming interface */
    bool claimed;        /* ours: the firmware's driver has let go */
    bool dma_unsafe;     /* it may still write where it was told to: kept off the bus, and given to nobody */
    void *context;       /* the platform's own */
};

/*
 * A DMA-capable buffer: page aligned, contiguous for every device it is mapped for. Requests name a buffer and an offset.
 * A buffer is mapped for a device the first time that device touches it, and stays mapped until released.
 */
#define BUFFER_MAPPINGS 8
struct buffer {
    struct platform *platform;
    void *data;
    size_t size; /* bytes, a multiple of 4096 */
    void *context;
    struct {
        struct pci_device *device;
        uint64_t address; /* as the device sees it */
        void *context;
    } mappings[BUFFER_MAPPINGS];
};

struct platform_ops {
    /* Monotonic time. Any processor. */
    uint64_t (*now)(struct platform *platform);
    /* Seconds since 1970 UTC, or -1 when no clock is there. */
    int64_t (*wall_clock)(struct platform *platform);
    void (*random)(struct platform *platform, void *bytes, size_t size);

    /* Memory: aligned to 16, contents undefined; NULL when there is none. */
    void *(*allocate)(struct platform *platform, size_t size);
    void (*release)(struct platform *platform, void *memory);
    /* Page-granular memory with an inaccessible page below it where the platform can do so; for fiber stacks and arenas. */
    void *(*allocate_guarded)(struct platform *platform, size_t size);
    void (*release_guarded)(struct platform *platform, void *memory, size_t size);

    /* Nothing to do: sleep (host) or pause (machine) until wake() was called or `deadline`. May return early. */
    void (*wait)(struct platform *platform, uint64_t deadline);
    /* Ends a wait. Any processor. */
    void (*wake)(struct platform *platform);
    /* One line without a newline. */
    void (*log)(struct platform *platform, enum log_level level, const char *line);
    /* Has the person asked to stop (Ctrl-C, ESC)? Cheap; polled often. */
    bool (*cancel_requested)(struct platform *platform);

    /* DMA buffers. Returns 0 or -ERROR_NO_MEMORY. `size` is rounded up to 4096. */
    int (*buffer_allocate)(struct platform *platform, size_t size, struct buffer *buffer);
    void (*buffer_release)(struct buffer *buffer);
    /* Maps for a device; returns 0 or a negative error. Use buffer_address() below, which remembers. */
    int (*buffer_map)(struct buffer *buffer, struct pci_device *device, uint64_t *address, void **context);
    void (*buffer_unmap)(struct buffer *buffer, struct pci_device *device, void *context);

    /* PCI; NULL on platforms without. `found` returns false to stop. */
    void (*pci_enumerate)(struct platform *platform, bool (*found)(struct pci_device *device, void *context),
                          void *context);
    /* Takes the function from the firmware's driver, turns memory decoding, bus mastering and 64-bit addressing on. */
    int (*pci_claim)(struct pci_device *device, struct error *error);
    /* Bus mastering off, state as before pci_claim, firmware's driver connected again. */
    void (*pci_release)(struct pci_device *device);
    /* Bus mastering off, nothing else: after a failed reset, so that memory can be reused. */
    void (*pci_stop_dma)(struct pci_device *device);
    uint32_t (*pci_config_read32)(struct pci_device *device, unsigned offset);
    void (*pci_config_write32)(struct pci_device *device, unsigned offset, uint32_t value);
    /* Maps a memory BAR (0 to 5). */
    int (*pci_map_registers)(struct pci_device *device, unsigned bar, struct registers *registers);
    uint64_t (*register_read)(struct registers *registers, uint64_t offset, unsigned width_bytes);
    void (*register_write)(struct registers *registers, uint64_t offset, unsigned width_bytes, uint64_t value);

    /*
     * Workers: up to `count` other processors run entry(context, index), index from 0, with their own stacks (at least
     * 64 KiB). Returns how many started (0 is fine: everything works without). Pure computation only: no allocation, no
     * platform call but now(), wake(), worker_wait() and worker_wake().
     */
    unsigned (*workers_start)(struct platform *platform, unsigned count, void (*entry)(void *context, unsigned index),
                              void *context);
    /*
     * Waits until every entry has returned, which the caller has told them through its own flag. false: at `deadline`
     * some had not. They are lost: the platform uses no worker again, and what they may touch must stay where it is.
     */
    bool (*workers_join)(struct platform *platform, uint64_t deadline);
    /* On a worker: idle while *word == value (may return early). */
    void (*worker_wait)(struct platform *platform, _Atomic uint32_t *word, uint32_t value);
    /* Any processor: wakes workers that wait on `word`. */
    void (*worker_wake)(struct platform *platform, _Atomic uint32_t *word);

    /*
     * Between these two no call comes in from outside (an event of the firmware that reads a published disk). Nests; for
     * short pieces of work that leave queues half linked. NULL: no such calls exist.
     */
    void (*hold_events)(struct platform *platform);
    void (*release_events)(struct platform *platform);
};

struct platform {
    const struct platform_ops *ops;
    unsigned processors; /* usable, the main one included */
};

static inline uint64_t platform_now(struct platform *platform)
{
    return platform->ops->now(platform);
}
static inline uint64_t deadline_after(struct platform *platform, uint64_t nanoseconds)
{
    return platform->ops->now(platform) + nanoseconds;
}
static inline void *platform_allocate(struct platform *platform, size_t size)
{
    return platform->ops->allocate(platform, size);
}
/* Zeroed. */
void *platform_allocate_zeroed(struct platform *platform, size_t size);
static inline void platform_release(struct platform *platform, void *memory)
{
    if (memory)
        platform->ops->release(platform, memory);
}

static inline void platform_hold_events(struct platform *platform)
{
    if (platform->ops->hold_events)
        platform->ops->hold_events(platform);
}
static inline void platform_release_events(struct platform *platform)
{
    if (platform->ops->release_events)
        platform->ops->release_events(platform);
}

/* Formats one line (at most 400 bytes) and hands it to the platform. "what happened, to which disk, what to do next". */
__attribute__((format(printf, 3, 4))) void platform_log(struct platform *platform, enum log_level level,
                                                        const char *format, ...);

int buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer);
/* Unmaps everywhere and frees. A zeroed struct is fine. */
void buffer_release(struct buffer *buffer);
/* The address of buffer->data as `device` sees it, mapping on first use. 0 or a negative error. */
int buffer_address(struct buffer *buffer, struct pci_device *device, uint64_t *address);
/* Drops the mappings of one device from a buffer (before the device is given back). */
void buffer_forget_device(struct buffer *buffer, struct pci_device *device);

uint32_t register_read32(struct registers *registers, uint64_t offset);
uint64_t register_read64(struct registers *registers, uint64_t offset); /* as two 32-bit halves, low first */
void register_write32(struct registers *registers, uint64_t offset, uint32_t value);
void register_write64(struct registers *registers, uint64_t offset, uint64_t value); /* low half first */

/* Orders memory between processor and device. A compiler barrier on x86; say what is meant for a weaker machine. */
#define dma_barrier() atomic_thread_fence(memory_order_seq_cst)
static inline void processor_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
