/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: what a command needs from the program around it. Filled by the mains (tools/main.c, boot/), used by ui/.
 */
#ifndef UI_SESSION_H
#define UI_SESSION_H

#include "core/filesystem.h"
#include "core/job.h"
#include "ui/command.h"
#include "ui/output.h"
#include "ui/pace.h"

struct session;
struct session_record;
struct machine_facts;

/*
 * A volume that images can be kept on: of a disk of this machine, with a file system whose files can be reached. On Linux: a file system of
 * a disk that is mounted, and the current folder. Texts are UTF-8 and printable, and "" where nothing is known.
 */
#define SESSION_VOLUME_NAME_MAX 256
struct session_volume {
    /*
     * What stands for it in names of images, see session_image_name(): "stick", its label where nothing else has it, else its UUID;
     * on Linux its mount point, or ".". "": no name leads to it, because another volume has the same label and UUID.
     * It stays the same when the disk's driver changes, and as long as no other volume with the same label comes.
     */
    char name[SESSION_VOLUME_NAME_MAX];
    char label[64], type[16], uuid[40]; /* type: as in struct filesystem_info; on Linux as the kernel names it */
    char disk[BLOCK_NAME_MAX];          /* stable name of the disk below; "": unknown */
    unsigned partition;                 /* on it; 0: the whole disk, or unknown */
    uint64_t bytes, free_bytes;         /* UINT64_MAX: unknown */
    uint64_t max_file_bytes; /* of one file: 4 GiB - 1 on FAT. A bigger image needs --split. UINT64_MAX: no limit */
    bool can_read;  /* list_files() and images work; false: locked (BitLocker, LUKS), damaged or not understood */
    bool can_write; /* a new image can be created; implies can_read */
    char why[ERROR_DETAIL_MAX]; /* when !can_write: the reason, as a clause for a person ("it is mounted read-only") */
    bool is_stick;              /* the volume that the program was started from */
    bool is_system;             /* what systems keep for themselves (EFI system, recovery): to be offered last */
};

/*
 * Takes the volumes. `volume` is valid until it returns; false: no more are wanted. It must not call the session's operations.
 */
typedef bool session_volume_found(void *context, const struct session_volume *volume);

struct session_ops {
    /* Makes sure that all disks are in the registry. */
    int (*find_disks)(struct session *session, struct error *error);
    /*
     * Before a command opens the disks and images that it names: a chance to bring better drivers to them. Disks that were
     * found before are no longer valid. NULL: nothing to prepare.
     */
    void (*prepare)(struct session *session, const struct command *command);
    /*
     * Resolves a disk's name (without #N), opens it if need be, and fills end->disk, mounted_at and is_boot_stick.
     * write: it will be a target. -ERROR_NOT_FOUND, -ERROR_AMBIGUOUS with candidates, -ERROR_BUSY.
     */
    int (*open_disk)(struct session *session, const char *name, bool write, struct job_end *end, struct error *error);
    void (*close_disk)(struct session *session, struct job_end *end);
    /* Resolves an image's name and fills end->store and is_pipe. Nothing is created yet. */
    int (*open_store)(struct session *session, const char *name, bool write, struct job_end *end, struct error *error);
    /*
     * Gives all disks back to the firmware's drivers and finds them again through these (true), or through ours (false). NULL
     * where there is no firmware.
     */
    int (*use_firmware)(struct session *session, bool firmware, struct error *error);
    /*
     * Looks for the volumes on all disks, anew with each call: disks that have come since are found, and those that are gone are
     * forgotten, as by find_disks(). Between commands only: nobody has a disk or an image open. Reads; never writes. The stick comes
     * first, the others in the order of disks and partitions; each volume once, whichever driver serves it.
     *
     * Bounded: each request has its deadline, one volume takes FILESYSTEM_LOOK_LIMIT at most, and a disk that did not answer
     * is not asked again in this call. Usually it takes a second or less. A volume that cannot be looked at is left out or,
     * when its file system is recognised, given without can_read; both with a line in the log. Returns 0, also when there is
     * none; -ERROR_CANCELLED; -ERROR_NO_MEMORY; what find_disks() returns.
     */
    int (*list_volumes)(struct session *session, session_volume_found *found, void *context, struct error *error);
    /*
     * What is in a folder of a volume. volume: a session_volume's name, or what a person may write for it (its label or UUID;
     * on Linux any folder). folder: components divided by the separator of session_image_name() or by '/'; "" is the root.
     * Which entries are given and what is returned is said at list_files in core/filesystem.h; in no order. -ERROR_NOT_FOUND: no
     * such volume or folder; -ERROR_AMBIGUOUS: several volumes. Between commands only. Disks are not looked for anew, so that a
     * list of volumes stays good for its files.
     */
    int (*list_files)(struct session *session, const char *volume, const char *folder, filesystem_found *found,
                      void *context, struct error *error);
    /* How names of images begin: true: "VOLUME:\path" (the machine); false: a volume is a folder, "VOLUME/path" (Linux). */
    bool volumes_have_colon;
    /* A question whose answer must be typed in full. 1: `expected` was typed, 0: not, -1: nobody can answer. */
    int (*confirm)(struct session *session, const char *question, const char *expected);
    /* The value of {NAME} in image names of job files: date, time, serial, model. false: no such variable. */
    bool (*variable)(struct session *session, const char *name, char *value, size_t size);
    /* What this machine is, without its disks (ui/machine_facts.h); zeroed before. NULL: nothing is known. */
    void (*machine_facts)(struct session *session, struct machine_facts *facts);
    /* Waits at most so long for a key: true when one was pressed. NULL: there are no keys. */
    bool (*wait_key)(struct session *session, uint64_t nanoseconds);
    /* May be NULL: the session's job loop tells where it is (a job file's line), for logs. */
    void (*note)(struct session *session, const char *line);
};

