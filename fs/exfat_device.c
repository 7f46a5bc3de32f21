/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libexfat calls: its device, over our block devices; its words, which nobody hears (what went wrong is in the codes); its
 * questions whether to repair something, which are always answered no.
 */
#include "fs/exfat.h"

#include "core/library.h"

#include <errno.h>
#include <string.h>

/* Policy: what one operation may ask for. A folder of the largest size (section 7.4: 256 MiB) stays within that. */
#define READS_MAX (24u * 1024 * 1024)
#define PAGES_MAX (64u * 1024) /* 1 GiB */
#define AUDIT_PAGES_MAX (256u * 1024)
#define FOLDER_BYTES_MAX (256u * 1024 * 1024)

#define ENTRY_BYTES 32
#define ENTRY_IN_USE 0x80
#define ENTRY_KIND 0xe0 /* in use, secondary, benign: section 6.2.1 */
#define ENTRY_BENIGN_PRIMARY 0xa0

void exfat_begin_work(struct exfat_dev *device)
{
    device->reads_left = READS_MAX;
    device->pages_left = PAGES_MAX;
}

void exfat_begin_audit(struct exfat_dev *device)
{
    device->reads_left = UINT64_MAX; /* of what is held; what is fetched is counted */
    device->pages_left = AUDIT_PAGES_MAX;
}

/* --- the device --- */

/* The "name" is the device itself: exfat_mount() does nothing with it but hand it over. */
struct exfat_dev *exfat_open(const char *name, enum exfat_mode mode)
{
    struct exfat_dev *device = (struct exfat_dev *)(uintptr_t)name;

    return mode == EXFAT_MODE_RW && !device->io->writable ? NULL : device;
}

/* It belongs to its volume. */
int exfat_close(struct exfat_dev *device)
{
    (void)device;
    return 0;
}

int exfat_fsync(struct exfat_dev *device)
{
    return volume_io_flush(device->io) < 0 ? -EIO : 0;
}

enum exfat_mode exfat_get_mode(const struct exfat_dev *device)
{
    return device->io->writable ? EXFAT_MODE_RW : EXFAT_MODE_RO;
}

off_t exfat_get_size(const struct exfat_dev *device)
{
    uint64_t bytes = block_device_bytes(device->io->device);

    return bytes > INT64_MAX ? INT64_MAX : (off_t)bytes;
}

/* NULL: cannot be read, or too much has been. */
static struct exfat_page *page_at(struct exfat_dev *device, uint64_t offset)
{
    uint64_t number = offset / EXFAT_PAGE_BYTES, left = (uint64_t)exfat_get_size(device) - number * EXFAT_PAGE_BYTES;
    struct exfat_page *page = &device->pages[number % EXFAT_PAGES];

    if (page->valid && page->offset == number * EXFAT_PAGE_BYTES)
        return page;
    if (!device->pages_left)
        return NULL;
    device->pages_left--;
    page->offset = number * EXFAT_PAGE_BYTES;
    page->size = left < EXFAT_PAGE_BYTES ? (size_t)left : EXFAT_PAGE_BYTES;
    page->valid = volume_io_read(device->io, page->offset, page->bytes, page->size) == 0;
    return page->valid ? page : NULL;
}

static bool in_range(const struct exfat_dev *device, size_t size, off_t offset)
{
    off_t bytes = exfat_get_size(device);

    return offset >= 0 && offset <= bytes && size <= (uint64_t)(bytes - offset);
}

ssize_t exfat_pread(struct exfat_dev *device, void *buffer, size_t size, off_t offset)
{
    uint8_t *to = buffer;
    size_t done = 0;

    if (!in_range(device, size, offset) || !device->reads_left)
        return -1;
    device->reads_left--;
    if (size >= EXFAT_PAGE_BYTES)
        return volume_io_read(device->io, (uint64_t)offset, buffer, size) < 0 ? -1 : (ssize_t)size;
    while (done < size) {
        uint64_t at = (uint64_t)offset + done;
        struct exfat_page *page = page_at(device, at);
        size_t length;

        if (!page)
            return -1;
        length = page->size - (size_t)(at - page->offset);
        if (length > size - done)
            length = size - done;
        memcpy(to + done, page->bytes + (at - page->offset), length);
        done += length;
    }
    return (ssize_t)size;
}

