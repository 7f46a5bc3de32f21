/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of an image: offsets, sizes, tags and limits, as docs/image-format.md specifies them. Little-endian throughout.
 *
 * An image is a sequence of zstd frames. Ours are skippable frames with a common envelope; the disk's bytes are ordinary
 * frames between them. Offsets named here are from the start of a frame; "image offset" counts from the start of the
 * first volume, all volumes in a row.
 */
#ifndef CORE_IMAGE_FORMAT_H
#define CORE_IMAGE_FORMAT_H

#include "core/bytes.h"

#define FORMAT_VERSION 1

/* The leading frame: empty, so that every zstd tool sees a zstd file. With the stop frame instead, none will decode it. */
#define LEAD_SIZE 16

/* The envelope of our own frames: section 3. */
#define FRAME_MAGIC 0x184D2A5Bu
#define FRAME_AT_MAGIC 0
#define FRAME_AT_SIZE 4
#define FRAME_AT_TAG 8
#define FRAME_AT_UUID 16
#define FRAME_AT_SESSION 32
#define FRAME_AT_OFFSET 48
#define FRAME_AT_SEQUENCE 56
#define FRAME_AT_VERSION 60
#define FRAME_AT_PREVIOUS 64
#define FRAME_BODY 96
#define FRAME_HASH_SIZE 32
#define FRAME_SIZE_MIN (FRAME_BODY + FRAME_HASH_SIZE)
#define FRAME_SKIP_HEADER 8 /* magic and size, not counted by the size field */

#define TAG_SIZE 8
#define TAG_HEAD "EIDHEAD"
#define TAG_INDEX "EIDINDEX"
#define TAG_TABLE "EIDTABLE"
#define TAG_TRAILER "EIDTRAIL"

/* The header: section 4. */
#define HEAD_AT_KIND 96
#define HEAD_AT_VOLUME 100
#define HEAD_AT_INCOMPATIBLE 104 /* from here on, all headers of an image are the same */
#define HEAD_AT_COMPATIBLE 112
#define HEAD_AT_DISK_BYTES 120
#define HEAD_AT_LOGICAL 128
#define HEAD_AT_PHYSICAL 132
#define HEAD_AT_CHUNK_SIZE 136
#define HEAD_AT_FLAGS 140
#define HEAD_AT_PLANNED 144
#define HEAD_AT_CREATED 152
#define HEAD_AT_LEVEL 160
#define HEAD_AT_REGIONS 164
#define HEAD_AT_VALUES_SIZE 168
#define HEAD_AT_RESERVED 172
#define HEAD_AT_MAP_HASH 176
#define HEAD_AT_PARENT_UUID 208
#define HEAD_AT_PARENT_ROOT 224
#define HEAD_AT_VALUES 256
#define HEAD_SIZE_MAX (4u * 1024 * 1024)

#define HEAD_FLAG_PARTITION 1u /* one partition captured alone */

/* Kinds of header, and of table rows (where 1 is a segment). */
#define HEAD_FIRST 1u
#define HEAD_VOLUME 2u
#define HEAD_SESSION 3u
#define HEAD_CLOSING 4u
#define ROW_SEGMENT 1u

#define INCOMPATIBLE_ENCRYPTED 1ULL
#define INCOMPATIBLE_DELTA 2ULL
#define INCOMPATIBLE_UNORDERED 4ULL
#define INCOMPATIBLE_KNOWN 0ULL /* what this version can read */

/* Type-length-values in the header: section 4.3. */
#define VALUE_AT_TYPE 0
#define VALUE_AT_FLAGS 2
#define VALUE_AT_LENGTH 4
#define VALUE_HEADER 8
#define VALUE_FLAG_CRITICAL 1u
#define VALUE_TEXT 1u
#define VALUE_REGION 2u
#define VALUE_TABLE_HEAD 3u
#define VALUE_TABLE_TAIL 4u
#define VALUE_PROGRAM 5u
#define VALUE_MODEL 6u
#define VALUE_SERIAL 7u
#define VALUE_BUS 8u
#define VALUE_ENCRYPTION 9u /* reserved, critical */
#define VALUE_RESCUE 10u    /* reserved, critical */

#define REGION_AT_OFFSET 0
#define REGION_AT_BYTES 8
#define REGION_AT_USED 16
#define REGION_AT_PARTITION 24
#define REGION_AT_FLAGS 28
#define REGION_AT_TYPE 32
#define REGION_AT_LABEL 48
#define REGION_AT_UUID 112
#define REGION_SIZE 152
#define REGION_FLAG_WHOLE 1u

/* The index of a segment: section 5. */
#define INDEX_AT_DISK_OFFSET 96
#define INDEX_AT_PLAIN 104
#define INDEX_AT_STORED 112
#define INDEX_AT_REGION 120
#define INDEX_AT_ENTRIES 124
#define INDEX_AT_MAP_BYTES 128
#define INDEX_AT_FLAGS 132
#define INDEX_AT_RESERVED 136
#define INDEX_ENTRIES 144

