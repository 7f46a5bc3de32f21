/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of images on volumes, `volumes` and `files` in front of a scripted session, and Linux's volumes and folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/posix_volumes.h"

/* --- a session that answers from a script --- */

struct script {
    struct session session; /* first */
    struct output output;
    char text[1 << 16];
    size_t length;
    const struct session_volume *volumes;
    const char *const *files; /* NULL-ended; "/" behind a name: a folder */
    unsigned repeat;          /* how often the files are given; their names get numbers then */
    int status;
    char asked[256];
    struct loop loop;
};

static struct script *script_of(struct session *session)
{
    return (struct script *)session;
}

static void record(struct output *output, const char *text, size_t size)
{
    struct script *script = (struct script *)((char *)output - offsetof(struct script, output));

    assert_true(script->length + size < sizeof(script->text));
    memcpy(script->text + script->length, text, size);
    script->length += size;
    script->text[script->length] = 0;
}

static int list_volumes(struct session *session, session_volume_found *found, void *context, struct error *error)
{
    const struct session_volume *volume = script_of(session)->volumes;

    while (volume->type[0] && found(context, volume))
        volume++;
    return script_of(session)->status ? error_set(error, (enum error_code) - script_of(session)->status, OPERATION_READ,
                                                  "", ERROR_NO_BLOCK, "so it says")
                                      : 0;
}

static int list_files(struct session *session, const char *volume, const char *folder, filesystem_found *found,
                      void *context, struct error *error)
{
    struct script *script = script_of(session);
    struct filesystem_file file = {.bytes = 1536, .modified = 86399};

    snprintf(script->asked, sizeof(script->asked), "%s|%s", volume, folder);
    for (unsigned turn = 0; turn < script->repeat; turn++) {
        for (unsigned i = 0; script->files[i]; i++) {
            size_t length = strlen(script->files[i]);
            file.is_folder = script->files[i][length - 1] == '/';
            snprintf(file.name, sizeof(file.name), "%.*s", (int)(length - file.is_folder), script->files[i]);
            if (turn)
                snprintf(file.name + strlen(file.name), 16, "%u", turn);
            if (!found(context, &file))
                return 0;
        }
    }
    return script->status < 0 ? error_set(error, (enum error_code) - script->status, OPERATION_READ, volume,
                                          ERROR_NO_BLOCK, "so it says")
                              : script->status;
}

static const struct session_ops machine_ops = {
    .list_volumes = list_volumes, .list_files = list_files, .volumes_have_colon = true};
static const struct session_ops linux_ops = {.list_volumes = list_volumes, .list_files = list_files};

static struct script *start(const struct session_ops *ops)
{
    static struct script script;

    memset(&script, 0, sizeof(script));
    script.output.write = record;
    script.repeat = 1;
    script.session = (struct session){
        .ops = ops, .loop = &script.loop, .out = &script.output, .status = &script.output, .version = "test"};
    loop_init(&script.loop, posix_platform(NULL));
    return &script;
}

/* --- names --- */

static void assert_name(const struct session_ops *ops, const char *volume, const char *folder, const char *file,
                        const char *expected)
{
    char name[32];

    assert_int_equal(session_image_name(&start(ops)->session, volume, folder, file, name, sizeof(name)),
                     expected != NULL);
    if (expected)
        assert_string_equal(name, expected);
}

static void names_are_joined(void **state)
{
    (void)state;
    assert_name(&machine_ops, "BACKUP", "lab", "pc7.eid", "BACKUP:\\lab\\pc7.eid");
    assert_name(&machine_ops, "BACKUP", "", "pc7.eid", "BACKUP:\\pc7.eid");
    assert_name(&machine_ops, "BACKUP", "/lab//7\\", "pc.eid", "BACKUP:\\lab\\7\\pc.eid");
    assert_name(&machine_ops, "BACKUP", "lab\\7", "", "BACKUP:\\lab\\7");
    assert_name(&machine_ops, "BACKUP", "", "", "BACKUP:\\");
    assert_name(&machine_ops, "", "lab", "pc7.eid", NULL);
    assert_name(&machine_ops, "BACKUP", "lab", "a name that is too long", NULL);
    assert_name(&machine_ops, "BACKUP", "", "12345678901234567890.ei", "BACKUP:\\12345678901234567890.ei");
    assert_name(&machine_ops, "BACKUP", "", "12345678901234567890.eid", NULL);
    assert_name(&linux_ops, "/mnt/lab", "", "pc7.eid", "/mnt/lab/pc7.eid");
    assert_name(&linux_ops, "/mnt", "lab/", "pc7.eid", "/mnt/lab/pc7.eid");
    assert_name(&linux_ops, "/mnt", "a\\b", "", "/mnt/a\\b");
    assert_name(&linux_ops, "/mnt", "", "", "/mnt");
    assert_name(&linux_ops, "/", "", "pc.eid", "/pc.eid");
    assert_name(&linux_ops, ".", "", "pc.eid", "./pc.eid");
}