/* Through to the disk; pages that are held take it over. */
ssize_t exfat_pwrite(struct exfat_dev *device, const void *buffer, size_t size, off_t offset)
{
    uint64_t start = (uint64_t)offset, end = start + size;

    if (!in_range(device, size, offset) || volume_io_write(device->io, start, buffer, size) < 0)
        return -1;
    for (unsigned i = 0; i < EXFAT_PAGES; i++) {
        struct exfat_page *page = &device->pages[i];
        uint64_t from = start > page->offset ? start : page->offset;
        uint64_t to = end < page->offset + page->size ? end : page->offset + page->size;

        if (page->valid && from < to)
            memcpy(page->bytes + (from - page->offset), (const uint8_t *)buffer + (from - start), (size_t)(to - from));
    }
    return (ssize_t)size;
}

/* --- contents of folders, the only ones that the library reads and writes itself --- */

enum direction { READING, WRITING };

/* Goes through [offset, offset + size) of a folder, cluster by cluster. */
static int go_through(const struct exfat *exfat, struct exfat_node *folder, uint8_t *bytes, size_t size,
                      uint64_t offset, enum direction direction)
{
    uint64_t cluster_bytes = (uint64_t)CLUSTER_SIZE(*exfat->sb), skip = offset % cluster_bytes;
    cluster_t cluster = exfat_advance_cluster(exfat, folder, (uint32_t)(offset / cluster_bytes));

    while (size) {
        size_t length = size < cluster_bytes - skip ? size : (size_t)(cluster_bytes - skip);
        off_t at;
        ssize_t done;

        if (CLUSTER_INVALID(*exfat->sb, cluster))
            return -EIO;
        at = exfat_c2o(exfat, cluster) + (off_t)skip;
        done = direction == WRITING ? exfat_pwrite(exfat->dev, bytes, length, at)
                                    : exfat_pread(exfat->dev, bytes, length, at);
        if (done < 0)
            return -EIO;
        bytes += length;
        size -= length;
        skip = 0;
        if (size)
            cluster = exfat_next_cluster(exfat, folder, cluster);
    }
    return 0;
}

/*
 * The library stops at entries that it does not know. Benign ones must be passed over (section 6.2.1.2: an implementation that does
 * not recognise a benign primary entry ignores it, and what follows it); it looks for entries one by one, and is shown that
 * one as if it were not in use. When it looks for room, it asks for several at a time and sees what is there.
 */
static void hide_benign(uint8_t *entry)
{
    if ((entry[0] & ENTRY_KIND) == ENTRY_BENIGN_PRIMARY)
        entry[0] &= (uint8_t)~ENTRY_IN_USE;
}

ssize_t exfat_generic_pread(const struct exfat *exfat, struct exfat_node *folder, void *buffer, size_t size,
                            off_t offset)
{
    int status;

    if (offset < 0 || folder->size > FOLDER_BYTES_MAX)
        return -EIO;
    if ((uint64_t)offset >= folder->size)
        return 0;
    if (size > folder->size - (uint64_t)offset)
        size = (size_t)(folder->size - (uint64_t)offset);
    status = go_through(exfat, folder, buffer, size, (uint64_t)offset, READING);
    if (status < 0)
        return status;
    if (size == ENTRY_BYTES)
        hide_benign(buffer);
    return (ssize_t)size;
}

ssize_t exfat_generic_pwrite(struct exfat *exfat, struct exfat_node *folder, const void *buffer, size_t size,
                             off_t offset)
{
    int status;

    /* It makes a folder longer before it writes there. */
    if (offset < 0 || (uint64_t)offset > folder->size || size > folder->size - (uint64_t)offset)
        return -EIO;
    status = go_through(exfat, folder, (uint8_t *)(uintptr_t)buffer, size, (uint64_t)offset, WRITING);
    return status < 0 ? status : (ssize_t)size;
}

/* --- words and questions --- */

/* What the library calls impossible, and a volume that lies makes possible. */
void exfat_bug(const char *format, ...)
{
    (void)format;
    library_abort();
}

void exfat_error(const char *format, ...)
{
    (void)format;
}

void exfat_warn(const char *format, ...)
{
    (void)format;
}

void exfat_debug(const char *format, ...)
{
    (void)format;
}

/* Times are written as UTC. */
void exfat_tzset(void) {}

bool exfat_ask_to_fix(const struct exfat *exfat)
{
    (void)exfat;
    return false;
}

bool exfat_fix_invalid_vbr_checksum(const struct exfat *exfat, void *sector, uint32_t checksum)
{
    (void)exfat;
    (void)sector;
    (void)checksum;
    return false;
}

bool exfat_fix_invalid_node_checksum(const struct exfat *exfat, struct exfat_node *node)
{
    (void)exfat;
    (void)node;
    return false;
}

bool exfat_fix_unknown_entry(struct exfat *exfat, struct exfat_node *folder, const struct exfat_entry *entry,
                             off_t offset)
{
    (void)exfat;
    (void)folder;
    (void)entry;
    (void)offset;
    return false;
}
