/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware as the files of this folder that include efi.h see it. Everything else talks to machine.h or
 * core/platform.h.
 *
 * Boot services are called on the boot processor only, at TPL_APPLICATION unless a line says otherwise.
 */
#ifndef BOOT_EFI_FIRMWARE_H
#define BOOT_EFI_FIRMWARE_H

#include <efi.h>

#include "boot/efi_protocols.h"
#include "boot/machine.h"
#include "core/error.h"
#include "core/platform.h"

#define LOG_RING_SIZE (128u * 1024)
#define KEYS_MAX 32

/* What is changed on a processor and put back at the end (efi_processor.c). */
struct processor_state {
    UINT64 cr0, cr4, xcr0;
    UINT32 mxcsr;
    bool vectors; /* CR4.OSXSAVE and XCR0 were set by us */
};

struct worker_pool;       /* efi_workers.c */
struct pci_function;      /* efi_pci.c */
struct firmware_keyboard; /* efi_keyboard.c */
struct firmware_screen;   /* efi_screen.c */

struct firmware {
    struct platform platform; /* first: what the core sees */
    EFI_HANDLE image;
    EFI_SYSTEM_TABLE *system;
    EFI_BOOT_SERVICES *boot;

    /* efi_time.c: nanoseconds = (ticks since start) * multiplier >> 32 */
    UINT64 time_start, time_multiplier;
    _Atomic uint32_t woken;

    /* efi_memory.c */
    struct efi_memory_attribute *memory_attribute; /* NULL: none */
    UINTN pieces, pages;                           /* that were not given back yet */

    /* efi_console.c */
    bool emulated;      /* a hypervisor or emulator says that it is one */
    bool debug_console; /* the emulator's port 0x403 */
    unsigned columns, rows;
    UINT64 next_key_check;
    bool cancelled, quiet;
    EFI_INPUT_KEY keys[KEYS_MAX]; /* typed while work ran, for the next question */
    unsigned key_count;
    char log_ring[LOG_RING_SIZE];
    UINT64 log_written;                 /* bytes ever logged; the ring holds the last LOG_RING_SIZE of them */
    UINT64 log_saved;                   /* of these, in the file on the boot volume */
    struct firmware_keyboard *keyboard; /* ours, for the firmware to read; NULL: not started */
    struct firmware_screen *screen;     /* NULL: the console is for text */

    /* efi_platform.c */
    EFI_RNG_PROTOCOL *rng;
    UINT64 random_state[4];

    EFI_TPL level; /* what release_events() goes back to */
    unsigned events_held;

    struct processor_state processor;
    struct worker_pool *workers;
    struct pci_function *functions;
};

static inline struct firmware *firmware_of(struct platform *platform)
{
    return (struct firmware *)platform;
}

