/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzing: what the targets share. A target gets bytes, makes a disk, an image or a text of them, hands it to the product, and
 * requires what must hold for any input. The same targets run under libFuzzer (libfuzzer.c) and, with the inputs that once failed,
 * in tests/unit/test_regressions.c.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "core/block.h"
#include "core/extent.h"
#include "tests/support/test_platform.h"

/* --- targets (fuzz.c) --- */

enum fuzz_input { FUZZ_BYTES, FUZZ_DISK, FUZZ_IMAGE }; /* how the input is built, for the mutators */

struct fuzz_target {
    const char *name;
    enum fuzz_input input;
    void (*run)(const uint8_t *data, size_t size);
};
/* NULL: no such target. `name` may have a folder and "fuzz_" in front. */
const struct fuzz_target *fuzz_find(const char *name);

void fuzz_image(const uint8_t *data, size_t size);
void fuzz_partition(const uint8_t *data, size_t size);
void fuzz_fat(const uint8_t *data, size_t size);
void fuzz_exfat(const uint8_t *data, size_t size);
void fuzz_ext(const uint8_t *data, size_t size);
void fuzz_ntfs(const uint8_t *data, size_t size);
void fuzz_swap_recognise(const uint8_t *data, size_t size);
void fuzz_command(const uint8_t *data, size_t size);
void fuzz_job(const uint8_t *data, size_t size);
void fuzz_usb(const uint8_t *data, size_t size);
/* Set by a target when the product's strictest reader took the input for whole; shows that a target reaches what it is for. */
extern bool fuzz_accepted;
/* Images to begin with, written into the folder. */
void fuzz_image_seeds(const char *folder);

/* Ends the program when something that must hold does not. */
#define fuzz_require(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* A platform in virtual time. fuzz_end() requires that all memory was given back, and that it never was more than `most` bytes. */
struct platform *fuzz_begin(void);
void fuzz_end(size_t most);

/* Is the text within its field, and UTF-8 without control characters? */
bool fuzz_text_valid(const char *text, size_t field_size);

static inline uint32_t fuzz_load32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}
static inline uint64_t fuzz_load64(const uint8_t *bytes)
{
    return fuzz_load32(bytes) | (uint64_t)fuzz_load32(bytes + 4) << 32;
}
static inline void fuzz_store32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

/* --- disks (fuzz_disk.c) --- */

/*
 * A disk of any size that is zero but for the records of the input, so that a few bytes reach its far end. Input, little-endian:
 *
 *     0 flags (FUZZ_REPAIR ...)   1 logical block: even 512, odd 4096   2 reserved, 2 bytes   4 size in units of 4096 bytes
 *     then records: 0 place in bytes, 8 bytes (negative: from the end)   8 length   10 kind   11 value   then data
 *
 * It is not marked as read-only, so that an attempt to write is seen: it ends the program, unless `writable` has been set. After FUZZ_READ_BUDGET bytes every read
 * fails, which bounds the time an input can take.
 */
#define FUZZ_DISK_HEADER 8
#define FUZZ_RECORD_HEADER 12
#define FUZZ_RECORDS_MAX 4096
#define FUZZ_READ_BUDGET (96u * 1024 * 1024)

#define FUZZ_REPAIR 1u   /* checksums are made right before the product looks */
#define FUZZ_NO_FILES 2u /* allocation alone */
#define FUZZ_WRITE 4u    /* last of all, a file is written */

enum fuzz_record {
    FUZZ_DATA,       /* `length` bytes follow */
    FUZZ_FILL,       /* `length` times `value` */
    FUZZ_FILL_PAGES, /* `length` times 4096 times `value` */
    FUZZ_RAMP,       /* 2 bytes follow: the first of `length` / 2 ascending 16-bit numbers */
    FUZZ_BAD,        /* `length` bytes that cannot be read */
    FUZZ_KINDS
};

struct fuzz_patch {
    uint64_t offset, length;
    enum fuzz_record kind;
    const uint8_t *data;
    uint16_t value;
};

struct fuzz_disk {
    struct block_device device; /* registered with the loop by fuzz_disk_start() */
    struct fuzz_patch patches[FUZZ_RECORDS_MAX];
    unsigned patch_count;
    uint64_t bytes;
    uint8_t flags;
    uint8_t *made; /* what fuzz_disk_poke() stored */
    size_t made_size;
    struct block_request *first, **last;
    uint64_t budget, requests;
    bool failed;                       /* a request was failed on purpose */
    bool writable;                     /* what is written is kept, as far as there is room */
    const struct extent_list *visible; /* bytes outside of these read as garbage; NULL: all are right */
};

/* At most `most` bytes, at least one block. False: too little input. */
bool fuzz_disk_load(struct fuzz_disk *disk, const uint8_t *data, size_t size, uint64_t most);
/* Behind the device's back; what lies outside reads as zero. poke stores nothing (false) when it lies outside or no room is left. */
void fuzz_disk_peek(const struct fuzz_disk *disk, uint64_t offset, void *data, size_t size);
bool fuzz_disk_poke(struct fuzz_disk *disk, uint64_t offset, const void *data, size_t size);
void fuzz_disk_start(struct fuzz_disk *disk, struct loop *loop);
/* Stops the device and frees what was made. */
void fuzz_disk_stop(struct fuzz_disk *disk);

#endif
