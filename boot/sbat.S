/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secure Boot Advanced Targeting: the generation of this program, by which a flawed one can be
 * revoked. Raise the number of line 2 after a flaw that lets unsigned code run.
 */
    .section .sbat, "a"
    .ascii "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
    .ascii "eidolon,1,Eidolon,eidolon,1,https://example.invalid/eidolon\n"

    .section .note.GNU-stack, "", @progbits
