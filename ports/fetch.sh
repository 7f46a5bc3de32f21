#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches the pinned Debian packages and unpacks each into build/sources/NAME.
#
#   ports/fetch.sh [NAME...]        default: every library of ports/versions
#
# Source packages come from the mirrors that this machine already uses: its deb entries (.list and
# .sources files) are copied as deb-src entries into a private list; the system's stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
sources=$top/build/sources
apt=$sources/apt

main_suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

# One-line entries: "deb [options] URI SUITE COMPONENT...", of Debian's own suites only.
derive_from_list() {
    sed -nE "s/^deb([[:space:]]+(\[[^]]*\][[:space:]]+)?[^[:space:]]+[[:space:]]+($main_suite|(old)*stable)[-a-z\/]*[[:space:]].*)\$/deb-src\1/p" "$1"
}

# Stanzas: keep those of type deb and of Debian's own suites, with the type turned to deb-src.
derive_from_sources() {
    awk -v suite="$main_suite" '
        function flush_stanza() {
            if (stanza != "" && is_deb && is_ours && !is_off) printf "%s\n", stanza
            stanza = ""; is_deb = is_ours = is_off = 0
        }
        /^[[:space:]]*$/ { flush_stanza(); next }
        /^#/ { next }
        tolower($1) == "types:" { is_deb = / deb( |$)/; $0 = "Types: deb-src" }
        tolower($1) == "suites:" { is_ours = $0 ~ ("[: ]+(" suite "|(old)*stable)([-/ ]|$)") }
        tolower($1) == "enabled:" { is_off = tolower($2) == "no" }
        { stanza = stanza $0 "\n" }
        END { flush_stanza() }' "$1"
}

derive_source_list() {
    local parts=$apt/parts file name
    rm -rf "$parts"
    mkdir -p "$parts"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        name=$(basename "$file" .list)
        derive_from_list "$file" >"$parts/${name//./-}.list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        derive_from_sources "$file" >"$parts/$(basename "$file")"
    done
    find "$parts" -type f -empty -delete
    if [ -z "$(ls "$parts")" ]; then
        echo "ports/fetch.sh: this machine's apt names no Debian mirror for '$main_suite'" >&2
        exit 1
    fi
}

private_apt() {
    apt-get -q -o Acquire::Retries=3 -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/parts" \
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root \
        -o APT::Update::Post-Invoke-Success::= "$@"
}

# The lists are fetched once per build folder, and again after a fetch that failed.
update_lists() {
    derive_source_list
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    private_apt update >"$apt/log" 2>&1 || { tail -5 "$apt/log" >&2; exit 1; }
    touch "$apt/updated"
}

fetch_source() { # PACKAGE VERSION DIRECTORY
    [ -f "$apt/updated" ] || update_lists
    mkdir -p "$apt/files"
    if ! (cd "$apt/files" && private_apt source --download-only "$1=$2") >"$apt/log" 2>&1; then
        update_lists
        (cd "$apt/files" && private_apt source --download-only "$1=$2") >"$apt/log" 2>&1 || {
            tail -5 "$apt/log" >&2
            echo "ports/fetch.sh: source package $1 $2 cannot be fetched" >&2
            exit 1
        }
    fi
    dpkg-source --no-check --no-copy -x "$apt/files/${1}_${2#*:}.dsc" "$3" >"$apt/log" 2>&1
}

fetch_binary() { # PACKAGE VERSION DIRECTORY
    mkdir -p "$apt/files"
    if ! (cd "$apt/files" && apt-get -q download "$1=$2") >"$apt/log" 2>&1; then
        tail -5 "$apt/log" >&2
        echo "ports/fetch.sh: package $1 $2 cannot be fetched; is the package list current (apt-get update)?" >&2
        exit 1
    fi
    dpkg-deb -x "$apt/files/${1}_${2//:/%3a}"_*.deb "$3"
}

mkdir -p "$sources"
while read -r name package version kind; do
    case $name in '' | '#'*) continue ;; esac
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    stamp=$sources/$name.fetched
    [ -f "$stamp" ] && [ "$(<"$stamp")" = "$package $version" ] && continue
    mkdir -p "$apt"
    echo "  FETCH   $name $version"
    rm -rf "${sources:?}/$name"
    "fetch_$kind" "$package" "$version" "$sources/$name"
    echo "$package $version" >"$stamp"
done <ports/versions
