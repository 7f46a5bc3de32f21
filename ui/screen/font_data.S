/* SPDX-License-Identifier: GPL-2.0-or-later */
    .section .rodata.font, "a"
    .global font_packed, font_packed_end
    .balign 16
font_packed:
    .incbin "build/ports/unifont/font.zst"
font_packed_end:

    .section .note.GNU-stack, "", @progbits
