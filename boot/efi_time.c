/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time: the processor's time stamp counter for intervals, the firmware's clock for the date. */
#include <cpuid.h>
#include <string.h>

#include "boot/efi_firmware.h"

static inline UINT64 read_counter(void)
{
    UINT32 low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (UINT64)high << 32 | low;
}

/* CPUID leaf 15h: core crystal frequency and its ratio to the counter; 0 when the processor does not say. */
static UINT64 stated_frequency(void)
{
    unsigned denominator, numerator, crystal, unused;

    if (!__get_cpuid_count(0x15, 0, &denominator, &numerator, &crystal, &unused) || !denominator || !numerator)
        return 0;
    return (UINT64)crystal * numerator / denominator;
}

/* --- the power management timer: 3.579545 MHz, 24 bits at least (ACPI 6.4, sections 4.8.2.1 and 5.2.9) --- */

#define ACPI_20_GUID                                                                                                   \
    {                                                                                                                  \
        0x8868e871, 0xe4f1, 0x11d3,                                                                                    \
        {                                                                                                              \
            0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81                                                             \
        }                                                                                                              \
    }
#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xffffffu
#define SAMPLE_TICKS (PM_TIMER_HZ / 100)
#define TABLE_HEADER 36
#define TABLE_LIMIT 65536

static UINT32 read32(const UINT8 *at)
{
    UINT32 value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static const UINT8 *find_fadt(struct firmware *firmware)
{
    const UINT8 *root = firmware_table(firmware, (EFI_GUID)ACPI_20_GUID);
    UINT64 address;

    if (!root || memcmp(root, "RSD PTR ", 8) != 0 || root[15] < 2)
        return NULL;
    memcpy(&address, root + 24, sizeof(address));
    const UINT8 *table = (const UINT8 *)address;
    UINT32 size = address ? read32(table + 4) : 0;
    for (UINT32 at = TABLE_HEADER; at + 8 <= size && size <= TABLE_LIMIT; at += 8) {
        memcpy(&address, table + at, sizeof(address));
        if (address && memcmp((const UINT8 *)address, "FACP", 4) == 0)
            return (const UINT8 *)address;
    }
    return NULL;
}

/* 0: there is none at a port. */
static UINT16 pm_timer_port(struct firmware *firmware)
{
    const UINT8 *fadt = find_fadt(firmware);
    UINT32 size = fadt ? read32(fadt + 4) : 0;

    if (size < 116 || fadt[91] != 4)
        return 0;
    UINT32 port = read32(fadt + 76);
    if (size >= 220 && fadt[208] == 1 && read32(fadt + 212) && !read32(fadt + 216))
        port = read32(fadt + 212);
    return port <= UINT16_MAX ? (UINT16)port : 0;
}

struct time_sample {
    UINT64 counter;
    UINT32 timer;
};

/* Both clocks at one moment: the tightest of a few tries, so that an interruption does not count. */
static struct time_sample take_sample(UINT16 port)
{
    struct time_sample best = {0};
    UINT64 shortest = UINT64_MAX;

    for (unsigned i = 0; i < 16; i++) {
        UINT32 timer;
        UINT64 before = read_counter();
        __asm__ volatile("inl %1, %0" : "=a"(timer) : "Nd"(port));
        UINT64 took = read_counter() - before;
        if (took < shortest) {
            shortest = took;
            best = (struct time_sample){.counter = before + took / 2, .timer = timer & PM_TIMER_MASK};
        }
    }
    return best;
}

/*
 * Counter ticks a second by the timer; 0 when it stands still. However long the machine was away in
 * between, both clocks ran on.
 */
static UINT64 frequency_by_timer(UINT16 port)
{
    struct time_sample first = take_sample(port), last;
    UINT32 ticks = 0;

    for (unsigned i = 0; i < 10000000 && ticks < SAMPLE_TICKS; i++) {
        UINT32 timer;
        __asm__ volatile("inl %1, %0" : "=a"(timer) : "Nd"(port));
        ticks = (timer - first.timer) & PM_TIMER_MASK;
    }
    last = take_sample(port);
    ticks = (last.timer - first.timer) & PM_TIMER_MASK;
    if (ticks < SAMPLE_TICKS)
        return 0;
    return (UINT64)((unsigned __int128)(last.counter - first.counter) * PM_TIMER_HZ / ticks);
}

/* The shortest of a few stalls: an interrupt in between only makes one longer. */
static UINT64 frequency_by_stall(struct firmware *firmware)
{
    const UINTN microseconds = 4000;
    UINT64 shortest = UINT64_MAX;

    for (unsigned i = 0; i < 5; i++) {
        UINT64 start = read_counter();
        firmware->boot->Stall(microseconds);
        UINT64 ticks = read_counter() - start;
        if (ticks < shortest)
            shortest = ticks;
    }
    return shortest * (1000000 / microseconds);
}

static bool near(UINT64 a, UINT64 b)
{
    UINT64 difference = a > b ? a - b : b - a;

    return difference <= a / 64;
}

/* Two measurements in a row that agree: the timer may have wrapped in one of them. */
static UINT64 measured_frequency(struct firmware *firmware)
{
    UINT16 port = pm_timer_port(firmware);
    UINT64 before = port ? frequency_by_timer(port) : 0;

    for (unsigned i = 0; i < 4 && before; i++) {
        UINT64 now = frequency_by_timer(port);
        if (now && near(now, before))
            return now;
        before = now;
    }
    return frequency_by_stall(firmware);
}

void firmware_time_start(struct firmware *firmware)
{
    UINT64 start = read_counter(), measured = measured_frequency(firmware), stated = stated_frequency();

    /*
     * Some processors state a nominal crystal that their board does not have: believe it only near the
     * measurement.
     */
    UINT64 frequency = stated && near(measured, stated) ? stated : measured;
    if (frequency < 1000000)
        frequency = 1000000000; /* a counter that stands still: nothing can be right, but nothing divides by zero */
    firmware->time_multiplier = (UINT64)(((unsigned __int128)NANOSECONDS_PER_SECOND << 32) / frequency);
    firmware->time_start = start; /* what measuring cost counts */
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

int64_t firmware_seconds(const EFI_TIME *time)
{
    if (time->Year < 1990 || time->Year > 9999 || time->Month < 1 || time->Month > 12 || time->Day < 1 ||
        time->Day > 31 || time->Hour > 23 || time->Minute > 59 || time->Second > 59)
        return -1;
    int64_t seconds =
        days_of(time->Year, time->Month, time->Day) * 86400 + time->Hour * 3600 + time->Minute * 60 + time->Second;
    /* Minutes west of UTC; without one the clock is taken as UTC. */
    if (time->TimeZone >= -1440 && time->TimeZone <= 1440)
        seconds += (int64_t)time->TimeZone * 60;
    return seconds;
}

int64_t firmware_wall_clock(struct platform *platform)
{
    EFI_TIME time;

    if (EFI_ERROR(firmware_of(platform)->system->RuntimeServices->GetTime(&time, NULL)))
        return -1;
    return firmware_seconds(&time);
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
    struct firmware *firmware = firmware_of(platform);

    atomic_store_explicit(&firmware->woken, 1, memory_order_release);
    /*
     * QEMU without hardware help lets a processor's table of translations grow only when it is emptied. A resident worker
     * never does that: compression at level 3 took it three times as long as the boot processor, whose interrupts do.
     */
    if (firmware->emulated)
        processor_forget_translations();
}
