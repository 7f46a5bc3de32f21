/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/platform.h"

#define PRINT_MAX 2000

void output_print(struct output *output, const char *format, ...)
{
    char text[PRINT_MAX];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length <= 0)
        return;
    size_t size = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
    output->write(output, text, size);
}

static void write_memory(struct output *output, const char *text, size_t size)
{
    struct text_output *to = (struct text_output *)output;

    if (to->failed || size >= to->room - to->size) {
        size_t room = to->failed ? 0 : 2 * (to->size + size) + 256;
        char *more = to->failed ? NULL : platform_allocate(to->platform, room);
        to->failed = !more;
        if (!more)
            return;
        if (to->size)
            memcpy(more, to->text, to->size);
        platform_release(to->platform, to->text);
        to->text = more;
        to->room = room;
    }
    memcpy(to->text + to->size, text, size);
    to->size += size;
    to->text[to->size] = 0;
}

void text_output_start(struct text_output *to, struct platform *platform)
{
    *to = (struct text_output){.output = {.write = write_memory, .columns = 120}, .platform = platform};
}

void text_output_free(struct text_output *to)
{
    platform_release(to->platform, to->text);
    to->text = NULL;
    to->size = to->room = 0;
}

char *size_text(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t whole = bytes, rest = 0;
    unsigned unit = 0;

    while (whole >= 1000 && unit < 6) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (unit > 0 && whole < 10)
        snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 ".%" PRIu64 " %s", whole, rest * 10 / 1024, units[unit]);
    else
        snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 " %s", whole, units[unit]);
    return text;
}

char *time_text(uint64_t nanoseconds, char text[TIME_TEXT_MAX])
{
    uint64_t seconds = nanoseconds / 1000000000U;
    uint64_t hours = seconds / 3600 % 100000;
    unsigned minutes = (unsigned)(seconds / 60 % 60), rest = (unsigned)(seconds % 60);

    if (hours)
        snprintf(text, TIME_TEXT_MAX, "%" PRIu64 ":%02u:%02u", hours, minutes, rest);
    else
        snprintf(text, TIME_TEXT_MAX, "%u:%02u", minutes, rest);
    return text;
}

void calendar_of(int64_t seconds, struct calendar *calendar)
{
    /* Years are counted from March, so that the leap day is the last; the calendar repeats every 146,097 days. */
    int64_t days = seconds / 86400 + 719468, era = days / 146097;
    int day_of_era = (int)(days % 146097), second = (int)(seconds % 86400);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted_month = (5 * day_of_year + 2) / 153;

    calendar->day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    calendar->month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    calendar->year = (int)(year_of_era + era * 400) + (calendar->month <= 2);
    calendar->hour = second / 3600;
    calendar->minute = second / 60 % 60;
    calendar->second = second % 60;
}

uint64_t rate_per_second(uint64_t bytes, uint64_t nanoseconds)
{
    uint64_t microseconds = nanoseconds / 1000;

    if (!microseconds)
        return 0;
    if (bytes > UINT64_MAX / 1000000U)
        return bytes / microseconds * 1000000U;
    return bytes * 1000000U / microseconds;
}

static void json_raw(struct json *json, const char *text)
{
    json->output->write(json->output, text, strlen(text));
}

static void json_quoted(struct json *json, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;

    json_raw(json, "\"");
    while (*at) {
        const unsigned char *start = at;
        while (*at >= 0x20 && *at != '"' && *at != '\\')
            at++;
        if (at > start)
            json->output->write(json->output, (const char *)start, (size_t)(at - start));
        if (*at) {
            char escape[8];
            snprintf(escape, sizeof(escape), "\\u%04x", *at++);
            json_raw(json, escape);
        }
    }
    json_raw(json, "\"");
}

static void json_key(struct json *json, const char *key)
{
    if (json->need_comma)
        json_raw(json, ",");
    json->need_comma = true;
    if (key) {
        json_quoted(json, key);
        json_raw(json, ":");
    }
}

static void json_open(struct json *json, const char *key, const char *bracket)
{
    json_key(json, key);
    json_raw(json, bracket);
    json->need_comma = false;
}

static void json_close(struct json *json, const char *bracket)
{
    json_raw(json, bracket);
    json->need_comma = true;
}

void json_begin_object(struct json *json, const char *key)
{
    json_open(json, key, "{");
}

void json_end_object(struct json *json)
{
    json_close(json, "}");
}

void json_begin_array(struct json *json, const char *key)
{
    json_open(json, key, "[");
}

void json_end_array(struct json *json)
{
    json_close(json, "]");
}

void json_text(struct json *json, const char *key, const char *value)
{
    json_key(json, key);
    json_quoted(json, value);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    char text[24];

    json_key(json, key);
    snprintf(text, sizeof(text), "%" PRIu64, value);
    json_raw(json, text);
}

void json_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_raw(json, value ? "true" : "false");
}

void json_bytes(struct json *json, const char *key, const uint8_t *bytes, size_t size)
{
    json_key(json, key);
    json_raw(json, "\"");
    for (size_t i = 0; i < size; i++) {
        char digits[3];
        snprintf(digits, sizeof(digits), "%02x", bytes[i]);
        json_raw(json, digits);
    }
    json_raw(json, "\"");
}

void json_end_line(struct json *json)
{
    json_raw(json, "\n");
    json->need_comma = false;
}
