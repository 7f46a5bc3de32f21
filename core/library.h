/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What third-party libraries get instead of malloc, exit and friends.
 *
 * ports/ renames these symbols inside libext2fs, libcom_err, libe2p, libntfs-3g and libexfat, on the machine and on the host alike.
 * On a fiber, memory comes from the fiber's arena; outside of one, from the platform set by library_init(). Zeroing and
 * overflow rules are the C library's. library_exit() and library_abort() end the fiber (fiber_abandon); outside of a
 * fiber they abort the program.
 */
#ifndef CORE_LIBRARY_H
#define CORE_LIBRARY_H

#include <stddef.h>

struct platform;
struct arena;

/* NULL: gives everything that was allocated outside of fibers back (tests, at their end). */
void library_init(struct platform *platform);

void *library_malloc(size_t size);
void *library_calloc(size_t count, size_t size);
void *library_realloc(void *memory, size_t size);
void library_free(void *memory);
char *library_strdup(const char *text);
char *library_strndup(const char *text, size_t size);
int library_posix_memalign(void **memory, size_t alignment, size_t size);
void *library_memalign(size_t alignment, size_t size);
_Noreturn void library_exit(int status);
_Noreturn void library_abort(void);

/*
 * A bounded heap that can be dropped whole. It grows in chunks from the platform up to `limit` bytes, its own bookkeeping
 * included. A free or realloc of what was never allocated, or of damaged memory, ends the fiber (library_abort).
 */
struct arena *arena_create(struct platform *platform, size_t limit);
void arena_destroy(struct arena *arena);
size_t arena_in_use(const struct arena *arena); /* bytes, for tests and reports */

#endif
