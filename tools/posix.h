/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host program's own seam: the POSIX platform, blocking I/O on threads, files and disks as block devices and streams.
 */
#ifndef TOOLS_POSIX_H
#define TOOLS_POSIX_H

#include <signal.h>
#include <sys/stat.h>

#include "core/block.h"
#include "core/job.h"
#include "core/stream.h"

/* --- the platform (posix_platform.c) --- */
/* There is one. `cancelled` is set by the signal handlers of main. */
struct platform *posix_platform(volatile sig_atomic_t *cancelled);
/* Nothing is logged to standard error while screens are drawn on the same terminal. */
void posix_log_quiet(bool quiet);

/* --- blocking calls on threads (posix_io.c) --- */
/*
 * A blocking call that a thread carries out. run() fills status (0 or negative errno) and transferred; then the task waits on its
 * owner's list until the loop's thread takes it with posix_finished_take().
 */
struct posix_finished;
struct posix_task {
    void (*run)(struct posix_task *task);
    struct posix_finished *owner;
    struct posix_task *next;
    int status;
    size_t transferred;
};
struct posix_finished {
    _Atomic(struct posix_task *) first;
};
void posix_io_submit(struct platform *platform, struct posix_task *task);
/* All finished tasks of an owner, oldest first; NULL: none. */
struct posix_task *posix_finished_take(struct posix_finished *finished);
/* Reads or writes all of it (fewer bytes only at a file's end). Returns 0 or -errno. offset -1: at the file's own position. */
int posix_transfer(int descriptor, bool write, void *data, size_t size, int64_t offset, size_t *transferred);
/* The error code for an errno. */
enum error_code posix_error_code(int error_number);

/* --- a file or disk as a block device (posix_block.c) --- */
/*
 * Opens a block special file or a regular file. A regular file has 512-byte sectors, or 4,096 when its GPT says so. write: for a
 * target; a disk is opened exclusively then.
 */
int posix_block_open(struct loop *loop, const char *path, bool write, struct block_device **device,
                     struct error *error);
/* A source that becomes a target too (a partition of one disk onto another one of it). */
int posix_block_make_writable(struct block_device *device, struct error *error);
bool posix_block_is(const struct block_device *device, const struct stat *status);
/* posix_disk_in_use() for a device that is open. */
bool posix_block_in_use(const struct block_device *device, unsigned partition, char *where, size_t size);
/* Makes the kernel read a changed partition table. */
void posix_block_reread_table(struct block_device *device);

/* --- where the bytes of a file or disk really are (posix_place.c) --- */
struct posix_place {
    char name[BLOCK_NAME_MAX]; /* of the disk or file below all partitions, loop devices and links */
    uint64_t start, bytes;     /* on it */
};
void posix_place_of(const struct stat *status, struct posix_place *place);
bool posix_places_overlap(const struct posix_place *a, const struct posix_place *b);
/* A stand-in for the disk or file below, only for core to see who overlaps whom: never started, nothing can be read. */
void posix_place_device(const struct posix_place *place, struct block_device *device);

/* --- files and pipes as image stores (posix_store.c) --- */
/* POSIX_STORE_CREATE refuses a name that is taken. */
enum posix_store_use { POSIX_STORE_READ, POSIX_STORE_CREATE, POSIX_STORE_CONTINUE };
/* path "-": standard input or output. */
int posix_store_open(struct loop *loop, const char *path, enum posix_store_use use, struct stream_store **store,
                     bool *is_pipe, struct error *error);

/* --- the system's disks (posix_disks.c) --- */
/* Opens every disk of the system that is not yet in the registry, read-only. Those that cannot be opened are logged. */
int posix_disks_find(struct loop *loop, struct block_registry *registry, struct error *error);
/* Reads a small file of sysfs, trimmed; empty when it is not there. */
void posix_attribute(const char *folder, const char *name, char *text, size_t size);
/* Fills model, serial, bus and the stable name of a block special file from sysfs. */
void posix_disk_describe(struct block_device *device, const struct stat *status);
/* The disk of a block special file, and which partition of it this is (0: the disk itself). */
unsigned posix_disk_of_partition(const struct stat *status, struct stat *disk);
/*
 * Where a disk (partition 0), one of its partitions, or a file that a loop device serves is mounted or otherwise held: true
 * and the place in words.
 */
bool posix_disk_in_use(const struct stat *status, unsigned partition, char *where, size_t size);

/* --- this PC (posix_facts.c) --- */
struct machine_facts;
/* "serial", "model", "vendor", "board", "asset tag", "uuid", "firmware" of /sys/class/dmi; some are root's alone. false: not known. */
bool posix_system_text(const char *what, char *value, size_t size);
/* Without disks. */
void posix_machine_facts(struct machine_facts *facts);
/* Was a key pressed on the terminal within this time? Without a terminal the time is waited out. */
bool posix_wait_key(uint64_t nanoseconds);

#endif
