/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where images can be kept, and which are there: `volumes`, `files`, and the names of images. */
#include "ui/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

static const char *separators(const struct session *session)
{
    return session->ops->volumes_have_colon ? "\\/" : "/";
}

struct name_builder {
    char *text;
    size_t size, length;
    bool fits;
};

static void append(struct name_builder *name, const char *text, size_t length)
{
    name->fits = name->fits && name->length + length < name->size;
    if (!name->fits)
        return;
    memcpy(name->text + name->length, text, length);
    name->length += length;
    name->text[name->length] = 0;
}

/* A separator, unless the name ends with one (the root folder of Linux). */
static void append_part(struct name_builder *name, char separator, const char *part, size_t length)
{
    if (!name->length || name->text[name->length - 1] != separator)
        append(name, &separator, 1);
    append(name, part, length);
}

bool session_image_name(const struct session *session, const char *volume, const char *folder, const char *file,
                        char *name, size_t size)
{
    struct name_builder builder = {name, size, 0, *volume != 0};
    bool has_colon = session->ops->volumes_have_colon;
    char separator = *separators(session);

    append(&builder, volume, strlen(volume));
    if (has_colon) {
        append(&builder, ":", 1);
        append(&builder, &separator, 1);
    }
    while (*folder) {
        size_t length = strcspn(folder, separators(session));
        if (length)
            append_part(&builder, separator, folder, length);
        folder += length + (folder[length] != 0);
    }
    if (*file)
        append_part(&builder, separator, file, strlen(file));
    return builder.fits;
}

bool session_split_name(const struct session *session, const char *name, char *volume, size_t size, const char **folder)
{
    size_t length = strlen(name);

    *folder = name + length;
    if (session->ops->volumes_have_colon) {
        /* The first colon with a slash of either kind behind it divides. */
        for (length = 0; name[length]; length++)
            if (name[length] == ':' && (name[length + 1] == '\\' || name[length + 1] == '/'))
                break;
        if (!name[length])
            return false;
        *folder = name + length + 1;
    }
    if (!length || length >= size)
        return false;
    memcpy(volume, name, length);
    volume[length] = 0;
    return true;
}

/* --- a folder, sorted --- */

static int letter(char byte)
{
    return byte >= 'a' && byte <= 'z' ? byte - 'a' + 'A' : (unsigned char)byte;
}

static int compare_names(const char *a, const char *b)
{
    size_t i = 0;

    while (a[i] && letter(a[i]) == letter(b[i]))
        i++;
    return letter(a[i]) != letter(b[i]) ? letter(a[i]) - letter(b[i]) : strcmp(a, b);
}

static int compare_files(const void *a, const void *b)
{
    const struct filesystem_file *one = a, *other = b;

    if (one->is_folder != other->is_folder)
        return one->is_folder ? -1 : 1;
    return compare_names(one->name, other->name);
}

struct collection {
    struct session_file_list *list;
    bool no_memory;
};

static bool collect(void *context, const struct filesystem_file *file)
{
    struct collection *collection = context;
    struct session_file_list *list = collection->list;

    list->is_cut = list->is_cut || list->count == FILESYSTEM_FILES_MAX;
    if (list->is_cut)
        return false;
    collection->no_memory = !filesystem_files_make_room(list->platform, &list->files, list->count, &list->room);
    if (!collection->no_memory)
        list->files[list->count++] = *file;
    return !collection->no_memory;
}

int session_files(struct session *session, const char *volume, const char *folder, struct session_file_list *list,
                  struct error *error)
{
    struct collection collection = {list, false};

    *list = (struct session_file_list){.platform = session->loop->platform};
    int status = session->ops->list_files(session, volume, folder, collect, &collection, error);
    if (status >= 0 && collection.no_memory)
        status = error_set(error, ERROR_NO_MEMORY, OPERATION_READ, volume, ERROR_NO_BLOCK, "no memory");
    if (status < 0) {
        session_files_free(list);
        return status;
    }
    list->is_cut = list->is_cut || status > 0;
    if (list->count)
        qsort(list->files, list->count, sizeof(*list->files), compare_files);
    return 0;
}

void session_files_free(struct session_file_list *list)
{
    platform_release(list->platform, list->files);
    *list = (struct session_file_list){.platform = list->platform};
}

/* --- volumes --- */

struct volume_printer {
    struct session *session;
    struct json *json; /* NULL: for people */
    unsigned count;
};

static const char *size_or_dash(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
    return bytes == UINT64_MAX ? "-" : size_text(bytes, text);
}

static void print_volume(struct session *session, const struct session_volume *volume)
{
    char size[SIZE_TEXT_MAX], room[SIZE_TEXT_MAX], name[SESSION_VOLUME_NAME_MAX + 4], place[BLOCK_NAME_MAX + 16] = "";
    char label[sizeof(volume->label) + 8] = "";

    if (volume->partition)
        snprintf(place, sizeof(place), "%s#%u", volume->disk, volume->partition);
    else
        snprintf(place, sizeof(place), "%s", volume->disk);
    if (!session_image_name(session, volume->name, "", "", name, sizeof(name)))
        snprintf(name, sizeof(name), "-");
    if (volume->label[0] && strcmp(volume->label, volume->name) != 0)
        snprintf(label, sizeof(label), "  (%s)", volume->label);
    output_print(session->out, "%9s  %9s free  %-9s  %-30s  %s%s\n", size_or_dash(volume->bytes, size),
                 size_or_dash(volume->free_bytes, room), volume->type[0] ? volume->type : "-", place, name, label);
    if (!volume->can_write)
        output_print(session->out, "    %s: %s\n", volume->can_read ? "for reading only" : "cannot be used",
                     volume->why);
    if (volume->can_write && volume->max_file_bytes < volume->bytes && volume->max_file_bytes >> 32 == 0)
        output_print(session->out, "    files of up to %s: a larger image is cut with --split\n",
                     size_text(volume->max_file_bytes, size));
}

