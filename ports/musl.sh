#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# musl, for the bare machine only, with two of its x86_64 headers replaced by ports/musl/.
. "$(dirname "$0")/common.sh"
[ "$flavour" = efi ] || exit 0

cp -r "$source" source
cp "$ports/musl/syscall_arch.h" "$ports/musl/pthread_arch.h" source/arch/x86_64/
cp "$ports/musl/eidolon_musl.h" source/include/
cp "$ports/musl/start.c" source/src/env/eidolon_start.c
# The floating point environment in assembly uses the red zone, which interrupts overwrite.
rm source/src/fenv/x86_64/fenv.s
mkdir build
cd build
CFLAGS="$CFLAGS" ../source/configure --target=x86_64 --disable-shared --prefix="$prefix" \
    CC="$CC" AR=ar RANLIB=ranlib >configure.log 2>&1
make -s -j"$jobs" lib/libc.a install-headers lib/crt1.o >make.log 2>&1 || { tail -20 make.log >&2; exit 1; }
# Our own malloc replaces musl's whole.
cp lib/libc.a "$prefix/lib/libc.a.new"
mv "$prefix/lib/libc.a.new" "$prefix/lib/libc.a"
cp lib/crt1.o "$prefix/lib/crt1.o"
