/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the image room share. Others include core/image.h.
 *
 * image_codec.c    chunks: hash, compress, the reverse
 * image_zero.c     runs without data: their canonical frames
 * image_frame.c    the envelope of our own frames, the leading frame
 * image_header.c   the header and what it describes
 * image_index.c    the index of a segment
 * image_table.c    the table of all links, the trailer, the seek table
 * image_source.c   volumes as one row of bytes to read
 * image_writer.c   gathers chunks into segments; image_output.c sends segments away and ends the image
 * image_continue.c finds how far an image without an end goes
 * image_open.c     finds and checks header, trailer, table and indexes
 * image_reader.c   yields chunks in order; image_salvage.c finds the way after damage
 * image_block.c    an image as a disk
 */
#ifndef CORE_IMAGE_INTERNAL_H
#define CORE_IMAGE_INTERNAL_H

#include <blake3.h>

#include "core/image.h"
#include "core/image_format.h"

/* --- image_zero.c --- */
#define ZERO_CHECKPOINT (64u * 1024)
struct zero_frames {
    /* The state of XXH64's lanes after n * ZERO_CHECKPOINT zero bytes; the third lane stays zero. */
    uint64_t lanes[ZERO_FRAME_PLAIN / ZERO_CHECKPOINT + 1][3];
    unsigned known; /* checkpoints computed so far, less one */
    bool full_ready;
    uint8_t full[ZERO_FRAME_SIZE]; /* the frame of 64 MiB */
    uint64_t rest_length;          /* plain bytes of the frame in `rest`; 0: none */
    uint8_t rest[ZERO_FRAME_SIZE];
};
void zero_frames_init(struct zero_frames *zero);
/* Stored bytes of a frame of `length` (1 to ZERO_FRAME_PLAIN) zero bytes, and of the frames of a run. */
unsigned zero_frame_size(uint64_t length);
uint64_t zero_run_size(uint64_t length);
/* The frame for `length` zero bytes; valid until the next call. */
const uint8_t *zero_frame(struct zero_frames *zero, uint64_t length);
/* True when `bytes` are those at `offset` of the stored form of a run. */
bool zero_run_matches(struct zero_frames *zero, uint64_t run_length, uint64_t offset, const uint8_t *bytes,
                      size_t size);

/* --- image_frame.c --- */
extern const uint8_t lead_frame[LEAD_SIZE];
extern const uint8_t stop_frame[LEAD_SIZE];

/* The chain of own frames, as it stands before the next one. */
struct image_chain {
    uint8_t uuid[16], session[16];
    uint32_t sequence;
    uint8_t last[FRAME_HASH_SIZE]; /* hash of the frame before; zero before the first */
    bool free; /* salvage: the frame before is not known, so sequence and last are taken from the next frame */
};
/* Fills the envelope's front for a frame at the image offset. */
void frame_begin(uint8_t *frame, const char *tag, const struct image_chain *chain, uint64_t offset);
/* Writes size and hash; moves the chain on. `size`: the whole frame. */
void frame_seal(uint8_t *frame, size_t size, struct image_chain *chain);
bool frame_has_tag(const uint8_t *frame, const char *tag);
/* The whole size that the first 8 bytes claim; 0 when they are no own frame. */
uint64_t frame_claimed_size(const uint8_t *frame);
/* Checks the envelope of a whole frame and moves the chain on. -ERROR_CORRUPT or -ERROR_UNSUPPORTED (version). */
int frame_check(const uint8_t *frame, size_t size, const char *tag, struct image_chain *chain, uint64_t offset,
                const char *name, struct error *error);
#define image_corrupt(error, name, offset, ...)                                                                        \
    error_set((error), ERROR_CORRUPT, OPERATION_PARSE, (name), (offset), __VA_ARGS__)

/* --- image_header.c --- */
size_t header_size(const struct image_description *description);
/* Writes what all headers of an image share into a frame of header_size() bytes; header_repeat() makes one of it. */
void header_build(uint8_t *frame, const struct image_description *description);
/* Makes a frame that holds a header one of this kind and place, and moves the chain on. */
void header_repeat(uint8_t *frame, size_t size, unsigned kind, unsigned volume, uint64_t offset,
                   struct image_chain *chain);
