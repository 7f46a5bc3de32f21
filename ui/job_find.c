/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job file on whatever volume it is, when the boot stick has none. */
#include <stdio.h>
#include <string.h>

#include "ui/unattended.h"

#define VOLUMES_MAX 64
#define PATH_BYTES (SESSION_VOLUME_NAME_MAX + sizeof(JOB_RULES_PATH) + 1)

struct volume_names {
    unsigned count;
    char names[VOLUMES_MAX][SESSION_VOLUME_NAME_MAX];
};

/* What systems keep for themselves is no place for a job file: nobody would look for it there. */
static bool take_volume(void *context, const struct session_volume *volume)
{
    struct volume_names *volumes = context;

    if (!volume->is_stick && !volume->is_system && volume->can_read && *volume->name)
        snprintf(volumes->names[volumes->count++], SESSION_VOLUME_NAME_MAX, "%s", volume->name);
    return volumes->count < VOLUMES_MAX;
}

/* A volume that cannot be read now may hold a second file; the log says so, and others are not kept from their work by it. */
static bool read_file(struct session *session, const char *path, char **text, size_t *size, int *status,
                      struct error *error)
{
    *status = report_read(session, path, INI_FILE_MAX, text, size, error);
    if (*status && *status != -ERROR_NOT_FOUND && *status != -ERROR_OUT_OF_RANGE)
        platform_log(session->loop->platform, LOG_WARNING, "%s could not be read: %s", path, error->detail);
    return *status == 0 || *status == -ERROR_OUT_OF_RANGE;
}

int unattended_find(struct session *session, char *name, size_t name_size, char **text, size_t *size,
                    struct error *error)
{
    struct platform *platform = session->loop->platform;
    struct volume_names *volumes;
    char path[PATH_BYTES], all[ERROR_DETAIL_MAX] = "";
    int status, result = -ERROR_NOT_FOUND;
    unsigned found = 0;

    *text = NULL;
    if (!session->ops->list_volumes)
        return -ERROR_NOT_FOUND;
    volumes = platform_allocate_zeroed(platform, sizeof(*volumes));
    if (!volumes)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, "", ERROR_NO_BLOCK, "no memory");
    status = session->ops->list_volumes(session, take_volume, volumes, error);
    for (unsigned i = 0; !status && i < volumes->count; i++) {
        struct error problem = {0};
        char *contents = NULL;
        size_t length = 0, used = strlen(all);
        int read;
        snprintf(path, sizeof(path), "%s:%s", volumes->names[i], JOB_RULES_PATH);
        if (!read_file(session, path, &contents, &length, &read, &problem))
            continue;
        snprintf(all + used, sizeof(all) - used, "%s%s", found ? ", " : "", path);
        if (found++) {
            platform_release(platform, contents);
            continue;
        }
        snprintf(name, name_size, "%s", path);
        *text = contents;
        *size = length;
        result = read;
        if (read && error)
            *error = problem;
    }
    platform_release(platform, volumes);
    if (found > 1) {
        platform_release(platform, *text);
        *text = NULL;
        return error_set(error, ERROR_AMBIGUOUS, OPERATION_OPEN, "", ERROR_NO_BLOCK,
                         "there are %u job files, and none is run: %s", found, all);
    }
    return status ? status : result;
}
