/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NTFS: who is it, and which clusters are in use. libntfs-3g mounts the volume read-only and reads $Bitmap.
 *
 * $Bitmap is believed when the volume is at rest. It is not, and the volume is copied whole with a message, when
 * - $LogFile was not closed: what it holds may mark clusters as used whose data is in place already;
 * - Windows sleeps in hiberfil.sys (hibernation, Fast Startup): its memory holds newer metadata than the disk;
 * - $Volume has its dirty flag set, the mark of a driver that died or of damage that was seen.
 * The copy is then still as good as the disk was: log, hiberfil.sys and all.
 */
#include "fs/ntfs.h"
#include "fs/drivers.h"

#include "core/library.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOUBT 1 /* copy whole; a message says why */
#define BITMAP_PIECE (1024u * 1024)
#define RECORD_MAX 65536u
#define BOOT_SECTOR_SIZE 512
#define ATTRIBUTES_MAX                                                                                                 \
    (1u << 20) /* records of one file of metadata; more means that its attribute list runs in a circle */

struct ntfs_reader {
    struct volume_io io;
    struct ntfs_volume_device device;
    struct allocation *allocation;
    ntfs_volume *volume;
};

static uint32_t get16(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t get32(const uint8_t *bytes)
{
    return get16(bytes) | get16(bytes + 2) << 16;
}

static uint64_t get64(const uint8_t *bytes)
{
    return get32(bytes) | (uint64_t)get32(bytes + 4) << 32;
}

/* --- recognition --- */

/* The boot sector's numbers, in bytes. */
struct ntfs_boot {
    uint32_t sector, cluster, record;
    uint64_t total, mft;
};

/* A count of clusters, or the negative logarithm of a number of bytes (boot sector, offset 0x40). */
static uint32_t record_bytes(uint8_t code, uint32_t cluster)
{
    if (code < 0x80)
        return code <= 64 ? code * cluster : 0;
    return code >= 0xe1 ? 1u << (256 - code) : 0;
}

static bool parse_boot_sector(const uint8_t *bytes, struct ntfs_boot *boot)
{
    uint32_t code = bytes[13], sectors = code <= 128 ? code : code >= 240 ? 1u << (256 - code) : 0;

    if (memcmp(bytes + 3, "NTFS    ", 8) != 0)
        return false;
    boot->sector = get16(bytes + 11);
    if (boot->sector < 256 || boot->sector > 4096 || (boot->sector & (boot->sector - 1)) || !sectors ||
        (sectors & (sectors - 1)))
        return false;
    boot->cluster = boot->sector * sectors;
    boot->record = record_bytes(bytes[64], boot->cluster);
    return !__builtin_mul_overflow(get64(bytes + 40), boot->sector, &boot->total) &&
           !__builtin_mul_overflow(get64(bytes + 48), boot->cluster, &boot->mft);
}

/* Undoes the update sequence of an MFT record: the last two bytes of each 512 stand in the record's head. */
static bool undo_update_sequence(uint8_t *record, uint32_t size)
{
    uint32_t offset = get16(record + 4), count = get16(record + 6);

    if (memcmp(record, "FILE", 4) != 0 || count != size / 512 + 1 || offset + 2 * count > 510)
        return false;
    for (uint32_t i = 1; i < count; i++) {
        if (memcmp(record + 512 * i - 2, record + offset, 2) != 0)
            return false;
        memcpy(record + 512 * i - 2, record + offset + 2 * i, 2);
    }
    return true;
}

/* The resident $VOLUME_NAME attribute of an MFT record. */
static void find_label(const uint8_t *record, uint32_t size, struct filesystem_info *info)
{
    uint32_t offset = get16(record + 20);

    while (offset <= size - 24) {
        const uint8_t *attribute = record + offset;
        uint32_t length = get32(attribute + 4), value = get16(attribute + 20), value_length = get32(attribute + 16);

        if (length < 24 || length > size - offset)
            return;
        if (get32(attribute) == 0x60 && !attribute[8] && value <= length && value_length <= length - value) {
            volume_utf16_text(info->label, sizeof info->label, attribute + value, value_length / 2);
            return;
        }
        offset += length;
    }
}

static void read_label(struct block_device *volume, const struct ntfs_boot *boot, struct filesystem_info *info)
{
    struct platform *platform = volume->loop->platform;
    uint8_t *record;

    if (boot->record < 512 || boot->record > RECORD_MAX || (boot->record & (boot->record - 1)))
        return;
    record = platform_allocate(platform, boot->record);
    if (!record)
        return;
    /* $Volume is record 3, and the first records of the MFT are never fragmented. */
    if (block_read_bytes(volume, boot->mft + 3ull * boot->record, record, boot->record, NULL) == 0 &&
        undo_update_sequence(record, boot->record))
        find_label(record, boot->record, info);
    platform_release(platform, record);
}

static bool ntfs_probe(struct block_device *volume, const uint8_t *head, size_t head_size, struct filesystem_info *info)
{
    struct ntfs_boot boot;

    if (head_size < BOOT_SECTOR_SIZE || !parse_boot_sector(head, &boot))
        return false;
    snprintf(info->type, sizeof info->type, "ntfs");
    snprintf(info->uuid, sizeof info->uuid, "%016llX", (unsigned long long)get64(head + 72));
    info->total_bytes = boot.total;
    info->used_bytes = UINT64_MAX;
    info->block_size = boot.cluster;
    read_label(volume, &boot, info);
    return true;
}

/* --- doubts --- */

static int doubt(struct ntfs_reader *reader, enum message_id id, const char *what, uint64_t number0, uint64_t number1)
{
    message_add(&reader->allocation->messages, MESSAGE_WARNING, id, 0, "ntfs", what, number0, number1);
    return DOUBT;
}

/* A call of the library failed: the device's fault, memory, or nonsense on the disk. */
static int library_doubt(struct ntfs_reader *reader, const char *what)
{
    const struct error *error = &reader->io.error;

    if (error->code == ERROR_CANCELLED)
        return -ERROR_CANCELLED;
    if (error->code != ERROR_NONE && error->code != ERROR_OUT_OF_RANGE)
        return doubt(reader, MESSAGE_FS_READER_FAILED, error_code_name(error->code), error->block, 0);
    if (errno == ENOMEM)
        return doubt(reader, MESSAGE_FS_READER_FAILED, "not enough memory", 0, 0);
    return doubt(reader, MESSAGE_FS_DAMAGED, what, 0, 0);
}

static int check_boot_sector(struct ntfs_reader *reader)
{
    uint64_t bytes = block_device_bytes(reader->io.device);
    uint8_t sector[BOOT_SECTOR_SIZE];
    struct ntfs_boot boot;

    if (volume_io_read(&reader->io, 0, sector, sizeof sector) < 0)
        return library_doubt(reader, "boot sector");
    if (!parse_boot_sector(sector, &boot))
        return doubt(reader, MESSAGE_FS_DAMAGED, "boot sector", 0, 0);
    if (boot.total > bytes)
        return doubt(reader, MESSAGE_FS_BIGGER_THAN_VOLUME, NULL, boot.total, bytes);
    return 0;
}

static int check_state(struct ntfs_reader *reader)
{
    struct ntfs_state state;
    int status = 0;

    if (ntfs_version_is_supported(reader->volume) < 0)
        return doubt(reader, MESSAGE_FS_UNKNOWN_FEATURE, "version",
                     (uint64_t)reader->volume->major_ver << 8 | reader->volume->minor_ver, 0);
    ntfs_examine_state(reader->volume, &state);
    if (state.hibernated)
        status = doubt(reader, MESSAGE_FS_HIBERNATED, NULL, 0, 0);
    if (state.dirty)
        status = doubt(reader, MESSAGE_FS_NOT_CLEAN, NULL, 0, 0);
    if (state.log_open)
        status = doubt(reader, MESSAGE_FS_JOURNAL_DIRTY, NULL, 0, 0);
    return status;
}

/* --- $Bitmap --- */

/* The library reads holes and what lies past the initialized size as zeroes, which would mean free clusters: there must be none. */
static int check_bitmap_attribute(struct ntfs_reader *reader, uint64_t size)
{
    ntfs_attr *bitmap = reader->volume->lcnbmp_na;

    if (bitmap->data_size < 0 || (uint64_t)bitmap->data_size < size || (uint64_t)bitmap->initialized_size < size ||
        (bitmap->data_flags & (ATTR_COMPRESSION_MASK | ATTR_IS_ENCRYPTED | ATTR_IS_SPARSE)))
        return doubt(reader, MESSAGE_FS_DAMAGED, "$Bitmap", 0, 0);
    if (!NAttrNonResident(bitmap))
        return 0;
    if (ntfs_attr_map_whole_runlist(bitmap) < 0)
        return library_doubt(reader, "$Bitmap");
    for (const runlist_element *run = bitmap->rl; run && run->length; run++)
        if (run->lcn < 0)
            return doubt(reader, MESSAGE_FS_DAMAGED, "$Bitmap", 0, 0);
    return 0;
}

static int read_bitmap(struct ntfs_reader *reader)
{
    ntfs_volume *volume = reader->volume;
    struct platform *platform = reader->io.device->loop->platform;
    uint64_t clusters = (uint64_t)volume->nr_clusters, size = (clusters + 7) / 8, unit = volume->cluster_size;
    uint8_t *piece = library_malloc(BITMAP_PIECE);
    int status = piece ? check_bitmap_attribute(reader, size) : -ERROR_NO_MEMORY;

    for (uint64_t at = 0; at < size && !status; at += BITMAP_PIECE) {
        uint64_t length = size - at < BITMAP_PIECE ? size - at : BITMAP_PIECE;
        uint64_t bits = clusters - at * 8 < length * 8 ? clusters - at * 8 : length * 8;

        if (platform->ops->cancel_requested(platform))
            status = -ERROR_CANCELLED;
        else if (ntfs_attr_pread(volume->lcnbmp_na, (s64)at, (s64)length, piece) != (s64)length)
            status = library_doubt(reader, "$Bitmap");
        else
            status =
                volume_add_bitmap(&reader->allocation->used, piece, bits, at * 8 * unit, unit, clusters * unit, NULL);
    }
    library_free(piece);
    return status;
}

/* --- the audit --- */

/* All clusters of one attribute record must have come out of $Bitmap. */
static int audit_attribute(struct ntfs_reader *reader, ATTR_RECORD *attribute, const char *what)
{
    ntfs_volume *volume = reader->volume;
    runlist_element *runs = ntfs_mapping_pairs_decompress(volume, attribute, NULL);
    uint64_t unit = volume->cluster_size;
    int status = 0;

    if (!runs)
        return library_doubt(reader, what);
    for (const runlist_element *run = runs; run->length && !status; run++) {
        if (run->lcn < 0)
            continue;
        if (run->length < 0 || run->lcn > volume->nr_clusters || run->length > volume->nr_clusters - run->lcn)
            status = doubt(reader, MESSAGE_FS_DAMAGED, what, 0, 0);
        else if (!extent_list_contains(&reader->allocation->used, (uint64_t)run->lcn * unit,
                                       (uint64_t)run->length * unit))
            status = doubt(reader, MESSAGE_FS_AUDIT_FAILED, what, (uint64_t)run->lcn * unit, 0);
    }
    library_free(runs);
    return status;
}

/* All attributes of a file of metadata. */
static int audit_file(struct ntfs_reader *reader, MFT_REF number, const char *what)
{
    ntfs_inode *inode = ntfs_inode_open(reader->volume, number);
    ntfs_attr_search_ctx *search = inode ? ntfs_attr_get_search_ctx(inode, NULL) : NULL;
    unsigned seen = 0;
    int status = search ? 0 : library_doubt(reader, what);

    while (!status && ntfs_attr_lookup(AT_UNUSED, NULL, 0, CASE_SENSITIVE, 0, NULL, 0, search) == 0) {
        if (++seen > ATTRIBUTES_MAX)
            status = doubt(reader, MESSAGE_FS_DAMAGED, what, 0, 0);
        else if (search->attr->non_resident)
            status = audit_attribute(reader, search->attr, what);
    }
    if (!status && errno != ENOENT)
        status = library_doubt(reader, what);
    if (search)
        ntfs_attr_put_search_ctx(search);
    if (inode)
        ntfs_inode_close(inode);
    return status;
}

static int audit_volume(struct ntfs_reader *reader)
{
    static const struct {
        MFT_REF number;
        const char *what;
    } files[] = {
        {FILE_MFT, "$MFT"},         {FILE_MFTMirr, "$MFTMirr"},    {FILE_LogFile, "$LogFile"}, {FILE_Volume, "$Volume"},
        {FILE_AttrDef, "$AttrDef"}, {FILE_root, "root directory"}, {FILE_Bitmap, "$Bitmap"},   {FILE_Boot, "$Boot"},
        {FILE_Secure, "$Secure"},   {FILE_UpCase, "$UpCase"},
    };
    int status = 0;

    if (!extent_list_contains(&reader->allocation->used, 0, BOOT_SECTOR_SIZE))
        status = doubt(reader, MESSAGE_FS_AUDIT_FAILED, "$Boot", 0, 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0] && !status; i++)
        status = audit_file(reader, files[i].number, files[i].what);
    return status;
}