/* Reads a whole frame whose envelope has been checked. The description is the caller's to free. */
int header_parse(struct platform *platform, const uint8_t *frame, size_t size, struct image_description *description,
                 const char *name, struct error *error);
/* A repeated header says the same as the first. */
bool header_repeats(const uint8_t *first, size_t first_size, const uint8_t *other, size_t other_size);
int description_copy(struct platform *platform, const struct image_description *from, struct image_description *to);
int description_check(const struct image_description *description, const char *name, struct error *error);
/* The region that holds the byte; region_count when none does. */
unsigned description_region(const struct image_description *description, uint64_t disk_offset);

/* --- image_index.c --- */
struct image_index {
    struct platform *platform;
    unsigned holds;
    uint64_t disk_offset, plain, stored;
    uint64_t data_offset; /* image offset of the first stored byte */
    unsigned region, entries;
    uint32_t map_bytes;
    size_t size;     /* of the frame */
    uint8_t frame[]; /* the whole frame, as read */
};
/* Steps through the entries. */
struct index_walk {
    const struct image_index *index;
    unsigned entry;         /* next entry to look at */
    uint64_t disk_offset;   /* of it */
    uint64_t stored_offset; /* of it, from the first stored byte */
    uint32_t map_offset;
};
struct image_index *index_allocate(struct platform *platform, size_t size);
void index_hold(struct image_index *index);
void index_release(struct image_index *index);
/* Checks the body of a frame whose envelope has been checked. `disk_offset`: where the segment must begin; UINT64_MAX: anywhere. */
int index_check(struct image_index *index, const struct image_description *description, uint64_t disk_offset,
                const char *name, uint64_t offset, struct error *error);
void index_walk_begin(struct index_walk *walk, const struct image_index *index);
/* The next entry, without `stored`; false after the last. */
bool index_walk_next(struct index_walk *walk, struct image_chunk *chunk);
/* The next entry is looked at without moving on; false after the last. */
bool index_walk_peek(const struct index_walk *walk, struct image_chunk *chunk);
static inline size_t entry_map_bytes(uint64_t length)
{
    return (size_t)((length + 8 * IMAGE_PIECE - 1) / (8 * IMAGE_PIECE));
}
unsigned entry_kind(enum image_chunk_kind kind);
/* A data entry's stored form is within what zstd can make of `length` bytes. */
size_t stored_size_bound(uint64_t length);

/* --- image_table.c --- */
struct image_row {
    uint8_t hash[IMAGE_HASH_SIZE];
    uint64_t plain;
    uint32_t stored, frame, entries, region, kind;
};
void row_store(uint8_t *bytes, const struct image_row *row);
int row_load(const uint8_t *bytes, struct image_row *row);

/* What a writer keeps of the seek table; past SEEK_STORE_MAX bytes or without memory it is given up. */
#define SEEK_STORE_MAX (4u * 1024 * 1024) /* policy: 512 GiB in use at 1 MiB a chunk */
#define SEEK_PAGE_ENTRIES 8190u
struct seek_page {
    struct seek_page *next;
    unsigned count;
    uint8_t entries[SEEK_PAGE_ENTRIES * SEEK_ENTRY_SIZE];
};
struct seek_store {
    struct platform *platform;
    struct seek_page *first, *last;
    uint64_t frames;
    bool dropped;
};
void seek_store_free(struct seek_store *store);

/* What has been counted on the way; both sides make it, the trailer says it. */
struct image_tally {
    struct image_totals totals;
    uint64_t rows, seek_frames;
    blake3_hasher table, seek;
    uint8_t head_hash[IMAGE_HASH_SIZE], last_link[IMAGE_HASH_SIZE];
    struct seek_store *store; /* NULL: frames are only hashed */
    uint8_t *row;             /* the next row is stored here too; NULL: it is only hashed */
};
void tally_init(struct image_tally *tally, uint64_t disk_bytes);
void tally_seek_frame(struct image_tally *tally, uint64_t stored, uint64_t plain);
/* A header behind the first one: its row and its frame, with the leading frame of a volume. */
void tally_header(struct image_tally *tally, unsigned kind, unsigned volume, size_t size, const uint8_t *hash);
/* A sealed index: its row, its entries and their frames, its own included. */
void tally_index(struct image_tally *tally, const struct image_index *index);
uint64_t table_bytes(uint64_t rows);