#define ENTRY_AT_KIND 0
#define ENTRY_AT_RESERVED 1
#define ENTRY_AT_LOST_PIECES 2
#define ENTRY_AT_STORED 4
#define ENTRY_AT_LENGTH 8
#define ENTRY_AT_HASH 16
#define ENTRY_AT_STORED_HASH 48
#define ENTRY_SIZE 80

#define ENTRY_DATA 1u
#define ENTRY_PARTIAL 2u
#define ENTRY_ZERO 3u
#define ENTRY_UNUSED 4u
#define ENTRY_UNREADABLE 5u
#define ENTRY_IN_PARENT 6u /* reserved for delta images */

#define SEGMENT_PLAIN_MAX (64ULL * 1024 * 1024)  /* of data chunks */
#define SEGMENT_STORED_MAX (64ULL * 1024 * 1024) /* reached: no further frame; so at most one chunk more */
#define SEGMENT_STORED_BOUND (SEGMENT_STORED_MAX + 4ULL * 1024 * 1024 + 65536)
#define INDEX_ENTRIES_MAX 65536u
#define INDEX_MAP_BYTES_MAX 65536u
#define INDEX_SIZE_MAX (INDEX_ENTRIES + INDEX_ENTRIES_MAX * ENTRY_SIZE + INDEX_MAP_BYTES_MAX + FRAME_HASH_SIZE)

/* Zero runs: section 6. A full frame, and the RLE blocks in it. */
#define ZERO_FRAME_PLAIN (64ULL * 1024 * 1024)
#define ZERO_BLOCK_PLAIN (128ULL * 1024)
#define ZERO_FRAME_FIXED 14u /* magic, descriptor, window, content size, checksum */
#define ZERO_BLOCK_SIZE 4u
#define ZERO_FRAME_SIZE (ZERO_FRAME_FIXED + ZERO_BLOCK_SIZE * (unsigned)(ZERO_FRAME_PLAIN / ZERO_BLOCK_PLAIN))

/* The segment table: section 7. */
#define TABLE_AT_FIRST_ROW 96
#define TABLE_AT_ROWS 104
#define TABLE_AT_RESERVED 108
#define TABLE_ROWS 128
#define TABLE_ROWS_MAX 4096u /* of one page; all pages but the last are full */
#define TABLE_SIZE(rows) (TABLE_ROWS + (size_t)(rows)*ROW_SIZE + FRAME_HASH_SIZE)

#define ROW_AT_HASH 0
#define ROW_AT_PLAIN 32
#define ROW_AT_STORED 40  /* bytes in the image: frame and what follows up to the next link */
#define ROW_AT_FRAME 44   /* bytes of our own frame */
#define ROW_AT_ENTRIES 48 /* of a segment; of a header the volume's number */
#define ROW_AT_REGION 52
#define ROW_AT_KIND 56
#define ROW_AT_RESERVED 60
#define ROW_SIZE 64
#define ROWS_MAX (1u << 27)

/* The trailer: section 8. */
#define TRAILER_AT_LAST_LINK 96
#define TRAILER_AT_HEAD_HASH 128
#define TRAILER_AT_TABLE_HASH 160
#define TRAILER_AT_TOTALS 192
#define TRAILER_AT_DISK 192
#define TRAILER_AT_DATA 200
#define TRAILER_AT_ZERO 208
#define TRAILER_AT_UNUSED 216
#define TRAILER_AT_UNREADABLE 224
#define TRAILER_AT_IN_PARENT 232
#define TRAILER_AT_IMAGE_BYTES 240
#define TRAILER_AT_CHUNKS 248
#define TRAILER_AT_SEGMENTS 256
#define TRAILER_AT_ROWS 264
#define TRAILER_AT_TABLE_BYTES 272
#define TRAILER_AT_SEEK_FRAMES 280
#define TRAILER_AT_VOLUMES 288
#define TRAILER_AT_FLAGS 292
#define TRAILER_TOTALS_SIZE 104
#define TRAILER_AT_ROOT 296
#define TRAILER_AT_RESERVED 328
#define TRAILER_SIZE 512

/* The zstd seekable format's table: section 10. */
#define SEEK_MAGIC 0x184D2A5Eu
#define SEEK_FOOTER_MAGIC 0x8F92EAB1u
#define SEEK_ENTRY_SIZE 8
#define SEEK_FOOTER_SIZE 9
#define SEEK_TABLE_SIZE(frames) (FRAME_SKIP_HEADER + (uint64_t)(frames)*SEEK_ENTRY_SIZE + SEEK_FOOTER_SIZE)
#define SEEK_FRAMES_MAX (1u << 27)

#define VOLUMES_MAX 999u

#endif
