/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files on the firmware's FAT volumes (UEFI 2.10, section 13.5) as streams, stores and texts. */
#include <stdio.h>
#include <string.h>

#include "boot/efi_volume.h"

#define FAT_FILE_MAX 0xffffffffULL
#define PATH_UNITS 512
/*
 * One call of the firmware blocks: this is how long the loop is away at the most, about 30 ms on a slow
 * stick.
 */
#define PIECE (1024u * 1024)

static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

/* --- volumes --- */

/* What stands at the start and end of the boot sectors of the three (FAT specification, section 3; exFAT's, section 3.1; NTFS). */
static bool looks_like_fat(const UINT8 *boot)
{
    return (boot[0] == 0xeb || boot[0] == 0xe9) && boot[510] == 0x55 && boot[511] == 0xaa &&
           memcmp(boot + 3, "NTFS    ", 8) != 0 && memcmp(boot + 3, "EXFAT   ", 8) != 0;
}

static void read_boot_sector(struct firmware *firmware, struct firmware_volume *volume)
{
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;
    EFI_BLOCK_IO *io = firmware_handle_protocol(firmware, volume->handle, &guid);
    EFI_PHYSICAL_ADDRESS page = 0;

    if (!io || !io->Media || io->Media->BlockSize < 512 || io->Media->BlockSize > 4096 ||
        EFI_ERROR(firmware->boot->AllocatePages(AllocateAnyPages, EfiLoaderData, 1, &page)))
        return;
    const UINT8 *boot = (const UINT8 *)page;
    if (!EFI_ERROR(io->ReadBlocks(io, io->Media->MediaId, 0, io->Media->BlockSize, (VOID *)page))) {
        /*
         * FAT specification, section 3: the serial number of FAT32 stands where BPB_FATSz16 is zero, else
         * FAT12/16's.
         */
        volume->is_fat = looks_like_fat(boot);
        size_t at = boot[22] || boot[23] ? 39 : 67;
        if (boot[510] == 0x55 && boot[511] == 0xaa)
            snprintf(volume->uuid, sizeof(volume->uuid), "%02X%02X-%02X%02X", boot[at + 3], boot[at + 2], boot[at + 1],
                     boot[at]);
    }
    firmware->boot->FreePages(page, 1);
}

bool firmware_volume_read(struct firmware *firmware, EFI_HANDLE handle, struct firmware_volume *volume)
{
    EFI_GUID guid = EFI_FILE_SYSTEM_INFO_ID;
    EFI_FILE *root = NULL;
    UINT8 buffer[512] __attribute__((aligned(8)));
    UINTN size = sizeof(buffer);

    memset(volume, 0, sizeof(*volume));
    volume->handle = handle;
    volume->file_system = firmware_handle_protocol(firmware, handle, &file_system_guid);
    if (!volume->file_system || EFI_ERROR(volume->file_system->OpenVolume(volume->file_system, &root)))
        return false;
    if (!EFI_ERROR(root->GetInfo(root, &guid, &size, buffer)) && size >= SIZE_OF_EFI_FILE_SYSTEM_INFO) {
        const EFI_FILE_SYSTEM_INFO *info = (const EFI_FILE_SYSTEM_INFO *)buffer;
        volume->read_only = info->ReadOnly;
        volume->free_space = info->FreeSpace;
        volume->size = info->VolumeSize;
        text_from_ucs2(volume->label, sizeof(volume->label), info->VolumeLabel,
                       (size - SIZE_OF_EFI_FILE_SYSTEM_INFO) / sizeof(CHAR16));
    }
    root->Close(root);
    volume->is_fat = true;
    read_boot_sector(firmware, volume);
    return true;
}

bool firmware_volume_find(struct firmware *firmware, struct firmware_volume *volume,
                          bool (*wanted)(const struct firmware_volume *volume, void *context), void *context)
{
    EFI_HANDLE *handles;
    UINTN count = firmware_handles(firmware, &file_system_guid, &handles);
    bool found = false;

    for (UINTN i = 0; i < count && !found; i++)
        found = firmware_volume_read(firmware, handles[i], volume) && wanted(volume, context);
    firmware_free(firmware, handles);
    return found;
}

