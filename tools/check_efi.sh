#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Looks at the UEFI application for what compiles and links but fails on the bare machine.
#
#   tools/check_efi.sh FILE.elf | FILE.efi
set -euo pipefail
file=$1
failed=0

complain() {
    echo "$file: $1" >&2
    failed=1
}

has_section() {
    grep -qE "^ *[0-9]+ +\\$1 " <<<"$sections"
}

sections=$(objdump -h -w "$file")
has_section .reloc || complain "no .reloc: the firmware cannot move it"
has_section .sbat || complain "no .sbat: Secure Boot would refuse it"
while read -r _ name _ flags; do
    case $flags in
        *CODE*) [[ $flags == *READONLY* ]] || complain "section $name is writable and executable" ;;
    esac
done < <(awk '$1 ~ /^[0-9]+$/ { printf "%s %s %s ", $1, $2, $3; for (i = 8; i <= NF; i++) printf "%s", $i; print "" }' <<<"$sections")

if [[ $file == *.elf ]]; then
    [[ $sections != *THREAD_LOCAL* ]] || complain "thread-local storage: nobody sets %fs up"
    code=$(objdump -d --no-show-raw-insn "$file")
    where() { # PATTERN [EXCEPT]: the functions in which it occurs
        awk -v pattern="$1" -v spare="${2:-^$}" \
            '/^[0-9a-f]+ <.*>:$/ { f = $2 } $0 ~ pattern && $0 !~ spare { if (f != last) printf "%s ", f; last = f }' <<<"$code"
    }
    users=$(where '%fs:')
    [ -z "$users" ] || complain "%fs, which is the firmware's, is used in $users"
    users=$(where '[ ,]-0x[0-9a-f]+\\(%rsp\\)' '\tlea ')
    [ -z "$users" ] || complain "memory below the stack, where interrupts write, is used in $users"

    # gnu-efi's relocator knows R_X86_64_RELATIVE alone, and takes the addend from the place itself.
    python3 - "$file" <<'END' || failed=1
import struct, subprocess, sys

path = sys.argv[1]
image = open(path, "rb").read()
section_offset, = struct.unpack_from("<Q", image, 0x28)
entry_size, count, names = struct.unpack_from("<HHH", image, 0x3A)
sections = [struct.unpack_from("<IIQQQQIIQQ", image, section_offset + i * entry_size) for i in range(count)]
allocated = [s for s in sections if s[2] & 2 and s[1] != 8]

def find(address):
    for s in allocated:
        if s[3] <= address < s[3] + s[5]:
            return s
    return None

bad = 0
for s in sections:
    if s[1] != 4 or not s[2] & 2:
        continue
    for i in range(s[4], s[4] + s[5], 24):
        offset, info, addend = struct.unpack_from("<QQq", image, i)
        home = find(offset)
        if info & 0xFFFFFFFF != 8:
            problem = "relocation type %d" % (info & 0xFFFFFFFF)
        elif home is None or not home[2] & 1:
            problem = "relocation in a read-only section"
        elif struct.unpack_from("<q", image, home[4] + offset - home[3])[0] != addend:
            problem = "addend is not in place"
        else:
            continue
        bad += 1
        if bad <= 5:
            print("%s: at 0x%x: %s" % (path, offset, problem), file=sys.stderr)
sys.exit(bad != 0)
END
fi
exit $failed
