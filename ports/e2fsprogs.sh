#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libext2fs, libe2p and libcom_err. The build folder build/ports/work/e2fsprogs-FLAVOUR stays: the
# code of resize2fs is compiled from it.
. "$(dirname "$0")/common.sh"

link=
if [ "$flavour" = efi ]; then
    # configure asks what musl has by linking; nothing of this is ever run.
    link="-static -nostdlib -Wl,--defsym=musl_syscall=0 $prefix/lib/crt1.o"
    libraries="$prefix/lib/libc.a $($CC -print-libgcc-file-name)"
fi
# The sanitizer is for the libraries alone, not for the programs that help to build them.
configure_flags=$CFLAGS
[ "$flavour" = asan ] && configure_flags=-O1
"$source/configure" CC="$CC" BUILD_CC=gcc CFLAGS="$configure_flags" LDFLAGS="$link" LIBS="${libraries:-}" \
    ${libraries:+--host=x86_64-linux-musl} \
    --disable-nls --disable-tls --disable-tdb --disable-uuidd --disable-debugfs --disable-imager \
    --disable-defrag --disable-fuse2fs --disable-bmap-stats --without-pthread --disable-mmp \
    --disable-backtrace --disable-testio-debug --disable-e2initrd-helper --disable-fsck \
    >configure.log 2>&1 || { tail -20 configure.log >&2; exit 1; }

make_part() { # FOLDER TARGET [library]
    make -s -j"$jobs" -C "$1" "$2" ${3:+"CFLAGS_STLIB=$CFLAGS"} >>make.log 2>&1 || { tail -20 make.log >&2; exit 1; }
}
: >make.log
make_part util subst
make_part lib/et compile_et
make_part lib/ext2fs ext2_err.h
make_part lib/et libcom_err.a library
make_part lib/e2p libe2p.a library
make_part lib/ext2fs libext2fs.a library

for archive in et/libcom_err e2p/libe2p ext2fs/libext2fs; do
    redirect_library_symbols "lib/$archive.a"
    cp "lib/$archive.a" .
    mv "$(basename "$archive").a" "$prefix/lib/"
done
mkdir -p "$prefix/include/ext2fs" "$prefix/include/et" "$prefix/include/e2p"
cp "$source"/lib/ext2fs/*.h lib/ext2fs/*.h "$prefix/include/ext2fs/"
cp "$source"/lib/et/*.h "$prefix/include/et/"
cp "$source"/lib/e2p/e2p.h "$prefix/include/e2p/"