struct session_work;

/*
 * Who shows the work of a command that was agreed to, instead of lines of text: runs it by session_work_run() with a listener of its own.
 */
struct session_viewer {
    enum exit_code (*run)(struct session_viewer *viewer, struct session *session, struct session_work *work,
                          struct job_result *result);
};

struct session {
    const struct session_ops *ops;
    struct loop *loop;
    struct block_registry *registry;
    struct output *out;    /* what was asked for: lists, results, JSON */
    struct output *status; /* progress, plans, warnings, errors, questions */
    const char *version;
    struct session_viewer *viewer; /* NULL: progress goes to `status` */
    struct session_record *record; /* filled by what commands do (ui/record.h); NULL: nobody asks */
};

/* Runs one parsed command to its end and prints what a person or program should know. */
enum exit_code session_run(struct session *session, struct command *command);
/* Parses and runs one line. */
enum exit_code session_run_line(struct session *session, const char *line);
/* Says an error, as a sentence or as JSON. */
void session_error(struct session *session, bool json, const struct error *error);

/* What a job file asks for when its lines are done (or the first failed). WAIT (ui/unattended.h only): for a person. */
enum job_file_end { JOB_FILE_RETURN, JOB_FILE_REBOOT, JOB_FILE_POWER_OFF, JOB_FILE_WAIT };
/*
 * A job file: one command a line; '#' begins a comment line; {date} {time} {serial} {model} in names; `then return`, `then
 * reboot` or `then poweroff` says what follows. All lines are checked (grammar, --yes where data is destroyed,
 * variables, that each disk is there) before the first runs; the first failure stops. A failure never reboots or powers off.
 */
enum exit_code session_run_job_file(struct session *session, const char *text, size_t size, enum job_file_end *end);

/* Is this argument of a command an image (else a disk)? */
bool session_argument_is_image(const struct command *command, unsigned argument);
/* Calls ops->prepare() if there is one. */
void session_prepare(struct session *session, const struct command *command);

/*
 * A job, step by step, for who shows it: session_job() in lines of text, ui/walk/ on screens. Zero it, plan, run if it is
 * agreed to, close in any case.
 */
struct session_work {
    const struct command *command; /* the caller's */
    struct job_request request;
    struct plan plan;
    bool planned;
    char program[48];
};
/* Opens the ends and makes the plan; 0 also when the plan is refused. */
int session_work_plan(struct session *session, const struct command *command, struct session_work *work,
                      struct error *error);
/*
 * What must be typed before the plan may run: the end of the target's serial number ("yes" where it has none) when something is
 * destroyed, "yes" when the source is in use; NULL: nothing.
 */
const char *session_work_agreement(const struct session_work *work);
enum exit_code session_work_run(struct session *session, struct session_work *work, struct job_listener *listener,
                                struct job_result *result);
/* Could the same command with --continue go on where this one ended? */
bool session_work_goes_on(const struct session_work *work, const struct job_result *result);
void session_work_close(struct session *session, struct session_work *work);

/* --- volumes and their files (ui/volumes.c) --- */
/*
 * The name of a file on a volume, as the grammar takes it: "BACKUP:\lab\pc7.eid", "/mnt/lab/pc7.eid". folder "": the root;
 * file "": the folder itself ("BACKUP:\lab", "BACKUP:\", "/mnt/lab"). On the machine separators of either kind in `folder` become
 * backslashes. false: it does not fit, or volume is "".
 */
bool session_image_name(const struct session *session, const char *volume, const char *folder, const char *file,
                        char *name, size_t size);
/*
 * The other way round: volume and folder of such a name. On Linux the whole of it is the volume and the folder is "". *folder points into
 * `name`. false: it has no volume ("BACKUP" alone), or the volume's name does not fit.
 */
bool session_split_name(const struct session *session, const char *name, char *volume, size_t size,
                        const char **folder);

/* A folder in the order in which people read it: folders first, then by name; letters of either case are the same (ASCII). */
struct session_file_list {
    struct platform *platform;
    struct filesystem_file *files;
    size_t count, room;
    bool is_cut; /* there are more than FILESYSTEM_FILES_MAX */
};
/* Fills `list` from list_files(); free it with session_files_free(). Negative: as there, and the list is empty. */
int session_files(struct session *session, const char *volume, const char *folder, struct session_file_list *list,
                  struct error *error);
void session_files_free(struct session_file_list *list);

/* The parts, each in its own file. */
enum exit_code session_list(struct session *session, struct command *command);
enum exit_code session_list_volumes(struct session *session, struct command *command);
enum exit_code session_list_files(struct session *session, struct command *command);
enum exit_code session_info(struct session *session, struct command *command);
enum exit_code session_measure(struct session *session, struct command *command);
enum exit_code session_job(struct session *session, struct command *command);
void plan_print(struct session *session, const struct command *command, const struct plan *plan);
void plan_print_json(struct session *session, const struct plan *plan);
void message_print(struct session *session, bool json, const struct message *message);

/* Draws progress on a terminal, prints a line now and then elsewhere, JSON events when asked. */
struct progress_view {
    struct job_listener listener; /* first: what job_run() gets */
    struct session *session;
    bool json;
    bool line_open;        /* a terminal line is drawn and not ended */
    uint64_t last_printed; /* nanoseconds */
    struct pace pace;
};
void progress_view_init(struct progress_view *view, struct session *session, bool json);
void progress_view_end(struct progress_view *view);

#endif
