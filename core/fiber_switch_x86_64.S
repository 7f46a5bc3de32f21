/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * void fiber_switch(void **save, void *load): leaves the running stack and goes on where another one was left.
 *
 * What a called function must preserve (System V ABI, AMD64 supplement, section 3.2.1 and figure 3.4): rbx, rbp, r12 to r15, rsp,
 * the control bits of MXCSR and the x87 control word. All else the compiler takes as lost over a call.
 */
        .text
        .globl  fiber_switch
        .hidden fiber_switch
        .type   fiber_switch, @function
fiber_switch:
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        subq    $8, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret
        .size   fiber_switch, . - fiber_switch

/* The first thing on a new stack; the frame that fiber.c lays out returns to it. Nothing is above it. */
        .globl  fiber_begin
        .hidden fiber_begin
        .type   fiber_begin, @function
fiber_begin:
        xorl    %ebp, %ebp
        call    fiber_main
        ud2
        .size   fiber_begin, . - fiber_begin

        .section .note.GNU-stack, "", @progbits
