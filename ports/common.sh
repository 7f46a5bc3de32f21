# SPDX-License-Identifier: GPL-2.0-or-later
# Read by each ports/LIBRARY.sh: what the three flavours have in common. Sets
#   flavour, source (unpacked package), work (scratch folder, emptied), prefix (result), CC, CFLAGS
# and gives compile, archive and redirect_library_symbols.
set -euo pipefail
# The makes below are not part of the one that called us: its flags and its job server are not theirs.
unset MAKEFLAGS MFLAGS MAKELEVEL

library=$(basename "$0" .sh)
flavour=$1
top=$(cd "$(dirname "$0")/.." && pwd)
ports=$top/ports
source=$top/build/sources/$library
prefix=$top/build/ports/$flavour
work=$top/build/ports/work/$library-$flavour
jobs=${PORTS_JOBS:-$(nproc)}

CC=gcc
gcc_headers=$($CC -print-file-name=include)
case $flavour in
    host) CFLAGS="-O2 -g1 -fno-omit-frame-pointer" ;;
    asan) CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address" ;;
    efi)
        CFLAGS="-O2 -g1 -mno-red-zone -fpic -fno-stack-protector -fcf-protection=none
            -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections"
        # musl's headers first, the compiler's own (intrinsics) after; Linux' and glibc's never.
        musl_headers="-nostdinc -isystem $prefix/include -isystem $gcc_headers"
        [ "$library" = musl ] || CFLAGS="$CFLAGS $musl_headers"
        ;;
    *) echo "$0: no flavour '$flavour'" >&2; exit 2 ;;
esac
CFLAGS=$(echo $CFLAGS)

rm -rf "$work"
mkdir -p "$work" "$prefix/include" "$prefix/lib"
cd "$work"

# compile FLAGS FILE...: each to NAME.o in the current folder, several at once.
compile() {
    local flags=$1
    shift
    printf '%s\n' "$@" | xargs -P "$jobs" -I{} sh -c \
        'exec '"$CC $CFLAGS $flags"' -c "$1" -o "$(basename "${1%.*}").o"' sh {}
}

# archive NAME OBJECT...: build/ports/FLAVOUR/lib/NAME, replaced in one step.
archive() {
    local name=$1
    shift
    rm -f "$name"
    ar rcsD "$name" "$@"
    mv "$name" "$prefix/lib/$name"
}

# Memory and exit of libraries that were written as programs go through core/library.h.
redirect_library_symbols() {
    local object
    for object in "$@"; do
        objcopy --redefine-syms="$ports/library-symbols" "$object"
    done
}
