#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes the image of a USB stick that boots Eidolon, without mounting anything.
#
#   tools/make_stick.sh [--size MIB] OUTPUT EIDOLON.efi [FILE:PATH...]
#
# One MBR partition of type 0x0C (FAT32, LBA) from 1 MiB to the end, label EIDOLON, with
# \EFI\BOOT\BOOTX64.EFI. FILE:PATH puts a file of this machine at a path on the stick, for instance
# job.txt:EIDOLON/JOB.TXT. The size is that of the whole stick, 64 MiB at least (default).
set -euo pipefail

size=64
if [ "${1:-}" = --size ]; then
    size=$2
    shift 2
fi
if [ $# -lt 2 ] || [ "$size" -lt 64 ]; then
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
output=$1
application=$2
shift 2

export MTOOLS_SKIP_CHECK=1
start=2048
sectors=$((size * 2048 - start))
work=$(mktemp "$output.XXXXXX")
trap 'rm -f "$work"' EXIT
truncate -s 0 "$work"
truncate -s "${size}M" "$work"

# The partition table entry: not marked active (UEFI ignores it), CHS fields at their "see LBA".
little_endian() { # NUMBER as four bytes of printf
    printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}
entry="\\x00\\xfe\\xff\\xff\\x0c\\xfe\\xff\\xff$(little_endian $start)$(little_endian $sectors)"
disk_id=$((RANDOM << 17 ^ RANDOM << 8 ^ RANDOM))
printf "$(little_endian $disk_id)" | dd of="$work" bs=1 seek=440 conv=notrunc status=none
printf "$entry" | dd of="$work" bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of="$work" bs=1 seek=510 conv=notrunc status=none

volume=$work@@1M
# FAT32 wants 65,525 clusters: small sticks get one sector a cluster.
cluster=1
while [ $((sectors / cluster)) -gt 2000000 ]; do cluster=$((cluster * 2)); done
mformat -i "$volume" -F -T "$sectors" -h 255 -s 63 -H "$start" -c "$cluster" -v EIDOLON ::

make_folders() { # of a path, without complaint about those that are there
    local path='' part rest=$1
    while [[ $rest == */* ]]; do
        part=${rest%%/*}
        rest=${rest#*/}
        path=${path:+$path/}$part
        mdir -b -i "$volume" "::$path" >/dev/null 2>&1 || mmd -i "$volume" "::$path"
    done
}

put() { # FILE PATH
    make_folders "$2"
    mcopy -o -i "$volume" "$1" "::$2"
}

put "$application" EFI/BOOT/BOOTX64.EFI
mmd -i "$volume" ::EIDOLON
for item in "$@"; do
    put "${item%:*}" "${item##*:}"
done
chmod 644 "$work"
mv "$work" "$output"
