/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The envelope of our own frames, and the leading frame: docs/image-format.md, sections 2 and 3. */
#include <string.h>

#include "core/image_internal.h"

/* Empty, single segment, four-byte content size, checksum: 16 bytes. */
const uint8_t lead_frame[LEAD_SIZE] = {0x28, 0xB5, 0x2F, 0xFD, 0xA4, 0, 0, 0, 0, 1, 0, 0, 0x99, 0xE9, 0xD8, 0x51};
/* Empty too, but it asks for the dictionary "EID1", which nobody has: decoding stops here. */
const uint8_t stop_frame[LEAD_SIZE] = {0x28, 0xB5, 0x2F, 0xFD, 0xA3, 'E', 'I', 'D', '1', 0, 0, 0, 0, 1, 0, 0};

static void tag_store(uint8_t bytes[TAG_SIZE], const char *tag)
{
    memset(bytes, 0, TAG_SIZE);
    memcpy(bytes, tag, strnlen(tag, TAG_SIZE));
}

void frame_begin(uint8_t *frame, const char *tag, const struct image_chain *chain, uint64_t offset)
{
    store_le32(frame + FRAME_AT_MAGIC, FRAME_MAGIC);
    tag_store(frame + FRAME_AT_TAG, tag);
    memcpy(frame + FRAME_AT_UUID, chain->uuid, 16);
    memcpy(frame + FRAME_AT_SESSION, chain->session, 16);
    store_le64(frame + FRAME_AT_OFFSET, offset);
    store_le32(frame + FRAME_AT_SEQUENCE, chain->sequence);
    store_le32(frame + FRAME_AT_VERSION, FORMAT_VERSION);
    memcpy(frame + FRAME_AT_PREVIOUS, chain->last, FRAME_HASH_SIZE);
}

void frame_seal(uint8_t *frame, size_t size, struct image_chain *chain)
{
    store_le32(frame + FRAME_AT_SIZE, (uint32_t)(size - FRAME_SKIP_HEADER));
    image_hash(frame, size - FRAME_HASH_SIZE, chain->last);
    memcpy(frame + size - FRAME_HASH_SIZE, chain->last, FRAME_HASH_SIZE);
    chain->sequence++;
}

bool frame_has_tag(const uint8_t *frame, const char *tag)
{
    uint8_t bytes[TAG_SIZE];

    tag_store(bytes, tag);
    return !memcmp(frame + FRAME_AT_TAG, bytes, TAG_SIZE);
}

uint64_t frame_claimed_size(const uint8_t *frame)
{
    if (load_le32(frame + FRAME_AT_MAGIC) != FRAME_MAGIC)
        return 0;
    return (uint64_t)load_le32(frame + FRAME_AT_SIZE) + FRAME_SKIP_HEADER;
}

int frame_check(const uint8_t *frame, size_t size, const char *tag, struct image_chain *chain, uint64_t offset,
                const char *name, struct error *error)
{
    uint8_t hash[FRAME_HASH_SIZE];

    if (size < FRAME_SIZE_MIN || frame_claimed_size(frame) != size || !frame_has_tag(frame, tag))
        return image_corrupt(error, name, offset, "no %s frame here", tag);
    image_hash(frame, size - FRAME_HASH_SIZE, hash);
    if (memcmp(hash, frame + size - FRAME_HASH_SIZE, sizeof hash))
        return image_corrupt(error, name, offset, "the %s frame is damaged", tag);
    if (load_le32(frame + FRAME_AT_VERSION) != FORMAT_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, OPERATION_PARSE, name, offset,
                         "image format version %u; this program reads version %u",
                         (unsigned)load_le32(frame + FRAME_AT_VERSION), FORMAT_VERSION);
    if (memcmp(frame + FRAME_AT_UUID, chain->uuid, 16) || memcmp(frame + FRAME_AT_SESSION, chain->session, 16))
        return image_corrupt(error, name, offset, "the %s frame belongs to another image", tag);
    if (load_le64(frame + FRAME_AT_OFFSET) != offset)
        return image_corrupt(error, name, offset, "the %s frame was made for another place", tag);
    if (!chain->free && (load_le32(frame + FRAME_AT_SEQUENCE) != chain->sequence ||
                         memcmp(frame + FRAME_AT_PREVIOUS, chain->last, FRAME_HASH_SIZE)))
        return image_corrupt(error, name, offset, "the %s frame does not follow the one before", tag);
    chain->sequence = load_le32(frame + FRAME_AT_SEQUENCE) + 1;
    memcpy(chain->last, hash, sizeof hash);
    chain->free = false;
    return 0;
}