static void assert_split(const struct session_ops *ops, const char *name, const char *volume, const char *folder)
{
    const char *rest;
    char got[12];

    assert_int_equal(session_split_name(&start(ops)->session, name, got, sizeof(got), &rest), volume != NULL);
    if (!volume)
        return;
    assert_string_equal(got, volume);
    assert_string_equal(rest, folder);
}

static void names_are_split(void **state)
{
    (void)state;
    assert_split(&machine_ops, "BACKUP:\\lab\\7", "BACKUP", "\\lab\\7");
    assert_split(&machine_ops, "usb:BACKUP:/lab", "usb:BACKUP", "/lab");
    assert_split(&machine_ops, "BACKUP:\\", "BACKUP", "\\");
    assert_split(&machine_ops, "BACKUP", NULL, NULL);
    assert_split(&machine_ops, "BACKUP:", NULL, NULL);
    assert_split(&machine_ops, ":\\lab", NULL, NULL);
    assert_split(&machine_ops, "", NULL, NULL);
    assert_split(&machine_ops, "12345678901:\\", "12345678901", "\\");
    assert_split(&machine_ops, "123456789012:\\", NULL, NULL);
    assert_split(&linux_ops, "/mnt/lab", "/mnt/lab", "");
    assert_split(&linux_ops, "", NULL, NULL);
}

/* --- commands --- */

static void assert_says(struct script *script, const char *line, enum exit_code code, const char *expected)
{
    script->length = 0;
    assert_int_equal(session_run_line(&script->session, line), code);
    if (!strstr(script->text, expected))
        fail_msg("%s says:\n%s", line, script->text);
}

static void volumes_are_shown(void **state)
{
    static const struct session_volume volumes[] = {{.name = "stick",
                                                     .label = "EIDOLON",
                                                     .type = "fat32",
                                                     .disk = "usb:STICK",
                                                     .partition = 1,
                                                     .bytes = 8ull << 30,
                                                     .free_bytes = 7ull << 30,
                                                     .max_file_bytes = 0xffffffff,
                                                     .can_read = true,
                                                     .can_write = true,
                                                     .is_stick = true},
                                                    {.label = "C",
                                                     .type = "bitlocker",
                                                     .disk = "nvme:S1",
                                                     .bytes = 1ull << 40,
                                                     .free_bytes = UINT64_MAX,
                                                     .max_file_bytes = UINT64_MAX,
                                                     .why = "BitLocker keeps it locked"},
                                                    {.type = ""}};
    struct script *script = start(&machine_ops);

    (void)state;
    script->volumes = volumes;
    assert_says(script, "volumes", EXIT_CODE_DONE, "8.0 GiB    7.0 GiB free  fat32      usb:STICK#1");
    assert_non_null(strstr(script->text,
                           "  stick:\\  (EIDOLON)\n    files of up to 3.9 GiB: a larger image is cut with --split\n"));
    assert_non_null(strstr(script->text, "  -  (C)\n    cannot be used: BitLocker keeps it locked\n"));
    assert_says(
        script, "volumes --json", EXIT_CODE_DONE,
        "{\"version\":\"test\",\"volumes\":[{\"name\":\"stick\",\"folder\":\"stick:\\u005c\",\"label\":\"EIDOLON\"");
    assert_non_null(strstr(script->text, "\"max_file_bytes\":4294967295,\"can_read\":true,\"can_write\":true,"));
    assert_non_null(strstr(script->text, "},{\"name\":\"\",\"label\":\"C\""));
    assert_null(strstr(script->text, "18446744073709551615"));
    assert_non_null(strstr(script->text, "],\"complete\":true}\n"));
    script->status = -ERROR_CANCELLED;
    assert_says(script, "volumes --json", EXIT_CODE_CANCELLED, "],\"complete\":false}\n{\"event\":\"error\"");
    script->status = 0;
    script->volumes = &volumes[2];
    assert_says(script, "volumes", EXIT_CODE_DONE, "No volumes were found");
    assert_says(script, "volumes BACKUP", EXIT_CODE_USAGE, "too many names");
}

