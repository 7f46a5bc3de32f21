/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floating point and vector state of a processor. Firmware leaves SSE usable on the boot processor,
 * often nothing sane on the others, and AVX off on all: CR4.OSXSAVE and XCR0 say so to whoever asks CPUID
 * (BLAKE3 does). Interrupt handlers of the firmware save the SSE state alone and use no AVX, so what AVX
 * adds survives them.
 */
#include <cpuid.h>

#include "boot/efi_firmware.h"

#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_NE (1u << 5)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_OSXSAVE (1u << 18)
#define XCR0_X87_SSE_AVX 0x7u
#define XCR0_AVX512 0xe0u
#define CPUID_XSAVE (1u << 26)
#define CPUID_AVX (1u << 28)
#define MXCSR_DEFAULT 0x1f80u

static UINT64 read_cr0(void)
{
    UINT64 value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
static void write_cr0(UINT64 value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}
static UINT64 read_cr4(void)
{
    UINT64 value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}
static void write_cr4(UINT64 value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}
static UINT64 read_xcr0(void)
{
    UINT32 low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (UINT64)high << 32 | low;
}
static void write_xcr0(UINT64 value)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((UINT32)value), "d"((UINT32)(value >> 32)) : "memory");
}

/* The states of AVX, and AVX-512 if complete, that this processor can hold; 0: none. */
static UINT64 vector_states(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_XSAVE) || !(c & CPUID_AVX))
        return 0;
    if (!__get_cpuid_count(0xd, 0, &a, &b, &c, &d) || (a & XCR0_X87_SSE_AVX) != XCR0_X87_SSE_AVX)
        return 0;
    return XCR0_X87_SSE_AVX | ((a & XCR0_AVX512) == XCR0_AVX512 ? XCR0_AVX512 : 0);
}

void processor_prepare(struct processor_state *saved)
{
    UINT64 states = vector_states();

    saved->cr0 = read_cr0();
    saved->cr4 = read_cr4();
    saved->vectors = false;
    write_cr0((saved->cr0 & ~(UINT64)(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
    write_cr4(saved->cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
    __asm__ volatile("stmxcsr %0" : "=m"(saved->mxcsr));
    UINT32 mxcsr = MXCSR_DEFAULT;
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
    if (states) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        saved->xcr0 = read_xcr0();
        write_xcr0(saved->xcr0 | states);
        saved->vectors = true;
    }
}

void processor_forget_translations(void)
{
    uint64_t root;

    __asm__ volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(root) : : "memory");
}

void processor_restore(const struct processor_state *saved)
{
    if (saved->vectors) {
        /* Upper halves back to their initial state before they disappear. */
        __asm__ volatile(".byte 0xc5, 0xf8, 0x77" : : : "memory"); /* vzeroupper */
        write_xcr0(saved->xcr0);
    }
    __asm__ volatile("ldmxcsr %0" : : "m"(saved->mxcsr));
    write_cr4(saved->cr4);
    write_cr0(saved->cr0);
}

void processor_run_on_stack(void *stack, size_t size, void (*entry)(void *argument), void *argument)
{
    UINT8 *top = (UINT8 *)stack + size;

    /* rbx keeps the old stack over the call; the entry follows the System V convention. */
    __asm__ volatile("movq %%rsp, %%rbx\n\t"
                     "movq %0, %%rsp\n\t"
                     "callq *%1\n\t"
                     "movq %%rbx, %%rsp"
                     : "+r"(top), "+r"(entry), "+D"(argument)
                     :
                     : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1",
                       "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                       "xmm13", "xmm14", "xmm15");
}
