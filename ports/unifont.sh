#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The font of graphical screens: GNU Unifont's table of bitmaps, packed as ui/screen/font.h describes.
set -euo pipefail
cd "$(dirname "$0")/.."
result=build/ports/unifont

mkdir -p "$result"
gcc -std=gnu11 -O2 -Wall -Wextra -Werror -I. -isystem build/ports/host/include -o "$result/pack" ports/unifont/pack.c \
    build/ports/host/lib/libzstd.a
"$result/pack" build/sources/unifont/usr/share/unifont/unifont.hex "$result/font.zst.new" >"$result/log"
mv "$result/font.zst.new" "$result/font.zst"