static void files_are_sorted_and_shown(void **state)
{
    static const char *const files[] = {"b.eid",     "Z.eid",        "a.eid", "A.eid", "old/",
                                        "B.eid.001", "\xc3\xa4.eid", "Lab/",  NULL};
    static const char *const order[] = {"Lab", "old", "A.eid", "a.eid", "b.eid", "B.eid.001", "Z.eid", "\xc3\xa4.eid"};
    static const char *const none[] = {NULL};
    struct script *script = start(&machine_ops);
    struct session_file_list list;
    struct error error = {0};

    (void)state;
    script->files = files;
    assert_int_equal(session_files(&script->session, "V", "f", &list, &error), 0);
    assert_int_equal(list.count, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_string_equal(list.files[i].name, order[i]);
    assert_false(list.is_cut);
    session_files_free(&list);

    assert_says(
        script, "files \"BACKUP:\\my lab\"", EXIT_CODE_DONE,
        "   folder  1970-01-01 23:59  Lab\n   folder  1970-01-01 23:59  old\n  1.5 KiB  1970-01-01 23:59  A.eid\n");
    assert_string_equal(script->asked, "BACKUP|\\my lab");
    assert_says(script, "files BACKUP:/lab --json", EXIT_CODE_DONE,
                "{\"folder\":\"BACKUP:/lab\",\"files\":[{\"name\":\"Lab\",\"is_folder\":true,\"modified\":86399},");
    assert_non_null(strstr(script->text, "{\"name\":\"a.eid\",\"is_folder\":false,\"bytes\":1536,\"modified\":86399}"));
    assert_non_null(strstr(script->text, "],\"complete\":true}\n"));
    assert_says(script, "files BACKUP", EXIT_CODE_USAGE, "a folder is named as VOLUME:\\folder");

    script->status = 1;
    assert_says(script, "files V:\\", EXIT_CODE_DONE, "The folder has more than these 10000 files.\n");
    script->status = -ERROR_NOT_FOUND;
    assert_says(script, "files V:\\ --json", EXIT_CODE_USAGE, "{\"event\":\"error\",\"code\":\"not found\"");
    script->status = -ERROR_CORRUPT;
    assert_int_equal(session_files(&script->session, "V", "f", &list, &error), -ERROR_CORRUPT);
    assert_int_equal(list.count, 0);
    assert_says(script, "files V:\\", EXIT_CODE_IMAGE, "so it says");
    script->status = 0;
    script->files = none;
    assert_says(script, "files V:\\", EXIT_CODE_DONE, "The folder is empty.\n");
}

/* Whoever gives more than is agreed is cut off. */
static void lists_are_bounded(void **state)
{
    static const char *const files[] = {"file", "folder/", NULL};
    struct script *script = start(&machine_ops);
    struct session_file_list list;
    struct error error = {0};

    (void)state;
    script->files = files;
    script->repeat = FILESYSTEM_FILES_MAX / 2;
    assert_int_equal(session_files(&script->session, "V", "", &list, &error), 0);
    assert_int_equal(list.count, FILESYSTEM_FILES_MAX);
    assert_false(list.is_cut);
    session_files_free(&list);
    script->repeat++;
    assert_int_equal(session_files(&script->session, "V", "", &list, &error), 0);
    assert_int_equal(list.count, FILESYSTEM_FILES_MAX);
    assert_true(list.is_cut);
    session_files_free(&list);
}

/* --- Linux --- */

static char folder[200];

static int make_folder(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof(folder), "%s/eidolon-volumes-XXXXXX", base ? base : "/tmp");
    return !mkdtemp(folder);
}

