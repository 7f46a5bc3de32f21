#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs the Debian packages that building and testing Eidolon need; says nothing and does
# nothing when all are there.
#
#   ports/install-packages.sh [GROUP...]     groups: build, test, format, fuzz, bench (default: build test)
set -euo pipefail

# gnu-efi gives crt0, libgnuefi and efi.h; file, xz-utils and dpkg-dev are for the ports.
build="gcc libc6-dev binutils make patch dpkg-dev xz-utils gnu-efi mtools python3 git"
# Real file systems for the tests, the machines, and the stock zstd that must read our images.
test="libcmocka-dev qemu-system-x86 qemu-utils ovmf mtools dosfstools exfatprogs ntfs-3g
      e2fsprogs zstd gdisk fdisk cryptsetup-bin debootstrap lvm2 xfsprogs btrfs-progs"
format="clang-format clang-tidy"
fuzz="clang libclang-rt-14-dev"
# The tools that speed is measured beside, and what measures and draws.
bench="partclone zstd ntfs-3g e2fsprogs fsarchiver qemu-utils lz4 pigz fuse3 time xfsprogs gdisk gnuplot-nox"

wanted=()
for group in "${@:-build test}"; do
    for name in $group; do
        case $name in
            build | test | format | fuzz | bench) wanted+=(${!name}) ;;
            *) echo "install-packages.sh: no package group '$name'" >&2; exit 2 ;;
        esac
    done
done

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "These Debian packages are missing; install them as root:" >&2
        echo "    apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt_options=(-q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" install -y --no-install-recommends "${missing[@]}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# First with the package lists that are there; an old list names files that are gone.
if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
    "${as_root[@]}" apt-get "${apt_options[@]}" update >"$log" 2>&1 </dev/null || true
    if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
        tail -20 "$log" >&2
        exit 1
    fi
fi