/* Builds the trailer (TRAILER_SIZE bytes) from the tally, whose image_bytes and root are filled on the way. */
void trailer_build(uint8_t *frame, struct image_tally *tally, bool seek_table, uint64_t offset,
                   struct image_chain *chain);
struct image_trailer {
    struct image_totals totals;
    uint64_t rows, table_bytes, seek_frames;
    uint8_t last_link[IMAGE_HASH_SIZE], head_hash[IMAGE_HASH_SIZE], table_hash[IMAGE_HASH_SIZE];
};
/* Reads a trailer whose envelope has been checked; checks its root. */
int trailer_parse(const uint8_t *frame, struct image_trailer *trailer, const char *name, uint64_t offset,
                  struct error *error);
/* Compares what the trailer says with what was seen. */
int trailer_compare(const struct image_trailer *trailer, const struct image_tally *tally, const char *name,
                    uint64_t offset, struct error *error);
/* The seek table's first eight and last nine bytes. */
void seek_table_ends(uint64_t frames, uint8_t header[FRAME_SKIP_HEADER], uint8_t footer[SEEK_FOOTER_SIZE]);

/* --- image_source.c --- */
#define SOURCE_OPEN_MAX 8     /* policy: volumes open at a time, unless all have to stay open */
#define SOURCE_MISSING_MAX 16 /* policy: volumes in a row that salvage will do without */
enum source_flags {
    SOURCE_KEEP_OPEN = 1, /* every volume stays open, so that reading never has to wait for one */
    SOURCE_SALVAGE = 2    /* volumes may be missing or cut; each stands where its header says */
};
struct image_volume {
    unsigned number;
    uint64_t start, size;  /* image offset and bytes; size UINT64_MAX: a pipe */
    struct stream *stream; /* NULL: closed for now */
    uint64_t used;
    unsigned in_flight;
};
struct image_source {
    struct loop *loop;
    struct stream_store *store;
    struct image_volume *volumes;
    unsigned count, open, flags;
    uint64_t clock;
    bool can_seek;
    uint64_t size;     /* image bytes; UINT64_MAX unknown */
    uint64_t consumed; /* bytes read so far */
    const char *name;
    /* Bytes read already that will be asked for again (after a search in a pipe). */
    uint8_t *kept;
    uint64_t kept_offset;
    size_t kept_size;
};
/* Opens all volumes that there are. */
int source_open(struct loop *loop, struct stream_store *store, unsigned flags, struct image_source *source,
                struct error *error);
void source_close(struct image_source *source);
/* Waits. Short only at the end. */
int source_read(struct image_source *source, uint64_t offset, void *data, size_t size, size_t *transferred,
                struct error *error);
/* Waits. Reads in small pieces, with zeroes for those that cannot be read; returns how many bytes there are up to the end. */
size_t source_read_around(struct image_source *source, uint64_t offset, void *data, size_t size);
/* Waits. -ERROR_INCOMPLETE when the image ends before. */
int source_read_exactly(struct image_source *source, uint64_t offset, void *data, size_t size, struct error *error);
/* A piece of one volume, not waiting. */
struct source_read {
    struct stream_request request;
    struct image_source *source;
    struct image_volume *volume;
    size_t wanted, kept; /* bytes asked for, and how many of them were there already */
    bool ended;
    int status;
    size_t transferred;
    void (*done)(struct source_read *read); /* from the loop's outermost step; NULL: look at ended */
    void *context;
};
/* Keeps bytes so that they can be read again at their offset. */
int source_keep(struct image_source *source, uint64_t offset, const void *data, size_t size);
/* 0 or -ERROR_FULL, or -ERROR_BUSY when the volume must be opened first: source_prepare(), where waiting is allowed. */
int source_submit(struct image_source *source, struct source_read *read, uint64_t offset, void *data, size_t size);
int source_prepare(struct image_source *source, uint64_t offset, struct error *error);
/* Salvage: where a volume begins at or behind the offset; UINT64_MAX: none does. */
uint64_t source_next_volume(const struct image_source *source, uint64_t offset);

