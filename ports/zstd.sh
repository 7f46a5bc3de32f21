#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libzstd: compression and decompression, no dictionaries, no threads of its own.
. "$(dirname "$0")/common.sh"

flags="-O3 -DXXH_NAMESPACE=ZSTD_ -DZSTD_LEGACY_SUPPORT=0 -I$source/lib -I$source/lib/common"
case $flavour in
    # Distances past the ends of its windows are zstd's way of life.
    asan) flags="$flags -O1 -fsanitize=undefined -fno-sanitize=pointer-overflow" ;;
    # BMI2, which zstd looks for at run time, works on general registers: unlike AVX it asks nothing of the system.
    efi) flags="$flags -DDYNAMIC_BMI2=1" ;;
esac
compile "$flags" "$source"/lib/common/*.c "$source"/lib/compress/*.c "$source"/lib/decompress/*.[cS]
archive libzstd.a *.o
cp "$source/lib/zstd.h" "$source/lib/zstd_errors.h" "$prefix/include/"