/* efi_platform.c: fills the operations and brings everything up, or puts it back (false: a processor is still in our code). */
void firmware_start(struct firmware *firmware, EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
bool firmware_stop(struct firmware *firmware);
/* A firmware status in the core's words (negative). */
int firmware_error(EFI_STATUS status);
/* First instance of a protocol, NULL when there is none. */
void *firmware_protocol(struct firmware *firmware, EFI_GUID *guid);
/* A protocol of one handle, NULL when it has none. */
void *firmware_handle_protocol(struct firmware *firmware, EFI_HANDLE handle, EFI_GUID *guid);
/* A table that the system table points to; NULL: none. */
const UINT8 *firmware_table(struct firmware *firmware, EFI_GUID guid);
/* All handles with a protocol (NULL: all handles); free with firmware_free(). Returns how many. */
UINTN firmware_handles(struct firmware *firmware, EFI_GUID *guid, EFI_HANDLE **handles);
void firmware_free(struct firmware *firmware, void *pool);
void firmware_random(struct platform *platform, void *bytes, size_t size);
void firmware_hold_events(struct platform *platform);
void firmware_release_events(struct platform *platform);
/* The same at the beginning of a call from the firmware, which may come at any level. */
void firmware_hold_events_of_caller(struct firmware *firmware);

/* efi_time.c */
void firmware_time_start(struct firmware *firmware);
uint64_t firmware_now(struct platform *platform);
int64_t firmware_wall_clock(struct platform *platform);
/* Seconds since 1970; -1: no such time. */
int64_t firmware_seconds(const EFI_TIME *time);
void firmware_wait(struct platform *platform, uint64_t deadline);
void firmware_wake(struct platform *platform);

/* efi_memory.c */
void *firmware_allocate(struct platform *platform, size_t size);
void firmware_release(struct platform *platform, void *memory);
void *firmware_allocate_guarded(struct platform *platform, size_t size);
void firmware_release_guarded(struct platform *platform, void *memory, size_t size);
int firmware_buffer_allocate(struct platform *platform, size_t size, struct buffer *buffer);
void firmware_buffer_release(struct buffer *buffer);
/* Says in the log what was not given back: the firmware frees nothing of it when the program ends. */
void firmware_memory_check(struct firmware *firmware);

/* efi_console.c */
void firmware_console_start(struct firmware *firmware);
void firmware_console_write(struct firmware *firmware, const char *text, size_t size);
void firmware_log(struct platform *platform, enum log_level level, const char *line);
bool firmware_cancel_requested(struct platform *platform);
/* The next key; waits until `deadline`. */
bool firmware_read_key(struct firmware *firmware, EFI_INPUT_KEY *key, UINT64 deadline);

/* efi_keyboard.c: a key of our own keyboards that the firmware's console has not taken. false: there is none. */
bool firmware_keyboard_read(struct firmware *firmware, EFI_INPUT_KEY *key);
/* What we show to the firmware, for its check; only when started. */
void firmware_keyboard_protocols(struct firmware *firmware, SIMPLE_INPUT_INTERFACE **simple,
                                 EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL **extended);

/* efi_processor.c. Any processor. */
void processor_prepare(struct processor_state *saved);
void processor_restore(const struct processor_state *saved);
/* Drops the address translations that this processor remembers. */
void processor_forget_translations(void);
/* Calls entry(argument) on another stack of `size` bytes (a multiple of 16, aligned to 16). */
void processor_run_on_stack(void *stack, size_t size, void (*entry)(void *argument), void *argument);

/* efi_workers.c */
void firmware_workers_count(struct firmware *firmware); /* sets platform.processors */
unsigned firmware_workers_start(struct platform *platform, unsigned count, void (*entry)(void *context, unsigned index),
                                void *context);
bool firmware_workers_join(struct platform *platform, uint64_t deadline);
void firmware_worker_wait(struct platform *platform, _Atomic uint32_t *word, uint32_t value);
void firmware_worker_wake(struct platform *platform, _Atomic uint32_t *word);
/* Gives all processors back. false: one still runs our code, so the program must not return. */
bool firmware_workers_stop(struct firmware *firmware);

/* efi_pci.c */
void firmware_pci_enumerate(struct platform *platform, bool (*found)(struct pci_device *device, void *context),
                            void *context);
int firmware_pci_claim(struct pci_device *device, struct error *error);
void firmware_pci_release(struct pci_device *device);
void firmware_pci_stop_dma(struct pci_device *device);
uint32_t firmware_pci_config_read32(struct pci_device *device, unsigned offset);
void firmware_pci_config_write32(struct pci_device *device, unsigned offset, uint32_t value);
int firmware_pci_map_registers(struct pci_device *device, unsigned bar, struct registers *registers);
uint64_t firmware_register_read(struct registers *registers, uint64_t offset, unsigned width_bytes);
void firmware_register_write(struct registers *registers, uint64_t offset, unsigned width_bytes, uint64_t value);
int firmware_buffer_map(struct buffer *buffer, struct pci_device *device, uint64_t *address, void **context);
void firmware_buffer_unmap(struct buffer *buffer, struct pci_device *device, void *context);
EFI_HANDLE firmware_pci_handle(struct pci_device *device);
void firmware_pci_stop(struct firmware *firmware);

/* efi_text.c: UCS-2 and UTF-8. Both cut at the size of the target, which always ends with a zero. */
size_t text_from_ucs2(char *to, size_t to_size, const CHAR16 *from, size_t from_units);
size_t text_to_ucs2(CHAR16 *to, size_t to_units, const char *from, size_t from_size);
size_t ucs2_length(const CHAR16 *text, size_t limit);

/* efi_path.c: device paths. All bounded: a path longer than 4 KiB is cut off. */
size_t path_size(const EFI_DEVICE_PATH *path); /* bytes, the end node included */
EFI_DEVICE_PATH *path_copy(struct firmware *firmware, const EFI_DEVICE_PATH *path);
bool path_equal(const EFI_DEVICE_PATH *a, const EFI_DEVICE_PATH *b);
/* Is `prefix` (without its end) how `path` begins? */
bool path_begins_with(const EFI_DEVICE_PATH *path, const EFI_DEVICE_PATH *prefix);
/* The last node of type and subtype; NULL: none. */
const EFI_DEVICE_PATH *path_node(const EFI_DEVICE_PATH *path, UINT8 type, UINT8 subtype);
EFI_DEVICE_PATH *path_of_handle(struct firmware *firmware, EFI_HANDLE handle);

#endif