/* --- files --- */

static EFI_STATUS open_root(const struct firmware_volume *volume, EFI_FILE **root)
{
    return volume->file_system->OpenVolume(volume->file_system, root);
}

/* Makes every folder of the path that is not there yet. */
static void make_folders(EFI_FILE *root, const CHAR16 *path)
{
    CHAR16 part[PATH_UNITS];
    size_t length = ucs2_length(path, PATH_UNITS - 1);

    for (size_t i = 1; i < length; i++) {
        EFI_FILE *folder;
        if (path[i] != '\\')
            continue;
        memcpy(part, path, i * sizeof(CHAR16));
        part[i] = 0;
        if (!EFI_ERROR(root->Open(root, &folder, part, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE,
                                  EFI_FILE_DIRECTORY)))
            folder->Close(folder);
    }
}

/* "/" is taken for "\", and a missing first one is added. */
static bool path_to_ucs2(const char *path, CHAR16 units[PATH_UNITS])
{
    size_t length = strlen(path), at = *path == '\\' || *path == '/' ? 0 : 1;

    units[0] = '\\';
    if (length + 2 > PATH_UNITS)
        return false;
    text_to_ucs2(units + at, PATH_UNITS - at, path, length);
    for (size_t i = 0; units[i]; i++)
        if (units[i] == '/')
            units[i] = '\\';
    return true;
}

static EFI_STATUS file_open(const struct firmware_volume *volume, const char *path, UINT64 mode, EFI_FILE **file)
{
    CHAR16 units[PATH_UNITS];
    EFI_FILE *root;

    if (!path_to_ucs2(path, units))
        return EFI_INVALID_PARAMETER;
    EFI_STATUS status = open_root(volume, &root);
    if (EFI_ERROR(status))
        return status;
    if (mode & EFI_FILE_MODE_CREATE)
        make_folders(root, units);
    status = root->Open(root, file, units, mode, 0);
    root->Close(root);
    return status;
}

/* With a name of 255 units. */
#define INFO_BYTES (SIZE_OF_EFI_FILE_INFO + 600)

static EFI_STATUS file_info(EFI_FILE *file, EFI_FILE_INFO *info)
{
    EFI_GUID guid = EFI_FILE_INFO_ID;
    UINTN bytes = INFO_BYTES;

    return file->GetInfo(file, &guid, &bytes, info);
}

static EFI_STATUS file_size(EFI_FILE *file, UINT64 *size)
{
    UINT8 buffer[INFO_BYTES] __attribute__((aligned(8)));
    EFI_STATUS status = file_info(file, (EFI_FILE_INFO *)buffer);

    if (!EFI_ERROR(status))
        *size = ((const EFI_FILE_INFO *)buffer)->FileSize;
    return status;
}

/* false: an entry that is not shown. */
static bool describe_entry(const EFI_FILE_INFO *info, size_t size, struct filesystem_file *file)
{
    const UINT64 of_windows = EFI_FILE_HIDDEN | EFI_FILE_SYSTEM;

    text_from_ucs2(file->name, sizeof(file->name), info->FileName, (size - SIZE_OF_EFI_FILE_INFO) / sizeof(CHAR16));
    file->is_folder = info->Attribute & EFI_FILE_DIRECTORY;
    file->bytes = file->is_folder ? 0 : info->FileSize;
    file->modified = firmware_seconds(&info->ModificationTime);
    return (info->Attribute & of_windows) != of_windows && filesystem_name_is_text(file->name);
}

