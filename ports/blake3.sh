#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The official C implementation of BLAKE3 with its assembly, chosen at run time by cpuid.
. "$(dirname "$0")/common.sh"

c=$(echo "$source"/usr/share/cargo/registry/blake3-*/c)
flags=-O3
[ "$flavour" = asan ] && flags="-O1 -fsanitize=undefined"
compile "$flags" "$c"/blake3.c "$c"/blake3_dispatch.c "$c"/blake3_portable.c "$c"/blake3_*_x86-64_unix.S
archive libblake3.a *.o
cp "$c/blake3.h" "$prefix/include/"
