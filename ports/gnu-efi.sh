#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gnu-efi from the installed Debian package: crt0, the relocator and the headers of UEFI. Its
# linker script is not used, boot/efi.lds is ours.
. "$(dirname "$0")/common.sh"
[ "$flavour" = efi ] || exit 0

cp /usr/lib/crt0-efi-x86_64.o /usr/lib/libgnuefi.a /usr/lib/libefi.a "$prefix/lib/"
mkdir -p "$prefix/gnu-efi"
cp -r /usr/include/efi/. "$prefix/gnu-efi/"