/* --- the whole --- */

static int ntfs_read_allocation(struct block_device *volume, struct allocation *allocation)
{
    struct ntfs_reader reader = {.allocation = allocation};
    uint64_t end;
    int status;

    allocation->verdict = ALLOCATION_WHOLE;
    volume_io_init(&reader.io, volume);
    reader.device.io = &reader.io;
    status = check_boot_sector(&reader);
    if (status)
        return status < 0 ? status : 0;
    reader.volume = ntfs_mount_device(&reader.device, NTFS_MNT_RDONLY);
    if (!reader.volume) {
        status = library_doubt(&reader, "metadata");
        return status < 0 ? status : 0;
    }
    status = check_state(&reader);
    if (!status)
        status = read_bitmap(&reader);
    if (!status)
        status = audit_volume(&reader);
    /* Behind the last cluster stands the backup boot sector. */
    end = (uint64_t)reader.volume->nr_clusters * reader.volume->cluster_size;
    if (!status)
        status = volume_add_tail(&allocation->used, end, block_device_bytes(volume));
    if (status == 0)
        allocation->verdict = ALLOCATION_EXACT;
    ntfs_umount(reader.volume, FALSE);
    return status < 0 ? status : 0;
}

const struct filesystem_driver ntfs_filesystem = {
    .name = "ntfs",
    .probe = ntfs_probe,
    .read_allocation = ntfs_read_allocation,
    .open_store = ntfs_open_store,
    .read_space = ntfs_look,
    .list_files = ntfs_list_files,
};
