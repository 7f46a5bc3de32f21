/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: what boot/'s files that know the core (machine.c) and those that know the firmware (efi_*.c)
 * say to each other. No type of efi.h appears here. Boot processor only.
 */
#ifndef BOOT_MACHINE_H
#define BOOT_MACHINE_H

#include "core/block.h"
#include "core/error.h"
#include "core/filesystem.h"
#include "core/partition.h"
#include "core/platform.h"
#include "core/stream.h"

struct device_set;
struct face;
struct firmware;
struct key;

/*
 * Which drivers serve the disks: ours where there is one, USB controllers when a command needs a disk on them; ours, all USB
 * controllers from the start; or the firmware's for all.
 */
enum machine_io { IO_AUTOMATIC, IO_NATIVE, IO_FIRMWARE };
/* What happens when the work is done. */
enum machine_end { END_RETURN, END_REBOOT, END_POWER_OFF };

#define MACHINE_LINE_MAX 1024

struct machine {
    struct firmware *firmware;
    struct platform *platform;
    struct loop loop;
    struct block_registry registry;
    enum machine_io io;
    enum machine_end end;
    bool text_only;                 /* ui=text: no screens, lines of text on the consoles */
    bool emulator_exit;             /* a return gives the exit code to the emulator's exit port */
    char command[MACHINE_LINE_MAX]; /* from load options or the emulator; empty: none */
    struct device_set *devices;     /* efi_devices.c; NULL: no memory */
};

/* machine.c: runs the command, the job file or the prompt. Returns an exit code of ui/command.h. */
int machine_run(struct machine *machine);
/* machine.c: cuts the words that are for the machine (io=firmware) out of a command line and obeys them. */
void machine_take_words(struct machine *machine, char *line);

/* --- console (efi_console.c); UTF-8, "\n" line ends --- */
void machine_write(struct machine *machine, const char *text, size_t size);
unsigned machine_columns(struct machine *machine);
/* Reads a line with echo, without its end; false when ESC was pressed. */
bool machine_read_line(struct machine *machine, char *line, size_t size);
/* Was a key pressed within this time? It is taken. Disks and keyboards come and go meanwhile. */
bool machine_wait_key(struct machine *machine, uint64_t nanoseconds);
/* Forgets an ESC that ended the last job. */
void machine_reset_cancel(struct machine *machine);

/* --- screen (efi_screen_find.c, efi_screen_keys.c; the seam is ui/screen/screen.h) --- */
/*
 * Opens all faces of the machine: each panel, each terminal that is a console; or the firmware's text console, if there is no panel.
 * Until the last of them is closed the console shows nothing else (machine_write() goes to the log's port alone), and keys are the
 * screen's: ESC is a key and cancels nothing. Returns how many; 0: none, or they are open already.
 */
unsigned machine_faces(struct machine *machine, struct face **faces, unsigned max);
/* The next key, from the firmware's console or keyboards of ours; never waits. false: there is none. */
bool machine_read_key(struct machine *machine, struct key *key);
/* What ESC does without a screen: the platform's cancel_requested() says so until machine_reset_cancel(). */
void machine_cancel(struct machine *machine);

/* --- disks (efi_devices.c) --- */
/*
 * Remembers where the application came from. First of all; afterwards the boot volume's files can be read.
 * false: no memory.
 */
bool machine_devices_prepare(struct machine *machine);
/*
 * Connects what can be a disk, takes the controllers that we drive, registers all disks. Again: nothing to
 * do.
 */
int machine_devices_start(struct machine *machine, struct error *error);
/*
 * Stops all disks and gives the controllers back; the firmware finds its disks again. They may be started
 * again.
 */
void machine_devices_stop(struct machine *machine);
/* The same for good. */
void machine_devices_forget(struct machine *machine);
/*
 * A command is about to work on these disks: brings our own drivers to those on USB controllers that are still the firmware's. The
 * disks' devices are others afterwards, with the same names. unknown: it also names something that is not there; disks that
 * only our drivers can serve are looked for. A controller on which a disk or the person's keyboard does not answer goes back, with a
 * line in the log. Between commands only: nobody has a disk or an image open. Waits, usually a second, at most about 20.
 */
void machine_devices_improve(struct machine *machine, struct block_device *const *disks, unsigned count, bool unknown);
/* Is there a USB controller left that this could take? */
bool machine_devices_can_improve(struct machine *machine);
/* Does the application come from this disk? */
bool machine_is_boot_disk(struct machine *machine, struct block_device *device);
/* Looks for disks that have come since, and forgets those that are gone. Between commands only. */
void machine_devices_rescan(struct machine *machine);
/*
 * The firmware lets go of the disk's volumes before it is written to, and looks at them anew afterwards, a disk of
 * ours when volumes are looked for the next time.
 * One target at a time; end for another disk than the one begun does nothing.
 */