static void json_size(struct json *json, const char *key, uint64_t bytes)
{
    if (bytes != UINT64_MAX)
        json_number(json, key, bytes);
}

static void json_volume(struct session *session, struct json *json, const struct session_volume *volume)
{
    char name[SESSION_VOLUME_NAME_MAX + 4];

    json_begin_object(json, NULL);
    json_text(json, "name", volume->name);
    if (session_image_name(session, volume->name, "", "", name, sizeof(name)))
        json_text(json, "folder", name);
    json_text(json, "label", volume->label);
    json_text(json, "filesystem", volume->type);
    json_text(json, "uuid", volume->uuid);
    json_text(json, "disk", volume->disk);
    json_number(json, "partition", volume->partition);
    json_size(json, "bytes", volume->bytes);
    json_size(json, "free_bytes", volume->free_bytes);
    json_size(json, "max_file_bytes", volume->max_file_bytes);
    json_bool(json, "can_read", volume->can_read);
    json_bool(json, "can_write", volume->can_write);
    json_text(json, "why", volume->why);
    json_bool(json, "is_stick", volume->is_stick);
    json_bool(json, "is_system", volume->is_system);
    json_end_object(json);
}

static bool show_volume(void *context, const struct session_volume *volume)
{
    struct volume_printer *printer = context;

    printer->count++;
    if (printer->json)
        json_volume(printer->session, printer->json, volume);
    else
        print_volume(printer->session, volume);
    return true;
}

enum exit_code session_list_volumes(struct session *session, struct command *command)
{
    struct json writer = {session->out, false};
    struct volume_printer printer = {session, command->json ? &writer : NULL, 0};
    struct error error = {0};

    if (command->json) {
        json_begin_object(&writer, NULL);
        json_text(&writer, "version", session->version);
        json_begin_array(&writer, "volumes");
    }
    int status = session->ops->list_volumes(session, show_volume, &printer, &error);
    if (command->json) {
        json_end_array(&writer);
        json_bool(&writer, "complete", status == 0);
        json_end_object(&writer);
        json_end_line(&writer);
    }
    if (status != 0) {
        session_error(session, command->json, &error);
        return exit_code_of(&error);
    }
    if (!printer.count && !command->json)
        output_print(session->out, "No volumes were found that images can be kept on.\n");
    return EXIT_CODE_DONE;
}

/* --- files --- */

static void print_file(struct session *session, const struct filesystem_file *file)
{
    char size[SIZE_TEXT_MAX], date[32] = "-";

    if (file->modified >= 0) {
        struct calendar at;
        calendar_of(file->modified, &at);
        snprintf(date, sizeof(date), "%04d-%02d-%02d %02d:%02d", at.year, at.month, at.day, at.hour, at.minute);
    }
    output_print(session->out, "%9s  %-16s  %s\n", file->is_folder ? "folder" : size_or_dash(file->bytes, size), date,
                 file->name);
}

static void json_file(struct json *json, const struct filesystem_file *file)
{
    json_begin_object(json, NULL);
    json_text(json, "name", file->name);
    json_bool(json, "is_folder", file->is_folder);
    if (!file->is_folder)
        json_size(json, "bytes", file->bytes);
    if (file->modified >= 0)
        json_number(json, "modified", (uint64_t)file->modified);
    json_end_object(json);
}

static void json_files(struct session *session, const char *name, const struct session_file_list *list)
{
    struct json json = {session->out, false};

    json_begin_object(&json, NULL);
    json_text(&json, "folder", name);
    json_begin_array(&json, "files");
    for (size_t i = 0; i < list->count; i++)
        json_file(&json, &list->files[i]);
    json_end_array(&json);
    json_bool(&json, "complete", !list->is_cut);
    json_end_object(&json);
    json_end_line(&json);
}

enum exit_code session_list_files(struct session *session, struct command *command)
{
    const char *name = command->arguments[0], *folder;
    char volume[SESSION_VOLUME_NAME_MAX];
    struct session_file_list list;
    struct error error = {0};
    int status;

    if (session_split_name(session, name, volume, sizeof(volume), &folder))
        status = session_files(session, volume, folder, &list, &error);
    else
        status = error_set(&error, ERROR_USAGE, OPERATION_OPEN, name, ERROR_NO_BLOCK,
                           "a folder is named as VOLUME:\\folder; VOLUME is stick, or the label or UUID of a volume");
    if (status != 0) {
        error.side = SIDE_IMAGE;
        session_error(session, command->json, &error);
        return exit_code_of(&error);
    }
    if (command->json)
        json_files(session, name, &list);
    for (size_t i = 0; i < list.count && !command->json; i++)
        print_file(session, &list.files[i]);
    if (!list.count && !command->json)
        output_print(session->out, "The folder is empty.\n");
    if (list.is_cut && !command->json)
        output_print(session->out, "The folder has more than these %d files.\n", FILESYSTEM_FILES_MAX);
    session_files_free(&list);
    return EXIT_CODE_DONE;
}
