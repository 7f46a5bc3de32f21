/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where text for people and programs goes, and how sizes, rates and times are put into words.
 */
#ifndef UI_OUTPUT_H
#define UI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sink for text; provided by the mains (standard output, the firmware's console). UTF-8, "\n" line ends. */
struct output {
    void (*write)(struct output *output, const char *text, size_t size);
    bool is_terminal; /* a line may be drawn again after "\r" */
    unsigned columns; /* of the terminal */
};

/* One call carries at most 2,000 bytes; more is cut. */
__attribute__((format(printf, 2, 3))) void output_print(struct output *output, const char *format, ...);

/* An output that keeps what is written in memory. */
struct platform;
struct text_output {
    struct output output; /* first */
    struct platform *platform;
    char *text; /* zero-ended; NULL while nothing was written */
    size_t size, room;
    bool failed; /* there was no memory for all of it */
};
void text_output_start(struct text_output *to, struct platform *platform);
void text_output_free(struct text_output *to);

/* "466 GiB", "3.2 MiB": three digits at the most, powers of 1,024. Returns `text`. */
#define SIZE_TEXT_MAX 32
char *size_text(uint64_t bytes, char text[SIZE_TEXT_MAX]);
/* "1:02:03" or "2:03". Returns `text`. */
#define TIME_TEXT_MAX 24
char *time_text(uint64_t nanoseconds, char text[TIME_TEXT_MAX]);
/* The date and time of seconds since 1970 (not negative), UTC, in the Gregorian calendar. */
struct calendar {
    int year, month, day, hour, minute, second;
};
void calendar_of(int64_t seconds, struct calendar *calendar);
/* Bytes a second, 0 when no time has passed. */
uint64_t rate_per_second(uint64_t bytes, uint64_t nanoseconds);

/*
 * A JSON writer: keys and values in order, commas and escapes its own affair. key NULL inside arrays. Output only.
 */
struct json {
    struct output *output;
    bool need_comma;
};
void json_begin_object(struct json *json, const char *key);
void json_end_object(struct json *json);
void json_begin_array(struct json *json, const char *key);
void json_end_array(struct json *json);
void json_text(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
/* Hexadecimal text of bytes. */
void json_bytes(struct json *json, const char *key, const uint8_t *bytes, size_t size);
/* Ends a line-sized document. */
void json_end_line(struct json *json);

#endif