/* UEFI 2.10, section 13.5.5: each read of a folder gives an entry, and none at its end. */
static int read_folder(struct firmware *firmware, EFI_FILE *folder, filesystem_found *found, void *context)
{
    uint64_t deadline = deadline_after(&firmware->platform, FILESYSTEM_LOOK_LIMIT);
    UINT8 buffer[INFO_BYTES] __attribute__((aligned(8)));
    struct filesystem_file file;
    unsigned given = 0;

    for (;;) {
        UINTN size = sizeof(buffer);
        EFI_STATUS status = folder->Read(folder, &size, buffer);
        if (EFI_ERROR(status))
            return firmware_error(status);
        if (size < SIZE_OF_EFI_FILE_INFO)
            return size ? -ERROR_CORRUPT : 0;
        if (firmware_now(&firmware->platform) > deadline)
            return -ERROR_TIMEOUT;
        if (!describe_entry((const EFI_FILE_INFO *)buffer, size, &file))
            continue;
        if (given++ == FILESYSTEM_FILES_MAX)
            return 1;
        if (!found(context, &file))
            return 0;
    }
}

int firmware_folder_list(struct firmware *firmware, const struct firmware_volume *volume, const char *path,
                         filesystem_found *found, void *context)
{
    UINT8 buffer[INFO_BYTES] __attribute__((aligned(8)));
    EFI_FILE_INFO *info = (EFI_FILE_INFO *)buffer;
    EFI_FILE *folder;
    EFI_STATUS status = file_open(volume, path, EFI_FILE_MODE_READ, &folder);

    if (EFI_ERROR(status))
        return firmware_error(status);
    int result = firmware_error(file_info(folder, info));
    if (!result && !(info->Attribute & EFI_FILE_DIRECTORY))
        result = -ERROR_NOT_FOUND;
    if (!result)
        result = read_folder(firmware, folder, found, context);
    folder->Close(folder);
    return result;
}

int firmware_file_read(struct firmware *firmware, const struct firmware_volume *volume, const char *path, size_t limit,
                       char **text, size_t *size)
{
    EFI_FILE *file;
    UINT64 length = 0;
    EFI_STATUS status = file_open(volume, path, EFI_FILE_MODE_READ, &file);

    if (EFI_ERROR(status))
        return firmware_error(status);
    int result = firmware_error(file_size(file, &length));
    if (!result && length > limit)
        result = -ERROR_OUT_OF_RANGE;
    char *data = result ? NULL : platform_allocate(&firmware->platform, length + 1);
    if (!result && !data)
        result = -ERROR_NO_MEMORY;
    UINTN got = length;
    if (!result)
        result = firmware_error(file->Read(file, &got, data));
    file->Close(file);
    if (result) {
        platform_release(&firmware->platform, data);
        return result;
    }
    data[got] = 0;
    *text = data;
    *size = got;
    return 0;
}

int firmware_file_append(struct firmware *firmware, const struct firmware_volume *volume, const char *path,
                         const void *data, size_t size)
{
    EFI_FILE *file;
    UINTN written = size;
    EFI_STATUS status = file_open(volume, path, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE, &file);

    (void)firmware;
    if (EFI_ERROR(status))
        return firmware_error(status);
    status = file->SetPosition(file, UINT64_MAX); /* the end */
    if (!EFI_ERROR(status))
        status = file->Write(file, &written, (VOID *)data);
    if (!EFI_ERROR(status) && written != size)
        status = EFI_VOLUME_FULL;
    EFI_STATUS flushed = file->Flush(file);
    EFI_STATUS closed = file->Close(file);
    if (!EFI_ERROR(status))
        status = EFI_ERROR(flushed) ? flushed : closed;
    return firmware_error(status);
}

/* --- streams --- */

struct file_stream {
    struct stream stream; /* first */
    struct firmware *firmware;
    EFI_FILE *file;
    uint64_t position; /* where the file stands; UINT64_MAX: unknown */
    size_t done;       /* bytes of the first request */
    bool busy;
    EFI_STATUS
    lost; /* of a write that failed: what was to follow it fails like it, without asking the firmware again */
    struct stream_request *first, **last;
};

static int stream_submit_file(struct stream *stream, struct stream_request *request)
{
    struct file_stream *file = (struct file_stream *)stream;

    request->next = NULL;
    *file->last = request;
    file->last = &request->next;
    return 0;
}