/* --- image_open.c --- */
/* A link of the chain, as the segment table gives it. */
struct table_row {
    uint8_t hash[IMAGE_HASH_SIZE];
    uint64_t disk_offset, image_offset;
    uint32_t stored, frame, region;
    uint8_t kind;
    uint16_t session; /* index into sessions */
};
#define SESSIONS_MAX 256
struct image_file {
    struct loop *loop;
    struct platform *platform;
    struct image_source source;
    struct image_description description;
    uint8_t *head; /* the first header's frame */
    size_t head_size;
    struct image_chain first_link; /* the chain as it stands after the first header */
    struct image_trailer trailer;
    uint64_t trailer_offset;
    struct table_row *rows; /* after file_load_table() */
    uint64_t row_count;
    uint8_t (*sessions)[16];
    unsigned session_count;
};
/* Opens the volumes and reads the header. */
int file_open(struct loop *loop, struct stream_store *store, unsigned flags, struct image_file *file,
              struct error *error);
/* Takes over a header frame of any kind, whose memory is the file's from now on; for salvage. */
int file_take_head(struct image_file *file, uint8_t *frame, size_t size, uint64_t offset, struct error *error);
/* Salvage: looks for any whole header when the first one is damaged. -ERROR_NOT_FOUND leaves `error` as it is. */
int salvage_find_head(struct image_file *file, struct error *error);
void file_close(struct image_file *file);
/* Reads and checks trailer, table and root; needs a file that can seek. */
int file_load_table(struct image_file *file, struct error *error);
/* Counts the first volume's leading frame and the first header. */
void tally_begin(struct image_tally *tally, const struct image_file *file);
/* Reads and checks every link that the table names, the totals and the seek table. */
int file_check_links(struct image_file *file, struct error *error);
/* Checks an index that has been read whole into index->frame. */
int file_check_index(const struct image_file *file, uint64_t row, struct image_index *index, struct error *error);
/* Reads a whole own frame at the offset; waits. The memory is the caller's. */
int file_read_frame(struct image_file *file, uint64_t offset, uint8_t **frame, size_t *size, struct error *error);
/* Checks a repeated header (kind HEAD_VOLUME and on) and moves the chain on. */
int file_check_header(const struct image_file *file, const uint8_t *frame, size_t size, uint64_t offset,
                      struct image_chain *chain, unsigned *kind, struct error *error);
/* Whether the header bears the number of the volume in which it stands, after `volumes` have begun. */
bool file_volume_right(const struct image_file *file, const uint8_t *frame, unsigned volumes);
/* Compares what stands behind the trailer with what it has to be, up to the end. */
int file_check_seek_table(struct image_file *file, const struct image_trailer *trailer, uint64_t trailer_offset,
                          struct image_tally *tally, struct error *error);

/* --- image_continue.c --- */
/*
 * Follows the chain of an image as far as it goes. A segment counts when all its stored bytes are there; whether they are the right
 * ones is not looked at.
 */
struct image_trace {
    struct image_file file;
    struct image_chain chain; /* as it stands behind the last link */
    uint64_t offset;          /* image offset behind it */
    uint64_t disk_offset;     /* up to here the disk is in the image */
    unsigned volumes, sessions;
};
struct trace_link {
    struct image_index *index; /* held by the link; NULL: a header, of the kind and size below */
    unsigned kind, volume;
    size_t size;
};
/* -ERROR_UNSUPPORTED for a pipe; -ERROR_CORRUPT when the image's first header is not whole or its files were renamed or joined. */
int trace_open(struct loop *loop, struct stream_store *store, struct image_trace *trace, struct error *error);
/* The next link, if it holds nothing of the disk from `limit` on; -ERROR_END when there is none. trace_count() takes it. */
int trace_next(struct image_trace *trace, uint64_t limit, struct trace_link *link, struct error *error);
/* Counts the link and lets go of it. */
void trace_count(struct trace_link *link, const struct image_trace *trace, struct image_tally *tally);
/*
 * Where the image goes on: number of a volume, and its bytes that are kept; *begun false: not even its header is whole, all of it is
 * written again. -ERROR_CORRUPT when further volumes stand behind.
 */
int trace_end(const struct image_trace *trace, unsigned *volume, uint64_t *bytes, bool *begun, struct error *error);
void trace_close(struct image_trace *trace);

#endif