void machine_target_begin(struct machine *machine, struct block_device *device);
void machine_target_end(struct machine *machine, struct block_device *device);

/* --- files on the firmware's volumes (efi_files.c) --- */
/*
 * An image on a volume that the firmware's file system driver knows: `volume` is "stick", a label or a
 * UUID. -ERROR_NOT_FOUND: no such volume there (others may know it), -ERROR_AMBIGUOUS: several. `name` is
 * for messages.
 */
int machine_open_volume(struct machine *machine, const char *volume, const char *path, const char *name, bool write,
                        struct stream_store **store, struct error *error);
/* The same for volumes that the drivers of fs/ know, on any disk (machine_volume.c). */
int machine_volume_open(struct machine *machine, const char *volume, const char *path, const char *name, bool write,
                        struct stream_store **store, struct error *error);
/* The disk that such a volume is on, by either; NULL: there is none of that name, or several. */
struct block_device *machine_open_volume_disk(struct machine *machine, const char *volume);
struct block_device *machine_volume_disk(struct machine *machine, const char *volume);
/* A volume of the firmware's. */
struct machine_firmware_volume {
    char label[64];
    char uuid[16];
    char disk[BLOCK_NAME_MAX];  /* "": unknown */
    uint64_t offset;            /* bytes, on it */
    uint64_t bytes, free_bytes; /* UINT64_MAX: unknown */
    bool read_only, is_stick;
    bool is_fat; /* only then the functions here find it by its name; the stick is always found */
};
/* All of them. publish: also those on disks of ours; see devices_publish(). */
void machine_firmware_volumes(struct machine *machine, bool publish,
                              void (*found)(void *context, const struct machine_firmware_volume *volume),
                              void *context);
/* A volume that a file system's driver of ours recognises, wherever its files can be reached. */
struct machine_volume {
    struct block_device *device; /* it alone; valid in the visit */
    struct block_device *disk;
    const struct partition_table *table;
    const struct partition *partition; /* NULL: the whole disk */
    const struct filesystem_driver *driver;
    const struct filesystem_info *info;
};
/* Of all disks, in order. The visitor says false: nothing more of this disk. */
void machine_volumes_visit(struct machine *machine, bool (*visit)(void *context, const struct machine_volume *volume),
                           void *context);
/*
 * Folders, as list_files in core/filesystem.h has it: of machine_open_volume()'s volumes (*known: there is one of this name, also
 * when it fails) and of machine_volume_open()'s.
 */
int machine_open_volume_files(struct machine *machine, const char *volume, const char *folder, bool *known,
                              filesystem_found *found, void *context, struct error *error);
int machine_volume_files(struct machine *machine, const char *volume, const char *folder, filesystem_found *found,
                         void *context, struct error *error);
/* A small file of the boot volume, zero-ended and platform_allocate()d. Negative: none. */
int machine_boot_file(struct machine *machine, const char *path, char **text, size_t *size);
/* Appends what was logged since the last call to \EIDOLON\LOG.TXT on the boot volume. */
int machine_save_log(struct machine *machine);

/* --- for the self-check (efi_event_check.c) --- */
/*
 * From start to stop, events of the firmware read a disk of ours in the middle of everything, every 10 ms.
 * NULL: it is not published. Stop says how many reads there were, and how many failed or read wrong data.
 */
struct machine_events;
struct machine_events *machine_events_start(struct machine *machine, struct block_device *disk);
void machine_events_stop(struct machine_events *events, unsigned *calls, unsigned *failures);

/* --- the rest --- */
/*
 * "serial", "model", "vendor", "board", "asset tag", "uuid" of the machine, or the version of its "firmware", from SMBIOS (efi_smbios.c).
 * false: not known.
 */
bool machine_system_text(struct machine *machine, const char *what, char *value, size_t size);
/* Bytes of memory that are plugged in, by SMBIOS; 0: not known. */
uint64_t machine_memory(struct machine *machine);
/* Addresses of the network cards, which may have to be started for that, as "52:54:00:12:34:56" (efi_network.c). Returns how many. */
#define MAC_TEXT 18
unsigned machine_network_addresses(struct machine *machine, char (*macs)[MAC_TEXT], unsigned most);
/* The firmware's language, such as "en-US"; false: it does not say (efi_language.c). */
bool machine_language(struct machine *machine, char *code, size_t size);
/* Ends everything at once after a bug, with a message; does not return (efi_main.c). */
_Noreturn void machine_panic(const char *message);
/* Exit codes go to the emulator's port when a test asks for that (efi_emulator.c). */
void machine_emulator_exit(int code);

#endif