static EFI_STATUS seek(struct file_stream *file, uint64_t offset)
{
    if (file->position == offset)
        return EFI_SUCCESS;
    /* UINT64_MAX means "the end" to the firmware; no FAT file is that long. */
    EFI_STATUS status = offset > FAT_FILE_MAX ? EFI_VOLUME_FULL : file->file->SetPosition(file->file, offset);
    file->position = EFI_ERROR(status) ? UINT64_MAX : offset;
    return status;
}

/* The next piece of a read or write. *ended: nothing more will come of it. */
static EFI_STATUS transfer_piece(struct file_stream *file, struct stream_request *request, bool *ended)
{
    size_t left = request->size - file->done;
    UINTN piece = left < PIECE ? left : PIECE, moved = piece;
    UINT8 *data = (UINT8 *)request->data + file->done;
    EFI_STATUS status = seek(file, request->offset + file->done);

    if (EFI_ERROR(status))
        return status;
    if (request->operation == STREAM_READ)
        status = file->file->Read(file->file, &moved, data);
    else
        status = file->file->Write(file->file, &moved, data);
    if (EFI_ERROR(status)) {
        file->position = UINT64_MAX;
        return status;
    }
    file->done += moved;
    file->position += moved;
    if (request->operation == STREAM_WRITE && moved < piece)
        return EFI_VOLUME_FULL;
    *ended = moved < piece || file->done == request->size;
    return EFI_SUCCESS;
}

static bool stream_poll_file(struct stream *stream)
{
    struct file_stream *file = (struct file_stream *)stream;
    struct stream_request *request = file->first;
    EFI_STATUS status;
    bool ended = true;

    if (!request || file->busy)
        return false;
    file->busy = true;
    if (EFI_ERROR(file->lost) && request->operation != STREAM_READ) {
        status = file->lost;
    } else if (request->operation == STREAM_FLUSH) {
        status = file->file->Flush(file->file); /* writes the folder's entry too, the size in it */
    } else {
        ended = request->size == 0;
        status = ended ? EFI_SUCCESS : transfer_piece(file, request, &ended);
    }
    file->busy = false;
    if (!EFI_ERROR(status) && !ended)
        return true;
    if (EFI_ERROR(status) && request->operation != STREAM_READ)
        file->lost = status;
    file->first = request->next;
    if (!file->first)
        file->last = &file->first;
    size_t done = file->done;
    file->done = 0;
    stream_complete(request, firmware_error(status), done, (uint32_t)status);
    return true;
}

static int stream_close_file(struct stream *stream, struct error *error)
{
    struct file_stream *file = (struct file_stream *)stream;
    EFI_STATUS flushed = stream->can_write && !EFI_ERROR(file->lost) ? file->file->Flush(file->file) : file->lost;
    EFI_STATUS closed = file->file->Close(file->file);
    EFI_STATUS status = EFI_ERROR(flushed) ? flushed : closed;
    int result = firmware_error(status);

    if (result)
        error_set(error, (enum error_code) - result, OPERATION_FLUSH, stream->name, ERROR_NO_BLOCK,
                  "the firmware could not finish the file");
    platform_release(&file->firmware->platform, file);
    return result;
}

static const struct stream_ops file_stream_ops = {
    .submit = stream_submit_file,
    .poll = stream_poll_file,
    .close = stream_close_file,
};

/* --- stores --- */

struct file_store {
    struct stream_store store; /* first */
    struct loop *loop;
    struct firmware *firmware;
    struct firmware_volume volume;
    bool write;
    unsigned *users; /* counted down when the store is closed */
    char path[PATH_UNITS];
};

static int volume_path(const struct file_store *store, unsigned volume, char path[PATH_UNITS])
{
    int length = volume ? snprintf(path, PATH_UNITS, "%s.%03u", store->path, volume)
                        : snprintf(path, PATH_UNITS, "%s", store->path);

    return length < 0 || length >= PATH_UNITS ? -ERROR_OUT_OF_RANGE : 0;
}

