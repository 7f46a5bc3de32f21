/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Volumes made by the real tools (mkfs, mkntfs, debugfs, ...) in a folder of their own in memory, and seen as a RAM disk.
 */
#ifndef TESTS_SUPPORT_VOLUME_MAKER_H
#define TESTS_SUPPORT_VOLUME_MAKER_H

#include "core/filesystem.h"

struct test_volume {
    struct loop loop;
    char folder[64]; /* commands run here; "image" is the volume */
    uint8_t *bytes;  /* the image, mapped */
    size_t size;
    struct block_device *device; /* over `bytes` */
};

/* A folder with an empty image of `size` bytes; test_volume_open() maps it once it has been formatted. */
void test_volume_init(struct test_volume *volume, size_t size);
void test_volume_open(struct test_volume *volume, uint32_t logical_block);
void test_volume_free(struct test_volume *volume);
/* Runs a shell command in the folder, output to its file "log". Returns the exit code. */
__attribute__((format(printf, 2, 3))) int test_volume_run(struct test_volume *volume, const char *command, ...);
/* Writes the file "expected" in the folder, for cmp. false: it could not. */
bool test_volume_expect(struct test_volume *volume, const uint8_t *bytes, size_t size);
/* The number behind `key` in a command's output; -1: not there. */
long long test_volume_number(struct test_volume *volume, const char *command, const char *key);
/* Makes the folder "files" in it: small ones, big ones, sparse ones, a deep tree. */
void test_volume_make_files(struct test_volume *volume);
/* Fills every byte that is not used with garbage, in the image itself. */
void test_volume_fill_unused(struct test_volume *volume, const struct extent_list *used);
/* Writes "restored": the used bytes on garbage. */
void test_volume_restore(struct test_volume *volume, const struct extent_list *used);
/* True when a message with this ID is there. */
bool test_has_message(const struct allocation *allocation, enum message_id id);
/* A reproducible stream of bytes. */
void test_garbage(uint8_t *bytes, size_t size, uint64_t seed);

#endif
