/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A laboratory for the screens: a machine with two disks and the stick, one volume for images, a screen in memory and keys from a
 * script.
 */
#ifndef TESTS_SUPPORT_WALK_LAB_H
#define TESTS_SUPPORT_WALK_LAB_H

#include "tests/support/job_lab.h"
#include "tests/support/memory_face.h"
#include "ui/walk/walk.h"

#define PC_BYTES (16u * 1024 * 1024)

struct walk_lab {
    struct lab lab;
    struct block_registry registry;
    struct session session; /* the operations find the laboratory by its address */
    struct lab_disk *pc, *spare, *stick;
    struct memory_face face;
    void (*flushed)(void); /* the face's */
    struct screen screen;
    struct key_script script;
    struct walk_setup setup;
    enum exit_code code;
    char command[COMMAND_LINE_MAX]; /* the last one that was prepared */
    uint64_t free_bytes;            /* of the volume */
    bool volume_is_dirty;
    bool no_disks;
    const char *file; /* one more in the volume's root; NULL: none */
};

void walk_lab_init(struct walk_lab *lab);
void walk_lab_free(struct walk_lab *lab);
/* Runs the screens with these keys, to the end. shot: called at each <shot>. */
enum walk_end walk_lab_run(struct walk_lab *lab, const char *keys, void (*shot)(void *context, unsigned number),
                           void *context);

#endif
