/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tells one PC from another: its identity as the firmware gives it, network addresses, memory, disks. Plain data; an INI file says
 * the same (`job facts` prints it, `job check --machine=FILE` reads it):
 *
 *     [machine]
 *     vendor = Dell Inc.
 *     model = OptiPlex 7010
 *     serial = PC-21
 *     mac = 52:54:00:12:34:56, 52:54:00:12:34:57
 *     memory = 8G
 *     [disk "nvme:S3X9"]
 *     model = Samsung SSD 980
 *     serial = S3X9
 *     size = 500107862016
 *
 * What is not known is empty or zero. Serial numbers and the like that makers leave at a stock text ("To be filled by O.E.M.") tell
 * nothing, and count as not known.
 */
#ifndef UI_MACHINE_FACTS_H
#define UI_MACHINE_FACTS_H

#include "core/block.h"
#include "ui/output.h"

struct session;

#define FACT_TEXT_MAX 64
#define FACT_MACS_MAX 8
#define FACT_MAC_TEXT 18 /* "52:54:00:12:34:56", small letters */
#define FACT_DISKS_MAX 32

struct fact_disk {
    char name[BLOCK_NAME_MAX]; /* stable: "nvme:S3X9" */
    char bus[16];              /* "nvme", "sata", "usb", "virtio", "mmc", ...: the name up to its colon */
    char model[BLOCK_TEXT_MAX], serial[BLOCK_TEXT_MAX];
    uint64_t bytes;
    bool removable;
    bool is_boot_stick;
};

struct machine_facts {
    char vendor[FACT_TEXT_MAX], model[FACT_TEXT_MAX], serial[FACT_TEXT_MAX], asset_tag[FACT_TEXT_MAX];
    char board[FACT_TEXT_MAX]; /* of the main board: its product name */
    char firmware[FACT_TEXT_MAX];
    char uuid[37];   /* small letters */
    uint64_t memory; /* bytes */
    unsigned mac_count;
    char macs[FACT_MACS_MAX][FACT_MAC_TEXT];
    unsigned unknown_disks; /* that are there and could not be opened */
    unsigned disk_count;
    struct fact_disk disks[FACT_DISKS_MAX];
};

/* This machine's, disks included (they are looked for). Negative: the disks cannot be listed. */
int machine_facts_gather(struct session *session, struct machine_facts *facts, struct error *error);
/* From an INI file. -ERROR_USAGE names the line. */
int machine_facts_read(const char *text, size_t size, struct machine_facts *facts, struct error *error);
/* As such a file. */
void machine_facts_print(struct output *output, const struct machine_facts *facts);
void machine_facts_json(struct json *json, const struct machine_facts *facts);
/*
 * One of the texts by the name that rules and files use: "vendor", "model", "serial", "asset tag", "board", "firmware", "uuid". NULL: there
 * is none of that name. "": not known.
 */
const char *machine_facts_text(const struct machine_facts *facts, const char *name);
/* Is the disk built in: not USB, not removable, not the boot stick, and on a bus that is known to be a disk's? */
bool fact_disk_is_internal(const struct fact_disk *disk);

#endif
