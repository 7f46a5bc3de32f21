/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/walk_lab.h"

static struct walk_lab *lab_of(struct session *session)
{
    return (struct walk_lab *)((char *)session - offsetof(struct walk_lab, session));
}

/* --- what the machine's program would do --- */

static int find_disks(struct session *session, struct error *error)
{
    (void)error;
    session->registry->first = lab_of(session)->no_disks ? NULL : session->registry->first;
    return 0;
}

static void prepare(struct session *session, const struct command *command)
{
    struct walk_lab *lab = lab_of(session);

    snprintf(lab->command, sizeof(lab->command), "%s %s %s", command_verb_name(command->verb), command->arguments[0],
             command->argument_count > 1 ? command->arguments[1] : "");
}

static int open_disk(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    (void)write;
    int status = block_registry_find(session->registry, name, &end->disk, error);

    end->is_boot_stick = !status && end->disk == &lab_of(session)->stick->device;
    return status;
}

static void close_disk(struct session *session, struct job_end *end)
{
    (void)session;
    (void)end;
}

static int open_store(struct session *session, const char *name, bool write, struct job_end *end, struct error *error)
{
    struct stream_store *store = &lab_of(session)->lab.store.store;

    (void)write;
    (void)error;
    snprintf(store->name, sizeof(store->name), "%s", name);
    end->store = store;
    return 0;
}

static int list_volumes(struct session *session, session_volume_found *found, void *context, struct error *error)
{
    struct walk_lab *lab = lab_of(session);
    struct session_volume backup = {.name = "BACKUP",
                                    .label = "BACKUP",
                                    .type = "exfat",
                                    .disk = "ram:SPARE",
                                    .partition = 1,
                                    .bytes = 1ULL << 40,
                                    .free_bytes = lab->free_bytes,
                                    .max_file_bytes = UINT64_MAX,
                                    .can_read = true,
                                    .can_write = !lab->volume_is_dirty};
    struct session_volume stick = {.name = "stick",
                                   .label = "EIDOLON",
                                   .type = "fat32",
                                   .disk = "ram:STICK",
                                   .bytes = 60u << 20,
                                   .free_bytes = 1u << 20,
                                   .max_file_bytes = UINT32_MAX,
                                   .can_read = true,
                                   .can_write = true,
                                   .is_stick = true};

    (void)error;
    if (lab->volume_is_dirty)
        snprintf(backup.why, sizeof(backup.why), "it was not ejected cleanly; let Windows or fsck look at it");
    if (found(context, &stick))
        found(context, &backup);
    return 0;
}

static int list_files(struct session *session, const char *volume, const char *folder, filesystem_found *found,
                      void *context, struct error *error)
{
    struct walk_lab *lab = lab_of(session);
    struct filesystem_file file = {.name = "lab", .is_folder = true, .modified = 1700000000};

    if (strcmp(volume, "BACKUP") != 0)
        return 0;
    if (folder[0] && strcmp(folder, "lab") != 0)
        return error_set(error, ERROR_NOT_FOUND, OPERATION_OPEN, folder, ERROR_NO_BLOCK, "no such folder");
    if (!folder[0] && !found(context, &file))
        return 0;
    file = (struct filesystem_file){.bytes = 100, .modified = 1700000000};
    snprintf(file.name, sizeof(file.name), "%s", lab->file ? lab->file : "");
    if (lab->file && !found(context, &file))
        return 0;
    file = (struct filesystem_file){.name = "notes.txt", .bytes = 100, .modified = 1700000000};
    if (!found(context, &file) || !lab->lab.store.volumes[0].there)
        return 0;
    file = (struct filesystem_file){.name = "pc.eid", .bytes = 123456789, .modified = 1700000000};
    found(context, &file);
    return 0;
}

static bool variable(struct session *session, const char *name, char *value, size_t size)
{
    (void)session;
    if (strcmp(name, "date") != 0)
        return false;
    snprintf(value, size, "2026-11-25");
    return true;
}

static const struct session_ops walk_lab_ops = {
    .find_disks = find_disks,
    .prepare = prepare,
    .open_disk = open_disk,
    .close_disk = close_disk,
    .open_store = open_store,
    .list_volumes = list_volumes,
    .list_files = list_files,
    .variable = variable,
    .volumes_have_colon = true,
};

/* --- --- */

static void write_nothing(struct output *output, const char *text, size_t size)
{
    (void)output;
    (void)text;
    (void)size;
}

static struct output silent = {.write = write_nothing};

void walk_lab_init(struct walk_lab *lab)
{
    memset(lab, 0, sizeof(*lab));
    lab_init(&lab->lab, 2);
    block_registry_init(&lab->registry);
    lab->pc = lab_pc(&lab->lab, "S3X9NX0K123456", PC_BYTES, 512);
    snprintf(lab->pc->device.name, BLOCK_NAME_MAX, "nvme:S3X9NX0K123456");
    snprintf(lab->pc->device.model, BLOCK_TEXT_MAX, "Samsung SSD 980 1TB");
    lab->pc->device.bus = BUS_NVME;
    lab->spare = lab_disk_create(&lab->lab, "WD-WCC4N7", PC_BYTES + (4u << 20), 512, 0);
    snprintf(lab->spare->device.name, BLOCK_NAME_MAX, "sata:WD-WCC4N7");
    snprintf(lab->spare->device.model, BLOCK_TEXT_MAX, "WDC WD40EFRX");
    lab->spare->device.bus = BUS_SATA;
    lab->stick = lab_disk_create(&lab->lab, "STICK", 8u << 20, 512, 0);
    lab->stick->device.bus = BUS_USB;
    block_registry_add(&lab->registry, &lab->pc->device);
    block_registry_add(&lab->registry, &lab->spare->device);
    block_registry_add(&lab->registry, &lab->stick->device);
    lab->free_bytes = 500ULL << 30;
    lab->session = (struct session){.ops = &walk_lab_ops,
                                    .loop = &lab->lab.loop,
                                    .registry = &lab->registry,
                                    .out = &silent,
                                    .status = &silent,
                                    .version = "1.0"};
    lab->setup = (struct walk_setup){.language = languages[0], .has_power = true, .has_prompt = true};
}

void walk_lab_free(struct walk_lab *lab)
{
    lab_disk_free(lab->pc);
    lab_disk_free(lab->spare);
    lab_disk_free(lab->stick);
    lab_free(&lab->lab);
}

enum walk_end walk_lab_run(struct walk_lab *lab, const char *keys, void (*shot)(void *context, unsigned number),
                           void *context)
{
    struct face *faces[] = {&lab->face.face};

    memory_face_init(&lab->face, 80, 25);
    lab->face.flushed = lab->flushed;
    assert_int_equal(screen_open(&lab->screen, &lab->lab.loop, faces, 1), 0);
    lab->script = (struct key_script){.face = &lab->face, .paced = true, .at_shot = shot, .context = context};
    key_script_use(&lab->script, &lab->screen, keys);
    enum walk_end end = walk_run(&lab->session, &lab->screen, &lab->setup, &lab->code);
    assert_string_equal(lab->script.rest, "");
    screen_close(&lab->screen);
    return end;
}