static int store_error(struct file_store *store, struct error *error, int code, enum error_operation operation,
                       const char *path, const char *what)
{
    (void)path;
    return error_set(error, (enum error_code) - code, operation, store->store.name, ERROR_NO_BLOCK, "%s", what);
}

/* Opens for writing only what was not there. */
static int create_file(struct file_store *store, const char *path, EFI_FILE **file, struct error *error)
{
    EFI_STATUS status = file_open(&store->volume, path, EFI_FILE_MODE_READ, file);

    if (!EFI_ERROR(status)) {
        (*file)->Close(*file);
        return store_error(store, error, -ERROR_EXISTS, OPERATION_OPEN, path, "there is already a file of this name");
    }
    status = file_open(&store->volume, path, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE, file);
    if (EFI_ERROR(status))
        return store_error(store, error, firmware_error(status), OPERATION_OPEN, path, "the file cannot be created");
    return 0;
}

/* The file becomes the stream's. */
static int start_stream(struct file_store *store, EFI_FILE *file, unsigned volume, bool write, UINT64 size,
                        struct stream **stream, struct error *error)
{
    struct file_stream *opened = platform_allocate_zeroed(&store->firmware->platform, sizeof(*opened));

    if (!opened) {
        file->Close(file);
        return store_error(store, error, -ERROR_NO_MEMORY, OPERATION_OPEN, "", "the file cannot be opened");
    }
    opened->firmware = store->firmware;
    opened->file = file;
    opened->last = &opened->first;
    opened->stream.ops = &file_stream_ops;
    opened->stream.loop = store->loop;
    opened->stream.can_seek = true;
    opened->stream.can_write = write;
    opened->stream.size = size;
    if (volume)
        snprintf(opened->stream.name, sizeof(opened->stream.name), "%.70s.%03u", store->store.name, volume);
    else
        snprintf(opened->stream.name, sizeof(opened->stream.name), "%s", store->store.name);
    stream_start(&opened->stream);
    *stream = &opened->stream;
    return 0;
}

static int store_open_volume(struct stream_store *base, unsigned volume, bool write, struct stream **stream,
                             struct error *error)
{
    struct file_store *store = (struct file_store *)base;
    char path[PATH_UNITS];
    EFI_FILE *file;
    UINT64 size = 0;
    int status = volume_path(store, volume, path);

    if (status)
        return store_error(store, error, status, OPERATION_OPEN, path, "the name is too long");
    if (write) {
        status = create_file(store, path, &file, error);
        if (status)
            return status;
    } else {
        status = firmware_error(file_open(&store->volume, path, EFI_FILE_MODE_READ, &file));
        if (status)
            return store_error(store, error, status, OPERATION_OPEN, path, "the file cannot be opened");
        status = firmware_error(file_size(file, &size));
    }
    if (status) {
        file->Close(file);
        return store_error(store, error, status, OPERATION_OPEN, path, "the file cannot be opened");
    }
    return start_stream(store, file, volume, write, size, stream, error);
}

/* UEFI 2.10, section 13.5: what SetInfo() is given is what the file becomes; all but its size stays as it is. */
static EFI_STATUS cut_file(EFI_FILE *file, UINT64 length)
{
    EFI_GUID guid = EFI_FILE_INFO_ID;
    UINT8 buffer[INFO_BYTES] __attribute__((aligned(8)));
    EFI_FILE_INFO *info = (EFI_FILE_INFO *)buffer;
    UINTN bytes = sizeof(buffer);
    UINT64 size = UINT64_MAX;
    EFI_STATUS status = file->GetInfo(file, &guid, &bytes, buffer);

    if (EFI_ERROR(status) || info->FileSize == length)
        return status;
    info->FileSize = length;
    status = file->SetInfo(file, &guid, bytes, buffer);
    if (!EFI_ERROR(status))
        status = file_size(file, &size);
    return EFI_ERROR(status) || size == length ? status : EFI_DEVICE_ERROR;
}

