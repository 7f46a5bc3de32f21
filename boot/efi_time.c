/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time: the processor's time stamp counter for intervals, the firmware's clock for the date. */
#include <cpuid.h>

#include "boot/efi_firmware.h"

static inline UINT64 read_counter(void)
{
    UINT32 low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (UINT64)high << 32 | low;
}

/* CPUID 15h: core crystal frequency and its ratio to the counter; 0 when the processor does not say. */
static UINT64 stated_frequency(void)
{
    unsigned denominator, numerator, crystal, unused;

    if (!__get_cpuid_count(0x15, 0, &denominator, &numerator, &crystal, &unused) || !denominator || !numerator)
        return 0;
    return (UINT64)crystal * numerator / denominator;
}

/* The shortest of a few stalls: an interrupt in between only makes one longer. */
static UINT64 measured_frequency(struct firmware *firmware)
{
    const UINTN microseconds = 4000;
    UINT64 shortest = UINT64_MAX;

    for (unsigned i = 0; i < 3; i++) {
        UINT64 start = read_counter();
        firmware->boot->Stall(microseconds);
        UINT64 ticks = read_counter() - start;
        if (ticks < shortest)
            shortest = ticks;
    }
    return shortest * (1000000 / microseconds);
}

void firmware_time_start(struct firmware *firmware)
{
    UINT64 measured = measured_frequency(firmware), stated = stated_frequency();
    UINT64 frequency = measured;

    /* Some processors state a nominal crystal that their board does not have: believe it only near the measurement. */
    if (stated > measured - measured / 32 && stated < measured + measured / 32)
        frequency = stated;
    if (frequency < 1000000)
        frequency = 1000000000; /* a counter that stands still: nothing can be right, but nothing divides by zero */
    firmware->time_multiplier = (UINT64)(((unsigned __int128)NANOSECONDS_PER_SECOND << 32) / frequency);
    firmware->time_start = read_counter();
}

uint64_t firmware_now(struct platform *platform)
{
    const struct firmware *firmware = firmware_of(platform);
    UINT64 ticks = read_counter() - firmware->time_start;

    /* Counters of two processors may differ by some ticks just after the start. */
    if (ticks >> 63)
        ticks = 0;
    return (UINT64)(((unsigned __int128)ticks * firmware->time_multiplier) >> 32);
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    year -= month <= 2;
    int era = year / 400;
    int year_of_era = year - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return (int64_t)era * 146097 + day_of_era - 719468;
}

int64_t firmware_wall_clock(struct platform *platform)
{
    struct firmware *firmware = firmware_of(platform);
    EFI_TIME time;

    if (EFI_ERROR(firmware->system->RuntimeServices->GetTime(&time, NULL)))
        return -1;
    if (time.Year < 1990 || time.Year > 9999 || time.Month < 1 || time.Month > 12 || time.Day < 1 || time.Day > 31 ||
        time.Hour > 23 || time.Minute > 59 || time.Second > 59)
        return -1;
    int64_t seconds = days_of(time.Year, time.Month, time.Day) * 86400 + time.Hour * 3600 + time.Minute * 60 + time.Second;
    /* Minutes west of UTC; without one the clock is taken as UTC. */
    if (time.TimeZone >= -1440 && time.TimeZone <= 1440)
        seconds += (int64_t)time.TimeZone * 60;
    return seconds;
}

void firmware_wait(struct platform *platform, uint64_t deadline)
{
    struct firmware *firmware = firmware_of(platform);
    UINT64 until = firmware_now(platform) + 10 * NANOSECONDS_PER_MICROSECOND;

    /* Devices are polled, so a wait is a breath and not a sleep; the other processors' work ends it at once. */
    if (deadline < until)
        until = deadline;
    while (!atomic_load_explicit(&firmware->woken, memory_order_acquire) && firmware_now(platform) < until)
        processor_pause();
    atomic_store_explicit(&firmware->woken, 0, memory_order_relaxed);
}

void firmware_wake(struct platform *platform)
{
    atomic_store_explicit(&firmware_of(platform)->woken, 1, memory_order_release);
}
