#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libexfat of exfat-fuse without its device, its words on a terminal and its questions (io.c, log.c, repair.c): fs/exfat_device.c
# stands in for them. Times are UTC, as said in each entry, so nobody asks for a time zone.
. "$(dirname "$0")/common.sh"

mkdir -p "$prefix/include/exfat"
echo '/* Nothing of it is used. */' >"$prefix/include/exfat/config.h"
cp "$source"/libexfat/*.h "$prefix/include/exfat/"

flags="-std=gnu11 -w -Werror=implicit-function-declaration -D_FILE_OFFSET_BITS=64 -D_GNU_SOURCE -I$prefix/include/exfat"
compile "$flags" "$source"/libexfat/{cluster,lookup,mount,node,utf,utils}.c
compile "$flags -Dexfat_tzset=exfat_system_tzset" "$source/libexfat/time.c"
redirect_library_symbols *.o
archive libexfat.a *.o