static int remove_folder(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static void shell(const char *command)
{
    char line[600];

    snprintf(line, sizeof(line), "cd '%s' && { %s; }", folder, command);
    assert_int_equal(system(line), 0);
}

struct seen {
    struct session_volume volumes[16];
    unsigned count, most;
};

static bool see(void *context, const struct session_volume *volume)
{
    struct seen *seen = context;

    assert_true(seen->count < 16);
    seen->volumes[seen->count++] = *volume;
    return seen->count != seen->most;
}

/* A block special file of this system; which one does not matter, it is never opened. */
static void find_block_files(char names[2][300])
{
    DIR *devices = opendir("/dev");
    unsigned count = 0;
    struct stat status;

    assert_non_null(devices);
    for (struct dirent *entry; count < 2 && (entry = readdir(devices));) {
        snprintf(names[count], 300, "/dev/%s", entry->d_name);
        count += stat(names[count], &status) == 0 && S_ISBLK(status.st_mode);
    }
    closedir(devices);
    assert_int_equal(count, 2);
}

static void mounts_of_disks_are_volumes(void **state)
{
    static struct seen seen;
    char disks[2][300], table[300];
    struct error error = {0};
    FILE *file;

    (void)state;
    find_block_files(disks);
    shell("mkdir -p 'my lab' other && touch plain");
    snprintf(table, sizeof(table), "%s/mountinfo", folder);
    file = fopen(table, "w");
    assert_non_null(file);
    fprintf(file, "21 1 0:21 / /proc rw - proc proc rw\n");
    fprintf(file, "22 1 7:1 / %s/other rw - squashfs %s rw\n", folder, disks[1]);
    fprintf(file, "23 1 8:1 /plain %s/plain rw shared:1 - vfat %s rw\n", folder, disks[0]);
    fprintf(file, "24 1 8:1 /part %s/other rw,noatime shared:1 master:2 - vfat %s rw\n", folder, disks[0]);
    fprintf(file, "25 1 8:1 / %s/my\\040lab rw - vfat %s rw\n", folder, disks[0]);
    fprintf(file, "26 1 8:1 / %s rw - vfat %s rw\n", folder, disks[0]);
    fprintf(file, "27 1 8:1 / %s/gone rw - ext4 %s rw\n", folder, disks[1]);
    fprintf(file, "28 1 8:1 / %s/other rw - ext4 %s/plain rw\n", folder, folder);
    fprintf(file, "broken\n29 - \n");
    fclose(file);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(posix_volumes_list(posix_platform(NULL), table, see, &seen, &error), 0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.volumes[0].name, ".");
    assert_true(seen.volumes[0].can_write && seen.volumes[0].can_read);
    char expected[300];
    snprintf(expected, sizeof(expected), "%s/my lab", folder);
    assert_string_equal(seen.volumes[1].name, expected);
    assert_string_equal(seen.volumes[1].type, "vfat");
    assert_true(seen.volumes[1].max_file_bytes == 0xffffffff);
    assert_true(seen.volumes[1].bytes > 0 && seen.volumes[1].free_bytes <= seen.volumes[1].bytes);
    seen.count = 0;
    seen.most = 1;
    assert_int_equal(posix_volumes_list(posix_platform(NULL), table, see, &seen, &error), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(posix_volumes_list(posix_platform(NULL), "/nowhere", see, &seen, &error), -ERROR_NOT_FOUND);
    assert_int_equal(chdir("/"), 0);
}

static bool count_file(void *context, const struct filesystem_file *file)
{
    unsigned *sums = context;

    sums[0]++;
    if (strcmp(file->name, "plain") == 0 || strcmp(file->name, "link") == 0)
        assert_true(file->bytes == 5 && file->modified == 1700000000 && !file->is_folder);
    else
        assert_true(file->is_folder && file->bytes == 0 && strcmp(file->name, "Größe") == 0);
    return sums[0] != sums[1];
}

static void folders_are_read(void **state)
{
    unsigned sums[2] = {0, 0};
    struct error error = {0};
    char place[300];

    (void)state;
    shell(
        "mkdir -p files/Größe && cd files && printf 12345 >plain && touch -d @1700000000 plain && ln -s plain link && "
        "ln -s nowhere dangling && mkfifo pipe && touch \"$(printf 'a\\001b')\" \"$(printf 'c\\377d')\"");
    snprintf(place, sizeof(place), "%s/files", folder);
    assert_int_equal(posix_files_list(place, count_file, sums, &error), 0);
    assert_int_equal(sums[0], 3);
    sums[0] = 0;
    sums[1] = 1;
    assert_int_equal(posix_files_list(place, count_file, sums, &error), 0);
    assert_int_equal(sums[0], 1);
    snprintf(place, sizeof(place), "%s/files/plain", folder);
    assert_int_equal(posix_files_list(place, count_file, sums, &error), -ERROR_NOT_FOUND);
    snprintf(place, sizeof(place), "%s/nowhere", folder);
    assert_int_equal(posix_files_list(place, count_file, sums, &error), -ERROR_NOT_FOUND);
}

static bool count_all(void *context, const struct filesystem_file *file)
{
    assert_true(*file->name);
    ++*(unsigned *)context;
    return true;
}

static void a_long_folder_is_cut(void **state)
{
    struct error error = {0};
    unsigned count = 0;
    char place[300];

    (void)state;
    shell("mkdir many && cd many && seq 10001 | xargs touch");
    snprintf(place, sizeof(place), "%s/many", folder);
    assert_int_equal(posix_files_list(place, count_all, &count, &error), 1);
    assert_int_equal(count, FILESYSTEM_FILES_MAX);
    shell("rm many/77");
    count = 0;
    assert_int_equal(posix_files_list(place, count_all, &count, &error), 0);
    assert_int_equal(count, FILESYSTEM_FILES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_joined),
        cmocka_unit_test(names_are_split),
        cmocka_unit_test(volumes_are_shown),
        cmocka_unit_test(files_are_sorted_and_shown),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test_setup_teardown(mounts_of_disks_are_volumes, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(folders_are_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_long_folder_is_cut, make_folder, remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