/* A file that is there; `path` gets its name. */
static int open_for_change(const struct file_store *store, unsigned volume, char path[PATH_UNITS], EFI_FILE **file)
{
    int status = volume_path(store, volume, path);

    return status ? status
                  : firmware_error(file_open(&store->volume, path, EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE, file));
}

static int store_reopen_volume(struct stream_store *base, unsigned volume, uint64_t length, struct stream **stream,
                               struct error *error)
{
    struct file_store *store = (struct file_store *)base;
    char path[PATH_UNITS];
    EFI_FILE *file;
    UINT64 size = 0;
    int status = open_for_change(store, volume, path, &file);

    if (status)
        return store_error(store, error, status, OPERATION_OPEN, path, "the file cannot be opened for writing");
    status = firmware_error(file_size(file, &size));
    if (!status && size < length)
        status = -ERROR_OUT_OF_RANGE;
    if (!status)
        status = firmware_error(cut_file(file, length));
    if (status) {
        file->Close(file);
        return store_error(store, error, status, OPERATION_OPEN, path, "the firmware could not cut the file");
    }
    return start_stream(store, file, volume, true, length, stream, error);
}

static int store_remove_volume(struct stream_store *base, unsigned volume, struct error *error)
{
    struct file_store *store = (struct file_store *)base;
    char path[PATH_UNITS];
    EFI_FILE *file;
    int status = open_for_change(store, volume, path, &file);

    if (status)
        return store_error(store, error, status, OPERATION_OPEN, path, "the file cannot be opened");
    /* Delete closes, and only warns when it could not delete. */
    if (file->Delete(file) != EFI_SUCCESS)
        return store_error(store, error, -ERROR_IO, OPERATION_WRITE, path, "the file cannot be removed");
    return 0;
}

static uint64_t store_free_space(struct stream_store *base)
{
    struct file_store *store = (struct file_store *)base;
    struct firmware_volume now;

    return firmware_volume_read(store->firmware, store->volume.handle, &now) ? now.free_space : UINT64_MAX;
}

static void store_close(struct stream_store *base)
{
    struct file_store *store = (struct file_store *)base;
    EFI_GUID guid = EFI_BLOCK_IO_PROTOCOL_GUID;
    EFI_BLOCK_IO *io = firmware_handle_protocol(store->firmware, store->volume.handle, &guid);

    if (store->write && io)
        io->FlushBlocks(io);
    if (store->users)
        --*store->users;
    if (store->store.disk)
        block_device_let_go(store->store.disk);
    platform_release(&store->firmware->platform, store);
}

int firmware_store_open(struct loop *loop, struct firmware *firmware, const struct firmware_volume *volume,
                        const char *path, const char *name, bool write, unsigned *users, struct stream_store **store,
                        struct error *error)
{
    struct file_store *opened = platform_allocate_zeroed(&firmware->platform, sizeof(*opened));

    if (!opened)
        return error_set(error, ERROR_NO_MEMORY, OPERATION_OPEN, name, ERROR_NO_BLOCK, "no memory");
    opened->loop = loop;
    opened->firmware = firmware;
    opened->volume = *volume;
    opened->write = write;
    snprintf(opened->path, sizeof(opened->path), "%s", path);
    opened->store.open = store_open_volume;
    opened->store.reopen = store_reopen_volume;
    opened->store.remove = store_remove_volume;
    opened->store.free_space = store_free_space;
    opened->store.close = store_close;
    opened->store.max_volume_bytes = FAT_FILE_MAX;
    snprintf(opened->store.name, sizeof(opened->store.name), "%s", name);
    if (strlen(path) + 5 > PATH_UNITS) {
        store_close(&opened->store);
        return error_set(error, ERROR_USAGE, OPERATION_OPEN, name, ERROR_NO_BLOCK, "the name is too long");
    }
    if (write && volume->read_only) {
        store_close(&opened->store);
        return error_set(error, ERROR_WRITE_PROTECTED, OPERATION_OPEN, name, ERROR_NO_BLOCK, "the volume is read-only");
    }
    opened->users = users;
    if (users)
        ++*users;
    *store = &opened->store;
    return 0;
}
